//! One accepted connection, with or without TLS, and the ways to end it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection to a client.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Makes the coming close a reset: the client sees ECONNRESET.
    pub(super) fn reset_on_close(&self) {
        reset_on_close(self.tcp());
    }

    /// Bytes that were written and are not sent yet; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn unsent(&self) -> Option<libc::c_int> {
        use std::os::fd::AsRawFd as _;
        /// `SIOCOUTQNSD` of linux/sockios.h.
        const UNSENT: libc::c_ulong = 0x894B;
        let mut bytes = 0;
        #[expect(unsafe_code, reason = "nix has no word for this request")]
        // SAFETY: the descriptor is open, and `bytes` is what the request writes.
        let done = unsafe { libc::ioctl(self.tcp().as_raw_fd(), UNSENT as _, &raw mut bytes) };
        (done == 0).then_some(bytes)
    }

    /// Bytes that were written and are not sent yet; `None` where the system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn unsent(&self) -> Option<i32> {
        None
    }

    /// Waits until the client closes its side.
    pub(super) async fn hold(&mut self) {
        let mut sink = [0; 1024];
        while matches!(self.read(&mut sink).await, Ok(read) if read > 0) {}
    }
}

/// Sets SO_LINGER to zero, which makes close(2) send RST instead of FIN.
pub(super) fn reset_on_close(tcp: &TcpStream) {
    // A socket that the client has closed already cannot be reset any more.
    let _ = tcp.set_zero_linger();
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A connection that HTTP/2 and the faults write to in turn.
#[derive(Debug, Clone)]
pub(super) struct SharedWire(Arc<Mutex<Wire>>);

impl SharedWire {
    pub(super) fn new(wire: Wire) -> Self {
        Self(Arc::new(Mutex::new(wire)))
    }

    pub(super) fn reset_on_close(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reset_on_close();
    }

    fn with<R>(&self, poll: impl FnOnce(Pin<&mut Wire>) -> R) -> R {
        poll(Pin::new(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl AsyncRead for SharedWire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|wire| wire.poll_read(cx, buf))
    }
}

impl AsyncWrite for SharedWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|wire| wire.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|wire| wire.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|wire| wire.poll_shutdown(cx))
    }
}
