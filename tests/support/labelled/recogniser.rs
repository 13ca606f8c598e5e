//! The words of a clip, by comparison with labelled tracks.
//!
//! For each word of each track the places of the clip with similar spectra are candidates, and the waveforms decide: a word is
//! heard where its own waveform is at least half of the sound there. So of two sounds at the same time the louder one is heard,
//! and a faint one is heard when it is alone.

use std::cmp::Ordering;
use std::sync::{Arc, RwLock};

use vca::audio::Clip;
use vca::audio::resample::convert;

use super::features::{self, BANDS, FRAME, Features, dot};
use super::track::{Block, LabelledTrack, RATE, SHORTEST, Speaker};

/// The similarity of spectra that makes a place a candidate.
const SIMILAR: f32 = 0.7;
/// The same for tracks of one or two words, which have no neighbours to be found by.
const SIMILAR_ALONE: f32 = 0.35;
/// How many places are compared by their waveforms.
const CANDIDATES: usize = 3;
/// How far a candidate may be from the place, in samples.
const SHIFT: usize = FRAME;
/// The share of the sound's amplitude that a word has to have.
const HEARD: f32 = 0.55;
/// The likeness of a place after which no other one is compared. A voiced sound is as like itself a period later.
const CERTAIN: f32 = 0.9;
/// The likeness of a place beside which there is no better one.
const EXACT: f32 = 0.97;
/// The longest period of a voice, of 80 Hz, in samples.
const PERIOD: usize = RATE as usize / 80;
/// Root mean square below which a sound is not heard: some -70 dB below full scale, the steps of mu-law.
const FAINT: f32 = 6.0;
/// Silence before and after a clip, so that words at its edges are compared as far as they are in it.
const EDGE: usize = FRAME * 6;

/// A word that was recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardWord {
    pub speaker: Speaker,
    pub text: String,
    /// Its first sample in the clip, negative where the clip begins within the word.
    pub at: i64,
    /// Its first sample in its track.
    pub from: usize,
    pub length: usize,
    /// The number of its track.
    pub track: usize,
    /// The similarity of the waveforms, at most 1.
    pub likeness: f32,
}

#[derive(Debug, Default)]
pub struct Recogniser {
    tracks: RwLock<Vec<Arc<LabelledTrack>>>,
}

impl Recogniser {
    /// Adds a sound to those that are recognised.
    pub fn learn(&self, track: LabelledTrack) {
        self.tracks.write().expect("not poisoned").push(Arc::new(track));
    }

    /// The words of a clip, in their order.
    pub fn words(&self, clip: &Clip) -> Vec<HeardWord> {
        let samples = features::emphasise(&convert(clip, RATE).samples);
        let edge = vec![0.0; EDGE];
        let sound = Sound::new([edge.as_slice(), &samples, &edge].concat());
        let tracks = self.tracks.read().expect("not poisoned").clone();
        let mut heard = Vec::new();
        // Callers first: where their words explain the whole sound, no other track can be heard.
        for speaker in [Speaker::Caller, Speaker::Agent, Speaker::Television] {
            let chosen = tracks.iter().enumerate().filter(|(_, it)| it.speaker == speaker);
            let mut order: Vec<_> = chosen.map(|it| ComparedTrack::new(&sound, it)).collect();
            order.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
            for compared in &order {
                heard.extend(sound.words_of(compared));
                if sound.is_explained_by(&heard) {
                    return most_alike(heard);
                }
            }
        }
        most_alike(heard)
    }

    /// The words of a clip as a sentence, and their speakers.
    pub fn transcribe(&self, clip: &Clip) -> (String, Vec<HeardWord>) {
        let words = self.words(clip);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        (texts.join(" "), words)
    }
}

/// Of words at the same place the one that is most like the sound there.
fn most_alike(mut heard: Vec<HeardWord>) -> Vec<HeardWord> {
    heard.sort_by(|a, b| b.likeness.partial_cmp(&a.likeness).unwrap_or(Ordering::Equal));
    let mut kept: Vec<HeardWord> = Vec::new();
    for word in heard {
        let overlaps = |other: &HeardWord| {
            let from = word.at.max(other.at);
            let to = (word.at + word.length as i64).min(other.at + other.length as i64);
            (to - from) * 2 > word.length.min(other.length) as i64
        };
        if !kept.iter().any(overlaps) {
            kept.push(word);
        }
    }
    kept.sort_by_key(|word| word.at);
    kept
}

fn is_heard(place: &(usize, f32)) -> bool {
    place.1 >= HEARD
}

/// A track, and the frames of a sound at which each of its words may be, the most similar first.
struct ComparedTrack<'a> {
    number: usize,
    track: &'a LabelledTrack,
    candidates: Vec<Vec<usize>>,
    /// The mean similarity of the words at their best places.
    similarity: f32,
}

impl<'a> ComparedTrack<'a> {
    fn new(sound: &Sound, (number, track): (usize, &'a Arc<LabelledTrack>)) -> ComparedTrack<'a> {
        let at_least = if track.words.len() > 2 { SIMILAR } else { SIMILAR_ALONE };
        let places = track.words.iter().map(|word| sound.candidates(&word.block.features, at_least));
        let places: Vec<Vec<(f32, usize)>> = places.collect();
        let best: f32 =
            places.iter().filter_map(|places| places.first()).map(|(similarity, _)| similarity).sum();
        let similarity = best / track.words.len().max(1) as f32;
        let candidates =
            places.into_iter().map(|places| places.into_iter().map(|(_, place)| place).collect());
        ComparedTrack { number, track, candidates: candidates.collect(), similarity }
    }
}

/// A clip that is searched.
struct Sound {
    samples: Vec<f32>,
    features: Features,
    /// Sums of the squares of the samples before each.
    energy: Vec<f64>,
}

impl Sound {
    fn new(samples: Vec<f32>) -> Sound {
        let mut sum = 0.0;
        let sums = samples.iter().map(|sample| {
            sum += f64::from(*sample).powi(2);
            sum
        });
        let energy = std::iter::once(0.0).chain(sums).collect();
        Sound { features: Features::of(&samples), energy, samples }
    }

    /// The words of a track that are heard.
    fn words_of(&self, compared: &ComparedTrack) -> Vec<HeardWord> {
        let ComparedTrack { number, track, .. } = *compared;
        let places = track.words.iter().zip(self.find_all(compared));
        let heard = places.filter_map(|(word, place)| {
            let (at, likeness) = place?;
            let at = at as i64 + word.from as i64 - word.block.from as i64 - EDGE as i64;
            let (speaker, text) = (track.speaker, word.text.clone());
            Some(HeardWord {
                speaker,
                text,
                at,
                from: word.from,
                length: word.length,
                track: number,
                likeness,
            })
        });
        heard.collect()
    }

    /// Whether words that are certain leave no stretch of sound in which another word could be recognised.
    fn is_explained_by(&self, heard: &[HeardWord]) -> bool {
        let mut covered = vec![false; self.samples.len()];
        for word in heard.iter().filter(|word| word.likeness >= CERTAIN) {
            let from = (word.at + EDGE as i64).max(0) as usize;
            let to = (from + word.length).min(covered.len());
            covered.get_mut(from..to).into_iter().flatten().for_each(|covered| *covered = true);
        }
        let frames = self.samples.chunks(FRAME).zip(covered.chunks(FRAME));
        let unexplained = frames.map(|(samples, covered)| {
            !covered[covered.len() / 2] && dot(samples, samples) > FAINT.powi(2) * samples.len() as f32
        });
        let mut run = 0;
        unexplained
            .map(|it| {
                run = if it { run + 1 } else { 0 };
                run
            })
            .all(|run| run * FRAME < SHORTEST)
    }

    /// The place of each word of a track that is heard. A word whose spectrum is not similar enough is looked for beside its
    /// neighbours.
    fn find_all(&self, ComparedTrack { track, candidates, .. }: &ComparedTrack) -> Vec<Option<(usize, f32)>> {
        let words = track.words.iter().zip(candidates);
        let mut places: Vec<_> = words.map(|(word, candidates)| self.find(&word.block, candidates)).collect();
        for missing in 0..places.len() {
            if places[missing].is_some() {
                continue;
            }
            let found =
                (0..places.len()).filter(|n| places[*n].is_some()).min_by_key(|n| n.abs_diff(missing));
            let Some((neighbour, (at, _))) = found.and_then(|n| Some((n, places[n]?))) else { break };
            let block = &track.words[missing].block;
            let expected = (at + block.from).checked_sub(track.words[neighbour].block.from);
            places[missing] = expected.and_then(|middle| self.compare(block, middle)).filter(is_heard);
        }
        places
    }

    /// The place at which a block is heard, of those near its candidates, and how much it is like the sound there.
    fn find(&self, block: &Block, candidates: &[usize]) -> Option<(usize, f32)> {
        let mut best = None;
        for candidate in candidates {
            let place = self.place(block, candidate * FRAME);
            best = [best, place].into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1));
            if best.is_some_and(|(_, likeness)| likeness >= CERTAIN) {
                break;
            }
        }
        best.filter(is_heard)
    }

    /// The place near `middle` at which the sound is most like a block. Where that is doubtful and less than a period from the edge of
    /// those compared, the places near it are compared, too: the word may be a period beyond it.
    fn place(&self, block: &Block, middle: usize) -> Option<(usize, f32)> {
        let (at, likeness) = self.compare(block, middle)?;
        if !(HEARD..EXACT).contains(&likeness) || at.abs_diff(middle) + PERIOD <= SHIFT {
            return Some((at, likeness));
        }
        self.compare(block, at)
    }

    /// The place within a frame of `middle` at which the sound is most like a block.
    fn compare(&self, block: &Block, middle: usize) -> Option<(usize, f32)> {
        let length = block.samples.len();
        let last = self.samples.len().checked_sub(length)?;
        let mut best = (0, 0.0);
        for at in middle.saturating_sub(SHIFT)..=(middle + SHIFT).min(last) {
            let there = (self.energy[at + length] - self.energy[at]) as f32;
            if there < FAINT.powi(2) * length as f32 {
                continue;
            }
            let likeness = dot(&block.samples, &self.samples[at..at + length]) / (block.norm * there.sqrt());
            if likeness > best.1 {
                best = (at, likeness);
            }
        }
        Some(best)
    }

    /// The frames at which the spectra are most similar to those of a block, with the similarity, the most similar first.
    fn candidates(&self, features: &Features, at_least: f32) -> Vec<(f32, usize)> {
        let (sound, wanted) = (self.features.0.as_flattened(), features.0.as_flattened());
        let own = dot(wanted, wanted).sqrt();
        let places = (self.features.0.len() + 1).saturating_sub(features.0.len());
        let mut similar: Vec<(f32, usize)> = (0..places)
            .map(|place| {
                let there = &sound[place * BANDS..place * BANDS + wanted.len()];
                (dot(wanted, there) / (own * dot(there, there).sqrt() + 1.0), place)
            })
            .filter(|(similarity, _)| *similarity >= at_least)
            .collect();
        similar.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
        similar.truncate(CANDIDATES);
        similar
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::clips;

    const QUESTION: &str = "what are your opening hours";
    const REPLY: &str = "we are open every weekday until five";
    const NEWS: &str = "heavy rain is expected in the north tonight";

    fn sounds() -> (Recogniser, [Clip; 3]) {
        let clips = [clips::flite(QUESTION, "slt"), clips::flite(REPLY, "rms"), clips::espeak(NEWS, "en-gb")];
        let clips = clips.map(|clip| convert(&clip, RATE));
        let recogniser = Recogniser::default();
        let labels = [(Speaker::Caller, QUESTION), (Speaker::Agent, REPLY), (Speaker::Television, NEWS)];
        for (clip, (speaker, text)) in clips.iter().zip(labels) {
            recogniser.learn(LabelledTrack::new(speaker, clip, text));
        }
        (recogniser, clips)
    }

    /// A sound after so many samples of silence, at a level in dB, as a telephone carries it.
    fn heard(parts: &[(&Clip, usize, f64)]) -> Clip {
        let length = parts.iter().map(|(clip, from, _)| from + clip.samples.len()).max().unwrap_or(0);
        let mut sum = vec![0.0; length + 1_000];
        for (clip, from, db) in parts {
            let gain = 10_f64.powf(db / 20.0);
            let places = sum[*from..].iter_mut().zip(clip.samples.iter());
            places.for_each(|(sum, &sample)| *sum += gain * f64::from(sample));
        }
        let coded = sum.into_iter().map(|sample| {
            audio_codec_algorithms::decode_ulaw(audio_codec_algorithms::encode_ulaw(sample as i16))
        });
        Clip::new(RATE, coded.collect::<Vec<_>>())
    }

    #[test]
    fn each_speaker_is_recognised_alone_at_any_offset_and_level() {
        let (recogniser, clips) = sounds();
        for (clip, text) in clips.iter().zip([QUESTION, REPLY, NEWS]) {
            for (offset, db) in [(0, 0.0), (777, -6.0), (1_313, -20.0), (2_050, -30.0)] {
                let (words, _) = recogniser.transcribe(&heard(&[(clip, offset, db)]));
                assert_eq!(words, text, "after {offset} samples at {db} dB");
            }
        }
    }

    #[test]
    fn single_words_are_recognised() {
        let recogniser = Recogniser::default();
        let words = ["Yes.", "No.", "Okay.", "Hello?", "Thanks.", "Right."];
        let clips = words.map(|word| convert(&clips::flite(word, "slt"), RATE));
        for (clip, word) in clips.iter().zip(words) {
            recogniser.learn(LabelledTrack::new(Speaker::Caller, clip, word));
        }
        for (clip, word) in clips.iter().zip(words) {
            for offset in [0, 1_000, 1_967, 2_431] {
                let (heard, _) = recogniser.transcribe(&heard(&[(clip, offset, -3.0)]));
                assert_eq!(heard, word, "after {offset} samples");
            }
        }
    }

    #[test]
    fn words_are_found_where_they_are() {
        let text = "How much does a new tyre cost?";
        let clip = clips::at_level(&clips::flite(text, "slt"), 0.0);
        let recogniser = Recogniser::default();
        recogniser.learn(LabelledTrack::new(Speaker::Caller, &clip, text));
        for offset in (1_600..2_400).step_by(40) {
            let words = recogniser.words(&heard(&[(&clip, offset, 0.0)]));
            let moved = words.iter().map(|word| word.at - word.from as i64 - offset as i64);
            let moved: Vec<i64> = moved.collect();
            assert_eq!(moved, [0; 7], "after {offset} samples");
        }
    }

    #[test]
    fn the_louder_of_two_is_heard() {
        let (recogniser, [caller, agent, news]) = sounds();
        for background in [&agent, &news] {
            let (words, _) = recogniser.transcribe(&heard(&[(&caller, 400, 0.0), (background, 0, -14.0)]));
            assert!(words.contains("your opening hours"), "{words}");
        }
        // A faint echo is heard when the caller is silent.
        let after = caller.samples.len() + 3_000;
        let (words, heard) = recogniser.transcribe(&heard(&[(&caller, 0, 0.0), (&agent, after, -26.0)]));
        assert_eq!(words, format!("{QUESTION} {REPLY}"));
        assert_eq!(heard.iter().filter(|word| word.speaker == Speaker::Agent).count(), 7);
    }

    #[test]
    fn a_part_of_a_sentence_is_heard_as_that_part() {
        let (recogniser, [caller, ..]) = sounds();
        let half = caller.samples[..caller.samples.len() * 6 / 10].to_vec();
        let (words, _) = recogniser.transcribe(&Clip::new(RATE, half));
        assert!(words.starts_with("what are") && !words.contains("hours"), "{words}");
    }

    #[test]
    fn silence_noise_and_unknown_speech_have_no_words() {
        let (recogniser, _) = sounds();
        assert_eq!(recogniser.transcribe(&Clip::new(RATE, vec![0; 8_000])).0, "");
        assert_eq!(recogniser.transcribe(&Clip::new(RATE, Vec::new())).0, "");
        let noise = (0..8_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 18) as i16 - 8_192);
        assert_eq!(recogniser.transcribe(&Clip::new(RATE, noise.collect::<Vec<_>>())).0, "");
        let other = clips::flite("my daughter plays the violin", "slt");
        assert_eq!(recogniser.transcribe(&other).0, "");
    }

    #[test]
    fn silence_in_the_middle_moves_the_later_words() {
        let (recogniser, [caller, ..]) = sounds();
        let (first, second) = caller.samples.split_at(caller.samples.len() / 2);
        let clip = Clip::new(RATE, [first, &[0; 800], second].concat());
        let words = recogniser.words(&clip);
        let shift = |word: &HeardWord| word.at - word.from as i64;
        let (first, last) = (words.first().expect("words"), words.last().expect("words"));
        assert_eq!((shift(first), shift(last)), (0, 800));
    }
}
