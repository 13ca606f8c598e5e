//! Shares in paused time.

use std::num::NonZeroU32;

use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;

/// One call at once with 3 requests a minute, 2 of them at the same time.
fn settings() -> Arc<Settings> {
    let count = |count| NonZeroU32::new(count).expect("not zero");
    Arc::new(Settings { llm_per_minute: count(3), llm_concurrent: count(2), ..Settings::default() })
}

fn scale(calls: u32) -> Scale {
    Scale { calls, percent: 100 }
}

fn shares(calls: u32) -> Arc<TenantShares> {
    EngineShares::default().of(Uuid::now_v7(), &settings(), scale(calls))
}

async fn ask(shares: &TenantShares) -> Result<EnginePlace, EngineError> {
    shares.admit(Stage::Llm, &"shared".into()).await
}

fn limited(limit: Limit) -> EngineError {
    EngineError::Limited { stage: "llm", limit }
}

#[tokio::test(start_paused = true)]
async fn a_request_beyond_the_share_fails_after_a_short_wait() {
    let (shares, begun) = (shares(1), Instant::now());
    let held = [ask(&shares).await.expect("one"), ask(&shares).await.expect("two")];
    assert_eq!(ask(&shares).await.err(), Some(limited(Limit::Concurrent)));
    assert_eq!(begun.elapsed().as_millis(), 500);
    drop(held);
    drop(ask(&shares).await.expect("the third of the minute"));
    let late = Instant::now();
    assert_eq!(ask(&shares).await.err(), Some(limited(Limit::PerMinute)));
    assert_eq!(late.elapsed(), Duration::ZERO, "the next one is due in 20 s: waiting is in vain");
    tokio::time::advance(Duration::from_millis(19_300)).await;
    assert!(ask(&shares).await.is_ok(), "it is due within the wait");
    assert!(ask(&shares).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn engines_and_stages_have_shares_of_their_own() {
    let shares = shares(1);
    let held = [ask(&shares).await.expect("one"), ask(&shares).await.expect("two")];
    assert!(ask(&shares).await.is_err());
    assert!(shares.admit(Stage::Llm, &"another".into()).await.is_ok());
    assert!(shares.admit(Stage::Analysis, &"shared".into()).await.is_ok());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_share_grows_with_the_calls_and_changes_while_calls_are_live() {
    let (all, tenant) = (EngineShares::default(), Uuid::now_v7());
    let of = |calls| all.of(tenant, &settings(), scale(calls));
    let shares = of(2);
    let held = join_all((0..4).map(|_| ask(&shares))).await;
    assert!(held.iter().all(Result::is_ok));
    assert!(ask(&shares).await.is_err());
    assert!(Arc::ptr_eq(&shares, &of(3)));
    assert_eq!(all.scale_of(tenant), Some(scale(3)));
    assert!(ask(&shares).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_use_of_a_share_is_known() {
    let all = EngineShares::default();
    let shares = all.of(Uuid::now_v7(), &settings(), scale(1));
    let uses = || -> Vec<_> {
        let uses = all.uses_of(shares.tenant()).into_iter();
        uses.map(|it| (it.stage, it.last_minute, it.in_progress)).collect()
    };
    assert_eq!(uses(), []);
    let held = ask(&shares).await.expect("a place");
    assert!(held.count_repetition());
    assert_eq!(uses(), [(Stage::Llm, 2, 1)]);
    drop(held);
    assert_eq!(uses(), [(Stage::Llm, 2, 0)]);
    tokio::time::advance(MINUTE).await;
    assert_eq!(uses(), [(Stage::Llm, 0, 0)]);
    assert_eq!(all.uses_of(Uuid::now_v7()), [], "another tenant's are its own");
}

#[test]
fn a_plan_has_a_part_of_the_shares() {
    let limits = |calls, percent| settings().limits(Stage::Llm, Scale { calls, percent }).per_minute.get();
    assert_eq!([limits(10, 50), limits(1, 10), limits(4, 250), limits(0, 100)], [15, 1, 30, 1]);
    assert_eq!(limits(u32::MAX, u32::MAX), u32::MAX);
}

#[tokio::test(start_paused = true)]
async fn tenants_without_requests_are_forgotten_and_labels_are_bounded() {
    let all = EngineShares::default();
    let held = all.of(Uuid::now_v7(), &settings(), scale(1));
    let recent = Uuid::now_v7();
    ask(&all.of(recent, &settings(), scale(1))).await.expect("a place");
    for _ in 0..KNOWN * 2 {
        all.of(Uuid::now_v7(), &settings(), scale(1));
    }
    assert!(all.tenants().by_id.len() <= KNOWN);
    assert!(all.scale_of(recent).is_some(), "its rate is not that of a new one");
    assert!(all.scale_of(held.tenant).is_some());
    assert_eq!(all.tenants().labelled.len(), MOST_LABELS);
    assert_eq!(&*all.of(Uuid::now_v7(), &settings(), scale(1)).label, OTHER);
}

/// A request: when it begins after the one before it, and how long it lasts, in milliseconds.
fn requests() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0..400u64, 0..5_000u64), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However one tenant asks, another one within its share is not delayed, and no request waits for longer than the bound.
    #[test]
    fn another_tenants_requests_are_not_delayed(talker in requests(), pauses in proptest::collection::vec(0..2_000u64, 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let delays = runtime.expect("a runtime").block_on(async move {
            let all = EngineShares::default();
            let (one, other) = (all.of(Uuid::now_v7(), &settings(), scale(1)), all.of(Uuid::now_v7(), &settings(), scale(1)));
            let mut at = 0;
            let talking = talker.into_iter().map(|(after, lasts)| {
                at += after;
                tokio::spawn(request(one.clone(), at, lasts))
            });
            let mut at = 0;
            let few = pauses.into_iter().map(|pause| {
                at += pause;
                tokio::spawn(request(other.clone(), at, 0))
            });
            let (talking, few): (Vec<_>, Vec<_>) = (talking.collect(), few.collect());
            (join_all(few).await, join_all(talking).await)
        });
        let (few, talking) = delays;
        for outcome in few {
            prop_assert_eq!(outcome.expect("no panic"), (true, Duration::ZERO));
        }
        for outcome in talking {
            prop_assert!(outcome.expect("no panic").1 <= Duration::from_millis(501));
        }
    }
}

/// Whether a request was admitted, and its delay.
async fn request(shares: Arc<TenantShares>, at: u64, lasts: u64) -> (bool, Duration) {
    sleep(Duration::from_millis(at)).await;
    let begun = Instant::now();
    let place = ask(&shares).await;
    let delay = begun.elapsed();
    if place.is_ok() && lasts > 0 {
        sleep(Duration::from_millis(lasts)).await;
    }
    (place.is_ok(), delay)
}
