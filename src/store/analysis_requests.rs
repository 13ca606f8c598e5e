//! Requests to analyse a call again.

use serde_json::json;

use super::analyses::is_asked;
use super::audit::Change;
use super::calls::from_json_text;
use super::statement::sql;
use super::tx::{Access, RowScope};
use super::{Scope, StoreError, now};
use crate::tenancy::{Actor, AnalysisStatus, CallAnalysis, CallId};

/// The most analyses of one call.
pub(super) const MOST_RUNS: u32 = 20;

impl Scope {
    /// Has a call analysed again, by the present version of its profile. An analysis that is pending stays as it is.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such call; `Refused` while it is in progress (`call_live`), when its caller said nothing
    /// or it was erased (`no_words`), when its profile asks for no analysis (`analysis_off`), and after 20 analyses of the call (`analyses_used_up`).
    pub async fn request_analysis(&self, actor: &Actor, call: CallId) -> Result<CallAnalysis, StoreError> {
        const SELECT: &str = "SELECT c.ended_at IS NOT NULL AS has_ended, c.analysis, p.version, p.settings, \
            EXISTS (SELECT 1 FROM call_turns t WHERE t.tenant_id = c.tenant_id AND t.call_id = c.id \
                AND t.caller_text <> '') AS has_words, \
            EXISTS (SELECT 1 FROM analysis_jobs j WHERE j.tenant_id = c.tenant_id AND j.call_id = c.id) AS is_queued \
            FROM calls c LEFT JOIN ai_profiles p ON p.tenant_id = c.tenant_id AND p.id = c.ai_profile_id \
            WHERE c.tenant_id = $1 AND c.id = $2";
        const QUEUE: &str = "INSERT INTO analysis_jobs \
            (call_id, tenant_id, ai_profile_version, attempts, due_at, created_at) VALUES ($1, $2, $3, 0, $4, $4) \
            ON CONFLICT (call_id) DO NOTHING";
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let row = tx.one::<RequestedRow>(sql(SELECT).bind(self.tenant.0).bind(call.0)).await?;
        let (version, analysis) = match row.next_run()? {
            NextRun::Pending(analysis) => {
                // The response has the former result: an erasure of the call finds it by this.
                if let Some(attempt) = actor.attempt {
                    tx.record_attempt(attempt, "call", &call.to_string()).await?;
                    tx.commit().await?;
                }
                return Ok(analysis);
            }
            NextRun::Due(version, analysis) => (version, analysis),
        };
        let queue = sql(QUEUE).bind(call.0).bind(self.tenant.0).bind(version).bind(now());
        tx.execute(queue).await?;
        tx.write_analysis(self.tenant, call, &analysis).await?;
        let kept = json!({ "run": analysis.run });
        tx.audit(Change::new(actor, self.tenant, "analyze", "call", call.0).after(&kept)).await?;
        tx.commit().await?;
        Ok(analysis)
    }
}

#[derive(sqlx::FromRow)]
struct RequestedRow {
    has_ended: bool,
    has_words: bool,
    is_queued: bool,
    analysis: Option<String>,
    version: Option<i64>,
    settings: Option<String>,
}

/// The run that a request leads to.
enum NextRun {
    /// One is due already.
    Pending(CallAnalysis),
    /// With the version of the profile that has the questions.
    Due(i64, CallAnalysis),
}

impl RequestedRow {
    fn next_run(&self) -> Result<NextRun, StoreError> {
        if !self.has_ended {
            return Err(StoreError::refused("call_live", "the call is in progress: wait for its end"));
        }
        if !self.has_words {
            return Err(StoreError::refused("no_words", "there are no words of the caller to analyse"));
        }
        let asked = self.settings.as_deref().is_some_and(is_asked);
        let Some(version) = self.version.filter(|_| asked) else {
            let what = "the call's profile asks for no analysis: set settings.analysis, with enabled";
            return Err(StoreError::refused("analysis_off", what));
        };
        let before: Option<CallAnalysis> = from_json_text(self.analysis.as_deref())?;
        match before {
            None => Ok(NextRun::Due(version, CallAnalysis::due())),
            Some(before) if before.status == AnalysisStatus::Pending => Ok(match self.is_queued {
                true => NextRun::Pending(before),
                // The call was imported: due analyses do not travel.
                false => NextRun::Due(version, before),
            }),
            Some(before) if before.run >= MOST_RUNS => {
                let what = format!("the call was analysed {MOST_RUNS} times, which is the most");
                Err(StoreError::refused("analyses_used_up", what))
            }
            Some(before) => Ok(NextRun::Due(version, before.again())),
        }
    }
}
