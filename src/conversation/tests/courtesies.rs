//! What a listener says over the agent, and how long the agent waits for its words.

use std::time::Duration;

use super::script::plays_out;
use crate::conversation::{GreetingBargeIn, Settings};

#[test]
fn courtesies_do_not_stop_the_greeting_or_a_response() {
    for word in [
        "Hello?",
        "Thanks.",
        "Thank you very much.",
        "Great, perfect.",
        "Mhm.",
        "Okay.",
        ".",
        "Hello? Are you there?",
    ] {
        let script = r#"
        (greeting)
        +500 speech
            690 pause playback
        +400 pause
            950 transcribe #0 turn 1 490..830
        +150 words "WORD"
            1100 resume playback
        +1000 ends #0
            2100 finished turn 0 A: Hello, how can I help? audio=50
        +1000 speech
        +1000 pause
            4100 transcribe #1 turn 2 3040..3980
        +80 words "What are your hours?"
            4180 ask turn 2 A: Hello, how can I help? C: What are your hours?
            4280 release turn 2
        +120 reply "We are open from nine to five every day."
        +0 done
            4300 say #1 turn 2 "We are open from nine to five every day."
        +100 starts #1
        +500 speech
            5040 pause playback
        +400 pause
            5300 transcribe #2 turn 3 4840..5180
        +150 words "WORD"
            5450 resume playback
        +1000 ends #1
            6450 finished turn 2 C: What are your hours? A: We are open from nine to five every day. words=200 reply=320 commit=300 audio=420
        "#;
        plays_out(|_| {}, &script.replace("WORD", word));
    }
}

#[test]
fn thanks_answer_a_question() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1400 speech
            1590 pause playback
        +200 played #0 1600 2000
        +200 pause
            1850 transcribe #0 turn 1 1390..1730
        +100 words "Great, thank you."
            1950 flush
            1950 cancel turn 0
            1950 finished turn 0 A: Hello, how can I (interrupted) audio=50
            1950 ask turn 1 A: Hello, how can I C: Great, thank you.
        "#,
    );
}

#[test]
fn hello_answers_are_you_still_there() {
    plays_out(
        |_| {},
        r#"
        (greeted)
            9000 say #1 turn 1 StillThere
        +7050 starts #1
        +400 speech
            9590 pause playback
        +200 played #1 600 800
        +200 pause
            9850 transcribe #0 turn 2 9390..9730
        +100 words "Hello?"
            9950 flush
            9950 cancel turn 1
            9950 finished turn 1 A: Are you (interrupted) audio=50
            9950 ask turn 2 A: Hello, how can I help? A: Are you C: Hello?
        "#,
    );
}

/// The agent's greeting, and speech over it for two seconds.
const LONG_SPEECH: &str = r#"
        (greeting)
        +500 speech
            690 pause playback
        +2000 pause
            2550 transcribe #0 turn 1 490..2430
        +150 words "Hello? Hello? Are you there?"
            2700 resume playback
        +1000 ends #0
            3700 finished turn 0 A: Hello, how can I help? audio=50
        "#;

#[test]
fn only_words_interrupt_the_greeting() {
    plays_out(|_| {}, LONG_SPEECH);
}

#[test]
fn a_protected_greeting_is_heard_to_its_end() {
    plays_out(
        |settings| settings.greeting_barge_in = GreetingBargeIn::Never,
        r#"
        (greeting)
        +500 speech
        +1000 pause
        +200 speech
        +1000 ends #0
            2750 finished turn 0 A: Hello, how can I help? audio=50
        +500 pause
            3250 transcribe #0 turn 1 2750..3130
        +80 words "A table for two."
            3330 ask turn 1 A: Hello, how can I help? C: A table for two.
            3430 release turn 1
        +200 reply "Fine. When would that be?"
            3530 say #1 turn 1 "Fine."
        +50 starts #1
        +300 speech
            4020 pause playback
        +200 tick
        "#,
    );
}

#[test]
fn playback_waits_as_long_as_the_recogniser_of_the_call_takes() {
    let slow = r#"
        (asks)
        +880 words "What are your hours?"
            4880 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +20 reply "We are open from nine to five every day. And on Sundays."
            4900 say #1 turn 1 "We are open from nine to five every day."
        +50 starts #1
        +500 speech
            5590 pause playback
        +400 pause
            5850 transcribe #1 turn 2 5390..5730
        +880 words "No, on Monday."
            6730 flush
            6730 cancel turn 1
            6730 finished turn 1 C: What are your hours? (interrupted) words=1000 reply=1020 commit=1000 audio=1070
            6730 ask turn 2 A: Hello, how can I help? C: What are your hours? C: No, on Monday.
            6730 release turn 2
        "#;
    plays_out(|_| {}, slow);
}

#[test]
fn playback_does_not_wait_long_for_the_words_of_a_cough() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +700 stt_fails
        +500 ends #0
            2050 finished turn 0 A: Hello, how can I help? audio=50
        "#,
    );
}

#[test]
fn a_call_without_any_words_yet_waits_the_longest() {
    let longest = |settings: &mut Settings| settings.barge_in_words_max_ms = Duration::from_millis(1_200);
    plays_out(
        longest,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +400 pause
            950 transcribe #0 turn 1 490..830
            2030 resume playback
        +1200 tick
        "#,
    );
}
