//! Builds the parts of the daemon from its configuration. Apart from the warm-up of prompts, none of them acts yet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::agents::{AgentFactory, StoredAgents, warm_up_prompts};
use super::health;
use super::live_calls::SwitchboardCalls;
use crate::admin::api::{ApiState, Inbound, LastUse, Limits};
use crate::analysis::{self, AnalysisTrials, Analyst, FindModel};
use crate::ari;
use crate::billing::Billing;
use crate::call::{CallServices, DialledLegs, HandedOverLegs, LegSpend, PromptCache, TenantMetrics};
use crate::config::{Config, Environment};
use crate::current::Current;
use crate::media;
use crate::state::{self, ConversationState};
use crate::store::{Announcements, Backend, Ledger, Routing, Store, StoreError, UnmatchedCounter};
use crate::switchboard::{FindAgent, Switchboard};
use crate::telephony::{Adapters, AnnouncementService, Registrar};
use crate::tenancy::{Permitted, TransferRules};
use crate::tools::ToolServices;
use crate::webhooks::PreCallClient;

/// Records that wait for a database that is away: some hours of a busy day.
const LEDGER: usize = 20_000;
/// The number of announced calls that are remembered, from before their channel arrives until a minute after it.
const ANNOUNCED: usize = 10_000;

/// The parts of a daemon, connected.
pub struct Services {
    pub store: Store,
    /// The connections of calls, so that API requests do not delay them.
    pub calls: Store,
    pub ledger: Ledger,
    pub state: Arc<dyn ConversationState>,
    pub asterisk: Arc<ari::Client>,
    pub switchboard: Switchboard,
    pub announcements: Announcements,
    pub unmatched: UnmatchedCounter,
    pub prompts: Arc<PromptCache>,
    pub agent_factory: Current<AgentFactory>,
    pub permitted: Current<Permitted>,
    pub transfer: Current<TransferRules>,
    pub leg_spend: LegSpend,
    pub billing: Current<Billing>,
    pub tools: Arc<ToolServices>,
    pub analysis: analysis::Settings,
    pub pre_call: Arc<PreCallClient>,
    /// Pre-synthesises prompts; calls are taken meanwhile.
    pub warm_up: JoinHandle<()>,
}

impl Services {
    /// # Errors
    /// The database, the settings of an engine, or a media thread prevents the start.
    pub async fn build(config: &Config) -> anyhow::Result<Services> {
        let store = open_store(config).await?;
        warn_of_ambiguous_numbers(&store).await;
        let calls = store.for_calls(&config.database);
        let ledger = Ledger::new(calls.clone(), LEDGER);
        let state = state::connect(&config.state).await?;
        let agent_factory = Current::new(AgentFactory::new(config)?);
        let prompts = Arc::new(PromptCache::new(config.sentence_cache.clone()));
        let warm_up = tokio::spawn(warm_up_prompts(store.clone(), agent_factory.get(), prompts.clone()));
        let asterisk = Arc::new(ari::Client::new(&config.ari)?);
        let tools = ToolServices::new(&config.tools, calls.clone()).map(Arc::new);
        let tools = tools.context("tools cannot be run")?;
        let pre_call = PreCallClient::new(&config.webhooks).map(Arc::new);
        let pre_call = pre_call.context("pre-call webhooks cannot be asked")?;
        let transfer = Current::new(config.transfer.clone());
        let agents =
            StoredAgents { store: calls.clone(), factory: agent_factory.clone(), rules: transfer.clone() };
        let leg_spend = LegSpend::new(calls.clone());
        let used = (&state, &prompts, &tools);
        let services = services(config, &asterisk, (&ledger, &leg_spend), used, Arc::new(agents))?;
        let services = CallServices { transfer_rules: transfer.clone(), ..services };
        let routing = Routing::new(calls.clone(), &config.routing).with_numbering(config.numbers);
        let unmatched = routing.unmatched();
        let announcements = Announcements::new(ANNOUNCED);
        let switchboard = Switchboard::new(
            Arc::new(services),
            (routing, pre_call.clone()),
            announcements.clone(),
            find_agent(&agent_factory),
            config.calls.clone(),
            config.plans.clone(),
        );
        let permitted = Current::new(agent_factory.get().permitted.clone());
        let billing = Current::new(config.billing());
        Ok(Services {
            store,
            calls,
            ledger,
            state,
            asterisk,
            switchboard,
            announcements,
            unmatched,
            prompts,
            agent_factory,
            permitted,
            transfer,
            leg_spend,
            billing,
            warm_up,
            tools,
            analysis: config.analysis.clone(),
            pre_call,
        })
    }

    /// The worker that analyses calls.
    pub fn analyst(&self) -> Analyst {
        Analyst::new(self.store.clone(), self.analysis.clone(), self.find_model(), self.billing.clone())
    }

    fn find_model(&self) -> FindModel {
        let agents = self.agent_factory.clone();
        Arc::new(move |profile, own| agents.get().analyst(profile, own))
    }

    /// The parts that are checked and measured.
    pub fn parts(&self) -> health::Parts {
        health::Parts {
            switchboard: self.switchboard.clone(),
            asterisk: self.asterisk.clone(),
            calls: self.calls.clone(),
            api: self.store.clone(),
            state: self.state.clone(),
            ledger: self.ledger.clone(),
            agent_factory: self.agent_factory.clone(),
            warm_up: self.warm_up.abort_handle(),
        }
    }

    /// The shared state of the API's handlers.
    pub fn api_state(&self, config: &Config) -> ApiState {
        let production = config.environment == Environment::Production;
        let adapters = Adapters::new(&config.telephony, self.asterisk.clone(), &config.ari.app, production);
        let adapters = Arc::new(adapters);
        // A request to the API gets its response before the API's own timeout.
        let timeout = Duration::from_millis(config.admin.request_timeout_ms * 2 / 3);
        let registrar = Registrar::new(self.store.clone(), adapters.clone()).with_timeout(timeout);
        let service = AnnouncementService::new(self.calls.clone(), adapters, self.announcements.clone());
        ApiState {
            store: self.store.clone(),
            limits: Arc::new(Limits::new(&config.admin.limits)),
            last_use: Arc::new(LastUse::start(self.store.clone())),
            registrar: Arc::new(registrar),
            inbound: Inbound::new(service, &config.telephony.inbound).map(Arc::new),
            receivers: config.webhooks.destinations(),
            billing: self.billing.clone(),
            live: Arc::new(SwitchboardCalls(self.switchboard.clone())),
            state: self.state.clone(),
            numbering: config.numbers,
            permitted: self.permitted.clone(),
            tools: self.tools.clone(),
            pre_call: self.pre_call.clone(),
            analysis_trials: Arc::new(AnalysisTrials::new(&config.analysis, timeout, self.find_model())),
            tenant_engines: Arc::new(self.agent_factory.clone()),
            transfer: self.transfer.clone(),
        }
    }

    /// Records calls as interrupted that were live when this daemon was killed. Only for the daemon that holds the admin port:
    /// no other one of its name runs then.
    ///
    /// # Errors
    /// The database's.
    pub async fn close_interrupted(&self) -> anyhow::Result<()> {
        let now = Utc::now();
        let calls = self
            .store
            .close_unfinished(now, now)
            .await
            .context("calls of an earlier run cannot be closed")?;
        if calls > 0 {
            warn!(calls, "calls were in progress when the daemon was last killed: recorded as interrupted");
        }
        Ok(())
    }
}

fn find_agent(factory: &Current<AgentFactory>) -> FindAgent {
    let factory = factory.clone();
    Box::new(move |profile, own, terms| factory.get().agent(profile, own, terms))
}

fn services(
    config: &Config,
    asterisk: &Arc<ari::Client>,
    (ledger, leg_spend): (&Ledger, &LegSpend),
    (state, prompts, tools): (&Arc<dyn ConversationState>, &Arc<PromptCache>, &Arc<ToolServices>),
    agents: Arc<StoredAgents>,
) -> anyhow::Result<CallServices> {
    Ok(CallServices {
        asterisk: asterisk.clone(),
        app: config.ari.app.clone(),
        rtp_ports: asterisk_ports(config),
        set_up: Duration::from_millis(config.ari.set_up_timeout_ms),
        media: media::Threads::start(&config.media).context("no media threads")?,
        media_settings: config.media.clone(),
        ledger: ledger.clone(),
        state: state.clone(),
        prompts: prompts.clone(),
        targets: agents.clone(),
        agents,
        tenant_metrics: TenantMetrics::default(),
        tools: tools.clone(),
        transfer_rules: Current::default(),
        dialled_legs: DialledLegs::default(),
        handed_over_legs: HandedOverLegs::default(),
        leg_spend: leg_spend.clone(),
    })
}

/// Asterisk's RTP ports where they are known, with a warning when they suffice for fewer calls than are allowed.
fn asterisk_ports(config: &Config) -> Option<ari::RtpPorts> {
    let ports = ari::RtpPorts::of(&config.ari)?;
    let (calls, max_calls) = (ports.calls(), config.calls.max_calls);
    if calls < max_calls {
        warn!(
            calls,
            max_calls,
            remedy = "widen rtpstart to rtpend in Asterisk's rtp.conf, or lower calls.max_calls",
            "Asterisk's RTP ports suffice for fewer calls than calls.max_calls: further calls are refused"
        );
    }
    Some(ports)
}

/// The daemon's name among those that share the database.
fn name(config: &Config) -> String {
    let own = config.database.daemon.clone().filter(|own| !own.is_empty());
    own.unwrap_or_else(|| {
        let system = rustix::system::uname();
        format!("{}/{}", system.nodename().to_string_lossy(), config.ari.app)
    })
}

/// An embedded database is migrated here: no other process uses it. A server's schema is the operator's.
async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&config.database).await?;
    if store.backend() == Backend::Sqlite {
        for name in store.migrate().await? {
            info!(%name, "database migrated");
        }
    }
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        let what = format!("the database lacks {}: run `vca migrate`", pending.join(", "));
        return Err(StoreError::Schema { what }.into());
    }
    if let Some(weakness) = store.isolation().await?.weakness() {
        warn!("row-level security is not in effect: {weakness}");
    }
    Ok(store
        .with_sealing(config.keyring()?)
        .with_plans(config.plans.clone())
        .with_numbering(config.numbers)
        .with_limits(config.limits)
        .of_daemon(&name(config)))
}

/// Numbers that callers cannot tell apart were created under another `numbers.default_region`.
async fn warn_of_ambiguous_numbers(store: &Store) {
    match store.ambiguous_numbers().await {
        Ok(ambiguous) => {
            for it in ambiguous {
                warn!(number = %it.number, other = %it.other, "ambiguous number: {it}; `vca doctor` says what to do");
            }
        }
        Err(error) => warn!(%error, "numbers cannot be checked for ambiguities"),
    }
}
