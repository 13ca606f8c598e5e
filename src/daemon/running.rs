//! A running daemon: its tasks, what ends it, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::build::Services;
use super::health::{self, HealthCheck};
use super::jobs::Jobs;
use super::reload::{self, Source};
use super::{billing_job, costs, report, rollups, systemd};
use crate::analysis::AnalysisTrials;
use crate::config::{Config, Effective};
use crate::webhooks::Deliverer;
use crate::{admin, ari, control};

/// The time limit for writing the last records when the daemon stops.
const LAST_RECORDS: Duration = Duration::from_secs(10);
/// The time limit for each other task to stop.
const LAST_TASK: Duration = Duration::from_secs(5);
/// The time limit for trials of analyses in progress: that of the requests to the API that began them.
const LAST_TRIALS: Duration = Duration::from_secs(10);
/// The time that stopping takes at most after `calls.drain_timeout_s`: goodbyes (20 s), three tasks and the counts of unmatched
/// numbers (5 s each), trials and records together (10 s), and the connections to the database.
const AFTER_DRAIN: Duration = Duration::from_secs(60);

pub struct Daemon {
    services: Services,
    drain_timeout: Duration,
    events: JoinHandle<()>,
    admin: JoinHandle<()>,
    deliverer: JoinHandle<()>,
    jobs: Jobs,
    analysis_trials: Arc<AnalysisTrials>,
    /// Ends `events` and `admin`.
    stop: CancellationToken,
    /// Ends `deliverer`: all events are in the outbox.
    all_written: CancellationToken,
}

/// Why a daemon stops.
enum StopReason {
    Signal,
    /// A task that calls do not need has failed: they are drained before the daemon exits.
    Failed(String),
}

impl Daemon {
    /// Starts the tasks. The admin port is bound first: it is what two daemons of one name cannot share.
    ///
    /// # Errors
    /// The port is taken, the database does not respond, or webhooks cannot be sent with these settings.
    pub async fn start(
        services: Services,
        config: &Config,
        effective: Vec<Effective>,
        metrics: PrometheusHandle,
        source: Source,
    ) -> anyhow::Result<Daemon> {
        let api = services.api_state(config);
        let (registrar, analysis_trials) = (api.registrar.clone(), api.analysis_trials.clone());
        let reloads = reload::LatestReload::default();
        let configuration = health::configuration(config, &services.store);
        let health = HealthCheck::new(
            services.parts(),
            report::ReportSource::of(config, reloads.clone()),
            configuration,
            services.permitted.clone(),
        );
        let admin = admin::Server::bind(&config.admin, Arc::new(health), metrics, api)?;
        services.close_interrupted().await?;
        services.announcements.refill(&services.calls).await.context("announced calls cannot be read")?;
        let deliverer = Deliverer::new(services.store.clone(), config.webhooks.clone())
            .context("webhooks cannot be sent")?;
        let (stop, all_written) = (CancellationToken::new(), CancellationToken::new());
        let events = ari::listen(
            services.asterisk.clone(),
            config.ari.clone(),
            services.switchboard.clone(),
            stop.clone(),
        );
        let mut jobs = start_jobs(&services);
        jobs.start("retention job", control::keep_up(services.store.clone(), registrar));
        let targets = reload::Targets::of(&services);
        let reload = reload::on_sighup(source, targets, reloads, config.clone(), effective);
        jobs.start("reload on SIGHUP", reload);
        Ok(Daemon {
            drain_timeout: Duration::from_secs(config.calls.drain_timeout_s),
            events: tokio::spawn(events),
            admin: tokio::spawn(admin.serve(stop.clone())),
            deliverer: tokio::spawn(deliverer.run(all_written.clone())),
            services,
            jobs,
            analysis_trials,
            stop,
            all_written,
        })
    }

    /// Runs until a signal or a failure, drains the calls, and stops. A second signal ends the drain.
    ///
    /// # Errors
    /// A task failed, or records could not be written.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let reason = self.wait().await?;
        if let StopReason::Failed(fault) = &reason {
            error!("{fault}: the daemon drains its calls and exits");
        }
        self.drain().await?;
        self.stop().await?;
        match reason {
            StopReason::Signal => Ok(()),
            StopReason::Failed(fault) => bail!("{fault}: see the log"),
        }
    }

    async fn wait(&mut self) -> anyhow::Result<StopReason> {
        tokio::select! {
            signal = wait_for_signal() => signal.map(|()| StopReason::Signal),
            _ = &mut self.events => bail!("the ARI event task stopped: see the log"),
            _ = &mut self.admin => bail!("the admin server stopped: see the log"),
            _ = &mut self.deliverer => Ok(StopReason::Failed("webhook delivery stopped".into())),
            job = self.jobs.failed() => Ok(StopReason::Failed(format!("{job} stopped"))),
        }
    }

    async fn drain(&self) -> anyhow::Result<()> {
        let switchboard = &self.services.switchboard;
        // Where the drain may last longer than TimeoutStopSec, systemd waits for it, too.
        let limit = u32::try_from((self.drain_timeout + AFTER_DRAIN).as_micros()).unwrap_or(u32::MAX);
        systemd::notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
        tokio::select! {
            () = switchboard.drain(self.drain_timeout) => {}
            signal = wait_for_signal() => {
                signal?;
                warn!(calls = switchboard.live_calls(), "second signal: remaining calls are ended");
                switchboard.cut().await;
            }
        }
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Daemon { services, events, admin, deliverer, jobs, analysis_trials, stop, all_written, .. } =
            self;
        stop.cancel();
        services.warm_up.abort();
        drop(jobs);
        for task in [events, admin] {
            if tokio::time::timeout(LAST_TASK, task).await.is_err() {
                warn!("a task did not stop in time");
            }
        }
        let ((), (), lost) = tokio::join!(
            analysis_trials.finish(LAST_TRIALS),
            services.leg_spend.finish(LAST_TASK),
            services.ledger.close(LAST_RECORDS)
        );
        write_unmatched(&services).await;
        // The outbox now has the events of the last calls.
        all_written.cancel();
        if !deliverer.is_finished() && tokio::time::timeout(LAST_TASK, deliverer).await.is_err() {
            warn!(
                "webhook delivery did not stop in time: deliveries in progress are repeated after the next start"
            );
        }
        services.calls.close().await;
        services.store.close().await;
        if lost > 0 {
            bail!("{lost} records could not be written: the database did not come back");
        }
        Ok(())
    }
}

/// Jobs that need nothing but the services.
fn start_jobs(services: &Services) -> Jobs {
    let Services { store, calls, ledger, switchboard, announcements, billing, unmatched, .. } = services;
    let mut jobs = Jobs::default();
    jobs.start("watch for announced calls", announcements.clone().watch(calls.clone(), ledger.clone()));
    jobs.start("billing job", billing_job::run_billing(store.clone(), billing.clone()));
    jobs.start("measurement of costs", costs::measure(store.clone(), billing.clone()));
    jobs.start("analysis of calls", services.analyst().run());
    jobs.start("roll-up of calls", rollups::add_calls(store.clone()));
    jobs.start("record of unmatched numbers", unmatched.clone().write_to(store.clone()));
    jobs.start("watch of RTP ports", switchboard.clone().watch_rtp_ports());
    jobs.start("watch of handed-over legs", switchboard.clone().watch_handed_over_legs());
    jobs.start("watchdog", systemd::keep_watchdog_quiet(switchboard.clone()));
    jobs
}

/// Writes the counts that the job has not written yet.
async fn write_unmatched(services: &Services) {
    let written = tokio::time::timeout(LAST_TASK, services.unmatched.write(&services.store)).await;
    if !matches!(written, Ok(Ok(()))) {
        warn!("the latest counts of unmatched numbers are lost: the database does not respond");
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
