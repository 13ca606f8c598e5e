//! What the driver tells the conversation and what it is told to do: the vocabulary of the room.
//!
//! Plain values only; nothing here decides.

use std::time::{Duration, Instant};

/// One exchange: what the caller said and what the agent answered. 0 is the greeting.
///
/// Ids grow and are never used twice: a turn that was taken back leaves a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u32);

/// One utterance of the agent, a sentence or a phrase: the unit of synthesis and playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpeechId(pub u32);

/// One request for the words of what the caller said. A turn may ask several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenId(pub u32);

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The caller is connected and can hear: the conversation begins.
    Answered,
    /// The caller speaks; the first voiced frame began at `at`.
    SpeechStarted {
        at: Instant,
    },
    /// The caller pauses; the last voiced frame ended at `at`.
    SpeechPaused {
        at: Instant,
    },
    /// The words of [`Output::Transcribe`]; empty when there were none.
    Transcript {
        listen: ListenId,
        text: String,
    },
    /// The STT engine failed, retries included.
    TranscriptFailed {
        listen: ListenId,
    },
    /// The next piece of a reply, as the model streams it.
    ReplyText {
        turn: TurnId,
        text: String,
    },
    /// The agent wants the call to end when its reply is said, unless the caller has more to say.
    ReplyHangsUp {
        turn: TurnId,
    },
    ReplyEnded {
        turn: TurnId,
    },
    /// The model failed, retries and fallback included.
    ReplyFailed {
        turn: TurnId,
    },
    /// The first sample of an utterance has left.
    PlaybackStarted {
        speech: SpeechId,
    },
    /// How much of an utterance has left. `total` is its length, once it is known.
    Played {
        speech: SpeechId,
        position: Duration,
        total: Option<Duration>,
    },
    /// The last sample of an utterance has left.
    PlaybackEnded {
        speech: SpeechId,
    },
    /// The TTS engine failed, retries and fallback included; what it had given is still played, and
    /// then [`Input::PlaybackEnded`] may follow as for any other utterance.
    SynthesisFailed {
        speech: SpeechId,
    },
    /// The caller has put the call on hold: they do not listen, and what sounds is not their voice.
    Held,
    /// The caller has taken the call back from hold. If a voice is heard at that moment, [`Input::SpeechStarted`]
    /// follows: what was told while the call was on hold was not listened to.
    Resumed,
    /// The caller hung up, or the channel is gone.
    CallerLeft,
    /// Someone other than the caller or the agent wants the call to end politely.
    EndRequested,
    /// Nothing but time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Ask for the words of what the caller said between two moments.
    Transcribe { listen: ListenId, turn: TurnId, from: Instant, to: Instant },
    /// Ask the model for a reply to `history`, whose last line is the caller's.
    Ask { turn: TurnId, history: Vec<Line> },
    /// Whatever is still under way for `turn` (words, reply, synthesis, held speech) is not wanted any more.
    Cancel { turn: TurnId },
    /// Synthesise and play, after what was said before; only [`Phrase::Filler`] goes before what has not
    /// begun to play. While `held`, synthesise only, until `Release`.
    Say { speech: SpeechId, turn: TurnId, what: Say, held: bool },
    /// The held speech of `turn` may be heard.
    Release { turn: TurnId },
    /// Stop the playback at once, keeping what is left of it.
    Pause,
    /// Go on where `Pause` stopped.
    Resume,
    /// Drop all speech that was not heard yet. Playback is not paused any more.
    Flush,
    /// A turn is over: for the transcript, the call record and the conversation state.
    Finished(Record),
    /// End the call. It is the last output.
    HangUp { ending: Ending },
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    Text(String),
    Phrase(Phrase),
}

/// What the agent can say without any engine being well: synthesised when the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phrase {
    Greeting,
    /// The STT engine failed or heard no words.
    DidNotCatch,
    /// The LLM engine failed.
    Difficulty,
    /// The TTS engine failed.
    AudioIssues,
    /// The reply is late.
    Filler,
    StillThere,
    /// The caller stayed silent for too long.
    SilenceGoodbye,
    TurnLimitGoodbye,
    /// The time limit is near.
    TimeWarning,
    TimeLimitGoodbye,
    /// The daemon or an operator ends the call, or the agent does without a word of its own.
    Goodbye,
    /// Nobody is there at this time.
    Closed,
}

impl Phrase {
    /// Every phrase and the name by which a profile's `phrases` replaces it.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Caller,
    Agent,
}

/// One line of the conversation, as it was truly heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub speaker: Speaker,
    pub text: String,
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub turn: TurnId,
    /// What the caller said; empty for the greeting and for the agent's own prompts.
    pub caller: String,
    /// What of the agent's answer was played, cut at the word; without the filler. A phrase appears
    /// here if [`Turn::with_wording`](super::Turn::with_wording) told its words.
    pub agent: String,
    /// The caller cut the answer short.
    pub interrupted: bool,
    pub latency: Latency,
}

/// When things happened, counted from the end of the caller's speech. For the greeting: from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// The words were known.
    pub transcript: Option<Duration>,
    /// The first piece of the reply had come.
    pub reply: Option<Duration>,
    /// The turn was committed: the wait for more speech was over.
    pub commit: Option<Duration>,
    /// The first sample of the answer left.
    pub audio: Option<Duration>,
}

/// Why the conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The caller hung up.
    CallerLeft,
    /// The caller stayed silent.
    Silence,
    TurnLimit,
    TimeLimit,
    /// Engines failed again and again.
    EngineFailure,
    /// `Input::EndRequested`.
    Requested,
    /// `Input::ReplyHangsUp`.
    AgentHungUp,
    /// Nobody was there at this time.
    Closed,
}
