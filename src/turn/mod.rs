//! The conversation as a state machine.
//!
//! `Turn` is told what happened and when; it answers with what is to be done. It never sees a sample,
//! reads a clock, waits or spawns: time is an argument, so ten minutes of talk run in a test in
//! milliseconds, and a recorded call replays to the same decisions.
//!
//! The contract: after every [`Turn::handle`] and whenever [`Turn::deadline`] has come (then with
//! [`Input::Tick`]), the driver drains [`Turn::poll`] fully and does what it says, in order.

mod answer;
mod clauses;
mod contract;
mod endpoint;
mod fault;
mod floor;
mod hold;
mod limits;
mod outbox;
mod reply;
mod settings;
mod timer;
mod transcript;
mod utterance;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Instant;

pub use contract::*;
pub use fault::Fault;
pub use settings::{Overrides, Settings};

use floor::Floor;
use outbox::Outbox;
use timer::{Timer, Timers};
use transcript::Transcript;

/// One conversation, from the answer to the hang-up.
#[derive(Debug)]
pub struct Turn {
    settings: Settings,
    wording: HashMap<Phrase, String>,
    /// The latest moment that was told: time never runs backwards in here.
    now: Option<Instant>,
    floor: Floor,
    /// The caller is speaking, and since when, whoever holds the floor.
    voice: Option<Instant>,
    /// The caller has put the call on hold.
    on_hold: bool,
    timers: Timers,
    /// The filler that was said last, until it has been played.
    filler: Option<SpeechId>,
    out: Outbox,
    transcript: Transcript,
    /// The caller's turns so far.
    turns: u32,
    /// Turns in a row that failing engines left without an answer.
    failures: u32,
    /// How often a silent caller was asked whether they are there.
    prompts: u32,
    /// The time is nearly up and the caller was not told yet.
    warning_due: bool,
    /// Nobody is there to talk to: the caller is told so, and that is all.
    closed: bool,
}

impl Turn {
    pub fn new(settings: Settings) -> Turn {
        Turn {
            settings,
            wording: HashMap::new(),
            now: None,
            floor: Floor::Unanswered,
            voice: None,
            on_hold: false,
            timers: Timers::default(),
            filler: None,
            out: Outbox::default(),
            transcript: Transcript::default(),
            turns: 0,
            failures: 0,
            prompts: 0,
            warning_due: false,
            closed: false,
        }
    }

    /// Tells what the phrases say, so that the history and the records hold them. A phrase without
    /// words is spoken all the same but leaves no line.
    pub fn with_wording(mut self, wording: impl IntoIterator<Item = (Phrase, String)>) -> Turn {
        self.wording = wording.into_iter().collect();
        self
    }

    /// Outside of business hours: in place of the greeting the caller hears [`Phrase::Closed`], and the call
    /// is over.
    pub fn closed(mut self, closed: bool) -> Turn {
        self.closed = closed;
        self
    }

    /// Takes notice of `input`, and of every deadline that has come by `now`. A `now` before one told
    /// earlier counts as that one.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        self.expire(now);
        if !matches!(self.floor, Floor::Over) {
            self.notice(now, input);
        }
        self.expire(now);
    }

    /// The next thing to be done, if any.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When [`Input::Tick`] is due, if nothing else happens before. Always after the `now` told last.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What both sides have said and heard, oldest first.
    pub fn history(&self) -> &[Line] {
        self.transcript.lines()
    }

    fn notice(&mut self, now: Instant, input: Input) {
        match input {
            Input::Answered => self.answered(now),
            Input::SpeechStarted { at } => self.speech_started(at.min(now)),
            Input::SpeechPaused { at } => self.speech_paused(at.min(now)),
            Input::Transcript { listen, text } => self.words(now, listen, text.trim()),
            Input::TranscriptFailed { listen } => self.words_failed(now, listen),
            Input::ReplyText { turn, text } => self.reply_text(now, turn, &text),
            Input::ReplyHangsUp { turn } => self.reply_hangs_up(turn),
            Input::ReplyEnded { turn } => self.reply_ended(now, turn),
            Input::ReplyFailed { turn } => self.reply_failed(now, turn),
            Input::PlaybackStarted { speech } => self.playback_started(now, speech),
            Input::Played { speech, position, total } => self.played(now, speech, position, total),
            Input::PlaybackEnded { speech } => self.playback_ended(now, speech),
            Input::SynthesisFailed { speech } => self.synthesis_failed(now, speech),
            Input::Held => self.held(now),
            Input::Resumed => self.resumed(now),
            Input::CallerLeft => self.caller_left(),
            Input::EndRequested => self.say_goodbye(now, Phrase::Goodbye, Ending::Requested),
            Input::Tick => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Commit => self.commit(now),
                Timer::BargeIn => self.pause_playback(),
                Timer::BargeInCertain => self.interrupt(),
                Timer::BargeInWords => self.resume_playback(),
                Timer::Filler => self.bridge(now),
                Timer::Monologue => self.cut_monologue(now),
                Timer::Silence => self.prompt_silent_caller(now),
                Timer::Warning => self.warn(now),
                Timer::Limit => self.say_goodbye(now, Phrase::TimeLimitGoodbye, Ending::TimeLimit),
                Timer::Farewell => self.cut_farewell_short(),
            }
        }
    }
}
