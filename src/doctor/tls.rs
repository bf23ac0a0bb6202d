//! TLS to a server that is being examined: the certificate is looked at whether
//! it verifies or not, and nothing is ever sent to a server whose does not.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::go::env::Lookup;
use crate::net::tls::{RootSource, load_roots};

use super::der::{self, Certificate};

/// The roots of this machine, read once for all probes.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    store: Arc<RootCertStore>,
}

impl Roots {
    /// Reads SSL_CERT_FILE and SSL_CERT_DIR or the system's own places, as Go does.
    pub(super) fn load(env: Lookup<'_>) -> Self {
        let source = RootSource {
            file: env("SSL_CERT_FILE"),
            dirs: env("SSL_CERT_DIR"),
        };
        let mut store = RootCertStore::empty();
        // Certificates that the library cannot read are left out, as Go does.
        let _ = store.add_parsable_certificates(load_roots(&source));
        Self {
            store: Arc::new(store),
        }
    }
}

/// What a handshake showed.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) certificate: Option<Certificate>,
    /// Set where the certificate does not verify.
    pub(super) refused: Option<String>,
}

/// A client configuration and the place where its handshake leaves what it saw.
///
/// `None` without any root: then there is nothing that a certificate could be
/// measured by.
pub(super) fn client(roots: &Roots, http2: bool) -> Option<(Arc<ClientConfig>, Arc<Mutex<Seen>>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(roots.store.clone(), provider.clone())
        .build()
        .ok()?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let verifier = Arc::new(Witness {
        inner,
        seen: seen.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Some((Arc::new(config), seen))
}

/// The usual verifier, with a note of what it was shown and what it said.
#[derive(Debug)]
struct Witness {
    inner: Arc<WebPkiServerVerifier>,
    seen: Arc<Mutex<Seen>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.certificate = der::parse(end_entity);
        seen.refused = verdict.as_ref().err().map(why_refused);
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn why_refused(error: &Error) -> String {
    use rustls::CertificateError as C;
    let Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    match why {
        C::Expired | C::ExpiredContext { .. } => "it has expired".to_owned(),
        C::NotValidYet | C::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        C::UnknownIssuer => "its issuer is not trusted here".to_owned(),
        C::NotValidForName | C::NotValidForNameContext { .. } => "it is for another name".to_owned(),
        other => other.to_string(),
    }
}

/// What a failed handshake means, in words, where it was no matter of the certificate.
pub(super) fn handshake_words(error: &std::io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return super::words::io(error);
    };
    match tls {
        Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            "the server speaks no TLS newer than 1.1, and Go refuses that".to_owned()
        }
        Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        Error::AlertReceived(alert) => format!("the server refused the TLS handshake ({alert:?})"),
        other => other.to_string(),
    }
}
