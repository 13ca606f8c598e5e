//! Secrets for the headers of tenants' HTTP tools. They are written and used, and never shown.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::audit::Change;
use super::statement::{composed, sql};
use super::tx::{Access, RowScope};
use super::{Page, Scope, StoreError, Window, now};
use crate::sealing::Owner;
use crate::tenancy::{Actor, TenantId, ToolSecret, ToolSecretId};

const COLUMNS: &str = "id, tenant_id, name, created_at, updated_at";

impl Scope {
    /// Stores a secret under a name that the tenant does not use yet.
    ///
    /// # Errors
    /// `Conflict` when the tenant has a secret of this name; `LimitReached`; `NotFound` when the scope's tenant does not exist.
    pub async fn create_tool_secret(
        &self,
        actor: &Actor,
        name: &str,
        secret: &SecretString,
    ) -> Result<ToolSecret, StoreError> {
        const INSERT: &str = "INSERT INTO tool_secrets (id, tenant_id, name, secret, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (tenant_id, name) DO NOTHING";
        const COUNT: &str = "SELECT COUNT(*) FROM tool_secrets WHERE tenant_id = $1";
        let at = now();
        let created = ToolSecret {
            id: ToolSecretId::new(),
            tenant_id: self.tenant,
            name: name.to_owned(),
            created_at: at,
            updated_at: at,
        };
        let sealed = self.sealed(created.id, secret)?;
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        tx.admit("tool_secrets", tx.limits.tool_secrets.into(), sql(COUNT).bind(self.tenant.0)).await?;
        let insert = sql(INSERT).bind(created.id.0).bind(self.tenant.0).bind(name).bind(sealed).bind(at);
        if tx.execute(insert).await? == 0 {
            return Err(StoreError::refused("name_taken", "the tenant has a tool secret of this name"));
        }
        let change = Change::new(actor, self.tenant, "create", "tool_secret", created.id);
        tx.audit(change.after(&created)).await?;
        tx.commit().await?;
        Ok(created)
    }

    /// The tenant's secrets without their values, oldest first.
    pub async fn tool_secrets(&self, window: Window) -> Result<Page<ToolSecret>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM tool_secrets WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        ));
        let rows =
            self.all::<Row>(select.bind(self.tenant.0).bind(window.above()).bind(window.rows())).await?;
        Ok(window.page(rows.into_iter().map(ToolSecret::from).collect(), |secret| secret.id.0))
    }

    /// Puts another value in place of a secret.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such secret.
    pub async fn replace_tool_secret(
        &self,
        actor: &Actor,
        id: ToolSecretId,
        secret: &SecretString,
    ) -> Result<ToolSecret, StoreError> {
        let update = composed(format!(
            "UPDATE tool_secrets SET secret = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}"
        ));
        let sealed = self.sealed(id, secret)?;
        let mut tx = self.begin(Access::Write).await?;
        let row = tx.one::<Row>(update.bind(self.tenant.0).bind(id.0).bind(sealed).bind(now())).await?;
        let changed = ToolSecret::from(row);
        tx.audit(Change::new(actor, self.tenant, "replace", "tool_secret", id).after(&changed)).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// # Errors
    /// `NotFound` when the tenant has no such secret.
    pub async fn delete_tool_secret(
        &self,
        actor: &Actor,
        id: ToolSecretId,
    ) -> Result<ToolSecret, StoreError> {
        let delete = composed(format!(
            "DELETE FROM tool_secrets WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}"
        ));
        let mut tx = self.begin(Access::Write).await?;
        let deleted = ToolSecret::from(tx.one::<Row>(delete.bind(self.tenant.0).bind(id.0)).await?);
        tx.audit(Change::new(actor, self.tenant, "delete", "tool_secret", id).before(&deleted)).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// The value of a secret, for a request.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no secret of this name; `Other` when no key opens it.
    pub async fn open_tool_secret(&self, name: &str) -> Result<SecretString, StoreError> {
        const SELECT: &str = "SELECT id, secret FROM tool_secrets WHERE tenant_id = $1 AND name = $2";
        let (id, sealed) = self.one::<(Uuid, String)>(sql(SELECT).bind(self.tenant.0).bind(name)).await?;
        let opened = self.store.sealing.open(&sealed, &Owner::tool_secret(self.tenant.0, id));
        opened.map_err(|error| StoreError::Other(format!("a tool's secret cannot be opened: {error}")))
    }

    fn sealed(&self, id: ToolSecretId, secret: &SecretString) -> Result<String, StoreError> {
        let sealed = self.store.sealing.seal(secret, &Owner::tool_secret(self.tenant.0, id.0));
        sealed.map_err(|error| StoreError::Other(format!("a secret cannot be sealed: {error}")))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for ToolSecret {
    fn from(row: Row) -> ToolSecret {
        ToolSecret {
            id: ToolSecretId(row.id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
