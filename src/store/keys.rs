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
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::audit::{Change, audit};
use super::pool::{Everywhere, execute, run, transact};
use super::{Scope, Store, StoreError, now};
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

/// A key that was presented, and the tenant whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented {
    pub key: ApiKey,
    pub tenant: Option<Tenant>,
}

macro_rules! columns {
    () => {
        "id, tenant_id, role, name, prefix, created_by, created_at, expires_at, last_used_at, revoked_at"
    };
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
}

async fn insert(
    store: &Store,
    actor: &Actor,
    tenant: Option<TenantId>,
    new: NewKey,
) -> Result<Minted, StoreError> {
    const SQL: &str = "INSERT INTO api_keys \
        (id, tenant_id, role, name, prefix, hash, created_by, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
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
    let hash = hash(secret.expose_secret());
    transact!(Everywhere(store), tx => {
        sqlx::query(SQL)
            .bind(key.id.0)
            .bind(key.tenant_id.map(|tenant| tenant.0))
            .bind(key.role.word())
            .bind(key.name.as_str())
            .bind(key.prefix.as_str())
            .bind(&hash[..])
            .bind(key.created_by.as_str())
            .bind(key.created_at)
            .bind(key.expires_at)
            .execute(&mut *tx)
            .await?;
        audit!(tx, Change::new(actor, tenant, "create", "api_key", key.id).after(&key));
    })?;
    Ok(Minted { key, secret })
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

#[derive(sqlx::FromRow)]
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
