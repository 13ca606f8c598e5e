//! The synthesis of one speech, reported piece by piece.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tasks::{EngineResult, SynthesisEvent};
use crate::audio::Clip;
use crate::call::phrases::Fitting;
use crate::call::sentence_cache::Sentence;
use crate::call::{Agent, PromptCache};
use crate::conversation::{Attempt, SpeechId};
use crate::engines::core::EngineError;
use crate::engines::core::retry::STALLED;
use crate::engines::core::timing::{WordEnd, letters};
use crate::engines::core::usage::Meter;
use crate::engines::tts::{BegunSpeech, Pieces, prepared};

/// A speech to be synthesised.
pub struct Synthesis {
    pub speech: SpeechId,
    pub text: Arc<str>,
    pub agent: Arc<Agent>,
    pub attempt: Attempt,
    /// Of this speech alone.
    pub meter: Meter,
    pub prompts: Arc<PromptCache>,
    /// Samples a second of the call.
    pub rate: u32,
}

impl Synthesis {
    /// Reports the speech, of which the first words may have been sent to the engine. A whole one in the agent's own voice
    /// is kept for later calls.
    pub async fn run(self, begun: Option<BegunSpeech>, reports: mpsc::Sender<EngineResult>) {
        let tts = &*self.agent.engines.tts;
        let sentence = Sentence::of(self.agent.tenant, tts, &self.agent.voice, &self.text, self.rate);
        let (text, voice) = (self.text.clone(), self.agent.voice.at_rate(self.rate));
        let pieces = match (self.attempt, begun) {
            (Attempt::First, Some(begun)) => tts.speak_begun(begun, text, voice, self.meter.clone()).await,
            (Attempt::First, None) => tts.speak(text, voice, self.meter.clone()).await,
            (Attempt::AfterFailure, _) => tts.speak_again(text, voice, self.meter.clone()).await,
        };
        let whole = self.report(pieces, &reports).await;
        // A fallback has another voice: the engine itself is asked again next time.
        let is_own_voice = self.attempt == Attempt::First && !self.meter.covered.is_noted();
        if let Some(samples) = whole.filter(|_| is_own_voice) {
            self.prompts.sentences().keep(sentence, &samples);
        }
    }

    /// Reports the samples as they arrive. Returns all of them when the speech is whole.
    async fn report(
        &self,
        pieces: Result<Pieces, EngineError>,
        reports: &mpsc::Sender<EngineResult>,
    ) -> Option<Vec<i16>> {
        let speech = self.speech;
        let report = async |event| reports.send(EngineResult::Synthesis { speech, event }).await.is_ok();
        let mut pieces = match pieces {
            Ok(pieces) => pieces,
            Err(error) => {
                report(SynthesisEvent::Failed(error)).await;
                return None;
            }
        };
        let (mut whole, mut reported) = (Vec::new(), (0, Duration::ZERO));
        let mut fitting = Fitting::new(self.rate);
        while let Some(piece) = next_piece(&mut pieces).await {
            let samples = match piece {
                Ok(piece) => fitting.fit(&piece),
                Err(error) => {
                    report(SynthesisEvent::Samples(fitting.finish())).await;
                    report(SynthesisEvent::Failed(error)).await;
                    return None;
                }
            };
            if let Some(words) = self.words(fitting.cut(), &mut reported) {
                report(SynthesisEvent::Words(words)).await;
            }
            whole.extend_from_slice(&samples);
            if !report(SynthesisEvent::Samples(samples)).await {
                return None;
            }
        }
        if let Some(words) = self.words(fitting.cut(), &mut reported) {
            report(SynthesisEvent::Words(words)).await;
        }
        let samples = fitting.finish();
        whole.extend_from_slice(&samples);
        report(SynthesisEvent::Samples(samples)).await;
        report(SynthesisEvent::Finished).await;
        Some(whole)
    }

    /// The words so far, by the letters of the text and by the time in the reported audio, which lacks the `cut` at its
    /// beginning. None where nothing has changed since the latest report. Those of a fallback are not known.
    fn words(&self, cut: Duration, reported: &mut (usize, Duration)) -> Option<Vec<WordEnd>> {
        let present = (self.meter.timing.count(), cut);
        if present.0 == 0 || present == *reported || self.meter.covered.is_noted() {
            return None;
        }
        *reported = present;
        let (written, spoken) = (letters(&self.text), letters(&prepared(&self.text, &self.agent.voice)));
        let of_text = |letters: u32| {
            let share = u64::from(letters) * u64::from(written) / u64::from(spoken.max(1));
            u32::try_from(share).unwrap_or(u32::MAX).min(written)
        };
        let word =
            |word: WordEnd| WordEnd { letters: of_text(word.letters), at: word.at.saturating_sub(cut) };
        Some(self.meter.timing.words().into_iter().map(word).collect())
    }
}

/// The next piece of a speech that has begun. One that stalls fails: it is repeated, in place of a longer silence.
async fn next_piece(pieces: &mut Pieces) -> Option<Result<Clip, EngineError>> {
    let next = timeout(STALLED, pieces.next()).await;
    next.unwrap_or(Some(Err(EngineError::Timeout(STALLED))))
}
