//! A copy has every row, and says so; a damaged one is recognised.

use std::path::PathBuf;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(sums_change_with_every_row,);

async fn sums_change_with_every_row(db: Database) {
    let before = db.store.table_sums().await.expect("sums");
    assert_eq!(before, db.store.table_sums().await.expect("the same sums"));
    let rows = |sums: &[TableSum], table: &str| {
        let sum = sums.iter().find(|sum| sum.table == table).cloned();
        sum.unwrap_or_else(|| panic!("there is no {table} in {sums:?}"))
    };
    assert_eq!(rows(&before, "tenants").rows, 0);
    assert!(rows(&before, "_sqlx_migrations").rows > 7, "{before:?}");
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    scope.end_call(&values::completed(&values::call_to(&route)), &[]).await.expect("a call");
    let after = db.store.table_sums().await.expect("sums");
    for table in ["tenants", "phone_numbers", "calls", "usage_months", "audit_log", "tenant_terms"] {
        assert!(rows(&after, table).rows > 0, "{table} is seen: {after:?}");
    }
    let renamed = TenantChanges { name: Some("Another".into()), ..TenantChanges::default() };
    db.store.update_tenant(&Actor::system(), route.tenant.id, renamed).await.expect("a change");
    let changed = db.store.table_sums().await.expect("sums");
    let (then, now) = (rows(&after, "tenants"), rows(&changed, "tenants"));
    assert!(then.rows == now.rows && then.checksum != now.checksum, "{then:?} {now:?}");
    assert_eq!(rows(&after, "calls"), rows(&changed, "calls"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_whole_and_a_damaged_one_is_not() {
    super::on_sqlite(async |db: Database| {
        let route = db.tenant(1).await;
        let scope = db.store.scope(route.tenant.id);
        for _ in 0..200 {
            let call = values::completed(&values::call_to(&route));
            scope.end_call(&Call { id: CallId::new(), ..call }, &[]).await.expect("a call");
        }
        let copy = beside(&db, "copy.db");
        std::fs::write(&copy, "").expect("an empty file");
        db.store.copy_into(&Actor::cli("ann"), &copy).await.expect("a copy");
        let sums = examine_copy(&copy).await.expect("it is whole");
        assert_eq!(sums, db.store.table_sums().await.expect("sums"), "each row is in it");
        let filter = AuditFilter { action: Some("backup".into()), ..AuditFilter::default() };
        let entries = db.store.audit(&filter, Window::first(9)).await.expect("entries").items;
        assert_eq!((entries.len(), entries[0].actor.as_str()), (1, "cli ann"));

        let whole = std::fs::read(&copy).expect("a file");
        let damaged = beside(&db, "damaged.db");
        let mut spoilt = whole.clone();
        let middle = whole.len() / 2;
        spoilt[middle..middle + 4_096].fill(0xff);
        for (bytes, what) in [
            (&whole[..whole.len() / 2], "half a copy"),
            (&spoilt[..], "a spoilt page"),
            (b"not a database at all, however long it may be".as_slice(), "another file"),
            (b"".as_slice(), "an empty file"),
        ] {
            std::fs::write(&damaged, bytes).expect("a file");
            let verdict = examine_copy(&damaged).await;
            assert!(matches!(verdict, Err(StoreError::Invalid { .. })), "{what}: {verdict:?}");
        }
        let missing = examine_copy(&beside(&db, "missing.db")).await;
        assert!(matches!(missing, Err(StoreError::Invalid { .. })), "{missing:?}");
    })
    .await;
}

/// A database that a daemon has open cannot be replaced beneath it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_use_is_known() {
    super::on_sqlite(async |db: Database| {
        db.tenant(1).await;
        let file = beside(&db, "vca.db");
        assert!(is_in_use(&file).await);
        db.store.close().await;
        assert!(!is_in_use(&file).await);
        assert!(!beside(&db, "vca.db-wal").exists(), "everything is in the one file");
        let damaged = beside(&db, "damaged.db");
        std::fs::write(&damaged, "this is no database").expect("a file");
        assert!(!is_in_use(&damaged).await);
    })
    .await;
}

fn beside(db: &Database, name: &str) -> PathBuf {
    let url = super::url(&db.settings);
    PathBuf::from(url.trim_start_matches("sqlite:")).with_file_name(name)
}
