//! TLS as go does it: the same certificates are trusted, the same words used.
//!
//! On Linux and the BSDs the roots are read from where Go reads them, with
//! SSL_CERT_FILE and SSL_CERT_DIR in place of its own lists; on macOS and
//! Windows the system's store is asked. Nothing is read before the first https
//! upstream is.
//!
//! Known to be imperfect: a certificate authority's own certificate shown by a
//! server as its own is refused here even where it is a root.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use crate::diagnose::FaultKind;

use super::trouble::{Again, Trouble};

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
    // Certificates that the library cannot read are left out, as Go does.
    roots.add_parsable_certificates(load_roots(source));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut http1 = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| format!("tls: {err}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut both = http1.clone();
    both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Configs {
        both: Arc::new(both),
        http1: Arc::new(http1),
    })
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
            FaultKind::Certificate,
            format!("tls: failed to verify certificate: {}", certificate_text(err)),
        )
        .then(Again::Elsewhere),
        rustls::Error::AlertReceived(alert) => Trouble::nobody(
            FaultKind::TlsHandshake,
            format!("remote error: tls: {}", alert_text(*alert)),
        ),
        rustls::Error::InvalidMessage(_) => Trouble::nobody(
            FaultKind::TlsHandshake,
            "tls: first record does not look like a TLS handshake",
        ),
        rustls::Error::PeerIncompatible(_) => Trouble::nobody(
            FaultKind::TlsHandshake,
            "tls: server selected unsupported protocol version or cipher suite",
        ),
        other => Trouble::nobody(
            FaultKind::TlsHandshake,
            format!("tls: {}", crate::report::safe(&other.to_string())),
        ),
    }
}

fn certificate_text(err: &CertificateError) -> String {
    match err {
        CertificateError::UnknownIssuer => "x509: certificate signed by unknown authority".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "x509: certificate has expired or is not yet valid: current time {} is after {}",
            stamp(*time),
            stamp(*not_after)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "x509: certificate has expired or is not yet valid: current time {} is before {}",
            stamp(*time),
            stamp(*not_before)
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented
                .iter()
                .map(|name| name.split('"').nth(1).unwrap_or(name))
                .collect::<Vec<_>>()
                .join(", ");
            if names.is_empty() {
                format!(
                    "x509: certificate is not valid for any names, but wanted to match {}",
                    expected.to_str()
                )
            } else {
                format!(
                    "x509: certificate is valid for {}, not {}",
                    crate::report::safe(&names),
                    expected.to_str()
                )
            }
        }
        CertificateError::NotValidForName => "x509: certificate is not valid for this name".to_owned(),
        other => format!("x509: {}", crate::report::safe(&other.to_string())),
    }
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
