//! Routes Asterisk's events to calls: known channels to their call, new channels to a new one.
//!
//! [`Switchboard::deliver`] runs in the task that reads the event WebSocket, so it only looks up and passes on;
//! slow work is done in the new call's own task.

mod admission;
mod arrival;
mod callers;
mod live;
mod port_budget;
mod pre_call;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::ari::event::Channel;
use crate::ari::{AsteriskId, ChannelId, Event, Inventory, Request, Signal, SignalKind, Sink};
use crate::billing::{EngineTerms, Plans};
use crate::call::{Agent, CallMessage, CallServices, LiveRequest, View};
use crate::current::Current;
use crate::store::{Announcements, Routing};
use crate::tenancy::{AiProfile, Call, CallId, EngineAccess, LiveCommand, LiveRefusal, TenantId};
use crate::webhooks::PreCallClient;

pub use admission::{Settings, engine_terms};
use arrival::ChannelOrigin;
pub use callers::MOST_PER_HOUR as MOST_CALLS_PER_CALLER_PER_HOUR;
use live::Live;
use port_budget::PortBudget;

/// Builds the agent of a profile, for a tenant with these engine credentials and terms; returns `None` and logs when it cannot
/// be built.
pub type FindAgent = Box<dyn Fn(&AiProfile, &[EngineAccess], EngineTerms) -> Option<Agent> + Send + Sync>;

/// The daemon's calls. Cloning it is cheap.
#[derive(Clone)]
pub struct Switchboard(Arc<Inner>);

struct Inner {
    services: Arc<CallServices>,
    routing: Routing,
    pre_call: Arc<PreCallClient>,
    announcements: Announcements,
    find_agent: FindAgent,
    rules: Current<Rules>,
    live: Mutex<Live>,
    ports: PortBudget,
    connected: AtomicBool,
    tasks: TaskTracker,
}

/// The settings that admission depends on.
struct Rules {
    settings: Settings,
    plans: Plans,
}

impl Switchboard {
    pub fn new(
        services: Arc<CallServices>,
        (routing, pre_call): (Routing, Arc<PreCallClient>),
        announcements: Announcements,
        find_agent: FindAgent,
        settings: Settings,
        plans: Plans,
    ) -> Switchboard {
        let (live, connected, tasks) = (Mutex::default(), AtomicBool::new(false), TaskTracker::new());
        let ports = PortBudget::new(services.rtp_ports);
        Switchboard(Arc::new(Inner {
            services,
            routing,
            pre_call,
            announcements,
            find_agent,
            rules: Current::new(Rules { settings, plans }),
            live,
            ports,
            connected,
            tasks,
        }))
    }

    /// Changes what later calls are admitted by. The time of a drain stays as it was at the start.
    pub fn set_rules(&self, settings: Settings, plans: Plans) {
        self.0.rules.set(Rules { settings, plans });
    }

    /// The most calls at once.
    pub fn max_calls(&self) -> usize {
        self.0.rules.get().settings.max_calls
    }

    /// Is the event WebSocket open?
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Relaxed)
    }

    /// Can calls to some number be routed while the database is unavailable?
    pub fn has_cached_routes(&self) -> bool {
        self.0.routing.has_cached_routes()
    }

    pub fn is_draining(&self) -> bool {
        self.0.live().is_draining()
    }

    /// Calls in progress, including those that are being refused.
    pub fn live_calls(&self) -> usize {
        self.0.live().len()
    }

    /// The calls in progress of a tenant, or all calls, newest first.
    pub fn calls_of(&self, tenant: Option<TenantId>) -> Vec<Call> {
        let live = self.0.live();
        let wanted = |call: &Call| tenant.is_none_or(|tenant| call.tenant_id == tenant);
        let mut calls: Vec<Call> = live.shown().filter(wanted).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.id));
        calls
    }

    /// The calls of a tenant, or all calls, whose agents are muted.
    pub fn muted(&self, tenant: Option<TenantId>) -> Vec<CallId> {
        self.0.live().muted(tenant)
    }

    /// The events of one of a tenant's calls in progress.
    pub fn view(&self, tenant: TenantId, call: CallId) -> Option<View> {
        self.0.live().view(tenant, call)
    }

    /// Gives a command to one of a tenant's calls.
    ///
    /// # Errors
    /// Why the call does not carry it out; `NoResponse` when it has not responded within [`COMMAND_LIMIT`].
    pub async fn command(
        &self,
        tenant: TenantId,
        call: CallId,
        command: LiveCommand,
    ) -> Result<(), LiveRefusal> {
        let (request, outcome) = LiveRequest::new(command);
        {
            let live = self.0.live();
            if live.view(tenant, call).is_none() {
                return Err(LiveRefusal::NotLive);
            }
            live.post(call, CallMessage::Command(request));
        }
        match tokio::time::timeout(COMMAND_LIMIT, outcome).await {
            Ok(outcome) => outcome.unwrap_or(Err(LiveRefusal::Ending)),
            Err(_) => Err(LiveRefusal::NoResponse),
        }
    }

    /// How late frames have left so far: frames by upper bound in microseconds, and the sum of their delays.
    pub fn frame_lateness(&self) -> (std::collections::BTreeMap<u64, u64>, Duration) {
        (self.0.services.media.lateness(), self.0.services.media.total_lateness())
    }

    /// A count of rounds for each media thread: see [`crate::media::Threads::rounds`].
    pub fn media_beats(&self) -> Vec<u64> {
        self.0.services.media.rounds()
    }

    /// Counts the channels of other applications at intervals, where Asterisk's RTP ports are known.
    pub async fn watch_rtp_ports(self) {
        let mut looks = tokio::time::interval(PORT_WATCH);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.0.ports.is_known() {
            looks.tick().await;
            if let Ok(channels) = self.0.services.asterisk.ask::<Vec<Channel>>(Request::channels()).await {
                let (live, asterisk) = (self.0.live(), self.0.services.asterisk.asterisk());
                self.0.ports.observe(&channels, |id| live.call_of_channel(asterisk, id).is_some());
            }
        }
    }

    /// Looks at intervals whether callers are gone whom the dialplan has connected with a leg.
    pub async fn watch_handed_over_legs(self) {
        let mut looks = tokio::time::interval(LEG_WATCH);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let legs = &self.0.services.handed_over_legs;
        loop {
            looks.tick().await;
            if legs.is_empty() {
                continue;
            }
            if let Ok(channels) = self.0.services.asterisk.ask::<Vec<Channel>>(Request::channels()).await {
                let present: HashSet<ChannelId> = channels.into_iter().map(|channel| channel.id).collect();
                legs.retain(|caller| present.contains(caller));
            }
        }
    }

    /// Refuses new calls, lets those in progress continue for `limit`, then ends them politely.
    pub async fn drain(&self, limit: Duration) {
        self.0.live().drain();
        self.0.tasks.close();
        info!(calls = self.live_calls(), limit_s = limit.as_secs(), "draining");
        if tokio::time::timeout(limit, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        warn!(calls = self.live_calls(), "ending the remaining calls");
        self.0.live().deliver_to_all(|| CallMessage::End);
        if tokio::time::timeout(GOODBYES, self.0.tasks.wait()).await.is_err() {
            error!(calls = self.live_calls(), "calls did not end in time");
        }
    }

    /// Refuses new calls and hangs up those in progress at once.
    pub async fn cut(&self) {
        self.0.live().drain();
        self.0.tasks.close();
        self.0.live().deliver_to_all(|| CallMessage::Cut);
        if tokio::time::timeout(TEARDOWN, self.0.tasks.wait()).await.is_err() {
            error!(calls = self.live_calls(), "calls did not end in time");
        }
    }
}

/// A call responds to a command within this time.
const COMMAND_LIMIT: Duration = Duration::from_secs(2);
/// The pause between two counts of Asterisk's channels.
const PORT_WATCH: Duration = Duration::from_secs(5);
/// The pause between two looks for the callers of legs that the dialplan dials.
const LEG_WATCH: Duration = Duration::from_secs(5);
/// A teardown takes this long at most.
const TEARDOWN: Duration = Duration::from_secs(3);
/// A goodbye, its time limit and the teardown take this long at most.
const GOODBYES: Duration = Duration::from_secs(20);

impl Sink for Switchboard {
    fn deliver(&self, signal: Signal) {
        let Signal { asterisk, kind } = signal;
        match kind {
            SignalKind::Connected(inventory) => self.reconcile(&asterisk, &inventory),
            SignalKind::Disconnected => self.0.connected.store(false, Relaxed),
            SignalKind::Event(event) => self.route(&asterisk, event),
        }
    }
}

impl Switchboard {
    fn route(&self, asterisk: &AsteriskId, event: Event) {
        if let Event::StasisStart { channel, replaces, args } = &event
            && !self.is_of_a_call(asterisk, &channel.id, replaces.as_ref())
        {
            return self.channel_entered(asterisk, channel, args, ChannelOrigin::Entering);
        }
        let live = self.0.live();
        let call = match &event {
            Event::BridgeDestroyed { bridge } => live.call_of_bridge(asterisk, bridge),
            other => other.channel_id().and_then(|channel| live.call_of_channel(asterisk, channel)),
        };
        if let Some(call) = call {
            live.post(call, CallMessage::Event(event));
        }
    }

    /// Whether a channel that enters the application belongs to a call in progress. So does one that replaces a
    /// call's caller, as after an attended transfer: there is no new admission, and the call stays its tenant's.
    fn is_of_a_call(&self, asterisk: &AsteriskId, channel: &ChannelId, replaces: Option<&ChannelId>) -> bool {
        let mut live = self.0.live();
        live.call_of_channel(asterisk, channel).is_some()
            || replaces.is_some_and(|old| live.replace(asterisk, old, channel))
    }

    /// Events are received again. Calls learn which of their objects are left; unknown channels become calls or
    /// are deleted.
    fn reconcile(&self, asterisk: &AsteriskId, inventory: &Arc<Inventory>) {
        self.0.connected.store(true, Relaxed);
        let live = self.0.live();
        live.deliver_to_calls_of(asterisk, || CallMessage::Reconciled(inventory.clone()));
        let bridges = inventory.bridges.iter().filter(|id| live.call_of_bridge(asterisk, id).is_none());
        for bridge in bridges.filter(|id| id.as_str().starts_with("vca-")) {
            self.send_to_asterisk(Request::destroy_bridge(bridge));
        }
        for channel in inventory.channels.iter().filter(|id| live.call_of_channel(asterisk, id).is_none()) {
            let (switchboard, asterisk, channel) = (self.clone(), asterisk.clone(), channel.clone());
            self.0.tasks.spawn(async move { switchboard.adopt(&asterisk, &channel).await });
        }
    }

    /// Reads an unknown channel, which becomes a call or is removed.
    async fn adopt(&self, asterisk: &AsteriskId, channel: &ChannelId) {
        let asked = self.0.services.asterisk.ask::<Channel>(Request::channel(channel)).await;
        match asked {
            Ok(channel) if self.0.live().call_of_channel(asterisk, &channel.id).is_none() => {
                self.channel_entered(asterisk, &channel, &channel.stasis_arguments(), ChannelOrigin::Existing)
            }
            Ok(_) => {}
            Err(error) => warn!(%channel, %error, "unknown channel cannot be read"),
        }
    }

    fn send_to_asterisk(&self, request: Request) {
        let asterisk = self.0.services.asterisk.clone();
        self.0.tasks.spawn(async move {
            let operation = request.operation;
            if let Err(error) = asterisk.send(request).await
                && !error.is_gone()
            {
                warn!(operation, %error, "leftover channel or bridge not deleted");
            }
        });
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
