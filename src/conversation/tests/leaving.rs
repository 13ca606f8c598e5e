//! The agent ends the call, or the caller is absent.

use super::script::{play, plays_out, settings};
use crate::conversation::*;

#[test]
fn the_agent_hangs_up_when_its_last_words_are_said() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Goodbye."
            4080 ask turn 1 A: Hello, how can I help? C: Goodbye.
            4180 release turn 1
        +200 reply "Bye!"
        +0 hangup
        +0 done
            4280 say #1 turn 1 "Bye!"
        +50 starts #1
        +500 ends #1
            4830 finished turn 1 C: Goodbye. A: Bye! words=200 reply=400 commit=300 audio=450
            4830 hang up: AgentHungUp
        "#,
    );
}

#[test]
fn an_agent_that_hangs_up_without_a_word_says_goodbye() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Goodbye."
            4080 ask turn 1 A: Hello, how can I help? C: Goodbye.
            4180 release turn 1
        +200 hangup
        +0 done
            4280 say #1 turn 1 Goodbye
        +600 ends #1
            4880 finished turn 1 C: Goodbye. words=200 commit=300
            4880 hang up: AgentHungUp
        "#,
    );
}

#[test]
fn a_caller_who_has_more_to_say_is_heard() {
    plays_out(
        |_| {},
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
        +400 speech
        +100 ends #1
            4830 finished turn 1 C: Thank you. A: Goodbye then! words=200 reply=400 commit=300 audio=450
        +1000 pause
            5830 transcribe #1 turn 2 4670..5710
        "#,
    );
}

#[test]
fn outside_of_business_hours_the_caller_hears_the_closed_prompt_only() {
    play(
        Conversation::new(settings()).closed(true),
        r#"
        +0 answer
            0 say #0 turn 0 Closed
        +50 starts #0
        +1000 speech
        +1000 pause
        +12000 ends #0
            14050 finished turn 0 audio=50
            14050 hang up: Closed
        "#,
    );
}

#[test]
fn an_announcement_that_never_ends_ends_with_the_longest_call() {
    let settings = Settings::default();
    let limit = settings.max_duration_ms;
    let mut turn = Conversation::new(settings).closed(true);
    let now = At::default();
    turn.handle(now, Input::Connected);
    turn.handle(now.saturating_add(limit), Input::Tick);
    let outputs: Vec<Output> = std::iter::from_fn(|| turn.poll()).collect();
    assert_eq!(outputs.last(), Some(&Output::HangUp { ending: Ending::Closed }), "{outputs:?}");
}

#[test]
fn an_announcement_that_cannot_be_spoken_is_the_end() {
    play(
        Conversation::new(settings()).closed(true),
        r#"
        +0 answer
            0 say #0 turn 0 Closed
        +10 broken #0
            10 finished turn 0
            10 hang up: Closed
        "#,
    );
}

#[test]
fn a_call_that_continues_elsewhere_ends_without_a_goodbye() {
    play(
        Conversation::new(settings()).without_goodbye(vec![Ending::Requested]),
        r#"
        (greeted)
        +100 end
            2100 hang up: Requested
        "#,
    );
}

#[test]
fn last_words_take_the_place_of_a_goodbye() {
    play(
        Conversation::new(settings())
            .with_last_words(vec![(Ending::Requested, "A colleague will call you.".into())]),
        r#"
        (greeted)
        +100 end
            2100 say #1 turn 1 "A colleague will call you."
        +50 starts #1
        +500 ends #1
            2650 finished turn 1 A: A colleague will call you. audio=50
            2650 hang up: Requested
        "#,
    );
}
