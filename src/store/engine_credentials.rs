//! Engine credentials: tenants' own accounts at vendors. Their keys are written and used, and never shown.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use tracing::error;
use uuid::Uuid;

use super::audit::Change;
use super::statement::{composed, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Page, Scope, StoreError, Window, now};
use crate::sealing::Owner;
use crate::tenancy::{
    Actor, EngineAccess, EngineApi, EngineCredential, EngineCredentialId, EngineFallback, EngineKind,
    TenantId, key_hint,
};

const COLUMNS: &str =
    "id, tenant_id, name, kind, api, base_url, model, fallback, key_hint, version, created_at, updated_at";

/// New engine credentials.
#[derive(Debug)]
pub struct NewEngineCredential {
    pub name: String,
    pub kind: EngineKind,
    pub api: EngineApi,
    pub account: EngineAccount,
}

/// The part of engine credentials that can be replaced, as a whole: a key is sent to the address that it was stored with.
#[derive(Debug)]
pub struct EngineAccount {
    pub key: SecretString,
    pub base_url: Option<String>,
    pub model: Option<String>,
    pub fallback: EngineFallback,
}

impl Scope {
    /// Stores credentials under a name that the tenant does not use yet.
    ///
    /// # Errors
    /// `Conflict` when the tenant has credentials of this name; `LimitReached`; `NotFound` when the scope's tenant does not
    /// exist.
    pub async fn create_engine_credential(
        &self,
        actor: &Actor,
        new: NewEngineCredential,
    ) -> Result<EngineCredential, StoreError> {
        const INSERT: &str = "INSERT INTO engine_credentials \
            (id, tenant_id, name, kind, api, base_url, model, fallback, secret, key_hint, version, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11) ON CONFLICT (tenant_id, name) DO NOTHING";
        const COUNT: &str = "SELECT COUNT(*) FROM engine_credentials WHERE tenant_id = $1";
        let NewEngineCredential { name, kind, api, account } = new;
        let (id, at) = (EngineCredentialId::new(), now());
        let created = EngineCredential {
            id,
            tenant_id: self.tenant,
            name,
            kind,
            api,
            base_url: account.base_url,
            model: account.model,
            fallback: account.fallback,
            key_hint: key_hint(account.key.expose_secret()),
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let sealed = self.sealed_key(id, &account.key)?;
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let most = tx.limits.engine_credentials.into();
        tx.admit("engine_credentials", most, sql(COUNT).bind(self.tenant.0)).await?;
        let insert = sql(INSERT).bind(id.0).bind(self.tenant.0).bind(created.name.as_str());
        let insert = insert.bind(kind.as_str()).bind(api.as_str()).bind(created.base_url.as_deref());
        let insert = insert.bind(created.model.as_deref()).bind(created.fallback.as_str());
        let insert = insert.bind(sealed).bind(created.key_hint.as_str()).bind(at);
        if tx.execute(insert).await? == 0 {
            return Err(StoreError::refused("name_taken", "the tenant has engine credentials of this name"));
        }
        let change = Change::new(actor, self.tenant, "create", "engine_credential", id);
        tx.audit(change.after(&created)).await?;
        tx.commit().await?;
        Ok(created)
    }

    /// The tenant's credentials without their keys, oldest first.
    pub async fn engine_credentials(&self, window: Window) -> Result<Page<EngineCredential>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM engine_credentials WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        ));
        let select = select.bind(self.tenant.0).bind(window.above()).bind(window.rows());
        let rows = self.all::<Row>(select).await?.into_iter().map(EngineCredential::try_from);
        Ok(window.page(rows.collect::<Result<_, _>>()?, |credential| credential.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such credentials.
    pub async fn engine_credential(&self, id: EngineCredentialId) -> Result<EngineCredential, StoreError> {
        let select =
            composed(format!("SELECT {COLUMNS} FROM engine_credentials WHERE tenant_id = $1 AND id = $2"));
        self.one::<Row>(select.bind(self.tenant.0).bind(id.0)).await?.try_into()
    }

    /// Puts another account in place of that of the credentials. `check` gets them as they are.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such credentials; those of `check`.
    pub async fn replace_engine_account<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: EngineCredentialId,
        account: EngineAccount,
        check: impl FnOnce(&EngineCredential) -> Result<(), E>,
    ) -> Result<EngineCredential, E> {
        const UPDATE: &str = "UPDATE engine_credentials SET base_url = $3, model = $4, fallback = $5, secret = $6, \
            key_hint = $7, version = $8, updated_at = $9 WHERE tenant_id = $1 AND id = $2";
        let sealed = self.sealed_key(id, &account.key)?;
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let before = tx.engine_credential(self.tenant, id).await?;
        check(&before)?;
        let after = EngineCredential {
            base_url: account.base_url,
            model: account.model,
            fallback: account.fallback,
            key_hint: key_hint(account.key.expose_secret()),
            version: before.version.saturating_add(1),
            updated_at: now(),
            ..before.clone()
        };
        let update = sql(UPDATE).bind(self.tenant.0).bind(id.0).bind(after.base_url.as_deref());
        let update = update.bind(after.model.as_deref()).bind(after.fallback.as_str()).bind(sealed);
        let update = update.bind(after.key_hint.as_str()).bind(i64::from(after.version));
        tx.execute(update.bind(after.updated_at)).await?;
        let change = Change::new(actor, self.tenant, "replace", "engine_credential", id);
        tx.audit(change.before(&before).after(&after)).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// # Errors
    /// `NotFound` when the tenant has no such credentials; `Conflict` while a profile names them.
    pub async fn delete_engine_credential(
        &self,
        actor: &Actor,
        id: EngineCredentialId,
    ) -> Result<EngineCredential, StoreError> {
        const DELETE: &str = "DELETE FROM engine_credentials WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.deletable_engine(self.tenant, id).await?;
        tx.execute(sql(DELETE).bind(self.tenant.0).bind(id.0)).await?;
        tx.audit(Change::new(actor, self.tenant, "delete", "engine_credential", id).before(&before)).await?;
        tx.commit().await?;
        Ok(before)
    }

    /// The credentials that a deletion would delete.
    ///
    /// # Errors
    /// As of [`delete_engine_credential`](Self::delete_engine_credential).
    pub async fn deletable_engine_credential(
        &self,
        id: EngineCredentialId,
    ) -> Result<EngineCredential, StoreError> {
        self.begin(Access::Write).await?.deletable_engine(self.tenant, id).await
    }

    /// The credentials with their keys, for requests.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such credentials; `Other` when no key opens theirs.
    pub async fn engine_access(&self, id: EngineCredentialId) -> Result<EngineAccess, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS}, secret FROM engine_credentials WHERE tenant_id = $1 AND id = $2"
        ));
        self.opened(self.one::<SealedRow>(select.bind(self.tenant.0).bind(id.0)).await?)
    }

    /// All of the tenant's credentials with their keys. Those that no key opens are logged and left out.
    pub async fn engine_accesses(&self) -> Result<Vec<EngineAccess>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS}, secret FROM engine_credentials WHERE tenant_id = $1 ORDER BY id"
        ));
        let rows = self.all::<SealedRow>(select.bind(self.tenant.0)).await?;
        let opened = rows.into_iter().filter_map(|row| {
            let name = row.row.name.clone();
            let report = |error: &StoreError| error!(tenant_id = %self.tenant, name, %error, "engine credentials not used");
            self.opened(row).inspect_err(report).ok()
        });
        Ok(opened.collect())
    }

    fn opened(&self, row: SealedRow) -> Result<EngineAccess, StoreError> {
        let owner = Owner::engine_credential(self.tenant.0, row.row.id);
        let key = self.store.sealing.open(&row.secret, &owner);
        let key =
            key.map_err(|error| StoreError::Other(format!("an engine's key cannot be opened: {error}")))?;
        Ok(EngineAccess { credential: row.row.try_into()?, key })
    }

    fn sealed_key(&self, id: EngineCredentialId, key: &SecretString) -> Result<String, StoreError> {
        let sealed = self.store.sealing.seal(key, &Owner::engine_credential(self.tenant.0, id.0));
        sealed.map_err(|error| StoreError::Other(format!("a secret cannot be sealed: {error}")))
    }
}

impl Tx {
    /// Credentials that no profile names; none names them until the transaction ends.
    async fn deletable_engine(
        &mut self,
        tenant: TenantId,
        id: EngineCredentialId,
    ) -> Result<EngineCredential, StoreError> {
        self.lock_tenant(tenant).await?;
        let credential = self.engine_credential(tenant, id).await?;
        match self.profile_with_engine(tenant, &credential.engine()).await? {
            None => Ok(credential),
            Some(profile) => {
                let what =
                    format!("the profile {profile:?} uses this engine: choose another one there first");
                Err(StoreError::refused("engine_in_use", what))
            }
        }
    }

    async fn engine_credential(
        &mut self,
        tenant: TenantId,
        id: EngineCredentialId,
    ) -> Result<EngineCredential, StoreError> {
        let select =
            composed(format!("SELECT {COLUMNS} FROM engine_credentials WHERE tenant_id = $1 AND id = $2"));
        self.one::<Row>(select.bind(tenant.0).bind(id.0)).await?.try_into()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    kind: String,
    api: String,
    base_url: Option<String>,
    model: Option<String>,
    fallback: String,
    key_hint: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    #[sqlx(flatten)]
    row: Row,
    secret: String,
}

impl TryFrom<Row> for EngineCredential {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<EngineCredential, StoreError> {
        Ok(EngineCredential {
            id: EngineCredentialId(row.id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            kind: row.kind.parse().map_err(StoreError::corrupt)?,
            api: row.api.parse().map_err(StoreError::corrupt)?,
            base_url: row.base_url,
            model: row.model,
            fallback: row.fallback.parse().map_err(StoreError::corrupt)?,
            key_hint: row.key_hint,
            version: u32::try_from(row.version).map_err(StoreError::corrupt)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
