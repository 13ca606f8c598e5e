//! A scripted caller: it talks RTP like a telephone, hears like a person, and measures what it hears.
//!
//! The tests and the demo put it at the far end of real calls. It knows nothing of SIP, of Asterisk or of the
//! daemon: an address to send to is all it is told.

pub mod caller;
pub mod codec;
pub mod conversation;
pub mod script;
pub mod track;
pub mod voice;

pub use caller::{Caller, Running};
pub use codec::Codec;
pub use conversation::{Conversation, Interruption, Response};
pub use script::Step;
