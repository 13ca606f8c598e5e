//! Analyses of calls: due ones with their leases, and their results on the records of calls.
//!
//! The transaction that counts a call queues its analysis, so that neither exists without the other. A claim moves the due time
//! to the end of its lease: a daemon that dies leaves the analysis to the next one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::{from_json_text, json_text, narrow, without_nul};
use super::counting::{EndedCall, engine_columns};
use super::statement::{Value, any_of, rows, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::usage::kept_count;
use super::{Scope, Store, StoreError, kept, now};
use crate::billing::{Bill, Prices};
use crate::tenancy::{
    AiProfile, AnalysisResult, AnalysisSettings, AnalysisStatus, Call, CallAnalysis, CallId, CallTurn,
    EngineUse, EventId, EventType, Month, NumberId, ProfileId, TenantId, Usage,
};

/// An analysis that is ours until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAnalysis {
    pub tenant: TenantId,
    pub call: CallId,
    /// The present attempt, from 1.
    pub attempt: u32,
    /// Of the profile that has the questions.
    version: u32,
    leased_until: DateTime<Utc>,
}

/// The material of an analysis.
#[derive(Debug, Clone)]
pub struct AnalysedCall {
    pub call: Call,
    pub turns: Vec<CallTurn>,
    pub profile: AiProfile,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisAttempt {
    pub at: DateTime<Utc>,
    pub usage: Vec<EngineUse>,
    pub outcome: AnalysisOutcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AnalysisOutcome {
    Done(AnalysisResult),
    /// Failed; becomes due again at that time.
    Again(DateTime<Utc>, String),
    /// Failed for the last time.
    Failed(String),
    /// No language model can be asked.
    Unavailable(String),
}

/// The questions of stored settings, which may be unreadable otherwise.
#[derive(Deserialize)]
struct Questions {
    analysis: Option<AnalysisSettings>,
}

pub(super) fn is_asked(settings: &str) -> bool {
    let questions: Option<Questions> = serde_json::from_str(settings).ok();
    questions.and_then(|it| it.analysis).is_some_and(|it| it.enabled && !it.is_empty())
}

impl Tx {
    /// Queues the analyses of calls in which the caller spoke, where the profile that served the call asks for one.
    pub(super) async fn queue_analyses(&mut self, calls: Vec<Uuid>) -> Result<(), StoreError> {
        const SELECT: &str = "SELECT c.id, c.tenant_id, v.version, v.settings FROM calls c \
            JOIN ai_profile_versions v ON v.tenant_id = c.tenant_id AND v.ai_profile_id = c.ai_profile_id \
            AND v.version = c.ai_profile_version \
            WHERE v.settings LIKE '%\"analysis\":{%' AND c.erased_at IS NULL AND c.id IN";
        let calls = any_of(SELECT, calls.into_iter().map(Value::from).collect(), "");
        let mut asked = self.all_of::<(Uuid, Uuid, i64, String)>(calls).await?;
        asked.retain(|(.., settings)| is_asked(settings));
        if asked.is_empty() {
            return Ok(());
        }
        let at = now();
        let job = |(call, tenant, version, _): &(Uuid, Uuid, i64, String)| -> Vec<Value> {
            vec![(*call).into(), (*tenant).into(), (*version).into(), 0.into(), at.into(), at.into()]
        };
        let insert = rows(
            "INSERT INTO analysis_jobs (call_id, tenant_id, ai_profile_version, attempts, due_at, created_at) VALUES",
            asked.iter().map(job).collect(),
            "ON CONFLICT (call_id) DO NOTHING",
        );
        self.execute_all(insert).await?;
        for (call, tenant, ..) in &asked {
            self.write_analysis(TenantId(*tenant), CallId(*call), &CallAnalysis::due()).await?;
        }
        Ok(())
    }

    pub(super) async fn write_analysis(
        &mut self,
        tenant: TenantId,
        call: CallId,
        analysis: &CallAnalysis,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE calls SET analysis = $3 WHERE tenant_id = $1 AND id = $2";
        let write = sql(SQL).bind(tenant.0).bind(call.0).bind(json_text(analysis, false));
        self.execute(write).await.map(drop)
    }

    async fn replace_labels(
        &mut self,
        tenant: TenantId,
        call: CallId,
        result: &AnalysisResult,
    ) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM analysis_labels WHERE tenant_id = $1 AND call_id = $2";
        self.execute(sql(DELETE).bind(tenant.0).bind(call.0)).await?;
        let row = |(name, value): (String, String)| -> Vec<Value> {
            vec![tenant.0.into(), call.0.into(), name.into(), without_nul(&value).into()]
        };
        let insert = rows(
            "INSERT INTO analysis_labels (tenant_id, call_id, name, value) VALUES",
            result.labels().into_iter().map(row).collect(),
            "",
        );
        self.execute_all(insert).await.map(drop)
    }

    /// Adds the usage of an attempt to the call's analyses and to the month of the call.
    pub(super) async fn add_analysis_usage(
        &mut self,
        (tenant, call): (TenantId, CallId),
        ended_at: DateTime<Utc>,
        usage: &[EngineUse],
    ) -> Result<(), StoreError> {
        let row = |taken: &EngineUse| {
            let mut row: Vec<Value> = vec![tenant.0.into(), call.0.into()];
            row.extend(engine_columns(taken));
            row.push(kept_count(taken.quantity).into());
            row
        };
        let add = rows(
            "INSERT INTO analysis_usage (tenant_id, call_id, kind, engine, model, unit, quantity) VALUES",
            usage.iter().map(row).collect(),
            "ON CONFLICT (call_id, kind, engine, model, unit) \
             DO UPDATE SET quantity = analysis_usage.quantity + excluded.quantity",
        );
        self.execute_all(add).await?;
        let mut counted = vec![EndedCall {
            tenant,
            call,
            month: Month::of(ended_at),
            is_answered: true,
            seconds: 0,
            engines: usage.to_vec(),
        }];
        self.move_to_open_months(&mut counted).await?;
        self.add_engines_to_months(&counted).await
    }

    /// Ends a lease: the analysis is over, or due again. False when the lease was lost.
    async fn end_lease(
        &mut self,
        claimed: &ClaimedAnalysis,
        outcome: &AnalysisOutcome,
    ) -> Result<bool, StoreError> {
        const AGAIN: &str = "UPDATE analysis_jobs SET due_at = $4 \
            WHERE tenant_id = $1 AND call_id = $2 AND due_at = $3";
        const OVER: &str = "DELETE FROM analysis_jobs WHERE tenant_id = $1 AND call_id = $2 AND due_at = $3";
        let of_lease =
            |text| sql(text).bind(claimed.tenant.0).bind(claimed.call.0).bind(claimed.leased_until);
        let ended = match outcome {
            AnalysisOutcome::Again(due, _) => self.execute(of_lease(AGAIN).bind(kept(*due))).await?,
            _ => self.execute(of_lease(OVER)).await?,
        };
        Ok(ended > 0)
    }
}

impl Store {
    /// The tenants with an analysis that is due. It costs by the number of tenants with any, not by the length of their queues:
    /// the index is skipped along from one tenant to the next.
    pub async fn tenants_with_due_analyses(&self, now: DateTime<Utc>) -> Result<Vec<TenantId>, StoreError> {
        const SQL: &str = "WITH RECURSIVE waiting (tenant_id) AS ( \
                SELECT (SELECT tenant_id FROM analysis_jobs ORDER BY tenant_id LIMIT 1) \
                UNION ALL \
                SELECT (SELECT j.tenant_id FROM analysis_jobs j WHERE j.tenant_id > waiting.tenant_id \
                    ORDER BY j.tenant_id LIMIT 1) \
                FROM waiting WHERE waiting.tenant_id IS NOT NULL) \
            SELECT t.id FROM waiting JOIN tenants t ON t.id = waiting.tenant_id \
            WHERE t.status <> 'deleted' AND EXISTS (SELECT 1 FROM analysis_jobs j \
                WHERE j.tenant_id = waiting.tenant_id AND j.due_at <= $1)";
        let rows = AllTenants(self).all::<(Uuid,)>(sql(SQL).bind(kept(now))).await?;
        Ok(rows.into_iter().map(|(tenant,)| TenantId(tenant)).collect())
    }

    /// The number of analyses that are due or wait for another attempt.
    pub async fn analyses_pending(&self) -> Result<u64, StoreError> {
        let (count,) = AllTenants(self).one::<(i64,)>(sql("SELECT COUNT(*) FROM analysis_jobs")).await?;
        Ok(count.unsigned_abs())
    }
}

impl Scope {
    /// Takes the analysis that has been due for longest, until `lease`.
    pub async fn claim_analysis(
        &self,
        now: DateTime<Utc>,
        lease: DateTime<Utc>,
    ) -> Result<Option<ClaimedAnalysis>, StoreError> {
        // The condition stands twice: PostgreSQL looks at the outer one again when another daemon was first.
        const CLAIM: &str = "UPDATE analysis_jobs SET due_at = $3, attempts = attempts + 1 \
            WHERE call_id IN (SELECT call_id FROM analysis_jobs WHERE tenant_id = $1 AND due_at <= $2 \
                ORDER BY due_at LIMIT 1) AND tenant_id = $1 AND due_at <= $2 \
            RETURNING call_id, ai_profile_version, attempts";
        let (tenant, leased_until) = (self.tenant, kept(lease));
        let claim = sql(CLAIM).bind(tenant.0).bind(kept(now)).bind(leased_until);
        let mut tx = self.begin(Access::Write).await?;
        let claimed = tx.optional::<(Uuid, i64, i64)>(claim).await?;
        tx.commit().await?;
        let Some((call, version, attempts)) = claimed else { return Ok(None) };
        let attempt = u32::try_from(attempts).unwrap_or(u32::MAX);
        let version = narrow(Some(version))?.unwrap_or_default();
        Ok(Some(ClaimedAnalysis { tenant, call: CallId(call), attempt, version, leased_until }))
    }

    /// The call of an analysis, its turns, and the profile with the questions.
    ///
    /// # Errors
    /// `NotFound` when one of them was deleted.
    pub async fn analysed_call(&self, claimed: &ClaimedAnalysis) -> Result<AnalysedCall, StoreError> {
        let (call, turns) = self.call(claimed.call).await?.ok_or(StoreError::NotFound)?;
        let id = call.ai_profile_id.ok_or(StoreError::NotFound)?;
        let version = self.profile_version(id, claimed.version).await?;
        let profile = AiProfile {
            id,
            tenant_id: self.tenant,
            name: version.name,
            role: version.role,
            system_prompt: version.system_prompt,
            is_default: false,
            settings: version.settings,
            version: version.version,
            created_at: version.created_at,
            targets: version.targets.map(Into::into),
        };
        Ok(AnalysedCall { call, turns, profile })
    }

    /// Records how an attempt went. Its usage counts in any case; its result does unless the lease was lost, because the call was
    /// erased or another daemon has the analysis. Returns whether it did. The event of its end has the cost by `prices`.
    pub async fn settle_analysis(
        &self,
        claimed: &ClaimedAnalysis,
        attempt: AnalysisAttempt,
        prices: &Prices,
    ) -> Result<bool, StoreError> {
        const CALL: &str = "SELECT phone_number_id, ai_profile_id, ai_profile_version, started_at, answered_at, \
            ended_at, analysis FROM calls WHERE tenant_id = $1 AND id = $2";
        let AnalysisAttempt { at, usage, outcome } = attempt;
        let mut tx = self.begin(Access::Write).await?;
        let is_held = tx.end_lease(claimed, &outcome).await?;
        let call = sql(CALL).bind(self.tenant.0).bind(claimed.call.0);
        let Some(call) = tx.optional::<AnalysedRow>(call).await? else { return Ok(false) };
        let mut deliveries = 0;
        if is_held {
            let mut analysis = call.analysis()?.unwrap_or_else(CallAnalysis::due);
            analysis.add_usage(&usage);
            analysis.settle(kept(at), outcome);
            tx.write_analysis(self.tenant, claimed.call, &analysis).await?;
            if analysis.status == AnalysisStatus::Done {
                tx.replace_labels(self.tenant, claimed.call, &analysis.result).await?;
            }
            deliveries = tx.emit_analysis(claimed, &call, &analysis, prices).await?;
        }
        if !usage.is_empty() {
            let of = (claimed.tenant, claimed.call);
            tx.add_analysis_usage(of, call.ended_at.unwrap_or(at), &usage).await?;
        }
        tx.commit().await?;
        self.store.ring(deliveries);
        Ok(is_held)
    }

    /// The usage of a call's analyses; empty without any.
    pub async fn usage_of_analyses(&self, call: CallId) -> Result<Vec<EngineUse>, StoreError> {
        const SQL: &str = "SELECT tenant_id, kind, engine, model, unit, quantity FROM analysis_usage \
            WHERE tenant_id = $1 AND call_id = $2 ORDER BY engine, model, unit";
        let rows = self.all::<super::usage::EngineRow>(sql(SQL).bind(self.tenant.0).bind(call.0)).await?;
        rows.into_iter().map(EngineUse::try_from).collect()
    }
}

impl CallAnalysis {
    fn settle(&mut self, at: DateTime<Utc>, outcome: AnalysisOutcome) {
        let (status, problem) = match outcome {
            AnalysisOutcome::Done(result) => {
                self.result = result;
                (AnalysisStatus::Done, None)
            }
            AnalysisOutcome::Again(_, problem) => (AnalysisStatus::Pending, Some(problem)),
            AnalysisOutcome::Failed(problem) => (AnalysisStatus::Failed, Some(problem)),
            AnalysisOutcome::Unavailable(problem) => (AnalysisStatus::Unavailable, Some(problem)),
        };
        self.finished_at = (status != AnalysisStatus::Pending).then_some(at);
        (self.status, self.problem) = (status, problem.map(|it| without_nul(&it)));
    }
}

/// The event of the end of a run.
pub(super) fn analysis_event(call: CallId, run: u32) -> EventId {
    EventId::of(Uuid::new_v5(&call.0, format!("analysis {run}").as_bytes()), EventType::CallAnalyzed)
}

#[derive(sqlx::FromRow)]
struct AnalysedRow {
    phone_number_id: Uuid,
    ai_profile_id: Option<Uuid>,
    ai_profile_version: Option<i64>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    analysis: Option<String>,
}

impl AnalysedRow {
    fn analysis(&self) -> Result<Option<CallAnalysis>, StoreError> {
        from_json_text(self.analysis.as_deref())
    }
}

impl Tx {
    /// Writes the event of an analysis that is over.
    async fn emit_analysis(
        &mut self,
        claimed: &ClaimedAnalysis,
        call: &AnalysedRow,
        analysis: &CallAnalysis,
        prices: &Prices,
    ) -> Result<u64, StoreError> {
        if analysis.status == AnalysisStatus::Pending {
            return Ok(0);
        }
        let id = analysis_event(claimed.call, analysis.run);
        let usage = Usage { engines: analysis.usage.clone(), ..Usage::default() };
        let data = AnalysisPayload {
            call_id: claimed.call,
            tenant_id: claimed.tenant,
            phone_number_id: NumberId(call.phone_number_id),
            ai_profile_id: call.ai_profile_id.map(ProfileId),
            ai_profile_version: narrow(call.ai_profile_version)?,
            started_at: call.started_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            analysis,
            cost: Bill::new(prices, None, &usage),
        };
        self.emit(claimed.tenant, EventType::CallAnalyzed, id, &data).await
    }
}

/// `data` of `call.analyzed`.
#[derive(Serialize, ToSchema)]
#[schema(as = AnalysisEventData)]
pub struct AnalysisPayload<'a> {
    call_id: CallId,
    tenant_id: TenantId,
    phone_number_id: NumberId,
    ai_profile_id: Option<ProfileId>,
    /// The profile's version that the call used.
    ai_profile_version: Option<u32>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    analysis: &'a CallAnalysis,
    /// The cost of the analysis's usage, by the price list at its end.
    cost: Bill,
}
