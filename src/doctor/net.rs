//! Names, connections and the way through an HTTP or SOCKS proxy.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::net::credentials::basic;
use crate::net::proxy_env::{Proxy, ProxyScheme};
use crate::net::url::join_host_port;

use super::words::Refusal;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// The answer of an HTTP proxy to CONNECT is no longer than this.
const MAX_CONNECT_ANSWER: usize = 8 << 10;

/// A connection of whatever kind.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// What became of one address.
#[derive(Debug, Clone)]
pub(super) struct Dialled {
    pub(super) address: SocketAddr,
    pub(super) refusal: Option<(Refusal, String)>,
}

/// Asks the system's resolver. A silent one keeps its thread, not this program.
pub(super) async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(limit, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Err(_) => return Err("the resolver does not answer".to_owned()),
        Ok(Err(e)) => return Err(resolver_words(&e)),
        Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
    };
    if addresses.is_empty() {
        Err("the name has no address".to_owned())
    } else {
        Ok(addresses)
    }
}

/// glibc's and musl's words are wrapped by std as
/// `failed to lookup address information: …`.
fn resolver_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.rsplit(": ").next().unwrap_or(&text);
    match words {
        "Name or service not known" | "Name does not resolve" | "No address associated with hostname" => {
            "no such host".to_owned()
        }
        "Temporary failure in name resolution" | "Try again" => {
            "temporary failure in name resolution (no resolver answers)".to_owned()
        }
        other => other.to_owned(),
    }
}

/// Connects to every address at once and hands out the first connection. What
/// became of each address is sent to `dialled`, of the slow ones later on.
pub(super) async fn dial(
    addresses: &[SocketAddr],
    limit: Duration,
    dialled: &mpsc::UnboundedSender<Dialled>,
) -> Option<TcpStream> {
    let (winner, mut winners) = mpsc::channel(addresses.len().max(1));
    for &address in addresses {
        let (winner, dialled) = (winner.clone(), dialled.clone());
        tokio::spawn(async move {
            let outcome = timeout(limit, TcpStream::connect(address)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let refusal = outcome
                .as_ref()
                .err()
                .map(|e| (Refusal::of(e), super::words::io(e)));
            // Nobody listens any more once the probe is over.
            let _ = dialled.send(Dialled { address, refusal });
            if let Ok(stream) = outcome {
                let _ = winner.try_send(stream);
            }
        });
    }
    drop(winner);
    winners.recv().await
}

/// Opens a way to `host:port` through the proxy at the other end of `stream`.
///
/// # Errors
/// What the proxy said, in its own words.
pub(super) async fn through(
    proxy: &Proxy,
    stream: &mut (dyn Connection + '_),
    host: &str,
    port: u16,
) -> Result<(), String> {
    match proxy.scheme {
        ProxyScheme::Http | ProxyScheme::Https => connect(proxy, stream, host, port).await,
        ProxyScheme::Socks5 => socks5(proxy, stream, host, port).await,
    }
}

async fn connect(
    proxy: &Proxy,
    stream: &mut (dyn Connection + '_),
    host: &str,
    port: u16,
) -> Result<(), String> {
    let to = join_host_port(host, port);
    let login = proxy.user.as_ref().map_or_else(String::new, |user| {
        format!("Proxy-Authorization: {}\r\n", basic(user))
    });
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{login}\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| super::words::io(&e))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_CONNECT_ANSWER {
        // Byte by byte: what follows the blank line belongs to TLS.
        answer.push(stream.read_u8().await.map_err(|e| super::words::io(&e))?);
    }
    let line = answer.split(|&b| b == b'\r').next().unwrap_or_default();
    let line = crate::text::safe(line);
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..))
        .unwrap_or_default();
    if status.starts_with('2') {
        Ok(())
    } else if status.is_empty() {
        Err(line)
    } else {
        Err(status.to_owned())
    }
}

/// RFC 1928, names left to the proxy; RFC 1929 where there is a user.
async fn socks5(
    proxy: &Proxy,
    stream: &mut (dyn Connection + '_),
    host: &str,
    port: u16,
) -> Result<(), String> {
    let words = |e: io::Error| super::words::io(&e);
    let method: u8 = if proxy.user.is_some() { 2 } else { 0 };
    stream.write_all(&[5, 1, method]).await.map_err(words)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(words)?;
    if chosen != [5, method] {
        return Err("the SOCKS proxy does not take this kind of login".to_owned());
    }
    if let Some(user) = &proxy.user {
        let mut login = vec![1];
        for part in [user.name.as_str(), user.password.as_deref().unwrap_or_default()] {
            let part = &part.as_bytes()[..part.len().min(255)];
            login.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            login.extend_from_slice(part);
        }
        stream.write_all(&login).await.map_err(words)?;
        stream.read_exact(&mut chosen).await.map_err(words)?;
        if chosen[1] != 0 {
            return Err("the SOCKS proxy refuses the login".to_owned());
        }
    }
    let name = &host.as_bytes()[..host.len().min(255)];
    let mut request = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap_or(u8::MAX)];
    request.extend_from_slice(name);
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(words)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(words)?;
    if head[1] != 0 {
        return Err(format!(
            "the SOCKS proxy refuses the connection (code {})",
            head[1]
        ));
    }
    let rest = match head[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await.map_err(words)?),
    };
    let mut bound = vec![0; rest + 2];
    stream.read_exact(&mut bound).await.map_err(words)?;
    Ok(())
}
