//! How the daemon is, as `/readyz` and `/metrics` tell it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use metrics::{counter, gauge};

use crate::admin::{Health, Part};
use crate::state::ConversationState;
use crate::store::{Ledger, Store};
use crate::switchboard::Switchboard;

/// What `/readyz` and `/metrics` ask for.
pub struct Vitals {
    switchboard: Switchboard,
    store: Store,
    state: Arc<dyn ConversationState>,
    ledger: Ledger,
    pulse: Mutex<Pulse>,
}

impl Vitals {
    pub fn new(
        switchboard: Switchboard,
        store: Store,
        state: Arc<dyn ConversationState>,
        ledger: Ledger,
    ) -> Vitals {
        Vitals { switchboard, store, state, ledger, pulse: Mutex::default() }
    }

    /// The media threads that hang, in words.
    fn hanging(&self) -> Option<String> {
        let beats = self.switchboard.media_beats();
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let still: Vec<String> =
            pulse.still(&beats, Instant::now()).iter().map(|number| format!("media-{number}")).collect();
        (!still.is_empty()).then(|| format!("{} hangs or has ended", still.join(", ")))
    }
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
                part("media", true, self.hanging()),
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
