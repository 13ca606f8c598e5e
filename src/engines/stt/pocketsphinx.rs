//! Transcription on this machine by the pocketsphinx program, free or after a grammar.
//!
//! With a grammar it is good and quick on telephone speech; as free dictation it is poor. Both of its
//! programs are understood: `pocketsphinx_continuous` (0.8, Debian 12, Ubuntu 24.04) and
//! `pocketsphinx` (5, later ones).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::grammar::Grammar;
use super::{Hints, Transcriber};
use crate::audio::{Clip, resample};
use crate::engines::core::EngineError;
use crate::engines::core::process::{InheritedFile, Program};
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{LOCAL, Meter, Unit};

/// The rate of the model's training.
const RATE: u32 = 16_000;
/// Noise that is added, relative to the speech, and its least amplitude.
///
/// The model was trained on 16 kHz. In telephone speech nothing is left above 4 kHz, and the logarithm
/// of nothing is far from all it has seen: of 30 recorded prompts it understood 5. With a little
/// noise in the empty band it understood 26.
const NOISE: f32 = 0.02;
const LEAST_NOISE: f32 = 8.0;
/// The window of the model. pocketsphinx 5 fails with less audio.
const ONE_FRAME: Duration = Duration::from_millis(26);
/// Wider beams than the program's own: fewer utterances end without any words, for no measurable time.
const BEAMS: [&str; 6] = ["-beam", "1e-60", "-wbeam", "1e-40", "-pbeam", "1e-60"];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of the acoustic model. `/usr/share/pocketsphinx/model/en-us/en-us` by default.
    pub model: PathBuf,
    /// The pronouncing dictionary. `/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict` by default.
    pub dictionary: PathBuf,
    /// The language model for free dictation. `/usr/share/pocketsphinx/model/en-us/en-us.lm.bin` by default.
    pub language_model: PathBuf,
    /// Phrases of callers (see [`super::grammar`]). Free dictation when empty, the default.
    pub phrases: Vec<String>,
    /// How many utterances may be transcribed at once; others wait. 4 by default.
    pub max_processes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let folder = PathBuf::from("/usr/share/pocketsphinx/model/en-us");
        Settings {
            model: folder.join("en-us"),
            dictionary: folder.join("cmudict-en-us.dict"),
            language_model: folder.join("en-us.lm.bin"),
            phrases: Vec::new(),
            max_processes: 4,
        }
    }
}

/// The two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edition {
    /// `pocketsphinx_continuous` prints a line a segment.
    V0_8,
    /// `pocketsphinx single -` prints one JSON object.
    V5,
}

pub struct Pocketsphinx {
    name: Arc<str>,
    v0_8: Program,
    v5: Program,
    /// Set once the older program has proved to be missing.
    modern: AtomicBool,
    task: Vec<OsString>,
    /// Dictionary and grammar, which the arguments of `task` name: they last as long as the engine.
    files: Vec<InheritedFile>,
}

impl Pocketsphinx {
    /// Reads the dictionary when there are phrases: only their words are given to the program, which
    /// then starts in 20 ms instead of 100.
    ///
    /// Permanent: a phrase is none, a word is not in the dictionary, the dictionary cannot be read.
    pub fn new(name: Arc<str>, settings: &Settings) -> Result<Pocketsphinx, EngineError> {
        let (mut task, files) =
            if settings.phrases.is_empty() { (dictation(settings), Vec::new()) } else { commands(settings)? };
        task.extend(["-hmm".into(), settings.model.clone().into_os_string()]);
        task.extend(BEAMS.map(OsString::from));
        let program = |name: &str| Program::new(name, "pocketsphinx", settings.max_processes);
        Ok(Pocketsphinx {
            name,
            v0_8: program("pocketsphinx_continuous"),
            v5: program("pocketsphinx"),
            modern: AtomicBool::new(false),
            task,
            files,
        })
    }

    async fn hear(&self, speech: Clip) -> Result<String, EngineError> {
        if speech.duration() < ONE_FRAME {
            return Ok(String::new());
        }
        let input = Bytes::from_owner(conditioned(&speech));
        if !self.modern.load(Ordering::Relaxed) {
            match self.run(Edition::V0_8, input.clone()).await {
                Err(EngineError::Missing { .. }) => self.modern.store(true, Ordering::Relaxed),
                answer => return answer,
            }
        }
        self.run(Edition::V5, input).await
    }

    async fn run(&self, edition: Edition, input: Bytes) -> Result<String, EngineError> {
        let mut args = self.task.clone();
        let program = match edition {
            Edition::V0_8 => {
                args.extend(["-logfn", "/dev/null", "-infile", "/dev/stdin"].map(OsString::from));
                &self.v0_8
            }
            Edition::V5 => {
                args.extend(["single", "-"].map(OsString::from));
                &self.v5
            }
        };
        let output = program.run(&args, input).await?;
        Ok(words(edition, &String::from_utf8_lossy(&output)))
    }

    async fn try_out(&self) -> Result<String, EngineError> {
        let begun = Instant::now();
        self.hear(Clip::new(RATE, vec![0; RATE as usize / 2])).await?;
        let edition = if self.modern.load(Ordering::Relaxed) { "5" } else { "0.8" };
        let task = if self.files.is_empty() { "free dictation" } else { "with a grammar" };
        Ok(format!("pocketsphinx {edition}, {task}, heard 0.5 s in {} ms", begun.elapsed().as_millis()))
    }
}

impl Transcriber for Pocketsphinx {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The model's language is the only one; hints change nothing.
    fn transcribe(&self, speech: Clip, _: Hints, meter: Meter) -> BoxFuture<'_, Result<String, EngineError>> {
        let mut charge = meter.charge(Kind::Stt, &self.name, LOCAL);
        charge.set(Unit::AudioMs, speech.duration().as_millis() as u64);
        self.hear(speech).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.try_out().boxed()
    }
}

fn dictation(settings: &Settings) -> Vec<OsString> {
    vec![
        "-dict".into(),
        settings.dictionary.clone().into_os_string(),
        "-lm".into(),
        settings.language_model.clone().into_os_string(),
    ]
}

fn commands(settings: &Settings) -> Result<(Vec<OsString>, Vec<InheritedFile>), EngineError> {
    let permanent = |e: &dyn std::fmt::Display| EngineError::Permanent(e.to_string());
    let grammar = Grammar::new(&settings.phrases).map_err(|e| permanent(&e))?;
    let dictionary = std::fs::read_to_string(&settings.dictionary).map_err(|error| {
        let path = settings.dictionary.display();
        EngineError::Permanent(format!("{path}: {error}: install the package pocketsphinx-en-us"))
    })?;
    let entries = pronunciations(&dictionary, grammar.words()).map_err(|unknown| {
        let unknown = unknown.join(", ");
        EngineError::Permanent(format!("not in the dictionary: {unknown}; use other words in the phrases"))
    })?;
    let file = |label, text: String| InheritedFile::new(label, text.as_bytes()).map_err(|e| permanent(&e));
    let (dictionary, grammar) = (file("dictionary", entries)?, file("grammar", grammar.jsgf())?);
    let task = vec!["-dict".into(), dictionary.path(), "-jsgf".into(), grammar.path()];
    Ok((task, vec![dictionary, grammar]))
}

/// The dictionary's lines for these words, or the words that it does not have.
///
/// A line is a word, `(2)` for a second pronunciation, and its phones.
fn pronunciations<'a>(dictionary: &str, words: &'a BTreeSet<String>) -> Result<String, Vec<&'a str>> {
    let mut unknown: BTreeSet<&str> = words.iter().map(String::as_str).collect();
    let mut entries = String::new();
    for line in dictionary.lines() {
        let end = line.bytes().position(|byte| byte == b'(' || byte.is_ascii_whitespace());
        let word = &line[..end.unwrap_or(line.len())];
        if words.contains(word) {
            unknown.remove(word);
            entries.push_str(line);
            entries.push('\n');
        }
    }
    if unknown.is_empty() { Ok(entries) } else { Err(unknown.into_iter().collect()) }
}

/// The speech as little-endian bytes at the model's rate, with a floor of noise (see [`NOISE`]).
fn conditioned(speech: &Clip) -> Vec<u8> {
    let speech = resample::convert(speech, RATE);
    let power =
        speech.samples.iter().map(|&s| f32::from(s).powi(2)).sum::<f32>() / speech.samples.len() as f32;
    let amplitude = (power.sqrt() * NOISE).max(LEAST_NOISE);
    let mut noise = Noise(1);
    let noisy = speech.samples.iter().map(|&s| (f32::from(s) + amplitude * noise.next()).round() as i16);
    // Bytes that happen to look like the head of an MP3 are refused by pocketsphinx 5.
    [0, 0].into_iter().chain(noisy).flat_map(i16::to_le_bytes).collect()
}

/// White noise of variance 1, the same each time, so that the same speech gives the same words.
struct Noise(u64);

impl Noise {
    /// The sum of four uniform values is near enough to a normal one.
    fn next(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3f32.sqrt()
    }

    /// Knuth's linear congruential generator (MMIX); its upper bits.
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// The words in a program's output: `hours(2)` is a pronunciation of "hours", `<sil>` is not a word.
fn words(edition: Edition, printed: &str) -> String {
    #[derive(Deserialize)]
    struct Heard {
        t: String,
    }
    let text = match edition {
        Edition::V0_8 => printed.to_owned(),
        Edition::V5 => {
            let heard = printed.lines().filter_map(|line| serde_json::from_str::<Heard>(line).ok());
            heard.map(|heard| heard.t).collect::<Vec<_>>().join(" ")
        }
    };
    let plain = text.split_whitespace().map(|word| word.split('(').next().unwrap_or_default());
    plain.filter(|word| !word.is_empty() && !word.starts_with(['<', '['])).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_editions_are_understood() {
        assert_eq!(
            words(Edition::V0_8, "what are your(2) hours\n\n[NOISE] <sil> thank you\n"),
            "what are your hours thank you"
        );
        assert_eq!(
            words(Edition::V5, "{\"b\":0.0,\"d\":1.5,\"p\":0.3,\"t\":\"yes please(2)\",\"w\":[]}\n"),
            "yes please"
        );
        assert_eq!(words(Edition::V5, "no JSON"), "");
    }

    #[test]
    fn a_missing_word_is_named() {
        let dictionary = "are AA R\nare(2) ER\nyes Y EH S\n";
        let set = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(pronunciations(dictionary, &set(&["are"])).as_deref(), Ok("are AA R\nare(2) ER\n"));
        assert_eq!(pronunciations(dictionary, &set(&["yes", "xqz"])), Err(vec!["xqz"]));
    }

    #[test]
    fn conditioning_doubles_the_rate_and_leaves_no_digital_silence() {
        let bytes = conditioned(&Clip::new(8_000, [0; 800]));
        let samples: Vec<i16> = bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(samples.len(), 1_602);
        assert!(samples.iter().any(|s| *s > 4) && samples.iter().all(|s| s.abs() < 40), "{samples:?}");
    }

    proptest! {
        #[test]
        fn random_output_does_no_harm(printed: String) {
            words(Edition::V0_8, &printed);
            words(Edition::V5, &printed);
        }
    }
}
