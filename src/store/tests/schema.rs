//! The migrations give SQLite and PostgreSQL the same schema: columns with their types, keys, and indexes.

use std::collections::BTreeSet;

use sqlx::{PgPool, SqlitePool};

use super::{Database, on_postgres, on_sqlite};
use crate::store::pool::Pool;

/// Lines of one schema that the other one lacks on purpose.
const INTENDED: [(&str, &str); 2] = [
    ("primary key tenant_terms (tenant_id, seq)", "only on PostgreSQL: on SQLite `seq` is the row's id"),
    ("index tenant_terms (tenant_id, seq)", "only on SQLite: it takes the place of that key"),
];

/// Columns, by SQLite's names of types.
const SQLITE_COLUMNS: &str = r#"
    SELECT t.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" THEN ' not null' ELSE '' END
    FROM sqlite_master t, pragma_table_xinfo(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations'"#;

const POSTGRES_COLUMNS: &str = "
    SELECT table_name || '.' || column_name || ' ' || CASE
        WHEN data_type IN ('bigint', 'boolean') THEN 'INTEGER'
        WHEN data_type IN ('uuid', 'bytea') THEN 'BLOB'
        WHEN data_type IN ('text', 'timestamp with time zone') THEN 'TEXT'
        ELSE data_type END || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
    FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'";

/// Primary keys, unique keys and indexes, by their columns in order.
const SQLITE_INDEXES: &str = r#"
    SELECT CASE WHEN i.origin = 'pk' THEN 'primary key ' WHEN i."unique" THEN 'unique ' ELSE 'index ' END
        || t.name || ' (' || (SELECT group_concat(name, ', ') FROM
            (SELECT coalesce(c.name, 'expression') AS name FROM pragma_index_info(i.name) c ORDER BY c.seqno))
        || ')' || CASE WHEN i.partial THEN ' partial' ELSE '' END
    FROM sqlite_master t, pragma_index_list(t.name) i
    WHERE t.type = 'table' AND t.name <> '_sqlx_migrations'"#;

const POSTGRES_INDEXES: &str = "
    SELECT CASE WHEN i.indisprimary THEN 'primary key ' WHEN i.indisunique THEN 'unique ' ELSE 'index ' END
        || t.relname || ' ('
        || (SELECT string_agg(coalesce(c.attname, 'expression'), ', ' ORDER BY k.place)
            FROM unnest(i.indkey) WITH ORDINALITY k (number, place)
            LEFT JOIN pg_attribute c ON c.attrelid = i.indrelid AND c.attnum = k.number)
        || ')' || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relname <> '_sqlx_migrations'";

const SQLITE_FOREIGN_KEYS: &str = r#"
    SELECT 'foreign key ' || t.name || ' (' || (SELECT group_concat(name, ', ') FROM
            (SELECT c."from" AS name FROM pragma_foreign_key_list(t.name) c WHERE c.id = f.id ORDER BY c.seq))
        || ') to ' || f."table" || ' (' || (SELECT group_concat(name, ', ') FROM
            (SELECT c."to" AS name FROM pragma_foreign_key_list(t.name) c WHERE c.id = f.id ORDER BY c.seq))
        || ') on delete ' || lower(f.on_delete)
    FROM sqlite_master t, pragma_foreign_key_list(t.name) f
    WHERE t.type = 'table' AND f.seq = 0"#;

const POSTGRES_FOREIGN_KEYS: &str = "
    SELECT 'foreign key ' || t.relname || ' ('
        || (SELECT string_agg(c.attname, ', ' ORDER BY k.place)
            FROM unnest(f.conkey) WITH ORDINALITY k (number, place)
            JOIN pg_attribute c ON c.attrelid = f.conrelid AND c.attnum = k.number)
        || ') to ' || r.relname || ' ('
        || (SELECT string_agg(c.attname, ', ' ORDER BY k.place)
            FROM unnest(f.confkey) WITH ORDINALITY k (number, place)
            JOIN pg_attribute c ON c.attrelid = f.confrelid AND c.attnum = k.number)
        || ') on delete ' || CASE f.confdeltype WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null'
            WHEN 'r' THEN 'restrict' WHEN 'd' THEN 'set default' ELSE 'no action' END
    FROM pg_constraint f
    JOIN pg_class t ON t.oid = f.conrelid JOIN pg_class r ON r.oid = f.confrelid
    WHERE f.contype = 'f' AND t.relnamespace = current_schema()::regnamespace";

type Schema = BTreeSet<String>;

async fn sqlite_schema(pool: &SqlitePool) -> Schema {
    let mut schema = Schema::new();
    for query in [SQLITE_COLUMNS, SQLITE_INDEXES, SQLITE_FOREIGN_KEYS] {
        schema.extend(sqlx::query_scalar::<_, String>(query).fetch_all(pool).await.expect("a schema"));
    }
    schema
}

async fn postgres_schema(pool: &PgPool) -> Schema {
    let mut schema = Schema::new();
    for query in [POSTGRES_COLUMNS, POSTGRES_INDEXES, POSTGRES_FOREIGN_KEYS] {
        schema.extend(sqlx::query_scalar::<_, String>(query).fetch_all(pool).await.expect("a schema"));
    }
    schema
}

async fn schema(db: &Database) -> Schema {
    match &db.store.pool {
        Pool::Sqlite(pool) => sqlite_schema(pool).await,
        Pool::Postgres(pool) => postgres_schema(pool).await,
    }
}

fn differences(one: &Schema, other: &Schema) -> Vec<String> {
    one.symmetric_difference(other).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_postgresql_have_the_same_schema() {
    on_postgres(|postgres| async move {
        let expected = schema(&postgres).await;
        assert!(expected.len() > 300, "all columns, keys and indexes: {}", expected.len());
        on_sqlite(move |sqlite| async move {
            let intended: Schema = INTENDED.iter().map(|(line, _)| (*line).to_owned()).collect();
            let found: Schema = differences(&schema(&sqlite).await, &expected).into_iter().collect();
            assert_eq!(found, intended, "declare a difference with its reason, or migrate it away");
        })
        .await;
    })
    .await;
}

/// Each kind of difference is visible to the comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_schema_are_found() {
    on_sqlite(|db| async move {
        let before = schema(&db).await;
        db.raw(
            "ALTER TABLE tenants ADD COLUMN note TEXT; \
             CREATE UNIQUE INDEX extra ON tenants (plan, name) WHERE note IS NOT NULL; \
             CREATE TABLE notes (id BLOB NOT NULL PRIMARY KEY, tenant_id BLOB REFERENCES tenants (id)) STRICT;"
                .to_owned(),
        )
        .await
        .expect("changed");
        let expected = [
            "foreign key notes (tenant_id) to tenants (id) on delete no action",
            "notes.id BLOB not null",
            "notes.tenant_id BLOB",
            "primary key notes (id)",
            "tenants.note TEXT",
            "unique tenants (plan, name) partial",
        ];
        assert_eq!(differences(&before, &schema(&db).await), expected);
    })
    .await;
}
