//! Clocks that a stopped or suspended machine does not run out.
//!
//! Time is added up from samples of at most one second, each counted as at
//! most two: a process that stood still for an hour (Ctrl-Z, a closed lid) has
//! lost two seconds when it goes on, not its connection.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a clock is read.
pub(crate) const SAMPLE: Duration = Duration::from_secs(1);
/// What one sample counts at most.
pub(crate) const SAMPLE_LIMIT: Duration = Duration::from_secs(2);

/// How many bytes have to move within `limit`: a transfer of fewer than ten a second is a stall.
pub(crate) fn least(limit: Duration) -> u64 {
    let bytes = limit.as_millis() / 100;
    u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
}

/// A clock that adds up samples.
#[derive(Debug)]
pub(crate) struct Clock {
    limit: Duration,
    counted: Duration,
    read: Instant,
}

impl Clock {
    /// A clock that strikes after `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            counted: Duration::ZERO,
            read: Instant::now(),
        }
    }

    /// Starts again from nothing.
    pub(crate) fn restart(&mut self) {
        self.counted = Duration::ZERO;
        self.read = Instant::now();
    }

    /// Ends when the clock strikes. Safe to drop and call again: what was
    /// counted stays counted.
    pub(crate) async fn struck(&mut self) {
        loop {
            // First what has passed since: whoever calls this anew for every byte of a trickle
            // never sleeps a whole sample.
            let now = Instant::now();
            self.counted += (now - self.read).min(SAMPLE_LIMIT);
            self.read = now;
            let left = self.limit.saturating_sub(self.counted);
            if left.is_zero() {
                return;
            }
            sleep(left.min(SAMPLE)).await;
        }
    }
}

/// Waits for a sample and says what it counts.
pub(crate) async fn sample() -> Duration {
    let since = Instant::now();
    sleep(SAMPLE).await;
    since.elapsed().min(SAMPLE_LIMIT)
}

/// Runs `work` until it ends or `limit` has passed; `None` for the latter.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut clock = Clock::new(limit);
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.struck() => None,
    }
}

/// Runs `work` by a clock that stands still but for what is waited for.
#[cfg(test)]
pub(crate) fn paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_after_its_limit() {
        paused(async {
            let start = Instant::now();
            assert_eq!(
                within(Duration::from_millis(2500), std::future::pending::<()>()).await,
                None
            );
            assert_eq!(start.elapsed().as_millis() / 10, 250);
            assert_eq!(within(Duration::from_secs(1), async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn it_strikes_although_it_is_dropped_and_called_again() {
        paused(async {
            let start = Instant::now();
            let mut clock = Clock::new(Duration::from_secs(3));
            let mut interruptions = 0;
            loop {
                tokio::select! {
                    () = clock.struck() => break,
                    () = sleep(Duration::from_millis(400)) => interruptions += 1,
                }
            }
            assert_eq!(interruptions, 7);
            assert_eq!(start.elapsed().as_secs(), 3);
        });
    }

    #[test]
    fn an_hour_asleep_counts_two_seconds() {
        paused(async {
            let mut clock = Clock::new(Duration::from_secs(5));
            let start = Instant::now();
            let asleep = async {
                sleep(Duration::from_millis(500)).await;
                tokio::time::advance(Duration::from_secs(3600)).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = clock.struck() => {}
                () = asleep => {}
            }
            let after = start.elapsed() - Duration::from_secs(3600);
            assert!(after > Duration::from_secs(3), "{after:?}");
        });
    }
}
