//! A file that is asked for ahead, between the one who asks for it and go, who
//! may come for it.
//!
//! Who waits has one end and who asks has the other, and neither keeps the
//! other's: whoever asks and comes to nothing, for whatever reason, lets go of
//! its end, and whoever waits is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{oneshot, watch};

/// What is known of a request made ahead while it is under way.
#[derive(Debug)]
pub(crate) struct Ticket {
    claimed: AtomicBool,
    /// Its length, as soon as that is announced; what has come of it until then.
    bytes: AtomicU64,
    gate: Option<watch::Receiver<usize>>,
}

impl Ticket {
    /// Go has come for it: it is go's own request now.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    pub(crate) fn has_bytes(&self, bytes: u64) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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
    pub(super) fn claim(&self) {
        self.ticket.claimed.store(true, Ordering::Relaxed);
    }

    /// What came; `None` where that is nothing of use.
    pub(crate) async fn came(self) -> Option<T> {
        self.what.await.ok()
    }
}

/// Both ends. `gate` counts the zips that go waits for, and is there for a zip.
pub(super) fn pair<T>(gate: Option<watch::Receiver<usize>>) -> (Taker<T>, Coming<T>) {
    let ticket = Arc::new(Ticket {
        claimed: AtomicBool::new(false),
        bytes: AtomicU64::new(0),
        gate,
    });
    let (give, take) = oneshot::channel();
    let taker = Taker {
        ticket: Arc::clone(&ticket),
        what: give,
    };
    (taker, Coming { ticket, what: take })
}
