//! Failover of one call: where it continues when the agent cannot serve it, or no longer.

use std::sync::Arc;

use chrono::Utc;
use tracing::{info, warn};

use super::ending::Refusal;
use crate::ari::Reason;
use crate::ari::topology::{DialplanExit, DialplanPlace, Input as TopologyInput};
use crate::conversation::Ending;
use crate::tenancy::{
    Continuation, DialplanRoute, Did, FailoverCase, FailoverMessage, Label, Route, TargetRefusal,
    TransferRules, TransferTarget,
};

/// The failover routes of a call's number.
pub struct Failover {
    /// `None` for a call without a tenant.
    called: Option<(Arc<Route>, Did)>,
    rules: Arc<TransferRules>,
    /// Why the caller hears a message and no agent.
    announced: Option<Refusal>,
    /// The case in which the call continues elsewhere.
    continued: Option<FailoverCase>,
}

impl Failover {
    pub fn new(called: Option<(Arc<Route>, Did)>, rules: Arc<TransferRules>) -> Failover {
        Failover { called, rules, announced: None, continued: None }
    }

    /// The caller hears the message of this refusal's route and no agent.
    pub fn announce(&mut self, refusal: Refusal) {
        self.announced = Some(refusal);
    }

    /// Why the caller hears a message and no agent, if so.
    pub fn announced(&self) -> Option<Refusal> {
        self.announced
    }

    /// The input that refuses the call, or has it continue in the dialplan.
    pub fn refuse(&mut self, refusal: Refusal) -> TopologyInput {
        self.leave(refusal.case(), refusal.reason(), refusal.continues_by_default())
    }

    /// The input that has a call continue at a target, with `forwarded` in `VCA_STATUS`; after Stasis where the operator no longer
    /// allows the target.
    pub fn forward(&self, target: &TransferTarget) -> TopologyInput {
        let exit = self.exit("forwarded", target.name.to_string());
        match self.rules.dialplan(target) {
            Ok(place) => {
                let exit = at_place(exit, place, &self.rules);
                TopologyInput::ContinueInDialplan { exit, reason: Reason::NormalClearing }
            }
            Err(refusal) => {
                warn!(to = %target.name, %refusal, "[transfer] does not allow the target: the call continues after Stasis");
                TopologyInput::ContinueInDialplan { exit, reason: Reason::Congestion }
            }
        }
    }

    /// The input that ends an answered call, or has it continue in the dialplan.
    pub fn end(&mut self, ending: Ending) -> TopologyInput {
        let reason = match ending {
            Ending::EngineFailure => Reason::Congestion,
            _ => Reason::NormalClearing,
        };
        let case = self.announced.map_or_else(|| case_of(ending), Refusal::case);
        self.leave(case, reason, ContinuesByDefault::No)
    }

    /// The same for a call whose media failed.
    pub fn break_off(&mut self, case: FailoverCase, reason: Reason) -> TopologyInput {
        self.leave(Some(case), reason, ContinuesByDefault::No)
    }

    /// The route and the number that was called; `None` for a call without a tenant.
    pub fn called(&self) -> Option<&(Arc<Route>, Did)> {
        self.called.as_ref()
    }

    /// The case in which the call continues elsewhere, once it does.
    pub fn continued(&self) -> Option<FailoverCase> {
        self.continued
    }

    /// The target at which the call continues, once it does.
    pub fn continued_target(&self) -> Option<&TransferTarget> {
        let Some(Continuation::Target { target }) = self.continuation(self.continued?) else { return None };
        let (route, _) = self.called.as_ref()?;
        route.targets.iter().find(|it| it.name == target)
    }

    /// The endings after which the call continues elsewhere, so that it needs no goodbye.
    pub fn endings(&self) -> Vec<Ending> {
        let ends = [
            Ending::EngineFailure,
            Ending::TurnLimit,
            Ending::TimeLimit,
            Ending::HoldLimit,
            Ending::Emergency,
            Ending::Closed,
        ];
        let Some((route, _)) = &self.called else { return Vec::new() };
        let routes = &route.number.failover;
        let leaves = |ending: &Ending| {
            // The number to dial in an emergency is the message.
            let at_once = |case| *ending == Ending::Emergency || routes.message(case).is_none();
            case_of(*ending).is_some_and(|case| routes.continues(case) && at_once(case))
        };
        ends.into_iter().filter(leaves).collect()
    }

    /// The messages that take the place of a goodbye, by the ending.
    pub fn last_words(&self) -> Vec<(Ending, Arc<str>)> {
        let ends = [Ending::EngineFailure, Ending::TurnLimit, Ending::TimeLimit, Ending::HoldLimit];
        let words = ends.into_iter().filter_map(|ending| Some((ending, self.message(case_of(ending)?)?)));
        words.map(|(ending, message)| (ending, message.text().clone())).collect()
    }

    /// The message of a case's route.
    pub fn message(&self, case: FailoverCase) -> Option<&FailoverMessage> {
        self.called.as_ref()?.0.number.failover.message(case)
    }

    /// Where the call continues in a case; `None` without a route.
    fn continuation(&self, case: FailoverCase) -> Option<Continuation> {
        let (route, _) = self.called.as_ref()?;
        Some(route.number.failover.of(case)?.continuation())
    }

    fn leave(
        &mut self,
        case: Option<FailoverCase>,
        reason: Reason,
        default: ContinuesByDefault,
    ) -> TopologyInput {
        let hang_up = TopologyInput::HangUp { reason };
        let Some(case) = case else { return hang_up };
        let (label, place) = match (self.continuation(case), default) {
            (Some(Continuation::Dialplan { label }), _) => (label, None),
            (Some(Continuation::Target { target }), _) => {
                let place = self.target(&target);
                (Some(target), place)
            }
            (None, ContinuesByDefault::Yes) => (None, None),
            (Some(Continuation::HangUp {}), _) | (None, ContinuesByDefault::No) => return hang_up,
        };
        let label = label.map(String::from);
        info!(status = case.as_str(), label, "the call continues in the dialplan");
        self.continued = Some(case);
        let exit = self.exit(case.as_str(), label.unwrap_or_default());
        let exit = match place {
            Some(place) => at_place(exit, place, &self.rules),
            None => exit,
        };
        TopologyInput::ContinueInDialplan { exit, reason }
    }

    /// The place of a target in the dialplan.
    fn target(&self, target: &Label) -> Option<DialplanRoute> {
        let (route, _) = self.called.as_ref()?;
        let Some(found) = route.targets.iter().find(|it| it.name == *target) else {
            warn!(%target, "the tenant has no such transfer target: the call continues after Stasis");
            return None;
        };
        if !found.is_open(Utc::now()) {
            info!(%target, "the transfer target has closed: the call continues after Stasis");
            return None;
        }
        let refused = |refusal: &TargetRefusal| {
            warn!(%target, %refusal, "[transfer] does not allow the target: the call continues after Stasis");
        };
        self.rules.dialplan(found).inspect_err(refused).ok()
    }

    /// The values are words and digits, none of them from the caller.
    pub fn exit(&self, status: &str, label: String) -> DialplanExit {
        let exit = DialplanExit::with_status(status).variable("VCA_ROUTE", label);
        match &self.called {
            Some((route, did)) => {
                exit.variable("VCA_TENANT", route.tenant.id.to_string()).variable("VCA_DID", did.to_string())
            }
            None => exit,
        }
    }
}

/// The exit at a place. For `vca-transfer` it has the endpoint to dial, how long it may ring, and how long the call may last.
pub fn at_place(exit: DialplanExit, place: DialplanRoute, rules: &TransferRules) -> DialplanExit {
    let DialplanRoute { context, extension, endpoint } = place;
    let exit = match endpoint {
        Some(endpoint) => exit
            .variable("VCA_DIAL", endpoint)
            .variable("VCA_RING_S", rules.ring_s.to_string())
            .variable("VCA_LIMIT_MS", rules.max_leg_s.saturating_mul(1_000).to_string()),
        None => exit,
    };
    exit.at(DialplanPlace { context, extension })
}

/// Whether a call without a route continues in the dialplan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContinuesByDefault {
    Yes,
    No,
}

fn case_of(ending: Ending) -> Option<FailoverCase> {
    match ending {
        Ending::EngineFailure => Some(FailoverCase::Engines),
        Ending::TurnLimit | Ending::TimeLimit | Ending::HoldLimit => Some(FailoverCase::Limit),
        Ending::Emergency => Some(FailoverCase::Emergency),
        Ending::Closed => Some(FailoverCase::Closed),
        Ending::CallerLeft
        | Ending::Silence
        | Ending::AgentHungUp
        | Ending::Transferred
        | Ending::Requested => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::tests::values;
    use crate::tenancy::{AfterBridge, FailoverRoutes, TargetId, TargetKind, TransferMethod, TransferStyle};

    fn failover(routes: serde_json::Value) -> Failover {
        let mut route = values::route();
        route.number.failover = serde_json::from_value::<FailoverRoutes>(routes).unwrap();
        let did = route.number.did.clone();
        Failover::new(Some((Arc::new(route), did)), Arc::default())
    }

    fn status(input: &TopologyInput) -> Option<&str> {
        match input {
            TopologyInput::ContinueInDialplan { exit, .. } => Some(exit.status()),
            _ => None,
        }
    }

    const REFUSALS: [(Refusal, &str); 9] = [
        (Refusal::TenantBusy, "busy"),
        (Refusal::Full, "full"),
        (Refusal::NoRtpPorts, "full"),
        (Refusal::Draining, "draining"),
        (Refusal::QuotaReached, "quota"),
        (Refusal::CallerLimit, "limit"),
        (Refusal::Closed, "closed"),
        (Refusal::NoAgent, "no_agent"),
        (Refusal::NoGreeting, "engines"),
    ];

    #[test]
    fn each_refusal_has_a_route() {
        for (refusal, expected) in REFUSALS {
            let mut failover = failover(json!({ "default": { "action": "dialplan" } }));
            assert_eq!(status(&failover.refuse(refusal)), Some(expected));
            assert_eq!(failover.continued().map(FailoverCase::as_str), Some(expected));
        }
    }

    #[test]
    fn without_a_route_only_failures_of_the_daemon_continue() {
        for (refusal, expected) in REFUSALS {
            let continues = matches!(refusal, Refusal::Draining | Refusal::NoGreeting | Refusal::NoRtpPorts);
            let input = Failover::new(None, Arc::default()).refuse(refusal);
            assert_eq!(status(&input), continues.then_some(expected), "{refusal:?}");
            let input = failover(json!({ "default": { "action": "hang_up" } })).refuse(refusal);
            assert_eq!(status(&input), None, "{refusal:?}");
        }
    }

    #[test]
    fn a_number_and_a_tenant_that_do_not_answer_have_no_route() {
        for refusal in [
            Refusal::UnknownNumber,
            Refusal::NumberInactive,
            Refusal::TenantSuspended,
            Refusal::TenantDeleted,
            Refusal::NoDatabase,
        ] {
            let input = failover(json!({ "default": { "action": "dialplan" } })).refuse(refusal);
            assert_eq!(status(&input), None, "{refusal:?}");
        }
    }

    #[test]
    fn an_answered_call_is_not_hung_up_where_there_is_a_route() {
        let routes = || json!({ "default": { "action": "dialplan", "label": "night" } });
        let cases = [
            (Ending::EngineFailure, Some("engines")),
            (Ending::TurnLimit, Some("limit")),
            (Ending::TimeLimit, Some("limit")),
            (Ending::HoldLimit, Some("limit")),
            (Ending::Emergency, Some("emergency")),
            (Ending::Closed, Some("closed")),
            (Ending::AgentHungUp, None),
            (Ending::Silence, None),
            (Ending::Requested, None),
        ];
        for (ending, expected) in cases {
            assert_eq!(status(&failover(routes()).end(ending)), expected, "{ending:?}");
            assert_eq!(failover(routes()).endings().contains(&ending), expected.is_some(), "{ending:?}");
            assert_eq!(status(&Failover::new(None, Arc::default()).end(ending)), None, "{ending:?}");
        }
        let broken = failover(routes()).break_off(FailoverCase::Full, Reason::NoCircuit);
        assert_eq!(status(&broken), Some("full"));
    }

    #[test]
    fn a_message_precedes_what_follows_it() {
        let routes = json!({
            "default": { "action": "message", "say": "Goodbye for today.", "then": { "action": "dialplan" } },
            "busy": { "action": "message", "say": "All lines are busy." },
        });
        let mut limited = failover(routes.clone());
        let endings = [Ending::EngineFailure, Ending::TurnLimit, Ending::TimeLimit, Ending::HoldLimit];
        let expected = endings.map(|ending| (ending, Arc::<str>::from("Goodbye for today.")));
        assert_eq!(limited.last_words(), expected);
        assert_eq!(limited.endings(), [Ending::Emergency], "the caller has heard the number to dial");
        assert_eq!(status(&limited.end(Ending::TimeLimit)), Some("limit"));
        assert_eq!(status(&failover(routes.clone()).refuse(Refusal::QuotaReached)), Some("quota"));
        assert_eq!(status(&failover(routes.clone()).refuse(Refusal::TenantBusy)), None);
        let mut announced = failover(routes);
        announced.announce(Refusal::QuotaReached);
        assert_eq!(status(&announced.end(Ending::Closed)), Some("quota"), "the case of the message");
    }

    #[test]
    fn a_route_can_be_a_target() {
        let mut failover = failover(json!({ "default": { "action": "target", "target": "shop" } }));
        let (mut route, did) = failover.called.take().unwrap();
        let target = |address: &str| TransferTarget {
            id: TargetId::new(),
            tenant_id: route.tenant.id,
            name: "shop".parse().unwrap(),
            description: "The shop.".into(),
            kind: TargetKind::Extension,
            address: address.into(),
            method: TransferMethod::Dial,
            style: TransferStyle::Cold,
            after_bridge: AfterBridge::Leave,
            resolver: None,
            hours: None,
            created_at: route.tenant.created_at,
        };
        let (allowed, refused) = (target("1001@sales"), target("1001@inside"));
        let (forwarded, not_forwarded) = (allowed.clone(), refused.clone());
        let rules = Arc::new(TransferRules { contexts: vec!["sales".into()], ..TransferRules::default() });
        let sales = DialplanPlace { context: "sales".into(), extension: "1001".into() };
        for (targets, expected) in [(vec![allowed], Some(sales)), (vec![refused], None), (vec![], None)] {
            Arc::make_mut(&mut route).targets = targets;
            let mut failover = Failover::new(Some((route.clone(), did.clone())), rules.clone());
            let TopologyInput::ContinueInDialplan { exit, .. } = failover.end(Ending::EngineFailure) else {
                panic!("it continues");
            };
            assert_eq!((exit.status(), exit.place()), ("engines", expected.as_ref()));
        }
        let failover = Failover::new(Some((route, did)), rules);
        for (target, is_there) in [(forwarded, true), (not_forwarded, false)] {
            let TopologyInput::ContinueInDialplan { exit, .. } = failover.forward(&target) else {
                panic!("it continues");
            };
            assert_eq!((exit.status(), exit.place().is_some()), ("forwarded", is_there));
        }
    }

    #[test]
    fn a_dialled_place_has_limits_of_time() {
        let rules = TransferRules { ring_s: 20, max_leg_s: 90, ..TransferRules::default() };
        let place = |endpoint: Option<&str>| DialplanRoute {
            context: DialplanRoute::DIAL_CONTEXT.into(),
            extension: "s".into(),
            endpoint: endpoint.map(str::to_owned),
        };
        let exit = |endpoint| at_place(DialplanExit::with_status("transfer"), place(endpoint), &rules);
        let dialled = exit(Some("PJSIP/shop"));
        let variables: Vec<_> = dialled.variables().skip(1).collect();
        let expected = [("VCA_DIAL", "PJSIP/shop"), ("VCA_RING_S", "20"), ("VCA_LIMIT_MS", "90000")];
        assert_eq!(variables, expected);
        assert_eq!(exit(None).variables().count(), 1);
    }

    #[test]
    fn the_dialplan_learns_status_label_tenant_and_number() {
        let routes = json!({ "busy": { "action": "dialplan", "label": "night" } });
        let mut failover = failover(routes);
        let TopologyInput::ContinueInDialplan { exit, .. } = failover.refuse(Refusal::TenantBusy) else {
            panic!("it continues");
        };
        let (route, did) = failover.called.as_ref().unwrap();
        let (tenant, did) = (route.tenant.id.to_string(), did.to_string());
        let expected =
            [("VCA_STATUS", "busy"), ("VCA_ROUTE", "night"), ("VCA_TENANT", &tenant), ("VCA_DID", &did)];
        assert_eq!(exit.variables().collect::<Vec<_>>(), expected);
    }
}
