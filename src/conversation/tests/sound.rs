//! Utterances that sound unfinished.

use super::script::plays_out;
use crate::conversation::Settings;

fn listens(settings: &mut Settings) {
    settings.end_of_turn_model = true;
}

/// The recogniser puts a full stop behind everything.
#[test]
fn an_utterance_that_sounds_unfinished_is_waited_for() {
    plays_out(
        listens,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +80 words "I would like to order."
            4580 ask turn 1 A: Hello, how can I help? C: I would like to order.
        +50 unfinished
        +500 speech
            5130 cancel turn 1
        +1000 pause
            6130 judge turn 2 2940..6010
            6130 transcribe #1 turn 2 5070..6010
        +80 words "Two loaves of rye bread."
            6310 ask turn 2 A: Hello, how can I help? C: I would like to order. Two loaves of rye bread.
        +1000 tick
        "#,
    );
}

/// Its words are known after the verdict.
#[test]
fn words_do_not_shorten_the_wait_for_an_utterance_that_sounds_unfinished() {
    plays_out(
        listens,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +50 unfinished
        +80 words "I would like to order."
            4630 ask turn 1 A: Hello, how can I help? C: I would like to order.
            5580 release turn 1
        +1500 tick
        "#,
    );
}

/// A "yes" is answered as quickly as ever.
#[test]
fn short_utterances_are_not_judged() {
    plays_out(
        listens,
        r#"
        (greeted)
        +1000 speech
        +600 pause
            3600 transcribe #0 turn 1 2940..3480
        +80 words "Yes."
            3680 ask turn 1 A: Hello, how can I help? C: Yes.
            3780 release turn 1
        +1000 tick
        "#,
    );
}

/// The caller goes on before the verdict, and pauses again.
#[test]
fn a_verdict_on_an_earlier_pause_does_not_count() {
    plays_out(
        listens,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +80 words "I would like to order."
            4580 ask turn 1 A: Hello, how can I help? C: I would like to order.
        +50 speech
            4630 cancel turn 1
        +20 unfinished
        +900 pause
            5550 judge turn 2 2940..5430
            5550 transcribe #1 turn 2 2940..5430
        +80 words "I would like to order rye bread."
            5730 ask turn 2 A: Hello, how can I help? C: I would like to order rye bread.
        +1000 tick
        "#,
    );
}

fn judges_pitch(settings: &mut Settings) {
    settings.commit_level_ms = Settings::default().commit_level_ms;
}

/// The recogniser puts a full stop behind everything.
#[test]
fn a_sentence_whose_pitch_has_not_fallen_is_waited_for() {
    plays_out(
        judges_pitch,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +80 words "I would like to order."
            4580 ask turn 1 A: Hello, how can I help? C: I would like to order.
        +10 level
            5080 release turn 1
        +1000 tick
        "#,
    );
}

/// Questions rise at their end.
#[test]
fn a_question_is_answered_in_any_pitch() {
    plays_out(
        judges_pitch,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +10 level
        +70 words "Are you open today?"
            4580 ask turn 1 A: Hello, how can I help? C: Are you open today?
            4680 release turn 1
        +1000 tick
        "#,
    );
}

/// Words that trail off wait as long as ever.
#[test]
fn a_level_pitch_shortens_no_wait() {
    plays_out(
        judges_pitch,
        r#"
        (greeted)
        +1000 speech
        +1500 pause
            4500 judge turn 1 2940..4380
            4500 transcribe #0 turn 1 2940..4380
        +10 level
        +70 words "I would like to order and"
            4580 ask turn 1 A: Hello, how can I help? C: I would like to order and
            5580 release turn 1
        +2000 tick
        "#,
    );
}
