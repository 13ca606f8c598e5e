//! Detects a call without media: no packet of the caller's audio within a few seconds after the answer.
//!
//! A device with silence suppression has sent packets before it pauses, so a pause does not count as missing
//! media.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::Report;

/// Addresses of a call's RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaAddresses {
    /// The address that Asterisk was asked to send to.
    pub ours: SocketAddr,
    /// The address that Asterisk announced for its own end.
    pub asterisk: SocketAddr,
}

#[derive(Debug)]
pub struct MediaWatch {
    addresses: MediaAddresses,
    /// The sender of packets that were dropped.
    unexpected: Option<SocketAddr>,
    state: WatchState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchState {
    /// Until this moment the first packet may arrive.
    Waiting(Instant),
    /// Packets have arrived, or the watch is switched off.
    Quiet,
    /// The time is over and nothing has arrived.
    Missing(MissingMedia),
}

/// The likely cause of missing media, and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingMedia {
    /// Packets arrived from this address and were dropped.
    OtherAddress {
        from: SocketAddr,
        asterisk: SocketAddr,
    },
    /// Packets arrived from Asterisk, but none of the call's format.
    OtherFormat,
    /// Asterisk is on another machine and was asked to send to a loopback address.
    Loopback {
        ours: SocketAddr,
        asterisk: SocketAddr,
    },
    NothingArrives {
        ours: SocketAddr,
    },
}

impl MediaWatch {
    /// A watch from the answer on. A `limit` of zero switches it off.
    pub fn new(answered: Instant, limit: Duration, addresses: MediaAddresses) -> MediaWatch {
        let state = if limit.is_zero() { WatchState::Quiet } else { WatchState::Waiting(answered + limit) };
        MediaWatch { addresses, unexpected: None, state }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            WatchState::Waiting(until) => Some(until),
            WatchState::Quiet | WatchState::Missing(_) => None,
        }
    }

    /// Packets from another address than Asterisk's were dropped.
    pub fn dropped(&mut self, from: SocketAddr) {
        self.unexpected = Some(from);
    }

    /// Looks at the counts. Returns a cause once, at the deadline, if nothing has arrived.
    pub fn check(&mut self, now: Instant, report: &Report) -> Option<MissingMedia> {
        let WatchState::Waiting(until) = self.state else { return None };
        if report.received > 0 {
            self.state = WatchState::Quiet;
        } else if until <= now {
            let cause = self.cause(report);
            self.state = WatchState::Missing(cause);
            return Some(cause);
        }
        None
    }

    /// The cause for which no packet has arrived at all, although there was time for it.
    pub fn missing(&self, report: &Report) -> Option<MissingMedia> {
        match self.state {
            WatchState::Missing(cause) if report.received == 0 => Some(cause),
            _ => None,
        }
    }

    fn cause(&self, report: &Report) -> MissingMedia {
        let MediaAddresses { ours, asterisk } = self.addresses;
        match self.unexpected {
            Some(from) => MissingMedia::OtherAddress { from, asterisk },
            None if report.malformed > 0 => MissingMedia::OtherFormat,
            None if ours.ip().is_loopback() && !asterisk.ip().is_loopback() => {
                MissingMedia::Loopback { ours, asterisk }
            }
            None => MissingMedia::NothingArrives { ours },
        }
    }
}

impl MissingMedia {
    /// The value of the metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            MissingMedia::OtherAddress { .. } => "other_address",
            MissingMedia::OtherFormat => "other_format",
            MissingMedia::Loopback { .. } => "loopback",
            MissingMedia::NothingArrives { .. } => "nothing_arrives",
        }
    }
}

impl fmt::Display for MissingMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingMedia::OtherAddress { from, asterisk } => write!(
                f,
                "packets from {from} were dropped, because Asterisk announced {asterisk}: avoid address translation \
                 between Asterisk and this machine"
            ),
            MissingMedia::OtherFormat => f.write_str(
                "packets from Asterisk are not in the call's format: check which codecs Asterisk can translate",
            ),
            MissingMedia::Loopback { ours, asterisk } => write!(
                f,
                "Asterisk at {asterisk} was asked to send to {ours}, which is its own machine: set media.bind_address or \
                 media.public_address to this machine's address"
            ),
            MissingMedia::NothingArrives { ours } => write!(
                f,
                "nothing arrives at {ours}: check media.public_address, and that no firewall is in front of media.ports"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::Format;
    use crate::media::link;

    const LIMIT: Duration = Duration::from_secs(5);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn watch(answered: Instant, ours: &str, asterisk: &str) -> MediaWatch {
        let addresses = MediaAddresses { ours: address(ours), asterisk: address(asterisk) };
        MediaWatch::new(answered, LIMIT, addresses)
    }

    fn report(received: u64) -> Report {
        let (port, _backend) = link(Format::Ulaw);
        Report { received, ..port.report() }
    }

    #[test]
    fn missing_media_is_reported_once_with_its_cause() {
        let start = Instant::now();
        let mut watch = watch(start, "10.0.0.1:20000", "10.0.0.2:10000");
        assert_eq!(watch.deadline(), Some(start + LIMIT));
        assert_eq!(watch.check(start + LIMIT / 2, &report(0)), None);
        assert_eq!(watch.missing(&report(0)), None, "there was no time yet");
        let ours = address("10.0.0.1:20000");
        assert_eq!(watch.check(start + LIMIT, &report(0)), Some(MissingMedia::NothingArrives { ours }));
        assert_eq!(watch.check(start + LIMIT * 2, &report(0)), None);
        assert_eq!(watch.missing(&report(0)), Some(MissingMedia::NothingArrives { ours }));
        assert_eq!(watch.missing(&report(1)), None, "media began late");
    }

    #[test]
    fn a_pause_after_packets_is_not_missing_media() {
        let start = Instant::now();
        let mut watch = watch(start, "10.0.0.1:20000", "10.0.0.2:10000");
        assert_eq!(watch.check(start + LIMIT, &report(1)), None);
        assert_eq!(watch.deadline(), None);
        assert_eq!(watch.missing(&report(1)), None);
    }

    #[test]
    fn the_cause_is_named() {
        let start = Instant::now();
        let cause = |ours: &str, asterisk: &str, from: Option<&str>, malformed: u64| {
            let mut watch = watch(start, ours, asterisk);
            from.into_iter().for_each(|from| watch.dropped(address(from)));
            watch.check(start + LIMIT, &Report { malformed, ..report(0) }).unwrap()
        };
        let remote = "10.0.0.2:10000";
        let loopback = cause("127.0.0.1:20000", remote, None, 0);
        assert_eq!(loopback.as_str(), "loopback");
        assert!(loopback.to_string().contains("media.public_address"), "{loopback}");
        let other = cause("10.0.0.1:20000", remote, Some("172.17.0.2:9000"), 0);
        assert!(other.to_string().contains("172.17.0.2:9000"), "{other}");
        assert_eq!(cause("10.0.0.1:20000", remote, None, 7).as_str(), "other_format");
        assert_eq!(cause("127.0.0.1:20000", "127.0.0.1:10000", None, 0).as_str(), "nothing_arrives");
    }

    #[test]
    fn a_limit_of_zero_switches_the_watch_off() {
        let start = Instant::now();
        let addresses = MediaAddresses { ours: address("10.0.0.1:1"), asterisk: address("10.0.0.2:1") };
        let mut watch = MediaWatch::new(start, Duration::ZERO, addresses);
        assert_eq!((watch.deadline(), watch.check(start + LIMIT, &report(0))), (None, None));
    }
}
