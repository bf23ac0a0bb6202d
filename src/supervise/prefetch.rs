//! Fetches for a command that runs the user's code, before it runs.
//!
//! `go CMD -n ARGS` loads the packages and runs nothing. It is supervised as
//! any fetch and then the real command takes the place of this process, with
//! the user's own environment. So user code never runs twice.

use std::{ffi::OsString, io};

use gofix_shim::Invocation;

use super::{End, Session, Step};
use crate::{goenv::GoEnv, report::GaveUp};

/// Whether something may be missing.
pub(super) fn is_needed(invocation: &Invocation, env: &GoEnv) -> bool {
    let _ = env;
    invocation.program_flag.is_none()
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
        let speaks = line.starts_with(b"go: ") || line.starts_with(b"\t") || line.is_empty();
        let is_error = memchr::memmem::find(line, b".go:").is_some() || line.starts_with(b"verifying ");
        !speaks && !is_error
    })
}

impl Session<'_> {
    /// Fetches what the command will need, then leaves the place to it.
    pub(super) async fn prefetch(&mut self) -> io::Result<End> {
        let args = arguments(self.invocation);
        let mut route = 0;
        loop {
            let plan = self.plan(route, args.clone());
            let Ok(mut outcome) = self.attempt(&plan, route, Some(is_plan)).await else {
                return Ok(End::Exec);
            };
            if let Some(signal) = outcome.interrupted {
                return Ok(End::Signal(signal as i32));
            }
            if outcome.ok() || outcome.ended_early {
                self.finished(outcome.status, true);
                return Ok(End::Exec);
            }
            let diagnosis = self.read(&mut outcome);
            let seen = self.seen(&outcome, &diagnosis).await;
            match self.wait_for_next(&diagnosis, seen).await {
                Step::Run(next) => route = next,
                Step::Signal(signal) => return Ok(End::Signal(signal as i32)),
                // go would hang where the clock has just ended it.
                Step::GiveUp(why) if outcome.stalled.is_some() => {
                    return self.give_up(outcome, &diagnosis, why);
                }
                // Every other failure is left to the real command's own words.
                Step::GiveUp(GaveUp::Final) => return Ok(End::Exec),
                Step::GiveUp(why) => {
                    self.reporter.event(&crate::report::Event::GaveUp {
                        why,
                        diagnosis: Some(diagnosis),
                    });
                    return Ok(End::Exec);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_told_from_errors_and_progress() {
        assert!(is_plan(b"#\n# internal/x\n"));
        assert!(is_plan(b"mkdir -p $WORK/b001/\n"));
        assert!(!is_plan(b"go: downloading a v1\n"));
        assert!(!is_plan(b"main.go:3:8: a@v1: Get \"x\": EOF\n"));
    }
}
