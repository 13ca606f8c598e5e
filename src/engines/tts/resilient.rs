//! An engine with its retries and its fallback.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::parts::PlacedSpeech;
use super::{BegunSpeech, FinishedSpeech, OpenSpeech, Pieces, Tts, Voice, prepared, text};
use crate::audio::Clip;
use crate::audio::resample::Stream;
use crate::engines::core::EngineError;
use crate::engines::core::covered::NamedEngine;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::shares::TenantShares;
use crate::engines::core::usage::Meter;

/// Asks an engine with retries, then its fallback. A part of a speech that breaks off in the middle is not repeated.
///
/// It prepares the text for every engine: the spoken form in the voice's language ([`prepared`]), and several requests, one
/// after the other, for a text that is longer than the engine's limit.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Tts>,
    identity: Arc<str>,
    policy: Policy,
    /// In order, without fallbacks of their own.
    fallbacks: Arc<[Resilient]>,
}

/// When the fallbacks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    FallbacksLater,
    /// The engine itself has failed.
    FallbacksFirst,
    /// The engine is a fallback itself.
    Alone,
}

impl Resilient {
    /// `fallback` is another engine, with the default policy.
    pub fn new(engine: Arc<dyn Tts>, settings: Settings, fallback: Option<Arc<dyn Tts>>) -> Resilient {
        let policy = Policy::new(Kind::Tts, engine.name().clone(), settings);
        let single = Resilient { identity: engine.identity().clone(), engine, policy, fallbacks: [].into() };
        match fallback {
            Some(other) => single.with_fallbacks(&[&Resilient::new(other, Settings::default(), None)]),
            None => single,
        }
    }

    /// The same engine with this identity.
    #[must_use]
    pub fn identified(self, identity: String) -> Resilient {
        Resilient { identity: identity.into(), ..self }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same engine with the same policy, and with these fallbacks in place of its own.
    pub fn with_fallbacks(&self, fallbacks: &[&Resilient]) -> Resilient {
        let single = |engine: &Resilient, is_last: bool| {
            let policy = engine.policy.clone().with_fallback(!is_last);
            Resilient { policy, fallbacks: [].into(), ..engine.clone() }
        };
        let last = fallbacks.len().saturating_sub(1);
        let chain = fallbacks.iter().enumerate().map(|(at, engine)| single(engine, at == last)).collect();
        Resilient { fallbacks: chain, ..single(self, fallbacks.is_empty()) }
    }

    /// The same engines for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: &Arc<TenantShares>) -> Resilient {
        let single = |engine: &Resilient| Resilient {
            policy: engine.policy.clone().with_shares(shares),
            fallbacks: [].into(),
            ..engine.clone()
        };
        Resilient { fallbacks: self.fallbacks.iter().map(single).collect(), ..single(self) }
    }

    /// The engines in the order in which they are asked.
    fn chain(&self, order: Order) -> impl Iterator<Item = &Resilient> {
        let (before, after) = match order {
            Order::FallbacksLater | Order::Alone => (Some(self), None),
            Order::FallbacksFirst => (None, Some(self)),
        };
        before.into_iter().chain(self.fallbacks.iter()).chain(after)
    }

    async fn parts(
        &self,
        text: &str,
        voice: Voice,
        meter: Meter,
        order: Order,
    ) -> Result<Pieces, EngineError> {
        let mut parts = VecDeque::from(text::parts(&prepared(text, &voice), self.engine.max_chars()));
        let Some(first) = parts.pop_front() else { return Ok(stream::empty().boxed()) };
        // The times of words are those of one request.
        let meter = if parts.is_empty() { meter } else { meter.untimed() };
        let mut first = self.part(first, voice.clone(), meter.clone(), order, None).await?;
        let Some(clip) = first.next().await.transpose()? else { return Ok(stream::empty().boxed()) };
        let (rate, this) = (clip.rate, self.clone());
        let rest = stream::iter(parts).then(move |part| {
            let (this, voice, meter) = (this.clone(), voice.clone(), meter.clone());
            async move { Ok(at_rate(rate, this.part(part, voice, meter, order, None).await?)) }
        });
        Ok(stream::once(ready(Ok(clip))).chain(first).chain(rest.try_flatten()).boxed())
    }

    async fn part(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
        order: Order,
        begun: Option<FinishedSpeech>,
    ) -> Result<Pieces, EngineError> {
        if order == Order::Alone {
            return self.alone(text, voice, meter, begun).await;
        }
        let begun = Mutex::new(begun);
        let answer = meter.covered.first_answer(Kind::Tts, self.chain(order), |engine, place| {
            let (text, meter) = (text.clone(), meter.clone());
            let (language, rate, voice) = (voice.language.clone(), voice.rate, voice.clone());
            let is_own = std::ptr::eq(engine, self);
            let begun =
                if is_own { begun.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            async move {
                let policy = engine.policy.clone().with_fallback(!place.is_last);
                let single = Resilient { policy, fallbacks: [].into(), ..engine.clone() };
                if is_own {
                    single.alone(text, voice, meter, begun).await
                } else {
                    // Divides the text anew: the limit of the fallback may be lower.
                    let voice = Voice { language, rate, ..Voice::default() };
                    single.speak_alone(text, voice, meter.untimed()).await
                }
            }
        });
        answer.await
    }

    /// As [`Tts::speak`], by a fallback, without fallbacks of its own.
    fn speak_alone(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async move { self.parts(&text, voice, meter, Order::Alone).await }.boxed()
    }

    /// Asks the engine without its fallbacks. A speech that was begun is a part of the first attempt.
    async fn alone(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
        begun: Option<FinishedSpeech>,
    ) -> Result<Pieces, EngineError> {
        let (mut begun, place) = begun.map_or((None, None), |begun| (Some(begun.pieces), begun.place));
        let whole = || audible(self.engine.speak(text.clone(), voice.clone(), meter.clone()));
        let ask = || {
            let (begun, whole) = (begun.take(), &whole);
            async move {
                let Some(begun) = begun else { return whole().await };
                match audible(begun).await {
                    Err(error) if error.worth_retrying() => whole().await,
                    answer => answer,
                }
            }
        };
        self.policy.stream_from(place, ask).await
    }

    /// Speaks the rest of a text of which the first words were sent, or the whole text where that is not possible.
    async fn rest(
        &self,
        begun: BegunSpeech,
        text: &str,
        voice: Voice,
        meter: Meter,
    ) -> Result<Pieces, EngineError> {
        let spoken = prepared(text, &voice);
        let is_short = spoken.chars().count() <= self.engine.max_chars();
        let begun = if is_short { begun.finish(&spoken) } else { None };
        match begun {
            Some(begun) => self.part(spoken.into(), voice, meter, Order::FallbacksLater, Some(begun)).await,
            None => self.parts(text, voice, meter, Order::FallbacksLater).await,
        }
    }
}

/// A speech with samples.
///
/// # Errors
/// Temporary when it has none: the caller would hear silence.
async fn audible(speech: BoxFuture<'_, Result<Pieces, EngineError>>) -> Result<Pieces, EngineError> {
    let mut pieces = speech.await?;
    match pieces.next().await {
        Some(first) => Ok(stream::once(ready(Ok(first?))).chain(pieces).boxed()),
        None => Err(EngineError::Temporary("the speech has no samples".into())),
    }
}

/// A part of a speech at the rate of the first part: the fallback may have another.
fn at_rate(rate: u32, pieces: Pieces) -> Pieces {
    let mut converter = None;
    let until_end = pieces.map(Some).chain(stream::once(ready(None)));
    until_end.filter_map(move |piece| ready(converted(&mut converter, piece, rate))).boxed()
}

/// The next clip; `piece` is `None` at the end.
fn converted(
    converter: &mut Option<Stream>,
    piece: Option<Result<Clip, EngineError>>,
    rate: u32,
) -> Option<Result<Clip, EngineError>> {
    let mut samples = Vec::new();
    match piece {
        Some(Ok(clip)) => {
            let stream = converter.get_or_insert_with(|| Stream::new(clip.rate, rate));
            stream.push(&clip.samples, &mut samples);
        }
        Some(Err(error)) => return Some(Err(error)),
        None => converter.take()?.finish(&mut samples),
    }
    (!samples.is_empty()).then(|| Ok(Clip::new(rate, samples)))
}

impl NamedEngine for Resilient {
    fn engine_name(&self) -> &Arc<str> {
        self.engine.name()
    }
}

impl Tts for Resilient {
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
        async move { self.parts(&text, voice, meter, Order::FallbacksLater).await }.boxed()
    }

    fn speak_again(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async move { self.parts(&text, voice, meter, Order::FallbacksFirst).await }.boxed()
    }

    fn takes_parts(&self) -> bool {
        self.engine.takes_parts() && !self.policy.is_open()
    }

    fn open(&self, voice: Voice, meter: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
        async move {
            let place = self.policy.enter(Kind::Tts.into()).await?;
            let speech = self.engine.open(voice, meter).await?;
            let placed: Box<dyn OpenSpeech> = Box::new(PlacedSpeech::new(speech, place));
            Ok(placed)
        }
        .boxed()
    }

    fn speak_begun(
        &self,
        begun: BegunSpeech,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async move { self.rest(begun, &text, voice, meter).await }.boxed()
    }

    fn connect(&self, voice: Voice) -> BoxFuture<'_, ()> {
        self.engine.connect(voice)
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.policy.within(self.engine.probe()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engines::core::shares::{EngineShares, Scale};
    use crate::engines::tts::BegunPieces;

    /// Speaks each text as samples of its rate, as many as it has characters; or fails at a text.
    struct Counting {
        name: Arc<str>,
        rate: u32,
        fails_at: &'static str,
        texts: Mutex<Vec<Arc<str>>>,
    }

    impl Tts for Counting {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn speak(&self, text: Arc<str>, _: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
            self.texts.lock().expect("no panic").push(text.clone());
            let error = EngineError::Permanent("refused".into());
            let clip = Clip::new(self.rate, vec![1; text.len()]);
            let answer =
                if *text == *self.fails_at { Err(error) } else { Ok(stream::iter([Ok(clip)]).boxed()) };
            ready(answer).boxed()
        }

        fn max_chars(&self) -> usize {
            10
        }
    }

    fn counting(rate: u32, fails_at: &'static str) -> Arc<Counting> {
        Arc::new(Counting { name: "counting".into(), rate, fails_at, texts: Mutex::default() })
    }

    async fn spoken(
        engine: &Arc<Counting>,
        fallback: Option<Arc<Counting>>,
        text: &str,
    ) -> (Vec<u32>, usize) {
        let fallback = fallback.map(|it| it as Arc<dyn Tts>);
        let engine = Resilient::new(engine.clone(), Settings::default(), fallback);
        let (has_fallback, meter) = (!engine.fallbacks.is_empty(), Meter::default());
        let pieces = engine.speak(text.into(), Voice::default(), meter.clone()).await.expect("a speech");
        let clips: Vec<Clip> = pieces.map(|clip| clip.expect("a clip")).collect().await;
        assert_eq!(meter.covered.take().len(), usize::from(has_fallback));
        (clips.iter().map(|clip| clip.rate).collect(), clips.iter().map(|clip| clip.samples.len()).sum())
    }

    fn texts(engine: &Counting) -> String {
        engine.texts.lock().expect("no panic").join("|")
    }

    #[tokio::test]
    async fn a_long_text_is_spoken_in_parts_and_nothing_is_cut() {
        let engine = counting(8_000, "");
        let (rates, samples) = spoken(&engine, None, "One. Two.\n- Three, and **four**.").await;
        assert_eq!(texts(&engine), "One. Two.|Three, and|four.");
        assert_eq!((rates, samples), (vec![8_000; 3], 9 + 10 + 5));
    }

    #[tokio::test]
    async fn a_part_that_fails_is_spoken_by_the_fallback_at_the_same_rate() {
        let (engine, fallback) = (counting(8_000, "Two more."), counting(16_000, ""));
        let (rates, samples) = spoken(&engine, Some(fallback.clone()), "One is it. Two more. Three.").await;
        assert_eq!(
            (texts(&engine), texts(&fallback)),
            ("One is it.|Two more.|Three.".into(), "Two more.".into())
        );
        assert!(rates.iter().all(|rate| *rate == 8_000), "{rates:?}");
        assert_eq!(samples, 10 + 5 + 6);
    }

    #[tokio::test]
    async fn a_speech_that_failed_is_repeated_by_the_fallback() {
        let (engine, fallback) = (counting(8_000, ""), counting(16_000, ""));
        for (with, expected) in [(Some(fallback.clone() as Arc<dyn Tts>), 16_000), (None, 8_000)] {
            let engine = Resilient::new(engine.clone(), Settings::default(), with);
            let again = engine.speak_again("One.".into(), Voice::default(), Meter::default());
            let mut pieces = again.await.expect("a speech");
            let clip = pieces.next().await.expect("a clip").expect("a clip");
            assert_eq!(clip.rate, expected);
        }
        assert_eq!((texts(&engine), texts(&fallback)), ("One.".into(), "One.".into()));
    }

    #[tokio::test]
    async fn a_text_without_words_is_not_sent() {
        let engine = counting(8_000, "");
        assert_eq!(spoken(&engine, None, " 👍 **\n---").await, (vec![], 0));
        assert_eq!(texts(&engine), "");
    }

    /// Takes its text in parts, and speaks it as one sample.
    struct Parts(Arc<str>);

    impl Tts for Parts {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        fn speak(&self, _: Arc<str>, _: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
            ready(Err(EngineError::Permanent("it takes parts".into()))).boxed()
        }

        fn open(&self, _: Voice, _: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
            async { Ok(Box::new(Parts(self.0.clone())) as Box<dyn OpenSpeech>) }.boxed()
        }
    }

    impl OpenSpeech for Parts {
        fn add<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
            ready(Ok(())).boxed()
        }

        fn finish(self: Box<Self>, _: &str) -> BegunPieces {
            ready(Ok(stream::iter([Ok(Clip::new(8_000, vec![1]))]).boxed())).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_speech_that_is_begun_by_its_first_words_is_one_request() {
        let (all, tenant) = (EngineShares::default(), uuid::Uuid::now_v7());
        let shares = all.of(tenant, &Arc::default(), Scale { calls: 1, percent: 100 });
        let settings = Settings { max_concurrent: 1, ..Settings::default() };
        let engine = Resilient::new(Arc::new(Parts("parts".into())), settings, None).within(&shares);
        let used = || all.uses_of(tenant).first().map(|share| (share.last_minute, share.in_progress));
        let (voice, meter) = (Voice::default(), Meter::default());
        let speech = engine.open(voice.clone(), meter.clone()).await.expect("a speech");
        let mut begun = BegunSpeech::new(speech, voice.clone());
        begun.say("We are ").await.expect("its first words");
        assert_eq!(used(), Some((1, 1)));
        let pieces = engine.speak_begun(begun, "We are open.".into(), voice, meter).await.expect("its audio");
        assert_eq!(used(), Some((1, 1)));
        drop(pieces);
        assert_eq!(used(), Some((1, 0)));
    }
}
