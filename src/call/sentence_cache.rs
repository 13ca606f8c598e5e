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
    /// The most bytes of audio of all tenants; 0 turns the cache off. Default 67108864 (64 MiB).
    pub max_bytes: usize,
    /// The most bytes of audio of one tenant. Default 8388608 (8 MiB).
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

/// A sentence as one tenant's agents speak it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sentence {
    tenant: TenantId,
    engine: Arc<str>,
    voice: Voice,
    text: Arc<str>,
    rate: u32,
}

impl Sentence {
    /// `rate` is the call's.
    pub fn of(tenant: TenantId, tts: &dyn Tts, voice: &Voice, text: &Arc<str>, rate: u32) -> Sentence {
        let engine = tts.identity().clone();
        Sentence { tenant, engine, voice: voice.clone(), text: text.clone(), rate }
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
        let size = size_of_val(samples);
        if size == 0 || size > share / 4 {
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

    /// Drops all sentences: engines may speak differently from now on.
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
        *self.bytes.entry(sentence.tenant).or_default() += size_of_val(&*samples);
        self.kept.insert(sentence, Kept { samples, since: Instant::now(), used_at: self.clock });
    }

    fn remove(&mut self, sentence: &Sentence) {
        let Some(removed) = self.kept.remove(sentence) else { return };
        if let Some(bytes) = self.bytes.get_mut(&sentence.tenant) {
            *bytes -= size_of_val(&*removed.samples);
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

    const SECOND: usize = 1_000;

    fn sentence(tenant: TenantId, text: &str) -> Sentence {
        Sentence { tenant, engine: "espeak".into(), voice: Voice::default(), text: text.into(), rate: 8_000 }
    }

    fn cache(max_bytes: usize, max_bytes_per_tenant: usize) -> SentenceCache {
        SentenceCache::new(SentenceCacheSettings { max_bytes, max_bytes_per_tenant, max_age_s: 60 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_sentence_is_its_tenants_own_and_ages() {
        let (cache, mine, theirs) = (cache(1 << 20, 1 << 20), TenantId::new(), TenantId::new());
        let kept = sentence(mine, "We are open until six.");
        cache.keep(kept.clone(), &[1; SECOND]);
        assert_eq!(cache.find(&kept).map(|samples| samples.len()), Some(SECOND));
        assert!(cache.find(&sentence(theirs, "We are open until six.")).is_none(), "another tenant's");
        let voice = Voice { name: Some("other".into()), ..Voice::default() };
        for other in [
            Sentence { voice, ..kept.clone() },
            Sentence { rate: 16_000, ..kept.clone() },
            Sentence { engine: "own:a@2".into(), ..kept.clone() },
        ] {
            assert!(cache.find(&other).is_none(), "{other:?}");
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.find(&kept).is_none() && cache.entries().total() == 0);
        cache.keep(kept.clone(), &[1; SECOND]);
        cache.clear();
        assert!(cache.find(&kept).is_none());
        cache.keep(kept, &[1; SECOND]);
        tokio::time::advance(Duration::from_secs(60)).await;
        let other = sentence(theirs, "Good morning.");
        cache.keep(other.clone(), &[1; SECOND]);
        let entries = cache.entries();
        assert!(
            entries.kept.len() == 1 && entries.kept.contains_key(&other),
            "one that is not spoken again goes too"
        );
    }

    #[test]
    fn a_tenant_that_speaks_much_uses_its_own_share_only() {
        // Room for eight seconds in all, and for five of a tenant.
        let (cache, quiet, loud) = (cache(16 * SECOND, 10 * SECOND), TenantId::new(), TenantId::new());
        let one = sentence(quiet, "Good morning.");
        cache.keep(one.clone(), &[1; SECOND]);
        let spoken: Vec<Sentence> = (0..20).map(|n| sentence(loud, &n.to_string())).collect();
        for sentence in &spoken {
            cache.keep(sentence.clone(), &[1; SECOND]);
            cache.find(&spoken[0]);
        }
        let found = spoken.iter().filter(|it| cache.find(it).is_some()).count();
        assert_eq!(found, 5);
        assert!(cache.find(&spoken[0]).is_some(), "a sentence that is used stays");
        assert!(cache.find(&one).is_some(), "the other tenant's is not touched");
        for tenant in [TenantId::new(), TenantId::new()] {
            (0..3).for_each(|n| cache.keep(sentence(tenant, &n.to_string()), &[1; SECOND]));
        }
        let entries = cache.entries();
        assert!(entries.total() <= 16 * SECOND && entries.kept.contains_key(&one));
    }

    #[test]
    fn a_cache_that_is_off_keeps_nothing_and_long_sentences_are_not_kept() {
        let (off, tenant) = (cache(0, 1 << 20), TenantId::new());
        off.keep(sentence(tenant, "a"), &[1; 100]);
        assert!(off.find(&sentence(tenant, "a")).is_none());
        let small = cache(8 * SECOND, 8 * SECOND);
        small.keep(sentence(tenant, "long"), &[1; 2 * SECOND]);
        assert!(small.find(&sentence(tenant, "long")).is_none());
    }
}
