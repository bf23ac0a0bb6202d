//! Whether a body is what was asked for: a captive portal's page is no module.
//!
//! The checks are those that need no hash and no unpacking; go makes those
//! itself. A `.mod` is held to having a `module` directive and closed blocks,
//! a `.zip` to a central directory in which every name has the right prefix.

use std::fmt;
use std::io::{self, BufReader, Read};

use flate2::read::DeflateDecoder;
use serde_json::Value;

use super::mod_file;
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
                Kind::Info => info(&text, wanted.version.as_deref()).or_else(|fault| bad(fault.to_string())),
                Kind::Latest => info(&text, None).or_else(|fault| bad(fault.to_string())),
                Kind::Mod => {
                    let is_cut = body.len() > text.len() as u64;
                    go_mod_complaint(&text, wanted.module.as_deref(), is_cut).map_or(Ok(()), bad)
                }
                Kind::List => list(&text),
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

/// Why a body is not the `.info` of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InfoFault {
    /// Go cannot read it, and asks again for one that is in its cache.
    NoJson(&'static str),
    /// Go believes it.
    OtherVersion(String),
}

impl fmt::Display for InfoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJson(why) => f.write_str(why),
            Self::OtherVersion(version) => {
                let version = crate::text::safe(version);
                write!(f, "info for version {version} instead of requested version")
            }
        }
    }
}

/// Reads an `.info` as go does: a key in any case, any bytes inside a string. What is asked for by another name than
/// a canonical version may have any version.
pub(crate) fn info(text: &[u8], version: Option<&str>) -> Result<(), InfoFault> {
    if is_page(text) {
        return Err(InfoFault::NoJson(
            "invalid character '<' looking for beginning of value",
        ));
    }
    let text = String::from_utf8_lossy(text);
    let found: Value = serde_json::from_str(&text).map_err(|err| {
        InfoFault::NoJson(if err.is_eof() {
            "unexpected end of JSON input"
        } else {
            "not a version's JSON: syntax error"
        })
    })?;
    let no_version = InfoFault::NoJson("not a version's JSON: no Version in it");
    let field = match &found {
        Value::Object(fields) => fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("version")),
        Value::Null => None,
        _ => return Err(no_version),
    };
    let found = match field {
        Some((_, Value::String(version))) => version.as_str(),
        None | Some((_, Value::Null)) => "",
        Some(_) => return Err(no_version),
    };
    match version {
        Some(version) if is_canonical(version) && found != version => {
            Err(InfoFault::OtherVersion(found.to_owned()))
        }
        _ if found.is_empty() => Err(no_version),
        _ => Ok(()),
    }
}

/// Says why a file cannot be the go.mod of a dependency; `None` where it may be one. `is_cut`: there is more of it.
pub(crate) fn go_mod_complaint(text: &[u8], module: Option<&str>, is_cut: bool) -> Option<&'static str> {
    if is_page(text) {
        return Some("a web page instead of a go.mod");
    }
    if text.contains(&0) {
        return Some("bytes that are no text instead of a go.mod");
    }
    // Toolchains have no go.mod to speak of; go never reads it.
    if module == Some("golang.org/toolchain") {
        return None;
    }
    mod_file::complaint(text, is_cut)
}

/// Go ignores lines that are no versions, so only a body without any is bad.
fn list(text: &[u8]) -> Result<(), Bad> {
    if is_page(text) {
        return bad("a web page instead of a list of versions");
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

/// Whether a body of which only the beginning has come may become a zip.
pub(crate) fn may_be_zip(begin: &[u8]) -> bool {
    begin.starts_with(b"PK")
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
    each_file(body, |name, _| {
        if name.starts_with(prefix.as_bytes()) {
            return Ok(());
        }
        let name = crate::text::safe(String::from_utf8_lossy(name).as_ref());
        bad(format!("zip for {module}@{version} has unexpected file {name}"))
    })
}

/// Where a file stands in a zip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    header: u64,
    len: u64,
    method: u16,
}

impl Packed {
    /// Reads the file, without a look at its checksum: go makes that itself.
    pub(crate) fn open<'a>(&self, zip: &'a Body) -> io::Result<Box<dyn Read + 'a>> {
        let mut header = [0_u8; 30];
        zip.read_exact_at(&mut header, self.header)?;
        let names = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let packed = zip.reader_at(self.header + 30 + names).take(self.len);
        match self.method {
            0 => Ok(Box::new(packed)),
            // Only the beginning is of interest to anybody.
            8 => Ok(Box::new(DeflateDecoder::new_with_buf(packed, vec![0; 2 << 10]))),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Calls `each` for every file of a zip, with its name, as long as the zip makes sense.
pub(crate) fn zip_files(body: &Body, mut each: impl FnMut(&[u8], Packed)) {
    // What makes none has no more files.
    let _ = each_file(body, |name, packed| {
        each(name, packed);
        Ok(())
    });
}

fn each_file(body: &Body, mut each: impl FnMut(&[u8], Packed) -> Result<(), Bad>) -> Result<(), Bad> {
    let directory = find_directory(body)?;
    let mut reader = BufReader::with_capacity(64 << 10, body.reader_at(directory.start));
    let mut at = directory.start;
    let (mut name, mut behind) = (Vec::new(), Vec::new());
    for _ in 0..directory.entries {
        let mut header = [0_u8; 46];
        let is_whole = reader.read_exact(&mut header).is_ok();
        if !is_whole || header[..4] != *b"PK\x01\x02" {
            return bad("zip: not a valid zip file");
        }
        name.resize(usize::from(u16_at(&header, 28)), 0);
        behind.resize(
            usize::from(u16_at(&header, 30)) + usize::from(u16_at(&header, 32)),
            0,
        );
        reader
            .read_exact(&mut name)
            .or_else(|_| bad("zip: not a valid zip file"))?;
        let packed = Packed {
            header: directory.base + u64::from(u32_at(&header, 42)),
            len: u64::from(u32_at(&header, 20)),
            method: u16_at(&header, 10),
        };
        each(&name, packed)?;
        at += 46 + (name.len() + behind.len()) as u64;
        if at > directory.end || reader.read_exact(&mut behind).is_err() {
            return bad("zip: not a valid zip file");
        }
    }
    Ok(())
}

struct Directory {
    /// Where the archive begins.
    base: u64,
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
        base: start - offset,
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
        assert_eq!(
            ask("m/@latest", b"{}").as_deref(),
            Some("not a version's JSON: no Version in it")
        );
    }

    #[test]
    fn info_is_read_as_go_reads_it() {
        for odd in [
            &br#"{"version":"v1.0.0"}"#[..],
            br#"{"VERSION":"v1.0.0"}"#,
            br#"{"Version":"v0.9.0","Version":"v1.0.0"}"#,
            b"{\"Version\":\"v1.0.0\",\"Origin\":{\"Ref\":\"refs/tags/caf\xe9\"}}",
        ] {
            assert_eq!(
                info(odd, Some("v1.0.0")),
                Ok(()),
                "{}",
                String::from_utf8_lossy(odd)
            );
        }
        // What go believes and what it asks for again.
        for (text, is_believed) in [
            (&b"{}"[..], true),
            (b"null", true),
            (br#"{"Version":"v1.0.1"}"#, true),
            (br#"{"Version":7}"#, false),
            (b"[]", false),
            (b"", false),
            (b"\0\0\0", false),
        ] {
            let fault = info(text, Some("v1.0.0")).unwrap_err();
            assert_eq!(
                matches!(fault, InfoFault::OtherVersion(_)),
                is_believed,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_list_is_what_go_finds_versions_in() {
        for good in [
            &b""[..],
            b"v1.0.0\n",
            b"v1.0.0 2019-01-01T00:00:00Z\r\n",
            b"# caf\xe9\nv1.0.0\n",
            b"v1.0.0\nnightly\n\n",
            b"v1.0.0\n\0\0\0",
        ] {
            assert_eq!(ask("m/@v/list", good), None, "{}", String::from_utf8_lossy(good));
        }
        for bad in [&b"caf\xe9\n"[..], b"Please log in", b"\0\0\0\0", b"very\n"] {
            assert!(
                ask("m/@v/list", bad).is_some(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn a_go_mod_may_have_comments_in_any_encoding() {
        for comment in [&b"caf\xe9"[..], b"\xc4\xe3\xba\xc3", b"\x82\xa0\x5c", b"\xff\xfe"] {
            let text = [b"module m // ", comment, b"\n// ", comment, b"\nrequire(\n)\n"].concat();
            assert_eq!(ask("m/@v/v1.0.0.mod", &text), None, "{comment:?}");
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
