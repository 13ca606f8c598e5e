//! Recorded sentences with a television behind them, and without: where voice detection divides speech by its level.

use vca::audio::vad::{SpeechChange, Thresholds, TwoOpinions, Vad, mean_square};

use super::{FRAME, RATE, Track, power};

/// The power of a frame between two sentences of a television.
const SILENT: u32 = 10_000;

/// A change of speech, with the sample at which it was noticed.
type Noticed = (usize, SpeechChange);

fn changes(samples: &[i16]) -> Vec<Noticed> {
    let mut vad = Vad::new(TwoOpinions::new(RATE as u32), Thresholds::default());
    let frames = samples.chunks_exact(FRAME).enumerate();
    frames.filter_map(|(n, frame)| Some(((n + 1) * FRAME, vad.push(frame, mean_square(frame))?))).collect()
}

/// Pauses that are no silence: the fewest frames that divide speech by its level are more than those of a pause.
fn divisions(changes: &[Noticed]) -> impl Iterator<Item = &Noticed> {
    let pause = Thresholds::default().pause;
    changes
        .iter()
        .filter(move |(_, change)| matches!(change, SpeechChange::Paused { frames, .. } if *frames > pause))
}

/// The track over other sentences without gaps, `below` dB fainter.
fn over_a_television(track: &Track, below: f32) -> Vec<i16> {
    let spoken = track.sentences.iter().flat_map(|(begin, end)| track.samples[*begin..*end].iter().copied());
    let frames = track.others.iter().flat_map(|voice| voice.chunks_exact(FRAME));
    let sounds = frames.filter(|frame| mean_square(frame) > SILENT).flatten();
    let television: Vec<f32> = sounds.map(|sample| f32::from(*sample)).collect();
    let gain = (power(spoken) / power(television.iter().copied())).sqrt() * 10f32.powf(-below / 20.0);
    let both = track.samples.iter().zip(television.iter().cycle());
    both.map(|(sample, other)| (sample + gain * other) as i16).collect()
}

#[test]
fn recorded_sentences_are_not_divided() {
    let Some(track) = Track::load(60) else { return };
    let samples: Vec<i16> = track.samples.iter().map(|sample| *sample as i16).collect();
    let changes = changes(&samples);
    let count = divisions(&changes).count();
    println!("{count} divisions in {} sentences", track.sentences.len());
    assert!(count <= 1, "{:?}", divisions(&changes).collect::<Vec<_>>());
}

#[test]
fn sentences_over_a_television_end_within_a_second() {
    let Some(track) = Track::load(40) else { return };
    for below in [12.0, 18.0, 24.0] {
        let changes = changes(&over_a_television(&track, below));
        let noticed = |end: usize| {
            let ends = |(at, change): &&Noticed| {
                let SpeechChange::Paused { frames, .. } = change else { return false };
                let from = at - *frames as usize * FRAME;
                from + RATE * 3 / 10 >= end && from <= end + RATE / 2
            };
            changes.iter().find(ends).map(|(at, _)| (at.saturating_sub(end)) * 1_000 / RATE)
        };
        let mut times: Vec<usize> = track.sentences.iter().filter_map(|(_, end)| noticed(*end)).collect();
        times.sort_unstable();
        let missed = track.sentences.len() - times.len();
        let (half, most) = (times[times.len() / 2], times[times.len() * 9 / 10]);
        println!("{below} dB below: {missed} missed, noticed after {half} ms (p50), {most} ms (p90)");
        assert!(missed <= 4 && most <= 1_000, "{below} dB: {missed} missed, {times:?}");
    }
}
