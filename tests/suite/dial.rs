//! The way to a server: whom go trusts, what it takes from an HTTP or SOCKS proxy, and where it stops reading. The real
//! go says what is right; the relay and doctor have to say the same.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gofix::faultproxy::{Builder, Catalogue, FaultProxy, Module, Tls};
use gofix::go::proxy_list::ProxyList;
use gofix::relay::{Environment, Relay, Setup};
use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::{Outcome, Run, Sandbox, real_go};

/// What doctor asks for.
const MODULE: (&str, &str) = ("golang.org/x/text", "v0.3.0");
const HOST: &str = "modules.example.test";

fn proxy() -> Builder {
    FaultProxy::builder(Catalogue::new().with(Module::new(MODULE.0, MODULE.1).ballast(100_000)))
}

/// A sandbox that asks this list, tries nothing twice and has this file of roots.
fn sandbox(goproxy: &str, roots: Option<&str>) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", goproxy)
        .env("GOFIX_RETRY_COUNT", "0")
        .env("GOFIX_BUDGET", "3s")
        .requiring(&[MODULE]);
    match roots {
        None => sandbox,
        Some(pem) => {
            let file = sandbox.path("roots.pem");
            fs::write(&file, pem).unwrap();
            sandbox
                .env("SSL_CERT_FILE", file)
                .env("SSL_CERT_DIR", "/nonexistent")
        }
    }
}

/// What go alone, go behind gofix and doctor think of the servers of a list.
#[derive(Debug)]
struct Opinions {
    go: Outcome,
    gofix: Outcome,
    doctor: Outcome,
}

impl Opinions {
    /// `run` starts a command in its sandbox.
    fn of(sandbox: &Sandbox, run: impl Fn(&Path, &[&str]) -> Run) -> Self {
        // Where go alone has been its cache is full.
        let with_own_cache = |run: Run| {
            let cache = tempfile::tempdir_in(sandbox.path("tmp")).unwrap().keep();
            run.env("GOMODCACHE", cache).output()
        };
        let (go, shim) = (real_go(), sandbox.path("shims/go"));
        let gofix = sandbox.path("shims/gofix");
        Self {
            go: with_own_cache(run(go, &["mod", "download", "-x"])),
            gofix: with_own_cache(run(&shim, &["mod", "download", "-x"])),
            doctor: run(&gofix, &["routes", "test", "--json"]).output(),
        }
    }

    fn plainly(sandbox: &Sandbox) -> Self {
        sandbox.switch_telemetry_off();
        Self::of(sandbox, |program, args| sandbox.run(program).args(args))
    }

    fn works(&self) -> bool {
        let json: Value =
            serde_json::from_str(&self.doctor.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        json["servers"][0]["works"] == true
    }

    /// All three agree.
    #[track_caller]
    fn expect(&self, works: bool, what: &str) {
        let code = |outcome: &Outcome| outcome.code() == Some(0);
        assert_eq!(code(&self.go), works, "go itself, {what}: {}", self.go);
        assert_eq!(code(&self.gofix), works, "behind gofix, {what}: {}", self.gofix);
        assert_eq!(self.works(), works, "doctor, {what}: {}", self.doctor);
    }
}

/// Runs everything where the system's certificates are those that `script` puts into /etc/ssl/certs; `None` where there
/// are no namespaces to be had.
#[cfg(target_os = "linux")]
fn with_certificates(sandbox: &Sandbox, script: &str) -> Option<Opinions> {
    let script = format!("mount -t tmpfs none /etc/ssl/certs\n{script}\nexec \"$@\"");
    let unshare: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["-m"],
        false => &["-rm"],
    };
    let run = |program: &Path, args: &[&str]| {
        sandbox
            .run("unshare")
            .args(unshare)
            .args(["sh", "-ec", &script, "sh"])
            .args([program])
            .args(args)
    };
    if run(Path::new("true"), &[]).output().code() != Some(0) {
        crate::startup::skip("no mount namespace here, or no /etc/ssl/certs");
        return None;
    }
    sandbox.switch_telemetry_off();
    Some(Opinions::of(sandbox, run))
}

#[test]
#[cfg(target_os = "linux")]
fn a_certificate_that_lies_in_the_systems_folder_is_trusted_beside_the_bundle() {
    let (public, corp) = (Authority::new("Public"), Authority::new("Corp"));
    let proxy = proxy().tls(corp.server(true)).start().unwrap();
    let sandbox = sandbox(proxy.url(), None);
    fs::write(sandbox.path("bundle"), public.pem()).unwrap();
    fs::write(sandbox.path("corp"), corp.pem()).unwrap();
    let place = |name: &str| sandbox.path(name).display().to_string();
    let bundle = format!("cp {} /etc/ssl/certs/ca-certificates.crt", place("bundle"));
    let folder = format!("{bundle}\ncp {} /etc/ssl/certs/corp.crt", place("corp"));
    let Some(trusted) = with_certificates(&sandbox, &folder) else {
        return;
    };
    trusted.expect(true, "a file in the folder");
    assert_eq!(
        trusted.gofix.gofix_lines(),
        Vec::<&str>::new(),
        "{}",
        trusted.gofix
    );
    // What is asked by go itself is asked with its own name; the relay passes that on and adds a connection.
    assert_eq!(
        trusted.gofix.stderr.lines().count(),
        trusted.go.stderr.lines().count()
    );
    with_certificates(&sandbox, &bundle)
        .unwrap()
        .expect(false, "no file in the folder");
    // A link to a file of the same folder is left out, one that leads elsewhere is not.
    let link = format!("{bundle}\nln -s {} /etc/ssl/certs/corp.0", place("corp"));
    with_certificates(&sandbox, &link)
        .unwrap()
        .expect(true, "a link out of the folder");
}

#[test]
fn folders_are_read_in_addition_to_a_file_of_ones_own() {
    let (public, corp) = (Authority::new("Public"), Authority::new("Corp"));
    let proxy = proxy().tls(corp.server(true)).start().unwrap();
    let sandbox = sandbox(proxy.url(), Some(&public.pem()));
    for dir in ["one", "two"] {
        fs::create_dir(sandbox.path(dir)).unwrap();
    }
    fs::write(sandbox.path("two/corp"), corp.pem()).unwrap();
    let dirs = format!(
        "{}:{}",
        sandbox.path("one").display(),
        sandbox.path("two").display()
    );
    let sandbox = sandbox.env("SSL_CERT_DIR", dirs);
    Opinions::plainly(&sandbox).expect(true, "the second folder");
}

#[test]
fn a_servers_own_certificate_among_the_roots_is_enough() {
    let stranger = Authority::new("Stranger");
    let server = stranger.server(true);
    let proxy = proxy().tls(server.clone()).start().unwrap();
    Opinions::plainly(&sandbox(proxy.url(), Some(&server.chain_pem)))
        .expect(true, "one that is trusted itself");
    let expired = stranger.server_of(&["localhost", "127.0.0.1"], (2019, 2020), true);
    let old = self::proxy().tls(expired.clone()).start().unwrap();
    Opinions::plainly(&sandbox(old.url(), Some(&expired.chain_pem))).expect(false, "one that has expired");
    let other = stranger.server_of(&["other.example"], (2020, 2090), true);
    let other_name = self::proxy().tls(other.clone()).start().unwrap();
    Opinions::plainly(&sandbox(other_name.url(), Some(&other.chain_pem)))
        .expect(false, "one of another name");
    Opinions::plainly(&sandbox(proxy.url(), Some(&other.chain_pem))).expect(false, "another one");
}

#[test]
fn a_server_whose_certificate_the_relay_refuses_is_left_to_go() {
    let (public, corp) = (Authority::new("Public"), Authority::new("Corp"));
    let proxy = proxy().tls(corp.server(true)).start().unwrap();
    // As a company's wrapper does it: this go trusts more than gofix can know of.
    let sandbox = sandbox(proxy.url(), Some(&public.pem()));
    fs::write(sandbox.path("corp"), corp.pem()).unwrap();
    let sandbox = wrapped(sandbox);
    let look = [
        "list",
        "-e",
        "-m",
        "-f",
        "{{.Version}} {{.Error}}",
        "golang.org/x/text@v0.3.0",
    ];
    let outcome = sandbox.go(&look).output().expect_code(0);
    assert_eq!(outcome.stdout, "v0.3.0 <nil>\n", "{outcome}");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    // Where go refuses it too it says so in its own words, and once.
    fs::write(sandbox.path("corp"), public.pem()).unwrap();
    fs::remove_dir_all(sandbox.modcache()).ok();
    let outcome = sandbox
        .go(&["mod", "download"])
        .env("GOMODCACHE", sandbox.path("cache3"))
        .output()
        .expect_code(1);
    assert!(
        outcome.stderr.contains("certificate signed by unknown authority"),
        "{outcome}"
    );
    assert_eq!(
        proxy
            .requests()
            .iter()
            .filter(|request| request.target.ends_with(".zip"))
            .count(),
        1
    );
}

/// With a go that has roots of its own.
fn wrapped(sandbox: Sandbox) -> Sandbox {
    let script = format!(
        "SSL_CERT_FILE={} exec {} \"$@\"",
        sandbox.path("corp").display(),
        real_go().display()
    );
    sandbox.scripted(&script)
}

/// Listens on loopback and serves every connection on a thread of its own.
fn serve(work: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let work = Arc::new(work);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let work = Arc::clone(&work);
            // A client that goes away in the middle is what some tests are about.
            std::thread::spawn(move || work(stream).ok());
        }
    });
    address
}

/// Moves bytes both ways until both ends are done.
fn join(a: TcpStream, b: TcpStream) -> io::Result<()> {
    let (mut a2, mut b2) = (a.try_clone()?, b.try_clone()?);
    let back = std::thread::spawn(move || {
        io::copy(&mut b2, &mut a2).ok();
        a2.shutdown(Shutdown::Write).ok();
    });
    let (mut a, mut b) = (a, b);
    io::copy(&mut a, &mut b).ok();
    b.shutdown(Shutdown::Write).ok();
    back.join().ok();
    Ok(())
}

/// Reads a request's header.
fn header(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        text.push(byte[0]);
    }
    Ok(text)
}

/// An HTTP proxy that answers CONNECT in this way and then is a tunnel to `target`.
fn connect_proxy(answer: Vec<u8>, target: SocketAddr) -> String {
    connect_proxy_that(move |_| answer.clone(), target)
}

/// An HTTP proxy that answers each request in the way that its header deserves, and then is a tunnel to `target`.
pub(crate) fn connect_proxy_that(
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    target: SocketAddr,
) -> String {
    let address = serve(move |mut stream| {
        let asked = header(&mut stream)?;
        stream.write_all(&answer(&asked))?;
        join(stream, TcpStream::connect(target)?)
    });
    format!("http://{address}")
}

/// The address of a proxy that serves `HOST`, and the roots by which it is trusted.
fn host() -> (FaultProxy, SocketAddr, String) {
    let authority = Authority::new("Example Trust");
    let proxy = proxy()
        .tls(authority.server_of(&[HOST], (2020, 2090), true))
        .start()
        .unwrap();
    let address = proxy.address();
    (proxy, address, authority.pem())
}

#[test]
fn an_answer_to_connect_is_judged_as_go_does() {
    let (_proxy, address, roots) = host();
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    for (answer, works) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n", true),
        ("HTTP/1.1 200\r\n\r\n", true),
        ("HTTP/1.1 200 OK\nVia: x\n\n", true),
        (&long, true),
        (&many, true),
        ("HTTP/1.1 201 Created\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", false),
        ("HTTP/1.1 0200 OK\r\n\r\n", false),
        ("ICY 200 OK\r\n\r\n", false),
    ] {
        let via = connect_proxy(answer.as_bytes().to_vec(), address);
        let sandbox = sandbox(&format!("https://{HOST}"), Some(&roots)).env("HTTPS_PROXY", via);
        let shown = &answer[..answer.len().min(60)];
        Opinions::plainly(&sandbox).expect(works, shown);
    }
}

/// How a SOCKS server behaves.
#[derive(Debug, Clone, Copy)]
struct Socks {
    /// What it chooses of the methods that are offered.
    method: u8,
    /// Version, code, reserved byte and kind of address of its reply.
    reply: [u8; 4],
}

const WELL: [u8; 4] = [5, 0, 0, 1];

fn socks_proxy(socks: Socks, target: SocketAddr) -> SocketAddr {
    serve(move |mut stream| {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut offered = vec![0; usize::from(head[1])];
        stream.read_exact(&mut offered)?;
        let method = match offered.contains(&socks.method) {
            true => socks.method,
            false => 0xff,
        };
        stream.write_all(&[5, method])?;
        if method == 2 {
            let mut field = [0; 2];
            stream.read_exact(&mut field)?;
            let mut name = vec![0; usize::from(field[1])];
            stream.read_exact(&mut name)?;
            stream.read_exact(&mut field[..1])?;
            let mut password = vec![0; usize::from(field[0])];
            stream.read_exact(&mut password)?;
            let good = name == b"user" && password == b"pw";
            stream.write_all(&[1, u8::from(!good)])?;
        }
        let mut request = [0; 5];
        stream.read_exact(&mut request)?;
        let mut rest = vec![0; usize::from(request[4]) + 2];
        stream.read_exact(&mut rest)?;
        stream.write_all(&socks.reply)?;
        stream.write_all(match socks.reply[3] {
            3 => b"\x04name\0\0",
            4 => &[0; 18],
            _ => &[0; 6],
        })?;
        join(stream, TcpStream::connect(target)?)
    })
}

#[test]
fn a_socks_server_is_judged_as_go_does() {
    let (_proxy, address, roots) = host();
    let well = |method| Socks { method, reply: WELL };
    let with = |reply| Socks { method: 0, reply };
    for (login, socks, works) in [
        ("", well(0), true),
        ("user:pw@", well(0), true),
        ("user:pw@", well(2), true),
        ("user:wrong@", well(2), false),
        ("", well(2), false),
        ("", with([5, 0, 0, 3]), true),
        ("", with([5, 0, 0, 4]), true),
        ("", with([5, 0, 0, 7]), false),
        ("", with([4, 0, 0, 1]), false),
        ("", with([5, 0, 1, 1]), false),
        ("", with([5, 2, 0, 1]), false),
    ] {
        let server = socks_proxy(socks, address);
        let via = format!("socks5://{login}{server}");
        let sandbox = sandbox(&format!("https://{HOST}"), Some(&roots)).env("HTTPS_PROXY", &via);
        Opinions::plainly(&sandbox).expect(works, &format!("{login} {socks:?}"));
    }
}

/// What a server without end may still get rid of: what the client takes, and what lies in the buffers of both sockets.
const SOON: u64 = 80 << 20;
/// The server stops by itself there, and waits.
const FLOOD: u64 = 200 << 20;

/// A server that answers every request with `begin`, and then with `block` again and again.
struct Flood {
    url: String,
    written: Arc<AtomicU64>,
}

impl Flood {
    fn http(begin: &str, block: &str) -> Self {
        let (begin, block) = (begin.to_owned(), block.repeat((64 << 10) / block.len() + 1));
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let address = serve(move |mut stream| {
            header(&mut stream)?;
            stream.write_all(begin.as_bytes())?;
            pour(&mut stream, block.as_bytes(), &count)
        });
        Self {
            url: format!("http://{address}"),
            written,
        }
    }

    /// The same in frames of HTTP/2, where `block` is one.
    fn http2(tls: &Tls, block: &[u8]) -> Self {
        let block = block.repeat((64 << 10) / block.len() + 1);
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let config = Arc::new(server_config(tls));
        let address = serve(move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut preface = [0; 24];
            stream.read_exact(&mut preface)?;
            stream.write_all(&frame(4, 0, 0, b""))?;
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head)?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                io::copy(&mut (&mut stream).take(length.into()), &mut io::sink())?;
                match head[3] {
                    1 => break,
                    4 if head[4] == 0 => stream.write_all(&frame(4, 1, 0, b""))?,
                    _ => {}
                }
            }
            pour(&mut stream, &block, &count)
        });
        Self {
            url: format!("https://{address}"),
            written,
        }
    }

    /// What was written since this was asked last.
    fn written(&self) -> u64 {
        self.written.swap(0, Ordering::SeqCst)
    }
}

fn pour(stream: &mut impl Write, block: &[u8], count: &AtomicU64) -> io::Result<()> {
    let mut written = 0;
    while written < FLOOD {
        stream.write_all(block)?;
        written += block.len() as u64;
        count.fetch_add(block.len() as u64, Ordering::SeqCst);
    }
    // Until the client has had enough.
    stream.flush()?;
    std::thread::park();
    Ok(())
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn server_config(tls: &Tls) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_slice_iter(tls.chain_pem.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Asks a relay in front of `upstream` once for a file, and takes its status.
fn asked_once(upstream: &str, path: &str, roots: Option<&Path>) -> u16 {
    let mut environment = Environment {
        http2: true,
        ..Environment::default()
    };
    environment.roots.file = roots.map(|file| file.as_os_str().to_owned());
    let mut setup = Setup::new(vec![ProxyList::parse(upstream).unwrap()], environment);
    setup.tries = 0;
    setup.quiet = Some(Duration::MAX);
    let relay = Relay::start(setup).unwrap().unwrap();
    let url = relay.goproxy().into_string().unwrap();
    let (host, base) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{base}/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = answer
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    status.and_then(|digits| digits.parse().ok()).unwrap()
}

const INFO: &str = "golang.org/x/text/@v/v0.3.0.info";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn what_is_no_body_is_not_listened_to_without_end() {
    let chunk = |text: &str| format!("{CHUNKED}{text}");
    for (name, begin, block) in [
        ("interim answers", String::new(), "HTTP/1.1 100 Continue\r\n\r\n"),
        (
            "early hints",
            String::new(),
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        ),
        ("a status line", "HTTP/1.1 200 ".to_owned(), "x"),
        ("a header line", "HTTP/1.1 200 OK\r\nX: ".to_owned(), "x"),
        ("header lines", "HTTP/1.1 200 OK\r\n".to_owned(), "X: y\r\n"),
        ("a chunk's size", chunk("0"), "0"),
        ("blanks behind a chunk's size", chunk("5"), " "),
        ("a chunk's extension", chunk("5;"), "x"),
        (
            "extensions of small chunks",
            chunk(""),
            "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n{\r\n",
        ),
        ("trailer lines", chunk("2\r\n{}\r\n0\r\n"), "X: y\r\n"),
        ("a trailer line", chunk("2\r\n{}\r\n0\r\nX: "), "y"),
    ] {
        let flood = Flood::http(&begin, block);
        assert_ne!(asked_once(&flood.url, INFO, None), 200, "{name}");
        let written = flood.written();
        assert!(written < SOON, "the relay took {written} bytes of {name}");
        let sandbox = sandbox(&flood.url, None);
        let outcome = sandbox.plain_go(&["mod", "download"]).output();
        assert_eq!(outcome.code(), Some(1), "{name}: {outcome}");
        flood.written();
        sandbox.gofix(&["routes", "test"]).output().expect_code(3);
        let written = flood.written();
        assert!(written < SOON, "doctor took {written} bytes of {name}");
    }
}

#[test]
fn interim_answers_in_http2_have_an_end_too() {
    let authority = Authority::new("Example Trust");
    // An indexed name (`:status`) with the value 100.
    let interim = frame(1, 4, 1, b"\x08\x03100");
    let nothing = frame(0, 0, 1, b"");
    let ping = frame(6, 0, 0, b"12345678");
    for (name, block) in [
        ("interim answers", interim),
        ("empty data", nothing),
        ("pings", ping),
    ] {
        let flood = Flood::http2(&authority.server(true), &block);
        let sandbox = sandbox(&flood.url, Some(&authority.pem()));
        let roots = sandbox.path("roots.pem");
        assert_ne!(asked_once(&flood.url, INFO, Some(&roots)), 200, "{name}");
        let written = flood.written();
        assert!(written < SOON, "the relay took {written} bytes of {name}");
        sandbox.gofix(&["routes", "test"]).output().expect_code(3);
        let written = flood.written();
        assert!(written < SOON, "doctor took {written} bytes of {name}");
    }
}

#[test]
fn a_body_that_is_longer_than_its_kind_can_be_is_cut() {
    let block = format!("1000\r\n{}\r\n", "v1.0.0\n ".repeat(512));
    let flood = Flood::http(CHUNKED, &block);
    for path in [
        INFO,
        "golang.org/x/text/@v/list",
        "golang.org/x/text/@latest",
        "golang.org/x/text/@v/v0.3.0.mod",
        "sumdb/sum.golang.org/supported",
        "sumdb/sum.golang.org/latest",
        "sumdb/sum.golang.org/lookup/golang.org/x/text@v0.3.0",
        "sumdb/sum.golang.org/tile/8/0/001",
        "sumdb/sum.golang.org/tile/8/data/001",
    ] {
        asked_once(&flood.url, path, None);
        let written = flood.written();
        assert!(written < SOON, "{written} bytes of {path}");
    }
}

#[test]
fn many_header_lines_and_long_ones_are_taken_as_go_takes_them() {
    let body = "{\"Version\":\"v0.3.0\",\"Time\":\"2018-01-01T00:00:00Z\"}";
    let lines = |count: usize, length: usize| -> String {
        (0..count)
            .map(|n| format!("X-{n}: {}\r\n", "y".repeat(length)))
            .collect()
    };
    for more in [
        lines(99, 10),
        lines(300, 10),
        lines(1, 200_000),
        lines(50, 20_000),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = serve(move |mut stream| {
            let asked = header(&mut stream)?;
            let is_info = String::from_utf8_lossy(&asked).contains(".info HTTP");
            stream.write_all(match is_info {
                true => answer.as_bytes(),
                false => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            })
        });
        let sandbox = sandbox(&format!("http://{address}"), None).importing(&[]);
        let ask = ["list", "-m", "golang.org/x/text@v0.3.0"];
        let go = sandbox
            .plain_go(&ask)
            .env("GOMODCACHE", sandbox.path("cache1"))
            .output();
        let gofix = sandbox.go(&ask).output();
        assert_eq!(go.code(), Some(0), "{go}");
        assert_eq!((gofix.code(), &gofix.stdout), (Some(0), &go.stdout), "{gofix}");
    }
}

#[test]
fn a_route_needs_a_host() {
    let own = proxy().start().unwrap();
    let sandbox = sandbox(own.url(), None);
    for bad in [
        "::::",
        "https://",
        "https:///modules",
        "https://:443",
        "https://user@",
        "https://user:pw@:8080/x",
        "https://?x",
        "https://#x",
        "http://[::1",
        "https://host:port",
        "https://host:99999",
        "https://good.example,::::,direct",
        ":",
        ":80",
    ] {
        let check = sandbox
            .gofix(&["config", "check"])
            .env("GOFIX_ROUTES", bad)
            .output()
            .expect_code(1);
        assert!(check.stderr.contains("GOFIX_ROUTES"), "{bad}: {check}");
        assert!(!check.stderr.contains("pw"), "{bad}: {check}");
        sandbox.gofix(&["routes", "add", bad]).output().expect_code(1);
        sandbox.gofix(&["routes", "use", bad]).output().expect_code(1);
        let flag = sandbox.gofix(&["--routes", bad, "config", "check"]).output();
        assert_ne!(flag.code(), Some(0), "{bad}: {flag}");
        // Nothing of it is in force, and go runs all the same.
        let outcome = sandbox
            .go(&["mod", "download"])
            .env("GOFIX_ROUTES", bad)
            .output()
            .expect_code(0);
        assert!(
            outcome.stderr.starts_with("gofix: warning: GOFIX_ROUTES: "),
            "{bad}: {outcome}"
        );
    }
    for good in [
        "https://good.example",
        "good.example/x,direct",
        "http://[::1]:80",
        "direct",
        "preset:cn",
    ] {
        sandbox
            .gofix(&["config", "check"])
            .env("GOFIX_ROUTES", good)
            .output()
            .expect_code(0);
    }
}
