//! Failures of recognition and of the language model.

use super::script::plays_out;

#[test]
fn failing_stt_prompts_and_ends_the_call_the_third_time() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +50 stt_fails
            4380 say #1 turn 1 DidNotCatch
        +400 starts #1
        +600 ends #1
            5050 finished turn 1 A: Pardon? commit=500 audio=570
        +1000 speech
        +1000 pause
            7050 transcribe #1 turn 2 5990..6930
        +500 stt_fails
            7550 say #2 turn 2 DidNotCatch
        +600 ends #2
            8150 finished turn 2 A: Pardon? commit=620
        +1000 speech
        +1000 pause
            10150 transcribe #2 turn 3 9090..10030
        +500 stt_fails
            10650 cancel turn 3
            10650 finished turn 3 commit=620
            10650 say #3 turn 4 Goodbye
        +600 ends #3
            11250 finished turn 4
            11250 hang up: EngineFailure
        "#,
    );
}

#[test]
fn a_response_that_fails_is_asked_for_again_and_the_model_does_not_read_why() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Hello there"
            4080 ask turn 1 A: Hello, how can I help? C: Hello there
        +50 llm_fails
            4380 release turn 1
            4380 ask turn 1 again A: Hello, how can I help? C: Hello there
            4380 say #1 turn 1 Difficulty
        +500 starts #1
        +600 ends #1
        +500 reply "Hello. How can I help?"
            5730 say #2 turn 1 "Hello."
        +10 done
            5740 say #3 turn 1 "How can I help?"
        +50 starts #2
        +500 ends #2
        +50 starts #3
        +500 ends #3
            6840 finished turn 1 C: Hello there A: Trying again. Hello. How can I help? words=200 reply=1850 commit=500 audio=750
        +10 history
            6850 history A: Hello, how can I help? C: Hello there A: Hello. How can I help?
        "#,
    );
}

#[test]
fn a_response_that_fails_twice_has_failed_and_a_success_resets_the_count() {
    plays_out(
        |settings| settings.max_failures = 2,
        r#"
        (asks)
        +80 words "Hello there"
            4080 ask turn 1 A: Hello, how can I help? C: Hello there
        +50 llm_fails
            4380 release turn 1
            4380 ask turn 1 again A: Hello, how can I help? C: Hello there
            4380 say #1 turn 1 Difficulty
        +500 starts #1
        +100 llm_fails
            4730 say #2 turn 1 AskAgain
        +600 ends #1
        +10 starts #2
        +600 ends #2
            5940 finished turn 1 C: Hello there A: Trying again. words=200 commit=500 audio=750
        +1000 speech
        +1000 pause
            7940 transcribe #1 turn 2 6880..7820
        +80 words "Hello?"
            8020 ask turn 2 A: Hello, how can I help? C: Hello there C: Hello?
            8120 release turn 2
        +500 reply "Yes."
        +0 done
            8520 say #3 turn 2 "Yes."
        +50 starts #3
        +500 ends #3
            9070 finished turn 2 C: Hello? A: Yes. words=200 reply=700 commit=300 audio=750
        +1000 speech
        +1000 pause
            11070 transcribe #2 turn 3 10010..10950
        +80 words "Hello!"
            11150 ask turn 3 A: Hello, how can I help? C: Hello there C: Hello? A: Yes. C: Hello!
            11250 release turn 3
        +500 done
            11650 ask turn 3 again A: Hello, how can I help? C: Hello there C: Hello? A: Yes. C: Hello!
            11650 say #4 turn 3 Difficulty
        +600 ends #4
        +500 done
            12750 say #5 turn 3 AskAgain
        +600 ends #5
            13350 finished turn 3 C: Hello! A: Trying again. words=200 commit=300
        +1000 speech
        +1000 pause
            15350 transcribe #3 turn 4 14290..15230
        +80 words "Hello!"
            15430 ask turn 4 A: Hello, how can I help? C: Hello there C: Hello? A: Yes. C: Hello! C: Hello!
            15530 release turn 4
        +500 reply " **\n"
        +10 done
            15940 ask turn 4 again A: Hello, how can I help? C: Hello there C: Hello? A: Yes. C: Hello! C: Hello!
            15940 say #6 turn 4 Difficulty
        +500 ends #6
        +500 llm_fails
            16940 cancel turn 4
            16940 finished turn 4 C: Hello! A: Trying again. words=200 reply=700 commit=300
            16940 say #7 turn 5 Goodbye
        +500 ends #7
            17440 finished turn 5
            17440 hang up: EngineFailure
        "#,
    );
}

#[test]
fn a_request_that_fails_unheard_is_repeated_at_the_commit() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
        +50 reply "Nine to five. And on"
            4130 say #1 turn 1 held "Nine to five."
        +10 llm_fails
            4380 release turn 1
            4380 ask turn 1 again A: Hello, how can I help? C: what are your hours A: Nine to five.
        +290 starts #1
        +900 ends #1
        +300 reply "On Sundays we are closed."
        +0 done
            5630 say #2 turn 1 "On Sundays we are closed."
        +10 starts #2
        +900 ends #2
            6540 finished turn 1 C: what are your hours A: Nine to five. On Sundays we are closed. words=200 reply=250 commit=500 audio=550
        "#,
    );
}

#[test]
fn a_reply_that_fails_midway_goes_on() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning. How may I"
            4380 say #1 turn 1 "Good morning."
        +10 llm_fails
            4390 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +50 starts #1
        +500 ends #1
        +500 reply "How may I help?"
        +10 done
            5450 say #2 turn 1 "How may I help?"
        +50 starts #2
        +500 ends #2
            6000 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=560
        "#,
    );
}

#[test]
fn a_reply_that_fails_midway_twice_ends_with_a_prompt() {
    plays_out(
        |settings| settings.max_failures = 1,
        r#"
        (says hello)
        +300 reply "Good morning. How may I"
            4380 say #1 turn 1 "Good morning."
        +10 llm_fails
            4390 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +50 starts #1
        +500 ends #1
        +500 llm_fails
            5440 say #2 turn 1 AskAgain
        +50 starts #2
        +500 ends #2
            5990 finished turn 1 C: Hello? A: Good morning. words=200 reply=500 commit=300 audio=560
        +10 history
            6000 history A: Hello, how can I help? C: Hello? A: Good morning.
        "#,
    );
}

#[test]
fn a_reply_that_stalls_midway_is_covered_by_a_filler_and_asked_for_anew() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning. How"
            4380 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            6430 say #2 turn 1 Filler
        +1600 starts #2
            6930 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +900 ends #2
        +10 reply "How may I help?"
        +10 done
            7450 say #3 turn 1 "How may I help?"
        +50 starts #3
        +500 ends #3
            8000 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=550
        "#,
    );
}

#[test]
fn a_reply_that_stalls_midway_twice_ends_with_a_prompt() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning. How"
            4380 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            6430 say #2 turn 1 Filler
        +1600 starts #2
            6930 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +900 ends #2
        +10 reply "We are open. Until"
            7440 say #3 turn 1 "We are open."
        +50 starts #3
        +500 ends #3
            9490 say #4 turn 1 Filler
        +1600 starts #4
            9990 say #5 turn 1 AskAgain
        +900 ends #4
        +10 starts #5
        +500 ends #5
            11000 finished turn 1 C: Hello? A: Good morning. We are open. words=200 reply=500 commit=300 audio=550
        "#,
    );
}

#[test]
fn without_fillers_a_stall_is_covered_by_a_prompt() {
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::ZERO,
        r#"
        (says hello)
        +300 reply "Good morning. How"
            4380 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            6930 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
            6930 say #2 turn 1 Difficulty
        +2100 starts #2
        +900 ends #2
        +10 reply "How may I help?"
        +10 done
            7950 say #3 turn 1 "How may I help?"
        +50 starts #3
        +500 ends #3
            8500 finished turn 1 C: Hello? A: Good morning. Trying again. How may I help? words=200 reply=500 commit=300 audio=550
        "#,
    );
}

#[test]
fn a_reply_that_stalls_before_its_first_sentence_is_asked_for_anew() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good"
            5680 say #1 turn 1 Filler
            6380 ask turn 1 again A: Hello, how can I help? C: Hello?
            6380 say #2 turn 1 Difficulty
        +2300 starts #1
        +200 reply "Good morning."
        +10 done
            6890 say #3 turn 1 "Good morning."
        +500 ends #1
        +50 starts #2
        +500 ends #2
        +50 starts #3
        +500 ends #3
            8490 finished turn 1 C: Hello? A: Trying again. Good morning. words=200 reply=500 commit=300 audio=3560
        "#,
    );
}

#[test]
fn a_whole_sentence_before_a_stall_is_said() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning."
            5680 say #1 turn 1 Filler
            6380 say #2 turn 1 "Good morning."
            6380 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +2100 starts #1
        +500 ends #1
        +100 starts #2
        +500 ends #2
        +10 reply "How may I help?"
        +10 done
            7600 say #3 turn 1 "How may I help?"
        +500 ends #3
            8100 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=3200
        "#,
    );
}

#[test]
fn a_slow_reply_has_not_stalled() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning. How"
            4380 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            6430 say #2 turn 1 Filler
        +1900 reply " may"
        +1900 reply " I"
        +1900 reply " help?"
        +10 done
            10640 say #3 turn 1 "How may I help?"
        +50 starts #3
        +500 ends #3
            11190 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=550
        "#,
    );
}

#[test]
fn a_reply_of_which_nothing_more_is_complete_has_not_stalled() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Hello?"
            4080 ask turn 1 A: Hello, how can I help? C: Hello?
            4180 release turn 1
        +300 reply "Good morning. How"
            4380 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            6430 say #2 turn 1 Filler
        +1900 writes
        +1900 writes
        +1900 writes
        +1900 reply " may I help?"
        +10 done
            12540 say #3 turn 1 "How may I help?"
        +50 starts #3
        +500 ends #3
            13090 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=550
        "#,
    );
}

/// The text so far is a whole sentence: the next one is kept back until it is complete, the tool until its arguments are.
#[test]
fn a_sentence_is_spoken_when_the_next_one_begins_or_the_text_pauses() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "Hello?"
            4080 ask turn 1 A: Hello, how can I help? C: Hello?
            4180 release turn 1
        +300 reply "Good"
        +20 reply " morning."
        +20 writes
            4420 say #1 turn 1 "Good morning."
        +300 reply " It costs 3."
        +20 pauses
        +20 reply "50 now."
        +80 pauses
            4840 say #2 turn 1 "It costs 3.50 now."
        +10 done
        +50 starts #1
        +500 ends #1
        +0 starts #2
        +500 ends #2
            5900 finished turn 1 C: Hello? A: Good morning. It costs 3.50 now. words=200 reply=500 commit=300 audio=1020
        "#,
    );
}

#[test]
fn an_early_reply_that_is_taken_back_fails_nothing() {
    plays_out(
        |settings| settings.max_failures = 1,
        r#"
        (asks)
        +80 words "please tell"
            4080 ask turn 1 A: Hello, how can I help? C: please tell
        +50 llm_fails
        +100 speech
            4230 cancel turn 1
        +1000 pause
            5230 transcribe #1 turn 2 2940..5110
        +80 words "what are your hours?"
            5410 ask turn 2 A: Hello, how can I help? C: what are your hours?
        +200 reply #2 "Nine to five."
        +0 done
            5510 say #1 turn 2 "Nine to five."
        +900 ends #1
            6410 finished turn 2 C: what are your hours? A: Nine to five. words=200 reply=400 commit=300
        +0 tick
        "#,
    );
}

#[test]
fn speech_without_end_is_answered_all_the_same() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
            32940 transcribe #0 turn 1 2940..32940
        +31000 stt_fails
            34000 say #1 turn 1 DidNotCatch
        "#,
    );
}
