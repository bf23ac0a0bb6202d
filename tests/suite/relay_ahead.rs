//! What the relay asks for before go does, and that nobody can tell but by the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Kind, Module, Rule, SumDb};

use crate::support::{Sandbox, certificate, status};

const COUNT: usize = 30;

fn name(n: usize) -> String {
    format!("example.com/m{n:02}")
}

/// Modules m00 to m29. Each of the even ones needs three others for its tests, which nobody else does, and is too old
/// for go to leave out what they need.
fn catalogue() -> Catalogue {
    let tests = |n: usize| (0..3).map(move |k| format!("{}/tests{k}", name(n)));
    let module = |n: usize| {
        let module = Module::new(name(n), "v1.0.0");
        match n % 2 {
            0 => tests(n).fold(module.go("1.16"), |module, path| module.requires(path, "v1.0.0")),
            _ => module,
        }
    };
    Catalogue::new().with_all((0..COUNT).map(module)).with_all(
        (0..COUNT)
            .step_by(2)
            .flat_map(tests)
            .map(|path| Module::new(path, "v1.0.0")),
    )
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

/// The same in one block, in the order in which files are asked for ahead.
fn in_one_block(sandbox: Sandbox) -> Sandbox {
    let names: Vec<String> = (0..COUNT).map(name).collect();
    let modules: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1.0.0")).collect();
    sandbox.requiring(&modules)
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
    let sandbox = in_one_block(sandbox(&proxy));
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
    assert_eq!(
        with.without_place(&relayed.stdout),
        without.without_place(&plain.stdout)
    );
    assert_eq!(relayed.stderr, plain.stderr);
    for n in 0..COUNT {
        let file = format!("cache/download/{}/@v/v1.0.0.info", name(n));
        let read = |sandbox: &Sandbox| fs::read(sandbox.modcache().join(&file)).unwrap();
        assert_eq!(read(&with), read(&without));
    }
    let (asked, plain) = (asked(&own), asked(&other));
    assert_eq!(asked, plain);
}

#[test]
fn a_report_says_what_was_asked_ahead_and_what_go_used() {
    let proxy = proxy_with([]);
    let sandbox = sandbox(&proxy);
    let report = sandbox.path("report.jsonl");
    let run = sandbox.go(&["mod", "download"]).env("GOFIX_REPORT", &report);
    run.output().expect_code(0);
    let file = report.to_str().unwrap();
    let summary = sandbox.gofix(&["report", "--json", file]).output().expect_code(0);
    let summary: serde_json::Value = serde_json::from_str(&summary.stdout).unwrap();
    let number = |key: &str| summary["asked_ahead"][key].as_u64().unwrap();
    // Go needs everything that is asked for, and begins with a few requests of its own.
    let asked = proxy.requests();
    let sent: u64 = asked.iter().map(|request| request.sent).sum();
    assert_eq!(number("requests"), number("used"), "{summary}");
    assert_eq!(number("bytes"), number("used_bytes"), "{summary}");
    assert!(
        (COUNT as u64..asked.len() as u64).contains(&number("used")),
        "{summary}"
    );
    assert!(number("bytes") > 0 && number("bytes") < sent, "{summary}");
    let shown = sandbox.gofix(&["report", file]).output().expect_code(0).stdout;
    let line = format!("\nmade ahead of go: {} requests (", number("requests"));
    assert!(shown.contains(&line), "{shown}");
    // A sum says it of several runs.
    let twice = sandbox
        .gofix(&["report", file, file])
        .output()
        .expect_code(0)
        .stdout;
    let line = format!("\nmade ahead of go: {} requests (", 2 * number("requests"));
    assert!(twice.contains(&line), "{twice}");
}

#[test]
fn what_goes_wrong_ahead_is_the_first_try_of_what_go_asks_for() {
    for fault in [
        Fault::ResetBeforeHeader,
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
        Fault::Portal,
    ] {
        let struck = |n| Rule::new(fault.clone()).on(Kind::Info).module(name(n)).first(1);
        let proxy = proxy_with((3..COUNT).map(struck));
        // Three faults in a row would close the proxy for as long as the test may last.
        let sandbox = in_one_block(sandbox(&proxy));
        sandbox.write("gofix.toml", "max_fails = 3\nfail_timeout = \"10m\"\n");
        let config = sandbox.project().join("gofix.toml");
        let sandbox = sandbox.env("GOFIX_CONFIG", config);
        let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
        let infos = infos(&proxy);
        for n in 3..COUNT {
            let times = infos.iter().filter(|module| **module == name(n)).count();
            assert_eq!(times, 2, "{}: {outcome}", name(n));
        }
    }
}

#[test]
fn faults_of_what_go_does_not_want_are_nobodys_business() {
    // The graph has it and go.sum, too, and nothing imports it.
    let module = |n: usize| match n {
        0 => Module::new(name(0), "v1.0.0").go_mod(format!(
            "module {}\n\ngo 1.21\n\nrequire example.com/unused v1.0.0\n",
            name(0)
        )),
        _ => Module::new(name(n), "v1.0.0"),
    };
    let modules = Catalogue::new()
        .with_all((0..COUNT).map(module))
        .with(Module::new("example.com/unused", "v1.0.0"));
    let sums = modules.go_sum();
    let struck = Rule::new(Fault::ResetBeforeHeader)
        .on(Kind::Zip)
        .module("example.com/unused");
    let proxy = FaultProxy::builder(modules).rule(struck).start().unwrap();
    let sandbox = in_one_block(sandbox(&proxy)).env("GOFIX_REPORT", "report.jsonl");
    sandbox.write("go.sum", sums);
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    let were_struck = proxy.requests().iter().any(|request| request.fault.is_some());
    assert!(were_struck, "{outcome}");
    assert!(!outcome.stderr.contains("unused"), "{outcome}");
    let report = sandbox.read("report.jsonl");
    assert!(!report.contains("connection reset"), "{report}");
}

#[test]
fn what_is_slow_is_asked_for_no_more_often_than_without_it() {
    // Slower than the silence after which another connection is asked, and that is all.
    let slow = Rule::new(Fault::Delay { ms: 1500 })
        .on(Kind::Info)
        .module(name(9));
    let proxy = proxy_with([slow]);
    let sandbox = in_one_block(sandbox(&proxy)).env("GOFIX_STALL_MS", "2000");
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let times = infos(&proxy).iter().filter(|module| **module == name(9)).count();
    // The second one only where go was there in time to wait so long.
    assert!((1..=2).contains(&times), "{times}");
}

#[test]
fn who_asks_for_fewer_requests_is_asked_for_none_ahead() {
    let limited = status(429, None);
    let proxy = proxy_with([Rule::new(limited).on(Kind::Info).module(name(7)).first(1)]);
    let sandbox = sandbox(&proxy);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    // Go asks for the zips when it has every .info; who is asked for less is not asked before it does.
    let requests = proxy.requests();
    let last_info = requests
        .iter()
        .rposition(|request| request.kind() == Kind::Info)
        .unwrap();
    let first_zip = requests
        .iter()
        .position(|request| request.kind() == Kind::Zip)
        .unwrap();
    assert!(last_info < first_zip, "{requests:?}");
}

#[test]
fn commands_that_look_at_no_module_ask_for_nothing_ahead() {
    let own = proxy_with([]);
    let sandbox = sandbox(&own);
    sandbox.go(&["mod", "graph"]).output().expect_code(0);
    sandbox.go(&["mod", "verify"]).output().expect_code(0);
    assert_eq!(infos(&own), Vec::<String>::new());
}

#[test]
fn what_was_given_up_ahead_is_asked_for_again_when_go_comes_for_it() {
    // The last is asked for early and given up after the stall clock, while go waits for another; nothing is left to
    // ask for behind it.
    let slow = |n: usize, ms: u64| {
        Rule::new(Fault::Delay { ms })
            .on(Kind::Info)
            .module(name(n))
            .first(1)
    };
    let last = COUNT - 1;
    let modules = Catalogue::new().with_all((0..COUNT).map(|n| Module::new(name(n), "v1.0.0")));
    let sums = modules.go_sum();
    let proxy = FaultProxy::builder(modules)
        .rules([slow(last - 4, 2_500), slow(last, 3_000)])
        .start()
        .unwrap();
    let sandbox = in_one_block(sandbox(&proxy))
        .env("GOFIX_STALL_MS", "1000")
        .env("GOFIX_BUDGET", "20s");
    sandbox.write("go.sum", sums);
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(outcome.stderr, "");
    // Go goes on without it where it does not come.
    let file = format!("cache/download/{}/@v/v1.0.0.info", name(last));
    assert!(sandbox.modcache().join(file).is_file());
}

#[test]
fn many_first_requests_share_one_connection() {
    let (tls, roots) = certificate();
    let proxy = FaultProxy::builder(catalogue()).tls(tls).start().unwrap();
    let sandbox = sandbox(&proxy).env("GOMAXPROCS", "8");
    sandbox.write("roots.pem", roots);
    let roots = sandbox.project().join("roots.pem");
    let sandbox = sandbox.env("SSL_CERT_FILE", roots);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(proxy.connections(), 1);
}

/// Modules that everybody may know of, one that only the company's proxy has, and what stands in for others.
fn public_modules() -> Catalogue {
    let module = |n: usize| {
        let module = Module::new(format!("public.example/p{n}"), "v1.0.0");
        match n {
            0 | 1 => module.requires("public.example/p4", "v1.0.0"),
            _ => module,
        }
    };
    Catalogue::new()
        .with_all((0..6).map(module))
        .with_all((0..6).map(|n| Module::new(format!("public.example/p{n}"), "v1.1.0")))
        .with(Module::new("public.example/fork", "v1.5.0").go_mod("module old.example/o\n\ngo 1.21\n"))
}

fn company_modules() -> Catalogue {
    Catalogue::new().with(Module::new("corp.example/c", "v1.0.0"))
}

/// By proxy: the modules that were named to it, and the records that it was asked for.
fn names(proxies: [&FaultProxy; 2]) -> [BTreeSet<String>; 2] {
    proxies.map(|proxy| {
        let requests = proxy.requests().into_iter();
        let named = requests.filter_map(|request| {
            let module = request.asked.module.clone()?;
            Some(format!("{:?} {module}", request.kind() == Kind::Lookup))
        });
        named.collect()
    })
}

fn is_named(names: &[BTreeSet<String>; 2], module: &str) -> bool {
    names.iter().flatten().any(|named| named.ends_with(module))
}

/// Runs a command, of go's own or through gofix, behind the company's proxy and the public one: whom they told what,
/// and what stands on stdout.
fn told(plain: bool, command: &[&str], lay_out: impl Fn(&Sandbox)) -> ([BTreeSet<String>; 2], String) {
    let database = || SumDb::new("sum.example.test", &public_modules());
    let corp = FaultProxy::healthy(company_modules()).unwrap();
    let public = FaultProxy::builder(public_modules())
        .sumdb(database())
        .start()
        .unwrap();
    let sandbox = Sandbox::new()
        .env("GOPROXY", format!("{},{}", corp.url(), public.url()))
        .env("GOSUMDB", database().key())
        .env("GONOSUMDB", "corp.example")
        .env("GONOPROXY", "private.example")
        .env("GOFIX_RELAY", "on");
    sandbox.switch_telemetry_off();
    sandbox.write("x/go.mod", "module private.example/x\n\ngo 1.21\n");
    sandbox.write("x/x.go", "package x\n");
    lay_out(&sandbox);
    let run = match plain {
        true => sandbox.plain_go(command),
        false => sandbox.go(command),
    };
    let outcome = run.output().expect_code(0);
    (names([&corp, &public]), outcome.stdout)
}

const REQUIRES: &str = "module main.example/main\n\ngo 1.21\n\nrequire (\n\tcorp.example/c v1.0.0\n\told.example/o v1.0.0\n\
    \tprivate.example/x v1.0.0\n\tpublic.example/p0 v1.0.0\n\tpublic.example/p1 v1.0.0\n\tpublic.example/p2 v1.0.0\n\
    \tpublic.example/p3 v1.0.0\n\tpublic.example/p4 v1.0.0 // indirect\n)\n\n\
    replace old.example/o => public.example/fork v1.5.0\n\n";

fn sums() -> String {
    company_modules().go_sum() + &public_modules().go_sum()
}

/// A program that needs all that is required.
fn program() -> String {
    let imports = ["corp.example/c", "old.example/o", "private.example/x"];
    let imports = imports.iter().map(|path| (*path).to_owned());
    let imports = imports.chain((0..4).map(|n| format!("public.example/p{n}")));
    let imports: String = imports.map(|path| format!("import _ \"{path}\"\n")).collect();
    format!("package main\n\n{imports}\nfunc main() {{}}\n")
}

#[test]
fn no_name_goes_to_anybody_whom_go_would_not_have_told() {
    let commands: [&[&str]; 7] = [
        &["mod", "download"],
        &["mod", "tidy"],
        &["mod", "vendor"],
        &["mod", "graph"],
        &["list", "-deps", "./..."],
        &["list", "-m", "-u", "all"],
        &["get", "-u", "./..."],
    ];
    for command in commands {
        for with_sums in [true, false] {
            if !with_sums && command[1] != "tidy" {
                continue;
            }
            let lay_out = |sandbox: &Sandbox| {
                let go_mod = format!("{REQUIRES}replace private.example/x => ./x\n");
                sandbox.write("go.mod", go_mod);
                sandbox.write("main.go", program());
                if with_sums {
                    sandbox.write("go.sum", sums());
                }
            };
            let [plain, relayed] = [true, false].map(|plain| told(plain, command, lay_out));
            assert_eq!(relayed, plain, "{command:?} {with_sums}");
        }
    }
}

#[test]
fn in_a_workspace_nobody_is_told_of_what_it_uses() {
    let commands: [&[&str]; 4] = [
        &["mod", "download"],
        &["mod", "graph"],
        &["list", "-deps", "./..."],
        &["list", "-m", "all"],
    ];
    for command in commands {
        let lay_out = |sandbox: &Sandbox| {
            sandbox.write("go.work", "go 1.21\n\nuse .\n\nuse ./x\n");
            sandbox.write("go.mod", REQUIRES.replace("\tprivate.example/x v1.0.0\n", ""));
            sandbox.write("go.sum", sums());
            sandbox.write("main.go", program());
        };
        let [plain, relayed] = [true, false].map(|plain| told(plain, command, lay_out));
        assert!(!is_named(&plain.0, "private.example/x"), "{plain:?}");
        assert_eq!(relayed, plain, "{command:?}");
    }
}

#[test]
fn where_another_go_mod_is_named_nobody_is_told_of_what_stands_in_the_usual_one() {
    let commands: [&[&str]; 4] = [
        &["mod", "download", "-modfile=other.mod"],
        &["mod", "tidy", "-modfile=other.mod"],
        &["list", "-modfile", "other.mod", "-deps", "./..."],
        &["list", "-m", "-u", "-modfile=other.mod", "all"],
    ];
    for command in commands {
        let lay_out = |sandbox: &Sandbox| {
            sandbox.write("go.mod", REQUIRES);
            sandbox.write("go.sum", sums());
            let imports = "import _ \"public.example/p2\"\nimport _ \"public.example/p3\"\n";
            sandbox.write(
                "main.go",
                format!("package main\n\n{imports}\nfunc main() {{}}\n"),
            );
            sandbox.write(
                "other.mod",
                "module main.example/main\n\ngo 1.21\n\nrequire public.example/p2 v1.0.0\n\nrequire public.example/p3 v1.0.0\n",
            );
            sandbox.write("other.sum", public_modules().go_sum());
        };
        let [plain, relayed] = [true, false].map(|plain| told(plain, command, lay_out));
        assert!(!is_named(&plain.0, "public.example/p0"), "{plain:?}");
        assert_eq!(relayed, plain, "{command:?}");
    }
}

#[test]
fn where_everything_is_vendored_nobody_is_asked() {
    let modules = Catalogue::new().with_all((0..3).map(|n| Module::new(name(n), "v1.0.0")));
    let sums = modules.go_sum();
    let proxy = FaultProxy::healthy(modules).unwrap();
    let required = [name(0), name(1), name(2)];
    let required = required.each_ref().map(|name| (name.as_str(), "v1.0.0"));
    let sandbox = sandbox(&proxy).requiring(&required);
    sandbox.write("go.sum", sums);
    sandbox.plain_go(&["mod", "vendor"]).output().expect_code(0);
    let before = proxy.requests().len();
    assert!(before > 0);
    for flags in ["", "-mod=vendor"] {
        for command in ["list", "build", "vet"] {
            let run = sandbox.go(&[command, "./..."]).env("GOFLAGS", flags);
            let empty = tempfile::tempdir().unwrap();
            run.env("GOMODCACHE", empty.path()).output().expect_code(0);
            assert_eq!(proxy.requests().len(), before, "{command} {flags}");
        }
    }
}

fn imports(package: &str, paths: &[&str]) -> String {
    let imports: String = paths
        .iter()
        .map(|path| format!("import _ \"{path}\"\n"))
        .collect();
    format!("package {package}\n\n{imports}")
}

/// Modules of which most commands need a few: what is imported on other systems, by tests, by what go does not look
/// at, or by packages that nobody imports, stands in modules of its own.
fn modules_along_imports() -> Catalogue {
    let of = |name: &str| Module::new(format!("example.com/{name}"), "v1.0.0");
    let needs = |name: &str, path: &str| of(name).file("more.go", imports(name, &[path]));
    let first = of("first")
        .file(
            "more.go",
            imports("first", &["example.com/second/inner", "example.com/first/own"]),
        )
        .file("own/own.go", imports("own", &["example.com/third"]))
        .file("more_windows.go", imports("first", &["example.com/windows"]))
        .file("more_amd64.go", imports("first", &["example.com/amd64"]))
        .file("more_arm64.go", imports("first", &["example.com/arm64"]))
        .file(
            "tagged.go",
            format!(
                "//go:build tagged && go1.21\n\n{}",
                imports("first", &["example.com/tagged"])
            ),
        )
        .file(
            "old.go",
            format!(
                "// +build ignore\n\n{}",
                imports("first", &["example.com/unused"])
            ),
        )
        .file("cgo.go", imports("first", &["C", "example.com/cgo"]))
        .file("more_test.go", imports("first", &["example.com/tests"]))
        .file("_more.go", imports("first", &["example.com/unused"]))
        .file("other/other.go", imports("other", &["example.com/unused"]))
        .file("testdata/x.go", imports("x", &["example.com/unused"]));
    let names = [
        "windows", "amd64", "arm64", "tagged", "unused", "cgo", "tests", "fifth",
    ];
    Catalogue::new()
        .with(first)
        .with(of("second").file("inner/inner.go", imports("inner", &["example.com/fourth"])))
        .with(needs("third", "example.com/fifth"))
        .with(needs("fourth", "example.com/fork"))
        .with_all(names.map(of))
        .with(of("forked").go_mod("module example.com/fork\n\ngo 1.21\n"))
        .with(needs("folder", "example.com/unused"))
        .with(installed("tool", "1.21"))
        .with(installed("oldtool", "1.16"))
}

/// A program that needs a part of what its go.mod requires.
fn installed(name: &str, go: &str) -> Module {
    let path = format!("example.com/{name}");
    let required = ["first", "second", "third", "fifth", "unused", "windows"];
    let lines: String = required
        .iter()
        .map(|name| format!("\texample.com/{name} v1.0.0\n"))
        .collect();
    let program = imports("main", &["example.com/first/own", "example.com/second"]);
    Module::new(&path, "v1.0.0")
        .file("cmd/x/main.go", program + "func main() {}\n")
        .go_mod(format!("module {path}\n\ngo {go}\n\nrequire (\n{lines})\n"))
}

fn along_imports(proxy: &FaultProxy, go: &str) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOSUMDB", "off")
        .env("GOFIX_RELAY", "on")
        .env("GOOS", "linux")
        .env("GOARCH", "amd64")
        .env("CGO_ENABLED", "0");
    let names = [
        "first", "second", "third", "fourth", "fifth", "windows", "amd64", "arm64", "tagged", "unused",
        "cgo", "tests", "fork", "folder",
    ];
    let lines: String = names
        .iter()
        .map(|name| format!("\texample.com/{name} v1.0.0\n"))
        .collect();
    sandbox.write(
        "go.mod",
        format!(
            "module example.com/main\n\ngo {go}\n\nrequire (\n{lines})\n\nreplace example.com/fork => example.com/forked v1.0.0\n\n\
             replace example.com/folder => ./folder\n"
        ),
    );
    sandbox.write("go.sum", modules_along_imports().go_sum());
    sandbox.write(
        "main.go",
        imports("main", &["example.com/main/own"]) + "func main() {}\n",
    );
    sandbox.write("main_test.go", imports("main", &["example.com/tests"]));
    sandbox.write(
        "tools.go",
        format!("//go:build tools\n\n{}", imports("main", &["example.com/unused"])),
    );
    sandbox.write(
        "own/own.go",
        imports("own", &["example.com/first", "example.com/folder"]),
    );
    sandbox.write("own/own_test.go", imports("own", &["example.com/tests"]));
    sandbox.write(
        "cmd/arm/main.go",
        imports("main", &["example.com/arm64"]) + "func main() {}\n",
    );
    sandbox.write("testdata/x.go", imports("x", &["example.com/unused"]));
    sandbox.write("nested/go.mod", "module example.com/nested\n");
    sandbox.write("nested/x.go", imports("x", &["example.com/unused"]));
    sandbox.write(
        "folder/go.mod",
        format!("module example.com/folder\n\ngo {go}\n\nrequire example.com/windows v1.0.0\n"),
    );
    sandbox.write("folder/folder.go", imports("folder", &["example.com/windows"]));
    sandbox
}

#[test]
fn along_the_imports_nothing_is_asked_for_that_go_does_not_want() {
    let commands: [&[&str]; 12] = [
        &["install", "-n", "example.com/tool/cmd/x@v1.0.0"],
        &["install", "-n", "example.com/oldtool/cmd/x@v1.0.0"],
        &["list", "-deps", "./..."],
        &["list", "-deps", "."],
        &["list", "-deps", "-test", "./..."],
        &["list", "-deps", "./cmd/...", "example.com/second"],
        &["list", "-deps", "example.com/first/other"],
        &["list", "-deps", "-tags", "x,tagged", "./..."],
        &["build", "-n", "./..."],
        &["build", "-n", "main.go"],
        &["vet", "-n", "./own"],
        &["test", "-n", "./own", "-run", "none"],
    ];
    for go in ["1.21", "1.16"] {
        for command in commands {
            let [own, other] = [(); 2].map(|()| FaultProxy::healthy(modules_along_imports()).unwrap());
            let [with, without] = [&own, &other].map(|proxy| along_imports(proxy, go));
            let relayed = with.go(command).output();
            let plain = without.plain_go(command).output();
            assert_eq!(relayed.code(), plain.code(), "{command:?} {relayed} {plain}");
            assert_eq!(asked(&own), asked(&other), "{go} {command:?}");
        }
    }
}

/// The largest resident size of gofix in MiB, for one command in a project that requires a thousand modules.
#[cfg(target_os = "linux")]
fn memory(command: &[&str]) -> u64 {
    const MANY: usize = 1000;
    let name = |n: usize| format!("example.com/many{n:04}");
    let module = |n: usize| {
        let module = Module::new(name(n), "v1.0.0").ballast(20_000 + n);
        (n + 1..MANY.min(n + 20)).fold(module, |module, next| module.requires(name(next), "v1.0.0"))
    };
    let catalogue = Catalogue::new().with_all((0..MANY).map(module));
    let sums = catalogue.go_sum();
    let proxy = FaultProxy::healthy(catalogue).unwrap();
    let names: Vec<String> = (0..MANY).map(name).collect();
    let modules: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1.0.0")).collect();
    // Go's parent is gofix, which lives until go has ended.
    let go = format!(
        "{} \"$@\"; status=$?; cp /proc/$PPID/status \"$TMPDIR/parent\"; exit $status",
        crate::support::real_go().display()
    );
    let sandbox = Sandbox::new()
        .env("GOPROXY", proxy.url())
        .env("GOFIX_RELAY", "on")
        .requiring(&modules)
        .scripted(&go);
    sandbox.write("go.sum", sums);
    sandbox.go(command).output().expect_code(0);
    let status = fs::read_to_string(sandbox.path("tmp/parent")).unwrap();
    assert!(status.contains("gofix"), "{status}");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[cfg(target_os = "linux")]
fn a_thousand_modules_take_little_memory() {
    // Half of it is the program itself, which is larger without optimization.
    let most = if cfg!(debug_assertions) { 36 } else { 16 };
    for command in [&["mod", "download"][..], &["list", "-m", "-u", "all"]] {
        let resident = memory(command);
        assert!(resident <= most, "{command:?}: {resident} MiB");
    }
}
