//! Vendors that stop responding, at each stage, before a response and in its middle.

use std::time::Duration;

use vca::audio::Clip;
use vca::sim::{RecordedCall, Step};

use crate::figures::Figures;
use crate::setting::{QUESTIONS, Setting, listen, plan};
use crate::support::labelled::server::{Place, Stage, Stall};

/// The question to which the vendor stalls, and words of its transcript and of its reply.
const STALLED: &str = QUESTIONS[0];
/// The silence after which the caller asks the next question: shorter than that before the agent's silence prompt.
const PATIENCE: Duration = Duration::from_millis(6_500);

const CASES: [(&str, Stall); 5] = [
    ("stt", Stall { stage: Stage::Stt, place: Place::Before, word: "opening" }),
    ("llm", Stall { stage: Stage::Llm, place: Place::Before, word: "opening" }),
    ("llm_middle", Stall { stage: Stage::Llm, place: Place::Middle, word: "opening" }),
    ("tts", Stall { stage: Stage::Tts, place: Place::Before, word: "weekday" }),
    ("tts_middle", Stall { stage: Stage::Tts, place: Place::Middle, word: "weekday" }),
];

/// The time until the caller hears something, the words of it, and the latency of the next turn.
pub fn stalls(setting: &Setting, figures: &mut Figures) {
    for (n, (name, stall)) in CASES.into_iter().enumerate() {
        setting.engines.stall(Some(stall));
        let wait = Step::Listen { silent: PATIENCE, at_most: Duration::from_secs(40) };
        let script = vec![
            listen(),
            setting.say(QUESTIONS[1]),
            listen(),
            setting.say(STALLED),
            wait,
            setting.say(QUESTIONS[2]),
            listen(),
            Step::HangUp,
        ];
        let report = setting.run(vec![plan(n, script)]).remove(0);
        setting.engines.stall(None);
        let call = &report.conversation;
        let [_, stalled, next] = call.responses()[..] else {
            figures.add(&format!("stall_{name}_call_ended"), 1.0, Some(0.0));
            continue;
        };
        let silences = silences(call, stalled.asked.1, next.asked.0);
        // In the middle of a reply the caller has heard its beginning.
        let place = usize::from(stall.place == Place::Middle);
        let silence = silences.get(place).map_or(PATIENCE, |(length, _)| *length);
        figures.add(&format!("stall_{name}_s"), silence.as_secs_f64(), Some(2.5));
        println!("    heard: {}", heard(setting, call, (stalled.asked.1, next.asked.0)));
        let latency = next.latency().map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
        figures.add(&format!("stall_{name}_next_turn_ms"), latency, None);
    }
}

/// The silences of the agent in a time, each with its end, but for the last one.
fn silences(call: &RecordedCall, from: Duration, to: Duration) -> Vec<(Duration, Duration)> {
    let mut since = from;
    let mut found = Vec::new();
    for (begins, ends) in call.agent().into_iter().filter(|(begins, _)| *begins > from && *begins < to) {
        found.push((begins - since, begins));
        since = ends;
    }
    found
}

/// The agent's words in a time.
fn heard(setting: &Setting, call: &RecordedCall, (from, to): (Duration, Duration)) -> String {
    let index = |at: Duration| (at.as_secs_f64() * f64::from(call.received.rate)) as usize;
    let end = index(to).min(call.received.samples.len());
    let samples = call.received.samples.get(index(from)..end).unwrap_or_default();
    setting.engines.recogniser().transcribe(&Clip::new(call.received.rate, samples.to_vec())).0
}
