//! One request on one connection.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use crate::net::dial::Stream;
use crate::net::http::{Http1, Http2, Payload};
use crate::net::limits::Allowance;
use crate::net::redirect;
use crate::net::url::Url;

use super::words::StepError;

/// Most of an error's body that is kept.
const MAX_ERROR_BODY: usize = 4 << 10;

/// What only a proxy says of itself where it was not asked as one: any, and Squid.
const PROXY_HEADERS: &[&str] = &["proxy-authenticate", "proxy-agent", "x-squid-error"];

/// A connection on which requests can be made.
pub(super) enum Session {
    Http1(Http1),
    Http2(Http2),
}

/// How much of a body is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) bytes: usize,
    /// Stop reading after this, with what is there.
    pub(super) time: Duration,
    /// Longest time without a byte.
    pub(super) idle: Duration,
}

/// An answer, or as much of it as was wanted.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) date: Option<String>,
    pub(super) location: Option<String>,
    /// It answers as an HTTP proxy does that is asked as if it were a server.
    pub(super) is_of_a_proxy: bool,
    /// As much as was kept: all of it for small bodies, the head of large ones.
    pub(super) body: Vec<u8>,
    /// Bytes that arrived.
    pub(super) received: u64,
    /// From the request to the header.
    pub(super) wait: Duration,
    /// From the header to the last byte that was read.
    pub(super) transfer: Duration,
}

impl Session {
    /// Starts to speak HTTP on `stream`.
    pub(super) async fn start(stream: Box<dyn Stream>, http2: bool) -> Result<Self, StepError> {
        let started = match http2 {
            true => Http2::start(stream).await.map(Self::Http2),
            false => Http1::start(stream).await.map(Self::Http1),
        };
        started.map_err(|e| StepError::Other(words(&e)))
    }

    /// True while another request can be made.
    pub(super) async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_ready().await,
            Self::Http2(connection) => connection.is_ready().await,
        }
    }

    /// GETs `url`. `absolute` is for an HTTP proxy that is asked without CONNECT.
    pub(super) async fn get(
        &mut self,
        url: &Url,
        authorization: Option<&str>,
        absolute: Option<&str>,
        wanted: Wanted,
    ) -> Result<Reply, StepError> {
        let start = Instant::now();
        let request = self.request(url, authorization, absolute)?;
        let sent = async {
            match self {
                Self::Http1(connection) => connection.send(request).await,
                Self::Http2(connection) => connection.send(request).await,
            }
        };
        let response = timeout(wanted.idle, sent)
            .await
            .map_err(|_| StepError::TimedOut("no answer to the request"))?
            .map_err(|e| StepError::Other(words(&e)))?;
        let wait = start.elapsed();
        read(response, wait, wanted).await
    }

    fn request(
        &self,
        url: &Url,
        authorization: Option<&str>,
        absolute: Option<&str>,
    ) -> Result<Request<Payload>, StepError> {
        let path = url.path_and_query();
        let full = format!("{}://{}{path}", url.scheme.as_str(), url.authority);
        let http2 = matches!(self, Self::Http2(_));
        let target = if http2 || absolute.is_some() { full } else { path };
        let uri: Uri = target.parse().map_err(|_| StepError::unaskable())?;
        let mut request =
            Request::get(uri).header("user-agent", concat!("gofix-doctor/", env!("CARGO_PKG_VERSION")));
        if !http2 {
            request = request.header("host", &url.authority);
        }
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        if let Some(login) = absolute.filter(|login| !login.is_empty()) {
            request = request.header("proxy-authorization", login);
        }
        request
            .body(Payload::default())
            .map_err(|_| StepError::unaskable())
    }
}

async fn read(
    (response, allowance): (Response<Incoming>, Allowance),
    wait: Duration,
    wanted: Wanted,
) -> Result<Reply, StepError> {
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut reply = Reply {
        status: response.status().as_u16(),
        content_type: header("content-type").unwrap_or_default(),
        date: header("date"),
        location: redirect::target(response.status(), response.headers()),
        is_of_a_proxy: response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            || PROXY_HEADERS
                .iter()
                .any(|name| response.headers().contains_key(*name)),
        body: Vec::new(),
        received: 0,
        wait,
        transfer: Duration::ZERO,
    };
    let start = Instant::now();
    let limit = if reply.status == 200 {
        wanted.bytes
    } else {
        wanted.bytes.min(MAX_ERROR_BODY)
    };
    let mut body = response.into_body();
    while reply.received < limit as u64 && start.elapsed() < wanted.time {
        let frame = timeout(wanted.idle, body.frame())
            .await
            .map_err(|_| StepError::TimedOut("the body stalls"))?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame
            .map_err(|e| StepError::Other(format!("in the body: {}", words(&e))))?
            .into_data()
        else {
            continue;
        };
        allowance.body(data.len());
        reply.received += data.len() as u64;
        let room = MAX_ERROR_BODY.saturating_sub(reply.body.len());
        reply.body.extend_from_slice(&data[..data.len().min(room)]);
    }
    reply.transfer = start.elapsed();
    Ok(reply)
}

/// The innermost words of an error of the HTTP library.
fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match inner.downcast_ref::<std::io::Error>() {
        Some(io) => super::words::io(io),
        None => crate::text::safe(&inner.to_string()),
    }
}
