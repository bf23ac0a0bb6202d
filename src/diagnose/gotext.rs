//! The grammar of go's error texts: wrappers, modules, URLs, net's own shapes.
//!
//! Everything here reads shapes, not words, so that it holds for texts nobody
//! has seen: `Op "URL": cause` (`net/url.Error`), `op net source->addr: cause`
//! (`net.OpError`), `lookup host on server: cause` (`net.DNSError`),
//! `op path: errno` (`fs.PathError`), `NNN reason` (HTTP status), `M@V`.
//!
//! Known limitations: a module is cut out of a proxy's URL by its first path
//! element with a dot, since the text does not say where the proxy's own path ends.

use crate::text::host_of;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::words;

/// A request that failed: `Get "URL": cause`, `reading URL: cause` and their kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What stands before the operation: the wrappers.
    pub before: &'a str,
    /// The operation: `Get`, `reading`, `parse`; empty where git says it in its own language.
    pub op: &'a str,
    /// The URL as printed.
    pub url: &'a str,
    /// What stands behind the URL.
    pub cause: &'a str,
}

/// The words in front of a URL. A quoted URL may stand behind any of them; an
/// unquoted one too (go before 1.14 did not quote, `reading` never does).
const OPERATIONS: &[&str] = &[
    "Get ",
    "Head ",
    "Post ",
    "read ",
    "reading ",
    "get ",
    "unexpected status (",
    "unable to access ",
    "invalid response from proxy ",
    "parse ",
    "parsing ",
    "fetching ",
    "fetch ",
];

/// Finds the last `Op URL: cause` in a line, the one that names the cause.
#[must_use]
pub fn request(line: &str) -> Option<Request<'_>> {
    let mut best = None;
    let mut from = 0;
    while let Some(at) = find_url(line, from) {
        from = at + 4;
        if let Some(found) = request_at(line, at) {
            best = Some(found);
            // What stands in the cause may be another one (a redirect, a server's own words):
            // only `reading URL: Get "URL"` style nesting counts, where the cause begins with it.
            let start = line.len() - found.cause.len();
            let nested = OPERATIONS.iter().any(|op| found.cause.starts_with(op));
            if !nested {
                break;
            }
            from = start;
        }
    }
    best.map(without_bracket)
}

/// `(https fetch: Get "URL": EOF)`: the bracket was opened in front of the operation.
fn without_bracket(request: Request<'_>) -> Request<'_> {
    let cause = request.cause.trim_end().strip_suffix(')');
    let opened = || {
        request
            .before
            .rfind(" (")
            .is_some_and(|at| !request.before[at..].contains(')'))
    };
    let cause = cause.filter(|cause| !cause.contains('(') && opened());
    Request {
        cause: cause.unwrap_or(request.cause),
        ..request
    }
}

/// The position of the next URL at or behind `from`. After a redirect net/http names the place as the server
/// did, which may be a path alone: `Get "/x": stopped after 10 redirects`.
fn find_url(line: &str, from: usize) -> Option<usize> {
    find_scheme(line, from).or_else(|| {
        const BARE: &[u8] = b"Get \"/";
        let found = memchr::memmem::find(line.as_bytes().get(from..)?, BARE)?;
        Some(from + found + BARE.len() - 1)
    })
}

/// The position of the next `http:/` or `https:/` at or behind `from`.
fn find_scheme(line: &str, from: usize) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut at = from;
    loop {
        let found = memchr::memmem::find(bytes.get(at..)?, b"http")? + at;
        let rest = &bytes[found + 4..];
        if rest.starts_with(b":/") || rest.starts_with(b"s:/") {
            return Some(found);
        }
        at = found + 4;
    }
}

fn request_at(line: &str, at: usize) -> Option<Request<'_>> {
    let before = &line[..at];
    let quotes = QUOTES.iter().find(|(open, _)| before.ends_with(*open));
    let (before, quote) = match quotes {
        Some((open, close)) => (&before[..before.len() - open.len_utf8()], Some((*open, *close))),
        None => (before, None),
    };
    let op = OPERATIONS.iter().find(|op| before.ends_with(*op));
    // Asked before the end of the URL is looked for: every operation ends in a blank, so that
    // the search below stops at the next one and the whole stays linear.
    if op.is_none() && quote.is_none_or(|(open, _)| open == '"') {
        return None;
    }
    let rest = &line[at..];
    let (url, cause) = match quote {
        Some((open, close)) => {
            // The next opening one ends the search as well, so that it stays linear.
            let end = rest.find([open, close])?;
            (&rest[..end], rest[end..].strip_prefix(close)?)
        }
        None => {
            let end = rest.find([' ', '\t', ')', ',']).unwrap_or(rest.len());
            let url = rest[..end].trim_end_matches(':');
            (url, &rest[url.len()..])
        }
    };
    let cause = cause.strip_prefix(')').unwrap_or(cause);
    let cause = match cause.strip_prefix(':') {
        Some(cause) => cause.trim_start(),
        None if op.is_some() && cause.trim().is_empty() => "",
        // Git in another language: `fatal: no es posible acceder a 'URL': cause` has no known
        // operation but always the colon; without both this is a URL that is merely mentioned.
        None => behind_colon(cause).filter(|_| op.is_none())?,
    };
    let (before, op) = before.split_at(before.len() - op.map_or(0, |op| op.len()));
    let op = op.trim_end();
    let (before, cause) = match before.strip_suffix('(') {
        Some(opened) => (opened, cause.strip_suffix(')').unwrap_or(cause)),
        None => (before, cause),
    };
    Some(Request {
        before,
        op,
        url,
        cause,
    })
}

/// Whether a line ends inside the URL of a request, as a console's edge cuts it.
#[must_use]
pub fn ends_in_url(line: &str) -> bool {
    let Some(start) = line.rfind([' ', '\t']).map(|blank| blank + 1) else {
        return false;
    };
    let (before, url) = line.split_at(start);
    let whole = url.starts_with('"') && url.len() > 1 && url.ends_with('"');
    let url = url.strip_prefix('"').unwrap_or(url);
    !whole
        && !url.ends_with(':')
        && (url.starts_with("http://") || url.starts_with("https://"))
        && OPERATIONS.iter().any(|op| before.ends_with(op))
}

/// The quotation marks that git and go set around a URL, in the languages that git speaks.
const QUOTES: &[(char, char)] = &[
    ('"', '"'),
    ('\'', '\''),
    ('«', '»'),
    ('‘', '’'),
    ('“', '”'),
    ('„', '“'),
];

/// What stands behind the colon of a language that puts a word, a blank or a wide colon there:
/// `'URL' zugreifen: cause`, `'URL' : cause`, `'URL'：cause`.
fn behind_colon(text: &str) -> Option<&str> {
    let (at, colon) = text
        .char_indices()
        .take(40)
        .find(|(_, c)| matches!(c, ':' | '：' | '\'' | '"'))?;
    let behind = &text[at + colon.len_utf8()..];
    matches!(colon, ':' | '：').then(|| behind.trim_start())
}

/// True for the URLs that only a module proxy, a checksum database or a
/// `?go-get=1` page is asked by.
#[must_use]
pub fn is_module_url(url: &str) -> bool {
    let path = url.trim_end_matches(['"', '\'']);
    path.contains("/@v/")
        || path.ends_with("/@latest")
        || path.contains("?go-get=1")
        || is_sumdb_url(url)
        || host_of(url).is_some_and(|h| h == "proxy.golang.org" || h.starts_with("goproxy."))
}

/// True for URLs of a checksum database, asked directly or through a proxy.
#[must_use]
pub fn is_sumdb_url(url: &str) -> bool {
    let host = host_of(url).unwrap_or("");
    url.contains("/sumdb/")
        || host.starts_with("sum.golang.")
        || url.contains("/tile/8/")
        || url
            .split_once("/lookup/")
            .is_some_and(|(_, path)| path.contains('@'))
}

/// Module path and version out of a proxy's or checksum database's URL.
#[must_use]
pub fn module_of_url(url: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = url.split_once(":/")?;
    let rest = rest.trim_start_matches('/');
    let (_, path) = rest.split_once('/')?;
    if let Some((_, module)) = path.split_once("lookup/") {
        let (module, version) = module.rsplit_once('@')?;
        return Some((unescape(module)?, unescape(version)));
    }
    let (module, version) = if let Some((module, file)) = path.split_once("/@v/") {
        let version = file.rsplit_once('.').map(|(version, _)| version);
        (module, version)
    } else {
        (path.strip_suffix("/@latest")?, None)
    };
    let module = first_dotted(module)?;
    Some((unescape(module)?, version.and_then(unescape)))
}

/// The part of a proxy path from its first element with a dot on.
fn first_dotted(path: &str) -> Option<&str> {
    let mut start = 0;
    for element in path.split('/') {
        if element.contains('.') {
            return Some(&path[start..]);
        }
        start += element.len() + 1;
    }
    None
}

/// Undoes Go's escaping of upper case (`!x`, in URLs `%21x`).
fn unescape(text: &str) -> Option<String> {
    let text = text.replace("%21", "!");
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '!' {
            plain.push(chars.next()?.to_ascii_uppercase());
        } else {
            plain.push(c);
        }
    }
    (!plain.is_empty()).then_some(plain)
}

/// The last `M@V` in a text: module path and version (or query).
#[must_use]
pub fn module_version(text: &str) -> Option<(&str, &str)> {
    let mut end = text.len();
    while let Some(at) = memchr::memrchr(b'@', &text.as_bytes()[..end]) {
        if let Some(found) = module_version_at(text, at) {
            return Some(found);
        }
        end = at;
    }
    None
}

fn module_version_at(text: &str, at: usize) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let start = bytes[..at]
        .iter()
        .rposition(|&b| !is_path_byte(b))
        .map_or(0, |p| p + 1);
    let length = bytes[at + 1..]
        .iter()
        .position(|&b| !is_version_byte(b))
        .unwrap_or(bytes.len() - at - 1);
    let end = at + 1 + length;
    let (module, version) = (&text[start..at], &text[at + 1..end]);
    // A file below the module cache (`…/M@V/file.go:3:8`) names a module as well, but not
    // the one that failed; `M@V/go.mod` is the checksum database's way to write the pair.
    let behind = &text[end..];
    let plain = !behind.starts_with(['/', '\\']) || behind.starts_with("/go.mod");
    let version = version.trim_end_matches(['.', '-', '+']);
    (plain && is_module_path(module) && !version.is_empty()).then_some((module, version))
}

/// Where the module path in front of an `@` begins, if one stands there.
#[must_use]
pub fn module_start(line: &str, at: usize) -> Option<usize> {
    let (module, _) = module_version_at(line, at)?;
    Some(at - module.len())
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~/!+".contains(&b)
}

fn is_version_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._+".contains(&b)
}

/// A path whose first element could be a host (a dot), as every module path
/// that can be fetched has.
fn is_module_path(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or("");
    first.contains('.') && first.starts_with(|c: char| c.is_ascii_alphanumeric()) && !path.ends_with('/')
}

/// A cause without a URL behind go's own wrapping: old go, and what failed before there was a URL, print it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped<'a> {
    /// What stands behind the last wrapper.
    pub cause: &'a str,
    /// A module, an import path or a toolchain is named in front; else go speaks of itself.
    pub named: bool,
}

/// What stands behind the last of go's wrappers in a line: `M@V: `, `module M: `, `unrecognized import path "P": `,
/// `cannot load P: `, `download goX: `, `verifying module: `, or nothing but `go: `.
#[must_use]
pub fn wrapped(line: &str) -> Option<Wrapped<'_>> {
    // The cheap question first: every wrapper ends so.
    memchr::memmem::find(line.as_bytes(), b": ")?;
    let behind_module = module_version(line).and_then(|(_, version)| {
        let end = version.as_ptr() as usize - line.as_ptr() as usize + version.len();
        let rest = &line[end..];
        let rest = rest.strip_prefix("/go.mod").unwrap_or(rest);
        // `M@V (replaced by N@W): …`
        let rest = rest.strip_prefix(')').unwrap_or(rest);
        rest.strip_prefix(": ")
    });
    let named = behind_words(line)
        .into_iter()
        .chain(behind_module)
        .min_by_key(|rest| rest.len());
    if let Some(cause) = named {
        // `(https fetch: EOF)`
        let opened = cause.contains('(');
        let cause = cause.strip_suffix(')').filter(|_| !opened).unwrap_or(cause);
        return Some(Wrapped { cause, named: true });
    }
    let cause = line.trim_start().strip_prefix("go: ")?;
    Some(Wrapped { cause, named: false })
}

/// Whether a name is of the kind that stands there.
type IsName = fn(&str) -> bool;

/// Words of go's in front of a cause, and the kind of name that stands behind them with a colon or in brackets.
const WRAPPERS: &[(&str, Option<IsName>)] = &[
    ("module ", Some(is_module_path)),
    ("cannot load ", Some(is_module_path)),
    ("unrecognized import path \"", Some(|path| !path.is_empty())),
    ("download ", Some(is_toolchain)),
    ("verifying module: ", None),
    ("verifying go.mod: ", None),
    ("https fetch: ", None),
];

/// What stands behind the last of [`WRAPPERS`], which are looked for together.
fn behind_words(line: &str) -> Option<&str> {
    static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let words: Vec<&str> = WRAPPERS.iter().map(|(words, _)| *words).collect();
        words::few_words(&words)
    });
    let found = WORDS.as_ref()?.find_iter(line);
    found
        .filter_map(|found| {
            let rest = &line[found.end()..];
            let Some(is_name) = WRAPPERS[found.pattern().as_usize()].1 else {
                return Some(rest);
            };
            // A name is short: what is longer is none, and is not looked through.
            let end = rest
                .bytes()
                .take(NAME_LIMIT)
                .position(|b| matches!(b, b' ' | b':' | b'"'))?;
            let behind = &rest[end..];
            let behind = behind.strip_prefix('"').unwrap_or(behind);
            let bracketed = || behind.strip_prefix(" (")?.strip_suffix(')');
            let cause = behind.strip_prefix(": ").or_else(bracketed)?;
            is_name(&rest[..end]).then_some(cause)
        })
        .last()
}

/// How long the name of a module may be, in bytes.
const NAME_LIMIT: usize = 512;

/// `go1.25.4`: the name of a toolchain.
fn is_toolchain(name: &str) -> bool {
    name.strip_prefix("go")
        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a text is an import path and nothing more.
#[must_use]
pub fn is_import(text: &str) -> bool {
    text.contains('/') && text.bytes().all(is_path_byte) && is_module_path(text)
}

/// The module of `module M: …`, which go prints where it has no version yet.
#[must_use]
pub fn module_word(text: &str) -> Option<&str> {
    let mut from = 0;
    let mut found = None;
    while let Some(at) = text[from..].find("module ") {
        let start = from + at + "module ".len();
        let rest = &text[start..];
        let end = rest.find([':', ' ', '@', ',']).unwrap_or(rest.len());
        let path = &rest[..end];
        if is_module_path(path) {
            found = Some(path);
        }
        from = start;
    }
    found
}

/// The import path in quotes behind `unrecognized import path`, or bare behind
/// `package` (`no required module provides package P`).
#[must_use]
pub fn import_path(text: &str) -> Option<&str> {
    for word in ["import path \"", "package \"", "import \"", "package "] {
        if let Some(at) = text.rfind(word) {
            let rest = &text[at + word.len()..];
            let end = rest
                .find(['"', ' ', ';', ':', ',', ')', '\n'])
                .unwrap_or(rest.len());
            if is_module_path(&rest[..end]) {
                return Some(&rest[..end]);
            }
        }
    }
    None
}

/// Module and version of `reading M/go.mod at revision V: …`, as a VCS's errors are wrapped.
#[must_use]
pub fn at_revision(text: &str) -> Option<(&str, &str)> {
    const MIDDLE: &str = "/go.mod at revision ";
    let end = text.find(MIDDLE)?;
    let start = text[..end].rfind("reading ")? + "reading ".len();
    let rest = &text[end + MIDDLE.len()..];
    let version = rest.split([':', ' ', '\n']).next()?;
    is_module_path(&text[start..end]).then(|| (&text[start..end], version))
}

/// The host in `git@host: …` (ssh) and `git@host:path` (git's short form of an ssh URL).
#[must_use]
pub fn ssh_host(text: &str) -> Option<&str> {
    text.match_indices("git@").find_map(|(at, user)| {
        let rest = &text[at + user.len()..];
        let (host, _) = rest.split_once(':')?;
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        (plain && !host.is_empty() && host.len() <= 253).then_some(host)
    })
}

/// A URL in quotes, or one that git names bare: `… while accessing URL`, `fatal: URL not found`, and what it asked
/// for before a redirect.
#[must_use]
pub fn quoted_url(line: &str) -> Option<&str> {
    let at = find_scheme(line, 0)?;
    let before = &line[..at];
    let bare = [" accessing ", "fatal: ", "error: "];
    let asked = || behind_last_colon(line).is_some_and(is_asked);
    let close = match QUOTES.iter().find(|(open, _)| before.ends_with(*open)) {
        Some((_, close)) => *close,
        None if bare.iter().any(|words| before.ends_with(words)) || asked() => ' ',
        None => return None,
    };
    let url = line[at..].split(close).next()?;
    // Of a bare one only the repository is of interest.
    let repository = || url.split("/info/refs").next().map(str::trim_end);
    match close {
        ' ' => repository(),
        _ => (url.len() < line.len() - at).then_some(url),
    }
}

/// The URL by which git asks a repository for its references.
#[must_use]
pub fn is_asked(url: &str) -> bool {
    url.contains("/info/refs?service=")
}

/// The URL that a line ends with, behind a colon.
#[must_use]
pub fn behind_last_colon(line: &str) -> Option<&str> {
    let at = find_scheme(line, 0)?;
    let url = line[at..].trim_end();
    let before = line[..at].trim_end();
    (before.ends_with([':', '：']) && !url.contains(' ')).then_some(url)
}

/// True for the ports that HTTP and SOCKS proxies have by custom (Squid, Privoxy, Clash, V2Ray), and module proxies
/// have not.
#[must_use]
pub fn is_proxy_port(host: &str) -> bool {
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    matches!(
        port,
        Some(1080 | 1081 | 1087 | 3128 | 7890..=7893 | 7897 | 8118 | 8123 | 10808 | 10809 | 20171)
    )
}

/// The import path that a message begins with: `P: …`, at the end of an import chain.
#[must_use]
pub fn leading_path(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let text = text.strip_prefix("go: ").unwrap_or(text);
    let (path, _) = text.split_once(": ")?;
    let plain = path.bytes().all(is_path_byte) && path.contains('/');
    (plain && is_module_path(path) && file_position(text).is_none()).then_some(path)
}

/// Module path and version of a file below `cache/download`, and of an
/// extracted directory.
#[must_use]
pub fn module_of_cache_path(text: &str) -> Option<(String, String)> {
    let text = text.replace('\\', "/");
    let (_, rest) = text.split_once("cache/download/")?;
    let (module, file) = rest.split_once("/@v/")?;
    let name = file.split([':', ' ', '/', ')']).next()?;
    let version = ["zip", "ziphash", "mod", "info", "lock", "partial"]
        .iter()
        .find_map(|ext| name.find(&format!(".{ext}")).map(|at| &name[..at]))?;
    Some((unescape(module)?, unescape(version)?))
}

/// Module path and version of an extracted directory that a line names with a system call's error
/// (`rename …/pkg/mod/M@V.tmp-1 …/pkg/mod/M@V: …`).
#[must_use]
pub fn module_of_folder(line: &str) -> Option<(String, String)> {
    if !is_path_error(line) {
        return None;
    }
    let line = line.replace('\\', "/");
    let (_, rest) = line.rsplit_once("/pkg/mod/")?;
    let (module, rest) = rest.split_once('@')?;
    let version = rest.split([':', '/', ' ']).next()?.split(".tmp-").next()?;
    let named = !version.is_empty() && is_module_path(module);
    named.then(|| Some((unescape(module)?, unescape(version)?)))?
}

/// The path of the first file that a text names below a module cache.
#[must_use]
pub fn cache_path(text: &str) -> Option<&str> {
    let at = text
        .find("cache/download/")
        .or_else(|| text.find("cache\\download\\"))
        .or_else(|| text.find("cache/vcs/"))
        .or_else(|| text.find("cache\\vcs\\"))?;
    let start = text[..at].rfind([' ', '\t', '(', '"', '\'']).map_or(0, |p| p + 1);
    let end = text[at..]
        .find([' ', ')', '"', '\''])
        .map_or(text.len(), |p| at + p);
    Some(text[start..end].trim_end_matches(':'))
}

/// The directory below `cache/vcs` that a text names.
#[must_use]
pub fn vcs_dir(text: &str) -> Option<&str> {
    let path = cache_path(text)?;
    if !path.contains("vcs") {
        return None;
    }
    let marker = path.find("vcs/").or_else(|| path.find("vcs\\"))? + 4;
    let hash = &path[marker..];
    let end = hash.find(['/', '\\', '.', ':']).unwrap_or(hash.len());
    Some(&path[..marker + end])
}

/// A regular expression of this room's own; the tests see that each is one.
#[must_use]
pub(super) fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

/// The number in the only group of an expression, where it stands last in a text.
fn last_number(regex: &LazyLock<Option<Regex>>, text: &str) -> Option<u16> {
    let found = regex.as_ref()?.captures_iter(text).last()?;
    found.get(1)?.as_str().parse().ok()
}

/// The status that a cause begins with.
#[must_use]
pub fn status(cause: &str) -> Option<u16> {
    let (digits, rest) = cause.split_at_checked(3)?;
    let whole = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let status = digits.parse().ok().filter(|status| (100..600).contains(status));
    status.filter(|_| whole)
}

/// The number behind one of the words by which git and curl name a status.
#[must_use]
pub fn git_status(line: &str) -> Option<u16> {
    static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        regex(
            r"(?:returned error: |response |(?:HTTP|http) code (?:= )?|HTTP (?:Error )?|Unexpected HTTP status |return value \(|status code )([1-5][0-9]{2})(?:[^0-9A-Za-z.-]|$)",
        )
    });
    last_number(&STATUS, line)
}

/// The number in `curl 56 …`, as git writes it behind `RPC failed;`.
#[must_use]
pub fn curl_code(line: &str) -> Option<u16> {
    static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| regex("curl ([0-9]{1,2}) "));
    last_number(&CODE, line)
}

/// `Connection to 192.0.2.1 port 22: …`, `Connection closed by 192.0.2.1 port 22`.
#[must_use]
pub fn is_ssh_connection(line: &str) -> bool {
    static CONNECTION: LazyLock<Option<Regex>> = LazyLock::new(|| regex("onnection .*port [0-9]"));
    CONNECTION.as_ref().is_some_and(|regex| regex.is_match(line))
}

/// `error:0A000086:SSL routines::…`; the number 0 stands for no error at all.
#[must_use]
pub fn is_openssl(line: &str) -> bool {
    static ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| regex("error:([0-9A-Fa-f]{8}):"));
    ERROR
        .as_ref()
        .is_some_and(|regex| regex.captures_iter(line).any(|found| &found[1] != "00000000"))
}

/// `VERB /path: errno` and `VERB '/path': errno`, as programs write it about files of this machine.
#[must_use]
pub fn is_local_file(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with("remote:") {
        return false;
    }
    line.match_indices([' ', '\'', '"'])
        .map(|(at, _)| &line[at + 1..])
        .filter(|path| is_absolute(path) && !path.starts_with("//"))
        .any(|path| {
            // Behind the drive of `C:\x`; a path ends where its quotation or the word does.
            let end = path.bytes().skip(2).position(|b| b" '\":".contains(&b));
            let behind = end.map_or("", |end| &path[end + 2..]);
            behind.trim_start_matches(['\'', '"']).starts_with(": ")
        })
}

/// Net's own shapes inside a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetShape {
    /// `lookup host on server: …`: the name.
    Lookup,
    /// `dial tcp addr: …`, Windows' `connectex: …` in whatever language follows.
    Dial,
    /// `read tcp a->b: …`, `write tcp a->b: …`, `wsarecv: …`, `wsasend: …`.
    Transfer,
    /// `dial tcp addr: socket: …`: this machine gives no socket.
    Socket,
    /// `open path: …`: a file on this machine.
    File,
    /// `EOF` and nothing else.
    Eof,
    /// `NNN reason`.
    Status(u16),
}

/// Reads the shape of a cause.
#[must_use]
pub fn shape(cause: &str) -> Option<NetShape> {
    let cause = cause.trim();
    if cause == "EOF" {
        return Some(NetShape::Eof);
    }
    if let Some(status) = status(cause) {
        return Some(NetShape::Status(status));
    }
    // A lookup stands inside a dial, and a read of the resolver's socket inside the lookup:
    // the outermost of the three says whose fault it is, but a lookup always wins over its dial.
    if is_lookup(cause) {
        return Some(NetShape::Lookup);
    }
    if op_error(cause, &["dial"]) && has_call(cause, &["socket:"]) {
        return Some(NetShape::Socket);
    }
    if op_error(cause, &["dial"]) || has_call(cause, &["connectex:", "connect:", "getsockopt:"]) {
        return Some(NetShape::Dial);
    }
    if op_error(cause, &["read", "write", "readfrom", "close"]) || has_call(cause, &["wsarecv:", "wsasend:"])
    {
        return Some(NetShape::Transfer);
    }
    is_path_error(cause).then_some(NetShape::File)
}

/// `lookup host: …`, `lookup host on server: …`, `getaddrinfow: …`.
fn is_lookup(cause: &str) -> bool {
    has_call(cause, &["getaddrinfow:", "getaddrinfo:"])
        || cause.starts_with("lookup ")
        || cause.contains(": lookup ")
}

/// The host of `lookup host on server`.
#[must_use]
pub fn lookup_host(cause: &str) -> Option<&str> {
    let at = cause.find("lookup ")?;
    let rest = &cause[at + "lookup ".len()..];
    let end = rest.find([' ', ':']).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// The address of `proxyconnect tcp: dial tcp ADDR: …`.
#[must_use]
pub fn dialled(cause: &str) -> Option<&str> {
    let at = cause.find("dial tcp ")?;
    let rest = &cause[at + "dial tcp ".len()..];
    let end = rest.find(": ").unwrap_or(rest.len());
    let address = rest[..end].rsplit("->").next()?;
    (!address.is_empty() && !address.contains(' ')).then_some(address)
}

/// `op network …` of `net.OpError`.
fn op_error(cause: &str, ops: &[&str]) -> bool {
    ops.iter().any(|op| {
        let mut from = 0;
        while let Some(at) = cause[from..].find(op) {
            let start = from + at;
            let rest = &cause[start + op.len()..];
            let boundary = start == 0 || cause[..start].ends_with(": ");
            let network = [" tcp", " udp", " ip", " unix"]
                .iter()
                .any(|net| rest.starts_with(net));
            if boundary && network {
                return true;
            }
            from = start + op.len();
        }
        false
    })
}

/// A system call's name in front of its error, as `os.SyscallError` prints it.
/// Some Windows builds wrote `ConnectEx tcp:`.
fn has_call(cause: &str, calls: &[&str]) -> bool {
    calls.iter().any(|call| {
        let name = call.trim_end_matches(':');
        let mut from = 0;
        while let Some(at) = find_ignoring_case(&cause[from..], name) {
            let start = from + at;
            let rest = &cause[start + name.len()..];
            let boundary = start == 0 || cause[..start].ends_with(' ');
            if boundary && (rest.starts_with(':') || rest.starts_with(" tcp:")) {
                return true;
            }
            from = start + name.len();
        }
        false
    })
}

/// Whether a word stands in a text; ASCII case does not count.
#[must_use]
pub fn contains_ignoring_case(text: &str, word: &str) -> bool {
    find_ignoring_case(text, word).is_some()
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let first = *word.first()?;
    let mut from = 0;
    loop {
        let at = memchr::memchr2(
            first.to_ascii_lowercase(),
            first.to_ascii_uppercase(),
            text.get(from..)?,
        )? + from;
        if text[at..].len() >= word.len() && text[at..at + word.len()].eq_ignore_ascii_case(word) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// `op path: errno` of `fs.PathError`, with an absolute path.
#[must_use]
pub fn is_path_error(text: &str) -> bool {
    const OPS: &[&str] = &[
        "open ",
        "read ",
        "write ",
        "mkdir ",
        "stat ",
        "lstat ",
        "remove ",
        "rename ",
        "chmod ",
        "unlinkat ",
        "truncate ",
        "sync ",
        "close ",
        "readdirent ",
        "openat ",
        "mkdirat ",
        "link ",
        "symlink ",
        "fork/exec ",
        "copy_file_range ",
        "lock ",
        "RLock ",
        "Lock ",
        "CreateFile ",
        "GetFileAttributesEx ",
        "FindFirstFile ",
        "flock ",
    ];
    let Some(last_colon) = text.rfind(": ") else {
        return false;
    };
    OPS.iter().any(|op| {
        let mut from = 0;
        while let Some(at) = text[from..].find(op) {
            let start = from + at;
            let rest = &text[start + op.len()..];
            let boundary = start == 0 || text[..start].ends_with(' ');
            if boundary && is_absolute(rest) && last_colon > start {
                return true;
            }
            from = start + op.len();
        }
        false
    })
}

/// `/x`, `$HOME/x`, `~/x`, `C:\x`.
#[must_use]
pub fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    match bytes {
        [b'/', ..] | [b'$', ..] | [b'~', ..] | [b'\\', b'\\', ..] => true,
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

/// The end of `file.go:12:3:` at the start of a line.
#[must_use]
pub fn file_position(line: &str) -> Option<usize> {
    static PLACE: LazyLock<Option<Regex>> =
        LazyLock::new(|| regex(r"^(?:[^:]|:[^ ])*?\.go:[0-9]+(?::[0-9]+)?:"));
    PLACE.as_ref()?.find(line).map(|found| found.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_stands_behind_the_last_wrapper() {
        for (line, cause, named) in [
            ("go: a.b/c@v1.0.0: EOF", "EOF", true),
            ("go: a.b/c@v1.0.0 (replaced by a.b/d@v1.0.0): EOF", "EOF", true),
            (
                "build x: cannot load a.b/c: module a.b/c: gzip: y",
                "gzip: y",
                true,
            ),
            ("go: download go1.25.0: dial tcp: x", "dial tcp: x", true),
            (
                "package p: unrecognized import path \"p\" (https fetch: EOF)",
                "EOF",
                true,
            ),
            ("go: dial tcp: x", "dial tcp: x", false),
        ] {
            assert_eq!(wrapped(line), Some(Wrapped { cause, named }), "{line}");
        }
        for line in [
            "main.go:3:5: dial tcp: x",
            "could not download config: EOF",
            "cannot load settings: EOF",
            "module terraform: EOF",
            "a@b.example: EOF",
            "EOF",
        ] {
            assert_eq!(wrapped(line), None, "{line}");
        }
    }

    #[test]
    fn reads_the_numbers_that_tools_print() {
        for (line, status) in [
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 503",
                Some(503),
            ),
            ("error: RPC failed; result=22, HTTP code = 404", Some(404)),
            (
                "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502 Bad Gateway",
                Some(502),
            ),
            ("abort: HTTP Error 404: Not Found", Some(404)),
            ("HTTP 1.1 and HTTP 5000", None),
            ("Received HTTP code 407 from proxy after CONNECT", Some(407)),
            ("HTTP/2 stream 5 was not closed", None),
        ] {
            assert_eq!(git_status(line), status, "{line}");
        }
        assert_eq!(curl_code("error: RPC failed; curl 92 HTTP/2 stream 5"), Some(92));
        assert_eq!(curl_code("error: RPC failed; curl 123 x"), None);
        assert_eq!(status("404 Not Found"), Some(404));
        assert_eq!(status("40"), None);
        assert_eq!(status("4041"), None);
        assert_eq!(status("1é"), None);
        assert_eq!(file_position("main.go:3:8: x"), Some(12));
        assert_eq!(file_position("main.go:3: x"), Some(10));
        assert_eq!(file_position("x: main.go:3: x"), None);
        assert!(is_openssl("error:0A000086:SSL routines::x") && !is_openssl("error:00000000:lib(0)"));
        assert!(is_ssh_connection("Connection closed by 192.0.2.1 port 22"));
    }

    #[test]
    fn knows_a_line_that_ends_inside_a_url() {
        for line in [
            "go get x: Get https://p.example/a.b",
            "go: x: Get \"https://p.example/a",
        ] {
            assert!(ends_in_url(line), "{line}");
        }
        for line in [
            "go get x: Get https://p.example/a.b:",
            "go: x: Get \"https://p.example/a\"",
            "see https://p.example/a",
            "Get ",
            "https://p.example/a",
        ] {
            assert!(!ends_in_url(line), "{line}");
        }
    }
}
