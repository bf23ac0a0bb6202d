//! The zips along the imports, for commands that load packages. For each package that is imported go fetches
//! every module whose path its path begins with: of the main module's own requirements, or of the graph where
//! that is loaded first. What the package imports stands in its files, and so on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::go::mod_file::ModFile;
use crate::go::module::ModuleVersion;
use crate::sys::spool::Body;

use super::super::scan::{Found, Packages, Root, Scan, Source, join};
use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Packages that are followed.
const MOST: usize = 100_000;
/// Zips that are kept until the module cache has them.
const MOST_HELD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Imports {
    begun: bool,
    /// What is installed is for a newer go: another one will be switched to, nobody knows which.
    is_newer: bool,
    /// The module that is installed: the first whose zip is asked for.
    installed: Option<ModuleVersion>,
    /// The import paths that were followed.
    known: HashSet<String>,
    /// The main module and its requirements, where the graph does not decide.
    roots: HashMap<String, Home>,
    /// The modules that have one of the packages, or may have.
    modules: HashMap<String, Module>,
    /// Those of them that can be read.
    next: VecDeque<String>,
    /// Zips that have come and that are in no cache yet.
    held: VecDeque<(ModuleVersion, Body)>,
    /// The packages that the command names are not read yet.
    named: Option<Arc<Packages>>,
}

/// Where a module's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Home {
    Folder(PathBuf),
    Zip(ModuleVersion),
}

#[derive(Debug)]
struct Module {
    home: Home,
    is_here: bool,
    /// Folders of packages that are to be read, and of those that are read or on the way there.
    pending: Vec<String>,
    followed: HashSet<String>,
}

impl Module {
    fn new(home: Home, is_here: bool) -> Self {
        Self {
            home,
            is_here,
            pending: Vec::new(),
            followed: HashSet::new(),
        }
    }
}

impl Rule for Imports {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        let Some(packages) = world.packages.clone() else {
            return;
        };
        match seen {
            Seen::Zip(module, body) if !module.is_toolchain() => self.hold(module, body, world),
            Seen::Asked(Name::Zip(module)) | Seen::Wanted(Name::Zip(module)) => {
                self.installed.get_or_insert_with(|| module.clone());
            }
            Seen::Came(Name::Mod(module), text)
                if world.project.command == Command::Install && self.installed.as_ref() == Some(module) =>
            {
                let file = ModFile::parse(text).unwrap_or_default();
                let own = packages.tags.minor.map(|minor| (1, minor));
                self.is_newer = file.go > own;
                // Go installs none of those that have any.
                if file.replaces.is_empty() && file.excludes.is_empty() {
                    let wanted = world.graph.begin([module.clone()].into_iter(), true);
                    want.extend(wanted.into_iter().map(Name::Mod));
                }
            }
            Seen::Scanned(found) => self.found(found, world, want),
            _ => {}
        }
        if !self.begun && self.may_begin(seen, world) {
            self.begun = true;
            self.begin(&packages, world, want);
        }
    }

    fn scan(&mut self, world: &World) -> Option<Scan> {
        let mut tags = world.packages.as_ref()?.tags.clone();
        tags.minor = tags.minor.filter(|_| !self.is_newer);
        if let Some(named) = self.named.take() {
            return Some(Scan {
                module: world.main.module.clone(),
                source: Source::Folder(named.folder.clone()),
                packages: Vec::new(),
                named: Some(named),
                ignores: world.main.ignores.clone(),
                tags,
            });
        }
        loop {
            let path = self.next.pop_front()?;
            let Some(module) = self.modules.get_mut(&path) else {
                continue;
            };
            let source = match &module.home {
                Home::Folder(folder) => Some(Source::Folder(folder.clone())),
                Home::Zip(version) => match world.cached(&Name::Zip(version.clone())) {
                    Some(file) => Some(Source::Cached(file, version.prefix())),
                    None => {
                        let held = self.held.iter().find(|(held, _)| held == version);
                        held.map(|(_, body)| Source::Zip(body.clone(), version.prefix()))
                    }
                },
            };
            let pending = std::mem::take(&mut module.pending);
            if let Some(source) = source {
                return Some(Scan {
                    module: path,
                    source,
                    packages: pending,
                    named: None,
                    ignores: Vec::new(),
                    tags,
                });
            }
        }
    }
}

impl Imports {
    /// Go loads packages: it has asked for the zip of a requirement, or has found what it installs.
    fn may_begin(&self, seen: Seen<'_>, world: &World) -> bool {
        match (&world.project.command, seen) {
            (Command::Packages, Seen::Asked(Name::Zip(module))) => {
                (world.main.is_pruned() || world.graph.is_whole())
                    && world.requires().any(|require| require == *module)
            }
            (Command::Install, _) => self.installed.is_some() && world.graph.is_whole(),
            _ => false,
        }
    }

    fn begin(&mut self, packages: &Arc<Packages>, world: &World, want: &mut Vec<Name>) {
        if world.project.command == Command::Packages {
            let main = Home::Folder(packages.folder.clone());
            let own = &world.main.module;
            self.roots.insert(own.clone(), main.clone());
            self.modules.insert(own.clone(), Module::new(main, true));
            for require in &world.main.requires {
                let (path, version) = (&require.path, &require.version);
                let zip = world.asked_as(path, version).map(Home::Zip);
                let folder = || {
                    world
                        .stands_in(path, version)
                        .map(|folder| packages.folder.join(folder))
                };
                if let Some(home) = zip.or_else(|| folder().map(Home::Folder)) {
                    self.roots.insert(path.clone(), home);
                }
            }
            self.named = Some(Arc::clone(packages));
        }
        for root in &packages.roots {
            if let Root::Package(path) = root {
                self.follow(path, world, want);
            }
        }
    }

    /// What go fetches for a package.
    fn follow(&mut self, path: &str, world: &World, want: &mut Vec<Name>) {
        if self.known.len() >= MOST || !self.known.insert(path.to_owned()) {
            return;
        }
        let mut prefix = path;
        loop {
            if let Some(home) = self.home(prefix, world) {
                let folder = path[prefix.len()..].trim_start_matches('/');
                self.want(prefix, folder, home, world, want);
            }
            let Some((shorter, _)) = prefix.rsplit_once('/') else {
                return;
            };
            prefix = shorter;
        }
    }

    /// The module of this path, as go has it.
    fn home(&self, path: &str, world: &World) -> Option<Home> {
        match self.roots.get(path) {
            Some(home @ Home::Folder(_)) => Some(home.clone()),
            home if world.main.is_pruned() => home.cloned(),
            _ if world.is_replaced(path) => None,
            _ => world.graph.version_of(path).cloned().map(Home::Zip),
        }
    }

    fn want(&mut self, path: &str, folder: &str, home: Home, world: &World, want: &mut Vec<Name>) {
        let mut is_here = true;
        if let Home::Zip(version) = &home {
            let zip = Name::Zip(version.clone());
            // Without a hash of it go says so, and asks for nothing.
            if world.project.command == Command::Packages && world.has_sum(&zip) != Some(true) {
                return;
            }
            is_here = self.held.iter().any(|(held, _)| held == version) || world.cached(&zip).is_some();
            want.push(zip);
        }
        let module = self.modules.entry(path.to_owned());
        let module = module.or_insert_with(|| Module::new(home, is_here));
        if module.followed.insert(folder.to_owned()) {
            module.pending.push(folder.to_owned());
            if module.is_here && module.pending.len() == 1 {
                self.next.push_back(path.to_owned());
            }
        }
    }

    fn found(&mut self, found: &Found, world: &World, want: &mut Vec<Name>) {
        if let Some(module) = self.modules.get_mut(&found.module) {
            module.followed.extend(found.read.iter().cloned());
        }
        let own = found.read.iter().map(|folder| join(&found.module, folder));
        for path in own.chain(found.imports.iter().cloned()) {
            self.follow(&path, world, want);
        }
    }

    /// Keeps a zip for as long as it is in no cache.
    fn hold(&mut self, version: &ModuleVersion, body: &Body, world: &World) {
        self.held
            .retain(|(held, _)| world.cached(&Name::Zip(held.clone())).is_none());
        if self.held.len() >= MOST_HELD {
            self.held.pop_front();
        }
        self.held.push_back((version.clone(), body.clone()));
        for (path, module) in &mut self.modules {
            if !module.is_here && matches!(&module.home, Home::Zip(home) if home == version) {
                module.is_here = true;
                if !module.pending.is_empty() {
                    self.next.push_back(path.clone());
                }
            }
        }
    }
}
