//! G.722 (ITU-T Recommendation G.722): 7 kHz of audio in 64 kbit/s, mode 1.
//!
//! Two samples at 16 kHz become one octet: a filter bank halves the spectrum, and each half is coded by ADPCM, the
//! lower one in six bits and the higher one in two. An RTP payload consists of these octets alone (RFC 3551,
//! section 4.5.2). Names in capitals in comments are the recommendation's own.
//!
//! Does not handle packets, and never fails: each of the 256 octets is valid audio.

mod band;
mod predictor;
mod qmf;
mod tables;

use band::{HigherBand, LowerBand};
use qmf::Qmf;

/// Samples to octets. Keeps its state from one frame to the next.
#[derive(Debug, Clone, Default)]
pub struct G722Encoder {
    qmf: Qmf,
    lower: LowerBand,
    higher: HigherBand,
}

impl G722Encoder {
    pub fn new() -> G722Encoder {
        G722Encoder::default()
    }

    /// Encodes samples at 16 kHz, two per octet, until `samples` or `out` is used up. Returns the number of octets
    /// written. Ignores the last of an odd number of samples.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let (pairs, _) = samples.as_chunks();
        for (octet, pair) in out.iter_mut().zip(pairs) {
            let (lower, higher) = self.qmf.analyse(*pair);
            *octet = self.higher.encode(higher) << 6 | self.lower.encode(lower);
        }
        pairs.len().min(out.len())
    }
}

/// Octets to samples. Keeps its state from one frame to the next.
#[derive(Debug, Clone, Default)]
pub struct G722Decoder {
    qmf: Qmf,
    lower: LowerBand,
    higher: HigherBand,
}

impl G722Decoder {
    pub fn new() -> G722Decoder {
        G722Decoder::default()
    }

    /// Decodes octets to samples at 16 kHz, two for each, until `payload` or `out` is used up. Returns the number
    /// of samples written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let (pairs, _) = out.as_chunks_mut();
        for (pair, octet) in pairs.iter_mut().zip(payload) {
            let (lower, higher) = (self.lower.decode(octet & 0x3F), self.higher.decode(octet >> 6));
            *pair = self.qmf.synthesise(lower, higher);
        }
        2 * pairs.len().min(payload.len())
    }
}

#[cfg(test)]
mod tests;
