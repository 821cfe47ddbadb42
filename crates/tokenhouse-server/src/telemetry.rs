//! What the server tells of itself while it runs: a log on standard error, and traces over OTLP for who asks.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use opentelemetry::context::FutureExt as _;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::time::Instant;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::table::{LogFormat, LogSettings};
use crate::failure::Failure;

/// There is one exporter of traces in a process, and requests ask for it without a lock.
static TRACING: OnceLock<TraceContextPropagator> = OnceLock::new();

/// The longest that the end of the program waits for a collector.
const LAST_TRACES: Duration = Duration::from_secs(5);

/// What has to be told that the program ends.
#[must_use]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what is left, if that can be done before `deadline`: a collector that does not answer delays no exit.
    pub(crate) fn end(self, deadline: Instant) {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .min(LAST_TRACES);
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown_with_timeout(left)) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Why the text is no filter.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::builder()
        .parse(level)
        .map(drop)
        .map_err(|error| format!("{error}; write for example `info` or `warn,tokenhouse=debug`"))
}

/// Begins to log and, where the standard variables ask for it, to trace. To be called outside the runtime: the
/// exporter has a thread and a client of its own, so that nothing of it disturbs requests.
pub(crate) fn begin(settings: &LogSettings) -> Result<Telemetry, Failure> {
    let told = |error: TryInitError| Failure::new(error.to_string());
    let level = EnvFilter::builder()
        .parse(&settings.level)
        .map_err(|error| Failure::usage(format!("log.level: {error}")))?;
    let terminal = io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(io::stderr);
    let lines = if text {
        lines.with_ansi(terminal).boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    };
    let (wanted, doubt) = traces(variable);
    let provider = if wanted { Some(provider()?) } else { None };
    // Spans only, and our own only: their fields are chosen not to hold secrets.
    let ours = FilterFn::new(|about| about.is_span() && about.target().starts_with("tokenhouse"));
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tokenhouse"))
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .with(traces)
        .try_init()
        .map_err(told)?;
    if let Some(doubt) = doubt {
        tracing::warn!("{doubt}");
    }
    if provider.is_some() {
        let _ = TRACING.set(TraceContextPropagator::new());
    }
    Ok(Telemetry(provider))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Whether the standard variables ask for traces, and what of them cannot be done.
fn traces(variable: impl Fn(&str) -> Option<String>) -> (bool, Option<String>) {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let exporters = variable("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
    let first = |names: [&'static str; 2]| {
        names
            .into_iter()
            .find_map(|name| variable(name).map(|value| (name, value)))
    };
    let endpoint = first([
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]);
    if disabled || exporters.trim() == "none" || endpoint.is_none() {
        return (false, None);
    }
    if !exporters.split(',').any(|exporter| exporter.trim() == "otlp") {
        let doubt =
            format!("OTEL_TRACES_EXPORTER={exporters}: no traces are sent, `otlp` is the only way to");
        return (false, Some(doubt));
    }
    let protocol = first([
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ]);
    match protocol {
        Some((name, protocol)) if protocol == "grpc" => {
            let doubt = format!(
                "{name}=grpc: no traces are sent, as only http/protobuf is spoken here: set that, and the endpoint \
                 to the collector's port for HTTP (mostly 4318)"
            );
            (false, Some(doubt))
        }
        Some((name, protocol)) if protocol != "http/protobuf" => {
            let doubt =
                format!("{name}={protocol}: traces are sent as http/protobuf, which alone is spoken here");
            (true, Some(doubt))
        }
        _ => (true, None),
    }
}

/// The exporter. The SDK itself reads the standard variables for the endpoint, headers, timeouts, sampling, batching
/// and the resource.
fn provider() -> Result<SdkTracerProvider, Failure> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(|error| {
            Failure::usage(format!(
                "OTEL_EXPORTER_OTLP_ENDPOINT: traces cannot be sent there: {error}"
            ))
        })?;
    let mut resource = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("tokenhouse");
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

struct Headers<'a>(&'a axum::http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// Answers `request` as a part of the trace that its `traceparent` names (W3C Trace Context).
pub(crate) async fn continue_trace<F: Future>(
    request: Request<Body>,
    answer: impl FnOnce(Request<Body>) -> F,
) -> F::Output {
    match TRACING.get() {
        None => answer(request).await,
        Some(propagator) => {
            let context = propagator.extract(&Headers(request.headers()));
            answer(request).with_context(context).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_variables_decide_whether_traces_are_sent() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let decided = |given: &[(&str, &str)]| {
            let (wanted, doubt) = traces(|name| {
                let found = given.iter().find(|(given, _)| *given == name);
                found.map(|(_, value)| (*value).to_owned())
            });
            (wanted, doubt.unwrap_or_default())
        };
        assert_eq!(decided(&[]), (false, String::new()));
        for fine in [
            &[ENDPOINT][..],
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/x")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "console, otlp")],
            &[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
            &[
                ENDPOINT,
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ],
        ] {
            assert_eq!(decided(fine), (true, String::new()), "{fine:?}");
        }
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(decided(&[ENDPOINT, off]), (false, String::new()), "{off:?}");
        }
        for (doubtful, sent) in [
            (("OTEL_TRACES_EXPORTER", "zipkin"), false),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), false),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), true),
        ] {
            let (wanted, doubt) = decided(&[ENDPOINT, doubtful]);
            assert_eq!(wanted, sent, "{doubtful:?}");
            assert!(doubt.starts_with(doubtful.0), "{doubt}");
        }
    }
}
