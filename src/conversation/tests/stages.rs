//! The stages of a turn in its record.

use std::time::Duration;

use super::LEVEL;
use crate::conversation::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The outputs that follow an input.
fn outputs(conversation: &mut Conversation, at: u64, input: Input) -> Vec<Output> {
    conversation.handle(At(ms(at)), input);
    std::iter::from_fn(|| conversation.poll()).collect()
}

#[test]
fn a_record_has_the_time_of_every_stage() {
    let mut conversation = Conversation::new(Settings::default());
    let (utterance, turn, speech) = (UtteranceId(0), TurnId(1), SpeechId(1));
    let response = |event| Input::Response { turn, event };
    let playback = |event| Input::Playback { speech, event };
    let inputs = [
        (0, Input::Connected),
        (900, Input::Playback { speech: SpeechId(0), event: PlaybackEvent::Ended }),
        (1_060, Input::CallerSpeech(CallerSpeech::Started { at: At(ms(1_000)), level: LEVEL })),
        (2_120, Input::CallerSpeech(CallerSpeech::Paused { at: At(ms(2_000)), level: LEVEL })),
        (2_240, Input::Recognition { utterance, event: Recognition::Final { text: "Are you open?".into() } }),
        (2_300, Input::Tick),
        (2_390, response(ResponseEvent::Text("We are open.".into()))),
        (2_450, response(ResponseEvent::Text(" Until".into()))),
        (2_500, response(ResponseEvent::Finished)),
        (2_540, playback(PlaybackEvent::Synthesised)),
        (2_545, Input::Playback { speech: SpeechId(2), event: PlaybackEvent::Synthesised }),
        (2_600, playback(PlaybackEvent::Started)),
        (3_000, Input::CallerLeft),
    ];
    let mut records = Vec::new();
    for (at, input) in inputs {
        records.extend(outputs(&mut conversation, at, input).into_iter().filter_map(|output| match output {
            Output::TurnFinished(record) if record.turn == turn => Some(record.latency),
            _ => None,
        }));
    }
    let stages = Latency {
        pause: Some(ms(120)),
        transcript: Some(ms(240)),
        reply: Some(ms(390)),
        clause: Some(ms(450)),
        speech: Some(ms(540)),
        commit: Some(ms(300)),
        audio: Some(ms(600)),
    };
    assert_eq!(records, [stages]);
}
