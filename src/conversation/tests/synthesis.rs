//! Failures of speech synthesis.

use super::script::plays_out;

#[test]
fn a_sentence_that_cannot_be_synthesised_is_repeated_then_excused_in_its_place() {
    plays_out(
        |settings| settings.max_failures = 1,
        r#"
        (says hello)
        +300 reply "Good morning. How are you? I am fine. "
            4380 say #1 turn 1 "Good morning."
            4380 say #2 turn 1 "How are you?"
        +10 done
            4390 say #3 turn 1 "I am fine."
        +10 broken #1
            4400 replace #1 by #4 "Good morning."
        +10 starts #4
        +500 ends #4
        +10 broken #2
            4920 replace #2 by #5 "How are you?"
        +100 broken #5
            5020 replace #5 by #6 AudioIssues
        +10 starts #6
        +500 ends #6
        +10 broken #3
            5540 finished turn 1 C: Hello? A: Good morning. words=200 reply=500 commit=300 audio=530
        +10 history
            5550 history A: Hello, how can I help? C: Hello? A: Good morning.
        +1000 speech
        +1000 pause
            7550 transcribe #1 turn 2 6490..7430
        +80 words "Hello?"
            7630 ask turn 2 A: Hello, how can I help? C: Hello? A: Good morning. C: Hello?
            7730 release turn 2
        +300 reply "Yes."
        +10 done
            7940 say #7 turn 2 "Yes."
        +10 broken #7
            7950 replace #7 by #8 "Yes."
        +10 broken #8
            7960 replace #8 by #9 AudioIssues
        +1000 ends #9
            8960 finished turn 2 C: Hello? words=200 reply=500 commit=300
            8960 say #10 turn 3 Goodbye
        +1000 ends #10
            9960 finished turn 3
            9960 hang up: EngineFailure
        "#,
    );
}

#[test]
fn a_sentence_that_breaks_off_while_it_plays_is_said_again() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning to all of you. How are you?"
            4380 say #1 turn 1 "Good morning to all of you."
        +10 done
            4390 say #2 turn 1 "How are you?"
        +10 starts #1
        +500 played #1 500
        +50 broken #1
            4950 replace #1 by #3 "Good morning to all of you."
        +50 ends #1
            5000 say #4 turn 1 Filler
        +10 starts #4
        +900 ends #4
        +10 starts #3
        +900 ends #3
        +10 starts #2
        +900 ends #2
            7730 finished turn 1 C: Hello? A: Good morning to all of you. How are you? words=200 reply=500 commit=300 audio=520
        +10 history
            7740 history A: Hello, how can I help? C: Hello? A: Good morning to all of you. How are you?
        "#,
    );
}

#[test]
fn audio_before_a_failure_of_synthesis_is_still_played() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning to all of you."
        +10 done
            4390 say #1 turn 1 "Good morning to all of you."
        +10 broken #1
            4400 replace #1 by #2 "Good morning to all of you."
        +10 starts #1
        +500 played #1 500
        +50 ends #1
            4960 say #3 turn 1 Filler
        +10 broken #2
            4970 replace #2 by #4 AudioIssues
        +500 ends #4
            5470 finished turn 1 C: Hello? A: Good words=200 reply=500 commit=300 audio=530
        "#,
    );
}

#[test]
fn synthesis_that_fails_unheard_prompts_once_the_turn_is_committed() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "what are your hours"
            4080 ask turn 1 A: Hello, how can I help? C: what are your hours
        +50 reply "Nine to five."
        +10 done
            4140 say #1 turn 1 held "Nine to five."
        +10 broken #1
            4150 replace #1 by #2 held "Nine to five."
        +10 broken #2
            4160 replace #2 by #3 held AudioIssues
            4380 release turn 1
        +300 ends #3
            4460 finished turn 1 C: what are your hours words=200 reply=250 commit=500
        "#,
    );
}

#[test]
fn a_failing_difficulty_in_a_paused_bridge_waits_for_its_end() {
    plays_out(
        |_| {},
        r#"
        (says hello)
            5680 say #1 turn 1 Filler
        +1800 starts #1
        +500 speech
            6520 pause playback
        +300 pause
            6680 transcribe #1 turn 2 6320..6560
        +50 llm_fails
            6730 ask turn 1 again A: Hello, how can I help? C: Hello?
            6730 say #2 turn 1 Difficulty
        +50 words "Okay."
            6780 resume playback
        +500 ends #1
        +500 ends #2
        "#,
    );
}
