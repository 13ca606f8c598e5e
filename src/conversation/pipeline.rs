//! The contract between the conversation and the speech pipeline: STT, LLM and TTS.
//!
//! The conversation yields a [`Command`] and receives streams of events: [`Recognition`] of an utterance,
//! [`ResponseEvent`]s of a turn's response, and [`PlaybackEvent`]s of a speech. Every event carries the id that the
//! command introduced, so an event of abandoned work is recognised and ignored.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{At, ContextItem, ToolRequest, TurnId};

/// One utterance of the caller, or a part of a long one, as it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UtteranceId(pub u32);

/// One sentence or prompt of the agent: the unit of synthesis and playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpeechId(pub u32);

/// By which an utterance sounds unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndJudge {
    /// Its pitch has not fallen.
    Pitch,
    /// The end-of-turn model.
    Model,
}

/// A request to the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Recognise the caller's speech from `from` on, which is in the past.
    Recognise { utterance: UtteranceId, turn: TurnId, from: At },
    /// The utterance ends at `at`, for now: deliver its words. It is never resumed; more speech is a new utterance,
    /// possibly with the same beginning.
    EndUtterance { utterance: UtteranceId, at: At },
    /// Listen whether the utterance from `from` to `to`, its pause, sounds unfinished: then [`super::Input::SoundsUnfinished`] follows.
    JudgeEnd { turn: TurnId, from: At, to: At },
    /// Ask the model for a response to `context`, which ends with the caller's words, or for the rest of one to the results of
    /// its tools. An earlier request for the turn that has not ended is abandoned.
    Respond { turn: TurnId, context: Arc<[ContextItem]>, attempt: Attempt },
    /// Abandon all work for `turn`: recognition, response, synthesis, held speech.
    Cancel { turn: TurnId },
    /// Synthesise and play, after earlier speech; only [`Phrase::Filler`] goes before speech that has not begun to
    /// play. While `held`, synthesise only, until [`Command::Release`].
    Speak { speech: SpeechId, turn: TurnId, what: Say, held: bool },
    /// The same for a speech in place of `failed`, whose synthesis failed: right after the audio of it that was delivered. If
    /// `what` is the same, other engines synthesise it, where there are any, and audio of `failed` that does not play yet is
    /// dropped.
    Replace { failed: SpeechId, speech: SpeechId, turn: TurnId, what: Say, held: bool },
    /// Play the held speech of `turn`.
    Release { turn: TurnId },
}

/// Whether an engine was asked before for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    First,
    /// The response failed or stalled. If the context ends with words of the agent, the model is asked to go on from them.
    AfterFailure,
}

/// The recognition of an utterance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recognition {
    /// The words so far of an utterance that is recognised as it is spoken. They may change until the final ones.
    Partial { text: String },
    /// The engine hears a turn of the caller, with these words so far, and will report its end. This and the three that follow
    /// are of engines that judge the ends of turns.
    TurnStarted { text: String },
    /// The turn may be over with these words: a response may be prepared.
    TurnMayEnd { text: String },
    /// It is not: the caller speaks on.
    TurnResumed { text: String },
    /// The turn is over with these words, whether or not the utterance was ended. The last event.
    TurnEnded { text: String },
    /// The words of the ended utterance; empty when there were none. The last event.
    Final { text: String },
    /// The STT engine failed, retries included. The last event.
    Failed,
}

/// The model's response, as it is streamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseEvent {
    /// The next piece of text.
    Text(String),
    /// The next words of a response that the model speaks itself. The pipeline has their audio, see [`Say::Spoken`].
    Spoken(String),
    /// The audio of the model's own speech broke off after so long: words that have no audio are not said. Precedes `Failed`.
    SoundEnds { after: Duration },
    /// The model calls a tool.
    ToolCall(ToolRequest),
    /// The model writes on, and nothing more is complete yet: a tool call or a sentence. The text so far is a whole sentence
    /// where it can be one.
    Writing,
    /// No more text has arrived for a moment. The same is true of the text so far.
    Paused,
    /// The agent ends the call after its response, unless the caller has more to say.
    EndCall,
    /// The response is complete. The last event.
    Finished,
    /// The model failed, retries and fallback included. The last event.
    Failed,
}

/// The playback of a speech.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaybackEvent {
    /// The first audio was synthesised.
    Synthesised,
    /// The first sample was sent.
    Started,
    Progress(PlaybackProgress),
    /// The last sample was sent.
    Ended,
    /// The TTS engine failed, retries and fallback included. Audio that it had delivered is still played, and
    /// [`PlaybackEvent::Ended`] may follow as for any other speech.
    SynthesisFailed,
}

/// How much of a speech was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybackProgress {
    pub position: Duration,
    /// The length of the speech, once it is known.
    pub total: Option<Duration>,
    /// How many letters and digits of its text were sent in whole words, where the TTS engine reports it.
    pub letters: Option<u32>,
}

/// The model's text, or a prompt, or the model's own speech.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    Text(String),
    Phrase(Phrase),
    /// The audio of the response to the latest request for the turn, which the pipeline receives with its words.
    Spoken,
}

/// A fixed prompt, synthesised before it is needed, so that it can be played while engines fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phrase {
    Greeting,
    /// The agent is a machine, and the call is transcribed. Said before the greeting, and not to be interrupted.
    Notice,
    /// The STT engine failed or heard no words.
    DidNotCatch,
    /// The LLM engine failed, and is asked again.
    Difficulty,
    /// It failed again.
    AskAgain,
    /// The TTS engine failed.
    AudioIssues,
    /// The response is late.
    Filler,
    StillThere,
    /// The caller stayed silent for too long.
    SilenceGoodbye,
    /// The limit of turns is near.
    TurnWarning,
    TurnLimitGoodbye,
    /// The time limit is near.
    TimeWarning,
    TimeLimitGoodbye,
    /// The daemon or an operator ends the call, or the agent does without words of its own.
    Goodbye,
    /// Outside of business hours.
    Closed,
    /// The caller speaks of an emergency: which number to dial. Not to be interrupted.
    Emergency,
    /// The question for a rating from 1 to 5.
    Satisfaction,
}

impl Phrase {
    /// Every prompt and the name under which a profile's `phrases` replaces it.
    pub const NAMES: [(Phrase, &str); 17] = [
        (Phrase::Greeting, "greeting"),
        (Phrase::Notice, "notice"),
        (Phrase::DidNotCatch, "did_not_catch"),
        (Phrase::Difficulty, "difficulty"),
        (Phrase::AskAgain, "ask_again"),
        (Phrase::AudioIssues, "audio_issues"),
        (Phrase::Filler, "filler"),
        (Phrase::StillThere, "still_there"),
        (Phrase::SilenceGoodbye, "silence_goodbye"),
        (Phrase::TurnWarning, "turn_warning"),
        (Phrase::TurnLimitGoodbye, "turn_limit_goodbye"),
        (Phrase::TimeWarning, "time_warning"),
        (Phrase::TimeLimitGoodbye, "time_limit_goodbye"),
        (Phrase::Goodbye, "goodbye"),
        (Phrase::Closed, "closed"),
        (Phrase::Emergency, "emergency"),
        (Phrase::Satisfaction, "satisfaction"),
    ];
}
