//! The inputs and outputs of the topology machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::ari::answer::{AriError, Inventory};
use crate::ari::event::Event;
use crate::ari::ids::{BridgeId, ChannelId};
use crate::ari::request::{Reason, Request};
use crate::dtmf::Tone;

/// Identifies a request and its result within one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// One party of the call. Legs are numbered in the order in which they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub(super) u8);

impl LegId {
    /// The channel that the call arrived on.
    pub const CALLER: LegId = LegId(0);
    /// The first leg that is added, which is VCA's own.
    pub const MEDIA: LegId = LegId(1);
}

/// How a leg gets its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegSpec {
    /// The channel has entered the application by itself. It is answered once it has joined its group.
    Arrived(ChannelId),
    /// VCA creates a channel that exchanges RTP with its socket `host`, in Asterisk's codec `format`.
    ExternalMedia { host: SocketAddr, format: String },
    /// The same for another party that is heard apart: see [`Output::MediaReady`]. The call goes on when it ends.
    FurtherMedia { host: SocketAddr, format: String },
    /// VCA rings an endpoint of Asterisk. The leg can be moved once it is answered, see [`Output::LegAnswered`].
    Dial(DialSpec),
    /// VCA creates a channel that has the audio of another leg's far end, which does not hear it. The call goes on when it ends.
    Snoop { of: LegId },
}

/// An endpoint to ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSpec {
    /// Such as `PJSIP/alice` or `Local/1001@sales/n`.
    pub endpoint: String,
    /// The number that it is shown; empty for none.
    pub caller_id: String,
    /// After this Asterisk gives up, in whole seconds.
    pub timeout: Duration,
    /// Channel variables and functions that are set before it rings.
    pub variables: Vec<(String, String)>,
}

/// The sound that a caller hears who is in no group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingSound {
    /// The ringing tone of Asterisk's zone.
    Ringing,
    /// Music on hold, of this class.
    Music(String),
}

/// The wanted state: who hears whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The legs of a group hear each other. A leg is in one group at most. One that is alone in its group, or in none,
    /// is in no bridge.
    pub groups: Vec<BTreeSet<LegId>>,
    /// For arrived legs that are in no group.
    pub waiting: Option<WaitingSound>,
}

impl Wanted {
    /// One group.
    pub fn together(legs: impl IntoIterator<Item = LegId>) -> Wanted {
        Wanted { groups: vec![legs.into_iter().collect()], waiting: None }
    }

    /// The same groups; callers who are in none of them hear the sound.
    #[must_use]
    pub fn with_waiting(self, sound: WaitingSound) -> Wanted {
        Wanted { waiting: Some(sound), ..self }
    }

    /// No leg hears another one; the caller hears the sound.
    pub fn apart(waiting: Option<WaitingSound>) -> Wanted {
        Wanted { groups: Vec::new(), waiting }
    }
}

/// An event, or the result of a request.
#[derive(Debug, Clone)]
pub enum Input {
    /// Adds legs and sets the wanted state. The first one lets the call in; later ones change who hears whom.
    Arrange { legs: Vec<LegSpec>, wanted: Wanted },
    /// The call has to end. Before the answer this refuses it, and the reason decides the SIP status.
    HangUp { reason: Reason },
    /// The call has to end here, and the dialplan continues with the caller. A caller who cannot be returned is refused
    /// with `reason`.
    ContinueInDialplan { exit: DialplanExit, reason: Reason },
    /// Hangs up a leg that VCA created; the call goes on without it.
    Release { leg: LegId },
    /// The call goes on when this leg ends, which VCA created.
    Spare { leg: LegId },
    /// Asks the caller's side to connect this SIP URI instead (SIP REFER), once the caller is in no group.
    Refer { uri: String },
    /// Sends keys to the far end of a leg while the call is up. A failure ends nothing; the client counts it.
    SendDtmf { leg: LegId, keys: Vec<Tone> },
    /// An event of a channel or bridge; those of other calls are ignored.
    Event(Event),
    /// The result of [`Output::Send`].
    Response { id: RequestId, result: Result<Value, AriError> },
    /// The event WebSocket was lost and is open again; these objects exist now.
    Reconciled(Arc<Inventory>),
    /// Only time has passed.
    Tick,
}

/// How the dialplan continues with a caller: the channel variables that it finds, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialplanExit {
    /// [`STATUS_VARIABLE`](super::STATUS_VARIABLE) is the first.
    variables: Vec<(&'static str, String)>,
    /// `None`: after the `Stasis` that the caller entered through.
    place: Option<DialplanPlace>,
}

/// A place in the dialplan. It continues there with priority 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialplanPlace {
    pub context: String,
    pub extension: String,
}

impl DialplanExit {
    /// The status says why the dialplan continues.
    pub fn with_status(status: &str) -> DialplanExit {
        DialplanExit { variables: vec![(super::STATUS_VARIABLE, status.to_owned())], place: None }
    }

    /// Adds a channel variable.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: String) -> DialplanExit {
        self.variables.push((name, value));
        self
    }

    /// Continues at this place.
    #[must_use]
    pub fn at(self, place: DialplanPlace) -> DialplanExit {
        DialplanExit { place: Some(place), ..self }
    }

    /// Continues after the `Stasis` that the caller entered through instead.
    #[must_use]
    pub fn after_stasis(self) -> DialplanExit {
        DialplanExit { place: None, ..self }
    }

    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub fn place(&self) -> Option<&DialplanPlace> {
        self.place.as_ref()
    }

    #[cfg(test)]
    pub fn status(&self) -> &str {
        &self.variables[0].1
    }
}

impl Input {
    /// Lets the call in: the caller and an external-media channel hear each other. `host` is VCA's socket as Asterisk
    /// reaches it, `format` its codec there.
    pub fn admit(host: SocketAddr, format: String) -> Input {
        let wanted = Wanted::together([LegId::CALLER, LegId::MEDIA]);
        Input::Arrange { legs: vec![LegSpec::ExternalMedia { host, format }], wanted }
    }
}

/// A request to send, or an event for the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Send {
        id: RequestId,
        request: Request,
    },
    /// The first wanted state is reached: the call is answered and its media flows. `peer` is the only address from
    /// which RTP is accepted.
    Ready {
        peer: SocketAddr,
    },
    /// Further media has a channel, of which `peer` is the only address from which RTP is accepted.
    MediaReady {
        leg: LegId,
        peer: SocketAddr,
    },
    /// A dialled leg is answered. It is in no group until it is arranged into one.
    LegAnswered {
        leg: LegId,
    },
    /// A dialled leg has ended, left the application or cannot be joined, answered or not, and was not released. `cause` is a
    /// Q.850 code, where Asterisk reports one.
    LegEnded {
        leg: LegId,
        cause: Option<u16>,
    },
    /// [`Input::Refer`] could not be carried out.
    ReferFailed,
    /// The caller's side has reported the end of a transfer that it was asked for, or has refused it. Whether it has
    /// connected the URI is not known; a caller who was connected leaves.
    ReferEnded,
    /// The call is over, for this reason; its teardown begins. Sent exactly once.
    Ended(End),
    /// These channels and bridges could not be deleted.
    Leaked {
        channels: Vec<ChannelId>,
        bridges: Vec<BridgeId>,
    },
    /// The last output: nothing is left to do.
    Done,
}

/// Why a call is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The caller hung up, or the channel left the application. `cause` is a Q.850 code and `sip_status` that of the
    /// SIP call, where Asterisk reports them.
    CallerLeft {
        cause: Option<u16>,
        sip_status: Option<u16>,
    },
    /// [`Input::HangUp`] or [`Input::ContinueInDialplan`].
    HungUp(Reason),
    /// An operator or another program had Asterisk hang up the caller's channel.
    HungUpInAsterisk {
        cause: Option<u16>,
    },
    /// Asterisk was restarted, and the call ended with it.
    AsteriskLost,
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the call was not set up in time: it hung in {0:?}")]
    Deadline(SetUpStage),
    #[error("{stage:?} failed: {error}")]
    Step { stage: SetUpStage, error: AriError },
    #[error("Asterisk ended the call's external-media channel")]
    MediaLost,
    #[error("the call's bridge was destroyed")]
    BridgeLost,
}

/// The part of the wanted state that is not reached yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetUpStage {
    /// There is no wanted state: the call waits for [`Input::Arrange`].
    Admission,
    /// Channels and bridges are created.
    Creation,
    /// Legs leave bridges or enter them.
    Joining,
    Answering,
}
