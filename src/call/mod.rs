//! One call: a task that joins Asterisk, the media thread, the engines and the conversation.
//!
//! The task decides nothing about the conversation (`conversation` does) nor about Asterisk (`ari::topology` does): it
//! passes events to both and carries out their actions. `pipeline` has the engines, `phase` the phases of a call. The
//! task never blocks: slow work is done in tasks of its own, and everything ends with the call.

mod agent;
mod bridged;
mod channel_events;
mod clock;
mod dialled_legs;
mod ending;
mod failover;
mod failures;
mod feed;
mod greeting;
mod handed_over;
mod language_detector;
mod leg_spend;
mod listening;
mod live_request;
mod media_binding;
mod media_watch;
mod phase;
mod phrases;
mod pipeline;
mod prompt_cache;
mod record;
mod records;
mod roster;
mod sentence_cache;
mod setup;
mod sip_headers;
mod situation;
mod staying;
mod talking;
mod target_check;
mod target_resolution;
mod task;
mod tasks;
mod tenant_metrics;
mod topology_driver;
mod transfer;
mod transferring;
mod waiting_caller;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::ari::{ChannelId, Client, Event, Inventory, RtpPorts, Topology};
use crate::audio::codec::Format;
use crate::current::Current;
use crate::media;
use crate::state::ConversationState;
use crate::store::Ledger;
use crate::tenancy::{CallId, Did, PreCallRecord, Route, TransferRules};
use crate::tools::ToolServices;

pub use agent::{Agent, Engines};
pub use dialled_legs::DialledLegs;
pub use ending::Refusal;
pub use feed::{Feed, TooManyReaders, Unheard, View};
pub use handed_over::HandedOverLegs;
pub use leg_spend::LegSpend;
pub use live_request::LiveRequest;
pub use prompt_cache::{PromptCache, PromptUse};
pub use roster::{AgentSource, OtherAgents};
pub use sentence_cache::SentenceCacheSettings;
pub use setup::{answer, forward, refuse};
pub use sip_headers::trusted_headers;
pub use target_check::TargetSource;
pub use tenant_metrics::TenantMetrics;

/// A message to a call.
#[derive(Debug)]
pub enum CallMessage {
    /// An event of one of its channels or its bridge.
    Event(Event),
    /// The event WebSocket is back after a gap.
    Reconciled(Arc<Inventory>),
    /// A command of an operator.
    Command(LiveRequest),
    /// End the conversation politely.
    End,
    /// Hang up now, even during speech.
    Cut,
}

/// Services that all calls of the daemon share.
pub struct CallServices {
    pub asterisk: Arc<Client>,
    /// The Stasis application.
    pub app: String,
    /// Asterisk's RTP ports; `None` when the range is unknown.
    pub rtp_ports: Option<RtpPorts>,
    /// The longest time from the arrival of a call to its answer.
    pub set_up: Duration,
    pub media: media::Threads,
    pub media_settings: media::Settings,
    pub ledger: Ledger,
    pub state: Arc<dyn ConversationState>,
    pub prompts: Arc<PromptCache>,
    /// Finds the agents that calls change to.
    pub agents: Arc<dyn AgentSource>,
    /// Knows whether a transfer target was deleted while a call lasts.
    pub targets: Arc<dyn TargetSource>,
    pub tenant_metrics: TenantMetrics,
    pub tools: Arc<ToolServices>,
    pub transfer_rules: Current<TransferRules>,
    /// Counts the legs that calls have dialled.
    pub dialled_legs: DialledLegs,
    /// Legs that the dialplan dials for callers whom VCA has handed over.
    pub handed_over_legs: HandedOverLegs,
    /// Charges legs to the tenant's day.
    pub leg_spend: LegSpend,
}

/// A call that has arrived and is neither admitted nor refused yet.
pub struct IncomingCall {
    pub id: CallId,
    /// The caller's channel: Asterisk's UNIQUEID.
    pub channel: ChannelId,
    pub caller: Option<String>,
    /// The trunk of a SIP call, an endpoint of `pjsip.conf`.
    pub trunk: Option<String>,
    /// The provider's id of the call.
    pub provider_call_id: Option<String>,
    pub topology: Topology,
    pub messages: mpsc::Receiver<CallMessage>,
    /// For readers of the call's events.
    pub feed: Feed,
    pub since: Instant,
    /// The beginning of the time that there is to answer: the arrival, or the response of a pre-call webhook.
    pub set_up_since: Instant,
    /// The request to the number's pre-call webhook.
    pub pre_call: Option<PreCallRecord>,
}

impl IncomingCall {
    /// Begins the time to answer anew: a pre-call webhook has its own time.
    pub fn begin_set_up(&mut self, app: &str, set_up: Duration) {
        self.set_up_since = Instant::now();
        let id = self.id.to_string();
        self.topology = Topology::new(self.set_up_since, &id, self.channel.clone(), app, set_up);
    }
}

/// The decisions about an admitted call.
pub struct Admitted {
    pub called: Did,
    pub route: Arc<Route>,
    pub agent: Arc<Agent>,
    pub format: Format,
    /// Whether the agent's prompts are those of other calls too.
    pub prompts: PromptUse,
    /// Why the caller hears the agent's phrase `closed` and nothing else, where a failover route wants that.
    pub announces: Option<Refusal>,
}
