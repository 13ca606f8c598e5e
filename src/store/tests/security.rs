//! On PostgreSQL the database itself keeps tenants apart: a query that forgets its scope gets nothing.

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgPool, Row};

use super::{Database, on_postgres, values};
use crate::store::pool::Pool;
use crate::store::*;
use crate::tenancy::*;

/// The connections of the daemon's role, past everything that says whose rows are meant.
fn bare(db: &Database) -> PgPool {
    match &db.store.pool {
        Pool::Postgres(pool) => pool.clone(),
        Pool::Sqlite(_) => panic!("this is about PostgreSQL"),
    }
}

/// Every table that carries a tenant, as the database knows them: a new one is among them.
async fn owned(pool: &PgPool) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT table_name::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND column_name = 'tenant_id' ORDER BY table_name",
    );
    rows.fetch_all(pool).await.expect("tables").iter().map(|row| row.get(0)).collect()
}

async fn count(pool: &PgPool, opening: &str, table: &str) -> i64 {
    try_count(pool, opening, table).await.expect("a count")
}

async fn try_count(pool: &PgPool, opening: &str, table: &str) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin_with(AssertSqlSafe(opening.to_owned())).await.expect("a transaction");
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(&mut *transaction).await
}

/// A statement without a row scope is refused as soon as there is a row that it would not see.
fn is_refused(outcome: &Result<i64, sqlx::Error>) -> bool {
    let code = |error: &sqlx::Error| error.as_database_error()?.code().map(|code| code.to_string());
    outcome.as_ref().err().and_then(code).as_deref() == Some("42501")
}

fn scoped(tenant: TenantId) -> String {
    format!("BEGIN; SET LOCAL vca.tenant = '{}'", tenant.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_scope_gets_nothing() {
    on_postgres(async |db: Database| {
        let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
        let scope = db.store.scope(mine.tenant.id);
        let call = values::call_to(&mine);
        scope.begin_call(&call).await.expect("a call");
        scope.add_turn(&values::turn(&call, 1)).await.expect("a turn");
        let pool = bare(&db);
        let tables = owned(&pool).await;
        assert!(tables.len() >= 15, "{tables:?}");
        for table in &tables {
            for opening in ["BEGIN", "BEGIN; SET LOCAL vca.reach = 'ALL'", "BEGIN; SET LOCAL vca.tenant = ''"]
            {
                let found = try_count(&pool, opening, table).await;
                assert!(is_refused(&found) || matches!(found, Ok(0)), "{opening}: {table}: {found:?}");
            }
        }
        for table in ["phone_numbers", "ai_profiles", "calls", "call_turns", "audit_log"] {
            let own = count(&pool, &scoped(mine.tenant.id), table).await;
            let other = count(&pool, &scoped(theirs.tenant.id), table).await;
            let all = count(&pool, "BEGIN; SET LOCAL vca.reach = 'all'", table).await;
            assert!(own > 0 && own + other == all, "{table}: {own} and {other} of {all}");
            assert!(is_refused(&try_count(&pool, "BEGIN", table).await), "{table}: hidden without an error");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_guarded_by_the_same_two_policies() {
    on_postgres(async |db: Database| {
        let pool = bare(&db);
        for table in owned(&pool).await {
            let row = sqlx::query(
                "SELECT c.relrowsecurity, c.relforcerowsecurity, \
                 (SELECT string_agg(p.polname::text, ' ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid) \
                 FROM pg_class c WHERE c.oid = to_regclass($1)",
            );
            let row = row.bind(&table).fetch_one(&pool).await.expect("a table");
            let found: (bool, bool, Option<String>) = (row.get(0), row.get(1), row.get(2));
            assert_eq!(found, (true, true, Some("everywhere one_tenant".to_owned())), "{table}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_rows_can_be_neither_written_nor_taken() {
    on_postgres(async |db: Database| {
        let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
        let (pool, opening) = (bare(&db), scoped(theirs.tenant.id));
        let (mine_id, number) = (mine.tenant.id, mine.number.id);
        for (statement, is_refused) in [
            (format!("UPDATE phone_numbers SET is_active = FALSE WHERE id = '{number}'"), false),
            (format!("DELETE FROM phone_numbers WHERE id = '{number}'"), false),
            (format!("UPDATE phone_numbers SET tenant_id = '{mine_id}'"), true),
            (format!("INSERT INTO retention (tenant_id, updated_at) VALUES ('{mine_id}', now())"), true),
            (format!("INSERT INTO usage_months VALUES ('{mine_id}', '2026-01', 0, 0, 0)"), true),
        ] {
            let begun = pool.begin_with(AssertSqlSafe(opening.clone())).await;
            let mut transaction = begun.expect("a transaction");
            let outcome = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await;
            match outcome {
                Ok(done) => assert!(!is_refused && done.rows_affected() == 0, "{statement}: {done:?}"),
                Err(error) => {
                    let code = error.as_database_error().and_then(|reported| reported.code());
                    assert!(is_refused && code.as_deref() == Some("42501"), "{statement}: {error}");
                }
            }
        }
        assert_eq!(db.store.scope(mine_id).numbers().await.expect("numbers"), [mine.number]);
    })
    .await;
}

/// A connection that goes back to the pool takes no tenant along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_ends_with_its_statement() {
    on_postgres(async |db: Database| {
        let mine = db.tenant(1).await;
        let store = db.impatient().await;
        let Pool::Postgres(pool) = &store.pool else { panic!("PostgreSQL") };
        assert_eq!(store.scope(mine.tenant.id).numbers().await.expect("numbers").len(), 1);
        let left = try_count(pool, "BEGIN", "phone_numbers").await;
        assert!(is_refused(&left), "the only connection there is was another tenant's before: {left:?}");
        let failed = store.scope(mine.tenant.id).number(NumberId::new()).await;
        assert!(matches!(failed, Err(StoreError::NotFound)), "{failed:?}");
        let left = try_count(pool, "BEGIN", "phone_numbers").await;
        assert!(is_refused(&left), "nor after a failure: {left:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_above_it_is_told() {
    let bypassed = |why| Isolation::Bypassed { role: "postgres".into(), why };
    for (why, word) in [(Bypass::Superuser, "superuser"), (Bypass::Attribute, "BYPASSRLS")] {
        assert!(bypassed(why).weakness().is_some_and(|text| text.contains(word)));
    }
    let memory = Settings { url: SecretString::from("sqlite::memory:"), ..Settings::default() };
    let memory = Store::open(&memory).await.expect("a database");
    assert_eq!(memory.isolation().await.expect("an answer"), Isolation::ProgramOnly);
    on_postgres(async |db: Database| {
        let isolation = db.store.isolation().await.expect("an answer");
        assert!(matches!(isolation, Isolation::Enforced { owns_tables: true, .. }), "{isolation:?}");
        assert_eq!(isolation.weakness(), None);
    })
    .await;
}

/// The daemon's role has rights to rows alone: it reads and writes them by its scopes, and cannot switch them off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_the_tables_cannot_switch_it_off() {
    on_postgres(async |db: Database| {
        let (pool, role) = (bare(&db), format!("vca_daemon_{}", uuid::Uuid::now_v7().simple()));
        let grants = format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'daemon'; DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO {role}', current_schema()); END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await.expect("a role with rights to rows");
        let url = super::url(&db.settings);
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (_, server) = rest.split_once('@').expect("a URL with a user");
        let url = format!("{scheme}://{role}:daemon@{server}");
        let settings = Settings { url: SecretString::from(url), ..db.settings.clone() };
        let daemon = Store::open(&settings).await.expect("the role may log in");
        assert_eq!(daemon.pending_migrations().await.expect("it can see them"), Vec::<String>::new());
        let expected = Isolation::Enforced { role: role.clone(), owns_tables: false };
        assert_eq!(daemon.isolation().await.expect("an answer"), expected);

        let as_daemon = Database { settings, store: daemon };
        let route = as_daemon.tenant(1).await;
        let scope = as_daemon.store.scope(route.tenant.id);
        let call = values::completed(&values::call_to(&route));
        scope.end_call(&call, &[]).await.expect("a call is written and counted");
        assert_eq!(scope.numbers().await.expect("numbers"), [route.number]);

        let daemons = bare(&as_daemon);
        for statement in [
            "ALTER TABLE calls DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE calls NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY one_tenant ON calls",
            "CREATE POLICY all_of_them ON calls USING (TRUE)",
            "DROP TABLE call_turns",
            "TRUNCATE call_turns",
            "CREATE OR REPLACE FUNCTION vca_sees_all_tenants() RETURNS boolean LANGUAGE sql AS 'SELECT TRUE'",
        ] {
            let refused = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&daemons).await;
            let code = refused.err().and_then(|error| Some(error.as_database_error()?.code()?.to_string()));
            assert_eq!(code.as_deref(), Some("42501"), "{statement}");
        }
        let unscoped = try_count(&daemons, "BEGIN", "calls").await;
        assert!(is_refused(&unscoped), "{unscoped:?}");
        as_daemon.store.close().await;
        // The owner of the database may not end the connections of a role that is gone.
        daemons.close().await;
        let gone = format!("GRANT {role} TO CURRENT_USER WITH INHERIT TRUE; DROP OWNED BY {role}; DROP ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(gone)).execute(&pool).await.expect("the role goes");
    })
    .await;
}
