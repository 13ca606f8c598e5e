//! A call's transcript, as data and as text.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, CallId, CallTurn, Did, SpokenBy};

/// The transcript of a call, with the latencies of each turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transcript {
    pub call_id: CallId,
    pub caller_number: Option<String>,
    pub called_number: Did,
    pub started_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub turns: Vec<CallTurn>,
}

impl Transcript {
    pub fn of(call: Call, turns: Vec<CallTurn>) -> Transcript {
        Transcript {
            call_id: call.id,
            caller_number: call.caller_number,
            called_number: call.called_number,
            started_at: call.started_at,
            answered_at: call.answered_at,
            turns,
        }
    }
}

/// As text: each line with the time from the answer to the end of its turn.
impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.caller_number.as_deref().map_or("withheld".into(), plain);
        let at = self.started_at.format("%F %T UTC");
        writeln!(f, "Call {} of {at}, from {from} to {}", self.call_id, self.called_number)?;
        for turn in &self.turns {
            let since = turn.at - self.answered_at.unwrap_or(self.started_at);
            writeln!(f, "\n[{}]{}", minutes(since), Latencies(turn))?;
            if !turn.caller_text.is_empty() {
                writeln!(f, "Caller: {}", plain(&turn.caller_text))?;
            }
            if !turn.agent_text.is_empty() || turn.interrupted {
                let cut = if turn.interrupted { " [interrupted]" } else { "" };
                let speaker = match turn.spoken_by {
                    SpokenBy::Agent => "Agent:  ",
                    SpokenBy::Operator => "Operator: ",
                };
                writeln!(f, "{speaker}{}{cut}", plain(&turn.agent_text))?;
            }
            if let Some(text) = turn.target_text.as_deref().filter(|text| !text.is_empty()) {
                writeln!(f, "Target: {}", plain(text))?;
            }
            for tool in &turn.tools {
                writeln!(f, "Tool:   {tool}")?;
            }
        }
        Ok(())
    }
}

struct Latencies<'a>(&'a CallTurn);

impl fmt::Display for Latencies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallTurn { transcript_ms, reply_ms, commit_ms, audio_ms, .. } = self.0;
        let stages =
            [("words", transcript_ms), ("reply", reply_ms), ("commit", commit_ms), ("audio", audio_ms)];
        stages.iter().try_for_each(|(name, time)| match time {
            Some(time) => write!(f, "  {name} {time} ms"),
            None => Ok(()),
        })
    }
}

fn minutes(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// Replaces control characters, so that the words of a caller or an engine cannot control the reader's terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
