//! One proxy asked once for one file: the request, the body to its end, and
//! what came of it. What a broken body brought is kept, so that the next try
//! goes on where it broke off.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep};

use crate::diagnose::FaultKind;
use crate::go::proxy_list::Sep;
use crate::report::{Event, LONG_SILENCE};

use super::ahead::Ticket;
use super::breaker::{Breaker, Entry, Pass};
use super::budget::Budget;
use super::client::{Client, Exchange, Origin, Pace};
use super::progress::{Entry as Transfer, Transfers};
use super::request_error::{Again, Answer, Phase, RequestError};
use super::schedule;
use super::upstream::Upstream;
use crate::go::files;
use crate::go::protocol::{Kind, Wanted};
use crate::net::dial::Timeouts;
use crate::net::url::Url;
use crate::sys::clock;
use crate::sys::spool::{Body, Folders, Spool};

/// What an answer that is no 200 may bring along; go shows 8 lines of it.
const ANSWER_TEXT: usize = 64 << 10;
/// A broken body that brought this much, or a quarter of the whole, is no failed
/// try: it is resumed.
const PROGRESS: u64 = 64 << 10;
/// A gzip body that unpacks to more than this, and to more than so many times
/// its own size, is a bomb: a zip hardly shrinks, and text not that much.
const BOMB: u64 = 1 << 20;
const BOMB_RATIO: u64 = 100;
/// A server that has said nothing for so long is told of, and again after each
/// [`LONG_SILENCE`].
const SILENT: Duration = Duration::from_secs(5);
/// A clock that struck is doubled for the next try, up to this often.
const DOUBLINGS: u32 = 3;

/// Where events go.
pub(crate) type Listener = Option<Box<dyn Fn(Event) + Send + Sync>>;

/// Asks proxies.
pub(crate) struct Asker {
    pub(crate) client: Arc<Client>,
    pub(crate) spool: Folders,
    pub(crate) budget: Budget,
    pub(crate) listener: Listener,
    pub(crate) transfers: Arc<Transfers>,
    /// Set where go runs again without the relay.
    pub(crate) aside: Arc<AtomicBool>,
}

/// A proxy in a route, and what asking it for one file has brought so far.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) sep: Sep,
    route_number: usize,
    partial: Option<Partial>,
    /// The most that was ever held of the file: only what lies behind it is
    /// progress.
    best: u64,
    /// The server cannot go on in the middle of this file.
    no_ranges: bool,
    /// The digest of a whole body whose end was not announced.
    unannounced: Option<[u8; 32]>,
    /// Such a body has come for the first time.
    unconfirmed: bool,
    timeouts: Timeouts,
    doublings: u32,
    asked: u32,
    /// The relay's libraries have just refused what came.
    refused: bool,
    /// There for a request that was made ahead of go's.
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// What came of asking a proxy once.
#[derive(Debug)]
pub(crate) struct Asking {
    url: Url,
    pub(crate) since: Instant,
    took: Duration,
    /// Bytes of body.
    moved: u64,
    /// It was a zip that was asked for.
    zip: bool,
    pub(crate) result: Result<Answer, RequestError>,
    /// Left for another route before anything came of it.
    left: bool,
    /// The header took longer than silence may last.
    pub(crate) slow: bool,
}

/// The part of a body that has arrived.
#[derive(Debug)]
struct Partial {
    spool: Spool,
    etag: Option<String>,
    total: Option<u64>,
}

/// What is asked of an upstream.
struct Asked<'a> {
    url: &'a Url,
    agent: Option<&'a HeaderValue>,
    wanted: &'a Wanted,
    /// How often the server was heard.
    heard: AtomicU64,
    /// What of it can be seen meanwhile.
    transfer: Transfer,
}

impl Asked<'_> {
    fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.transfer.is_silent_for(Duration::ZERO);
    }
}

/// What has been told of one silent server; that it is over is told in any case.
struct Silence<'a> {
    listener: &'a (dyn Fn(Event) + Send + Sync),
    url: &'a Url,
    told: bool,
}

impl Silence<'_> {
    fn tell(&mut self, silent: Duration) {
        self.told = !silent.is_zero();
        (self.listener)(Event::RequestSilent {
            url: crate::text::safe(&self.url.redacted()),
            silent,
        });
    }

    fn is_over(&mut self) {
        if self.told {
            self.tell(Duration::ZERO);
        }
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.is_over();
    }
}

impl Asker {
    /// Asks a proxy once, where its breaker lets it: `may_wait` for a probe, or
    /// for an answer of one that is silent. `skips`: a zip is left to others where
    /// zips stop in the middle.
    pub(crate) async fn try_step(
        &self,
        step: &mut Step,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        may_wait: bool,
        skips: bool,
    ) -> Result<Answer, RequestError> {
        let upstream = Arc::clone(&step.upstream);
        // One that has been asked for already is gone on with.
        if step.asked == 0
            && skips
            && wanted.kind == Kind::Zip
            && let Some(error) = upstream.stuck()
        {
            return Err(error);
        }
        if may_wait {
            tokio::select! {
                biased;
                () = turn(&upstream.breaker) => {}
                () = self.budget.over() => {}
            }
        }
        let pass = tokio::select! {
            biased;
            pass = enter(&upstream.breaker, may_wait) => pass?,
            // Nothing is under way here that could be waited for.
            () = self.budget.over(), if may_wait => return Err(RequestError::paused()),
        };
        let tried = self.ask(step, wanted, agent, may_wait).await;
        self.settle(step, pass, tried)
    }

    /// Asks a proxy once, and nothing but that.
    pub(crate) async fn ask(
        &self,
        step: &mut Step,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        may_wait: bool,
    ) -> Asking {
        let upstream = Arc::clone(&step.upstream);
        let url = upstream.base.below(&wanted.path);
        step.asked += 1;
        let since = Instant::now();
        let before = step.held();
        let asked = Asked {
            url: &url,
            agent,
            wanted,
            heard: AtomicU64::new(0),
            transfer: self.transfers.enter(wanted, &upstream, step.ticket.as_ref()),
        };
        let mut left = false;
        let mut slow = false;
        let ticket = step.ticket.clone();
        let work = async {
            loop {
                let headers = request_headers(agent, step.partial.as_ref());
                let header = tokio::select! {
                    biased;
                    header = self.client.get(&url, &headers, step.timeouts, step.ticket.as_deref()) => header,
                    error = upstream.breaker.silenced(), if !may_wait => {
                        left = true;
                        break Err(error.then(Again::Here));
                    }
                };
                let result = match header {
                    Ok(exchange) => {
                        asked.heard();
                        slow |= since.elapsed() > step.timeouts.quiet;
                        // A server that only says that it has nothing moves nothing.
                        if matches!(exchange.status.as_u16(), 200 | 206) {
                            self.budget.moved();
                        }
                        if let Some(silent) = exchange.instead_of {
                            self.tell_replaced(&url, step, silent, 0);
                        }
                        self.read(step, exchange, &asked).await
                    }
                    Err(error) => Err(error),
                };
                // A body whose end is not announced is asked for twice in one try.
                if !std::mem::take(&mut step.unconfirmed) {
                    break result;
                }
            }
        };
        let result = tokio::select! {
            biased;
            result = work => result,
            () = self.tell_silence(&asked, ticket.as_deref()) => Err(cut_short()),
        };
        Asking {
            url,
            since,
            took: since.elapsed(),
            moved: step.held().saturating_sub(before),
            zip: wanted.kind == Kind::Zip,
            result,
            left,
            slow,
        }
    }

    /// Tells what came of asking, and lets the proxy's breaker know.
    pub(crate) fn settle(
        &self,
        step: &mut Step,
        pass: Pass<'_>,
        tried: Asking,
    ) -> Result<Answer, RequestError> {
        self.tell_of(step, &tried);
        if tried.left {
            return tried.result;
        }
        let stalled = matches!(&tried.result, Err(error) if error.kind == FaultKind::Timeout);
        let progress = step.takes_progress(stalled);
        match &tried.result {
            Ok(_) => self.note_answer(step, pass, &tried),
            Err(error) if error.again == Again::Nowhere || progress => pass.answered(),
            // One file may be bad for good; where nothing else has ever come it is a portal's, and counts once.
            Err(error) if error.phase == Phase::Content => match step.asked {
                _ if step.upstream.has_brought() => pass.answered(),
                1 => pass.failed(error),
                _ => drop(pass),
            },
            // Smaller files may come all the same.
            Err(error) if stalled && tried.zip && error.phase == Phase::Read => {
                step.upstream.zip_stopped(tried.since, error);
                pass.stopped(error);
            }
            Err(error) => pass.failed(error),
        }
        tried.result.map_err(|mut error| {
            if stalled && step.doublings < DOUBLINGS {
                step.timeouts = step.timeouts.doubled();
                step.doublings += 1;
            }
            if is_offline(&error) {
                error.again = Again::Elsewhere;
            }
            // Once may be a line's doing, as any other fault; twice running is the server's.
            let again = std::mem::replace(&mut step.refused, error.is_refused);
            if error.is_refused && (again || error.again == Again::Elsewhere) {
                step.upstream.refuse();
                error.again = Again::Elsewhere;
            }
            error.progress = progress;
            error
        })
    }

    /// Tells what came of asking.
    pub(crate) fn tell_of(&self, step: &Step, tried: &Asking) {
        self.tell(step, &tried.url, tried.took, &tried.result, tried.moved);
    }

    /// Lets the proxy's breaker know of an answer.
    pub(crate) fn note_answer(&self, step: &Step, pass: Pass<'_>, tried: &Asking) {
        if tried.result.as_ref().is_ok_and(|answer| answer.status == 200) {
            step.upstream.brought(tried.zip);
        }
        pass.answered();
    }

    /// What an answer whose header is there comes to.
    async fn read(
        &self,
        step: &mut Step,
        exchange: Exchange,
        asked: &Asked<'_>,
    ) -> Result<Answer, RequestError> {
        let wanted = asked.wanted;
        let status = exchange.status.as_u16();
        match status {
            200 => {
                step.partial = None;
            }
            206 if step.partial.is_some() => {
                if !continues(&exchange, step.partial.as_ref()) {
                    return Err(step.cannot_go_on());
                }
            }
            416 if step.partial.is_some() => return Err(step.cannot_go_on()),
            _ => {
                // With credentials of its own go may get another answer. Handed on, this one would send it to the next
                // server of its list, with the name of a module that may be private.
                if exchange.is_gos_own {
                    self.aside.store(true, Ordering::Relaxed);
                    let text = format!("{} without the credentials of GOAUTH", exchange.status);
                    return Err(RequestError::new(FaultKind::Refused, text).then(Again::Nowhere));
                }
                return self.no_file(exchange, step.timeouts).await;
            }
        }
        let encoding = exchange.header(&header::CONTENT_ENCODING).map(str::to_owned);
        let content_type = content_type(&exchange);
        let redirected = exchange.redirected.clone();
        let redirected_to = exchange.redirected_to.clone();
        let announced = exchange.end_is_announced();
        let spool = self.receive(step, exchange, asked).await?;
        let body = decoded(spool, encoding.as_deref(), wanted, &self.spool)?;
        if !announced && !shows_its_end(&wanted.kind) {
            // Nobody can tell such a body's end from a broken connection: it is
            // believed when it comes a second time.
            let digest = digest(&body).map_err(|err| spool_error(&err))?;
            let before = step.unannounced.replace(digest);
            if before != Some(digest) {
                step.unconfirmed = before.is_none();
                return Err(cut_short());
            }
        }
        let answer = Answer {
            status: 200,
            reason: None,
            content_type,
            redirected_to,
            body,
        };
        match files::complaint(wanted, &answer.body) {
            None => Ok(answer),
            Some(complaint) => Err(implausible(step, wanted, answer, &complaint, redirected)),
        }
    }

    /// What an answer comes to that brings no file. Those from 400 on are
    /// answers, but for what may pass; go asks nobody for half a file, and follows
    /// what can be followed, so that all else was put in between by a firewall or
    /// a portal.
    async fn no_file(&self, mut exchange: Exchange, timeouts: Timeouts) -> Result<Answer, RequestError> {
        let kind = match exchange.status.as_u16() {
            429 => FaultKind::RateLimit,
            408 | 425 | 500.. => FaultKind::ServerError,
            400.. => FaultKind::Refused,
            _ => FaultKind::Garbage,
        };
        let retry_after = exchange
            .header(&header::RETRY_AFTER)
            .and_then(|value| schedule::retry_after(value, SystemTime::now()));
        let answer = short_answer(&mut exchange, timeouts).await;
        self.client.give_back(exchange);
        if kind == FaultKind::Refused {
            return Ok(answer);
        }
        let mut error = RequestError::new(kind, status_text(&answer));
        if kind == FaultKind::Garbage {
            error.phase = Phase::Content;
        } else {
            error.retry_after = retry_after;
        }
        error.answer = Some(Box::new(answer));
        Err(error)
    }

    /// Reads a body to its end. What a broken one brought is kept in the step
    /// where it can be gone on with.
    async fn receive(
        &self,
        step: &mut Step,
        mut exchange: Exchange,
        asked: &Asked<'_>,
    ) -> Result<Spool, RequestError> {
        let wanted = asked.wanted;
        let limit = files::limit(&wanted.kind);
        let encoded = exchange
            .header(&header::CONTENT_ENCODING)
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        let mut partial = step.partial.take().unwrap_or_else(|| {
            let announced = exchange.announced();
            let mut spool = Spool::new(self.spool.clone());
            spool.expect(announced.unwrap_or(0).min(limit));
            Partial {
                spool,
                etag: strong_etag(&exchange),
                total: announced,
            }
        });
        asked.transfer.holds(partial.spool.len(), partial.total);
        let mut pace = Pace::new(step.timeouts.stall);
        loop {
            let unclaimed = step.ticket.as_ref().filter(|ticket| !ticket.is_claimed());
            if let Some(ticket) = unclaimed {
                ticket.has_bytes(partial.total.unwrap_or_else(|| partial.spool.len()));
                if ticket.stands_still() {
                    ticket.goes_on().await;
                    pace = Pace::new(step.timeouts.stall);
                }
            }
            let piece = match exchange.piece_soon(&mut pace, step.timeouts.quiet).await {
                Some(piece) => piece,
                // Nobody waits for it: it is in no need of a second connection.
                None if unclaimed.is_some() => continue,
                None if encoded => exchange.piece(&mut pace).await,
                None => {
                    let since = Instant::now();
                    let silent = exchange.origin.clone();
                    let rest = tokio::select! {
                        biased;
                        piece = exchange.piece(&mut pace) => Err(piece),
                        rest = self.rest(&silent, &partial, step.timeouts, asked, since) => Ok(rest),
                    };
                    match rest {
                        Err(piece) => piece,
                        Ok(None) => exchange.piece(&mut pace).await,
                        Ok(Some(rest)) => {
                            self.client.went_on(&exchange, since);
                            let silent = step.timeouts.quiet + since.elapsed();
                            self.tell_replaced(asked.url, step, silent, partial.spool.len());
                            exchange = rest;
                            pace = Pace::new(step.timeouts.stall);
                            continue;
                        }
                    }
                }
            };
            match piece {
                Ok(Some(bytes)) => {
                    asked.heard();
                    asked.transfer.received(bytes.len() as u64);
                    self.budget.moved();
                    let room = limit.saturating_sub(partial.spool.len());
                    let part = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                    partial
                        .spool
                        .push(&bytes[..part])
                        .map_err(|err| spool_error(&err))?;
                    if part < bytes.len() || partial.spool.len() == limit {
                        return cut(partial.spool, wanted, limit);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.client.body_failed(&exchange, &error);
                    let known = partial.etag.is_some() || partial.total.is_some();
                    if known && !encoded && !step.no_ranges && partial.spool.len() > 0 {
                        step.partial = Some(partial);
                    }
                    return Err(error);
                }
            }
        }
        self.client.give_back(exchange);
        match partial.total {
            Some(total) if total != partial.spool.len() => Err(cut_short()),
            _ => Ok(partial.spool),
        }
    }

    /// What is left of a body that has gone silent, from another connection;
    /// `None` where the server cannot go on in the middle, or is silent too.
    async fn rest(
        &self,
        silent: &Origin,
        partial: &Partial,
        timeouts: Timeouts,
        asked: &Asked<'_>,
        since: Instant,
    ) -> Option<Exchange> {
        if partial.etag.is_none() && partial.total.is_none() {
            return None;
        }
        let headers = request_headers(asked.agent, Some(partial));
        let rest = self
            .client
            .beside(silent, asked.url, &headers, timeouts, since)
            .await?;
        let goes_on = rest.status.as_u16() == 206 && continues(&rest, Some(partial));
        goes_on.then_some(rest)
    }

    /// Tells of a server that says nothing, and that it speaks again or nobody
    /// waits any more; never ends. Time in which gofix was stopped does not count.
    async fn tell_silence(&self, asked: &Asked<'_>, ticket: Option<&Ticket>) {
        let Some(listener) = &self.listener else {
            return std::future::pending().await;
        };
        let mut told = Silence {
            listener,
            url: asked.url,
            told: false,
        };
        let mut next = SILENT;
        let mut silent = Duration::ZERO;
        let mut heard = 0;
        loop {
            let passed = clock::sample().await;
            let now = asked.heard.load(Ordering::Relaxed);
            if now > heard {
                heard = now;
                (silent, next) = (Duration::ZERO, SILENT);
                told.is_over();
                continue;
            }
            silent += passed;
            asked.transfer.is_silent_for(silent);
            if silent >= next && !is_unheard(ticket) {
                told.tell(next);
                next = if next == SILENT {
                    LONG_SILENCE
                } else {
                    next + LONG_SILENCE
                };
            }
        }
    }

    /// Tells of a connection whose place another has taken.
    fn tell_replaced(&self, url: &Url, step: &mut Step, silent: Duration, moved: u64) {
        if is_unheard(step.ticket.as_deref()) {
            return;
        }
        let error = RequestError::nobody(
            FaultKind::Timeout,
            format!(
                "silent for {:.1} s; another connection went on",
                silent.as_secs_f64()
            ),
        );
        self.tell(step, url, silent, &Err(error), moved);
        step.asked += 1;
    }

    fn tell(
        &self,
        step: &Step,
        url: &Url,
        took: Duration,
        result: &Result<Answer, RequestError>,
        moved: u64,
    ) {
        let Some(listener) = &self.listener else {
            return;
        };
        let (status, bytes, kind, error) = match result {
            Ok(answer) => (Some(answer.status), answer.body.len(), None, None),
            Err(error) => (
                error.answer.as_ref().map(|answer| answer.status),
                moved,
                Some(error.kind),
                Some(match error.retry_after {
                    // Why it is not asked again.
                    Some(after) if after > schedule::RETRY_AFTER_LIMIT => format!(
                        "{} (and asks to be left alone for {})",
                        crate::text::safe(&error.text),
                        crate::text::duration(after)
                    ),
                    _ => crate::text::safe(&error.text),
                }),
            ),
        };
        let redirected_to = match result {
            Ok(answer) => answer.redirected_to.clone(),
            Err(error) => error.redirected_to(&url.authority),
        };
        listener(Event::UpstreamRequest {
            url: crate::text::safe(&url.redacted()),
            redirected_to: redirected_to.map(|host| crate::text::safe(&host)),
            status,
            bytes,
            took,
            route: step.route_number,
            r#try: step.asked,
            kind,
            error,
        });
    }
}

impl Step {
    pub(crate) fn new(upstream: &Arc<Upstream>, sep: Sep, route_number: usize, timeouts: Timeouts) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            sep,
            route_number,
            partial: None,
            best: 0,
            no_ranges: false,
            unannounced: None,
            unconfirmed: false,
            timeouts,
            doublings: 0,
            asked: 0,
            refused: false,
            ticket: None,
        }
    }

    fn held(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| partial.spool.len())
    }

    /// True where a broken body brought so much more than was ever held of it
    /// that going on with it is no further try: [`PROGRESS`], or a quarter of
    /// the whole.
    fn takes_progress(&mut self, stalled: bool) -> bool {
        let moved = self.held().saturating_sub(self.best);
        self.best += moved;
        if stalled {
            // A small file costs less from somebody else than another wait.
            return moved >= PROGRESS;
        }
        let total = self.partial.as_ref().and_then(|partial| partial.total);
        moved >= PROGRESS || (moved > 0 && total.is_some_and(|total| moved >= total / 4))
    }

    /// The server does not go on where a body broke off: what was held of it is
    /// of no use, and it is not asked to again.
    fn cannot_go_on(&mut self) -> RequestError {
        self.partial = None;
        self.no_ranges = true;
        cut_short()
    }
}

/// Go has not asked for it yet, and nobody is told of it.
fn is_unheard(ticket: Option<&Ticket>) -> bool {
    ticket.is_some_and(|ticket| !ticket.is_claimed())
}

fn digest(body: &Body) -> std::io::Result<[u8; 32]> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut reader = body.reader();
    let mut buffer = vec![0_u8; 32 << 10];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
    }
    let mut digest = [0_u8; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

/// Waits for a request's turn at a server that was down.
async fn turn(breaker: &Breaker) {
    loop {
        let changed = breaker.changed();
        let wait = breaker.turn();
        if wait.is_zero() {
            return;
        }
        tokio::select! {
            () = changed => {}
            () = sleep(wait) => {}
        }
    }
}

async fn enter(breaker: &Breaker, may_wait: bool) -> Result<Pass<'_>, RequestError> {
    let dead = |last: Box<RequestError>| last.then(Again::Elsewhere);
    if may_wait {
        return breaker.enter().await.map_err(dead);
    }
    if let Some(error) = breaker.silence() {
        return Err(error.then(Again::Here));
    }
    match breaker.try_enter() {
        Entry::Open(pass) => Ok(pass),
        Entry::Dead(last) => Err(dead(last)),
        Entry::Busy => Err(RequestError::paused()),
    }
}

fn request_headers(agent: Option<&HeaderValue>, partial: Option<&Partial>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let default = HeaderValue::from_static("Go-http-client/1.1");
    headers.insert(header::USER_AGENT, agent.cloned().unwrap_or(default));
    if let Some(partial) = partial {
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", partial.spool.len())) {
            headers.insert(header::RANGE, range);
        }
        if let Some(etag) = partial
            .etag
            .as_deref()
            .and_then(|etag| HeaderValue::from_str(etag).ok())
        {
            headers.insert(header::IF_RANGE, etag);
        }
    }
    headers
}

/// A body that ended before its end.
fn cut_short() -> RequestError {
    RequestError::new(FaultKind::Eof, "unexpected EOF").in_body()
}

/// Whether a body of this kind that is cut off is found implausible.
fn shows_its_end(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Zip
            | Kind::Info
            | Kind::Latest
            | Kind::SumdbLookup
            | Kind::SumdbLatest
            | Kind::SumdbTile(Some(_))
    )
}

/// Whether a 206 goes on with the very body that broke.
fn continues(exchange: &Exchange, partial: Option<&Partial>) -> bool {
    let held = partial.map_or(0, |partial| partial.spool.len());
    let (etag, total) = partial.map_or((None, None), |partial| (partial.etag.as_ref(), partial.total));
    if let (Some(old), Some(new)) = (etag, strong_etag(exchange))
        && *old != new
    {
        return false;
    }
    let range = exchange.header(&header::CONTENT_RANGE).and_then(content_range);
    range.is_some_and(|(start, length)| {
        start == held && (length.is_none() || total.is_none() || length == total)
    })
}

/// Reads `bytes A-B/N`; the length is `None` for `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let rest = value.trim().strip_prefix("bytes ")?;
    let (range, length) = rest.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let length = match length.trim() {
        "*" => None,
        length => Some(length.parse::<u64>().ok()?),
    };
    let whole = length.is_none_or(|length| length == end.saturating_add(1));
    (start <= end && whole).then_some((start, length))
}

/// A weak ETag does not promise the same bytes.
fn strong_etag(exchange: &Exchange) -> Option<String> {
    exchange
        .header(&header::ETAG)
        .filter(|etag| etag.starts_with('"'))
        .map(str::to_owned)
}

fn content_type(exchange: &Exchange) -> Option<Vec<u8>> {
    exchange
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_vec())
}

async fn short_answer(exchange: &mut Exchange, timeouts: Timeouts) -> Answer {
    let text = exchange.head(ANSWER_TEXT, timeouts.stall).await;
    Answer {
        status: exchange.status.as_u16(),
        reason: exchange.reason.take(),
        content_type: content_type(exchange),
        redirected_to: exchange.redirected_to.take(),
        body: Body::from_bytes(text),
    }
}

/// `503 Service Unavailable`, as it was sent.
fn status_text(answer: &Answer) -> String {
    let reason = answer.reason.as_ref().map(crate::text::safe);
    let usual = hyper::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    match reason.as_deref().or(usual) {
        Some(reason) if !reason.is_empty() => format!("{} {reason}", answer.status),
        _ => answer.status.to_string(),
    }
}

/// A body longer than anything of its kind. A zip goes on cut, one byte longer
/// than go takes, and go says so in its own words.
fn cut(spool: Spool, wanted: &Wanted, limit: u64) -> Result<Spool, RequestError> {
    if matches!(wanted.kind, Kind::Zip | Kind::Other) {
        return Ok(spool);
    }
    let mut error = RequestError::new(FaultKind::Garbage, format!("more than {limit} bytes")).in_body();
    error.phase = Phase::Content;
    Err(error)
}

fn spool_error(err: &std::io::Error) -> RequestError {
    RequestError::new(
        FaultKind::Disk,
        format!("spool of the relay: {}", crate::text::errno_text(err)),
    )
    .then(Again::Nowhere)
}

/// Undoes a gzip encoding that nobody asked for, as go would; anything else is
/// left as it is and found implausible.
fn decoded(
    spool: Spool,
    encoding: Option<&str>,
    wanted: &Wanted,
    folders: &Folders,
) -> Result<Body, RequestError> {
    let body = spool.finish();
    if !encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")) {
        return Ok(body);
    }
    let limit = files::limit(&wanted.kind);
    let mut plain = Spool::new(folders.clone());
    let mut decoder = flate2::read::GzDecoder::new(std::io::BufReader::new(body.reader()));
    let mut buffer = vec![0_u8; 32 << 10];
    loop {
        let read = decoder
            .read(&mut buffer)
            .map_err(|_| RequestError::new(FaultKind::Garbage, "gzip: invalid data").in_body())?;
        if read == 0 {
            return Ok(plain.finish());
        }
        plain.push(&buffer[..read]).map_err(|err| spool_error(&err))?;
        if plain.len() > BOMB && plain.len() / BOMB_RATIO > body.len() {
            return Err(
                RequestError::new(FaultKind::Garbage, "gzip: more than a module unpacks to").in_body(),
            );
        }
        if plain.len() >= limit {
            return cut(plain, wanted, limit).map(Spool::finish);
        }
    }
}

/// A bad `.info`, list or `@latest` goes to go as it came when the tries are
/// spent, for go checks it and keeps nothing; so do the checksum database's
/// files. A bad `.mod` or `.zip` never does.
fn implausible(
    step: &Step,
    wanted: &Wanted,
    answer: Answer,
    complaint: &str,
    redirected: Option<String>,
) -> RequestError {
    let mut error = RequestError::new(
        FaultKind::Garbage,
        format!(
            "invalid response from proxy {:?}: {complaint}",
            step.upstream.base.redacted()
        ),
    );
    error.phase = Phase::Content;
    error.url = redirected;
    if !matches!(wanted.kind, Kind::Mod | Kind::Zip) {
        error.answer = Some(Box::new(answer));
    }
    error
}

/// No way out of this machine at all: trying again is of no use.
fn is_offline(error: &RequestError) -> bool {
    let hopeless = error.text.ends_with("network is unreachable") || error.text.ends_with("no such host");
    // The C library calls it temporary that there is nobody to ask.
    hopeless && !crate::sys::network::has_default_route()
        || error.kind == FaultKind::Dns && crate::sys::network::has_any_route() == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for bad in [
            "bytes 10-98/100",
            "bytes 99-10/100",
            "10-99/100",
            "bytes */100",
            "bytes a-b/c",
            "",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
