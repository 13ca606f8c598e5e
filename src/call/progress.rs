//! Finished turns: their record, metrics and log line, and the conversation's saved state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::histogram;
use tokio::sync::watch;
use tracing::{debug, info};

use super::record::RecordWriter;
use crate::conversation::Record;
use crate::engines::core::usage::Meter;
use crate::state::ConversationState;
use crate::tenancy::CallId;

/// Writes a finished turn to the record, the metrics and the log. Its words go to the record, and to the log only under
/// the target `vca::transcript`.
pub fn write_turn(log: Option<&RecordWriter>, record: &Record, meter: &Meter) {
    if let Some(log) = log {
        log.turn(record, meter, Instant::now());
    }
    let latency = &record.latency;
    for (stage, time) in [
        ("transcript", latency.transcript),
        ("reply", latency.reply),
        ("commit", latency.commit),
        ("audio", latency.audio),
    ] {
        if let Some(time) = time {
            histogram!("vca_turn_seconds", "stage" => stage).record(time.as_secs_f64());
        }
    }
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    info!(
        turn = record.turn.0,
        interrupted = record.interrupted,
        transcript_ms = millis(latency.transcript),
        reply_ms = millis(latency.reply),
        commit_ms = millis(latency.commit),
        audio_ms = millis(latency.audio),
        "turn finished"
    );
    // Keys may be a PIN: the log has their number only.
    let keys = record.keys.as_ref().map(|keys| keys.masked().to_string());
    debug!(target: "vca::transcript", turn = record.turn.0, caller = record.caller, keys, agent = record.agent);
}

/// Saves the state of a conversation after every turn; a slow server skips outdated states.
pub async fn save_progress(
    states: Arc<dyn ConversationState>,
    id: CallId,
    mut progress: watch::Receiver<(u32, serde_json::Value)>,
) {
    while progress.changed().await.is_ok() {
        let (turns, state) = progress.borrow_and_update().clone();
        states.save(id, turns, &state).await;
    }
}
