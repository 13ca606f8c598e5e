//! A call between the caller and the target of a transfer in which VCA stays for the record. It is silent and takes no
//! turn. Each side is heard apart, and its words become turns of the call's record.
//!
//! Asterisk joins the two in one bridge. A snoop channel of each is in a bridge with media of VCA's: the caller's with
//! that of the conversation before, the target's with further media, which may fail without ending the call.

mod side;

use std::net::SocketAddr;
use std::time::Instant;

use tracing::warn;
use uuid::Uuid;

use super::CallServices;
use super::phase::Closing;
use super::pipeline::{EngineFault, PartyListener};
use super::records::Records;
use crate::ari::topology::LegId;
use crate::audio::codec::Format;
use crate::media::{AudioDelivery, MediaSocket, NoiseSuppression, Port};
use side::Side;

/// A party of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgedParty {
    Caller,
    Target,
}

/// An event for the call.
#[derive(Debug, PartialEq, Eq)]
pub enum BridgedEvent {
    /// Audio or changes of voice may have arrived.
    Media,
    Words {
        party: BridgedParty,
        text: String,
    },
    Failed(EngineFault),
}

/// The media and the recognition of a conversation that has ended, while the caller talks on to a person.
pub struct LeftConversation {
    pub closing: Closing,
    pub port: Port,
    /// Of the caller, from here on.
    pub listener: PartyListener,
    /// Of another party, from its first sample on.
    pub other_listener: PartyListener,
    pub terms: MediaTerms,
}

/// The terms of the target's media, which are those of the caller's.
#[derive(Debug, Clone, Copy)]
pub struct MediaTerms {
    pub format: Format,
    pub delivery: AudioDelivery,
    pub noise_suppression: NoiseSuppression,
    pub tenant: Uuid,
}

/// The target's media, once Asterisk has been asked for it.
pub struct AwaitedMedia {
    pub leg: LegId,
    pub socket: MediaSocket,
}

pub struct Bridged {
    closing: Closing,
    caller: Side,
    target: TargetSide,
}

#[allow(clippy::large_enum_variant, reason = "a call has one")]
enum TargetSide {
    Awaited(AwaitedSide),
    Heard(Side),
    /// It is not heard.
    Missing,
}

struct AwaitedSide {
    media: AwaitedMedia,
    listener: PartyListener,
    terms: MediaTerms,
}

impl Bridged {
    /// `media` is the target's; without it the caller alone is heard.
    pub fn new(left: LeftConversation, media: Option<AwaitedMedia>) -> Bridged {
        let LeftConversation { closing, port, listener, other_listener, terms } = left;
        let awaited = |media| TargetSide::Awaited(AwaitedSide { media, listener: other_listener, terms });
        let target = media.map_or(TargetSide::Missing, awaited);
        Bridged { closing, caller: Side::new(port, listener), target }
    }

    /// Asterisk sends the audio of this leg from `peer`.
    pub fn media_ready(&mut self, leg: LegId, peer: SocketAddr, services: &CallServices) {
        self.target = match std::mem::replace(&mut self.target, TargetSide::Missing) {
            TargetSide::Awaited(awaited) if awaited.media.leg == leg => awaited.open(peer, services),
            other => other,
        };
    }

    /// When [`Bridged::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let target = self.heard_target().and_then(Side::deadline);
        self.caller.deadline().into_iter().chain(target).min()
    }

    pub async fn next(&mut self) -> BridgedEvent {
        let Bridged { caller, target, .. } = self;
        let target = async {
            match target {
                TargetSide::Heard(side) => side.next().await,
                TargetSide::Awaited(_) | TargetSide::Missing => std::future::pending().await,
            }
        };
        tokio::select! {
            event = caller.next() => event.of(BridgedParty::Caller),
            event = target => event.of(BridgedParty::Target),
        }
    }

    /// Passes on the audio that has arrived, and follows both voices.
    pub fn listen(&mut self, now: Instant) {
        self.sides().for_each(|side| side.listen(now));
    }

    pub fn tick(&mut self, now: Instant) {
        self.sides().for_each(|side| side.tick(now));
    }

    /// The state of the call at its end.
    pub fn close(self) -> Closing {
        self.closing
    }

    fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        let target = match &mut self.target {
            TargetSide::Heard(side) => Some(side),
            TargetSide::Awaited(_) | TargetSide::Missing => None,
        };
        std::iter::once(&mut self.caller).chain(target)
    }

    fn heard_target(&self) -> Option<&Side> {
        match &self.target {
            TargetSide::Heard(side) => Some(side),
            TargetSide::Awaited(_) | TargetSide::Missing => None,
        }
    }
}

impl AwaitedSide {
    fn open(self, peer: SocketAddr, services: &CallServices) -> TargetSide {
        let AwaitedSide { media, listener, terms } = self;
        let MediaTerms { format, delivery, noise_suppression, tenant } = terms;
        if let Err(error) = media.socket.connect(peer) {
            warn!(%error, "the target of a transfer is not transcribed: Asterisk's media address cannot be reached");
            return TargetSide::Missing;
        }
        match services.media.open(media.socket, format, delivery, (noise_suppression, tenant)) {
            Ok(port) => TargetSide::Heard(Side::new(port, listener)),
            Err(error) => {
                warn!(%error, "the target of a transfer is not transcribed");
                TargetSide::Missing
            }
        }
    }
}

impl BridgedEvent {
    /// Writes words and failures to the record.
    pub fn record(self, records: &mut Records) {
        match self {
            BridgedEvent::Media => {}
            BridgedEvent::Words { party, text } => records.bridged_turn(party, text),
            BridgedEvent::Failed(fault) => records.engine_failed(&fault),
        }
    }
}
