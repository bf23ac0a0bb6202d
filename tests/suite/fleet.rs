//! The files of deploy/, each with the program that it is for where there is one (`make test-fleet` gets them), and
//! against what gofix really sends.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use crate::startup::skip;
use crate::support::otlp::{Manner, OtlpServer};
use crate::support::wait::wait_until;
use crate::support::{Sandbox, get, proxy_of, status};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(deploy(file)).unwrap()
}

/// The program that a variable of scripts/test-fleet names; says why where there is none.
pub(crate) fn tool(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        skip(&format!("{variable} names no program (see scripts/test-fleet)"));
    }
    found
}

#[track_caller]
fn expect_success(mut command: Command) {
    let output = command.output().unwrap();
    let words =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
}

/// Every query of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/gofix.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// The words of a text that begin with this.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

/// The names of metrics and of their labels in alerts and dashboard.
fn named() -> BTreeSet<String> {
    let text = read("alerts.yml") + &queries().join("\n");
    let mut names = words(&text, "gofix_");
    names.extend(words(&text, "server_"));
    names.extend(words(&text, "error_"));
    names
}

/// A proxy at which every kind of number has something to count.
fn faulty() -> FaultProxy {
    let catalogue = Catalogue::new().with(Module::new("example.com/a", "v1.0.0").ballast(5000));
    proxy_of(
        catalogue,
        [
            Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).first(1),
            Rule::new(status(503, None)).on(Kind::Info).first(1),
        ],
    )
}

fn sandbox(proxy: &FaultProxy) -> Sandbox {
    Sandbox::new()
        .proxy(proxy)
        .requiring(&[("example.com/a", "v1.0.0")])
}

#[test]
fn alerts_and_dashboard_name_what_gofix_sends() {
    let server = OtlpServer::start(Manner::Answer(200));
    let proxy = faulty();
    let sandbox = sandbox(&proxy).env("OTEL_EXPORTER_OTLP_ENDPOINT", server.url());
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let mut sent = BTreeSet::new();
    let metrics = server.metrics().resource_metrics.into_iter();
    for metric in metrics
        .flat_map(|one| one.scope_metrics)
        .flat_map(|one| one.metrics)
    {
        // As Prometheus writes OpenTelemetry's names.
        let unit = match metric.unit.as_str() {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let name = format!("{}{unit}", metric.name.replace('.', "_"));
        let attributes = match metric.data.unwrap() {
            Data::Sum(sum) => {
                sent.insert(format!("{name}_total"));
                sum.data_points
                    .into_iter()
                    .map(|point| point.attributes)
                    .collect::<Vec<_>>()
            }
            Data::Histogram(histogram) => {
                sent.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
                histogram
                    .data_points
                    .into_iter()
                    .map(|point| point.attributes)
                    .collect()
            }
            other => panic!("{other:?}"),
        };
        let keys = attributes.into_iter().flatten().map(|attribute| attribute.key);
        sent.extend(keys.map(|key| key.replace('.', "_")));
    }
    let unknown: Vec<String> = named().difference(&sent).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?} are named, sent are {sent:?}");
}

#[test]
fn the_alerts_fire_when_they_should() {
    let Some(promtool) = tool("__GOFIX_TEST_PROMTOOL") else {
        return;
    };
    let promtool = |args: &[&str], file: &Path| {
        let mut command = Command::new(&promtool);
        command.args(args).arg(file);
        expect_success(command);
    };
    promtool(&["check", "rules"], &deploy("alerts.yml"));
    promtool(&["test", "rules"], &deploy("alerts_test.yml"));
    promtool(&["check", "config", "--syntax-only"], &deploy("prometheus.yml"));
    // The queries of the dashboard, as rules that only have to be understood.
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<serde_json::Value> = queries()
        .iter()
        .map(|query| query.replace("$__rate_interval", "5m"))
        .map(|query| serde_json::json!({"record": "a", "expr": query}))
        .collect();
    for (at, rule) in rules.iter().enumerate() {
        let file = folder.path().join(format!("{at}.yml"));
        // JSON is YAML.
        let group = serde_json::json!({"groups": [{"name": "dashboard", "rules": [rule]}]});
        fs::write(&file, group.to_string()).unwrap();
        promtool(&["check", "rules"], &file);
    }
}

/// A program that ends with its test.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

/// The sum of all samples of one metric that have this label.
fn sum(page: &str, metric: &str, label: &str) -> f64 {
    let is_it = |line: &&str| line.starts_with(&format!("{metric}{{")) && line.contains(label);
    let samples = page.lines().filter(is_it);
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn a_real_collector_adds_up_what_many_commands_send() {
    const COMMANDS: usize = 6;
    let Some(collector) = tool("__GOFIX_TEST_COLLECTOR") else {
        return;
    };
    let (otlp, metrics) = (free_address(), free_address());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let _daemon = Daemon(
        Command::new(collector)
            .arg("--config")
            .arg(deploy("collector.yaml"))
            .env("GOFIX_OTLP_ADDRESS", &otlp)
            .env("GOFIX_METRICS_ADDRESS", &metrics)
            .env("GOFIX_TRACES_VERBOSITY", "detailed")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    wait_until(|| TcpStream::connect(&otlp).is_ok() && TcpStream::connect(&metrics).is_ok());
    let proxies: Vec<FaultProxy> = (0..COMMANDS).map(|_| faulty()).collect();
    let sandboxes: Vec<Sandbox> = proxies
        .iter()
        .zip(["http/protobuf", "http/json"].iter().cycle())
        .zip(["gzip", "gzip", "none", "none"].iter().cycle())
        .map(|((proxy, protocol), compression)| {
            sandbox(proxy)
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{otlp}"))
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .env("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        })
        .collect();
    // All at once, under the same names.
    let running: Vec<_> = sandboxes
        .iter()
        .map(|sandbox| sandbox.go(&["mod", "download"]).spawn())
        .collect();
    for command in running {
        command.wait().expect_code(0);
    }
    let mut page = String::new();
    wait_until(|| {
        page = get(&metrics, "/metrics").unwrap_or_default();
        sum(&page, "gofix_commands_total", "gofix_outcome=\"recovered\"") >= COMMANDS as f64
    });
    assert_eq!(
        sum(&page, "gofix_commands_total", "") as usize,
        COMMANDS,
        "{page}"
    );
    assert_eq!(
        sum(&page, "gofix_faults_total", "error_type=\"reset\"") as usize,
        COMMANDS,
        "{page}"
    );
    for name in named() {
        assert!(page.contains(&name), "no {name}:\n{page}");
    }
    wait_until(|| {
        let log = fs::read_to_string(&log).unwrap();
        log.matches("Name           : go mod download").count() == COMMANDS
    });
}

/// What the configuration for logs takes to be in a report is there.
#[test]
fn the_reports_are_as_fluent_bit_is_told() {
    let text = read("fluent-bit.yaml");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}"))
            .trim()
            .trim_matches('"')
            .to_owned()
    };
    let proxy = faulty();
    let sandbox = sandbox(&proxy).env("GOFIX_REPORT", "report.jsonl");
    sandbox.go(&["mod", "download"]).output().expect_code(0);
    let report = sandbox.read("report.jsonl");
    let lines: Vec<serde_json::Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(value("time_format:"), "%Y-%m-%dT%H:%M:%S.%LZ");
    let time = value("time_key:");
    let excluded = value("exclude:");
    let (field, events) = excluded.split_once(' ').unwrap();
    let events = regex::Regex::new(events).unwrap();
    for line in &lines {
        let time = line[&time].as_str().unwrap();
        assert!(
            time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(),
            "{time}"
        );
        assert!(line[field].is_string(), "{line}");
    }
    let kept = lines
        .iter()
        .filter(|line| !events.is_match(line[field].as_str().unwrap()));
    assert!((1..lines.len()).contains(&kept.count()), "{excluded}: {report}");

    let Some(fluent_bit) = tool("__GOFIX_TEST_FLUENT_BIT") else {
        return;
    };
    let mut command = Command::new(fluent_bit);
    command
        .args(["--dry-run", "--config"])
        .arg(deploy("fluent-bit.yaml"))
        .env("GOFIX_REPORTS", sandbox.path("project/*.jsonl"))
        .env("GOFIX_POSITIONS", sandbox.path("positions.db"));
    expect_success(command);
}

/// compose.yaml mounts what is there, and its parts find each other.
#[test]
fn the_parts_of_the_composition_find_each_other() {
    let compose = read("compose.yaml");
    let mounts: Vec<(&str, &str)> = compose
        .lines()
        .filter_map(|line| line.split_once("./")?.1.strip_suffix(":ro")?.split_once(':'))
        .collect();
    for (file, _) in &mounts {
        assert!(deploy(file).is_file(), "{file}");
    }
    let inside = |file: &str| {
        let mount = mounts.iter().find(|(known, _)| *known == file);
        mount.unwrap_or_else(|| panic!("{file} is not mounted")).1
    };
    assert!(compose.contains(&format!("--config, {}", inside("collector.yaml"))));
    let collector = read("collector.yaml");
    assert!(collector.contains("-0.0.0.0:4318}") && compose.contains("4318:4318"));
    assert!(collector.contains("-0.0.0.0:8889}") && read("prometheus.yml").contains("[collector:8889]"));
    // Prometheus looks for its rules beside its configuration.
    let folder = |file: &str| Path::new(inside(file)).parent();
    assert_eq!(folder("alerts.yml"), folder("prometheus.yml"));
    assert!(read("prometheus.yml").contains("rule_files: [alerts.yml]"));
    let dashboards = format!("path: {}", folder("grafana/gofix.json").unwrap().display());
    assert!(read("grafana/dashboards.yaml").contains(&dashboards));
    // The two Athens have the same storage and the same lock, as those of `make fleet`.
    for (variable, port) in [
        ("AWS_ENDPOINT: http://", "storage:9000"),
        ("ATHENS_ETCD_ENDPOINTS: ", "lock:2379"),
    ] {
        assert!(compose.contains(&format!("{variable}{port}\n")), "{variable}");
        let (service, _) = port.split_once(':').unwrap();
        assert!(compose.contains(&format!("\n  {service}:\n")), "{service}");
    }
    for athens in ["athens-1", "athens-2"] {
        assert!(
            compose.contains(&format!("\n  {athens}:\n    <<: *athens\n")),
            "{athens}"
        );
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/gofix.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let uid = format!("uid: {}\n", panel["datasource"]["uid"].as_str().unwrap());
        assert!(read("grafana/datasource.yaml").contains(&uid), "{panel}");
    }
}
