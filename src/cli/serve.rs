//! `vca serve`

use super::failure::Failure;
use crate::config::Config;
use crate::{admin, daemon, logging};

pub async fn run(config: Config) -> Result<(), Failure> {
    logging::start(&config.log);
    let metrics = admin::install_metrics()?;
    Ok(daemon::run(config, metrics).await?)
}
