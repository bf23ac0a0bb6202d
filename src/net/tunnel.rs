//! A way to a host through an HTTP or SOCKS proxy: CONNECT as `http.Transport.dialConn` has it, and SOCKS 5 as
//! `socks_bundle.go` has it. What go takes is taken, and nothing else.

use std::io;
use std::net::IpAddr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::credentials::basic;
use super::limits;
use super::proxy_env::{Proxy, ProxyScheme};
use super::url::{UserInfo, join_host_port};
use crate::text::safe;

/// Why there is no tunnel; the words are go's.
#[derive(Debug, Error)]
pub(crate) enum TunnelError {
    /// The connection to the proxy broke.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// An HTTP proxy's answer other than 200, with the words behind its status.
    #[error("{}", .1.as_deref().unwrap_or("unknown status code"))]
    Status(u16, Option<String>),
    /// An HTTP proxy's answer that is none.
    #[error("malformed HTTP response {0:?}")]
    Malformed(String),
    /// Its header does not end.
    #[error(
        "net/http: server response headers exceeded {} bytes; aborted",
        limits::HEADER
    )]
    TooLong,
    /// A SOCKS proxy wants to know who asks, and does not take what it can be told.
    #[error("{0}")]
    Login(&'static str),
    /// A SOCKS proxy could not or would not connect.
    #[error("unknown error {}", reply_text(*.0))]
    Reply(u8),
    /// It speaks something else.
    #[error("{0}")]
    Protocol(String),
    /// What cannot be said in this protocol.
    #[error("{0}")]
    Unspeakable(&'static str),
}

/// The Proxy-Authorization value, where the proxy's URL has credentials.
pub(crate) fn proxy_authorization(proxy: &Proxy) -> Option<String> {
    proxy.user.as_ref().map(basic)
}

/// Opens a way to `host:port` through the proxy at the other end of `stream`.
pub(crate) async fn open<S>(stream: &mut S, proxy: &Proxy, host: &str, port: u16) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    match proxy.scheme {
        ProxyScheme::Http | ProxyScheme::Https => connect(stream, proxy, host, port).await,
        ProxyScheme::Socks5 => socks5(stream, proxy.user.as_ref(), host, port).await,
    }
}

async fn connect<S>(stream: &mut S, proxy: &Proxy, host: &str, port: u16) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let target = join_host_port(host, port);
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: Go-http-client/1.1\r\n");
    if let Some(authorization) = proxy_authorization(proxy) {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut header = Vec::new();
    let mut buffer = vec![0_u8; 4096];
    // What stands behind the empty line is dropped, as go drops it: a server of TLS does not speak first.
    while !is_whole(&header) {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // The empty line may stand across two pieces.
        header.extend_from_slice(&buffer[..read]);
        if header.len() > limits::HEADER {
            return Err(TunnelError::TooLong);
        }
    }
    status(&header)
}

/// True where there is an empty line; a line may end without a carriage return.
fn is_whole(header: &[u8]) -> bool {
    memchr::memmem::find(header, b"\n\r\n").is_some() || memchr::memmem::find(header, b"\n\n").is_some()
}

/// 200 opens the tunnel, and nothing else does.
fn status(header: &[u8]) -> Result<(), TunnelError> {
    let line = header.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let malformed = || TunnelError::Malformed(safe(line.as_ref()));
    let (version, rest) = line.split_once(' ').ok_or_else(malformed)?;
    let rest = rest.trim_start_matches(' ');
    let (code, words) = match rest.split_once(' ') {
        Some((code, words)) => (code, Some(safe(words))),
        None => (rest, None),
    };
    let is_http = version.strip_prefix("HTTP/").is_some_and(|version| {
        let [major, b'.', minor] = version.as_bytes() else {
            return false;
        };
        major.is_ascii_digit() && minor.is_ascii_digit()
    });
    if !is_http || code.len() != 3 {
        return Err(malformed());
    }
    match code.parse::<u16>().map_err(|_| malformed())? {
        200 => Ok(()),
        code => Err(TunnelError::Status(code, words)),
    }
}

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// RFC 1928 with the user names of RFC 1929; the proxy resolves the name.
async fn socks5<S>(stream: &mut S, user: Option<&UserInfo>, host: &str, port: u16) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let methods: &[u8] = match user {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    stream.write_all(methods).await?;
    stream.flush().await?;
    let mut choice = [0_u8; 2];
    stream.read_exact(&mut choice).await?;
    check_version(choice[0])?;
    match (choice[1], user) {
        (NONE_ACCEPTABLE, _) => return Err(TunnelError::Login("no acceptable authentication methods")),
        // Go has nothing to say to a login that it was not asked for by name, and goes on.
        (NO_LOGIN, _) | (_, None) => {}
        (PASSWORD, Some(user)) => log_in(stream, user).await?,
        (other, Some(_)) => {
            return Err(TunnelError::Protocol(format!(
                "unsupported authentication method {other}"
            )));
        }
    }
    stream.write_all(&request(host, port)?).await?;
    stream.flush().await?;
    let mut head = [0_u8; 4];
    stream.read_exact(&mut head).await?;
    check_version(head[0])?;
    if head[1] != 0 {
        return Err(TunnelError::Reply(head[1]));
    }
    if head[2] != 0 {
        return Err(TunnelError::Protocol("non-zero reserved field".to_owned()));
    }
    let address = match head[3] {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        other => return Err(TunnelError::Protocol(format!("unknown address type {other}"))),
    };
    let mut rest = vec![0_u8; address + 2];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

fn check_version(version: u8) -> Result<(), TunnelError> {
    match version {
        VERSION => Ok(()),
        other => Err(TunnelError::Protocol(format!(
            "unexpected protocol version {other}"
        ))),
    }
}

async fn log_in<S>(stream: &mut S, user: &UserInfo) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let password = user.password.as_deref().unwrap_or_default();
    let invalid = || TunnelError::Unspeakable("invalid username/password");
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| invalid());
    if user.name.is_empty() {
        return Err(invalid());
    }
    let mut login = vec![1, length(&user.name)?];
    login.extend_from_slice(user.name.as_bytes());
    login.push(length(password)?);
    login.extend_from_slice(password.as_bytes());
    stream.write_all(&login).await?;
    stream.flush().await?;
    let mut verdict = [0_u8; 2];
    stream.read_exact(&mut verdict).await?;
    match verdict {
        [1, 0] => Ok(()),
        [1, _] => Err(TunnelError::Login("username/password authentication failed")),
        _ => Err(TunnelError::Protocol(
            "invalid username/password version".to_owned(),
        )),
    }
}

fn request(host: &str, port: u16) -> Result<Vec<u8>, TunnelError> {
    let mut request = vec![VERSION, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| TunnelError::Unspeakable("FQDN too long"))?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

fn reply_text(code: u8) -> String {
    let known = match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => return format!("unknown code: {code}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_to_connect() {
        let text = |header: &[u8]| status(header).unwrap_err().to_string();
        assert!(status(b"HTTP/1.1 200 OK\r\n\r\n").is_ok());
        assert!(status(b"HTTP/1.0 200\nVia: x\n\n").is_ok());
        assert_eq!(
            text(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            "Proxy Authentication Required"
        );
        assert_eq!(text(b"HTTP/1.1 201 Created\r\n\r\n"), "Created");
        assert_eq!(text(b"HTTP/1.1 403\r\n\r\n"), "unknown status code");
        for garbage in [
            "garbage",
            "HTTP/1.1",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 2x0 OK",
            "ICY 200 OK",
        ] {
            let header = format!("{garbage}\r\n\r\n");
            assert_eq!(
                text(header.as_bytes()),
                format!("malformed HTTP response {garbage:?}")
            );
        }
    }

    #[test]
    fn replies_have_the_words_of_go() {
        assert_eq!(
            TunnelError::Reply(2).to_string(),
            "unknown error connection not allowed by ruleset"
        );
        assert_eq!(TunnelError::Reply(9).to_string(), "unknown error unknown code: 9");
    }

    #[test]
    fn a_name_that_is_too_long_is_not_sent() {
        assert!(request(&"x".repeat(255), 443).is_ok());
        assert!(matches!(
            request(&"x".repeat(256), 443),
            Err(TunnelError::Unspeakable(_))
        ));
        assert_eq!(
            request("10.0.0.1", 443).unwrap(),
            [5, 1, 0, 1, 10, 0, 0, 1, 1, 187]
        );
    }
}
