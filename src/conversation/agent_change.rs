//! Another agent, or the same one in another language, goes on with the conversation.
//!
//! The driver has the agents: it gives the conversation the settings, texts and language of the next one, and then reports the
//! change. The context stays.

use std::sync::Arc;

use super::floor::Floor;
use super::menu::MenuState;
use super::{At, Conversation, Phrase, Settings, TakeOver, ToolId, ToolOutcome};
use crate::language::Language;

impl Conversation {
    /// Replaces settings, texts and language. Prompts that are being said stay those of the agent before, and the limits of the call stay those with which it began.
    pub fn change_agent(
        &mut self,
        settings: Settings,
        texts: impl IntoIterator<Item = (Phrase, String)>,
        language: &'static Language,
    ) {
        let Settings { max_turns, max_duration_ms, warn_before_ms, .. } = self.settings;
        self.settings = Settings { max_turns, max_duration_ms, warn_before_ms, ..settings };
        match &mut self.floor {
            Floor::Agent(response, _) => response.keep_texts(&self.texts),
            // A response that was prepared by the first words is of the agent before.
            Floor::Caller(utterance) => utterance.outdate_response(&mut self.out),
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
        self.texts = texts.into_iter().collect();
        self.language = language;
        self.menu = MenuState::Closed;
    }

    /// The agent was changed: the next one answers, or greets the caller.
    pub(super) fn agent_changed(&mut self, now: At, tool: ToolId, result: Arc<str>, then: TakeOver) {
        let is_running = match &mut self.floor {
            Floor::Agent(response, _) => {
                response.tools.find(tool).is_some_and(|tool| tool.result().is_none())
            }
            _ => false,
        };
        if let (TakeOver::Greet, true) = (then, is_running) {
            self.greet_after_change(now, tool, result);
        } else {
            self.tool_finished(now, tool, ToolOutcome::Succeeded, result);
        }
    }

    fn greet_after_change(&mut self, now: At, tool: ToolId, result: Arc<str>) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        if let Some(tool) = response.tools.find(tool) {
            tool.finish(now, ToolOutcome::Succeeded, result);
        }
        response.end_with(Phrase::Greeting, &mut self.out);
        self.begin_with_menu();
        self.finish_if_over(now);
    }
}
