//! Takes due analyses, one at a time of each tenant, and carries them out.
//!
//! A tenant has one analysis in progress at most, and the tenant that was served longest ago goes first, so a long queue or a slow
//! model delays the analyses of its own tenant alone. A failure here loses nothing: a claimed analysis becomes due again when
//! its lease ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, gauge, histogram};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, interval};
use tracing::{info, warn};

use super::Settings;
use super::asking::{AskError, ask};
use crate::billing::Billing;
use crate::current::Current;
use crate::engines::core::EngineError;
use crate::engines::llm::Llm;
use crate::store::{AnalysedCall, AnalysisAttempt, AnalysisOutcome, ClaimedAnalysis, Store, StoreError};
use crate::tenancy::{AiProfile, EngineAccess, TenantId};

/// The lease is longer than the timeout of an attempt by this.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// The pauses after failed attempts, in seconds: about an hour in all.
const PAUSES: [u64; 5] = [30, 120, 480, 1_200, 1_800];
/// The most attempts, with those of which nothing was recorded because the daemon ended or the attempt panicked.
const MOST_ATTEMPTS: u32 = 12;
/// The longest pause that an engine may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);
/// The turns of a tenant are remembered for so long.
const MEMORY: Duration = Duration::from_secs(3_600);

/// A language model that analyses calls.
#[derive(Clone)]
pub struct Model {
    pub llm: Arc<dyn Llm>,
    /// The engine's default when absent.
    pub name: Option<Arc<str>>,
}

/// The model of a profile; `None` when it names an engine that there is not.
pub type FindModel = Arc<dyn Fn(&AiProfile, &[EngineAccess]) -> Option<Model> + Send + Sync>;

/// Analyses calls.
pub struct Analyst {
    store: Store,
    settings: Arc<Settings>,
    find_model: FindModel,
    billing: Current<Billing>,
    in_progress: JoinSet<()>,
    tenants: HashMap<Id, TenantId>,
    served: HashMap<TenantId, Instant>,
    /// The database is not available.
    is_unavailable: bool,
}

impl Analyst {
    pub fn new(
        store: Store,
        settings: Settings,
        find_model: FindModel,
        billing: Current<Billing>,
    ) -> Analyst {
        Analyst {
            store,
            settings: Arc::new(settings),
            find_model,
            billing,
            in_progress: JoinSet::new(),
            tenants: HashMap::new(),
            served: HashMap::new(),
            is_unavailable: false,
        }
    }

    /// Works until it is dropped, in the middle of an attempt as well.
    pub async fn run(mut self) {
        let mut ticks = interval(Duration::from_millis(self.settings.poll_interval_ms.max(1)));
        let mut measurements = interval(MEASURE_INTERVAL);
        loop {
            let filled = self.fill(Utc::now()).await;
            self.log_availability(filled);
            tokio::select! {
                Some(done) = self.in_progress.join_next_with_id() => self.finish(done),
                _ = ticks.tick() => {}
                _ = measurements.tick() => self.measure().await,
            }
        }
    }

    /// Carries out the analyses that are due at `now`.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn round(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        loop {
            self.fill(now).await?;
            match self.in_progress.join_next_with_id().await {
                Some(done) => self.finish(done),
                None => return Ok(()),
            }
        }
    }

    /// Starts due analyses, as far as there is room.
    async fn fill(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        if self.in_progress.len() >= self.settings.max_concurrent {
            return Ok(());
        }
        let mut waiting = self.store.tenants_with_due_analyses(now).await?;
        waiting.retain(|tenant| !self.tenants.values().any(|busy| busy == tenant));
        waiting.sort_by_key(|tenant| self.served.get(tenant).copied());
        let lease = now + Duration::from_millis(self.settings.timeout_ms) + LEASE_MARGIN;
        for tenant in waiting {
            if self.in_progress.len() >= self.settings.max_concurrent {
                break;
            }
            if let Some(claimed) = self.store.scope(tenant).claim_analysis(now, lease).await? {
                self.start(claimed, now);
            }
        }
        Ok(())
    }

    fn start(&mut self, claimed: ClaimedAnalysis, now: DateTime<Utc>) {
        let (store, settings) = (self.store.clone(), self.settings.clone());
        let (find_model, billing, tenant) = (self.find_model.clone(), self.billing.clone(), claimed.tenant);
        let task = self.in_progress.spawn(async move {
            if let Err(error) = analyse(&store, &settings, &find_model, &billing, (&claimed, now)).await {
                let (tenant_id, call_id) = (claimed.tenant, claimed.call);
                warn!(%tenant_id, %call_id, %error, "analysis not recorded: it is repeated when its lease ends");
            }
        });
        self.tenants.insert(task.id(), tenant);
        self.served.insert(tenant, Instant::now());
    }

    fn finish(&mut self, done: Result<(Id, ()), JoinError>) {
        let id = match done {
            Ok((id, ())) => id,
            Err(failure) => {
                warn!(%failure, "an analysis panicked: it is repeated when its lease ends");
                failure.id()
            }
        };
        self.tenants.remove(&id);
    }

    async fn measure(&mut self) {
        self.served.retain(|_, at| at.elapsed() < MEMORY);
        if let Ok(pending) = self.store.analyses_pending().await {
            gauge!("vca_analyses_pending").set(pending as f64);
        }
    }

    /// Logs once that the database is not available, and once that it is again.
    fn log_availability(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) if self.is_unavailable => info!("analyses of calls resumed"),
            Err(ref error) if !self.is_unavailable => {
                warn!(%error, "analyses of calls are waiting for the database");
            }
            _ => {}
        }
        self.is_unavailable = result.is_err();
    }
}

/// Carries out one attempt and records how it went.
async fn analyse(
    store: &Store,
    settings: &Settings,
    find_model: &FindModel,
    billing: &Current<Billing>,
    (claimed, now): (&ClaimedAnalysis, DateTime<Utc>),
) -> Result<(), StoreError> {
    let scope = store.scope(claimed.tenant);
    let begun = Instant::now();
    let failed = |problem: String| {
        let outcome = AnalysisOutcome::Failed(problem);
        AnalysisAttempt { at: now, usage: Vec::new(), outcome }
    };
    let attempt = match scope.analysed_call(claimed).await {
        _ if claimed.attempt > MOST_ATTEMPTS => {
            failed(format!("given up: of {MOST_ATTEMPTS} attempts, the latest ended without a result"))
        }
        Ok(call) => {
            let own = scope.engine_accesses().await?;
            attempt(settings, |profile| find_model(profile, &own), &call, (claimed, now)).await
        }
        Err(StoreError::NotFound) => failed("the call or the version of its profile was deleted".to_owned()),
        Err(error) => return Err(error),
    };
    let label = label(&attempt.outcome);
    counter!("vca_analyses_total", "outcome" => label).increment(1);
    histogram!("vca_analysis_seconds").record(begun.elapsed().as_secs_f64());
    scope.settle_analysis(claimed, attempt, &billing.get().prices).await.map(drop)
}

async fn attempt(
    settings: &Settings,
    find_model: impl Fn(&AiProfile) -> Option<Model>,
    call: &AnalysedCall,
    (claimed, now): (&ClaimedAnalysis, DateTime<Utc>),
) -> AnalysisAttempt {
    let over = |outcome| AnalysisAttempt { at: now, usage: Vec::new(), outcome };
    let Some(questions) = call.profile.settings.analysis.as_ref() else {
        return over(AnalysisOutcome::Failed("the version of the profile asks for no analysis".to_owned()));
    };
    let model = match usable(find_model(&call.profile)) {
        Ok(model) => model,
        Err(problem) => return over(AnalysisOutcome::Unavailable(problem)),
    };
    let began = Instant::now();
    let (result, usage) = ask(&model, call, questions, settings).await;
    let outcome = match result {
        Ok(result) => AnalysisOutcome::Done(result),
        Err(error) => failure(&error, &model, (claimed, now + began.elapsed())),
    };
    AnalysisAttempt { at: now + began.elapsed(), usage, outcome }
}

/// The model, if it can analyse calls.
///
/// # Errors
/// Why it cannot.
pub(super) fn usable(model: Option<Model>) -> Result<Model, String> {
    let absent = "the language model engine of the profile is not configured, or may not be used";
    let model = model.ok_or(absent)?;
    if model.llm.is_model() {
        return Ok(model);
    }
    Err(format!(
        "the engine {} replies by a script and cannot analyse calls: set settings.analysis.llm to a language model",
        model.llm.name()
    ))
}

/// The problem of a failed attempt, for the tenant: the kind of an engine's failure without the words of its server.
pub(super) fn problem(error: &AskError, model: &Model) -> String {
    match error {
        AskError::Refused(problem) => problem.clone(),
        AskError::Late(_) => format!("{}: timeout", model.llm.name()),
        AskError::Engine(error) => format!("{}: {}", model.llm.name(), error.reason().as_str()),
    }
}

/// The outcome of a failed attempt. The tenant reads the kind of the failure; what a server wrote is in the log.
fn failure(
    error: &AskError,
    model: &Model,
    (claimed, now): (&ClaimedAnalysis, DateTime<Utc>),
) -> AnalysisOutcome {
    let (engine, problem) = (model.llm.name(), problem(error, model));
    let wanted = match error {
        AskError::Refused(_) => return AnalysisOutcome::Failed(problem),
        AskError::Late(_) => Duration::ZERO,
        AskError::Engine(error) => pause_of(error),
    };
    let (tenant_id, call_id, attempt) = (claimed.tenant, claimed.call, claimed.attempt);
    warn!(%tenant_id, %call_id, attempt, %engine, %error, "attempt to analyse a call failed");
    match pause(attempt, rand::random()) {
        Some(pause) => {
            let pause = TimeDelta::from_std(pause.max(wanted)).unwrap_or_default();
            AnalysisOutcome::Again(now + pause, problem)
        }
        None => AnalysisOutcome::Failed(format!("{problem}; given up after {attempt} attempts")),
    }
}

/// The pause that an engine asks for.
fn pause_of(error: &EngineError) -> Duration {
    match error {
        EngineError::Busy { after, .. } => (*after).min(LONGEST_PAUSE),
        _ => Duration::ZERO,
    }
}

/// The pause after an attempt, from 1; `None` after the last one. `jitter`, from 0 to 1, spreads it by a tenth in either direction.
fn pause(attempt: u32, jitter: f64) -> Option<Duration> {
    let at = usize::try_from(attempt.max(1) - 1).ok()?;
    Some(Duration::from_secs(*PAUSES.get(at)?).mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0)))
}

fn label(outcome: &AnalysisOutcome) -> &'static str {
    match outcome {
        AnalysisOutcome::Done(_) => "done",
        AnalysisOutcome::Again(..) => "retried",
        AnalysisOutcome::Failed(_) => "failed",
        AnalysisOutcome::Unavailable(_) => "unavailable",
    }
}
