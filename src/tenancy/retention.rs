//! Retention: how long a tenant's records are kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::violation::Violation;

/// Retention periods in days; `null`: without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Call records.
    #[schema(minimum = 1, maximum = 36500)]
    pub call_days: Option<u32>,
    /// Transcripts. At most `call_days`.
    #[schema(minimum = 1, maximum = 36500)]
    pub transcript_days: Option<u32>,
    /// Recordings. At most `call_days`. Without effect at present, because there are none.
    #[schema(minimum = 1, maximum = 36500)]
    pub recording_days: Option<u32>,
    /// Audit log entries.
    #[schema(minimum = 1, maximum = 36500)]
    pub audit_days: Option<u32>,
}

/// A hundred years.
const LONGEST: u32 = 36_500;

impl Retention {
    /// The periods that are not allowed.
    pub fn violations(&self) -> Vec<Violation> {
        let fields = [
            ("call_days", self.call_days),
            ("transcript_days", self.transcript_days),
            ("recording_days", self.recording_days),
            ("audit_days", self.audit_days),
        ];
        let beyond = |days: Option<u32>| days.is_some_and(|days| !(1..=LONGEST).contains(&days));
        let beyond = fields.iter().filter(|(_, days)| beyond(*days));
        let mut violations: Vec<_> =
            beyond.map(|(field, _)| Violation::new(*field, format!("1 to {LONGEST}, or null"))).collect();
        let Some(calls) = self.call_days else { return violations };
        let outlives = |days: Option<u32>| days.is_none_or(|days| days > calls);
        let outliving = fields[1..3].iter().filter(|(_, days)| outlives(*days));
        let problem = format!("{calls} at most: no longer than calls");
        violations.extend(outliving.map(|(field, _)| Violation::new(*field, &*problem)));
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_call_outlives_its_record() {
        let fields = |retention: Retention| {
            retention.violations().into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert!(fields(Retention::default()).is_empty());
        let calls = Retention { call_days: Some(90), ..Retention::default() };
        assert_eq!(fields(calls), ["transcript_days", "recording_days"]);
        let kept = Retention { transcript_days: Some(90), recording_days: Some(7), ..calls };
        assert!(fields(kept).is_empty());
        assert_eq!(fields(Retention { transcript_days: Some(91), ..kept }), ["transcript_days"]);
        assert!(fields(Retention { transcript_days: Some(30), ..Retention::default() }).is_empty());
        assert_eq!(fields(Retention { audit_days: Some(0), ..Retention::default() }), ["audit_days"]);
    }
}
