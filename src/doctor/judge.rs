//! From measurements to findings. Pure.
//!
//! Known limitations: that a middlebox intercepts TLS can be told only where
//! its certificate is not trusted, or where its issuer calls itself by the name
//! of such a product, or stands in front of Go's own servers.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::net::url::Scheme;
use crate::text::safe;
use crate::text::{bytes, duration};

use super::probe::{Answer, Dialled, Measured, Step};
use super::remedy::{self, Remedy};
use super::row::{Grade, Row, SLOW, TIMEOUT};
use super::target::{Role, Target};
use super::words::{self, Refusal, StepError};

/// A slower first answer is worth a warning.
const SLOW_ANSWER: Duration = Duration::from_secs(2);
/// A slower transfer is worth a warning.
const SLOW_BYTES_PER_SECOND: u64 = 50 << 10;
/// A clock that is wrong by more makes certificates invalid sooner or later.
const SKEW_NOTE: i64 = 120;
const SKEW_WARNING: i64 = 3600;
/// A certificate that ends sooner is worth a note.
const EXPIRES_SOON_DAYS: i64 = 7;

/// Products that put themselves into the middle of TLS, by what their issuers call themselves.
const MIDDLEBOXES: &[&str] = &[
    "Zscaler",
    "Fortinet",
    "FortiGate",
    "Palo Alto",
    "Blue Coat",
    "Netskope",
    "Sophos",
    "Cisco Umbrella",
    "Forcepoint",
    "Check Point",
    "WatchGuard",
    "Barracuda",
    "Kaspersky",
    "avast!",
    "Avast",
    "ESET SSL",
    "Bitdefender",
    "McAfee",
    "Sangfor",
    "Untangle",
    "pfSense",
    "mitmproxy",
    "Charles Proxy",
    "Fiddler",
];
/// Issuers of the certificates of Go's own servers.
const GOOGLE: &str = "Google Trust Services";

/// What is found of one server. The first row is the one about the server itself. `certificates` installs authorities
/// where there are none.
pub(super) fn rows(
    target: &Target,
    measured: &Measured,
    now: Timestamp,
    certificates: Option<&Remedy>,
) -> Vec<Row> {
    let judge = Judge {
        target,
        measured,
        now,
        certificates: certificates.cloned(),
    };
    let mut rows = vec![judge.server()];
    rows.extend(judge.addresses());
    rows.extend(judge.http2());
    rows.extend(judge.certificate());
    rows.extend(judge.clock());
    rows.extend(judge.checksum_database());
    rows
}

/// go reaches the checksum database through a proxy: the database's own server
/// being out of reach is no trouble then.
pub(super) fn not_needed(rows: &mut [Row], proxy: &str) {
    for row in rows.iter_mut().filter(|row| row.grade > Grade::Note) {
        row.grade = Grade::Note;
        row.found = format!(
            "{}; go does not need it while {proxy} serves the checksum database",
            row.found
        );
        row.fix = None;
    }
}

struct Judge<'a> {
    target: &'a Target,
    measured: &'a Measured,
    now: Timestamp,
    certificates: Option<Remedy>,
}

/// The variables that name the proxy for URLs of this scheme.
pub(super) fn proxy_variables(scheme: Scheme) -> (&'static str, &'static str) {
    match scheme {
        Scheme::Http => ("HTTP_PROXY", "http_proxy"),
        Scheme::Https => ("HTTPS_PROXY", "https_proxy"),
    }
}

/// Goes without the proxy that such URLs are asked through.
pub(super) fn without_proxy(scheme: Scheme) -> Remedy {
    let (upper, lower) = proxy_variables(scheme);
    remedy::unset(&[upper, lower])
}

fn set_clock() -> Remedy {
    remedy::run(["timedatectl", "set-ntp", "true"])
}

impl Judge<'_> {
    fn row(&self, grade: Grade, found: impl Into<String>) -> Row {
        let mut from = self.target.from.clone();
        if let Some(via) = &self.measured.via {
            from = format!("{from}; through the proxy {via}");
        }
        Row::new(grade, self.target.shown.clone(), found, from)
    }

    /// The one row that says whether this server is of use.
    fn server(&self) -> Row {
        let m = self.measured;
        if let Some(words) = &m.via_error {
            return self
                .row(Grade::Broken, words.clone())
                .fix(without_proxy(self.target.url.scheme));
        }
        if let Some(interface) = &m.loses_large_packets {
            let found = "packets of full size are lost on the way (an MTU black hole, often behind a VPN): \
                         the same file comes through in small packets";
            let row = self.row(Grade::Broken, found);
            let mtu = || remedy::run(["ip", "link", "set", "dev", interface, "mtu", "1280"]);
            return row.fix((!interface.is_empty()).then(mtu));
        }
        self.name()
            .or_else(|| self.connection())
            .or_else(|| self.handshake())
            .or_else(|| self.answer())
            .unwrap_or_else(|| self.good())
    }

    /// Whom the connection goes to: the server or the proxy in front of it.
    fn first_host(&self) -> &str {
        self.measured.via.as_deref().unwrap_or(&self.target.url.host)
    }

    fn name(&self) -> Option<Row> {
        match &self.measured.resolved {
            Some(Err(error)) => {
                let words = words::lookup(error);
                let found = format!(
                    "the name {} does not resolve: {}",
                    self.first_host(),
                    safe(&words)
                );
                Some(self.row(Grade::Broken, found).fix(match self.measured.via {
                    Some(_) => without_proxy(self.target.url.scheme),
                    None => remedy::run(["getent", "hosts", &self.target.url.host]),
                }))
            }
            None if !self.measured.done => Some(self.hung("before its name was resolved")),
            _ => None,
        }
    }

    fn connection(&self) -> Option<Row> {
        match &self.measured.connect {
            Some(Ok(_)) => None,
            Some(Err(blocked)) => {
                let found = format!(
                    "the proxy {} does not allow the connection: {}",
                    self.first_host(),
                    blocked.words
                );
                let row = self.row(Grade::Broken, found);
                Some(row.fix(if blocked.wants_login {
                    let (name, _) = proxy_variables(self.target.url.scheme);
                    remedy::export(name, "http://USER:PASSWORD@HOST:PORT")
                } else {
                    remedy::no_proxy(&self.target.url.host)
                }))
            }
            None if self.measured.dialled.is_empty() => Some(self.hung("before it connected")),
            None => Some(self.no_connection()),
        }
    }

    fn no_connection(&self) -> Row {
        let host = self.first_host();
        let refusals = self.measured.dialled.iter().filter_map(|d| d.refusal.as_ref());
        let (refusal, words) = match refusals.min_by_key(|(refusal, _)| *refusal) {
            Some((refusal, words)) => (*refusal, words.as_str()),
            None => (Refusal::Other, "no connection"),
        };
        let found = match refusal {
            Refusal::Refused => {
                format!("{host} refuses connections: nothing is listening there, or a firewall rejects them")
            }
            Refusal::Dropped => {
                format!(
                    "{host} does not respond to connection attempts: a firewall drops them, or the host is down"
                )
            }
            Refusal::Unreachable => format!("{host} cannot be reached from here: {words}"),
            Refusal::NoPorts => "this machine has no free local port (EADDRNOTAVAIL)".to_owned(),
            Refusal::NoDescriptors => "this process has no file descriptors left (EMFILE)".to_owned(),
            Refusal::Forbidden => format!("this machine itself blocks connections to {host}: {words}"),
            Refusal::Other => format!("cannot connect to {host}: {words}"),
        };
        let row = self.row(Grade::Broken, found);
        match refusal {
            Refusal::NoPorts => row.fix(remedy::run([
                "sysctl",
                "-w",
                "net.ipv4.ip_local_port_range=1024 65535",
            ])),
            Refusal::NoDescriptors => row.fix(remedy::run(["ulimit", "-n", "4096"])),
            Refusal::Unreachable => row.fix(remedy::run(["ip", "route"])),
            _ if self.measured.via.is_some() => row.fix(without_proxy(self.target.url.scheme)),
            _ => row,
        }
    }

    fn handshake(&self) -> Option<Row> {
        let m = self.measured;
        if self.target.url.scheme == Scheme::Http {
            return None;
        }
        match &m.handshake {
            Some(Ok(_)) => None,
            None => Some(self.hung("in the TLS handshake")),
            Some(Err(words)) => Some(match &m.certificate_refused {
                Some(why) => self.bad_certificate(why),
                None => {
                    let row = self.row(Grade::Broken, format!("the TLS handshake fails: {words}"));
                    match words {
                        StepError::NoRoots => row.fix(self.certificates.clone()),
                        other => row.id(other.id()),
                    }
                }
            }),
        }
    }

    fn bad_certificate(&self, why: &str) -> Row {
        let Some(certificate) = &self.measured.certificate else {
            return self.row(
                Grade::Broken,
                format!("the certificate does not verify: {}", safe(why)),
            );
        };
        let issuer = safe(&certificate.issuer);
        let found = format!(
            "the certificate does not verify: {}; issued by {issuer}",
            safe(why)
        );
        if certificate.not_after < self.now || certificate.not_before > self.now {
            let span = format!(
                "valid from {} to {}",
                day(certificate.not_before),
                day(certificate.not_after)
            );
            let found = format!("{found}; {span}, but this machine's date is {}", day(self.now));
            return self.row(Grade::Broken, found).fix(set_clock());
        }
        if why == words::UNKNOWN_ISSUER {
            let found = format!(
                "{found}: a middlebox on the way, or a private authority. To make go trust it, put its certificate in FILE"
            );
            return self
                .row(Grade::Broken, found)
                .fix(remedy::export("SSL_CERT_FILE", "FILE"));
        }
        self.row(Grade::Broken, found)
    }

    fn answer(&self) -> Option<Row> {
        let m = self.measured;
        let step = match self.target.role {
            Role::Host => return None,
            Role::Sumdb => &m.sumdb,
            Role::Proxy => &m.info,
        };
        if m.is_http_proxy {
            let found = "this is an HTTP proxy, not a module proxy: set it in HTTPS_PROXY, and list only module proxies in GOPROXY";
            let row = self.row(Grade::Broken, found);
            // A URL with credentials is not printed.
            let url = Some(&self.target.shown).filter(|url| !url.contains('@'));
            return Some(row.fix(url.map(|url| remedy::export("HTTPS_PROXY", url))));
        }
        match step {
            None => Some(self.hung("before it answered a request")),
            Some(Err(error)) => {
                let found = format!("it accepts the connection, then fails: {error}");
                Some(self.row(Grade::Broken, found).id(error.id()))
            }
            Some(Ok((Answer::Garbage(what), _))) => Some(self.garbage(what)),
            Some(Ok((Answer::Status(status, words), _))) => Some(self.status(*status, words)),
            Some(Ok((Answer::Good, _))) => self.files(),
        }
    }

    fn garbage(&self, what: &str) -> Row {
        let found = format!(
            "the server that answers is not a {}: {}. A captive portal that requires a login, or a wrong URL",
            if self.target.role == Role::Sumdb {
                "checksum database"
            } else {
                "module proxy"
            },
            safe(what)
        );
        self.row(Grade::Broken, found)
            .fix(remedy::run(["curl", "-sSi", &self.target.shown]))
    }

    fn status(&self, status: u16, words: &str) -> Row {
        let said = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", safe(words))
        };
        match status {
            401 | 403 | 407 => {
                let found = format!(
                    "it refuses access with {status}{said}: credentials are missing, or a policy forbids it"
                );
                self.row(Grade::Broken, found)
                    .fix(remedy::add_to_netrc(&self.target.url.host))
            }
            404 | 410 => {
                let found = format!("it answers, but does not have the requested module ({status})");
                self.row(Grade::Note, found)
            }
            429 => self.row(
                Grade::Warning,
                format!("it limits the rate of requests (429){said}"),
            ),
            500..600 => self.row(
                Grade::Broken,
                format!("the server itself is failing: {status}{said}"),
            ),
            _ => self.row(Grade::Broken, format!("it answers {status}{said}")),
        }
    }

    /// The steps behind the first answer.
    fn files(&self) -> Option<Row> {
        if self.target.role != Role::Proxy {
            return None;
        }
        let m = self.measured;
        for (step, name) in [(&m.go_mod, "go.mod"), (&m.zip, "zip")] {
            let (words, id) = match step {
                Some(Ok((Answer::Good, _))) => continue,
                Some(Ok((Answer::Status(status, _), _))) => (format!("answered with {status}"), None),
                Some(Ok((Answer::Garbage(what), _))) => (format!("not a {name}: {}", safe(what)), None),
                Some(Err(error)) => (error.to_string(), error.id()),
                None if m.done => continue,
                None => (format!("it hangs ({})", safe(&m.doing)), Some(TIMEOUT)),
            };
            let other = m.redirected.as_ref().filter(|_| name == "zip");
            let name = match other {
                Some(host) => format!("zip, which {host} serves,"),
                None => name.to_owned(),
            };
            let found = format!("small answers arrive, but the {name} does not: {words}");
            return Some(self.row(Grade::Broken, found).id(id));
        }
        None
    }

    fn hung(&self, when: &str) -> Row {
        let doing = &self.measured.doing;
        let doing = if doing.is_empty() {
            String::new()
        } else {
            format!(" ({})", safe(doing))
        };
        self.row(
            Grade::Broken,
            format!("it hangs {when}{doing}; go would wait forever or very long"),
        )
        .id(TIMEOUT)
    }

    fn good(&self) -> Row {
        let m = self.measured;
        let mut parts = Vec::new();
        if let Some(Ok(took)) = &m.connect {
            parts.push(format!("connects in {}", millis(*took)));
        }
        if let Some((session, took)) = good(&m.handshake) {
            let http = if session.http2 { "HTTP/2" } else { "HTTP/1.1" };
            parts.push(format!("{} in {}, {http}", session.version, millis(*took)));
        }
        if let Some(took) = m.latency() {
            parts.push(format!("answers in {}", millis(took)));
        }
        if let Some((_, took)) = good(&m.sumdb).filter(|_| self.target.role == Role::Sumdb) {
            parts.push(format!("answers in {}", millis(*took)));
        }
        let speed = m.speed.map(|(n, took)| per_second(n, took));
        if let Some(speed) = speed {
            parts.push(format!("{}/s", bytes(speed)));
        }
        if let Some(host) = &m.redirected {
            parts.push(format!("zips come from {host}"));
        }
        if speed.is_some_and(|speed| speed < SLOW_BYTES_PER_SECOND) {
            let found = format!("it works, but slowly: {}", parts.join(", "));
            return self.row(Grade::Warning, found).id(SLOW);
        }
        if m.latency().is_some_and(|took| took > SLOW_ANSWER) {
            let found = format!("it works, but responds late: {}", parts.join(", "));
            return self.row(Grade::Warning, found).id(SLOW);
        }
        self.row(Grade::Fine, parts.join(", "))
    }

    /// Where one family of addresses works and the other does not.
    fn addresses(&self) -> Option<Row> {
        let m = self.measured;
        if !matches!(m.connect, Some(Ok(_))) {
            return None;
        }
        let family = |v6: bool| m.dialled.iter().filter(move |d| d.address.is_ipv6() == v6);
        let works = |v6: bool| family(v6).any(|d| d.refusal.is_none());
        // A machine without IPv6 says so at once, which costs nothing. Where another address has a local port, it is
        // the local address that this family lacks.
        let fails = |d: &Dialled| {
            let refusal = d.refusal.as_ref();
            refusal.is_some_and(|(r, _)| !matches!(r, Refusal::Unreachable | Refusal::NoPorts))
        };
        let dead = |v6: bool| !works(v6) && family(v6).any(fails);
        if works(false) && dead(true) {
            let found = format!(
                "IPv6 is configured but does not work: {}",
                first_refusal(family(true))
            );
            return Some(self.row(Grade::Warning, found).fix(remedy::run([
                "sysctl",
                "-w",
                "net.ipv6.conf.all.disable_ipv6=1",
            ])));
        }
        if works(true) && dead(false) {
            return Some(self.row(
                Grade::Note,
                format!("only IPv6 works: {}", first_refusal(family(false))),
            ));
        }
        let bad: Vec<&Dialled> = m.dialled.iter().filter(|d| d.refusal.is_some()).collect();
        let real = bad.iter().filter(|d| fails(d)).count();
        (real > 0).then(|| {
            let found = format!(
                "{real} of {} addresses do not work: {}",
                m.dialled.len(),
                first_refusal(bad.into_iter())
            );
            self.row(Grade::Note, found)
        })
    }

    fn http2(&self) -> Option<Row> {
        let words = self.measured.http2_broken.as_ref()?;
        let found = format!(
            "HTTP/2 breaks ({}), HTTP/1.1 works: a middlebox does not support HTTP/2",
            safe(words)
        );
        Some(
            self.row(Grade::Warning, found)
                .fix(remedy::export("GODEBUG", "http2client=0")),
        )
    }

    /// What a certificate that verifies still tells.
    fn certificate(&self) -> Option<Row> {
        let m = self.measured;
        let certificate = m.certificate.as_ref()?;
        if m.certificate_refused.is_some() || m.via_error.is_some() {
            return None;
        }
        let issuer = safe(&certificate.issuer);
        let product = MIDDLEBOXES.iter().any(|name| certificate.issuer.contains(name));
        let host = &self.target.url.host;
        let go_host = host == "proxy.golang.org" || host == "sum.golang.org";
        if product || (go_host && !certificate.issuer.contains(GOOGLE)) {
            let found = format!(
                "TLS is intercepted: the certificate was issued by {issuer}, which this machine trusts"
            );
            return Some(self.row(Grade::Note, found));
        }
        let days = certificate.not_after.duration_since(self.now).as_hours() / 24;
        (days < EXPIRES_SOON_DAYS).then(|| {
            let found = format!(
                "its certificate ends on {} (issued by {issuer})",
                day(certificate.not_after)
            );
            self.row(Grade::Note, found)
        })
    }

    fn clock(&self) -> Option<Row> {
        let skew = self.measured.skew?.as_secs();
        let off = skew.unsigned_abs();
        if off < SKEW_NOTE.unsigned_abs() {
            return None;
        }
        let grade = if off > SKEW_WARNING.unsigned_abs() {
            Grade::Warning
        } else {
            Grade::Note
        };
        let direction = if skew > 0 { "behind" } else { "ahead of" };
        let found = format!(
            "this machine's clock is {} {direction} the server's",
            duration(Duration::from_secs(off))
        );
        let row = Row::new(
            grade,
            "clock",
            found,
            format!("Date header of {}", self.target.shown),
        );
        Some(row.fix(set_clock()))
    }

    /// Whether a proxy serves the checksum database too.
    fn checksum_database(&self) -> Option<Row> {
        if self.target.role != Role::Proxy {
            return None;
        }
        let (found, id) = match self.measured.sumdb.as_ref()? {
            Ok((Answer::Good, _)) => return None,
            Ok((Answer::Status(404 | 410, _), _)) => return None,
            Ok((Answer::Status(status, _), _)) => (format!("its checksum database answers {status}"), None),
            Ok((Answer::Garbage(what), _)) => {
                (format!("its checksum database answers with {}", safe(what)), None)
            }
            Err(error) => (format!("its checksum database fails: {error}"), error.id()),
        };
        let found = format!("{found}; go may stop there instead of asking another server");
        Some(self.row(Grade::Warning, found).id(id))
    }
}

fn good<T>(step: &Option<Step<T>>) -> Option<&(T, Duration)> {
    step.as_ref().and_then(|step| step.as_ref().ok())
}

fn first_refusal<'a>(mut dialled: impl Iterator<Item = &'a Dialled>) -> String {
    let found = dialled.find_map(|d| d.refusal.as_ref().map(|(_, words)| (d.address, words)));
    found.map_or_else(String::new, |(address, words)| {
        format!("{}: {words}", SocketAddr::ip(&address))
    })
}

pub(super) fn per_second(n: u64, took: Duration) -> u64 {
    (n as f64 / took.as_secs_f64().max(0.001)) as u64
}

fn millis(d: Duration) -> String {
    if d < Duration::from_secs(2) {
        format!("{} ms", d.as_millis())
    } else {
        duration(d)
    }
}

fn day(t: Timestamp) -> String {
    t.to_string().split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::probe::Handshake;
    use crate::net::url::Url;

    fn target(url: &str, role: Role) -> Target {
        let (shown, from) = (url.to_owned(), "GOPROXY (environment)".to_owned());
        Target {
            role,
            url: Url::parse(url).unwrap(),
            shown,
            from,
            routes: vec![1],
        }
    }

    fn dialled(address: &str, errno: Option<i32>) -> Dialled {
        let refusal = errno.map(|errno| {
            let error = std::io::Error::from_raw_os_error(errno);
            (Refusal::of(&error), words::io(&error))
        });
        Dialled {
            address: SocketAddr::new(address.parse().unwrap(), 443),
            refusal,
        }
    }

    /// A server of which nothing but the connection attempts is known.
    fn unconnected(attempts: Vec<Dialled>) -> Measured {
        let addresses = attempts.iter().map(|d| d.address).collect();
        let resolved = Some(Ok((addresses, Duration::from_millis(5))));
        Measured {
            resolved,
            dialled: attempts,
            done: true,
            ..Measured::default()
        }
    }

    /// One that works in every step.
    fn good(attempts: Vec<Dialled>) -> Measured {
        let ms = Duration::from_millis(20);
        Measured {
            connect: Some(Ok(ms)),
            handshake: Some(Ok((
                Handshake {
                    version: "TLS 1.3",
                    http2: true,
                },
                ms,
            ))),
            info: Some(Ok((Answer::Good, ms))),
            go_mod: Some(Ok((Answer::Good, ms))),
            zip: Some(Ok((Answer::Good, ms))),
            ..unconnected(attempts)
        }
    }

    fn judged(measured: &Measured) -> Vec<Row> {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        rows(&target("https://proxy.example", Role::Proxy), measured, now, None)
    }

    #[track_caller]
    fn first(measured: &Measured, grade: Grade, text: &str) -> Row {
        let row = judged(measured).remove(0);
        assert!(row.grade == grade && row.found.contains(text), "{row:?}");
        row
    }

    #[test]
    fn what_keeps_a_connection_from_coming_about_is_told_apart() {
        let cases = [
            (libc::ECONNREFUSED, "refuses connections"),
            (libc::ETIMEDOUT, "does not respond to connection attempts"),
            (libc::ENETUNREACH, "cannot be reached from here"),
            (libc::EHOSTUNREACH, "cannot be reached from here"),
            (libc::EADDRNOTAVAIL, "no free local port (EADDRNOTAVAIL)"),
            (libc::EMFILE, "no file descriptors left (EMFILE)"),
            (libc::EPERM, "this machine itself blocks"),
            (libc::ECONNRESET, "connection reset by peer"),
        ];
        for (errno, text) in cases {
            first(
                &unconnected(vec![dialled("192.0.2.1", Some(errno))]),
                Grade::Broken,
                text,
            );
        }
    }

    #[test]
    fn of_several_addresses_the_most_telling_refusal_is_shown() {
        let attempts = vec![
            dialled("2001:db8::1", Some(libc::ENETUNREACH)),
            dialled("192.0.2.1", Some(libc::ETIMEDOUT)),
        ];
        first(&unconnected(attempts), Grade::Broken, "does not respond");
    }

    #[test]
    fn dead_ipv6_is_a_warning_and_absent_ipv6_is_nothing() {
        let working = || dialled("192.0.2.1", None);
        let dead = judged(&good(vec![
            working(),
            dialled("2001:db8::1", Some(libc::ETIMEDOUT)),
        ]));
        assert_eq!(dead[0].grade, Grade::Fine);
        assert_eq!(dead[1].grade, Grade::Warning);
        assert!(
            dead[1]
                .found
                .starts_with("IPv6 is configured but does not work: 2001:db8::1"),
            "{dead:?}"
        );
        let absent = judged(&good(vec![
            working(),
            dialled("2001:db8::1", Some(libc::ENETUNREACH)),
        ]));
        assert_eq!(absent.len(), 1, "{absent:?}");
        let one_of_two = judged(&good(vec![
            working(),
            dialled("192.0.2.2", Some(libc::ECONNREFUSED)),
        ]));
        assert_eq!(
            one_of_two[1].found,
            "1 of 2 addresses do not work: 192.0.2.2: connection refused"
        );
    }

    #[test]
    fn whatever_step_hangs_is_named() {
        let mut hung = Measured {
            doing: "looking up proxy.example".into(),
            ..Measured::default()
        };
        first(
            &hung,
            Grade::Broken,
            "it hangs before its name was resolved (looking up proxy.example)",
        );
        hung = Measured {
            doing: "connecting".into(),
            done: false,
            ..unconnected(vec![])
        };
        first(&hung, Grade::Broken, "it hangs before it connected");
        hung = Measured {
            info: None,
            done: false,
            ..good(vec![dialled("192.0.2.1", None)])
        };
        first(&hung, Grade::Broken, "it hangs before it answered a request");
        hung = Measured {
            zip: None,
            done: false,
            ..good(vec![dialled("192.0.2.1", None)])
        };
        first(
            &hung,
            Grade::Broken,
            "small answers arrive, but the zip does not: it hangs",
        );
    }

    #[test]
    fn an_answer_that_fails_is_graded_by_what_it_says() {
        let with = |answer: Answer| Measured {
            info: Some(Ok((answer, Duration::from_millis(1)))),
            ..good(vec![dialled("192.0.2.1", None)])
        };
        first(
            &with(Answer::Status(401, String::new())),
            Grade::Broken,
            "refuses access with 401",
        );
        first(&with(Answer::Status(410, String::new())), Grade::Note, "(410)");
        first(
            &with(Answer::Status(502, "bad \x1b".into())),
            Grade::Broken,
            "502: bad \u{fffd}",
        );
        first(
            &with(Answer::Garbage("a web page".into())),
            Grade::Broken,
            "captive portal",
        );
        let slow = Measured {
            info: Some(Ok((Answer::Good, Duration::from_secs(3)))),
            ..good(vec![dialled("192.0.2.1", None)])
        };
        first(&slow, Grade::Warning, "responds late");
    }

    #[test]
    fn a_sumdb_that_fails_behind_a_proxy_is_a_warning() {
        let ms = Duration::from_millis(1);
        let with = |step: Step<Answer>| Measured {
            sumdb: Some(step),
            ..good(vec![dialled("192.0.2.1", None)])
        };
        assert_eq!(
            judged(&with(Ok((Answer::Status(404, String::new()), ms)))).len(),
            1
        );
        let broken = judged(&with(Ok((Answer::Status(503, String::new()), ms))));
        assert_eq!(broken[1].grade, Grade::Warning);
        assert!(broken[1].found.contains("its checksum database answers 503"));
    }

    #[test]
    fn interception_shows_in_the_issuer_even_where_it_is_trusted() {
        let certificate = |issuer: &str, until: &str| crate::net::certificate::Certificate {
            issuer: issuer.into(),
            subject: "proxy".into(),
            not_before: "2025-01-01T00:00:00Z".parse().unwrap(),
            not_after: until.parse().unwrap(),
        };
        let with = |host: &str, issuer: &str, until: &str| {
            let measured = Measured {
                certificate: Some(certificate(issuer, until)),
                ..good(vec![dialled("192.0.2.1", None)])
            };
            let now = "2026-01-02T00:00:00Z".parse().unwrap();
            let rows = rows(&target(host, Role::Proxy), &measured, now, None);
            rows.get(1).map(|row| row.found.clone())
        };
        let later = "2026-06-01T00:00:00Z";
        assert_eq!(with("https://goproxy.example", "Some CA", later), None);
        assert!(
            with("https://goproxy.example", "Fortinet Ltd.", later)
                .unwrap()
                .contains("intercepted")
        );
        assert!(
            with("https://proxy.golang.org", "Some CA", later)
                .unwrap()
                .contains("intercepted")
        );
        assert_eq!(
            with("https://proxy.golang.org", "Google Trust Services, WR2", later),
            None
        );
        assert!(
            with("https://goproxy.example", "Some CA", "2026-01-05T00:00:00Z")
                .unwrap()
                .contains("ends on 2026-01-05")
        );
    }
}
