//! Ledger entries that the database refused for their own data: set aside in a table of few rules, to be written again once
//! their cause is repaired, or discarded.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::batch::Batch;
use super::conditions::Conditions;
use super::ledger::Entry;
use super::statement::sql;
use super::tx::{Access, AllTenants, RowScope};
use super::{Page, Store, StoreError, Window, now};
use crate::tenancy::{CallId, TenantId};

/// The most dead letters that are kept. A fault that makes more of them repeats itself.
const MOST: i64 = 10_000;

/// An entry that was set aside. Its contents stay in the database: they are a caller's words and numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub id: Uuid,
    pub tenant_id: TenantId,
    pub call_id: CallId,
    /// `begin`, `update`, `end`, `turn` or `taken`.
    pub kind: String,
    /// Why the database refused it.
    pub problem: String,
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, tenant_id, call_id, kind, problem, created_at";

impl Store {
    /// Sets an entry aside.
    ///
    /// # Errors
    /// `Conflict` when there are as many as are kept, `Invalid` when the entry's tenant does not exist.
    pub(super) async fn add_dead_letter(&self, entry: &Entry, problem: &str) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO ledger_dead_letters (id, tenant_id, call_id, kind, entry, problem, created_at) \
            SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM ledger_dead_letters) < $8";
        let json = serde_json::to_string(entry).map_err(StoreError::invalid)?;
        let insert = sql(SQL)
            .bind(Uuid::now_v7())
            .bind(entry.tenant().0)
            .bind(entry.call().0)
            .bind(entry.kind())
            .bind(json)
            .bind(problem)
            .bind(now())
            .bind(MOST);
        if AllTenants(self).execute(insert).await? == 0 {
            return Err(StoreError::invalid(format_args!("there are {MOST} dead letters already")));
        }
        Ok(())
    }

    /// The entries that were set aside, oldest first: all tenants', or one's.
    pub async fn dead_letters(
        &self,
        tenant: Option<TenantId>,
        window: Window,
    ) -> Result<Page<DeadLetter>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM ledger_dead_letters WHERE id >");
        let mut query = Conditions::new(select, window.above());
        query.and_if("tenant_id =", tenant.map(|tenant| tenant.0));
        query.then("ORDER BY id");
        query.limit(window.rows());
        let letters = AllTenants(self).all::<Row>(query.statement()).await?;
        let letters = letters.into_iter().map(DeadLetter::from).collect();
        Ok(window.page(letters, |letter: &DeadLetter| letter.id))
    }

    /// How many entries are set aside.
    pub async fn count_dead_letters(&self) -> Result<u64, StoreError> {
        let (letters,) =
            AllTenants(self).one::<(i64,)>(sql("SELECT COUNT(*) FROM ledger_dead_letters")).await?;
        Ok(letters.max(0).unsigned_abs())
    }

    /// Writes an entry that was set aside. Later writes to its call are kept.
    ///
    /// # Errors
    /// `NotFound` when there is none with this id; those of the write when the database refuses it again: the
    /// entry stays.
    pub async fn retry_dead_letter(&self, id: Uuid) -> Result<(), StoreError> {
        let select = sql("SELECT entry FROM ledger_dead_letters WHERE id = $1").bind(id);
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        let (json,) = tx.one::<(String,)>(select).await?;
        let entry: Entry = serde_json::from_str(&json).map_err(StoreError::corrupt)?;
        let deliveries = Batch::of(std::slice::from_ref(&entry))?.write(self, &mut tx).await?;
        tx.execute(sql("DELETE FROM ledger_dead_letters WHERE id = $1").bind(id)).await?;
        tx.commit().await?;
        self.ring(deliveries);
        Ok(())
    }

    /// Deletes an entry that was set aside.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub async fn discard_dead_letter(&self, id: Uuid) -> Result<(), StoreError> {
        let delete = sql("DELETE FROM ledger_dead_letters WHERE id = $1").bind(id);
        if AllTenants(self).execute(delete).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    call_id: Uuid,
    kind: String,
    problem: String,
    created_at: DateTime<Utc>,
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> DeadLetter {
        DeadLetter {
            id: row.id,
            tenant_id: TenantId(row.tenant_id),
            call_id: CallId(row.call_id),
            kind: row.kind,
            problem: row.problem,
            created_at: row.created_at,
        }
    }
}
