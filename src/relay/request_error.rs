//! What can go wrong between the relay and an upstream, and what follows from it.

use std::time::Duration;

use crate::diagnose::FaultKind;

use crate::sys::spool::Body;
use crate::text::host_of;

/// What becomes of a request after one failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The same route may heal.
    Here,
    /// The same route will not; another may.
    Elsewhere,
    /// It is an answer: nobody else is asked.
    Nowhere,
}

/// Where in a request it went wrong: go words the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the header was whole: `Get "URL": …`.
    Get,
    /// In the body: `read "URL": …`.
    Read,
    /// The body was whole and is not what was asked for.
    Content,
}

/// An HTTP answer that may go to go as it is.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The words behind the status, where they are not the usual ones.
    pub(crate) reason: Option<Vec<u8>>,
    /// The Content-Type, by which go decides whether to show an error's body.
    pub(crate) content_type: Option<Vec<u8>>,
    /// The host that gave it, where a redirect led to another one.
    pub(crate) redirected_to: Option<String>,
    /// The body.
    pub(crate) body: Body,
}

/// One failed try.
#[derive(Debug, Clone)]
pub(crate) struct RequestError {
    /// What kind of failure it is.
    pub(crate) kind: FaultKind,
    /// Nobody was there at all.
    pub(crate) nobody: bool,
    /// Go's words for it, without the URL.
    pub(crate) text: String,
    /// Where it went wrong.
    pub(crate) phase: Phase,
    /// The URL of the last redirect, where there was one.
    pub(crate) url: Option<String>,
    /// Whether and where to try again.
    pub(crate) again: Again,
    /// The relay's libraries refuse what go's own may take.
    pub(crate) is_refused: bool,
    /// The body broke after a good part of it had arrived: what follows is
    /// resumed and is no further try.
    pub(crate) progress: bool,
    /// What the server said about when to come back.
    pub(crate) retry_after: Option<Duration>,
    /// What goes to go when every try is spent, where that is no fault.
    pub(crate) answer: Option<Box<Answer>>,
}

const PAUSED: &str = "context deadline exceeded while waiting for a proxy that failed before";

impl RequestError {
    /// A failure of a host that answers.
    pub(crate) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            nobody: false,
            text: text.into(),
            phase: Phase::Get,
            url: None,
            again: Again::Here,
            is_refused: false,
            progress: false,
            retry_after: None,
            answer: None,
        }
    }

    /// A failure that says nobody is there.
    pub(crate) fn nobody(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            nobody: true,
            ..Self::new(kind, text)
        }
    }

    /// The same, with another rule for what follows.
    pub(crate) fn then(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// The server has asked for fewer requests.
    pub(crate) fn asks_for_less(&self) -> bool {
        self.kind == FaultKind::RateLimit || self.retry_after.is_some()
    }

    /// The same, met in the body.
    pub(crate) fn in_body(mut self) -> Self {
        self.phase = Phase::Read;
        self.nobody = false;
        self
    }

    /// A clock struck: before anybody had said anything, or over a body of which
    /// next to nothing came. Who else can be asked is asked.
    pub(crate) fn is_in_vain(&self) -> bool {
        self.kind == FaultKind::Timeout && !self.progress
    }

    /// Somebody else may have what nobody gives here.
    pub(crate) fn sends_elsewhere(&self) -> bool {
        self.nobody || self.is_in_vain()
    }

    /// The server is there and down for a while: nobody takes the connection of a name that is known, or it says so
    /// itself. Whatever else it says of a file it may say for ever.
    pub(crate) fn may_pass(&self) -> bool {
        let says_so = |answer: &Answer| matches!(answer.status, 429 | 503);
        self.phase == Phase::Get
            && (self.nobody && matches!(self.kind, FaultKind::Connect | FaultKind::Timeout)
                || self.answer.as_deref().is_some_and(says_so))
    }

    /// For a request that was not made, since the proxy failed before.
    pub(crate) fn paused() -> Self {
        Self::nobody(FaultKind::Timeout, PAUSED)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.text == PAUSED
    }

    /// The same, where go may think otherwise of it: its library is another one, and so may its roots be.
    pub(crate) fn refused(mut self) -> Self {
        self.again = Again::Elsewhere;
        self.is_refused = true;
        self
    }

    /// What holds for every request to the host: neither the URL of one file nor
    /// the time that was named for it. The server's words stay, go shows them.
    pub(crate) fn of_the_host(&self) -> Self {
        Self {
            url: None,
            retry_after: None,
            ..self.clone()
        }
    }

    /// The host that a redirect led to, where it is another than `asked`.
    pub(crate) fn redirected_to(&self, asked: &str) -> Option<String> {
        let of_answer = self
            .answer
            .as_ref()
            .and_then(|answer| answer.redirected_to.clone());
        let of_url = || self.url.as_deref().and_then(host_of).map(str::to_owned);
        of_answer.or_else(of_url).filter(|host| host != asked)
    }

    /// The same, with words put in front.
    pub(crate) fn prefixed(mut self, words: &str) -> Self {
        self.text = format!("{words}{}", self.text);
        self
    }
}
