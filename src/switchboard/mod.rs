//! Routes Asterisk's events to calls: known channels to their call, new channels to a new one.
//!
//! [`Switchboard::deliver`] runs in the task that reads the event WebSocket, so it only looks up and passes on;
//! slow work is done in the new call's own task.

mod admission;
mod live;
mod port_budget;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use metrics::{counter, gauge};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use crate::ari::answer::ChannelVariable;
use crate::ari::event::{CalledNumber, Channel, ChannelState};
use crate::ari::topology::{bridge_id, media_id};
use crate::ari::{
    AsteriskId, ChannelId, Event, Inventory, Reason, Request, Signal, SignalKind, Sink, Topology,
};
use crate::audio::codec::Format;
use crate::billing::Plans;
use crate::call::{self, Admitted, Agent, CallMessage, CallServices, Feed, IncomingCall, Refusal, View};
use crate::current::Current;
use crate::store::{Announcements, Routing};
use crate::tenancy::{AiProfile, Call, CallId, Did, Month, Route, TenantId, mask};

pub use admission::Settings;
use admission::{decide, format_for};
use live::Live;
use port_budget::PortBudget;

/// Builds the agent of a profile; returns `None` and logs when it cannot be built.
pub type FindAgent = Box<dyn Fn(&AiProfile) -> Option<Agent> + Send + Sync>;

/// The daemon's calls. Cloning it is cheap.
#[derive(Clone)]
pub struct Switchboard(Arc<Inner>);

struct Inner {
    services: Arc<CallServices>,
    routing: Routing,
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

/// Why a call is not let in, and what is known of it for its record.
type Refused = (Refusal, Option<(Arc<Route>, Did)>);

impl Switchboard {
    pub fn new(
        services: Arc<CallServices>,
        routing: Routing,
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

    /// Do events flow?
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Relaxed)
    }

    /// Can calls to some number be routed while the database is away?
    pub fn has_cached_routes(&self) -> bool {
        self.0.routing.has_cached_routes()
    }

    pub fn is_draining(&self) -> bool {
        self.0.live().is_draining()
    }

    /// Calls under way, those that are being refused included.
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

    /// One of a tenant's calls under way, to be watched.
    pub fn view(&self, tenant: TenantId, call: CallId) -> Option<View> {
        self.0.live().view(tenant, call)
    }

    /// Ends one of a tenant's calls politely. False when it is not under way.
    pub fn hang_up(&self, tenant: TenantId, call: CallId) -> bool {
        let live = self.0.live();
        let is_there = live.view(tenant, call).is_some();
        if is_there {
            live.post(call, CallMessage::End);
        }
        is_there
    }

    /// How late frames have left so far: frames by upper bound in microseconds, and the sum of their delays.
    pub fn frame_lateness(&self) -> (std::collections::BTreeMap<u64, u64>, Duration) {
        (self.0.services.media.lateness(), self.0.services.media.total_lateness())
    }

    /// A count of rounds for each media thread: see [`crate::media::Threads::rounds`].
    pub fn media_beats(&self) -> Vec<u64> {
        self.0.services.media.rounds()
    }

    /// Counts the channels of other applications again and again, where Asterisk's RTP ports are known.
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

    /// Takes no more calls, lets those under way go on until `patience` is over, then ends them politely.
    pub async fn drain(&self, patience: Duration) {
        self.0.live().drain();
        self.0.tasks.close();
        info!(calls = self.live_calls(), patience_s = patience.as_secs(), "draining");
        if tokio::time::timeout(patience, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        warn!(calls = self.live_calls(), "the calls that are left are ended");
        self.0.live().deliver_to_all(|| CallMessage::End);
        if tokio::time::timeout(GOODBYES, self.0.tasks.wait()).await.is_err() {
            error!(calls = self.live_calls(), "calls did not end in time");
        }
    }

    /// Takes no more calls and hangs up those under way, in the middle of a word if need be.
    pub async fn cut(&self) {
        self.0.live().drain();
        self.0.tasks.close();
        self.0.live().deliver_to_all(|| CallMessage::Cut);
        if tokio::time::timeout(TEARDOWN, self.0.tasks.wait()).await.is_err() {
            error!(calls = self.live_calls(), "calls did not end in time");
        }
    }
}

/// The pause between two counts of Asterisk's channels.
const PORT_WATCH: Duration = Duration::from_secs(5);
/// Characters of a called number that a log line shows.
const LONGEST_LOGGED: usize = 40;
/// A teardown takes this long at most.
const TEARDOWN: Duration = Duration::from_secs(3);
/// A goodbye, its guard and the teardown take this long at most.
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
            return self.welcome(asterisk, channel, args, Found::Entering);
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

    /// An unknown channel has entered the application.
    fn welcome(&self, asterisk: &AsteriskId, channel: &Channel, args: &[String], found: Found) {
        if channel.is_external_media() {
            // Its call is over: the channel was created after the call was cleaned up.
            return self.ask_of_asterisk(Request::hang_up(&channel.id, Reason::NormalClearing));
        }
        if channel.state == ChannelState::Up && found == Found::There {
            // It was answered by a daemon that is no more; the dialplan goes on with it.
            warn!(channel = %channel.id, "unknown answered call: continued in the dialplan");
            return self.ask_of_asterisk(Request::continue_in_dialplan(&channel.id));
        }
        let called = channel.called_number(args);
        let Some((id, messages)) = self.begin(asterisk, channel, &called.text) else { return };
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
        let is_sip = channel.name.starts_with("PJSIP/");
        let incoming = IncomingCall {
            id,
            channel: channel.id.clone(),
            caller,
            is_sip,
            provider_call_id,
            topology,
            messages,
            feed,
            since,
        };
        let switchboard = self.clone();
        self.0.tasks.spawn(async move { switchboard.attend(incoming, called).await }.instrument(span));
    }

    /// Gives a channel its place among the calls, and the record that it was announced with, if it was; `None` when
    /// it has one already.
    fn begin(
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

    async fn attend(self, incoming: IncomingCall, called: CalledNumber) {
        let presence = Presence { switchboard: self.clone(), id: incoming.id };
        gauge!("vca_calls_live").set(self.live_calls() as f64);
        let services = self.0.services.clone();
        match self.admit(&incoming, &called.text).await {
            Ok(admitted) => {
                // A profile that changed since the start has new prompts; cached ones cost nothing.
                let (agent, prompts) = (admitted.agent.clone(), services.prompts.clone());
                // Not tracked: a drain does not wait for it.
                tokio::spawn(async move { agent.warm_up(&prompts).await }.in_current_span());
                call::answer(incoming, services, admitted).await;
            }
            Err((refusal, known)) => {
                counter!("vca_refusals_total", "reason" => refusal.as_str()).increment(1);
                self.log_refusal(refusal, &called);
                call::refuse(incoming, services, refusal, known).await;
            }
        }
        drop(presence);
    }

    /// The called number is no personal data of the caller's: without it an operator cannot see which number is missing.
    fn log_refusal(&self, refusal: Refusal, called: &CalledNumber) {
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

    async fn admit(&self, incoming: &IncomingCall, called: &str) -> Result<Admitted, Refused> {
        let (found, format) = tokio::join!(self.0.routing.dialled(called), self.format_of(&incoming.channel));
        let found = found.map_err(|error| {
            error!(%error, "the called number cannot be looked up");
            (Refusal::NoDatabase, None)
        })?;
        let known = || found.clone().map(|(did, route)| (route, did));
        let route = found.as_ref().map(|(_, route)| route);
        let tenant = route.map(|route| route.tenant.id);
        if let Some(tenant) = tenant {
            tracing::Span::current().record("tenant_id", tracing::field::display(tenant));
        }
        let month = Month::of(Utc::now());
        {
            let mut live = self.0.live();
            let standing = live.standing(tenant, month, &self.0.ports);
            let rules = self.0.rules.get();
            let decision = decide(route.map(|route| &**route), standing, &rules.settings, &rules.plans);
            decision.map_err(|refusal| (refusal, known()))?;
            if let Some(tenant) = tenant {
                live.assign(incoming.id, tenant);
            }
        }
        let agent =
            |route: &Arc<Route>| route.profile.as_ref().and_then(|profile| (self.0.find_agent)(profile));
        match found.as_ref().map(|(did, route)| (agent(route), route.clone(), did.clone())) {
            Some((Some(agent), route, called)) => {
                Ok(Admitted { called, route, agent: Arc::new(agent), format })
            }
            Some((None, ..)) => Err((Refusal::NoAgent, known())),
            None => Err((Refusal::UnknownNumber, None)),
        }
    }

    /// Queries Asterisk for the codec of the caller's audio. Without a result it is mu-law, which every trunk
    /// supports.
    async fn format_of(&self, channel: &ChannelId) -> Format {
        let asked =
            self.0.services.asterisk.ask(Request::variable(channel, "CHANNEL(audionativeformat)")).await;
        asked.map_or(Format::Ulaw, |ChannelVariable { value }| format_for(&value))
    }

    /// Events are received again. Calls learn which of their objects are left; unknown channels become calls or
    /// are deleted.
    fn reconcile(&self, asterisk: &AsteriskId, inventory: &Arc<Inventory>) {
        self.0.connected.store(true, Relaxed);
        let live = self.0.live();
        live.deliver_to_calls_of(asterisk, || CallMessage::Reconciled(inventory.clone()));
        let bridges = inventory.bridges.iter().filter(|id| live.call_of_bridge(asterisk, id).is_none());
        for bridge in bridges.filter(|id| id.as_str().starts_with("vca-")) {
            self.ask_of_asterisk(Request::destroy_bridge(bridge));
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
                self.welcome(asterisk, &channel, &channel.stasis_arguments(), Found::There)
            }
            Ok(_) => {}
            Err(error) => warn!(%channel, %error, "unknown channel cannot be read"),
        }
    }

    fn ask_of_asterisk(&self, request: Request) {
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

/// A text of the dialplan's, fit for a log line.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_LOGGED).collect()
}

/// How an unknown channel was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It enters the application now.
    Entering,
    /// It was there when the events began to flow.
    There,
}

/// A call's place in the map, for as long as its task runs. A task that panics leaves nothing in Asterisk.
struct Presence {
    switchboard: Switchboard,
    id: CallId,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let channel = self.switchboard.0.live().end(self.id);
        gauge!("vca_calls_live").set(self.switchboard.live_calls() as f64);
        if std::thread::panicking() {
            let id = self.id.to_string();
            error!(call_id = %id, "the call's task has panicked: the call is cleared away");
            if let Some(channel) = channel {
                self.switchboard.ask_of_asterisk(Request::hang_up(&channel, Reason::Congestion));
            }
            self.switchboard.ask_of_asterisk(Request::hang_up(&media_id(&id), Reason::NormalClearing));
            self.switchboard.ask_of_asterisk(Request::destroy_bridge(&bridge_id(&id, 0)));
        }
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
