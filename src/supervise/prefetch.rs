//! Fetches for a command that runs the user's code, before it runs.
//!
//! `go CMD -n ARGS` loads the packages and runs nothing. It is supervised as
//! any fetch and then the real command takes the place of this process, with
//! the user's own environment. So user code never runs twice.
//!
//! Known limitations: a prefetch that ended well for the same inputs is
//! not made again, though a module may have been taken out of the cache by
//! hand since, or a package be imported of a module whose zip was not needed so
//! far; then go fetches it as it does without gofix.

use std::{
    ffi::OsString,
    fs, io,
    ops::Not as _,
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use gofix_shim::Invocation;
use ring::digest::{Context, SHA256};

use super::{
    End, Session, attempt::Outcome, attempts::Step, child, relaying::Relaying, streams::write_all, tidy,
};
use crate::{
    config,
    diagnose::{Input, diagnose},
    go::{
        env::{GoEnv, goroot_version},
        escape::escape,
        workspace,
    },
    policy::GaveUp,
    repair::{self, ModCache},
    report::Event,
    sys::panics::caught_async,
};

/// The user's own build cache: loading packages needs none.
const CACHE_PROGRAM: &str = "GOCACHEPROG";

/// Whether something may be missing for a carried command, and the digest of
/// its inputs where a prefetch that ends well may be remembered.
pub(super) fn is_needed(invocation: &Invocation, env: &GoEnv) -> bool {
    // What the flag names may run under `-n`, too.
    if invocation.program_flag.is_some() {
        return false;
    }
    // A program that go starts with every command, and that nothing but its file could keep out of the prefetch.
    if !env.in_user_file(CACHE_PROGRAM).is_empty() {
        return false;
    }
    match inputs(invocation, env) {
        Inputs::Nothing => false,
        Inputs::Unknown => true,
        Inputs::Digest(digest) => !ModCache::open(settings(env)).is_ok_and(|cache| cache.has_stamp(&digest)),
    }
}

/// What a prefetch depends on.
#[derive(Debug, PartialEq, Eq)]
enum Inputs {
    /// No module can be missing.
    Nothing,
    /// Something that changes by itself, as `@latest` does.
    Unknown,
    /// The digest of all of it.
    Digest(String),
}

fn inputs(invocation: &Invocation, env: &GoEnv) -> Inputs {
    let operands = invocation.operands();
    let own = invocation.own_operands().len();
    if operands[..own]
        .iter()
        .any(|operand| operand.as_bytes().contains(&b'@'))
    {
        return Inputs::Unknown;
    }
    let Some(dir) = tidy::working_dir(invocation) else {
        return Inputs::Unknown;
    };
    let mode = tidy::flag(invocation, env, "mod");
    let go_mod = tidy::main_module(invocation, env);
    let files = match workspace::go_work(&dir, &env.get("GOWORK").0) {
        Some(go_work) => {
            let mut files = workspace::go_mods(&go_work);
            files.push(go_work);
            files
        }
        None => go_mod.iter().cloned().collect(),
    };
    if files.len() <= 1 && mode.is_none() && has_nothing(go_mod.as_deref(), env) {
        return Inputs::Nothing;
    }
    let mut sums = Vec::new();
    let mut digest = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        digest.update(&part.len().to_le_bytes());
        digest.update(part);
    };
    for file in &files {
        let Ok(text) = fs::read(file) else {
            return Inputs::Unknown;
        };
        add(file.as_os_str().as_bytes());
        add(&text);
        // Each has its own, and none of them need be there.
        let text = fs::read(workspace::sums_of(file)).unwrap_or_default();
        add(&text);
        sums.push(text);
    }
    let is_readonly = mode.is_none_or(|mode| mode == "readonly");
    if is_readonly && has_all(&sums, env) {
        let go_mods = files.iter().filter_map(|file| fs::read_to_string(file).ok());
        if go_mods.into_iter().all(|go_mod| has_toolchain(&go_mod, env)) {
            return Inputs::Nothing;
        }
    }
    add(dir.as_os_str().as_bytes());
    // What the program gets says nothing of what it needs.
    let program = operands.len() - own;
    for arg in &invocation.args[..invocation.args.len() - program] {
        add(arg.as_bytes());
    }
    for name in ["GOFLAGS", "GOOS", "GOARCH", "CGO_ENABLED", "GOTOOLCHAIN"] {
        add(env.get(name).0.as_bytes());
    }
    Inputs::Digest(crate::text::hex(digest.finish().as_ref()))
}

/// Go's own default, with neither `-mod` nor a workspace: the vendor folder, and
/// nothing that no line requires. The toolchain may be missing all the same.
fn has_nothing(go_mod: Option<&Path>, env: &GoEnv) -> bool {
    let text = match go_mod.map(fs::read) {
        Some(Ok(text)) => text,
        Some(Err(_)) => return false,
        None => Vec::new(),
    };
    let vendored = go_mod
        .and_then(Path::parent)
        .is_some_and(|root| root.join("vendor/modules.txt").is_file());
    let requires = memchr::memmem::find(&text, b"require").is_some();
    (vendored || !requires) && has_toolchain(&String::from_utf8_lossy(&text), env)
}

/// True where all that the go.sum files name is in the module cache: what they
/// do not name go refuses without a look at the network.
fn has_all(sums: &[Vec<u8>], env: &GoEnv) -> bool {
    let mut named = sums
        .iter()
        .flat_map(|sum| sum.split(|byte| *byte == b'\n'))
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, words.next()?))
        })
        .peekable();
    named.peek().is_some()
        && named.all(|(module, version)| {
            let (version, ending) = match version.strip_suffix("/go.mod") {
                Some(version) => (version, "mod"),
                None => (version, "zip"),
            };
            is_there(env, module, version, ending)
        })
}

/// True where the module cache has this file of a module version.
fn is_there(env: &GoEnv, module: &str, version: &str, ending: &str) -> bool {
    let file = format!(
        "cache/download/{}/@v/{}.{ending}",
        escape(module),
        escape(version)
    );
    env.gomodcache().is_some_and(|cache| cache.join(file).is_file())
}

/// True where the toolchain at hand is new enough for this go.mod, or nobody
/// can tell.
fn has_toolchain(go_mod: &str, env: &GoEnv) -> bool {
    let wanted = env.text("GOTOOLCHAIN");
    let (name, may_switch) = match wanted.split_once('+') {
        Some((name, mode)) => (name, mode == "auto"),
        None => (wanted.as_str(), matches!(wanted.as_str(), "" | "auto")),
    };
    let Some(own) = env.goroot().and_then(goroot_version) else {
        return true;
    };
    let lines = go_mod.lines().filter(|_| may_switch).filter_map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("go"), Some(version)) => Some(version.to_owned()),
            (Some("toolchain"), Some(name)) => Some(name.to_owned()),
            _ => None,
        }
    });
    let named = matches!(name, "" | "auto" | "local" | "path")
        .not()
        .then(|| name.to_owned());
    let own = version(&own);
    lines.chain(named.clone()).all(|wanted| version(&wanted) <= own)
        // One that is named without `+auto` is used even where it is older.
        && (may_switch || named.is_none_or(|named| version(&named) == own))
}

/// `go1.22.3` and `1.22` as numbers; a candidate (`1.23rc1`) as what it leads
/// up to, and words that are no version as nothing newer.
fn version(text: &str) -> Vec<u32> {
    let text = text.strip_prefix("go").unwrap_or(text);
    let digits = |part: &str| {
        let end = part
            .bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(part.len());
        part[..end].parse().ok()
    };
    text.split('.').map_while(digits).collect()
}

fn settings(env: &GoEnv) -> repair::CacheEnv {
    repair::CacheEnv {
        gomodcache: env.gomodcache(),
        ..repair::CacheEnv::default()
    }
}

/// The command line of the prefetch: `-n` behind the command words and `-C`,
/// and no flag by which go writes a file under `-n` as well.
fn arguments(invocation: &Invocation) -> Vec<OsString> {
    const WRITING: [&str; 4] = [
        "coverprofile",
        "debug-actiongraph",
        "debug-runtime-trace",
        "debug-trace",
    ];
    let rest = invocation.rest.min(invocation.args.len());
    let end = invocation.args.len() - invocation.operands().len();
    let (words, given) = invocation.args.split_at(rest);
    let mut args = words.to_vec();
    args.push("-n".into());
    let mut given = given.iter().enumerate();
    while let Some((at, arg)) = given.next() {
        let flag = arg.to_str().filter(|_| rest + at < end).and_then(|arg| {
            let name = arg.strip_prefix('-')?;
            Some(name.strip_prefix('-').unwrap_or(name))
        });
        let is = |name: &str, flag: &str| flag == name || flag.strip_prefix("test.") == Some(name);
        match flag {
            Some(flag) if WRITING.iter().any(|name| is(name, flag)) => drop(given.next()),
            Some(flag)
                if flag
                    .split_once('=')
                    .is_some_and(|(flag, _)| WRITING.iter().any(|name| is(name, flag))) => {}
            _ => args.push(arg.clone()),
        }
    }
    args
}

/// True for a line of the plan that `-n` prints once everything is loaded:
/// every piece of it begins with a `#` alone or makes its folder.
fn is_plan(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line == b"#" || line.starts_with(b"mkdir -p $WORK"))
}

/// The same for `go generate -n`, which prints the commands of the user's
/// files: anything that is neither progress nor an error.
fn is_generator(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let speaks = line.starts_with(b"go: ")
            || line.starts_with(b"\t")
            || line.starts_with(b"# ")
            || line.is_empty();
        let is_error = memchr::memmem::find(line, b".go:").is_some()
            || [&b"verifying "[..], b"warning: ", b"SECURITY ERROR"]
                .iter()
                .any(|words| line.starts_with(words));
        !speaks && !is_error
    })
}

impl Session<'_> {
    /// Fetches what the command will need, then leaves the place to it.
    pub(super) async fn prefetch_then_exec(&mut self) -> io::Result<End> {
        if is_needed(self.asked.invocation, &self.asked.env) {
            // Where it fails, go itself fetches.
            let end = caught_async("prefetch", self.prefetch())
                .await
                .unwrap_or(Ok(End::Exec))?;
            if end != End::Exec {
                return Ok(end);
            }
        }
        // The port of the prefetch is closed before user code runs.
        self.now.relaying = None;
        if *self.asked.config.relay == config::Relay::On
            && let Some(mut relaying) = self.start_relay(true, Vec::new())
        {
            // Nobody reads them while the user's program runs.
            relaying.events.close();
            return self.run_with_relay(&relaying).await;
        }
        Ok(End::Exec)
    }

    async fn prefetch(&mut self) -> io::Result<End> {
        let args = arguments(self.asked.invocation);
        let enough = match self.asked.invocation.is(&["generate"]) {
            true => is_generator,
            false => is_plan,
        };
        let mut route = 0;
        loop {
            let mut plan = self.plan(route, args.clone());
            if !self.asked.env.get(CACHE_PROGRAM).0.is_empty() {
                plan.changes.push((CACHE_PROGRAM, OsString::new()));
            }
            let Ok(mut outcome) = self.attempt(&plan, route, Some(enough)).await else {
                return Ok(End::Exec);
            };
            if let Some(signal) = outcome.interrupted {
                self.show_progress(&outcome);
                return Ok(match End::of(outcome.status) {
                    _ if outcome.ended_early => End::asked(signal),
                    End::Code(0) => End::asked(signal),
                    end => end,
                });
            }
            if outcome.killed() {
                return Ok(End::of(outcome.status));
            }
            if outcome.ok() || outcome.ended_early && self.went_well(&outcome) {
                self.show_progress(&outcome);
                self.finished(outcome.status, true);
                if let Inputs::Digest(digest) = inputs(self.asked.invocation, &self.asked.env) {
                    let cache = ModCache::open(settings(&self.asked.env));
                    // A note less costs one prefetch more.
                    let _ = cache.and_then(|cache| cache.stamp(&digest));
                }
                return Ok(End::Exec);
            }
            let diagnosis = self.read(&mut outcome).await;
            let seen = self.seen(&outcome, &diagnosis).await;
            if let Some(signal) = self.now.interrupted {
                return Ok(End::asked(signal));
            }
            match self.wait_for_next(&diagnosis, seen).await {
                Step::Run(next) => {
                    self.show_progress(&outcome);
                    route = next;
                }
                Step::Signal(signal) => return Ok(End::asked(signal)),
                // go would hang where the clock has just ended it.
                Step::GiveUp(why) if outcome.stalled.is_some() => {
                    return Ok(self.give_up(&mut outcome, &diagnosis, why));
                }
                // Every other failure is left to the real command's own words.
                Step::GiveUp(GaveUp::Final) => {
                    self.show_what_came(&outcome);
                    return Ok(End::Exec);
                }
                Step::GiveUp(why) => {
                    self.show_what_came(&outcome);
                    self.now.reporter.event(&Event::GaveUp {
                        why,
                        diagnosis: Some(diagnosis),
                    });
                    return Ok(End::Exec);
                }
            }
        }
    }

    /// Shows the progress that is not shown yet, since what was fetched stays.
    fn show_progress(&mut self, outcome: &Outcome) {
        self.show(&outcome.held);
    }

    /// Shows the progress of what the real command need not fetch any more.
    fn show_what_came(&mut self, outcome: &Outcome) {
        let came = |line: &&[u8]| {
            let text = std::str::from_utf8(line).unwrap_or_default();
            let words = text.trim_end().strip_prefix("go: downloading ");
            let named = words.and_then(|words| words.split_once(' '));
            named.is_some_and(|(module, version)| is_there(&self.asked.env, module, version, "zip"))
        };
        let lines = outcome.held.split_inclusive(|byte| *byte == b'\n');
        let text = lines.filter(came).collect::<Vec<_>>().concat();
        self.show(&text);
    }

    fn show(&mut self, text: &[u8]) {
        self.now.reporter.clear();
        // Where nobody reads, the real command finds out.
        let _ = write_all(io::stderr().as_fd(), text);
    }

    /// A prefetch that was ended at the first line of the plan, and nothing
    /// failed before it.
    fn went_well(&self, outcome: &Outcome) -> bool {
        let input = Input {
            stderr: &outcome.text,
            stdout_json: None,
        };
        outcome.status.code().is_none()
            && diagnose(&input).faults.is_empty()
            && self.relay_faults().is_empty()
    }

    /// Runs the command with the relay in front of the user's own list. Its
    /// streams are gofix's own, and nothing of it is read or run again.
    async fn run_with_relay(&mut self, relaying: &Relaying) -> io::Result<End> {
        let plan = child::Plan {
            args: self.asked.invocation.args.clone(),
            changes: vec![("GOPROXY", relaying.relay.goproxy())],
        };
        super::guard::child_starts();
        let mut running = child::Child::start(
            self.asked.go,
            &plan,
            None,
            self.asked.start,
            self.now.signals.before(),
        )?;
        loop {
            if let Some(status) = running.poll()? {
                return Ok(End::of(status));
            }
            running.signalled(self.now.signals.next().await?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_plan_is_told_from_errors_and_progress() {
        assert!(is_plan(b"\n#\n# internal/x\n#\n\n"));
        assert!(is_plan(b"mkdir -p $WORK/b001/\n"));
        assert!(!is_plan(b"go: downloading a v1\n"));
        let failed = b"# example.com/main\nmain.go:5:2: a@v1.0.0: reading http://p/a/@v/v1.0.0.zip: 503 Service Unavailable\n\tserver response: x\n";
        assert!(!is_plan(failed), "go test -n says what could not be set up");
        assert!(!is_plan(b"# example.com/main\n"));
        assert!(!is_plan(
            b"a@v1.0.0: reading http://p/a/@v/v1.0.0.zip: 503 Service Unavailable\n"
        ));
        assert!(is_generator(b"stringer -type T\n"));
        assert!(!is_generator(b"main.go:3:8: a@v1: Get \"x\": EOF\n"));
        assert!(!is_generator(
            b"warning: GOPATH set to GOROOT (/go) has no effect\n"
        ));
    }

    #[test]
    fn a_prefetch_writes_no_profile() {
        let of = |words: &[&str]| {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            let args = arguments(&gofix_shim::classify(&args, None::<&OsStr>));
            args.iter()
                .map(|arg| arg.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&["-C", "d", "test", "-v", "-coverprofile", "c", "./..."]),
            ["-C", "d", "test", "-n", "-v", "./..."]
        );
        assert_eq!(
            of(&[
                "test",
                "./...",
                "--coverprofile=c",
                "-test.coverprofile=d",
                "-args",
                "-coverprofile=x"
            ]),
            ["test", "-n", "./...", "-args", "-coverprofile=x"]
        );
        assert_eq!(
            of(&["run", "-debug-trace=t", ".", "-coverprofile", "x"]),
            ["run", "-n", ".", "-coverprofile", "x"]
        );
    }

    #[test]
    fn toolchains() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("VERSION"), "go1.26.8\ntime 2026\n").unwrap();
        let env = |toolchain: &str| {
            let (root, toolchain) = (OsString::from(root.path()), OsString::from(toolchain));
            GoEnv::load(
                &move |name| match name {
                    "GOROOT" => Some(root.clone()),
                    "GOTOOLCHAIN" => Some(toolchain.clone()),
                    _ => None,
                },
                None,
            )
        };
        let has = |go_mod: &str, toolchain: &str| has_toolchain(go_mod, &env(toolchain));
        assert!(has("module m\n\ngo 1.26.8\n", ""));
        assert!(has("go 1.9\ntoolchain go1.26.8\n", "auto"));
        assert!(!has("go 1.26.9\n", ""));
        assert!(!has("go 1.22\ntoolchain go1.27.0\n", "auto"));
        assert!(has("go 1.27\n", "local"), "nothing is fetched");
        assert!(!has("", "go1.27.1"));
        assert!(!has("", "go1.21.0"), "older, and yet another");
        assert!(has("go 1.22\n", "go1.25.0+auto"));
        assert!(!has("go 1.27\n", "go1.25.0+auto"));
    }

    #[test]
    fn inputs_decide_whether_a_prefetch_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("/"))).unwrap();
            fs::write(path, text).unwrap();
        };
        let cache = dir.path().join("cache").into_os_string();
        let env = GoEnv::load(&|name| (name == "GOMODCACHE").then(|| cache.clone()), None);
        let of = |words: &[&str]| {
            let mut args = vec![OsString::from("-C"), dir.path().into()];
            args.extend(words.iter().map(OsString::from));
            inputs(&gofix_shim::classify(&args, None::<&OsStr>), &env)
        };
        assert_eq!(of(&["test", "./..."]), Inputs::Nothing, "no module");
        write("go.mod", "module m\n");
        assert_eq!(of(&["test", "./..."]), Inputs::Nothing, "nothing required");
        write("go.mod", "module m\nrequire a v1.0.0\n");
        let before = of(&["test", "./..."]);
        assert!(matches!(before, Inputs::Digest(_)));
        assert_eq!(of(&["test", "./..."]), before);
        assert_ne!(of(&["test", "./a"]), before);
        assert_eq!(of(&["run", ".", "x"]), of(&["run", ".", "y@z", "z"]));
        assert_ne!(of(&["run", "x.go", "y.go"]), of(&["run", "x.go", "z.go"]));
        assert_ne!(of(&["fix", "./a"]), of(&["fix", "./b"]));
        assert_ne!(of(&["generate", "./a"]), of(&["generate", "./b"]));
        let elsewhere = [OsString::from("-C"), dir.path().join("sub").into(), "test".into()];
        fs::create_dir(dir.path().join("sub")).unwrap();
        let here = of(&["test"]);
        assert_ne!(
            inputs(&gofix_shim::classify(&elsewhere, None::<&OsStr>), &env),
            here
        );
        assert_eq!(of(&["run", "a@latest"]), Inputs::Unknown);
        write("go.sum", "a v1.0.0 h1:x\na v1.0.0/go.mod h1:y\n");
        assert_ne!(of(&["test", "./..."]), before);
        let at = |file: &str| format!("cache/cache/download/a/@v/{file}");
        write(&at("v1.0.0.mod"), "module a\n");
        assert!(
            matches!(of(&["test", "./..."]), Inputs::Digest(_)),
            "the zip is missing"
        );
        write(&at("v1.0.0.zip"), "");
        assert_eq!(of(&["test", "./..."]), Inputs::Nothing, "all is there");
        assert!(
            matches!(of(&["test", "-mod=mod"]), Inputs::Digest(_)),
            "more may be looked for"
        );
        write("go.sum", "a v1.0.1 h1:x\n");
        write("vendor/modules.txt", "");
        assert_eq!(of(&["test", "./..."]), Inputs::Nothing, "vendored");
        // In a workspace every module of it counts.
        write("go.work", "go 1.22\n\nuse (\n\t. // this\n\t\"./other\"\n)\n");
        assert_eq!(of(&["test", "./..."]), Inputs::Unknown, "a module is missing");
        write("other/go.mod", "module other\n");
        let before = of(&["test", "./..."]);
        assert!(matches!(before, Inputs::Digest(_)));
        write("other/go.mod", "module other\nrequire a v1.0.0\n");
        assert_ne!(of(&["test", "./..."]), before);
        let before = of(&["test", "./..."]);
        write("go.work.sum", "a v1.0.0 h1:x\n");
        assert_ne!(of(&["test", "./..."]), before);
    }
}
