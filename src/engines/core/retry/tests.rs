//! Retries, time limits and the breaker in paused time.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::*;
use crate::engines::core::shares::{EngineShares, Scale};

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
    let (answer, asked, _) = asked(vec![Err(temporary()), Err(temporary()), Err(temporary()), Ok(7)]).await;
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

#[tokio::test(start_paused = true)]
async fn an_engine_whose_streams_stall_in_a_row_is_left_alone() {
    let policy = policy().with_fallback(true);
    let begun = async || {
        let ask = || std::future::ready(Ok(pieces(vec![Ok(1)], true)));
        let mut stream = policy.stream(ask).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(1)));
        stream
    };
    let (second, most) = (Duration::from_secs(1), Duration::from_millis(1_900));
    for (wait, is_open) in [(most, false), (2 * second, false), (most, false), (2 * second, true)] {
        let mut stream = begun().await;
        assert!(timeout(wait, stream.next()).await.is_err());
        drop(stream);
        assert_eq!(policy.is_open(), is_open, "{wait:?}");
    }
    assert!(policy.engine_state().health < 0.9);
}

/// The policies of two tenants for the engine.
fn tenants(policy: &Policy) -> [Policy; 2] {
    let all = EngineShares::default();
    [(); 2].map(|()| {
        policy.clone().with_shares(&all.of(
            uuid::Uuid::now_v7(),
            &Arc::default(),
            Scale { calls: 1, percent: 100 },
        ))
    })
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_of_one_tenant_pause_the_engine_for_it_alone() {
    let [one, other] = tenants(&policy().with_fallback(true));
    let refused = || std::future::ready(Err::<u8, _>(EngineError::RateLimited("429".into())));
    assert!(matches!(one.answer(refused).await, Err(EngineError::RateLimited(_))));
    let answer = || std::future::ready(Ok(7));
    assert!(matches!(one.answer(answer).await, Err(EngineError::Open(_))));
    assert_eq!(other.answer(answer).await, Ok(7));
    assert!(!other.is_open());
    assert_eq!(one.clone().with_fallback(false).answer(answer).await, Ok(7), "to refuse it would not help");
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(one.answer(answer).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_the_vendor_asks_for_applies_to_all_tenants_and_ends_for_all() {
    let [one, other] = tenants(&policy().with_fallback(true));
    let busy = EngineError::Busy { after: Duration::from_secs(20), reason: "429".into() };
    let refused = || std::future::ready(Err::<u8, _>(busy.clone()));
    assert_eq!(one.answer(refused).await, Err(busy.clone()));
    let answer = || std::future::ready(Ok(7));
    assert_eq!(other.answer(answer).await, Err(EngineError::Open(Duration::from_secs(20))));
    tokio::time::advance(Duration::from_secs(20)).await;
    let slow = || async {
        sleep(Duration::from_secs(1)).await;
        Ok::<u8, EngineError>(7)
    };
    let answers = tokio::join!(one.answer(slow), other.answer(slow));
    assert_eq!(answers, (Ok(7), Ok(7)), "the first request is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_place_until_it_ends() {
    let [tenant, _] = tenants(&policy());
    let endless = || async { Ok(stream::repeat(1).map(Ok).boxed()) };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(tenant.stream(endless).await.expect("a place"));
    }
    let refused = tenant.stream(endless).await.err();
    assert!(matches!(refused, Some(EngineError::Limited { .. })), "{refused:?}");
    held.pop();
    let ended = tenant.stream(|| async { Ok(stream::iter([Ok(1)]).boxed()) }).await.expect("a place");
    assert_eq!(ended.collect::<Vec<_>>().await, [Ok(1)]);
    assert!(tenant.stream(endless).await.is_ok());
}

/// A share of 60 requests a minute, of which 58 are used up.
#[tokio::test(start_paused = true)]
async fn repetitions_count_against_the_share() {
    let [tenant, _] = tenants(&policy());
    for _ in 0..58 {
        assert_eq!(tenant.answer(|| std::future::ready(Ok(7))).await, Ok(7));
    }
    let mut asked = 0;
    let fails = || {
        asked += 1;
        std::future::ready(Err::<u8, _>(temporary()))
    };
    assert_eq!(tenant.answer(fails).await, Err(temporary()));
    assert_eq!(asked, 2, "the share has one more request, and none for a second repetition");
}

#[tokio::test(start_paused = true)]
async fn the_operators_limit_is_that_of_all_tenants_together() {
    let most = NonZeroU32::new(2).expect("not zero");
    let settings = Settings { max_concurrent: most.get(), ..Settings::default() };
    let [one, other] = tenants(&Policy::new(Kind::Llm, "test".into(), settings));
    let endless = || async { Ok(stream::repeat(1).map(Ok).boxed()) };
    let mut held = [one.stream(endless).await.expect("a slot"), other.stream(endless).await.expect("a slot")];
    let begun = Instant::now();
    assert_eq!(one.stream(endless).await.err(), Some(EngineError::Full(most)));
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
    held[0] = stream::empty().boxed();
    assert!(other.stream(endless).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_left_alone_is_not_waited_for() {
    let [tenant, other] = tenants(&policy().with_fallback(true));
    let endless = || async { Ok(stream::repeat(1).map(Ok).boxed()) };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(tenant.stream(endless).await.expect("a place"));
    }
    let busy = EngineError::Busy { after: Duration::from_secs(20), reason: "429".into() };
    assert!(other.answer(|| std::future::ready(Err::<u8, _>(busy.clone()))).await.is_err());
    let begun = Instant::now();
    let refused = tenant.answer(|| std::future::ready(Ok(7))).await;
    assert_eq!(refused, Err(EngineError::Open(Duration::from_secs(20))), "and not that there is no place");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn engines_of_tenants_accounts_are_not_limited() {
    let own = Policy::new(Kind::Llm, "own:acme".into(), Settings::default());
    let [tenant, _] = tenants(&own);
    let hang = || tenant.answer(std::future::pending::<Result<u8, EngineError>>);
    let all = futures_util::future::join_all((0..9).map(|_| hang())).await;
    assert!(all.iter().all(|it| matches!(it, Err(EngineError::Timeout(_)))), "{all:?}");
}
