//! Playout of the agent's speeches in frames of 20 ms, with pause, resume and flush.

use std::time::Duration;

use super::control::{Control, Piece};
use super::port::{Backend, MediaEvent, SpeechTag};
use crate::audio::comfort_noise::ComfortNoise;
use crate::audio::frame::MAX_FRAME;
use crate::audio::prefetch::prefetch;

/// Frames between two reports of how much was played.
const REPORT: u32 = 5;

pub struct Playout {
    rate: u32,
    current: Option<Current>,
    speech: Option<PlayingSpeech>,
    epoch: u32,
    paused: bool,
    /// Pauses are filled with comfort noise.
    fills_pauses: bool,
    noise: ComfortNoise,
    since_report: u32,
    /// The queue was empty when it was last read, and the call has posted nothing since.
    queue_is_empty: bool,
}

struct Current {
    piece: Piece,
    at: usize,
}

/// The speech that is playing.
struct PlayingSpeech {
    tag: SpeechTag,
    /// Samples sent so far.
    played: u64,
}

/// The shape of a frame's beginning or end, which avoids clicks.
#[derive(PartialEq)]
enum Edge {
    None,
    FadeIn,
    FadeOut,
}

impl Playout {
    /// For `rate` samples a second; `seed` makes the comfort noise.
    pub fn new(rate: u32, seed: u32) -> Playout {
        Playout {
            rate,
            current: None,
            speech: None,
            epoch: 0,
            paused: false,
            fills_pauses: false,
            noise: ComfortNoise::new(rate, seed),
            since_report: 0,
            queue_is_empty: true,
        }
    }

    /// Prefetches the next samples.
    pub fn prefetch(&self) {
        if let Some(current) = &self.current {
            let rest = &current.piece.samples[current.at..];
            prefetch(&rest[..rest.len().min(MAX_FRAME)]);
        }
    }

    /// Fills the next frame. Returns true when there is speech in it; comfort noise is none.
    pub fn fill(&mut self, frame: &mut [i16], back: &mut Backend) -> bool {
        let has_speech = self.fill_speech(frame, back);
        self.noise.add(frame, self.fills_pauses && !self.paused && !has_speech);
        has_speech
    }

    fn fill_speech(&mut self, frame: &mut [i16], back: &mut Backend) -> bool {
        let (edge, flush) = if back.take_posted() { self.apply_controls(back) } else { (Edge::None, false) };
        if self.paused && edge != Edge::FadeOut {
            frame.fill(0);
            return false;
        }
        let filled = self.take_samples(frame, flush, back);
        frame[filled..].fill(0);
        match edge {
            Edge::None => {}
            Edge::FadeIn => fade_in(frame),
            Edge::FadeOut => fade_out(frame),
        }
        self.report(flush || edge == Edge::FadeOut, back);
        if flush {
            self.drop_flushed(back);
        }
        filled > 0
    }

    /// Applies the pending controls. Returns the shape of the next frame, and whether a flush follows it.
    fn apply_controls(&mut self, back: &mut Backend) -> (Edge, bool) {
        self.queue_is_empty = false;
        let (was_paused, mut flush) = (self.paused, false);
        while let Ok(control) = back.controls.pop() {
            match control {
                Control::Pause => self.paused = true,
                Control::Resume => self.paused = false,
                Control::BeginNoise => self.fills_pauses = true,
                Control::EndNoise => self.fills_pauses = false,
                Control::ChangeSuppression => back.suppression_is_due = true,
                Control::Deliver(delivery) => back.delivery = delivery,
                Control::Flush(epoch) => {
                    self.epoch = epoch;
                    self.paused = false;
                    flush = true;
                }
            }
        }
        if flush && was_paused {
            // Silence is not faded.
            self.drop_flushed(back);
            return (Edge::None, false);
        }
        let edge = match (was_paused, self.paused || flush) {
            (false, true) => Edge::FadeOut,
            (true, false) => Edge::FadeIn,
            _ => Edge::None,
        };
        (edge, flush)
    }

    /// Takes samples from the queue and returns their number. The frame that fades out before a flush takes no
    /// samples from after it.
    fn take_samples(&mut self, frame: &mut [i16], flush: bool, back: &mut Backend) -> usize {
        let mut filled = 0;
        while filled < frame.len() && !(self.queue_is_empty && self.current.is_none()) {
            let Some(current) = self.current.as_mut() else {
                if back.pieces.peek().is_ok_and(|piece| self.is_later(piece, flush)) {
                    break;
                }
                match back.pieces.pop() {
                    Ok(piece) => self.begin(piece, back),
                    Err(_) => self.queue_is_empty = true,
                }
                continue;
            };
            let rest = &current.piece.samples[current.at..];
            let count = rest.len().min(frame.len() - filled);
            frame[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            current.at += count;
            if let Some(speech) = &mut self.speech {
                speech.played += count as u64;
            }
            if current.at == current.piece.samples.len() {
                self.end_piece(back);
            }
        }
        filled
    }

    /// True for a piece that follows a flush which is not done yet: this frame does it, or the next.
    fn is_later(&self, piece: &Piece, flush: bool) -> bool {
        let ahead = self.flushes_to(piece);
        ahead > 0 || flush && ahead == 0
    }

    /// The number of flushes between the last one that was applied and the piece; negative when the piece was queued before it.
    fn flushes_to(&self, piece: &Piece) -> i32 {
        piece.epoch.wrapping_sub(self.epoch) as i32
    }

    fn begin(&mut self, piece: Piece, back: &mut Backend) {
        if self.speech.as_ref().is_none_or(|speech| speech.tag != piece.speech) {
            self.speech = Some(PlayingSpeech { tag: piece.speech, played: 0 });
            self.since_report = 0;
            back.send(MediaEvent::PlaybackStarted { speech: piece.speech });
        }
        let empty = piece.samples.is_empty();
        self.current = Some(Current { piece, at: 0 });
        if empty {
            self.end_piece(back);
        }
    }

    fn end_piece(&mut self, back: &mut Backend) {
        let Some(current) = self.current.take() else { return };
        if current.piece.last
            && let Some(speech) = self.speech.take()
        {
            let position = self.length(speech.played);
            back.send(MediaEvent::PlaybackEnded { speech: speech.tag, position });
        }
        return_samples(current.piece, back);
    }

    /// Drops the samples that were queued before the flush. Samples that follow a flush not applied yet stay.
    fn drop_flushed(&mut self, back: &mut Backend) {
        if let Some(current) = self.current.take() {
            return_samples(current.piece, back);
        }
        self.speech = None;
        while back.pieces.peek().is_ok_and(|piece| self.flushes_to(piece) < 0) {
            if let Ok(piece) = back.pieces.pop() {
                return_samples(piece, back);
            }
        }
    }

    fn report(&mut self, at_once: bool, back: &mut Backend) {
        let Some(speech) = &self.speech else { return };
        self.since_report += 1;
        if at_once || self.since_report >= REPORT {
            self.since_report = 0;
            let position = self.length(speech.played);
            back.send(MediaEvent::Played { speech: speech.tag, position });
        }
    }

    fn length(&self, samples: u64) -> Duration {
        Duration::from_micros(samples * 1_000_000 / u64::from(self.rate))
    }
}

/// Returns played samples to the call, which frees them. They are freed here only when the call has stopped reading.
fn return_samples(piece: Piece, back: &mut Backend) {
    drop(back.played.push(piece.samples));
}

fn fade_in(frame: &mut [i16]) {
    let len = frame.len() as i32;
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * n as i32 / len) as i16;
    }
}

/// Within the first half of the frame: the caller who interrupts waits for silence.
fn fade_out(frame: &mut [i16]) {
    let len = (frame.len() as i32 / 2).max(1);
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (len - n as i32).max(0) / len) as i16;
    }
}

#[cfg(test)]
mod tests;
