//! When a request is made again: at once, then full jitter from 100 ms,
//! tripling, at most 10 s, for those who are patient later 30 s; what `Retry-After` says about it; and how slowly
//! a server that was down is taken up with again. Pure: `benches/herd.rs` plays it for ten thousand machines.

use std::time::{Duration, SystemTime};

/// Further tries for one request on one route.
pub const TRIES: u32 = 8;
/// Further tries after what arrives whole and is not what was asked for (a
/// body, a redirect that is not followed, no HTTP at all): a server that says
/// the same five times over means it.
pub(crate) const CONTENT_TRIES: u32 = 4;
/// Further tries where nobody is there and go goes on to the repository itself,
/// or to a folder: it would at once, but not for a proxy that is back within a
/// second.
pub(crate) const BEFORE_OTHER: u32 = 3;
/// The longest `Retry-After` that is waited for.
pub(crate) const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(60);

/// Longer than anybody names in earnest, and small enough to be added to a time.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

const FIRST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(10);
const RATE_LIMIT_CAP: Duration = Duration::from_secs(30);
/// Behind the further tries of [`TRIES`].
const PATIENT_CAP: Duration = Duration::from_secs(30);

/// Faults in a row after which a server was down, and not one request unlucky.
const DOWN: u32 = 3;
/// The first gap behind an outage, as a part of it, and what each answer leaves of the gap: all gaps together last twice
/// as long as the outage did.
const FIRST_GAP: f64 = 0.5;
const NEXT_GAP: f64 = 0.75;
const NO_GAP: Duration = Duration::from_millis(50);

/// A failed try, as far as it matters for the next one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failed {
    /// A good part of the body had arrived: it is gone on with.
    pub progress: bool,
    /// Something arrived whole and is not what was asked for.
    pub content: bool,
    /// The answer was 429.
    pub rate_limited: bool,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// The failed tries of one request on one route.
#[derive(Debug, Default)]
pub struct Tries {
    count: u32,
    /// Bad bodies in a row.
    content: u32,
    /// 429s in a row.
    rate_limits: u32,
    last: Option<Failed>,
}

impl Tries {
    /// Takes note of a failed try; false where the same route is not asked again: `most` further tries are spent, or
    /// the server wants to be left alone for too long.
    pub fn failed(&mut self, failed: Failed, most: u32) -> bool {
        if failed.progress {
            self.count = 0;
        }
        let in_a_row = |count: u32, one_more: bool| if one_more { count + 1 } else { 0 };
        self.count += 1;
        self.content = in_a_row(self.content, failed.content);
        self.rate_limits = in_a_row(self.rate_limits, failed.rate_limited);
        self.last = Some(failed);
        self.count <= most
            && self.content <= CONTENT_TRIES.min(most)
            && failed.retry_after.is_none_or(|after| after <= RETRY_AFTER_LIMIT)
    }

    /// Failed tries that count.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bad bodies in a row.
    pub(crate) fn content(&self) -> u32 {
        self.content
    }

    /// What the server has asked for, if it has: the wait may be longer than this, but not shorter.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.last?.retry_after
    }

    /// The wait before the next try. `random` lies in `0.0..1.0`.
    #[must_use]
    pub fn wait(&self, random: f64) -> Duration {
        match self.last {
            None => Duration::ZERO,
            // "At once" is no reason to do so for ever.
            Some(Failed {
                retry_after: Some(after),
                ..
            }) => spread(after, random).max(delay(self.count, random)),
            Some(Failed {
                rate_limited: true, ..
            }) => spread(rate_limit_delay(self.rate_limits), random),
            Some(_) => delay(self.count, random),
        }
    }
}

/// The gaps between the requests of one machine to a server that was down. All who waited for it have all of their
/// requests still to make; together they would be a storm. Times are those of any one clock.
#[derive(Debug, Default)]
pub struct Ramp {
    faults: u32,
    sent_away: bool,
    down_since: Option<Duration>,
    gap: Duration,
    next: Duration,
}

impl Ramp {
    /// The server failed; `sent_away`: it wants fewer requests.
    pub fn failed(&mut self, now: Duration, sent_away: bool) {
        self.faults = self.faults.saturating_add(1);
        self.sent_away |= sent_away;
        self.down_since.get_or_insert(now);
    }

    /// The server answered.
    pub fn answered(&mut self, now: Duration) {
        let down = now.saturating_sub(self.down_since.unwrap_or(now));
        let mut gap = self.gap.mul_f64(NEXT_GAP);
        if self.faults >= DOWN || self.sent_away {
            gap = gap.max(down.mul_f64(FIRST_GAP).min(PATIENT_CAP));
        }
        if gap < NO_GAP {
            gap = Duration::ZERO;
        }
        *self = Self {
            gap,
            next: now + gap,
            ..Self::default()
        };
    }

    /// The wait before the next request may be made; zero: it is made now.
    pub fn turn(&mut self, now: Duration) -> Duration {
        let wait = self.next.saturating_sub(now);
        if wait.is_zero() {
            self.next = now + self.gap;
        }
        wait
    }

    /// Whether requests are held back.
    pub(crate) fn is_steep(&self) -> bool {
        !self.gap.is_zero()
    }
}

/// Not before `wait`, and up to as long again later: those who were sent away together, or until one and the same time,
/// must not come back together.
fn spread(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 + random.clamp(0.0, 1.0))
}

/// The wait before further try `again` (from 1). `random` lies in `0.0..1.0`.
pub(crate) fn delay(again: u32, random: f64) -> Duration {
    let Some(steps) = again.checked_sub(2) else {
        return Duration::ZERO;
    };
    let cap = if again <= TRIES { CAP } else { PATIENT_CAP };
    let ceiling = FIRST.saturating_mul(3_u32.saturating_pow(steps)).min(cap);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

/// The wait after the `count`-th 429 in a row (from 1) that names no time of
/// its own: 1, 2, 4 … 30 s.
pub(crate) fn rate_limit_delay(count: u32) -> Duration {
    let seconds = 1_u64
        .checked_shl(count.saturating_sub(1))
        .unwrap_or(u64::MAX)
        .max(1);
    Duration::from_secs(seconds).min(RATE_LIMIT_CAP)
}

/// Reads a `Retry-After` header: seconds, or an HTTP date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)).min(FOR_EVER));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let date = SystemTime::from(date);
    Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(FOR_EVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_then_tripling_with_a_cap() {
        let ceilings: Vec<u128> = (1..=TRIES).map(|again| delay(again, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [0, 100, 300, 900, 2700, 8100, 10_000, 10_000]);
        assert_eq!(delay(5, 0.0), Duration::ZERO);
        assert_eq!(delay(TRIES + 1, 1.0), PATIENT_CAP);
        assert_eq!(delay(u32::MAX, 1.0), PATIENT_CAP);
    }

    #[test]
    fn a_server_that_was_down_is_taken_up_with_slowly() {
        let second = Duration::from_secs(1);
        let mut ramp = Ramp::default();
        for at in 0..3 {
            assert_eq!(ramp.turn(at * second), Duration::ZERO);
            ramp.failed(at * second, false);
        }
        let mut now = 40 * second;
        ramp.answered(now);
        let (mut gaps, mut all) = (Vec::new(), Duration::ZERO);
        while ramp.is_steep() {
            let wait = ramp.turn(now);
            gaps.push(wait.as_millis());
            (now, all) = (now + wait, all + wait);
            assert_eq!(ramp.turn(now), Duration::ZERO);
            ramp.answered(now);
        }
        assert_eq!(gaps[..3], [20_000, 15_000, 11_250]);
        assert!(all < 80 * second, "{all:?}");
        assert_eq!(ramp.turn(now), Duration::ZERO);
    }

    #[test]
    fn who_is_unlucky_twice_is_not_held_back_and_who_is_sent_away_once_is() {
        let at = Duration::from_secs;
        let mut ramp = Ramp::default();
        ramp.failed(at(0), false);
        ramp.failed(at(1), false);
        ramp.answered(at(9));
        assert!(!ramp.is_steep());
        ramp.failed(at(10), true);
        ramp.answered(at(500));
        assert_eq!(ramp.turn(at(500)), PATIENT_CAP);
    }

    #[test]
    fn who_is_sent_away_together_does_not_come_back_together() {
        let waits = |failed: Failed| {
            let mut tries = Tries::default();
            assert!(tries.failed(failed, TRIES));
            [0.0, 0.5, 1.0].map(|random| tries.wait(random).as_millis())
        };
        let sent_away = Failed {
            retry_after: Some(Duration::from_secs(30)),
            ..Failed::default()
        };
        assert_eq!(waits(sent_away), [30_000, 45_000, 60_000]);
        let limited = Failed {
            rate_limited: true,
            ..Failed::default()
        };
        assert_eq!(waits(limited), [1000, 1500, 2000]);
    }

    #[test]
    fn rate_limits_double_up_to_half_a_minute() {
        let seconds: Vec<u64> = (1..=8).map(|n| rate_limit_delay(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(rate_limit_delay(u32::MAX), RATE_LIMIT_CAP);
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("99999999999999999999999", now), Some(FOR_EVER));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("", now), None);
    }
}
