//! The ids of the channels and bridges that VCA creates for a call.

use super::arrangement::MAX_LEGS;
use super::contract::LegId;
use crate::ari::ids::{BridgeId, ChannelId};

/// The id of a call's external-media channel.
pub fn media_id(call_id: &str) -> ChannelId {
    ChannelId::new(&format!("vca-media-{call_id}"))
}

/// The id of a channel that VCA creates for a leg: one it dials, or a snoop channel.
pub(super) fn leg_id(call_id: &str, leg: LegId) -> ChannelId {
    ChannelId::new(&format!("{LEG_PREFIX}{call_id}.{}", leg.0))
}

/// The ids of all channels that VCA can have dialled for a call.
pub fn dialled_leg_ids(call_id: &str) -> impl Iterator<Item = ChannelId> {
    (LegId::MEDIA.0 + 1..MAX_LEGS).map(move |leg| leg_id(call_id, LegId(leg)))
}

/// Whether VCA creates channels of this id for legs.
pub fn is_dialled_leg(channel: &ChannelId) -> bool {
    channel.as_str().starts_with(LEG_PREFIX)
}

const LEG_PREFIX: &str = "vca-leg-";

/// The id of a call's bridge; a call with several numbers them from 0.
pub fn bridge_id(call_id: &str, number: usize) -> BridgeId {
    match number {
        0 => BridgeId::new(&format!("vca-bridge-{call_id}")),
        number => BridgeId::new(&format!("vca-bridge-{call_id}.{number}")),
    }
}

/// The id of the call that a channel or bridge with this id was created for, by the forms above.
pub fn call_of(id: &str) -> Option<&str> {
    let prefixes = ["vca-media-", "vca-bridge-", LEG_PREFIX];
    let rest = prefixes.iter().find_map(|prefix| id.strip_prefix(prefix))?;
    rest.split('.').next()
}
