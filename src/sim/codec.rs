//! The codecs of a simulated telephone. PhoneEncoder and decoder are separate, because each direction has a state of
//! its own.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use audiopus::coder::{Decoder as OpusDecoder, Encoder as OpusEncoder};
use audiopus::{Application, Channels, SampleRate};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Ulaw,
    Alaw,
    /// 16-bit linear at 16 kHz, big-endian (RFC 3551, L16).
    Slin16,
    /// Mono at 16 kHz; the RTP clock is 48 kHz all the same (RFC 7587).
    Opus,
}

impl Codec {
    /// The payload type that the caller offers.
    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Ulaw => 0,
            Codec::Alaw => 8,
            Codec::Slin16 => 118,
            Codec::Opus => 107,
        }
    }

    /// The codec's `a=rtpmap` value in SDP.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Codec::Ulaw => "PCMU/8000",
            Codec::Alaw => "PCMA/8000",
            Codec::Slin16 => "L16/16000",
            Codec::Opus => "opus/48000/2",
        }
    }

    /// Samples per second, encoded and decoded.
    pub fn rate(self) -> u32 {
        match self {
            Codec::Ulaw | Codec::Alaw => 8_000,
            Codec::Slin16 | Codec::Opus => 16_000,
        }
    }

    /// Ticks per second of the RTP timestamp.
    pub fn clock(self) -> u32 {
        if self == Codec::Opus { 48_000 } else { self.rate() }
    }

    /// Samples in 20 ms.
    pub fn frame(self) -> usize {
        self.rate() as usize / 50
    }

    pub fn encoder(self) -> PhoneEncoder {
        match self {
            Codec::Ulaw => PhoneEncoder::Ulaw,
            Codec::Alaw => PhoneEncoder::Alaw,
            Codec::Slin16 => PhoneEncoder::Slin16,
            Codec::Opus => {
                let encoder = OpusEncoder::new(SampleRate::Hz16000, Channels::Mono, Application::Voip);
                PhoneEncoder::Opus(encoder.expect("16 kHz mono is a mode of Opus"))
            }
        }
    }

    pub fn decoder(self) -> PhoneDecoder {
        match self {
            Codec::Ulaw => PhoneDecoder::Ulaw,
            Codec::Alaw => PhoneDecoder::Alaw,
            Codec::Slin16 => PhoneDecoder::Slin16,
            Codec::Opus => {
                let decoder = OpusDecoder::new(SampleRate::Hz16000, Channels::Mono);
                PhoneDecoder::Opus(decoder.expect("16 kHz mono is a mode of Opus"))
            }
        }
    }
}

pub enum PhoneEncoder {
    Ulaw,
    Alaw,
    Slin16,
    Opus(OpusEncoder),
}

impl PhoneEncoder {
    /// The payload of a 20 ms frame.
    pub fn encode(&mut self, frame: &[i16]) -> Vec<u8> {
        match self {
            PhoneEncoder::Ulaw => frame.iter().map(|&sample| encode_ulaw(sample)).collect(),
            PhoneEncoder::Alaw => frame.iter().map(|&sample| encode_alaw(sample)).collect(),
            PhoneEncoder::Slin16 => frame.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
            PhoneEncoder::Opus(opus) => {
                let mut payload = vec![0; 1_275];
                let length = opus.encode(frame, &mut payload).expect("20 ms at 16 kHz is a frame of Opus");
                payload.truncate(length);
                payload
            }
        }
    }
}

pub enum PhoneDecoder {
    Ulaw,
    Alaw,
    Slin16,
    Opus(OpusDecoder),
}

impl PhoneDecoder {
    /// The samples of a payload; none when it cannot be decoded.
    pub fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        match self {
            PhoneDecoder::Ulaw => payload.iter().map(|&byte| decode_ulaw(byte)).collect(),
            PhoneDecoder::Alaw => payload.iter().map(|&byte| decode_alaw(byte)).collect(),
            PhoneDecoder::Slin16 => {
                payload.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
            }
            PhoneDecoder::Opus(opus) => {
                // 120 ms is the longest packet of Opus.
                let mut samples = vec![0; 1_920];
                let length = opus.decode(Some(payload), &mut samples, false).unwrap_or(0);
                samples.truncate(length);
                samples
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(codec: Codec) -> Vec<i16> {
        let rate = f64::from(codec.rate());
        let wave = |n: usize| 8_000.0 * (n as f64 * 440.0 * std::f64::consts::TAU / rate).sin();
        (0..codec.frame() * 10).map(|n| wave(n) as i16).collect()
    }

    #[test]
    fn a_tone_survives_each_codec() {
        for codec in [Codec::Ulaw, Codec::Alaw, Codec::Slin16, Codec::Opus] {
            let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
            let heard: Vec<i16> = tone(codec)
                .chunks(codec.frame())
                .flat_map(|frame| decoder.decode(&encoder.encode(frame)))
                .collect();
            assert_eq!(heard.len(), codec.frame() * 10, "{codec:?}");
            let tail = &heard[codec.frame() * 5..];
            let energy = tail.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / tail.len() as f64;
            assert!((4_500.0..6_800.0).contains(&energy.sqrt()), "{codec:?}: {}", energy.sqrt());
        }
    }

    #[test]
    fn garbage_decodes_to_something_or_nothing() {
        for codec in [Codec::Ulaw, Codec::Alaw, Codec::Slin16, Codec::Opus] {
            codec.decoder().decode(&[0xff; 3]);
            codec.decoder().decode(&[]);
        }
    }
}
