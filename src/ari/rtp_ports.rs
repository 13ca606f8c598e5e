//! The UDP ports that Asterisk uses for RTP. They must not run out: an external-media channel without a free port
//! crashes Asterisk (asterisk/asterisk#1757).

use crate::ari::settings::Settings;
use crate::transport::{HostPlace, place};

/// Asterisk's file of the range.
const FILE: &str = "/etc/asterisk/rtp.conf";
/// Asterisk's own range where the file sets none (`DEFAULT_RTP_START` and `DEFAULT_RTP_END`).
const DEFAULT: (u16, u16) = (5_000, 31_000);

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPorts {
    first: u16,
    last: u16,
}

impl RtpPorts {
    pub fn new((first, last): (u16, u16)) -> RtpPorts {
        RtpPorts { first, last }
    }

    /// The range of the settings, otherwise that of `/etc/asterisk/rtp.conf` if Asterisk is on this machine and the file can
    /// be read. `None` when the range is unknown.
    pub fn of(settings: &Settings) -> Option<RtpPorts> {
        if settings.rtp_ports != (0, 0) {
            return Some(RtpPorts::new(settings.rtp_ports));
        }
        let url = reqwest::Url::parse(&settings.url).ok()?;
        let is_local = url.host_str().is_some_and(|host| place(host) == HostPlace::ThisMachine);
        let text = is_local.then(|| std::fs::read_to_string(FILE).ok()).flatten()?;
        Some(RtpPorts::parse(&text))
    }

    /// Reads the text of `rtp.conf`.
    fn parse(text: &str) -> RtpPorts {
        let mut range = DEFAULT;
        for line in text.lines().map(|line| line.split(';').next().unwrap_or_default()) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let Ok(port) = value.trim_start_matches('>').trim().parse() else { continue };
            match key.trim() {
                "rtpstart" => range.0 = port,
                "rtpend" => range.1 = port,
                _ => {}
            }
        }
        RtpPorts::new(range)
    }

    /// Pairs of ports: one for RTP and the next one for RTCP.
    pub fn pairs(self) -> usize {
        (usize::from(self.last) + 1).saturating_sub(self.first.into()) / 2
    }

    /// Calls that fit if nothing else uses the range: each takes two pairs, for the trunk and for external media.
    pub fn calls(self) -> usize {
        self.pairs() / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_range_is_read_from_the_file_of_asterisk() {
        let text = "; rtpstart=1\n[general]\n rtpstart = 10000 ; first\nrtpend=>10199\nstrictrtp=yes\n";
        let ports = RtpPorts::parse(text);
        assert_eq!((ports, ports.pairs(), ports.calls()), (RtpPorts::new((10_000, 10_199)), 100, 50));
        assert_eq!(RtpPorts::parse(""), RtpPorts::new(DEFAULT));
        assert_eq!(RtpPorts::new((10_000, 10_003)).calls(), 1);
        assert_eq!(RtpPorts::new((10_000, 10_001)).calls(), 0);
    }

    #[test]
    fn settings_come_before_the_file_and_another_machine_has_none() {
        let settings = Settings { rtp_ports: (20_000, 20_099), ..Settings::default() };
        assert_eq!(RtpPorts::of(&settings).map(RtpPorts::calls), Some(25));
        let remote = Settings { url: "https://asterisk.example.com:8089".into(), ..Settings::default() };
        assert_eq!(RtpPorts::of(&remote), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(rtpstart|rtpend|=|>|;|[0-9]{0,7}|\\s|\\PC){0,40}") {
            RtpPorts::parse(&text).calls();
        }
    }
}
