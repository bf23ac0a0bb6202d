//! The go.mod and go.work in force for a directory, and the files beside them.
//!
//! Known limitations: of a go.work only its `use` lines are read, line by
//! line; go's own parser is stricter.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory that go works in, as `os.Getwd` names it behind `-C`: `$PWD`
/// where that is the directory, and its links not resolved then.
pub(crate) fn working_dir(chdir: Option<&OsStr>) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let there = match chdir {
        Some(dir) => fs::canonicalize(here.join(dir)).ok()?,
        None => here,
    };
    let named = std::env::var_os("PWD").map(PathBuf::from);
    let is_there = |named: &PathBuf| {
        let both = (fs::metadata(named), fs::metadata(&there));
        named.is_absolute() && matches!(both, (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    Some(named.filter(is_there).unwrap_or(there))
}

/// The nearest file of this name, from a directory upwards.
pub(crate) fn above(dir: &Path, name: &str) -> Option<PathBuf> {
    dir.ancestors()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// The go.work in force. `gowork` is GOWORK: empty to look upwards, `off`, or a path.
pub(crate) fn go_work(dir: &Path, gowork: &OsStr) -> Option<PathBuf> {
    match gowork.as_encoded_bytes() {
        b"off" => None,
        b"" => above(dir, "go.work"),
        _ => Some(gowork.into()),
    }
}

/// The go.mod files of the modules that a go.work uses.
pub(crate) fn go_mods(go_work: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(go_work).unwrap_or_default();
    let root = go_work.parent().unwrap_or_else(|| Path::new("/"));
    let used = used(&text).map(|dir| root.join(dir).join("go.mod"));
    used.collect()
}

/// Where the hashes of a go.mod or a go.work stand: beside it.
pub(crate) fn sums_of(file: &Path) -> PathBuf {
    // `-modfile=other.mod` has other.sum, GOWORK=other.work has other.work.sum.
    file.with_extension(if file.extension() == Some(OsStr::new("work")) {
        "work.sum"
    } else {
        "sum"
    })
}

/// The go.sum files in force: the main module's, and in a workspace
/// `go.work.sum` and those of its modules.
pub(crate) fn go_sums(go_mod: Option<PathBuf>, go_work: Option<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::from_iter(go_mod);
    if let Some(go_work) = go_work {
        files.extend(go_mods(&go_work));
        files.push(go_work);
    }
    let mut sums: Vec<_> = files.iter().map(|file| sums_of(file)).collect();
    sums.sort();
    sums.dedup();
    sums
}

/// The directories on the `use` lines of a go.work.
fn used(text: &str) -> impl Iterator<Item = &str> {
    let mut block = false;
    text.lines().filter_map(move |line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        let dir = match (block, line.strip_prefix("use")) {
            (true, _) if line == ")" => {
                block = false;
                return None;
            }
            (true, _) => line,
            (false, Some(rest)) if rest.trim() == "(" => {
                block = true;
                return None;
            }
            (false, Some(rest)) if rest.starts_with([' ', '\t', '"', '`']) => rest.trim(),
            _ => return None,
        };
        (!dir.is_empty()).then(|| dir.trim_matches(['"', '`']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_brings_the_sums_of_its_modules() {
        let text = "go 1.21\n\nuse ./one // first\nuse (\n\t./two\n\t\"./thr ee\"\n\t.\n)\nuse\t`../four`\nreplace a => ./b\n";
        let dirs: Vec<_> = used(text).collect();
        assert_eq!(dirs, ["./one", "./two", "./thr ee", ".", "../four"]);
        let top = tempfile::tempdir().unwrap();
        let at = |file: &str| top.path().join(file);
        fs::create_dir_all(at("one/deep")).unwrap();
        fs::write(at("go.work"), "use ./one\nuse ./two\n").unwrap();
        fs::write(at("one/go.mod"), "module example.com/one\n").unwrap();
        let deep = at("one/deep");
        let sums = |gowork: &str| go_sums(above(&deep, "go.mod"), go_work(&deep, OsStr::new(gowork)));
        assert_eq!(
            sums(""),
            [at("go.work.sum"), at("one/go.sum"), at("./two/go.sum")]
        );
        assert_eq!(sums("off"), [at("one/go.sum")]);
        let named = at("other.work");
        assert_eq!(
            sums(named.to_str().unwrap()),
            [at("one/go.sum"), at("other.work.sum")]
        );
    }
}
