//! Pre-call webhooks of numbers. Their secrets are shown once to their owner, and opened to sign a request.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::audit::Change;
use super::calls::narrow;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Scope, Store, StoreError, now, numbers, webhooks};
use crate::sealing::Owner;
use crate::tenancy::{
    Actor, AiProfile, NamedProfile, NumberId, PreCallWebhook, PreCallWebhookId, ProfileId, StoredPreCall,
    StoredSecret, TenantId,
};

const COLUMNS: &str = "id, tenant_id, phone_number_id, url, timeout_ms, created_at";

/// A pre-call webhook, and its secret where it is new.
#[derive(Debug)]
pub struct IssuedPreCall {
    pub webhook: PreCallWebhook,
    /// `whsec_` and base64; `None` where the webhook keeps the secret that it had.
    pub secret: Option<SecretString>,
}

impl Scope {
    /// The number's webhook.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or the number has none.
    pub async fn pre_call_webhook(&self, number: NumberId) -> Result<PreCallWebhook, StoreError> {
        self.one::<Row>(one(self.tenant, number)).await?.try_into()
    }

    /// Sets the number's webhook, in the state that `check` accepts. A new one gets a secret.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number; the error of `check`.
    pub async fn set_pre_call_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        number: NumberId,
        url: &str,
        timeout_ms: u32,
        check: impl FnOnce(Option<&PreCallWebhook>) -> Result<(), E>,
    ) -> Result<IssuedPreCall, E> {
        const INSERT: &str = "INSERT INTO pre_call_webhooks \
            (id, tenant_id, phone_number_id, url, timeout_ms, created_at, secret) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        const UPDATE: &str =
            "UPDATE pre_call_webhooks SET url = $3, timeout_ms = $4 WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_pre_call(self.tenant, number).await?;
        check(before.as_ref())?;
        let (id, created_at) = match &before {
            Some(before) => (before.id, before.created_at),
            None => (PreCallWebhookId::new(), now()),
        };
        let (tenant_id, url) = (self.tenant, url.to_owned());
        let webhook = PreCallWebhook { id, tenant_id, phone_number_id: number, url, timeout_ms, created_at };
        let secret = match &before {
            Some(_) => {
                let update = sql(UPDATE).bind(self.tenant.0).bind(id.0).bind(webhook.url.as_str());
                tx.execute(update.bind(i64::from(timeout_ms))).await?;
                None
            }
            None => {
                let secret = webhooks::mint()?;
                let sealed = self.store.sealing.seal(&secret, &Owner::pre_call_webhook(self.tenant.0, id.0));
                let sealed = sealed
                    .map_err(|error| StoreError::Other(format!("a secret cannot be sealed: {error}")))?;
                let insert =
                    sql(INSERT).bind(id.0).bind(self.tenant.0).bind(number.0).bind(webhook.url.as_str());
                tx.execute(insert.bind(i64::from(timeout_ms)).bind(created_at).bind(sealed)).await?;
                Some(secret)
            }
        };
        let action = if before.is_some() { "update" } else { "create" };
        let change = Change::new(actor, self.tenant, action, "pre_call_webhook", id);
        let change = match &before {
            Some(before) => change.before(before),
            None => change,
        };
        tx.audit(change.after(&webhook)).await?;
        tx.commit().await?;
        Ok(IssuedPreCall { webhook, secret })
    }

    /// Removes the number's webhook, in a state that `check` accepts.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or the number has none; the error of `check`.
    pub async fn delete_pre_call_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        number: NumberId,
        check: impl FnOnce(&PreCallWebhook) -> Result<(), E>,
    ) -> Result<PreCallWebhook, E> {
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_pre_call(self.tenant, number).await?.ok_or(StoreError::NotFound)?;
        check(&before)?;
        tx.drop_pre_call(self.tenant, number).await?;
        let change = Change::new(actor, self.tenant, "delete", "pre_call_webhook", before.id);
        tx.audit(change.before(&before)).await?;
        tx.commit().await?;
        Ok(before)
    }

    /// The number's webhook with its secret, to try it.
    ///
    /// # Errors
    /// As of [`Scope::pre_call_webhook`].
    pub async fn stored_pre_call(&self, number: NumberId) -> Result<StoredPreCall, StoreError> {
        const SECRET: &str =
            "SELECT secret FROM pre_call_webhooks WHERE tenant_id = $1 AND phone_number_id = $2";
        let webhook = self.pre_call_webhook(number).await?;
        let (secret,) = self.one::<(String,)>(sql(SECRET).bind(self.tenant.0).bind(number.0)).await?;
        Ok(StoredPreCall { webhook, secret: StoredSecret(secret) })
    }

    /// The tenant's profile with an id or a name, at a version; `None` when it has none, or several of the name.
    pub async fn named_profile(&self, named: &NamedProfile) -> Result<Option<AiProfile>, StoreError> {
        let id = match named.name.parse::<ProfileId>() {
            Ok(id) => Some(id),
            Err(_) => self.profile_by_name(&named.name).await?,
        };
        let Some(id) = id else { return Ok(None) };
        let profile = match self.profile(id).await {
            Err(StoreError::NotFound) => return Ok(None),
            found => found?,
        };
        let Some(version) = named.version.filter(|version| *version != profile.version) else {
            return Ok(Some(profile));
        };
        match self.profile_version(id, version).await {
            Err(StoreError::NotFound) => Ok(None),
            found => {
                let former = found?;
                let (name, role, settings) = (former.name, former.role, former.settings);
                let (system_prompt, targets) = (former.system_prompt, former.targets.map(Into::into));
                Ok(Some(AiProfile { name, role, system_prompt, settings, version, targets, ..profile }))
            }
        }
    }

    /// The id of the one profile with a name.
    async fn profile_by_name(&self, name: &str) -> Result<Option<ProfileId>, StoreError> {
        const SQL: &str = "SELECT id FROM ai_profiles WHERE tenant_id = $1 AND name = $2 LIMIT 2";
        let found = self.all::<(Uuid,)>(sql(SQL).bind(self.tenant.0).bind(name)).await?;
        Ok(match found.as_slice() {
            [(id,)] => Some(ProfileId(*id)),
            _ => None,
        })
    }
}

impl Store {
    /// The secret of a webhook, to sign a request.
    ///
    /// # Errors
    /// `Other` when no key opens it.
    pub fn open_pre_call_secret(&self, stored: &StoredPreCall) -> Result<SecretString, StoreError> {
        let StoredPreCall { webhook, secret } = stored;
        let opened =
            self.sealing.open(&secret.0, &Owner::pre_call_webhook(webhook.tenant_id.0, webhook.id.0));
        opened.map_err(|error| {
            StoreError::Other(format!("a pre-call webhook's secret cannot be opened: {error}"))
        })
    }
}

impl Tx {
    /// The number's webhook, with the number's row locked until the transaction ends.
    async fn lock_pre_call(
        &mut self,
        tenant: TenantId,
        number: NumberId,
    ) -> Result<Option<PreCallWebhook>, StoreError> {
        self.one::<numbers::Row>(numbers::locked(tenant, number)).await?;
        self.optional::<Row>(one(tenant, number)).await?.map(TryInto::try_into).transpose()
    }

    /// Deletes the number's webhook, where it has one.
    pub(super) async fn drop_pre_call(
        &mut self,
        tenant: TenantId,
        number: NumberId,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM pre_call_webhooks WHERE tenant_id = $1 AND phone_number_id = $2";
        self.execute(sql(SQL).bind(tenant.0).bind(number.0)).await.map(drop)
    }
}

fn one(tenant: TenantId, number: NumberId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM pre_call_webhooks WHERE tenant_id = $1 AND phone_number_id = $2"))
        .bind(tenant.0)
        .bind(number.0)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    phone_number_id: Uuid,
    url: String,
    timeout_ms: i64,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for PreCallWebhook {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<PreCallWebhook, StoreError> {
        Ok(PreCallWebhook {
            id: PreCallWebhookId(row.id),
            tenant_id: TenantId(row.tenant_id),
            phone_number_id: NumberId(row.phone_number_id),
            url: row.url,
            timeout_ms: narrow(Some(row.timeout_ms))?.unwrap_or_default(),
            created_at: row.created_at,
        })
    }
}
