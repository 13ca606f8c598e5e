//! Metrics by tenant, with a bounded number of label values.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use metrics::counter;

use crate::tenancy::{CallStatus, TenantId};

/// Tenants with a label of their own; a series takes memory here and in Prometheus for as long as both run.
const MOST: usize = 500;
/// The label of all other tenants.
const OTHER: &str = "other";

/// Counts the calls of tenants: `vca_tenant_calls_total` and `vca_tenant_talk_seconds_total`. The first 500 tenants
/// with a call since the start are labelled by their id, all others together as `other`.
#[derive(Debug, Default)]
pub struct TenantMetrics {
    labelled: Mutex<HashSet<TenantId>>,
}

impl TenantMetrics {
    /// Counts a call that has ended. `talk` is the time from its answer to its end.
    pub fn ended(&self, tenant: TenantId, status: CallStatus, talk: Option<TimeDelta>) {
        let label = self.label(tenant);
        counter!("vca_tenant_calls_total", "tenant" => label.clone(), "status" => status.as_str())
            .increment(1);
        let seconds = talk.map_or(0, |talk| talk.num_seconds().max(0).unsigned_abs());
        counter!("vca_tenant_talk_seconds_total", "tenant" => label).increment(seconds);
    }

    fn label(&self, tenant: TenantId) -> String {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        if labelled.contains(&tenant) || (labelled.len() < MOST && labelled.insert(tenant)) {
            tenant.to_string()
        } else {
            OTHER.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        let metrics = TenantMetrics::default();
        let tenants: Vec<TenantId> = (0..MOST).map(|_| TenantId::new()).collect();
        assert!(tenants.iter().all(|tenant| metrics.label(*tenant) == tenant.to_string()));
        assert_eq!(metrics.label(TenantId::new()), OTHER);
        assert_eq!(metrics.label(tenants[7]), tenants[7].to_string(), "a label stays");
    }
}
