//! VCA stays for the record when the target of a transfer has the caller: the legs by which it hears both of them.

use std::net::SocketAddr;

use tracing::warn;

use super::bridged::{AwaitedMedia, Bridged, LeftConversation};
use super::media_binding::bind_media;
use super::phase::{Closing, Phase};
use super::task::Task;
use crate::ari::topology::{Input as TopologyInput, LegId, LegSpec, Wanted};
use crate::conversation::{Ending, ToolId};

impl Task {
    /// Joins the caller with the target, and goes on hearing each of them apart. The conversation with the agent is
    /// over.
    pub(super) fn stay_with(&mut self, target: LegId, tool: ToolId) {
        self.control(TopologyInput::Spare { leg: LegId::MEDIA });
        let Some(talking) = self.take_conversation(tool, "connected") else { return };
        let left = talking.leave(&mut self.records);
        let closing = Closing { ending: Some(Ending::Transferred), ..left.closing };
        let left = LeftConversation { closing, ..left };
        let mut wanted = Wanted::together([LegId::CALLER, target]);
        let heard = self.add_leg(LegSpec::Snoop { of: LegId::CALLER }, &wanted);
        wanted.groups.extend(heard.map(|snoop| [LegId::MEDIA, snoop].into()));
        let media = self.hear_target(target, left.terms.format.name(), &mut wanted);
        self.control(TopologyInput::Arrange { legs: vec![], wanted });
        self.phase = Phase::Bridged(Box::new(Bridged::new(left, media)));
    }

    /// Adds media by which the target is heard. `None` where it cannot be.
    fn hear_target(&mut self, target: LegId, format: &str, wanted: &mut Wanted) -> Option<AwaitedMedia> {
        let (socket, host) = match bind_media(&self.services) {
            Ok(bound) => bound,
            Err(error) => {
                warn!(%error, "the target of a transfer is not transcribed: no UDP port, see [media] ports");
                return None;
            }
        };
        let snoop = self.add_leg(LegSpec::Snoop { of: target }, wanted)?;
        let leg = self.add_leg(LegSpec::FurtherMedia { host, format: format.to_owned() }, wanted)?;
        wanted.groups.push([leg, snoop].into());
        Some(AwaitedMedia { leg, socket })
    }

    /// Adds a leg without changing who hears whom. `None` when there are too many.
    fn add_leg(&mut self, spec: LegSpec, wanted: &Wanted) -> Option<LegId> {
        let leg = self.next_leg()?;
        self.control(TopologyInput::Arrange { legs: vec![spec], wanted: wanted.clone() });
        Some(leg)
    }

    /// Asterisk sends the audio of further media.
    pub(super) fn media_ready(&mut self, leg: LegId, peer: SocketAddr) {
        if let Phase::Bridged(bridged) = &mut self.phase {
            bridged.media_ready(leg, peer, &self.services);
        }
    }
}
