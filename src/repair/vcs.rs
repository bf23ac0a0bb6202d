//! Repositories that go keeps below `cache/vcs`.
//!
//! `HASH` is a bare repository, `HASH.info` says of what (`git3:URL`), and HASH
//! is the SHA-256 of just that text, so a wrong `.info` proves itself. Of a git
//! repository is read what go and git stumble over: HEAD, config, packed-refs,
//! refs, whether every ref's object is there, and the checksums that git put
//! into packs, their indexes and loose objects. No git is started for it.
//!
//! Imperfect: an object that is missing behind a commit that is there is not
//! seen (that is the one thing that `git fsck` would add, for minutes on a
//! large repository), and repositories of hg, svn, bzr and fossil are judged by
//! their `.info` only.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::RepairError;
use super::dir::{Dir, Kind};
use super::dirhash::{hex, sha256};

/// Where the repositories are, relative to GOMODCACHE.
pub(crate) const VCS: &str = "cache/vcs";
/// Text files in a repository that are larger than this are not read.
const MAX_TEXT: u64 = 64 << 20;
/// Length of SHA-1 in bytes. Repositories of SHA-256 are judged by their structure only.
const SHA1: usize = 20;

/// One repository: its hash, and the open `cache/vcs`.
pub(crate) struct Repository<'a> {
    pub(crate) vcs: &'a Dir,
    pub(crate) hash: String,
}

/// The names below `cache/vcs` that are repositories.
pub(crate) fn repositories(vcs: &Dir) -> Result<Vec<String>, RepairError> {
    let entries = vcs.entries()?;
    let mut names: Vec<String> = entries
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .map(|name| name.strip_suffix(".info").unwrap_or(name))
        .filter(|name| is_hash(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// True for what go names a repository.
pub(crate) fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Repository<'_> {
    /// What `.info` says, where it says it rightly.
    pub(crate) fn key(&self) -> Option<String> {
        let content = text(self.vcs, OsStr::new(&format!("{}.info", self.hash))).ok()?;
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
        if !key.starts_with("git") {
            return Ok(None);
        }
        let dir = self.vcs.sub(&self.hash)?;
        // An empty one is filled by go.
        if dir.entries()?.is_empty() {
            return Ok(None);
        }
        git_trouble(&dir)
    }
}

fn git_trouble(dir: &Dir) -> Result<Option<String>, RepairError> {
    if !text(dir, OsStr::new("HEAD")).is_ok_and(|head| is_ref_content(&head)) {
        return Ok(Some("HEAD is no reference".into()));
    }
    if let Some(why) = config_trouble(dir) {
        return Ok(Some(why.into()));
    }
    let Ok(objects) = dir.sub("objects") else {
        return Ok(Some("objects is missing".into()));
    };
    if !matches!(dir.meta("refs")?, Some(meta) if meta.kind == Kind::Dir) {
        return Ok(Some("refs is missing".into()));
    }
    let mut wanted = Vec::new();
    if let Some(why) = packed_refs(dir, &mut wanted)? {
        return Ok(Some(why));
    }
    if let Some(why) = loose_refs(&dir.sub("refs")?, &mut wanted)? {
        return Ok(Some(why));
    }
    let (packs, why) = packs(&objects)?;
    if let Some(why) = why {
        return Ok(Some(why));
    }
    for (name, object) in &wanted {
        if object.len() == SHA1 && !has_object(&objects, &packs, object)? {
            let name = crate::text::safe(name);
            return Ok(Some(format!("the object of {name} is missing")));
        }
    }
    loose_objects(&objects)
}

/// A ref, or HEAD: a hash, or the name of another ref.
fn is_ref_content(content: &[u8]) -> bool {
    let content = content.trim_ascii_end();
    match content.strip_prefix(b"ref: ") {
        Some(name) => name.starts_with(b"refs/") && !name.iter().any(u8::is_ascii_control),
        None => object_id(content).is_some(),
    }
}

fn object_id(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != 2 * SHA1 && text.len() != 64 {
        return None;
    }
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.chunks(2)
        .map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?))
        .collect()
}

/// go makes every repository with `[core]` and the remote `origin`; git's grammar is lines of
/// sections, `name = value` and comments.
fn config_trouble(dir: &Dir) -> Option<&'static str> {
    let Ok(content) = text(dir, OsStr::new("config")) else {
        return Some("config cannot be read");
    };
    let Ok(content) = String::from_utf8(content) else {
        return Some("config is no text");
    };
    let mut sections = Vec::new();
    for line in content.lines().map(str::trim) {
        if line.starts_with('[') {
            let Some(end) = line.find(']') else {
                return Some("config has a bad section");
            };
            sections.push(line[1..end].to_ascii_lowercase());
        } else if !line.is_empty()
            && !line.starts_with(['#', ';'])
            && (sections.is_empty()
                || !line.starts_with(|c: char| c.is_ascii_alphabetic())
                || line.contains('\0'))
        {
            return Some("config has a bad line");
        }
    }
    if !sections.iter().any(|s| s == "core") {
        return Some("config has lost its core section");
    }
    if !sections.iter().any(|s| s == "remote \"origin\"") {
        return Some("config has lost its remote");
    }
    None
}

type Wanted = Vec<(Vec<u8>, Vec<u8>)>;

fn packed_refs(dir: &Dir, wanted: &mut Wanted) -> Result<Option<String>, RepairError> {
    if dir.meta("packed-refs")?.is_none() {
        return Ok(None);
    }
    let content = text(dir, OsStr::new("packed-refs"))?;
    let bad = || Ok(Some("packed-refs has a bad line".to_owned()));
    if !content.is_empty() && !content.ends_with(b"\n") {
        return bad();
    }
    for line in content.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match line.first() {
            Some(b'#') => {}
            Some(b'^') if object_id(&line[1..]).is_some() => {}
            _ => {
                let space = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
                match object_id(&line[..space]) {
                    Some(id) if line[space..].starts_with(b" refs/") => {
                        wanted.push((line[space + 1..].to_vec(), id));
                    }
                    _ => return bad(),
                }
            }
        }
    }
    Ok(None)
}

fn loose_refs(refs: &Dir, wanted: &mut Wanted) -> Result<Option<String>, RepairError> {
    let mut bad = None;
    refs.visit(
        &mut |here, name, path, kind| {
            if kind != Kind::File || name.as_bytes().ends_with(b".lock") {
                return Ok(());
            }
            let content = text(here, name)?;
            match object_id(content.trim_ascii_end()) {
                Some(id) => wanted.push(([b"refs/", path].concat(), id)),
                None if is_ref_content(&content) => {}
                None => {
                    let path = String::from_utf8_lossy(path).into_owned();
                    bad = Some(format!("refs/{} is no reference", crate::text::safe(&path)));
                }
            }
            Ok(())
        },
        &mut |_, _| {},
    )?;
    Ok(bad)
}

/// An open pack index of version 2.
struct PackIndex {
    file: File,
    count: u64,
}

/// Opens every pack index and checks packs and indexes against the checksums in them.
fn packs(objects: &Dir) -> Result<(Vec<PackIndex>, Option<String>), RepairError> {
    let mut found = Vec::new();
    let Some(dir) = objects.find("pack")? else {
        return Ok((found, None));
    };
    for (name, kind) in dir.entries()? {
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".pack")) else {
            continue;
        };
        if kind != Kind::File {
            continue;
        }
        let index = format!("{stem}.idx");
        let bad = |name: &str| Ok((Vec::new(), Some(format!("objects/pack/{name} is damaged"))));
        let Some(pack_sum) = trailer(&dir, &name, b"PACK")? else {
            return bad(&format!("{stem}.pack"));
        };
        if dir.meta(&index)?.is_none() || trailer(&dir, OsStr::new(&index), b"\xfftOc")?.is_none() {
            return bad(&index);
        }
        match open_index(&dir, OsStr::new(&index))? {
            Some((index, sum)) if sum == pack_sum => found.push(index),
            _ => return bad(&index),
        }
    }
    Ok((found, None))
}

/// Reads a file to its end; the SHA-1 in its last 20 bytes, if it is that of all before.
fn trailer(dir: &Dir, name: &OsStr, magic: &[u8]) -> Result<Option<[u8; SHA1]>, RepairError> {
    let path = dir.path().join(name);
    let mut file = dir.file(name)?;
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut first = true;
    loop {
        let n = file.read(&mut buffer).map_err(|e| RepairError::io(&path, e))?;
        if n == 0 {
            break;
        }
        if first && !buffer[..n].starts_with(magic) {
            return Ok(None);
        }
        first = false;
        held.extend_from_slice(&buffer[..n]);
        let ready = held.len().saturating_sub(SHA1);
        context.update(&held[..ready]);
        held.drain(..ready);
    }
    let sum: [u8; SHA1] = match held.try_into() {
        Ok(sum) => sum,
        Err(_) => return Ok(None),
    };
    Ok((context.finish().as_ref() == sum).then_some(sum))
}

fn open_index(dir: &Dir, name: &OsStr) -> Result<Option<(PackIndex, [u8; SHA1])>, RepairError> {
    let path = dir.path().join(name);
    let error = |e| RepairError::io(&path, e);
    let file = dir.file(name)?;
    let size = file.metadata().map_err(error)?.len();
    let mut count = [0; 4];
    let mut sum = [0; SHA1];
    if size < 8 + 1024 + 2 * SHA1 as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut count, 8 + 255 * 4).map_err(error)?;
    file.read_exact_at(&mut sum, size - 2 * SHA1 as u64)
        .map_err(error)?;
    let count = u64::from(u32::from_be_bytes(count));
    Ok(Some((PackIndex { file, count }, sum)))
}

impl PackIndex {
    /// Binary search among the sorted names behind the table of first bytes.
    fn has(&self, object: &[u8]) -> std::io::Result<bool> {
        let (mut low, mut high) = (0, self.count);
        let mut name = [0; SHA1];
        while low < high {
            let middle = low + (high - low) / 2;
            self.file
                .read_exact_at(&mut name, 8 + 1024 + middle * SHA1 as u64)?;
            match name[..].cmp(object) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(false)
    }
}

fn has_object(objects: &Dir, packs: &[PackIndex], object: &[u8]) -> Result<bool, RepairError> {
    let name = hex(object);
    if let Some(dir) = objects.find(&name[..2])?
        && dir.meta(&name[2..])?.is_some()
    {
        return Ok(true);
    }
    for pack in packs {
        if pack.has(object).map_err(|e| RepairError::io(objects.path(), e))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Loose objects are compressed and named by the SHA-1 of what they hold.
fn loose_objects(objects: &Dir) -> Result<Option<String>, RepairError> {
    for (above, kind) in objects.entries()? {
        let Some(first) = above.to_str().filter(|name| name.len() == 2 && kind == Kind::Dir) else {
            continue;
        };
        let dir = objects.sub(&above)?;
        for (name, kind) in dir.entries()? {
            let Some(id) = name
                .to_str()
                .and_then(|rest| object_id(format!("{first}{rest}").as_bytes()))
            else {
                continue;
            };
            if id.len() == SHA1 && (kind != Kind::File || !object_is_whole(&dir, &name, &id)?) {
                return Ok(Some(format!("object {} is damaged", hex(&id))));
            }
        }
    }
    Ok(None)
}

fn object_is_whole(dir: &Dir, name: &OsStr, id: &[u8]) -> Result<bool, RepairError> {
    let file = dir.file(name)?;
    let mut content = flate2::read::ZlibDecoder::new(BufReader::new(file));
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(context.finish().as_ref() == id),
            Ok(n) => context.update(&buffer[..n]),
            Err(e) if e.raw_os_error().is_none() => return Ok(false),
            Err(e) => return Err(RepairError::io(&dir.path().join(name), e)),
        }
    }
}

fn text(dir: &Dir, name: &OsStr) -> Result<Vec<u8>, RepairError> {
    let mut content = Vec::new();
    dir.file(name)?
        .take(MAX_TEXT)
        .read_to_end(&mut content)
        .map_err(|e| RepairError::io(&dir.path().join(name), e))?;
    Ok(content)
}
