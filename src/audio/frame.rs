//! Frames of 20 ms of mono samples, cut from packets of any length.

/// Samples in 20 ms at 16 kHz, the highest rate that a call uses.
pub const MAX_FRAME: usize = 320;

/// Collects samples and returns them in frames of a fixed length, without allocating.
///
/// The buffer is boxed: most streams arrive in whole frames and never use it.
pub struct Framer {
    buffer: Box<[i16]>,
    filled: usize,
}

impl Framer {
    /// `len` samples per frame, at most [`MAX_FRAME`].
    pub fn new(len: usize) -> Framer {
        assert!((1..=MAX_FRAME).contains(&len), "a frame has 1 to {MAX_FRAME} samples");
        Framer { buffer: vec![0; len].into(), filled: 0 }
    }

    /// Drops the samples of an incomplete frame.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Calls `each` with every frame that `samples` completes.
    pub fn push(&mut self, mut samples: &[i16], mut each: impl FnMut(&[i16])) {
        let len = self.buffer.len();
        while !samples.is_empty() {
            if self.filled == 0 && samples.len() >= len {
                let (frame, rest) = samples.split_at(len);
                each(frame);
                samples = rest;
                continue;
            }
            let take = samples.len().min(len - self.filled);
            let (head, rest) = samples.split_at(take);
            self.buffer[self.filled..self.filled + take].copy_from_slice(head);
            self.filled += take;
            samples = rest;
            if self.filled == len {
                self.filled = 0;
                each(&self.buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_every_sample_in_order() {
        let samples: Vec<i16> = (0..1_000).collect();
        for piece in [1, 7, 160, 161, 480] {
            let mut framer = Framer::new(160);
            let mut out = Vec::new();
            for part in samples.chunks(piece) {
                framer.push(part, |frame| {
                    assert_eq!(frame.len(), 160);
                    out.extend_from_slice(frame);
                });
            }
            assert_eq!(out, samples[..960], "in pieces of {piece}");
        }
    }
}
