//! The daemon: builds its parts, runs them, lets calls finish and stops them.

mod agents;
mod billing_job;
mod build;
mod costs;
mod health;
mod jobs;
mod live_calls;
mod reload;
mod report;
mod rollups;
mod running;
mod systemd;

use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tracing::info;

use crate::config::Loaded;

pub use agents::AgentFactory;
pub use reload::Source;

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends the drain. SIGHUP reloads the configuration from `source`.
///
/// # Errors
/// When the database, an engine's settings or an address in use prevents the start, when a task fails, and when records
/// could not be written.
pub async fn run(loaded: Loaded, metrics: PrometheusHandle, source: Source) -> anyhow::Result<()> {
    let Loaded { config, effective, .. } = loaded;
    let services = build::Services::build(&config).await?;
    let daemon = running::Daemon::start(services, &config, effective, metrics, source).await?;
    let (database, app) = (config.database.location(), &config.ari.app);
    info!(%database, %app, version = env!("CARGO_PKG_VERSION"), "vca is up");
    systemd::notify(&[NotifyState::Ready]);
    daemon.run().await?;
    info!("vca is down");
    Ok(())
}
