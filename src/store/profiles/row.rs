//! The row of a profile.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{COLUMNS, ProfileChanges};
use crate::store::calls::narrow;
use crate::store::statement::{Statement, composed, sql};
use crate::store::{StoreError, profile_targets, versions};
use crate::tenancy::{AgentRole, AiProfile, ProfileId, TenantId};

/// Serialised for the audit log, where it reads like the profile it is.
#[derive(Clone, sqlx::FromRow, Serialize)]
pub(in crate::store) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    pub role: String,
    pub system_prompt: String,
    pub is_default: bool,
    #[serde(serialize_with = "as_json")]
    pub settings: String,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    /// As JSON. Their own entries of the audit log have their changes.
    #[serde(skip)]
    pub targets: Option<String>,
}

impl Row {
    pub(super) fn insert(&self) -> Statement {
        composed(format!(
            "INSERT INTO ai_profiles ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        ))
        .bind(self.id)
        .bind(self.tenant_id)
        .bind(self.name.as_str())
        .bind(self.role.as_str())
        .bind(self.system_prompt.as_str())
        .bind(self.is_default)
        .bind(self.settings.as_str())
        .bind(self.version)
        .bind(self.created_at)
        .bind(self.targets.as_deref())
    }

    pub(in crate::store) fn update(&self) -> Statement {
        const SQL: &str = "UPDATE ai_profiles SET name = $3, role = $4, system_prompt = $5, \
            is_default = $6, settings = $7, version = $8, targets = $9 WHERE tenant_id = $1 AND id = $2";
        sql(SQL)
            .bind(self.tenant_id)
            .bind(self.id)
            .bind(self.name.as_str())
            .bind(self.role.as_str())
            .bind(self.system_prompt.as_str())
            .bind(self.is_default)
            .bind(self.settings.as_str())
            .bind(self.version)
            .bind(self.targets.as_deref())
    }

    pub(super) fn changed(&self, changes: &ProfileChanges, settings: Option<&str>) -> Row {
        let or = |new: Option<&str>, old: &str| new.unwrap_or(old).to_owned();
        self.becoming(Row {
            name: or(changes.name.as_deref(), &self.name),
            role: or(changes.role.map(AgentRole::as_str), &self.role),
            system_prompt: or(changes.system_prompt.as_deref(), &self.system_prompt),
            is_default: changes.is_default.unwrap_or(self.is_default),
            settings: or(settings, &self.settings),
            ..self.clone()
        })
    }

    pub(super) fn as_it_was(&self, former: versions::Row) -> Row {
        let versions::Row { name, role, system_prompt, settings, targets, .. } = former;
        self.becoming(Row { name, role, system_prompt, settings, targets, ..self.clone() })
    }

    /// The next version, if it differs in what it says and does.
    fn becoming(&self, next: Row) -> Row {
        let words = |row: &Row| (row.name.clone(), row.role.clone(), row.system_prompt.clone());
        let is_same =
            words(self) == words(&next) && (&self.settings, &self.targets) == (&next.settings, &next.targets);
        let version = self.version + i64::from(!is_same);
        Row { version, ..next }
    }
}

impl TryFrom<Row> for AiProfile {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<AiProfile, StoreError> {
        Ok(AiProfile {
            id: ProfileId(row.id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            role: row.role.parse().map_err(StoreError::corrupt)?,
            system_prompt: row.system_prompt,
            is_default: row.is_default,
            settings: serde_json::from_str(&row.settings).map_err(StoreError::corrupt)?,
            version: narrow(Some(row.version))?.unwrap_or_default(),
            created_at: row.created_at,
            targets: profile_targets::read(row.targets.as_deref(), TenantId(row.tenant_id))?.map(Into::into),
        })
    }
}

/// A column of JSON as the JSON that it is.
fn as_json<S: serde::Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.serialize(to),
        Err(_) => text.serialize(to),
    }
}
