//! The end-of-turn model on a human voice: whole prompts of Asterisk's, and the same cut off in mid-sentence.
//!
//! With `VCA_END_OF_TURN_STUDY=1` all prompts are judged, clean and with noise, and the curve of callers who are cut off against
//! the wait of the others is printed: `./dev bench end-of-turn`.

use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use vca::audio::Clip;
use vca::engines::end_of_turn::{SmartTurn, TurnModel};
use vca::sim::Codec;

use crate::support;
use crate::support::clips;
use crate::support::sandbox::Sandbox;

/// Milliseconds of a finished sentence's wait, and of one that sounds unfinished: the defaults of `[turn]`.
const WAITS: (f64, f64) = (300.0, 1_200.0);

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

/// The names of prompts that are whole sentences of 1.5 to 8 seconds.
fn sentences(sandbox: &Sandbox) -> Vec<(String, Clip)> {
    let is_sentence = |text: &str| {
        let inner = text.trim_end_matches(['.', '?', '!']);
        text.len() == inner.len() + 1
            && !inner.contains(['.', '?', '!'])
            && text.split_whitespace().count() >= 6
    };
    let all = clips::prompts(sandbox).into_iter().filter(|(_, text)| is_sentence(text));
    let clips = all.map(|(name, _)| (name.clone(), clips::prompt(sandbox, &name)));
    clips.filter(|(_, clip)| (1.5..8.0).contains(&clip.duration().as_secs_f64())).collect()
}

/// The power of each 10 ms.
fn envelope(samples: &[i16]) -> Vec<f64> {
    let power = |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    samples.chunks_exact(FRAME).map(power).collect()
}

/// The speech alone: without the silence before and after it.
fn speech(clip: &Clip) -> &[i16] {
    let envelope = envelope(&clip.samples);
    let floor = envelope.iter().copied().fold(0.0, f64::max) / 1e4;
    let first = envelope.iter().position(|power| *power > floor).unwrap_or(0);
    let last = envelope.iter().rposition(|power| *power > floor).unwrap_or(0);
    &clip.samples[first * FRAME..(last + 1) * FRAME]
}

/// The speech up to the quietest 10 ms between 35 and 75 % of it that are in no pause.
fn cut(speech: &[i16]) -> &[i16] {
    let envelope = envelope(speech);
    let quiet = envelope.iter().copied().fold(0.0, f64::max) / 3e3;
    let count = envelope.len();
    let in_a_pause = |at: usize| {
        let silent = |power: &&f64| **power < quiet;
        let before = envelope[..at].iter().rev().take_while(silent).count();
        before + envelope[at..].iter().take_while(silent).count() >= 8
    };
    let candidates = (count * 35 / 100..count * 75 / 100).filter(|at| !in_a_pause(*at));
    let at = candidates.min_by(|a, b| envelope[*a].total_cmp(&envelope[*b])).unwrap_or(count / 2);
    &speech[..at * FRAME]
}

/// The speech as it arrives over a telephone line, with 200 ms of pause: noise of `snr` dB below it, or -62 dBFS, and mu-law.
fn over_the_line(speech: &[i16], snr: Option<f64>, random: &mut StdRng) -> Clip {
    let power = speech.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / speech.len() as f64;
    let noise = snr.map_or(26.0, |snr| power.sqrt() * 10_f64.powf(-snr / 20.0)) * 3_f64.sqrt();
    let pause = [0; RATE / 5];
    let noisy = speech.iter().chain(&pause).map(|sample| {
        (f64::from(*sample) + random.random_range(-noise..=noise)).clamp(-32_768.0, 32_767.0) as i16
    });
    let noisy: Vec<i16> = noisy.collect();
    let (mut encoder, mut decoder) = (Codec::Ulaw.encoder(), Codec::Ulaw.decoder());
    let frames = noisy.chunks_exact(160).flat_map(|frame| decoder.decode(&encoder.encode(frame)));
    Clip::new(RATE as u32, frames.collect::<Vec<i16>>())
}

/// The probabilities of whole sentences and of cut ones.
struct Judged {
    whole: Vec<f32>,
    cut: Vec<f32>,
}

impl Judged {
    fn of(model: &SmartTurn, sentences: &[(String, Clip)], snr: Option<f64>) -> Judged {
        let mut random = StdRng::seed_from_u64(1);
        let mut judge = |speech: &[i16]| {
            model.probability(&over_the_line(speech, snr, &mut random)).expect("the model runs")
        };
        let whole = sentences.iter().map(|(_, clip)| judge(speech(clip))).collect();
        Judged { whole, cut: sentences.iter().map(|(_, clip)| judge(cut(speech(clip)))).collect() }
    }

    /// The share of speakers who are cut off by a pause of 600 ms in mid-sentence.
    fn cut_off(&self, threshold: f32) -> f64 {
        share(&self.cut, |probability| probability >= threshold)
    }

    /// The mean wait after whole sentences, in ms.
    fn wait(&self, threshold: f32) -> f64 {
        WAITS.0 + (WAITS.1 - WAITS.0) * share(&self.whole, |probability| probability < threshold)
    }

    fn curve(&self, snr: Option<f64>) -> Value {
        let points = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map(|threshold| {
            let (cut_off, wait) = (100.0 * self.cut_off(threshold), self.wait(threshold));
            json!({ "threshold": (f64::from(threshold) * 10.0).round() / 10.0, "cut_off_percent": cut_off.round(), "mean_wait_ms": wait.round() })
        });
        json!({ "snr_db": snr, "sentences": self.whole.len(), "points": points })
    }
}

fn share(values: &[f32], is_so: impl Fn(f32) -> bool) -> f64 {
    values.iter().filter(|value| is_so(**value)).count() as f64 / values.len() as f64
}

/// The recogniser may put a full stop behind both.
#[test]
fn a_human_voice_that_is_cut_off_sounds_unfinished() {
    let (Some(sandbox), Some(model)) = (support::sandbox(), model()) else { return };
    let sentences = sentences(&sandbox);
    if std::env::var_os("VCA_END_OF_TURN_STUDY").is_some() {
        for snr in [None, Some(20.0), Some(10.0)] {
            println!("{}", Judged::of(&model, &sentences, snr).curve(snr));
        }
        return;
    }
    let some: Vec<_> = sentences.into_iter().step_by(5).collect();
    let judged = Judged::of(&model, &some, None);
    let (cut_off, wait) = (judged.cut_off(0.5), judged.wait(0.5));
    assert!(
        cut_off <= 0.35 && wait <= 450.0,
        "{cut_off} cut off, {wait} ms; {:?} {:?}",
        judged.whole,
        judged.cut
    );
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
