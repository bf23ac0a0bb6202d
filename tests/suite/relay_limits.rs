//! Where the relay stops: what it may take for an answer, when the budget ends a request, and when it steps aside
//! for go to do by itself what go can.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Rule};
use gofix::go::proxy_list::ProxyList;
use gofix::relay::{Environment, Relay, Setup};

use crate::support::{Sandbox, certificate, status, two_modules};

const A: (&str, &str) = ("example.com/a", "v1.0.0");
/// The larger of the two modules; a needs it.
const B: &str = "example.com/Upper/b";

fn proxy_with(rules: impl IntoIterator<Item = Rule>) -> FaultProxy {
    FaultProxy::builder(two_modules(400_000))
        .rules(rules)
        .start()
        .unwrap()
}

/// A proxy without any modules: all it says is 404.
fn empty() -> FaultProxy {
    FaultProxy::healthy(Catalogue::new()).unwrap()
}

/// An address where nobody listens.
fn gone() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A project that imports a and requires it.
fn sandbox(goproxy: &str) -> Sandbox {
    let sandbox = Sandbox::new()
        .env("GOPROXY", goproxy)
        .env("GOSUMDB", "off")
        .env("GOFIX_RETRY_COUNT", "1")
        .importing(&[A.0])
        .requiring(&[A]);
    sandbox.write("go.sum", two_modules(400_000).go_sum());
    sandbox
}

#[test]
fn a_later_route_that_has_not_got_a_version_leaves_the_fault_a_fault() {
    // Nobody is there, and one who is there and says to wait longer than anybody does.
    let busy = proxy_with([Rule::new(status(503, Some("3600")))]);
    for (own, words) in [
        (gone(), "connection refused"),
        (busy.url().to_owned(), "503 Service Unavailable"),
    ] {
        a_later_route_leaves_the_fault(&own, words);
    }
}

fn a_later_route_leaves_the_fault(own: &str, words: &str) {
    let later = empty();
    let sandbox = sandbox(own)
        .env("GOFIX_ROUTES", format!("{own};{}", later.url()))
        .env("GOFIX_BUDGET", "6s");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(1);
    assert!(outcome.stderr.contains(words), "{outcome}");
    assert!(!outcome.stderr.contains("404"), "{outcome}");
    assert!(later.requests().iter().any(|request| request.kind() == Kind::Mod));
    // With -e go would drop what it cannot look up, and end with 0.
    let before = (sandbox.read("go.mod"), sandbox.read("go.sum"));
    let outcome = sandbox.go(&["mod", "tidy", "-e"]).output().expect_code(1);
    assert_eq!(
        (sandbox.read("go.mod"), sandbox.read("go.sum")),
        before,
        "{outcome}"
    );
}

#[test]
fn a_later_route_answers_what_go_looks_up() {
    let later = proxy_with([]);
    let own = gone();
    let sandbox = Sandbox::new()
        .env("GOPROXY", &own)
        .env("GOSUMDB", "off")
        .env("GOFIX_ROUTES", format!("{own};{}", later.url()))
        .importing(&[A.0]);
    // example.com is asked for, too, and is no module.
    sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert!(sandbox.read("go.mod").contains("example.com/a v1.0.0"));
}

#[test]
fn what_go_itself_goes_on_to_is_no_reason_to_refuse_a_tidy() {
    let good = proxy_with([]);
    let sandbox_of = |list: String| {
        let sandbox = sandbox(&list);
        sandbox.write("go.mod", "module example.com/main\n\ngo 1.21\n");
        sandbox
    };
    let sandbox = sandbox_of(format!("{}|{}", gone(), good.url()));
    sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    // A folder with the files of the protocol, of which the relay sees nothing.
    let files = sandbox.modcache().join("cache/download");
    let sandbox = sandbox_of(format!("{}|file://{}", gone(), files.display()));
    let outcome = sandbox.go(&["mod", "tidy"]).output().expect_code(0);
    assert!(
        sandbox.read("go.mod").contains("example.com/a v1.0.0"),
        "{outcome}"
    );
}

#[test]
fn a_proxy_that_was_left_early_is_asked_by_another_run_of_go() {
    // Silent once, and go goes on to a public proxy that has not got the company's modules.
    let corp = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Mod).first(1)]);
    let public = empty();
    let sandbox = sandbox(&format!("{}|{}", corp.url(), public.url())).env("GOFIX_STALL_MS", "200");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert!(!public.requests().is_empty(), "{outcome}");
}

#[test]
fn the_budget_ends_no_body_that_moves() {
    // Longer than the budget as a whole, and never silent for as long as the stall clock.
    let drip = Fault::Drip {
        bytes: 20_000,
        every_ms: 150,
    };
    let proxy = proxy_with([Rule::new(drip).on(Kind::Zip).module(B)]);
    let sandbox = sandbox(proxy.url())
        .env("GOFIX_BUDGET", "1s")
        .env("GOFIX_STALL_MS", "2000");
    let outcome = sandbox.go(&["mod", "download", B]).output().expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome}");
    let zips = proxy
        .requests()
        .iter()
        .filter(|request| request.kind() == Kind::Zip)
        .count();
    assert_eq!(zips, 1, "{outcome}");
}

#[test]
fn the_budget_ends_who_is_silent() {
    let proxy = proxy_with([Rule::new(Fault::StallHeader).on(Kind::Zip)]);
    let sandbox = sandbox(proxy.url())
        .env("GOFIX_BUDGET", "2s")
        .env("GOFIX_STALL_MS", "600");
    let outcome = sandbox.go(&["mod", "download", B]).output().expect_code(1);
    assert!(outcome.stderr.contains("time budget"), "{outcome}");
}

/// Stands in front of a healthy proxy and makes something else of what it answers, given the request's header.
fn in_front_of_a_proxy(change: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + 'static) -> String {
    let upstream = proxy_with([]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = read_head(&mut stream);
            let mut other = TcpStream::connect(upstream.address()).unwrap();
            let closing: Vec<&str> = head
                .lines()
                .filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("range:"))
                .collect();
            let request = closing
                .join("\r\n")
                .replacen("\r\n", "\r\nConnection: close\r\n", 1);
            other.write_all(format!("{request}\r\n\r\n").as_bytes()).unwrap();
            let mut answer = Vec::new();
            other.read_to_end(&mut answer).unwrap();
            stream.write_all(&change(&head, answer)).ok();
        }
    });
    url
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The header and the body of an answer.
fn parts(answer: &[u8]) -> (&str, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (std::str::from_utf8(&answer[..end]).unwrap(), &answer[end..])
}

/// An answer that breaks off after half of b's zip; what it says to a Range is its own.
type Hostile = fn(length: usize) -> String;

#[test]
fn a_server_that_cannot_go_on_in_the_middle_is_asked_no_more_than_others() {
    let hostile: [Option<Hostile>; 3] = [
        Some(|_| "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()),
        Some(|length| {
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{}/{length}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
                length - 1
            )
        }),
        // It knows no ranges, and breaks off again.
        None,
    ];
    std::thread::scope(|scope| {
        for to_a_range in hostile {
            scope.spawn(move || {
                let asked = Arc::new(AtomicUsize::new(0));
                let count = Arc::clone(&asked);
                let url = in_front_of_a_proxy(move |head, answer| {
                    if !head.contains("/b/@v/v1.1.0.zip") {
                        return answer;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let (_, body) = parts(&answer);
                    match to_a_range.filter(|_| head.to_lowercase().contains("range:")) {
                        Some(say) => say(body.len()).into_bytes(),
                        None => answer[..answer.len() / 2].to_vec(),
                    }
                });
                let list = ProxyList::parse(&url).unwrap();
                let mut setup = Setup::new(vec![list], Environment::default());
                setup.tries = 4;
                let relay = Relay::start(setup).unwrap().unwrap();
                let sandbox = sandbox(&url);
                let run = sandbox.plain_go(&["mod", "download", B]);
                let outcome = run.env("GOPROXY", relay.goproxy()).output().expect_code(1);
                assert!(
                    relay.faults()[0].line.ends_with("unexpected EOF"),
                    "{:?}: {outcome}",
                    relay.faults()
                );
                // What the first half brought is progress, once.
                let asked = asked.load(Ordering::Relaxed);
                assert!((5..=6).contains(&asked), "asked {asked} times: {outcome}");
            });
        }
    });
}

#[test]
fn where_no_temporary_file_can_be_made_the_module_cache_takes_it() {
    let proxy = proxy_with([Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)]);
    // go makes its own temporary files elsewhere where nothing is compiled.
    let sandbox = sandbox(proxy.url()).env("TMPDIR", "/nonexistent");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(outcome.gofix_lines().len(), 1, "{outcome}");
}

#[test]
fn a_body_without_an_announced_end_is_no_trouble() {
    let url = in_front_of_a_proxy(|_, answer| {
        let (head, body) = parts(&answer);
        let kept: Vec<&str> = head
            .lines()
            .filter(|line| !line.to_lowercase().starts_with("content-length:"))
            .collect();
        [kept.join("\r\n").as_bytes(), b"\r\n", body].concat()
    });
    let sandbox = sandbox(&url);
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome}");
}

/// Another answer out of a header and a body.
type Header = fn(head: &str, body: &[u8]) -> Vec<u8>;

/// Header lines as servers write them that nobody should, and go reads them all the same.
#[test]
fn a_header_that_go_reads_is_read() {
    let odd: [Header; 4] = [
        // Both lengths: the chunks count (RFC 9112, 6.3).
        |head, body| {
            let both = head.trim_end().to_owned() + "\r\nTransfer-Encoding: chunked\r\n\r\n";
            let both = both.replace("Content-Length: ", "Content-Length: 1");
            assert_ne!(head, both);
            let size = format!("{:x}\r\n", body.len());
            [both.as_bytes(), size.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        },
        |head, body| {
            let many: String = (0..90).map(|n| format!("\r\nX-{n}: {n}")).collect();
            [head.trim_end().as_bytes(), many.as_bytes(), b"\r\n\r\n", body].concat()
        },
        |head, body| [head.trim_end().as_bytes(), b"\r\nX-Blank : 1\r\n\r\n", body].concat(),
        |head, body| [head.trim_end().as_bytes(), b"\r\nX Odd: 1\r\n\r\n", body].concat(),
    ];
    for (number, make) in odd.into_iter().enumerate() {
        let url = in_front_of_a_proxy(move |_, answer| {
            let (head, body) = parts(&answer);
            make(head, body)
        });
        let sandbox = sandbox(&url);
        let plain = sandbox.plain_go(&["mod", "download"]).output();
        assert_eq!(plain.code(), Some(0), "{number}, plain: {plain}");
        sandbox.plain_go(&["clean", "-modcache"]).output().expect_code(0);
        let outcome = sandbox.go(&["mod", "download"]).output();
        assert_eq!(
            (outcome.code(), outcome.stderr.as_str()),
            (Some(0), ""),
            "{number}: {outcome}"
        );
    }
}

/// What go is told in a way that only go can read, or that nobody can write down again: gofix is not there.
#[test]
fn what_only_go_can_read_is_left_to_go() {
    let proxy = proxy_with([]);
    for args in [
        &["mod", "download"][..],
        &["vet", "-mod=mod", "./..."],
        &["test", "-mod=mod", "./..."],
    ] {
        let sandbox = sandbox("").shared_build_cache();
        let pipe = sandbox.project().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (line, path) = (format!("GOPROXY={}\n", proxy.url()), pipe.clone());
        let writer = std::thread::spawn(move || std::fs::write(path, line).unwrap());
        sandbox.go(args).env("GOENV", pipe).output().expect_code(0);
        writer.join().unwrap();
    }

    let files = proxy_with([]);
    let odd = std::ffi::OsString::from_vec([files.url().as_bytes(), b",file:///nowhere/caf\xe9"].concat());
    let text = sandbox("").env("GOPROXY", odd);
    text.go(&["mod", "download"]).output().expect_code(0);
}

/// Below a web server go refuses each URL with http, before it looks at the host.
#[test]
fn there_is_no_relay_where_go_refuses_http() {
    let (tls, roots) = certificate();
    let proxy = FaultProxy::builder(two_modules(400_000))
        .tls(tls)
        .start()
        .unwrap();
    let sandbox = sandbox(proxy.url())
        .env("REQUEST_METHOD", "POST")
        .env("HTTP_PROXY", gone())
        .env("GOFIX_RELAY", "on");
    sandbox.write("roots.pem", roots);
    let run = sandbox.go(&["mod", "download"]);
    let roots = sandbox.project().join("roots.pem");
    let outcome = run.env("SSL_CERT_FILE", roots).output().expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome}");
}

/// A server whose TLS go speaks and the relay's library does not, in Go's own words: a key on the curve P-521.
const CURVE_P521: &str = r#"package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	curve := map[string]elliptic.Curve{"p256": elliptic.P256(), "p521": elliptic.P521()}[os.Args[1]]
	key, _ := ecdsa.GenerateKey(curve, rand.Reader)
	// A root that the server shows as its own.
	made := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "self"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, _ := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	os.WriteFile(os.Args[2], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("https://%s\n", listener.Addr())
	behind, _ := url.Parse(os.Args[3])
	go http.Serve(listener, httputil.NewSingleHostReverseProxy(behind))
	io.Copy(io.Discard, os.Stdin)
}
"#;

#[test]
fn tls_that_go_takes_is_taken() {
    let behind = proxy_with([]);
    let tool = Sandbox::new().shared_build_cache();
    tool.write("go.mod", "module server\n\ngo 1.21\n");
    tool.write("main.go", CURVE_P521);
    tool.plain_go(&["build", "-o", "server", "."])
        .output()
        .expect_code(0);
    for (curve, lines) in [("p256", 0), ("p521", 1)] {
        let roots = tool.path(format!("{curve}.pem"));
        let mut server = std::process::Command::new(tool.project().join("server"))
            .arg(curve)
            .arg(&roots)
            .arg(behind.url())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(server.stdout.take().unwrap()),
            &mut url,
        )
        .unwrap();
        let sandbox = sandbox(url.trim()).env("SSL_CERT_FILE", &roots);
        let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
        assert_eq!(outcome.gofix_lines().len(), lines, "{curve}: {outcome}");
        drop(server.stdin.take());
        server.wait().unwrap();
    }
}
