//! Who can be asked for a file: module proxies, and the order of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::policy::route::Sep;

use super::breaker::{Breaker, Limits};
use super::schedule;
use super::trouble::Trouble;
use super::url::Url;

/// One module proxy.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its URL as in the list.
    pub(crate) base: Url,
    /// Its breaker.
    pub(crate) breaker: Breaker,
    /// Its TLS is none that the relay speaks or trusts.
    refused: AtomicBool,
}

impl Upstream {
    pub(crate) fn new(base: Url, limits: Limits) -> Self {
        Self {
            base,
            breaker: Breaker::new(limits),
            refused: AtomicBool::new(false),
        }
    }

    /// Forgets a wait in vain: another run of go begins.
    pub(crate) fn is_heard_again(&self) {
        self.breaker.forget_silence();
    }

    /// Remembers that the relay refused its TLS.
    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the relay has refused its TLS. Go may think otherwise of it.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Proxies in the order in which Go's rules ask them.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) steps: Vec<(Arc<Upstream>, Sep)>,
}

/// What one element of go's list leads to.
#[derive(Debug)]
pub(crate) struct Element {
    /// The user's own proxies: one, or the whole list where the relay stands
    /// in front of it.
    pub(crate) own: Lane,
    /// What go turns to by itself after any error of this element.
    pub(crate) behind: Behind,
    /// Later routes, asked where go would stop.
    pub(crate) later: Vec<Lane>,
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
    /// says nobody is there, met in the `tries`-th try.
    pub(crate) fn takes_over(self, trouble: &Trouble, tries: u32) -> bool {
        match self {
            Self::Nothing => false,
            Self::Proxy => trouble.nobody,
            Self::Other => trouble.nobody && (trouble.is_in_vain() || tries > schedule::BEFORE_OTHER),
        }
    }
}
