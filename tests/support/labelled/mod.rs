//! Engines on loopback that know the sounds of a test: speech to text by comparison with labelled tracks, a model with fixed
//! replies, and speech that becomes a labelled track itself.
//!
//! The recogniser reports the words that are in the audio, of whichever speaker: the caller's, the agent's in an echo, or a
//! television's. So a test cannot be wrong about the audio that was sent to it.

mod features;
mod flux;
mod live;
pub mod recogniser;
pub mod server;
pub mod track;
mod words;
