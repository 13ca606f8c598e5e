use super::script::{anything_interrupts_the_greeting, plays_out, waits_shortly_for_words};

#[test]
fn meaningful_words_interrupt() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +50 reply "We are open from nine to five every day. And on Sundays too."
            4130 say #1 turn 1 held "We are open from nine to five every day."
        +10 done
            4140 say #2 turn 1 held "And on Sundays too."
            4180 release turn 1
        +300 starts #1
        +500 played #1 500 2000
        +200 speech
            5280 pause playback
        +200 played #1 900 2000
        +200 pause
            5540 transcribe #1 turn 2 5080..5420
        +150 words "No, on Monday."
            5690 flush
            5690 cancel turn 1
            5690 finished turn 1 C: What are your hours? A: We are open from (interrupted) words=200 reply=250 commit=300 audio=560
            5690 ask turn 2 A: Hello, how can I help? C: What are your hours? A: We are open from C: No, on Monday.
            5720 release turn 2
        +100 history
            5790 history A: Hello, how can I help? C: What are your hours? A: We are open from C: No, on Monday.
        +100 reply #1 "More."
        +10 ends #1
        +50 reply "On Monday, none. "
        +300 left
            6250 finished turn 2 C: No, on Monday. words=270 reply=530 commit=300
            6250 hang up: CallerLeft
        "#,
    );
}

#[test]
fn words_that_the_engine_reports_as_spoken_are_those_that_were_heard() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +50 reply "We are open from nine to five every day. And on Sundays too."
            4130 say #1 turn 1 held "We are open from nine to five every day."
        +10 done
            4140 say #2 turn 1 held "And on Sundays too."
            4180 release turn 1
        +300 starts #1
        +500 played #1 500 2000 5
        +200 speech
            5280 pause playback
        +200 played #1 900 2000 9
        +200 pause
            5540 transcribe #1 turn 2 5080..5420
        +150 words "No, on Monday."
            5690 flush
            5690 cancel turn 1
            5690 finished turn 1 C: What are your hours? A: We are open (interrupted) words=200 reply=250 commit=300 audio=560
            5690 ask turn 2 A: Hello, how can I help? C: What are your hours? A: We are open C: No, on Monday.
            5720 release turn 2
        +300 left
            5990 finished turn 2 C: No, on Monday. words=270 commit=300
            5990 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_backchannel_resumes() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
        +150 words "Uh-huh."
            1800 resume playback
        +1000 ends #0
            2800 finished turn 0 A: Hello, how can I help? audio=50
        +0 tick
        "#,
    );
}

#[test]
fn a_pause_without_words_resumes_and_late_words_still_interrupt() {
    plays_out(
        waits_shortly_for_words,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
            2130 resume playback
        +650 played #0 1200 2000
        +50 words "Stop!"
            2350 flush
            2350 cancel turn 0
            2350 finished turn 0 A: Hello, how (interrupted) audio=50
            2350 ask turn 1 A: Hello, how C: Stop!
            2350 release turn 1
        +10 words #0 "Stop!"
        +500 left
            2860 finished turn 1 C: Stop! words=820 commit=820
            2860 hang up: CallerLeft
        "#,
    );
}

#[test]
fn failing_stt_resumes() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +600 pause
            1650 transcribe #0 turn 1 990..1530
        +100 stt_fails
            1750 resume playback
        +1000 ends #0
            2750 finished turn 0 A: Hello, how can I help? audio=50
        "#,
    );
}

#[test]
fn a_short_sound_does_not_even_pause() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech 60
        +120 pause
        +1000 speech 60
        +100 pause
        +1000 ends #0
            3270 finished turn 0 A: Hello, how can I help? audio=50
        "#,
    );
}

#[test]
fn long_speech_interrupts_regardless_of_its_words() {
    plays_out(
        anything_interrupts_the_greeting,
        r#"
        (greeting)
        +500 played #0 500 2000
        +500 speech
            1190 pause playback
            1990 flush
            1990 cancel turn 0
            1990 finished turn 0 (interrupted) audio=50
        +2000 pause
            3050 transcribe #0 turn 1 990..2930
        +100 words "okay okay."
            3150 ask turn 1 C: okay okay.
            3230 release turn 1
        +500 left
            3650 finished turn 1 C: okay okay. words=220 commit=300
            3650 hang up: CallerLeft
        "#,
    );
}

#[test]
fn speech_in_two_runs_adds_up() {
    plays_out(
        anything_interrupts_the_greeting,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +700 pause
            1750 transcribe #0 turn 1 990..1630
        +200 speech
        +20 words "okay"
            2250 flush
            2250 cancel turn 0
            2250 finished turn 0 (interrupted) audio=50
        +1500 pause
            3470 transcribe #1 turn 2 990..3350
        +100 words "Okay, but what is that?"
            3570 ask turn 2 C: Okay, but what is that?
            3650 release turn 2
        +500 left
            4070 finished turn 2 C: Okay, but what is that? words=220 commit=300
            4070 hang up: CallerLeft
        "#,
    );
}

#[test]
fn meaningful_words_interrupt_while_the_caller_speaks_on() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +700 pause
            1750 transcribe #0 turn 1 990..1630
        +200 speech
        +20 words "Excuse me,"
            1970 flush
            1970 cancel turn 0
            1970 finished turn 0 (interrupted) audio=50
            1970 cancel turn 1
        +1500 pause
            3470 transcribe #1 turn 2 990..3350
        +100 words "Excuse me, what is that?"
            3570 ask turn 2 C: Excuse me, what is that?
            3650 release turn 2
        +500 left
            4070 finished turn 2 C: Excuse me, what is that? words=220 commit=300
            4070 hang up: CallerLeft
        "#,
    );
}

#[test]
fn a_response_that_was_over_when_it_was_paused_stands() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +200 ends #0
            1250 finished turn 0 A: Hello, how can I help? audio=50
            1250 resume playback
        +500 pause
            1750 transcribe #0 turn 1 990..1630
        +100 words "A table for two."
            1850 ask turn 1 A: Hello, how can I help? C: A table for two.
            1930 release turn 1
        +500 left
            2350 finished turn 1 C: A table for two. words=220 commit=300
            2350 hang up: CallerLeft
        "#,
    );
}

#[test]
fn words_that_are_pending_at_the_end_of_a_response_are_a_turn() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +500 pause
            1550 transcribe #0 turn 1 990..1430
        +10 ends #0
            1560 finished turn 0 A: Hello, how can I help? audio=50
            1560 resume playback
        +100 words "Yes."
            1660 ask turn 1 A: Hello, how can I help? C: Yes.
            1730 release turn 1
        +500 left
            2160 finished turn 1 C: Yes. words=230 commit=300
            2160 hang up: CallerLeft
        "#,
    );
}

#[test]
fn without_barge_in_speech_counts_from_the_end_of_the_agents() {
    plays_out(
        |settings| settings.barge_in = false,
        r#"
        (greeting)
        +1000 speech
        +500 pause
        +500 speech
        +500 ends #0
            2550 finished turn 0 A: Hello, how can I help? audio=50
        +500 pause
            3050 transcribe #0 turn 1 2550..2930
        +100 words "A table for two."
            3150 ask turn 1 A: Hello, how can I help? C: A table for two.
            3230 release turn 1
        +500 left
            3650 finished turn 1 C: A table for two. words=220 commit=300
            3650 hang up: CallerLeft
        "#,
    );
}

#[test]
fn words_after_a_filler_are_joined_to_the_question() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
            4180 release turn 1
            5680 say #1 turn 1 Filler
        +1800 starts #1
        +100 speech
            6120 pause playback
        +700 pause
            6680 transcribe #1 turn 2 5920..6560
        +100 words "On Monday."
            6780 flush
            6780 cancel turn 1
            6860 ask turn 2 A: Hello, how can I help? C: What are your hours? On Monday.
        +500 left
            7280 finished turn 2 C: What are your hours? On Monday. words=220 commit=300
            7280 hang up: CallerLeft
        "#,
    );
}

#[test]
fn an_interruption_without_early_reply_asks_at_the_commit() {
    plays_out(
        |settings| settings.early_reply = false,
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +700 pause
            1750 transcribe #0 turn 1 990..1630
        +100 words "A table for two."
            1850 flush
            1850 cancel turn 0
            1850 finished turn 0 (interrupted) audio=50
            1930 ask turn 1 C: A table for two.
        +500 left
            2350 finished turn 1 C: A table for two. words=220 commit=300
            2350 hang up: CallerLeft
        "#,
    );
}

#[test]
fn yes_is_an_answer_once_the_question_was_asked() {
    plays_out(
        |_| {},
        r#"
        (asks)
        +80 words "A table for two."
            4080 ask turn 1 A: Hello, how can I help? C: A table for two.
        +50 reply "We have one at nine. Shall I book it?"
            4130 say #1 turn 1 held "We have one at nine."
        +10 done
            4140 say #2 turn 1 held "Shall I book it?"
            4180 release turn 1
        +300 starts #1
        +500 speech
            5080 pause playback
        +500 pause
            5440 transcribe #1 turn 2 4880..5320
        +50 words "Okay."
            5490 resume playback
        +500 ends #1
        +10 starts #2
        +700 speech
            6840 pause playback
        +200 played #2 900 1200
        +100 pause
            7000 transcribe #2 turn 3 6640..6880
        +100 words "Yes."
            7100 flush
            7100 cancel turn 1
            7100 finished turn 1 C: A table for two. A: We have one at nine. Shall I book (interrupted) words=200 reply=250 commit=300 audio=560
            7100 ask turn 3 A: Hello, how can I help? C: A table for two. A: We have one at nine. Shall I book C: Yes.
            7180 release turn 3
        +400 left
            7500 finished turn 3 C: Yes. words=220 commit=300
            7500 hang up: CallerLeft
        "#,
    );
}

#[test]
fn yes_is_an_answer_to_the_question_of_a_phrase_too() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1400 speech
            1590 pause playback
        +200 played #0 1600 2000
        +200 pause
            1850 transcribe #0 turn 1 1390..1730
        +100 words "Yes."
            1950 flush
            1950 cancel turn 0
            1950 finished turn 0 A: Hello, how can I (interrupted) audio=50
            1950 ask turn 1 A: Hello, how can I C: Yes.
            2030 release turn 1
        +500 reply "Good."
        +0 done
            2450 say #1 turn 1 "Good."
        +500 ends #1
            2950 finished turn 1 C: Yes. A: Good. words=220 reply=720 commit=300
            9950 say #2 turn 2 StillThere
        +7050 starts #2
        +400 speech
            10540 pause playback
        +200 played #2 600 800
        +200 pause
            10800 transcribe #1 turn 3 10340..10680
        +100 words "Yeah."
            10900 flush
            10900 cancel turn 2
            10900 finished turn 2 A: Are you (interrupted) audio=50
            10900 ask turn 3 A: Hello, how can I C: Yes. A: Good. A: Are you C: Yeah.
        "#,
    );
}
