//! A key's row, and how a rotation replaces it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{COLUMNS, KeyWithSecret, NewKey, Rotation};
use crate::store::statement::{Statement, composed};
use crate::store::{Duplicate, StoreError, kept};
use crate::tenancy::{ApiKey, KeyId, TenantId};

/// Serialised for the audit log, where it reads like the key it is. The hash is not among it.
#[derive(Clone, sqlx::FromRow, Serialize)]
pub struct Row {
    id: Uuid,
    pub tenant_id: Option<Uuid>,
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
    /// The key that replaces this one: same role and name, and the same lifetime unless the rotation names another.
    pub fn successor(&self, how: Rotation, at: DateTime<Utc>) -> Result<NewKey, StoreError> {
        let lifetime = self.expires_at.map(|end| end - self.created_at);
        let expires_at = how.expires_at.or(lifetime.and_then(|lifetime| at.checked_add_signed(lifetime)));
        let role = self.role.parse().map_err(StoreError::corrupt)?;
        Ok(NewKey { name: self.name.clone(), role, expires_at })
    }

    /// Ends this key with the grace period, unless it has ended or was rotated before: of several rotations at once,
    /// one does.
    pub(in crate::store) fn retire(
        &self,
        how: Rotation,
        successor: &KeyWithSecret,
        at: DateTime<Utc>,
    ) -> Statement {
        let until = at.checked_add_signed(how.grace).unwrap_or(at);
        let until = kept(self.expires_at.map_or(until, |end| end.min(until)));
        let (revoked, expires) =
            if how.grace > TimeDelta::zero() { (None, Some(until)) } else { (Some(at), self.expires_at) };
        composed(format!(
            "UPDATE api_keys SET expires_at = $2, revoked_at = $3, successor_id = $4 WHERE id = $1 \
             AND revoked_at IS NULL AND successor_id IS NULL AND (expires_at > $5 OR expires_at IS NULL) \
             RETURNING {COLUMNS}"
        ))
        .bind(self.id)
        .bind(expires)
        .bind(revoked)
        .bind(successor.key.id.0)
        .bind(at)
    }

    /// Why the key gets no successor.
    pub fn refusal(&self) -> StoreError {
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
