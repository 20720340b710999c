//! Exports the spans of minds to an OpenTelemetry collector, by OTLP over HTTP (feature `otel`).
//!
//! What is exported is what the conventions for generative AI name: which agent, model and tool, how
//! many tokens, how long. No prompt, reply, argument or result is in a span.
//!
//! The spans that end are kept until [`Delivery`] sends them, through the guarded client and on the
//! caller's runtime, so that nothing here starts a thread: a mind is fenced before it has any. A
//! collector that is away loses spans, and never holds up a mind.

use crate::AgentError;
use async_trait::async_trait;
use marque_net::{Client as Net, Guard, Method, Request as Outgoing, host_port};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, mpsc};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

/// Spans that wait at most; later ones are lost.
const WAITING: usize = 8_192;
/// Spans of one request at most.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHERING: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A layer that hands spans to the [`Delivery`] beside it. `collector` is the base URL that
/// `OTEL_EXPORTER_OTLP_ENDPOINT` names, such as `http://127.0.0.1:4318`: https, or this machine.
///
/// # Errors
/// [`AgentError::Telemetry`] for a URL that is none.
pub fn exporter<S>(
    collector: &str,
    service: &str,
) -> Result<(OpenTelemetryLayer<S, SdkTracer>, Delivery), AgentError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let wrong = |why: &dyn fmt::Display| AgentError::Telemetry(format!("{collector}: {why}"));
    let url = Url::parse(collector).map_err(|error| wrong(&error))?;
    let url = match url.path().trim_end_matches('/') {
        path if path.ends_with("/v1/traces") => url.clone(),
        path => {
            let path = format!("{path}/v1/traces");
            let mut url = url.clone();
            url.set_path(&path);
            url
        }
    };
    let host = host_port(&url);
    let guard = Guard { timeout: PATIENCE, max_redirects: 0, ..Guard::naming([host.as_str()]) };
    guard.vet(&url).map_err(|error| wrong(&error))?;
    let net = Net::new(guard).map_err(|error| wrong(&error))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Through(net))
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(url.as_str())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| wrong(&error))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    let waiting = Waiting { sender, lost: Arc::clone(&lost) };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_span_processor(waiting)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("marque"));
    let mut exporter = exporter;
    exporter.set_resource(&resource);
    let state = Mutex::new(State { receiver, exporter });
    Ok((layer, Delivery { state: Arc::new(state), lost, _provider: provider }))
}

/// Sends what has ended. Clones send from the same store.
#[derive(Clone)]
pub struct Delivery {
    state: Arc<Mutex<State>>,
    lost: Arc<AtomicU64>,
    /// A layer without its provider ends no spans.
    _provider: SdkTracerProvider,
}

struct State {
    receiver: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
}

impl Delivery {
    /// Does `work`, and sends what ends meanwhile; all of it by the end, if the collector takes it.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(GATHERING, &mut work).await {
                Ok(done) => {
                    self.send().await;
                    return done;
                }
                // The work goes on while the collector takes its time.
                Err(_) => {
                    let mut sent = std::pin::pin!(self.send());
                    tokio::select! {
                        done = &mut work => {
                            sent.await;
                            self.send().await;
                            return done;
                        }
                        () = &mut sent => {}
                    }
                }
            }
        }
    }

    /// Sends everything that has ended.
    pub async fn send(&self) {
        let mut state = self.state.lock().await;
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                match state.receiver.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
            }
            if batch.is_empty() {
                return;
            }
            let spans = batch.len();
            if let Err(error) = state.exporter.export(batch).await {
                let before = self.lost.fetch_add(spans as u64, Ordering::Relaxed);
                if before == 0 {
                    tracing::warn!(%error, "the OpenTelemetry collector takes no spans");
                }
                return;
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("lost", &self.lost).finish_non_exhaustive()
    }
}

/// Where spans wait to be sent.
#[derive(Debug)]
struct Waiting {
    sender: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

impl SpanProcessor for Waiting {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// OTLP's HTTP through the guarded client.
#[derive(Debug)]
struct Through(Net);

#[async_trait]
impl HttpClient for Through {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())?;
        let method = Method::from_bytes(parts.method.as_str().as_bytes())?;
        let mut outgoing = Outgoing { method, body: body.to_vec(), ..Outgoing::get(url) };
        for (name, value) in &parts.headers {
            outgoing.headers.insert(name.clone(), value.clone());
        }
        let answer = self.0.send(outgoing).await?;
        Ok(Response::builder().status(answer.status).body(Bytes::from(answer.body))?)
    }
}
