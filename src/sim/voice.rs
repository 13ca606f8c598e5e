//! Speech on a track, detected by loudness alone: a measurement must not share the product's detectors.

use std::time::Duration;

/// The resolution of loudness.
const WINDOW: Duration = Duration::from_millis(5);
/// Root mean square above which a window counts as voiced: some -45 dB below full scale, well above the noise of
/// any codec and below speech.
const THRESHOLD: f64 = 180.0;

/// Whether samples are loud enough to be speech.
pub fn is_voiced(samples: &[i16]) -> bool {
    if samples.is_empty() {
        return false;
    }
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / samples.len() as f64).sqrt() > THRESHOLD
}

/// Start and end of each stretch of speech, measured from the track's beginning. Pauses shorter than `bridge`
/// belong to the speech around them.
pub fn stretches(samples: &[i16], rate: u32, bridge: Duration) -> Vec<(Duration, Duration)> {
    let size = (f64::from(rate) * WINDOW.as_secs_f64()) as usize;
    let time = |n: usize| WINDOW * n as u32;
    let mut found: Vec<(Duration, Duration)> = Vec::new();
    for (n, _) in samples.chunks(size).enumerate().filter(|(_, window)| is_voiced(window)) {
        match found.last_mut() {
            Some((_, end)) if time(n) <= *end + bridge => *end = time(n + 1),
            _ => found.push((time(n), time(n + 1))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn finds_the_stretches_and_bridges_short_pauses() {
        let loud = |n: usize| vec![3_000_i16; n * 8];
        let quiet = |n: usize| vec![20_i16; n * 8];
        let track = [quiet(100), loud(200), quiet(50), loud(100), quiet(400), loud(30), quiet(20)].concat();
        assert_eq!(stretches(&track, 8_000, ms(100)), [(ms(100), ms(450)), (ms(850), ms(880))]);
        assert_eq!(stretches(&track, 8_000, ms(0)).len(), 3);
    }

    #[test]
    fn silence_has_none() {
        assert!(stretches(&[0; 800], 8_000, ms(100)).is_empty());
        assert!(stretches(&[], 8_000, ms(100)).is_empty());
    }
}
