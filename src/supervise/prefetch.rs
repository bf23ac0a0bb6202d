//! Fetches for a command that runs the user's code, before it runs.
//!
//! `go CMD -n ARGS` loads the packages and runs nothing. It is supervised as
//! any fetch and then the real command takes the place of this process, with
//! the user's own environment. So user code never runs twice.
//!
//! Known to be imperfect: a prefetch that ended well for the same inputs is
//! not made again, though a module may have been taken out of the cache by
//! hand since; then go fetches it as it does without gofix.

use std::{ffi::OsString, fmt::Write as _, fs, io, os::unix::ffi::OsStrExt};

use gofix_shim::Invocation;
use ring::digest::{Context, SHA256};

use super::{End, Session, Step, child, relaying::Relaying, tidy};
use crate::{
    config,
    goenv::GoEnv,
    repair::{self, ModCache},
    report::{Event, GaveUp},
};

/// Whether something may be missing for a carried command, and the digest of
/// its inputs where a prefetch that ends well may be remembered.
pub(super) fn is_needed(invocation: &Invocation, env: &GoEnv) -> bool {
    // What the flag names may run under `-n`, too.
    if invocation.program_flag.is_some() {
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
    let queries = operands.iter().any(|operand| operand.as_bytes().contains(&b'@'));
    if queries {
        return Inputs::Unknown;
    }
    let Some(go_mod) = tidy::main_module(invocation, env) else {
        return Inputs::Nothing;
    };
    let Some(root) = go_mod.parent() else {
        return Inputs::Unknown;
    };
    let Ok(text) = fs::read(&go_mod) else {
        return Inputs::Unknown;
    };
    let mode = tidy::flag(invocation, env, "mod");
    let work = env.get("GOWORK").0;
    let in_workspace =
        work != "off" && (!work.is_empty() || root.ancestors().any(|dir| dir.join("go.work").exists()));
    if mode.is_none() && !in_workspace {
        // Go's own default: the vendor folder, and nothing that no line requires.
        let requires = memchr::memmem::find(&text, b"require").is_some();
        if root.join("vendor/modules.txt").is_file() || !requires {
            return Inputs::Nothing;
        }
    }
    if in_workspace {
        return Inputs::Unknown;
    }
    let sum = fs::read(go_mod.with_extension("sum")).unwrap_or_default();
    let mut digest = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        digest.update(&part.len().to_le_bytes());
        digest.update(part);
    };
    add(&text);
    add(&sum);
    add(root.as_os_str().as_bytes());
    add(env.get("GOFLAGS").0.as_bytes());
    // What the program gets says nothing of what it needs.
    let program = operands
        .len()
        .saturating_sub(usize::from(invocation.is(&["run"]) || invocation.is(&["tool"])));
    let own = invocation.args.len() - if invocation.is(&["test"]) { 0 } else { program };
    for arg in invocation.args.iter().take(own) {
        add(arg.as_bytes());
    }
    for name in ["GOOS", "GOARCH", "CGO_ENABLED", "GOTOOLCHAIN"] {
        add(std::env::var_os(name).unwrap_or_default().as_bytes());
    }
    Inputs::Digest(
        digest
            .finish()
            .as_ref()
            .iter()
            .fold(String::new(), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            }),
    )
}

fn settings(env: &GoEnv) -> repair::Settings {
    repair::Settings {
        gomodcache: env.gomodcache(),
        ..repair::Settings::default()
    }
}

/// The command line of the prefetch: `-n` behind the command words and `-C`.
fn arguments(invocation: &Invocation) -> Vec<OsString> {
    let mut args = invocation.args.clone();
    args.insert(invocation.rest.min(args.len()), "-n".into());
    args
}

/// True for a line that belongs to the plan of `-n`: loading is over.
fn is_plan(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        // `# PACKAGE` stands over an error, too; the plan has a line of `#` alone before it.
        let speaks = line.starts_with(b"go: ")
            || line.starts_with(b"\t")
            || line.starts_with(b"# ")
            || line.is_empty();
        let is_error = memchr::memmem::find(line, b".go:").is_some() || line.starts_with(b"verifying ");
        !speaks && !is_error
    })
}

impl Session<'_> {
    /// Fetches what the command will need, then leaves the place to it.
    pub(super) async fn carry(&mut self) -> io::Result<End> {
        if is_needed(self.invocation, &self.env) {
            let end = self.prefetch().await?;
            if end != End::Exec {
                return Ok(end);
            }
        }
        // The port of the prefetch is closed before user code runs.
        self.relaying = None;
        if *self.config.relay == config::Relay::On
            && let Some(relaying) = self.start_relay(true, Vec::new())
        {
            return self.accompany(&relaying).await;
        }
        Ok(End::Exec)
    }

    async fn prefetch(&mut self) -> io::Result<End> {
        let args = arguments(self.invocation);
        let mut route = 0;
        loop {
            let plan = self.plan(route, args.clone());
            let Ok(mut outcome) = self.attempt(&plan, route, Some(is_plan)).await else {
                return Ok(End::Exec);
            };
            if let Some(signal) = outcome.interrupted {
                return Ok(match End::of(outcome.status) {
                    _ if outcome.ended_early => End::asked(signal),
                    End::Code(0) => End::asked(signal),
                    end => end,
                });
            }
            if outcome.killed() {
                return Ok(End::of(outcome.status));
            }
            if outcome.ok() || outcome.ended_early {
                self.finished(outcome.status, true);
                if let Inputs::Digest(digest) = inputs(self.invocation, &self.env) {
                    let cache = ModCache::open(settings(&self.env));
                    // A note less costs one prefetch more.
                    let _ = cache.and_then(|cache| cache.stamp(&digest));
                }
                return Ok(End::Exec);
            }
            let diagnosis = self.read(&mut outcome);
            let seen = self.seen(&outcome, &diagnosis).await;
            if let Some(signal) = self.interrupted {
                return Ok(End::asked(signal));
            }
            match self.wait_for_next(&diagnosis, seen).await {
                Step::Run(next) => route = next,
                Step::Signal(signal) => return Ok(End::asked(signal)),
                // go would hang where the clock has just ended it.
                Step::GiveUp(why) if outcome.stalled.is_some() => {
                    return self.give_up(outcome, &diagnosis, why);
                }
                // Every other failure is left to the real command's own words.
                Step::GiveUp(GaveUp::Final) => return Ok(End::Exec),
                Step::GiveUp(why) => {
                    self.reporter.event(&Event::GaveUp {
                        why,
                        diagnosis: Some(diagnosis),
                    });
                    return Ok(End::Exec);
                }
            }
        }
    }

    /// Runs the command with the relay in front of the user's own list. Its
    /// streams are gofix's own, and nothing of it is read or run again.
    async fn accompany(&mut self, relaying: &Relaying) -> io::Result<End> {
        let plan = child::Plan {
            args: self.invocation.args.clone(),
            changes: vec![("GOPROXY", relaying.relay.goproxy())],
        };
        crate::entry::child_starts();
        let sigchld = self.signals.sigchld_before();
        let mut running = child::Child::start(self.go, &plan, None, self.start, sigchld)?;
        loop {
            if let Some(status) = running.poll()? {
                return Ok(End::of(status));
            }
            running.signalled(self.signals.next().await?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path};

    use super::*;

    #[test]
    fn a_plan_is_told_from_errors_and_progress() {
        assert!(is_plan(b"#\n# internal/x\n"));
        assert!(is_plan(b"mkdir -p $WORK/b001/\n"));
        assert!(!is_plan(b"go: downloading a v1\n"));
        let failed = b"# example.com/main\nmain.go:5:2: a@v1.0.0: reading http://p/a/@v/v1.0.0.zip: 503 Service Unavailable\n\tserver response: x\n";
        assert!(!is_plan(failed), "go test -n says what could not be set up");
        assert!(!is_plan(b"# example.com/main\n"));
        assert!(!is_plan(b"main.go:3:8: a@v1: Get \"x\": EOF\n"));
    }

    #[test]
    fn inputs_decide_whether_a_prefetch_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("/"))).unwrap();
            fs::write(path, text).unwrap();
        };
        let env = GoEnv::load(&|_| None, None);
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
        assert_eq!(of(&["run", ".", "x"]), of(&["run", ".", "y", "z"]));
        assert_eq!(of(&["run", "a@latest"]), Inputs::Unknown);
        write("go.sum", "a v1.0.0 h1:x\n");
        assert_ne!(of(&["test", "./..."]), before);
        write("vendor/modules.txt", "");
        assert_eq!(of(&["test", "./..."]), Inputs::Nothing, "vendored");
    }
}
