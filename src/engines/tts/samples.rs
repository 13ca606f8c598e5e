//! Bytes as they arrive from a pipe or a socket, as mono samples.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::Pieces;
use crate::audio::Clip;
use crate::audio::codec::{alaw_sample, ulaw_sample};
use crate::engines::core::EngineError;

/// A stream of bytes.
pub type ByteStream = BoxStream<'static, Result<Bytes, EngineError>>;

/// How samples are written, all little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Pcm16,
    Float32,
    /// G.711.
    Ulaw,
    Alaw,
}

impl Encoding {
    /// Bytes per sample.
    fn width(self) -> usize {
        match self {
            Encoding::Pcm16 => 2,
            Encoding::Float32 => 4,
            Encoding::Ulaw | Encoding::Alaw => 1,
        }
    }

    /// The sample in [`Encoding::width`] bytes.
    fn sample(self, bytes: &[u8]) -> i32 {
        match (self, bytes) {
            (Encoding::Pcm16, [low, high]) => i16::from_le_bytes([*low, *high]).into(),
            (Encoding::Float32, [a, b, c, d]) => (f32::from_le_bytes([*a, *b, *c, *d]) * 32_767.0) as i32,
            (Encoding::Ulaw, [byte]) => ulaw_sample(*byte).into(),
            (Encoding::Alaw, [byte]) => alaw_sample(*byte).into(),
            _ => 0,
        }
    }
}

/// Decodes samples that may be split anywhere, and mixes their channels down to one.
#[derive(Debug)]
pub struct SampleDecoder {
    encoding: Encoding,
    channels: usize,
    /// Less than one sample of all channels.
    partial: Vec<u8>,
    /// Remaining bytes of samples, where their number is known.
    left: Option<u64>,
}

impl SampleDecoder {
    pub fn new(encoding: Encoding, channels: u16, length: Option<u64>) -> SampleDecoder {
        SampleDecoder { encoding, channels: usize::from(channels.max(1)), partial: Vec::new(), left: length }
    }

    pub fn decode(&mut self, piece: &[u8]) -> Vec<i16> {
        let piece = self.within_length(piece);
        self.partial.extend_from_slice(piece);
        let (width, channels) = (self.encoding.width(), self.channels);
        let whole = self.partial.len() / (width * channels) * (width * channels);
        let frames = self.partial[..whole].chunks_exact(width * channels);
        let samples = frames.map(|frame| mixed(self.encoding, frame, width)).collect();
        self.partial.drain(..whole);
        samples
    }

    fn within_length<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(left) = &mut self.left else { return piece };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
        *left -= taken as u64;
        &piece[..taken]
    }
}

fn mixed(encoding: Encoding, frame: &[u8], width: usize) -> i16 {
    let channels = (frame.len() / width) as i32;
    let sum: i32 = frame.chunks_exact(width).map(|bytes| encoding.sample(bytes).clamp(-32_768, 32_767)).sum();
    i16::try_from(sum / channels).unwrap_or(0)
}

/// Clips of a stream of samples.
pub fn clips(rate: u32, mut decoder: SampleDecoder, bytes: ByteStream) -> Pieces {
    let samples = bytes.map(move |piece| Ok(decoder.decode(&piece?)));
    let is_clip =
        |samples: &Result<Vec<i16>, EngineError>| samples.as_ref().map_or(true, |it| !it.is_empty());
    samples
        .filter(move |samples| std::future::ready(is_clip(samples)))
        .map(move |samples| Ok(Clip::new(rate, samples?)))
        .boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: Encoding, channels: u16, length: Option<u64>, pieces: &[&[u8]]) -> Vec<i16> {
        let mut decoder = SampleDecoder::new(encoding, channels, length);
        pieces.iter().flat_map(|piece| decoder.decode(piece)).collect()
    }

    #[test]
    fn every_encoding_is_decoded() {
        assert_eq!(decoded(Encoding::Pcm16, 1, None, &[&[1, 0, 254, 255]]), [1, -2]);
        let floats = [1.0f32, -1.0, 9.0, f32::NAN].map(f32::to_le_bytes).concat();
        assert_eq!(decoded(Encoding::Float32, 1, None, &[&floats]), [32_767, -32_767, 32_767, 0]);
        // G.711: the largest negative and positive values, and zero.
        assert_eq!(decoded(Encoding::Ulaw, 1, None, &[&[0x00, 0x80, 0xff]]), [-32_124, 32_124, 0]);
        assert_eq!(decoded(Encoding::Alaw, 1, None, &[&[0xd5]]), [8]);
    }

    #[test]
    fn channels_are_mixed_and_bytes_beyond_the_length_dropped() {
        let stereo = [10i16, 20, -30_000, -30_000].map(i16::to_le_bytes).concat();
        assert_eq!(decoded(Encoding::Pcm16, 2, None, &[&stereo[..3], &stereo[3..]]), [15, -30_000]);
        assert_eq!(decoded(Encoding::Pcm16, 1, Some(4), &[&stereo[..1], &stereo[1..]]), [10, 20]);
    }

    #[tokio::test]
    async fn a_last_odd_byte_is_dropped_and_no_clip_is_empty() {
        let pieces: Vec<_> =
            [&[1u8][..], &[], &[0, 2], &[0, 9]].into_iter().map(|it| Ok(Bytes::from_static(it))).collect();
        let decoder = SampleDecoder::new(Encoding::Pcm16, 1, None);
        let clips: Vec<_> = clips(8_000, decoder, stream::iter(pieces).boxed()).collect().await;
        assert_eq!(clips, [Ok(Clip::new(8_000, [1])), Ok(Clip::new(8_000, [2]))]);
    }

    proptest! {
        #[test]
        fn no_sample_is_lost(samples: Vec<i16>, cuts in proptest::collection::vec(0usize..64, 0..9)) {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut decoder = SampleDecoder::new(Encoding::Pcm16, 1, None);
            let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                found.extend(decoder.decode(piece));
                rest = after;
            }
            found.extend(decoder.decode(rest));
            prop_assert_eq!(found, samples);
        }
    }
}
