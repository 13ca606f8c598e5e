//! Commands of operators to a call, and how the call carries them out.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::phase::Phase;
use super::task::Task;
use crate::ari::Reason;
use crate::ari::topology::Input as TopologyInput;
use crate::tenancy::{LiveCommand, LiveRefusal, TransferEnd, TransferTarget};

/// The latest targets of operators that a call keeps: more than transfers can wait for the floor.
const MOST_TARGETS: usize = 16;

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

/// The targets to which operators transfer the caller. They may be newer than those that the call has loaded.
#[derive(Default)]
pub struct OperatorsTargets(VecDeque<TransferTarget>);

impl OperatorsTargets {
    /// Keeps a target in place of an older one of its name.
    pub fn keep(&mut self, target: TransferTarget) {
        self.0.retain(|kept| kept.name != target.name);
        if self.0.len() >= MOST_TARGETS {
            self.0.pop_front();
        }
        self.0.push_back(target);
    }

    pub fn find(&self, name: &str) -> Option<&TransferTarget> {
        self.0.iter().find(|target| target.name.as_str() == name)
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
            LiveCommand::CancelTransfer => {
                let is_cancelled = self.cancel_transfer(TransferEnd::Operator);
                if is_cancelled {
                    self.records.command_accepted(request.command.as_str());
                }
                request.answer(if is_cancelled { Ok(()) } else { Err(LiveRefusal::NoTransfer) });
            }
            _ if self.transfer.is_some() => request.answer(Err(LiveRefusal::Transferring)),
            LiveCommand::Transfer { target, .. } => {
                if let Err(problem) = self.admitted_route(target) {
                    return request.answer(Err(LiveRefusal::TargetUnavailable(problem)));
                }
                self.operators_targets.keep((**target).clone());
                self.phase.operate(request, &mut self.records);
            }
            LiveCommand::Say { .. } | LiveCommand::Mute { .. } | LiveCommand::Unmute => {
                self.phase.operate(request, &mut self.records);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::tenancy::{AfterBridge, TargetId, TargetKind, TenantId, TransferMethod, TransferStyle};

    fn target(name: &str, address: &str) -> TransferTarget {
        TransferTarget {
            id: TargetId::new(),
            tenant_id: TenantId::new(),
            name: name.parse().expect("a label"),
            description: String::new(),
            kind: TargetKind::Extension,
            address: address.to_owned(),
            method: TransferMethod::Dial,
            style: TransferStyle::Cold,
            after_bridge: AfterBridge::Leave,
            resolver: None,
            hours: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_of_several_transfers_that_wait_has_its_target() {
        let mut targets = OperatorsTargets::default();
        targets.keep(target("shop", "1001@sales"));
        targets.keep(target("office", "1002@sales"));
        targets.keep(target("shop", "1003@sales"));
        let address = |name: &str| targets.find(name).map(|target| target.address.as_str());
        assert_eq!((address("shop"), address("office")), (Some("1003@sales"), Some("1002@sales")));
        assert_eq!(address("vault"), None);
        (0..100).for_each(|n| targets.keep(target(&format!("shop-{n}"), "1001@sales")));
        assert!(targets.0.len() == MOST_TARGETS && targets.find("shop-99").is_some());
    }
}
