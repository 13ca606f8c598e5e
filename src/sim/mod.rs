//! A scripted caller: sends and receives RTP like a telephone, reacts like a person, and measures the agent's
//! audio.
//!
//! The tests and the demo put it at the far end of real calls. It has no SIP and no Asterisk: it needs an address
//! to send to.

pub mod caller;
pub mod codec;
pub mod conversation;
mod keypress;
pub mod line;
pub mod script;
pub mod track;
pub mod voice;

pub use caller::{RunningCaller, SimulatedCaller};
pub use codec::Codec;
pub use conversation::{MeasuredInterruption, MeasuredResponse, RecordedCall};
pub use keypress::key_tones;
pub use line::{Echo, LineConditions};
pub use script::Step;
