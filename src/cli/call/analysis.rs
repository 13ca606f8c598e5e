//! `vca call try-analysis`, and how analyses are shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::records::CallSelector;
use crate::analysis::{AnalysisTrial, AnalysisTrials, FindModel};
use crate::cli::actor;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::settings::read;
use crate::cli::table::{Sheet, printable};
use crate::config::Config;
use crate::control;
use crate::daemon::AgentFactory;
use crate::store::Store;
use crate::tenancy::{AnalysisResult, AnalysisSettings, AnalysisStatus, CallAnalysis, text_of};

#[derive(Debug, Args)]
pub struct TryAnalysis {
    #[command(flatten)]
    which: CallSelector,
    /// A file, JSON or TOML, with an `analysis` to try, as for `vca profile update --settings-file`. Default: that of the call's
    /// profile.
    #[arg(long, value_name = "PATH")]
    settings_file: Option<PathBuf>,
}

/// Settings of which the analysis is tried.
#[derive(Deserialize)]
struct Proposed {
    analysis: Option<AnalysisSettings>,
}

impl TryAnalysis {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let (tenant, call, _) = self.which.find(store).await?;
        let proposed = self.settings_file.as_deref().map(read).transpose()?.map(analysis).transpose()?;
        let agents = AgentFactory::without_model(config)?;
        let permitted = config.permitted(config.engines().catalogue());
        let find_model: FindModel = Arc::new(move |profile, own| agents.analyst(profile, own));
        let longest = Duration::from_millis(config.analysis.timeout_ms);
        let trials = AnalysisTrials::new(&config.analysis, longest, find_model);
        let scope = store.scope(tenant.id);
        let trial = control::try_analysis(&scope, &actor(), &permitted, &trials, call.id, proposed).await?;
        output.print(&trial, || trial_sheet(&trial))?;
        if trial.status == AnalysisStatus::Done { Ok(()) } else { Err(Failure::said()) }
    }
}

fn analysis(settings: serde_json::Value) -> Result<AnalysisSettings, Failure> {
    let proposed: Proposed = serde_json::from_value(settings)
        .map_err(|error| Failure::unacceptable(format!("--settings-file: {error}")))?;
    proposed.analysis.ok_or_else(|| Failure::unacceptable("--settings-file: it has no `analysis`"))
}

/// The analysis of a call.
pub fn sheet(analysis: &CallAnalysis) -> String {
    let sheet = Sheet::new().line("analysis", analysis.status);
    let sheet = result_lines(sheet, analysis.problem.as_deref(), &analysis.result);
    sheet.line("tokens", analysis.tokens()).to_string()
}

fn trial_sheet(trial: &AnalysisTrial) -> String {
    let sheet = Sheet::new().line("trial", trial.status);
    let mut sheet = result_lines(sheet, trial.problem.as_deref(), &trial.result);
    for usage in &trial.usage {
        sheet = sheet.line(usage.unit.as_str(), format_args!("{} of {}", usage.quantity, usage.model));
    }
    sheet.line("duration", format_args!("{} ms", trial.duration_ms)).to_string()
}

fn result_lines(mut sheet: Sheet, problem: Option<&str>, result: &AnalysisResult) -> Sheet {
    let AnalysisResult { summary, outcome, success, sentiment, fields } = result;
    for (name, value) in [
        ("problem", problem.map(str::to_owned)),
        ("summary", summary.clone()),
        ("outcome", outcome.clone()),
        ("success", success.map(|it| it.to_string())),
        ("sentiment", sentiment.map(|it| it.to_string())),
    ] {
        if let Some(value) = value {
            sheet = sheet.line(name, printable(&value));
        }
    }
    for (name, value) in fields {
        sheet = sheet.line(name, printable(&text_of(value)));
    }
    sheet
}
