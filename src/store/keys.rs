//! API keys. The secret is shown once, when the key is made; the database keeps its SHA-256.
//!
//! A secret has 256 random bits, so a plain hash is as good as a slow one, and looking it up by its hash takes
//! no comparison that could be timed.

mod row;
mod secret;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

use self::row::Row;
use self::secret::hash;
use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{Actor, ApiKey, KeyId, Role, Tenant, TenantId};

/// A key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub name: String,
    pub role: Role,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A new key and its secret, which cannot be shown again.
#[derive(Debug)]
pub struct KeyWithSecret {
    pub key: ApiKey,
    pub secret: SecretString,
}

/// A filter of keys; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    pub role: Option<Role>,
    /// The first characters of the secret: finds the key of a leaked secret.
    pub prefix: Option<String>,
}

/// How a key is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// How long the old secret stays valid.
    pub grace: TimeDelta,
    /// When the new one expires; it lives as long as the old one did when absent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A presented key and its tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyWithTenant {
    pub key: ApiKey,
    pub tenant: Option<Tenant>,
}

const COLUMNS: &str = "id, tenant_id, role, name, prefix, created_by, created_at, expires_at, last_used_at, \
    revoked_at, successor_id";

impl Store {
    /// Creates an operator's key.
    ///
    /// # Errors
    /// `Invalid` for an empty name or a role that is a tenant's.
    pub async fn create_operator_key(&self, actor: &Actor, new: NewKey) -> Result<KeyWithSecret, StoreError> {
        if new.role != Role::Operator {
            return Err(StoreError::invalid("an operator's key has the role operator"));
        }
        create(&AllTenants(self), actor, None, new).await
    }

    /// The keys of all tenants and of the operator, oldest first.
    pub async fn keys(&self, filter: &KeyFilter, window: Window) -> Result<Page<ApiKey>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM api_keys WHERE id > $1 AND (role = $2 OR $2 IS NULL) \
             AND (prefix = $3 OR $3 IS NULL) ORDER BY id LIMIT $4"
        ));
        let select = select
            .bind(window.above())
            .bind(filter.role.map(Role::as_str))
            .bind(filter.prefix.as_deref())
            .bind(window.rows());
        let rows = AllTenants(self).all(select).await?;
        keys(rows, window)
    }

    /// # Errors
    /// `NotFound` when there is no such key.
    pub async fn key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        one(&AllTenants(self), None, id).await
    }

    /// Revokes a key of any tenant. One that was revoked before is unchanged.
    ///
    /// # Errors
    /// `NotFound` when there is no such key.
    pub async fn revoke_key(&self, actor: &Actor, id: KeyId) -> Result<ApiKey, StoreError> {
        self.revoke_key_if(actor, id, |_| Ok(())).await
    }

    /// Revokes a key that `check` accepts.
    ///
    /// # Errors
    /// `NotFound` when there is no such key; the error of `check`.
    pub async fn revoke_key_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: KeyId,
        check: impl FnOnce(&ApiKey) -> Result<(), E>,
    ) -> Result<ApiKey, E> {
        revoke(&AllTenants(self), None, actor, id, check).await
    }

    /// Replaces a key of any tenant by a new one.
    ///
    /// # Errors
    /// `NotFound` when there is no such key, `Invalid` when it is no longer valid, `Conflict` when it was rotated
    /// before.
    pub async fn rotate_key(
        &self,
        actor: &Actor,
        id: KeyId,
        how: Rotation,
    ) -> Result<KeyWithSecret, StoreError> {
        rotate(&AllTenants(self), None, actor, id, how).await
    }

    /// Does the same and rolls it back.
    ///
    /// # Errors
    /// As of [`Store::rotate_key`].
    pub async fn try_rotate_key(&self, actor: &Actor, id: KeyId, how: Rotation) -> Result<(), StoreError> {
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.rotate_key(None, actor, id, how).await.map(drop)
    }

    /// The key of a secret, in any state; `None` for an unknown secret.
    pub async fn present(&self, secret: &str) -> Result<Option<KeyWithTenant>, StoreError> {
        let select = composed(format!("SELECT {COLUMNS} FROM api_keys WHERE hash = $1"));
        let row = AllTenants(self).optional::<Row>(select.bind(&hash(secret)[..])).await?;
        let Some(key) = row.map(ApiKey::try_from).transpose()? else { return Ok(None) };
        let tenant = match key.tenant_id {
            Some(tenant) => Some(self.tenant(tenant).await?),
            None => None,
        };
        Ok(Some(KeyWithTenant { key, tenant }))
    }

    /// Writes when a key was last used, unless a later use is on record.
    pub async fn touch_key(&self, key: KeyId, at: DateTime<Utc>) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 \
            AND (last_used_at < $2 OR last_used_at IS NULL)";
        AllTenants(self).execute(sql(SQL).bind(key.0).bind(super::kept(at))).await.map(drop)
    }
}

impl Scope {
    /// Creates a key of the tenant.
    ///
    /// # Errors
    /// `Invalid` for an empty name or the role of an operator; `LimitReached` for one key too many; `NotFound` when the
    /// tenant does not exist.
    pub async fn create_key(&self, actor: &Actor, new: NewKey) -> Result<KeyWithSecret, StoreError> {
        if new.role == Role::Operator {
            return Err(StoreError::invalid("a tenant's key has the role tenant_admin or tenant_viewer"));
        }
        create(self, actor, Some(self.tenant), new).await
    }

    /// The tenant's keys, oldest first.
    pub async fn keys(&self, filter: &KeyFilter, window: Window) -> Result<Page<ApiKey>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM api_keys WHERE tenant_id = $1 AND id > $2 AND (role = $3 OR $3 IS NULL) \
             AND (prefix = $4 OR $4 IS NULL) ORDER BY id LIMIT $5"
        ));
        let select = select
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(filter.role.map(Role::as_str))
            .bind(filter.prefix.as_deref())
            .bind(window.rows());
        let rows = self.all(select).await?;
        keys(rows, window)
    }

    /// # Errors
    /// `NotFound` when the tenant has no such key.
    pub async fn key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        one(self, Some(self.tenant), id).await
    }

    /// Revokes a key. One that was revoked before is unchanged.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such key.
    pub async fn revoke_key(&self, actor: &Actor, id: KeyId) -> Result<ApiKey, StoreError> {
        self.revoke_key_if(actor, id, |_| Ok(())).await
    }

    /// Revokes a key that `check` accepts.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such key; the error of `check`.
    pub async fn revoke_key_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: KeyId,
        check: impl FnOnce(&ApiKey) -> Result<(), E>,
    ) -> Result<ApiKey, E> {
        revoke(self, Some(self.tenant), actor, id, check).await
    }

    /// Puts a new key in the place of one: same role, same name.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such key, `Invalid` when it is no longer valid,
    /// `Conflict` when it was rotated before.
    pub async fn rotate_key(
        &self,
        actor: &Actor,
        id: KeyId,
        how: Rotation,
    ) -> Result<KeyWithSecret, StoreError> {
        rotate(self, Some(self.tenant), actor, id, how).await
    }
}

/// A key; with a tenant, only if it is that tenant's.
fn select(owner: Option<TenantId>, id: KeyId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1 AND (tenant_id = $2 OR $2 IS NULL)"))
        .bind(id.0)
        .bind(owner.map(|tenant| tenant.0))
}

/// The same, locked until the transaction ends.
fn locked(owner: Option<TenantId>, id: KeyId) -> Statement {
    composed(format!(
        "UPDATE api_keys SET name = name WHERE id = $1 AND (tenant_id = $2 OR $2 IS NULL) RETURNING {COLUMNS}"
    ))
    .bind(id.0)
    .bind(owner.map(|tenant| tenant.0))
}

async fn one(scope: &impl RowScope, owner: Option<TenantId>, id: KeyId) -> Result<ApiKey, StoreError> {
    scope.one::<Row>(select(owner, id)).await?.try_into()
}

/// Counts the keys of a tenant that are neither revoked nor expired.
fn live_keys(tenant: TenantId) -> Statement {
    const SQL: &str = "SELECT COUNT(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL \
        AND (expires_at > $2 OR expires_at IS NULL)";
    sql(SQL).bind(tenant.0).bind(now())
}

async fn create(
    scope: &impl RowScope,
    actor: &Actor,
    tenant: Option<TenantId>,
    new: NewKey,
) -> Result<KeyWithSecret, StoreError> {
    let created = KeyWithSecret::new(actor, tenant, new)?;
    let mut tx = scope.begin(Access::Write).await?;
    if let Some(tenant) = tenant {
        tx.lock_tenant(tenant).await?;
        tx.admit("keys", tx.limits.keys.into(), live_keys(tenant)).await?;
    }
    tx.insert_key(actor, &created).await?;
    tx.commit().await?;
    Ok(created)
}

async fn revoke<E: From<StoreError>>(
    scope: &impl RowScope,
    owner: Option<TenantId>,
    actor: &Actor,
    id: KeyId,
    check: impl FnOnce(&ApiKey) -> Result<(), E>,
) -> Result<ApiKey, E> {
    let revoke = format!(
        "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING {COLUMNS}"
    );
    let mut tx = scope.begin(Access::Write).await?;
    let before = tx.one::<Row>(locked(owner, id)).await?;
    check(&before.clone().try_into()?)?;
    let revoked = tx.optional::<Row>(composed(revoke).bind(id.0).bind(now())).await?;
    let Some(after) = revoked else { return Ok(before.try_into()?) };
    let tenant = after.tenant_id.map(TenantId);
    tx.audit_always(Change::new(actor, tenant, "revoke", "api_key", id).before(&before).after(&after))
        .await?;
    tx.commit().await?;
    Ok(after.try_into()?)
}

/// The successor is a key of its own, so that each secret's last use is recorded and a client that still uses the old
/// one is found before the grace period ends. A key has one successor. Its expiry is then the end of the grace period,
/// which does not limit the successor's lifetime.
async fn rotate(
    scope: &impl RowScope,
    owner: Option<TenantId>,
    actor: &Actor,
    id: KeyId,
    how: Rotation,
) -> Result<KeyWithSecret, StoreError> {
    let mut tx = scope.begin(Access::Write).await?;
    let created = tx.rotate_key(owner, actor, id, how).await?;
    tx.commit().await?;
    Ok(created)
}

impl Tx {
    async fn rotate_key(
        &mut self,
        owner: Option<TenantId>,
        actor: &Actor,
        id: KeyId,
        how: Rotation,
    ) -> Result<KeyWithSecret, StoreError> {
        let at = now();
        let old = self.one::<Row>(select(owner, id)).await?;
        if let Some(tenant) = old.tenant_id.map(TenantId) {
            self.lock_tenant(tenant).await?;
            // A rotated key is live until its grace period ends, so that rotations need room beside the limit.
            self.admit("keys", u64::from(self.limits.keys) * 2, live_keys(tenant)).await?;
        }
        let created = KeyWithSecret::new(actor, old.tenant_id.map(TenantId), old.successor(how, at)?)?;
        let Some(after) = self.optional::<Row>(old.retire(how, &created, at)).await? else {
            // It is read again: of several rotations at once, one has made the successor.
            return Err(self.one::<Row>(select(owner, id)).await?.refusal());
        };
        let change = Change::new(actor, created.key.tenant_id, "rotate", "api_key", id);
        self.audit(change.before(&old).after(&after)).await?;
        self.insert_key(actor, &created).await?;
        Ok(created)
    }

    /// Writes a key and its hash.
    async fn insert_key(&mut self, actor: &Actor, created: &KeyWithSecret) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO api_keys \
            (id, tenant_id, role, name, prefix, hash, created_by, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let key = &created.key;
        let insert = sql(SQL)
            .bind(key.id.0)
            .bind(key.tenant_id.map(|tenant| tenant.0))
            .bind(key.role.as_str())
            .bind(key.name.as_str())
            .bind(key.prefix.as_str())
            .bind(&created.hash()[..])
            .bind(key.created_by.as_str())
            .bind(key.created_at)
            .bind(key.expires_at);
        self.execute(insert).await?;
        self.audit(Change::new(actor, key.tenant_id, "create", "api_key", key.id).after(key)).await
    }
}

fn keys(rows: Vec<Row>, window: Window) -> Result<Page<ApiKey>, StoreError> {
    let keys: Result<Vec<ApiKey>, StoreError> = rows.into_iter().map(ApiKey::try_from).collect();
    Ok(window.page(keys?, |key| key.id.0))
}
