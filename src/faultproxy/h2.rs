//! HTTP/2, over TLS only, as the go command speaks it.
//!
//! The `h2` crate reads requests and sends sound answers; frames that are faults
//! are written by hand on the same connection, between its own.
//!
//! Known limitations: a stall holds its stream only, as a stalled server would;
//! a fault that ends the connection ends the other streams on it too.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use hyper::http::{Request, Response, header};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::answer::{Answer, cut};
use super::fault::{Fault, Framing};
use super::log::Entry;
use super::shared::{Head, Shared};
use super::wire::{SharedWire, Wire};

/// How a stream ends its whole connection.
#[derive(Debug)]
enum End {
    Close,
    Reset,
    Raw(Vec<u8>),
    EndlessHeaders(u32),
}

/// Serves one connection until either side ends it.
pub(super) async fn serve(wire: Wire, shared: &Arc<Shared>, connection: usize) -> io::Result<()> {
    let mut wire = SharedWire::new(wire);
    let mut http = h2::server::handshake(wire.clone())
        .await
        .map_err(io::Error::other)?;
    let (ends, mut ended) = mpsc::channel(1);
    let mut streams = JoinSet::new();
    let end = loop {
        tokio::select! {
            Some(end) = ended.recv() => break end,
            Some(_) = streams.join_next() => {}
            request = http.accept() => {
                let Some(Ok((request, respond))) = request else { return Ok(()) };
                let (shared, ends) = (Arc::clone(shared), ends.clone());
                streams.spawn(async move { stream(&request, respond, &shared, connection, &ends).await.ok() });
            }
        }
    };
    match end {
        End::Raw(bytes) => {
            wire.write_all(&bytes).await?;
            wire.shutdown().await
        }
        End::EndlessHeaders(stream) => endless_headers(&mut wire, stream).await,
        End::Close => wire.shutdown().await,
        End::Reset => {
            wire.reset_on_close();
            Ok(())
        }
    }
}

/// Serves one request.
async fn stream<B>(
    request: &Request<B>,
    respond: SendResponse<Bytes>,
    shared: &Shared,
    connection: usize,
    ends: &mpsc::Sender<End>,
) -> io::Result<()> {
    let (mut entry, fault, answer) = shared.take(head_of(request), "HTTP/2", connection);
    let mut exchange = Exchange {
        respond,
        entry: &mut entry,
        answer: &answer,
    };
    if let Some(end) = exchange.run(fault.as_ref()).await.map_err(io::Error::other)? {
        // A second stream that ends the connection finds it ended. The stream itself must
        // outlive it: dropped before, it would be reset in order.
        let _ = ends.send(end).await;
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn head_of<B>(request: &Request<B>) -> Head {
    let headers = request.headers().iter();
    Head {
        method: request.method().to_string(),
        target: request
            .uri()
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: headers
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
    }
}

/// One answer on its way out.
struct Exchange<'a, 'log> {
    respond: SendResponse<Bytes>,
    entry: &'a mut Entry<'log>,
    answer: &'a Answer,
}

impl Exchange<'_, '_> {
    async fn run(&mut self, fault: Option<&Fault>) -> Result<Option<End>, h2::Error> {
        match fault {
            Some(Fault::CloseBeforeHeader) => return Ok(Some(End::Close)),
            Some(Fault::ResetBeforeHeader) => return Ok(Some(End::Reset)),
            Some(Fault::Goaway { code }) => return Ok(Some(End::Raw(goaway(*code)))),
            Some(Fault::Garbage) => return Ok(Some(End::Raw(vec![0xff; 64]))),
            Some(Fault::EndlessHeaders) => {
                return Ok(Some(End::EndlessHeaders(self.respond.stream_id().into())));
            }
            Some(Fault::StallHeader) => self.hold().await?,
            Some(Fault::StallBody { after }) => {
                let mut stream = self.head(Framing::Length)?;
                self.part(&mut stream, *after).await?;
                poll_fn(|cx| stream.poll_reset(cx)).await?;
            }
            Some(Fault::RstStream { code, after: Some(0) }) => self.respond.send_reset(Reason::from(*code)),
            Some(Fault::RstStream { code, after }) => {
                let mut stream = self.head(Framing::Length)?;
                self.part(&mut stream, *after).await?;
                settle().await;
                stream.send_reset(Reason::from(*code));
            }
            Some(Fault::ResetBody { after }) => {
                let mut stream = self.head(Framing::Length)?;
                self.part(&mut stream, *after).await?;
                settle().await;
                return Ok(Some(End::Reset));
            }
            Some(Fault::CloseBody { after, framing }) => {
                let mut stream = self.head(*framing)?;
                self.part(&mut stream, *after).await?;
                settle().await;
                return Ok(Some(End::Close));
            }
            Some(Fault::Drip { bytes, every_ms }) => {
                let mut stream = self.head(Framing::Length)?;
                for piece in self.answer.body.chunks((*bytes).max(1)) {
                    self.send(&mut stream, piece).await?;
                    tokio::time::sleep(Duration::from_millis(*every_ms)).await;
                }
                stream.send_data(Bytes::new(), true)?;
            }
            Some(Fault::EndlessBody) => {
                let mut stream = self.head(Framing::Chunked)?;
                loop {
                    self.send(&mut stream, &[b'0'; 16 * 1024]).await?;
                }
            }
            Some(Fault::Delay { ms }) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                self.whole().await?;
            }
            // The other faults are in the answer already.
            _ => self.whole().await?,
        }
        Ok(None)
    }

    /// Waits until the client gives the stream up.
    async fn hold(&mut self) -> Result<(), h2::Error> {
        poll_fn(|cx| self.respond.poll_reset(cx)).await.map(drop)
    }

    async fn whole(&mut self) -> Result<(), h2::Error> {
        let mut stream = self.head(Framing::Length)?;
        self.send(&mut stream, &self.answer.body).await?;
        stream.send_data(Bytes::new(), true)
    }

    async fn part(&mut self, stream: &mut SendStream<Bytes>, after: Option<u64>) -> Result<(), h2::Error> {
        let body = &self.answer.body;
        self.send(stream, body.get(..cut(after, body.len())).unwrap_or_default())
            .await
    }

    fn head(&mut self, framing: Framing) -> Result<SendStream<Bytes>, h2::Error> {
        let mut response = Response::builder().status(self.answer.status);
        for (name, value) in &self.answer.headers {
            response = response.header(name, value);
        }
        if framing == Framing::Length {
            response = response.header(header::CONTENT_LENGTH, self.answer.body.len());
        }
        // A header that HTTP cannot hold comes from a scripted answer only.
        let response = response.body(()).unwrap_or_else(|_| Response::new(()));
        let stream = self.respond.send_response(response, false)?;
        self.entry.status = self.answer.status;
        self.entry.update();
        Ok(stream)
    }

    /// Sends within the client's flow control window.
    async fn send(&mut self, stream: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<(), h2::Error> {
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len().min(16 * 1024));
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await.transpose()? else {
                break;
            };
            let piece = rest.split_to(room.min(rest.len()));
            self.entry.sent += piece.len() as u64;
            stream.send_data(piece, false)?;
        }
        self.entry.update();
        Ok(())
    }
}

/// Time for what was queued to reach the client: a reset throws away what has not.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A GOAWAY frame (RFC 9113, 6.8) that says no stream was looked at.
fn goaway(code: u32) -> Vec<u8> {
    let mut frame = frame_head(8, 7, 0, 0);
    frame.extend_from_slice(&0u32.to_be_bytes());
    frame.extend_from_slice(&code.to_be_bytes());
    frame
}

/// A HEADERS frame without its end, and CONTINUATION frames for ever.
async fn endless_headers(wire: &mut SharedWire, stream: u32) -> io::Result<()> {
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    // HPACK: 0x88 is `:status: 200`; 0x00 is a literal with a new name.
    let filler = [b"\x00\x08x-filler\x64".as_slice(), &[b'f'; 100]]
        .concat()
        .repeat(100);
    let mut bytes = frame_head(1, HEADERS, 0, stream);
    bytes.push(0x88);
    loop {
        wire.write_all(&bytes).await?;
        bytes = frame_head(filler.len() as u32, CONTINUATION, 0, stream);
        bytes.extend_from_slice(&filler);
    }
}

/// The nine bytes before every frame (RFC 9113, 4.1).
fn frame_head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let [_, length @ ..] = length.to_be_bytes();
    [length.as_slice(), &[kind, flags], &stream.to_be_bytes()].concat()
}
