//! Words that are recognised as they are spoken.

use std::time::Duration;

use super::LEVEL;
use super::script::plays_out;
use crate::conversation::*;

#[test]
fn a_response_to_a_whole_sentence_is_prepared_before_the_pause_and_stands_if_the_final_words_agree() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 partial "what are"
        +340 partial "What are your hours?"
            3940 ask turn 2 A: Hello, how can I help? C: What are your hours?
        +60 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "what are your hours?"
        +50 reply "Nine to five."
        +10 done
            4120 say #1 turn 2 held "Nine to five."
            4180 release turn 2
        +100 starts #1
        +900 ends #1
            5120 finished turn 2 C: what are your hours? A: Nine to five. words=180 reply=230 commit=300 audio=340
        "#,
    );
}

/// The figures of `docs/turn-taking.md`: the last words 45 ms after the speech, a first token after 150 ms, the next sentence
/// 117 ms later, and the first audio after 90 ms more.
#[test]
fn the_caller_hears_the_reply_402_ms_after_the_last_word() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +925 partial "What are your hours?"
            3925 ask turn 2 A: Hello, how can I help? C: What are your hours?
        +75 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "What are your hours?"
        +15 reply "We"
            4180 release turn 2
        +117 reply " open at nine. Do"
            4192 say #1 turn 2 "We open at nine."
        +90 starts #1
        +400 done
            4682 say #2 turn 2 "Do"
        +100 left
            4782 finished turn 2 C: What are your hours? words=180 reply=195 commit=300 audio=402
            4782 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_sentence_that_goes_on_discards_its_response_and_is_recognised_on() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 partial "I want a table."
            3600 ask turn 2 A: Hello, how can I help? C: I want a table.
        +100 partial "I want a table"
        +100 reply "When?"
        +300 partial "I want a table for two"
            4100 cancel turn 2
        +300 partial "I want a table for two."
        +100 pause
            4500 transcribe #0 turn 1 2940..4380
        +60 words "I want a table for two."
            4680 ask turn 1 A: Hello, how can I help? C: I want a table for two.
        +200 reply "When?"
        +0 done
            4760 say #1 turn 1 "When?"
        "#,
    );
}

#[test]
fn after_a_sentence_that_went_on_the_model_is_asked_at_the_pause() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 partial "I want a table."
            3600 ask turn 2 A: Hello, how can I help? C: I want a table.
        +300 partial "I want a table for two."
            3900 cancel turn 2
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "I want a table for two."
            4180 ask turn 1 A: Hello, how can I help? C: I want a table for two.
        +200 reply "When?"
        +0 done
            4260 say #1 turn 1 "When?"
        +100 starts #1
        +400 ends #1
            4760 finished turn 1 C: I want a table for two. A: When? words=180 reply=380 commit=300 audio=480
        +1000 speech
        +900 partial "On Monday at nine."
        +100 pause
            6760 transcribe #1 turn 3 5700..6640
            6760 ask turn 3 A: Hello, how can I help? C: I want a table for two. A: When? C: On Monday at nine.
        "#,
    );
}

#[test]
fn a_short_sentence_may_be_the_beginning_of_one() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +400 partial "Hello."
        +400 partial "Hello. What are your"
        "#,
    );
}

#[test]
fn words_of_unclear_end_are_answered_when_the_pause_lasts() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "how much does a"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "how much does a new"
        +40 speech
            4100 cancel turn 1
        +900 partial "how much does a new tyre"
        +100 pause
            5100 transcribe #1 turn 2 2940..4980
            5280 ask turn 2 A: Hello, how can I help? C: how much does a new tyre
        +200 words "how much does a new tyre"
            5480 release turn 2
        +300 tick
        "#,
    );
}

/// The pause lasts for longer than most within a sentence.
#[test]
fn the_first_words_of_a_question_are_not_answered_before_the_commit() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +350 partial "how much"
        +100 pause
            3450 transcribe #0 turn 1 2940..3330
        +60 words "how much"
        +170 speech
            3680 cancel turn 1
        +400 partial "how much does a new tyre cost?"
            4080 ask turn 3 A: Hello, how can I help? C: how much does a new tyre cost?
        +100 tick
        "#,
    );
}

/// A live engine may report so short an utterance at its end only.
#[test]
fn the_first_words_of_a_question_are_not_answered_before_the_commit_without_partial_words_either() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +450 pause
            3450 transcribe #0 turn 1 2940..3330
        +60 words "How much"
        +170 speech
            3680 cancel turn 1
        +400 partial "how much does a new"
        +400 pause
            4480 transcribe #1 turn 2 2940..4360
        +60 words "How much does a new tyre cost?"
            4540 ask turn 2 A: Hello, how can I help? C: How much does a new tyre cost?
        "#,
    );
}

#[test]
fn words_that_lead_on_are_answered_late_in_a_pause() {
    let asks = |rest: &str| {
        plays_out(
            |_| {},
            &format!(
                r#"
        (greeted)
        +1000 speech
        +500 partial "where is your"
        +100 pause
            3600 transcribe #0 turn 1 2940..3480
        +60 words "Where is your"{rest}
        "#
            ),
        );
    };
    asks(
        r#"
        +180 speech
            3840 cancel turn 1
        +400 partial "where is your workshop located?"
            4240 ask turn 3 A: Hello, how can I help? C: where is your workshop located?"#,
    );
    asks(
        r#"
            4180 ask turn 1 A: Hello, how can I help? C: Where is your
        +600 tick"#,
    );
}

#[test]
fn final_words_that_differ_are_asked_about_instead() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +900 partial "What are your house?"
            3900 ask turn 2 A: Hello, how can I help? C: What are your house?
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "What are your hours?"
            4060 cancel turn 2
            4060 cancel turn 1
            4180 ask turn 3 A: Hello, how can I help? C: What are your hours?
        +200 reply #2 "Mine?"
        +40 left
            4300 finished turn 3 C: What are your hours? words=180 commit=300
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
        +900 partial "I need a table"
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 words "I need a table"
            4180 ask turn 1 A: Hello, how can I help? C: I need a table
        +150 speech
            4210 cancel turn 1
        +900 partial "I need a table tonight"
        +100 pause
            5210 transcribe #1 turn 2 2940..5090
        +60 words "I need a table tonight"
        +100 speech
            5370 cancel turn 2
        +900 partial "for two."
        +100 pause
            6370 transcribe #2 turn 3 5310..6250
        +60 words "for two."
            6550 ask turn 3 A: Hello, how can I help? C: I need a table tonight for two.
        +200 left
            6630 finished turn 3 C: I need a table tonight for two. words=180 commit=300
            6630 hang up: CallerLeft
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
            2150 ask turn 2 C: Excuse me, when do you open?
        +50 pause
            2200 transcribe #0 turn 1 990..2080
        +50 words "Excuse me, when do you open?"
            2380 release turn 2
        +200 left
            2450 finished turn 2 C: Excuse me, when do you open? words=170 commit=300
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
        |settings| settings.filler_ms = Duration::ZERO,
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
            3900 ask turn 2 A: Hello, how can I help? C: What are your hours?
        +100 pause
            4000 transcribe #0 turn 1 2940..3880
        +60 reply "Nine to five."
        +0 done
            4060 say #1 turn 2 held "Nine to five."
        +40 stt_fails
            4100 cancel turn 2
            4100 cancel turn 1
            4180 say #2 turn 3 DidNotCatch
        +200 ends #2
            4300 finished turn 3 A: Pardon? commit=300
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

#[test]
fn the_words_of_an_utterance_are_bounded() {
    let at = |ms| At(Duration::from_millis(ms));
    let (speech, endless) = (SpeechId(0), "word ".repeat(1_000_000));
    let recognised = |n: u32, event| Input::Recognition { utterance: UtteranceId(n), event };
    let started = |ms| Input::CallerSpeech(CallerSpeech::Started { at: at(ms), level: LEVEL });
    let paused = |ms| Input::CallerSpeech(CallerSpeech::Paused { at: at(ms), level: LEVEL });
    let inputs = [
        (0, Input::Connected),
        (900, Input::Playback { speech, event: PlaybackEvent::Ended }),
        (1_060, started(1_000)),
        (4_000, recognised(0, Recognition::Partial { text: endless.clone() })),
        (4_120, paused(4_000)),
        (4_200, recognised(0, Recognition::Final { text: endless.clone() })),
        (4_240, started(4_180)),
        (7_120, paused(7_000)),
        (7_200, recognised(1, Recognition::Final { text: endless })),
        (9_000, Input::Tick),
    ];
    let mut conversation = Conversation::new(Settings::default());
    let mut asked = Vec::new();
    for (ms, input) in inputs {
        conversation.handle(at(ms), input);
        while let Some(output) = conversation.poll() {
            if let Output::Pipeline(Command::Respond { context, .. }) = output
                && let Some(ContextItem::Caller { text }) = context.last()
            {
                asked.push(text.len());
            }
        }
    }
    assert!(!asked.is_empty() && asked.iter().all(|length| *length <= 64 * 1024), "{asked:?}");
}
