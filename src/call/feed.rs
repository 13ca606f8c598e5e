//! The events of a call, for its readers. They cost the call nothing: it writes events to a bounded buffer and
//! never waits, and a slow reader learns how many it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::listening::wav_stream;
use crate::media::TapPoint;
use crate::tenancy::{Call, LiveEvent, LiveEventKind};

/// Events that are remembered of a call: more than its longest conversation has.
const REMEMBERED: usize = 500;
/// Readers of one call.
const READERS: usize = 16;

/// The call's end, which writes. Dropping it ends the call's events.
#[derive(Default)]
pub struct Feed(Arc<FeedShared>);

/// The readers' end.
#[derive(Clone)]
pub struct View(Arc<FeedShared>);

/// A call has so many readers already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyReaders;

/// Why a call cannot be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// It has no audio: it is not answered yet, or over.
    NoAudio,
    TooManyListeners,
}

#[derive(Default)]
struct FeedShared {
    past: Mutex<Past>,
    /// Set by the call when its media begins.
    audio: OnceLock<TapPoint>,
    /// How many events there were.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Past {
    call: Option<Call>,
    events: VecDeque<LiveEvent>,
    /// How many there were, forgotten ones included.
    count: u64,
    over: bool,
    muted: bool,
}

impl Feed {
    pub fn view(&self) -> View {
        View(self.0.clone())
    }

    /// Publishes the call's present record.
    pub fn set(&self, call: &Call) {
        self.0.past().call = Some(call.clone());
    }

    /// Publishes an event.
    pub fn tell(&self, at: DateTime<Utc>, what: LiveEventKind) {
        let mut past = self.0.past();
        let Some(call_id) = past.call.as_ref().map(|call| call.id) else { return };
        if past.events.len() == REMEMBERED {
            past.events.pop_front();
        }
        past.count += 1;
        let sequence = past.count;
        match what {
            LiveEventKind::Ended { .. } => past.over = true,
            LiveEventKind::Muted => past.muted = true,
            LiveEventKind::Unmuted => past.muted = false,
            _ => {}
        }
        past.events.push_back(LiveEvent { sequence, call_id, at, what });
        drop(past);
        self.0.news.send_replace(sequence);
    }
}

impl Feed {
    /// Lets the call be listened to from now on.
    pub fn set_audio(&self, audio: TapPoint) {
        // A call has one media path: a second value is not set.
        let _ = self.0.audio.set(audio);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.past().over = true;
        self.0.news.send_modify(|_| {});
    }
}

impl View {
    /// The call's present record; `None` before it has a tenant, and after its end.
    pub fn call(&self) -> Option<Call> {
        let past = self.0.past();
        past.call.clone().filter(|_| !past.over)
    }

    /// Whether an operator has muted the agent.
    pub fn is_muted(&self) -> bool {
        self.0.past().muted
    }

    /// The call's audio from now on, as WAV with the caller in the left channel and the agent in the right.
    ///
    /// # Errors
    /// When the call has no audio, or a listener already.
    pub fn listen(&self) -> Result<impl Stream<Item = Bytes> + Send + 'static, Unheard> {
        let audio = self.0.audio.get().filter(|_| !self.0.past().over).ok_or(Unheard::NoAudio)?;
        audio.attach().map(wav_stream).ok_or(Unheard::TooManyListeners)
    }

    /// The events after `after`: past ones, then new ones, until the call is over.
    pub fn events(
        &self,
        after: u64,
    ) -> Result<impl Stream<Item = LiveEvent> + Send + 'static, TooManyReaders> {
        if self.0.news.receiver_count() >= READERS {
            return Err(TooManyReaders);
        }
        let reader = FeedReader { news: self.0.news.subscribe(), shared: self.0.clone(), read: after };
        Ok(unfold(reader, |mut reader| async { Some((reader.next().await?, reader)) }))
    }
}

struct FeedReader {
    shared: Arc<FeedShared>,
    news: watch::Receiver<u64>,
    /// The last event that was read.
    read: u64,
}

impl FeedReader {
    async fn next(&mut self) -> Option<LiveEvent> {
        loop {
            self.news.mark_unchanged();
            if let Some(event) = self.shared.past().after(self.read) {
                self.read = event.sequence;
                return Some(event);
            }
            if self.shared.past().over {
                return None;
            }
            // The sender lives as long as this reader does.
            self.news.changed().await.ok()?;
        }
    }
}

impl FeedShared {
    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    /// The first event after one; when it is forgotten, how many are.
    fn after(&self, read: u64) -> Option<LiveEvent> {
        let oldest = self.events.front()?;
        if read + 1 < oldest.sequence {
            let missed = oldest.sequence - 1 - read;
            let what = LiveEventKind::Lagged { missed };
            return Some(LiveEvent { sequence: oldest.sequence - 1, what, ..oldest.clone() });
        }
        let place = usize::try_from(read + 1 - oldest.sequence).ok()?;
        self.events.get(place).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn call() -> Call {
        let id = uuid::Uuid::nil();
        let call = serde_json::json!({
            "id": id, "tenant_id": id, "phone_number_id": id, "asterisk_channel_id": "1.1", "direction": "inbound",
            "called_number": "+15550100", "status": "ringing", "started_at": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(call).expect("a call")
    }

    fn feed() -> (Feed, View) {
        let feed = Feed::default();
        feed.set(&call());
        let view = feed.view();
        (feed, view)
    }

    fn turn(feed: &Feed, turn: u32) {
        feed.tell(DateTime::UNIX_EPOCH, LiveEventKind::Interrupted { turn });
    }

    #[tokio::test]
    async fn late_readers_get_past_events() {
        let (feed, view) = feed();
        turn(&feed, 1);
        let mut early = pin!(view.events(0).expect("a stream"));
        turn(&feed, 2);
        let mut late = pin!(view.events(1).expect("a stream"));
        assert_eq!(early.next().await.map(|event| event.sequence), Some(1));
        assert_eq!(early.next().await.map(|event| event.sequence), Some(2));
        assert!(early.next().now_or_never().is_none(), "nothing more has happened");
        assert_eq!(late.next().await.map(|event| event.sequence), Some(2));
        turn(&feed, 3);
        assert_eq!(early.next().await.map(|event| event.what), Some(LiveEventKind::Interrupted { turn: 3 }));
        feed.tell(DateTime::UNIX_EPOCH, LiveEventKind::Ended { call: Box::new(call()) });
        assert_eq!(early.next().await.map(|event| event.what.as_str()), Some("ended"));
        assert_eq!(early.next().await, None);
        assert_eq!(view.call(), None, "it is over");
    }

    #[tokio::test]
    async fn slow_readers_learn_how_many_events_they_missed() {
        let (feed, view) = feed();
        let mut slow = pin!(view.events(0).expect("a stream"));
        (1..=REMEMBERED as u32 + 7).for_each(|n| turn(&feed, n));
        let event = slow.next().await.expect("an event");
        assert_eq!((event.what, event.sequence), (LiveEventKind::Lagged { missed: 7 }, 7));
        assert_eq!(slow.next().await.map(|event| event.sequence), Some(8));
        assert_eq!(view.0.past().events.len(), REMEMBERED, "memory is bounded");
    }

    #[tokio::test]
    async fn dropping_the_feed_ends_its_streams() {
        let (feed, view) = feed();
        let mut reader = pin!(view.events(0).expect("a stream"));
        assert!(reader.next().now_or_never().is_none());
        drop(feed);
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn readers_are_bounded() {
        let (_feed, view) = feed();
        let readers: Vec<_> = (0..READERS).map(|_| view.events(0).expect("a stream")).collect();
        assert_eq!(view.events(0).err(), Some(TooManyReaders));
        drop(readers);
        assert!(view.events(0).is_ok());
    }
}
