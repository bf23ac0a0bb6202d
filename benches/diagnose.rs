//! What reading go's words costs: a failing log of 2,000 lines, and streams made
//! to be slow, at 1 MiB and at 16 MiB.
//!
//! Times are of the processor, not of the clock on the wall, and the least of several runs, so
//! that a busy machine changes little. `cargo bench --bench diagnose` prints a table; the promises
//! are a log of 2,000 lines under 10 ms, 1 MiB of anything under 50 ms, 16 MiB at most 24 times that.
//!
//! A stream that is only skipped (16 KiB of a line are kept, the rest is looked through for its end)
//! costs what reading the memory costs: the same MiB over and over comes out of the processor's
//! cache three times as fast as 16 MiB come out of memory. The MiB that is measured is therefore
//! another one each time, out of the same 16, with nothing in the cache that the 16 would not find.

use std::io::Write as _;
use std::time::Duration;

use gofix::diagnose::{Input, Scanner, diagnose};

const MIB: usize = 1024 * 1024;
const ROUNDS: usize = 16;

fn main() {
    let mut out = std::io::stdout().lock();
    let first = once(&failing_log(1));
    let _ = writeln!(out, "first failure of a process (builds the rules): {first:?}");
    let log = failing_log(2000);
    let _ = writeln!(
        out,
        "failing log of 2,000 lines ({} KiB): {:?}",
        log.len() / 1024,
        least((0..ROUNDS).map(|_| streamed(&log)))
    );
    let _ = writeln!(
        out,
        "\n{:<34} {:>10} {:>10} {:>7}",
        "stream", "1 MiB", "16 MiB", "ratio"
    );
    // Only the streams whose names hold a word that is given.
    let word = std::env::args_os()
        .nth(1)
        .and_then(|word| word.into_string().ok());
    let word = word.filter(|word| word != "--bench").unwrap_or_default();
    for (name, bytes) in streams().into_iter().filter(|(name, _)| name.contains(&word)) {
        let whole = fill(&bytes, 16 * MIB);
        let (mut small, mut large) = (Duration::MAX, Duration::MAX);
        for _ in 0..4 {
            small = small.min(least(whole.chunks(MIB).map(streamed)));
            large = large.min(streamed(&whole));
        }
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        let _ = writeln!(out, "{name:<34} {small:>10.1?} {large:>10.1?} {ratio:>7.1}");
    }
}

fn now() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}

fn once(bytes: &[u8]) -> Duration {
    let start = now();
    let diagnosis = diagnose(&Input {
        stderr: bytes,
        stdout_json: None,
    });
    std::hint::black_box(diagnosis);
    now() - start
}

fn streamed(bytes: &[u8]) -> Duration {
    let start = now();
    let mut scanner = Scanner::default();
    for piece in bytes.chunks(64 * 1024) {
        scanner.feed(piece);
    }
    std::hint::black_box(scanner.finish());
    now() - start
}

fn least(times: impl Iterator<Item = Duration>) -> Duration {
    times.min().unwrap_or_default()
}

fn fill(pattern: &[u8], size: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(size).collect()
}

/// Every line a different fault.
fn failing_log(lines: usize) -> Vec<u8> {
    (0..lines)
        .flat_map(|i| {
            format!(
                "go: example.com/module{i}@v1.2.{i}: Get \"https://proxy.golang.org/example.com/module{i}/@v/v1.2.{i}.mod\": dial tcp 192.0.2.{}:443: connect: connection refused\n",
                i % 250
            )
            .into_bytes()
        })
        .collect()
}

/// Streams that make a parser look at everything more than once, if it ever does.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let noise: Vec<u8> = (0..65_536u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let wide = failing_log(2000)
        .iter()
        .flat_map(|byte| [*byte, 0])
        .collect::<Vec<u8>>();
    vec![
        ("faults in UTF-16", wide),
        ("tests that fail", b"x_test.go:1: a.b/c@v1.0.0: Get \"https://p/x\": EOF\nFAIL\ta.b/c\t1.2s\n".to_vec()),
        ("git in another language", "go: a.b/c@v1.0.0: git fetch in /x: exit status 128:\n\tFehler: auf «https://x/» nicht: y\n".into()),
        ("quotes of other languages", "«http:/ „http:/ ‘http:/".into()),
        ("paths of VCSs", b"fatal: unable to /a '/b \"/c error: RPC curl onnection port error:".to_vec()),
        ("faults, one a line", failing_log(2000)),
        ("noise", noise),
        ("one endless line", b"x".to_vec()),
        ("newlines", b"\n".to_vec()),
        ("at signs", b"a.b/c@v1: ".to_vec()),
        ("URLs in one line", b"Get \"https://p/x/@v/list\": reading https://p/x: ".to_vec()),
        ("URLs without an end", b"reading http:/".to_vec()),
        ("quotes without an end", b"Get \"http:/x'http:/".to_vec()),
        ("paths", b"open /a open /b read /c".to_vec()),
        ("lookups and dials", b"lookup a: dial tcp connectex: wsarecv read tcp ".to_vec()),
        ("continuation lines", b"go: a.b/c@v1.0.0: x requires\n\tgo.d/e@v1.0.0 imports\n\tserver response:\n\t\ty\n".to_vec()),
        ("git blocks", b"go: a.b/c@v1.0.0: git ls-remote in /x: exit status 128:\n\tfatal: unable to access 'https://x/': y\n\tremote: z\n".to_vec()),
        ("escapes", b"\x1b[31mgo: \x1b[0m\x1b]0;t\x07".to_vec()),
        ("JSON", b"{\"Action\":\"output\",\"Output\":\"go: x\"}\n\t\"Error\": \"a.b/c@v1.0.0: EOF\",\n".to_vec()),
        ("strings with escaped quotes", b"a=\"go: \\\"x\\\\\\\"y\\n\": b=\"z\\\"".to_vec()),
        ("quotes of strings", b"=\"\\n".to_vec()),
        ("prefixes", b"build 12: go: a.b/c@v1.0.0: git x in /y: exit status 1:\nbuild 13: \tfatal: z\nfatal: error: w\n".to_vec()),
        ("wrappers", b"module a.b/c: download go1: cannot load a.b/c: https fetch: go: ".to_vec()),
        ("a VCS without go", b"# cd /x; git y\nerror: a\nfatal: b\npackage a.b/c: exit status 1\n".to_vec()),
        ("words of rules", b"unexpected EOF tls: x509: timed out malformed chunk zip: \n".to_vec()),
        ("slashes", b"/".to_vec()),
        ("short words of go", b"go: x\n".to_vec()),
        ("short words of go, all of them other ones", (0..120_000).map(|n| format!("go: {n:x}\n")).collect::<String>().into_bytes()),
        ("a string a line", b"a=\"go: \\\"x\\\\\n\n".to_vec()),
    ]
}
