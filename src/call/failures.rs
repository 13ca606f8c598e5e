//! Failures for the record of a call, bounded in number and length.

use chrono::{DateTime, Utc};

use crate::tenancy::{EngineFailure, EngineKind};

/// Entries of a call: each is a kind, an engine and a reason.
const MOST: usize = 16;
/// Characters of a reason.
const LONGEST: usize = 200;

/// Counts a failure of an engine. Returns whether it has a new entry.
pub fn count(
    failures: &mut Vec<EngineFailure>,
    (kind, engine): (EngineKind, &str),
    reason: &str,
    at: DateTime<Utc>,
) -> bool {
    let same = |it: &&mut EngineFailure| it.kind == kind && it.engine == engine && it.reason == reason;
    if let Some(failure) = failures.iter_mut().find(same) {
        failure.count = failure.count.saturating_add(1);
        return false;
    }
    let is_new = failures.len() < MOST;
    if is_new {
        let (engine, reason) = (engine.to_owned(), reason.to_owned());
        failures.push(EngineFailure { kind, engine, reason, count: 1, first_at: at });
    }
    is_new
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
