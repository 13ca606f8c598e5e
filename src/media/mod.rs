//! The media path of calls: RTP from and to Asterisk, 50 frames a second each way.
//!
//! A [`MediaSocket`] is a call's UDP socket, a [`Leg`] its frame path, [`Threads`] the media threads that serve the legs,
//! and a [`Port`] the call task's end. A [`Tap`] is a second consumer of both directions. Frames stay on the media thread, which allocates nothing and never waits; the call
//! task receives few events.
//!
//! It knows nothing of conversations and Asterisk's control side, and of tenants their ids alone.

mod caller_stream;
mod control;
mod exchange;
mod inbound;
mod lateness;
mod leg;
mod pace;
mod path;
mod playout;
mod port;
mod receiver;
mod report;
mod sender;
mod settings;
mod socket;
mod suppression;
mod suppression_places;
mod tap;
#[cfg(test)]
mod test_path;
mod threads;
mod timer_wheel;

pub use crate::audio::AudioBuffer;
pub use caller_stream::AudioDelivery;
pub use leg::{Leg, LegConfig, NoiseSuppression};
pub use path::{FramePath, Scratch};
pub use port::{MediaEvent, Port, SpeechTag, link};
pub use report::Report;
pub use settings::Settings;
pub use socket::{MediaSocket, UnexpectedPackets};
pub use tap::{MAX_SKEW, Speaker, Tap, TapFrame, TapPoint};
pub use threads::{CapacityError, Threads};
