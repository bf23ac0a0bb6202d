//! The fault proof: whole go commands through gofix with its relay, over a
//! line on which every kind of request meets every kind of fault.
//!
//! For each command, each rate of faults and each seed: the command ends well
//! in one attempt of go, and go.mod, go.sum and stdout are those of plain go
//! on a healthy line. `make fault-proof` does it with 20 seeds and prints a
//! table; the tests do it with one.
//!
//! Two faults are left out for some files, because nobody but go can see them:
//! a flipped bit in a file of the right length is a checksum mismatch, which is
//! an answer; a list or a go.mod that is cut and announced as that long is a
//! list or a go.mod like any other.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb, Tls, When};

use crate::support::{Outcome, Sandbox, measured, toolchain};

/// How many seeds: `make fault-proof` sets 20.
const SEEDS: &str = "__GOFIX_TEST_FAULT_SEEDS";
/// Rates of faults, in per cent.
const RATES: [u32; 3] = [1, 5, 20];

/// One go command of the proof.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    /// What the project looks like before.
    start: Start,
}

#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// Imports, and a go.mod without a requirement.
    Imports,
    /// go.mod and go.sum are complete, the cache is empty.
    Complete,
    /// No project at all is needed.
    Module,
    /// go.mod asks for a newer toolchain.
    Toolchain,
}

const CASES: &[Case] = &[
    Case {
        name: "mod tidy",
        args: &["mod", "tidy"],
        start: Start::Imports,
    },
    Case {
        name: "mod download",
        args: &["mod", "download"],
        start: Start::Complete,
    },
    Case {
        name: "build",
        args: &["build", "./..."],
        start: Start::Complete,
    },
    Case {
        name: "get",
        args: &["get", "example.com/app/m00@latest"],
        start: Start::Complete,
    },
    Case {
        name: "install",
        args: &["install", "example.com/tool@latest"],
        start: Start::Module,
    },
    Case {
        name: "list -m -u all",
        args: &["list", "-m", "-u", "all"],
        start: Start::Complete,
    },
    Case {
        name: "mod vendor",
        args: &["mod", "vendor"],
        start: Start::Complete,
    },
    Case {
        name: "toolchain switch",
        args: &["mod", "download"],
        start: Start::Toolchain,
    },
    Case {
        name: "test",
        args: &["test", "./..."],
        start: Start::Complete,
    },
    Case {
        name: "run",
        args: &["run", "."],
        start: Start::Complete,
    },
];

const MODULES: usize = 12;

/// A dozen modules that need one another, a program, and a toolchain.
fn catalogue() -> Catalogue {
    let path = |n: usize| format!("example.com/app/m{n:02}");
    let mut catalogue = Catalogue::new();
    for n in 0..MODULES {
        for version in ["v1.0.0", "v1.1.0"] {
            let mut module = Module::new(path(n), version).ballast(if n % 4 == 0 { 300_000 } else { 3_000 });
            if n + 1 < MODULES {
                module = module.requires(path(n + 1), "v1.0.0");
            }
            catalogue = catalogue.with(module);
        }
    }
    let tool = Module::new("example.com/tool", "v1.2.0").file("tool.go", "package main\n\nfunc main() {}\n");
    let tool = tool
        .requires(path(0), "v1.0.0")
        .file("uses_0.go", format!("package main\n\nimport _ \"{}\"\n", path(0)));
    catalogue.with(tool).with(toolchain())
}

/// Every fault, for every kind of request in which it can be seen.
fn faults(http2: bool) -> Vec<(Fault, bool)> {
    let status = |code, retry_after: Option<&str>| Fault::Status {
        code,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    };
    let close = |framing| Fault::CloseBody { after: None, framing };
    let mut faults = vec![
        (Fault::CloseBeforeHeader, true),
        (Fault::ResetBeforeHeader, true),
        (Fault::ResetBody { after: None }, true),
        (close(Framing::Length), true),
        (close(Framing::Chunked), true),
        (Fault::StallHeader, true),
        (Fault::StallBody { after: None }, true),
        (
            Fault::Drip {
                bytes: 1,
                every_ms: 2000,
            },
            true,
        ),
        (Fault::Delay { ms: 20 }, true),
        (status(408, None), true),
        (status(425, None), true),
        (status(429, Some("0")), true),
        (status(500, None), true),
        (status(502, None), true),
        (status(503, Some("0")), true),
        (Fault::Portal, true),
        (Fault::RedirectLoop, true),
        (Fault::EndlessHeaders, true),
        (Fault::ShortBody { after: None }, false),
        (Fault::EmptyBody, false),
        (
            Fault::WrongVersion {
                version: "v9.9.9".to_owned(),
            },
            false,
        ),
    ];
    if http2 {
        faults.push((Fault::Goaway { code: 0 }, true));
        faults.push((Fault::Goaway { code: 2 }, true));
        faults.push((Fault::RstStream { code: 2, after: None }, true));
        faults.push((
            Fault::RstStream {
                code: 7,
                after: Some(0),
            },
            true,
        ));
    } else {
        faults.push((close(Framing::Close), true));
        faults.push((Fault::Garbage, true));
    }
    faults
}

/// The kinds of request in which a whole but wrong body can be told.
fn checked_kinds(fault: &Fault) -> Vec<Kind> {
    match fault {
        Fault::WrongVersion { .. } => vec![Kind::Info],
        Fault::EmptyBody => vec![
            Kind::Info,
            Kind::Latest,
            Kind::Mod,
            Kind::Zip,
            Kind::Lookup,
            Kind::Tile,
        ],
        _ => vec![Kind::Info, Kind::Latest, Kind::Zip, Kind::Lookup, Kind::Tile],
    }
}

/// Rules that strike `rate` per cent of all requests, each fault as often as
/// the others.
fn rules(rate: u32, seed: u64, http2: bool) -> Vec<Rule> {
    let faults = faults(http2);
    let each = f64::from(rate) / 100.0 / faults.len() as f64;
    faults
        .into_iter()
        .enumerate()
        .map(|(n, (fault, everywhere))| {
            let kinds = if everywhere {
                Vec::new()
            } else {
                checked_kinds(&fault)
            };
            let rule = Rule::new(fault).when(When::Chance(each, seed * 1000 + n as u64));
            kinds.into_iter().fold(rule, Rule::on)
        })
        .collect()
}

/// What a command leaves behind.
#[derive(Debug, PartialEq)]
struct Left {
    go_mod: String,
    go_sum: String,
    stdout: String,
}

struct Bench {
    catalogue: Catalogue,
    tls: Tls,
    roots: tempfile::NamedTempFile,
    go_sum: String,
    go_mod: String,
}

impl Bench {
    fn new() -> Self {
        let catalogue = catalogue();
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(made.cert.pem().as_bytes()).unwrap();
        let mut bench = Self {
            tls: Tls {
                chain_pem: made.cert.pem(),
                key_pem: made.signing_key.serialize_pem(),
                http2: true,
            },
            catalogue,
            roots,
            go_sum: String::new(),
            go_mod: String::new(),
        };
        // A complete go.mod and go.sum, as plain go writes them.
        let proxy = bench.proxy(Vec::new(), false);
        let sandbox = bench.sandbox(&proxy, Start::Imports);
        sandbox.plain_go(&["mod", "tidy"]).output().expect_code(0);
        bench.go_mod = sandbox.read("go.mod");
        bench.go_sum = sandbox.read("go.sum");
        bench
    }

    fn proxy(&self, rules: Vec<Rule>, http2: bool) -> FaultProxy {
        let mut builder = FaultProxy::builder(self.catalogue.clone())
            .sumdb(SumDb::new("sum.example.test", &self.catalogue))
            .rules(rules);
        if http2 {
            builder = builder.tls(self.tls.clone());
        }
        builder.start().unwrap()
    }

    fn sandbox(&self, proxy: &FaultProxy, start: Start) -> Sandbox {
        let sumdb = SumDb::new("sum.example.test", &self.catalogue);
        let sandbox = Sandbox::new()
            .shared_build_cache()
            .env("GOPROXY", proxy.url())
            .env("GOSUMDB", sumdb.key())
            .env("SSL_CERT_FILE", self.roots.path())
            .env("SSL_CERT_DIR", "/nowhere")
            .env("GOFIX_RELAY", "on")
            .env("GOFIX_STALL_MS", "1000");
        match start {
            Start::Imports => sandbox.importing(&["example.com/app/m00"]),
            Start::Complete => {
                let sandbox = sandbox.importing(&["example.com/app/m00"]);
                sandbox.write(
                    "main_test.go",
                    "package main\n\nimport \"testing\"\n\nfunc TestIt(t *testing.T) {}\n",
                );
                sandbox.write("go.mod", &self.go_mod);
                sandbox.write("go.sum", &self.go_sum);
                sandbox
            }
            Start::Module => sandbox,
            Start::Toolchain => {
                sandbox.write("go.mod", "module example.com/main\n\ngo 1.99.0\n");
                sandbox.env("GOTOOLCHAIN", "auto")
            }
        }
    }

    fn left(sandbox: &Sandbox, run: &Outcome) -> Left {
        let text = |name: &str| fs::read_to_string(sandbox.project().join(name)).unwrap_or_default();
        Left {
            go_mod: text("go.mod"),
            go_sum: text("go.sum"),
            // How long a test took is not the same twice.
            stdout: run
                .stdout
                .lines()
                .map(|line| line.split('\t').take(2).collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }

    /// What plain go leaves behind on a healthy line.
    fn healthy(&self, case: &Case) -> Left {
        let proxy = self.proxy(Vec::new(), false);
        let sandbox = self.sandbox(&proxy, case.start);
        let run = sandbox.plain_go(case.args).output().expect_code(0);
        Self::left(&sandbox, &run)
    }

    /// One run through gofix; says what is wrong with it.
    fn run(&self, case: &Case, rate: u32, seed: u64, expected: &Left) -> Result<usize, String> {
        // Every other one over TLS and HTTP/2, and not always the same ones.
        let http2 = (seed / 100 + seed) % 2 == 1;
        let proxy = self.proxy(rules(rate, seed, http2), http2);
        let sandbox = self.sandbox(&proxy, case.start);
        let report = sandbox.path("report.jsonl");
        let run = sandbox.go(case.args).env("GOFIX_REPORT", &report).output();
        let struck = proxy
            .requests()
            .iter()
            .filter(|request| request.fault.is_some())
            .count();
        if run.code() != Some(0) {
            return Err(format!("{run}"));
        }
        let left = Self::left(&sandbox, &run);
        if left != *expected {
            return Err(format!("{left:#?}\ninstead of {expected:#?}\n{run}"));
        }
        let report = fs::read_to_string(&report).unwrap_or_default();
        let attempts = report.matches("\"attempt_started\"").count();
        if attempts > 1 {
            return Err(format!("{attempts} attempts\n{run}\n{report}"));
        }
        Ok(struck)
    }
}

fn seeds() -> u64 {
    std::env::var(SEEDS)
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(1)
}

/// Lines of the table for one command, and what went wrong.
fn prove(bench: &Bench, number: u64, case: &Case, seeds: u64) -> (String, Vec<String>) {
    let mut table = String::new();
    let mut bad = Vec::new();
    let expected = bench.healthy(case);
    for rate in RATES {
        let mut failures = Vec::new();
        let mut struck = 0;
        for seed in 1..=seeds {
            // Each command meets other faults.
            match bench.run(case, rate, number * 100 + seed, &expected) {
                Ok(count) => struck += count,
                Err(why) => failures.push(format!("{} at {rate} %, seed {seed}: {why}", case.name)),
            }
        }
        let failed = failures.len();
        writeln!(
            table,
            "| `go {}` | {rate} % | {seeds} | {struck} | {failed} |",
            case.name
        )
        .unwrap();
        let allowed = if rate == 20 { seeds / 20 } else { 0 };
        if failed as u64 > allowed {
            bad.append(&mut failures);
        }
    }
    (table, bad)
}

/// 0 failures at 1 % and 5 %; at most one of 20 at 20 %.
#[test]
fn every_command_survives_every_fault() {
    let seeds = seeds();
    let bench = Bench::new();
    let mut table =
        String::from("| command | faults | seeds | requests struck | failed |\n|---|---|---|---|---|\n");
    let mut bad = Vec::new();
    // Most of the time is waiting, so that a few can wait together.
    for (chunk, cases) in CASES.chunks(5).enumerate() {
        std::thread::scope(|scope| {
            let bench = &bench;
            let runs: Vec<_> = cases
                .iter()
                .enumerate()
                .map(|(n, case)| scope.spawn(move || prove(bench, (chunk * 5 + n) as u64, case, seeds)))
                .collect();
            for run in runs {
                let (lines, mut failures) = run.join().expect("no panic in a run");
                table.push_str(&lines);
                bad.append(&mut failures);
            }
        });
    }
    if std::env::var_os("BENCH_WRITE").is_some() {
        measured::write("relay-measured.md", "fault proof", &table);
    }
    writeln!(std::io::stdout(), "{table}").unwrap();
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// A large zip over a line that drops every twentieth of it.
#[test]
fn a_large_zip_over_a_line_that_drops() {
    let size = if seeds() >= 20 { 200 << 20 } else { 20 << 20 };
    let catalogue = Catalogue::new().with(Module::new("example.com/big", "v1.0.0").ballast(size));
    let drops = Rule::new(Fault::ResetBody {
        after: Some(size as u64 / 20),
    });
    let proxy = FaultProxy::builder(catalogue)
        .rule(drops.on(Kind::Zip).first(19))
        .start()
        .unwrap();
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOFIX_RELAY", "on")
        .requiring(&[("example.com/big", "v1.0.0")]);
    let run = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(run.stdout, "");
    let sent: u64 = proxy.requests().iter().map(|request| request.sent).sum();
    assert!(sent < size as u64 + (4 << 20), "{sent} bytes for a zip of {size}");
}
