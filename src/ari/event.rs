//! Asterisk's events: one text frame of the event WebSocket becomes one [`Event`].
//!
//! An event that is not used here is kept by its name and is not an error; a field that an older or newer Asterisk
//! leaves out is empty. No sockets and no calls. The fields are those of `/ari/api-docs/events.json` of Asterisk
//! 18 to 22.

mod playback;

use std::fmt;

use serde::Deserialize;

use super::ids::{BridgeId, ChannelId};
use crate::dtmf::Digit;
use playback::RawPlayback;

/// One event of the Stasis application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A channel has entered the application. `replaces` is the id of the channel that it replaces in a bridge, as
    /// after an attended transfer.
    StasisStart {
        channel: Box<Channel>,
        args: Vec<String>,
        replaces: Option<ChannelId>,
    },
    /// A channel has left the application. For a channel from the dialplan it is the last event.
    StasisEnd {
        channel: Box<Channel>,
    },
    /// `cause` is a Q.850 code. `tech_cause` is the code of the channel's technology, for PJSIP the SIP status; Asterisk
    /// reports it (since 20.17 and 22.7) only for calls that ended otherwise than by an ordinary hang-up.
    ChannelDestroyed {
        channel: Box<Channel>,
        cause: u16,
        cause_txt: String,
        tech_cause: Option<u16>,
    },
    /// The end of a channel was requested. Asterisk names no `cause` when the far end hung up.
    ChannelHangupRequest {
        channel: Box<Channel>,
        cause: Option<u16>,
        tech_cause: Option<u16>,
        soft: bool,
    },
    ChannelStateChange {
        channel: Box<Channel>,
    },
    /// The far end has pressed a key and released it. `duration_ms` is how long it was held.
    ChannelDtmfReceived {
        channel: Box<Channel>,
        digit: Digit,
        duration_ms: u32,
    },
    /// The channel's far end has put the call on hold.
    ChannelHold {
        channel: Box<Channel>,
    },
    ChannelUnhold {
        channel: Box<Channel>,
    },
    BridgeDestroyed {
        bridge: BridgeId,
    },
    /// A sound that was requested for a channel begins.
    PlaybackStarted {
        channel: ChannelId,
    },
    /// Another connection took the application's name; this one gets no more events.
    ApplicationReplaced,
    /// An event that is not read here.
    Unknown {
        kind: String,
    },
}

/// A channel as events and responses show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Channel {
    /// Its UNIQUEID.
    pub id: ChannelId,
    /// Technology, peer and serial number, such as `PJSIP/trunk-0000002a`.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub state: ChannelState,
    #[serde(default)]
    pub caller: Party,
    #[serde(default)]
    pub connected: Party,
    #[serde(default)]
    pub dialplan: Dialplan,
    /// Empty when unknown.
    #[serde(default)]
    pub language: String,
    /// The far end's name for the call: the SIP `Call-ID`. Empty before Asterisk 20 and for other channels.
    #[serde(default)]
    pub protocol_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ChannelState {
    Down,
    /// An inbound channel that is ringing and not answered yet.
    Ring,
    /// It rings there.
    Ringing,
    Up,
    #[default]
    #[serde(other)]
    Other,
}

/// A name and number as the network gave them: personal data.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Party {
    pub name: String,
    pub number: String,
}

/// The position of a channel in the dialplan.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Dialplan {
    pub context: String,
    pub exten: String,
    /// The arguments of the application that runs, separated by commas. Asterisk 16 and later.
    pub app_data: String,
}

/// The called number of an inbound call, as the dialplan gives it, which is not necessarily a phone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalledNumber {
    pub text: String,
    pub source: NumberSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberSource {
    /// An argument of `Stasis`.
    StasisArgument,
    Extension,
}

impl NumberSource {
    pub fn as_str(self) -> &'static str {
        match self {
            NumberSource::StasisArgument => "argument of Stasis",
            NumberSource::Extension => "extension",
        }
    }
}

/// Why a frame is no event. The text contains nothing of the frame, which may hold phone numbers or pressed keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not the JSON of an event: {reason} at line {line}, column {column}")]
    Json { reason: &'static str, line: usize, column: usize },
    #[error("{kind} lacks {field}")]
    Missing { kind: &'static str, field: &'static str },
    #[error("{kind} has a malformed {field}")]
    Malformed { kind: &'static str, field: &'static str },
}

impl Event {
    /// The kinds that [`Event::decode`] distinguishes: the ones that Asterisk's event filter has to pass.
    pub const KINDS: [&'static str; 11] = [
        "StasisStart",
        "StasisEnd",
        "ChannelDestroyed",
        "ChannelHangupRequest",
        "ChannelStateChange",
        "ChannelDtmfReceived",
        "ChannelHold",
        "ChannelUnhold",
        "BridgeDestroyed",
        "PlaybackStarted",
        "ApplicationReplaced",
    ];

    /// Reads one text frame.
    pub fn decode(text: &str) -> Result<Event, DecodeError> {
        let raw: RawEvent = serde_json::from_str(text)?;
        Ok(match raw.kind.as_str() {
            "StasisStart" => Event::StasisStart {
                channel: named(raw.channel, "StasisStart")?,
                args: raw.args,
                replaces: raw.replace_channel.and_then(|channel| ChannelId::try_from(channel.id).ok()),
            },
            "StasisEnd" => Event::StasisEnd { channel: named(raw.channel, "StasisEnd")? },
            "ChannelDestroyed" => Event::ChannelDestroyed {
                channel: named(raw.channel, "ChannelDestroyed")?,
                cause: raw.cause.unwrap_or_default(),
                cause_txt: raw.cause_txt,
                tech_cause: raw.tech_cause,
            },
            "ChannelHangupRequest" => Event::ChannelHangupRequest {
                channel: named(raw.channel, "ChannelHangupRequest")?,
                cause: raw.cause,
                tech_cause: raw.tech_cause,
                soft: raw.soft,
            },
            "ChannelStateChange" => {
                Event::ChannelStateChange { channel: named(raw.channel, "ChannelStateChange")? }
            }
            "ChannelDtmfReceived" => Event::ChannelDtmfReceived {
                channel: named(raw.channel, "ChannelDtmfReceived")?,
                digit: Digit::parse(&raw.digit)
                    .ok_or(DecodeError::Malformed { kind: "ChannelDtmfReceived", field: "digit" })?,
                duration_ms: raw.duration_ms,
            },
            "ChannelHold" => Event::ChannelHold { channel: named(raw.channel, "ChannelHold")? },
            "ChannelUnhold" => Event::ChannelUnhold { channel: named(raw.channel, "ChannelUnhold")? },
            "BridgeDestroyed" => Event::BridgeDestroyed {
                bridge: raw
                    .bridge
                    .and_then(|bridge| BridgeId::try_from(bridge.id).ok())
                    .ok_or(DecodeError::Missing { kind: "BridgeDestroyed", field: "bridge.id" })?,
            },
            "PlaybackStarted" => match raw.playback.and_then(|playback| playback.channel()) {
                Some(channel) => Event::PlaybackStarted { channel },
                None => Event::Unknown { kind: raw.kind },
            },
            "ApplicationReplaced" => Event::ApplicationReplaced,
            _ => Event::Unknown { kind: raw.kind },
        })
    }

    /// The channel that the event is about.
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Event::StasisStart { channel, .. }
            | Event::StasisEnd { channel }
            | Event::ChannelDestroyed { channel, .. }
            | Event::ChannelHangupRequest { channel, .. }
            | Event::ChannelStateChange { channel }
            | Event::ChannelDtmfReceived { channel, .. }
            | Event::ChannelHold { channel }
            | Event::ChannelUnhold { channel } => Some(channel),
            Event::BridgeDestroyed { .. }
            | Event::PlaybackStarted { .. }
            | Event::ApplicationReplaced
            | Event::Unknown { .. } => None,
        }
    }

    pub fn channel_id(&self) -> Option<&ChannelId> {
        match self {
            Event::PlaybackStarted { channel } => Some(channel),
            other => other.channel().map(|channel| &channel.id),
        }
    }

    /// The event's name, for counters: one of [`Event::KINDS`] or `unknown`.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::StasisStart { .. } => "StasisStart",
            Event::StasisEnd { .. } => "StasisEnd",
            Event::ChannelDestroyed { .. } => "ChannelDestroyed",
            Event::ChannelHangupRequest { .. } => "ChannelHangupRequest",
            Event::ChannelStateChange { .. } => "ChannelStateChange",
            Event::ChannelDtmfReceived { .. } => "ChannelDtmfReceived",
            Event::ChannelHold { .. } => "ChannelHold",
            Event::ChannelUnhold { .. } => "ChannelUnhold",
            Event::BridgeDestroyed { .. } => "BridgeDestroyed",
            Event::PlaybackStarted { .. } => "PlaybackStarted",
            Event::ApplicationReplaced => "ApplicationReplaced",
            Event::Unknown { .. } => "unknown",
        }
    }
}

/// The most characters of a provider's id of a call that are kept.
const LONGEST_CALL_ID: usize = 255;

impl Channel {
    /// A channel of which no more than the id is known.
    #[cfg(test)]
    pub fn with_id(id: &str) -> Channel {
        Channel {
            id: ChannelId::new(id),
            name: String::new(),
            state: ChannelState::default(),
            caller: Party::default(),
            connected: Party::default(),
            dialplan: Dialplan::default(),
            language: String::new(),
            protocol_id: String::new(),
        }
    }

    /// The provider's id of the call: the argument `provider_call_id=…` with which the dialplan called `Stasis`, where the
    /// trunk has a header for it; otherwise the far end's name for the call, which is the SIP `Call-ID`.
    pub fn provider_call_id(&self, args: &[String]) -> Option<String> {
        let is_id =
            |id: &&str| !id.is_empty() && id.len() <= LONGEST_CALL_ID && !id.chars().any(char::is_control);
        let named = args.iter().find_map(|arg| arg.strip_prefix("provider_call_id=")).map(str::trim);
        named.filter(is_id).or(Some(&*self.protocol_id).filter(is_id)).map(str::to_owned)
    }

    /// The called number: the argument `did=…` of `Stasis`, or its first argument without a name; otherwise the extension.
    /// A dialplan gives it as an argument where the extension is another, such as `s`.
    pub fn called_number(&self, args: &[String]) -> CalledNumber {
        let named = args.iter().find_map(|arg| arg.strip_prefix("did="));
        let given = named.or_else(|| args.iter().map(String::as_str).find(|arg| !arg.contains('=')));
        match given.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => CalledNumber { text: text.to_owned(), source: NumberSource::StasisArgument },
            None => CalledNumber { text: self.dialplan.exten.clone(), source: NumberSource::Extension },
        }
    }

    /// The arguments of `Stasis` without the application's name, for a channel that entered before the events flowed.
    pub fn stasis_arguments(&self) -> Vec<String> {
        self.dialplan.app_data.split(',').skip(1).map(str::to_owned).collect()
    }

    /// Does its technology carry RTP? Those of Asterisk's own channels do not.
    pub fn uses_rtp(&self) -> bool {
        ["PJSIP/", "SIP/", "UnicastRTP/", "MulticastRTP/", "Skinny/", "Motif/"]
            .iter()
            .any(|technology| self.name.starts_with(technology))
    }

    /// The endpoint of `pjsip.conf` that a SIP call arrived from: its trunk.
    pub fn sip_endpoint(&self) -> Option<&str> {
        let peer = self.name.strip_prefix("PJSIP/")?;
        Some(peer.rsplit_once('-').map_or(peer, |(endpoint, _)| endpoint))
    }

    /// Is it Asterisk's end of an external-media socket, not a caller?
    pub fn is_external_media(&self) -> bool {
        self.name.starts_with("UnicastRTP/")
    }
}

/// Shows nothing personal, since events are logged.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id.as_str())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        let reason = match error.classify() {
            Category::Data => "a field is missing or of another type",
            Category::Eof => "cut short",
            Category::Io | Category::Syntax => "bad syntax",
        };
        DecodeError::Json { reason, line: error.line(), column: error.column() }
    }
}

/// The fields of all events that are read, side by side.
#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    channel: Option<Box<Channel>>,
    #[serde(default)]
    replace_channel: Option<RawId>,
    #[serde(default)]
    bridge: Option<RawId>,
    #[serde(default)]
    playback: Option<RawPlayback>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    cause: Option<u16>,
    #[serde(default)]
    cause_txt: String,
    #[serde(default)]
    tech_cause: Option<u16>,
    #[serde(default)]
    soft: bool,
    #[serde(default)]
    digit: String,
    #[serde(default)]
    duration_ms: u32,
}

#[derive(Deserialize)]
struct RawId {
    #[serde(default)]
    id: String,
}

fn named(channel: Option<Box<Channel>>, kind: &'static str) -> Result<Box<Channel>, DecodeError> {
    channel.ok_or(DecodeError::Missing { kind, field: "channel" })
}

#[cfg(test)]
mod tests;
