//! Voices in the background that are fainter than the caller's.

use super::script::plays_out;

/// A caller at -25 dBov has asked, and the first words are known.
fn asked(words: &str, rest: &str) -> String {
    format!(
        r#"
        (greeted)
        +1000 speech level=-25
        +1000 pause level=-25
            4000 transcribe #0 turn 1 2940..3880
        +80 words "{words}"
            4080 ask turn 1 A: Hello, how can I help? C: {words}
        {rest}"#
    )
}

#[test]
fn a_finished_sentence_is_answered_in_spite_of_a_television() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +50 speech level=-40
            4180 release turn 1
        +500 pause level=-41
        +100 speech level=-39
        +200 reply "We are open from nine to five every day."
        +0 done
            4930 say #1 turn 1 "We are open from nine to five every day."
        +100 starts #1
        +1500 pause level=-39
        +100 speech level=-38
        +1500 pause level=-38
        +200 ends #1
            8330 finished turn 1 C: What are your hours? A: We are open from nine to five every day. words=200 reply=1050 commit=300 audio=1150
            "#,
        ),
    );
}

#[test]
fn a_filler_survives_a_television() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +50 speech level=-40
            4180 release turn 1
        +1000 pause level=-40
        +300 speech level=-40
            5680 say #1 turn 1 Filler
        +1000 tick
            "#,
        ),
    );
}

#[test]
fn a_sentence_of_unclear_end_waits_longer_in_spite_of_a_television() {
    plays_out(
        |_| {},
        &asked(
            "what are your hours",
            r#"
        +50 speech level=-40
            5380 release turn 1
        +1400 pause level=-40
            "#,
        ),
    );
}

#[test]
fn a_voice_that_is_much_fainter_does_not_change_the_wait() {
    for rest in [
        // It begins before the words are known, and after them.
        r#"
        (greeted)
        +1000 speech level=-25
        +1000 pause level=-25
            4000 transcribe #0 turn 1 2940..3880
        +40 speech level=-45
        +40 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
            4380 release turn 1
        +400 pause level=-45
        "#,
        r#"
        (greeted)
        +1000 speech level=-25
        +1000 pause level=-25
            4000 transcribe #0 turn 1 2940..3880
        +80 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
        +50 speech level=-45
            4380 release turn 1
        +400 pause level=-45
        "#,
    ] {
        plays_out(|_| {}, rest);
    }
}

/// The wait for an utterance that sounds unfinished is longer than that in spite of voices.
#[test]
fn a_voice_in_the_background_does_not_shorten_the_wait() {
    plays_out(
        |settings| {
            settings.end_of_turn_model = true;
            settings.commit_trailing_ms = std::time::Duration::from_secs(2);
        },
        r#"
        (greeted)
        +1000 speech level=-25
        +1000 pause level=-25
            4000 judge turn 1 2940..3880
            4000 transcribe #0 turn 1 2940..3880
        +50 unfinished
        +30 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
        +50 speech level=-40
            5880 release turn 1
        +2000 tick
        "#,
    );
}

#[test]
fn speech_as_loud_as_the_callers_continues_the_utterance() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +50 speech level=-36
            4130 cancel turn 1
            "#,
        ),
    );
}

#[test]
fn words_that_lead_on_are_continued_however_faint() {
    plays_out(
        |_| {},
        &asked(
            "I want to book and",
            r#"
        +50 speech level=-45
            4130 cancel turn 1
            "#,
        ),
    );
}

#[test]
fn speech_that_began_faintly_is_the_callers_after_all() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +50 speech level=-40
            4180 release turn 1
        +800 pause level=-27
            4930 flush
            4930 cancel turn 1
            4930 transcribe #1 turn 2 2940..4810
            "#,
        ),
    );
}

#[test]
fn before_the_callers_level_is_known_any_speech_counts() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +500 speech level=-60
            690 pause playback
        +200 tick
        "#,
    );
}

#[test]
fn a_faint_voice_that_goes_on_does_not_stop_the_silence_prompts() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +50 speech level=-40
            4180 release turn 1
        +100 reply "Nine to five."
        +0 done
            4230 say #1 turn 1 "Nine to five."
        +100 starts #1
        +900 ends #1
            5230 finished turn 1 C: What are your hours? A: Nine to five. words=200 reply=350 commit=300 audio=450
            12230 say #2 turn 2 StillThere
        +7100 tick
            "#,
        ),
    );
}

#[test]
fn an_utterance_over_the_agent_is_not_continued_by_a_television() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +100 reply "Nine to five. On Sundays too."
            4180 release turn 1
            4180 say #1 turn 1 "Nine to five."
        +20 done
            4200 say #2 turn 1 "On Sundays too."
        +100 starts #1
        +500 speech level=-25
            4940 pause playback
        +400 pause level=-25
            5200 transcribe #1 turn 2 4740..5080
        +150 words "And on Monday?"
            5350 flush
            5350 cancel turn 1
            5350 finished turn 1 C: What are your hours? (interrupted) words=200 reply=300 commit=300 audio=420
            5350 ask turn 2 A: Hello, how can I help? C: What are your hours? C: And on Monday?
        +20 speech level=-40
            5380 release turn 2
        +500 tick
            "#,
        ),
    );
}

#[test]
fn speech_that_began_faintly_pauses_playback_once() {
    plays_out(
        |_| {},
        &asked(
            "What are your hours?",
            r#"
        +100 reply "Nine to five. On Sundays too."
            4180 release turn 1
            4180 say #1 turn 1 "Nine to five."
        +20 done
            4200 say #2 turn 1 "On Sundays too."
        +100 starts #1
        +500 speech level=-25
            4940 pause playback
        +400 pause level=-25
            5200 transcribe #1 turn 2 4740..5080
        +50 speech level=-40
        +300 pause level=-26
            5550 cancel turn 2
            5550 transcribe #2 turn 3 4740..5430
        +100 tick
            "#,
        ),
    );
}

#[test]
fn a_television_does_not_put_off_the_filler() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "what are your hours"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
            4180 ask turn 1 A: Hello, how can I help? C: what are your hours
        +1600 speech level=-40
        +200 pause level=-40
            5880 say #1 turn 1 Filler
        +500 tick
        "#,
    );
}

/// A television 12 dB below the caller is heard without a pause, and voice detection divides it from the question.
fn asked_over_a_television(words: &str, rest: &str) -> String {
    format!(
        r#"
        (greeted)
        +1000 speech level=-34
        +2000 pause 200 level=-34
            5000 transcribe #0 turn 1 2940..4800
        +20 speech 220 level=-22
            5020 cancel turn 1
        +2000 pause 500 level=-22
            7020 transcribe #1 turn 2 2940..6520
        +20 speech 520 level=-34
        +80 words "{words}"
            7120 ask turn 2 A: Hello, how can I help? C: {words}
        {rest}"#
    )
}

#[test]
fn a_question_is_answered_over_a_television_that_does_not_pause() {
    plays_out(
        |_| {},
        &asked_over_a_television(
            "Good evening. What are your hours?",
            r#"
            7120 release turn 2
            8620 say #1 turn 2 Filler
        +1600 tick
            "#,
        ),
    );
}

#[test]
fn words_of_unclear_end_wait_longer_over_a_television_that_does_not_pause() {
    plays_out(
        |_| {},
        &asked_over_a_television(
            "good evening what are your hours",
            r#"
            7420 release turn 2
        +1000 tick
            "#,
        ),
    );
}

/// A recogniser hears the television's first word, too, whether it leads on or not.
#[test]
fn a_word_of_a_known_television_behind_the_question_does_not_put_off_the_response() {
    for words in ["What are your hours? lost", "What are your hours? In the"] {
        plays_out(
            |_| {},
            &asked_over_a_television(
                words,
                r#"
            7120 release turn 2
        +100 tick
            "#,
            ),
        );
    }
}

/// The television is silent with the caller, and goes on when the words are known.
#[test]
fn a_known_television_that_goes_on_tells_whose_the_last_word_was() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech level=-34
        +2000 pause 200 level=-34
            5000 transcribe #0 turn 1 2940..4800
        +20 speech 220 level=-22
            5020 cancel turn 1
        +2000 pause level=-22
            7020 transcribe #1 turn 2 2940..6900
        +80 words "What are your hours? Is"
            7100 ask turn 2 A: Hello, how can I help? C: What are your hours? Is
        +40 speech level=-34
            7200 release turn 2
        +100 tick
        "#,
    );
}

#[test]
fn a_word_that_leads_on_after_a_question_is_the_callers_without_a_known_television() {
    for rest in [
        // Nothing is heard after it, and a voice that may be the caller's.
        r#"
            5080 release turn 1
        +1200 tick
        "#,
        r#"
        +50 speech level=-40
            4130 cancel turn 1
        "#,
    ] {
        plays_out(|_| {}, &asked("What are your hours? And", rest));
    }
}

#[test]
fn a_caller_who_trails_off_after_words_that_lead_on_continues() {
    plays_out(
        |_| {},
        &asked_over_a_television(
            "I want to book a table and",
            r#"
            7120 cancel turn 2
        +1000 pause level=-33
            8120 transcribe #2 turn 3 6520..8000
        +100 tick
            "#,
        ),
    );
}

#[test]
fn speech_nearer_to_a_known_television_than_to_the_caller_does_not_interrupt() {
    for (level, interrupts) in [(-34, false), (-29, false), (-27, true)] {
        let pauses = if interrupts { "7940 pause playback" } else { "" };
        plays_out(
            |_| {},
            &asked_over_a_television(
                "What are your hours?",
                &format!(
                    r#"
            7120 release turn 2
        +100 reply "Nine to five. On Sundays too."
            7220 say #1 turn 2 "Nine to five."
        +20 done
            7240 say #2 turn 2 "On Sundays too."
        +100 starts #1
        +200 pause level=-34
        +260 speech level={level}
            {pauses}
        +300 tick
            "#
                ),
            ),
        );
    }
}

#[test]
fn a_caller_interrupts_over_a_television_that_does_not_pause() {
    plays_out(
        |_| {},
        &asked_over_a_television(
            "What are your hours?",
            r#"
            7120 release turn 2
        +100 reply "Nine to five. On Sundays too."
            7220 say #1 turn 2 "Nine to five."
        +20 done
            7240 say #2 turn 2 "On Sundays too."
        +100 starts #1
        +500 pause 200 level=-34
        +20 speech 220 level=-23
            7860 pause playback
        +100 tick
            "#,
        ),
    );
}

/// Between speech and a softer word is a pause: it is no other voice.
#[test]
fn a_soft_word_after_a_pause_continues() {
    plays_out(
        |_| {},
        &asked(
            "a table for two",
            r#"
        +50 speech level=-35
            4130 cancel turn 1
        +300 pause level=-34
            4560 transcribe #1 turn 2 2940..4310
        +250 tick
            "#,
        ),
    );
}
