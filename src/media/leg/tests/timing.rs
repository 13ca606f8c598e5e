//! Packets of any length that are delayed, reordered or lost: the caller's audio stays as long as the time.

use proptest::prelude::*;

use super::*;

/// The tick of the media thread, in milliseconds.
const TICK: u32 = 20;
const MINUTE: u32 = 60_000;
/// The audio of all packets.
const BYTE: u8 = 0x55;

/// How packets are delayed on the way.
#[derive(Debug, Clone, Copy)]
enum Delay {
    /// Each by up to so many milliseconds.
    Jitter(u32),
    /// One of a hundred by up to so many milliseconds; those behind it wait for it.
    Stalls(u32),
    /// The same, but the others overtake it.
    Overtaken(u32),
}

/// A minute of a stream.
#[derive(Debug, Clone, Copy)]
struct Line {
    packet_ms: u32,
    delay: Delay,
    /// One of so many packets is lost; 0 for none.
    loses_one_of: u32,
    seed: u32,
}

/// The result, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// Digital silence within the audio, of which there was none.
    silence: u32,
    /// Audio that was not sent: silence and concealment.
    added: u32,
    /// Length of the audio, and of the time until its last packet.
    audio: u32,
    sent: u32,
    /// How long after that time the last of the delayed packets arrived.
    overtime: u32,
}

impl Line {
    /// The packets as (arrival, number), in the order of their arrival.
    fn arrivals(&self) -> Vec<(u32, u32)> {
        let mut state = self.seed | 1;
        let mut random = |below: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if below == 0 { 0 } else { state % below }
        };
        let phase = random(TICK);
        let mut arrivals = Vec::new();
        let mut blocked = 0;
        for number in 0..MINUTE / self.packet_ms {
            let delay = match self.delay {
                Delay::Jitter(most) => random(most + 1),
                Delay::Stalls(most) | Delay::Overtaken(most) => {
                    if random(100) == 0 {
                        random(most + 1)
                    } else {
                        0
                    }
                }
            };
            let lost = self.loses_one_of > 0 && number > 5 && random(self.loses_one_of) == 0;
            let mut at = phase + number * self.packet_ms + delay;
            if !matches!(self.delay, Delay::Overtaken(_)) {
                at = at.max(blocked);
                blocked = at;
            }
            if !lost {
                arrivals.push((at, number));
            }
        }
        arrivals.sort();
        arrivals
    }

    fn run(&self) -> Outcome {
        let format = Format::Ulaw;
        let (mut port, back) = link(format);
        let config = LegConfig { echo_detection: false, ..LegConfig::new(format) };
        let (mut leg, mut scratch) = (Leg::new(config, back), Box::<Scratch>::default());
        let (start, mut silence, mut added, mut samples) = (Instant::now(), 0, 0, 0);
        let payload = vec![BYTE; 8 * self.packet_ms as usize];
        let sample = audio_codec_algorithms::decode_ulaw(BYTE);
        let arrivals = self.arrivals();
        let mut due = arrivals.iter().copied().peekable();
        for time in (0..).step_by(TICK as usize) {
            let now = start + Duration::from_millis(time.into());
            while let Some((_, number)) = due.next_if(|(at, _)| *at <= time) {
                leg.receive(&self.packet(number, &payload), now, &mut scratch);
            }
            leg.tick(now, 1, &mut scratch);
            port.fetch_with(|audio| {
                silence += audio.iter().filter(|it| **it == 0).count() as u32;
                added += audio.iter().filter(|it| **it != sample).count() as u32;
                samples += audio.len() as u32;
            });
            // The last gap is waited for and concealed; silence would begin one tick later.
            let last = arrivals.last().map_or(0, |(at, _)| *at);
            if time >= last + 5 * TICK {
                break;
            }
        }
        let last = arrivals.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
        let sent = last * self.packet_ms;
        let arrived = arrivals.last().map_or(0, |(at, _)| *at);
        let overtime = arrived.saturating_sub(sent);
        Outcome { silence: silence / 8, added: added / 8, audio: samples / 8, sent, overtime }
    }

    fn packet(&self, number: u32, payload: &[u8]) -> Vec<u8> {
        let mut header = [0; HEADER];
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence: number as u16,
            timestamp: 8 * self.packet_ms * number,
            ssrc: 5,
            payload: &[],
        };
        write_header(&mut header, &packet);
        [&header[..], payload].concat()
    }
}

const LENGTHS: [u32; 5] = [10, 20, 30, 40, 60];

fn lengths() -> impl Strategy<Value = u32> {
    proptest::sample::select(&LENGTHS[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn jitter_inserts_no_silence(packet_ms in lengths(), jitter in 0..=20u32, seed: u32) {
        let line = Line { packet_ms, delay: Delay::Jitter(jitter), loses_one_of: 0, seed };
        let outcome = line.run();
        prop_assert_eq!(outcome.silence, 0);
        prop_assert!(outcome.audio.abs_diff(outcome.sent) <= TICK, "{:?}", outcome);
    }

    #[test]
    fn audio_is_as_long_as_the_time_whatever_is_lost_or_late(
        packet_ms in lengths(),
        late in 0..=120u32,
        loses_one_of in prop_oneof![Just(0u32), 5..100u32],
        in_order: bool,
        seed: u32,
    ) {
        let delay = if in_order { Delay::Stalls(late) } else { Delay::Overtaken(late) };
        let outcome = Line { packet_ms, delay, loses_one_of, seed }.run();
        // With every fifth packet lost, gaps are longer than concealment lasts.
        let gaps = 500_u32.checked_div(loses_one_of).unwrap_or(0);
        let most = 6 * TICK + packet_ms + gaps + outcome.overtime;
        prop_assert!(outcome.audio.abs_diff(outcome.sent) <= most, "{:?}", outcome);
    }
}

#[test]
fn half_an_hour_of_long_packets_with_jitter_is_received_as_it_was_sent() {
    for seed in (1..=30u32).map(|n| n.wrapping_mul(0x9E37_79B9)) {
        let outcome = Line { packet_ms: 60, delay: Delay::Jitter(20), loses_one_of: 0, seed }.run();
        assert_eq!(outcome.added, 0, "{seed}: {outcome:?}");
        assert!(outcome.audio.abs_diff(outcome.sent) <= TICK, "{seed}: {outcome:?}");
    }
}

/// Silence is put in until the delay was observed, and taken back later.
#[test]
fn rare_long_delays_insert_little_silence() {
    for packet_ms in LENGTHS {
        let silence =
            |seed| Line { packet_ms, delay: Delay::Stalls(150), loses_one_of: 0, seed }.run().silence;
        let minutes: Vec<u32> = (1..=20u32).map(|seed| silence(seed.wrapping_mul(0x9E37_79B9))).collect();
        let mean = minutes.iter().sum::<u32>() / minutes.len() as u32;
        println!("{packet_ms} ms packets, 1 % late by up to 150 ms: {mean} ms of silence a minute");
        assert!(mean <= 100, "{packet_ms} ms packets: {minutes:?}");
    }
}

#[test]
fn lost_packets_of_every_length_are_concealed_whole() {
    for packet_ms in LENGTHS {
        let outcome = Line { packet_ms, delay: Delay::Jitter(0), loses_one_of: 10, seed: 7 }.run();
        assert!(outcome.audio.abs_diff(outcome.sent) <= TICK, "{packet_ms} ms: {outcome:?}");
    }
}
