//! The views: what people and programs see of an invocation, of `gofix doctor`
//! and of `gofix report`.

mod browser;
mod doctor;
mod pasted;
mod report;
mod whole;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofix::config::Log;
use gofix::diagnose::{Diagnosis, Fault, FaultKind, Verdict};
use gofix::report::{Ci, Clock, Direct, Event, GaveUp, Progress, Reporter, Settings, Transfer, VcsRun};

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> jiff::Timestamp {
        let start: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        start + self.elapsed()
    }
}

/// Everything that was written.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Stage {
    clock: FakeClock,
    screen: Screen,
    reporter: Reporter,
}

fn settings() -> Settings {
    Settings {
        log: Log::Normal,
        report: None,
        command: "go mod tidy".into(),
        ci: Ci::None,
        live: false,
        otel: None,
    }
}

fn stage(settings: Settings) -> Stage {
    let (clock, screen) = (FakeClock::default(), Screen::default());
    let reporter = Reporter::with(
        settings,
        Box::new(clock.clone()),
        Box::new(screen.clone()),
        Box::new(|| Some(80)),
    );
    Stage {
        clock,
        screen,
        reporter,
    }
}

/// On a terminal.
fn live_stage() -> Stage {
    stage(Settings {
        live: true,
        ..settings()
    })
}

fn fault(kind: FaultKind, host: &str, line: &str) -> Fault {
    Fault {
        nobody: true,
        module: Some("example.com/a".into()),
        version: Some("v1.0.0".into()),
        host: Some(host.into()),
        url: Some(format!("https://{host}/example.com/a/@v/v1.0.0.mod")),
        ..Fault::of_words(kind, Verdict::Retry, line)
    }
}

fn refused(host: &str) -> Fault {
    let line = format!(
        "example.com/a@v1.0.0: Get \"https://{host}/example.com/a/@v/v1.0.0.mod\": dial tcp 192.0.2.1:443: connect: connection refused"
    );
    fault(FaultKind::Connect, host, &line)
}

fn diagnosis(faults: Vec<Fault>) -> Diagnosis {
    Diagnosis {
        verdict: Verdict::Retry,
        faults,
        advice: String::new(),
        needs: None,
    }
}

const OWN: &str = "https://proxy.golang.org,direct";

impl Stage {
    fn started(&mut self, attempt: u32, route: (usize, &str)) {
        self.reporter.event(&Event::AttemptStarted {
            attempt,
            route: (route.0, route.1.into()),
            changes: Vec::new(),
        });
        self.clock.advance(400);
    }

    fn failed(&mut self, attempt: u32, faults: &[Fault]) {
        for fault in faults {
            self.reporter.event(&Event::Fault {
                attempt,
                fault: fault.clone(),
            });
        }
        self.reporter.event(&Event::Diagnosis {
            attempt,
            diagnosis: diagnosis(faults.to_vec()),
            status: "exit status 1".into(),
            took: Duration::from_millis(400),
        });
    }

    fn wait(&mut self, next: u32, ms: u64, left: u32) {
        self.reporter.event(&Event::Backoff {
            attempt: next,
            wait: Duration::from_millis(ms),
            left,
        });
        self.clock.advance(ms);
    }

    fn gave_up(&mut self, why: GaveUp, faults: Vec<Fault>) {
        self.reporter.event(&Event::GaveUp {
            why,
            diagnosis: Some(diagnosis(faults)),
        });
    }

    fn finished(&mut self, attempts: u32, ok: bool) {
        let status = if ok { "exit status 0" } else { "exit status 1" };
        let took = self.clock.elapsed();
        self.reporter.event(&Event::Finished {
            attempts,
            status: status.into(),
            ok,
            took,
        });
        self.reporter.finish();
    }

    /// A command that heals at its third attempt, on the second route.
    fn recover(&mut self) {
        self.started(1, (1, OWN));
        self.failed(1, &[refused("proxy.golang.org"), refused("proxy.golang.org")]);
        self.wait(2, 1200, 2);
        self.started(2, (1, OWN));
        self.failed(2, &[refused("proxy.golang.org")]);
        self.reporter.event(&Event::RouteSwitched {
            from: (1, OWN.into()),
            to: (2, "https://goproxy.cn,direct".into()),
        });
        self.started(3, (2, "https://goproxy.cn,direct"));
        self.finished(3, true);
    }

    /// A command that never heals.
    fn fail(&mut self, attempts: u32) {
        for attempt in 1..=attempts {
            self.started(attempt, (1, OWN));
            self.failed(attempt, &[refused("proxy.golang.org")]);
            if attempt < attempts {
                self.wait(attempt + 1, 1000 * u64::from(attempt), attempts - attempt);
            }
        }
        self.gave_up(GaveUp::TriesSpent, vec![refused("proxy.golang.org")]);
        self.finished(attempts, false);
    }
}

#[test]
fn nothing_is_written_while_nothing_goes_wrong() {
    let mut stage = stage(settings());
    stage.started(1, (1, OWN));
    stage.reporter.event(&Event::UpstreamRequest {
        redirected_to: None,
        route: 1,
        kind: None,
        url: "https://proxy.golang.org/example.com/a/@v/list".into(),
        status: Some(200),
        bytes: 7,
        took: Duration::from_millis(30),
        r#try: 1,
        error: None,
    });
    stage.failed(1, &[]);
    stage.finished(1, true);
    assert_eq!(stage.screen.text(), "");
}

#[test]
fn an_answer_at_the_first_attempt_is_left_to_go() {
    let mut stage = stage(settings());
    stage.started(1, (1, OWN));
    let mut gone = fault(
        FaultKind::NotFound,
        "proxy.golang.org",
        "reading https://…: 404 Not Found",
    );
    gone.verdict = Verdict::Final;
    stage.failed(1, std::slice::from_ref(&gone));
    stage.gave_up(GaveUp::Final, vec![gone]);
    stage.finished(1, false);
    assert_eq!(stage.screen.text(), "");
}

#[test]
fn plain_lines_tell_of_each_wait_and_one_of_success() {
    let mut stage = stage(settings());
    stage.recover();
    insta::assert_snapshot!("recovered_plain", stage.screen.text());
    assert!(!stage.screen.text().contains(['\r', '\x1b']));
}

#[test]
fn on_a_terminal_success_leaves_one_line() {
    let mut stage = live_stage();
    stage.recover();
    let text = stage.screen.text();
    assert_eq!(render(text.as_bytes()).len(), 1, "{text:?}");
    insta::assert_snapshot!("recovered_live", render(text.as_bytes()).join("\n"));
}

#[test]
fn the_live_line_counts_down_and_is_taken_away() {
    let mut stage = live_stage();
    stage.started(1, (1, OWN));
    stage.failed(1, &[refused("proxy.golang.org")]);
    stage.reporter.event(&Event::Backoff {
        attempt: 2,
        wait: Duration::from_millis(2500),
        left: 2,
    });
    assert!(stage.reporter.wants_ticks());
    let shown = |stage: &Stage| render(stage.screen.text().as_bytes()).last().cloned().unwrap();
    assert_eq!(
        shown(&stage),
        "gofix: proxy.golang.org: connection refused; route 1 again in 3s (2 tries left)"
    );
    stage.clock.advance(1000);
    stage.reporter.tick();
    assert_eq!(
        shown(&stage),
        "gofix: proxy.golang.org: connection refused; route 1 again in 2s (2 tries left)"
    );
    let before = stage.screen.text().len();
    stage.reporter.tick();
    assert_eq!(
        stage.screen.text().len(),
        before,
        "an unchanged line is not written again"
    );
    stage.reporter.clear();
    assert_eq!(render(stage.screen.text().as_bytes()), [""]);
    stage.reporter.tick();
    assert!(shown(&stage).contains("again in 2s"));
    stage.started(2, (1, OWN));
    assert!(!stage.reporter.wants_ticks());
    assert_eq!(render(stage.screen.text().as_bytes()), [""]);
}

#[test]
fn the_longest_wait_of_the_relay_is_shown_at_the_next_tick() {
    let wait = |stage: &mut Stage, host: &str, millis| {
        stage.reporter.event(&Event::RequestBackoff {
            url: format!("https://{host}/example.com/a/@v/list"),
            wait: Duration::from_millis(millis),
            left: 7,
            error: "503 Service Unavailable".to_owned(),
        });
    };
    let shown = |stage: &Stage| render(stage.screen.text().as_bytes()).last().cloned();
    for live in [false, true] {
        let mut stage = stage(Settings { live, ..settings() });
        stage.started(1, (1, OWN));
        wait(&mut stage, "short.example", 900);
        stage.reporter.tick();
        wait(&mut stage, "long.example", 3000);
        wait(&mut stage, "other.example", 2000);
        assert_eq!(stage.screen.text(), "", "nothing before the next tick");
        assert_eq!(stage.reporter.wants_ticks(), live);
        stage.clock.advance(1000);
        stage.reporter.tick();
        if !live {
            assert_eq!(stage.screen.text(), "");
            continue;
        }
        let line = "gofix: long.example: 503 Service Unavailable; asking again in 2s (7 tries left)";
        assert_eq!(shown(&stage).as_deref(), Some(line));
        stage.clock.advance(2000);
        stage.reporter.tick();
        assert_eq!(render(stage.screen.text().as_bytes()), [""]);
        assert!(!stage.reporter.wants_ticks());
    }
}

fn fetching(held: u64, silent: u64) -> Progress {
    Progress {
        files: 1,
        received: held,
        leading: Some(Transfer {
            what: "go1.27.0 (linux/amd64)".to_owned(),
            host: "proxy.golang.org".to_owned(),
            held,
            total: Some(70 << 20),
            silent: Duration::from_secs(silent),
        }),
    }
}

/// Where a job is ended that says nothing for long, a line is said each half minute in which go says nothing.
#[test]
fn ci_is_told_every_half_minute_what_is_being_fetched() {
    let mut stage = stage(Settings {
        ci: Ci::Other,
        ..settings()
    });
    stage.started(1, (1, OWN));
    stage.reporter.go_speaks();
    for second in 1..=95 {
        stage.clock.advance(1000);
        stage.reporter.progress(&fetching(second << 19, 0));
        stage.reporter.tick();
        if second == 40 {
            stage.reporter.go_speaks();
        }
    }
    stage.clock.advance(30_000);
    stage.reporter.progress(&fetching(95 << 19, 30));
    stage.finished(1, true);
    assert_eq!(
        stage.screen.text(),
        "gofix: fetching 15.0 MiB of 70.0 MiB, 512.0 KiB/s, 1m50s left: go1.27.0 (linux/amd64)\n\
         gofix: fetching 35.0 MiB of 70.0 MiB, 512.0 KiB/s, 1m10s left: go1.27.0 (linux/amd64)\n\
         gofix: no response from proxy.golang.org for 30s: go1.27.0 (linux/amd64), 47.5 MiB of 70.0 MiB\n"
    );
}

/// The same of a go that asks its servers itself: by git, or without the relay.
#[test]
fn ci_is_told_every_half_minute_that_go_or_its_git_waits() {
    let git = |took: u64| VcsRun {
        name: "git".to_owned(),
        from: Some("https://ann:secret@git.corp.example/lib".to_owned()),
        took: Duration::from_secs(took),
    };
    let mut stage = stage(Settings {
        ci: Ci::Other,
        ..settings()
    });
    stage.started(1, (1, OWN));
    stage.reporter.go_speaks();
    for second in 1..=65 {
        stage.clock.advance(1000);
        stage.reporter.direct(&Direct {
            read: second << 19,
            vcs: (second < 50).then(|| git(second)),
        });
        stage.reporter.tick();
    }
    stage.finished(1, true);
    assert_eq!(
        stage.screen.text(),
        "gofix: git has been running for 30s: https://xxxxx@git.corp.example/lib\n\
         gofix: go has printed nothing for 1m00s and reads 512.0 KiB/s\n"
    );
}

#[test]
fn what_is_fetched_is_shown_from_two_seconds_on_and_never_in_a_pipe() {
    for (live, quiet) in [(true, false), (true, true), (false, false)] {
        let mut stage = stage(Settings {
            live,
            log: if quiet { Log::Quiet } else { Log::Normal },
            ..settings()
        });
        let shown = |stage: &mut Stage, ms, progress: &Progress| {
            stage.clock.advance(ms);
            stage.reporter.progress(progress);
            stage.reporter.tick();
            render(stage.screen.text().as_bytes()).concat()
        };
        assert_eq!(shown(&mut stage, 1900, &fetching(1 << 20, 0)), "");
        let line = shown(&mut stage, 100, &fetching(1 << 20, 4));
        if !live || quiet {
            stage.clock.advance(100_000);
            assert_eq!(shown(&mut stage, 100, &fetching(1 << 20, 104)), "");
            continue;
        }
        assert_eq!(
            line,
            "gofix: no response from proxy.golang.org for 4s: go1.27.0 (linux/amd64), 1.0..."
        );
        assert_eq!(
            shown(&mut stage, 1000, &Progress::default()),
            "",
            "nothing to fetch"
        );
        assert_ne!(shown(&mut stage, 1000, &fetching(2 << 20, 0)), "");
        stage.reporter.go_speaks();
        assert_eq!(render(stage.screen.text().as_bytes()), [""]);
        stage.reporter.tick();
        stage.finished(1, true);
        assert_eq!(render(stage.screen.text().as_bytes()), [""]);
    }
}

#[test]
fn a_narrow_terminal_never_wraps_the_live_line() {
    let (clock, screen) = (FakeClock::default(), Screen::default());
    let narrow = Settings {
        live: true,
        ..settings()
    };
    let mut stage = Stage {
        reporter: Reporter::with(
            narrow,
            Box::new(clock.clone()),
            Box::new(screen.clone()),
            Box::new(|| Some(30)),
        ),
        clock,
        screen,
    };
    stage.started(1, (1, OWN));
    stage.failed(1, &[refused("proxy.golang.org")]);
    stage.reporter.event(&Event::Backoff {
        attempt: 2,
        wait: Duration::from_secs(2),
        left: 1,
    });
    let line = render(stage.screen.text().as_bytes()).pop().unwrap();
    assert_eq!(line.len(), 29, "{line:?}");
}

#[test]
fn giving_up_is_one_screen() {
    let mut stage = stage(Settings {
        log: Log::Quiet,
        ..settings()
    });
    stage.fail(4);
    insta::assert_snapshot!("gave_up", stage.screen.text());
}

/// At most eight lines, whatever the width; each says by its first word what it is.
#[test]
fn giving_up_takes_eight_lines_on_every_width() {
    for columns in [40, 60, 80, 132, 200] {
        let (clock, screen) = (FakeClock::default(), Screen::default());
        let mut stage = Stage {
            reporter: Reporter::with(
                Settings {
                    live: true,
                    ..settings()
                },
                Box::new(clock.clone()),
                Box::new(screen.clone()),
                Box::new(move || Some(columns)),
            ),
            clock,
            screen,
        };
        stage.reporter.set_routes(gofix::report::Routes {
            lists: vec![(1, OWN.into()), (2, "https://goproxy.cn,direct".into())],
            relayed: true,
            narrow: None,
        });
        stage.started(1, (1, OWN));
        for (host, times) in [
            ("proxy.golang.org", 9),
            ("goproxy.cn", 4),
            ("goproxy.io", 3),
            ("aliyun.example", 2),
        ] {
            for r#try in 1..=times {
                stage.reporter.event(&Event::UpstreamRequest {
                    redirected_to: None,
                    route: 1,
                    kind: None,
                    url: format!("https://{host}/example.com/a/@v/list"),
                    status: None,
                    bytes: 0,
                    took: Duration::from_millis(30),
                    r#try,
                    error: Some("dial tcp 192.0.2.1:443: connect: connection refused".to_owned()),
                });
            }
        }
        let mut fault = refused("proxy.golang.org");
        fault.rule = "connect";
        stage.failed(1, std::slice::from_ref(&fault));
        stage.gave_up(GaveUp::TriesSpent, vec![fault]);
        let text = stage.screen.text();
        assert!(text.lines().all(|line| line.starts_with("gofix: ")), "{text}");
        let fits =
            |line: &str| line.len() < columns || line["gofix: ".len()..].trim_start().split(' ').count() == 1;
        assert!(text.lines().all(fits), "{columns}: {text}");
        assert!(text.lines().count() <= 8, "{columns}: {text}");
        let whole = text.replace("\ngofix:   ", " ");
        let words: Vec<&str> = whole
            .lines()
            .map(|line| line["gofix: ".len()..].split(' ').next().unwrap())
            .collect();
        // What a narrow terminal has no room for are the details of what was tried.
        let all = [
            "gave", "likely", "tried:", "tried:", "tried:", "route", "next:", "more:",
        ];
        assert!(columns < 132 || words == all, "{columns}: {text}");
        let needed: Vec<&&str> = words
            .iter()
            .filter(|word| !["tried:", "route"].contains(word))
            .collect();
        assert_eq!(
            needed,
            [&"gave", &"likely", &"next:", &"more:"],
            "{columns}: {text}"
        );
        assert!(
            whole.ends_with("gofix: more: gofix help connection-refused\n"),
            "{text}"
        );
    }
}

#[test]
fn giving_up_is_one_screen_after_many_attempts_too() {
    let mut stage = stage(Settings {
        log: Log::Quiet,
        ..settings()
    });
    stage.fail(150);
    assert!(
        stage.screen.text().lines().count() <= 8,
        "{}",
        stage.screen.text()
    );
    assert!(
        stage
            .screen
            .text()
            .contains("tried: route 1 (your GOPROXY, https://proxy.golang.org,direct), 150 times: "),
        "{}",
        stage.screen.text()
    );
    assert!(
        stage
            .screen
            .text()
            .lines()
            .all(|line| line.starts_with("gofix: "))
    );
}

#[test]
fn interrupted_in_trouble_shows_the_screen_and_without_trouble_nothing() {
    let mut calm = stage(settings());
    calm.started(1, (1, OWN));
    calm.gave_up(GaveUp::Interrupted, vec![]);
    calm.finished(1, false);
    assert_eq!(calm.screen.text(), "");

    let mut troubled = live_stage();
    troubled.started(1, (1, OWN));
    troubled.failed(1, &[refused("proxy.golang.org")]);
    troubled.reporter.event(&Event::Backoff {
        attempt: 2,
        wait: Duration::from_secs(9),
        left: 2,
    });
    troubled.gave_up(GaveUp::Interrupted, vec![]);
    troubled.finished(1, false);
    let lines = render(troubled.screen.text().as_bytes());
    assert!(
        lines[0].starts_with("gofix: gave up on go mod tidy after 1 attempt"),
        "{lines:?}"
    );
}

#[test]
fn outside_text_stays_inside_its_line() {
    let mut stage = stage(settings());
    stage.started(1, (1, "https://user:pass@evil.example\r\n::error::x"));
    let evil = fault(
        FaultKind::Unknown,
        "h\x1b[2J\n::set-env",
        "boom\r\n::error::pwned ##[error] \x07",
    );
    stage.failed(1, &[evil]);
    stage.gave_up(GaveUp::TriesSpent, vec![]);
    stage.finished(1, false);
    let text = stage.screen.text();
    assert!(text.lines().all(|line| line.starts_with("gofix: ")), "{text}");
    assert!(
        !text.contains(['\r', '\x1b', '\x07']) && !text.contains("##[") && !text.contains("pass@"),
        "{text}"
    );
}

#[test]
fn healed_requests_of_the_relay_are_one_line() {
    let mut stage = stage(settings());
    stage.started(1, (1, OWN));
    for n in 1..=3 {
        stage.reporter.event(&Event::UpstreamRequest {
            redirected_to: None,
            route: 1,
            kind: None,
            url: "https://proxy.golang.org/example.com/a/@v/v1.0.0.zip".into(),
            status: None,
            bytes: 0,
            took: Duration::from_millis(30),
            r#try: n,
            error: (n < 3).then(|| "read tcp 10.0.0.1:5: read: connection reset by peer".into()),
        });
    }
    stage.finished(1, true);
    insta::assert_snapshot!("healed_requests", stage.screen.text());
}

#[test]
fn debug_tells_every_step() {
    let mut stage = stage(Settings {
        log: Log::Debug,
        ..settings()
    });
    stage.recover();
    insta::assert_snapshot!("debug", stage.screen.text());
}

#[test]
fn every_step_of_quiet_but_warnings_is_silent() {
    let mut stage = stage(Settings {
        log: Log::Quiet,
        ..settings()
    });
    stage.reporter.event(&Event::Warning {
        text: "config.toml:3: `rotes` is no key".into(),
    });
    stage.recover();
    assert_eq!(
        stage.screen.text(),
        "gofix: warning: config.toml:3: `rotes` is no key\n"
    );
}

#[test]
fn github_gets_one_annotation_and_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let summary = dir.path().join("summary.md");
    for (name, fails) in [("github_recovered", false), ("github_gave_up", true)] {
        let ci = Ci::GitHub {
            summary: Some(summary.clone()),
        };
        let mut stage = stage(Settings { ci, ..settings() });
        if fails {
            stage.fail(2);
        } else {
            stage.recover();
        }
        let text = stage.screen.text();
        let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("::")).collect();
        assert_eq!(commands.len(), 1, "{text}");
        insta::assert_snapshot!(
            name,
            format!(
                "{}\n----\n{}",
                commands[0],
                std::fs::read_to_string(&summary).unwrap()
            )
        );
        std::fs::remove_file(&summary).unwrap();
    }
}

#[test]
fn github_gets_nothing_while_nothing_goes_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let summary = dir.path().join("summary.md");
    let mut stage = stage(Settings {
        ci: Ci::GitHub {
            summary: Some(summary.clone()),
        },
        ..settings()
    });
    stage.started(1, (1, OWN));
    stage.failed(1, &[]);
    stage.finished(1, true);
    assert_eq!(stage.screen.text(), "");
    assert!(!summary.exists());
}

#[test]
fn what_servers_said_cannot_break_out_of_annotation_or_table() {
    let dir = tempfile::tempdir().unwrap();
    let summary = dir.path().join("summary.md");
    let mut stage = stage(Settings {
        ci: Ci::GitHub {
            summary: Some(summary.clone()),
        },
        ..settings()
    });
    stage.started(1, (1, "https://a|b`<img src=x>`[x](javascript:1),direct"));
    stage.failed(1, &[fault(FaultKind::ServerError, "h%0A::error::|<script>", "x")]);
    stage.gave_up(GaveUp::TriesSpent, vec![]);
    stage.finished(1, false);
    let text = stage.screen.text();
    assert_eq!(
        text.lines().filter(|line| line.starts_with("::")).count(),
        1,
        "{text}"
    );
    assert!(text.contains("h%250A"), "{text}");
    let table = std::fs::read_to_string(&summary).unwrap();
    assert!(
        !table.contains("<script") && !table.contains("<img") && !table.contains("]("),
        "{table}"
    );
    let columns: Vec<usize> = table
        .lines()
        .filter(|l| l.starts_with('|'))
        .map(|l| l.matches('|').count())
        .collect();
    assert_eq!(columns, [6, 6, 6], "{table}");
}

#[test]
fn gitlab_gets_a_folded_section() {
    let mut stage = stage(Settings {
        ci: Ci::GitLab,
        ..settings()
    });
    stage.recover();
    let run = stage.reporter.run_id().to_owned();
    insta::assert_snapshot!(
        "gitlab",
        stage
            .screen
            .text()
            .replace(&run, "RUN")
            .replace('\x1b', "ESC")
            .replace('\r', "CR")
    );
}

fn lines_of(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn with_report(path: &Path) -> Settings {
    Settings {
        report: Some(path.to_owned()),
        ..settings()
    }
}

#[test]
fn the_report_has_every_event_with_run_time_and_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.jsonl");
    let mut first = stage(with_report(&path));
    first.recover();
    let mut second = stage(with_report(&path));
    second.fail(2);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let lines = lines_of(&path);
    let runs: std::collections::HashSet<_> = lines.iter().map(|line| line["run"].as_str().unwrap()).collect();
    assert_eq!(runs.len(), 2);
    assert!(
        lines.iter().all(|line| line["attempt"].is_u64()
            && line["time"].as_str().unwrap().starts_with("2026-01-02T03:04:"))
    );
    let mut shown = lines.clone();
    for line in &mut shown {
        line["run"] = "RUN".into();
    }
    let text: Vec<String> = shown.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("report_jsonl", text.join("\n"));
}

#[test]
fn a_report_that_cannot_be_written_is_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    std::fs::write(&target, "").unwrap();
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for path in [
        link,
        fifo,
        dir.path().to_owned(),
        dir.path().join("no/such/dir"),
        PathBuf::from("/dev/full"),
    ] {
        let mut stage = stage(with_report(&path));
        stage.started(1, (1, OWN));
        stage.failed(1, &[]);
        stage.finished(1, true);
        let text = stage.screen.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("gofix: warning: GOFIX_REPORT="), "{text}");
    }
    assert_eq!(
        std::fs::read(&target).unwrap(),
        b"",
        "the target of a link was written"
    );
}

#[test]
fn nothing_is_opened_without_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.jsonl");
    let mut without = stage(settings());
    without.recover();
    assert!(!path.exists());
    let _with = stage(with_report(&path));
    assert!(path.exists());
}

#[test]
fn on_a_real_terminal_the_live_line_is_gone_before_other_text_comes() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let (master, slave): (OwnedFd, OwnedFd) = (pty.master, pty.slave);
    let reader = std::thread::spawn(move || read_until_hangup(&master));
    let live = Settings {
        live: true,
        ..settings()
    };
    let clock = FakeClock::default();
    let sink = std::fs::File::from(slave.try_clone().unwrap());
    let mut stage = Stage {
        reporter: Reporter::with(
            live,
            Box::new(clock.clone()),
            Box::new(sink),
            Box::new(|| Some(80)),
        ),
        clock,
        screen: Screen::default(),
    };
    let mut go = std::fs::File::from(slave);
    stage.started(1, (1, OWN));
    stage.failed(1, &[refused("proxy.golang.org")]);
    stage.reporter.event(&Event::Backoff {
        attempt: 2,
        wait: Duration::from_secs(3),
        left: 2,
    });
    stage.clock.advance(1000);
    stage.reporter.tick();
    stage.reporter.clear();
    go.write_all(b"go: downloading example.com/a v1.0.0\n").unwrap();
    stage.reporter.tick();
    stage.started(2, (1, OWN));
    stage.finished(2, true);
    drop((stage, go));
    let bytes = reader.join().unwrap();
    assert_eq!(
        render(&bytes),
        [
            "go: downloading example.com/a v1.0.0",
            "gofix: go mod tidy succeeded on attempt 2 (1.8s), after proxy.golang.org: connection refused",
        ],
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
}

/// Looks until it is so: there is nothing to wait on for a file.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it did not come to that");
        std::thread::yield_now();
    }
}

fn read_until_hangup(master: &OwnedFd) -> Vec<u8> {
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    // The last close of the other side is EIO here, not an end of file.
    while let Ok(n @ 1..) = nix::unistd::read(master, &mut chunk) {
        got.extend_from_slice(&chunk[..n]);
    }
    got
}

/// What a terminal shows after `bytes`: enough of one for `\r`, `\n` and `ESC [K`.
pub(crate) fn render(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = vec![Vec::new()];
    let mut column = 0;
    let mut rest = text.as_ref();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\x1b[K") {
            lines.last_mut().unwrap().truncate(column);
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => column = 0,
            '\n' => {
                lines.push(Vec::new());
                column = 0;
            }
            c => {
                let line = lines.last_mut().unwrap();
                line.truncate(column.max(line.len()));
                if column < line.len() {
                    line[column] = c;
                } else {
                    line.push(c);
                }
                column += 1;
            }
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines.into_iter().map(|line| line.into_iter().collect()).collect()
}
