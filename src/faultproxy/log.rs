//! What a fault proxy was asked, and what it did.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::{Asked, Fault, Kind};

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which request it was, from 1.
    pub nth: usize,
    /// Which connection it came over, from 1.
    pub connection: usize,
    /// When it was read, counted from the start of the proxy.
    pub at: Duration,
    /// The method.
    pub method: String,
    /// The target as sent: path and query.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The headers as sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What the target asks for.
    pub asked: Asked,
    /// The fault it met.
    pub fault: Option<Fault>,
    /// The status sent; 0 if none was.
    pub status: u16,
    /// Bytes of body sent.
    pub sent: u64,
    /// How long the answer took, fault included; `None` while it is under way.
    pub took: Option<Duration>,
}

impl Request {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// What was asked for.
    pub fn kind(&self) -> Kind {
        self.asked.kind
    }
}

/// All requests of one proxy, in the order in which they were read.
#[derive(Debug)]
pub(super) struct Log {
    start: Instant,
    requests: Mutex<Vec<Request>>,
    changed: Condvar,
}

/// The entry of a request under way; its end is written when it is dropped.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    log: &'a Log,
    index: usize,
    pub(super) status: u16,
    pub(super) sent: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            requests: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn begin(&self, mut request: Request) -> Entry<'_> {
        let mut requests = self.lock();
        request.nth = requests.len() + 1;
        request.at = self.start.elapsed();
        requests.push(request);
        self.changed.notify_all();
        Entry {
            log: self,
            index: requests.len() - 1,
            status: 0,
            sent: 0,
        }
    }

    pub(super) fn snapshot(&self) -> Vec<Request> {
        self.lock().clone()
    }

    pub(super) fn wait(&self, limit: Duration, enough: impl Fn(&[Request]) -> bool) -> bool {
        let waiting = |requests: &mut Vec<Request>| !enough(requests);
        let guard = self.lock();
        let (_guard, timeout) = self
            .changed
            .wait_timeout_while(guard, limit, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// Publishes status and bytes sent so far.
    pub(super) fn update(&self) {
        self.write(None);
    }

    fn write(&self, took: Option<Duration>) {
        let mut requests = self.log.lock();
        if let Some(request) = requests.get_mut(self.index) {
            request.status = self.status;
            request.sent = self.sent;
            request.took = took;
        }
        drop(requests);
        self.log.changed.notify_all();
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let at = self
            .log
            .lock()
            .get(self.index)
            .map_or(Duration::ZERO, |request| request.at);
        self.write(Some(self.log.start.elapsed().saturating_sub(at)));
    }
}
