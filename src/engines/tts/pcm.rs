//! Bytes as they come from a pipe or a socket, as samples.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};

use super::{Pieces, Tts, Voice};
use crate::audio::Clip;
use crate::engines::core::usage::Meter;
use crate::engines::core::{EngineError, wav};

/// Puts little-endian samples together whose two bytes may come in different pieces.
#[derive(Debug, Default)]
struct Samples {
    odd: Option<u8>,
}

impl Samples {
    fn take(&mut self, piece: &[u8]) -> Vec<i16> {
        let bytes = self.odd.take().into_iter().chain(piece.iter().copied());
        let mut samples = Vec::with_capacity(piece.len() / 2 + 1);
        for byte in bytes {
            match self.odd.take() {
                Some(low) => samples.push(i16::from_le_bytes([low, byte])),
                None => self.odd = Some(byte),
            }
        }
        samples
    }
}

type Raw = BoxStream<'static, Result<Bytes, EngineError>>;

/// Clips of a stream of bare samples.
pub fn raw(rate: u32, bytes: Raw) -> Pieces {
    let mut samples = Samples::default();
    let clips = bytes.map(move |piece| Ok(samples.take(&piece?)));
    clips
        .filter(|clip| {
            std::future::ready(clip.as_ref().map_or(true, |samples: &Vec<i16>| !samples.is_empty()))
        })
        .map(move |clip| Ok(Clip::new(rate, clip?)))
        .boxed()
}

/// Clips of a stream that begins with a WAV header, whose lengths need not be true.
///
/// Permanent: it begins with something else. Nothing at all is an empty stream.
pub async fn wav(mut bytes: Raw) -> Result<Pieces, EngineError> {
    let mut begin = Vec::new();
    while begin.len() < wav::HEADER {
        match bytes.next().await {
            Some(piece) => begin.extend_from_slice(&piece?),
            None if begin.is_empty() => return Ok(stream::empty().boxed()),
            None => return Err(EngineError::Permanent("the sound ends within its WAV header".into())),
        }
    }
    let rate = begin.first_chunk().and_then(wav::rate);
    let rate = rate.ok_or_else(|| EngineError::Permanent("the sound is no 16-bit mono WAV".into()))?;
    let rest = Bytes::from(begin).slice(wav::HEADER..);
    Ok(raw(rate, stream::once(async { Ok(rest) }).chain(bytes).boxed()))
}

/// Speaks a word into the void: how long the sound is, its rate, and how soon it began and ended.
pub async fn tried_out(engine: &dyn Tts) -> Result<String, EngineError> {
    let begun = tokio::time::Instant::now();
    let mut pieces = engine.speak("One, two.".into(), Voice::default(), Meter::default()).await?;
    let (mut rate, mut seconds, mut first) = (0, 0.0, None);
    while let Some(clip) = pieces.next().await {
        let clip = clip?;
        first.get_or_insert_with(|| begun.elapsed().as_millis());
        rate = clip.rate;
        seconds += clip.duration().as_secs_f64();
    }
    let Some(first) = first else {
        return Err(EngineError::Permanent("it spoke, but nothing was heard".into()));
    };
    let all = begun.elapsed().as_millis();
    Ok(format!("{rate} Hz, spoke {seconds:.1} s in {all} ms, the first sample after {first} ms"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(of: &[&[u8]]) -> Raw {
        let pieces: Vec<_> = of.iter().map(|p| Ok(Bytes::copy_from_slice(p))).collect();
        stream::iter(pieces).boxed()
    }

    async fn samples(pieces: Pieces) -> Vec<i16> {
        let clips: Vec<_> = pieces.collect().await;
        clips.into_iter().flat_map(|clip| clip.expect("a clip").samples.to_vec()).collect()
    }

    #[tokio::test]
    async fn samples_may_be_split_anywhere() {
        let file = wav::encode(22_050, &[1, -2, 3, -4]);
        for first in 0..=file.len() {
            for second in first..=file.len() {
                let split: [&[u8]; 3] = [&file[..first], &file[first..second], &file[second..]];
                let heard = samples(wav(pieces(&split)).await.expect("a sound")).await;
                assert_eq!(heard, [1, -2, 3, -4], "split at {first} and {second}");
            }
        }
    }

    #[tokio::test]
    async fn a_last_odd_byte_is_dropped_and_no_clip_is_empty() {
        let clips: Vec<_> = raw(8_000, pieces(&[&[1], &[], &[0, 2], &[0, 9]])).collect().await;
        assert_eq!(clips, [Ok(Clip::new(8_000, [1])), Ok(Clip::new(8_000, [2]))]);
    }

    #[tokio::test]
    async fn what_is_no_wav_is_refused() {
        assert!(wav(pieces(&[&[0; 60]])).await.is_err());
        assert!(wav(pieces(&[b"RIFF"])).await.is_err());
        assert!(wav(pieces(&[])).await.expect("an empty sound").next().await.is_none());
    }

    proptest! {
        #[test]
        fn no_sample_is_lost(samples: Vec<i16>, cuts in proptest::collection::vec(0usize..64, 0..9)) {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let (mut rest, mut join, mut heard) = (bytes.as_slice(), Samples::default(), Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                heard.extend(join.take(piece));
                rest = after;
            }
            heard.extend(join.take(rest));
            prop_assert_eq!(heard, samples);
        }
    }
}
