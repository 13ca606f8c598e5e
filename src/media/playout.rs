//! The way out: the agent's utterances, 20 ms at a time, with pause, resume and flush.

use std::time::Duration;

use super::port::{Backend, Control, Event, Piece, SpeechTag};
use crate::audio::ahead;
use crate::audio::frame::MAX_FRAME;

/// Frames between two reports of how much was played.
const REPORT: u32 = 5;

pub struct Playout {
    rate: u32,
    current: Option<Current>,
    speech: Option<PlayingSpeech>,
    epoch: u32,
    paused: bool,
    since_report: u32,
    /// Nothing is queued, unless the call has queued something since.
    is_dry: bool,
}

struct Current {
    piece: Piece,
    at: usize,
}

/// The utterance that is being played.
struct PlayingSpeech {
    tag: SpeechTag,
    /// Samples that have left.
    played: u64,
}

/// How a frame begins or ends, so that nothing clicks.
#[derive(PartialEq)]
enum Edge {
    None,
    FadeIn,
    FadeOut,
}

impl Playout {
    pub fn new(rate: u32) -> Playout {
        Playout { rate, current: None, speech: None, epoch: 0, paused: false, since_report: 0, is_dry: true }
    }

    /// Prefetches the next samples.
    pub fn arrive(&self) {
        if let Some(current) = &self.current {
            let rest = &current.piece.samples[current.at..];
            ahead::fetch(&rest[..rest.len().min(MAX_FRAME)]);
        }
    }

    /// Fills the next frame; true when there is speech in it.
    pub fn fill(&mut self, frame: &mut [i16], back: &mut Backend) -> bool {
        let (edge, flush) = if back.take_news() { self.obey(back) } else { (Edge::None, false) };
        if self.paused && edge != Edge::FadeOut {
            frame.fill(0);
            return false;
        }
        let filled = self.pull(frame, flush, back);
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

    /// Reads the pending controls. Returns the shape of the next frame, and whether a flush follows it.
    fn obey(&mut self, back: &mut Backend) -> (Edge, bool) {
        self.is_dry = false;
        let (was_paused, mut flush) = (self.paused, false);
        while let Ok(control) = back.controls.pop() {
            match control {
                Control::Pause => self.paused = true,
                Control::Resume => self.paused = false,
                Control::Flush(epoch) => {
                    self.epoch = epoch;
                    self.paused = false;
                    flush = true;
                }
            }
        }
        if flush && was_paused {
            // Silence has nothing to fade.
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
    fn pull(&mut self, frame: &mut [i16], flush: bool, back: &mut Backend) -> usize {
        let mut filled = 0;
        while filled < frame.len() && !(self.is_dry && self.current.is_none()) {
            let Some(current) = self.current.as_mut() else {
                if back.pieces.peek().is_ok_and(|piece| self.is_later(piece, flush)) {
                    break;
                }
                match back.pieces.pop() {
                    Ok(piece) => self.begin(piece, back),
                    Err(_) => self.is_dry = true,
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

    /// Comes a piece after a flush that is not done yet? Either this frame does it, or it is seen with the next.
    fn is_later(&self, piece: &Piece, flush: bool) -> bool {
        let ahead = self.flushes_to(piece);
        ahead > 0 || flush && ahead == 0
    }

    /// Flushes from the last that was seen to the piece: less than none when it was queued before that one.
    fn flushes_to(&self, piece: &Piece) -> i32 {
        piece.epoch.wrapping_sub(self.epoch) as i32
    }

    fn begin(&mut self, piece: Piece, back: &mut Backend) {
        if self.speech.as_ref().is_none_or(|speech| speech.tag != piece.speech) {
            self.speech = Some(PlayingSpeech { tag: piece.speech, played: 0 });
            self.since_report = 0;
            back.tell(Event::PlaybackStarted { speech: piece.speech });
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
            back.tell(Event::PlaybackEnded { speech: speech.tag, position });
        }
        give_back(current.piece, back);
    }

    /// Drops the samples that were queued before the flush. Samples after a flush that is still to be seen stay.
    fn drop_flushed(&mut self, back: &mut Backend) {
        if let Some(current) = self.current.take() {
            give_back(current.piece, back);
        }
        self.speech = None;
        while back.pieces.peek().is_ok_and(|piece| self.flushes_to(piece) < 0) {
            if let Ok(piece) = back.pieces.pop() {
                give_back(piece, back);
            }
        }
    }

    fn report(&mut self, at_once: bool, back: &mut Backend) {
        let Some(speech) = &self.speech else { return };
        self.since_report += 1;
        if at_once || self.since_report >= REPORT {
            self.since_report = 0;
            let position = self.length(speech.played);
            back.tell(Event::Played { speech: speech.tag, position });
        }
    }

    fn length(&self, samples: u64) -> Duration {
        Duration::from_micros(samples * 1_000_000 / u64::from(self.rate))
    }
}

/// Memory is freed on the call's side. Only when that does not fetch is it freed here.
fn give_back(piece: Piece, back: &mut Backend) {
    drop(back.spent.push(piece.samples));
}

fn fade_in(frame: &mut [i16]) {
    let len = frame.len() as i32;
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * n as i32 / len) as i16;
    }
}

fn fade_out(frame: &mut [i16]) {
    let len = frame.len() as i32;
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (len - n as i32) / len) as i16;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audio::codec::Format;
    use crate::media::port::{Port, link};

    struct Stage {
        port: Port,
        back: Backend,
        playout: Playout,
    }

    impl Stage {
        fn new() -> Stage {
            let (port, back) = link(Format::Ulaw);
            Stage { port, back, playout: Playout::new(8_000) }
        }

        fn say(&mut self, tag: u32, frames: usize, last: bool) {
            let samples: Arc<[i16]> = vec![1_000; frames * 160].into();
            assert!(self.port.play(SpeechTag(tag), samples, last));
        }

        /// Plays frames: `#` is speech at full level, `\` fades out, `/` fades in, `.` is silence.
        fn play(&mut self, frames: usize) -> String {
            let mut shapes = String::new();
            for _ in 0..frames {
                let mut frame = [7; 160];
                self.playout.fill(&mut frame, &mut self.back);
                shapes.push(match (frame[1], frame[158]) {
                    (0, 0) => '.',
                    (1_000, 1_000) => '#',
                    (first, last) if first > last => '\\',
                    _ => '/',
                });
            }
            shapes
        }

        fn events(&mut self) -> String {
            let mut text = Vec::new();
            while let Some(event) = self.port.next_event() {
                text.push(match event {
                    Event::PlaybackStarted { speech } => format!("started {}", speech.0),
                    Event::Played { speech, position } => {
                        format!("played {} {}", speech.0, position.as_millis())
                    }
                    Event::PlaybackEnded { speech, position } => {
                        format!("ended {} {}", speech.0, position.as_millis())
                    }
                    other => format!("{other:?}"),
                });
            }
            text.join(", ")
        }
    }

    #[test]
    fn utterances_are_played_one_after_the_other() {
        let mut stage = Stage::new();
        stage.say(1, 2, false);
        stage.say(1, 1, true);
        stage.say(2, 1, true);
        assert_eq!(stage.play(6), "####..");
        assert_eq!(stage.events(), "started 1, ended 1 60, started 2, ended 2 20");
    }

    #[test]
    fn a_late_piece_leaves_a_gap_and_loses_nothing() {
        let mut stage = Stage::new();
        stage.say(1, 1, false);
        assert_eq!(stage.play(3), "#..");
        stage.say(1, 1, true);
        assert_eq!(stage.play(2), "#.");
        assert_eq!(stage.events(), "started 1, ended 1 40");
    }

    #[test]
    fn a_pause_fades_and_goes_on_where_it_stopped() {
        let mut stage = Stage::new();
        stage.say(1, 5, true);
        assert_eq!(stage.play(1), "#");
        stage.port.pause();
        assert_eq!(stage.play(3), "\\..");
        stage.port.resume();
        assert_eq!(stage.play(4), "/##.");
        assert_eq!(stage.events(), "started 1, played 1 40, ended 1 100");
    }

    #[test]
    fn a_flush_drops_what_was_queued_before_it_and_nothing_after() {
        let mut stage = Stage::new();
        stage.say(1, 5, true);
        stage.say(2, 5, true);
        assert_eq!(stage.play(2), "##");
        stage.port.flush();
        stage.say(3, 1, true);
        assert_eq!(stage.play(3), "\\#.");
        assert_eq!(stage.events(), "started 1, played 1 60, started 3, ended 3 20");
    }

    #[test]
    fn a_flush_of_nothing_leaves_the_next_utterance_whole() {
        let mut stage = Stage::new();
        stage.port.flush();
        stage.say(1, 2, true);
        assert_eq!(stage.play(4), ".##.");
    }

    #[test]
    fn what_follows_a_flush_waits_until_the_flush_is_seen() {
        let mut stage = Stage::new();
        stage.say(1, 1, true);
        assert_eq!(stage.play(1), "#");
        stage.port.flush();
        stage.say(2, 2, true);
        // As if both had come just after the frame had looked for news.
        stage.back.take_news();
        assert_eq!(stage.play(1), ".");
        stage.port.resume();
        assert_eq!(stage.play(4), ".##.");
        assert_eq!(stage.events(), "started 1, ended 1 20, started 2, ended 2 40");
    }

    #[test]
    fn what_follows_a_second_flush_outlasts_the_first() {
        let mut stage = Stage::new();
        stage.say(1, 5, true);
        assert_eq!(stage.play(1), "#");
        stage.port.flush();
        assert!(stage.back.take_news());
        stage.playout.obey(&mut stage.back);
        // The second comes while the first is being done.
        stage.port.flush();
        stage.say(2, 2, true);
        stage.playout.drop_flushed(&mut stage.back);
        assert_eq!(stage.play(4), ".##.");
        assert_eq!(stage.events(), "started 1, started 2, ended 2 40");
    }

    #[test]
    fn old_and_new_are_told_apart_when_the_count_of_flushes_wraps() {
        let piece = |epoch| Piece { speech: SpeechTag(1), samples: Arc::new([]), last: true, epoch };
        let mut playout = Playout::new(8_000);
        playout.epoch = u32::MAX;
        assert_eq!(playout.flushes_to(&piece(0)), 1);
        playout.epoch = 0;
        assert_eq!(playout.flushes_to(&piece(u32::MAX)), -1);
    }

    #[test]
    fn a_flush_ends_a_pause() {
        let mut stage = Stage::new();
        stage.say(1, 5, true);
        stage.play(1);
        stage.port.pause();
        stage.play(2);
        stage.port.flush();
        stage.say(2, 1, true);
        assert_eq!(stage.play(2), "#.");
        assert!(stage.events().ends_with("started 2, ended 2 20"));
    }

    #[test]
    fn progress_is_told_ten_times_a_second() {
        let mut stage = Stage::new();
        stage.say(1, 12, true);
        stage.play(12);
        assert_eq!(stage.events(), "started 1, played 1 100, played 1 200, ended 1 240");
    }

    #[test]
    fn an_utterance_without_samples_starts_and_ends() {
        let mut stage = Stage::new();
        stage.say(1, 0, true);
        assert_eq!(stage.play(1), ".");
        assert_eq!(stage.events(), "started 1, ended 1 0");
    }
}
