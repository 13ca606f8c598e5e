//! The consultation of a party of a transfer while the conversation is on hold. The target has the call's media: an announcement to
//! it, and its voice and words. Of the caller who waits for it, voice and words are heard.

use std::collections::VecDeque;

use super::{CallerVoice, Talking};
use crate::call::pipeline::{Announcer, AudioPiece, PartyListener, PartyWords, PipelineEvent};
use crate::conversation::HoldChange;
use crate::language::{Acceptance, Language};
use crate::media::{MediaEvent, Port};

/// Events that wait for the call, which reads them at once.
const EVENTS: usize = 64;

pub(super) struct Consultation {
    party: Party,
    listener: PartyListener,
    language: &'static Language,
    events: VecDeque<ConsultationEvent>,
}

/// The party that is heard.
enum Party {
    WaitingCaller,
    Target(Box<Announcer>),
}

/// An event for the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsultationEvent {
    /// The party begins to speak at this position of its audio.
    VoiceStarted {
        from: u64,
    },
    VoicePaused {
        to: u64,
    },
    /// The words of the target's answer; `None` in doubt.
    Words(Option<Acceptance>),
    /// The words of the caller who waits, and whether they cancel the transfer.
    CallersWords {
        cancel: bool,
    },
    /// The announcement was played, or cannot be.
    Announced,
}

/// A step of the recognition of a party's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenStep {
    /// Recognise the words from this position of the party's audio on.
    Begin { from: u64 },
    /// They end here: [`ConsultationEvent::Words`] or [`ConsultationEvent::CallersWords`] follows.
    End { to: u64 },
    /// They are of no use.
    Drop,
}

impl Consultation {
    fn new(party: Party, listener: PartyListener, language: &'static Language) -> Consultation {
        Consultation { party, listener, language, events: VecDeque::new() }
    }

    pub fn next_event(&mut self) -> Option<ConsultationEvent> {
        self.events.pop_front()
    }

    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        match &mut self.party {
            Party::WaitingCaller => None,
            Party::Target(announcer) => announcer.next_audio(),
        }
    }

    /// The party's audio.
    pub fn audio(&mut self, samples: &[i16]) {
        self.listener.audio(samples);
    }

    /// Waits for audio of the announcement, for the party's words, or for the failure of either.
    pub async fn next(consultation: &mut Option<Consultation>) -> PipelineEvent {
        let Some(consultation) = consultation else { return std::future::pending().await };
        let words = match &mut consultation.party {
            Party::WaitingCaller => consultation.listener.next().await,
            Party::Target(announcer) => tokio::select! {
                event = announcer.next() => return event,
                words = consultation.listener.next() => words,
            },
        };
        match words {
            PartyWords::Words(text) => {
                consultation.report_words(&text);
                PipelineEvent::Audio
            }
            PartyWords::Failed(fault) => {
                consultation.report_words("");
                PipelineEvent::EngineFailed(fault)
            }
        }
    }

    fn report_words(&mut self, text: &str) {
        self.report(match self.party {
            Party::WaitingCaller => {
                ConsultationEvent::CallersWords { cancel: self.language.cancels_wait(text) }
            }
            Party::Target(_) => ConsultationEvent::Words(self.language.consent(text)),
        });
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
            MediaEvent::PlaybackEnded { .. } if self.is_of_target() => ConsultationEvent::Announced,
            MediaEvent::PlaybackStarted { .. }
            | MediaEvent::Played { .. }
            | MediaEvent::PlaybackEnded { .. }
            | MediaEvent::UnexpectedPackets { .. } => return,
        };
        self.report(event);
    }

    /// The call's media is the target's.
    pub fn is_of_target(&self) -> bool {
        matches!(self.party, Party::Target(_))
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

    /// The caller waits for the target, and is heard for words that cancel the transfer.
    pub fn hear_waiting_caller(&mut self) {
        self.fetch_audio();
        self.begin_consultation(Party::WaitingCaller);
    }

    /// From now on the call's media is the target's. The announcement names the tenant and has the agent's summary.
    pub fn consult(&mut self, tenant: &str, summary: Option<&str>) {
        self.caller_voice = CallerVoice::Silent;
        let announcer = self.pipeline.announcer(tenant, summary);
        // Audio received until now is the caller's, and so are changes of voice where the caller was heard.
        self.fetch_audio();
        if self.consultation.is_some() {
            while self.port.next_event().is_some() {}
        }
        self.port.flush();
        self.begin_consultation(Party::Target(Box::new(announcer)));
    }

    fn begin_consultation(&mut self, party: Party) {
        let (listener, language) = (self.pipeline.party_listener(), self.agent().language);
        self.consultation = Some(Consultation::new(party, listener, language));
    }

    /// Plays the announcement.
    pub fn announce(&mut self) {
        if let Some(Consultation { party: Party::Target(announcer), .. }) = &mut self.consultation {
            announcer.release();
        }
    }

    /// Recognises words of the party that is heard, or part of them.
    pub fn listen_to_party(&mut self, step: ListenStep) {
        let Some(Consultation { listener, .. }) = &mut self.consultation else { return };
        match step {
            ListenStep::Begin { from } => listener.begin(from),
            ListenStep::End { to } => listener.end(to),
            ListenStep::Drop => listener.cancel(),
        }
    }

    /// The call's media is the conversation's again, and the caller is still on hold.
    pub fn end_consultation(&mut self) {
        let Some(consultation) = &self.consultation else { return };
        let is_of_target = consultation.is_of_target();
        self.fetch_audio();
        while let Some(event) = self.port.next_event() {
            if !is_of_target {
                self.follow_voice(event);
            }
        }
        self.consultation = None;
        if is_of_target {
            self.port.flush();
            self.port.pause();
        }
    }

    /// Notes whether the caller speaks, for the conversation that hears them again later.
    pub(super) fn follow_voice(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::SpeechStarted { level, .. } => self.caller_voice = CallerVoice::Speaking { level },
            MediaEvent::SpeechPaused { .. } => self.caller_voice = CallerVoice::Silent,
            MediaEvent::PlaybackStarted { .. }
            | MediaEvent::Played { .. }
            | MediaEvent::PlaybackEnded { .. }
            | MediaEvent::UnexpectedPackets { .. } => {}
        }
    }
}
