//! VCA: a voice agent for Asterisk.
//!
//! The rooms, in the order in which a call passes through them. `ARCHITECTURE.md` says what each may
//! import; `tests/tidy.rs` holds them to it.

pub mod audio;
pub mod billing;
pub mod conversation;
pub mod language;
pub mod names;
pub mod rtp;
pub mod sealing;
pub mod tenancy;
pub mod transport;

pub mod analytics;
pub mod ari;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "requests to servers and programs, with timeouts and retries"
)]
pub mod engines;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "media threads own the sockets of calls and keep their time"
)]
pub mod media;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "talks to Redis on tasks of its own and forgets by the clock"
)]
pub mod state;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "talks to the database, with timeouts and a writer task"
)]
pub mod store;
#[allow(clippy::disallowed_methods, reason = "calls receivers by the clock, each on a task")]
pub mod webhooks;

#[allow(clippy::disallowed_methods, reason = "asks providers and waits, and says when a call was told of")]
pub mod telephony;

#[allow(clippy::disallowed_methods, reason = "asks providers on a task, and deletes by the clock")]
pub mod control;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "serves a port, answers within a time, and remembers an answer for a while"
)]
pub mod admin;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a call is a task with a clock")]
pub mod call;
#[allow(clippy::disallowed_methods, reason = "the doctor asks servers and waits for them")]
pub mod cli;
#[allow(clippy::disallowed_methods, reason = "reads the environment, as the only room")]
pub mod config;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "wires, starts and stops everything")]
pub mod daemon;
pub mod logging;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts calls, each a task")]
pub mod switchboard;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a telephone has a socket, a clock and a thread"
)]
pub mod sim;
