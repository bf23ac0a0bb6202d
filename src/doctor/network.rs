//! What lies before every server: whether this machine has a network at all, and
//! whether any name resolves.
//!
//! Known to be imperfect: routes are read on Linux only; elsewhere the servers'
//! own rows have to do.

use std::path::Path;

use crate::text::safe;

use super::local::read_proc;
use super::probe::Measured;
use super::remedy;
use super::row::{Grade, Row};
use super::words::{Refusal, is_resolver_silent};

/// Rows about the network itself. Any of them means that no server can help.
pub(super) fn rows(servers: &[Measured]) -> Vec<Row> {
    if servers.is_empty() || servers.iter().any(|m| matches!(m.connect, Some(Ok(_)))) {
        return Vec::new();
    }
    if has_route() == Some(false) {
        let found = "there is none: this machine has no route to anywhere but itself";
        return vec![
            Row::new(Grade::Broken, "network", found, "/proc/net/route").mend(remedy::run(["ip", "address"])),
        ];
    }
    let unreachable = |m: &Measured| {
        !m.dialled.is_empty()
            && m.dialled
                .iter()
                .all(|d| matches!(d.refusal, Some((Refusal::Unreachable, _))))
    };
    if servers.iter().all(unreachable) {
        let found = "no server can be reached: there is no way out of here";
        return vec![
            Row::new(Grade::Broken, "network", found, "every server").mend(remedy::run(["ip", "route"])),
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
        "/etc/resolv.conf names no resolver".to_owned()
    } else {
        format!("/etc/resolv.conf: {}", resolvers.join(", "))
    };
    let found = "no name resolves: no resolver answers";
    Some(
        Row::new(Grade::Broken, "name resolution", found, from)
            .mend(remedy::run(["cat", "/etc/resolv.conf"])),
    )
}

fn resolvers() -> Vec<String> {
    let text = super::local::read_small(Path::new("/etc/resolv.conf")).unwrap_or_default();
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.map(|server| safe(server.trim())).take(4).collect()
}

/// Whether there is any route past the loopback interface; `None` where that cannot be told.
fn has_route() -> Option<bool> {
    let v4 = read_proc("/proc/net/route")?;
    let v6 = read_proc("/proc/net/ipv6_route").unwrap_or_default();
    Some(routes(&v4, &v6))
}

/// The interface is the first word of a line for IPv4, the last one for IPv6.
fn routes(v4: &str, v6: &str) -> bool {
    let v4 = v4
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .any(|name| name != "lo");
    // Link-local and multicast routes (fe80::, ff00::) lead nowhere by themselves.
    let v6 = v6.lines().any(|line| {
        let away = !line.starts_with("fe80") && !line.starts_with("ff");
        away && line
            .split_whitespace()
            .next_back()
            .is_some_and(|name| name != "lo")
    });
    v4 || v6
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\n";

    #[test]
    fn routes_past_loopback_are_seen() {
        let eth = format!("{HEAD}eth0\t00000000\t0101A8C0\t0003\n");
        let local6 = "fe800000000000000000000000000000 40 0 00 0 100 1 0 1 eth0\n\
                      00000000000000000000000000000001 80 0 00 0 0 2 0 80200001 lo\n";
        let real6 = "00000000000000000000000000000000 00 0 00 fe80 400 1 0 3 eth0\n";
        assert!(routes(&eth, ""));
        assert!(!routes(HEAD, local6));
        assert!(routes(HEAD, real6));
        assert!(!routes("", ""));
    }
}
