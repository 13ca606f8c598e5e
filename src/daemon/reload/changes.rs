//! The keys that a reload changes, and which of them take effect.

use super::credentials::{CredentialOutcome, KeyOutcome};
use crate::admin::{RefusedSetting, ReloadOutcome};
use crate::config::Effective;

/// Keys, or beginnings of keys, that take effect without a restart.
const RELOADED: &[&str] = &[
    "anthropic.key",
    "ari.password",
    "ari.username",
    "calls.max_calls",
    "calls.max_calls_per_caller",
    "calls.max_calls_per_caller_per_hour",
    "calls.max_calls_per_tenant",
    "database.url",
    "deepgram.key",
    "elevenlabs.key",
    "end_of_turn.",
    "engine_shares.",
    "engines.",
    "tenant_engines.",
    "limits.",
    "llm.",
    "log.filter",
    "openai.",
    "plans.",
    "prices.",
    "profiles.",
    "state.redis_url",
    "stt.",
    "transfer.",
    "tts.",
    "turn.",
];

/// The keys with another value, by what became of them. Of a secret in a file, the file's key may differ as well.
pub fn changes(before: &[Effective], after: &[Effective], credentials: &[KeyOutcome]) -> ReloadOutcome {
    let (mut changed, mut refused, mut after_restart) = (Vec::new(), Vec::new(), Vec::new());
    // A named engine, or a setting of it, may be gone.
    let is_gone = |row: &&Effective| !after.iter().any(|it| it.key == row.key);
    let different = after.iter().filter(|row| !is_in(before, row)).chain(before.iter().filter(is_gone));
    for key in different.map(|row| row.key.clone()) {
        match outcome(&key, credentials) {
            Some(CredentialOutcome::Refused { problem }) => {
                refused.push(RefusedSetting { key, problem: problem.clone() });
            }
            Some(CredentialOutcome::AfterRestart) => after_restart.push(key),
            Some(CredentialOutcome::Taken) => changed.push(key),
            None if is_reloaded(&key) => changed.push(key),
            None => after_restart.push(key),
        }
    }
    ReloadOutcome::Applied { changed, refused, after_restart }
}

/// The rows in use after a reload: the new ones, and the former ones of keys that did not take effect, so that the next
/// reload names these again.
pub fn in_use(before: Vec<Effective>, after: Vec<Effective>, outcome: &ReloadOutcome) -> Vec<Effective> {
    let is_pending = |key: &str| match outcome {
        ReloadOutcome::Applied { refused, after_restart, .. } => {
            after_restart.iter().any(|it| it == key) || refused.iter().any(|it| it.key == key)
        }
        ReloadOutcome::Failed { .. } => true,
    };
    let former = before.into_iter().filter(|row| is_pending(&row.key));
    after.into_iter().filter(|row| !is_pending(&row.key)).chain(former).collect()
}

fn is_in(rows: &[Effective], row: &Effective) -> bool {
    rows.iter().any(|it| it.key == row.key && it.value == row.value && it.digest == row.digest)
}

fn outcome<'a>(key: &str, credentials: &'a [KeyOutcome]) -> Option<&'a CredentialOutcome> {
    let secret = key.strip_suffix("_file").unwrap_or(key);
    credentials.iter().find(|(keys, _)| keys.contains(&secret)).map(|(_, outcome)| outcome)
}

fn is_reloaded(key: &str) -> bool {
    let secret = key.strip_suffix("_file").unwrap_or(key);
    RELOADED.iter().any(|name| if name.ends_with('.') { key.starts_with(name) } else { secret == *name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str, digest: u64) -> Effective {
        Effective { key: key.into(), value: value.into(), source: "x".into(), digest }
    }

    fn applied(changed: &[&str], refused: &[(&str, &str)], after_restart: &[&str]) -> ReloadOutcome {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let refused = refused
            .iter()
            .map(|(key, problem)| RefusedSetting { key: (*key).to_owned(), problem: (*problem).to_owned() });
        ReloadOutcome::Applied {
            changed: owned(changed),
            refused: refused.collect(),
            after_restart: owned(after_restart),
        }
    }

    #[test]
    fn changed_keys_are_divided_by_whether_they_took_effect() {
        let before = [
            row("calls.max_calls", "1", 0),
            row("calls.drain_timeout_s", "1", 0),
            row("prices.currency", "1", 0),
            row("openai.key", "«set»", 1),
            row("engines.local.model", "m", 0),
        ];
        let after = [
            row("calls.max_calls", "2", 0),
            row("calls.drain_timeout_s", "2", 0),
            row("prices.currency", "1", 0),
            row("openai.key", "«set»", 2),
        ];
        let expected = applied(
            &["calls.max_calls", "openai.key", "engines.local.model"],
            &[],
            &["calls.drain_timeout_s"],
        );
        assert_eq!(changes(&before, &after, &[]), expected);
    }

    #[test]
    fn credentials_are_named_by_what_became_of_them() {
        let before =
            [row("ari.password", "«set»", 1), row("ari.username", "vca", 0), row("database.url", "«set»", 1)];
        let after = vec![
            row("ari.password", "«set»", 2),
            row("ari.username", "vca", 0),
            row("ari.password_file", "new", 0),
            row("database.url", "«set»", 2),
        ];
        let refused = CredentialOutcome::Refused { problem: "401".into() };
        let credentials: [KeyOutcome; 2] = [
            (&["ari.username", "ari.password"], refused),
            (&["database.url"], CredentialOutcome::AfterRestart),
        ];
        let outcome = changes(&before, &after, &credentials);
        let expected =
            applied(&[], &[("ari.password", "401"), ("ari.password_file", "401")], &["database.url"]);
        assert_eq!(outcome, expected);
        let kept = in_use(before.to_vec(), after.clone(), &outcome);
        assert_eq!(changes(&kept, &after, &credentials), expected, "the next reload names them again");
        let taken: [KeyOutcome; 1] = [(&["ari.username", "ari.password"], CredentialOutcome::Taken)];
        let expected = applied(&["ari.password", "ari.password_file", "database.url"], &[], &[]);
        assert_eq!(changes(&before, &after, &taken), expected);
    }
}
