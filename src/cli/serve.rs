//! `vca serve`

use tracing::warn;

use super::failure::Failure;
use crate::config::{ConfigError, Loaded};
use crate::{admin, daemon, logging};

pub type Reread = Box<dyn Fn() -> Result<Loaded, Vec<ConfigError>> + Send + Sync>;

/// Serves with `loaded`; `reread` reads the configuration again.
pub async fn run(loaded: Loaded, reread: Reread) -> Result<(), Failure> {
    let log = logging::start(&loaded.config.log);
    for warning in &loaded.warnings {
        let (key, remedy) = (&warning.key, &warning.remedy);
        warn!(key, from = warning.source, remedy, "configuration: {}", warning.problem);
    }
    let metrics = admin::install_metrics()?;
    let source = daemon::Source { reread, set_log_filter: Box::new(move |filter| log.set(filter)) };
    Ok(daemon::run(loaded, metrics, source).await?)
}
