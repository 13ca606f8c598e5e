//! Keys that a tool sends or collects.

use super::script::plays_out;
use crate::conversation::DtmfMode;

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
        +100 key 4
        +700 ends #1
        +1000 key 5
        +1000 key 6
            7200 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Your number, please. T: digits R: digits {"count":3,"digits":"456","ended_by":"length","masked":false}
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
