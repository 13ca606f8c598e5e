//! The cache of pre-synthesised prompts.
//!
//! A prompt is synthesised before it is needed, at the daemon's start or at a tenant's first call, so that
//! "technical difficulty" can be played while all engines are down. A prompt of a fallback engine is kept only
//! until the engine itself is available again, so that callers do not hear a second voice forever.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::phrases::lead_in;
use super::sentence_cache::{SentenceCache, SentenceCacheSettings};
use crate::audio::resample::convert;
use crate::audio::{Clip, first_sound};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::tts::{Tts, Voice};

/// Cached texts. A prompt of three seconds takes 50 to 100 kB.
const CAPACITY: usize = 4_096;
/// Those of them with values of one call, which no other call is likely to need.
const ONE_CALL_CAPACITY: usize = 128;
/// The longest cached prompt, in seconds.
const LONGEST: usize = 60;
/// How long a fallback engine's prompt is kept.
const FALLBACK_KEPT: Duration = Duration::from_secs(300);

/// The rates that calls use.
pub const RATES: [u32; 2] = [8_000, 16_000];

/// Synthesised texts, by engine, voice, text and rate.
#[derive(Default)]
pub struct PromptCache {
    entries: Mutex<CacheEntries>,
    /// Wakes the tasks that wait for another task's synthesis.
    over: Notify,
    sentences: SentenceCache,
}

#[derive(Default)]
struct CacheEntries {
    clips: HashMap<(PromptKey, u32), Kept>,
    /// The clips of single calls, oldest first.
    one_call: VecDeque<(PromptKey, u32)>,
    /// Prompts that a task is synthesising.
    under_way: HashSet<PromptKey>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PromptKey {
    engine: Arc<str>,
    voice: Voice,
    text: Arc<str>,
}

/// The calls that use a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptUse {
    AllCalls,
    OneCall,
}

struct Kept {
    clip: Clip,
    /// When the engine itself is asked again, if a fallback synthesised it.
    again: Option<Instant>,
}

impl PromptCache {
    /// A cache with these settings for sentences of responses.
    pub fn new(sentences: SentenceCacheSettings) -> PromptCache {
        PromptCache { sentences: SentenceCache::new(sentences), ..PromptCache::default() }
    }

    /// The sentences of responses.
    pub fn sentences(&self) -> &SentenceCache {
        &self.sentences
    }

    /// The text as a clip of `rate`, if it is cached.
    pub fn find(&self, tts: &dyn Tts, voice: &Voice, text: &Arc<str>, rate: u32) -> Option<Clip> {
        let words = PromptKey::of(tts, voice, text);
        self.entries().clips.get(&(words, rate)).map(|kept| kept.clip.clone())
    }

    /// Synthesises the text for each of `rates` and caches it, charged to no call. Does nothing if it is cached or
    /// being synthesised already.
    ///
    /// # Errors
    /// Those of the engine and its fallback.
    pub async fn prepare(
        &self,
        tts: &dyn Tts,
        voice: &Voice,
        text: &Arc<str>,
        rates: &[u32],
    ) -> Result<(), EngineError> {
        let Some(claim) = self.claim(PromptKey::of(tts, voice, text), rates) else { return Ok(()) };
        self.speak(&claim, tts, (rates, PromptUse::AllCalls), &watch::Sender::new(false)).await
    }

    /// Has the text synthesised and cached at all [`RATES`], or waits for a task that does so. `begun` becomes true with the
    /// first samples of a synthesis of its own.
    ///
    /// # Errors
    /// As of [`PromptCache::prepare`].
    pub async fn obtain(
        &self,
        tts: &dyn Tts,
        voice: &Voice,
        (text, usage): (&Arc<str>, PromptUse),
        begun: &watch::Sender<bool>,
    ) -> Result<(), EngineError> {
        loop {
            let over = self.over.notified();
            if RATES.iter().all(|rate| self.find(tts, voice, text, *rate).is_some()) {
                return Ok(());
            }
            if let Some(claim) = self.claim(PromptKey::of(tts, voice, text), &RATES) {
                return self.speak(&claim, tts, (&RATES, usage), begun).await;
            }
            over.await;
        }
    }

    async fn speak(
        &self,
        claim: &PromptClaim<'_>,
        tts: &dyn Tts,
        (rates, usage): (&[u32], PromptUse),
        begun: &watch::Sender<bool>,
    ) -> Result<(), EngineError> {
        let PromptKey { voice, text, .. } = &claim.words;
        let meter = Meter::default();
        let clip = synthesise_whole(tts, voice, text, &meter, begun).await?;
        let is_fallback = meter.total().iter().any(|(item, _)| item.engine != *tts.name());
        let again = is_fallback.then(|| Instant::now() + FALLBACK_KEPT);
        for rate in rates {
            let fitted = convert(&clip, *rate);
            let start = first_sound(&fitted.samples).unwrap_or(0).saturating_sub(lead_in(*rate));
            let clip = Clip::new(*rate, &fitted.samples[start..]);
            self.entries().keep(claim.words.clone(), Kept { clip, again }, usage);
        }
        Ok(())
    }

    /// The right to synthesise a text; `None` where it is cached or another task does so.
    fn claim(&self, words: PromptKey, rates: &[u32]) -> Option<PromptClaim<'_>> {
        let mut entries = self.entries();
        let now = Instant::now();
        let lasts = |rate: &u32| {
            let kept = entries.clips.get(&(words.clone(), *rate));
            kept.is_some_and(|kept| kept.again.is_none_or(|again| now < again))
        };
        if rates.iter().all(lasts) || !entries.under_way.insert(words.clone()) {
            return None;
        }
        Some(PromptClaim { prompts: self, words })
    }

    fn entries(&self) -> MutexGuard<'_, CacheEntries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheEntries {
    fn keep(&mut self, words: PromptKey, kept: Kept, usage: PromptUse) {
        let key = (words, kept.clip.rate);
        if usage == PromptUse::OneCall && !self.clips.contains_key(&key) {
            self.one_call.push_back(key.clone());
            if self.one_call.len() > ONE_CALL_CAPACITY
                && let Some(oldest) = self.one_call.pop_front()
            {
                self.clips.remove(&oldest);
            }
        }
        if self.clips.len() >= CAPACITY
            && !self.clips.contains_key(&key)
            && let Some(any) = self.clips.keys().next().cloned()
        {
            self.clips.remove(&any);
        }
        self.clips.insert(key, kept);
    }
}

impl PromptKey {
    fn of(tts: &dyn Tts, voice: &Voice, text: &Arc<str>) -> PromptKey {
        PromptKey { engine: tts.identity().clone(), voice: voice.clone(), text: text.clone() }
    }
}

/// Released when dropped, however its task ends.
struct PromptClaim<'a> {
    prompts: &'a PromptCache,
    words: PromptKey,
}

impl Drop for PromptClaim<'_> {
    fn drop(&mut self) {
        self.prompts.entries().under_way.remove(&self.words);
        self.prompts.over.notify_waiters();
    }
}

async fn synthesise_whole(
    tts: &dyn Tts,
    voice: &Voice,
    text: &Arc<str>,
    meter: &Meter,
    begun: &watch::Sender<bool>,
) -> Result<Clip, EngineError> {
    let mut pieces = tts.speak(text.clone(), voice.clone(), meter.clone()).await?;
    let mut whole: Option<(u32, Vec<i16>)> = None;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let (rate, samples) = whole.get_or_insert_with(|| (piece.rate, Vec::new()));
        if samples.len() > LONGEST * *rate as usize {
            return Err(EngineError::Permanent(format!("a phrase is longer than {LONGEST} s")));
        }
        samples.extend_from_slice(&piece.samples);
        begun.send_if_modified(|begun| !samples.is_empty() && !std::mem::replace(begun, true));
    }
    let (rate, samples) = whole.ok_or_else(|| EngineError::Temporary("no audio".into()))?;
    Ok(Clip::new(rate, samples))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::engines::core::retry::Kind;
    use crate::engines::tts::Pieces;

    /// An engine that takes a second, with a fallback while it is down.
    struct Speaker {
        name: Arc<str>,
        is_away: AtomicBool,
        asked: AtomicUsize,
    }

    impl Tts for Speaker {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn speak(&self, _: Arc<str>, _: Voice, meter: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
            async move {
                self.asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let away = self.is_away.load(Ordering::Relaxed);
                meter.charge(Kind::Tts, &if away { "stand-in".into() } else { self.name.clone() }, "m");
                let sample = if away { 100 } else { 200 };
                Ok(stream::iter([Ok(Clip::new(8_000, vec![sample; 800]))]).boxed())
            }
            .boxed()
        }
    }

    fn speaker() -> Speaker {
        Speaker { name: "own".into(), is_away: AtomicBool::new(false), asked: AtomicUsize::new(0) }
    }

    async fn prepared(prompts: &PromptCache, speaker: &Speaker) -> (usize, i16) {
        let (voice, text) = (Voice::default(), Arc::from("Hello."));
        prompts.prepare(speaker, &voice, &text, &[8_000]).await.expect("it speaks");
        let clip = prompts.find(speaker, &voice, &text, 8_000).expect("it is kept");
        (speaker.asked.load(Ordering::Relaxed), clip.samples[400])
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallbacks_prompt_is_replaced() {
        let (prompts, speaker) = (PromptCache::default(), speaker());
        speaker.is_away.store(true, Ordering::Relaxed);
        assert_eq!(prepared(&prompts, &speaker).await, (1, 100));
        assert_eq!(
            prepared(&prompts, &speaker).await,
            (1, 100),
            "an engine that is down is not asked each time"
        );
        tokio::time::advance(FALLBACK_KEPT).await;
        assert_eq!(prepared(&prompts, &speaker).await, (2, 100));
        speaker.is_away.store(false, Ordering::Relaxed);
        tokio::time::advance(FALLBACK_KEPT).await;
        assert_eq!(prepared(&prompts, &speaker).await, (3, 200));
        tokio::time::advance(FALLBACK_KEPT * 10).await;
        assert_eq!(prepared(&prompts, &speaker).await, (3, 200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_needs_the_text_waits_for_the_one_that_synthesises_it() {
        let (prompts, speaker) = (PromptCache::default(), speaker());
        let (voice, text) = (Voice::default(), Arc::from("Hello."));
        let begun = watch::Sender::new(false);
        let (first, second) = tokio::join!(
            prompts.prepare(&speaker, &voice, &text, &RATES),
            prompts.obtain(&speaker, &voice, (&text, PromptUse::AllCalls), &begun)
        );
        assert!(first.is_ok() && second.is_ok());
        assert!(prompts.find(&speaker, &voice, &text, 16_000).is_some(), "it was waited for");
        assert_eq!(speaker.asked.load(Ordering::Relaxed), 1);
        let other = Arc::from("Other.");
        prompts.obtain(&speaker, &voice, (&other, PromptUse::AllCalls), &begun).await.expect("it speaks");
        assert!(*begun.borrow(), "the first samples are reported");
    }

    #[tokio::test(start_paused = true)]
    async fn prompts_of_single_calls_leave_room_for_the_others() {
        let (prompts, speaker) = (PromptCache::default(), speaker());
        let (voice, shared) = (Voice::default(), Arc::from("Hello."));
        prompts.prepare(&speaker, &voice, &shared, &RATES).await.expect("it speaks");
        for call in 0..ONE_CALL_CAPACITY {
            let text = Arc::from(format!("Hello, caller {call}."));
            let begun = watch::Sender::new(false);
            prompts.obtain(&speaker, &voice, (&text, PromptUse::OneCall), &begun).await.expect("it speaks");
            assert!(prompts.find(&speaker, &voice, &text, 8_000).is_some());
        }
        assert_eq!(prompts.entries().clips.len(), ONE_CALL_CAPACITY + RATES.len());
        assert!(prompts.find(&speaker, &voice, &shared, 16_000).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_synthesise_once() {
        let (prompts, speaker) = (PromptCache::default(), speaker());
        let (voice, text) = (Voice::default(), Arc::from("Hello."));
        let prepare = || prompts.prepare(&speaker, &voice, &text, &[8_000]);
        let (first, second) = tokio::join!(prepare(), prepare());
        assert!(first.is_ok() && second.is_ok());
        drop(
            tokio::time::timeout(
                Duration::from_millis(1),
                prompts.prepare(&speaker, &voice, &text, &[16_000]),
            )
            .await,
        );
        assert_eq!(speaker.asked.load(Ordering::Relaxed), 2);
        prompts.prepare(&speaker, &voice, &text, &[16_000]).await.expect("who gave up is not waited for");
        assert!(prompts.find(&speaker, &voice, &text, 16_000).is_some());
    }
}
