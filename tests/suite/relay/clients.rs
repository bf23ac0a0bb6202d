//! Who may ask the relay, and how many requests become one.

use super::*;

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

/// Only this command's go is let in, and only to what go asks for.
#[test]
fn strangers_are_kept_out() {
    let proxy = healthy();
    let relay = relay(&[proxy.url()]);
    let address = Address::of(&relay);
    let (host, token) = (address.host.as_str(), address.token.as_str());
    let list = "0/example.com/a/@v/list";
    // What the list leads to is asked for ahead, and nobody knows when.
    let is_list = |request: &gofix::faultproxy::Request| request.kind() == Kind::List;
    let lists = || proxy.requests().into_iter().filter(is_list).count();
    assert_eq!(address.get(list).0, 200);
    let asked = lists();

    for target in [
        format!("/{list}"),
        format!("/{}/{list}", "0".repeat(32)),
        format!("/{}/{list}", &token[..31]),
        format!("/{token}x/{list}"),
        format!(
            "/{}/{list}",
            token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")
        ),
        "/".to_owned(),
    ] {
        assert_eq!(code(&address.request("GET", &target, host)), "403", "{target}");
    }
    let target = format!("/{token}/{list}");
    for other in ["localhost", "127.0.0.1", "example.com", "127.0.0.1:1", ""] {
        assert_eq!(code(&address.request("GET", &target, other)), "421", "{other}");
    }
    let twice =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\nConnection: close\r\n\r\n");
    assert_eq!(code(&address.say(twice.as_bytes())), "421");
    let absolute = format!("http://{host}{target}");
    assert_eq!(code(&address.request("GET", &absolute, host)), "421");
    for method in ["POST", "PUT", "HEAD", "DELETE", "CONNECT"] {
        assert_ne!(code(&address.request(method, &target, host)), "200", "{method}");
    }
    for path in [
        "0/../../etc/passwd",
        "0/a/%2e%2e/%2e%2e/b/@v/list",
        "0/a/..%2f..%2fb/@v/list",
        "0//example.com/a/@v/list",
        "0/a%00b/@v/list",
        "0/a%0d%0aX-Y:%20z/@v/list",
        "0/a\\b/@v/list",
        "0/a/@v/list?x=y",
        "0",
        "0/",
        "1/example.com/a/@v/list",
        "-1/example.com/a/@v/list",
        "18446744073709551616/example.com/a/@v/list",
    ] {
        assert_eq!(address.get(path).0, 400, "{path}");
    }
    let long = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    assert_ne!(code(&address.say(long.as_bytes())), "200");
    assert_eq!(lists(), asked, "an upstream was asked for a stranger");
}

/// Another user of the machine does not get in with the token either.
#[test]
fn another_user_is_kept_out() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() || cfg!(not(target_os = "linux")) {
        // Only root can become somebody else; who owns a socket is known on Linux.
        return;
    }
    let proxy = healthy();
    let relay = relay(&[proxy.url()]);
    let address = Address::of(&relay);
    let (ip, port) = address.host.split_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{port}; printf 'GET /{}/0/example.com/a/@v/list HTTP/1.1\\r\\nHost: {}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
        address.token, address.host
    );
    let ask = |uid: u32| {
        let output = std::process::Command::new("/bin/bash")
            .args(["-c", &script])
            .current_dir("/")
            .uid(uid)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(ask(0).contains("200 OK"));
    assert_eq!(ask(65534), "");
}

/// Many askers of one file make one request, whoever of them goes away.
#[test]
fn one_fetch_for_many_askers() {
    let proxy = with_rules([Rule::new(Fault::Delay { ms: 400 }).on(Kind::Zip)]);
    let mut setup = setup(&[proxy.url()]);
    setup.stall = Duration::from_secs(10);
    let relay = Relay::start(setup).unwrap().unwrap();
    let address = Address::of(&relay);
    let path = "0/example.com/!upper/b/@v/v1.1.0.zip";
    // One that asks first and leaves as soon as its request has reached the proxy.
    let mut leaver = TcpStream::connect(&address.host).unwrap();
    let request = format!(
        "GET /{}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
        address.token, address.host
    );
    leaver.write_all(request.as_bytes()).unwrap();
    assert!(proxy.wait_for(Duration::from_secs(20), |requests| !requests.is_empty()));
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| address.get(path).0)).collect();
        drop(leaver);
        for asker in askers {
            assert_eq!(asker.join().unwrap(), 200);
        }
    });
    let requests = proxy.requests();
    let zips = requests
        .iter()
        .filter(|request| request.kind() == Kind::Zip)
        .count();
    assert!(zips <= 2, "{requests:?}");
}

/// In front of the user's own list the relay says 200 or 404 and nothing else.
#[test]
fn in_front_of_a_list() {
    let down = with_rules([
        Rule::new(status(503, None)).on(Kind::Mod),
        Rule::new(status(403, None)).on(Kind::Info),
    ]);
    let mut set = setup(&[down.url()]);
    set.in_front = true;
    set.tries = 0;
    let relay = Relay::start(set).unwrap().unwrap();
    assert_eq!(
        relay.goproxy().into_string().unwrap().split_once('|').unwrap().1,
        down.url()
    );
    let address = Address::of(&relay);
    assert_eq!(address.get("0/example.com/a/@v/list").0, 200);
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.mod").0, 404);
    assert_eq!(address.get("0/example.com/a/@v/v1.0.0.info").0, 404);
    assert_eq!(address.get("0/example.com/none/@v/list").0, 404);
    // Go then asks the real list, in its own words, and so it does when the relay has gone.
    let list = relay.goproxy();
    let run = sandbox()
        .requiring(&[A])
        .plain_go(&["mod", "download"])
        .env("GOPROXY", &list)
        .output();
    let of_go = plain(down.url(), &requiring_a(), &["mod", "download"]);
    assert_eq!(run.stderr, of_go.stderr);
    drop(relay);
    let run = requiring_a()
        .plain_go(&["mod", "download"])
        .env("GOPROXY", &list)
        .output();
    assert_eq!(run.stderr, of_go.stderr);
}
