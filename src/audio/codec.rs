//! The wire formats that a call may use, and their codecs.
//!
//! G.711 and G.722 (ITU-T), 16-bit linear and Opus (RFC 6716, RFC 7587), with the names and payload types of
//! Asterisk's external-media channels.

use std::sync::LazyLock;

use audiopus::coder::{Decoder as OpusDecoder, Encoder as OpusEncoder};
use audiopus::{Application, Bitrate, Channels, SampleRate};

use super::frame::MAX_FRAME;
use super::g722;

/// The longest payload of 20 ms: 16-bit linear at 16 kHz.
pub const MAX_PAYLOAD: usize = 2 * MAX_FRAME;

/// The longest payload that is accepted: 60 ms of 16-bit linear at 16 kHz.
pub const MAX_READ_PAYLOAD: usize = 3 * MAX_PAYLOAD;

/// Decoded samples of one packet: up to 120 ms, the most that Opus allows (RFC 6716, section 3.2.5).
pub const MAX_DECODED: usize = 6 * MAX_FRAME;

/// The format of audio between Asterisk and the daemon.
///
/// Asterisk 18 to 22 sends all of these on an external-media channel, but accepts only payload types that RFC 3551
/// assigns: of these 0, 8 and 9 (asterisk/documentation, issue 142). So wideband calls use G.722; 16-bit linear
/// and Opus are for peers that accept them as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Ulaw,
    Alaw,
    G722,
    Slin16,
    Opus,
}

impl Format {
    pub const ALL: [Format; 5] = [Format::Ulaw, Format::Alaw, Format::G722, Format::Slin16, Format::Opus];

    /// Asterisk's name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ulaw => "ulaw",
            Format::Alaw => "alaw",
            Format::G722 => "g722",
            Format::Slin16 => "slin16",
            Format::Opus => "opus",
        }
    }

    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The RTP payload type of the format on an external-media channel of Asterisk 18 to 22.
    pub fn payload_type(self) -> u8 {
        match self {
            Format::Ulaw => 0,
            Format::Alaw => 8,
            Format::G722 => 9,
            Format::Slin16 => 118,
            Format::Opus => 107,
        }
    }

    /// Samples per second of the decoded audio.
    pub fn rate(self) -> u32 {
        match self {
            Format::Ulaw | Format::Alaw => 8_000,
            Format::G722 | Format::Slin16 | Format::Opus => 16_000,
        }
    }

    /// Ticks per second of the RTP timestamp: 48,000 for Opus at every rate (RFC 7587, section 4.1), and 8,000 for
    /// G.722, by an old mistake that has become the standard (RFC 3551, section 4.5.2).
    pub fn clock(self) -> u32 {
        match self {
            Format::G722 => 8_000,
            Format::Opus => 48_000,
            other => other.rate(),
        }
    }

    /// Samples in 20 ms.
    pub fn frame_len(self) -> usize {
        (self.rate() / 50) as usize
    }
}

/// A payload that is not valid in the call's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not valid {}", .0.name())]
pub struct BadPayload(pub Format);

/// Decodes payloads to samples. State that only one format needs is boxed, because most calls do not use it.
pub enum Decoder {
    Ulaw,
    Alaw,
    G722(Box<g722::G722Decoder>),
    Slin16,
    Opus(OpusDecoder),
}

impl Decoder {
    pub fn new(format: Format) -> Decoder {
        match format {
            Format::Ulaw => Decoder::Ulaw,
            Format::Alaw => Decoder::Alaw,
            Format::G722 => Decoder::G722(Box::new(g722::G722Decoder::new())),
            Format::Slin16 => Decoder::Slin16,
            Format::Opus => Decoder::Opus(
                OpusDecoder::new(SampleRate::Hz16000, Channels::Mono)
                    .expect("libopus decodes mono at 16 kHz"),
            ),
        }
    }

    /// Decodes one payload into `out` and returns the number of samples.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16; MAX_DECODED]) -> Result<usize, BadPayload> {
        match self {
            Decoder::Ulaw => expand(&ULAW.samples, payload, out).ok_or(BadPayload(Format::Ulaw)),
            Decoder::Alaw => expand(&ALAW.samples, payload, out).ok_or(BadPayload(Format::Alaw)),
            Decoder::G722(decoder) => decode_g722(decoder, payload, out).ok_or(BadPayload(Format::G722)),
            Decoder::Slin16 => read_linear(payload, out).ok_or(BadPayload(Format::Slin16)),
            Decoder::Opus(decoder) => decode_opus(decoder, payload, out).ok_or(BadPayload(Format::Opus)),
        }
    }

    /// Has the codec conceal a lost packet with `len` samples. Returns false when it cannot.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match self {
            Decoder::Opus(decoder) => decoder.decode(None::<&[u8]>, out, false).is_ok(),
            _ => false,
        }
    }
}

/// The sample of a byte of G.711 mu-law.
pub fn ulaw_sample(byte: u8) -> i16 {
    ULAW.samples[usize::from(byte)]
}

/// The sample of a byte of G.711 A-law.
pub fn alaw_sample(byte: u8) -> i16 {
    ALAW.samples[usize::from(byte)]
}

fn expand(table: &[i16; 256], payload: &[u8], out: &mut [i16; MAX_DECODED]) -> Option<usize> {
    let out = out.get_mut(..payload.len()).filter(|out| !out.is_empty())?;
    for (sample, byte) in out.iter_mut().zip(payload) {
        *sample = table[usize::from(*byte)];
    }
    Some(payload.len())
}

fn decode_g722(
    decoder: &mut g722::G722Decoder,
    payload: &[u8],
    out: &mut [i16; MAX_DECODED],
) -> Option<usize> {
    let out = out.get_mut(..2 * payload.len()).filter(|out| !out.is_empty())?;
    Some(decoder.decode(payload, out))
}

/// Network byte order (RFC 3551, section 4.5.11).
fn read_linear(payload: &[u8], out: &mut [i16; MAX_DECODED]) -> Option<usize> {
    let len = payload.len() / 2;
    let out = out.get_mut(..len).filter(|out| !out.is_empty() && payload.len().is_multiple_of(2))?;
    for (sample, pair) in out.iter_mut().zip(payload.chunks_exact(2)) {
        *sample = i16::from_be_bytes([pair[0], pair[1]]);
    }
    Some(len)
}

fn decode_opus(decoder: &mut OpusDecoder, payload: &[u8], out: &mut [i16; MAX_DECODED]) -> Option<usize> {
    // libopus takes an empty payload as a request for concealment, not as an error.
    if payload.is_empty() {
        return None;
    }
    decoder.decode(Some(payload), &mut out[..], false).ok()
}

/// Encodes samples to payloads.
pub enum Encoder {
    Ulaw,
    Alaw,
    G722(Box<g722::G722Encoder>),
    Slin16,
    Opus(OpusEncoder),
}

impl Encoder {
    pub fn new(format: Format) -> Encoder {
        match format {
            Format::Ulaw => Encoder::Ulaw,
            Format::Alaw => Encoder::Alaw,
            Format::G722 => Encoder::G722(Box::new(g722::G722Encoder::new())),
            Format::Slin16 => Encoder::Slin16,
            Format::Opus => Encoder::Opus(opus_encoder().expect("libopus encodes mono speech at 16 kHz")),
        }
    }

    /// Encodes 20 ms and returns the number of bytes written to `out`.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8; MAX_PAYLOAD]) -> usize {
        match self {
            Encoder::Ulaw => ULAW.compress(samples, out),
            Encoder::Alaw => ALAW.compress(samples, out),
            Encoder::G722(encoder) => encoder.encode(samples, out),
            Encoder::Slin16 => write_linear(samples, out),
            Encoder::Opus(encoder) => encoder.encode(samples, &mut out[..]).unwrap_or(0),
        }
    }
}

/// Complexity 5 costs a quarter of 10 and sounds the same for speech; 24 kbit/s is wideband speech (RFC 7587,
/// section 3.1.1).
fn opus_encoder() -> audiopus::Result<OpusEncoder> {
    let mut encoder = OpusEncoder::new(SampleRate::Hz16000, Channels::Mono, Application::Voip)?;
    encoder.set_complexity(5)?;
    encoder.set_bitrate(Bitrate::BitsPerSecond(24_000))?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(5)?;
    Ok(encoder)
}

/// All calls share the tables of both laws: a table per call would not fit into the cache.
static ULAW: LazyLock<Law> =
    LazyLock::new(|| Law::new(audio_codec_algorithms::encode_ulaw, audio_codec_algorithms::decode_ulaw));
static ALAW: LazyLock<Law> =
    LazyLock::new(|| Law::new(audio_codec_algorithms::encode_alaw, audio_codec_algorithms::decode_alaw));

/// A companding law as tables, indexed by the upper 14 bits of a sample (the resolution of G.711) and by the byte.
struct Law {
    bytes: [u8; 1 << 14],
    samples: [i16; 256],
}

impl Law {
    fn new(encode: fn(i16) -> u8, decode: fn(u8) -> i16) -> Law {
        let mut law = Law { bytes: [0; 1 << 14], samples: [0; 256] };
        for (index, byte) in law.bytes.iter_mut().enumerate() {
            *byte = encode(((index as u16) << 2) as i16);
        }
        for (byte, sample) in (0..=u8::MAX).zip(law.samples.iter_mut()) {
            *sample = decode(byte);
        }
        law
    }

    fn compress(&self, samples: &[i16], out: &mut [u8; MAX_PAYLOAD]) -> usize {
        for (byte, sample) in out.iter_mut().zip(samples) {
            *byte = self.bytes[usize::from(*sample as u16 >> 2)];
        }
        samples.len().min(MAX_PAYLOAD)
    }
}

fn write_linear(samples: &[i16], out: &mut [u8; MAX_PAYLOAD]) -> usize {
    for (pair, sample) in out.chunks_exact_mut(2).zip(samples) {
        pair.copy_from_slice(&sample.to_be_bytes());
    }
    (2 * samples.len()).min(MAX_PAYLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(format: Format) -> Vec<i16> {
        let rate = format.rate() as f32;
        let wave = |n: usize| (n as f32 * 440.0 * std::f32::consts::TAU / rate).sin() * 8_000.0;
        (0..format.frame_len() * 25).map(|n| wave(n) as i16).collect()
    }

    fn round_trip(format: Format) -> Vec<i16> {
        let (mut encoder, mut decoder) = (Encoder::new(format), Decoder::new(format));
        let (mut payload, mut out) = ([0; MAX_PAYLOAD], [0; MAX_DECODED]);
        let mut heard = Vec::new();
        for frame in tone(format).chunks_exact(format.frame_len()) {
            let len = encoder.encode(frame, &mut payload);
            let samples = decoder.decode(&payload[..len], &mut out).expect("own payloads decode");
            heard.extend_from_slice(&out[..samples]);
        }
        heard
    }

    #[test]
    fn a_tone_survives_every_format() {
        for format in Format::ALL {
            let (said, heard) = (tone(format), round_trip(format));
            assert_eq!(said.len(), heard.len(), "{}", format.name());
            let power = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            let tail = said.len() / 2;
            let ratio = power(&heard[tail..]) / power(&said[tail..]);
            assert!((0.8..1.25).contains(&ratio), "{}: power ratio {ratio}", format.name());
        }
    }

    #[test]
    fn the_tables_agree_with_the_law() {
        let encoders: [fn(i16) -> u8; 2] =
            [audio_codec_algorithms::encode_ulaw, audio_codec_algorithms::encode_alaw];
        for (law, encode) in [&*ULAW, &*ALAW].into_iter().zip(encoders) {
            let mut out = [0; MAX_PAYLOAD];
            for sample in (i16::MIN..=i16::MAX).step_by(4) {
                law.compress(&[sample], &mut out);
                assert_eq!(out[0], encode(sample), "sample {sample}");
            }
        }
    }

    #[test]
    fn g722_fits_its_packets() {
        let (mut payload, mut out) = ([0; MAX_PAYLOAD], [0; MAX_DECODED]);
        assert_eq!(Encoder::new(Format::G722).encode(&[0; 320], &mut payload), 160);
        let mut decoder = Decoder::new(Format::G722);
        assert_eq!(decoder.decode(&payload[..160], &mut out), Ok(320));
        assert_eq!(decoder.decode(&[0; MAX_DECODED / 2], &mut out), Ok(MAX_DECODED));
        for len in [0, MAX_DECODED / 2 + 1] {
            assert_eq!(
                decoder.decode(&vec![0; len], &mut out),
                Err(BadPayload(Format::G722)),
                "{len} octets"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(proptest::num::u8::ANY, 0..3_000)) {
            for format in Format::ALL {
                let mut out = [0; MAX_DECODED];
                if let Ok(samples) = Decoder::new(format).decode(&payload, &mut out) {
                    assert!(samples <= MAX_DECODED);
                }
            }
        }
    }
}
