//! A tenant taken out and put in again.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

use super::{Database, on_both, on_postgres, on_sqlite, values};
use crate::store::pool::Pool;
use crate::store::transfer::lists;
use crate::store::*;
use crate::tenancy::*;

/// Tables of a tenant's that no document has.
const BESIDE: [&str; 5] = ["api_keys", "audit_log", "rollup_calls", "rollup_outcomes", "rollup_values"];

on_both!(
    a_tenant_stands_again_where_it_was,
    a_tenant_stands_beside_itself_with_new_ids,
    what_is_in_the_way_is_told_before_anything_is_written,
    a_dry_run_leaves_everything_as_it_is,
    a_document_that_cannot_be_is_refused,
    no_column_is_forgotten,
    an_export_is_in_the_audit_log,
    a_value_that_could_not_be_read_is_refused_with_its_place,
);

fn engine() -> EngineUse {
    EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: 7,
    }
}

/// A tenant with a call, as a document.
async fn exported(db: &Database) -> (Route, TenantFile) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let profile = route.profile.as_ref().expect("the default one");
    let share = ProfileShare { ai_profile_id: profile.id, weight: 3 };
    let routing = NumberRouting { profiles: vec![share], closed_profile_id: None };
    let any = |_: &NumberRouting| Ok::<(), StoreError>(());
    scope.set_number_routing_if(&Actor::system(), route.number.id, &routing, any).await.expect("a setting");
    let route = db.store.route(&route.number.did).await.expect("an answer").expect("a route");
    let call = values::completed(&values::call_to(&route));
    scope.end_call(&call, &[engine()]).await.expect("a call");
    let lasting = values::call_to(&route);
    scope.begin_call(&lasting).await.expect("a call that lasts: it stays behind");
    for call in [&call, &lasting] {
        scope.add_turn(&values::turn(call, 1)).await.expect("a turn");
    }
    let insert = "INSERT INTO webhooks (id, tenant_id, url, events, secret, is_active, created_at)";
    let at = call.started_at.to_rfc3339();
    let (id, tenant) = (db.literal(uuid::Uuid::now_v7()), db.literal(route.tenant.id.0));
    let values =
        format!("({id}, {tenant}, 'https://example.org', ',call.ended,', 'whsec_old', TRUE, '{at}')");
    db.reach_all(format!("{insert} VALUES {values}")).await;
    let file = scope.export(&Actor::system(), true).await.expect("a document");
    assert_eq!((file.tables["calls"].len(), file.tables["call_turns"].len()), (1, 1));
    (route, file)
}

impl Database {
    /// Runs a statement with every tenant in reach.
    async fn reach_all(&self, sql: String) {
        let outcome = match &self.store.pool {
            Pool::Sqlite(pool) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop),
            Pool::Postgres(pool) => {
                let sql = format!("BEGIN; SET LOCAL vca.reach = 'all'; {sql}; COMMIT");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop)
            }
        };
        outcome.expect("it runs");
    }
}

/// A document as it is after a way through text.
fn read_again(file: &TenantFile) -> TenantFile {
    TenantFile::parse(&serde_json::to_string(file).expect("JSON")).expect("a document")
}

/// All but what is new with every document and every import.
fn comparable(file: &TenantFile) -> Value {
    let mut value = serde_json::to_value(file).expect("JSON");
    value["exported_at"] = Value::Null;
    value
}

async fn a_tenant_stands_again_where_it_was(db: Database) {
    let (route, file) = exported(&db).await;
    assert_eq!(file.tables["number_profiles"].len(), 1);
    assert!(!serde_json::to_string(&file).expect("JSON").contains("whsec_old"), "a secret went along");
    let own = db.literal(route.tenant.id.0);
    for table in lists().into_iter().rev().chain(BESIDE) {
        db.reach_all(format!("DELETE FROM {table} WHERE tenant_id = {own}")).await;
    }
    db.reach_all(format!("DELETE FROM tenants WHERE id = {own}")).await;
    let read = read_again(&file);
    let settings = ImportSettings::default();
    let imported = db.store.import_tenant(&Actor::system(), &read, settings).await.expect("it is in");
    assert!(imported.written && imported.conflicts.is_empty(), "{imported:?}");
    assert!(imported.webhooks[0].secret.starts_with("whsec_"), "{imported:?}");
    let again = db.store.scope(route.tenant.id).export(&Actor::system(), true).await.expect("a document");
    assert_eq!(comparable(&again), comparable(&file));
    let found = db.store.route(&route.number.did).await.expect("an answer").expect("a route");
    // What was talked meanwhile travelled, too.
    assert_eq!(found, Route { usage: found.usage, ..route.clone() });
    let filter = AuditFilter { action: Some("import".into()), ..AuditFilter::default() };
    let entries = db.store.scope(route.tenant.id).audit(&filter, Window::first(9)).await.expect("entries");
    assert_eq!(entries.items[0].after, Some(json!(imported.rows)));
}

async fn a_tenant_stands_beside_itself_with_new_ids(db: Database) {
    let (route, file) = exported(&db).await;
    let settings = ImportSettings { new_ids: true, without_numbers: true, dry_run: false };
    let imported = db.store.import_tenant(&Actor::system(), &file, settings).await.expect("it is in");
    assert_ne!(imported.tenant_id, route.tenant.id);
    let scope = db.store.scope(imported.tenant_id);
    let (old, new) =
        (route.profile.expect("one"), scope.default_profile().await.expect("an answer").expect("one"));
    assert_ne!(old.id, new.id);
    assert_eq!(new, AiProfile { id: new.id, tenant_id: imported.tenant_id, ..old });
    assert_eq!(scope.numbers().await.expect("numbers"), []);
    let month = Month::of(file.exported_at);
    let usage = scope.usage_of_month(month).await.expect("an answer");
    assert_eq!((usage.sums.calls, usage.engines), (1, vec![engine()]), "what is owed came along");
    // And a second time.
    db.store.import_tenant(&Actor::system(), &file, settings).await.expect("it is in");
}

async fn what_is_in_the_way_is_told_before_anything_is_written(db: Database) {
    let (route, file) = exported(&db).await;
    let before = db.store.tenants().await.expect("tenants");
    let imported =
        db.store.import_tenant(&Actor::system(), &file, ImportSettings::default()).await.expect("told");
    assert_eq!((imported.written, imported.conflicts.len()), (false, 2), "{imported:?}");
    assert!(imported.conflicts[1].contains(&route.number.did.to_string()), "{imported:?}");
    let settings = ImportSettings { new_ids: true, ..ImportSettings::default() };
    let imported = db.store.import_tenant(&Actor::system(), &file, settings).await.expect("told");
    assert_eq!((imported.written, imported.conflicts.len()), (false, 1), "{imported:?}");
    assert_eq!(db.store.tenants().await.expect("tenants"), before);
}

async fn a_dry_run_leaves_everything_as_it_is(db: Database) {
    let (_, file) = exported(&db).await;
    let settings = ImportSettings { new_ids: true, without_numbers: true, dry_run: true };
    let imported = db.store.import_tenant(&Actor::system(), &file, settings).await.expect("told");
    assert!(!imported.written && imported.rows.contains_key("ai_profiles"), "{imported:?}");
    assert_eq!(db.store.tenants().await.expect("tenants").len(), 1);
    // What the database would refuse is found, too.
    let mut file = file;
    file.tables.get_mut("ai_profiles").expect("profiles")[0].insert("role".into(), json!("king"));
    let refused = db.store.import_tenant(&Actor::system(), &file, settings).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
}

async fn a_document_that_cannot_be_is_refused(db: Database) {
    let (_, file) = exported(&db).await;
    let whole = serde_json::to_value(&file).expect("JSON");
    let change = |pointer: &str, value: Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).expect("a place") = value;
        changed.to_string()
    };
    for text in [
        "{".to_owned(),
        "[]".to_owned(),
        change("/format", json!("other")),
        change("/version", json!(2)),
        change("/tenant", json!({})),
    ] {
        let refused = TenantFile::parse(&text);
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    let settings = ImportSettings { new_ids: true, without_numbers: false, dry_run: false };
    for (pointer, value, told) in [
        ("/tables", json!({ "pg_authid": [] }), "tables.pg_authid"),
        ("/tables/ai_profiles/0/settings", json!({ "turn": 3 }), "tables.ai_profiles[0].settings"),
        ("/tables/ai_profiles/0/is_default", json!("yes"), "tables.ai_profiles[0].is_default"),
        ("/tables/phone_numbers/0/did", json!("x"), "tables.phone_numbers[0].did"),
        ("/tables/webhooks/0", json!({ "secret": "mine" }), "tables.webhooks[0].secret"),
        ("/tables/webhooks/0", json!({ "id) --": 1 }), "there is no such column"),
    ] {
        let file = TenantFile::parse(&change(pointer, value)).expect("a document");
        match db.store.import_tenant(&Actor::system(), &file, settings).await {
            Err(StoreError::Invalid { what }) => assert!(what.contains(told), "{pointer}: {what}"),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    // A copy leaves statements behind.
    let statements = json!([{ "month": "2026-10", "statement": {}, "issued_at": "2026-11-01T01:00:00Z" }]);
    let file = TenantFile::parse(&change("/tables/statements", statements)).expect("a document");
    let refused = db.store.import_tenant(&Actor::system(), &file, ImportSettings::default()).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid { what }) if what.contains("statements[0].month")),
        "{refused:?}"
    );
    assert_eq!(db.store.tenants().await.expect("tenants").len(), 1);
}

async fn an_export_is_in_the_audit_log(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    scope.export(&Actor::cli("ann"), true).await.expect("a document");
    let filter = AuditFilter { action: Some("export".into()), ..AuditFilter::default() };
    let entries = scope.audit(&filter, Window::first(9)).await.expect("entries").items;
    assert_eq!((entries.len(), entries[0].actor.as_str()), (1, "cli ann"));
    assert_eq!(entries[0].after, Some(json!({ "with_calls": true })));
}

/// Each of these could be written by the database, and not be read by the program.
async fn a_value_that_could_not_be_read_is_refused_with_its_place(db: Database) {
    let (_, file) = exported(&db).await;
    let whole = serde_json::to_value(&file).expect("JSON");
    let settings = ImportSettings { new_ids: true, without_numbers: false, dry_run: true };
    for (table, column, value) in [
        ("phone_numbers", "provider_type", json!("pigeon")),
        ("phone_numbers", "provider_state", json!("lost")),
        ("phone_numbers", "created_at", json!("12000-01-01T00:00:00Z")),
        ("ai_profiles", "version", json!(1_i64 << 40)),
        ("ai_profiles", "name", json!("a\u{0}b")),
        ("webhooks", "events", json!("call.ended")),
        ("webhooks", "events", json!(",call.vanished,")),
        ("webhooks", "url", json!("nowhere")),
        ("calls", "status", json!("asleep")),
        ("calls", "hangup_cause", json!(70_000)),
        ("calls", "called_number", json!("anywhere")),
        ("calls", "ended_at", Value::Null),
        ("call_turns", "turn", json!(-1)),
        ("call_turns", "audio_ms", json!(1_i64 << 40)),
        ("call_usage", "unit", json!("images")),
        ("call_usage", "quantity", json!(i64::MAX)),
        ("usage_months", "month", json!("2026-13")),
        ("usage_months", "seconds", json!(-1)),
        ("usage_months", "seconds", json!(i64::MAX)),
        ("usage_month_engines", "unit", json!("images")),
        ("usage_month_engines", "kind", json!("video")),
        ("tenant_terms", "plan", json!("gold")),
    ] {
        let mut changed = whole.clone();
        let place = changed.pointer_mut(&format!("/tables/{table}/0")).expect("a row");
        place.as_object_mut().expect("an object").insert(column.to_owned(), value.clone());
        let file = TenantFile::parse(&changed.to_string()).expect("a document");
        // A copy leaves the history of the plan behind.
        let settings = ImportSettings { new_ids: settings.new_ids && table != "tenant_terms", ..settings };
        let outcome = db.store.import_tenant(&Actor::system(), &file, settings).await;
        let expected = format!("tables.{table}[0].{column}: ");
        assert!(
            matches!(&outcome, Err(StoreError::Invalid { what }) if what.starts_with(&expected)),
            "{table}.{column} = {value}: {outcome:?}"
        );
    }
}

/// Each column of each tenant-owned table goes along or stays behind knowingly.
async fn no_column_is_forgotten(db: Database) {
    let found: Vec<(String, String)> = match &db.store.pool {
        Pool::Sqlite(pool) => {
            let sql = "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' \
                AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) o WHERE o.name = 'tenant_id')";
            let rows = sqlx::query(sql).fetch_all(pool).await.expect("columns");
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
        Pool::Postgres(pool) => {
            let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns c \
                WHERE table_schema = current_schema() AND EXISTS (SELECT 1 FROM information_schema.columns o WHERE \
                o.table_schema = c.table_schema AND o.table_name = c.table_name AND o.column_name = 'tenant_id')";
            let rows = sqlx::query(sql).fetch_all(pool).await.expect("columns");
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
    };
    assert!(found.len() > 80, "{found:?}");
    let forgotten: Vec<_> =
        found.iter().filter(|(table, column)| !transfer::is_known(table, column)).collect();
    assert!(forgotten.is_empty(), "say in store/transfer/tables.rs what becomes of {forgotten:?}");
}

/// Issue 10: an installation that has outgrown SQLite takes its calls, transcripts and usage along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_its_history_moves_from_sqlite_to_postgresql() {
    on_sqlite(async |from: Database| {
        let (route, file) = exported(&from).await;
        let text = serde_json::to_string(&file).expect("JSON");
        on_postgres(async move |to: Database| {
            let read = TenantFile::parse(&text).expect("a document");
            let settings = ImportSettings::default();
            let imported = to.store.import_tenant(&Actor::system(), &read, settings).await.expect("it is in");
            assert!(imported.written, "{imported:?}");
            let scope = to.store.scope(route.tenant.id);
            let again = scope.export(&Actor::system(), true).await.expect("a document");
            assert_eq!(comparable(&again), comparable(&read));
            let calls = scope.calls(&CallFilter::default(), Window::first(9)).await.expect("calls").items;
            assert_eq!(calls.len(), 1);
            let usage = scope.usage_of_month(Month::of(read.exported_at)).await.expect("usage");
            assert_eq!((usage.sums.calls, usage.engines), (1, vec![engine()]));
            assert_eq!(to.store.roll_up_calls(9).await.expect("added"), 1, "analytics have them, too");
        })
        .await;
    })
    .await;
}
