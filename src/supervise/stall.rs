//! The clock that watches go from outside: fewer than ten bytes a second for
//! too long are a stall. Pure; what was read is measured by `watch`.

use std::time::Duration;

use crate::sys::clock::{SAMPLE, SAMPLE_LIMIT, least};

/// The stall clock.
#[derive(Debug)]
pub(super) struct StallClock {
    limit: Duration,
    counted: Duration,
    moved: u64,
}

impl StallClock {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            counted: Duration::ZERO,
            moved: 0,
        }
    }

    /// How often a sample is taken.
    pub(super) fn period(&self) -> Duration {
        SAMPLE.min(self.limit / 4).max(Duration::from_millis(10))
    }

    /// Something was printed, or there is a reason to wait.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Adds a sample: how long it took and how much was read. Returns for how
    /// long too little has moved, once that is too long.
    pub(super) fn sample(&mut self, took: Duration, bytes: u64) -> Option<Duration> {
        self.counted += took.min(SAMPLE_LIMIT);
        self.moved += bytes;
        if self.moved >= least(self.limit) {
            self.reset();
        }
        (self.counted >= self.limit).then_some(self.counted)
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
