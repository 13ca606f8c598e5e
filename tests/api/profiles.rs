//! AI profiles over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::{Answer, ApiServer, Client};
use super::on_both;

on_both!(
    a_tenant_has_profiles,
    every_flaw_is_named_at_once,
    names_and_limits_that_are_not_permitted_are_refused,
    a_new_default_unsets_the_old_one,
    many_become_the_default_and_one_stays,
    every_change_makes_a_version,
    a_version_is_rolled_back_to,
    the_next_call_has_the_new_version,
    profiles_are_filtered_and_paged,
    another_tenants_profiles_are_not_there,
    a_viewer_looks_and_changes_nothing,
    a_change_of_settings_leaves_the_others,
    settings_are_replaced_as_a_whole,
    a_new_profile_has_a_notice_unless_it_is_turned_off,
    settings_of_noise_are_set_and_reset,
    variables_fit_prompt_and_settings,
    a_change_of_what_has_changed_meanwhile_is_refused,
    of_changes_at_once_with_one_etag_one_is_made,
    retention_periods_that_have_changed_meanwhile_are_not_replaced,
    the_tag_of_a_key_does_not_depend_on_its_last_use,
);

fn path(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/ai-profiles")
}

fn profile(name: &str, is_default: bool) -> Value {
    json!({ "name": name, "role": "sales", "system_prompt": "Be kind.", "is_default": is_default })
}

/// The settings of a new profile.
fn with_notice(mut settings: Value) -> Value {
    settings["notice"] = json!(true);
    settings
}

/// The fields that a refusal names.
fn fields(answer: Answer) -> Vec<String> {
    let problem = answer.expect(400);
    let errors = problem["errors"].as_array().expect("errors");
    errors.iter().map(|error| error["field"].as_str().expect("a field").to_owned()).collect()
}

/// Where a new profile is.
async fn made(client: &Client, tenant: Uuid, body: Value) -> String {
    let made = client.post(&path(tenant), body).await.expect(201);
    format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"))
}

/// The names of the tenant's default profiles.
async fn defaults(client: &Client, tenant: Uuid) -> Vec<String> {
    let list = client.get(&format!("{}?is_default=true", path(tenant))).await.expect(200);
    let items = list["items"].as_array().expect("items");
    items.iter().map(|profile| profile["name"].as_str().expect("a name").to_owned()).collect()
}

async fn a_tenant_has_profiles(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let settings = json!({
        "greeting": "Bakery, good morning!", "language": "en-GB", "stt": "openai", "llm": "openai",
        "tts": "openai", "stt_model": "whisper-1", "llm_model": "gpt-5.6-sol", "tts_model": "tts-1-hd",
        "voice": "nova", "phrases": { "closed": "We are asleep." }, "turn": { "max_turns": 9 },
        "hours": {
            "timezone": "Europe/London",
            "weekly": { "saturday": [{ "from": "06:00", "to": "13:00" }] }, "closed_on": ["2026-12-25"],
        },
        "tools": ["end_call"],
    });
    let mut body = profile("Front desk", false);
    body["settings"] = settings.clone();
    let made = admin.post(&path(tenant), body).await.expect(201);
    let expected = json!({
        "id": made["id"], "tenant_id": tenant, "name": "Front desk", "role": "sales", "system_prompt": "Be kind.",
        "is_default": false, "settings": with_notice(settings), "version": 1, "created_at": made["created_at"],
    });
    assert_eq!(made, expected);
    let at = format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"));
    assert_eq!(admin.get(&at).await.expect(200), made);
    for role in ["receptionist", "sales", "support", "dispatcher", "custom"] {
        assert_eq!(admin.patch(&at, json!({ "role": role })).await.expect(200)["role"], role);
    }
    let changes = json!({ "name": "Night", "system_prompt": "Be brief.", "settings": { "language": "de" } });
    let changed = admin.patch(&at, changes).await.expect(200);
    assert_eq!((&changed["name"], &changed["system_prompt"]), (&json!("Night"), &json!("Be brief.")));
    assert_eq!(
        (&changed["settings"]["language"], &changed["settings"]["voice"]),
        (&json!("de"), &json!("nova"))
    );
    assert_eq!(
        admin.get(&path(tenant)).await.expect(200),
        json!({ "items": [changed], "next_cursor": null })
    );
    for missing in [Uuid::now_v7().to_string(), "none".to_owned()] {
        let missing = format!("{}/{missing}", path(tenant));
        assert_eq!(admin.get(&missing).await.problem(404), "not_found");
        assert_eq!(admin.patch(&missing, json!({ "name": "x" })).await.problem(404), "not_found");
        assert_eq!(admin.get(&format!("{missing}/versions")).await.problem(404), "not_found");
    }
    let nowhere = path(Uuid::now_v7());
    assert_eq!(api.operator.post(&nowhere, profile("x", false)).await.problem(404), "not_found");
}

async fn every_flaw_is_named_at_once(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let settings = json!({
        "language": "de_DE", "stt": "crystal-ball", "phrases": { "hello": "x" },
        "turn": { "max_turns": 0, "silence_ms": 99_999_999_999_u64 },
        "hours": { "timezone": "Mars/Base", "weekly": { "monday": [{ "from": "9", "to": "17:00" }] } },
        "tools": ["fly"],
    });
    let body = json!({ "name": " ", "system_prompt": " ", "settings": settings });
    let answer = admin.post(&path(tenant), body).await.expect(400);
    let errors = answer["errors"].as_array().expect("errors");
    let fields: Vec<&str> = errors.iter().map(|error| error["field"].as_str().expect("a field")).collect();
    let expected = [
        "name",
        "system_prompt",
        "settings.language",
        "settings.stt",
        "settings.phrases.hello",
        "settings.turn.max_turns",
        "settings.turn.silence_ms",
        "settings.hours.timezone",
        "settings.hours.weekly.monday.0.from",
        "settings.tools.0",
    ];
    assert_eq!(fields, expected);
    for (body, field) in [
        (json!({ "name": "x" }), "system_prompt"),
        (json!({ "name": "x", "system_prompt": "" }), "system_prompt"),
        (json!({ "name": "x", "system_prompt": "y", "role": "pirate" }), "role"),
        (json!({ "name": "x", "system_prompt": "y", "version": 3 }), "version"),
        (json!({ "name": "x", "system_prompt": "y", "settings": { "speed": 1 } }), "settings.speed"),
        (
            json!({ "name": "x", "system_prompt": "y", "settings": { "turn": { "max_turns": "a" } } }),
            "settings.turn.max_turns",
        ),
    ] {
        let answer = admin.post(&path(tenant), body.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{body}: {answer}");
    }
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    for body in [
        json!({ "system_prompt": "" }),
        json!({ "name": "" }),
        json!({ "settings": { "tts": "parrot" } }),
        json!({ "is_default": "yes" }),
        json!({ "tenant_id": Uuid::now_v7() }),
    ] {
        admin.patch(&at, body).await.problem(400);
    }
    assert_eq!(admin.get(&at).await.expect(200)["version"], 1, "nothing has changed");
}

/// A voice becomes an argument of a program: neither a URL, a path, an option nor a second line may be one.
async fn names_and_limits_that_are_not_permitted_are_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    for (settings, field, problem) in [
        (json!({ "voice": "http://127.0.0.1:6379/x\r\nFLUSHALL\r\n" }), "settings.voice", "is not accepted"),
        (json!({ "voice": "../../../etc/passwd" }), "settings.voice", "a voice of espeak-ng"),
        (json!({ "tts": "openai", "voice": "a b" }), "settings.voice", "is not accepted"),
        (
            json!({ "llm": "openai", "llm_model": "gpt-5-pro" }),
            "settings.llm_model",
            "use one of gpt-5.4-mini, gpt-5.6-sol",
        ),
        (json!({ "stt": "pocketsphinx", "stt_model": "x" }), "settings.stt_model", "the engine has none"),
        (json!({ "greeting": "\u{1b}[31m" }), "settings.greeting", "U+001B"),
        (
            json!({ "turn": { "max_turns": 501 } }),
            "settings.turn.max_turns",
            "profiles.max_turns: set it to 500",
        ),
        (json!({ "max_reply_tokens": 501 }), "settings.max_reply_tokens", "set it to 500 or less"),
    ] {
        let answer = admin.patch(&at, json!({ "settings": settings })).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        assert!(answer["errors"][0]["problem"].as_str().is_some_and(|it| it.contains(problem)), "{answer}");
    }
    assert_eq!(admin.get(&at).await.expect(200)["version"], 1, "nothing has changed");
    let settings = json!({ "tts": "openai", "voice": "nova", "max_reply_tokens": 500 });
    let changed = admin.patch(&at, json!({ "settings": settings })).await.expect(200);
    assert_eq!(changed["settings"]["max_reply_tokens"], 500);
}

async fn a_new_default_unsets_the_old_one(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (other, stranger) = api.tenant("Brewery").await;
    made(&stranger, other, profile("Theirs", true)).await;
    let first = made(&admin, tenant, profile("First", true)).await;
    assert_eq!(defaults(&admin, tenant).await, ["First"]);
    made(&admin, tenant, profile("Second", true)).await;
    assert_eq!(defaults(&admin, tenant).await, ["Second"], "a new one takes over");
    let back = admin.patch(&first, json!({ "is_default": true })).await.expect(200);
    assert_eq!((&back["is_default"], &back["version"]), (&json!(true), &json!(1)), "its content is the same");
    assert_eq!(defaults(&admin, tenant).await, ["First"]);
    admin.patch(&first, json!({ "is_default": false })).await.expect(200);
    assert_eq!(defaults(&admin, tenant).await, [] as [&str; 0]);
    assert_eq!(defaults(&stranger, other).await, ["Theirs"], "another tenant's stays");
}

async fn many_become_the_default_and_one_stays(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let mut changes = Vec::new();
    for n in 0..8 {
        let at = made(&admin, tenant, profile(&n.to_string(), false)).await;
        let client = admin.clone();
        changes.push(tokio::spawn(async move {
            client.patch(&at, json!({ "is_default": true, "name": format!("{n} now") })).await.expect(200);
        }));
        let client = admin.clone();
        changes.push(tokio::spawn(async move {
            client.post(&path(tenant), profile(&format!("{n} new"), true)).await.expect(201);
        }));
    }
    for change in changes {
        change.await.expect("they wait for each other; none fails");
    }
    assert_eq!(defaults(&admin, tenant).await.len(), 1);
}

async fn every_change_makes_a_version(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    for (changes, version) in [
        (json!({ "system_prompt": "Be brief." }), 2),
        (json!({ "system_prompt": "Be brief." }), 2),
        (json!({ "is_default": false }), 2),
        (json!({ "role": "support", "is_default": true }), 3),
        (json!({ "settings": { "voice": "slt" } }), 4),
        (json!({}), 4),
    ] {
        assert_eq!(admin.patch(&at, changes.clone()).await.expect(200)["version"], version, "{changes}");
    }
    let page = admin.get(&format!("{at}/versions?limit=3")).await.expect(200);
    let numbers = |page: &Value| -> Vec<u64> {
        page["items"].as_array().expect("items").iter().filter_map(|it| it["version"].as_u64()).collect()
    };
    assert_eq!(numbers(&page), [4, 3, 2]);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let rest = admin.get(&format!("{at}/versions?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!((numbers(&rest), &rest["next_cursor"]), (vec![1], &Value::Null));
    let first = admin.get(&format!("{at}/versions/1")).await.expect(200);
    assert_eq!((&first["system_prompt"], &first["role"]), (&json!("Be kind."), &json!("sales")));
    assert!(first["created_by"].as_str().is_some_and(|by| by.starts_with("key ")), "{first}");
    assert_eq!(admin.get(&format!("{at}/versions/2")).await.expect(200)["system_prompt"], "Be brief.");
    for missing in ["5", "0", "-1", "x", "99999999999"] {
        assert_eq!(admin.get(&format!("{at}/versions/{missing}")).await.problem(404), "not_found");
    }
    // Ten changes at once are ten versions.
    let changes = (0..10).map(|n| {
        let (client, at) = (admin.clone(), at.clone());
        tokio::spawn(
            async move { client.patch(&at, json!({ "name": format!("Name {n}") })).await.expect(200) },
        )
    });
    let mut versions = Vec::new();
    for change in changes.collect::<Vec<_>>() {
        versions.extend(change.await.expect("an answer")["version"].as_u64());
    }
    versions.sort_unstable();
    assert_eq!(versions, (5..15).collect::<Vec<_>>());
}

async fn a_version_is_rolled_back_to(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    let before = admin.get(&at).await.expect(200);
    let changes =
        json!({ "name": "New", "role": "custom", "system_prompt": "Shout.", "settings": { "voice": "kal" } });
    admin.patch(&at, changes).await.expect(200);
    let rollback = format!("{at}/rollback");
    for version in [3, 3] {
        let mut expected = before.clone();
        expected["version"] = json!(version);
        assert_eq!(admin.post(&rollback, json!({ "version": 1 })).await.expect(200), expected);
    }
    assert_eq!(admin.get(&format!("{at}/versions/2")).await.expect(200)["system_prompt"], "Shout.");
    assert_eq!(admin.post(&rollback, json!({ "version": 9 })).await.problem(404), "not_found");
    for body in [json!({}), json!({ "version": "1" }), json!({ "version": -1 }), json!({ "to": 1 })] {
        admin.post(&rollback, body).await.problem(400);
    }
    let missing = format!("{}/{}/rollback", path(tenant), Uuid::now_v7());
    assert_eq!(admin.post(&missing, json!({ "version": 1 })).await.problem(404), "not_found");
}

/// What a call is routed by is read from the database at its ring, and is its own from then on.
async fn the_next_call_has_the_new_version(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let did = "+493055500100";
    let numbers = format!("/api/tenants/{tenant}/phone-numbers");
    api.operator.post(&numbers, json!({ "did_number": did })).await.expect(201);
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    let routing = vca::store::Routing::new(api.store.clone(), &Default::default());
    let route = async || {
        let found = routing.dialled(did).await.expect("an answer").expect("a route");
        found.1
    };
    let running = route().await;
    admin.patch(&at, json!({ "system_prompt": "Be brief." })).await.expect(200);
    let next = route().await;
    let seen = |route: &vca::tenancy::Route| {
        let profile = route.profile.as_ref().expect("a profile");
        (profile.version, profile.system_prompt.clone())
    };
    assert_eq!(seen(&running), (1, "Be kind.".to_owned()));
    assert_eq!(seen(&next), (2, "Be brief.".to_owned()));
    admin.post(&format!("{at}/rollback"), json!({ "version": 1 })).await.expect(200);
    assert_eq!(seen(&*route().await), (3, "Be kind.".to_owned()));
}

async fn profiles_are_filtered_and_paged(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    for n in 0..3 {
        made(&admin, tenant, profile(&n.to_string(), n == 1)).await;
    }
    let at = path(tenant);
    let first = admin.get(&format!("{at}?limit=2&role=sales")).await.expect(200);
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let rest = admin.get(&format!("{at}?limit=2&role=sales&cursor={cursor}")).await.expect(200);
    assert_eq!(
        (first["items"][0]["name"].as_str(), rest["items"][0]["name"].as_str()),
        (Some("0"), Some("2"))
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    assert_eq!(admin.get(&format!("{at}?role=support")).await.expect(200)["items"], json!([]));
    for query in ["role=pirate", "is_default=1x", "limit=501"] {
        admin.get(&format!("{at}?{query}")).await.problem(400);
    }
}

async fn another_tenants_profiles_are_not_there(api: ApiServer) {
    let (mine, me) = api.tenant("Mine").await;
    let (theirs, them) = api.tenant("Theirs").await;
    let at = made(&me, mine, profile("Mine", true)).await;
    let before = me.get(&at).await.expect(200);
    // My profile below their own tenant, and below mine.
    for at in [at.clone(), at.replace(&mine.to_string(), &theirs.to_string())] {
        for answer in [
            them.get(&at).await,
            them.patch(&at, json!({ "is_default": true })).await,
            them.get(&format!("{at}/versions")).await,
            them.get(&format!("{at}/versions/1")).await,
            them.post(&format!("{at}/rollback"), json!({ "version": 1 })).await,
        ] {
            assert_eq!(answer.problem(404), "not_found");
        }
    }
    assert_eq!(me.get(&at).await.expect(200), before);
}

async fn a_viewer_looks_and_changes_nothing(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    viewer.get(&at).await.expect(200);
    viewer.get(&format!("{at}/versions/1")).await.expect(200);
    for answer in [
        viewer.post(&path(tenant), profile("x", false)).await,
        viewer.patch(&at, json!({ "name": "x" })).await,
        viewer.post(&format!("{at}/rollback"), json!({ "version": 1 })).await,
    ] {
        assert_eq!(answer.problem(403), "read_only_key");
    }
    assert_eq!(api.nobody().get(&at).await.problem(401), "unauthorized");
}

/// JSON merge patch (RFC 7396), at every depth; what is merged is checked as a whole.
async fn a_change_of_settings_leaves_the_others(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let mut body = profile("Front desk", true);
    body["settings"] = json!({
        "greeting": "Hello!", "tools": ["end_call"], "turn": { "max_turns": 9, "silence_ms": 5_000 },
        "phrases": { "closed": "We are closed.", "goodbye": "Bye." },
        "hours": { "timezone": "Europe/Berlin", "weekly": {
            "monday": [{ "from": "09:00", "to": "17:00" }], "friday": [{ "from": "09:00", "to": "12:00" }] } },
    });
    let at = made(&admin, tenant, body).await;
    let patch = json!({ "settings": {
        "voice": "nova", "greeting": null, "turn": { "max_turns": 12, "silence_ms": null },
        "phrases": { "goodbye": null, "filler": "One moment." }, "hours": { "weekly": { "friday": null } },
    } });
    let settings = admin.patch(&at, patch).await.expect(200)["settings"].clone();
    let expected = json!({
        "voice": "nova", "greeting": null, "tools": ["end_call"], "turn": { "max_turns": 12 },
        "phrases": { "closed": "We are closed.", "filler": "One moment." },
        "hours": { "timezone": "Europe/Berlin", "weekly": { "monday": [{ "from": "09:00", "to": "17:00" }] },
            "closed_on": [] },
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&settings[name], value, "{name}");
    }
    for (patch, field) in [
        (json!({ "settings": { "hours": { "timezone": null } } }), "settings.hours.timezone"),
        (json!({ "settings": { "turn": { "max_turns": "many" } } }), "settings.turn.max_turns"),
        (json!({ "settings": { "turn": [] } }), "settings.turn"),
        (json!({ "settings": { "turn": { "dtmf": "loud" } } }), "settings.turn.dtmf"),
        (json!({ "settings": { "turn": { "patience": 1 } } }), "settings.turn.patience"),
        (json!({ "settings": "none" }), "settings"),
        (json!({ "name": null }), "name"),
        (json!({ "role": null }), "role"),
        (json!({ "is_default": null }), "is_default"),
    ] {
        let refused = admin.patch(&at, patch.clone()).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{patch}: {refused:#}");
    }
    let unchanged = admin.get(&at).await.expect(200);
    assert_eq!((&unchanged["settings"], &unchanged["version"]), (&settings, &json!(2)));
    let cleared = admin.patch(&at, json!({ "settings": null })).await.expect(200);
    assert_eq!((&cleared["settings"]["voice"], &cleared["settings"]["tools"]), (&Value::Null, &json!([])));
}

async fn settings_are_replaced_as_a_whole(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let mut body = profile("Front desk", true);
    body["settings"] = json!({ "greeting": "Hello!", "voice": "nova" });
    let at = made(&admin, tenant, body).await;
    let replaced = admin.put(&format!("{at}/settings"), json!({ "greeting": "Hi!" })).await.expect(200);
    assert_eq!(
        (&replaced["settings"]["greeting"], &replaced["settings"]["voice"]),
        (&json!("Hi!"), &Value::Null)
    );
    let refused = admin.put(&format!("{at}/settings"), json!({ "stt": "crystal-ball" })).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "settings.stt");
}

fn etag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().expect("text").to_owned()
}

async fn a_change_of_what_has_changed_meanwhile_is_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let webhook = json!({ "url": "https://example.com/hooks", "events": ["call.ended"] });
    let webhook = admin.post(&format!("/api/tenants/{tenant}/webhooks"), webhook).await.expect(201);
    let numbers = format!("/api/tenants/{tenant}/phone-numbers");
    let number = api.operator.post(&numbers, json!({ "did_number": "+493055500100" })).await.expect(201);
    let number = format!("{numbers}/{}", number["id"].as_str().expect("an id"));
    for (at, client, change, other) in [
        (
            made(&admin, tenant, profile("Front desk", true)).await,
            &admin,
            json!({ "is_default": false }),
            json!({ "name": "Night" }),
        ),
        (
            format!("/api/tenants/{tenant}/webhooks/{}", webhook["id"].as_str().expect("an id")),
            &admin,
            json!({ "is_active": false }),
            json!({ "is_active": true }),
        ),
        (
            format!("/api/tenants/{tenant}"),
            &api.operator,
            json!({ "plan": "custom" }),
            json!({ "plan": "starter" }),
        ),
        (number.clone(), &admin, json!({ "is_active": false }), json!({ "is_active": true })),
    ] {
        let read = etag(&client.get(&at).await);
        let changed = client.patch_if(&read, &at, change).await;
        assert_eq!(changed.status, 200, "{at}");
        assert_ne!(etag(&changed), read, "{at}");
        assert_eq!(etag(&client.get(&at).await), etag(&changed), "{at}");
        assert_eq!(
            client.patch_if(&read, &at, other.clone()).await.problem(412),
            "changed_meanwhile",
            "{at}"
        );
        assert_eq!(client.get(&at).await.expect(200), changed.body, "{at}");
        client.patch_if("*", &at, other).await.expect(200);
    }
    let webhook = format!("/api/tenants/{tenant}/webhooks/{}", webhook["id"].as_str().expect("an id"));
    let keys = format!("/api/tenants/{tenant}/keys");
    let key = json!({ "name": "Spare", "role": "tenant_viewer" });
    let key = admin.post(&keys, key).await.expect(201)["id"].as_str().expect("an id").to_owned();
    let (operators, tenants) = (format!("/api/keys/{key}"), format!("{keys}/{key}"));
    for (at, client, status) in [
        (&webhook, &admin, 204),
        (&number, &admin, 204),
        (&tenants, &admin, 200),
        (&operators, &api.operator, 200),
        (&format!("/api/tenants/{tenant}"), &api.operator, 200),
    ] {
        assert_eq!(client.delete_if("\"other\"", at).await.problem(412), "changed_meanwhile", "{at}");
        let read = etag(&client.get(at).await);
        assert_eq!(client.delete_if(&read, at).await.status.as_u16(), status, "{at}");
    }
}

async fn retention_periods_that_have_changed_meanwhile_are_not_replaced(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = format!("/api/tenants/{tenant}/retention");
    let read = etag(&admin.get(&at).await);
    let changed = admin.put_if(&read, &at, json!({ "audit_days": 365 })).await;
    assert_eq!(changed.status, 200);
    assert_ne!(etag(&changed), read);
    assert_eq!(etag(&admin.get(&at).await), etag(&changed));
    assert_eq!(admin.put_if(&read, &at, json!({})).await.problem(412), "changed_meanwhile");
    assert_eq!(admin.get(&at).await.expect(200), changed.body);
    admin.put_if("*", &at, json!({})).await.expect(200);
}

/// A key that is in use keeps its tag.
async fn the_tag_of_a_key_does_not_depend_on_its_last_use(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let key = admin.get("/api/whoami").await.expect(200)["key"]["id"].as_str().expect("an id").to_owned();
    let at = format!("/api/tenants/{tenant}/keys/{key}");
    let read = etag(&admin.get(&at).await);
    let used = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    api.store.touch_key(key.parse().expect("an id"), used).await.expect("it is written");
    let after = admin.get(&at).await;
    assert_ne!(after.body["last_used_at"], Value::Null);
    assert_eq!(etag(&after), read);
    assert_eq!(admin.delete_if(&read, &at).await.status, 200);
}

/// The tag is compared within the transaction of the change: compared before it, several would pass.
async fn of_changes_at_once_with_one_etag_one_is_made(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    let read = etag(&admin.get(&at).await);
    let changes = (0..8).map(|n| admin.patch_if(&read, &at, json!({ "name": format!("ApiState {n}") })));
    let answers = futures_util::future::join_all(changes).await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [200, 412].contains(&answer.status.as_u16())), "{answers:?}");
}

async fn a_new_profile_has_a_notice_unless_it_is_turned_off(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    assert_eq!(admin.get(&at).await.expect(200)["settings"]["notice"], true);
    let changed = admin.patch(&at, json!({ "settings": { "notice": false } })).await.expect(200);
    assert_eq!(changed["settings"]["notice"], false);
    let mut body = profile("Night", false);
    body["settings"] = json!({ "notice": false });
    let at = made(&admin, tenant, body).await;
    assert_eq!(admin.get(&at).await.expect(200)["settings"]["notice"], false);
}

async fn settings_of_noise_are_set_and_reset(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = made(&admin, tenant, profile("Front desk", true)).await;
    let set = json!({ "settings": { "noise_suppression": "recognition_and_voice", "comfort_noise": true } });
    let changed = admin.patch(&at, set).await.expect(200);
    assert_eq!(changed["settings"]["noise_suppression"], "recognition_and_voice");
    assert_eq!(changed["settings"]["comfort_noise"], true);
    for refused in [json!({ "noise_suppression": "much" }), json!({ "comfort_noise": -60 })] {
        let answer = admin.patch(&at, json!({ "settings": refused })).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{answer:?}");
    }
    let unset = json!({ "settings": { "noise_suppression": null, "comfort_noise": null } });
    let changed = admin.patch(&at, unset).await.expect(200);
    assert_eq!(
        (&changed["settings"]["noise_suppression"], &changed["settings"]["comfort_noise"]),
        (&json!(null), &json!(null))
    );
}

async fn variables_fit_prompt_and_settings(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let mut body = profile("Front desk", true);
    body["system_prompt"] = json!("You work for {{shop}}. It is {{now}}.");
    let refused = admin.post(&path(tenant), body.clone()).await;
    assert_eq!(fields(refused), ["system_prompt"]);
    body["settings"] = json!({ "variables": { "shop": "Roth" }, "greeting": "{{shop}}, hello {{caller}}." });
    let at = made(&admin, tenant, body).await;
    let refused = admin.patch(&at, json!({ "settings": { "variables": { "shop": null } } })).await;
    assert_eq!(fields(refused), ["system_prompt", "settings.greeting"], "the prompt needs it");
    let refused = admin.patch(&at, json!({ "system_prompt": "{{sip.X-Id}}" })).await;
    assert_eq!(fields(refused), ["system_prompt"], "the operator has not named the header");
    let refused = admin.patch(&at, json!({ "settings": { "variables": { "now": "never" } } })).await;
    assert_eq!(fields(refused), ["settings.variables.now"]);
    let kept = admin.patch(&at, json!({ "system_prompt": "{{date}} {{hours}}" })).await.expect(200);
    assert_eq!(kept["settings"]["variables"]["shop"], "Roth");
}
