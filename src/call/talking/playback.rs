//! Audio for the media thread: the agent's speech, and comfort noise while it thinks.

use std::time::Instant;

use super::Talking;
use crate::conversation::HoldChange;
use crate::media::SpeechTag;

/// The state of the media thread's comfort noise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NoiseState {
    Off,
    /// It fills the pauses of the agent.
    On,
}

impl Talking {
    /// Feeds the media thread as far as it has room, once the first sound may leave.
    pub fn feed(&mut self, now: Instant) {
        self.first_sound.take_if(|at| *at <= now);
        if self.first_sound.is_some() {
            return;
        }
        self.control_noise();
        while self.port.has_room()
            && let Some(piece) = self.next_audio()
        {
            if !self.port.play(SpeechTag(piece.speech.0), piece.samples, piece.last) {
                tracing::error!("the media thread had room and has none");
            }
        }
    }

    /// Begins and ends comfort noise, where the profile of the present agent wants it: in the agent's turn, and not while the
    /// caller is on hold or transferred.
    fn control_noise(&mut self) {
        let is_wanted = self.agents.roster.present().comfort_noise
            && self.conversation.agent_has_turn()
            && self.hold == HoldChange::Resumed
            && self.consultation.is_none();
        match (self.comfort_noise, is_wanted) {
            (NoiseState::Off, true) => {
                self.comfort_noise = NoiseState::On;
                self.port.begin_noise();
            }
            (NoiseState::On, false) => {
                self.comfort_noise = NoiseState::Off;
                self.port.end_noise();
            }
            _ => {}
        }
    }
}
