//! Trials of analyses.

use super::{ControlError, permitted_of};
use crate::analysis::{AnalysisTrial, AnalysisTrials};
use crate::store::{Scope, StoreError};
use crate::tenancy::{Actor, AnalysisSettings, CallId, Draft, Permitted, ProfileSettings, check_profile};
use crate::violation::Violation;

/// Asks the questions of a past call's profile about it, or `proposed` ones, and stores nothing but the usage. The audit log has
/// the trial, because the usage is billed.
///
/// # Errors
/// As of [`Scope::tried_call`]; `Invalid` with all violations of proposed questions; `Refused` when there is no question
/// (`analysis_off`) and while another trial is in progress (`trial_in_progress`); `LimitReached`.
pub async fn try_analysis(
    scope: &Scope,
    actor: &Actor,
    permitted: &Permitted,
    trials: &AnalysisTrials,
    call: CallId,
    proposed: Option<AnalysisSettings>,
) -> Result<AnalysisTrial, ControlError> {
    let mut material = scope.tried_call(call).await?;
    if let Some(proposed) = proposed {
        let settings = ProfileSettings { analysis: Some(proposed), ..material.profile.settings };
        ControlError::unless_none(violations(&settings, &permitted_of(scope, permitted).await?))?;
        material.profile.settings = settings;
    }
    let questions = material.profile.settings.analysis.clone().filter(|it| !it.is_empty());
    let questions = questions.ok_or_else(|| {
        let what =
            "there are no questions: set settings.analysis of the call's profile, or propose an analysis";
        StoreError::refused("analysis_off", what)
    })?;
    let place = trials.place(scope.tenant_id())?;
    scope.begin_analysis_trial(actor, call).await?;
    Ok(trials.run(place, scope, material, questions).await?)
}

/// The violations of the analysis alone: those of other settings are not the proposal's.
fn violations(settings: &ProfileSettings, permitted: &Permitted) -> Vec<Violation> {
    let draft = Draft { settings: Some(settings), ..Draft::default() };
    let found = check_profile(draft, permitted).into_iter().filter_map(|violation| {
        let field = violation.field.strip_prefix("settings.")?.to_owned();
        field.starts_with("analysis.").then_some(Violation { field, ..violation })
    });
    found.collect()
}
