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
//! Known limitation: a zip and a `.ziphash` that were changed together, in a
//! module that neither go.sum nor the checksum database knows, look right.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::SystemTime;

use super::RepairError;
use super::dir::{Dir, Kind, Meta};
use super::index::ModuleIndex;
use super::tree::{TreeSum, read_tree};
use crate::go::dirhash::{self, Entry, ZipSum, ZipTrouble};
use crate::go::files::{InfoFault, go_mod_complaint, info};
use crate::go::module::ModuleVersion;
use crate::go::sums::{Sums, is_h1};

/// One piece of a module version in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// `VERSION.zip`.
    Zip,
    /// The extracted directory.
    Extracted,
    /// `VERSION.ziphash`.
    ZipHash,
    /// `VERSION.mod`.
    GoMod,
    /// `VERSION.info`.
    Info,
    /// What go remembers of the extracted directory in GOCACHE.
    Index,
}

impl Part {
    /// The pieces that stand in the module cache, in the order in which they leave it.
    pub(crate) const FILES: [Self; 5] = [Self::Zip, Self::Extracted, Self::ZipHash, Self::GoMod, Self::Info];

    /// What it is called in a message.
    #[must_use]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::ZipHash => "ziphash",
            Self::GoMod => "go.mod",
            Self::Info => "info",
            Self::Extracted => "extracted directory",
            Self::Index => "module index",
        }
    }

    /// Where it is, relative to GOMODCACHE; what go remembers of a directory stands for the directory.
    pub(crate) fn path(self, module: &ModuleVersion) -> String {
        let suffix = match self {
            Self::Zip => "zip",
            Self::ZipHash => "ziphash",
            Self::GoMod => "mod",
            Self::Info => "info",
            Self::Extracted | Self::Index => return module.extracted(),
        };
        format!("{}/{}.{suffix}", module.download_dir(), module.stem())
    }
}

/// How a bad piece becomes good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cure {
    /// go does it by itself.
    Itself,
    /// go computes it again from what is in the cache, once it is out of the way.
    Recompute,
    /// go fetches it again, once it is out of the way.
    Fetch,
}

/// One proven fault of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) part: Part,
    /// The proof, in words.
    pub(crate) why: String,
    pub(crate) cure: Cure,
    /// Nothing but a line of go.sum speaks against it.
    pub(crate) disputed: bool,
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
}

impl Known {
    /// Who says so.
    fn by(&self) -> &'static str {
        if self.signed {
            "the checksum database"
        } else {
            "go.sum"
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    pub(crate) findings: Vec<Finding>,
    pub(crate) bytes: u64,
}

impl Examined {
    /// True where a repair has something to do.
    pub(crate) fn curable(&self) -> bool {
        self.findings.iter().any(|f| f.cure != Cure::Itself)
    }

    /// True where a repair takes something away that may be good.
    pub(crate) fn disputed(&self) -> bool {
        self.findings.iter().any(|f| f.disputed)
    }

    /// True where go has to fetch something after the repair.
    pub(crate) fn needs_fetch(&self) -> bool {
        self.findings.iter().any(|f| f.cure == Cure::Fetch)
    }

    /// True where a repair takes this piece away.
    pub(crate) fn takes(&self, part: Part) -> bool {
        let takes = |f: &Finding| f.part == part && f.cure != Cure::Itself;
        self.findings.iter().any(takes)
    }
}

/// Looks at one module version.
pub(crate) fn examine(
    cache: &Dir,
    module: &ModuleVersion,
    known: &Known,
    scope: Scope,
    index: Option<&ModuleIndex>,
) -> Result<Examined, RepairError> {
    let mut examination = Examination {
        cache,
        module,
        known,
        scope,
        download: cache.find(module.download_dir())?,
        found: Examined::default(),
    };
    examination.run(index)?;
    Ok(examination.found)
}

struct Examination<'a> {
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

impl<T> State<T> {
    fn good(&self) -> Option<&T> {
        match self {
            Self::Good(content) => Some(content),
            _ => None,
        }
    }
}

impl Examination<'_> {
    fn run(&mut self, index: Option<&ModuleIndex>) -> Result<(), RepairError> {
        let zip = self.zip()?;
        let ziphash = self.ziphash()?;
        let tree = match &ziphash {
            // Without one go extracts again.
            None => None,
            Some(_) => self.tree()?,
        };
        self.judge_content(&zip, ziphash.as_deref(), tree.as_ref());
        self.go_mod(&zip)?;
        self.info()?;
        if let (Some(tree), Some(index)) = (&tree, index) {
            let names: Vec<&[u8]> = tree.entries.iter().map(|e| e.name.as_slice()).collect();
            if index.is_stale(&self.cache.path().join(self.module.extracted()), &names) {
                let why = "files of the extracted directory are missing from it";
                self.add(Part::Index, Cure::Recompute, why);
            }
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

    /// True for what counts: no link, and there before the time that counts.
    fn counts(&self, meta: &Meta) -> bool {
        meta.kind != Kind::Link && self.scope.before.is_none_or(|start| meta.before(start))
    }

    fn open(&self, part: Part) -> Result<State<std::fs::File>, RepairError> {
        let Some(download) = &self.download else {
            return Ok(State::Absent);
        };
        let path = part.path(self.module);
        let name = path.rsplit('/').next().unwrap_or(&path);
        let Some(meta) = download.meta(name)?.filter(|meta| self.counts(meta)) else {
            return Ok(State::Absent);
        };
        if meta.kind != Kind::File {
            return Ok(State::Bad(format!("it is {}", meta.kind.words())));
        }
        match download.file(name) {
            Ok(file) => Ok(State::Good(file)),
            Err(e) if e.is_missing() => Ok(State::Absent),
            Err(e) if e.is_denied() && meta.is_mine() => Ok(State::Bad(unreadable(&meta))),
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
        file.take(dirhash::MAX_GO_MOD)
            .read_to_end(&mut content)
            .map_err(|e| RepairError::io(&self.cache.path().join(part.path(self.module)), e))?;
        self.found.bytes += content.len() as u64;
        Ok(State::Good(content))
    }

    fn zip(&mut self) -> Result<State<ZipSum>, RepairError> {
        let file = match self.open(Part::Zip)? {
            State::Good(file) => file,
            State::Absent => return Ok(State::Absent),
            State::Bad(why) => return Ok(State::Bad(why)),
        };
        match dirhash::read_zip(file, &self.module.prefix()) {
            Ok(sum) => {
                self.found.bytes += sum.entries.iter().map(|e| e.size).sum::<u64>();
                Ok(State::Good(sum))
            }
            Err(ZipTrouble::Bad(why)) => Ok(State::Bad(format!("not a module zip: {why}"))),
            Err(ZipTrouble::Io(e)) => {
                let path = self.cache.path().join(Part::Zip.path(self.module));
                Err(RepairError::io(&path, e))
            }
        }
    }

    /// What `.ziphash` says, where it says anything.
    fn ziphash(&mut self) -> Result<Option<String>, RepairError> {
        let content = match self.content(Part::ZipHash)? {
            State::Absent => return Ok(None),
            State::Bad(why) => {
                self.add(Part::ZipHash, Cure::Recompute, why);
                return Ok(None);
            }
            State::Good(content) => content,
        };
        let content = content.trim_ascii();
        if let Some(text) = std::str::from_utf8(content).ok().filter(|text| is_h1(text)) {
            return Ok(Some(text.to_owned()));
        }
        // go takes 47 bytes without a NUL for a hash, and fails over it.
        let fails = content.len() == 47 && !content.contains(&0);
        let cure = if fails { Cure::Recompute } else { Cure::Itself };
        self.add(Part::ZipHash, cure, "not an h1 hash");
        Ok(None)
    }

    /// The extracted directory, where go would use it as it is.
    fn tree(&mut self) -> Result<Option<TreeSum>, RepairError> {
        let path = self.module.extracted();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let Some(above) = self.cache.find(above)? else {
            return Ok(None);
        };
        // With .partial go extracts again, and a file in its place it removes.
        if let Some(download) = &self.download
            && download.meta(self.module.partial())?.is_some()
        {
            return Ok(None);
        }
        let meta = above.meta(name)?.filter(|meta| meta.kind == Kind::Dir);
        // What this run extracted came from a zip that go had checked.
        let Some(meta) = meta.filter(|meta| self.counts(meta)) else {
            return Ok(None);
        };
        match above.sub(name) {
            Ok(dir) => {
                let tree = read_tree(&dir)?;
                self.found.bytes += tree.entries.iter().map(|e| e.size).sum::<u64>();
                Ok(Some(tree))
            }
            Err(e) if e.is_denied() && meta.is_mine() => {
                self.add(Part::Extracted, Cure::Recompute, unreadable(&meta));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Zip, ziphash and extracted directory have one hash. It is the one of
    /// go.sum or of the checksum database; where neither knows it, the one that
    /// two of them agree on, or that the only one has.
    fn judge_content(&mut self, zip: &State<ZipSum>, ziphash: Option<&str>, tree: Option<&TreeSum>) {
        let zip_h1 = zip.good().map(|zip| zip.h1.as_str());
        let tree_h1 = tree
            .filter(|tree| tree.odd.is_empty())
            .map(|tree| plain(self.module, tree).h1(&self.module.prefix()));
        let there = [!matches!(zip, State::Absent), ziphash.is_some(), tree.is_some()];
        let agreed = agreed(there, [zip_h1, ziphash, tree_h1.as_deref()]);
        let (known, module, extra_files) = (self.known, self.module, self.scope.extra_files);
        let is_good = |h1: Option<&str>| match (h1, known.sums.zip.as_slice()) {
            (None, _) => false,
            (h1, []) => h1 == agreed,
            (Some(h1), expected) => expected.iter().any(|e| e == h1),
        };
        let is_agreed = |h1: Option<&str>| h1.is_some() && h1 == agreed;
        let witness = match known.sums.zip.as_slice() {
            [] => "its ziphash",
            _ => known.by(),
        };
        let zip_is_good = is_good(zip_h1);
        match zip {
            State::Bad(why) => self.add(Part::Zip, Cure::Fetch, why.clone()),
            State::Good(_) if !zip_is_good => {
                let why = format!("its hash differs from {witness}");
                self.add_if(is_agreed(zip_h1), Part::Zip, Cure::Fetch, why);
            }
            _ => {}
        }
        if ziphash.is_some() && !is_good(ziphash) {
            let cure = if zip_is_good { Cure::Recompute } else { Cure::Fetch };
            let why = match known.sums.zip.as_slice() {
                [] => "it is not the hash of its zip".to_owned(),
                _ => format!("it differs from {witness}"),
            };
            self.add_if(is_agreed(ziphash), Part::ZipHash, cure, why);
        }
        let Some(tree) = tree else { return };
        if let Some(zip) = zip.good().filter(|_| zip_is_good) {
            if let Some(why) = differs(module, tree, &zip.entries, extra_files) {
                self.add(Part::Extracted, Cure::Recompute, why);
            }
        } else if !is_good(tree_h1.as_deref()) {
            let why = match tree.odd.first() {
                Some((name, why)) => format!("{}: {why}", crate::text::safe(name)),
                None => format!("its hash differs from {witness}"),
            };
            self.add_if(is_agreed(tree_h1.as_deref()), Part::Extracted, Cure::Fetch, why);
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
        let form = go_mod_complaint(&content, Some(self.module.path()), false);
        let zip_is_bad = self
            .found
            .findings
            .iter()
            .any(|f| f.part == Part::Zip && !f.disputed);
        // What go makes for a module without a go.mod, or for +incompatible, stands in no zip.
        let inside = zip.good().and_then(|zip| zip.go_mod.as_ref());
        let differs = !self.module.version().ends_with("+incompatible")
            && !zip_is_bad
            && inside.is_some_and(|inside| *inside != content);
        if expected.is_empty() {
            let why = form.or_else(|| differs.then_some("it differs from the go.mod in its zip"));
            if let Some(why) = why {
                self.add(Part::GoMod, Cure::Fetch, why);
            }
        } else if !expected.contains(&dirhash::go_mod_h1(&content)) {
            let why = format!("its hash differs from {}", self.known.by());
            self.add_if(form.is_none() && !differs, Part::GoMod, Cure::Fetch, why);
        }
        Ok(())
    }

    fn info(&mut self) -> Result<(), RepairError> {
        let content = match self.content(Part::Info)? {
            State::Absent => return Ok(()),
            State::Bad(why) => {
                self.add(Part::Info, Cure::Fetch, why);
                return Ok(());
            }
            State::Good(content) => content,
        };
        match info(&content, Some(self.module.version())) {
            Ok(()) => {}
            Err(InfoFault::OtherVersion(_)) => {
                self.add(Part::Info, Cure::Fetch, "it describes another version");
            }
            Err(InfoFault::NoJson(_)) => self.add(Part::Info, Cure::Itself, "go cannot read it"),
        }
        Ok(())
    }
}

fn unreadable(meta: &Meta) -> String {
    format!("unreadable: its mode is {:04o}", meta.mode)
}

/// The hash that two of the pieces that are there have, or the only one.
fn agreed(there: [bool; 3], hashes: [Option<&str>; 3]) -> Option<&str> {
    let alone = there.iter().filter(|there| **there).count() == 1;
    let votes = |hash: &str| hashes.iter().flatten().filter(|other| **other == hash).count();
    hashes.into_iter().flatten().find(|hash| alone || votes(hash) > 1)
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
        return Some(format!("{}: {why}", crate::text::safe(name)));
    }
    let tree = plain(module, tree).entries;
    let find = |list: &[Entry], entry: &Entry| list.binary_search_by(|e| e.name.cmp(&entry.name)).ok();
    let files: Vec<&Entry> = zip.iter().filter(|entry| !entry.name.ends_with(b"/")).collect();
    let lost: Vec<&Entry> = files
        .iter()
        .copied()
        .filter(|e| find(&tree, e).is_none())
        .collect();
    let is_changed = |e: &Entry| find(&tree, e).is_some_and(|at| tree[at].sum != e.sum);
    let changed: Vec<&Entry> = files.into_iter().filter(|e| is_changed(e)).collect();
    let is_extra = |e: &&Entry| extra_files && find(zip, e).is_none();
    let extra: Vec<&Entry> = tree.iter().filter(is_extra).collect();
    [(lost, "lost"), (changed, "changed"), (extra, "not in the zip")]
        .into_iter()
        .find_map(|(entries, verb)| {
            let first = crate::text::safe(&entries.first()?.name);
            Some(match entries.len() {
                1 => format!("1 file {verb}: {first}"),
                n => format!("{n} files {verb}, first: {first}"),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::agreed;

    #[test]
    fn two_pieces_that_agree_outvote_the_third() {
        let all = [true; 3];
        assert_eq!(agreed(all, [Some("a"), Some("a"), Some("b")]), Some("a"));
        assert_eq!(agreed(all, [Some("b"), Some("a"), Some("a")]), Some("a"));
        assert_eq!(agreed(all, [Some("a"), Some("b"), Some("c")]), None);
        // One that cannot be read is there and agrees with nobody.
        assert_eq!(agreed(all, [None, Some("a"), Some("a")]), Some("a"));
        assert_eq!(agreed(all, [None, Some("a"), Some("b")]), None);
        assert_eq!(agreed([true, true, false], [None, Some("a"), None]), None);
        assert_eq!(agreed([true, true, false], [Some("a"), Some("b"), None]), None);
        assert_eq!(agreed([true, false, false], [Some("a"), None, None]), Some("a"));
        assert_eq!(agreed([false, true, false], [None, Some("a"), None]), Some("a"));
    }
}
