//! Noise in the caller's audio: voice detection with and without noise suppression, and the noise that is removed. Comfort noise
//! in a real call.
//!
//! Recorded prompts speak through mu-law, in virtual time, over three kinds of noise. `./dev bench noise` prints the figures of
//! `docs/audio.md`; the test has a part of the sentences.

mod question;
mod television;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vca::audio::codec::{Encoder, Format, MAX_PAYLOAD};
use vca::audio::suppression::DELAY;
use vca::media::{FramePath, Leg, LegConfig, MediaEvent, NoiseSuppression, Scratch, link};
use vca::rtp::packet::{HEADER, Packet, write_header};
use vca::sim::{Codec, Step};

use super::support::phone::{self, Plan};
use super::support::seed::local_agent;
use super::support::test_env::TestEnv;
use super::support::{self, clips};

const RATE: usize = 8_000;
const FRAME: usize = 160;
/// The time before the first sentence, in which the suppression learns the noise, and that after each one, in samples.
const LEAD: usize = 4 * RATE;
const GAP: usize = 2 * RATE;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    /// Of constant power at all frequencies.
    White,
    /// Of low frequencies, whose power rises and falls by 12 dB within three seconds, and the hum of a machine.
    Street,
    /// Eight voices at once.
    Babble,
}

/// Sentences with pauses, without noise.
struct Track {
    samples: Vec<f32>,
    /// Beginning and end of each sentence, in samples.
    sentences: Vec<(usize, usize)>,
    /// Other sentences, for babble.
    others: Vec<Arc<[i16]>>,
}

impl Track {
    /// `None` without the sandbox that has the recorded prompts.
    fn load(count: usize) -> Option<Track> {
        let sandbox = support::sandbox()?;
        let long =
            clips::prompts(&sandbox).into_iter().filter(|(_, text)| text.split_whitespace().count() >= 6);
        let recorded: Vec<_> = long.map(|(name, _)| clips::prompt(&sandbox, &name).samples).collect();
        let (others, spoken) = recorded.split_at(8);
        let mut track = Track { samples: vec![0.0; LEAD], sentences: Vec::new(), others: others.to_vec() };
        spoken.iter().take(count).for_each(|samples| track.add(samples));
        Some(track)
    }

    /// Adds a sentence without the silence at its ends.
    fn add(&mut self, samples: &[i16]) {
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let is_loud = |sample: &i16| sample.unsigned_abs() > loudest / 32;
        let first = samples.iter().position(is_loud).unwrap_or(0);
        let last = samples.iter().rposition(is_loud).unwrap_or(0);
        let begin = self.samples.len();
        self.samples.extend(samples[first..=last].iter().map(|sample| f32::from(*sample) / 2.0));
        self.sentences.push((begin, self.samples.len()));
        self.samples.resize(self.samples.len() + GAP, 0.0);
    }

    /// The times without speech, half a second after a sentence.
    fn gaps(&self) -> impl Iterator<Item = Range<usize>> {
        self.sentences.windows(2).map(|pair| pair[0].1 + RATE / 2..pair[1].0 - RATE / 10)
    }

    /// The track with noise `snr` dB below the speech.
    fn with_noise(&self, noise: Noise, snr: f32) -> Vec<i16> {
        let speech =
            self.sentences.iter().flat_map(|(begin, end)| self.samples[*begin..*end].iter().copied());
        let level = (power(speech) / 10f32.powf(snr / 10.0)).sqrt();
        let noise = self.noise(noise);
        let gain = level / power(noise.iter().copied()).sqrt();
        self.samples.iter().zip(noise).map(|(sample, noise)| (sample + gain * noise) as i16).collect()
    }

    fn noise(&self, kind: Noise) -> Vec<f32> {
        let mut random = StdRng::seed_from_u64(7);
        let (mut slow, mut slower) = (0.0, 0.0);
        let mut street = |n: usize| {
            let seconds = n as f32 / RATE as f32;
            slow += 0.15 * (random.random_range(-1.0..1.0) - slow);
            slower += 0.4 * (slow - slower);
            let hum = 0.02 * (seconds * 100.0 * std::f32::consts::TAU).sin();
            (1.0 + 0.6 * (seconds * 0.37 * std::f32::consts::TAU).sin()) * slower + hum
        };
        let voices = |n: usize| {
            let voice = |(k, voice): (usize, &Arc<[i16]>)| f32::from(voice[(n + k * 3_777) % voice.len()]);
            self.others.iter().enumerate().map(voice).sum()
        };
        let all = 0..self.samples.len();
        match kind {
            Noise::White => {
                let mut random = StdRng::seed_from_u64(7);
                all.map(|_| random.random_range(-1.0..1.0)).collect()
            }
            Noise::Street => all.map(&mut street).collect(),
            Noise::Babble => all.map(voices).collect(),
        }
    }
}

fn power(samples: impl IntoIterator<Item = f32>) -> f32 {
    let (sum, count) = samples.into_iter().fold((0.0, 0), |(sum, n), sample| (sum + sample * sample, n + 1));
    sum / count.max(1) as f32
}

fn decibels(ratio: f32) -> f32 {
    10.0 * ratio.log10()
}

/// What the call learns of a track.
struct Call {
    /// The audio for recognition.
    audio: Vec<i16>,
    /// Positions of starts and pauses of speech.
    starts: Vec<usize>,
    pauses: Vec<usize>,
}

/// Sends the samples as packets of 20 ms.
fn call(samples: &[i16], noise_suppression: NoiseSuppression) -> Call {
    let (mut port, back) = link(Format::Ulaw);
    let mut leg = Leg::new(LegConfig { noise_suppression, ..LegConfig::new(Format::Ulaw) }, back);
    let (mut encoder, mut scratch, mut now) =
        (Encoder::new(Format::Ulaw), Box::<Scratch>::default(), Instant::now());
    let mut call = Call { audio: Vec::new(), starts: Vec::new(), pauses: Vec::new() };
    for (n, frame) in samples.chunks_exact(FRAME).enumerate() {
        now += Duration::from_millis(20);
        let mut packet = [0; HEADER + MAX_PAYLOAD];
        let (header, payload) = packet.split_first_chunk_mut::<HEADER>().expect("room for a header");
        let len = encoder.encode(frame, payload.first_chunk_mut().expect("room for a payload"));
        let (sequence, timestamp) = (n as u16, (n * FRAME) as u32);
        write_header(
            header,
            &Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 1, payload: &[] },
        );
        leg.receive(&packet[..HEADER + len], now, &mut scratch);
        leg.tick(now, 1, &mut scratch);
        port.fetch_with(|samples| call.audio.extend_from_slice(samples));
        while let Some(event) = port.next_event() {
            match event {
                MediaEvent::SpeechStarted { position, .. } => call.starts.push(position as usize),
                MediaEvent::SpeechPaused { position, .. } => call.pauses.push(position as usize),
                _ => {}
            }
        }
    }
    call
}

/// The figures of one call.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Noise in the gaps, in dB below the received noise.
    removed_db: f32,
    /// Speech and the noise within it, relative to those that were received, in dB.
    speech_db: f32,
    /// Starts of speech in the gaps, per minute of them.
    false_starts: f32,
    /// Sentences of which no beginning was noticed.
    missed: usize,
    /// Sentences after which no pause was noticed before the next one.
    without_pause: usize,
}

impl Figures {
    fn measure(track: &Track, received: &[i16], call: &Call) -> Figures {
        let part = |samples: &[i16], from: usize, to: usize| {
            let part = &samples[from.min(samples.len())..to.min(samples.len())];
            part.iter().map(|sample| f32::from(*sample)).collect::<Vec<_>>()
        };
        let delayed = |from: usize, to: usize| part(&call.audio, from + DELAY, to + DELAY);
        let gap = |of: &dyn Fn(usize, usize) -> Vec<f32>| {
            power(track.gaps().flat_map(|gap| of(gap.start, gap.end)))
        };
        let speech = |of: &dyn Fn(usize, usize) -> Vec<f32>| {
            power(track.sentences.iter().flat_map(|(begin, end)| of(*begin, *end)))
        };
        let before = |from, to| part(received, from, to);
        let margin = RATE / 5;
        let near = |at: &usize| {
            track.sentences.iter().any(|(begin, end)| (begin - margin..end + margin).contains(at))
        };
        let silent_minutes = track.gaps().map(|_| GAP).sum::<usize>() as f32 / RATE as f32 / 60.0;
        let begins = |(begin, end): &&(usize, usize)| {
            let within = call.starts.iter().any(|start| (begin - margin..*end).contains(start));
            let earlier = call.starts.iter().filter(|start| **start < *begin).count();
            within || earlier > call.pauses.iter().filter(|pause| **pause < *begin).count()
        };
        let ends = |pair: &&[(usize, usize)]| {
            call.pauses.iter().any(|at| (pair[0].1 - margin..pair[1].0).contains(at))
        };
        Figures {
            removed_db: decibels(gap(&before) / gap(&delayed).max(0.01)),
            speech_db: decibels(speech(&delayed) / speech(&before)),
            false_starts: call.starts.iter().filter(|start| !near(start)).count() as f32 / silent_minutes,
            missed: track.sentences.len() - track.sentences.iter().filter(begins).count(),
            without_pause: track.sentences.len() - 1 - track.sentences.windows(2).filter(ends).count(),
        }
    }
}

const SUPPRESSIONS: [NoiseSuppression; 3] =
    [NoiseSuppression::Off, NoiseSuppression::Recognition, NoiseSuppression::RecognitionAndVoice];

/// The figures of every kind of suppression.
fn study(track: &Track, noise: Noise, snr: f32) -> [Figures; 3] {
    let received = track.with_noise(noise, snr);
    SUPPRESSIONS.map(|kind| {
        let figures = Figures::measure(track, &received, &call(&received, kind));
        println!("{noise:?} {snr} dB, {kind:?}: {figures:.1?}");
        figures
    })
}

#[test]
fn suppression_removes_noise_and_keeps_speech() {
    let Some(track) = Track::load(12) else { return };
    for (noise, least) in [(Noise::White, 14.0), (Noise::Street, 9.0), (Noise::Babble, 5.0)] {
        let [off, recognition, voice] = study(&track, noise, 10.0);
        assert!(off.removed_db.abs() < 0.5, "{noise:?}: {off:?}");
        for figures in [recognition, voice] {
            assert!(figures.removed_db > least, "{noise:?}: {figures:?}");
            assert!(figures.speech_db > -2.0, "{noise:?}: {figures:?}");
        }
        assert_eq!(
            (recognition.false_starts, recognition.missed, recognition.without_pause),
            (off.false_starts, off.missed, off.without_pause),
            "{noise:?}"
        );
    }
}

#[test]
fn voice_detection_hears_no_speech_in_the_noise_of_a_street_that_is_suppressed() {
    let Some(track) = Track::load(12) else { return };
    let [off, _, voice] = study(&track, Noise::Street, 10.0);
    assert!(voice.false_starts < off.false_starts / 2.0 && voice.missed == 0, "{off:?}, {voice:?}");
}

/// How soon a detector is sure of a voice does not matter: the time of an interruption counts from the first sound.
#[test]
fn speech_begins_with_its_first_sound() {
    let Some(track) = Track::load(40) else { return };
    let samples: Vec<i16> = track.samples.iter().map(|sample| *sample as i16).collect();
    let call = call(&samples, NoiseSuppression::Off);
    let late = |begin: usize| {
        let nearest = call.starts.iter().min_by_key(|start| start.abs_diff(begin))?;
        Some((*nearest as i64 - begin as i64) * 1_000 / RATE as i64)
    };
    let mut late: Vec<i64> = track.sentences.iter().filter_map(|(begin, _)| late(*begin)).collect();
    late.sort_unstable();
    let (half, most) = (late[late.len() / 2], late[late.len() * 9 / 10]);
    println!("speech is noticed to begin {half} ms (p50), {most} ms (p90) late: {late:?}");
    assert!(half <= 20 && most <= 50, "{late:?}");
}

#[test]
fn the_study_of_all_levels() {
    if std::env::var_os("VCA_NOISE_STUDY").is_none() {
        return;
    }
    let track = Track::load(40).expect("the sandbox");
    for noise in [Noise::White, Noise::Street, Noise::Babble] {
        for snr in [20.0, 10.0, 5.0] {
            study(&track, noise, snr);
        }
    }
}

/// The mean power of a part of a track, in dBov.
fn dbov(samples: &[i16], part: Range<Duration>) -> f32 {
    let at = |time: Duration| (time.as_secs_f32() * RATE as f32) as usize;
    let part = &samples[at(part.start).min(samples.len())..at(part.end).min(samples.len())];
    decibels(power(part.iter().map(|sample| f32::from(*sample))).max(1e-3) / 32_768f32.powi(2))
}

/// The model takes 1.8 s for its first clause.
#[test]
fn a_caller_hears_comfort_noise_while_the_agent_thinks_and_at_no_other_time() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    env.set("VCA__LLM__SCRIPTED__WORD_MS", "600");
    env.set("VCA__TURN__FILLER_MS", "0");
    let mut agent = local_agent();
    agent["comfort_noise"] = true.into();
    let tenant = env.seed.tenant("main", "+49305550100", None, agent);
    env.open();
    let ms = Duration::from_millis;
    let listen = || Step::Listen { silent: ms(700), at_most: ms(15_000) };
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    let script = vec![listen(), question, listen(), Step::HangUp];
    let report = phone::call(&env.asterisk, Plan::new("+49305550100", Codec::Ulaw, script));
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    let response = report.conversation.responses()[0];
    let (asked, answered) = (response.asked, response.answered.expect("a response"));
    let heard = &report.conversation.received.samples;
    let level = |part: Range<Duration>| dbov(heard, part);
    let thinking = level(answered - ms(400)..answered - ms(100));
    println!("{thinking:.1} dBov while the agent thinks, {:?} after the question", answered - asked.1);
    assert!((thinking + 60.0).abs() < 2.0, "{thinking} dBov\n{}", env.log());
    let caller_speaks = level(asked.0 + ms(300)..asked.1);
    assert!(caller_speaks < -80.0, "{caller_speaks} dBov while the caller speaks");
    let (_, turns) = env.last_call(tenant);
    let words: Vec<_> = turns.iter().map(|turn| turn.caller_text.as_str()).collect();
    assert!(words.contains(&"what are your opening hours"), "{words:?}");
}
