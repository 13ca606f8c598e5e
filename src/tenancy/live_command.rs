//! Commands to a call in progress, as administrators give them.

use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Label, TransferTarget, check_comment};
use crate::conversation::{AfterWords, Farewell, NoteAnswer, OperatorCommand, OperatorRefusal, SayWhen};
use crate::violation::Violation;

/// The most characters of words for the caller: about a minute.
const LONGEST_WORDS: usize = 1_000;
/// The most characters of a note.
const LONGEST_NOTE: usize = 2_000;
/// The longest mute, and the default, in seconds.
const LONGEST_MUTE: u32 = 3_600;
const USUAL_MUTE: u32 = 300;

/// A command to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveCommand {
    Say {
        text: String,
        when: SayWhen,
        then: AfterWords,
    },
    Note {
        text: String,
        answer: NoteAnswer,
    },
    Mute {
        at_most: Duration,
    },
    Unmute,
    /// The target is one of the tenant's.
    Transfer {
        target: Box<TransferTarget>,
        when: SayWhen,
    },
    /// The transfer that is under way.
    CancelTransfer,
    End(Farewell),
}

/// Why a call does not carry out a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveRefusal {
    #[error("the call is not in progress")]
    NotLive,
    #[error("the call is not answered yet")]
    NotAnswered,
    #[error("the call is ending")]
    Ending,
    #[error("the caller is being transferred")]
    Transferring,
    #[error(
        "there is no transfer to cancel: none is under way, the target has the caller, or the trunk connects it (SIP REFER)"
    )]
    NoTransfer,
    #[error("too many commands wait, or the call has too many notes")]
    TooMany,
    /// Why the target cannot be attempted.
    #[error("{0}")]
    TargetUnavailable(String),
    #[error("the call did not respond in time")]
    NoResponse,
}

impl LiveRefusal {
    /// The code in the API, and the label of the metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            LiveRefusal::NotLive => "call_not_live",
            LiveRefusal::NotAnswered => "call_not_answered",
            LiveRefusal::Ending => "call_ending",
            LiveRefusal::Transferring => "call_transferring",
            LiveRefusal::NoTransfer => "no_transfer",
            LiveRefusal::TooMany => "too_many_commands",
            LiveRefusal::TargetUnavailable(_) => "target_unavailable",
            LiveRefusal::NoResponse => "call_busy",
        }
    }
}

impl From<OperatorRefusal> for LiveRefusal {
    fn from(refusal: OperatorRefusal) -> LiveRefusal {
        match refusal {
            OperatorRefusal::NotConnected => LiveRefusal::NotAnswered,
            OperatorRefusal::Ending => LiveRefusal::Ending,
            OperatorRefusal::TooMany => LiveRefusal::TooMany,
        }
    }
}

impl LiveCommand {
    /// Its name in the audit log, the call's events and the metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            LiveCommand::Say { .. } => "say",
            LiveCommand::Note { .. } => "add_note",
            LiveCommand::Mute { .. } => "mute",
            LiveCommand::Unmute => "unmute",
            LiveCommand::Transfer { .. } => "transfer",
            LiveCommand::CancelTransfer => "cancel_transfer",
            LiveCommand::End(_) => "hang_up",
        }
    }

    /// The end of the call.
    pub fn end(with_goodbye: bool) -> LiveCommand {
        LiveCommand::End(if with_goodbye { Farewell::Goodbye } else { Farewell::None })
    }

    /// A transfer to one of the tenant's targets. A person who takes over does so at once, and the agent is silent.
    pub fn transfer(target: TransferTarget, take_over: bool) -> LiveCommand {
        LiveCommand::Transfer { target: Box::new(target), when: say_when(take_over) }
    }

    /// The command as the conversation reads it; `None` for one that does not concern it.
    pub fn for_conversation(&self) -> Option<OperatorCommand> {
        Some(match self {
            LiveCommand::Say { text, when, then } => {
                OperatorCommand::Say { text: text.as_str().into(), when: *when, then: *then }
            }
            LiveCommand::Note { text, answer } => {
                OperatorCommand::Note { text: text.as_str().into(), answer: *answer }
            }
            LiveCommand::Mute { at_most } => OperatorCommand::Mute { at_most: *at_most },
            LiveCommand::Unmute => OperatorCommand::Unmute,
            LiveCommand::Transfer { target, when } => {
                OperatorCommand::Transfer { target: target.name.as_str().into(), when: *when }
            }
            LiveCommand::End(farewell) => OperatorCommand::End(*farewell),
            LiveCommand::CancelTransfer => return None,
        })
    }
}

/// Words for the caller of a call in progress.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SayToCallerRequest {
    /// The agent's voice says it in the call's language.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+$",
        examples("One moment, please. I am asking my colleague.")
    )]
    text: String,
    /// Say it at once, and cut the agent or the caller short. Default: when neither side speaks.
    #[serde(default)]
    interrupt: bool,
    /// End the call after these words.
    #[serde(default)]
    end_call: bool,
}

impl SayToCallerRequest {
    /// # Errors
    /// The violation of the text.
    pub fn command(self) -> Result<LiveCommand, Violation> {
        let SayToCallerRequest { text, interrupt, end_call } = self;
        match check_text(&text, LONGEST_WORDS) {
            Some(violation) => Err(violation),
            None => Ok(LiveCommand::Say {
                text,
                when: say_when(interrupt),
                then: if end_call { AfterWords::CallEnds } else { AfterWords::CallersTurn },
            }),
        }
    }
}

/// A note for the agent of a call in progress.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddNoteRequest {
    /// An instruction or a fact. The caller does not hear it; the agent trusts it as it does its system prompt.
    #[schema(
        min_length = 1,
        max_length = 2000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+$",
        examples("The rye bread is sold out. Offer spelt.")
    )]
    text: String,
    /// The agent responds to the note as soon as neither side speaks. Default: the note counts from its next response on.
    #[serde(default)]
    respond: bool,
}

impl AddNoteRequest {
    /// # Errors
    /// The violation of the text.
    pub fn command(self) -> Result<LiveCommand, Violation> {
        let AddNoteRequest { text, respond } = self;
        match check_text(&text, LONGEST_NOTE) {
            Some(violation) => Err(violation),
            None => Ok(LiveCommand::Note {
                text,
                answer: if respond { NoteAnswer::Soon } else { NoteAnswer::Later },
            }),
        }
    }
}

/// How long the agent is muted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteAgentRequest {
    /// The agent hears again after so many seconds.
    #[serde(default = "usual_mute")]
    #[schema(minimum = 1, maximum = 3600, default = 300)]
    seconds: u32,
}

impl MuteAgentRequest {
    /// # Errors
    /// The violation of the duration.
    pub fn command(self) -> Result<LiveCommand, Violation> {
        let seconds = self.seconds;
        if (1..=LONGEST_MUTE).contains(&seconds) {
            Ok(LiveCommand::Mute { at_most: Duration::from_secs(seconds.into()) })
        } else {
            Err(Violation::new("seconds", format!("1 to {LONGEST_MUTE}")))
        }
    }
}

/// A transfer of the caller of a call in progress.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferCallerRequest {
    /// The name of one of the tenant's transfer targets.
    pub target: Label,
    /// The agent is silent at once, and the person takes the call over; if they are not reached, the agent has the caller again.
    /// Default: the transfer begins when neither side speaks.
    #[serde(default)]
    pub take_over: bool,
}

fn check_text(text: &str, longest: usize) -> Option<Violation> {
    if text.is_empty() {
        return Some(Violation::new("text", "it is empty"));
    }
    check_comment("text", text, longest)
}

fn usual_mute() -> u32 {
    USUAL_MUTE
}

fn say_when(now: bool) -> SayWhen {
    if now { SayWhen::Now } else { SayWhen::Next }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(body: Value) -> Result<LiveCommand, Violation> {
        serde_json::from_value::<SayToCallerRequest>(body).expect("a request").command()
    }

    #[test]
    fn words_are_bounded_and_have_no_control_characters() {
        let longest = "a".repeat(LONGEST_WORDS);
        for text in [longest.as_str(), "One.\nTwo.", "नमस्ते"] {
            assert!(said(json!({ "text": text })).is_ok(), "{text}");
        }
        for text in ["", "a\u{0}b", "\u{7}", &format!("{longest}a")] {
            assert!(said(json!({ "text": text })).is_err(), "{text:?}");
        }
        let now = said(json!({ "text": "Stop.", "interrupt": true, "end_call": true }));
        let expected =
            LiveCommand::Say { text: "Stop.".into(), when: SayWhen::Now, then: AfterWords::CallEnds };
        assert_eq!(now, Ok(expected));
    }

    #[test]
    fn a_mute_has_a_limit() {
        let muted = |body| serde_json::from_value::<MuteAgentRequest>(body).expect("a request").command();
        assert_eq!(muted(json!({})), Ok(LiveCommand::Mute { at_most: Duration::from_secs(300) }));
        assert!(muted(json!({ "seconds": 3_600 })).is_ok());
        for seconds in [0, 3_601, u32::MAX] {
            assert!(muted(json!({ "seconds": seconds })).is_err(), "{seconds}");
        }
    }
}
