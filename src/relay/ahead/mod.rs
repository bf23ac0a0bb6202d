//! What go will ask for next, asked for before it does.
//!
//! Cold fetches wait for round trips: go asks for a module's `.info`, go.mod,
//! zip, record and tiles one after the other, and for `mod download` for one
//! module after the other. Most of it is certain long before. Here is one room
//! for it: what go asks for and what comes are told to the rules ([`rules`]),
//! which draw conclusions from go.mod, go.sum, the files that came and the module
//! cache; a scheduler decides what of that is asked for when.
//!
//! A request made ahead is the first try of go's own where go comes for it, with
//! the same clocks and with what its fault says of the proxy. Where go does not
//! come for it, it was none: its faults are not counted and nobody hears of them.
//!
//! No name goes where go would not have sent it: an element of the list is asked
//! for a module that go itself has asked it for, or the first one for modules
//! that are neither private nor replaced. Nothing begins before go's own requests
//! show the way.

mod graph;
mod name;
#[cfg(test)]
mod replay;
mod rules;
mod scan;
mod ticket;
mod tiles;
mod world;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::go::mod_file;
use crate::go::protocol::{Kind, Wanted};
use crate::sys::spool::Body;

use self::rules::{Rule, Seen};
use self::world::World;

pub(crate) use self::name::Name;
pub(crate) use self::scan::{Found, Scan};
pub use self::scan::{Packages, Root};
pub(crate) use self::ticket::{Coming, Taker, Ticket};
pub use self::world::{Command, Project};

/// Small files of one proxy asked for at the same time.
const SMALL_AT_ONCE: usize = 64;
/// Zips of one proxy asked for at the same time: more would share the line with
/// those that go waits for.
const ZIPS_AT_ONCE: usize = 4;
/// Files of a proxy that takes a connection for each.
const NARROW: usize = 8;
/// What may lie about that go has not come for: of zips, and of small files.
const ZIP_BYTES: u64 = 64 << 20;
const SMALL_BYTES: u64 = 4 << 20;
/// What is counted for a zip whose length is not known yet.
const UNKNOWN_ZIP: u64 = 1 << 20;
/// Files asked for in one run; no project needs more.
const MOST: usize = 100_000;
/// Faults in a row from which nothing is asked ahead until go has an answer.
const FAULTS: u32 = 3;

/// The room. `T` is what comes of a request.
pub(crate) struct Room<T> {
    state: Mutex<State<T>>,
    /// The zips that go waits for.
    waited: watch::Sender<usize>,
}

struct State<T> {
    project: Arc<Project>,
    /// Whether the first element of go's list is the relay's first: it is the
    /// one that learns of every module.
    first_is_asked_all: bool,
    world: Option<World>,
    rules: Vec<Box<dyn Rule>>,
    elements: Vec<Element<T>>,
    /// What was seen by the rules, or wanted by one.
    known: HashSet<Name>,
    /// By module path: the elements that go has asked for it.
    asked: HashMap<String, Vec<usize>>,
    /// The element that has the checksum database.
    database: Option<usize>,
    /// Files are being read; one scan at a time leaves go the other processors.
    scans: bool,
}

struct Element<T> {
    stopped: bool,
    faults: u32,
    small: Queue<T>,
    zips: Queue<T>,
    /// What go has asked for.
    asked: HashSet<Name>,
}

struct Queue<T> {
    wanted: VecDeque<Name>,
    /// On their way, or here; go has come for none of them.
    coming: HashMap<Name, Coming<T>>,
    /// Requests under way, go's or not.
    under_way: usize,
    /// The bytes of `coming`.
    unclaimed: Arc<AtomicU64>,
}

/// A file to ask for now.
#[derive(Debug)]
pub(crate) struct Job<T> {
    pub(crate) element: usize,
    pub(crate) name: Name,
    pub(crate) wanted: Wanted,
    pub(crate) taker: Taker<T>,
}

/// How a request made ahead went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    /// An answer.
    Well,
    /// A fault.
    Badly,
    /// The proxy asks for less, or is slow.
    Enough,
    /// Nobody wanted it any more, or the proxy is not asked by anybody now.
    Nowhere,
}

/// Go waits for a zip as long as this is there.
pub(crate) struct WaitsForZip<'a>(&'a watch::Sender<usize>);

impl Drop for WaitsForZip<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl<T> Room<T> {
    pub(crate) fn new(project: Project, first_is_asked_all: bool, elements: usize) -> Self {
        Self {
            state: Mutex::new(State {
                project: Arc::new(project),
                first_is_asked_all,
                world: None,
                rules: rules::all(),
                elements: (0..elements).map(|_| Element::default()).collect(),
                known: HashSet::new(),
                asked: HashMap::new(),
                database: None,
                scans: false,
            }),
            waited: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Go asks an element for a file: what has been asked for ahead of it, if anything.
    pub(crate) fn asked(&self, element: usize, wanted: &Wanted) -> Option<Coming<T>> {
        let name = Name::of(wanted);
        let mut state = self.state();
        if let Some(module) = wanted.module.as_ref().filter(|_| !wanted.is_sumdb()) {
            let asked = state.asked.entry(module.clone()).or_default();
            if !asked.contains(&element) {
                asked.push(element);
            }
        }
        let name = name?;
        let coming = state.claim(element, &name);
        if state.known.len() < MOST {
            state.see(Seen::Asked(&name));
        }
        coming
    }

    /// Go waits for this file from now on.
    pub(crate) fn waits(&self, wanted: &Wanted) -> Option<WaitsForZip<'_>> {
        (wanted.kind == Kind::Zip).then(|| {
            self.waited.send_modify(|count| *count += 1);
            WaitsForZip(&self.waited)
        })
    }

    /// Go was given a file by the element's own proxy.
    pub(crate) fn served(&self, element: usize, wanted: &Wanted, body: &Body) {
        let mut state = self.state();
        if let Some(element) = state.elements.get_mut(element) {
            element.faults = 0;
        }
        if let Some(name) = Name::of(wanted) {
            state.came(element, &name, body);
        }
    }

    /// Files to read now, for [`Room::scanned`].
    pub(crate) fn scan(&self) -> Option<Scan> {
        let mut state = self.state();
        let state = &mut *state;
        let world = state.world.as_ref().filter(|_| !state.scans)?;
        let scan = state.rules.iter_mut().find_map(|rule| rule.scan(world));
        state.scans = scan.is_some();
        scan
    }

    /// Files were read.
    pub(crate) fn scanned(&self, found: &Found) {
        let mut state = self.state();
        state.scans = false;
        state.see(Seen::Scanned(found));
    }

    /// What is to be asked for now. `narrow` says of an element whether it takes
    /// a connection for each request.
    pub(crate) fn due(&self, narrow: impl Fn(usize) -> bool) -> Vec<Job<T>> {
        let mut state = self.state();
        let mut due = Vec::new();
        let state = &mut *state;
        let database = state.world.as_ref().and_then(|world| world.database.as_deref());
        for (number, element) in state.elements.iter_mut().enumerate() {
            if element.has_more() {
                let most = if narrow(number) { NARROW } else { usize::MAX };
                element.due(number, most, database.unwrap_or_default(), &self.waited, &mut due);
            }
        }
        due
    }

    /// A request made ahead is over. `body` is what came, where that is a file.
    pub(crate) fn over(&self, element: usize, name: &Name, went: Went, body: Option<&Body>) {
        let mut state = self.state();
        if let Some(element) = state.elements.get_mut(element) {
            let queue = element.queue(name);
            queue.under_way -= 1;
            if went == Went::Nowhere
                && let Some(coming) = queue.coming.remove(name)
            {
                coming.claim();
            }
            match went {
                Went::Well => element.faults = 0,
                Went::Badly => element.faults += 1,
                Went::Enough => element.stop(),
                Went::Nowhere => {}
            }
        }
        if let Some(body) = body {
            state.came(element, name, body);
        }
    }

    /// The proxy has asked for fewer requests.
    pub(crate) fn stop(&self, element: usize) {
        if let Some(element) = self.state().elements.get_mut(element) {
            element.stop();
        }
    }
}

impl<T> State<T> {
    fn world(&mut self) -> &mut World {
        self.world.get_or_insert_with(|| World::read(&self.project))
    }

    fn claim(&mut self, element: usize, name: &Name) -> Option<Coming<T>> {
        let element = self.elements.get_mut(element)?;
        element.asked.insert(name.clone());
        let queue = element.queue(name);
        let coming = queue.coming.remove(name)?;
        coming.claim();
        Some(coming)
    }

    /// A file has come from an element's own proxy.
    fn came(&mut self, element: usize, name: &Name, body: &Body) {
        let database = match name {
            Name::Supported(database) => database,
            Name::Zip(module) => return self.see(Seen::Zip(module, body)),
            _ => {
                let text = body.head(mod_file::LIMIT).unwrap_or_default();
                return self.see(Seen::Came(name, &text));
            }
        };
        if self.database.is_none() {
            self.database = Some(element);
            self.world().database = Some(database.clone());
            self.see(Seen::Database);
        }
    }

    /// Tells the rules, and queues what they want.
    fn see(&mut self, seen: Seen<'_>) {
        let mut world = self.world.take().unwrap_or_else(|| World::read(&self.project));
        if let Seen::Asked(name) = seen {
            self.known.insert(name.clone());
        }
        let mut want = Vec::new();
        let mut rules = std::mem::take(&mut self.rules);
        let mut told = VecDeque::new();
        for rule in &mut rules {
            rule.see(seen, &mut world, &mut want);
        }
        loop {
            for name in want.drain(..) {
                let may_go_out = name.fits() && world.may_go_out(&name);
                if may_go_out && self.known.len() < MOST && self.known.insert(name.clone()) {
                    told.push_back(name);
                }
            }
            let Some(name) = told.pop_front() else {
                break;
            };
            for rule in &mut rules {
                rule.see(Seen::Wanted(&name), &mut world, &mut want);
            }
            match world.cached(&name) {
                Some(file) => {
                    // Of a zip a rule reads what it needs by itself.
                    if let Some(text) = (!name.is_zip()).then(|| std::fs::read(file).ok()).flatten() {
                        for rule in &mut rules {
                            rule.see(Seen::Came(&name, &text), &mut world, &mut want);
                        }
                    }
                }
                None => self.queue(&name),
            }
        }
        self.rules = rules;
        self.world = Some(world);
    }

    /// Queues a file at every element that go will ask for it.
    fn queue(&mut self, name: &Name) {
        let numbers = match name.module().and_then(|module| self.asked.get(module)) {
            _ if name.is_sumdb() => self.database.into_iter().collect(),
            Some(asked) => asked.clone(),
            None if self.first_is_asked_all => vec![0],
            None => Vec::new(),
        };
        for number in numbers {
            if let Some(element) = self.elements.get_mut(number)
                && !element.stopped
            {
                element.queue(name).wanted.push_back(name.clone());
            }
        }
    }
}

impl<T> Element<T> {
    fn queue(&mut self, name: &Name) -> &mut Queue<T> {
        match name.is_zip() {
            true => &mut self.zips,
            false => &mut self.small,
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.small.wanted.clear();
        self.zips.wanted.clear();
    }

    fn has_more(&self) -> bool {
        let wanted = !self.small.wanted.is_empty() || !self.zips.wanted.is_empty();
        wanted && !self.stopped && self.faults < FAULTS
    }

    fn due(
        &mut self,
        number: usize,
        most: usize,
        database: &str,
        waited: &watch::Sender<usize>,
        due: &mut Vec<Job<T>>,
    ) {
        // Small files first: they are what the rest depends on.
        for (queue, at_once, bytes) in [
            (true, SMALL_AT_ONCE, SMALL_BYTES),
            (false, ZIPS_AT_ONCE, ZIP_BYTES),
        ] {
            while self.small.under_way + self.zips.under_way < most {
                let queue = if queue { &mut self.small } else { &mut self.zips };
                if queue.under_way >= at_once || queue.unclaimed.load(Ordering::Relaxed) >= bytes {
                    break;
                }
                let Some(name) = queue.wanted.pop_front() else {
                    break;
                };
                if self.asked.contains(&name) {
                    continue;
                }
                let Some(wanted) = name.wanted(database) else {
                    continue;
                };
                let gate = name.is_zip().then(|| waited.subscribe());
                let unknown = if name.is_zip() { UNKNOWN_ZIP } else { 0 };
                let (taker, coming) = ticket::pair(&queue.unclaimed, unknown, gate);
                queue.coming.insert(name.clone(), coming);
                queue.under_way += 1;
                due.push(Job {
                    element: number,
                    name,
                    wanted,
                    taker,
                });
            }
        }
    }
}

impl<T> Default for Element<T> {
    fn default() -> Self {
        Self {
            stopped: false,
            faults: 0,
            small: Queue::default(),
            zips: Queue::default(),
            asked: HashSet::new(),
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            wanted: VecDeque::new(),
            coming: HashMap::new(),
            under_way: 0,
            unclaimed: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    const FILES: [&str; 4] = [
        "a.example/a/@v/v1.0.0.zip",
        "a.example/a/@v/v1.0.0.mod",
        "a.example/b/@v/v1.0.0.zip",
        "a.example/b/@v/v1.0.0.mod",
    ];

    /// What can happen next.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// Go asks for a file.
        Asks(usize),
        /// What is due is begun.
        Due,
        /// A request made ahead comes to something.
        Comes(usize),
        /// It comes to nothing.
        Fails(usize),
        /// It is ended without a word, as a task is whose runtime ends.
        Ends(usize),
        /// Go gives up one of its own.
        Leaves(usize),
        /// The proxy wants no more.
        Stops,
    }

    /// A room, what goes on outside of it, and who waits for what.
    struct Model {
        room: Room<u32>,
        jobs: Vec<Job<u32>>,
        waiting: Vec<(Arc<Ticket>, Option<Coming<u32>>)>,
        asked: [bool; 4],
        stopped: bool,
    }

    impl Model {
        fn new() -> Self {
            Self {
                room: Room::new(Project::default(), true, 1),
                jobs: Vec::new(),
                waiting: Vec::new(),
                asked: [false; 4],
                stopped: false,
            }
        }

        fn steps(&self) -> Vec<Step> {
            let files = (0..FILES.len()).filter(|file| !self.asked[*file]);
            let jobs = 0..self.jobs.len();
            let mut steps: Vec<Step> = files.map(Step::Asks).collect();
            steps.extend(jobs.clone().map(Step::Comes));
            steps.extend(jobs.clone().map(Step::Fails));
            steps.extend(jobs.map(Step::Ends));
            steps.extend((0..self.waiting.len()).map(Step::Leaves));
            steps.push(Step::Due);
            if !self.stopped {
                steps.push(Step::Stops);
            }
            steps
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Asks(file) => {
                    self.asked[file] = true;
                    let coming = self.room.asked(0, &Wanted::parse(FILES[file]).unwrap());
                    if let Some(coming) = coming {
                        assert!(coming.ticket.is_claimed());
                        self.waiting.push((Arc::clone(&coming.ticket), Some(coming)));
                    }
                }
                Step::Due => self.jobs.extend(self.room.due(|_| false)),
                Step::Comes(at) => {
                    let job = self.jobs.remove(at);
                    self.room.over(
                        0,
                        &job.name,
                        Went::Well,
                        Some(&Body::from_bytes(&b"module a.example/a\n"[..])),
                    );
                    job.taker.give(1);
                }
                Step::Fails(at) => {
                    let job = self.jobs.remove(at);
                    self.room.over(0, &job.name, Went::Nowhere, None);
                }
                Step::Ends(at) => drop(self.jobs.remove(at)),
                Step::Leaves(at) => drop(self.waiting.remove(at)),
                Step::Stops => {
                    self.stopped = true;
                    self.room.stop(0);
                }
            }
        }

        /// Whoever waits has somebody who asks, or is told.
        fn check(&mut self, way: &[Step]) {
            self.waiting.retain_mut(|(ticket, coming)| {
                let asks = self.jobs.iter().any(|job| Arc::ptr_eq(&job.taker.ticket, ticket));
                let told = coming
                    .as_mut()
                    .is_some_and(|coming| now(&mut coming.what).is_some());
                assert!(asks || told, "{way:?}");
                asks
            });
        }
    }

    /// Every order in which things can happen, up to so many of them: the room's
    /// state changes under a lock, one of these at a time.
    #[test]
    fn no_waiter_outlives_who_asks() {
        fn explore(way: &mut Vec<Step>, left: usize, count: &mut usize) {
            let mut model = Model::new();
            for step in way.iter() {
                model.take(*step);
                model.check(way);
            }
            *count += 1;
            if left == 0 {
                return;
            }
            for step in model.steps() {
                way.push(step);
                explore(way, left - 1, count);
                way.pop();
            }
        }
        let mut count = 0;
        explore(&mut Vec::new(), 6, &mut count);
        assert!(count > 10_000, "{count}");
    }

    /// The paths that go asks for, in their order, and what was asked ahead meanwhile.
    fn replay(room: &Room<u32>, asked: &[&str]) -> Vec<String> {
        let mut ahead = Vec::new();
        for path in asked {
            room.asked(0, &Wanted::parse(path).unwrap());
            ahead.extend(room.due(|_| false).into_iter().map(|job| job.wanted.path));
        }
        ahead
    }

    #[test]
    fn a_zip_brings_its_go_mod_and_then_its_info() {
        let project = Project {
            command: Command::Packages,
            ..Project::default()
        };
        let room = Room::new(project, true, 1);
        assert_eq!(replay(&room, &FILES[..1]), ["a.example/a/@v/v1.0.0.mod"]);
        assert_eq!(replay(&room, &FILES[1..2]), ["a.example/a/@v/v1.0.0.info"]);
    }

    /// A project in a folder of its own.
    fn project(command: Command, go_mod: &str, go_sum: &str) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("go.mod");
        std::fs::write(&path, go_mod).unwrap();
        std::fs::write(dir.path().join("go.sum"), go_sum).unwrap();
        let project = Project {
            command,
            go_mod: Some(path),
            cache: Some(dir.path().join("cache")),
            no_proxy: "*.corp.example,private.example/x".to_owned(),
            ..Project::default()
        };
        (dir, project)
    }

    const GO_MOD: &str = "module main.example/main\n\ngo 1.21\n\nrequire (\n\ta.example/a v1.0.0\n\tb.example/b v1.0.0\n\
        \tgit.corp.example/c v1.0.0\n\tprivate.example/x/y v1.0.0\n\treplaced.example/d v1.0.0\n\told.example/e v1.0.0\n)\n\
        replace replaced.example/d => ../d\nreplace old.example/e => new.example/e v1.5.0\n";

    fn sums(modules: &[&str]) -> String {
        let lines = modules
            .iter()
            .map(|path| format!("{path} v1.0.0 h1:x=\n{path} v1.0.0/go.mod h1:y=\n"));
        lines.collect()
    }

    #[test]
    fn no_name_goes_where_go_would_not_send_it() {
        let all = sums(&[
            "a.example/a",
            "b.example/b",
            "git.corp.example/c",
            "private.example/x/y",
            "replaced.example/d",
            "old.example/e",
            "main.example/main",
        ]);
        for command in [
            Command::Download,
            Command::Tidy,
            Command::Vendor,
            Command::Packages,
        ] {
            let (_dir, project) = project(command.clone(), GO_MOD, &all);
            let room = Room::new(project, true, 1);
            let ahead = replay(
                &room,
                &[
                    "a.example/a/@v/v1.0.0.mod",
                    "b.example/b/@v/v1.0.0.mod",
                    "a.example/a/@v/v1.0.0.zip",
                    "b.example/b/@v/v1.0.0.zip",
                    "b.example/b/@v/v1.0.0.info",
                    "b.example/b/@v/list",
                ],
            );
            assert!(
                ahead.iter().any(|path| path == "new.example/e/@v/v1.5.0.mod"),
                "{command:?} {ahead:?}"
            );
            for private in [
                "corp.example",
                "private.example",
                "replaced.example",
                "old.example",
                "main.example",
            ] {
                assert!(
                    !ahead.iter().any(|path| path.contains(private)),
                    "{command:?} {ahead:?}"
                );
            }
        }
    }

    /// A zip with these files, whose names all begin so.
    pub(super) fn zip_of<'a>(prefix: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Body {
        use std::io::Write as _;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in files {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{prefix}{name}"), options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        Body::from_bytes(zip.finish().unwrap().into_inner())
    }

    /// The zips that are asked for ahead now, with all that is to be read for them.
    fn zips(room: &Room<u32>) -> Vec<String> {
        while let Some(scan) = room.scan() {
            room.scanned(&scan.run());
        }
        let due = room.due(|_| false).into_iter();
        let zips = due.filter(|job| job.name.is_zip()).map(|job| {
            room.over(0, &job.name, Went::Well, None);
            job.name.module().unwrap().to_owned()
        });
        zips.collect()
    }

    #[test]
    fn zips_are_asked_for_along_the_imports() {
        let modules = [
            "a.example/a",
            "a.example/a/b",
            "a.example/c",
            "a.example/d",
            "a.example/e",
        ];
        let requires: String = modules
            .iter()
            .map(|path| format!("require {path} v1.0.0\n"))
            .collect();
        let go_mod = |go: &str| format!("module main.example/main\ngo {go}\n{requires}");
        for go in ["1.21", "1.16"] {
            // Without its hash go does not ask for e.
            let (dir, project) = project(Command::Packages, &go_mod(go), &sums(&modules[..4]));
            let write = |name: &str, text: &str| {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            write(
                "main.go",
                "package main\nimport \"fmt\"\nimport \"main.example/main/x\"",
            );
            write(
                "x/x.go",
                "package x\nimport \"a.example/a/b/p\"\nimport \"a.example/e\"",
            );
            let project = Project {
                packages: Some(Packages {
                    folder: dir.path().to_owned(),
                    roots: vec![Root::Folder(String::new())],
                    ..Packages::default()
                }),
                ..project
            };
            let room = Room::<u32>::new(project, true, 1);
            if go == "1.16" {
                for path in modules {
                    let wanted = Wanted::parse(&format!("{path}/@v/v1.0.0.mod")).unwrap();
                    room.asked(0, &wanted);
                    room.served(0, &wanted, &Body::from_bytes(format!("module {path}\n")));
                }
            }
            assert!(zips(&room).is_empty());
            let [parent, nested, c] = ["a.example/a", "a.example/a/b", "a.example/c"]
                .map(|path| Wanted::parse(&format!("{path}/@v/v1.0.0.zip")).unwrap());
            // Every module whose path the package's begins with, and nothing yet of what they import.
            room.asked(0, &nested);
            assert_eq!(zips(&room), ["a.example/a"], "{go}");
            let p = "package p\nimport \"a.example/c/q\"\nimport \"a.example/a/b/own\"";
            let own = "package own\nimport \"a.example/d\"";
            let files = [("p/p.go", p), ("own/own.go", own), ("p/p_test.go", "package p")];
            room.served(0, &nested, &zip_of("a.example/a/b@v1.0.0/", files));
            let other = [("p.go", "package a\nimport \"a.example/e\"")];
            room.served(0, &parent, &zip_of("a.example/a@v1.0.0/", other));
            assert_eq!(zips(&room), ["a.example/c", "a.example/d"], "{go}");
            // What is no zip leads nowhere.
            room.served(0, &c, &Body::from_bytes("<html>"));
            assert!(zips(&room).is_empty());
        }
    }

    #[test]
    fn what_is_installed_leads_to_what_it_imports() {
        let project = Project {
            command: Command::Install,
            packages: Some(Packages {
                roots: vec![Root::Package("a.example/a/cmd".to_owned())],
                ..Packages::default()
            }),
            ..Project::default()
        };
        let [info, go_mod] =
            ["info", "mod"].map(|ending| Wanted::parse(&format!("a.example/a/@v/v1.0.0.{ending}")).unwrap());
        for (more, expected) in [("", &["a.example/b"][..]), ("replace x.example/x => ../x\n", &[])] {
            let room = Room::<u32>::new(project.clone(), true, 1);
            room.asked(0, &info);
            room.served(0, &info, &Body::from_bytes("{}"));
            assert_eq!(zips(&room), ["a.example/a"]);
            let zip = Wanted::parse("a.example/a/@v/v1.0.0.zip").unwrap();
            let text = "package main\nimport \"a.example/b/p\"";
            room.served(0, &zip, &zip_of("a.example/a@v1.0.0/", [("cmd/main.go", text)]));
            assert!(zips(&room).is_empty());
            let text = format!(
                "module a.example/a\ngo 1.21\nrequire a.example/b v1.0.0\nrequire a.example/c v1.0.0\n{more}"
            );
            room.served(0, &go_mod, &Body::from_bytes(text));
            assert_eq!(zips(&room), expected);
        }
    }

    #[test]
    fn nothing_is_asked_before_go_shows_the_way() {
        let (_dir, project) = project(Command::Download, GO_MOD, "");
        let room = Room::<u32>::new(project, true, 2);
        assert!(room.due(|_| false).is_empty());
        // A toolchain is no requirement, and one go.mod may be wanted for itself.
        let ahead = replay(
            &room,
            &[
                "golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.mod",
                "a.example/a/@v/v1.0.0.mod",
            ],
        );
        assert_eq!(ahead, Vec::<String>::new());
    }

    #[test]
    fn a_later_element_is_asked_for_what_go_has_asked_it_for() {
        let (_dir, project) = project(Command::Download, GO_MOD, &sums(&["a.example/a", "b.example/b"]));
        let room = Room::<u32>::new(project, true, 2);
        for path in ["a.example/a/@v/v1.0.0.mod", "b.example/b/@v/v1.0.0.mod"] {
            room.asked(0, &Wanted::parse(path).unwrap());
        }
        room.asked(1, &Wanted::parse("a.example/a/@v/v1.0.0.mod").unwrap());
        let jobs = room.due(|_| false);
        let second: Vec<_> = jobs
            .iter()
            .filter(|job| job.element == 1)
            .map(|job| &job.name)
            .collect();
        assert!(
            second.is_empty(),
            "what was wanted before go went there: {second:?}"
        );
        let room = Room::<u32>::new(Project::default(), false, 2);
        room.asked(1, &Wanted::parse(FILES[0]).unwrap());
        let jobs = room.due(|_| false);
        assert!(jobs.iter().all(|job| job.element == 1) && jobs.len() == 1);
    }

    #[test]
    fn no_record_is_asked_for_before_the_database_is_known() {
        let (_dir, project) = project(Command::Tidy, GO_MOD, &sums(&["b.example/b"]));
        let project = Project {
            sumdb: Some("sum.example".to_owned()),
            no_sumdb: "a.example/secret".to_owned(),
            ..project
        };
        let room = Room::<u32>::new(project, true, 1);
        let before = replay(
            &room,
            &["a.example/a/@v/v1.0.0.mod", "a.example/secret/@v/v1.0.0.mod"],
        );
        assert!(!before.iter().any(|path| path.contains("lookup")), "{before:?}");
        let supported = "sumdb/sum.example/supported";
        assert!(before.iter().any(|path| path == supported), "{before:?}");
        let (_dir, secret) = self::project(Command::Tidy, GO_MOD, &sums(&["b.example/b"]));
        let secret = Project {
            sumdb: Some("sum.example".to_owned()),
            no_sumdb: "a.example/*".to_owned(),
            ..secret
        };
        let asked = replay(
            &Room::<u32>::new(secret, true, 1),
            &["a.example/a/@v/v1.0.0.mod", "b.example/b/@v/v1.0.0.mod"],
        );
        assert!(!asked.iter().any(|path| path == supported), "{asked:?}");
        room.served(
            0,
            &Wanted::parse("sumdb/sum.example/supported").unwrap(),
            &Body::from_bytes(""),
        );
        let due = room.due(|_| false);
        let lookups: Vec<_> = due
            .iter()
            .map(|job| job.wanted.path.as_str())
            .filter(|path| path.contains("lookup"))
            .collect();
        assert!(
            lookups.contains(&"sumdb/sum.example/lookup/a.example/a@v1.0.0"),
            "{lookups:?}"
        );
        assert!(
            !lookups
                .iter()
                .any(|path| path.contains("secret") || path.contains("b.example")),
            "{lookups:?}"
        );
        let record = "7\na.example/a v1.0.0 h1:x\n\ngo.sum database tree\n300\nAAAA\n\n\u{2014} s sig\n";
        let lookup =
            Name::of(&Wanted::parse("sumdb/sum.example/lookup/a.example/a@v1.0.0").unwrap()).unwrap();
        room.over(0, &lookup, Went::Well, Some(&Body::from_bytes(record)));
        let tiles: Vec<_> = room
            .due(|_| false)
            .into_iter()
            .map(|job| job.wanted.path)
            .collect();
        assert_eq!(
            tiles,
            [
                "sumdb/sum.example/tile/8/1/000.p/1",
                "sumdb/sum.example/tile/8/0/001.p/44",
                "sumdb/sum.example/tile/8/0/000"
            ]
        );
    }

    #[test]
    fn no_more_than_a_few_at_a_time() {
        let many: Vec<String> = (0..200).map(|n| format!("a.example/m{n:03}")).collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        let requires: String = many
            .iter()
            .map(|path| format!("require {path} v1.0.0\n"))
            .collect();
        let go_mod = format!("module main.example/main\ngo 1.21\n{requires}");
        for (narrow, small, zips) in [(false, SMALL_AT_ONCE, ZIPS_AT_ONCE), (true, NARROW, 0)] {
            let (_dir, project) = project(Command::Download, &go_mod, &sums(&names));
            let room = Room::<u32>::new(project, true, 1);
            let mods = ["a.example/m000/@v/v1.0.0.mod", "a.example/m001/@v/v1.0.0.mod"];
            for path in mods {
                room.asked(0, &Wanted::parse(path).unwrap());
            }
            let jobs = room.due(|_| narrow);
            let is_zip = |job: &&Job<u32>| job.name.is_zip();
            assert_eq!(jobs.iter().filter(is_zip).count(), zips);
            assert_eq!(jobs.len() - zips, small);
            assert!(room.due(|_| narrow).is_empty());
            // What has come and is not claimed counts by its length.
            for job in jobs {
                job.taker.ticket.has_bytes(ZIP_BYTES);
                room.over(0, &job.name, Went::Well, None);
                job.taker.give(0);
            }
            let more = room.due(|_| narrow);
            // Small files that lie about leave room for zips.
            assert_eq!(more.is_empty(), !narrow);
            assert!(more.iter().all(|job| job.name.is_zip()));
        }
    }

    #[test]
    fn who_asks_for_less_or_fails_is_left_alone() {
        let requires: String = (0..9)
            .map(|n| format!("require a.example/m{n} v1.0.0\n"))
            .collect();
        let go_mod = format!("module main.example/main\ngo 1.21\n{requires}");
        let mods = ["a.example/m0/@v/v1.0.0.mod", "a.example/m1/@v/v1.0.0.mod"];
        let begun = || {
            let (dir, project) = project(Command::Download, &go_mod, "");
            let room = Room::<u32>::new(project, true, 1);
            for path in mods {
                room.asked(0, &Wanted::parse(path).unwrap());
            }
            let jobs = room.due(|_| true);
            assert_eq!(jobs.len(), NARROW);
            (dir, room, jobs)
        };
        let (_dir, room, jobs) = begun();
        room.over(0, &jobs[0].name, Went::Enough, None);
        assert!(room.due(|_| true).is_empty());
        let (_dir, room, jobs) = begun();
        for job in &jobs[..FAULTS as usize] {
            room.over(0, &job.name, Went::Badly, None);
        }
        assert!(room.due(|_| true).is_empty());
        // Until go has an answer.
        room.served(
            0,
            &Wanted::parse(mods[0]).unwrap(),
            &Body::from_bytes("module a.example/m0\n"),
        );
        assert_eq!(room.due(|_| true).len(), FAULTS as usize);
    }

    #[test]
    fn a_zip_that_go_does_not_wait_for_stands_still_while_it_waits_for_another() {
        let gate = watch::Sender::new(0);
        let (taker, coming) = ticket::pair::<u32>(&Arc::default(), 0, Some(gate.subscribe()));
        assert!(!taker.ticket.stands_still());
        gate.send_modify(|count| *count += 1);
        assert!(taker.ticket.stands_still());
        assert!(now(taker.ticket.goes_on()).is_none());
        gate.send_modify(|count| *count -= 1);
        assert!(now(taker.ticket.goes_on()).is_some());
        gate.send_modify(|count| *count += 1);
        coming.claim();
        assert!(!taker.ticket.stands_still());
    }

    #[test]
    fn what_makes_no_sense_is_left_to_go() {
        let cycle = "module a.example/a\ngo 1.16\nrequire b.example/b v1.0.0\n";
        let back = "module b.example/b\ngo 1.16\nrequire a.example/a v1.0.0\nrequire a.example/a/v2 v1.0.0\nrequire a v1.0.0\n\
            require ../x v1.0.0\nrequire a.example/c master\nrequire a.example/d v1\nrequire a.example/e v5.0.0\n";
        let go_mod =
            "module main.example/main\ngo 1.16\nrequire a.example/a v1.0.0\nrequire b.example/b v1.0.0\n";
        for (go_mod, go_sum) in [
            (go_mod.to_owned(), String::new()),
            (
                format!("{go_mod}{}", "require c.example/c v1.0.0\n".repeat(100_000)),
                String::new(),
            ),
            (go_mod.to_owned(), "\0\u{fffd} x\n".repeat(1000)),
            (
                go_mod.to_owned(),
                (0..200_000)
                    .map(|n| format!("c.example/c{n} v1.0.0 h1:x=\n"))
                    .collect(),
            ),
        ] {
            let (_dir, project) = project(Command::Tidy, &go_mod, &go_sum);
            let room = Room::<u32>::new(project, true, 1);
            let [a, b] = ["a.example/a/@v/v1.0.0.mod", "b.example/b/@v/v1.0.0.mod"]
                .map(|path| Wanted::parse(path).unwrap());
            room.asked(0, &a);
            room.asked(0, &b);
            room.served(0, &a, &Body::from_bytes(cycle));
            room.served(0, &b, &Body::from_bytes(back));
            let ahead: Vec<_> = room
                .due(|_| false)
                .into_iter()
                .map(|job| job.wanted.path)
                .collect();
            assert_eq!(ahead, Vec::<String>::new());
        }
    }
}
