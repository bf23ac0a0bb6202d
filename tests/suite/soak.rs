//! Many go commands at once on one module cache and one build cache, faults at random,
//! gofix and plain go mixed. What gofix did is what plain go does in a healthy network, and
//! nothing is left: no process, no connection, no temporary file.
//!
//! `make soak` runs thousands (`__GOFIX_TEST_SOAK`), `make test` a few.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Framing, Module, Rule, When};

use crate::support::{Outcome, Run, Sandbox};

/// How many commands run at a time.
const AT_ONCE: usize = 8;
/// Which fault strikes which request, and which command does what.
const SEED: u64 = 20_240_102;
/// The probability of each of the kinds of fault.
const EACH: f64 = 0.015;

fn commands() -> usize {
    let wanted = std::env::var("__GOFIX_TEST_SOAK").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn module(nth: usize) -> String {
    format!("example.com/m{nth}")
}

/// Each module needs the one before the last.
fn catalogue(modules: usize) -> Catalogue {
    let all = (0..modules).flat_map(|nth| {
        ["v1.0.0", "v1.1.0"].map(|version| {
            let module = Module::new(module(nth), version).ballast(500 + nth);
            match nth.checked_sub(2) {
                Some(below) if nth % 3 == 0 => module.requires(self::module(below), "v1.0.0"),
                _ => module,
            }
        })
    });
    Catalogue::new().with_all(all)
}

fn faults() -> Vec<Rule> {
    let status = |code| Fault::Status {
        code,
        retry_after: None,
        body: None,
    };
    let faults = [
        status(503),
        status(500),
        Fault::CloseBeforeHeader,
        Fault::ResetBeforeHeader,
        Fault::ResetBody { after: None },
        Fault::CloseBody {
            after: None,
            framing: Framing::Length,
        },
    ];
    let rule = |(nth, fault)| Rule::new(fault).when(When::Chance(EACH, SEED + nth));
    (0..).zip(faults).map(rule).collect()
}

/// One command of the soak.
struct Job {
    args: &'static [&'static str],
    plain: bool,
    relay: &'static str,
    modules: [usize; 2],
}

impl Job {
    fn new(nth: usize, modules: usize) -> Self {
        let mut dice = fastrand::Rng::with_seed(SEED + nth as u64);
        let args: &[&str] = match nth % 4 {
            0 => &["mod", "tidy"],
            1 => &["list", "-m", "-f", "{{.Path}} {{.Version}} {{.GoVersion}}", "all"],
            2 => &["build", "-o", "prog", "."],
            _ => &["test", "-count=1", "./..."],
        };
        // Without the relay a lookup that fails twice is, by design, taken for an answer of tidy.
        let relay = if nth.is_multiple_of(4) || dice.bool() {
            "on"
        } else {
            "off"
        };
        Self {
            args,
            plain: dice.u8(..5) == 0,
            relay,
            modules: [dice.usize(..modules), dice.usize(..modules)],
        }
    }

    /// A project of its own in the sandbox.
    fn project(&self, sandbox: &Sandbox, name: &str, catalogue: &Catalogue) -> PathBuf {
        let dir = sandbox.project().join(name);
        fs::create_dir_all(&dir).unwrap();
        let [one, two] = self.modules.map(module);
        let second = if one == two {
            String::new()
        } else {
            format!("\t_ \"{two}\"\n")
        };
        let main = format!("package main\n\nimport (\n\t_ \"{one}\"\n{second})\n\nfunc main() {{}}\n");
        fs::write(dir.join("main.go"), main).unwrap();
        let test = "package main\n\nimport \"testing\"\n\nfunc TestMain1(*testing.T) { main() }\n";
        fs::write(dir.join("main_test.go"), test).unwrap();
        let mut go_mod = "module example.com/main\n\ngo 1.21\n".to_owned();
        if self.args[0] != "mod" {
            let all: Vec<String> = (0..).map(module).take(catalogue.all().count() / 2).collect();
            let lines: String = all.iter().map(|path| format!("\t{path} v1.0.0\n")).collect();
            let needed = all.iter().filter(|path| **path == one || **path == two);
            let few: String = needed.map(|path| format!("\t{path} v1.0.0\n")).collect();
            // A list asks for every go.mod, the others for what they import.
            go_mod.push_str(&format!(
                "\nrequire (\n{})\n",
                if self.args[0] == "list" { lines } else { few }
            ));
            fs::write(dir.join("go.sum"), catalogue.go_sum()).unwrap();
        }
        fs::write(dir.join("go.mod"), go_mod).unwrap();
        dir
    }
}

/// What a command gives: status, stdout, go.mod, go.sum.
fn result(run: Run, dir: &Path) -> ((Option<i32>, String, String, String), Outcome) {
    let outcome = run.dir(dir).output();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    // `ok  example.com/main  0.003s`
    let lasted = |field: &&str| !(field.ends_with('s') && field.starts_with(|c: char| c.is_ascii_digit()));
    let stdout = outcome
        .stdout
        .split(['\t', '\n'])
        .filter(lasted)
        .collect::<Vec<_>>()
        .join(" ");
    ((outcome.code(), stdout, read("go.mod"), read("go.sum")), outcome)
}

#[test]
fn many_commands_on_one_cache() {
    let count = commands();
    let modules = count / 4 + 8;
    let catalogue = catalogue(modules);
    let healthy = FaultProxy::healthy(catalogue.clone()).unwrap();
    let faulty = FaultProxy::builder(catalogue.clone())
        .rules(faults())
        .start()
        .unwrap();
    let sandbox = |proxy: &FaultProxy| {
        let sandbox = Sandbox::new().env("GOPROXY", proxy.url()).shared_build_cache();
        sandbox.switch_telemetry_off();
        sandbox
    };
    let (expected, soaked) = (
        sandbox(&healthy),
        sandbox(&faulty)
            .env("GOFIX_RETRY_COUNT", "20")
            .env("GOFIX_LOG", "quiet"),
    );
    let (next, ran_plain) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let differ: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        return;
                    }
                    let job = Job::new(nth, modules);
                    let name = nth.to_string();
                    let dir = job.project(&soaked, &name, &catalogue);
                    if job.plain {
                        ran_plain.fetch_add(1, Ordering::Relaxed);
                        soaked.plain_go(job.args).dir(&dir).output();
                        continue;
                    }
                    let twin = job.project(&expected, &name, &catalogue);
                    let (wanted, _) = result(expected.plain_go(job.args), &twin);
                    let run = soaked.go(job.args).env("GOFIX_RELAY", job.relay);
                    let (got, outcome) = result(run, &dir);
                    if got != wanted {
                        let text = format!(
                            "{nth} {:?} relay {}: {got:?}\nexpected {wanted:?}\n{outcome}",
                            job.args, job.relay
                        );
                        differ.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let differ = differ.into_inner().unwrap();
    assert!(
        differ.is_empty(),
        "{} of {count}:\n{}",
        differ.len(),
        differ.join("\n\n")
    );
    assert!(ran_plain.into_inner() > 0, "none ran plain");
    let struck = faulty
        .requests()
        .iter()
        .filter(|request| request.fault.is_some())
        .count();
    assert!(struck > count / 10, "only {struck} faults in {count} commands");

    soaked.expect_nobody();
    assert!(faulty.wait_for(Duration::from_secs(60), |all| {
        all.iter().all(|one| one.took.is_some())
    }));
    assert_eq!(
        entries(&soaked.path("tmp")),
        Vec::<PathBuf>::new(),
        "temporary files"
    );
    let left: Vec<PathBuf> = entries(&soaked.modcache().join("cache"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".tmp") || path.to_string_lossy().contains(".partial"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "half-written files");
    // Every module that is in the cache is whole: one project that needs them all.
    let job = Job {
        args: &["list"],
        plain: true,
        relay: "off",
        modules: [0, 1],
    };
    let dir = job.project(&soaked, "all", &catalogue);
    let verified = soaked
        .plain_go(&["mod", "verify"])
        .env("GOPROXY", healthy.url())
        .dir(&dir)
        .output();
    assert!(verified.stdout.contains("all modules verified"), "{verified}");
}

/// Every file below a folder.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(entries(&path));
        } else {
            found.push(path);
        }
    }
    found
}
