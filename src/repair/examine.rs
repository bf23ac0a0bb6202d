//! What is proven bad about one module version in the cache.
//!
//! Nothing is changed here. A file is judged by what should be equal and is
//! not: its hash on a line of go.sum, the record of the checksum database in
//! the cache, `.ziphash`, the zip, the extracted directory. Where nothing
//! vouches for a file, only its structure can be bad.
//!
//! What two files of the cache agree on, only a record that a checksum database
//! signed proves bad. A line of go.sum alone may be what is wrong, and comes
//! from whoever wrote the repository: such a finding is disputed.
//!
//! Links are neither followed nor judged: some packagers build a cache out of
//! them.
//!
//! Imperfect: a zip and a `.ziphash` that were changed together, in a module
//! that neither go.sum nor the checksum database knows, look right.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::time::SystemTime;

use super::dir::{Dir, Kind, Meta};
use super::dirhash::{self, Entry, TreeSum, ZipSum, ZipTrouble};
use super::gosum::Sums;
use super::module::ModuleVersion;
use super::{RepairError, index, modfile};

/// One piece of a module version in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `VERSION.zip`.
    Zip,
    /// `VERSION.ziphash`.
    ZipHash,
    /// `VERSION.mod`.
    GoMod,
    /// `VERSION.info`.
    Info,
    /// `VERSION.lock`.
    Lock,
    /// The extracted directory.
    Extracted,
    /// What go remembers of the extracted directory in GOCACHE.
    Index,
}

impl Part {
    /// What it is called in a message.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::ZipHash => "ziphash",
            Self::GoMod => "go.mod",
            Self::Info => "info",
            Self::Lock => "lock",
            Self::Extracted => "extracted directory",
            Self::Index => "module index",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::ZipHash => "ziphash",
            Self::GoMod => "mod",
            Self::Info => "info",
            Self::Lock => "lock",
            Self::Extracted | Self::Index => "",
        }
    }

    /// The file's name in the download directory.
    pub(crate) fn file(self, stem: &str) -> String {
        format!("{stem}.{}", self.suffix())
    }
}

/// How a bad piece becomes good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cure {
    /// go does it by itself.
    Itself,
    /// go computes it again from what is in the cache, once it is out of the way.
    Recompute,
    /// go fetches it again, once it is out of the way.
    Fetch,
    /// Nothing that gofix does by itself.
    Hand,
}

/// One proven fault of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The piece.
    pub part: Part,
    /// The proof, in words.
    pub why: String,
    /// What it takes.
    pub cure: Cure,
    /// Nothing but a line of go.sum speaks against it.
    pub disputed: bool,
}

/// How far to look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    /// Judge only files that were there before this time.
    pub(crate) before: Option<SystemTime>,
    /// Files that are in an extracted directory and in no zip are a fault too.
    pub(crate) extra_files: bool,
}

/// What is known beforehand about a module version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Hashes it must have; empty lists where nobody says.
    pub(crate) sums: Sums,
    /// A checksum database signed them.
    pub(crate) signed: bool,
    /// Who says so, for messages: `go.sum`, `the checksum database`.
    pub(crate) by: &'static str,
}

/// What go remembers in GOCACHE, where that can be looked at.
pub(crate) struct IndexView<'a> {
    pub(crate) gocache: &'a Dir,
    pub(crate) versions: &'a BTreeSet<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    pub(crate) findings: Vec<Finding>,
    /// Bytes read.
    pub(crate) bytes: u64,
}

impl Examined {
    /// True where a repair has something to do.
    pub(crate) fn curable(&self) -> bool {
        let by_repair = |f: &Finding| matches!(f.cure, Cure::Recompute | Cure::Fetch);
        self.findings.iter().any(by_repair)
    }

    /// True where a repair takes something away that may be good.
    pub(crate) fn disputed(&self) -> bool {
        self.findings.iter().any(|f| f.disputed)
    }

    /// True where this piece is bad beyond dispute.
    fn is_proven(&self, part: Part) -> bool {
        let proven = |f: &Finding| f.part == part && !f.disputed;
        self.findings.iter().any(proven)
    }

    /// True where a repair takes this piece away.
    pub(crate) fn takes(&self, part: Part) -> bool {
        let takes = |f: &Finding| f.part == part && matches!(f.cure, Cure::Recompute | Cure::Fetch);
        self.findings.iter().any(takes)
    }
}

/// Looks at one module version.
pub(crate) fn examine(
    cache: &Dir,
    module: &ModuleVersion,
    known: &Known,
    scope: Scope,
    index: Option<&IndexView<'_>>,
) -> Result<Examined, RepairError> {
    let mut look = Look {
        cache,
        module,
        known,
        scope,
        download: cache.find(module.download_dir())?,
        found: Examined::default(),
    };
    look.run(index)?;
    Ok(look.found)
}

struct Look<'a> {
    cache: &'a Dir,
    module: &'a ModuleVersion,
    known: &'a Known,
    scope: Scope,
    download: Option<Dir>,
    found: Examined,
}

/// A file, as far as it can be judged.
enum State<T> {
    /// Not there, or a link.
    Absent,
    /// There, and its content (or kind, or mode) is bad.
    Bad(String),
    Good(T),
}

impl Look<'_> {
    fn run(&mut self, index: Option<&IndexView<'_>>) -> Result<(), RepairError> {
        self.lock()?;
        let zip = self.zip()?;
        let ziphash = self.ziphash()?;
        let tree = self.tree(matches!(ziphash, ZipHash::Text(_)))?;
        self.judge_zip(&zip, &ziphash, tree.as_ref());
        self.judge_tree(&zip, &ziphash, tree.as_ref());
        self.go_mod(&zip)?;
        self.info()?;
        if let (Some(tree), Some(index)) = (&tree, index) {
            self.judge_index(tree, index);
        }
        Ok(())
    }

    fn add(&mut self, part: Part, cure: Cure, why: impl Into<String>) {
        self.add_if(false, part, cure, why);
    }

    /// `agrees`: what else is in the cache says that it is good. What is known
    /// then decides where it is signed.
    fn add_if(&mut self, agrees: bool, part: Part, cure: Cure, why: impl Into<String>) {
        self.found.findings.push(Finding {
            part,
            why: why.into(),
            cure,
            disputed: agrees && !self.known.signed,
        });
    }

    /// `None` where the file is not there, is a link, or came after the time that counts.
    fn meta(&self, part: Part) -> Result<Option<Meta>, RepairError> {
        let Some(download) = &self.download else {
            return Ok(None);
        };
        let meta = download.meta(part.file(&self.module.stem()))?;
        Ok(meta.filter(|meta| {
            meta.kind != Kind::Link && self.scope.before.is_none_or(|start| meta.before(start))
        }))
    }

    fn open(&self, part: Part) -> Result<State<std::fs::File>, RepairError> {
        let Some(meta) = self.meta(part)? else {
            return Ok(State::Absent);
        };
        if meta.kind != Kind::File {
            return Ok(State::Bad(format!("it is {}", meta.kind.words())));
        }
        let Some(download) = &self.download else {
            return Ok(State::Absent);
        };
        match download.file(part.file(&self.module.stem())) {
            Ok(file) => Ok(State::Good(file)),
            Err(e) if e.is_missing() => Ok(State::Absent),
            Err(RepairError::Denied { .. }) if meta.uid == nix::unistd::geteuid().as_raw() => Ok(State::Bad(
                format!("its mode {:04o} lets nobody read it", meta.mode),
            )),
            Err(e) => Err(e),
        }
    }

    /// The content of a small file.
    fn content(&mut self, part: Part) -> Result<State<Vec<u8>>, RepairError> {
        let file = match self.open(part)? {
            State::Good(file) => file,
            State::Absent => return Ok(State::Absent),
            State::Bad(why) => return Ok(State::Bad(why)),
        };
        let mut content = Vec::new();
        let name = part.file(&self.module.stem());
        file.take(dirhash::MAX_GO_MOD)
            .read_to_end(&mut content)
            .map_err(|e| RepairError::io(std::path::Path::new(&name), e))?;
        self.found.bytes += content.len() as u64;
        Ok(State::Good(content))
    }

    /// go waits for ever on a lock that is no file, or fails with its path.
    fn lock(&mut self) -> Result<(), RepairError> {
        if let Some(meta) = self.meta(Part::Lock)?
            && meta.kind != Kind::File
        {
            let cure = if meta.kind == Kind::Dir {
                Cure::Recompute
            } else {
                Cure::Hand
            };
            self.add(Part::Lock, cure, format!("it is {}", meta.kind.words()));
        }
        Ok(())
    }

    fn zip(&mut self) -> Result<State<ZipSum>, RepairError> {
        let file = match self.open(Part::Zip)? {
            State::Good(file) => file,
            State::Absent => return Ok(State::Absent),
            State::Bad(why) => return Ok(State::Bad(why)),
        };
        let name = Part::Zip.file(&self.module.stem());
        match dirhash::read_zip(file, &self.module.prefix()) {
            Ok(sum) => {
                self.found.bytes += sum.entries.iter().map(|e| e.size).sum::<u64>();
                Ok(State::Good(sum))
            }
            Err(ZipTrouble::Bad(why)) => Ok(State::Bad(format!("it is no module zip: {why}"))),
            Err(ZipTrouble::Io(e)) => {
                let dir = self
                    .download
                    .as_ref()
                    .map_or_else(Default::default, |d| d.path().to_owned());
                Err(RepairError::io(&dir.join(name), e))
            }
        }
    }

    fn ziphash(&mut self) -> Result<ZipHash, RepairError> {
        Ok(match self.content(Part::ZipHash)? {
            State::Absent => ZipHash::None,
            State::Bad(why) => {
                self.add(Part::ZipHash, Cure::Recompute, why);
                ZipHash::None
            }
            State::Good(content) => match std::str::from_utf8(content.trim_ascii()) {
                Ok(text) if dirhash::is_h1(text) => ZipHash::Text(text.to_owned()),
                // go takes 47 bytes without a NUL for a hash, and fails over it.
                _ if content.trim_ascii().len() == 47 && !content.contains(&0) => {
                    self.add(Part::ZipHash, Cure::Recompute, "it is no h1 hash");
                    ZipHash::None
                }
                _ => {
                    self.add(Part::ZipHash, Cure::Itself, "it is no h1 hash");
                    ZipHash::None
                }
            },
        })
    }

    /// The extracted directory, where go would use it as it is.
    fn tree(&mut self, has_ziphash: bool) -> Result<Option<TreeSum>, RepairError> {
        let (above, name) = self.module.extracted();
        let Some(above) = self.cache.find(above)? else {
            return Ok(None);
        };
        let partial = format!("{}.partial", self.module.stem());
        let is_partial = match &self.download {
            Some(download) => download.meta(partial)?.is_some(),
            None => false,
        };
        match above.meta(&name)? {
            // Without a ziphash, or with .partial, go extracts again; a file in its place is removed by go.
            Some(meta) if meta.kind == Kind::Dir && has_ziphash && !is_partial => match above.sub(&name) {
                Ok(dir) => {
                    let tree = dirhash::read_tree(&dir)?;
                    self.found.bytes += tree.entries.iter().map(|e| e.size).sum::<u64>();
                    Ok(Some(tree))
                }
                Err(RepairError::Denied { .. }) if meta.uid == nix::unistd::geteuid().as_raw() => {
                    let why = format!("its mode {:04o} lets nobody read it", meta.mode);
                    self.add(Part::Extracted, Cure::Recompute, why);
                    Ok(None)
                }
                Err(e) => Err(e),
            },
            _ => Ok(None),
        }
    }

    fn judge_zip(&mut self, zip: &State<ZipSum>, ziphash: &ZipHash, tree: Option<&TreeSum>) {
        let prefix = self.module.prefix();
        let tree_h1 = tree
            .filter(|t| t.odd.is_empty())
            .map(|t| plain(self.module, t).h1(&prefix));
        let expected = &self.known.sums.zip;
        let hash_is_expected = |h: &str| expected.is_empty() || expected.iter().any(|e| e == h);
        let text = match ziphash {
            ZipHash::Text(text) => Some(text.as_str()),
            ZipHash::None => None,
        };
        // A hash that go.sum contradicts stops go even where the rest is right.
        let text_is_wrong = text.is_some_and(|text| !hash_is_expected(text));
        match zip {
            State::Absent => {
                if text_is_wrong {
                    self.add_if(
                        tree_h1.as_deref().is_none_or(|tree| text == Some(tree)),
                        Part::ZipHash,
                        Cure::Fetch,
                        format!("it differs from {}", self.known.by),
                    );
                }
            }
            State::Bad(why) => {
                self.add(Part::Zip, Cure::Fetch, why.clone());
                // It stays where the extracted directory vouches for it: then go need not extract again.
                let vouched = text.is_some() && tree_h1.as_deref() == text && !text_is_wrong;
                if text.is_some() && !vouched {
                    self.add(Part::ZipHash, Cure::Fetch, "its zip is bad");
                }
            }
            State::Good(zip) if !expected.is_empty() => {
                let good = hash_is_expected(&zip.h1);
                let agrees = !good && text.is_none_or(|text| text == zip.h1);
                if !good {
                    self.add_if(
                        agrees,
                        Part::Zip,
                        Cure::Fetch,
                        format!("its hash is not the one in {}", self.known.by),
                    );
                }
                if text_is_wrong {
                    let cure = if good { Cure::Recompute } else { Cure::Fetch };
                    let why = format!("it differs from {}", self.known.by);
                    self.add_if(agrees, Part::ZipHash, cure, why);
                }
            }
            State::Good(zip) => match text {
                Some(text) if text != zip.h1 => {
                    if tree_h1.as_deref() == Some(zip.h1.as_str()) {
                        let why = "it is not the hash of the zip and the extracted directory";
                        self.add(Part::ZipHash, Cure::Recompute, why);
                    } else {
                        self.add(Part::Zip, Cure::Fetch, "its hash is not the one in its ziphash");
                        if tree_h1.as_deref() != Some(text) {
                            self.add(Part::ZipHash, Cure::Fetch, "it is not the hash of its zip");
                        }
                    }
                }
                _ => {}
            },
        }
    }

    fn judge_tree(&mut self, zip: &State<ZipSum>, ziphash: &ZipHash, tree: Option<&TreeSum>) {
        let Some(tree) = tree else { return };
        let (above, name) = self.module.extracted();
        if let Some(start) = self.scope.before {
            // Extracted in this run, from a zip that go had checked.
            let meta = self
                .cache
                .find(above)
                .ok()
                .flatten()
                .and_then(|dir| dir.meta(name).ok().flatten());
            if meta.is_some_and(|meta| !meta.before(start)) {
                return;
            }
        }
        if let State::Good(zip) = zip
            && !self.found.takes(Part::Zip)
        {
            if let Some(why) = differs(self.module, tree, &zip.entries, self.scope.extra_files) {
                self.add(Part::Extracted, Cure::Recompute, why);
            }
            return;
        }
        let h1 = plain(self.module, tree).h1(&self.module.prefix());
        let expected = &self.known.sums.zip;
        let why = if let Some((name, why)) = tree.odd.first() {
            Some(format!("{}: {why}", shown(name)))
        } else if !expected.is_empty() {
            (!expected.contains(&h1)).then(|| format!("its hash is not the one in {}", self.known.by))
        } else {
            match ziphash {
                ZipHash::Text(text) if *text != h1 => {
                    Some("its hash is not the one in its ziphash".to_owned())
                }
                _ => None,
            }
        };
        if let Some(why) = why {
            let agrees = tree.odd.is_empty() && matches!(ziphash, ZipHash::Text(text) if *text == h1);
            self.add_if(agrees, Part::Extracted, Cure::Fetch, why);
        }
    }

    fn go_mod(&mut self, zip: &State<ZipSum>) -> Result<(), RepairError> {
        let content = match self.content(Part::GoMod)? {
            State::Absent => return Ok(()),
            State::Bad(why) => {
                self.add(Part::GoMod, Cure::Fetch, why);
                return Ok(());
            }
            State::Good(content) => content,
        };
        let expected = &self.known.sums.go_mod;
        let form = modfile::trouble(&content);
        // What go makes for a module without a go.mod, or for +incompatible, stands in no zip.
        let differs = !self.module.version().ends_with("+incompatible")
            && !self.found.is_proven(Part::Zip)
            && matches!(zip, State::Good(ZipSum { go_mod: Some(inside), .. }) if *inside != content);
        if expected.is_empty() {
            if let Some(why) = form {
                self.add(Part::GoMod, Cure::Fetch, why);
            } else if differs {
                self.add(Part::GoMod, Cure::Fetch, "it differs from the go.mod in its zip");
            }
        } else if !expected.contains(&dirhash::go_mod_h1(&content)) {
            let why = format!("its hash is not the one in {}", self.known.by);
            self.add_if(form.is_none() && !differs, Part::GoMod, Cure::Fetch, why);
        }
        Ok(())
    }

    /// go asks again for what is no JSON, but believes the version in what is.
    fn info(&mut self) -> Result<(), RepairError> {
        let content = match self.content(Part::Info)? {
            State::Absent => return Ok(()),
            State::Bad(why) => {
                self.add(Part::Info, Cure::Fetch, why);
                return Ok(());
            }
            State::Good(content) => content,
        };
        match serde_json::from_slice::<serde_json::Value>(&content) {
            Ok(value) => match value.get("Version").and_then(|v| v.as_str()) {
                Some(version) if version == self.module.version() => {}
                _ => self.add(Part::Info, Cure::Fetch, "it speaks of another version"),
            },
            Err(_) => self.add(Part::Info, Cure::Itself, "it is no JSON"),
        }
        Ok(())
    }

    fn judge_index(&mut self, tree: &TreeSum, view: &IndexView<'_>) {
        let (above, name) = self.module.extracted();
        let dir = self.cache.path().join(above).join(name);
        let names: Vec<Vec<u8>> = tree.entries.iter().map(|e| e.name.clone()).collect();
        let entries = index::entries(view.gocache, view.versions, &dir);
        if entries
            .iter()
            .any(|entry| index::is_stale(view.gocache, entry, &names))
        {
            self.add(
                Part::Index,
                Cure::Recompute,
                "it lacks files that the extracted directory has",
            );
        }
    }
}

enum ZipHash {
    None,
    Text(String),
}

/// The tree as it came from the zip: go adds a go.mod beside each _go.mod of a toolchain.
fn plain(module: &ModuleVersion, tree: &TreeSum) -> TreeSum {
    let names: BTreeSet<&[u8]> = tree.entries.iter().map(|e| e.name.as_slice()).collect();
    let made = |entry: &Entry| {
        let stem = entry.name.strip_suffix(b"go.mod");
        let stem = stem.filter(|stem| stem.is_empty() || stem.ends_with(b"/"));
        module.is_toolchain()
            && stem.is_some_and(|stem| names.contains([stem, b"_go.mod"].concat().as_slice()))
    };
    TreeSum {
        entries: tree
            .entries
            .iter()
            .filter(|entry| !made(entry))
            .cloned()
            .collect(),
        odd: Vec::new(),
    }
}

/// How a tree differs from its zip, in words.
fn differs(module: &ModuleVersion, tree: &TreeSum, zip: &[Entry], extra_files: bool) -> Option<String> {
    if let Some((name, why)) = tree.odd.first() {
        return Some(format!("{}: {why}", shown(name)));
    }
    let tree = plain(module, tree);
    let find = |list: &[Entry], entry: &Entry| list.binary_search_by(|e| e.name.cmp(&entry.name)).ok();
    let mut lost = Vec::new();
    let mut changed = Vec::new();
    for entry in zip.iter().filter(|entry| !entry.name.ends_with(b"/")) {
        match find(&tree.entries, entry) {
            None => lost.push(&entry.name),
            Some(at) if tree.entries[at].sum != entry.sum => changed.push(&entry.name),
            Some(_) => {}
        }
    }
    let extra: Vec<_> = tree
        .entries
        .iter()
        .filter(|e| find(zip, e).is_none())
        .map(|e| &e.name)
        .collect();
    for (names, verb) in [(lost, "lost"), (changed, "changed")] {
        if let Some(first) = names.first() {
            return Some(format!("{} {verb}: {}", count(names.len()), shown(first)));
        }
    }
    let first = extra.first().filter(|_| extra_files)?;
    Some(format!(
        "{} that the zip does not have: {}",
        count(extra.len()),
        shown(first)
    ))
}

fn count(files: usize) -> String {
    if files == 1 {
        "1 file".into()
    } else {
        format!("{files} files, first")
    }
}

fn shown(name: &[u8]) -> String {
    crate::text::safe(name)
}

/// The names in a download directory: every version that has a file there.
pub(crate) fn versions(download: &Dir, path: &str) -> Result<Vec<ModuleVersion>, RepairError> {
    const SUFFIXES: [&str; 7] = [
        ".zip", ".ziphash", ".mod", ".info", ".partial", ".lock", ".zip.tmp",
    ];
    let mut found = BTreeSet::new();
    for (name, _) in download.entries()? {
        let stem = stem_of(&name, &SUFFIXES);
        if let Some(module) = stem.and_then(|stem| ModuleVersion::from_escaped(path, stem)) {
            found.insert(module);
        }
    }
    Ok(found.into_iter().collect())
}

fn stem_of<'a>(name: &'a OsStr, suffixes: &[&str]) -> Option<&'a str> {
    let name = name.to_str()?;
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix))
}
