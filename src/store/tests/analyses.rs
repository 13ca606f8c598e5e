//! Analyses of calls: what queues them, who has them, and what they leave.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;

use super::{Database, on_both, values};
use crate::billing::{Price, Prices};
use crate::store::statement::sql;
use crate::store::tx::{Access, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_spoken_call_is_queued_where_its_profile_asks_for_it,
    an_analysis_of_a_killed_daemon_is_taken_again,
    a_result_is_on_the_record_with_its_usage_and_an_event,
    a_failed_attempt_is_due_again_and_the_last_one_ends_visibly,
    calls_are_found_by_their_analysis,
    an_erased_call_loses_its_analysis,
    an_event_is_erased_after_the_analysis_was_deleted,
    a_call_is_analysed_again_on_request,
    an_imported_call_with_a_pending_analysis_is_analysed_on_request,
    another_tenant_neither_takes_nor_requests_an_analysis,
    a_callers_rating_is_feedback_once,
    the_usage_of_trials_at_once_is_added_up,
    a_trial_of_a_call_that_is_deleted_meanwhile_adds_nothing,
);

/// A tenant with a profile that asks for an analysis.
pub async fn analysed_tenant(db: &Database, n: u32) -> Route {
    let mut route = db.tenant(n).await;
    let scope = db.store.scope(route.tenant.id);
    let analysis = serde_json::from_value(json!({
        "enabled": true, "summary": true, "outcome": ["order placed", "other"], "success": "An order was placed.",
        "fields": [{ "name": "loaves", "type": "number", "description": "How many loaves." }],
    }));
    let settings =
        ProfileSettings { analysis: Some(analysis.expect("settings")), ..ProfileSettings::default() };
    let changes = ProfileChanges { settings: Some(settings), ..ProfileChanges::default() };
    let id = route.profile.as_ref().expect("a profile").id;
    let profile = scope.update_profile(&Actor::system(), id, changes).await.expect("a version");
    route.profile = Some(profile);
    route
}

/// A call with one turn that has ended.
pub async fn ended(db: &Database, route: &Route) -> Call {
    let scope = db.store.scope(route.tenant.id);
    let call = values::completed(&values::call_to(route));
    scope.begin_call(&Call { ended_at: None, ..call.clone() }).await.expect("a call");
    scope.add_turn(&values::turn(&call, 1)).await.expect("a turn");
    scope.end_call(&call, &[]).await.expect("an end");
    call
}

fn soon() -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(1)
}

async fn claim(scope: &Scope, at: DateTime<Utc>) -> Option<ClaimedAnalysis> {
    scope.claim_analysis(at, at + TimeDelta::seconds(60)).await.expect("an answer")
}

fn result() -> AnalysisResult {
    AnalysisResult {
        summary: Some("Two loaves for Miller.".to_owned()),
        outcome: Some("order placed".to_owned()),
        success: Some(true),
        fields: [("loaves".to_owned(), json!(2))].into(),
        ..AnalysisResult::default()
    }
}

fn attempt(at: DateTime<Utc>, outcome: AnalysisOutcome) -> AnalysisAttempt {
    let tokens = |unit, quantity| EngineUse {
        kind: EngineKind::Llm,
        engine: "openai".to_owned(),
        model: "gpt-5.4-mini".to_owned(),
        unit,
        quantity,
    };
    let usage = vec![tokens(UsageUnit::InputTokens, 500), tokens(UsageUnit::OutputTokens, 60)];
    AnalysisAttempt { at, usage, outcome }
}

/// A price list with a price for a million input tokens.
fn price_of_input(price: u64) -> Prices {
    let (kind, unit) = (EngineKind::Llm, UsageUnit::InputTokens);
    let price = Price { kind, engine: "openai".into(), model: "*".into(), unit, price, per: 1_000_000 };
    Prices { engines: vec![price], ..Prices::default() }
}

async fn analysis_of(scope: &Scope, call: &Call) -> Option<CallAnalysis> {
    let (call, _) = scope.call(call.id).await.expect("an answer").expect("the call");
    call.analysis.map(|analysis| *analysis)
}

async fn a_spoken_call_is_queued_where_its_profile_asks_for_it(db: Database) {
    let (route, plain) = (analysed_tenant(&db, 1).await, db.tenant(2).await);
    let scope = db.store.scope(route.tenant.id);
    let silent = values::completed(&values::call_to(&route));
    scope.end_call(&silent, &[]).await.expect("a call without words");
    let unasked = ended(&db, &plain).await;
    assert_eq!(db.store.tenants_with_due_analyses(soon()).await.expect("an answer"), []);
    assert_eq!(analysis_of(&db.store.scope(plain.tenant.id), &unasked).await, None);

    let call = ended(&db, &route).await;
    scope.end_call(&call, &[]).await.expect("a repeated end");
    assert_eq!(db.store.tenants_with_due_analyses(soon()).await.expect("an answer"), [route.tenant.id]);
    assert_eq!(db.store.analyses_pending().await.expect("a count"), 1);
    assert_eq!(analysis_of(&scope, &call).await, Some(CallAnalysis::due()));
    let claimed = claim(&scope, soon()).await.expect("it is due");
    let analysed = scope.analysed_call(&claimed).await.expect("the material");
    assert_eq!((analysed.call.id, analysed.turns.len()), (call.id, 1));
    assert_eq!(Some(analysed.profile.version), call.ai_profile_version, "the version that served the call");
}

async fn an_analysis_of_a_killed_daemon_is_taken_again(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = ended(&db, &route).await;
    let at = soon();
    let lost = claim(&scope, at).await.expect("it is due");
    assert_eq!((lost.call, lost.attempt), (call.id, 1));
    assert_eq!(claim(&scope, at + TimeDelta::seconds(59)).await, None, "the lease lasts");
    // The daemon was killed: its lease ends.
    let later = at + TimeDelta::seconds(60);
    assert_eq!(db.store.tenants_with_due_analyses(later).await.expect("an answer"), [route.tenant.id]);
    let again = claim(&scope, later).await.expect("it is due again");
    assert_eq!((again.call, again.attempt), (call.id, 2));
    let late = attempt(later, AnalysisOutcome::Failed("too late".into()));
    assert!(
        !scope.settle_analysis(&lost, late, &Prices::default()).await.expect("an answer"),
        "another has the lease"
    );
    assert_eq!(analysis_of(&scope, &call).await.expect("one").status, AnalysisStatus::Pending);
    let done = attempt(later, AnalysisOutcome::Done(result()));
    assert!(scope.settle_analysis(&again, done, &Prices::default()).await.expect("an answer"));
    assert_eq!(claim(&scope, later + TimeDelta::days(1)).await, None);
}

async fn a_result_is_on_the_record_with_its_usage_and_an_event(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    db.subscribe(route.tenant.id, EventType::CallAnalyzed).await;
    let call = ended(&db, &route).await;
    let month = Month::of(call.ended_at.expect("an end"));
    let day = call.ended_at.expect("an end").date_naive();
    let claimed = claim(&scope, soon()).await.expect("it is due");
    let at = soon();
    let done = attempt(at, AnalysisOutcome::Done(result()));
    scope.settle_analysis(&claimed, done.clone(), &price_of_input(2_000_000)).await.expect("it is recorded");
    let analysis = analysis_of(&scope, &call).await.expect("an analysis");
    assert_eq!((analysis.status, analysis.run, &analysis.problem), (AnalysisStatus::Done, 1, &None));
    assert_eq!((&analysis.result, analysis.tokens()), (&result(), 560));
    let of_call = scope.usage_of_call(call.id).await.expect("an answer").expect("the call");
    assert_eq!(of_call.engines, [], "the call's own usage has no part of it");
    assert_eq!(scope.usage_of_analyses(call.id).await.expect("usage"), done.usage);
    let of_month = scope.usage_of_month(month).await.expect("usage").engines;
    assert_eq!(of_month, done.usage);
    assert_eq!(scope.usage_of_days(day, day).await.expect("usage").engines, of_month);
    let webhooks = scope.webhooks(Window::first(9)).await.expect("webhooks").items;
    let sent = scope.deliveries(webhooks[0].id, DeliveryFilter::default(), Window::first(9)).await;
    assert_eq!(sent.expect("deliveries").items.len(), 1);
    let due =
        scope.claim_deliveries(webhooks[0].id, at, at + TimeDelta::seconds(20), 9).await.expect("a claim");
    let payload: serde_json::Value = serde_json::from_str(&due[0].payload).expect("JSON");
    let cost = &payload["data"]["cost"];
    assert_eq!((&cost["currency"], &cost["total_micros"]), (&json!("EUR"), &json!(1_000)), "{payload}");
    let amounts: Vec<_> =
        cost["lines"].as_array().into_iter().flatten().map(|it| &it["amount_micros"]).collect();
    assert_eq!(amounts, [0, 1_000, 0], "call time, input, output: {payload}");
    scope.update_call(&call).await.expect("a late state of the call");
    assert_eq!(analysis_of(&scope, &call).await, Some(analysis), "it stays");
}

async fn a_failed_attempt_is_due_again_and_the_last_one_ends_visibly(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = ended(&db, &route).await;
    let (at, next) = (soon(), soon() + TimeDelta::seconds(30));
    let claimed = claim(&scope, at).await.expect("it is due");
    let again = attempt(at, AnalysisOutcome::Again(next, "openai: timeout".into()));
    scope.settle_analysis(&claimed, again, &Prices::default()).await.expect("recorded");
    let waiting = analysis_of(&scope, &call).await.expect("one");
    assert_eq!(
        (waiting.status, waiting.problem.as_deref()),
        (AnalysisStatus::Pending, Some("openai: timeout"))
    );
    assert_eq!(claim(&scope, at).await, None);
    let claimed = claim(&scope, next + TimeDelta::seconds(1)).await.expect("it is due again");
    let last = attempt(next, AnalysisOutcome::Failed("openai: timeout".into()));
    scope.settle_analysis(&claimed, last, &Prices::default()).await.expect("recorded");
    let over = analysis_of(&scope, &call).await.expect("one");
    assert_eq!((over.status, over.tokens()), (AnalysisStatus::Failed, 2 * 560));
    assert!(over.finished_at.is_some());
    assert_eq!(db.store.analyses_pending().await.expect("a count"), 0);
}

async fn calls_are_found_by_their_analysis(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = ended(&db, &route).await;
    let claimed = claim(&scope, soon()).await.expect("it is due");
    let done = attempt(soon(), AnalysisOutcome::Done(result()));
    scope.settle_analysis(&claimed, done, &Prices::default()).await.expect("it is recorded");
    let found = async |analysis: AnalysisFilter| {
        let filter = CallFilter { analysis, ..CallFilter::default() };
        let own = scope.calls(&filter, Window::first(9)).await.expect("calls").items;
        let all = db.store.calls(&filter, Window::first(9)).await.expect("calls").items;
        assert_eq!(own, all);
        own.into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    let none = AnalysisFilter::default();
    let field = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
    for filter in [
        AnalysisFilter { outcome: Some("order placed".into()), ..none.clone() },
        AnalysisFilter { success: Some(true), field: field("loaves", "2"), ..none.clone() },
    ] {
        assert_eq!(found(filter).await, [call.id]);
    }
    for filter in [
        AnalysisFilter { outcome: Some("other".into()), ..none.clone() },
        AnalysisFilter { success: Some(false), ..none.clone() },
        AnalysisFilter { sentiment: Some(Sentiment::Neutral), ..none.clone() },
        AnalysisFilter { field: field("loaves", "3"), ..none.clone() },
        AnalysisFilter { field: field("outcome", "order placed"), ..none.clone() },
    ] {
        assert_eq!(found(filter).await, []);
    }
}

async fn an_erased_call_loses_its_analysis(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    db.subscribe(route.tenant.id, EventType::CallAnalyzed).await;
    let (done, due) = (ended(&db, &route).await, ended(&db, &route).await);
    let first = claim(&scope, soon()).await.expect("it is due");
    assert_eq!(first.call, done.id, "the oldest one");
    scope
        .settle_analysis(&first, attempt(soon(), AnalysisOutcome::Done(result())), &Prices::default())
        .await
        .expect("recorded");
    let second = claim(&scope, soon()).await.expect("it is due");
    for call in [&done, &due] {
        let erased = scope.erase(&Actor::system(), &Subject::Call(call.id), false).await.expect("erased");
        assert_eq!(erased.analyses, 1);
        assert_eq!(analysis_of(&scope, call).await, None);
    }
    let late = attempt(soon(), AnalysisOutcome::Done(result()));
    assert!(
        !scope.settle_analysis(&second, late, &Prices::default()).await.expect("an answer"),
        "the call was erased meanwhile"
    );
    assert_eq!(analysis_of(&scope, &due).await, None);
    let outcome = AnalysisFilter { outcome: Some("order placed".into()), ..AnalysisFilter::default() };
    let filter = CallFilter { analysis: outcome, ..CallFilter::default() };
    assert_eq!(scope.calls(&filter, Window::first(9)).await.expect("calls").items, []);
    let rows = scope.export(&Actor::system(), true).await.expect("a document").tables;
    assert!(!serde_json::to_string(&rows).expect("JSON").contains("Miller"));
    assert!(rows["analysis_labels"].is_empty());
    let refused = scope.request_analysis(&Actor::system(), done.id).await;
    assert!(matches!(refused, Err(StoreError::Refused { code: "no_words", .. })), "{refused:?}");
}

async fn an_event_is_erased_after_the_analysis_was_deleted(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    db.subscribe(route.tenant.id, EventType::CallAnalyzed).await;
    let call = ended(&db, &route).await;
    let claimed = claim(&scope, soon()).await.expect("it is due");
    scope
        .settle_analysis(&claimed, attempt(soon(), AnalysisOutcome::Done(result())), &Prices::default())
        .await
        .expect("recorded");
    // As the retention of transcripts does, while the event is younger than the turns.
    db.raw("UPDATE calls SET analysis = NULL".to_owned()).await.expect("no analysis");
    let erased = scope.erase(&Actor::system(), &Subject::Call(call.id), false).await.expect("erased");
    assert_eq!((erased.analyses, erased.webhook_events, erased.deliveries_cancelled), (0, 1, 1));
}

async fn a_call_is_analysed_again_on_request(db: Database) {
    let (route, plain) = (analysed_tenant(&db, 1).await, db.tenant(2).await);
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let call = ended(&db, &route).await;
    let code = async |scope: &Scope, call: CallId| match scope.request_analysis(&actor, call).await {
        Err(StoreError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(scope.request_analysis(&actor, call.id).await.expect("it is due already").run, 1);
    let first = claim(&scope, soon()).await.expect("it is due");
    scope
        .settle_analysis(&first, attempt(soon(), AnalysisOutcome::Done(result())), &Prices::default())
        .await
        .expect("recorded");
    let again = scope.request_analysis(&actor, call.id).await.expect("it is due again");
    assert_eq!((again.run, again.status), (2, AnalysisStatus::Pending));
    assert_eq!(again.result, result(), "the former result stays until there is another");
    let second = claim(&scope, soon()).await.expect("it is due");
    let failed = AnalysisOutcome::Failed("openai: auth".into());
    scope.settle_analysis(&second, attempt(soon(), failed), &Prices::default()).await.expect("recorded");
    let kept = analysis_of(&scope, &call).await.expect("one");
    assert_eq!((kept.status, &kept.result), (AnalysisStatus::Failed, &result()));
    let about = AuditFilter { resource_id: Some(call.id.to_string()), ..AuditFilter::default() };
    let entries = scope.audit(&about, Window::first(9)).await.expect("entries").items;
    assert_eq!(entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["analyze"]);

    let unasked = ended(&db, &plain).await;
    assert_eq!(code(&db.store.scope(plain.tenant.id), unasked.id).await, "analysis_off");
    let live = Call { status: CallStatus::Answered, ..values::call_to(&route) };
    scope.begin_call(&live).await.expect("a call");
    assert_eq!(code(&scope, live.id).await, "call_live");
}

async fn an_imported_call_with_a_pending_analysis_is_analysed_on_request(db: Database) {
    let route = analysed_tenant(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = ended(&db, &route).await;
    // An export leaves due analyses behind.
    db.raw("DELETE FROM analysis_jobs".to_owned()).await.expect("none is due");
    assert_eq!(claim(&scope, soon()).await, None);
    let requested = scope.request_analysis(&Actor::system(), call.id).await.expect("it is due");
    assert_eq!((requested.run, requested.status), (1, AnalysisStatus::Pending));
    assert_eq!(claim(&scope, soon()).await.expect("it is due").call, call.id);
}

async fn another_tenant_neither_takes_nor_requests_an_analysis(db: Database) {
    let (route, other) = (analysed_tenant(&db, 1).await, analysed_tenant(&db, 2).await);
    let (own, theirs) = (db.store.scope(route.tenant.id), db.store.scope(other.tenant.id));
    let call = ended(&db, &route).await;
    assert_eq!(claim(&theirs, soon()).await, None);
    let claimed = claim(&own, soon()).await.expect("its own");
    let read = theirs.analysed_call(&claimed).await.map(|it| it.call.id);
    assert!(matches!(read, Err(StoreError::NotFound)), "{read:?}");
    let requested = theirs.request_analysis(&Actor::system(), call.id).await;
    assert!(matches!(requested, Err(StoreError::NotFound)), "{requested:?}");
    let done = attempt(soon(), AnalysisOutcome::Done(result()));
    assert!(own.settle_analysis(&claimed, done, &Prices::default()).await.expect("its own"));
    assert_eq!(theirs.usage_of_analyses(call.id).await.expect("usage"), []);
    let success = AnalysisFilter { success: Some(true), ..AnalysisFilter::default() };
    let filter = CallFilter { analysis: success, ..CallFilter::default() };
    assert_eq!(theirs.calls(&filter, Window::first(9)).await.expect("calls").items, []);
}

async fn a_callers_rating_is_feedback_once(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    db.subscribe(route.tenant.id, EventType::FeedbackReceived).await;
    let call = ended(&db, &route).await;
    let rating = Feedback {
        id: FeedbackId::new(),
        tenant_id: call.tenant_id,
        call_id: call.id,
        rating: 4,
        comment: None,
        source: "caller".to_owned(),
        created_at: call.started_at,
    };
    for _ in 0..2 {
        db.store.write(&[Entry::Rated(rating.clone())]).await.expect("it is written");
    }
    let filter = FeedbackFilter { source: Some("caller".into()), ..FeedbackFilter::default() };
    assert_eq!(
        scope.feedback(&filter, Window::first(9)).await.expect("feedback").items,
        std::slice::from_ref(&rating)
    );
    assert_eq!(db.store.deliveries_pending().await.expect("a count"), 1);
    let other = db.tenant(2).await;
    let foreign = Feedback { id: FeedbackId::new(), tenant_id: other.tenant.id, ..rating };
    db.store.write(&[Entry::Rated(foreign)]).await.expect_err("another tenant's call");
}

/// The usage of one trial.
fn trial_usage() -> Vec<EngineUse> {
    attempt(soon(), AnalysisOutcome::Done(result())).usage
}

async fn the_usage_of_trials_at_once_is_added_up(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = ended(&db, &route).await;
    let usage = trial_usage();
    let added = join_all((0..4).map(|_| scope.add_trial_usage(&call, &usage))).await;
    added.into_iter().for_each(|it| it.expect("it is added"));
    let used = scope.usage_of_analyses(call.id).await.expect("usage");
    assert_eq!(used.iter().map(|it| it.quantity).collect::<Vec<_>>(), [2_000, 240]);
    let of_month = scope.usage_of_month(Month::of(call.ended_at.expect("an end"))).await.expect("usage");
    assert_eq!(of_month.engines, used);
}

async fn a_trial_of_a_call_that_is_deleted_meanwhile_adds_nothing(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = values::completed(&values::call_to(&route));
    scope.begin_call(&call).await.expect("a call");
    let mut deletion = scope.begin(Access::Write).await.expect("a transaction");
    let delete = sql("DELETE FROM calls WHERE tenant_id = $1 AND id = $2");
    deletion.execute(delete.bind(route.tenant.id.0).bind(call.id.0)).await.expect("it is deleted");
    let usage = trial_usage();
    let mut addition = pin!(scope.add_trial_usage(&call, &usage));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut addition).await;
    assert!(early.is_err(), "it waits for the deletion");
    deletion.commit().await.expect("it is deleted");
    addition.await.expect("there is no call to add it to");
    assert_eq!(scope.usage_of_analyses(call.id).await.expect("usage"), []);
}
