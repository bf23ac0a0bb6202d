//! Whether this machine has any way out: where it has none, trying again is of
//! no use.

/// Whether there is any route past the loopback interface; `None` where that cannot be read.
pub(crate) fn has_any_route() -> Option<bool> {
    let v4 = std::fs::read_to_string("/proc/net/route").ok()?;
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    Some(leads_out(&v4, &v6))
}

/// The interface is the first word of a line for IPv4, the last one for IPv6.
fn leads_out(v4: &str, v6: &str) -> bool {
    let mut v4 = v4
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    // Link-local and multicast routes (fe80::, ff00::) lead nowhere by themselves.
    let mut v6 = v6
        .lines()
        .filter(|line| !line.starts_with("fe80") && !line.starts_with("ff"))
        .filter_map(|line| line.split_whitespace().next_back());
    v4.any(|name| name != "lo") || v6.any(|name| name != "lo")
}

/// Whether there is a default route; true where that cannot be read.
pub(crate) fn has_default_route() -> bool {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let Some(v4) = read("/proc/net/route") else {
        return true;
    };
    let words = |line: &str| -> Vec<String> { line.split_ascii_whitespace().map(str::to_owned).collect() };
    let has_v4 = v4.lines().skip(1).map(words).any(|words| {
        let is_zero = |at: usize| words.get(at).is_some_and(|word| word == "00000000");
        is_zero(1) && is_zero(7)
    });
    // A default route through `lo` is the kernel's way to say "unreachable".
    let v6 = read("/proc/net/ipv6_route").unwrap_or_default();
    let has_v6 = v6.lines().map(words).any(|words| {
        let anywhere = words
            .first()
            .is_some_and(|net| net.bytes().all(|byte| byte == b'0'));
        anywhere
            && words.get(1).is_some_and(|len| len == "00")
            && words.last().is_some_and(|device| device != "lo")
    });
    has_v4 || has_v6
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
        assert!(leads_out(&eth, ""));
        assert!(!leads_out(HEAD, local6));
        assert!(leads_out(HEAD, real6));
        assert!(!leads_out("", ""));
    }
}
