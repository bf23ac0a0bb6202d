//! What is under way at this moment, for whoever shows it while go waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ahead::Ticket;
use super::upstream::Upstream;
use crate::go::protocol::{Kind, Wanted};
use crate::report::{AskedAhead, Progress, Transfer};

/// The requests under way.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    active: Mutex<Vec<Arc<Active>>>,
    received: AtomicU64,
    ahead: Mutex<AskedAhead>,
}

/// One request under way, taken off the list when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    active: Arc<Active>,
    transfers: Arc<Transfers>,
}

#[derive(Debug)]
struct Active {
    wanted: Wanted,
    upstream: Arc<Upstream>,
    /// There where it was made ahead of go's.
    ticket: Option<Arc<Ticket>>,
    held: AtomicU64,
    /// The announced length; 0 where none is known.
    total: AtomicU64,
    silent_ms: AtomicU64,
}

impl Transfers {
    /// Puts a request on the list.
    pub(crate) fn enter(
        self: &Arc<Self>,
        wanted: &Wanted,
        upstream: &Arc<Upstream>,
        ticket: Option<&Arc<Ticket>>,
    ) -> Entry {
        let active = Arc::new(Active {
            wanted: wanted.clone(),
            upstream: Arc::clone(upstream),
            ticket: ticket.map(Arc::clone),
            held: AtomicU64::new(0),
            total: AtomicU64::new(0),
            silent_ms: AtomicU64::new(0),
        });
        self.active().push(Arc::clone(&active));
        if ticket.is_some() {
            self.ahead().requests += 1;
        }
        Entry {
            active,
            transfers: Arc::clone(self),
        }
    }

    fn active(&self) -> MutexGuard<'_, Vec<Arc<Active>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> MutexGuard<'_, AskedAhead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Go came for what was asked for ahead, and has so many bytes of it.
    pub(crate) fn used(&self, bytes: u64) {
        let mut ahead = self.ahead();
        ahead.used += 1;
        ahead.used_bytes += bytes;
    }

    /// What was asked for ahead since this was called last.
    pub(crate) fn take_ahead(&self) -> AskedAhead {
        std::mem::take(&mut self.ahead())
    }

    /// What go waits for. Requests made ahead of it count only where there is nothing else: then
    /// it waits for one of them.
    pub(crate) fn progress(&self) -> Progress {
        let active = self.active();
        let only_ahead = active.iter().all(|one| one.is_ahead());
        let counted = active.iter().filter(|one| only_ahead || !one.is_ahead());
        let leading = counted.clone().max_by_key(|one| one.rank());
        Progress {
            files: counted.count(),
            received: self.received.load(Ordering::Relaxed),
            leading: leading.map(|one| one.shown()),
        }
    }
}

impl Entry {
    /// The body has come so far.
    pub(crate) fn holds(&self, held: u64, total: Option<u64>) {
        self.active.held.store(held, Ordering::Relaxed);
        self.active.total.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// So many bytes of the body have come.
    pub(crate) fn received(&self, bytes: u64) {
        self.active.held.fetch_add(bytes, Ordering::Relaxed);
        self.transfers.received.fetch_add(bytes, Ordering::Relaxed);
        if self.active.ticket.is_some() {
            self.transfers.ahead().bytes += bytes;
        }
    }

    /// Nothing has come for so long.
    pub(crate) fn is_silent_for(&self, silent: Duration) {
        let ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        self.active.silent_ms.store(ms, Ordering::Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.transfers
            .active()
            .retain(|one| !Arc::ptr_eq(one, &self.active));
    }
}

impl Active {
    /// go has not asked for it yet.
    fn is_ahead(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| !ticket.is_claimed())
    }

    /// What moves comes before what is silent, then what has most to come, or is silent longest.
    fn rank(&self) -> (bool, u64) {
        let transfer = self.shown_numbers();
        match transfer.is_silent() {
            true => (false, self.silent_ms.load(Ordering::Relaxed)),
            false => (
                true,
                transfer
                    .total
                    .map_or(0, |total| total.saturating_sub(transfer.held)),
            ),
        }
    }

    fn shown_numbers(&self) -> Transfer {
        Transfer {
            what: String::new(),
            host: String::new(),
            held: self.held.load(Ordering::Relaxed),
            total: Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0),
            silent: Duration::from_millis(self.silent_ms.load(Ordering::Relaxed)),
        }
    }

    fn shown(&self) -> Transfer {
        Transfer {
            what: for_people(&self.wanted),
            host: self.upstream.base.authority.clone(),
            ..self.shown_numbers()
        }
    }
}

/// A file of the proxy protocol as people call it.
fn for_people(wanted: &Wanted) -> String {
    let module = wanted.module.as_deref().unwrap_or(&wanted.path);
    let version = wanted.version.as_deref().unwrap_or_default();
    match wanted.kind {
        Kind::List => format!("the versions of {module}"),
        Kind::Latest => format!("the latest version of {module}"),
        Kind::Mod => format!("go.mod of {module}@{version}"),
        Kind::Zip if module == TOOLCHAIN => {
            toolchain(version).unwrap_or_else(|| format!("{module}@{version}"))
        }
        Kind::Info | Kind::Zip => format!("{module}@{version}"),
        _ if wanted.is_sumdb() => "the checksum database".to_owned(),
        _ => wanted.path.clone(),
    }
}

/// The module that Go's own toolchains come in.
const TOOLCHAIN: &str = "golang.org/toolchain";

/// `go1.27.0 (linux/amd64)` out of `v0.0.1-go1.27.0.linux-amd64`, as go itself says it.
fn toolchain(version: &str) -> Option<String> {
    let (version, platform) = version.strip_prefix("v0.0.1-")?.rsplit_once('.')?;
    let (os, arch) = platform.split_once('-')?;
    Some(format!("{version} ({os}/{arch})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_people_call_them() {
        let words = |path: &str| for_people(&Wanted::parse(path).unwrap());
        for (path, want) in [
            ("a.b/!c/@v/list", "the versions of a.b/C"),
            ("a.b/c/@latest", "the latest version of a.b/c"),
            ("a.b/c/@v/v1.0.0.info", "a.b/c@v1.0.0"),
            ("a.b/c/@v/v1.0.0.mod", "go.mod of a.b/c@v1.0.0"),
            ("a.b/c/@v/v1.0.0.zip", "a.b/c@v1.0.0"),
            (
                "golang.org/toolchain/@v/v0.0.1-go1.27.0.linux-amd64.zip",
                "go1.27.0 (linux/amd64)",
            ),
            (
                "sumdb/sum.golang.org/lookup/a.b/c@v1.0.0",
                "the checksum database",
            ),
        ] {
            assert_eq!(words(path), want);
        }
    }
}
