//! The daemon: wires the rooms together, starts them, lets calls finish and stops them.

mod clerk;
mod costs;
mod lines;
mod reload;
mod report;
mod rollups;
mod vitals;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::Utc;
use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin;
use crate::admin::api::{Desk, Inbound, LastUse, Limits};
use crate::ari;
use crate::call::{Agent, Engines, House, Spoken, TenantMetrics};
use crate::config::{Config, Environment, Loaded};
use crate::control;
use crate::current::Current;
use crate::engines::registry;
use crate::media;
use crate::state::{self, ConversationState};
use crate::store::{Announcements, Backend, Ledger, Routing, Store, StoreError};
use crate::switchboard::{Casting, Switchboard};
use crate::telephony::{Adapters, Reception, Registrar};
use crate::tenancy::{AiProfile, Permitted, TenantStatus};
use crate::webhooks::{Deliverer, Guard};
use lines::Lines;
use vitals::Vitals;

pub use reload::Source;

/// Records that wait for a database that is away: some hours of a busy day.
const LEDGER: usize = 20_000;
/// The number of announced calls that are remembered, from before their channel arrives until a minute after it.
const ANNOUNCED: usize = 10_000;
/// How long records are still written when the daemon stops.
const LAST_RECORDS: Duration = Duration::from_secs(10);
/// How long each other task may take to stop.
const LAST_TASK: Duration = Duration::from_secs(5);
/// How long the daemon takes to stop at most after `calls.drain_timeout_s`: goodbyes (20 s), three tasks, records, and the
/// connections to the database.
const AFTER_DRAIN: Duration = Duration::from_secs(60);

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends the drain. SIGHUP reloads the configuration from `source`.
///
/// # Errors
/// When the database, an engine's settings or an address in use prevents the start.
pub async fn run(loaded: Loaded, metrics: PrometheusHandle, source: Source) -> anyhow::Result<()> {
    let Loaded { config, effective, .. } = loaded;
    let store = open_store(&config)
        .await?
        .with_sealing(config.keyring()?)
        .with_plans(config.plans.clone())
        .with_numbering(config.numbers)
        .with_limits(config.limits)
        .of_daemon(&name(&config));
    warn_of_ambiguous_numbers(&store).await;
    // The way of a call to the database is its own.
    let calls = store.for_calls(&config.database);
    let ledger = Ledger::new(calls.clone(), LEDGER);
    let state = state::connect(&config.state).await?;
    let cast = Current::new(Cast::new(&config)?);
    let spoken = Arc::new(Spoken::default());
    // Calls are taken meanwhile.
    let rehearsal = tokio::spawn(rehearse(store.clone(), cast.get(), spoken.clone()));
    let asterisk = Arc::new(ari::Client::new(&config.ari)?);
    let house = Arc::new(House {
        asterisk: asterisk.clone(),
        app: config.ari.app.clone(),
        rtp_ports: asterisk_ports(&config),
        set_up: Duration::from_millis(config.ari.set_up_timeout_ms),
        media: media::Engine::start(&config.media).context("no media threads")?,
        media_settings: config.media.clone(),
        ledger: ledger.clone(),
        state: state.clone(),
        spoken: spoken.clone(),
        tenant_metrics: TenantMetrics::default(),
    });
    let routing = Routing::new(calls.clone(), &config.routing).with_numbering(config.numbers);
    let unmatched = tokio::spawn(routing.unmatched().write_to(store.clone()));
    let permitted = Current::new(cast.get().permitted.clone());
    let billing = Current::new(config.billing());
    let agents = cast.clone();
    let patience = Duration::from_secs(config.calls.drain_timeout_s);
    let casting: Casting = Box::new(move |profile| agents.get().agent(profile));
    let announcements = Announcements::new(ANNOUNCED);
    let switchboard = Switchboard::new(
        house,
        routing,
        announcements.clone(),
        casting,
        config.calls.clone(),
        config.plans.clone(),
    );

    let stop = CancellationToken::new();
    let live = Arc::new(Lines(switchboard.clone()));
    let configuration = vitals::configuration(&config, &store, &permitted.get());
    let desk = Desk {
        billing: billing.clone(),
        permitted: permitted.clone(),
        ..desk(&config, [&store, &calls], &asterisk, &announcements, live, state.clone())
    };
    let targets = reload::Targets {
        switchboard: switchboard.clone(),
        store: store.clone(),
        spoken,
        cast,
        billing: billing.clone(),
        permitted,
    };
    let reloads = tokio::spawn(reload::on_hang_up(source, targets, effective));
    let registrar = desk.registrar.clone();
    let parts = vitals::Parts {
        switchboard: switchboard.clone(),
        asterisk: asterisk.clone(),
        calls: calls.clone(),
        api: store.clone(),
        state,
        ledger: ledger.clone(),
        warm_up: rehearsal.abort_handle(),
    };
    let health = Arc::new(Vitals::new(parts, report::Facts::of(&config), configuration));
    let admin = admin::Server::bind(&config.admin, health, metrics, desk)?;
    // The port is taken now, so no other daemon of this name runs, and the unfinished calls of this name can be closed.
    close_interrupted(&store).await?;
    announcements.refill(&calls).await.context("announced calls cannot be read")?;
    let deliverer =
        Deliverer::new(store.clone(), config.webhooks.clone()).context("webhooks cannot be sent")?;
    let all_written = CancellationToken::new();
    let mut deliverer = tokio::spawn(deliverer.run(all_written.clone()));
    let mut missing = tokio::spawn(announcements.watch(calls.clone(), ledger.clone()));
    let costs = tokio::spawn(costs::measure(store.clone(), billing.clone()));
    let mut clerk = tokio::spawn(clerk::run_billing(store.clone(), billing));
    let mut upkeep = tokio::spawn(control::keep_up(store.clone(), registrar));
    let mut sums = tokio::spawn(rollups::add_calls(store.clone()));
    let mut admin = tokio::spawn(admin.serve(stop.clone()));
    let mut events =
        tokio::spawn(ari::listen(asterisk, config.ari.clone(), switchboard.clone(), stop.clone()));
    let watchdog = tokio::spawn(keep_watchdog_quiet(switchboard.clone()));
    let port_watch = tokio::spawn(switchboard.clone().watch_rtp_ports());
    info!(database = %config.database.location(), app = %config.ari.app, version = env!("CARGO_PKG_VERSION"), "vca is up");
    tell_systemd(&[NotifyState::Ready]);

    let fault = tokio::select! {
        signal = wait_for_signal() => signal.map(|()| None)?,
        _ = &mut events => bail!("the ARI event task stopped: see the log"),
        _ = &mut admin => bail!("the admin server stopped: see the log"),
        // Calls do not need these: they are seen to their end before the daemon starts anew.
        _ = &mut deliverer => Some("webhook delivery stopped"),
        _ = &mut missing => Some("watch for announced calls stopped"),
        _ = &mut clerk => Some("billing job stopped"),
        _ = &mut upkeep => Some("retention job stopped"),
        _ = &mut sums => Some("roll-up of calls stopped"),
    };
    if let Some(fault) = fault {
        error!("{fault}: the daemon drains its calls and exits");
    }
    // Where the drain may last longer than TimeoutStopSec, systemd waits for it, too.
    let stopping = u32::try_from((patience + AFTER_DRAIN).as_micros()).unwrap_or(u32::MAX);
    tell_systemd(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(stopping)]);
    tokio::select! {
        () = switchboard.drain(patience) => {}
        signal = wait_for_signal() => {
            signal?;
            warn!(calls = switchboard.live_calls(), "second signal: remaining calls are ended");
            switchboard.cut().await;
        }
    }
    stop.cancel();
    watchdog.abort();
    port_watch.abort();
    missing.abort();
    clerk.abort();
    sums.abort();
    upkeep.abort();
    unmatched.abort();
    costs.abort();
    rehearsal.abort();
    reloads.abort();
    for task in [events, admin] {
        if tokio::time::timeout(LAST_TASK, task).await.is_err() {
            warn!("a task did not stop in time");
        }
    }
    let lost = ledger.close(LAST_RECORDS).await;
    // The last calls' ends are in the outbox only now.
    all_written.cancel();
    if !deliverer.is_finished() && tokio::time::timeout(LAST_TASK, deliverer).await.is_err() {
        warn!("webhooks did not stop in time: what was under way is sent again at the next start");
    }
    calls.close().await;
    store.close().await;
    if lost > 0 {
        bail!("{lost} records could not be written: the database did not come back");
    }
    if let Some(fault) = fault {
        bail!("{fault}: see the log");
    }
    info!("vca is down");
    Ok(())
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

/// The shared state of the API's handlers, with the defaults of the reloadable settings.
fn desk(
    config: &Config,
    [store, calls]: [&Store; 2],
    asterisk: &Arc<ari::Client>,
    announcements: &Announcements,
    live: Arc<Lines>,
    state: Arc<dyn ConversationState>,
) -> Desk {
    let production = config.environment == Environment::Production;
    let adapters = Adapters::new(&config.telephony, asterisk.clone(), &config.ari.app, production);
    let adapters = Arc::new(adapters);
    // Who asks the API gets an answer before the API's own patience ends.
    let patience = Duration::from_millis(config.admin.request_timeout_ms * 2 / 3);
    let registrar = Registrar::new(store.clone(), adapters.clone()).with_timeout(patience);
    let reception = Reception::new(calls.clone(), adapters.clone(), announcements.clone());
    Desk {
        store: store.clone(),
        limits: Arc::new(Limits::new(&config.admin.limits)),
        last_use: Arc::new(LastUse::start(store.clone())),
        registrar: Arc::new(registrar),
        inbound: Inbound::new(reception, &config.telephony.inbound).map(Arc::new),
        receivers: Guard::new(&config.webhooks),
        billing: Current::default(),
        live,
        state,
        numbering: config.numbers,
        permitted: Current::default(),
    }
}

/// Records calls as interrupted that were live when this daemon was killed.
async fn close_interrupted(store: &Store) -> anyhow::Result<()> {
    let now = Utc::now();
    let calls = store.close_unfinished(now, now).await.context("calls of an earlier run cannot be closed")?;
    if calls > 0 {
        warn!(calls, "calls were under way when the daemon was last killed: recorded as interrupted");
    }
    Ok(())
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
    Ok(store)
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

/// Pre-synthesises every active tenant's prompts, so that a first caller is greeted as fast as any other.
async fn rehearse(store: Store, cast: Arc<Cast>, spoken: Arc<Spoken>) {
    let began = std::time::Instant::now();
    let agents = match active_agents(&store, &cast).await {
        Ok(agents) => agents,
        Err(error) => return warn!(%error, "prompts are not pre-synthesised: the profiles cannot be read"),
    };
    for agent in &agents {
        agent.rehearse(&spoken).await;
    }
    info!(agents = agents.len(), ms = began.elapsed().as_millis() as u64, "prompts are pre-synthesised");
}

async fn active_agents(store: &Store, cast: &Cast) -> Result<Vec<Agent>, StoreError> {
    let mut agents = Vec::new();
    for tenant in store.tenants().await? {
        if tenant.status == TenantStatus::Active
            && let Some(profile) = store.scope(tenant.id).default_profile().await?
        {
            agents.extend(cast.agent(&profile));
        }
    }
    Ok(agents)
}

/// Profiles to agents, by the engines that there are.
struct Cast {
    engines: registry::Engines,
    permitted: Permitted,
}

impl Cast {
    fn new(config: &Config) -> anyhow::Result<Cast> {
        let engines = registry::Engines::build(&config.engines()).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the engines cannot be built:\n  {}", lines.join("\n  "))
        })?;
        let permitted = config.permitted(engines.catalogue());
        Ok(Cast { engines, permitted })
    }

    /// `None` if the profile names an engine that was not built. Settings that are not permitted, of a profile that was
    /// saved under other rules or imported, give way to the daemon's.
    fn agent(&self, profile: &AiProfile) -> Option<Agent> {
        let (settings, refused) = self.permitted.effective(&profile.settings);
        for flaw in &refused {
            warn!(profile = %profile.id, field = %flaw.field, problem = %flaw.problem, "profile setting not used");
        }
        let profile = &AiProfile { settings, ..profile.clone() };
        let wanted = &profile.settings;
        let missing = |kind: &str, name: &Option<String>| {
            warn!(profile = %profile.id, kind, engine = name.as_deref(), "the profile names an engine that is not configured");
        };
        let stt = self.engines.stt(wanted.stt.as_deref());
        let llm = self.engines.llm(wanted.llm.as_deref());
        let tts = self.engines.tts(wanted.tts.as_deref());
        match (stt, llm, tts) {
            (Some(stt), Some(llm), Some(tts)) => {
                Some(Agent::new(profile, Engines { stt, llm, tts }, self.permitted.manners.clone()))
            }
            (None, _, _) => {
                missing("stt", &wanted.stt);
                None
            }
            (_, None, _) => {
                missing("llm", &wanted.llm);
                None
            }
            (_, _, None) => {
                missing("tts", &wanted.tts);
                None
            }
        }
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => info!("SIGTERM"),
        _ = int.recv() => info!("SIGINT"),
    }
    Ok(())
}

/// Tells systemd's watchdog that the runtime and the media threads turn, twice as often as it asks for.
async fn keep_watchdog_quiet(switchboard: Switchboard) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    let mut before = Vec::new();
    loop {
        ticks.tick().await;
        let beats = switchboard.media_beats();
        if beats.iter().zip(&before).all(|(now, then)| now != then) {
            tell_systemd(&[NotifyState::Watchdog]);
        } else {
            error!("a media thread hangs: no keep-alive is sent to systemd's watchdog");
        }
        before = beats;
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be notified");
    }
}
