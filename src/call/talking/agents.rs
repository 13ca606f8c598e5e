//! The tools of a conversation under way, and changes of its agent.

use std::sync::Arc;
use std::time::Instant;

use super::Talking;
use crate::call::Agent;
use crate::call::language_detector::LanguageDetector;
use crate::call::records::Records;
use crate::call::roster::{self, Roster};
use crate::conversation::{AgentChoice, ContextItem, Input, Recognition, ToolId, ToolRequest, TurnId};
use crate::tenancy::AgentChangeCause;
use crate::tools::{Finished, Remembered, Runner};

/// The tools of the call's agent, and the agents that it can change to.
pub struct AgentTools {
    pub tools: Runner,
    pub roster: Roster,
    pub language_detector: LanguageDetector,
}

impl Talking {
    /// The agent that talks at present.
    pub fn agent(&self) -> &Agent {
        self.agents.roster.present()
    }

    /// Another agent, or another language of the same one, goes on with the call.
    pub(super) fn change_agent(&mut self, tool: ToolId, to: &AgentChoice, records: &mut Records) {
        let input = match self.agents.roster.change(to) {
            Some(agent) => {
                self.use_agent(&agent, roster::cause(to), records);
                roster::changed(tool, &agent, to)
            }
            None => roster::not_changed(tool, to),
        };
        self.handle(Instant::now(), input);
    }

    fn use_agent(&mut self, agent: &Arc<Agent>, cause: AgentChangeCause, records: &mut Records) {
        self.pipeline.change_agent(agent.clone());
        self.port.suppress_noise(agent.noise_suppression);
        self.port.deliver(agent.audio_delivery());
        self.agents.tools.use_toolbox(agent.toolbox.clone());
        self.conversation.change_agent(agent.turn_settings.clone(), agent.texts(), agent.language);
        records.agent_changed(agent, cause);
    }

    /// The caller's words may be in another language of the agent.
    pub(super) fn detect_language(&mut self, event: &Recognition, records: &mut Records) {
        let (Recognition::Final { text } | Recognition::TurnEnded { text }) = event else { return };
        let turns =
            self.conversation.context().iter().filter(|item| matches!(item, ContextItem::Caller { .. }));
        let turns = turns.count();
        let AgentTools { roster, language_detector, .. } = &mut self.agents;
        if let Some(agent) = roster.hear(language_detector, text, turns) {
            self.use_agent(&agent, AgentChangeCause::LanguageDetected, records);
        }
    }

    pub fn tool_finished(&mut self, finished: Finished) {
        let Finished { tool, outcome, result } = finished;
        self.handle(Instant::now(), Input::Tool { tool, outcome, result });
    }

    pub(super) fn run_tool(
        &mut self,
        tool: ToolId,
        request: TurnId,
        call: &ToolRequest,
        records: &mut Records,
    ) {
        if let Some(Remembered { field, value }) = self.agents.tools.run(tool, request, call) {
            let is_kept = records.remember(field, value);
            self.agents.tools.remembered(tool, is_kept);
        }
    }
}
