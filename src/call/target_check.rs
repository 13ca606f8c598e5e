//! The last check before the caller is taken to a transfer target: whether the tenant still has it, because targets are deleted
//! while calls last, and whether the leg is within the tenant's spend of the day.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tracing::warn;

use super::leg_spend::{ChargeError, LegCharge, LegSpend, PricedLeg};
use super::task::Task;
use super::tasks::TaskResult;
use crate::conversation::ToolId;
use crate::store::StoreError;
use crate::tenancy::{TargetId, TenantId, TransferOutcome};

/// Knows the transfer targets of tenants.
pub trait TargetSource: Send + Sync {
    fn has_target(&self, tenant: TenantId, target: TargetId) -> BoxFuture<'_, Result<bool, StoreError>>;
}

/// The caller waits for no longer than this.
const LIMIT: Duration = Duration::from_secs(1);

/// The result of a check.
#[derive(Debug)]
pub struct TargetCheck {
    /// Of the transfer.
    pub tool: ToolId,
    pub exists: bool,
    /// Of a leg that the ceiling of the day's spend concerns.
    pub charge: Result<Option<LegCharge>, ChargeError>,
}

impl Task {
    /// Asks whether the tenant still has the transfer's target, and charges the leg.
    pub(super) fn check_target(&mut self) {
        let Some(active) = &self.transfer else { return };
        let (tool, tenant, target) = (active.tool(), active.target.tenant_id, active.target.id);
        let leg = PricedLeg::of(&active.target, &self.services.transfer_rules.get());
        let (targets, spend) = (self.services.targets.clone(), self.services.leg_spend.clone());
        self.tasks.start(|reports| async move {
            let exists = still_exists(&*targets, tenant, target).await;
            let charge = charge(&spend, leg.filter(|_| exists)).await;
            // Without a receiver the call is over.
            let _ = reports.send(TaskResult::TargetChecked(TargetCheck { tool, exists, charge })).await;
        });
    }

    /// The transfer goes on, or the caller returns to the agent. A transfer that was cancelled meanwhile has ended already.
    pub(super) fn target_checked(&mut self, check: TargetCheck) {
        let TargetCheck { tool, exists, charge } = check;
        let Some(active) = self.transfer.as_mut().filter(|active| active.tool() == tool) else { return };
        let step = match charge {
            Ok(charge) => {
                active.charge = charge;
                active.transfer.checked(exists)
            }
            Err(error) => {
                warn!(to = %active.target.name, tenant = %active.target.tenant_id, %error, "the target is not dialled");
                active.transfer.not_charged(outcome_of(&error))
            }
        };
        self.carry_out(step);
    }
}

async fn charge(spend: &LegSpend, leg: Option<PricedLeg>) -> Result<Option<LegCharge>, ChargeError> {
    match leg {
        Some(leg) => spend.charge(leg).await.map(Some),
        None => Ok(None),
    }
}

fn outcome_of(error: &ChargeError) -> TransferOutcome {
    match error {
        ChargeError::LimitReached => TransferOutcome::SpendLimit,
        ChargeError::Database(_) | ChargeError::Timeout => TransferOutcome::Unreachable,
    }
}

/// Without a response of the database in time, the call has the targets of its ring.
async fn still_exists(targets: &dyn TargetSource, tenant: TenantId, target: TargetId) -> bool {
    let problem = match timeout(LIMIT, targets.has_target(tenant, target)).await {
        Ok(Ok(exists)) => return exists,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no response within {} ms", LIMIT.as_millis()),
    };
    warn!(problem, "it is not known whether a transfer target was deleted during the call: it is used");
    true
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;

    /// None: there is no response.
    struct Answering(Option<bool>);

    impl TargetSource for Answering {
        fn has_target(&self, _: TenantId, _: TargetId) -> BoxFuture<'_, Result<bool, StoreError>> {
            match self.0 {
                Some(exists) => ready(Ok(exists)).boxed(),
                None => pending().boxed(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_respond_leaves_the_targets_of_the_ring() {
        for (answer, expected) in [(Some(true), true), (Some(false), false), (None, true)] {
            let source = Answering(answer);
            assert_eq!(still_exists(&source, TenantId::new(), TargetId::new()).await, expected, "{answer:?}");
        }
    }
}
