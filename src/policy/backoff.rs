//! How long to wait between runs of go. Randomness is passed in, nobody sleeps here. The relay's requests have
//! the schedule of `relay::schedule`.
//!
//! Full jitter: a wait is drawn evenly between nothing and
//! the step, so that a hundred CI jobs that failed together do not come back
//! together. `backon` gives the steps; its own jitter is not used, since it is
//! added on top of the cap.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Draws a number in `[0, 1)`.
pub type Draw<'a> = &'a mut dyn FnMut() -> f64;

/// A series of waits.
#[derive(Debug)]
pub struct Schedule {
    steps: ExponentialBackoff,
}

impl Schedule {
    /// Between runs of go: from 1 s, doubling, cap 10 s.
    #[must_use]
    pub fn of_runs() -> Self {
        Self::new(Duration::from_secs(1), 2.0, Duration::from_secs(10))
    }

    fn new(first: Duration, factor: f32, cap: Duration) -> Self {
        let steps = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_factor(factor)
            .with_max_delay(cap)
            .without_max_times()
            .build();
        Self { steps }
    }

    /// The next wait.
    pub fn next(&mut self, draw: Draw<'_>) -> Duration {
        let step = self.steps.next().unwrap_or(Duration::from_secs(10));
        step.mul_f64(draw().clamp(0.0, 1.0))
    }
}

/// How long to wait after a 429 between runs of go, which hides Retry-After.
pub const RATE_LIMITED_RUN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_caps() {
        let steps = |mut schedule: Schedule| {
            (0..6)
                .map(|_| schedule.next(&mut || 1.0).as_millis())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            steps(Schedule::of_runs()),
            [1000, 2000, 4000, 8000, 10_000, 10_000]
        );
        assert_eq!(Schedule::of_runs().next(&mut || 0.0), Duration::ZERO);
    }
}
