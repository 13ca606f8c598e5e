//! Conversion of sample rates, with rubato's synchronous FFT resampler.
//!
//! `Fft` keeps an exact ratio and does not alias; it delays by about 10 ms at chunks of 20 ms.

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::Clip;

/// Converts a stream of audio to another rate.
///
/// Takes pieces of any length, and appends samples to the output as they become ready. Allocates only when it is
/// created and when the output vector grows.
pub struct Stream {
    engine: Option<Fft<f32>>,
    waiting: Vec<f32>,
    converted: Vec<f32>,
    /// Samples still to be dropped: the delay of the resampler itself.
    delay: usize,
    taken: u64,
    given: u64,
    from: u32,
    to: u32,
}

impl Stream {
    /// From `from` to `to` samples a second, both above zero.
    pub fn new(from: u32, to: u32) -> Stream {
        let chunk = (from / 50).max(1) as usize;
        let engine = (from != to).then(|| {
            Fft::<f32>::new(from as usize, to as usize, chunk, 1, FixedSync::Both)
                .expect("both rates are above zero")
        });
        let delay = engine.as_ref().map_or(0, |engine| engine.output_delay());
        let room = |frames: Option<usize>| vec![0.0; frames.unwrap_or(0)];
        Stream {
            waiting: Vec::with_capacity(engine.as_ref().map_or(0, |engine| engine.input_frames_max())),
            converted: room(engine.as_ref().map(|engine| engine.output_frames_max())),
            engine,
            delay,
            taken: 0,
            given: 0,
            from,
            to,
        }
    }

    /// Converts `samples` and appends the output that is ready to `out`.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.taken += samples.len() as u64;
        let Some(mut engine) = self.engine.take() else {
            out.extend_from_slice(samples);
            self.given += samples.len() as u64;
            return;
        };
        for sample in samples {
            self.waiting.push(f32::from(*sample));
            if self.waiting.len() == engine.input_frames_next() {
                self.convert(&mut engine, out);
            }
        }
        self.engine = Some(engine);
    }

    /// Ends the stream: appends the samples that are still inside, so that the length matches the input's.
    pub fn finish(mut self, out: &mut Vec<i16>) {
        let due = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from));
        let Some(mut engine) = self.engine.take() else { return };
        while self.given < due {
            self.waiting.resize(engine.input_frames_next(), 0.0);
            let before = out.len();
            self.convert(&mut engine, out);
            let excess = self.given.saturating_sub(due).min((out.len() - before) as u64);
            out.truncate(out.len() - excess as usize);
        }
    }

    fn convert(&mut self, engine: &mut Fft<f32>, out: &mut Vec<i16>) {
        let (input, output) = (self.waiting.len(), self.converted.len());
        let source = SequentialSlice::new(&self.waiting, 1, input).expect("one channel of this length");
        let mut target =
            SequentialSlice::new_mut(&mut self.converted, 1, output).expect("one channel of this length");
        let (_, written) = engine
            .process_into_buffer(&source, &mut target, None)
            .expect("the buffers have the engine's sizes");
        self.waiting.clear();
        let skip = self.delay.min(written);
        self.delay -= skip;
        let fresh = &self.converted[skip..written];
        out.extend(fresh.iter().map(|sample| sample.round().clamp(-32_768.0, 32_767.0) as i16));
        self.given += fresh.len() as u64;
    }
}

/// Converts `clip` as a whole; returns the same clip if it has that rate already.
pub fn convert(clip: &Clip, rate: u32) -> Clip {
    if clip.rate == rate {
        return clip.clone();
    }
    let mut stream = Stream::new(clip.rate, rate);
    let mut samples = Vec::with_capacity(clip.samples.len() * rate as usize / clip.rate as usize + 1);
    stream.push(&clip.samples, &mut samples);
    stream.finish(&mut samples);
    Clip::new(rate, samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f32, millis: u32) -> Clip {
        let wave = |n: u32| ((n as f32 * hz * std::f32::consts::TAU / rate as f32).sin() * 8_000.0) as i16;
        Clip::new(rate, (0..rate * millis / 1_000).map(wave).collect::<Vec<_>>())
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_length_and_its_power() {
        for (from, to) in
            [(22_050, 8_000), (24_000, 16_000), (8_000, 16_000), (16_000, 8_000), (48_000, 8_000)]
        {
            let said = tone(from, 440.0, 500);
            let heard = convert(&said, to);
            assert_eq!(heard.samples.len() as u32, to / 2, "{from} -> {to}");
            let ratio = rms(&heard.samples[to as usize / 10..to as usize * 4 / 10]) / rms(&said.samples);
            assert!((0.97..1.03).contains(&ratio), "{from} -> {to}: {ratio}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        let heard = convert(&tone(24_000, 6_000.0, 500), 8_000);
        assert!(rms(&heard.samples[800..3_200]) < 80.0, "{}", rms(&heard.samples[800..3_200]));
    }

    #[test]
    fn pieces_make_the_same_as_the_whole() {
        let said = tone(22_050, 300.0, 333);
        let whole = convert(&said, 8_000);
        for piece in [1, 100, 441, 5_000] {
            let (mut stream, mut out) = (Stream::new(22_050, 8_000), Vec::new());
            for part in said.samples.chunks(piece) {
                stream.push(part, &mut out);
            }
            stream.finish(&mut out);
            assert!(out[..] == whole.samples[..], "in pieces of {piece}: {} samples", out.len());
        }
    }

    #[test]
    fn a_clip_shorter_than_a_chunk_is_kept_whole() {
        assert_eq!(convert(&tone(24_000, 440.0, 5), 8_000).samples.len(), 40);
        assert_eq!(convert(&Clip::new(24_000, vec![]), 8_000).samples.len(), 0);
    }
}
