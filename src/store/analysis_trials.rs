//! Trials of analyses: their material, their quota and their usage. Nothing else of them is stored.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::audit::Change;
use super::page::first_id_at;
use super::statement::sql;
use super::tx::{Access, RowScope, Tx};
use super::{AnalysedCall, Backend, Scope, StoreError, now};
use crate::tenancy::{Actor, Call, CallId, EngineUse, TenantId};

/// The action of their entries in the audit log.
const ACTION: &str = "try_analysis";

impl Scope {
    /// A call that has ended, its turns, and the present version of its profile.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such call; `Refused` while it is in progress (`call_live`), when its caller said nothing
    /// or it was erased (`no_words`), and when its profile was deleted (`profile_deleted`).
    pub async fn tried_call(&self, id: CallId) -> Result<AnalysedCall, StoreError> {
        let (call, turns) = self.call(id).await?.ok_or(StoreError::NotFound)?;
        if call.ended_at.is_none() {
            return Err(StoreError::refused("call_live", "the call is in progress: wait for its end"));
        }
        if turns.iter().all(|turn| turn.caller_text.is_empty()) {
            return Err(StoreError::refused("no_words", "there are no words of the caller to analyse"));
        }
        let deleted = || StoreError::refused("profile_deleted", "the call has no profile, or it was deleted");
        let id = call.ai_profile_id.ok_or_else(deleted)?;
        let profile = match self.profile(id).await {
            Err(StoreError::NotFound) => return Err(deleted()),
            other => other?,
        };
        Ok(AnalysedCall { call, turns, profile })
    }

    /// Counts a trial, in the audit log.
    ///
    /// # Errors
    /// `LimitReached` when the tenant's calls had as many trials within 24 hours as they may, the operator's included.
    pub async fn begin_analysis_trial(&self, actor: &Actor, call: CallId) -> Result<(), StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM audit_log WHERE tenant_id = $1 AND id > $2 AND action = $3";
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let since = first_id_at(now() - TimeDelta::hours(24));
        let count = sql(COUNT).bind(self.tenant.0).bind(since).bind(ACTION);
        tx.admit("analysis_trials_per_day", tx.limits.analysis_trials_per_day.into(), count).await?;
        let change = Change::new(actor, self.tenant, ACTION, "call", call.0);
        tx.audit(change.after(&json!({ "call_id": call }))).await?;
        tx.commit().await
    }

    /// Adds the usage of a trial to that of the call's analyses and to the month of the call. The record of a call that was
    /// deleted meanwhile has none.
    pub async fn add_trial_usage(&self, call: &Call, usage: &[EngineUse]) -> Result<(), StoreError> {
        if usage.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin(Access::Write).await?;
        if !tx.hold_call(self.tenant, call.id).await? {
            return Ok(());
        }
        tx.add_analysis_usage((self.tenant, call.id), call.ended_at.unwrap_or_else(now), usage).await?;
        tx.commit().await
    }
}

impl Tx {
    /// Keeps a call from being deleted until the transaction ends. False when the tenant has no such call. SQLite has one writer at
    /// a time and needs no lock.
    async fn hold_call(&mut self, tenant: TenantId, call: CallId) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT id FROM calls WHERE tenant_id = $1 AND id = $2";
        const HOLD: &str = "SELECT id FROM calls WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE";
        let statement = match self.backend() {
            Backend::Sqlite => FIND,
            Backend::Postgres => HOLD,
        };
        let held = self.optional::<(Uuid,)>(sql(statement).bind(tenant.0).bind(call.0)).await?;
        Ok(held.is_some())
    }
}
