//! Keypad menus.

use std::sync::Arc;
use std::time::Duration;

use super::script::{play, plays_out, settings};
use crate::conversation::*;
use crate::dtmf::Digit;

fn key(key: &str) -> Digit {
    Digit::parse(key).expect("a key")
}

fn step(say: &str, action: MenuAction) -> MenuStep {
    MenuStep { say: (!say.is_empty()).then(|| say.into()), action }
}

fn choice(pressed: &str, words: &[&str], step: MenuStep) -> MenuChoice {
    MenuChoice { key: key(pressed), words: words.iter().map(|word| (*word).into()).collect(), step }
}

fn transfer() -> MenuAction {
    let action = ToolAction::Transfer { target: "shop".into(), summary: None };
    MenuAction::Act { name: "transfer".into(), arguments: r#"{"target":"shop"}"#.into(), action }
}

fn collect() -> MenuAction {
    let rules = DigitRules {
        most: 2,
        terminator: None,
        first: Duration::from_secs(5),
        between: Duration::from_secs(2),
        masked: false,
    };
    let action = ToolAction::CollectDigits(rules);
    MenuAction::Act { name: "collect_digits".into(), arguments: "{}".into(), action }
}

fn menu(prompt: &str, choices: Vec<MenuChoice>) -> Menu {
    Menu {
        prompt: prompt.into(),
        invalid: Some("Sorry?".into()),
        timeout: Duration::from_secs(4),
        repetitions: 1,
        choices,
        otherwise: step("", MenuAction::Agent),
    }
}

/// A main menu, and one for orders.
pub fn menus(opening: MenuOpening) -> Menus {
    let main = menu(
        "Hours one or orders two.",
        vec![
            choice("1", &["hours", "opening times"], step("We open at six.", MenuAction::Menu(0))),
            choice("2", &["order"], step("", MenuAction::Menu(1))),
            choice("9", &["agent"], step("", MenuAction::Agent)),
        ],
    );
    let orders = menu(
        "Shop one or end three.",
        vec![
            choice("1", &["shop"], step("One moment.", transfer())),
            choice("2", &[], step("Your number?", collect())),
            choice("3", &[], step("Bye.", MenuAction::EndCall)),
            choice("4", &[], step("I am listening.", MenuAction::Agent)),
        ],
    );
    Menus { menus: vec![main, orders], opening, key: Digit::parse("*") }
}

fn at_start(settings: &mut Settings) {
    settings.menus = Arc::new(menus(MenuOpening::AtStart));
}

fn by_key(settings: &mut Settings) {
    settings.menus = Arc::new(menus(MenuOpening::ByKey));
}

const OPENING: &str = r#"
        +0 answer
            0 say #0 turn 0 Greeting
            0 say #1 turn 0 "Hours one or orders two."
        +50 starts #0
        +950 ends #0
        +0 starts #1
"#;

#[test]
fn a_key_chooses_over_the_prompt_and_leads_through_the_menus() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 played #1 500 1000
        +0 key 2
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 A: Hello, how can I help? Hours one or audio=50
            1500 finished turn 1 K: [pressed 2]
            1500 say #2 turn 2 "Shop one or end three."
        +100 key 1
            1600 flush
            1600 cancel turn 2
            1600 finished turn 2
            1600 finished turn 3 K: [pressed 1]
            1600 say #3 turn 4 "One moment."
        +500 ends #3
            2100 transfer #0 shop
        +100 result #0 "failed: busy"
            2200 ask turn 4 A: Hello, how can I help? Hours one or K: [pressed 2] K: [pressed 1] A: One moment. T: transfer R: menu-0 failed: busy
        "#
        ),
    );
}

#[test]
fn a_choice_can_say_something_and_return_to_the_menu() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
        +1000 key 1
            2500 finished turn 1 K: [pressed 1]
            2500 say #2 turn 2 "We open at six."
            2500 say #3 turn 2 "Hours one or orders two."
        "#
        ),
    );
}

/// The caller types a PIN of three digits where two are collected, with the key of the main menu between them.
#[test]
fn a_digit_that_follows_a_masked_entry_is_masked_in_a_menu_as_well() {
    plays_out(
        by_key,
        r#"
        (asks for bread)
        +20 tool digits collect=2 masked
        +0 done
            4180 release turn 1
        +1000 key 4
        +500 key 5
            5600 keep keypad-0 45
            5600 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"keypad-0","ended_by":"length","masked":true}
        +500 key *
            6100 cancel turn 1
            6100 finished turn 1 C: Do you have rye bread? T: digits succeeded 1420 words=200 commit=300
            6100 finished turn 2 K: [pressed *]
            6100 say #1 turn 3 "Hours one or orders two."
        +500 key 2
            6600 flush
            6600 cancel turn 3
            6600 finished turn 3
            6600 finished turn 4 K: [pressed 1 key]
            6600 say #2 turn 5 "Shop one or end three."
        +100 tick
        "#,
    );
}

#[test]
fn words_mean_the_same_as_keys() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
        +1000 speech
        +1000 pause
            3500 transcribe #0 turn 1 2440..3380
        +100 words "I have an order."
            3680 cancel turn 1
            3680 finished turn 1 C: I have an order. words=220
            3680 say #2 turn 2 "Shop one or end three."
        +300 tick
        "#
        ),
    );
}

#[test]
fn a_digit_that_is_said_chooses_as_well() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
        +1000 speech
        +1000 pause
            3500 transcribe #0 turn 1 2440..3380
        +100 words "One."
            3680 cancel turn 1
            3680 finished turn 1 C: One. words=220
            3680 say #2 turn 2 "We open at six."
            3680 say #3 turn 2 "Hours one or orders two."
        +300 tick
        "#
        ),
    );
}

#[test]
fn other_words_are_answered_by_the_agent() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
        +1000 speech
        +1000 pause
            3500 transcribe #0 turn 1 2440..3380
        +100 words "My bread was burnt."
            3680 ask turn 1 A: Hello, how can I help? Hours one or orders two. C: My bread was burnt.
        +300 tick
        "#
        ),
    );
}

#[test]
fn other_keys_repeat_the_prompt_and_then_lead_to_the_agent() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
        +100 key 7
            1600 finished turn 1 K: [pressed 7]
            1600 say #2 turn 2 "Sorry?"
            1600 say #3 turn 2 "Hours one or orders two."
        +100 key 8
            1700 flush
            1700 cancel turn 2
            1700 finished turn 2
            1700 ask turn 3 A: Hello, how can I help? Hours one or orders two. K: [pressed 7] K: [pressed 8]
        "#
        ),
    );
}

#[test]
fn silence_repeats_the_prompt_and_then_prompts_the_caller() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
            5500 say #2 turn 1 "Hours one or orders two."
        +4100 ends #2
            5600 finished turn 1 A: Hours one or orders two.
            9600 say #3 turn 2 StillThere
        +4100 tick
        "#
        ),
    );
}

#[test]
fn menus_that_follow_each_other_in_silence_end_with_the_prompts_of_a_silent_caller() {
    plays_out(
        |settings| {
            let mut menus = menus(MenuOpening::AtStart);
            for (menu, next) in menus.menus.iter_mut().zip([1, 0]) {
                menu.repetitions = 0;
                menu.otherwise = step("", MenuAction::Menu(next));
            }
            settings.menus = Arc::new(menus);
        },
        &format!(
            r#"{OPENING}
        +500 ends #1
            1500 finished turn 0 A: Hello, how can I help? Hours one or orders two. audio=50
            5500 say #2 turn 1 "Shop one or end three."
        +4100 ends #2
            5600 finished turn 1 A: Shop one or end three.
            9600 say #3 turn 2 "Hours one or orders two."
        +4100 ends #3
            9700 finished turn 2 A: Hours one or orders two.
            13700 say #4 turn 3 SilenceGoodbye
        +4100 ends #4
            13800 finished turn 3
            13800 hang up: Silence
        "#
        ),
    );
}

#[test]
fn a_key_during_the_notice_counts_after_it() {
    let mut settings = settings();
    at_start(&mut settings);
    play(
        Conversation::new(settings).with_notice(),
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 say #1 turn 0 Greeting
            0 say #2 turn 0 "Hours one or orders two."
        +50 starts #0
        +500 key 2
        +500 ends #0
            1050 notice heard
            1050 flush
            1050 cancel turn 0
            1050 finished turn 0 audio=50
            1050 finished turn 1 K: [pressed 2]
            1050 say #3 turn 2 "Shop one or end three."
        "#,
    );
}

#[test]
fn a_choice_collects_digits_for_the_agent() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 key 2
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 A: Hello, how can I help? audio=50
            1500 finished turn 1 K: [pressed 2]
            1500 say #2 turn 2 "Shop one or end three."
        +100 key 2
            1600 flush
            1600 cancel turn 2
            1600 finished turn 2
            1600 finished turn 3 K: [pressed 2]
            1600 say #3 turn 4 "Your number?"
        +100 key 4
            1700 flush
        +100 key 7
            1800 ask turn 4 A: Hello, how can I help? K: [pressed 2] K: [pressed 2] T: collect_digits R: menu-0 {{"count":2,"digits":"47","ended_by":"length","masked":false}}
        "#
        ),
    );
}

#[test]
fn a_choice_ends_the_call_after_its_words() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 key 2
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 A: Hello, how can I help? audio=50
            1500 finished turn 1 K: [pressed 2]
            1500 say #2 turn 2 "Shop one or end three."
        +100 key 3
            1600 flush
            1600 cancel turn 2
            1600 finished turn 2
            1600 finished turn 3 K: [pressed 3]
            1600 say #3 turn 4 "Bye."
        +100 starts #3
        +500 ends #3
            2200 finished turn 4 A: Bye. audio=100
            2200 hang up: AgentHungUp
        "#
        ),
    );
}

#[test]
fn a_choice_says_something_before_the_agent_listens() {
    plays_out(
        at_start,
        &format!(
            r#"{OPENING}
        +500 key 2
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 A: Hello, how can I help? audio=50
            1500 finished turn 1 K: [pressed 2]
            1500 say #2 turn 2 "Shop one or end three."
        +100 key 4
            1600 flush
            1600 cancel turn 2
            1600 finished turn 2
            1600 finished turn 3 K: [pressed 4]
            1600 say #3 turn 4 "I am listening."
        +300 ends #3
            1900 finished turn 4 A: I am listening.
            8900 say #4 turn 5 StillThere
        +7100 tick
        "#
        ),
    );
}

#[test]
fn the_key_of_the_main_menu_opens_it_at_any_time() {
    plays_out(
        by_key,
        r#"
        (asks for bread)
        +20 reply "We have some."
        +0 done
            4100 say #1 turn 1 held "We have some."
            4180 release turn 1
        +300 starts #1
        +100 key *
            4500 flush
            4500 cancel turn 1
            4500 finished turn 1 C: Do you have rye bread? words=200 reply=220 commit=300 audio=520
            4500 finished turn 2 K: [pressed *]
            4500 say #2 turn 3 "Hours one or orders two."
        +0 key 9
            4500 flush
            4500 cancel turn 3
            4500 finished turn 3
            4500 ask turn 4 A: Hello, how can I help? C: Do you have rye bread? K: [pressed *] K: [pressed 9]
        "#,
    );
}

#[test]
fn endless_choices_end_by_the_limit_of_turns() {
    plays_out(
        |settings| {
            at_start(settings);
            settings.max_turns = 2;
        },
        &format!(
            r#"{OPENING}
        +500 key 2
            1500 flush
            1500 cancel turn 0
            1500 finished turn 0 A: Hello, how can I help? audio=50
            1500 finished turn 1 K: [pressed 2]
            1500 say #2 turn 2 "Shop one or end three."
        +100 key *
            1600 flush
            1600 cancel turn 2
            1600 finished turn 2
            1600 finished turn 3 K: [pressed *]
            1600 say #3 turn 4 TurnLimitGoodbye
        "#
        ),
    );
}
