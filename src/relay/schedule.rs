//! When a request is made again: at once, then full jitter from 100 ms,
//! tripling, at most 10 s; and what `Retry-After` says about it. Pure.

use std::time::{Duration, SystemTime};

/// Further tries for one request on one route.
pub(crate) const TRIES: u32 = 8;
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

/// The wait before further try `again` (from 1). `random` lies in `0.0..1.0`.
pub(crate) fn delay(again: u32, random: f64) -> Duration {
    let Some(steps) = again.checked_sub(2) else {
        return Duration::ZERO;
    };
    let ceiling = FIRST.saturating_mul(3_u32.saturating_pow(steps)).min(CAP);
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
        assert_eq!(delay(u32::MAX, 1.0), CAP);
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
