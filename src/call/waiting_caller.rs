//! The caller who waits for the target of a transfer: the sound that they hear, and the key and the words by which they cancel it.

use super::task::Task;
use crate::ari::topology::{Input as TopologyInput, LegId, LegSpec, WaitingSound, Wanted};
use crate::dtmf::Digit;
use crate::tenancy::{TransferEnd, TransferRules, TransferStyle};

/// Asterisk's class of music on hold that needs no setting of the operator's.
const DEFAULT_MUSIC: &str = "default";
/// The key by which a caller who waits for a target returns to the agent.
const CANCEL_KEY: char = '*';

impl Task {
    /// The sound that the caller hears until the target has the call.
    pub(super) fn waiting_sound(&self, rules: &TransferRules) -> Option<WaitingSound> {
        let style = self.transfer.as_ref()?.target.style;
        Some(match (rules.music_class.as_str(), style) {
            ("", TransferStyle::Warm) => WaitingSound::Music(DEFAULT_MUSIC.to_owned()),
            ("", TransferStyle::Cold | TransferStyle::Confirmed) => WaitingSound::Ringing,
            (class, _) => WaitingSound::Music(class.to_owned()),
        })
    }

    /// Has the caller wait with a sound. In a warm transfer they are heard meanwhile, for words that cancel it. Returns who hears
    /// whom.
    pub(super) fn part_caller(&mut self, sound: WaitingSound) -> Wanted {
        let snoop = self.next_leg();
        let (Some(snoop), Some(active)) = (snoop, &mut self.transfer) else {
            return Wanted::apart(Some(sound));
        };
        if active.target.style != TransferStyle::Warm {
            return Wanted::apart(Some(sound));
        }
        active.snoop = Some(snoop);
        let wanted = Wanted::together([LegId::MEDIA, snoop]).with_waiting(sound);
        let legs = vec![LegSpec::Snoop { of: LegId::CALLER }];
        self.control(TopologyInput::Arrange { legs, wanted: wanted.clone() });
        self.phase.hear_waiting_caller();
        wanted
    }

    /// The waiting caller is not heard any more.
    pub(super) fn release_snoop(&mut self) {
        if let Some(leg) = self.transfer.as_mut().and_then(|active| active.snoop.take()) {
            self.control(TopologyInput::Release { leg });
        }
    }

    /// The caller presses a key while they wait: one of them cancels the transfer.
    pub(super) fn waiting_caller_pressed(&mut self, key: Digit) {
        if key.as_char() == CANCEL_KEY {
            self.cancel_transfer(TransferEnd::Caller);
        }
    }
}
