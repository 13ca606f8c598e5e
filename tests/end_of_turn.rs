//! Intonation and the end-of-turn model on a human voice: whole prompts of Asterisk's, and the same cut off in mid-sentence.
//!
//! With `VCA_END_OF_TURN_STUDY=1` all prompts are judged, clean and with noise, and the curve of callers who are cut off against
//! the wait of the others is printed: `./dev bench end-of-turn`.

use std::collections::HashMap;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use vca::audio::Clip;
use vca::audio::pitch::{Intonation, intonation};
use vca::conversation::{Completeness, completeness};
use vca::engines::end_of_turn::{Settings, SmartTurn, TurnModel};
use vca::language::Language;
use vca::sim::Codec;

use crate::support;
use crate::support::clips;
use crate::support::sandbox::Sandbox;

/// The waits in ms after words that are finished, unclear or trailing: the defaults of `[turn]`.
const WAITS: [f64; 3] = [300.0, 500.0, 1_200.0];

/// The wait in ms after a level pitch, by default.
const LEVEL_WAIT: f64 = 700.0;

/// The pause in mid-sentence in ms.
const PAUSE: f64 = 600.0;

/// The part of a pause that the model hears, in ms: after it the end of speech is noticed.
const HEARD_PAUSE: usize = 120;

const RATE: usize = 8_000;
/// 10 ms.
const FRAME: usize = RATE / 100;

/// The model's file, of the Python package that ships it.
fn model() -> Option<SmartTurn> {
    let Some(tools) = std::env::var_os("VCA_TEST_API_TOOLS").map(PathBuf::from) else {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_API_TOOLS is not set");
        eprintln!("skipped: VCA_TEST_API_TOOLS is not set");
        return None;
    };
    let libraries = std::fs::read_dir(tools.join("venv/lib")).expect("the tools have a venv").flatten();
    let file = "site-packages/pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx";
    let file = libraries.map(|python| python.path().join(file)).find(|file| file.is_file());
    Some(SmartTurn::load(&file.expect("the package has the model")).expect("the model loads"))
}

/// A prompt, and the same cut off in mid-sentence.
struct Sentence {
    whole: Utterance,
    cut: Utterance,
}

struct Utterance {
    /// Without the silence before and after it.
    speech: Vec<i16>,
    /// As a recogniser writes it that puts a full stop behind everything.
    words: String,
}

fn sentences(sandbox: &Sandbox) -> Vec<Sentence> {
    let texts: HashMap<String, String> = clips::prompts(sandbox).into_iter().collect();
    let lines = include_str!("end_of_turn/cuts.csv").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| sentence(sandbox, &texts, line)).collect()
}

/// Reads a line of `cuts.csv`: the prompt, the number of words before the cut, and its time in ms.
fn sentence(sandbox: &Sandbox, texts: &HashMap<String, String>, line: &str) -> Sentence {
    let fields: Vec<&str> = line.split(',').collect();
    let number = |n: usize| fields[n].parse::<usize>().expect("a number");
    let samples = clips::prompt(sandbox, fields[0]).samples;
    let words: Vec<&str> = texts[fields[0]].split_whitespace().collect();
    let utterance = |samples: &[i16], words: &[&str]| Utterance {
        speech: speech(samples).to_vec(),
        words: format!("{}.", words.join(" ").trim_end_matches(['.', '?', '!'])),
    };
    let whole = utterance(&samples, &words);
    Sentence { whole, cut: utterance(&samples[..number(2) * RATE / 1_000], &words[..number(1)]) }
}

/// The power of each 10 ms.
fn envelope(samples: &[i16]) -> Vec<f64> {
    let power = |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    samples.chunks_exact(FRAME).map(power).collect()
}

/// The speech alone: without the silence before and after it.
fn speech(samples: &[i16]) -> &[i16] {
    let envelope = envelope(samples);
    let floor = envelope.iter().copied().fold(0.0, f64::max) / 1e4;
    let first = envelope.iter().position(|power| *power > floor).unwrap_or(0);
    let last = envelope.iter().rposition(|power| *power > floor).unwrap_or(0);
    &samples[first * FRAME..(last + 1) * FRAME]
}

/// The speech as it arrives over a telephone line, with the beginning of a pause: noise of `snr` dB below it, or -62 dBFS, and mu-law.
fn over_the_line(speech: &[i16], snr: Option<f64>, random: &mut StdRng) -> Clip {
    let power = speech.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / speech.len() as f64;
    let noise = snr.map_or(26.0, |snr| power.sqrt() * 10_f64.powf(-snr / 20.0)) * 3_f64.sqrt();
    let pause = [0; HEARD_PAUSE * RATE / 1_000];
    let noisy = speech.iter().chain(&pause).map(|sample| {
        (f64::from(*sample) + random.random_range(-noise..=noise)).clamp(-32_768.0, 32_767.0) as i16
    });
    let noisy: Vec<i16> = noisy.collect();
    let (mut encoder, mut decoder) = (Codec::Ulaw.encoder(), Codec::Ulaw.decoder());
    let frames = noisy.chunks_exact(160).flat_map(|frame| decoder.decode(&encoder.encode(frame)));
    Clip::new(RATE as u32, frames.collect::<Vec<i16>>())
}

/// The intonation of an utterance with the beginning of its pause.
fn intonation_of(audio: &Clip) -> Intonation {
    let speech = &audio.samples[..audio.samples.len() - HEARD_PAUSE * RATE / 1_000];
    intonation(&Clip::new(RATE as u32, speech))
}

/// By which an utterance is judged.
#[derive(Debug, Clone, Copy)]
enum Judge {
    Words,
    /// By its words and its pitch.
    Pitch,
    /// By its words and the model, with this threshold.
    Model(f32),
}

/// The judgements of an utterance: the wait by its words in ms, its pitch, and the model's probability that it is over.
struct Judged {
    by_words: f64,
    pitch: Intonation,
    probability: f32,
}

impl Judged {
    fn new(model: &SmartTurn, words: &str, audio: &Clip) -> Judged {
        Judged {
            by_words: wait_by_words(words),
            pitch: intonation_of(audio),
            probability: model.probability(audio).expect("the model runs"),
        }
    }

    fn wait(&self, judge: Judge) -> f64 {
        match judge {
            Judge::Pitch if self.pitch == Intonation::Level => self.by_words.max(LEVEL_WAIT),
            Judge::Model(threshold) if self.probability < threshold => WAITS[2],
            Judge::Words | Judge::Pitch | Judge::Model(_) => self.by_words,
        }
    }
}

struct Study {
    whole: Vec<Judged>,
    cut: Vec<Judged>,
}

impl Study {
    fn of(model: &SmartTurn, sentences: &[Sentence], snr: Option<f64>) -> Study {
        let mut random = StdRng::seed_from_u64(1);
        let mut judge = |utterance: &Utterance| {
            Judged::new(model, &utterance.words, &over_the_line(&utterance.speech, snr, &mut random))
        };
        let whole = sentences.iter().map(|sentence| judge(&sentence.whole)).collect();
        Study { whole, cut: sentences.iter().map(|sentence| judge(&sentence.cut)).collect() }
    }

    /// The share of speakers who are cut off by the pause in mid-sentence, in percent.
    fn cut_off(&self, judge: Judge) -> f64 {
        let is_cut_off = |judged: &&Judged| judged.wait(judge) < PAUSE;
        100.0 * self.cut.iter().filter(is_cut_off).count() as f64 / self.cut.len() as f64
    }

    /// The mean wait after whole sentences, in ms.
    fn wait(&self, judge: Judge) -> f64 {
        self.whole.iter().map(|judged| judged.wait(judge)).sum::<f64>() / self.whole.len() as f64
    }

    fn curve(&self, snr: Option<f64>) -> Value {
        let point = |judge: Judge| {
            let (cut_off, wait) = (self.cut_off(judge).round(), self.wait(judge).round());
            json!({ "judge": format!("{judge:?}"), "cut_off_percent": cut_off, "mean_wait_ms": wait })
        };
        let thresholds = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map(Judge::Model);
        let points: Vec<Value> =
            [Judge::Words, Judge::Pitch].into_iter().chain(thresholds).map(point).collect();
        json!({ "snr_db": snr, "sentences": self.whole.len(), "points": points })
    }
}

fn wait_by_words(text: &str) -> f64 {
    match completeness(text, Language::of(Some("en"))) {
        Completeness::Finished => WAITS[0],
        Completeness::Unclear => WAITS[1],
        Completeness::Trailing => WAITS[2],
    }
}

/// The recogniser puts a full stop behind both.
#[test]
fn a_human_voice_that_is_cut_off_sounds_unfinished() {
    let (Some(sandbox), Some(model)) = (support::sandbox(), model()) else { return };
    let sentences = sentences(&sandbox);
    if std::env::var_os("VCA_END_OF_TURN_STUDY").is_some() {
        for snr in [None, Some(20.0), Some(10.0)] {
            println!("{}", Study::of(&model, &sentences, snr).curve(snr));
        }
        return;
    }
    let some: Vec<_> = sentences.into_iter().step_by(5).collect();
    let study = Study::of(&model, &some, None);
    let by_model = Judge::Model(Settings::default().threshold);
    let (cut_off, wait) = (study.cut_off(by_model), study.wait(by_model));
    assert!(cut_off <= 15.0 && wait <= 550.0, "{cut_off} % cut off, {wait} ms");
    let by_words = study.cut_off(Judge::Words);
    assert!(cut_off < by_words / 3.0, "{cut_off} % with the model, {by_words} % by words alone");
}

/// All of them, without the model, on a clean line and with noise 10 dB below the voice.
#[test]
fn the_pitch_of_a_human_voice_that_is_cut_off_has_not_fallen() {
    let Some(sandbox) = support::sandbox() else { return };
    let sentences = sentences(&sandbox);
    for snr in [None, Some(10.0)] {
        let mut random = StdRng::seed_from_u64(2);
        let mut wait = |utterance: &Utterance| {
            let line = over_the_line(&utterance.speech, snr, &mut random);
            let is_level = intonation_of(&line) == Intonation::Level;
            let by_words = wait_by_words(&utterance.words);
            if is_level { by_words.max(LEVEL_WAIT) } else { by_words }
        };
        let count = sentences.len() as f64;
        let cut_off = sentences.iter().filter(|sentence| wait(&sentence.cut) < PAUSE).count() as f64 / count;
        let mean = sentences.iter().map(|sentence| wait(&sentence.whole)).sum::<f64>() / count;
        assert!(cut_off <= 0.3 && mean <= 320.0, "{snr:?}: {cut_off} cut off, {mean} ms");
    }
}

/// Anything but the model is refused with its name.
#[test]
fn a_file_that_is_no_model_is_refused() {
    let file = std::env::temp_dir().join(format!("vca-model-{:016x}.onnx", rand::random::<u64>()));
    assert!(SmartTurn::load(&file).err().is_some_and(|error| error.to_string().contains("vca-model-")));
    for content in [&b""[..], b"no model", &[0x0a; 100]] {
        std::fs::write(&file, content).expect("a file can be written");
        assert!(SmartTurn::load(&file).is_err(), "{content:?}");
    }
    std::fs::remove_file(&file).expect("it was written");
}
