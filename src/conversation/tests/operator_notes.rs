//! Notes of a person who follows the call, and a muted agent.

use super::script::plays_out;

#[test]
fn a_note_is_in_the_context_of_the_next_response() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_note "The rye bread is sold out."
            3000 accepted
        +1000 speech
        +1000 pause
            5000 transcribe #0 turn 1 3940..4880
        +80 words "Do you have rye bread?"
            5080 ask turn 1 A: Hello, how can I help? N: The rye bread is sold out. C: Do you have rye bread?
        "#,
    );
}

#[test]
fn a_note_discards_a_response_that_was_prepared_without_it() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
        +20 op_note "It is sold out."
            4100 accepted
            4100 cancel turn 1
            4180 ask turn 2 A: Hello, how can I help? N: It is sold out. C: Do you have rye bread?
        +200 speech
            4300 flush
            4300 cancel turn 2
        +500 tick
        "#,
    );
}

#[test]
fn a_retracted_utterance_leaves_the_note() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
            4180 release turn 1
        +200 op_note "It is sold out."
            4280 accepted
        +100 speech
            4380 flush
            4380 cancel turn 1
        +900 pause
            5280 transcribe #1 turn 2 2940..5160
        +80 words "Do you have rye bread today?"
        +10 history
            5370 history A: Hello, how can I help? N: It is sold out.
        "#,
    );
}

#[test]
fn a_note_may_be_answered_at_once() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_note soon "Ask for their name."
            3000 accepted
            3000 ask turn 1 A: Hello, how can I help? N: Ask for their name. N!
        +200 reply "May I have your name?"
        +0 done
            3200 say #1 turn 1 "May I have your name?"
        +50 starts #1
        +900 ends #1
            4150 finished turn 1 A: May I have your name? reply=200 audio=250
        +100 history
            4250 history A: Hello, how can I help? N: Ask for their name. N! A: May I have your name?
        "#,
    );
}

#[test]
fn the_answer_to_a_note_waits_for_the_floor() {
    plays_out(
        |_| {},
        r#"
        (asks for bread)
            4180 release turn 1
        +300 reply "Yes."
        +0 done
            4380 say #1 turn 1 "Yes."
        +50 op_note soon "It is sold out."
            4430 accepted
        +50 starts #1
        +500 ends #1
            4980 finished turn 1 C: Do you have rye bread? A: Yes. words=200 reply=500 commit=300 audio=600
            4980 ask turn 2 A: Hello, how can I help? C: Do you have rye bread? N: It is sold out. A: Yes. N!
        +200 speech
            5320 pause playback
        +400 tick
            6120 flush
            6120 cancel turn 2
            6120 finished turn 2 (interrupted)
        +600 pause
            6180 transcribe #1 turn 3 5120..6060
        "#,
    );
}

#[test]
fn notes_are_limited() {
    let notes = "+10 op_note \"Be kind.\"\naccepted\n";
    let mut script = "(greeted)\n".to_owned();
    for n in 1..=20 {
        script += &notes.replace("accepted", &format!("{} accepted", 2_000 + 10 * n));
    }
    script += "+10 op_note \"Be kind.\"\n2210 refused: TooMany\n";
    plays_out(|_| {}, &script);
}

#[test]
fn a_muted_agent_neither_hears_nor_answers() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +100 op_mute 60000
            4180 release turn 1
            4180 accepted
            4180 agent Muted
            4180 cancel turn 1
            4180 finished turn 1 C: What are your hours? words=200 commit=300
        +200 reply "Nine to five."
        +500 speech
        +900 pause
        +10 key 1
        +20000 op_say "One moment, please."
            25790 accepted
            25790 say #1 turn 2 "One moment, please."
        +50 starts #1
        +300 speech
        +600 ends #1
            26740 finished turn 2 O: One moment, please. audio=50
        +5000 op_unmute
            31740 accepted
            31740 agent Unmuted
        +0 speech 0
        +900 pause
            32640 transcribe #1 turn 3 31740..32520
        "#,
    );
}

#[test]
fn a_mute_waits_for_the_words_about_an_emergency() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "This is an emergency!"
            4180 emergency
            4180 say #1 turn 1 Emergency
            4180 ask turn 1 A: Hello, how can I help? C: This is an emergency!
        +500 starts #1
        +100 op_mute 60000
            4680 accepted
        +100 llm_fails
            4780 ask turn 1 again A: Hello, how can I help? C: This is an emergency!
            4780 say #2 turn 1 Difficulty
        +900 ends #1
            5680 agent Muted
            5680 flush
            5680 cancel turn 1
            5680 finished turn 1 C: This is an emergency! words=200 commit=300 audio=700
        +500 op_unmute
            6180 accepted
            6180 agent Unmuted
        "#,
    );
}

#[test]
fn a_mute_ends_by_itself() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_mute 20000
            3000 accepted
            3000 agent Muted
        +10000 op_mute 30000
            13000 accepted
            43000 agent Unmuted
            50000 say #1 turn 1 StillThere
        +60000 tick
        "#,
    );
}

#[test]
fn a_muted_agent_acts_on_a_note_when_it_hears_again() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 op_mute 60000
            3000 accepted
            3000 agent Muted
        +10 op_note soon "Apologise."
            3010 accepted
        +5000 op_unmute
            8010 accepted
            8010 agent Unmuted
            8010 ask turn 1 A: Hello, how can I help? N: Apologise. N!
        "#,
    );
}

#[test]
fn a_muted_call_ends_at_its_limit() {
    plays_out(
        |settings| {
            settings.max_duration_ms = std::time::Duration::from_secs(60);
            settings.warn_before_ms = std::time::Duration::from_secs(20);
        },
        r#"
        (greeted)
        +1000 op_mute 600000
            3000 accepted
            3000 agent Muted
            60000 say #1 turn 1 TimeLimitGoodbye
        +58000 ends #1
            61000 finished turn 1
            61000 hang up: TimeLimit
        "#,
    );
}
