//! Pre-call webhooks of numbers and of tenants. Their secrets are shown once to their owner, and opened to sign a
//! request.

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
    Actor, AiProfile, FormerSecret, NamedProfile, NumberId, PhoneNumber, PreCallOwner, PreCallWebhook,
    PreCallWebhookId, ProfileId, StoredPreCall, StoredSecret, TenantId,
};

const COLUMNS: &str = "id, tenant_id, phone_number_id, url, timeout_ms, created_at";
const STORED: &str = "id, tenant_id, phone_number_id, url, timeout_ms, created_at, \
    secret, former_secret, former_secret_until";

/// A pre-call webhook, and its secret where it is new.
#[derive(Debug)]
pub struct IssuedPreCall {
    pub webhook: PreCallWebhook,
    /// `whsec_` and base64; `None` where the webhook keeps the secret that it had.
    pub secret: Option<SecretString>,
}

impl Scope {
    /// The webhook of a number or of the tenant.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or there is no webhook.
    pub async fn pre_call_webhook(&self, owner: PreCallOwner) -> Result<PreCallWebhook, StoreError> {
        self.one::<Row>(one(COLUMNS, self.tenant, owner)).await?.try_into()
    }

    /// Sets a webhook, in the state that `check` accepts. A new one gets a secret.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number; the error of `check`.
    pub async fn set_pre_call_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        owner: PreCallOwner,
        url: &str,
        timeout_ms: u32,
        check: impl FnOnce(Option<&PreCallWebhook>) -> Result<(), E>,
    ) -> Result<IssuedPreCall, E> {
        const UPDATE: &str =
            "UPDATE pre_call_webhooks SET url = $3, timeout_ms = $4 WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_pre_call(self.tenant, owner).await?;
        check(before.as_ref())?;
        let Some(before) = before else {
            let webhook = PreCallWebhook {
                id: PreCallWebhookId::new(),
                tenant_id: self.tenant,
                phone_number_id: owner.number(),
                url: url.to_owned(),
                timeout_ms,
                created_at: now(),
            };
            let secret = webhooks::mint()?;
            let sealed = self.store.seal_pre_call_secret(&webhook, &secret)?;
            tx.execute(insert(&webhook, &sealed)).await?;
            let change = Change::new(actor, self.tenant, "create", "pre_call_webhook", webhook.id);
            tx.audit(change.after(&webhook)).await?;
            tx.commit().await?;
            return Ok(IssuedPreCall { webhook, secret: Some(secret) });
        };
        let webhook = PreCallWebhook { url: url.to_owned(), timeout_ms, ..before.clone() };
        let update = sql(UPDATE).bind(self.tenant.0).bind(webhook.id.0).bind(webhook.url.as_str());
        tx.execute(update.bind(i64::from(timeout_ms))).await?;
        let change = Change::new(actor, self.tenant, "update", "pre_call_webhook", webhook.id);
        tx.audit(change.before(&before).after(&webhook)).await?;
        tx.commit().await?;
        Ok(IssuedPreCall { webhook, secret: None })
    }

    /// Gives a webhook a new secret. For a day requests are signed with the former one as well.
    ///
    /// # Errors
    /// As of [`Scope::pre_call_webhook`].
    pub async fn rotate_pre_call_secret(
        &self,
        actor: &Actor,
        owner: PreCallOwner,
    ) -> Result<IssuedPreCall, StoreError> {
        const SQL: &str = "UPDATE pre_call_webhooks SET former_secret = secret, former_secret_until = $3, \
            secret = $4 WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let webhook = tx.lock_pre_call(self.tenant, owner).await?.ok_or(StoreError::NotFound)?;
        let secret = webhooks::mint()?;
        let sealed = self.store.seal_pre_call_secret(&webhook, &secret)?;
        let update = sql(SQL).bind(self.tenant.0).bind(webhook.id.0);
        tx.execute(update.bind(now() + webhooks::OVERLAP).bind(sealed)).await?;
        tx.audit(Change::new(actor, self.tenant, "rotate_secret", "pre_call_webhook", webhook.id)).await?;
        tx.commit().await?;
        Ok(IssuedPreCall { webhook, secret: Some(secret) })
    }

    /// Removes a webhook, in a state that `check` accepts.
    ///
    /// # Errors
    /// As of [`Scope::pre_call_webhook`]; the error of `check`.
    pub async fn delete_pre_call_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        owner: PreCallOwner,
        check: impl FnOnce(&PreCallWebhook) -> Result<(), E>,
    ) -> Result<PreCallWebhook, E> {
        const SQL: &str = "DELETE FROM pre_call_webhooks WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_pre_call(self.tenant, owner).await?.ok_or(StoreError::NotFound)?;
        check(&before)?;
        tx.execute(sql(SQL).bind(self.tenant.0).bind(before.id.0)).await?;
        let change = Change::new(actor, self.tenant, "delete", "pre_call_webhook", before.id);
        tx.audit(change.before(&before)).await?;
        tx.commit().await?;
        Ok(before)
    }

    /// The webhook that is asked about calls to a number, with its secrets: the number's own; without one that of the
    /// tenant, unless the number does not use it.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn pre_call_for(&self, number: &PhoneNumber) -> Result<StoredPreCall, StoreError> {
        let own = one(STORED, self.tenant, PreCallOwner::Number(number.id));
        if let Some(own) = self.optional::<StoredRow>(own).await? {
            return own.try_into();
        }
        if !number.uses_tenant_webhook {
            return Err(StoreError::NotFound);
        }
        self.one::<StoredRow>(one(STORED, self.tenant, PreCallOwner::Tenant)).await?.try_into()
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
    /// The secrets of a webhook that a request is signed with: the present one, and the former one while it is in use.
    /// A former secret that no key opens is left out: the receiver knows the present one.
    ///
    /// # Errors
    /// `Other` when no key opens the present secret.
    pub fn open_pre_call_secrets(
        &self,
        stored: &StoredPreCall,
        now: DateTime<Utc>,
    ) -> Result<Vec<SecretString>, StoreError> {
        let StoredPreCall { webhook, secret, former } = stored;
        let owner = Owner::pre_call_webhook(webhook.tenant_id.0, webhook.id.0);
        let present = self.sealing.open(&secret.0, &owner).map_err(|error| {
            StoreError::Other(format!("a pre-call webhook's secret cannot be opened: {error}"))
        })?;
        let former = former.as_ref().filter(|former| now < former.until);
        let former = former.and_then(|former| self.sealing.open(&former.secret.0, &owner).ok());
        Ok([Some(present), former].into_iter().flatten().collect())
    }

    /// The text to store for a webhook's secret.
    fn seal_pre_call_secret(
        &self,
        webhook: &PreCallWebhook,
        secret: &SecretString,
    ) -> Result<String, StoreError> {
        let owner = Owner::pre_call_webhook(webhook.tenant_id.0, webhook.id.0);
        let sealed = self.sealing.seal(secret, &owner);
        sealed.map_err(|error| StoreError::Other(format!("a secret cannot be sealed: {error}")))
    }
}

impl Tx {
    /// A webhook, with the row of its number or tenant locked until the transaction ends.
    async fn lock_pre_call(
        &mut self,
        tenant: TenantId,
        owner: PreCallOwner,
    ) -> Result<Option<PreCallWebhook>, StoreError> {
        match owner {
            PreCallOwner::Number(number) => {
                self.one::<numbers::Row>(numbers::locked(tenant, number)).await?;
            }
            PreCallOwner::Tenant => self.lock_tenant(tenant).await?,
        }
        self.optional::<Row>(one(COLUMNS, tenant, owner)).await?.map(TryInto::try_into).transpose()
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

fn one(columns: &str, tenant: TenantId, owner: PreCallOwner) -> Statement {
    let select = format!("SELECT {columns} FROM pre_call_webhooks WHERE tenant_id = $1 AND");
    match owner {
        PreCallOwner::Number(number) => {
            composed(format!("{select} phone_number_id = $2")).bind(tenant.0).bind(number.0)
        }
        PreCallOwner::Tenant => composed(format!("{select} phone_number_id IS NULL")).bind(tenant.0),
    }
}

fn insert(webhook: &PreCallWebhook, sealed: &str) -> Statement {
    const SQL: &str = "INSERT INTO pre_call_webhooks \
        (id, tenant_id, phone_number_id, url, timeout_ms, created_at, secret) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sql(SQL)
        .bind(webhook.id.0)
        .bind(webhook.tenant_id.0)
        .bind(webhook.phone_number_id.map(|number| number.0))
        .bind(webhook.url.as_str())
        .bind(i64::from(webhook.timeout_ms))
        .bind(webhook.created_at)
        .bind(sealed)
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub phone_number_id: Option<Uuid>,
    pub url: String,
    pub timeout_ms: i64,
    pub created_at: DateTime<Utc>,
}

impl TryFrom<Row> for PreCallWebhook {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<PreCallWebhook, StoreError> {
        Ok(PreCallWebhook {
            id: PreCallWebhookId(row.id),
            tenant_id: TenantId(row.tenant_id),
            phone_number_id: row.phone_number_id.map(NumberId),
            url: row.url,
            timeout_ms: narrow(Some(row.timeout_ms))?.unwrap_or_default(),
            created_at: row.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct StoredRow {
    #[sqlx(flatten)]
    pub webhook: Row,
    pub secret: String,
    pub former_secret: Option<String>,
    pub former_secret_until: Option<DateTime<Utc>>,
}

impl TryFrom<StoredRow> for StoredPreCall {
    type Error = StoreError;

    fn try_from(row: StoredRow) -> Result<StoredPreCall, StoreError> {
        let former = row.former_secret.map(StoredSecret).zip(row.former_secret_until);
        Ok(StoredPreCall {
            webhook: row.webhook.try_into()?,
            secret: StoredSecret(row.secret),
            former: former.map(|(secret, until)| FormerSecret { secret, until }),
        })
    }
}
