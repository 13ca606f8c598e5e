//! API keys. The secret is shown once, when the key is made; the database keeps its SHA-256.
//!
//! A secret has 256 random bits, so a plain hash is as good as a slow one, and looking it up by its hash takes
//! no comparison that could be timed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::audit::{Change, audit};
use super::pool::{Everywhere, Listing, Reach, execute, run, transact};
use super::{Duplicate, Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{Actor, ApiKey, KeyId, Role, Tenant, TenantId};

/// A key to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub name: String,
    pub role: Role,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key and its secret, which nobody can see again.
#[derive(Debug)]
pub struct Minted {
    pub key: ApiKey,
    pub secret: SecretString,
}

/// Which keys are wanted; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    pub role: Option<Role>,
    /// How the secret begins: finds a key that has turned up where it should not be.
    pub prefix: Option<String>,
}

/// How a key is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// For how long the old secret still opens what it opened.
    pub grace: TimeDelta,
    /// When the new one expires; it lives as long as the old one did when absent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was presented, and the tenant whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented {
    pub key: ApiKey,
    pub tenant: Option<Tenant>,
}

macro_rules! columns {
    () => {
        "id, tenant_id, role, name, prefix, created_by, created_at, expires_at, last_used_at, revoked_at, \
         successor_id"
    };
}

/// Keeps a key and its hash within a transaction.
macro_rules! insert {
    ($tx:ident, $actor:expr, $key:expr, $hash:expr) => {{
        let key: &ApiKey = &$key;
        sqlx::query(INSERT)
            .bind(key.id.0)
            .bind(key.tenant_id.map(|tenant| tenant.0))
            .bind(key.role.word())
            .bind(key.name.as_str())
            .bind(key.prefix.as_str())
            .bind(&$hash[..])
            .bind(key.created_by.as_str())
            .bind(key.created_at)
            .bind(key.expires_at)
            .execute(&mut *$tx)
            .await?;
        audit!($tx, Change::new($actor, key.tenant_id, "create", "api_key", key.id).after(key));
    }};
}
/// How precisely the last use is kept: a key that works hard makes one write a minute.
const USE_IS_KEPT: TimeDelta = TimeDelta::minutes(1);

impl Store {
    /// Makes an operator's key.
    ///
    /// # Errors
    /// `Invalid` for an empty name or a role that is a tenant's.
    pub async fn create_operator_key(&self, actor: &Actor, new: NewKey) -> Result<Minted, StoreError> {
        if new.role != Role::Operator {
            return Err(StoreError::invalid("an operator's key has the role operator"));
        }
        insert(self, actor, None, new).await
    }

    /// Everybody's keys, oldest first: the operator's view.
    pub async fn keys(&self, filter: &KeyFilter, window: Window) -> Result<Page<ApiKey>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM api_keys WHERE id > $1 AND (role = $2 OR $2 IS NULL) AND (prefix = $3 OR $3 IS NULL) ",
            "ORDER BY id LIMIT $4"
        );
        let rows = run!(Listing(&Everywhere(self)), connection => sqlx::query_as::<_, Row>(SQL)
            .bind(window.above())
            .bind(filter.role.map(Role::word))
            .bind(filter.prefix.as_deref())
            .bind(window.rows())
            .fetch_all(connection))?;
        keys(rows, window)
    }

    /// # Errors
    /// `NotFound` when there is no such key.
    pub async fn key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        one(&Everywhere(self), None, id).await
    }

    /// From here on the key opens nothing, whoever's it is. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// `NotFound` when there is no such key.
    pub async fn revoke_key(&self, actor: &Actor, id: KeyId) -> Result<ApiKey, StoreError> {
        revoke(&Everywhere(self), None, actor, id).await
    }

    /// Puts a new key in the place of one, whoever's it is.
    ///
    /// # Errors
    /// `NotFound` when there is no such key, `Invalid` when it opens nothing any more,
    /// `Conflict` when it was rotated before.
    pub async fn rotate_key(&self, actor: &Actor, id: KeyId, how: Rotation) -> Result<Minted, StoreError> {
        rotate(&Everywhere(self), None, actor, id, how).await
    }

    /// The key that a secret belongs to, whatever its state; `None` for a secret that nobody was given.
    pub async fn present(&self, secret: &str) -> Result<Option<Presented>, StoreError> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM api_keys WHERE hash = $1");
        let hash = hash(secret);
        let row = run!(Everywhere(self), connection => sqlx::query_as::<_, Row>(SQL)
            .bind(&hash[..])
            .fetch_optional(connection))?;
        let Some(key) = row.map(ApiKey::try_from).transpose()? else { return Ok(None) };
        let tenant = match key.tenant_id {
            Some(tenant) => Some(self.tenant(tenant).await?),
            None => None,
        };
        Ok(Some(Presented { key, tenant }))
    }

    /// Keeps that a key was used, unless that is known to the minute already.
    pub async fn touch_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let at = now();
        if key.last_used_at.is_some_and(|last| at - last < USE_IS_KEPT) {
            return Ok(());
        }
        const SQL: &str = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1";
        execute!(Everywhere(self), sqlx::query(SQL).bind(key.id.0).bind(at)).map(drop)
    }
}

impl Scope {
    /// Makes a key of the tenant's.
    ///
    /// # Errors
    /// `Invalid` for an empty name or the role of an operator; `NotFound` when the tenant is not there.
    pub async fn create_key(&self, actor: &Actor, new: NewKey) -> Result<Minted, StoreError> {
        if new.role == Role::Operator {
            return Err(StoreError::invalid("a tenant's key has the role tenant_admin or tenant_viewer"));
        }
        self.store.tenant(self.tenant).await?;
        insert(&self.store, actor, Some(self.tenant), new).await
    }

    /// The tenant's keys, oldest first.
    pub async fn keys(&self, filter: &KeyFilter, window: Window) -> Result<Page<ApiKey>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM api_keys WHERE tenant_id = $1 AND id > $2 AND (role = $3 OR $3 IS NULL) ",
            "AND (prefix = $4 OR $4 IS NULL) ORDER BY id LIMIT $5"
        );
        let rows = run!(Listing(self), connection => sqlx::query_as::<_, Row>(SQL)
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(filter.role.map(Role::word))
            .bind(filter.prefix.as_deref())
            .bind(window.rows())
            .fetch_all(connection))?;
        keys(rows, window)
    }

    /// # Errors
    /// `NotFound` when the tenant has no such key.
    pub async fn key(&self, id: KeyId) -> Result<ApiKey, StoreError> {
        one(self, Some(self.tenant), id).await
    }

    /// From here on the key opens nothing. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such key.
    pub async fn revoke_key(&self, actor: &Actor, id: KeyId) -> Result<ApiKey, StoreError> {
        revoke(self, Some(self.tenant), actor, id).await
    }

    /// Puts a new key in the place of one: same role, same name.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such key, `Invalid` when it opens nothing any more,
    /// `Conflict` when it was rotated before.
    pub async fn rotate_key(&self, actor: &Actor, id: KeyId, how: Rotation) -> Result<Minted, StoreError> {
        rotate(self, Some(self.tenant), actor, id, how).await
    }
}

/// A key; with a tenant, only if it is that tenant's.
const ONE: &str =
    concat!("SELECT ", columns!(), " FROM api_keys WHERE id = $1 AND (tenant_id = $2 OR $2 IS NULL)");

async fn one(reach: &impl Reach, owner: Option<TenantId>, id: KeyId) -> Result<ApiKey, StoreError> {
    row(reach, owner, id).await?.try_into()
}

async fn row(reach: &impl Reach, owner: Option<TenantId>, id: KeyId) -> Result<Row, StoreError> {
    run!(*reach, connection => sqlx::query_as::<_, Row>(ONE)
        .bind(id.0)
        .bind(owner.map(|tenant| tenant.0))
        .fetch_one(connection))
}

async fn revoke(
    reach: &impl Reach,
    owner: Option<TenantId>,
    actor: &Actor,
    id: KeyId,
) -> Result<ApiKey, StoreError> {
    const SQL: &str = concat!(
        "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING ",
        columns!()
    );
    let row = transact!(*reach, tx => {
        let before = sqlx::query_as::<_, Row>(ONE)
            .bind(id.0)
            .bind(owner.map(|tenant| tenant.0))
            .fetch_one(&mut *tx)
            .await?;
        match sqlx::query_as::<_, Row>(SQL).bind(id.0).bind(now()).fetch_optional(&mut *tx).await? {
            Some(after) => {
                let tenant = after.tenant_id.map(TenantId);
                audit!(tx, Change::new(actor, tenant, "revoke", "api_key", id).before(&before).after(&after));
                after
            }
            None => before,
        }
    });
    row?.try_into()
}

/// The successor is a key of its own, so that each secret's last use can be seen: whoever still comes with the
/// old one is found before its grace is over. A key has one successor: its end is from then on that of its grace,
/// which says nothing of how long the next one is to live.
async fn rotate(
    reach: &impl Reach,
    owner: Option<TenantId>,
    actor: &Actor,
    id: KeyId,
    how: Rotation,
) -> Result<Minted, StoreError> {
    // Of many who rotate a key at once, one does. Ends change by this statement alone, so that when it writes, the end
    // that was read before is still the key's.
    const RETIRE: &str = concat!(
        "UPDATE api_keys SET expires_at = $2, revoked_at = $3, successor_id = $4 WHERE id = $1 \
         AND revoked_at IS NULL AND successor_id IS NULL AND (expires_at > $5 OR expires_at IS NULL) RETURNING ",
        columns!()
    );
    let at = now();
    let old = row(reach, owner, id).await?;
    let lifetime = old.expires_at.map(|end| end - old.created_at);
    let new = NewKey {
        name: old.name.clone(),
        role: old.role.parse().map_err(StoreError::corrupt)?,
        expires_at: how.expires_at.or(lifetime.and_then(|lifetime| at.checked_add_signed(lifetime))),
    };
    let until = at.checked_add_signed(how.grace).unwrap_or(at);
    let until = super::kept(old.expires_at.map_or(until, |end| end.min(until)));
    let (revoked, expires) =
        if how.grace > TimeDelta::zero() { (None, Some(until)) } else { (Some(at), old.expires_at) };
    let minted = Minted::new(actor, old.tenant_id.map(TenantId), new)?;
    let hash = minted.hash();
    let is_retired = transact!(*reach, tx => {
        let after = sqlx::query_as::<_, Row>(RETIRE)
            .bind(id.0)
            .bind(expires)
            .bind(revoked)
            .bind(minted.key.id.0)
            .bind(at)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(after) = &after {
            let change = Change::new(actor, minted.key.tenant_id, "rotate", "api_key", id);
            audit!(tx, change.before(&old).after(after));
            insert!(tx, actor, minted.key, hash);
        }
        after.is_some()
    })?;
    if is_retired { Ok(minted) } else { Err(row(reach, owner, id).await?.refusal()) }
}

fn keys(rows: Vec<Row>, window: Window) -> Result<Page<ApiKey>, StoreError> {
    let keys: Result<Vec<ApiKey>, StoreError> = rows.into_iter().map(ApiKey::try_from).collect();
    Ok(window.page(keys?, |key| key.id.0))
}

const INSERT: &str = "INSERT INTO api_keys \
    (id, tenant_id, role, name, prefix, hash, created_by, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

async fn insert(
    store: &Store,
    actor: &Actor,
    tenant: Option<TenantId>,
    new: NewKey,
) -> Result<Minted, StoreError> {
    let minted = Minted::new(actor, tenant, new)?;
    let hash = minted.hash();
    transact!(Everywhere(store), tx => { insert!(tx, actor, minted.key, hash) })?;
    Ok(minted)
}

impl Minted {
    fn new(actor: &Actor, tenant: Option<TenantId>, new: NewKey) -> Result<Minted, StoreError> {
        let (prefix, secret) = mint()?;
        let key = ApiKey {
            id: KeyId::new(),
            tenant_id: tenant,
            role: new.role,
            name: new.name,
            prefix,
            created_by: actor.to_string(),
            created_at: now(),
            expires_at: new.expires_at.map(super::kept),
            last_used_at: None,
            revoked_at: None,
        };
        Ok(Minted { key, secret })
    }

    fn hash(&self) -> [u8; 32] {
        hash(self.secret.expose_secret())
    }
}

/// A new secret and how it begins: `vca_`, eight characters that may be shown, and 256 random bits.
fn mint() -> Result<(String, SecretString), StoreError> {
    let mut random = [0; 38];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| StoreError::Other(format!("no randomness: {error}")))?;
    let text = URL_SAFE_NO_PAD.encode(random);
    // Six bytes are eight characters, and thirty-two are forty-three.
    let prefix = format!("vca_{}", &text[..8]);
    let secret = SecretString::from(format!("{prefix}_{}", &text[8..]));
    Ok((prefix, secret))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Serialised for the audit log, where it reads like the key it is. The hash is not among it.
#[derive(sqlx::FromRow, Serialize)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    role: String,
    name: String,
    prefix: String,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    successor_id: Option<Uuid>,
}

impl Row {
    /// Why the key gets no successor.
    fn refusal(&self) -> StoreError {
        match self.successor_id {
            Some(successor) => StoreError::Conflict { what: Duplicate::Successor(successor) },
            None => StoreError::invalid("this key has expired or was revoked: create a new one"),
        }
    }
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<ApiKey, StoreError> {
        Ok(ApiKey {
            id: KeyId(row.id),
            tenant_id: row.tenant_id.map(TenantId),
            role: row.role.parse().map_err(StoreError::corrupt)?,
            name: row.name,
            prefix: row.prefix,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}
