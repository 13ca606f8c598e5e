//! The daemon's HTTP port: health, readiness, metrics, and under `api` the control plane for the operator and the
//! tenants' administrators.
//!
//! It does not depend on how calls are served: it asks [`Health`] and [`LiveCalls`].

mod access_log;
pub mod api;
mod client;
mod connections;
mod guard;
mod live;
mod measurements;
mod places;
mod report;
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
use uuid::Uuid;

pub use live::{LiveCalls, WatchError};
pub use measurements::{BucketCounts, METRICS, MetricKind, READ_METRICS};
pub use report::{
    CallLoad, DaemonReport, DatabaseReport, EngineReport, LoggedProblem, OpenFiles, PartReport, RecordReport,
    RefusedSetting, ReloadOutcome, ReloadReport,
};
pub use server::Server;
pub use settings::{MetricsAccess, Settings, TlsSettings};
pub use tls::{CertificateFiles, Tls, TlsError};

/// The daemon's state, as the port reports it.
pub trait Health: Send + Sync {
    /// The state of everything that a call needs.
    fn check(&self) -> BoxFuture<'_, Vec<Part>>;

    /// The daemon's report; the port adds the parts. `probe` is a row of the database to look for.
    fn report(&self, probe: Option<Uuid>) -> BoxFuture<'_, DaemonReport>;

    /// Sets the gauges that are measured only when metrics are read.
    /// Returns how late frames left, which the media threads count themselves.
    fn measure(&self) -> BucketCounts;

    /// The configuration that is in use.
    fn configuration(&self) -> Configuration;
}

/// The configuration in use, by names alone: no address, no account, no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// `production`, `staging` or `development`.
    pub environment: String,
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// `memory` or `redis`.
    pub state: &'static str,
    pub stt: Vec<String>,
    pub llm: Vec<String>,
    pub tts: Vec<String>,
    /// Number providers that are configured.
    pub providers: Vec<&'static str>,
    /// Does the port speak TLS?
    pub tls: bool,
}

/// Something that the daemon depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub ok: bool,
    /// Is it needed to take calls?
    pub needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Installs the recorder of all metrics. Once a process.
///
/// # Errors
/// When there is a recorder already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = builder()?.install_recorder().context("metrics are recorded already")?;
    measurements::describe();
    Ok(handle)
}

/// Times fall into buckets that part what a caller feels.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    const SECONDS: [f64; 14] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0];
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
}
