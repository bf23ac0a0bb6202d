//! A checksum database with a key of its own, over the modules of a catalogue.
//!
//! It speaks what the go command's client expects (<https://go.dev/design/25530-sumdb>):
//! `/supported`, `/latest`, `/lookup/MODULE@VERSION` and `/tile/8/LEVEL/N[.p/WIDTH]`,
//! with an ed25519-signed tree note and a Merkle tree of records.
//!
//! The tree is fixed when it is made: a database that grows is a new one with the
//! same name over a larger catalogue, whose first records must be the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::catalogue::Catalogue;
use crate::go::escape::unescape;

/// The tile height that the go command uses: 2^8 hashes in a full tile.
const TILE_HEIGHT: u32 = 8;
/// The note format's number for ed25519 signatures.
const ALGORITHM_ED25519: u8 = 1;

type Hash = [u8; 32];

/// A checksum database over a fixed set of modules.
#[derive(Debug)]
pub struct SumDb {
    name: String,
    key: String,
    note: String,
    records: Vec<String>,
    index: BTreeMap<(String, String), usize>,
    /// `levels[k][n]` is the hash of the full subtree over records `n * 2^k ..`.
    levels: Vec<Vec<Hash>>,
}

/// What the database says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Status 200 with text.
    Text(String),
    /// Status 200 with binary data.
    Data(Vec<u8>),
    /// Status 404: no such record or tile.
    Missing,
}

impl SumDb {
    /// A database called `name` over everything in `catalogue`. The key is derived
    /// from the name, so that the same name has the same key on every run.
    pub fn new(name: impl Into<String>, catalogue: &Catalogue) -> Self {
        let name = name.into();
        let mut records = Vec::new();
        let mut index = BTreeMap::new();
        for packed in catalogue.all() {
            index.insert((packed.path.clone(), packed.version.clone()), records.len());
            records.push(packed.sum_lines());
        }
        let levels = tree_levels(
            records
                .iter()
                .map(|record| leaf_hash(record.as_bytes()))
                .collect(),
        );
        let root = STANDARD.encode(tree_hash(&levels, records.len()));
        let text = format!("go.sum database tree\n{}\n{root}\n", records.len());
        let (key, note) = sign(&name, &text);
        Self {
            name,
            key,
            note,
            records,
            index,
            levels,
        }
    }

    /// The database's name, as it stands in `/sumdb/NAME/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The verifier key `NAME+HASH+KEY`, the value for GOSUMDB.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value for GOSUMDB that sends go straight to this database at `url`.
    pub fn gosumdb(&self, url: &str) -> String {
        format!("{} {url}", self.key)
    }

    /// Answers a request path below `/sumdb/NAME`, such as `/lookup/example.com/a@v1.0.0`.
    pub fn answer(&self, path: &str) -> Reply {
        if path == "/supported" {
            Reply::Text(String::new())
        } else if path == "/latest" {
            Reply::Text(self.note.clone())
        } else if let Some(wanted) = path.strip_prefix("/lookup/") {
            self.lookup(wanted).map_or(Reply::Missing, Reply::Text)
        } else if let Some(tile) = path.strip_prefix("/tile/8/") {
            self.tile(tile).map_or(Reply::Missing, Reply::Data)
        } else {
            Reply::Missing
        }
    }

    fn lookup(&self, wanted: &str) -> Option<String> {
        let (path, version) = wanted.split_once('@')?;
        let id = *self.index.get(&(unescape(path)?, unescape(version)?))?;
        Some(format!("{id}\n{}\n{}", self.records.get(id)?, self.note))
    }

    fn tile(&self, tile: &str) -> Option<Vec<u8>> {
        let (level, rest) = tile.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 1usize << TILE_HEIGHT),
        };
        let start = parse_tile_number(number)?.checked_mul(1 << TILE_HEIGHT)?;
        let end = start.checked_add(width)?;
        if level == "data" {
            let records = self.records.get(start..end)?;
            return Some(
                records
                    .iter()
                    .flat_map(|r| format!("{r}\n").into_bytes())
                    .collect(),
            );
        }
        let level: u32 = level.parse().ok().filter(|level| *level < 8)?;
        let hashes = self.levels.get((level * TILE_HEIGHT) as usize)?.get(start..end)?;
        Some(hashes.concat())
    }
}

/// Reads a tile number: groups of three digits, all but the last prefixed with `x`.
fn parse_tile_number(text: &str) -> Option<usize> {
    let mut number = 0usize;
    let mut groups = text.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x')?
        } else {
            group
        };
        let value: usize = digits.parse().ok().filter(|_| digits.len() == 3)?;
        number = number.checked_mul(1000)?.checked_add(value)?;
    }
    Some(number)
}

/// Signs `text` as a note and returns the verifier key and the signed note.
fn sign(name: &str, text: &str) -> (String, String) {
    let seed = digest(
        &SHA256,
        format!("gofix loopback checksum database {name}").as_bytes(),
    );
    let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()) else {
        // A seed of 32 bytes is always taken; without a signature go refuses the note.
        return (String::new(), String::new());
    };
    let mut public = vec![ALGORITHM_ED25519];
    public.extend_from_slice(pair.public_key().as_ref());
    let named = [name.as_bytes(), b"\n", &public].concat();
    let key_hash: Vec<u8> = digest(&SHA256, &named).as_ref().iter().take(4).copied().collect();
    let signature = [&key_hash, pair.sign(text.as_bytes()).as_ref()].concat();
    let key = format!(
        "{name}+{}+{}",
        crate::text::hex(&key_hash),
        STANDARD.encode(&public)
    );
    let note = format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(signature));
    (key, note)
}

fn leaf_hash(record: &[u8]) -> Hash {
    hash_of(&[&[0], record])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash_of(&[&[1], left, right])
}

fn hash_of(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// All hashes of full subtrees, level by level from the leaves up.
fn tree_levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|below| below.len() > 1) {
        let above = below
            .chunks_exact(2)
            .filter_map(|pair| Some(node_hash(pair.first()?, pair.get(1)?)))
            .collect();
        levels.push(above);
    }
    levels
}

/// The hash of the tree over the first `size` records: its full subtrees joined
/// from the right. The empty tree hashes to SHA-256 of nothing.
fn tree_hash(levels: &[Vec<Hash>], size: usize) -> Hash {
    let mut end = size;
    let mut hash: Option<Hash> = None;
    for (level, nodes) in levels.iter().enumerate() {
        if size >> level & 1 == 1 {
            end -= 1 << level;
            let Some(left) = nodes.get(end >> level) else {
                continue;
            };
            hash = Some(hash.map_or(*left, |right| node_hash(left, &right)));
        }
    }
    hash.unwrap_or_else(|| hash_of(&[]))
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Module;
    use super::*;

    fn database(records: usize) -> SumDb {
        let modules = (0..records).map(|n| Module::new(format!("example.com/m{n:04}"), "v1.0.0"));
        SumDb::new("sum.example.test", &Catalogue::new().with_all(modules))
    }

    #[test]
    fn three_leaves_hash_as_rfc_6962_says() {
        let leaf = |text: &str| leaf_hash(text.as_bytes());
        let levels = tree_levels(vec![leaf("a"), leaf("b"), leaf("c")]);
        let expected = node_hash(&node_hash(&leaf("a"), &leaf("b")), &leaf("c"));
        assert_eq!(tree_hash(&levels, 3), expected);
    }

    #[test]
    fn tiles_are_as_wide_as_asked_and_never_wider_than_the_tree() {
        let database = database(300);
        let bytes = |path: &str| match database.answer(path) {
            Reply::Data(data) => Some(data.len()),
            _ => None,
        };
        assert_eq!(bytes("/tile/8/0/000"), Some(256 * 32));
        assert_eq!(bytes("/tile/8/0/001.p/44"), Some(44 * 32));
        assert_eq!(bytes("/tile/8/0/001.p/45"), None);
        assert_eq!(bytes("/tile/8/0/001"), None);
        assert_eq!(bytes("/tile/8/1/000.p/1"), Some(32));
        assert_eq!(bytes("/tile/8/9/000.p/1"), None);
    }

    #[test]
    fn tile_numbers_come_in_groups_of_three() {
        assert_eq!(parse_tile_number("x001/x234/067"), Some(1_234_067));
        assert_eq!(parse_tile_number("7"), None);
        assert_eq!(parse_tile_number("001/234"), None);
    }

    #[test]
    fn a_lookup_holds_the_record_and_the_signed_tree() {
        let Reply::Text(text) = database(3).answer("/lookup/example.com/m0001@v1.0.0") else {
            panic!("no record");
        };
        assert!(text.starts_with("1\nexample.com/m0001 v1.0.0 h1:"), "{text}");
        assert!(text.contains("\n\ngo.sum database tree\n3\n"), "{text}");
        assert_eq!(
            database(3).answer("/lookup/example.com/none@v1.0.0"),
            Reply::Missing
        );
    }
}
