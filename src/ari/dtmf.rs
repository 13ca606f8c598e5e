//! How DTMF is sent.

use std::time::Duration;

/// How long keys are held when VCA sends them, and the pause between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfTiming {
    pub tone: Duration,
    pub pause: Duration,
}

impl Default for DtmfTiming {
    /// Asterisk's own defaults, 100 ms each. Receivers recognise tones from 40 ms (ITU-T Q.24).
    fn default() -> Self {
        DtmfTiming { tone: Duration::from_millis(100), pause: Duration::from_millis(100) }
    }
}
