//! The agent is changed in mid-call.

use std::time::Duration;

use super::script::{play, plays_out, settings};
use crate::conversation::{
    At, Conversation, Input, Output, Phrase, PlaybackEvent, Settings, Snapshot, SpeechId,
};
use crate::language::Language;

const ASKS_FOR_SALES: &str = r#"
    (asks)
    +80 words "I want to buy something."
        4080 ask turn 1 A: Hello, how can I help? C: I want to buy something.
"#;

#[track_caller]
fn continues(script: &str) {
    plays_out(|_| {}, &(ASKS_FOR_SALES.to_owned() + script));
}

#[test]
fn the_next_agent_answers_after_the_last_words_of_the_first() {
    continues(
        r#"
        +20 reply "I'll get sales."
        +0 tool switch agent=sales "a purchase"
        +0 done
            4100 say #1 turn 1 held "I'll get sales."
            4180 release turn 1
        +300 starts #1
        +700 ends #1
            5100 change #0 to sales because a purchase
        +0 changed #0 "you are sales now"
            5100 ask turn 1 A: Hello, how can I help? C: I want to buy something. A: I'll get sales. T: switch R: switch you are sales now
        +300 reply "Sales here."
        +0 done
            5400 say #2 turn 1 "Sales here."
        +100 starts #2
        +600 ends #2
            6100 finished turn 1 C: I want to buy something. A: I'll get sales. Sales here. T: switch succeeded 0 words=200 reply=220 commit=300 audio=520
        "#,
    );
}

#[test]
fn an_agent_that_greets_is_not_asked_for_an_answer() {
    continues(
        r#"
        +20 tool switch agent=sales "a purchase"
        +0 done
            4180 release turn 1
            4180 change #0 to sales because a purchase
        +100 changed #0 greets "you are sales now"
            4200 say #1 turn 1 Greeting
        +100 starts #1
        +900 ends #1
            5200 finished turn 1 C: I want to buy something. A: Hello, how can I help? T: switch succeeded 20 words=200 commit=300 audio=420
        +100 history
            5300 history A: Hello, how can I help? C: I want to buy something. T: switch R: switch you are sales now A: Hello, how can I help?
        "#,
    );
}

/// The caller has interrupted neither agent.
#[test]
fn calls_behind_a_change_to_an_agent_that_greets_are_over() {
    continues(
        r#"
        +20 tool switch agent=sales "a purchase"
        +0 tool keys dtmf=12
        +0 done
            4180 release turn 1
            4180 change #0 to sales because a purchase
        +100 changed #0 greets "you are sales now"
            4200 say #1 turn 1 Greeting
        +100 starts #1
        +900 ends #1
            5200 finished turn 1 C: I want to buy something. A: Hello, how can I help? T: switch succeeded 20 T: keys abandoned 0 words=200 commit=300 audio=420
        +100 history
            5300 history A: Hello, how can I help? C: I want to buy something. T: switch T: keys R: switch you are sales now R: keys {"status":"not carried out: the turn was over"} A: Hello, how can I help?
        "#,
    );
}

#[test]
fn an_agent_that_is_not_there_leaves_the_first_one_in_charge() {
    continues(
        r#"
        +20 tool switch agent=sales "a purchase"
        +0 done
            4180 release turn 1
            4180 change #0 to sales because a purchase
        +100 fails #0 "sales is not available"
            4200 ask turn 1 A: Hello, how can I help? C: I want to buy something. T: switch R: switch sales is not available
        "#,
    );
}

#[test]
fn a_change_that_is_retracted_does_not_happen() {
    continues(
        r#"
        +20 tool switch agent=sales "a purchase"
        +0 done
        +30 speech
            4130 cancel turn 1
        +2000 tick
        "#,
    );
}

#[test]
fn a_caller_who_interrupts_the_last_words_stays_with_the_first_agent() {
    continues(
        r#"
        +20 reply "I'll get sales."
        +0 tool switch agent=sales "a purchase"
        +0 done
            4100 say #1 turn 1 held "I'll get sales."
            4180 release turn 1
        +300 starts #1
        +200 speech
            4740 pause playback
        +700 pause
            5300 transcribe #1 turn 2 4540..5180
        +80 words "No, wait a moment."
            5380 flush
            5380 cancel turn 1
            5380 finished turn 1 C: I want to buy something. T: switch abandoned 0 (interrupted) words=200 reply=220 commit=300 audio=520
            5380 ask turn 2 A: Hello, how can I help? C: I want to buy something. T: switch R: switch {"status":"not carried out: the caller interrupted"} C: No, wait a moment.
            5480 release turn 2
            6980 say #2 turn 2 Filler
        +2000 tick
        "#,
    );
}

/// Two agents that send the caller back and forth.
#[test]
fn the_changes_of_a_call_are_bounded() {
    let mut script = ASKS_FOR_SALES.to_owned()
        + "4180 release turn 1\n+120 tool switch agent=other call=0 \"why\"\n+0 done\n";
    let mut context = "A: Hello, how can I help? C: I want to buy something.".to_owned();
    for round in 0..5 {
        context += &format!(" T: switch R: {round} done");
        script += &format!("4200 change #{round} to other because why\n+0 changed #{round} \"done\"\n");
        let next = round + 1;
        if next < 5 {
            script += &format!(
                "4200 ask turn 1 {context}\n+0 tool switch agent=other call={next} \"why\"\n+0 done\n"
            );
        }
    }
    let switched = " T: switch succeeded 0".repeat(5);
    let refused = r#"{"error":"there were too many changes in this call: go on as you are"}"#;
    // The rounds of the turn are used up with the changes.
    script += &format!(
        r#"
        4200 say #1 turn 1 AskAgain
        +500 ends #1
        4700 finished turn 1 C: I want to buy something.{switched} words=200 commit=300
        +1000 speech
        +1000 pause
        6700 transcribe #1 turn 2 5640..6580
        +80 words "Hello there, please."
        6780 ask turn 2 {context} C: Hello there, please.
        6880 release turn 2
        +300 tool switch agent=other call=5 "why"
        +0 done
        7080 ask turn 2 {context} C: Hello there, please. T: switch R: 5 {refused}
        "#
    );
    plays_out(|_| {}, &script);
}

#[test]
fn the_limits_of_the_call_stay_those_of_the_first_agent() {
    let first = Settings { max_turns: 3, max_duration_ms: Duration::from_secs(60), ..Settings::default() };
    let mut conversation = Conversation::new(first.clone());
    conversation.handle(At::default(), Input::Connected);
    let next = Settings { commit_ms: Duration::from_millis(450), max_turns: 100, ..Settings::default() };
    conversation.change_agent(next, [(Phrase::Filler, "Hm.".to_owned())], Language::of(Some("de")));
    assert_eq!(conversation.settings.max_turns, 3);
    assert_eq!(conversation.settings.max_duration_ms, first.max_duration_ms);
    assert_eq!(conversation.settings.commit_ms, Duration::from_millis(450));
    assert_eq!(conversation.language.tag, "de");
}

/// The caller speaks another language over the greeting.
#[test]
fn a_prompt_stays_on_record_in_the_words_that_were_said() {
    let texts = |text: &str| [(Phrase::Greeting, text.to_owned())];
    let mut conversation = Conversation::new(Settings::default()).with_texts(texts("Hello."));
    let played = |event| Input::Playback { speech: SpeechId(0), event };
    conversation.handle(At::default(), Input::Connected);
    conversation.handle(At::default(), played(PlaybackEvent::Started));
    conversation.change_agent(Settings::default(), texts("Hallo."), Language::of(Some("de")));
    let stored = serde_json::to_value(conversation.snapshot()).unwrap();
    let stored = Snapshot::parse(stored).unwrap();
    let mut conversation =
        Conversation::resume(stored, Settings::default(), texts("Hallo."), Language::of(Some("de")));
    conversation.handle(At::default(), played(PlaybackEvent::Ended));
    let records = std::iter::from_fn(|| conversation.poll()).filter_map(|output| match output {
        Output::TurnFinished(record) => Some(record.agent),
        _ => None,
    });
    assert_eq!(records.collect::<Vec<_>>(), ["Hello."]);
}

#[test]
fn the_next_language_judges_the_callers_words() {
    let mut conversation = Conversation::new(settings());
    conversation.change_agent(settings(), [], Language::of(Some("de")));
    // "und" announces more in German only.
    play(
        conversation,
        r#"
        (asks)
        +80 words "Ich möchte ein Brot und"
            4080 ask turn 1 A: Hello, how can I help? C: Ich möchte ein Brot und
            5080 release turn 1
        +2000 tick
        "#,
    );
}

/// Its agent spoke the other language.
#[test]
fn a_response_that_was_prepared_in_another_language_is_asked_for_again() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +400 partial #0 "Haben Sie heute"
        +600 partial #0 "Haben Sie heute noch Brot?"
            4000 ask turn 2 A: Hello, how can I help? C: Haben Sie heute noch Brot?
        +120 pause
            4120 transcribe #0 turn 1 2940..4000
        +80 continues in de
        +0 words "Haben Sie heute noch Brot?"
            4200 cancel turn 2
            4200 cancel turn 1
            4300 ask turn 3 A: Hello, how can I help? C: Haben Sie heute noch Brot?
        +300 reply "Ja."
        +0 done
            4500 say #1 turn 3 "Ja."
        "#,
    );
}

/// The engine has not ended the turn: its words are still recognised.
#[test]
fn a_change_of_language_leaves_the_recognition_to_go_on() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +600 turn_starts "Haben Sie"
        +400 pause
        +60 turn_may_end "Haben Sie Brot?"
            4060 ask turn 1 A: Hello, how can I help? C: Haben Sie Brot?
        +100 continues in de
        +100 turn_ends "Haben Sie Brot?"
            4260 cancel turn 1
            4260 ask turn 2 A: Hello, how can I help? C: Haben Sie Brot?
        "#,
    );
}
