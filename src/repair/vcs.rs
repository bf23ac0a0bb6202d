//! Repositories that go keeps below `cache/vcs`.
//!
//! `HASH` is a bare repository, `HASH.info` says of what (`git3:URL`), and HASH
//! is the SHA-256 of just that text, so a wrong `.info` proves itself. A git
//! repository is damaged if HEAD, the config or a ref is not what git writes,
//! if the object of a ref is missing, or if a pack, its index or a loose object
//! does not match the checksum that git gave it. One damaged piece condemns the
//! whole clone: go makes another. No git is started for it.
//!
//! Known limitations: a missing object behind a commit that is there is not
//! noticed (`git fsck` would find it, after minutes in a large repository), and
//! repositories of hg, svn, bzr and fossil are judged by their `.info` only.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;

use ring::digest::{Algorithm, Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::dir::{Dir, Kind};
use super::{ModCache, RepairError};
use crate::go::dirhash::sha256;
use crate::text::hex;

/// Where the repositories are, relative to GOMODCACHE.
pub(crate) const VCS: &str = "cache/vcs";
/// Refs and settings that are larger than this are not read to their end.
const MAX_TEXT: u64 = 64 << 20;
/// The largest index of a pack that is read.
const MAX_INDEX: u64 = 1 << 30;

/// One repository: its hash, and the open `cache/vcs`.
pub(crate) struct Repository<'a> {
    pub(crate) vcs: &'a Dir,
    pub(crate) hash: String,
}

/// The open `cache/vcs`, and the names in it that are repositories.
pub(crate) fn repositories(cache: &ModCache) -> Result<Option<(Dir, Vec<String>)>, RepairError> {
    let Some(vcs) = cache.dir.find(VCS)? else {
        return Ok(None);
    };
    let entries = vcs.entries()?;
    let names = entries.iter().filter_map(|(name, _)| name.to_str());
    let mut hashes: Vec<String> = names
        .map(|name| name.strip_suffix(".info").unwrap_or(name))
        .filter(|name| is_hash(name))
        .map(str::to_owned)
        .collect();
    hashes.dedup();
    Ok(Some((vcs, hashes)))
}

/// True for what go names a repository.
pub(crate) fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Repository<'_> {
    /// What `.info` says, where it says it rightly.
    pub(crate) fn key(&self) -> Option<String> {
        let content = self.vcs.read(format!("{}.info", self.hash), MAX_TEXT).ok()?;
        let key = String::from_utf8(content).ok()?;
        let key = key.strip_suffix('\n').unwrap_or(&key);
        (hex(&sha256(key.as_bytes())) == self.hash).then(|| key.to_owned())
    }

    /// What is wrong with it, in words; `None` where nothing is proven. What go
    /// makes anew by itself (no `.info`, a file in place of the directory) is nothing.
    pub(crate) fn trouble(&self) -> Result<Option<String>, RepairError> {
        let info = format!("{}.info", self.hash);
        let is = |name: &str, kind| matches!(self.vcs.meta(name), Ok(Some(meta)) if meta.kind == kind);
        if !is(&self.hash, Kind::Dir) || self.vcs.meta(&info)?.is_none() {
            return Ok(None);
        }
        if is(&info, Kind::Dir) {
            return Ok(Some(".info is a directory".into()));
        }
        let Some(key) = self.key() else {
            return Ok(Some(".info does not name this repository".into()));
        };
        let dir = self.vcs.sub(&self.hash)?;
        // An empty one is filled by go.
        if !key.starts_with("git") || dir.entries()?.is_empty() {
            return Ok(None);
        }
        git_trouble(&dir)
    }
}

fn git_trouble(dir: &Dir) -> Result<Option<String>, RepairError> {
    let bad = |why: &str| Ok(Some(why.to_owned()));
    if !dir.read("HEAD", MAX_TEXT).is_ok_and(|head| is_reference(&head)) {
        return bad("HEAD is not a reference");
    }
    let config = dir.read("config", MAX_TEXT).ok();
    let Some(config) = config.and_then(|config| String::from_utf8(config).ok()) else {
        return bad("config cannot be read");
    };
    if !is_config(&config) {
        return bad("config is not the one that go made");
    }
    let sums = Sums(match config.contains("objectformat = sha256") {
        true => &SHA256,
        false => &SHA1_FOR_LEGACY_USE_ONLY,
    });
    let (Some(objects), Some(refs)) = (dir.find("objects")?, dir.find("refs")?) else {
        return bad("objects or refs are missing");
    };
    let mut wanted = Vec::new();
    if !packed_refs(dir, &mut wanted)? {
        return bad("packed-refs has a bad line");
    }
    if let Some(name) = bad_loose_ref(&refs, &mut wanted)? {
        return Ok(Some(format!("refs/{name} is not a reference")));
    }
    let mut indexes = Vec::new();
    let damaged = match sums.damaged_pack(&objects, &mut indexes)? {
        None => sums.damaged_object(&objects)?,
        damaged => damaged,
    };
    if let Some(name) = damaged {
        return Ok(Some(format!("objects/{name} is damaged")));
    }
    for (name, object) in &wanted {
        if !has_object(&objects, &indexes, object)? {
            return Ok(Some(format!("the object of {name} is missing")));
        }
    }
    Ok(None)
}

/// What stands in a ref or in HEAD: a hash, or the name of another ref.
fn is_reference(content: &[u8]) -> bool {
    let content = content.trim_ascii_end();
    match content.strip_prefix(b"ref: ") {
        Some(name) => name.starts_with(b"refs/") && !name.iter().any(u8::is_ascii_control),
        None => object_id(content).is_some(),
    }
}

/// The hash of an object, which may be SHA-1 or SHA-256, out of its hex.
fn object_id(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != 40 && text.len() != 64 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// go makes every repository with `[core]` and the remote `origin`; git's grammar is lines of
/// sections, `name = value` and comments.
fn is_config(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let has = |section: &str| text.lines().any(|line| line.trim().eq_ignore_ascii_case(section));
    has("[core]")
        && has("[remote \"origin\"]")
        && lines.all(|line| {
            let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '[' | '#' | ';');
            line.starts_with(starts) && !line.contains('\0')
        })
}

/// Names of refs, and the objects that they need.
type Wanted = Vec<(String, Vec<u8>)>;

/// Reads `packed-refs`; false where it is none.
fn packed_refs(dir: &Dir, wanted: &mut Wanted) -> Result<bool, RepairError> {
    let content = match dir.read("packed-refs", MAX_TEXT) {
        Err(e) if e.is_missing() => return Ok(true),
        other => other?,
    };
    for line in content.split_inclusive(|b| *b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            return Ok(false);
        };
        let (id, name) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(line.len()));
        match (line.first(), object_id(id)) {
            (None | Some(b'#'), _) => {}
            (Some(b'^'), _) if object_id(&line[1..]).is_some() => {}
            (_, Some(id)) if name.starts_with(b" refs/") => wanted.push((crate::text::safe(&name[1..]), id)),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Reads every file below `refs`; the name of one that is no reference.
fn bad_loose_ref(refs: &Dir, wanted: &mut Wanted) -> Result<Option<String>, RepairError> {
    let mut bad = None;
    refs.visit(
        &mut |here, name, path, kind| {
            if kind == Kind::File && !name.as_bytes().ends_with(b".lock") {
                let content = here.read(name, MAX_TEXT)?;
                let path = crate::text::safe(path);
                match object_id(content.trim_ascii_end()) {
                    Some(id) => wanted.push((format!("refs/{path}"), id)),
                    None if is_reference(&content) => {}
                    None => bad = Some(path),
                }
            }
            Ok(())
        },
        &mut |_, _| {},
    )?;
    Ok(bad)
}

/// Whether an object is there: in a file of its own, or by its name in the index of a pack.
fn has_object(objects: &Dir, indexes: &[Vec<u8>], object: &[u8]) -> Result<bool, RepairError> {
    let name = hex(object);
    let loose = match objects.find(&name[..2])? {
        Some(dir) => dir.meta(&name[2..])?.is_some(),
        None => false,
    };
    Ok(loose
        || indexes
            .iter()
            .any(|index| memchr::memmem::find(index, object).is_some()))
}

/// The checksums of one repository: all of them by one algorithm.
struct Sums(&'static Algorithm);

impl Sums {
    fn of(&self, mut reader: impl Read) -> io::Result<Digest> {
        struct Hasher(Context);
        impl Write for Hasher {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut hasher = Hasher(Context::new(self.0));
        io::copy(&mut reader, &mut hasher)?;
        Ok(hasher.0.finish())
    }

    /// Checks packs and their indexes, each of which ends in the checksum of all
    /// before. An index holds the checksum of its pack as well. The name of one
    /// that is damaged.
    fn damaged_pack(&self, objects: &Dir, indexes: &mut Vec<Vec<u8>>) -> Result<Option<String>, RepairError> {
        let Some(dir) = objects.find("pack")? else {
            return Ok(None);
        };
        for (name, kind) in dir.entries()? {
            let stem = name.to_str().and_then(|name| name.strip_suffix(".pack"));
            let Some(stem) = stem.filter(|_| kind == Kind::File) else {
                continue;
            };
            let index = match dir.read(format!("{stem}.idx"), MAX_INDEX) {
                Err(e) if e.is_missing() => Vec::new(),
                other => other?,
            };
            let length = self.0.output_len();
            let body = index.len().saturating_sub(length);
            let (body, sum) = index.split_at(body);
            let error = |e| RepairError::io(&dir.path().join(&name), e);
            if !index.starts_with(b"\xfftOc") || self.of(body).map_err(error)?.as_ref() != sum {
                return Ok(Some(format!("pack/{stem}.idx")));
            }
            let mut pack = dir.file(&name)?;
            let size = pack.metadata().map_err(error)?.len();
            let whole = self
                .of((&pack).take(size.saturating_sub(length as u64)))
                .map_err(error)?;
            let mut trailer = Vec::new();
            pack.read_to_end(&mut trailer).map_err(error)?;
            if whole.as_ref() != trailer || !body.ends_with(&trailer) {
                return Ok(Some(format!("pack/{stem}.pack")));
            }
            indexes.push(index);
        }
        Ok(None)
    }

    /// Loose objects are compressed and named by the checksum of what they
    /// hold. The name of one that is damaged.
    fn damaged_object(&self, objects: &Dir) -> Result<Option<String>, RepairError> {
        let entries = objects.entries()?;
        for (above, _) in entries
            .iter()
            .filter(|(name, kind)| name.len() == 2 && *kind == Kind::Dir)
        {
            let dir = objects.sub(above)?;
            for (name, kind) in dir.entries()? {
                let path = [above.as_bytes(), b"/", name.as_bytes()].concat();
                let id = object_id(&[above.as_bytes(), name.as_bytes()].concat());
                let Some(id) = id else { continue };
                if kind != Kind::File || !self.is_whole(&dir, &name, &id)? {
                    return Ok(Some(crate::text::safe(&path)));
                }
            }
        }
        Ok(None)
    }

    fn is_whole(&self, dir: &Dir, name: &OsStr, id: &[u8]) -> Result<bool, RepairError> {
        let content = flate2::read::ZlibDecoder::new(BufReader::new(dir.file(name)?));
        match self.of(content) {
            Ok(sum) => Ok(sum.as_ref() == id),
            // The decoder's own words for a stream that is none.
            Err(e) if e.raw_os_error().is_none() => Ok(false),
            Err(e) => Err(RepairError::io(&dir.path().join(name), e)),
        }
    }
}
