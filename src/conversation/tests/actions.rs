//! The model repeats calls of tools that act.

use super::script::plays_out;

#[test]
fn a_call_that_is_repeated_in_a_turn_is_carried_out_once_and_again_when_the_caller_asks_anew() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book acts=rye
        +0 tool book call=2 acts=rye
        +0 tool book call=3 acts=spelt
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
            4180 run #2 turn 1 book({})
        +300 result #0 "booked"
        +0 result #2 "booked"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book T: book T: book R: book booked R: 2 {"error":"this call was made already for the caller's request: go by its result"} R: 3 booked
        +100 tool book call=4 acts=rye
        +0 done
            4500 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book T: book T: book R: book booked R: 2 {"error":"this call was made already for the caller's request: go by its result"} R: 3 booked T: book R: 4 {"error":"this call was made already for the caller's request: go by its result"}
        +100 reply "It is booked."
        +0 done
            4600 say #1 turn 1 "It is booked."
        +900 ends #1
            5500 finished turn 1 C: Do you have rye bread? A: It is booked. T: book succeeded 220 T: book refused 0 T: book succeeded 220 T: book refused 0 words=200 reply=720 commit=300
        +1000 speech
        +1000 pause
            7500 transcribe #1 turn 2 6440..7380
        +80 words "Two of them, please."
            7580 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book T: book T: book R: book booked R: 2 {"error":"this call was made already for the caller's request: go by its result"} R: 3 booked T: book R: 4 {"error":"this call was made already for the caller's request: go by its result"} A: It is booked. C: Two of them, please.
        +20 tool book call=5 acts=rye
        +0 done
            7680 release turn 2
            7680 run #4 turn 2 book({})
        +300 tick
        "#,
    );
}

#[test]
fn a_caller_who_goes_on_before_they_hear_the_outcome_has_asked_nothing_new() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book acts=rye
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
        +100 result #0 "booked"
            4200 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked
        +200 speech
            4540 pause playback
        +600 pause
            5000 transcribe #1 turn 2 4340..4880
        +80 words "Two of them, please."
            5080 flush
            5080 cancel turn 1
            5080 finished turn 1 C: Do you have rye bread? T: book succeeded 20 (interrupted) words=200 commit=300
            5080 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked C: Two of them, please.
        +20 tool book call=2 acts=rye
        +0 tool book call=3 acts=two
        +0 done
            5180 release turn 2
            5180 run #2 turn 2 for turn 1 book({})
        +300 result #2 "booked"
            5400 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked C: Two of them, please. T: book T: book R: 2 {"error":"this call was made already for the caller's request: go by its result"} R: 3 booked
        "#,
    );
}

#[test]
fn a_request_that_is_repeated_after_a_failure_of_the_model_is_the_same() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book acts=rye
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
        +300 result #0 "booked"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked
        +100 llm_fails
            4500 ask turn 1 again A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked
            4500 say #1 turn 1 Difficulty
        +500 starts #1
        +100 llm_fails
            5100 say #2 turn 1 AskAgain
        +600 ends #1
        +10 starts #2
        +600 ends #2
            6310 finished turn 1 C: Do you have rye bread? A: Trying again. T: book succeeded 220 words=200 commit=300 audio=1120
        +1000 speech
        +1000 pause
            8310 transcribe #1 turn 2 7250..8190
        +80 words "Two of them, please."
            8390 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked C: Two of them, please.
        +20 tool book call=2 acts=rye
        +0 done
            8490 release turn 2
            8490 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book booked C: Two of them, please. T: book R: 2 {"error":"this call was made already for the caller's request: go by its result"}
        +300 tick
        "#,
    );
}

#[test]
fn a_call_that_still_runs_is_not_made_again() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book acts=rye
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
        +20 tool book call=2 acts=rye
        +0 done
            5180 release turn 2
            5180 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? T: book R: book {"status":"still running"} C: Two of them, please. T: book R: 2 {"error":"the same call still runs: its result follows"}
        +300 tick
        "#,
    );
}

#[test]
fn a_call_that_was_refused_may_be_made_again() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 tool book acts=rye
        +0 done
            4180 release turn 1
            4180 run #0 turn 1 book({})
        +300 refuses #0 "try again later"
            4400 ask turn 1 A: Hello, how can I help? C: Do you have rye bread? T: book R: book try again later
        +20 tool book call=2 acts=rye
            4420 run #1 turn 1 book({})
        +0 done
        +300 tick
        "#,
    );
}
