//! Judges by its sound whether an utterance is over, beside the judgement by its words.
//!
//! A speaker who pauses in the middle of a sentence sounds unfinished, also where the recogniser puts a full stop. The model
//! runs on threads for blocking work, for a few calls at once; a call that finds them busy is judged by its words alone.

mod features;
mod fold;
mod smart_turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::audio::Clip;
use crate::violation::Violation;
pub use smart_turn::{ModelError, SmartTurn};

/// A model that hears whether a speaker has finished.
pub trait TurnModel: Send + Sync {
    /// The probability, 0.0 to 1.0, that the utterance `audio` is over. It begins with its speech and ends with at most 200 ms
    /// of its pause. Takes a core for some 100 ms.
    ///
    /// # Errors
    /// A failure of the model itself.
    fn probability(&self, audio: &Clip) -> Result<f32, ModelError>;
}

/// The model of all calls.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The file of Smart Turn v3.2, `smart-turn-v3.2-cpu.onnx` of the Python package `pipecat-ai`; no model when absent.
    pub model_file: Option<PathBuf>,
    /// An utterance sounds unfinished below this probability. Default 0.5.
    pub threshold: f32,
    /// Utterances that are judged at once, of all calls. Default 1.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { model_file: None, threshold: 0.5, at_once: 1 }
    }
}

impl Settings {
    /// The values that break a rule.
    pub fn check(&self) -> Vec<Violation> {
        let threshold = (!(0.0..=1.0).contains(&self.threshold))
            .then(|| Violation::new("end_of_turn.threshold", "must be a probability, 0 to 1"));
        let at_once = (!(1..=64).contains(&self.at_once)).then(|| {
            Violation::new("end_of_turn.at_once", "must be 1 to 64; more than there are cores is of no use")
        });
        threshold.into_iter().chain(at_once).collect()
    }
}

/// The judgement of utterances by their sound.
#[derive(Clone)]
pub struct EndOfTurn {
    model: Arc<dyn TurnModel>,
    threshold: f32,
    places: Arc<Semaphore>,
}

/// How an utterance sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Finished,
    Unfinished,
    /// The model was busy with other calls.
    Busy,
    Failed,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Finished => "finished",
            Verdict::Unfinished => "unfinished",
            Verdict::Busy => "busy",
            Verdict::Failed => "failed",
        }
    }
}

impl EndOfTurn {
    pub fn new(model: Arc<dyn TurnModel>, settings: &Settings) -> EndOfTurn {
        let places = Arc::new(Semaphore::new(settings.at_once.max(1)));
        EndOfTurn { model, threshold: settings.threshold, places }
    }

    /// Loads the model that the settings name; `None` without one. Takes a second.
    ///
    /// # Errors
    /// A file that cannot be read or is no such model.
    pub fn load(settings: &Settings) -> Result<Option<EndOfTurn>, ModelError> {
        let Some(file) = &settings.model_file else { return Ok(None) };
        Ok(Some(EndOfTurn::new(Arc::new(SmartTurn::load(file)?), settings)))
    }

    /// Judges the utterance `audio`, see [`TurnModel::probability`].
    pub async fn judge(&self, audio: Clip) -> Verdict {
        let verdict = self.verdict(audio).await;
        metrics::counter!("vca_end_of_turn_judgements_total", "verdict" => verdict.as_str()).increment(1);
        verdict
    }

    async fn verdict(&self, audio: Clip) -> Verdict {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return Verdict::Busy };
        let model = self.model.clone();
        let began = Instant::now();
        let run = tokio::task::spawn_blocking(move || {
            let probability = model.probability(&audio);
            drop(place);
            probability
        });
        let result = run.await;
        metrics::histogram!("vca_end_of_turn_seconds").record(began.elapsed().as_secs_f64());
        match result {
            Ok(Ok(probability)) if probability < self.threshold => Verdict::Unfinished,
            Ok(Ok(_)) => Verdict::Finished,
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> Verdict {
    warn!(%error, "the end-of-turn model failed: the utterance is judged by its words");
    Verdict::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model with one opinion, which waits for the gate first.
    struct Opinion(f32, Arc<tokio::sync::Mutex<()>>);

    impl TurnModel for Opinion {
        fn probability(&self, audio: &Clip) -> Result<f32, ModelError> {
            let _open = self.1.blocking_lock();
            if audio.samples.is_empty() { Err(ModelError::Run("no audio".into())) } else { Ok(self.0) }
        }
    }

    fn clip() -> Clip {
        Clip::new(8_000, vec![1; 800])
    }

    fn judge(opinion: f32) -> EndOfTurn {
        EndOfTurn::new(Arc::new(Opinion(opinion, Arc::default())), &Settings::default())
    }

    #[tokio::test]
    async fn an_utterance_below_the_threshold_sounds_unfinished() {
        assert_eq!(judge(0.49).judge(clip()).await, Verdict::Unfinished);
        assert_eq!(judge(0.5).judge(clip()).await, Verdict::Finished);
        assert_eq!(judge(0.1).judge(Clip::new(8_000, vec![])).await, Verdict::Failed);
    }

    #[tokio::test]
    async fn a_busy_model_is_not_waited_for() {
        let gate: Arc<tokio::sync::Mutex<()>> = Arc::default();
        let model = EndOfTurn::new(Arc::new(Opinion(0.1, gate.clone())), &Settings::default());
        let first = {
            let _closed = gate.lock().await;
            let mut first = Box::pin(model.judge(clip()));
            assert!(futures_util::poll!(&mut first).is_pending());
            assert_eq!(model.judge(clip()).await, Verdict::Busy);
            first
        };
        assert_eq!(first.await, Verdict::Unfinished);
        assert_eq!(model.judge(clip()).await, Verdict::Unfinished, "its place is free again");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = Settings { threshold: 1.5, at_once: 0, ..Settings::default() };
        let fields: Vec<_> = wrong.check().into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["end_of_turn.threshold", "end_of_turn.at_once"]);
        assert!(Settings::default().check().is_empty());
        assert!(Settings { threshold: f32::NAN, ..Settings::default() }.check().len() == 1);
    }
}
