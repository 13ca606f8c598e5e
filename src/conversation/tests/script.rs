//! Conversations as text: inputs, and below each the outputs that follow.
//!
//! A line that begins with `+` waits that many milliseconds, in which due deadlines tick, and then gives an input.
//! Any other line is an output with its moment. [`plays_out`] runs the inputs and compares the whole text, twice: once
//! in one piece, and once with the conversation stored and resumed after every input.
//!
//! `transcribe` stands for the end of an utterance, with its beginning; that its recognition begins is checked but not
//! written.
//!
//! `speech` and `pause` are reported 60 and 120 ms late, as a detector does, unless a number says otherwise.
//! `partial` are words of the latest recognition that has begun, or of the id after `#`.
//! `turn_starts`, `turn_may_end`, `turn_resumes` and `turn_ends` are the judgements of an engine of the same.
//! `level=-40` after them is the level of the speech in dBov.
//! `words`, `stt_fails`, `reply`, `writes`, `pauses`, `hangup`, `done` and `llm_fails` concern the latest request, or the id after `#`.
//! `speaks` are words of a response that the model speaks itself.
//! `played #ID MS` is the position of a speech; further numbers are its length, and the letters that were spoken.
//! `tool NAME` is a call of a tool with an id of its name (`call=ID` sets another), which the driver runs; `refused`,
//! `dtmf=KEYS`, `collect=N` and words in quotes make it another: for its start, after `delayed` (`after=MS`) for a delay, after
//! `failed` for a failure; `background` is one that is not waited for. `result #0 "text"` is the result of a tool that ran, `fails #0`
//! a failure, `refuses #0` a refusal. With `acts=KEY` the tool acts, and calls of one key are the same action. `agent=NAME` and `language=TAG` make it a change of the agent, and `changed #0` reports it, with `greets` where
//! the next agent begins with its greeting.
//! `key 1` is a key that the caller presses; `hold_key` a hold by the caller's telephone, `uncertain` that its end may be missed.
//! `op_say [now] [end] "text"`, `op_note [soon] "text"`, `op_mute MS`, `op_unmute`, `op_transfer TARGET [now]` and `op_end [now]`
//! are an operator's commands; `O:` are their words in a record.
//! A line in parentheses stands for the beginning of a script, see [`BEGINNINGS`].
//! `continues in TAG` is a change of the language by the driver. `history` shows the transcript so far.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use super::LEVEL;
use crate::conversation::*;
use crate::dtmf::{Digit, Tone};
use crate::language::Language;

/// Beginnings that many scripts have, by the lines that stand for them.
const BEGINNINGS: [(&str, &str); 6] = [
    // The greeting plays.
    ("(greeting)", GREETING),
    // The greeting was heard.
    ("(greeted)", GREETED),
    // The greeting was heard, and the caller has asked a question.
    ("(asks)", ASKS),
    // The model is asked about the opening hours; the turn is committed at 4180.
    ("(asks for hours)", ASKS_FOR_HOURS),
    // The same about bread.
    ("(asks for bread)", ASKS_FOR_BREAD),
    // The caller has said hello, and the turn was committed at 4180.
    ("(says hello)", SAYS_HELLO),
];

const GREETING: &str = "\
+0 answer
0 say #0 turn 0 Greeting
+50 starts #0
";

const GREETED: &str = "\
+0 answer
0 say #0 turn 0 Greeting
+2000 ends #0
2000 finished turn 0 A: Hello, how can I help?
";

const ASKS: &str = "\
(greeted)
+1000 speech
+1000 pause
4000 transcribe #0 turn 1 2940..3880
";

const ASKS_FOR_HOURS: &str = "\
(asks)
+80 words \"What are your hours?\"
4080 ask turn 1 A: Hello, how can I help? C: What are your hours?
";

const ASKS_FOR_BREAD: &str = "\
(asks)
+80 words \"Do you have rye bread?\"
4080 ask turn 1 A: Hello, how can I help? C: Do you have rye bread?
";

const SAYS_HELLO: &str = "\
(asks)
+80 words \"Hello?\"
4080 ask turn 1 A: Hello, how can I help? C: Hello?
4180 release turn 1
";

/// Checks that with `change`d default settings the conversation goes as written.
#[track_caller]
pub fn plays_out(change: impl FnOnce(&mut Settings), expected: &str) {
    let mut settings = settings();
    change(&mut settings);
    play(Conversation::new(settings), expected);
}

/// The defaults, but the pitch is judged where a script says so.
pub fn settings() -> Settings {
    Settings { commit_level_ms: Duration::ZERO, ..Settings::default() }
}

/// Words are waited for no longer than at least.
pub fn waits_shortly_for_words(settings: &mut Settings) {
    settings.barge_in_words_max_ms = settings.barge_in_words_ms;
}

/// The greeting is interrupted like any response.
pub fn anything_interrupts_the_greeting(settings: &mut Settings) {
    settings.greeting_barge_in = GreetingBargeIn::Any;
}

/// The same with a given conversation.
#[track_caller]
pub fn play(conversation: Conversation, expected: &str) {
    let expected = spelled_out(expected);
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

/// A script without margins and empty lines, with its beginning in full.
fn spelled_out(script: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(String::new(), |text, line| match BEGINNINGS.iter().find(|(name, _)| *name == line) {
        Some((_, beginning)) => text + &spelled_out(beginning),
        None => text + line + "\n",
    })
}

/// How the conversation spends the time between two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    None,
    /// As JSON: it is stored after each input and resumed before the next, but for masked entries that have begun.
    AfterEveryInput,
}

struct Stage {
    conversation: Conversation,
    settings: Settings,
    storage: Storage,
    start: At,
    now: At,
    log: String,
    /// The utterances whose recognition has begun, with turn and beginning.
    begun: HashMap<UtteranceId, (TurnId, At)>,
    recognised: u32,
    utterance: u32,
    asked: u32,
    /// The pause of the latest utterance whose end is judged.
    judged: At,
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
            begun: HashMap::new(),
            recognised: 0,
            utterance: 0,
            asked: 0,
            judged: start,
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
            self.handle(Input::Tick);
        }
        self.now = until;
        writeln!(self.log, "{line}").unwrap();
        if what == "history" {
            let history = described(self.conversation.context());
            return writeln!(self.log, "{} history{history}", self.ms(self.now)).unwrap();
        }
        if let Some(tag) = what.strip_prefix("continues in ") {
            let language = Language::of(Some(tag));
            self.conversation.change_agent(self.settings.clone(), texts(), language);
            return self.handle(Input::Tick);
        }
        let input = self.input(what);
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        while let Some(output) = self.conversation.poll() {
            match output {
                Output::Pipeline(Command::Recognise { utterance, turn, from }) => {
                    self.begun.insert(utterance, (turn, from));
                    self.recognised = utterance.0;
                    continue;
                }
                Output::Pipeline(Command::EndUtterance { utterance, .. }) => self.utterance = utterance.0,
                Output::Pipeline(Command::Respond { turn, .. }) => self.asked = turn.0,
                Output::Pipeline(Command::JudgeEnd { to, .. }) => self.judged = to,
                _ => {}
            }
            let at = self.ms(self.now);
            writeln!(self.log, "{at} {}", self.describe(&output)).unwrap();
        }
        if self.storage == Storage::AfterEveryInput && !self.has_secret() {
            self.store_and_resume();
        }
    }

    /// Whether a masked entry has begun, whose keys are not stored.
    fn has_secret(&self) -> bool {
        let mut stored = self.conversation.clone();
        stored.forget_secrets();
        let json = |it: &Conversation| serde_json::to_string(it).expect("a conversation is JSON");
        json(&stored) != json(&self.conversation)
    }

    fn store_and_resume(&mut self) {
        let stored = serde_json::to_string(&self.conversation.snapshot()).expect("a conversation is JSON");
        let stored = serde_json::from_str(&stored).expect("and read back");
        let snapshot = Snapshot::parse(stored).expect("of this version");
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
        let latest =
            if verb == "partial" || verb.starts_with("turn_") { self.recognised } else { self.utterance };
        let utterance = UtteranceId(id.unwrap_or(latest));
        let level =
            arguments.iter().find_map(|word| word.strip_prefix("level=")?.parse().ok()).unwrap_or(LEVEL);
        let turn = TurnId(id.unwrap_or(self.asked));
        let recognised = |event| Input::Recognition { utterance, event };
        let response = |event| Input::Response { turn, event };
        let playback = |event| Input::Playback { speech: SpeechId(id.expect("a speech's id")), event };
        match verb {
            "answer" => Input::Connected,
            "speech" => Input::CallerSpeech(CallerSpeech::Started { at: ago(60), level }),
            "pause" => Input::CallerSpeech(CallerSpeech::Paused { at: ago(120), level }),
            "words" => recognised(Recognition::Final { text }),
            "partial" => recognised(Recognition::Partial { text }),
            "turn_starts" => recognised(Recognition::TurnStarted { text }),
            "turn_may_end" => recognised(Recognition::TurnMayEnd { text }),
            "turn_resumes" => recognised(Recognition::TurnResumed { text }),
            "turn_ends" => recognised(Recognition::TurnEnded { text }),
            "unfinished" => Input::SoundsUnfinished { to: self.judged, by: EndJudge::Model },
            "level" => Input::SoundsUnfinished { to: self.judged, by: EndJudge::Pitch },
            "stt_fails" => recognised(Recognition::Failed),
            "reply" => response(ResponseEvent::Text(text)),
            "speaks" => response(ResponseEvent::Spoken(text)),
            "sound_ends" => response(ResponseEvent::SoundEnds { after: Duration::from_millis(numbers[0]) }),
            "tool" => response(ResponseEvent::ToolCall(tool_call(&arguments, &text))),
            "result" => finished_tool(id, ToolOutcome::Succeeded, &text),
            "changed" => {
                let then = if arguments.contains(&"greets") { TakeOver::Greet } else { TakeOver::Answer };
                Input::AgentChanged { tool: ToolId(id.expect("a tool's id")), result: text.into(), then }
            }
            "fails" => finished_tool(id, ToolOutcome::Failed, &text),
            "refuses" => finished_tool(id, ToolOutcome::Refused, &text),
            "writes" => response(ResponseEvent::Writing),
            "pauses" => response(ResponseEvent::Paused),
            "hangup" => response(ResponseEvent::EndCall),
            "done" => response(ResponseEvent::Finished),
            "llm_fails" => response(ResponseEvent::Failed),
            "starts" => playback(PlaybackEvent::Started),
            "played" => playback(PlaybackEvent::Progress(PlaybackProgress {
                position: Duration::from_millis(numbers[0]),
                total: numbers.get(1).copied().filter(|ms| *ms > 0).map(Duration::from_millis),
                letters: numbers.get(2).and_then(|letters| u32::try_from(*letters).ok()),
            })),
            "ends" => playback(PlaybackEvent::Ended),
            "broken" => playback(PlaybackEvent::SynthesisFailed),
            "key" => Input::Dtmf { key: Digit::parse(arguments[0]).expect("a key") },
            "hold" => Input::Hold(HoldChange::Held),
            "hold_key" => Input::Hold(HoldChange::HeldByCaller),
            "uncertain" => Input::Hold(HoldChange::Uncertain),
            "unhold" => Input::Hold(HoldChange::Resumed),
            "op_say" | "op_note" | "op_mute" | "op_unmute" | "op_transfer" | "op_end" => {
                Input::Operator(operator_command(verb, &arguments, &text))
            }
            "left" => Input::CallerLeft,
            "end" => Input::EndRequested,
            "tick" => Input::Tick,
            other => panic!("no such input: {other}"),
        }
    }

    fn describe(&self, output: &Output) -> String {
        match output {
            Output::Pipeline(command) => self.describe_command(command),
            Output::Pause => "pause playback".to_owned(),
            Output::Resume => "resume playback".to_owned(),
            Output::Flush => "flush".to_owned(),
            Output::RunTool { turn, request, tool, call } => {
                let is_own = request == turn || call.effect == ToolEffect::None;
                let request = if is_own { String::new() } else { format!(" for turn {}", request.0) };
                format!("run #{} turn {}{request} {}({})", tool.0, turn.0, call.name, call.arguments)
            }
            Output::SendDtmf { tool, keys } => {
                format!("dtmf #{} {}", tool.0, keys.iter().map(|key| key.as_char()).collect::<String>())
            }
            Output::Transfer { tool, target, .. } => format!("transfer #{} {target}", tool.0),
            Output::ChangeAgent { tool, to: AgentChoice::Agent { name, reason } } => {
                format!("change #{} to {name} because {reason}", tool.0)
            }
            Output::ChangeAgent { tool, to: AgentChoice::Language { tag } } => {
                format!("change #{} to {tag}", tool.0)
            }
            Output::KeepEntry { reference, keys } => {
                let keys: String = keys.iter().map(|key| key.as_char()).collect();
                format!("keep {reference} {keys}")
            }
            Output::Operator(Ok(())) => "accepted".to_owned(),
            Output::Operator(Err(refusal)) => format!("refused: {refusal:?}"),
            Output::AgentMuted(change) => format!("agent {change:?}"),
            Output::NoticeHeard => "notice heard".to_owned(),
            Output::EmergencyNoticed => "emergency".to_owned(),
            Output::Rated { rating } => format!("rated {rating}"),
            Output::TurnFinished(record) => finished(record),
            Output::HangUp { ending } => format!("hang up: {ending:?}"),
        }
    }

    fn describe_command(&self, command: &Command) -> String {
        match command {
            Command::Recognise { .. } => unreachable!("it is not written"),
            Command::EndUtterance { utterance, at } => {
                let (turn, from) = self.begun[utterance];
                format!("transcribe #{} turn {} {}..{}", utterance.0, turn.0, self.ms(from), self.ms(*at))
            }
            Command::JudgeEnd { turn, from, to } => {
                format!("judge turn {} {}..{}", turn.0, self.ms(*from), self.ms(*to))
            }
            Command::Respond { turn, context, attempt } => {
                let again = if *attempt == Attempt::AfterFailure { " again" } else { "" };
                format!("ask turn {}{again}{}", turn.0, described(context))
            }
            Command::Cancel { turn } => format!("cancel turn {}", turn.0),
            Command::Speak { speech, turn, what, held } => {
                let what = said(what);
                format!("say #{} turn {}{} {what}", speech.0, turn.0, if *held { " held" } else { "" })
            }
            Command::Replace { failed, speech, what, held, .. } => {
                let what = said(what);
                format!("replace #{} by #{}{} {what}", failed.0, speech.0, if *held { " held" } else { "" })
            }
            Command::Release { turn } => format!("release turn {}", turn.0),
        }
    }

    fn ms(&self, at: At) -> u128 {
        at.since(self.start).as_millis()
    }
}

fn said(what: &Say) -> String {
    match what {
        Say::Text(text) => format!("{text:?}"),
        Say::Phrase(phrase) => format!("{phrase:?}"),
        Say::Spoken => "the model's own speech".to_owned(),
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

fn described(context: &[ContextItem]) -> String {
    let items = context.iter().map(|item| match item {
        ContextItem::Caller { text } => format!(" C: {text}"),
        ContextItem::Agent { text, .. } => format!(" A: {text}"),
        ContextItem::Dtmf(keys) => format!(" K: {keys}"),
        ContextItem::Note { text } => format!(" N: {text}"),
        ContextItem::ActOnNotes => " N!".to_owned(),
        ContextItem::ToolCall { name, .. } => format!(" T: {name}"),
        ContextItem::ToolResult { call, content, .. } => format!(" R: {call} {content}"),
    });
    items.collect()
}

fn finished(record: &Record) -> String {
    let mut text = format!("finished turn {}", record.turn.0);
    if !record.caller.is_empty() {
        write!(text, " C: {}", record.caller).unwrap();
    }
    if let Some(keys) = &record.keys {
        write!(text, " K: {keys}").unwrap();
    }
    if !record.agent.is_empty() {
        let speaker = if record.spoken_by == SpokenBy::Operator { "O" } else { "A" };
        write!(text, " {speaker}: {}", record.agent).unwrap();
    }
    for used in &record.tools {
        let ToolUse { name, outcome, took, .. } = used;
        write!(text, " T: {name} {} {}", outcome.as_str(), took.as_millis()).unwrap();
    }
    if record.interrupted {
        text.push_str(" (interrupted)");
    }
    let Latency { transcript, reply, commit, audio, .. } = record.latency;
    for (name, latency) in [("words", transcript), ("reply", reply), ("commit", commit), ("audio", audio)] {
        if let Some(latency) = latency {
            write!(text, " {name}={}", latency.as_millis()).unwrap();
        }
    }
    text
}

fn tool_call(arguments: &[&str], words: &str) -> ToolRequest {
    let name = arguments.first().expect("a tool's name");
    let given = |key: &str| arguments.iter().find_map(|argument| argument.strip_prefix(key));
    let words = (!words.is_empty()).then(|| words.into());
    let action = if let Some(keys) = given("dtmf=") {
        let keys = keys.chars().map(|key| Tone::try_from(key).expect("a key"));
        ToolAction::SendDtmf { keys: keys.collect() }
    } else if let Some(most) = given("collect=") {
        ToolAction::CollectDigits(DigitRules {
            most: most.parse().expect("a number of keys"),
            terminator: Digit::parse("#"),
            first: Duration::from_secs(5),
            between: Duration::from_secs(2),
            masked: arguments.contains(&"masked"),
        })
    } else if let Some(target) = given("transfer=") {
        ToolAction::Transfer { target: target.into(), summary: None }
    } else if let Some(name) = given("agent=") {
        let reason = words.unwrap_or_default();
        ToolAction::ChangeAgent(AgentChoice::Agent { name: name.into(), reason })
    } else if let Some(tag) = given("language=") {
        ToolAction::ChangeAgent(AgentChoice::Language { tag: tag.into() })
    } else if arguments.contains(&"refused") {
        ToolAction::Refuse { reason: "no".into() }
    } else {
        let delayed_after = given("after=").and_then(|ms| Some(Duration::from_millis(ms.parse().ok()?)));
        let none = ToolWords { delayed_after, ..ToolWords::default() };
        let runs = if arguments.contains(&"background") { ToolAction::Start } else { ToolAction::Run };
        runs(match () {
            () if arguments.contains(&"delayed") => ToolWords { delayed: words, ..none },
            () if arguments.contains(&"failed") => ToolWords { failed: words, ..none },
            () => ToolWords { started: words, ..none },
        })
    };
    let id = given("call=").unwrap_or(name);
    let effect = given("acts=").map_or(ToolEffect::None, |key| ToolEffect::Acts { key: key.into() });
    ToolRequest { id: id.into(), name: (*name).into(), arguments: "{}".into(), action, effect }
}

fn operator_command(verb: &str, arguments: &[&str], text: &str) -> OperatorCommand {
    let has = |word| arguments.contains(&word);
    let when = if has("now") { SayWhen::Now } else { SayWhen::Next };
    match verb {
        "op_say" => {
            let then = if has("end") { AfterWords::CallEnds } else { AfterWords::CallersTurn };
            OperatorCommand::Say { text: text.into(), when, then }
        }
        "op_note" => {
            let answer = if has("soon") { NoteAnswer::Soon } else { NoteAnswer::Later };
            OperatorCommand::Note { text: text.into(), answer }
        }
        "op_mute" => {
            let ms = arguments[0].parse().expect("milliseconds");
            OperatorCommand::Mute { at_most: Duration::from_millis(ms) }
        }
        "op_unmute" => OperatorCommand::Unmute,
        "op_transfer" => OperatorCommand::Transfer { target: arguments[0].into(), when },
        _ => OperatorCommand::End(if has("now") { Farewell::None } else { Farewell::Goodbye }),
    }
}

fn finished_tool(id: Option<u32>, outcome: ToolOutcome, result: &str) -> Input {
    Input::Tool { tool: ToolId(id.expect("a tool's id")), outcome, result: result.into() }
}
