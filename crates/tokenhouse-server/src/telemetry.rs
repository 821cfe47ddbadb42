//! What the server tells of itself while it runs: a log on standard error, and traces over OTLP for who asks.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use axum::body::Body;
use hyper::Request;
use opentelemetry::context::FutureExt as _;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::table::{LogFormat, LogSettings};
use crate::failure::Failure;

/// There is one exporter of traces in a process, and requests ask for it without a lock.
static TRACING: OnceLock<TraceContextPropagator> = OnceLock::new();

/// Sends what is left when the program ends.
#[must_use]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
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
    let provider = provider()?;
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
    if provider.is_some() {
        let _ = TRACING.set(TraceContextPropagator::new());
    }
    Ok(Telemetry(provider))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The exporter, if its standard variables are set. The SDK itself reads those for headers, timeouts, sampling,
/// batching and the resource.
fn provider() -> Result<Option<SdkTracerProvider>, Failure> {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let wanted = [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
    .into_iter()
    .any(|name| variable(name).is_some());
    if disabled || !wanted {
        return Ok(None);
    }
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
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build(),
    ))
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
