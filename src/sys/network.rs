//! Whether this machine has any way out: where it has none, trying again is of
//! no use.

/// Whether there is any route at all beside loopback; true where that cannot be read.
pub(crate) fn has_any_route() -> bool {
    let Ok(v4) = std::fs::read_to_string("/proc/net/route") else {
        return true;
    };
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let leads_out = |line: &str| {
        line.split_ascii_whitespace()
            .last()
            .is_some_and(|device| device != "lo")
    };
    v4.lines().nth(1).is_some() || v6.lines().any(leads_out)
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
