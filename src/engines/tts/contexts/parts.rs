//! A context as a speech that takes its text in parts.

use std::future::ready;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{ContextText, OpenContext};
use crate::engines::core::EngineError;
use crate::engines::core::usage::{Charge, Unit, characters};
use crate::engines::tts::sound::BareSpeech;
use crate::engines::tts::{BegunPieces, OpenSpeech};

/// A vendor's messages with words of a text.
pub type WordMessages = Box<dyn Fn(&str, ContextText) -> Vec<Value> + Send>;

/// A speech in an open context. The characters are charged as they are sent.
pub struct ContextSpeech {
    context: OpenContext,
    messages: WordMessages,
    format: BareSpeech,
    charge: Charge,
    characters: u64,
}

impl ContextSpeech {
    pub fn new(
        context: OpenContext,
        messages: WordMessages,
        format: BareSpeech,
        charge: Charge,
    ) -> ContextSpeech {
        ContextSpeech { context, messages, format, charge, characters: 0 }
    }

    fn messages_with(&mut self, words: &str, text: ContextText) -> Vec<Value> {
        self.characters += characters(words);
        self.charge.set(Unit::Characters, self.characters);
        (self.messages)(words, text)
    }
}

impl OpenSpeech for ContextSpeech {
    fn add<'a>(&'a mut self, words: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        let messages = self.messages_with(words, ContextText::Part);
        ready(self.context.send(&messages, ContextText::Part)).boxed()
    }

    fn finish(mut self: Box<Self>, rest: &str) -> BegunPieces {
        let messages = self.messages_with(rest.trim_end(), ContextText::Rest);
        let ContextSpeech { context, format, charge, .. } = *self;
        let sent = context.send(&messages, ContextText::Rest);
        async move {
            let answer = match sent {
                Ok(()) => context.audio().await,
                Err(error) => Err(error),
            };
            let (bytes, _) = charge.settle(answer)?;
            Ok(format.clips(bytes))
        }
        .boxed()
    }
}
