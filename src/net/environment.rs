//! What go's own variables say about who is asked and how.

use std::path::PathBuf;

use super::credentials::{Credentials, GoAuth};
use super::proxy_env::ProxyVars;
use super::roots::RootSource;
use crate::go::env::{GoEnv, Layer};

/// Go's own variables, as far as they matter to who is asked and how.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// GOAUTH; empty means netrc.
    pub goauth: String,
    /// The netrc file, `None` where there is no home either.
    pub netrc: Option<PathBuf>,
    /// HTTP_PROXY and its kin.
    pub proxies: ProxyVars,
    /// SSL_CERT_FILE and SSL_CERT_DIR.
    pub roots: RootSource,
    /// HTTP/2 may be spoken (GODEBUG has no `http2client=0`).
    pub http2: bool,
}

impl Environment {
    /// Reads the variables as go would.
    #[must_use]
    pub fn from_go(env: &GoEnv) -> Self {
        // These are read by Go's libraries, which know nothing of a GOENV file.
        let own = |name: &str| {
            let (value, layer) = env.get(name);
            (layer == Layer::Environment && !value.is_empty()).then_some(value)
        };
        let text = |name: &str| own(name).map(|value| value.to_string_lossy().into_owned());
        let either = |upper: &str, lower: &str| text(upper).or_else(|| text(lower)).unwrap_or_default();
        Self {
            goauth: env.text("GOAUTH"),
            netrc: own("NETRC")
                .map(PathBuf::from)
                .or_else(|| Some(env.home()?.join(".netrc"))),
            proxies: ProxyVars {
                http: either("HTTP_PROXY", "http_proxy"),
                https: either("HTTPS_PROXY", "https_proxy"),
                no_proxy: either("NO_PROXY", "no_proxy"),
                cgi: own("REQUEST_METHOD").is_some(),
            },
            roots: RootSource {
                file: own("SSL_CERT_FILE"),
                dirs: own("SSL_CERT_DIR"),
            },
            http2: godebug(&text("GODEBUG").unwrap_or_default(), "http2client") != Some("0"),
        }
    }

    /// What go would tell the servers of itself without running what GOAUTH names.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(match GoAuth::parse(&self.goauth) {
            GoAuth::Netrc => self.netrc.clone(),
            GoAuth::Off | GoAuth::Other => None,
        })
    }
}

/// The last value of one key of GODEBUG.
fn godebug<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value
        .split(',')
        .rev()
        .find_map(|word| word.split_once('=').filter(|(name, _)| *name == key))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn godebug_keys() {
        assert_eq!(godebug("a=1,http2client=0", "http2client"), Some("0"));
        assert_eq!(godebug("http2client=0,http2client=1", "http2client"), Some("1"));
        assert_eq!(godebug("", "http2client"), None);
    }
}
