//! The actions for the caller's latest request: a model that repeats one does not carry it out twice.
//!
//! | from | event | to |
//! |---|---|---|
//! | –, answered | a tool that acts starts, in a turn of the caller | open: another request |
//! | open | a turn ends before its outcome was heard: the caller interrupts, or the model fails | open |
//! | open | a turn ends otherwise | answered |
//! | answered | a tool that acts starts, in a turn that the caller did not begin | answered: the same request |

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ToolEffect, TurnId};

/// The most actions that are remembered.
const MAX_ACTIONS: usize = 64;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Actions {
    request: CallersRequest,
    /// The keys of those that were started for it, the oldest first.
    started: VecDeque<Arc<str>>,
}

/// A request by the turn in which it began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
enum CallersRequest {
    #[default]
    None,
    Open(TurnId),
    Answered(TurnId),
}

impl Actions {
    /// A tool is about to start. Returns the turn in which its request began. `is_asked`: the caller began the turn.
    pub fn request_of(&mut self, turn: TurnId, is_asked: bool) -> TurnId {
        match self.request {
            CallersRequest::Open(began) => began,
            CallersRequest::Answered(began) if !is_asked => began,
            CallersRequest::Answered(_) | CallersRequest::None => {
                *self = Actions { request: CallersRequest::Open(turn), started: VecDeque::new() };
                turn
            }
        }
    }

    /// Adds an action. Returns false for one that was started for the request already.
    pub fn start(&mut self, effect: &ToolEffect) -> bool {
        let ToolEffect::Acts { key } = effect else { return true };
        if self.started.contains(key) {
            return false;
        }
        if self.started.len() == MAX_ACTIONS {
            self.started.pop_front();
        }
        self.started.push_back(key.clone());
        true
    }

    /// The action was refused, so it was not carried out.
    pub fn withdraw(&mut self, effect: &ToolEffect) {
        if let ToolEffect::Acts { key } = effect {
            self.started.retain(|started| started != key);
        }
    }

    /// A turn is over, and the caller knows the outcome of its actions.
    pub fn answered(&mut self) {
        if let CallersRequest::Open(turn) = self.request {
            self.request = CallersRequest::Answered(turn);
        }
    }

    /// The caller chooses from a menu, or an operator instructs the agent: another request.
    pub fn begin_anew(&mut self) {
        *self = Actions::default();
    }
}
