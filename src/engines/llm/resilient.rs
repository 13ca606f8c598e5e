//! An engine with its retries and its fallback.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use super::{Deltas, Llm, Prompt};
use crate::engines::core::EngineError;
use crate::engines::core::covered::NamedEngine;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::shares::{Stage, TenantShares};
use crate::engines::core::usage::Meter;

/// Asks an engine with retries, then its fallback. A reply that breaks off in the middle is not repeated.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Llm>,
    policy: Policy,
    /// In order, without fallbacks of their own.
    fallbacks: Arc<[Resilient]>,
}

impl Resilient {
    /// `fallback` is another engine, with the default policy.
    pub fn new(engine: Arc<dyn Llm>, settings: Settings, fallback: Option<Arc<dyn Llm>>) -> Resilient {
        let policy = Policy::new(Kind::Llm, engine.name().clone(), settings);
        let single = Resilient { engine, policy, fallbacks: [].into() };
        match fallback {
            Some(other) => single.with_fallbacks(&[&Resilient::new(other, Settings::default(), None)]),
            None => single,
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same engine with the same policy, and with these fallbacks in place of its own.
    pub fn with_fallbacks(&self, fallbacks: &[&Resilient]) -> Resilient {
        let single = |engine: &Resilient, is_last: bool| {
            let policy = engine.policy.clone().with_fallback(!is_last);
            Resilient { engine: engine.engine.clone(), policy, fallbacks: [].into() }
        };
        let last = fallbacks.len().saturating_sub(1);
        let chain = fallbacks.iter().enumerate().map(|(at, engine)| single(engine, at == last)).collect();
        Resilient { fallbacks: chain, ..single(self, fallbacks.is_empty()) }
    }

    /// The same engines for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: &Arc<TenantShares>) -> Resilient {
        let single = |engine: &Resilient| Resilient {
            engine: engine.engine.clone(),
            policy: engine.policy.clone().with_shares(shares),
            fallbacks: [].into(),
        };
        Resilient { fallbacks: self.fallbacks.iter().map(single).collect(), ..single(self) }
    }

    /// Asks the engine without its fallbacks; `is_last` where no other engine is asked after it.
    async fn ask_alone(&self, prompt: Prompt, meter: Meter, is_last: bool) -> Result<Deltas, EngineError> {
        self.policy
            .clone()
            .with_fallback(!is_last)
            .stream(|| self.engine.reply(prompt.clone(), meter.clone()))
            .await
    }

    /// The engines in the order in which they are asked: the one whose reply broke off is the last.
    fn engines_for(&self, prompt: &Prompt) -> impl Iterator<Item = &Resilient> {
        let (before, after) = if prompt.is_repeated { (None, Some(self)) } else { (Some(self), None) };
        before.into_iter().chain(self.fallbacks.iter()).chain(after)
    }
}

impl NamedEngine for Resilient {
    fn engine_name(&self) -> &Arc<str> {
        self.engine.name()
    }
}

impl Llm for Resilient {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        async move {
            let answer = meter.covered.first_answer(Kind::Llm, self.engines_for(&prompt), |engine, place| {
                let (mut prompt, meter) = (prompt.clone(), meter.clone());
                prompt.model = prompt.model.filter(|_| std::ptr::eq(engine, self));
                async move { engine.ask_alone(prompt, meter, place.is_last).await }
            });
            answer.await
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.engine.connect()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.policy.within(self.engine.probe()).boxed()
    }

    fn is_model(&self) -> bool {
        self.engine.is_model()
    }

    fn alone(&self) -> Option<Arc<dyn Llm>> {
        Some(match self.policy.is_limited() {
            true => Arc::new(LimitedLlm { engine: self.engine.clone(), policy: self.policy.clone() }),
            false => self.engine.clone(),
        })
    }

    fn remarks(&self) -> Vec<(String, String)> {
        self.engine.remarks()
    }
}

/// An engine whose requests for analyses are within the limits of the tenant and of the engine.
struct LimitedLlm {
    engine: Arc<dyn Llm>,
    policy: Policy,
}

impl Llm for LimitedLlm {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        async move {
            let place = self.policy.enter(Stage::Analysis).await?;
            let deltas = self.engine.reply(prompt, meter).await?;
            // Its place is held until the end of the reply.
            let held = deltas.inspect(move |_| {
                let _ = &place;
            });
            Ok(held.boxed())
        }
        .boxed()
    }

    fn is_model(&self) -> bool {
        self.engine.is_model()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures_util::stream;

    use super::*;
    use crate::engines::core::FailureReason;
    use crate::engines::core::shares::{EngineShares, Scale};
    use crate::engines::llm::Delta;

    /// Replies with its name and the model that it is asked for, or fails.
    struct Named {
        name: Arc<str>,
        fails: bool,
    }

    impl Llm for Named {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn reply(&self, prompt: Prompt, _: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
            let text = Delta::Text(format!("{} {:?}", self.name, prompt.model));
            let refusal = EngineError::refused(FailureReason::Auth, self.name.to_string());
            let reply = if self.fails { Err(refusal) } else { Ok(stream::iter([Ok(text)]).boxed()) };
            async { reply }.boxed()
        }
    }

    /// Asks engines of these names, the first one with the others as its fallbacks; a name in capitals fails.
    async fn asked(names: &[&str]) -> (Result<String, EngineError>, String) {
        let engine = |name: &&str| {
            let fails = name.chars().all(char::is_uppercase);
            Resilient::new(Arc::new(Named { name: (*name).into(), fails }), Settings::default(), None)
        };
        let engines: Vec<Resilient> = names.iter().map(engine).collect();
        let engine = engines[0].with_fallbacks(&engines.iter().skip(1).collect::<Vec<_>>());
        ask(&engine, false).await
    }

    async fn ask(engine: &Resilient, is_repeated: bool) -> (Result<String, EngineError>, String) {
        let prompt = Prompt { model: Some("m".into()), is_repeated, ..Prompt::default() };
        let meter = Meter::default();
        let reply = match engine.reply(prompt, meter.clone()).await {
            Ok(mut deltas) => match deltas.next().await {
                Some(Ok(Delta::Text(text))) => Ok(text),
                other => panic!("no text: {other:?}"),
            },
            Err(error) => Err(error),
        };
        let covered = meter.covered.take();
        let covered =
            covered.iter().map(|it| format!("{} {}", it.engine, it.served_by.as_deref().unwrap_or_default()));
        (reply, covered.collect::<Vec<_>>().join(","))
    }

    #[tokio::test]
    async fn fallbacks_are_asked_in_order_until_one_replies() {
        assert_eq!(asked(&["a", "b"]).await, (Ok("a Some(\"m\")".into()), String::new()));
        let expected = (Ok("b None".to_owned()), "A b".to_owned());
        assert_eq!(asked(&["A", "b", "c"]).await, expected, "a model's name is not for another engine");
        assert_eq!(asked(&["A", "B", "c"]).await, (Ok("c None".into()), "A c,B c".into()));
        let (error, covered) = asked(&["A", "B", "C"]).await;
        assert_eq!((error.expect_err("none works").to_string(), covered), ("C".into(), String::new()));
    }

    #[tokio::test]
    async fn an_engine_whose_reply_broke_off_is_asked_last() {
        let engine = |name: &str| {
            let fails = name == "B";
            Resilient::new(Arc::new(Named { name: name.into(), fails }), Settings::default(), None)
        };
        let (a, b, c) = (engine("a"), engine("b"), engine("B"));
        let reply = async |chain: Resilient| ask(&chain, true).await.0.expect("a reply");
        assert_eq!(reply(a.with_fallbacks(&[&b])).await, "b None");
        assert_eq!(reply(a.with_fallbacks(&[&c])).await, "a Some(\"m\")");
        assert_eq!(reply(a).await, "a Some(\"m\")", "without a fallback");
    }

    #[tokio::test]
    async fn the_last_fallback_is_tried_even_while_it_is_left_alone() {
        let engine = |name: &str| {
            Resilient::new(Arc::new(Named { name: name.into(), fails: false }), Settings::default(), None)
        };
        let (a, b) = (engine("a"), engine("b"));
        let chain = a.with_fallbacks(&[&b, &engine("c")]);
        let has_fallback = |engine: &Resilient| format!("{:?}", engine.policy).contains("has_fallback: true");
        let states: Vec<bool> = chain.engines_for(&Prompt::default()).map(has_fallback).collect();
        assert_eq!(states, [true, true, false]);
    }
    #[tokio::test(start_paused = true)]
    async fn an_engine_whose_reply_broke_off_is_asked_even_while_it_is_left_alone() {
        let engine = |name: &str| {
            let fails = name == "B";
            Resilient::new(Arc::new(Named { name: name.into(), fails }), Settings::default(), None)
        };
        let chain = engine("a").with_fallbacks(&[&engine("B")]);
        let failure = || async { Err::<(), _>(EngineError::Temporary("down".into())) };
        drop(chain.policy.answer(failure).await);
        assert!(chain.policy.is_open());
        assert_eq!(ask(&chain, true).await.0.as_deref(), Ok("a Some(\"m\")"));
        assert!(ask(&chain, false).await.0.is_ok(), "its trial has succeeded");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallback_replies_when_the_share_of_an_engine_is_used_up() {
        let engine = |name: &str| {
            Resilient::new(Arc::new(Named { name: name.into(), fails: false }), Settings::default(), None)
        };
        let shares = EngineShares::default();
        let chain = engine("a").with_fallbacks(&[&engine("b")]);
        let chain =
            chain.within(&shares.of(uuid::Uuid::now_v7(), &Arc::default(), Scale { calls: 1, percent: 100 }));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(chain.reply(Prompt::default(), Meter::default()).await.expect("a reply"));
        }
        let (reply, covered) = ask(&chain, false).await;
        assert_eq!((reply.as_deref(), &*covered), (Ok("b None"), "a b"));
        drop(held);
        assert_eq!(ask(&chain, false).await.0.as_deref(), Ok("a Some(\"m\")"));
        let alone = chain.alone().expect("an engine for analyses");
        for _ in 0..6 {
            assert!(alone.reply(Prompt::default(), Meter::default()).await.is_ok());
        }
        let error = alone.reply(Prompt::default(), Meter::default()).await.err();
        assert_eq!(error.map(|error| error.reason()), Some(FailureReason::Limited));
    }

    /// Fails at the first request, then replies.
    struct Recovering {
        name: Arc<str>,
        has_failed: AtomicBool,
    }

    impl Llm for Recovering {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn reply(&self, _: Prompt, _: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
            let reply = match self.has_failed.swap(true, Ordering::Relaxed) {
                false => Err(EngineError::Temporary("down".into())),
                true => Ok(stream::iter([Ok(Delta::Text("Yes.".into()))]).boxed()),
            };
            async { reply }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_held_from_the_first_attempt_to_the_end_of_the_reply() {
        let (all, tenant) = (EngineShares::default(), uuid::Uuid::now_v7());
        let shares = all.of(tenant, &Arc::default(), Scale { calls: 1, percent: 100 });
        let engine = Recovering { name: "a".into(), has_failed: AtomicBool::new(false) };
        let engine = Resilient::new(Arc::new(engine), Settings::default(), None).within(&shares);
        let used = || all.uses_of(tenant).first().map(|share| (share.last_minute, share.in_progress));
        let between_attempts = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            used()
        };
        let reply = engine.reply(Prompt::default(), Meter::default());
        let (reply, use_between_attempts) = tokio::join!(reply, between_attempts);
        assert_eq!(use_between_attempts, Some((2, 1)), "a repetition counts as a request");
        let deltas = reply.expect("a reply");
        assert_eq!(used(), Some((2, 1)));
        drop(deltas);
        assert_eq!(used(), Some((2, 0)));
    }
}
