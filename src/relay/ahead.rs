//! What go will ask for next.
//!
//! `go mod download` and `go list -m` look at one module after the other, and
//! before a module's `.info` has come they do not ask for the next: with a
//! proxy 100 ms away 500 modules take 50 s, most of them a wait for a few
//! hundred bytes. The order is that of the module paths, and what is looked at
//! is what the go.mod files that were just loaded select. So when go asks for
//! the second such `.info`, the next ones are asked for ahead, a few at a time,
//! of the very proxy that served the go.mod, and handed over when go comes for
//! them.
//!
//! Asked ahead is once and no more: whatever comes to nothing is forgotten, and
//! go's own request is made as if nobody had asked before. So nothing that go
//! does not ask for can fail.
//!
//! Known to be imperfect: a go.mod with two blocks of requirements is gone
//! through block by block, so that what the second holds is fetched some time
//! before its use, or, where that is too much, not ahead; modules that are
//! loaded and not looked at (the tests of others need them) are asked for in
//! vain, never more often than [`SPARE`] more than what go took.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use semver::Version;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::trouble::Answer;
use super::wanted::{Kind, Wanted, is_canonical};

/// Files of one element asked for at the same time.
const AT_ONCE: usize = 8;
/// Files asked for that go has not come for, beyond as many as it did take.
const SPARE: usize = 8;
/// And never more than this.
const MOST: usize = 256;
/// Requests of go from which its way through the modules is known.
const CERTAIN: usize = 2;
/// An `.info` has a few hundred bytes. A longer one is not kept.
const LONGEST: u64 = 16 << 10;

/// What is known of the elements of one list, by their number.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    elements: Mutex<HashMap<usize, Element>>,
}

#[derive(Debug, Default)]
struct Element {
    /// By module path: the version that is selected, as far as go has seen.
    modules: BTreeMap<String, Module>,
    /// The module that go asked for last.
    at: String,
    /// Requests of go for what is in `modules`.
    asked: usize,
    /// Files that go has taken, or would have had they come.
    taken: usize,
    /// Files asked for that go has not come for.
    spare: usize,
    workers: usize,
    /// There may be more to ask for.
    more: Arc<Notify>,
    stopped: bool,
}

#[derive(Debug)]
struct Module {
    version: Version,
    /// The path of its `.info` on the wire.
    path: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Known,
    Coming(Coming),
    /// Go has asked for it.
    Done,
}

/// A file that was asked for ahead.
#[derive(Debug)]
pub(crate) struct Coming {
    since: Instant,
    answer: oneshot::Receiver<Answer>,
}

/// A file to ask for now.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) wanted: Wanted,
    pub(crate) taker: Taker,
}

/// Where a file goes that was asked for ahead.
#[derive(Debug)]
pub(crate) struct Taker(oneshot::Sender<Answer>);

impl Ahead {
    fn elements(&self) -> MutexGuard<'_, HashMap<usize, Element>> {
        self.elements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A go.mod was served.
    pub(crate) fn served(&self, element: usize, wanted: &Wanted) {
        if wanted.kind != Kind::Mod {
            return;
        }
        let (Some(module), Some(version), Some(stem)) = (
            &wanted.module,
            wanted.version.as_deref().and_then(canonical),
            wanted.path.strip_suffix(".mod"),
        ) else {
            return;
        };
        let mut elements = self.elements();
        let modules = &mut elements.entry(element).or_default().modules;
        let selected = modules.get(module).is_some_and(|known| known.version >= version);
        if !selected {
            let next = Module {
                version,
                path: format!("{stem}.info"),
                state: State::Known,
            };
            modules.insert(module.clone(), next);
        }
    }

    /// Go asks for a file: what has been asked for ahead of it, if anything.
    pub(crate) fn claim(&self, element: usize, wanted: &Wanted) -> Option<Coming> {
        if wanted.kind != Kind::Info {
            return None;
        }
        let name = wanted.module.as_ref()?;
        let mut elements = self.elements();
        let element = elements.get_mut(&element)?;
        let module = element.modules.get_mut(name)?;
        if module.path != wanted.path {
            return None;
        }
        element.at.clone_from(name);
        element.asked += 1;
        match std::mem::replace(&mut module.state, State::Done) {
            State::Coming(coming) => {
                element.spare -= 1;
                element.taken += 1;
                Some(coming)
            }
            State::Known | State::Done => None,
        }
    }

    /// The first file for one more that asks ahead, where there is room for
    /// one; it goes on with [`Ahead::next`]. One who waits is called otherwise.
    pub(crate) fn hire(&self, element: usize) -> Option<Next> {
        let mut elements = self.elements();
        let element = elements.get_mut(&element)?;
        if element.workers == AT_ONCE {
            element.more.notify_one();
            return None;
        }
        let next = element.next()?;
        element.workers += 1;
        Some(next)
    }

    /// The next file to ask for, behind the one that go asked for last, as soon
    /// as there is one. Who asks ahead stays for good: tasks that come and go
    /// between answers that are kept would leave holes in the heap.
    pub(crate) async fn next(&self, element: usize) -> Next {
        loop {
            let more = {
                let mut elements = self.elements();
                let element = elements.entry(element).or_default();
                if let Some(next) = element.next() {
                    // What made room for one may have made it for two.
                    element.more.notify_one();
                    return next;
                }
                Arc::clone(&element.more)
            };
            // A call that came in between is kept.
            more.notified().await;
        }
    }

    /// The proxy has asked for fewer requests.
    pub(crate) fn stop(&self, element: usize) {
        self.elements().entry(element).or_default().stopped = true;
    }
}

impl Element {
    fn next(&mut self) -> Option<Next> {
        if self.stopped || self.asked < CERTAIN || self.spare >= (self.taken + SPARE).min(MOST) {
            return None;
        }
        let behind = (Bound::Excluded(self.at.as_str()), Bound::Unbounded);
        let (_, module) = self
            .modules
            .range_mut::<str, _>(behind)
            .find(|(_, module)| matches!(module.state, State::Known))?;
        let wanted = Wanted::parse(&module.path)?;
        let (answer, coming) = oneshot::channel();
        module.state = State::Coming(Coming {
            since: Instant::now(),
            answer: coming,
        });
        self.spare += 1;
        Some(Next {
            wanted,
            taker: Taker(answer),
        })
    }
}

impl Taker {
    /// Hands an answer over, where it is one that go can use.
    pub(crate) fn give(self, answer: Answer) {
        if answer.status == 200 && answer.body.len() <= LONGEST {
            // Nobody takes it where go did not wait.
            self.0.send(answer).ok();
        }
    }

    /// Ends when nobody waits for the file any more.
    pub(crate) async fn gone(&mut self) {
        self.0.closed().await;
    }
}

impl Coming {
    /// The file, where it is there or soon will be: `patience` after it was
    /// asked for go's own request is made instead.
    pub(crate) async fn answer(self, patience: Duration) -> Option<Answer> {
        timeout_at(self.since + patience, self.answer).await.ok()?.ok()
    }
}

/// A canonical version in the order of versions. What stands behind a plus
/// sign (`+incompatible`) has no part in that.
fn canonical(version: &str) -> Option<Version> {
    let plain = version.split_once('+').map_or(version, |(plain, _)| plain);
    let number = plain.strip_prefix('v').filter(|_| is_canonical(version))?;
    Version::parse(number).ok()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::clock::paused;
    use super::super::spool::Body;
    use super::*;

    fn file(path: &str) -> Wanted {
        Wanted::parse(path).unwrap()
    }

    /// What is known after the go.mod files of m00 to m99 have been served.
    fn hundred() -> Ahead {
        let ahead = Ahead::default();
        for n in (0..100).rev() {
            ahead.served(0, &file(&format!("m{n:02}/@v/v1.0.0.mod")));
        }
        ahead
    }

    fn ask(ahead: &Ahead, n: usize) -> Option<Coming> {
        ahead.claim(0, &file(&format!("m{n:02}/@v/v1.0.0.info")))
    }

    fn answer(status: u16, len: usize) -> Answer {
        Answer {
            status,
            reason: None,
            content_type: None,
            body: Body::from_bytes(vec![b' '; len]),
        }
    }

    #[test]
    fn the_second_request_shows_the_way() {
        let ahead = hundred();
        assert!(ahead.hire(0).is_none());
        assert!(ask(&ahead, 5).is_none());
        assert!(ahead.hire(0).is_none());
        assert!(ask(&ahead, 6).is_none());
        assert_eq!(ahead.hire(0).unwrap().wanted.path, "m07/@v/v1.0.0.info");
        assert_eq!(ahead.hire(0).unwrap().wanted.path, "m08/@v/v1.0.0.info");
        // Of another element nothing is known.
        assert!(ahead.hire(1).is_none());
    }

    #[test]
    fn what_has_no_go_mod_of_its_own_shows_nothing() {
        let ahead = hundred();
        for n in 0..9 {
            // A version that is looked for, and one that is not selected.
            assert!(
                ahead
                    .claim(0, &file(&format!("m{n:02}/@v/v1.1.0.info")))
                    .is_none()
            );
            assert!(
                ahead
                    .claim(0, &file(&format!("n{n:02}/@v/v1.0.0.info")))
                    .is_none()
            );
        }
        assert!(ahead.hire(0).is_none());
    }

    /// Those who ask, each with a file, and who gets one more at once.
    fn all(ahead: &Ahead) -> usize {
        let hired = std::iter::from_fn(|| ahead.hire(0)).count();
        let next = || match pin!(ahead.next(0)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        };
        hired + std::iter::from_fn(next).count()
    }

    #[test]
    fn no_more_than_a_few_more_than_are_taken() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        assert_eq!(all(&ahead), SPARE);
        // One that is taken makes room for itself and for one more.
        assert!(ask(&ahead, 2).is_some());
        assert_eq!(all(&ahead), 2);
        // One that nobody asked for does not.
        assert!(ask(&ahead, 50).is_none());
        assert_eq!(all(&ahead), 0);
    }

    #[test]
    fn who_waits_is_called_when_there_is_more() {
        paused(async {
            let ahead = hundred();
            ask(&ahead, 0);
            ask(&ahead, 1);
            assert_eq!(all(&ahead), SPARE);
            let waiting = async { (ahead.next(0).await, ahead.next(0).await) };
            let asking = async {
                tokio::task::yield_now().await;
                ask(&ahead, 2);
                ahead.hire(0)
            };
            let ((first, second), hired) = tokio::join!(waiting, asking);
            assert_eq!(first.wanted.path, "m10/@v/v1.0.0.info");
            assert_eq!(second.wanted.path, "m11/@v/v1.0.0.info");
            assert!(hired.is_none());
        });
    }

    #[test]
    fn the_highest_version_is_the_one_that_is_selected() {
        for order in [["v1.9.0", "v1.10.0"], ["v1.10.0", "v1.9.0"]] {
            let ahead = hundred();
            for version in order {
                ahead.served(0, &file(&format!("m02/@v/{version}.mod")));
            }
            ask(&ahead, 0);
            ask(&ahead, 1);
            assert_eq!(ahead.hire(0).unwrap().wanted.path, "m02/@v/v1.10.0.info");
        }
    }

    #[test]
    fn versions() {
        let order = |a: &str, b: &str| canonical(a).unwrap().cmp(&canonical(b).unwrap());
        assert!(
            order(
                "v0.0.0-20200101000000-abcdefabcdef",
                "v0.0.0-20190101000000-abcdefabcdef"
            )
            .is_gt()
        );
        assert!(order("v2.0.0+incompatible", "v1.9.9").is_gt());
        assert!(order("v1.0.0-rc.1", "v1.0.0").is_lt());
        assert!(order("v2.0.0+incompatible", "v2.0.0").is_eq());
        for version in ["master", "v1", "1.0.0", "v1.0.0+meta"] {
            assert_eq!(canonical(version), None, "{version}");
        }
    }

    #[test]
    fn what_comes_is_handed_over_and_what_does_not_is_asked_for_again() {
        paused(async {
            let patience = Duration::from_secs(3);
            let ahead = hundred();
            ask(&ahead, 0);
            ask(&ahead, 1);
            let mut flying = std::iter::from_fn(|| ahead.hire(0));
            let [good, bad, long, late] = std::array::from_fn(|_| flying.next().unwrap().taker);
            good.give(answer(200, 3));
            bad.give(answer(404, 3));
            long.give(answer(200, 1 << 20));
            let taken = async |n| ask(&ahead, n).unwrap().answer(patience).await;
            assert_eq!(taken(2).await.unwrap().body.len(), 3);
            // Taken once.
            assert!(ask(&ahead, 2).is_none());
            assert!(taken(3).await.is_none());
            assert!(taken(4).await.is_none());
            let start = Instant::now();
            assert!(taken(5).await.is_none());
            assert_eq!(start.elapsed(), patience);
            let mut late = late;
            late.gone().await;
        });
    }

    #[test]
    fn a_proxy_that_asks_for_less_is_asked_for_nothing_ahead() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        assert!(ahead.hire(0).is_some());
        ahead.stop(0);
        assert_eq!(all(&ahead), 0);
        ask(&ahead, 10);
        assert_eq!(all(&ahead), 0);
    }
}
