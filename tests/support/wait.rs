//! Waiting for what comes when it comes: no test sleeps.

use std::time::{Duration, Instant};

use gofix::faultproxy::FaultProxy;

/// Long after anything that does come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Looks until it is so: there is nothing to wait on for a file or a process.
#[track_caller]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "it did not come to that");
        std::thread::yield_now();
    }
}

/// Waits until a request stands at a proxy and is not answered.
#[track_caller]
pub(crate) fn wait_for_request(proxy: &FaultProxy) {
    assert!(proxy.wait_for(LIMIT, |requests| {
        requests
            .iter()
            .any(|request| request.fault.is_some() && request.took.is_none())
    }));
}

/// Every connection that was made has ended.
#[track_caller]
pub(crate) fn expect_closed(proxy: &FaultProxy) {
    assert!(proxy.wait_for(LIMIT, |requests| {
        requests.iter().all(|request| request.took.is_some())
    }));
}
