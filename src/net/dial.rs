//! From a host name to a connection: resolving, connecting, the proxies of the
//! environment, TLS. Every step has its own clock.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::diagnose::FaultKind;

use super::credentials::basic;
use super::proxy_env::{Proxy, ProxyScheme};
use super::url::join_host_port;
use crate::relay::trouble::{Again, Ends, Trouble, dial_trouble, find, io_trouble, lookup_trouble};
use crate::sys::clock::within;

/// How long the second address family waits for the first, as in Go.
const FALLBACK_DELAY: Duration = Duration::from_millis(300);
/// The longest header that a proxy may answer CONNECT with.
const CONNECT_LIMIT: usize = 64 << 10;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
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

impl Patience {
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

/// Anything that bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection and its two ends.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) ends: Ends,
}

/// Connects to `host:port`. With `no_link_local` addresses of one link are
/// refused: a redirect must not lead to a machine's metadata service.
pub(crate) async fn tcp(
    host: &str,
    port: u16,
    patience: Patience,
    no_link_local: bool,
) -> Result<(TcpStream, Ends), Trouble> {
    let addresses = resolve(host, port, patience.lookup).await?;
    if no_link_local && addresses.iter().any(|address| is_link_local(address.ip())) {
        return Err(Trouble::new(
            FaultKind::Garbage,
            format!("redirected to link-local address of {host}, refused"),
        ));
    }
    let Some(first) = addresses.first() else {
        return Err(Trouble::nobody(
            FaultKind::Dns,
            format!("dial tcp: lookup {host}: no such host"),
        ));
    };
    let (primary, fallback): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let stream = race(&primary, &fallback, patience.connect).await?;
    // Small requests must not wait for one another's acknowledgement.
    drop(stream.set_nodelay(true));
    let ends = Ends {
        local: stream.local_addr().map_err(|err| io_trouble(&err, None, false))?,
        peer: stream.peer_addr().map_err(|err| io_trouble(&err, None, false))?,
    };
    Ok((stream, ends))
}

async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match within(limit, tokio::net::lookup_host((host, port))).await {
        Some(Ok(addresses)) => Ok(addresses.collect()),
        Some(Err(err)) => Err(lookup_trouble(host, &err)),
        None => Err(Trouble::nobody(
            FaultKind::Timeout,
            format!("dial tcp: lookup {host}: i/o timeout"),
        )),
    }
}

/// Go's dialer: the first family's addresses one after another, the other
/// family's beside them after 300 ms or when the first has failed.
async fn race(
    primary: &[SocketAddr],
    fallback: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Trouble> {
    let first = serial(primary, limit);
    if fallback.is_empty() {
        return first.await;
    }
    let second = async {
        tokio::time::sleep(FALLBACK_DELAY).await;
        serial(fallback, limit).await
    };
    tokio::pin!(first);
    tokio::pin!(second);
    tokio::select! {
        biased;
        done = &mut first => match done {
            Ok(stream) => Ok(stream),
            Err(trouble) => serial(fallback, limit).await.map_err(|_| trouble),
        },
        done = &mut second => match done {
            Ok(stream) => Ok(stream),
            Err(_) => first.await,
        },
    }
}

async fn serial(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, Trouble> {
    let mut first = None;
    for address in addresses {
        let trouble = match within(limit, TcpStream::connect(address)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(err)) => dial_trouble(*address, &err),
            None => Trouble::nobody(FaultKind::Timeout, format!("dial tcp {address}: i/o timeout")),
        };
        first.get_or_insert(trouble);
    }
    Err(first.unwrap_or_else(|| Trouble::nobody(FaultKind::Connect, "dial tcp: missing address")))
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

/// Speaks TLS over `stream`; true where HTTP/2 was agreed on.
pub(crate) async fn tls(
    connected: Connected,
    host: &str,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<(Connected, bool), Trouble> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Trouble::new(FaultKind::Certificate, format!("tls: invalid server name {host}"))
            .then(Again::Elsewhere)
    })?;
    let ends = connected.ends;
    let handshake = TlsConnector::from(config).connect(name, connected.stream);
    match within(limit, handshake).await {
        Some(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let connected = Connected {
                stream: Box::new(stream),
                ends,
            };
            Ok((connected, http2))
        }
        Some(Err(err)) => Err(handshake_trouble(&err, ends)),
        None => Err(Trouble::nobody(
            FaultKind::Timeout,
            "net/http: TLS handshake timeout",
        )),
    }
}

/// Everything that ends a handshake but a bad certificate says that nobody
/// is there.
fn handshake_trouble(err: &io::Error, ends: Ends) -> Trouble {
    let is_tls = find::<rustls::Error>(err).is_some();
    let mut trouble = io_trouble(err, Some(ends), false);
    if trouble.kind != FaultKind::Certificate {
        trouble.nobody = true;
        if is_tls {
            trouble.kind = FaultKind::TlsHandshake;
        }
    }
    trouble
}

/// Connects to the proxy itself.
pub(crate) async fn to_proxy(
    proxy: &Proxy,
    patience: Patience,
    config: impl FnOnce() -> Result<Arc<ClientConfig>, Trouble>,
) -> Result<Connected, Trouble> {
    let words = |trouble: Trouble| trouble.prefixed("proxyconnect tcp: ");
    let (stream, ends) = tcp(&proxy.host, proxy.port, patience, false)
        .await
        .map_err(words)?;
    let connected = Connected {
        stream: Box::new(stream),
        ends,
    };
    if proxy.scheme != ProxyScheme::Https {
        return Ok(connected);
    }
    let (connected, _) = tls(connected, &proxy.host, config()?, patience.handshake)
        .await
        .map_err(words)?;
    Ok(connected)
}

/// The Proxy-Authorization value, where the proxy's URL has credentials.
pub(crate) fn proxy_authorization(proxy: &Proxy) -> Option<String> {
    proxy.user.as_ref().map(basic)
}

/// Opens a tunnel to `host:port` through a connected proxy.
pub(crate) async fn tunnel(
    mut connected: Connected,
    proxy: &Proxy,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Connected, Trouble> {
    let ends = connected.ends;
    let work = async {
        if proxy.scheme == ProxyScheme::Socks5 {
            socks5(&mut connected.stream, proxy, host, port, ends).await
        } else {
            connect_method(&mut connected.stream, proxy, host, port, ends).await
        }
    };
    match within(limit, work).await {
        Some(Ok(())) => Ok(connected),
        Some(Err(trouble)) => Err(trouble),
        None => Err(Trouble::nobody(FaultKind::Timeout, "context deadline exceeded")),
    }
}

async fn connect_method(
    stream: &mut Box<dyn Stream>,
    proxy: &Proxy,
    host: &str,
    port: u16,
    ends: Ends,
) -> Result<(), Trouble> {
    let target = join_host_port(host, port);
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: Go-http-client/1.1\r\n");
    if let Some(authorization) = proxy_authorization(proxy) {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    let broken = |err: io::Error| {
        let mut trouble = io_trouble(&err, Some(ends), true);
        trouble.nobody = true;
        trouble
    };
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut header = Vec::new();
    let mut buffer = [0_u8; 1024];
    while memchr::memmem::find(&header, b"\r\n\r\n").is_none() {
        let read = stream.read(&mut buffer).await.map_err(broken)?;
        if read == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        header.extend_from_slice(&buffer[..read]);
        if header.len() > CONNECT_LIMIT {
            return Err(Trouble::nobody(
                FaultKind::ProxyConnect,
                "net/http: server response headers exceeded limit; aborted",
            ));
        }
    }
    connect_status(&header)
}

/// 200 opens the tunnel. A proxy that refuses has answered: go prints the
/// words behind the code, and nobody is asked again. A proxy that could not
/// reach the host itself (5xx) has not.
fn connect_status(header: &[u8]) -> Result<(), Trouble> {
    let line = header.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let code = words.next().and_then(|code| code.parse::<u16>().ok());
    let Some(code) = code.filter(|_| version.starts_with("HTTP/1.")) else {
        return Err(Trouble::nobody(
            FaultKind::ProxyConnect,
            format!("malformed HTTP response {:?}", crate::text::safe(line.as_ref())),
        ));
    };
    let text = match words.next() {
        Some(text) if !text.is_empty() => crate::text::safe(text),
        _ => "unknown status code".to_owned(),
    };
    match code {
        200 => Ok(()),
        408 | 425 | 429 | 500.. => Err(Trouble::nobody(FaultKind::ProxyConnect, text)),
        _ => Err(Trouble::new(FaultKind::ProxyConnect, text).then(Again::Nowhere)),
    }
}

/// RFC 1928 with the user names of RFC 1929; the proxy resolves the name.
async fn socks5(
    stream: &mut Box<dyn Stream>,
    proxy: &Proxy,
    host: &str,
    port: u16,
    ends: Ends,
) -> Result<(), Trouble> {
    let broken = |err: io::Error| {
        let trouble = io_trouble(&err, Some(ends), true);
        let words = format!(
            "socks connect tcp {}->{}: ",
            ends.peer,
            join_host_port(host, port)
        );
        Trouble::nobody(trouble.kind, trouble.text).prefixed(&words)
    };
    let refused = |text: &str| Trouble::nobody(FaultKind::ProxyConnect, format!("socks connect: {text}"));
    let too_long = || Trouble::new(FaultKind::Config, "socks: name too long").then(Again::Elsewhere);

    let methods: &[u8] = if proxy.user.is_some() {
        &[5, 2, 0, 2]
    } else {
        &[5, 1, 0]
    };
    stream.write_all(methods).await.map_err(broken)?;
    let mut choice = [0_u8; 2];
    stream.read_exact(&mut choice).await.map_err(broken)?;
    match (choice, &proxy.user) {
        ([5, 0], _) => {}
        ([5, 2], Some(user)) => {
            let password = user.password.as_deref().unwrap_or_default();
            let mut login = vec![1, u8::try_from(user.name.len()).map_err(|_| too_long())?];
            login.extend_from_slice(user.name.as_bytes());
            login.push(u8::try_from(password.len()).map_err(|_| too_long())?);
            login.extend_from_slice(password.as_bytes());
            stream.write_all(&login).await.map_err(broken)?;
            let mut verdict = [0_u8; 2];
            stream.read_exact(&mut verdict).await.map_err(broken)?;
            if verdict[1] != 0 {
                return Err(refused("username/password authentication failed").then(Again::Nowhere));
            }
        }
        _ => return Err(refused("no acceptable authentication methods").then(Again::Nowhere)),
    }
    let mut request = vec![5, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[3, u8::try_from(host.len()).map_err(|_| too_long())?]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(broken)?;
    let mut head = [0_u8; 4];
    stream.read_exact(&mut head).await.map_err(broken)?;
    match head[1] {
        0 => {}
        2 => return Err(refused("connection not allowed by ruleset").then(Again::Nowhere)),
        3 => return Err(refused("network unreachable")),
        4 => return Err(refused("host unreachable")),
        5 => return Err(refused("connection refused")),
        6 => return Err(refused("TTL expired")),
        code => return Err(refused(&format!("unknown code: {code}"))),
    }
    let bound = match head[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await.map_err(broken)?),
    };
    let mut rest = vec![0_u8; bound + 2];
    stream.read_exact(&mut rest).await.map_err(broken)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_to_connect() {
        assert!(connect_status(b"HTTP/1.1 200 OK\r\n\r\n").is_ok());
        let refused = connect_status(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap_err();
        assert_eq!(
            (refused.text.as_str(), refused.again),
            ("Proxy Authentication Required", Again::Nowhere)
        );
        let gone = connect_status(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").unwrap_err();
        assert_eq!((gone.again, gone.nobody), (Again::Here, true));
        assert_eq!(
            connect_status(b"HTTP/1.1 403\r\n\r\n").unwrap_err().text,
            "unknown status code"
        );
        assert!(connect_status(b"garbage\r\n\r\n").unwrap_err().nobody);
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
