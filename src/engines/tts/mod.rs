//! Text to speech.

pub mod cartesia;
pub mod contexts;
pub mod deepgram;
pub mod elevenlabs;
pub mod espeak;
pub mod flite;
pub mod openai;
mod parts;
mod resilient;
mod response;
mod samples;
pub mod sound;
mod text;
pub mod trial;
mod wav;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::language::Pronunciations;

pub use parts::{BegunPieces, BegunSpeech, FinishedSpeech, OpenSpeech, prepared};
pub use resilient::Resilient;

/// How a text is to be spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Voice {
    /// The engine's own name for a voice; its default when absent.
    pub name: Option<Arc<str>>,
    /// BCP 47 tag of the text's language.
    pub language: Option<Arc<str>>,
    /// The engine's own name for a model; its default when absent.
    pub model: Option<Arc<str>>,
    /// The words of the text that are replaced before it is spoken.
    pub pronunciations: Option<Arc<Pronunciations>>,
    /// The rate of the call, which an engine uses where it can, so that its speech is not resampled. None for a speech that is
    /// not one call's.
    pub rate: Option<sound::Rate>,
}

impl Voice {
    /// The voice in a call of `rate` samples a second.
    #[must_use]
    pub fn at_rate(&self, rate: u32) -> Voice {
        Voice { rate: sound::Rate::try_from(rate).ok(), ..self.clone() }
    }

    /// A voice without a dictionary, and the text that it speaks as this one speaks `text`.
    pub fn pronounced(&self, text: &Arc<str>) -> (Voice, Arc<str>) {
        let replaced = self.pronunciations.as_ref().map(|words| words.apply(text).into());
        let voice = Voice { pronunciations: None, ..self.clone() };
        (voice, replaced.unwrap_or_else(|| text.clone()))
    }
}

/// The pieces of a speech as they arrive, all of one rate, none of them empty.
pub type Pieces = BoxStream<'static, Result<Clip, EngineError>>;

/// An engine that speaks.
pub trait Tts: Send + Sync {
    /// The name by which a profile asks for it.
    fn name(&self) -> &Arc<str>;

    /// Different for engines that may speak the same text differently: caches of speech distinguish them by it.
    fn identity(&self) -> &Arc<str> {
        self.name()
    }

    /// Starts a speech. Dropping the stream cancels the rest. The usage is added to the meter.
    fn speak(&self, text: Arc<str>, voice: Voice, meter: Meter)
    -> BoxFuture<'_, Result<Pieces, EngineError>>;

    /// The same for a speech that failed before: by other engines, where there are any.
    fn speak_again(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.speak(text, voice, meter)
    }

    /// Whether a text may arrive in parts at present ([`Tts::open`]).
    fn takes_parts(&self) -> bool {
        false
    }

    /// Opens a speech whose text arrives in parts. One attempt, without fallbacks.
    fn open(&self, _voice: Voice, _meter: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
        async { Err(EngineError::Permanent("the engine takes whole texts only".into())) }.boxed()
    }

    /// As [`Tts::speak`], for a speech of which the first words were sent. If it fails before its first audio, the whole text is
    /// spoken anew.
    fn speak_begun(
        &self,
        _begun: BegunSpeech,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.speak(text, voice, meter)
    }

    /// The longest text of one request, in characters. [`Resilient`] splits longer ones.
    fn max_chars(&self) -> usize {
        usize::MAX
    }

    /// Opens a connection to its server in advance, for the first speech of a call in this voice. Failures are left to that
    /// speech.
    fn connect(&self, _voice: Voice) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Tries out a local engine, and reports the result in a few words. The doctor examines a server by a real request instead.
    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok("nothing to prove".to_owned()) }.boxed()
    }
}
