//! Why no sound arrived, and the remedy.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::ari::{self, AriError, BadUrl};
use crate::cli::doctor::asterisk;
use crate::media;

/// Addresses are `ours` as Asterisk has it, and `theirs` as reported by Asterisk.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackFault {
    #[error("{0}")]
    Url(BadUrl),
    #[error("no UDP port of {address} can be had: {error}")]
    NoPort { address: IpAddr, error: io::Error },
    #[error("no media thread can be started: {0}")]
    NoThreads(io::Error),
    #[error("Asterisk does not open its event WebSocket")]
    NoEvents,
    #[error("Asterisk makes no external-media channel: {0}")]
    NoChannel(AriError),
    #[error("Asterisk does not place the call: {0}")]
    NoCall(AriError),
    #[error(
        "Asterisk makes external-media channels but does not hand them to the application (no StasisStart)"
    )]
    NoStart,
    #[error("Asterisk does not join two channels: {0}")]
    NoBridge(AriError),
    #[error("{theirs}, where Asterisk expects RTP, cannot be reached from here: {error}")]
    Unreachable { theirs: SocketAddr, error: io::Error },
    #[error("no RTP comes back at all, neither to {ours} from {theirs} nor to its twin")]
    NoRtp { ours: SocketAddr, theirs: SocketAddr },
    #[error(
        "packets come to {ours}, but not from {theirs}, which Asterisk told, to the address that is bound"
    )]
    UnexpectedSender { ours: SocketAddr, theirs: SocketAddr },
    #[error("RTP comes back, but the sound is not in it")]
    NoSound,
    #[error("only one direction is heard: nothing comes to {ours} from {theirs}")]
    OneWay { ours: SocketAddr, theirs: SocketAddr },
    #[error("it was not done within {0:?}")]
    Slow(Duration),
}

impl LoopbackFault {
    pub fn remedy(&self, asterisk: &ari::Settings, media: &media::Settings) -> String {
        let bind = media.bind_address;
        match self {
            LoopbackFault::Url(_) => "correct ari.url (ARI_URL)".into(),
            LoopbackFault::NoPort { .. } => format!(
                "media.bind_address ({bind}) has to be an address of this machine, and media.ports a range with \
                 two free ports"
            ),
            LoopbackFault::NoThreads(_) => {
                "see the limits of this machine: `ulimit -u`, TasksMax of a service".into()
            }
            LoopbackFault::NoEvents => {
                "load res_http_websocket.so and res_ari_events.so, and see Asterisk's log; sessionlimit \
                 in http.conf may be used up"
                    .into()
            }
            LoopbackFault::NoChannel(AriError::Decode(_)) => {
                "chan_rtp.so has to tell UNICASTRTP_LOCAL_ADDRESS and _PORT, as it does since Asterisk 18"
                    .into()
            }
            LoopbackFault::NoChannel(AriError::Status { code: 500.., .. }) => format!(
                "see Asterisk's log: has rtp.conf free ports (rtpstart to rtpend), does chan_rtp.so run, and has \
                 Asterisk's machine a route to {}?",
                media.public_address.unwrap_or(bind)
            ),
            LoopbackFault::NoChannel(error)
            | LoopbackFault::NoCall(error)
            | LoopbackFault::NoBridge(error) => asterisk::remedy(error, asterisk),
            LoopbackFault::NoStart => "load res_stasis.so and app_stasis.so, and see Asterisk's log".into(),
            LoopbackFault::Unreachable { .. } => format!(
                "media.bind_address ({bind}) has to be an address that reaches Asterisk: not 127.0.0.1 when Asterisk \
                 is on another machine"
            ),
            LoopbackFault::NoRtp { .. } => addresses(media),
            LoopbackFault::UnexpectedSender { .. } => {
                format!("no NAT may stand between vca and Asterisk; {}", addresses(media))
            }
            LoopbackFault::NoSound => {
                "see Asterisk's log: bridge_simple.so and res_rtp_asterisk.so have to run".into()
            }
            LoopbackFault::OneWay { ours, theirs } => format!(
                "a firewall drops UDP between these two ports ({} of vca, {} of Asterisk): open all of media.ports and \
                 all of rtpstart to rtpend of rtp.conf, both ways",
                ours.port(),
                theirs.port()
            ),
            LoopbackFault::Slow(_) => {
                "Asterisk, or this machine, is overloaded: see `asterisk -rx 'core show taskprocessors'`"
                    .into()
            }
        }
    }
}

/// How Asterisk's packets find us.
fn addresses(media: &media::Settings) -> String {
    let bind = media.bind_address;
    let told = match media.public_address {
        Some(public) => format!(
            "Asterisk sends to media.public_address ({public}), which has to lead to media.bind_address ({bind})"
        ),
        None => format!(
            "Asterisk sends to media.bind_address ({bind}), or to media.public_address where that is set"
        ),
    };
    format!(
        "{told}; the firewall has to let UDP through both ways, between media.ports and rtpstart to rtpend of rtp.conf"
    )
}
