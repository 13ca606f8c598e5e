//! The server-sent events of a reply, read until it ends.
//!
//! A reply can be complete before its body ends; token counts that follow are waited for, but the reply does not depend on them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::Response;
use tokio::time::timeout;

use super::{Delta, Deltas};
use crate::engines::core::EngineError;
use crate::engines::core::openai::Endpoint;

/// The most bytes of a reply: far beyond what is said in a call, and an end to a server that never ends a line.
pub const LONGEST: usize = 1 << 20;
/// How long the token counts are waited for after the end of the reply.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

pub type DeltaResult = Result<Delta, EngineError>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamProgress {
    #[default]
    Open,
    /// The reply is complete; token counts may follow.
    Finished,
    Closed,
}

/// Reads the events of one vendor's replies.
pub trait EventReader: Send + 'static {
    /// The pieces that an event completes.
    fn event(&mut self, event: Event) -> Vec<DeltaResult>;
    /// The body has ended.
    fn end(&mut self) -> Vec<DeltaResult>;
    /// The reply failed on its way. Nothing follows.
    fn fail(&mut self, error: EngineError) -> Vec<DeltaResult>;
    fn progress(&self) -> StreamProgress;
}

/// The pieces of the reply in a response of a server. Their errors do not repeat the key.
pub fn replied(endpoint: &Endpoint, response: Response, reader: impl EventReader) -> Deltas {
    let (body, endpoint) = (endpoint.body(response), endpoint.clone());
    deltas(body, reader).map_err(move |error| endpoint.cleaned(error)).boxed()
}

/// The pieces of the reply in a body of server-sent events, up to its end or the first error.
pub fn deltas<S, R>(body: S, reader: R) -> Deltas
where
    S: Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
    R: EventReader,
{
    let events = bounded(body).eventsource().boxed();
    let state = (reader, events, VecDeque::new());
    stream::unfold(state, |(mut reader, mut events, mut pending)| async move {
        let item = next(&mut reader, &mut events, &mut pending).await?;
        Some((item, (reader, events, pending)))
    })
    .boxed()
}

type Events = BoxStream<'static, Result<Event, EventStreamError<EngineError>>>;

async fn next(
    reader: &mut impl EventReader,
    events: &mut Events,
    pending: &mut VecDeque<DeltaResult>,
) -> Option<DeltaResult> {
    loop {
        if let Some(item) = pending.pop_front() {
            return Some(item);
        }
        let progress = reader.progress();
        let event = match progress {
            StreamProgress::Closed => return None,
            StreamProgress::Finished => timeout(USAGE_TIMEOUT, events.next()).await.ok().flatten(),
            StreamProgress::Open => events.next().await,
        };
        let items = match event {
            Some(Ok(event)) => reader.event(event),
            Some(Err(EventStreamError::Transport(error))) => reader.fail(error),
            Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_))) => {
                reader.fail(EngineError::Temporary("the reply is no stream of events".into()))
            }
            None => reader.end(),
        };
        // After the end of the reply only its token counts are read.
        if progress == StreamProgress::Open {
            pending.extend(items);
        }
    }
}

fn bounded(
    body: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    let mut read = 0;
    body.map(move |piece| {
        let piece = piece?;
        read += piece.len();
        if read > LONGEST { Err(EngineError::Permanent("the reply does not end".into())) } else { Ok(piece) }
    })
}
