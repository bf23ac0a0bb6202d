//! How much of what a server sends is listened to. Everything has an end, a body that is asked for among it.
//!
//! | what | limit | where it is from |
//! |---|---|---|
//! | all headers of one answer, interim ones (1xx) included | [`HEADER`] | `http.Transport.MaxResponseHeaderBytes` |
//! | what a proxy says to CONNECT | [`HEADER`] | the same |
//! | what of a body is none (chunk sizes and extensions, trailers, frames) | [`NOT_BODY`], and [`NOT_BODY_PER_BYTE`] | `internal.chunkedReader`, `excess` |
//! | redirects | [`REDIRECTS`] | `cmd/go/internal/web` |
//! | a body of each kind | [`crate::go::files::limit`] | go's own limits for go.mod and zip; it has none for the others |
//!
//! The limits are kept by counting what is read of a connection ([`Meter`]), below the HTTP library: some of it the
//! library steps over without a word. Its own limits are lower in places (100 header lines, 128 KiB of them, 16 KiB of
//! chunk extensions); what breaks those and not these is left to go.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// All headers of one answer.
pub(crate) const HEADER: usize = 10 << 20;
/// What a body may have in it that is no body, whatever its length,
pub(crate) const NOT_BODY: usize = 16 << 10;
/// and for each of its bytes: 16 for a chunk of one byte, and twice its length.
pub(crate) const NOT_BODY_PER_BYTE: usize = 18;
/// Requests that redirects may lead to, the first one among them.
pub(crate) const REDIRECTS: usize = 10;

/// HTTP/2 flow control as in Go: what may lie unread of one body, and of all.
/// Less would be slower than go where the way is long: at 100 ms one body gets
/// ten windows a second. Bodies are read as they come, so that little lies there.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 1 << 30;
/// The longest header that the HTTP library takes.
pub(crate) const LIBRARY_HEADER: usize = 128 << 10;
/// What the HTTP library may have read of a body before anybody has seen it.
const READ_AHEAD: usize = 1 << 20;

/// Too much of what was sent is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the server sends without end what is no body")]
pub(crate) struct Flood;

/// Counts what is read of one connection against what its requests may bring.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// What may still be read before it is too much.
    credit: AtomicI64,
    requests: AtomicI64,
}

impl Meter {
    pub(crate) fn new() -> Arc<Self> {
        let meter = Arc::new(Self::default());
        meter.raise(Self::ANSWER, Self::ANSWER);
        meter
    }

    /// What one request may bring beside its body.
    const ANSWER: i64 = (HEADER + STREAM_WINDOW as usize) as i64;

    /// A request is about to be sent; what it may bring holds until the last handle is dropped.
    pub(crate) fn request(self: &Arc<Self>) -> Allowance {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.raise(Self::ANSWER, Self::ANSWER * requests);
        Allowance(Arc::clone(self))
    }

    fn raise(&self, by: i64, up_to: i64) {
        let raised = |credit: i64| Some(credit.max(credit.saturating_add(by).min(up_to)));
        // It always says what is to stand there.
        self.credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised)
            .ok();
    }

    fn take(&self, read: usize) -> Result<(), Flood> {
        let left = self.credit.fetch_sub(signed(read), Ordering::Relaxed) - signed(read);
        if left < 0 { Err(Flood) } else { Ok(()) }
    }
}

/// What the answer to one request may bring.
#[derive(Debug)]
pub(crate) struct Allowance(Arc<Meter>);

impl Allowance {
    /// The header of the only request of a connection is there: what follows is body, and little beside it.
    pub(crate) fn header_is_there(&self) {
        self.0
            .credit
            .fetch_min(signed(NOT_BODY + READ_AHEAD), Ordering::Relaxed);
    }

    /// So many bytes of its body have come.
    pub(crate) fn body(&self, bytes: usize) {
        let requests = self.0.requests.load(Ordering::Relaxed);
        self.0.raise(
            signed(bytes.saturating_mul(1 + NOT_BODY_PER_BYTE)),
            Meter::ANSWER * requests,
        );
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        // What has been allowed stays so: what was sent for it may be under way.
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        Poll::Ready(self.meter.take(read).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_pays_for_itself_and_nothing_else_does() {
        let meter = Meter::new();
        let allowance = meter.request();
        allowance.header_is_there();
        for _ in 0..1000 {
            meter.take(1 << 20).unwrap();
            allowance.body(1 << 20);
        }
        // A chunk of one byte, as `1 CR LF x CR LF`.
        for _ in 0..100_000 {
            meter.take(6).unwrap();
            allowance.body(1);
        }
        let mut taken = 0;
        while meter.take(1000).is_ok() {
            taken += 1000;
        }
        assert!(taken <= Meter::ANSWER, "{taken}");
    }

    #[test]
    fn a_header_may_be_as_long_as_go_takes_it() {
        let meter = Meter::new();
        for _ in 0..100 {
            let _allowance = meter.request();
            meter.take(HEADER).unwrap();
        }
        let _allowance = meter.request();
        meter.take(HEADER).unwrap();
        assert_eq!(meter.take(HEADER), Err(Flood));
    }

    #[test]
    fn what_was_allowed_to_a_request_that_is_dropped_stays_allowed() {
        let meter = Meter::new();
        let requests: Vec<Allowance> = (0..10).map(|_| meter.request()).collect();
        drop(requests);
        for _ in 0..10 {
            meter.take(STREAM_WINDOW as usize).unwrap();
        }
    }
}
