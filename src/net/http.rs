//! HTTP over a connection that is there: the library's two kinds of it, set up as go's client is, and counted.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::Stream;
use super::limits::{self, Allowance, Meter, Metered};

/// The body of every request; empty by default.
pub(crate) type Payload = Full<Bytes>;

/// A connection for one request at a time.
#[derive(Debug)]
pub(crate) struct Http1 {
    sender: http1::SendRequest<Payload>,
    meter: Arc<Meter>,
}

impl Http1 {
    pub(crate) async fn start(stream: Box<dyn Stream>) -> hyper::Result<Self> {
        let meter = Meter::new();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(limits::LIBRARY_HEADER)
            // Go takes folded header lines, too, and steps over lines that are none. It counts bytes and not lines: more
            // than the 100 of the library would cost every answer 64 KiB of fresh memory, and a command a twentieth of its time.
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(TokioIo::new(Metered::new(stream, Arc::clone(&meter))))
            .await?;
        // Errors of the connection reach the request that is on it.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Self { sender, meter })
    }
}

/// A connection for many requests; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Payload>,
    meter: Arc<Meter>,
}

impl Http2 {
    pub(crate) async fn start(stream: Box<dyn Stream>) -> hyper::Result<Self> {
        let meter = Meter::new();
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_header_list_size(limits::LIBRARY_HEADER as u32)
            .handshake(TokioIo::new(Metered::new(stream, Arc::clone(&meter))))
            .await?;
        tokio::spawn(async move { drop(driver.await) });
        Ok(Self { sender, meter })
    }
}

/// What both kinds do with a request; `$on_header` is told once the header of its answer is there.
macro_rules! requests {
    ($connection:ty, $on_header:expr) => {
        impl $connection {
            pub(crate) fn is_closed(&self) -> bool {
                self.sender.is_closed()
            }

            /// True once another request can be made, false where none can.
            pub(crate) async fn is_ready(&mut self) -> bool {
                self.sender.ready().await.is_ok()
            }

            pub(crate) async fn send(
                &mut self,
                request: Request<Payload>,
            ) -> hyper::Result<(Response<Incoming>, Allowance)> {
                self.sender.ready().await?;
                let allowance = self.meter.request();
                let response = self.sender.send_request(request).await?;
                let on_header: fn(&Allowance) = $on_header;
                on_header(&allowance);
                Ok((response, allowance))
            }
        }
    };
}

requests!(Http1, Allowance::header_is_there);
requests!(Http2, |_| {});
