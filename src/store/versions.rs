//! The versions of AI profiles: written once, with the change that made them, and never changed. Of each profile the
//! newest are kept (`limits.profile_versions`), and those that calls refer to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::calls::narrow;
use super::statement::{Statement, composed, sql};
use super::tx::{RowScope, Tx};
use super::{Page, Scope, StoreError, Window, now, profile_targets, profiles};
use crate::tenancy::{Actor, LimitReached, ProfileId, ProfileVersion, TenantId};

/// Versions kept of one profile for changes of transfer targets: each has the whole profile.
const KEPT_FOR_TARGETS: u32 = 5;

const COLUMNS: &str = "tenant_id, ai_profile_id, version, name, role, system_prompt, settings, created_by, created_at, \
    targets, republished";

/// The change that makes a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionOrigin {
    /// Of the profile.
    Profile,
    /// Of a transfer target.
    Target,
}

pub(super) fn one(tenant: TenantId, profile: ProfileId, version: u32) -> Statement {
    let select = format!(
        "SELECT {COLUMNS} FROM ai_profile_versions \
         WHERE tenant_id = $1 AND ai_profile_id = $2 AND version = $3"
    );
    composed(select).bind(tenant.0).bind(profile.0).bind(i64::from(version))
}

impl Tx {
    /// Writes the present version of a profile, within the transaction of its change.
    pub(super) async fn record_version(
        &mut self,
        actor: &Actor,
        row: &profiles::Row,
        origin: VersionOrigin,
    ) -> Result<(), StoreError> {
        let insert = format!(
            "INSERT INTO ai_profile_versions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        );
        let insert = composed(insert)
            .bind(row.tenant_id)
            .bind(row.id)
            .bind(row.version)
            .bind(row.name.as_str())
            .bind(row.role.as_str())
            .bind(row.system_prompt.as_str())
            .bind(row.settings.as_str())
            .bind(actor.name.as_str())
            .bind(now())
            .bind(row.targets.as_deref())
            .bind(origin == VersionOrigin::Target);
        self.execute(insert).await?;
        self.delete_old_versions(row, origin).await
    }

    /// Deletes all but the newest versions of one origin, so that changes of targets leave the history of the profile's own. A
    /// version that a call was held with is kept with the call.
    async fn delete_old_versions(
        &mut self,
        row: &profiles::Row,
        origin: VersionOrigin,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM ai_profile_versions \
            WHERE tenant_id = $1 AND ai_profile_id = $2 AND republished = $3 AND version <= \
            (SELECT v.version FROM ai_profile_versions v WHERE v.tenant_id = $1 AND v.ai_profile_id = $2 \
                AND v.republished = $3 ORDER BY v.version DESC LIMIT 1 OFFSET $4) \
            AND NOT EXISTS \
            (SELECT 1 FROM calls c WHERE c.tenant_id = $1 AND c.ai_profile_id = $2 \
                AND c.ai_profile_version = ai_profile_versions.version)";
        let most = match origin {
            VersionOrigin::Profile => self.limits.profile_versions,
            VersionOrigin::Target => self.limits.profile_versions.min(KEPT_FOR_TARGETS),
        };
        let kept = i64::from(most.max(1));
        let delete = sql(SQL).bind(row.tenant_id).bind(row.id).bind(origin == VersionOrigin::Target);
        self.execute(delete.bind(kept)).await.map(drop)
    }

    /// Refuses a change that would make the versions of the tenant's profiles larger than they may be. Versions for changes of targets
    /// do not count: they are few, and such a change is never refused because of its repetition.
    pub(super) async fn admit_bytes(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        // PostgreSQL's sum of integers is a bigint, and of bigints a numeric.
        const SQL: &str = "SELECT COALESCE(SUM(octet_length(system_prompt) + octet_length(settings) \
            + COALESCE(octet_length(targets), 0)), 0) \
            FROM ai_profile_versions WHERE tenant_id = $1 AND NOT republished";
        let (bytes,) = self.one::<(i64,)>(sql(SQL).bind(tenant.0)).await?;
        let at_most = self.limits.profile_bytes;
        if bytes.unsigned_abs() <= at_most {
            return Ok(());
        }
        Err(StoreError::LimitReached(LimitReached { limit: "profile_bytes", at_most }))
    }
}

impl Scope {
    /// A page of a profile's versions, newest first. (A cursor is an id; a version's number stands in for one.)
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such profile.
    pub async fn profile_versions(
        &self,
        id: ProfileId,
        window: Window,
    ) -> Result<Page<ProfileVersion>, StoreError> {
        self.profile(id).await?;
        let before =
            window.after.map_or(i64::MAX, |cursor| i64::try_from(cursor.as_u128()).unwrap_or(i64::MAX));
        let select = composed(format!(
            "SELECT {COLUMNS} FROM ai_profile_versions \
             WHERE tenant_id = $1 AND ai_profile_id = $2 AND version < $3 ORDER BY version DESC LIMIT $4"
        ));
        let select = select.bind(self.tenant.0).bind(id.0).bind(before).bind(window.rows());
        let rows = self.all::<Row>(select).await?;
        let versions: Result<Vec<ProfileVersion>, StoreError> =
            rows.into_iter().map(ProfileVersion::try_from).collect();
        Ok(window.page(versions?, |version| Uuid::from_u128(version.version.into())))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such profile, or the profile no such version.
    pub async fn profile_version(&self, id: ProfileId, version: u32) -> Result<ProfileVersion, StoreError> {
        self.one::<Row>(one(self.tenant, id, version)).await?.try_into()
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub tenant_id: Uuid,
    pub ai_profile_id: Uuid,
    pub version: i64,
    pub name: String,
    pub role: String,
    pub system_prompt: String,
    pub settings: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub targets: Option<String>,
    pub republished: bool,
}

impl TryFrom<Row> for ProfileVersion {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<ProfileVersion, StoreError> {
        Ok(ProfileVersion {
            ai_profile_id: ProfileId(row.ai_profile_id),
            version: narrow(Some(row.version))?.unwrap_or_default(),
            name: row.name,
            role: row.role.parse().map_err(StoreError::corrupt)?,
            system_prompt: row.system_prompt,
            settings: serde_json::from_str(&row.settings).map_err(StoreError::corrupt)?,
            created_by: row.created_by,
            created_at: row.created_at,
            targets: profile_targets::read(row.targets.as_deref(), TenantId(row.tenant_id))?,
            republished: row.republished,
        })
    }
}
