//! Rows that prove that the database takes writes: a full disk or a file of another user shows only in a write. A program
//! that reads the row of another one uses the same database.

use chrono::TimeDelta;
use uuid::Uuid;

use super::statement::sql;
use super::tx::{Access, RowScope, Tx};
use super::{Store, StoreError, now};

/// Rows of programs that ended before they deleted them are deleted after this.
const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(1);

impl Store {
    /// Writes a row, for [`Store::has_probe`] in another program. Delete it with [`Store::remove_probe`].
    pub async fn add_probe(&self) -> Result<Uuid, StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        let id = insert(&mut tx).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub async fn has_probe(&self, id: Uuid) -> Result<bool, StoreError> {
        let select = sql("SELECT id FROM write_probes WHERE id = $1").bind(id);
        Ok(self.optional::<(Uuid,)>(select).await?.is_some())
    }

    pub async fn remove_probe(&self, id: Uuid) -> Result<(), StoreError> {
        self.execute(sql("DELETE FROM write_probes WHERE id = $1").bind(id)).await.map(drop)
    }

    /// Writes a row and deletes it.
    ///
    /// # Errors
    /// Those of a write: a full disk, a file that only another user may write, a server in recovery.
    pub async fn check_write(&self) -> Result<(), StoreError> {
        let id = self.add_probe().await?;
        self.remove_probe(id).await
    }
}

async fn insert(tx: &mut Tx) -> Result<Uuid, StoreError> {
    let (id, created_at) = (Uuid::now_v7(), now());
    let old = sql("DELETE FROM write_probes WHERE created_at < $1").bind(created_at - ABANDONED_AFTER);
    tx.execute(old).await?;
    tx.execute(sql("INSERT INTO write_probes (id, created_at) VALUES ($1, $2)").bind(id).bind(created_at))
        .await?;
    Ok(id)
}
