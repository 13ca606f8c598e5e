//! Tones: a held key, ringback, dial and busy tone, a fax.
//!
//! Voice detectors mistake many of them for a voice, some for as long as they last. But a voice does not repeat
//! its power of a tenth of a second ago for long, and a tone does. The frequencies of telephony's tones, except
//! those of keys, are multiples of 10 Hz (ITU-T E.180, Q.23), so even the beat of two has a period of a tenth of a
//! second.

/// Frames of 20 ms after which a tone's power repeats.
const PERIOD: usize = 5;

/// The tolerance: an eighth. After G.711 the tones of keys stay within a fourteenth.
const NEAR: u32 = 8;

/// Frames in a row that make a tone. Of 57,000 voiced frames of recorded prompts, 59 were the third or a later one
/// in such a row.
const STEADY: u32 = 3;

/// Recognises tones by the power of frames.
#[derive(Default)]
pub struct Tones {
    /// The newest frames, the oldest first.
    powers: [u32; PERIOD],
    /// Frames in a row with the power of the frame one period earlier.
    steady: u32,
}

impl Tones {
    /// Takes the next frame's mean square. Returns true from the eighth frame of a tone on.
    pub fn is_tone(&mut self, power: u32) -> bool {
        let before = self.powers[0];
        self.powers.rotate_left(1);
        self.powers[PERIOD - 1] = power;
        let same = power.abs_diff(before) <= before / NEAR;
        self.steady = if same { self.steady + 1 } else { 0 };
        self.steady >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SpeechChange, Thresholds, TwoOpinions, Vad, mean_square};
    use crate::audio::codec::{Decoder, Encoder, Format, MAX_DECODED, MAX_PAYLOAD};

    /// When it was taken for speech, in ms, and when for a pause: two seconds of a tone, as a trunk brings it.
    fn changes(hertz: &[f32], amplitude: f32) -> Vec<(u32, bool)> {
        let wave = |n: usize, hz: f32| (n as f32 * hz * std::f32::consts::TAU / 8_000.0).sin() * amplitude;
        let tone: Vec<i16> =
            (0..16_000).map(|n| hertz.iter().map(|hz| wave(n, *hz)).sum::<f32>() as i16).collect();
        let (mut encoder, mut decoder) = (Encoder::new(Format::Ulaw), Decoder::new(Format::Ulaw));
        let mut vad = Vad::new(TwoOpinions::new(8_000), Thresholds::default());
        let mut changes = Vec::new();
        for (n, frame) in tone.chunks(160).enumerate() {
            let (mut payload, mut heard) = ([0; MAX_PAYLOAD], [0; MAX_DECODED]);
            let len = encoder.encode(frame, &mut payload);
            let count = decoder.decode(&payload[..len], &mut heard).expect("what was just encoded");
            let change = vad.push(&heard[..count], mean_square(&heard[..count]));
            changes
                .extend(change.map(|change| (n as u32 * 20, matches!(change, SpeechChange::Started { .. }))));
        }
        changes
    }

    /// They may be taken for speech when they begin; then they are not, and not again.
    #[track_caller]
    fn soon_known(name: &str, hertz: &[f32]) {
        for amplitude in [600.0, 2_000.0, 6_000.0, 12_000.0] {
            let changes = changes(hertz, amplitude);
            let known = match changes[..] {
                [] => true,
                [(_, true), (paused, false)] => paused <= 260,
                _ => false,
            };
            assert!(known, "{name} at {amplitude}: (ms, speech) {changes:?}");
        }
    }

    #[test]
    fn keys_that_are_held_are_no_speech() {
        for low in [697.0, 770.0, 852.0, 941.0] {
            for high in [1_209.0, 1_336.0, 1_477.0, 1_633.0] {
                soon_known("a key", &[low, high]);
            }
        }
    }

    #[test]
    fn the_tones_of_exchanges_are_no_speech() {
        soon_known("ringback, North America", &[440.0, 480.0]);
        soon_known("busy, North America", &[480.0, 620.0]);
        soon_known("dial, North America", &[350.0, 440.0]);
        soon_known("dial and busy, Europe", &[425.0]);
        soon_known("busy, India", &[400.0]);
        soon_known("ringback, United Kingdom", &[400.0, 450.0]);
        soon_known("a fax that calls", &[1_100.0]);
        soon_known("a fax that answers", &[2_100.0]);
    }
}
