//! A file that is asked for ahead, between the one who asks for it and go, who
//! may come for it.
//!
//! Who waits has one end and who asks has the other, and neither keeps the
//! other's: whoever asks and comes to nothing, for whatever reason, lets go of
//! its end, and whoever waits is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{oneshot, watch};

use crate::sys::spool::MEMORY_LIMIT;

/// By how much more: all zips that go has not come for take 64 MiB on the disk,
/// or 1 MiB of memory.
const IN_MEMORY: u64 = 64;

/// What is known of a request made ahead while it is under way.
#[derive(Debug)]
pub(crate) struct Ticket {
    claimed: AtomicBool,
    /// What its length counts, as soon as that is announced; what has come of it until then.
    bytes: AtomicU64,
    /// The bytes of all that go has not come for, this file's among them.
    unclaimed: Arc<AtomicU64>,
    gate: Option<watch::Receiver<usize>>,
}

impl Ticket {
    /// Go has come for it: it is go's own request now.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Says how long the file is, or how much of it has come.
    pub(crate) fn has_bytes(&self, bytes: u64) {
        if bytes > 0 && !self.is_claimed() {
            let bytes = self.weight(bytes);
            let before = self.bytes.swap(bytes, Ordering::Relaxed);
            self.unclaimed
                .fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// A zip that is kept in memory counts more than one on the disk.
    fn weight(&self, bytes: u64) -> u64 {
        let is_zip = self.gate.is_some();
        let in_memory = is_zip && bytes <= MEMORY_LIMIT as u64;
        bytes * if in_memory { IN_MEMORY } else { 1 }
    }

    /// True where go waits for another zip, and not for this one: it takes
    /// nothing of the line then.
    pub(crate) fn stands_still(&self) -> bool {
        let waited_for = self.gate.as_ref().map_or(0, |gate| *gate.borrow());
        waited_for > 0 && !self.is_claimed()
    }

    /// Ends when it goes on.
    pub(crate) async fn goes_on(&self) {
        let Some(mut gate) = self.gate.clone() else {
            return;
        };
        while self.stands_still() {
            if gate.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Where what was asked for ahead goes.
#[derive(Debug)]
pub(crate) struct Taker<T> {
    pub(crate) ticket: Arc<Ticket>,
    what: oneshot::Sender<T>,
}

impl<T> Taker<T> {
    /// Hands over what came. Nobody may have waited for it.
    pub(crate) fn give(self, what: T) {
        drop(self.what.send(what));
    }

    /// Ends when nobody can come for it any more.
    pub(crate) async fn gone(&mut self) {
        self.what.closed().await;
    }
}

/// What comes of a file that was asked for ahead.
#[derive(Debug)]
pub(crate) struct Coming<T> {
    pub(super) ticket: Arc<Ticket>,
    pub(super) what: oneshot::Receiver<T>,
}

impl<T> Coming<T> {
    /// Go has come for it, or nobody will: it is among those that wait no more.
    pub(super) fn claim(&self) {
        self.ticket.claimed.store(true, Ordering::Relaxed);
        let bytes = self.ticket.bytes.swap(0, Ordering::Relaxed);
        self.ticket.unclaimed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What came; `None` where that is nothing of use.
    pub(crate) async fn came(self) -> Option<T> {
        self.what.await.ok()
    }
}

/// Both ends. `unclaimed` sums up the bytes that go has not come for, `bytes` of
/// them for this one until more is known. `gate` counts the zips that go waits
/// for, and is there for a zip.
pub(super) fn pair<T>(
    unclaimed: &Arc<AtomicU64>,
    bytes: u64,
    gate: Option<watch::Receiver<usize>>,
) -> (Taker<T>, Coming<T>) {
    unclaimed.fetch_add(bytes, Ordering::Relaxed);
    let ticket = Arc::new(Ticket {
        claimed: AtomicBool::new(false),
        bytes: AtomicU64::new(bytes),
        unclaimed: Arc::clone(unclaimed),
        gate,
    });
    let (give, take) = oneshot::channel();
    let taker = Taker {
        ticket: Arc::clone(&ticket),
        what: give,
    };
    (taker, Coming { ticket, what: take })
}
