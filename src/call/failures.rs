//! Failures for the record of a call, bounded in number and length.

use chrono::{DateTime, Utc};

use crate::engines::core::covered::CoveredFailure;
use crate::engines::core::retry::Kind;
use crate::tenancy::{EngineFailure, EngineKind};

/// Entries of a call: each is a kind, an engine and a reason.
const MOST: usize = 16;
/// Characters of a reason.
const LONGEST: usize = 200;

/// Counts a failure of an engine that the caller noticed. Returns whether it has a new entry.
pub fn count(
    failures: &mut Vec<EngineFailure>,
    (kind, engine): (EngineKind, &str),
    reason: &str,
    at: DateTime<Utc>,
) -> bool {
    let (engine, reason) = (engine.to_owned(), reason.to_owned());
    add(
        failures,
        EngineFailure { kind, engine, reason, count: 1, first_at: at, covered: false, served_by: None },
    )
}

/// Counts a failure that the fallback covered, at its time on the call's clock.
pub fn count_covered(failures: &mut Vec<EngineFailure>, failure: &CoveredFailure, at: DateTime<Utc>) {
    let (kind, engine) = (engine_kind(failure.kind), failure.engine.to_string());
    let reason = failure.reason.as_str().to_owned();
    let served_by = failure.served_by.as_ref().map(ToString::to_string);
    add(failures, EngineFailure { kind, engine, reason, count: 1, first_at: at, covered: true, served_by });
}

fn add(failures: &mut Vec<EngineFailure>, failure: EngineFailure) -> bool {
    let key = |it: &EngineFailure| {
        (it.kind, it.engine.clone(), it.reason.clone(), it.served_by.clone(), it.covered)
    };
    if let Some(same) = failures.iter_mut().find(|it| key(it) == key(&failure)) {
        same.count = same.count.saturating_add(1);
        return false;
    }
    let is_new = failures.len() < MOST;
    if is_new {
        failures.push(failure);
    }
    is_new
}

pub fn engine_kind(kind: Kind) -> EngineKind {
    match kind {
        Kind::Stt => EngineKind::Stt,
        Kind::Llm => EngineKind::Llm,
        Kind::Tts => EngineKind::Tts,
        Kind::Realtime => EngineKind::Realtime,
    }
}

/// A reason as the record keeps it: one line of at most 200 characters.
pub fn reason(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_kind_engine_and_reason() {
        let mut failures = Vec::new();
        let (first, later) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(9));
        assert!(count(&mut failures, (EngineKind::Llm, "openai"), "timeout", first));
        assert!(!count(&mut failures, (EngineKind::Llm, "openai"), "timeout", later));
        assert!(count(&mut failures, (EngineKind::Tts, "openai"), "timeout", later));
        assert!(count(&mut failures, (EngineKind::Llm, "openai"), "busy", later));
        let counts: Vec<_> = failures.iter().map(|it| (it.kind, it.count, it.first_at)).collect();
        let expected =
            [(EngineKind::Llm, 2, first), (EngineKind::Tts, 1, later), (EngineKind::Llm, 1, later)];
        assert_eq!(counts, expected);
    }

    #[test]
    fn covered_failures_are_counted_apart() {
        let (mut failures, at) = (Vec::new(), DateTime::UNIX_EPOCH);
        let covered = CoveredFailure {
            kind: Kind::Llm,
            engine: "openai".into(),
            reason: crate::engines::core::FailureReason::Timeout,
            at: tokio::time::Instant::now(),
            served_by: Some("near".into()),
        };
        count(&mut failures, (EngineKind::Llm, "openai"), "timeout", at);
        count_covered(&mut failures, &covered, at);
        count_covered(&mut failures, &covered, at);
        let counts: Vec<_> = failures.iter().map(|it| (it.count, it.covered)).collect();
        assert_eq!(counts, [(1, false), (2, true)]);
        assert_eq!(failures[1].served_by.as_deref(), Some("near"));
    }

    #[test]
    fn a_record_is_bounded() {
        let mut failures = Vec::new();
        for n in 0..100 {
            count(&mut failures, (EngineKind::Stt, &n.to_string()), "timeout", DateTime::UNIX_EPOCH);
        }
        assert_eq!(failures.len(), MOST);
        assert_eq!(reason(&"\u{e4}\n".repeat(1_000)).chars().count(), LONGEST);
        assert!(!reason("a\r\nb").contains(char::is_control));
    }
}
