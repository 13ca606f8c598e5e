//! Ends of turns that the STT engine judges.

use super::script::{anything_interrupts_the_greeting, plays_out};

/// The caller asks for the opening hours, and pauses.
fn hours(rest: &str) -> String {
    format!(
        r#"
        (greeted)
        +1000 speech
        +600 turn_starts "What"
        +200 partial "What are your hours"
        +200 pause
        {rest}"#
    )
}

#[test]
fn a_response_is_prepared_at_the_possible_end_and_released_at_the_end() {
    plays_out(
        |_| {},
        &hours(
            r#"
        +60 turn_may_end "What are your hours?"
            4060 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +50 reply "Nine to five."
        +10 done
            4120 say #1 turn 1 held "Nine to five."
        +40 turn_ends "What are your hours?"
            4160 release turn 1
        +100 starts #1
        +900 ends #1
            5160 finished turn 1 C: What are your hours? A: Nine to five. words=280 reply=230 commit=280 audio=380
        "#,
        ),
    );
}

#[test]
fn a_turn_that_goes_on_discards_the_response() {
    plays_out(
        |_| {},
        &hours(
            r#"
        +60 turn_may_end "What are your hours?"
            4060 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +200 turn_resumes "What are your hours on"
            4260 cancel turn 1
        +40 speech
        +600 turn_may_end "What are your hours on Sunday?"
        +100 pause
        +300 turn_ends "What are your hours on Sunday?"
            5300 ask turn 2 A: Hello, how can I help? C: What are your hours on Sunday?
        +200 left
            5500 finished turn 2 C: What are your hours on Sunday? words=420 commit=420
            5500 hang up: CallerLeft
        "#,
        ),
    );
}

#[test]
fn sound_in_the_pause_leaves_the_response_to_the_engine() {
    plays_out(
        |_| {},
        &hours(
            r#"
        +60 turn_may_end "What are your hours?"
            4060 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +40 speech
        +200 pause
        +20 turn_ends "What are your hours?"
            4320 release turn 1
        "#,
        ),
    );
}

#[test]
fn without_a_possible_end_the_model_is_asked_at_the_end() {
    plays_out(
        |_| {},
        &hours(
            r#"
        +900 turn_ends "What are your hours?"
            4900 ask turn 1 A: Hello, how can I help? C: What are your hours?
        "#,
        ),
    );
}

#[test]
fn an_engine_that_reports_no_end_does_not_hold_the_caller() {
    plays_out(
        |_| {},
        &hours(
            r#"
            5880 transcribe #0 turn 1 2940..3880
        +2000 tick
        +80 words "What are your hours?"
            6080 ask turn 1 A: Hello, how can I help? C: What are your hours?
        "#,
        ),
    );
}

#[test]
fn an_end_that_arrives_after_the_words_were_asked_for_counts() {
    plays_out(
        |_| {},
        &hours(
            r#"
            5880 transcribe #0 turn 1 2940..3880
        +2000 tick
        +80 turn_ends "What are your hours?"
            6080 ask turn 1 A: Hello, how can I help? C: What are your hours?
        "#,
        ),
    );
}

#[test]
fn an_end_waits_for_the_words_of_an_earlier_part_alone() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +2200 pause
            5200 transcribe #0 turn 1 2940..5080
        +200 speech
        +600 turn_ends "for two"
        +300 stt_fails #0
            6300 ask turn 1 A: Hello, how can I help? C: for two
        "#,
    );
}

#[test]
fn the_end_of_an_earlier_part_does_not_cut_the_caller() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +2200 pause
            5200 transcribe #0 turn 1 2940..5080
        +200 speech
        +600 turn_ends #0 "A table"
        +400 pause
            6400 transcribe #1 turn 1 5340..6280
        +100 words #1 "for two."
            6500 ask turn 1 A: Hello, how can I help? C: A table for two.
        "#,
    );
}

#[test]
fn a_short_answer_to_a_question_waits_no_longer_than_elsewhere() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +400 turn_starts "Yes"
        +100 pause
            3880 transcribe #0 turn 1 2940..3380
        +400 tick
        +20 words "Yes"
            3920 ask turn 1 A: Hello, how can I help? C: Yes
        "#,
    );
}

#[test]
fn words_that_lead_on_are_waited_for_after_the_end() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 turn_starts "My number is"
        +400 turn_may_end "My number is 5 5 5"
        +100 pause
        +100 turn_ends "My number is 5 5 5"
            4200 ask turn 1 A: Hello, how can I help? C: My number is 5 5 5
        +500 speech
            4700 cancel turn 1
        +600 turn_starts "1 2"
        +300 turn_ends "1 2"
            5600 ask turn 2 A: Hello, how can I help? C: My number is 5 5 5 1 2
        "#,
    );
}

#[test]
fn a_pause_before_the_first_words_is_as_with_any_engine() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +100 turn_ends "Hello?"
            3600 ask turn 1 A: Hello, how can I help? C: Hello?
        "#,
    );
}

#[test]
fn the_start_of_a_turn_in_the_pause_leaves_its_end_to_the_engine() {
    plays_out(
        |settings| settings.early_reply = false,
        r#"
        (greeted)
        +1000 speech
        +500 pause
        +100 turn_starts "I would like"
        +900 turn_ends "I would like a table."
            4500 ask turn 1 A: Hello, how can I help? C: I would like a table.
        "#,
    );
}

#[test]
fn sound_that_the_engine_takes_for_no_speech_does_not_hold_the_caller() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 turn_starts "Do you"
        +900 turn_may_end "Do you have rye bread?"
        +300 turn_ends "Do you have rye bread?"
            4800 ask turn 1 A: Hello, how can I help? C: Do you have rye bread?
        +300 reply "We do."
        +10 done
            5110 say #1 turn 1 "We do."
        "#,
    );
}

#[test]
fn a_voice_that_begins_as_the_turn_ends_goes_on_with_it() {
    plays_out(
        |_| {},
        &hours(
            r#"
        +60 turn_may_end "What are your hours?"
            4060 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +200 speech
        +60 turn_ends "What are your hours?"
            4320 cancel turn 1
        +500 turn_starts "on Sunday?"
        +200 pause
        +300 turn_ends "on Sunday?"
            5320 ask turn 2 A: Hello, how can I help? C: What are your hours? on Sunday?
        "#,
        ),
    );
}

#[test]
fn a_turn_over_the_agent_interrupts_by_its_words() {
    plays_out(
        anything_interrupts_the_greeting,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +300 turn_starts "No"
        +100 partial "No, wait please"
            1450 flush
            1450 cancel turn 0
            1450 finished turn 0 (interrupted) audio=50
        +300 pause
        +300 turn_ends "No, wait please."
            2050 ask turn 1 C: No, wait please.
        "#,
    );
}

#[test]
fn a_backchannel_over_the_agent_leaves_it_the_turn() {
    plays_out(
        anything_interrupts_the_greeting,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +300 turn_starts "Uh-huh"
        +50 pause
            1400 transcribe #0 turn 1 990..1280
        +100 turn_ends "Uh-huh."
            1500 resume playback
        "#,
    );
}
