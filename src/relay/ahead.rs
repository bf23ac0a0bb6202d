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
//! A request made ahead is the first try of go's own where go comes for it, with
//! the same clocks and with what its fault says of the proxy. Where go does not
//! come for it, it was none: its faults are not counted and nobody hears of them.
//!
//! Known to be imperfect: a go.mod with two blocks of requirements is gone
//! through block by block, so that what the second holds is fetched some time
//! before its use, or, where that is too much, not ahead; modules that are
//! loaded and not looked at (the tests of others need them) are asked for in
//! vain, never more often than go asked by itself and [`SPARE`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use semver::Version;
use tokio::sync::{Notify, oneshot};

use super::trouble::Answer;
use crate::go::protocol::{Kind, Wanted, is_canonical};

/// Files of one element asked for at the same time.
const AT_ONCE: usize = 8;
/// Files asked for that go has not come for, beyond as many as it asked for.
const SPARE: usize = 8;
/// And never more than this.
const MOST: usize = 256;
/// Requests of go from which its way through the modules is known.
const CERTAIN: usize = 2;
/// Faults in a row from which nothing is asked ahead until go has an answer.
const FAULTS: u32 = 3;
/// An `.info` has a few hundred bytes. A longer one is not kept, nor one whose
/// header is strange.
const LONGEST: u64 = 16 << 10;
const LONGEST_TYPE: usize = 256;

/// What is known of the elements of one list, by their number. `F` is what is
/// left of a request that failed.
#[derive(Debug)]
pub(crate) struct Ahead<F> {
    elements: Mutex<HashMap<usize, Element<F>>>,
}

#[derive(Debug)]
struct Element<F> {
    /// By module path: the version that is selected, as far as go has seen.
    modules: BTreeMap<String, Module<F>>,
    /// Every `.info` that go has asked for.
    seen: HashSet<String>,
    /// The module that go asked for last.
    at: String,
    /// Requests of go for what is in `modules`.
    asked: usize,
    /// Files asked for that go has not come for.
    spare: usize,
    workers: usize,
    /// There may be more to ask for.
    more: Arc<Notify>,
    faults: u32,
    stopped: bool,
}

#[derive(Debug)]
struct Module<F> {
    version: Version,
    /// The path of its `.info` on the wire.
    path: String,
    /// Asked for ahead, and go has not come for it.
    coming: Option<Coming<F>>,
}

/// A file that was asked for ahead.
#[derive(Debug)]
pub(crate) struct Coming<F> {
    claimed: Arc<AtomicBool>,
    what: oneshot::Receiver<Came<F>>,
}

/// What comes of a request that was made ahead.
pub(crate) type Came<F> = Result<Answer, F>;

/// A file to ask for now.
#[derive(Debug)]
pub(crate) struct Next<F> {
    pub(crate) wanted: Wanted,
    pub(crate) taker: Taker<F>,
}

/// Where a file goes that was asked for ahead.
#[derive(Debug)]
pub(crate) struct Taker<F> {
    claimed: Arc<AtomicBool>,
    what: oneshot::Sender<Came<F>>,
}

impl<F> Default for Ahead<F> {
    fn default() -> Self {
        Self {
            elements: Mutex::default(),
        }
    }
}

impl<F> Default for Element<F> {
    fn default() -> Self {
        Self {
            modules: BTreeMap::new(),
            seen: HashSet::new(),
            at: String::new(),
            asked: 0,
            spare: 0,
            workers: 0,
            more: Arc::default(),
            faults: 0,
            stopped: false,
        }
    }
}

impl<F> Ahead<F> {
    fn elements(&self) -> MutexGuard<'_, HashMap<usize, Element<F>>> {
        self.elements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Go was given a file by the element's own proxy.
    pub(crate) fn served(&self, element: usize, wanted: &Wanted) {
        match wanted.kind {
            Kind::Mod => self.served_mod(element, wanted),
            Kind::Info => {
                if let Some(element) = self.elements().get_mut(&element) {
                    element.faults = 0;
                    element.more.notify_one();
                }
            }
            _ => {}
        }
    }

    fn served_mod(&self, element: usize, wanted: &Wanted) {
        let (Some(module), Some(version), Some(stem)) = (
            &wanted.module,
            wanted.version.as_deref().and_then(canonical),
            wanted.path.strip_suffix(".mod"),
        ) else {
            return;
        };
        let mut elements = self.elements();
        let element = elements.entry(element).or_default();
        let known = element.modules.get(module);
        if known.is_some_and(|known| known.version >= version) {
            return;
        }
        let next = Module {
            version,
            path: format!("{stem}.info"),
            coming: None,
        };
        let before = element.modules.insert(module.clone(), next);
        if before.is_some_and(|before| before.coming.is_some()) {
            element.spare -= 1;
        }
    }

    /// Go asks for a file: what has been asked for ahead of it, if anything.
    pub(crate) fn claim(&self, element: usize, wanted: &Wanted) -> Option<Coming<F>> {
        if wanted.kind != Kind::Info {
            return None;
        }
        let name = wanted.module.as_ref()?;
        let mut elements = self.elements();
        let element = elements.entry(element).or_default();
        element.seen.insert(wanted.path.clone());
        let module = element.modules.get_mut(name)?;
        if module.path != wanted.path {
            return None;
        }
        element.at.clone_from(name);
        element.asked += 1;
        let coming = module.coming.take()?;
        element.spare -= 1;
        coming.claimed.store(true, Ordering::Relaxed);
        Some(coming)
    }

    /// The first file for one more that asks ahead, where there is room for
    /// one; it goes on with [`Ahead::next`]. One who waits is called otherwise.
    pub(crate) fn hire(&self, element: usize) -> Option<Next<F>> {
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
    pub(crate) async fn next(&self, element: usize) -> Next<F> {
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

    /// A request made ahead went well, or did not.
    pub(crate) fn went(&self, element: usize, well: bool) {
        let mut elements = self.elements();
        let faults = &mut elements.entry(element).or_default().faults;
        *faults = if well { 0 } else { *faults + 1 };
    }

    /// The proxy has asked for fewer requests.
    pub(crate) fn stop(&self, element: usize) {
        self.elements().entry(element).or_default().stopped = true;
    }
}

impl<F> Element<F> {
    fn next(&mut self) -> Option<Next<F>> {
        let most = (self.asked + SPARE).min(MOST);
        if self.stopped || self.faults >= FAULTS || self.asked < CERTAIN || self.spare >= most {
            return None;
        }
        let behind = (Bound::Excluded(self.at.as_str()), Bound::Unbounded);
        let (_, module) = self
            .modules
            .range_mut::<str, _>(behind)
            .find(|(_, module)| module.coming.is_none() && !self.seen.contains(&module.path))?;
        let wanted = Wanted::parse(&module.path)?;
        let (give, take) = oneshot::channel();
        let claimed = Arc::<AtomicBool>::default();
        module.coming = Some(Coming {
            claimed: Arc::clone(&claimed),
            what: take,
        });
        self.spare += 1;
        let taker = Taker { claimed, what: give };
        Some(Next { wanted, taker })
    }
}

impl<F> Taker<F> {
    /// Hands over what came, where it is something that go's own request can
    /// start from.
    pub(crate) fn give(self, came: Came<F>) {
        let keeps = came.as_ref().map_or(true, |answer| {
            let usual = |value: &Vec<u8>| value.len() <= LONGEST_TYPE;
            answer.status == 200
                && answer.body.len() <= LONGEST
                && answer.content_type.as_ref().is_none_or(usual)
        });
        if keeps {
            // Nobody takes it where go did not wait.
            self.what.send(came).ok();
        }
    }

    /// Ends when nobody waits for the file any more, and where nobody has begun
    /// to in so long a time.
    pub(crate) async fn gone(&mut self, patience: Duration) {
        tokio::select! {
            () = self.what.closed() => {}
            () = tokio::time::sleep(patience) => {
                if self.claimed.load(Ordering::Relaxed) {
                    self.what.closed().await;
                }
            }
        }
    }
}

impl<F> Coming<F> {
    /// What the request comes to; `None` where that is nothing of use.
    pub(crate) async fn came(self) -> Option<Came<F>> {
        self.what.await.ok()
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

    use super::super::spool::Body;
    use super::*;
    use crate::sys::clock::paused;

    /// What fails, fails with a word.
    type Ahead = super::Ahead<&'static str>;

    const PATIENCE: Duration = Duration::from_secs(30);

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

    fn ask(ahead: &Ahead, n: usize) -> Option<Coming<&'static str>> {
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

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// The paths of what is asked for now.
    fn all(ahead: &Ahead) -> Vec<Next<&'static str>> {
        let mut all: Vec<_> = std::iter::from_fn(|| ahead.hire(0)).collect();
        all.extend(std::iter::from_fn(|| now(ahead.next(0))));
        all
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

    #[test]
    fn what_go_has_is_not_asked_for() {
        let ahead = hundred();
        // As go get does: first the .info, then the go.mod.
        ahead.claim(0, &file("m03/@v/v1.1.0.info"));
        ahead.served(0, &file("m03/@v/v1.1.0.mod"));
        ask(&ahead, 1);
        ask(&ahead, 2);
        assert_eq!(all(&ahead)[0].wanted.path, "m04/@v/v1.0.0.info");
    }

    #[test]
    fn no_more_than_a_few_more_than_go_asks_for() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        let first = all(&ahead);
        assert_eq!(first.len(), SPARE + 2);
        // One that is taken makes room for itself and for one more.
        assert!(ask(&ahead, 2).is_some());
        let second = all(&ahead);
        assert_eq!(second.len(), 2);
        // One that comes from elsewhere makes room for one.
        assert!(ask(&ahead, 50).is_none());
        assert_eq!(all(&ahead)[0].wanted.path, "m51/@v/v1.0.0.info");
    }

    #[test]
    fn a_higher_version_makes_another_useless() {
        paused(async {
            let ahead = hundred();
            ask(&ahead, 0);
            ask(&ahead, 1);
            let mut flying = all(&ahead);
            assert_eq!(all(&ahead).len(), 0);
            ahead.served(0, &file("m02/@v/v1.1.0.mod"));
            flying[0].taker.gone(PATIENCE).await;
            assert_eq!(all(&ahead)[0].wanted.path, "m02/@v/v1.1.0.info");
        });
    }

    #[test]
    fn who_waits_is_called_when_there_is_more() {
        paused(async {
            let ahead = hundred();
            ask(&ahead, 0);
            ask(&ahead, 1);
            let flying = all(&ahead);
            let waiting = async { (ahead.next(0).await, ahead.next(0).await) };
            let asking = async {
                tokio::task::yield_now().await;
                ask(&ahead, 2);
                ahead.hire(0)
            };
            let ((first, second), hired) = tokio::join!(waiting, asking);
            assert_eq!(first.wanted.path, "m12/@v/v1.0.0.info");
            assert_eq!(second.wanted.path, "m13/@v/v1.0.0.info");
            assert!(hired.is_none());
            drop(flying);
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
    fn what_comes_is_handed_over_once() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        let mut flying = all(&ahead).into_iter();
        let [good, bad, long, failed, late] = std::array::from_fn(|_| flying.next().unwrap().taker);
        good.give(Ok(answer(200, 3)));
        bad.give(Ok(answer(404, 3)));
        long.give(Ok(answer(200, 1 << 20)));
        failed.give(Err("a fault"));
        let came = |n| now(ask(&ahead, n).unwrap().came());
        assert_eq!(came(2).unwrap().unwrap().unwrap().body.len(), 3);
        assert!(ask(&ahead, 2).is_none());
        // Go's own request starts from the beginning.
        assert!(came(3).unwrap().is_none());
        assert!(came(4).unwrap().is_none());
        // Or from the fault.
        assert_eq!(came(5).unwrap().unwrap().unwrap_err(), "a fault");
        assert!(came(6).is_none());
        drop(late);
    }

    #[test]
    fn what_go_waits_for_is_not_given_up() {
        paused(async {
            let ahead = hundred();
            ask(&ahead, 0);
            ask(&ahead, 1);
            let mut flying = all(&ahead).into_iter();
            let [mut wanted, mut passed] = std::array::from_fn(|_| flying.next().unwrap().taker);
            let coming = ask(&ahead, 2);
            passed.gone(PATIENCE).await;
            let waits = tokio::time::timeout(10 * PATIENCE, wanted.gone(PATIENCE)).await;
            assert!(waits.is_err());
            drop(coming);
            wanted.gone(PATIENCE).await;
        });
    }

    #[test]
    fn a_proxy_that_fails_is_left_to_go_until_it_answers() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        for well in [false, false, true, false, false] {
            ahead.went(0, well);
        }
        assert!(ahead.hire(0).is_some());
        ahead.went(0, false);
        assert!(all(&ahead).is_empty());
        ask(&ahead, 10);
        assert!(all(&ahead).is_empty());
        ahead.served(0, &file("m10/@v/v1.0.0.info"));
        assert_eq!(all(&ahead)[0].wanted.path, "m11/@v/v1.0.0.info");
    }

    #[test]
    fn a_proxy_that_asks_for_less_is_asked_for_nothing_ahead() {
        let ahead = hundred();
        ask(&ahead, 0);
        ask(&ahead, 1);
        assert!(ahead.hire(0).is_some());
        ahead.stop(0);
        assert!(all(&ahead).is_empty());
        ask(&ahead, 10);
        ahead.served(0, &file("m10/@v/v1.0.0.info"));
        assert!(all(&ahead).is_empty());
    }
}
