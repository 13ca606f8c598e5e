//! The audio that a recogniser of whole clips is asked for, against the caller's speech.
//!
//! Words before the end of a turn cost audio too, and more of it where the caller goes on and the audio is asked for again with
//! its continuation. While the caller's speech pays for that, the words are asked for as soon as possible. The account begins
//! anew with each reply that is heard to its end: what counts is a caller who goes on and on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{At, Command, UtteranceId};

/// Audio beside an utterance that its clip includes.
const MARGINS: Duration = Duration::from_millis(340);

/// The audio that may be asked for, in hundredths of the caller's speech …
const SHARE: u32 = 125;

/// … and as much beyond it: a sentence may be asked for at two of its pauses and at its end.
const ADVANCE: Duration = Duration::from_secs(3);

/// The audio since the latest reply that was heard to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum AskedAudio {
    Clips {
        asked: Duration,
        spoken: Duration,
        /// The utterance whose recognition has begun, and its beginning.
        begun: Option<(UtteranceId, At)>,
    },
    /// The engine has reported words of speech that went on: it gets all audio once.
    Streamed,
}

impl Default for AskedAudio {
    fn default() -> Self {
        AskedAudio::Clips { asked: Duration::ZERO, spoken: Duration::ZERO, begun: None }
    }
}

impl AskedAudio {
    /// The caller has spoken for so long.
    pub fn add_speech(&mut self, length: Duration) {
        if let AskedAudio::Clips { spoken, .. } = self {
            *spoken = spoken.saturating_add(length);
        }
    }

    /// The caller has heard a reply to its end.
    pub fn begin_anew(&mut self) {
        *self = AskedAudio::default();
    }

    /// The engine has reported words before the end of speech.
    pub fn mark_streamed(&mut self) {
        *self = AskedAudio::Streamed;
    }

    /// Notes the audio that a command asks for.
    pub fn note(&mut self, command: &Command) {
        let AskedAudio::Clips { asked, begun, .. } = self else { return };
        match command {
            Command::Recognise { utterance, from, .. } => *begun = Some((*utterance, *from)),
            Command::EndUtterance { utterance, at } => {
                if let Some((_, from)) = begun.take_if(|(open, _)| open == utterance) {
                    *asked = asked.saturating_add(at.since(from)).saturating_add(MARGINS);
                }
            }
            _ => {}
        }
    }

    /// Whether the caller's speech pays for so much more before the end of the turn.
    pub fn allows(&self, length: Duration) -> bool {
        match self {
            AskedAudio::Clips { asked, spoken, .. } => {
                let allowed = (*spoken / 100).saturating_mul(SHARE).saturating_add(ADVANCE);
                asked.saturating_add(length).saturating_add(MARGINS) <= allowed
            }
            AskedAudio::Streamed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TurnId;
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The caller speaks for so many seconds, and all of it is asked for.
    fn ask(audio: &mut AskedAudio, length: u64) {
        let (utterance, from) = (UtteranceId(0), At::default());
        audio.add_speech(seconds(length));
        audio.note(&Command::Recognise { utterance, turn: TurnId(0), from });
        audio.note(&Command::EndUtterance { utterance, at: At(seconds(length)) });
    }

    #[test]
    fn a_short_utterance_may_be_asked_for_again_and_a_long_one_may_not() {
        let mut audio = AskedAudio::default();
        ask(&mut audio, 2);
        assert!(audio.allows(seconds(2)));
        ask(&mut audio, 20);
        assert!(!audio.allows(seconds(20)) && audio.allows(seconds(5)));
        audio.begin_anew();
        ask(&mut audio, 2);
        assert!(audio.allows(seconds(2)), "a reply was heard");
    }

    #[test]
    fn streams_are_not_counted() {
        let mut audio = AskedAudio::default();
        audio.mark_streamed();
        (0..10).for_each(|_| ask(&mut audio, 20));
        assert!(audio.allows(seconds(200)));
    }
}
