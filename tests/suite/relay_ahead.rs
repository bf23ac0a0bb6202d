//! What the relay asks for before go does, and that nobody can tell but by the time.

use std::collections::BTreeMap;
use std::fs;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule};

use crate::support::Sandbox;

const COUNT: usize = 30;
/// As many requests as may turn out to be of no use, beyond as many as were.
const SPARE: usize = 8;

fn name(n: usize) -> String {
    format!("example.com/m{n:02}")
}

/// Modules m00 to m29. Each of the even ones has a requirement for its tests that nobody else has.
fn catalogue() -> Catalogue {
    let module = |n: usize| {
        let module = Module::new(name(n), "v1.0.0");
        match n % 2 {
            0 => module.requires(format!("example.com/tests{n:02}"), "v1.0.0"),
            _ => module,
        }
    };
    let tests = |n| Module::new(format!("example.com/tests{n:02}"), "v1.0.0");
    Catalogue::new()
        .with_all((0..COUNT).map(module))
        .with_all((0..COUNT).step_by(2).map(tests))
}

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    FaultProxy::builder(catalogue()).rules(rules).start().unwrap()
}

/// A project that requires m00 to m29 in two blocks, as `go mod tidy` writes them.
fn sandbox(proxy: &FaultProxy) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOSUMDB", "off")
        .env("GOFIX_RELAY", "on");
    let block = |indirect: bool| -> String {
        let own = (0..COUNT).filter(|n| (n % 3 == 0) == indirect);
        let comment = if indirect { " // indirect" } else { "" };
        let lines: String = own.map(|n| format!("\t{} v1.0.0{comment}\n", name(n))).collect();
        format!("\nrequire (\n{lines})\n")
    };
    let go_mod = format!(
        "module example.com/main\n\ngo 1.21\n{}{}",
        block(false),
        block(true)
    );
    sandbox.write("go.mod", go_mod);
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox
}

/// How often each file was asked for.
fn asked(proxy: &FaultProxy) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in proxy.requests() {
        *asked.entry(request.target).or_default() += 1;
    }
    asked
}

fn infos(proxy: &FaultProxy) -> Vec<String> {
    let requests = proxy.requests().into_iter();
    requests
        .filter(|request| request.kind() == Kind::Info)
        .filter_map(|request| request.asked.module)
        .collect()
}

#[test]
fn the_next_are_asked_for_while_go_waits() {
    // Without an answer at the first time; by itself go would ask for nothing else meanwhile.
    let silent = name(9);
    let rule = Rule::new(Fault::StallHeader)
        .on(Kind::Info)
        .module(&silent)
        .first(1);
    let proxy = proxy_with([rule]);
    // The answers are there before go comes for them: all are in one block.
    let sandbox = sandbox(&proxy);
    let requires: String = (0..COUNT).map(|n| format!("\t{} v1.0.0\n", name(n))).collect();
    sandbox.write(
        "go.mod",
        format!("module example.com/main\n\ngo 1.21\n\nrequire (\n{requires})\n"),
    );
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let infos = infos(&proxy);
    let at = |module: &str| -> Vec<usize> {
        let places = infos.iter().enumerate();
        places
            .filter(|(_, asked)| *asked == module)
            .map(|(at, _)| at)
            .collect()
    };
    let again = at(&silent);
    assert_eq!(again.len(), 2, "{infos:?}");
    for next in [10, 11, 12] {
        let next = at(&name(next));
        assert_eq!(next.len(), 1, "{infos:?}");
        assert!(next[0] < again[1], "{infos:?}");
    }
}

#[test]
fn everything_is_as_without_it() {
    let (own, other) = (proxy_with([]), proxy_with([]));
    let (with, without) = (sandbox(&own), sandbox(&other));
    let relayed = with.go(&["mod", "download", "-json"]).output().expect_code(0);
    let plain = without
        .plain_go(&["mod", "download", "-json"])
        .output()
        .expect_code(0);
    let place = |text: &str, sandbox: &Sandbox| text.replace(sandbox.path("").to_str().unwrap(), "SANDBOX/");
    assert_eq!(place(&relayed.stdout, &with), place(&plain.stdout, &without));
    assert_eq!(relayed.stderr, plain.stderr);
    for n in 0..COUNT {
        let file = format!("cache/download/{}/@v/v1.0.0.info", name(n));
        let read = |sandbox: &Sandbox| fs::read(sandbox.modcache().join(&file)).unwrap();
        assert_eq!(read(&with), read(&without));
    }
    // What was asked for in vain: the tests' modules, whose go.mod files are loaded.
    let (asked, plain) = (asked(&own), asked(&other));
    let vain: Vec<&String> = asked.keys().filter(|file| !plain.contains_key(*file)).collect();
    assert!(
        vain.iter()
            .all(|file| file.contains("/tests") && file.ends_with(".info")),
        "{vain:?}"
    );
    assert!(vain.len() <= COUNT + SPARE, "{vain:?}");
    for (file, times) in &plain {
        assert_eq!(asked.get(file), Some(times), "{file}");
    }
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[test]
fn what_goes_wrong_ahead_is_asked_for_again_when_go_comes_for_it() {
    for fault in [
        Fault::ResetBeforeHeader,
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
        Fault::Portal,
    ] {
        let rules = (3..COUNT).map(|n| Rule::new(fault.clone()).on(Kind::Info).module(name(n)).first(1));
        let proxy = proxy_with(rules);
        let sandbox = sandbox(&proxy);
        sandbox.go(&["mod", "download"]).output().expect_code(0);
    }
}

#[test]
fn who_asks_for_fewer_requests_is_asked_for_none_ahead() {
    let limited = Fault::Status {
        code: 429,
        retry_after: None,
        body: None,
    };
    let proxy = proxy_with([Rule::new(limited).on(Kind::Info).module(name(7)).first(1)]);
    let sandbox = sandbox(&proxy);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let infos = infos(&proxy);
    let first = infos.iter().position(|module| *module == name(7)).unwrap();
    // Those that were under way already, and then go's own, each when it is due.
    let vain = infos[first..]
        .iter()
        .filter(|module| module.contains("/tests"))
        .count();
    assert!(vain <= 3, "{infos:?}");
}

#[test]
fn commands_that_look_at_no_module_ask_for_nothing_ahead() {
    let own = proxy_with([]);
    let sandbox = sandbox(&own);
    sandbox.go(&["mod", "graph"]).output().expect_code(0);
    sandbox.go(&["mod", "verify"]).output().expect_code(0);
    assert_eq!(infos(&own), Vec::<String>::new());
}
