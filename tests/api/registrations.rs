//! Numbers and their providers: what the record says when all goes well, and when it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use vca::ari;
use vca::store::{
    AuditFilter, Credit, InventoryChanges, NewNumber, RegistrationAttempt, RegistrationStep, Scope, Window,
};
use vca::telephony::{Adapters, Registrar, Settings};
use vca::tenancy::{Actor, NumberId, NumberSource, ProviderState, ProviderType, Role, TenantId};

use super::bureau::{Bureau, Client};
use super::carrier::{CONNECTION, Carrier, Fault, KEY, Number, TOKEN, TRUNK};
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

/// A tenant's number with a provider, and whoever may ask for it.
struct Desk {
    carrier: Carrier,
    bureau: Bureau,
    scope: Scope,
    number: NumberId,
    path: String,
    admin: Client,
}

async fn desk(bureau: &Bureau, provider: &str) -> Desk {
    let carrier = Carrier::open().await;
    let bureau = bureau.with_telephony(&carrier.settings(), &carrier.url).await;
    let (tenant, admin) = bureau.tenant("Bakery").await;
    let scope = bureau.store.scope(TenantId(tenant));
    let new =
        NewNumber { did: DID.parse().expect("a DID"), provider_type: provider.parse().expect("a provider") };
    let number = scope.create_number(&Actor::system(), new).await.expect("a number").id;
    let path = format!("/api/tenants/{tenant}/phone-numbers/{number}");
    Desk { carrier, bureau, scope, number, path, admin }
}

impl Desk {
    async fn register(&self) -> Value {
        let answer = self.admin.post(&format!("{}/register", self.path), json!({})).await.expect(200);
        let kept = self.admin.get(&format!("{}/registration", self.path)).await.expect(200);
        assert_eq!(answer, kept);
        answer
    }

    async fn unregister(&self) -> vca::tenancy::Registration {
        let registrar = &self.bureau.registrar;
        registrar.unregister(&self.scope, &Actor::system(), self.number).await.expect("a database")
    }
}

fn number(id: &'static str, number: &str, to: Option<&str>) -> Number {
    let to = to.map(str::to_owned);
    Number { id, number: number.into(), to, application: None, voice_url: None, forwards_to: None }
}

async fn a_twilio_number_joins_the_trunk_and_leaves_it(bureau: Bureau) {
    let desk = desk(&bureau, "twilio").await;
    desk.carrier.book().twilio = vec![number("PN1", "+4930555012345", None), number("PN2", DID, None)];
    let answer = desk.register().await;
    assert_eq!(
        (&answer["provider_state"], &answer["provider_reference"]),
        (&json!("registered"), &json!("PN2"))
    );
    assert_eq!(desk.carrier.book().twilio[1].to.as_deref(), Some(TRUNK));
    assert_eq!(desk.carrier.book().twilio[0].to, None, "a longer number is another one");
    desk.carrier.requests();
    assert_eq!(desk.register().await, answer, "asked twice");
    assert_eq!(desk.carrier.requests().len(), 1, "only looked up");
    let gone = desk.unregister().await;
    assert_eq!((gone.provider_state, gone.provider_reference), (ProviderState::Unregistered, None));
    assert_eq!(desk.carrier.book().twilio[1].to, None);
    assert_eq!(desk.unregister().await.provider_state, ProviderState::Unregistered, "asked twice");
    desk.carrier.book().twilio.clear();
    assert_eq!(desk.unregister().await.provider_state, ProviderState::Unregistered, "released at Twilio");
}

async fn a_telnyx_number_is_assigned_and_let_go(bureau: Bureau) {
    let desk = desk(&bureau, "telnyx").await;
    desk.carrier.book().telnyx = vec![number("1", "+4930555012345", None), number("2", DID, None)];
    let answer = desk.register().await;
    assert_eq!(
        (&answer["provider_state"], &answer["provider_reference"]),
        (&json!("registered"), &json!("2"))
    );
    assert_eq!(desk.carrier.book().telnyx[1].to.as_deref(), Some(CONNECTION));
    desk.carrier.requests();
    assert_eq!(desk.register().await, answer, "asked twice");
    assert_eq!(desk.carrier.requests().len(), 1, "only looked up");
    assert_eq!(desk.unregister().await.provider_state, ProviderState::Unregistered);
    assert_eq!(desk.carrier.book().telnyx[1].to, None);
    desk.carrier.book().telnyx[1].to = Some("another".into());
    assert_eq!(desk.unregister().await.provider_state, ProviderState::Unregistered);
    assert_eq!(desk.carrier.book().telnyx[1].to.as_deref(), Some("another"), "another's use is left alone");
}

async fn asterisk_is_asked_where_it_routes_by_itself(bureau: Bureau) {
    let generic = desk(&bureau, "generic").await;
    let answer = generic.register().await;
    assert_eq!(answer["provider_state"], "failed", "no application: {answer:#}");
    assert!(answer["provider_detail"].as_str().is_some_and(|text| text.contains("vca serve")), "{answer:#}");
    generic.carrier.book().application = true;
    assert_eq!(generic.register().await["provider_state"], "registered");
    let away = bureau.with_telephony(&Settings::default(), "http://127.0.0.1:9").await;
    let lost =
        away.registrar.register(&generic.scope, &Actor::system(), generic.number).await.expect("a database");
    assert_eq!(lost.provider_state, ProviderState::Failed, "nobody answers: {lost:?}");
    generic.scope.set_number_active(&Actor::system(), generic.number, false).await.expect("a number");
    give_up(&bureau, &generic).await;

    let tata = desk(&bureau, "tata").await;
    for (trunk, word) in [
        (None, "has no endpoint vca-trunk"),
        (Some("online"), "is up"),
        (Some("offline"), "does not answer"),
        (Some("unknown"), "does not know"),
    ] {
        tata.carrier.book().trunk = trunk;
        let answer = tata.register().await;
        let detail = answer["provider_detail"].as_str().expect("a detail");
        assert_eq!(answer["provider_state"], "manual", "{answer:#}");
        assert!(detail.contains(word) && detail.contains(DID) && detail.contains("by hand"), "{detail}");
    }
}

async fn every_failure_is_told_apart_and_can_be_retried(bureau: Bureau) {
    let desk = desk(&bureau, "twilio").await;
    let detail = |answer: &Value| answer["provider_detail"].as_str().unwrap_or_default().to_owned();
    let failed = |answer: &Value, word: &str| {
        assert_eq!(answer["provider_state"], "failed", "{answer:#}");
        let told = detail(answer);
        assert!(told.contains(word), "{word:?} is not in {told:?}");
        assert!(!told.contains(TOKEN), "{told:?} holds the secret");
    };
    failed(&desk.register().await, "does not have this number");
    desk.carrier.book().twilio = vec![number("PN2", DID, Some("TKother"))];
    failed(&desk.register().await, "TKother");
    desk.carrier.book().twilio[0] = Number { application: Some("AP1".into()), ..number("PN2", DID, None) };
    failed(&desk.register().await, "AP1");
    assert_eq!(desk.admin.get(&desk.path).await.expect(200)["call_delivery"], "not_delivered");
    desk.carrier.book().twilio[0] = number("PN2", DID, None);
    let three = |fault: Fault| vec![fault.clone(), fault.clone(), fault];
    for (faults, word, asked) in [
        (vec![Fault::Status(401)], "refuses our credentials", 1),
        (vec![Fault::Status(403)], "refuses our credentials", 1),
        (vec![Fault::Status(404)], "no such account", 1),
        (vec![Fault::Status(400)], "refuses: HTTP 400", 1),
        (three(Fault::Status(500)), "cannot be asked now", 3),
        (three(Fault::Stall), "no answer within", 3),
        (vec![Fault::Busy("3600")], "cannot be asked now", 1),
        (vec![Fault::Garbage], "cannot be understood", 1),
        (vec![Fault::Odd], "cannot be understood", 1),
    ] {
        desk.carrier.requests();
        desk.carrier.book().faults = faults.clone().into();
        failed(&desk.register().await, word);
        assert_eq!(desk.carrier.requests().len(), asked, "{faults:?}");
    }
    // Two failures are overcome, and what the provider asks for is given.
    desk.carrier.book().faults = [Fault::Busy("1"), Fault::Status(503)].into();
    let began = Instant::now();
    assert_eq!(desk.register().await["provider_state"], "registered");
    assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
    let unknown = bureau.with_telephony(&Settings::default(), "http://127.0.0.1:9").await;
    let answer =
        unknown.registrar.register(&desk.scope, &Actor::system(), desk.number).await.expect("a database");
    let told = answer.provider_detail.expect("a detail");
    assert!(told.contains("TWILIO_AUTH_TOKEN") && told.contains("telephony.twilio.trunk_sid"), "{told}");
    assert_eq!(answer.provider_reference.as_deref(), Some("PN2"), "what was known stays known");
}

async fn what_was_left_pending_is_picked_up(bureau: Bureau) {
    let desk = desk(&bureau, "fake").await;
    // As a daemon leaves it that is killed while it waits for the provider.
    let (actor, state) = (Actor::system(), ProviderState::Pending);
    let (credit, attempt) = (Credit::Take, RegistrationAttempt::Requested);
    let step = RegistrationStep { action: "register", state, detail: "", reference: None, credit, attempt };
    desk.scope.record_registration(&actor, desk.number, &step).await.expect("a number");
    let path = format!("{}/registration", desk.path);
    assert_eq!(desk.admin.get(&path).await.expect(200)["provider_state"], "pending");
    let path = format!("{}/register", desk.path);
    let asked = tokio::join!(desk.admin.post(&path, json!({})), desk.admin.post(&path, json!({})));
    for answer in [asked.0, asked.1] {
        assert_eq!(answer.expect(200)["provider_state"], "registered");
    }
}

async fn a_number_with_a_new_owner_is_left_alone(bureau: Bureau) {
    let old = desk(&bureau, "twilio").await;
    old.carrier.book().twilio = vec![number("PN2", DID, None)];
    old.register().await;
    give_up(&bureau, &old).await;
    assert_eq!(old.admin.post(&format!("{}/register", old.path), json!({})).await.problem(404), "not_found");
    let (other, _) = bureau.tenant("Florist").await;
    let scope = bureau.store.scope(TenantId(other));
    let new = NewNumber { did: DID.parse().expect("a DID"), provider_type: ProviderType::Twilio };
    scope.create_number(&Actor::system(), new).await.expect("the DID is free again");
    let answer = old.unregister().await;
    assert_eq!(answer.provider_state, ProviderState::Unregistered);
    assert_eq!(old.carrier.book().twilio[0].to.as_deref(), Some(TRUNK), "the new owner keeps their calls");
}

async fn a_number_that_was_given_up_in_vain_is_given_up_again(bureau: Bureau) {
    let desk = desk(&bureau, "twilio").await;
    desk.carrier.book().twilio = vec![number("PN2", DID, None)];
    desk.register().await;
    desk.carrier.book().faults = [Fault::Status(401)].into();
    desk.admin.delete(&desk.path).await.expect(204);
    let kept = desk.admin.get(&format!("{}/registration", desk.path)).await.expect(200);
    assert_eq!((&kept["provider_state"], &kept["is_deleted"]), (&json!("failed"), &json!(true)));
    assert_eq!(desk.carrier.book().twilio[0].to.as_deref(), Some(TRUNK));
    let again = desk.admin.post(&format!("{}/unregister", desk.path), json!({})).await.expect(200);
    assert_eq!(again["provider_state"], "unregistered");
    assert_eq!(desk.carrier.book().twilio[0].to, None);
}

async fn two_changes_at_once_end_as_the_record_says(bureau: Bureau) {
    let desk = desk(&bureau, "twilio").await;
    desk.carrier.book().twilio = vec![number("PN2", DID, None)];
    let changes = (0..8).map(|n| desk.admin.patch(&desk.path, json!({ "is_active": n % 2 == 0 })));
    for answer in futures_util::future::join_all(changes).await {
        answer.expect(200);
    }
    let is_active = desk.admin.get(&desk.path).await.expect(200)["is_active"] == true;
    assert_eq!(
        desk.carrier.book().twilio[0].to.is_some(),
        is_active,
        "the provider does what the record says"
    );
}

async fn nobody_waits_for_a_provider_for_ever(bureau: Bureau) {
    let desk = desk(&bureau, "twilio").await;
    desk.carrier.book().twilio = vec![number("PN2", DID, None)];
    desk.carrier.book().faults = [Fault::Stall].into();
    let asterisk = ari::Settings { password: "hush".into(), ..Default::default() };
    let asterisk = Arc::new(ari::Client::new(&asterisk).expect("a client"));
    let adapters = Arc::new(Adapters::new(&desk.carrier.settings(), asterisk, "vca", false));
    let hasty = Registrar::new(bureau.store.clone(), adapters).with_timeout(Duration::from_millis(20));
    let hasty = Arc::new(hasty);
    let answer = hasty.register(&desk.scope, &Actor::system(), desk.number).await.expect("a database");
    assert_eq!(answer.provider_state, ProviderState::Pending, "nobody has answered yet");
    let goes_on = async {
        while desk.scope.registration(desk.number).await.expect("a number").provider_state
            != ProviderState::Registered
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), goes_on).await.expect("it is seen through all the same");
}

/// The tenant gives a number up.
async fn give_up(bureau: &Bureau, desk: &Desk) {
    let (id, now) = (desk.number.0, chrono::Utc::now().to_rfc3339());
    if bureau.url.starts_with("sqlite:") {
        let sql = format!("UPDATE phone_numbers SET deleted_at = '{now}' WHERE id = x'{}'", id.simple());
        let mut connection = SqliteConnection::connect(&bureau.url).await.expect("the database");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("an update");
    } else {
        let sql = format!(
            "BEGIN; SET LOCAL vca.reach = 'all'; UPDATE phone_numbers SET deleted_at = now() WHERE id = '{id}'; COMMIT"
        );
        let mut connection = PgConnection::connect(&bureau.url).await.expect("the database");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("an update");
    }
}

async fn each_step_is_in_the_audit_log(bureau: Bureau) {
    let desk = desk(&bureau, "telnyx").await;
    desk.carrier.book().faults = [Fault::Status(401)].into();
    desk.register().await;
    let filter = AuditFilter { action: Some("register".into()), ..AuditFilter::default() };
    let page = desk.scope.audit(&filter, Window { after: None, limit: 10 }).await.expect("the log");
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
async fn a_provider_is_not_asked_for_a_number_that_is_not_the_tenants(bureau: Bureau) {
    for provider in ["twilio", "telnyx"] {
        let desk = desk(&bureau, provider).await;
        let (other, _) = bureau.tenant("Florist").await;
        desk.carrier.book().twilio = vec![number("PN2", DID, None)];
        desk.carrier.book().telnyx = vec![number("2", DID, None)];
        // As a row that was stored before numbers were assigned.
        for tenant in ["NULL".to_owned(), bureau.literal(other)] {
            bureau.raw(format!("UPDATE number_inventory SET tenant_id = {tenant}")).await;
            let answer = desk.register().await;
            assert_eq!(answer["provider_state"], "failed", "{answer:#}");
            let detail = answer["provider_detail"].as_str().expect("a detail");
            assert!(detail.contains("not assigned to this tenant"), "{detail}");
            assert_eq!(desk.carrier.requests(), [] as [String; 0], "{provider} was asked");
        }
        let entry = bureau.store.inventory_number_of(&DID.parse().expect("a DID")).await.expect("an entry");
        let mine = InventoryChanges { tenant: Some(Some(desk.scope.tenant_id())), note: None };
        bureau.store.update_inventory_number(&Actor::system(), entry.id, mine).await.expect("assigned");
        assert_eq!(desk.register().await["provider_state"], "registered");
        desk.admin.delete(&desk.path).await.expect(204);
    }
}

/// Control-plane finding 5 c: Twilio ignores the voice URL of a number on a trunk, so an IVR went silent.
async fn a_number_that_serves_something_else_is_left_alone(bureau: Bureau) {
    let twilio = desk(&bureau, "twilio").await;
    let refused = |answer: &Value, remedy: &str| {
        assert_eq!(answer["provider_state"], "failed", "{answer:#}");
        let detail = answer["provider_detail"].as_str().expect("a detail");
        assert!(detail.contains("in use elsewhere") && detail.contains(remedy), "{detail}");
    };
    let ivr = Some("https://ivr.example/voice?key=secret".to_owned());
    twilio.carrier.book().twilio = vec![Number { voice_url: ivr.clone(), ..number("PN2", DID, None) }];
    let answer = twilio.register().await;
    refused(&answer, "clear the number's voice URL");
    assert!(!answer.to_string().contains("ivr.example"), "another use's URL is not for a tenant: {answer:#}");
    assert_eq!(twilio.unregister().await.provider_state, ProviderState::Unregistered);
    twilio.carrier.book().twilio[0].voice_url = Some("https://demo.twilio.com/welcome/voice/".into());
    assert_eq!(twilio.register().await["provider_state"], "registered", "a demonstration is no use");
    twilio.admin.delete(&twilio.path).await.expect(204);

    let telnyx = desk(&bureau, "telnyx").await;
    let forwarding = Some("+493055509999".to_owned());
    telnyx.carrier.book().telnyx = vec![Number { forwards_to: forwarding, ..number("2", DID, None) }];
    refused(&telnyx.register().await, "switch call forwarding off");
    telnyx.carrier.book().telnyx[0].forwards_to = None;
    assert_eq!(telnyx.register().await["provider_state"], "registered");
}

async fn only_what_vca_did_is_undone(bureau: Bureau) {
    for (provider, ours) in [("twilio", TRUNK), ("telnyx", CONNECTION)] {
        let desk = desk(&bureau, provider).await;
        let (first, second) = (number("PN2", DID, Some(ours)), number("2", DID, Some(ours)));
        (desk.carrier.book().twilio, desk.carrier.book().telnyx) = (vec![first], vec![second]);
        let place = || match provider {
            "twilio" => desk.carrier.book().twilio[0].to.clone(),
            _ => desk.carrier.book().telnyx[0].to.clone(),
        };
        let answer = desk.register().await;
        assert_eq!(
            (&answer["provider_state"], &answer["registered_by"]),
            (&json!("registered"), &Value::Null)
        );
        let left = desk.unregister().await;
        assert_eq!(left.provider_state, ProviderState::Unregistered);
        assert!(left.provider_detail.is_some_and(|detail| detail.contains("left as it is")));
        assert_eq!(place().as_deref(), Some(ours), "somebody else put it there");
        // Put there by VCA, it is taken away again, also by a tenant that found it there.
        desk.carrier.book().twilio[0].to = None;
        desk.carrier.book().telnyx[0].to = None;
        let by = desk.register().await["registered_by"].clone();
        assert!(by.as_str().is_some_and(|by| by.starts_with("key ")), "{by}");
        assert_eq!(desk.register().await["registered_by"], by, "asked twice");
        give_up(&bureau, &desk).await;
        let (next, _) = bureau.tenant("Florist").await;
        let scope = bureau.store.scope(TenantId(next));
        let new =
            NewNumber { did: DID.parse().expect("a DID"), provider_type: provider.parse().expect("one") };
        let number = scope.create_number(&Actor::system(), new).await.expect("moved").id;
        let found =
            desk.bureau.registrar.register(&scope, &Actor::system(), number).await.expect("a database");
        assert_eq!(found.registered_by.as_deref(), Some("system"));
        let gone =
            desk.bureau.registrar.unregister(&scope, &Actor::system(), number).await.expect("a database");
        assert_eq!((gone.registered_by, place()), (None, None));
        scope.delete_number(&Actor::system(), number).await.expect("released");
    }
}

async fn the_accounts_numbers_are_listed(bureau: Bureau) {
    let carrier = Carrier::open().await;
    let settings = carrier.settings();
    let asterisk = ari::Settings { password: "hush".into(), ..Default::default() };
    let asterisk = Arc::new(ari::Client::new(&asterisk).expect("a client"));
    let adapters = Adapters::new(&settings, asterisk, "vca", false);
    let all: Vec<String> = (0..7).map(|n| format!("+49305550010{n}")).collect();
    let twilio = all.iter().map(|did| number("PN1", did, None));
    carrier.book().twilio = twilio.collect();
    carrier.book().telnyx = all.iter().map(|did| number("1", did, None)).collect();
    for source in [NumberSource::Twilio, NumberSource::Telnyx] {
        let listed = adapters.account_numbers(source).await.expect("a list");
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(listed, all, "{source}: all pages");
    }
    // The credentials go nowhere else.
    for elsewhere in ["http://127.0.0.1:9/steal", "//127.0.0.1:9/steal"] {
        carrier.book().next_page = Some(elsewhere.to_owned());
        let refused = adapters.account_numbers(NumberSource::Twilio).await.expect_err("another server");
        assert!(refused.to_string().contains("another server"), "{refused}");
    }
    assert!(adapters.account_numbers(NumberSource::Operator).await.is_err());
    drop(bureau);
}

async fn viewers_and_strangers_change_nothing(bureau: Bureau) {
    let desk = desk(&bureau, "fake").await;
    let viewer = desk.bureau.client_of(desk.scope.tenant_id().0, Role::TenantViewer).await;
    assert_eq!(
        viewer.post(&format!("{}/register", desk.path), json!({})).await.problem(403),
        "read_only_key"
    );
    viewer.get(&format!("{}/registration", desk.path)).await.expect(200);
    let (other, stranger) = desk.bureau.tenant("Stranger").await;
    let elsewhere = format!("/api/tenants/{other}/phone-numbers/{}", desk.number);
    assert_eq!(stranger.post(&format!("{elsewhere}/register"), json!({})).await.problem(404), "not_found");
    assert_eq!(stranger.get(&format!("{elsewhere}/registration")).await.problem(404), "not_found");
}
