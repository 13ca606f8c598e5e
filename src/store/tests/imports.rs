//! Numbers of an imported tenant: refused where they are in the way, and assigned in the import's own transaction.

use serde_json::{Value, json};

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    numbers_are_assigned_with_the_import,
    numbers_that_callers_could_not_tell_apart_are_refused,
    one_number_is_imported_once_however_many_try,
    names_that_the_api_would_refuse_are_refused,
    ids_within_documents_are_new_as_well,
    the_tenants_pre_call_webhook_is_imported_without_numbers,
);

const COPY: ImportSettings = ImportSettings { new_ids: true, without_numbers: false, dry_run: false };

/// A tenant's document with these numbers instead of its own.
async fn document(db: &Database, dids: &[&str]) -> TenantFile {
    let route = db.tenant(1).await;
    let file = db.store.scope(route.tenant.id).export(&Actor::system(), false).await.expect("a document");
    with_numbers(&file, dids)
}

fn with_numbers(file: &TenantFile, dids: &[&str]) -> TenantFile {
    let mut file = file.clone();
    let numbers = file.tables.get_mut("phone_numbers").expect("numbers");
    let one = numbers[0].clone();
    *numbers = dids
        .iter()
        .map(|did| {
            let mut number = one.clone();
            number.insert("id".to_owned(), json!(uuid::Uuid::now_v7()));
            number.insert("did".to_owned(), json!(did));
            number
        })
        .collect();
    file
}

fn in_germany(db: &Database) -> Store {
    let region = "DE".to_owned().try_into().ok();
    db.store.clone().with_numbering(Numbering { default_region: region, allow_short: false })
}

async fn numbers_are_assigned_with_the_import(db: Database) {
    let file = document(&db, &["+493055500100", "+493055500101"]).await;
    let trial = ImportSettings { dry_run: true, ..COPY };
    let actor = Actor::system();
    let imported = db.store.import_tenant(&actor, &file, trial).await.expect("possible");
    assert!(imported.conflicts.is_empty() && !imported.written, "{imported:?}");
    let did: Did = "+493055500100".parse().expect("digits");
    assert!(matches!(db.store.inventory_number_of(&did).await, Err(StoreError::NotFound)));
    let imported = db.store.import_tenant(&actor, &file, COPY).await.expect("imported");
    assert!(imported.written, "{imported:?}");
    let entry = db.store.inventory_number_of(&did).await.expect("it is in the inventory");
    assert_eq!(entry.tenant_id, Some(imported.tenant_id));
}

async fn numbers_that_callers_could_not_tell_apart_are_refused(db: Database) {
    let file = document(&db, &["+43660123456"]).await;
    let (store, actor) = (in_germany(&db), Actor::system());
    let before = store.tenants().await.expect("tenants");
    let both = with_numbers(&file, &["+43660123456", "+4943660123456"]);
    let refused = store.import_tenant(&actor, &both, COPY).await.expect("an answer");
    assert_eq!((refused.written, refused.conflicts.len()), (false, 1), "{refused:?}");
    let holder = store.scope(db.tenant(2).await.tenant.id);
    let new =
        NewNumber { did: "+4943660123456".parse().expect("digits"), provider_type: ProviderType::Generic };
    holder.create_number(&actor, new).await.expect("a number");
    let refused = store.import_tenant(&actor, &file, COPY).await.expect("an answer");
    assert!(!refused.written, "{refused:?}");
    assert!(refused.conflicts[0].contains("callers could not tell +43660123456"), "{refused:?}");
    assert_eq!(store.tenants().await.expect("tenants").len(), before.len() + 1, "nothing was imported");
}

async fn one_number_is_imported_once_however_many_try(db: Database) {
    let file = document(&db, &["+493055500100"]).await;
    let actor = Actor::system();
    let attempts = (0..4).map(|_| db.store.import_tenant(&actor, &file, COPY));
    let outcomes = futures_util::future::join_all(attempts).await;
    let outcomes: Vec<Imported> = outcomes.into_iter().map(|it| it.expect("an answer")).collect();
    assert_eq!(outcomes.iter().filter(|it| it.written).count(), 1, "{outcomes:?}");
    for refused in outcomes.iter().filter(|it| !it.written) {
        assert!(refused.conflicts[0].contains("+493055500100 belongs to"), "{refused:?}");
    }
}

async fn names_that_the_api_would_refuse_are_refused(db: Database) {
    let file = document(&db, &["+493055500100"]).await;
    let whole = serde_json::to_value(&file).expect("JSON");
    for name in ["a\nb", " ", "\u{7f}", &"x".repeat(201)] {
        for pointer in ["/tenant/name", "/tables/ai_profiles/0/name"] {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).expect("a name") = Value::from(name);
            let file = TenantFile::parse(&changed.to_string()).expect("a document");
            let refused = db.store.import_tenant(&Actor::system(), &file, COPY).await;
            let place =
                if pointer == "/tenant/name" { "tenant.name: " } else { "tables.ai_profiles[0].name: " };
            assert!(
                matches!(&refused, Err(StoreError::Invalid { what }) if what.starts_with(place)),
                "{pointer} {name:?}: {refused:?}"
            );
        }
    }
    assert_eq!(db.store.tenants().await.expect("tenants").len(), 1);
}

async fn ids_within_documents_are_new_as_well(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let profile = route.profile.as_ref().expect("a profile").id;
    let mut call = values::completed(&values::call_to(&route));
    call.agent_changes = vec![AgentChange {
        at: call.started_at,
        cause: AgentChangeCause::ALL[0],
        ai_profile_id: profile,
        ai_profile_version: 1,
        language: None,
    }];
    scope.end_call(&call, &[]).await.expect("a call");
    let file = scope.export(&Actor::system(), true).await.expect("a document");
    let mut numbers = file.clone();
    let did = numbers.tables.get_mut("phone_numbers").expect("numbers")[0].get_mut("did").expect("a number");
    *did = json!("+493055500999");
    for row in numbers.tables.get_mut("calls").expect("calls") {
        row.insert("called_number".to_owned(), json!("+493055500999"));
    }
    let imported = db.store.import_tenant(&Actor::system(), &numbers, COPY).await.expect("imported");
    assert!(imported.written, "{imported:?}");
    let copy = db.store.scope(imported.tenant_id);
    let calls = copy.calls(&CallFilter::default(), Window::first(9)).await.expect("calls").items;
    let change = &calls[0].agent_changes[0];
    assert_ne!(change.ai_profile_id, profile);
    assert_eq!(Some(change.ai_profile_id), calls[0].ai_profile_id, "the copy's own profile");
    copy.profile(change.ai_profile_id).await.expect("it is there");
}

async fn the_tenants_pre_call_webhook_is_imported_without_numbers(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let scope = db.store.scope(route.tenant.id);
    let any = |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(());
    for owner in [PreCallOwner::Number(route.number.id), PreCallOwner::Tenant] {
        let url = "https://example.com/calls";
        scope.set_pre_call_webhook_if(&actor, owner, url, 2_000, any).await.expect("a webhook");
    }
    let file = scope.export(&actor, false).await.expect("a document");
    let settings = ImportSettings { without_numbers: true, ..COPY };
    let imported = db.store.import_tenant(&actor, &file, settings).await.expect("it is in");
    assert_eq!(imported.webhooks.len(), 1, "a new secret: {imported:?}");
    let copy = db.store.scope(imported.tenant_id);
    let webhook = copy.pre_call_webhook(PreCallOwner::Tenant).await.expect("the webhook");
    assert_eq!((webhook.phone_number_id, webhook.timeout_ms), (None, 2_000));
}
