//! Who may have which number.

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_tenant_takes_assigned_numbers_only,
    the_operator_gives_any_number_and_so_assigns_it,
    the_inventory_is_listed_and_changed,
    a_number_that_a_tenant_has_stays_assigned_to_it,
    numbers_that_a_text_could_mean_are_not_both_created,
    colliding_numbers_created_at_once_are_not_both_created,
    a_changed_region_names_ambiguous_numbers,
    numbers_of_all_tenants_are_found_at_once,
    a_change_is_audited_from_the_state_that_it_changed,
    who_registered_a_number_is_kept_with_it,
    the_migration_assigns_numbers_in_use,
    nothing_is_assigned_to_a_deleted_tenant,
);

fn new(did: &Did) -> NewNumber {
    NewNumber { did: did.clone(), provider_type: ProviderType::Generic }
}

fn entry(did: &Did, tenant: Option<TenantId>) -> NewInventoryNumber {
    NewInventoryNumber { did: did.clone(), tenant, source: NumberSource::Operator, note: None }
}

fn in_region(store: &Store, region: &str) -> Store {
    let region = region.to_owned().try_into().expect("a region");
    store.clone().with_numbering(Numbering { default_region: Some(region), allow_short: false })
}

fn did(text: &str) -> Did {
    text.parse().expect("digits")
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> NumberRefusal {
    match outcome {
        Err(StoreError::Number(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Control-plane finding 5 b: another's number, a free one and an unknown one are refused alike.
async fn a_tenant_takes_assigned_numbers_only(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let (actor, scope) = (Actor::system(), db.store.scope(mine.tenant.id));
    let (free, assigned, unknown) = (values::did(50), values::did(51), values::did(52));
    db.store.add_inventory_number(&actor, entry(&free, None)).await.expect("an entry");
    db.store.add_inventory_number(&actor, entry(&assigned, Some(mine.tenant.id))).await.expect("an entry");
    for wanted in [&theirs.number.did, &free, &unknown] {
        assert_eq!(refusal(scope.claim_number(&actor, new(wanted)).await), NumberRefusal::NotAssigned);
    }
    let other = db.store.scope(theirs.tenant.id);
    assert_eq!(refusal(other.claim_number(&actor, new(&assigned)).await), NumberRefusal::NotAssigned);
    assert_eq!(other.available_numbers(Window::first(9)).await.expect("a page").items, []);
    let available = scope.available_numbers(Window::first(9)).await.expect("a page").items;
    assert_eq!(available.iter().map(|it| &it.did).collect::<Vec<_>>(), [&assigned]);
    let number = scope.claim_number(&actor, new(&assigned)).await.expect("it is assigned");
    assert_eq!(scope.available_numbers(Window::first(9)).await.expect("a page").items, []);
    let again = scope.claim_number(&actor, new(&assigned)).await;
    assert!(matches!(again, Err(StoreError::Conflict { what: Duplicate::Number })), "{again:?}");
    scope.delete_number(&actor, number.id).await.expect("released");
    assert_eq!(scope.available_numbers(Window::first(9)).await.expect("a page").items, available);
    scope.claim_number(&actor, new(&assigned)).await.expect("it stayed assigned");
}

async fn the_operator_gives_any_number_and_so_assigns_it(db: Database) {
    let (one, two) = (db.tenant(1).await, db.tenant(2).await);
    let (actor, first) = (Actor::system(), db.store.scope(one.tenant.id));
    assert!(first.is_assigned(&one.number.did).await.expect("an answer"));
    first.delete_number(&actor, one.number.id).await.expect("released");
    let second = db.store.scope(two.tenant.id);
    second.create_number(&actor, new(&one.number.did)).await.expect("the operator moves it");
    assert!(!first.is_assigned(&one.number.did).await.expect("an answer"));
    assert_eq!(refusal(first.claim_number(&actor, new(&one.number.did)).await), NumberRefusal::NotAssigned);
    let taken = first.create_number(&actor, new(&one.number.did)).await;
    assert!(matches!(taken, Err(StoreError::Conflict { what: Duplicate::Number })), "{taken:?}");
}

async fn the_inventory_is_listed_and_changed(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let tenant = route.tenant.id;
    for n in 50..53 {
        db.store.add_inventory_number(&actor, entry(&values::did(n), None)).await.expect("an entry");
    }
    let again = db.store.add_inventory_number(&actor, entry(&values::did(50), None)).await;
    assert!(matches!(again, Err(StoreError::Conflict { what: Duplicate::InventoryNumber })), "{again:?}");
    let unknown = db.store.add_inventory_number(&actor, entry(&values::did(60), Some(TenantId::new()))).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    let list = async |filter| {
        let page = db.store.inventory(filter, Window::first(9)).await.expect("a page");
        page.items.into_iter().map(|it| it.did).collect::<Vec<_>>()
    };
    let unassigned = InventoryFilter { is_assigned: Some(false), ..InventoryFilter::default() };
    assert_eq!(list(unassigned).await, [values::did(50), values::did(51), values::did(52)]);
    let id = db.store.inventory_number_of(&values::did(51)).await.expect("an entry").id;
    let changes = InventoryChanges { tenant: Some(Some(tenant)), note: Some(Some("Block".into())) };
    let changed = db.store.update_inventory_number(&actor, id, changes).await.expect("a change");
    assert_eq!((changed.tenant_id, changed.note.as_deref()), (Some(tenant), Some("Block")));
    assert_eq!(db.store.inventory_number(id).await.expect("an entry"), changed);
    let assigned = InventoryFilter { tenant: Some(tenant), ..InventoryFilter::default() };
    assert_eq!(list(assigned).await, [route.number.did.clone(), values::did(51)]);
    assert_eq!(
        db.store.put_inventory_number(&actor, entry(&values::did(51), None), false).await.expect("put"),
        PutOutcome::Unchanged
    );
    let put = db.store.put_inventory_number(&actor, entry(&values::did(50), Some(tenant)), false).await;
    assert_eq!(put.expect("put"), PutOutcome::Changed);
    assert_eq!(
        db.store.put_inventory_number(&actor, entry(&values::did(59), None), false).await.expect("put"),
        PutOutcome::Added
    );
    db.store.remove_inventory_number(&actor, id).await.expect("removed");
    assert!(matches!(db.store.inventory_number(id).await, Err(StoreError::NotFound)));
}

async fn a_number_that_a_tenant_has_stays_assigned_to_it(db: Database) {
    let (one, two, actor) = (db.tenant(1).await, db.tenant(2).await, Actor::system());
    let held = db.store.inventory_number_of(&one.number.did).await.expect("assigned when it was created");
    assert_eq!((held.tenant_id, held.phone_number_id), (Some(one.tenant.id), Some(one.number.id)));
    for tenant in [None, Some(two.tenant.id)] {
        let changes = InventoryChanges { tenant: Some(tenant), note: None };
        let refused = refusal(db.store.update_inventory_number(&actor, held.id, changes).await);
        assert_eq!(refused, NumberRefusal::HeldByAnother(one.number.did.clone()));
    }
    let refused = refusal(db.store.remove_inventory_number(&actor, held.id).await);
    assert_eq!(refused, NumberRefusal::Held(one.number.did.clone()));
    let put = db.store.put_inventory_number(&actor, entry(&one.number.did, Some(two.tenant.id)), false).await;
    assert_eq!(refusal(put), NumberRefusal::HeldByAnother(one.number.did.clone()));
}

async fn numbers_that_a_text_could_mean_are_not_both_created(db: Database) {
    let (one, two, actor) = (db.tenant(1).await, db.tenant(2).await, Actor::system());
    let store = in_region(&db.store, "DE");
    let (german, austrian) = (did("4943660123456"), did("43660123456"));
    for (first, second) in [(&german, &austrian), (&austrian, &german)] {
        let created = store.scope(one.tenant.id).create_number(&actor, new(first)).await.expect("a number");
        let refused = refusal(store.scope(two.tenant.id).create_number(&actor, new(second)).await);
        assert_eq!(refused, NumberRefusal::Collides { did: second.clone(), other: Some(first.clone()) });
        // A tenant does not learn whose number is in the way.
        store
            .put_inventory_number(&actor, entry(second, Some(two.tenant.id)), false)
            .await
            .expect("assigned");
        let refused = refusal(store.scope(two.tenant.id).claim_number(&actor, new(second)).await);
        assert_eq!(refused, NumberRefusal::Collides { did: second.clone(), other: None });
        let routing = Routing::new(store.clone(), &RoutingSettings::default()).with_numbering(Numbering {
            default_region: "DE".to_owned().try_into().ok(),
            allow_short: false,
        });
        let found = routing.dialled("43660123456").await.expect("an answer").expect("a route");
        assert_eq!((&found.0, found.1.tenant.id), (first, one.tenant.id));
        store.scope(one.tenant.id).delete_number(&actor, created.id).await.expect("released");
    }
}

async fn colliding_numbers_created_at_once_are_not_both_created(db: Database) {
    let route = db.tenant(1).await;
    let store = in_region(&db.store, "DE");
    let attempts = (0..8).map(|n| {
        let scope = store.scope(route.tenant.id);
        let wanted = did(if n % 2 == 0 { "4943660123456" } else { "43660123456" });
        tokio::spawn(async move { scope.create_number(&Actor::system(), new(&wanted)).await })
    });
    let mut created = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        created += u32::from(attempt.await.expect("no panic").is_ok());
    }
    assert_eq!(created, 1);
}

async fn a_changed_region_names_ambiguous_numbers(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let scope = db.store.scope(route.tenant.id);
    for text in ["4943660123456", "43660123456", "3235550100"] {
        scope.create_number(&actor, new(&did(text))).await.expect("no region, no ambiguity");
    }
    assert_eq!(db.store.ambiguous_numbers().await.expect("an answer"), []);
    let found = in_region(&db.store, "DE").ambiguous_numbers().await.expect("an answer");
    let expected =
        Ambiguity { number: did("43660123456"), other: did("4943660123456"), other_is_taken: true };
    assert_eq!(found, [expected]);
    let found = in_region(&db.store, "US").ambiguous_numbers().await.expect("an answer");
    let expected = Ambiguity { number: did("3235550100"), other: did("13235550100"), other_is_taken: false };
    assert_eq!(found, [expected]);
}

/// Control-plane finding 27: the command line asked tenant by tenant.
async fn numbers_of_all_tenants_are_found_at_once(db: Database) {
    let (one, two) = (db.tenant(1).await, db.tenant(2).await);
    let by_did = NumberQuery::Called(vec![values::did(2), values::did(1)]);
    let found = db.store.find_number(&by_did, None).await.expect("a number");
    assert_eq!(
        (&found.number, &found.tenant_name),
        (&two.number, &two.tenant.name),
        "the first that is there"
    );
    let found = db.store.find_number(&by_did, Some(one.tenant.id)).await.expect("a number");
    assert_eq!(found.number, one.number);
    let by_id = NumberQuery::Id(two.number.id);
    let elsewhere = db.store.find_number(&by_id, Some(one.tenant.id)).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound)), "{elsewhere:?}");
    db.store.scope(two.tenant.id).delete_number(&Actor::system(), two.number.id).await.expect("released");
    assert!(matches!(db.store.find_number(&by_id, None).await, Err(StoreError::NotFound)));
    let released = NumberQuery::IdEvenIfReleased(two.number.id);
    assert_eq!(db.store.find_number(&released, None).await.expect("a number").number.id, two.number.id);
    let all = db.store.numbers_of(None, NumberFilter::default()).await.expect("numbers");
    assert_eq!(all.iter().map(|it| &it.number).collect::<Vec<_>>(), [&one.number]);
}

/// `before` is read under the lock of the change: no two changes begin from the same state.
async fn a_change_is_audited_from_the_state_that_it_changed(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let changes = (0..12).map(|n| {
        let (scope, id) = (scope.clone(), route.number.id);
        tokio::spawn(async move { scope.set_number_active(&Actor::system(), id, n % 2 == 0).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.expect("no panic").expect("a change");
    }
    let filter = AuditFilter { action: Some("update".into()), ..AuditFilter::default() };
    let entries = scope.audit(&filter, Window::first(50)).await.expect("the log").items;
    assert_eq!(entries.len(), 12);
    let is_active =
        |state: &Option<serde_json::Value>| state.as_ref().and_then(|state| state["is_active"].as_bool());
    // An entry holds the fields that differ. From active, every step away from a state is followed by one back: the counts of both differ by one at most.
    let steps = |from: bool, to: bool| {
        let is_step = |entry: &&AuditEntry| {
            (is_active(&entry.before), is_active(&entry.after)) == (Some(from), Some(to))
        };
        entries.iter().filter(is_step).count()
    };
    let (off, on) = (steps(true, false), steps(false, true));
    let is_on = scope.number(route.number.id).await.expect("a number").is_active;
    assert_eq!(off - on, usize::from(!is_on), "{off} off, {on} on");
}

async fn who_registered_a_number_is_kept_with_it(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::cli("ann"));
    let (scope, id) = (db.store.scope(route.tenant.id), route.number.id);
    let step = |registered_by| RegistrationStep {
        action: "register",
        state: ProviderState::Registered,
        detail: "on the trunk",
        reference: None,
        registered_by,
        attempt: RegistrationAttempt::Requested,
    };
    let by = async |actor: &Actor, registered_by| {
        scope.record_registration(actor, id, &step(registered_by)).await.expect("a number").registered_by
    };
    assert_eq!(by(&actor, RegisteredByChange::Keep).await, None);
    assert_eq!(by(&actor, RegisteredByChange::Take).await.as_deref(), Some("cli ann"));
    assert_eq!(
        by(&Actor::cli("bob"), RegisteredByChange::Take).await.as_deref(),
        Some("cli ann"),
        "the first one is kept"
    );
    assert!(db.store.is_registered_by_vca(&route.number.did, "generic").await.expect("an answer"));
    assert!(!db.store.is_registered_by_vca(&route.number.did, "twilio").await.expect("an answer"));
    db.store.clear_registered_by(&route.number.did, "generic").await.expect("dropped");
    assert_eq!(scope.registration(id).await.expect("a number").registered_by, None);
}

/// Rows of an earlier version: a number in use is assigned to its tenant, and a provider's number counts as VCA's doing.
async fn the_migration_assigns_numbers_in_use(db: Database) {
    let (used, released) = (db.tenant(1).await, db.tenant(2).await);
    db.store
        .scope(released.tenant.id)
        .delete_number(&Actor::system(), released.number.id)
        .await
        .expect("released");
    let earlier = "DROP TABLE number_inventory; ALTER TABLE phone_numbers DROP COLUMN registered_by; \
        UPDATE phone_numbers SET provider_type = 'twilio'; DELETE FROM _sqlx_migrations WHERE version = 7";
    db.raw(earlier.to_owned()).await.expect("an earlier version's tables");
    assert_eq!(db.store.migrate().await.expect("a step"), ["0007_number_inventory"]);
    let scope = db.store.scope(used.tenant.id);
    assert!(scope.is_assigned(&used.number.did).await.expect("an answer"));
    let registration = scope.registration(used.number.id).await.expect("a number");
    assert_eq!(registration.registered_by.as_deref(), Some("migration"));
    let former = db.store.scope(released.tenant.id);
    assert!(!former.is_assigned(&released.number.did).await.expect("an answer"));
}

async fn nothing_is_assigned_to_a_deleted_tenant(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let free = values::did(50);
    let free_entry = db.store.add_inventory_number(&actor, entry(&free, None)).await.expect("an entry");
    db.store.delete_tenant(&actor, route.tenant.id, false).await.expect("deleted");
    let to_deleted = |n| entry(&values::did(n), Some(route.tenant.id));
    let changes = InventoryChanges { tenant: Some(Some(route.tenant.id)), note: None };
    for refused in [
        db.store.add_inventory_number(&actor, to_deleted(51)).await.map(drop),
        db.store.put_inventory_number(&actor, to_deleted(51), false).await.map(drop),
        db.store.put_inventory_number(&actor, to_deleted(50), false).await.map(drop),
        db.store.update_inventory_number(&actor, free_entry.id, changes).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Refused { code: "tenant_deleted", .. })), "{refused:?}");
    }
    let unknown = entry(&values::did(51), Some(TenantId::new()));
    let refused = db.store.add_inventory_number(&actor, unknown).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    let entries =
        db.store.inventory(InventoryFilter::default(), Window::first(9)).await.expect("a page").items;
    assert!(entries.iter().all(|it| it.tenant_id.is_none()), "{entries:?}");
}
