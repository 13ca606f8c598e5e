//! The consultation of a transfer's target: an announcement, and the target's voice and words. It has the call's media while the
//! conversation is on hold.

use std::collections::VecDeque;

use super::Talking;
use crate::call::pipeline::{Announcer, AudioPiece, PipelineEvent, TargetAnswer, TargetListener};
use crate::conversation::HoldChange;
use crate::language::Acceptance;
use crate::media::{MediaEvent, Port};

/// Events that wait for the call, which reads them at once.
const EVENTS: usize = 64;

pub(super) struct Consultation {
    announcer: Announcer,
    listener: TargetListener,
    events: VecDeque<ConsultationEvent>,
}

/// An event for the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsultationEvent {
    /// The target begins to speak at this position of its audio.
    VoiceStarted {
        from: u64,
    },
    VoicePaused {
        to: u64,
    },
    /// The words of its answer; `None` in doubt.
    Words(Option<Acceptance>),
    /// The announcement was played, or cannot be.
    Announced,
}

/// A step of the recognition of a target's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetWords {
    /// Recognise the words from this position of the target's audio on.
    Begin { from: u64 },
    /// They end here: [`ConsultationEvent::Words`] follows.
    End { to: u64 },
    /// They are no answer.
    Drop,
}

impl Consultation {
    pub fn next_event(&mut self) -> Option<ConsultationEvent> {
        self.events.pop_front()
    }

    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        self.announcer.next_audio()
    }

    /// The target's audio.
    pub fn audio(&mut self, samples: &[i16]) {
        self.listener.audio(samples);
    }

    /// Waits for audio of the announcement, for the target's words, or for the failure of either.
    pub async fn next(consultation: &mut Option<Consultation>) -> PipelineEvent {
        let Some(consultation) = consultation else { return std::future::pending().await };
        let answer = tokio::select! {
            event = consultation.announcer.next() => return event,
            answer = consultation.listener.next() => answer,
        };
        match answer {
            TargetAnswer::Words(consent) => {
                consultation.report(ConsultationEvent::Words(consent));
                PipelineEvent::Audio
            }
            TargetAnswer::Failed(fault) => {
                consultation.report(ConsultationEvent::Words(None));
                PipelineEvent::EngineFailed(fault)
            }
        }
    }

    fn report(&mut self, event: ConsultationEvent) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }

    pub fn media_event(&mut self, event: MediaEvent) {
        let event = match event {
            MediaEvent::SpeechStarted { position, .. } => ConsultationEvent::VoiceStarted { from: position },
            MediaEvent::SpeechPaused { position, .. } => ConsultationEvent::VoicePaused { to: position },
            MediaEvent::PlaybackEnded { .. } => ConsultationEvent::Announced,
            MediaEvent::PlaybackStarted { .. }
            | MediaEvent::Played { .. }
            | MediaEvent::UnexpectedPackets { .. } => return,
        };
        self.report(event);
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
        // Audio received until now is the caller's.
        self.fetch_audio();
        let listener = self.pipeline.target_listener();
        self.port.flush();
        self.consultation = Some(Consultation { announcer, listener, events: VecDeque::new() });
    }

    /// Plays the announcement.
    pub fn announce(&mut self) {
        if let Some(consultation) = &mut self.consultation {
            consultation.announcer.release();
        }
    }

    /// Recognises the target's words, or part of them.
    pub fn listen_to_target(&mut self, step: TargetWords) {
        let Some(Consultation { listener, .. }) = &mut self.consultation else { return };
        match step {
            TargetWords::Begin { from } => listener.begin(from),
            TargetWords::End { to } => listener.end(to),
            TargetWords::Drop => listener.cancel(),
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
