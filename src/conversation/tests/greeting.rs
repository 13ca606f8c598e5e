//! The greeting by the model, and conversations that the caller begins.

use super::script::{play, plays_out, settings};
use crate::conversation::{Conversation, GreetingMode, Settings};

fn by_model(settings: &mut Settings) {
    settings.greeting_mode = GreetingMode::Model;
}

fn waits(settings: &mut Settings) {
    settings.greeting_mode = GreetingMode::Wait;
}

#[track_caller]
fn plays_out_after_notice(change: impl FnOnce(&mut Settings), script: &str) {
    let mut settings = settings();
    change(&mut settings);
    play(Conversation::new(settings).with_notice(), script);
}

#[test]
fn the_model_greets_the_caller() {
    plays_out(
        by_model,
        r#"
        +0 answer
            0 ask turn 0
        +600 reply "Good morning, Ms. Roth."
        +0 done
            600 say #0 turn 0 "Good morning, Ms. Roth."
        +100 starts #0
        +900 ends #0
            1600 finished turn 0 A: Good morning, Ms. Roth. reply=600 audio=700
        "#,
    );
}

#[test]
fn a_greeting_that_fails_or_says_nothing_is_the_text() {
    for end in ["llm_fails", "done"] {
        let script = r#"
        +0 answer
            0 ask turn 0
        +600 END
            600 say #0 turn 0 Greeting
        +100 starts #0
        +900 ends #0
            1600 finished turn 0 A: Hello, how can I help? audio=700
        "#;
        plays_out(by_model, &script.replace("END", end));
    }
}

#[test]
fn a_greeting_that_is_late_is_the_text() {
    plays_out(
        by_model,
        r#"
        +0 answer
            0 ask turn 0
            1500 say #0 turn 0 Greeting
        +1600 reply "Good morning."
        +0 done
        +100 starts #0
        +900 ends #0
            2600 finished turn 0 A: Hello, how can I help? audio=1700
        "#,
    );
}

#[test]
fn the_notice_precedes_the_models_greeting() {
    plays_out_after_notice(
        by_model,
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 ask turn 0
        +50 starts #0
        +500 reply "Good morning."
        +0 done
            550 say #1 turn 0 "Good morning."
        +1950 ends #0
            2500 notice heard
        +10 starts #1
        +900 ends #1
            3410 finished turn 0 A: Good morning. reply=550 audio=50
        "#,
    );
}

#[test]
fn a_greeting_is_late_from_the_end_of_the_notice() {
    plays_out_after_notice(
        by_model,
        r#"
        +0 answer
            0 say #0 turn 0 Notice
            0 ask turn 0
        +50 starts #0
        +2450 ends #0
            2500 notice heard
            4000 say #1 turn 0 Greeting
        +1600 starts #1
        "#,
    );
}

#[test]
fn the_caller_speaks_first() {
    plays_out(
        waits,
        r#"
        +0 answer
        +1000 speech
        +1000 pause
            2000 transcribe #0 turn 0 940..1880
        +80 words "Do you have bread?"
            2080 ask turn 0 C: Do you have bread?
            2180 release turn 0
        +300 reply "Yes."
        +0 done
            2380 say #0 turn 0 "Yes."
        "#,
    );
}

#[test]
fn a_caller_who_does_not_begin_is_asked() {
    plays_out(
        waits,
        r#"
        +0 answer
            7000 say #0 turn 0 StillThere
        +7100 starts #0
        "#,
    );
    plays_out_after_notice(
        waits,
        r#"
        +0 answer
            0 say #0 turn 0 Notice
        +50 starts #0
        +1950 ends #0
            2000 notice heard
            2000 finished turn 0 audio=50
            9000 say #1 turn 1 StillThere
        +7100 starts #1
        "#,
    );
}

#[test]
fn hello_does_not_stop_a_greeting_that_is_being_made() {
    plays_out(
        by_model,
        r#"
        +0 answer
            0 ask turn 0
        +300 speech
            440 pause playback
        +500 pause
            800 transcribe #0 turn 1 240..680
        +80 words "Hello?"
            880 resume playback
        +100 reply "Good morning."
        +0 done
            980 say #0 turn 0 "Good morning."
        +10 starts #0
        +900 ends #0
            1890 finished turn 0 A: Good morning. reply=980 audio=990
        "#,
    );
}
