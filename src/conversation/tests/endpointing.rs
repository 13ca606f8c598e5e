//! When the caller's turn is over.

use std::time::Duration;

use super::LEVEL;
use super::script::{plays_out, settings};
use crate::conversation::*;

#[test]
fn a_question_is_answered() {
    plays_out(
        |_| {},
        r#"
        +0 answer
            0 say #0 turn 0 Greeting
        +100 starts #0
        +1900 ends #0
            2000 finished turn 0 A: Hello, how can I help? audio=100
        +1000 speech
        +1000 pause
            4000 transcribe #0 turn 1 2940..3880
        +80 words "What are your hours?"
            4080 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +50 reply "We are open from nine to five, Mon"
            4130 say #1 turn 1 held "We are open from nine to five,"
        +50 reply "day to Friday. Anything"
            4180 release turn 1
            4180 say #2 turn 1 "Monday to Friday."
        +20 reply " else?"
        +10 done
            4210 say #3 turn 1 "Anything else?"
        +100 starts #1
        +2000 ends #1
        +10 starts #2
        +1000 ends #2
        +10 starts #3
        +1000 ends #3
            8330 finished turn 1 C: What are your hours? A: We are open from nine to five, Monday to Friday. Anything else? words=200 reply=250 commit=300 audio=430
        "#,
    );
}

#[test]
fn words_that_trail_off_are_waited_for() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "I would like to book and"
            4080 ask turn 1 A: Hello, how can I help? C: I would like to book and
            5080 release turn 1
        +2000 left
            6080 finished turn 1 C: I would like to book and words=200 commit=1200
            6080 hang up: CallerLeft
        "#,
    );
}

#[test]
fn words_of_unclear_end_wait_the_default() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
            4380 release turn 1
            5880 say #1 turn 1 Filler
        +2000 left
            6080 finished turn 1 C: what are your hours words=200 commit=500
            6080 hang up: CallerLeft
        "#,
    );
}

#[test]
fn speech_before_the_commit_takes_back_and_joins() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +60 words "I would like"
            4060 ask turn 1 A: Hello, how can I help? C: I would like
        +50 reply "Sure, I can do this. What"
            4110 say #1 turn 1 held "Sure, I can do this."
        +100 speech
            4210 cancel turn 1
        +10 reply #1 " would you like?"
        +10 done #1
        +900 pause
            5130 transcribe #1 turn 2 2940..5010
        +60 words "I would like a table for two."
            5310 ask turn 2 A: Hello, how can I help? C: I would like a table for two.
        +400 left
            5590 finished turn 2 C: I would like a table for two. words=180 commit=300
            5590 hang up: CallerLeft
        "#,
    );
}

#[test]
fn speech_before_the_transcript_joins_too() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +100 speech
            4100 cancel turn 1
        +10 words #0 "I would like"
        +900 pause
            5010 transcribe #1 turn 2 2940..4890
        +60 words "I would like a table for two."
            5070 ask turn 2 A: Hello, how can I help? C: I would like a table for two.
            5190 release turn 2
        +400 left
            5470 finished turn 2 C: I would like a table for two. words=180 commit=300
            5470 hang up: CallerLeft
        "#,
    );
}

#[test]
fn late_words_commit_at_once() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +900 words "my number is one two"
            4900 ask turn 1 A: Hello, how can I help? C: my number is one two
        +10 reply "Yes. "
        +10 left
            4920 finished turn 1 C: my number is one two words=1020 reply=1030 commit=1020
            4920 hang up: CallerLeft
        "#,
    );
}

#[test]
fn without_early_reply_words_are_asked_for_at_the_commit() {
    plays_out(
        |settings| settings.early_reply = false,
        r#"
        (greeted)
        +1000 speech
        +1000 pause
        +200 speech
        +1000 pause
            5580 transcribe #0 turn 1 2940..5080
        +500 words "What are your hours?"
            5700 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +300 reply "Nine to five."
        +10 done
            6010 say #1 turn 1 "Nine to five."
        +50 starts #1
        +900 ends #1
            6960 finished turn 1 C: What are your hours? A: Nine to five. words=620 reply=920 commit=620 audio=980
        "#,
    );
}

#[test]
fn a_caller_who_continues_before_the_response_is_heard_had_not_finished() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +50 reply "Nine to five. Bye."
            4130 say #1 turn 1 held "Nine to five."
        +0 history
            4130 history A: Hello, how can I help?
            4180 release turn 1
        +200 speech
            4330 flush
            4330 cancel turn 1
        +0 history
            4330 history A: Hello, how can I help?
        +1000 pause
            5330 transcribe #1 turn 2 2940..5210
        +80 words "What are your hours on Monday?"
            5510 ask turn 2 A: Hello, how can I help? C: What are your hours on Monday?
        +300 reply "None."
        +10 done
            5720 say #2 turn 2 "None."
        +100 starts #2
        +400 ends #2
            6220 finished turn 2 C: What are your hours on Monday? A: None. words=200 reply=500 commit=300 audio=610
        +0 tick
        "#,
    );
}

#[test]
fn speech_that_began_before_the_response_was_heard_continues_the_utterance() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +50 reply "Nine to five. Bye."
            4130 say #1 turn 1 held "Nine to five."
            4180 release turn 1
        +60 starts #1
        +30 speech 60
            4220 flush
            4220 cancel turn 1
        +1000 pause
            5220 transcribe #1 turn 2 2940..5100
        "#,
    );
}

#[test]
fn a_cough_is_ignored() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +200 pause
            3200 transcribe #0 turn 1 2940..3080
        +80 words ""
            10580 say #1 turn 2 StillThere
        +7900 left
            11180 finished turn 2
            11180 hang up: CallerLeft
        "#,
    );
}

#[test]
fn longer_speech_without_words_was_not_caught() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 pause
            3900 transcribe #0 turn 1 2940..3780
        +80 words " "
            4280 say #1 turn 1 DidNotCatch
        +400 starts #1
        +600 ends #1
            4980 finished turn 1 A: Pardon? words=200 commit=500 audio=600
        +0 left
            4980 hang up: CallerLeft
        "#,
    );
}

#[test]
fn speech_before_the_answer_or_without_its_beginning_means_nothing() {
    plays_out(
        |_| {},
        r#"
        +0 speech
        +100 pause
        +0 reply #0 "No."
        +0 answer
            100 say #0 turn 0 Greeting
        +0 answer
        +2000 ends #0
            2100 finished turn 0 A: Hello, how can I help?
        +100 pause
        +100 words #0 "What?"
        +0 reply #0 "No."
        +100 speech
        +50 speech
        +600 pause
            3050 transcribe #0 turn 1 2340..2930
        +50 pause
        +100 words #7 "What?"
        +100 left
            3300 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_caller_who_continues_before_the_did_not_catch_prompt_is_heard_joins_too() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words ""
            4380 say #1 turn 1 DidNotCatch
        +350 speech
            4430 flush
            4430 cancel turn 1
        +500 pause
            4930 transcribe #1 turn 2 2940..4810
        +80 words "A table, please."
            5010 ask turn 2 A: Hello, how can I help? C: A table, please.
            5110 release turn 2
        +300 left
            5310 finished turn 2 C: A table, please. words=200 commit=300
            5310 hang up: CallerLeft
        "#,
    );
}

/// A streaming engine hears the caller from the beginning.
#[test]
fn recognition_begins_with_the_callers_speech() {
    let at = |ms| At(Duration::from_millis(ms));
    let mut conversation = Conversation::new(settings());
    let mut commands = |ms, input| {
        conversation.handle(at(ms), input);
        let outputs = std::iter::from_fn(|| conversation.poll());
        let commands = outputs.filter_map(|output| match output {
            Output::Pipeline(command) => Some(command),
            _ => None,
        });
        commands.collect::<Vec<_>>()
    };
    commands(0, Input::Connected);
    commands(900, Input::Playback { speech: SpeechId(0), event: PlaybackEvent::Ended });
    let started = CallerSpeech::Started { at: at(940), level: LEVEL };
    let (utterance, turn) = (UtteranceId(0), TurnId(1));
    let recognise = Command::Recognise { utterance, turn, from: at(940) };
    assert_eq!(commands(1_000, Input::CallerSpeech(started)), [recognise]);
    let paused = CallerSpeech::Paused { at: at(1_980), level: LEVEL };
    let ends = Command::EndUtterance { utterance, at: at(1_980) };
    assert_eq!(commands(2_100, Input::CallerSpeech(paused)), [ends]);
}

#[test]
fn a_short_answer_to_a_question_is_committed_soon() {
    let script = |reply: &str, commit: &str| {
        r#"
        (asks)
        +80 words "A table, please."
            4080 ask turn 1 A: Hello, how can I help? C: A table, please.
            4180 release turn 1
        +300 reply "REPLY"
        +0 done
            4380 say #1 turn 1 "REPLY"
        +1000 ends #1
            5380 finished turn 1 C: A table, please. A: REPLY words=200 reply=500 commit=300
        +1000 speech
        +500 pause
            6880 transcribe #1 turn 2 6320..6760
        +80 words "yes please"
            6960 ask turn 2 A: Hello, how can I help? C: A table, please. A: REPLY C: yes please
            COMMIT release turn 2
        +500 tick
        "#
        .replace("REPLY", reply)
        .replace("COMMIT", commit)
    };
    plays_out(|_| {}, &script("For today?", "7060"));
    plays_out(|_| {}, &script("We have one.", "7260"));
}
