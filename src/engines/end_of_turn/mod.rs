//! Judges by its sound whether an utterance is over, beside the judgement by its words.
//!
//! A speaker who pauses in the middle of a sentence sounds unfinished, also where the recogniser puts a full stop. The model
//! runs on threads for blocking work, for a few calls at once; a call that finds them busy, and one without the model, is judged
//! by its intonation.

mod features;
mod fold;
mod smart_turn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::audio::Clip;
use crate::audio::pitch::{Intonation, intonation};
use crate::violation::Violation;
pub use smart_turn::{ModelError, SmartTurn};

/// A model that hears whether a speaker has finished.
pub trait TurnModel: Send + Sync {
    /// The probability, 0.0 to 1.0, that the utterance `audio` is over. It begins with its speech and ends with at most 150 ms
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
    /// An utterance sounds unfinished below this probability. Default 0.6.
    pub threshold: f32,
    /// Utterances that are judged at once, of all calls. Default 1.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { model_file: None, threshold: 0.6, at_once: 1 }
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
    /// The file that the model was loaded from.
    file: Option<FileVersion>,
    threshold: f32,
    at_once: usize,
    places: Arc<Semaphore>,
}

/// A file: its path, when it was last changed, and its length.
type FileVersion = (PathBuf, SystemTime, u64);

fn version(file: &Path) -> Option<FileVersion> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((file.to_owned(), metadata.modified().ok()?, metadata.len()))
}

/// How an utterance sounds to the model.
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
        let at_once = settings.at_once.max(1);
        let places = Arc::new(Semaphore::new(at_once));
        EndOfTurn { model, file: None, threshold: settings.threshold, at_once, places }
    }

    /// Loads the model that the settings name; `None` without one. Blocks for a second, unless the model `in_use` is of the same
    /// file: then calls of before and after a reload share it.
    ///
    /// # Errors
    /// A file that cannot be read or is no such model.
    pub fn load(settings: &Settings, in_use: Option<&EndOfTurn>) -> Result<Option<EndOfTurn>, ModelError> {
        let Some(path) = &settings.model_file else { return Ok(None) };
        // Before it is read, so that a change meanwhile is noticed at the next reload.
        let file = version(path);
        let in_use = in_use.filter(|it| file.is_some() && it.file == file);
        let model: Arc<dyn TurnModel> = match in_use {
            Some(same) => same.model.clone(),
            None => Arc::new(SmartTurn::load(path)?),
        };
        let mut loaded = EndOfTurn { file, ..EndOfTurn::new(model, settings) };
        if let Some(same) = in_use.filter(|it| it.at_once == loaded.at_once) {
            loaded.places = same.places.clone();
        }
        Ok(Some(loaded))
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

/// Judges the utterance `speech`, which ends with its last sound, by its intonation.
pub async fn judge_intonation(speech: Clip) -> Intonation {
    let run = tokio::task::spawn_blocking(move || intonation(&speech));
    let heard = run.await.unwrap_or_else(|error| {
        warn!(%error, "the intonation of an utterance was not judged: its words decide");
        Intonation::Unclear
    });
    metrics::counter!("vca_intonations_total", "end" => heard.as_str()).increment(1);
    heard
}

fn failed(error: &dyn std::fmt::Display) -> Verdict {
    warn!(%error, "the end-of-turn model failed: the utterance is judged without it");
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
        let threshold = Settings::default().threshold;
        assert_eq!(judge(threshold - 0.01).judge(clip()).await, Verdict::Unfinished);
        assert_eq!(judge(threshold).judge(clip()).await, Verdict::Finished);
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
    fn a_model_is_loaded_again_only_where_its_file_has_changed() {
        let path = std::env::temp_dir().join(format!("vca-turn-{:016x}.onnx", rand::random::<u64>()));
        std::fs::write(&path, "no model").expect("a file can be written");
        let in_use = EndOfTurn { file: version(&path), ..judge(0.1) };
        let load = |threshold, at_once, in_use| {
            EndOfTurn::load(&Settings { model_file: Some(path.clone()), threshold, at_once }, in_use)
        };
        let again = load(0.9, 1, Some(&in_use)).expect("it is not read").expect("a model");
        assert!(again.threshold > 0.8 && Arc::ptr_eq(&again.places, &in_use.places));
        let more = load(0.5, 2, Some(&again)).expect("it is not read").expect("a model");
        assert_eq!(more.places.available_permits(), 2);
        assert!(load(0.5, 1, None).is_err(), "without one in use it is read");
        std::fs::write(&path, "another one").expect("it can be written");
        assert!(load(0.5, 1, Some(&in_use)).is_err(), "it has changed");
        std::fs::remove_file(&path).expect("it was written");
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
