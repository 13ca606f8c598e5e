//! Smart Turn v3.2 (BSD-2-Clause): a Whisper encoder of eight seconds with a head that says whether a turn is over.
//!
//! Its file has quantised weights and activations; the activations are used unquantised ([`fold`](super::fold)), because
//! telephone audio is judged better so. `docs/turn-taking.md` has its figures on recorded prompts.

use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::features::{BANDS, FRAMES, Features, RATE};
use super::{TurnModel, fold::fold};
use crate::audio::Clip;
use crate::audio::resample::convert;

/// No model file is larger, in bytes.
const LARGEST: u64 = 100_000_000;

/// A model that cannot be loaded or fails.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read the end-of-turn model {file}: {problem}")]
    File { file: String, problem: String },
    #[error("the end-of-turn model fails: {0}")]
    Run(String),
}

/// The model in memory: some 40 MB, for all calls.
pub struct SmartTurn {
    plan: Arc<TypedRunnableModel>,
    features: Features,
}

impl SmartTurn {
    /// Loads the file `smart-turn-v3.2-cpu.onnx`, and runs it once.
    ///
    /// # Errors
    /// A file that cannot be read, is too large, or is no such model.
    pub fn load(file: &Path) -> Result<SmartTurn, ModelError> {
        let failed = |problem: String| ModelError::File { file: file.display().to_string(), problem };
        let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
        if size > LARGEST {
            return Err(failed(format!("it has {size} bytes, more than any such model")));
        }
        let onnx = tract_onnx::onnx();
        let mut graph = onnx.proto_model_for_path(file).map_err(|error| failed(error.to_string()))?;
        fold(&mut graph).map_err(failed)?;
        let model = onnx.model_for_proto_model(&graph).and_then(|model| model.into_optimized());
        let plan =
            model.and_then(|model| model.into_runnable()).map_err(|error| failed(error.to_string()))?;
        let model = SmartTurn { plan, features: Features::new() };
        model.probability(&Clip::new(RATE, vec![0; 1_600])).map_err(|error| failed(error.to_string()))?;
        Ok(model)
    }
}

impl TurnModel for SmartTurn {
    fn probability(&self, audio: &Clip) -> Result<f32, ModelError> {
        let failed = |error: &dyn std::fmt::Display| ModelError::Run(error.to_string());
        let audio = convert(audio, RATE);
        let samples: Vec<f32> = audio.samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        let features = tract_ndarray::Array3::from_shape_vec((1, BANDS, FRAMES), self.features.of(&samples));
        let input = Tensor::from(features.map_err(|error| failed(&error))?);
        let outputs = self.plan.run(tvec!(input.into())).map_err(|error| failed(&error))?;
        let output = outputs.first().ok_or_else(|| failed(&"it has no output"))?;
        let values = output
            .try_as_plain_ram()
            .and_then(|output| output.as_slice::<f32>())
            .map_err(|error| failed(&error))?;
        values
            .first()
            .copied()
            .filter(|value| value.is_finite())
            .ok_or_else(|| failed(&"it gives no probability"))
    }
}
