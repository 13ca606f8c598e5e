//! Speech to text.
//!
//! The rest of the program sees sessions ([`Stt`]). An engine that transcribes whole clips is a [`Transcriber`], and
//! [`Buffered`] makes sessions of it. An engine that takes audio as it arrives is [`live`].

mod buffered;
pub mod deepgram;
pub mod flux;
pub mod grammar;
pub(in crate::engines) mod items;
mod language;
pub mod live;
mod noise;
pub mod openai;
pub mod pocketsphinx;
pub mod realtime;
mod resilient;
mod response;
pub mod scribe;
pub mod scripted;
mod session;
mod terms;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

pub use buffered::Buffered;
pub use resilient::Resilient;
pub use session::{SessionConfig, Stt, SttEvent, SttSession, Utterance, recognise};

/// Context that helps an engine to recognise words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// BCP 47 tag of the language that the caller is expected to speak, such as `en` or `de-DE`.
    pub language: Option<Arc<str>>,
    /// The languages that the caller may speak, where `language` is absent because it is to be recognised.
    pub languages: Arc<[Arc<str>]>,
    /// The engine's own name for a model; its default when absent.
    pub model: Option<Arc<str>>,
    /// Names and terms that the caller may say.
    pub key_terms: Arc<[Arc<str>]>,
}

/// An engine that transcribes whole clips.
pub trait Transcriber: Send + Sync {
    /// The name by which a profile asks for it.
    fn name(&self) -> &Arc<str>;

    /// The words of `speech`; an empty string when there are none. The clip may have any rate. The usage is added
    /// to the meter.
    fn transcribe(
        &self,
        speech: Clip,
        hints: Hints,
        meter: Meter,
    ) -> BoxFuture<'_, Result<String, EngineError>>;

    /// Opens a connection to its server in advance, for the first request of a call. Failures are left to that request.
    fn connect(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Tries out a local engine, and reports the result in a few words. The doctor examines a server by a real request instead.
    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok("nothing to prove".to_owned()) }.boxed()
    }
}
