//! The agent acts: starts the tools of its response, and asks the model again with their results.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::collection::EndedBy;
use super::floor::Floor;
use super::response::Response;
use super::timer::Timer;
use super::tool_work::{RequestedTool, ToolState};
use super::{
    At, Attempt, Command, ContextItem, Conversation, DtmfMode, Output, Phrase, Say, ToolAction, ToolEffect,
    ToolId, ToolOutcome, ToolRequest, ToolUse, TurnId,
};

/// Tools that run in the background at the same time.
const MAX_IN_BACKGROUND: usize = 4;

/// The results of a call that is made again for the same request of the caller, or while the same call runs.
const REPEATED: &str = r#"{"error":"this call was made already for the caller's request: go by its result"}"#;
const STILL_RUNS: &str = r#"{"error":"the same call still runs: its result follows"}"#;

/// Tools of turns that are over.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LateTools {
    running: Vec<RequestedTool>,
    /// Finished since the last record.
    finished: Vec<ToolUse>,
    /// Results of tools that were not waited for, and that the model has not read.
    unread: Vec<ToolId>,
    /// Those of them that the model has read for the prepared response.
    prepared: Vec<ToolId>,
}

impl LateTools {
    /// The tools that run in the background, with those of the response.
    fn in_background(&self, response: &Response) -> usize {
        self.running.iter().chain(response.tools.running()).filter(|tool| tool.is_in_background()).count()
    }

    /// The same action runs for an earlier turn.
    fn is_running(&self, effect: &ToolEffect) -> bool {
        *effect != ToolEffect::None && self.running.iter().any(|tool| tool.call.effect == *effect)
    }

    /// The model reads all results with the request that is sent now, for a response that may be discarded.
    pub fn read_for_prepared(&mut self) {
        self.prepared.clone_from(&self.unread);
    }

    /// The prepared response is committed.
    pub fn prepared_is_used(&mut self) {
        let prepared = std::mem::take(&mut self.prepared);
        self.unread.retain(|tool| !prepared.contains(tool));
    }
}

impl Conversation {
    /// The model calls a tool, which runs as soon as its response is committed.
    pub(super) fn tool_called(&mut self, now: At, turn: TurnId, call: ToolRequest) {
        let Some(response) = self.floor.response_mut().filter(|response| response.turn == turn) else {
            return;
        };
        if response.is_streaming() {
            response.tools.add(self.out.new_tool(), turn, call);
            self.advance_tools(now);
        }
    }

    /// Starts the tools that are due. When all are done, the model is asked again.
    pub(super) fn advance_tools(&mut self, now: At) {
        while let Floor::Agent(response, _) = &mut self.floor {
            let spoken = response.spoken();
            let Some(tool) = response.tools.next_to_start(spoken) else { break };
            let (id, call) = (tool.id, tool.call.clone());
            let started = self.start_tool(now, id, &call);
            if let (Err(reason), Some(tool)) = (started, self.tool_of_response(id)) {
                tool.finish(now, ToolOutcome::Refused, reason);
            }
        }
        self.ask_again(now);
    }

    fn tool_of_response(&mut self, id: ToolId) -> Option<&mut RequestedTool> {
        match &mut self.floor {
            Floor::Agent(response, _) => response.tools.find(id),
            _ => None,
        }
    }

    /// Starts a call, once for a request of the caller where it acts.
    ///
    /// # Errors
    /// For the model: why it is refused.
    fn start_tool(&mut self, now: At, id: ToolId, call: &ToolRequest) -> Result<(), Arc<str>> {
        let Floor::Agent(response, _) = &self.floor else { return Ok(()) };
        if self.late_tools.is_running(&call.effect) {
            return Err(STILL_RUNS.into());
        }
        let is_full = self.late_tools.in_background(response) >= MAX_IN_BACKGROUND;
        let request = self.actions.request_of(response.turn, response.question.is_some());
        if !self.actions.start(&call.effect) {
            return Err(REPEATED.into());
        }
        let refusal = self.refusal(&call.action, is_full);
        match refusal {
            Some(_) => self.actions.withdraw(&call.effect),
            None => self.carry_out(now, id, call, request),
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Why a call is not carried out at present, for the model.
    fn refusal(&mut self, action: &ToolAction, is_full: bool) -> Option<Arc<str>> {
        let reason = match action {
            ToolAction::Refuse { reason } => return Some(reason.clone()),
            ToolAction::Start(_) if is_full => r#"{"error":"too many tools are running"}"#,
            ToolAction::ChangeAgent(to) if !self.limits.may_change_agent(to) => {
                r#"{"error":"there were too many changes in this call: go on as you are"}"#
            }
            ToolAction::CollectDigits(_) if self.settings.dtmf == DtmfMode::Ignored => {
                r#"{"error":"keys are switched off for this agent"}"#
            }
            _ => return None,
        };
        Some(reason.into())
    }

    fn carry_out(&mut self, now: At, id: ToolId, call: &ToolRequest, request: TurnId) {
        let Some(tool) = self.tool_of_response(id) else { return };
        tool.state = match call.action {
            ToolAction::CollectDigits(_) => ToolState::Collecting { since: now, keys: Vec::new() },
            _ => ToolState::Running { since: now },
        };
        match &call.action {
            ToolAction::Run(words) | ToolAction::Start(words) => {
                let started = words.started.clone();
                self.run_tool(now, id, call.clone(), request, started);
            }
            ToolAction::SendDtmf { keys } => self.out.push(Output::SendDtmf { tool: id, keys: keys.clone() }),
            ToolAction::Transfer { target, summary } => {
                let (target, summary) = (target.clone(), summary.clone());
                self.out.push(Output::Transfer { tool: id, target, summary });
            }
            ToolAction::ChangeAgent(to) => self.out.push(Output::ChangeAgent { tool: id, to: to.clone() }),
            ToolAction::CollectDigits(_) => self.begin_collection(now),
            ToolAction::Refuse { .. } => {}
        }
    }

    fn run_tool(
        &mut self,
        now: At,
        tool: ToolId,
        call: ToolRequest,
        request: TurnId,
        started: Option<Arc<str>>,
    ) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let turn = response.turn;
        if let Some(words) = started.filter(|_| !response.has_spoken_in_round()) {
            response.say(Say::Text(words.as_ref().to_owned()), &mut self.out);
        }
        let is_silent = !response.is_pending();
        self.out.push(Output::RunTool { turn, request, tool, call });
        if is_silent {
            self.await_response(now);
        }
    }

    /// All tools of the round are done: asks the model again.
    fn ask_again(&mut self, now: At) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        if !response.awaits_round() {
            return;
        }
        let is_wordless = response.is_wordless_round();
        if response.begin_round(&mut self.out) {
            let turn = response.turn;
            let context = self.transcript.continued_by(response.items_so_far(&self.texts));
            self.ask_model(turn, context, Attempt::First);
            self.await_response(now);
        } else if is_wordless {
            self.fail(now, Phrase::AskAgain);
        }
    }

    /// Asks the model for the response of a turn, or the next part of it. It reads all results of tools that are in the context.
    pub(super) fn ask_model(&mut self, turn: TurnId, context: Arc<[ContextItem]>, attempt: Attempt) {
        self.out.command(Command::Respond { turn, context, attempt });
        self.late_tools.unread.clear();
    }

    /// The driver reports the result of a tool.
    pub(super) fn tool_finished(&mut self, now: At, id: ToolId, outcome: ToolOutcome, result: Arc<str>) {
        if self.operator_transfer_ended(now, id, outcome, &result) {
            return;
        }
        let of_turn = match &mut self.floor {
            Floor::Agent(response, _) => response.tools.find(id),
            _ => None,
        };
        match of_turn {
            Some(tool) if matches!(tool.state, ToolState::Running { .. }) => {
                self.late_tools.unread.extend(tool.is_in_background().then_some(id));
                tool.finish(now, outcome, result);
                if outcome == ToolOutcome::Refused {
                    self.actions.withdraw(&tool.call.effect);
                }
                if let Some(words) = tool.take_failure_words() {
                    self.say(Say::Text(words.as_ref().to_owned()));
                }
                self.advance_tools(now);
                self.finish_if_over(now);
            }
            Some(_) => {}
            None => self.late_result(now, id, outcome, result),
        }
    }

    /// The result of a tool of an earlier turn: the model reads it with the next request.
    fn late_result(&mut self, now: At, id: ToolId, outcome: ToolOutcome, result: Arc<str>) {
        let Some(mut tool) = self.late_tools.running.extract_if(.., |tool| tool.id == id).next() else {
            return;
        };
        self.transcript.complete_tool(id, &result);
        self.late_tools.unread.extend(tool.is_in_background().then_some(id));
        if outcome == ToolOutcome::Refused {
            self.actions.withdraw(&tool.call.effect);
        }
        tool.finish(now, outcome, result);
        self.late_tools.finished.extend(tool.result().cloned());
    }

    /// Has the model act on results that it has not read, where neither side speaks. A model that starts a tool each time reads the
    /// later results with the caller's next words.
    pub(super) fn answer_results(&mut self, now: At) {
        let is_free = matches!(self.floor, Floor::Free) && self.voice.is_none() && !self.is_deaf();
        let has_keys = self.keypad.is_entering() || self.keypad.is_complete();
        // The caller's next words or key are a rating, after which the call ends.
        if !is_free
            || has_keys
            || self.survey.is_open()
            || self.menu.is_open()
            || self.late_tools.unread.is_empty()
        {
            return;
        }
        if !self.limits.may_act_unasked() {
            return;
        }
        for tool in std::mem::take(&mut self.late_tools.unread) {
            self.transcript.repeat_result(tool);
        }
        self.timers.stop(Timer::Silence);
        let turn = self.out.new_turn();
        let context = self.transcript.context();
        self.ask_model(turn, context, Attempt::First);
        self.floor = Floor::Agent(Response::unasked(turn, now), None);
    }

    /// The turn is over: its tools that still run are waited for without it.
    pub(super) fn detach_tools(&mut self, response: &Response) {
        self.late_tools.running.extend(response.tools.running().cloned());
    }

    /// The tools that finished after their turns, for the next record.
    pub(super) fn take_late_tools(&mut self) -> Vec<ToolUse> {
        std::mem::take(&mut self.late_tools.finished)
    }

    /// The conversation ends: tools that still run have no result.
    pub(super) fn abandon_tools(&mut self) -> Vec<ToolUse> {
        let now = self.now.unwrap_or_default();
        let mut running = std::mem::take(&mut self.late_tools.running);
        for tool in &mut running {
            tool.finish(now, ToolOutcome::Abandoned, r#"{"status":"the call ended"}"#.into());
        }
        let mut uses = self.take_late_tools();
        uses.extend(running.iter().filter_map(RequestedTool::result).cloned());
        uses
    }

    /// The entry that a tool collects is complete.
    pub(super) fn collected(&mut self, now: At, ended_by: EndedBy) {
        self.timers.stop(Timer::Keys);
        let masked = self.settings.dtmf == DtmfMode::Masked;
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let Some(tool) = response.tools.collecting() else { return };
        let (ToolState::Collecting { keys, .. }, ToolAction::CollectDigits(rules)) =
            (&tool.state, &tool.call.action)
        else {
            return;
        };
        let keys = keys.clone();
        let reference = (rules.masked || masked).then(|| format!("keypad-{}", tool.id.0));
        tool.finish(now, ToolOutcome::Succeeded, ended_by.result(&keys, reference.as_deref()).into());
        if let Some(reference) = reference.filter(|_| !keys.is_empty()) {
            self.out.push(Output::KeepEntry { reference, keys });
        }
        self.advance_tools(now);
        self.finish_if_over(now);
    }
}
