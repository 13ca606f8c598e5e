//! Asterisk, through its REST interface (ARI).
//!
//! - [`event`]: Asterisk's events; [`request`] and [`answer`]: requests and their results; `ids`: the ids in them.
//! - [`topology`]: one call's legs and bridges, from set-up to teardown, as a state machine.
//! - [`Client`] sends requests; [`listen`] holds the event WebSocket.
//!
//! No tenants, no conversations, no samples. Only `client` and `socket` use the clock and the network.

pub mod answer;
#[allow(clippy::disallowed_methods, reason = "requests take time, which is measured and limited")]
mod client;
mod dtmf;
pub mod event;
#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a server for tests")]
mod fake;
mod ids;
#[allow(clippy::disallowed_methods, reason = "the time of the latest failed request")]
mod probe;
pub mod request;
mod rtp_ports;
mod settings;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "keepalive and reconnecting run on the clock"
)]
mod socket;
mod tls;
pub mod topology;

pub use answer::{AriError, Inventory};
pub use client::{BadUrl, Client};
pub use dtmf::DtmfTiming;
pub use event::Event;
pub use ids::{AsteriskId, BridgeId, ChannelId};
pub use probe::Trouble;
pub use request::{Reason, Request};
pub use rtp_ports::RtpPorts;
pub use settings::Settings;
pub use socket::{Signal, SignalKind, Sink, listen};
pub use topology::Topology;
