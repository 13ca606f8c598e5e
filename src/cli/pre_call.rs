//! Pre-call webhooks: `vca number webhook`, `remove-webhook`, `rotate-webhook-secret` and `test-webhook`; `vca tenant
//! pre-call-webhook`, `remove-pre-call-webhook` and `rotate-pre-call-secret`

use clap::Args;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::number::NumberSelector;
use super::output::Output;
use super::table::{Sheet, or_dash};
use super::tenant;
use crate::config::Config;
use crate::control::{self, PreCallTrial, in_any_state};
use crate::store::{IssuedPreCall, Scope, Store, StoreError};
use crate::tenancy::{Label, PreCallOwner, PreCallWebhook, RejectCause};
use crate::webhooks::PreCallClient;

#[derive(Debug, Args)]
pub struct Webhook {
    #[command(flatten)]
    which: NumberSelector,
    #[command(flatten)]
    settings: WebhookSettings,
}

#[derive(Debug, Args)]
pub struct TenantWebhook {
    /// Id, or name if only one has it.
    tenant: String,
    #[command(flatten)]
    settings: WebhookSettings,
}

#[derive(Debug, Args)]
struct WebhookSettings {
    /// The URL that is asked about each call while it rings. Without it the present webhook is shown.
    #[arg(long)]
    url: Option<String>,
    /// How long it has for its response, in milliseconds (100 to 5000). Default: as it is, or 2000.
    #[arg(long, value_name = "MS", requires = "url")]
    timeout_ms: Option<u32>,
}

#[derive(Debug, Args)]
pub struct TestWebhook {
    #[command(flatten)]
    which: NumberSelector,
    /// The caller's number in the request.
    #[arg(long, allow_hyphen_values = true)]
    caller: Option<String>,
}

/// A webhook, with its secret where it is new.
#[derive(Debug, Serialize)]
struct ShownWebhook {
    #[serde(flatten)]
    webhook: PreCallWebhook,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<IssuedPreCall> for ShownWebhook {
    fn from(IssuedPreCall { webhook, secret }: IssuedPreCall) -> ShownWebhook {
        ShownWebhook { webhook, secret: secret.map(|secret| secret.expose_secret().to_owned()) }
    }
}

impl Webhook {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let number = self.which.find(store, &config.numbers).await?.number;
        let (scope, owner) = (store.scope(number.tenant_id), PreCallOwner::Number(number.id));
        self.settings.run((&scope, owner), config, output).await
    }
}

impl TenantWebhook {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let scope = store.scope(tenant::find(store, &self.tenant).await?.id);
        self.settings.run((&scope, PreCallOwner::Tenant), config, output).await
    }
}

impl WebhookSettings {
    /// Sets a webhook, or shows it where no URL is given.
    async fn run(
        self,
        (scope, owner): (&Scope, PreCallOwner),
        config: &Config,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let Some(url) = &self.url else {
            let webhook = scope.pre_call_webhook(owner).await?;
            return print(ShownWebhook { webhook, secret: None }, output);
        };
        let timeout_ms = match self.timeout_ms {
            Some(timeout_ms) => timeout_ms,
            None => match scope.pre_call_webhook(owner).await {
                Ok(webhook) => webhook.timeout_ms,
                Err(StoreError::NotFound) => 2_000,
                Err(error) => return Err(error.into()),
            },
        };
        let receivers = config.webhooks.destinations();
        let any = |_: Option<&PreCallWebhook>| Ok::<(), Failure>(());
        let wanted = (owner, url.as_str(), timeout_ms);
        let actor = actor();
        let set = control::set_pre_call_webhook(scope, &actor, &receivers, wanted, any);
        print(set.await?.into(), output)
    }
}

/// Removes a number's webhook.
pub async fn remove(
    which: NumberSelector,
    store: &Store,
    config: &Config,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let number = which.find(store, &config.numbers).await?.number;
    let (any, owner) = (in_any_state::<_, Failure>, PreCallOwner::Number(number.id));
    let removed = store.scope(number.tenant_id).delete_pre_call_webhook_if(&actor(), owner, any).await?;
    output.print(&removed, || format!("{} has no pre-call webhook of its own now.", number.did))
}

/// Removes a tenant's webhook.
pub async fn remove_of_tenant(named: &str, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
    let tenant = tenant::find(store, named).await?;
    let (any, owner) = (in_any_state::<_, Failure>, PreCallOwner::Tenant);
    let removed = store.scope(tenant.id).delete_pre_call_webhook_if(&actor(), owner, any).await?;
    output.print(&removed, || format!("{:?} has no pre-call webhook now.", tenant.name))
}

/// Gives a number's webhook a new secret.
pub async fn rotate(
    which: NumberSelector,
    store: &Store,
    config: &Config,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let number = which.find(store, &config.numbers).await?.number;
    let (scope, owner) = (store.scope(number.tenant_id), PreCallOwner::Number(number.id));
    print(scope.rotate_pre_call_secret(&actor(), owner).await?.into(), output)
}

/// Gives a tenant's webhook a new secret.
pub async fn rotate_of_tenant(named: &str, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
    let scope = store.scope(tenant::find(store, named).await?.id);
    print(scope.rotate_pre_call_secret(&actor(), PreCallOwner::Tenant).await?.into(), output)
}

impl TestWebhook {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let number = self.which.find(store, &config.numbers).await?.number;
        let client = PreCallClient::new(&config.webhooks)
            .map_err(|error| Failure::failed(format!("no request can be sent: {error}")))?;
        let scope = store.scope(number.tenant_id);
        let (asked, tried) = ((&client, &config.transfer), (number.id, self.caller));
        let trial = control::test_pre_call_webhook(store, &scope, &actor(), asked, tried).await?;
        output.print(&trial, || sheet(&trial))?;
        match &trial.problem {
            None => Ok(()),
            Some(problem) => Err(Failure::failed(format!("calls are answered as without it: {problem}"))),
        }
    }
}

fn sheet(trial: &PreCallTrial) -> String {
    let agent = trial.agent.as_ref().and_then(|it| serde_json::to_string(it).ok());
    Sheet::new()
        .line("outcome", trial.outcome)
        .line("time", format!("{} ms", trial.duration_ms))
        .line("agent", or_dash(agent.as_deref()))
        .line("forward", or_dash(trial.forward.as_ref().map(Label::as_str)))
        .line("reject", or_dash(trial.reject.map(RejectCause::as_str)))
        .line("problem", or_dash(trial.problem.as_deref()))
        .to_string()
}

fn print(shown: ShownWebhook, output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(&shown, || {
        let ShownWebhook { webhook, secret } = &shown;
        let sheet = Sheet::new()
            .line("id", webhook.id)
            .line("url", &webhook.url)
            .line("timeout", format!("{} ms", webhook.timeout_ms))
            .line("created", webhook.created_at.format("%F %T UTC"));
        let sheet = match secret {
            Some(secret) => sheet.line("secret (not shown again)", secret),
            None => sheet,
        };
        sheet.to_string()
    })
}
