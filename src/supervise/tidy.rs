//! Doubts an exit status of 0 of `go mod tidy`.
//!
//! tidy can swallow a network error and write another result: the only trace
//! on stderr is a package that it was `finding` and never `found`. Then the
//! files are put back and tidy runs again; the same bytes twice are the answer.
//!
//! Known limitations: without the relay a lookup that was answered and
//! one that failed look the same where go says nothing of them, so such an
//! import costs a second run.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use gofix_shim::{Invocation, split_goflags};

use crate::sys::lock::flock;
use crate::{
    diagnose::{Input, Verdict, diagnose},
    go::{env::GoEnv, workspace},
};

/// The packages that were looked for and not found, in order, without those of which go itself says why: with
/// `-e` that is an answer, unless it is a fault.
pub(super) fn not_found(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut finding = BTreeSet::new();
    for line in text.lines() {
        if let Some(package) = line.strip_prefix("go: finding module for package ") {
            finding.insert(package.trim().to_owned());
        } else if let Some((package, _)) = line
            .strip_prefix("go: found ")
            .and_then(|rest| rest.split_once(" in "))
        {
            finding.remove(package.trim());
        }
    }
    finding
        .into_iter()
        .filter(|package| !is_answered(&text, package))
        .collect()
}

/// True where go says something of this package that is no fault.
fn is_answered(text: &str, package: &str) -> bool {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let said = line.trim_start().trim_start_matches("go: ").strip_prefix(package);
        if said.is_some_and(|rest| rest.starts_with(": ")) {
            // What a VCS or a server had to say follows on lines of its own.
            let more = lines.clone().take_while(|line| !line.starts_with("go: "));
            let block = std::iter::once(line).chain(more).collect::<Vec<_>>().join("\n");
            let input = Input {
                stderr: block.as_bytes(),
                stdout_json: None,
            };
            return matches!(diagnose(&input).verdict, Verdict::Final | Verdict::Unknown);
        }
    }
    false
}

/// The files that a command may write, as they stood at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

/// go.mod and go.sum larger than this are not what they seem.
const FILE_LIMIT: u64 = 64 << 20;

impl Snapshot {
    /// Of the go.mod and go.sum that `mod tidy` works on. `None` where there
    /// is no main module, or a file that cannot be read.
    pub(super) fn take(invocation: &Invocation, env: &GoEnv) -> Option<Self> {
        let go_mod = main_module(invocation, env)?;
        let go_sum = go_mod.with_extension("sum");
        Self::of([go_mod, go_sum])
    }

    fn of(paths: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let files = paths
            .into_iter()
            .map(|path| read(&path).ok().map(|content| (path, content)));
        Some(Self {
            files: files.collect::<Option<_>>()?,
        })
    }

    /// The same files as they stand now.
    pub(super) fn again(&self) -> Option<Self> {
        Self::of(self.files.iter().map(|(path, _)| path.clone()))
    }

    /// Puts these contents back, under go's own locks: all of them, or none
    /// where one no longer holds what stands in `written`. Links are followed,
    /// as go does when it writes.
    ///
    /// # Errors
    /// Where a lock cannot be had before `deadline`, a file cannot be written,
    /// or somebody else has changed one.
    pub(super) fn put_back(&self, written: &Self, env: &GoEnv, deadline: Instant) -> io::Result<()> {
        let side = env.gomodcache().and_then(|cache| {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(cache.join("cache/lock"))
                .ok()
        });
        if let Some(side) = &side {
            lock(side, deadline)?;
        }
        let mut changes = Vec::new();
        for ((path, before), (_, after)) in self.files.iter().zip(&written.files) {
            if before != after {
                let (before, after) = (before.as_deref(), after.as_deref());
                changes.push(Change::hold(path, before, after, deadline)?);
            }
        }
        for (at, change) in changes.iter().enumerate() {
            if let Err(error) = change.make() {
                // Halves of two states are worse than either.
                for made in &changes[..=at] {
                    made.undo();
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// One file that goes back to what it was.
struct Change<'a> {
    /// Behind every link.
    path: PathBuf,
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    /// Open and locked, where it is there.
    file: Option<File>,
}

impl<'a> Change<'a> {
    fn hold(
        path: &Path,
        before: Option<&'a [u8]>,
        after: Option<&'a [u8]>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut now = None;
        if let Some(mut file) = file.as_ref() {
            lock(file, deadline)?;
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            now = Some(content);
        }
        if now.as_deref() != after {
            return Err(io::Error::other("it was changed meanwhile"));
        }
        Ok(Self {
            path,
            before,
            after,
            file,
        })
    }

    fn make(&self) -> io::Result<()> {
        match (self.before, &self.file) {
            (Some(before), Some(file)) => overwrite(file, before),
            (Some(before), None) => fs::write(&self.path, before),
            // It was not there before the run that wrote it.
            (None, _) => remove_written(&self.path, self.after.unwrap_or_default()),
        }
    }

    fn undo(&self) {
        // What fails here failed before, and is told.
        let _ = match (self.after, &self.file) {
            (Some(after), Some(file)) if self.before.is_some() => overwrite(file, after),
            (Some(after), _) => fs::write(&self.path, after),
            (None, _) => remove_written(&self.path, self.before.unwrap_or_default()),
        };
    }
}

/// Removes a file that was not there before a run of go, if it still holds
/// what that run wrote.
fn remove_written(path: &Path, written: &[u8]) -> io::Result<()> {
    match fs::read(path) {
        Ok(now) if now == written => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// As go writes it: in place, under the lock.
fn overwrite(mut file: &File, content: &[u8]) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_data()
}

/// Takes a lock as go does, but not for ever.
fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    };
    match flock(file, left)? {
        true => Ok(()),
        false => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > FILE_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// The directory that go works in.
pub(super) fn working_dir(invocation: &Invocation) -> Option<PathBuf> {
    workspace::working_dir(invocation.chdir.as_deref())
}

/// The go.mod of the main module: `-modfile`, or the nearest one upwards.
pub(super) fn main_module(invocation: &Invocation, env: &GoEnv) -> Option<PathBuf> {
    let dir = working_dir(invocation)?;
    if let Some(file) = flag(invocation, env, "modfile").filter(|file| !file.is_empty()) {
        return Some(dir.join(file));
    }
    workspace::above(&dir, "go.mod")
}

/// The value of a flag: of the command line, else of GOFLAGS.
pub(super) fn flag(invocation: &Invocation, env: &GoEnv, name: &str) -> Option<OsString> {
    invocation.flag(name).or_else(|| {
        let words = split_goflags(&env.get("GOFLAGS").0);
        words.iter().rev().find_map(|word| {
            let word = word.to_str()?;
            let word = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
            match word.split_once('=') {
                Some((found, value)) => (found == name).then(|| value.into()),
                None => (word == name).then(OsString::new),
            }
        })
    })
}

/// True for a switch that is on: of the command line, else of GOFLAGS.
pub(super) fn switch(invocation: &Invocation, env: &GoEnv, name: &str) -> bool {
    flag(invocation, env, name).is_some_and(|value| gofix_shim::is_on(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_without_found_is_a_doubt() {
        let text = b"go: finding module for package a/x\ngo: finding module for package b/y\n\
            go: downloading b v1\ngo: found b/y in b v1.0.0\n";
        assert_eq!(not_found(text), ["a/x"]);
        assert!(not_found(b"go: downloading a v1\n").is_empty());
    }

    #[test]
    fn what_go_itself_explains_is_no_doubt() {
        let said = |what: &str| {
            not_found(
                format!("go: finding module for package a/x\ngo: m imports\n\ta/x: {what}\n").as_bytes(),
            )
        };
        for answer in [
            "package a/x provided by a at latest version v0.1.0 but not at required version v0.2.0-pre",
            "cannot find module providing package a/x",
            "cannot find module providing package a/x: module a/x: reading http://p/a/x/@v/list: 404 Not Found",
            "module a@latest found (v1.0.0), but does not contain package a/x",
        ] {
            assert!(said(answer).is_empty(), "{answer}");
        }
        for fault in [
            "cannot find module providing package a/x: module a/x: reading http://p/a/x/@v/list: 503 Service Unavailable",
            "cannot find module providing package a/x: module a/x: Get \"http://p/a/x/@v/list\": EOF",
            "cannot find module providing package a/x: module a/x: git ls-remote -q https://h/r: exit status 128:\n\tfatal: \
             unable to access 'https://h/r/': Could not resolve host: h",
        ] {
            assert_eq!(said(fault), ["a/x"], "{fault}");
        }
        // Another package's words are not this one's.
        assert_eq!(
            not_found(b"go: finding module for package a/x\ngo: m imports\n\ta/x/y: no\n"),
            ["a/x"]
        );
    }

    #[test]
    fn files_are_put_back_only_where_they_hold_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let (go_mod, go_sum) = (dir.path().join("go.mod"), dir.path().join("go.sum"));
        fs::write(&go_mod, "before\n").unwrap();
        let before = Snapshot::of([go_mod.clone(), go_sum.clone()]).unwrap();
        fs::write(&go_mod, "after, longer\n").unwrap();
        fs::write(&go_sum, "sum\n").unwrap();
        let after = before.again().unwrap();
        let env = GoEnv::load(&|_| None, None);
        let deadline = Instant::now() + std::time::Duration::from_secs(60);

        before.put_back(&after, &env, deadline).unwrap();
        assert_eq!(fs::read_to_string(&go_mod).unwrap(), "before\n");
        assert!(!go_sum.exists());

        // Both or none, whichever was changed.
        fs::write(&go_mod, "after, longer\n").unwrap();
        fs::write(&go_sum, "somebody else\n").unwrap();
        before.put_back(&after, &env, deadline).unwrap_err();
        assert_eq!(fs::read_to_string(&go_mod).unwrap(), "after, longer\n");
        assert_eq!(fs::read_to_string(&go_sum).unwrap(), "somebody else\n");
        fs::remove_file(&go_sum).unwrap();
        before.put_back(&after, &env, deadline).unwrap_err();
        assert!(!go_sum.exists());
        assert_eq!(fs::read_to_string(&go_mod).unwrap(), "after, longer\n");

        // Links stay links, and what they lead to is put back.
        let real = dir.path().join("real.sum");
        for (link, to) in [(&go_mod, dir.path().join("real.mod")), (&go_sum, real.clone())] {
            let _ = fs::remove_file(link);
            std::os::unix::fs::symlink(to, link).unwrap();
        }
        fs::write(&go_mod, "after, longer\n").unwrap();
        fs::write(&go_sum, "sum\n").unwrap();
        before.put_back(&after, &env, deadline).unwrap();
        assert_eq!(fs::read_to_string(&go_mod).unwrap(), "before\n");
        assert!(go_sum.is_symlink() && go_mod.is_symlink() && !real.exists());

        fs::write(&go_mod, "somebody else\n").unwrap();
        before.put_back(&after, &env, deadline).unwrap_err();
        assert_eq!(fs::read_to_string(&go_mod).unwrap(), "somebody else\n");
    }
}
