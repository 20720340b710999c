//! What the command says of its work: lines on standard error and, where it was built with the feature
//! `otel` and `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, spans for that.

use std::io::IsTerminal as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

#[cfg(feature = "otel")]
static DELIVERY: std::sync::OnceLock<marque_agent_core::otel::Delivery> =
    std::sync::OnceLock::new();

/// Sets up what is said: warnings, or what `MARQUE_LOG` names. Starts no thread, so that a mind can
/// still be fenced.
///
/// # Errors
/// Why spans cannot be exported, in one line.
pub fn init() -> Result<(), String> {
    let wanted = EnvFilter::try_from_env("MARQUE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .compact()
        .with_filter(wanted);
    let registry = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otel")]
    if let Some(collector) =
        std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|url| !url.is_empty())
    {
        let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "marque".to_owned());
        let (layer, delivery) = marque_agent_core::otel::exporter(&collector, &service)
            .map_err(|error| error.to_string())?;
        // Ours, and of the rest what is worth a warning: no spans of HTTP libraries.
        let ours = EnvFilter::new("warn,marque=info,marque_agent_core=info,marque_models=info");
        registry.with(layer.with_filter(ours)).init();
        DELIVERY.get_or_init(|| delivery);
        return Ok(());
    }
    registry.init();
    Ok(())
}

/// Does `work`, and sends its spans meanwhile.
pub(crate) async fn during<T>(work: impl Future<Output = T>) -> T {
    #[cfg(feature = "otel")]
    if let Some(delivery) = DELIVERY.get() {
        return delivery.during(work).await;
    }
    work.await
}
