//! Tools that the conversation does not wait for.

use std::collections::VecDeque;

use super::script::plays_out;
use crate::conversation::*;
use crate::dtmf::Digit;

#[test]
fn a_result_that_is_not_waited_for_is_answered_when_the_caller_is_silent() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
fn a_result_that_a_repeated_request_has_is_not_answered_again() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book background
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
            4180 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"started: the result follows later"}
        +300 reply "I am asking."
        +0 done
            4400 say #1 turn 1 "I am asking."
        +900 ends #1
            5300 finished turn 1 C: Do you have rye bread? A: I am asking. words=200 reply=520 commit=300
        +1000 speech
        +1000 pause
            7300 transcribe #1 turn 2 6240..7180
        +80 words "And spelt?"
            7380 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"started: the result follows later"} A: I am asking. C: And spelt?
            7480 release turn 2
        +200 result #0 "3 left"
        +100 llm_fails
            7680 ask turn 2 again A: Hello, how can I help? C: Do you have rye bread? T: book R: book 3 left A: I am asking. C: And spelt?
            7680 say #2 turn 2 Difficulty
        +600 ends #2
        +100 reply "Three of them."
        +0 done
            8380 say #3 turn 2 "Three of them."
        +900 ends #3
            9280 finished turn 2 C: And spelt? A: Trying again. Three of them. T: book succeeded 3400 words=200 reply=1200 commit=300
        +1000 tick
        "#,
    );
}

#[test]
fn a_call_that_ends_ends_tools_that_are_not_waited_for() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    ResponseEvent::ToolCall(ToolRequest {
        id,
        name: "look".into(),
        arguments,
        action,
        effect: ToolEffect::None,
    })
}
