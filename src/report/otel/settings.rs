//! What the variables of OpenTelemetry ask for.

use std::fmt;
use std::time::Duration;

use super::place::{self, Pairs};
use crate::env_vars::{
    OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_EXPORTER_OTLP_METRICS_COMPRESSION, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_HEADERS, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
    OTEL_METRICS_EXPORTER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED, OTEL_SERVICE_NAME,
    OTEL_TRACES_EXPORTER, TRACEPARENT,
};
use crate::go::env::Lookup;
use crate::net::url::Url;
use crate::text::{percent_decode, safe};

/// The longest that a command may end later because of a delivery.
const LIMIT: Duration = Duration::from_secs(1);

/// What is exported, and where to.
#[derive(Clone)]
pub struct Settings {
    pub(super) traces: Option<Delivery>,
    pub(super) metrics: Option<Delivery>,
    /// What the data is about.
    pub(super) resource: Pairs,
    /// The job of a CI system and this machine: on traces only, since each would be a time series of its own.
    pub(super) place: Pairs,
    pub(super) parent: Option<Parent>,
    /// Why one of them, or both, cannot be exported.
    pub(super) refused: Option<Unusable>,
}

/// How one kind of data is delivered.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) url: Url,
    pub(super) json: bool,
    pub(super) gzip: bool,
    pub(super) headers: Pairs,
    pub(super) limit: Duration,
}

/// Why something cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::report) enum Unusable {
    #[error(
        "{name}={value} is not supported; use http/protobuf or http/json, with the HTTP port of the collector (4318)"
    )]
    Protocol { name: &'static str, value: String },
    #[error("the endpoint is no http or https URL")]
    Endpoint,
}

/// Headers hold secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// The span of somebody else's that this invocation is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) sampled: bool,
}

impl Settings {
    /// Reads the variables; `None` where nothing is to be exported.
    pub(crate) fn detect(env: Lookup<'_>) -> Option<Self> {
        let text = |name: &str| {
            let value = env(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let is_set = |signal: &Signal| {
            let own = signal.endpoint.iter().any(|name| text(name).is_some());
            own && text(signal.exporter)
                .is_none_or(|value| value.split(',').any(|word| word.trim() == "otlp"))
        };
        if text(OTEL_SDK_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let parent = text(TRACEPARENT).and_then(|value| Parent::parse(&value));
        // A trace that its parent does not record is not recorded here.
        let traces = (is_set(&TRACES) && parent.is_none_or(|parent| parent.sampled))
            .then(|| Delivery::of(&TRACES, &text));
        let metrics = is_set(&METRICS).then(|| Delivery::of(&METRICS, &text));
        if traces.is_none() && metrics.is_none() {
            return None;
        }
        let mut resource = vec![
            ("service.name".to_owned(), "gofix".to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        for (key, value) in pairs(&text(OTEL_RESOURCE_ATTRIBUTES).unwrap_or_default()) {
            set(&mut resource, key, &value);
        }
        if let Some(name) = text(OTEL_SERVICE_NAME) {
            set(&mut resource, "service.name".to_owned(), &name);
        }
        let mut refused = None;
        let mut usable = |delivery: Option<Result<Delivery, Unusable>>| match delivery? {
            Ok(delivery) => Some(delivery),
            Err(why) => {
                refused.get_or_insert(why);
                None
            }
        };
        Some(Self {
            traces: usable(traces),
            metrics: usable(metrics),
            resource,
            place: place::of(&text),
            parent,
            refused,
        })
    }
}

/// The variables for one kind of data: each of its own, and behind that the one for both.
struct Signal {
    exporter: &'static str,
    /// Where the endpoint for both is asked.
    path: &'static str,
    endpoint: [&'static str; 2],
    protocol: [&'static str; 2],
    headers: [&'static str; 2],
    timeout: [&'static str; 2],
    compression: [&'static str; 2],
}

const TRACES: Signal = Signal {
    exporter: OTEL_TRACES_EXPORTER,
    path: "v1/traces",
    endpoint: [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT],
    protocol: [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL],
    headers: [OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS],
    timeout: [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT],
    compression: [
        OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,
        OTEL_EXPORTER_OTLP_COMPRESSION,
    ],
};

const METRICS: Signal = Signal {
    exporter: OTEL_METRICS_EXPORTER,
    path: "v1/metrics",
    endpoint: [OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT],
    protocol: [OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL],
    headers: [OTEL_EXPORTER_OTLP_METRICS_HEADERS, OTEL_EXPORTER_OTLP_HEADERS],
    timeout: [OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT],
    compression: [
        OTEL_EXPORTER_OTLP_METRICS_COMPRESSION,
        OTEL_EXPORTER_OTLP_COMPRESSION,
    ],
};

impl Delivery {
    fn of(signal: &Signal, text: &dyn Fn(&str) -> Option<String>) -> Result<Self, Unusable> {
        let first = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| text(name).map(|value| (name, value)))
        };
        let json = match first(signal.protocol) {
            None => false,
            Some((name, value)) => match value.as_str() {
                "http/protobuf" => false,
                "http/json" => true,
                _ => {
                    return Err(Unusable::Protocol {
                        name,
                        value: safe(&value),
                    });
                }
            },
        };
        // The endpoint of its own is asked as it stands, the common one below itself.
        let url = match signal.endpoint.map(text) {
            [Some(own), _] => Url::parse(&own),
            [None, common] => Url::parse(&common.unwrap_or_default()).map(|base| base.below(signal.path)),
        };
        Ok(Self {
            url: url.map_err(|_| Unusable::Endpoint)?,
            json,
            gzip: first(signal.compression).is_some_and(|(_, value)| value == "gzip"),
            headers: first(signal.headers).map_or_else(Pairs::new, |(_, value)| pairs(&value)),
            limit: first(signal.timeout)
                .and_then(|(_, ms)| ms.parse().ok())
                .map_or(LIMIT, |ms| Duration::from_millis(ms).min(LIMIT)),
        })
    }
}

/// `KEY=VALUE,KEY=VALUE` with the values percent-encoded, as in W3C Baggage.
fn pairs(text: &str) -> Pairs {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let key = key.trim();
        let value = percent_decode(value).unwrap_or_else(|| value.to_owned());
        (!key.is_empty()).then(|| (key.to_owned(), value))
    };
    text.split(',').filter_map(pair).collect()
}

fn set(pairs: &mut Pairs, key: String, value: &str) {
    let value = safe(value);
    match pairs.iter_mut().find(|(known, _)| *known == key) {
        Some((_, old)) => *old = value,
        None => pairs.push((key, value)),
    }
}

impl Parent {
    /// The header of W3C Trace Context: `00-TRACE-SPAN-FLAGS`.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut number = |length: usize| {
            let field = fields.next()?;
            let is_hex = field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (field.len() == length && is_hex).then_some(field)
        };
        let (version, trace, span, flags) = (number(2)?, number(32)?, number(16)?, number(2)?);
        let is_last = fields.next().is_none();
        let parent = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        // Later versions may say more.
        let is_known = version != "ff" && (version != "00" || is_last);
        (is_known && parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(env: &[(&str, &str)]) -> Option<Settings> {
        Settings::detect(&|name| {
            let value = env.iter().find(|(known, _)| *known == name)?;
            Some(value.1.into())
        })
    }

    #[test]
    fn nothing_is_exported_unless_somebody_says_where_to() {
        let to = (OTEL_EXPORTER_OTLP_ENDPOINT, "http://127.0.0.1:4318");
        assert!(detect(&[]).is_none());
        assert!(detect(&[(OTEL_EXPORTER_OTLP_ENDPOINT, ""), (OTEL_SERVICE_NAME, "x")]).is_none());
        assert!(detect(&[to, (OTEL_SDK_DISABLED, "True")]).is_none());
        assert!(detect(&[to, (OTEL_SDK_DISABLED, "1")]).is_some());
        let none = [
            to,
            (OTEL_TRACES_EXPORTER, "none"),
            (OTEL_METRICS_EXPORTER, "none"),
        ];
        assert!(detect(&none).is_none());
        let traces = detect(&none[..2]).unwrap();
        assert!(traces.traces.is_none() && traces.metrics.is_some());
    }

    #[test]
    fn where_it_goes() {
        let shown = |env: &[(&str, &str)]| {
            let settings = detect(env).unwrap();
            [settings.traces, settings.metrics]
                .map(|delivery| delivery.map_or_else(String::new, |delivery| delivery.url.redacted()))
        };
        assert_eq!(
            shown(&[(OTEL_EXPORTER_OTLP_ENDPOINT, "https://h/otlp/")]),
            ["https://h/otlp/v1/traces", "https://h/otlp/v1/metrics"]
        );
        let own = (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, "http://t:1/x");
        assert_eq!(shown(&[own]), ["http://t:1/x", ""]);
        assert_eq!(
            shown(&[own, (OTEL_EXPORTER_OTLP_ENDPOINT, "http://h:4318")]),
            ["http://t:1/x", "http://h:4318/v1/metrics"]
        );
    }

    #[test]
    fn what_cannot_be_done_is_known() {
        let to = (OTEL_EXPORTER_OTLP_ENDPOINT, "http://h:4317");
        let refused = |env: &[(&str, &str)]| detect(env).unwrap().refused;
        assert_eq!(refused(&[to]), None);
        assert!(refused(&[to, (OTEL_EXPORTER_OTLP_PROTOCOL, "grpc")]).is_some());
        assert!(refused(&[(OTEL_EXPORTER_OTLP_ENDPOINT, "h:4317")]).is_some());
        // The other kind of data goes all the same.
        let one = detect(&[to, (OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, "grpc")]).unwrap();
        assert!(one.traces.is_some() && one.metrics.is_none());
        let words = one.refused.unwrap().to_string();
        assert!(
            words.starts_with("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc is not supported; use http/protobuf"),
            "{words}"
        );
    }

    #[test]
    fn what_is_said_of_one_kind_of_data_holds_for_it_alone() {
        let settings = detect(&[
            (OTEL_EXPORTER_OTLP_ENDPOINT, "http://h"),
            (OTEL_EXPORTER_OTLP_PROTOCOL, "grpc"),
            (OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, "http/json"),
            (OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, "http/protobuf"),
            (OTEL_EXPORTER_OTLP_HEADERS, "a=b"),
            (OTEL_EXPORTER_OTLP_TRACES_HEADERS, "c=d"),
            (OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, "300"),
            (OTEL_EXPORTER_OTLP_TRACES_COMPRESSION, "gzip"),
        ])
        .unwrap();
        let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
        assert_eq!(settings.refused, None);
        assert_eq!((traces.json, metrics.json), (true, false));
        assert_eq!((traces.gzip, metrics.gzip), (true, false));
        assert_eq!(traces.headers, [("c".to_owned(), "d".to_owned())]);
        assert_eq!(metrics.headers, [("a".to_owned(), "b".to_owned())]);
        assert_eq!([traces.limit, metrics.limit], [LIMIT, Duration::from_millis(300)]);
    }

    #[test]
    fn lists_of_pairs() {
        let settings = detect(&[
            (OTEL_EXPORTER_OTLP_ENDPOINT, "http://h"),
            (OTEL_EXPORTER_OTLP_HEADERS, "authorization=Bearer%20x, a = b ,=,c"),
            (OTEL_RESOURCE_ATTRIBUTES, "service.name=one,team=build%2Cinfra"),
            (OTEL_SERVICE_NAME, "two"),
            (OTEL_EXPORTER_OTLP_TIMEOUT, "10000"),
        ])
        .unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let traces = settings.traces.as_ref().unwrap();
        assert_eq!(
            traces.headers,
            [pair("authorization", "Bearer x"), pair("a", "b")]
        );
        assert!(settings.resource.contains(&pair("service.name", "two")));
        assert!(settings.resource.contains(&pair("team", "build,infra")));
        assert_eq!(traces.limit, LIMIT);
    }

    #[test]
    fn parents() {
        let parent = Parent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(parent.unwrap().span, 0xb7ad_6b71_6920_3331);
        assert!(parent.unwrap().sampled);
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }
}
