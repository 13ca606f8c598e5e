//! The daemon's state, as `/healthz`, `/readyz` and `/metrics` report it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::gauge;
use tokio::task::AbortHandle;
use tracing::warn;
use uuid::Uuid;

use super::agents::AgentFactory;
use super::report::ReportSource;
use crate::admin::{BucketCounts, Configuration, DaemonReport, Health, Part};
use crate::ari;
use crate::config::Config;
use crate::current::Current;
use crate::state::ConversationState;
use crate::store::{Backend, Ledger, Store};
use crate::switchboard::Switchboard;
use crate::tenancy::Permitted;

/// How long the database and the conversation state may take to answer a ping. Shorter than the port waits for all
/// checks: a part that is slow must not hide the state of the others.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The configuration at the start, by names alone. Engines are left out: a reload changes them.
pub fn configuration(config: &Config, store: &Store) -> Configuration {
    let providers = [
        ("twilio", config.telephony.twilio.auth_token.is_some()),
        ("telnyx", config.telephony.telnyx.api_key.is_some()),
        ("fake", config.telephony.fake),
    ];
    Configuration {
        environment: config.environment.to_string(),
        database: match store.backend() {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
        },
        state: if config.state.redis_url.is_some() { "redis" } else { "memory" },
        stt: Vec::new(),
        llm: Vec::new(),
        tts: Vec::new(),
        providers: providers.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect(),
        tls: config.admin.tls.certificate.is_some(),
    }
}

/// The response to a ping, or that there is none in time.
async fn in_time<E: fmt::Display>(ping: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(response) => response.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no response within {} ms", PING_TIMEOUT.as_millis())),
    }
}

/// The parts of the daemon that are checked and measured.
pub struct Parts {
    pub switchboard: Switchboard,
    pub asterisk: Arc<ari::Client>,
    /// The connections of calls, and those of the API.
    pub calls: Store,
    pub api: Store,
    pub state: Arc<dyn ConversationState>,
    pub ledger: Ledger,
    pub agent_factory: Current<AgentFactory>,
    /// The task that synthesises the prompts of all tenants after the start.
    pub warm_up: AbortHandle,
}

/// The data of `/healthz`, `/readyz` and `/metrics`.
pub struct HealthCheck {
    parts: Parts,
    facts: ReportSource,
    configuration: Configuration,
    permitted: Current<Permitted>,
    heartbeats: Mutex<Heartbeats>,
    reasons: Mutex<LoggedReasons>,
}

impl HealthCheck {
    pub fn new(
        parts: Parts,
        facts: ReportSource,
        configuration: Configuration,
        permitted: Current<Permitted>,
    ) -> HealthCheck {
        HealthCheck {
            parts,
            facts,
            configuration,
            permitted,
            heartbeats: Mutex::default(),
            reasons: Mutex::default(),
        }
    }

    /// Events have to flow, and requests to be carried out: without either no call is answered.
    fn asterisk(&self) -> Option<&'static str> {
        if !self.parts.switchboard.is_connected() {
            Some("no events from Asterisk: see the log")
        } else if self.parts.asterisk.trouble().is_some() {
            Some("Asterisk does not carry out requests: see the log")
        } else {
            None
        }
    }

    /// The media threads that hang, in words.
    fn hanging(&self) -> Option<String> {
        let beats = self.parts.switchboard.media_beats();
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let still: Vec<String> = heartbeats
            .stalled(&beats, Instant::now())
            .iter()
            .map(|number| format!("media-{number}"))
            .collect();
        (!still.is_empty()).then(|| format!("{} hangs or has ended", still.join(", ")))
    }

    /// The public result of a part's check.
    fn public_problem(&self, part: &'static str, sign: Result<(), impl fmt::Display>) -> Option<String> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).public_problem(part, sign)
    }
}

impl Health for HealthCheck {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async {
            let (database, letters, state) = tokio::join!(
                in_time(self.parts.calls.ping()),
                tokio::time::timeout(PING_TIMEOUT, self.parts.calls.count_dead_letters()),
                in_time(self.parts.state.ping())
            );
            let refused = letters.ok().and_then(Result::ok).filter(|letters| *letters > 0);
            let part =
                |name, needed, problem: Option<String>| Part { name, ok: problem.is_none(), needed, problem };
            let away = |ok: bool, problem: &str| (!ok).then(|| problem.to_owned());
            vec![
                part("ari", true, self.asterisk().map(str::to_owned)),
                part("accepting", true, away(!self.parts.switchboard.is_draining(), "draining")),
                part("media", true, self.hanging()),
                // While it is away, calls to cached numbers are routed and recorded later; without any, none can be.
                part(
                    "database",
                    !self.parts.switchboard.has_cached_routes(),
                    self.public_problem("database", database),
                ),
                part(
                    "prompts",
                    false,
                    away(
                        self.parts.warm_up.is_finished(),
                        "prompts are being synthesised: a greeting may be delayed",
                    ),
                ),
                part(
                    "ledger",
                    false,
                    refused.map(|_| {
                        "records of calls were refused by the database: see `vca ledger list`".to_owned()
                    }),
                ),
                part("state", false, self.public_problem("state", state)),
            ]
        })
    }

    fn report(&self, probe: Option<Uuid>) -> BoxFuture<'_, DaemonReport> {
        Box::pin(self.facts.report(&self.parts, probe))
    }

    fn measure(&self) -> BucketCounts {
        gauge!("vca_calls_live").set(self.parts.switchboard.live_calls() as f64);
        gauge!("vca_ledger_pending").set(self.parts.ledger.pending() as f64);
        for (pool, store) in [("calls", &self.parts.calls), ("api", &self.parts.api)] {
            let connections = store.connections();
            gauge!("vca_database_connections", "pool" => pool, "state" => "in_use")
                .set(f64::from(connections.in_use));
            gauge!("vca_database_connections", "pool" => pool, "state" => "idle")
                .set(f64::from(connections.idle));
            gauge!("vca_database_connections_max", "pool" => pool).set(f64::from(connections.max));
        }
        let seconds = |us: u64| if us == u64::MAX { f64::INFINITY } else { us as f64 / 1e6 };
        let (counts, sum) = self.parts.switchboard.frame_lateness();
        BucketCounts { buckets: counts.into_iter().map(|(us, frames)| (seconds(us), frames)).collect(), sum }
    }

    fn configuration(&self) -> Configuration {
        let permitted = self.permitted.get();
        Configuration {
            stt: permitted.stt.iter().map(|names| names.engine.clone()).collect(),
            llm: permitted.llm.iter().map(|names| names.engine.clone()).collect(),
            tts: permitted.tts.iter().map(|names| names.engine.clone()).collect(),
            ..self.configuration.clone()
        }
    }
}

/// The reasons of failed checks. Users, hosts and the like are in it, so that it is for the log alone, and there
/// once until it changes.
#[derive(Debug, Default)]
struct LoggedReasons(HashMap<&'static str, String>);

impl LoggedReasons {
    fn public_problem(&mut self, part: &'static str, sign: Result<(), impl fmt::Display>) -> Option<String> {
        match sign {
            Ok(()) => {
                self.0.remove(part);
                None
            }
            Err(error) => {
                let reason = error.to_string();
                if self.is_news(part, &reason) {
                    warn!(part, %reason, "health check failed");
                }
                Some("no response: see the log".to_owned())
            }
        }
    }

    fn is_news(&mut self, part: &'static str, reason: &str) -> bool {
        self.0.insert(part, reason.to_owned()).as_deref() != Some(reason)
    }
}

/// A media thread increments its heartbeat ten times a second; one that does not for this long hangs.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// The last change of each media thread's heartbeat counter.
#[derive(Debug, Default)]
struct Heartbeats(Vec<(u64, Instant)>);

impl Heartbeats {
    /// The threads with a count that has not moved for a second. A thread is reported by the second check, not the
    /// first.
    fn stalled(&mut self, beats: &[u64], now: Instant) -> Vec<usize> {
        self.0.resize(beats.len(), (0, now));
        let mut stalled = Vec::new();
        for (number, (seen, beat)) in self.0.iter_mut().zip(beats).enumerate() {
            if seen.0 != *beat {
                *seen = (*beat, now);
            } else if now.duration_since(seen.1) >= HEARTBEAT_TIMEOUT {
                stalled.push(number);
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_is_slow_is_reported_before_the_port_gives_up() {
        let began = tokio::time::Instant::now();
        let answer = in_time(std::future::pending::<Result<(), String>>()).await;
        assert_eq!(answer.unwrap_err(), "no response within 1000 ms");
        assert!(began.elapsed() < Duration::from_secs(2), "what /readyz waits for");
        assert_eq!(in_time(async { Ok::<(), String>(()) }).await, Ok(()));
    }

    #[test]
    fn strangers_do_not_hear_why_a_part_is_away() {
        let (mut reasons, well) = (LoggedReasons::default(), Ok::<(), &str>(()));
        let away = |reason: &'static str| Err::<(), &str>(reason);
        assert_eq!(reasons.public_problem("database", well), None);
        for reason in ["vca@db.internal:5432/calls: refused", "no response within 500 ms"] {
            assert_eq!(
                reasons.public_problem("database", away(reason)).as_deref(),
                Some("no response: see the log")
            );
            assert!(!reasons.is_news("database", reason), "the log has it already");
        }
        assert_eq!(reasons.public_problem("database", well), None);
        assert!(reasons.is_news("database", "no response within 500 ms"), "it was back in between");
        assert!(reasons.is_news("state", "no response within 500 ms"), "another part's");
    }

    #[test]
    fn a_thread_that_stands_still_for_a_second_hangs() {
        let (mut heartbeats, start) = (Heartbeats::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(heartbeats.stalled(&[7, 9], start), [] as [usize; 0], "the first look");
        assert_eq!(heartbeats.stalled(&[8, 9], after(999)), [] as [usize; 0], "not long enough");
        assert_eq!(heartbeats.stalled(&[8, 9], after(1_000)), [1]);
        assert_eq!(
            heartbeats.stalled(&[8, 10], after(2_000)),
            [0],
            "one is back, the other stands still now"
        );
        assert_eq!(heartbeats.stalled(&[9, 11], after(60_000)), [] as [usize; 0], "no check for a minute");
    }
}
