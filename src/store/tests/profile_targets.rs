//! A version of a profile has the transfer targets with which it was published.

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_version_has_the_targets_of_its_publication,
    a_saved_profile_has_the_present_targets,
    a_deleted_target_is_reached_by_no_version,
    changes_of_targets_leave_the_profiles_own_versions,
    changes_of_targets_are_never_too_many,
    another_tenants_profiles_are_left_alone,
    an_imported_version_has_targets_of_its_own_tenant,
);

fn shop(tenant: TenantId, address: &str) -> TransferTarget {
    let new = NewTarget {
        name: "shop".parse().expect("a label"),
        description: "The shop.".to_owned(),
        kind: TargetKind::Number,
        address: address.to_owned(),
        method: None,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Leave,
        resolver: None,
        hours: None,
    };
    new.of(tenant)
}

/// A profile whose agent transfers callers.
async fn agent(scope: &Scope) -> AiProfile {
    let mut new = values::profile("Transfers", false);
    new.settings.tools = vec![Tool::Transfer.as_str().to_owned()];
    scope.create_profile(&Actor::system(), new).await.expect("a profile")
}

async fn move_to(scope: &Scope, target: TargetId, address: &str) {
    let decide = |before: &TransferTarget| -> Result<TransferTarget, StoreError> {
        Ok(TransferTarget { address: address.to_owned(), ..before.clone() })
    };
    scope.update_target_if(&Actor::system(), target, decide).await.expect("a change");
}

/// The addresses to which the agent of a profile transfers callers.
async fn addresses(scope: &Scope, profile: &AiProfile) -> Vec<String> {
    let present = scope.targets().await.expect("targets");
    profile.known_targets(&present).iter().map(|target| target.address.clone()).collect()
}

async fn pinned(scope: &Scope, profile: ProfileId, version: u32) -> AiProfile {
    let named = NamedProfile { name: profile.to_string(), version: Some(version) };
    scope.named_profile(&named).await.expect("an answer").expect("a version")
}

async fn a_version_has_the_targets_of_its_publication(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (actor, profile) = (Actor::system(), agent(&scope).await);
    let target = scope.create_target(&actor, shop(scope.tenant_id(), "+49301")).await.expect("a target");
    move_to(&scope, target.id, "+49302").await;
    let present = scope.profile(profile.id).await.expect("a profile");
    assert_eq!((present.version, addresses(&scope, &present).await), (3, vec!["+49302".to_owned()]));
    for (version, expected) in [(1, vec![]), (2, vec!["+49301".to_owned()]), (3, vec!["+49302".to_owned()])] {
        let shown = scope.profile_version(profile.id, version).await.expect("a version");
        let own: Vec<String> = shown.targets.iter().flatten().map(|target| target.address.clone()).collect();
        assert_eq!((own, shown.republished), (expected.clone(), version > 1), "{version}");
        assert_eq!(addresses(&scope, &pinned(&scope, profile.id, version).await).await, expected);
    }
    let back = scope.roll_back_profile(&actor, profile.id, 2).await.expect("a rollback");
    assert_eq!((back.version, addresses(&scope, &back).await), (4, vec!["+49301".to_owned()]));
    assert_eq!(scope.profile(profile.id).await.expect("a profile"), back);
    let again = scope.roll_back_profile(&actor, profile.id, 2).await.expect("a rollback");
    assert_eq!(again.version, 4, "it is that already");
    // The change of one target leaves the others of a version.
    let office =
        TransferTarget { name: "office".parse().expect("a label"), ..shop(scope.tenant_id(), "+49309") };
    scope.create_target(&actor, office).await.expect("a target");
    let present = scope.profile(profile.id).await.expect("a profile");
    assert_eq!(addresses(&scope, &present).await, ["+49301", "+49309"]);
}

async fn a_saved_profile_has_the_present_targets(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (actor, profile) = (Actor::system(), agent(&scope).await);
    let target = scope.create_target(&actor, shop(scope.tenant_id(), "+49301")).await.expect("a target");
    move_to(&scope, target.id, "+49302").await;
    scope.roll_back_profile(&actor, profile.id, 2).await.expect("a rollback");
    let renamed = ProfileChanges { name: Some("Night".to_owned()), ..ProfileChanges::default() };
    for (changes, version, address) in [(ProfileChanges::default(), 4, "+49301"), (renamed, 5, "+49302")] {
        let saved = scope.update_profile(&actor, profile.id, changes).await.expect("a change");
        assert_eq!((saved.version, addresses(&scope, &saved).await), (version, vec![address.to_owned()]));
    }
    // A profile that leads no caller anywhere has none, and no version for a target's change.
    let quiet = scope.create_profile(&actor, values::profile("Quiet", false)).await.expect("a profile");
    move_to(&scope, target.id, "+49303").await;
    assert_eq!(scope.profile(quiet.id).await.expect("a profile"), quiet);
    assert_eq!((quiet.version, quiet.targets), (1, None));
}

async fn a_deleted_target_is_reached_by_no_version(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let (actor, profile) = (Actor::system(), agent(&scope).await);
    let target = scope.create_target(&actor, shop(scope.tenant_id(), "+49301")).await.expect("a target");
    let deleted = scope.delete_target_if(&actor, target.id, |_| Ok::<(), StoreError>(())).await;
    deleted.expect("a deletion");
    assert_eq!(addresses(&scope, &scope.profile(profile.id).await.expect("a profile")).await, [""; 0]);
    assert_eq!(addresses(&scope, &pinned(&scope, profile.id, 2).await).await, [""; 0]);
    let shown = scope.profile_version(profile.id, 2).await.expect("a version");
    assert_eq!(shown.targets.map(|targets| targets.len()), Some(1), "the version shows what it had");
    // Another target of the same name is not the deleted one.
    scope.create_target(&actor, shop(scope.tenant_id(), "+49302")).await.expect("a target");
    assert_eq!(addresses(&scope, &pinned(&scope, profile.id, 2).await).await, [""; 0]);
    let present = scope.profile(profile.id).await.expect("a profile");
    assert_eq!(addresses(&scope, &present).await, ["+49302"]);
}

async fn changes_of_targets_leave_the_profiles_own_versions(db: Database) {
    let limits = TenantLimits { profile_versions: 2, ..TenantLimits::default() };
    let store = db.store.clone().with_limits(limits);
    let scope = store.scope(db.tenant(1).await.tenant.id);
    let (actor, profile) = (Actor::system(), agent(&scope).await);
    let target = scope.create_target(&actor, shop(scope.tenant_id(), "+49301")).await.expect("a target");
    for n in 2..=5 {
        move_to(&scope, target.id, &format!("+4930{n}")).await;
    }
    let kept = scope.profile_versions(profile.id, Window::first(9)).await.expect("versions").items;
    let kept: Vec<(u32, bool)> = kept.iter().map(|it| (it.version, it.republished)).collect();
    assert_eq!(kept, [(6, true), (5, true), (1, false)]);
}

async fn changes_of_targets_are_never_too_many(db: Database) {
    let limits = TenantLimits { profile_bytes: 12_000, ..TenantLimits::default() };
    let scope = db.store.clone().with_limits(limits).scope(db.tenant(1).await.tenant.id);
    let (actor, profile) = (Actor::system(), agent(&scope).await);
    let long = ProfileChanges { system_prompt: Some("a".repeat(5_000)), ..ProfileChanges::default() };
    scope.update_profile(&actor, profile.id, long).await.expect("5 kB");
    let target = scope.create_target(&actor, shop(scope.tenant_id(), "+49301")).await.expect("a target");
    for n in 2..=9 {
        move_to(&scope, target.id, &format!("+4930{n}")).await;
    }
    let kept = scope.profile_versions(profile.id, Window::first(99)).await.expect("versions").items;
    let kept: Vec<u32> = kept.iter().map(|it| it.version).collect();
    assert_eq!(kept, [11, 10, 9, 8, 7, 2, 1]);
}

async fn another_tenants_profiles_are_left_alone(db: Database) {
    let (one, other) = (db.tenant(1).await.tenant.id, db.tenant(2).await.tenant.id);
    let (scope, foreign) = (db.store.scope(one), db.store.scope(other));
    let profile = agent(&scope).await;
    let target = foreign.create_target(&Actor::system(), shop(other, "+49301")).await.expect("a target");
    assert_eq!(scope.profile(profile.id).await.expect("a profile"), profile);
    let decide = |before: &TransferTarget| Ok::<TransferTarget, StoreError>(before.clone());
    let changed = scope.update_target_if(&Actor::system(), target.id, decide).await;
    assert!(matches!(changed, Err(StoreError::NotFound)), "{changed:?}");
    let version = foreign.profile_version(profile.id, 1).await;
    assert!(matches!(version, Err(StoreError::NotFound)), "{version:?}");
}

async fn an_imported_version_has_targets_of_its_own_tenant(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    agent(&scope).await;
    scope.create_target(&Actor::system(), shop(scope.tenant_id(), "+49301")).await.expect("a target");
    let file = scope.export(&Actor::system(), true).await.expect("a document");
    let settings = ImportSettings { new_ids: true, without_numbers: true, dry_run: false };
    let imported = db.store.import_tenant(&Actor::system(), &file, settings).await.expect("an import");
    let copy = db.store.scope(imported.tenant_id);
    let profile = copy.profile_named("Transfers").await.expect("an answer").expect("a profile");
    assert_eq!(addresses(&copy, &profile).await, ["+49301"]);
    let targets = profile.targets.expect("targets");
    assert!(targets.iter().all(|target| target.tenant_id == imported.tenant_id), "{targets:?}");
}
