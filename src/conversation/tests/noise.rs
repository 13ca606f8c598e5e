//! Sound without words.

use super::script::plays_out;

#[test]
fn noise_after_a_statement_is_no_turn_and_no_sign_of_life() {
    plays_out(
        |settings| settings.silence_prompts = 0,
        r#"
        (asks for hours)
        +20 reply "Nine to five."
        +0 done
            4100 say #1 turn 1 held "Nine to five."
            4180 release turn 1
        +100 starts #1
        +900 ends #1
            5100 finished turn 1 C: What are your hours? A: Nine to five. words=200 reply=220 commit=300 audio=320
        +1000 speech
        +1000 pause
            7100 transcribe #1 turn 2 6040..6980
        +80 words "."
            14480 say #2 turn 3 SilenceGoodbye
        +7400 tick
        "#,
    );
}

#[test]
fn noise_in_place_of_an_answer_is_asked_about_twice_and_then_ends_the_call() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words ""
            4380 say #1 turn 1 DidNotCatch
        +400 starts #1
        +600 ends #1
            5080 finished turn 1 A: Pardon? words=200 commit=500 audio=600
        +1000 speech
        +1000 pause
            7080 transcribe #1 turn 2 6020..6960
        +80 words ""
            7460 say #2 turn 2 StillThere
        +400 starts #2
        +600 ends #2
            8160 finished turn 2 A: Are you there? words=200 commit=500 audio=600
        +1000 speech
        +1000 pause
            10160 transcribe #2 turn 3 9100..10040
        +80 words ""
            10540 cancel turn 3
            10540 say #3 turn 4 SilenceGoodbye
        +400 starts #3
        +600 ends #3
            11240 finished turn 4 audio=100
            11240 hang up: Silence
        "#,
    );
}

#[test]
fn noise_before_a_hold_ends_no_call() {
    plays_out(
        |settings| settings.silence_prompts = 0,
        r#"
        (asks)
        +80 words ""
        +100 hold
            4180 pause playback
        +20000 unhold
            24180 resume playback
            31180 say #1 turn 2 SilenceGoodbye
        +7001 tick
        "#,
    );
}
