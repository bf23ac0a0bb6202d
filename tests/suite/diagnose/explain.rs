//! `gofix explain`: what it reads, and what it says.

use super::*;

fn gofix_explain(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gofix"))
        .arg("explain")
        .args(args)
        .env_remove("GOFIX_CONFIG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn explain_reads_a_file_or_standard_input() {
    let path = root().join("fixtures/logs/docker.log");
    let log = fs::read(&path).unwrap();
    let (status, from_file, stderr) = gofix_explain(&["--json", path.to_str().unwrap()], b"");
    assert_eq!((status, stderr.as_str()), (0, ""));
    let (status, from_stdin, _) = gofix_explain(&["--json"], &log);
    assert_eq!(status, 0);
    assert_eq!(from_file, from_stdin);
    let (status, from_dash, _) = gofix_explain(&["--json", "-"], &log);
    assert_eq!(status, 0);
    assert_eq!(from_dash, from_stdin);
    let object: serde_json::Value = serde_json::from_str(&from_file).unwrap();
    assert_eq!(object["verdict"], "retry");
    assert_eq!(object["faults"].as_array().unwrap().len(), 1);
    assert_eq!(object["faults"][0]["module"], "github.com/rs/zerolog");
    assert!(object.get("needs").is_none());
}

#[test]
fn explain_says_in_one_screen_what_happened() {
    let log = fs::read(root().join("fixtures/logs/jenkins.log")).unwrap();
    let (status, screen, stderr) = gofix_explain(&[], &log);
    assert_eq!((status, stderr.as_str()), (0, ""));
    insta::assert_snapshot!(screen);
}

#[test]
fn explain_takes_whatever_it_is_given() {
    for (input, verdict) in [
        (Vec::new(), "unknown"),
        (vec![0; 100_000], "unknown"),
        ((0..=255u8).cycle().take(300_000).collect(), "unknown"),
        (
            b"go: example.com/m@v1.0.0: Get \"https://p/x/@v/v1.0.0.mod\": E".to_vec(),
            "retry",
        ),
        (
            b"go: example.com/m@v1.0.0: reading https://p/x/@v/v1.0.0.mod: 40".to_vec(),
            "unknown",
        ),
    ] {
        let (status, json, _) = gofix_explain(&["--json"], &input);
        assert_eq!(status, 0);
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["verdict"], verdict, "{json}");
    }
}

#[test]
fn explain_says_what_it_cannot_read() {
    let (status, stdout, stderr) = gofix_explain(&["/nonexistent/x.log"], b"");
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(
        stderr.starts_with("gofix: cannot read /nonexistent/x.log: "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
    let (status, _, stderr) = gofix_explain(&["/"], b"");
    assert_eq!(status, 1);
    assert!(stderr.starts_with("gofix: cannot read /: "), "{stderr}");
}

/// A log that is larger than gofix may ever grow.
#[test]
#[cfg(target_os = "linux")]
fn explain_holds_no_log_in_memory() {
    let mut child = Command::new("/bin/sh")
        .args([
            "-c",
            "ulimit -v 65536; exec \"$0\" explain --json",
            env!("CARGO_BIN_EXE_gofix"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let line = b"2026-09-01T12:00:00.1234567Z go: downloading example.com/some/module/path v1.2.3 and more words\n";
        let block: Vec<u8> = line.repeat(10_000);
        for _ in 0..70 {
            if pipe.write_all(&block).is_err() {
                return;
            }
        }
        let _ = pipe.write_all(b"go: example.com/m@v1.0.0: Get \"https://p.example/x/@v/v1.0.0.mod\": EOF\n");
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"verdict\":\"retry\""));
}

#[test]
fn a_line_alone_is_taken_for_go_s() {
    for (line, verdict, kind) in [
        ("dial tcp: lookup proxy.example.com i/o timeout", "retry", "dns"),
        (
            "x509: certificate is valid for sinkhole.example.com, not proxy.example.com",
            "switch",
            "certificate",
        ),
        (
            "\tfatal: unable to access 'https://git.example.com/m/': The requested URL returned error: 502",
            "retry",
            "server_error",
        ),
        ("        remote: Repository not found.\n", "final", "not_found"),
        ("Host key verification failed.\r\n", "final", "auth"),
        (
            "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)",
            "retry",
            "http2",
        ),
    ] {
        let kind_of = |text: &str| {
            let (status, stdout, _) = gofix_explain(&["--json"], text.as_bytes());
            assert_eq!(status, 0);
            let object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            let kind = object["faults"][0]["kind"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (object["verdict"].as_str().unwrap().to_owned(), kind)
        };
        assert_eq!(kind_of(line), (verdict.to_owned(), kind.to_owned()), "{line}");
        // Among other lines it may be anybody's.
        let among = format!("compiling\n{line}\n");
        assert_eq!(kind_of(&among), ("unknown".to_owned(), String::new()), "{line}");
    }
    for line in [
        "",
        "\n",
        "ok",
        "exit status 1",
        "main.go:3:1: syntax error",
        "panic: dial",
    ] {
        let (_, stdout, _) = gofix_explain(&["--json"], line.as_bytes());
        let object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert!(
            matches!(object["verdict"].as_str(), Some("unknown" | "final")),
            "{line}: {stdout}"
        );
    }
}
