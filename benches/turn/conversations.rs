//! Ordinary conversations: questions and replies, one-word answers, and a long story.

use std::time::Duration;

use vca::audio::Clip;
use vca::sim::conversation::percentile;
use vca::sim::{MeasuredResponse, Step, voice};

use crate::figures::{Figures, Goal};
use crate::memory::Memory;
use crate::setting::{QUESTIONS, Setting, flux_plan, listen, live_plan, plan, words_plan};
use crate::support::phone::{Plan, Report};

/// End of speech to reply: each of `calls` calls at a time asks several questions.
pub fn latency(setting: &Setting, figures: &mut Figures, calls: usize) {
    let goals = if calls == 1 { [Some(640.0), Some(720.0)] } else { [None, None] };
    replies(setting, figures, (&format!("reply_batch_{calls}_calls"), goals), (calls, plan));
}

/// The same with words while the caller speaks.
pub fn live_latency(setting: &Setting, figures: &mut Figures, calls: usize) {
    let goals = if calls == 1 { [Some(480.0), Some(560.0)] } else { [None, None] };
    replies(setting, figures, (&format!("reply_streaming_{calls}_calls"), goals), (calls, live_plan));
}

/// The same with a recogniser that judges the ends of turns.
pub fn flux_latency(setting: &Setting, figures: &mut Figures) {
    replies(setting, figures, ("reply_flux_1_calls", [None, None]), (1, flux_plan));
}

/// The same as with words while the caller speaks, and with a speech engine that gets the first clause word by word.
pub fn words_latency(setting: &Setting, figures: &mut Figures) {
    replies(setting, figures, ("reply_words_1_calls", [Some(480.0), Some(560.0)]), (1, words_plan));
}

/// The plan of a caller, by their number, with a script.
type Planner = fn(usize, Vec<Step>) -> Plan;

fn replies(
    setting: &Setting,
    figures: &mut Figures,
    (name, goals): (&str, [Goal; 2]),
    (calls, plan): (usize, Planner),
) {
    let turns = if calls == 1 { 12 } else { 6 };
    let repeats = if setting.full && calls == 1 { 4 } else { 1 };
    let mut memory = Memory::before(setting);
    let (mut times, mut pacing, mut asked) = (Vec::new(), Vec::new(), 0);
    for _ in 0..repeats {
        let script = |call: usize| {
            let questions = (0..turns).map(|turn| QUESTIONS[(call + turn) % QUESTIONS.len()]);
            let asked = questions.flat_map(|question| [setting.say(question), listen()]);
            [listen()].into_iter().chain(asked).chain([Step::HangUp]).collect()
        };
        let plans =
            (0..calls).map(|call| Plan { suspends_signalling: calls > 1, ..plan(call, script(call)) });
        let reports = setting.run_with(plans.collect(), |running| memory.sample(setting, running));
        times.extend(latencies(&reports, |_| true));
        pacing.extend(reports.iter().map(|report| report.conversation.pacing_error(0.5)));
        asked += calls * turns;
    }
    figures.add_times(name, &times, goals);
    figures.add(&format!("{name}_missed"), (asked - times.len()) as f64, Some(0.0));
    let pacing = percentile(&pacing, 0.5).as_secs_f64() * 1e3;
    figures.add(&format!("{name}_pacing_error_p50_ms"), pacing, None);
    let llm = setting.engines.replies().len() as f64 / asked as f64;
    figures.add(&format!("{name}_llm_requests_a_turn"), llm, Some(2.0));
    let recogniser = setting.engines.transcriptions().iter().map(|it| it.work).max().unwrap_or_default();
    figures.add(&format!("{name}_recogniser_max_ms"), recogniser.as_secs_f64() * 1e3, Some(100.0));
    if calls >= 100 {
        memory.report(figures, calls);
    }
}

/// "Yes." and "No." to a question of the agent.
pub fn one_word(setting: &Setting, figures: &mut Figures) {
    let answers = if setting.full { 16 } else { 8 };
    let words = (0..answers).flat_map(|n| [setting.say(["Yes.", "No."][n % 2]), listen()]);
    let first = [listen(), setting.say("I would like to book a visit."), listen()];
    let script = first.into_iter().chain(words).chain([Step::HangUp]).collect();
    let reports = setting.run(vec![plan(0, script)]);
    let times = latencies(&reports, |n| n > 0);
    figures.add_times("reply_one_word", &times, [Some(640.0), Some(720.0)]);
    figures.add("reply_one_word_missed", (answers - times.len()) as f64, Some(0.0));
}

/// Latencies of the responses to the utterances with the numbers that `counts` chooses.
fn latencies(reports: &[Report], counts: impl Fn(usize) -> bool) -> Vec<Duration> {
    let of = |report: &Report| report.conversation.responses();
    let chosen = reports.iter().flat_map(|report| of(report).into_iter().enumerate());
    chosen
        .filter(|(n, _)| counts(*n))
        .filter_map(|(_, response)| MeasuredResponse::latency(&response))
        .collect()
}

const STORY: [&str; 24] = [
    "I bought a bicycle from you last summer",
    "and I have been very happy with it",
    "but a few weeks ago",
    "when I was riding home from work",
    "there was a strange noise at the back",
    "so I stopped at the corner",
    "and looked at the wheel.",
    "At first I saw nothing at all",
    "but then my neighbour said",
    "that one of the spokes was loose",
    "and that it might break soon",
    "if I rode on like that.",
    "Well I pushed it home",
    "and put it into the garage",
    "where it has been ever since",
    "because I was away for a while.",
    "Now my brother needs a bicycle too",
    "since his car is broken",
    "and he lives quite far outside",
    "so we thought",
    "that you could look at both of them",
    "on the same day if possible",
    "perhaps in the afternoon",
    "and call me when they are ready.",
];
/// Pauses between the parts of the story; a caller breathes and thinks.
const PAUSES_MS: [u64; 6] = [250, 400, 600, 300, 500, 700];

/// A minute's story with pauses: the STT seconds that were asked for per second of speech.
pub fn story(setting: &Setting, figures: &mut Figures) {
    let script = vec![listen(), Step::Say(told(setting)), listen(), Step::HangUp];
    let call = setting.run(vec![plan(0, script)]).remove(0).conversation;
    let asked: f64 = setting.engines.transcriptions().iter().map(|it| it.length.as_secs_f64()).sum();
    let spoken = voice::stretches(&call.sent.samples, call.sent.rate, Duration::from_millis(150));
    let speech: f64 = spoken.iter().map(|(from, to)| (*to - *from).as_secs_f64()).sum();
    figures.add("story_stt_seconds_per_second", asked / speech.max(1.0), Some(1.5));
    figures.add("story_stt_requests", setting.engines.transcriptions().len() as f64, None);
    figures.add("story_llm_requests", setting.engines.replies().len() as f64, None);
    // A call that ends before the story does has no complete utterance.
    figures.add("story_ended_by_the_agent", f64::from(u8::from(call.said.is_empty())), Some(0.0));
    let (Some(first), Some(last)) = (spoken.first(), spoken.last()) else { return };
    let cut_ins = call.agent().iter().filter(|(at, _)| *at > first.0 && *at < last.0).count();
    figures.add("story_cut_ins", cut_ins as f64, None);
}

fn told(setting: &Setting) -> Clip {
    let mut samples = Vec::new();
    for (part, pause) in STORY.iter().zip(PAUSES_MS.iter().cycle()) {
        samples.extend(setting.voice(part).samples.iter());
        samples.resize(samples.len() + *pause as usize * 8, 0);
    }
    Clip::new(8_000, samples)
}
