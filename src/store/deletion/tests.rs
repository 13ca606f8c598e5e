//! What is deleted is gone from every table, and nothing else is.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::tables::{OTHERS, OWNED, Purge};
use crate::store::announced::NewAnnouncement;
use crate::store::audit::Change;
use crate::store::statement::{composed, sql};
use crate::store::tests::{Database, on_both, values};
use crate::store::tx::{Access, AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    every_table_of_the_schema_is_listed,
    a_deleted_tenant_stays_deleted,
    a_dry_run_deletes_nothing,
    nothing_of_a_purged_tenant_is_left,
    only_a_deleted_tenant_without_calls_is_purged,
    nothing_of_an_erased_caller_is_left,
    one_call_is_erased_and_its_times_stay,
    a_call_under_way_is_not_erased,
    what_is_older_than_its_retention_is_deleted_and_nothing_else,
);

/// The caller's number, and a word that is said, written and announced.
const CALLER: &str = "+49301234567";
const WORD: &str = "xylophone";

/// Tables without rows of a deleted tenant: its secrets, and what belongs to its numbers.
const DELETED_WITH_TENANT: [&str; 4] =
    ["tool_secrets", "engine_credentials", "pre_call_webhooks", "number_profiles"];

async fn tables(db: &Database) -> Vec<String> {
    let select = match db.store.backend() {
        Backend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        Backend::Postgres => {
            "SELECT table_name::text FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let names = AllTenants(&db.store).all::<(String,)>(sql(select)).await.expect("the schema");
    names.into_iter().map(|(name,)| name).collect()
}

/// A row as text, whatever its columns are.
async fn row_text(db: &Database, table: &str) -> String {
    if db.store.backend() == Backend::Postgres {
        return format!("{table}::text");
    }
    let columns = composed(format!("SELECT name FROM pragma_table_info('{table}')"));
    let columns = AllTenants(&db.store).all::<(String,)>(columns).await.expect("columns");
    // An id is a blob, and a zero byte in it would end the text that LIKE reads.
    let text = |(name,): &(String,)| {
        format!(
            "COALESCE(CASE typeof({name}) WHEN 'blob' THEN hex({name}) ELSE CAST({name} AS TEXT) END, '')"
        )
    };
    let texts = columns.iter().map(text);
    texts.collect::<Vec<_>>().join(" || ' ' || ")
}

/// The tables that hold a text anywhere, and in how many rows.
async fn holding(db: &Database, text: &str) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for table in tables(db).await {
        let row = row_text(db, &table).await;
        let count = composed(format!("SELECT COUNT(*) FROM {table} WHERE {row} LIKE $1"));
        let count = AllTenants(&db.store).one::<(i64,)>(count.bind(format!("%{text}%"))).await;
        let (count,) = count.unwrap_or_else(|error| panic!("{table}: {error}"));
        if count > 0 {
            found.insert(table, count);
        }
    }
    found
}

/// A tenant's rows by table.
async fn rows(db: &Database, tenant: TenantId) -> BTreeMap<&'static str, i64> {
    let mut found = BTreeMap::new();
    for table in OWNED {
        let count = composed(table.count()).bind(tenant.0);
        found.insert(table.name, AllTenants(&db.store).one::<(i64,)>(count).await.expect("a count").0);
    }
    found
}

/// A tenant with a row in every table, and a call in which the markers are said.
async fn full(db: &Database, n: u32) -> (Route, Call) {
    let route = db.tenant(n).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let new = NewKey { name: "key".into(), role: Role::TenantAdmin, expires_at: None };
    scope.create_key(&actor, new).await.expect("a key");
    let events = EventType::ALL.iter().copied().filter(|kind| *kind != EventType::Ping).collect();
    let webhook = NewWebhook { url: "https://example.com/".into(), events };
    scope.create_webhook(&actor, webhook).await.expect("a webhook");
    scope.create_tool_secret(&actor, "shop", &"s3cret".to_owned().into()).await.expect("a secret");
    scope.create_engine_credential(&actor, values::engine_credential("acme")).await.expect("credentials");
    let target = NewTarget {
        name: "shop".parse().expect("a label"),
        description: "Orders.".into(),
        kind: TargetKind::Queue,
        address: "shop".into(),
        method: None,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Stay,
        resolver: None,
        hours: None,
    };
    scope.create_target(&actor, target.of(route.tenant.id)).await.expect("a target");
    scope.set_retention(&actor, Retention::default()).await.expect("a setting");
    scope.reserve_leg(Utc::now().date_naive(), 1, 1).await.expect("an answer").expect("room");
    let routing = NumberRouting {
        closed_profile_id: route.profile.as_ref().map(|profile| profile.id),
        ..NumberRouting::default()
    };
    let any = |_: &NumberRouting| Ok::<(), StoreError>(());
    scope.set_number_routing_if(&actor, route.number.id, &routing, any).await.expect("a setting");
    let any = |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(());
    let url = "https://example.com/calls";
    for owner in [PreCallOwner::Number(route.number.id), PreCallOwner::Tenant] {
        scope.set_pre_call_webhook_if(&actor, owner, url, 2_000, any).await.expect("a webhook");
    }
    let mut call = values::call_to(&route);
    call.caller_number = Some(CALLER.to_owned());
    let new = NewAnnouncement {
        call: call.id,
        number: route.number.id,
        channel: format!("1700000000.{n}"),
        caller: call.caller_number.clone(),
        called: route.number.did.clone(),
        at: call.started_at,
    };
    call.asterisk_channel_id = new.channel.clone();
    call.id = scope.announce(&new).await.expect("an announcement");
    scope.begin_call(&call).await.expect("a call");
    let said = CallTurn { caller_text: format!("I want a {WORD}"), ..values::turn(&call, 1) };
    scope.add_turn(&said).await.expect("a turn");
    let fields = [("wish".to_owned(), format!("a {WORD}"))].into();
    let transfers = vec![values::transfer(&call, &format!("They want a {WORD}."))];
    let call = Call { fields, transfers, ..values::completed(&call) };
    let engine = EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: 7,
    };
    scope.end_call(&call, &[engine]).await.expect("an end");
    analysis(db, &call).await;
    let opinion = NewFeedback { rating: 4, comment: Some(format!("A fine {WORD}")), source: WORD.into() };
    let feedback = scope.create_feedback(&actor, call.id, opinion).await.expect("feedback");
    stored_responses(&scope, feedback.id, call.id).await;
    note_caller(db, route.tenant.id).await;
    dead_letter(db, &call).await;
    let statement =
        sql("INSERT INTO statements (tenant_id, month, statement, issued_at) VALUES ($1, $2, $3, $4)");
    let statement = statement.bind(route.tenant.id.0).bind("2026-10").bind("{}").bind(now());
    AllTenants(&db.store).execute(statement).await.expect("a statement");
    let hold = sql(
        "INSERT INTO statement_holds (tenant_id, month, reason, detail, since) VALUES ($1, $2, $3, $4, $5)",
    );
    let hold = hold.bind(route.tenant.id.0).bind("2026-09").bind("unpriced").bind("a model").bind(now());
    AllTenants(&db.store).execute(hold).await.expect("a held statement");
    (route, call)
}

/// An analysis of a call, with one that is due.
async fn analysis(db: &Database, call: &Call) {
    let mut analysis = CallAnalysis::due();
    analysis.result.summary = Some(format!("They want a {WORD}."));
    let text = serde_json::to_string(&analysis).expect("JSON");
    for (statement, value) in [
        ("UPDATE calls SET analysis = $3 WHERE tenant_id = $1 AND id = $2", text.as_str()),
        (
            "INSERT INTO analysis_labels (tenant_id, call_id, name, value) VALUES ($1, $2, 'fields.wish', $3)",
            WORD,
        ),
        (
            "INSERT INTO analysis_usage (tenant_id, call_id, kind, engine, model, unit, quantity) \
             VALUES ($1, $2, 'llm', $3, 'm', 'requests', 1)",
            "openai",
        ),
    ] {
        let statement = sql(statement).bind(call.tenant_id.0).bind(call.id.0).bind(value);
        AllTenants(&db.store).execute(statement).await.expect("a row");
    }
    let job = sql(
        "INSERT INTO analysis_jobs (tenant_id, call_id, ai_profile_version, attempts, due_at, created_at) \
        VALUES ($1, $2, 1, 0, $3, $3)",
    );
    let job = job.bind(call.tenant_id.0).bind(call.id.0).bind(now());
    AllTenants(&db.store).execute(job).await.expect("a row");
}

/// Stored responses of the requests that created feedback and analysed a call, and one that holds the caller's number.
async fn stored_responses(scope: &Scope, feedback: FeedbackId, call: CallId) {
    let api_key = scope.keys(&KeyFilter::default(), Window::first(1)).await.expect("keys").items.remove(0).id;
    let requests = scope.idempotent_requests();
    let (feedback, call, profile) = (feedback.to_string(), call.to_string(), ProfileId::new().to_string());
    let about = [("feedback", feedback, WORD), ("call", call, WORD), ("ai_profile", profile, CALLER)];
    for (resource, id, text) in about {
        let request = IdempotentRequest { id: Uuid::now_v7(), api_key, fingerprint: [0; 32] };
        let claim = requests.claim(&request, now()).await.expect("a claim");
        let ClaimOutcome::Granted(attempt) = claim else { panic!("{claim:?}") };
        let mut tx = scope.begin(Access::Write).await.expect("a transaction");
        tx.record_attempt(attempt, resource, &id).await.expect("it is recorded");
        tx.commit().await.expect("it is written");
        let body = Some(format!("{{\"text\":\"{text}\"}}"));
        requests.finish(attempt, StoredResponse { status: 201, etag: None, body }).await.expect("stored");
    }
}

/// Records how a number stands with its provider.
async fn stand(db: &Database, number: NumberId, state: ProviderState) {
    let update = sql("UPDATE phone_numbers SET provider_state = $2 WHERE id = $1");
    AllTenants(&db.store).execute(update.bind(number.0).bind(state.as_str())).await.expect("a state");
}

/// A turn of a call that the database had refused.
async fn dead_letter(db: &Database, call: &Call) {
    let insert =
        sql("INSERT INTO ledger_dead_letters (id, tenant_id, call_id, kind, entry, problem, created_at) \
        VALUES ($1, $2, $3, 'turn', $4, 'refused', $5)");
    let entry = format!("{{\"caller\":\"{CALLER}\",\"text\":\"a {WORD}\"}}");
    let insert = insert.bind(Uuid::now_v7()).bind(call.tenant_id.0).bind(call.id.0).bind(entry).bind(now());
    AllTenants(&db.store).execute(insert).await.expect("a dead letter");
}

/// An entry of the audit log that holds the caller's number.
async fn note_caller(db: &Database, tenant: TenantId) {
    let mut tx = db.store.scope(tenant).begin(Access::Write).await.expect("a transaction");
    let change = Change::new(&Actor::system(), tenant, "note", "caller", CALLER);
    tx.audit(change.after(&json!({ "from": CALLER, "bytes": 49_301_234_567_u64 }))).await.expect("an entry");
    tx.commit().await.expect("it is written");
}

async fn every_table_of_the_schema_is_listed(db: Database) {
    let mut listed: Vec<&str> = OWNED.iter().map(|table| table.name).chain(OTHERS.iter().copied()).collect();
    let mut there = tables(&db).await;
    listed.sort_unstable();
    there.sort_unstable();
    assert_eq!(there, listed, "say in deletion/tables.rs what becomes of a new table's rows");
}

async fn a_deleted_tenant_stays_deleted(db: Database) {
    let (route, _) = full(&db, 1).await;
    let (id, actor) = (route.tenant.id, Actor::system());
    let scope = db.store.scope(id);
    let deleted = db.store.delete_tenant(&actor, id, false).await.expect("it is deleted");
    assert_eq!(deleted.tenant.status, TenantStatus::Deleted);
    assert_eq!((deleted.numbers, deleted.keys, deleted.webhooks), (1, 1, 1));
    assert!(deleted.deliveries >= 4, "{deleted:?}");
    for status in [TenantStatus::Active, TenantStatus::Suspended, TenantStatus::Deleted] {
        let changes = TenantChanges { status: Some(status), ..TenantChanges::default() };
        db.store.update_tenant(&actor, id, changes).await.expect_err("it stays deleted");
    }
    assert_eq!(db.store.tenant(id).await.expect("a tenant").status, TenantStatus::Deleted);
    assert_eq!(db.store.route(&route.number.did).await.expect("an answer"), None, "its number leads nowhere");
    let keys = scope.keys(&KeyFilter::default(), Window::first(9)).await.expect("keys").items;
    assert!(keys.iter().all(|key| key.revoked_at.is_some()), "{keys:?}");
    assert_eq!(scope.webhooks(Window::first(9)).await.expect("webhooks").items, []);
    let left = rows(&db, id).await;
    for table in DELETED_WITH_TENANT {
        assert_eq!(left[table], 0, "{table}");
    }
    assert_eq!(db.store.deliveries_pending().await.expect("a count"), 0);
    let new = NewKey { name: "key".into(), role: Role::TenantAdmin, expires_at: None };
    let refused = [
        scope.create_key(&actor, new).await.map(drop),
        scope.create_profile(&actor, values::profile("Late", false)).await.map(drop),
        scope
            .create_webhook(
                &actor,
                NewWebhook { url: "https://example.com/".into(), events: vec![EventType::CallEnded] },
            )
            .await
            .map(drop),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(StoreError::Refused { code: "tenant_deleted", .. })), "{outcome:?}");
    }
    // Another tenant may have the number now.
    let other = db.tenant(2).await;
    let new = NewNumber { did: route.number.did.clone(), provider_type: ProviderType::Generic };
    db.store.scope(other.tenant.id).create_number(&actor, new).await.expect("the number is free");
}

async fn a_dry_run_deletes_nothing(db: Database) {
    let (route, _) = full(&db, 1).await;
    let (id, actor) = (route.tenant.id, Actor::system());
    let before = rows(&db, id).await;
    let trial = db.store.delete_tenant(&actor, id, true).await.expect("an answer");
    assert_eq!((trial.dry_run, trial.numbers, trial.keys, trial.webhooks), (true, 1, 1, 1));
    assert!(db.store.route(&route.number.did).await.expect("an answer").is_some());
    let scope = db.store.scope(id);
    let trial = scope.erase(&actor, &Subject::Caller(CALLER.into()), true).await.expect("an answer");
    assert_eq!((trial.calls, trial.turns, trial.feedback, trial.audit_entries), (1, 1, 1, 1));
    assert_eq!(rows(&db, id).await, before);
    assert!(!holding(&db, WORD).await.is_empty());
    db.store.delete_tenant(&actor, id, false).await.expect("it is deleted");
    let before = rows(&db, id).await;
    let settings = PurgeSettings { dry_run: true, ..PurgeSettings::default() };
    let trial = db.store.purge_tenant(&actor, id, settings).await.expect("an answer");
    assert_eq!(trial.rows["calls"], 1);
    assert_eq!(rows(&db, id).await, before);
}

async fn nothing_of_a_purged_tenant_is_left(db: Database) {
    let (route, _) = full(&db, 1).await;
    let (other, _) = full(&db, 2).await;
    let (id, actor) = (route.tenant.id, Actor::system());
    let full_tables = rows(&db, id).await;
    assert!(full_tables.values().all(|count| *count > 0), "give it a row in each: {full_tables:?}");
    let others = rows(&db, other.tenant.id).await;
    db.store.delete_tenant(&actor, id, false).await.expect("it is deleted");
    let purged = db.store.purge_tenant(&actor, id, PurgeSettings::default()).await.expect("it is purged");
    for table in OWNED {
        let is_kept = table.purge == Purge::Accounting;
        let left = rows(&db, id).await[table.name];
        assert_eq!(left > 0, is_kept, "{}: {left}", table.name);
        let counts = if is_kept { &purged.kept } else { &purged.rows };
        let is_gone_before = table.purge == Purge::Unassign || DELETED_WITH_TENANT.contains(&table.name);
        assert_eq!(counts[table.name] == 0, is_gone_before, "{}: {purged:?}", table.name);
    }
    let settings = PurgeSettings { with_statements: true, ..PurgeSettings::default() };
    db.store.purge_tenant(&actor, id, settings).await.expect("all of it is purged");
    let left = rows(&db, id).await;
    assert!(left.values().all(|count| *count == 0), "{left:?}");
    assert!(matches!(db.store.tenant(id).await, Err(StoreError::NotFound)));
    assert_eq!(rows(&db, other.tenant.id).await, others, "another tenant's rows are as they were");
    let filter = AuditFilter { action: Some("purge".into()), ..AuditFilter::default() };
    let entries = db.store.audit(&filter, Window::first(9)).await.expect("entries").items;
    assert_eq!(entries.len(), 2, "it is on record who did it: {entries:?}");
    // The words are the other tenant's alone now.
    db.store.delete_tenant(&actor, other.tenant.id, false).await.expect("it is deleted");
    db.store.purge_tenant(&actor, other.tenant.id, PurgeSettings::default()).await.expect("it is purged");
    for marker in [WORD, CALLER.trim_start_matches('+')] {
        assert_eq!(holding(&db, marker).await, BTreeMap::new(), "{marker}");
    }
}

async fn only_a_deleted_tenant_without_calls_is_purged(db: Database) {
    let route = db.tenant(1).await;
    let (id, actor) = (route.tenant.id, Actor::system());
    let scope = db.store.scope(id);
    let purge = async || match db.store.purge_tenant(&actor, id, PurgeSettings::default()).await {
        Err(StoreError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(purge().await, "tenant_not_deleted");
    let new = NewNumber { did: values::did(7), provider_type: ProviderType::Fake };
    let number = scope.create_number(&actor, new).await.expect("a number");
    stand(&db, number.id, ProviderState::Registered).await;
    let call = values::call_to(&route);
    scope.begin_call(&call).await.expect("a call");
    let deleted = db.store.delete_tenant(&actor, id, false).await.expect("it is deleted");
    assert_eq!(deleted.released, [number.id], "only a number that a provider has to unregister");
    assert_eq!(purge().await, "call_live");
    scope.update_call(&values::completed(&call)).await.expect("an end");
    assert_eq!(purge().await, "numbers_registered");
    assert_eq!(db.store.numbers_to_unregister().await.expect("numbers"), [(id, number.id)]);
    stand(&db, number.id, ProviderState::Unregistered).await;
    assert_eq!(db.store.numbers_to_unregister().await.expect("numbers"), []);
    db.store.purge_tenant(&actor, id, PurgeSettings::default()).await.expect("it is purged");
}

async fn nothing_of_an_erased_caller_is_left(db: Database) {
    let (route, call) = full(&db, 1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    for marker in [WORD, "49301234567"] {
        assert!(holding(&db, marker).await.len() >= 3, "{marker}: {:?}", holding(&db, marker).await);
    }
    // Without the plus sign it is the same caller.
    let subject = Subject::Caller(CALLER.trim_start_matches('+').to_owned());
    let erased = scope.erase(&actor, &subject, false).await.expect("it is erased");
    assert_eq!(
        (erased.calls, erased.turns, erased.feedback, erased.audit_entries),
        (1, 1, 1, 1),
        "{erased:?}"
    );
    assert_eq!(erased.webhook_events, 5, "four of the call and one of the feedback: {erased:?}");
    assert_eq!((erased.deliveries_cancelled, erased.ids.as_slice()), (5, [call.id].as_slice()));
    assert!(erased.not_covered.iter().any(|copy| copy.contains("export")), "{erased:?}");
    for marker in [WORD, "49301234567"] {
        let left = holding(&db, marker).await;
        // A number that happens to be in a JSON number is not the caller's.
        assert!(
            left.is_empty() || left.keys().all(|table| table == "audit_log") && marker != WORD,
            "{left:?}"
        );
    }
    assert_eq!(db.store.deliveries_pending().await.expect("a count"), 0);
    let (kept, turns) = scope.call(call.id).await.expect("an answer").expect("its row stays");
    assert_eq!((kept.caller_number, turns.len()), (None, 0));
    assert_eq!(
        (kept.started_at, kept.answered_at, kept.ended_at),
        (call.started_at, call.answered_at, call.ended_at)
    );
    let filter = AuditFilter { action: Some("erase".into()), ..AuditFilter::default() };
    let entries = scope.audit(&filter, Window::first(9)).await.expect("entries").items;
    assert_eq!((entries.len(), entries[0].resource_id.clone()), (1, call.id.to_string()));
    let again = scope.erase(&actor, &subject, false).await.expect("nothing is left to erase");
    assert_eq!((again.calls, again.turns), (0, 0));
}

async fn one_call_is_erased_and_its_times_stay(db: Database) {
    let (route, call) = full(&db, 1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let other = values::completed(&Call { caller_number: Some(CALLER.into()), ..values::call_to(&route) });
    scope.begin_call(&other).await.expect("a call");
    scope.add_turn(&values::turn(&other, 1)).await.expect("a turn");
    let month = Month::of(Utc::now());
    let before = scope.usage_of_month(month).await.expect("usage");
    scope.erase(&actor, &Subject::Call(call.id), false).await.expect("it is erased");
    let (kept, turns) = scope.call(other.id).await.expect("an answer").expect("the other call");
    assert_eq!((kept, turns.len()), (other, 1), "another call of the same caller is as it was");
    assert_eq!(scope.usage_of_month(month).await.expect("usage"), before, "what is billed stays");
    // Another tenant does not find it.
    let stranger = db.store.scope(db.tenant(2).await.tenant.id);
    let refused = stranger.erase(&actor, &Subject::Call(call.id), false).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    let nothing = stranger.erase(&actor, &Subject::Caller(CALLER.into()), false).await.expect("an answer");
    assert_eq!(nothing.calls, 0);
}

async fn a_call_under_way_is_not_erased(db: Database) {
    let (route, _) = full(&db, 1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let live = Call { caller_number: Some(CALLER.into()), ..values::call_to(&route) };
    scope.begin_call(&live).await.expect("a call");
    let before = holding(&db, WORD).await;
    for subject in [Subject::Call(live.id), Subject::Caller(CALLER.into())] {
        let refused = scope.erase(&actor, &subject, false).await;
        assert!(matches!(refused, Err(StoreError::Refused { code: "call_live", .. })), "{refused:?}");
    }
    assert_eq!(holding(&db, WORD).await, before);
    let refused = scope.erase(&actor, &Subject::Call(CallId(Uuid::now_v7())), false).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
}

async fn what_is_older_than_its_retention_is_deleted_and_nothing_else(db: Database) {
    let (route, _) = full(&db, 1).await;
    let (other, _) = full(&db, 2).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let retention = Retention {
        call_days: Some(30),
        transcript_days: Some(7),
        recording_days: Some(7),
        audit_days: Some(60),
    };
    scope.set_retention(&actor, retention).await.expect("a setting");
    let theirs = Retention {
        call_days: Some(365),
        transcript_days: Some(365),
        recording_days: Some(365),
        audit_days: None,
    };
    db.store.scope(other.tenant.id).set_retention(&actor, theirs).await.expect("a setting");
    let (others, month) = (rows(&db, other.tenant.id).await, Month::of(Utc::now()));
    let (before, usage) =
        (rows(&db, route.tenant.id).await, scope.usage_of_month(month).await.expect("usage"));
    assert_eq!(delete_all(&db, 6).await, Expired::default(), "nothing is old enough");
    assert_eq!(rows(&db, route.tenant.id).await, before);

    let counted = scope.count_expired(Utc::now() + TimeDelta::days(8)).await.expect("a count");
    let transcripts = delete_all(&db, 8).await;
    assert_eq!(transcripts, Expired { turns: 1, webhook_events: 1, dead_letters: 1, ..Expired::default() });
    assert_eq!(counted, transcripts, "a dry run counts what a run deletes");
    let left = holding(&db, WORD).await;
    assert_eq!(left["webhook_events"], 5, "the feedback's, and four of the other tenant: {left:?}");
    assert_eq!((left["calls"], left["call_turns"]), (1, 1), "the other tenant's: {left:?}");

    let calls = delete_all(&db, 31).await;
    assert_eq!(calls, Expired { calls: 1, webhook_events: 4, ..Expired::default() });
    let after = rows(&db, route.tenant.id).await;
    let of_calls =
        ["calls", "call_turns", "call_usage", "call_feedback", "announced_calls", "webhook_events"];
    for table in of_calls.into_iter().chain(["analysis_jobs", "analysis_labels", "analysis_usage"]) {
        assert_eq!(after[table], 0, "{table}");
    }
    assert_eq!(after["audit_log"], before["audit_log"]);
    let entries = delete_all(&db, 61).await;
    assert_eq!(entries.audit_entries, before["audit_log"] as u64, "{entries:?}");
    assert_eq!(scope.usage_of_month(month).await.expect("usage"), usage, "sums stay");
    assert_eq!(rows(&db, other.tenant.id).await, others, "the tenant with another policy is as it was");
}

/// Deletes what has expired of both tenants after so many days.
async fn delete_all(db: &Database, days: i64) -> Expired {
    let (mut all, now) = (Expired::default(), Utc::now() + TimeDelta::days(days));
    for tenant in db.store.tenants_with_retention().await.expect("tenants") {
        loop {
            let batch = db.store.scope(tenant).delete_expired(now).await.expect("a batch");
            if batch.is_empty() {
                break;
            }
            all.add(batch);
        }
    }
    all
}
