//! One run of the real go, from start to end: its streams, its signals, its clock.

use std::{
    borrow::Cow,
    io,
    os::fd::AsFd,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use gofix_shim::{RealGo, StartState};
use nix::sys::signal::Signal;
use tokio::{net::unix::pipe::Receiver, sync::mpsc::UnboundedReceiver};

use crate::{
    relay::{Relay, Rewriter},
    report::{Direct, Event, Reporter, VcsRun},
    sys::{clock::SAMPLE, panics::caught},
};

use super::{
    child::{Child, Plan, Sinks, reap_orphans},
    pipe::{pipe, read_now},
    sample::{BlockedOn, Sample, Vcs},
    signals::{Arrived, Signals},
    stall::StallClock,
    streams::{Gate, KeptText, Mode, Spool, write_all},
    watch::Watch,
};

/// What an attempt needs to know.
pub(super) struct Setting<'a> {
    pub(super) go: &'a RealGo,
    pub(super) start: &'a StartState,
    pub(super) signals: &'a Signals,
    pub(super) mode: Mode,
    /// Descriptors 1 and 2 are one file, and the command writes to both.
    pub(super) one_file: bool,
    /// After how long without movement go is ended; `None`: never.
    pub(super) stall: Option<Duration>,
    /// When a wait for a lock is ended.
    pub(super) deadline: Instant,
    /// Puts the words of the relay back into the user's own, on stderr and stdout.
    pub(super) rewrite: [Option<Rewriter>; 2],
    /// The relay in between, and what it tells.
    pub(super) relay: Option<(&'a Relay, &'a mut UnboundedReceiver<Event>)>,
    /// Ends go as soon as stderr says something that satisfies this.
    pub(super) enough: Option<fn(&[u8]) -> bool>,
    /// Told of what happens while go runs.
    pub(super) reporter: &'a mut Reporter,
}

/// How an attempt ended, and what of it has not been shown yet.
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    /// For how long nothing had moved, where the clock ended it.
    pub(super) stalled: Option<Duration>,
    /// `Setting::enough` was satisfied, and go was ended for it.
    pub(super) ended_early: bool,
    /// Stderr for diagnosis.
    pub(super) text: Vec<u8>,
    /// Stdout, where it could be kept.
    pub(super) stdout: Spool,
    /// What stderr still holds.
    pub(super) held: Vec<u8>,
    /// Stdout could not be kept and was passed on: no other attempt may follow.
    pub(super) committed: bool,
    /// A child other than a VCS was seen: no other attempt may follow.
    pub(super) other_child: bool,
    /// The signal that asked for an end.
    pub(super) interrupted: Option<Signal>,
    pub(super) took: Duration,
}

impl Outcome {
    pub(super) fn ok(&self) -> bool {
        self.status.success() && self.stalled.is_none()
    }

    /// Somebody ended go or asked it to end, so that it is not to run again.
    pub(super) fn was_ended(&self) -> bool {
        self.interrupted.is_some() || self.stalled.is_some() || self.killed()
    }

    /// A signal ended go, and not one of gofix's own.
    pub(super) fn killed(&self) -> bool {
        self.status.signal().is_some() && self.stalled.is_none() && !self.ended_early
    }
}

/// Why there is no outcome.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was started.
    NotStarted(io::Error),
    /// gofix has lost sight of a go that was started.
    Lost(io::Error),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotStarted(error) | Failure::Lost(error) => error,
        }
    }
}

/// Runs go once.
pub(super) async fn run(plan: &Plan, setting: Setting<'_>) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let running = start(plan, setting, began).map_err(Failure::NotStarted)?;
    running.finish(began).await.map_err(Failure::Lost)
}

fn start<'a>(plan: &Plan, setting: Setting<'a>, began: Instant) -> io::Result<Running<'a>> {
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = if setting.one_file {
        (None, stdout_end.try_clone()?)
    } else {
        let (stderr, end) = pipe()?;
        (Some(stderr), end)
    };
    let sinks = Sinks {
        stdout: stdout_end,
        stderr: stderr_end,
    };
    super::guard::child_starts();
    let child = Child::start(
        setting.go,
        plan,
        Some(sinks),
        setting.start,
        setting.signals.before(),
    )?;
    let watch = Watch::new(child.pid().as_raw());
    Ok(Running {
        stdout: Some(stdout),
        stderr,
        gate: Gate::new(setting.mode),
        kept: KeptText::default(),
        spool: Spool::default(),
        committed: false,
        clock: setting.stall.map(StallClock::new),
        watch,
        child,
        sampled: began,
        stalled: None,
        ended_early: false,
        line: Vec::new(),
        other_child: false,
        interrupted: None,
        lock_wait: Duration::ZERO,
        lock_said: false,
        line_ended: true,
        has_child: false,
        vcs: None,
        read: 0,
        buffer: vec![0; 64 << 10],
        setting,
    })
}

/// The pipes of go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

struct Running<'a> {
    setting: Setting<'a>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    gate: Gate,
    kept: KeptText,
    spool: Spool,
    committed: bool,
    clock: Option<StallClock>,
    watch: Watch,
    child: Child,
    sampled: Instant,
    stalled: Option<Duration>,
    ended_early: bool,
    /// The line that has not ended yet, where lines are looked at.
    line: Vec<u8>,
    other_child: bool,
    interrupted: Option<Signal>,
    lock_wait: Duration,
    lock_said: bool,
    /// What was shown last is a whole line.
    line_ended: bool,
    /// go waits for a process of its own.
    has_child: bool,
    /// The version control program that go waits for, and since when it has had one.
    vcs: Option<(Vcs, Instant)>,
    /// Bytes read since the start.
    read: u64,
    buffer: Vec<u8>,
}

impl Running<'_> {
    async fn finish(mut self, began: Instant) -> io::Result<Outcome> {
        let status = loop {
            if let Some(status) = self.child.poll()? {
                break status;
            }
            self.turn().await?;
        };
        self.take_signals();
        // What go wrote is in the pipes by now. Whoever else holds them open
        // (a git that was left, a daemon) is not waited for.
        self.drain(Stream::Stdout);
        self.drain(Stream::Stderr);
        self.finish_rewrites();
        if self.stalled.is_some() || status.signal().is_some() {
            self.end_leftovers().await;
        }
        reap_orphans();
        if let Some((relay, events)) = self.setting.relay.as_mut() {
            while let Ok(event) = events.try_recv() {
                self.setting.reporter.event(&event);
            }
            let ahead = relay.take_ahead();
            if ahead.requests > 0 {
                self.setting.reporter.event(&Event::AskedAhead(ahead));
            }
        }
        self.setting.reporter.stop_waiting();
        Ok(Outcome {
            status,
            stalled: self.stalled,
            ended_early: self.ended_early,
            text: self.kept.into_text(),
            stdout: self.spool,
            held: self.gate.into_rest(),
            committed: self.committed,
            other_child: self.other_child,
            interrupted: self.interrupted,
            took: began.elapsed(),
        })
    }

    /// Takes the signals that have arrived although go has ended: one that the
    /// terminal sent to both may be why.
    fn take_signals(&mut self) {
        let end = self.setting.signals.settle();
        self.interrupted = self.interrupted.or(end);
    }

    /// Ends the git and ssh that go has left. They are asked first: git takes
    /// its lock files away, and both put a terminal back at which they asked
    /// for a password.
    async fn end_leftovers(&mut self) {
        let limit = Instant::now() + LEFTOVERS_HAVE;
        self.watch.end_leftovers(Signal::SIGTERM);
        while self.watch.has_leftovers() {
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.watch.end_leftovers(Signal::SIGKILL);
                return;
            }
            // The end of one shows as SIGCHLD.
            let _ = tokio::time::timeout(left, self.setting.signals.readable()).await;
            self.take_signals();
            reap_orphans();
        }
    }

    /// Waits for one thing to happen, and sees to it.
    async fn turn(&mut self) -> io::Result<()> {
        enum Happened {
            Signal(Arrived),
            Readable(Stream),
            Due,
            Sample,
            Told(Box<Event>),
        }
        let due = self.gate.due();
        let sample = self.sampled + self.clock.as_ref().map_or(SAMPLE, StallClock::period);
        let happened = tokio::select! {
            arrived = self.setting.signals.next() => Happened::Signal(arrived?),
            () = readable(self.stdout.as_ref()) => Happened::Readable(Stream::Stdout),
            () = readable(self.stderr.as_ref()) => Happened::Readable(Stream::Stderr),
            () = at(due) => Happened::Due,
            () = at(Some(sample)) => Happened::Sample,
            event = told(self.setting.relay.as_mut()) => Happened::Told(Box::new(event)),
        };
        match happened {
            Happened::Signal(arrived) => self.signalled(arrived)?,
            Happened::Readable(stream) => {
                self.take(stream);
            }
            Happened::Due => {
                let show = self.gate.expire(Instant::now());
                self.show(&show);
            }
            Happened::Sample => {
                self.sample();
                // Not over what go has begun to say, nor over the question of a git or ssh.
                if self.line_ended && !self.has_child {
                    self.show_progress();
                    self.setting.reporter.tick();
                } else {
                    self.setting.reporter.clear();
                }
            }
            Happened::Told(event) => self.setting.reporter.event(&event),
        }
        Ok(())
    }

    /// Shows what go waits for. What it fetches without the relay can only be seen from outside, and not once it compiles:
    /// then it waits for no server.
    fn show_progress(&mut self) {
        let relay = self.setting.relay.as_ref().map(|(relay, _)| relay.progress());
        let is_idle = relay.as_ref().is_none_or(|progress| progress.files == 0);
        if is_idle && (self.vcs.is_some() || (relay.is_none() && !self.other_child)) {
            let vcs = self.vcs.as_ref().map(|(vcs, began)| VcsRun {
                name: vcs.name.clone(),
                from: vcs.from.clone(),
                took: began.elapsed(),
            });
            self.setting.reporter.direct(&Direct { read: self.read, vcs });
        } else {
            self.setting.reporter.progress(&relay.unwrap_or_default());
        }
    }

    fn signalled(&mut self, arrived: Arrived) -> io::Result<()> {
        self.interrupted = arrived.end().or(self.interrupted);
        self.setting.reporter.clear();
        self.child.signalled(arrived)
    }

    fn drain(&mut self, stream: Stream) {
        while self.take(stream) {}
    }

    /// Takes what stands in a pipe. False where there is nothing, or no more.
    fn take(&mut self, stream: Stream) -> bool {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(receiver) = pipe.as_ref() else {
            return false;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let count = match read_now(receiver, &mut buffer) {
            Ok(0) => {
                *pipe = None;
                0
            }
            Ok(count) => count,
            Err(error) => {
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) {
                    *pipe = None;
                }
                0
            }
        };
        if count > 0 {
            if let Some(clock) = &mut self.clock {
                clock.reset();
            }
            self.took(stream, &buffer[..count]);
        }
        self.buffer = buffer;
        count > 0
    }

    fn took(&mut self, stream: Stream, bytes: &[u8]) {
        let slot = match stream {
            Stream::Stderr => &mut self.setting.rewrite[0],
            Stream::Stdout => &mut self.setting.rewrite[1],
        };
        let bytes = match slot {
            Some(rewrite) => {
                let mut settled = Vec::with_capacity(bytes.len());
                let held = rewrite.held().to_vec();
                if caught("rewrite", || rewrite.push(bytes, &mut settled)).is_none() {
                    *slot = None;
                    settled = [&held, bytes].concat();
                }
                Cow::Owned(settled)
            }
            None => Cow::Borrowed(bytes),
        };
        self.settled(stream, &bytes);
    }

    fn finish_rewrites(&mut self) {
        for (at, stream) in [Stream::Stderr, Stream::Stdout].into_iter().enumerate() {
            let mut rest = Vec::new();
            if let Some(rewrite) = &mut self.setting.rewrite[at] {
                let held = rewrite.held().to_vec();
                if caught("rewrite-end", || rewrite.finish(&mut rest)).is_none() {
                    rest = held;
                }
            }
            self.settled(stream, &rest);
        }
    }

    fn settled(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout && !self.setting.one_file {
            self.spool(bytes);
            return;
        }
        self.kept.push(bytes);
        let show = self.gate.push(bytes, Instant::now());
        self.show(&show);
        if self.setting.mode == Mode::HoldToEnd && self.gate.held() > 0 {
            let held = self.gate.take_held();
            self.spool(&held);
        }
        self.look_for_enough(bytes);
    }

    /// Ends a run at the first whole line that says it has come far enough.
    fn look_for_enough(&mut self, bytes: &[u8]) {
        let Some(enough) = self.setting.enough.filter(|_| !self.ended_early) else {
            return;
        };
        self.line.extend_from_slice(bytes);
        let Some(end) = memchr::memrchr(b'\n', &self.line) else {
            return;
        };
        let rest = self.line.split_off(end + 1);
        let whole = std::mem::replace(&mut self.line, rest);
        if caught("enough", || enough(&whole)) == Some(true) {
            self.ended_early = true;
            self.watch.end();
        }
    }

    fn spool(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.spool.push(bytes) {
            return;
        }
        // Nowhere to keep it: this attempt is the one that counts.
        self.setting.reporter.clear();
        let stdout = io::stdout();
        let fresh = !self.committed;
        self.committed = true;
        let written = if fresh {
            self.spool.deliver(stdout.as_fd())
        } else {
            write_all(stdout.as_fd(), bytes)
        };
        if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            // go finds out as it would have done: nobody reads any more.
            self.stdout = None;
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.setting.reporter.go_speaks();
        self.line_ended = *last == b'\n';
        let written = write_all(io::stderr().as_fd(), bytes);
        if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            // go finds out as it would have done: nobody reads any more.
            if self.setting.one_file {
                self.stdout = None;
            } else {
                self.stderr = None;
            }
        }
    }

    fn sample(&mut self) {
        let now = Instant::now();
        let took = now - self.sampled;
        self.sampled = now;
        let Some(Sample {
            bytes,
            blocked_on,
            other_child,
            vcs,
            busy,
        }) = caught("watch", || self.watch.sample()).flatten()
        else {
            return;
        };
        self.other_child |= other_child;
        let may_ask = vcs.as_ref().is_some_and(|vcs| vcs.may_ask);
        self.has_child = other_child || may_ask || matches!(blocked_on, BlockedOn::Child);
        let began = self.vcs.take().map_or(now, |(_, began)| began);
        self.vcs = vcs.map(|vcs| (vcs, began));
        self.read += bytes;
        // The relay has clocks of its own for what go waits for there.
        let relayed = self
            .setting
            .relay
            .as_ref()
            .is_some_and(|(relay, _)| relay.is_busy());
        match blocked_on {
            BlockedOn::Nothing if relayed => self.rest_clock(),
            // A machine that is short of processors is no server that is silent.
            BlockedOn::Nothing if busy => {}
            BlockedOn::Nothing => {
                self.lock_wait = Duration::ZERO;
                let struck = self.clock.as_mut().and_then(|clock| clock.sample(took, bytes));
                if struck.is_some() && self.stalled.is_none() {
                    self.stalled = struck;
                    self.watch.end();
                }
            }
            BlockedOn::Child => self.rest_clock(),
            BlockedOn::Lock { path, holder } => {
                self.rest_clock();
                self.lock_wait += took;
                let path = path.map_or_else(|| "a file".into(), |path| path.to_string_lossy().into_owned());
                if !self.lock_said
                    && self.lock_wait >= LOCK_PATIENCE.min(self.setting.deadline - self.sampled)
                {
                    self.lock_said = true;
                    self.setting
                        .reporter
                        .event(&Event::LockWait { path, pid: holder });
                }
                if now >= self.setting.deadline && self.stalled.is_none() {
                    self.stalled = Some(self.lock_wait);
                    self.watch.end();
                }
            }
        }
    }

    fn rest_clock(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.reset();
        }
    }
}

/// How long what go has left may take to end by itself.
const LEFTOVERS_HAVE: Duration = Duration::from_secs(2);

/// How long a wait for a lock goes without a word.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

async fn readable(pipe: Option<&Receiver>) {
    match pipe {
        // An error shows again, and is seen to, where the pipe is read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

async fn told(relay: Option<&mut (&Relay, &mut UnboundedReceiver<Event>)>) -> Event {
    if let Some((_, events)) = relay
        && let Some(event) = events.recv().await
    {
        return event;
    }
    std::future::pending().await
}
