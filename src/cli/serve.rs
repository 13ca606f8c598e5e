//! `vca serve`

use tracing::warn;

use super::failure::Failure;
use crate::config::Loaded;
use crate::{admin, daemon, logging};

pub async fn run(loaded: Loaded) -> Result<(), Failure> {
    logging::start(&loaded.config.log);
    for warning in &loaded.warnings {
        let (key, remedy) = (&warning.key, &warning.remedy);
        warn!(key, from = warning.source, remedy, "configuration: {}", warning.problem);
    }
    let metrics = admin::install_metrics()?;
    Ok(daemon::run(loaded.config, metrics).await?)
}
