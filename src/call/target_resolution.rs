//! Transfer targets that a tenant's endpoint resolves: the request, and the call's reaction to its response.

use chrono::Utc;
use tracing::{debug, info, warn};

use super::task::Task;
use super::tasks::TaskResult;
use super::transfer::TransferStep;
use crate::conversation::ToolId;
use crate::tenancy::{ResolveRequest, ResolvedTarget, TransferOutcome, TransferTarget};
use crate::tools::resolve;

/// The response of a target's endpoint.
#[derive(Debug)]
pub struct TargetResolution {
    /// Of the transfer.
    pub tool: ToolId,
    /// Why there is no place, for the log.
    pub result: Result<ResolvedTarget, String>,
}

impl Task {
    /// Asks the endpoint of the transfer's target.
    pub(super) fn ask_endpoint(&mut self) {
        let Some(active) = &self.transfer else { return };
        let (tool, target, summary) = (active.tool(), active.target.clone(), active.summary.clone());
        let request = ResolveRequest {
            call_id: self.records.call_id(),
            tenant_id: target.tenant_id,
            target: target.name.clone(),
            called_number: self.failover.called().map(|(_, did)| did.clone()),
            caller_number: self.records.caller_number().map(str::to_owned),
            summary: summary.as_deref().map(str::to_owned),
            at: Utc::now(),
        };
        let services = self.services.tools.clone();
        self.tasks.start(|reports| async move {
            let resolver = target.resolver.clone().unwrap_or_default();
            let result = resolve(&services, target.tenant_id, &target.address, &resolver, &request).await;
            // Without a receiver the call is over.
            let _ = reports.send(TaskResult::Resolved(TargetResolution { tool, result })).await;
        });
    }

    /// The endpoint has responded, or has not. A transfer that was cancelled meanwhile has ended already.
    pub(super) fn target_resolved(&mut self, resolution: TargetResolution) {
        let TargetResolution { tool, result } = resolution;
        let Some(active) = self.transfer.as_ref().filter(|active| active.tool() == tool) else { return };
        let asked = active.target.clone();
        let followed = match result {
            Ok(resolved) => self
                .follow_resolution(&asked, &resolved)
                .map_err(|problem| (TransferOutcome::Refused, problem)),
            Err(problem) => Err((TransferOutcome::Unreachable, problem)),
        };
        let step = followed.unwrap_or_else(|(outcome, problem)| {
            warn!(to = %asked.name, problem, "the endpoint of a transfer target names no place");
            self.transfer.as_mut().and_then(|active| active.transfer.unresolved(outcome))
        });
        self.carry_out(step);
    }

    /// Goes on to the place that the endpoint names, if tenant and operator allow it.
    fn follow_resolution(
        &mut self,
        asked: &TransferTarget,
        resolved: &ResolvedTarget,
    ) -> Result<Option<TransferStep>, String> {
        let target = resolved.find(asked, self.known_targets())?;
        let (route, leg) = self.open_route(&target)?;
        let (place, masked) = (resolved.place(), resolved.masked_place());
        let (method, style) = (target.method, target.style);
        info!(to = %asked.name, place = masked, %method, %style, "the endpoint named the place");
        debug!(to = %asked.name, place, "the place in full");
        self.records.transfer_resolved(place.to_owned(), &target);
        self.transfer = self.transfer.take().map(|active| active.following(target, leg));
        Ok(self.transfer.as_mut().and_then(|active| active.transfer.resolved(route, style)))
    }
}
