//! The plan for an admitted call: which profile answers it, by the number's routing and its pre-call webhook.

use std::time::Instant;

use chrono::Utc;
use metrics::{counter, histogram};
use tracing::{info, warn};

use super::Switchboard;
use crate::ari::Request;
use crate::call::{self, IncomingCall, PromptUse};
use crate::tenancy::{
    AgentChanges, AiProfile, Did, Label, NamedProfile, PreCallInstruction, PreCallOutcome, PreCallOverrides,
    PreCallRecord, PreCallRequest, PreCallRequestType, RejectCause, Route, StoredPreCall, TransferTarget,
};
use crate::webhooks::PreCallFailure;

/// How a call goes on.
pub(super) enum CallPlan {
    /// The agent of a profile answers.
    Answer { profile: Box<AiProfile>, prompts: PromptUse },
    /// It goes to a transfer target, unanswered.
    Forward(Box<TransferTarget>),
    /// The webhook refuses it.
    Reject(RejectCause),
}

impl CallPlan {
    fn answer(profile: &AiProfile) -> CallPlan {
        CallPlan::Answer { profile: Box::new(profile.clone()), prompts: PromptUse::AllCalls }
    }
}

impl Switchboard {
    /// The plan for a call, by the pre-call webhook of the number or the tenant where there is one; `None` where no
    /// profile answers. The caller hears ringing meanwhile, and the time to answer begins anew.
    pub(super) async fn plan(
        &self,
        incoming: &mut IncomingCall,
        route: &Route,
        called: &Did,
    ) -> Option<CallPlan> {
        let profile = route.profile_at(incoming.id, Utc::now())?;
        let Some(stored) = &route.pre_call else { return Some(CallPlan::answer(profile)) };
        self.send_to_asterisk(Request::ring(&incoming.channel));
        let began = Instant::now();
        let asked = self.ask(incoming, route, called, stored, profile).await;
        let took = began.elapsed();
        let (outcome, problem, plan) = match asked {
            Ok((outcome, plan)) => (outcome, None, plan),
            Err(PreCallFailure { outcome, problem, .. }) => {
                warn!(%outcome, problem, "pre-call webhook without effect");
                (outcome, Some(problem), CallPlan::answer(profile))
            }
        };
        counter!("vca_pre_call_webhooks_total", "outcome" => outcome.as_str()).increment(1);
        histogram!("vca_pre_call_webhook_seconds").record(took.as_secs_f64());
        let duration_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        info!(%outcome, ms = duration_ms, "pre-call webhook asked");
        let services = &self.0.services;
        incoming.begin_set_up(&services.app, services.set_up);
        incoming.pre_call = Some(PreCallRecord { outcome, problem, duration_ms });
        Some(plan)
    }

    async fn ask(
        &self,
        incoming: &IncomingCall,
        route: &Route,
        called: &Did,
        stored: &StoredPreCall,
        profile: &AiProfile,
    ) -> Result<(PreCallOutcome, CallPlan), PreCallFailure> {
        let headers = match self.bare_agent(profile, route) {
            Some(agent) => call::trusted_headers(&self.0.services, incoming, &agent).await,
            None => Default::default(),
        };
        let request = PreCallRequest {
            kind: PreCallRequestType::Ringing,
            call_id: incoming.id,
            tenant_id: route.tenant.id,
            phone_number_id: route.number.id,
            called_number: called.clone(),
            caller_number: incoming.caller.clone(),
            sip_headers: headers.into_iter().collect(),
            at: Utc::now(),
        };
        let secrets = self.0.routing.pre_call_secrets(stored).map_err(|error| {
            warn!(%error, remedy = "set seal.key or seal.former_keys", "no signature for a pre-call webhook");
            PreCallFailure::new(PreCallOutcome::Failed, "the webhook's secret cannot be opened")
        })?;
        let instruction = self.0.pre_call.ask(&stored.webhook, &secrets, &request).await?;
        let outcome = instruction.outcome();
        let plan = match instruction {
            PreCallInstruction::Reject(cause) => CallPlan::Reject(cause),
            PreCallInstruction::Forward(target) => CallPlan::Forward(Box::new(self.target(route, &target)?)),
            PreCallInstruction::Answer(changes) => {
                let chosen = match &changes.profile {
                    Some(named) => self.named_profile(route, named).await?,
                    None => profile.clone(),
                };
                CallPlan::Answer { prompts: prompt_use(&changes), profile: Box::new(changes.apply(chosen)) }
            }
        };
        Ok((outcome, plan))
    }

    /// The tenant's profile that the webhook names, of which an agent can be made.
    async fn named_profile(&self, route: &Route, named: &NamedProfile) -> Result<AiProfile, PreCallFailure> {
        let found = self.0.routing.named_profile(route.tenant.id, named).await;
        let found = found.map_err(|error| {
            warn!(%error, "the profile of a pre-call webhook cannot be read");
            PreCallFailure::new(PreCallOutcome::Failed, "the profile cannot be read")
        })?;
        let profile = found
            .ok_or_else(|| invalid("the tenant has no such profile or version, or several of the name"))?;
        match self.bare_agent(&profile, route) {
            Some(_) => Ok(profile),
            None => Err(invalid("an engine of the profile cannot be used")),
        }
    }

    /// The tenant's target of a name, which the operator allows and which is open.
    fn target(&self, route: &Route, name: &Label) -> Result<TransferTarget, PreCallFailure> {
        let rules = self.0.services.transfer_rules.get();
        let found = rules.forward_target(&route.targets, name, Utc::now());
        found.cloned().map_err(|problem| invalid(&problem))
    }
}

/// Whether prompts of the changed agent are kept for later calls.
fn prompt_use(changes: &AgentChanges) -> PromptUse {
    if changes.overrides == PreCallOverrides::default() { PromptUse::AllCalls } else { PromptUse::OneCall }
}

fn invalid(problem: &str) -> PreCallFailure {
    PreCallFailure::new(PreCallOutcome::Invalid, problem)
}
