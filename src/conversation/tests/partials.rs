//! Words that are recognised as they are spoken.

use super::script::plays_out;

#[test]
fn a_response_is_prepared_at_the_pause_and_stands_if_the_final_words_agree() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 partial "what are"
        +340 partial "What are your hours?"
        +60 pause
            4000 transcribe #0 turn 1 2940..3880
            4000 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +60 words "What are your hours."
        +50 reply "Nine to five."
        +10 done
            4120 say #1 turn 1 held "Nine to five."
            4180 release turn 1
        +100 starts #1
        +900 ends #1
            5120 finished turn 1 C: What are your hours. A: Nine to five. words=180 reply=230 commit=300 audio=340
        "#,
    );
}

#[test]
fn final_words_that_differ_are_asked_about_instead() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "What are"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
            4000 ask turn 1 A: Hello, how can I help? C: What are
        +60 words "What are your hours?"
            4060 cancel turn 1
            4180 ask turn 2 A: Hello, how can I help? C: What are your hours?
        +200 reply #1 "Mine?"
        +40 left
            4300 finished turn 2 C: What are your hours? words=180 commit=300
            4300 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_turn_costs_two_requests_at_most() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "I would like"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "I would like"
            4060 ask turn 1 A: Hello, how can I help? C: I would like
        +100 speech
            4160 cancel turn 1
        +900 partial "I would like a table"
        +100 pause
            5160 transcribe #1 turn 2 2940..5040
        +60 words "I would like a table"
        +100 speech
            5320 cancel turn 2
        +900 partial "for two."
        +100 pause
            6320 transcribe #2 turn 3 5260..6200
        +60 words "for two."
            6500 ask turn 3 A: Hello, how can I help? C: I would like a table for two.
        +200 left
            6580 finished turn 3 C: I would like a table for two. words=180 commit=300
            6580 hang up: CallerLeft
        "#,
    );
}

#[test]
fn no_response_is_prepared_for_words_that_lead_on() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "I want to book and"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +100 speech
            4100 cancel turn 1
        "#,
    );
}

/// The agent answers, and the caller speaks over it.
fn over_the_agent(rest: &str) -> String {
    format!(
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        {rest}"#
    )
}

#[test]
fn meaningful_words_interrupt_while_they_are_spoken() {
    plays_out(
        |_| {},
        &over_the_agent(
            r#"
        +250 partial "Excuse"
        +150 partial "Excuse me"
            1450 flush
            1450 cancel turn 0
            1450 finished turn 0 (interrupted) audio=50
        +700 partial "Excuse me, when do you open?"
        +50 pause
            2200 transcribe #0 turn 1 990..2080
            2200 ask turn 1 C: Excuse me, when do you open?
        +50 words "Excuse me, when do you open?"
            2380 release turn 1
        +200 left
            2450 finished turn 1 C: Excuse me, when do you open? words=170 commit=300
            2450 hang up: CallerLeft
            "#,
        ),
    );
}

#[test]
fn a_listeners_words_do_not_interrupt_however_long_they_last() {
    plays_out(
        |_| {},
        &over_the_agent(
            r#"
        +300 partial "Okay,"
        +400 partial "Okay, yeah,"
        +400 partial "Okay, yeah, right."
        +400 pause
            2550 transcribe #0 turn 1 990..2430
        +50 words "Okay, yeah, right."
            2600 resume playback
        +500 ends #0
            3100 finished turn 0 A: Hello, how can I help? audio=50
            "#,
        ),
    );
}

#[test]
fn partial_words_after_a_listeners_ones_interrupt() {
    plays_out(
        |_| {},
        &over_the_agent(
            r#"
        +900 partial "Okay, yeah,"
        +500 partial "Okay, yeah, but when?"
            2450 flush
            2450 cancel turn 0
            2450 finished turn 0 (interrupted) audio=50
            "#,
        ),
    );
}

#[test]
fn partial_words_before_the_response_is_heard_are_joined_to_the_question() {
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::ZERO,
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
            4180 release turn 1
        +2000 speech
            6220 pause playback
        +400 partial "Hello? Are you"
        +400 partial "Hello? Are you there? On Monday"
            6880 flush
            6880 cancel turn 1
        +300 partial "Hello? Are you there? On Monday, please."
        +100 pause
            7280 transcribe #1 turn 2 6020..7160
        +60 words "Hello? Are you there? On Monday, please."
            7460 ask turn 2 A: Hello, how can I help? C: A table for two. Hello? Are you there? On Monday, please.
        +200 left
            7540 finished turn 2 C: A table for two. Hello? Are you there? On Monday, please. words=180 commit=300
            7540 hang up: CallerLeft
        "#,
    );
}

#[test]
fn partial_words_of_another_utterance_change_nothing() {
    plays_out(
        |_| {},
        &over_the_agent(
            r#"
        +300 partial #7 "Stop it now, please."
        +100 pause
            1450 transcribe #0 turn 1 990..1330
        +50 words "Mhm."
            1500 resume playback
        +50 partial "Stop it now, please."
        +500 ends #0
            2050 finished turn 0 A: Hello, how can I help? audio=50
            "#,
        ),
    );
}

#[test]
fn a_response_to_words_that_are_not_confirmed_is_discarded() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "What are your hours?"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
            4000 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +60 reply "Nine to five."
        +0 done
            4060 say #1 turn 1 held "Nine to five."
        +40 stt_fails
            4100 cancel turn 1
            4180 say #2 turn 2 DidNotCatch
        +200 ends #2
            4300 finished turn 2 A: Pardon? commit=300
        "#,
    );
}

#[test]
fn no_response_is_prepared_for_marks_without_words() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "♪"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "♪"
            4380 say #1 turn 1 DidNotCatch
        +500 tick
        "#,
    );
}
