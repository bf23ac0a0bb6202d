//! One supervised invocation: what was asked, what goes on, what was done to files.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use gofix_shim::{Invocation, RealGo, StartState, Treatment};
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

use super::{
    End, Routes, guard,
    relaying::Relaying,
    signals::Signals,
    tidy::{self, Snapshot},
};
use crate::{
    config::{Config, Relay, Warning},
    diagnose::{Fault, Mend},
    go::{env::GoEnv, module::ModuleVersion},
    net::environment::Environment,
    policy::Policy,
    report::{Ci, Event, Reporter, Settings},
    sys::panics::caught,
};

/// `list` with neither a terminal nor CI around is an editor: it has this long for whatever plain go would not do.
const EDITOR_BUDGET: Duration = Duration::from_secs(30);

/// What was asked for, and what holds for it.
pub(super) struct Request<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) go: &'a RealGo,
    pub(super) start: &'a StartState,
    pub(super) config: Config,
    pub(super) env: GoEnv,
    pub(super) routes: Routes,
    pub(super) began: Instant,
    pub(super) began_at: SystemTime,
    pub(super) budget: Duration,
}

/// What goes on.
pub(super) struct Progress {
    pub(super) policy: Policy,
    pub(super) reporter: Reporter,
    pub(super) signals: Signals,
    was_subreaper: bool,
    pub(super) in_ci: bool,
    pub(super) attempts: u32,
    /// The signal that ended a repair.
    pub(super) interrupted: Option<Signal>,
    /// What was disputed has gone back, and go has run once more with it.
    pub(super) last_words: bool,
    pub(super) relaying: Option<Relaying>,
    /// Elements of the list whose TLS is go's own business.
    left_to_go: Vec<String>,
}

/// What was done to files.
#[derive(Default)]
pub(super) struct Touched {
    /// go.mod and go.sum as they stood before this run of tidy.
    pub(super) files: Option<Snapshot>,
    /// What the last run of tidy wrote, where its result is doubted.
    pub(super) doubted: Option<Snapshot>,
    /// What has been looked at and mended.
    pub(super) mended: Vec<Mend>,
    /// What was set aside though only go.sum speaks against it, and where it is.
    pub(super) disputed: Vec<(ModuleVersion, PathBuf)>,
}

/// One supervised invocation.
pub(super) struct Session<'a> {
    pub(super) asked: Request<'a>,
    pub(super) now: Progress,
    pub(super) touched: Touched,
}

impl<'a> Session<'a> {
    /// Makes ready for runs of go, and reads the clock of the whole budget.
    pub(super) fn open(mut asked: Request<'a>, warnings: &[Warning]) -> io::Result<(Self, Runtime)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::catch()?
        };
        let was_subreaper = become_supervisor();
        let command = format!("go {}", asked.invocation.words.join(" "));
        let settings = Settings::detect(&asked.config, &command, &|name| std::env::var_os(name));
        let in_ci = settings.ci != Ci::None;
        let is_editor = asked.invocation.is(&["list"]) && !in_ci && !at_terminal();
        if is_editor {
            asked.budget = asked.budget.min(EDITOR_BUDGET);
        }
        let mut reporter = Reporter::new(settings, asked.began);
        for warning in warnings {
            reporter.event(&Event::Warning {
                text: warning.to_string(),
            });
        }
        let now = Progress {
            policy: Policy::new(asked.routes.lists.len(), *asked.config.retry_count, asked.budget),
            reporter,
            signals,
            was_subreaper,
            in_ci,
            attempts: 0,
            interrupted: None,
            last_words: false,
            relaying: None,
            left_to_go: Vec::new(),
        };
        let session = Self {
            asked,
            now,
            touched: Touched::default(),
        };
        Ok((session, runtime))
    }

    /// Runs go until there is an answer, and ends all that was set up for it.
    pub(super) fn run(mut self, runtime: Runtime) -> End {
        if *self.asked.config.relay != Relay::Off {
            self.use_relay();
        }
        self.now.reporter.set_routes(crate::report::Routes {
            lists: (0..self.asked.routes.lists.len())
                .map(|route| self.route_name(route))
                .collect(),
            relayed: self.now.relaying.is_some(),
            narrow: self.asked.routes.narrow.as_ref().map(ToString::to_string),
        });
        let ended = caught("session", || match self.asked.invocation.treatment {
            Treatment::Carried => runtime.block_on(self.prefetch_then_exec()),
            Treatment::Supervised | Treatment::Pass => runtime.block_on(self.attempts_to_the_end()),
        });
        let ended = ended.unwrap_or_else(|| {
            Ok(match guard::has_child_started() {
                true => End::Code(1),
                false => End::Exec,
            })
        });
        caught("restore", || self.restore_disputed());
        if self.now.reporter.exports() {
            let environment = Environment::from_go(&self.asked.env);
            runtime.block_on(self.now.reporter.export(&environment));
        }
        self.now.reporter.finish();
        // A repair that waits for a lock is left where it stands.
        runtime.shutdown_background();
        let ended = ended.unwrap_or_else(|error| {
            if self.now.attempts == 0 {
                return End::Exec;
            }
            crate::report::out::message(&format!("cannot continue: {error}"));
            End::Code(1)
        });
        if ended != End::Exec {
            return ended;
        }
        restore_subreaper(self.now.was_subreaper);
        self.now.signals.release().map_or(End::Exec, End::asked)
    }

    /// Puts the relay between go and the proxies. It walks the later routes
    /// itself, so that for the runs of go one route is left.
    fn use_relay(&mut self) {
        self.now.relaying = self.start_relay(false, Vec::new());
        if self.now.relaying.is_some() {
            self.now.policy = Policy::new(1, *self.asked.config.retry_count, self.asked.budget);
        }
    }

    /// Takes the relay away from proxies that it has refused to talk to (TLS, certificate, headers), for go to ask them
    /// by itself: its library may know more, and trust more. False where there is none.
    pub(super) fn leave_to_go(&mut self) -> bool {
        let Some(relaying) = &self.now.relaying else {
            return false;
        };
        let Some(own) = self.asked.routes.lists.first() else {
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
        if left.is_empty() || self.asked.began.elapsed() >= self.asked.budget {
            return false;
        }
        self.now.left_to_go.extend(left);
        self.now.relaying = self.start_relay(false, self.now.left_to_go.clone());
        true
    }

    /// The requests that the relay has spent its tries on in vain.
    pub(super) fn relay_faults(&self) -> Vec<Fault> {
        self.now
            .relaying
            .as_ref()
            .map(|relaying| relaying.relay.faults())
            .unwrap_or_default()
    }

    /// A switch of the command line or of GOFLAGS.
    pub(super) fn switch(&self, name: &str) -> bool {
        tidy::switch(self.asked.invocation, &self.asked.env, name)
    }

    pub(super) fn route_name(&self, route: usize) -> (usize, String) {
        (
            route + 1,
            self.asked
                .routes
                .lists
                .get(route)
                .map(|list| list.redacted())
                .unwrap_or_default(),
        )
    }
}

/// Names this process, so that a gofix below it knows where it stands. Returns
/// whether it was a subreaper before.
fn become_supervisor() -> bool {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_name(super::watch::SUPERVISOR);
        super::watch::note_own_children();
        let was_subreaper = nix::sys::prctl::get_child_subreaper().unwrap_or(false);
        // What go leaves behind comes to this process and can be ended.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        was_subreaper
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Takes back what exec would keep of a supervisor.
fn restore_subreaper(was_subreaper: bool) {
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
