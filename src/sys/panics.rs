//! What a panic costs: the piece of work that it struck, and one line.
//!
//! Each room that reads what others wrote is called through [`caught`], so that a fault of gofix's own leaves go's words,
//! status and files as they are.

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// True once anything has panicked in this process, in whatever thread.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// Replaces std's report of a panic by one line, for the first panic of the process.
///
/// Only words that stand in the source are shown: others may quote what the user must not see, a password for one.
pub(crate) fn report_in_one_line() {
    panic::set_hook(Box::new(|info| {
        if HAPPENED.swap(true, Ordering::Relaxed) {
            return;
        }
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let words = info.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        let colon = if words.is_empty() { "" } else { ": " };
        let line = format!("gofix: internal error at {place}{colon}{words}\n");
        // Where stderr is closed or full there is nobody to tell.
        let _ = nix::unistd::write(std::io::stderr(), line.as_bytes());
    }));
}

/// Does a piece of work; `None` where it panicked. `name` is the [`checkpoint`] in front of it.
pub(crate) fn caught<T>(name: &str, work: impl FnOnce() -> T) -> Option<T> {
    let work = || {
        checkpoint(name);
        work()
    };
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The same for work that waits.
pub(crate) async fn caught_async<T>(name: &str, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(async {
        checkpoint(name);
        work.await
    });
    std::future::poll_fn(|context| {
        match panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// A named step, for tests: the process ends there as by `kill -9` where `__GOFIX_TEST_CHECKPOINT` names it, and panics
/// where `__GOFIX_TEST_PANIC` does. Only in builds with debug assertions.
pub(crate) fn checkpoint(name: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let is_named = |variable| std::env::var_os(variable).is_some_and(|wanted| wanted == name);
    if is_named("__GOFIX_TEST_CHECKPOINT") {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
    assert!(!is_named("__GOFIX_TEST_PANIC"), "a test asked for it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_comes_to_nothing() {
        assert_eq!(caught("x", || 7), Some(7));
        assert_eq!(caught("x", || assert_eq!(1, 2)), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let later = async {
                tokio::task::yield_now().await;
                7
            };
            assert_eq!(caught_async("x", later).await, Some(7));
            let panics = async {
                tokio::task::yield_now().await;
                assert_eq!(1, 2);
            };
            assert_eq!(caught_async("x", panics).await, None);
        });
    }
}
