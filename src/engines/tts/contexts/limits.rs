//! The limits of one connection, as its vendor publishes them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The span of the limits by the minute.
const MINUTE: Duration = Duration::from_secs(60);

/// The limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Contexts at once, cancelled ones included until the server ends them.
    pub contexts: usize,
    /// No context begins on a connection that was opened longer ago.
    pub lifetime: Duration,
    /// A connection without a speech is closed after this time.
    pub idle: Duration,
    /// Of the text that is sent in any minute. None: unlimited.
    pub minute: Option<MinuteLimits>,
}

/// ElevenLabs allows five contexts, and closes an idle connection after 180 s; Cartesia does after five minutes.
impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            contexts: 4,
            lifetime: Duration::MAX,
            idle: Duration::from_secs(150),
            minute: None,
        }
    }
}

/// The limits of what a connection is sent in any minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteLimits {
    pub characters: usize,
    /// Texts that are complete.
    pub texts: usize,
    /// The longest text, in characters. A context begins only where there is room for it.
    pub longest: usize,
}

/// The texts that a connection was sent in the last minute.
#[derive(Debug, Default)]
pub struct SentTexts {
    /// When, how many characters, and whether they completed a text.
    sent: VecDeque<(Instant, usize, bool)>,
}

impl SentTexts {
    /// Counts characters of a text.
    pub fn add(&mut self, now: Instant, characters: usize, completes: bool) {
        self.forget(now);
        self.sent.push_back((now, characters, completes));
    }

    /// Whether there is room for any text.
    pub fn has_room(&mut self, now: Instant, limits: MinuteLimits) -> bool {
        self.forget(now);
        let characters: usize = self.sent.iter().map(|(_, characters, _)| characters).sum();
        let texts = self.sent.iter().filter(|(.., completes)| *completes).count();
        characters.saturating_add(limits.longest) <= limits.characters && texts < limits.texts
    }

    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|(at, ..)| now.duration_since(*at) > MINUTE) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MinuteLimits = MinuteLimits { characters: 100, texts: 3, longest: 40 };

    #[test]
    fn a_minute_has_room_for_so_many_characters() {
        let (start, mut count) = (Instant::now(), SentTexts::default());
        assert!(count.has_room(start, LIMITS));
        count.add(start, 60, false);
        assert!(count.has_room(start, LIMITS));
        count.add(start + Duration::from_secs(30), 1, true);
        for (seconds, has_room) in [(30, false), (60, false), (61, true)] {
            assert_eq!(count.has_room(start + Duration::from_secs(seconds), LIMITS), has_room, "{seconds}");
        }
    }

    #[test]
    fn a_minute_has_room_for_so_many_texts() {
        let (start, mut count) = (Instant::now(), SentTexts::default());
        for second in 0..3 {
            assert!(count.has_room(start + Duration::from_secs(second), LIMITS));
            count.add(start + Duration::from_secs(second), 1, false);
            count.add(start + Duration::from_secs(second), 1, true);
        }
        for (seconds, has_room) in [(3, false), (60, false), (61, true)] {
            assert_eq!(count.has_room(start + Duration::from_secs(seconds), LIMITS), has_room, "{seconds}");
        }
    }

    #[test]
    fn the_longest_text_that_a_minute_allows_has_room_on_a_new_connection() {
        let limits = MinuteLimits { longest: 100, ..LIMITS };
        assert!(SentTexts::default().has_room(Instant::now(), limits));
    }
}
