//! An announcement to the target of a transfer, by the agent's voice and apart from the conversation's speeches.

use tokio::sync::mpsc;
use tracing::warn;

use super::speech_queue::{NewSpeech, SpeechQueue};
use super::tasks::{EngineResult, EngineTasks};
use super::{AudioPiece, EngineFault, PipelineEvent};
use crate::conversation::{Say, SpeechId, TurnId};
use crate::tenancy::EngineKind;

/// Not one of a conversation, which counts from 0.
const SPEECH: SpeechId = SpeechId(u32::MAX);
const TURN: TurnId = TurnId(u32::MAX);

/// One announcement. It is synthesised at once, and its audio is handed out from [`Announcer::release`] on.
pub struct Announcer {
    speech: SpeechQueue,
    tasks: EngineTasks,
    results: mpsc::Receiver<EngineResult>,
}

impl Announcer {
    pub(super) fn new(mut speech: SpeechQueue, text: String) -> Announcer {
        let (mut tasks, results) = EngineTasks::new();
        let announcement = NewSpeech { speech: SPEECH, turn: TURN, what: &Say::Text(text), held: true };
        speech.add(announcement, &mut tasks);
        Announcer { speech, tasks, results }
    }

    /// Hands the audio out from now on.
    pub fn release(&mut self) {
        self.speech.release(TURN);
    }

    /// The next audio for playback, if there is any. An announcement that cannot be synthesised ends early.
    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        self.speech.next_audio()
    }

    /// Waits for audio or a failure. Dropping the future loses none.
    pub async fn next(&mut self) -> PipelineEvent {
        loop {
            let Some(EngineResult::Synthesis { speech, event }) = self.results.recv().await else { continue };
            let Some((error, engine)) = self.speech.take(speech, event, &mut self.tasks) else {
                return PipelineEvent::Audio;
            };
            warn!(%error, %engine, "synthesis of an announcement failed");
            return PipelineEvent::EngineFailed(EngineFault { kind: EngineKind::Tts, engine, error });
        }
    }
}
