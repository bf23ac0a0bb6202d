//! What docs/fleet.md gives to those who run many machines, and the record that a release needs.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use gofix::faultproxy::{Catalogue, FaultProxy, Module, SumDb};

use crate::support::{Outcome, Sandbox};

fn recipe(sandbox: &Sandbox, name: &str) -> Outcome {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet.md")).unwrap();
    let (_, recipe) = page
        .split_once(&format!("<!-- recipe: {name} -->\n```bash\n"))
        .unwrap();
    let (recipe, _) = recipe.split_once("```").unwrap();
    let script = sandbox.script("recipe", recipe);
    sandbox.run(script).output()
}

fn healthy() -> FaultProxy {
    let catalogue = Catalogue::new().with(Module::new("golang.org/x/text", "v0.3.0").ballast(300_000));
    let sumdb = SumDb::new("sum.example.test", &catalogue);
    FaultProxy::builder(catalogue).sumdb(sumdb).start().unwrap()
}

#[test]
fn the_gate_opens_and_shuts() {
    let proxy = healthy();
    let sandbox = Sandbox::new().proxy(&proxy).env("GOFIX_TIMEOUT_MS", "2000");
    sandbox.switch_telemetry_off();
    recipe(&sandbox, "gate").expect_code(0);
    for file in ["doctor.json", "rehearse.json"] {
        let _: serde_json::Value = serde_json::from_str(&sandbox.read(file)).unwrap();
    }
    let sandbox = sandbox.env("GOPROXY", "http://127.0.0.1:1");
    recipe(&sandbox, "gate").expect_code(3);
}

#[test]
fn the_health_line() {
    let proxy = healthy();
    let sandbox = Sandbox::new().proxy(&proxy).env("GOFIX_TIMEOUT_MS", "2000");
    let well = recipe(&sandbox, "health");
    // A machine under load may make a healthy proxy a slow one.
    assert!(matches!(well.code(), Some(0 | 1)), "{well}");
    assert!(well.stdout.contains(proxy.url()), "{well}");
    let sandbox = sandbox.env("GOPROXY", "http://127.0.0.1:1");
    let broken = recipe(&sandbox, "health").expect_code(2);
    assert!(broken.stdout.starts_with("GOFIX CRITICAL: BROKEN "), "{broken}");
    assert_eq!(broken.stdout.lines().count(), 1, "{broken}");
}

/// `scripts/bench-history WORD`, as this version, fed with these lines.
fn history(sandbox: &Sandbox, version: &str, word: &str, lines: &str) -> Outcome {
    let input = sandbox.path("lines");
    fs::write(&input, lines).unwrap();
    let mut run = sandbox
        .run(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench-history"))
        .args([word])
        .env("BENCH_HISTORY", sandbox.path("history"))
        .env("BENCH_VERSION", version)
        .env("BENCH_MACHINE", "here")
        .env("BENCH_NAMES", "startup herd");
    run.command.stdin(Stdio::from(fs::File::open(input).unwrap()));
    run.output()
}

fn lines(startup: &[f64], herd: f64) -> String {
    let line = |bench, ratio| format!("{{\"bench\":\"{bench}\",\"case\":\"a\",\"ratio\":{ratio}}}\n");
    let all: String = startup.iter().map(|ratio| line("startup", *ratio)).collect();
    format!("a table\n{all}{}", line("herd", herd))
}

#[test]
fn what_got_worse_is_told_and_a_release_needs_a_record() {
    let sandbox = Sandbox::new();
    if history(&sandbox, "0.9.0", "check", "").code() == Some(127) {
        // No Python.
        return;
    }
    history(&sandbox, "0.9.0", "check", "").expect_code(1);
    history(&sandbox, "0.9.0", "record", "nothing\n").expect_code(1);
    history(&sandbox, "0.9.0", "record", &lines(&[1.0, 1.1, 1.3], 1.25)).expect_code(0);
    history(&sandbox, "0.9.0", "check", "").expect_code(0);
    history(&sandbox, "0.9.0", "compare", "").expect_code(0);
    // 1.28 lies within what the runs of before differed.
    history(&sandbox, "0.10.0", "record", &lines(&[1.28, 1.28, 1.29], 1.26)).expect_code(0);
    history(&sandbox, "0.10.0", "compare", "").expect_code(0);
    history(&sandbox, "0.11.0", "check", "").expect_code(1);
    history(&sandbox, "0.11.0", "record", &lines(&[1.6, 1.6, 1.6], 1.26)).expect_code(0);
    let compared = history(&sandbox, "0.11.0", "compare", "").expect_code(1);
    assert!(
        compared
            .stdout
            .starts_with("worse: startup: a: 1.28 in 0.10.0, 1.6 in 0.11.0"),
        "{compared}"
    );
    assert!(
        compared.stdout.ends_with("1 of 2 got worse since 0.10.0\n"),
        "{compared}"
    );
}
