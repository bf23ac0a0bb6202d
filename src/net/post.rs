//! One body posted once, on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Uri};

use super::credentials::basic;
use super::dial::{self, DialError, LookupError, Timeouts};
use super::environment::Environment;
use super::http::{Http1, Payload};
use super::proxy_env::{ProxyRules, ProxyScheme, UnusableProxy};
use super::tls::Tls;
use super::tunnel;
use super::url::{Scheme, Url};
use crate::text::{errno_text, safe};

/// Why nothing could be posted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error(transparent)]
    Proxy(#[from] UnusableProxy),
    #[error("{}", dial_words(.0))]
    Dial(Box<DialError>),
    #[error("{}", safe(&.0.to_string()))]
    Http(#[from] hyper::Error),
    #[error("the URL cannot be asked")]
    Url,
    #[error("one of the headers has no valid name")]
    HeaderName,
    #[error("the value of header {0} cannot be sent")]
    HeaderValue(HeaderName),
}

impl From<DialError> for PostError {
    fn from(error: DialError) -> Self {
        Self::Dial(Box::new(error))
    }
}

/// What is posted.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) url: &'a Url,
    pub(crate) content_type: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Vec<u8>,
}

impl Post<'_> {
    /// Sends it and returns the status. No step waits for longer than `limit`.
    ///
    /// # Errors
    /// What went wrong; its words hold no secrets.
    pub(crate) async fn send(self, environment: &Environment, limit: Duration) -> Result<u16, PostError> {
        let url = self.url;
        let timeouts = Timeouts {
            lookup: limit,
            connect: limit,
            handshake: limit,
            tunnel: limit,
            first_byte: limit,
            stall: limit,
            quiet: limit,
        };
        let tls = Tls::new(environment.roots.clone());
        let rules = ProxyRules::new(&environment.proxies);
        let proxy = rules.proxy_for(url.scheme, &url.host, url.port)?;
        // An HTTP proxy is asked for the whole URL, and for https for a tunnel.
        let asked = proxy.filter(|proxy| url.scheme == Scheme::Http && proxy.scheme != ProxyScheme::Socks5);
        let connected = match proxy {
            None => dial::tcp(&url.host, url.port, timeouts, false).await,
            Some(proxy) => match dial::to_proxy(proxy, timeouts, &tls).await {
                Ok(connected) if asked.is_none() => {
                    dial::tunnel(connected, proxy, &url.host, url.port, limit).await
                }
                connected => connected,
            },
        };
        let mut connected = connected?;
        if url.scheme == Scheme::Https {
            let config = tls.config(false).map_err(DialError::from)?;
            (connected, _) = dial::handshake(connected, &url.host, config, limit).await?;
        }
        let mut request = self.request(asked.is_some())?;
        if let Some(login) = asked.and_then(tunnel::proxy_authorization) {
            put(&mut request, header::PROXY_AUTHORIZATION, &login)?;
        }
        let mut connection = Http1::start(connected.stream).await?;
        let (response, _) = connection.send(request).await?;
        Ok(response.status().as_u16())
    }

    fn request(self, absolute: bool) -> Result<Request<Payload>, PostError> {
        let url = self.url;
        let path = url.path_and_query();
        let target = match absolute {
            true => format!("{}://{}{path}", url.scheme.as_str(), url.authority),
            false => path,
        };
        let uri: Uri = target.parse().map_err(|_| PostError::Url)?;
        let mut request = Request::post(uri)
            .body(Payload::new(Bytes::from(self.body)))
            .map_err(|_| PostError::Url)?;
        put(&mut request, header::HOST, &url.authority)?;
        put(&mut request, header::CONTENT_TYPE, self.content_type)?;
        put(
            &mut request,
            header::USER_AGENT,
            concat!("gofix/", env!("CARGO_PKG_VERSION")),
        )?;
        if let Some(user) = &url.user {
            put(&mut request, header::AUTHORIZATION, &basic(user))?;
        }
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| PostError::HeaderName)?;
            put(&mut request, name, value)?;
        }
        Ok(request)
    }
}

fn put(request: &mut Request<Payload>, name: HeaderName, value: &str) -> Result<(), PostError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| PostError::HeaderValue(name.clone()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

fn dial_words(error: &DialError) -> String {
    match error {
        DialError::Lookup {
            host,
            error: LookupError::NoSuchHost,
        } => format!("lookup {}: no such host", safe(host)),
        DialError::Lookup { host, .. } => format!("lookup {} failed", safe(host)),
        DialError::Connect { address, error } => format!("dial {address}: {}", errno_text(error)),
        DialError::Handshake { error, .. } => format!("TLS: {}", safe(&error.to_string())),
        DialError::ToProxy(error) => format!("proxy: {}", dial_words(error)),
        DialError::Library(error) => error.to_string(),
        DialError::Tunnel { error, .. } => format!("proxy: {}", safe(&error.to_string())),
        _ => "no connection".to_owned(),
    }
}
