//! The pitch of a voice, by autocorrelation, and the intonation at the end of an utterance.
//!
//! Speakers of most languages let their pitch fall at the end of what they say, and keep it level or let it rise where
//! more is to follow. The judgement compares the last voiced sounds with the median of the same utterance, so it
//! depends neither on the speaker's voice nor on the level of the line.

use super::Clip;

/// The rate at which pitch is looked for, in Hz: every rate of a call is a multiple of it.
const RATE: u32 = 4_000;

/// 20 ms.
const STEP: usize = RATE as usize / 50;

/// 40 ms: three periods of a deep voice.
const WINDOW: usize = RATE as usize / 25;

/// The shortest and the longest period, in samples: 400 Hz and 60 Hz.
const PERIODS: std::ops::RangeInclusive<usize> = 10..=66;

/// The part of an utterance that is looked at: its last seconds.
pub const LATEST_SECONDS: u32 = 4;

/// The correlation of a voiced sound with itself, one period later.
const VOICED: f32 = 0.6;

/// Of two peaks, the one at the shorter period counts if it is at least this much of the higher one: the other is a multiple.
const FIRST_PEAK: f32 = 0.85;

/// Voiced sounds are at most this much fainter than the loudest ones, in dB.
const FAINTEST: f32 = 25.0;

/// Steps with a pitch, without which an utterance is not judged: 300 ms.
const FEWEST: usize = 15;

/// The steps at the end whose pitch is compared: 120 ms.
const LAST: usize = 6;

/// Steps without a pitch at the end that belong to a voice that has fallen until it creaks: 120 ms.
const CREAK: usize = 6;

/// The pitch of a voice that tells something moves by this much at least between its tenths, lowest and highest, in semitones.
/// That of people does by 6 to 13; that of simple synthetic voices by 2 to 5.
const NARROWEST: f32 = 5.0;

/// The pitch has not fallen if it is less than this below the median, in semitones.
const FALL: f32 = 4.5;

/// The intonation at the end of an utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intonation {
    /// The pitch has fallen, or the voice has ended in a creak.
    Falling,
    /// The pitch is as high as in the middle, or higher.
    Level,
    /// Too few sounds with a pitch, or a monotonous voice.
    Unclear,
}

impl Intonation {
    pub fn as_str(self) -> &'static str {
        match self {
            Intonation::Falling => "falling",
            Intonation::Level => "level",
            Intonation::Unclear => "unclear",
        }
    }
}

/// The intonation at the end of `speech`, which ends with its last sound. Takes a core for some 2 ms.
pub fn intonation(speech: &Clip) -> Intonation {
    let signal = signal(speech);
    let pitches = pitches(&signal);
    let voiced: Vec<f32> = pitches.iter().flatten().copied().collect();
    let range = percentile(voiced.clone(), 0.9) - percentile(voiced.clone(), 0.1);
    let is_clear = voiced.len() >= FEWEST && range >= NARROWEST;
    let Some(last) = pitches.iter().rposition(Option::is_some).filter(|_| is_clear) else {
        return Intonation::Unclear;
    };
    let end: Vec<f32> = pitches[(last + 1).saturating_sub(LAST)..=last].iter().flatten().copied().collect();
    let silent = signal.len().saturating_sub((last + 1) * STEP) / STEP;
    let has_fallen = median(end) <= median(voiced) - FALL;
    if has_fallen || silent >= CREAK { Intonation::Falling } else { Intonation::Level }
}

/// The latest part of a clip at [`RATE`]; empty if its rate is no multiple.
fn signal(clip: &Clip) -> Vec<f32> {
    if !clip.rate.is_multiple_of(RATE) {
        return Vec::new();
    }
    let each = (clip.rate / RATE) as usize;
    let latest = clip.samples.len().saturating_sub((LATEST_SECONDS * clip.rate) as usize);
    let mean = |samples: &[i16]| samples.iter().map(|sample| f32::from(*sample)).sum::<f32>() / each as f32;
    let coarse: Vec<f32> = clip.samples[latest..].chunks_exact(each).map(mean).collect();
    let smooth = |n: usize| {
        let at = |n: usize| coarse.get(n).copied().unwrap_or_default();
        at(n).mul_add(0.5, (at(n.wrapping_sub(1)) + at(n + 1)) * 0.25)
    };
    (0..coarse.len()).map(smooth).collect()
}

/// The pitch of each step in semitones above 1 Hz, where it has one.
fn pitches(signal: &[f32]) -> Vec<Option<f32>> {
    let windows = || signal.windows(WINDOW + PERIODS.end()).step_by(STEP);
    let levels: Vec<f32> = windows().map(|window| decibels(power(&window[..WINDOW]))).collect();
    let faintest = percentile(levels.clone(), 0.95) - FAINTEST;
    let is_loud = |level: &f32| *level > faintest;
    windows().zip(&levels).map(|(window, level)| if is_loud(level) { pitch(window) } else { None }).collect()
}

/// The pitch of a window, which is longer than [`WINDOW`] by the longest period.
fn pitch(window: &[f32]) -> Option<f32> {
    let mean = window.iter().sum::<f32>() / window.len() as f32;
    let centred: Vec<f32> = window.iter().map(|sample| sample - mean).collect();
    let first = &centred[..WINDOW];
    let correlation = |period: usize| {
        let later = &centred[period..period + WINDOW];
        let product: f32 = first.iter().zip(later).map(|(one, other)| one * other).sum();
        product / (power(first) * power(later)).sqrt().mul_add(WINDOW as f32, f32::EPSILON)
    };
    let correlations: Vec<f32> = PERIODS.map(correlation).collect();
    let highest = correlations.iter().copied().fold(0.0, f32::max);
    let is_peak = |near: &&[f32]| near[1] >= near[0] && near[1] >= near[2] && near[1] >= FIRST_PEAK * highest;
    let peak = correlations.windows(3).position(|near| is_peak(&near))?;
    let near = &correlations[peak..peak + 3];
    let period = (PERIODS.start() + peak + 1) as f32 + vertex(near);
    (near[1] > VOICED).then(|| 12.0 * (RATE as f32 / period).log2())
}

/// The place of the highest point of the parabola through three values, from the middle one: -0.5 to 0.5.
fn vertex(values: &[f32]) -> f32 {
    let bend = values[0] - 2.0 * values[1] + values[2];
    if bend == 0.0 { 0.0 } else { (0.5 * (values[0] - values[2]) / bend).clamp(-0.5, 0.5) }
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

fn decibels(power: f32) -> f32 {
    10.0 * (power + 1.0).log10()
}

fn median(values: Vec<f32>) -> f32 {
    percentile(values, 0.5)
}

/// The value below which this share of them is; 0 without any.
fn percentile(mut values: Vec<f32>, share: f64) -> f32 {
    values.sort_by(f32::total_cmp);
    let place = (values.len().saturating_sub(1) as f64 * share) as usize;
    values.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    /// A voice with three harmonics, whose pitch in Hz follows the parts: where it begins, where it ends, and for how many ms.
    fn voice(rate: u32, parts: &[(f32, f32, u32)]) -> Clip {
        let mut phase = 0.0;
        let sample = |pitch: f32| {
            phase += pitch / rate as f32 * TAU;
            let harmonic = |n: f32| (phase * n).sin() / n;
            ((harmonic(1.0) + harmonic(2.0) + harmonic(3.0)) * 3_000.0) as i16
        };
        let pitches = parts.iter().flat_map(|(from, to, ms)| {
            let length = ms * rate / 1_000;
            (0..length).map(move |n| from + (to - from) * n as f32 / length as f32)
        });
        Clip::new(rate, pitches.map(sample).collect::<Vec<i16>>())
    }

    #[test]
    fn the_pitch_of_a_voice_is_found_at_every_rate() {
        for rate in [8_000, 16_000, 48_000] {
            for pitch in [80.0, 125.0, 220.0, 310.0] {
                let found: Vec<f32> =
                    pitches(&signal(&voice(rate, &[(pitch, pitch, 500)]))).into_iter().flatten().collect();
                let expected = 12.0 * pitch.log2();
                let wrong = found.iter().filter(|found| (**found - expected).abs() > 0.5).count();
                assert!(found.len() >= 20 && wrong == 0, "{rate} Hz, {pitch} Hz: {found:?}");
            }
        }
    }

    #[test]
    fn a_voice_whose_pitch_falls_has_finished() {
        for high in [110.0, 200.0] {
            let low = high / 1.6;
            let low_middle = high / 1.2;
            let falls = voice(8_000, &[(high, low_middle, 900), (low_middle, low, 200), (low, low, 200)]);
            assert_eq!(intonation(&falls), Intonation::Falling);
        }
    }

    #[test]
    fn a_voice_that_keeps_its_pitch_or_raises_it_goes_on() {
        let level = voice(8_000, &[(150.0, 250.0, 400), (250.0, 150.0, 400), (150.0, 200.0, 400)]);
        assert_eq!(intonation(&level), Intonation::Level);
        let rises = voice(16_000, &[(140.0, 90.0, 900), (90.0, 150.0, 300)]);
        assert_eq!(intonation(&rises), Intonation::Level);
    }

    #[test]
    fn a_monotonous_voice_tells_nothing() {
        assert_eq!(intonation(&voice(8_000, &[(200.0, 180.0, 1_200)])), Intonation::Unclear);
    }

    /// A creak has no pitch.
    #[test]
    fn a_voice_that_creaks_at_its_end_has_finished() {
        let mut samples = voice(8_000, &[(160.0, 95.0, 500), (95.0, 130.0, 400)]).samples.to_vec();
        samples.extend([0; 1_600]);
        assert_eq!(intonation(&Clip::new(8_000, samples)), Intonation::Falling);
    }

    #[test]
    fn short_noisy_or_silent_speech_is_unclear() {
        assert_eq!(intonation(&voice(8_000, &[(120.0, 120.0, 200)])), Intonation::Unclear);
        assert_eq!(intonation(&Clip::new(8_000, [0; 16_000])), Intonation::Unclear);
        assert_eq!(intonation(&Clip::new(8_000, [])), Intonation::Unclear);
        assert_eq!(intonation(&voice(11_025, &[(120.0, 120.0, 1_000)])), Intonation::Unclear);
    }

    proptest! {
        #[test]
        fn any_audio_has_an_intonation(samples in prop::collection::vec(any::<i16>(), 0..4_000), rate in 1_u32..50_000) {
            intonation(&Clip::new(rate, samples));
        }
    }
}
