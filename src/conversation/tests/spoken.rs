//! Responses that the model speaks itself: one speech, of which the words arrive beside its audio.

use super::script::{plays_out, waits_shortly_for_words};

#[test]
fn a_response_that_the_model_speaks_is_one_speech() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +150 speaks "Good morning."
            4230 say #1 turn 1 the model's own speech
        +50 starts #1
        +100 speaks " How can I help?"
        +10 done
        +900 ends #1
            5290 finished turn 1 C: Hello? A: Good morning. How can I help? words=200 reply=350 commit=300 audio=400
        +10 history
            5300 history A: Hello, how can I help? C: Hello? A: Good morning. How can I help?
        "#,
    );
}

#[test]
fn an_interrupted_speech_keeps_the_words_that_were_heard() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (says hello)
        +150 speaks "Good morning. We have rye bread, wheat bread and spelt today."
            4230 say #1 turn 1 the model's own speech
        +50 starts #1
        +10 done
        +2000 played #1 2000 4000
        +100 speech
            6530 pause playback
        +700 pause
            7090 transcribe #1 turn 2 6330..6970
        +100 words "Stop, please."
            7190 flush
            7190 cancel turn 1
            7190 finished turn 1 C: Hello? A: Good morning. We have rye (interrupted) words=200 reply=350 commit=300 audio=400
            7190 ask turn 2 A: Hello, how can I help? C: Hello? A: Good morning. We have rye C: Stop, please.
        +10 history
            7200 history A: Hello, how can I help? C: Hello? A: Good morning. We have rye
        "#,
    );
}

#[test]
fn the_rest_of_a_speech_that_breaks_off_is_asked_for_again() {
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::from_millis(1_500),
        r#"
        (says hello)
        +150 speaks "Good morning. We have"
            4230 say #1 turn 1 the model's own speech
        +50 starts #1
        +100 llm_fails
            4380 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning. We have
        +500 ends #1
        +300 reply "rye bread."
        +10 done
            5190 say #2 turn 1 "rye bread."
        +50 starts #2
        +500 ends #2
            5740 finished turn 1 C: Hello? A: Good morning. We have rye bread. words=200 reply=350 commit=300 audio=400
        +10 history
            5750 history A: Hello, how can I help? C: Hello? A: Good morning. We have rye bread.
        "#,
    );
}

/// The words are ahead of the audio, of which a second has arrived.
#[test]
fn words_without_audio_are_not_said_when_a_speech_breaks_off() {
    plays_out(
        |settings| settings.filler_ms = std::time::Duration::from_millis(1_500),
        r#"
        (says hello)
        +150 speaks "Good morning. We have rye bread, wheat bread and spelt today."
            4230 say #1 turn 1 the model's own speech
        +50 starts #1
        +100 sound_ends 1000
        +0 llm_fails
            4380 ask turn 1 again A: Hello, how can I help? C: Hello? A: Good morning.
        +900 ends #1
        +100 reply "We have rye bread."
        +10 done
            5390 say #2 turn 1 "We have rye bread."
        +50 starts #2
        +500 ends #2
            5940 finished turn 1 C: Hello? A: Good morning. We have rye bread. words=200 reply=350 commit=300 audio=400
        +10 history
            5950 history A: Hello, how can I help? C: Hello? A: Good morning. We have rye bread.
        "#,
    );
}

/// No audio has arrived: the caller has heard nothing.
#[test]
fn a_speech_without_audio_that_breaks_off_is_none() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +150 speaks "Good morning."
            4230 say #1 turn 1 the model's own speech
        +100 sound_ends 0
        +0 llm_fails
            4330 ask turn 1 again A: Hello, how can I help? C: Hello?
            4330 say #2 turn 1 Difficulty
        "#,
    );
}

#[test]
fn a_tool_follows_the_words_of_a_speech() {
    plays_out(
        |_| {},
        r#"
        (says hello)
        +150 speaks "Let me see."
            4230 say #1 turn 1 the model's own speech
        +20 tool stock
            4250 run #0 turn 1 stock({})
        +10 done
        +50 starts #1
        +500 ends #1
        +100 result #0 "12"
            4910 ask turn 1 A: Hello, how can I help? C: Hello? A: Let me see. T: stock R: stock 12
        +100 speaks "We have twelve."
            5010 say #2 turn 1 the model's own speech
        +10 done
        +50 starts #2
        +500 ends #2
            5570 finished turn 1 C: Hello? A: Let me see. We have twelve. T: stock succeeded 660 words=200 reply=350 commit=300 audio=430
        +10 history
            5580 history A: Hello, how can I help? C: Hello? A: Let me see. T: stock R: stock 12 A: We have twelve.
        "#,
    );
}
