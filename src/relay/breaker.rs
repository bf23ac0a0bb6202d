//! The breaker of one upstream.
//!
//! Faults in a row open it. While it is open one request at a time may probe;
//! the others wait for the probe, or take another route. When enough probes
//! have failed the upstream is dead for this run and answers at once with its
//! last fault.
//!
//! Apart from that an upstream is silent from the first request that waited in
//! vain for it until its next answer: as long as somebody else can be asked,
//! nobody waits for it again. One that answered others in the meantime is not
//! silent, it has trouble with one file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, sleep_until};

use super::request_error::RequestError;
use super::schedule::Ramp;

/// When a breaker opens and when it gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Faults in a row that open it; 0 keeps it shut for good.
    pub(crate) max_fails: u32,
    /// From its opening to a probe, and from one probe to the next.
    pub(crate) fail_timeout: Duration,
    /// Probes that may fail before the upstream is dead.
    pub(crate) probes: u32,
    /// One that is down is waited for longer than that, and taken up with again slowly.
    pub(crate) patient: bool,
}

/// The breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Limits,
    began: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    failed_probes: u32,
    /// When the next probe may start; set while the breaker is open.
    probe_at: Option<Instant>,
    probing: bool,
    dead: Option<RequestError>,
    answered_at: Option<Instant>,
    /// The fault of the request that waited in vain.
    silent: Option<RequestError>,
    ramp: Ramp,
}

/// Leave to ask the upstream once.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
    since: Instant,
}

/// What the breaker says to a request.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// Go ahead.
    Open(Pass<'a>),
    /// A probe is on its way or not yet due.
    Busy,
    /// Dead for this run.
    Dead(Box<RequestError>),
}

impl Breaker {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            began: Instant::now(),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for leave without waiting.
    pub(crate) fn try_enter(&self) -> Entry<'_> {
        let mut state = self.state();
        if let Some(last) = &state.dead {
            return Entry::Dead(Box::new(last.clone()));
        }
        let Some(probe_at) = state.probe_at else {
            return Entry::Open(self.entered(Instant::now()));
        };
        if state.probing || Instant::now() < probe_at {
            return Entry::Busy;
        }
        state.probing = true;
        Entry::Open(Pass {
            breaker: self,
            probe: true,
            since: Instant::now(),
        })
    }

    /// Leave for a request that nobody waits for: of an upstream that is well.
    pub(crate) fn enter_well(&self) -> Option<Pass<'_>> {
        let state = self.state();
        let well = state.dead.is_none()
            && state.probe_at.is_none()
            && state.silent.is_none()
            && !state.ramp.is_steep();
        drop(state);
        well.then(|| self.entered(Instant::now()))
    }

    /// Leave, after the fact, for a request that began at `since`.
    pub(crate) fn entered(&self, since: Instant) -> Pass<'_> {
        Pass {
            breaker: self,
            probe: false,
            since,
        }
    }

    /// The fault that made the upstream silent, where it is.
    pub(crate) fn silence(&self) -> Option<RequestError> {
        self.state().silent.clone()
    }

    /// Takes the upstream for one that may answer.
    pub(crate) fn forget_silence(&self) {
        self.state().silent = None;
    }

    /// Ends when the upstream is silent, with the fault that made it so.
    pub(crate) async fn silenced(&self) -> RequestError {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(error) = self.silence() {
                return error;
            }
            changed.await;
        }
    }

    /// How long a request that nobody else can answer is still held back, since the upstream was down; zero: it is its
    /// turn.
    pub(crate) fn turn(&self) -> Duration {
        match self.limits.patient {
            true => self.state().ramp.turn(self.began.elapsed()),
            false => Duration::ZERO,
        }
    }

    /// Ends with the next answer.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Asks for leave and waits for the probe where one is under way.
    ///
    /// # Errors
    /// The last fault of an upstream that is dead.
    pub(crate) async fn enter(&self) -> Result<Pass<'_>, Box<RequestError>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change is missed.
            changed.as_mut().enable();
            match self.try_enter() {
                Entry::Open(pass) => return Ok(pass),
                Entry::Dead(last) => return Err(last),
                Entry::Busy => {}
            }
            let due = {
                let state = self.state();
                state.probe_at.filter(|_| !state.probing)
            };
            match due {
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => {}
                },
                None => changed.await,
            }
        }
    }
}

impl Pass<'_> {
    /// The upstream answered.
    pub(crate) fn answered(self) {
        let mut state = self.breaker.state();
        if state.dead.is_none() {
            let mut ramp = std::mem::take(&mut state.ramp);
            ramp.answered(self.breaker.began.elapsed());
            *state = State {
                answered_at: Some(Instant::now()),
                ramp,
                ..State::default()
            };
        }
        drop(state);
        self.breaker.changed.notify_waiters();
    }

    /// The upstream failed with a fault that counts.
    pub(crate) fn failed(self, error: &RequestError) {
        self.count(error, error.is_in_vain());
    }

    /// The same, of a host that is not silent for that.
    pub(crate) fn stopped(self, error: &RequestError) {
        self.count(error, false);
    }

    fn count(self, error: &RequestError, silences: bool) {
        let limits = self.breaker.limits;
        let mut state = self.breaker.state();
        state.in_a_row = state.in_a_row.saturating_add(1);
        if limits.patient {
            let now = self.breaker.began.elapsed();
            state.ramp.failed(now, error.asks_for_less());
        }
        let due = Instant::now() + limits.fail_timeout;
        if self.probe {
            state.failed_probes += 1;
            state.probe_at = Some(due);
        } else if state.probe_at.is_none() && limits.max_fails > 0 && state.in_a_row >= limits.max_fails {
            state.probe_at = Some(due);
        }
        let is_waited_for = limits.patient && error.may_pass();
        if state.probe_at.is_some() && state.failed_probes >= limits.probes && !is_waited_for {
            state.dead.get_or_insert_with(|| error.of_the_host());
        }
        if silences && state.answered_at.is_none_or(|at| at < self.since) {
            state.silent.get_or_insert_with(|| error.of_the_host());
            drop(state);
            self.breaker.changed.notify_waiters();
        }
    }
}

impl Drop for Pass<'_> {
    /// A probe whose request was given up makes room for the next.
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
            self.breaker.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultKind;

    use super::*;
    use crate::sys::clock::paused;

    fn breaker() -> Breaker {
        breaker_of(false)
    }

    fn breaker_of(patient: bool) -> Breaker {
        Breaker::new(Limits {
            max_fails: 3,
            fail_timeout: Duration::from_secs(10),
            probes: 2,
            patient,
        })
    }

    fn error() -> RequestError {
        RequestError::new(FaultKind::Reset, "reset")
    }

    fn fail(breaker: &Breaker) {
        match breaker.try_enter() {
            Entry::Open(pass) => pass.failed(&error()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn faults_in_a_row_open_it_and_an_answer_between_does_not() {
        paused(async {
            let breaker = breaker();
            fail(&breaker);
            fail(&breaker);
            let Entry::Open(pass) = breaker.try_enter() else {
                panic!()
            };
            pass.answered();
            fail(&breaker);
            fail(&breaker);
            assert!(matches!(breaker.try_enter(), Entry::Open(_)));
            fail(&breaker);
            assert!(matches!(breaker.try_enter(), Entry::Busy));
        });
    }

    #[test]
    fn one_probe_at_a_time_and_the_others_wait_for_it() {
        paused(async {
            let breaker = breaker();
            (0..3).for_each(|_| fail(&breaker));
            let start = Instant::now();
            let probe = breaker.enter().await.unwrap();
            assert!(probe.probe && start.elapsed() >= Duration::from_secs(10));
            assert!(matches!(breaker.try_enter(), Entry::Busy));
            let (waited, ()) = tokio::join!(breaker.enter(), async { probe.answered() });
            assert!(!waited.unwrap().probe);
        });
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room() {
        paused(async {
            let breaker = breaker();
            (0..3).for_each(|_| fail(&breaker));
            drop(breaker.enter().await.unwrap());
            assert!(breaker.enter().await.unwrap().probe);
        });
    }

    #[test]
    fn a_wait_in_vain_silences_it_until_its_next_answer() {
        paused(async {
            let breaker = breaker();
            let in_vain = RequestError::nobody(FaultKind::Timeout, "timeout");
            let enter = || match breaker.try_enter() {
                Entry::Open(pass) => pass,
                other => panic!("{other:?}"),
            };
            fail(&breaker);
            assert!(breaker.silence().is_none(), "a reset is no silence");
            let (pass, other) = (enter(), enter());
            // Who waits there already is told.
            let (told, ()) = tokio::join!(breaker.silenced(), async { pass.failed(&in_vain) });
            assert_eq!(told.text, "timeout");
            assert!(breaker.silence().is_some());
            other.answered();
            assert!(breaker.silence().is_none());
            tokio::time::advance(Duration::from_secs(1)).await;
            enter().failed(&in_vain);
            assert!(breaker.silence().is_some());
            // Another run of go asks again.
            breaker.forget_silence();
            assert!(breaker.silence().is_none());
        });
    }

    #[test]
    fn the_last_fault_of_the_dead_names_no_file() {
        paused(async {
            let breaker = breaker();
            let mut of_one = error();
            of_one.url = Some("https://h/m".to_owned());
            of_one.answer = Some(Box::new(crate::relay::request_error::Answer {
                redirected_to: None,
                status: 503,
                reason: None,
                content_type: None,
                body: crate::sys::spool::Body::from_bytes("down"),
            }));
            for _ in 0..5 {
                breaker.enter().await.unwrap().failed(&of_one);
            }
            let last = breaker.enter().await.unwrap_err();
            let answer = last.answer.unwrap();
            assert_eq!((last.url, answer.status, answer.body.len()), (None, 503, 4));
        });
    }

    #[test]
    fn a_host_that_answered_in_the_meantime_is_not_silent() {
        paused(async {
            let breaker = breaker();
            let (Entry::Open(slow), Entry::Open(quick)) = (breaker.try_enter(), breaker.try_enter()) else {
                panic!()
            };
            tokio::time::advance(Duration::from_secs(1)).await;
            quick.answered();
            slow.failed(&RequestError::nobody(FaultKind::Timeout, "timeout"));
            assert!(breaker.silence().is_none());
        });
    }

    #[test]
    fn the_patient_wait_for_one_that_is_down_and_take_up_with_it_slowly() {
        paused(async {
            let nobody = RequestError::nobody(FaultKind::Connect, "connect: connection refused");
            for patient in [true, false] {
                let breaker = breaker_of(patient);
                for _ in 0..3 {
                    breaker.enter().await.unwrap().failed(&nobody);
                }
                // Ten seconds after the first fault, for a probe.
                breaker.enter().await.unwrap().answered();
                let held_back = if patient { 5 } else { 0 };
                assert_eq!(breaker.turn(), Duration::from_secs(held_back));
                assert_eq!(breaker.enter_well().is_none(), patient);
                tokio::time::advance(Duration::from_secs(held_back)).await;
                assert_eq!(breaker.turn(), Duration::ZERO);
            }
            // Who answers with a fault may do so for ever.
            for (patient, error) in [(true, error()), (false, nobody.clone()), (true, nobody)] {
                let breaker = breaker_of(patient);
                for _ in 0..5 {
                    breaker.enter().await.unwrap().failed(&error);
                }
                let is_waited_for = patient && error.may_pass();
                assert_eq!(!matches!(breaker.try_enter(), Entry::Dead(_)), is_waited_for);
            }
        });
    }

    #[test]
    fn failed_probes_are_its_death() {
        paused(async {
            let breaker = breaker();
            (0..3).for_each(|_| fail(&breaker));
            for _ in 0..2 {
                breaker.enter().await.unwrap().failed(&error());
            }
            assert_eq!(breaker.enter().await.unwrap_err().text, "reset");
            assert!(matches!(breaker.try_enter(), Entry::Dead(_)));
        });
    }
}
