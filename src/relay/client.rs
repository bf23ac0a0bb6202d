//! One request to one upstream: connections that are kept, HTTP/1.1 and
//! HTTP/2, redirects, and a second connection beside one that has gone silent.
//!
//! A line that has forgotten a connection (a NAT, a firewall, a proxy that was
//! restarted behind a balancer) says nothing, and so does a server that thinks.
//! Nobody can tell the two apart, so neither is given up: the same is asked
//! once more on another connection, and whichever speaks first is listened to.
//!
//! Known to be imperfect: a second connection that was asked in vain is in no
//! report.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::diagnose::FaultKind;

use super::ahead::Ticket;
use super::request_error::{Again, Phase, RequestError};
use super::words::{find, http_error};
use crate::go::goauth;
use crate::net::credentials::{self, Credentials, FromGit};
use crate::net::dial::{self, Connected, DialError, Ends, Timeouts};
use crate::net::http::{self, Payload};
use crate::net::limits::{self, Allowance};
use crate::net::proxy_env::{ProxyRules, ProxyScheme};
use crate::net::tls::Tls;
use crate::net::url::{Scheme, Url};
use crate::net::{redirect, tunnel};
use crate::sys::clock::{Clock, least, within};

/// Idle connections kept for one host.
const IDLE_PER_HOST: usize = 16;
/// How long an idle connection is kept, as in Go.
const IDLE_LIMIT: Duration = Duration::from_secs(90);

/// What requests are made with.
#[derive(Debug)]
pub(crate) struct Client {
    tls: Tls,
    proxies: ProxyRules,
    credentials: Credentials,
    http2: bool,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: HashMap<Origin, Vec<Idle>>,
    shared: HashMap<Origin, Shared>,
    /// Connections under way that others may be going to share.
    opening: HashMap<Origin, Opening>,
    http1_only: HashSet<Origin>,
    /// Those that have not agreed to HTTP/2.
    http1_chosen: HashSet<Origin>,
    /// What each host may still be asked beside a silent connection.
    hedge_budget: HashMap<Origin, HedgeBudget>,
}

/// One connection that all wait for who want the same host, and what came of it.
type Opening = Arc<OnceCell<Result<(), RequestError>>>;

/// What a host may be asked on second connections: a slow one must not get
/// twice the work from those who find it slow. In tenths of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HedgeBudget(u32);

impl Default for HedgeBudget {
    fn default() -> Self {
        Self(Self::MOST)
    }
}

impl HedgeBudget {
    const REQUEST: u32 = 10;
    const MOST: u32 = 8 * Self::REQUEST;

    fn take(&mut self) -> bool {
        match self.0.checked_sub(Self::REQUEST) {
            Some(left) => self.0 = left,
            None => return false,
        }
        true
    }

    /// A second connection that answered where the first was silent costs
    /// nothing.
    fn give_back(&mut self) {
        self.0 = (self.0 + Self::REQUEST).min(Self::MOST);
    }

    /// So does a tenth of those asked for nothing, where others answer.
    fn answered(&mut self) {
        self.0 = (self.0 + 1).min(Self::MOST);
    }
}

/// Whom a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme,
            host: url.host.clone(),
            port: url.port,
        }
    }
}

#[derive(Debug)]
struct Idle {
    since: Instant,
    connection: Http1,
}

#[derive(Debug)]
struct Http1 {
    connection: http::Http1,
    ends: Ends,
    /// The request line names the whole URL: an HTTP proxy takes it further.
    absolute: Option<Option<String>>,
}

#[derive(Debug, Clone)]
struct Shared {
    connection: http::Http2,
    ends: Ends,
    requests: u32,
    since: Instant,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The status.
    pub(crate) status: StatusCode,
    /// The words behind the status, where they are not the usual ones.
    pub(crate) reason: Option<Vec<u8>>,
    /// The header.
    pub(crate) headers: HeaderMap,
    /// The URL that answered, after redirects, where there were any.
    pub(crate) redirected: Option<String>,
    /// Its host, where it is another than the one that was asked.
    pub(crate) redirected_to: Option<String>,
    /// It refuses, and go by itself may do better: it sends credentials where none went from here.
    pub(crate) is_gos_own: bool,
    version: Version,
    /// How long another connection was silent until this one answered in its
    /// place.
    pub(crate) instead_of: Option<Duration>,
    /// Who answered.
    pub(crate) origin: Origin,
    body: Incoming,
    allowance: Allowance,
    ends: Ends,
    stream: u32,
    connection: Option<Http1>,
}

impl Client {
    pub(crate) fn new(tls: Tls, proxies: ProxyRules, credentials: Credentials, http2: bool) -> Self {
        Self {
            tls,
            proxies,
            credentials,
            http2,
            pool: Mutex::default(),
        }
    }

    /// GETs `url` and follows redirects. Credentials go to the URL's own host
    /// alone. Where it refuses, the programs of GOAUTH are asked for more, once.
    pub(crate) async fn get(
        self: &Arc<Self>,
        url: &Url,
        extra: &HeaderMap,
        timeouts: Timeouts,
        ticket: Option<&Ticket>,
    ) -> Result<Exchange, RequestError> {
        self.get_by(url, extra, timeouts, None, ticket).await
    }

    /// The same by connections that were heard of after `alive_since`.
    async fn get_by(
        self: &Arc<Self>,
        url: &Url,
        extra: &HeaderMap,
        timeouts: Timeouts,
        alive_since: Option<Instant>,
        ticket: Option<&Ticket>,
    ) -> Result<Exchange, RequestError> {
        let asking = Asking {
            method: Method::GET,
            url,
            extra,
            timeouts,
            alive_since,
            ticket,
        };
        let mut secrets = self.credentials.headers(url).await;
        let mut is_anonymous = secrets.is_empty();
        let mut exchange = self.follow(&asking, secrets).await?;
        if exchange.status.is_client_error() && self.credentials.can_be_asked_again(url) {
            let refused = exchange.for_helpers();
            exchange.discard(timeouts.stall).await;
            self.give_back(exchange);
            if let Some(from_git) = self.credentials.ask_again(url, refused).await {
                tokio::spawn(Arc::clone(self).try_for_git(from_git, timeouts));
            }
            secrets = self.credentials.headers(url).await;
            is_anonymous = secrets.is_empty();
            exchange = self.follow(&asking, secrets).await?;
        }
        exchange.is_gos_own |= is_anonymous && self.credentials.have_failed_for(url);
        exchange.is_gos_own &= refuses(exchange.status);
        Ok(exchange)
    }

    /// Tells git whether what it said holds, as go does: by a HEAD request.
    async fn try_for_git(self: Arc<Self>, from_git: FromGit, timeouts: Timeouts) {
        const TRIES: usize = 3;
        let mut extra = HeaderMap::new();
        extra.insert(header::USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
        for _ in 0..TRIES {
            let asking = Asking {
                method: Method::HEAD,
                url: &from_git.url,
                extra: &extra,
                timeouts,
                alive_since: None,
                ticket: None,
            };
            let Ok(exchange) = self.follow(&asking, from_git.headers.clone()).await else {
                continue;
            };
            let status = exchange.status;
            self.give_back(exchange);
            if matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED) {
                let right = status == StatusCode::OK;
                return self.credentials.tell_git(from_git, right).await;
            }
        }
    }

    /// Asks once and follows redirects; `secrets` go no further than the first host.
    async fn follow(&self, asking: &Asking<'_>, mut secrets: HeaderMap) -> Result<Exchange, RequestError> {
        let &Asking {
            ref method,
            url,
            extra,
            timeouts,
            alive_since,
            ticket,
        } = asking;
        let mut at = url.clone();
        let mut left_behind = false;
        let mut instead_of = None;
        for hop in 0..limits::REDIRECTS {
            let elsewhere = !at.same_host(url);
            if elsewhere && at.host.parse().is_ok_and(dial::is_link_local) {
                let mut error =
                    RequestError::new(FaultKind::Garbage, "redirected to link-local address, refused");
                error.url = Some(at.stripped());
                return Err(error);
            }
            let with_target = |mut error: RequestError| {
                if hop > 0 {
                    error.url = Some(at.stripped());
                }
                error
            };
            let origin = Origin::of(&at);
            let sent = Sent {
                method,
                url: &at,
                extra,
                secrets: &secrets,
                timeouts,
                redirected: elsewhere,
                origin: &origin,
                ticket,
            };
            let mut exchange = self.send(&sent, alive_since).await.map_err(with_target)?;
            instead_of = exchange.instead_of.or(instead_of);
            let Some(location) = redirect::target(exchange.status, &exchange.headers) else {
                exchange.redirected = (hop > 0).then(|| at.redacted());
                exchange.redirected_to = elsewhere.then(|| at.authority.clone());
                exchange.instead_of = instead_of;
                exchange.is_gos_own = left_behind;
                return Ok(exchange);
            };
            let next = redirect::follow(url, &at, &location, hop)?;
            if !next.same_host(&at) {
                left_behind |= !secrets.is_empty();
                secrets.clear();
            }
            if let Some(own) = credentials::own(&next).filter(|_| next.scheme == Scheme::Https) {
                secrets = own;
            }
            // A short body is read so that the connection can be kept.
            exchange.discard(timeouts.stall).await;
            self.give_back(exchange);
            at = next;
        }
        Err(RequestError::new(
            FaultKind::Garbage,
            "stopped after 10 redirects",
        ))
    }

    /// One request; where it meets silence, one more beside it.
    async fn send(&self, sent: &Sent<'_>, alive_since: Option<Instant>) -> Result<Exchange, RequestError> {
        let started = Instant::now();
        let first = self.send_once(sent, alive_since);
        tokio::pin!(first);
        loop {
            if let Some(done) = within(sent.timeouts.quiet, &mut first).await {
                if done.is_ok() {
                    self.hedge_budget(sent.origin, HedgeBudget::answered);
                }
                return done;
            }
            // What nobody waits for yet is in no need of a second connection.
            if sent.ticket.is_none_or(Ticket::is_claimed) {
                break;
            }
        }
        if !self.hedge_budget(sent.origin, HedgeBudget::take) {
            return first.await;
        }
        let second = self.send_once(sent, Some(started));
        tokio::select! {
            biased;
            done = &mut first => done,
            Ok(mut exchange) = second => {
                self.hedge_budget(sent.origin, HedgeBudget::give_back);
                self.suspect(sent.origin, started);
                exchange.instead_of = Some(started.elapsed());
                Ok(exchange)
            }
        }
    }

    /// One request on a kept or a new connection, kept ones only where they
    /// were heard of after `alive_since`. A kept one that turns out to be dead
    /// before the first byte is no fault: the next is taken.
    async fn send_once(
        &self,
        sent: &Sent<'_>,
        alive_since: Option<Instant>,
    ) -> Result<Exchange, RequestError> {
        loop {
            let (connection, reused) = match self.kept(sent.origin, alive_since) {
                Some(kept) => (kept, true),
                None if alive_since.is_none() && self.may_be_shared(sent.origin) => {
                    match self.open_for_all(sent).await? {
                        Some(opened) => (opened, false),
                        None => continue,
                    }
                }
                None => (self.open(sent).await?, false),
            };
            match self.send_on(connection, sent).await {
                Ok(exchange) => return Ok(exchange),
                Err((error, stale)) if reused && stale => drop(error),
                Err((error, _)) => {
                    if error.kind == FaultKind::Http2 {
                        self.no_more_http2(sent.origin);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the host may still be asked beside a silent connection.
    fn hedge_budget<T>(&self, origin: &Origin, change: impl FnOnce(&mut HedgeBudget) -> T) -> T {
        let mut pool = self.pool();
        if let Some(hedge_budget) = pool.hedge_budget.get_mut(origin) {
            return change(hedge_budget);
        }
        change(pool.hedge_budget.entry(origin.clone()).or_default())
    }

    /// Leaves the host's connections that were not heard of since `started`:
    /// what forgot one of them has most likely forgotten them all.
    fn suspect(&self, origin: &Origin, started: Instant) {
        let mut pool = self.pool();
        if let Some(idle) = pool.idle.get_mut(origin) {
            idle.retain(|kept| kept.since > started);
        }
        if pool
            .shared
            .get(origin)
            .is_some_and(|shared| shared.since <= started)
        {
            pool.shared.remove(origin);
        }
    }

    fn kept(&self, origin: &Origin, alive_since: Option<Instant>) -> Option<Connection> {
        let is_fresh = |since: Instant| alive_since.is_none_or(|limit| since > limit);
        let mut pool = self.pool();
        if let Some(shared) = pool.shared.get_mut(origin) {
            if shared.connection.is_closed() {
                pool.shared.remove(origin);
            } else if is_fresh(shared.since) {
                shared.requests += 1;
                return Some(Connection::Http2(shared.clone()));
            } else {
                return None;
            }
        }
        let idle = pool.idle.get_mut(origin)?;
        // The last is the one that was used last.
        while idle.last().is_some_and(|kept| is_fresh(kept.since)) {
            let kept = idle.pop()?;
            if kept.since.elapsed() < IDLE_LIMIT && !kept.connection.connection.is_closed() {
                return Some(Connection::Http1(kept.connection));
            }
        }
        None
    }

    /// Leaves an HTTP/2 connection that has gone bad, where it is still the one
    /// that others would be given.
    fn leave(&self, origin: &Origin, ends: Ends) {
        let mut pool = self.pool();
        if pool.shared.get(origin).is_some_and(|shared| shared.ends == ends) {
            pool.shared.remove(origin);
        }
    }

    /// Puts the connection of a finished exchange back.
    pub(crate) fn give_back(&self, exchange: Exchange) {
        let Exchange {
            connection: Some(connection),
            origin,
            body,
            ..
        } = exchange
        else {
            return;
        };
        if !hyper::body::Body::is_end_stream(&body) || connection.connection.is_closed() {
            return;
        }
        let mut pool = self.pool();
        let idle = pool.idle.entry(origin).or_default();
        if idle.len() < IDLE_PER_HOST {
            idle.push(Idle {
                since: Instant::now(),
                connection,
            });
        }
    }

    /// After an HTTP/2 fault this host is spoken to in HTTP/1.1.
    fn no_more_http2(&self, origin: &Origin) {
        let mut pool = self.pool();
        pool.shared.remove(origin);
        pool.http1_only.insert(origin.clone());
    }

    /// Whether there is a connection to the host that serves many requests at
    /// the same time.
    pub(crate) fn is_shared(&self, url: &Url) -> bool {
        self.pool().shared.contains_key(&Origin::of(url))
    }

    /// Whether a new connection to the host may turn out to serve many requests.
    fn may_be_shared(&self, origin: &Origin) -> bool {
        let pool = self.pool();
        self.http2
            && origin.scheme == Scheme::Https
            && !pool.http1_only.contains(origin)
            && !pool.http1_chosen.contains(origin)
    }

    /// Opens one connection for all who want the host at the same time. `None`
    /// for those who waited: there is a connection to share now, or it is known
    /// that everybody needs one of their own. They share a failure, too: one
    /// after the other would take the clocks of all.
    async fn open_for_all(&self, sent: &Sent<'_>) -> Result<Option<Connection>, RequestError> {
        let opening = Arc::clone(self.pool().opening.entry(sent.origin.clone()).or_default());
        let mut own = None;
        let done = opening
            .get_or_init(async || {
                own = Some(self.open(sent).await?);
                Ok(())
            })
            .await
            .clone();
        let mut pool = self.pool();
        if pool
            .opening
            .get(sent.origin)
            .is_some_and(|last| Arc::ptr_eq(last, &opening))
        {
            pool.opening.remove(sent.origin);
        }
        drop(pool);
        done.map(|()| own)
    }

    async fn open(&self, sent: &Sent<'_>) -> Result<Connection, RequestError> {
        // What that takes would otherwise lie in every request, and more than once.
        Box::pin(self.open_one(sent)).await
    }

    async fn open_one(&self, sent: &Sent<'_>) -> Result<Connection, RequestError> {
        let &Sent {
            url,
            origin,
            timeouts,
            redirected,
            ..
        } = sent;
        let proxy = self
            .proxies
            .proxy_for(url.scheme, &url.host, url.port)
            .map_err(|why| RequestError::new(FaultKind::Config, why.to_string()).then(Again::Elsewhere))?;
        let mut absolute = None;
        let connected = match proxy {
            None => dial::tcp(&url.host, url.port, timeouts, redirected).await?,
            Some(proxy) => {
                let connected = dial::to_proxy(proxy, timeouts, &self.tls).await?;
                if url.scheme == Scheme::Http && proxy.scheme != ProxyScheme::Socks5 {
                    absolute = Some(tunnel::proxy_authorization(proxy));
                    connected
                } else {
                    dial::tunnel(connected, proxy, &url.host, url.port, timeouts.tunnel).await?
                }
            }
        };
        if url.scheme == Scheme::Http {
            return http1_connection(connected, absolute).await;
        }
        let http2 = self.http2 && !self.pool().http1_only.contains(origin);
        let config = self.tls.config(http2).map_err(DialError::from)?;
        let (connected, session) = dial::handshake(connected, &url.host, config, timeouts.handshake).await?;
        if !session.http2 {
            self.pool().http1_chosen.insert(origin.clone());
            return http1_connection(connected, None).await;
        }
        let shared = http2_connection(connected).await?;
        self.pool().shared.insert(origin.clone(), shared.clone());
        Ok(Connection::Http2(shared))
    }

    /// The error's flag says that the connection died before it had said
    /// anything.
    async fn send_on(
        &self,
        connection: Connection,
        sent: &Sent<'_>,
    ) -> Result<Exchange, (RequestError, bool)> {
        match connection {
            Connection::Http1(connection) => self.send_http1(connection, sent).await,
            Connection::Http2(shared) => self.send_http2(shared, sent).await,
        }
    }

    async fn send_http1(
        &self,
        mut connection: Http1,
        sent: &Sent<'_>,
    ) -> Result<Exchange, (RequestError, bool)> {
        let ends = connection.ends;
        let request = sent
            .request(connection.absolute.as_ref(), false)
            .map_err(|error| (error, false))?;
        let answer = within(sent.timeouts.first_byte, connection.connection.send(request));
        match answer.await {
            Some(Ok(response)) => Ok(Exchange::new(response, sent.origin, ends, 0, Some(connection))),
            Some(Err(err)) => {
                let error = http_error(&err, ends, 0, false);
                let stale = matches!(error.kind, FaultKind::Eof | FaultKind::Reset);
                Err((error, stale))
            }
            None => Err((no_header(), false)),
        }
    }

    async fn send_http2(
        &self,
        mut shared: Shared,
        sent: &Sent<'_>,
    ) -> Result<Exchange, (RequestError, bool)> {
        let stream = shared.requests.saturating_mul(2).saturating_sub(1);
        let request = sent.request(None, true).map_err(|error| (error, false))?;
        let answer = within(sent.timeouts.first_byte, shared.connection.send(request));
        match answer.await {
            Some(Ok(response)) => Ok(Exchange::new(response, sent.origin, shared.ends, stream, None)),
            Some(Err(err)) => {
                // The task that drives the connection ended before this
                // request was its, or the server takes no more on it: a new
                // connection is all that is needed.
                let stale = err.is_canceled() || err.is_closed() || is_not_taken(&err);
                self.leave(sent.origin, shared.ends);
                Err((http_error(&err, shared.ends, stream, false), stale))
            }
            None => {
                // A connection that has gone silent is not asked again.
                self.leave(sent.origin, shared.ends);
                Err((no_header(), false))
            }
        }
    }

    /// Takes note of a body that ended in an HTTP/2 fault.
    pub(crate) fn body_failed(&self, exchange: &Exchange, error: &RequestError) {
        if error.kind == FaultKind::Http2 {
            self.no_more_http2(&exchange.origin);
        } else if exchange.stream > 0 {
            self.leave(&exchange.origin, exchange.ends);
        }
    }

    /// The answer to the same request once more, on another connection, for the
    /// rest of a body that has been silent since `silent_since`; `None` where
    /// there is none, or the host has been asked too often.
    pub(crate) async fn beside(
        self: &Arc<Self>,
        silent: &Origin,
        url: &Url,
        extra: &HeaderMap,
        timeouts: Timeouts,
        silent_since: Instant,
    ) -> Option<Exchange> {
        if !self.hedge_budget(silent, HedgeBudget::take) {
            return None;
        }
        self.get_by(url, extra, timeouts, Some(silent_since), None)
            .await
            .ok()
    }

    /// Takes note of a second connection that goes on where a body was silent.
    pub(crate) fn went_on(&self, silent: &Exchange, silent_since: Instant) {
        self.hedge_budget(&silent.origin, HedgeBudget::give_back);
        self.suspect(&silent.origin, silent_since);
    }
}

/// A server that drains a connection has done nothing about the request (RFC
/// 9113, 6.8 and 8.7).
fn is_not_taken(err: &hyper::Error) -> bool {
    find::<h2::Error>(err).is_some_and(|err| {
        err.is_remote()
            && (err.is_go_away() && err.reason() == Some(h2::Reason::NO_ERROR)
                || err.is_reset() && err.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

enum Connection {
    Http1(Http1),
    Http2(Shared),
}

/// What is asked for, and how.
struct Asking<'a> {
    method: Method,
    url: &'a Url,
    extra: &'a HeaderMap,
    timeouts: Timeouts,
    alive_since: Option<Instant>,
    ticket: Option<&'a Ticket>,
}

/// An answer that credentials may change; the others pass.
fn refuses(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

struct Sent<'a> {
    method: &'a Method,
    url: &'a Url,
    extra: &'a HeaderMap,
    /// Header lines that are for this host alone.
    secrets: &'a HeaderMap,
    timeouts: Timeouts,
    redirected: bool,
    origin: &'a Origin,
    ticket: Option<&'a Ticket>,
}

impl Sent<'_> {
    fn request(
        &self,
        absolute: Option<&Option<String>>,
        http2: bool,
    ) -> Result<Request<Payload>, RequestError> {
        let malformed = || RequestError::new(FaultKind::Config, "malformed URL").then(Again::Elsewhere);
        let mut clean = self.url.clone();
        clean.user = None;
        let uri = if absolute.is_some() || http2 {
            clean.redacted()
        } else {
            clean.path_and_query()
        };
        let mut request = Request::builder()
            .method(self.method)
            .uri(uri)
            .body(Payload::default())
            .map_err(|_| malformed())?;
        let headers = request.headers_mut();
        headers.extend(
            self.extra
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        for name in self.secrets.keys().filter(|name| !is_the_librarys(name)) {
            headers.remove(name);
            for value in self.secrets.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let mut put = |name: HeaderName, value: &str, secret: bool| -> Result<(), RequestError> {
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(secret);
            headers.insert(name, value);
            Ok(())
        };
        if !http2 {
            put(header::HOST, &self.url.authority, false)?;
        }
        if let Some(Some(authorization)) = absolute {
            put(header::PROXY_AUTHORIZATION, authorization, true)?;
        }
        Ok(request)
    }
}

/// What net/http decides by itself, whatever a program of GOAUTH says.
fn is_the_librarys(name: &HeaderName) -> bool {
    [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
    ]
    .contains(name)
}

async fn http1_connection(
    connected: Connected,
    absolute: Option<Option<String>>,
) -> Result<Connection, RequestError> {
    let ends = connected.ends;
    let connection = http::Http1::start(connected.stream)
        .await
        .map_err(|err| http_error(&err, ends, 0, false))?;
    Ok(Connection::Http1(Http1 {
        connection,
        ends,
        absolute,
    }))
}

async fn http2_connection(connected: Connected) -> Result<Shared, RequestError> {
    let ends = connected.ends;
    let connection = http::Http2::start(connected.stream)
        .await
        .map_err(|err| http_error(&err, ends, 1, false))?;
    Ok(Shared {
        connection,
        ends,
        requests: 1,
        since: Instant::now(),
    })
}

/// Go has no such clock; these are the words of the one that it could have.
fn no_header() -> RequestError {
    RequestError::nobody(FaultKind::Timeout, "net/http: timeout awaiting response headers")
}

impl Exchange {
    fn new(
        (response, allowance): (hyper::Response<Incoming>, Allowance),
        origin: &Origin,
        ends: Ends,
        stream: u32,
        connection: Option<Http1>,
    ) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            reason: head
                .extensions
                .get::<hyper::ext::ReasonPhrase>()
                .map(|reason| reason.as_bytes().to_vec()),
            headers: head.headers,
            is_gos_own: false,
            version: head.version,
            redirected: None,
            redirected_to: None,
            instead_of: None,
            body,
            allowance,
            origin: origin.clone(),
            ends,
            stream,
            connection,
        }
    }

    /// The next piece of the body, `None` at its end. Fewer than ten bytes a
    /// second over `clock` are a stall.
    pub(crate) async fn piece(&mut self, pace: &mut Pace) -> Result<Option<Bytes>, RequestError> {
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                () = pace.clock.struck() => return Err(stalled()),
            };
            match frame {
                None => return Ok(None),
                Some(Err(err)) => return Err(http_error(&err, self.ends, self.stream, true)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.allowance.body(bytes.len());
                        pace.moved(bytes.len());
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The same, or `None` where nothing comes for `quiet`.
    pub(crate) async fn piece_soon(
        &mut self,
        pace: &mut Pace,
        quiet: Duration,
    ) -> Option<Result<Option<Bytes>, RequestError>> {
        within(quiet, self.piece(pace)).await
    }

    /// Reads what is left, where that is little.
    async fn discard(&mut self, stall: Duration) {
        const LITTLE: usize = 16 << 10;
        let mut pace = Pace::new(stall);
        let mut read = 0;
        while read < LITTLE {
            match self.piece(&mut pace).await {
                Ok(Some(bytes)) => read += bytes.len(),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads at most `limit` bytes; what is cut off or broken is left out.
    pub(crate) async fn head(&mut self, limit: usize, stall: Duration) -> Vec<u8> {
        let mut pace = Pace::new(stall);
        let mut text = Vec::new();
        while let Ok(Some(bytes)) = self.piece(&mut pace).await {
            let room = limit.saturating_sub(text.len());
            text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() > room {
                break;
            }
        }
        text
    }

    /// The header as go shows it to the programs of GOAUTH.
    fn for_helpers(&self) -> Vec<u8> {
        let proto = match self.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let usual = self.status.canonical_reason().unwrap_or_default().as_bytes();
        let reason = self.reason.as_deref().unwrap_or(usual);
        let mut text = format!("{proto} {} ", self.status.as_str()).into_bytes();
        text.extend_from_slice(reason);
        text.push(b'\n');
        for name in self.headers.keys() {
            text.extend_from_slice(goauth::canonical(name.as_str()).as_bytes());
            text.extend_from_slice(b": ");
            let values: Vec<&[u8]> = self
                .headers
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            text.extend_from_slice(&values.join(&b", "[..]));
            text.push(b'\n');
        }
        text.push(b'\n');
        text
    }

    /// False for a body that ends where the connection does.
    pub(crate) fn end_is_announced(&self) -> bool {
        self.stream > 0
            || self.announced().is_some()
            || self.headers.contains_key(header::TRANSFER_ENCODING)
            || hyper::body::Body::is_end_stream(&self.body)
    }

    /// The length that the header announces for the body; of chunks it says
    /// nothing (RFC 9112, 6.3).
    pub(crate) fn announced(&self) -> Option<u64> {
        if self.headers.contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        self.header(&header::CONTENT_LENGTH)?.parse().ok()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn stalled() -> RequestError {
    let mut error = RequestError::new(
        FaultKind::Timeout,
        "context deadline exceeded (Client.Timeout or context cancellation while reading body)",
    );
    error.phase = Phase::Read;
    error
}

/// Watches that a body moves.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Clock,
    needed: u64,
    moved: u64,
}

impl Pace {
    /// Fewer than ten bytes a second over `stall` are too few.
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            clock: Clock::new(stall),
            needed: least(stall),
            moved: 0,
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if self.moved >= self.needed {
            self.moved = 0;
            self.clock.restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_asked_on_second_connections() {
        let mut hedge_budget = HedgeBudget::default();
        assert_eq!((0..20).filter(|_| hedge_budget.take()).count(), 8);
        // One that answered where the first was silent costs nothing.
        hedge_budget.give_back();
        assert!(hedge_budget.take());
        hedge_budget.give_back();
        assert!(hedge_budget.take());
        assert!(!hedge_budget.take());
        // A tenth of what is answered without one.
        for _ in 0..9 {
            hedge_budget.answered();
        }
        assert!(!hedge_budget.take());
        hedge_budget.answered();
        assert!(hedge_budget.take());
        for _ in 0..1000 {
            hedge_budget.answered();
        }
        assert_eq!(hedge_budget, HedgeBudget::default());
    }
}
