//! The legs that calls of this daemon have dialled, counted for the operator's limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tenancy::{TenantId, TransferRules};

/// A count of dialled legs by tenant. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct DialledLegs(Arc<Mutex<HashMap<TenantId, u32>>>);

/// A dialled leg, counted until this is dropped.
#[derive(Debug)]
pub struct CountedLeg {
    legs: DialledLegs,
    tenant: TenantId,
}

impl DialledLegs {
    /// Counts another leg of the tenant's; `None` at a limit.
    pub fn count(&self, tenant: TenantId, rules: &TransferRules) -> Option<CountedLeg> {
        let mut legs = self.lock();
        let all: u32 = legs.values().sum();
        let own = legs.get(&tenant).copied().unwrap_or(0);
        if all >= rules.max_legs || own >= rules.max_legs_per_tenant {
            return None;
        }
        legs.insert(tenant, own + 1);
        Some(CountedLeg { legs: self.clone(), tenant })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedLeg {
    fn drop(&mut self) {
        let mut legs = self.legs.lock();
        if let Some(own) = legs.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                legs.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_are_limited_by_tenant_and_in_all() {
        let rules = TransferRules { max_legs: 3, max_legs_per_tenant: 2, ..TransferRules::default() };
        let (legs, one, other) = (DialledLegs::default(), TenantId::new(), TenantId::new());
        let first = legs.count(one, &rules);
        let _second = legs.count(one, &rules).expect("two are allowed");
        assert!(first.is_some() && legs.count(one, &rules).is_none(), "two of a tenant");
        let _third = legs.count(other, &rules).expect("another tenant has its own");
        assert!(legs.count(other, &rules).is_none(), "three in all");
        drop(first);
        assert!(legs.count(other, &rules).is_some());
        assert_eq!(legs.lock().len(), 2);
    }
}
