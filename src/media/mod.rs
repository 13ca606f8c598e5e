//! The media path of calls: RTP from and to Asterisk, 50 frames a second each way.
//!
//! A [`Line`] is a call's UDP socket, a `Leg` its frame path, an [`Engine`] the threads that serve the
//! legs, and a [`Port`] what the call's task holds of it. Frames stay on the media thread, which
//! allocates nothing and waits for nothing; what crosses to the call is sparse.
//!
//! It knows nothing of conversations, tenants or Asterisk's control side.

mod ear;
mod engine;
mod hearing;
mod leg;
mod line;
mod playout;
mod port;

pub use engine::{Engine, Full, Lateness, Settings};
pub use hearing::Hearing;
pub use leg::{Leg, LegConfig, Path, Scratch};
pub use line::{Line, Unexpected};
pub use port::{Event, Port, Report, SpeechTag, link};
