//! Telephones that return the agent's voice: it is not taken for the caller's, and the caller is heard over it.
//!
//! Recorded prompts and synthetic voices speak on both sides, through mu-law, in virtual time. `VCA_ECHO_MINUTES` sets
//! the length of each call of a silent caller; the figures in ARCHITECTURE are of 5 minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vca::audio::codec::{Decoder, Encoder, Format, MAX_DECODED, MAX_PAYLOAD};
use vca::audio::resample::convert;
use vca::media::{FramePath, Leg, LegConfig, MediaEvent, Port, Report, Scratch, SpeechTag, link};
use vca::rtp::packet::{HEADER, Packet, write_header};

use super::support::{self, clips};

const FRAME: usize = 160;
const FRAME_MS: usize = 20;

/// Random numbers from a seed.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// From -1 to 1.
    fn noise(&mut self) -> f32 {
        self.next() as i32 as f32 / i32::MAX as f32
    }
}

/// Sentences of both sides, at the usual level of -20 dBov.
struct Voices(Vec<Arc<[i16]>>);

impl Voices {
    /// `None` without the sandbox that has the recorded prompts.
    fn load() -> Option<Voices> {
        let sandbox = support::sandbox()?;
        let names = clips::prompts(&sandbox).into_iter().map(|(name, _)| name);
        let recorded =
            names.filter(|name| !name.contains('/')).step_by(6).map(|name| clips::prompt(&sandbox, &name));
        let texts = [
            "We are open from nine to five, and on Saturday until noon. Would you like an appointment?",
            "I would like to know whether you can deliver to my address, and how much that costs.",
        ];
        let voices = ["en-us", "en-gb", "en-us+f3", "en-us+m7"];
        let spoken =
            texts.iter().flat_map(|text| voices.map(|voice| convert(&clips::espeak(text, voice), 8_000)));
        let clips = recorded.chain(spoken).filter(|clip| clip.samples.len() > 12_000);
        Some(Voices(clips.map(|clip| level(&clip.samples, -20.0)).collect()))
    }

    fn pick(&self, random: &mut Random) -> Arc<[i16]> {
        self.0[random.below(self.0.len())].clone()
    }
}

/// Speech at `dbov`: the mean power of the frames within 30 dB of the loudest.
fn level(samples: &[i16], dbov: f32) -> Arc<[i16]> {
    let powers: Vec<f32> = samples.chunks_exact(FRAME).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let active: Vec<f32> = powers.into_iter().filter(|power| *power > loudest / 1_000.0).collect();
    let mean = active.iter().sum::<f32>() / active.len() as f32;
    let gain = 32_768.0 * decibels(dbov) / mean.sqrt();
    samples.iter().map(|sample| (f32::from(*sample) * gain) as i16).collect()
}

fn power(frame: &[i16]) -> f32 {
    frame.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / frame.len() as f32
}

fn decibels(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// The way from the agent's audio back to the caller's.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    /// A loudspeaker that clips, then the band of a telephone.
    Clipped,
    /// A room: half of the power in a reverberation of 0.3 s.
    Room,
}

struct EchoPath {
    kind: Kind,
    delay_ms: usize,
    gain: f32,
    history: VecDeque<f32>,
    tail: Vec<(usize, f32)>,
    band: [Biquad; 2],
}

/// The longest memory of a path, in samples: 600 ms and a reverberation.
const MEMORY: usize = 8_000;

impl EchoPath {
    fn new(kind: Kind, delay_ms: usize, db: f32) -> EchoPath {
        let mut random = Random(77);
        let taps: Vec<(usize, f32)> = (0..60)
            .map(|_| {
                let at = random.below(2_400);
                (at, random.noise() * 10f32.powf(-3.0 * at as f32 / 2_400.0))
            })
            .collect();
        let power: f32 = taps.iter().map(|(_, tap)| tap * tap).sum();
        let tail = taps.into_iter().map(|(at, tap)| (at, tap / power.sqrt())).collect();
        let band = [Biquad::high_pass(300.0), Biquad::low_pass(3_400.0)];
        EchoPath { kind, delay_ms, gain: decibels(db), history: vec![0.0; MEMORY].into(), tail, band }
    }

    /// Takes the next frame that the caller's telephone plays.
    fn play(&mut self, frame: &[i16]) {
        for sample in frame {
            self.history.pop_front();
            self.history.push_back(f32::from(*sample));
        }
    }

    /// The echo of the newest frame's time.
    fn frame(&mut self) -> Vec<f32> {
        (0..FRAME).map(|n| self.sample(MEMORY - FRAME + n - self.delay_ms * 8)).collect()
    }

    fn sample(&mut self, at: usize) -> f32 {
        let direct = self.history[at];
        let sound = match self.kind {
            Kind::Plain => direct,
            Kind::Clipped => {
                let clipped = direct.clamp(-6_000.0, 6_000.0);
                self.band.iter_mut().fold(clipped, |sample, filter| filter.push(sample))
            }
            Kind::Room => {
                let earlier = |back: usize| at.checked_sub(back).map_or(0.0, |at| self.history[at]);
                let tail: f32 = self.tail.iter().map(|(back, tap)| earlier(*back) * tap).sum();
                (direct + tail) / std::f32::consts::SQRT_2
            }
        };
        sound * self.gain
    }
}

/// A second-order filter at 8,000 samples a second (Robert Bristow-Johnson's audio EQ cookbook, Q 0.707).
struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    x: [f32; 2],
    y: [f32; 2],
}

impl Biquad {
    fn high_pass(hz: f32) -> Biquad {
        Biquad::new(hz, |cos| [(1.0 + cos) / 2.0, -(1.0 + cos), (1.0 + cos) / 2.0])
    }

    fn low_pass(hz: f32) -> Biquad {
        Biquad::new(hz, |cos| [(1.0 - cos) / 2.0, 1.0 - cos, (1.0 - cos) / 2.0])
    }

    fn new(hz: f32, numerator: impl Fn(f32) -> [f32; 3]) -> Biquad {
        let (sin, cos) = (std::f32::consts::TAU * hz / 8_000.0).sin_cos();
        let alpha = sin / std::f32::consts::SQRT_2;
        let a0 = 1.0 + alpha;
        let a = [-2.0 * cos / a0, (1.0 - alpha) / a0];
        Biquad { b: numerator(cos).map(|b| b / a0), a, x: [0.0; 2], y: [0.0; 2] }
    }

    fn push(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.b[1] * self.x[0] + self.b[2] * self.x[1]
            - self.a[0] * self.y[0]
            - self.a[1] * self.y[1];
        (self.x, self.y) = ([x, self.x[0]], [y, self.y[0]]);
        y
    }
}

/// A call in virtual time: the agent speaks sentence after sentence, the line returns it, the caller may speak.
struct Call<'a> {
    voices: &'a Voices,
    leg: Leg,
    port: Port,
    scratch: Box<Scratch>,
    path: EchoPath,
    random: Random,
    now: Instant,
    frames: usize,
    /// The caller's speech, and the position that is next.
    caller: Option<(Arc<[i16]>, usize)>,
    encoder: Encoder,
    decoder: Decoder,
    agent: Agent,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Agent {
    Speaking,
    /// For so many frames.
    Pausing(usize),
}

impl<'a> Call<'a> {
    fn new(voices: &'a Voices, path: EchoPath, seed: u32) -> Call<'a> {
        let (port, back) = link(Format::Ulaw);
        Call {
            voices,
            leg: Leg::new(LegConfig::new(Format::Ulaw), back),
            port,
            scratch: Box::default(),
            path,
            random: Random(seed.wrapping_mul(0x9E37_79B9) | 1),
            now: Instant::now(),
            frames: 0,
            caller: None,
            encoder: Encoder::new(Format::Ulaw),
            decoder: Decoder::new(Format::Ulaw),
            agent: Agent::Pausing(0),
        }
    }

    /// 20 ms. Returns true when the caller's speech is reported.
    fn step(&mut self) -> bool {
        self.now += Duration::from_millis(FRAME_MS as u64);
        let packet = self.returned();
        self.leg.receive(&packet, self.now, &mut self.scratch);
        self.feed();
        let sent = self.leg.tick(self.now, 1, &mut self.scratch);
        let mut samples = [0; MAX_DECODED];
        let len = self.decoder.decode(&sent[HEADER..], &mut samples).expect("mu-law");
        self.path.play(&samples[..len]);
        self.frames += 1;
        self.port.fetch_with(|_| ());
        self.events()
    }

    fn events(&mut self) -> bool {
        let mut has_started = false;
        while let Some(event) = self.port.next_event() {
            match event {
                MediaEvent::SpeechStarted { .. } => has_started = true,
                MediaEvent::PlaybackEnded { .. } => self.agent = Agent::Pausing(10 + self.random.below(40)),
                _ => {}
            }
        }
        has_started
    }

    /// The agent says the next sentence.
    fn feed(&mut self) {
        match self.agent {
            Agent::Speaking => {}
            Agent::Pausing(0) => {
                let clip = self.voices.pick(&mut self.random);
                assert!(self.port.play(SpeechTag(self.frames as u32), clip, true));
                self.agent = Agent::Speaking;
            }
            Agent::Pausing(frames) => self.agent = Agent::Pausing(frames - 1),
        }
    }

    /// The caller's packet: echo, caller and the noise of the line at -66 dBov.
    fn returned(&mut self) -> Vec<u8> {
        let mut frame = self.path.frame();
        if let Some((clip, at)) = &mut self.caller {
            for (sample, said) in frame.iter_mut().zip(clip.iter().skip(*at)) {
                *sample += f32::from(*said);
            }
            *at += FRAME;
        }
        let frame: Vec<i16> =
            frame.into_iter().map(|sample| (sample + self.random.noise() * 28.0) as i16).collect();
        let mut payload = [0; MAX_PAYLOAD];
        let len = self.encoder.encode(&frame, &mut payload);
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence: self.frames as u16,
            timestamp: (self.frames * FRAME) as u32,
            ssrc: 1,
            payload: &[],
        };
        let mut header = [0; HEADER];
        write_header(&mut header, &packet);
        [&header[..], &payload[..len]].concat()
    }

    fn seconds(&mut self, seconds: usize) -> usize {
        (0..seconds * 50).filter(|_| self.step()).count()
    }

    /// The caller says a sentence over the agent. Returns the time from its first sound to the report, in milliseconds.
    fn interrupt(&mut self, dbov: f32) -> Option<usize> {
        while self.agent != Agent::Speaking {
            self.step();
        }
        // In the middle of the agent's sentence.
        self.seconds(1);
        let clip = level(&self.voices.pick(&mut self.random), dbov);
        let first = clip.chunks_exact(FRAME).position(|frame| power(frame) > 40_000.0).unwrap_or(0);
        let length = clip.len() / FRAME;
        self.caller = Some((clip, 0));
        let heard = (0..length).find(|_| self.step());
        self.seconds(length / 50);
        self.caller = None;
        heard.map(|n| (n + 1).saturating_sub(first) * FRAME_MS)
    }

    fn report(&self) -> Report {
        self.port.report()
    }
}

fn minutes() -> usize {
    std::env::var("VCA_ECHO_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(1)
}

const LEVELS: [f32; 7] = [-6.0, -10.0, -15.0, -20.0, -26.0, -32.0, -40.0];
const DELAYS: [usize; 5] = [50, 130, 250, 400, 600];
const KINDS: [Kind; 3] = [Kind::Plain, Kind::Clipped, Kind::Room];

/// Every level with every kind of path, and with each delay in turn; with every delay in calls of the full length.
fn paths() -> Vec<(Kind, usize, f32)> {
    let all = KINDS.iter().flat_map(|kind| LEVELS.iter().map(move |level| (*kind, *level)));
    let delays = if minutes() >= 5 { DELAYS.len() } else { 1 };
    let with_delays = all.enumerate().flat_map(|(n, (kind, level))| {
        (0..delays).map(move |m| (kind, DELAYS[(n + m) % DELAYS.len()], level))
    });
    with_delays.collect()
}

#[test]
fn a_silent_caller_with_an_echo_says_nothing() {
    let Some(voices) = Voices::load() else { return };
    let mut failures = Vec::new();
    for (n, (kind, delay, db)) in paths().into_iter().enumerate() {
        let mut call = Call::new(&voices, EchoPath::new(kind, delay, db), n as u32 + 1);
        let starts: Vec<usize> =
            (0..3_000 * minutes()).filter(|_| call.step()).map(|n| n * FRAME_MS).collect();
        let echo = call.report().echo;
        println!("{kind:?}, {delay} ms, {db} dB: starts {starts:?}, {echo:?}");
        if !starts.is_empty() {
            failures.push((kind, delay, db, starts, echo));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn an_echo_that_moves_is_not_the_caller() {
    let Some(voices) = Voices::load() else { return };
    for db in [-12.0, -20.0, -26.0] {
        let mut call = Call::new(&voices, EchoPath::new(Kind::Room, 150, db), 5);
        let mut starts = Vec::new();
        for delay in [150, 210, 190, 420, 100, 600] {
            call.path.delay_ms = delay;
            starts.push((delay, call.seconds(20)));
        }
        assert!(starts.iter().all(|(_, starts)| *starts == 0), "{db} dB: {starts:?}");
    }
}

/// Fifty callers interrupt an agent whose echo is 20 dB below the agent.
#[test]
fn the_caller_is_heard_over_the_agent_and_its_echo() {
    let Some(voices) = Voices::load() else { return };
    let mut failures = Vec::new();
    for (kind, db) in
        [(Kind::Plain, -20.0), (Kind::Room, -20.0), (Kind::Clipped, -20.0), (Kind::Plain, -120.0)]
    {
        let mut times = Vec::new();
        for seed in 0..5 {
            let mut call = Call::new(&voices, EchoPath::new(kind, DELAYS[seed as usize], db), seed + 1);
            call.seconds(8);
            for _ in 0..10 {
                times.push(call.interrupt(-20.0));
                call.seconds(2);
            }
        }
        let missed = times.iter().filter(|time| time.is_none()).count();
        let mut heard: Vec<usize> = times.iter().flatten().copied().collect();
        heard.sort_unstable();
        let (p50, p95) = (heard[heard.len() / 2], heard[heard.len() * 95 / 100]);
        println!("{kind:?}, {db} dB: missed {missed} of 50, p50 {p50} ms, p95 {p95} ms, {:?}", heard.last());
        if missed > 0 || p95 > 250 {
            failures.push((kind, db, times));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn an_echo_is_on_the_report() {
    let Some(voices) = Voices::load() else { return };
    let mut call = Call::new(&voices, EchoPath::new(Kind::Plain, 250, -20.0), 3);
    assert_eq!(call.report().echo, None);
    call.seconds(20);
    let echo = call.report().echo.expect("an echo");
    // The line's 250 ms, and the tick between sending and receiving.
    assert!(echo.delay_ms.abs_diff(260) <= 15 && (echo.attenuation_db - 20.0).abs() < 4.0, "{echo:?}");
}
