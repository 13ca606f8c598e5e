//! Scripts of pieces, pauses and flushes, and the frames that they make.

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
        Stage { port, back, playout: Playout::new(8_000, 1) }
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
                MediaEvent::PlaybackStarted { speech } => format!("started {}", speech.0),
                MediaEvent::Played { speech, position } => {
                    format!("played {} {}", speech.0, position.as_millis())
                }
                MediaEvent::PlaybackEnded { speech, position } => {
                    format!("ended {} {}", speech.0, position.as_millis())
                }
                other => format!("{other:?}"),
            });
        }
        text.join(", ")
    }
}

#[test]
fn speeches_are_played_one_after_the_other() {
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
fn a_pause_fades_and_resumes_where_it_stopped() {
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
fn a_flush_drops_pieces_before_it_and_none_after_it() {
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
fn a_flush_of_an_empty_queue_leaves_the_next_speech_whole() {
    let mut stage = Stage::new();
    stage.port.flush();
    stage.say(1, 2, true);
    assert_eq!(stage.play(4), ".##.");
}

#[test]
fn a_piece_after_a_flush_waits_for_the_flush() {
    let mut stage = Stage::new();
    stage.say(1, 1, true);
    assert_eq!(stage.play(1), "#");
    stage.port.flush();
    stage.say(2, 2, true);
    // As if both had been posted just after the frame's check.
    stage.back.take_posted();
    assert_eq!(stage.play(1), ".");
    stage.port.resume();
    assert_eq!(stage.play(4), ".##.");
    assert_eq!(stage.events(), "started 1, ended 1 20, started 2, ended 2 40");
}

#[test]
fn a_piece_after_a_second_flush_survives_the_first() {
    let mut stage = Stage::new();
    stage.say(1, 5, true);
    assert_eq!(stage.play(1), "#");
    stage.port.flush();
    assert!(stage.back.take_posted());
    stage.playout.apply_controls(&mut stage.back);
    // The second is posted while the first is being applied.
    stage.port.flush();
    stage.say(2, 2, true);
    stage.playout.drop_flushed(&mut stage.back);
    assert_eq!(stage.play(4), ".##.");
    assert_eq!(stage.events(), "started 1, started 2, ended 2 40");
}

#[test]
fn old_and_new_pieces_are_distinguished_when_the_count_of_flushes_wraps() {
    let piece = |epoch| Piece { speech: SpeechTag(1), samples: Arc::new([]), last: true, epoch };
    let mut playout = Playout::new(8_000, 1);
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
fn progress_is_reported_ten_times_a_second() {
    let mut stage = Stage::new();
    stage.say(1, 12, true);
    stage.play(12);
    assert_eq!(stage.events(), "started 1, played 1 100, played 1 200, ended 1 240");
}

#[test]
fn a_speech_without_samples_starts_and_ends() {
    let mut stage = Stage::new();
    stage.say(1, 0, true);
    assert_eq!(stage.play(1), ".");
    assert_eq!(stage.events(), "started 1, ended 1 0");
}

/// The loudest sample of each of `frames` frames, and whether the frame has speech.
fn loudness(stage: &mut Stage, frames: usize) -> Vec<(u16, bool)> {
    let mut fill = || {
        let mut frame = [0; 160];
        let has_speech = stage.playout.fill(&mut frame, &mut stage.back);
        (frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0), has_speech)
    };
    (0..frames).map(|_| fill()).collect()
}

#[test]
fn comfort_noise_fills_pauses_is_no_speech_and_fades_into_speech() {
    let mut stage = Stage::new();
    assert!(loudness(&mut stage, 5).iter().all(|frame| *frame == (0, false)), "nothing wants noise yet");
    stage.port.begin_noise();
    let noise = loudness(&mut stage, 20);
    assert!(noise[10..].iter().all(|(loudest, speech)| (30..200).contains(loudest) && !speech), "{noise:?}");
    stage.say(1, 10, true);
    let speech = loudness(&mut stage, 10);
    assert!(speech.iter().all(|(_, speech)| *speech));
    assert!(speech[0].0 > 1_010, "the noise fades under the speech: {speech:?}");
    assert!(speech[6..].iter().all(|(loudest, _)| *loudest == 1_000), "{speech:?}");
    assert_eq!(stage.events(), "started 1, played 1 100, ended 1 200");
    assert!(loudness(&mut stage, 15)[14].0 > 30, "and returns after it");
    stage.port.end_noise();
    let end = loudness(&mut stage, 10);
    assert!(end[0].0 > 0 && end[6..].iter().all(|frame| *frame == (0, false)), "{end:?}");
}

#[test]
fn there_is_no_comfort_noise_while_playback_is_paused() {
    let mut stage = Stage::new();
    stage.port.begin_noise();
    loudness(&mut stage, 20);
    stage.port.pause();
    assert!(loudness(&mut stage, 10)[6..].iter().all(|frame| *frame == (0, false)));
    stage.port.resume();
    assert!(loudness(&mut stage, 15)[14].0 > 30);
}
