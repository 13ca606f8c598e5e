//! Webhook secrets sealed in the database: none is in a dump, each opens for its own webhook, and keys rotate.

use chrono::{TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Row};

use super::{Database, on_both, values};
use crate::sealing::{Keyring, SealError};
use crate::store::pool::Pool;
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_dump_shows_no_secret_and_deliveries_are_signed,
    secrets_in_clear_are_sealed_later,
    keys_rotate_without_an_interruption,
    a_secret_that_no_key_opens_stops_its_webhook_alone,
    a_secret_opens_for_its_own_webhook_alone,
    an_imported_webhook_is_sealed,
    resealing_goes_through_all_webhooks_and_needs_a_key,
    a_tools_secret_is_sealed_and_its_tenants_own,
    an_engines_key_is_sealed_and_its_tenants_own,
    a_pre_call_webhooks_former_secret_is_in_use_for_a_day_and_sealed_anew,
);

const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn ring(key: &str) -> Keyring {
    Keyring::new(key).expect("a key")
}

fn new(n: usize) -> NewWebhook {
    NewWebhook { url: format!("https://example.com/{n}"), events: vec![EventType::CallEnded] }
}

async fn webhook(store: &Store, tenant: TenantId) -> WebhookWithSecret {
    store.scope(tenant).create_webhook(&Actor::system(), new(0)).await.expect("a webhook")
}

/// The secrets that a request to the webhook would be signed with.
async fn signing(store: &Store, tenant: TenantId, webhook: WebhookId) -> Result<Vec<String>, SealError> {
    let scope = store.scope(tenant);
    scope.ping_webhook(&Actor::system(), webhook).await.expect("a delivery");
    let now = Utc::now();
    let claimed =
        scope.claim_deliveries(webhook, now, now + TimeDelta::seconds(20), 1).await.expect("a claim");
    let secrets = claimed.into_iter().next().expect("it was due").secrets;
    secrets.map(|secrets| secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect())
}

fn exposed(issued: &WebhookWithSecret) -> String {
    issued.secret.expose_secret().to_owned()
}

/// Every value of every table as text, as a dump has them.
async fn dump(db: &Database) -> String {
    match &db.store.pool {
        Pool::Sqlite(pool) => {
            const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table'";
            let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(pool).await.expect("tables");
            let mut text = String::new();
            for table in tables {
                let columns =
                    sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
                let columns = columns.fetch_all(pool).await.expect("columns");
                for column in columns.iter().map(|row| row.get::<String, _>(0)) {
                    let values = format!(
                        "SELECT group_concat(\"{column}\") FROM {table} WHERE typeof(\"{column}\") = 'text'"
                    );
                    let values = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(values));
                    text += &values.fetch_one(pool).await.expect("values").unwrap_or_default();
                }
            }
            text
        }
        Pool::Postgres(pool) => {
            const TABLES: &str = "SELECT table_name::text FROM information_schema.tables \
                WHERE table_schema = current_schema()";
            let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(pool).await.expect("tables");
            let mut tx = pool.begin_with("BEGIN; SET LOCAL vca.reach = 'all'").await.expect("a transaction");
            let mut text = String::new();
            for table in tables {
                let rows = AssertSqlSafe(format!("SELECT string_agg(t::text, ' ') FROM {table} t"));
                let rows = sqlx::query_scalar::<_, Option<String>>(rows).fetch_one(&mut *tx).await;
                text += &rows.expect("rows").unwrap_or_default();
            }
            text
        }
    }
}

async fn a_dump_shows_no_secret_and_deliveries_are_signed(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    let store = db.store.clone().with_sealing(ring(OLD));
    let first = webhook(&store, tenant).await;
    let id = first.webhook.id;
    assert_eq!(signing(&store, tenant, id).await, Ok(vec![exposed(&first)]));
    let second = store.scope(tenant).rotate_webhook_secret(&Actor::system(), id).await.expect("a new secret");
    assert_eq!(signing(&store, tenant, id).await, Ok(vec![exposed(&second), exposed(&first)]));
    let dump = dump(&db).await;
    assert!(dump.contains("sealed:v1:") && dump.contains("https://example.com/0"), "{dump}");
    assert!(!dump.contains("whsec_"), "{dump}");
}

async fn secrets_in_clear_are_sealed_later(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    let issued = webhook(&db.store, tenant).await;
    assert!(dump(&db).await.contains("whsec_"), "without a key it is as before");
    let store = db.store.clone().with_sealing(ring(OLD));
    assert_eq!(signing(&store, tenant, issued.webhook.id).await, Ok(vec![exposed(&issued)]));
    let expected = Resealing { secrets: 1, resealed: 1, unopened: Vec::new() };
    assert_eq!(store.reseal(true).await.expect("a count"), expected);
    assert!(dump(&db).await.contains("whsec_"), "a dry run changes nothing");
    assert_eq!(store.reseal(false).await.expect("sealed"), expected);
    assert!(!dump(&db).await.contains("whsec_"));
    assert_eq!(store.reseal(false).await.expect("sealed").resealed, 0);
    assert_eq!(signing(&store, tenant, issued.webhook.id).await, Ok(vec![exposed(&issued)]));
}

async fn keys_rotate_without_an_interruption(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    let old = db.store.clone().with_sealing(ring(OLD));
    let first = webhook(&old, tenant).await;
    let id = first.webhook.id;
    let both = db.store.clone().with_sealing(ring(NEW).with_former(OLD).expect("a key"));
    assert_eq!(signing(&both, tenant, id).await, Ok(vec![exposed(&first)]));
    let second = both.scope(tenant).rotate_webhook_secret(&Actor::system(), id).await.expect("a new secret");
    let done = both.reseal(false).await.expect("sealed");
    assert_eq!(done, Resealing { secrets: 2, resealed: 1, unopened: Vec::new() }, "the former secret");
    let new = db.store.clone().with_sealing(ring(NEW));
    assert_eq!(signing(&new, tenant, id).await, Ok(vec![exposed(&second), exposed(&first)]));
}

async fn a_secret_that_no_key_opens_stops_its_webhook_alone(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    let sealed = webhook(&db.store.clone().with_sealing(ring(OLD)), tenant).await.webhook.id;
    let clear = webhook(&db.store, tenant).await;
    for store in [db.store.clone(), db.store.clone().with_sealing(ring(NEW))] {
        let problem = signing(&store, tenant, sealed).await.expect_err("no key opens it");
        assert!(matches!(problem, SealError::UnknownKey(_)), "{problem}");
        assert_eq!(signing(&store, tenant, clear.webhook.id).await, Ok(vec![exposed(&clear)]));
        let count = store.reseal(true).await.expect("a count");
        let unopened: Vec<_> = count.unopened.iter().map(|it| (it.tenant_id, it.id)).collect();
        assert_eq!(unopened, [(tenant.0, sealed.0)]);
    }
    // A former secret that does not open is left out: the receiver knows the present one.
    let store = db.store.clone().with_sealing(ring(NEW));
    let renewed =
        store.scope(tenant).rotate_webhook_secret(&Actor::system(), sealed).await.expect("a new secret");
    assert_eq!(signing(&store, tenant, sealed).await, Ok(vec![exposed(&renewed)]));
}

async fn a_tools_secret_is_sealed_and_its_tenants_own(db: Database) {
    let (mine, theirs) = (db.tenant(1).await.tenant.id, db.tenant(2).await.tenant.id);
    let (actor, secret) = (Actor::system(), SecretString::from("Bearer s3cret"));
    let store = db.store.clone().with_sealing(ring(OLD));
    let (scope, stranger) = (store.scope(mine), store.scope(theirs));
    let made = scope.create_tool_secret(&actor, "shop", &secret).await.expect("a secret");
    assert!(!dump(&db).await.contains("s3cret"));
    let opened = |scope: Scope| async move {
        scope.open_tool_secret("shop").await.map(|secret| secret.expose_secret().to_owned())
    };
    assert_eq!(opened(scope.clone()).await.ok().as_deref(), Some("Bearer s3cret"));
    assert!(matches!(opened(stranger.clone()).await, Err(StoreError::NotFound)));
    let other = SecretString::from("Bearer other");
    assert!(stranger.replace_tool_secret(&actor, made.id, &other).await.is_err());
    assert!(stranger.delete_tool_secret(&actor, made.id).await.is_err());
    assert!(stranger.tool_secrets(Window::first(9)).await.expect("a page").items.is_empty());
    // The name is free for the other tenant, and taken for this one.
    stranger.create_tool_secret(&actor, "shop", &other).await.expect("a secret of its own");
    assert!(scope.create_tool_secret(&actor, "shop", &other).await.is_err());
    // More secrets than are sealed in one transaction.
    for n in 0..30 {
        for owner in [&scope, &stranger] {
            owner.create_tool_secret(&actor, &format!("other-{n}"), &other).await.expect("a secret");
        }
    }
    // Keys rotate: a secret is sealed anew, and a key that is unknown opens none.
    let both = db.store.clone().with_sealing(ring(NEW).with_former(OLD).expect("a key"));
    assert_eq!(both.reseal(false).await.expect("resealing").resealed, 62);
    let new = db.store.clone().with_sealing(ring(NEW));
    assert_eq!(opened(new.scope(mine)).await.ok().as_deref(), Some("Bearer s3cret"));
    assert!(opened(scope.clone()).await.is_err());
    scope.delete_tool_secret(&actor, made.id).await.expect("deleted");
    assert!(matches!(opened(new.scope(mine)).await, Err(StoreError::NotFound)));
}

async fn an_engines_key_is_sealed_and_its_tenants_own(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let actor = Actor::system();
    let store = db.store.clone().with_sealing(ring(OLD));
    let (scope, stranger) = (store.scope(mine.tenant.id), store.scope(theirs.tenant.id));
    let made = scope.create_engine_credential(&actor, values::engine_credential("acme")).await;
    let made = made.expect("credentials");
    assert!(!dump(&db).await.contains("sk-0123456789"));
    assert!(matches!(stranger.engine_access(made.id).await, Err(StoreError::NotFound)));
    assert!(matches!(stranger.delete_engine_credential(&actor, made.id).await, Err(StoreError::NotFound)));
    let account = || values::engine_credential("").account;
    let replaced =
        stranger.replace_engine_account::<StoreError>(&actor, made.id, account(), |_| Ok(())).await;
    assert!(matches!(replaced, Err(StoreError::NotFound)));
    assert!(stranger.engine_accesses().await.expect("a list").is_empty());
    // A call's route has the keys of its own tenant.
    let keys = async |store: &Store, did: &Did| {
        let engines = store.route(did).await.expect("a route").expect("a route").engines;
        engines.iter().map(|it| it.key.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&store, &mine.number.did).await, ["sk-0123456789abcdef"]);
    assert!(keys(&store, &theirs.number.did).await.is_empty());
    let both = db.store.clone().with_sealing(ring(NEW).with_former(OLD).expect("a key"));
    assert_eq!(both.reseal(false).await.expect("resealing").resealed, 1);
    assert!(keys(&store, &mine.number.did).await.is_empty(), "no key opens it: the call goes on without");
    let new = db.store.clone().with_sealing(ring(NEW));
    assert_eq!(keys(&new, &mine.number.did).await.len(), 1);
    let after = new.scope(mine.tenant.id);
    let after = after.replace_engine_account::<StoreError>(&actor, made.id, account(), |_| Ok(())).await;
    assert_eq!(after.expect("it is replaced").version, 2);
}

async fn a_secret_opens_for_its_own_webhook_alone(db: Database) {
    let (mine, theirs) = (db.tenant(1).await.tenant.id, db.tenant(2).await.tenant.id);
    let store = db.store.clone().with_sealing(ring(OLD));
    let (one, other) = (webhook(&store, mine).await.webhook.id, webhook(&store, theirs).await.webhook.id);
    let (from, to) = (db.literal(other.0), db.literal(one.0));
    let copied = format!(
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = {from}) WHERE id = {to}"
    );
    db.raw(copied).await.expect("a copied secret");
    assert_eq!(signing(&store, mine, one).await, Err(SealError::Forged));
    assert!(signing(&store, theirs, other).await.is_ok());
}

async fn an_imported_webhook_is_sealed(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    webhook(&db.store.clone().with_sealing(ring(OLD)), tenant).await;
    let file = db.store.scope(tenant).export(&Actor::system(), false).await.expect("a document");
    let store = db.store.clone().with_sealing(ring(OLD));
    let settings = ImportSettings { new_ids: true, without_numbers: true, ..ImportSettings::default() };
    let imported = store.import_tenant(&Actor::system(), &file, settings).await.expect("imported");
    assert!(!dump(&db).await.contains("whsec_"));
    let WebhookSecret { webhook_id, secret, .. } = &imported.webhooks[0];
    let signing = signing(&store, imported.tenant_id, WebhookId(*webhook_id)).await;
    assert_eq!(signing, Ok(vec![secret.clone()]));
}

async fn resealing_goes_through_all_webhooks_and_needs_a_key(db: Database) {
    for n in 1..=4 {
        let tenant = db.tenant(n).await.tenant.id;
        for _ in 0..19 {
            webhook(&db.store, tenant).await;
        }
    }
    let problem = db.store.reseal(false).await.expect_err("no key").to_string();
    assert!(problem.contains("VCA_SEAL_KEY"), "{problem}");
    assert_eq!(db.store.reseal(true).await.expect("a count").secrets, 76);
    let store = db.store.clone().with_sealing(ring(OLD));
    assert_eq!(store.reseal(false).await.expect("sealed").resealed, 76, "more than one batch");
    assert!(!dump(&db).await.contains("whsec_"));
}

async fn a_pre_call_webhooks_former_secret_is_in_use_for_a_day_and_sealed_anew(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let old = db.store.clone().with_sealing(ring(OLD)).scope(route.tenant.id);
    let (owner, any) = (PreCallOwner::Tenant, |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(()));
    let first = old.set_pre_call_webhook_if(&actor, owner, "https://example.com/", 2_000, any).await;
    let second = old.rotate_pre_call_secret(&actor, owner).await.expect("a new secret");
    assert!(!dump(&db).await.contains("whsec_"));
    let exposed = |issued: IssuedPreCall| issued.secret.expect("a secret").expose_secret().to_owned();
    let (first, second) = (exposed(first.expect("a webhook")), exposed(second));

    let both = db.store.clone().with_sealing(ring(NEW).with_former(OLD).expect("a key"));
    let done = both.reseal(false).await.expect("sealed");
    assert_eq!(done, Resealing { secrets: 2, resealed: 2, unopened: Vec::new() });
    let new = db.store.clone().with_sealing(ring(NEW));
    let stored = new.scope(route.tenant.id).pre_call_for(&route.number).await.expect("a webhook");
    let signing = |at| {
        let secrets = new.open_pre_call_secrets(&stored, at).expect("the secrets open");
        secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(signing(Utc::now()), [second.clone(), first]);
    assert_eq!(signing(Utc::now() + TimeDelta::hours(25)), [second]);
}
