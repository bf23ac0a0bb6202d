//! What go said, handed over: how its streams are treated, and what ends an invocation.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use super::{
    End, Session,
    attempt::Outcome,
    child,
    streams::{Mode, write_all},
};
use crate::{diagnose::Diagnosis, policy::GaveUp, report::Event, text::errno_text};

/// The exit status where the last attempt was ended by gofix's clock.
const TIMED_OUT: i32 = 124;

impl Session<'_> {
    /// Writes what is left of the attempt that counts, stdout and stderr.
    /// `Some` where that itself ends the invocation.
    pub(super) fn deliver(&mut self, outcome: &mut Outcome) -> Option<End> {
        self.now.reporter.clear();
        // Go has ended, so that whoever stops or ends the writing means gofix.
        if let Some(signal) = self.now.signals.release() {
            return Some(End::asked(signal));
        }
        let stdout = outcome.stdout.deliver(io::stdout().as_fd());
        if let Err(error) = &stdout
            && !matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted
            )
            && !outcome.committed
            && !outcome.was_ended()
        {
            return Some(self.full(outcome, error));
        }
        let wrote = [
            stdout,
            write_all(io::stderr().as_fd(), &std::mem::take(&mut outcome.held)),
        ];
        let failed = |kind| {
            wrote
                .iter()
                .flat_map(|wrote| wrote.as_ref().err())
                .any(|error| error.kind() == kind)
        };
        if failed(io::ErrorKind::Interrupted) {
            return Some(End::asked(outcome.interrupted.unwrap_or(Signal::SIGINT)));
        }
        // Nobody reads any more: go's runtime ends itself then, even where
        // SIGPIPE was ignored when it started.
        failed(io::ErrorKind::BrokenPipe).then_some(End::Signal(libc::SIGPIPE))
    }

    /// Stdout could not be written for another reason than that nobody reads.
    /// What go says and how it ends then depends on the command and on how much
    /// it had to write. Where nothing has been written yet go does it all over,
    /// in this place: what it needs is in the module cache.
    fn full(&self, outcome: &Outcome, error: &io::Error) -> End {
        if outcome.stdout.delivered() == 0 {
            return End::Exec;
        }
        let words = format!("write /dev/stdout: {}\n", errno_text(error));
        // Where stderr is full as well nobody can be told.
        drop(write_all(io::stderr().as_fd(), words.as_bytes()));
        End::Code(1)
    }

    /// How the streams of this command are treated, and whether stdout and
    /// stderr are one file.
    pub(super) fn stream_mode(&self, prefetch: bool) -> (Mode, bool) {
        if prefetch {
            return (Mode::Ahead, false);
        }
        let live = ["x", "v", "n"].iter().any(|flag| self.switch(flag));
        let one_file = same_file() && self.writes_stdout();
        // Whoever asks what go does wants to see it while it does it. These write to stdout last of all.
        let answers_last = matches!(self.asked.invocation.words.as_slice(), ["list"] | ["mod", ..]);
        match (one_file, live) {
            (false, true) => (Mode::Live, false),
            (true, true) if answers_last => (Mode::Live, false),
            (true, _) => (Mode::HoldToEnd, true),
            (false, false) => (Mode::Hold, false),
        }
    }

    /// Commands that have something to say on stdout.
    fn writes_stdout(&self) -> bool {
        match self.asked.invocation.words.as_slice() {
            ["list"] | ["mod", "graph" | "why" | "verify"] => true,
            ["mod", "tidy"] => self.switch("diff"),
            ["vet"] => self.switch("json") || self.switch("diff"),
            _ => self.switch("json"),
        }
    }

    pub(super) fn give_up(&mut self, outcome: &mut Outcome, diagnosis: &Diagnosis, why: GaveUp) -> End {
        let delivered = self.deliver(outcome);
        if delivered == Some(End::Exec) {
            return End::Exec;
        }
        self.now.reporter.event(&Event::GaveUp {
            why,
            diagnosis: Some(diagnosis.clone()),
        });
        self.finished(outcome.status, false);
        if outcome.stalled.is_some() {
            return outcome.interrupted.map_or(End::Code(TIMED_OUT), End::asked);
        }
        delivered.unwrap_or_else(|| End::of(outcome.status))
    }

    pub(super) fn finished(&mut self, status: ExitStatus, ok: bool) {
        self.now.reporter.event(&Event::Finished {
            attempts: self.now.attempts,
            status: child::words(status),
            ok,
            took: self.asked.began.elapsed(),
        });
    }
}

/// Descriptors 1 and 2 are one file.
fn same_file() -> bool {
    let one = nix::sys::stat::fstat(io::stdout().as_fd());
    let two = nix::sys::stat::fstat(io::stderr().as_fd());
    matches!((one, two), (Ok(one), Ok(two)) if (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}
