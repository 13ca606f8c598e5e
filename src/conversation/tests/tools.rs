//! The agent calls tools.

use super::script::plays_out;

#[test]
fn a_tool_runs_when_its_response_is_committed_and_its_result_is_answered() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::ZERO,
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool stock failed "The oven is out of order."
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 stock({})
        +300 result #0 "3 left"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: stock R: stock 3 left
        "#,
    );
}

/// A model that calls a tool in each round, until the last one.
const ROUNDS: &str = r#"
        (asks for bread)
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
    plays_out(|_| {}, &(ROUNDS.to_owned() + end));
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
    plays_out(|_| {}, &(ROUNDS.to_owned() + end));
}

#[test]
fn a_call_counts_once_by_its_id() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
            (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
    plays_out(
        |_| {},
        r#"
            (asks for bread)
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
    plays_out(
        |_| {},
        r#"
            (asks for bread)
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
fn a_transfer_begins_after_the_words_and_its_failure_is_a_result() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
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
