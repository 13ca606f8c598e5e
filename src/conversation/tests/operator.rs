//! A person who follows the call intervenes: words for the caller, transfer, end.

use super::script::{play, plays_out, settings};
use crate::conversation::*;

fn with_notice() -> Conversation {
    Conversation::new(settings()).with_notice()
}

#[test]
fn words_are_said_at_once_where_neither_side_speaks() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_say "One moment, please. I am looking it up."
            3000 accepted
            3000 say #1 turn 1 "One moment, please."
            3000 say #2 turn 1 "I am looking it up."
        +50 starts #1
        +900 ends #1
        +50 starts #2
        +900 ends #2
            4900 finished turn 1 O: One moment, please. I am looking it up. audio=50
        +100 history
            5000 history A: Hello, how can I help? A: One moment, please. I am looking it up.
            11900 say #3 turn 2 StillThere
        +7001 tick
        "#,
    );
}

#[test]
fn words_wait_for_the_caller_and_for_the_response() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +300 op_say "The shop closes early today."
            3300 accepted
        +700 pause
            4000 transcribe #0 turn 1 2940..3880
        +80 words "What are your hours?"
            4080 ask turn 1 A: Hello, how can I help? C: What are your hours?
            4180 release turn 1
        +300 reply "Nine to five."
        +0 done
            4380 say #1 turn 1 "Nine to five."
        +50 starts #1
        +900 ends #1
            5330 finished turn 1 C: What are your hours? A: Nine to five. words=200 reply=500 commit=300 audio=550
            5330 say #2 turn 2 "The shop closes early today."
        +50 starts #2
        +900 ends #2
            6280 finished turn 2 O: The shop closes early today. audio=50
        +100 history
            6380 history A: Hello, how can I help? C: What are your hours? A: Nine to five. A: The shop closes early today.
        "#,
    );
}

#[test]
fn words_that_do_not_wait_cut_the_agent_short() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
        +300 reply "We are open from nine to five."
        +0 done
            4380 say #1 turn 1 "We are open from nine to five."
        +50 starts #1
        +500 played #1 500 1500
        +0 op_say now "That is wrong, I am sorry."
            4930 accepted
            4930 flush
            4930 cancel turn 1
            4930 finished turn 1 C: What are your hours? A: We are words=200 reply=500 commit=300 audio=550
            4930 say #2 turn 2 "That is wrong, I am sorry."
        +50 starts #2
        +900 ends #2
            5880 finished turn 2 O: That is wrong, I am sorry. audio=50
        +100 history
            5980 history A: Hello, how can I help? C: What are your hours? A: We are A: That is wrong, I am sorry.
        "#,
    );
}

#[test]
fn words_that_do_not_wait_take_the_floor_from_the_caller() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 op_say now "May I interrupt you?"
            3500 accepted
            3500 cancel turn 1
            3500 say #1 turn 2 "May I interrupt you?"
        +50 starts #1
        +900 ends #1
            4450 finished turn 2 O: May I interrupt you? audio=50
        +1000 pause
            5450 transcribe #1 turn 3 4450..5330
        +80 words "Yes, of course."
            5530 ask turn 3 A: Hello, how can I help? A: May I interrupt you? C: Yes, of course.
            5630 release turn 3
        +300 tick
        "#,
    );
}

#[test]
fn the_caller_may_interrupt_the_operators_words() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_say "We have rye bread today."
            3000 accepted
            3000 say #1 turn 1 "We have rye bread today."
        +50 starts #1
        +500 speech
            3690 pause playback
        +800 pause
            4350 transcribe #0 turn 2 3490..4230
        +80 words "And spelt?"
            4430 flush
            4430 cancel turn 1
            4430 finished turn 1 (interrupted) audio=50
            4430 ask turn 2 A: Hello, how can I help? C: And spelt?
        "#,
    );
}

#[test]
fn words_during_a_tool_do_not_lose_its_result() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +50 tool stock
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +200 op_say now "I am looking it up."
            4330 accepted
            4330 cancel turn 1
            4330 finished turn 1 C: Do you have rye bread? words=200 commit=300
            4330 say #1 turn 2 "I am looking it up."
        +50 starts #1
        +500 ends #1
            4880 finished turn 2 O: I am looking it up. audio=50
        +200 result #0 "3 left"
        +100 op_note soon "Tell them the stock."
            5180 accepted
            5180 ask turn 3 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left A: I am looking it up. N: Tell them the stock. N!
        "#,
    );
}

#[test]
fn the_notice_is_heard_before_words_that_do_not_wait() {
    play(
        with_notice(),
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 say #1 turn 0 Greeting
        +50 starts #0
        +500 op_say now "Hello from the shop."
            550 accepted
        +500 op_mute 60000
            1050 accepted
        +900 ends #0
            1950 notice heard
            1950 agent Muted
            1950 flush
            1950 cancel turn 0
            1950 finished turn 0 audio=50
            1950 say #2 turn 1 "Hello from the shop."
        +50 starts #2
        +900 ends #2
            2900 finished turn 1 O: Hello from the shop. audio=50
        +100 speech
        +900 pause
        "#,
    );
}

#[test]
fn words_on_hold_wait_for_the_caller() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 hold
            3000 pause playback
        +1000 op_say "Are you back?"
            4000 accepted
            4000 say #1 turn 1 "Are you back?"
        +5000 unhold
            9000 resume playback
        +50 starts #1
        +500 ends #1
            9550 finished turn 1 O: Are you back? audio=5050
        "#,
    );
}

#[test]
fn words_may_be_the_last_ones() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_say end "Thank you for your call. Goodbye."
            3000 accepted
            3000 say #1 turn 1 "Thank you for your call."
            3000 say #2 turn 1 "Goodbye."
        +50 starts #1
        +10 speech
        +10 op_say "Too late."
            3070 refused: Ending
        +10 op_note "Too late."
            3080 refused: Ending
        +10 op_mute 1000
            3090 refused: Ending
        +500 ends #1
        +50 starts #2
        +900 ends #2
            4540 finished turn 1 O: Thank you for your call. Goodbye. audio=50
            4540 hang up: Requested
        "#,
    );
}

#[test]
fn last_words_that_cannot_be_played_end_the_call_in_time() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_say end "Goodbye."
            3000 accepted
            3000 say #1 turn 1 "Goodbye."
            13960 finished turn 1
            13960 hang up: Requested
        +12000 tick
        "#,
    );
}

#[test]
fn commands_before_the_answer_and_after_the_end_are_refused() {
    plays_out(
        |_| {},
        r#"
        +0 op_say "Hello."
            0 refused: NotConnected
        (greeted)
        +1000 op_end
            3000 accepted
            3000 say #1 turn 1 Goodbye
        +10 op_unmute
            3010 refused: Ending
        +1000 ends #1
            4010 finished turn 1
            4010 hang up: Requested
        "#,
    );
}

#[test]
fn waiting_words_are_limited() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +10 op_say "One."
            60 accepted
        +10 op_say "Two."
            70 accepted
        +10 op_say "Three."
            80 accepted
        +10 op_say "Four."
            90 accepted
        +10 op_transfer shop
            100 accepted
        +10 op_say now "Six."
            110 refused: TooMany
        +10 op_end now
            120 accepted
            120 flush
            120 cancel turn 0
            120 finished turn 0 audio=50
            120 hang up: Requested
        "#,
    );
}

#[test]
fn a_transfer_waits_for_the_agents_words() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +10 op_transfer shop
            60 accepted
        +1900 ends #0
            1960 finished turn 0 A: Hello, how can I help? audio=50
            1960 transfer #0 shop
        +0 hold
            1960 pause playback
        +9000 unhold
            10960 resume playback
        +0 fails #0 "{"error":"the target is busy"}"
            10960 ask turn 1 A: Hello, how can I help? N: The transfer of the caller to shop failed: {"error":"the target is busy"}. The caller is with you again. N!
        +300 reply "The shop is busy."
        "#,
    );
}

#[test]
fn a_take_over_cuts_the_agent_short() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
        +300 reply "We are open from nine to five."
        +0 done
            4380 say #1 turn 1 "We are open from nine to five."
        +50 starts #1
        +500 played #1 500 1500
        +0 op_transfer shop now
            4930 accepted
            4930 flush
            4930 cancel turn 1
            4930 finished turn 1 C: What are your hours? A: We are words=200 reply=500 commit=300 audio=550
            4930 transfer #0 shop
        +0 hold
            4930 pause playback
        +9000 result #0 "connected"
        +0 left
            13930 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_take_over_does_not_wait_for_a_caller_who_speaks() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 op_transfer shop now
            3500 accepted
            3500 cancel turn 1
            3500 transfer #0 shop
        +0 hold
            3500 pause playback
        +9000 result #0 "connected"
        +0 left
            12500 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_mute_does_not_cut_the_operators_words_that_the_caller_speaks_over() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_say "Hello from the shop."
            3000 accepted
            3000 say #1 turn 1 "Hello from the shop."
        +50 starts #1
        +500 speech
            3690 pause playback
        +500 op_mute 60000
            4050 accepted
            4050 agent Muted
            4050 cancel turn 2
            4050 resume playback
        +100 pause
        +900 ends #1
            5050 finished turn 1 O: Hello from the shop. audio=50
        "#,
    );
}
