//! Trials: an analysis of a past call that leaves nothing but its usage.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::warn;
use utoipa::ToSchema;

use super::Settings;
use super::asking::ask;
use super::worker::{FindModel, problem, usable};
use crate::store::{AnalysedCall, Scope, StoreError};
use crate::tenancy::{AnalysisResult, AnalysisSettings, AnalysisStatus, EngineUse, TenantId};

/// The result of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnalysisTrial {
    /// `done`, `failed` or `unavailable`.
    pub status: AnalysisStatus,
    /// Why there is no result.
    pub problem: Option<String>,
    #[serde(flatten)]
    pub result: AnalysisResult,
    /// The usage of the trial, which is billed.
    pub usage: Vec<EngineUse>,
    pub duration_ms: u64,
}

/// Tries analyses: one at a time of each tenant, and as many of all as the workers carry out.
pub struct AnalysisTrials {
    settings: Settings,
    find_model: FindModel,
    in_progress: Arc<Mutex<HashSet<TenantId>>>,
    tasks: TaskTracker,
}

/// The right to one trial, until it is dropped.
#[derive(Debug)]
pub struct TrialPlace {
    tenant: TenantId,
    in_progress: Arc<Mutex<HashSet<TenantId>>>,
}

impl Drop for TrialPlace {
    fn drop(&mut self) {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }
}

impl AnalysisTrials {
    /// `longest` bounds the timeout of the settings.
    pub fn new(settings: &Settings, longest: Duration, find_model: FindModel) -> AnalysisTrials {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let timeout_ms = settings.timeout_ms.min(longest_ms);
        AnalysisTrials {
            settings: Settings { timeout_ms, ..settings.clone() },
            find_model,
            in_progress: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// A place for a trial of a tenant.
    ///
    /// # Errors
    /// `Refused` (`trial_in_progress`) while there is no room.
    pub fn place(&self, tenant: TenantId) -> Result<TrialPlace, StoreError> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = in_progress.len() >= self.settings.max_concurrent.max(1);
        if is_full || !in_progress.insert(tenant) {
            let what = "another trial of an analysis is in progress: try again when it has ended";
            return Err(StoreError::refused("trial_in_progress", what));
        }
        Ok(TrialPlace { tenant, in_progress: self.in_progress.clone() })
    }

    /// Asks the questions of a profile about a call, once, with one correction.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn run(
        &self,
        place: TrialPlace,
        scope: &Scope,
        call: AnalysedCall,
        questions: AnalysisSettings,
    ) -> Result<AnalysisTrial, StoreError> {
        let own = scope.engine_accesses().await?;
        let model = match usable((self.find_model)(&call.profile, &own)) {
            Ok(model) => model,
            Err(problem) => return Ok(AnalysisTrial::unavailable(problem)),
        };
        let (scope, settings) = (scope.clone(), self.settings.clone());
        // A task of its own: the usage is recorded even if the client does not wait for the result.
        let trial = self.tasks.spawn(async move {
            let _place = place;
            let began = Instant::now();
            let (result, usage) = ask(&model, &call, &questions, &settings).await;
            scope.add_trial_usage(&call.call, &usage).await?;
            let (status, problem, result) = match result {
                Ok(result) => (AnalysisStatus::Done, None, result),
                Err(error) => {
                    (AnalysisStatus::Failed, Some(problem(&error, &model)), AnalysisResult::default())
                }
            };
            let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(AnalysisTrial { status, problem, result, usage, duration_ms })
        });
        trial.await.unwrap_or_else(|failure| Err(StoreError::Other(format!("a trial ended: {failure}"))))
    }

    /// Waits until the trials in progress have recorded their usage, for `limit` at most. Others may not be begun meanwhile.
    pub async fn finish(&self, limit: Duration) {
        self.tasks.close();
        if timeout(limit, self.tasks.wait()).await.is_err() {
            let trials = self.tasks.len();
            warn!(trials, "trials of analyses did not end in time: their usage is not recorded");
        }
    }
}

impl AnalysisTrial {
    fn unavailable(problem: String) -> AnalysisTrial {
        AnalysisTrial {
            status: AnalysisStatus::Unavailable,
            problem: Some(problem),
            result: AnalysisResult::default(),
            usage: Vec::new(),
            duration_ms: 0,
        }
    }
}
