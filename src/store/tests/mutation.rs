//! An exported document with a value changed is refused, or everything that reads the tenant still works.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Database, on_both, values};
use crate::billing::Billing;
use crate::store::statement::sql;
use crate::store::tx::{AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(a_changed_document_is_refused_or_can_be_read,);

const CASES: u32 = 250;

async fn a_changed_document_is_refused_or_can_be_read(db: Database) {
    let whole = serde_json::to_value(full(&db).await).expect("JSON");
    let places = places(&whole);
    let mut runner = TestRunner::deterministic();
    let change = (0..places.len(), value());
    let mut imported = 0;
    for case in 0..CASES {
        let (place, value) = change.new_tree(&mut runner).expect("a change").current();
        let mut changed = whole.clone();
        *changed.pointer_mut(&places[place]).expect("a place") = value.clone();
        let text = with_own_ids(&changed, case);
        let Ok(file) = TenantFile::parse(&text) else { continue };
        let actor = Actor::system();
        match db.store.import_tenant(&actor, &file, ImportSettings::default()).await {
            Ok(outcome) => {
                assert!(outcome.written, "{}: {outcome:?}", places[place]);
                imported += 1;
                let read = read_all(&db, outcome.tenant_id).await;
                assert!(read.is_ok(), "{} = {value}: {read:?}", places[place]);
            }
            Err(StoreError::Invalid { .. }) => {}
            Err(error) => panic!("{} = {value}: {error:?}", places[place]),
        }
    }
    assert!(imported > 20, "only {imported} of {CASES} changes were accepted: nothing was tried");
}

/// A document with rows in every table.
async fn full(db: &Database) -> TenantFile {
    let route = db.tenant(1).await;
    let (id, actor) = (route.tenant.id, Actor::system());
    let scope = db.store.scope(id);
    db.began(id, "2026-09-01T00:00:00+00:00").await;
    db.subscribe(id, EventType::CallEnded).await;
    let call = values::completed(&values::call_to(&route));
    let engine = EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: 7,
    };
    scope.end_call(&call, &[engine]).await.expect("a call");
    scope.add_turn(&values::turn(&call, 1)).await.expect("a turn");
    let days = Retention {
        call_days: Some(30),
        transcript_days: Some(7),
        recording_days: Some(7),
        audit_days: None,
    };
    scope.set_retention(&actor, days).await.expect("retention");
    let feedback = NewFeedback { rating: 4, comment: None, source: "test".into() };
    scope.create_feedback(&actor, call.id, feedback).await.expect("feedback");
    let target = TransferTarget {
        id: TargetId::new(),
        tenant_id: id,
        name: "shop".parse().expect("a label"),
        description: "The shop.".into(),
        kind: TargetKind::Queue,
        address: "reception".into(),
        method: TransferMethod::Dialplan,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Leave,
        resolver: None,
        hours: None,
        created_at: "2026-09-01T00:00:00Z".parse().expect("a moment"),
    };
    scope.create_target(&actor, target).await.expect("a target");
    route_by_webhook(&scope, &route).await;
    for statement in [
        "INSERT INTO analysis_labels (tenant_id, call_id, name, value) VALUES ($1, $2, 'outcome', 'ordered')",
        "INSERT INTO analysis_usage (tenant_id, call_id, kind, engine, model, unit, quantity) \
         VALUES ($1, $2, 'llm', 'openai', 'm', 'requests', 1)",
    ] {
        let statement = sql(statement).bind(id.0).bind(call.id.0);
        AllTenants(&db.store).execute(statement).await.expect("a row");
    }
    let due = IssueRequest { month: None, tenant: None, accept_unpriced: false, dry_run: false };
    let now = "2026-11-01T05:00:00Z".parse().expect("a moment");
    db.store.issue_statements(&Billing::default(), &due, &actor, now).await.expect("a statement");
    let hold = "INSERT INTO statement_holds (tenant_id, month, reason, detail, since) VALUES";
    let row = format!("({}, '2026-09', 'unpriced', 'llm', '2026-10-01T01:00:00+00:00')", db.literal(id.0));
    db.raw(format!("{hold} {row}")).await.expect("a hold");
    let file = scope.export(&actor, true).await.expect("a document");
    let empty: Vec<_> =
        file.tables.iter().filter(|(_, rows)| rows.is_empty()).map(|(name, _)| name).collect();
    assert!(empty.is_empty(), "nothing is tried of {empty:?}");
    file
}

/// Gives the route's number a profile of its own, and number and tenant a pre-call webhook.
async fn route_by_webhook(scope: &Scope, route: &Route) {
    let actor = Actor::system();
    let closed_profile_id = route.profile.as_ref().map(|profile| profile.id);
    let routing = NumberRouting { closed_profile_id, ..NumberRouting::default() };
    let any = |_: &NumberRouting| Ok::<(), StoreError>(());
    scope.set_number_routing_if(&actor, route.number.id, &routing, any).await.expect("a setting");
    let (url, any) = ("https://example.com/calls", |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(()));
    for owner in [PreCallOwner::Number(route.number.id), PreCallOwner::Tenant] {
        scope.set_pre_call_webhook_if(&actor, owner, url, 2_000, any).await.expect("a webhook");
    }
}

/// Every value of a tenant and its rows, as a JSON pointer.
fn places(whole: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for column in whole["tenant"].as_object().expect("a tenant").keys() {
        found.push(format!("/tenant/{column}"));
    }
    for (table, rows) in whole["tables"].as_object().expect("tables") {
        for (at, row) in rows.as_array().expect("rows").iter().enumerate() {
            let columns = row.as_object().expect("a row").keys();
            found.extend(columns.map(|column| format!("/tables/{table}/{at}/{column}")));
        }
    }
    found
}

/// Values that fit some column, and those that fit none.
fn value() -> impl Strategy<Value = Value> {
    let texts = [
        "",
        " ",
        "x",
        "images",
        "stt",
        "requests",
        "2026-13",
        "2026-11",
        "0000-01",
        ",call.ended,",
        ",nothing,",
        "generic",
        "pigeon",
        "deleted",
        "unpriced",
        "+4930123456",
        "12",
        "a\0b",
        "\u{feff}",
        "2026-11-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "+10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0197a000-0000-7000-8000-000000000001",
        "https://example.com/",
        "{\"a\":1}",
    ];
    let numbers =
        [0, 1, -1, 5, 6, 255, 65_535, 65_536, i64::from(u32::MAX), 1 << 33, 1 << 49, i64::MAX, i64::MIN];
    prop_oneof![
        4 => prop::sample::select(texts.to_vec()).prop_map(Value::from),
        3 => prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(json!(0.5)),
        1 => Just(json!(u64::MAX)),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!({ "turn": 3 })),
    ]
}

/// The document with ids and numbers of its own, so that it can be imported beside the others.
fn with_own_ids(document: &Value, case: u32) -> String {
    let mut ids = HashMap::new();
    let mut document = document.clone();
    renew(&mut document, &mut ids);
    let own = |value: &mut Value| {
        if value.as_str().is_some_and(|text| text.parse::<Did>().is_ok()) {
            *value = json!(format!("+4930{:08}", 10_000 + case));
        }
    };
    let rows = document["tables"]["phone_numbers"].as_array_mut().into_iter().flatten();
    rows.filter_map(|row| row.get_mut("did")).for_each(own);
    document.to_string()
}

fn renew(value: &mut Value, ids: &mut HashMap<Uuid, Uuid>) {
    match value {
        Value::String(text) => {
            if let Ok(id) = text.parse::<Uuid>() {
                *text = ids.entry(id).or_insert_with(Uuid::now_v7).to_string();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| renew(value, ids)),
        Value::Object(fields) => fields.values_mut().for_each(|value| renew(value, ids)),
        _ => {}
    }
}

/// Reads a tenant in every way that there is, and every list that it is on.
async fn read_all(db: &Database, id: TenantId) -> Result<(), StoreError> {
    let (scope, window, billing) = (db.store.scope(id), Window::first(500), Billing::default());
    db.store.tenants().await?;
    for number in scope.numbers().await? {
        db.store.route(&number.did).await?;
        scope.number_routing(number.id).await?;
        scope.routing_versions(number.id, window).await?;
    }
    for profile in scope.profiles().await? {
        scope.profile_versions(profile.id, window).await?;
    }
    scope.default_profile().await?;
    scope.targets().await?;
    scope.webhooks(window).await?;
    scope.retention().await?;
    for call in scope.calls(&CallFilter::default(), window).await?.items {
        scope.call(call.id).await?;
        scope.usage_of_call(call.id).await?;
    }
    db.store.calls(&CallFilter::default(), window).await?;
    scope.feedback(&FeedbackFilter::default(), window).await?;
    let file = scope.export(&Actor::system(), true).await?;
    for month in file.tables["usage_months"].iter().chain(&file.tables["statements"]) {
        let month = month["month"].as_str().unwrap_or_default().parse().map_err(StoreError::corrupt)?;
        scope.statement(&billing, month).await?;
        let read = db.store.month_reports(&billing, month, window).await?;
        assert_eq!(read.unreadable, []);
    }
    let due = IssueRequest { month: None, tenant: None, accept_unpriced: true, dry_run: true };
    let now = "2026-12-01T05:00:00Z".parse().map_err(StoreError::corrupt)?;
    let outcome = db.store.issue_statements(&billing, &due, &Actor::system(), now).await?;
    assert_eq!(outcome.held, []);
    Ok(())
}
