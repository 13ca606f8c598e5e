//! AI profiles: who answers, with which words and engines. At most one of a tenant's is the default.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::audit::{Change, audit};
use super::pool::{run, transact};
use super::{Duplicate, Scope, StoreError, now};
use crate::tenancy::{Actor, AgentRole, AiProfile, ProfileId, ProfileSettings, TenantId};

/// A profile to be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    pub name: String,
    pub role: AgentRole,
    /// Non-empty.
    pub system_prompt: String,
    #[serde(default)]
    pub is_default: bool,
    #[serde(default)]
    pub settings: ProfileSettings,
}

/// What changes about a profile; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileChanges {
    pub name: Option<String>,
    pub role: Option<AgentRole>,
    pub system_prompt: Option<String>,
    /// `true` takes the place of the default there was; `false` leaves the tenant without one.
    pub is_default: Option<bool>,
    /// Replaces the settings as a whole.
    pub settings: Option<ProfileSettings>,
}

macro_rules! columns {
    () => {
        "id, tenant_id, name, role, system_prompt, is_default, settings, created_at"
    };
}

impl Scope {
    /// # Errors
    /// `Conflict` when it is to be the default and there is one already, `Invalid` for an empty name or
    /// prompt, `NotFound` when the scope's tenant is not there.
    pub async fn create_profile(&self, actor: &Actor, new: NewProfile) -> Result<AiProfile, StoreError> {
        let profile = AiProfile {
            id: ProfileId::new(),
            tenant_id: self.tenant,
            name: new.name,
            role: new.role,
            system_prompt: new.system_prompt,
            is_default: new.is_default,
            settings: new.settings,
            created_at: now(),
        };
        let settings = text(&profile.settings)?;
        self.store.tenant(self.tenant).await?;
        const SQL: &str =
            concat!("INSERT INTO ai_profiles (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let written: Result<(), StoreError> = transact!(*self, tx => {
            sqlx::query(SQL)
                .bind(profile.id.0)
                .bind(profile.tenant_id.0)
                .bind(profile.name.as_str())
                .bind(profile.role.word())
                .bind(profile.system_prompt.as_str())
                .bind(profile.is_default)
                .bind(settings.as_str())
                .bind(profile.created_at)
                .execute(&mut *tx)
                .await?;
            let change = Change::new(actor, self.tenant, "create", "ai_profile", profile.id);
            audit!(tx, change.after(&profile));
        });
        written.map_err(|error| error.duplicate(Duplicate::DefaultProfile))?;
        Ok(profile)
    }

    /// The tenant's profiles, oldest first.
    pub async fn profiles(&self) -> Result<Vec<AiProfile>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", columns!(), " FROM ai_profiles WHERE tenant_id = $1 ORDER BY id");
        let rows = run!(*self, connection => sqlx::query_as::<_, Row>(SQL).bind(self.tenant.0).fetch_all(connection))?;
        rows.into_iter().map(AiProfile::try_from).collect()
    }

    /// # Errors
    /// `NotFound` when the tenant has no such profile.
    pub async fn profile(&self, id: ProfileId) -> Result<AiProfile, StoreError> {
        let row = run!(*self, connection => sqlx::query_as::<_, Row>(ONE)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_one(connection))?;
        row.try_into()
    }

    /// The profile that answers this tenant's calls.
    pub async fn default_profile(&self) -> Result<Option<AiProfile>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", columns!(), " FROM ai_profiles WHERE tenant_id = $1 AND is_default");
        let row = run!(*self, connection => sqlx::query_as::<_, Row>(SQL).bind(self.tenant.0).fetch_optional(connection))?;
        row.map(AiProfile::try_from).transpose()
    }

    /// # Errors
    /// `NotFound` when the tenant has no such profile, `Invalid` for an empty name or prompt.
    pub async fn update_profile(
        &self,
        actor: &Actor,
        id: ProfileId,
        changes: ProfileChanges,
    ) -> Result<AiProfile, StoreError> {
        // Changes of one tenant's default wait for each other at the tenant's row: without that, two that
        // both saw the old default would collide, and one would fail.
        const QUEUE: &str = "UPDATE tenants SET name = name WHERE id = $1";
        const DEPOSE: &str =
            "UPDATE ai_profiles SET is_default = FALSE WHERE tenant_id = $1 AND is_default AND id <> $2";
        const CHANGE: &str = concat!(
            "UPDATE ai_profiles SET name = COALESCE($3, name), role = COALESCE($4, role), ",
            "system_prompt = COALESCE($5, system_prompt), is_default = COALESCE($6, is_default), ",
            "settings = COALESCE($7, settings) WHERE tenant_id = $1 AND id = $2 RETURNING ",
            columns!()
        );
        let settings = changes.settings.as_ref().map(text).transpose()?;
        let row = transact!(*self, tx => {
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            if changes.is_default == Some(true) {
                sqlx::query(QUEUE).bind(self.tenant.0).execute(&mut *tx).await?;
                sqlx::query(DEPOSE).bind(self.tenant.0).bind(id.0).execute(&mut *tx).await?;
            }
            let after = sqlx::query_as::<_, Row>(CHANGE)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(changes.name.as_deref())
                .bind(changes.role.map(AgentRole::word))
                .bind(changes.system_prompt.as_deref())
                .bind(changes.is_default)
                .bind(settings.as_deref())
                .fetch_one(&mut *tx)
                .await?;
            let change = Change::new(actor, self.tenant, "update", "ai_profile", id);
            audit!(tx, change.before(&before).after(&after));
            after
        });
        row.map_err(|error: StoreError| error.duplicate(Duplicate::DefaultProfile))?.try_into()
    }
}

const ONE: &str = concat!("SELECT ", columns!(), " FROM ai_profiles WHERE tenant_id = $1 AND id = $2");

/// Serialised for the audit log, where it reads like the profile it is.
#[derive(sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    pub role: String,
    pub system_prompt: String,
    pub is_default: bool,
    pub settings: String,
    pub created_at: DateTime<Utc>,
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
            created_at: row.created_at,
        })
    }
}

fn text(settings: &ProfileSettings) -> Result<String, StoreError> {
    serde_json::to_string(settings).map_err(StoreError::invalid)
}
