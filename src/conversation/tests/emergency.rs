//! A caller who speaks of an emergency.

use super::script::{play, plays_out, settings};
use crate::conversation::{Conversation, EmergencyAction, Ending, Settings};

#[test]
fn the_number_to_dial_is_said_before_the_response_and_once_a_call() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Help, this is an emergency!"
            4180 emergency
            4180 say #1 turn 1 Emergency
            4180 ask turn 1 A: Hello, how can I help? C: Help, this is an emergency!
        +300 reply "I am sorry to hear that."
        +0 done
            4380 say #2 turn 1 "I am sorry to hear that."
        +50 starts #1
        +500 speech
        +1500 pause
        +1000 ends #1
        +10 starts #2
        +500 ends #2
            7940 finished turn 1 C: Help, this is an emergency! A: I am sorry to hear that. words=200 reply=500 commit=300 audio=550
        +1000 speech
        +1000 pause
            9940 transcribe #1 turn 2 8880..9820
        +80 words "This is an emergency!"
            10020 ask turn 2 A: Hello, how can I help? C: Help, this is an emergency! A: I am sorry to hear that. C: This is an emergency!
            10120 release turn 2
        +300 reply "Yes."
        +0 done
            10320 say #3 turn 2 "Yes."
        +500 ends #3
            10820 finished turn 2 C: This is an emergency! A: Yes. words=200 reply=500 commit=300
        "#,
    );
}

#[test]
fn speech_over_the_end_of_the_number_counts_from_there() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Help, this is an emergency!"
            4180 emergency
            4180 say #1 turn 1 Emergency
            4180 ask turn 1 A: Hello, how can I help? C: Help, this is an emergency!
        +300 reply "I am sorry to hear that."
        +0 done
            4380 say #2 turn 1 "I am sorry to hear that."
        +50 starts #1
        +500 speech
        +1500 ends #1
        +10 starts #2
            6630 pause playback
            6630 flush
            6630 cancel turn 1
            6630 finished turn 1 C: Help, this is an emergency! (interrupted) words=200 reply=500 commit=300 audio=550
        +400 left
            6840 hang up: CallerLeft
        "#,
    );
}

fn route(without_goodbye: Vec<Ending>) -> Conversation {
    let settings = Settings { emergency: EmergencyAction::Route, ..settings() };
    Conversation::new(settings).without_goodbye(without_goodbye)
}

#[test]
fn an_emergency_is_handed_over_where_there_is_a_route() {
    play(
        route(vec![Ending::Emergency]),
        r#"
        (asks)
        +80 words "I need an ambulance"
        +50 starts #1
            4380 emergency
            4380 say #1 turn 1 Emergency
        +500 speech
        +1500 pause
        +1000 ends #1
            7130 finished turn 1 C: I need an ambulance words=200 commit=500
            7130 hang up: Emergency
        "#,
    );
}

#[test]
fn an_emergency_without_a_route_is_answered() {
    play(
        route(Vec::new()),
        r#"
        (asks)
        +80 words "I need an ambulance"
            4380 emergency
            4380 say #1 turn 1 Emergency
            4380 ask turn 1 A: Hello, how can I help? C: I need an ambulance
        +400 reply "Dial now."
        +0 done
            4480 say #2 turn 1 "Dial now."
        +50 starts #1
        +1000 ends #1
        "#,
    );
}

/// The caller interrupts the response to their last turn.
#[test]
fn an_emergency_is_answered_although_no_turn_is_left() {
    plays_out(
        |settings| settings.max_turns = 1,
        r#"
        (asks for hours)
            4180 release turn 1
        +300 reply "We are open from nine to five."
        +0 done
            4380 say #1 turn 1 "We are open from nine to five."
        +50 starts #1
        +500 speech
            5070 pause playback
        +800 pause
            5730 transcribe #1 turn 2 4870..5610
        +80 words "I need an ambulance!"
            5810 flush
            5810 cancel turn 1
            5810 finished turn 1 C: What are your hours? (interrupted) words=200 reply=500 commit=300 audio=550
            5910 emergency
            5910 say #2 turn 2 Emergency
            5910 ask turn 2 A: Hello, how can I help? C: What are your hours? C: I need an ambulance!
        +300 starts #2
        +50 reply "Hang up now."
        +0 done
            6160 say #3 turn 2 "Hang up now."
        +900 ends #2
        +10 starts #3
        +600 ends #3
            7670 finished turn 2 C: I need an ambulance! A: Hang up now. words=200 reply=550 commit=300 audio=500
            7670 say #4 turn 3 TurnLimitGoodbye
        "#,
    );
}

/// The limit is reached while the caller hears which number to dial.
#[test]
fn the_time_limit_waits_for_the_number_to_dial() {
    plays_out(
        |settings| settings.max_duration_ms = std::time::Duration::from_secs(5),
        r#"
        (asks)
        +80 words "Help, this is an emergency!"
            4180 emergency
            4180 say #1 turn 1 Emergency
            4180 ask turn 1 A: Hello, how can I help? C: Help, this is an emergency!
        +300 reply "I am sorry to hear that."
        +0 done
            4380 say #2 turn 1 "I am sorry to hear that."
        +50 starts #1
        +1500 ends #1
        +10 starts #2
            6000 flush
            6000 cancel turn 1
            6000 finished turn 1 C: Help, this is an emergency! words=200 reply=500 commit=300 audio=550
            6000 say #3 turn 2 TimeLimitGoodbye
        +900 ends #3
            6840 finished turn 2
            6840 hang up: TimeLimit
        "#,
    );
}
