//! Recognises what go said: text to diagnosis. Pure.
//!
//! | stage | where | from | to |
//! |---|---|---|---|
//! | lines | `lines.rs` | bytes in any encoding | lines without escapes and prefixes of CI systems |
//! | blocks | `scan.rs` | lines, JSON, quoted strings, frames of tests | a message of go's with the lines that belong to it |
//! | parts | `block.rs`, `gotext.rs` | a block | requests, causes, go's own words, what a VCS said |
//! | rules | `matcher.rs`, `rules.rs` | a part | the row of the table that decides it |
//! | fault | `block.rs` | a row and its block | module, version, host, whom it speaks of, what to mend, which advice |
//! | findings | `scan.rs` | faults | those that count: no remarks, no consequences of others |
//! | diagnosis | `mod.rs`, `advice.rs` | findings | one verdict and one sentence |
//!
//! Nothing here touches a disk, a clock or the network. What only the state of
//! the disk can decide is said as [`Needs::Disk`] and left to `repair`.

use std::fmt;

mod advice;
mod block;
mod explain;
pub mod gotext;
mod lines;
mod matcher;
pub mod rules;
mod scan;
pub mod topics;
mod words;

pub use explain::{Explanation, explain, explain_line};
pub use matcher::RuleSet;
pub use scan::{Finding, Findings, Scanner};

/// What a diagnosis means for the next step.
///
/// The order is the order of precedence inside one block of text: an answer
/// settles a block however many faults stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The same route may heal.
    Retry,
    /// Only another route can deliver.
    Switch,
    /// Local state is bad: mend, then run again.
    Repair,
    /// Not recognised; treated as final.
    Unknown,
    /// An answer, not a fault: stop.
    Final,
}

impl Verdict {
    /// The word that stands in JSON output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Switch => "switch",
            Self::Repair => "repair",
            Self::Unknown => "unknown",
            Self::Final => "final",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of trouble a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// Name resolution failed: `no such host`, `server misbehaving`, a silent resolver.
    Dns,
    /// Nobody took the connection: refused, no route, unreachable, `connectex`.
    Connect,
    /// A clock ran out before the server said anything.
    Timeout,
    /// The TLS handshake ended without a session; the peer never identified itself.
    TlsHandshake,
    /// The certificate does not verify. Never tried again on the same route.
    Certificate,
    /// An established connection was reset or broken.
    Reset,
    /// The connection ended early: `EOF`, `unexpected EOF`.
    Eof,
    /// HTTP/2 stream or connection errors.
    Http2,
    /// 429 Too Many Requests.
    RateLimit,
    /// 408, 425 and every 5xx.
    ServerError,
    /// A body that is no answer of a module proxy (captive portal, garbage).
    Garbage,
    /// The HTTPS proxy in between failed or refused.
    ProxyConnect,
    /// git, hg, svn or ssh failed on the network.
    Vcs,
    /// 401, 403, 451 and credentials that are missing.
    Auth,
    /// 404, 410, unknown revision or version.
    NotFound,
    /// Any other 4xx: the host refuses.
    Refused,
    /// A checksum mismatch or another security error.
    Security,
    /// The checksum database or its cached files.
    Sumdb,
    /// A file in the module cache is bad.
    Cache,
    /// Disk, permissions, descriptors.
    Disk,
    /// Go's own configuration.
    Config,
    /// The toolchain that is asked for.
    Toolchain,
    /// The user's own module or code.
    User,
    /// Not recognised.
    Unknown,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Dns,
        Self::Connect,
        Self::Timeout,
        Self::TlsHandshake,
        Self::Certificate,
        Self::Reset,
        Self::Eof,
        Self::Http2,
        Self::RateLimit,
        Self::ServerError,
        Self::Garbage,
        Self::ProxyConnect,
        Self::Vcs,
        Self::Auth,
        Self::NotFound,
        Self::Refused,
        Self::Security,
        Self::Sumdb,
        Self::Cache,
        Self::Disk,
        Self::Config,
        Self::Toolchain,
        Self::User,
        Self::Unknown,
    ];

    /// The word that stands in JSON output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::TlsHandshake => "tls_handshake",
            Self::Certificate => "certificate",
            Self::Reset => "reset",
            Self::Eof => "eof",
            Self::Http2 => "http2",
            Self::RateLimit => "rate_limit",
            Self::ServerError => "server_error",
            Self::Garbage => "garbage",
            Self::ProxyConnect => "proxy_connect",
            Self::Vcs => "vcs",
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Security => "security",
            Self::Sumdb => "sumdb",
            Self::Cache => "cache",
            Self::Disk => "disk",
            Self::Config => "config",
            Self::Toolchain => "toolchain",
            Self::User => "user",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who, in the chain from go to the module, a fault speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    /// A module proxy.
    #[default]
    Proxy,
    /// The checksum database, or a proxy's `/sumdb/`.
    Sumdb,
    /// `direct`: git, hg, svn, ssh, or a `?go-get=1` page.
    Direct,
    /// The HTTPS proxy of the environment.
    HttpsProxy,
    /// The local machine.
    Local,
}

/// The advice that an answer or a fault needs, where its kind alone would give one that does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// A server that everybody may ask refuses: somebody in between does, or it does not serve this country.
    PublicRefusal,
    /// A page to sign in came in place of an answer.
    SignIn,
    /// The server wants a certificate of the client's, or does not take the one it got.
    ClientCertificate,
    /// GOPROXY holds something that is no URL of a proxy.
    ProxyValue,
    /// GOPROXY names an HTTP or SOCKS proxy.
    HttpProxy,
    /// The module's go.mod names another path.
    Renamed,
    /// A pseudo-version that go would have written otherwise.
    PseudoVersion,
    /// At that revision no module stands in that directory.
    NoModuleThere,
    /// A package that only a newer Go has, or a path without a host.
    StandardLibrary,
    /// A forge says "not found" to who may not see it.
    HiddenRepository,
    /// The host that the import path names is gone, or serves it no longer.
    DeadHost,
    /// What asks for it needs a newer Go than the one that runs.
    NewerGo,
    /// A VCS is not installed.
    NoVcs,
    /// The configuration of git, or of what it calls, stops it.
    GitConfig,
    /// The git of this machine does not work.
    GitBroken,
    /// The developer tools of macOS are missing.
    Xcode,
    /// The repository in the cache belongs to somebody else.
    Ownership,
    /// The system had no memory, or no room for another process.
    Memory,
    /// git-lfs is not installed.
    LfsMissing,
    /// The repository's LFS quota is used up.
    LfsQuota,
    /// No ssh key that the server takes.
    SshKey,
    /// The server's ssh key is not known.
    SshHostKey,
    /// A rate limit that was said with 403.
    RateLimit,
    /// The checksum database was asked about a module that it cannot see.
    PrivateSum,
    /// git failed by every transport, and go dropped its words.
    NoSecureProtocol,
    /// A server that has it, but not now.
    Unavailable,
    /// The go command itself crashed.
    GoCrashed,
}

/// One recognised failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of trouble it is.
    pub kind: FaultKind,
    /// What it means by itself.
    pub verdict: Verdict,
    /// True where nobody was there at all (name, connect, TLS handshake,
    /// CONNECT, no first byte): the next allowed route is asked at once. False
    /// where a host answered and then failed.
    pub nobody: bool,
    /// Whom it speaks of.
    pub origin: Origin,
    /// The module path, where the text names it.
    pub module: Option<String>,
    /// The version, where the text names it.
    pub version: Option<String>,
    /// The host to blame (`host[:port]`), where the text names it.
    pub host: Option<String>,
    /// The URL, where the text names it; credentials removed.
    pub url: Option<String>,
    /// The host that a redirect led to, where it is another. go's text never names it.
    pub redirected_to: Option<String>,
    /// The line that it was read from.
    pub line: String,
    /// The HTTP status, where one was answered.
    pub status: Option<u16>,
    /// The path that the module's go.mod declares, where it is another.
    pub declares: Option<String>,
    /// What a machine without any network says of every server.
    pub no_network: bool,
    /// What to mend, where the verdict is [`Verdict::Repair`].
    pub mend: Option<Mend>,
    /// The advice, where it is not that of the kind.
    pub hint: Option<Hint>,
    /// The rule that it was recognised by (see docs/diagnosis.md); empty where none was.
    pub rule: &'static str,
}

impl Fault {
    /// A fault of which nothing more is known yet.
    #[must_use]
    pub fn new(kind: FaultKind, verdict: Verdict, line: &str) -> Self {
        Self {
            kind,
            verdict,
            nobody: false,
            origin: Origin::default(),
            module: None,
            version: None,
            host: None,
            url: None,
            redirected_to: None,
            line: line.to_owned(),
            status: None,
            declares: None,
            no_network: false,
            mend: None,
            hint: None,
            rule: "",
        }
    }

    /// A fault whose kind and verdict are known already, with what only go's words for it say beside them.
    #[must_use]
    pub fn of_words(kind: FaultKind, verdict: Verdict, words: &str) -> Self {
        let said = gotext::request(words).and_then(|request| {
            let rule = RuleSet::default().cause(request.cause, Some(&request))?;
            Some((gotext::status(request.cause), rule.no_network))
        });
        let (status, no_network) = said.unwrap_or_default();
        Self {
            status,
            no_network,
            ..Self::new(kind, verdict, words)
        }
    }

    /// True for what a machine without any network says: no name resolves, no
    /// network is reachable. With no default route nothing else need be tried.
    #[must_use]
    pub fn says_offline(&self) -> bool {
        self.kind == FaultKind::Dns || self.no_network
    }

    /// True where the download of a toolchain failed.
    #[must_use]
    pub fn is_toolchain(&self) -> bool {
        self.module.as_deref() == Some("golang.org/toolchain")
    }
}

/// One piece of local state that may have to be mended. The disk decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mend {
    /// The zip of a module version (with its `.ziphash`) is bad, or was not named.
    Zip {
        /// Module path and version, or the zip's own path, where the text names them.
        module: Option<(String, String)>,
        /// The path of the zip, where the text names it.
        path: Option<String>,
    },
    /// The `.mod` file of a module version is bad.
    Mod {
        /// Module path.
        module: String,
        /// Version.
        version: String,
    },
    /// A checksum mismatch: files that were cached before may be damaged.
    Checksum {
        /// Module path.
        module: String,
        /// Version.
        version: String,
        /// True where the text speaks of `M@V/go.mod`.
        go_mod: bool,
    },
    /// An extracted module directory may have lost files; the import path that go misses.
    Extracted {
        /// The package's import path.
        package: String,
    },
    /// A repository below `cache/vcs` is broken.
    Vcs {
        /// The directory's name (a hash) or path, where the text names it.
        dir: Option<String>,
        /// The module, where the text names it.
        module: Option<(String, String)>,
    },
    /// Cached tiles of a checksum database.
    SumdbTile,
    /// Cached lookups of a checksum database.
    SumdbLookup {
        /// Module path and version, where the text names them.
        module: Option<(String, String)>,
    },
    /// `GOPATH/pkg/sumdb/NAME/latest` cannot be parsed.
    SumdbLatest,
    /// A file stands below the module cache where a directory must be, or the
    /// other way round.
    Path {
        /// The path as the text names it.
        path: String,
    },
}

/// What a diagnosis still needs to be sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A look at the module cache.
    Disk,
}

/// The faults of an attempt and the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What the faults mean together.
    pub verdict: Verdict,
    /// Every recognised fault, in the order of the text.
    pub faults: Vec<Fault>,
    /// The one next thing to do, for a person.
    pub advice: String,
    /// Set where the text alone cannot decide.
    pub needs: Option<Needs>,
}

/// What one attempt of one go command said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// Everything go wrote to stderr (or what was kept of it).
    pub stderr: &'a [u8],
    /// Stdout, where the command was `-json` and errors stand in it.
    pub stdout_json: Option<&'a [u8]>,
}

/// Reads what an attempt said.
#[must_use]
pub fn diagnose(input: &Input<'_>) -> Diagnosis {
    diagnose_with(input, RuleSet::default())
}

/// [`diagnose`] with some rules left out.
#[must_use]
pub fn diagnose_with(input: &Input<'_>, rules: RuleSet<'_>) -> Diagnosis {
    let mut scanner = Scanner::with_rules(rules);
    scanner.feed(input.stderr);
    if let Some(json) = input.stdout_json {
        scanner.end_stream();
        scanner.feed(json);
    }
    Diagnosis::of(&scanner.finish())
}

impl Diagnosis {
    /// Puts findings together: warnings and traces only where nothing else was
    /// said, answers before faults.
    #[must_use]
    pub fn of(findings: &Findings) -> Self {
        let faults = findings.decisive().into_iter().map(|f| f.fault).collect();
        Self::together(faults, findings.program)
    }

    /// The same with git's own words in place of those by which go told that it had failed by every protocol.
    #[must_use]
    pub fn with_words_of_git(self, words: Self) -> Self {
        let unexplained = |fault: &Fault| fault.hint == Some(Hint::NoSecureProtocol);
        let faults = self.faults.into_iter().filter(|fault| !unexplained(fault));
        Self::together(faults.chain(words.faults).collect(), false)
    }

    /// The same with the hosts that redirects led to, by the URL that was asked for.
    #[must_use]
    pub fn with_redirects(mut self, host: impl Fn(&str) -> Option<String>) -> Self {
        for fault in &mut self.faults {
            fault.redirected_to = fault.url.as_deref().and_then(&host);
        }
        if self.faults.iter().any(|fault| fault.redirected_to.is_some()) {
            self.advice = advice::advice(self.verdict, &self.faults, false);
        }
        self
    }

    fn together(faults: Vec<Fault>, program: bool) -> Self {
        let verdict = together(&faults, program);
        Self {
            verdict,
            advice: advice::advice(verdict, &faults, program),
            needs: (verdict == Verdict::Repair).then_some(Needs::Disk),
            faults,
        }
    }
}

/// One verdict for several faults. Any answer ends it; a checksum mismatch
/// leaves nothing but the look at the disk; what must be mended or can only
/// come from another route goes before what may heal; what was not recognised
/// counts only where it stands alone.
fn together(faults: &[Fault], program: bool) -> Verdict {
    let any = |verdict| faults.iter().any(|f| f.verdict == verdict);
    [Verdict::Final, Verdict::Repair, Verdict::Switch, Verdict::Retry]
        .into_iter()
        .find(|&verdict| any(verdict))
        .unwrap_or(if program && faults.is_empty() {
            Verdict::Final
        } else {
            Verdict::Unknown
        })
}
