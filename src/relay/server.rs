//! The side that go sees: an HTTP server on 127.0.0.1 for one user, one
//! process and one command.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::faults::{STATUS, STATUS_WORDS};
use super::fetch::{Fetcher, Outcome};
use super::peer;
use super::reply::Reply;
use super::request_error::Answer;
use crate::go::protocol::{Kind, Wanted};
use crate::sys::panics::caught_async;
use crate::sys::spool::Body;

/// The longest header that go may send; it sends a few hundred bytes.
const HEADER_LIMIT: usize = 32 << 10;
/// How long a connection may be silent; go itself closes after 90 s.
const SILENCE: Duration = Duration::from_secs(120);
/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;

/// What every request is held against.
pub(crate) struct ServerContext {
    pub(crate) token: String,
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    /// 200 or 404 only: the user's list stands behind the relay.
    pub(crate) in_front: bool,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Requests of go that wait for their answer.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// A request came to nothing by a fault of the relay's own.
    pub(crate) broken: Arc<AtomicBool>,
}

/// Counts one request for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, context: ServerContext) {
    let context = Arc::new(context);
    if caught_async("relay-listener", take(listener, &context))
        .await
        .is_none()
    {
        context.broken.store(true, Ordering::Relaxed);
    }
}

async fn take(listener: TcpListener, context: &Arc<ServerContext>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let context = Arc::clone(context);
        tokio::spawn(async move {
            talk(stream, peer, context).await;
            drop(permit);
        });
    }
}

async fn talk(stream: TcpStream, peer: SocketAddr, context: Arc<ServerContext>) {
    let stranger = stream
        .local_addr()
        .is_ok_and(|own| peer::owner(peer, own).is_stranger());
    if stranger || stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        async move {
            let answered = caught_async("relay-request", answer(&request, &context)).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|| failed(&context)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(HEADER_LIMIT)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that went away is nobody's trouble.
    drop(served);
}

async fn answer<B>(request: &Request<B>, context: &ServerContext) -> Response<Reply> {
    let (element, wanted) = match admit(request, context) {
        Ok(admitted) => admitted,
        Err(status) => return text(status, ""),
    };
    // Go takes the first proxy that has the checksum database and asks nobody else for it afterwards: what the
    // relay could not get would be an error in words that nobody puts back.
    if context.in_front && wanted.kind == Kind::SumdbSupported {
        return text(StatusCode::NOT_FOUND, "not found");
    }
    // Go runs again without the relay: nobody is asked for this run any more.
    if context.broken.load(Ordering::Relaxed) {
        return failed(context);
    }
    let agent = request.headers().get(header::USER_AGENT);
    let _waiting = Waiting::new(&context.waiting);
    match context.fetcher.fetch(element, &wanted, agent).await {
        Outcome::Answer(answer) if context.in_front && answer.status != 200 => {
            text(StatusCode::NOT_FOUND, "not found")
        }
        Outcome::Fault(_) if context.in_front => text(StatusCode::NOT_FOUND, "not found"),
        Outcome::Answer(answer) => pass_on(answer),
        Outcome::Fault(id) => fault(id),
    }
}

/// For a request that a fault of the relay's own has struck: go runs again without it, or has the user's list behind it.
fn failed(context: &ServerContext) -> Response<Reply> {
    context.broken.store(true, Ordering::Relaxed);
    match context.in_front {
        true => text(StatusCode::NOT_FOUND, "not found"),
        false => text(StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

/// Lets in only what this command's go asks for.
fn admit<B>(request: &Request<B>, context: &ServerContext) -> Result<(usize, Wanted), StatusCode> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if host != Some(context.host.as_bytes()) || hosts.next().is_some() || request.uri().authority().is_some()
    {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    let (token, path) = path.split_once('/').unwrap_or((path, ""));
    if !same(token.as_bytes(), context.token.as_bytes()) {
        return Err(StatusCode::FORBIDDEN);
    }
    if request.method() != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.uri().query().is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let (number, path) = path.split_once('/').ok_or(StatusCode::BAD_REQUEST)?;
    let number: usize = number.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    if number >= context.fetcher.elements.len() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let wanted = Wanted::parse(path).ok_or(StatusCode::BAD_REQUEST)?;
    Ok((number, wanted))
}

/// Compares without telling by its time where two secrets differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

fn pass_on(answer: Answer) -> Response<Reply> {
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return text(StatusCode::BAD_GATEWAY, "");
    };
    let mut response = Response::new(Reply::from(answer.body));
    *response.status_mut() = status;
    if let Some(value) = answer
        .content_type
        .and_then(|value| HeaderValue::from_bytes(&value).ok())
    {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    put_reason(&mut response, answer.reason.unwrap_or_default());
    response
}

/// Go prints `reading URL: 599 relay fault N`, and the rewriter finds it.
fn fault(id: usize) -> Response<Reply> {
    let status = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = text(status, "");
    put_reason(&mut response, format!("{STATUS_WORDS} {id}").into_bytes());
    response
}

fn put_reason(response: &mut Response<Reply>, reason: Vec<u8>) {
    if !reason.is_empty()
        && let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
}

fn text(status: StatusCode, words: &'static str) -> Response<Reply> {
    let mut response = Response::new(Reply::from(Body::from_bytes(words)));
    *response.status_mut() = status;
    response
}
