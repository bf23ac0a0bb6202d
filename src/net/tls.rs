//! TLS as go does it: the same certificates are trusted, the same words used.
//!
//! On Linux and the BSDs the roots are read from where Go reads them, with
//! SSL_CERT_FILE and SSL_CERT_DIR in place of its own lists; on macOS and
//! Windows the system's store is asked. Nothing is read before the first https
//! upstream is.
//!
//! Known to be imperfect: the library speaks no TLS before 1.2 and knows fewer
//! curves and signatures than Go's. What it refuses go is left to try by itself.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::diagnose::FaultKind;

use crate::relay::trouble::{Again, Trouble};

/// Where certificates come from: the two variables that Go reads.
#[derive(Debug, Clone, Default)]
pub struct RootSource {
    /// SSL_CERT_FILE.
    pub file: Option<OsString>,
    /// SSL_CERT_DIR, folders between colons.
    pub dirs: Option<OsString>,
}

/// The two client configurations, made when first needed.
#[derive(Debug)]
pub(crate) struct Tls {
    source: RootSource,
    made: OnceLock<Result<Configs, String>>,
}

#[derive(Debug, Clone)]
struct Configs {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(source: RootSource) -> Self {
        Self {
            source,
            made: OnceLock::new(),
        }
    }

    /// The configuration that offers HTTP/2, or the one that does not.
    ///
    /// # Errors
    /// Where the library refuses its own defaults.
    pub(crate) fn config(&self, http2: bool) -> Result<Arc<ClientConfig>, Trouble> {
        match self.made.get_or_init(|| make(&self.source)) {
            Ok(configs) if http2 => Ok(Arc::clone(&configs.both)),
            Ok(configs) => Ok(Arc::clone(&configs.http1)),
            Err(text) => Err(Trouble::new(FaultKind::Certificate, text.clone()).then(Again::Elsewhere)),
        }
    }
}

fn make(source: &RootSource) -> Result<Configs, String> {
    let mut roots = RootCertStore::empty();
    let loaded = load_roots(source);
    // Certificates that the library cannot read are left out, as Go does.
    roots.add_parsable_certificates(loaded.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|err| format!("tls: {err}"))?;
    let mut http1 = if roots.is_empty() {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|err| format!("tls: {err}"))?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { usual, roots: loaded }))
            .with_no_client_auth()
    };
    let mut both = http1.clone();
    both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Configs {
        both: Arc::new(both),
        http1: Arc::new(http1),
    })
}

/// The library's own verifier, and one thing that Go takes beyond it: a root
/// that a server shows as its own, as `openssl req -x509` makes it.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self
            .usual
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match usual {
            // Said of one whose dates hold and which nothing else was found wrong with so far.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(why)))
                if why.to_string() == "CaUsedAsEndEntity"
                    && self.roots.iter().any(|root| root == end_entity)
                    && may_be_a_server(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// False for a certificate whose extended key usage (RFC 5280, 4.2.1.12) names
/// neither servers nor anything.
fn may_be_a_server(certificate: &[u8]) -> bool {
    const EXTENDED_KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x25";
    const SERVER_AUTH: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    const ANY: &[u8] = b"\x06\x04\x55\x1d\x25\x00";
    let has = |oid| memchr::memmem::find(certificate, oid).is_some();
    !has(EXTENDED_KEY_USAGE) || has(SERVER_AUTH) || has(ANY)
}

/// The system's own store.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(crate) fn load_roots(_source: &RootSource) -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Go's lists: `crypto/x509/root_linux.go` and `root_bsd.go`. The first file
/// that can be read, and then every folder.
#[cfg(not(any(target_os = "macos", target_os = "windows")))]
pub(crate) fn load_roots(source: &RootSource) -> Vec<CertificateDer<'static>> {
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    const FILES: &[&str] = &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/etc/ssl/cert.pem",
        "/usr/local/share/certs/ca-root-nss.crt",
        "/etc/openssl/certs/ca-certificates.crt",
    ];
    const FOLDERS: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/local/share/certs"];

    let set = |value: &Option<OsString>| value.clone().filter(|value| !value.is_empty());
    let files: Vec<PathBuf> = match set(&source.file) {
        Some(file) => vec![file.into()],
        None => FILES.iter().map(PathBuf::from).collect(),
    };
    let folders: Vec<PathBuf> = match set(&source.dirs) {
        Some(dirs) => dirs
            .as_bytes()
            .split(|b| *b == b':')
            .map(|dir| PathBuf::from(std::ffi::OsStr::from_bytes(dir)))
            .collect(),
        None => FOLDERS.iter().map(PathBuf::from).collect(),
    };
    let mut found = Vec::new();
    let from_bundle = files.iter().find_map(|file| read_limited(file));
    let has_bundle = from_bundle.is_some();
    found.extend(from_bundle.iter().flat_map(|pem| certificates(pem)));
    // The default folders hold one by one what the bundle holds at once;
    // reading them again would only cost time.
    if has_bundle && set(&source.dirs).is_none() && set(&source.file).is_none() {
        return found;
    }
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let alias =
                std::fs::read_link(&path).is_ok_and(|target| !target.as_os_str().as_bytes().contains(&b'/'));
            if !alias && let Some(pem) = read_limited(&path) {
                found.extend(certificates(&pem));
            }
        }
    }
    found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    return found;

    fn read_limited(path: &Path) -> Option<Vec<u8>> {
        use std::io::Read;
        const LIMIT: u64 = 16 << 20;
        if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
            .ok()?;
        Some(bytes)
    }
}

#[cfg(not(any(target_os = "macos", target_os = "windows")))]
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

/// Go's words for what went wrong in TLS.
pub(crate) fn trouble(err: &rustls::Error) -> Trouble {
    match err {
        rustls::Error::InvalidCertificate(err) => Trouble::new(
            match certificate_text(err) {
                Some(_) => FaultKind::Certificate,
                None => FaultKind::TlsHandshake,
            },
            format!(
                "tls: failed to verify certificate: x509: {}",
                certificate_text(err).unwrap_or_else(|| "unsupported certificate".to_owned())
            ),
        )
        .then(Again::Elsewhere),
        rustls::Error::AlertReceived(alert) => {
            let trouble = Trouble::nobody(
                FaultKind::TlsHandshake,
                format!("remote error: tls: {}", alert_text(*alert)),
            );
            // The two have nothing in common, and will not have next time.
            match alert {
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity => trouble.then(Again::Elsewhere),
                _ => trouble,
            }
        }
        rustls::Error::InvalidMessage(_) => Trouble::nobody(
            FaultKind::TlsHandshake,
            "tls: first record does not look like a TLS handshake",
        ),
        rustls::Error::PeerIncompatible(_) => Trouble::nobody(
            FaultKind::TlsHandshake,
            "tls: server selected unsupported protocol version or cipher suite",
        )
        .then(Again::Elsewhere),
        other => Trouble::nobody(
            FaultKind::TlsHandshake,
            format!("tls: {}", crate::text::safe(&other.to_string())),
        ),
    }
}

/// `None` where the library does not understand the certificate.
fn certificate_text(err: &CertificateError) -> Option<String> {
    let text = match err {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "certificate has expired or is not yet valid: current time {} is after {}",
            stamp(*time),
            stamp(*not_after)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "certificate has expired or is not yet valid: current time {} is before {}",
            stamp(*time),
            stamp(*not_before)
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented
                .iter()
                .map(|name| name.split('"').nth(1).unwrap_or(name))
                .collect::<Vec<_>>()
                .join(", ");
            if names.is_empty() {
                format!(
                    "certificate is not valid for any names, but wanted to match {}",
                    expected.to_str()
                )
            } else {
                format!(
                    "certificate is valid for {}, not {}",
                    crate::text::safe(&names),
                    expected.to_str()
                )
            }
        }
        CertificateError::NotValidForName => "certificate is not valid for this name".to_owned(),
        CertificateError::BadSignature => "signature of the certificate does not verify".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// RFC 3339 in UTC, as Go prints a certificate's times.
fn stamp(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| time.as_secs().to_string(), |stamp| stamp.to_string())
}

/// `crypto/tls/alert.go`.
fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => "handshake failure".to_owned(),
        AlertDescription::ProtocolVersion => "protocol version not supported".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized name".to_owned(),
        AlertDescription::InternalError => "internal error".to_owned(),
        AlertDescription::CertificateRequired => "certificate required".to_owned(),
        AlertDescription::BadCertificate => "bad certificate".to_owned(),
        AlertDescription::NoApplicationProtocol => "no application protocol".to_owned(),
        AlertDescription::AccessDenied => "access denied".to_owned(),
        AlertDescription::DecodeError => "error decoding message".to_owned(),
        other => format!("alert({})", u8::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &std::path::Path, dirs: &std::path::Path) -> RootSource {
        RootSource {
            file: Some(file.into()),
            dirs: Some(dirs.into()),
        }
    }

    #[test]
    fn the_two_variables_take_the_place_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            rcgen::generate_simple_self_signed([name.to_owned()])
                .unwrap()
                .cert
        };
        let (one, two) = (made("one.test"), made("two.test"));
        let bundle = folder.path().join("bundle.pem");
        std::fs::write(&bundle, format!("rubbish\n{}\n", one.pem())).unwrap();
        let dir = folder.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("two.pem"), two.pem()).unwrap();
        std::fs::write(dir.join("readme"), "no certificate").unwrap();
        std::os::unix::fs::symlink("two.pem", dir.join("hash.0")).unwrap();
        let mut expected = vec![one.der().clone(), two.der().clone()];
        expected.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        assert_eq!(load_roots(&source(&bundle, &dir)), expected);
        let nowhere = folder.path().join("nowhere");
        assert_eq!(load_roots(&source(&nowhere, &nowhere)), []);
        assert!(Tls::new(source(&nowhere, &nowhere)).config(true).is_ok());
    }

    #[test]
    fn the_words_of_go() {
        let text = |err| trouble(&rustls::Error::InvalidCertificate(err)).text;
        assert_eq!(
            text(CertificateError::UnknownIssuer),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        assert_eq!(
            text(CertificateError::ExpiredContext {
                time: at(86_400),
                not_after: at(0)
            }),
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: \
             current time 1970-01-02T00:00:00Z is after 1970-01-01T00:00:00Z"
        );
        let alert = trouble(&rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert_eq!(alert.text, "remote error: tls: handshake failure");
        assert!(alert.nobody);
    }
}
