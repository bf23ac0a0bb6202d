//! One file for go: routes, tries, resumed bodies, one fetch for many askers.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::diagnose::FaultKind;
use crate::policy::route::Sep;
use crate::report::Event;

use super::ahead::{Ahead, Coming, Next};
use super::breaker::{Breaker, Entry, Limits, Pass};
use super::budget::Budget;
use super::client::{Client, Exchange, Origin, Pace};
use super::dial::Patience;
use super::faults::{Ledger, Met};
use super::plausible;
use super::schedule;
use super::spool::{Body, Folders, Spool};
use super::trouble::{Again, Answer, Phase, Trouble};
use super::url::Url;
use super::wanted::{Kind, Wanted};

/// What an answer that is no 200 may bring along; go shows 8 lines of it.
const ANSWER_TEXT: usize = 64 << 10;
/// A broken body that brought this much, or a quarter of the whole, is no failed
/// try: it is resumed.
const PROGRESS: u64 = 64 << 10;
/// A gzip body that unpacks to more than this, and to more than so many times
/// its own size, is a bomb: a zip hardly shrinks, and text not that much.
const BOMB: u64 = 1 << 20;
const BOMB_RATIO: u64 = 100;
/// A clock that struck is doubled for the next try, up to this often.
const DOUBLINGS: u32 = 3;

/// One module proxy.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its URL as in the list.
    pub(crate) base: Url,
    /// Its breaker.
    breaker: Breaker,
    /// Its TLS is none that the relay speaks or trusts.
    refused: AtomicBool,
}

impl Upstream {
    pub(crate) fn new(base: Url, limits: Limits) -> Self {
        Self {
            base,
            breaker: Breaker::new(limits),
            refused: AtomicBool::new(false),
        }
    }

    /// Forgets a wait in vain: another run of go begins.
    pub(crate) fn is_heard_again(&self) {
        self.breaker.forget_silence();
    }

    /// Whether the relay has refused its TLS. Go may think otherwise of it.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Proxies in the order in which Go's rules ask them.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) steps: Vec<(Arc<Upstream>, Sep)>,
}

/// What one element of go's list leads to.
#[derive(Debug)]
pub(crate) struct Element {
    /// The user's own proxies: one, or the whole list where the relay stands
    /// in front of it.
    pub(crate) own: Lane,
    /// What go turns to by itself after any error of this element.
    pub(crate) behind: Behind,
    /// Later routes, asked where go would stop.
    pub(crate) later: Vec<Lane>,
}

/// What go turns to by itself after any error of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing: it stops.
    Nothing,
    /// Another proxy.
    Proxy,
    /// The module's own repository, or a folder.
    Other,
}

impl Behind {
    /// Whether an element is left to what stands behind it after a fault that
    /// says nobody is there, met in the `tries`-th try.
    fn takes_over(self, trouble: &Trouble, tries: u32) -> bool {
        match self {
            Self::Nothing => false,
            Self::Proxy => trouble.nobody,
            Self::Other => trouble.nobody && (trouble.is_in_vain() || tries > schedule::BEFORE_OTHER),
        }
    }
}

/// Numbers that hold for every request.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) patience: Patience,
    pub(crate) tries: u32,
    pub(crate) spool: Folders,
}

/// Where events go.
pub(crate) type Listener = Option<Box<dyn Fn(Event) + Send + Sync>>;

/// Fetches files.
pub(crate) struct Fetcher {
    pub(crate) client: Client,
    pub(crate) elements: Vec<Element>,
    pub(crate) rules: Rules,
    pub(crate) budget: Budget,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) listener: Listener,
    flights: Mutex<HashMap<(usize, String), Weak<Flight>>>,
    /// Who answered for a checksum database in an element's place.
    sumdb_homes: Mutex<HashMap<(usize, String), Arc<Upstream>>>,
    ahead: Ahead<Box<Failed>>,
}

#[derive(Debug, Default)]
struct Flight {
    done: OnceCell<Outcome>,
}

/// What go is told.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// An answer as it came.
    Answer(Answer),
    /// A fault that outlasted the tries; its number in the ledger.
    Fault(usize),
}

/// A lane and what this request has met on it.
struct Tried {
    steps: Vec<Step>,
    /// Failed tries.
    tries: u32,
    /// Bad bodies in a row.
    content: u32,
    /// 429s in a row.
    rate_limits: u32,
    /// The wait before the next try.
    wait: Duration,
    done: bool,
    last: Option<Trouble>,
}

#[derive(Debug)]
struct Step {
    upstream: Arc<Upstream>,
    sep: Sep,
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
    patience: Patience,
    doublings: u32,
    asked: u32,
    /// Go has not asked for it yet, and nobody is told of it.
    unheard: bool,
}

/// What came of asking a proxy once.
#[derive(Debug)]
struct Asking {
    url: Url,
    since: Instant,
    took: Duration,
    /// Bytes of body.
    moved: u64,
    result: Result<Answer, Trouble>,
    /// Left for another route before anything came of it.
    left: bool,
}

/// A request made ahead that came to nothing.
#[derive(Debug)]
struct Failed {
    step: Step,
    tried: Asking,
}

/// The part of a body that has arrived.
#[derive(Debug)]
struct Partial {
    spool: Spool,
    etag: Option<String>,
    total: Option<u64>,
}

type Found = (Answer, Arc<Upstream>);

/// Why there is nothing.
struct Missed {
    trouble: Trouble,
    met: Met,
}

/// Whether the answer of a later route stands in place of the fault of the
/// user's own. A file that a version is made of exists where go asks for it,
/// and as for go itself a proxy's fault then says more than another's "not
/// found"; a lookup by which go finds out what exists has to be answered.
fn outranks_a_fault(wanted: &Wanted, answer: &Answer) -> bool {
    match answer.status {
        200 => true,
        404 | 410 => !matches!(wanted.kind, Kind::Mod | Kind::Zip),
        _ => false,
    }
}

/// What is asked of an upstream.
struct Asked<'a> {
    url: &'a Url,
    agent: Option<&'a HeaderValue>,
    wanted: &'a Wanted,
}

impl Fetcher {
    pub(crate) fn new(
        client: Client,
        elements: Vec<Element>,
        rules: Rules,
        budget: Budget,
        ledger: Arc<Ledger>,
        listener: Listener,
    ) -> Self {
        Self {
            client,
            elements,
            rules,
            budget,
            ledger,
            listener,
            flights: Mutex::default(),
            sumdb_homes: Mutex::default(),
            ahead: Ahead::default(),
        }
    }

    /// Fetches what go wants of element `element`. Askers of the same file at
    /// the same time share one fetch; when the one whose request it was goes
    /// away, the next takes it over.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        element: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
    ) -> Outcome {
        let key = (element, wanted.path.clone());
        let flight = {
            let mut flights = lock(&self.flights);
            match flights.get(&key).and_then(Weak::upgrade) {
                Some(flight) => flight,
                None => {
                    let flight = Arc::new(Flight::default());
                    flights.insert(key.clone(), Arc::downgrade(&flight));
                    flight
                }
            }
        };
        let _cleanup = Cleanup {
            flights: &self.flights,
            key: &key,
        };
        flight
            .done
            .get_or_init(|| self.fetch_within_budget(element, wanted, agent))
            .await
            .clone()
    }

    async fn fetch_within_budget(
        self: &Arc<Self>,
        element: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
    ) -> Outcome {
        let coming = self.ahead.claim(element, wanted);
        self.go_ahead(element, agent);
        let mut missed = Missed {
            trouble: Trouble::nobody(FaultKind::Timeout, "context deadline exceeded"),
            met: Met::Spent,
        };
        let work = self.fetch_by_routes(element, wanted, agent, coming, &mut missed);
        let found = self.budget.hold(work).await.flatten();
        let own = self
            .elements
            .get(element)
            .and_then(|element| element.own.steps.first());
        let Some((upstream, _)) = own else {
            return Outcome::Answer(plain_answer(404, "no such element"));
        };
        if let Some((answer, by)) = found {
            self.ledger.healed(&wanted.path);
            if answer.status == 200 {
                if Arc::ptr_eq(upstream, &by) {
                    self.ahead.served(element, wanted);
                }
                self.remember_sumdb(element, wanted, upstream, by);
            }
            return Outcome::Answer(answer);
        }
        let Missed { trouble, met } = missed;
        let id = self.ledger.record(wanted, &upstream.base, &trouble, met);
        match trouble.answer {
            Some(answer) => Outcome::Answer(*answer),
            None => Outcome::Fault(id),
        }
    }

    /// Sees to it that what go will want next is asked for meanwhile.
    fn go_ahead(self: &Arc<Self>, element: usize, agent: Option<&HeaderValue>) {
        while let Some(next) = self.ahead.hire(element) {
            let agent = agent.cloned();
            tokio::spawn(Arc::clone(self).ask_ahead(element, next, agent));
        }
    }

    async fn ask_ahead(
        self: Arc<Self>,
        element: usize,
        first: Next<Box<Failed>>,
        agent: Option<HeaderValue>,
    ) {
        let mut next = first;
        loop {
            let Next { wanted, mut taker } = next;
            let came = tokio::select! {
                biased;
                came = self.ask_once(element, &wanted, agent.as_ref()) => came,
                () = taker.gone(self.rules.patience.stall) => None,
                () = self.budget.over() => None,
            };
            let well = matches!(&came, Some(Ok(answer)) if answer.status == 200);
            self.ahead.went(element, well);
            if let Some(came) = came {
                taker.give(came);
            }
            next = self.ahead.next(element).await;
        }
    }

    /// Asks an element's proxy for a file that go has not asked for, as long as
    /// the proxy is well.
    async fn ask_once(
        &self,
        number: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
    ) -> Option<Result<Answer, Box<Failed>>> {
        let [(upstream, sep)] = self.elements.get(number)?.own.steps.as_slice() else {
            return None;
        };
        let pass = upstream.breaker.enter_well()?;
        let mut step = Step::new(upstream, *sep, self.rules.patience);
        step.unheard = true;
        let tried = self.ask(&mut step, wanted, agent, false).await;
        step.unheard = false;
        if tried.result.as_ref().is_err_and(Trouble::asks_for_less) {
            self.ahead.stop(number);
        }
        if tried.result.is_ok() {
            return self.settle(&mut step, pass, tried).ok().map(Ok);
        }
        Some(Err(Box::new(Failed { step, tried })))
    }

    /// The first try, where it was made ahead. `may_wait` as for
    /// [`Fetcher::walk`].
    async fn came(
        &self,
        coming: Coming<Box<Failed>>,
        lane: &mut Tried,
        may_wait: bool,
    ) -> Option<Result<Found, Trouble>> {
        let step = lane.steps.first_mut()?;
        let upstream = Arc::clone(&step.upstream);
        let came = tokio::select! {
            biased;
            came = coming.came() => came?,
            _ = upstream.breaker.silenced(), if !may_wait => return None,
        };
        Some(match came {
            Ok(answer) => Ok((answer, upstream)),
            Err(failed) => {
                let Failed { step: failed, tried } = *failed;
                *step = failed;
                let pass = upstream.breaker.entered(tried.since);
                self.settle(step, pass, tried)
                    .map(|answer| (answer, Arc::clone(&upstream)))
            }
        })
    }

    /// Asks the element and, where that ends in a fault, the routes behind it.
    /// `missed` is left holding the fault of the user's own route.
    async fn fetch_by_routes(
        &self,
        number: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        mut coming: Option<Coming<Box<Failed>>>,
        missed: &mut Missed,
    ) -> Option<Found> {
        let element = self.elements.get(number)?;
        let mut lanes: Vec<Tried> = self
            .lanes(number, element, wanted)
            .map(|lane| Tried::new(&lane, self.rules.patience))
            .collect();
        let mut current = 0;
        loop {
            let own = current == 0;
            let others = own && element.behind != Behind::Nothing
                || lanes
                    .iter()
                    .enumerate()
                    .any(|(at, lane)| at != current && !lane.done && lane.tries == 0);
            let lane = lanes.get_mut(current)?;
            let mut elsewhere = true;
            let first = match coming.take() {
                Some(coming) => self.came(coming, lane, !others).await,
                None => None,
            };
            let walked = match first {
                Some(walked) => walked,
                None => self.walk(lane, wanted, agent, !others).await,
            };
            match walked {
                Ok(found) if own || outranks_a_fault(wanted, &found.0) => return Some(found),
                Ok(_) => lane.done = true,
                Err(trouble) => {
                    if own {
                        missed.trouble = trouble.clone();
                        if trouble.asks_for_less() {
                            self.ahead.stop(number);
                        }
                    }
                    if own && trouble.again == Again::Nowhere {
                        return None;
                    }
                    elsewhere = trouble.nobody;
                    let takes_over = own && element.behind.takes_over(&trouble, lane.tries + 1);
                    lane.note(trouble, self.rules.tries);
                    // Drawn once, so that the wait and the look at the budget agree.
                    lane.wait = lane.delay(fastrand::f64());
                    lane.done |= self.budget.is_too_late(lane.wait);
                    if takes_over {
                        missed.met = Met::Left;
                        return None;
                    }
                }
            }
            if elsewhere || lane.done {
                let count = lanes.len();
                current = (1..=count)
                    .map(|step| (current + step) % count)
                    .find(|at| !lanes[*at].done)?;
            }
            let lane = lanes.get_mut(current)?;
            let wait = std::mem::take(&mut lane.wait);
            if self.budget.is_too_late(wait) {
                return None;
            }
            if !wait.is_zero() {
                self.tell_wait(lane, wanted, wait);
                sleep(wait).await;
            }
        }
    }

    /// The element's own lane, then the later ones.
    fn lanes(&self, number: usize, element: &Element, wanted: &Wanted) -> impl Iterator<Item = Lane> {
        let home = if wanted.is_sumdb() && wanted.kind != Kind::SumdbSupported {
            let homes = lock(&self.sumdb_homes);
            sumdb_name(wanted).and_then(|name| homes.get(&(number, name)).cloned())
        } else {
            None
        };
        let own = match home {
            Some(upstream) => Lane {
                steps: vec![(upstream, Sep::NotFound)],
            },
            None => element.own.clone(),
        };
        std::iter::once(own).chain(element.later.clone())
    }

    fn remember_sumdb(&self, number: usize, wanted: &Wanted, own: &Arc<Upstream>, by: Arc<Upstream>) {
        if wanted.kind == Kind::SumdbSupported
            && !Arc::ptr_eq(own, &by)
            && let Some(name) = sumdb_name(wanted)
        {
            lock(&self.sumdb_homes).insert((number, name), by);
        }
    }

    /// Asks the proxies of a lane once, by Go's rules.
    async fn walk(
        &self,
        lane: &mut Tried,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        may_wait: bool,
    ) -> Result<Found, Trouble> {
        let mut best: Option<Result<Found, Trouble>> = None;
        let first_walk = lane.tries == 0;
        let mut steps = lane.steps.iter_mut().peekable();
        while let Some(step) = steps.next() {
            let passes_by = first_walk && step.sep == Sep::AnyError && steps.peek().is_some();
            let result = self.try_step(step, wanted, agent, may_wait && !passes_by).await;
            let goes_on = match &result {
                Ok(answer) if answer.status == 200 => false,
                Ok(answer) if matches!(answer.status, 404 | 410) => true,
                Ok(_) | Err(_) => step.sep == Sep::AnyError,
            };
            let not_found = matches!(&result, Ok(answer) if matches!(answer.status, 404 | 410));
            let result = result.map(|answer| (answer, Arc::clone(&step.upstream)));
            // Go prefers the last error that is no 404.
            if best.is_none() || !not_found {
                best = Some(result);
            }
            if !goes_on {
                break;
            }
        }
        best.unwrap_or_else(|| Err(Trouble::new(FaultKind::Config, "no proxy to ask").then(Again::Elsewhere)))
    }

    async fn try_step(
        &self,
        step: &mut Step,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        may_wait: bool,
    ) -> Result<Answer, Trouble> {
        let upstream = Arc::clone(&step.upstream);
        let pass = enter(&upstream.breaker, may_wait).await?;
        let tried = self.ask(step, wanted, agent, may_wait).await;
        self.settle(step, pass, tried)
    }

    /// Asks a proxy once, and nothing but that.
    async fn ask(
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
        };
        let mut left = false;
        let result = loop {
            let headers = request_headers(agent, step.partial.as_ref());
            let header = tokio::select! {
                biased;
                header = self.client.get(&url, &headers, step.patience) => header,
                trouble = upstream.breaker.silenced(), if !may_wait => {
                    left = true;
                    break Err(trouble.then(Again::Here));
                }
            };
            let result = match header {
                Ok(exchange) => {
                    self.budget.moved();
                    if let Some(silent) = exchange.instead_of {
                        self.tell_silent(&url, step, silent, 0);
                    }
                    self.read(step, exchange, &asked).await
                }
                Err(trouble) => Err(trouble),
            };
            // A body whose end is not announced is asked for twice in one try.
            if !std::mem::take(&mut step.unconfirmed) {
                break result;
            }
        };
        Asking {
            url,
            since,
            took: since.elapsed(),
            moved: step.held().saturating_sub(before),
            result,
            left,
        }
    }

    /// Tells what came of asking, and lets the proxy's breaker know.
    fn settle(&self, step: &mut Step, pass: Pass<'_>, tried: Asking) -> Result<Answer, Trouble> {
        self.tell(&tried.url, step.asked, tried.took, &tried.result, tried.moved);
        if tried.left {
            return tried.result;
        }
        let progress = step.takes_progress();
        match &tried.result {
            Ok(_) => pass.answered(),
            Err(trouble) => {
                let counts = trouble.phase != Phase::Content && trouble.again != Again::Nowhere;
                if counts && !progress {
                    pass.failed(trouble);
                } else {
                    pass.answered();
                }
            }
        }
        tried.result.map_err(|mut trouble| {
            if trouble.kind == FaultKind::Timeout && step.doublings < DOUBLINGS {
                step.patience = step.patience.doubled();
                step.doublings += 1;
            }
            if is_offline(&trouble) {
                trouble.again = Again::Elsewhere;
            }
            if trouble.is_refused_tls() {
                step.upstream.refused.store(true, Ordering::Relaxed);
            }
            trouble.progress = progress;
            trouble
        })
    }

    /// What an answer whose header is there comes to.
    async fn read(
        &self,
        step: &mut Step,
        mut exchange: Exchange,
        asked: &Asked<'_>,
    ) -> Result<Answer, Trouble> {
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
            408 | 425 | 429 | 500.. => {
                let retry_after = exchange
                    .header(&header::RETRY_AFTER)
                    .and_then(|value| schedule::retry_after(value, SystemTime::now()));
                let kind = if status == 429 {
                    FaultKind::RateLimit
                } else {
                    FaultKind::ServerError
                };
                let answer = short_answer(&mut exchange, step.patience).await;
                let mut trouble = Trouble::new(kind, status_text(&answer));
                self.client.give_back(exchange);
                trouble.retry_after = retry_after;
                trouble.answer = Some(Box::new(answer));
                return Err(trouble);
            }
            _ => {
                let answer = short_answer(&mut exchange, step.patience).await;
                self.client.give_back(exchange);
                return Ok(answer);
            }
        }
        let encoding = exchange.header(&header::CONTENT_ENCODING).map(str::to_owned);
        let content_type = content_type(&exchange);
        let redirected = exchange.redirected.clone();
        let announced = exchange.end_is_announced();
        let spool = self.receive(step, exchange, asked).await?;
        let body = decoded(spool, encoding.as_deref(), wanted, &self.rules)?;
        if !announced && !shows_its_end(&wanted.kind) {
            // Nobody can tell such a body's end from a broken connection: it is
            // believed when it comes a second time.
            let digest = digest(&body).map_err(|err| spool_trouble(&err))?;
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
            body,
        };
        match plausible::complaint(wanted, &answer.body) {
            None => Ok(answer),
            Some(complaint) => Err(implausible(step, wanted, answer, &complaint, redirected)),
        }
    }

    /// Reads a body to its end. What a broken one brought is kept in the step
    /// where it can be gone on with.
    async fn receive(
        &self,
        step: &mut Step,
        mut exchange: Exchange,
        asked: &Asked<'_>,
    ) -> Result<Spool, Trouble> {
        let wanted = asked.wanted;
        let limit = plausible::limit(&wanted.kind);
        let encoded = exchange
            .header(&header::CONTENT_ENCODING)
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        let mut partial = step.partial.take().unwrap_or_else(|| {
            let announced = exchange.announced();
            let mut spool = Spool::new(self.rules.spool.clone());
            spool.expect(announced.unwrap_or(0).min(limit));
            Partial {
                spool,
                etag: strong_etag(&exchange),
                total: announced,
            }
        });
        let mut pace = Pace::new(step.patience.stall);
        loop {
            let piece = match exchange.piece_soon(&mut pace, step.patience.quiet).await {
                Some(piece) => piece,
                None if encoded => exchange.piece(&mut pace).await,
                None => {
                    let since = Instant::now();
                    let silent = exchange.origin.clone();
                    let rest = tokio::select! {
                        biased;
                        piece = exchange.piece(&mut pace) => Err(piece),
                        rest = self.rest(&silent, &partial, step.patience, asked, since) => Ok(rest),
                    };
                    match rest {
                        Err(piece) => piece,
                        Ok(None) => exchange.piece(&mut pace).await,
                        Ok(Some(rest)) => {
                            self.client.went_on(&exchange, since);
                            let silent = step.patience.quiet + since.elapsed();
                            self.tell_silent(asked.url, step, silent, partial.spool.len());
                            exchange = rest;
                            pace = Pace::new(step.patience.stall);
                            continue;
                        }
                    }
                }
            };
            match piece {
                Ok(Some(bytes)) => {
                    self.budget.moved();
                    let room = limit.saturating_sub(partial.spool.len());
                    let part = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                    partial
                        .spool
                        .push(&bytes[..part])
                        .map_err(|err| spool_trouble(&err))?;
                    if part < bytes.len() || partial.spool.len() == limit {
                        return cut(partial.spool, wanted, limit);
                    }
                }
                Ok(None) => break,
                Err(trouble) => {
                    self.client.body_failed(&exchange, &trouble);
                    let known = partial.etag.is_some() || partial.total.is_some();
                    if known && !encoded && !step.no_ranges && partial.spool.len() > 0 {
                        step.partial = Some(partial);
                    }
                    return Err(trouble);
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
        patience: Patience,
        asked: &Asked<'_>,
        since: Instant,
    ) -> Option<Exchange> {
        if partial.etag.is_none() && partial.total.is_none() {
            return None;
        }
        let headers = request_headers(asked.agent, Some(partial));
        let rest = self
            .client
            .beside(silent, asked.url, &headers, patience, since)
            .await?;
        let goes_on = rest.status.as_u16() == 206 && continues(&rest, Some(partial));
        goes_on.then_some(rest)
    }

    /// Tells of a connection whose place another has taken.
    fn tell_silent(&self, url: &Url, step: &mut Step, silent: Duration, moved: u64) {
        if step.unheard {
            return;
        }
        let trouble = Trouble::nobody(
            FaultKind::Timeout,
            format!(
                "silent for {:.1} s; another connection went on",
                silent.as_secs_f64()
            ),
        );
        self.tell(url, step.asked, silent, &Err(trouble), moved);
        step.asked += 1;
    }

    /// Tells that a lane will be asked again after `wait`.
    fn tell_wait(&self, lane: &Tried, wanted: &Wanted, wait: Duration) {
        let (Some(listener), Some(step), Some(last)) = (&self.listener, lane.steps.last(), &lane.last) else {
            return;
        };
        listener(Event::RequestBackoff {
            url: crate::report::safe(&step.upstream.base.below(&wanted.path).redacted()),
            wait,
            left: (self.rules.tries + 1).saturating_sub(lane.tries),
            error: crate::report::safe(&last.text),
        });
    }

    fn tell(&self, url: &Url, r#try: u32, took: Duration, result: &Result<Answer, Trouble>, moved: u64) {
        let Some(listener) = &self.listener else {
            return;
        };
        let (status, bytes, error) = match result {
            Ok(answer) => (Some(answer.status), answer.body.len(), None),
            Err(trouble) => (
                trouble.answer.as_ref().map(|answer| answer.status),
                moved,
                Some(crate::report::safe(&trouble.text)),
            ),
        };
        listener(Event::UpstreamRequest {
            url: crate::report::safe(&url.redacted()),
            status,
            bytes,
            took,
            r#try,
            error,
        });
    }
}

/// Forgets a flight that nobody waits for any more.
struct Cleanup<'a> {
    flights: &'a Mutex<HashMap<(usize, String), Weak<Flight>>>,
    key: &'a (usize, String),
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        let mut flights = lock(self.flights);
        // The asker's own hold is the last one.
        if flights
            .get(self.key)
            .is_some_and(|flight| flight.strong_count() <= 1)
        {
            flights.remove(self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tried {
    fn new(lane: &Lane, patience: Patience) -> Self {
        Self {
            steps: lane
                .steps
                .iter()
                .map(|(upstream, sep)| Step::new(upstream, *sep, patience))
                .collect(),
            tries: 0,
            content: 0,
            rate_limits: 0,
            wait: Duration::ZERO,
            done: false,
            last: None,
        }
    }

    /// Takes note of a fault and decides whether the lane is asked again.
    fn note(&mut self, trouble: Trouble, tries: u32) {
        if trouble.progress {
            self.tries = 0;
        }
        self.tries += 1;
        self.content = if trouble.phase == Phase::Content || trouble.kind == FaultKind::Garbage {
            self.content + 1
        } else {
            0
        };
        self.rate_limits = if trouble.kind == FaultKind::RateLimit {
            self.rate_limits + 1
        } else {
            0
        };
        self.done = trouble.again != Again::Here
            || self.tries > tries
            || self.content > schedule::CONTENT_TRIES.min(tries)
            || trouble
                .retry_after
                .is_some_and(|after| after > schedule::RETRY_AFTER_LIMIT);
        self.last = Some(trouble);
    }

    /// The wait before the next try.
    fn delay(&self, random: f64) -> Duration {
        match &self.last {
            None => Duration::ZERO,
            // "At once" is no reason to do so for ever.
            Some(Trouble {
                retry_after: Some(after),
                ..
            }) => (*after).max(schedule::delay(self.tries, random)),
            Some(trouble) if trouble.kind == FaultKind::RateLimit => {
                schedule::rate_limit_delay(self.rate_limits)
            }
            Some(_) => schedule::delay(self.tries, random),
        }
    }
}

impl Step {
    fn new(upstream: &Arc<Upstream>, sep: Sep, patience: Patience) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            sep,
            partial: None,
            best: 0,
            no_ranges: false,
            unannounced: None,
            unconfirmed: false,
            patience,
            doublings: 0,
            asked: 0,
            unheard: false,
        }
    }

    fn held(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| partial.spool.len())
    }

    /// True where a broken body brought so much more than was ever held of it
    /// that going on with it is no further try: [`PROGRESS`], or a quarter of
    /// the whole.
    fn takes_progress(&mut self) -> bool {
        let moved = self.held().saturating_sub(self.best);
        self.best += moved;
        let total = self.partial.as_ref().and_then(|partial| partial.total);
        moved >= PROGRESS || (moved > 0 && total.is_some_and(|total| moved >= total / 4))
    }

    /// The server does not go on where a body broke off: what was held of it is
    /// of no use, and it is not asked to again.
    fn cannot_go_on(&mut self) -> Trouble {
        self.partial = None;
        self.no_ranges = true;
        cut_short()
    }
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

async fn enter(breaker: &Breaker, may_wait: bool) -> Result<Pass<'_>, Trouble> {
    let dead = |last: Box<Trouble>| last.then(Again::Elsewhere);
    if may_wait {
        return breaker.enter().await.map_err(dead);
    }
    if let Some(trouble) = breaker.silence() {
        return Err(trouble.then(Again::Here));
    }
    match breaker.try_enter() {
        Entry::Open(pass) => Ok(pass),
        Entry::Dead(last) => Err(dead(last)),
        Entry::Busy => Err(Trouble::nobody(
            FaultKind::Timeout,
            "context deadline exceeded while waiting for a proxy that failed before",
        )),
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
fn cut_short() -> Trouble {
    Trouble::new(FaultKind::Eof, "unexpected EOF").in_body()
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

async fn short_answer(exchange: &mut Exchange, patience: Patience) -> Answer {
    let text = exchange.head(ANSWER_TEXT, patience.stall).await;
    Answer {
        status: exchange.status.as_u16(),
        reason: exchange.reason.take(),
        content_type: content_type(exchange),
        body: Body::from_bytes(text),
    }
}

fn plain_answer(status: u16, text: &'static str) -> Answer {
    Answer {
        status,
        reason: None,
        content_type: Some(b"text/plain; charset=utf-8".to_vec()),
        body: Body::from_bytes(text),
    }
}

/// `503 Service Unavailable`, as it was sent.
fn status_text(answer: &Answer) -> String {
    let reason = answer.reason.as_ref().map(crate::report::safe);
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
fn cut(spool: Spool, wanted: &Wanted, limit: u64) -> Result<Spool, Trouble> {
    if matches!(wanted.kind, Kind::Zip | Kind::Other) {
        return Ok(spool);
    }
    let mut trouble = Trouble::new(FaultKind::Garbage, format!("more than {limit} bytes")).in_body();
    trouble.phase = Phase::Content;
    Err(trouble)
}

fn spool_trouble(err: &std::io::Error) -> Trouble {
    Trouble::new(
        FaultKind::Disk,
        format!("spool of the relay: {}", crate::errno::text(err)),
    )
    .then(Again::Nowhere)
}

/// Undoes a gzip encoding that nobody asked for, as go would; anything else is
/// left as it is and found implausible.
fn decoded(spool: Spool, encoding: Option<&str>, wanted: &Wanted, rules: &Rules) -> Result<Body, Trouble> {
    let body = spool.finish();
    if !encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")) {
        return Ok(body);
    }
    let limit = plausible::limit(&wanted.kind);
    let mut plain = Spool::new(rules.spool.clone());
    let mut decoder = flate2::read::GzDecoder::new(std::io::BufReader::new(body.reader()));
    let mut buffer = vec![0_u8; 32 << 10];
    loop {
        let read = decoder
            .read(&mut buffer)
            .map_err(|_| Trouble::new(FaultKind::Garbage, "gzip: invalid data").in_body())?;
        if read == 0 {
            return Ok(plain.finish());
        }
        plain.push(&buffer[..read]).map_err(|err| spool_trouble(&err))?;
        if plain.len() > BOMB && plain.len() / BOMB_RATIO > body.len() {
            return Err(Trouble::new(FaultKind::Garbage, "gzip: more than a module unpacks to").in_body());
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
) -> Trouble {
    let mut trouble = Trouble::new(
        FaultKind::Garbage,
        format!(
            "invalid response from proxy {:?}: {complaint}",
            step.upstream.base.redacted()
        ),
    );
    trouble.phase = Phase::Content;
    trouble.url = redirected;
    if !matches!(wanted.kind, Kind::Mod | Kind::Zip) {
        trouble.answer = Some(Box::new(answer));
    }
    trouble
}

/// `/sumdb/NAME/…` without what stands behind the name.
fn sumdb_name(wanted: &Wanted) -> Option<String> {
    let rest = wanted.path.strip_prefix("sumdb/")?;
    let end = ["/supported", "/lookup/", "/tile/", "/latest"]
        .iter()
        .filter_map(|word| rest.find(word))
        .min()?;
    Some(rest[..end].to_owned())
}

/// No way out of this machine at all: trying again is of no use.
fn is_offline(trouble: &Trouble) -> bool {
    let hopeless = trouble.text.ends_with("network is unreachable") || trouble.text.ends_with("no such host");
    hopeless && !crate::offline::has_default_route()
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

    #[test]
    fn names_of_databases() {
        let name = |path| sumdb_name(&Wanted::parse(path).unwrap());
        assert_eq!(
            name("sumdb/sum.golang.org/supported").as_deref(),
            Some("sum.golang.org")
        );
        assert_eq!(name("sumdb/h/db/lookup/m@v1.0.0").as_deref(), Some("h/db"));
        assert_eq!(name("sumdb/h/tile/8/0/000"), Some("h".to_owned()));
        assert_eq!(name("m/@v/list"), None);
    }

    fn tried() -> Tried {
        Tried::new(
            &Lane { steps: Vec::new() },
            Patience {
                lookup: Duration::ZERO,
                connect: Duration::ZERO,
                handshake: Duration::ZERO,
                tunnel: Duration::ZERO,
                first_byte: Duration::ZERO,
                stall: Duration::ZERO,
                quiet: Duration::ZERO,
            },
        )
    }

    #[test]
    fn a_lane_is_asked_nine_times_at_most() {
        let mut lane = tried();
        let mut waits = Vec::new();
        while !lane.done {
            lane.note(Trouble::new(FaultKind::Reset, "reset"), schedule::TRIES);
            waits.push(lane.delay(1.0).as_millis());
        }
        assert_eq!(waits, [0, 100, 300, 900, 2700, 8100, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn what_makes_no_sense_is_asked_for_five_times() {
        for garbage in [
            Trouble::new(FaultKind::Garbage, "stopped after 10 redirects"),
            Trouble::new(FaultKind::Garbage, "malformed HTTP status code"),
        ] {
            let mut lane = tried();
            let asked = (0..9)
                .take_while(|_| {
                    lane.note(garbage.clone(), schedule::TRIES);
                    !lane.done
                })
                .count();
            assert_eq!(asked, 4, "{}", garbage.text);
        }
    }

    #[test]
    fn what_ends_a_lane_at_once() {
        let ends = |trouble: Trouble| {
            let mut lane = tried();
            lane.note(trouble, schedule::TRIES);
            lane.done
        };
        assert!(ends(
            Trouble::new(FaultKind::Certificate, "x509").then(Again::Elsewhere)
        ));
        let mut limited = Trouble::new(FaultKind::RateLimit, "429");
        limited.retry_after = Some(Duration::from_secs(61));
        assert!(ends(limited.clone()));
        limited.retry_after = Some(Duration::from_secs(60));
        assert!(!ends(limited));
    }

    #[test]
    fn waits_for_rate_limits() {
        let mut lane = tried();
        let mut waits = Vec::new();
        for _ in 0..7 {
            lane.note(Trouble::new(FaultKind::RateLimit, "429"), schedule::TRIES);
            waits.push(lane.delay(0.0).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn progress_gives_the_tries_back() {
        let mut lane = tried();
        for _ in 0..40 {
            let mut broken = Trouble::new(FaultKind::Reset, "reset").in_body();
            broken.progress = true;
            lane.note(broken, schedule::TRIES);
            assert!(!lane.done);
            assert_eq!(lane.delay(1.0), Duration::ZERO);
        }
    }
}
