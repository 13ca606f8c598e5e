//! The caller speaks before any of the response is heard.

use super::script::{play, plays_out, settings};
use crate::conversation::Conversation;

#[test]
fn hello_does_not_restart_a_slow_response() {
    for word in [r#"words "Hello? Are you there?""#, r#"words "Okay.""#, r#"words """#, "stt_fails"] {
        let script = r#"
        (asks for hours)
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1610 starts #1
        +1000 ends #1
        +2300 speech
            9130 pause playback
        +1600 pause
            10590 transcribe #1 turn 2 8930..10470
        +10 reply "Nine to five."
        +0 done
            10600 say #2 turn 1 "Nine to five."
        +300 LATE
            10900 resume playback
        +10 starts #2
        +900 ends #2
            11810 finished turn 1 C: What are your hours? A: Nine to five. words=200 reply=6720 commit=300 audio=7030
        "#;
        plays_out(|_| {}, &script.replace("LATE", word));
    }
}

#[test]
fn words_that_add_something_are_joined_to_the_question() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1610 starts #1
        +1000 ends #1
        +2300 speech
            9130 pause playback
        +600 pause
            9590 transcribe #1 turn 2 8930..9470
        +300 words "On Monday."
            9890 flush
            9890 cancel turn 1
            9890 ask turn 2 A: Hello, how can I help? C: A table for two. On Monday.
        +10 reply #1 "When?"
        +500 reply #2 "At what time?"
        +0 done
            10400 say #2 turn 2 "At what time?"
        +50 starts #2
        +900 ends #2
            11350 finished turn 2 C: A table for two. On Monday. A: At what time? words=420 reply=930 commit=420 audio=980
        "#,
    );
}

#[test]
fn speech_shortly_after_the_commit_continues_the_utterance_and_later_speech_is_judged() {
    let script = |end: &str| {
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
            4180 release turn 1
        "#
        .to_owned()
            + end
    };
    let quiet = |settings: &mut crate::conversation::Settings| settings.filler_ms = std::time::Duration::ZERO;
    plays_out(
        quiet,
        &script(
            r#"
        +1650 speech
            5730 flush
            5730 cancel turn 1
        +400 pause
            6130 transcribe #1 turn 2 2940..6010
            "#,
        ),
    );
    plays_out(
        quiet,
        &script(
            r#"
        +1660 speech
            5880 pause playback
        +400 pause
            6140 transcribe #1 turn 2 5680..6020
            "#,
        ),
    );
}

#[test]
fn late_words_interrupt_a_response_that_has_begun_meanwhile() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1610 starts #1
        +1000 ends #1
        +2300 speech
            9130 pause playback
        +600 pause
            9590 transcribe #1 turn 2 8930..9470
        +10 reply "We are full today."
        +0 done
            9600 say #2 turn 1 "We are full today."
            10070 resume playback
        +500 starts #2
        +500 played #2 500 1000
        +100 words "On Monday."
            10700 flush
            10700 cancel turn 1
            10700 finished turn 1 C: A table for two. A: We are (interrupted) words=200 reply=5720 commit=300 audio=6220
            10700 ask turn 2 A: Hello, how can I help? C: A table for two. A: We are C: On Monday.
            10700 release turn 2
        "#,
    );
}

#[test]
fn without_barge_in_the_question_can_be_added_to_but_the_answer_not_be_interrupted() {
    let script = |end: &str| {
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1700 starts #1
        +900 ends #1
        +320 speech
            7140 pause playback
        +600 pause
            7600 transcribe #1 turn 2 6940..7480
            8080 resume playback
        "#
        .to_owned()
            + end
    };
    plays_out(
        |settings| settings.barge_in = false,
        &script(
            r#"
        +1000 words "On Monday."
            8600 flush
            8600 cancel turn 1
            8600 ask turn 2 A: Hello, how can I help? C: A table for two. On Monday.
            "#,
        ),
    );
    plays_out(
        |settings| settings.barge_in = false,
        &script(
            r#"
        +600 reply "We are full today."
        +0 done
            8200 say #2 turn 1 "We are full today."
        +50 starts #2
        +200 speech
        +100 words "On Monday."
        +500 pause
        +500 ends #2
            9550 finished turn 1 C: A table for two. A: We are full today. words=200 reply=4320 commit=300 audio=4370
            "#,
        ),
    );
}

#[test]
fn no_filler_is_played_over_the_caller() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1610 starts #1
        +1000 ends #1
        +4900 speech
            11730 pause playback
        +900 pause
            12490 transcribe #1 turn 2 11530..12370
        +100 words "Hello?"
            12590 resume playback
            16690 say #2 turn 1 Filler
        +5000 tick
        "#,
    );
}

#[test]
fn the_notice_is_not_interrupted_and_its_end_is_reported() {
    play(
        Conversation::new(settings()).with_notice(),
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 say #1 turn 0 Greeting
        +50 starts #0
        +1000 speech
        +600 pause
        +1000 ends #0
            2650 notice heard
        +10 starts #1
        +1990 ends #1
            4650 finished turn 0 A: Hello, how can I help? audio=50
        "#,
    );
}

#[test]
fn speech_over_the_end_of_the_notice_counts_from_there() {
    play(
        Conversation::new(settings()).with_notice(),
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 say #1 turn 0 Greeting
        +50 starts #0
        +1000 speech
        +500 ends #0
            1550 notice heard
            1750 pause playback
        +300 left
            1850 finished turn 0 audio=50
            1850 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_notice_that_cannot_be_spoken_is_not_reported() {
    play(
        Conversation::new(settings()).with_notice(),
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 say #1 turn 0 Greeting
        +10 broken #0
            10 replace #0 by #2 Notice
        +10 broken #2
            20 replace #2 by #3 AudioIssues
        +10 left
            30 finished turn 0
            30 hang up: CallerLeft
        "#,
    );
}
