//! The events of a call's parties: hold, keys, and a caller who goes on with another channel.

use tracing::info;

use crate::ari::{ChannelId, Event};
use crate::conversation::HoldChange;
use crate::dtmf::Digit;

/// A caller who puts the call on hold or resumes it. One who arrives by a transfer resumes it as well: the other channel
/// was on hold, and sends no further events.
pub fn hold_change(event: &Event) -> Option<HoldChange> {
    match event {
        Event::ChannelHold { .. } => Some(HoldChange::HeldByCaller),
        Event::ChannelUnhold { .. } | Event::StasisStart { replaces: Some(_), .. } => {
            Some(HoldChange::Resumed)
        }
        _ => None,
    }
}

/// The channel of the party that an event is about.
pub fn party(event: &Event) -> Option<&ChannelId> {
    match event {
        Event::StasisStart { replaces: Some(old), .. } => Some(old),
        event => event.channel_id(),
    }
}

/// The key that a party presses.
pub fn pressed_key(event: &Event) -> Option<Digit> {
    match event {
        Event::ChannelDtmfReceived { digit, .. } => Some(*digit),
        _ => None,
    }
}

/// Logs events that explain a call's behaviour: another caller, or a caller on hold.
pub fn note(event: &Event) {
    match event {
        Event::StasisStart { channel, replaces: Some(old), .. } => {
            info!(channel = %channel.id, %old, "the caller was transferred: the call goes on with another channel");
        }
        Event::ChannelHold { .. } => info!("the caller has put the call on hold"),
        Event::ChannelUnhold { .. } => info!("the caller has taken the call back from hold"),
        _ => {}
    }
}
