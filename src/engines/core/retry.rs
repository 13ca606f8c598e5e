//! Time limits, retries and the circuit breaker of an engine.
//!
//! An attempt has a time limit. Failed attempts are repeated after a growing, jittered delay, until one fails for good, none is
//! left, or the next one would begin after the budget. A stream is repeated only until its first piece, for played words
//! cannot be taken back; from then on only its stalls are watched. Questions and answers are not logged.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::EngineError;
use super::breaker::{Breaker, BreakerChange, BreakerLimits, Permit};

/// Time limits, retries and circuit breaker of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long one attempt may take until its answer, or the first piece of it; and how long the
    /// stream may then pause between pieces. Milliseconds, 8000 by default.
    pub timeout_ms: u64,
    /// How long all attempts together may take until the answer, or the first piece of it: a caller waits
    /// for it. Milliseconds, 10000 by default.
    pub budget_ms: u64,
    /// How many more attempts follow a failed one. 2 by default.
    pub retries: u32,
    /// The pause before the first repetition; each further one doubles it. Milliseconds, 200 by default.
    pub backoff_ms: u64,
    /// The longest pause. Milliseconds, 2000 by default.
    pub max_backoff_ms: u64,
    /// Consecutive failed attempts after which the engine is left alone; 0 disables this. 2 by default.
    pub breaker_failures: u32,
    /// How long it is left alone before one request tries it again; it doubles while that fails. Milliseconds, 30000 by
    /// default.
    pub breaker_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeout_ms: 8_000,
            budget_ms: 10_000,
            retries: 2,
            backoff_ms: 200,
            max_backoff_ms: 2_000,
            breaker_failures: 2,
            breaker_ms: 30_000,
        }
    }
}

/// The purpose of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Stt,
    Llm,
    Tts,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Stt => "stt",
            Kind::Llm => "llm",
            Kind::Tts => "tts",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The longest time that an engine is left alone because it asked for it.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Time limits, retries and circuit breaker of one engine. Clones share the breaker.
#[derive(Debug, Clone)]
pub struct Policy {
    kind: Kind,
    engine: Arc<str>,
    settings: Settings,
    breaker: Breaker,
    /// Another engine answers when this one does not.
    has_fallback: bool,
}

impl Policy {
    pub fn new(kind: Kind, engine: Arc<str>, settings: Settings) -> Policy {
        Policy { kind, engine, settings, breaker: Breaker::default(), has_fallback: false }
    }

    /// The same engine, with or without another one that answers when this one does not.
    pub fn with_fallback(self, has_fallback: bool) -> Policy {
        Policy { has_fallback, ..self }
    }

    /// How long an attempt may take.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.settings.timeout_ms)
    }

    /// Whether the engine is left alone at present.
    pub fn is_open(&self) -> bool {
        self.breaker.is_open(Instant::now())
    }

    /// Asks until there is an answer, a permanent failure, no attempt left or the budget spent.
    ///
    /// # Errors
    /// The last attempt's, or that the engine is left alone at present.
    pub async fn answer<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let permit = self.breaker.admit(Instant::now(), self.has_fallback).map_err(|wait| {
            self.count("open");
            EngineError::Open(wait)
        })?;
        let budget = Duration::from_millis(self.settings.budget_ms);
        let (mut failures, is_trial) = (0, permit.is_trial());
        let answer = timeout(budget, self.attempts(ask, is_trial, &mut failures)).await;
        let answer = answer.unwrap_or_else(|_| {
            tracing::warn!(engine = %self.engine, kind = %self.kind, ?budget, "engine given up: its budget is spent");
            failures += 1;
            Err(EngineError::Timeout(budget))
        });
        self.settle(permit, answer.as_ref().err(), failures);
        answer
    }

    /// Lets the breaker know how a question ended. A refusal proves that the engine works.
    fn settle(&self, permit: Permit, error: Option<&EngineError>, failures: u32) {
        let change = match error.filter(|error| error.worth_retrying()) {
            None => permit.succeeded(),
            Some(error) => {
                let delay = match error {
                    EngineError::Busy { after, .. } => Some((*after).min(LONGEST_DELAY)),
                    _ => None,
                };
                let pause = Duration::from_millis(self.settings.breaker_ms);
                let limits = BreakerLimits { failures: self.settings.breaker_failures, pause };
                permit.failed(failures, delay, limits, Instant::now())
            }
        };
        match change {
            BreakerChange::None => return,
            BreakerChange::Opened(pause) => {
                tracing::warn!(engine = %self.engine, kind = %self.kind, ?pause, "engine not asked for a while: it failed");
            }
            BreakerChange::Closed => {
                tracing::info!(engine = %self.engine, kind = %self.kind, "engine works again")
            }
        }
        let is_open = if change == BreakerChange::Closed { 0.0 } else { 1.0 };
        metrics::gauge!("vca_engine_open", "engine" => self.engine.clone(), "kind" => self.kind.as_str())
            .set(is_open);
    }

    async fn attempts<T, F>(
        &self,
        mut ask: impl FnMut() -> F,
        is_trial: bool,
        failures: &mut u32,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let end = Instant::now() + Duration::from_millis(self.settings.budget_ms);
        // A caller waits for a trial, too: it is short.
        let (retries, limit) =
            if is_trial { (0, self.limit() / 2) } else { (self.settings.retries, self.limit()) };
        loop {
            let error = match self.attempt(ask(), limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            *failures += 1;
            let pause = self.pause(*failures, &error);
            let last = !error.worth_retrying() || *failures > retries || Instant::now() + pause >= end;
            tracing::warn!(
                engine = %self.engine, kind = %self.kind, attempt = *failures, last, reason = error.reason().as_str(), %error,
                "engine failed"
            );
            if last {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// The same for a stream: repeated before its first piece, then watched for stalls.
    ///
    /// An error is the last item of the stream.
    pub async fn stream<T, F>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<BoxStream<'static, Result<T, EngineError>>, EngineError>
    where
        T: Send + 'static,
        F: Future<Output = Result<BoxStream<'static, Result<T, EngineError>>, EngineError>>,
    {
        let begun = self.answer(|| begin(ask())).await?;
        let Some((first, rest)) = begun else { return Ok(stream::empty().boxed()) };
        Ok(stream::once(async { Ok(first) }).chain(self.clone().watched(rest)).boxed())
    }

    /// A single attempt that is neither repeated nor counted.
    pub async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        limited(answer, self.limit()).await
    }

    async fn attempt<T>(
        &self,
        answer: impl Future<Output = Result<T, EngineError>>,
        limit: Duration,
    ) -> Result<T, EngineError> {
        let begun = Instant::now();
        let result = limited(answer, limit).await;
        self.count(result.as_ref().map_or_else(EngineError::outcome, |_| "ok"));
        if let Err(error) = &result {
            let reason = error.reason().as_str();
            metrics::counter!(
                "vca_engine_failures_total", "engine" => self.engine.clone(), "kind" => self.kind.as_str(), "reason" => reason
            )
            .increment(1);
        }
        metrics::histogram!("vca_engine_seconds", "engine" => self.engine.clone(), "kind" => self.kind.as_str())
            .record(begun.elapsed());
        result
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!(
            "vca_engine_requests_total", "engine" => self.engine.clone(), "kind" => self.kind.as_str(), "outcome" => outcome
        )
        .increment(1);
    }

    /// Half to all of the doubled pause, or what a vendor asked for.
    fn pause(&self, failures: u32, error: &EngineError) -> Duration {
        if let EngineError::Busy { after, .. } = error {
            return *after;
        }
        let doubled = self.settings.backoff_ms.saturating_mul(1 << (failures - 1).min(16));
        let pause = Duration::from_millis(doubled.min(self.settings.max_backoff_ms));
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn watched<T: Send + 'static>(
        self,
        rest: BoxStream<'static, Result<T, EngineError>>,
    ) -> impl futures_util::Stream<Item = Result<T, EngineError>> + Send + 'static {
        stream::unfold(Some(rest), move |rest| {
            let policy = self.clone();
            async move {
                let mut rest = rest?;
                let next = match timeout(policy.limit(), rest.next()).await {
                    Ok(next) => next?,
                    Err(_) => Err(EngineError::Timeout(policy.limit())),
                };
                if let Err(error) = &next {
                    policy.count("broken");
                    tracing::warn!(
                        engine = %policy.engine, kind = %policy.kind, %error, "engine broke off its answer"
                    );
                    return Some((next, None));
                }
                Some((next, Some(rest)))
            }
        })
    }
}

async fn limited<T>(
    answer: impl Future<Output = Result<T, EngineError>>,
    limit: Duration,
) -> Result<T, EngineError> {
    timeout(limit, answer).await.unwrap_or(Err(EngineError::Timeout(limit)))
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn policy() -> Policy {
        Policy::new(Kind::Llm, "test".into(), Settings::default())
    }

    fn temporary() -> EngineError {
        EngineError::Temporary("down".into())
    }

    /// Asks with the given results in turn; returns the outcome, the attempts made and the time taken.
    async fn asked(results: Vec<Result<u8, EngineError>>) -> (Result<u8, EngineError>, usize, Duration) {
        let (mut left, total, begun) = (VecDeque::from(results), 9, Instant::now());
        let mut asked = 0;
        let answer = policy()
            .answer(|| {
                asked += 1;
                let result = left.pop_front();
                async move {
                    match result {
                        Some(result) => result,
                        None => std::future::pending().await,
                    }
                }
            })
            .await;
        assert!(asked < total);
        (answer, asked, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn two_failures_are_overcome() {
        let (answer, asked, took) = asked(vec![Err(temporary()), Err(temporary()), Ok(7)]).await;
        assert_eq!((answer, asked), (Ok(7), 3));
        let expected = Duration::from_millis(300)..=Duration::from_millis(610);
        assert!(expected.contains(&took), "200 and 400 ms, jittered down to half: {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_failure_is_returned() {
        let (answer, asked, _) =
            asked(vec![Err(temporary()), Err(temporary()), Err(temporary()), Ok(7)]).await;
        assert_eq!((answer, asked), (Err(temporary()), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_failure_is_not_repeated() {
        let error = EngineError::Permanent("wrong key".into());
        let (answer, asked, took) = asked(vec![Err(error.clone()), Ok(7)]).await;
        assert_eq!((answer, asked, took), (Err(error), 1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_no_longer_than_the_budget() {
        let (answer, asked, took) = asked(vec![]).await;
        assert_eq!((answer, asked), (Err(EngineError::Timeout(Duration::from_secs(10))), 2));
        assert_eq!(took, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_asks_for_time_gets_it() {
        let busy = EngineError::Busy { after: Duration::from_secs(3), reason: "429".into() };
        let (answer, _, took) = asked(vec![Err(busy), Ok(1)]).await;
        assert_eq!((answer, took.as_secs()), (Ok(1), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_beyond_the_budget_is_not_waited_for() {
        let busy = EngineError::Busy { after: Duration::from_secs(20), reason: "429".into() };
        let (answer, asked, took) = asked(vec![Err(busy.clone()), Ok(1)]).await;
        assert_eq!((answer, asked, took), (Err(busy), 1, Duration::ZERO));
    }

    /// Asks one question of an engine that hangs; the outcome and the time taken.
    async fn hang(policy: &Policy) -> (Result<u8, EngineError>, Duration) {
        let begun = Instant::now();
        (policy.answer(std::future::pending::<Result<u8, EngineError>>).await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_costs_one_question() {
        let policy = policy().with_fallback(true);
        let seconds = Duration::from_secs;
        assert_eq!(hang(&policy).await, (Err(EngineError::Timeout(seconds(10))), seconds(10)));
        assert!(policy.is_open());
        assert_eq!(hang(&policy).await, (Err(EngineError::Open(seconds(30))), Duration::ZERO));
        let clone = policy.clone();
        assert!(matches!(hang(&clone).await.0, Err(EngineError::Open(_))), "clones share the breaker");
        tokio::time::advance(seconds(30)).await;
        assert_eq!(hang(&policy).await, (Err(EngineError::Timeout(seconds(4))), seconds(4)), "a short trial");
        tokio::time::advance(seconds(60)).await;
        assert_eq!(policy.answer(|| std::future::ready(Ok(7))).await, Ok(7));
        assert!(!policy.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_fallback_an_engine_that_hangs_is_tried_for_a_short_time() {
        let policy = policy();
        let seconds = Duration::from_secs;
        assert_eq!(hang(&policy).await.1, seconds(10));
        assert_eq!(hang(&policy).await, (Err(EngineError::Timeout(seconds(4))), seconds(4)));
        assert_eq!(policy.answer(|| std::future::ready(Ok(7))).await, Ok(7), "it recovers at once");
        assert!(!policy.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_asks_for_time_is_left_alone_for_it() {
        let policy = policy();
        let busy = EngineError::Busy { after: Duration::from_secs(90), reason: "429".into() };
        let answer: Result<u8, _> = policy.answer(|| std::future::ready(Err(busy.clone()))).await;
        assert_eq!(answer, Err(busy));
        tokio::time::advance(Duration::from_secs(89)).await;
        let answer: Result<u8, _> = policy.answer(|| std::future::ready(Ok(1))).await;
        assert_eq!(answer, Err(EngineError::Open(Duration::from_secs(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_do_not_open_the_breaker() {
        let policy = policy();
        for _ in 0..9 {
            let refusal = EngineError::Permanent("HTTP 400".into());
            let answer: Result<u8, _> = policy.answer(|| std::future::ready(Err(refusal.clone()))).await;
            assert_eq!(answer, Err(refusal));
        }
        assert!(!policy.is_open(), "a faulty profile does not keep other tenants from an engine");
    }

    type Item = Result<u8, EngineError>;

    fn pieces(items: Vec<Item>, then_stall: bool) -> BoxStream<'static, Item> {
        let given = stream::iter(items);
        if then_stall { given.chain(stream::pending()).boxed() } else { given.boxed() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_repeated_until_its_first_piece() {
        let mut streams = VecDeque::from([
            pieces(vec![Err(temporary())], false),
            pieces(vec![], true),
            pieces(vec![Ok(1), Ok(2)], false),
        ]);
        let heard = policy().stream(|| std::future::ready(Ok(streams.pop_front().unwrap()))).await.unwrap();
        assert_eq!(heard.collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_after_the_first_piece_ends_the_stream() {
        let mut asked = 0;
        let heard = policy()
            .stream(|| {
                asked += 1;
                std::future::ready(Ok(pieces(vec![Ok(1)], true)))
            })
            .await
            .unwrap();
        let timeout = EngineError::Timeout(Duration::from_secs(8));
        assert_eq!(heard.collect::<Vec<_>>().await, [Ok(1), Err(timeout)]);
        assert_eq!(asked, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_after_the_first_piece_ends_the_stream() {
        let heard = policy()
            .stream(|| std::future::ready(Ok(pieces(vec![Ok(1), Err(temporary()), Ok(2)], true))))
            .await
            .unwrap();
        assert_eq!(heard.collect::<Vec<_>>().await, [Ok(1), Err(temporary())]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_stream_is_an_answer() {
        let heard = policy().stream(|| std::future::ready(Ok(pieces(vec![], false)))).await.unwrap();
        assert_eq!(heard.count().await, 0);
    }
}
