//! The cache of pre-synthesised prompts.
//!
//! A prompt is synthesised before it is needed, at the daemon's start or at a tenant's first call, so that
//! "technical difficulty" can be played while all engines are down. A prompt of a fallback engine is kept only
//! until the engine itself is available again, so that callers do not hear a second voice forever; and only for its tenant, whose
//! share of the engine may be the one that is used up.

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
use crate::tenancy::TenantId;

/// Cached texts. A prompt of three seconds takes 50 to 100 kB.
const CAPACITY: usize = 4_096;
/// The most bytes of all of them.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// The bytes of a prompt beside its audio and its text, at most.
const ENTRY: usize = 512;
/// Those of them with values of one call, which no other call is likely to need.
const ONE_CALL_CAPACITY: usize = 128;
/// The longest cached prompt, in seconds.
const LONGEST: usize = 60;
/// How long a fallback engine's prompt is kept.
const FALLBACK_KEPT: Duration = Duration::from_secs(300);

/// The rates that calls use.
pub const RATES: [u32; 2] = [8_000, 16_000];

/// Synthesised texts, by scope, engine, voice, text and rate.
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
    /// The bytes of all clips.
    bytes: usize,
    /// The clips of single calls, oldest first.
    one_call: VecDeque<(PromptKey, u32)>,
    /// Prompts that a task is synthesising.
    under_way: HashSet<PromptKey>,
}

/// The calls that hear a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PromptScope {
    AllTenants,
    /// A fallback has synthesised it for this tenant.
    Tenant(TenantId),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PromptKey {
    scope: PromptScope,
    engine: Arc<str>,
    /// Without a dictionary: its words are replaced in the text.
    voice: Voice,
    text: Arc<str>,
}

/// The voice of a tenant's agent.
#[derive(Clone, Copy)]
pub struct AgentVoice<'a> {
    pub tenant: TenantId,
    pub tts: &'a dyn Tts,
    pub voice: &'a Voice,
}

/// The calls that use a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptUse {
    AllCalls,
    OneCall,
}

struct Kept {
    clip: Clip,
    /// The tenant whose call or profile it was synthesised for.
    tenant: TenantId,
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
    pub fn find(&self, agent: AgentVoice<'_>, text: &Arc<str>, rate: u32) -> Option<Clip> {
        self.entries().find(&PromptKey::of(agent, text), agent.tenant, rate).map(|kept| kept.clip.clone())
    }

    /// Synthesises the text for each of `rates` and caches it, charged to no call. Does nothing if it is cached or
    /// being synthesised already.
    ///
    /// # Errors
    /// Those of the engine and its fallback.
    pub async fn prepare(
        &self,
        agent: AgentVoice<'_>,
        text: &Arc<str>,
        rates: &[u32],
    ) -> Result<(), EngineError> {
        let Some(claim) = self.claim(agent, text, rates) else { return Ok(()) };
        self.speak(&claim, agent, (rates, PromptUse::AllCalls), &watch::Sender::new(false)).await
    }

    /// Has the text synthesised and cached at all [`RATES`], or waits for a task that does so. `begun` becomes true with the
    /// first samples of a synthesis of its own.
    ///
    /// # Errors
    /// As of [`PromptCache::prepare`].
    pub async fn obtain(
        &self,
        agent: AgentVoice<'_>,
        (text, usage): (&Arc<str>, PromptUse),
        begun: &watch::Sender<bool>,
    ) -> Result<(), EngineError> {
        loop {
            let over = self.over.notified();
            if RATES.iter().all(|rate| self.find(agent, text, *rate).is_some()) {
                return Ok(());
            }
            if let Some(claim) = self.claim(agent, text, &RATES) {
                return self.speak(&claim, agent, (&RATES, usage), begun).await;
            }
            over.await;
        }
    }

    async fn speak(
        &self,
        claim: &PromptClaim<'_>,
        agent: AgentVoice<'_>,
        (rates, usage): (&[u32], PromptUse),
        begun: &watch::Sender<bool>,
    ) -> Result<(), EngineError> {
        let PromptKey { voice, text, .. } = &claim.words;
        let meter = Meter::default();
        let clip = synthesise_whole(agent.tts, voice, text, &meter, begun).await?;
        let is_fallback = meter.total().iter().any(|(item, _)| item.engine != *agent.tts.name());
        let (words, again) = match is_fallback {
            true => (claim.words.within(agent.tenant), Some(Instant::now() + FALLBACK_KEPT)),
            false => (claim.words.clone(), None),
        };
        for rate in rates {
            let fitted = convert(&clip, *rate);
            let start = first_sound(&fitted.samples).unwrap_or(0).saturating_sub(lead_in(*rate));
            let clip = Clip::new(*rate, &fitted.samples[start..]);
            let mut entries = self.entries();
            if !is_fallback {
                entries.remove(&(words.within(agent.tenant), *rate));
            }
            let kept = Kept { clip, tenant: agent.tenant, again };
            entries.keep(words.clone(), kept, usage, MOST_BYTES);
        }
        Ok(())
    }

    /// The right to synthesise a text; `None` where it is cached or another task does so.
    fn claim(&self, agent: AgentVoice<'_>, text: &Arc<str>, rates: &[u32]) -> Option<PromptClaim<'_>> {
        let (words, now) = (PromptKey::of(agent, text), Instant::now());
        let mut entries = self.entries();
        let lasts = |rate: &u32| {
            let kept = entries.find(&words, agent.tenant, *rate);
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
    /// A prompt of the engine itself, or one that its fallback has synthesised for the tenant.
    fn find(&self, words: &PromptKey, tenant: TenantId, rate: u32) -> Option<&Kept> {
        let of_engine = self.clips.get(&(words.clone(), rate));
        of_engine.or_else(|| self.clips.get(&(words.within(tenant), rate)))
    }

    fn keep(&mut self, words: PromptKey, kept: Kept, usage: PromptUse, most_bytes: usize) {
        let key = (words, kept.clip.rate);
        let is_new = self.remove(&key).is_none();
        if usage == PromptUse::OneCall && is_new {
            self.one_call.push_back(key.clone());
            if self.one_call.len() > ONE_CALL_CAPACITY
                && let Some(oldest) = self.one_call.pop_front()
            {
                self.remove(&oldest);
            }
        }
        let size = size(&key, &kept);
        self.make_room(size, most_bytes);
        self.bytes += size;
        self.clips.insert(key, kept);
    }

    /// Removes prompts until another one of `size` bytes fits, each from the tenant with the most bytes then.
    fn make_room(&mut self, size: usize, most_bytes: usize) {
        while (self.clips.len() >= CAPACITY || self.bytes + size > most_bytes)
            && let Some(key) = self.of_largest_tenant()
        {
            self.remove(&key);
        }
    }

    fn of_largest_tenant(&self) -> Option<(PromptKey, u32)> {
        let mut bytes: HashMap<TenantId, usize> = HashMap::new();
        for (key, kept) in &self.clips {
            *bytes.entry(kept.tenant).or_default() += size(key, kept);
        }
        let (largest, _) = bytes.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        self.clips.iter().find(|(_, kept)| kept.tenant == largest).map(|(key, _)| key.clone())
    }

    fn remove(&mut self, key: &(PromptKey, u32)) -> Option<Kept> {
        let removed = self.clips.remove(key)?;
        self.bytes -= size(key, &removed);
        Some(removed)
    }
}

/// The bytes of a prompt in the cache.
fn size((words, _): &(PromptKey, u32), kept: &Kept) -> usize {
    size_of_val(&*kept.clip.samples) + words.text.len() + ENTRY
}

impl PromptKey {
    /// A prompt of the engine itself.
    fn of(agent: AgentVoice<'_>, text: &Arc<str>) -> PromptKey {
        let (voice, text) = agent.voice.pronounced(text);
        PromptKey { scope: PromptScope::AllTenants, engine: agent.tts.identity().clone(), voice, text }
    }

    /// The same of a fallback, for one tenant.
    fn within(&self, tenant: TenantId) -> PromptKey {
        PromptKey { scope: PromptScope::Tenant(tenant), ..self.clone() }
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

    /// An agent of a tenant.
    struct Owner {
        tenant: TenantId,
        voice: Voice,
    }

    fn owner() -> Owner {
        Owner { tenant: TenantId::new(), voice: Voice::default() }
    }

    impl Owner {
        fn with<'a>(&'a self, tts: &'a Speaker) -> AgentVoice<'a> {
            AgentVoice { tenant: self.tenant, tts, voice: &self.voice }
        }
    }

    async fn prepared(prompts: &PromptCache, agent: AgentVoice<'_>, speaker: &Speaker) -> (usize, i16) {
        let text = Arc::from("Hello.");
        prompts.prepare(agent, &text, &[8_000]).await.expect("it speaks");
        let clip = prompts.find(agent, &text, 8_000).expect("it is kept");
        (speaker.asked.load(Ordering::Relaxed), clip.samples[400])
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallbacks_prompt_is_replaced() {
        let (prompts, speaker, owner) = (PromptCache::default(), speaker(), owner());
        let prepared = || prepared(&prompts, owner.with(&speaker), &speaker);
        speaker.is_away.store(true, Ordering::Relaxed);
        assert_eq!(prepared().await, (1, 100));
        assert_eq!(prepared().await, (1, 100), "an engine that is down is not asked each time");
        tokio::time::advance(FALLBACK_KEPT).await;
        assert_eq!(prepared().await, (2, 100));
        speaker.is_away.store(false, Ordering::Relaxed);
        tokio::time::advance(FALLBACK_KEPT).await;
        assert_eq!(prepared().await, (3, 200));
        tokio::time::advance(FALLBACK_KEPT * 10).await;
        assert_eq!(prepared().await, (3, 200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallbacks_prompt_is_its_tenants_own_and_the_engines_is_shared() {
        let (prompts, speaker, one, other) = (PromptCache::default(), speaker(), owner(), owner());
        let text = Arc::from("Hello.");
        speaker.is_away.store(true, Ordering::Relaxed);
        assert_eq!(prepared(&prompts, one.with(&speaker), &speaker).await, (1, 100));
        assert!(prompts.find(other.with(&speaker), &text, 8_000).is_none());
        speaker.is_away.store(false, Ordering::Relaxed);
        assert_eq!(prepared(&prompts, other.with(&speaker), &speaker).await, (2, 200));
        assert_eq!(prepared(&prompts, one.with(&speaker), &speaker).await, (2, 200));
    }

    #[test]
    fn prompts_are_bounded_by_their_bytes() {
        let (mut entries, speaker, owner) = (CacheEntries::default(), speaker(), owner());
        let (samples, most) = ([1; 1_000], 10 * (2 * 1_000 + ENTRY + 8));
        for prompt in 0..100 {
            let words = PromptKey::of(owner.with(&speaker), &format!("{prompt}").into());
            let kept = || Kept { clip: Clip::new(8_000, &samples[..]), tenant: owner.tenant, again: None };
            entries.keep(words.clone(), kept(), PromptUse::AllCalls, most);
            entries.keep(words, kept(), PromptUse::AllCalls, most);
            let sum: usize = entries.clips.iter().map(|(key, kept)| size(key, kept)).sum();
            assert!(entries.bytes == sum && sum <= most, "{sum}");
        }
        assert_eq!(entries.clips.len(), 10);
    }

    #[test]
    fn the_tenant_with_the_most_prompts_makes_room() {
        let (mut entries, speaker, one, other) = (CacheEntries::default(), speaker(), owner(), owner());
        let most = 10 * (2 * 1_000 + ENTRY + 8);
        let mut keep = |owner: &Owner, text: &str| {
            let words = PromptKey::of(owner.with(&speaker), &text.into());
            let kept = Kept { clip: Clip::new(8_000, &[1; 1_000][..]), tenant: owner.tenant, again: None };
            entries.keep(words, kept, PromptUse::AllCalls, most);
        };
        keep(&other, "Hello.");
        keep(&other, "Goodbye.");
        (0..100).for_each(|prompt| keep(&one, &format!("{prompt}")));
        let of_other = entries.clips.values().filter(|kept| kept.tenant == other.tenant);
        assert_eq!((of_other.count(), entries.clips.len()), (2, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_needs_the_text_waits_for_the_one_that_synthesises_it() {
        let (prompts, speaker, owner) = (PromptCache::default(), speaker(), owner());
        let (agent, text) = (owner.with(&speaker), Arc::from("Hello."));
        let begun = watch::Sender::new(false);
        let (first, second) = tokio::join!(
            prompts.prepare(agent, &text, &RATES),
            prompts.obtain(agent, (&text, PromptUse::AllCalls), &begun)
        );
        assert!(first.is_ok() && second.is_ok());
        assert!(prompts.find(agent, &text, 16_000).is_some(), "it was waited for");
        assert_eq!(speaker.asked.load(Ordering::Relaxed), 1);
        let other = Arc::from("Other.");
        prompts.obtain(agent, (&other, PromptUse::AllCalls), &begun).await.expect("it speaks");
        assert!(*begun.borrow(), "the first samples are reported");
    }

    #[tokio::test(start_paused = true)]
    async fn prompts_of_single_calls_leave_room_for_the_others() {
        let (prompts, speaker, owner) = (PromptCache::default(), speaker(), owner());
        let (agent, shared) = (owner.with(&speaker), Arc::from("Hello."));
        prompts.prepare(agent, &shared, &RATES).await.expect("it speaks");
        for call in 0..ONE_CALL_CAPACITY {
            let text = Arc::from(format!("Hello, caller {call}."));
            let begun = watch::Sender::new(false);
            prompts.obtain(agent, (&text, PromptUse::OneCall), &begun).await.expect("it speaks");
            assert!(prompts.find(agent, &text, 8_000).is_some());
        }
        assert_eq!(prompts.entries().clips.len(), ONE_CALL_CAPACITY + RATES.len());
        assert!(prompts.find(agent, &shared, 16_000).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_synthesise_once() {
        let (prompts, speaker, one, other) = (PromptCache::default(), speaker(), owner(), owner());
        let text = Arc::from("Hello.");
        let prepare = |agent| prompts.prepare(agent, &text, &[8_000]);
        let (first, second) = tokio::join!(prepare(one.with(&speaker)), prepare(other.with(&speaker)));
        assert!(first.is_ok() && second.is_ok());
        let agent = one.with(&speaker);
        let given_up = prompts.prepare(agent, &text, &[16_000]);
        drop(tokio::time::timeout(Duration::from_millis(1), given_up).await);
        assert_eq!(speaker.asked.load(Ordering::Relaxed), 2);
        prompts.prepare(agent, &text, &[16_000]).await.expect("a task that was given up is not waited for");
        assert!(prompts.find(agent, &text, 16_000).is_some());
    }
}
