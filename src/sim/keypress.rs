//! A pressed key as telephone-event packets (RFC 4733, section 2.5) or as tones.

use crate::audio::Clip;

/// The payload type that the caller's SDP announces for telephone events.
pub(super) const PAYLOAD_TYPE: u8 = 101;

/// Packets while the key is held: 100 ms.
const HELD: u16 = 5;

/// Packets in all: the last one is sent three times (section 2.5.1.4).
const PACKETS: u16 = HELD + 2;

/// In -dBm0, a usual level.
const VOLUME: u8 = 10;

const END: u8 = 0x80;

/// The rows and columns of the keypad, and their frequencies in Hz (ITU-T Q.23).
const KEYPAD: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The audio of a key that is pressed for 100 ms, at 8 kHz and some -10 dBm0 per tone; `None` for a character without a key.
pub fn key_tones(key: char) -> Option<Clip> {
    let (row, column) = (0..).zip(KEYPAD).find_map(|(row, keys): (usize, _)| Some((row, keys.find(key)?)))?;
    let sample = |n: u32| {
        let angle = std::f64::consts::TAU * f64::from(n) / 8_000.0;
        ((angle * ROWS[row]).sin() + (angle * COLUMNS[column]).sin()) * 7_000.0
    };
    Some(Clip::new(8_000, (0..800).map(|n| sample(n) as i16).collect::<Vec<_>>()))
}

#[derive(Debug)]
pub(super) struct Keypress {
    event: u8,
    /// The timestamp of every packet: that of the beginning.
    started: Option<u32>,
    sent: u16,
}

impl Keypress {
    /// `None` for a character without an event (section 3.2).
    pub fn of(key: char) -> Option<Keypress> {
        let event = "0123456789*#ABCD".find(key)?;
        Some(Keypress { event: u8::try_from(event).ok()?, started: None, sent: 0 })
    }

    /// The key that ends with this packet of an event.
    pub fn ended(payload: &[u8]) -> Option<char> {
        let [event, flags, ..] = payload else { return None };
        (flags & END != 0).then(|| "0123456789*#ABCD".chars().nth(usize::from(*event))).flatten()
    }

    /// The timestamp and payload of the next packet; `tick` is the length of 20 ms in units of the timestamp.
    pub fn next(&mut self, timestamp: u32, tick: u32) -> (u32, [u8; 4]) {
        let started = *self.started.get_or_insert(timestamp);
        self.sent += 1;
        let held = self.sent.min(HELD);
        let end = if self.sent >= HELD { END } else { 0 };
        let duration = held * u16::try_from(tick).unwrap_or(u16::MAX / HELD);
        let [high, low] = duration.to_be_bytes();
        (started, [self.event, end | VOLUME, high, low])
    }

    pub fn is_over(&self) -> bool {
        self.sent == PACKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_event_with_a_repeated_end() {
        let mut key = Keypress::of('#').expect("a key");
        let mut packets = Vec::new();
        while !key.is_over() {
            packets.push(key.next(1_000 + 160 * u32::from(key.sent), 160));
        }
        assert_eq!(packets.len(), 7);
        assert!(packets.iter().all(|(timestamp, payload)| *timestamp == 1_000 && payload[0] == 11));
        assert_eq!(packets[0].1, [11, VOLUME, 0, 160]);
        let [.., third_last, second_last, last] = packets.as_slice() else { panic!("seven packets") };
        assert_eq!([third_last.1, second_last.1, last.1], [[11, END | VOLUME, 3, 32]; 3]);
        assert!(Keypress::of('E').is_none());
    }
}
