//! Speech of a text that arrives in parts.

use futures_util::future::BoxFuture;

use super::{Pieces, Voice};
use crate::engines::core::EngineError;
use crate::engines::core::retry::HeldPlace;
use crate::language::{Language, spoken};

/// A speech that takes its text in parts. Dropping it cancels the speech.
pub trait OpenSpeech: Send {
    /// Adds words, with the white space after them.
    ///
    /// # Errors
    /// The speech is of no use any more.
    fn add<'a>(&'a mut self, words: &'a str) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Adds the rest of the text, and returns the audio of the whole.
    fn finish(self: Box<Self>, rest: &str) -> BegunPieces;

    /// Hands over the place among the requests to the engine that the speech holds, if it holds one.
    fn take_place(&mut self) -> Option<HeldPlace> {
        None
    }
}

/// The audio of a speech that was begun by its first words.
pub type BegunPieces = BoxFuture<'static, Result<Pieces, EngineError>>;

/// A speech with its complete text. Its place among the requests to the engine is that of its audio as well.
pub struct FinishedSpeech {
    pub pieces: BegunPieces,
    pub place: Option<HeldPlace>,
}

/// A speech that holds a place among the requests to its engine.
pub struct PlacedSpeech {
    speech: Box<dyn OpenSpeech>,
    place: Option<HeldPlace>,
}

impl PlacedSpeech {
    pub fn new(speech: Box<dyn OpenSpeech>, place: HeldPlace) -> PlacedSpeech {
        PlacedSpeech { speech, place: Some(place) }
    }
}

impl OpenSpeech for PlacedSpeech {
    fn add<'a>(&'a mut self, words: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.speech.add(words)
    }

    fn finish(self: Box<Self>, rest: &str) -> BegunPieces {
        self.speech.finish(rest)
    }

    fn take_place(&mut self) -> Option<HeldPlace> {
        self.place.take()
    }
}

/// The text as an engine gets it: with the dictionary of the voice applied, and in the spoken form of its language.
pub fn prepared(text: &str, voice: &Voice) -> String {
    let replaced = voice.pronunciations.as_ref().map(|words| words.apply(text));
    spoken(replaced.as_deref().unwrap_or(text), Language::of(voice.language.as_deref()))
}

/// A speech of which the first words were sent.
pub struct BegunSpeech {
    speech: Box<dyn OpenSpeech>,
    voice: Voice,
    /// The words that were sent, as they are spoken, each with a space after it.
    said: String,
}

impl BegunSpeech {
    pub fn new(speech: Box<dyn OpenSpeech>, voice: Voice) -> BegunSpeech {
        BegunSpeech { speech, voice, said: String::new() }
    }

    /// Sends the words of a beginning of the text that were not sent before.
    ///
    /// # Errors
    /// Permanent: words that were sent are spoken in another way. Else as of [`OpenSpeech::add`].
    pub async fn say(&mut self, beginning: &str) -> Result<(), EngineError> {
        let spoken = prepared(beginning, &self.voice);
        if spoken.is_empty() {
            return Ok(());
        }
        let said = format!("{spoken} ");
        let Some(words) = said.strip_prefix(&self.said) else {
            return Err(EngineError::Permanent("the words that were sent are spoken in another way".into()));
        };
        if !words.is_empty() {
            self.speech.add(words).await?;
            self.said = said;
        }
        Ok(())
    }

    /// Sends the rest of the whole text, `prepared`. None where it does not begin with the words that were sent: then the speech
    /// is cancelled.
    pub fn finish(mut self, prepared: &str) -> Option<FinishedSpeech> {
        let rest = prepared.strip_prefix(&self.said).filter(|rest| !rest.trim().is_empty())?;
        if self.said.is_empty() {
            return None;
        }
        let place = self.speech.take_place();
        Some(FinishedSpeech { pieces: self.speech.finish(rest), place })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::language::Pronunciations;

    /// Notes what it is sent.
    struct Noting(Arc<Mutex<Vec<String>>>);

    impl OpenSpeech for Noting {
        fn add<'a>(&'a mut self, words: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
            self.0.lock().expect("no panic").push(words.to_owned());
            async { Ok(()) }.boxed()
        }

        fn finish(self: Box<Self>, rest: &str) -> BegunPieces {
            self.0.lock().expect("no panic").push(format!("{rest}|"));
            async { Ok(stream::empty().boxed()) }.boxed()
        }
    }

    /// What is sent for beginnings of a text and then the whole.
    async fn sent(beginnings: &[&str], whole: &str) -> (Vec<String>, bool) {
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let dictionary = Pronunciations::new([("Acme", "Ackmee")]);
        let voice = Voice { pronunciations: Some(Arc::new(dictionary)), ..Voice::default() };
        let mut speech = BegunSpeech::new(Box::new(Noting(notes.clone())), voice.clone());
        for beginning in beginnings {
            if speech.say(beginning).await.is_err() {
                break;
            }
        }
        let finished = speech.finish(&prepared(whole, &voice)).is_some();
        let sent = notes.lock().expect("no panic").clone();
        (sent, finished)
    }

    #[tokio::test]
    async fn each_word_is_sent_once_and_as_it_is_spoken() {
        let whole = "This is Acme in town, for $5.";
        let (words, finished) = sent(&["This ", "This is ", "This is ", "This is Acme in "], whole).await;
        assert_eq!(words, ["This ", "is ", "Ackmee in ", "town, for 5 dollars.|"]);
        assert!(finished);
    }

    #[tokio::test]
    async fn a_text_that_goes_on_in_another_way_is_not_finished() {
        let cases: [(&[&str], &str); 5] = [
            (&["We are "], "You are open."),
            (&["We are "], "We are"),
            (&["We ", "You "], "You are open."),
            (&[], "We are open."),
            (&["* "], "We are open."),
        ];
        for (beginnings, whole) in cases {
            assert!(!sent(beginnings, whole).await.1, "{whole}");
        }
    }
}
