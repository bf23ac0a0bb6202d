//! The time budget, as one request sees it.
//!
//! Behind its end nothing is tried again. What is under way is ended only
//! where nothing moves: a body that still arrives on a slow line is no fault,
//! and go by itself would have it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

/// The end of the budget, and what has moved.
#[derive(Debug)]
pub(crate) struct Budget {
    deadline: Option<Instant>,
    /// The end of waits and further tries, where that is sooner: it ends nothing
    /// that plain go would have waited for.
    patient_until: Option<Instant>,
    /// How long nothing may move behind the end: the stall clock.
    grace: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    moved: Option<Instant>,
    /// A request was ended, and nothing has moved since.
    spent: bool,
}

impl Budget {
    pub(crate) fn new(deadline: Option<Instant>, patient_until: Option<Instant>, grace: Duration) -> Self {
        Self {
            deadline,
            patient_until: [deadline, patient_until].into_iter().flatten().min(),
            grace,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upstream has sent something.
    pub(crate) fn moved(&self) {
        if self.deadline.is_some() {
            *self.state() = State {
                moved: Some(Instant::now()),
                spent: false,
            };
        }
    }

    /// True where a wait before another try would outlast the budget.
    pub(crate) fn is_too_late(&self, wait: Duration) -> bool {
        self.patient_until
            .is_some_and(|end| wait >= end.saturating_duration_since(Instant::now()))
    }

    /// Ends when nobody is waited for any more.
    pub(crate) async fn over(&self) {
        match self.patient_until {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Does the work of one request; `None` where the budget ends it.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let Some(deadline) = self.deadline else {
            return Some(work.await);
        };
        let begun = Instant::now();
        tokio::pin!(work);
        loop {
            let end = self.end(deadline, begun);
            if let Ok(done) = timeout_at(end, &mut work).await {
                return Some(done);
            }
            if self.end(deadline, begun) <= end {
                self.state().spent = true;
                return None;
            }
        }
    }

    /// When a request ends that began at `begun`, as it looks now. One that
    /// begins behind the end has as long as another that has just moved, but
    /// not one after the other where nobody answers.
    fn end(&self, deadline: Instant, begun: Instant) -> Instant {
        let state = self.state();
        let late = (begun >= deadline && !state.spent).then_some(begun);
        [state.moved, late]
            .into_iter()
            .flatten()
            .map(|since| since + self.grace)
            .fold(deadline, Instant::max)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::sys::clock::paused;

    const SECOND: Duration = Duration::from_secs(1);

    fn budget(deadline: Duration) -> Budget {
        Budget::new(Some(Instant::now() + deadline), None, 3 * SECOND)
    }

    #[test]
    fn who_gets_nothing_is_ended_by_it() {
        paused(async {
            let budget = budget(10 * SECOND);
            let start = Instant::now();
            assert_eq!(budget.hold(sleep(60 * SECOND)).await, None);
            assert_eq!(start.elapsed(), 10 * SECOND);
        });
    }

    #[test]
    fn no_wait_is_too_long_to_be_compared() {
        paused(async {
            assert!(budget(10 * SECOND).is_too_late(Duration::MAX));
            assert!(!budget(10 * SECOND).is_too_late(9 * SECOND));
            assert!(!Budget::new(None, None, SECOND).is_too_late(Duration::MAX));
        });
    }

    #[test]
    fn the_end_of_further_tries_ends_no_first_one() {
        paused(async {
            let now = Instant::now();
            let budget = Budget::new(Some(now + 60 * SECOND), Some(now + 10 * SECOND), 3 * SECOND);
            assert!(budget.hold(sleep(30 * SECOND)).await.is_some());
            assert!(budget.is_too_late(Duration::ZERO));
            budget.over().await;
            assert_eq!(budget.hold(sleep(60 * SECOND)).await, None);
            assert_eq!(now.elapsed(), 60 * SECOND);
        });
    }

    #[test]
    fn what_moves_goes_on_to_its_end() {
        paused(async {
            let budget = budget(10 * SECOND);
            let slow = async {
                for _ in 0..60 {
                    sleep(SECOND).await;
                    budget.moved();
                }
            };
            assert!(budget.hold(slow).await.is_some());
            // And is ended where it moves no more.
            let start = Instant::now();
            assert_eq!(budget.hold(sleep(60 * SECOND)).await, None);
            assert_eq!(start.elapsed(), 3 * SECOND);
        });
    }

    #[test]
    fn behind_its_end_the_first_to_get_nothing_is_the_last_that_is_waited_for() {
        paused(async {
            let budget = budget(SECOND);
            advance(5 * SECOND).await;
            assert!(budget.is_too_late(Duration::ZERO));
            let took = async || {
                let start = Instant::now();
                assert_eq!(budget.hold(sleep(60 * SECOND)).await, None);
                start.elapsed()
            };
            assert_eq!(took().await, 3 * SECOND);
            assert_eq!(took().await, Duration::ZERO);
            budget.moved();
            assert_eq!(took().await, 3 * SECOND);
        });
    }
}
