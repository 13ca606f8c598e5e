//! The set-up of a call: its record, its socket, its greeting; then its media and its conversation.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::ending::Refusal;
use super::failover::Failover;
use super::language_detector::LanguageDetector;
use super::media_binding::bind_media;
use super::media_watch::MediaAddresses;
use super::phase::Phase;
use super::pipeline::Pipeline;
use super::prompt_cache::{PromptCache, PromptUse};
use super::record::RecordWriter;
use super::records::{Records, save_progress};
use super::roster::{OtherAgents, Roster};
use super::sip_headers::headers;
use super::situation::Situation;
use super::talking::{AgentTools, Talking};
use super::task::Task;
use super::tasks::TaskResult;
use super::{Admitted, Agent, CallServices, IncomingCall};
use crate::ari::{ChannelId, Client, Reason};
use crate::audio::codec::Format;
use crate::conversation::{Conversation, Phrase};
use crate::engines::core::usage::Meter;
use crate::media::{CapacityError, MediaSocket};
use crate::tenancy::{
    Call, CallId, CallStatus, Did, Direction, FailoverCase, FailoverMessage, Route, TransferTarget,
};
use crate::tools::{CallOf, Runner, Toolbox};

/// The prompts of a call in which the caller hears a message and nothing else.
const ANNOUNCEMENT: &[Phrase] = &[Phrase::Closed];

/// Refuses a call, or returns it to the dialplan, with a record where there is a tenant.
pub async fn refuse(
    incoming: IncomingCall,
    services: Arc<CallServices>,
    refusal: Refusal,
    called: Option<(Arc<Route>, Did)>,
) {
    let mut task = unanswered(incoming, services, called);
    task.refuse(refusal);
    task.run().await;
}

/// Has a call continue at a transfer target, unanswered.
pub async fn forward(
    incoming: IncomingCall,
    services: Arc<CallServices>,
    called: (Arc<Route>, Did),
    target: &TransferTarget,
) {
    let mut task = unanswered(incoming, services, Some(called));
    task.forward(target);
    task.run().await;
}

/// The task of a call that no agent answers.
fn unanswered(
    mut incoming: IncomingCall,
    services: Arc<CallServices>,
    called: Option<(Arc<Route>, Did)>,
) -> Task {
    let failover = Failover::new(called.clone(), services.transfer_rules.get());
    let writer = called.map(|(route, did)| {
        let call = new_call(&incoming, &route, did, None);
        let feed = std::mem::take(&mut incoming.feed);
        RecordWriter::begin(call, incoming.since, services.ledger.clone(), feed)
    });
    let records = Records::new(writer, incoming.trunk.is_some());
    Task::new(incoming, services, records, failover)
}

/// Answers a call and talks until it is over.
pub async fn answer(mut incoming: IncomingCall, services: Arc<CallServices>, admitted: Admitted) {
    let Admitted { called, route, agent, format, prompts, announces } = admitted;
    let profile = agent.clone();
    let facts = CallFacts::of(&incoming, &called);
    let agent = Arc::new(with_values(&profile, &facts, &services.asterisk).await);
    let call = new_call(&incoming, &route, called.clone(), Some((&agent, format)));
    let (id, started_at, since) = (call.id, call.started_at, incoming.since);
    let set_up_since = incoming.set_up_since;
    let feed = std::mem::take(&mut incoming.feed);
    let writer = RecordWriter::begin(call, since, services.ledger.clone(), feed);
    let records = Records::new(Some(writer), incoming.trunk.is_some());
    let state = services.state.clone();
    state.begin(id, started_at).await;
    let progress = records.progress();
    let of = CallOf { tenant: route.tenant.id, call: id };
    let others = OtherAgents::default();
    let loaded = (route.clone(), services.clone(), others.clone());
    let mut failover = Failover::new(Some((route, called)), services.transfer_rules.get());
    let opening = match announces {
        Some(refusal) => {
            failover.announce(refusal);
            ANNOUNCEMENT
        }
        None => agent.opening(Utc::now()),
    };
    let mut task = Task::new(incoming, services, records, failover);
    task.keep_message(agent.clone());
    task.tasks.start(|reports| load_others(profile.clone(), facts, loaded, reports));
    task.tasks.start(|_| agent.engines.clone().connect(agent.voice.at_rate(format.rate())));
    let (toolbox, tools) = (agent.toolbox.clone(), task.services.tools.clone());
    task.tasks.start(|reports| async move {
        let problems = toolbox.list_mcp_tools(&tools, of.tenant).await;
        if !problems.is_empty() {
            drop(reports.send(TaskResult::McpProblems(problems)).await);
        }
    });
    task.tasks.start(|_| save_progress(state.clone(), id, progress));
    let texts = opening_texts(opening, &agent, (&profile, prompts));
    match SettingUp::new(of, (agent, others), format, opening, &task.services) {
        Ok(setting_up) => {
            task.phase = Phase::SettingUp(setting_up);
            task.prepare_greeting(texts, set_up_since);
        }
        Err(error) => {
            error!(%error, "no UDP port for the call's media: see [media] ports");
            task.fail("no UDP port for the call's media", FailoverCase::Full, Reason::NoCircuit);
        }
    }
    task.run().await;
    // The call is over: delete its conversation state.
    state.end(id).await;
}

/// The texts of a call's first prompts. Those that differ from the profile's have values of this call.
fn opening_texts(
    opening: &[Phrase],
    agent: &Agent,
    (profile, prompts): (&Agent, PromptUse),
) -> Vec<(Arc<str>, PromptUse)> {
    let texts = opening.iter().filter_map(|phrase| {
        let text = agent.phrases.get(phrase)?;
        let is_own = profile.phrases.get(phrase) != Some(text);
        Some((text.clone(), if is_own { PromptUse::OneCall } else { prompts }))
    });
    texts.collect()
}

/// The facts of a call that texts of its agents may name.
struct CallFacts {
    id: CallId,
    channel: ChannelId,
    /// Of a SIP call.
    trunk: Option<String>,
    caller: Option<String>,
    called: Did,
}

impl CallFacts {
    fn of(incoming: &IncomingCall, called: &Did) -> CallFacts {
        CallFacts {
            id: incoming.id,
            channel: incoming.channel.clone(),
            trunk: incoming.trunk.clone(),
            caller: incoming.caller.clone(),
            called: called.clone(),
        }
    }
}

/// The agent with the values of this call in its texts.
async fn with_values(agent: &Agent, facts: &CallFacts, asterisk: &Client) -> Agent {
    let names = if agent.trusts(facts.trunk.as_deref()) { agent.headers() } else { Vec::new() };
    let headers = headers(asterisk, &facts.channel, names).await;
    agent.for_call(&Situation {
        now: Utc::now(),
        caller: facts.caller.as_deref(),
        called: &facts.called,
        call_id: facts.id,
        headers,
    })
}

/// Loads the agents that the call may change to, and pre-synthesises their prompts.
async fn load_others(
    agent: Arc<Agent>,
    facts: CallFacts,
    (route, services, loaded): (Arc<Route>, Arc<CallServices>, OtherAgents),
    reports: mpsc::Sender<TaskResult>,
) {
    if agent.switch_to.is_empty() {
        return;
    }
    let others = match services.agents.others(route.tenant.id, &agent, &route.targets).await {
        Ok(others) => others,
        Err(error) => return warn!(%error, "no other agents: their profiles cannot be read"),
    };
    let for_call = others.iter().map(|other| with_values(other, &facts, &services.asterisk));
    let for_call = join_all(for_call).await;
    let toolboxes: Vec<_> = for_call.iter().map(|other| other.toolbox.clone()).collect();
    drop(loaded.set(for_call));
    let mut listed = pin!(Toolbox::list_all(toolboxes, services.tools.clone(), route.tenant.id));
    while let Some(problems) = listed.next().await {
        if !problems.is_empty() {
            drop(reports.send(TaskResult::McpProblems(problems)).await);
        }
    }
    for other in &others {
        other.warm_up(&services.prompts).await;
    }
}

fn new_call(
    incoming: &IncomingCall,
    route: &Route,
    called: Did,
    answered_by: Option<(&Agent, Format)>,
) -> Call {
    Call {
        id: incoming.id,
        tenant_id: route.tenant.id,
        phone_number_id: route.number.id,
        ai_profile_id: answered_by.map(|(agent, _)| agent.profile),
        ai_profile_version: answered_by.map(|(agent, _)| agent.version),
        routing_version: Some(route.number.routing_version),
        asterisk_channel_id: incoming.channel.to_string(),
        direction: Direction::Inbound,
        caller_number: incoming.caller.clone(),
        called_number: called,
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: incoming.provider_call_id.clone(),
        started_at: wall_clock(incoming.since),
        answered_at: None,
        ended_at: None,
        codec: answered_by.map(|(_, format)| format.name().to_owned()),
        media: None,
        failure_reason: None,
        notice_heard_at: None,
        emergency_at: None,
        engine_failures: Vec::new(),
        fields: Default::default(),
        transfers: Vec::new(),
        analysis: None,
        pre_call: incoming.pre_call.clone(),
        agent_changes: Vec::new(),
    }
}

/// The wall clock's time of a moment that is not long ago.
fn wall_clock(at: Instant) -> DateTime<Utc> {
    Utc::now() - at.elapsed()
}

/// The resources for a conversation, until Asterisk has answered.
pub struct SettingUp {
    socket: MediaSocket,
    /// The address of `socket` as Asterisk reaches it.
    pub external_host: SocketAddr,
    pub agent: Arc<Agent>,
    /// The agents of other profiles, once they are loaded.
    others: OtherAgents,
    pub format: Format,
    /// The prompts with which the conversation begins.
    opening: &'static [Phrase],
    of: CallOf,
}

/// Why a call has no media.
#[derive(Debug, thiserror::Error)]
pub enum MediaSetupError {
    #[error("Asterisk's media address cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error(transparent)]
    Full(CapacityError),
}

impl MediaSetupError {
    pub fn on_record(&self) -> &'static str {
        match self {
            MediaSetupError::Unreachable(_) => "Asterisk's media address cannot be reached",
            MediaSetupError::Full(_) => "the media threads are full",
        }
    }

    pub fn remedy(&self) -> &'static str {
        match self {
            MediaSetupError::Unreachable(_) => "see media.bind_address",
            MediaSetupError::Full(_) => "see [media] threads",
        }
    }

    pub fn case(&self) -> FailoverCase {
        match self {
            MediaSetupError::Unreachable(_) => FailoverCase::Engines,
            MediaSetupError::Full(_) => FailoverCase::Full,
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            MediaSetupError::Unreachable(_) => Reason::Congestion,
            MediaSetupError::Full(_) => Reason::NoCircuit,
        }
    }
}

impl SettingUp {
    fn new(
        of: CallOf,
        (agent, others): (Arc<Agent>, OtherAgents),
        format: Format,
        opening: &'static [Phrase],
        services: &CallServices,
    ) -> std::io::Result<SettingUp> {
        let (socket, external_host) = bind_media(services)?;
        Ok(SettingUp { socket, external_host, agent, others, format, opening, of })
    }

    /// Whether the caller hears a message, or the agent's phrase for closed hours, and nothing else.
    pub fn is_announcement(&self) -> bool {
        self.opening.contains(&Phrase::Closed)
    }

    /// Whether a message is cached in the agent's voice.
    pub fn can_announce(&self, message: &FailoverMessage, prompts: &PromptCache) -> bool {
        prompts.find(self.agent.prompt_voice(), message.text(), self.format.rate()).is_some()
    }

    /// Has the caller hear a message and nothing else.
    pub fn announce(&mut self, message: &FailoverMessage) {
        self.agent = Arc::new(Agent::clone(&self.agent).announcing(message));
        self.opening = ANNOUNCEMENT;
    }

    /// Connects the media to Asterisk's address and begins the conversation, which ends as `failover` has it.
    ///
    /// # Errors
    /// The address cannot be reached, or the media threads are full.
    pub fn start(
        self,
        peer: SocketAddr,
        services: &CallServices,
        meter: Meter,
        failover: &Failover,
    ) -> Result<Talking, MediaSetupError> {
        let SettingUp { socket, external_host, agent, others, format, opening, of } = self;
        socket.connect(peer).map_err(MediaSetupError::Unreachable)?;
        let suppression = (agent.noise_suppression, agent.tenant.0);
        let port = services.media.open(socket, format, agent.audio_delivery(), suppression);
        let port = port.map_err(MediaSetupError::Full)?;
        info!(codec = format.name(), "call answered");
        let conversation = Conversation::new(agent.turn_settings.clone())
            .with_texts(agent.texts())
            .with_language(agent.language)
            .without_goodbye(failover.endings())
            .with_last_words(failover.last_words())
            .closed(opening.contains(&Phrase::Closed));
        let conversation =
            if opening.contains(&Phrase::Notice) { conversation.with_notice() } else { conversation };
        let tools = Runner::new(of, agent.toolbox.clone(), services.tools.clone());
        let roster = Roster::new(agent.clone(), others);
        let pipeline = Pipeline::new(agent, services.prompts.clone(), meter, format.rate());
        let addresses = MediaAddresses { ours: external_host, asterisk: peer };
        let agents = AgentTools { tools, roster, language_detector: LanguageDetector::default() };
        Ok(Talking::new(conversation, pipeline, port, agents, addresses, &services.media_settings))
    }
}
