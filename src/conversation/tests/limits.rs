use std::time::Duration;

use super::script::plays_out;

#[test]
fn a_silent_caller_is_prompted_twice_then_left() {
    plays_out(
        |_| {},
        r#"
        (greeted)
            9000 say #1 turn 1 StillThere
        +7100 starts #1
        +900 ends #1
            10000 finished turn 1 A: Are you there? audio=100
            17000 say #2 turn 2 StillThere
        +7100 ends #2
            17100 finished turn 2 A: Are you there?
            24100 say #3 turn 3 SilenceGoodbye
        +7100 starts #3
        +10 speech
        +900 pause
        +1000 ends #3
            26110 finished turn 3 audio=100
            26110 hang up: Silence
        "#,
    );
}

#[test]
fn an_answered_prompt_starts_the_count_anew() {
    plays_out(
        |settings| settings.silence_prompts = 1,
        r#"
        (greeted)
            9000 say #1 turn 1 StillThere
        +8000 ends #1
            10000 finished turn 1 A: Are you there?
        +1000 speech
        +500 pause
            11500 transcribe #0 turn 2 10940..11380
        +80 words "Yes."
            11580 ask turn 2 A: Hello, how can I help? A: Are you there? C: Yes.
            11680 release turn 2
        +200 reply "Good."
        +0 done
            11780 say #2 turn 2 "Good."
        +500 ends #2
            12280 finished turn 2 C: Yes. A: Good. words=200 reply=400 commit=300
            19280 say #3 turn 3 StillThere
        +7001 tick
        "#,
    );
}

#[test]
fn the_last_turn_is_answered_before_the_goodbye() {
    plays_out(
        |settings| settings.max_turns = 1,
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Are you open?"
            3580 ask turn 1 A: Hello, how can I help? C: Are you open?
            3680 release turn 1
        +300 reply "Good morning."
        +0 done
            3880 say #1 turn 1 "Good morning."
        +50 starts #1
        +500 ends #1
            4430 finished turn 1 C: Are you open? A: Good morning. words=200 reply=500 commit=300 audio=550
            4430 say #2 turn 2 TurnLimitGoodbye
        +900 ends #2
            5330 finished turn 2
            5330 hang up: TurnLimit
        "#,
    );
}

#[test]
fn short_answers_do_not_count_towards_the_limit_of_turns() {
    plays_out(
        |settings| settings.max_turns = 1,
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Hello?"
            3580 ask turn 1 A: Hello, how can I help? C: Hello?
            3680 release turn 1
        +300 reply "Good morning. Your name?"
            3880 say #1 turn 1 "Good morning."
        +0 done
            3880 say #2 turn 1 "Your name?"
        +500 ends #1
        +500 ends #2
            4880 finished turn 1 C: Hello? A: Good morning. Your name? words=200 reply=500 commit=300
        +1000 speech
        +500 pause
            6380 transcribe #1 turn 2 5820..6260
        +80 words "John Smith"
            6460 ask turn 2 A: Hello, how can I help? C: Hello? A: Good morning. Your name? C: John Smith
            6760 release turn 2
        +400 reply "How can I help?"
        +0 done
            6860 say #3 turn 2 "How can I help?"
        +500 ends #3
            7360 finished turn 2 C: John Smith A: How can I help? words=200 reply=600 commit=500
        +1000 speech
        +500 pause
            8860 transcribe #2 turn 3 8300..8740
        +80 words "Are you open today?"
            8940 ask turn 3 A: Hello, how can I help? C: Hello? A: Good morning. Your name? C: John Smith A: How can I help? C: Are you open today?
            9040 release turn 3
        +300 reply "Yes."
        +0 done
            9240 say #4 turn 3 "Yes."
        +500 ends #4
            9740 finished turn 3 C: Are you open today? A: Yes. words=200 reply=500 commit=300
            9740 say #5 turn 4 TurnLimitGoodbye
        +900 ends #5
            10640 finished turn 4
            10640 hang up: TurnLimit
        "#,
    );
}

#[test]
fn the_caller_is_warned_before_the_limit_of_turns() {
    plays_out(
        |settings| settings.max_turns = 6,
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Are you open today?"
            3580 ask turn 1 A: Hello, how can I help? C: Are you open today?
            3680 release turn 1
        +300 reply "Yes."
        +0 done
            3880 say #1 turn 1 "Yes."
        +500 ends #1
            4380 finished turn 1 C: Are you open today? A: Yes. words=200 reply=500 commit=300
            4380 say #2 turn 2 TurnWarning
        +900 ends #2
            5280 finished turn 2
        +1000 speech
        +500 pause
            6780 transcribe #1 turn 3 6220..6660
        +80 words "And on Sunday too?"
            6860 ask turn 3 A: Hello, how can I help? C: Are you open today? A: Yes. C: And on Sunday too?
            6960 release turn 3
        +300 reply "No."
        +0 done
            7160 say #3 turn 3 "No."
        +500 ends #3
            7660 finished turn 3 C: And on Sunday too? A: No. words=200 reply=500 commit=300
            14660 say #4 turn 4 StillThere
        +7100 tick
        "#,
    );
}

#[test]
fn a_caller_who_interrupts_the_last_answer_is_not_answered_again() {
    plays_out(
        |settings| settings.max_turns = 1,
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Are you open?"
            3580 ask turn 1 A: Hello, how can I help? C: Are you open?
            3680 release turn 1
        +300 reply "Good morning."
        +0 done
            3880 say #1 turn 1 "Good morning."
        +50 starts #1
        +100 speech
            4170 pause playback
        +600 pause
            4630 transcribe #1 turn 2 3970..4510
        +100 words "And when are you open?"
            4730 flush
            4730 cancel turn 1
            4730 finished turn 1 C: Are you open? (interrupted) words=200 reply=500 commit=300 audio=550
            4810 cancel turn 2
            4810 finished turn 2 C: And when are you open? words=220
            4810 say #2 turn 3 TurnLimitGoodbye
        +500 ends #2
            5230 finished turn 3
            5230 hang up: TurnLimit
        "#,
    );
}

#[test]
fn the_warning_waits_for_silence_and_the_limit_does_not_wait() {
    plays_out(
        |settings| {
            settings.max_duration_ms = Duration::from_millis(10_000);
            settings.warn_before_ms = Duration::from_millis(7_000);
        },
        r#"
        (greeted)
        +900 speech
        +500 pause
            3400 transcribe #0 turn 1 2840..3280
        +80 words "Hello?"
            3480 ask turn 1 A: Hello, how can I help? C: Hello?
            3580 release turn 1
        +300 reply "Good morning to you."
        +0 done
            3780 say #1 turn 1 "Good morning to you."
        +50 starts #1
        +1500 ends #1
            5330 finished turn 1 C: Hello? A: Good morning to you. words=200 reply=500 commit=300 audio=550
            5330 say #2 turn 2 TimeWarning
        +100 starts #2
        +900 ends #2
            6330 finished turn 2 audio=100
        +1000 speech
        +500 pause
            7830 transcribe #1 turn 3 7270..7710
        +80 words "What?"
            7910 ask turn 3 A: Hello, how can I help? C: Hello? A: Good morning to you. C: What?
            8010 release turn 3
        +300 reply "Nothing much. What"
            8210 say #3 turn 3 "Nothing much."
        +50 starts #3
        +500 played #3 500 700
            10000 flush
            10000 cancel turn 3
            10000 finished turn 3 C: What? A: Nothing words=200 reply=500 commit=300 audio=550
            10000 say #4 turn 4 TimeLimitGoodbye
        +2000 speech
        +500 pause
        +1000 ends #4
            12260 finished turn 4
            12260 hang up: TimeLimit
        "#,
    );
}

#[test]
fn silence_is_warned_at_once() {
    plays_out(
        |settings| settings.max_duration_ms = Duration::from_millis(33_000),
        r#"
        (greeted)
            3000 say #1 turn 1 TimeWarning
        +1001 starts #1
        "#,
    );
}

#[test]
fn a_goodbye_that_is_never_played_is_cut_short() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +500 end
            2500 say #1 turn 1 Goodbye
        +500 end
        +500 speech
        +500 pause
            12500 finished turn 1
            12500 hang up: Requested
        +20000 tick
        +0 answer
        +0 speech
        +0 left
        "#,
    );
}

#[test]
fn an_end_on_request_drops_what_is_under_way() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +500 pause
            1550 transcribe #0 turn 1 990..1430
        +100 end
            1650 flush
            1650 cancel turn 0
            1650 cancel turn 1
            1650 finished turn 0 audio=50
            1650 say #1 turn 2 Goodbye
        +1000 ends #1
            2650 finished turn 2
            2650 hang up: Requested
        "#,
    );
}

#[test]
fn an_end_on_request_while_the_caller_speaks() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +100 words "I will tell you a story,"
            3600 ask turn 1 A: Hello, how can I help? C: I will tell you a story,
        +100 end
            3700 cancel turn 1
            3700 finished turn 1 C: I will tell you a story, words=220
            3700 say #1 turn 2 Goodbye
        +1000 ends #1
            4700 finished turn 2
            4700 hang up: Requested
        "#,
    );
}

#[test]
fn a_call_that_was_never_answered_ends_without_words() {
    plays_out(|_| {}, "+0 end\n0 hang up: Requested");
    plays_out(|_| {}, "+0 left\n0 hang up: CallerLeft");
}

#[test]
fn the_words_of_a_caller_who_leaves_are_on_record() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Hello?"
            3580 ask turn 1 A: Hello, how can I help? C: Hello?
            3680 release turn 1
        +300 reply "Good morning to you. Bye."
            3880 say #1 turn 1 "Good morning to you."
        +0 done
            3880 say #2 turn 1 "Bye."
        +50 starts #1
        +500 played #1 500 1000
        +10 left
            4440 finished turn 1 C: Hello? A: Good words=200 reply=500 commit=300 audio=550
            4440 hang up: CallerLeft
        +10 ends #1
        +0 reply "More."
        +9000 tick
        "#,
    );
}

#[test]
fn the_words_of_a_caller_who_leaves_after_them_are_on_record_too() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +500 pause
            3500 transcribe #0 turn 1 2940..3380
        +80 words "Thanks, goodbye."
            3580 ask turn 1 A: Hello, how can I help? C: Thanks, goodbye.
        +10 left
            3590 finished turn 1 C: Thanks, goodbye. words=200
            3590 hang up: CallerLeft
        "#,
    );
}

#[test]
fn the_limit_of_speech_that_passes_in_a_pause_counts_when_the_caller_goes_on() {
    plays_out(
        |_| {},
        r#"
        (greeted)
        +1000 speech
        +29900 pause
            32900 transcribe #0 turn 1 2940..32780
        +300 speech
            33200 transcribe #1 turn 1 33140..33200
        +300 pause
        +100 speech
        +400 pause
        +50 words ""
        +50 words #0 "Now the weather. Rain in the north and"
            34100 ask turn 1 A: Hello, how can I help? C: Now the weather. Rain in the north and
        +100 speech
        +500 reply "Pardon me?"
        +10 done
            34710 say #1 turn 1 "Pardon me?"
        +50 starts #1
        "#,
    );
}

#[test]
fn speech_over_the_agent_is_limited_too() {
    plays_out(
        |_| {},
        r#"
        (greeting)
        +1000 speech
            1190 pause playback
        +700 pause
            1750 transcribe #0 turn 1 990..1630
        +100 words "One, two and"
            1850 flush
            1850 cancel turn 0
            1850 finished turn 0 (interrupted) audio=50
            1850 ask turn 1 C: One, two and
        +200 speech
            2050 cancel turn 1
            30990 transcribe #1 turn 2 990..30990
        +29000 tick
        "#,
    );
}

#[test]
fn the_limit_of_an_utterance_is_not_that_of_the_next() {
    plays_out(
        |_| {},
        r#"
        (asks for hours)
        +50 reply "We are open all day,"
        +0 done
            4130 say #1 turn 1 held "We are open all day,"
            4180 release turn 1
        +100 starts #1
        +25770 speech
            30140 pause playback
        +700 pause
            30700 transcribe #1 turn 2 29940..30580
        +100 words "Wait and"
            30800 flush
            30800 cancel turn 1
            30800 finished turn 1 C: What are your hours? (interrupted) words=200 reply=250 commit=300 audio=350
            30800 ask turn 2 A: Hello, how can I help? C: What are your hours? C: Wait and
        +200 speech
            31000 cancel turn 2
        +5000 pause
            36000 transcribe #2 turn 3 29940..35880
        "#,
    );
}
