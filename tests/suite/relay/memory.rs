//! Memory stays where it is, whatever arrives and however slowly it is read.

use super::*;

/// Set for [`as_a_process`]: the list to relay.
const PROCESS: &str = "__GOFIX_TEST_RELAY_LIST";

/// No test of its own: a relay in a process of its own, whose memory others measure.
#[test]
#[ignore = "run by other tests, as a process of its own"]
fn as_a_process() {
    let Some(list) = std::env::var(PROCESS).ok() else {
        return;
    };
    let mut set = setup(&[&list]);
    set.stall = Duration::from_secs(30);
    set.tries = 1;
    let relay = Relay::start(set).unwrap().unwrap();
    writeln!(std::io::stdout(), "{}", relay.goproxy().into_string().unwrap()).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
}

/// A relay in a process of its own.
struct Process {
    child: std::process::Child,
    address: Address,
}

impl Process {
    fn start(list: &str) -> Self {
        use std::io::BufRead as _;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "relay::memory::as_a_process",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PROCESS, list)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.find("http://").map(|at| line[at + 7..].to_owned()))
            .expect("the relay says where it is");
        // What the harness says at its end must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let mut parts = url.split('/');
        let address = Address {
            host: parts.next().unwrap().to_owned(),
            token: parts.next().unwrap().to_owned(),
        };
        Self { child, address }
    }

    /// The largest resident size so far, in MiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// Bodies and headers without end and gzip bombs are cut, under 100 MB.
#[test]
#[cfg(target_os = "linux")]
fn nothing_makes_it_swell() {
    let faults = [
        Fault::EndlessHeaders,
        Fault::EndlessBody,
        Fault::GzipBomb { mib: 2048 },
    ];
    for fault in faults {
        let kinds = [Kind::Info, Kind::Mod, Kind::List, Kind::Latest, Kind::Lookup];
        let proxy = with_rules(kinds.map(|kind| Rule::new(fault.clone()).on(kind)));
        let process = Process::start(proxy.url());
        std::thread::scope(|scope| {
            for path in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod"] {
                let address = &process.address;
                scope.spawn(move || {
                    let (status, body) = address.get(&format!("0/example.com/a/{path}"));
                    assert!(status == 599 || body.len() <= 32 << 20, "{path}: {status}");
                });
            }
        });
        let resident = process.resident();
        assert!(resident < 100, "{fault:?}: {resident} MiB");
    }
    // A bomb for a zip.
    let proxy = with_rules([Rule::new(Fault::GzipBomb { mib: 600 }).on(Kind::Zip)]);
    let process = Process::start(proxy.url());
    assert_eq!(process.address.get("0/example.com/a/@v/v1.0.0.zip").0, 599);
    assert!(process.resident() < 100);
}

/// A zip of 30 MB and a client that does not read: memory stays where it is.
#[test]
#[cfg(target_os = "linux")]
fn large_bodies_and_slow_clients_leave_memory_flat() {
    let catalogue = Catalogue::new().with(Module::new("example.com/big", "v1.0.0").ballast(30 << 20));
    let proxy = FaultProxy::healthy(catalogue).unwrap();
    let process = Process::start(proxy.url());
    let address = &process.address;
    let path = "0/example.com/big/@v/v1.0.0.zip";
    let mut slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(&address.host).unwrap();
            let request = format!(
                "GET /{}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
                address.token, address.host
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for stream in &mut slow {
        let mut first = [0; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
    assert_eq!(address.get(path).0, 200);
    assert!(process.resident() < 24 + 16, "{} MiB", process.resident());
}

/// A large zip over a line that drops, again and again.
#[test]
fn a_line_that_drops_every_megabyte() {
    let catalogue = Catalogue::new().with(Module::new("example.com/big", "v1.0.0").ballast(20 << 20));
    let proxy = FaultProxy::builder(catalogue)
        .rule(
            Rule::new(Fault::ResetBody { after: Some(1 << 20) })
                .on(Kind::Zip)
                .first(20),
        )
        .start()
        .unwrap();
    let relay = relay(&[proxy.url()]);
    let sandbox = Sandbox::new().requiring(&[("example.com/big", "v1.0.0")]);
    through(&relay, &sandbox, &["mod", "download"]).expect_code(0);
    let zips = asked_for(&proxy, Kind::Zip);
    assert_eq!(zips, 21);
}
