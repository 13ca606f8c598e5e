//! Purging a deleted tenant: its rows are erased, table by table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::BATCH;
use super::tables::{OWNED, OwnedTable, Purge};
use crate::store::audit::Change;
use crate::store::statement::{composed, sql};
use crate::store::tx::{Access, AllTenants, RowScope};
use crate::store::{Store, StoreError, now};
use crate::tenancy::{Actor, Tenant, TenantId, TenantStatus};

/// How a tenant is purged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeSettings {
    /// Only count what would be erased.
    pub dry_run: bool,
    /// Erase statements, sums of usage and the tenant's own row as well. Accounting may have to keep them for years.
    pub with_statements: bool,
    /// Purge although a provider has not confirmed that it released a number.
    pub leave_registrations: bool,
}

/// Counts of the data that a purge has erased, or would erase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Purged {
    #[schema(value_type = String, format = Uuid)]
    pub tenant_id: TenantId,
    /// Nothing was erased yet.
    pub dry_run: bool,
    /// Rows erased, by table.
    pub rows: BTreeMap<String, u64>,
    /// Rows that stay for accounting, by table.
    pub kept: BTreeMap<String, u64>,
}

impl Store {
    /// Erases the rows of a deleted tenant in small batches. An interrupted purge can be repeated.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant; `Refused` when it is not deleted, one of its calls is in progress,
    /// or a provider may still have one of its numbers.
    pub async fn purge_tenant(
        &self,
        actor: &Actor,
        id: TenantId,
        settings: PurgeSettings,
    ) -> Result<Purged, StoreError> {
        let tenant = self.tenant(id).await?;
        self.may_be_purged(&tenant, settings).await?;
        let is_erased = |table: &OwnedTable| table.purge != Purge::Accounting || settings.with_statements;
        let mut purged =
            Purged { tenant_id: id, dry_run: settings.dry_run, rows: BTreeMap::new(), kept: BTreeMap::new() };
        for table in OWNED {
            let counts = if is_erased(table) { &mut purged.rows } else { &mut purged.kept };
            counts.insert(table.name.to_owned(), self.count_rows(table, id).await?);
        }
        if !settings.dry_run {
            for table in OWNED.iter().filter(|table| is_erased(table)) {
                while self.delete_some(table, id).await? > 0 {}
            }
            self.finish_purge(actor, &purged, settings).await?;
        }
        Ok(purged)
    }

    async fn may_be_purged(&self, tenant: &Tenant, settings: PurgeSettings) -> Result<(), StoreError> {
        const LIVE: &str =
            "SELECT COUNT(*) FROM calls WHERE tenant_id = $1 AND status IN ('ringing', 'answered')";
        const HELD: &str = "SELECT COUNT(*) FROM phone_numbers WHERE tenant_id = $1 \
            AND provider_type <> 'generic' AND provider_state IN ('pending', 'registered', 'failed')";
        if tenant.status != TenantStatus::Deleted {
            return Err(StoreError::refused("tenant_not_deleted", "only a deleted tenant can be purged"));
        }
        let id = tenant.id.0;
        let (live,) = AllTenants(self).one::<(i64,)>(sql(LIVE).bind(id)).await?;
        if live > 0 {
            let what = format!("{live} calls of the tenant are in progress: purge it when they are over");
            return Err(StoreError::refused("call_live", what));
        }
        let (held,) = AllTenants(self).one::<(i64,)>(sql(HELD).bind(id)).await?;
        if held > 0 && !settings.leave_registrations {
            let what = format!(
                "{held} numbers may still be registered at their providers: the daemon asks again every hour; \
                 purge with leave_registrations to give them up"
            );
            return Err(StoreError::refused("numbers_registered", what));
        }
        Ok(())
    }

    async fn count_rows(&self, table: &OwnedTable, tenant: TenantId) -> Result<u64, StoreError> {
        let (count,) = AllTenants(self).one::<(i64,)>(composed(table.count()).bind(tenant.0)).await?;
        Ok(count.unsigned_abs())
    }

    async fn delete_some(&self, table: &OwnedTable, tenant: TenantId) -> Result<u64, StoreError> {
        AllTenants(self).execute(composed(table.delete_some()).bind(tenant.0).bind(BATCH)).await
    }

    /// Marks the tenant's row as purged, or deletes it. The entry of the audit log belongs to no tenant.
    async fn finish_purge(
        &self,
        actor: &Actor,
        purged: &Purged,
        settings: PurgeSettings,
    ) -> Result<(), StoreError> {
        let id = purged.tenant_id;
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.erase_responses_naming(id).await?;
        if settings.with_statements {
            tx.execute(sql("DELETE FROM tenants WHERE id = $1").bind(id.0)).await?;
        } else {
            tx.execute(sql("UPDATE tenants SET purged_at = $2 WHERE id = $1").bind(id.0).bind(now())).await?;
        }
        tx.audit(Change::new(actor, None, "purge", "tenant", id).after(purged)).await?;
        tx.commit().await
    }
}
