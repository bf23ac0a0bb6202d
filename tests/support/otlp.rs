//! A server that takes OTLP over HTTP/1.1 on loopback, decodes it, and can be told to misbehave.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// What it does with a request that it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answer(u16),
    /// Says nothing and keeps the connection.
    Stall,
    /// Ends the connection without an answer.
    Vanish,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    fn decoded<M: Message + Default + serde::de::DeserializeOwned>(&self) -> M {
        let body = match self.header("content-encoding") {
            Some("gzip") => {
                let mut body = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&*self.body);
                decoder.read_to_end(&mut body).expect("gzip");
                body
            }
            None => self.body.clone(),
            other => panic!("content encoding {other:?}"),
        };
        match self.header("content-type") {
            Some("application/x-protobuf") => M::decode(&*body).expect("protobuf"),
            Some("application/json") => serde_json::from_slice(&body).expect("OTLP in JSON"),
            other => panic!("content type {other:?}"),
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    posted: Mutex<Vec<Posted>>,
    more: Condvar,
}

/// A server with a thread of its own; the port closes when it is dropped.
#[derive(Debug)]
pub(crate) struct OtlpServer {
    address: SocketAddr,
    taken: Arc<Taken>,
    ended: Arc<Mutex<bool>>,
}

impl OtlpServer {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            taken: Arc::default(),
            ended: Arc::default(),
        };
        let (taken, ended) = (Arc::clone(&server.taken), Arc::clone(&server.ended));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *ended.lock().expect("no panic") {
                    return;
                }
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || serve(stream, manner, &taken));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was posted; the requests of commands that have ended are among them.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.taken.posted.lock().expect("no panic").clone()
    }

    /// Waits until so many requests have come.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Posted> {
        let posted = self.taken.posted.lock().expect("no panic");
        let waited = self
            .taken
            .more
            .wait_timeout_while(posted, super::wait::LIMIT, |posted| posted.len() < count);
        let (posted, _) = waited.expect("no panic");
        assert!(posted.len() >= count, "{} of {count} requests", posted.len());
        posted.clone()
    }

    fn at(&self, path: &str) -> Vec<Posted> {
        let posted = self.posted().into_iter();
        posted.filter(|posted| posted.path == path).collect()
    }

    /// The only trace that came.
    pub(crate) fn trace(&self) -> ExportTraceServiceRequest {
        let [one] = &self.at("/v1/traces")[..] else {
            panic!("not one trace: {:?}", self.posted());
        };
        one.decoded()
    }

    /// Its spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.trace().resource_spans.into_iter();
        resources
            .flat_map(|one| one.scope_spans)
            .flat_map(|one| one.spans)
            .collect()
    }

    /// The only metrics that came.
    pub(crate) fn metrics(&self) -> ExportMetricsServiceRequest {
        let [one] = &self.at("/v1/metrics")[..] else {
            panic!("not one set of metrics: {:?}", self.posted());
        };
        one.decoded()
    }

    /// What a counter or the count of a histogram adds up to, over the points that have these attributes.
    pub(crate) fn total(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let has = |attributes: &[KeyValue]| {
            labels
                .iter()
                .all(|(key, value)| attribute(attributes, key).as_deref() == Some(value))
        };
        let value = |metric: Metric| -> i64 {
            match metric.data.expect("data") {
                Data::Sum(sum) => sum
                    .data_points
                    .iter()
                    .filter(|point| has(&point.attributes))
                    .map(|point| match point.value {
                        Some(number_data_point::Value::AsInt(value)) => value,
                        _ => panic!("no whole number"),
                    })
                    .sum(),
                Data::Histogram(histogram) => histogram
                    .data_points
                    .iter()
                    .filter(|point| has(&point.attributes))
                    .map(|point| i64::try_from(point.count).expect("a small number"))
                    .sum(),
                other => panic!("{other:?}"),
            }
        };
        let metrics = self.metrics().resource_metrics.into_iter();
        metrics
            .flat_map(|one| one.scope_metrics)
            .flat_map(|one| one.metrics)
            .filter(|metric| metric.name == name)
            .map(value)
            .sum()
    }
}

impl Drop for OtlpServer {
    fn drop(&mut self) {
        *self.ended.lock().expect("no panic") = true;
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, manner: Manner, taken: &Taken) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut posted = Posted {
        path,
        headers,
        body: Vec::new(),
    };
    posted
        .body
        .resize(posted.header("content-length")?.parse().ok()?, 0);
    reader.read_exact(&mut posted.body).ok()?;
    taken.posted.lock().ok()?.push(posted);
    taken.more.notify_all();
    match manner {
        Manner::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} so\r\ncontent-length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).ok()?;
        }
        // Until the other side gives up.
        Manner::Stall => drop(reader.read(&mut [0])),
        Manner::Vanish => {}
    }
    Some(())
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
