//! The graph of requirements, walked as go walks it (`modload.readModGraph`):
//! from go.mod's own requirements on, and below a module only where go does.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::go::mod_file::ModFile;
use crate::go::module::ModuleVersion;
use crate::go::protocol::is_canonical;

/// Modules that one graph may have; a larger one is left to go.
const MOST: usize = 50_000;

/// The part of the graph that is known.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) begun: bool,
    modules: Vec<ModuleVersion>,
    numbers: HashMap<ModuleVersion, u32>,
    /// What is known of a module: whether it is pruned, and what it requires.
    loaded: HashMap<u32, (bool, Vec<u32>)>,
    /// Modules on the way, and whether they are walked as if nothing were pruned.
    walked: HashSet<(u32, bool)>,
    /// Those whose go.mod is not there yet.
    awaited: HashMap<u32, Vec<bool>>,
    /// The highest version of each path.
    selected: BTreeMap<String, u32>,
}

impl Graph {
    /// Begins at the roots. Returned are the modules whose go.mod is wanted.
    pub(super) fn begin(
        &mut self,
        roots: impl Iterator<Item = ModuleVersion>,
        pruned: bool,
    ) -> Vec<ModuleVersion> {
        self.begun = true;
        let roots: Vec<(u32, bool)> = roots.map(|root| (self.number(root), !pruned)).collect();
        self.walk(roots)
    }

    /// A module's go.mod has come; `requires` are those that go asks for.
    pub(super) fn add(
        &mut self,
        module: &ModuleVersion,
        file: &ModFile,
        requires: impl Iterator<Item = ModuleVersion>,
    ) -> Vec<ModuleVersion> {
        if self.modules.len() > MOST {
            return Vec::new();
        }
        let number = self.number(module.clone());
        let requires: Vec<u32> = requires.map(|require| self.number(require)).collect();
        self.loaded.insert(number, (file.is_pruned(), requires));
        let ways = self.awaited.remove(&number).unwrap_or_default();
        let mut next = Vec::new();
        for unpruned in ways {
            next.extend(self.below(number, unpruned));
        }
        self.walk(next)
    }

    fn walk(&mut self, from: Vec<(u32, bool)>) -> Vec<ModuleVersion> {
        let mut queue = VecDeque::from(from);
        let mut wanted = Vec::new();
        while let Some((number, unpruned)) = queue.pop_front() {
            if !self.walked.insert((number, unpruned)) {
                continue;
            }
            self.select(number);
            if self.loaded.contains_key(&number) {
                queue.extend(self.below(number, unpruned));
                continue;
            }
            let ways = self.awaited.entry(number).or_default();
            if ways.is_empty() {
                wanted.extend(self.modules.get(number as usize).cloned());
            }
            ways.push(unpruned);
        }
        wanted
    }

    /// What is walked below a module: what it requires, where nothing is pruned.
    fn below(&mut self, number: u32, unpruned: bool) -> Vec<(u32, bool)> {
        let Some((pruned, requires)) = self.loaded.get(&number) else {
            return Vec::new();
        };
        let (pruned, requires) = (*pruned, requires.clone());
        for require in &requires {
            self.select(*require);
        }
        match unpruned || !pruned {
            true => requires.into_iter().map(|require| (require, true)).collect(),
            false => Vec::new(),
        }
    }

    fn select(&mut self, number: u32) {
        let Some(module) = self.modules.get(number as usize) else {
            return;
        };
        let known = self.selected.get(module.path());
        let known = known.and_then(|known| self.modules.get(*known as usize));
        if known.is_none_or(|known| compare(known.version(), module.version()).is_lt()) {
            self.selected.insert(module.path().to_owned(), number);
        }
    }

    fn number(&mut self, module: ModuleVersion) -> u32 {
        if let Some(number) = self.numbers.get(&module) {
            return *number;
        }
        let number = u32::try_from(self.modules.len()).unwrap_or(u32::MAX);
        self.modules.push(module.clone());
        self.numbers.insert(module, number);
        number
    }

    /// Whether every go.mod that it begins with, and leads to, has come.
    pub(super) fn is_whole(&self) -> bool {
        self.begun && self.awaited.is_empty()
    }

    /// The selected version of each module, in the order of their paths.
    pub(super) fn selected(&self) -> impl Iterator<Item = &ModuleVersion> {
        let numbers = self.selected.values();
        numbers.filter_map(|number| self.modules.get(*number as usize))
    }

    pub(super) fn selects(&self, module: &ModuleVersion) -> bool {
        self.version_of(module.path()) == Some(module)
    }

    pub(super) fn version_of(&self, path: &str) -> Option<&ModuleVersion> {
        let number = self.selected.get(path)?;
        self.modules.get(*number as usize)
    }

    pub(super) fn selects_path(&self, path: &str) -> bool {
        self.selected.contains_key(path)
    }
}

/// The order of versions. What stands behind a plus sign (`+incompatible`) has
/// no part in it; what is no version is lower than any.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    version(a).cmp(&version(b))
}

/// A canonical version.
pub(super) fn version(text: &str) -> Option<semver::Version> {
    let plain = text.split_once('+').map_or(text, |(plain, _)| plain);
    let number = plain.strip_prefix('v').filter(|_| is_canonical(text))?;
    semver::Version::parse(number).ok()
}
