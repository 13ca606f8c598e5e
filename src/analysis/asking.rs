//! One attempt: the questions, the check of the reply, and one correction.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::Settings;
use super::prompt::{addressed, correction, prompt};
use super::questions::check;
use super::reply::{object, text};
use super::worker::Model;
use crate::engines::core::EngineError;
use crate::engines::core::usage::{Meter, Unit};
use crate::store::AnalysedCall;
use crate::tenancy::{AnalysisResult, AnalysisSettings, EngineKind, EngineUse, UsageUnit};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("no reply within {0:?}")]
    Late(Duration),
    /// The model replied, and not as it was asked to: another attempt would be no better.
    #[error("{0}")]
    Refused(String),
}

/// Asks a model about a call; also returns the usage, which is due in any case.
pub async fn ask(
    model: &Model,
    call: &AnalysedCall,
    questions: &AnalysisSettings,
    settings: &Settings,
) -> (Result<AnalysisResult, AskError>, Vec<EngineUse>) {
    let limit = Duration::from_millis(settings.timeout_ms);
    let meter = Meter::default();
    let asked = timeout(limit, ask_twice(model, call, questions, (settings, &meter)));
    let result = asked.await.unwrap_or(Err(AskError::Late(limit)));
    (result, usage(&meter))
}

async fn ask_twice(
    model: &Model,
    call: &AnalysedCall,
    questions: &AnalysisSettings,
    (settings, meter): (&Settings, &Meter),
) -> Result<AnalysisResult, AskError> {
    let first = addressed(prompt(call, questions), model.name.clone(), settings.max_tokens);
    let reply = text(&*model.llm, first.clone(), meter.clone()).await?;
    let problem = match read(questions, &reply) {
        Ok(result) => return Ok(result),
        Err(problem) => problem,
    };
    let second = correction(&first, &reply, &problem);
    let reply = text(&*model.llm, second, meter.clone()).await?;
    let refused = |problem| AskError::Refused(format!("the reply does not fit the questions: {problem}"));
    read(questions, &reply).map_err(refused)
}

fn read(questions: &AnalysisSettings, reply: &str) -> Result<AnalysisResult, String> {
    let object: Value = object(reply).ok_or("it holds no complete JSON object")?;
    check(questions, object)
}

fn usage(meter: &Meter) -> Vec<EngineUse> {
    let unit = |unit| match unit {
        Unit::Requests => UsageUnit::Requests,
        Unit::AudioMs => UsageUnit::AudioMs,
        Unit::Characters => UsageUnit::Characters,
        Unit::InputTokens => UsageUnit::InputTokens,
        Unit::OutputTokens => UsageUnit::OutputTokens,
        Unit::CachedInputTokens => UsageUnit::CachedInputTokens,
        Unit::AudioInputTokens => UsageUnit::AudioInputTokens,
        Unit::AudioOutputTokens => UsageUnit::AudioOutputTokens,
        Unit::CachedAudioTokens => UsageUnit::CachedAudioTokens,
    };
    let taken = meter.total().into_iter().map(|(item, quantity)| EngineUse {
        kind: EngineKind::Llm,
        engine: item.engine.to_string(),
        model: item.model.to_string(),
        unit: unit(item.unit),
        quantity,
    });
    taken.collect()
}
