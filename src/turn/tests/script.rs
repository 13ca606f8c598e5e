//! A conversation in text: what happens, and below it what the machine does about it.
//!
//! A line that begins with `+` waits that many milliseconds, in which due deadlines tick, and then tells
//! the machine something. Any other line is an output, with its moment. [`plays_out`] runs the inputs
//! and compares the whole text.
//!
//! `speech` and `pause` are told 60 and 120 ms late, as a detector does, unless a number says otherwise.
//! `words`, `deaf`, `reply`, `hangup`, `done` and `mute` speak of what was asked for last, or of the id after `#`.
//! `history` shows what both sides have said and heard.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::turn::*;

/// Checks that with `change`d default settings the conversation goes as written.
#[track_caller]
pub fn plays_out(change: impl FnOnce(&mut Settings), expected: &str) {
    let mut settings = Settings::default();
    change(&mut settings);
    play(Turn::new(settings), expected);
}

/// The same with a conversation that was made otherwise.
#[track_caller]
pub fn play(turn: Turn, expected: &str) {
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .fold(String::new(), |text, line| text + line + "\n");
    let mut stage = Stage::new(turn);
    for line in expected.lines().filter(|line| line.starts_with('+')) {
        stage.perform(line);
    }
    assert!(stage.log == expected, "--- what happened:\n{}\n--- what was expected:\n{expected}", stage.log);
}

struct Stage {
    turn: Turn,
    start: Instant,
    now: Instant,
    log: String,
    listen: u32,
    asked: u32,
}

impl Stage {
    fn new(turn: Turn) -> Stage {
        let wording = [
            (Phrase::Greeting, "Hello, how can I help?"),
            (Phrase::DidNotCatch, "Pardon?"),
            (Phrase::Difficulty, "Trying again."),
            (Phrase::StillThere, "Are you there?"),
        ];
        let wording = wording.map(|(phrase, text)| (phrase, text.to_owned()));
        let start = Instant::now() + Duration::from_secs(3_600);
        Stage { turn: turn.with_wording(wording), start, now: start, log: String::new(), listen: 0, asked: 0 }
    }

    fn perform(&mut self, line: &str) {
        let (wait, what) = line[1..].split_once(' ').expect("an input after the wait");
        let until = self.now + Duration::from_millis(wait.parse().expect("milliseconds"));
        while let Some(deadline) = self.turn.deadline().filter(|deadline| *deadline < until) {
            assert!(deadline > self.now || self.now == self.start, "a deadline in the past");
            self.now = deadline;
            self.tell(Input::Tick);
        }
        self.now = until;
        writeln!(self.log, "{line}").unwrap();
        if what == "history" {
            let history = described(self.turn.history());
            return writeln!(self.log, "{} history{history}", self.ms(self.now)).unwrap();
        }
        let input = self.input(what);
        self.tell(input);
    }

    fn tell(&mut self, input: Input) {
        self.turn.handle(self.now, input);
        while let Some(output) = self.turn.poll() {
            match output {
                Output::Transcribe { listen, .. } => self.listen = listen.0,
                Output::Ask { turn, .. } => self.asked = turn.0,
                _ => {}
            }
            let at = self.ms(self.now);
            writeln!(self.log, "{at} {}", self.describe(&output)).unwrap();
        }
    }

    fn input(&self, what: &str) -> Input {
        let (what, text) =
            what.split_once('"').map_or((what, ""), |(what, text)| (what, text.trim_end_matches('"')));
        let text = text.replace("\\n", "\n");
        let mut words = what.split_whitespace();
        let verb = words.next().unwrap_or("");
        let arguments: Vec<&str> = words.collect();
        let id = arguments.iter().find_map(|word| word.strip_prefix('#')?.parse::<u32>().ok());
        let numbers: Vec<u64> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
        let ago = |default| self.now - Duration::from_millis(*numbers.first().unwrap_or(&default));
        let listen = ListenId(id.unwrap_or(self.listen));
        let turn = TurnId(id.unwrap_or(self.asked));
        let speech = || SpeechId(id.expect("an utterance's id"));
        match verb {
            "answer" => Input::Answered,
            "speech" => Input::SpeechStarted { at: ago(60) },
            "pause" => Input::SpeechPaused { at: ago(120) },
            "words" => Input::Transcript { listen, text },
            "deaf" => Input::TranscriptFailed { listen },
            "reply" => Input::ReplyText { turn, text },
            "hangup" => Input::ReplyHangsUp { turn },
            "done" => Input::ReplyEnded { turn },
            "mute" => Input::ReplyFailed { turn },
            "starts" => Input::PlaybackStarted { speech: speech() },
            "played" => Input::Played {
                speech: speech(),
                position: Duration::from_millis(numbers[0]),
                total: numbers.get(1).copied().map(Duration::from_millis),
            },
            "ends" => Input::PlaybackEnded { speech: speech() },
            "broken" => Input::SynthesisFailed { speech: speech() },
            "hold" => Input::Held,
            "unhold" => Input::Resumed,
            "left" => Input::CallerLeft,
            "end" => Input::EndRequested,
            "tick" => Input::Tick,
            other => panic!("no such input: {other}"),
        }
    }

    fn describe(&self, output: &Output) -> String {
        match output {
            Output::Transcribe { listen, turn, from, to } => {
                format!("transcribe #{} turn {} {}..{}", listen.0, turn.0, self.ms(*from), self.ms(*to))
            }
            Output::Ask { turn, history } => {
                format!("ask turn {}{}", turn.0, described(history))
            }
            Output::Cancel { turn } => format!("cancel turn {}", turn.0),
            Output::Say { speech, turn, what, held } => {
                let what = match what {
                    Say::Text(text) => format!("{text:?}"),
                    Say::Phrase(phrase) => format!("{phrase:?}"),
                };
                format!("say #{} turn {}{} {what}", speech.0, turn.0, if *held { " held" } else { "" })
            }
            Output::Release { turn } => format!("release turn {}", turn.0),
            Output::Pause => "pause playback".to_owned(),
            Output::Resume => "resume playback".to_owned(),
            Output::Flush => "flush".to_owned(),
            Output::Finished(record) => finished(record),
            Output::HangUp { ending } => format!("hang up: {ending:?}"),
        }
    }

    fn ms(&self, at: Instant) -> u128 {
        at.duration_since(self.start).as_millis()
    }
}

fn described(history: &[Line]) -> String {
    let lines = history.iter().map(|line| match line.speaker {
        Speaker::Caller => format!(" C: {}", line.text),
        Speaker::Agent => format!(" A: {}", line.text),
    });
    lines.collect()
}

fn finished(record: &Record) -> String {
    let mut text = format!("finished turn {}", record.turn.0);
    if !record.caller.is_empty() {
        write!(text, " C: {}", record.caller).unwrap();
    }
    if !record.agent.is_empty() {
        write!(text, " A: {}", record.agent).unwrap();
    }
    if record.interrupted {
        text.push_str(" (interrupted)");
    }
    let Latency { transcript, reply, commit, audio } = record.latency;
    for (name, latency) in [("words", transcript), ("reply", reply), ("commit", commit), ("audio", audio)] {
        if let Some(latency) = latency {
            write!(text, " {name}={}", latency.as_millis()).unwrap();
        }
    }
    text
}
