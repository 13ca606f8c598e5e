//! Numbers and their providers: what the record says when all goes well, and when it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use vca::ari;
use vca::store::{
    AuditFilter, InventoryChanges, NewNumber, RegisteredByChange, RegistrationAttempt, RegistrationStep,
    Scope, Window,
};
use vca::telephony::{Adapters, Registrar, Settings};
use vca::tenancy::{Actor, NumberId, NumberSource, ProviderState, ProviderType, Role, TenantId};

use super::api_server::{ApiServer, Client};
use super::fake_provider::{CONNECTION, FakeProvider, Fault, KEY, Number, TOKEN, TRUNK};
use super::on_both;

on_both!(
    a_twilio_number_joins_the_trunk_and_leaves_it,
    a_telnyx_number_is_assigned_and_let_go,
    asterisk_is_asked_where_it_routes_by_itself,
    every_failure_is_told_apart_and_can_be_retried,
    what_was_left_pending_is_picked_up,
    a_number_with_a_new_owner_is_left_alone,
    a_number_that_was_given_up_in_vain_is_given_up_again,
    two_changes_at_once_end_as_the_record_says,
    nobody_waits_for_a_provider_for_ever,
    each_step_is_in_the_audit_log,
    a_provider_is_not_asked_for_a_number_that_is_not_the_tenants,
    a_number_that_serves_something_else_is_left_alone,
    only_what_vca_did_is_undone,
    the_accounts_numbers_are_listed,
    viewers_and_strangers_change_nothing,
);

const DID: &str = "+493055501234";

/// A tenant's number with a provider, and a client of its administrator.
struct NumberAtProvider {
    provider: FakeProvider,
    api: ApiServer,
    scope: Scope,
    number: NumberId,
    path: String,
    admin: Client,
}

async fn number_at(api: &ApiServer, name: &str) -> NumberAtProvider {
    let provider = FakeProvider::open().await;
    let api = api.with_telephony(&provider.settings(), &provider.url).await;
    let (tenant, admin) = api.tenant("Bakery").await;
    let scope = api.store.scope(TenantId(tenant));
    let new =
        NewNumber { did: DID.parse().expect("a DID"), provider_type: name.parse().expect("a provider") };
    let number = scope.create_number(&Actor::system(), new).await.expect("a number").id;
    let path = format!("/api/tenants/{tenant}/phone-numbers/{number}");
    NumberAtProvider { provider, api, scope, number, path, admin }
}

impl NumberAtProvider {
    async fn register(&self) -> Value {
        let answer = self.admin.post(&format!("{}/register", self.path), json!({})).await.expect(200);
        let kept = self.admin.get(&format!("{}/registration", self.path)).await.expect(200);
        assert_eq!(answer, kept);
        answer
    }

    async fn unregister(&self) -> vca::tenancy::Registration {
        let registrar = &self.api.registrar;
        registrar.unregister(&self.scope, &Actor::system(), self.number).await.expect("a database")
    }
}

fn account_number(id: &'static str, number: &str, to: Option<&str>) -> Number {
    let to = to.map(str::to_owned);
    Number { id, number: number.into(), to, application: None, voice_url: None, forwards_to: None }
}

async fn a_twilio_number_joins_the_trunk_and_leaves_it(api: ApiServer) {
    let number = number_at(&api, "twilio").await;
    number.provider.accounts().twilio =
        vec![account_number("PN1", "+4930555012345", None), account_number("PN2", DID, None)];
    let answer = number.register().await;
    assert_eq!(
        (&answer["provider_state"], &answer["provider_reference"]),
        (&json!("registered"), &json!("PN2"))
    );
    assert_eq!(number.provider.accounts().twilio[1].to.as_deref(), Some(TRUNK));
    assert_eq!(number.provider.accounts().twilio[0].to, None, "a longer number is another one");
    number.provider.requests();
    assert_eq!(number.register().await, answer, "asked twice");
    assert_eq!(number.provider.requests().len(), 1, "only looked up");
    let gone = number.unregister().await;
    assert_eq!((gone.provider_state, gone.provider_reference), (ProviderState::Unregistered, None));
    assert_eq!(number.provider.accounts().twilio[1].to, None);
    assert_eq!(number.unregister().await.provider_state, ProviderState::Unregistered, "asked twice");
    number.provider.accounts().twilio.clear();
    assert_eq!(number.unregister().await.provider_state, ProviderState::Unregistered, "released at Twilio");
}

async fn a_telnyx_number_is_assigned_and_let_go(api: ApiServer) {
    let number = number_at(&api, "telnyx").await;
    number.provider.accounts().telnyx =
        vec![account_number("1", "+4930555012345", None), account_number("2", DID, None)];
    let answer = number.register().await;
    assert_eq!(
        (&answer["provider_state"], &answer["provider_reference"]),
        (&json!("registered"), &json!("2"))
    );
    assert_eq!(number.provider.accounts().telnyx[1].to.as_deref(), Some(CONNECTION));
    number.provider.requests();
    assert_eq!(number.register().await, answer, "asked twice");
    assert_eq!(number.provider.requests().len(), 1, "only looked up");
    assert_eq!(number.unregister().await.provider_state, ProviderState::Unregistered);
    assert_eq!(number.provider.accounts().telnyx[1].to, None);
    number.provider.accounts().telnyx[1].to = Some("another".into());
    assert_eq!(number.unregister().await.provider_state, ProviderState::Unregistered);
    assert_eq!(
        number.provider.accounts().telnyx[1].to.as_deref(),
        Some("another"),
        "another's use is left alone"
    );
}

async fn asterisk_is_asked_where_it_routes_by_itself(api: ApiServer) {
    let generic = number_at(&api, "generic").await;
    let answer = generic.register().await;
    assert_eq!(answer["provider_state"], "failed", "no application: {answer:#}");
    assert!(answer["provider_detail"].as_str().is_some_and(|text| text.contains("vca serve")), "{answer:#}");
    generic.provider.accounts().application = true;
    assert_eq!(generic.register().await["provider_state"], "registered");
    let away = api.with_telephony(&Settings::default(), "http://127.0.0.1:9").await;
    let lost =
        away.registrar.register(&generic.scope, &Actor::system(), generic.number).await.expect("a database");
    assert_eq!(lost.provider_state, ProviderState::Failed, "nobody answers: {lost:?}");
    generic.scope.set_number_active(&Actor::system(), generic.number, false).await.expect("a number");
    give_up(&api, &generic).await;

    let tata = number_at(&api, "tata").await;
    for (trunk, word) in [
        (None, "has no endpoint vca-trunk"),
        (Some("online"), "is up"),
        (Some("offline"), "does not answer"),
        (Some("unknown"), "does not know"),
    ] {
        tata.provider.accounts().trunk = trunk;
        let answer = tata.register().await;
        let detail = answer["provider_detail"].as_str().expect("a detail");
        assert_eq!(answer["provider_state"], "manual", "{answer:#}");
        assert!(detail.contains(word) && detail.contains(DID) && detail.contains("by hand"), "{detail}");
    }
}

async fn every_failure_is_told_apart_and_can_be_retried(api: ApiServer) {
    let number = number_at(&api, "twilio").await;
    let detail = |answer: &Value| answer["provider_detail"].as_str().unwrap_or_default().to_owned();
    let failed = |answer: &Value, word: &str| {
        assert_eq!(answer["provider_state"], "failed", "{answer:#}");
        let told = detail(answer);
        assert!(told.contains(word), "{word:?} is not in {told:?}");
        assert!(!told.contains(TOKEN), "{told:?} holds the secret");
    };
    failed(&number.register().await, "does not have this number");
    number.provider.accounts().twilio = vec![account_number("PN2", DID, Some("TKother"))];
    failed(&number.register().await, "TKother");
    number.provider.accounts().twilio[0] =
        Number { application: Some("AP1".into()), ..account_number("PN2", DID, None) };
    failed(&number.register().await, "AP1");
    assert_eq!(number.admin.get(&number.path).await.expect(200)["call_delivery"], "not_delivered");
    number.provider.accounts().twilio[0] = account_number("PN2", DID, None);
    let three = |fault: Fault| vec![fault.clone(), fault.clone(), fault];
    for (faults, word, asked) in [
        (vec![Fault::Status(401)], "refuses our credentials", 1),
        (vec![Fault::Status(403)], "refuses our credentials", 1),
        (vec![Fault::Status(404)], "no such account", 1),
        (vec![Fault::Status(400)], "refuses: HTTP 400", 1),
        (three(Fault::Status(500)), "is not available", 3),
        (three(Fault::Stall), "no response within", 3),
        (vec![Fault::Busy("3600")], "is not available", 1),
        (vec![Fault::Garbage], "sent an unexpected response", 1),
        (vec![Fault::Odd], "sent an unexpected response", 1),
    ] {
        number.provider.requests();
        number.provider.accounts().faults = faults.clone().into();
        failed(&number.register().await, word);
        assert_eq!(number.provider.requests().len(), asked, "{faults:?}");
    }
    // Two failures are overcome, and what the provider asks for is given.
    number.provider.accounts().faults = [Fault::Busy("1"), Fault::Status(503)].into();
    let began = Instant::now();
    assert_eq!(number.register().await["provider_state"], "registered");
    assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
    let unknown = api.with_telephony(&Settings::default(), "http://127.0.0.1:9").await;
    let answer =
        unknown.registrar.register(&number.scope, &Actor::system(), number.number).await.expect("a database");
    let told = answer.provider_detail.expect("a detail");
    assert!(told.contains("TWILIO_AUTH_TOKEN") && told.contains("telephony.twilio.trunk_sid"), "{told}");
    assert_eq!(answer.provider_reference.as_deref(), Some("PN2"), "what was known stays known");
}

async fn what_was_left_pending_is_picked_up(api: ApiServer) {
    let number = number_at(&api, "fake").await;
    // As a daemon leaves it that is killed while it waits for the provider.
    let (actor, state) = (Actor::system(), ProviderState::Pending);
    let (registered_by, attempt) = (RegisteredByChange::Take, RegistrationAttempt::Requested);
    let step =
        RegistrationStep { action: "register", state, detail: "", reference: None, registered_by, attempt };
    number.scope.record_registration(&actor, number.number, &step).await.expect("a number");
    let path = format!("{}/registration", number.path);
    assert_eq!(number.admin.get(&path).await.expect(200)["provider_state"], "pending");
    let path = format!("{}/register", number.path);
    let asked = tokio::join!(number.admin.post(&path, json!({})), number.admin.post(&path, json!({})));
    for answer in [asked.0, asked.1] {
        assert_eq!(answer.expect(200)["provider_state"], "registered");
    }
}

async fn a_number_with_a_new_owner_is_left_alone(api: ApiServer) {
    let old = number_at(&api, "twilio").await;
    old.provider.accounts().twilio = vec![account_number("PN2", DID, None)];
    old.register().await;
    give_up(&api, &old).await;
    assert_eq!(old.admin.post(&format!("{}/register", old.path), json!({})).await.problem(404), "not_found");
    let (other, _) = api.tenant("Florist").await;
    let scope = api.store.scope(TenantId(other));
    let new = NewNumber { did: DID.parse().expect("a DID"), provider_type: ProviderType::Twilio };
    scope.create_number(&Actor::system(), new).await.expect("the DID is free again");
    let answer = old.unregister().await;
    assert_eq!(answer.provider_state, ProviderState::Unregistered);
    assert_eq!(
        old.provider.accounts().twilio[0].to.as_deref(),
        Some(TRUNK),
        "the new owner keeps their calls"
    );
}

async fn a_number_that_was_given_up_in_vain_is_given_up_again(api: ApiServer) {
    let number = number_at(&api, "twilio").await;
    number.provider.accounts().twilio = vec![account_number("PN2", DID, None)];
    number.register().await;
    number.provider.accounts().faults = [Fault::Status(401)].into();
    number.admin.delete(&number.path).await.expect(204);
    let kept = number.admin.get(&format!("{}/registration", number.path)).await.expect(200);
    assert_eq!((&kept["provider_state"], &kept["is_deleted"]), (&json!("failed"), &json!(true)));
    assert_eq!(number.provider.accounts().twilio[0].to.as_deref(), Some(TRUNK));
    let again = number.admin.post(&format!("{}/unregister", number.path), json!({})).await.expect(200);
    assert_eq!(again["provider_state"], "unregistered");
    assert_eq!(number.provider.accounts().twilio[0].to, None);
}

async fn two_changes_at_once_end_as_the_record_says(api: ApiServer) {
    let number = number_at(&api, "twilio").await;
    number.provider.accounts().twilio = vec![account_number("PN2", DID, None)];
    let changes = (0..8).map(|n| number.admin.patch(&number.path, json!({ "is_active": n % 2 == 0 })));
    for answer in futures_util::future::join_all(changes).await {
        answer.expect(200);
    }
    let is_active = number.admin.get(&number.path).await.expect(200)["is_active"] == true;
    assert_eq!(
        number.provider.accounts().twilio[0].to.is_some(),
        is_active,
        "the provider does what the record says"
    );
}

async fn nobody_waits_for_a_provider_for_ever(api: ApiServer) {
    let number = number_at(&api, "twilio").await;
    number.provider.accounts().twilio = vec![account_number("PN2", DID, None)];
    number.provider.accounts().faults = [Fault::Stall].into();
    let asterisk = ari::Settings { password: "hush".into(), ..Default::default() };
    let asterisk = Arc::new(ari::Client::new(&asterisk).expect("a client"));
    let adapters = Arc::new(Adapters::new(&number.provider.settings(), asterisk, "vca", false));
    let hasty = Registrar::new(api.store.clone(), adapters).with_timeout(Duration::from_millis(20));
    let hasty = Arc::new(hasty);
    let answer = hasty.register(&number.scope, &Actor::system(), number.number).await.expect("a database");
    assert_eq!(answer.provider_state, ProviderState::Pending, "nobody has answered yet");
    let goes_on = async {
        while number.scope.registration(number.number).await.expect("a number").provider_state
            != ProviderState::Registered
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), goes_on).await.expect("it is seen through all the same");
}

/// The tenant gives a number up.
async fn give_up(api: &ApiServer, number: &NumberAtProvider) {
    let (id, now) = (number.number.0, chrono::Utc::now().to_rfc3339());
    if api.url.starts_with("sqlite:") {
        let sql = format!("UPDATE phone_numbers SET deleted_at = '{now}' WHERE id = x'{}'", id.simple());
        let mut connection = SqliteConnection::connect(&api.url).await.expect("the database");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("an update");
    } else {
        let sql = format!(
            "BEGIN; SET LOCAL vca.reach = 'all'; UPDATE phone_numbers SET deleted_at = now() WHERE id = '{id}'; COMMIT"
        );
        let mut connection = PgConnection::connect(&api.url).await.expect("the database");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("an update");
    }
}

async fn each_step_is_in_the_audit_log(api: ApiServer) {
    let number = number_at(&api, "telnyx").await;
    number.provider.accounts().faults = [Fault::Status(401)].into();
    number.register().await;
    let filter = AuditFilter { action: Some("register".into()), ..AuditFilter::default() };
    let page = number.scope.audit(&filter, Window { after: None, limit: 10 }).await.expect("the log");
    let states: Vec<_> = page
        .items
        .iter()
        .map(|entry| entry.after.clone().unwrap_or_default()["provider_state"].clone())
        .collect();
    // Newest first. An entry holds the fields that differ, and a new number is pending already.
    assert_eq!(states, [json!("failed"), Value::Null]);
    assert!(page.items.iter().all(|entry| entry.actor.starts_with("key ")), "{:?}", page.items);
    let text = serde_json::to_string(&page.items).expect("JSON");
    assert!(!text.contains(KEY) && text.contains("[secret]"), "{text}");
}

/// A provider is asked only for a number whose registration belongs to the tenant.
async fn a_provider_is_not_asked_for_a_number_that_is_not_the_tenants(api: ApiServer) {
    for provider in ["twilio", "telnyx"] {
        let number = number_at(&api, provider).await;
        let (other, _) = api.tenant("Florist").await;
        number.provider.accounts().twilio = vec![account_number("PN2", DID, None)];
        number.provider.accounts().telnyx = vec![account_number("2", DID, None)];
        // As a row that was stored before numbers were assigned.
        for tenant in ["NULL".to_owned(), api.literal(other)] {
            api.raw(format!("UPDATE number_inventory SET tenant_id = {tenant}")).await;
            let answer = number.register().await;
            assert_eq!(answer["provider_state"], "failed", "{answer:#}");
            let detail = answer["provider_detail"].as_str().expect("a detail");
            assert!(detail.contains("not assigned to this tenant"), "{detail}");
            assert_eq!(number.provider.requests(), [] as [String; 0], "{provider} was asked");
        }
        let entry = api.store.inventory_number_of(&DID.parse().expect("a DID")).await.expect("an entry");
        let mine = InventoryChanges { tenant: Some(Some(number.scope.tenant_id())), note: None };
        api.store.update_inventory_number(&Actor::system(), entry.id, mine).await.expect("assigned");
        assert_eq!(number.register().await["provider_state"], "registered");
        number.admin.delete(&number.path).await.expect(204);
    }
}

/// Control-plane finding 5 c: Twilio ignores the voice URL of a number on a trunk, so an IVR went silent.
async fn a_number_that_serves_something_else_is_left_alone(api: ApiServer) {
    let twilio = number_at(&api, "twilio").await;
    let refused = |answer: &Value, remedy: &str| {
        assert_eq!(answer["provider_state"], "failed", "{answer:#}");
        let detail = answer["provider_detail"].as_str().expect("a detail");
        assert!(detail.contains("in use elsewhere") && detail.contains(remedy), "{detail}");
    };
    let ivr = Some("https://ivr.example/voice?key=secret".to_owned());
    twilio.provider.accounts().twilio =
        vec![Number { voice_url: ivr.clone(), ..account_number("PN2", DID, None) }];
    let answer = twilio.register().await;
    refused(&answer, "clear the number's voice URL");
    assert!(!answer.to_string().contains("ivr.example"), "another use's URL is not for a tenant: {answer:#}");
    assert_eq!(twilio.unregister().await.provider_state, ProviderState::Unregistered);
    twilio.provider.accounts().twilio[0].voice_url = Some("https://demo.twilio.com/welcome/voice/".into());
    assert_eq!(twilio.register().await["provider_state"], "registered", "a demonstration is no use");
    twilio.admin.delete(&twilio.path).await.expect(204);

    let telnyx = number_at(&api, "telnyx").await;
    let forwarding = Some("+493055509999".to_owned());
    telnyx.provider.accounts().telnyx =
        vec![Number { forwards_to: forwarding, ..account_number("2", DID, None) }];
    refused(&telnyx.register().await, "switch call forwarding off");
    telnyx.provider.accounts().telnyx[0].forwards_to = None;
    assert_eq!(telnyx.register().await["provider_state"], "registered");
}

async fn only_what_vca_did_is_undone(api: ApiServer) {
    for (provider, ours) in [("twilio", TRUNK), ("telnyx", CONNECTION)] {
        let number = number_at(&api, provider).await;
        let (first, second) = (account_number("PN2", DID, Some(ours)), account_number("2", DID, Some(ours)));
        (number.provider.accounts().twilio, number.provider.accounts().telnyx) = (vec![first], vec![second]);
        let place = || match provider {
            "twilio" => number.provider.accounts().twilio[0].to.clone(),
            _ => number.provider.accounts().telnyx[0].to.clone(),
        };
        let answer = number.register().await;
        assert_eq!(
            (&answer["provider_state"], &answer["registered_by"]),
            (&json!("registered"), &Value::Null)
        );
        let left = number.unregister().await;
        assert_eq!(left.provider_state, ProviderState::Unregistered);
        assert!(left.provider_detail.is_some_and(|detail| detail.contains("left as it is")));
        assert_eq!(place().as_deref(), Some(ours), "somebody else put it there");
        // Put there by VCA, it is taken away again, also by a tenant that found it there.
        number.provider.accounts().twilio[0].to = None;
        number.provider.accounts().telnyx[0].to = None;
        let by = number.register().await["registered_by"].clone();
        assert!(by.as_str().is_some_and(|by| by.starts_with("key ")), "{by}");
        assert_eq!(number.register().await["registered_by"], by, "asked twice");
        give_up(&api, &number).await;
        let (next, _) = api.tenant("Florist").await;
        let scope = api.store.scope(TenantId(next));
        let new =
            NewNumber { did: DID.parse().expect("a DID"), provider_type: provider.parse().expect("one") };
        let moved = scope.create_number(&Actor::system(), new).await.expect("moved").id;
        let found = number.api.registrar.register(&scope, &Actor::system(), moved).await.expect("a database");
        assert_eq!(found.registered_by.as_deref(), Some("system"));
        let gone =
            number.api.registrar.unregister(&scope, &Actor::system(), moved).await.expect("a database");
        assert_eq!((gone.registered_by, place()), (None, None));
        scope.delete_number(&Actor::system(), moved).await.expect("released");
    }
}

async fn the_accounts_numbers_are_listed(api: ApiServer) {
    let provider = FakeProvider::open().await;
    let settings = provider.settings();
    let asterisk = ari::Settings { password: "hush".into(), ..Default::default() };
    let asterisk = Arc::new(ari::Client::new(&asterisk).expect("a client"));
    let adapters = Adapters::new(&settings, asterisk, "vca", false);
    let all: Vec<String> = (0..7).map(|n| format!("+49305550010{n}")).collect();
    let twilio = all.iter().map(|did| account_number("PN1", did, None));
    provider.accounts().twilio = twilio.collect();
    provider.accounts().telnyx = all.iter().map(|did| account_number("1", did, None)).collect();
    for source in [NumberSource::Twilio, NumberSource::Telnyx] {
        let listed = adapters.account_numbers(source).await.expect("a list");
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(listed, all, "{source}: all pages");
    }
    // The credentials go nowhere else.
    for elsewhere in ["http://127.0.0.1:9/steal", "//127.0.0.1:9/steal"] {
        provider.accounts().next_page = Some(elsewhere.to_owned());
        let refused = adapters.account_numbers(NumberSource::Twilio).await.expect_err("another server");
        assert!(refused.to_string().contains("another server"), "{refused}");
    }
    assert!(adapters.account_numbers(NumberSource::Operator).await.is_err());
    drop(api);
}

async fn viewers_and_strangers_change_nothing(api: ApiServer) {
    let number = number_at(&api, "fake").await;
    let viewer = number.api.client_of(number.scope.tenant_id().0, Role::TenantViewer).await;
    assert_eq!(
        viewer.post(&format!("{}/register", number.path), json!({})).await.problem(403),
        "read_only_key"
    );
    viewer.get(&format!("{}/registration", number.path)).await.expect(200);
    let (other, stranger) = number.api.tenant("Stranger").await;
    let elsewhere = format!("/api/tenants/{other}/phone-numbers/{}", number.number);
    assert_eq!(stranger.post(&format!("{elsewhere}/register"), json!({})).await.problem(404), "not_found");
    assert_eq!(stranger.get(&format!("{elsewhere}/registration")).await.problem(404), "not_found");
}
