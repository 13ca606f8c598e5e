//! How the daemon is, as `/readyz` and `/metrics` tell it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::{counter, gauge};
use tracing::warn;

use crate::admin::{Health, Part};
use crate::state::ConversationState;
use crate::store::{Ledger, Store};
use crate::switchboard::Switchboard;

/// What `/readyz` and `/metrics` ask for.
pub struct Vitals {
    switchboard: Switchboard,
    /// The calls' connections, and the API's.
    store: Store,
    api: Store,
    state: Arc<dyn ConversationState>,
    ledger: Ledger,
    pulse: Mutex<Pulse>,
    reasons: Mutex<Reasons>,
}

impl Vitals {
    pub fn new(
        switchboard: Switchboard,
        store: Store,
        api: Store,
        state: Arc<dyn ConversationState>,
        ledger: Ledger,
    ) -> Vitals {
        Vitals { switchboard, store, api, state, ledger, pulse: Mutex::default(), reasons: Mutex::default() }
    }

    /// The media threads that hang, in words.
    fn hanging(&self) -> Option<String> {
        let beats = self.switchboard.media_beats();
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let still: Vec<String> =
            pulse.still(&beats, Instant::now()).iter().map(|number| format!("media-{number}")).collect();
        (!still.is_empty()).then(|| format!("{} hangs or has ended", still.join(", ")))
    }

    /// What anybody may hear of a part that was asked for a sign of life.
    fn told(&self, part: &'static str, sign: Result<(), impl fmt::Display>) -> Option<String> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).told(part, sign)
    }
}

impl Health for Vitals {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async {
            let (database, letters, state) =
                tokio::join!(self.store.ping(), self.store.count_dead_letters(), self.state.ping());
            let refused = letters.ok().filter(|letters| *letters > 0);
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
                part("media", true, self.hanging()),
                // Calls are routed by the last answers and recorded later.
                part("database", false, self.told("database", database)),
                part(
                    "ledger",
                    false,
                    refused.map(|_| {
                        "records of calls were refused by the database: see `vca ledger list`".to_owned()
                    }),
                ),
                part("state", false, self.told("state", state)),
            ]
        })
    }

    fn measure(&self) {
        gauge!("vca_calls_live").set(self.switchboard.live_calls() as f64);
        gauge!("vca_ledger_pending").set(self.ledger.pending() as f64);
        for (pool, store) in [("calls", &self.store), ("api", &self.api)] {
            let connections = store.connections();
            gauge!("vca_database_connections", "pool" => pool, "state" => "in_use")
                .set(f64::from(connections.in_use));
            gauge!("vca_database_connections", "pool" => pool, "state" => "idle")
                .set(f64::from(connections.idle));
            gauge!("vca_database_connections_max", "pool" => pool).set(f64::from(connections.max));
        }
        for (bound_us, frames) in self.switchboard.frame_lateness() {
            let bound =
                if bound_us == u64::MAX { "+Inf".to_owned() } else { (bound_us as f64 / 1e6).to_string() };
            counter!("vca_frames_sent_late_total", "at_most_s" => bound).absolute(frames);
        }
    }
}

/// Why parts give no sign of life. Users, hosts and the like are in it, so that it is for the log alone, and there
/// once until it changes.
#[derive(Debug, Default)]
struct Reasons(HashMap<&'static str, String>);

impl Reasons {
    fn told(&mut self, part: &'static str, sign: Result<(), impl fmt::Display>) -> Option<String> {
        match sign {
            Ok(()) => {
                self.0.remove(part);
                None
            }
            Err(error) => {
                let reason = error.to_string();
                if self.is_news(part, &reason) {
                    warn!(part, %reason, "no sign of life");
                }
                Some("no answer: see the log".to_owned())
            }
        }
    }

    fn is_news(&mut self, part: &'static str, reason: &str) -> bool {
        self.0.insert(part, reason.to_owned()).as_deref() != Some(reason)
    }
}

/// A media thread beats at least ten times a second; one that is still for so long hangs.
const STILL: Duration = Duration::from_secs(1);

/// When each media thread was last seen to beat.
#[derive(Debug, Default)]
struct Pulse(Vec<(u64, Instant)>);

impl Pulse {
    /// The threads whose count has not moved for a second. A thread is suspected by the second look, not the first.
    fn still(&mut self, beats: &[u64], now: Instant) -> Vec<usize> {
        self.0.resize(beats.len(), (0, now));
        let mut still = Vec::new();
        for (number, (seen, beat)) in self.0.iter_mut().zip(beats).enumerate() {
            if seen.0 != *beat {
                *seen = (*beat, now);
            } else if now.duration_since(seen.1) >= STILL {
                still.push(number);
            }
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_hear_why_a_part_is_away() {
        let (mut reasons, well) = (Reasons::default(), Ok::<(), &str>(()));
        let away = |reason: &'static str| Err::<(), &str>(reason);
        assert_eq!(reasons.told("database", well), None);
        for reason in ["vca@db.internal:5432/calls: refused", "no answer within 500 ms"] {
            assert_eq!(reasons.told("database", away(reason)).as_deref(), Some("no answer: see the log"));
            assert!(!reasons.is_news("database", reason), "the log has it already");
        }
        assert_eq!(reasons.told("database", well), None);
        assert!(reasons.is_news("database", "no answer within 500 ms"), "it was back in between");
        assert!(reasons.is_news("state", "no answer within 500 ms"), "another part's");
    }

    #[test]
    fn a_thread_that_stands_still_for_a_second_hangs() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(pulse.still(&[7, 9], start), [] as [usize; 0], "the first look");
        assert_eq!(pulse.still(&[8, 9], after(999)), [] as [usize; 0], "not long enough");
        assert_eq!(pulse.still(&[8, 9], after(1_000)), [1]);
        assert_eq!(pulse.still(&[8, 10], after(2_000)), [0], "one is back, the other stands still now");
        assert_eq!(pulse.still(&[9, 11], after(60_000)), [] as [usize; 0], "nobody asked for a minute");
    }
}
