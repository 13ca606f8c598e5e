//! The daemon: wires the rooms together, starts them, lets calls finish and stops them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::Utc;
use futures_util::future::BoxFuture;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin::api::{Desk, Limits};
use crate::admin::{self, Health, Part};
use crate::ari;
use crate::call::{Agent, Engines, House, Spoken};
use crate::config::Config;
use crate::engines;
use crate::media;
use crate::state::{self, ConversationState};
use crate::store::{Backend, Ledger, Routing, Store, StoreError};
use crate::switchboard::{Casting, Switchboard};
use crate::tenancy::{AiProfile, Known, TenantStatus};
use crate::turn;

/// Records that wait for a database that is away: some hours of a busy day.
const LEDGER: usize = 20_000;
/// How long the start waits for phrases to be spoken ahead; with many tenants that takes longer than a start may.
const REHEARSAL: Duration = Duration::from_secs(10);
/// How long records are still written when the daemon stops.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// What keeps it from starting: the database, the engines' settings, an address that is taken.
pub async fn run(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let store = open_store(&config).await?;
    let ledger = Ledger::new(store.clone(), LEDGER);
    let state = state::connect(&config.state).await?;
    let cast = Arc::new(Cast::new(&config)?);
    let spoken = Arc::new(Spoken::default());
    let mut rehearsal = tokio::spawn(rehearse(store.clone(), cast.clone(), spoken.clone()));
    if tokio::time::timeout(REHEARSAL, &mut rehearsal).await.is_err() {
        info!("phrases are still being spoken ahead: calls are taken meanwhile");
    }

    let asterisk = Arc::new(ari::Client::new(&config.ari)?);
    let house = Arc::new(House {
        asterisk: asterisk.clone(),
        app: config.ari.app.clone(),
        set_up: Duration::from_millis(config.ari.set_up_timeout_ms),
        media: media::Engine::start(&config.media).context("no media threads")?,
        media_settings: config.media.clone(),
        ledger: ledger.clone(),
        state: state.clone(),
        spoken: spoken.clone(),
    });
    let routing = Routing::new(store.clone(), &config.routing).with_numbering(config.numbers);
    let known = Arc::new(cast.known());
    let patience = Duration::from_secs(config.calls.drain_timeout_s);
    let casting: Casting = Box::new(move |profile| cast.agent(profile));
    let switchboard = Switchboard::new(house, routing, casting, config.calls.clone());

    let stop = CancellationToken::new();
    let health = Arc::new(Vitals {
        switchboard: switchboard.clone(),
        store: store.clone(),
        state,
        ledger: ledger.clone(),
    });
    let limits = Arc::new(Limits::new(&config.admin.limits));
    let desk = Desk { store: store.clone(), limits, numbering: config.numbers, known };
    let (api, _) = admin::api::router(desk);
    let admin = admin::Server::bind(config.admin.bind, health, metrics, api).await?;
    // With the port taken, another daemon may run: whose calls are under way is known from here on.
    close_interrupted(&store).await?;
    let mut admin = tokio::spawn(admin.serve(stop.clone()));
    let mut events =
        tokio::spawn(ari::listen(asterisk, config.ari.clone(), switchboard.clone(), stop.clone()));
    let watchdog = tokio::spawn(keep_watchdog_quiet(switchboard.clone()));
    info!(database = ?store.backend(), app = %config.ari.app, "vca is up");
    tell_systemd(&[NotifyState::Ready]);

    tokio::select! {
        signal = wait_for_signal() => signal?,
        _ = &mut events => bail!("nobody reads Asterisk's events any more: see the log"),
        _ = &mut admin => bail!("the admin port is closed: see the log"),
    }
    tell_systemd(&[NotifyState::Stopping]);
    switchboard.drain(patience).await;
    stop.cancel();
    watchdog.abort();
    rehearsal.abort();
    for task in [events, admin] {
        if tokio::time::timeout(Duration::from_secs(5), task).await.is_err() {
            warn!("a task did not stop in time");
        }
    }
    let lost = ledger.close(LAST_RECORDS).await;
    store.close().await;
    if lost > 0 {
        bail!("{lost} records could not be written: the database did not come back");
    }
    info!("vca is down");
    Ok(())
}

/// Calls that a daemon was killed in are recorded as what they are.
async fn close_interrupted(store: &Store) -> anyhow::Result<()> {
    let now = Utc::now();
    let calls = store.close_unfinished(now, now).await.context("calls of an earlier run cannot be closed")?;
    if calls > 0 {
        warn!(calls, "calls were under way when the daemon was last killed: recorded as interrupted");
    }
    Ok(())
}

/// An embedded database is brought up to date here: nobody else uses it. A server's is the operator's.
async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&config.database).await?;
    if store.backend() == Backend::Sqlite {
        for name in store.migrate().await? {
            info!(%name, "database migrated");
        }
    }
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        bail!("the database lacks {}: run `vca migrate`", pending.join(", "));
    }
    Ok(store)
}

/// Speaks every active tenant's phrases ahead, so that a first caller is greeted as fast as any other.
async fn rehearse(store: Store, cast: Arc<Cast>, spoken: Arc<Spoken>) {
    let began = std::time::Instant::now();
    let agents = match active_agents(&store, &cast).await {
        Ok(agents) => agents,
        Err(error) => return warn!(%error, "no phrases are spoken ahead: the profiles cannot be read"),
    };
    for agent in &agents {
        agent.rehearse(&spoken).await;
    }
    info!(agents = agents.len(), ms = began.elapsed().as_millis() as u64, "phrases are spoken ahead");
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
    engines: engines::Engines,
    manners: turn::Settings,
}

impl Cast {
    fn new(config: &Config) -> anyhow::Result<Cast> {
        let engines = engines::Engines::build(&config.engines()).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the engines cannot be built:\n  {}", lines.join("\n  "))
        })?;
        Ok(Cast { engines, manners: config.turn_settings() })
    }

    /// What a profile can ask for.
    fn known(&self) -> Known {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Known {
            stt: owned(self.engines.stt_names()),
            llm: owned(self.engines.llm_names()),
            tts: owned(self.engines.tts_names()),
            manners: self.manners.clone(),
        }
    }

    fn agent(&self, profile: &AiProfile) -> Option<Agent> {
        let wanted = &profile.settings;
        let missing = |kind: &str, name: &Option<String>| {
            warn!(profile = %profile.id, kind, engine = name.as_deref(), "the profile asks for an engine that there is not");
        };
        let stt = self.engines.stt(wanted.stt.as_deref());
        let llm = self.engines.llm(wanted.llm.as_deref());
        let tts = self.engines.tts(wanted.tts.as_deref());
        match (stt, llm, tts) {
            (Some(stt), Some(llm), Some(tts)) => {
                Some(Agent::new(profile, Engines { stt, llm, tts }, self.manners.clone()))
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

/// What `/readyz` and `/metrics` ask for.
struct Vitals {
    switchboard: Switchboard,
    store: Store,
    state: Arc<dyn ConversationState>,
    ledger: Ledger,
}

impl Health for Vitals {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async {
            let (database, state) = tokio::join!(self.store.ping(), self.state.ping());
            let part =
                |name, needed, problem: Option<String>| Part { name, ok: problem.is_none(), needed, problem };
            let away = |ok: bool, problem: &str| (!ok).then(|| problem.to_owned());
            vec![
                part(
                    "ari",
                    true,
                    away(self.switchboard.is_connected(), "no events from Asterisk: see the log"),
                ),
                part("accepting", true, away(!self.switchboard.is_draining(), "draining")),
                // Calls are routed by the last answers and recorded later.
                part("database", false, database.err().map(|error| error.to_string())),
                part("state", false, state.err().map(|error| error.to_string())),
            ]
        })
    }

    fn measure(&self) {
        gauge!("vca_calls_live").set(self.switchboard.live_calls() as f64);
        gauge!("vca_ledger_pending").set(self.ledger.pending() as f64);
        for (bound_us, frames) in self.switchboard.frame_lateness() {
            let bound =
                if bound_us == u64::MAX { "+Inf".to_owned() } else { (bound_us as f64 / 1e6).to_string() };
            counter!("vca_frames_sent_late_total", "at_most_s" => bound).absolute(frames);
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
            error!("a media thread hangs: the watchdog is not told");
        }
        before = beats;
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd does not listen");
    }
}
