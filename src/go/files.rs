//! Whether a body is what was asked for: a captive portal's page is no module.
//!
//! The checks are those that need no hash and no unpacking; go makes those
//! itself. A `.mod` is held to having a `module` directive and closed blocks,
//! a `.zip` to a central directory in which every name has the right prefix.

use std::io;

use serde::Deserialize;

use super::protocol::{Kind, Wanted, is_canonical};
use crate::sys::spool::Body;

/// The largest body of each kind that is read at all.
pub(crate) fn limit(kind: &Kind) -> u64 {
    match kind {
        Kind::Info | Kind::Latest | Kind::SumdbSupported | Kind::SumdbLookup | Kind::SumdbLatest => 1 << 20,
        Kind::SumdbTile(_) => 8 << 20,
        // Go's own limit for a go.mod file.
        Kind::Mod => 16 << 20,
        Kind::List => 32 << 20,
        // Go's own limit for a zip, and the one byte more at which go says so.
        Kind::Zip | Kind::Other => ZIP_LIMIT + 1,
    }
}

/// Go's `codehost.MaxZipFile`.
const ZIP_LIMIT: u64 = 500 << 20;
/// A go.mod or list is looked at up to here; the rest is taken on trust.
const TEXT_LIMIT: usize = 1 << 20;

/// Says what is wrong with a body, in the words that go to the user; `None`
/// where it is plausible.
pub(crate) fn complaint(wanted: &Wanted, body: &Body) -> Option<String> {
    let verdict = match &wanted.kind {
        Kind::Zip => zip(wanted, body),
        Kind::Other => return None,
        Kind::SumdbTile(Some(len)) if body.len() != *len => Err(Bad::Text(format!(
            "tile of {} bytes instead of {len}",
            body.len()
        ))),
        kind => match body.head(TEXT_LIMIT) {
            Ok(text) => match kind {
                Kind::Info => info(&text, wanted.version.as_deref()),
                Kind::Latest => info(&text, None),
                Kind::Mod => {
                    let is_cut = body.len() > text.len() as u64;
                    go_mod_complaint(&text, wanted.module.as_deref(), is_cut).map_or(Ok(()), bad)
                }
                Kind::List => list(&text, body.len() > text.len() as u64),
                Kind::SumdbLookup => lookup(&text),
                Kind::SumdbLatest => note(&text),
                Kind::SumdbSupported => supported(&text),
                Kind::SumdbTile(_) | Kind::Zip | Kind::Other => Ok(()),
            },
            Err(err) => Err(Bad::Io(err)),
        },
    };
    match verdict {
        Ok(()) => None,
        Err(Bad::Text(text)) => Some(text),
        Err(Bad::Io(err)) => Some(format!("unreadable: {err}")),
    }
}

enum Bad {
    Text(String),
    Io(io::Error),
}

impl From<io::Error> for Bad {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

fn bad<T>(text: impl Into<String>) -> Result<T, Bad> {
    Err(Bad::Text(text.into()))
}

/// A page for a browser, whatever was asked for.
fn is_page(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.trim_ascii_start().starts_with(b"<")
}

/// Says why a body is not the `.info` of this version; `None` where it may be.
pub(crate) fn info_complaint(text: &[u8], version: &str) -> Option<String> {
    match info(text, Some(version)) {
        Ok(()) => None,
        Err(Bad::Text(text)) => Some(text),
        Err(Bad::Io(error)) => Some(error.to_string()),
    }
}

fn info(text: &[u8], version: Option<&str>) -> Result<(), Bad> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "Version", alias = "version")]
        version: String,
    }
    if is_page(text) {
        return bad("invalid character '<' looking for beginning of value");
    }
    match serde_json::from_slice::<Info>(text) {
        Ok(info) => match version {
            Some(version) if is_canonical(version) && info.version != version => bad(format!(
                "info for version {} instead of requested version",
                crate::text::safe(&info.version)
            )),
            _ => Ok(()),
        },
        Err(err) if err.is_eof() => bad("unexpected end of JSON input"),
        Err(err) => bad(format!("not a version's JSON: {}", err.classify_text())),
    }
}

trait ClassifyText {
    fn classify_text(&self) -> &'static str;
}

impl ClassifyText for serde_json::Error {
    /// The kind alone: the whole text may quote the body.
    fn classify_text(&self) -> &'static str {
        match self.classify() {
            serde_json::error::Category::Data => "no Version in it",
            _ => "syntax error",
        }
    }
}

/// Says why a file cannot be the go.mod of a dependency; `None` where it may be one. `is_cut`: there is more of it.
///
/// Much less than go's parser, which reads a dependency with unknown directives ignored: only what is no go.mod by any
/// reading is called bad.
pub(crate) fn go_mod_complaint(text: &[u8], module: Option<&str>, is_cut: bool) -> Option<&'static str> {
    if is_page(text) {
        return Some("a web page instead of a go.mod");
    }
    // Go does not mind what encoding a comment is in.
    if text.contains(&0) {
        return Some("bytes that are no text instead of a go.mod");
    }
    // Toolchains have no go.mod to speak of; go never reads it.
    if module == Some("golang.org/toolchain") {
        return None;
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut depth = 0_i32;
    let mut found = false;
    for line in text.split(|b| *b == b'\n') {
        let comment = memchr::memmem::find(line, b"//").unwrap_or(line.len());
        let line = line[..comment].trim_ascii();
        found |= depth == 0
            && line
                .strip_prefix(b"module")
                .and_then(|rest| rest.first())
                .is_some_and(|next| b" \t\"`(".contains(next));
        if line.ends_with(b"(") {
            depth += 1;
        } else if line == b")" {
            depth -= 1;
        }
    }
    if !found {
        Some("no module line in the go.mod")
    } else if depth > 0 && !is_cut {
        Some("the go.mod ends inside a block")
    } else {
        None
    }
}

/// Go ignores lines that are no versions, so only a body without any is bad.
fn list(text: &[u8], cut: bool) -> Result<(), Bad> {
    if is_page(text) {
        return bad("a web page instead of a list of versions");
    }
    if std::str::from_utf8(text).is_err_and(|err| !cut || err.error_len().is_some()) || text.contains(&0) {
        return bad("bytes that are no text instead of a list of versions");
    }
    let mut lines = text
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .peekable();
    if lines.peek().is_none()
        || lines.any(|line| line.first() == Some(&b'v') && line.get(1).is_some_and(u8::is_ascii_digit))
    {
        Ok(())
    } else {
        bad("no version in the list of versions")
    }
}

fn supported(text: &[u8]) -> Result<(), Bad> {
    if is_page(text) {
        bad("a web page instead of a checksum database")
    } else {
        Ok(())
    }
}

fn lookup(text: &[u8]) -> Result<(), Bad> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return bad("no record of a checksum database");
    }
    note(text)
}

/// A signed note ends in a line `— name signature`.
fn note(text: &[u8]) -> Result<(), Bad> {
    let signed = text.ends_with(b"\n") && memchr::memmem::rfind(text, "\n\n\u{2014} ".as_bytes()).is_some();
    if signed {
        Ok(())
    } else {
        bad("no signed tree of a checksum database")
    }
}

/// Reads the central directory and checks every name in it.
fn zip(wanted: &Wanted, body: &Body) -> Result<(), Bad> {
    let (Some(module), Some(version)) = (&wanted.module, &wanted.version) else {
        return Ok(());
    };
    if body.len() > ZIP_LIMIT {
        // Go says `downloaded zip file too large` itself.
        return Ok(());
    }
    let mut begin = [0; 64];
    let length = body.len().min(64) as usize;
    if body.read_exact_at(&mut begin[..length], 0).is_ok() && is_page(&begin[..length]) {
        return bad("a web page instead of a zip");
    }
    let prefix = format!("{module}@{version}/");
    let directory = find_directory(body)?;
    let mut at = directory.start;
    let mut name = Vec::new();
    for _ in 0..directory.entries {
        let mut header = [0_u8; 46];
        body.read_exact_at(&mut header, at)
            .or_else(|_| bad("zip: not a valid zip file"))?;
        if header[..4] != *b"PK\x01\x02" {
            return bad("zip: not a valid zip file");
        }
        let name_len = usize::from(u16_at(&header, 28));
        name.resize(name_len, 0);
        body.read_exact_at(&mut name, at + 46)
            .or_else(|_| bad("zip: not a valid zip file"))?;
        if !name.starts_with(prefix.as_bytes()) {
            let name = crate::text::safe(String::from_utf8_lossy(&name).as_ref());
            return bad(format!("zip for {module}@{version} has unexpected file {name}"));
        }
        at += 46 + (name_len + usize::from(u16_at(&header, 30)) + usize::from(u16_at(&header, 32))) as u64;
        if at > directory.end {
            return bad("zip: not a valid zip file");
        }
    }
    Ok(())
}

struct Directory {
    start: u64,
    end: u64,
    entries: u64,
}

/// Finds the end-of-central-directory record, in its zip64 form too.
fn find_directory(body: &Body) -> Result<Directory, Bad> {
    const RECORD: usize = 22;
    const LONGEST: u64 = (RECORD + 0xffff) as u64;
    let tail_start = body.len().saturating_sub(LONGEST);
    let mut tail = vec![0_u8; usize::try_from(body.len() - tail_start).unwrap_or(0)];
    body.read_exact_at(&mut tail, tail_start)?;
    let whole = |at: &usize| {
        tail.get(*at..*at + RECORD)
            .is_some_and(|record| *at + RECORD + usize::from(u16_at(record, 20)) <= tail.len())
    };
    let Some(at) = memchr::memmem::rfind_iter(&tail, b"PK\x05\x06").find(whole) else {
        return bad("zip: not a valid zip file");
    };
    let record = &tail[at..];
    let end = tail_start + at as u64;
    let mut entries = u64::from(u16_at(record, 10));
    let mut size = u64::from(u32_at(record, 12));
    let mut offset = u64::from(u32_at(record, 16));
    let mut end_of_directory = end;
    if entries == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
        let mut locator = [0_u8; 20];
        let found = end
            .checked_sub(20)
            .is_some_and(|start| body.read_exact_at(&mut locator, start).is_ok());
        if found && locator[..4] == *b"PK\x06\x07" {
            let start = u64_at(&locator, 8);
            let mut record = [0_u8; 56];
            body.read_exact_at(&mut record, start)
                .or_else(|_| bad("zip: not a valid zip file"))?;
            if record[..4] != *b"PK\x06\x06" {
                return bad("zip: not a valid zip file");
            }
            entries = u64_at(&record, 32);
            size = u64_at(&record, 40);
            offset = u64_at(&record, 48);
            end_of_directory = start;
        }
    }
    // Something may stand in front of the archive; Go reckons from the end too.
    let Some(start) = end_of_directory.checked_sub(size) else {
        return bad("zip: not a valid zip file");
    };
    if offset > start {
        return bad("zip: not a valid zip file");
    }
    // Or behind the directory: where one begins at the place that is told, that is it.
    let mut signature = [0_u8; 4];
    let told =
        offset < start && body.read_exact_at(&mut signature, offset).is_ok() && signature == *b"PK\x01\x02";
    let start = if told { offset } else { start };
    Ok(Directory {
        start,
        end: end_of_directory,
        entries,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn ask(path: &str, body: &[u8]) -> Option<String> {
        complaint(&Wanted::parse(path).unwrap(), &Body::from_bytes(body.to_vec()))
    }

    const PAGE: &[u8] = b"\n <!DOCTYPE html><html>Please log in</html>";

    #[test]
    fn a_portal_is_nothing_that_go_asks_for() {
        for path in [
            "m/@v/list",
            "m/@latest",
            "m/@v/v1.0.0.info",
            "m/@v/v1.0.0.mod",
            "m/@v/v1.0.0.zip",
            "sumdb/s/supported",
            "sumdb/s/lookup/m@v1.0.0",
            "sumdb/s/latest",
            "sumdb/s/tile/8/0/001",
        ] {
            assert!(ask(path, PAGE).is_some(), "{path}");
        }
    }

    #[test]
    fn info_is_json_of_that_version() {
        let good = br#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z","Origin":{"VCS":"git"}}"#;
        assert_eq!(ask("m/@v/v1.0.0.info", good), None);
        assert_eq!(ask("m/@latest", good), None);
        // A branch resolves to some version.
        assert_eq!(ask("m/@v/master.info", good), None);
        for bad in [
            &good[..20],
            b"",
            b"{}",
            b"[]",
            br#"{"Version":"v1.0.1"}"#,
            br#"{"Version":7}"#,
        ] {
            assert!(ask("m/@v/v1.0.0.info", bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn mod_is_a_go_mod() {
        for good in [
            "module m\n",
            "// Deprecated: x\nmodule m // y\n\ngo 1.20\n",
            "module \"m\"\r\n",
            "module m\nrequire (\n\ta v1.0.0\n)\n",
            "\n\nmodule (\n\tm\n)\n",
            "\u{feff}module m\n",
            "go 1.2\nmodule m",
            "module m\nretract [v1.0.0, v1.1.0]\nreplace b => ../b\nfuture directive\n",
        ] {
            assert_eq!(ask("m/@v/v1.0.0.mod", good.as_bytes()), None, "{good}");
        }
        for bad in [
            "",
            "modul",
            "Please log in",
            "{\"a\": 1}",
            "// module m\n",
            "module m\nrequire (\n\ta v1.0.0\n",
            "module m\n\0",
            "module\n",
            "go 1.21\n",
        ] {
            assert!(ask("m/@v/v1.0.0.mod", bad.as_bytes()).is_some(), "{bad}");
        }
        // Comments in whatever encoding: GBK, Latin-1.
        for comment in [&b"// \xd6\xd0\xce\xc4"[..], b"// caf\xe9"] {
            let text = [b"module m\n", comment, b"\n"].concat();
            assert_eq!(ask("m/@v/v1.0.0.mod", &text), None);
        }
        assert_eq!(
            ask(
                "golang.org/toolchain/@v/v0.0.1-go1.22.0.linux-amd64.mod",
                b"golang.org/toolchain\n"
            ),
            None
        );
    }

    #[test]
    fn lists() {
        for good in [
            "",
            "\n",
            "v1.0.0\nv1.1.0\n",
            "v1.0.0 2020-01-01T00:00:00Z",
            "odd\nv1.0.0\n",
        ] {
            assert_eq!(ask("m/@v/list", good.as_bytes()), None, "{good}");
        }
        for bad in ["Please log in", "{\"error\":1}", "v\0"] {
            assert!(ask("m/@v/list", bad.as_bytes()).is_some(), "{bad}");
        }
    }

    #[test]
    fn files_of_the_checksum_database() {
        let note = "go.sum database tree\n7\nAAAA=\n\n\u{2014} sum.example Az3grlgtzPICa5OS8npVmf1Myq/5IZ\n";
        let record = format!("5\nm v1.0.0 h1:x=\nm v1.0.0/go.mod h1:y=\n\n{note}");
        assert_eq!(ask("sumdb/s/latest", note.as_bytes()), None);
        assert_eq!(ask("sumdb/s/lookup/m@v1.0.0", record.as_bytes()), None);
        assert!(ask("sumdb/s/lookup/m@v1.0.0", &record.as_bytes()[..40]).is_some());
        assert_eq!(ask("sumdb/s/supported", b""), None);
        assert_eq!(ask("sumdb/s/tile/8/0/001", &[0; 8192]), None);
        assert!(ask("sumdb/s/tile/8/0/001", &[0; 8191]).is_some());
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(b"package m\n").unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn zip_has_its_directory_and_the_right_prefix() {
        let good = archive(&["m@v1.0.0/go.mod", "m@v1.0.0/a/b.go"]);
        assert_eq!(ask("m/@v/v1.0.0.zip", &good), None);
        let mut commented = good.clone();
        let len = commented.len();
        commented[len - 2] = 3;
        commented.extend_from_slice(b"abc");
        assert_eq!(ask("m/@v/v1.0.0.zip", &commented), None);
        assert!(ask("m/@v/v1.0.1.zip", &good).unwrap().contains("unexpected file"));
        // Go takes an archive with something in front of it, or behind its directory.
        assert_eq!(
            ask("m/@v/v1.0.0.zip", &[b"#!/bin/sh\n", &good[..]].concat()),
            None
        );
        let end = good.len() - 22;
        assert_eq!(
            ask(
                "m/@v/v1.0.0.zip",
                &[&good[..end], b"stray", &good[end..]].concat()
            ),
            None
        );
        let stray = archive(&["m@v1.0.0/go.mod", "other"]);
        assert_eq!(
            ask("m/@v/v1.0.0.zip", &stray).as_deref(),
            Some("zip for m@v1.0.0 has unexpected file other")
        );
        for cut in [0, 1, 21, good.len() / 2, good.len() - 1] {
            assert!(ask("m/@v/v1.0.0.zip", &good[..cut]).is_some(), "{cut}");
        }
    }

    #[test]
    fn a_zip_of_more_files_than_sixteen_bits_count() {
        let names: Vec<String> = (0..70_000).map(|n| format!("m@v1.0.0/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let zip = archive(&names);
        assert_eq!(ask("m/@v/v1.0.0.zip", &zip), None);
    }
}
