//! What all connections of a proxy share: its settings, its script, its log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, healthy, ranged, spoil};
use super::catalogue::Catalogue;
use super::fault::{Asked, Fault, Script};
use super::log::{Entry, Log, Request};
use super::sumdb::SumDb;

/// What happens to a connection before any request can be made over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// It is accepted and served.
    #[default]
    Open,
    /// Nothing listens: connection refused.
    Refuse,
    /// No answer to the connection attempt at all, as behind a firewall that drops.
    Blackhole,
    /// It is accepted and closed at once.
    Close,
    /// It is accepted and reset behind the client's first bytes.
    Reset,
    /// It is accepted, and nothing is ever read or sent; a TLS handshake stalls.
    Stall,
    /// It is closed behind the first bytes of the client (with TLS: its ClientHello).
    CutHandshake,
    /// The client's first bytes are answered with plain HTTP (with TLS: no TLS).
    PlainHttp,
}

/// What all connections of a proxy share.
pub(super) struct Shared {
    pub(super) catalogue: RwLock<Arc<Catalogue>>,
    pub(super) sumdb: Option<Arc<SumDb>>,
    pub(super) script: RwLock<Script>,
    pub(super) log: Log,
    pub(super) door: Mutex<(Door, Option<usize>)>,
    pub(super) connections: AtomicUsize,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) prefix: String,
    pub(super) basic_auth: Option<String>,
    pub(super) ranges: bool,
    pub(super) keep_alive: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Shared {
    /// Logs a request and decides on its fault and its answer.
    pub(super) fn take(
        &self,
        head: Head,
        protocol: &'static str,
        connection: usize,
    ) -> (Entry<'_>, Option<Fault>, Answer) {
        let path = head.target.split('?').next().unwrap_or_default();
        let path = path
            .strip_prefix(self.prefix.as_str())
            .filter(|rest| rest.starts_with('/'));
        let asked = Asked::parse(path.unwrap_or_default());
        let fault = read(&self.script).choose(&asked);
        let mut answer = self.answer(&head, &asked, fault.as_ref());
        if head.method == "HEAD" {
            answer.body = Arc::from([]);
        }
        let entry = self.log.begin(Request {
            nth: 0,
            connection,
            at: Duration::ZERO,
            method: head.method,
            target: head.target,
            protocol,
            headers: head.headers,
            asked,
            fault: fault.clone(),
            status: 0,
            sent: 0,
            took: None,
        });
        (entry, fault, answer)
    }

    fn answer(&self, head: &Head, asked: &Asked, fault: Option<&Fault>) -> Answer {
        if self.basic_auth.is_some() && self.basic_auth.as_deref() != head.header("authorization") {
            return Answer::text(401, "credentials wanted\n")
                .header("WWW-Authenticate", "Basic realm=\"modules\"");
        }
        if !matches!(head.method.as_str(), "GET" | "HEAD") {
            return Answer::text(405, "only GET here\n").header("Allow", "GET, HEAD");
        }
        let answer = healthy(asked, &read(&self.catalogue), self.sumdb.as_deref());
        let answer = match self.ranges {
            true => ranged(answer, head.header("range"), head.header("if-range")),
            false => answer,
        };
        match fault {
            Some(fault) => spoil(fault, &head.target, answer),
            None => answer,
        }
    }

    /// What happens to the next connection. Counts it.
    pub(super) fn knock(&self) -> (usize, Door) {
        let nth = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, left) = *door;
        match left {
            None => (nth, kind),
            Some(0) => (nth, Door::Open),
            Some(left) => {
                door.1 = Some(left - 1);
                (nth, kind)
            }
        }
    }
}

/// Reads behind a lock, also one that a panic left.
pub(super) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
