//! Runs the programs that GOAUTH names: where go would, with what go would set for them, and without a terminal.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::sys::run::{self, Ended};

/// Go waits for ever; where this is over, go is left to do so.
const LIMIT: Duration = Duration::from_secs(60);
/// Go's answer to a question about its own settings.
const SETTINGS: Duration = Duration::from_secs(10);

/// Programs that run at the same time.
const AT_ONCE: usize = 8;

/// The variables that go sets for every program it runs (`cmd/go/internal/envcmd.MkEnv`), but for GOTOOLCHAIN.
const VARIABLES: &[&str] = &[
    "AR",
    "CC",
    "CGO_ENABLED",
    "CXX",
    "GCCGO",
    "GO111MODULE",
    "GO386",
    "GOAMD64",
    "GOARCH",
    "GOARM",
    "GOARM64",
    "GOAUTH",
    "GOBIN",
    "GOCACHE",
    "GOCACHEPROG",
    "GODEBUG",
    "GOENV",
    "GOEXE",
    "GOEXPERIMENT",
    "GOFIPS140",
    "GOFLAGS",
    "GOHOSTARCH",
    "GOHOSTOS",
    "GOINSECURE",
    "GOMIPS",
    "GOMIPS64",
    "GOMODCACHE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOOS",
    "GOPATH",
    "GOPPC64",
    "GOPRIVATE",
    "GOPROXY",
    "GORISCV64",
    "GOROOT",
    "GOSUMDB",
    "GOTELEMETRY",
    "GOTELEMETRYDIR",
    "GOTMPDIR",
    "GOTOOLDIR",
    "GOVCS",
    "GOVERSION",
    "GOWASM",
];
/// And those by which it keeps git from asking at the terminal.
const NO_PROMPT: [(&str, &str); 2] = [("GIT_TERMINAL_PROMPT", "0"), ("GCM_INTERACTIVE", "never")];

/// What programs are run with.
#[derive(Debug)]
pub struct Helpers {
    go: PathBuf,
    dir: PathBuf,
    toolchain: OsString,
    variables: OnceLock<Vec<(String, String)>>,
    slots: Semaphore,
}

impl Helpers {
    /// As `go` runs them in `dir`; `toolchain` is the effective GOTOOLCHAIN.
    #[must_use]
    pub fn new(go: PathBuf, dir: PathBuf, toolchain: OsString) -> Self {
        Self {
            go,
            dir,
            toolchain,
            variables: OnceLock::new(),
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// The output of a program that ends well.
    pub(super) async fn run(
        self: &Arc<Self>,
        words: &[&str],
        dir: Option<&Path>,
        input: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let helpers = Arc::clone(self);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let dir = dir.map(Path::to_path_buf);
        // Not the runtime's own threads: names are looked up there.
        let _slot = self.slots.acquire().await.ok()?;
        let (send, said) = oneshot::channel();
        std::thread::Builder::new()
            .name("gofix-goauth".to_owned())
            .spawn(move || drop(send.send(helpers.run_now(&words, dir.as_deref(), input))))
            .ok()?;
        said.await.ok()?
    }

    fn run_now(&self, words: &[String], dir: Option<&Path>, input: Vec<u8>) -> Option<Vec<u8>> {
        let (name, args) = words.split_first()?;
        let mut command = Command::new(look_up(name, &self.dir)?);
        command
            .arg0(name)
            .args(args)
            .current_dir(dir.unwrap_or(&self.dir))
            .envs(self.variables.get_or_init(|| self.ask_go()).iter().cloned())
            .env("GOTOOLCHAIN", &self.toolchain);
        if let Some(dir) = dir {
            command.env("PWD", dir);
        }
        for (name, value) in NO_PROMPT {
            if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
                command.env(name, value);
            }
        }
        said(run::with_input(LIMIT, command, input))
    }

    /// What go would set. The toolchain that is there is asked, so that nothing is fetched for this.
    fn ask_go(&self) -> Vec<(String, String)> {
        let mut command = Command::new(&self.go);
        command
            .args(["env", "-json"])
            .args(VARIABLES)
            .env("GOTOOLCHAIN", "local")
            .current_dir(&self.dir);
        let output = said(run::within(SETTINGS, command, None)).unwrap_or_default();
        let values: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&output).unwrap_or_default();
        let set = |(name, value): (String, serde_json::Value)| {
            let value = value.as_str()?.to_owned();
            // Go leaves alone what is as it should be, and that may be missing.
            (!value.is_empty() || std::env::var_os(&name).is_some()).then_some((name, value))
        };
        values.into_iter().filter_map(set).collect()
    }
}

fn said(ended: Ended) -> Option<Vec<u8>> {
    match ended {
        Ended::Said(output, Some(status)) if status.success() => Some(output),
        _ => None,
    }
}

/// Go's `exec.LookPath`, which runs nothing that a relative entry of PATH leads to.
fn look_up(name: &str, dir: &Path) -> Option<PathBuf> {
    let can_run =
        |file: &PathBuf| file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Some(dir.join(name)).filter(can_run);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|entry| can_run(&dir.join(entry).join(name)))?;
    found.is_absolute().then(|| found.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_looked_for_in_the_folder_alone() {
        let dir = Path::new("/bin");
        assert_eq!(look_up("./sh", dir), Some(PathBuf::from("/bin/./sh")));
        assert_eq!(look_up("/bin/sh", dir), Some(PathBuf::from("/bin/sh")));
        // What cannot be run is not started: that is told apart before a process is made for it.
        assert_eq!(look_up("./no-such-program-anywhere", dir), None);
        assert!(look_up("sh", dir).is_some_and(|found| found.is_absolute()));
        assert_eq!(look_up("no-such-program-anywhere", dir), None);
    }
}
