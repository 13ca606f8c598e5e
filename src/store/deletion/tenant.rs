//! Deleting a tenant: it takes no calls, its keys open nothing, its numbers are released and its webhooks stop.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::audit::Change;
use crate::store::statement::sql;
use crate::store::tx::{Access, AllTenants, RowScope, Tx};
use crate::store::{Store, StoreError, now};
use crate::tenancy::{Actor, NumberId, ProviderType, Tenant, TenantId};

/// The effects of a tenant's deletion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Deleted {
    pub tenant: Tenant,
    /// A dry run: nothing was changed.
    pub dry_run: bool,
    /// Phone numbers released. Their providers are asked to unregister them.
    pub numbers: u64,
    /// API keys revoked.
    pub keys: u64,
    /// Webhooks deleted.
    pub webhooks: u64,
    /// Pending deliveries given up.
    pub deliveries: u64,
    /// The numbers that providers have to unregister.
    #[serde(skip)]
    pub released: Vec<NumberId>,
}

impl Store {
    /// Deletes a tenant for good: releases its numbers, unassigns those of the inventory, revokes its keys, deletes its
    /// webhooks with their secrets and cancels their pending deliveries. Its other rows stay until it is purged. Deleting a
    /// deleted tenant again completes the deletion by an earlier version of the program.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant.
    pub async fn delete_tenant(
        &self,
        actor: &Actor,
        id: TenantId,
        dry_run: bool,
    ) -> Result<Deleted, StoreError> {
        self.delete_tenant_if(actor, id, dry_run, |_| Ok(())).await
    }

    /// Deletes a tenant that `check` accepts, in one transaction that holds the tenant's row.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant; the error of `check`.
    pub async fn delete_tenant_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: TenantId,
        dry_run: bool,
        check: impl FnOnce(&Tenant) -> Result<(), E>,
    ) -> Result<Deleted, E> {
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.lock_tenant_row(id).await?;
        let before = tx.tenant(id).await?;
        check(&before)?;
        let mut deleted = tx.delete_tenant(id).await?;
        deleted.dry_run = dry_run;
        if !dry_run {
            tx.audit(Change::new(actor, id, "delete", "tenant", id).before(&before).after(&deleted)).await?;
            tx.commit().await?;
        }
        Ok(deleted)
    }

    /// Deleted tenants that still hold numbers, keys or webhooks: an earlier version of the program left them.
    pub async fn tenants_to_release(&self) -> Result<Vec<TenantId>, StoreError> {
        const SQL: &str = "SELECT t.id FROM tenants t WHERE t.status = 'deleted' \
            AND (t.deleted_at IS NULL OR EXISTS \
            (SELECT 1 FROM phone_numbers n WHERE n.tenant_id = t.id AND n.deleted_at IS NULL))";
        let rows = AllTenants(self).all::<(Uuid,)>(sql(SQL)).await?;
        Ok(rows.into_iter().map(|(id,)| TenantId(id)).collect())
    }

    /// Numbers of deleted tenants that their providers have not confirmed to be unregistered, at most 100: those
    /// with the oldest attempt first, so that failing numbers do not delay the others.
    pub async fn numbers_to_unregister(&self) -> Result<Vec<(TenantId, NumberId)>, StoreError> {
        const SQL: &str = "SELECT n.tenant_id, n.id FROM phone_numbers n \
            JOIN tenants t ON t.id = n.tenant_id \
            WHERE t.status = 'deleted' AND n.deleted_at IS NOT NULL AND n.provider_type <> 'generic' \
            AND n.provider_state IN ('pending', 'registered', 'failed') \
            ORDER BY n.provider_asked_at IS NOT NULL, n.provider_asked_at, n.id LIMIT 100";
        let rows = AllTenants(self).all::<(Uuid, Uuid)>(sql(SQL)).await?;
        Ok(rows.into_iter().map(|(tenant, number)| (TenantId(tenant), NumberId(number))).collect())
    }
}

impl Tx {
    async fn delete_tenant(&mut self, id: TenantId) -> Result<Deleted, StoreError> {
        const TENANT: &str = "UPDATE tenants SET status = 'deleted', deleted_at = COALESCE(deleted_at, $2) \
            WHERE id = $1";
        const NUMBERS: &str = "UPDATE phone_numbers SET deleted_at = $2, is_active = FALSE \
            WHERE tenant_id = $1 AND deleted_at IS NULL RETURNING id, provider_type";
        const INVENTORY: &str = "UPDATE number_inventory SET tenant_id = NULL WHERE tenant_id = $1";
        const KEYS: &str = "UPDATE api_keys SET revoked_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL";
        const WEBHOOKS: &str = "UPDATE webhooks SET deleted_at = $2, is_active = FALSE, secret = '', \
            former_secret = NULL, former_secret_until = NULL WHERE tenant_id = $1 AND deleted_at IS NULL";
        const TOOL_SECRETS: &str = "DELETE FROM tool_secrets WHERE tenant_id = $1";
        const ENGINES: &str = "DELETE FROM engine_credentials WHERE tenant_id = $1";
        const PRE_CALL: &str = "DELETE FROM pre_call_webhooks WHERE tenant_id = $1";
        const ROUTING: &str = "DELETE FROM number_profiles WHERE tenant_id = $1";
        const DELIVERIES: &str = "UPDATE webhook_deliveries SET status = 'failed', problem = $2 \
            WHERE tenant_id = $1 AND status = 'pending'";
        let at = now();
        self.execute(sql(TENANT).bind(id.0).bind(at)).await?;
        let numbers = self.all::<(Uuid, String)>(sql(NUMBERS).bind(id.0).bind(at)).await?;
        self.execute(sql(INVENTORY).bind(id.0)).await?;
        let keys = self.execute(sql(KEYS).bind(id.0).bind(at)).await?;
        let webhooks = self.execute(sql(WEBHOOKS).bind(id.0).bind(at)).await?;
        for delete in [TOOL_SECRETS, ENGINES, PRE_CALL, ROUTING] {
            self.execute(sql(delete).bind(id.0)).await?;
        }
        let deliveries = self.execute(sql(DELIVERIES).bind(id.0).bind("the tenant was deleted")).await?;
        Ok(Deleted {
            tenant: self.tenant(id).await?,
            dry_run: false,
            numbers: numbers.len() as u64,
            keys,
            webhooks,
            deliveries,
            released: registered(numbers),
        })
    }
}

/// Numbers that need a request to their provider: VCA has not set anything up for generic numbers.
fn registered(numbers: Vec<(Uuid, String)>) -> Vec<NumberId> {
    let generic = ProviderType::Generic.as_str();
    numbers.into_iter().filter(|(_, provider)| provider != generic).map(|(id, _)| NumberId(id)).collect()
}
