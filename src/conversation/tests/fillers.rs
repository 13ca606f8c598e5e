//! Prompts that cover the delay of a slow response.

use super::script::plays_out;

#[test]
fn a_sentence_that_is_synthesised_slowly_is_covered_by_a_filler() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +300 reply "Good morning. How may I help?"
            4380 say #1 turn 1 "Good morning."
        +10 done
            4390 say #2 turn 1 "How may I help?"
        +50 starts #1
        +500 ends #1
            6440 say #3 turn 1 Filler
        +1600 starts #3
        +900 ends #3
        +10 starts #2
        +500 ends #2
            7950 finished turn 1 C: Hello? A: Good morning. How may I help? words=200 reply=500 commit=300 audio=560
        "#,
    );
}

#[test]
fn a_late_response_is_covered_by_a_filler() {
    plays_out(
        |_| {},
        r#"
        (says hello)
            5680 say #1 turn 1 Filler
        +1800 starts #1
        +100 reply "Yes."
        +10 done
            5990 say #2 turn 1 "Yes."
        +400 ends #1
        +10 starts #2
        +500 ends #2
            6900 finished turn 1 C: Hello? A: Yes. words=200 reply=2100 commit=300 audio=2520
        "#,
    );
}

#[test]
fn zero_disables_the_filler() {
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::ZERO,
        r#"
        (says hello)
        +5000 tick
        "#,
    );
}

#[test]
fn late_words_are_covered_by_a_filler() {
    plays_out(
        |_| {},
        r#"
        (asks)
            5880 say #1 turn 1 Filler
        +2500 stt_fails
            6500 say #2 turn 1 DidNotCatch
        "#,
    );
}

#[test]
fn a_long_wait_is_covered_by_several_fillers() {
    plays_out(
        |_| {},
        r#"
        (asks)
            5880 say #1 turn 1 Filler
        +1900 starts #1
        +1000 ends #1
        +4000 words "Hello?"
            10900 ask turn 1 A: Hello, how can I help? C: Hello?
            11900 say #2 turn 1 Filler
        +1010 starts #2
        +990 ends #2
        +4000 reply "Yes."
        +10 done
            16910 say #3 turn 1 "Yes."
            17900 say #4 turn 1 Filler
        +1000 starts #4
        +1000 ends #4
        +4000 starts #3
        +6000 ends #3
            28910 finished turn 1 C: Hello? A: Yes. words=7020 reply=13020 commit=7020 audio=19030
        "#,
    );
}

#[test]
fn a_filler_that_plays_while_the_words_arrive_is_not_followed_by_another_at_once() {
    plays_out(
        |_| {},
        r#"
        (asks)
            5880 say #1 turn 1 Filler
        +1900 starts #1
        +100 words "Hello?"
            6000 ask turn 1 A: Hello, how can I help? C: Hello?
        +900 ends #1
            11900 say #2 turn 1 Filler
        +5500 llm_fails
            12400 ask turn 1 again A: Hello, how can I help? C: Hello?
            12400 say #3 turn 1 Difficulty
        +500 ends #2
        +10 starts #3
        +6000 left
            18910 finished turn 1 C: Hello? words=2120 commit=2120 audio=9030
            18910 hang up: CallerLeft
        "#,
    );
}
