//! What is counted. Each invocation sends what it has added (delta temporality), so that the numbers of many short
//! processes can be added up by whoever receives them.

use std::collections::{BTreeMap, HashSet};

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric,
    number_data_point,
};

use super::text;
use crate::diagnose::{FaultKind, Verdict};
use crate::report::event::Event;
use crate::report::story::host_of;
use crate::text::safe;

/// Series kept of one invocation; what would be another is counted under one name, as the specification has it.
const MAX_SERIES: usize = 500;
/// Requests whose fault has been counted, by URL.
const MAX_KNOWN: usize = 1000;

/// The bounds of the histograms, in seconds.
const BOUNDS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
];

/// One thing that is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Instrument {
    Commands,
    CommandDuration,
    Requests,
    RequestDuration,
    Received,
    Retries,
    Faults,
}

impl Instrument {
    /// Name, unit and description.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Commands => ("gofix.commands", "{command}", "Go commands, by how they ended."),
            Self::CommandDuration => ("gofix.command.duration", "s", "How long go commands took."),
            Self::Requests => (
                "gofix.requests",
                "{request}",
                "Requests to module proxies, each try counted.",
            ),
            Self::RequestDuration => (
                "gofix.request.duration",
                "s",
                "How long requests to module proxies took.",
            ),
            Self::Received => ("gofix.received", "By", "Bytes of body that module proxies sent."),
            Self::Retries => (
                "gofix.retries",
                "{try}",
                "Further runs of go, and further tries of requests.",
            ),
            Self::Faults => ("gofix.faults", "{fault}", "Faults, by kind and host."),
        }
    }
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Default)]
struct Buckets {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
    least: Option<f64>,
    most: Option<f64>,
}

/// Everything counted so far.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    counters: BTreeMap<(Instrument, Labels), u64>,
    histograms: BTreeMap<(Instrument, Labels), Buckets>,
    /// Requests that have ended in a fault: go speaks of them once more.
    known: HashSet<String>,
    trouble: bool,
    gave_up: bool,
}

impl Metrics {
    pub(super) fn take(&mut self, event: &Event, command: &str) {
        match event {
            Event::AttemptStarted { attempt, .. } if *attempt > 1 => {
                self.trouble = true;
                self.add(Instrument::Retries, vec![("gofix.retried", "run".to_owned())], 1);
            }
            Event::UpstreamRequest {
                url,
                bytes,
                took,
                route,
                r#try,
                kind,
                error,
                ..
            } => {
                let host = safe(host_of(url));
                let server = || vec![("server.address", host.clone())];
                let mut labels = server();
                labels.push(("gofix.route", route.to_string()));
                if error.is_some() {
                    self.trouble = true;
                    let kind = kind.unwrap_or(FaultKind::Unknown).as_str();
                    labels.push(("error.type", kind.to_owned()));
                    self.fault(kind, &host);
                    if self.known.len() < MAX_KNOWN {
                        self.known.insert(url.clone());
                    }
                }
                self.add(Instrument::Requests, labels, 1);
                self.add(Instrument::Received, server(), *bytes);
                if *r#try > 1 {
                    let mut labels = server();
                    labels.push(("gofix.retried", "request".to_owned()));
                    self.add(Instrument::Retries, labels, 1);
                }
                self.record(Instrument::RequestDuration, server(), took.as_secs_f64());
            }
            Event::Fault { fault, .. } if !matches!(fault.verdict, Verdict::Final | Verdict::Unknown) => {
                self.trouble = true;
                if fault.url.as_ref().is_none_or(|url| !self.known.contains(url)) {
                    let host = fault.host.as_deref().map(safe).unwrap_or_default();
                    self.fault(fault.kind.as_str(), &host);
                }
            }
            Event::GaveUp { .. } => self.gave_up = true,
            Event::Finished { ok, took, .. } => {
                let outcome = match (ok, self.trouble, self.gave_up) {
                    (true, false, _) => "ok",
                    (true, true, _) => "recovered",
                    (false, true, true) => "gave_up",
                    // An answer: the code, or a module that does not exist.
                    (false, ..) => "failed",
                };
                let labels = vec![
                    ("gofix.command", command.to_owned()),
                    ("gofix.outcome", outcome.to_owned()),
                ];
                self.add(Instrument::Commands, labels.clone(), 1);
                self.record(Instrument::CommandDuration, labels, took.as_secs_f64());
            }
            _ => {}
        }
    }

    fn fault(&mut self, kind: &str, host: &str) {
        let labels = vec![
            ("error.type", kind.to_owned()),
            ("server.address", host.to_owned()),
        ];
        self.add(Instrument::Faults, labels, 1);
    }

    fn add(&mut self, instrument: Instrument, labels: Labels, by: u64) {
        *entry(&mut self.counters, instrument, labels) += by;
    }

    fn record(&mut self, instrument: Instrument, labels: Labels, seconds: f64) {
        let buckets = entry(&mut self.histograms, instrument, labels);
        let at = BOUNDS.iter().position(|bound| seconds <= *bound);
        buckets.counts[at.unwrap_or(BOUNDS.len())] += 1;
        buckets.sum += seconds;
        buckets.least = Some(buckets.least.map_or(seconds, |least| least.min(seconds)));
        buckets.most = Some(buckets.most.map_or(seconds, |most| most.max(seconds)));
    }

    /// What was counted between two points in time.
    pub(super) fn into_metrics(self, start: u64, now: u64) -> Vec<Metric> {
        let mut metrics: BTreeMap<Instrument, Metric> = BTreeMap::new();
        for ((instrument, labels), value) in self.counters {
            let point = NumberDataPoint {
                attributes: labels.iter().map(|(key, value)| text(key, value)).collect(),
                start_time_unix_nano: start,
                time_unix_nano: now,
                value: Some(number_data_point::Value::AsInt(
                    i64::try_from(value).unwrap_or(i64::MAX),
                )),
                ..NumberDataPoint::default()
            };
            let empty = || {
                metric::Data::Sum(Sum {
                    data_points: Vec::new(),
                    aggregation_temporality: AggregationTemporality::Delta.into(),
                    is_monotonic: true,
                })
            };
            if let Some(metric::Data::Sum(sum)) = data(&mut metrics, instrument, empty) {
                sum.data_points.push(point);
            }
        }
        for ((instrument, labels), buckets) in self.histograms {
            let point = HistogramDataPoint {
                attributes: labels.iter().map(|(key, value)| text(key, value)).collect(),
                start_time_unix_nano: start,
                time_unix_nano: now,
                count: buckets.counts.iter().sum(),
                sum: Some(buckets.sum),
                bucket_counts: buckets.counts.to_vec(),
                explicit_bounds: BOUNDS.to_vec(),
                // Where these are missing the JSON says null, which collectors refuse.
                min: buckets.least,
                max: buckets.most,
                ..HistogramDataPoint::default()
            };
            let empty = || {
                metric::Data::Histogram(Histogram {
                    data_points: Vec::new(),
                    aggregation_temporality: AggregationTemporality::Delta.into(),
                })
            };
            if let Some(metric::Data::Histogram(histogram)) = data(&mut metrics, instrument, empty) {
                histogram.data_points.push(point);
            }
        }
        metrics.into_values().collect()
    }
}

/// The place of one series; that of the rest where there are too many.
fn entry<T: Default>(
    all: &mut BTreeMap<(Instrument, Labels), T>,
    instrument: Instrument,
    labels: Labels,
) -> &mut T {
    let mut key = (instrument, labels);
    if all.len() >= MAX_SERIES && !all.contains_key(&key) {
        key.1 = vec![("otel.metric.overflow", "true".to_owned())];
    }
    all.entry(key).or_default()
}

fn data(
    metrics: &mut BTreeMap<Instrument, Metric>,
    instrument: Instrument,
    empty: impl FnOnce() -> metric::Data,
) -> Option<&mut metric::Data> {
    let metric = metrics.entry(instrument).or_insert_with(|| {
        let (name, unit, description) = instrument.words();
        Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            data: Some(empty()),
            ..Metric::default()
        }
    });
    metric.data.as_mut()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(host: usize, error: Option<&str>) -> Event {
        Event::UpstreamRequest {
            url: format!("https://h{host}.example/m/@v/list"),
            redirected_to: None,
            status: None,
            bytes: 10,
            took: Duration::from_millis(20),
            route: 1,
            r#try: 1,
            kind: error.map(|_| FaultKind::Reset),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn series_are_bounded_and_nothing_is_lost() {
        let mut metrics = Metrics::default();
        for host in 0..2000 {
            metrics.take(&request(host, None), "go build");
        }
        let metrics = metrics.into_metrics(1, 2);
        let points = |name: &str| {
            let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
            match metric.data.as_ref().unwrap() {
                metric::Data::Sum(sum) => sum.data_points.clone(),
                _ => unreachable!("a counter"),
            }
        };
        let requests = points("gofix.requests");
        assert!(requests.len() <= MAX_SERIES);
        let total: i64 = requests
            .iter()
            .map(|point| match point.value {
                Some(number_data_point::Value::AsInt(value)) => value,
                _ => 0,
            })
            .sum();
        assert_eq!(total, 2000);
    }

    #[test]
    fn a_fault_that_go_repeats_counts_once() {
        let mut metrics = Metrics::default();
        metrics.take(&request(1, Some("reset")), "go build");
        let mut fault = crate::diagnose::Fault::of_words(FaultKind::Reset, Verdict::Retry, "reset");
        fault.url = Some("https://h1.example/m/@v/list".to_owned());
        let event = |fault| Event::Fault { attempt: 1, fault };
        metrics.take(&event(fault.clone()), "go build");
        fault.url = Some("https://git.example/m".to_owned());
        metrics.take(&event(fault), "go build");
        let faults = metrics
            .counters
            .iter()
            .filter(|((instrument, _), _)| *instrument == Instrument::Faults);
        assert_eq!(faults.map(|(_, count)| count).sum::<u64>(), 2);
    }
}
