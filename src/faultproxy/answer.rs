//! The answer to a request: what a healthy proxy says, and what faults that lie
//! in the message itself (and not in the connection) make of it.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

use super::catalogue::Catalogue;
use super::fault::{Asked, Fault, Kind};
use super::sumdb::{Reply, SumDb};
use crate::text::hex;

/// A whole answer, before it is put on the wire.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<[u8]>,
}

const TEXT: &str = "text/plain; charset=UTF-8";

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: body.into(),
        }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::new(status, TEXT, body.as_bytes())
    }

    #[must_use]
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What a healthy proxy with this catalogue and database says.
pub(super) fn healthy(asked: &Asked, catalogue: &Catalogue, sumdb: Option<&SumDb>) -> Answer {
    module_answer(asked, catalogue)
        .or_else(|| sumdb_answer(asked, sumdb))
        .unwrap_or_else(|| Answer::text(404, "not found: no such module or version here\n"))
}

fn module_answer(asked: &Asked, catalogue: &Catalogue) -> Option<Answer> {
    let module = asked.module.as_deref()?;
    let packed = || catalogue.get(module, asked.version.as_deref()?);
    Some(match asked.kind {
        Kind::List => {
            catalogue.latest(module)?;
            let list: String = catalogue
                .versions(module)
                .map(|version| format!("{version}\n"))
                .collect();
            Answer::text(200, &list)
        }
        Kind::Latest => Answer::new(200, "application/json", catalogue.latest(module)?.info.clone()),
        Kind::Info => Answer::new(200, "application/json", packed()?.info.clone()),
        Kind::Mod => Answer::new(200, TEXT, packed()?.go_mod.clone()),
        Kind::Zip => Answer::new(200, "application/zip", packed()?.zip.clone()),
        _ => return None,
    })
}

fn sumdb_answer(asked: &Asked, sumdb: Option<&SumDb>) -> Option<Answer> {
    let (name, path) = asked.sumdb.as_ref()?;
    match sumdb.filter(|db| db.name() == name)?.answer(path) {
        Reply::Text(text) => Some(Answer::text(200, &text)),
        Reply::Data(data) => Some(Answer::new(200, "application/octet-stream", data)),
        Reply::Missing => None,
    }
}

/// Cuts an answer down to the range that a request asks for (RFC 9110, 14): one
/// `bytes=` range, and only while `If-Range` names the same body.
pub(super) fn ranged(answer: Answer, range: Option<&str>, if_range: Option<&str>) -> Answer {
    if answer.status != 200 {
        return answer;
    }
    let tag = format!("\"{}\"", &hex(digest(&SHA256, &answer.body).as_ref())[..32]);
    let answer = answer.header("ETag", &tag).header("Accept-Ranges", "bytes");
    let total = answer.body.len();
    let Some((first, last)) = range.and_then(parse_range) else {
        return answer;
    };
    if if_range.is_some_and(|wanted| wanted != tag) {
        return answer;
    }
    let last = last.unwrap_or(total).min(total.saturating_sub(1));
    match answer.body.get(first..=last).filter(|part| !part.is_empty()) {
        Some(part) => {
            let body = Arc::from(part);
            let place = format!("bytes {first}-{last}/{total}");
            Answer {
                status: 206,
                body,
                ..answer
            }
            .header("Content-Range", &place)
        }
        None => {
            Answer::text(416, "range not satisfiable\n").header("Content-Range", &format!("bytes */{total}"))
        }
    }
}

/// Reads `bytes=FIRST-` and `bytes=FIRST-LAST`; anything else is ignored, as the RFC allows.
fn parse_range(range: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.trim().parse().ok()?;
    let last = match last.trim() {
        "" => None,
        digits => Some(digits.parse().ok().filter(|last| *last >= first)?),
    };
    Some((first, last))
}

/// The page that [`Fault::Portal`] sends.
const PORTAL: &str = "<!DOCTYPE html>\n<html><head><title>Sign in to the network</title></head>\n\
    <body><h1>Welcome</h1><p>Please accept the terms to go on.</p></body></html>\n";

/// Applies a fault that lies in the message. Faults of the connection leave it as it is.
pub(super) fn spoil(fault: &Fault, target: &str, answer: Answer) -> Answer {
    match fault {
        Fault::Status {
            code,
            retry_after,
            body,
        } => {
            let text = body.clone().unwrap_or_else(|| format!("{}\n", reason(*code)));
            let answer = Answer::text(*code, &text);
            match retry_after {
                Some(value) => answer.header("Retry-After", value),
                None => answer,
            }
        }
        Fault::Respond { code, headers, body } => Answer {
            status: *code,
            headers: headers.clone(),
            body: body.as_bytes().into(),
        },
        Fault::Portal => Answer::new(200, "text/html; charset=utf-8", PORTAL.as_bytes()),
        Fault::EmptyBody => Answer {
            body: Arc::from([]),
            ..answer
        },
        Fault::ShortBody { after } => {
            let keep = cut(*after, answer.body.len());
            let body = answer.body.get(..keep).unwrap_or_default().into();
            Answer { body, ..answer }
        }
        Fault::BitFlip => {
            let mut body = answer.body.to_vec();
            let middle = body.len() / 2;
            if let Some(byte) = body.get_mut(middle) {
                *byte ^= 0x10;
            }
            Answer {
                body: body.into(),
                ..answer
            }
        }
        Fault::WrongVersion { version } => {
            let info = serde_json::json!({ "Version": version, "Time": "2024-01-02T03:04:05Z" });
            Answer::new(200, "application/json", info.to_string().into_bytes())
        }
        Fault::RedirectLoop => Answer::text(302, "again\n").header("Location", target),
        Fault::Redirect { to } => {
            let place = match to.strip_suffix('/') {
                Some(base) => format!("{base}{target}"),
                None => to.clone(),
            };
            Answer::text(302, "elsewhere\n").header("Location", &place)
        }
        Fault::GzipBomb { mib } => Answer {
            body: gzip_bomb(*mib).into(),
            ..answer
        }
        .header("Content-Encoding", "gzip"),
        _ => answer,
    }
}

/// Where a body of `len` bytes is cut: at `after`, else in the middle, but always
/// before its end.
pub(super) fn cut(after: Option<u64>, len: usize) -> usize {
    let wanted = after.map_or(len / 2, |after| usize::try_from(after).unwrap_or(usize::MAX));
    wanted.min(len.saturating_sub(1))
}

/// A gzip file of `mib` members, each of which unpacks to one MiB of zeros.
fn gzip_bomb(mib: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let member = encoder
        .write_all(&vec![0; 1 << 20])
        .and_then(|()| encoder.finish())
        .unwrap_or_default();
    member.repeat(mib as usize)
}

/// The reason phrase of a status (RFC 9110, 6585, 7725), as servers send it.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        416 => "Range Not Satisfiable",
        425 => "Too Early",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &Answer) -> &str {
        std::str::from_utf8(&answer.body).unwrap()
    }

    fn tag(answer: &Answer) -> &str {
        &answer.headers.iter().find(|(name, _)| name == "ETag").unwrap().1
    }

    #[test]
    fn ranges_are_cut_as_asked() {
        let whole = ranged(Answer::text(200, "0123456789"), None, None);
        assert_eq!((whole.status, body(&whole)), (200, "0123456789"));
        let tail = ranged(
            Answer::text(200, "0123456789"),
            Some("bytes=7-"),
            Some(tag(&whole)),
        );
        assert_eq!((tail.status, body(&tail)), (206, "789"));
        assert!(
            tail.headers
                .contains(&("Content-Range".into(), "bytes 7-9/10".into()))
        );
        let middle = ranged(Answer::text(200, "0123456789"), Some("bytes=2-3"), None);
        assert_eq!((middle.status, body(&middle)), (206, "23"));
        let changed = ranged(
            Answer::text(200, "0123456789"),
            Some("bytes=7-"),
            Some("\"other\""),
        );
        assert_eq!((changed.status, body(&changed)), (200, "0123456789"));
        assert_eq!(
            ranged(Answer::text(200, "0123456789"), Some("bytes=10-"), None).status,
            416
        );
    }

    #[test]
    fn a_cut_never_leaves_the_whole_body() {
        assert_eq!(cut(None, 10), 5);
        assert_eq!(cut(Some(3), 10), 3);
        assert_eq!(cut(Some(99), 10), 9);
        assert_eq!(cut(None, 0), 0);
    }

    #[test]
    fn a_redirect_keeps_the_path_where_it_should() {
        let location = |to: &str| {
            let answer = spoil(
                &Fault::Redirect { to: to.into() },
                "/a/@v/list",
                Answer::text(200, ""),
            );
            answer
                .headers
                .into_iter()
                .find(|(name, _)| name == "Location")
                .unwrap()
                .1
        };
        assert_eq!(location("http://127.0.0.1:1/"), "http://127.0.0.1:1/a/@v/list");
        assert_eq!(location("file:///etc/passwd"), "file:///etc/passwd");
    }
}
