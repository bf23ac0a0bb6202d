//! The view for OpenTelemetry: the invocation as a trace and as metrics, posted when it ends.
//!
//! Nothing is kept and nothing is asked for unless the variables say where to. What is kept is bounded, what is shown
//! has gone through the same redaction as everywhere, and a delivery is one post for each kind of data, which together
//! have a second. It is not tried again: a fleet must not add load to a collector that is in trouble.
//!
//! Known limitations: commands that are passed through or carried without a prefetch are in
//! no trace.

mod metrics;
mod place;
mod settings;
mod trace;

use std::io::Write as _;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use serde::Serialize;

use settings::Delivery;
pub use settings::Settings;

use crate::net::environment::Environment;
use crate::net::post::{Post, PostError};
use crate::report::event::Event;
use crate::text::{redact_queries, safe};
use metrics::Metrics;
use place::Pairs;
use trace::Trace;

/// The version of the semantic conventions that the names are those of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// What is gathered for one delivery.
#[derive(Debug)]
pub(super) struct Export {
    settings: Settings,
    trace: Trace,
    metrics: Metrics,
    command: String,
    /// When the command began, in nanoseconds since 1970.
    began: u64,
    /// Something has run: there is something to tell.
    started: bool,
}

impl Export {
    pub(super) fn new(settings: Settings, command: &str, run: &str, began: u64) -> Self {
        Self {
            trace: Trace::new(settings.parent, command, run, began),
            metrics: Metrics::default(),
            command: safe(command),
            settings,
            began,
            started: false,
        }
    }

    pub(super) fn take(&mut self, event: &Event, now: u64) {
        self.started |= matches!(event, Event::AttemptStarted { .. });
        if self.settings.traces.is_some() {
            self.trace.take(event, now);
        }
        if self.settings.metrics.is_some() {
            self.metrics.take(event, &self.command);
        }
    }

    /// Delivers everything, or says why it cannot.
    pub(super) async fn deliver(self, environment: &Environment, now: u64) -> Result<(), ExportError> {
        let Self {
            settings,
            trace,
            metrics,
            command: _,
            began,
            started,
        } = self;
        if !started {
            return Ok(());
        }
        let scope = Some(InstrumentationScope {
            name: "gofix".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        });
        let place = [settings.resource.clone(), settings.place.clone()].concat();
        let traces = || ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource(&place)),
                scope_spans: vec![ScopeSpans {
                    scope: scope.clone(),
                    spans: trace.into_spans(now),
                    schema_url: SCHEMA.to_owned(),
                }],
                schema_url: SCHEMA.to_owned(),
            }],
        };
        let metrics = || ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(resource(&settings.resource)),
                scope_metrics: vec![ScopeMetrics {
                    scope: scope.clone(),
                    metrics: metrics.into_metrics(began, now),
                    schema_url: SCHEMA.to_owned(),
                }],
                schema_url: SCHEMA.to_owned(),
            }],
        };
        let (traces, metrics) = tokio::join!(
            send(settings.traces.as_ref(), traces, environment),
            send(settings.metrics.as_ref(), metrics, environment)
        );
        traces.and(metrics)?;
        settings.refused.map_or(Ok(()), |why| Err(why.into()))
    }
}

/// Why something could not be delivered; without secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Settings(#[from] settings::Unusable),
    #[error("the body cannot be compressed: {0}")]
    Gzip(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("no answer in {0:?}")]
    Late(std::time::Duration),
    #[error("{server}: answered {status}")]
    Status { server: String, status: u16 },
    #[error("{server}: {why}")]
    Post { server: String, why: PostError },
}

async fn send<M: Message + Serialize>(
    delivery: Option<&Delivery>,
    message: impl FnOnce() -> M,
    environment: &Environment,
) -> Result<(), ExportError> {
    let Some(delivery) = delivery else { return Ok(()) };
    let (content_type, mut body) = match delivery.json {
        true => ("application/json", serde_json::to_vec(&message())?),
        false => ("application/x-protobuf", message().encode_to_vec()),
    };
    let mut headers = delivery.headers.clone();
    if delivery.gzip {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&body)?;
        body = encoder.finish()?;
        headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
    let (url, limit) = (&delivery.url, delivery.limit);
    let post = Post {
        url,
        content_type,
        headers: &headers,
        body,
    };
    // A key may stand in the path or behind it.
    let server = safe(&format!("{}://{}", url.scheme.as_str(), url.authority));
    match tokio::time::timeout(limit, post.send(environment, limit)).await {
        Err(_) => Err(ExportError::Late(limit)),
        Ok(Ok(200..=299)) => Ok(()),
        Ok(Ok(status)) => Err(ExportError::Status { server, status }),
        Ok(Err(why)) => Err(ExportError::Post { server, why }),
    }
}

fn resource(pairs: &Pairs) -> Resource {
    Resource {
        attributes: pairs.iter().map(|(key, value)| text(key, value)).collect(),
        ..Resource::default()
    }
}

fn text(key: &str, value: impl AsRef<str>) -> KeyValue {
    let value = redact_queries(&safe(value.as_ref()));
    attribute(key, any_value::Value::StringValue(value))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
