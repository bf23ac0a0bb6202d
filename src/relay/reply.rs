//! A body on its way to go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::sys::spool::Body;

/// A [`Body`], and how much of it has been sent.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Body,
    sent: u64,
}

impl From<Body> for Reply {
    fn from(body: Body) -> Self {
        Self { body, sent: 0 }
    }
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let chunk = self.body.chunk_at(self.sent);
        if let Ok(chunk) = &chunk {
            self.sent += chunk.len() as u64;
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.body.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() - self.sent)
    }
}
