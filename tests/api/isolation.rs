//! Every operation of the OpenAPI document, walked by a stranger: with another tenant's id in the path, and with the
//! stranger's own tenant and another's ids behind it, in paths and in queries.
//!
//! An operation that is new and not provided for here fails the test.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::media::Port;
use vca::tenancy::Month;

use super::api_server::{Answer, ApiServer, Client};
use super::{calls, on_both};

on_both!(
    another_tenant_reaches_nothing,
    another_tenants_ids_lead_nowhere,
    another_tenants_ids_find_nothing_in_lists,
);

/// Routes that are the operator's alone: 403 for every key of a tenant's.
const OPERATORS: &[&str] = &[
    "/api/tenants",
    "/api/keys",
    "/api/keys/{key_id}",
    "/api/keys/{key_id}/rotate",
    "/api/audit",
    "/api/usage",
    "/api/held-statements",
    "/api/calls/live",
    "/api/calls/{call_id}/audio",
    "/api/analytics",
    "/api/unmatched-numbers",
    "/api/number-inventory",
    "/api/number-inventory/{inventory_number_id}",
];

/// Routes that need no key, or one of another kind.
const OPEN: &[&str] = &["/api/whoami", "/internal/telephony/inbound"];

/// What is within a tenant begins so.
const TENANT: &str = "/api/tenants/{tenant_id}";

/// Parameters of paths that name nothing that is somebody's.
const PLAIN: &[&str] = &["version", "month"];

/// Answers that never end, or that tell of the moment at which they were asked for.
const UNSTEADY: &[&str] = &[
    "/api/tenants/{tenant_id}/calls/{call_id}/events",
    "/api/tenants/{tenant_id}/calls/{call_id}/audio",
    "/api/tenants/{tenant_id}/analytics",
    "/api/tenants/{tenant_id}/analytics/results",
];

/// How long an answer may take: a stream that a stranger should not have been given has no end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a tenant's things are called, by the names that paths and queries have for them.
type Ids = BTreeMap<&'static str, String>;

/// Two tenants with one of everything each.
struct Two {
    api: ApiServer,
    document: Value,
    owner: Client,
    /// The owner's.
    mine: Ids,
    stranger: Client,
    /// The stranger's own.
    own: Ids,
    /// The audio of their calls.
    _audio: Mutex<[Port; 2]>,
}

impl Two {
    async fn of(api: ApiServer) -> Two {
        let document = api.nobody().get("/openapi.json").await.expect(200);
        let (tenant, owner) = api.tenant("Mine").await;
        let (mine, mine_audio) = things(&api, tenant, &owner).await;
        // The stranger's call rings last: it is the one that the server's lines tell of an end.
        let (tenant, stranger) = api.tenant("Stranger").await;
        let (own, own_audio) = things(&api, tenant, &stranger).await;
        Two { api, document, owner, mine, stranger, own, _audio: Mutex::new([mine_audio, own_audio]) }
    }
}

/// Makes one of everything that a tenant can have.
async fn things(api: &ApiServer, tenant: Uuid, owner: &Client) -> (Ids, Port) {
    let line = calls::Line::of(api, tenant).await;
    let analysis = json!({ "settings": { "analysis": { "enabled": true, "summary": true } } });
    let profile = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    owner.patch(&profile, analysis).await.expect(200);
    let call = line.record(line.lasted(Utc::now(), 60)).await;
    line.turn(&call, 1, json!({ "caller_text": "Are you open?" })).await;
    line.scope.end_call(&call, &[]).await.expect("it is counted");
    api.lines.ring(&call);
    let (port, _) = vca::media::link(vca::audio::codec::Format::Ulaw);
    api.lines.set_audio(port.tap_point());
    let opinion = json!({ "rating": 4, "comment": "Well done." });
    let feedback = made(owner, tenant, &format!("calls/{}/feedback", call.id), opinion).await;
    let key = made(owner, tenant, "keys", json!({ "name": "Spare", "role": "tenant_viewer" })).await;
    let target = json!({ "name": "shop", "description": "Orders.", "kind": "queue", "address": "shop" });
    let target = text(&made(owner, tenant, "transfer-targets", target).await, "id");
    let webhook = json!({ "url": "https://example.com/hooks", "events": ["call.ended"] });
    let webhook = text(&made(owner, tenant, "webhooks", webhook).await, "id");
    let asked = format!("/api/tenants/{tenant}/phone-numbers/{}/pre-call-webhook", line.number);
    // The port is closed, so a trial ends at once.
    let tenants = format!("/api/tenants/{tenant}/pre-call-webhook");
    for asked in [asked, tenants] {
        owner.put(&asked, json!({ "url": "http://127.0.0.1:9/calls" })).await.expect(201);
    }
    let secret = json!({ "name": "shop", "secret": "Bearer s3cret" });
    let secret = text(&made(owner, tenant, "tool-secrets", secret).await, "id");
    let engine = json!({ "name": "acme", "kind": "llm", "api": "openai", "key": "k", "base_url": "http://127.0.0.1:9" });
    let engine = text(&made(owner, tenant, "engine-credentials", engine).await, "id");
    let ping = format!("/api/tenants/{tenant}/webhooks/{webhook}/ping");
    let delivery = owner.post(&ping, json!({})).await.expect(202);
    owner.put(&format!("/api/tenants/{tenant}/retention"), json!({ "audit_days": 365 })).await.expect(200);
    // The operator's own, of the tenant's number.
    let inventory = api.operator.get(&format!("/api/number-inventory?tenant_id={tenant}")).await.expect(200);
    let ids = BTreeMap::from([
        ("tenant_id", tenant.to_string()),
        ("inventory_number_id", text(&inventory["items"][0], "id")),
        ("phone_number_id", line.number.to_string()),
        ("ai_profile_id", line.profile.to_string()),
        ("version", "1".to_owned()),
        ("call_id", call.id.to_string()),
        ("feedback_id", text(&feedback, "id")),
        ("month", Month::of(Utc::now()).to_string()),
        ("webhook_id", webhook),
        ("tool_secret_id", secret),
        ("engine_credential_id", engine),
        ("transfer_target_id", target),
        ("delivery_id", text(&delivery, "id")),
        ("key_id", text(&key, "id")),
        // Of queries: where a key's secret begins, what an entry of the audit log is about, where a page begins.
        ("prefix", text(&key, "prefix")),
        ("resource_id", line.number.to_string()),
        ("cursor", call.id.to_string()),
    ]);
    (ids, port)
}

/// Something new of a tenant's.
async fn made(owner: &Client, tenant: Uuid, what: &str, body: Value) -> Value {
    owner.post(&format!("/api/tenants/{tenant}/{what}"), body).await.expect(201)
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value:#}")).to_owned()
}

/// An operation of the document.
struct Operation<'a> {
    method: Method,
    path: &'a str,
    about: &'a Value,
}

impl<'a> Operation<'a> {
    /// All of them; those that delete or end a call are the last ones, so that the others find what they ask for.
    fn all(document: &'a Value) -> Vec<Operation<'a>> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, about) in item.as_object().expect("methods") {
                let method: Method = method.to_uppercase().parse().expect("a method");
                all.push(Operation { method, path, about });
            }
        }
        // A thing is deleted after what belongs to it, and a call is analysed before its profile is changed.
        all.sort_by_key(|operation| {
            let is_delete = operation.method == Method::DELETE;
            let depth = if is_delete { operation.path.split('/').count() } else { usize::MAX };
            let is_late = is_delete || operation.path.ends_with("/hang-up");
            (!operation.path.ends_with("/analysis"), is_late, Reverse(depth))
        });
        all
    }

    fn is_tenants(&self) -> bool {
        self.path.starts_with(TENANT)
    }

    /// The parameters of its path that name a thing within a tenant.
    fn ids(&self) -> Vec<&'a str> {
        let names = self.path.split('/').filter_map(parameter);
        names.filter(|name| *name != "tenant_id" && !PLAIN.contains(name)).collect()
    }

    /// The parameters of its query that can name a thing.
    fn filters(&self) -> Vec<&'a str> {
        let parameters = self.about["parameters"].as_array().into_iter().flatten();
        let names = parameters.filter(|it| it["in"] == "query").filter_map(|it| it["name"].as_str());
        names.filter(|name| is_id(name) || ["prefix", "cursor"].contains(name)).collect()
    }

    /// Does it take a period?
    fn has_period(&self) -> bool {
        let parameters = self.about["parameters"].as_array().into_iter().flatten();
        parameters.filter(|it| it["in"] == "query" && it["name"] == "from").count() > 0
    }

    /// Asks for it with a complete body, where it takes one.
    async fn ask(&self, client: &Client, filled: &str) -> Answer {
        let body = self.about["requestBody"].is_object().then(|| complete_body(self.path).to_string());
        let answer = tokio::time::timeout(TIMEOUT, client.send(self.method.clone(), filled, body)).await;
        answer.unwrap_or_else(|_| panic!("{} {filled} does not end", self.method))
    }

    /// How it is answered, without a wait for the end of a stream.
    async fn status(&self, client: &Client, filled: &str) -> StatusCode {
        if self.method == Method::GET {
            client.open(filled, &[]).await.status()
        } else {
            self.ask(client, filled).await.status
        }
    }
}

/// A body that is accepted: what is wrong with a stranger's request is an id in its path, and nothing else.
fn complete_body(path: &str) -> Value {
    match path.strip_prefix(TENANT).unwrap_or(path) {
        "/phone-numbers/{phone_number_id}" => json!({ "is_active": false }),
        "/phone-numbers/{phone_number_id}/routing" => json!({ "profiles": [], "closed_profile_id": null }),
        "/phone-numbers/{phone_number_id}/routing/rollback" => json!({ "version": 1 }),
        "/phone-numbers/{phone_number_id}/pre-call-webhook" => json!({ "url": "http://127.0.0.1:9/taken" }),
        "/phone-numbers/{phone_number_id}/pre-call-webhook/test" => json!({}),
        "/ai-profiles/{ai_profile_id}" => json!({
            "name": "Taken", "role": "sales", "system_prompt": "Be rude.", "is_default": true, "settings": {},
        }),
        "/ai-profiles/{ai_profile_id}/settings" => json!({ "greeting": "Taken." }),
        "/ai-profiles/{ai_profile_id}/rollback" => json!({ "version": 1 }),
        "/calls/{call_id}/say" => json!({ "text": "Goodbye.", "interrupt": true }),
        "/calls/{call_id}/notes" => json!({ "text": "Be rude." }),
        "/calls/{call_id}/mute" => json!({ "seconds": 60 }),
        "/calls/{call_id}/transfer" => json!({ "target": "shop", "take_over": true }),
        "/calls/{call_id}/analysis/try" => json!({ "analysis": { "summary": true } }),
        "/calls/{call_id}/feedback" => json!({ "rating": 1, "comment": "Awful.", "source": "stranger" }),
        "/engine-credentials/{engine_credential_id}" => json!({ "key": "other" }),
        "/tool-secrets/{tool_secret_id}" => json!({ "secret": "Bearer other" }),
        "/webhooks/{webhook_id}" => json!({
            "url": "https://example.com/taken", "events": ["call.started"], "is_active": true,
        }),
        "/transfer-targets/{transfer_target_id}" => json!({ "description": "Taken.", "method": "dialplan" }),
        "/keys/{key_id}/rotate" => json!({ "grace_minutes": 0 }),
        _ => panic!("{path} takes a body that is new: say in this test how a complete one looks"),
    }
}

fn is_id(name: &str) -> bool {
    name.ends_with("_id") || name.ends_with("_ids")
}

/// The name of a parameter, if this part of a path is one.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// The path with these ids in the place of its parameters.
fn fill(path: &str, ids: &Ids) -> String {
    let segments = path.split('/').map(|segment| {
        let Some(name) = parameter(segment) else { return segment.to_owned() };
        let id = ids.get(name);
        id.unwrap_or_else(|| panic!("{path}: make a {name} of each tenant's in this test")).clone()
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The paths that lead from the stranger's own tenant to another's things: all ids are the other's, or one of them is.
fn strayed(operation: &Operation<'_>, own: &Ids, foreign: &Ids) -> BTreeSet<String> {
    let names = operation.ids();
    let swapped = |names: &[&str]| {
        let mut ids = own.clone();
        let foreign = foreign.iter().filter(|(name, _)| names.contains(*name));
        ids.extend(foreign.map(|(name, id)| (*name, id.clone())));
        fill(operation.path, &ids)
    };
    let mut paths: BTreeSet<String> = names.iter().map(|name| swapped(&[*name])).collect();
    paths.insert(swapped(&names));
    paths
}

/// Everything of the owner's that can be read, as the operator reads it: no key of the tenant's is used by that. What it
/// adds itself to the audit log is left out.
async fn shown(two: &Two) -> BTreeMap<String, Value> {
    let mut shown = BTreeMap::new();
    for operation in Operation::all(&two.document) {
        let is_steady = !UNSTEADY.contains(&operation.path);
        if operation.is_tenants() && operation.method == Method::GET && is_steady {
            let path = fill(operation.path, &two.mine);
            let answer = two.api.operator.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
            let mut body = answer.body;
            if path.ends_with("/audit")
                && let Some(entries) = body["items"].as_array_mut()
            {
                entries.retain(|entry| entry["action"] != "read_transcript");
            }
            shown.insert(path, body);
        }
    }
    shown
}

async fn another_tenant_reaches_nothing(api: ApiServer) {
    let two = Two::of(api).await;
    let before = shown(&two).await;
    let mut walked = 0;
    for Operation { method, path, .. } in Operation::all(&two.document) {
        let filled = fill(path, &two.mine);
        let body = (method != Method::GET).then(|| json!({}).to_string());
        let answer = two.stranger.send(method.clone(), &filled, body).await;
        let expected = match path {
            path if OPEN.contains(&path) => continue,
            path if OPERATORS.contains(&path) => 403,
            // What only the operator may do with a tenant tells a tenant's key so, whichever tenant it is.
            TENANT if [Method::PATCH, Method::DELETE].contains(&method) => 403,
            "/api/tenants/{tenant_id}/purge" => 403,
            path if path.starts_with(TENANT) => 404,
            path => panic!("{method} {path} is new: say in this test who may reach it"),
        };
        assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {:#}", answer.body);
        walked += 1;
    }
    assert!(walked >= 40, "only {walked} operations were walked");
    assert_eq!(shown(&two).await, before);
}

/// With the right tenant in the path and another's things behind it.
async fn another_tenants_ids_lead_nowhere(api: ApiServer) {
    let two = Two::of(api).await;
    let mut operations = Operation::all(&two.document);
    operations.retain(|operation| operation.is_tenants() && !operation.ids().is_empty());
    let before = shown(&two).await;
    for operation in &operations {
        for path in strayed(operation, &two.own, &two.mine) {
            let answer = operation.ask(&two.stranger, &path).await;
            let place = format!("{} {} as {path}", operation.method, operation.path);
            assert_eq!(answer.status, 404, "{place}: {:#}", answer.body);
            assert_eq!(answer.problem(404), "not_found", "{place}");
        }
    }
    assert_eq!(shown(&two).await, before);
    // The same requests are answered where the ids are the stranger's own: nothing else was wrong with them.
    for operation in &operations {
        let path = fill(operation.path, &two.own);
        let status = operation.status(&two.stranger, &path).await;
        assert!(status.is_success(), "{} {path}: {status}", operation.method);
    }
    assert!(operations.len() >= 28, "only {} operations were walked", operations.len());
}

/// Another's id is answered like one that is nobody's.
async fn another_tenants_ids_find_nothing_in_lists(api: ApiServer) {
    let two = Two::of(api).await;
    let nobodys = Uuid::now_v7().to_string();
    let mut operations = Operation::all(&two.document);
    operations.retain(Operation::is_tenants);
    let mut asked = 0;
    for operation in &operations {
        for name in operation.filters() {
            let id = two.mine.get(name);
            let id = id.unwrap_or_else(|| panic!("{}: make a {name} in this test", operation.path));
            let period = if operation.has_period() { around_now() } else { String::new() };
            let [here, there] =
                [&two.own, &two.mine].map(|ids| format!("{}?{period}{name}=", fill(operation.path, ids)));
            let found = told(&two.stranger, &here, id).await;
            let leaked =
                two.mine.iter().find(|(name, id)| !PLAIN.contains(*name) && found.contains(id.as_str()));
            assert_eq!(leaked, None, "{here}{id}: {found}");
            // Where a page begins is told by any id, whether something has it or not.
            if name != "cursor" {
                assert_eq!(found, told(&two.stranger, &here, &nobodys).await, "{here}{id}");
                let (owners, nothing) =
                    (told(&two.owner, &there, id).await, told(&two.owner, &there, &nobodys).await);
                assert_ne!(owners, nothing, "{there}{id} finds nothing for its owner");
            }
            asked += 1;
        }
    }
    assert!(asked >= 16, "only {asked} filters were asked for");
}

/// What a list tells for a value of a filter, but for the value itself.
async fn told(client: &Client, question: &str, value: &str) -> String {
    let answer = client.get(&format!("{question}{value}")).await;
    assert_eq!(answer.status, 200, "{question}{value}: {:#}", answer.body);
    answer.body.to_string().replace(value, "")
}

/// A period that the present is in.
fn around_now() -> String {
    let at = |days| (Utc::now() + TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("from={}&to={}&", at(-1), at(1))
}

/// Fields of bodies that other tests send with another tenant's id: `another_tenants_calls_are_not_erased` and
/// `another_tenants_profiles_answer_nothing`.
const TRIED_ELSEWHERE: &[(&str, &str)] = &[
    ("/api/tenants/{tenant_id}/erasures", "call_id"),
    (NUMBER_ROUTING, "ai_profile_id"),
    (NUMBER_ROUTING, "closed_profile_id"),
];
const NUMBER_ROUTING: &str = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing";

/// A body that names things would have to be sent with another tenant's, too.
#[test]
fn no_body_names_a_thing() {
    let document = serde_json::to_value(vca::admin::api::document()).expect("JSON");
    for operation in Operation::all(&document).iter().filter(|operation| operation.is_tenants()) {
        let (method, path) = (&operation.method, operation.path);
        let mut named = named(&document, &operation.about["requestBody"], 0);
        named.retain(|name| !TRIED_ELSEWHERE.contains(&(path, name.as_str())));
        assert!(named.is_empty(), "{method} {path} takes {named:?}: send another tenant's in this test");
    }
}

/// The fields of a schema that are ids, with those of the schemas that it refers to.
fn named(document: &Value, schema: &Value, depth: usize) -> Vec<String> {
    assert!(depth < 100, "a schema refers to itself: {schema:#}");
    let within = |value: &Value| named(document, value, depth + 1);
    match schema {
        Value::Object(fields) => {
            let ids = fields.keys().filter(|name| is_id(name)).cloned();
            ids.chain(fields.values().flat_map(within)).collect()
        }
        Value::Array(items) => items.iter().flat_map(within).collect(),
        Value::String(text) => match text.strip_prefix("#/components/schemas/") {
            Some(name) => within(&document["components"]["schemas"][name]),
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}
