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
//! Known to be imperfect: a nested `go env GOPROXY` shows the relay; a proxy
//! whose host name is not ASCII is left to go; names are resolved by the
//! system's resolver even where go would use its own.

mod ahead;
mod ask;
mod breaker;
mod budget;
mod client;
mod faults;
mod fetch;
mod peer;
mod rewrite;
mod schedule;
mod server;
pub(crate) mod spool;
pub(crate) mod trouble;
mod upstream;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ring::rand::SecureRandom;
use tokio::sync::oneshot;

use crate::diagnose::Fault;
use crate::go::env::{GoEnv, Layer};
use crate::go::proxy_list::{Element, ProxyList, Sep};
use crate::report::Event;

use self::ask::Asker;
use self::breaker::Limits;
use self::budget::Budget;
use self::client::Client;
use self::faults::Ledger;
use self::fetch::{Fetcher, Rules};
use self::rewrite::Names;
use self::server::Door;
use self::spool::Folders;
use self::upstream::{Behind, Lane, Upstream};
use crate::net::credentials::{Credentials, GoAuth};
use crate::net::dial::Patience;
use crate::net::proxy_env::ProxyRules;
use crate::net::tls::Tls;
use crate::net::url::{Scheme, Url};

pub use self::rewrite::{Quoting, Rewriter};
pub use crate::net::proxy_env::ProxyVars;
pub use crate::net::tls::RootSource;

/// The clock of name resolution.
const LOOKUP: Duration = Duration::from_secs(15);
/// The clock of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// The clock of a proxy's answer to CONNECT, which has to connect itself.
const TUNNEL: Duration = Duration::from_secs(30);
/// The wait for a first byte, in stall clocks.
const FIRST_BYTE: u32 = 4;
/// Silence until a second connection is asked: this part of the stall clock,
/// and no less than what a proxy needs for a version that it has to fetch.
const QUIET: u32 = 10;
const QUIET_AT_LEAST: Duration = Duration::from_secs(1);

/// Shorter than any clock of a request, and long enough to cost nothing.
const BEAT: Duration = Duration::from_millis(500);

/// Go's own variables, as far as they matter to who is asked and how.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// GOAUTH; empty means netrc.
    pub goauth: String,
    /// The netrc file, `None` where there is no home either.
    pub netrc: Option<PathBuf>,
    /// HTTP_PROXY and its kin.
    pub proxies: ProxyVars,
    /// SSL_CERT_FILE and SSL_CERT_DIR.
    pub roots: RootSource,
    /// HTTP/2 may be spoken (GODEBUG has no `http2client=0`).
    pub http2: bool,
}

impl Environment {
    /// Reads the variables as go would.
    #[must_use]
    pub fn from_go(env: &GoEnv) -> Self {
        // These are read by Go's libraries, which know nothing of a GOENV file.
        let own = |name: &str| {
            let (value, layer) = env.get(name);
            (layer == Layer::Environment && !value.is_empty()).then_some(value)
        };
        let text = |name: &str| own(name).map(|value| value.to_string_lossy().into_owned());
        let either = |upper: &str, lower: &str| text(upper).or_else(|| text(lower)).unwrap_or_default();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        Self {
            goauth: env.text("GOAUTH"),
            netrc: own("NETRC")
                .map(PathBuf::from)
                .or_else(|| home.map(|home| PathBuf::from(home).join(".netrc"))),
            proxies: ProxyVars {
                http: either("HTTP_PROXY", "http_proxy"),
                https: either("HTTPS_PROXY", "https_proxy"),
                no_proxy: either("NO_PROXY", "no_proxy"),
                cgi: own("REQUEST_METHOD").is_some(),
            },
            roots: RootSource {
                file: own("SSL_CERT_FILE"),
                dirs: own("SSL_CERT_DIR"),
            },
            http2: godebug(&text("GODEBUG").unwrap_or_default(), "http2client") != Some("0"),
        }
    }
}

/// The last value of one key of GODEBUG.
fn godebug<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value
        .split(',')
        .rev()
        .find_map(|word| word.split_once('=').filter(|(name, _)| *name == key))
        .map(|(_, value)| value)
}

/// What a relay is made of.
pub struct Setup {
    /// The list in force first, then the later routes that may be used.
    pub lists: Vec<ProxyList>,
    /// True for a command that is only carried: the relay stands in front of
    /// the user's own list (`RELAY|LIST`) and answers 200 or 404 only.
    pub in_front: bool,
    /// Go's own variables.
    pub environment: Environment,
    /// The connect clock, per address.
    pub connect_timeout: Duration,
    /// The stall clock: a body that brings fewer than ten bytes a second.
    pub stall: Duration,
    /// The silence after which the same is asked on a second connection; by
    /// default a tenth of the stall clock, and a second at least.
    pub quiet: Option<Duration>,
    /// The end of the time budget.
    pub deadline: Option<Instant>,
    /// Further tries for one request; [`Setup::TRIES`] by default.
    pub tries: u32,
    /// Failed probes after which an upstream is dead for this run.
    pub retry_count: u32,
    /// Faults in a row that open an upstream's breaker; 0 for never.
    pub max_fails: u32,
    /// From a breaker's opening to its probe, and between probes.
    pub fail_timeout: Duration,
    /// Where large bodies are spooled, in files without a name: the first
    /// folder that has room.
    pub spool: Vec<PathBuf>,
    /// Elements of the list in force that are left to go, as they stand in it.
    pub left_to_go: Vec<String>,
    /// Told of every request to an upstream.
    pub listener: Option<Box<dyn Fn(Event) + Send + Sync>>,
}

impl Setup {
    /// How often one request is made again at most.
    pub const TRIES: u32 = schedule::TRIES;

    /// A set-up with the defaults for everything but the lists.
    #[must_use]
    pub fn new(lists: Vec<ProxyList>, environment: Environment) -> Self {
        Self {
            lists,
            in_front: false,
            environment,
            connect_timeout: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            quiet: None,
            deadline: None,
            tries: Self::TRIES,
            retry_count: 3,
            max_fails: 10,
            fail_timeout: Duration::from_secs(10),
            spool: vec![std::env::temp_dir()],
            left_to_go: Vec::new(),
            listener: None,
        }
    }
}

/// A running relay. Its port is closed when it is dropped.
#[derive(Debug)]
pub struct Relay {
    goproxy: String,
    names: Arc<Names>,
    /// The proxies of all lists, by what stands in the lists.
    upstreams: HashMap<String, Arc<Upstream>>,
    waiting: Arc<AtomicUsize>,
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
        let waiting = Arc::new(AtomicUsize::new(0));
        let door = Door {
            token,
            host,
            in_front: setup.in_front,
            waiting: Arc::clone(&waiting),
            fetcher: Arc::new(fetcher(setup, spool, plan.elements, Arc::clone(&names.ledger))),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(8)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("gofix-relay".to_owned())
            .spawn(move || run(runtime, listener, door, stopped))?;
        Ok(Some(Self {
            goproxy,
            names,
            upstreams: plan.upstreams,
            waiting,
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

    /// True while go waits for an answer of the relay: a go that reads nothing
    /// then is not stalled, and the relay's own clocks end the wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
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

    /// Closes the port and ends every request. Call it when go has ended.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        // Gone already where the thread has ended by itself.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(runtime: tokio::runtime::Runtime, listener: TcpListener, door: Door, stopped: oneshot::Receiver<()>) {
    // Signals are the supervisor's.
    nix::sys::signal::SigSet::all().thread_block().ok();
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        tokio::spawn(beat());
        tokio::select! {
            () = server::serve(listener, Arc::new(door)) => {}
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
    Ok(bits.iter().fold(String::with_capacity(32), |mut token, byte| {
        // Writing to a String cannot fail.
        write!(token, "{byte:02x}").ok();
        token
    }))
}

fn fetcher(setup: Setup, spool: Folders, elements: Vec<upstream::Element>, ledger: Arc<Ledger>) -> Fetcher {
    let environment = setup.environment;
    let netrc = match GoAuth::parse(&environment.goauth) {
        GoAuth::Netrc => environment.netrc,
        GoAuth::Off | GoAuth::Other => None,
    };
    let client = Client::new(
        Tls::new(environment.roots),
        ProxyRules::new(&environment.proxies),
        Credentials::new(netrc),
        environment.http2,
    );
    let rules = Rules {
        patience: Patience {
            lookup: LOOKUP,
            connect: setup.connect_timeout,
            handshake: HANDSHAKE,
            tunnel: TUNNEL,
            first_byte: setup.stall * FIRST_BYTE,
            stall: setup.stall,
            quiet: setup.quiet.unwrap_or_else(|| quiet(setup.stall)),
        },
        tries: setup.tries,
    };
    let deadline = setup.deadline.map(tokio::time::Instant::from_std);
    let asker = Asker {
        client,
        spool,
        budget: Budget::new(deadline, setup.stall),
        listener: setup.listener,
    };
    Fetcher::new(asker, elements, rules, ledger)
}

/// The silence after which a second connection is asked; without end where the
/// clocks strike too soon for one to be of use.
fn quiet(stall: Duration) -> Duration {
    let quiet = (stall / QUIET).max(QUIET_AT_LEAST);
    match quiet * 2 <= stall {
        true => quiet,
        false => Duration::MAX,
    }
}

/// Stands for the relay's own URL while that is not known yet. No list holds a
/// NUL.
const OWN: &str = "\0";

/// What is relayed, and the list that says so.
struct Plan {
    elements: Vec<upstream::Element>,
    bases: Vec<String>,
    goproxy: String,
    upstreams: HashMap<String, Arc<Upstream>>,
}

impl Plan {
    fn of(setup: &Setup) -> Option<Self> {
        let list = setup.lists.first()?;
        let auth = GoAuth::parse(&setup.environment.goauth);
        let mut upstreams = Upstreams {
            limits: Limits {
                max_fails: setup.max_fails,
                fail_timeout: setup.fail_timeout,
                probes: setup.retry_count,
            },
            auth,
            left_to_go: &setup.left_to_go,
            known: HashMap::new(),
        };
        let later: Vec<Lane> = setup
            .lists
            .iter()
            .skip(1)
            .map(|list| upstreams.later(list))
            .filter(|lane| !lane.steps.is_empty())
            .collect();
        let mut plan = if setup.in_front {
            Self::in_front(list, &mut upstreams, later)
        } else {
            Self::in_place(list, &mut upstreams, &later)
        }?;
        plan.upstreams = upstreams.known;
        Some(plan)
    }

    fn in_place(list: &ProxyList, upstreams: &mut Upstreams<'_>, later: &[Lane]) -> Option<Self> {
        let mut plan = Self {
            elements: Vec::new(),
            bases: Vec::new(),
            goproxy: String::new(),
            upstreams: HashMap::new(),
        };
        let entries = list.entries();
        for (index, (element, sep)) in entries.iter().enumerate() {
            let next = entries.get(index + 1);
            match upstreams.relayed(element) {
                Some(upstream) => {
                    let behind = match next {
                        Some((element, _)) if *sep == Sep::AnyError => match element {
                            Element::Proxy(_) => Behind::Proxy,
                            Element::Direct | Element::File(_) => Behind::Other,
                            Element::Off => Behind::Nothing,
                        },
                        _ => Behind::Nothing,
                    };
                    plan.goproxy.push_str(OWN);
                    plan.goproxy.push_str(&plan.elements.len().to_string());
                    plan.bases.push(shown(&upstream));
                    plan.elements.push(upstream::Element {
                        own: Lane {
                            steps: vec![(upstream, *sep)],
                        },
                        behind,
                        later: match behind {
                            Behind::Nothing => later.to_vec(),
                            Behind::Proxy | Behind::Other => Vec::new(),
                        },
                    });
                }
                None => plan.goproxy.push_str(written(element)),
            }
            if next.is_some() {
                plan.goproxy.push(match sep {
                    Sep::NotFound => ',',
                    Sep::AnyError => '|',
                });
            }
        }
        (!plan.elements.is_empty()).then_some(plan)
    }

    /// The relay asks the elements up to the first that is go's own business.
    fn in_front(list: &ProxyList, upstreams: &mut Upstreams<'_>, later: Vec<Lane>) -> Option<Self> {
        let steps: Vec<(Arc<Upstream>, Sep)> = list
            .entries()
            .iter()
            .map_while(|(element, sep)| Some((upstreams.relayed(element)?, *sep)))
            .collect();
        let base = shown(&steps.first()?.0);
        Some(Self {
            elements: vec![upstream::Element {
                own: Lane { steps },
                behind: Behind::Nothing,
                later,
            }],
            bases: vec![base],
            goproxy: format!("{OWN}0|{list}"),
            upstreams: HashMap::new(),
        })
    }
}

/// The proxies of all lists, each once.
struct Upstreams<'a> {
    limits: Limits,
    auth: GoAuth,
    left_to_go: &'a [String],
    known: HashMap<String, Arc<Upstream>>,
}

impl Upstreams<'_> {
    /// The upstream of an element that the relay serves; `None` for one that
    /// is left to go.
    fn relayed(&mut self, element: &Element) -> Option<Arc<Upstream>> {
        let text = element.proxy_url()?;
        if let Some(known) = self.known.get(text) {
            return Some(Arc::clone(known));
        }
        if self.left_to_go.iter().any(|left| left == text) {
            return None;
        }
        let base = Url::parse(text).ok()?;
        let left_to_go = match base.scheme {
            // Go runs what GOAUTH names.
            Scheme::Https => self.auth == GoAuth::Other,
            // Go refuses these in its own words.
            Scheme::Http => base.user.is_some(),
        };
        if left_to_go || base.query.is_some() {
            return None;
        }
        let upstream = Arc::new(Upstream::new(base, self.limits));
        self.known.insert(text.to_owned(), Arc::clone(&upstream));
        Some(upstream)
    }

    /// A later list: what is left to go in it is stepped over, `off` ends it.
    fn later(&mut self, list: &ProxyList) -> Lane {
        let steps = list
            .entries()
            .iter()
            .take_while(|(element, _)| *element != Element::Off)
            .filter_map(|(element, sep)| Some((self.relayed(element)?, *sep)))
            .collect();
        Lane { steps }
    }
}

/// An upstream's URL as go would print it, without a slash at its end.
fn shown(upstream: &Upstream) -> String {
    upstream.base.redacted().trim_end_matches('/').to_owned()
}

fn written(element: &Element) -> &str {
    match element {
        Element::Proxy(text) | Element::File(text) => text,
        Element::Direct => "direct",
        Element::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lists: &[&str], goauth: &str, in_front: bool) -> Option<Plan> {
        let lists = lists.iter().map(|list| ProxyList::parse(list).unwrap()).collect();
        let environment = Environment {
            goauth: goauth.to_owned(),
            ..Environment::default()
        };
        Plan::of(&Setup {
            in_front,
            ..Setup::new(lists, environment)
        })
    }

    fn goproxy(list: &str, goauth: &str) -> Option<String> {
        plan(&[list], goauth, false).map(|plan| plan.goproxy.replace(OWN, "R/"))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_silence_before_a_second_connection() {
        let of = |millis| quiet(Duration::from_millis(millis));
        assert_eq!(of(30_000), Duration::from_secs(3));
        assert_eq!(of(2_000), Duration::from_secs(1));
        assert_eq!(of(1_999), Duration::MAX);
    }

    #[test]
    fn elements_are_replaced_in_place() {
        assert_eq!(goproxy("https://a,http://b|direct", ""), some("R/0,R/1|direct"));
        assert_eq!(goproxy("file:///x,https://a,off", ""), some("file:///x,R/0,off"));
        assert_eq!(
            goproxy("https://a|http://u:p@b,https://c", ""),
            some("R/0|http://u:p@b,R/1")
        );
        assert_eq!(goproxy("https://a,http://b", "mycmd"), some("https://a,R/0"));
        assert_eq!(goproxy("https://u:p@a", "netrc"), some("R/0"));
        assert_eq!(goproxy("a.example/go", ""), some("R/0"));
    }

    #[test]
    fn nothing_to_relay() {
        for list in [
            "direct",
            "off",
            "file:///x",
            "http://u:p@b,direct",
            "https://bücher.example",
        ] {
            assert_eq!(goproxy(list, ""), None, "{list}");
        }
        assert_eq!(goproxy("https://a,direct", "git /x"), None);
    }

    #[test]
    fn later_routes_stand_where_go_would_stop() {
        let lists = [
            "https://a|https://b,https://c|direct",
            "https://d,direct",
            "direct",
            "off,https://e",
        ];
        let plan = plan(&lists, "", false).unwrap();
        let later: Vec<usize> = plan.elements.iter().map(|element| element.later.len()).collect();
        assert_eq!(later, [0, 1, 0]);
        let behind: Vec<Behind> = plan.elements.iter().map(|element| element.behind).collect();
        assert_eq!(behind, [Behind::Proxy, Behind::Nothing, Behind::Other]);
    }

    #[test]
    fn one_proxy_has_one_breaker() {
        let plan = plan(&["https://a,https://b", "https://b"], "", false).unwrap();
        assert!(Arc::ptr_eq(
            &plan.elements[1].own.steps[0].0,
            &plan.elements[0].later[0].steps[0].0
        ));
    }

    #[test]
    fn in_front_of_the_users_own_list() {
        let plan = plan(&["https://a|https://b,file:///x,https://c"], "", true).unwrap();
        assert_eq!(
            plan.goproxy.replace(OWN, "R/"),
            "R/0|https://a|https://b,file:///x,https://c"
        );
        assert_eq!(plan.elements[0].own.steps.len(), 2);
        assert!(self::plan(&["file:///x,https://c"], "", true).is_none());
    }

    #[test]
    fn godebug_keys() {
        assert_eq!(godebug("a=1,http2client=0", "http2client"), Some("0"));
        assert_eq!(godebug("http2client=0,http2client=1", "http2client"), Some("1"));
        assert_eq!(godebug("", "http2client"), None);
    }

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
        relay.shutdown();
        assert!(std::net::TcpStream::connect(&address).is_err());
    }
}
