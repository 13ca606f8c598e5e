//! A connection: the audio that was sent on it, and the turn that the engine hears.

use super::{TurnInfo, TurnState};
use crate::engines::stt::live::words::{FinalPart, bounded};

pub struct TurnLine {
    rate: u32,
    /// The position up to which audio was sent.
    pub sent: u64,
    /// Samples that were sent on this connection.
    streamed: u64,
    /// Samples of silence since the latest audio.
    silence: u64,
    turn: Option<OpenTurn>,
    /// The position at which the turn is to end, as the engine was asked.
    closing: Option<u64>,
}

struct OpenTurn {
    index: u32,
    text: String,
    /// The position up to which the engine has heard it.
    until: u64,
}

/// A turn that is over.
pub enum EndedTurn {
    /// The engine has ended it.
    ByEngine(FinalPart),
    OnRequest(FinalPart),
}

impl TurnLine {
    /// A connection for the audio from `sent` on, at `rate` samples a second.
    pub fn new(sent: u64, rate: u32) -> TurnLine {
        TurnLine { rate, sent, streamed: 0, silence: 0, turn: None, closing: None }
    }

    pub fn audio_sent(&mut self, samples: usize) {
        self.streamed += samples as u64;
        self.silence = 0;
    }

    pub fn silence_sent(&mut self, samples: u64) {
        self.streamed += samples;
        self.silence += samples;
    }

    /// The milliseconds of the connection's audio before its last `samples`.
    pub fn ms_before(&self, samples: u64) -> u64 {
        self.streamed.saturating_sub(samples) * 1_000 / u64::from(self.rate)
    }

    /// The position of the audio at a time of the connection; of audio that follows others directly.
    pub fn position_of(&self, ms: u64) -> u64 {
        let heard = ms.saturating_mul(u64::from(self.rate)) / 1_000;
        let behind = self.streamed.saturating_sub(heard).saturating_sub(self.silence);
        self.sent.saturating_sub(behind)
    }

    /// Whether the turn has to be closed before the audio of the next utterance, which begins at `next_from`.
    pub fn must_close(&self, next_from: Option<u64>) -> bool {
        let is_over = next_from.is_none_or(|from| from >= self.sent);
        is_over && self.turn.is_some() && self.closing.is_none()
    }

    /// The engine is asked to end the turn.
    pub fn close(&mut self) {
        self.closing = Some(self.sent);
    }

    /// The words of the turn, if speech from a position on is part of it.
    pub fn words_of(&self, from: u64) -> Option<&str> {
        let end = self.closing.unwrap_or(self.sent);
        self.turn.as_ref().filter(|_| from < end).map(|turn| turn.text.as_str())
    }

    /// The turn that is not over, with the position up to which the engine has heard it.
    pub fn into_open_turn(self) -> Option<FinalPart> {
        self.turn.map(|turn| FinalPart { end: turn.until, text: turn.text })
    }

    /// Takes the state of the turn, of which the engine has heard the audio up to `until`. Returns the turn if it is over.
    pub fn take(&mut self, info: &TurnInfo, until: u64) -> Option<EndedTurn> {
        let (index, text) = (info.index, bounded(info.text.clone()));
        self.closing.take_if(|_| self.turn.as_ref().is_none_or(|turn| turn.index != index));
        if info.state != TurnState::Ended {
            if !text.is_empty() {
                self.turn = Some(OpenTurn { index, text, until });
            }
            return None;
        }
        self.turn = None;
        Some(match self.closing.take() {
            Some(end) => EndedTurn::OnRequest(FinalPart { end, text }),
            None => EndedTurn::ByEngine(FinalPart { end: until, text }),
        })
    }
}
