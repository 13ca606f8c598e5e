//! The shares of a tenant, as the API shows them.

use super::{AgentFactory, scale};
use crate::engines::core::shares;
use crate::switchboard;
use crate::tenancy::{EngineShareLimit, EngineShareUse, EngineStage, Tenant, TenantEngineShares};

impl AgentFactory {
    /// A tenant's shares of the operator's engines, and its use of them.
    pub(super) fn share_report(&self, tenant: &Tenant) -> TenantEngineShares {
        let scale = scale(switchboard::engine_terms(tenant, &self.calls, &self.plans));
        let limit = |stage: &EngineStage| {
            let limits = self.share_settings.limits(share_stage(*stage), scale);
            let concurrent = Some(limits.concurrent.get()).filter(|count| *count < u32::MAX);
            EngineShareLimit { stage: *stage, per_minute: limits.per_minute.get(), concurrent }
        };
        let uses = self.shares.uses_of(tenant.id.0).into_iter().map(|it| EngineShareUse {
            stage: engine_stage(it.stage),
            engine: it.engine.to_string(),
            last_minute: it.last_minute,
            in_progress: it.in_progress,
        });
        TenantEngineShares {
            calls: scale.calls,
            percent: scale.percent,
            limits: EngineStage::ALL.iter().map(limit).collect(),
            engines: uses.collect(),
        }
    }
}

fn share_stage(stage: EngineStage) -> shares::Stage {
    match stage {
        EngineStage::Stt => shares::Stage::Stt,
        EngineStage::Llm => shares::Stage::Llm,
        EngineStage::Tts => shares::Stage::Tts,
        EngineStage::Realtime => shares::Stage::Realtime,
        EngineStage::Analysis => shares::Stage::Analysis,
    }
}

fn engine_stage(stage: shares::Stage) -> EngineStage {
    match stage {
        shares::Stage::Stt => EngineStage::Stt,
        shares::Stage::Llm => EngineStage::Llm,
        shares::Stage::Tts => EngineStage::Tts,
        shares::Stage::Realtime => EngineStage::Realtime,
        shares::Stage::Analysis => EngineStage::Analysis,
    }
}
