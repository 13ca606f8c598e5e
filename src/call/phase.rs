//! The phases of a call, each with its data.
//!
//! | phase | event | next |
//! |---|---|---|
//! | `SettingUp` | Asterisk has answered and the media flows | `Talking` |
//! | `SettingUp` | the greeting cannot be synthesised | `Ending`, with a refusal |
//! | `SettingUp` | no media | `Ending` |
//! | `Talking` | the caller is transferred | `Transferred` |
//! | `Talking` | the same, and VCA stays for the record | `Bridged` |
//! | any of these | the call is over in Asterisk | `Ending`: the record is closed |
//! | `Ending` | everything is deleted in Asterisk | `Done` |

use std::time::Instant;

use super::Refusal;
use super::bridged::{Bridged, BridgedEvent};
use super::live_request::LiveRequest;
use super::media_watch::MissingMedia;
use super::pipeline::PipelineEvent;
use super::records::Records;
use super::setup::SettingUp;
use super::talking::{CallAction, ListenStep, Talking};
use super::task::Waking;
use crate::conversation::{Ending, HoldChange};
use crate::dtmf::Digit;
use crate::media::Report;
use crate::tenancy::{FailoverCase, LiveRefusal, TransferTarget};
use crate::tools::Finished;

pub enum Phase {
    /// The greeting is synthesised, and Asterisk creates the call's channel and bridge.
    SettingUp(SettingUp),
    Talking(Box<Talking>),
    /// The caller talks to the target of a transfer, or continues in the dialplan. The conversation is over.
    Transferred(Box<Closing>),
    /// The caller talks to the target of a transfer, and both are heard for the record.
    Bridged(Box<Bridged>),
    /// The call ends; with a reason if it was refused.
    Ending(Option<Refusal>),
    /// Nothing of the call is left in Asterisk.
    Done,
}

/// The state of a call at its end, for its record.
#[derive(Default)]
pub struct Closing {
    pub refusal: Option<Refusal>,
    /// The case in which the dialplan continues with the call.
    pub continued: Option<FailoverCase>,
    /// `None` when there was no conversation.
    pub ending: Option<Ending>,
    pub media: Option<Report>,
    /// No packet of the caller's arrived.
    pub missing_media: Option<MissingMedia>,
}

impl Phase {
    /// The time at which the call has to wake up in any case.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Phase::Talking(talking) => talking.deadline(),
            Phase::Bridged(bridged) => bridged.deadline(),
            _ => None,
        }
    }

    /// The next event of the phase.
    pub async fn next(&mut self) -> Waking {
        match self {
            Phase::Talking(talking) => talking.next().await,
            Phase::Bridged(bridged) => match bridged.next().await {
                BridgedEvent::Media => Waking::Media,
                event => Waking::Bridged(event),
            },
            _ => std::future::pending().await,
        }
    }

    /// Carries out one action of the conversation. `None` when there is none.
    pub fn step(&mut self, records: &mut Records) -> Option<CallAction> {
        self.talking()?.step(records)
    }

    /// Feeds the media thread.
    pub fn feed(&mut self, now: Instant) {
        if let Some(talking) = self.talking() {
            talking.feed(now);
        }
    }

    /// Handles the media thread's events.
    pub fn listen(&mut self, records: &mut Records) {
        match self {
            Phase::Talking(talking) => talking.listen(records),
            Phase::Bridged(bridged) => bridged.listen(Instant::now()),
            _ => {}
        }
    }

    /// Handles an event of the pipeline.
    pub fn take(&mut self, event: PipelineEvent, records: &mut Records) {
        if let Some(talking) = self.talking() {
            talking.take(event, records);
        }
    }

    /// Handles the result of a tool.
    pub fn tool_finished(&mut self, finished: Finished) {
        if let Some(talking) = self.talking() {
            talking.tool_finished(finished);
        }
    }

    /// The caller puts the call on hold or resumes it.
    pub fn hold(&mut self, change: HoldChange, records: &mut Records) {
        if let Some(talking) = self.talking() {
            talking.hold(change, records);
        }
    }

    /// The target of a transfer has the call's media; see [`Talking::consult`].
    pub fn consult(&mut self, tenant: &str, summary: Option<&str>) {
        if let Some(talking) = self.talking() {
            talking.consult(tenant, summary);
        }
    }

    /// Plays the announcement to the target.
    pub fn announce(&mut self) {
        if let Some(talking) = self.talking() {
            talking.announce();
        }
    }

    /// The caller waits for the target, and is heard; see [`Talking::hear_waiting_caller`].
    pub fn hear_waiting_caller(&mut self) {
        if let Some(talking) = self.talking() {
            talking.hear_waiting_caller();
        }
    }

    /// Recognises words of the party that is heard; see [`Talking::listen_to_party`].
    pub fn listen_to_party(&mut self, step: ListenStep) {
        if let Some(talking) = self.talking() {
            talking.listen_to_party(step);
        }
    }

    /// The call's media is the conversation's again.
    pub fn end_consultation(&mut self) {
        if let Some(talking) = self.talking() {
            talking.end_consultation();
        }
    }

    /// The caller presses a key.
    pub fn press(&mut self, key: Digit, records: &mut Records) {
        if let Some(talking) = self.talking() {
            talking.press(key, records);
        }
    }

    /// Passes a command of an operator to the conversation, or refuses it.
    pub fn operate(&mut self, request: LiveRequest, records: &mut Records) {
        match self {
            Phase::SettingUp(_) => request.answer(Err(LiveRefusal::NotAnswered)),
            Phase::Talking(talking) => talking.operate(request, records),
            Phase::Transferred(_) | Phase::Bridged(_) => request.answer(Err(LiveRefusal::Transferring)),
            Phase::Ending(_) | Phase::Done => request.answer(Err(LiveRefusal::Ending)),
        }
    }

    /// Ends the conversation politely. Returns false when there is none.
    pub fn request_end(&mut self) -> bool {
        self.talking().map(Talking::request_end).is_some()
    }

    /// Handles passed deadlines. Returns the conversation's ending once its last words are played.
    pub fn tick(&mut self, now: Instant) -> Option<Ending> {
        if let Phase::Bridged(bridged) = self {
            bridged.tick(now);
        }
        self.talking()?.tick(now)
    }

    /// The transfer targets of the present agent; none where no agent talks.
    pub fn targets(&self) -> &[TransferTarget] {
        self.as_talking().map_or(&[], |talking| &talking.agent().targets)
    }

    /// Whether the caller and the agent talk.
    pub fn is_talking(&self) -> bool {
        self.as_talking().is_some()
    }

    fn talking(&mut self) -> Option<&mut Talking> {
        match self {
            Phase::Talking(talking) => Some(talking),
            _ => None,
        }
    }

    fn as_talking(&self) -> Option<&Talking> {
        match self {
            Phase::Talking(talking) => Some(talking),
            _ => None,
        }
    }
}
