//! The faults that outlasted the tries: what go is told of them, and what the
//! supervisor learns.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::diagnose::{Fault, Origin, Verdict};
use crate::text::{redact, safe};

use super::request_error::{Phase, RequestError};
use crate::go::protocol::Wanted;
use crate::net::url::Url;

/// What is put in front of a fault's number in the status line that go gets.
pub(crate) const STATUS_WORDS: &str = "relay fault";
/// The status of such an answer: none that go knows, and no "not found".
pub(crate) const STATUS: u16 = 599;
/// More faults than this are counted, not kept.
const KEPT: usize = 10_000;

/// Every fault of one relay.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    /// The hosts that redirects led to, by the URL that go names, where what came of it was no file.
    redirects: Mutex<HashMap<String, String>>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    fault: Fault,
    /// Go's own words for it.
    words: String,
    /// Met before go could have had the file from elsewhere in its list.
    healed: bool,
    met: Met,
}

/// How far the relay went with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Every try was spent.
    Spent,
    /// Left before its tries were spent, since go goes on by itself behind
    /// this element.
    Left,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a fault and gives its number.
    pub(crate) fn record(&self, wanted: &Wanted, base: &Url, error: &RequestError, met: Met) -> usize {
        let url = base.below(&wanted.path);
        let words = words(wanted, &url, error);
        let fault = Fault {
            nobody: error.nobody,
            origin: if wanted.is_sumdb() {
                Origin::Sumdb
            } else {
                Origin::Proxy
            },
            module: wanted.module.as_deref().map(safe),
            version: wanted.version.as_deref().map(safe),
            host: Some(safe(&base.authority)),
            url: Some(safe(&url.redacted())),
            redirected_to: error.redirected_to(&base.authority).map(|host| safe(&host)),
            ..Fault::of_words(error.kind, Verdict::Retry, &safe(&words))
        };
        let mut entries = self.entries();
        if entries.len() < KEPT {
            entries.push(Entry {
                path: wanted.path.clone(),
                fault,
                words,
                healed: false,
                met,
            });
            entries.len() - 1
        } else {
            KEPT
        }
    }

    /// What was asked for at `url` had a bad end at this host.
    pub(crate) fn redirected(&self, url: &Url, host: Option<&str>) {
        let mut redirects = self.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = host
            && redirects.len() < KEPT
        {
            redirects.insert(redact(&url.redacted()).into_owned(), safe(host));
        }
    }

    /// The host that a request for this URL was redirected to.
    pub(crate) fn redirected_to(&self, url: &str) -> Option<String> {
        let redirects = self.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        redirects.get(url).cloned()
    }

    /// Another element of go's list answered after all.
    pub(crate) fn healed(&self, path: &str) {
        for entry in self.entries().iter_mut().filter(|entry| entry.path == path) {
            entry.healed = true;
        }
    }

    /// The faults that every try was spent on and nothing healed, in order.
    /// One that was left early is go's business: it has asked elsewhere.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        self.entries()
            .iter()
            .filter(|entry| !entry.healed && entry.met == Met::Spent)
            .map(|entry| entry.fault.clone())
            .collect()
    }

    /// Go's own words for a fault.
    pub(crate) fn words(&self, id: usize) -> Option<String> {
        if id == KEPT {
            return Some("one of very many faults of the network".to_owned());
        }
        self.entries().get(id).map(|entry| entry.words.clone())
    }

    /// Forgets everything: another run of go begins.
    pub(crate) fn heal_all(&self) {
        for entry in self.entries().iter_mut() {
            entry.healed = true;
        }
    }
}

/// What go would have printed had it met the fault itself.
fn words(wanted: &Wanted, url: &Url, error: &RequestError) -> String {
    let redacted = url.redacted();
    match error.phase {
        Phase::Content => error.text.clone(),
        Phase::Read if wanted.is_sumdb() => format!("reading {redacted}: {}", error.text),
        Phase::Read => format!("read \"{redacted}\": {}", error.text),
        Phase::Get => {
            let url = error.url.clone().unwrap_or_else(|| url.stripped());
            format!("Get \"{url}\": {}", error.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultKind;

    use super::*;

    fn said(path: &str, error: &RequestError) -> String {
        let ledger = Ledger::default();
        let base = Url::parse("https://u:secret@h/p/").unwrap();
        let id = ledger.record(&Wanted::parse(path).unwrap(), &base, error, Met::Spent);
        ledger.words(id).unwrap()
    }

    #[test]
    fn the_words_of_go() {
        let refused = RequestError::nobody(
            FaultKind::Connect,
            "dial tcp 127.0.0.1:1: connect: connection refused",
        );
        assert_eq!(
            said("m/@v/list", &refused),
            "Get \"https://u:***@h/p/m/@v/list\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
        let cut = RequestError::new(FaultKind::Eof, "unexpected EOF").in_body();
        assert_eq!(
            said("m/@v/v1.0.0.zip", &cut),
            "read \"https://u:xxxxx@h/p/m/@v/v1.0.0.zip\": unexpected EOF"
        );
        assert_eq!(
            said("sumdb/s/latest", &cut),
            "reading https://u:xxxxx@h/p/sumdb/s/latest: unexpected EOF"
        );
    }

    #[test]
    fn a_fault_that_another_element_made_good_is_none() {
        let ledger = Ledger::default();
        let base = Url::parse("https://h").unwrap();
        let files = [
            ("m/@v/list", Met::Spent),
            ("n/@v/v1.0.0.mod", Met::Spent),
            ("o/@v/v1.0.0.mod", Met::Left),
        ];
        for (path, met) in files {
            let eof = RequestError::new(FaultKind::Eof, "EOF");
            ledger.record(&Wanted::parse(path).unwrap(), &base, &eof, met);
        }
        ledger.healed("m/@v/list");
        let faults = ledger.faults();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].module.as_deref(), Some("n"));
        assert_eq!(faults[0].version.as_deref(), Some("v1.0.0"));
    }
}
