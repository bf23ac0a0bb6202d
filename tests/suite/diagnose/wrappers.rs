//! Every cause behind every wrapper.

use super::*;

const MODULE: &str = "example.com/mod";

/// What a message of go's begins with, `{}` being a cause or a request that failed.
const WRAPPERS: &[&str] = &[
    "go: example.com/mod@v1.2.3: {}",
    "example.com/mod@v1.2.3: {}",
    "go: example.com/mod@v1.2.3/go.mod: {}",
    "go: example.com/mod@latest: {}",
    "go: example.com/mod@v1.2.3 (replaced by example.com/fork@v1.0.0): {}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/mod@v1.2.3: {}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/b@v1.0.0 requires\n\texample.com/mod@v1.2.3: {}",
    "go: module example.com/mod: {}",
    "module example.com/mod: {}",
    "go: loading module retractions for example.com/mod@v1.2.3: {}",
    "go: finding module for package example.com/mod/p\ngo: example.com/app imports\n\texample.com/mod/p: module example.com/mod/p: {}",
    "example.com/app imports\n\texample.com/mod/p: module example.com/mod/p: {}",
    "main.go:3:8: example.com/mod@v1.2.3: {}",
    "main.go:3:8: module example.com/mod: {}",
    "build example.com/app: cannot load example.com/mod: module example.com/mod: {}",
    "build command-line-arguments: cannot load example.com/mod/p: {}",
    "go: finding example.com/mod v1.2.3\ngo: example.com/mod@v1.2.3: {}\ngo: error loading module requirements",
    "go get example.com/mod@v1.2.3: {}",
    "go get example.com/mod: module example.com/mod: {}",
    "go get: example.com/mod@v1.2.3: {}",
    "go install: example.com/mod@v1.2.3: {}",
    "go list -m: example.com/mod@v1.2.3: {}",
    "go: download go1.25.0: {}",
    "go: golang.org/toolchain@v0.0.1-go1.25.0.linux-amd64: {}",
    "verifying example.com/mod@v1.2.3: {}",
    "verifying example.com/mod@v1.2.3/go.mod: {}",
    "go: example.com/mod@v1.2.3: verifying module: {}",
    "go: example.com/mod@v1.2.3: verifying go.mod: {}",
    "go: example.com/mod@v1.2.3: verifying example.com/mod@v1.2.3: {}",
    "go: example.com/mod@v1.2.3: unrecognized import path \"example.com/mod\": https fetch: {}",
    "package example.com/mod: unrecognized import path \"example.com/mod\": https fetch: {}",
    "package example.com/mod: unrecognized import path \"example.com/mod\" (https fetch: {})",
    "go: example.com/mod@v1.2.3: unrecognized import path \"example.com/mod\" (https fetch: {})",
];

/// How a request that failed is spelt; go before 1.14 quoted no URL.
const REQUESTS: &[&str] = &[
    "Get \"https://proxy.example.com/example.com/mod/@v/v1.2.3.info\": {}",
    "Get https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "reading https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "read \"https://proxy.example.com/example.com/mod/@v/v1.2.3.info\": {}",
    "read https://proxy.example.com/example.com/mod/@v/v1.2.3.info: {}",
    "reading https://proxy.example.com/example.com/mod/@v/v1.2.3.info: Get \"https://cdn.example.com/mod.info\": {}",
];

/// What tools put around the lines of a message; `{}` is a line, or the whole with its line ends escaped.
enum Around {
    Line(&'static str),
    Quoted(&'static str),
}

const AROUND: &[Around] = &[
    Around::Line("       {}"),
    Around::Line("##[error]{}"),
    Around::Line("> {}"),
    Around::Line("#STDERR> {}"),
    Around::Line("build-image:\t{}"),
    Around::Line("[pull:L7:0s] {}"),
    Around::Line("something nobody has seen 12/34 » {}"),
    Around::Quoted(
        "level=error msg=\"Running error: context loading failed: err: exit status 1: stderr: {}\\n\"",
    ),
    Around::Quoted("time=\"2026-09-01T12:00:00Z\" level=fatal msg=\"{}\" func=main.main"),
    Around::Quoted("dependency_file_not_resolvable {:message=>\"{}\"}"),
    Around::Quoted("{\"log\":\"{}\\n\",\"stream\":\"stderr\"}"),
    Around::Quoted("{\"level\":\"error\",\"msg\":\"{}\"}"),
];

impl Around {
    fn wrap(&self, text: &str) -> String {
        match self {
            Self::Line(prefix) => text
                .lines()
                .map(|line| prefix.replace("{}", line) + "\n")
                .collect(),
            Self::Quoted(prefix) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                prefix.replace("{}", &escaped.replace('\n', "\\n").replace('\t', "\\t")) + "\n"
            }
        }
    }
}

/// Causes and what they mean, each as net, net/http, crypto, encoding and go itself print it.
const CAUSES: &[(&str, Verdict)] = &[
    ("dial tcp: lookup proxy.example.com: no such host", Verdict::Retry),
    (
        "dial tcp: lookup proxy.example.com on 127.0.0.53:53: server misbehaving",
        Verdict::Retry,
    ),
    (
        "dial tcp: lookup proxy.example.com on [::1]:53: read udp [::1]:4000->[::1]:53: read: connection refused",
        Verdict::Retry,
    ),
    ("dial tcp: lookup proxy.example.com: i/o timeout", Verdict::Retry),
    (
        "dial tcp: lookup proxy.example.com: Temporary failure in name resolution",
        Verdict::Retry,
    ),
    ("dial tcp 192.0.2.1:443: i/o timeout", Verdict::Retry),
    (
        "dial tcp 192.0.2.1:443: connect: connection refused",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connect: connection timed out",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connect: permission denied",
        Verdict::Retry,
    ),
    (
        "dial tcp [2001:db8::1]:443: connect: network is unreachable",
        Verdict::Retry,
    ),
    (
        "dial tcp [2001:db8::1]:443: connect: cannot assign requested address",
        Verdict::Retry,
    ),
    (
        "dial tcp 192.0.2.1:443: connectex: Es konnte keine Verbindung hergestellt werden.",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: read: connection reset by peer",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: i/o timeout",
        Verdict::Retry,
    ),
    (
        "write tcp 10.0.0.2:4000->192.0.2.1:443: write: broken pipe",
        Verdict::Retry,
    ),
    (
        "read tcp 10.0.0.2:4000->192.0.2.1:443: wsarecv: An existing connection was forcibly closed by the remote host.",
        Verdict::Retry,
    ),
    ("EOF", Verdict::Retry),
    ("unexpected EOF", Verdict::Retry),
    ("http: server closed idle connection", Verdict::Retry),
    ("net/http: TLS handshake timeout", Verdict::Retry),
    (
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        Verdict::Retry,
    ),
    (
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        Verdict::Retry,
    ),
    ("context deadline exceeded", Verdict::Retry),
    (
        "net/http: HTTP/1.x transport connection broken: unexpected EOF",
        Verdict::Retry,
    ),
    (
        "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"<html>\"",
        Verdict::Switch,
    ),
    ("malformed HTTP response \"<html>\"", Verdict::Switch),
    ("malformed chunked encoding", Verdict::Retry),
    ("invalid byte in chunk length", Verdict::Retry),
    (
        "http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"\"",
        Verdict::Retry,
    ),
    (
        "stream error: stream ID 7; INTERNAL_ERROR; received from peer",
        Verdict::Retry,
    ),
    ("http2: client connection lost", Verdict::Retry),
    ("connection error: PROTOCOL_ERROR", Verdict::Retry),
    ("remote error: tls: internal error", Verdict::Retry),
    ("remote error: tls: handshake failure", Verdict::Switch),
    ("local error: tls: bad record MAC", Verdict::Retry),
    (
        "tls: first record does not look like a TLS handshake",
        Verdict::Switch,
    ),
    ("http: server gave HTTP response to HTTPS client", Verdict::Switch),
    ("x509: certificate signed by unknown authority", Verdict::Switch),
    (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-09-01T12:00:00Z is after 2026-08-01T00:00:00Z",
        Verdict::Switch,
    ),
    (
        "invalid character '<' looking for beginning of value",
        Verdict::Switch,
    ),
    (
        "invalid character 'e' in literal true (expecting 'r')",
        Verdict::Switch,
    ),
    ("unexpected end of JSON input", Verdict::Switch),
    (
        "json: cannot unmarshal number into Go value of type modfetch.RevInfo",
        Verdict::Switch,
    ),
    ("gzip: invalid header", Verdict::Switch),
    ("gzip: invalid checksum", Verdict::Switch),
    ("flate: corrupt input before offset 5", Verdict::Switch),
    ("stopped after 10 redirects", Verdict::Switch),
    (
        "proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused",
        Verdict::Retry,
    ),
    ("proxyconnect tcp: EOF", Verdict::Final),
    ("500 Internal Server Error", Verdict::Retry),
    ("502 Bad Gateway", Verdict::Retry),
    ("503 Service Unavailable", Verdict::Retry),
    ("504 Gateway Timeout", Verdict::Retry),
    ("429 Too Many Requests", Verdict::Retry),
    ("408 Request Timeout", Verdict::Retry),
    ("401 Unauthorized", Verdict::Final),
    ("403 Forbidden", Verdict::Final),
    ("404 Not Found", Verdict::Final),
    ("410 Gone", Verdict::Final),
    ("451 Unavailable For Legal Reasons", Verdict::Final),
    (
        "dial tcp 192.0.2.1:443: socket: too many open files",
        Verdict::Final,
    ),
    (
        "write /home/user/go/pkg/mod/cache/download/example.com/mod/@v/v1.2.3.zip123.tmp: no space left on device",
        Verdict::Final,
    ),
    ("unsupported protocol scheme \"\"", Verdict::Final),
];

/// Go's own answers; none of them may be run again, whatever stands around it.
const ANSWERS: &[&str] = &[
    "unknown revision v1.2.3",
    "invalid version: unknown revision 0123456789ab",
    "invalid pseudo-version: does not match version-control timestamp (expected 20190101000000)",
    "invalid pseudo-version: revision is shorter than canonical (expected 0123456789ab)",
    "invalid pseudo-version: preceding tag (v1.2.2) not found",
    "invalid version: should be v0 or v1, not v2",
    "malformed module path \"example.com/MOD x\": invalid char ' '",
    "malformed file path \"a b\": chunk too long",
    "malformed something that go has never said",
    "no matching versions for query \"latest\"",
    "parsing go.mod: go.mod:3: unknown directive: chunk",
    "parsing go.mod:\n\tmodule declares its path as: example.com/other\n\t        but was required as: example.com/mod",
    "reading go.mod: open /home/user/go/pkg/mod/cache/download/example.com/mod/@v/v1.2.3.mod: permission denied",
    "missing go.sum entry",
    "module example.com/mod@v1.2.3 found, but does not contain package example.com/mod/chunk",
    "exec: \"git\": executable file not found in $PATH",
    "something that nobody has ever seen",
    "go.mod has post-v1 module path \"example.com/mod/v2\" at revision 0123456789ab",
    "checksum mismatch\n\tdownloaded: h1:x\n\tgo.sum:     h1:y",
    "invalid character U+0040 '@'",
    "line 300",
];

fn verdict_of(text: &str) -> (Verdict, &'static str) {
    let diagnosis = explain(text.as_bytes()).diagnosis;
    (
        diagnosis.verdict,
        deciding(&diagnosis).map_or("", |fault| fault.rule),
    )
}

/// The words of a rule, with more behind them where they end in a blank.
fn spelt(words: &[&str]) -> String {
    let words = words.join(" ");
    if words.ends_with(' ') { words + "it" } else { words }
}

/// The rule that takes a cause behind a URL, where it may take it without one too.
fn stands_alone(rule: &str) -> bool {
    RULES.iter().any(|r| r.id == rule && !r.at_url)
}

#[test]
fn a_cause_means_the_same_behind_every_wrapper() {
    let plain = format!("go: {MODULE}@v1.2.3: {}", REQUESTS[0]);
    // What the table of rules says by its words, beside what the standard library prints.
    let words: Vec<(String, Option<Verdict>)> = RULES
        .iter()
        .filter_map(|rule| match (rule.part, rule.pattern) {
            (Part::Cause, Pattern::Words(words)) => Some((spelt(words), None)),
            _ => None,
        })
        .chain(
            CAUSES
                .iter()
                .map(|(cause, verdict)| ((*cause).to_owned(), Some(*verdict))),
        )
        .collect();
    let mut wrong = String::new();
    for (cause, verdict) in &words {
        let reference = verdict_of(&plain.replace("{}", cause));
        let (meant, rule) = reference;
        assert!(verdict.is_none_or(|v| v == meant), "{cause}: {meant} by {rule}");
        for wrapper in WRAPPERS {
            for request in REQUESTS {
                let text = wrapper.replace("{}", &request.replace("{}", cause));
                if verdict_of(&text) != reference {
                    writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
                }
            }
            if stands_alone(rule) {
                let text = wrapper.replace("{}", cause);
                // What is said of a file has rules of its own where no URL is named: only the verdict is the same.
                let got = verdict_of(&text).0;
                if got != meant {
                    writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
                }
            }
        }
        for around in AROUND {
            for text in [
                plain.replace("{}", cause),
                WRAPPERS[5].replace("{}", REQUESTS[1]).replace("{}", cause),
            ] {
                let prefixed = around.wrap(&text);
                if verdict_of(&prefixed) != reference {
                    writeln!(
                        wrong,
                        "{:?}, not {reference:?}: {prefixed}",
                        verdict_of(&prefixed)
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_answer_is_run_again_behind_no_wrapper() {
    for answer in ANSWERS {
        for wrapper in WRAPPERS {
            let text = wrapper.replace("{}", answer);
            for text in std::iter::once(text.clone()).chain(AROUND.iter().map(|around| around.wrap(&text))) {
                let (verdict, rule) = verdict_of(&text);
                assert!(
                    !matches!(verdict, Verdict::Retry | Verdict::Switch),
                    "{verdict} by {rule}: {text}"
                );
            }
        }
    }
}

/// What go puts around the words of a VCS, `{}` being a line of it.
const VCS_FRAMES: &[&str] = &[
    "go: example.com/mod@v1.2.3: invalid version: git ls-remote -q origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: invalid pseudo-version: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin refs/heads/*:refs/heads/* in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n{}",
    "example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/mod@v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128: {}",
    "go: module example.com/mod: git ls-remote -q origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "go: example.com/a@v1.0.0 requires\n\texample.com/mod@v1.2.3: invalid version: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "cannot find module providing package mod/p: module mod: git ls-remote -q https://git.example.com/mod: exit status 128:\n\t{}",
    "main.go:3:8: reading example.com/mod/go.mod at revision v1.2.3: git fetch -f origin in /m/cache/vcs/0a1b: exit status 128:\n\t{}",
    "# cd .; git clone https://git.example.com/mod /go/src/example.com/mod\nCloning into '/go/src/example.com/mod'...\n{}\npackage example.com/mod: exit status 128",
    "# cd /go/src/example.com/mod; git pull --ff-only\n{}\npackage example.com/mod: exit status 1",
    "Cloning into '/go/src/example.com/mod'...\n{}\npackage example.com/mod: exit status 128",
    "{}\npackage example.com/app\n\timports example.com/mod: exit status 128",
];

/// What other programs put around the words of a VCS that they run themselves.
const VCS_ALONE: &[&str] = &[
    "{}",
    "{}\nexit status 128",
    "Cloning into 'x'...\n{}\nexit status 128",
    "Cloning into 'x'...\n{}\ngen.go:3: running \"git\": exit status 128",
    "{}\n2026/09/01 12:00:00 clone failed: exit status 128\nexit status 1",
    "{}\npanic: exit status 128\n\ngoroutine 1 [running]:",
    "# example.com/app\n./x.go:3:5: undefined: foo\n{}",
    "{}\nmake: *** [Makefile:3: vendor] Error 128",
    "+ git fetch origin\n{}",
];

#[test]
fn the_words_of_a_vcs_are_gos_only_in_a_frame_of_gos() {
    let mut wrong = String::new();
    for rule in RULES {
        let (Part::Vcs, Pattern::Words(words)) = (rule.part, rule.pattern) else {
            continue;
        };
        // Go's own hint is no word of a VCS's.
        if matches!(rule.id, "git-confirm" | "git-private") {
            continue;
        }
        let line = format!("fatal: {}", spelt(words));
        let reference = verdict_of(&VCS_FRAMES[0].replace("{}", &line));
        for frame in VCS_FRAMES {
            let text = frame.replace("{}", &line);
            if verdict_of(&text).0 != reference.0 {
                writeln!(wrong, "{:?}, not {reference:?}: {text}", verdict_of(&text)).unwrap();
            }
            for around in AROUND {
                let prefixed = around.wrap(&text);
                if text.starts_with("go: ") && verdict_of(&prefixed).0 != reference.0 {
                    writeln!(
                        wrong,
                        "{:?}, not {reference:?}: {prefixed}",
                        verdict_of(&prefixed)
                    )
                    .unwrap();
                }
            }
        }
        for alone in VCS_ALONE {
            let text = alone.replace("{}", &line);
            let diagnosis = explain(text.as_bytes()).diagnosis;
            if matches!(
                diagnosis.verdict,
                Verdict::Retry | Verdict::Switch | Verdict::Repair
            ) {
                writeln!(wrong, "{}: {text}", diagnosis.verdict).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
