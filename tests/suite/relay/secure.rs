//! TLS, HTTP/2, credentials and the proxies of the environment.

use super::*;

/// Redirects are followed as go follows them, and not where they must not lead.
#[test]
fn redirects() {
    let target = healthy();
    let to = |to: &str| with_rules([Rule::new(Fault::Redirect { to: to.to_owned() }).on(Kind::Mod)]);
    let proxy = to(&format!("{}/", target.url()));
    let relay_to = relay(&[proxy.url()]);
    through(&relay_to, &requiring_a(), &["mod", "download"]).expect_code(0);
    assert!(
        target
            .requests()
            .iter()
            .any(|request| request.kind() == Kind::Mod)
    );

    for (location, words) in [
        ("file:///etc/passwd", "unsupported protocol scheme \"file\""),
        ("ftp://127.0.0.1/", "unsupported protocol scheme \"ftp\""),
        (
            "http://169.254.169.254/latest/",
            "redirected to link-local address, refused",
        ),
        ("http://[fe80::1]/", "redirected to link-local address, refused"),
    ] {
        let proxy = to(location);
        let mut setup = setup(&[proxy.url()]);
        setup.tries = 1;
        let relay = Relay::start(setup).unwrap().unwrap();
        let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
        assert!(run.stderr.contains(words), "{location}: {run}");
    }
}

#[test]
fn http2_and_back_to_http1_after_its_faults() {
    let faults = [
        Rule::new(Fault::Goaway { code: 2 }).on(Kind::Mod).first(1),
        Rule::new(Fault::RstStream {
            code: 2,
            after: Some(10),
        })
        .on(Kind::Zip)
        .first(1),
    ];
    for rules in [&faults[..0], &faults[..1], &faults[1..]] {
        let secure = Secure::new(true, |builder| builder.rules(rules.iter().cloned()));
        let relay = Relay::start(secure.trusting(&[secure.proxy.url()]))
            .unwrap()
            .unwrap();
        through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
        let requests = secure.proxy.requests();
        assert_eq!(requests[0].protocol, "HTTP/2");
        let back = requests.iter().any(|request| request.protocol == "HTTP/1.1");
        assert_eq!(back, !rules.is_empty(), "{rules:?}");
    }
}

#[test]
fn a_certificate_that_does_not_verify() {
    let secure = Secure::new(true, |builder| builder);
    let relay = Relay::start(setup(&[secure.proxy.url()])).unwrap().unwrap();
    let of_relay = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    let of_go = plain(secure.proxy.url(), &requiring_a(), &["mod", "download"]);
    assert_eq!(of_relay.stderr, of_go.stderr);
    assert!(of_go.stderr.contains("x509: "), "{of_go}");
    // One handshake for the relay's request, one for go's.
    assert_eq!(secure.proxy.connections(), 2);
    // Another name than the certificate's.
    let secure = Secure::new(true, |builder| builder);
    let url = secure.proxy.url().replace("127.0.0.1", "127.0.0.2");
    drop(relay);
    let relay = Relay::start(secure.trusting(&[&url])).unwrap().unwrap();
    let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
    assert!(run.stderr.contains(&format!("Get \"{url}/")), "{run}");
}

#[test]
fn credentials_stay_with_their_host() {
    let secure = Secure::new(true, |builder| builder.basic_auth("me:s3cr3t"));
    let authority = secure.proxy.url().strip_prefix("https://").unwrap().to_owned();
    // Without any, the answer is 401 and goes through as it is.
    let relay = Relay::start(secure.trusting(&[secure.proxy.url()]))
        .unwrap()
        .unwrap();
    let refused = through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(1);
    let of_go = plain(secure.proxy.url(), &secure.sandbox(), &["mod", "download"]);
    assert_eq!(refused.stderr, of_go.stderr);
    // Out of the URL; nothing that is printed shows them.
    let with_user = secure.proxy.url_with("me:s3cr3t");
    let relay = Relay::start(secure.trusting(&[&with_user])).unwrap().unwrap();
    let run = through(&relay, &secure.sandbox(), &["mod", "download", "-x"]).expect_code(0);
    assert!(
        !run.stderr.contains("s3cr3t") && run.stderr.contains("me:xxxxx@"),
        "{run}"
    );
    // Out of netrc, for this host and port.
    let mut netrc = tempfile::NamedTempFile::new().unwrap();
    writeln!(netrc, "machine {authority} login me password s3cr3t").unwrap();
    let mut setup = secure.trusting(&[secure.proxy.url()]);
    setup.environment.netrc = Some(netrc.path().into());
    let relay = Relay::start(setup).unwrap().unwrap();
    through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
    // A redirect to another host leaves them behind.
    let other = healthy();
    let to = format!("{}/", other.url().replace("127.0.0.1", "localhost"));
    let from = Secure::new(false, |builder| builder.rule(Rule::new(Fault::Redirect { to })));
    let list = from.proxy.url_with("me:s3cr3t");
    let relay = Relay::start(from.trusting(&[&list])).unwrap().unwrap();
    let run = through(&relay, &from.sandbox(), &["mod", "download"]).expect_code(1);
    // https to http: refused, in go's words.
    assert!(run.stderr.contains("redirected from secure URL"), "{run}");
    assert!(!run.stderr.contains("s3cr3t"), "{run}");
    assert!(other.requests().is_empty());
}

/// An HTTP proxy that takes every request and every tunnel to one place.
fn forward_proxy(to: &FaultProxy) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:pw@{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (lines, target) = (Arc::clone(&seen), to.address());
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || forward(client, target, &lines));
        }
    });
    (url, seen)
}

fn forward(mut client: TcpStream, target: std::net::SocketAddr, lines: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    lines.lock().ok()?.push(head.clone());
    let mut upstream = TcpStream::connect(target).ok()?;
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    } else {
        // Not kept alive: the next request may name another host.
        let (line, rest) = head.split_once("\r\n")?;
        let path = line.split(' ').nth(1)?.splitn(4, '/').nth(3)?;
        let head = format!("GET /{path} HTTP/1.1\r\nConnection: close\r\n{rest}");
        upstream.write_all(head.as_bytes()).ok()?;
    }
    let (mut from_client, mut to_upstream) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
    std::thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_upstream).ok();
        to_upstream.shutdown(std::net::Shutdown::Write).ok();
    });
    std::io::copy(&mut upstream, &mut client).ok();
    client.shutdown(std::net::Shutdown::Both).ok();
    Some(())
}

/// The proxies of the environment, as go uses them.
#[test]
fn proxies_of_the_environment() {
    let plain_proxy = healthy();
    let (url, seen) = forward_proxy(&plain_proxy);
    let mut set = setup(&["http://proxy.test/"]);
    set.environment.proxies.http = url;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &requiring_a(), &["mod", "download"]).expect_code(0);
    {
        let seen = seen.lock().unwrap();
        assert!(
            seen[0].starts_with("GET http://proxy.test/example.com/a/@v/v1.0.0.mod HTTP/1.1\r\n"),
            "{seen:?}"
        );
        assert!(
            seen[0]
                .to_ascii_lowercase()
                .contains("proxy-authorization: basic bwu6chc="),
            "{seen:?}"
        );
    }

    let secure = Secure::new(true, |builder| builder);
    let (url, seen) = forward_proxy(&secure.proxy);
    let mut set = secure.trusting(&["https://proxy.test"]);
    set.environment.proxies.https = url;
    let relay = Relay::start(set).unwrap().unwrap();
    through(&relay, &secure.sandbox(), &["mod", "download"]).expect_code(0);
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].starts_with("CONNECT proxy.test:443 HTTP/1.1\r\n"),
        "{seen:?}"
    );
    assert!(
        seen[0].contains("Proxy-Authorization: Basic bWU6cHc=\r\n"),
        "{seen:?}"
    );
}

/// A proxy of the environment that refuses has answered.
#[test]
fn a_refused_tunnel_is_an_answer() {
    for (status, asked, words) in [
        (
            "407 Proxy Authentication Required",
            1,
            "Proxy Authentication Required",
        ),
        ("403 Forbidden", 1, "Forbidden"),
        ("502 Bad Gateway", 2, "Bad Gateway"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                *counter.lock().unwrap() += 1;
                let mut buffer = [0; 1024];
                let _read = client.read(&mut buffer);
                write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok();
            }
        });
        let later = healthy();
        let mut set = setup(&["https://proxy.test"]);
        set.environment.proxies.https = url.clone();
        set.tries = 1;
        let relay = Relay::start(set).unwrap().unwrap();
        let run = through(&relay, &requiring_a(), &["mod", "download"]).expect_code(1);
        let asked_by_relay = *count.lock().unwrap();
        let sandbox = requiring_a().env("HTTPS_PROXY", &url);
        let of_go = plain("https://proxy.test", &sandbox, &["mod", "download"]);
        assert_eq!(run.stderr, of_go.stderr);
        assert!(run.stderr.contains(words), "{run}");
        assert_eq!(asked_by_relay, asked, "{status}");
        drop(later);
    }
}
