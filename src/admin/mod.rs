//! The daemon's HTTP port: is it alive, can it take calls, what does it count; and under `api` all that an
//! operator and a tenant's administrators work with.
//!
//! It knows nothing of a call's life; what it tells of calls under way it asks of [`Health`] and [`LiveCalls`].

pub mod api;
mod guard;
mod live;
mod server;
mod settings;
mod status;
mod tls;

#[cfg(test)]
mod tests;

use anyhow::Context;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;

pub use live::{LiveCalls, Unwatched};
pub use server::Server;
pub use settings::{MetricsAccess, Settings, TlsSettings};
pub use tls::{Tls, TlsFault};

/// What the daemon says of itself.
pub trait Health: Send + Sync {
    /// Everything that a call needs, and how it is.
    fn check(&self) -> BoxFuture<'_, Vec<Part>>;

    /// Sets the gauges that are only known when they are asked for.
    fn measure(&self);
}

/// Something that the daemon depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub ok: bool,
    /// Can calls be taken without it?
    pub needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Installs the recorder of all metrics. Once a process.
///
/// # Errors
/// When there is a recorder already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    builder()?.install_recorder().context("metrics are recorded already")
}

/// Times fall into buckets that part what a caller feels.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    const SECONDS: [f64; 14] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0];
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
}
