//! The outputs in order, and the ids that they introduce.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::asked_audio::AskedAudio;
use super::{Command, Output, SpeechId, ToolId, TurnId, UtteranceId};

/// The outputs that the driver has not polled yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Outbox {
    outputs: VecDeque<Output>,
    turns: u32,
    speeches: u32,
    utterances: u32,
    tools: u32,
    pub asked: AskedAudio,
}

impl Outbox {
    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Adds a request to the pipeline.
    pub fn command(&mut self, command: Command) {
        self.asked.note(&command);
        self.push(Output::Pipeline(command));
    }

    pub fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn new_turn(&mut self) -> TurnId {
        TurnId(next(&mut self.turns))
    }

    pub fn new_speech(&mut self) -> SpeechId {
        SpeechId(next(&mut self.speeches))
    }

    pub fn new_tool(&mut self) -> ToolId {
        ToolId(next(&mut self.tools))
    }

    pub fn new_utterance(&mut self) -> UtteranceId {
        UtteranceId(next(&mut self.utterances))
    }
}

fn next(counter: &mut u32) -> u32 {
    let id = *counter;
    *counter += 1;
    id
}
