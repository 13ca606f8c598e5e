//! The vocabulary between the conversation and its driver: inputs, outputs and the values in them.
//!
//! Plain values, all of them serialisable; nothing here decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::At;

/// One exchange: an utterance of the caller and the agent's response. 0 is the greeting.
///
/// Ids grow and are never reused: a turn that is taken back leaves a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TurnId(pub u32);

/// One sentence or prompt of the agent: the unit of synthesis and playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpeechId(pub u32);

/// One request to transcribe an utterance. A turn may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenId(pub u32);

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The call is answered and the caller can hear: the conversation begins.
    Connected,
    /// The caller speaks; the first voiced frame began at `at`.
    SpeechStarted {
        at: At,
    },
    /// The caller pauses; the last voiced frame ended at `at`.
    SpeechPaused {
        at: At,
    },
    /// The text of [`Output::Transcribe`]; empty when there were no words.
    Transcript {
        listen: ListenId,
        text: String,
    },
    /// The STT engine failed, retries included.
    TranscriptFailed {
        listen: ListenId,
    },
    /// The next piece of a response, as the model streams it.
    ResponseText {
        turn: TurnId,
        text: String,
    },
    /// The agent ends the call after its response, unless the caller has more to say.
    ResponseHangsUp {
        turn: TurnId,
    },
    ResponseEnded {
        turn: TurnId,
    },
    /// The model failed, retries and fallback included.
    ResponseFailed {
        turn: TurnId,
    },
    /// The first sample of a speech was sent.
    PlaybackStarted {
        speech: SpeechId,
    },
    /// How much of a speech was sent. `total` is its length, once it is known.
    Played {
        speech: SpeechId,
        position: Duration,
        total: Option<Duration>,
    },
    /// The last sample of a speech was sent.
    PlaybackEnded {
        speech: SpeechId,
    },
    /// The TTS engine failed, retries and fallback included. Audio that it had delivered is still played, and
    /// [`Input::PlaybackEnded`] may follow as for any other speech.
    SynthesisFailed {
        speech: SpeechId,
    },
    /// The caller put the call on hold: they do not listen, and the sound on the line is not their voice.
    Held,
    /// The caller took the call off hold. If a voice is heard at that moment, [`Input::SpeechStarted`] follows: speech
    /// during the hold was ignored.
    Resumed,
    /// The caller hung up, or the channel is gone.
    CallerLeft,
    /// An operator or the daemon ends the call politely.
    EndRequested,
    /// Only time passed.
    Tick,
}

/// An action for the driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Transcribe the caller's audio between two moments.
    Transcribe { listen: ListenId, turn: TurnId, from: At, to: At },
    /// Ask the model for a response to `history`, which ends with the caller's line.
    Respond { turn: TurnId, history: Vec<Line> },
    /// Abandon all work for `turn`: transcription, response, synthesis, held speech.
    Cancel { turn: TurnId },
    /// Synthesise and play, after earlier speech; only [`Phrase::Filler`] goes before speech that has not begun to
    /// play. While `held`, synthesise only, until `Release`.
    Speak { speech: SpeechId, turn: TurnId, what: Say, held: bool },
    /// Play the held speech of `turn`.
    Release { turn: TurnId },
    /// Stop playback at once, keeping the rest of it.
    Pause,
    /// Continue where `Pause` stopped.
    Resume,
    /// Drop all speech that was not played yet. Playback is no longer paused.
    Flush,
    /// A turn is over: for the transcript, the call record and the stored state.
    TurnFinished(Record),
    /// End the call. The last output.
    HangUp { ending: Ending },
}

/// Text of the model's, or a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    Text(String),
    Phrase(Phrase),
}

/// A fixed prompt, synthesised before it is needed, so that it can be played while engines fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phrase {
    Greeting,
    /// The STT engine failed or heard no words.
    DidNotCatch,
    /// The LLM engine failed.
    Difficulty,
    /// The TTS engine failed.
    AudioIssues,
    /// The response is late.
    Filler,
    StillThere,
    /// The caller stayed silent for too long.
    SilenceGoodbye,
    TurnLimitGoodbye,
    /// The time limit is near.
    TimeWarning,
    TimeLimitGoodbye,
    /// The daemon or an operator ends the call, or the agent does without words of its own.
    Goodbye,
    /// Outside of business hours.
    Closed,
}

impl Phrase {
    /// Every prompt and the name under which a profile's `phrases` replaces it.
    pub const NAMES: [(Phrase, &str); 12] = [
        (Phrase::Greeting, "greeting"),
        (Phrase::DidNotCatch, "did_not_catch"),
        (Phrase::Difficulty, "difficulty"),
        (Phrase::AudioIssues, "audio_issues"),
        (Phrase::Filler, "filler"),
        (Phrase::StillThere, "still_there"),
        (Phrase::SilenceGoodbye, "silence_goodbye"),
        (Phrase::TurnLimitGoodbye, "turn_limit_goodbye"),
        (Phrase::TimeWarning, "time_warning"),
        (Phrase::TimeLimitGoodbye, "time_limit_goodbye"),
        (Phrase::Goodbye, "goodbye"),
        (Phrase::Closed, "closed"),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    Caller,
    Agent,
}

/// One line of the transcript, as far as it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub speaker: Speaker,
    pub text: String,
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub turn: TurnId,
    /// The caller's words; empty for the greeting and for the agent's own prompts.
    pub caller: String,
    /// The agent's words that were played, cut at a word; without the filler. A prompt is included when its text is
    /// known, see [`Conversation::with_texts`](super::Conversation::with_texts).
    pub agent: String,
    /// The caller cut the response short.
    pub interrupted: bool,
    pub latency: Latency,
}

/// Times since the end of the caller's speech; for the greeting, since the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The transcript was there.
    pub transcript: Option<Duration>,
    /// The first piece of the response was there.
    pub reply: Option<Duration>,
    /// The turn was committed: the wait for more speech was over.
    pub commit: Option<Duration>,
    /// The first sample of the response was sent.
    pub audio: Option<Duration>,
}

/// Why the conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// The caller hung up.
    CallerLeft,
    /// The caller stayed silent.
    Silence,
    TurnLimit,
    TimeLimit,
    /// Engines failed in several turns in a row.
    EngineFailure,
    /// [`Input::EndRequested`].
    Requested,
    /// [`Input::ResponseHangsUp`].
    AgentHungUp,
    /// Outside of business hours.
    Closed,
}
