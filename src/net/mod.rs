//! How go dials: URLs, proxies of the environment, credentials, TLS. Relay and doctor use it.

pub(crate) mod certificate;
pub(crate) mod credentials;
pub(crate) mod dial;
pub(crate) mod environment;
pub(crate) mod helper;
pub(crate) mod http;
pub(crate) mod limits;
pub(crate) mod post;
pub(crate) mod proxy_env;
pub(crate) mod redirect;
pub(crate) mod roots;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod url;
