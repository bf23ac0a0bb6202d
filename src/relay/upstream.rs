//! Who can be asked for a file: module proxies, and the order of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::go::proxy_list::Sep;

use super::breaker::{Breaker, Limits};
use super::request_error::RequestError;
use super::schedule;
use crate::net::url::Url;

/// One module proxy.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its URL as in the list.
    pub(crate) base: Url,
    /// Its breaker.
    pub(crate) breaker: Breaker,
    /// It is none that the relay's libraries speak with or trust, or one that go knows how to log in to.
    refused: AtomicBool,
    /// It has brought a whole file in this run: what it says elsewhere is about
    /// that file, and no portal's.
    well: AtomicBool,
    zips: Mutex<Zips>,
}

/// Whether large bodies come through. Small ones may while these do not: a
/// path that loses every full packet, a middlebox that has to scan them first.
#[derive(Debug, Default)]
struct Zips {
    whole_at: Option<Instant>,
    stuck: Option<RequestError>,
}

impl Upstream {
    pub(crate) fn new(base: Url, limits: Limits) -> Self {
        Self {
            base,
            breaker: Breaker::new(limits),
            refused: AtomicBool::new(false),
            well: AtomicBool::new(false),
            zips: Mutex::default(),
        }
    }

    /// It has brought a whole file.
    pub(crate) fn brought(&self, zip: bool) {
        self.well.store(true, Ordering::Relaxed);
        if zip {
            *self.zips() = Zips {
                whole_at: Some(Instant::now()),
                stuck: None,
            };
        }
    }

    pub(crate) fn has_brought(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    fn zips(&self) -> MutexGuard<'_, Zips> {
        self.zips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A zip that was asked for at `since` has stopped in its body.
    pub(crate) fn zip_stopped(&self, since: Instant, error: &RequestError) {
        let mut zips = self.zips();
        if zips.whole_at.is_none_or(|at| at < since) {
            zips.stuck.get_or_insert_with(|| error.of_the_host());
        }
    }

    /// The fault of a zip that stopped, where none has come whole since: as long
    /// as somebody else can be asked, nobody waits for another one.
    pub(crate) fn stuck(&self) -> Option<RequestError> {
        self.zips().stuck.clone()
    }

    /// Forgets a wait in vain: another run of go begins.
    pub(crate) fn is_heard_again(&self) {
        self.breaker.forget_silence();
        self.zips().stuck = None;
    }

    /// Remembers that the relay's libraries refused what it sends.
    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the relay has refused what it sends. Go may think otherwise of it.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Proxies in the order in which Go's rules ask them.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The route that names them, from 1.
    pub(crate) number: usize,
    pub(crate) steps: Vec<(Arc<Upstream>, Sep)>,
}

/// What one element of go's list leads to.
#[derive(Debug)]
pub(crate) struct Element {
    /// The user's own proxies: one, or the whole list where the relay stands
    /// in front of it.
    pub(crate) own: Route,
    /// What go turns to by itself after any error of this element.
    pub(crate) behind: Behind,
    /// Later routes, asked where go would stop.
    pub(crate) later: Vec<Route>,
}

impl Element {
    /// The route that this proxy is asked for.
    pub(crate) fn route_of(&self, upstream: &Arc<Upstream>) -> usize {
        let names_it = |route: &&Route| route.steps.iter().any(|(known, _)| Arc::ptr_eq(known, upstream));
        self.later.iter().find(names_it).map_or(1, |route| route.number)
    }
}

/// What go turns to by itself after any error of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing: it stops.
    Nothing,
    /// Another proxy.
    Proxy,
    /// The module's own repository, or a folder.
    Other,
}

impl Behind {
    /// Whether an element is left to what stands behind it after a fault that
    /// says nobody is there, or a wait in vain, met in the `tries`-th try.
    pub(crate) fn takes_over(self, error: &RequestError, tries: u32) -> bool {
        match self {
            Self::Nothing => false,
            Self::Proxy => error.sends_elsewhere(),
            // A body that stopped is gone on with once: what stands behind may not have it.
            Self::Other if !error.nobody => error.is_in_vain() && tries > 1,
            Self::Other => error.is_in_vain() || tries > schedule::BEFORE_OTHER,
        }
    }
}
