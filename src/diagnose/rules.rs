//! The rules: one row for each text or shape that means something.
//!
//! A row says where in a block its text must stand ([`Part`]), which words or
//! which shape it is known by, what it means, and where the text was seen. The
//! order inside [`Part::Cause`] counts: the first row that fits decides. In the
//! other parts the weightiest row decides: first by its [`Weight`], then by its
//! verdict, an answer before a fault.
//!
//! The table in docs/diagnosis.md is generated from this one.

use super::{FaultKind, Hint, Origin, Verdict};

/// Where in a block a row's text must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Behind the URL of a request (`Get "URL": …`), or a bare network error of go.
    Cause,
    /// What git, hg, svn, bzr, fossil or ssh said.
    Vcs,
    /// Go's own message, without the request in it.
    Answer,
    /// `server response:` under a 404 or 410.
    Response,
}

impl Part {
    /// The word for it in the documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Vcs => "vcs",
            Self::Answer => "answer",
            Self::Response => "response",
        }
    }
}

/// How a row's text is recognised.
#[derive(Debug, Clone, Copy)]
pub enum Pattern {
    /// Every one of these stands in the part; ASCII case does not count.
    Words(&'static [&'static str]),
    /// A shape around text of any wording.
    Shape(Shape),
}

/// A shape that is recognised whatever words (or language) stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `EOF` alone.
    Eof,
    /// `lookup host on server: …`, `getaddrinfow: …`.
    Lookup,
    /// `dial tcp addr: …`, `connectex: …`.
    Dial,
    /// `read tcp a->b: …`, `write tcp …`, `wsarecv: …`, `wsasend: …`.
    Transfer,
    /// `write /path: …`.
    File,
    /// `dial tcp addr: socket: …`: no connection was tried yet.
    Socket,
    /// `net/http: …`: the HTTP client's own words.
    NetPackage,
    /// `gzip: …`, `xml: …`: a package of Go's library that reads answers, about one that it could not read.
    Decoder,
    /// An HTTP status in this range.
    Status(u16, u16),
    /// A reason phrase of HTTP without its number, as CONNECT's answer is printed.
    Reason(u16, u16),
    /// A phrase in title case that is no known reason: a CONNECT answer in somebody's own words.
    OwnWords,
    /// `parse "URL": …`: the URL itself, before any request.
    Unparsable,
    /// A request that failed, for whatever reason.
    Anything,
    /// `…'URL': …` behind git's `fatal:`, in any language.
    GitUrl,
    /// `errno=…`.
    Errno,
    /// `proxyconnect tcp: dial …`.
    ProxyDial,
    /// `proxyconnect tcp: …`.
    ProxyConnect,
    /// `proxyconnect tcp: dial tcp: lookup …` where the resolver answered.
    ProxyLookup,
    /// A line of a VCS's that begins so, whatever follows.
    Line(&'static str),
    /// What git's transport programs, or git about what they delivered, say: `fetch-pack: …`, `RPC …`,
    /// `… EOF`, `N bytes of …`, `expected …`, `error reading …`, `remote did not …`, `https://… …`.
    GitTransport,
    /// `curl N …` with a number that says that a connection failed or broke.
    CurlCode,
    /// ssh about its connection: `Connection … port N…`.
    SshConnection,
    /// `error:0A000086:SSL routines::…`: OpenSSL's own frame.
    OpenSsl,
    /// `… /path …: …`: a file on this machine.
    LocalFile,
    /// One of these stands in the text, spelt so.
    AnyOf(&'static [&'static str]),
    /// These words in exactly this spelling.
    Exactly(&'static str),
    /// Git names a URL in quotes and gives no cause behind it: `fatal: Authentication failed for 'URL'`, in any language.
    GitUrlAnswer,
    /// `bad config … in file /path` about a file outside the module cache.
    OwnConfig,
    /// A message that ends in a go command to run: `to add it:` and `go get M` below.
    Advice,
    /// Git asked one URL and was sent to another, which it names below: `…: URL/info/refs?…`, `…: URL`, in any language.
    Redirected,
    /// `parse "…": …`: no URL at all.
    Parse,
    /// `status code N` in go's own message.
    AnswerStatus(u16, u16),
    /// A server's words that the other rows take for a fault (names that do not resolve excepted:
    /// a proxy in the internet cannot know a private one).
    Origin,
}

impl Shape {
    /// The shape written out for the documentation.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Eof => "`EOF` alone".to_owned(),
            Self::Lookup => "`lookup HOST…: *`, `getaddrinfow: *`".to_owned(),
            Self::Dial => "`dial tcp ADDR: *`, `connect: *`, `connectex: *`".to_owned(),
            Self::Transfer => {
                "`read tcp A->B: *`, `write tcp A->B: *`, `wsarecv: *`, `wsasend: *`".to_owned()
            }
            Self::File => "`OP /path: *`".to_owned(),
            Self::Socket => "`dial tcp ADDR: socket: *`".to_owned(),
            Self::NetPackage => "`net/http: *`".to_owned(),
            Self::Decoder => "`invalid character '*`, `json: *`, `xml: *`, `gzip: *`, `zlib: *`, `flate: *`, `bzip2: *`, `textproto: *`, `mime: *`, `multipart: *`, `base64: *`".to_owned(),
            Self::ProxyLookup => "`proxyconnect tcp: dial tcp: lookup *`, answered".to_owned(),
            Self::GitTransport => "`fetch-pack: *`, `remote-curl: *`, `index-pack *`, `RPC *`, `* EOF`, `N bytes of *`, `expected *`, `error reading *`, `remote did not *`, `URL *`".to_owned(),
            Self::CurlCode => "`curl N *`, N of a connection that failed or broke".to_owned(),
            Self::SshConnection => "`Connection * port N*`".to_owned(),
            Self::OpenSsl => "`error:0A000086:*`".to_owned(),
            Self::LocalFile => "`* /path*: *`".to_owned(),
            Self::AnyOf(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or "),
            Self::Exactly(words) => format!("`{words}`"),
            Self::GitUrlAnswer => "git's `fatal: … 'URL' …` without a cause behind the URL, in any language".to_owned(),
            Self::OwnConfig => "`bad config … in file *` outside the module cache".to_owned(),
            Self::Advice => "a colon at the end, and below it a `go` command to run".to_owned(),
            Self::Redirected => "`*: URL/info/refs?*` and below it `*: URL`, in any language".to_owned(),
            Self::Parse => "`parse \"…\": *`".to_owned(),
            Self::AnswerStatus(a, b) if a == b => format!("`status code {a}`"),
            Self::AnswerStatus(a, b) => format!("`status code {a}` to `{b}`"),
            Self::Status(a, b) if a == b => format!("status {a}"),
            Self::Status(a, b) => format!("status {a} to {b}"),
            Self::Reason(a, b) if a == b => format!("the reason phrase of {a} without a number"),
            Self::Reason(a, b) => format!("a reason phrase of {a} to {b} without a number"),
            Self::OwnWords => "a phrase in title case where a network error would stand".to_owned(),
            Self::Unparsable => "`parse \"URL\": *`".to_owned(),
            Self::Anything => "any other cause behind `Op \"URL\": `".to_owned(),
            Self::GitUrl => "git's `fatal: … 'URL': *`, in any language".to_owned(),
            Self::Errno => "`errno=*`".to_owned(),
            Self::ProxyDial => "`proxyconnect tcp: dial *`".to_owned(),
            Self::ProxyConnect => "`proxyconnect tcp: *`".to_owned(),
            Self::Line(head) => format!("`{head}*` at the beginning of a line"),
            Self::Origin => "a fault of any other row, but a name that does not resolve".to_owned(),
        }
    }
}

/// How much a row counts against the other rows of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// What stands around real causes: it decides where there is nothing else.
    Wrapper,
    /// A general word for a cause: it decides where no particular one stands.
    Weak,
    /// A cause.
    Strong,
}

/// Which [`super::Mend`] a row asks for; its details are read from the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MendKind {
    /// A zip of the cache.
    Zip,
    /// A `.mod` of the cache.
    Mod,
    /// A `.mod` that declares another path, unless that is the module's new name.
    OtherModule,
    /// Whatever a checksum mismatch speaks of.
    Checksum,
    /// An extracted directory.
    Extracted,
    /// A repository below `cache/vcs`.
    Vcs,
    /// Tiles of a checksum database.
    SumdbTile,
    /// Lookups of a checksum database.
    SumdbLookup,
    /// The signed tree head of a checksum database.
    SumdbLatest,
    /// The path that the text names.
    Path,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name, unique.
    pub id: &'static str,
    /// Where the text must stand.
    pub part: Part,
    /// What the text is known by.
    pub pattern: Pattern,
    /// What kind of trouble it is.
    pub kind: FaultKind,
    /// What it means.
    pub verdict: Verdict,
    /// Nobody was there (see [`super::Fault::nobody`]).
    pub nobody: bool,
    /// The row fits only where none of these stands beside it.
    pub unless: &'static [&'static str],
    /// How much it counts against the other rows of its block.
    pub weight: Weight,
    /// What to mend.
    pub mend: Option<MendKind>,
    /// Only go prints this: no other sign is needed that the line is go's.
    pub alone: bool,
    /// Too general to mean this anywhere but behind the URL of a request.
    pub at_url: bool,
    /// Means this only behind the URL of a `?go-get=1` page.
    pub at_page: bool,
    /// The operating system's own words (errno, name resolution): they mean the same wherever they stand.
    pub system: bool,
    /// The advice, where it is not that of the kind.
    pub hint: Option<Hint>,
    /// Whom it speaks of, where only the row can tell.
    pub origin: Option<Origin>,
    /// What a machine without any network says of every server.
    pub no_network: bool,
    /// The fault that it only follows from, where one stands beside it.
    pub follows: Option<Follows>,
    /// Where the text was seen: a file of Go's source tree, of another program's, or a page.
    pub seen: &'static str,
}

/// What an answer may only be the consequence of. Where such a fault of the same module stands beside it, it is
/// no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// A fetch that failed, whoever was asked.
    AnyFetch,
    /// A fetch by a VCS that failed: git's `unknown revision` may only say that git could not be asked.
    DirectFetch,
    /// Any fault, of whichever module: what is only known by general words settles nothing beside it.
    AnyFault,
}

impl Rule {
    const fn new(
        id: &'static str,
        part: Part,
        pattern: Pattern,
        kind: FaultKind,
        verdict: Verdict,
        seen: &'static str,
    ) -> Self {
        Self {
            id,
            part,
            pattern,
            kind,
            verdict,
            nobody: false,
            unless: &[],
            weight: Weight::Strong,
            mend: None,
            alone: matches!(part, Part::Answer),
            at_url: false,
            at_page: false,
            system: false,
            hint: None,
            origin: None,
            no_network: false,
            follows: None,
            seen,
        }
    }

    const fn nobody(mut self) -> Self {
        self.nobody = true;
        self
    }

    const fn unless(mut self, words: &'static [&'static str]) -> Self {
        self.unless = words;
        self
    }

    const fn weak(mut self) -> Self {
        self.weight = Weight::Weak;
        self
    }

    const fn wrapper(mut self) -> Self {
        self.weight = Weight::Wrapper;
        self
    }

    const fn mend(mut self, kind: MendKind) -> Self {
        self.mend = Some(kind);
        self
    }

    /// The words could stand in any program's output.
    const fn common(mut self) -> Self {
        self.alone = false;
        self
    }

    /// Only behind the URL of a request.
    const fn at_url(mut self) -> Self {
        self.at_url = true;
        self
    }

    /// Only behind the URL of a `?go-get=1` page.
    const fn at_page(mut self) -> Self {
        self.at_page = true;
        self
    }

    /// The operating system's own words.
    const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    /// With advice of its own.
    const fn hint(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    /// About the HTTPS proxy of the environment.
    const fn https_proxy(mut self) -> Self {
        self.origin = Some(Origin::HttpsProxy);
        self
    }

    /// Every server looks so from a machine without a network.
    const fn no_network(mut self) -> Self {
        self.no_network = true;
        self
    }

    /// No answer where such a fault stands beside it.
    const fn follows(mut self, fault: Follows) -> Self {
        self.follows = Some(fault);
        self
    }

    /// What the row is known by, for the documentation.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = match self.pattern {
            Pattern::Words(words) => words
                .iter()
                .map(|w| format!("`{w}`"))
                .collect::<Vec<_>>()
                .join(" and "),
            Pattern::Shape(shape) => shape.describe(),
        };
        for word in self.unless {
            text.push_str(&format!(", not with `{word}`"));
        }
        if self.at_url {
            text.push_str(", behind a URL only");
        }
        if self.at_page {
            text.push_str(", behind the URL of a `?go-get=1` page only");
        }
        text
    }
}

const fn cause(
    id: &'static str,
    words: &'static [&'static str],
    kind: FaultKind,
    verdict: Verdict,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Cause, Pattern::Words(words), kind, verdict, seen)
}

const fn shape(
    id: &'static str,
    shape: Shape,
    kind: FaultKind,
    verdict: Verdict,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Cause, Pattern::Shape(shape), kind, verdict, seen)
}

const fn vcs(
    id: &'static str,
    words: &'static [&'static str],
    kind: FaultKind,
    verdict: Verdict,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Vcs, Pattern::Words(words), kind, verdict, seen)
}

const fn vcs_shape(
    id: &'static str,
    shape: Shape,
    kind: FaultKind,
    verdict: Verdict,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Vcs, Pattern::Shape(shape), kind, verdict, seen)
}

const fn answer(
    id: &'static str,
    words: &'static [&'static str],
    kind: FaultKind,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Answer, Pattern::Words(words), kind, Final, seen)
}

const fn mend(
    id: &'static str,
    words: &'static [&'static str],
    kind: FaultKind,
    what: MendKind,
    seen: &'static str,
) -> Rule {
    Rule::new(id, Part::Answer, Pattern::Words(words), kind, Repair, seen).mend(what)
}

const fn response(id: &'static str, words: &'static [&'static str], seen: &'static str) -> Rule {
    Rule::new(
        id,
        Part::Response,
        Pattern::Words(words),
        ServerError,
        Retry,
        seen,
    )
}

use FaultKind::{
    Auth, Cache, Certificate, Config, Connect, Disk, Dns, Eof, Garbage, Http2, NotFound, ProxyConnect,
    RateLimit, Refused, Reset, Security, ServerError, Sumdb, Timeout, TlsHandshake, Toolchain, User, Vcs,
};
use Verdict::{Final, Repair, Retry, Switch};

/// `the remote end hung up unexpectedly` and its kin as git says them elsewhere.
const HUNG_UP: &[&str] = &[
    "отдалеченото хранилище неочаквано прекъсна връзката",
    "el remot ha penjat inesperadament",
    "Die Gegenseite hat unerwartet abgebrochen",
    "el remoto se colgó de manera inesperada",
    "l'hôte distant a fermé la connexion de manière inattendue",
    "ujung remote menggantung secara tidak terduga",
    "l'interlocutore remoto ha chiuso inaspettatamente la connessione",
    "zdalna maszyna nieoczekiwanie się rozłączyła",
    "o lado remoto desligou inesperadamente",
    "fjärren lade på oväntat",
    "uzak konum beklenmedik bir biçimde hattı kapattı",
    "máy chủ bị treo bất ngờ",
    "远端意外挂断了",
    "遠端意外掛斷了",
    // `remote did not send all necessary objects`.
    "отдалеченото хранилище не изпрати всички необходими обекти",
    "el remot no ha enviat tots els objectes necessaris",
    "Remote-Repository hat nicht alle erforderlichen Objekte gesendet",
    "δεν έστειλε όλα τα αναγκαία αντικείμενα",
    "remoto no mandó todos los objetos necesarios",
    "le serveur distant n'a pas envoyé tous les objets nécessaires",
    "remote tidak mengirim semua objek yang dibutuhkan",
    "il remoto non ha inviato tutti gli oggetti necessari",
    "리모트에서 필요한 오브젝트를 모두 보내지 않았습니다",
    "zdalna maszyna nie przysłała wszystkich potrzebnych obiektów",
    "remoto faltou enviar todos objetos necessários",
    "внешний репозиторий прислал не все необходимые объекты",
    "fjärren sände inte alla nödvändiga objekt",
    "uzak konum gereken tüm nesneleri göndermedi",
    "máy chủ đã không gửi tất cả các đối tượng cần thiết",
    "远程没有发送所有必需的对象",
    "遠端沒有傳送所有必需的物件",
];

/// `protocol error: bad line length N` as git says it elsewhere.
const BAD_LENGTH: &[&str] = &[
    "протоколна грешка: неправилна дължина на ред",
    "error de protocol: longitud de línia errònia",
    "Protokollfehler: ungültige Zeilenlänge",
    "error de protocolo: mal largo de línea",
    "mauvaise longueur de ligne",
    "kesalahan protokol: panjang baris",
    "errore protocollo: lunghezza riga non valida",
    "błąd protokołu: zła długość wiersza",
    "protokollfel: felaktig radlängd",
    "protokol hatası: hatalı satır uzunluğu",
    "lỗi giao thức: chiều dài dòng bị sai",
    "协议错误：错误的行长度",
    "協定錯誤：錯誤的行長度",
];

/// How curl says that it does not try: its options, the URL, a TLS library or a local file are not what it needs.
const CURL_INPUT: &[&str] = &[
    "Unsupported protocol",
    "Failed initialization",
    "Failed to initialise SSL crypto engine",
    "URL using bad/illegal format",
    "URL rejected: ",
    "Port number ",
    "not found built-in in this libcurl",
    "A required function in the library was not found",
    "A libcurl function was given a bad argument",
    "An unknown option was passed in to libcurl",
    "Malformed option provided in a setopt",
    "SSL crypto engine not found",
    "Can not set SSL crypto engine as default",
    "Couldn't use specified SSL cipher",
    "Requested SSL level failed",
    "Problem with the local SSL certificate",
    "could not load PEM client certificate",
    "unable to set private key file",
    "client certificate not found",
    "Problem with the SSL CA cert",
    "Failed to load CA certificates",
    "Failed to load CRL file",
    "Failed to open/read local data",
    "Failed binding local connection end",
    "Couldn't bind to interface",
    "Could not set SSL backend",
    "Unsupported SSL backend",
    "Invalid proxy URL",
];

/// How curl says that it was not let in, by a proxy or by the server.
const CURL_LOGIN: &[&str] = &[
    "Login denied",
    "An authentication function returned an error",
    "User was rejected by the SOCKS5 server",
    "No authentication method was acceptable",
];

/// How curl says that what came is no answer of a web server, or not one to the end of which it goes.
const CURL_GARBAGE: &[&str] = &[
    "Number of redirects hit maximum amount",
    "redirects followed",
    "Unrecognized or bad HTTP Content or Transfer-Encoding",
    "Unrecognized content encoding type",
    "Unsupported HTTP/1 subversion",
    "Header without colon",
    "Nul byte in header",
    "Invalid status line",
    "Too large response headers",
];

/// How curl and NSS say that a connection broke.
const CURL_BROKEN: &[&str] = &[
    "Failed sending data to the peer",
    "Failure when receiving data from the peer",
    "TCP connection reset by peer",
    "Network file descriptor is not connected",
];

/// The same of one that ended early.
const CURL_CUT: &[&str] = &[
    "Transferred a partial file",
    "Server returned nothing",
    "Encountered end of file",
    "end of response with ",
];

/// How TLS libraries say that they have no version or cipher in common.
const TLS_NOTHING_IN_COMMON: &[&str] = &[
    "incompatible or unsupported protocol version",
    "no common encryption algorithm",
];

/// How a forge says that it has too much to do.
const OVERLOADED: &[&str] = &[
    "unable to handle this request",
    "due to load",
    "server is overloaded",
    "try again later",
];

/// How git names a program of its own that crashed: SIGILL, SIGABRT, SIGBUS, SIGSEGV.
const CRASHES: &[&str] = &[
    "died of signal 4",
    "died of signal 6",
    "died of signal 7",
    "died of signal 11",
];

/// The lines of go's message about a checksum mismatch, beside its first one.
const SECURITY: &[&str] = &[
    "downloaded: h1:",
    "go.sum:     h1:",
    "This download does NOT match ",
    "The bits may have been replaced on the origin server",
    "have intercepted the download attempt",
];

/// What go says of a package that it does not load.
const PACKAGES: &[&str] = &[
    "must be imported as ",
    "cannot import current directory",
    "case-insensitive import collision",
    "case-insensitive file name collision",
    " expects import \"",
    "invalid import path \"",
    "invalid github.com/ import path \"",
    " in import path",
    "non-canonical import path \"",
    "should not have @version",
    "use of vendored package not allowed",
    "an importable package",
    "module loader did not resolve import",
    "invalid input directory name",
    "invalid input file name",
    "invalid package directory",
    "missing module for import: ",
    "without -mod=vendor, directory ",
    "named files must all be in one directory",
    "source files not allowed when not using cgo or SWIG",
    "no non-test Go files in ",
    "no buildable Go source files in ",
    "is a directory, should be a Go file",
    "internal error: duplicate loads of ",
    "internal error: loadImport of ",
    " command has moved; use ",
];

/// What go says of a source file that it does not take.
const SOURCES: &[&str] = &[
    "expected 'package', found ",
    "only allowed in Go files that import \"embed\"",
    "invalid //go:debug: ",
    "cannot embed file ",
    "cannot embed directory ",
    "cannot embed irregular file ",
    "invalid pattern syntax",
    "invalid #cgo ",
    "malformed #cgo argument",
    "parsing //go:build line",
    "invalid quoted string in //go:embed",
    "use of cgo in test ",
];

/// What go says of a command line or its own caches, without its name in front.
const COMMANDS: &[&str] = &[
    "missing $GOPATH",
    "no go files listed",
    "please pass linker flags using ",
    "bad tool name",
    "is ambiguous; choose one of:",
    "expecting a Go version like \"",
    "maximum supported Go version is ",
    "only valid when using modules",
    "failed to find embedded files of ",
    "internal error: no pkg for ",
    "build cache is disabled by GOCACHE=off",
    "error reading module index: ",
];

/// The words with which go says no, whatever of. General as they are, they count only behind go's own
/// beginning, and only where nothing else was said.
const REFUSALS: &[&str] = &[
    "go: -",
    "go: no ",
    "cannot ",
    "can't ",
    "could not ",
    "failed to ",
    "fail to ",
    "invalid ",
    "malformed ",
    "mismatched ",
    "missing ",
    "must ",
    "may not ",
    "may only ",
    "can only ",
    "should be ",
    "is required",
    "not allowed",
    "not supported",
    "not overwriting",
    "forbidden",
    "disallowed ",
    "unknown ",
    "unsupported ",
    "does not ",
    " is not ",
    " are not ",
    "neither ",
    "not a ",
    "not in ",
    "not within ",
    "not provided by ",
    ", not ",
    "non-",
    "no such ",
    "already ",
    "too many ",
    "too large",
    "more than one",
    "multiple ",
    "both ",
    "conflicting ",
    "ambiguous ",
    "duplicate ",
    "inconsistent ",
    "unreachable pattern",
    "empty ",
    "outside ",
    "inside vendor directory",
    "overlay ",
    "internal error",
    "need ",
    "needs an argument",
    "expecting ",
    "requires a ",
    " accepts ",
    "takes no arguments",
    "is relative",
    "exists as a file",
    "specify a different version",
    "is larger than ",
    "exceeds ",
    "bad ",
    "file URL ",
    "is a local import path",
    "is a directory",
    "no longer ",
    "only allowed ",
    "but maximum ",
    "unrecognized ",
    "conflict",
    "please ",
    "parse error",
    "never ",
    "only has an effect",
    "but go ",
    "To fix, ",
    "error loading go.",
    "error reading ",
    "parsing ",
    " invoked to provide ",
];

/// Every row. One line each, so that the table can be read as one.
#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    // ---- Cause: this machine ----
    cause("os-files", &["too many open files"], Disk, Final, "syscall/zerrors_linux_amd64.go EMFILE").system(),
    cause("os-space", &["no space left on device"], Disk, Final, "syscall/zerrors_linux_amd64.go ENOSPC").system(),
    cause("os-space-windows", &["there is not enough space on the disk"], Disk, Final, "https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499- ERROR_DISK_FULL").system(),
    cause("os-quota", &["disk quota exceeded"], Disk, Final, "syscall/zerrors_linux_amd64.go EDQUOT").system(),
    cause("os-quota-darwin", &["disc quota exceeded"], Disk, Final, "syscall/zerrors_darwin_amd64.go EDQUOT").system(),
    cause("os-readonly", &["read-only file system"], Disk, Final, "syscall/zerrors_linux_amd64.go EROFS").system(),
    cause("os-memory", &["cannot allocate memory"], Disk, Final, "syscall/zerrors_linux_amd64.go ENOMEM").system().hint(Hint::Memory),
    // ---- Cause: the HTTPS proxy of the environment ----
    shape("https-proxy-name", Shape::ProxyLookup, Config, Final, "https://github.com/golang/go/issues/38084").https_proxy(),
    cause("https-proxy-scheme", &["unsupported protocol scheme"], Config, Final, "net/http/transport.go roundTrip").https_proxy().hint(Hint::ProxyValue),
    cause("https-proxy-auth", &["proxy authentication required"], Auth, Final, "net/http/transport.go dialConn after CONNECT").https_proxy(),
    cause("socks-auth", &["socks connect", "username/password"], Auth, Final, "net/http/socks_bundle.go UsernamePassword.Authenticate").https_proxy(),
    cause("socks-method", &["no acceptable authentication methods"], Auth, Final, "net/http/socks_bundle.go connect").https_proxy(),
    cause("socks-auth-method", &["socks connect", "unsupported authentication method"], Auth, Final, "net/http/socks_bundle.go UsernamePassword.Authenticate").https_proxy(),
    cause("socks-rejected", &["socks connect", "connection not allowed by ruleset"], ProxyConnect, Final, "net/http/socks_bundle.go socksReply.String").https_proxy(),
    cause("socks-reply", &["socks connect", "unknown error"], ProxyConnect, Retry, "net/http/socks_bundle.go connect").nobody().https_proxy(),
    shape("https-proxy-dial", Shape::ProxyDial, ProxyConnect, Retry, "net/http/transport.go dialConn wrapErr").nobody().https_proxy(),
    cause("https-proxy-timeout", &["proxyconnect", "timeout"], ProxyConnect, Retry, "net/http/transport.go dialConn wrapErr").nobody().https_proxy(),
    cause("https-proxy-certificate", &["proxyconnect", "x509:"], Certificate, Switch, "crypto/x509/verify.go").https_proxy(),
    shape("https-proxy-other", Shape::ProxyConnect, Config, Final, "https://github.com/networkservicemesh/networkservicemesh/issues/768").https_proxy(),
    cause("socks-dial", &["socks connect"], ProxyConnect, Retry, "net/http/socks_bundle.go Dialer.DialContext").nobody().https_proxy(),
    // ---- Cause: TLS ----
    cause("x509", &["x509:"], Certificate, Switch, "crypto/x509/verify.go"),
    cause("certificate-unverified", &["failed to verify certificate"], Certificate, Switch, "crypto/tls/common.go CertificateVerificationError"),
    cause("tls-handshake-timeout", &["tls handshake timeout"], TlsHandshake, Retry, "net/http/transport.go tlsHandshakeTimeoutError").nobody(),
    cause("tls-http-answer", &["server gave http response to https client"], Garbage, Switch, "net/http/transport.go ErrSchemeMismatch"),
    cause("tls-no-tls", &["first record does not look like a tls handshake"], Garbage, Switch, "crypto/tls/conn.go readRecordOrCCS"),
    cause("tls-bad-record", &["tls: bad record mac"], Reset, Retry, "https://github.com/GopeedLab/gopeed/issues/69"),
    cause("tls-unexpected-message", &["tls: unexpected message"], Reset, Retry, "crypto/tls/alert.go alertUnexpectedMessage"),
    cause("tls-internal-error", &["remote error: tls: internal error"], TlsHandshake, Retry, "crypto/tls/alert.go alertInternalError"),
    cause("tls-user-canceled", &["tls: user canceled"], TlsHandshake, Retry, "crypto/tls/alert.go alertUserCanceled"),
    cause("tls-oversized", &["tls: oversized record"], Garbage, Switch, "crypto/tls/conn.go readRecordOrCCS"),
    cause("tls-certificate-required", &["remote error: tls: certificate required"], Auth, Final, "crypto/tls/alert.go alertCertificateRequired").hint(Hint::ClientCertificate),
    cause("tls-certificate-missing", &["remote error: tls: no certificate"], Auth, Final, "crypto/tls/alert.go alertNoCertificate").hint(Hint::ClientCertificate),
    cause("tls-certificate-bad", &["remote error: tls: bad certificate"], Auth, Final, "crypto/tls/alert.go alertBadCertificate: a server says it of the client's").hint(Hint::ClientCertificate).unless(&["certificate hash", "certificate status"]),
    cause("tls-certificate-unknown-authority", &["remote error: tls: unknown certificate authority"], Auth, Final, "crypto/tls/alert.go alertUnknownCA: a server says it of the client's").hint(Hint::ClientCertificate),
    cause("tls-alert", &["remote error: tls:"], TlsHandshake, Switch, "crypto/tls/alert.go"),
    cause("tls-other", &["tls: "], TlsHandshake, Switch, "crypto/tls/handshake_client.go").unless(&["i/o timeout", "connection reset"]),
    // ---- Cause: HTTP/2 ----
    cause("h2-headers-timeout", &["http2: timeout awaiting response headers"], Timeout, Retry, "net/http/h2_bundle.go http2timeoutError").nobody(),
    cause("h2-goaway", &["http2: server sent goaway"], Http2, Retry, "net/http/h2_bundle.go GoAwayError"),
    cause("h2-stream", &["stream error: stream id"], Http2, Retry, "net/http/h2_bundle.go StreamError"),
    cause("h2-connection", &["connection error: "], Http2, Retry, "net/http/h2_bundle.go ConnectionError"),
    cause("h2-other", &["http2: "], Http2, Retry, "net/http/h2_bundle.go"),
    cause("h2-frames", &["malformed http response \"\\x00"], Http2, Retry, "net/http/response.go ReadResponse on a reply in HTTP/2 frames"),
    // ---- Cause: clocks ----
    cause("headers-timeout", &["timeout awaiting response headers"], Timeout, Retry, "net/http/transport.go errTimeout").nobody(),
    cause("client-timeout-headers", &["client.timeout exceeded while awaiting headers"], Timeout, Retry, "net/http/client.go timeoutError").nobody(),
    cause("client-timeout-body", &["while reading body"], Timeout, Retry, "net/http/client.go cancelTimerBody.Read"),
    cause("deadline", &["context deadline exceeded"], Timeout, Retry, "context/context.go DeadlineExceeded").nobody(),
    cause("canceled", &["request canceled"], Timeout, Retry, "net/http/transport.go errRequestCanceled").nobody(),
    cause("context-canceled", &["context canceled"], Timeout, Retry, "context/context.go Canceled"),
    // ---- Cause: names ----
    cause("dns-port", &["unknown port"], Config, Final, "net/port.go, net/net.go AddrError"),
    cause("dns-nxdomain", &["no such host"], Dns, Retry, "net/net.go errNoSuchHost").nobody().system(),
    cause("dns-no-answer", &["no answer from dns server"], Dns, Retry, "net/dnsclient_unix.go errNoAnswerFromDNSServer").nobody(),
    shape("dns", Shape::Lookup, Dns, Retry, "net/net.go DNSError.Error").nobody(),
    // ---- Cause: connecting ----
    cause("connect-no-network", &["dial ", "network is unreachable"], Connect, Retry, "syscall/zerrors_linux_amd64.go ENETUNREACH").nobody().system().no_network(),
    cause("connect-no-network-windows", &["unreachable network"], Connect, Retry, "https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2 WSAENETUNREACH").nobody().system().no_network(),
    cause("connect-no-network-down", &["dial ", "network is down"], Connect, Retry, "syscall/zerrors_linux_amd64.go ENETDOWN").nobody().system().no_network(),
    cause("connect-no-route", &["dial ", "no route to host"], Connect, Retry, "syscall/zerrors_linux_amd64.go EHOSTUNREACH").nobody().system().no_network(),
    cause("connect-address", &["dial ", ": address "], Config, Final, "net/ipsock.go SplitHostPort, net/net.go AddrError").unless(&["no suitable address", ": socket: "]),
    shape("socket", Shape::Socket, Disk, Final, "net/sock_posix.go socket, os/error.go SyscallError"),
    cause("connect-timeout", &["dial ", "i/o timeout"], Connect, Retry, "net/net.go timeoutError").nobody(),
    cause("connect-timed-out", &["dial ", "timed out"], Connect, Retry, "syscall/zerrors_darwin_amd64.go ETIMEDOUT").nobody().system(),
    shape("connect", Shape::Dial, Connect, Retry, "net/net.go OpError.Error, os/error.go SyscallError").nobody(),
    // ---- Cause: a connection that broke ----
    cause("transfer-timeout", &["i/o timeout"], Timeout, Retry, "net/net.go timeoutError, os/error.go ErrDeadlineExceeded"),
    shape("transfer", Shape::Transfer, Reset, Retry, "net/net.go OpError.Error"),
    cause("reset", &["connection reset by peer"], Reset, Retry, "syscall/zerrors_linux_amd64.go ECONNRESET").system(),
    cause("broken-pipe", &["broken pipe"], Reset, Retry, "syscall/zerrors_linux_amd64.go EPIPE").system(),
    cause("not-connected", &["socket is not connected"], Reset, Retry, "https://github.com/becheran/roumon/issues/4").system(),
    cause("closed-connection", &["use of closed network connection"], Reset, Retry, "net/net.go ErrClosed"),
    cause("idle-closed", &["server closed idle connection"], Reset, Retry, "net/http/transport.go errServerClosedIdle"),
    shape("eof", Shape::Eof, Eof, Retry, "io/io.go EOF"),
    cause("eof-unexpected", &["unexpected eof"], Eof, Retry, "io/io.go ErrUnexpectedEOF"),
    cause("length-more", &["more than declared content-length"], Eof, Retry, "https://github.com/goproxy/goproxy.cn/issues/8"),
    cause("length-less", &["contentlength="], Eof, Retry, "net/http/transfer.go"),
    // ---- Cause: what no module proxy says ----
    cause("go-import-mismatch", &["does not match prefix"], NotFound, Final, "cmd/go/internal/vcs/vcs.go ImportMismatchError"),
    cause("no-go-import", &["no go-import meta tags"], NotFound, Final, "cmd/go/internal/vcs/vcs.go repoRootForImportDynamic"),
    cause("page-not-meta", &["xml syntax error"], Garbage, Switch, "cmd/go/internal/vcs/discovery.go parseMetaGoImports"),
    cause("page-charset", &["can't decode xml document"], Garbage, Switch, "cmd/go/internal/vcs/discovery.go charsetReader"),
    cause("page-xml", &["xml: "], Garbage, Switch, "encoding/xml/xml.go, about a page").at_url(),
    shape("url-unparsable", Shape::Unparsable, Config, Final, "net/url/url.go Parse").hint(Hint::ProxyValue),
    cause("html-not-json", &["invalid character '"], Garbage, Switch, "cmd/go/internal/modfetch/proxy.go latest, Stat"),
    cause("json-cut", &["unexpected end of json input"], Garbage, Switch, "cmd/go/internal/modfetch/proxy.go latest, Stat"),
    cause("network-limit-request", &["network disabled by cmdgonetlimit"], Config, Final, "cmd/go/internal/base/limit.go AcquireNet"),
    cause("json-other", &["json: "], Garbage, Switch, "encoding/json/decode.go UnmarshalTypeError"),
    cause("json-time", &["parsing time"], Garbage, Switch, "time/format.go ParseError in a .info"),
    cause("http-no-host", &["no host in request url"], Config, Final, "net/http/transport.go errMissingHost").hint(Hint::ProxyValue),
    cause("http-no-url", &["http: nil request."], Config, Final, "net/http/client.go send, transport.go roundTrip").hint(Hint::ProxyValue),
    cause("http-bad-port", &["invalid url port"], Config, Final, "net/url/url.go validOptionalPort; net/http/transport.go").hint(Hint::ProxyValue),
    cause("http-bad-host", &["http: invalid host"], Config, Final, "net/http/request.go cleanHost").hint(Hint::ProxyValue),
    cause("http-own-input", &["http: invalid "], Config, Final, "net/http/request.go, transport.go: a header, method, host or trailer that is not sent").hint(Hint::ProxyValue),
    cause("http-own-header", &["invalid http header"], Config, Final, "net/http/http2 before 1.25: a header that is not sent"),
    cause("http-own-trailer", &["invalid http trailer"], Config, Final, "net/http/http2 before 1.25: a trailer that is not sent"),
    cause("http-own-url", &["can't write control character in request.url"], Config, Final, "net/http/request.go write").hint(Hint::ProxyValue),
    cause("http-malformed-answer", &["malformed http "], Garbage, Switch, "net/http/response.go badStringError"),
    cause("http-malformed-header", &["malformed mime header"], Garbage, Switch, "net/textproto/reader.go readMIMEHeader"),
    cause("http-chunk-encoding", &["malformed chunked encoding"], Garbage, Retry, "net/http/internal/chunked.go chunkedReader.Read"),
    cause("http-chunk-length", &["chunk length"], Garbage, Retry, "net/http/internal/chunked.go parseHexUint"),
    cause("http-malformed", &["malformed "], Garbage, Switch, "net/http/response.go badStringError").at_url(),
    cause("http-chunks", &["chunk"], Garbage, Retry, "net/http/internal/chunked.go").at_url(),
    cause("http-transport-broken", &["transport connection broken"], Reset, Retry, "net/http/transport.go transportReadFromServerError, mapRoundTripError"),
    cause("http-header-size", &["response headers exceeded"], Garbage, Switch, "net/http/transport.go errServerResponseHeaders"),
    cause("http-encoding", &["unsupported transfer encoding"], Garbage, Switch, "net/http/transfer.go unsupportedTEError"),
    cause("http-gzip", &["gzip: "], Garbage, Switch, "compress/gzip/gunzip.go ErrHeader"),
    cause("http-flate", &["flate: corrupt"], Garbage, Switch, "compress/flate/inflate.go CorruptInputError"),
    cause("credentials-insecure", &["refusing to pass credentials"], Config, Final, "cmd/go/internal/web/http.go get"),
    cause("redirects", &["stopped after 10 redirects"], Garbage, Switch, "cmd/go/internal/web/http.go checkRedirect"),
    cause("redirect-insecure", &["to insecure url"], Garbage, Switch, "cmd/go/internal/web/http.go securityPreservingHTTPClient"),
    cause("redirect-location", &["location header"], Garbage, Switch, "net/http/client.go Do, failed to parse Location header").at_url(),
    cause("zip-too-large", &["downloaded zip file too large"], NotFound, Final, "cmd/go/internal/modfetch/proxy.go Zip"),
    // What the relay found in place of a file, behind `invalid response from proxy`.
    cause("proxy-page", &["a web page instead of a "], Garbage, Switch, "gofix: src/go/files.rs"),
    cause("proxy-no-text", &["bytes that are no text instead of a "], Garbage, Switch, "gofix: src/go/files.rs"),
    cause("proxy-no-module", &["no module line in the go.mod"], Garbage, Switch, "gofix: src/go/files.rs"),
    // ---- Cause: files on this machine ----
    cause("file-stale-mount", &["transport endpoint is not connected"], Disk, Retry, "syscall/zerrors_linux_amd64.go ENOTCONN from a broken FUSE mount").system(),
    cause("file-mount-timeout", &["connection timed out"], Disk, Retry, "syscall/zerrors_linux_amd64.go ETIMEDOUT from a network file system").system(),
    shape("file", Shape::File, Disk, Final, "io/fs/fs.go PathError.Error"),
    // ---- Cause: statuses ----
    shape("status-429", Shape::Status(429, 429), RateLimit, Retry, "https://github.com/goproxy/goproxy.cn/issues/150"),
    shape("status-408", Shape::Status(408, 408), ServerError, Retry, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-425", Shape::Status(425, 425), ServerError, Retry, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-5xx", Shape::Status(500, 599), ServerError, Retry, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-404", Shape::Status(404, 404), NotFound, Final, "cmd/go/internal/web/api.go HTTPError.Is"),
    shape("status-410", Shape::Status(410, 410), NotFound, Final, "cmd/go/internal/web/api.go HTTPError.Is"),
    shape("status-401", Shape::Status(401, 401), Auth, Final, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-403", Shape::Status(403, 403), Auth, Final, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-451", Shape::Status(451, 451), Auth, Final, "cmd/go/internal/web/api.go HTTPError"),
    shape("status-4xx", Shape::Status(400, 499), Refused, Final, "https://github.com/goproxyio/goproxy/issues/56"),
    shape("status-203", Shape::Status(203, 203), Auth, Final, "https://github.com/golang/go/issues/41030").hint(Hint::SignIn).at_page(),
    shape("status-other", Shape::Status(100, 399), Garbage, Switch, "cmd/go/internal/web/api.go HTTPError"),
    // ---- Cause: CONNECT's answers, printed without their number ----
    shape("connect-408", Shape::Reason(408, 408), ProxyConnect, Retry, "net/http/transport.go dialConn after CONNECT").nobody().https_proxy(),
    shape("connect-425", Shape::Reason(425, 425), ProxyConnect, Retry, "net/http/transport.go dialConn after CONNECT").nobody().https_proxy(),
    shape("connect-429", Shape::Reason(429, 429), RateLimit, Retry, "net/http/transport.go dialConn after CONNECT").https_proxy(),
    shape("connect-4xx", Shape::Reason(400, 499), Auth, Final, "net/http/transport.go dialConn after CONNECT").https_proxy(),
    shape("connect-5xx", Shape::Reason(500, 599), ProxyConnect, Retry, "net/http/transport.go dialConn after CONNECT").nobody().https_proxy(),
    shape("connect-refusal", Shape::OwnWords, ProxyConnect, Final, "net/http/transport.go dialConn after CONNECT").https_proxy(),
    cause("connect-unknown-status", &["unknown status code"], ProxyConnect, Retry, "net/http/transport.go dialConn after CONNECT").nobody().https_proxy(),
    shape("answer-undecodable", Shape::Decoder, Garbage, Switch, "encoding/json, encoding/xml, compress/*, net/textproto: errors that begin with the name of their package"),
    shape("http-client", Shape::NetPackage, Reset, Retry, "net/http/transport.go, transfer.go"),
    shape("request-failed", Shape::Anything, FaultKind::Unknown, Retry, "net/url/url.go Error.Error"),
    // ---- Vcs: answers ----
    vcs("git-auth-prompt", &["could not read username"], Auth, Final, "git credential.c"),
    vcs("git-auth-password", &["could not read password"], Auth, Final, "git credential.c"),
    vcs("git-auth-failed", &["authentication failed for"], Auth, Final, "git http.c, remote-curl.c"),
    vcs("git-auth-denied", &["access denied"], Auth, Final, "https://gitlab.com/gitlab-org/gitlab: HTTP Basic: Access denied"),
    vcs("git-auth-password-gone", &["support for password authentication was removed"], Auth, Final, "https://github.blog/2020-12-15-token-authentication-requirements-for-git-operations/"),
    vcs("git-repository-missing", &["repository not found"], NotFound, Final, "https://github.com/quintex-dev/asterisk-ari-go/issues/2").hint(Hint::HiddenRepository),
    vcs("git-repository-not-found", &["fatal: repository '", "not found"], NotFound, Final, "git remote-curl.c discover_refs").hint(Hint::HiddenRepository),
    vcs("git-no-repository", &["does not appear to be a git repository"], NotFound, Final, "git path.c, connect.c"),
    vcs("git-project-missing", &["could not be found or you don't have permission"], NotFound, Final, "https://gitlab.com/gitlab-org/gitlab GitAccess").hint(Hint::HiddenRepository),
    vcs("git-ref-missing", &["couldn't find remote ref"], NotFound, Final, "git fetch.c, connected.c"),
    vcs("git-branch-missing", &["remote branch", "not found in upstream"], NotFound, Final, "git builtin/clone.c"),
    vcs("git-ref-unknown", &["no such remote ref"], NotFound, Final, "git fetch-pack.c"),
    vcs("git-not-our-ref", &["not our ref"], NotFound, Final, "git upload-pack.c"),
    vcs("git-want-disallowed", &["server does not allow request for unadvertised object"], NotFound, Final, "git fetch-pack.c"),
    vcs("git-no-helper", &["unable to find remote helper for"], Config, Final, "git transport-helper.c").hint(Hint::GitBroken),
    vcs("git-protocol-off", &["transport '", "not allowed"], Config, Final, "git transport.c is_transport_allowed"),
    vcs("git-ownership", &["detected dubious ownership"], Disk, Final, "git setup.c").hint(Hint::Ownership),
    vcs("git-option", &["unknown option"], Config, Final, "git builtin, usage of an older git").common(),
    vcs("git-object-format", &["unknown repository extension"], Config, Final, "git setup.c"),
    vcs("git-proxy-syntax", &["unsupported proxy"], Config, Final, "curl lib/url.c parse_proxy"),
    vcs("git-ca-file", &["error setting certificate"], Config, Final, "curl lib/strerror.c CURLE_SSL_CACERT_BADFILE"),
    vcs("git-protocol-unsupported", &["protocol \"", "not supported"], Config, Final, "curl lib/url.c"),
    vcs("git-proxy-unresolved", &["could not resolve proxy"], Config, Final, "curl lib/strerror.c CURLE_COULDNT_RESOLVE_PROXY"),
    vcs("git-proxy-name", &["couldn't resolve proxy"], Config, Final, "curl lib/strerror.c CURLE_COULDNT_RESOLVE_PROXY"),
    vcs_shape("git-curl-input", Shape::AnyOf(CURL_INPUT), Config, Final, "curl lib/strerror.c, lib/urlapi.c, lib/vtls; git http.c"),
    vcs_shape("git-curl-login", Shape::AnyOf(CURL_LOGIN), Auth, Final, "curl lib/strerror.c CURLE_LOGIN_DENIED, lib/socks.c"),
    vcs("git-client-certificate", &["ssl client certificate required"], Auth, Final, "curl lib/strerror.c CURLE_SSL_CLIENTCERT").hint(Hint::ClientCertificate),
    vcs("git-curl-disk", &["failed writing received data to disk"], Disk, Final, "curl lib/strerror.c CURLE_WRITE_ERROR"),
    vcs("git-curl-full", &["disk full or allocation exceeded"], Disk, Final, "curl lib/strerror.c CURLE_REMOTE_DISK_FULL"),
    vcs("git-openssl-no-tls", &["wrong version number"], Config, Final, "https://github.com/networkservicemesh/networkservicemesh/issues/768"),
    vcs("ssh-host-key", &["host key verification failed"], Auth, Final, "https://github.com/concourse/semver-resource/issues/3").hint(Hint::SshHostKey),
    vcs("ssh-host-changed", &["remote host identification has changed"], Security, Final, "openssh sshconnect.c warn_changed_key").hint(Hint::SshHostKey),
    vcs("ssh-denied", &["permission denied ("], Auth, Final, "openssh sshconnect2.c").hint(Hint::SshKey),
    vcs("ssh-denied-retry", &["permission denied, please try again"], Auth, Final, "openssh sshconnect2.c").hint(Hint::SshKey),
    vcs("ssh-too-many-keys", &["too many authentication failures"], Auth, Final, "openssh packet.c").hint(Hint::SshKey),
    vcs("ssh-no-algorithm", &["unable to negotiate with"], Config, Final, "openssh packet.c"),
    vcs("ssh-missing", &["cannot run ssh"], Config, Final, "git run-command.c"),
    vcs("ssh-config", &["bad configuration option"], Config, Final, "openssh readconf.c process_config_line"),
    vcs("ssh-config-owner", &["bad owner or permissions on"], Config, Final, "openssh readconf.c read_config_file_depth"),
    vcs("bzr-not-branch", &["not a branch: \"http"], NotFound, Final, "https://github.com/census-instrumentation/opencensus-service/issues/567"),
    vcs("hg-not-found", &["abort: http error 404"], NotFound, Final, "mercurial httppeer.py"),
    vcs("hg-auth", &["abort: authorization failed"], Auth, Final, "mercurial httppeer.py"),
    vcs("hg-auth-required", &["abort: http authorization required"], Auth, Final, "mercurial url.py"),
    vcs("hg-repository", &["abort: repository", "not found"], NotFound, Final, "mercurial hg.py"),
    vcs("hg-revision", &["abort: unknown revision"], NotFound, Final, "mercurial error.py"),
    vcs("svn-auth", &["e170001"], Auth, Final, "subversion svn_error_codes.h SVN_ERR_RA_NOT_AUTHORIZED"),
    vcs("svn-no-credentials", &["e215004"], Auth, Final, "subversion svn_error_codes.h SVN_ERR_AUTHN_FAILED"),
    vcs("svn-path", &["e160013"], NotFound, Final, "subversion svn_error_codes.h SVN_ERR_FS_NOT_FOUND"),
    vcs("svn-url", &["e170000"], NotFound, Final, "subversion svn_error_codes.h SVN_ERR_RA_ILLEGAL_URL"),
    vcs("svn-certificate", &["e230001"], Certificate, Switch, "subversion svn_error_codes.h SVN_ERR_RA_SERF_SSL_CERT_UNTRUSTED"),
    vcs("svn-connect", &["e170013"], Vcs, Retry, "subversion svn_error_codes.h SVN_ERR_RA_CANNOT_CREATE_SESSION").weak().nobody(),
    vcs("svn-refused", &["e000111"], Connect, Retry, "subversion: APR errno 111").nobody(),
    vcs("svn-timeout", &["e000110"], Connect, Retry, "subversion: APR errno 110").nobody(),
    vcs("svn-dns", &["e670002"], Dns, Retry, "subversion: APR EAI").nobody(),
    vcs("svn-dns-again", &["e670003"], Dns, Retry, "subversion: APR EAI").nobody(),
    vcs("svn-reset", &["e000104"], Reset, Retry, "subversion: APR errno 104"),
    vcs("svn-closed", &["e120108"], Reset, Retry, "subversion svn_error_codes.h: the server unexpectedly closed the connection"),
    vcs("svn-aborted", &["e120106"], Reset, Retry, "subversion: APR serf aborted connection"),
    vcs("git-sign-in", &["unable to update url base from redirection"], Auth, Final, "git remote-curl.c, http.c update_url_from_redirect").hint(Hint::SignIn),
    vcs_shape("git-sign-in-translated", Shape::Redirected, Auth, Final, "git po, \"unable to update url base from redirection\"").hint(Hint::SignIn).weak(),
    vcs("git-lfs-quota", &["over its data quota"], Auth, Final, "https://docs.github.com/repositories/working-with-files/managing-large-files: git-lfs api/batch").hint(Hint::LfsQuota),
    vcs("git-lfs-missing", &["git-lfs", "not found"], Config, Final, "https://github.com/git-lfs/git-lfs/issues/2434").hint(Hint::LfsMissing).unless(&["over its data quota"]),
    vcs("git-lfs-no-command", &["'lfs' is not a git command"], Config, Final, "git help.c help_unknown_cmd").hint(Hint::LfsMissing),
    vcs("git-smudge", &["smudge filter", "failed"], Vcs, Final, "git convert.c apply_filter").weak(),
    vcs("git-rate-limit-refused", &["rate limit", "returned error: 403"], Refused, Final, "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api: secondary limits answer with 403").hint(Hint::RateLimit),
    vcs("git-gitlab-hidden", &["the project you were looking for could not be found"], NotFound, Final, "https://github.com/golang/go/issues/34094").hint(Hint::HiddenRepository),
    vcs_shape("git-url-answer", Shape::GitUrlAnswer, Auth, Final, "git po, \"Authentication failed for '%s'\", \"repository '%s' not found\"").weak().hint(Hint::HiddenRepository),
    // ---- Vcs: this machine ----
    vcs("git-killed-by-system", &["died of signal 9"], Disk, Final, "https://github.com/jenkinsci/docker-agents/issues/670").hint(Hint::Memory),
    vcs("git-memory", &["out of memory"], Disk, Final, "git wrapper.c xmalloc").hint(Hint::Memory).unless(&["remote: fatal:", "remote: error:"]),
    vcs("git-memory-malloc", &["malloc failed"], Disk, Final, "git wrapper.c xmalloc").hint(Hint::Memory).unless(&["remote: fatal:", "remote: error:"]),
    vcs("git-memory-errno", &["cannot allocate memory"], Disk, Final, "glibc strerror ENOMEM").system().hint(Hint::Memory),
    vcs("git-fork", &["fork", "resource temporarily unavailable"], Disk, Final, "git run-command.c start_command").hint(Hint::Memory),
    vcs_shape("git-crashed", Shape::AnyOf(CRASHES), Config, Final, "git run-command.c wait_or_whine").hint(Hint::GitBroken).weak(),
    vcs("git-thread", &["unable to create thread"], Disk, Final, "git builtin/index-pack.c, pack-objects.c").hint(Hint::Memory),
    vcs("git-no-thread", &["cannot create thread"], Disk, Final, "git builtin/index-pack.c").hint(Hint::Memory),
    vcs("git-bare-repository", &["cannot use bare repository"], Config, Final, "https://github.com/rust-lang/cargo/issues/14758"),
    vcs("git-unsafe", &["unsafe repository"], Disk, Final, "git 2.35.2 setup.c, CVE-2022-24765").hint(Hint::Ownership),
    vcs_shape("git-own-config", Shape::OwnConfig, Config, Final, "git config.c git_die_config_linenr"),
    vcs("git-command-line-config", &["unable to parse command-line config"], Config, Final, "git config.c git_config_from_parameters"),
    vcs("git-config-parameters", &["git_config_parameters"], Config, Final, "git config.c git_config_from_parameters"),
    vcs("git-home", &["$home not set"], Config, Final, "git builtin/config.c"),
    vcs("git-no-command", &["is not a git command"], Config, Final, "git help.c help_unknown_cmd").hint(Hint::GitBroken).unless(&["could not read username", "could not read password"]),
    vcs("git-library", &["error while loading shared libraries"], Config, Final, "glibc elf/rtld.c").hint(Hint::GitBroken),
    vcs("git-symbol", &["symbol lookup error"], Config, Final, "glibc elf/dl-lookup.c").hint(Hint::GitBroken),
    vcs("git-libc", &["version `", "not found"], Config, Final, "glibc elf/dl-version.c").hint(Hint::GitBroken),
    vcs("git-dyld", &["library not loaded"], Config, Final, "Darwin dyld").hint(Hint::GitBroken),
    vcs("git-xcrun", &["xcrun: error"], Config, Final, "https://github.com/mattn/docx2md/issues/1").hint(Hint::Xcode),
    vcs("git-xcode-select", &["xcode-select: "], Config, Final, "Darwin xcode-select: no developer tools were found").hint(Hint::Xcode),
    vcs("git-xcode-license", &["xcode", "license"], Config, Final, "Darwin xcrun: the licence of Xcode was not agreed to").hint(Hint::Xcode),
    vcs("git-missing", &["executable file not found"], Config, Final, "os/exec/lp_unix.go ErrNotFound").hint(Hint::NoVcs),
    vcs("git-space", &["no space left on device"], Disk, Final, "syscall/zerrors_linux_amd64.go ENOSPC").system(),
    vcs("git-quota", &["disk quota exceeded"], Disk, Final, "syscall/zerrors_linux_amd64.go EDQUOT").system(),
    vcs("git-readonly", &["read-only file system"], Disk, Final, "syscall/zerrors_linux_amd64.go EROFS").system(),
    vcs("git-files", &["too many open files"], Disk, Final, "syscall/zerrors_linux_amd64.go EMFILE").system(),
    vcs("git-permission", &[": permission denied"], Disk, Final, "glibc strerror EACCES behind the name of a file").system().unless(&["permission denied (", "permission denied, please try again", "connect to "]),
    // ---- Vcs: a repository in the cache that is broken ----
    vcs("vcs-config", &["bad config"], Cache, Repair, "git config.c").mend(MendKind::Vcs).unless(&["bad configuration option"]),
    vcs("vcs-helper-died", &["aborted session"], Cache, Repair, "git transport-helper.c").mend(MendKind::Vcs),
    vcs("vcs-packed-refs", &["packed-refs"], Cache, Repair, "git refs/packed-backend.c").mend(MendKind::Vcs),
    vcs("vcs-origin-exists", &["remote origin already exists"], Cache, Repair, "git builtin/remote.c").mend(MendKind::Vcs),
    vcs("vcs-no-repository", &["not a git repository"], Cache, Repair, "git setup.c").mend(MendKind::Vcs),
    vcs("vcs-loose-object", &["loose object", "corrupt"], Cache, Repair, "git object-file.c").mend(MendKind::Vcs),
    vcs("vcs-object-file", &["object file", "empty"], Cache, Repair, "git object-file.c").mend(MendKind::Vcs),
    vcs("vcs-bad-object", &["bad object"], Cache, Repair, "git revision.c").mend(MendKind::Vcs),
    vcs("vcs-tree", &["unable to read tree"], Cache, Repair, "git tree-walk.c").mend(MendKind::Vcs),
    vcs("vcs-packfile", &["packfile", "cannot be accessed"], Cache, Repair, "git packfile.c").mend(MendKind::Vcs),
    vcs("vcs-pack-index", &["index file", "is too small"], Cache, Repair, "git packfile.c").mend(MendKind::Vcs),
    vcs("vcs-ref-broken", &["reference broken"], Cache, Repair, "git refs/files-backend.c").mend(MendKind::Vcs),
    vcs("vcs-lock", &[".lock': file exists"], Cache, Repair, "git lockfile.c").mend(MendKind::Vcs),
    vcs("vcs-shallow-changed", &["shallow file has changed"], Cache, Repair, "git shallow.c").mend(MendKind::Vcs),
    vcs("vcs-head", &["failed to resolve head"], Cache, Repair, "git builtin/fsck.c").mend(MendKind::Vcs),
    vcs("vcs-bzr", &["not a branch: ", "location is a repository"], Cache, Repair, "https://github.com/perlin-network/life/issues/51").mend(MendKind::Vcs),
    // ---- Vcs: TLS ----
    vcs("git-certificate", &["certificate verification failed"], Certificate, Switch, "curl lib/vtls/gtls.c"),
    vcs("git-certificate-problem", &["ssl certificate problem"], Certificate, Switch, "curl lib/vtls/openssl.c"),
    vcs("git-certificate-name", &["certificate subject name"], Certificate, Switch, "curl lib/vtls/openssl.c"),
    vcs("git-certificate-openssl", &["certificate verify failed"], Certificate, Switch, "openssl ssl/statem/statem_clnt.c"),
    vcs("git-certificate-mbedtls", &["cert verify failed"], Certificate, Switch, "curl lib/vtls/mbedtls.c"),
    vcs("git-certificate-peer", &["peer certificate"], Certificate, Switch, "curl lib/strerror.c CURLE_PEER_FAILED_VERIFICATION"),
    vcs("git-certificate-revocation", &["crypt_e_"], Certificate, Switch, "curl lib/vtls/schannel.c"),
    vcs("git-certificate-revoked", &["revocation function"], Certificate, Switch, "https://github.com/golang/go/issues/30405"),
    vcs("git-certificate-other", &["certificate"], Certificate, Switch, "curl lib/vtls").weak().unless(&["error setting certificate", "not checking ssl certificate"]),
    vcs("git-certificate-schannel", &["sec_e_untrusted_root"], Certificate, Switch, "curl lib/vtls/schannel.c"),
    vcs("git-certificate-schannel-name", &["sec_e_wrong_principal"], Certificate, Switch, "curl lib/vtls/schannel.c"),
    vcs("git-certificate-schannel-date", &["sec_e_cert_expired"], Certificate, Switch, "curl lib/vtls/schannel.c"),
    vcs("git-tls-garbage", &["unexpected tls packet"], Garbage, Switch, "gnutls lib/errors.c GNUTLS_E_UNEXPECTED_PACKET"),
    vcs("git-tls-cut", &["tls connection was non-properly terminated"], Eof, Retry, "gnutls lib/errors.c GNUTLS_E_PREMATURE_TERMINATION"),
    vcs("git-gnutls-length", &["tls packet with unexpected length"], Reset, Retry, "https://github.com/edgexfoundry/edgex-go/issues/521"),
    vcs("git-gnutls-pull", &["error in the pull function"], Reset, Retry, "gnutls lib/errors.c GNUTLS_E_PULL_ERROR"),
    vcs("git-gnutls-push", &["error in the push function"], Reset, Retry, "gnutls lib/errors.c GNUTLS_E_PUSH_ERROR"),
    vcs("git-gnutls-recv", &["gnutls recv error"], Reset, Retry, "curl lib/vtls/gtls.c"),
    vcs("git-gnutls-handshake", &["gnutls_handshake() failed"], TlsHandshake, Switch, "curl lib/vtls/gtls.c").weak(),
    vcs("git-ssl-syscall", &["ssl_error_syscall"], Reset, Retry, "curl lib/vtls/openssl.c"),
    vcs("git-ssl-zero", &["ssl_error_zero_return"], Eof, Retry, "curl lib/vtls/openssl.c"),
    vcs("git-ssl-read", &["ssl_read:"], Reset, Retry, "curl lib/vtls/openssl.c"),
    vcs("git-ssl-write", &["ssl_write:"], Reset, Retry, "curl lib/vtls/openssl.c"),
    vcs("git-ssl-eof", &["unexpected eof while reading"], Eof, Retry, "openssl crypto/err/openssl.txt SSL_R_UNEXPECTED_EOF_WHILE_READING"),
    vcs("git-ssl-timeout", &["ssl connection timeout"], TlsHandshake, Retry, "curl lib/vtls/openssl.c").nobody(),
    vcs("git-ssl-connect", &["ssl connect error"], TlsHandshake, Retry, "curl lib/strerror.c CURLE_SSL_CONNECT_ERROR").nobody(),
    vcs("git-ssl-alert", &["ssl routines", "alert"], TlsHandshake, Switch, "openssl crypto/err/openssl.txt"),
    vcs_shape("git-tls-nothing-in-common", Shape::AnyOf(TLS_NOTHING_IN_COMMON), TlsHandshake, Switch, "nss SSL_ERROR_UNSUPPORTED_VERSION, SSL_ERROR_NO_CYPHER_OVERLAP"),
    vcs("git-schannel-closed", &["server closed abruptly"], Reset, Retry, "curl lib/vtls/schannel.c"),
    vcs("git-schannel-handshake", &["failed to receive handshake"], TlsHandshake, Retry, "curl lib/vtls/schannel.c").nobody(),
    vcs("git-schannel-init", &["schannel: "], TlsHandshake, Retry, "curl lib/vtls/schannel.c").weak().nobody(),
    vcs("git-libressl", &["libressl ssl_connect"], TlsHandshake, Retry, "curl lib/vtls/openssl.c").nobody(),
    vcs("git-ssl-record", &["bad record mac"], Reset, Retry, "openssl crypto/err/openssl.txt SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    vcs("git-ssl-unsaid", &["lib(0)::reason(0)"], TlsHandshake, Retry, "curl lib/vtls/openssl.c, an empty error queue").nobody(),
    vcs("git-ssl-unknown", &["unknown ssl protocol error"], TlsHandshake, Retry, "https://github.com/kothar/go-backblaze/issues/21").nobody(),
    vcs_shape("git-openssl", Shape::OpenSsl, Config, Final, "openssl crypto/err/openssl.txt").weak(),
    // ---- Vcs: names and connecting ----
    vcs("git-resolve", &["could not resolve host"], Dns, Retry, "curl lib/strerror.c CURLE_COULDNT_RESOLVE_HOST").nobody(),
    vcs("git-resolve-old", &["couldn't resolve host"], Dns, Retry, "curl lib/strerror.c CURLE_COULDNT_RESOLVE_HOST").nobody(),
    vcs("fossil-resolve", &["can't resolve host name"], Dns, Retry, "fossil http_socket.c").nobody(),
    vcs("git-resolving-timeout", &["resolving timed out"], Dns, Retry, "curl lib/asyn-thread.c").nobody(),
    vcs("git-look-up", &["unable to look up"], Dns, Retry, "git connect.c").nobody(),
    vcs("vcs-name-unknown", &["name or service not known"], Dns, Retry, "glibc gai_strerror").nobody().system(),
    vcs("vcs-name-temporary", &["temporary failure in name resolution"], Dns, Retry, "glibc gai_strerror").nobody().system(),
    vcs("vcs-name-darwin", &["nodename nor servname provided"], Dns, Retry, "Darwin gai_strerror").nobody().system(),
    vcs("vcs-name-musl", &["name does not resolve"], Dns, Retry, "musl gai_strerror.c").nobody().system(),
    vcs("vcs-name-windows", &["no such host is known"], Dns, Retry, "WSAHOST_NOT_FOUND").nobody().system(),
    vcs("git-connect", &["failed to connect to"], Connect, Retry, "curl lib/connect.c").nobody(),
    vcs("git-couldnt-connect", &["couldn't connect to server"], Connect, Retry, "curl lib/strerror.c CURLE_COULDNT_CONNECT").nobody(),
    vcs("git-daemon-connect", &["unable to connect to"], Connect, Retry, "git connect.c git_tcp_connect_sock").nobody().unless(&["e170013"]),
    vcs_shape("ssh-connect", Shape::Line("ssh: connect to host "), Connect, Retry, "openssh sshconnect.c").nobody(),
    vcs("ssh-banner-timeout", &["timed out during banner exchange"], Timeout, Retry, "openssh sshconnect.c").nobody(),
    vcs("vcs-refused", &["connection refused"], Connect, Retry, "glibc strerror ECONNREFUSED").nobody().system(),
    vcs("vcs-no-route", &["no route to host"], Connect, Retry, "glibc strerror EHOSTUNREACH").nobody().system().no_network(),
    vcs("vcs-no-network", &["network is unreachable"], Connect, Retry, "glibc strerror ENETUNREACH").nobody().system().no_network(),
    vcs("vcs-timed-out", &["timed out"], Connect, Retry, "glibc strerror ETIMEDOUT, curl lib/connect.c").nobody().unless(&["bytes received", "bytes remaining"]).system(),
    vcs_shape("git-errno", Shape::Errno, Connect, Retry, "git connect.c").nobody(),
    vcs("git-timeout", &["operation timed out after"], Timeout, Retry, "curl lib/multi.c"),
    vcs("git-too-slow", &["operation too slow"], Timeout, Retry, "curl lib/speedcheck.c"),
    vcs("git-timeout-reached", &["timeout was reached"], Timeout, Retry, "curl lib/strerror.c CURLE_OPERATION_TIMEDOUT").nobody(),
    // ---- Vcs: connections that broke ----
    vcs("vcs-reset", &["connection reset"], Reset, Retry, "glibc strerror ECONNRESET").system(),
    vcs("vcs-reset-windows", &["connection was reset"], Reset, Retry, "curl lib/curl_sspi.c, Winsock strerror").system(),
    vcs("vcs-aborted-windows", &["connection was aborted"], Reset, Retry, "curl, Winsock strerror WSAECONNABORTED").system(),
    vcs("vcs-abort", &["software caused connection abort"], Reset, Retry, "glibc strerror ECONNABORTED").system(),
    vcs("vcs-pipe", &["broken pipe"], Reset, Retry, "glibc strerror EPIPE").system(),
    vcs("vcs-not-connected", &["is not connected"], Reset, Retry, "Darwin strerror ENOTCONN").system(),
    vcs("vcs-closed-remote", &["closed by remote host"], Reset, Retry, "openssh packet.c"),
    vcs_shape("ssh-closed", Shape::Line("Connection closed by "), Reset, Retry, "openssh packet.c sshpkt_fatal"),
    vcs_shape("ssh-disconnected", Shape::Line("Received disconnect from "), Reset, Retry, "openssh packet.c").weak(),
    vcs("ssh-kex-garbage", &["banner line contains invalid characters"], Garbage, Switch, "openssh kex.c kex_exchange_identification"),
    vcs("ssh-kex-no-banner", &["invalid format"], Garbage, Switch, "openssh kex.c, ssherr.c"),
    vcs("ssh-bad-packet", &["bad packet length"], Garbage, Switch, "openssh packet.c"),
    vcs_shape("ssh-kex", Shape::Line("kex_exchange_identification: "), Reset, Retry, "openssh kex.c").weak(),
    vcs_shape("ssh-identification", Shape::Line("ssh_exchange_identification: "), Reset, Retry, "openssh before 8.0, sshconnect.c").weak(),
    vcs_shape("ssh-keepalive", Shape::Line("Timeout, server "), Timeout, Retry, "openssh clientloop.c server_alive_check"),
    vcs_shape("ssh-connection", Shape::SshConnection, Reset, Retry, "openssh packet.c sshpkt_vfatal").weak().unless(&["libcrypto", "invalid key", "key length", "signature"]),
    vcs("git-empty-reply", &["empty reply from server"], Eof, Retry, "curl lib/strerror.c CURLE_GOT_NOTHING"),
    vcs_shape("git-curl-cut", Shape::AnyOf(CURL_CUT), Eof, Retry, "curl lib/strerror.c CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING; nss"),
    vcs_shape("git-curl-broken", Shape::AnyOf(CURL_BROKEN), Reset, Retry, "curl lib/strerror.c CURLE_SEND_ERROR, CURLE_RECV_ERROR; nss"),
    vcs("hg-cut", &["stream ended unexpectedly"], Eof, Retry, "mercurial changegroup.py readexactly"),
    vcs("git-transfer-closed", &["transfer closed with"], Eof, Retry, "curl lib/transfer.c CURLE_PARTIAL_FILE"),
    vcs("git-body-expected", &["bytes of body are still expected"], Eof, Retry, "https://github.com/securego/gosec/issues/1284"),
    vcs("git-recv", &["recv failure"], Reset, Retry, "curl lib/cf-socket.c"),
    vcs("git-send", &["send failure"], Reset, Retry, "curl lib/cf-socket.c"),
    vcs("git-h2-stream", &["http/2 stream"], Http2, Retry, "curl lib/http2.c"),
    vcs("git-h2-framing", &["http2 framing layer"], Http2, Retry, "curl lib/strerror.c CURLE_HTTP2"),
    vcs("git-h2-library", &["nghttp2"], Http2, Retry, "curl lib/http2.c"),
    vcs("git-h2-framing-stream", &["http/2 framing layer"], Http2, Retry, "curl lib/strerror.c CURLE_HTTP2_STREAM"),
    vcs("git-http09", &["http/0.9 when not allowed"], Garbage, Switch, "curl lib/http.c"),
    vcs("git-weird-reply", &["weird server reply"], Garbage, Switch, "curl lib/strerror.c CURLE_WEIRD_SERVER_REPLY"),
    vcs_shape("git-curl-garbage", Shape::AnyOf(CURL_GARBAGE), Garbage, Switch, "curl lib/strerror.c, lib/http.c"),
    vcs("git-invalid-answer", &["invalid server response; got"], Garbage, Switch, "git remote-curl.c check_smart_http"),
    vcs("hg-not-repository", &["does not appear to be an hg repository"], Garbage, Switch, "mercurial httppeer.py parse_v1_response"),
    vcs("git-unsupported-answer", &["unsupported http version"], Garbage, Switch, "curl lib/http.c"),
    vcs("git-not-valid", &["not valid: is this a git repository"], Garbage, Switch, "git remote-curl.c discover_refs"),
    vcs("git-line-length", &["bad line length character"], Garbage, Switch, "git pkt-line.c"),
    vcs("git-protocol", &["protocol error: "], Garbage, Switch, "git pkt-line.c, connect.c"),
    vcs_shape("git-protocol-translated", Shape::AnyOf(BAD_LENGTH), Garbage, Switch, "git po, \"protocol error: bad line length %d\""),
    vcs("git-connect-abort", &["proxy connect aborted"], ProxyConnect, Retry, "curl lib/http_proxy.c").nobody(),
    vcs("git-proxy-handshake", &["proxy handshake error"], ProxyConnect, Retry, "curl lib/strerror.c CURLE_PROXY").nobody(),
    vcs("git-sideband", &["unexpected disconnect while reading sideband"], Eof, Retry, "git sideband.c"),
    vcs("git-index-pack", &["invalid index-pack output"], Eof, Retry, "https://github.com/securego/gosec/issues/1284"),
    vcs("git-index-pack-failed", &["index-pack failed"], Eof, Retry, "git fetch-pack.c").weak(),
    vcs("git-early-eof", &["early eof"], Eof, Retry, "git builtin/index-pack.c"),
    vcs("git-pack-cut", &["pack exceeds maximum allowed size"], Refused, Final, "git builtin/index-pack.c"),
    vcs("git-objects-missing", &["did not send all necessary objects"], Eof, Retry, "git builtin/fetch.c"),
    vcs("git-unpack", &["unpack-objects error"], Eof, Retry, "git builtin/receive-pack.c").weak(),
    vcs("git-rate-limit", &["rate limit"], RateLimit, Retry, "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"),
    vcs("git-rate-exceeded", &["too many requests"], RateLimit, Retry, "git http.c, an answer's reason phrase").unless(&["returned error: 4"]),
    vcs_shape("git-overloaded", Shape::AnyOf(OVERLOADED), ServerError, Retry, "https://gitlab.com/gitlab-org/gitlab: limits of Gitaly").weak(),
    vcs_shape("git-429", Shape::Status(429, 429), RateLimit, Retry, "git http.c show_http_message"),
    vcs_shape("git-408", Shape::Status(408, 408), ServerError, Retry, "git http.c show_http_message"),
    vcs_shape("git-425", Shape::Status(425, 425), ServerError, Retry, "git http.c show_http_message"),
    vcs_shape("git-5xx", Shape::Status(500, 599), ServerError, Retry, "https://github.com/niemeyer/gopkg/issues/78"),
    vcs_shape("git-401", Shape::Status(401, 401), Auth, Final, "git http.c"),
    vcs_shape("git-403", Shape::Status(403, 403), Auth, Final, "git http.c"),
    vcs_shape("git-451", Shape::Status(451, 451), Auth, Final, "git http.c"),
    vcs_shape("git-404", Shape::Status(404, 404), NotFound, Final, "https://github.com/tkestack/gpu-manager/issues/5").hint(Hint::HiddenRepository),
    vcs_shape("git-407", Shape::Status(407, 407), Auth, Final, "curl lib/cf-h1-proxy.c, CONNECT tunnel failed"),
    vcs_shape("git-410", Shape::Status(410, 410), NotFound, Final, "git http.c"),
    vcs_shape("git-4xx", Shape::Status(400, 499), Refused, Final, "git http.c"),
    vcs_shape("git-3xx", Shape::Status(300, 399), Config, Final, "https://github.com/asciimoo/wuzz/issues/96"),
    vcs_shape("git-url", Shape::GitUrl, Vcs, Retry, "git http.c http_init, remote-curl.c").weak(),
    vcs_shape("git-rpc", Shape::Line("error: RPC failed"), Vcs, Retry, "git remote-curl.c rpc_service").weak(),
    vcs("git-hung-up", &["remote end hung up unexpectedly"], Eof, Retry, "git pkt-line.c").weak(),
    vcs("git-flush", &["expected flush after ref listing"], Garbage, Switch, "git connect.c").weak(),
    vcs_shape("git-hung-up-translated", Shape::AnyOf(HUNG_UP), Eof, Retry, "git po, \"the remote end hung up unexpectedly\"").weak(),
    vcs_shape("git-curl", Shape::CurlCode, Vcs, Retry, "curl include/curl/curl.h CURLcode").weak(),
    vcs_shape("git-transport", Shape::GitTransport, Vcs, Retry, "git fetch-pack.c, remote-curl.c, pkt-line.c, builtin/index-pack.c").weak(),
    vcs_shape("git-local-file", Shape::LocalFile, Disk, Final, "git wrapper.c, environment.c").weak(),
    vcs("git-answer-denied", &["denied"], Auth, Final, "the word for it in every VCS and forge").weak(),
    vcs("git-answer-not-found", &["not found"], NotFound, Final, "the word for it in every VCS and forge").weak().unless(&["host not found"]),
    vcs("git-answer-no-such", &["not exist"], NotFound, Final, "the word for it in every VCS and forge").weak(),
    vcs("git-answer-not-allowed", &["not allowed to"], Auth, Final, "the word for it in every VCS and forge").weak(),
    vcs("git-answer-forbidden", &["forbidden"], Auth, Final, "the word for it in every VCS and forge").weak(),
    vcs("git-answer-unauthorized", &["unauthorized"], Auth, Final, "the word for it in every VCS and forge").weak(),
    vcs("git-killed", &["signal: killed"], Vcs, Retry, "os/exec ExitError, a VCS that somebody ended").weak(),
    vcs("git-terminated", &["signal: terminated"], Vcs, Retry, "os/exec ExitError, a VCS that somebody ended").weak(),
    vcs_shape("hg-error", Shape::Line("abort: error: "), Vcs, Retry, "mercurial scmutil.py callcatch").weak().nobody(),
    vcs("git-confirm", &["confirm the import path was entered correctly"], Auth, Final, "https://github.com/golang/go/issues/43205").wrapper(),
    vcs("git-private", &["if this is a private repository"], Auth, Final, "https://github.com/golang/go/issues/43205").wrapper(),
    vcs("git-could-not-read", &["could not read from remote repository"], Auth, Final, "https://github.com/concourse/semver-resource/issues/3").wrapper(),
    vcs("git-access-rights", &["correct access rights"], Auth, Final, "git connect.c die_initial_contact").wrapper(),
    // ---- Response: a 404 that hides a fault behind the proxy ----
    Rule::new("origin-unavailable", Part::Response, Pattern::Words(&["temporarily unavailable"]), NotFound, Final, "https://github.com/golang/go/issues/53572").hint(Hint::Unavailable),
    response("origin-fetch-timeout", &["fetch timed out"], "https://proxy.golang.org, and https://github.com/golang/go/issues/42809"),
    Rule::new("origin-fault", Part::Response, Pattern::Shape(Shape::Origin), ServerError, Retry, "https://github.com/golang/go/issues/72118"),
    // ---- Answer: security and the checksum database ----
    Rule::new("security", Part::Answer, Pattern::Shape(Shape::Exactly("SECURITY ERROR")), Security, Repair, "cmd/go/internal/modfetch/fetch.go goSumMismatch, sumdbMismatch").mend(MendKind::Checksum),
    mend("checksum-mismatch", &["checksum mismatch"], Security, MendKind::Checksum, "https://github.com/elastic/apm-agent-go/issues/630").common(),
    Rule::new("security-words", Part::Answer, Pattern::Shape(Shape::AnyOf(SECURITY)), Security, Repair, "cmd/go/internal/modfetch/fetch.go goSumMismatch, sumdbMismatch: a line of them alone").mend(MendKind::Checksum).weak(),
    answer("sumdb-misbehaviour", &["go.sum database server misbehavior"], Security, "cmd/vendor/golang.org/x/mod/sumdb/client.go checkTrees"),
    answer("sumdb-misbehaving", &["security error: misbehaving server"], Security, "cmd/vendor/golang.org/x/mod/sumdb/client.go ErrSecurity"),
    answer("sumdb-missing", &["checksum missing from sumdb response"], Security, "cmd/go/internal/modfetch/fetch.go checkSumDB"),
    answer("sumdb-unsigned", &["note has no verifiable signatures"], Security, "cmd/vendor/golang.org/x/mod/sumdb/note/note.go UnverifiedNoteError"),
    answer("sumdb-bad-signature", &["invalid signature for key"], Security, "cmd/vendor/golang.org/x/mod/sumdb/note/note.go InvalidSignatureError").common(),
    mend("sumdb-record-auth", &["cannot authenticate record data"], Sumdb, MendKind::SumdbLookup, "cmd/vendor/golang.org/x/mod/sumdb/client.go checkRecord"),
    mend("sumdb-record-validate", &["cannot validate record"], Sumdb, MendKind::SumdbLookup, "cmd/vendor/golang.org/x/mod/sumdb/client.go checkRecord"),
    mend("sumdb-record-malformed", &["malformed record data"], Sumdb, MendKind::SumdbLookup, "cmd/vendor/golang.org/x/mod/sumdb/tlog/note.go errMalformedRecord"),
    mend("sumdb-tile", &["tilereader returned bad result slice"], Sumdb, MendKind::SumdbTile, "https://github.com/golang/go/issues/69102"),
    mend("sumdb-tile-inconsistent", &["downloaded inconsistent tile"], Sumdb, MendKind::SumdbTile, "cmd/vendor/golang.org/x/mod/sumdb/tlog/tile.go"),
    mend("sumdb-latest", &["reading tree note:"], Sumdb, MendKind::SumdbLatest, "cmd/vendor/golang.org/x/mod/sumdb/client.go mergeLatestMem").unless(&["note has no verifiable signatures", "invalid signature for key"]),
    mend("sumdb-latest-tree", &["malformed tree note"], Sumdb, MendKind::SumdbLatest, "cmd/vendor/golang.org/x/mod/sumdb/tlog/note.go errMalformedTree"),
    mend("sumdb-note", &["malformed note"], Sumdb, MendKind::SumdbLookup, "cmd/vendor/golang.org/x/mod/sumdb/note/note.go errMalformedNote").unless(&["reading tree note:"]),
    answer("sumdb-off", &["checksum database disabled by gosumdb=off"], Config, "cmd/go/internal/modfetch/sumdb.go dbDial"),
    answer("sumdb-config", &["invalid gosumdb"], Config, "cmd/go/internal/modfetch/sumdb.go dbDial"),
    answer("sumdb-unset", &["missing gosumdb"], Config, "cmd/go/internal/modfetch/sumdb.go dbDial"),
    // ---- Answer: the module cache ----
    mend("zip-invalid", &["zip: not a valid zip file"], Cache, MendKind::Zip, "archive/zip/reader.go ErrFormat"),
    mend("zip-checksum", &["zip: checksum error"], Cache, MendKind::Zip, "archive/zip/reader.go ErrChecksum"),
    mend("zip-algorithm", &["zip: unsupported compression algorithm"], Cache, MendKind::Zip, "archive/zip/reader.go ErrAlgorithm"),
    mend("zip-unzip", &["unzip ", ".zip: "], Cache, MendKind::Zip, "cmd/go/internal/modfetch/fetch.go download").unless(&["no space left", "quota exceeded", "too many open files", "permission denied", "read-only file system"]),
    mend("ziphash-missing", &["missing ziphash:"], Cache, MendKind::Zip, "cmd/go/internal/modcmd/verify.go verifyMod"),
    mend("zip-modified", &["zip has been modified"], Cache, MendKind::Zip, "cmd/go/internal/modcmd/verify.go verifyMod"),
    mend("dir-modified", &["dir has been modified"], Cache, MendKind::Extracted, "cmd/go/internal/modcmd/verify.go verifyMod"),
    mend("ziphash-unexpected", &["unexpected ziphash:"], Cache, MendKind::Checksum, "cmd/go/internal/modfetch/fetch.go checkMod"),
    Rule::new("zip-other-module", Part::Answer, Pattern::Words(&["zip for ", "has unexpected file"]), Garbage, Switch, "cmd/go/internal/modfetch/fetch.go downloadZip"),
    mend("mod-no-module", &["parsing go.mod: missing module line"], Cache, MendKind::Mod, "https://github.com/goproxyio/goproxy/issues/86"),
    mend("mod-syntax", &["parsing go.mod:", "syntax error"], Cache, MendKind::Mod, "cmd/vendor/golang.org/x/mod/modfile/read.go").unless(&["errors parsing"]),
    mend("mod-input", &["parsing go.mod:", "unexpected input"], Cache, MendKind::Mod, "cmd/vendor/golang.org/x/mod/modfile/read.go").unless(&["errors parsing"]),
    mend("mod-newline", &["parsing go.mod:", "unexpected newline"], Cache, MendKind::Mod, "cmd/vendor/golang.org/x/mod/modfile/read.go").unless(&["errors parsing"]),
    mend("mod-declares", &["module declares its path as"], NotFound, MendKind::OtherModule, "cmd/go/internal/modload/modfile.go rawGoModSummary"),
    mend("vcs-info", &[".info exists with wrong content"], Cache, MendKind::Vcs, "cmd/go/internal/modfetch/codehost/codehost.go WorkDir"),
    mend("unknown-revision", &["unknown revision"], NotFound, MendKind::Vcs, "cmd/go/internal/modfetch/codehost/codehost.go UnknownRevisionError").follows(Follows::DirectFetch),
    mend("revision-not-local", &["revision does not exist locally"], Cache, MendKind::Vcs, "cmd/go/internal/modfetch/codehost/git.go"),
    mend("no-required-module", &["no required module provides package"], User, MendKind::Extracted, "cmd/go/internal/modload/import.go ImportMissingError").follows(Follows::AnyFetch),
    mend("cache-not-directory", &["cache", "not a directory"], Cache, MendKind::Path, "syscall/zerrors_linux_amd64.go ENOTDIR").common(),
    mend("cache-is-directory", &["cache", "is a directory"], Cache, MendKind::Path, "syscall/zerrors_linux_amd64.go EISDIR").common().unless(&["should be a go file"]),
    // ---- Answer: this machine ----
    answer("disk-space", &["no space left on device"], Disk, "syscall/zerrors_linux_amd64.go ENOSPC").common().system(),
    answer("disk-space-windows", &["there is not enough space on the disk"], Disk, "https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499- ERROR_DISK_FULL").common().system(),
    answer("disk-quota", &["disk quota exceeded"], Disk, "syscall/zerrors_linux_amd64.go EDQUOT").common().system(),
    answer("disk-readonly", &["read-only file system"], Disk, "syscall/zerrors_linux_amd64.go EROFS").common().system(),
    answer("disk-permission", &["permission denied"], Disk, "syscall/zerrors_linux_amd64.go EACCES").common().system(),
    answer("disk-permission-windows", &["access is denied"], Disk, "https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499- ERROR_ACCESS_DENIED").common().system(),
    answer("disk-not-permitted", &["operation not permitted"], Disk, "syscall/zerrors_linux_amd64.go EPERM").common().system(),
    answer("disk-files", &["too many open files"], Disk, "syscall/zerrors_linux_amd64.go EMFILE").common().system(),
    answer("disk-locks", &["no locks available"], Disk, "syscall/zerrors_linux_amd64.go ENOLCK").common().system(),
    answer("disk-cache", &["could not create module cache"], Disk, "cmd/go/internal/modfetch/cache.go checkCacheDir"),
    answer("disk-build-cache", &["failed to initialize build cache"], Disk, "cmd/go/internal/cache/default.go"),
    answer("disk-build-cache-home", &["build cache is required"], Disk, "cmd/go/internal/cache/default.go"),
    Rule::new("disk-mount-gone", Part::Answer, Pattern::Words(&["transport endpoint is not connected"]), Disk, Retry, "syscall/zerrors_linux_amd64.go ENOTCONN from a broken FUSE mount").common().system(),
    Rule::new("disk-mount-timeout", Part::Answer, Pattern::Words(&["connection timed out"]), Disk, Retry, "syscall/zerrors_linux_amd64.go ETIMEDOUT from a network file system").common().system(),
    Rule::new("disk-mount-stale", Part::Answer, Pattern::Words(&["stale file handle"]), Disk, Retry, "syscall/zerrors_linux_amd64.go ESTALE from a network file system").common().system(),
    Rule::new("disk-io", Part::Answer, Pattern::Words(&["input/output error"]), Disk, Final, "syscall/zerrors_linux_amd64.go EIO").common().system(),
    answer("cache-relative", &["gomodcache entry is relative"], Config, "cmd/go/internal/modfetch/cache.go checkCacheDir"),
    answer("cache-unset", &["neither gomodcache nor gopath"], Config, "cmd/go/internal/modfetch/cache.go checkCacheDir"),
    answer("vcs-missing", &["executable file not found in"], Config, "os/exec/lp_unix.go ErrNotFound").common().hint(Hint::NoVcs),
    answer("vcs-command-missing", &["missing ", " command. see "], Config, "https://github.com/golang/go/issues/47311").hint(Hint::NoVcs),
    // ---- Answer: go's configuration ----
    answer("proxy-off", &["module lookup disabled by goproxy=off"], Config, "cmd/go/internal/modfetch/repo.go errProxyOff"),
    answer("proxy-private", &["disabled by goprivate/gonoproxy"], Config, "cmd/go/internal/modfetch/repo.go errNoproxy"),
    answer("proxy-vendor", &["module lookup disabled by -mod="], Config, "cmd/go/internal/modfetch/repo.go lookupDisabledError"),
    answer("import-lookup-off", &["import lookup disabled by -mod="], Config, "cmd/go/internal/modload/import.go queryImport"),
    answer("proxy-scheme-missing", &["invalid proxy url missing scheme"], Config, "cmd/go/internal/modfetch/proxy.go newProxyRepo").hint(Hint::ProxyValue),
    answer("proxy-scheme", &["invalid proxy url scheme"], Config, "cmd/go/internal/modfetch/proxy.go newProxyRepo").hint(Hint::ProxyValue),
    Rule::new("proxy-unparsable", Part::Answer, Pattern::Shape(Shape::Parse), Config, Final, "net/url/url.go Error.Error").common().hint(Hint::ProxyValue),
    answer("proxy-file", &["invalid file:// proxy url"], Config, "cmd/go/internal/modfetch/proxy.go newProxyRepo").hint(Hint::ProxyValue),
    answer("proxy-empty", &["goproxy list is not the empty string, but contains no entries"], Config, "cmd/go/internal/modfetch/proxy.go proxyList").hint(Hint::ProxyValue),
    answer("network-limit", &["network disabled by cmdgonetlimit"], Config, "cmd/go/internal/base/limit.go AcquireNet"),
    answer("vcs-forbidden", &["govcs disallows using"], Config, "cmd/go/internal/vcs/vcs.go CheckGOVCS"),
    answer("goflags", &["parsing $goflags"], Config, "cmd/go/internal/base/goflags.go InitGOFLAGS"),
    answer("goauth", &["goauth="], Config, "cmd/go/internal/auth/auth.go"),
    answer("insecure-url", &["insecure url:"], Config, "cmd/go/internal/web/http.go"),
    Rule::new("vcs-no-secure", Part::Answer, Pattern::Words(&["protocol found for repository"]), Vcs, Retry, "cmd/go/internal/vcs/vcs.go RepoRootForImportPath: git ls-remote failed by https, git+ssh and ssh, and its words were dropped").hint(Hint::NoSecureProtocol),
    answer("modules-off", &["modules disabled", "by go111module="], Config, "https://github.com/golang/go/issues/39264"),
    answer("file-proxy", &["reading file://"], NotFound, "cmd/go/internal/web/file_test.go, api.go HTTPError for file URLs"),
    // ---- Answer: toolchains ----
    answer("toolchain-unavailable", &["toolchain not available"], Toolchain, "https://github.com/golang/go/issues/65568"),
    answer("toolchain-path", &["cannot find \"go", "in path"], Toolchain, "cmd/go/internal/toolchain/select.go Exec"),
    answer("toolchain-releases", &["no releases found for go"], Toolchain, "cmd/go/internal/toolchain/switch.go NewerToolchain"),
    answer("toolchain-invalid", &["invalid toolchain"], Toolchain, "cmd/go/internal/toolchain/select.go Select").common(),
    answer("toolchain-requires", &["requires go >= ", "(running go"], Toolchain, "cmd/go/internal/gover/toolchain.go TooNewError").hint(Hint::NewerGo),
    answer("toolchain-older", &["requires go >= "], Toolchain, "cmd/go/internal/gover/toolchain.go TooNewError").hint(Hint::NewerGo),
    answer("toolchain-newer", &["package requires newer go version"], Toolchain, "go/types/errors.go, cmd/compile/internal/noder").hint(Hint::NewerGo),
    answer("toolchain-version", &["invalid gotoolchain"], Toolchain, "cmd/go/internal/toolchain/select.go Select"),
    answer("toolchain-line", &["invalid go version"], Toolchain, "https://github.com/lovelaze/nebula-sync/issues/159"),
    answer("toolchain-mismatch", &["does not match go tool version"], Toolchain, "cmd/compile/internal/base/flag.go"),
    // ---- Answer: modules and packages ----
    answer("vanity-no-meta", &["no go-import meta tags"], NotFound, "https://github.com/cyphar/libpathrs/issues/300"),
    answer("vanity-mismatch", &["meta tag", "did not match import path"], NotFound, "cmd/go/internal/vcs/vcs.go ImportMismatchError"),
    answer("vanity-static", &["invalid version control suffix"], NotFound, "cmd/go/internal/vcs/vcs.go repoRootFromVCSPaths"),
    answer("no-hostname", &["import path does not begin with hostname"], User, "cmd/go/internal/vcs/vcs.go repoRootForImportDynamic"),
    answer("no-versions", &["no matching versions for query"], NotFound, "cmd/go/internal/modload/query.go NoMatchingVersionError").follows(Follows::AnyFetch),
    answer("no-matching", &["no matching versions"], NotFound, "https://proxy.golang.org's answer for an unknown module"),
    answer("no-such-package", &["but does not contain package"], User, "cmd/go/internal/modload/query.go PackageNotInModuleError"),
    answer("no-main-package", &["is not a main package"], User, "cmd/go/internal/load/pkg.go mainPackagesOnly"),
    answer("not-std", &["is not in std"], User, "cmd/go/internal/modload/import.go ImportMissingError").hint(Hint::StandardLibrary),
    answer("not-goroot", &["is not in goroot"], User, "cmd/go/internal/modload/import.go before 1.21").hint(Hint::StandardLibrary),
    answer("no-package-gopath", &["cannot find package \""], User, "go/build/build.go Import"),
    answer("no-package-replaced", &["is replaced but not required"], User, "cmd/go/internal/modload/import.go ImportMissingError"),
    answer("no-package-directory", &["does not contain package"], User, "cmd/go/internal/modload/load.go"),
    answer("no-package-implicit", &["from implicitly required module"], User, "cmd/go/internal/modload/import.go"),
    answer("no-package-version", &["but not at required version"], User, "cmd/go/internal/modload/import.go ImportMissingError"),
    answer("no-directory", &["stat ", ": directory not found"], User, "cmd/go/internal/modload/load.go resolveLocalPackage"),
    answer("no-pattern", &["does not contain main module or its selected dependencies"], User, "cmd/go/internal/modload/search.go"),
    answer("no-pattern-outside", &["pattern ", "directory prefix "], User, "cmd/go/internal/modload/search.go"),
    answer("no-module-file", &["go.mod file not found"], User, "cmd/go/internal/modload/init.go ErrNoModRoot"),
    answer("no-main-module", &["cannot find main module"], User, "cmd/go/internal/modload/init.go ErrNoModRoot"),
    answer("no-module-outside", &["working directory is not part of a module"], User, "https://github.com/goproxy/goproxy.cn/issues/29"),
    answer("no-module-outside-directory", &["outside main module or its selected dependencies"], User, "cmd/go/internal/modload/load.go"),
    answer("no-modules-specified", &["no modules specified"], User, "cmd/go/internal/modcmd/download.go"),
    answer("not-dependency", &["not a known dependency"], User, "cmd/go/internal/modload/list.go").follows(Follows::AnyFetch),
    answer("no-go-files", &["no go files in"], User, "go/build/build.go NoGoError"),
    answer("constraints", &["build constraints exclude all go files"], User, "cmd/go/internal/load/pkg.go NoGoError"),
    answer("two-packages", &["found packages "], User, "go/build/build.go MultiplePackageError"),
    answer("import-cycle", &["import cycle not allowed"], User, "cmd/go/internal/load/pkg.go"),
    answer("import-internal", &["use of internal package"], User, "cmd/go/internal/load/pkg.go disallowInternal"),
    answer("import-program", &["is a program, not an importable package"], User, "cmd/go/internal/load/pkg.go"),
    answer("import-relative", &["local import \""], User, "cmd/go/internal/load/pkg.go"),
    answer("import-relative-module", &["is relative, but relative import paths are not supported"], User, "cmd/go/internal/modload/import.go"),
    answer("import-ambiguous", &["ambiguous import:"], User, "https://github.com/golang/go/issues/62175"),
    answer("no-dot-in-path", &["malformed module path", "missing dot in first path element"], User, "cmd/vendor/golang.org/x/mod/module/module.go CheckPath: a package of a newer standard library").hint(Hint::StandardLibrary),
    answer("malformed-path", &["malformed module path"], User, "https://github.com/fullstorydev/grpcurl/issues/450"),
    answer("malformed-import", &["malformed import path"], User, "cmd/vendor/golang.org/x/mod/module/module.go InvalidPathError"),
    answer("malformed-file", &["malformed file path"], NotFound, "https://github.com/mszostok/codeowners-validator/issues/59"),
    answer("malformed-sum", &["malformed go.sum"], User, "cmd/go/internal/modfetch/fetch.go readGoSum"),
    answer("main-mod-errors", &["errors parsing "], User, "https://github.com/fbsobreira/gotron-sdk/issues/26").common().wrapper(),
    answer("main-mod-usage", &["go.mod:", "usage: "], User, "cmd/vendor/golang.org/x/mod/modfile/rule.go"),
    answer("main-mod-directive", &["unknown directive"], User, "cmd/vendor/golang.org/x/mod/modfile/rule.go"),
    answer("main-mod-version", &["invalid: should be v"], User, "https://github.com/fbsobreira/gotron-sdk/issues/26"),
    answer("major-suffix", &["major version"], User, "https://github.com/eko/gocache/issues/91").common(),
    answer("version-non-canonical", &["must be of the form v1.2.3"], User, "cmd/vendor/golang.org/x/mod/modfile/rule.go"),
    answer("version-not-canonical", &["is not canonical"], User, "cmd/go/internal/modfetch/coderepo.go").common(),
    answer("version-excluded", &["excluded by go.mod"], User, "cmd/go/internal/modload/query.go errDisallowed"),
    answer("version-retracted", &["retracted by module author"], User, "cmd/go/internal/modload/modfile.go ModuleRetractedError"),
    answer("version-conflict", &["conflicts with "], User, "cmd/go/internal/modget/query.go").common(),
    answer("version-requested", &[" is requested"], User, "cmd/go/internal/modload/buildlist.go ConstraintError").common(),
    answer("version-pseudo", &["invalid pseudo-version"], NotFound, "cmd/go/internal/modfetch/coderepo.go validatePseudoVersion").wrapper().hint(Hint::PseudoVersion),
    answer("version-upgrade-main", &["can't request"], User, "cmd/go/internal/modget/query.go").common(),
    answer("version-missing-mod", &["is missing module path"], NotFound, "cmd/go/internal/modfetch/coderepo.go findDir").hint(Hint::NoModuleThere),
    answer("version-missing-gomod", &["missing ", "go.mod at revision"], NotFound, "cmd/go/internal/modfetch/coderepo.go findDir").hint(Hint::NoModuleThere),
    answer("version-module-path", &["module path", " at revision "], NotFound, "cmd/go/internal/modfetch/coderepo.go findDir").hint(Hint::NoModuleThere),
    answer("version-not-descendent", &["not a descendent of"], NotFound, "cmd/go/internal/modfetch/coderepo.go validatePseudoVersion").hint(Hint::PseudoVersion),
    answer("version-resolves", &["resolves to version"], User, "cmd/go/internal/modfetch/coderepo.go convert").common(),
    Rule::new("version-other", Part::Answer, Pattern::Words(&["proxy returned info for version"]), Garbage, Switch, "cmd/go/internal/modfetch/proxy.go Stat"),
    answer("sum-missing", &["missing go.sum entry"], User, "cmd/go/internal/modload/import.go ImportMissingSumError").follows(Follows::AnyFetch),
    answer("sum-updates", &["updates to go.sum needed"], User, "cmd/go/internal/modfetch/fetch.go ErrGoSumDirty"),
    answer("mod-updates", &["updates to go.mod needed"], User, "cmd/go/internal/modload/init.go"),
    answer("mod-dirty", &["existing contents have changed since last read"], User, "cmd/go/internal/modload/init.go"),
    answer("vendor-inconsistent", &["inconsistent vendoring"], User, "https://github.com/McKael/madonctl/issues/22"),
    answer("vendor-missing", &["in vendor/modules.txt"], User, "cmd/go/internal/modload/vendor.go"),
    answer("replacement-missing", &["replacement directory", "does not exist"], User, "cmd/go/internal/modload/import.go fetch"),
    answer("replacement-unversioned", &["used for two different module paths"], User, "cmd/go/internal/modload/init.go"),
    answer("workspace", &["listed in go.work file"], User, "cmd/go/internal/modload/init.go"),
    answer("workspace-main", &["go.work lists go"], Toolchain, "cmd/go/internal/modload/init.go").hint(Hint::NewerGo),
    answer("workspace-none", &["no go.work file found"], User, "cmd/go/internal/workcmd/sync.go"),
    answer("mod-flag", &["-mod=", "not supported"], User, "cmd/go/internal/modload/init.go setDefaultBuildMod"),
    answer("flag-no-longer", &["flag is no longer supported"], User, "cmd/go/internal/modget/get.go"),
    answer("command-unknown", &["go ", ": unknown command"], User, "cmd/go/main.go"),
    answer("command-usage", &["run 'go help"], User, "cmd/go/main.go"),
    answer("command-usage-of", &["use \"go help"], User, "cmd/go/internal/help/help.go"),
    answer("command-usage-go", &["usage: go "], User, "cmd/go/internal/base/base.go Usage"),
    answer("command-dot-go", &["named files must be .go files"], User, "cmd/go/internal/load/pkg.go GoFilesPackage"),
    answer("command-args", &["accepts no arguments"], User, "cmd/go/internal/modcmd/tidy.go").common(),
    answer("get-outside", &["'go get' is no longer supported outside a module"], User, "cmd/go/internal/modget/get.go"),
    answer("install-version", &["version is required when current directory is not in a module"], User, "cmd/go/internal/load/pkg.go"),
    answer("install-directives", &["go.mod file for the module providing named packages contains one or more"], User, "cmd/go/internal/load/pkg.go PackagesAndErrorsOutsideModule"),
    answer("embed", &["pattern ", ": no matching files found"], User, "cmd/go/internal/load/pkg.go resolveEmbed"),
    answer("buildvcs", &["error obtaining vcs status"], User, "cmd/go/internal/load/pkg.go setBuildInfo"),
    answer("goroot", &["cannot find goroot"], Config, "cmd/go/main.go"),
    answer("gopath-mod", &["$gopath/go.mod exists but should not"], User, "cmd/go/internal/modload/init.go"),
    answer("c-files", &["c source files not allowed"], User, "cmd/go/internal/load/pkg.go"),
    answer("cgo", &["requires external (cgo) linking"], User, "cmd/go/internal/load/pkg.go"),
    answer("wildcard", &["go.mod file indicates go"], Toolchain, "cmd/go/internal/modload/modfile.go"),
    answer("not-found-answer", &["not found: "], NotFound, "https://github.com/riferrei/srclient/issues/39").wrapper().common(),
    answer("old-vanity-status", &["ignoring https fetch with status code 4"], NotFound, "cmd/go/internal/vcs/vcs.go before 1.14"),
    Rule::new("old-vanity-5xx", Part::Answer, Pattern::Words(&["ignoring https fetch with status code 5"]), ServerError, Retry, "https://github.com/capnproto/go-capnp/issues/21"),
    Rule::new("old-vanity-429", Part::Answer, Pattern::Shape(Shape::AnswerStatus(429, 429)), RateLimit, Retry, "cmd/go/internal/vcs/vcs.go before 1.14"),
    Rule::new("old-vanity-fault", Part::Answer, Pattern::Shape(Shape::AnswerStatus(500, 599)), ServerError, Retry, "cmd/go/internal/vcs/vcs.go before 1.14").weak(),
    Rule::new("old-vanity-answer", Part::Answer, Pattern::Shape(Shape::AnswerStatus(400, 499)), Refused, Final, "cmd/go/internal/vcs/vcs.go before 1.14").weak(),
    Rule::new("length-more-old", Part::Answer, Pattern::Words(&["more than declared content-length"]), Eof, Retry, "https://github.com/goproxy/goproxy.cn/issues/8"),
    Rule::new("advice", Part::Answer, Pattern::Shape(Shape::Advice), User, Final, "cmd/go/internal/modload/import.go, init.go: what to run is said below the message").weak(),
    answer("no-provider", &["cannot find module providing package"], NotFound, "cmd/go/internal/modload/import.go ImportMissingError").wrapper().follows(Follows::AnyFetch),
    answer("no-provider-old", &["cannot find module for path"], NotFound, "cmd/go before 1.14").wrapper().follows(Follows::AnyFetch),
    answer("unrecognized-import", &["unrecognized import path"], NotFound, "cmd/go/internal/vcs/vcs.go").wrapper(),
    answer("invalid-version", &["invalid version: "], NotFound, "cmd/vendor/golang.org/x/mod/module/module.go InvalidVersionError").wrapper().common(),
    Rule::new("go-package", Part::Answer, Pattern::Shape(Shape::AnyOf(PACKAGES)), User, Final, "cmd/go/internal/load/pkg.go, modload/import.go, modindex"),
    Rule::new("go-source", Part::Answer, Pattern::Shape(Shape::AnyOf(SOURCES)), User, Final, "cmd/go/internal/load/pkg.go, godebug.go, modindex/build.go"),
    Rule::new("go-command", Part::Answer, Pattern::Shape(Shape::AnyOf(COMMANDS)), User, Final, "cmd/go/internal/base, cache, modcmd, tool, work"),
    Rule::new("go-refuses", Part::Answer, Pattern::Shape(Shape::AnyOf(REFUSALS)), User, Final, "cmd/go: what it says no with, from 1.21 to 1.27").wrapper().common().follows(Follows::AnyFault),
];
