//! Cached pieces of a checksum database: lookups, tiles, and the tree head.
//!
//! Lookups and tiles (`cache/download/sumdb/NAME/…`) are a cache of verified
//! data: go asks again for what is not there. They prove each other, so damage
//! is found without asking anybody: a lookup's record has its hash in a tile of
//! level 0, a full tile has its root hash in the tile above, and the tiles at
//! the right edge hash to the signed tree head. They are a few kilobytes each
//! and depend on each other, so one bad piece condemns them all.
//!
//! `GOPATH/pkg/sumdb/NAME/latest` is the newest signed tree head that this user
//! has seen, by which go notices a database that was rolled back. A readable
//! one is never touched. One that cannot be parsed (or, where the key is known,
//! that the database never signed) remembers nothing and stops every lookup.
//!
//! Known limitation: a damaged tile whose neighbours were never fetched cannot
//! be told from a good one.

use super::dir::{Dir, Kind};
use super::{ModCache, RepairError};
use crate::go::escape::escape;
use crate::go::module::ModuleVersion;
use crate::go::sums::{GoSum, Sums};
use crate::go::tlog::{Key, Lookup, Tile, TreeHead, WIDTH, root_of, tree_head};

/// Where the cached pieces are, relative to GOMODCACHE.
pub(crate) const CACHED: &str = "cache/download/sumdb";
/// A tile is 8192 bytes, a lookup or a tree head a few hundred.
const MAX_FILE: u64 = 1 << 20;
/// `pkg/sumdb` of GOPATH, where it is there.
fn tree_heads(cache: &ModCache) -> Result<Option<Dir>, RepairError> {
    let path = cache.env.sumdb_dir.as_deref();
    match path.map(|path| Dir::root(path, false)).transpose() {
        Err(e) if e.is_missing() => Ok(None),
        other => other,
    }
}

/// The folders of `latest` files that remember nothing, and why they do not.
pub(crate) fn bad_tree_heads(cache: &ModCache) -> Result<Vec<(Dir, &'static str)>, RepairError> {
    let Some(top) = tree_heads(cache)? else {
        return Ok(Vec::new());
    };
    let mut bad = Vec::new();
    for (name, _) in top.entries()?.iter().filter(|(_, kind)| *kind == Kind::Dir) {
        let dir = top.sub(name)?;
        if let Some(why) = tree_head_trouble(cache, &dir)? {
            bad.push((dir, why));
        }
    }
    Ok(bad)
}

/// The database that a folder is of.
pub(crate) fn name_of(dir: &Dir) -> String {
    let name = dir.path().file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What stands in the `latest` of one database.
pub(crate) fn tree_head_note(dir: &Dir) -> Result<Vec<u8>, RepairError> {
    dir.read("latest", MAX_FILE)
}

/// Why the `latest` of one database remembers nothing. go takes an empty one for none.
pub(crate) fn tree_head_trouble(cache: &ModCache, dir: &Dir) -> Result<Option<&'static str>, RepairError> {
    if dir.meta("latest")?.is_none_or(|meta| meta.kind == Kind::Link) {
        return Ok(None);
    }
    let note = tree_head_note(dir)?;
    if note.is_empty() {
        return Ok(None);
    }
    let key = Key::from_gosumdb(&cache.env.gosumdb).filter(|key| key.name == name_of(dir));
    Ok(tree_head(&note, key.as_ref()).err())
}

/// One database's pieces in the cache.
pub(crate) struct Database {
    dir: Dir,
    pub(crate) name: String,
    key: Option<Key>,
}

/// Every database that has pieces in the cache.
pub(crate) fn databases(cache: &ModCache) -> Result<Vec<Database>, RepairError> {
    let Some(top) = cache.dir.find(CACHED)? else {
        return Ok(Vec::new());
    };
    let key = Key::from_gosumdb(&cache.env.gosumdb);
    let mut all = Vec::new();
    for (name, kind) in top.entries()? {
        if let (Kind::Dir, Ok(dir)) = (kind, top.sub(&name)) {
            let name = name_of(&dir);
            let key = key.clone().filter(|key| key.name == name);
            all.push(Database { dir, name, key });
        }
    }
    Ok(all)
}

impl Database {
    /// The hashes that a cached lookup proves: its record has its hash in a cached tile.
    pub(crate) fn sums(&self, module: &ModuleVersion) -> Option<Sums> {
        let path = module.path();
        let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.dir.walk("lookup").ok()?.walk(escape(above)).ok()?;
        let name = format!("{}@{}", escape(last), module.stem());
        let content = dir.read(name, MAX_FILE).ok()?;
        let lookup = Lookup::parse(&content)?;
        let mut signed = GoSum::default();
        signed.add(lookup.record);
        (self.is_in_the_tree(&lookup) == Some(true)).then(|| signed.sums(module))
    }

    /// The first bad piece and why it is bad: one is enough.
    pub(crate) fn trouble(&self, cache: &ModCache) -> Result<Option<String>, RepairError> {
        let in_lookups = self.first_bad("lookup", |name, content| self.lookup_trouble(name, content))?;
        if in_lookups.is_some() {
            return Ok(in_lookups);
        }
        let in_tiles = self.first_bad("tile/8", |name, content| self.tile_trouble(name, content))?;
        if in_tiles.is_some() {
            return Ok(in_tiles);
        }
        let differs = self
            .latest(cache)
            .is_some_and(|head| !head.is_of(|level, n| self.widest(level, n)));
        Ok(differs.then(|| "its tiles do not hash to the signed tree head".to_owned()))
    }

    /// Looks at every file below a folder; go takes an empty one for none.
    fn first_bad(
        &self,
        folder: &str,
        trouble: impl Fn(&str, &[u8]) -> Option<&'static str>,
    ) -> Result<Option<String>, RepairError> {
        let mut bad = None;
        let Some(dir) = self.dir.find(folder)? else {
            return Ok(bad);
        };
        dir.visit(
            &mut |here, name, path, kind| {
                if bad.is_some() || matches!(kind, Kind::Dir | Kind::Link) {
                    return Ok(());
                }
                let path = String::from_utf8_lossy(path);
                let why = match here.read(name, MAX_FILE) {
                    Ok(content) if content.is_empty() => None,
                    Ok(content) => trouble(&path, &content).map(str::to_owned),
                    Err(e) => Some(e.to_string()),
                };
                bad = why.map(|why| format!("{folder}/{path}: {why}"));
                Ok(())
            },
            &mut |_, _| {},
        )?;
        Ok(bad)
    }

    fn lookup_trouble(&self, name: &str, content: &[u8]) -> Option<&'static str> {
        let Some(lookup) = Lookup::parse(content) else {
            return Some("not a record of a checksum database");
        };
        if let Err(why) = tree_head(lookup.note, self.key.as_ref()) {
            return Some(why);
        }
        if !lookup.is_of(name) {
            return Some("its record describes another module");
        }
        (self.is_in_the_tree(&lookup) == Some(false))
            .then_some("its record does not hash to its place in the tree")
    }

    fn tile_trouble(&self, name: &str, content: &[u8]) -> Option<&'static str> {
        let tile = Tile::parse(name)?;
        if content.len() as u64 != tile.width * 32 {
            return Some("its length is not that of a tile");
        }
        let widest = self.widest(tile.level, tile.n);
        if widest.is_some_and(|widest| !widest.starts_with(content)) {
            return Some("it differs from another width of the same tile");
        }
        let above = self.entry(tile.level + 1, tile.n);
        (tile.width == WIDTH && above.is_some_and(|above| above != root_of(content)))
            .then_some("its hash differs from the tile above")
    }

    /// Whether the record's hash stands at its place; `None` where that is not cached.
    fn is_in_the_tree(&self, lookup: &Lookup<'_>) -> Option<bool> {
        Some(self.entry(0, lookup.id)? == lookup.hash())
    }

    /// One hash of a level, where a tile that holds it is cached.
    fn entry(&self, level: u8, n: u64) -> Option<[u8; 32]> {
        let at = usize::try_from(n % WIDTH).ok()? * 32;
        let tile = self.widest(level, n / WIDTH)?;
        tile.get(at..at + 32)?.try_into().ok()
    }

    /// The widest cached copy of one tile that has the right length.
    fn widest(&self, level: u8, n: u64) -> Option<Vec<u8>> {
        let full = Tile {
            level,
            n,
            width: WIDTH,
        };
        let path = full.path();
        let (above, last) = path.rsplit_once('/')?;
        let dir = self.dir.walk(above).ok()?;
        let whole = |dir: &Dir, name: &str, width: u64| {
            let content = dir.read(name, MAX_FILE).ok()?;
            (content.len() as u64 == width * 32).then_some(content)
        };
        if let Some(content) = whole(&dir, last, WIDTH) {
            return Some(content);
        }
        let parts = dir.sub(format!("{last}.p")).ok()?;
        let entries = parts.entries().ok()?;
        let mut widths: Vec<u64> = entries
            .iter()
            .filter_map(|(name, _)| name.to_str()?.parse().ok())
            .filter(|width| (1..WIDTH).contains(width))
            .collect();
        widths.sort_unstable();
        widths
            .into_iter()
            .rev()
            .find_map(|width| whole(&parts, &width.to_string(), width))
    }

    /// The tree head that this user has seen last, if it can be read.
    fn latest(&self, cache: &ModCache) -> Option<TreeHead> {
        let dir = tree_heads(cache).ok()??.sub(&self.name).ok()?;
        tree_head(&tree_head_note(&dir).ok()?, None).ok()
    }
}
