//! The proxy itself: its settings, its thread, its listening socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, getsockname, listen, setsockopt,
    socket, sockopt,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::catalogue::Catalogue;
use super::fault::{Fault, Rule, Script};
use super::log::{Log, Request};
use super::shared::{Door, Shared};
use super::sumdb::SumDb;
use super::wire::{Wire, reset_on_close};
use super::{h1, h2};

/// Certificate chain and key for https, as PEM text.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, the server's own certificate first. It must be good for `localhost`
    /// or `127.0.0.1`, by whichever name the client comes.
    pub chain_pem: String,
    /// The private key.
    pub key_pem: String,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// Settings of a proxy to be.
#[derive(Debug, Default)]
pub struct Builder {
    catalogue: Arc<Catalogue>,
    sumdb: Option<Arc<SumDb>>,
    rules: Vec<Rule>,
    door: Door,
    door_first: Option<usize>,
    tls: Option<Tls>,
    prefix: String,
    basic_auth: Option<String>,
    no_ranges: bool,
    no_keep_alive: bool,
}

impl Builder {
    /// Serves this checksum database below `/sumdb/NAME/`.
    #[must_use]
    pub fn sumdb(mut self, sumdb: impl Into<Arc<SumDb>>) -> Self {
        self.sumdb = Some(sumdb.into());
        self
    }

    /// Adds a rule behind those that are there.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules behind those that are there.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// This fault for every request that no earlier rule strikes.
    #[must_use]
    pub fn always(self, fault: Fault) -> Self {
        self.rule(Rule::new(fault))
    }

    /// What happens to connections, until [`FaultProxy::open`] is called.
    #[must_use]
    pub fn door(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    /// The same for the first `count` connections only. [`Door::Refuse`] and
    /// [`Door::Blackhole`] cannot count and stay until [`FaultProxy::open`].
    #[must_use]
    pub fn door_first(mut self, door: Door, count: usize) -> Self {
        self.door = door;
        self.door_first = Some(count);
        self
    }

    /// Speaks https.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves everything below this path, such as `/repository/go`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Answers 401 to every request without these credentials (`user:password`).
    #[must_use]
    pub fn basic_auth(mut self, credentials: &str) -> Self {
        self.basic_auth = Some(format!("Basic {}", STANDARD.encode(credentials)));
        self
    }

    /// Whether `Range` requests are honoured and ETags sent (default: yes).
    #[must_use]
    pub fn ranges(mut self, on: bool) -> Self {
        self.no_ranges = !on;
        self
    }

    /// Whether a connection serves more than one request (default: yes). Go repeats a
    /// request by itself when a *reused* connection dies, so that a fault meant for
    /// go itself wants this off.
    #[must_use]
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.no_keep_alive = !on;
        self
    }

    /// Starts the proxy on a port of its own on 127.0.0.1.
    ///
    /// # Errors
    /// The socket or the thread cannot be had, or certificate and key do not parse.
    pub fn start(self) -> io::Result<FaultProxy> {
        let tls = self.tls.as_ref().map(acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let socket = bound_socket()?;
        let address = local_address(&socket)?;
        let fillers = close_door(self.door, &socket, address)?;
        let listener = socket.try_clone()?;
        let shared = Arc::new(Shared {
            catalogue: RwLock::new(self.catalogue),
            sumdb: self.sumdb,
            script: RwLock::new(Script::new(self.rules)),
            log: Log::new(),
            door: Mutex::new((self.door, self.door_first)),
            connections: AtomicUsize::new(0),
            tls,
            prefix: self.prefix.trim_end_matches('/').to_owned(),
            basic_auth: self.basic_auth,
            ranges: !self.no_ranges,
            keep_alive: !self.no_keep_alive,
        });
        let (stage, stages) = watch::channel(if fillers.is_some() {
            Stage::Closed
        } else {
            Stage::Open
        });
        let thread = spawn_thread(socket, Arc::clone(&shared), stages)?;
        let url = format!("{scheme}://{address}{}", shared.prefix);
        Ok(FaultProxy {
            url,
            address,
            shared,
            stage,
            fillers: Mutex::new(fillers),
            listener,
            thread: Some(thread),
        })
    }
}

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    /// The listening socket once more: a door opens before [`FaultProxy::open`] returns.
    listener: OwnedFd,
    /// Connections that keep the accept queue full while the door is closed.
    fillers: Mutex<Option<Vec<OwnedFd>>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Settings for a proxy that serves this catalogue without faults.
    pub fn builder(catalogue: impl Into<Arc<Catalogue>>) -> Builder {
        Builder {
            catalogue: catalogue.into(),
            ..Builder::default()
        }
    }

    /// A proxy that serves this catalogue without faults.
    ///
    /// # Errors
    /// The socket or the thread cannot be had.
    pub fn healthy(catalogue: impl Into<Arc<Catalogue>>) -> io::Result<Self> {
        Self::builder(catalogue).start()
    }

    /// The value for GOPROXY, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same with another host name for 127.0.0.1, such as `localhost`.
    pub fn url_as(&self, host: &str) -> String {
        self.url.replacen("127.0.0.1", host, 1)
    }

    /// The same with credentials in it.
    pub fn url_with(&self, credentials: &str) -> String {
        self.url.replacen("://", &format!("://{credentials}@"), 1)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for GOSUMDB that sends go straight to this proxy's database;
    /// `off` if it has none.
    pub fn gosumdb(&self) -> String {
        let sumdb = &self.shared.sumdb;
        sumdb.as_ref().map_or_else(
            || "off".to_owned(),
            |db| db.gosumdb(&format!("{}/sumdb/{}", self.url, db.name())),
        )
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.snapshot()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until the requests so far are as `enough` wants them, at most `limit`.
    /// Says whether they came to be.
    pub fn wait_for(&self, limit: Duration, enough: impl Fn(&[Request]) -> bool) -> bool {
        self.shared.log.wait(limit, enough)
    }

    /// Replaces all rules; their counters start anew. With an empty list the proxy heals.
    pub fn set_rules(&self, rules: impl IntoIterator<Item = Rule>) {
        let script = Script::new(rules.into_iter().collect());
        *self.shared.script.write().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Replaces what is served.
    pub fn set_catalogue(&self, catalogue: impl Into<Arc<Catalogue>>) {
        *self
            .shared
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner) = catalogue.into();
    }

    /// Opens the door: from now on connections are accepted and served.
    ///
    /// # Errors
    /// The socket cannot be made to listen.
    pub fn open(&self) -> io::Result<()> {
        *self.shared.door.lock().unwrap_or_else(PoisonError::into_inner) = (Door::Open, None);
        self.fillers.lock().unwrap_or_else(PoisonError::into_inner).take();
        listen(&self.listener, Backlog::new(128)?)?;
        self.stage.send_replace(Stage::Open);
        Ok(())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Ended);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// What the thread of a proxy is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Accept nothing.
    Closed,
    /// Accept and serve.
    Open,
    /// End.
    Ended,
}

/// The modules' certificate and key made ready for handshakes.
fn acceptor(tls: &Tls) -> io::Result<TlsAcceptor> {
    let bad = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let chain = CertificateDer::pem_slice_iter(tls.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(&error))?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).map_err(|error| bad(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| bad(&error))?;
    config.alpn_protocols = match tls.http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A TCP socket bound to a free port of 127.0.0.1 that does not listen yet: whoever
/// connects is refused, and nobody else can get the port.
fn bound_socket() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    nix::fcntl::fcntl(
        &socket,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )?;
    setsockopt(&socket, sockopt::ReuseAddr, &false)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    Ok(socket)
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address: SockaddrIn = getsockname(socket.as_raw_fd())?;
    Ok(SocketAddr::V4(SocketAddrV4::new(
        Ipv4Addr::LOCALHOST,
        address.port(),
    )))
}

/// Makes the socket listen, or refuse, or be deaf. What it returns must be kept for
/// as long as the door is to stay closed.
fn close_door(door: Door, socket: &OwnedFd, address: SocketAddr) -> io::Result<Option<Vec<OwnedFd>>> {
    match door {
        Door::Refuse => Ok(Some(Vec::new())),
        Door::Blackhole => {
            listen(socket, Backlog::new(0)?)?;
            fill_queue(address).map(Some)
        }
        _ => listen(socket, Backlog::new(128)?)
            .map(|()| None)
            .map_err(io::Error::from),
    }
}

/// Connects until the accept queue takes no more. From then on the kernel drops
/// what would connect (Linux; elsewhere it may refuse after a while).
fn fill_queue(address: SocketAddr) -> io::Result<Vec<OwnedFd>> {
    let target = SockaddrIn::new(127, 0, 0, 1, address.port());
    (0..4)
        .map(|_| {
            let filler = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
            use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
            fcntl(&filler, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            fcntl(&filler, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            match connect(filler.as_raw_fd(), &target) {
                Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => Ok(filler),
                Err(error) => Err(error.into()),
            }
        })
        .collect()
}

fn spawn_thread(
    socket: OwnedFd,
    shared: Arc<Shared>,
    stages: watch::Receiver<Stage>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("faultproxy".to_owned())
        .spawn(move || {
            // std writes to a TLS connection with writev, which raises SIGPIPE where the client is
            // gone; a program whose main is not Rust's has not switched that off.
            let _ = SigSet::from(Signal::SIGPIPE).thread_block();
            // An accept loop ends on its stage only; connections go with the runtime.
            let _ = runtime.block_on(listen_and_serve(socket, shared, stages));
        })
}

async fn listen_and_serve(
    socket: OwnedFd,
    shared: Arc<Shared>,
    mut stages: watch::Receiver<Stage>,
) -> io::Result<()> {
    let stage = *stages
        .wait_for(|stage| *stage != Stage::Closed)
        .await
        .map_err(io::Error::other)?;
    if stage == Stage::Ended {
        return Ok(());
    }
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let accept_all = async {
        loop {
            if let Ok((tcp, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A connection that the client broke off is no event here.
                tokio::spawn(async move { serve(tcp, &shared).await.ok() });
            }
        }
    };
    tokio::select! {
        () = accept_all => {}
        _ = stages.wait_for(|stage| *stage == Stage::Ended) => {}
    }
    Ok(())
}

/// Serves one connection from the door on.
async fn serve(mut tcp: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let (connection, door) = shared.knock();
    tcp.set_nodelay(true)?;
    match door {
        Door::Open => {}
        // What filled the accept queue is let go.
        Door::Refuse | Door::Blackhole => return Ok(()),
        Door::Close => return close_in_order(tcp).await,
        Door::Reset => {
            first_bytes(&tcp).await?;
            reset_on_close(&tcp);
            return Ok(());
        }
        Door::Stall => return std::future::pending().await,
        Door::CutHandshake => {
            first_bytes(&tcp).await?;
            return close_in_order(tcp).await;
        }
        Door::PlainHttp => {
            first_bytes(&tcp).await?;
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await?;
            return close_in_order(tcp).await;
        }
    }
    let Some(acceptor) = &shared.tls else {
        return h1::serve(Wire::Plain(tcp), shared, connection).await;
    };
    let tls = acceptor.accept(tcp).await?;
    let speaks_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let wire = Wire::Tls(Box::new(tls));
    match speaks_h2 {
        true => h2::serve(wire, shared, connection).await,
        false => h1::serve(wire, shared, connection).await,
    }
}

/// Sends FIN and reads on until the client closes too: a close with something unread
/// would be a reset.
async fn close_in_order(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    Wire::Plain(tcp).hold().await;
    Ok(())
}

/// Reads what the client sends first and throws it away.
async fn first_bytes(tcp: &TcpStream) -> io::Result<()> {
    let mut sink = [0; 4096];
    loop {
        tcp.readable().await?;
        match tcp.try_read(&mut sink) {
            // Readiness may be a false alarm.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(drop),
        }
    }
}
