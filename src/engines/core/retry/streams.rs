//! Requests that are answered in pieces: repeated before the first piece, then watched for stalls.

use std::sync::atomic::Ordering;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

use super::admission::HeldPlace;
use super::{EngineError, Policy, STALLED};

impl Policy {
    /// The same for a stream: repeated before its first piece, then watched for stalls.
    ///
    /// An error is the last item of the stream.
    pub async fn stream<T, F>(
        &self,
        ask: impl FnMut() -> F,
    ) -> Result<BoxStream<'static, Result<T, EngineError>>, EngineError>
    where
        T: Send + 'static,
        F: Future<Output = Result<BoxStream<'static, Result<T, EngineError>>, EngineError>>,
    {
        self.stream_from(None, ask).await
    }

    /// As [`Policy::stream`], from the place among the requests that is held already, else from a new one.
    pub async fn stream_from<T, F>(
        &self,
        place: Option<HeldPlace>,
        mut ask: impl FnMut() -> F,
    ) -> Result<BoxStream<'static, Result<T, EngineError>>, EngineError>
    where
        T: Send + 'static,
        F: Future<Output = Result<BoxStream<'static, Result<T, EngineError>>, EngineError>>,
    {
        let (begun, place) = self.hold_from(place, || begin(ask())).await?;
        let Some((first, rest)) = begun else { return Ok(stream::empty().boxed()) };
        Ok(stream::once(async { Ok(first) }).chain(self.clone().watched(rest, place)).boxed())
    }

    fn watched<T: Send + 'static>(
        self,
        rest: BoxStream<'static, Result<T, EngineError>>,
        place: HeldPlace,
    ) -> impl Stream<Item = Result<T, EngineError>> + Send + 'static {
        stream::unfold(Some((rest, place)), move |state| {
            let policy = self.clone();
            async move {
                let (mut rest, place) = state?;
                let waiting = Waiting { policy: &policy, since: Some(Instant::now()) };
                let next = timeout(policy.limit(), rest.next()).await;
                waiting.over();
                let next = match next {
                    Ok(Some(next)) => next,
                    Ok(None) => {
                        policy.broken.store(0, Ordering::Relaxed);
                        return None;
                    }
                    Err(_) => Err(EngineError::Timeout(policy.limit())),
                };
                if let Err(error) = &next {
                    policy.count("broken");
                    policy.broke_off();
                    tracing::warn!(
                        engine = %policy.engine, kind = %policy.kind, %error, "engine broke off its answer"
                    );
                    return Some((next, None));
                }
                Some((next, Some((rest, place))))
            }
        })
    }
}

/// A wait for the next piece of a stream. Given up after [`STALLED`], it counts as a stall: the caller of the stream asks
/// another engine then, long before the engine's own time limit.
struct Waiting<'a> {
    policy: &'a Policy,
    since: Option<Instant>,
}

impl Waiting<'_> {
    fn over(mut self) {
        self.since = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= STALLED) {
            self.policy.count("stalled");
            self.policy.broke_off();
        }
    }
}

/// A stream's first piece and the rest of it; nothing when it is empty.
async fn begin<T>(
    ask: impl Future<Output = Result<BoxStream<'static, Result<T, EngineError>>, EngineError>>,
) -> Result<Option<(T, BoxStream<'static, Result<T, EngineError>>)>, EngineError> {
    let mut pieces = ask.await?;
    match pieces.next().await {
        Some(first) => Ok(Some((first?, pieces))),
        None => Ok(None),
    }
}
