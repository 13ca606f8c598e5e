//! `vca webhook`

use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::actor;
use super::failure::Failure;
use super::number::yes_or_no;
use super::output::Output;
use super::table::{Sheet, Table, or_dash};
use super::tenant;
use super::trial::Trial;
use crate::config::Config;
use crate::control;
use crate::store::{
    DeliveryFilter, NewWebhook, Store, StoreError, WebhookChanges, WebhookWithSecret, Window,
};
use crate::tenancy::{Delivery, DeliveryId, DeliveryStatus, EventType, Tenant, TenantId, Webhook, WebhookId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Subscribe a tenant's receiver to events; the secret that signs requests is shown once.
    Create(CreateWebhook),
    /// List webhooks.
    List {
        /// Id or name; all tenants when absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show one webhook.
    Show { webhook: WebhookId },
    /// Change a webhook, or switch it on or off.
    Update(UpdateWebhook),
    /// Delete a webhook. Pending deliveries are given up.
    Delete {
        webhook: WebhookId,
        #[command(flatten)]
        trial: Trial,
    },
    /// Give a webhook a new secret; for 24 hours requests are signed with the former one, too.
    RotateSecret { webhook: WebhookId },
    /// Send a test event through the daemon, and show the result of its delivery.
    Ping {
        webhook: WebhookId,
        /// How long to wait for the delivery, in seconds.
        #[arg(long, default_value_t = 10)]
        wait: u64,
    },
    /// Show the delivery log, newest first.
    Deliveries(Deliveries),
    /// Send an event once more.
    Retry { webhook: WebhookId, delivery: DeliveryId },
}

#[derive(Debug, Args)]
pub struct CreateWebhook {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    #[arg(long, value_name = "https://…")]
    url: String,
    /// Event types. Can be given several times, or separated by commas.
    #[arg(long = "event", required = true, value_delimiter = ',')]
    events: Vec<EventType>,
}

#[derive(Debug, Args)]
pub struct UpdateWebhook {
    webhook: WebhookId,
    #[arg(long, value_name = "https://…")]
    url: Option<String>,
    /// The new event types, instead of the present ones.
    #[arg(long = "event", value_delimiter = ',')]
    events: Vec<EventType>,
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    active: Option<bool>,
}

#[derive(Debug, Args)]
pub struct Deliveries {
    webhook: WebhookId,
    #[arg(long)]
    status: Option<DeliveryStatus>,
    #[arg(long = "event")]
    event_type: Option<EventType>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// A webhook, its tenant, and its secret if it is new.
#[derive(Debug, Serialize)]
struct OwnedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    tenant_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl OwnedWebhook {
    fn new(webhook: Webhook, tenant: &Tenant) -> OwnedWebhook {
        OwnedWebhook { webhook, tenant_name: tenant.name.clone(), secret: None }
    }

    fn issued(issued: WebhookWithSecret, tenant: &Tenant) -> OwnedWebhook {
        let secret = Some(issued.secret.expose_secret().to_owned());
        OwnedWebhook { secret, ..OwnedWebhook::new(issued.webhook, tenant) }
    }
}

/// How often a delivery is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(200);

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let guard = config.webhooks.destinations();
        let owned = match self {
            Command::List { tenant } => return list(store, tenant.as_deref(), output).await,
            Command::Ping { webhook, wait } => return ping(store, webhook, wait, output).await,
            Command::Deliveries(wanted) => return deliveries(store, wanted, output).await,
            Command::Retry { webhook, delivery } => {
                let scope = store.scope(find(store, webhook).await?.0.id);
                let delivery = scope.retry_delivery(&actor(), webhook, delivery).await?;
                return output.print(&delivery, || sheet_of(&delivery));
            }
            Command::Delete { webhook, trial } => {
                let (tenant, found) = find(store, webhook).await?;
                if trial.dry_run {
                    return output.print(&found, || {
                        format!(
                            "{webhook} of {:?} would be deleted, and what is on its way to it given up",
                            tenant.name
                        )
                    });
                }
                store.scope(tenant.id).delete_webhook(&actor(), webhook).await?;
                return output.print(&found, || format!("deleted {webhook}"));
            }
            Command::Create(CreateWebhook { tenant, url, events }) => {
                let tenant = tenant::find(store, &tenant).await?;
                let new = NewWebhook { url, events };
                let scope = store.scope(tenant.id);
                OwnedWebhook::issued(control::create_webhook(&scope, &actor(), &guard, new).await?, &tenant)
            }
            Command::Show { webhook } => {
                let (tenant, webhook) = find(store, webhook).await?;
                OwnedWebhook::new(webhook, &tenant)
            }
            Command::Update(UpdateWebhook { webhook, url, events, active }) => {
                let (tenant, _) = find(store, webhook).await?;
                let events = Some(events).filter(|events| !events.is_empty());
                let changes = WebhookChanges { url, events, is_active: active };
                let (scope, any) = (store.scope(tenant.id), control::in_any_state::<_, Failure>);
                let changed =
                    control::update_webhook(&scope, &actor(), &guard, webhook, changes, any).await?;
                OwnedWebhook::new(changed, &tenant)
            }
            Command::RotateSecret { webhook } => {
                let (tenant, _) = find(store, webhook).await?;
                let issued = store.scope(tenant.id).rotate_webhook_secret(&actor(), webhook).await?;
                OwnedWebhook::issued(issued, &tenant)
            }
        };
        output.print(&owned, || sheet(&owned))
    }
}

/// A webhook and its tenant.
async fn find(store: &Store, id: WebhookId) -> Result<(Tenant, Webhook), Failure> {
    let found = async {
        let tenant = store.tenant_of_webhook(id).await?;
        Ok((store.tenant(tenant).await?, store.scope(tenant).webhook(id).await?))
    };
    found.await.map_err(|error| match error {
        StoreError::NotFound => {
            Failure::not_found(format!("there is no webhook {id}: `vca webhook list` shows them all"))
        }
        error => error.into(),
    })
}

async fn list(store: &Store, tenant: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut all = Vec::new();
    for tenant in tenant::find_or_all(store, tenant).await? {
        // A tenant has a few.
        let webhooks = store.scope(tenant.id).webhooks(Window::first(500)).await?;
        all.extend(webhooks.items.into_iter().map(|webhook| OwnedWebhook::new(webhook, &tenant)));
    }
    output.print(&all, || {
        let mut table = Table::new(["id", "tenant", "active", "events", "url"]);
        for OwnedWebhook { webhook, tenant_name, .. } in &all {
            table.row([
                webhook.id.to_string(),
                tenant_name.clone(),
                yes_or_no(webhook.is_active).into(),
                words(&webhook.events),
                webhook.url.clone(),
            ]);
        }
        table.to_string()
    })
}

async fn ping(store: &Store, id: WebhookId, wait: u64, output: &mut Output<'_>) -> Result<(), Failure> {
    let (tenant, _) = find(store, id).await?;
    let delivery = store.scope(tenant.id).ping_webhook(&actor(), id).await?;
    let delivery = follow(store, tenant.id, delivery, Duration::from_secs(wait)).await?;
    output.print(&delivery, || {
        let hint = match (delivery.status, delivery.attempts) {
            (DeliveryStatus::Pending, 0) => "not sent yet: is the daemon running?\n",
            _ => "",
        };
        format!("{}{hint}", sheet_of(&delivery))
    })?;
    if delivery.status == DeliveryStatus::Delivered { Ok(()) } else { Err(Failure::said()) }
}

/// A delivery once it was tried, or as it is when that took too long.
async fn follow(
    store: &Store,
    tenant: TenantId,
    mut delivery: Delivery,
    timeout: Duration,
) -> Result<Delivery, Failure> {
    let began = Instant::now();
    while delivery.attempts == 0 && delivery.status == DeliveryStatus::Pending && began.elapsed() < timeout {
        sleep(LOOK).await;
        delivery = store.scope(tenant).delivery(delivery.webhook_id, delivery.id).await?;
    }
    Ok(delivery)
}

async fn deliveries(store: &Store, wanted: Deliveries, output: &mut Output<'_>) -> Result<(), Failure> {
    let Deliveries { webhook, status, event_type, limit } = wanted;
    let scope = store.scope(find(store, webhook).await?.0.id);
    let filter = DeliveryFilter { status, event_type };
    let page = scope.deliveries(webhook, filter, Window::first(limit)).await?;
    output.print(&page.items, || {
        let mut table =
            Table::new(["id", "event", "status", "attempts", "answer", "ms", "next attempt", "problem"]);
        for delivery in &page.items {
            table.row([
                delivery.id.to_string(),
                delivery.event_type.to_string(),
                delivery.status.to_string(),
                delivery.attempts.to_string(),
                or_dash(delivery.response_status),
                or_dash(delivery.response_ms),
                or_dash(delivery.next_attempt_at.map(|at| at.format("%F %T UTC"))),
                or_dash(delivery.problem.as_deref()),
            ]);
        }
        table.to_string()
    })
}

fn sheet(OwnedWebhook { webhook, tenant_name, secret }: &OwnedWebhook) -> String {
    let sheet = Sheet::new()
        .line("id", webhook.id)
        .line("url", &webhook.url)
        .line("events", words(&webhook.events))
        .line("active", yes_or_no(webhook.is_active))
        .line("failing since", or_dash(webhook.failing_since.map(|at| at.format("%F %T UTC"))))
        .line("tenant", tenant_name)
        .line("tenant id", webhook.tenant_id)
        .line("created", webhook.created_at.format("%F %T UTC"));
    match secret {
        Some(secret) => format!("{}It is not shown again.\n", sheet.line("secret", secret)),
        None => sheet.to_string(),
    }
}

fn sheet_of(delivery: &Delivery) -> String {
    Sheet::new()
        .line("id", delivery.id)
        .line("event", delivery.event_type)
        .line("webhook-id", delivery.event_id)
        .line("status", delivery.status)
        .line("attempts", delivery.attempts)
        .line("answer", or_dash(delivery.response_status))
        .line("ms", or_dash(delivery.response_ms))
        .line("problem", or_dash(delivery.problem.as_deref()))
        .line("next attempt", or_dash(delivery.next_attempt_at.map(|at| at.format("%F %T UTC"))))
        .to_string()
}

fn words(events: &[EventType]) -> String {
    events.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")
}
