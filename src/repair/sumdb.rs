//! Cached pieces of a checksum database: lookups, tiles, and the tree head.
//!
//! Lookups and tiles (`cache/download/sumdb/NAME/…`) are a cache of verified
//! data: go asks again for what is not there. They prove each other, and that
//! is how damage is found without asking anybody: a lookup's record has its
//! hash in a tile of level 0, a full tile has its root hash in the tile above,
//! and the tiles at the right edge hash to the signed tree head.
//!
//! `GOPATH/pkg/sumdb/NAME/latest` is the newest signed tree head that this user
//! has seen, the memory against rollback. A readable one is never touched. One
//! that cannot be parsed (or, where the key is known, that the database never
//! signed) remembers nothing, stops every lookup, and is emptied under its lock
//! after it was copied aside.
//!
//! Imperfect: a damaged tile whose neighbours were never fetched cannot be told
//! from a good one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::RepairError;
use super::dir::{Dir, Kind};
use super::dirhash::{is_h1, sha256};
use super::gosum::Sums;
use super::module::ModuleVersion;
use crate::go::escape::escape;

/// Where the cached pieces are, relative to GOMODCACHE.
pub(crate) const CACHED: &str = "cache/download/sumdb";
/// A tile is 8192 bytes, a lookup or a tree head a few hundred.
const MAX_FILE: u64 = 1 << 20;
/// The one key that go has built in.
const KNOWN_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const WIDTH: u64 = 256;

/// One file that is bad, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bad {
    /// Relative to `cache/download/sumdb`.
    pub(crate) path: String,
    pub(crate) why: String,
}

/// The verifier key of a database: name and Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    name: String,
    hash: [u8; 4],
    public: [u8; 32],
}

impl Key {
    /// Reads a GOSUMDB value: `NAME`, `NAME+HASH+KEY`, with or without a URL behind.
    pub(crate) fn from_gosumdb(value: &str) -> Option<Self> {
        match value.split_whitespace().next()? {
            "sum.golang.org" | "sum.golang.google.cn" => Self::parse(KNOWN_KEY),
            text => Self::parse(text),
        }
    }

    /// True for the key of this database.
    pub(crate) fn is_of(&self, database: &str) -> bool {
        self.name == database
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '+');
        let (name, _hash, key) = (parts.next()?, parts.next()?, parts.next()?);
        let key = STANDARD.decode(key).ok()?;
        // 1 is the number of Ed25519.
        let (1, public) = key.split_first().map(|(kind, rest)| (*kind, rest))? else {
            return None;
        };
        let mut input = name.as_bytes().to_vec();
        input.push(b'\n');
        input.extend_from_slice(&key);
        let sum = sha256(&input);
        Some(Self {
            name: name.to_owned(),
            hash: [sum[0], sum[1], sum[2], sum[3]],
            public: public.try_into().ok()?,
        })
    }
}

/// A tree head: how many records, and the hash of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeHead {
    size: u64,
    hash: [u8; 32],
}

/// Reads a signed tree head. The error says what is wrong with it.
pub(crate) fn tree_head(note: &[u8], key: Option<&Key>) -> Result<TreeHead, &'static str> {
    const MALFORMED: &str = "it is no signed tree head";
    let text = std::str::from_utf8(note).map_err(|_| MALFORMED)?;
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(MALFORMED);
    }
    let at = text.rfind("\n\n").ok_or(MALFORMED)?;
    let (signed, signatures) = (&text[..=at], &text[at + 2..]);
    if signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(MALFORMED);
    }
    let mut lines = signed.lines();
    if lines.next() != Some("go.sum database tree") {
        return Err(MALFORMED);
    }
    let size = lines.next().and_then(|n| n.parse().ok()).ok_or(MALFORMED)?;
    let hash = lines.next().and_then(hash_of).ok_or(MALFORMED)?;
    let mut verified = false;
    for line in signatures.lines() {
        let (name, signature) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(MALFORMED)?;
        let signature = STANDARD.decode(signature).map_err(|_| MALFORMED)?;
        let (hash, signature) = signature.split_first_chunk::<4>().ok_or(MALFORMED)?;
        if let Some(key) = key.filter(|key| key.name == name && key.hash == *hash) {
            let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.public);
            verified |= public.verify(signed.as_bytes(), signature).is_ok();
        }
    }
    if key.is_some() && !verified {
        return Err("the database's key does not verify it");
    }
    Ok(TreeHead { size, hash })
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A record as it stands in a lookup.
struct Lookup<'a> {
    id: u64,
    record: &'a [u8],
    note: &'a [u8],
}

fn parse_lookup(content: &[u8]) -> Option<Lookup<'_>> {
    let first = content.iter().position(|b| *b == b'\n')?;
    let id = std::str::from_utf8(&content[..first]).ok()?.parse().ok()?;
    let rest = &content[first + 1..];
    let end = memchr::memmem::find(rest, b"\n\n")?;
    Some(Lookup {
        id,
        record: &rest[..=end],
        note: &rest[end + 2..],
    })
}

/// One database's pieces in the cache.
pub(crate) struct Database {
    dir: Dir,
    pub(crate) name: String,
    key: Option<Key>,
}

/// Every database that has pieces in the cache.
pub(crate) fn databases(cache: &Dir, gosumdb: &str) -> Result<Vec<Database>, RepairError> {
    let Some(top) = cache.find(CACHED)? else {
        return Ok(Vec::new());
    };
    let key = Key::from_gosumdb(gosumdb);
    let mut all = Vec::new();
    for (name, kind) in top.entries()? {
        if kind != Kind::Dir {
            continue;
        }
        let Ok(dir) = top.sub(&name) else { continue };
        let name = name.to_string_lossy().into_owned();
        let key = key.clone().filter(|key| key.name == name);
        all.push(Database { dir, name, key });
    }
    Ok(all)
}

impl Database {
    /// The hashes that a cached lookup proves: its record has its hash in a cached tile.
    pub(crate) fn sums(&self, module: &ModuleVersion) -> Option<Sums> {
        let content = self.lookup(&lookup_name(module))?;
        let lookup = parse_lookup(&content)?;
        if self.record_check(&lookup) != Some(true) {
            return None;
        }
        let mut sums = Sums::default();
        for line in String::from_utf8_lossy(lookup.record).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [path, version, hash] = words.as_slice() else {
                continue;
            };
            if *path != module.path() || !is_h1(hash) {
                continue;
            }
            if *version == module.version() {
                sums.zip.push((*hash).to_owned());
            } else if version.strip_suffix("/go.mod") == Some(module.version()) {
                sums.go_mod.push((*hash).to_owned());
            }
        }
        Some(sums)
    }

    fn lookup(&self, name: &str) -> Option<Vec<u8>> {
        let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
        let dir = self.dir.walk("lookup").ok()?.walk(above).ok()?;
        read(&dir, OsStr::new(last)).ok()
    }

    /// The lookups that are bad.
    pub(crate) fn bad_lookups(&self) -> Result<Vec<Bad>, RepairError> {
        let Some(dir) = self.dir.find("lookup")? else {
            return Ok(Vec::new());
        };
        let mut bad = Vec::new();
        dir.visit(
            &mut |here, name, path, kind| {
                let path = String::from_utf8_lossy(path).into_owned();
                if kind == Kind::Dir || kind == Kind::Link {
                    return Ok(());
                }
                let trouble = match read(here, name) {
                    Ok(content) => self.lookup_trouble(&path, &content),
                    Err(e) => vec![(format!("lookup/{path}"), e.to_string())],
                };
                bad.extend(trouble.into_iter().map(|(path, why)| Bad {
                    path: format!("{}/{path}", self.name),
                    why,
                }));
                Ok(())
            },
            &mut |_, _| {},
        )?;
        Ok(bad)
    }

    /// What is wrong with one lookup: paths below the database, and why. An
    /// empty file counts as absent for go and for us.
    fn lookup_trouble(&self, path: &str, content: &[u8]) -> Vec<(String, String)> {
        if content.is_empty() {
            return Vec::new();
        }
        let here = format!("lookup/{path}");
        let Some(lookup) = parse_lookup(content) else {
            return vec![(here, "it is no record of a checksum database".into())];
        };
        if let Err(why) = tree_head(lookup.note, self.key.as_ref()) {
            return vec![(here, why.into())];
        }
        if !names_itself(lookup.record, path) {
            return vec![(here, "its record speaks of another module".into())];
        }
        if self.record_check(&lookup) != Some(false) {
            return Vec::new();
        }
        let tile = Tile::leaf(lookup.id);
        let mut bad = vec![(here, "its record does not hash to its place in the tree".into())];
        // Unless the tile above vouches for the tile, either of the two may be the bad one.
        let vouched = self
            .tile_content(&tile)
            .is_some_and(|content| self.vouched(&tile, &content));
        if !vouched {
            bad.extend(self.tile_files(tile.level, tile.n).into_iter().map(|tile| {
                (
                    tile.path(),
                    "a record does not hash to its place in it".to_owned(),
                )
            }));
        }
        bad
    }

    /// True where the record's hash stands in its tile, false where another does, `None` without a tile.
    fn record_check(&self, lookup: &Lookup<'_>) -> Option<bool> {
        let tile = self.tile_content(&Tile::leaf(lookup.id))?;
        let at = usize::try_from(lookup.id % WIDTH).ok()? * 32;
        let there = tile.get(at..at + 32)?;
        let mut leaf = vec![0];
        leaf.extend_from_slice(lookup.record);
        Some(there == sha256(&leaf))
    }

    /// The widest cached tile that has the entry.
    fn tile_content(&self, wanted: &Tile) -> Option<Vec<u8>> {
        let mut files = self.tile_files(wanted.level, wanted.n);
        files.retain(|tile| tile.width >= wanted.width);
        files.sort_by_key(|tile| std::cmp::Reverse(tile.width));
        files.iter().find_map(|tile| self.read_tile(tile))
    }

    fn read_tile(&self, tile: &Tile) -> Option<Vec<u8>> {
        let path = tile.path();
        let (above, last) = path.rsplit_once('/')?;
        let content = read(&self.dir.walk(above).ok()?, OsStr::new(last)).ok()?;
        (content.len() as u64 == tile.width * 32).then_some(content)
    }

    /// Every cached width of one tile.
    fn tile_files(&self, level: u8, n: u64) -> Vec<Tile> {
        let full = Tile {
            level,
            n,
            width: WIDTH,
        };
        let path = full.path();
        let mut found = Vec::new();
        let Some((above, last)) = path.rsplit_once('/') else {
            return found;
        };
        let Ok(dir) = self.dir.walk(above) else {
            return found;
        };
        if matches!(dir.meta(last), Ok(Some(meta)) if meta.kind == Kind::File && meta.size > 0) {
            found.push(full);
        }
        let parts = dir.sub(format!("{last}.p")).and_then(|dir| dir.entries());
        for (name, _) in parts.unwrap_or_default() {
            if let Some(width) = name
                .to_str()
                .and_then(|w| w.parse().ok())
                .filter(|w| (1..WIDTH).contains(w))
            {
                found.push(Tile { level, n, width });
            }
        }
        found
    }

    /// True where the tile above holds this full tile's root hash.
    fn vouched(&self, tile: &Tile, content: &[u8]) -> bool {
        tile.width == WIDTH
            && self
                .parent_entry(tile)
                .is_some_and(|entry| entry == root_of(content))
    }

    fn parent_entry(&self, tile: &Tile) -> Option<[u8; 32]> {
        let parent = Tile {
            level: tile.level + 1,
            n: tile.n / WIDTH,
            width: tile.n % WIDTH + 1,
        };
        let content = self.tile_content(&parent)?;
        let at = usize::try_from(tile.n % WIDTH).ok()? * 32;
        content.get(at..at + 32)?.try_into().ok()
    }

    /// The tiles that are bad: by their length, by the tile above, by another
    /// width of the same tile, and by a signed tree head.
    pub(crate) fn bad_tiles(&self, latest: Option<&TreeHead>) -> Result<Vec<Bad>, RepairError> {
        let Some(dir) = self.dir.find("tile/8")? else {
            return Ok(Vec::new());
        };
        let mut bad = BTreeMap::new();
        let mut whole: BTreeMap<(u8, u64), Vec<Tile>> = BTreeMap::new();
        dir.visit(
            &mut |here, name, path, kind| {
                if kind != Kind::File {
                    return Ok(());
                }
                let path = String::from_utf8_lossy(path).into_owned();
                let Some(tile) = Tile::parse(&path) else {
                    return Ok(());
                };
                match here.meta(name)?.map_or(0, |meta| meta.size) {
                    // Empty counts as absent.
                    0 => {}
                    size if size == tile.width * 32 => {
                        whole.entry((tile.level, tile.n)).or_default().push(tile);
                    }
                    _ => {
                        bad.insert(tile.path(), "its length is not that of a tile".to_owned());
                    }
                }
                Ok(())
            },
            &mut |_, _| {},
        )?;
        for tiles in whole.values() {
            self.compare(tiles, &mut bad);
        }
        if let Some(latest) = latest {
            self.compare_edge(latest, &mut bad);
        }
        let named = bad.into_iter().map(|(path, why)| Bad {
            path: format!("{}/{path}", self.name),
            why,
        });
        Ok(named.collect())
    }

    /// Compares the widths of one tile with each other, and the full one with the tile above.
    fn compare(&self, tiles: &[Tile], bad: &mut BTreeMap<String, String>) {
        let contents: Vec<_> = tiles
            .iter()
            .filter_map(|t| Some((t, self.read_tile(t)?)))
            .collect();
        let Some((widest, content)) = contents.iter().max_by_key(|(tile, _)| tile.width) else {
            return;
        };
        let mut proven = false;
        if widest.width == WIDTH
            && let Some(entry) = self.parent_entry(widest)
        {
            proven = entry == root_of(content);
            if !proven {
                bad.insert(widest.path(), "its hash is not the one in the tile above".into());
                let parents = self.tile_files(widest.level + 1, widest.n / WIDTH);
                for parent in parents
                    .into_iter()
                    .filter(|parent| parent.width > widest.n % WIDTH)
                {
                    bad.insert(parent.path(), "it does not hold the hash of a tile below".into());
                }
            }
        }
        for (tile, part) in &contents {
            if !content.starts_with(part) {
                bad.insert(
                    tile.path(),
                    "it differs from another width of the same tile".into(),
                );
                if !proven {
                    bad.insert(
                        widest.path(),
                        "it differs from another width of the same tile".into(),
                    );
                }
            }
        }
    }

    /// Hashes the right edge of the tree up to the signed root.
    fn compare_edge(&self, head: &TreeHead, bad: &mut BTreeMap<String, String>) {
        let mut root: Option<[u8; 32]> = None;
        let mut used = Vec::new();
        for level in 0..8u8 {
            let entries = head.size >> (8 * u32::from(level));
            let width = entries % WIDTH;
            if width == 0 {
                continue;
            }
            let tile = Tile {
                level,
                n: entries / WIDTH,
                width,
            };
            let Some(content) = self.tile_content(&tile) else {
                return;
            };
            let mut end = usize::try_from(width).unwrap_or(0) * 32;
            for bit in (0..8).filter(|bit| width >> bit & 1 == 1) {
                let start = end - (32 << bit);
                let part = root_of(&content[start..end]);
                root = Some(root.map_or(part, |right| node(&part, &right)));
                end = start;
            }
            used.extend(
                self.tile_files(level, tile.n)
                    .into_iter()
                    .filter(|t| t.width >= width),
            );
        }
        if root.is_some_and(|root| root != head.hash) {
            for tile in used {
                bad.insert(tile.path(), "it does not hash to the signed tree head".into());
            }
        }
    }
}

/// `lookup/` names are the escaped module path and version.
fn lookup_name(module: &ModuleVersion) -> String {
    format!("{}@{}", escape(module.path()), escape(module.version()))
}

/// True where a record's first line speaks of the module that the file is named after.
fn names_itself(record: &[u8], path: &str) -> bool {
    let text = String::from_utf8_lossy(record);
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(module), Some(version)) => format!("{}@{}", escape(module), escape(version)) == path,
        _ => false,
    }
}

/// One tile: level, number, and how many hashes of at most 256 it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    level: u8,
    n: u64,
    width: u64,
}

impl Tile {
    /// The tile of level 0 that holds a record's hash, as wide as it must be.
    fn leaf(id: u64) -> Self {
        Self {
            level: 0,
            n: id / WIDTH,
            width: id % WIDTH + 1,
        }
    }

    /// `tile/8/LEVEL/x001/x234/067` or `….p/WIDTH`.
    fn path(&self) -> String {
        let mut number = format!("{:03}", self.n % 1000);
        let mut rest = self.n / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let part = if self.width == WIDTH {
            String::new()
        } else {
            format!(".p/{}", self.width)
        };
        format!("tile/8/{}/{number}{part}", self.level)
    }

    /// The reverse, of what stands behind `tile/8/`.
    fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level: u8 = level.parse().ok().filter(|level| *level < 8)?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok().filter(|w| (1..WIDTH).contains(w))?),
            None => (rest, WIDTH),
        };
        let mut n: u64 = 0;
        for part in number.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            if digits.len() != 3 {
                return None;
            }
            n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { level, n, width };
        (tile.path() == format!("tile/8/{path}")).then_some(tile)
    }
}

/// The hash over a power of two of hashes (RFC 6962).
fn root_of(hashes: &[u8]) -> [u8; 32] {
    let mut layer: Vec<[u8; 32]> = hashes
        .chunks_exact(32)
        .filter_map(|h| h.try_into().ok())
        .collect();
    while layer.len() > 1 {
        layer = layer
            .chunks(2)
            .map(|pair| node(&pair[0], &pair[pair.len() - 1]))
            .collect();
    }
    layer.first().copied().unwrap_or_default()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut input = [0; 65];
    input[0] = 1;
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    sha256(&input)
}

/// The content of one small file.
pub(crate) fn read(dir: &Dir, name: &OsStr) -> Result<Vec<u8>, RepairError> {
    let mut content = Vec::new();
    dir.file(name)?
        .take(MAX_FILE)
        .read_to_end(&mut content)
        .map_err(|e| RepairError::io(&dir.path().join(OsStr::from_bytes(name.as_bytes())), e))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_go_names_them() {
        for (tile, path) in [
            (
                Tile {
                    level: 0,
                    n: 5,
                    width: 256,
                },
                "tile/8/0/005",
            ),
            (
                Tile {
                    level: 0,
                    n: 1_234_067,
                    width: 256,
                },
                "tile/8/0/x001/x234/067",
            ),
            (
                Tile {
                    level: 1,
                    n: 1234,
                    width: 9,
                },
                "tile/8/1/x001/234.p/9",
            ),
        ] {
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path.strip_prefix("tile/8/").unwrap()), Some(tile));
        }
        for bad in ["0/5", "9/005", "0/005.p/256", "0/x001/2", "data/000", "0/../005"] {
            assert_eq!(Tile::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_built_in_key_is_whole() {
        let key = Key::from_gosumdb("sum.golang.org").unwrap();
        assert_eq!(key.hash, [0x03, 0x3d, 0xe0, 0xae]);
        assert_eq!(Key::from_gosumdb("sum.golang.google.cn"), Some(key));
        assert_eq!(Key::from_gosumdb("off"), None);
        assert_eq!(Key::from_gosumdb(""), None);
    }

    #[test]
    fn tree_heads() {
        let good =
            "go.sum database tree\n7\nG7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=\n\n\u{2014} x AAAAAAAA\n";
        assert_eq!(tree_head(good.as_bytes(), None).unwrap().size, 7);
        for bad in [
            "",
            "\0\0\0",
            "<html>\n\n</html>\n",
            &good[..good.len() - 3],
            &good[..40],
        ] {
            assert!(tree_head(bad.as_bytes(), None).is_err(), "{bad:?}");
        }
        let key = Key::from_gosumdb("sum.golang.org");
        assert!(tree_head(good.as_bytes(), key.as_ref()).is_err());
    }
}
