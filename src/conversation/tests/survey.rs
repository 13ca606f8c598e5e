//! The question for the caller's satisfaction.

use super::script::plays_out;
use crate::conversation::Settings;

fn asks(settings: &mut Settings) {
    settings.satisfaction = true;
}

/// The agent has said its last words.
const ENDS: &str = r#"
    (asks)
    +50 words "No, thank you."
    4050 ask turn 1 A: Hello, how can I help? C: No, thank you.
    +0 hangup
    +0 reply "Goodbye!"
    +0 done
    4050 say #1 turn 1 held "Goodbye!"
    4180 release turn 1
    +500 starts #1
    +1000 ends #1
    5550 finished turn 1 C: No, thank you. A: Goodbye! words=170 reply=170 commit=300 audio=670
"#;

/// The question was played.
const ASKED: &str = "
    5550 say #2 turn 2 Satisfaction
    +500 starts #2
    +4000 ends #2
    10050 finished turn 2 audio=500
";

#[test]
fn a_key_over_the_question_rates_the_call() {
    let rest = "
        5550 say #2 turn 2 Satisfaction
        +500 starts #2
        +500 key 9
        +500 key 4
        7050 rated 4
        7050 flush
        7050 cancel turn 2
        7050 finished turn 2 audio=500
        7050 say #3 turn 3 Goodbye
        +500 starts #3
        +1000 ends #3
        8550 finished turn 3 audio=500
        8550 hang up: AgentHungUp
        +0 key 5
    ";
    plays_out(asks, &format!("{ENDS}{rest}"));
}

#[test]
fn a_word_rates_the_call_without_a_request_to_the_model() {
    let rest = r#"
        +1000 speech
        +500 pause
        11550 transcribe #1 turn 3 10990..11430
        +100 words "Four."
        11730 rated 4
        11730 cancel turn 3
        11730 finished turn 3 C: Four. words=220
        11730 say #3 turn 4 Goodbye
        +800 starts #3
        +1000 ends #3
        13450 finished turn 4 audio=720
        13450 hang up: AgentHungUp
    "#;
    plays_out(asks, &format!("{ENDS}{ASKED}{rest}"));
}

#[test]
fn without_a_rating_it_is_asked_once_more_and_the_call_ends() {
    let rest = r#"
        +1000 speech
        +500 pause
        11550 transcribe #1 turn 3 10990..11430
        +100 words "It was good."
        11730 cancel turn 3
        11730 finished turn 3 C: It was good. words=220
        11730 say #3 turn 4 Satisfaction
        +800 starts #3
        +4000 ends #3
        16450 finished turn 4 audio=720
        23450 say #4 turn 5 Goodbye
        +7100 tick
        +100 starts #4
        +1000 ends #4
        24650 finished turn 5 audio=200
        24650 hang up: AgentHungUp
    "#;
    plays_out(asks, &format!("{ENDS}{ASKED}{rest}"));
}

#[test]
fn other_keys_are_no_rating_and_a_caller_who_leaves_is_not_asked_again() {
    let rest = "
        +500 key 9
        10550 say #3 turn 3 Satisfaction
        +500 starts #3
        +3000 ends #3
        14050 finished turn 3 audio=500
        +500 key 0
        14550 say #4 turn 4 Goodbye
        +500 starts #4
        +500 left
        15550 finished turn 4 audio=500
        15550 hang up: CallerLeft
    ";
    plays_out(asks, &format!("{ENDS}{ASKED}{rest}"));
}

#[test]
fn no_rating_is_asked_for_without_the_setting_or_without_turns_left() {
    let end = "5550 hang up: AgentHungUp\n";
    plays_out(|_| {}, &format!("{ENDS}{end}"));
    let last_turn = |settings: &mut Settings| {
        asks(settings);
        settings.max_turns = 1;
    };
    plays_out(last_turn, &format!("{ENDS}{end}"));
}

#[test]
fn a_caller_who_speaks_over_the_last_words_goes_on_with_the_conversation() {
    let script = r#"
        (asks)
        +50 words "No, thank you."
        4050 ask turn 1 A: Hello, how can I help? C: No, thank you.
        +0 hangup
        +0 reply "Goodbye!"
        +0 done
        4050 say #1 turn 1 held "Goodbye!"
        4180 release turn 1
        +500 starts #1
        +600 speech
        +100 ends #1
        5250 finished turn 1 C: No, thank you. A: Goodbye! words=170 reply=170 commit=300 audio=670
    "#;
    plays_out(asks, script);
}

/// The conversation goes on, and is not followed by another question.
#[test]
fn an_emergency_is_answered_in_place_of_a_rating() {
    let rest = r#"
        +1000 speech
        +500 pause
        11550 transcribe #1 turn 3 10990..11430
        +100 words "My husband can't breathe."
        11730 emergency
        11730 say #3 turn 3 Emergency
        11730 ask turn 3 A: Hello, how can I help? C: No, thank you. A: Goodbye! C: My husband can't breathe.
        +800 starts #3
        +1000 reply "Please hang up."
        +0 hangup
        +0 done
        13450 say #4 turn 3 "Please hang up."
        +1000 ends #3
        +10 starts #4
        +900 ends #4
        15360 finished turn 3 C: My husband can't breathe. A: Please hang up. words=220 reply=2020 commit=300 audio=1020
        15360 hang up: AgentHungUp
    "#;
    plays_out(asks, &format!("{ENDS}{ASKED}{rest}"));
}
