//! The agent calls tools.

use std::collections::VecDeque;

use super::script::plays_out;
use crate::conversation::*;
use crate::dtmf::Digit;

/// Plays `script` after a greeting that was heard and a question that is being answered. The turn is committed at 4180.
#[track_caller]
fn continues(change: impl FnOnce(&mut Settings), script: &str) {
    let asked = r#"
        (asks)
        +80 words "Do you have rye bread?"
            4080 ask turn 1 A: Hello, how can I help? C: Do you have rye bread?
    "#;
    plays_out(change, &(asked.to_owned() + script));
}

#[test]
fn a_tool_runs_when_its_response_is_committed_and_its_result_is_answered() {
    continues(
        |_| {},
        r#"
        +50 tool stock
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +200 tick
        +120 result #0 "3 left"
            4450 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        +300 reply "Yes, three."
        +0 done
            4750 say #1 turn 1 "Yes, three."
        +100 starts #1
        +900 ends #1
            5750 finished turn 1 C: Do you have rye bread? A: Yes, three. T: stock succeeded 270 words=200 reply=870 commit=300 audio=970
        +100 history
            5850 history A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left A: Yes, three.
        "#,
    );
}

#[test]
fn a_tool_of_a_response_that_is_retracted_never_runs() {
    continues(
        |_| {},
        r#"
        +20 tool stock
        +0 done
        +30 speech
            4130 cancel turn 1
        +500 pause
            4760 transcribe #1 turn 2 2940..4510
        +200 words "Or spelt?"
            4830 ask turn 2 A: Hello, how can I help? C: Or spelt?
        +120 tool stock
            4950 run #1 turn 2 stock({})
        +0 done
        +400 tick
        "#,
    );
}

#[test]
fn a_response_whose_tool_runs_is_not_retracted() {
    continues(
        |_| {},
        r#"
        +20 tool book
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
        +300 speech
            4540 pause playback
        +600 pause
            5000 transcribe #1 turn 2 4340..4880
        +80 words "Two of them, please."
            5080 flush
            5080 cancel turn 1
            5080 finished turn 1 C: Do you have rye bread? (interrupted) words=200 commit=300
            5080 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"still running"} C: Two of them, please.
            5180 release turn 2
        +600 tick
        +100 result #0 "booked"
        +100 reply "Two, fine."
        +0 done
            5880 say #1 turn 2 "Two, fine."
        +300 ends #1
            6180 finished turn 2 C: Two of them, please. A: Two, fine. T: book succeeded 1600 words=200 reply=1000 commit=300
        +100 history
            6280 history A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked C: Two of them, please. A: Two, fine.
        "#,
    );
}

#[test]
fn a_caller_who_only_says_hello_does_not_interrupt_a_tool() {
    continues(
        |_| {},
        r#"
        +20 tool stock
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +1000 speech
            5240 pause playback
        +600 pause
            5700 transcribe #1 turn 2 5040..5580
        +80 words "Hello?"
            5780 resume playback
        +100 result #0 "3 left"
            5880 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        "#,
    );
}

#[test]
fn a_slow_tool_has_words_of_its_own_before_the_filler() {
    continues(
        |_| {},
        r#"
        +20 tool stock "One moment."
        +0 done
            4180 release turn 1
            4180 say #1 turn 1 "One moment."
            4180 run #0 turn 1 stock({})
        +300 starts #1
        +700 ends #1
            6600 say #2 turn 1 Filler
        +1600 tick
        +3400 ends #2
            15100 say #3 turn 1 Filler
        +5100 ends #3
        +100 result #0 "3 left"
            15300 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: One moment. T: stock R: stock 3 left
        "#,
    );
    continues(
        |_| {},
        r#"
        +20 reply "Let me look."
        +0 tool stock delayed "Still looking."
        +0 done
            4100 say #1 turn 1 held "Let me look."
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 starts #1
        +700 ends #1
            6600 say #2 turn 1 "Still looking."
        +1600 starts #2
        +800 ends #2
            9000 say #3 turn 1 Filler
        +1600 tick
        +3500 ends #3
        "#,
    );
}

#[test]
fn a_failure_is_read_by_the_model() {
    continues(
        |_| {},
        r#"
        +20 tool stock
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 fails #0 "HTTP 500"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock HTTP 500
        +100 reply "I cannot look that up."
        +0 done
            4500 say #1 turn 1 "I cannot look that up."
        +900 ends #1
            5400 finished turn 1 C: Do you have rye bread? A: I cannot look that up. T: stock failed 220 words=200 reply=620 commit=300
        "#,
    );
}

#[test]
fn a_slow_tool_has_a_delay_of_its_own() {
    continues(
        |settings| settings.filler_ms = std::time::Duration::ZERO,
        r#"
        +20 tool stock delayed after=800 "Still looking."
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
            4980 say #1 turn 1 "Still looking."
        +1000 starts #1
        +700 ends #1
        +4000 result #0 "3 left"
            9800 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: Still looking. T: stock R: stock 3 left
        +3000 tick
        "#,
    );
}

#[test]
fn a_tool_that_fails_has_words_of_its_own() {
    continues(
        |_| {},
        r#"
        +20 tool stock failed "The oven is out of order."
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 fails #0 "HTTP 500"
            4400 say #1 turn 1 "The oven is out of order."
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: The oven is out of order. T: stock R: stock HTTP 500
        +100 starts #1
        +200 reply "Call again tomorrow."
        +0 done
            4700 say #2 turn 1 "Call again tomorrow."
        +500 ends #1
        +900 ends #2
            6100 finished turn 1 C: Do you have rye bread? A: The oven is out of order. Call again tomorrow. T: stock failed 220 words=200 reply=820 commit=300 audio=620
        "#,
    );
    continues(
        |_| {},
        r#"
        +20 tool stock failed "The oven is out of order."
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 result #0 "3 left"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        "#,
    );
}

#[test]
fn a_result_that_is_not_waited_for_is_answered_when_the_caller_is_silent() {
    continues(
        |_| {},
        r#"
        +20 tool book background
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"started: the result follows later"}
        +300 reply "I am asking the baker."
        +0 done
            4400 say #1 turn 1 "I am asking the baker."
        +100 starts #1
        +900 ends #1
            5400 finished turn 1 C: Do you have rye bread? A: I am asking the baker. words=200 reply=520 commit=300 audio=620
        +2000 result #0 "3 left"
            7400 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"finished: the result is repeated later"} A: I am asking the baker. T: book R: book-later 3 left
        +200 reply "There are three."
        +0 done
            7600 say #2 turn 2 "There are three."
        +900 ends #2
            8500 finished turn 2 A: There are three. T: book succeeded 3220 reply=200
        +100 history
            8600 history A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"finished: the result is repeated later"} A: I am asking the baker. T: book R: book-later 3 left A: There are three.
        "#,
    );
}

#[test]
fn a_result_that_is_not_waited_for_is_read_with_the_callers_next_words() {
    continues(
        |_| {},
        r#"
        +20 tool book background
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"started: the result follows later"}
        +300 reply "I am asking the baker."
        +0 done
            4400 say #1 turn 1 "I am asking the baker."
        +100 starts #1
        +900 ends #1
            5400 finished turn 1 C: Do you have rye bread? A: I am asking the baker. words=200 reply=520 commit=300 audio=620
        +1000 speech
        +100 result #0 "3 left"
        +600 pause
            7100 transcribe #1 turn 2 6340..6980
        +80 words "And spelt?"
            7180 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book 3 left A: I am asking the baker. C: And spelt?
            7280 release turn 2
        +400 tick
        +100 reply "Three of each."
        +0 done
            7680 say #2 turn 2 "Three of each."
        +900 ends #2
            8580 finished turn 2 C: And spelt? A: Three of each. T: book succeeded 2320 words=200 reply=700 commit=300
        +100 history
            8680 history A: Hello, how can I help? C: Do you have rye bread? T: book R: book 3 left A: I am asking the baker. C: And spelt? A: Three of each.
        "#,
    );
}

#[test]
fn a_result_that_arrives_while_the_agent_speaks_is_answered_after_the_words() {
    continues(
        |_| {},
        r#"
        +20 tool book background
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"started: the result follows later"}
        +300 reply "I am asking the baker."
        +0 done
            4400 say #1 turn 1 "I am asking the baker."
        +100 starts #1
        +300 result #0 "3 left"
        +600 ends #1
            5400 finished turn 1 C: Do you have rye bread? A: I am asking the baker. T: book succeeded 620 words=200 reply=520 commit=300 audio=620
            5400 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"finished: the result is repeated later"} A: I am asking the baker. T: book R: book-later 3 left
        "#,
    );
}

#[test]
fn a_call_that_ends_ends_tools_that_are_not_waited_for() {
    continues(
        |_| {},
        r#"
        +20 tool book background "I am asking the baker."
        +0 done
            4180 release turn 1
            4180 say #1 turn 1 "I am asking the baker."
            4180 run #0 turn 1 book({})
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: I am asking the baker. T: book R: book {"status":"started: the result follows later"}
        +300 reply "Goodbye."
        +0 done
            4400 say #2 turn 1 "Goodbye."
        +500 left
            4900 finished turn 1 C: Do you have rye bread? words=200 reply=520 commit=300
            4900 finished turn 2 T: book abandoned 720
            4900 hang up: CallerLeft
        +500 result #0 "3 left"
        "#,
    );
}

#[test]
fn a_fifth_tool_in_the_background_is_refused() {
    continues(
        |_| {},
        r#"
        +20 tool a background
        +0 tool b background
        +0 tool c background
        +0 tool d background
        +0 tool e background
            4180 release turn 1
            4180 run #0 turn 1 a({})
            4180 run #1 turn 1 b({})
            4180 run #2 turn 1 c({})
            4180 run #3 turn 1 d({})
        +100 left
            4200 finished turn 1 C: Do you have rye bread? T: e refused 0 words=200 commit=300
            4200 finished turn 2 T: a abandoned 20 T: b abandoned 20 T: c abandoned 20 T: d abandoned 20
            4200 hang up: CallerLeft
        "#,
    );
}

/// A model that starts a tool with each response to a result, and a caller who is silent, and then presses a key.
#[test]
fn a_model_that_starts_tools_for_ever_waits_for_the_caller() {
    let mut call = Conversation::new(Settings::default());
    call.handle(At::default(), Input::Connected);
    call.handle(At::default(), Input::Playback { speech: SpeechId(0), event: PlaybackEvent::Ended });
    let note = OperatorCommand::Note { text: "Look again and again.".into(), answer: NoteAnswer::Soon };
    call.handle(At::default(), Input::Operator(note));
    assert_eq!(turns_of_a_starter(&mut call), 1 + 5);
    call.handle(At::default(), Input::Dtmf { key: Digit::parse("#").unwrap() });
    assert_eq!(turns_of_a_starter(&mut call), 1 + 5);
}

/// Plays the model and the driver, at one moment, until nothing happens. Returns for how many turns the model was asked.
fn turns_of_a_starter(call: &mut Conversation) -> usize {
    let mut turns = Vec::new();
    let mut running = VecDeque::new();
    for _ in 0..1_000 {
        let input = match call.poll() {
            Some(Output::Pipeline(Command::Respond { turn, .. })) => {
                let starts = !turns.contains(&turn);
                let event =
                    if starts { starter(turns.len()) } else { ResponseEvent::Text("Wait.".to_owned()) };
                turns.push(turn);
                call.handle(At::default(), Input::Response { turn, event });
                Input::Response { turn, event: ResponseEvent::Finished }
            }
            Some(Output::Pipeline(Command::Speak { speech, .. })) => {
                Input::Playback { speech, event: PlaybackEvent::Ended }
            }
            Some(Output::RunTool { tool, .. }) => {
                running.push_back(tool);
                continue;
            }
            Some(_) => continue,
            None => match running.pop_front() {
                Some(tool) => Input::Tool { tool, outcome: ToolOutcome::Succeeded, result: "more".into() },
                None => break,
            },
        };
        call.handle(At::default(), input);
    }
    turns.dedup();
    turns.len()
}

fn starter(id: usize) -> ResponseEvent {
    let action = ToolAction::Start(ToolWords::default());
    let (id, arguments) = (id.to_string().into(), "{}".into());
    ResponseEvent::ToolCall(ToolRequest { id, name: "look".into(), arguments, action })
}

/// A model that calls a tool in each round, until the last one.
const ROUNDS: &str = r#"
        +20 tool stock
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 result #0 "3 left"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        +20 tool stock
            4420 run #1 turn 1 stock({})
        +0 done
        +300 result #1 "3 left"
            4720 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left T: stock R: stock 3 left
        +20 tool stock
            4740 run #2 turn 1 stock({})
        +0 done
        +300 result #2 "3 left"
            5040 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left T: stock R: stock 3 left T: stock R: stock 3 left
        +20 tool stock
            5060 run #3 turn 1 stock({})
        +0 done
        +300 result #3 "3 left"
            5360 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left T: stock R: stock 3 left T: stock R: stock 3 left T: stock R: stock 3 left
        +20 tool stock
            5380 run #4 turn 1 stock({})
"#;

#[test]
fn a_model_that_calls_tools_for_ever_is_stopped() {
    let end = r#"
        +0 done
        +300 result #4 "3 left"
            5680 say #1 turn 1 AskAgain
        +500 ends #1
            6180 finished turn 1 C: Do you have rye bread? T: stock succeeded 220 T: stock succeeded 300 T: stock succeeded 300 T: stock succeeded 300 T: stock succeeded 300 words=200 commit=300
        "#;
    continues(|_| {}, &(ROUNDS.to_owned() + end));
}

#[test]
fn a_turn_fails_once() {
    let end = r#"
        +300 result #4 "3 left"
        +20 llm_fails
            5700 say #1 turn 1 AskAgain
        +500 ends #1
            6200 finished turn 1 C: Do you have rye bread? T: stock succeeded 220 T: stock succeeded 300 T: stock succeeded 300 T: stock succeeded 300 T: stock succeeded 300 words=200 commit=300
        "#;
    continues(|_| {}, &(ROUNDS.to_owned() + end));
}

#[test]
fn a_call_counts_once_by_its_id() {
    continues(
        |_| {},
        r#"
        +20 tool stock
        +0 tool stock
        +0 tool stock call=other
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
            4180 run #2 turn 1 stock({})
        +300 tick
        +0 result #0 "a"
        +0 result #0 "a"
        +0 result #1 "b"
        "#,
    );
}

#[test]
fn a_refused_call_is_answered_without_being_run() {
    continues(
        |_| {},
        r#"
        +20 tool fly refused
        +0 done
            4180 release turn 1
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: fly R: fly no
        +300 tick
        "#,
    );
}

#[test]
fn a_response_that_breaks_off_goes_on_with_the_results_of_its_tools() {
    continues(
        |_| {},
        r#"
            4180 release turn 1
        +200 tool stock
            4280 run #0 turn 1 stock({})
        +0 llm_fails
        +300 result #0 "3 left"
            4580 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        +100 llm_fails
            4680 ask turn 1 again A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
            4680 say #1 turn 1 Difficulty
        "#,
    );
}

#[test]
fn a_tool_without_words_after_it_is_no_failure() {
    continues(
        |_| {},
        r#"
        +20 tool remember
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 remember({})
        +300 result #0 "kept"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: remember R: remember kept
        +100 done
            4500 finished turn 1 C: Do you have rye bread? T: remember succeeded 220 words=200 commit=300
        +10 tick
        "#,
    );
}

#[test]
fn an_agent_that_hangs_up_waits_for_its_tools() {
    continues(
        |_| {},
        r#"
        +20 reply "Goodbye."
        +0 tool remember
        +0 hangup
        +0 done
            4100 say #1 turn 1 held "Goodbye."
            4180 release turn 1
            4180 run #0 turn 1 remember({})
        +300 starts #1
        +700 ends #1
        +300 result #0 "kept"
            5400 finished turn 1 C: Do you have rye bread? A: Goodbye. T: remember succeeded 1220 words=200 reply=220 commit=300 audio=520
            5400 hang up: AgentHungUp
        "#,
    );
}

#[test]
fn tools_that_still_run_at_the_end_are_recorded() {
    continues(
        |_| {},
        r#"
            4180 release turn 1
        +200 tool stock
            4280 run #0 turn 1 stock({})
        +0 done
        +300 left
            4580 finished turn 1 C: Do you have rye bread? words=200 commit=300
            4580 finished turn 2 T: stock abandoned 300
            4580 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_result_after_the_goodbye_is_recorded_with_it() {
    continues(
        |_| {},
        r#"
            4180 release turn 1
        +200 tool stock
            4280 run #0 turn 1 stock({})
        +0 done
        +300 end
            4580 cancel turn 1
            4580 finished turn 1 C: Do you have rye bread? words=200 commit=300
            4580 say #1 turn 2 Goodbye
        +300 result #0 "3 left"
        +600 ends #1
            5480 finished turn 2 T: stock succeeded 600
            5480 hang up: Requested
        "#,
    );
}

#[test]
fn keys_are_sent_after_the_words() {
    continues(
        |_| {},
        r#"
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
    continues(
        |_| {},
        r#"
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
    continues(
        |_| {},
        r#"
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
    continues(
        |settings| settings.dtmf = DtmfMode::Masked,
        r#"
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
    continues(
        |_| {},
        r#"
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
    continues(
        |settings| settings.barge_in = false,
        r#"
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
    continues(
        |settings| settings.dtmf = DtmfMode::Ignored,
        r#"
        +20 tool digits collect=9
        +0 done
            4180 release turn 1
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: digits R: digits {"error":"keys are switched off for this agent"}
        +300 tick
        "#,
    );
}

#[test]
fn a_transfer_begins_after_the_words_and_its_failure_is_a_result() {
    continues(
        |_| {},
        r#"
        +20 reply "One moment."
        +0 tool person transfer=shop
        +0 done
            4100 say #1 turn 1 held "One moment."
            4180 release turn 1
        +300 starts #1
        +700 ends #1
            5100 transfer #0 shop
        +0 hold
            5100 pause playback
        +9000 unhold
            14100 resume playback
        +0 fails #0 "busy"
            14100 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? A: One moment. T: person R: person busy
        "#,
    );
}
