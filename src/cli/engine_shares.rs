//! `vca tenant engine-shares`, over the API of the running daemon.

use clap::Args;

use super::daemon_client::{Access, DaemonClient};
use super::failure::Failure;
use super::output::Output;
use super::table::{Table, or_dash};
use super::tenant;
use crate::config::Config;
use crate::store::Store;
use crate::tenancy::TenantEngineShares;

#[derive(Debug, Args)]
pub struct ShowEngineShares {
    /// Id, or name if only one has it.
    tenant: String,
    #[command(flatten)]
    access: Access,
}

impl ShowEngineShares {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let id = tenant::find(store, &self.tenant).await?.id;
        let client = DaemonClient::open(&self.access, config)?;
        let shares: TenantEngineShares = client.get(&format!("/api/tenants/{id}/engine-shares")).await?;
        output.print(&shares, || text(&shares))
    }
}

fn text(shares: &TenantEngineShares) -> String {
    let mut limits = Table::new(["stage", "a minute", "at once"]);
    for limit in &shares.limits {
        let stage = limit.stage.to_string();
        limits.row([stage, limit.per_minute.to_string(), or_dash(limit.concurrent)]);
    }
    let mut uses = Table::new(["engine", "stage", "last minute", "in progress"]);
    for it in &shares.engines {
        let (last_minute, in_progress) = (it.last_minute.to_string(), it.in_progress.to_string());
        uses.row([it.engine.clone(), it.stage.to_string(), last_minute, in_progress]);
    }
    let TenantEngineShares { calls, percent, .. } = shares;
    format!("Shares of each engine, for {calls} calls at {percent} %:\n{limits}\nUsed now:\n{uses}")
}
