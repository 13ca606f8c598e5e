//! `vca number routing-versions` and `vca number rollback-routing`

use clap::Args;
use serde_json::Value;

use super::actor;
use super::failure::Failure;
use super::number::{NumberSelector, failover_lines};
use super::output::Output;
use super::table::{Sheet, Table, or_dash};
use crate::control;
use crate::store::{Store, Window};
use crate::tenancy::{Numbering, ProfileShare, RoutingComparison, RoutingDifference, RoutingVersion};

#[derive(Debug, Args)]
pub struct RoutingVersions {
    #[command(flatten)]
    which: NumberSelector,
    /// The version to show.
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Show how the version differs from this earlier one; without N from the latest one before that is kept.
    #[arg(long, value_name = "N", num_args = 0..=1, requires = "version")]
    diff: Option<Option<u32>>,
}

#[derive(Debug, Args)]
pub struct RollbackRouting {
    #[command(flatten)]
    which: NumberSelector,
    #[arg(long, value_name = "N")]
    version: u32,
}

impl RoutingVersions {
    pub async fn run(
        self,
        store: &Store,
        numbering: &Numbering,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let number = self.which.find(store, numbering).await?.number;
        let scope = store.scope(number.tenant_id);
        match (self.version, self.diff) {
            (Some(version), Some(earlier)) => {
                let compared = control::compare_routing(&scope, number.id, version, earlier).await?;
                output.print(&compared, || difference_table(&compared))
            }
            (Some(version), None) => {
                let version = scope.routing_version(number.id, version).await?;
                output.print(&version, || sheet(&version))
            }
            (None, _) => {
                let versions = scope.routing_versions(number.id, Window::first(u32::MAX)).await?.items;
                output.print(&versions, || table(&versions))
            }
        }
    }
}

impl RollbackRouting {
    pub async fn run(
        self,
        store: &Store,
        numbering: &Numbering,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let number = self.which.find(store, numbering).await?.number;
        let scope = store.scope(number.tenant_id);
        let present = control::roll_back_routing(&scope, &actor(), number.id, self.version).await?;
        output.print(&present, || sheet(&present))
    }
}

fn table(versions: &[RoutingVersion]) -> String {
    let mut table = Table::new(["version", "made (UTC)", "by", "profiles", "failover"]);
    for version in versions {
        table.row([
            version.version.to_string(),
            version.created_at.format("%F %T").to_string(),
            or_dash(version.created_by.as_deref()),
            shares(version),
            or_dash(failover_lines(&version.failover).as_deref()),
        ]);
    }
    table.to_string()
}

fn sheet(version: &RoutingVersion) -> String {
    let closed = version.routing.closed_profile_id.map(|id| id.to_string());
    Sheet::new()
        .line("version", version.version)
        .line("made", version.created_at.format("%F %T UTC"))
        .line("by", or_dash(version.created_by.as_deref()))
        .line("profiles", shares(version))
        .line("closed profile", or_dash(closed.as_deref()))
        .line("failover", or_dash(failover_lines(&version.failover).as_deref()))
        .to_string()
}

fn shares(version: &RoutingVersion) -> String {
    let share = |share: &ProfileShare| format!("{} ({})", share.ai_profile_id, share.weight);
    let shares: Vec<String> = version.routing.profiles.iter().map(share).collect();
    if shares.is_empty() { "the tenant's default".to_owned() } else { shares.join(", ") }
}

fn difference_table(compared: &RoutingComparison) -> String {
    let [earlier, later] = [compared.earlier, compared.later].map(|version| format!("version {version}"));
    let mut table = Table::new(["field", &earlier, &later]);
    for RoutingDifference { field, before, after } in &compared.differences {
        let text = |value: &Option<Value>| or_dash(value.as_ref());
        table.row([field.clone(), text(before), text(after)]);
    }
    table.to_string()
}
