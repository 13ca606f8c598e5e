//! The tables, step by step: what is in `migrations/` and which of it a database has.
//!
//! A step that has been applied never changes (its checksum is kept in the database); a change is a new
//! step, under the same version and name for both kinds of database.

use std::sync::LazyLock;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use super::pool::Pool;
use super::statement::sql;
use super::tx::RowScope;
use super::{Store, StoreError};

const TABLE: &str = "_sqlx_migrations";

/// Name, SQL for SQLite, SQL for PostgreSQL.
type MigrationStep = (&'static str, &'static str, &'static str);

const STEPS: &[MigrationStep] = &[
    (
        "0001_tenants_and_calls",
        include_str!("../../migrations/sqlite/0001_tenants_and_calls.sql"),
        include_str!("../../migrations/postgres/0001_tenants_and_calls.sql"),
    ),
    (
        "0002_control_plane",
        include_str!("../../migrations/sqlite/0002_control_plane.sql"),
        include_str!("../../migrations/postgres/0002_control_plane.sql"),
    ),
    (
        "0003_calls_of_a_period",
        include_str!("../../migrations/sqlite/0003_calls_of_a_period.sql"),
        include_str!("../../migrations/postgres/0003_calls_of_a_period.sql"),
    ),
    (
        "0004_statements",
        include_str!("../../migrations/sqlite/0004_statements.sql"),
        include_str!("../../migrations/postgres/0004_statements.sql"),
    ),
    (
        "0005_successors_of_keys",
        include_str!("../../migrations/sqlite/0005_successors_of_keys.sql"),
        include_str!("../../migrations/postgres/0005_successors_of_keys.sql"),
    ),
    (
        "0006_daemons",
        include_str!("../../migrations/sqlite/0006_daemons.sql"),
        include_str!("../../migrations/postgres/0006_daemons.sql"),
    ),
    (
        "0007_number_inventory",
        include_str!("../../migrations/sqlite/0007_number_inventory.sql"),
        include_str!("../../migrations/postgres/0007_number_inventory.sql"),
    ),
    (
        "0011_dead_letters",
        include_str!("../../migrations/sqlite/0011_dead_letters.sql"),
        include_str!("../../migrations/postgres/0011_dead_letters.sql"),
    ),
    (
        "0012_rollups",
        include_str!("../../migrations/sqlite/0012_rollups.sql"),
        include_str!("../../migrations/postgres/0012_rollups.sql"),
    ),
    (
        "0013_billing",
        include_str!("../../migrations/sqlite/0013_billing.sql"),
        include_str!("../../migrations/postgres/0013_billing.sql"),
    ),
    (
        "0014_row_checks",
        include_str!("../../migrations/sqlite/0014_row_checks.sql"),
        include_str!("../../migrations/postgres/0014_row_checks.sql"),
    ),
    (
        "0015_deletion_and_limits",
        include_str!("../../migrations/sqlite/0015_deletion_and_limits.sql"),
        include_str!("../../migrations/postgres/0015_deletion_and_limits.sql"),
    ),
    (
        "0016_idempotency_keys",
        include_str!("../../migrations/sqlite/0016_idempotency_keys.sql"),
        include_str!("../../migrations/postgres/0016_idempotency_keys.sql"),
    ),
    (
        "0017_registration_attempts",
        include_str!("../../migrations/sqlite/0017_registration_attempts.sql"),
        include_str!("../../migrations/postgres/0017_registration_attempts.sql"),
    ),
    (
        "0019_call_failures",
        include_str!("../../migrations/sqlite/0019_call_failures.sql"),
        include_str!("../../migrations/postgres/0019_call_failures.sql"),
    ),
    (
        "0021_unmatched_numbers",
        include_str!("../../migrations/sqlite/0021_unmatched_numbers.sql"),
        include_str!("../../migrations/postgres/0021_unmatched_numbers.sql"),
    ),
    (
        "0024_tools",
        include_str!("../../migrations/sqlite/0024_tools.sql"),
        include_str!("../../migrations/postgres/0024_tools.sql"),
    ),
    (
        "0025_tool_secrets",
        include_str!("../../migrations/sqlite/0025_tool_secrets.sql"),
        include_str!("../../migrations/postgres/0025_tool_secrets.sql"),
    ),
    (
        "0026_failover",
        include_str!("../../migrations/sqlite/0026_failover.sql"),
        include_str!("../../migrations/postgres/0026_failover.sql"),
    ),
    (
        "0027_transfer_targets",
        include_str!("../../migrations/sqlite/0027_transfer_targets.sql"),
        include_str!("../../migrations/postgres/0027_transfer_targets.sql"),
    ),
    (
        "0028_call_transfers",
        include_str!("../../migrations/sqlite/0028_call_transfers.sql"),
        include_str!("../../migrations/postgres/0028_call_transfers.sql"),
    ),
    (
        "0030_notice",
        include_str!("../../migrations/sqlite/0030_notice.sql"),
        include_str!("../../migrations/postgres/0030_notice.sql"),
    ),
    (
        "0032_turn_stages",
        include_str!("../../migrations/sqlite/0032_turn_stages.sql"),
        include_str!("../../migrations/postgres/0032_turn_stages.sql"),
    ),
    (
        "0033_number_profiles",
        include_str!("../../migrations/sqlite/0033_number_profiles.sql"),
        include_str!("../../migrations/postgres/0033_number_profiles.sql"),
    ),
    (
        "0034_emergency",
        include_str!("../../migrations/sqlite/0034_emergency.sql"),
        include_str!("../../migrations/postgres/0034_emergency.sql"),
    ),
    (
        "0035_pre_call_webhooks",
        include_str!("../../migrations/sqlite/0035_pre_call_webhooks.sql"),
        include_str!("../../migrations/postgres/0035_pre_call_webhooks.sql"),
    ),
    (
        "0036_transfer_style",
        include_str!("../../migrations/sqlite/0036_transfer_style.sql"),
        include_str!("../../migrations/postgres/0036_transfer_style.sql"),
    ),
    (
        "0037_agent_changes",
        include_str!("../../migrations/sqlite/0037_agent_changes.sql"),
        include_str!("../../migrations/postgres/0037_agent_changes.sql"),
    ),
    (
        "0039_spoken_by",
        include_str!("../../migrations/sqlite/0039_spoken_by.sql"),
        include_str!("../../migrations/postgres/0039_spoken_by.sql"),
    ),
    (
        "0040_analysis",
        include_str!("../../migrations/sqlite/0040_analysis.sql"),
        include_str!("../../migrations/postgres/0040_analysis.sql"),
    ),
    (
        "0042_engine_credentials",
        include_str!("../../migrations/sqlite/0042_engine_credentials.sql"),
        include_str!("../../migrations/postgres/0042_engine_credentials.sql"),
    ),
    (
        "0043_realtime_usage",
        include_str!("../../migrations/sqlite/0043_realtime_usage.sql"),
        include_str!("../../migrations/postgres/0043_realtime_usage.sql"),
    ),
    (
        "0044_profile_targets",
        include_str!("../../migrations/sqlite/0044_profile_targets.sql"),
        include_str!("../../migrations/postgres/0044_profile_targets.sql"),
    ),
    (
        "0045_number_routing_versions",
        include_str!("../../migrations/sqlite/0045_number_routing_versions.sql"),
        include_str!("../../migrations/postgres/0045_number_routing_versions.sql"),
    ),
    (
        "0046_target_resolvers",
        include_str!("../../migrations/sqlite/0046_target_resolvers.sql"),
        include_str!("../../migrations/postgres/0046_target_resolvers.sql"),
    ),
    (
        "0049_analysis_indexes",
        include_str!("../../migrations/sqlite/0049_analysis_indexes.sql"),
        include_str!("../../migrations/postgres/0049_analysis_indexes.sql"),
    ),
    (
        "0050_tenant_pre_call_webhook",
        include_str!("../../migrations/sqlite/0050_tenant_pre_call_webhook.sql"),
        include_str!("../../migrations/postgres/0050_tenant_pre_call_webhook.sql"),
    ),
    (
        "0051_leg_spend",
        include_str!("../../migrations/sqlite/0051_leg_spend.sql"),
        include_str!("../../migrations/postgres/0051_leg_spend.sql"),
    ),
    (
        "0052_after_bridge",
        include_str!("../../migrations/sqlite/0052_after_bridge.sql"),
        include_str!("../../migrations/postgres/0052_after_bridge.sql"),
    ),
    (
        "0054_end_call_and_ratings",
        include_str!("../../migrations/sqlite/0054_end_call_and_ratings.sql"),
        include_str!("../../migrations/postgres/0054_end_call_and_ratings.sql"),
    ),
];

static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(|&(name, sqlite, _)| (name, sqlite)));
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| migrator(|&(name, _, postgres)| (name, postgres)));

impl Store {
    /// Brings the tables up to date and names the steps that were taken.
    ///
    /// # Errors
    /// `Schema` when the database is newer than this program, or was changed by another program.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let pending = self.pending_migrations().await?;
        match &self.pool {
            Pool::Sqlite(pool) => apply(&SQLITE, pool).await?,
            Pool::Postgres(pool) => apply(&POSTGRES, pool).await?,
        }
        Ok(pending)
    }

    /// Names the steps that the database has yet to take. It changes nothing.
    ///
    /// # Errors
    /// `Schema` when the database is newer than this program, or was changed by another program.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let (migrator, exists) = match &self.pool {
            Pool::Sqlite(_) => (&*SQLITE, "SELECT count(*) FROM sqlite_master WHERE name = $1"),
            Pool::Postgres(_) => (&*POSTGRES, "SELECT count(to_regclass($1))"),
        };
        let (tables,) = self.one::<(i64,)>(sql(exists).bind(TABLE)).await?;
        let applied = if tables == 0 {
            Vec::new()
        } else {
            match &self.pool {
                Pool::Sqlite(pool) => pool.acquire().await?.list_applied_migrations(TABLE).await,
                Pool::Postgres(pool) => pool.acquire().await?.list_applied_migrations(TABLE).await,
            }?
        };
        compare(migrator, &applied)
    }
}

/// Names the steps that a copy of an SQLite database has yet to take.
///
/// # Errors
/// `Schema` when the copy is newer than this program.
pub(super) async fn steps_of(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    compare(&SQLITE, &connection.list_applied_migrations(TABLE).await?)
}

fn migrator(pick: impl Fn(&MigrationStep) -> (&'static str, &'static str)) -> Migrator {
    let migrations = STEPS.iter().map(pick).map(|(name, sql)| {
        let (version, _) = name.split_once('_').expect("a step's name begins with its version");
        let version = version.parse().expect("a step's version is a number");
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The steps that are missing from `applied`.
fn compare(migrator: &Migrator, applied: &[AppliedMigration]) -> Result<Vec<String>, StoreError> {
    if let Some(newer) = applied.iter().find(|step| !migrator.version_exists(step.version)) {
        return Err(MigrateError::VersionMissing(newer.version).into());
    }
    let mut pending = Vec::new();
    for step in migrator.iter() {
        match applied.iter().find(|applied| applied.version == step.version) {
            None => pending.push(step.description.to_string()),
            Some(applied) if applied.checksum != step.checksum => {
                return Err(MigrateError::VersionMismatch(step.version).into());
            }
            Some(_) => {}
        }
    }
    Ok(pending)
}

/// Runs on a connection that is not given back after a failure: it would keep the migrator's lock.
async fn apply<DB>(migrator: &Migrator, pool: &sqlx::Pool<DB>) -> Result<(), StoreError>
where
    DB: sqlx::Database,
    DB::Connection: Migrate,
{
    let mut connection = pool.acquire().await?;
    let outcome = migrator.run_direct(None, &mut *connection, false).await;
    if outcome.is_err() {
        let _ = connection.close().await;
    }
    Ok(outcome?)
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> StoreError {
        let what = match error {
            MigrateError::Execute(error) => return error.into(),
            MigrateError::VersionMissing(version) => format!(
                "the database is newer than this program: it has step {version} of the tables, which this \
                 version of vca does not know; install the newer vca, or restore a backup"
            ),
            MigrateError::VersionMismatch(version) => format!(
                "step {version} of the tables is not the one that this program would have taken; \
                 the database belongs to another build of vca"
            ),
            MigrateError::ExecuteMigration(error, version) => match StoreError::from(error) {
                passing @ StoreError::Unavailable { .. } => return passing,
                fault => format!("step {version} of the tables failed and was undone: {fault}"),
            },
            other => other.to_string(),
        };
        StoreError::Schema { what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_step() {
        for kind in ["sqlite", "postgres"] {
            let folder = format!("{}/migrations/{kind}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).expect("the migrations").flatten();
            let mut names: Vec<_> =
                files.map(|file| file.file_name().to_string_lossy().replace(".sql", "")).collect();
            names.sort();
            assert_eq!(names, STEPS.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), "{kind}");
        }
    }
}
