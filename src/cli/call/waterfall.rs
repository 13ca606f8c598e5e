//! The stages of a turn as bars.

use std::fmt::Write;

use crate::tenancy::CallTurn;

/// The longest bar, in columns: with labels and figures a line has 76.
const WIDTH: u64 = 48;

/// A line for each stage that the turn reached, on one scale from the end of the caller's speech. A bar begins where the
/// stage before it ended, and is followed by the time of its own end.
pub fn waterfall(turn: &CallTurn) -> String {
    let CallTurn { pause_ms, transcript_ms, reply_ms, clause_ms, speech_ms, commit_ms, audio_ms, .. } = turn;
    // The first packet waits for the audio and for the commit.
    let ready = (*speech_ms).max(*commit_ms);
    let stages = [
        ("pause", None, *pause_ms),
        ("transcript", *pause_ms, *transcript_ms),
        ("first token", *transcript_ms, *reply_ms),
        ("first clause", *reply_ms, *clause_ms),
        ("first audio", *clause_ms, *speech_ms),
        ("commit", None, *commit_ms),
        ("first packet", ready, *audio_ms),
    ];
    let reached = stages.into_iter().filter_map(|(name, from, to)| Some((name, from.unwrap_or(0), to?)));
    let longest = reached.clone().map(|(_, _, to)| to).max().unwrap_or(0).max(1);
    let column = |ms: u32| (u64::from(ms) * WIDTH / u64::from(longest)) as usize;
    let mut text = String::new();
    for (name, from, to) in reached {
        let start = column(from.min(to));
        let bar = (column(to) - start).max(1);
        let _ = writeln!(text, "  {name:<12}  {:start$}{:#<bar$} {to} ms", "", "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::{CallId, TenantId};

    fn turn(stages: [Option<u32>; 7]) -> CallTurn {
        let [pause_ms, transcript_ms, reply_ms, clause_ms, speech_ms, commit_ms, audio_ms] = stages;
        CallTurn {
            call_id: CallId::new(),
            tenant_id: TenantId::new(),
            turn: 1,
            caller_text: String::new(),
            agent_text: String::new(),
            interrupted: false,
            spoken_by: Default::default(),
            target_text: None,
            pause_ms,
            transcript_ms,
            reply_ms,
            clause_ms,
            speech_ms,
            commit_ms,
            audio_ms,
            tools: Vec::new(),
            at: chrono::Utc::now(),
        }
    }

    #[test]
    fn each_stage_begins_where_the_one_before_it_ended() {
        let stages = [120, 240, 400, 480, 560, 300, 600].map(Some);
        let lines = [
            "  pause         ######### 120 ms",
            "  transcript             ########## 240 ms",
            "  first token                      ############# 400 ms",
            "  first clause                                  ###### 480 ms",
            "  first audio                                         ###### 560 ms",
            "  commit        ######################## 300 ms",
            "  first packet                                              #### 600 ms",
        ];
        assert_eq!(waterfall(&turn(stages)).lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn stages_that_were_not_reached_are_left_out_and_lines_fit_a_terminal() {
        assert_eq!(waterfall(&turn([None; 7])), "");
        let text = waterfall(&turn([Some(u32::MAX), None, Some(1), None, Some(0), None, Some(u32::MAX)]));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
