//! The habits of a server's models that its responses reveal: parameters that it refuses, and reasoning that no tag opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::engines::llm::Prompt;

/// Optional parameters that are left out once a server has refused them.
const OPTIONAL: [&str; 8] = [
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "reasoning",
    "reasoning_effort",
    "stream_options",
    "temperature",
    "tools",
];
/// The number of models with remembered habits.
const MODELS: usize = 256;

/// The habits of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelHabits {
    /// Parameters that it refused.
    pub refused: BTreeSet<&'static str>,
    /// It refused a request without `reasoning_effort`, as OpenAI's models that reason do beside tools.
    pub wants_no_reasoning: bool,
    /// Its chat template has no system prompt: the instructions are a part of the first line of the user.
    pub has_no_system_role: bool,
    /// Its replies begin within reasoning, and only the end of it has a tag: the chat template has written the opening one.
    pub begins_in_reasoning: bool,
}

impl ModelHabits {
    /// Notes a refused parameter of a request; whether a changed request is worth a try.
    fn refuse(&mut self, parameter: &str, request: &Value) -> bool {
        if parameter == "system" {
            return !std::mem::replace(&mut self.has_no_system_role, true);
        }
        // Servers name nested parameters by their path, as in stream_options.include_usage.
        let name = parameter.split(['.', '[']).next().unwrap_or_default();
        let Some(known) = OPTIONAL.iter().find(|it| **it == name) else { return false };
        if request.get(known).is_some() {
            return self.refused.insert(known);
        }
        let is_new = *known == "reasoning_effort" && !self.wants_no_reasoning;
        self.wants_no_reasoning |= is_new;
        is_new
    }

    /// The habits that cost callers something, with their remedies.
    fn remarks(&self) -> Vec<(String, String)> {
        let tools = self.refused.contains("tools").then_some((
            "the server refuses tools: the agent can end a call only by words that spell the tool",
            "let the server call tools (vLLM: --enable-auto-tool-choice and --tool-call-parser; llama.cpp: --jinja), or \
             choose a model with tools",
        ));
        let reasoning = self.begins_in_reasoning.then_some((
            "its replies begin with reasoning that no tag opens: each reply is held back until the reasoning ends",
            "switch reasoning off, or let the server separate it (vLLM: --reasoning-parser)",
        ));
        let remarks = tools.into_iter().chain(reasoning);
        remarks.map(|(problem, remedy)| (problem.to_owned(), remedy.to_owned())).collect()
    }
}

/// Whether a request offers tools.
pub fn has_tools(prompt: &Prompt, habits: &ModelHabits) -> bool {
    !prompt.tools.is_empty() && !habits.refused.contains("tools")
}

/// Without tools an agent can do less, which an operator has to know of; the other parameters are spared at no cost.
pub fn log_refusal(engine: &str, model: &str, parameter: &str) {
    if parameter == "tools" {
        let remedy = "let the server call tools, or choose a model with tools, then reload";
        tracing::warn!(engine, model, remedy, "tools refused: requests have none from now on");
    } else {
        tracing::info!(engine, model, parameter, "parameter refused: requests are adapted");
    }
}

/// The habits of each model of one engine.
#[derive(Debug, Default)]
pub struct Habits(Mutex<BTreeMap<String, ModelHabits>>);

impl Habits {
    pub fn of(&self, model: &str) -> ModelHabits {
        self.models().get(model).cloned().unwrap_or_default()
    }

    /// Remembers a refused parameter of a request; whether a changed request is worth a try.
    pub fn refuse(&self, model: &str, parameter: &str, request: &Value) -> bool {
        self.change(model, |habits| habits.refuse(parameter, request))
    }

    /// Remembers whether the replies of a model begin in reasoning; whether this is news.
    pub fn begin_in_reasoning(&self, model: &str, begins: bool) -> bool {
        self.change(model, |habits| std::mem::replace(&mut habits.begins_in_reasoning, begins) != begins)
    }

    /// The habits of all models that cost callers something, with their remedies.
    pub fn remarks(&self) -> Vec<(String, String)> {
        self.models().values().flat_map(ModelHabits::remarks).collect()
    }

    fn change(&self, model: &str, change: impl FnOnce(&mut ModelHabits) -> bool) -> bool {
        let mut models = self.models();
        let mut habits = models.get(model).cloned().unwrap_or_default();
        let is_changed = change(&mut habits);
        if is_changed {
            if models.len() >= MODELS && !models.contains_key(model) {
                models.pop_first();
            }
            models.insert(model.to_owned(), habits);
        }
        is_changed
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, ModelHabits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_remembered_by_model_and_bounded() {
        let habits = Habits::default();
        let request =
            json!({ "max_tokens": 1, "stream_options": {}, "temperature": 0, "tools": [], "messages": [] });
        assert!(habits.refuse("a", "max_tokens", &request) && !habits.refuse("a", "max_tokens", &request));
        assert!(habits.refuse("a", "stream_options.include_usage", &request));
        assert!(habits.refuse("a", "tools", &request) && !habits.refuse("a", "messages", &request));
        assert_eq!((habits.of("a").refused.len(), habits.of("b").refused.len()), (3, 0));
        assert_eq!(habits.remarks().len(), 1, "{:?}", habits.remarks());
        for model in 0..2 * MODELS {
            habits.refuse(&model.to_string(), "temperature", &request);
        }
        assert_eq!(habits.models().len(), MODELS);
    }

    #[test]
    fn an_effort_that_is_refused_is_left_out_and_one_that_is_missed_is_none() {
        let habits = Habits::default();
        let (with, without) = (json!({ "reasoning_effort": "low" }), json!({}));
        assert!(habits.refuse("a", "reasoning_effort", &with));
        assert!(!habits.of("a").wants_no_reasoning);
        assert!(habits.refuse("a", "reasoning_effort", &without));
        assert!(habits.of("a").wants_no_reasoning);
        assert!(!habits.refuse("a", "reasoning_effort", &without), "once");
        assert!(!habits.refuse("a", "temperature", &without), "it was not sent");
    }

    #[test]
    fn a_model_that_stops_beginning_in_reasoning_is_believed() {
        let habits = Habits::default();
        assert!(habits.begin_in_reasoning("a", true) && !habits.begin_in_reasoning("a", true));
        assert!(habits.of("a").begins_in_reasoning && habits.remarks().len() == 1);
        assert!(habits.begin_in_reasoning("a", false) && habits.remarks().is_empty());
    }
}
