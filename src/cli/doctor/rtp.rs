//! Asterisk's RTP ports: do they suffice for the calls that are allowed, and is there room for the test of the media path?
//!
//! Asterisk crashes when it makes an external-media channel and has no port left (asterisk/asterisk#1757).

use super::Finding;
use crate::ari::event::Channel;
use crate::ari::{Client, Request, RtpPorts, Settings};

const CHECK: &str = "asterisk rtp ports";
/// The test of the media path makes two external-media channels.
const PAIRS_OF_THE_TEST: usize = 2;
const REMEDY: &str =
    "widen rtpstart to rtpend in Asterisk's rtp.conf (four ports for a call), or lower calls.max_calls";

/// Whether the test of the media path can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaTest {
    Possible,
    /// It would take Asterisk's last ports.
    NoRoom,
}

/// Nothing where the range is unknown.
pub async fn examine(settings: &Settings, max_calls: usize) -> (MediaTest, Vec<Finding>) {
    let Some(ports) = RtpPorts::of(settings) else { return (MediaTest::Possible, Vec::new()) };
    let Ok(client) = Client::new(settings) else { return (MediaTest::Possible, Vec::new()) };
    let channels: Vec<Channel> = client.ask(Request::channels()).await.unwrap_or_default();
    judge(ports, channels.iter().filter(|channel| channel.uses_rtp()).count(), max_calls)
}

fn judge(ports: RtpPorts, in_use: usize, max_calls: usize) -> (MediaTest, Vec<Finding>) {
    let (pairs, calls) = (ports.pairs(), ports.calls());
    if in_use + PAIRS_OF_THE_TEST > pairs {
        let problem = format!(
            "{in_use} of {pairs} pairs of ports are in use: the media path is not tested, as Asterisk crashes without a \
             free port"
        );
        return (MediaTest::NoRoom, vec![Finding::fail(CHECK, problem, REMEDY)]);
    }
    let finding = if calls < max_calls {
        let problem = format!(
            "{pairs} pairs suffice for {calls} calls; calls.max_calls is {max_calls}: further calls are refused"
        );
        Finding::warn(CHECK, problem, REMEDY)
    } else {
        Finding::ok(CHECK, format!("{pairs} pairs, {in_use} of them in use, suffice for {max_calls} calls"))
    };
    (MediaTest::Possible, vec![finding])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_compared_with_the_calls_that_are_allowed() {
        let judged = |ports, in_use, max_calls| {
            let (test, findings) = judge(RtpPorts::new(ports), in_use, max_calls);
            (test, format!("{findings:?}"))
        };
        let (test, found) = judged((10_000, 10_199), 4, 50);
        assert!(
            test == MediaTest::Possible && found.contains("100 pairs, 4 of them in use, suffice for 50"),
            "{found}"
        );
        let (test, found) = judged((10_000, 10_199), 0, 200);
        assert!(
            test == MediaTest::Possible && found.contains("suffice for 50 calls; calls.max_calls is 200"),
            "{found}"
        );
        let (test, found) = judged((10_000, 10_003), 1, 1);
        assert!(test == MediaTest::NoRoom && found.contains("1 of 2 pairs of ports are in use"), "{found}");
    }
}
