//! Where the system shows nothing of another process there is nothing to
//! watch: no stall clock from outside, no lock that could be named. The relay
//! has clocks of its own on every system.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::sample::Sample;

#[derive(Debug)]
pub(super) struct Watch {
    go: i32,
}

impl Watch {
    pub(super) fn new(go: i32) -> Self {
        Self { go }
    }
    pub(super) fn sample(&mut self) -> Option<Sample> {
        None
    }
    pub(super) fn end(&self) {
        let _ = kill(Pid::from_raw(self.go), Signal::SIGKILL);
    }
    pub(super) fn end_leftovers(&self, _signal: Signal) {}
    pub(super) fn has_leftovers(&self) -> bool {
        false
    }
}

pub(super) fn inside_supervised() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use super::*;

    #[test]
    fn nothing_is_seen_and_go_can_be_ended() {
        let mut child = Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut watch = Watch::new(child.id().cast_signed());
        assert!(watch.sample().is_none());
        watch.end_leftovers(Signal::SIGTERM);
        assert!(!watch.has_leftovers() && !inside_supervised());
        watch.end();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
