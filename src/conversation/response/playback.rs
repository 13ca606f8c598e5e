//! How far the speeches of a response are played.

use super::{Progress, Response};
use crate::conversation::{At, PlaybackProgress, SpeechId};

impl Response {
    pub fn started(&mut self, speech: SpeechId, now: At) {
        let Some(speech) = self.find(speech) else { return };
        speech.progress = Progress::Playing;
        if self.first_audio.is_none() {
            self.first_audio = Some(now);
            self.latency.audio = Some(now.since(self.since));
        }
    }

    pub fn played(&mut self, speech: SpeechId, now: At, progress: PlaybackProgress) {
        if self.find(speech).is_some_and(|speech| speech.progress == Progress::Waiting) {
            self.started(speech, now);
        }
        if let Some(speech) = self.find(speech) {
            speech.advance(progress);
        }
    }

    pub fn ended(&mut self, speech: SpeechId) {
        if let Some(speech) = self.find(speech) {
            speech.progress = Progress::Ended;
        }
    }

    /// The rest of the words so far is not played.
    pub fn drop_words(&mut self) {
        for speech in self.speeches.iter_mut().filter(|speech| !speech.is_over()) {
            speech.progress = Progress::Dropped;
        }
    }
}
