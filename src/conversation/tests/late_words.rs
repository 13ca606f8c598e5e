//! Speech over the agent, with a recogniser that is slower than a pause may last.

use super::script::{plays_out, waits_shortly_for_words};

#[test]
fn late_words_without_a_meaning_change_nothing() {
    for word in [r#"words "Uh-huh.""#, r#"words """#, "stt_fails"] {
        let script = r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
            2130 resume playback
        +700 LATE
        +1000 ends #0
            3350 finished turn 0 A: Hello, how can I help? audio=50
            10350 say #1 turn 2 StillThere
        +7001 tick
        "#;
        plays_out(waits_shortly_for_words, &script.replace("LATE", word));
    }
}

#[test]
fn meaningful_late_words_are_a_turn_after_the_response() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
            2130 resume playback
        +1000 ends #0
        +300 words "A table for two."
            2950 finished turn 0 A: Hello, how can I help? audio=50
            2950 ask turn 1 A: Hello, how can I help? C: A table for two.
            2950 release turn 1
        +500 left
            3450 finished turn 1 C: A table for two. words=1420 commit=1420
            3450 hang up: CallerLeft
        "#,
    );
}

#[test]
fn late_words_without_a_meaning_are_no_turn_after_the_response_either() {
    for word in [r#"words "Uh-huh.""#, r#"words """#, "stt_fails"] {
        let script = r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
            2130 resume playback
        +1000 ends #0
        +300 LATE
            2950 finished turn 0 A: Hello, how can I help? audio=50
            9950 say #1 turn 2 StillThere
        +7001 tick
        "#;
        plays_out(waits_shortly_for_words, &script.replace("LATE", word));
    }
}

#[test]
fn an_agent_that_hangs_up_waits_for_late_words_and_hangs_up_if_they_mean_nothing() {
    let script = |end: &str| {
        r#"
        (asks)
        +80 words "Thank you."
            4080 ask turn 1 A: Hello, how can I help? C: Thank you.
            4180 release turn 1
        +200 reply "Goodbye then!"
        +0 hangup
        +0 done
            4280 say #1 turn 1 "Goodbye then!"
        +50 starts #1
        +100 speech
            4570 pause playback
        +400 pause
            4830 transcribe #1 turn 2 4370..4710
            5310 resume playback
        +700 ends #1
        "#
        .to_owned()
            + end
    };
    plays_out(
        waits_shortly_for_words,
        &script(
            r#"
        +400 words "Okay."
            5930 finished turn 1 C: Thank you. A: Goodbye then! words=200 reply=400 commit=300 audio=450
            5930 hang up: AgentHungUp
            "#,
        ),
    );
    plays_out(
        waits_shortly_for_words,
        &script(
            r#"
        +400 words "No, wait."
            5930 finished turn 1 C: Thank you. A: Goodbye then! words=200 reply=400 commit=300 audio=450
            5930 ask turn 2 A: Hello, how can I help? C: Thank you. A: Goodbye then! C: No, wait.
            5930 release turn 2
            "#,
        ),
    );
}

#[test]
fn more_speech_is_heard_together_with_what_still_has_no_words() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +600 speech
            1590 pause playback
        +400 pause
            1850 cancel turn 1
            1850 transcribe #1 turn 2 490..1730
        +10 words #0 "Stop."
            2330 resume playback
        +800 words #1 "Stop. Wait."
            2660 flush
            2660 cancel turn 0
            2660 finished turn 0 (interrupted) audio=50
            2660 ask turn 2 C: Stop. Wait.
            2660 release turn 2
        "#,
    );
}

#[test]
fn late_words_interrupt_while_the_caller_speaks_again() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +600 speech
        +50 words "Stop."
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 (interrupted) audio=50
            1500 cancel turn 1
        +900 pause
            2400 transcribe #1 turn 2 490..2280
        "#,
    );
}

#[test]
fn late_words_that_mean_nothing_leave_new_speech_alone() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +600 speech
        +50 words "Okay."
            1590 pause playback
        +300 pause
            1800 transcribe #1 turn 2 490..1680
        +100 words "Okay, but wait."
            1900 flush
            1900 cancel turn 0
            1900 finished turn 0 (interrupted) audio=50
            1900 ask turn 2 C: Okay, but wait.
        "#,
    );
}

#[test]
fn a_short_sound_does_not_end_the_wait_for_late_words() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +600 speech
        +130 pause
        +20 words "Stop."
            1600 flush
            1600 cancel turn 0
            1600 finished turn 0 (interrupted) audio=50
            1600 ask turn 1 C: Stop.
            1600 release turn 1
        "#,
    );
}

#[test]
fn speech_that_outlasts_the_response_is_heard_from_its_beginning() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +300 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +500 ends #0
        +200 speech
            1550 finished turn 0 A: Hello, how can I help? audio=50
            1550 cancel turn 1
        +10 words #0 "A table."
        +900 pause
            2460 transcribe #1 turn 2 490..2340
        +100 words "A table for two."
            2560 ask turn 2 A: Hello, how can I help? C: A table for two.
        "#,
    );
}

#[test]
fn yes_before_the_question_does_not_answer_it() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +500 speech
            690 pause playback
        +200 played #0 700 2000
        +100 pause
            850 transcribe #0 turn 1 490..730
            1330 resume playback
        +1000 played #0 1200 2000
        +100 words "Yeah."
        +700 ends #0
            2650 finished turn 0 A: Hello, how can I help? audio=50
        "#,
    );
}
