//! Speech and language engines: clients of vendors' APIs and of local programs.
//!
//! [`core`] is common to all of them. [`registry`] builds them by name from the settings, each with its retries and its
//! fallback. An engine answers one request and keeps nothing of the call.

pub mod core;
pub mod end_of_turn;
pub mod llm;
pub mod realtime;
pub mod registry;
pub mod stt;
pub mod tts;
