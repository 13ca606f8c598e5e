//! The end-of-turn model: whether it can be loaded.

use super::Finding;
use crate::engines::end_of_turn::{EndOfTurn, Settings};

const CHECK: &str = "end-of-turn model";

/// Nothing where the configuration names no model.
pub async fn examine(settings: &Settings) -> Option<Finding> {
    let file = settings.model_file.as_ref()?.display().to_string();
    let settings = settings.clone();
    let loading = tokio::task::spawn_blocking(move || EndOfTurn::load(&settings, None).map(drop));
    let problem = match loading.await {
        Ok(Ok(())) => return Some(Finding::ok(CHECK, file)),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let remedy = "the daemon does not start without it: correct end_of_turn.model_file, or remove it (docs/turn-taking.md)";
    Some(Finding::fail(CHECK, problem, remedy))
}
