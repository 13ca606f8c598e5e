//! A number's routing has a history, to which it can return.

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    each_change_of_a_routing_is_a_version,
    a_routing_goes_back_to_what_it_was,
    old_routings_are_deleted_unless_a_call_refers_to_them,
    another_tenants_routing_stays,
);

fn any<T>(_: &T) -> Result<(), StoreError> {
    Ok(())
}

fn dialplan() -> FailoverRoutes {
    FailoverRoutes { default: Some(FailoverRoute::Dialplan { label: None }), ..FailoverRoutes::default() }
}

async fn share(scope: &Scope, number: NumberId, profile: ProfileId, weight: u16) {
    let routing = NumberRouting {
        profiles: vec![ProfileShare { ai_profile_id: profile, weight }],
        closed_profile_id: None,
    };
    scope.set_number_routing_if(&Actor::system(), number, &routing, any).await.expect("a change");
}

async fn fail_over(scope: &Scope, number: NumberId, failover: FailoverRoutes) {
    let changes = NumberChanges { failover: Some(failover), ..NumberChanges::default() };
    scope.update_number_if(&Actor::system(), number, &changes, any).await.expect("a change");
}

/// The versions of a number's routing, newest first, with the weights and whether calls continue in the dialplan.
async fn versions(scope: &Scope, number: NumberId) -> Vec<(u32, Vec<u16>, bool)> {
    let found = scope.routing_versions(number, Window::first(9)).await.expect("versions").items;
    let weights = |version: &RoutingVersion| version.routing.profiles.iter().map(|it| it.weight).collect();
    found.iter().map(|it| (it.version, weights(it), it.failover == dialplan())).collect()
}

async fn each_change_of_a_routing_is_a_version(db: Database) {
    let route = db.tenant(1).await;
    let (scope, number) = (db.store.scope(route.tenant.id), route.number.id);
    let profile = route.profile.expect("the default one").id;
    assert_eq!(versions(&scope, number).await, [(1, vec![], false)]);
    let first = scope.routing_version(number, 1).await.expect("a version");
    assert_eq!((first.created_by, first.created_at), (None, route.number.created_at));
    share(&scope, number, profile, 7).await;
    fail_over(&scope, number, dialplan()).await;
    // These change nothing.
    share(&scope, number, profile, 7).await;
    fail_over(&scope, number, dialplan()).await;
    scope.set_number_active(&Actor::system(), number, false).await.expect("a change");
    assert_eq!(versions(&scope, number).await, [(3, vec![7], true), (2, vec![7], false), (1, vec![], false)]);
    assert_eq!(scope.number(number).await.expect("a number").routing_version, 3);
    let second = scope.routing_version(number, 2).await.expect("a version");
    assert_eq!(second.created_by, Some(Actor::system().name));
    let missing = scope.routing_version(number, 4).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    // The next call has the version on its record.
    let route = db.store.route(&route.number.did).await.expect("an answer").expect("a route");
    let call = values::completed(&values::call_to(&route));
    scope.begin_call(&call).await.expect("a call");
    let (recorded, _) = scope.call(call.id).await.expect("an answer").expect("a call");
    assert_eq!(recorded.routing_version, Some(3));
    // Pages.
    let page = scope.routing_versions(number, Window::first(2)).await.expect("a page");
    let after = Window { after: page.next, ..Window::first(2) };
    let rest = scope.routing_versions(number, after).await.expect("a page").items;
    assert_eq!((page.items.len(), rest.len(), rest[0].version), (2, 1, 1));
}

async fn a_routing_goes_back_to_what_it_was(db: Database) {
    let route = db.tenant(1).await;
    let (scope, number, actor) = (db.store.scope(route.tenant.id), route.number.id, Actor::system());
    let profile = route.profile.expect("the default one").id;
    share(&scope, number, profile, 7).await;
    fail_over(&scope, number, dialplan()).await;
    share(&scope, number, profile, 9).await;
    let back = scope.roll_back_routing(&actor, number, 3).await.expect("a rollback");
    assert_eq!((back.version, back.routing.profiles[0].weight), (5, 7));
    assert_eq!(scope.number_routing(number).await.expect("a routing"), back.routing);
    let back = scope.roll_back_routing(&actor, number, 1).await.expect("a rollback");
    assert_eq!(
        (back.version, back.routing, back.failover),
        (6, NumberRouting::default(), FailoverRoutes::default())
    );
    assert_eq!(scope.number(number).await.expect("a number").failover, FailoverRoutes::default());
    for (version, expected) in [(6, 6), (1, 6)] {
        let same = scope.roll_back_routing(&actor, number, version).await.expect("it is that already");
        assert_eq!(same.version, expected);
    }
    let missing = scope.roll_back_routing(&actor, number, 9).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
}

async fn old_routings_are_deleted_unless_a_call_refers_to_them(db: Database) {
    let route = db.tenant(1).await;
    let limits = TenantLimits { profile_versions: 2, ..TenantLimits::default() };
    let (scope, number) = (db.store.clone().with_limits(limits).scope(route.tenant.id), route.number.id);
    scope.begin_call(&values::completed(&values::call_to(&route))).await.expect("a call");
    let profile = route.profile.expect("the default one").id;
    for weight in 1..=4 {
        share(&scope, number, profile, weight).await;
    }
    let kept: Vec<u32> = versions(&scope, number).await.into_iter().map(|(version, ..)| version).collect();
    assert_eq!(kept, [5, 4, 1]);
    let compared = crate::control::compare_routing(&scope, number, 4, None).await.expect("a comparison");
    assert_eq!((compared.earlier, compared.later), (1, 4), "the latest one before that is kept");
}

async fn another_tenants_routing_stays(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let (scope, foreign) = (db.store.scope(mine.tenant.id), db.store.scope(theirs.tenant.id));
    share(&scope, mine.number.id, mine.profile.expect("one").id, 7).await;
    let (actor, number) = (Actor::system(), mine.number.id);
    for outcome in [
        foreign.routing_versions(number, Window::first(9)).await.map(drop),
        foreign.routing_version(number, 1).await.map(drop),
        foreign.roll_back_routing(&actor, number, 1).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    }
    assert_eq!(versions(&scope, number).await, [(2, vec![7], false), (1, vec![], false)]);
}
