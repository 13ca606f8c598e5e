//! The vocabulary between the conversation and its driver: inputs, outputs and the values in them.
//!
//! Plain values, all of them serialisable; nothing here decides.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AgentChoice, At, Command, EndJudge, Keys, MuteChange, OperatorCommand, OperatorRefusal, PlaybackEvent,
    Recognition, ResponseEvent, SpeechId, TakeOver, ToolId, ToolOutcome, ToolRequest, ToolUse, UtteranceId,
};
use crate::dtmf::{Digit, Tone};

/// One exchange: an utterance of the caller and the agent's response. 0 is the greeting.
///
/// Ids grow and are never reused: a turn that is taken back leaves a gap. A turn has one response at most, so its id is
/// also the response's. A response that calls tools is several requests to the model, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TurnId(pub u32);

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The call is answered and the caller can hear: the conversation begins.
    Connected,
    /// The caller's voice starts or pauses.
    CallerSpeech(CallerSpeech),
    /// The words of an utterance.
    Recognition { utterance: UtteranceId, event: Recognition },
    /// The utterance that paused at `to` sounds unfinished, see [`Command::JudgeEnd`].
    SoundsUnfinished { to: At, by: EndJudge },
    /// A response arrives.
    Response { turn: TurnId, event: ResponseEvent },
    /// A speech is played.
    Playback { speech: SpeechId, event: PlaybackEvent },
    /// A tool is finished, see [`Output::RunTool`] and [`Output::SendDtmf`]. `result` is the text that the model reads.
    Tool { tool: ToolId, outcome: ToolOutcome, result: Arc<str> },
    /// The agent was changed as [`Output::ChangeAgent`] asked, by
    /// [`Conversation::change_agent`](super::Conversation::change_agent). `result` is the text that the model reads.
    AgentChanged { tool: ToolId, result: Arc<str>, then: TakeOver },
    /// The caller pressed a key.
    Dtmf { key: Digit },
    /// The caller puts the call on hold or takes it off hold.
    Hold(HoldChange),
    /// A person who follows the call intervenes. [`Output::Operator`] reports whether the command is accepted.
    Operator(OperatorCommand),
    /// The caller hung up, or the channel is gone.
    CallerLeft,
    /// An operator or the daemon ends the call politely.
    EndRequested,
    /// Only time passed.
    Tick,
}

/// A change of the caller's voice. The level is the mean power of the voiced frames in dBov, -127 to 0: of the first
/// ones when speech starts, of all since then when it pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallerSpeech {
    /// The caller speaks; the first voiced frame began at `at`.
    Started { at: At, level: i8 },
    /// The caller pauses; the last voiced frame ended at `at`.
    Paused { at: At, level: i8 },
}

/// A change of the caller's hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldChange {
    /// The caller does not listen, and the sound from their side is not their voice.
    Held,
    /// The same by the caller's telephone, which limits its time.
    HeldByCaller,
    /// Events may have been lost: the end of the caller's hold, too. Their words end it.
    Uncertain,
    /// The caller is back. If a voice is heard at that moment, [`CallerSpeech::Started`] follows: speech during the
    /// hold was ignored.
    Resumed,
}

/// An action for the driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A request to the speech pipeline.
    Pipeline(Command),
    /// Stop playback at once, keeping the rest of it.
    Pause,
    /// Continue where `Pause` stopped.
    Resume,
    /// Drop all speech that was not played yet. Playback is no longer paused.
    Flush,
    /// Run a tool, once. [`Input::Tool`] reports its result, within a time limit of the driver's, also after the turn. `request` is
    /// the turn in which the caller's request began: with the key of an action it identifies what is to be done once.
    RunTool { turn: TurnId, request: TurnId, tool: ToolId, call: ToolRequest },
    /// Send keys to the far end. [`Input::Tool`] reports the end of the last one.
    SendDtmf { tool: ToolId, keys: Vec<Tone> },
    /// Transfer the caller to a target. The driver holds the conversation meanwhile; [`Input::Tool`] reports that the target
    /// was not reached, or that the conversation is over.
    Transfer { tool: ToolId, target: Arc<str>, summary: Option<Arc<str>> },
    /// Change the agent or its language. [`Input::AgentChanged`] reports that it is done, [`Input::Tool`] that it is not.
    ChangeAgent { tool: ToolId, to: AgentChoice },
    /// Keep a masked entry for the tools that follow, which refer to it as `reference`.
    KeepEntry { reference: String, keys: Vec<Digit> },
    /// The oldest command of an operator without a result is accepted, or refused.
    Operator(Result<(), OperatorRefusal>),
    /// The operator has muted the agent, or it hears again.
    AgentMuted(MuteChange),
    /// The notice was played to its end.
    NoticeHeard,
    /// The caller speaks of an emergency, and hears which number to dial.
    EmergencyNoticed,
    /// The caller has rated the call, from 1 to 5. Once at most.
    Rated { rating: u8 },
    /// A turn is over: for the transcript, the call record and the stored state.
    TurnFinished(Record),
    /// End the call. The last output.
    HangUp { ending: Ending },
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub turn: TurnId,
    /// The caller's words; empty for the greeting, for the agent's own prompts, and for keys alone.
    pub caller: String,
    /// The keys that the caller pressed, in place of words or beside them.
    pub keys: Option<Keys>,
    /// The agent's words that were played, cut at a word; without the filler. A prompt is included when its text is
    /// known, see [`Conversation::with_texts`](super::Conversation::with_texts).
    pub agent: String,
    /// The tools that finished since the last record.
    pub tools: Vec<ToolUse>,
    /// The caller cut the response short.
    pub interrupted: bool,
    /// Who composed the agent's words.
    pub spoken_by: SpokenBy,
    pub latency: Latency,
}

impl Record {
    /// The caller's side as the transcript has it: their keys and their words.
    pub fn caller_text(&self) -> Cow<'_, str> {
        match &self.keys {
            Some(keys) if self.caller.is_empty() => Cow::Owned(keys.to_string()),
            Some(keys) => Cow::Owned(format!("{keys} {}", self.caller)),
            None => Cow::Borrowed(&self.caller),
        }
    }
}

/// Times since the end of the caller's speech, or since their last key; for the greeting, since the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The pause was noticed.
    pub pause: Option<Duration>,
    /// The transcript was there.
    pub transcript: Option<Duration>,
    /// The first piece of the response was there.
    pub reply: Option<Duration>,
    /// The first clause of the response was complete, and its synthesis was asked for.
    pub clause: Option<Duration>,
    /// The first synthesised audio was there. Cached prompts have none.
    pub speech: Option<Duration>,
    /// The turn was committed: the wait for more speech was over.
    pub commit: Option<Duration>,
    /// The first sample of the response was sent.
    pub audio: Option<Duration>,
}

/// Who composed the words that the agent's voice says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpokenBy {
    /// The model, or a prompt.
    #[default]
    Agent,
    /// A person, by [`OperatorCommand::Say`].
    Operator,
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
    /// [`ResponseEvent::EndCall`].
    AgentHungUp,
    /// The caller was transferred. Of the driver, not of the conversation.
    Transferred,
    /// Outside of business hours.
    Closed,
    /// The caller spoke of an emergency, and the number has a route for that.
    Emergency,
    /// The caller's hold lasted too long.
    HoldLimit,
}
