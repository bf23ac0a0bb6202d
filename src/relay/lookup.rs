//! One file asked of one proxy, once: for a command of gofix that asks by itself, with the same
//! connections, certificates, credentials and clocks as the relay.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{self, HeaderMap, HeaderValue};

use super::client::{Client, Exchange};
use super::request_error::RequestError;
use super::{Setup, schedule};
use crate::diagnose::FaultKind;
use crate::go::files;
use crate::go::protocol::{Kind, Wanted};
use crate::net::dial::Timeouts;
use crate::net::url::Url;
use crate::sys::spool::Body;

/// Asks proxies for single files.
#[derive(Debug)]
pub(crate) struct Lookup {
    client: Arc<Client>,
    timeouts: Timeouts,
}

/// What a proxy said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The status in words: `404 Not Found`.
    pub(crate) text: String,
    /// What is wrong with the body of a 200.
    pub(crate) complaint: Option<String>,
    /// The body, but for a zip, of which only the beginning is read.
    pub(crate) body: Vec<u8>,
    /// For how long a cache may give the same answer again.
    pub(crate) fresh: Option<Duration>,
    /// When the server wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// Why nothing was said.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    pub(crate) kind: FaultKind,
    /// Go's words for it.
    pub(crate) text: String,
}

impl Lookup {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            timeouts: setup.timeouts(),
            client: super::client(setup.environment),
        }
    }

    /// Asks the proxy at `base` for `wanted`.
    pub(crate) async fn ask(&self, base: &Url, wanted: &Wanted) -> Result<Reply, Silence> {
        let url = base.below(&wanted.path);
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
        let exchange = self.client.get(&url, &headers, self.timeouts, None);
        let mut exchange = exchange.await.map_err(|error| silence(&error))?;
        let mut reply = Reply {
            status: exchange.status.as_u16(),
            text: exchange.status.to_string(),
            complaint: None,
            body: Vec::new(),
            fresh: fresh(&exchange),
            retry_after: exchange
                .header(&header::RETRY_AFTER)
                .and_then(|value| schedule::retry_after(value, SystemTime::now())),
        };
        if reply.status != 200 {
            return Ok(reply);
        }
        if wanted.kind == Kind::Zip {
            // The whole may be large, and go asks for it anyway.
            reply.body = exchange.head(4, self.timeouts.stall).await;
            reply.complaint = (!files::may_be_zip(&reply.body)).then(|| "not a zip".to_owned());
            return Ok(reply);
        }
        let limit = usize::try_from(files::limit(&wanted.kind)).unwrap_or(usize::MAX);
        reply.body = exchange.head(limit, self.timeouts.stall).await;
        reply.complaint = files::complaint(wanted, &Body::from_bytes(reply.body.clone()));
        self.client.give_back(exchange);
        Ok(reply)
    }
}

fn silence(error: &RequestError) -> Silence {
    Silence {
        kind: error.kind,
        text: crate::text::safe(&error.text),
    }
}

/// What is left of the time for which an answer may be kept (RFC 9111, 4.2).
fn fresh(exchange: &Exchange) -> Option<Duration> {
    let age = exchange
        .header(&header::AGE)
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or(0);
    freshness(exchange.header(&header::CACHE_CONTROL)?, age)
}

fn freshness(cache_control: &str, age: u64) -> Option<Duration> {
    let mut max_age = None;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return None,
            "max-age" => max_age = value.trim().trim_matches('"').parse::<u64>().ok(),
            _ => {}
        }
    }
    Some(Duration::from_secs(max_age?.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_is_fresh() {
        let of = |value, age| freshness(value, age).map(|left| left.as_secs());
        assert_eq!(of("max-age=60", 0), Some(60));
        assert_eq!(of("public, Max-Age=\"1800\"", 100), Some(1700));
        assert_eq!(of("max-age=60", 61), Some(0));
        assert_eq!(of("max-age=60, no-cache", 0), None);
        assert_eq!(of("no-store", 0), None);
        assert_eq!(of("public", 0), None);
        assert_eq!(of("max-age=soon", 0), None);
    }
}
