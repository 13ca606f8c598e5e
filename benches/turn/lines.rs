//! Lines that are not quiet: a television, echo, long packets with jitter.

use std::time::Duration;

use vca::sim::{Echo, LineConditions, Step};

use crate::figures::Figures;
use crate::setting::{ASK_LONG, QUESTIONS, Setting, listen, plan, replies_of};
use crate::support::labelled::recogniser::HeardWord;
use crate::support::labelled::server::SttRequest;
use crate::support::labelled::track::Speaker;
use crate::support::phone::{Plan, Report};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A question while a television is heard. Each level asks another question, so that its words are found in the prompts.
pub fn television(setting: &Setting, figures: &mut Figures) {
    let levels = [12.0, 18.0, 24.0, 30.0];
    let plans = levels.iter().enumerate().map(|(n, &below)| {
        let conditions =
            LineConditions { background: Some(setting.television(below)), ..LineConditions::default() };
        let wait = Step::Listen { silent: ms(700), at_most: ms(35_000) };
        let greeting = Step::Listen { silent: ms(500), at_most: ms(8_000) };
        let script = vec![greeting, setting.say(QUESTIONS[n]), wait, Step::HangUp];
        Plan { conditions, ..plan(n, script) }
    });
    let reports = setting.run(plans.collect());
    for (n, (below, report)) in levels.iter().zip(&reports).enumerate() {
        let answered = report.conversation.responses().first().and_then(|response| response.latency());
        let seconds = answered.map_or(35.0, |time| time.as_secs_f64());
        figures.add(&format!("television_{below}_db_below_answer_s"), seconds, Some(1.5));
        let whole =
            setting.engines.replies().iter().any(|request| has_all_words(&request.question, QUESTIONS[n]));
        figures.add(&format!("television_{below}_db_below_cut"), f64::from(u8::from(!whole)), Some(0.0));
    }
}

fn has_all_words(heard: &str, said: &str) -> bool {
    said.split_whitespace().all(|word| heard.contains(word))
}

/// A silent caller's line that returns the agent's long replies.
pub fn echo(setting: &Setting, figures: &mut Figures) {
    let rounds: usize = if setting.full { 11 } else { 2 };
    let lines = lines_with_echo(setting.full);
    let plans = lines.iter().enumerate().map(|(n, &(level_db, delay))| {
        let conditions =
            LineConditions { echo: Some(Echo { delay: ms(delay), level_db }), ..LineConditions::default() };
        let asked = (0..rounds).flat_map(|_| [setting.say(ASK_LONG), listen()]);
        let script = [listen()].into_iter().chain(asked).chain([Step::HangUp]).collect();
        Plan { conditions, ..plan(n, script) }
    });
    setting.run(plans.collect());
    let (mut all, mut missing) = (0, 0);
    for (n, (level, delay)) in lines.iter().enumerate() {
        let turns = setting.record(n).map(|(_, turns)| turns).unwrap_or_default();
        let interrupted = turns.iter().filter(|turn| turn.interrupted).count();
        all += interrupted;
        missing += rounds.saturating_sub(replies_of(&turns));
        figures.add(&format!("echo_{level}_db_{delay}_ms_self_interruptions"), interrupted as f64, Some(0.0));
    }
    figures.add("echo_self_interruptions", all as f64, Some(0.0));
    // Without a reply there is nothing to interrupt.
    figures.add("echo_missed", missing as f64, Some(0.0));
    let requests = setting.engines.transcriptions();
    let by_echo = requests.iter().filter(|request| is_without_caller(request)).count();
    figures.add("echo_stt_requests", by_echo as f64, Some(0.0));
}

/// Levels in dB and delays in milliseconds.
fn lines_with_echo(full: bool) -> Vec<(f64, u64)> {
    if full {
        let levels = [-6.0, -14.0, -20.0, -26.0, -32.0, -40.0];
        return levels.into_iter().flat_map(|level| [50, 200, 600].map(|delay| (level, delay))).collect();
    }
    vec![(-6.0, 100), (-14.0, 200), (-20.0, 300), (-26.0, 50), (-32.0, 600), (-40.0, 400)]
}

fn is_without_caller(request: &SttRequest) -> bool {
    !request.words.iter().any(|word| word.speaker == Speaker::Caller)
}

/// Questions in packets of 60 ms that arrive up to 20 ms late.
pub fn packets(setting: &Setting, figures: &mut Figures) {
    let conditions = LineConditions { packet_frames: 3, jitter: ms(20), ..LineConditions::default() };
    let calls: usize = if setting.full { 4 } else { 1 };
    let asked = || QUESTIONS.iter().flat_map(|question| [setting.say(question), listen()]);
    let script = || [listen()].into_iter().chain(asked()).chain([Step::HangUp]).collect();
    let plans = (0..calls).map(|n| Plan { conditions: conditions.clone(), ..plan(n, script()) });
    let reports = setting.run(plans.collect());
    let times = reports.iter().flat_map(|report: &Report| report.conversation.responses());
    let times: Vec<Duration> = times.filter_map(|response| response.latency()).collect();
    figures.add_times("reply_60_ms_packets", &times, [None, None]);
    let missed = (calls * QUESTIONS.len()).saturating_sub(times.len());
    figures.add("reply_60_ms_packets_missed", missed as f64, Some(0.0));
    let requests = setting.engines.transcriptions();
    let inserted: f64 = requests.iter().map(inserted).sum();
    let speech: f64 = requests.iter().map(|request| request.length.as_secs_f64()).sum();
    figures.add("silence_inserted_s_a_minute", inserted / speech.max(1.0) * 60.0, Some(0.0));
    let words: usize = requests.iter().map(|request| request.words.len()).sum();
    figures.add("words_heard_a_second", words as f64 / speech.max(1.0), None);
}

/// How much later the last word of a clip is than it would be without inserted silence, in seconds.
fn inserted(request: &SttRequest) -> f64 {
    let shift = |word: &HeardWord| word.at - word.from as i64;
    let (Some(first), Some(last)) = (request.words.first(), request.words.last()) else { return 0.0 };
    if first.track != last.track {
        return 0.0;
    }
    (shift(last) - shift(first)).max(0) as f64 / 8_000.0
}
