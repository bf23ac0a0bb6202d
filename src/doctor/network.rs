//! What lies before every server: whether this machine has a network at all, and
//! whether any name resolves.
//!
//! Known limitations: routes are read on Linux only; elsewhere the servers'
//! own rows have to do.

use std::path::Path;

use crate::sys::network::has_any_route;
use crate::text::safe;

use super::probe::Measured;
use super::remedy;
use super::row::{Grade, Row};
use super::words::{Refusal, is_resolver_silent};

/// Rows about the network itself. Any of them means that no server can help.
pub(super) fn rows(servers: &[Measured]) -> Vec<Row> {
    if servers.is_empty() || servers.iter().any(|m| matches!(m.connect, Some(Ok(_)))) {
        return Vec::new();
    }
    if has_any_route() == Some(false) {
        let found = "there is none: this machine has routes only to itself";
        return vec![
            Row::new(Grade::Broken, "network", found, "/proc/net/route").fix(remedy::run(["ip", "address"])),
        ];
    }
    let unreachable = |m: &Measured| {
        !m.dialled.is_empty()
            && m.dialled
                .iter()
                .all(|d| matches!(d.refusal, Some((Refusal::Unreachable, _))))
    };
    if servers.iter().all(unreachable) {
        let found = "no server can be reached: this machine has no way out";
        return vec![
            Row::new(Grade::Broken, "network", found, "every server").fix(remedy::run(["ip", "route"])),
        ];
    }
    names(servers).into_iter().collect()
}

/// A resolver that does not answer is told from a name that does not exist.
fn names(servers: &[Measured]) -> Option<Row> {
    let silent = |m: &Measured| matches!(&m.resolved, Some(Err(error)) if is_resolver_silent(error));
    if !servers.iter().all(silent) {
        return None;
    }
    let resolvers = resolvers();
    let from = if resolvers.is_empty() {
        "/etc/resolv.conf lists no resolver".to_owned()
    } else {
        format!("/etc/resolv.conf: {}", resolvers.join(", "))
    };
    let found = "no name resolves: no resolver answers";
    Some(
        Row::new(Grade::Broken, "name resolution", found, from).fix(remedy::run(["cat", "/etc/resolv.conf"])),
    )
}

fn resolvers() -> Vec<String> {
    let text = super::local::read_small(Path::new("/etc/resolv.conf")).unwrap_or_default();
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.map(|server| safe(server.trim())).take(4).collect()
}
