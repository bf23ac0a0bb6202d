//! Asks one server and notes what happened at each step.
//!
//! Whatever hangs, the notes of the steps before it stay: a [`Probe`] is read
//! by whoever started it, at any time.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::go::escape::escape;
use crate::go::files;
use crate::net::certificate::{self, Certificate};
use crate::net::credentials::{Credentials, basic};
use crate::net::dial::{self, Connected, DialError, LookupError};
use crate::net::proxy_env::{Proxy, ProxyRules, ProxyScheme};
use crate::net::redirect::{self, Reason};
use crate::net::tls::{Tls, Witness};
use crate::net::url::{Scheme, Url, join_host_port};
use crate::sys::clock::within;

use super::http::{Reply, Session, Wanted};
use super::target::{Role, Sumdb, Target};
use super::words::{self, Refusal, StepError};

/// Limit of a name lookup; go's own resolver gives up after 10 s.
const RESOLVE: Duration = Duration::from_secs(4);
/// Limit of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// Limit of the answer to CONNECT.
const CONNECT: Duration = Duration::from_secs(4);
/// Longest silence of a server.
const IDLE: Duration = Duration::from_secs(4);
/// What the transfer's speed is measured on.
const SPEED_BYTES: usize = 2 << 20;
const SPEED_TIME: Duration = Duration::from_millis(2500);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// What a path takes that loses packets of full size: the segments that every IPv4 network must carry.
const SMALL_SEGMENTS: u32 = 536;
/// Limit of a try with small packets.
const SECOND_TRY: Duration = Duration::from_secs(3);

/// What every probe needs.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) tls: Tls,
    pub(super) rules: ProxyRules,
    pub(super) credentials: Credentials,
    pub(super) sumdb: Option<Sumdb>,
    pub(super) module: (String, String),
    pub(super) connect: Duration,
    /// False under `GODEBUG=http2client=0`.
    pub(super) http2: bool,
}

/// What a step led to, and how long it took.
pub(super) type Step<T> = Result<(T, Duration), StepError>;

/// What became of one address.
#[derive(Debug, Clone)]
pub(super) struct Dialled {
    pub(super) address: SocketAddr,
    pub(super) refusal: Option<(Refusal, String)>,
}

/// Why a proxy lets nobody through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocked {
    pub(super) words: String,
    pub(super) wants_login: bool,
}

/// What a handshake showed.
#[derive(Debug, Clone, Default)]
struct Seen {
    certificate: Option<Certificate>,
    /// Set where the certificate does not verify.
    refused: Option<String>,
}

/// The session of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) version: &'static str,
    pub(super) http2: bool,
}

/// What kind of answer a file of the module proxy protocol got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// As it should be.
    Good,
    /// A status that go takes for an answer, with the server's own words.
    Status(u16, String),
    /// A web page, or something else that no module proxy sends.
    Garbage(String),
}

/// Everything that was seen of one server.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// The HTTP proxy in between, without credentials.
    pub(super) via: Option<String>,
    /// Set where the HTTP proxy's own value is not usable.
    pub(super) via_error: Option<String>,
    pub(super) resolved: Option<Result<(Vec<SocketAddr>, Duration), LookupError>>,
    pub(super) dialled: Vec<Dialled>,
    pub(super) connect: Option<Result<Duration, Blocked>>,
    pub(super) handshake: Option<Step<Handshake>>,
    pub(super) certificate: Option<Certificate>,
    pub(super) certificate_refused: Option<String>,
    pub(super) info: Option<Step<Answer>>,
    pub(super) go_mod: Option<Step<Answer>>,
    pub(super) sumdb: Option<Step<Answer>>,
    pub(super) zip: Option<Step<Answer>>,
    /// Bytes and time of the transfer, where enough came to tell.
    pub(super) speed: Option<(u64, Duration)>,
    /// The server's clock minus this one's.
    pub(super) skew: Option<SignedDuration>,
    /// Set where HTTP/2 failed and HTTP/1.1 did not.
    pub(super) http2_broken: Option<String>,
    /// It is an HTTP proxy, and no module proxy.
    pub(super) is_http_proxy: bool,
    /// The host that the zip came from, where it was another one.
    pub(super) redirected: Option<String>,
    /// The interface that the connection goes out by.
    pub(super) interface: Option<String>,
    /// Set where packets of full size are lost on the way, with the interface they should have come in by.
    pub(super) loses_large_packets: Option<String>,
    pub(super) doing: String,
    pub(super) done: bool,
}

impl Measured {
    /// True where a file of the protocol came through.
    pub(super) fn works(&self) -> bool {
        matches!(self.info, Some(Ok((Answer::Good, _)))) || matches!(self.go_mod, Some(Ok((Answer::Good, _))))
    }

    /// True where nobody answered: no name, no connection, no handshake, no answer.
    /// A certificate that does not verify is an answer, and so is a status.
    pub(super) fn is_unreachable(&self) -> bool {
        let answered = [&self.info, &self.sumdb]
            .into_iter()
            .any(|step| matches!(step, Some(Ok(_))));
        let refused = self.certificate_refused.is_some() || matches!(self.connect, Some(Err(_)));
        !answered && !refused
    }

    /// True where a connection was made to the server itself and an answer did not come, or not whole.
    fn broke_after_connecting(&self) -> bool {
        let direct = self.via.is_none() && matches!(self.connect, Some(Ok(_)));
        let refused = self.certificate_refused.is_some();
        let steps = [&self.info, &self.go_mod, &self.sumdb, &self.zip];
        let broke =
            steps.iter().any(|step| matches!(step, Some(Err(_)))) || matches!(self.handshake, Some(Err(_)));
        direct && !refused && broke
    }

    /// From nothing to the first answer, where there was one.
    pub(super) fn latency(&self) -> Option<Duration> {
        let (_, answer) = self.info.as_ref()?.as_ref().ok()?;
        Some(*answer)
    }
}

/// A server under examination; clones share the notes.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) target: Target,
    notes: Arc<Mutex<Measured>>,
}

impl Probe {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            notes: Arc::default(),
        }
    }

    /// A copy of what is known by now.
    pub(super) fn measured(&self) -> Measured {
        self.notes().clone()
    }

    fn notes(&self) -> MutexGuard<'_, Measured> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs every step. It may be dropped at any time.
    pub(super) async fn run(&self, tools: &Tools) {
        let (dialled, mut others) = mpsc::unbounded_channel();
        let steps = async move {
            self.steps(tools, &dialled).await;
            self.doing("waiting for the slower addresses");
        };
        // It ends with the slowest address: IPv6 that is announced and dead shows there.
        let addresses = async {
            while let Some(one) = others.recv().await {
                self.notes().dialled.push(one);
            }
        };
        tokio::join!(steps, addresses);
        self.notes().done = true;
    }

    async fn steps(&self, tools: &Tools, dialled: &mpsc::UnboundedSender<Dialled>) {
        let start = Instant::now();
        let visit = Visit {
            first: true,
            ..self.visit(tools, dialled)
        };
        if let Ok(mut session) = visit.open(&self.target.url, tools.http2).await {
            match self.target.role {
                Role::Host => {}
                Role::Sumdb => self.ask_database(&mut session, tools).await,
                Role::Proxy => self.ask_proxy(session, tools, dialled).await,
            }
        }
        if start.elapsed() >= IDLE && self.measured().broke_after_connecting() {
            self.look_for_lost_packets(tools, dialled).await;
        }
    }

    /// A later visit: it leaves the notes of the first one alone.
    fn visit<'a>(&'a self, tools: &'a Tools, dialled: &'a mpsc::UnboundedSender<Dialled>) -> Visit<'a> {
        Visit {
            probe: self,
            tools,
            dialled,
            first: false,
            segments: None,
        }
    }

    /// Fetches the largest file that is known twice at the same time, once with small packets only. Where just that one
    /// comes through, the path loses packets of full size, and nobody tells the sender (an MTU black hole).
    async fn look_for_lost_packets(&self, tools: &Tools, dialled: &mpsc::UnboundedSender<Dialled>) {
        self.doing("trying again with small packets");
        let interface = self.measured().interface;
        let (module, version) = &tools.module;
        let url = match self.target.role {
            Role::Proxy => self
                .target
                .url
                .below(&format!("{}/@v/{}.zip", escape(module), escape(version))),
            Role::Sumdb | Role::Host => self.target.url.below("latest"),
        };
        let fetch = async |segments| {
            let visit = Visit {
                segments,
                ..self.visit(tools, dialled)
            };
            let whole = async {
                let mut session = visit.open(&self.target.url, tools.http2).await?;
                session.get(&url, tools, small()).await
            };
            matches!(within(SECOND_TRY, whole).await, Some(Ok(_)))
        };
        let (any_size, small_only) = tokio::join!(fetch(None), fetch(Some(SMALL_SEGMENTS)));
        if small_only && !any_size {
            self.notes().loses_large_packets = Some(interface.unwrap_or_default());
        }
    }

    async fn ask_database(&self, session: &mut Open, tools: &Tools) {
        self.doing("asking for the tree head");
        let reply = session
            .get(&self.target.url.below("latest"), tools, small())
            .await;
        self.date(&reply);
        let step = step_of(reply, |body| body.starts_with(b"go.sum database tree"));
        self.notes().sumdb = Some(step);
    }

    async fn ask_proxy(&self, mut session: Open, tools: &Tools, dialled: &mpsc::UnboundedSender<Dialled>) {
        let (module, version) = &tools.module;
        let base = format!("{}/@v/{}", escape(module), escape(version));
        let url = |ending: &str| self.target.url.below(&format!("{base}{ending}"));
        self.doing(&format!("asking for {module}@{version}.info"));
        let mut reply = session.get(&url(".info"), tools, small()).await;
        if let Err(words) = &reply
            && session.http2
        {
            self.doing("trying again with HTTP/1.1");
            let words = words.clone();
            let again = self.visit(tools, dialled);
            match again.open(&self.target.url, false).await {
                Ok(plain) => {
                    session = plain;
                    reply = session.get(&url(".info"), tools, small()).await;
                    if reply.is_ok() {
                        self.notes().http2_broken = Some(words.to_string());
                    }
                }
                Err(error) => reply = Err(error),
            }
        }
        self.date(&reply);
        self.notes().is_http_proxy = self.is_http_proxy(tools, &reply);
        let step = step_of(reply, |body| files::info(body, Some(version)).is_ok());
        let reachable = step.is_ok();
        self.notes().info = Some(step);
        if !reachable {
            return;
        }
        self.doing("asking for its go.mod");
        let reply = self
            .again(&mut session, &url(".mod"), tools, dialled, small())
            .await;
        self.notes().go_mod = Some(step_of(reply, is_go_mod));
        if let Some(sumdb) = tools.sumdb.as_ref().filter(|sumdb| sumdb.url.is_none()) {
            self.doing("asking for the checksum database");
            let url = self.target.url.below(&format!("sumdb/{}/supported", sumdb.name));
            let reply = self.again(&mut session, &url, tools, dialled, small()).await;
            self.notes().sumdb = Some(step_of(reply, |_| true));
        }
        self.fetch_zip(&mut session, url(".zip"), tools, dialled).await;
    }

    /// True for a server that is an HTTP proxy and was given for a module proxy.
    fn is_http_proxy(&self, tools: &Tools, reply: &Result<Reply, StepError>) -> bool {
        let url = &self.target.url;
        let is_named = [Scheme::Http, Scheme::Https].into_iter().any(|scheme| {
            let proxy = tools.rules.proxy_of(scheme);
            proxy.is_some_and(|proxy| proxy.host.eq_ignore_ascii_case(&url.host) && proxy.port == url.port)
        });
        let good = reply.as_ref().is_ok_and(|reply| reply.status == 200);
        let as_proxy = reply.as_ref().is_ok_and(|reply| reply.is_of_a_proxy);
        !good && url.path == "/" && (is_named || as_proxy)
    }

    /// The zip, wherever redirects lead; its first bytes tell the speed.
    async fn fetch_zip(
        &self,
        session: &mut Open,
        mut url: Url,
        tools: &Tools,
        dialled: &mpsc::UnboundedSender<Dialled>,
    ) {
        self.doing("fetching its zip");
        let wanted = Wanted {
            bytes: SPEED_BYTES,
            time: SPEED_TIME,
            idle: IDLE,
        };
        let first = url.clone();
        for hops in 0.. {
            let reply = self.again(session, &url, tools, dialled, wanted).await;
            let Some(location) = reply.as_ref().ok().and_then(|reply| reply.location.clone()) else {
                if let Ok(reply) = &reply {
                    self.speed(reply);
                }
                self.notes().zip = Some(step_of(reply, files::may_be_zip));
                return;
            };
            match redirect::follow(&first, &url, &location, hops) {
                Ok(next) => url = next,
                Err(error) => {
                    let words = match error.reason {
                        Reason::Insecure => "it redirects from https to http, which Go refuses".to_owned(),
                        _ => error.text,
                    };
                    self.notes().zip = Some(Err(StepError::Other(words)));
                    return;
                }
            }
            if !url.same_host(&session.url) {
                self.notes().redirected = Some(crate::text::safe(&url.host));
                match self.visit(tools, dialled).open(&url, tools.http2).await {
                    Ok(other) => *session = other,
                    Err(error) => {
                        self.notes().zip = Some(Err(error));
                        return;
                    }
                }
            }
        }
    }

    /// A request on `session`, or on a new one where the server closed it.
    async fn again(
        &self,
        session: &mut Open,
        url: &Url,
        tools: &Tools,
        dialled: &mpsc::UnboundedSender<Dialled>,
        wanted: Wanted,
    ) -> Result<Reply, StepError> {
        if !session.session.is_open().await {
            let visit = self.visit(tools, dialled);
            let http2 = session.http2;
            *session = visit.open(url, http2).await.map_err(|error| {
                StepError::Other(format!(
                    "the server closed the connection and accepts no other: {error}"
                ))
            })?;
        }
        session.get(url, tools, wanted).await
    }

    fn speed(&self, reply: &Reply) {
        const ENOUGH: u64 = 32 << 10;
        if reply.status == 200 && reply.received >= ENOUGH {
            self.notes().speed = Some((reply.received, reply.transfer.max(Duration::from_millis(1))));
        }
    }

    fn date(&self, reply: &Result<Reply, StepError>) {
        let date = reply
            .as_ref()
            .ok()
            .and_then(|reply| reply.date.as_deref())
            .and_then(http_date);
        if let Some(date) = date {
            self.notes().skew = Some(date.duration_since(Timestamp::now()));
        }
    }

    fn doing(&self, what: &str) {
        what.clone_into(&mut self.notes().doing);
    }
}

/// An open connection to one host.
struct Open {
    session: Session,
    http2: bool,
    url: Url,
    /// The login for an HTTP proxy that is asked in absolute form; empty for none.
    absolute: Option<String>,
}

impl Open {
    async fn get(&mut self, url: &Url, tools: &Tools, wanted: Wanted) -> Result<Reply, StepError> {
        let own = url.same_host(&self.url);
        let mut authorization = tools.credentials.header(url);
        if authorization.is_none() && own && url.scheme == Scheme::Https {
            authorization = self.url.user.as_ref().map(basic);
        }
        self.session
            .get(url, authorization.as_deref(), self.absolute.as_deref(), wanted)
            .await
    }
}

/// One way to a host: name, connection, proxy, TLS.
struct Visit<'a> {
    probe: &'a Probe,
    tools: &'a Tools,
    dialled: &'a mpsc::UnboundedSender<Dialled>,
    /// Only the first visit writes the steps into the notes; what keeps a later one from its host, its caller says.
    first: bool,
    /// The largest segments that the server may send; `None` for those of the network.
    segments: Option<u32>,
}

impl Visit<'_> {
    /// Writes into the notes, on the first visit.
    fn note(&self, note: impl FnOnce(&mut Measured)) {
        if self.first {
            note(&mut self.probe.notes());
        }
    }

    async fn open(&self, url: &Url, http2: bool) -> Result<Open, StepError> {
        let proxy = self
            .tools
            .rules
            .proxy_for(url.scheme, &url.host, url.port)
            .map_err(|why| {
                self.note(|notes| notes.via_error = Some(why.to_string()));
                StepError::Other(why.to_string())
            })?;
        let connected = self.connection(url, proxy).await?;
        let absolute = proxy
            .filter(|proxy| url.scheme == Scheme::Http && proxy.scheme != ProxyScheme::Socks5)
            .map(|proxy| proxy.user.as_ref().map_or_else(String::new, basic));
        let (connected, http2) = match url.scheme {
            Scheme::Http => (connected, false),
            Scheme::Https => self.handshake(url, connected, http2).await?,
        };
        match Session::start(connected.stream, http2).await {
            Ok(session) => Ok(Open {
                session,
                http2,
                url: url.clone(),
                absolute,
            }),
            Err(error) => {
                self.note(|notes| notes.info = Some(Err(error.clone())));
                Err(error)
            }
        }
    }

    /// TCP to the host, or to the proxy in front of it and on through it.
    async fn connection(&self, url: &Url, proxy: Option<&Proxy>) -> Result<Connected, StepError> {
        let (host, port) = proxy.map_or((url.host.as_str(), url.port), |proxy| {
            (proxy.host.as_str(), proxy.port)
        });
        self.note(|notes| notes.via = proxy.map(|proxy| proxy.shown.clone()));
        let shown = proxy.map_or_else(|| join_host_port(host, port), |proxy| proxy.shown.clone());
        self.probe.doing(&format!("looking up {shown}"));
        let start = Instant::now();
        let resolved = dial::resolve(host, port, RESOLVE)
            .await
            .map_err(|error| match error {
                DialError::Lookup { error, .. } => error,
                other => LookupError::Other(words::dial(&other)),
            });
        self.note(|notes| notes.resolved = Some(resolved.clone().map(|found| (found, start.elapsed()))));
        let addresses =
            resolved.map_err(|error| StepError::Other(crate::text::safe(&words::lookup(&error))))?;
        self.probe.doing(&format!("connecting to {shown}"));
        let start = Instant::now();
        let stream = self.first_of(&addresses).await?;
        let interface = stream
            .local_addr()
            .ok()
            .and_then(|local| interface_of(local.ip()));
        let connected = Connected::of(stream).map_err(|error| words::step(&error))?;
        self.note(|notes| {
            notes.interface = interface;
            notes.connect = Some(Ok(start.elapsed()));
        });
        let Some(proxy) = proxy else {
            return Ok(connected);
        };
        self.probe
            .doing(&format!("asking the proxy {} for a connection", proxy.shown));
        self.through(proxy, connected, url).await.map_err(|error| {
            let words = crate::text::safe(&words::dial(&error));
            let told = format!("the proxy {} does not allow the connection: {words}", proxy.shown);
            let wants_login = words::wants_login(&error);
            self.note(|notes| notes.connect = Some(Err(Blocked { words, wants_login })));
            StepError::Other(told)
        })
    }

    /// Connects to every address at once and hands out the first connection. What
    /// became of each address is noted, of the slow ones later on.
    async fn first_of(&self, addresses: &[SocketAddr]) -> Result<TcpStream, StepError> {
        let (told, mut outcomes) = mpsc::channel(MAX_ADDRESSES);
        for &address in addresses.iter().take(MAX_ADDRESSES) {
            let (limit, segments) = (self.tools.connect, self.segments);
            let (told, dialled) = (told.clone(), self.dialled.clone());
            let is_told = self.first;
            tokio::spawn(async move {
                let outcome = dial::connect(address, segments, limit).await;
                let refusal = outcome.as_ref().err().map(|e| (Refusal::of(e), words::io(e)));
                // Nobody listens any more once the probe is over.
                if is_told {
                    let _ = dialled.send(Dialled { address, refusal });
                }
                let _ = told.try_send(outcome);
            });
        }
        drop(told);
        let mut why = StepError::Other("the name has no address".to_owned());
        while let Some(outcome) = outcomes.recv().await {
            match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => why = StepError::of_connect(&error),
            }
        }
        Err(why)
    }

    /// From the proxy on.
    async fn through(&self, proxy: &Proxy, connected: Connected, url: &Url) -> Result<Connected, DialError> {
        let connected = match proxy.scheme {
            ProxyScheme::Https => {
                let config = self.tools.tls.config(false)?;
                dial::handshake(connected, &proxy.host, config, HANDSHAKE)
                    .await
                    .map_err(|error| DialError::ToProxy(Box::new(error)))?
                    .0
            }
            ProxyScheme::Http | ProxyScheme::Socks5 => connected,
        };
        if url.scheme == Scheme::Http && proxy.scheme != ProxyScheme::Socks5 {
            return Ok(connected);
        }
        dial::tunnel(connected, proxy, &url.host, url.port, CONNECT).await
    }

    async fn handshake(
        &self,
        url: &Url,
        connected: Connected,
        http2: bool,
    ) -> Result<(Connected, bool), StepError> {
        self.probe.doing(&format!("TLS handshake with {}", url.host));
        if !self.tools.tls.has_roots() {
            self.note(|notes| notes.handshake = Some(Err(StepError::NoRoots)));
            return Err(StepError::NoRoots);
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let witness: Witness = {
            let seen = Arc::clone(&seen);
            Arc::new(move |shown, refused| {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
                    certificate: certificate::parse(shown),
                    refused: refused.map(words::certificate),
                };
            })
        };
        let start = Instant::now();
        let shaken = match self.tools.tls.watched(http2, witness) {
            Ok(config) => dial::handshake(connected, &url.host, config, HANDSHAKE).await,
            Err(error) => Err(error.into()),
        };
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let step = match &shaken {
            Ok((_, session)) => {
                let version = match session.version {
                    Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                    _ => "TLS 1.3",
                };
                let http2 = session.http2;
                Ok((Handshake { version, http2 }, start.elapsed()))
            }
            Err(error) => Err(words::step(error)),
        };
        let refused = seen.refused.clone();
        self.note(|notes| {
            notes.certificate = seen.certificate;
            notes.certificate_refused = seen.refused;
            notes.handshake = Some(step.clone());
        });
        match (shaken, step) {
            (Ok((connected, session)), _) => Ok((connected, session.http2)),
            (Err(_), Err(error)) => Err(match refused {
                Some(why) => StepError::Other(format!(
                    "the certificate does not verify: {}",
                    crate::text::safe(&why)
                )),
                None => error,
            }),
            (Err(error), Ok(_)) => Err(words::step(&error)),
        }
    }
}

/// The interface that has this address.
fn interface_of(ip: IpAddr) -> Option<String> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    let has = |address: &nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        v4.or(v6) == Some(ip)
    };
    interfaces
        .filter(|interface| interface.address.as_ref().is_some_and(has))
        .map(|interface| interface.interface_name)
        .next()
}

fn small() -> Wanted {
    Wanted {
        bytes: 64 << 10,
        time: IDLE,
        idle: IDLE,
    }
}

/// What a reply means; `is_good` looks at the body of a 200.
fn step_of(reply: Result<Reply, StepError>, is_good: impl Fn(&[u8]) -> bool) -> Step<Answer> {
    let reply = reply?;
    let took = reply.wait;
    let html = reply.content_type.starts_with("text/html") || looks_like_html(&reply.body);
    let answer = match reply.status {
        200 if html => Answer::Garbage("a web page".to_owned()),
        200 if is_good(&reply.body) => Answer::Good,
        200 => Answer::Garbage(first_words(&reply.body)),
        300..400 => {
            let to = reply.location.as_deref().unwrap_or("nowhere");
            Answer::Garbage(format!("a redirect to {}", crate::text::safe(to)))
        }
        status if html => Answer::Status(status, String::new()),
        status => Answer::Status(status, first_words(&reply.body)),
    };
    Ok((answer, took))
}

fn looks_like_html(body: &[u8]) -> bool {
    let head = body.trim_ascii_start();
    head.first() == Some(&b'<')
}

fn first_words(body: &[u8]) -> String {
    let line = body
        .trim_ascii()
        .split(|&b| b == b'\n')
        .next()
        .unwrap_or_default();
    let shown = crate::text::safe(&line[..line.len().min(80)]);
    if shown.is_empty() {
        "an empty body".to_owned()
    } else {
        format!("\"{shown}\"")
    }
}

fn is_go_mod(body: &[u8]) -> bool {
    files::go_mod_complaint(body, None, true).is_none()
}

/// A Date header.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read_as_http_has_it() {
        let parsed = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(parsed.to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn what_is_no_file_of_the_protocol_is_quoted() {
        assert!(is_go_mod(b"// comment\nmodule \"x\"\n"));
        let body = b"\n  login please \x1b[2J\n";
        assert!(!is_go_mod(body));
        assert_eq!(first_words(body), "\"login please \u{fffd}[2J\"");
    }
}
