//! What a caller who tells a story costs in transcribed audio.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::LEVEL;
use crate::conversation::*;

/// What a recogniser of whole clips is sent beside the utterance.
const MARGINS: Duration = Duration::from_millis(340);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A minute of speech: phrases and pauses of such lengths in ms.
fn story(phrases: Range<u64>, pauses: Range<u64>) -> Vec<(At, Input)> {
    let (mut now, mut seed) = (5_000u64, 7u64);
    let mut random = |range: &Range<u64>| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (seed >> 33) % (range.end - range.start)
    };
    let mut story = vec![
        (At(ms(0)), Input::Connected),
        (At(ms(2_000)), Input::Playback { speech: SpeechId(0), event: PlaybackEvent::Ended }),
    ];
    while now < 65_000 {
        let started = CallerSpeech::Started { at: At(ms(now)), level: LEVEL };
        story.push((At(ms(now + 60)), Input::CallerSpeech(started)));
        now += random(&phrases);
        let paused = CallerSpeech::Paused { at: At(ms(now)), level: LEVEL };
        story.push((At(ms(now + 120)), Input::CallerSpeech(paused)));
        now += random(&pauses);
    }
    story
}

/// The seconds asked, and those spoken, with a recogniser that takes `delay` ms.
fn tell(mut inputs: Vec<(At, Input)>, delay: u64) -> (Duration, Duration, usize) {
    let settings = Settings { max_speech_ms: ms(120_000), ..Settings::default() };
    let mut conversation = Conversation::new(settings);
    let mut begun = HashMap::new();
    let (mut asked, mut spoken, mut last, mut requests) = (Duration::ZERO, Duration::ZERO, At::default(), 0);
    inputs.reverse();
    let mut words: Vec<(At, Input)> = Vec::new();
    while let Some((next, _)) = inputs.last() {
        let tick = conversation.deadline().map_or(*next, |(at, _)| at);
        let final_words = words.first().map_or(*next, |(at, _)| *at);
        let (at, input) = if tick < *next && tick < final_words {
            (tick, Input::Tick)
        } else if final_words < *next {
            words.remove(0)
        } else {
            inputs.pop().expect("an input")
        };
        match input {
            Input::CallerSpeech(CallerSpeech::Started { at, .. }) => last = at,
            Input::CallerSpeech(CallerSpeech::Paused { at, .. }) => spoken += at.since(last),
            _ => {}
        }
        conversation.handle(at, input);
        while let Some(output) = conversation.poll() {
            match output {
                Output::Pipeline(Command::Recognise { utterance, from, .. }) => {
                    begun.insert(utterance, from);
                }
                Output::Pipeline(Command::EndUtterance { utterance, at: to }) => {
                    asked += to.since(begun[&utterance]) + MARGINS;
                    let event = Recognition::Final { text: "we went on into the next town and".to_owned() };
                    words.push((at.saturating_add(ms(delay)), Input::Recognition { utterance, event }));
                }
                Output::Pipeline(Command::Respond { .. }) => requests += 1,
                _ => {}
            }
        }
    }
    (asked, spoken, requests)
}

#[test]
fn a_story_costs_at_most_one_and_a_half_times_its_speech() {
    for delay in [100, 300, 800, 2_000] {
        // Most pauses are shorter than a turn waits.
        costs_little(story(400..3_400, 130..480), delay);
    }
}

#[test]
fn a_story_with_long_pauses_costs_no_more() {
    for delay in [100, 300] {
        costs_little(story(800..2_300, 560..1_100), delay);
    }
}

#[track_caller]
fn costs_little(story: Vec<(At, Input)>, delay: u64) {
    let (asked, spoken, requests) = tell(story, delay);
    let ratio = asked.as_secs_f64() / spoken.as_secs_f64();
    println!("STT of {delay} ms: {ratio:.2} s asked per second spoken, {requests} requests to the model");
    assert!(ratio <= 1.5, "STT of {delay} ms: {ratio:.2} s asked per second spoken");
    assert!(ratio >= 0.9, "STT of {delay} ms: {ratio:.2}: some of it was not asked about");
    assert!(requests <= 2, "STT of {delay} ms: {requests} requests to the model");
}
