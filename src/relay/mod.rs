//! The relay: a GOPROXY on loopback for the life of one supervised command.
//!
//! Go asks the relay, the relay asks the upstreams, and what fails there is
//! tried again per request: go never meets a socket error. What go sees is its
//! own list with each http and https element replaced in place; it goes on
//! doing its own fallback between them.
//!
//! A relay has a thread and a runtime of its own, so that neither a busy
//! supervisor nor a busy relay makes the other wait.
//!
//! Known limitations: a nested `go env GOPROXY` shows the relay; a proxy
//! whose host name is not ASCII is left to go; names are resolved by the
//! system's resolver even where go would use its own.

mod ahead;
mod ask;
mod breaker;
mod budget;
mod client;
mod faults;
mod fetch;
mod lookup;
mod peer;
mod plan;
mod progress;
mod reply;
pub(crate) mod request_error;
pub(crate) mod rewrite;
pub mod schedule;
mod server;
mod setup;
mod upstream;
mod words;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ring::rand::SecureRandom;
use tokio::sync::oneshot;

use crate::diagnose::Fault;
use crate::net::proxy_env::ProxyRules;
use crate::net::tls::Tls;
use crate::report::{AskedAhead, Progress};

use self::ask::Asker;
use self::budget::Budget;
use self::client::Client;
use self::faults::Ledger;
use self::fetch::{Fetcher, Rules};
use self::plan::{OWN, Plan};
use self::progress::Transfers;
use self::rewrite::Names;
use self::server::ServerContext;
use self::upstream::Upstream;
use crate::sys::spool::Folders;

pub use self::ahead::{Command, Packages, Project, Root};
pub(crate) use self::lookup::{Lookup, Reply, Silence};
pub use self::rewrite::{Quoting, Rewriter};
pub use self::setup::Setup;
pub use crate::net::environment::Environment;
pub use crate::net::helper::Helpers;
pub use crate::net::proxy_env::ProxyVars;
pub use crate::net::tls::RootSource;

/// Shorter than any clock of a request, and long enough to cost nothing.
const BEAT: Duration = Duration::from_millis(500);

/// A running relay. Its port is closed when it is dropped.
#[derive(Debug)]
pub struct Relay {
    goproxy: String,
    names: Arc<Names>,
    /// The proxies of all lists, by what stands in the lists.
    upstreams: HashMap<String, Arc<Upstream>>,
    waiting: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    transfers: Arc<Transfers>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay; `None` where the list in force has nothing to relay, or
    /// no folder takes a file.
    ///
    /// # Errors
    /// Where the port or the thread cannot be had.
    pub fn start(setup: Setup) -> io::Result<Option<Self>> {
        let Some(plan) = Plan::of(&setup) else {
            return Ok(None);
        };
        let Some(spool) = Folders::usable(setup.spool.iter().cloned()) else {
            return Ok(None);
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let host = listener.local_addr()?.to_string();
        let token = token()?;
        let prefix = format!("http://{host}/{token}/");
        let names = Arc::new(Names {
            prefix: prefix.clone(),
            bases: plan.bases,
            ledger: Arc::new(Ledger::default()),
        });
        let goproxy = plan.goproxy.replace(OWN, &prefix);
        let in_front = setup.in_front;
        let waiting = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(AtomicBool::new(false));
        let transfers = Arc::new(Transfers::default());
        let fetcher = fetcher(
            setup,
            spool,
            plan.elements,
            Arc::clone(&names.ledger),
            Arc::clone(&transfers),
            plan.goproxy.starts_with(OWN),
            Arc::clone(&broken),
        );
        let context = ServerContext {
            token,
            host,
            in_front,
            waiting: Arc::clone(&waiting),
            broken: Arc::clone(&broken),
            fetcher: Arc::new(fetcher),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(8)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("gofix-relay".to_owned())
            .spawn(move || run(runtime, listener, context, stopped))?;
        Ok(Some(Self {
            goproxy,
            names,
            upstreams: plan.upstreams,
            waiting,
            broken,
            transfers,
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    /// The value of GOPROXY for go.
    #[must_use]
    pub fn goproxy(&self) -> OsString {
        OsString::from(&self.goproxy)
    }

    /// A rewriter for one of go's streams.
    #[must_use]
    pub fn rewriter(&self, quoting: Quoting) -> Rewriter {
        Rewriter::new(Arc::clone(&self.names), quoting)
    }

    /// The requests that ended in a fault after all tries, and that no other
    /// element of the list made good.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.names.ledger.faults()
    }

    /// The host that a redirect led to, where what was asked for at this URL was no file there.
    #[must_use]
    pub fn redirected_to(&self, url: &str) -> Option<String> {
        self.names.ledger.redirected_to(url)
    }

    /// True while go waits for an answer of the relay: a go that reads nothing
    /// then is not stalled, and the relay's own clocks end the wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// True where a request came to nothing by a fault of the relay's own.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// What was asked for ahead of go since this was called last.
    #[must_use]
    pub fn take_ahead(&self) -> AskedAhead {
        self.transfers.take_ahead()
    }

    /// What is being fetched at this moment.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.transfers.progress()
    }

    /// Forgets the faults so far, and who was silent: another run of go begins.
    pub fn forget_faults(&self) {
        self.names.ledger.heal_all();
        for upstream in self.upstreams.values() {
            upstream.is_heard_again();
        }
    }

    /// The proxies, as they stand in the lists, whose TLS the relay has refused.
    /// Go may think otherwise of it: its own library is another one.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        let refused =
            |(text, upstream): (&String, &Arc<Upstream>)| upstream.is_refused().then(|| text.clone());
        self.upstreams.iter().filter_map(refused).collect()
    }
}

/// Closes the port and ends every request.
impl Drop for Relay {
    fn drop(&mut self) {
        // Gone already where the thread has ended by itself.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    context: ServerContext,
    stopped: oneshot::Receiver<()>,
) {
    // Signals are the supervisor's.
    nix::sys::signal::SigSet::all().thread_block().ok();
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        tokio::spawn(beat());
        tokio::select! {
            () = server::serve(listener, context) => {}
            _ = stopped => {}
        }
    });
    // A name that is still being resolved must not hold gofix back.
    runtime.shutdown_background();
}

/// Keeps the runtime's next timer near. One that is set before it makes tokio
/// write to an eventfd to wake itself, and every request sets two clocks: that
/// would be a third of a request's system calls.
async fn beat() {
    loop {
        tokio::time::sleep(BEAT).await;
    }
}

/// 128 random bits.
fn token() -> io::Result<String> {
    let mut bits = [0_u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bits)
        .map_err(|_| io::Error::other("no random numbers"))?;
    Ok(crate::text::hex(&bits))
}

fn fetcher(
    setup: Setup,
    spool: Folders,
    elements: Vec<upstream::Element>,
    ledger: Arc<Ledger>,
    transfers: Arc<Transfers>,
    first_is_asked_all: bool,
    aside: Arc<AtomicBool>,
) -> Fetcher {
    let timeouts = setup.timeouts();
    let rules = Rules {
        timeouts,
        tries: setup.tries,
        patient: setup.patient && !setup.in_front,
    };
    let [deadline, patient_until] =
        [setup.deadline, setup.patient_until].map(|end| end.map(tokio::time::Instant::from_std));
    let asker = Asker {
        client: client(setup.environment),
        spool,
        budget: Budget::new(deadline, patient_until, setup.stall),
        listener: setup.listener,
        transfers,
        aside,
    };
    Fetcher::new(asker, elements, rules, ledger, setup.project, first_is_asked_all)
}

/// A client that asks as go would with these variables.
fn client(environment: Environment) -> Arc<Client> {
    let credentials = environment.credentials();
    Arc::new(Client::new(
        Tls::new(environment.roots),
        ProxyRules::new(&environment.proxies),
        credentials,
        environment.http2,
    ))
}

#[cfg(test)]
mod tests {
    use crate::go::proxy_list::ProxyList;

    use super::*;

    #[test]
    fn starts_and_closes_its_port() {
        let setup = Setup::new(
            vec![ProxyList::parse("http://127.0.0.1:1").unwrap()],
            Environment::default(),
        );
        let relay = Relay::start(setup).unwrap().unwrap();
        let goproxy = relay.goproxy().into_string().unwrap();
        let address = goproxy.split('/').nth(2).unwrap().to_owned();
        assert!(goproxy.split('/').nth(3).is_some_and(|token| token.len() == 32));
        assert!(std::net::TcpStream::connect(&address).is_ok());
        drop(relay);
        assert!(std::net::TcpStream::connect(&address).is_err());
    }
}
