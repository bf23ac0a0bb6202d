//! Watches a go from outside: does it still move, and what does it wait for?
//!
//! go has no clock of its own once a connection is up. What it reads
//! (`rchar` of `/proc/PID/io`) is exactly nothing while a server is silent;
//! the growth of the cache and cpu time mislead.
//!
//! Known limitations: only Linux shows these numbers, so elsewhere there
//! is no stall clock from outside (the relay has its own). A credential
//! helper, a pager or a shell that go starts keeps the clock from striking,
//! however long it takes.

use std::{collections::HashMap, fs, sync::OnceLock};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getsid},
};

use super::sample::{BlockedOn, Sample, Vcs};
use crate::sys::proc;

/// The processes of one attempt.
#[derive(Debug)]
pub(super) struct Watch {
    go: i32,
    /// `None` where /proc shows the processes of another pid namespace: then
    /// the numbers in it are not those that kill(2) and wait(2) know.
    session: Option<Pid>,
    read: HashMap<i32, u64>,
}

impl Watch {
    pub(super) fn new(go: i32) -> Self {
        Self {
            go,
            session: getsid(None).ok().filter(|_| proc_is_ours()),
            read: HashMap::new(),
        }
    }

    /// Takes a sample. `None` where the system shows nothing.
    pub(super) fn sample(&mut self) -> Option<Sample> {
        self.session?;
        let processes = self.processes();
        let mut bytes = 0;
        for process in &processes {
            let Some((now, _)) = proc::bytes_moved(process.pid) else {
                if process.pid == self.go {
                    return None;
                }
                continue;
            };
            let before = self.read.insert(process.pid, now).unwrap_or(0);
            bytes += now.saturating_sub(before);
        }
        let other_child = processes
            .iter()
            .any(|process| process.pid != self.go && !process.is_vcs() && !process.is_go());
        let at_terminal = processes.iter().any(|process| reads_terminal(process.pid));
        let blocked_on = if other_child || at_terminal || is_stopped(self.go) {
            BlockedOn::Child
        } else {
            lock_wait(&processes).unwrap_or(BlockedOn::Nothing)
        };
        let busy = processes.iter().any(|process| is_busy(process.pid));
        Some(Sample {
            bytes,
            blocked_on,
            other_child,
            vcs: vcs(&processes),
            busy,
        })
    }

    /// Ends go and what it started, sessions of their own excepted. A VCS is
    /// asked to end, so that it can take its lock files away.
    pub(super) fn end(&self) {
        let processes = self.processes();
        let _ = kill(Pid::from_raw(self.go), Signal::SIGKILL);
        for process in processes {
            let signal = if process.is_vcs() {
                Signal::SIGTERM
            } else {
                Signal::SIGKILL
            };
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
    }

    /// Sends `signal` to the git, hg, svn and ssh that a go which is no more
    /// has left.
    pub(super) fn end_leftovers(&self, signal: Signal) {
        for process in self.leftovers() {
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
    }

    /// True while one of them is there.
    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers().is_empty()
    }

    fn leftovers(&self) -> Vec<Process> {
        let me = std::process::id().cast_signed();
        let mut left = Vec::new();
        if self.session.is_some() {
            let is_ours = |pid| !own_children().contains(&(pid, started(pid)));
            for child in children(me).filter(|pid| is_ours(*pid)) {
                collect_from(child, self.session, &mut left);
            }
        }
        left.retain(|process| process.is_vcs() && state(process.pid) != Some('Z'));
        left
    }

    fn processes(&self) -> Vec<Process> {
        let mut found = vec![Process {
            pid: self.go,
            name: String::new(),
        }];
        if self.session.is_some() {
            collect(self.go, self.session, &mut found);
        }
        found
    }
}

#[derive(Debug)]
struct Process {
    pid: i32,
    name: String,
}

impl Process {
    /// A VCS or its transport. The names are cut to 15 bytes by the kernel.
    fn is_vcs(&self) -> bool {
        let name = self.name.as_str();
        let vcs = ["git", "hg", "svn", "fossil", "bzr", "ssh"].contains(&name)
            || name.starts_with("git-")
            || name.starts_with("svn");
        vcs && !name.starts_with("git-credential")
    }

    /// It may ask somebody. go forbids git to, unless the user allows it, but not ssh.
    fn may_ask(&self) -> bool {
        let has_terminal = proc::stat_word(self.pid, 4).is_some_and(|terminal| terminal != "0");
        let is_git = self.name.starts_with("git");
        let is_forbidden =
            || proc::variable(self.pid, "GIT_TERMINAL_PROMPT").is_some_and(|value| value == "0");
        has_terminal && !(is_git && is_forbidden())
    }

    /// The repository that it was started for.
    fn remote(&self) -> Option<String> {
        let words = proc::arguments(self.pid).into_iter().skip(1);
        words
            .map(|word| word.to_string_lossy().into_owned())
            .find(|word| self.is_remote(word))
    }

    /// A setting, `http.https://host/.extraHeader=Authorization: ...`, holds a URL and may hold a secret, but is none.
    fn is_remote(&self, word: &str) -> bool {
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'+';
        let scheme = word.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| scheme.bytes().all(is_letter))
            || (self.name == "ssh" && word.contains('@') && !word.starts_with('-') && !word.contains('='))
    }

    /// A version manager's script may start the real go without exec.
    fn is_go(&self) -> bool {
        self.name == "go"
    }
}

/// The version control program among them that go itself has started: the first.
fn vcs(processes: &[Process]) -> Option<Vcs> {
    let programs = || processes.iter().filter(|process| process.is_vcs());
    Some(Vcs {
        name: programs().next()?.name.clone(),
        from: programs().find_map(Process::remote),
        may_ask: programs().any(Process::may_ask),
    })
}

/// Adds the descendants of `pid` that are in `session`.
fn collect(pid: i32, session: Option<Pid>, found: &mut Vec<Process>) {
    for child in children(pid) {
        collect_from(child, session, found);
    }
}

/// Adds a process and its descendants, where they are in `session`.
fn collect_from(pid: i32, session: Option<Pid>, found: &mut Vec<Process>) {
    if found.len() > 4096 || getsid(Some(Pid::from_raw(pid))).ok() != session {
        return;
    }
    let name = proc::name(pid).unwrap_or_default();
    found.push(Process { pid, name });
    collect(pid, session, found);
}

/// The children of all threads of a process.
fn children(pid: i32) -> impl Iterator<Item = i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| {
        let pids = list.split_ascii_whitespace().filter_map(|word| word.parse().ok());
        pids.collect::<Vec<i32>>()
    })
}

/// When a process was started, in ticks since the system was.
fn started(pid: i32) -> Option<u64> {
    proc::stat_word(pid, 19)?.parse().ok()
}

/// The children that this process had before it started any: an `exec go …`
/// keeps those of the script, an ssh with a tunnel among them.
fn own_children() -> &'static [(i32, Option<u64>)] {
    static OWN: OnceLock<Vec<(i32, Option<u64>)>> = OnceLock::new();
    OWN.get_or_init(|| {
        children(std::process::id().cast_signed())
            .map(|pid| (pid, started(pid)))
            .collect()
    })
}

/// Takes note of the children that are there now. Called before the first is
/// started.
pub(super) fn note_own_children() {
    own_children();
}

/// A thread of the process runs, would run if it had a processor, or waits for
/// a disk.
fn is_busy(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, fields)| fields.trim_start().chars().next());
        matches!(state, Some('R' | 'D'))
    })
}

/// A process that stands in a read of a terminal: somebody is being asked.
fn reads_terminal(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("tty_read"))
        || blocked_read(pid).is_some_and(|fd| {
            fs::read_link(format!("/proc/{pid}/fd/{fd}"))
                .is_ok_and(|path| path.starts_with("/dev/pts") || path.starts_with("/dev/tty"))
        })
}

/// The descriptor that a process waits to read from, where the kernel tells.
fn blocked_read(pid: i32) -> Option<u64> {
    const READ: &str = if cfg!(target_arch = "x86_64") { "0" } else { "63" };
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut words = call.split_ascii_whitespace();
    (words.next()? == READ).then_some(())?;
    u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()
}

/// The lock that one of the processes waits for.
fn lock_wait(processes: &[Process]) -> Option<BlockedOn> {
    let flocks = proc::flocks();
    let is_ours = |pid| processes.iter().any(|process| process.pid == pid);
    let waiting = flocks.iter().find(|flock| flock.waits && is_ours(flock.pid))?;
    let holder = flocks.iter().find(|flock| !flock.waits && flock.id == waiting.id);
    Some(BlockedOn::Lock {
        path: waiting.path(),
        holder: holder.map(|flock| flock.pid),
    })
}

/// True where an ancestor of this process is a gofix that supervises, this
/// file or another copy of it: then this command belongs to that one's attempt
/// and is passed through.
pub(super) fn inside_supervised() -> bool {
    if !proc_is_ours() {
        return false;
    }
    let mut pid = nix::unistd::getppid().as_raw();
    for _ in 0..256 {
        if pid <= 0 {
            return false;
        }
        if supervises(pid) {
            return true;
        }
        let Some(parent) = proc::parent(pid) else {
            return false;
        };
        pid = parent;
    }
    false
}

/// A gofix that supervises has given itself this name (15 bytes at most); exec
/// takes it away again.
pub(super) const SUPERVISOR: &std::ffi::CStr = c"gofix-supervise";

fn supervises(pid: i32) -> bool {
    proc::name(pid).is_some_and(|name| name.as_bytes() == SUPERVISOR.to_bytes())
}

/// `R`, `S`, `D`, `T` (stopped), `t` (traced), `Z` (dead, not yet reaped) and so on.
fn state(pid: i32) -> Option<char> {
    proc::stat_word(pid, 0)?.chars().next()
}

/// Somebody has stopped it, or traces it.
fn is_stopped(pid: i32) -> bool {
    matches!(state(pid), Some('T' | 't'))
}

/// True where /proc is of the pid namespace that this process is in.
fn proc_is_ours() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|link| link.as_os_str().to_str() == Some(&std::process::id().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str) -> Process {
        Process {
            pid: 1,
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_setting_of_git_or_ssh_is_no_remote() {
        for (name, word, is_remote) in [
            ("git", "https://host/a/b", true),
            ("git", "git+ssh://git@host/a", true),
            ("ssh", "git@host", true),
            (
                "git",
                "http.https://host/.extraHeader=Authorization: Basic c2VjcmV0",
                false,
            ),
            ("git", "url.https://t0ken@host/.insteadOf=https://host/", false),
            ("ssh", "ProxyCommand=connect -a me:secret@proxy %h %p", false),
            ("ssh", "-oProxyCommand=connect -a me:secret@proxy", false),
        ] {
            assert_eq!(process(name).is_remote(word), is_remote, "{name} {word}");
        }
    }

    #[test]
    fn names_of_vcs() {
        let vcs = |name: &str| process(name).is_vcs();
        assert!(
            ["git", "git-remote-http", "ssh", "hg", "svn"]
                .into_iter()
                .all(vcs)
        );
        assert!(
            !["compile", "git-credential-", "sh", "gcc", "ssh-askpass"]
                .into_iter()
                .any(vcs)
        );
    }

    #[test]
    fn a_process_that_was_stopped_is_not_ended_for_it() {
        use nix::sys::wait::{WaitPidFlag, waitpid};
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "kill -STOP $$; read line < /dev/null"])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        let sample = Watch::new(pid.as_raw()).sample().unwrap();
        kill(pid, Signal::SIGCONT).unwrap();
        child.wait().unwrap();
        assert_eq!(sample.blocked_on, BlockedOn::Child);
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id().cast_signed();
        assert_eq!(proc::parent(me), Some(nix::unistd::getppid().as_raw()));
        assert!(!inside_supervised());
    }
}
