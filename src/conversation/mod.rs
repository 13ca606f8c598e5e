//! The conversation as a state machine.
//!
//! [`Conversation`] takes events with their time and yields actions. It never sees a sample, reads a clock, waits or
//! spawns: ten minutes of talk run in a test in milliseconds, a recorded call replays to the same decisions, and a
//! conversation that is stored in one process resumes in another.
//!
//! # The contract
//! After every [`Conversation::handle`], and whenever [`Conversation::deadline`] has passed (then with [`Input::Tick`]),
//! the driver drains [`Conversation::poll`] fully and does what it says, in order.
//!
//! # Its parts
//!
//! [`Conversation`] routes each event to the part that owns the state: `floor` (who speaks) with `utterance` (the caller's
//! turn, endpointing, with its `words` and `segments`), `recognition` (their words), `background` (voices that are not the caller's, by the levels in `voices`), `interruption` (speech over the agent) and `response` (the agent's turn) with `tool_work` and
//! `acting` (its tools) with `actions` and `agent_change`, `repair` (failures of the model and stalls) and `emergency`; `keypad`, `menu`, `collection`, `hold`, `operator`, `limits`, `timer`, `transcript`. Each has its own table of transitions where it has states.
//!
//! # Who holds the floor
//!
//! | from | event | to |
//! |---|---|---|
//! | not connected | `Connected` | agent (greeting, the notice before it, or the closed prompt); free, where the agent waits for the caller |
//! | free | `SpeechStarted` | caller |
//! | free | an entry of keys is complete | agent (response) |
//! | free | a tool that was not waited for has a result | agent (response) |
//! | free | timer `Silence` | agent (prompt, or goodbye) |
//! | free | words or a note of the operator, see `operator` | agent |
//! | caller | timer `Commit`, words known | agent (response; "didn't catch that" without words) |
//! | caller | timer `Commit`, a cough without words | free |
//! | agent, not heard yet | `SpeechStarted` soon after the commit | caller (the utterance continues) |
//! | agent | interruption by meaningful or long speech | caller (a new utterance) |
//! | agent | an entry of keys is complete, see `keypad` | agent (response to it) |
//! | agent | its tools are done | agent: the model is asked again |
//! | agent | the model fails or stalls, for the first time in the turn | agent: the model is asked again |
//! | agent | everything played, no tool runs | free; caller, if they speak over the end; ended, after a goodbye |
//! | caller, agent | the operator speaks now, or mutes the agent | agent (the operator's words); free |
//! | any | timer `Limit`, `EndRequested`, turn limit | agent (goodbye) |
//! | any | `CallerLeft`, goodbye played or overdue | ended |

mod acting;
mod actions;
mod agent_change;
mod agent_turn;
mod asked_audio;
mod at;
mod background;
mod check;
mod clauses;
mod collection;
mod context;
mod contract;
mod emergency;
mod endpoint;
mod floor;
mod greeting;
mod hold;
mod interruption;
mod intonation;
mod keypad;
mod lifecycle;
mod limits;
mod menu;
mod operator;
mod outbox;
mod pipeline;
mod recognition;
mod recognition_times;
mod repair;
mod response;
mod segments;
mod settings;
mod snapshot;
mod survey;
mod timer;
mod tool;
mod tool_work;
mod transcript;
mod utterance;
mod voices;
mod words;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use at::At;
pub use context::ContextItem;
pub use contract::*;
pub use emergency::EmergencyAction;
pub use endpoint::{Completeness, completeness};
pub use keypad::{DtmfMode, Keys};
pub use menu::{Menu, MenuAction, MenuChoice, MenuOpening, MenuStep, Menus};
pub use operator::*;
pub use pipeline::*;
pub use settings::{GreetingBargeIn, GreetingMode, Overrides, Settings};
pub use snapshot::{SNAPSHOT_VERSION, Snapshot, SnapshotError};
pub use timer::Timer;
pub use tool::*;

use crate::language::Language;
use acting::LateTools;
use actions::Actions;
use background::BackgroundVoice;
use emergency::Emergency;
use floor::Floor;
use hold::Hold;
use intonation::Trust;
use keypad::Keypad;
use lifecycle::{Opening, Warning};
use limits::Limits;
use menu::MenuState;
use operator::OperatorWork;
use outbox::Outbox;
use recognition_times::RecognitionTimes;
use survey::Survey;
use timer::Timers;
use transcript::Transcript;
use voices::Voices;

/// One conversation, from the answer to the hang-up.
///
/// Settings, prompt texts and language are not part of its stored state: they are given again when it resumes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conversation {
    #[serde(skip)]
    settings: Settings,
    #[serde(skip)]
    texts: HashMap<Phrase, String>,
    #[serde(skip)]
    language: &'static Language,
    /// The latest moment of an event: time never runs backwards in here.
    now: Option<At>,
    floor: Floor,
    /// The start of the caller's speech, in any turn.
    voice: Option<At>,
    /// The start of speech that is too faint to be the caller's.
    background: Option<BackgroundVoice>,
    voices: Voices,
    recognition_times: RecognitionTimes,
    intonation: Trust,
    /// Turns of the caller that are not answered before their pause: a sentence went on lately.
    cautious_turns: u8,
    /// Whether the agent's latest words want an answer.
    prompted: bool,
    hold: Hold,
    keypad: Keypad,
    menu: MenuState,
    /// When the latest key of a masked entry was pressed.
    masked_key: Option<At>,
    timers: Timers,
    /// The latest filler, until it has been played.
    filler: Option<SpeechId>,
    late_tools: LateTools,
    actions: Actions,
    operator: OperatorWork,
    out: Outbox,
    transcript: Transcript,
    limits: Limits,
    warning: Warning,
    opening: Opening,
    survey: Survey,
    without_goodbye: Vec<Ending>,
    last_words: Vec<(Ending, Arc<str>)>,
    emergency: Emergency,
}

impl Conversation {
    pub fn new(settings: Settings) -> Conversation {
        Conversation {
            settings,
            texts: HashMap::new(),
            language: Language::of(None),
            now: None,
            floor: Floor::NotConnected,
            voice: None,
            background: None,
            voices: Voices::default(),
            recognition_times: RecognitionTimes::default(),
            intonation: Trust::default(),
            cautious_turns: 0,
            prompted: false,
            hold: Hold::Off,
            keypad: Keypad::default(),
            menu: MenuState::default(),
            masked_key: None,
            timers: Timers::default(),
            filler: None,
            late_tools: LateTools::default(),
            actions: Actions::default(),
            operator: OperatorWork::default(),
            out: Outbox::default(),
            transcript: Transcript::default(),
            limits: Limits::default(),
            warning: Warning::NotDue,
            opening: Opening::Greeting,
            survey: Survey::default(),
            without_goodbye: Vec::new(),
            last_words: Vec::new(),
            emergency: Emergency::Unsaid,
        }
    }

    /// Sets the texts of the prompts, for history and records. A prompt without a text is spoken all the same but
    /// leaves no item.
    pub fn with_texts(mut self, texts: impl IntoIterator<Item = (Phrase, String)>) -> Conversation {
        self.texts = texts.into_iter().collect();
        self
    }

    /// Sets the language for the judgement of utterances; the default is English.
    pub fn with_language(mut self, language: &'static Language) -> Conversation {
        self.language = language;
        self
    }

    /// Outside of business hours: in place of the greeting the caller hears [`Phrase::Closed`], and the call
    /// ends.
    pub fn closed(self, closed: bool) -> Conversation {
        Conversation { opening: if closed { Opening::Closed } else { Opening::Greeting }, ..self }
    }

    /// Before the greeting the caller hears [`Phrase::Notice`], which cannot be interrupted.
    pub fn with_notice(self) -> Conversation {
        match self.opening {
            Opening::Greeting => Conversation { opening: Opening::Notice, ..self },
            Opening::Notice | Opening::Closed => self,
        }
    }

    /// Sets the endings after which the call continues elsewhere: the agent says no goodbye.
    pub fn without_goodbye(self, endings: Vec<Ending>) -> Conversation {
        Conversation { without_goodbye: endings, ..self }
    }

    /// Sets the endings at which the agent says these words in place of a goodbye.
    pub fn with_last_words(self, last_words: Vec<(Ending, Arc<str>)>) -> Conversation {
        Conversation { last_words, ..self }
    }

    /// Handles `input`, and every deadline that has passed by `now`. A `now` before that of an earlier event counts as
    /// that one.
    pub fn handle(&mut self, now: At, input: Input) {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        self.expire(now);
        if !matches!(self.floor, Floor::Ended) {
            self.dispatch(now, input);
        }
        self.expire(now);
        self.begin_mute(now);
        self.answer_results(now);
    }

    /// The next action, if any.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When [`Input::Tick`] is due unless another event precedes it, and why. Always after the latest event.
    pub fn deadline(&self) -> Option<(At, Timer)> {
        self.timers.next()
    }

    /// Whether the agent has the turn: it thinks or speaks.
    pub fn agent_has_turn(&self) -> bool {
        matches!(self.floor, Floor::Agent(..))
    }

    /// The items of the conversation as far as they were heard, oldest first.
    pub fn context(&self) -> &[ContextItem] {
        self.transcript.items()
    }

    fn dispatch(&mut self, now: At, input: Input) {
        match input {
            Input::Connected => self.connected(now),
            Input::CallerSpeech(change) => self.caller_speech(now, change),
            Input::Recognition { utterance, event } => self.recognition(now, utterance, &event),
            Input::SoundsUnfinished { to, by } => self.sounds_unfinished(to, by),
            Input::Response { turn, event } => self.response(now, turn, event),
            Input::Playback { speech, event } => self.playback(now, speech, &event),
            Input::Tool { tool, outcome, result } => self.tool_finished(now, tool, outcome, result),
            Input::AgentChanged { tool, result, then } => self.agent_changed(now, tool, result, then),
            Input::Dtmf { key } => self.key_pressed(now, key),
            Input::Hold(change) => self.hold_changed(now, change),
            Input::Operator(command) => self.operator(now, command),
            Input::CallerLeft => self.caller_left(now),
            Input::EndRequested => self.say_goodbye(now, Phrase::Goodbye, Ending::Requested),
            Input::Tick => {}
        }
    }

    fn expire(&mut self, now: At) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Commit => self.commit(now),
                Timer::Ask => self.pause_lasts(),
                Timer::BargeIn => self.pause_playback(),
                Timer::BargeInCertain => self.interrupt_by_length(now),
                Timer::BargeInWords => self.resume_playback(),
                Timer::Filler => self.play_filler(now),
                Timer::Stall => self.stalled(now),
                Timer::Monologue => self.cut_monologue(now),
                Timer::Keys => self.complete_entry(now),
                Timer::Silence => self.prompt_silent_caller(now),
                Timer::Hold => self.end_long_hold(now),
                Timer::Mute => self.unmute(now),
                Timer::Warning => self.warn(now),
                Timer::Limit => self.end_by_time(now),
                Timer::Goodbye => self.cut_goodbye_short(now),
            }
        }
    }
}
