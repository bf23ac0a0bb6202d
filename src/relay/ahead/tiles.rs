//! Which tiles of the checksum database go reads behind a record, as
//! `tlog.TileHashReader` plans them.

/// Hashes of one tile, as a power of two.
const HEIGHT: u32 = 8;
const WIDTH: u64 = 1 << HEIGHT;
/// A tree larger than this is none.
const LARGEST: u64 = 1 << 48;

/// A tile of level, number, and how many hashes it has.
type Tile = (u32, u64, u64);

/// The tiles that prove the record of an answer to a lookup, as their paths
/// behind `tile/`; none where the answer makes no sense.
pub(super) fn behind(lookup: &[u8]) -> Vec<String> {
    let Some((record, size)) = record_and_size(lookup).filter(|(id, size)| id < size && *size <= LARGEST)
    else {
        return Vec::new();
    };
    let mut tiles = Vec::new();
    for (level, n) in subtrees(size) {
        add(&mut tiles, parent(tile_of(level, n), 0, size));
    }
    let leaf = tile_of(0, record);
    let mut missing = Vec::new();
    for up in 0.. {
        match parent(leaf, up, size) {
            Some(tile) if tiles.contains(&tile) => break,
            Some(tile) => missing.push(tile),
            None => break,
        }
    }
    tiles.extend(missing.into_iter().rev());
    tiles.into_iter().map(path).collect()
}

fn add(tiles: &mut Vec<Tile>, tile: Option<Tile>) {
    tiles.extend(tile.filter(|tile| !tiles.contains(tile)));
}

/// The record's number, and the size of the tree signed behind it.
fn record_and_size(lookup: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(lookup).ok()?;
    let id = text.lines().next()?.parse().ok()?;
    let (_, tree) = text.split_once("\ngo.sum database tree\n")?;
    Some((id, tree.lines().next()?.parse().ok()?))
}

/// The complete subtrees that a tree of this size is made of: level and number.
fn subtrees(size: u64) -> impl Iterator<Item = (u32, u64)> {
    let levels = (0..u64::BITS).rev();
    levels
        .filter(move |level| size >> level & 1 == 1)
        .map(move |level| (level, (size >> level) - 1))
}

/// The tile that holds the hash of a level and number.
fn tile_of(level: u32, n: u64) -> Tile {
    let within = level % HEIGHT;
    (level / HEIGHT, n << within >> HEIGHT, WIDTH)
}

/// A tile's parent so many levels up, in a tree of this size.
fn parent((level, n, _): Tile, up: u32, size: u64) -> Option<Tile> {
    let (level, n) = (level + up, n.checked_shr(up * HEIGHT)?);
    let hashes = size.checked_shr(level * HEIGHT)?;
    let left = hashes.checked_sub(n << HEIGHT).filter(|left| *left > 0)?;
    Some((level, n, left.min(WIDTH)))
}

fn path((level, n, width): Tile) -> String {
    let mut number = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        number = format!("x{:03}/{number}", rest % 1000);
        rest /= 1000;
    }
    match width {
        WIDTH => format!("{HEIGHT}/{level}/{number}"),
        _ => format!("{HEIGHT}/{level}/{number}.p/{width}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(record: u64, size: u64) -> Vec<String> {
        let answer = format!(
            "{record}\nm v1.0.0 h1:x\nm v1.0.0/go.mod h1:y\n\ngo.sum database tree\n{size}\nAAAA\n\n\u{2014} s sig\n"
        );
        behind(answer.as_bytes())
    }

    /// What x/mod's own tlog.TileHashReader reads.
    #[test]
    fn as_go_plans_them() {
        assert_eq!(tiles(0, 1), ["8/0/000.p/1"]);
        assert_eq!(tiles(13, 15), ["8/0/000.p/15"]);
        assert_eq!(
            tiles(300, 70_000),
            [
                "8/2/000.p/1",
                "8/1/001.p/17",
                "8/0/273.p/112",
                "8/1/000",
                "8/0/001",
            ]
        );
        assert_eq!(tiles(123_456, 1 << 19), ["8/2/000.p/8", "8/1/001", "8/0/482"]);
        assert_eq!(
            tiles(260_000, 262_144),
            ["8/2/000.p/4", "8/1/003", "8/0/x001/015"]
        );
    }

    #[test]
    fn what_makes_no_sense_needs_none() {
        assert!(tiles(5, 5).is_empty());
        assert!(tiles(5, 1 << 63).is_empty());
        assert!(tiles(5, u64::MAX).is_empty());
        for bad in [
            "",
            "x\n\ngo.sum database tree\n7\n",
            "1\n",
            "1\n\ngo.sum database tree\n-7\n",
            "99999999999999999999\n\ngo.sum database tree\n7\n",
        ] {
            assert!(behind(bad.as_bytes()).is_empty(), "{bad}");
        }
    }
}
