//! Asks git itself, once, where go has dropped its words.
//!
//! For a path with `.git` in it go tries `git ls-remote` by https, git+ssh and ssh and says `no secure protocol found
//! for repository`, whatever git said. That may be an answer or one reset connection, so the same is asked again, as go
//! asks it: in the module cache, with the same environment, and without a prompt.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::diagnose::{Diagnosis, Fault, Hint, Input, Verdict, diagnose};

use super::{Session, tidy};

/// How long git may take by one protocol.
const TIME: Duration = Duration::from_secs(15);

/// More than this is not read of what it says.
const SAID: u64 = 64 * 1024;

/// So many repositories are asked where go does not name the one that it means.
const CANDIDATES: usize = 3;

impl Session<'_> {
    /// What git says about a repository that go could reach by no protocol. `None` where a diagnosis speaks of none,
    /// or git reaches it now.
    pub(super) async fn ask_git(&mut self, diagnosis: &Diagnosis) -> Option<Diagnosis> {
        let unexplained = |fault: &&Fault| fault.hint == Some(Hint::NoSecureProtocol);
        let fault = diagnosis.faults.iter().find(unexplained)?;
        let candidates = match (&fault.module, &fault.version) {
            (Some(module), Some(version)) => vec![format!("{module}@{version}")],
            (Some(module), None) => vec![module.clone()],
            // `go mod download M` says nothing but `no secure protocol found for repository`.
            (None, _) => self.modules_with_a_vcs(),
        };
        for module in candidates.iter().take(CANDIDATES) {
            if let Some(words) = self.ask_about(module).await {
                return Some(words);
            }
        }
        None
    }

    async fn ask_about(&mut self, module: &str) -> Option<Diagnosis> {
        let (repository, _) = module.split_once(".git")?;
        let secure = self.ask_by("https", repository, module).await?;
        if matches!(secure.verdict, Verdict::Retry | Verdict::Switch) {
            return Some(secure);
        }
        // Who has no password for https may have a key for ssh, and go has tried that too.
        let over_ssh = self.ask_by("ssh", repository, module).await?;
        let broke = over_ssh.verdict == Verdict::Retry && over_ssh.faults.iter().all(|fault| !fault.nobody);
        Some(if broke { over_ssh } else { secure })
    }

    /// Modules whose path names a git repository: on the command line, then in go.mod.
    fn modules_with_a_vcs(&self) -> Vec<String> {
        let typed = self
            .asked
            .invocation
            .args
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned());
        let go_mod = tidy::main_module(self.asked.invocation, &self.asked.env)
            .and_then(|path| fs::read_to_string(path).ok());
        let go_mod = go_mod.unwrap_or_default();
        let required = go_mod
            .split_whitespace()
            .map(|word| word.trim_matches('"').to_owned());
        let names_git = |word: &String| {
            let path = word.split('@').next().unwrap_or_default();
            path.contains('/')
                && (path.ends_with(".git") || path.contains(".git/"))
                && !path.starts_with(['-', '.', '/'])
        };
        let mut modules: Vec<String> = typed.chain(required).filter(names_git).collect();
        let mut seen = HashSet::new();
        modules.retain(|module| seen.insert(module.split('@').next().unwrap_or_default().to_owned()));
        modules
    }

    /// Asks by one protocol. `None` where git is content, cannot be asked, or a signal has asked for an end.
    async fn ask_by(&mut self, protocol: &str, repository: &str, module: &str) -> Option<Diagnosis> {
        let url = format!("{protocol}://{repository}");
        let left = self.asked.budget.checked_sub(self.asked.began.elapsed())?;
        let mut command = Command::new("git");
        command.args(["ls-remote", &url]);
        if let Some(cache) = self.asked.env.gomodcache().filter(|cache| cache.is_dir()) {
            command.current_dir(cache);
        }
        let before = self.now.signals.before().clone();
        #[expect(unsafe_code, reason = "what std has no word for between fork and exec")]
        // SAFETY: only async-signal-safe system calls.
        unsafe {
            command.pre_exec(move || {
                before.restore();
                // Without a terminal neither git nor ssh can ask anybody.
                nix::unistd::setsid()?;
                Ok(())
            });
        }
        let (child, said) = start(command).ok()?;
        let group = Pid::from_raw(child.id().cast_signed());
        let asked = tokio::task::spawn_blocking(move || listen(child, said));
        tokio::pin!(asked);
        let end = Instant::now() + TIME.min(left);
        let (status, said) = loop {
            let pause = end.saturating_duration_since(Instant::now());
            tokio::select! {
                answer = &mut asked => break answer.ok()?.ok()?,
                () = tokio::time::sleep(pause) => {
                    // What is gone already needs no signal.
                    let _ = killpg(group, Signal::SIGKILL);
                    break asked.await.ok()?.ok()?;
                }
                _ = self.now.signals.readable() => {
                    self.now.interrupted = self.now.signals.settle();
                    if self.now.interrupted.is_some() {
                        let _ = killpg(group, Signal::SIGKILL);
                        return None;
                    }
                }
            }
        };
        (!status.success()).then(|| read(module, &url, status, &said))
    }
}

/// Starts git with go's settings against prompts.
fn start(mut command: Command) -> io::Result<(std::process::Child, impl Read + Send + 'static)> {
    for (name, value) in [("GIT_TERMINAL_PROMPT", "0"), ("GCM_INTERACTIVE", "never")] {
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            command.env(name, value);
        }
    }
    let mut child = command
        .env("SSH_ASKPASS_REQUIRE", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, said))
}

/// Hears git out.
fn listen(mut child: std::process::Child, said: impl Read) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut text = Vec::new();
    said.take(SAID).read_to_end(&mut text)?;
    Ok((child.wait()?, text))
}

/// Reads git's words in the frame that go puts around them.
fn read(module: &str, url: &str, status: ExitStatus, said: &[u8]) -> Diagnosis {
    let kind = if module.contains('@') { "" } else { "module " };
    let ended = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => "signal: killed".to_owned(),
    };
    let mut text = format!("go: {kind}{module}: git ls-remote {url}: {ended}:\n");
    for line in String::from_utf8_lossy(said).lines() {
        text.push('\t');
        text.push_str(line);
        text.push('\n');
    }
    diagnose(&Input {
        stderr: text.as_bytes(),
        stdout_json: None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn gits_words_are_read_as_gos_would_be() {
        let url = "https://h.example/a/b";
        let words =
            b"fatal: unable to access 'https://h.example/a/b/': Recv failure: Connection reset by peer\n";
        let said = |module: &str, status, words: &[u8]| {
            let diagnosis = read(module, url, ExitStatus::from_raw(status), words);
            (diagnosis.verdict, diagnosis.faults[0].module.clone().unwrap())
        };
        let module = "h.example/a/b.git".to_owned();
        assert_eq!(
            said("h.example/a/b.git@v1.0.0", 128 << 8, words),
            (Verdict::Retry, module.clone())
        );
        assert_eq!(
            said("h.example/a/b.git", 128 << 8, words),
            (Verdict::Retry, module.clone())
        );
        // Ended when its time was over.
        assert_eq!(
            said("h.example/a/b.git", libc::SIGKILL, b""),
            (Verdict::Retry, module)
        );
    }
}
