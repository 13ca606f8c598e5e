//! The secrets that the database keeps: how they are sealed, and sealing them anew when keys change.

use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use super::statement::{Statement, composed};
use super::tx::{Access, AllTenants, RowScope};
use super::{Store, StoreError};
use crate::sealing::{Keyring, Owner, SealError, Sealed};

/// Secrets that are sealed in one transaction: SQLite has no other writer meanwhile.
const BATCH: i64 = 50;

/// The secrets that were found, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resealing {
    /// All secrets, former ones included.
    pub secrets: u64,
    /// Those that were in clear or sealed with another key than the current one, and are now sealed with it.
    pub resealed: u64,
    /// Those that no key opens. They stay as they are.
    pub unopened: Vec<UnreadableSecret>,
}

/// A secret that no key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableSecret {
    pub tenant_id: Uuid,
    /// `webhook`, `tool_secret`, `pre_call_webhook` or `engine_credential`.
    pub kind: &'static str,
    pub id: Uuid,
    pub problem: String,
}

/// A table with a secret in each row.
struct SecretTable {
    name: &'static str,
    kind: &'static str,
    owner: fn(Uuid, Uuid) -> Owner,
}

const WEBHOOKS: SecretTable = SecretTable { name: "webhooks", kind: "webhook", owner: Owner::webhook };
const TOOL_SECRETS: SecretTable =
    SecretTable { name: "tool_secrets", kind: "tool_secret", owner: Owner::tool_secret };
const PRE_CALL_WEBHOOKS: SecretTable =
    SecretTable { name: "pre_call_webhooks", kind: "pre_call_webhook", owner: Owner::pre_call_webhook };
const ENGINE_CREDENTIALS: SecretTable =
    SecretTable { name: "engine_credentials", kind: "engine_credential", owner: Owner::engine_credential };

/// A secret's row.
struct SealedRow {
    kind: &'static str,
    tenant_id: Uuid,
    id: Uuid,
    owner: Owner,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Uuid,
    id: Uuid,
    secret: String,
    former_secret: Option<String>,
}

impl Store {
    /// The same store with keys for the secrets that it keeps.
    pub fn with_sealing(self, sealing: Keyring) -> Store {
        Store { sealing, ..self }
    }

    /// The text to store for a webhook's secret.
    pub(super) fn seal_webhook_secret(
        &self,
        tenant: Uuid,
        webhook: Uuid,
        secret: &SecretString,
    ) -> Result<String, StoreError> {
        let sealed = self.sealing.seal(secret, &Owner::webhook(tenant, webhook));
        sealed.map_err(|error| StoreError::Other(format!("a secret cannot be sealed: {error}")))
    }

    /// Seals every secret with the current key, a few at a time, and counts. A dry run only counts.
    ///
    /// # Errors
    /// `Invalid` when there is no key that seals, unless it is a dry run.
    pub async fn reseal(&self, dry_run: bool) -> Result<Resealing, StoreError> {
        if !dry_run && !self.sealing.seals() {
            return Err(StoreError::invalid(
                "there is no key to seal with: set seal.key (VCA_SEAL_KEY), for example to the output of \
                 `openssl rand -base64 32`",
            ));
        }
        let mut found = Resealing::default();
        for table in [&WEBHOOKS, &PRE_CALL_WEBHOOKS] {
            let mut after = Some(Uuid::nil());
            while let Some(last) = after {
                after = self.reseal_rotated(table, last, dry_run, &mut found).await?;
            }
        }
        for table in [&TOOL_SECRETS, &ENGINE_CREDENTIALS] {
            let mut after = Some(Uuid::nil());
            while let Some(last) = after {
                after = self.reseal_table(table, last, dry_run, &mut found).await?;
            }
        }
        Ok(found)
    }

    /// Seals the secrets of a table with present and former ones behind `after`; a deleted webhook has none. Returns
    /// the last webhook, or `None` when there was none.
    async fn reseal_rotated(
        &self,
        table: &SecretTable,
        after: Uuid,
        dry_run: bool,
        found: &mut Resealing,
    ) -> Result<Option<Uuid>, StoreError> {
        let select = composed(format!(
            "SELECT tenant_id, id, secret, former_secret FROM {} WHERE secret <> '' AND id > $1 ORDER BY id LIMIT $2",
            table.name
        ));
        let access = if dry_run { Access::Read } else { Access::Write };
        let mut tx = AllTenants(self).begin(access).await?;
        let rows = tx.all::<Row>(select.bind(after).bind(BATCH)).await?;
        for row in &rows {
            if let Some(update) = self.reseal_row(table, row, found)
                && !dry_run
            {
                tx.execute(update).await?;
            }
        }
        tx.commit().await?;
        Ok(rows.last().map(|row| row.id))
    }

    /// Seals the secrets of a table behind `after`. Returns the last one, or `None` when there was none.
    async fn reseal_table(
        &self,
        table: &SecretTable,
        after: Uuid,
        dry_run: bool,
        found: &mut Resealing,
    ) -> Result<Option<Uuid>, StoreError> {
        let SecretTable { name, kind, owner } = *table;
        let select =
            composed(format!("SELECT tenant_id, id, secret FROM {name} WHERE id > $1 ORDER BY id LIMIT $2"));
        let update =
            format!("UPDATE {name} SET secret = $3 WHERE tenant_id = $1 AND id = $2 AND secret = $4");
        let access = if dry_run { Access::Read } else { Access::Write };
        let mut tx = AllTenants(self).begin(access).await?;
        let rows = tx.all::<(Uuid, Uuid, String)>(select.bind(after).bind(BATCH)).await?;
        let last = rows.last().map(|(_, id, _)| *id);
        for (tenant_id, id, secret) in rows {
            let owned = SealedRow { kind, tenant_id, id, owner: owner(tenant_id, id) };
            if let Some(sealed) = self.reseal_text(&owned, &secret, found)
                && !dry_run
            {
                let update = composed(update.clone());
                tx.execute(update.bind(tenant_id).bind(id).bind(sealed).bind(secret)).await?;
            }
        }
        tx.commit().await?;
        Ok(last)
    }

    /// The statement that stores a webhook's secrets sealed anew; `None` when they are sealed with the current key. A
    /// rotation in between makes it write nothing: the new secret is sealed already.
    fn reseal_row(&self, table: &SecretTable, row: &Row, found: &mut Resealing) -> Option<Statement> {
        let SecretTable { name, kind, owner } = *table;
        let (tenant_id, id) = (row.tenant_id, row.id);
        let owned = SealedRow { kind, tenant_id, id, owner: owner(tenant_id, id) };
        let mut reseal = |stored: &str| self.reseal_text(&owned, stored, found);
        let secret = reseal(&row.secret);
        let former = row.former_secret.as_deref().and_then(&mut reseal);
        if secret.is_none() && former.is_none() {
            return None;
        }
        let update = composed(format!(
            "UPDATE {name} SET secret = $3, former_secret = $4 WHERE tenant_id = $1 AND id = $2 \
             AND secret = $5 AND COALESCE(former_secret, '') = $6"
        ));
        let update = update.bind(tenant_id).bind(id);
        let update = update.bind(secret.unwrap_or_else(|| row.secret.clone()));
        let update = update.bind(former.or_else(|| row.former_secret.clone()));
        Some(update.bind(row.secret.as_str()).bind(row.former_secret.as_deref().unwrap_or_default()))
    }

    /// The text sealed with the current key; `None` when it is already, or cannot be.
    fn reseal_text(&self, owned: &SealedRow, stored: &str, found: &mut Resealing) -> Option<String> {
        found.secrets += 1;
        let owner = &owned.owner;
        let opened = self.sealing.open(stored, owner);
        let sealed: Result<Option<String>, SealError> = opened.and_then(|secret| {
            let is_kept = self.sealing.examine(stored) == Sealed::ByCurrentKey || !self.sealing.seals();
            if is_kept { Ok(None) } else { self.sealing.seal(&secret, owner).map(Some) }
        });
        match sealed {
            Ok(sealed) => {
                found.resealed += u64::from(sealed.is_some());
                sealed
            }
            Err(error) => {
                let SealedRow { kind, tenant_id, id, .. } = *owned;
                found.unopened.push(UnreadableSecret { tenant_id, kind, id, problem: error.to_string() });
                None
            }
        }
    }
}
