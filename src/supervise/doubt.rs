//! A `go mod tidy` that ends with 0 and may be wrong all the same: a lookup that failed looks to go like one that found nothing.

use std::io;
use std::time::{Duration, Instant};

use super::{
    End, Session,
    attempt::Outcome,
    tidy::{self, Snapshot},
};
use crate::{
    diagnose::{Diagnosis, Fault, Verdict},
    policy::GaveUp,
    report::Event,
    text::errno_text,
};

/// How long the locks of go are waited for where files are put back.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// What follows an attempt that ended well.
pub(super) enum Accepted {
    Done(End),
    Doubted,
    /// At once, with more of the list left to go.
    Again,
}

impl Session<'_> {
    /// An exit status of 0: the answer, unless tidy is doubted.
    pub(super) fn accept(&mut self, outcome: &mut Outcome) -> Accepted {
        if self.touched.files.is_some() && outcome.interrupted.is_none() && !outcome.committed {
            let faults = self.relay_faults();
            if !faults.is_empty() {
                let taken_back = self.take_back();
                if taken_back.is_ok() && self.leave_to_go() {
                    return Accepted::Again;
                }
                return Accepted::Done(self.refuse(outcome, faults, taken_back));
            }
            if let Some(accepted) = self.doubt(outcome) {
                return accepted;
            }
        }
        // Errors in the midst of a good end (`list -e`), and of what the relay refuses go may think otherwise.
        let is_untouched = outcome.interrupted.is_none() && !outcome.committed && !outcome.other_child;
        if self.touched.files.is_none()
            && is_untouched
            && !self.relay_faults().is_empty()
            && self.leave_to_go()
        {
            return Accepted::Again;
        }
        let status = outcome.status;
        let delivered = self.deliver(outcome);
        if delivered != Some(End::Exec) {
            self.finished(status, true);
        }
        Accepted::Done(delivered.unwrap_or_else(|| End::of(status)))
    }

    /// A tidy that looked for a package and did not find it has its files put
    /// back and runs again; the same bytes twice are the answer.
    fn doubt(&mut self, outcome: &Outcome) -> Option<Accepted> {
        let missing = tidy::not_found(&outcome.text);
        if missing.is_empty() || self.sees_every_lookup() {
            return None;
        }
        let written = self.touched.files.as_ref().and_then(Snapshot::again);
        let same = self.touched.doubted.is_some() && self.touched.doubted == written;
        if !same && self.asked.began.elapsed() < self.asked.budget && self.take_back().is_ok() {
            self.touched.doubted = written;
            return Some(Accepted::Doubted);
        }
        let names = missing.join(", ");
        let text = format!("go mod tidy could not look up {names}; a newer version may exist");
        self.now.reporter.event(&Event::Warning { text });
        None
    }

    /// True where go asks nobody but the relay, so that a lookup without a
    /// fault was answered. A checksum database may always be asked past it.
    fn sees_every_lookup(&self) -> bool {
        let own = self.asked.routes.lists.first();
        let relayed = own.is_some_and(|list| {
            list.entries()
                .iter()
                .all(|(element, _)| element.proxy_url().is_some())
        });
        self.now.relaying.is_some() && relayed && self.asked.env.text("GOSUMDB") == "off"
    }

    /// Takes note of the files that this run of tidy may write. What somebody
    /// wrote since the last one is the user's.
    pub(super) fn take_snapshot(&mut self) {
        if !self.asked.invocation.is(&["mod", "tidy"]) || self.switch("diff") {
            return;
        }
        let now = Snapshot::take(self.asked.invocation, &self.asked.env);
        if now != self.touched.files {
            self.touched.doubted = None;
        }
        self.touched.files = now;
    }

    /// Puts the files back as they stood before the run. Where that cannot be
    /// done they stay as go wrote them.
    pub(super) fn take_back(&self) -> io::Result<()> {
        let (Some(before), Some(written)) = (
            &self.touched.files,
            self.touched.files.as_ref().and_then(Snapshot::again),
        ) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        before.put_back(&written, &self.asked.env, Instant::now() + LOCK_TIME)
    }

    /// Lookups ended in faults that outlast every try, so what tidy wrote is
    /// not what it would write in a good network.
    fn refuse(&mut self, outcome: &mut Outcome, faults: Vec<Fault>, taken_back: io::Result<()>) -> End {
        let advice = match taken_back {
            Ok(()) => {
                "go.mod and go.sum are unchanged; `GOFIX_RELAY=off gofix tidy` accepts the result".to_owned()
            }
            Err(error) => format!(
                "go.mod and go.sum could not be restored ({}) and contain the result of this run; run it again",
                errno_text(&error)
            ),
        };
        let diagnosis = Diagnosis {
            verdict: Verdict::Retry,
            faults,
            advice,
            needs: None,
        };
        self.deliver(outcome);
        for fault in &diagnosis.faults {
            self.now.reporter.event(&Event::Fault {
                attempt: self.now.attempts,
                fault: fault.clone(),
            });
        }
        self.now.reporter.event(&Event::GaveUp {
            why: GaveUp::Doubted,
            diagnosis: Some(diagnosis),
        });
        self.finished(outcome.status, false);
        End::Code(1)
    }
}
