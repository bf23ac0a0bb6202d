//! The view for OpenTelemetry: what a collector is told of a command, and that no collector can do the command any harm.

use std::collections::HashMap;
use std::fs;

use gofix::faultproxy::{Catalogue, Door, Fault, FaultProxy, Kind, Module, Rule};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use crate::support::otlp::{Manner, OtlpServer, attribute};
use crate::support::{Outcome, Sandbox, proxy_of, status};

const A: &str = "example.com/a";
const REPORT: &str = "report.jsonl";

fn catalogue() -> Catalogue {
    Catalogue::new().with(Module::new(A, "v1.0.0").ballast(5000))
}

/// A project that requires one module of this proxy.
fn sandbox(proxy: &FaultProxy) -> Sandbox {
    Sandbox::new()
        .proxy(proxy)
        .requiring(&[(A, "v1.0.0")])
        .env("GOFIX_RETRY_COUNT", "1")
        .env("GOFIX_REPORT", REPORT)
}

fn told(sandbox: Sandbox, server: &OtlpServer) -> Sandbox {
    sandbox.env("OTEL_EXPORTER_OTLP_ENDPOINT", server.url())
}

fn reset_first_zip() -> Rule {
    Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1)
}

fn of(span: &Span, key: &str) -> Option<String> {
    attribute(&span.attributes, key)
}

/// The spans by what they are: the command, the runs of go, the requests.
fn sorted(spans: Vec<Span>) -> (Span, Vec<Span>, Vec<Span>) {
    let client = i32::from(SpanKind::Client);
    let (requests, rest): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.kind == client);
    let (attempts, mut commands): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|span| span.name == "attempt");
    assert_eq!(commands.len(), 1, "{commands:?}");
    (commands.remove(0), attempts, requests)
}

/// The requests that the report tells of, and how many of them failed.
fn reported(sandbox: &Sandbox) -> (usize, usize) {
    let text = sandbox.read(REPORT);
    let requests: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "upstream_request")
        .collect();
    let failed = requests.iter().filter(|event| !event["error"].is_null());
    (requests.len(), failed.count())
}

#[test]
fn each_kind_of_data_has_variables_of_its_own() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let sandbox = told(sandbox(&proxy), &server)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=both")
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=traces")
        .env("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none");
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let sent: HashMap<String, [Option<String>; 3]> = server
        .posted()
        .into_iter()
        .map(|posted| {
            let headers = ["authorization", "content-type", "content-encoding"];
            let headers = headers.map(|name| posted.header(name).map(str::to_owned));
            (posted.path, headers)
        })
        .collect();
    let headers = |values: [Option<&str>; 3]| values.map(|value| value.map(str::to_owned));
    assert_eq!(
        sent["/v1/traces"],
        headers([Some("traces"), Some("application/x-protobuf"), None])
    );
    assert_eq!(
        sent["/v1/metrics"],
        headers([Some("both"), Some("application/json"), Some("gzip")])
    );
    assert!(!server.spans().is_empty());
    assert_eq!(server.total("gofix.commands", &[]), 1);
}

#[test]
fn grpc_is_refused_in_one_line_that_says_what_works() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let sandbox = told(sandbox(&proxy), &server)
        .env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
        .env("GOFIX_LOG", "debug");
    let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
    let lines: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| {
            line.contains("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc is not supported; use http/protobuf or")
        })
        .collect();
    assert_eq!(lines.len(), 1, "{outcome}");
    assert_eq!(server.total("gofix.commands", &[]), 1);
}

#[test]
fn a_command_is_a_trace_and_metrics() {
    for protocol in ["http/protobuf", "http/json"] {
        let server = OtlpServer::start(Manner::Answer(200));
        let proxy = proxy_of(catalogue(), [reset_first_zip()]);
        let sandbox = told(sandbox(&proxy), &server)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0kn")
            .env("OTEL_RESOURCE_ATTRIBUTES", "team=infra")
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_RUN_ID", "77");
        sandbox.go(&["mod", "download"]).output().expect_code(0);
        for posted in server.posted() {
            assert_eq!(posted.header("authorization"), Some("Bearer t0kn"), "{posted:?}");
        }

        let (command, attempts, requests) = sorted(server.spans());
        assert_eq!(command.name, "go mod download");
        assert_eq!(of(&command, "process.exit.code").as_deref(), Some("0"));
        assert!(command.status.is_none());
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].parent_span_id, command.span_id);
        let (told_of, failed) = reported(&sandbox);
        assert_eq!((requests.len(), failed), (told_of, 1));
        for request in &requests {
            assert_eq!(request.trace_id, command.trace_id);
            assert_eq!(request.parent_span_id, attempts[0].span_id);
            assert_eq!(of(request, "server.address").as_deref(), Some("127.0.0.1"));
            assert_eq!(of(request, "gofix.route").as_deref(), Some("1"));
            assert!(of(request, "url.full").unwrap().starts_with(proxy.url()));
            assert!(command.start_time_unix_nano <= request.start_time_unix_nano);
            assert!(request.start_time_unix_nano <= request.end_time_unix_nano);
            assert!(request.end_time_unix_nano <= command.end_time_unix_nano);
        }
        let bad: Vec<&Span> = requests.iter().filter(|span| span.status.is_some()).collect();
        let [bad] = bad[..] else {
            panic!("not one bad request: {requests:?}");
        };
        let code = i32::from(StatusCode::Error);
        assert_eq!(bad.status.as_ref().unwrap().code, code);
        assert_eq!(of(bad, "error.type").as_deref(), Some("reset"));
        let again = requests
            .iter()
            .filter(|span| of(span, "http.request.resend_count").is_some());
        assert_eq!(again.count(), 1);

        let host = proxy.address().to_string();
        let well = told_of as i64 - 1;
        for (name, labels, count) in [
            ("gofix.requests", &[][..], well + 1),
            ("gofix.requests", &[("error.type", "reset")], 1),
            ("gofix.requests", &[("gofix.route", "1")], well + 1),
            ("gofix.request.duration", &[("server.address", &*host)], well + 1),
            ("gofix.faults", &[], 1),
            (
                "gofix.faults",
                &[("error.type", "reset"), ("server.address", &*host)],
                1,
            ),
            ("gofix.retries", &[("gofix.retried", "request")], 1),
            ("gofix.retries", &[("gofix.retried", "run")], 0),
            ("gofix.commands", &[], 1),
            ("gofix.commands", &[("gofix.outcome", "recovered")], 1),
            (
                "gofix.command.duration",
                &[("gofix.command", "go mod download")],
                1,
            ),
        ] {
            assert_eq!(server.total(name, labels), count, "{name} {labels:?}");
        }
        assert!(server.total("gofix.received", &[]) > 5000);

        let about = server.trace().resource_spans[0]
            .resource
            .clone()
            .unwrap()
            .attributes;
        assert_eq!(attribute(&about, "service.name").as_deref(), Some("gofix"));
        assert_eq!(attribute(&about, "team").as_deref(), Some("infra"));
        assert_eq!(attribute(&about, "cicd.pipeline.run.id").as_deref(), Some("77"));
        let about = server.metrics().resource_metrics[0]
            .resource
            .clone()
            .unwrap()
            .attributes;
        assert_eq!(attribute(&about, "team").as_deref(), Some("infra"));
        assert_eq!(attribute(&about, "cicd.pipeline.run.id"), None);
    }
}

#[test]
fn a_command_that_fails_says_so() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), [Rule::new(status(503, Some("3600"))).on(Kind::Zip)]);
    let sandbox = told(sandbox(&proxy), &server);
    sandbox.go(&["mod", "download"]).output().expect_code(1);
    let (command, attempts, _) = sorted(server.spans());
    assert_eq!(command.status.unwrap().message, "exit status 1");
    assert!(command.events.iter().any(|event| event.name == "gave_up"));
    let fault = attempts
        .iter()
        .flat_map(|span| &span.events)
        .find(|event| event.name == "fault")
        .unwrap();
    let kind = attribute(&fault.attributes, "error.type");
    assert_eq!(kind.as_deref(), Some("server_error"));
    assert_eq!(server.total("gofix.commands", &[("gofix.outcome", "gave_up")]), 1);
    let (_, failed) = reported(&sandbox);
    let counted = server.total("gofix.faults", &[("error.type", "server_error")]);
    assert_eq!(counted, failed as i64, "what go repeats is counted once");
}

/// An answer is no fault, whatever go's exit status is.
#[test]
fn an_answer_is_no_trouble() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let sandbox = told(sandbox(&proxy), &server);
    let missing = format!("{A}@v9.9.9");
    sandbox.go(&["mod", "download", &missing]).output().expect_code(1);
    assert_eq!(server.total("gofix.commands", &[("gofix.outcome", "failed")]), 1);
    assert_eq!(server.total("gofix.faults", &[]), 0);
}

#[test]
fn the_route_of_a_request_is_told() {
    let server = OtlpServer::start(Manner::Answer(200));
    let dead = FaultProxy::builder(catalogue())
        .door(Door::Refuse)
        .start()
        .unwrap();
    let second = proxy_of(catalogue(), []);
    let routes = format!("{};{}", dead.url(), second.url());
    let sandbox = told(sandbox(&dead), &server)
        .env("GOSUMDB", "off")
        .env("GOFIX_ROUTES", routes);
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let (_, _, requests) = sorted(server.spans());
    for request in requests {
        let (url, route) = (of(&request, "url.full").unwrap(), of(&request, "gofix.route"));
        let expected = if url.starts_with(dead.url()) { "1" } else { "2" };
        assert_eq!(route.as_deref(), Some(expected), "{url}");
        assert_eq!(of(&request, "error.type").is_some(), expected == "1", "{url}");
    }
    assert!(server.total("gofix.requests", &[("gofix.route", "1")]) > 0);
    assert!(server.total("gofix.requests", &[("gofix.route", "2")]) > 0);
}

#[test]
fn the_trace_is_part_of_the_callers() {
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let sandbox = told(sandbox(&proxy), &server).env("TRACEPARENT", format!("{caller}01"));
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let (command, ..) = sorted(server.spans());
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
    assert_eq!(command.trace_id, trace.to_be_bytes());
    assert_eq!(command.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());

    // One that is not recorded.
    let server = OtlpServer::start(Manner::Answer(200));
    let sandbox = told(sandbox, &server).env("TRACEPARENT", format!("{caller}00"));
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let paths: Vec<String> = server.posted().into_iter().map(|posted| posted.path).collect();
    assert_eq!(paths, ["/v1/metrics"]);
}

/// The prefetch of a command that then runs in gofix's place.
#[test]
fn a_prefetch_is_told_before_the_command_runs() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let sandbox = told(sandbox(&proxy), &server).shared_build_cache();
    sandbox.write("go.sum", catalogue().go_sum());
    sandbox.go(&["run", "."]).output().expect_code(0);
    let (command, ..) = sorted(server.spans());
    assert_eq!(command.name, "go run");
    assert!(server.total("gofix.requests", &[]) > 0);
}

#[test]
fn nothing_is_sent_that_is_not_asked_for() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = proxy_of(catalogue(), []);
    let variables = HashMap::from([
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    for (name, value) in variables {
        let sandbox = told(sandbox(&proxy), &server).env(name, value);
        let outcome = sandbox.go(&["mod", "download"]).output().expect_code(0);
        assert_eq!(outcome.stderr, "", "{name}");
    }
    let none = [
        ("OTEL_TRACES_EXPORTER", "/v1/metrics"),
        ("OTEL_METRICS_EXPORTER", "/v1/traces"),
    ];
    assert!(server.posted().is_empty());
    for (name, path) in none {
        let server = OtlpServer::start(Manner::Answer(200));
        let sandbox = told(sandbox(&proxy), &server).env(name, "none");
        sandbox.go(&["mod", "download"]).output().expect_code(0);
        let paths: Vec<String> = server.posted().into_iter().map(|posted| posted.path).collect();
        assert_eq!(paths, [path]);
    }
}

fn said(sandbox: &Sandbox, outcome: &Outcome) -> (Option<i32>, String, String) {
    let stdout = sandbox.without_place(&outcome.stdout);
    (outcome.code(), stdout, sandbox.without_place(&outcome.stderr))
}

#[test]
fn no_collector_does_a_command_any_harm() {
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", free.local_addr().unwrap())
    };
    let manners = [
        Some(Manner::Answer(500)),
        Some(Manner::Vanish),
        Some(Manner::Stall),
        // Nobody listens.
        None,
    ];
    let proxy = proxy_of(catalogue(), []);
    let missing = format!("{A}@v9.9.9");
    for args in [
        &["list", "-m", "-json", "all"][..],
        &["mod", "download", &missing],
    ] {
        let alone = sandbox(&proxy);
        let plain = alone.go(args).output();
        for manner in manners {
            let server = manner.map(OtlpServer::start);
            let url = server.as_ref().map_or_else(|| closed.clone(), OtlpServer::url);
            let sandbox = sandbox(&proxy).env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
            let outcome = sandbox.go(args).output();
            assert_eq!(said(&sandbox, &outcome), said(&alone, &plain), "{manner:?}");
            if let Some(server) = &server {
                server.wait_for(2);
            }

            let sandbox = sandbox.env("GOFIX_LOG", "debug");
            let outcome = sandbox.go(args).output();
            assert_eq!(outcome.code(), plain.code(), "{manner:?}: {outcome}");
            let lines = outcome.gofix_lines();
            let lines = lines.iter().filter(|line| line.contains("export_failed"));
            assert_eq!(lines.count(), 1, "{manner:?}: {outcome}");
            let report = fs::read_to_string(sandbox.project().join(REPORT)).unwrap();
            assert!(report.contains("\"export_failed\""), "{report}");
        }
    }
}
