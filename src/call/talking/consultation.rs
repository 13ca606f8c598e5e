//! The consultation of a transfer's target: an announcement, and the target's voice. It has the call's media while the
//! conversation is on hold.

use std::collections::VecDeque;

use super::Talking;
use crate::call::pipeline::{Announcer, AudioPiece, PipelineEvent};
use crate::conversation::HoldChange;
use crate::media::{MediaEvent, Port};

/// Events that wait for the call, which reads them at once.
const EVENTS: usize = 64;

pub(super) struct Consultation {
    announcer: Announcer,
    events: VecDeque<ConsultationEvent>,
}

/// An event for the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsultationEvent {
    /// The target begins to speak.
    VoiceStarted,
    VoicePaused,
    /// The announcement was played, or cannot be.
    Announced,
}

impl Consultation {
    pub fn next_event(&mut self) -> Option<ConsultationEvent> {
        self.events.pop_front()
    }

    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        self.announcer.next_audio()
    }

    /// Waits for audio of the announcement, or its failure.
    pub async fn next(consultation: &mut Option<Consultation>) -> PipelineEvent {
        match consultation {
            Some(consultation) => consultation.announcer.next().await,
            None => std::future::pending().await,
        }
    }

    pub fn media_event(&mut self, event: MediaEvent) {
        let event = match event {
            MediaEvent::SpeechStarted { .. } => ConsultationEvent::VoiceStarted,
            MediaEvent::SpeechPaused { .. } => ConsultationEvent::VoicePaused,
            MediaEvent::PlaybackEnded { .. } => ConsultationEvent::Announced,
            MediaEvent::PlaybackStarted { .. }
            | MediaEvent::Played { .. }
            | MediaEvent::UnexpectedPackets { .. } => return,
        };
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }
}

impl Talking {
    /// The next audio for the media thread. Speech of the conversation waits while the caller is transferred: a consultation drops
    /// queued audio, of which the end would never be reported.
    pub(super) fn next_audio(&mut self) -> Option<AudioPiece> {
        match &mut self.consultation {
            Some(consultation) => consultation.next_audio(),
            None if self.hold == HoldChange::Held => None,
            None => self.pipeline.next_audio(),
        }
    }

    /// The conversation's playback is under its control, unless the media is another's meanwhile.
    pub(super) fn control_playback(&mut self, control: impl FnOnce(&mut Port)) {
        if self.consultation.is_none() {
            control(&mut self.port);
        }
    }

    /// From now on the call's media is the target's. The announcement names the tenant and has the agent's summary.
    pub fn consult(&mut self, tenant: &str, summary: Option<&str>) {
        self.caller_voice = super::CallerVoice::Silent;
        let announcer = self.pipeline.announcer(tenant, summary);
        self.port.flush();
        self.consultation = Some(Consultation { announcer, events: VecDeque::new() });
    }

    /// Plays the announcement.
    pub fn announce(&mut self) {
        if let Some(consultation) = &mut self.consultation {
            consultation.announcer.release();
        }
    }

    /// The call's media is the caller's again, who is still on hold.
    pub fn end_consultation(&mut self) {
        if self.consultation.is_some() {
            self.fetch_audio();
            while self.port.next_event().is_some() {}
            self.consultation = None;
            self.port.flush();
            self.port.pause();
        }
    }
}
