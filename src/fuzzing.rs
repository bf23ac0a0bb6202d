//! What holds for any bytes, part by part: the targets in `fuzz/` call these, and the tests below with every fixture.
//!
//! Here, and not in `fuzz/`, since most of what is called is private. cargo-fuzz sets `cfg(fuzzing)`.

use std::ffi::OsString;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Files, UserFile, expand_route, parse_duration, write_duration};
use crate::diagnose::{Diagnosis, Input, Scanner, diagnose, explain};
use crate::go::dirhash::read_zip;
use crate::go::escape::{escape, unescape};
use crate::go::files::{complaint, go_mod_complaint};
use crate::go::imports::{Head, Tags, head};
use crate::go::protocol::Wanted;
use crate::go::proxy_list::ProxyList;
use crate::go::sums::GoSum;
use crate::go::tlog::{Key, tree_head};
use crate::net::proxy_env::{ProxyRules, ProxyVars};
use crate::net::url::{Scheme, Url};
use crate::relay::rewrite::{Names, Quoting, Rewriter};
use crate::sys::spool::Body;
use crate::text::{MAX_BYTES, redact_url, safe};

/// What holds for any bytes; it panics where it does not.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("diagnosis", diagnosis),
    ("rewriting", rewriting),
    ("urls", urls),
    ("lists", lists),
    ("paths", paths),
    ("files", files),
    ("zips", zips),
    ("configuration", configuration),
];

/// The first byte, and the rest.
fn split(bytes: &[u8]) -> (u8, &[u8]) {
    bytes
        .split_first()
        .map_or((0, bytes), |(first, rest)| (*first, rest))
}

/// What go said, whole or in pieces, is the same diagnosis.
pub fn diagnosis(bytes: &[u8]) {
    let whole = explain(bytes).diagnosis;
    let _ = diagnose(&Input {
        stderr: bytes,
        stdout_json: Some(bytes),
    });
    let (size, _) = split(bytes);
    let mut scanner = Scanner::default();
    for piece in bytes.chunks(usize::from(size) + 1) {
        scanner.feed(piece);
    }
    assert_eq!(whole, Diagnosis::of(&scanner.finish()));
}

/// What stands for the relay's own prefix in an input, which would never be guessed.
const PREFIX_MARK: &[u8] = b"\x01";

/// What go said is rewritten the same in pieces, and not at all where nothing of the relay's stands in it.
pub fn rewriting(bytes: &[u8]) {
    const PREFIX: &str = "http://127.0.0.1:40000/0123456789abcdef0123456789abcdef/";
    let (first, text) = split(bytes);
    let quoting = [Quoting::Plain, Quoting::Json][usize::from(first & 1)];
    let size = usize::from(first >> 1) + 1;
    let marked: Vec<&[u8]> = text.split(|byte| [*byte] == PREFIX_MARK).collect();
    let input = marked.join(PREFIX.as_bytes());
    let rewriter = Rewriter::new(
        Arc::new(Names {
            prefix: PREFIX.to_owned(),
            bases: vec![
                "https://proxy.example.com".to_owned(),
                "http://[::1]:8080/\"go\"".to_owned(),
            ],
            ledger: Arc::default(),
        }),
        quoting,
    );
    let whole = rewriter.clone().rewrite(&input);
    let (mut pieces, mut out) = (rewriter, Vec::new());
    for piece in input.chunks(size) {
        pieces.push(piece, &mut out);
    }
    pieces.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&out));
    if memchr::memmem::find(&input, b"127.0.0.1:40000").is_none() {
        assert_eq!(whole, input);
    }
}

/// A URL as it is shown leads to the same server, and what is safe to show is short and plain.
pub fn urls(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = redact_url(text.as_ref());
    let shown = safe(text.as_ref());
    assert!(
        shown.len() <= MAX_BYTES && !shown.chars().any(char::is_control),
        "{shown:?}"
    );
    let (address, reference) = text.split_once('\n').unwrap_or((&text, ""));
    let proxies = ProxyRules::new(&ProxyVars {
        http: address.to_owned(),
        https: address.to_owned(),
        no_proxy: reference.to_owned(),
        cgi: false,
    });
    let Ok(url) = Url::parse(address) else {
        return;
    };
    let _ = proxies.proxy_for(Scheme::Https, &url.host, url.port);
    for shown in [url.redacted(), url.stripped()] {
        let again = Url::parse(&shown).unwrap_or_else(|e| panic!("{shown:?}: {e:?}"));
        assert!(url.same_host(&again), "{shown:?}");
        assert_eq!(url.path_and_query(), again.path_and_query());
    }
    let joined = url.join(reference).into_iter();
    for url in joined.chain([url.below("example.com/m/@v/list")]) {
        assert!(url.path.starts_with('/'), "{url:?}");
    }
}

/// A list that is written down is read as the same one.
pub fn lists(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = expand_route(&text, &crate::config::Origin::Default);
    if let Ok(list) = ProxyList::parse(&text) {
        assert_eq!(ProxyList::parse(&list.value()).as_ref(), Ok(&list), "{list}");
        // Of what leads nowhere, `https:/user:password@host`, more is hidden than keeps it a URL.
        if list.proxies().all(|url| Url::parse(url).is_ok()) {
            let shown = ProxyList::parse(&list.redacted()).map(|shown| shown.entries().len());
            assert_eq!(shown, Ok(list.entries().len()), "{list}");
        }
    }
    if let Ok(duration) = parse_duration(&text) {
        let written = write_duration(duration);
        let again = parse_duration(&written).map(|again| again.as_millis());
        assert_eq!(again, Ok(duration.as_millis()), "{written}");
    }
}

/// A path of the module proxy protocol: what is read of it can be written again.
pub fn paths(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(plain) = unescape(&text) {
        assert_eq!(escape(&plain), text);
    }
    let Some(wanted) = Wanted::parse(&text) else {
        return;
    };
    assert_eq!(wanted.path, text);
    let base = Url::parse("https://proxy.example.com/go").expect("a URL");
    let url = base.below(&wanted.path);
    assert!(url.path.starts_with("/go/"), "{url:?}");
    for name in wanted.module.iter().chain(&wanted.version) {
        assert_eq!(unescape(&escape(name)).as_ref(), Some(name));
    }
}

/// What a proxy or a checksum database answers, and what the module cache holds of it.
pub fn files(bytes: &[u8]) {
    const PATHS: &[&str] = &[
        "example.com/m/@v/list",
        "example.com/m/@latest",
        "example.com/m/@v/v1.2.3.info",
        "example.com/m/@v/v1.2.3.mod",
        "sumdb/sum.golang.org/supported",
        "sumdb/sum.golang.org/lookup/example.com/m@v1.2.3",
        "sumdb/sum.golang.org/latest",
        "sumdb/sum.golang.org/tile/8/0/000.p/1",
    ];
    let (first, content) = split(bytes);
    let wanted = Wanted::parse(PATHS[usize::from(first) % PATHS.len()]).expect("a path");
    let body = Body::from_bytes(content.to_vec());
    assert_eq!(complaint(&wanted, &body), complaint(&wanted, &body));
    let _ = go_mod_complaint(content, None, false);
    // What a part of a file is enough for, the rest does not change.
    let part = head(&content[..usize::from(first).min(content.len())], false);
    let whole = head(content, true);
    assert!(
        part == whole || matches!(part, Head::Longer),
        "{part:?} {whole:?}"
    );
    for set in [&[][..], &["linux"]] {
        let tags = Tags {
            set: set.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Tags::host()
        };
        let _ = tags.take_text(content, &[]);
        let _ = tags.take_name(&String::from_utf8_lossy(content));
    }
    let key = Key::from_gosumdb(&String::from_utf8_lossy(content));
    let _ = tree_head(content, key.as_ref());
    let mut sums = GoSum::default();
    sums.add(content);
    for module in sums.modules() {
        let _ = sums.sums(&module);
    }
}

/// A zip as the relay and as the repair reads it: no hash comes of what is no zip of the module.
pub fn zips(bytes: &[u8]) {
    let wanted = Wanted::parse("example.com/m/@v/v1.2.3.zip").expect("a path");
    let plausible = complaint(&wanted, &Body::from_bytes(bytes.to_vec())).is_none();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.seek(SeekFrom::Start(0)).expect("at the beginning");
    if let Ok(sum) = read_zip(file, "example.com/m@v1.2.3/") {
        assert!(plausible, "the relay refuses what the repair takes: {sum:?}");
    }
}

/// A file of settings and the variables, each with the bytes as they are.
pub fn configuration(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    let value = OsString::from(String::from_utf8_lossy(bytes).replace('\0', ""));
    let nowhere = PathBuf::from("/nonexistent");
    let files = Files {
        system: nowhere.clone(),
        user: Some(UserFile {
            path: file.path().to_owned(),
            named: true,
        }),
    };
    let mut warnings = Vec::new();
    let from_file = Config::load_files(&files, &|_| None, &mut warnings);
    let files = Files {
        system: nowhere,
        user: None,
    };
    let from_variables = Config::load_files(&files, &|_| Some(value.clone()), &mut warnings);
    for config in [from_file, from_variables] {
        assert!(!config.entries().is_empty());
    }
    for warning in warnings {
        let text = warning.message;
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every file of the fixtures, line by line and as a whole, and each text in them.
    fn seeds(folder: &Path, seeds: &mut Vec<Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("the fixtures are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self::seeds(&path, seeds);
                continue;
            }
            let content = fs::read(&path).expect("a file");
            for line in content.split(|byte| *byte == b'\n') {
                let text = serde_json::from_slice::<serde_json::Value>(line)
                    .ok()
                    .and_then(|object| object["text"].as_str().map(|text| text.as_bytes().to_vec()));
                seeds.push(text.unwrap_or_else(|| line.to_vec()));
            }
        }
    }

    #[test]
    fn every_fixture_is_harmless_to_every_part() {
        let mut all = Vec::new();
        seeds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), &mut all);
        assert!(all.len() > 1000, "the fixtures are there");
        for (_, target) in TARGETS {
            all.iter().for_each(|seed| target(seed));
        }
    }

    #[test]
    fn every_target_has_a_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the targets")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .path()
                    .file_stem()
                    .expect("a name")
                    .to_owned()
            })
            .collect();
        let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| OsString::from(name)).collect();
        files.sort();
        names.sort();
        assert_eq!(files, names);
    }
}
