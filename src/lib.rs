//! VCA: a voice agent for Asterisk.
//!
//! The rooms, in the order in which a call passes through them. `ARCHITECTURE.md` says what each may
//! import; `tests/tidy.rs` holds them to it.

pub mod audio;
pub mod rtp;
pub mod tenancy;
pub mod turn;

pub mod ari;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "timeouts, retries and processes")]
pub mod engine;
pub mod engines;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "asks servers and waits")]
pub mod llm;
pub mod media;
pub mod state;
pub mod store;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "asks servers and programs and waits")]
pub mod stt;
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "asks servers and programs and waits")]
pub mod tts;

pub mod admin;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod switchboard;
