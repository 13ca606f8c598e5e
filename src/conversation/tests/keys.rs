//! The caller presses keys.

use super::script::plays_out;
use crate::conversation::{DtmfMode, GreetingBargeIn};

#[test]
fn keys_with_short_pauses_are_one_entry_and_get_a_response() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +1900 key 2
            6900 ask turn 1 A: Hello, how can I help? K: [pressed 1 2]
        +2100 reply "Thank you."
        +0 done
            7000 say #1 turn 1 "Thank you."
        +100 starts #1
        +900 ends #1
            8000 finished turn 1 K: [pressed 1 2] A: Thank you. reply=2100 commit=2000 audio=2200
        +10 tick
        "#,
    );
}

#[test]
fn the_pound_key_completes_an_entry() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 4
        +200 key #
            3200 ask turn 1 A: Hello, how can I help? K: [pressed 4 #]
        +10 tick
        "#,
    );
}

#[test]
fn masked_keys_are_counted() {
    plays_out(
        |settings| settings.dtmf = DtmfMode::Masked,
        r#"
        (greeted)
        +1000 key 4
        +200 key 2
        +200 key #
            3400 ask turn 1 A: Hello, how can I help? K: [pressed 3 keys]
        +100 left
            3500 finished turn 1 K: [pressed 3 keys] commit=0
            3500 hang up: CallerLeft
        "#,
    );
}

#[test]
fn ignored_keys_have_no_effect() {
    plays_out(
        |settings| settings.dtmf = DtmfMode::Ignored,
        r#"
        (greeted)
        +1000 key 4
        +200 key #
            9000 say #1 turn 1 StillThere
        +5900 tick
        "#,
    );
}

#[test]
fn a_key_is_a_sign_of_life() {
    plays_out(
        |settings| settings.silence_prompts = 1,
        r#"
        (greeted)
            9000 say #1 turn 1 StillThere
        +7900 ends #1
            9900 finished turn 1 A: Are you there?
        +6500 key *
            18400 ask turn 2 A: Hello, how can I help? A: Are you there? K: [pressed *]
        +2100 reply "Yes?"
        +0 done
            18500 say #2 turn 2 "Yes?"
        +500 ends #2
            19000 finished turn 2 K: [pressed *] A: Yes? reply=2100 commit=2000
            26000 say #3 turn 3 StillThere
        +7100 tick
        "#,
    );
}

#[test]
fn the_agent_stops_for_an_entry() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 key 1
        +200 key #
            1250 flush
            1250 cancel turn 0
            1250 finished turn 0 (interrupted) audio=50
            1250 ask turn 1 K: [pressed 1 #]
        +10 tick
        "#,
    );
}

#[test]
fn keys_do_not_interrupt_a_protected_greeting() {
    plays_out(
        |settings| settings.greeting_barge_in = GreetingBargeIn::Never,
        r#"
        (greeting)
        +500 key #
        +1500 ends #0
            2050 finished turn 0 A: Hello, how can I help? audio=50
            2050 ask turn 1 A: Hello, how can I help? K: [pressed #]
        "#,
    );
}

#[test]
fn without_barge_in_an_entry_waits_for_the_end_of_the_agents_turn() {
    plays_out(
        |settings| settings.barge_in = false,
        r#"
        (greeting)
        +1000 key 1
        +200 key #
        +1000 key 2
        +100 key #
        +1000 ends #0
            3350 finished turn 0 A: Hello, how can I help? audio=50
            3350 ask turn 1 A: Hello, how can I help? K: [pressed 1 # 2 #]
        +10 tick
        "#,
    );
}

#[test]
fn keys_after_words_are_answered_together_with_them() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +100 words "My number is"
            4100 ask turn 1 A: Hello, how can I help? C: My number is
        +100 key 1
        +1000 key 7
        +1000 key #
            6200 cancel turn 1
            6500 ask turn 2 A: Hello, how can I help? K: [pressed 1 7 #] C: My number is
        +310 tick
        "#,
    );
}

#[test]
fn speech_completes_an_entry() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +500 speech
        +1000 pause
            4500 transcribe #0 turn 1 3440..4380
        +80 words "And two."
            4580 ask turn 1 A: Hello, how can I help? K: [pressed 1] C: And two.
        +10 tick
        "#,
    );
}

#[test]
fn a_caller_who_speaks_before_the_response_to_keys_is_answered_anew() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +100 key #
            3100 ask turn 1 A: Hello, how can I help? K: [pressed 1 #]
        +500 speech
            3600 flush
            3600 cancel turn 1
        +1000 pause
            4600 transcribe #0 turn 2 3540..4480
        +80 words "Sales, please."
            4780 ask turn 2 A: Hello, how can I help? K: [pressed 1 #] C: Sales, please.
        +110 tick
        "#,
    );
}

#[test]
fn keys_before_the_end_of_the_call_are_on_record() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +100 left
            3100 finished turn 1 K: [pressed 1]
            3100 hang up: CallerLeft
        "#,
    );
}

#[test]
fn keys_count_against_the_limit_of_turns() {
    plays_out(
        |settings| settings.max_turns = 1,
        r#"
        (greeted)
        +1000 key #
            3000 ask turn 1 A: Hello, how can I help? K: [pressed #]
        +100 reply "Thank you."
        +0 done
            3100 say #1 turn 1 "Thank you."
        +900 ends #1
            4000 finished turn 1 K: [pressed #] A: Thank you. reply=100 commit=0
            4000 say #2 turn 2 TurnLimitGoodbye
        +10 tick
        "#,
    );
}

#[test]
fn keys_beside_a_sound_without_words_get_a_response() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +500 speech
        +200 pause
            3700 transcribe #0 turn 1 3440..3580
        +80 words ""
            4080 ask turn 2 A: Hello, how can I help? K: [pressed 1]
        +400 tick
        "#,
    );
}

#[test]
fn keys_get_a_response_where_the_words_beside_them_are_not_understood() {
    for words in ["words \"\"", "stt_fails"] {
        let script = r#"
        (greeted)
        +1000 key 1
        +500 speech
        +900 pause
            4400 transcribe #0 turn 1 3440..4280
        +80 UNKNOWN
            4780 ask turn 2 A: Hello, how can I help? K: [pressed 1]
        +400 tick
        "#;
        plays_out(|_| {}, &script.replace("UNKNOWN", words));
    }
}

#[test]
fn keys_and_words_are_one_turn() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +500 speech
        +1000 pause
            4500 transcribe #0 turn 1 3440..4380
        +80 words "And two."
            4580 ask turn 1 A: Hello, how can I help? K: [pressed 1] C: And two.
        +50 left
            4630 finished turn 1 C: And two. K: [pressed 1] words=200
            4630 hang up: CallerLeft
        "#,
    );
}

#[test]
fn keys_stay_with_an_utterance_that_is_continued() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 key 1
        +500 speech
        +1000 pause
            4500 transcribe #0 turn 1 3440..4380
        +80 words "And two."
            4580 ask turn 1 A: Hello, how can I help? K: [pressed 1] C: And two.
            4680 release turn 1
        +600 speech
            5180 flush
            5180 cancel turn 1
        +500 pause
            5680 transcribe #1 turn 2 3440..5560
        +80 words "And two and three."
            5860 ask turn 2 A: Hello, how can I help? K: [pressed 1] C: And two and three.
        +110 tick
        "#,
    );
}

/// A caller types a PIN of three digits where two are collected.
#[test]
fn keys_that_follow_a_masked_entry_are_masked() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool digits collect=2 masked
        +0 done
            4180 release turn 1
        +1000 key 4
        +500 key 5
            5600 keep keypad-0 45
            5600 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"keypad-0","ended_by":"length","masked":true}
        +500 key 6
        +10 reply "Thank you."
        +0 done
            6110 say #1 turn 1 "Thank you."
        +100 starts #1
        +900 ends #1
            7110 finished turn 1 C: Do you have rye bread? A: Thank you. T: digits succeeded 1420 words=200 reply=2230 commit=300 audio=2330
            8100 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"keypad-0","ended_by":"length","masked":true} A: Thank you. K: [pressed 1 key]
        +1000 tick
        "#,
    );
}
