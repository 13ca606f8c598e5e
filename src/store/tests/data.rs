//! What is written reads back the same, and the rules of the data hold.

use chrono::{TimeDelta, Utc};

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_number_leads_to_its_tenant_and_default_profile,
    a_number_has_profiles_of_its_own,
    a_route_has_targets_where_they_can_be_used,
    a_route_has_the_webhook_of_its_number_or_its_tenant,
    tenants_and_numbers_change,
    a_number_is_had_once,
    a_number_that_is_given_up_keeps_its_calls,
    a_number_is_found_as_it_is_dialled,
    one_profile_is_the_default,
    the_last_of_many_new_defaults_stays,
    a_default_that_is_deposed_is_told_of,
    a_call_and_its_turns_read_back,
    writing_twice_is_writing_once,
    calls_come_in_pages_newest_first,
    calls_of_a_killed_daemon_are_closed,
    what_breaks_the_rules_is_invalid,
    a_daemon_that_starts_leaves_the_calls_of_others_alone,
);

async fn a_number_leads_to_its_tenant_and_default_profile(db: Database) {
    let expected = db.tenant(1).await;
    db.tenant(2).await;
    let scope = db.store.scope(expected.tenant.id);
    scope
        .create_profile(&Actor::system(), values::profile("Night shift", false))
        .await
        .expect("a second profile");
    assert_eq!(db.store.route(&values::did(1)).await.expect("an answer"), Some(expected.clone()));
    assert_eq!(db.store.route(&values::did(3)).await.expect("an answer"), None);

    let changes = ProfileChanges { is_default: Some(false), ..ProfileChanges::default() };
    let profile = expected.profile.expect("the default one").id;
    scope.update_profile(&Actor::system(), profile, changes).await.expect("nobody answers now");
    let route = db.store.route(&values::did(1)).await.expect("an answer").expect("a route");
    assert_eq!(route.profile, None);
    assert_eq!(scope.default_profile().await.expect("an answer"), None);
}

async fn a_number_has_profiles_of_its_own(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let (scope, number) = (db.store.scope(route.tenant.id), route.number.id);
    let new = scope.create_profile(&actor, values::profile("New", false)).await.expect("a profile");
    let night = scope.create_profile(&actor, values::profile("Night", false)).await.expect("a profile");
    let default = route.profile.clone().expect("the default one");
    let any = |_: &NumberRouting| Ok::<(), StoreError>(());
    let share = |profile: &AiProfile, weight| ProfileShare { ai_profile_id: profile.id, weight };
    let routing = NumberRouting {
        profiles: vec![share(&default, 70), share(&new, 30)],
        closed_profile_id: Some(night.id),
    };
    let set = scope.set_number_routing_if(&actor, number, &routing, any).await.expect("a change");
    assert_eq!((&set, &scope.number_routing(number).await.expect("an answer")), (&routing, &routing));
    let found = async || {
        let mut found = db.store.route(&values::did(1)).await.expect("an answer").expect("a route");
        found.number.routing_version = route.number.routing_version;
        found
    };
    let answering = scope.answering_profiles().await.expect("profiles");
    assert_eq!(answering, [default.clone(), new.clone(), night.clone()]);
    let shares = vec![
        WeightedProfile { profile: default.clone(), weight: 70 },
        WeightedProfile { profile: new.clone(), weight: 30 },
    ];
    let number_profiles = NumberProfiles { shares, closed: Some(Box::new(night.clone())) };
    assert_eq!(found().await, Route { number_profiles, ..route.clone() });
    // Without a default, and with one profile for both purposes.
    let changes = ProfileChanges { is_default: Some(false), ..ProfileChanges::default() };
    scope.update_profile(&actor, default.id, changes).await.expect("a change");
    let routing = NumberRouting { profiles: vec![share(&night, 1)], closed_profile_id: Some(night.id) };
    scope.set_number_routing_if(&actor, number, &routing, any).await.expect("a change");
    let shares = vec![WeightedProfile { profile: night.clone(), weight: 1 }];
    let number_profiles = NumberProfiles { shares, closed: Some(Box::new(night)) };
    assert_eq!(found().await, Route { number_profiles, profile: None, ..route.clone() });
    scope.set_number_routing_if(&actor, number, &NumberRouting::default(), any).await.expect("a change");
    assert_eq!(found().await, Route { profile: None, ..route.clone() });
    // A number that is released leaves its profiles.
    scope.set_number_routing_if(&actor, number, &routing, any).await.expect("a change");
    scope.delete_number(&actor, number).await.expect("it is released");
    let gone = scope.number_routing(number).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
}

async fn a_route_has_targets_where_they_can_be_used(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let scope = db.store.scope(route.tenant.id);
    let new = NewTarget {
        name: "shop".parse().expect("a label"),
        description: "The shop.".to_owned(),
        kind: TargetKind::Queue,
        address: "reception".to_owned(),
        method: None,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Leave,
        resolver: None,
        hours: None,
    };
    let target = scope.create_target(&actor, new.of(route.tenant.id)).await.expect("a target");
    let targets =
        async || db.store.route(&values::did(1)).await.expect("an answer").expect("a route").targets;
    assert_eq!(targets().await, []);
    let to_target = FailoverRoute::Target { target: target.name.clone() };
    let routes = FailoverRoutes { busy: Some(to_target), ..FailoverRoutes::default() };
    for (failover, expected) in [(routes, vec![target.clone()]), (FailoverRoutes::default(), vec![])] {
        let changes = NumberChanges { failover: Some(failover), ..NumberChanges::default() };
        let any = |_: &PhoneNumber| Ok::<(), StoreError>(());
        scope.update_number_if(&actor, route.number.id, &changes, any).await.expect("a change");
        assert_eq!(targets().await, expected);
    }
    let profile = route.profile.expect("the default one");
    let settings = ProfileSettings { tools: vec![Tool::Transfer.as_str().to_owned()], ..profile.settings };
    let changes = ProfileChanges { settings: Some(settings), ..ProfileChanges::default() };
    scope.update_profile(&actor, profile.id, changes).await.expect("a change");
    assert_eq!(targets().await, [target]);
}

async fn a_route_has_the_webhook_of_its_number_or_its_tenant(db: Database) {
    let (route, _, actor) = (db.tenant(1).await, db.tenant(2).await, Actor::system());
    let (scope, number) = (db.store.scope(route.tenant.id), route.number.id);
    let asked = async |n| {
        let route = db.store.route(&values::did(n)).await.expect("an answer").expect("a route");
        route.pre_call.map(|stored| stored.webhook.url)
    };
    let uses = async |uses| {
        let changes = NumberChanges { uses_tenant_webhook: Some(uses), ..NumberChanges::default() };
        let any = |_: &PhoneNumber| Ok::<(), StoreError>(());
        let changed = scope.update_number_if(&actor, number, &changes, any).await.expect("a change");
        assert_eq!(changed.uses_tenant_webhook, uses);
    };
    let any = |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(());
    let (tenants, own) = ("https://example.com/tenants", "https://example.com/own");
    assert_eq!(asked(1).await, None);
    let owner = PreCallOwner::Tenant;
    scope.set_pre_call_webhook_if(&actor, owner, tenants, 2_000, any).await.expect("a webhook");
    assert_eq!(asked(1).await.as_deref(), Some(tenants));
    assert_eq!(asked(2).await, None, "the other tenant has none");
    uses(false).await;
    assert_eq!(asked(1).await, None);
    let owner = PreCallOwner::Number(number);
    scope.set_pre_call_webhook_if(&actor, owner, own, 2_000, any).await.expect("a webhook");
    assert_eq!(asked(1).await.as_deref(), Some(own));
    uses(true).await;
    assert_eq!(asked(1).await.as_deref(), Some(own));
    let any = |_: &PreCallWebhook| Ok::<(), StoreError>(());
    scope.delete_pre_call_webhook_if(&actor, owner, any).await.expect("it is removed");
    assert_eq!(asked(1).await.as_deref(), Some(tenants));
}

async fn tenants_and_numbers_change(db: Database) {
    let route = db.tenant(1).await;
    let (id, scope) = (route.tenant.id, db.store.scope(route.tenant.id));
    let same =
        db.store.update_tenant(&Actor::system(), id, TenantChanges::default()).await.expect("no change");
    assert_eq!(same, route.tenant);
    let changes = TenantChanges {
        name: Some("Renamed".to_owned()),
        status: Some(TenantStatus::Suspended),
        plan: Some(Plan::Custom),
        max_concurrent_calls: Some(None),
    };
    let changed = db.store.update_tenant(&Actor::system(), id, changes).await.expect("changes");
    assert_eq!((changed.name.as_str(), changed.status), ("Renamed", TenantStatus::Suspended));
    assert_eq!((changed.plan, changed.max_concurrent_calls), (Plan::Custom, None));
    assert_eq!(db.store.tenant(id).await.expect("it is there"), changed);
    assert_eq!(db.store.tenants().await.expect("one"), [changed]);

    let number =
        scope.set_number_active(&Actor::system(), route.number.id, false).await.expect("it is the tenant's");
    assert!(!number.is_active);
    let routed = db.store.route(&values::did(1)).await.expect("an answer").expect("a route");
    assert_eq!((routed.number, routed.tenant.status), (number, TenantStatus::Suspended));
}

async fn a_number_is_had_once(db: Database) {
    let (one, two) = (db.tenant(1).await, db.tenant(2).await);
    let attempts = (0..10).map(|n| {
        let scope = db.store.scope(if n % 2 == 0 { one.tenant.id } else { two.tenant.id });
        let new = NewNumber { did: values::did(99), provider_type: ProviderType::Generic };
        tokio::spawn(async move { scope.create_number(&Actor::system(), new).await })
    });
    let mut winners = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            Ok(_) => winners += 1,
            Err(StoreError::Conflict { what }) => assert_eq!(what, Duplicate::Number),
            Err(other) => panic!("neither won nor lost: {other}"),
        }
    }
    assert_eq!(winners, 1);
}

async fn a_number_that_is_given_up_keeps_its_calls(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = values::call_to(&route);
    scope.begin_call(&call).await.expect("a call");
    let gone = scope.delete_number(&Actor::system(), route.number.id).await.expect("it is given up");
    assert_eq!(gone, route.number);
    assert_eq!(db.store.route(&values::did(1)).await.expect("an answer"), None);
    // A call that was in progress goes on record all the same.
    scope.update_call(&values::completed(&call)).await.expect("it ends");
    let new = NewNumber { did: values::did(1), provider_type: ProviderType::Generic };
    let again = scope.create_number(&Actor::system(), new).await.expect("the DID is free");
    assert_eq!(scope.numbers().await.expect("one"), [again]);
    let filter = AuditFilter { action: Some("delete".to_owned()), ..AuditFilter::default() };
    let audit = scope.audit(&filter, Window::first(9)).await.expect("an answer").items;
    let told = audit[0].before.as_ref().map(|before| before["did_number"].clone());
    assert_eq!((audit.len(), told), (1, Some(values::did(1).digits().into())));
}

async fn a_number_is_found_as_it_is_dialled(db: Database) {
    let route = db.tenant(1).await;
    let german = Numbering { default_region: "DE".to_owned().try_into().ok(), allow_short: false };
    let routing = Routing::new(db.store.clone(), &RoutingSettings::default());
    let found = async |routing: &Routing, dialled: &str| {
        let found = routing.dialled(dialled).await.expect("an answer");
        found.map(|(did, found)| (did, found.tenant.id))
    };
    let expected = Some((values::did(1), route.tenant.id));
    for dialled in ["+4930000001", "4930000001"] {
        assert_eq!(found(&routing, dialled).await, expected, "{dialled}");
    }
    assert_eq!(found(&routing, "030000001").await, None);
    let routing = routing.with_numbering(german);
    for dialled in ["+4930000001", "4930000001", "030000001", "004930000001"] {
        assert_eq!(found(&routing, dialled).await, expected, "{dialled}");
    }
    for dialled in ["s", "", "030000002", "0", "+030000001"] {
        assert_eq!(found(&routing, dialled).await, None, "{dialled}");
    }
}

async fn one_profile_is_the_default(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let first =
        scope.create_profile(&Actor::system(), values::profile("New", true)).await.expect("a default");
    assert_eq!(scope.default_profile().await.expect("an answer"), Some(first));
    let second =
        scope.create_profile(&Actor::system(), values::profile("Another", false)).await.expect("a profile");
    let changes = ProfileChanges {
        name: Some("Evening".to_owned()),
        role: Some(AgentRole::Support),
        system_prompt: Some("Be brief.".to_owned()),
        is_default: Some(true),
        settings: Some(ProfileSettings { voice: Some("alloy".to_owned()), ..ProfileSettings::default() }),
    };
    let changed = scope.update_profile(&Actor::system(), second.id, changes).await.expect("it takes over");
    assert_eq!(changed.settings.voice.as_deref(), Some("alloy"));
    assert_eq!((changed.role, changed.system_prompt.as_str()), (AgentRole::Support, "Be brief."));
    assert_eq!(scope.profile(second.id).await.expect("it is there"), changed);
    assert_eq!(scope.default_profile().await.expect("an answer"), Some(changed));

    let missing = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
    let outcome = scope.update_profile(&Actor::system(), ProfileId::new(), missing).await;
    assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    let default = scope.default_profile().await.expect("an answer").map(|profile| profile.id);
    assert_eq!(default, Some(second.id), "a failed change deposes nobody");
}

async fn the_last_of_many_new_defaults_stays(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let mut changes = Vec::new();
    for n in 0..8 {
        let profile = scope
            .create_profile(&Actor::system(), values::profile(&format!("{n}"), false))
            .await
            .expect("a profile");
        let scope = scope.clone();
        changes.push(tokio::spawn(async move {
            let change = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
            scope.update_profile(&Actor::system(), profile.id, change).await
        }));
    }
    for change in changes {
        change.await.expect("no panic").expect("they wait for each other; none fails");
    }
    let profiles = scope.profiles().await.expect("nine");
    let defaults = profiles.iter().filter(|profile| profile.is_default).count();
    assert_eq!((profiles.len(), defaults), (9, 1));
}

async fn a_default_that_is_deposed_is_told_of(db: Database) {
    let route = db.tenant(1).await;
    let (scope, first) = (db.store.scope(route.tenant.id), route.profile.expect("the default one"));
    // Was it the default, and is it, by the audit log, newest first?
    let told = async |id: ProfileId| {
        let filter = AuditFilter {
            resource: Some("ai_profile".to_owned()),
            resource_id: Some(id.to_string()),
            action: Some("update".to_owned()),
            ..AuditFilter::default()
        };
        let entries = scope.audit(&filter, Window::first(9)).await.expect("an answer").items;
        let is_default =
            |state: Option<serde_json::Value>| state.is_some_and(|state| state["is_default"] == true);
        let told = entries.into_iter().map(|entry| (is_default(entry.before), is_default(entry.after)));
        told.collect::<Vec<_>>()
    };
    let second =
        scope.create_profile(&Actor::system(), values::profile("New", true)).await.expect("a default");
    assert_eq!(told(first.id).await, [(true, false)], "a new one takes over");
    let changes = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
    scope.update_profile(&Actor::system(), first.id, changes).await.expect("it takes over again");
    assert_eq!(told(second.id).await, [(true, false)]);
    assert_eq!(told(first.id).await, [(false, true), (true, false)]);
}

async fn a_call_and_its_turns_read_back(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let ringing = values::call_to(&route);
    scope.begin_call(&ringing).await.expect("it rings");
    assert_eq!(scope.call(ringing.id).await.expect("an answer"), Some((ringing.clone(), vec![])));
    let turns: Vec<CallTurn> = (0..12).map(|n| values::turn(&ringing, n)).collect();
    for turn in turns.iter().rev() {
        scope.add_turn(turn).await.expect("a turn");
    }
    let completed = values::completed(&ringing);
    scope.update_call(&completed).await.expect("it ends");
    assert_eq!(scope.call(ringing.id).await.expect("an answer"), Some((completed, turns)));
    assert_eq!(scope.call(CallId::new()).await.expect("an answer"), None);

    let odd = CallTurn { caller_text: "a\0b \u{1F600}'\"".to_owned(), ..values::turn(&ringing, 99) };
    scope.add_turn(&odd).await.expect("a turn of whatever an engine has heard");
    let (_, turns) = scope.call(ringing.id).await.expect("an answer").expect("the call");
    assert_eq!(turns.last().map(|turn| turn.caller_text.as_str()), Some("ab \u{1F600}'\""));
}

async fn writing_twice_is_writing_once(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let ringing = values::call_to(&route);
    let completed = values::completed(&ringing);
    // The end of a call that was never put on record does so.
    scope.update_call(&completed).await.expect("it ends");
    scope.update_call(&completed).await.expect("it ends again");
    scope.begin_call(&ringing).await.expect("a late repetition");
    let turn = values::turn(&ringing, 1);
    scope.add_turn(&turn).await.expect("a turn");
    let text = "answer, cut".to_owned();
    let spoken_by = crate::tenancy::SpokenBy::Operator;
    let target_text = Some("Shop, hello?".to_owned());
    let heard = CallTurn { agent_text: text, interrupted: true, spoken_by, target_text, ..turn };
    scope.add_turn(&heard).await.expect("the same turn");
    assert_eq!(scope.call(ringing.id).await.expect("an answer"), Some((completed, vec![heard])));
}

async fn calls_come_in_pages_newest_first(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let mut expected = Vec::new();
    for _ in 0..5 {
        let call = values::call_to(&route);
        scope.begin_call(&call).await.expect("a call");
        expected.insert(0, call.id);
    }
    let mut found = Vec::new();
    let mut window = Window::first(2);
    loop {
        let page = scope.calls(&CallFilter::default(), window).await.expect("a page");
        found.extend(page.items.iter().map(|call| call.id));
        let Some(next) = page.next else { break };
        window.after = Some(next);
    }
    assert_eq!(found, expected);
}

async fn calls_of_a_killed_daemon_are_closed(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let start = now();
    let began = |seconds| start + TimeDelta::seconds(seconds);
    let ringing = Call { started_at: began(-60), ..values::call_to(&route) };
    let answered = Call { started_at: began(-30), status: CallStatus::Answered, ..values::call_to(&route) };
    let completed = Call { started_at: began(-20), ..values::completed(&values::call_to(&route)) };
    let newer = Call { started_at: began(1), ..values::call_to(&route) };
    for call in [&ringing, &answered, &completed, &newer] {
        scope.begin_call(call).await.expect("a call");
    }
    assert_eq!(db.store.close_unfinished(start, start).await.expect("an answer"), 2);
    assert_eq!(db.store.close_unfinished(start, Utc::now()).await.expect("an answer"), 0);
    for call in [ringing, answered] {
        let closed = Call {
            status: CallStatus::Failed,
            ended_by: Some(EndedBy::System),
            disposition: Some("interrupted".to_owned()),
            ended_at: Some(start),
            ..call
        };
        assert_eq!(scope.call(closed.id).await.expect("an answer"), Some((closed, vec![])));
    }
    for call in [completed, newer] {
        assert_eq!(scope.call(call.id).await.expect("an answer"), Some((call, vec![])));
    }
}

async fn a_daemon_that_starts_leaves_the_calls_of_others_alone(db: Database) {
    let route = db.tenant(1).await;
    let (first, second) = (db.store.clone().of_daemon("pbx-1/vca"), db.store.clone().of_daemon("pbx-2/vca"));
    let start = now();
    let answered = Call {
        started_at: start - TimeDelta::seconds(30),
        status: CallStatus::Answered,
        ..values::call_to(&route)
    };
    first.scope(route.tenant.id).begin_call(&answered).await.expect("a call");
    if db.store.backend() == Backend::Sqlite {
        let closed = second.close_unfinished(start, start).await.expect("an answer");
        return assert_eq!(closed, 1, "nobody else uses this database");
    }
    assert_eq!(second.close_unfinished(start, start).await.expect("an answer"), 0, "it is being talked");
    // A call goes over to whoever writes of it.
    second.scope(route.tenant.id).update_call(&answered).await.expect("a record");
    assert_eq!(first.close_unfinished(start, start).await.expect("an answer"), 0);
    let later = start + TimeDelta::days(3);
    assert_eq!(
        first.close_unfinished(later, later).await.expect("an answer"),
        1,
        "the other never came back"
    );
}

async fn what_breaks_the_rules_is_invalid(db: Database) {
    let route = db.tenant(1).await;
    let nameless = NewTenant { name: " ".to_owned(), plan: Plan::Starter, max_concurrent_calls: None };
    let outcome = db.store.create_tenant(&Actor::system(), nameless).await;
    assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{outcome:?}");
    let scope = db.store.scope(route.tenant.id);
    let silent = NewProfile { system_prompt: String::new(), ..values::profile("Silent", false) };
    let outcome = scope.create_profile(&Actor::system(), silent).await;
    assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{outcome:?}");
    let unknown = db.store.scope(TenantId::new());
    let outcome = unknown.create_profile(&Actor::system(), values::profile("Nobody's", true)).await;
    assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    for (table, column) in
        [("tenants", "status"), ("tenants", "plan"), ("phone_numbers", "did"), ("ai_profiles", "role")]
    {
        let outcome = db.raw(format!("UPDATE {table} SET {column} = 'nonsense'")).await;
        let refused = outcome.as_ref().is_err_and(|error| {
            error.as_database_error().is_some_and(|reported| reported.is_check_violation())
        });
        assert!(refused, "{table}.{column}: {outcome:?}");
    }
}
