//! The caller puts the call on hold.

use std::time::Duration;

use super::script::{plays_out, waits_shortly_for_words};

#[test]
fn a_caller_on_hold_may_be_silent_and_has_all_the_time_again_afterwards() {
    plays_out(
        |_| {},
        r#"
        (greeted)
            9000 say #1 turn 1 StillThere
        +7100 starts #1
        +900 ends #1
            10000 finished turn 1 A: Are you there? audio=100
        +5000 hold
            15000 pause playback
        +120000 unhold
            135000 resume playback
            142000 say #2 turn 2 StillThere
        +7900 ends #2
            142900 finished turn 2 A: Are you there?
            149900 say #3 turn 3 StillThere
        +7900 ends #3
            150800 finished turn 3 A: Are you there?
            157800 say #4 turn 4 SilenceGoodbye
        +7001 tick
        "#,
    );
}

#[test]
fn the_end_of_an_answer_starts_no_silence_on_hold() {
    plays_out(
        |_| {},
        r#"
        +0 answer
            0 say #0 turn 0 Greeting
        +2000 hold
            2000 pause playback
        +10 ends #0
            2010 finished turn 0 A: Hello, how can I help?
        +60000 unhold
            62010 resume playback
            69010 say #1 turn 1 StillThere
        +7001 tick
        "#,
    );
}

#[test]
fn music_on_hold_is_not_listened_to() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +500 played #0 500 2000
        +200 hold
            750 pause playback
        +100 speech
        +40000 pause
        +500 speech
        +500 pause
        +500 unhold
            42350 resume playback
        +1500 ends #0
            43850 finished turn 0 A: Hello, how can I help? audio=50
        +500 hold
            44350 pause playback
        +500 speech
        +40000 pause
        +500 unhold
            85350 resume playback
        "#,
    );
}

#[test]
fn an_utterance_before_the_hold_is_answered_after_it() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +1000 hold
            4000 pause playback
            4000 transcribe #0 turn 1 2940..4000
        +50 pause
        +30 words "What are your hours? One moment."
            4080 ask turn 1 A: Hello, how can I help? C: What are your hours? One moment.
            4300 release turn 1
        +10000 reply "Nine to five."
        +0 done
            14080 say #1 turn 1 "Nine to five."
        +20000 unhold
            34080 resume playback
        +20 starts #1
        +900 ends #1
            35000 finished turn 1 C: What are your hours? One moment. A: Nine to five. words=80 reply=10080 commit=300 audio=30100
        "#,
    );
}

#[test]
fn without_early_replies_too() {
    plays_out(
        |settings| settings.early_reply = false,
        r#"
        (greeted)
        +1000 speech
        +1000 hold
            4000 pause playback
            4500 transcribe #0 turn 1 2940..4000
        +600 words "What are your hours?"
            4600 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +5000 unhold
            9600 resume playback
        "#,
    );
}

#[test]
fn a_response_continues_after_the_hold_where_it_stopped() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +500 hold
            550 pause playback
        +20 played #0 520 2000
        +30000 unhold
            30570 resume playback
        +1500 ends #0
            32070 finished turn 0 A: Hello, how can I help? audio=50
            39070 say #1 turn 1 StillThere
        +7001 tick
        "#,
    );
}

#[test]
fn no_filler_plays_until_the_caller_is_back() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
        +500 hold
            4580 pause playback
        +12000 unhold
            16580 resume playback
            20680 say #1 turn 1 Filler
        +5000 tick
        "#,
    );
}

#[test]
fn a_voice_that_is_heard_when_the_caller_is_back_is_the_callers() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 hold
            3000 pause playback
        +1000 speech
        +9000 unhold
            13000 resume playback
        +0 speech 0
        +1120 pause
            14120 transcribe #0 turn 1 13000..14000
        +80 words "Here I am. What are your hours?"
            14200 ask turn 1 A: Hello, how can I help? C: Here I am. What are your hours?
            14300 release turn 1
        +200 tick
        "#,
    );
}

#[test]
fn meaningful_words_over_the_agent_take_the_floor_on_hold_too() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +500 hold
            1550 transcribe #0 turn 1 990..1550
        +100 words "Wait a second."
            1650 flush
            1650 pause playback
            1650 cancel turn 0
            1650 finished turn 0 (interrupted) audio=50
            1650 ask turn 1 C: Wait a second.
            1850 release turn 1
        +500 reply "Of course."
        +0 done
            2150 say #1 turn 1 "Of course."
        +30000 unhold
            32150 resume playback
        "#,
    );
}

#[test]
fn words_over_the_agent_without_a_meaning_leave_it_paused_until_the_caller_is_back() {
    for word in [r#"words "Uh-huh.""#, r#"words """#, "stt_fails"] {
        for wait in [100, 1_000] {
            let script = r#"
            (greeting)
            +1000 speech
                1190 pause playback
            +500 hold
                1550 transcribe #0 turn 1 990..1550
            +WAIT WORD
            +8000 unhold
                BACK resume playback
            "#;
            let script = script.replace("WAIT", &wait.to_string()).replace("WORD", word);
            plays_out(|_| {}, &script.replace("BACK", &(9_550 + wait).to_string()));
        }
    }
}

#[test]
fn a_short_hold_does_not_end_the_wait_for_words() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +500 hold
            1550 transcribe #0 turn 1 990..1550
        +300 unhold
            2150 resume playback
        +500 tick
        "#,
    );
}

#[test]
fn a_call_on_hold_ends_at_its_limit() {
    plays_out(
        |settings| settings.max_duration_ms = Duration::from_millis(60_000),
        r#"
        (greeted)
        +1000 hold
            3000 pause playback
            30000 say #1 turn 1 TimeWarning
            60000 flush
            60000 pause playback
            60000 cancel turn 1
            60000 finished turn 1
            60000 say #2 turn 2 TimeLimitGoodbye
            70000 finished turn 2
            70000 hang up: TimeLimit
        +90000 unhold
        "#,
    );
}

#[test]
fn a_caller_who_is_back_in_time_hears_the_goodbye() {
    plays_out(
        |settings| {
            settings.max_duration_ms = Duration::from_millis(60_000);
            settings.warn_before_ms = Duration::ZERO;
        },
        r#"
        (greeted)
        +1000 hold
            3000 pause playback
            60000 say #1 turn 1 TimeLimitGoodbye
        +62000 unhold
            65000 resume playback
        +20 starts #1
        +2000 ends #1
            67020 finished turn 1 audio=5020
            67020 hang up: TimeLimit
        "#,
    );
}

#[test]
fn repeated_and_missing_hold_events_do_no_harm() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 unhold
        +1000 hold
            4000 pause playback
        +1000 hold
        +9000 unhold
            14000 resume playback
        +1000 unhold
            21000 say #1 turn 1 StillThere
        +7001 tick
        "#,
    );
}

#[test]
fn a_greeting_waits_for_the_caller() {
    plays_out(
        |_| {},
        r#"
        +0 hold
            0 pause playback
        +0 answer
            0 say #0 turn 0 Greeting
        +5000 unhold
            5000 resume playback
        "#,
    );
}

#[test]
fn the_words_of_a_caller_who_leaves_on_hold_are_on_record() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +1000 hold
            4000 pause playback
            4000 transcribe #0 turn 1 2940..4000
        +80 words "What are your hours?"
            4080 ask turn 1 A: Hello, how can I help? C: What are your hours?
        +20 left
            4100 finished turn 1 C: What are your hours? words=80
            4100 hang up: CallerLeft
        +1000 unhold
        +1000 hold
        "#,
    );
}

#[test]
fn words_end_a_hold_of_which_the_end_may_have_been_missed() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +500 hold_key
            2500 pause playback
        +5000 speech
        +2000 pause
        +1000 uncertain
        +1000 speech
        +500 pause
        +1000 speech
        +1500 pause
            14500 transcribe #0 turn 1 12940..14380
        +300 words ""
        +1000 speech
        +1500 pause
            17300 transcribe #1 turn 2 15740..17180
        +300 words "Are you open today?"
            17600 resume playback
            17600 ask turn 2 A: Hello, how can I help? C: Are you open today?
            17600 release turn 2
        +200 reply "Yes."
        +0 done
            17800 say #1 turn 2 "Yes."
        +10 starts #1
        +500 ends #1
            18310 finished turn 2 C: Are you open today? A: Yes. words=420 reply=620 commit=420 audio=630
        "#,
    );
}

#[test]
fn words_during_a_doubtful_hold_release_a_response_that_waits() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +10 hold_key
            4090 pause playback
            4180 release turn 1
        +200 reply "Nine to five."
        +0 done
            4290 say #1 turn 1 "Nine to five."
        +1000 uncertain
        +1000 speech
        +1500 pause
            7790 transcribe #1 turn 2 6230..7670
        +300 words "Hello, is there anyone?"
            8090 resume playback
            8090 cancel turn 2
        +10 starts #1
        +500 ends #1
            8600 finished turn 1 C: What are your hours? A: Nine to five. words=200 reply=410 commit=300 audio=4220
        "#,
    );
}

#[test]
fn a_hold_that_is_taken_back_drops_the_words_that_are_awaited() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +500 hold_key
            2500 pause playback
        +1000 uncertain
        +1000 speech
        +1500 pause
            6000 transcribe #0 turn 1 4440..5880
        +100 unhold
            6100 cancel turn 1
            6100 resume playback
        +100 words "Hello?"
            13100 say #1 turn 2 StillThere
        +7100 tick
        "#,
    );
}

#[test]
fn a_hold_by_the_caller_has_a_limit_and_one_of_the_drivers_has_none() {
    plays_out(
        |settings| {
            settings.max_hold_ms = std::time::Duration::from_secs(60);
            settings.max_duration_ms = std::time::Duration::from_secs(600);
        },
        r#"
        (greeted)
        +500 hold
            2500 pause playback
        +100000 unhold
            102500 resume playback
        +500 hold_key
            103000 pause playback
            163000 resume playback
            163000 say #1 turn 1 TimeLimitGoodbye
        +60100 starts #1
        +900 ends #1
            164000 finished turn 1 audio=100
            164000 hang up: HoldLimit
        "#,
    );
}

#[test]
fn a_hold_of_the_drivers_takes_the_place_of_one_by_the_caller() {
    plays_out(
        |settings| {
            settings.max_hold_ms = std::time::Duration::from_secs(60);
            settings.max_duration_ms = std::time::Duration::from_secs(600);
        },
        r#"
        (greeted)
        +500 hold_key
            2500 pause playback
        +500 uncertain
        +500 hold
        +1000 speech
        +1500 pause
        +100000 unhold
            106000 resume playback
        "#,
    );
}

#[test]
fn a_caller_who_waits_for_a_target_is_not_said_goodbye() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 hold
            3000 pause playback
        +20 end
            3020 hang up: Requested
        "#,
    );
}

/// Music that changes from -25 to -15 dBov without a pause, then an interruption by the caller, who is fainter than both.
#[test]
fn the_music_of_a_hold_is_no_level_of_the_caller() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
        +200 reply "Nine to five. On Sundays too."
            4280 say #1 turn 1 "Nine to five."
        +20 done
            4300 say #2 turn 1 "On Sundays too."
        +100 starts #1
        +100 hold
            4500 pause playback
        +1000 speech level=-25
        +1000 pause level=-25
        +0 speech level=-15
        +1000 pause level=-15
        +1000 unhold
            8500 resume playback
        +300 speech level=-30
            8940 pause playback
        +300 tick
        "#,
    );
}
