//! Runs the real go: attempts, child, streams, signals.
//!
//! The loop is `Session::attempts_to_the_end`: run, watch, diagnose, mend, next
//! route, back off, run again. What an attempt said is diagnosed by
//! `diagnose`, what comes next is decided by `policy`, the cache is mended by
//! `repair`, and everything that happens is told to `report`.
//!
//! Known to be imperfect: the budget keeps anything new from starting and
//! ends a wait for a lock, but a go that moves is not ended by it, since a
//! long build is no fault.

mod attempt;
mod child;
mod git;
mod guard;
mod look;
mod mending;
mod pipe;
mod prefetch;
mod relaying;
mod routes;
mod signals;
mod stall;
mod streams;
mod tidy;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(not(target_os = "linux"))]
#[path = "watch_other.rs"]
mod watch;
// Compiled and tried where nobody needs it, so that it stays right.
#[cfg(all(test, target_os = "linux"))]
mod watch_other;

use std::{
    ffi::OsString,
    io,
    os::fd::AsFd,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant, SystemTime},
};

use gofix_shim::{Invocation, RealGo, StartState, Treatment, classify};
use nix::sys::signal::Signal;

pub use self::guard::{go, take_over};
pub use self::routes::Routes;
use self::{
    attempt::{Failure, Outcome, Setting},
    child::Plan,
    mending::Mended,
    relaying::Relaying,
    signals::Signals,
    streams::{Mode, write_all},
    tidy::Snapshot,
};
use crate::{
    config::{Config, Flags, Warning},
    diagnose::{Diagnosis, Fault, FaultKind, Input, Verdict, diagnose},
    go::{env::GoEnv, proxy_list::ProxyList},
    policy::{GaveUp, Next, Policy, Seen},
    repair::ModuleVersion,
    report::{Event, Reporter, Settings},
    sys::panics::{caught, caught_async},
};

/// The exit status where the last attempt was ended by gofix's clock.
const TIMED_OUT: i32 = 124;

/// The exit status of a go that was sent QUIT, and of one that is pid 1 for
/// every signal that ends it.
const GO_QUIT: i32 = 2;

/// The exit status of a command line that cannot be understood, as go has it.
const USAGE: i32 = 2;

/// `list` with neither a terminal nor CI around is an editor: it has this long for whatever plain go would not do.
const EDITOR_BUDGET: Duration = Duration::from_secs(30);

/// Runs a go command and returns the exit status. `flags` are settings from
/// gofix's own command line, on top of files and variables. Where go was ended
/// by a signal this process ends by the same one.
pub fn run(invocation: &Invocation, go: &RealGo, flags: &Flags, start: &StartState) -> i32 {
    let began = Instant::now();
    if watch::inside_supervised() {
        return go.exec(&invocation.args, start);
    }
    let env = GoEnv::load(&|name| std::env::var_os(name), Some(&go.path));
    // What gofix cannot read as go does it cannot write down for go either.
    if env.is_unread() || env.get("GOPROXY").0.to_str().is_none() {
        return go.exec(&invocation.args, start);
    }
    let (mut config, warnings) = Config::load(&|name| std::env::var_os(name));
    if let Err(wrong) = config.apply(flags) {
        crate::report::out::message(&wrong.to_string());
        return USAGE;
    }
    // The shim knows GOFLAGS of the environment only.
    let invocation = &classify(&invocation.args, Some(&env.get("GOFLAGS").0));
    if builds_onto_stdout(invocation, &env) {
        return go.exec(&invocation.args, start);
    }
    let Ok(routes) = Routes::allowed(&env, &config) else {
        // go refuses the value in its own words.
        return go.exec(&invocation.args, start);
    };
    if invocation.treatment == Treatment::Pass || routes.lists.first().is_none_or(|own| own.is_off()) {
        return go.exec(&invocation.args, start);
    }
    let accompanied = *config.relay == crate::config::Relay::On;
    if invocation.treatment == Treatment::Carried && !accompanied && !prefetch::is_needed(invocation, &env) {
        return go.exec(&invocation.args, start);
    }
    let ended = match Session::open(invocation, go, start, config, &warnings, env, routes, began) {
        Ok(session) => session.run(),
        // No pipe, no clock, no runtime: step aside.
        Err(_) => return go.exec(&invocation.args, start),
    };
    match ended {
        End::Code(code) => code,
        End::Signal(signal) => {
            signals::die_of(signal);
            // Still here: pid 1 of a namespace, which its own signals do not end.
            as_pid_1(signal)
        }
        End::Exec => go.exec(&invocation.args, start),
    }
}

/// True for a build that is to write over the very file on descriptor 1: go looks at what it holds before.
fn builds_onto_stdout(invocation: &Invocation, env: &GoEnv) -> bool {
    let output = invocation
        .is(&["build"])
        .then(|| tidy::flag(invocation, env, "o"))
        .flatten();
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    output.is_some_and(|output| names.iter().any(|name| output == *name))
        && std::fs::metadata("/dev/fd/1").is_ok_and(|meta| meta.is_file())
}

/// The exit status of a process that no signal of its own ends: Go's runtime
/// exits with 2 where its raise has come back. No runtime sees KILL.
fn as_pid_1(signal: i32) -> i32 {
    if signal == libc::SIGKILL {
        128 + signal
    } else {
        GO_QUIT
    }
}

/// How an invocation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    Signal(i32),
    /// By the real go in place of this process.
    Exec,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(1),
        }
    }

    /// As go ends where it is sent this signal: of the signal, but QUIT makes
    /// it print where it stands and exit with 2.
    fn asked(signal: Signal) -> Self {
        match signal {
            Signal::SIGQUIT => Self::Code(GO_QUIT),
            signal => Self::Signal(signal as i32),
        }
    }
}

/// One supervised invocation.
struct Session<'a> {
    invocation: &'a Invocation,
    go: &'a RealGo,
    start: &'a StartState,
    config: Config,
    env: GoEnv,
    routes: Routes,
    policy: Policy,
    reporter: Reporter,
    runtime: Option<tokio::runtime::Runtime>,
    signals: Signals,
    was_subreaper: bool,
    began: Instant,
    began_at: SystemTime,
    budget: Duration,
    attempts: u32,
    files: Option<Snapshot>,
    doubted: Option<Snapshot>,
    mended: Vec<crate::diagnose::Mend>,
    /// What was set aside though only go.sum speaks against it, and where it is.
    disputed: Vec<(ModuleVersion, PathBuf)>,
    /// The signal that ended a repair.
    interrupted: Option<Signal>,
    /// What was disputed has gone back, and go has run once more with it.
    last_words: bool,
    relaying: Option<Relaying>,
    /// Elements of the list whose TLS is go's own business.
    left_to_go: Vec<String>,
}

impl<'a> Session<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one invocation, put together once"
    )]
    fn open(
        invocation: &'a Invocation,
        go: &'a RealGo,
        start: &'a StartState,
        config: Config,
        warnings: &[Warning],
        env: GoEnv,
        routes: Routes,
        began: Instant,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::catch()?
        };
        let was_subreaper = become_supervisor();
        let command = format!("go {}", invocation.words.join(" "));
        let settings = Settings::detect(&config, &command, &|name| std::env::var_os(name));
        let is_editor = invocation.is(&["list"]) && settings.ci == crate::report::Ci::None && !at_terminal();
        let budget = if is_editor {
            (*config.budget).min(EDITOR_BUDGET)
        } else {
            *config.budget
        };
        let mut reporter = Reporter::new(settings, began);
        for warning in warnings {
            reporter.event(&Event::Warning {
                text: warning.to_string(),
            });
        }
        let policy = Policy::new(routes.lists.len(), *config.retry_count, budget);
        Ok(Self {
            invocation,
            go,
            start,
            config,
            env,
            routes,
            policy,
            reporter,
            runtime: Some(runtime),
            signals,
            was_subreaper,
            began,
            began_at: SystemTime::now(),
            budget,
            attempts: 0,
            files: None,
            doubted: None,
            mended: Vec::new(),
            disputed: Vec::new(),
            interrupted: None,
            last_words: false,
            relaying: None,
            left_to_go: Vec::new(),
        })
    }

    fn run(mut self) -> End {
        let Some(runtime) = self.runtime.take() else {
            return End::Exec;
        };
        if *self.config.relay != crate::config::Relay::Off {
            self.use_relay();
        }
        self.reporter.know(crate::report::Routes {
            lists: (0..self.routes.lists.len())
                .map(|route| self.route_name(route))
                .collect(),
            relayed: self.relaying.is_some(),
            narrow: self.routes.narrow.as_ref().map(ToString::to_string),
        });
        let ended = caught("session", || match self.invocation.treatment {
            Treatment::Carried => runtime.block_on(self.carry()),
            Treatment::Supervised | Treatment::Pass => runtime.block_on(self.attempts_to_the_end()),
        });
        let ended = ended.unwrap_or_else(|| {
            Ok(match guard::has_child_started() {
                true => End::Code(1),
                false => End::Exec,
            })
        });
        caught("give-back", || self.give_back());
        self.reporter.finish();
        // A repair that waits for a lock is left where it stands.
        runtime.shutdown_background();
        let ended = ended.unwrap_or_else(|error| {
            if self.attempts == 0 {
                return End::Exec;
            }
            crate::report::out::message(&format!("cannot go on: {error}"));
            End::Code(1)
        });
        if ended != End::Exec {
            return ended;
        }
        leave_the_place(self.was_subreaper);
        self.signals.release().map_or(End::Exec, End::asked)
    }

    /// Puts the relay between go and the proxies. It walks the later routes
    /// itself, so that for the runs of go one route is left.
    fn use_relay(&mut self) {
        self.relaying = self.start_relay(false, Vec::new());
        if self.relaying.is_some() {
            self.policy = Policy::new(1, *self.config.retry_count, self.budget);
        }
    }

    /// Takes the relay away from proxies that it has refused to talk to (TLS, certificate, headers), for go to ask them
    /// by itself: its library may know more, and trust more. False where there is none.
    fn leave_to_go(&mut self) -> bool {
        let Some(relaying) = &self.relaying else {
            return false;
        };
        let Some(own) = self.routes.lists.first() else {
            return false;
        };
        let refused = relaying.relay.refused();
        let left: Vec<String> = own
            .entries()
            .iter()
            .filter_map(|(element, _)| element.proxy_url())
            .filter(|url| refused.iter().any(|refused| refused == url))
            .map(str::to_owned)
            .collect();
        if left.is_empty() || self.began.elapsed() >= self.budget {
            return false;
        }
        self.left_to_go.extend(left);
        self.relaying = self.start_relay(false, self.left_to_go.clone());
        true
    }

    /// The loop: run, diagnose, mend, decide, wait, run again.
    async fn attempts_to_the_end(&mut self) -> io::Result<End> {
        let mut route = 0;
        loop {
            self.take_snapshot();
            let plan = self.plan(route, self.invocation.args.clone());
            let mut outcome = match self.attempt(&plan, route, None).await {
                Ok(outcome) => outcome,
                // Nothing runs: step aside, and let the system's own word for
                // it be heard where go cannot be had at all.
                Err(Failure::NotStarted(_)) => return Ok(End::Exec),
                Err(Failure::Lost(error)) => return Err(error),
            };
            let next = caught_async("judge", self.judge(&mut outcome, route)).await;
            match next.unwrap_or_else(|| self.as_go_ended(&mut outcome)) {
                After::Run(next) => route = next,
                After::End(end) => return Ok(end),
            }
        }
    }

    /// What follows an attempt on `route`.
    async fn judge(&mut self, outcome: &mut Outcome, route: usize) -> After {
        if self.steps_round_the_relay(outcome) {
            return After::Run(0);
        }
        if outcome.ok() {
            let doubt = match self.accept(outcome) {
                Accepted::Done(end) => return After::End(end),
                Accepted::Again => return After::Run(route),
                Accepted::Doubted => doubt(),
            };
            for fault in doubt.faults.clone() {
                self.reporter.event(&Event::Fault {
                    attempt: self.attempts,
                    fault,
                });
            }
            return match self.wait_for_next(&doubt, Seen::default()).await {
                Step::Run(next) => After::Run(next),
                Step::GiveUp(_) => After::End(End::Code(1)),
                Step::Signal(signal) => After::End(End::asked(signal)),
            };
        }
        let diagnosis = self.read(outcome).await;
        if outcome.interrupted.is_some() {
            return After::End(self.give_up(outcome, &diagnosis, GaveUp::Interrupted));
        }
        if outcome.committed || outcome.killed() || outcome.other_child && outcome.stalled.is_none() {
            return After::End(self.give_up(outcome, &diagnosis, GaveUp::Final));
        }
        if self.leave_to_go() {
            return After::Run(route);
        }
        let seen = self.seen(outcome, &diagnosis).await;
        let step = match self.interrupted {
            Some(signal) => Step::Signal(signal),
            None => self.wait_for_next(&diagnosis, seen).await,
        };
        match step {
            Step::Run(next) => After::Run(next),
            // go's own last words are those about the cache as it was.
            Step::GiveUp(_) if !self.last_words && self.began.elapsed() < self.budget && self.give_back() => {
                self.last_words = true;
                After::Run(route)
            }
            Step::GiveUp(why) => After::End(self.give_up(outcome, &diagnosis, why)),
            Step::Signal(signal) => {
                self.give_up(outcome, &diagnosis, GaveUp::Interrupted);
                After::End(End::asked(signal))
            }
        }
    }

    /// Where gofix itself has failed after go had ended: go's words and its status.
    fn as_go_ended(&mut self, outcome: &mut Outcome) -> After {
        let delivered = caught("deliver", || self.deliver(outcome)).flatten();
        After::End(delivered.unwrap_or_else(|| End::of(outcome.status)))
    }

    /// Where the relay has failed by a fault of its own, go runs again without it. True where it is to.
    fn steps_round_the_relay(&mut self, outcome: &Outcome) -> bool {
        let is_broken = self
            .relaying
            .as_ref()
            .is_some_and(|relaying| relaying.relay.is_broken());
        if !is_broken || outcome.committed || outcome.was_ended() || outcome.other_child {
            return false;
        }
        if outcome.ok() && self.files.is_some() && self.take_back().is_err() {
            return false;
        }
        self.relaying = None;
        self.policy = Policy::new(self.routes.lists.len(), *self.config.retry_count, self.budget);
        true
    }

    /// What the run on `route` differs in from what the user typed.
    fn plan(&self, route: usize, args: Vec<OsString>) -> Plan {
        let mut plan = Plan {
            args,
            changes: Vec::new(),
        };
        if let Some(relaying) = &self.relaying {
            plan.changes.push(("GOPROXY", relaying.relay.goproxy()));
        } else if route > 0
            && let Some(list) = self.routes.lists.get(route)
        {
            plan.changes.push(("GOPROXY", list.to_string().into()));
        }
        if self.policy.http1() {
            let mut value = self.env.get("GODEBUG").0;
            if !value.is_empty() {
                value.push(",");
            }
            value.push("http2client=0");
            plan.changes.push(("GODEBUG", value));
        }
        plan
    }

    async fn attempt(
        &mut self,
        plan: &Plan,
        route: usize,
        enough: Option<fn(&[u8]) -> bool>,
    ) -> Result<Outcome, Failure> {
        self.attempts += 1;
        self.policy.started(route);
        self.reporter.event(&Event::AttemptStarted {
            attempt: self.attempts,
            route: self.route_name(route),
            changes: self.shown_changes(plan),
        });
        let (mode, one_file) = self.stream_mode(enough.is_some());
        let stall = *self.config.stall * 2u32.saturating_pow(self.policy.stalls().min(16));
        let json = self.switch("json");
        let rewrite = self
            .relaying
            .as_ref()
            .map_or([None, None], |relaying| relaying.rewriters(json));
        let relay = self.relaying.as_mut().map(|relaying| {
            relaying.relay.forget_faults();
            (&relaying.relay, &mut relaying.events)
        });
        let setting = Setting {
            go: self.go,
            start: self.start,
            signals: &self.signals,
            mode,
            one_file,
            stall: (!stall.is_zero()).then_some(stall),
            deadline: self.began + *self.config.budget,
            rewrite,
            relay,
            enough,
            reporter: &mut self.reporter,
        };
        attempt::run(plan, setting).await
    }

    /// An exit status of 0: the answer, unless tidy is doubted.
    fn accept(&mut self, outcome: &mut Outcome) -> Accepted {
        if self.files.is_some() && outcome.interrupted.is_none() && !outcome.committed {
            let faults = self.relay_faults();
            if !faults.is_empty() {
                let taken_back = self.take_back();
                if taken_back.is_ok() && self.leave_to_go() {
                    return Accepted::Again;
                }
                return Accepted::Done(self.refuse(outcome, faults, taken_back));
            }
            if let Some(accepted) = self.doubt(outcome) {
                return accepted;
            }
        }
        // Errors in the midst of a good end (`list -e`), and of what the relay refuses go may think otherwise.
        let is_untouched = outcome.interrupted.is_none() && !outcome.committed && !outcome.other_child;
        if self.files.is_none() && is_untouched && !self.relay_faults().is_empty() && self.leave_to_go() {
            return Accepted::Again;
        }
        let status = outcome.status;
        let delivered = self.deliver(outcome);
        if delivered != Some(End::Exec) {
            self.finished(status, true);
        }
        Accepted::Done(delivered.unwrap_or_else(|| End::of(status)))
    }

    /// A tidy that looked for a package and did not find it has its files put
    /// back and runs again; the same bytes twice are the answer.
    fn doubt(&mut self, outcome: &Outcome) -> Option<Accepted> {
        let missing = tidy::not_found(&outcome.text);
        if missing.is_empty() || self.sees_every_lookup() {
            return None;
        }
        let written = self.files.as_ref().and_then(Snapshot::again);
        let same = self.doubted.is_some() && self.doubted == written;
        if !same && self.began.elapsed() < self.budget && self.take_back().is_ok() {
            self.doubted = written;
            return Some(Accepted::Doubted);
        }
        let names = missing.join(", ");
        let text = format!("go mod tidy could not look up {names}; a newer version may exist");
        self.reporter.event(&Event::Warning { text });
        None
    }

    /// True where go asks nobody but the relay, so that a lookup without a
    /// fault was answered. A checksum database may always be asked past it.
    fn sees_every_lookup(&self) -> bool {
        let own = self.routes.lists.first();
        let relayed = own.is_some_and(|list| {
            list.entries()
                .iter()
                .all(|(element, _)| element.proxy_url().is_some())
        });
        self.relaying.is_some() && relayed && self.env.text("GOSUMDB") == "off"
    }

    /// Takes note of the files that this run of tidy may write. What somebody
    /// wrote since the last one is the user's.
    fn take_snapshot(&mut self) {
        if !self.invocation.is(&["mod", "tidy"]) || self.switch("diff") {
            return;
        }
        let now = Snapshot::take(self.invocation, &self.env);
        if now != self.files {
            self.doubted = None;
        }
        self.files = now;
    }

    /// Puts the files back as they stood before the run. Where that cannot be
    /// done they stay as go wrote them.
    fn take_back(&self) -> io::Result<()> {
        let (Some(before), Some(written)) = (&self.files, self.files.as_ref().and_then(Snapshot::again))
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        before.put_back(&written, &self.env, Instant::now() + LOCK_TIME)
    }

    /// Lookups ended in faults that outlast every try, so what tidy wrote is
    /// not what it would write in a good network.
    fn refuse(&mut self, outcome: &mut Outcome, faults: Vec<Fault>, taken_back: io::Result<()>) -> End {
        let advice = match taken_back {
            Ok(()) => {
                "go.mod and go.sum are as they were; `GOFIX_RELAY=off gofix tidy` takes the result as it is"
                    .to_owned()
            }
            Err(error) => format!(
                "go.mod and go.sum could not be put back ({}) and hold what go made of it: run it again",
                crate::text::errno_text(&error)
            ),
        };
        let diagnosis = Diagnosis {
            verdict: Verdict::Retry,
            faults,
            advice,
            needs: None,
        };
        self.deliver(outcome);
        for fault in &diagnosis.faults {
            self.reporter.event(&Event::Fault {
                attempt: self.attempts,
                fault: fault.clone(),
            });
        }
        self.reporter.event(&Event::GaveUp {
            why: GaveUp::Doubted,
            diagnosis: Some(diagnosis),
        });
        self.finished(outcome.status, false);
        End::Code(1)
    }

    /// Reads what an attempt said.
    async fn read(&mut self, outcome: &mut Outcome) -> Diagnosis {
        let diagnosis = match outcome.stalled {
            Some(quiet) => {
                self.reporter.event(&Event::Stalled {
                    attempt: self.attempts,
                    quiet,
                });
                stall_diagnosis(quiet, &self.route_name(self.policy.current()).1)
            }
            None => {
                let stdout = self.switch("json").then(|| outcome.stdout.peek(STDOUT_READ));
                let input = Input {
                    stderr: &outcome.text,
                    stdout_json: stdout.as_deref(),
                };
                let diagnosis = caught("diagnose", || diagnose(&input)).unwrap_or_else(nothing_known);
                match self.ask_git(&diagnosis).await {
                    Some(words) => diagnosis.with_words_of_git(words),
                    None => diagnosis,
                }
            }
        };
        for fault in &diagnosis.faults {
            self.reporter.event(&Event::Fault {
                attempt: self.attempts,
                fault: fault.clone(),
            });
        }
        self.reporter.event(&Event::Diagnosis {
            attempt: self.attempts,
            diagnosis: diagnosis.clone(),
            status: child::words(outcome.status),
            took: outcome.took,
        });
        diagnosis
    }

    /// The requests that the relay has spent its tries on in vain.
    fn relay_faults(&self) -> Vec<Fault> {
        self.relaying
            .as_ref()
            .map(|relaying| relaying.relay.faults())
            .unwrap_or_default()
    }

    /// What is known of an attempt beside its text; what the text alone cannot
    /// decide is looked at, and mended.
    async fn seen(&mut self, outcome: &Outcome, diagnosis: &Diagnosis) -> Seen {
        let mended = match diagnosis.verdict {
            Verdict::Repair => self.mend(diagnosis).await,
            _ => Mended::default(),
        };
        Seen {
            stalled: outcome.stalled.is_some(),
            repaired: mended.something,
            came_bad: mended.came_bad,
            no_default_route: !crate::sys::network::has_default_route(),
            spent_by_relay: !self.relay_faults().is_empty(),
        }
    }

    async fn wait_for_next(&mut self, diagnosis: &Diagnosis, seen: Seen) -> Step {
        let elapsed = self.began.elapsed();
        let next = caught("policy", || {
            self.policy.next(diagnosis, seen, elapsed, &mut fastrand::f64)
        });
        let (route, wait) = match next.unwrap_or(Next::GiveUp(GaveUp::Final)) {
            Next::Run { route, wait } => (route, wait),
            Next::GiveUp(why) => return Step::GiveUp(why),
        };
        let current = self.policy.current();
        if route != current {
            let (from, to) = (self.route_name(current), self.route_name(route));
            self.reporter.event(&Event::RouteSwitched { from, to });
        }
        if !wait.is_zero() {
            let left = self.policy.left(route);
            self.reporter.event(&Event::Backoff {
                attempt: self.attempts + 1,
                wait,
                left,
            });
        }
        match self.wait(wait).await {
            Some(signal) => Step::Signal(signal),
            None => Step::Run(route),
        }
    }

    /// Waits, with the live line where there is one. Returns the signal that
    /// asked for an end.
    async fn wait(&mut self, wait: Duration) -> Option<Signal> {
        let end = Instant::now() + wait;
        loop {
            let now = Instant::now();
            // Also where there is no wait: a signal may be there already.
            if let Ok(Some(arrived)) = self.signals.take() {
                if let Some(signal) = arrived.end() {
                    return Some(signal);
                }
                // The rest go does not mind.
                if arrived.is(Signal::SIGTSTP) {
                    self.reporter.clear();
                    let _ = signals::stop_for(arrived);
                }
                child::reap_orphans();
                continue;
            }
            if now >= end {
                return None;
            }
            self.reporter.tick();
            let pause = if self.reporter.wants_ticks() {
                TICK.min(end - now)
            } else {
                end - now
            };
            let _ = tokio::time::timeout(pause, self.signals.readable()).await;
        }
    }

    /// Writes what is left of the attempt that counts, stdout and stderr.
    /// `Some` where that itself ends the invocation.
    fn deliver(&mut self, outcome: &mut Outcome) -> Option<End> {
        self.reporter.clear();
        // Go has ended, so that whoever stops or ends the writing means gofix.
        if let Some(signal) = self.signals.release() {
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
        let words = format!("write /dev/stdout: {}\n", crate::text::errno_text(error));
        // Where stderr is full as well nobody can be told.
        drop(write_all(io::stderr().as_fd(), words.as_bytes()));
        End::Code(1)
    }

    /// A switch of the command line or of GOFLAGS.
    fn switch(&self, name: &str) -> bool {
        tidy::switch(self.invocation, &self.env, name)
    }

    /// How the streams of this command are treated, and whether stdout and
    /// stderr are one file.
    fn stream_mode(&self, prefetch: bool) -> (Mode, bool) {
        if prefetch {
            return (Mode::Ahead, false);
        }
        let live = ["x", "v", "n"].iter().any(|flag| self.switch(flag));
        let one_file = same_file() && self.writes_stdout();
        // Whoever asks what go does wants to see it while it does it. These write to stdout last of all.
        let answers_last = matches!(self.invocation.words.as_slice(), ["list"] | ["mod", ..]);
        match (one_file, live) {
            (false, true) => (Mode::Live, false),
            (true, true) if answers_last => (Mode::Live, false),
            (true, _) => (Mode::HoldToEnd, true),
            (false, false) => (Mode::Hold, false),
        }
    }

    /// Commands that have something to say on stdout.
    fn writes_stdout(&self) -> bool {
        match self.invocation.words.as_slice() {
            ["list"] | ["mod", "graph" | "why" | "verify"] => true,
            ["mod", "tidy"] => self.switch("diff"),
            ["vet"] => self.switch("json") || self.switch("diff"),
            _ => self.switch("json"),
        }
    }

    fn give_up(&mut self, outcome: &mut Outcome, diagnosis: &Diagnosis, why: GaveUp) -> End {
        let delivered = self.deliver(outcome);
        if delivered == Some(End::Exec) {
            return End::Exec;
        }
        self.reporter.event(&Event::GaveUp {
            why,
            diagnosis: Some(diagnosis.clone()),
        });
        self.finished(outcome.status, false);
        if outcome.stalled.is_some() {
            return outcome.interrupted.map_or(End::Code(TIMED_OUT), End::asked);
        }
        delivered.unwrap_or_else(|| End::of(outcome.status))
    }

    fn finished(&mut self, status: ExitStatus, ok: bool) {
        self.reporter.event(&Event::Finished {
            attempts: self.attempts,
            status: child::words(status),
            ok,
            took: self.began.elapsed(),
        });
    }

    /// What a run differs in, fit to show: neither credentials nor the relay's secret.
    fn shown_changes(&self, plan: &Plan) -> Vec<String> {
        let shown = |(name, value): &(&str, OsString)| match *name {
            "GOPROXY" if self.relaying.is_some() => "GOPROXY=(relay)".to_owned(),
            "GOPROXY" => ProxyList::parse(&value.to_string_lossy()).map_or_else(
                |_| (*name).to_owned(),
                |list| format!("{name}={}", list.redacted()),
            ),
            _ => format!("{name}={}", value.to_string_lossy()),
        };
        plan.changes.iter().map(shown).collect()
    }

    fn route_name(&self, route: usize) -> (usize, String) {
        (
            route + 1,
            self.routes
                .lists
                .get(route)
                .map(|list| list.redacted())
                .unwrap_or_default(),
        )
    }
}

/// What follows an attempt.
enum After {
    Run(usize),
    End(End),
}

/// What follows an attempt that ended well.
enum Accepted {
    Done(End),
    Doubted,
    /// At once, with more of the list left to go.
    Again,
}

/// What follows an attempt that ended badly.
enum Step {
    Run(usize),
    GiveUp(GaveUp),
    Signal(Signal),
}

/// How often the live line is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How long the locks of go are waited for where files are put back.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// How much of a `-json` stdout is read for errors, in bytes.
const STDOUT_READ: u64 = 4 << 20;

/// Names this process, so that a gofix below it knows where it stands. Returns
/// whether it was a subreaper before.
fn become_supervisor() -> bool {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_name(watch::SUPERVISOR);
        watch::note_own_children();
        let was_subreaper = nix::sys::prctl::get_child_subreaper().unwrap_or(false);
        // What go leaves behind comes to this process and can be ended.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        was_subreaper
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Takes back what exec would keep of a supervisor.
fn leave_the_place(was_subreaper: bool) {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_child_subreaper(was_subreaper);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = was_subreaper;
}

fn at_terminal() -> bool {
    use std::io::IsTerminal;
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Descriptors 1 and 2 are one file.
fn same_file() -> bool {
    let one = nix::sys::stat::fstat(io::stdout().as_fd());
    let two = nix::sys::stat::fstat(io::stderr().as_fd());
    matches!((one, two), (Ok(one), Ok(two)) if (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}

/// The diagnosis of an attempt that the stall clock ended.
fn stall_diagnosis(quiet: Duration, list: &str) -> Diagnosis {
    let line = format!("nothing came from {list} for {} s", quiet.as_secs());
    own_diagnosis(FaultKind::Timeout, true, &line)
}

/// The diagnosis of a text that could not be read.
fn nothing_known() -> Diagnosis {
    Diagnosis {
        verdict: Verdict::Unknown,
        faults: Vec::new(),
        advice: String::new(),
        needs: None,
    }
}

/// The diagnosis of a tidy that is doubted.
fn doubt() -> Diagnosis {
    own_diagnosis(
        FaultKind::Unknown,
        false,
        "a lookup of go mod tidy came to nothing",
    )
}

fn own_diagnosis(kind: FaultKind, nobody: bool, line: &str) -> Diagnosis {
    let fault = Fault {
        nobody,
        ..Fault::new(kind, Verdict::Retry, line)
    };
    Diagnosis {
        verdict: Verdict::Retry,
        faults: vec![fault],
        advice: String::new(),
        needs: None,
    }
}
