//! VCA: a voice agent for Asterisk.
//!
//! The rooms, in the order in which a call passes through them. `ARCHITECTURE.md` lists the imports that each may
//! have; `tests/tidy.rs` enforces them.

pub mod audio;
pub mod billing;
pub mod conversation;
pub mod current;
pub mod dtmf;
pub mod language;
pub mod names;
pub mod rtp;
pub mod sealing;
pub mod tenancy;
pub mod transport;
pub mod violation;

#[allow(clippy::disallowed_methods, reason = "analyses calls in tasks, with timeouts")]
pub mod analysis;
pub mod analytics;
pub mod ari;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sends requests, opens connections and resolves names, with timeouts"
)]
pub mod egress;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "requests to servers and programs, with timeouts and retries"
)]
pub mod engines;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "media threads own the sockets of calls and use the clock"
)]
pub mod media;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "uses Redis on tasks of its own and expires states by the clock"
)]
pub mod state;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "uses the database, with timeouts and a writer task"
)]
pub mod store;
#[allow(clippy::disallowed_methods, reason = "runs tools in tasks, with timeouts")]
pub mod tools;
#[allow(clippy::disallowed_methods, reason = "calls receivers on a schedule, each in a task")]
pub mod webhooks;

#[allow(
    clippy::disallowed_methods,
    reason = "sends requests to providers, with timeouts, and timestamps events"
)]
pub mod telephony;

#[allow(clippy::disallowed_methods, reason = "sends requests to providers in a task, and deletes by age")]
pub mod control;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "serves a port, with timeouts and caches"
)]
pub mod admin;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a call is a task with a clock")]
pub mod call;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "checks servers and addresses, with timeouts"
)]
pub mod cli;
#[allow(clippy::disallowed_methods, reason = "the only room that reads the environment")]
pub mod config;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "builds, starts and stops everything")]
pub mod daemon;
#[allow(clippy::disallowed_methods, reason = "notes the time of problems")]
pub mod logging;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts a task per call")]
pub mod switchboard;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a telephone has a socket, a clock and a thread"
)]
pub mod sim;
