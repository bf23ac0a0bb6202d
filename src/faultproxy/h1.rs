//! HTTP/1.1 by hand, so that every fault is exact to the byte.
//!
//! Reads requests without a body (the module proxy protocol has no other), one
//! after another on a connection. Pipelining is served in order.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::answer::{Answer, cut, reason};
use super::fault::{Fault, Framing};
use super::log::Entry;
use super::shared::{Head, Shared};
use super::wire::Wire;

/// A request head longer than this is no request of go or of the relay.
const MAX_HEAD: usize = 64 * 1024;

/// Whether a connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    KeepAlive,
    Close,
    Reset,
}

/// Serves one connection until either side ends it.
pub(super) async fn serve(mut wire: Wire, shared: &Shared, connection: usize) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(text) = read_head(&mut wire, &mut buffer).await? {
        let Some(head) = parse_head(&text) else {
            return wire
                .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
        };
        let close = !shared.keep_alive || head.wants_close();
        let (mut entry, fault, answer) = shared.take(head, "HTTP/1.1", connection);
        let mut exchange = Exchange {
            wire: &mut wire,
            entry: &mut entry,
            close,
        };
        match exchange.run(fault.as_ref(), &answer).await? {
            Next::KeepAlive => {}
            Next::Close => break,
            Next::Reset => {
                wire.reset_on_close();
                return Ok(());
            }
        }
    }
    // A close in order: FIN behind everything that was sent.
    wire.shutdown().await
}

/// Reads up to the empty line; `None` at the end of the connection.
async fn read_head(wire: &mut Wire, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            let head = std::mem::replace(buffer, rest);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if buffer.len() > MAX_HEAD || wire.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse_head(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return None;
    }
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
    })
}

/// One answer on its way out.
struct Exchange<'a, 'log> {
    wire: &'a mut Wire,
    entry: &'a mut Entry<'log>,
    close: bool,
}

impl Exchange<'_, '_> {
    async fn run(&mut self, fault: Option<&Fault>, answer: &Answer) -> io::Result<Next> {
        let body = &*answer.body;
        match fault {
            Some(Fault::CloseBeforeHeader | Fault::Goaway { .. }) => {}
            Some(Fault::ResetBeforeHeader) => return Ok(Next::Reset),
            Some(Fault::StallHeader) => self.wire.hold().await,
            Some(Fault::Garbage) => {
                self.wire
                    .write_all(b"\x16\x03\x01 this is no HTTP\r\n\x00\x00\x00\r\n\r\n")
                    .await?;
            }
            Some(Fault::ResetBody { after } | Fault::RstStream { after, .. }) => {
                let resets_header = matches!(fault, Some(Fault::RstStream { after: Some(0), .. }));
                if !resets_header {
                    self.head(answer, Framing::Length).await?;
                    self.part(body, *after).await?;
                    self.until_read().await;
                }
                return Ok(Next::Reset);
            }
            Some(Fault::CloseBody { after, framing }) => {
                self.head(answer, *framing).await?;
                let part = body.get(..cut(*after, body.len())).unwrap_or_default();
                match framing {
                    Framing::Chunked => self.chunk(part).await?,
                    Framing::Length | Framing::Close => self.send(part).await?,
                }
            }
            Some(Fault::StallBody { after }) => {
                self.head(answer, Framing::Length).await?;
                self.part(body, *after).await?;
                self.wire.hold().await;
            }
            Some(Fault::Drip { bytes, every_ms }) => {
                self.head(answer, Framing::Length).await?;
                for piece in body.chunks((*bytes).max(1)) {
                    self.send(piece).await?;
                    tokio::time::sleep(Duration::from_millis(*every_ms)).await;
                }
                return Ok(self.next());
            }
            Some(Fault::EndlessHeaders) => self.endless_headers().await?,
            Some(Fault::EndlessBody) => self.endless_body(answer).await?,
            Some(Fault::Delay { ms }) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                return self.whole(answer).await;
            }
            // The other faults are in the answer already.
            _ => return self.whole(answer).await,
        }
        Ok(Next::Close)
    }

    fn next(&self) -> Next {
        if self.close { Next::Close } else { Next::KeepAlive }
    }

    async fn whole(&mut self, answer: &Answer) -> io::Result<Next> {
        self.head(answer, Framing::Length).await?;
        self.send(&answer.body).await?;
        Ok(self.next())
    }

    async fn head(&mut self, answer: &Answer, framing: Framing) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match framing {
            Framing::Length => head.push_str(&format!("Content-Length: {}\r\n", answer.body.len())),
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Close => self.close = true,
        }
        if self.close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        self.wire.write_all(head.as_bytes()).await?;
        self.entry.status = answer.status;
        self.entry.update();
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await?;
        self.entry.sent += bytes.len() as u64;
        self.entry.update();
        Ok(())
    }

    async fn part(&mut self, body: &[u8], after: Option<u64>) -> io::Result<()> {
        self.send(body.get(..cut(after, body.len())).unwrap_or_default())
            .await
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire
            .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
            .await?;
        self.send(bytes).await?;
        self.wire.write_all(b"\r\n").await
    }

    /// A reset throws away what has not arrived yet, so that one sent too early would
    /// be a reset before the header. Linux says when everything is on its way, which
    /// on loopback is there; what has arrived can be read behind a reset, too.
    /// Elsewhere the client gets a moment to read.
    async fn until_read(&self) {
        const MOMENT: Duration = Duration::from_millis(50);
        let end = tokio::time::Instant::now() + MOMENT;
        while self.wire.unsent() != Some(0) && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn endless_headers(&mut self) -> io::Result<()> {
        self.wire.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        let line = format!("X-Filler: {}\r\n", "f".repeat(4000));
        loop {
            self.wire.write_all(line.as_bytes()).await?;
        }
    }

    async fn endless_body(&mut self, answer: &Answer) -> io::Result<()> {
        self.head(answer, Framing::Chunked).await?;
        let zeros = vec![b'0'; 16 * 1024];
        loop {
            self.chunk(&zeros).await?;
        }
    }
}
