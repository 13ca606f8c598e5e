//! Keys that a tool sends or collects.

use super::script::plays_out;
use crate::conversation::*;
use crate::dtmf::Digit;

#[test]
fn keys_are_sent_after_the_words() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 reply "I'll press one."
        +0 tool keys dtmf=1w#
        +0 done
            4100 say #1 turn 1 held "I'll press one."
            4180 release turn 1
        +300 starts #1
        +700 ends #1
            5100 dtmf #0 1w#
        +1000 result #0 "sent"
            6100 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: I'll press one. T: keys R: keys sent
        "#,
    );
}

#[test]
fn an_entry_is_collected_to_its_length() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 reply "Your number, please."
        +0 tool digits collect=3
        +0 done
            4100 say #1 turn 1 held "Your number, please."
            4180 release turn 1
        +300 starts #1
        +800 ends #1
        +1000 key 4
        +1000 key 5
        +1000 key 6
            8200 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Your number, please. T: digits R: digits {"count":3,"digits":"456","ended_by":"length","masked":false}
        "#,
    );
}

#[test]
fn the_first_key_ends_the_words_that_ask_for_it() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 reply "Please enter your number."
        +0 tool digits collect=2
        +0 done
            4100 say #1 turn 1 held "Please enter your number."
            4180 release turn 1
        +300 starts #1
        +500 played #1 500 1000
        +100 key 4
            5000 flush
        +0 ends #1
        +1000 key 6
            6000 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Please enter T: digits R: digits {"count":2,"digits":"46","ended_by":"length","masked":false}
        "#,
    );
    plays_out(
        |settings| settings.barge_in = false,
        r#"
        (asks for bread)
        +20 reply "Please enter your number."
        +0 tool digits collect=2
        +0 done
            4100 say #1 turn 1 held "Please enter your number."
            4180 release turn 1
        +300 starts #1
        +600 key 4
        +100 tick
        "#,
    );
}

#[test]
fn keys_before_the_question_are_kept_for_it() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
            4180 release turn 1
        +500 key #
        +100 key 4
        +200 key 7
        +200 reply "Your number, please."
        +0 tool digits collect=3
        +0 done
            5080 say #1 turn 1 "Your number, please."
            5080 flush
        +300 key 1
            5380 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":3,"digits":"471","ended_by":"length","masked":false}
        "#,
    );
}

#[test]
fn keys_beyond_an_entry_are_kept_for_the_next_one() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
            4180 release turn 1
        +500 key 4
        +200 key 7
        +200 key 1
        +100 tool digits collect=2
        +0 done
            5080 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"47","ended_by":"length","masked":false}
        +100 tool pin collect=2 masked
        +0 done
        +300 key 2
            5480 keep keypad-1 12
            5480 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"47","ended_by":"length","masked":false} T: pin R: pin {"count":2,"digits":"keypad-1","ended_by":"length","masked":true}
        "#,
    );
}

#[test]
fn masked_keys_before_the_question_stay_masked() {
    plays_out(
        |settings| settings.dtmf = DtmfMode::Masked,
        r#"
        (asks for bread)
            4180 release turn 1
        +500 key 4
        +200 key 7
        +100 tool digits collect=2
        +0 done
            4880 keep keypad-0 47
            4880 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"keypad-0","ended_by":"length","masked":true}
        "#,
    );
}

#[test]
fn digits_that_are_said_count_as_keys() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 reply "Your number, please."
        +0 tool digits collect=3 masked
        +0 done
            4100 say #1 turn 1 held "Your number, please."
            4180 release turn 1
        +300 starts #1
        +700 ends #1
        +1000 speech
            6240 pause playback
        +600 partial "Four, seven,"
        +400 pause
            7100 transcribe #1 turn 2 6040..6980
        +80 words "Four, seven."
            7180 resume playback
        +900 key 1
            8080 keep keypad-0 471
            8080 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Your number, please. T: digits R: digits {"count":3,"digits":"keypad-0","ended_by":"length","masked":true}
        "#,
    );
}

#[test]
fn a_caller_who_is_saying_digits_is_waited_for() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool digits collect=2
        +0 done
            4180 release turn 1
        +4900 speech
            9140 pause playback
        +1500 pause
            10500 transcribe #1 turn 2 8940..10380
        +80 words "one two"
            10580 resume playback
            10580 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"12","ended_by":"length","masked":false}
        "#,
    );
}

#[test]
fn a_masked_entry_is_kept_for_tools_alone() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool digits collect=8 masked
        +0 done
            4180 release turn 1
        +1000 key 4
        +500 key 5
        +500 key #
            6100 keep keypad-0 45
            6100 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":2,"digits":"keypad-0","ended_by":"terminator","masked":true}
        +200 tool verify
            6300 run #1 turn 1 verify({})
        +0 done
        "#,
    );
    plays_out(
        |settings| settings.dtmf = DtmfMode::Masked,
        r#"
        (asks for bread)
        +20 tool digits collect=1
        +0 done
            4180 release turn 1
        +1000 key 4
            5100 keep keypad-0 4
            5100 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"count":1,"digits":"keypad-0","ended_by":"length","masked":true}
        "#,
    );
}

#[test]
fn an_entry_ends_by_a_pause_or_without_keys() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 reply "Your number, please."
        +0 tool digits collect=9
        +0 done
            4100 say #1 turn 1 held "Your number, please."
            4180 release turn 1
        +300 starts #1
        +700 ends #1
        +4000 key 5
            11100 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Your number, please. T: digits R: digits {"count":1,"digits":"5","ended_by":"timeout","masked":false}
        +2100 tick
        +100 tool digits collect=9
        +0 done
            16300 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Your number, please. T: digits R: digits {"count":1,"digits":"5","ended_by":"timeout","masked":false} T: digits R: digits {"count":0,"digits":"","ended_by":"timeout","masked":false}
        +5100 tick
        "#,
    );
}

#[test]
fn a_caller_who_speaks_ends_the_collection() {
    plays_out(
        |settings| settings.barge_in = false,
        r#"
        (asks for bread)
        +20 tool digits collect=9
        +0 done
            4180 release turn 1
        +2000 key 4
        +1000 speech
            7240 pause playback
        +900 pause
            8000 transcribe #1 turn 2 7040..7880
        +80 words "I have forgotten it."
            8080 flush
            8080 cancel turn 1
            8080 finished turn 1 C: Do you have rye bread? T: digits abandoned 3900 (interrupted) words=200 commit=300
            8080 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"status":"not carried out: the caller interrupted"} C: I have forgotten it.
            8180 release turn 2
        +300 tick
        "#,
    );
}

#[test]
fn keys_that_are_switched_off_cannot_be_collected() {
    plays_out(
        |settings| settings.dtmf = DtmfMode::Ignored,
        r#"
        (asks for bread)
        +20 tool digits collect=9
        +0 done
            4180 release turn 1
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"error":"keys are switched off for this agent"}
        +300 tick
        "#,
    );
}

/// Whether the stored state of a conversation has the key 4.
fn stores_the_key(conversation: &Conversation) -> bool {
    let stored = serde_json::to_string(&conversation.snapshot()).expect("a conversation is JSON");
    stored.contains(r#""4""#)
}

#[test]
fn keys_that_were_typed_ahead_are_not_stored_where_they_are_masked() {
    for (dtmf, stored) in [(DtmfMode::Shown, true), (DtmfMode::Masked, false)] {
        let mut call = Conversation::new(Settings { dtmf, ..Settings::default() });
        call.handle(At::default(), Input::Connected);
        let key = Digit::parse("4").expect("a key");
        call.handle(At::default(), Input::Dtmf { key });
        assert_eq!(stores_the_key(&call), stored, "{dtmf:?}");
    }
}

#[test]
fn keys_that_a_tool_collects_are_not_stored_where_they_are_masked() {
    for masked in [false, true] {
        let settings = Settings { greeting_mode: GreetingMode::Model, ..Settings::default() };
        let mut call = Conversation::new(settings);
        call.handle(At::default(), Input::Connected);
        let request = ToolRequest {
            id: "pin".into(),
            name: "collect_digits".into(),
            arguments: "{}".into(),
            action: ToolAction::CollectDigits(DigitRules::of(8, masked)),
            effect: ToolEffect::None,
        };
        for event in [ResponseEvent::ToolCall(request), ResponseEvent::Finished] {
            call.handle(At::default(), Input::Response { turn: TurnId(0), event });
        }
        call.handle(At::default(), Input::Dtmf { key: Digit::parse("4").expect("a key") });
        assert_eq!(stores_the_key(&call), !masked);
    }
}
