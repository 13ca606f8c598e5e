//! Commands of operators to a call, and how the call carries them out.

use tokio::sync::oneshot;

use super::phase::Phase;
use super::task::Task;
use crate::ari::Reason;
use crate::ari::topology::Input as TopologyInput;
use crate::tenancy::{LiveCommand, LiveRefusal};

/// A command, and where its outcome is reported.
#[derive(Debug)]
pub struct LiveRequest {
    pub command: LiveCommand,
    outcome: oneshot::Sender<Result<(), LiveRefusal>>,
}

impl LiveRequest {
    /// The receiver gets the outcome; it is closed when the call ends before.
    pub fn new(command: LiveCommand) -> (LiveRequest, oneshot::Receiver<Result<(), LiveRefusal>>) {
        let (outcome, receiver) = oneshot::channel();
        (LiveRequest { command, outcome }, receiver)
    }

    /// Reports the outcome, unless the requester waits no longer.
    pub fn answer(self, outcome: Result<(), LiveRefusal>) {
        let _ = self.outcome.send(outcome);
    }
}

impl Task {
    /// Carries out a command of an operator.
    pub(super) fn operate(&mut self, request: LiveRequest) {
        match &request.command {
            LiveCommand::End(_) if !self.phase.is_talking() => {
                let is_answered = !matches!(self.phase, Phase::SettingUp(_));
                let reason = if is_answered { Reason::NormalClearing } else { Reason::Congestion };
                self.control(TopologyInput::HangUp { reason });
                request.answer(Ok(()));
            }
            LiveCommand::End(_) | LiveCommand::Note { .. } => self.phase.operate(request, &mut self.records),
            _ if self.transfer.is_some() => request.answer(Err(LiveRefusal::Transferring)),
            LiveCommand::Transfer { target, .. } => {
                if let Err(problem) = self.admitted_route(target) {
                    return request.answer(Err(LiveRefusal::TargetUnavailable(problem)));
                }
                self.operators_target = Some((**target).clone());
                self.phase.operate(request, &mut self.records);
            }
            LiveCommand::Say { .. } | LiveCommand::Mute { .. } | LiveCommand::Unmute => {
                self.phase.operate(request, &mut self.records);
            }
        }
    }
}
