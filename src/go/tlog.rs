//! What a checksum database serves: its key, signed tree heads, records and tiles
//! (`golang.org/x/mod/sumdb`), and how they prove each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::dirhash::sha256;
use super::escape::escape;

/// The one key that go has built in.
const KNOWN_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
/// Hashes in a full tile.
pub(crate) const WIDTH: u64 = 256;

/// The verifier key of a database: name and Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
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

impl TreeHead {
    /// False where the tiles at the right edge of the tree are known and do not
    /// hash to it. `tile` gives the widest known copy of one, by level and number.
    pub(crate) fn is_of(&self, tile: impl Fn(u8, u64) -> Option<Vec<u8>>) -> bool {
        let mut root: Option<[u8; 32]> = None;
        for level in 0..8u8 {
            let entries = self.size >> (8 * u32::from(level));
            let width = usize::try_from(entries % WIDTH).unwrap_or(0);
            if width == 0 {
                continue;
            }
            let mut end = width * 32;
            let Some(tile) = tile(level, entries / WIDTH).filter(|tile| tile.len() >= end) else {
                return true;
            };
            for bit in (0..8).filter(|bit| width >> bit & 1 == 1) {
                let start = end - (32 << bit);
                let part = root_of(&tile[start..end]);
                root = Some(root.map_or(part, |right| node(&part, &right)));
                end = start;
            }
        }
        root.is_none_or(|root| root == self.hash)
    }
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
pub(crate) struct Lookup<'a> {
    /// Its place in the tree.
    pub(crate) id: u64,
    pub(crate) record: &'a [u8],
    /// A signed tree head.
    pub(crate) note: &'a [u8],
}

impl<'a> Lookup<'a> {
    pub(crate) fn parse(content: &'a [u8]) -> Option<Self> {
        let first = content.iter().position(|b| *b == b'\n')?;
        let id = std::str::from_utf8(&content[..first]).ok()?.parse().ok()?;
        let rest = &content[first + 1..];
        let end = memchr::memmem::find(rest, b"\n\n")?;
        Some(Self {
            id,
            record: &rest[..=end],
            note: &rest[end + 2..],
        })
    }

    /// The hash of its record, as it stands in a tile of level 0.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&[b"\0", self.record].concat())
    }

    /// True where its record is about the module that the file is named after.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        let text = String::from_utf8_lossy(self.record);
        let mut words = text.split_whitespace();
        match (words.next(), words.next()) {
            (Some(module), Some(version)) => format!("{}@{}", escape(module), escape(version)) == name,
            _ => false,
        }
    }
}

/// One tile: level, number, and how many hashes of at most 256 it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) level: u8,
    pub(crate) n: u64,
    pub(crate) width: u64,
}

impl Tile {
    /// `tile/8/LEVEL/x001/x234/067` or `….p/WIDTH`.
    pub(crate) fn path(&self) -> String {
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
    pub(crate) fn parse(path: &str) -> Option<Self> {
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
pub(crate) fn root_of(hashes: &[u8]) -> [u8; 32] {
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
