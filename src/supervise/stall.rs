//! The clock that watches go from outside: fewer than ten bytes a second for
//! too long are a stall. Pure; what was read is measured by `watch`.

use std::{collections::VecDeque, time::Duration};

/// The sample period; a sample counts as at most [`SAMPLE_LIMIT`], so that a
/// suspended machine or Ctrl-Z is no stall.
pub(super) const SAMPLE: Duration = Duration::from_secs(1);
const SAMPLE_LIMIT: Duration = Duration::from_secs(2);

/// A transfer slower than this, in bytes a second, is a stall.
const SLOWEST: f64 = 10.0;

/// The stall clock.
#[derive(Debug)]
pub(super) struct StallClock {
    limit: Duration,
    window: VecDeque<(Duration, u64)>,
    sum: (Duration, u64),
}

impl StallClock {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            window: VecDeque::new(),
            sum: (Duration::ZERO, 0),
        }
    }

    /// How often a sample is taken.
    pub(super) fn period(&self) -> Duration {
        SAMPLE.min(self.limit / 4).max(Duration::from_millis(10))
    }

    /// Something was printed, or there is a reason to wait.
    pub(super) fn reset(&mut self) {
        self.window.clear();
        self.sum = (Duration::ZERO, 0);
    }

    /// Adds a sample: how long it took and how much was read. Returns for how
    /// long nothing has moved, once that is too long.
    pub(super) fn sample(&mut self, took: Duration, bytes: u64) -> Option<Duration> {
        let took = took.min(SAMPLE_LIMIT);
        self.window.push_back((took, bytes));
        self.sum = (self.sum.0 + took, self.sum.1 + bytes);
        while let Some((first, moved)) = self.window.front().copied() {
            if self.sum.0 - first < self.limit {
                break;
            }
            self.window.pop_front();
            self.sum = (self.sum.0 - first, self.sum.1 - moved);
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate, compared with a small number")]
        let slow = (self.sum.1 as f64) < SLOWEST * self.sum.0.as_secs_f64();
        (self.sum.0 >= self.limit && slow).then_some(self.sum.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_strikes_and_movement_does_not() {
        let mut clock = StallClock::new(Duration::from_secs(5));
        assert!((0..4).all(|_| clock.sample(SECOND, 0).is_none()));
        assert_eq!(clock.sample(SECOND, 0), Some(5 * SECOND));
        clock.reset();
        assert!((0..100).all(|_| clock.sample(SECOND, 11).is_none()));
    }

    #[test]
    fn a_drip_is_a_stall_however_it_is_spread() {
        let mut clock = StallClock::new(Duration::from_secs(10));
        let struck = (0..40).any(|second| {
            clock
                .sample(SECOND, if second % 5 == 0 { 20 } else { 0 })
                .is_some()
        });
        assert!(struck);
    }

    #[test]
    fn a_suspended_machine_is_no_stall() {
        let mut clock = StallClock::new(Duration::from_secs(10));
        assert_eq!(clock.sample(3600 * SECOND, 0), None);
        assert_eq!(clock.sample(SECOND, 0), None);
    }
}
