use super::*;

/// What the recommendation's two filter banks together hold back.
const DELAY: usize = 22;

/// Two seconds like a voice: the harmonics of a wandering pitch, shaped by three resonances, in syllables.
fn voice() -> Vec<i16> {
    let mut phase = 0.0_f64;
    let sample = |n: usize| {
        let time = n as f64 / 16_000.0;
        let pitch = 120.0 + 25.0 * (time * 5.0).sin();
        phase += pitch * std::f64::consts::TAU / 16_000.0;
        let harmonic = |k: usize| {
            let hz = pitch * k as f64;
            let formant = |at: f64, width: f64| 1.0 / (1.0 + ((hz - at) / width).powi(2));
            let gain = formant(600.0, 120.0) + 0.3 * formant(1_500.0, 200.0) + 0.02 * formant(4_800.0, 500.0);
            gain * (phase * k as f64).sin()
        };
        let syllable = (time * 3.0 * std::f64::consts::PI).sin().abs();
        (4_000.0 * syllable * (1..50).map(harmonic).sum::<f64>()) as i16
    };
    (0..32_000).map(sample).collect()
}

/// Tones and noise of every loudness, in whole numbers only, so that it is the same everywhere.
fn mixture() -> Vec<i16> {
    let mut random = 1_u32;
    let sample = |n: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (random >> 16) as i16 >> (n / 500 % 16);
        let square = if (n * (n / 4_000 + 1) / 37).is_multiple_of(2) { 3_000 } else { -3_000 };
        if (n / 1_000).is_multiple_of(3) { noise } else { (noise / 4).saturating_add(square) }
    };
    (0..24_000).map(sample).collect()
}

fn encoded(samples: &[i16]) -> Vec<u8> {
    let mut out = vec![0; samples.len() / 2];
    assert_eq!(G722Encoder::new().encode(samples, &mut out), out.len());
    out
}

fn decoded(payload: &[u8]) -> Vec<i16> {
    let mut out = vec![0; payload.len() * 2];
    assert_eq!(G722Decoder::new().decode(payload, &mut out), out.len());
    out
}

/// Signal to noise in dB, against the input `delay` samples ago.
fn snr(said: &[i16], heard: &[i16], delay: usize) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let pairs = || said.iter().zip(&heard[delay..]).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    10.0 * (power(&mut pairs().map(|(a, _)| a)) / power(&mut pairs().map(|(a, b)| a - b))).log10()
}

/// Fowler-Noll-Vo, 64 bits, 1a.
fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, step)
}

#[test]
fn a_voice_comes_through_22_samples_later() {
    let said = voice();
    let heard = decoded(&encoded(&said));
    let ratio = snr(&said, &heard, DELAY);
    assert!(ratio > 20.0, "signal to noise {ratio:.1} dB");
    let best = (0..40).max_by(|a, b| snr(&said, &heard, *a).total_cmp(&snr(&said, &heard, *b)));
    assert_eq!(best, Some(DELAY));
}

#[test]
fn high_tones_come_through() {
    for hz in [200.0, 3_000.0, 5_500.0, 6_800.0] {
        let wave = |n: usize| (n as f64 * hz * std::f64::consts::TAU / 16_000.0).sin() * 8_000.0;
        let said: Vec<i16> = (0..16_000).map(|n| wave(n) as i16).collect();
        let ratio = snr(&said, &decoded(&encoded(&said)), DELAY);
        assert!(ratio > 10.0, "{hz} Hz: signal to noise {ratio:.1} dB");
    }
}

/// The fingerprints are those of the ITU-T's own G.722 (Software Tool Library, Recommendation G.191).
#[test]
fn every_bit_is_the_recommendations() {
    let bytes = |samples: Vec<i16>| samples.into_iter().flat_map(i16::to_le_bytes);
    let octets = encoded(&mixture());
    assert_eq!(fingerprint(octets.iter().copied()), 0xA9EC_59B5_727B_8756, "octets");
    assert_eq!(fingerprint(bytes(decoded(&octets))), 0x617F_3099_14D7_0E44, "samples");
    let any: Vec<u8> = mixture().iter().map(|sample| *sample as u8).collect();
    assert_eq!(fingerprint(bytes(decoded(&any))), 0x2E51_2CA7_8158_0722, "samples of any octets");
}

#[test]
fn silence_stays_silence() {
    let heard = decoded(&encoded(&[0; 16_000]));
    // The predictor hunts about zero; what it makes of it is far below hearing.
    assert!(heard.iter().all(|sample| sample.abs() <= 4), "peak {:?}", heard.iter().map(|s| s.abs()).max());
}

#[test]
fn the_shorter_side_decides() {
    let mut octets = [0; 4];
    assert_eq!(G722Encoder::new().encode(&[0; 7], &mut octets), 3);
    assert_eq!(G722Encoder::new().encode(&[0; 20], &mut octets), 4);
    let mut samples = [0; 7];
    assert_eq!(G722Decoder::new().decode(&[0; 2], &mut samples), 4);
    assert_eq!(G722Decoder::new().decode(&[0; 20], &mut samples), 6);
}

proptest::proptest! {
    #[test]
    fn any_octets_and_any_samples_are_taken(
        payload in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
        samples in proptest::collection::vec(proptest::num::i16::ANY, 0..600),
        rails in proptest::collection::vec(proptest::sample::select(vec![i16::MIN, 0, i16::MAX]), 0..600),
    ) {
        decoded(&payload);
        decoded(&encoded(&samples));
        decoded(&encoded(&rails));
    }

    #[test]
    fn pieces_make_the_whole(
        pieces in proptest::collection::vec(proptest::collection::vec(proptest::num::i16::ANY, 0..40), 0..20),
    ) {
        let mut encoder = G722Encoder::new();
        let (mut octets, mut said) = (Vec::new(), Vec::new());
        for piece in &pieces {
            let pairs = &piece[..piece.len() / 2 * 2];
            let mut out = [0; 20];
            let len = encoder.encode(pairs, &mut out);
            octets.extend_from_slice(&out[..len]);
            said.extend_from_slice(pairs);
        }
        assert_eq!(octets, encoded(&said));
    }
}
