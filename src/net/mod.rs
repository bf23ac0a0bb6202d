//! How go dials: URLs, proxies of the environment, credentials, TLS. Relay and doctor use it.

pub(crate) mod credentials;
pub(crate) mod dial;
pub(crate) mod proxy_env;
pub(crate) mod tls;
pub(crate) mod url;
