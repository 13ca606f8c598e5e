//! A recogniser of either kind, before and after it has its fallbacks.

use std::sync::Arc;

use crate::engines::core::retry;
use crate::engines::core::shares::TenantShares;
use crate::engines::stt::live::LiveEngine;
use crate::engines::stt::{self, Buffered, Stt};

/// A recogniser of clips or of live audio.
#[derive(Clone)]
pub(super) enum SttEngine {
    Clips(stt::Resilient),
    Live(LiveEngine),
}

impl SttEngine {
    /// The same engine with fallbacks, which transcribe clips.
    pub(super) fn with_fallbacks(&self, fallbacks: &[&SttEngine]) -> SttEngine {
        let fallbacks: Vec<stt::Resilient> = fallbacks.iter().map(|it| it.transcriber()).collect();
        let fallbacks: Vec<&stt::Resilient> = fallbacks.iter().collect();
        match self {
            SttEngine::Clips(engine) => SttEngine::Clips(engine.with_fallbacks(&fallbacks)),
            SttEngine::Live(engine) => {
                let chain = fallbacks.split_first().map(|(first, rest)| first.with_fallbacks(rest));
                SttEngine::Live(engine.with_fallback(chain))
            }
        }
    }

    /// The same engines for the requests of one tenant.
    pub(super) fn within(&self, shares: &Arc<TenantShares>) -> SttEngine {
        match self {
            SttEngine::Clips(engine) => SttEngine::Clips(engine.within(shares)),
            SttEngine::Live(engine) => SttEngine::Live(engine.within(shares)),
        }
    }

    /// The engine as calls use it.
    pub(super) fn into_stt(self) -> Arc<dyn Stt> {
        match self {
            SttEngine::Clips(engine) => Arc::new(Buffered::new(engine)),
            SttEngine::Live(engine) => Arc::new(engine),
        }
    }

    pub(super) fn policy(&self) -> &retry::Policy {
        match self {
            SttEngine::Clips(engine) => engine.policy(),
            SttEngine::Live(engine) => engine.policy(),
        }
    }

    /// The engine as one that transcribes clips.
    fn transcriber(&self) -> stt::Resilient {
        match self {
            SttEngine::Clips(engine) => engine.clone(),
            SttEngine::Live(engine) => engine.transcriber(),
        }
    }
}
