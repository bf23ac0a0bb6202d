//! Every variable that gofix reads, declared once with its documentation.
//!
//! The reference table of `docs/configuration.md`, the section of the man page and `gofix config show` are made from [`ALL`],
//! so a variable that is not declared here does not exist for anybody. An empty value counts as unset, as it does for Go's
//! own variables. Variables of the tests (`__GOFIX_TEST_*`) are no part of the interface and are not listed.
//!
//! Known limitations: the shim is a crate of its own without dependencies and spells `GOFIX` and `GOFIX_GO` by itself.

/// One variable: what it may hold and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// What it may hold, as the reference shows it.
    pub values: &'static str,
    /// What holds where it is unset, as the reference shows it; empty where that is "nothing".
    pub default: &'static str,
    /// The key of the configuration files that says the same, if there is one.
    pub key: Option<&'static str>,
    /// The documentation: whole sentences, Markdown.
    pub doc: &'static str,
}

macro_rules! variables {
    ($( $(#[doc = $doc:literal])+ $name:ident { values: $values:literal, default: $default:literal, key: $key:expr } )+) => {
        $( $(#[doc = $doc])+ pub const $name: &str = stringify!($name); )+

        /// Every variable of gofix's own, in the order of the reference.
        pub const ALL: &[Variable] = &[
            $( Variable {
                name: $name,
                values: $values,
                default: $default,
                key: $key,
                doc: concat!($($doc),+),
            } ),+
        ];
    };
}

variables! {
    /// `off`, `0` or `false` switches gofix off: the shim runs the real go and does nothing else.
    /// The file `/etc/gofix/off` does the same for a whole machine.
    GOFIX { values: "`off`, `0`, `false`", default: "on", key: None }

    /// The real go, as an absolute path. If unset, it is the first `go` after the shim in PATH.
    GOFIX_GO { values: "absolute path", default: "found in PATH", key: None }

    /// The user's configuration file, as an absolute path, instead of the one in the XDG folder.
    /// With `off`, no user file is read.
    GOFIX_CONFIG { values: "absolute path, `off`", default: "`~/.config/gofix/config.toml`", key: None }

    /// The routes to use after the user's own GOPROXY, in order: GOPROXY lists or `preset:NAME`, separated by `;`.
    /// They replace the routes in the files.
    GOFIX_ROUTES { values: "`LIST;LIST`", default: "none", key: Some("routes") }

    /// How often go is run again on one route after a fault.
    GOFIX_RETRY_COUNT { values: "0 to 100", default: "3", key: Some("retry_count") }

    /// The connect timeout of the relay and of `gofix doctor`, in milliseconds, for each address of a host.
    GOFIX_TIMEOUT_MS { values: "100 to 600000", default: "5000", key: Some("timeout_ms") }

    /// The stall timeout, in milliseconds: if go reads and prints nothing for this long, it is stopped and run again.
    GOFIX_STALL_MS { values: "100 to 86400000", default: "30000", key: Some("stall_ms") }

    /// The time limit for the whole command: runs of go, waits and locks. No retries start after it; a transfer in progress may finish.
    /// A duration as Go writes it (`10m`, `1h30m`, `90s`) or plain seconds.
    GOFIX_BUDGET { values: "duration or seconds, 1s to 24h", default: "10m", key: Some("budget") }

    /// What may be repaired: nothing, damaged module versions, or everything
    /// (`all` runs `go clean -modcache` before the next attempt).
    GOFIX_REPAIR { values: "`off`, `module`, `all`", default: "`module`", key: Some("repair") }

    /// Whether gofix runs a relay, a GOPROXY server on loopback, between go and the proxies while a command runs.
    GOFIX_RELAY { values: "`off`, `on`, `auto`", default: "`auto`", key: Some("relay") }

    /// Whether later routes may be used: with `auto`, only if every proxy in the user's own GOPROXY is public or is listed
    /// in the routes; with `always`, whatever that GOPROXY contains; with `never`, not at all.
    GOFIX_WIDEN { values: "`auto`, `always`, `never`", default: "`auto`", key: Some("widen") }

    /// A file to which every event is appended, one JSON object per line; `gofix report` reads it.
    GOFIX_REPORT { values: "path", default: "none", key: Some("report") }

    /// How much gofix prints: `quiet` only warnings and the summary after giving up, `debug` every step.
    GOFIX_LOG { values: "`quiet`, `normal`, `debug`", default: "`normal`", key: Some("log") }
}

macro_rules! names {
    ($($name:ident)+) => { $( pub(crate) const $name: &str = stringify!($name); )+ };
}

names! {
    OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_ENDPOINT
    OTEL_EXPORTER_OTLP_PROTOCOL OTEL_EXPORTER_OTLP_TRACES_PROTOCOL OTEL_EXPORTER_OTLP_METRICS_PROTOCOL
    OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_METRICS_HEADERS
    OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_TRACES_TIMEOUT OTEL_EXPORTER_OTLP_METRICS_TIMEOUT
    OTEL_EXPORTER_OTLP_COMPRESSION OTEL_EXPORTER_OTLP_TRACES_COMPRESSION OTEL_EXPORTER_OTLP_METRICS_COMPRESSION
    OTEL_TRACES_EXPORTER OTEL_METRICS_EXPORTER OTEL_SERVICE_NAME OTEL_RESOURCE_ATTRIBUTES OTEL_SDK_DISABLED
    TRACEPARENT
}

/// The variables of others that change what gofix itself shows, with what they do.
pub const OTHERS: &[(&str, &str)] = &[
    ("NO_COLOR", "If set, no colour."),
    ("TERM", "`dumb`: no colour and no line that rewrites itself."),
    ("CI", "Plain lines instead of a live line."),
    (
        "GITHUB_ACTIONS",
        "After a fault: annotations and a table in the job's summary.",
    ),
    (
        "GITLAB_CI",
        "After a fault: the attempts, in a collapsed section of the job's log.",
    ),
    (
        OTEL_EXPORTER_OTLP_ENDPOINT,
        "Where traces and metrics of each supervised command go: the URL of an OpenTelemetry collector, below which `/v1/traces` and `/v1/metrics` are posted to. If no endpoint is set, nothing is gathered.",
    ),
    (
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
        "The URL for traces, as it stands, instead of the common one.",
    ),
    (
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
        "The URL for metrics, as it stands, instead of the common one.",
    ),
    (
        OTEL_EXPORTER_OTLP_PROTOCOL,
        "`http/protobuf` (the default) or `http/json`. `grpc` and anything else is not exported.",
    ),
    (
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
        "The same for traces only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
        "The same for metrics only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_HEADERS,
        "Headers of these requests, as `NAME=VALUE,NAME=VALUE` with percent-encoded values.",
    ),
    (
        OTEL_EXPORTER_OTLP_TRACES_HEADERS,
        "The same for traces only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_METRICS_HEADERS,
        "The same for metrics only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_TIMEOUT,
        "The time limit of a delivery in milliseconds; never more than 1000.",
    ),
    (
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
        "The same for traces only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
        "The same for metrics only, instead of the common value.",
    ),
    (OTEL_EXPORTER_OTLP_COMPRESSION, "`gzip`: bodies are compressed."),
    (
        OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,
        "The same for traces only, instead of the common value.",
    ),
    (
        OTEL_EXPORTER_OTLP_METRICS_COMPRESSION,
        "The same for metrics only, instead of the common value.",
    ),
    (OTEL_TRACES_EXPORTER, "`none`: no traces."),
    (OTEL_METRICS_EXPORTER, "`none`: no metrics."),
    (
        OTEL_SERVICE_NAME,
        "The `service.name` of what is exported, instead of `gofix`.",
    ),
    (
        OTEL_RESOURCE_ATTRIBUTES,
        "Further attributes of what is exported, as `KEY=VALUE,KEY=VALUE`.",
    ),
    (OTEL_SDK_DISABLED, "`true`: nothing is gathered or exported."),
    (
        TRACEPARENT,
        "The span of the caller, of which the command's trace becomes a part. Where the caller does not record its own, no trace is sent.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_documented_in_whole_sentences() {
        for v in ALL {
            assert!(v.name == "GOFIX" || v.name.starts_with("GOFIX_"), "{}", v.name);
            assert!(v.doc.trim().ends_with('.'), "{}: {}", v.name, v.doc);
            assert!(
                !v.doc.contains('|') && !v.values.contains('|'),
                "{} would break the table",
                v.name
            );
        }
    }

    #[test]
    fn a_key_is_the_name_of_its_variable() {
        for v in ALL {
            if let Some(key) = v.key {
                assert_eq!(v.name, format!("GOFIX_{}", key.to_uppercase()));
            }
        }
    }
}
