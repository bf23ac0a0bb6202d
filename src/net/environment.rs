//! What go's own variables say about who is asked and how.

use std::path::PathBuf;
use std::sync::Arc;

use super::credentials::Credentials;
use super::helper::Helpers;
use super::proxy_env::ProxyVars;
use super::roots::RootSource;
use crate::go::env::{GoEnv, Layer};
use crate::go::goauth::{self, Method};

/// Go's own variables, as far as they matter to who is asked and how.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// GOAUTH; empty means netrc.
    pub goauth: String,
    /// The netrc file, `None` where there is no home either.
    pub netrc: Option<PathBuf>,
    /// How the programs of GOAUTH are run, where they are.
    pub helpers: Option<Arc<Helpers>>,
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
            goauth: goauth(env),
            netrc: own("NETRC")
                .map(PathBuf::from)
                .or_else(|| Some(env.home()?.join(".netrc"))),
            helpers: None,
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

    /// Lets the programs of GOAUTH be run, where go itself is sure to run them.
    #[must_use]
    pub fn with_helpers(mut self, env: &GoEnv, go: PathBuf, dir: PathBuf) -> Self {
        if env.speaks_goauth() == Some(true) {
            let helpers = Helpers::new(go, dir, env.get("GOTOOLCHAIN").0);
            self.helpers = Some(Arc::new(helpers));
        }
        self
    }

    /// What go would tell the servers of itself.
    pub(crate) fn credentials(&self) -> Credentials {
        let methods = goauth::methods(&self.goauth).unwrap_or_default();
        Credentials::new(methods, self.netrc.clone(), self.helpers.clone())
    }

    /// GOAUTH is nothing that can be done here as go does it: https is left to go.
    pub(crate) fn leaves_https_to_go(&self) -> bool {
        let can = |method: &Method| match method {
            Method::Netrc => true,
            Method::Git(dir) => self.helpers.is_some() && dir.is_dir(),
            Method::Command(_) => self.helpers.is_some(),
        };
        !goauth::methods(&self.goauth).is_some_and(|methods| methods.iter().all(can))
    }
}

/// GOAUTH, or nothing where go does not know it.
fn goauth(env: &GoEnv) -> String {
    match env.speaks_goauth() {
        Some(false) => String::new(),
        Some(true) | None => env.text("GOAUTH"),
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
