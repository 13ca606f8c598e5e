//! AI profiles: prompt, greeting, engines and settings. At most one of a tenant's is the default.
//!
//! Every change of what a profile says and does makes a new version of it, in the same transaction.

mod row;

use serde::Deserialize;
use utoipa::ToSchema;

pub(super) use self::row::Row;
use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, RowScope, Tx};
use super::versions::{self, VersionOrigin};
use super::{Duplicate, Page, Scope, StoreError, Window, now};
use crate::tenancy::{Actor, AgentRole, AiProfile, ProfileId, ProfileSettings, TenantId};

/// A new profile.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateAiProfileRequest)]
pub struct NewProfile {
    /// 1 to 200 characters, not only blanks.
    #[serde(default)]
    #[schema(
        required,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$",
        examples("Front desk")
    )]
    pub name: String,
    #[serde(default)]
    pub role: AgentRole,
    /// Instructions to the language model. 1 to 50,000 characters, not only blanks.
    #[serde(default)]
    #[schema(
        required,
        max_length = 50000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*([^\s\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("You answer the phone of the bakery Huber. Be brief and friendly.")
    )]
    pub system_prompt: String,
    /// `true` replaces the tenant's present default.
    #[serde(default)]
    pub is_default: bool,
    #[serde(default)]
    pub settings: ProfileSettings,
}

/// Changes of a profile. An absent field stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfileChanges {
    pub name: Option<String>,
    pub role: Option<AgentRole>,
    pub system_prompt: Option<String>,
    /// `true` replaces the tenant's present default; `false` leaves the tenant without one.
    pub is_default: Option<bool>,
    /// Replaces the settings as a whole.
    pub settings: Option<ProfileSettings>,
}

/// A filter of profiles; an absent field matches all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProfileFilter {
    pub role: Option<AgentRole>,
    pub is_default: Option<bool>,
}

const COLUMNS: &str =
    "id, tenant_id, name, role, system_prompt, is_default, settings, version, created_at, targets";

impl Tx {
    /// Takes the place of the tenant's default profile, if another has it.
    async fn replace_default(&mut self, actor: &Actor, successor: &Row) -> Result<(), StoreError> {
        let replace = composed(format!(
            "UPDATE ai_profiles SET is_default = FALSE \
             WHERE tenant_id = $1 AND is_default AND id <> $2 RETURNING {COLUMNS}"
        ));
        let replaced = self.optional::<Row>(replace.bind(successor.tenant_id).bind(successor.id)).await?;
        let Some(after) = replaced else { return Ok(()) };
        let before = Row { is_default: true, ..after.clone() };
        let change = Change::new(actor, TenantId(after.tenant_id), "update", "ai_profile", after.id);
        self.audit(change.before(&before).after(&after)).await
    }

    /// Writes a changed profile: its row, its version if that is new, and the audit log.
    async fn change_profile(
        &mut self,
        actor: &Actor,
        action: &'static str,
        before: &Row,
        after: &Row,
    ) -> Result<(), StoreError> {
        if after.is_default && !before.is_default {
            self.replace_default(actor, after).await?;
        }
        self.execute(after.update()).await?;
        if after.version != before.version {
            self.record_version(actor, after, VersionOrigin::Profile).await?;
            self.admit_bytes(TenantId(after.tenant_id)).await?;
        }
        let change = Change::new(actor, TenantId(after.tenant_id), action, "ai_profile", after.id);
        self.audit(change.before(before).after(after)).await
    }

    /// The name of a profile of the tenant's that chooses an engine, if there is one. The caller holds the tenant's lock.
    pub async fn profile_with_engine(
        &mut self,
        tenant: TenantId,
        engine: &str,
    ) -> Result<Option<String>, StoreError> {
        const SELECT: &str = "SELECT name, settings FROM ai_profiles WHERE tenant_id = $1 ORDER BY id";
        for (name, settings) in self.all::<(String, String)>(sql(SELECT).bind(tenant.0)).await? {
            let settings: ProfileSettings = serde_json::from_str(&settings).map_err(StoreError::corrupt)?;
            let analysis = settings.analysis.as_ref().and_then(|it| it.llm.as_ref());
            let chosen = [&settings.stt, &settings.llm, &settings.tts, &settings.realtime];
            if chosen.into_iter().flatten().chain(analysis).any(|it| it == engine) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn create_profile(&mut self, actor: &Actor, row: &mut Row) -> Result<(), StoreError> {
        let tenant = TenantId(row.tenant_id);
        self.lock_tenant(tenant).await?;
        row.targets = self.targets_for(tenant, &row.settings).await?;
        const COUNT: &str = "SELECT COUNT(*) FROM ai_profiles WHERE tenant_id = $1";
        self.admit("profiles", self.limits.profiles.into(), sql(COUNT).bind(row.tenant_id)).await?;
        if row.is_default {
            self.replace_default(actor, row).await?;
        }
        self.execute(row.insert()).await?;
        self.record_version(actor, row, VersionOrigin::Profile).await?;
        self.admit_bytes(tenant).await?;
        self.audit(Change::new(actor, tenant, "create", "ai_profile", row.id).after(row)).await
    }
}

impl Scope {
    /// A default one takes the place of the default there was.
    ///
    /// # Errors
    /// `Invalid` for an empty name or prompt, `LimitReached` for one profile or too many bytes more, `NotFound` when the
    /// scope's tenant does not exist.
    pub async fn create_profile(&self, actor: &Actor, new: NewProfile) -> Result<AiProfile, StoreError> {
        let mut row = Row {
            id: ProfileId::new().0,
            tenant_id: self.tenant.0,
            name: new.name,
            role: new.role.as_str().to_owned(),
            system_prompt: new.system_prompt,
            is_default: new.is_default,
            settings: text(&new.settings)?,
            version: 1,
            created_at: now(),
            targets: None,
        };
        let mut tx = self.begin(Access::Write).await?;
        let written = tx.create_profile(actor, &mut row).await;
        written.map_err(|error| error.duplicate(Duplicate::DefaultProfile))?;
        tx.commit().await?;
        row.try_into()
    }

    /// The tenant's profiles, oldest first.
    pub async fn profiles(&self) -> Result<Vec<AiProfile>, StoreError> {
        let all = Window::first(u32::MAX);
        Ok(self.profiles_page(ProfileFilter::default(), all).await?.items)
    }

    /// A page of them, oldest first.
    pub async fn profiles_page(
        &self,
        filter: ProfileFilter,
        window: Window,
    ) -> Result<Page<AiProfile>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM ai_profiles WHERE tenant_id = $1 AND id > $2 \
             AND (role = $3 OR $3 IS NULL) AND (is_default = $4 OR $4 IS NULL) ORDER BY id LIMIT $5"
        ));
        let select = select
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(filter.role.map(AgentRole::as_str))
            .bind(filter.is_default)
            .bind(window.rows());
        let rows = self.all::<Row>(select).await?;
        let profiles: Result<Vec<AiProfile>, StoreError> =
            rows.into_iter().map(AiProfile::try_from).collect();
        Ok(window.page(profiles?, |profile| profile.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such profile.
    pub async fn profile(&self, id: ProfileId) -> Result<AiProfile, StoreError> {
        self.one::<Row>(one(self.tenant, id)).await?.try_into()
    }

    /// The profile that answers this tenant's calls.
    pub async fn default_profile(&self) -> Result<Option<AiProfile>, StoreError> {
        let filter = ProfileFilter { is_default: Some(true), ..ProfileFilter::default() };
        Ok(self.profiles_page(filter, Window::first(1)).await?.items.pop())
    }

    /// The profiles that answer calls, the default one first: the tenant's default and those that its numbers name.
    pub async fn answering_profiles(&self) -> Result<Vec<AiProfile>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM ai_profiles WHERE tenant_id = $1 AND (is_default OR id IN \
             (SELECT ai_profile_id FROM number_profiles WHERE tenant_id = $1)) ORDER BY is_default DESC, id"
        ));
        let rows = self.all::<Row>(select.bind(self.tenant.0)).await?;
        rows.into_iter().map(AiProfile::try_from).collect()
    }

    /// The oldest profile of this name.
    pub async fn profile_named(&self, name: &str) -> Result<Option<AiProfile>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM ai_profiles WHERE tenant_id = $1 AND name = $2 ORDER BY id LIMIT 1"
        ));
        let found = self.optional::<Row>(select.bind(self.tenant.0).bind(name)).await?;
        found.map(AiProfile::try_from).transpose()
    }

    /// Updates a profile. A change of name, role, prompt or settings makes a new version, with the tenant's present targets.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such profile, `Invalid` for an empty name or prompt, `LimitReached` for
    /// too many bytes in all profiles.
    pub async fn update_profile(
        &self,
        actor: &Actor,
        id: ProfileId,
        changes: ProfileChanges,
    ) -> Result<AiProfile, StoreError> {
        self.update_profile_if(actor, id, |_| Ok(changes)).await
    }

    /// Decides the changes by the present row, within their transaction.
    ///
    /// # Errors
    /// `NotFound` when there is no such profile; those of `decide`.
    pub async fn update_profile_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: ProfileId,
        decide: impl FnOnce(&AiProfile) -> Result<ProfileChanges, E>,
    ) -> Result<AiProfile, E> {
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let before = tx.one::<Row>(one(self.tenant, id)).await?;
        let changes = decide(&before.clone().try_into()?)?;
        let settings = changes.settings.as_ref().map(text).transpose()?;
        let mut after = before.changed(&changes, settings.as_deref());
        if after.version != before.version {
            after.targets = tx.targets_for(self.tenant, &after.settings).await?;
        }
        let changed = tx.change_profile(actor, "update", &before, &after).await;
        changed.map_err(|error| error.duplicate(Duplicate::DefaultProfile))?;
        tx.commit().await?;
        Ok(after.try_into()?)
    }

    /// Makes a profile what it was at a version: a new version with the old content and targets, unless it is that already.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such profile, or the profile no such version.
    pub async fn roll_back_profile(
        &self,
        actor: &Actor,
        id: ProfileId,
        version: u32,
    ) -> Result<AiProfile, StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let before = tx.one::<Row>(one(self.tenant, id)).await?;
        let mut former = tx.one::<versions::Row>(versions::one(self.tenant, id, version)).await?;
        if former.targets.is_none() {
            former.targets = tx.targets_for(self.tenant, &former.settings).await?;
        }
        let after = before.as_it_was(former);
        tx.change_profile(actor, "rollback", &before, &after).await?;
        tx.commit().await?;
        after.try_into()
    }
}

/// The tenant's profiles, oldest first.
pub(super) fn all(tenant: TenantId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM ai_profiles WHERE tenant_id = $1 ORDER BY id")).bind(tenant.0)
}

fn one(tenant: TenantId, id: ProfileId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM ai_profiles WHERE tenant_id = $1 AND id = $2"))
        .bind(tenant.0)
        .bind(id.0)
}

fn text(settings: &ProfileSettings) -> Result<String, StoreError> {
    serde_json::to_string(settings).map_err(StoreError::invalid)
}
