//! Limits on the replies of servers that tenants name: one that does not end must not fill the daemon's memory.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Delta, Deltas, Llm, Prompt};
use crate::engines::tts::{Pieces, Tts, Voice};

/// The most bytes of one reply of a language model: many times those of the longest response.
const MOST_TEXT: usize = 64 * 1024;
/// The longest speech: this, and as much again for each character of its text.
const SPEECH_BASE: Duration = Duration::from_secs(10);
const SPEECH_PER_CHARACTER: Duration = Duration::from_millis(500);

/// A language model whose replies are bounded.
pub(super) struct BoundedLlm(pub Arc<dyn Llm>);

impl Llm for BoundedLlm {
    fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        let reply = self.0.reply(prompt, meter);
        async move { Ok(bounded(reply.await?, MOST_TEXT, length)) }.boxed()
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.0.connect()
    }

    fn remarks(&self) -> Vec<(String, String)> {
        self.0.remarks()
    }
}

fn length(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) => text.len(),
        Delta::ToolCall(call) => call.arguments.len(),
        Delta::Writing | Delta::Declined | Delta::End => 0,
    }
}

/// An engine whose speeches are bounded, with an identity of its account.
pub(super) struct BoundedTts {
    engine: Arc<dyn Tts>,
    identity: Arc<str>,
}

impl BoundedTts {
    pub fn new(engine: Arc<dyn Tts>, identity: Arc<str>) -> BoundedTts {
        BoundedTts { engine, identity }
    }
}

impl Tts for BoundedTts {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn identity(&self) -> &Arc<str> {
        &self.identity
    }

    fn speak(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        let characters = text.chars().count();
        let speech = self.engine.speak(text, voice, meter);
        async move { Ok(bounded_speech(speech.await?, characters)) }.boxed()
    }

    fn max_chars(&self) -> usize {
        self.engine.max_chars()
    }

    fn connect(&self, voice: Voice) -> BoxFuture<'_, ()> {
        self.engine.connect(voice)
    }
}

/// A speech of so many characters.
fn bounded_speech(speech: Pieces, characters: usize) -> Pieces {
    let characters = u32::try_from(characters).unwrap_or(u32::MAX);
    let longest = SPEECH_BASE.saturating_add(SPEECH_PER_CHARACTER.saturating_mul(characters));
    let milliseconds = usize::try_from(longest.as_millis()).unwrap_or(usize::MAX);
    let length =
        |clip: &crate::audio::Clip| usize::try_from(clip.duration().as_millis()).unwrap_or(usize::MAX);
    bounded(speech, milliseconds, length)
}

type Items<T> = futures_util::stream::BoxStream<'static, Result<T, EngineError>>;

/// The items until their lengths exceed `most`; then an error, which is the last item.
fn bounded<T: Send + 'static>(items: Items<T>, most: usize, length: fn(&T) -> usize) -> Items<T> {
    let limited = items.scan(Some(most), move |left, item| {
        let Some(rest) = *left else { return ready(None) };
        *left = match &item {
            Ok(item) => rest.checked_sub(length(item)),
            Err(_) => None,
        };
        let is_too_long = item.is_ok() && left.is_none();
        let error = || Err(EngineError::Permanent("the server's answer is too long".into()));
        ready(Some(if is_too_long { error() } else { item }))
    });
    limited.boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn an_answer_without_an_end_is_cut_with_an_error() {
        let endless = stream::repeat_with(|| Ok(Delta::Text("word".into()))).boxed();
        let pieces: Vec<_> = bounded(endless, 10, length).collect().await;
        assert_eq!(pieces.len(), 3);
        assert!(pieces[0].is_ok() && pieces[1].is_ok() && pieces[2].is_err(), "{pieces:?}");
        let short = stream::iter([Ok(Delta::Text("ten bytes.".into())), Ok(Delta::End)]).boxed();
        assert_eq!(bounded(short, 10, length).collect::<Vec<_>>().await.len(), 2);
    }
}
