//! The cache of sentences that agents have spoken: the same sentence of the same tenant is not synthesised again.
//!
//! A sentence may have a caller's data in it, so it is kept in memory only, for its own tenant, and for a limited time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use serde::Deserialize;
use tokio::time::Instant;

use crate::engines::tts::{Tts, Voice};
use crate::tenancy::TenantId;

/// `[sentence_cache]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentenceCacheSettings {
    /// The most bytes of all tenants' sentences; 0 turns the cache off. Default 67108864 (64 MiB).
    pub max_bytes: usize,
    /// The most bytes of one tenant's sentences. Default 8388608 (8 MiB).
    pub max_bytes_per_tenant: usize,
    /// How long a sentence is kept after its synthesis, in seconds. Default 3600.
    pub max_age_s: u64,
}

impl Default for SentenceCacheSettings {
    fn default() -> SentenceCacheSettings {
        SentenceCacheSettings {
            max_bytes: 64 * 1024 * 1024,
            max_bytes_per_tenant: 8 * 1024 * 1024,
            max_age_s: 3_600,
        }
    }
}

/// The bytes of a sentence beside its audio and its text, at most.
const ENTRY: usize = 512;

/// A sentence as one tenant's agents speak it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sentence {
    tenant: TenantId,
    /// Its identity: after a reload of the configuration, an engine of the same name may speak differently.
    engine: Arc<str>,
    /// Without a dictionary: its words are replaced in the text.
    voice: Voice,
    text: Arc<str>,
    rate: u32,
}

impl Sentence {
    /// `rate` is the call's.
    pub fn of(tenant: TenantId, tts: &dyn Tts, voice: &Voice, text: &Arc<str>, rate: u32) -> Sentence {
        let (voice, text) = voice.pronounced(text);
        Sentence { tenant, engine: tts.identity().clone(), voice, text, rate }
    }

    /// Its bytes in the cache, with this audio.
    fn size(&self, samples: &[i16]) -> usize {
        size_of_val(samples) + self.text.len() + ENTRY
    }
}

/// Spoken sentences, the one that was used longest ago makes room. Each tenant has a share.
#[derive(Default)]
pub struct SentenceCache {
    settings: SentenceCacheSettings,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    kept: HashMap<Sentence, Kept>,
    /// The bytes of each tenant with sentences.
    bytes: HashMap<TenantId, usize>,
    /// Counts uses.
    clock: u64,
}

struct Kept {
    samples: Arc<[i16]>,
    since: Instant,
    used_at: u64,
}

impl SentenceCache {
    pub fn new(settings: SentenceCacheSettings) -> SentenceCache {
        SentenceCache { settings, entries: Mutex::default() }
    }

    /// The samples of a sentence, if they are kept.
    pub fn find(&self, sentence: &Sentence) -> Option<Arc<[i16]>> {
        if self.settings.max_bytes == 0 {
            return None;
        }
        let found = self.entries().find(sentence, Duration::from_secs(self.settings.max_age_s));
        let outcome = if found.is_some() { "hit" } else { "miss" };
        counter!("vca_sentence_cache_total", "outcome" => outcome).increment(1);
        found
    }

    /// Keeps a whole sentence, unless it is empty or would take more than a quarter of its tenant's share. Sentences that are too
    /// old are removed.
    pub fn keep(&self, sentence: Sentence, samples: &[i16]) {
        let SentenceCacheSettings { max_bytes, max_bytes_per_tenant, max_age_s } = self.settings;
        let share = max_bytes_per_tenant.min(max_bytes);
        let size = sentence.size(samples);
        if samples.is_empty() || size > share / 4 {
            return;
        }
        let mut entries = self.entries();
        let tenant = sentence.tenant;
        entries.remove_aged(Duration::from_secs(max_age_s));
        entries.remove(&sentence);
        while entries.bytes.get(&tenant).is_some_and(|bytes| bytes + size > share) {
            entries.remove_oldest_of(tenant);
        }
        while let Some(largest) = entries.largest().filter(|_| entries.total() + size > max_bytes) {
            entries.remove_oldest_of(largest);
        }
        entries.insert(sentence, samples.into());
        gauge!("vca_sentence_cache_bytes").set(entries.total() as f64);
    }

    /// Drops all sentences: calls use other engines from now on.
    pub fn clear(&self) {
        *self.entries() = Entries::default();
        gauge!("vca_sentence_cache_bytes").set(0.0);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn find(&mut self, sentence: &Sentence, max_age: Duration) -> Option<Arc<[i16]>> {
        self.clock += 1;
        let kept = self.kept.get_mut(sentence)?;
        if kept.since.elapsed() >= max_age {
            self.remove(sentence);
            return None;
        }
        kept.used_at = self.clock;
        Some(kept.samples.clone())
    }

    fn insert(&mut self, sentence: Sentence, samples: Arc<[i16]>) {
        *self.bytes.entry(sentence.tenant).or_default() += sentence.size(&samples);
        self.kept.insert(sentence, Kept { samples, since: Instant::now(), used_at: self.clock });
    }

    fn remove(&mut self, sentence: &Sentence) {
        let Some(removed) = self.kept.remove(sentence) else { return };
        if let Some(bytes) = self.bytes.get_mut(&sentence.tenant) {
            *bytes -= sentence.size(&removed.samples);
            if *bytes == 0 {
                self.bytes.remove(&sentence.tenant);
            }
        }
    }

    fn remove_aged(&mut self, max_age: Duration) {
        let now = Instant::now();
        let aged = self.kept.iter().filter(|(_, kept)| now.duration_since(kept.since) >= max_age);
        let aged: Vec<Sentence> = aged.map(|(sentence, _)| sentence.clone()).collect();
        aged.iter().for_each(|sentence| self.remove(sentence));
    }

    fn remove_oldest_of(&mut self, tenant: TenantId) {
        let own = self.kept.iter().filter(|(sentence, _)| sentence.tenant == tenant);
        if let Some(oldest) = own.min_by_key(|(_, kept)| kept.used_at).map(|(sentence, _)| sentence.clone()) {
            self.remove(&oldest);
        }
    }

    /// The tenant with the most bytes.
    fn largest(&self) -> Option<TenantId> {
        self.bytes.iter().max_by_key(|(_, bytes)| **bytes).map(|(tenant, _)| *tenant)
    }

    fn total(&self) -> usize {
        self.bytes.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::core::retry;
    use crate::engines::tts::Resilient;
    use crate::engines::tts::flite::{self, Flite};
    use crate::language::Pronunciations;

    /// The audio of the tests' sentences, and at least the bytes of one in the cache.
    const AUDIO: &[i16] = &[1; 1_000];
    const SIZE: usize = 2 * AUDIO.len() + ENTRY + 16;

    /// An engine as calls get it: one of their own, of the same identity.
    fn engine(identity: &str) -> Resilient {
        let flite = Flite::new("flite".into(), flite::Settings::default());
        Resilient::new(Arc::new(flite), retry::Settings::default(), None).identified(identity.to_owned())
    }

    /// Sentences of one engine.
    fn speaker() -> impl Fn(TenantId, &str) -> Sentence {
        speaker_of("flite#1")
    }

    fn speaker_of(identity: &'static str) -> impl Fn(TenantId, &str) -> Sentence {
        move |tenant, text| Sentence::of(tenant, &engine(identity), &Voice::default(), &text.into(), 8_000)
    }

    fn cache(max_bytes: usize, max_bytes_per_tenant: usize) -> SentenceCache {
        SentenceCache::new(SentenceCacheSettings { max_bytes, max_bytes_per_tenant, max_age_s: 60 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_sentence_is_its_tenants_own_and_ages() {
        let (cache, mine, theirs) = (cache(1 << 20, 1 << 20), TenantId::new(), TenantId::new());
        let sentence = speaker();
        let kept = sentence(mine, "We are open until six.");
        cache.keep(kept.clone(), AUDIO);
        assert_eq!(
            cache.find(&sentence(mine, "We are open until six.")).map(|it| it.len()),
            Some(AUDIO.len())
        );
        assert!(cache.find(&sentence(theirs, "We are open until six.")).is_none(), "another tenant's");
        let voice = Voice { name: Some("other".into()), ..Voice::default() };
        for other in [Sentence { voice, ..kept.clone() }, Sentence { rate: 16_000, ..kept.clone() }] {
            assert!(cache.find(&other).is_none(), "{other:?}");
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.find(&kept).is_none() && cache.entries().total() == 0);
        cache.keep(kept.clone(), AUDIO);
        cache.clear();
        assert!(cache.find(&kept).is_none());
        cache.keep(kept, AUDIO);
        tokio::time::advance(Duration::from_secs(60)).await;
        let other = sentence(theirs, "Good morning.");
        cache.keep(other.clone(), AUDIO);
        let entries = cache.entries();
        assert!(
            entries.kept.len() == 1 && entries.kept.contains_key(&other),
            "one that is not spoken again goes too"
        );
    }

    #[test]
    fn a_dictionary_matters_only_to_sentences_with_its_words() {
        let (cache, tenant) = (cache(1 << 20, 1 << 20), TenantId::new());
        let voice = |words: &[(&str, &str)]| {
            let pronunciations = Some(Arc::new(Pronunciations::new(words.iter().copied())));
            Voice { pronunciations, ..Voice::default() }
        };
        let sentence =
            |voice: &Voice, text: &str| Sentence::of(tenant, &engine("flite#1"), voice, &text.into(), 8_000);
        let (plain, dictionary) = (Voice::default(), voice(&[("Huber", "Hoober")]));
        cache.keep(sentence(&plain, "Good morning."), AUDIO);
        assert!(cache.find(&sentence(&dictionary, "Good morning.")).is_some());
        cache.keep(sentence(&plain, "This is Huber."), AUDIO);
        assert!(cache.find(&sentence(&dictionary, "This is Huber.")).is_none());
        cache.keep(sentence(&dictionary, "This is Huber."), AUDIO);
        assert!(cache.find(&sentence(&voice(&[("huber", "Hoober")]), "This is Huber.")).is_some());
    }

    #[test]
    fn calls_of_before_a_reload_do_not_speak_for_those_after_it() {
        let (cache, tenant) = (cache(1 << 20, 1 << 20), TenantId::new());
        let (former, present) = (speaker_of("flite#1"), speaker_of("flite#2"));
        cache.clear();
        cache.keep(former(tenant, "Good morning."), AUDIO);
        assert!(cache.find(&former(tenant, "Good morning.")).is_some());
        assert!(cache.find(&present(tenant, "Good morning.")).is_none(), "an engine of the same name");
    }

    #[test]
    fn a_tenant_that_speaks_much_uses_its_own_share_only() {
        let (cache, quiet, loud) = (cache(8 * SIZE, 5 * SIZE), TenantId::new(), TenantId::new());
        let sentence = speaker();
        let one = sentence(quiet, "Good morning.");
        cache.keep(one.clone(), AUDIO);
        let spoken: Vec<Sentence> = (0..20).map(|n| sentence(loud, &n.to_string())).collect();
        for sentence in &spoken {
            cache.keep(sentence.clone(), AUDIO);
            cache.find(&spoken[0]);
        }
        let found = spoken.iter().filter(|it| cache.find(it).is_some()).count();
        assert_eq!(found, 5);
        assert!(cache.find(&spoken[0]).is_some(), "a sentence that is used stays");
        assert!(cache.find(&one).is_some(), "the other tenant's is not touched");
        for tenant in [TenantId::new(), TenantId::new()] {
            (0..3).for_each(|n| cache.keep(sentence(tenant, &n.to_string()), AUDIO));
        }
        let entries = cache.entries();
        assert!(entries.total() <= 8 * SIZE && entries.kept.contains_key(&one));
    }

    #[test]
    fn texts_and_short_sentences_take_room_too() {
        let (cache, tenant, sentence) = (cache(8 * SIZE, 5 * SIZE), TenantId::new(), speaker());
        (0..1_000).for_each(|n| cache.keep(sentence(tenant, &n.to_string()), &[1]));
        assert!((1..=5 * SIZE / ENTRY).contains(&cache.entries().kept.len()));
        let long = sentence(tenant, &"x".repeat(2 * SIZE));
        cache.keep(long.clone(), &[1]);
        assert!(cache.find(&long).is_none());
    }

    #[test]
    fn a_cache_that_is_off_keeps_nothing_and_long_sentences_are_not_kept() {
        let (off, tenant, sentence) = (cache(0, 1 << 20), TenantId::new(), speaker());
        off.keep(sentence(tenant, "a"), &[1; 100]);
        assert!(off.find(&sentence(tenant, "a")).is_none());
        let small = cache(3 * SIZE, 3 * SIZE);
        small.keep(sentence(tenant, "long"), AUDIO);
        assert!(small.find(&sentence(tenant, "long")).is_none());
    }
}
