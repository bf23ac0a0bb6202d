//! What people are told about the texts they meet most: docs/troubleshooting.md, `gofix help TOPIC`, and the link on the
//! last screen all come from this table.
//!
//! Which texts: those most often found in public reports. A topic names the rules that recognise it, and a test reads each
//! sample by the rules.

/// One text that builds fail with, why, and what to do.
#[derive(Debug)]
pub struct Topic {
    /// The word for it on the command line.
    pub id: &'static str,
    /// The words that people search for.
    pub words: &'static str,
    /// What go prints; empty where it prints nothing.
    pub sample: &'static str,
    /// The rules that recognise it.
    pub rules: &'static [&'static str],
    /// Why.
    pub cause: &'static str,
    /// What to do, the first thing first.
    pub cure: &'static [&'static str],
}

/// The topic of a rule.
#[must_use]
pub fn of_rule(rule: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.rules.contains(&rule))
}

/// The topic of that name.
#[must_use]
pub fn named(id: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.id == id)
}

/// Every topic, the most frequent first within each group.
pub static TOPICS: &[Topic] = &[
    // ---- The network ----
    Topic {
        id: "connection-reset",
        words: "connection reset by peer",
        sample: "go: example.com/m@v1.0.0: read \"https://proxy.golang.org/example.com/m/@v/v1.0.0.zip\": read tcp 192.0.2.7:50406->142.250.0.1:443: read: connection reset by peer",
        rules: &[
            "reset",
            "transfer",
            "broken-pipe",
            "not-connected",
            "closed-connection",
            "idle-closed",
        ],
        cause: "Something between you and the proxy ended the connection: a middlebox, a VPN, an unstable line. go does not try again.",
        cure: &[
            "Run the command through gofix (`gofix download`, or the shim): the download is resumed where it broke.",
            "If every download breaks at the same size, the path loses full packets (MTU): `gofix doctor` shows it.",
        ],
    },
    Topic {
        id: "unexpected-eof",
        words: "unexpected EOF",
        sample: "go: example.com/m@v1.0.0: read \"https://proxy.golang.org/example.com/m/@v/v1.0.0.zip\": unexpected EOF",
        rules: &["eof", "eof-unexpected", "length-more", "length-less"],
        cause: "The server, or something in between, closed the connection before the file was complete.",
        cure: &[
            "Run the command through gofix: it asks for the rest of the file.",
            "If it is always the same module, ask another proxy: `gofix routes add https://goproxy.io`.",
        ],
    },
    Topic {
        id: "stall",
        words: "the build hangs and prints nothing",
        sample: "",
        rules: &[],
        cause: "A server took the connection and then said nothing. go has no timeout and waits for ever, until the CI job is killed.",
        cure: &[
            "Run the command through gofix: after `GOFIX_STALL_MS` (30 s) without a byte it asks again on another connection or another route.",
            "On a terminal gofix shows which server is silent, and for how long.",
        ],
    },
    Topic {
        id: "i-o-timeout",
        words: "dial tcp: i/o timeout",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": dial tcp 142.250.0.1:443: i/o timeout",
        rules: &[
            "connect-timeout",
            "connect-timed-out",
            "transfer-timeout",
            "deadline",
            "client-timeout-headers",
            "client-timeout-body",
            "headers-timeout",
        ],
        cause: "The server's address did not answer. In China and in many companies a firewall drops what is sent to proxy.golang.org.",
        cure: &[
            "Use a proxy that you can reach: `go env -w GOPROXY=https://goproxy.cn,direct`, or the one of your company.",
            "Or keep your GOPROXY and allow others for the times when it fails: `gofix routes use cn`.",
            "`gofix doctor` measures which proxies can be reached from here.",
            "If it is sum.golang.org that does not answer: `gofix help checksum-database`.",
        ],
    },
    Topic {
        id: "connection-refused",
        words: "connection refused",
        sample: "go: example.com/m@v1.0.0: Get \"http://127.0.0.1:3000/example.com/m/@v/v1.0.0.mod\": dial tcp 127.0.0.1:3000: connect: connection refused",
        rules: &["connect"],
        cause: "Nothing listens at that address: the proxy is down, its port is wrong, or a firewall refuses. On 127.0.0.1 a local proxy is not running.",
        cure: &[
            "Compare the address with `go env GOPROXY`; start the proxy if it is yours.",
            "Allow another proxy for the times when this one is down: `gofix routes add LIST`.",
        ],
    },
    Topic {
        id: "no-such-host",
        words: "no such host",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.example.org/example.com/m/@v/v1.0.0.mod\": dial tcp: lookup proxy.example.org on 127.0.0.53:53: no such host",
        rules: &["dns-nxdomain"],
        cause: "The name does not resolve here: it is misspelt, or it is known only inside a VPN, or the resolver is wrong.",
        cure: &[
            "Check the spelling in `go env GOPROXY`, and that the VPN is up.",
            "In Docker, hand the resolver of the host to the build: `docker build --network=host .`",
        ],
    },
    Topic {
        id: "dns-failure",
        words: "server misbehaving, Temporary failure in name resolution",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": dial tcp: lookup proxy.golang.org on 127.0.0.11:53: server misbehaving",
        rules: &["dns", "dns-no-answer"],
        cause: "The resolver answered with an error or not at all. Containers and CI machines see this right after they start.",
        cure: &[
            "Run the command through gofix: it asks again, and the next second is usually enough.",
            "If it stays, look at `/etc/resolv.conf`; `gofix doctor` tries each name.",
        ],
    },
    Topic {
        id: "network-unreachable",
        words: "network is unreachable",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": dial tcp [2607:f8b0::2013]:443: connect: network is unreachable",
        rules: &[
            "connect-no-network",
            "connect-no-network-down",
            "connect-no-network-windows",
        ],
        cause: "This machine has no way out. With an IPv6 address in the text: it has none for IPv6, and IPv4 failed before.",
        cure: &[
            "Connect it; a container may have been started without a network.",
            "To build without a network, fetch first: `go mod download`, then `GOPROXY=off go build`, or vendor: `go mod vendor`.",
        ],
    },
    Topic {
        id: "tls-handshake-timeout",
        words: "TLS handshake timeout",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": net/http: TLS handshake timeout",
        rules: &[
            "tls-handshake-timeout",
            "tls-alert",
            "tls-other",
            "tls-internal-error",
            "tls-user-canceled",
        ],
        cause: "The connection was made and then nothing came: an overloaded server, or a firewall that lets TCP connections through but not TLS.",
        cure: &[
            "Run the command through gofix: it tries again, then takes the next route that you allowed.",
            "If it never works, the name is blocked: use another proxy (`gofix routes use cn`).",
        ],
    },
    Topic {
        id: "http2-stream-error",
        words: "stream error: stream ID 1; INTERNAL_ERROR; received from peer",
        sample: "go: example.com/m@v1.0.0: read \"https://proxy.golang.org/example.com/m/@v/v1.0.0.zip\": stream error: stream ID 1; INTERNAL_ERROR; received from peer",
        rules: &[
            "h2-stream",
            "h2-goaway",
            "h2-connection",
            "h2-other",
            "h2-frames",
            "h2-headers-timeout",
        ],
        cause: "The proxy, or the machines in front of it, broke off an HTTP/2 stream. It happens to a few requests in a thousand, and an empty module cache leads to a thousand (golang/go#51323).",
        cure: &[
            "Run the command through gofix: the request is made again, and over HTTP/1.1 where HTTP/2 fails.",
            "By hand: `GODEBUG=http2client=0 go mod download`.",
        ],
    },
    Topic {
        id: "server-error",
        words: "500 Internal Server Error, 502 Bad Gateway, 503 Service Unavailable, 504 Gateway Timeout",
        sample: "go: example.com/m@v1.0.0: reading https://goproxy.cn/example.com/m/@v/v1.0.0.mod: 502 Bad Gateway",
        rules: &["status-5xx", "status-408", "status-425"],
        cause: "The proxy has trouble of its own. With `,` in GOPROXY go stops here: it asks the next entry only after 404 and 410.",
        cure: &[
            "Run the command through gofix: it waits as the server asks, tries again, then takes the next route.",
            "Or separate the entries with `|`: `go env -w 'GOPROXY=https://goproxy.cn|https://goproxy.io|direct'`. A 403 then goes to the next entry as well; do not do this with a private proxy in the list.",
        ],
    },
    Topic {
        id: "too-many-requests",
        words: "429 Too Many Requests",
        sample: "go: example.com/m@v1.0.0: reading https://proxy.golang.org/example.com/m/@v/v1.0.0.mod: 429 Too Many Requests",
        rules: &[
            "status-429",
            "connect-429",
            "git-429",
            "git-rate-limit",
            "git-rate-exceeded",
        ],
        cause: "The server limits how often your address may ask. Many CI jobs behind one address reach that together.",
        cure: &[
            "Run the command through gofix: it waits as long as the server says (Retry-After).",
            "Keep the module cache between jobs, or put a caching proxy (Athens, goproxy) in front.",
        ],
    },
    Topic {
        id: "certificate",
        words: "x509: certificate signed by unknown authority",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        rules: &[
            "x509",
            "certificate-unverified",
            "git-certificate-problem",
            "git-certificate",
        ],
        cause: "The certificate is not from an authority that this machine trusts: a company's proxy that opens TLS, an image without `ca-certificates`, an expired certificate, or a wrong clock.",
        cure: &[
            "In a container: install `ca-certificates`.",
            "In a company: install its authority, or name the file: `export SSL_CERT_FILE=/path/to/ca.pem`.",
            "Do not switch verification off (GOINSECURE, GONOSUMDB): whoever stands in between can then change what you build. `gofix doctor` names the issuer.",
        ],
    },
    Topic {
        id: "captive-portal",
        words: "invalid character '<' looking for beginning of value",
        sample: "go: example.com/m@v1.0.0: invalid response from proxy \"https://proxy.golang.org\": json: invalid character '<' looking for beginning of value",
        rules: &[
            "html-not-json",
            "proxy-page",
            "json-cut",
            "json-other",
            "page-not-meta",
            "tls-http-answer",
            "tls-no-tls",
            "http-malformed-answer",
            "proxy-no-text",
            "proxy-no-module",
            "status-other",
        ],
        cause: "A web page came in place of a module file: the sign-in page of a hotel, a company's filter, or a GOPROXY that is no module proxy.",
        cure: &[
            "Open any http page in a browser and sign in to the network.",
            "Check `go env GOPROXY`: the path of the proxy may be missing or wrong.",
        ],
    },
    // ---- The HTTP proxy of the environment ----
    Topic {
        id: "proxyconnect",
        words: "proxyconnect tcp: dial tcp",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused",
        rules: &[
            "https-proxy-dial",
            "https-proxy-timeout",
            "https-proxy-other",
            "https-proxy-name",
            "socks-dial",
            "connect-5xx",
        ],
        cause: "The HTTP proxy that HTTPS_PROXY names does not answer. It has nothing to do with GOPROXY.",
        cure: &[
            "Check it: `echo $HTTPS_PROXY`. Unset it outside the company: `unset HTTPS_PROXY https_proxy`.",
            "A module proxy inside the company is asked directly with `export NO_PROXY=goproxy.corp.example`.",
        ],
    },
    Topic {
        id: "proxy-authentication",
        words: "Proxy Authentication Required",
        sample: "go: example.com/m@v1.0.0: Get \"https://proxy.golang.org/example.com/m/@v/v1.0.0.mod\": Proxy Authentication Required",
        rules: &[
            "https-proxy-auth",
            "connect-4xx",
            "git-407",
            "socks-auth",
            "socks-method",
        ],
        cause: "The HTTP proxy of your company wants a name and a password, or does not let anybody through to that host.",
        cure: &[
            "Put them into the URL: `export HTTPS_PROXY=http://NAME:PASSWORD@proxy.corp.example:3128`.",
            "Or go past it for hosts of your own: `export NO_PROXY=.corp.example`.",
        ],
    },
    // ---- What servers answer ----
    Topic {
        id: "not-found",
        words: "404 Not Found, 410 Gone",
        sample: "go: example.com/m@v1.0.0: reading https://proxy.golang.org/example.com/m/@v/v1.0.0.mod: 404 Not Found",
        rules: &["status-404", "status-410", "git-404", "git-410"],
        cause: "The proxy looked and there is no such version. A public proxy cannot see private modules, and it remembers for up to half an hour that a tag was missing.",
        cure: &[
            "A private module: `go env -w GOPRIVATE=git.corp.example`.",
            "A release of a moment ago: `gofix wait MODULE@VERSION` waits until every proxy has it.",
            "Otherwise check the name and the version: `go list -m -versions MODULE`.",
        ],
    },
    Topic {
        id: "forbidden",
        words: "403 Forbidden",
        sample: "go: example.com/m@v1.0.0: reading https://proxy.golang.org/example.com/m/@v/v1.0.0.zip: 403 Forbidden",
        rules: &[
            "status-403",
            "status-451",
            "status-401",
            "git-403",
            "git-401",
            "status-4xx",
        ],
        cause: "The server refuses. A company's proxy blocks this module by its rules; at a public proxy your network or country is refused, often by the second host that zips come from.",
        cure: &[
            "A company's proxy: ask whoever runs it. gofix does not go around a refusal.",
            "A proxy that wants credentials: put them into `~/.netrc`.",
        ],
    },
    Topic {
        id: "unknown-revision",
        words: "unknown revision",
        sample: "go: example.com/m@v1.9.9: invalid version: unknown revision v1.9.9",
        rules: &[
            "unknown-revision",
            "git-ref-missing",
            "git-ref-unknown",
            "no-versions",
            "no-matching",
        ],
        cause: "There is no such tag, branch or commit: it is misspelt, was not pushed, or was deleted.",
        cure: &[
            "See which versions there are: `go list -m -versions MODULE`.",
            "A tag must begin with `v` (`v1.2.3`), and in a subfolder with the folder's name (`sub/v1.2.3`).",
            "If it was pushed just now: `gofix wait MODULE@VERSION`.",
        ],
    },
    Topic {
        id: "unrecognized-import-path",
        words: "unrecognized import path",
        sample: "go: example.com/x: unrecognized import path \"example.com/x\": parse https://example.com/x?go-get=1: no go-import meta tags (meta tag example.com did not match import path example.com/x)",
        rules: &[
            "vanity-no-meta",
            "no-go-import",
            "vanity-mismatch",
            "go-import-mismatch",
        ],
        cause: "The page at the import path does not say where its repository is. The path is misspelt, or the server asks for a login first.",
        cure: &[
            "Check the spelling of the import.",
            "For a private GitLab or the like: `go env -w GOPRIVATE=git.corp.example`, and credentials in `~/.netrc`.",
        ],
    },
    // ---- git ----
    Topic {
        id: "could-not-read-username",
        words: "could not read Username for 'https://github.com': terminal prompts disabled",
        sample: "go: github.com/corp/private@v1.0.0: invalid version: git ls-remote -q origin in /go/pkg/mod/cache/vcs/0123: exit status 128:\n\tfatal: could not read Username for 'https://github.com': terminal prompts disabled",
        rules: &[
            "git-auth-prompt",
            "git-auth-password",
            "git-auth-failed",
            "git-auth-password-gone",
            "git-confirm",
            "git-private",
        ],
        cause: "The repository is private (or its name is misspelt), and git has no credentials for it.",
        cure: &[
            "With ssh keys: `git config --global url.git@github.com:.insteadOf https://github.com/`",
            "In CI: a token in `~/.netrc` (`machine github.com login x password TOKEN`).",
            "So that no proxy is asked for it: `go env -w GOPRIVATE=github.com/corp`.",
        ],
    },
    Topic {
        id: "ssh-permission-denied",
        words: "Permission denied (publickey), Host key verification failed",
        sample: "go: git.example.com/m@v1.0.0: invalid version: git ls-remote -q origin in /go/pkg/mod/cache/vcs/0123: exit status 128:\n\tgit@git.example.com: Permission denied (publickey).\n\tfatal: Could not read from remote repository.",
        rules: &[
            "ssh-denied",
            "ssh-denied-retry",
            "ssh-host-key",
            "ssh-too-many-keys",
            "git-could-not-read",
            "git-access-rights",
        ],
        cause: "ssh has no key that the server takes, or does not know the server.",
        cure: &[
            "Try it by itself: `ssh -T git@git.example.com`.",
            "In CI, add a deploy key, and the server's key: `mkdir -p ~/.ssh && ssh-keyscan git.example.com >> ~/.ssh/known_hosts` (compare it with the one that the server's operator publishes).",
        ],
    },
    Topic {
        id: "git-rpc-failed",
        words: "RPC failed; curl 56, early EOF, the remote end hung up unexpectedly",
        sample: "go: example.com/m@v1.0.0: invalid version: git fetch -f origin refs/heads/*:refs/heads/* in /go/pkg/mod/cache/vcs/0123: exit status 128:\n\terror: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull function.\n\tfatal: the remote end hung up unexpectedly",
        rules: &[
            "git-rpc",
            "git-gnutls-pull",
            "git-gnutls-recv",
            "git-hung-up",
            "git-early-eof",
            "git-recv",
            "git-h2-stream",
            "git-h2-framing",
            "git-curl",
            "git-transport",
            "git-sideband",
            "git-index-pack",
            "git-ssl-syscall",
        ],
        cause: "The connection to the repository broke while git fetched from it.",
        cure: &[
            "Run the command through gofix: go and git run again with a pause in between.",
            "Public modules come faster and safer from a proxy: `go env GOPROXY` should not begin with `direct`.",
        ],
    },
    Topic {
        id: "git-cannot-connect",
        words: "unable to access: Could not resolve host, Failed to connect to github.com port 443",
        sample: "go: github.com/corp/m@v1.0.0: invalid version: git ls-remote -q origin in /go/pkg/mod/cache/vcs/0123: exit status 128:\n\tfatal: unable to access 'https://github.com/corp/m/': Could not resolve host: github.com",
        rules: &[
            "git-resolve",
            "git-connect",
            "git-couldnt-connect",
            "git-resolving-timeout",
            "ssh-connect",
            "vcs-timed-out",
            "vcs-refused",
            "git-url",
            "git-timeout",
        ],
        cause: "git does not reach the repository's host. It has settings of its own: HTTPS_PROXY, `http.proxy` in its configuration, ssh.",
        cure: &[
            "Try it by itself: `git ls-remote https://github.com/corp/m`.",
            "Public modules need no git: with a proxy in GOPROXY only private ones are fetched so.",
        ],
    },
    Topic {
        id: "git-missing",
        words: "exec: \"git\": executable file not found in $PATH",
        sample: "go: github.com/corp/m@v1.0.0: git init --bare in /go/pkg/mod/cache/vcs/0123: exec: \"git\": executable file not found in $PATH",
        rules: &["vcs-missing", "git-missing", "vcs-command-missing"],
        cause: "The module comes straight from its repository (`direct`), and this machine or image has no git.",
        cure: &[
            "Install git (`apk add git`, `apt-get install git`).",
            "Or take public modules from a proxy: `go env -w GOPROXY=https://proxy.golang.org`.",
        ],
    },
    // ---- Checksums ----
    Topic {
        id: "checksum-mismatch",
        words: "verifying module: checksum mismatch, SECURITY ERROR",
        sample: "verifying example.com/m@v1.0.0: checksum mismatch\n\tdownloaded: h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\tgo.sum:     h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\nThe bits may have been replaced on the origin server, or an attacker may\nhave intercepted the download attempt.",
        rules: &[
            "security",
            "checksum-mismatch",
            "sumdb-misbehaviour",
            "sumdb-misbehaving",
        ],
        cause: "What came is not what go.sum or the checksum database recorded: a damaged module cache, a tag that was moved after its first release, or an attack.",
        cure: &[
            "Look for damage in your cache: `gofix cache verify`, and repair it: `gofix cache repair`.",
            "If the cache is sound, ask the module's author whether the tag was moved. Do not delete the line in go.sum just to go on.",
        ],
    },
    Topic {
        id: "checksum-database",
        words: "verifying module, with sum.golang.org in the URL",
        sample: "",
        rules: &["sumdb-off", "sumdb-config", "sumdb-unset"],
        cause: "go asks the checksum database about every module that go.sum does not list. It could not be reached, or it cannot see the module because that is private.",
        cure: &[
            "404 or 410 for a private module: `go env -w GOPRIVATE=git.corp.example`.",
            "No connection: use a proxy that passes the database on; `gofix doctor` says whether yours does. In China also: `go env -w GOSUMDB=sum.golang.google.cn`.",
            "Do not set GOSUMDB=off: a proxy could then serve altered modules unnoticed.",
        ],
    },
    Topic {
        id: "missing-go-sum",
        words: "missing go.sum entry",
        sample: "main.go:3:8: missing go.sum entry for module providing package example.com/m; to add:\n\tgo get example.com/main",
        rules: &["sum-missing"],
        cause: "go.sum has no line for a module that the build needs: somebody added an import without `go mod tidy`, or go.sum was not committed.",
        cure: &["Run `go mod tidy` and commit go.mod and go.sum together."],
    },
    Topic {
        id: "zip-not-valid",
        words: "zip: not a valid zip file",
        sample: "go: example.com/m@v1.0.0: zip: not a valid zip file",
        rules: &[
            "zip-invalid",
            "zip-checksum",
            "zip-algorithm",
            "zip-unzip",
            "ziphash-missing",
            "zip-modified",
            "dir-modified",
        ],
        cause: "A file in the module cache is damaged (a full disk, a killed container), or a page came in place of a zip.",
        cure: &["Repair the one file: `gofix cache repair`. There is no need for `go clean -modcache`."],
    },
    // ---- Toolchains, disk ----
    Topic {
        id: "toolchain-not-available",
        words: "toolchain not available, requires go >= 1.24 (running go 1.22)",
        sample: "go: download go1.24 for linux/amd64: toolchain not available",
        rules: &[
            "toolchain-unavailable",
            "toolchain-requires",
            "toolchain-older",
            "toolchain-path",
            "toolchain-newer",
            "toolchain-releases",
            "toolchain-invalid",
            "toolchain-version",
            "toolchain-line",
            "toolchain-mismatch",
        ],
        cause: "go.mod asks for a newer Go than yours, and that one cannot be had: a version without its third number (`go 1.24` is no release, `go 1.24.0` is), GOTOOLCHAIN=local, or a proxy without toolchains.",
        cure: &[
            "Write the whole version: `go mod edit -go=1.24.0`.",
            "Or install that Go and keep go from fetching one: `export GOTOOLCHAIN=local`.",
        ],
    },
    Topic {
        id: "no-space-left",
        words: "no space left on device, read-only file system",
        sample: "go: example.com/m@v1.0.0: write /root/go/pkg/mod/cache/download/example.com/m/@v/v1.0.0.zip123.tmp: no space left on device",
        rules: &[
            "os-space",
            "disk-space",
            "os-quota",
            "disk-quota",
            "os-readonly",
            "disk-readonly",
            "disk-cache",
            "file",
            "git-space",
        ],
        cause: "The disk with the module cache is full, or may not be written.",
        cure: &[
            "See how full it is: `df -h \"$(go env GOMODCACHE)\"`.",
            "Put the cache elsewhere: `go env -w GOMODCACHE=/path/with/space`.",
        ],
    },
    Topic {
        id: "cache-permission",
        words: "permission denied, operation not permitted",
        sample: "go: failed to create cache directory /go/pkg/mod/cache: mkdir /go/pkg/mod: permission denied",
        rules: &["disk-permission", "disk-permission-windows", "disk-not-permitted"],
        cause: "The module cache belongs to somebody else: root wrote it, or a container runs as another user than the one who owns the folder.",
        cure: &[
            "See whose it is: `ls -ld \"$(go env GOMODCACHE)\"`.",
            "Use a cache of your own: `go env -w GOMODCACHE=/path/of/yours`; in a container, `ENV GOMODCACHE=/tmp/mod` works for every user.",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::rules::RULES;
    use crate::diagnose::{Input, diagnose};

    #[test]
    fn every_sample_is_read_by_a_rule_of_its_topic() {
        for topic in TOPICS.iter().filter(|topic| !topic.sample.is_empty()) {
            let found = diagnose(&Input {
                stderr: topic.sample.as_bytes(),
                stdout_json: None,
            });
            let rules: Vec<&str> = found.faults.iter().map(|fault| fault.rule).collect();
            assert!(
                rules.iter().any(|rule| topic.rules.contains(rule)),
                "{}: {rules:?} {:?}",
                topic.id,
                found.verdict
            );
        }
    }

    #[test]
    fn topics_share_no_rule_and_name_none_that_is_not_there() {
        assert!(TOPICS.len() >= 30);
        let mut ids = std::collections::HashSet::new();
        let mut seen = std::collections::HashSet::new();
        for topic in TOPICS {
            assert!(ids.insert(topic.id), "{}", topic.id);
            for rule in topic.rules {
                assert!(RULES.iter().any(|row| row.id == *rule), "{}: {rule}", topic.id);
                assert!(seen.insert(*rule), "{rule} twice");
                assert_eq!(of_rule(rule).map(|topic| topic.id), Some(topic.id));
            }
        }
    }
}
