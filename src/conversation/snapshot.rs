//! A conversation's state, to be stored and resumed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Conversation, Phrase, Settings};
use crate::language::Language;

/// The version of the state's layout. It is raised with every change of a stored type.
///
/// A state lasts as long as its call, so there is no conversion: a daemon refuses the states of another version.
pub const SNAPSHOT_VERSION: u32 = 16;

/// The whole state of a conversation at one moment, without settings, prompt texts and language.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    version: u32,
    conversation: Conversation,
}

/// A stored state that cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the conversation's state is of version {found}; this program reads version {SNAPSHOT_VERSION}")]
    Version { found: u64 },
    #[error("the conversation's state has no version")]
    NoVersion,
    #[error("the conversation's state is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Snapshot {
    /// Reads a stored state.
    pub fn parse(mut stored: Value) -> Result<Snapshot, SnapshotError> {
        let found = stored.get("version").and_then(Value::as_u64).ok_or(SnapshotError::NoVersion)?;
        if found != u64::from(SNAPSHOT_VERSION) {
            return Err(SnapshotError::Version { found });
        }
        let conversation = Conversation::deserialize(stored["conversation"].take())?;
        Ok(Snapshot { version: SNAPSHOT_VERSION, conversation })
    }
}

impl Conversation {
    /// The state to be stored. Take it when [`Conversation::poll`] is drained: a pending output is part of it and is
    /// yielded again after it resumes. The keys of a masked entry are left out: its caller enters it again.
    pub fn snapshot(&self) -> Snapshot {
        let mut conversation = self.clone();
        conversation.forget_secrets();
        let conversation = Conversation {
            settings: Settings::default(),
            texts: HashMap::new(),
            language: Language::of(None),
            ..conversation
        };
        Snapshot { version: SNAPSHOT_VERSION, conversation }
    }

    /// Continues a stored conversation exactly as it would have gone on with the same inputs, but for masked entries.
    /// Moments keep their origin: the driver counts on from the stored conversation's. Outputs that were polled before are not
    /// repeated: a driver in another process has to report the work that it cannot continue as failed.
    pub fn resume(
        snapshot: Snapshot,
        settings: Settings,
        texts: impl IntoIterator<Item = (Phrase, String)>,
        language: &'static Language,
    ) -> Conversation {
        Conversation { settings, texts: texts.into_iter().collect(), language, ..snapshot.conversation }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_of_another_version_is_refused() {
        let mut stored = serde_json::to_value(Conversation::new(Settings::default()).snapshot()).unwrap();
        assert!(Snapshot::parse(stored.clone()).is_ok());
        stored["version"] = json!(SNAPSHOT_VERSION + 1);
        let refused = Snapshot::parse(stored.clone()).unwrap_err().to_string();
        assert_eq!(refused, "the conversation's state is of version 17; this program reads version 16");
        stored["version"] = json!(SNAPSHOT_VERSION);
        stored["conversation"]["floor"] = json!("Elsewhere");
        assert!(matches!(Snapshot::parse(stored), Err(SnapshotError::Damaged(_))));
        for stored in [json!(null), json!([1]), json!({ "conversation": {} }), json!({ "version": "1" })] {
            assert!(matches!(Snapshot::parse(stored), Err(SnapshotError::NoVersion)));
        }
    }
}
