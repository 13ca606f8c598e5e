//! Long utterances are transcribed part by part.

use super::script::plays_out;

/// A caller who has spoken for three seconds and pauses.
fn long_speech(rest: &str) -> String {
    format!(
        r#"
        (greeted)
        +1000 speech
        +3000 pause
            6000 transcribe #0 turn 1 2940..5880
        {rest}"#
    )
}

#[test]
fn a_long_part_with_words_is_not_transcribed_again() {
    plays_out(
        |_| {},
        &long_speech(
            r#"
        +80 words "I would like to book a table for my parents and"
            6080 ask turn 1 A: Hello, how can I help? C: I would like to book a table for my parents and
        +200 speech
            6280 cancel turn 1
        +1500 pause
            7780 transcribe #1 turn 2 6220..7660
        +80 words "my sister on Monday."
            7960 ask turn 2 A: Hello, how can I help? C: I would like to book a table for my parents and my sister on Monday.
        +200 left
            8060 finished turn 2 C: I would like to book a table for my parents and my sister on Monday. words=200 commit=300
            8060 hang up: CallerLeft
            "#,
        ),
    );
}

#[test]
fn a_long_part_that_is_being_transcribed_stands() {
    plays_out(
        |_| {},
        &long_speech(
            r#"
        +200 speech
        +1500 pause
            7700 transcribe #1 turn 1 6140..7580
        +80 words #1 "my sister on Monday."
        +20 words #0 "A table for my parents and"
            7800 ask turn 1 A: Hello, how can I help? C: A table for my parents and my sister on Monday.
            7880 release turn 1
        +100 left
            7900 finished turn 1 C: A table for my parents and my sister on Monday. words=220 commit=300
            7900 hang up: CallerLeft
            "#,
        ),
    );
}

#[test]
fn the_words_of_the_other_parts_are_answered_if_one_fails() {
    plays_out(
        |_| {},
        &long_speech(
            r#"
        +200 speech
        +1500 pause
            7700 transcribe #1 turn 1 6140..7580
        +80 stt_fails #0
        +20 words #1 "My sister on Monday."
            7800 ask turn 1 A: Hello, how can I help? C: My sister on Monday.
            7880 release turn 1
        +100 tick
            "#,
        ),
    );
}

#[test]
fn a_short_part_is_transcribed_with_its_context_after_a_longer_pause() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +20 speech
            3520 cancel turn 1
        +500 pause
        +80 speech
        +300 pause
            4530 transcribe #1 turn 2 2940..4280
        +200 words "A table for two."
            4600 ask turn 2 A: Hello, how can I help? C: A table for two.
            4600 release turn 2
        "#,
    );
}

#[test]
fn a_long_question_that_is_continued_after_the_commit_is_not_transcribed_again() {
    plays_out(
        |_| {},
        &long_speech(
            r#"
        +80 words "I would like to book a table."
            6080 ask turn 1 A: Hello, how can I help? C: I would like to book a table.
            6180 release turn 1
        +400 speech
            6480 flush
            6480 cancel turn 1
        +500 pause
            6980 transcribe #1 turn 2 6420..6860
        +80 words "For two."
            7160 ask turn 2 A: Hello, how can I help? C: I would like to book a table. For two.
        +200 tick
            "#,
        ),
    );
}

/// A caller who has spoken for 1.4 seconds, and goes on so many ms after the words, which are known after 200 ms.
fn phrase(wait: u64, rest: &str) -> String {
    format!(
        r#"
        (greeted)
        +1000 speech
        +1460 pause
            4460 transcribe #0 turn 1 2940..4340
        +80 words "I would like a table and"
            4540 ask turn 1 A: Hello, how can I help? C: I would like a table and
        +{wait} speech
        {rest}"#
    )
}

#[test]
fn a_phrase_before_a_long_pause_is_not_transcribed_again() {
    plays_out(
        |_| {},
        &phrase(
            500,
            r#"
            5040 cancel turn 1
        +1500 pause
            6540 transcribe #1 turn 2 4980..6420
        +80 words "a parking space."
            6720 ask turn 2 A: Hello, how can I help? C: I would like a table and a parking space.
        +200 tick
            "#,
        ),
    );
}

#[test]
fn a_phrase_before_a_short_pause_is_transcribed_with_its_continuation() {
    plays_out(
        |_| {},
        &phrase(
            300,
            r#"
            4840 cancel turn 1
        +1500 pause
            6340 transcribe #1 turn 2 2940..6220
        +80 words "I would like a table and a parking space."
            6520 ask turn 2 A: Hello, how can I help? C: I would like a table and a parking space.
        +200 tick
            "#,
        ),
    );
}
