//! The calls that are under way: their tenants, their channels and bridges, and their queues.
//!
//! A plain map behind a lock that is held for a look-up, never across a wait.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc::{self, error::TrySendError};

use super::admission::Standing;
use super::callers::{CallerCalls, CallerStanding, TenantCaller};
use super::port_budget::PortBudget;
use crate::ari::topology::call_of;
use crate::ari::{AsteriskId, BridgeId, ChannelId};
use crate::call::{CallMessage, View};
use crate::tenancy::{Call, CallId, Month, TenantId};

/// Messages that wait for a call. A call reads at once; one that does not is stuck.
const QUEUE: usize = 128;

#[derive(Default)]
pub struct Live {
    calls: HashMap<CallId, LiveEntry>,
    /// The channels of callers. The ids of the other channels and of bridges contain the call's.
    callers: HashMap<(AsteriskId, ChannelId), CallId>,
    tenants: HashMap<TenantId, u32>,
    caller_calls: CallerCalls,
    draining: bool,
}

struct LiveEntry {
    queue: mpsc::Sender<CallMessage>,
    asterisk: AsteriskId,
    /// The caller's.
    channel: ChannelId,
    tenant: Option<TenantId>,
    /// The tenant of a call that is not admitted, and in which the caller hears a message.
    announcing: Option<TenantId>,
    /// Of an admitted call, where the caller has a number.
    caller: Option<TenantCaller>,
    view: Option<View>,
}

impl Live {
    /// Adds a call that has arrived on `channel`; `None` if there is one already.
    pub fn begin(
        &mut self,
        id: CallId,
        asterisk: &AsteriskId,
        channel: &ChannelId,
    ) -> Option<mpsc::Receiver<CallMessage>> {
        if self.call_of_channel(asterisk, channel).is_some() {
            return None;
        }
        let (queue, messages) = mpsc::channel(QUEUE);
        let (asterisk, channel) = (asterisk.clone(), channel.clone());
        self.callers.insert((asterisk.clone(), channel.clone()), id);
        let entry =
            LiveEntry { queue, asterisk, channel, tenant: None, announcing: None, caller: None, view: None };
        self.calls.insert(id, entry);
        Some(messages)
    }

    /// Lets the call be watched.
    pub fn show(&mut self, id: CallId, view: View) {
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.view = Some(view);
        }
    }

    /// The calls in progress that have a tenant, including those that are being refused.
    pub fn shown(&self) -> impl Iterator<Item = Call> {
        self.calls.values().filter_map(|entry| entry.view.as_ref()?.call())
    }

    /// The calls of a tenant, or all calls, whose agents are muted.
    pub fn muted(&self, tenant: Option<TenantId>) -> Vec<CallId> {
        let views = self.calls.values().filter_map(|entry| entry.view.as_ref());
        let calls = views.filter(|view| view.is_muted()).filter_map(View::call);
        let wanted = calls.filter(|call| tenant.is_none_or(|tenant| call.tenant_id == tenant));
        let mut muted: Vec<CallId> = wanted.map(|call| call.id).collect();
        muted.sort_unstable();
        muted
    }

    /// One of a tenant's calls under way.
    pub fn view(&self, tenant: TenantId, id: CallId) -> Option<View> {
        let view = self.calls.get(&id)?.view.clone()?;
        view.call().is_some_and(|call| call.tenant_id == tenant).then_some(view)
    }

    /// The caller of a call goes on by the channel `new`. False when `old` is no call's caller.
    pub fn replace(&mut self, asterisk: &AsteriskId, old: &ChannelId, new: &ChannelId) -> bool {
        let Some(id) = self.callers.remove(&(asterisk.clone(), old.clone())) else { return false };
        self.callers.insert((asterisk.clone(), new.clone()), id);
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.channel = new.clone();
        }
        true
    }

    /// The call is over. Returns its caller's channel, if it was not over before.
    pub fn end(&mut self, id: CallId) -> Option<ChannelId> {
        let LiveEntry { asterisk, channel, tenant, caller, .. } = self.calls.remove(&id)?;
        if let Some(caller) = &caller {
            self.caller_calls.end(caller);
        }
        self.callers.remove(&(asterisk, channel.clone()));
        if let Some(tenant) = tenant
            && let Some(count) = self.tenants.get_mut(&tenant)
        {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
        Some(channel)
    }

    /// The state of daemon and tenant for a new call of `tenant`. Only admitted calls count, so a flood of refused
    /// ones takes no places.
    pub fn standing(&self, tenant: Option<TenantId>, month: Month, ports: &PortBudget) -> Standing {
        let calls = self.calls.values().filter(|entry| entry.tenant.is_some()).count();
        let announcing = || self.calls.values().filter_map(|entry| entry.announcing);
        let messages = announcing().count();
        // The call itself is one of those that are not admitted yet.
        let waiting = self.calls.len().saturating_sub(calls + messages + 1);
        Standing {
            draining: self.draining,
            calls,
            messages,
            tenant_messages: announcing().filter(|it| Some(*it) == tenant).count(),
            has_ports: ports.has_room(calls + messages, waiting),
            tenant_calls: tenant.and_then(|tenant| self.tenants.get(&tenant).copied()).unwrap_or(0),
            caller: CallerStanding::default(),
            month,
        }
    }

    /// The calls of the caller of a new call.
    pub fn caller_standing(&mut self, caller: Option<&TenantCaller>, now: Instant) -> CallerStanding {
        self.caller_calls.standing(caller, now)
    }

    /// Counts the call among its caller's.
    pub fn assign_caller(&mut self, id: CallId, caller: Option<TenantCaller>, now: Instant) {
        if let (Some(entry), Some(caller)) = (self.calls.get_mut(&id), caller)
            && entry.caller.replace(caller.clone()).is_none()
        {
            self.caller_calls.begin(caller, now);
        }
    }

    /// Counts the call among its tenant's.
    pub fn assign(&mut self, id: CallId, tenant: TenantId) {
        if let Some(entry) = self.calls.get_mut(&id)
            && entry.tenant.replace(tenant).is_none()
        {
            *self.tenants.entry(tenant).or_default() += 1;
        }
    }

    /// Counts the call among those in which the caller hears a message.
    pub fn announce(&mut self, id: CallId, tenant: TenantId) {
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.announcing = Some(tenant);
        }
    }

    /// The call that a channel belongs to.
    pub fn call_of_channel(&self, asterisk: &AsteriskId, channel: &ChannelId) -> Option<CallId> {
        let caller = self.callers.get(&(asterisk.clone(), channel.clone()));
        caller.copied().or_else(|| self.call_named_in(asterisk, channel.as_str()))
    }

    /// The call that a bridge belongs to.
    pub fn call_of_bridge(&self, asterisk: &AsteriskId, bridge: &BridgeId) -> Option<CallId> {
        self.call_named_in(asterisk, bridge.as_str())
    }

    fn call_named_in(&self, asterisk: &AsteriskId, id: &str) -> Option<CallId> {
        let call = call_of(id)?.parse().ok()?;
        self.calls.get(&call).filter(|entry| entry.asterisk == *asterisk).map(|_| call)
    }

    /// Sends the same message to every call.
    pub fn deliver_to_all(&self, message: impl Fn() -> CallMessage) {
        self.calls.keys().for_each(|id| self.post(*id, message()));
    }

    /// Sends the same message to every call of one Asterisk.
    pub fn deliver_to_calls_of(&self, asterisk: &AsteriskId, message: impl Fn() -> CallMessage) {
        let calls = self.calls.iter().filter(|(_, entry)| entry.asterisk == *asterisk);
        calls.for_each(|(id, _)| self.post(*id, message()));
    }

    pub fn drain(&mut self) {
        self.draining = true;
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Sends a message to one call, if it is there.
    pub fn post(&self, id: CallId, message: CallMessage) {
        let Some(entry) = self.calls.get(&id) else { return };
        match entry.queue.try_send(message) {
            // A call that has closed its queue is about to leave the map.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("vca_call_messages_dropped_total").increment(1);
                tracing::error!(call_id = %id, "call queue full: message dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::RtpPorts;
    use crate::ari::topology::{bridge_id, dialled_leg_ids, media_id};

    fn local() -> AsteriskId {
        AsteriskId::default()
    }

    fn channel(id: &str) -> ChannelId {
        ChannelId::new(id)
    }

    fn quiet(month: Month) -> Standing {
        let caller = CallerStanding::default();
        Standing {
            draining: false,
            calls: 0,
            tenant_calls: 0,
            caller,
            messages: 0,
            tenant_messages: 0,
            has_ports: true,
            month,
        }
    }

    #[test]
    fn calls_for_a_message_alone_are_counted_apart() {
        let month = Month::of(chrono::DateTime::UNIX_EPOCH);
        let (mut live, tenant, announced) = (Live::default(), TenantId::new(), CallId::new());
        let _queues = [
            live.begin(announced, &local(), &channel("1.1")),
            live.begin(CallId::new(), &local(), &channel("1.2")),
        ];
        live.announce(announced, tenant);
        let ports = PortBudget::new(Some(RtpPorts::new((10_000, 10_007))));
        let standing = live.standing(Some(tenant), month, &ports);
        assert_eq!(standing, Standing { messages: 1, tenant_messages: 1, ..quiet(month) });
        assert_eq!(live.standing(Some(TenantId::new()), month, &ports).tenant_messages, 0);
        let short = PortBudget::new(Some(RtpPorts::new((10_000, 10_005))));
        assert!(!live.standing(Some(tenant), month, &short).has_ports, "it takes the ports of a call");
        live.end(announced);
        assert_eq!(live.standing(Some(tenant), month, &ports).messages, 0);
    }

    #[test]
    fn a_callers_calls_are_counted_while_they_last() {
        let (mut live, tenant, id, now) = (Live::default(), TenantId::new(), CallId::new(), Instant::now());
        let caller = TenantCaller::of(tenant, Some("+491715550123"));
        let _messages = live.begin(id, &local(), &channel("1.1"));
        live.assign_caller(id, caller.clone(), now);
        live.assign_caller(id, caller.clone(), now);
        let standing = |live, last_hour| CallerStanding { live, last_hour };
        assert_eq!(live.caller_standing(caller.as_ref(), now), standing(1, 1));
        live.end(id);
        live.end(id);
        assert_eq!(live.caller_standing(caller.as_ref(), now), standing(0, 1));
    }

    #[test]
    fn channels_and_bridges_belong_to_their_call() {
        let (mut live, id) = (Live::default(), CallId::new());
        let mut messages = live.begin(id, &local(), &channel("1.1")).unwrap();
        assert!(live.begin(CallId::new(), &local(), &channel("1.1")).is_none());
        let call = id.to_string();
        for owned in dialled_leg_ids(&call).chain([channel("1.1"), media_id(&call)]) {
            assert_eq!(live.call_of_channel(&local(), &owned), Some(id), "{owned}");
        }
        for number in [0, 1] {
            let bridge = bridge_id(&id.to_string(), number);
            assert_eq!(live.call_of_bridge(&local(), &bridge), Some(id), "{bridge}");
            assert_eq!(live.call_of_bridge(&AsteriskId::new("other"), &bridge), None, "{bridge}");
        }
        assert_eq!(live.call_of_bridge(&local(), &bridge_id(&CallId::new().to_string(), 0)), None);
        assert_eq!(live.call_of_channel(&local(), &channel("2.2")), None);
        live.post(id, CallMessage::End);
        assert!(messages.try_recv().is_ok());
        live.end(id);
        assert_eq!(live.call_of_channel(&local(), &channel("1.1")), None);
        assert_eq!(live.call_of_channel(&local(), &media_id(&id.to_string())), None);
        assert!(live.callers.is_empty());
    }

    #[test]
    fn two_asterisks_may_have_channels_of_the_same_id() {
        let [berlin, mumbai] = ["berlin", "mumbai"].map(AsteriskId::new);
        let (mut live, ids) = (Live::default(), [CallId::new(), CallId::new()]);
        let mut first = live.begin(ids[0], &berlin, &channel("1.1")).unwrap();
        let mut second = live.begin(ids[1], &mumbai, &channel("1.1")).expect("another Asterisk's channel");
        assert_eq!(live.call_of_channel(&berlin, &channel("1.1")), Some(ids[0]));
        assert_eq!(live.call_of_channel(&mumbai, &channel("1.1")), Some(ids[1]));
        live.deliver_to_calls_of(&mumbai, || CallMessage::End);
        assert!(second.try_recv().is_ok());
        assert!(first.try_recv().is_err(), "a reconnect of one Asterisk concerns its own calls");
        assert!(live.replace(&mumbai, &channel("1.1"), &channel("1.7")));
        assert_eq!(live.call_of_channel(&berlin, &channel("1.1")), Some(ids[0]));
        assert_eq!(live.call_of_channel(&berlin, &channel("1.7")), None);
        live.end(ids[0]);
        assert_eq!(live.call_of_channel(&mumbai, &channel("1.7")), Some(ids[1]));
    }

    #[test]
    fn a_call_goes_on_by_the_channel_that_replaces_its_callers() {
        let (mut live, tenant, id) = (Live::default(), TenantId::new(), CallId::new());
        let _messages = live.begin(id, &local(), &channel("1.1")).unwrap();
        live.assign(id, tenant);
        assert!(live.replace(&local(), &channel("1.1"), &channel("1.7")));
        assert_eq!(live.call_of_channel(&local(), &channel("1.7")), Some(id));
        assert_eq!(live.call_of_channel(&local(), &channel("1.1")), None, "the old channel is no call's");
        assert!(!live.replace(&local(), &channel("1.1"), &channel("1.8")), "it is no caller any more");
        assert!(
            !live.replace(&local(), &media_id(&id.to_string()), &channel("1.8")),
            "our own end is no caller"
        );
        let month = Month::of(chrono::DateTime::UNIX_EPOCH);
        assert_eq!(
            live.standing(Some(tenant), month, &PortBudget::new(None)).tenant_calls,
            1,
            "it is still its tenant's"
        );
        assert_eq!(live.end(id), Some(channel("1.7")));
        assert!(live.callers.is_empty());
        assert_eq!(live.end(id), None);
    }

    #[test]
    fn a_tenants_calls_are_counted_while_they_last() {
        let (mut live, tenant) = (Live::default(), TenantId::new());
        let (first, second) = (CallId::new(), CallId::new());
        let month = Month::of(chrono::DateTime::UNIX_EPOCH);
        let _first = live.begin(first, &local(), &channel("1.1"));
        let _second = live.begin(second, &local(), &channel("1.2"));
        live.assign(first, tenant);
        live.assign(first, tenant);
        assert_eq!(
            live.standing(Some(tenant), month, &PortBudget::new(None)),
            Standing { calls: 1, tenant_calls: 1, ..quiet(month) }
        );
        live.end(first);
        live.end(first);
        assert_eq!(live.standing(Some(tenant), month, &PortBudget::new(None)), quiet(month));
    }

    #[test]
    fn a_full_queue_never_blocks() {
        let (mut live, id) = (Live::default(), CallId::new());
        let mut messages = live.begin(id, &local(), &channel("1.1")).unwrap();
        (0..QUEUE + 5).for_each(|_| live.deliver_to_all(|| CallMessage::End));
        assert_eq!(std::iter::from_fn(|| messages.try_recv().ok()).count(), QUEUE);
    }
}
