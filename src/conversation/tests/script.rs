//! Conversations as text: inputs, and below each the outputs that follow.
//!
//! A line that begins with `+` waits that many milliseconds, in which due deadlines tick, and then gives an input.
//! Any other line is an output with its moment. [`plays_out`] runs the inputs and compares the whole text, twice: once
//! in one piece, and once with the conversation stored and resumed after every input.
//!
//! `speech` and `pause` are reported 60 and 120 ms late, as a detector does, unless a number says otherwise.
//! `words`, `stt_fails`, `reply`, `hangup`, `done` and `llm_fails` concern the latest request, or the id after `#`.
//! `history` shows the transcript so far.

use std::fmt::Write;
use std::time::Duration;

use crate::conversation::*;

/// Checks that with `change`d default settings the conversation goes as written.
#[track_caller]
pub fn plays_out(change: impl FnOnce(&mut Settings), expected: &str) {
    let mut settings = Settings::default();
    change(&mut settings);
    play(Conversation::new(settings), expected);
}

/// The same with a given conversation.
#[track_caller]
pub fn play(conversation: Conversation, expected: &str) {
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .fold(String::new(), |text, line| text + line + "\n");
    for storage in [Storage::None, Storage::AfterEveryInput] {
        let mut stage = Stage::new(conversation.clone(), storage);
        for line in expected.lines().filter(|line| line.starts_with('+')) {
            stage.perform(line);
        }
        let log = stage.log;
        assert!(
            log == expected,
            "--- {storage:?}, what happened:\n{log}\n--- what was expected:\n{expected}"
        );
    }
}

/// How the conversation spends the time between two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    None,
    /// As JSON: it is stored after each input and resumed before the next.
    AfterEveryInput,
}

struct Stage {
    conversation: Conversation,
    settings: Settings,
    storage: Storage,
    start: At,
    now: At,
    log: String,
    listen: u32,
    asked: u32,
}

impl Stage {
    fn new(conversation: Conversation, storage: Storage) -> Stage {
        let settings = conversation.settings.clone();
        let start = At(Duration::from_secs(3_600));
        Stage {
            conversation: conversation.with_texts(texts()),
            settings,
            storage,
            start,
            now: start,
            log: String::new(),
            listen: 0,
            asked: 0,
        }
    }

    fn perform(&mut self, line: &str) {
        let (wait, what) = line[1..].split_once(' ').expect("an input after the wait");
        let wait = Duration::from_millis(wait.parse().expect("milliseconds"));
        let until = self.now.saturating_add(wait);
        while let Some((deadline, _)) = self.conversation.deadline().filter(|(deadline, _)| *deadline < until)
        {
            assert!(deadline > self.now || self.now == self.start, "a deadline in the past");
            self.now = deadline;
            self.tell(Input::Tick);
        }
        self.now = until;
        writeln!(self.log, "{line}").unwrap();
        if what == "history" {
            let history = described(self.conversation.history());
            return writeln!(self.log, "{} history{history}", self.ms(self.now)).unwrap();
        }
        let input = self.input(what);
        self.tell(input);
    }

    fn tell(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        while let Some(output) = self.conversation.poll() {
            match output {
                Output::Transcribe { listen, .. } => self.listen = listen.0,
                Output::Respond { turn, .. } => self.asked = turn.0,
                _ => {}
            }
            let at = self.ms(self.now);
            writeln!(self.log, "{at} {}", self.describe(&output)).unwrap();
        }
        if self.storage == Storage::AfterEveryInput {
            self.store_and_resume();
        }
    }

    fn store_and_resume(&mut self) {
        let stored = serde_json::to_string(&self.conversation.snapshot()).expect("a conversation is JSON");
        let snapshot: Snapshot = serde_json::from_str(&stored).expect("and read back");
        let language = self.conversation.language;
        self.conversation = Conversation::resume(snapshot, self.settings.clone(), texts(), language);
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
        let ago = |default| At(self.now.0 - Duration::from_millis(*numbers.first().unwrap_or(&default)));
        let listen = ListenId(id.unwrap_or(self.listen));
        let turn = TurnId(id.unwrap_or(self.asked));
        let speech = || SpeechId(id.expect("an utterance's id"));
        match verb {
            "answer" => Input::Connected,
            "speech" => Input::SpeechStarted { at: ago(60) },
            "pause" => Input::SpeechPaused { at: ago(120) },
            "words" => Input::Transcript { listen, text },
            "stt_fails" => Input::TranscriptFailed { listen },
            "reply" => Input::ResponseText { turn, text },
            "hangup" => Input::ResponseHangsUp { turn },
            "done" => Input::ResponseEnded { turn },
            "llm_fails" => Input::ResponseFailed { turn },
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
            Output::Respond { turn, history } => {
                format!("ask turn {}{}", turn.0, described(history))
            }
            Output::Cancel { turn } => format!("cancel turn {}", turn.0),
            Output::Speak { speech, turn, what, held } => {
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
            Output::TurnFinished(record) => finished(record),
            Output::HangUp { ending } => format!("hang up: {ending:?}"),
        }
    }

    fn ms(&self, at: At) -> u128 {
        at.since(self.start).as_millis()
    }
}

fn texts() -> [(Phrase, String); 4] {
    [
        (Phrase::Greeting, "Hello, how can I help?"),
        (Phrase::DidNotCatch, "Pardon?"),
        (Phrase::Difficulty, "Trying again."),
        (Phrase::StillThere, "Are you there?"),
    ]
    .map(|(phrase, text)| (phrase, text.to_owned()))
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
