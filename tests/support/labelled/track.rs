//! A sound whose words and speaker are known.

use std::time::Duration;

use vca::audio::Clip;
use vca::audio::resample::convert;
use vca::sim::voice;

use super::features::{self, FRAME, Features};

/// The rate at which sounds are compared.
pub const RATE: u32 = 8_000;
/// The shortest stretch by which a word is recognised: shorter ones resemble each other by chance.
pub const SHORTEST: usize = RATE as usize * 28 / 100;
/// Pauses up to this belong to a word.
const BRIDGE: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speaker {
    Caller,
    Agent,
    Television,
}

/// A word of a track with the stretch of samples by which it is recognised.
#[derive(Debug)]
pub struct Word {
    pub text: String,
    /// The word's first sample and length in the track.
    pub from: usize,
    pub length: usize,
    pub(super) block: Block,
}

/// A stretch of a track: its waveform without its low frequencies, and its features.
#[derive(Debug)]
pub(super) struct Block {
    pub from: usize,
    pub samples: Vec<f32>,
    /// The root of the sum of their squares.
    pub norm: f32,
    pub features: Features,
}

#[derive(Debug)]
pub struct LabelledTrack {
    pub speaker: Speaker,
    pub words: Vec<Word>,
}

impl LabelledTrack {
    /// Labels a clip with the words that are spoken in it. Its voiced time is divided among them by their length.
    pub fn new(speaker: Speaker, clip: &Clip, text: &str) -> LabelledTrack {
        let clip = convert(clip, RATE);
        let emphasised = features::emphasise(&clip.samples);
        let spans = spans(&clip, text);
        let words = spans.into_iter().map(|(text, from, length)| {
            let block = block(&emphasised, from, length);
            Word { text, from, length, block }
        });
        LabelledTrack { speaker, words: words.collect() }
    }
}

fn block(emphasised: &[f32], from: usize, length: usize) -> Block {
    let size = length.max(SHORTEST).min(emphasised.len());
    let begin = (from + length / 2).saturating_sub(size / 2).min(emphasised.len() - size);
    // A whole number of frames.
    let size = size - size % FRAME;
    let samples = emphasised[begin..begin + size].to_vec();
    let norm = features::dot(&samples, &samples).sqrt();
    Block { from: begin, features: Features::of(&samples), samples, norm }
}

/// Each word with its first sample and its length.
fn spans(clip: &Clip, text: &str) -> Vec<(String, usize, usize)> {
    let index = |at: Duration| (at.as_secs_f64() * f64::from(RATE)) as usize;
    let voiced: Vec<(usize, usize)> = voice::stretches(&clip.samples, RATE, BRIDGE)
        .into_iter()
        .map(|(from, to)| (index(from), index(to).min(clip.samples.len())))
        .collect();
    let total: usize = voiced.iter().map(|(from, to)| to - from).sum();
    let words: Vec<&str> =
        text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).collect();
    let letters: usize = words.iter().map(|word| word.len() + 1).sum();
    let (mut before, mut spans) = (0, Vec::new());
    for word in words {
        let from = place(&voiced, total * before / letters.max(1));
        before += word.len() + 1;
        let to = place(&voiced, total * before / letters.max(1));
        spans.push((word.to_owned(), from, to.saturating_sub(from)));
    }
    spans
}

/// The sample at which so much of the voiced time is over.
fn place(voiced: &[(usize, usize)], mut time: usize) -> usize {
    for (from, to) in voiced {
        if time <= to - from {
            return from + time;
        }
        time -= to - from;
    }
    voiced.last().map_or(0, |(_, to)| *to)
}
