//! VCA: a voice agent for Asterisk.
//!
//! The rooms, in the order in which a call passes through them. `ARCHITECTURE.md` says what each may
//! import; `tests/tidy.rs` holds them to it.

pub mod audio;
pub mod rtp;
pub mod tenancy;
pub mod turn;

pub mod ari;
pub mod engine;
pub mod llm;
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
pub mod stt;
pub mod tts;

#[allow(clippy::disallowed_methods, reason = "answers within a time, and remembers an answer for a while")]
pub mod admin;
pub mod call;
#[allow(clippy::disallowed_methods, reason = "the doctor asks servers and waits for them")]
pub mod cli;
#[allow(clippy::disallowed_methods, reason = "reads the environment, as the only room")]
pub mod config;
pub mod daemon;
pub mod logging;
pub mod switchboard;
