//! What is to be done, in order, and the ids that are given out with it.

use std::collections::VecDeque;

use super::{ListenId, Output, SpeechId, TurnId};

/// The outputs that were not polled yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    outputs: VecDeque<Output>,
    turns: u32,
    speeches: u32,
    listens: u32,
}

impl Outbox {
    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
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

    pub fn new_listen(&mut self) -> ListenId {
        ListenId(next(&mut self.listens))
    }
}

fn next(counter: &mut u32) -> u32 {
    let id = *counter;
    *counter += 1;
    id
}
