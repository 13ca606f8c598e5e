//! Bringing a whole clip to another rate: slow, exact, without delay. For clips that are made ahead of a call.

use std::f64::consts::PI;

use crate::audio::Clip;

/// Zero crossings of the filter on either side.
const REACH: f64 = 16.0;

/// `clip` at `rate` samples a second: a sinc filter under a Hann window, cut off below both Nyquist limits.
pub fn resample(clip: &Clip, rate: u32) -> Clip {
    if clip.rate == rate {
        return clip.clone();
    }
    let step = f64::from(clip.rate) / f64::from(rate);
    let cutoff = (1.0 / step).min(1.0) * 0.95;
    let length = (clip.samples.len() as f64 / step).round() as usize;
    let samples: Vec<i16> = (0..length).map(|n| at(&clip.samples, n as f64 * step, cutoff)).collect();
    Clip::new(rate, samples)
}

/// The signal's value at a position between samples.
fn at(samples: &[i16], position: f64, cutoff: f64) -> i16 {
    let reach = REACH / cutoff;
    let first = (position - reach).ceil().max(0.0) as usize;
    let last = ((position + reach).floor() as usize).min(samples.len().saturating_sub(1));
    let sum: f64 = (first..=last)
        .filter_map(|n| {
            let distance = n as f64 - position;
            let window = 0.5 + 0.5 * (PI * distance / reach).cos();
            Some(f64::from(*samples.get(n)?) * cutoff * sinc(cutoff * distance) * window)
        })
        .sum();
    sum.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64) -> Clip {
        let angle = |n: u32| f64::from(n) * hertz * 2.0 * PI / f64::from(rate);
        Clip::new(rate, (0..rate / 2).map(|n| (10_000.0 * angle(n).sin()) as i16).collect::<Vec<_>>())
    }

    fn loudness(clip: &Clip) -> f64 {
        let inner = &clip.samples[clip.samples.len() / 4..clip.samples.len() * 3 / 4];
        (inner.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / inner.len() as f64).sqrt()
    }

    #[test]
    fn keeps_length_and_loudness() {
        for (from, to) in [(22_050, 8_000), (8_000, 16_000), (16_000, 8_000)] {
            let made = resample(&tone(from, 1_000.0), to);
            assert_eq!(made.samples.len(), to as usize / 2);
            let expected = 10_000.0 / 2f64.sqrt();
            assert!(
                (loudness(&made) - expected).abs() < expected * 0.05,
                "{from} to {to}: {}",
                loudness(&made)
            );
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_silent() {
        let made = resample(&tone(22_050, 7_000.0), 8_000);
        assert!(loudness(&made) < 100.0, "{}", loudness(&made));
    }

    #[test]
    fn an_empty_clip_stays_empty() {
        assert!(resample(&Clip::new(22_050, vec![]), 8_000).samples.is_empty());
    }
}
