//! One request on one connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use crate::net::url::Url;

use super::net::Connection;

/// Most of an error's body that is kept.
const MAX_ERROR_BODY: usize = 4 << 10;

/// A connection on which requests can be made.
pub(super) enum Session {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
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
    ///
    /// # Errors
    /// Where not even the preface can be sent.
    pub(super) async fn start(stream: Box<dyn Connection>, http2: bool) -> Result<Self, String> {
        let io = TokioIo::new(stream);
        if http2 {
            let (sender, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(|e| words(&e))?;
            tokio::spawn(driver);
            return Ok(Self::Http2(sender));
        }
        let (sender, driver) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|e| words(&e))?;
        tokio::spawn(driver);
        Ok(Self::Http1(sender))
    }

    /// True while another request can be made.
    pub(super) async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// GETs `url`. `absolute` is for an HTTP proxy that is asked without CONNECT.
    ///
    /// # Errors
    /// What broke, in a few words.
    pub(super) async fn get(
        &mut self,
        url: &Url,
        authorization: Option<&str>,
        absolute: Option<&str>,
        wanted: Wanted,
    ) -> Result<Reply, String> {
        let start = Instant::now();
        let request = self.request(url, authorization, absolute)?;
        let sent = async {
            match self {
                Self::Http1(sender) => sender.send_request(request).await,
                Self::Http2(sender) => sender.send_request(request).await,
            }
        };
        let response = timeout(wanted.idle, sent)
            .await
            .map_err(|_| "no answer to the request".to_owned())?
            .map_err(|e| words(&e))?;
        let wait = start.elapsed();
        read(response, wait, wanted).await
    }

    fn request(
        &self,
        url: &Url,
        authorization: Option<&str>,
        absolute: Option<&str>,
    ) -> Result<Request<Empty<Bytes>>, String> {
        let scheme = if url.scheme == crate::net::url::Scheme::Https {
            "https"
        } else {
            "http"
        };
        let path = url.path_and_query();
        let full = format!("{scheme}://{}{path}", url.authority);
        let http2 = matches!(self, Self::Http2(_));
        let target = if http2 || absolute.is_some() { full } else { path };
        let uri: Uri = target.parse().map_err(|_| "the URL cannot be asked".to_owned())?;
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
            .body(Empty::new())
            .map_err(|_| "the URL cannot be asked".to_owned())
    }
}

async fn read(response: Response<Incoming>, wait: Duration, wanted: Wanted) -> Result<Reply, String> {
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
        location: header("location"),
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
            .map_err(|_| "the body stalls".to_owned())?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame
            .map_err(|e| format!("in the body: {}", words(&e)))?
            .into_data()
        else {
            continue;
        };
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
