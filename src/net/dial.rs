//! From a host name to a connection: resolving, connecting, the proxies of the
//! environment, TLS. Every step has its own clock.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustls::ClientConfig;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::proxy_env::{Proxy, ProxyScheme};
use super::tls::Tls;
use super::tunnel::{self, TunnelError};
use crate::sys::clock::within;
use crate::sys::network;

/// How long the second address family waits for the first, as in Go.
const FALLBACK_DELAY: Duration = Duration::from_millis(300);

/// How long a name may take on a machine without any route. Only the machine itself could answer, and musl's resolver does not
/// notice that a question has gone nowhere: it waits for its answer.
const ALONE: Duration = Duration::from_secs(1);

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Name resolution.
    pub(crate) lookup: Duration,
    /// Connecting, per address.
    pub(crate) connect: Duration,
    /// The TLS handshake.
    pub(crate) handshake: Duration,
    /// A proxy's answer to CONNECT.
    pub(crate) tunnel: Duration,
    /// From the request to the answer's header.
    pub(crate) first_byte: Duration,
    /// A body that brings fewer than ten bytes a second.
    pub(crate) stall: Duration,
    /// Silence after which the same is asked on another connection, beside the
    /// first.
    pub(crate) quiet: Duration,
}

impl Timeouts {
    /// Twice as patient; `limit` times the first at most.
    pub(crate) fn doubled(self) -> Self {
        Self {
            lookup: self.lookup * 2,
            connect: self.connect * 2,
            handshake: self.handshake * 2,
            tunnel: self.tunnel * 2,
            first_byte: self.first_byte * 2,
            stall: self.stall * 2,
            quiet: self.quiet.saturating_mul(2),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// A name that is not known, or a resolver that is in trouble.
    Lookup { host: String, error: LookupError },
    /// A redirect that leads to addresses of one link.
    LinkLocal { host: String },
    /// No connection to this address.
    Connect { address: SocketAddr, error: io::Error },
    /// The connection broke as soon as it was there.
    Broken(io::Error),
    /// The TLS library refuses its own defaults.
    Library(rustls::Error),
    /// No certificate can be for such a name.
    ServerName { host: String },
    /// What ended a TLS handshake.
    Handshake { error: io::Error, ends: Ends },
    /// Nobody answered it.
    HandshakeTimeout,
    /// Any of these, on the way to a proxy.
    ToProxy(Box<Self>),
    /// What a proxy said, or did, when asked for a way to `target`.
    Tunnel {
        error: TunnelError,
        scheme: ProxyScheme,
        target: String,
        ends: Ends,
    },
    /// It said nothing.
    TunnelTimeout,
}

impl From<rustls::Error> for DialError {
    fn from(error: rustls::Error) -> Self {
        Self::Library(error)
    }
}

/// What the system's resolver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// There is no such name, or it has no address.
    NoSuchHost,
    /// It did not answer in time.
    Timeout,
    /// Anything else, in its own words.
    Other(String),
}

impl LookupError {
    /// The words of glibc, musl and macOS, wrapped by std as `failed to lookup address information: …`.
    fn of(error: &io::Error) -> Self {
        let text = error.to_string();
        let words = text
            .strip_prefix("failed to lookup address information: ")
            .unwrap_or(&text);
        match words {
            "Name or service not known"
            | "No address associated with hostname"
            | "Name does not resolve"
            | "Name has no usable address"
            | "nodename nor servname provided, or not known" => Self::NoSuchHost,
            "Try again" => Self::Other("Temporary failure in name resolution".to_owned()),
            other => Self::Other(crate::text::safe(other)),
        }
    }
}

/// The two ends of a connection, as they stand in Go's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) peer: SocketAddr,
}

/// Anything that bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection and its two ends.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) ends: Ends,
}

impl Connected {
    pub(crate) fn of(stream: TcpStream) -> Result<Self, DialError> {
        // Small requests must not wait for one another's acknowledgement.
        drop(stream.set_nodelay(true));
        let ends = Ends {
            local: stream.local_addr().map_err(DialError::Broken)?,
            peer: stream.peer_addr().map_err(DialError::Broken)?,
        };
        Ok(Self {
            stream: Box::new(stream),
            ends,
        })
    }
}

/// What a TLS handshake has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// HTTP/2 was agreed on.
    pub(crate) http2: bool,
    /// The version in use.
    pub(crate) version: Option<ProtocolVersion>,
}

/// Connects to `host:port`. With `no_link_local` addresses of one link are
/// refused: a redirect must not lead to a machine's metadata service.
pub(crate) async fn tcp(
    host: &str,
    port: u16,
    timeouts: Timeouts,
    no_link_local: bool,
) -> Result<Connected, DialError> {
    let addresses = resolve(host, port, timeouts.lookup).await?;
    if no_link_local && addresses.iter().any(|address| is_link_local(address.ip())) {
        return Err(DialError::LinkLocal {
            host: host.to_owned(),
        });
    }
    let is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (primary, fallback): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == is_v4);
    Connected::of(race(host, &primary, &fallback, timeouts.connect).await?)
}

/// Asks the system's resolver. A silent one keeps its thread, not its caller.
pub(crate) async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // Go dials this machine where a URL has no host.
    let name = if host.is_empty() { "localhost" } else { host };
    let lookup = tokio::net::lookup_host((name, port));
    tokio::pin!(lookup);
    let answer = match within(limit.min(ALONE), lookup.as_mut()).await {
        None if limit > ALONE && network::has_any_route() != Some(false) => {
            within(limit - ALONE, lookup).await
        }
        other => other,
    };
    let error = match answer {
        Some(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            LookupError::NoSuchHost
        }
        Some(Err(error)) => LookupError::of(&error),
        None => LookupError::Timeout,
    };
    Err(DialError::Lookup {
        host: host.to_owned(),
        error,
    })
}

/// Go's dialer: the first family's addresses one after another, the other
/// family's beside them after 300 ms or when the first has failed.
async fn race(
    host: &str,
    primary: &[SocketAddr],
    fallback: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let first = serial(host, primary, limit);
    if fallback.is_empty() {
        return first.await;
    }
    let second = async {
        tokio::time::sleep(FALLBACK_DELAY).await;
        serial(host, fallback, limit).await
    };
    tokio::pin!(first);
    tokio::pin!(second);
    tokio::select! {
        biased;
        done = &mut first => match done {
            Ok(stream) => Ok(stream),
            Err(error) => serial(host, fallback, limit).await.map_err(|_| error),
        },
        done = &mut second => match done {
            Ok(stream) => Ok(stream),
            Err(_) => first.await,
        },
    }
}

/// The first error is the one that is told, as in Go.
async fn serial(host: &str, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, DialError> {
    let mut first = None;
    for address in addresses {
        match connect(*address, None, limit).await {
            Ok(stream) => return Ok(stream),
            Err(error) => first.get_or_insert(DialError::Connect {
                address: *address,
                error,
            }),
        };
    }
    Err(first.unwrap_or_else(|| DialError::Lookup {
        host: host.to_owned(),
        error: LookupError::NoSuchHost,
    }))
}

/// Connects to one address; `TimedOut` without a number where the clock struck. `segments` is the largest TCP segment
/// that the other side may send, in bytes, where the system lets one say so.
pub(crate) async fn connect(
    address: SocketAddr,
    segments: Option<u32>,
    limit: Duration,
) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Some(segments) = segments {
        setsockopt(&socket, sockopt::TcpMaxSeg, &segments)?;
    }
    match within(limit, socket.connect(address)).await {
        Some(done) => done,
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// 169.254.0.0/16 and fe80::/10, in IPv4-mapped form too.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
    }
}

/// Speaks TLS over a connection.
pub(crate) async fn handshake(
    connected: Connected,
    host: &str,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<(Connected, Session), DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::ServerName {
        host: host.to_owned(),
    })?;
    let ends = connected.ends;
    let work = TlsConnector::from(config).connect(name, connected.stream);
    match within(limit, work).await {
        Some(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            let session = Session {
                http2: connection.alpn_protocol() == Some(b"h2"),
                version: connection.protocol_version(),
            };
            let connected = Connected {
                stream: Box::new(stream),
                ends,
            };
            Ok((connected, session))
        }
        Some(Err(error)) => Err(DialError::Handshake { error, ends }),
        None => Err(DialError::HandshakeTimeout),
    }
}

/// Connects to the proxy itself.
pub(crate) async fn to_proxy(proxy: &Proxy, timeouts: Timeouts, tls: &Tls) -> Result<Connected, DialError> {
    let on_the_way = |error| DialError::ToProxy(Box::new(error));
    let connected = tcp(&proxy.host, proxy.port, timeouts, false)
        .await
        .map_err(on_the_way)?;
    match proxy.scheme {
        ProxyScheme::Https => handshake(connected, &proxy.host, tls.config(false)?, timeouts.handshake)
            .await
            .map(|(connected, _)| connected)
            .map_err(on_the_way),
        ProxyScheme::Http | ProxyScheme::Socks5 => Ok(connected),
    }
}

/// Opens a tunnel to `host:port` through a connected proxy.
pub(crate) async fn tunnel(
    mut connected: Connected,
    proxy: &Proxy,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Connected, DialError> {
    let ends = connected.ends;
    match within(limit, tunnel::open(&mut *connected.stream, proxy, host, port)).await {
        Some(Ok(())) => Ok(connected),
        Some(Err(error)) => Err(DialError::Tunnel {
            error,
            scheme: proxy.scheme,
            target: super::url::join_host_port(host, port),
            ends,
        }),
        None => Err(DialError::TunnelTimeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_resolve() {
        let of = |words: &str| {
            LookupError::of(&io::Error::other(format!(
                "failed to lookup address information: {words}"
            )))
        };
        assert_eq!(of("Name or service not known"), LookupError::NoSuchHost);
        assert_eq!(
            of("Temporary failure in name resolution"),
            LookupError::Other("Temporary failure in name resolution".to_owned())
        );
    }

    #[test]
    fn addresses_of_one_link() {
        for ip in ["169.254.169.254", "fe80::1", "::ffff:169.254.0.1"] {
            assert!(is_link_local(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"] {
            assert!(!is_link_local(ip.parse().unwrap()), "{ip}");
        }
    }
}
