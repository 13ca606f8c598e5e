//! A new call: from the channel that enters the application to the task that serves it.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use metrics::{counter, gauge};
use tokio::sync::mpsc;
use tracing::{Instrument, error, info, info_span, warn};

use super::Switchboard;
use super::admission::{Standing, decide, engine_terms, format_for, may_announce};
use super::callers::TenantCaller;
use super::pre_call::CallPlan;
use crate::ari::answer::ChannelVariable;
use crate::ari::event::{CalledNumber, Channel, ChannelState};
use crate::ari::topology::{bridge_id, dialled_leg_ids, is_dialled_leg, media_id};
use crate::ari::{AsteriskId, ChannelId, Reason, Request, Topology};
use crate::audio::codec::Format;
use crate::call::{self, Admitted, Agent, CallMessage, Feed, IncomingCall, PromptUse, Refusal};
use crate::tenancy::{AiProfile, CallId, Did, FailoverCase, Month, Route, TransferTarget, mask};

/// Characters of a called number that a log line shows.
const LONGEST_LOGGED: usize = 40;

/// How an unknown channel was found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelOrigin {
    /// It enters the application now.
    Entering,
    /// It was in the application when the events began to flow.
    Existing,
}

/// The route of a call, and the number that was called.
type Called = (Arc<Route>, Did);

/// Why a call is not answered here.
enum NotAnswered {
    /// It is refused; the route for its record where there is one.
    Refused(Refusal, Option<Called>),
    /// It goes to a transfer target.
    Forwarded(Box<TransferTarget>, Called),
}

impl Switchboard {
    /// An unknown channel has entered the application.
    pub(super) fn channel_entered(
        &self,
        asterisk: &AsteriskId,
        channel: &Channel,
        args: &[String],
        origin: ChannelOrigin,
    ) {
        if channel.is_external_media() || is_dialled_leg(&channel.id) {
            // Its call is over: the channel was created after the call was cleaned up.
            return self.send_to_asterisk(Request::hang_up(&channel.id, Reason::NormalClearing));
        }
        if channel.state == ChannelState::Up && origin == ChannelOrigin::Existing {
            // A former daemon answered it; it continues in the dialplan.
            warn!(channel = %channel.id, "unknown answered call: continued in the dialplan");
            return self.send_to_asterisk(Request::continue_in_dialplan(&channel.id));
        }
        let called = channel.called_number(args);
        let Some((id, messages)) = self.register(asterisk, channel, &called.text) else { return };
        let feed = Feed::default();
        self.0.live().show(id, feed.view());
        let since = Instant::now();
        let caller = Some(channel.caller.number.clone()).filter(|number| !number.is_empty());
        let span = info_span!("call", call_id = %id, tenant_id = tracing::field::Empty);
        span.in_scope(|| {
            info!(
                channel = %channel.id,
                caller = %mask(caller.as_deref().unwrap_or("withheld")),
                called = %printable(&called.text),
                called_by = called.source.as_str(),
                "call arrived"
            );
        });
        let services = &self.0.services;
        let topology =
            Topology::new(since, &id.to_string(), channel.id.clone(), &services.app, services.set_up);
        let provider_call_id = channel.provider_call_id(args);
        let trunk = channel.sip_endpoint().map(str::to_owned);
        let incoming = IncomingCall {
            id,
            channel: channel.id.clone(),
            caller,
            trunk,
            provider_call_id,
            topology,
            messages,
            feed,
            since,
            set_up_since: since,
            pre_call: None,
        };
        let switchboard = self.clone();
        self.0.tasks.spawn(async move { switchboard.serve(incoming, called).await }.instrument(span));
    }

    /// Registers a call for the channel, with the id of the record that it was announced with; `None` when the channel
    /// has a call already.
    fn register(
        &self,
        asterisk: &AsteriskId,
        channel: &Channel,
        called: &str,
    ) -> Option<(CallId, mpsc::Receiver<CallMessage>)> {
        let mut live = self.0.live();
        if live.call_of_channel(asterisk, &channel.id).is_some() {
            return None;
        }
        let id = self.0.announcements.arrive(channel.id.as_str(), called, Utc::now());
        let messages = live.begin(id, asterisk, &channel.id)?;
        Some((id, messages))
    }

    async fn serve(self, mut incoming: IncomingCall, called: CalledNumber) {
        let guard = LiveCallGuard { switchboard: self.clone(), id: incoming.id };
        gauge!("vca_calls_live").set(self.live_calls() as f64);
        let services = self.0.services.clone();
        match self.admit(&mut incoming, &called.text).await {
            Ok(admitted) => {
                if let Some(refusal) = admitted.announces {
                    self.note_refusal(refusal, &called);
                }
                if admitted.prompts == PromptUse::AllCalls {
                    // A profile that changed since the start has new prompts; cached ones cost nothing.
                    let (agent, prompts) = (admitted.agent.clone(), services.prompts.clone());
                    // Not tracked: a drain does not wait for it.
                    tokio::spawn(async move { agent.warm_up(&prompts).await }.in_current_span());
                }
                call::answer(incoming, services, admitted).await;
            }
            Err(NotAnswered::Forwarded(target, route)) => {
                info!(to = %target.name, "the pre-call webhook forwards the call");
                call::forward(incoming, services, route, &target).await;
            }
            Err(NotAnswered::Refused(refusal, known)) => {
                self.note_refusal(refusal, &called);
                call::refuse(incoming, services, refusal, known).await;
            }
        }
        drop(guard);
    }

    /// Counts a refusal, and logs the called number, which is no personal data of the caller's: the operator has to see which
    /// one is missing.
    fn note_refusal(&self, refusal: Refusal, called: &CalledNumber) {
        counter!("vca_refusals_total", "reason" => refusal.as_str()).increment(1);
        let (reason, cause, source) = (refusal.as_str(), refusal.reason().code(), called.source.as_str());
        let text = printable(&called.text);
        if refusal != Refusal::UnknownNumber {
            return warn!(called = %text, called_by = source, reason, cause, "call refused");
        }
        let looked_for: Vec<String> =
            self.0.routing.candidates(&called.text).iter().map(Did::to_string).collect();
        let remedy = if looked_for.is_empty() {
            "this is not a phone number: name it in the dialplan, as in Stasis(vca,+15550100)"
        } else {
            "no tenant has one of the numbers looked for: see `vca number list`"
        };
        let looked_for = looked_for.join(" ");
        warn!(called = %text, called_by = source, looked_for, reason, cause, remedy, "call refused");
    }

    async fn admit(&self, incoming: &mut IncomingCall, called: &str) -> Result<Admitted, NotAnswered> {
        let (found, format) = tokio::join!(self.0.routing.dialled(called), self.format_of(&incoming.channel));
        let found = found.map_err(|error| {
            error!(%error, "the called number cannot be looked up");
            NotAnswered::Refused(Refusal::NoDatabase, None)
        })?;
        let known = || found.clone().map(|(did, route)| (route, did));
        let route = found.as_ref().map(|(_, route)| route);
        let tenant = route.map(|route| route.tenant.id);
        if let Some(tenant) = tenant {
            tracing::Span::current().record("tenant_id", tracing::field::display(tenant));
        }
        if let Err(refusal) = self.take_place(incoming, route.map(|route| &**route)) {
            let announced = known().and_then(|called| self.announce(incoming, refusal, called, format));
            return announced.ok_or_else(|| NotAnswered::Refused(refusal, known()));
        }
        let Some((called, route)) = found else {
            return Err(NotAnswered::Refused(Refusal::UnknownNumber, None));
        };
        let plan = self.plan(incoming, &route, &called).await;
        let refused = |refusal| Err(NotAnswered::Refused(refusal, Some((route.clone(), called.clone()))));
        let (profile, prompts) = match plan {
            Some(CallPlan::Answer { profile, prompts }) => (profile, prompts),
            Some(CallPlan::Forward(target)) => return Err(NotAnswered::Forwarded(target, (route, called))),
            Some(CallPlan::Reject(cause)) => return refused(Refusal::RejectedByWebhook(cause)),
            None => return refused(Refusal::NoAgent),
        };
        let Some(agent) = self.agent(&profile, &route) else { return refused(Refusal::NoAgent) };
        let routes = &route.number.failover;
        let agent = match routes.message(FailoverCase::Closed) {
            Some(message) => agent.with_closed_message(message),
            None if agent.is_closed(Utc::now()) && routes.continues(FailoverCase::Closed) => {
                return refused(Refusal::Closed);
            }
            None => agent,
        };
        Ok(Admitted { called, route, agent: Arc::new(agent), format, prompts, announces: None })
    }

    /// The answer to a refused call for the message of its failover route; `None` where there is no message, no agent to speak
    /// it or no place.
    fn announce(
        &self,
        incoming: &IncomingCall,
        refusal: Refusal,
        (route, called): Called,
        format: Format,
    ) -> Option<Admitted> {
        let message = route.number.failover.message(refusal.case()?)?;
        let profile = route.profile_at(incoming.id, Utc::now())?;
        let agent = Arc::new(self.bare_agent(profile, &route)?.announcing(message));
        let tenant = route.tenant.id;
        let mut live = self.0.live();
        if !may_announce(refusal, live.standing(Some(tenant), Month::of(Utc::now()), &self.0.ports)) {
            return None;
        }
        live.announce(incoming.id, tenant);
        drop(live);
        let prompts = PromptUse::AllCalls;
        Some(Admitted { called, route, agent, format, prompts, announces: Some(refusal) })
    }

    /// Decides whether there is a place for a call, and counts it among those of tenant and caller if there is.
    fn take_place(&self, incoming: &IncomingCall, route: Option<&Route>) -> Result<(), Refusal> {
        let tenant = route.map(|route| route.tenant.id);
        let caller = tenant.and_then(|tenant| TenantCaller::of(tenant, incoming.caller.as_deref()));
        let (month, now) = (Month::of(Utc::now()), Instant::now());
        let mut live = self.0.live();
        let of_caller = live.caller_standing(caller.as_ref(), now);
        let standing = Standing { caller: of_caller, ..live.standing(tenant, month, &self.0.ports) };
        let rules = self.0.rules.get();
        decide(route, standing, &rules.settings, &rules.plans)?;
        if let Some(tenant) = tenant {
            live.assign(incoming.id, tenant);
            live.assign_caller(incoming.id, caller, now);
        }
        Ok(())
    }

    /// The agent of a profile, with the targets of its version; `None` where it cannot be built.
    fn agent(&self, profile: &AiProfile, route: &Route) -> Option<Agent> {
        let agent = self.bare_agent(profile, route)?;
        let rules = self.0.services.transfer_rules.get();
        Some(agent.with_targets(&profile.settings, &profile.known_targets(&route.targets), &rules))
    }

    /// The agent of a profile without transfer targets; `None` where it cannot be built.
    pub(super) fn bare_agent(&self, profile: &AiProfile, route: &Route) -> Option<Agent> {
        let rules = self.0.rules.get();
        let terms = engine_terms(&route.tenant, &rules.settings, &rules.plans);
        (self.0.find_agent)(profile, &route.engines, terms)
    }

    /// Queries Asterisk for the codec of the caller's audio. Without a result it is mu-law, which every trunk
    /// supports.
    async fn format_of(&self, channel: &ChannelId) -> Format {
        let asked =
            self.0.services.asterisk.ask(Request::variable(channel, "CHANNEL(audionativeformat)")).await;
        asked.map_or(Format::Ulaw, |ChannelVariable { value }| format_for(&value))
    }
}

/// Removes a call from the map when its task ends. If the task panics, its objects in Asterisk are deleted.
struct LiveCallGuard {
    switchboard: Switchboard,
    id: CallId,
}

impl Drop for LiveCallGuard {
    fn drop(&mut self) {
        let channel = self.switchboard.0.live().end(self.id);
        gauge!("vca_calls_live").set(self.switchboard.live_calls() as f64);
        if std::thread::panicking() {
            let id = self.id.to_string();
            error!(call_id = %id, "call task panicked: its channels and bridge are deleted");
            if let Some(channel) = channel {
                self.switchboard.send_to_asterisk(Request::hang_up(&channel, Reason::Congestion));
            }
            for channel in dialled_leg_ids(&id).chain([media_id(&id)]) {
                self.switchboard.send_to_asterisk(Request::hang_up(&channel, Reason::NormalClearing));
            }
            self.switchboard.send_to_asterisk(Request::destroy_bridge(&bridge_id(&id, 0)));
        }
    }
}

/// Text from the dialplan without control characters, shortened for a log line.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_LOGGED).collect()
}
