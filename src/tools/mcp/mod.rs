//! Tools of a tenant's MCP servers (Model Context Protocol over streamable HTTP,
//! <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>).
//!
//! `rmcp` has the protocol; its requests go through `egress` ([`transport`]). Servers list their tools when a call begins
//! ([`listing`]), and an agent gets those that its profile allows ([`offer`]). A call has one session with each server that its
//! agent uses ([`session`]).

mod call;
mod events;
mod listing;
mod offer;
mod session;
#[cfg(test)]
mod tests;
mod transport;

pub(super) use call::McpCall;
pub(super) use listing::{McpListings, list, list_now};
pub use offer::McpToolListing;
pub(super) use offer::{McpOffer, offers};
pub(super) use session::McpSessions;
