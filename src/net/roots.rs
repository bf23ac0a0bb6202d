//! The certificates that go trusts, read from where `crypto/x509` reads them.
//!
//! Known limitations: on macOS and Windows go asks the system to verify, while here the system's roots are read. What
//! that comes to differently go is left to decide.

use std::ffi::OsString;

use rustls::pki_types::CertificateDer;

/// Where certificates come from: the two variables that Go reads.
#[derive(Debug, Clone, Default)]
pub struct RootSource {
    /// SSL_CERT_FILE.
    pub file: Option<OsString>,
    /// SSL_CERT_DIR, folders between colons.
    pub dirs: Option<OsString>,
}

#[cfg(any(target_os = "macos", target_os = "windows"))]
impl RootSource {
    /// The system's own store. Where one of the two variables is set the library would read that instead, which go does
    /// not do on these systems: then there are no roots, and go asks by itself.
    pub(crate) fn bundle(&self) -> Vec<CertificateDer<'static>> {
        let is_set = |name| std::env::var_os(name).is_some();
        match is_set("SSL_CERT_FILE") || is_set("SSL_CERT_DIR") {
            true => Vec::new(),
            false => rustls_native_certs::load_native_certs().certs,
        }
    }

    pub(crate) fn folders(&self) -> Vec<CertificateDer<'static>> {
        Vec::new()
    }
}

#[cfg(not(any(target_os = "macos", target_os = "windows")))]
impl RootSource {
    /// The first file that can be read.
    pub(crate) fn bundle(&self) -> Vec<CertificateDer<'static>> {
        let files = match set(&self.file) {
            Some(file) => vec![file.into()],
            None => unix::paths(unix::PLACES.files),
        };
        let bundle = files.iter().find_map(|file| unix::read(file));
        bundle.map_or_else(Vec::new, |pem| unix::certificates(&pem))
    }

    /// Every file of every folder, the bundle or not.
    pub(crate) fn folders(&self) -> Vec<CertificateDer<'static>> {
        let folders = match set(&self.dirs) {
            Some(dirs) => std::env::split_paths(&dirs).collect(),
            None => unix::paths(unix::PLACES.folders),
        };
        folders
            .iter()
            .flat_map(|folder| unix::files(folder))
            .filter_map(|file| unix::read(&file))
            .flat_map(|pem| unix::certificates(&pem))
            .collect()
    }
}

#[cfg(not(any(target_os = "macos", target_os = "windows")))]
fn set(value: &Option<OsString>) -> Option<OsString> {
    value.clone().filter(|value| !value.is_empty())
}

#[cfg(not(any(target_os = "macos", target_os = "windows")))]
mod unix {
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// Where a system keeps its certificates.
    pub(super) struct Places {
        pub(super) files: &'static [&'static str],
        pub(super) folders: &'static [&'static str],
    }

    /// `crypto/x509/root_bsd.go`.
    const BSD: Places = Places {
        files: &[
            "/usr/local/etc/ssl/cert.pem",
            "/etc/ssl/cert.pem",
            "/usr/local/share/certs/ca-root-nss.crt",
            "/etc/openssl/certs/ca-certificates.crt",
        ],
        folders: &["/etc/ssl/certs", "/usr/local/share/certs", "/etc/openssl/certs"],
    };

    /// `crypto/x509/root_linux.go`.
    const LINUX: Places = Places {
        files: &[
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/etc/pki/tls/cacert.pem",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/ssl/cert.pem",
        ],
        folders: &["/etc/ssl/certs", "/etc/pki/tls/certs"],
    };

    const IS_BSD: bool = cfg!(any(
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd"
    ));
    pub(super) const PLACES: Places = if IS_BSD { BSD } else { LINUX };

    /// A bundle larger than this is none.
    const LIMIT: u64 = 16 << 20;

    pub(super) fn paths(known: &[&str]) -> Vec<PathBuf> {
        known.iter().map(PathBuf::from).collect()
    }

    /// The files of a folder, but for links to others of it.
    pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
        let is_alias = |path: &Path| {
            std::fs::read_link(path).is_ok_and(|target| !target.as_os_str().as_bytes().contains(&b'/'))
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| !is_alias(path))
            .collect()
    }

    /// The content of a file. Nothing else is opened: a pipe would be waited for.
    pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
        if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
            .ok()?;
        Some(bytes)
    }

    pub(super) fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem)
            .filter_map(Result::ok)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let source = |file: &std::path::Path, dirs: &std::path::Path| RootSource {
            file: Some(file.into()),
            dirs: Some(dirs.into()),
        };
        let both = source(&bundle, &dir);
        assert_eq!(both.bundle(), [one.der().clone()]);
        assert_eq!(both.folders(), [two.der().clone()]);
        let nowhere = folder.path().join("nowhere");
        let none = source(&nowhere, &nowhere);
        assert_eq!((none.bundle(), none.folders()), (vec![], vec![]));
    }
}
