//! Typed ids: of an Asterisk, and of its channels and bridges.
//!
//! Ids are unique within one Asterisk only. They are parsed once, where an event or a response is decoded; the database
//! keeps them as text. Cloning one is cheap.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

/// One Asterisk that VCA is connected to. The default is the id of the one that is configured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsteriskId(Arc<str>);

/// A channel, by Asterisk's UNIQUEID or by the id that VCA created it with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ChannelId(Arc<str>);

/// A mixing bridge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct BridgeId(Arc<str>);

/// An id without a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is empty")]
pub struct EmptyIdError;

impl AsteriskId {
    pub fn new(text: &str) -> AsteriskId {
        AsteriskId(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AsteriskId {
    fn default() -> Self {
        AsteriskId::new("asterisk")
    }
}

impl ChannelId {
    /// An id that VCA chooses or has stored.
    pub fn new(text: &str) -> ChannelId {
        ChannelId(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BridgeId {
    /// An id that VCA chooses.
    pub fn new(text: &str) -> BridgeId {
        BridgeId(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChannelId {
    type Error = EmptyIdError;

    fn try_from(text: String) -> Result<Self, EmptyIdError> {
        if text.is_empty() { Err(EmptyIdError) } else { Ok(ChannelId(text.into())) }
    }
}

impl TryFrom<String> for BridgeId {
    type Error = EmptyIdError;

    fn try_from(text: String) -> Result<Self, EmptyIdError> {
        if text.is_empty() { Err(EmptyIdError) } else { Ok(BridgeId(text.into())) }
    }
}

impl fmt::Display for AsteriskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_id_is_refused() {
        assert_eq!(serde_json::from_str::<ChannelId>(r#""17.0""#).unwrap().as_str(), "17.0");
        assert!(serde_json::from_str::<ChannelId>(r#""""#).is_err());
        assert!(serde_json::from_str::<BridgeId>(r#""""#).is_err());
    }
}
