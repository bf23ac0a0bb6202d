//! TLS as go does it: the same certificates are trusted, by one verifier for relay and doctor.
//!
//! Nothing is read before the first https upstream is asked, and the folders only where the bundle is not enough: on most
//! machines they hold one by one what it holds at once.
//!
//! Known limitations: the library speaks no TLS before 1.2 and knows fewer
//! curves and signatures than Go's. What it refuses go is left to try by itself.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate;
pub use super::roots::RootSource;

/// What is told of every certificate that a server shows, and of what was found wrong with it.
pub(crate) type Witness = Arc<dyn Fn(&CertificateDer<'_>, Option<&Error>) + Send + Sync>;

/// Client configurations over one set of roots.
#[derive(Debug)]
pub(crate) struct Tls {
    roots: Arc<Roots>,
    made: OnceLock<Result<Configs, Error>>,
}

#[derive(Debug)]
struct Configs {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(source: RootSource) -> Self {
        Self {
            roots: Arc::new(Roots {
                source,
                provider: Arc::new(rustls::crypto::ring::default_provider()),
                bundle: OnceLock::new(),
                all: OnceLock::new(),
            }),
            made: OnceLock::new(),
        }
    }

    /// The configuration that offers HTTP/2, or the one that does not.
    ///
    /// # Errors
    /// Where the library refuses its own defaults.
    pub(crate) fn config(&self, http2: bool) -> Result<Arc<ClientConfig>, Error> {
        let made = self.made.get_or_init(|| {
            let make = |http2| self.make(http2, None).map(Arc::new);
            Ok(Configs {
                both: make(true)?,
                http1: make(false)?,
            })
        });
        let configs = made.as_ref().map_err(Clone::clone)?;
        Ok(Arc::clone(if http2 { &configs.both } else { &configs.http1 }))
    }

    /// The same for a handshake whose certificate somebody wants to see.
    ///
    /// # Errors
    /// Those of [`Tls::config`].
    pub(crate) fn watched(&self, http2: bool, witness: Witness) -> Result<Arc<ClientConfig>, Error> {
        let config = self.make(http2, Some(witness))?;
        Ok(Arc::new(config))
    }

    /// False where this machine has no certificate authority at all.
    pub(crate) fn has_roots(&self) -> bool {
        !self.roots.bundle().is_empty() || !self.roots.all().is_empty()
    }

    fn make(&self, http2: bool, witness: Option<Witness>) -> Result<ClientConfig, Error> {
        let verifier = Verifier {
            roots: Arc::clone(&self.roots),
            witness,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.roots.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        if http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(config)
    }
}

/// The roots of this machine, read when they are needed.
#[derive(Debug)]
struct Roots {
    source: RootSource,
    provider: Arc<CryptoProvider>,
    bundle: OnceLock<Trusted>,
    /// Those of the folders too.
    all: OnceLock<Trusted>,
}

impl Roots {
    fn bundle(&self) -> &Trusted {
        self.bundle
            .get_or_init(|| Trusted::new(self.source.bundle(), &self.provider))
    }

    fn all(&self) -> &Trusted {
        self.all.get_or_init(|| {
            let mut roots = self.bundle().roots.clone();
            roots.extend(self.source.folders());
            Trusted::new(roots, &self.provider)
        })
    }
}

/// Some roots, and the library's own verifier over them.
#[derive(Debug)]
struct Trusted {
    roots: Vec<CertificateDer<'static>>,
    /// `None` where none of them is one that the library can read.
    usual: Option<Arc<WebPkiServerVerifier>>,
}

impl Trusted {
    fn new(mut roots: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Self {
        roots.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        roots.dedup();
        let mut store = RootCertStore::empty();
        // Certificates that the library cannot read are left out, as Go does.
        store.add_parsable_certificates(roots.iter().cloned());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        Self {
            roots,
            usual: usual.build().ok(),
        }
    }

    fn is_empty(&self) -> bool {
        self.usual.is_none()
    }

    fn verify(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let Some(usual) = &self.usual else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verdict = usual.verify_server_cert(
            shown.end_entity,
            shown.intermediates,
            shown.name,
            shown.ocsp,
            shown.now,
        );
        match verdict {
            Ok(_) => Ok(()),
            Err(error) if is_about_the_issuer(&error) && self.roots.iter().any(|r| r == shown.end_entity) => {
                shown.verify_as_root()
            }
            Err(error) => Err(error),
        }
    }
}

/// Said of one that nobody else vouches for: it names an issuer that is not known, or it is an authority's own, as
/// `openssl req -x509` makes it.
fn is_about_the_issuer(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

/// What a server shows of itself.
struct Shown<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    name: &'a ServerName<'a>,
    ocsp: &'a [u8],
    now: UnixTime,
}

impl Shown<'_> {
    /// A server's own certificate that is a root needs nobody else: go looks at its dates, its names and what it may be
    /// used for (`Certificate.isValid`, `Verify`).
    fn verify_as_root(&self) -> Result<(), Error> {
        let certificate = certificate::parse(self.end_entity).ok_or(CertificateError::BadEncoding)?;
        let unix = |time: jiff::Timestamp| {
            let seconds = u64::try_from(time.as_second()).unwrap_or(0);
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
        };
        let (not_before, not_after) = (unix(certificate.not_before), unix(certificate.not_after));
        let time = self.now;
        if time < not_before {
            return Err(CertificateError::NotValidYetContext { time, not_before }.into());
        }
        if time > not_after {
            return Err(CertificateError::ExpiredContext { time, not_after }.into());
        }
        if !certificate::may_be_a_server(self.end_entity) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&ParsedCertificate::try_from(self.end_entity)?, self.name)
    }
}

struct Verifier {
    roots: Arc<Roots>,
    witness: Option<Witness>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.roots.provider.signature_verification_algorithms
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown {
            end_entity,
            intermediates,
            name,
            ocsp,
            now,
        };
        let verdict = self
            .roots
            .bundle()
            .verify(&shown)
            .or_else(|_| self.roots.all().verify(&shown));
        if let Some(witness) = &self.witness {
            witness(end_entity, verdict.as_ref().err());
        }
        verdict.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
