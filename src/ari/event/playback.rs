//! A sound that Asterisk plays, as its events show it.

use serde::Deserialize;

use crate::ari::ids::ChannelId;

#[derive(Deserialize)]
pub(super) struct RawPlayback {
    /// Such as `channel:1700000000.42`, or a bridge.
    #[serde(default)]
    target_uri: String,
}

impl RawPlayback {
    pub fn channel(&self) -> Option<ChannelId> {
        ChannelId::try_from(self.target_uri.strip_prefix("channel:")?.to_owned()).ok()
    }
}
