//! One file for go: routes, tries, one fetch for many askers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::diagnose::FaultKind;
use crate::go::proxy_list::Sep;
use crate::report::Event;

use super::ahead::{Coming, Job, Project, Room, Scan, Ticket, Went};
use super::ask::{Asker, Asking, Step};
use super::faults::{Ledger, Met};
use super::request_error::{Again, Answer, Phase, RequestError};
use super::schedule::{Failed, Tries};
use super::upstream::{Behind, Element, Route, Upstream};
use crate::go::protocol::{Kind, Wanted};
use crate::net::dial::Timeouts;
use crate::sys::panics::checkpoint;
use crate::sys::spool::Body;

/// Numbers that hold for every request.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) timeouts: Timeouts,
    pub(crate) tries: u32,
    /// Where nobody else can be asked, one that is down is waited for.
    pub(crate) patient: bool,
}

/// Fetches files.
pub(crate) struct Fetcher {
    pub(crate) asker: Asker,
    pub(crate) elements: Vec<Element>,
    pub(crate) rules: Rules,
    pub(crate) ledger: Arc<Ledger>,
    flights: Mutex<HashMap<(usize, String), Weak<Flight>>>,
    /// Who answered for a checksum database in an element's place.
    sumdb_homes: Mutex<HashMap<(usize, String), Arc<Upstream>>>,
    ahead: Room<Box<First>>,
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

/// A route and what this request has met on it.
struct RouteAttempt {
    steps: Vec<Step>,
    tries: Tries,
    /// The wait before the next try.
    wait: Duration,
    done: bool,
    /// What ended it may pass: it is asked again where nobody else can be.
    may_heal: bool,
    last: Option<RequestError>,
}

/// A request made ahead, and what came of it.
#[derive(Debug)]
struct First {
    step: Step,
    tried: Asking,
}

type Found = (Answer, Arc<Upstream>);

/// Why there is nothing.
struct Missed {
    error: RequestError,
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

impl Fetcher {
    pub(crate) fn new(
        asker: Asker,
        elements: Vec<Element>,
        mut rules: Rules,
        ledger: Arc<Ledger>,
        project: Project,
        first_is_asked_all: bool,
    ) -> Self {
        let ahead = Room::new(project, first_is_asked_all, elements.len());
        // What go turns to by itself shall not wait.
        rules.patient &= elements.iter().all(|element| element.behind == Behind::Nothing);
        Self {
            asker,
            elements,
            rules,
            ledger,
            flights: Mutex::default(),
            sumdb_homes: Mutex::default(),
            ahead,
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
        let coming = self.ahead.asked(element, wanted);
        let waits = self.ahead.waits(wanted);
        self.go_ahead(agent);
        let mut missed = Missed {
            error: RequestError::nobody(FaultKind::Timeout, "context deadline exceeded"),
            met: Met::Spent,
        };
        let work = self.fetch_by_routes(element, wanted, agent, coming, &mut missed);
        let found = self.asker.budget.hold(work).await.flatten();
        drop(waits);
        let own = self
            .elements
            .get(element)
            .and_then(|element| element.own.steps.first());
        let Some((upstream, _)) = own else {
            return Outcome::Answer(plain_answer(404, "no such element"));
        };
        let asked = upstream.base.below(&wanted.path);
        if let Some((answer, by)) = found {
            self.ledger.healed(&wanted.path);
            let own = Arc::ptr_eq(upstream, &by);
            if answer.status == 200 {
                if own {
                    self.ahead.served(element, wanted, &answer.body);
                }
                self.remember_sumdb(element, wanted, upstream, by);
            } else if own {
                self.ledger.redirected(&asked, answer.redirected_to.as_deref());
            }
            self.go_ahead(agent);
            return Outcome::Answer(answer);
        }
        let Missed { error, met } = missed;
        let redirected_to = error.redirected_to(&upstream.base.authority);
        self.ledger.redirected(&asked, redirected_to.as_deref());
        let id = self.ledger.record(wanted, &upstream.base, &error, met);
        match error.answer {
            Some(answer) => Outcome::Answer(*answer),
            None => Outcome::Fault(id),
        }
    }

    /// Sees to it that what go will want next is asked for meanwhile.
    fn go_ahead(self: &Arc<Self>, agent: Option<&HeaderValue>) {
        let narrow = |number: usize| {
            let element = self.elements.get(number);
            let own = element.and_then(|element| element.own.steps.first());
            own.is_none_or(|(upstream, _)| !self.asker.client.is_shared(&upstream.base))
        };
        for job in self.ahead.due(narrow) {
            // In a box, which goes when the task ends: who waits for a file keeps the task's waker, and with it all of
            // the task that is not in a box.
            tokio::spawn(Box::pin(Arc::clone(self).ask_ahead(job, agent.cloned())));
        }
        if let Some(scan) = self.ahead.scan() {
            tokio::spawn(Arc::clone(self).read_ahead(scan, agent.cloned()));
        }
    }

    /// Reads files that say what go will want.
    async fn read_ahead(self: Arc<Self>, scan: Scan, agent: Option<HeaderValue>) {
        checkpoint("relay-ahead");
        let found = tokio::task::spawn_blocking(|| scan.run()).await;
        self.ahead.scanned(&found.unwrap_or_default());
        self.go_ahead(agent.as_ref());
    }

    async fn ask_ahead(self: Arc<Self>, job: Job<Box<First>>, agent: Option<HeaderValue>) {
        checkpoint("relay-ahead");
        let Job {
            element,
            name,
            wanted,
            mut taker,
        } = job;
        let ticket = Arc::clone(&taker.ticket);
        let first = tokio::select! {
            biased;
            first = self.ask_once(element, &wanted, agent.as_ref(), ticket) => first,
            () = taker.gone() => None,
        };
        let went = match &first {
            None => Went::Nowhere,
            Some(first) if first.tried.slow => Went::Enough,
            Some(first) => match &first.tried.result {
                Ok(answer) if is_of_use(answer) => Went::Well,
                Err(error) if error.asks_for_less() => Went::Enough,
                _ => Went::Badly,
            },
        };
        let body = first.as_ref().and_then(|first| match &first.tried.result {
            Ok(answer) if answer.status == 200 => Some(&answer.body),
            _ => None,
        });
        self.ahead.over(element, &name, went, body);
        match first {
            Some(first) if first.tried.result.as_ref().map_or(true, is_of_use) => taker.give(Box::new(first)),
            // Whoever waits for it asks by itself.
            _ => drop(taker),
        }
        self.go_ahead(agent.as_ref());
    }

    /// Asks an element's proxy for a file that go has not asked for, as long as
    /// the proxy is well.
    async fn ask_once(
        &self,
        number: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        ticket: Arc<Ticket>,
    ) -> Option<First> {
        let [(upstream, sep)] = self.elements.get(number)?.own.steps.as_slice() else {
            return None;
        };
        let pass = upstream.breaker.enter_well()?;
        let mut step = Step::new(upstream, *sep, 1, self.rules.timeouts);
        step.ticket = Some(ticket);
        let tried = self.asker.ask(&mut step, wanted, agent, false).await;
        step.ticket = None;
        if tried.result.is_ok() {
            self.asker.note_answer(&step, pass, &tried);
        }
        Some(First { step, tried })
    }

    /// The first try, where it was made ahead. `may_wait` as for
    /// [`Fetcher::walk`].
    async fn came(
        &self,
        coming: Coming<Box<First>>,
        route: &mut RouteAttempt,
        may_wait: bool,
    ) -> Option<Result<Found, RequestError>> {
        let step = route.steps.first_mut()?;
        let upstream = Arc::clone(&step.upstream);
        let first = tokio::select! {
            biased;
            first = coming.came() => *first?,
            _ = upstream.breaker.silenced(), if !may_wait => return None,
        };
        let First { step: asked, tried } = first;
        *step = asked;
        if let Ok(answer) = &tried.result {
            self.asker.transfers.used(answer.body.len());
            self.asker.tell_of(step, &tried);
            return Some(tried.result.map(|answer| (answer, upstream)));
        }
        let pass = upstream.breaker.entered(tried.since);
        let settled = self.asker.settle(step, pass, tried);
        Some(settled.map(|answer| (answer, Arc::clone(&upstream))))
    }

    /// Asks the element and, where that ends in a fault, the routes behind it.
    /// `missed` is left holding the fault of the user's own route.
    async fn fetch_by_routes(
        &self,
        number: usize,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        mut coming: Option<Coming<Box<First>>>,
        missed: &mut Missed,
    ) -> Option<Found> {
        let element = self.elements.get(number)?;
        let mut routes: Vec<RouteAttempt> = self
            .routes(number, element, wanted)
            .map(|route| RouteAttempt::new(&route, self.rules.timeouts))
            .collect();
        let mut current = 0;
        loop {
            let own = current == 0;
            let untried = routes
                .iter()
                .enumerate()
                .any(|(at, route)| at != current && !route.done && route.tries.count() == 0);
            let others = own && element.behind != Behind::Nothing || untried;
            // A repository may not have what a proxy has.
            let skips = own && element.behind == Behind::Proxy || untried;
            let route = routes.get_mut(current)?;
            let mut elsewhere = true;
            let first = match coming.take() {
                Some(coming) => self.came(coming, route, !others).await,
                None => None,
            };
            let walked = match first {
                Some(walked) => walked,
                None => self.walk(route, wanted, agent, !others, skips).await,
            };
            match walked {
                Ok(found) if own || outranks_a_fault(wanted, &found.0) => return Some(found),
                Ok(_) => route.done = true,
                Err(error) => {
                    if own {
                        // Not to be asked any more is no news of the proxy.
                        missed.error = match &route.last {
                            Some(last) if error.is_paused() => last.clone(),
                            _ => error.clone(),
                        };
                        if error.asks_for_less() {
                            self.ahead.stop(number);
                        }
                    }
                    if own && error.again == Again::Nowhere {
                        return None;
                    }
                    elsewhere = error.sends_elsewhere();
                    let takes_over = own && element.behind.takes_over(&error, route.tries.count() + 1);
                    route.note(error, self.rules.tries);
                    // Twice the same page: somebody else may have the file.
                    elsewhere |= untried && route.tries.content() > 1;
                    // Drawn once, so that the wait and the look at the budget agree.
                    route.wait = route.tries.wait(fastrand::f64());
                    // What the server named may fit where a longer wait does not.
                    if let Some(named) = route.tries.retry_after()
                        && self.asker.budget.is_too_late(route.wait)
                    {
                        route.wait = named;
                    }
                    if self.asker.budget.is_too_late(route.wait) {
                        route.done = true;
                        route.may_heal = false;
                    }
                    if takes_over {
                        missed.met = Met::Left;
                        return None;
                    }
                }
            }
            if elsewhere || route.done {
                let count = routes.len();
                let mut others = (1..=count).map(|step| (current + step) % count);
                current = others
                    .clone()
                    .find(|at| !routes[*at].done)
                    .or_else(|| others.find(|at| self.rules.patient && routes[*at].may_heal))?;
            }
            let route = routes.get_mut(current)?;
            let wait = std::mem::take(&mut route.wait);
            if self.asker.budget.is_too_late(wait) {
                return None;
            }
            if !wait.is_zero() {
                self.tell_wait(route, wanted, wait);
                sleep(wait).await;
            }
        }
    }

    /// The element's own route, then the later ones.
    fn routes(&self, number: usize, element: &Element, wanted: &Wanted) -> impl Iterator<Item = Route> {
        let home = if wanted.is_sumdb() && wanted.kind != Kind::SumdbSupported {
            let homes = lock(&self.sumdb_homes);
            sumdb_name(wanted).and_then(|name| homes.get(&(number, name)).cloned())
        } else {
            None
        };
        let own = match home {
            Some(upstream) => Route {
                number: element.route_of(&upstream),
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

    /// Asks the proxies of a route once, by Go's rules.
    async fn walk(
        &self,
        route: &mut RouteAttempt,
        wanted: &Wanted,
        agent: Option<&HeaderValue>,
        may_wait: bool,
        skips: bool,
    ) -> Result<Found, RequestError> {
        let mut best: Option<Result<Found, RequestError>> = None;
        let first_walk = route.tries.count() == 0;
        let mut steps = route.steps.iter_mut().peekable();
        while let Some(step) = steps.next() {
            let passes_by = first_walk && step.sep == Sep::AnyError && steps.peek().is_some();
            let result = self
                .asker
                .try_step(step, wanted, agent, may_wait && !passes_by, skips)
                .await;
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
        best.unwrap_or_else(|| {
            Err(RequestError::new(FaultKind::Config, "no proxy to ask").then(Again::Elsewhere))
        })
    }

    /// Tells that a route will be asked again after `wait`.
    fn tell_wait(&self, route: &RouteAttempt, wanted: &Wanted, wait: Duration) {
        let (Some(listener), Some(step), Some(last)) =
            (&self.asker.listener, route.steps.last(), &route.last)
        else {
            return;
        };
        listener(Event::RequestBackoff {
            url: crate::text::safe(&step.upstream.base.below(&wanted.path).redacted()),
            wait,
            left: (self.rules.tries + 1).saturating_sub(route.tries.count()),
            error: crate::text::safe(&last.text),
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

impl RouteAttempt {
    fn new(route: &Route, timeouts: Timeouts) -> Self {
        Self {
            steps: route
                .steps
                .iter()
                .map(|(upstream, sep)| Step::new(upstream, *sep, route.number, timeouts))
                .collect(),
            tries: Tries::default(),
            wait: Duration::ZERO,
            done: false,
            may_heal: false,
            last: None,
        }
    }

    /// Takes note of a fault and decides whether the route is asked again.
    fn note(&mut self, error: RequestError, tries: u32) {
        let failed = Failed {
            progress: error.progress,
            content: error.phase == Phase::Content || error.kind == FaultKind::Garbage,
            rate_limited: error.kind == FaultKind::RateLimit,
            retry_after: error.retry_after,
        };
        self.may_heal = error.again == Again::Here && error.may_pass();
        self.done = !self.tries.failed(failed, tries) || error.again != Again::Here;
        self.last = Some(error);
    }
}

/// Whether go's own request may be answered by what came ahead of it. Whatever
/// else a proxy says, it may say otherwise when it is asked again.
fn is_of_use(answer: &Answer) -> bool {
    const LONGEST_TYPE: usize = 256;
    let usual = |value: &Vec<u8>| value.len() <= LONGEST_TYPE;
    matches!(answer.status, 200 | 404 | 410) && answer.content_type.as_ref().is_none_or(usual)
}

fn plain_answer(status: u16, text: &'static str) -> Answer {
    Answer {
        status,
        reason: None,
        content_type: Some(b"text/plain; charset=utf-8".to_vec()),
        redirected_to: None,
        body: Body::from_bytes(text),
    }
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

#[cfg(test)]
mod tests {
    use super::super::schedule;
    use super::*;

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

    fn tried() -> RouteAttempt {
        RouteAttempt::new(
            &Route {
                number: 1,
                steps: Vec::new(),
            },
            Timeouts {
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
        let mut route = tried();
        let mut waits = Vec::new();
        loop {
            route.note(RequestError::new(FaultKind::Reset, "reset"), schedule::TRIES);
            if route.done {
                break;
            }
            waits.push(route.tries.wait(1.0).as_millis());
        }
        assert_eq!(waits, [0, 100, 300, 900, 2700, 8100, 10_000, 10_000]);
    }

    #[test]
    fn what_makes_no_sense_is_asked_for_five_times() {
        for garbage in [
            RequestError::new(FaultKind::Garbage, "stopped after 10 redirects"),
            RequestError::new(FaultKind::Garbage, "malformed HTTP status code"),
        ] {
            let mut route = tried();
            let asked = (0..9)
                .take_while(|_| {
                    route.note(garbage.clone(), schedule::TRIES);
                    !route.done
                })
                .count();
            assert_eq!(asked, 4, "{}", garbage.text);
        }
    }

    #[test]
    fn what_ends_a_lane_at_once() {
        let ends = |error: RequestError| {
            let mut route = tried();
            route.note(error, schedule::TRIES);
            route.done
        };
        assert!(ends(
            RequestError::new(FaultKind::Certificate, "x509").then(Again::Elsewhere)
        ));
        let mut limited = RequestError::new(FaultKind::RateLimit, "429");
        limited.retry_after = Some(Duration::from_secs(61));
        assert!(ends(limited.clone()));
        limited.retry_after = Some(Duration::from_secs(60));
        assert!(!ends(limited));
    }

    #[test]
    fn waits_for_rate_limits() {
        let mut route = tried();
        let mut waits = Vec::new();
        for _ in 0..7 {
            route.note(RequestError::new(FaultKind::RateLimit, "429"), schedule::TRIES);
            waits.push(route.tries.wait(0.0).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn progress_gives_the_tries_back() {
        let mut route = tried();
        for _ in 0..40 {
            let mut broken = RequestError::new(FaultKind::Reset, "reset").in_body();
            broken.progress = true;
            route.note(broken, schedule::TRIES);
            assert!(!route.done);
            assert_eq!(route.tries.wait(1.0), Duration::ZERO);
        }
    }
}
