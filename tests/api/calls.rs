//! The record of calls over HTTP: lists, filters, one call, its transcript.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::store::{NewNumber, NewProfile, Scope};
use vca::tenancy::{Actor, AgentRole, Call, CallId, CallTurn, ProfileSettings, ProviderType, TenantId};

use super::api_server::{ApiServer, Client};
use super::on_both;

on_both!(
    calls_are_found_by_what_is_known_of_them,
    ten_thousand_calls_are_paged_through,
    a_call_is_shown_with_its_transcript,
    another_tenants_calls_are_not_there,
);

/// A tenant's number and profile, and calls to them.
pub struct Line {
    pub scope: Scope,
    pub number: Uuid,
    pub profile: Uuid,
    did: String,
}

impl Line {
    pub async fn of(api: &ApiServer, tenant: Uuid) -> Line {
        let scope = api.store.scope(TenantId(tenant));
        let did = format!("+4930{:09}", tenant.as_u128() % 1_000_000_000);
        let new = NewNumber { did: did.parse().expect("digits"), provider_type: ProviderType::Generic };
        let number = scope.create_number(&Actor::system(), new).await.expect("a number");
        let new = NewProfile {
            name: "Front desk".into(),
            role: AgentRole::Receptionist,
            system_prompt: "Be kind.".into(),
            is_default: true,
            settings: ProfileSettings::default(),
        };
        let profile = scope.create_profile(&Actor::system(), new).await.expect("a profile");
        Line { scope, number: number.id.0, profile: profile.id.0, did }
    }

    /// A completed call, but for `changes`, that is on record.
    pub async fn record(&self, changes: Value) -> Call {
        let call = self.call(changes);
        self.scope.begin_call(&call).await.expect("a record");
        call
    }

    pub fn call(&self, changes: Value) -> Call {
        let mut call = json!({
            "id": CallId::new(), "tenant_id": self.scope.tenant_id(), "phone_number_id": self.number,
            "ai_profile_id": self.profile, "asterisk_channel_id": "1.1", "direction": "inbound",
            "caller_number": "+15550123", "called_number": self.did, "status": "completed", "ended_by": "caller",
            "disposition": "caller_hung_up", "hangup_cause": 16, "started_at": "2026-03-02T10:00:00Z",
            "answered_at": "2026-03-02T10:00:01Z", "ended_at": "2026-03-02T10:01:01Z", "codec": "ulaw",
            "media": { "loss": 0.5, "mos": 4.2 },
        });
        for (key, value) in changes.as_object().expect("fields") {
            call[key] = value.clone();
        }
        serde_json::from_value(call).expect("a call")
    }

    /// A call that was answered at a moment and lasted so many seconds.
    pub fn lasted(&self, at: DateTime<Utc>, seconds: i64) -> Value {
        json!({ "started_at": at, "answered_at": at, "ended_at": at + TimeDelta::seconds(seconds) })
    }

    /// A turn of a call, on record.
    pub async fn turn(&self, call: &Call, turn: u32, changes: Value) {
        let mut said = json!({
            "call_id": call.id, "tenant_id": call.tenant_id, "turn": turn, "caller_text": "", "agent_text": "Hello!",
            "interrupted": false, "at": call.started_at + TimeDelta::seconds(7 * i64::from(turn)),
        });
        for (key, value) in changes.as_object().expect("fields") {
            said[key] = value.clone();
        }
        let said: CallTurn = serde_json::from_value(said).expect("a turn");
        self.scope.add_turn(&said).await.expect("a record");
    }
}

/// Every id of a list, page by page.
async fn all(client: &Client, path: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = client.get(&format!("{path}{joint}limit={limit}{cursor}")).await.expect(200);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= limit);
        found.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

async fn calls_are_found_by_what_is_known_of_them(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let path = format!("/api/tenants/{tenant}/calls");
    let plain = line.record(json!({})).await.id.to_string();
    let failed = json!({ "status": "failed", "disposition": "failed_engines", "ended_by": "system" });
    let failed = line.record(failed).await.id.to_string();
    let refused =
        json!({ "status": "refused", "ai_profile_id": null, "answered_at": null, "caller_number": null });
    let refused = line.record(refused).await.id.to_string();
    let later = json!({ "started_at": "2026-03-03T10:00:00Z", "caller_number": "49301234",
        "answered_at": "2026-03-03T10:00:00Z", "ended_at": "2026-03-03T10:00:05.5Z" });
    let later = line.record(later).await.id.to_string();
    let (number, profile) = (line.number, line.profile);
    for (query, expected) in [
        ("".to_owned(), vec![&later, &refused, &failed, &plain]),
        ("status=failed".into(), vec![&failed]),
        ("disposition=failed_engines".into(), vec![&failed]),
        (format!("phone_number_id={number}&status=refused"), vec![&refused]),
        (format!("ai_profile_id={profile}"), vec![&later, &failed, &plain]),
        (format!("ai_profile_id={}", Uuid::now_v7()), vec![]),
        ("caller_number=%2B15550123".into(), vec![&failed, &plain]),
        ("caller_number=1 (555) 0123".into(), vec![&failed, &plain]),
        ("caller_number=%2B49301234".into(), vec![&later]),
        ("from=2026-03-03T10:00:00Z".into(), vec![&later]),
        ("to=2026-03-03T11:00:00%2B01:00".into(), vec![&refused, &failed, &plain]),
        ("min_duration_s=60".into(), vec![&failed, &plain]),
        ("min_duration_s=5&max_duration_s=6".into(), vec![&later]),
        ("max_duration_s=5".into(), vec![]),
    ] {
        let found = all(&admin, &format!("{path}?{query}"), 2).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for query in
        ["status=odd", "from=yesterday", "limit=0", "cursor=x", "phone_number_id=1", "min_duration_s=-1"]
    {
        admin.get(&format!("{path}?{query}")).await.problem(400);
    }
}

async fn ten_thousand_calls_are_paged_through(api: ApiServer) {
    const CALLS: usize = 10_000;
    let (tenant, admin) = api.tenant("Call centre").await;
    let line = Line::of(&api, tenant).await;
    let ids: Vec<Uuid> = (0..CALLS).map(|_| CallId::new().0).collect();
    let (owner, number) = (api.literal(tenant), api.literal(line.number));
    let row = |id: &Uuid| {
        let id = api.literal(*id);
        format!(
            "({id}, {owner}, {number}, '1.1', 'inbound', '493055500', 'completed', '2026-03-02T10:00:00+00:00')"
        )
    };
    for part in ids.chunks(1_000) {
        let rows = part.iter().map(row).collect::<Vec<_>>().join(", ");
        let columns = "id, tenant_id, phone_number_id, asterisk_channel_id, direction, called_number, status, started_at";
        api.raw(format!("INSERT INTO calls ({columns}) VALUES {rows}")).await;
    }
    let mut expected: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    expected.sort();
    expected.reverse();
    assert_eq!(all(&admin, &format!("/api/tenants/{tenant}/calls"), 500).await, expected);
}

async fn a_call_is_shown_with_its_transcript(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    line.turn(&call, 0, json!({ "audio_ms": 90 })).await;
    let said = json!({ "caller_text": "Are you\u{1b}[2J open?", "agent_text": "We are", "interrupted": true,
        "transcript_ms": 210, "commit_ms": 500, "audio_ms": 640 });
    line.turn(&call, 1, said).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    let shown = admin.get(&path).await.expect(200);
    assert_eq!((&shown["media"]["mos"], &shown["hangup_cause"]), (&json!(4.2), &json!(16)));
    let transcript = admin.get(&format!("{path}/transcript")).await.expect(200);
    assert_eq!(transcript["turns"][1]["audio_ms"], 640);
    assert_eq!(transcript["caller_number"], "+15550123");

    let text = admin.get(&format!("{path}/transcript?format=text")).await.expect(200);
    let text = text.as_str().expect("a text");
    for part in [
        "of 2026-03-02 10:00:00 UTC, from +15550123 to +4930",
        "\n[00:00]  audio 90 ms\nAgent:  Hello!\n",
        "\n[00:06]  words 210 ms  commit 500 ms  audio 640 ms\nCaller: Are you [2J open?\nAgent:  We are [interrupted]\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    for (accept, kind) in [
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/json, text/plain", "application/json"),
        ("text/plain;q=0.9, */*;q=0.1", "text/plain; charset=utf-8"),
        ("*/*", "application/json"),
    ] {
        let answer = admin.open(&format!("{path}/transcript"), &[("accept", accept)]).await;
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
    }
    admin.get(&format!("{path}/transcript?format=pdf")).await.problem(400);
    let missing = format!("/api/tenants/{tenant}/calls/{}", Uuid::now_v7());
    for path in [missing.clone(), format!("{missing}/transcript"), format!("/api/tenants/{tenant}/calls/odd")]
    {
        assert_eq!(admin.get(&path).await.problem(404), "not_found");
    }
}

/// With the right tenant in the path and another's call behind it.
async fn another_tenants_calls_are_not_there(api: ApiServer) {
    let (mine, _) = api.tenant("Mine").await;
    let line = Line::of(&api, mine).await;
    let call = line.record(json!({})).await;
    api.lines.ring(&call);
    let (own, stranger) = api.tenant("Stranger").await;
    let path = format!("/api/tenants/{own}/calls/{}", call.id);
    for path in
        [path.clone(), format!("{path}/transcript"), format!("{path}/feedback"), format!("{path}/events")]
    {
        assert_eq!(stranger.get(&path).await.problem(404), "not_found", "{path}");
    }
    assert_eq!(stranger.post(&format!("{path}/hang-up"), json!({})).await.problem(404), "not_found");
    let feedback = stranger.post(&format!("{path}/feedback"), json!({ "rating": 1 })).await;
    assert_eq!(feedback.problem(404), "not_found");
    for path in ["calls", "calls/live", "feedback"] {
        let list = stranger.get(&format!("/api/tenants/{own}/{path}")).await.expect(200);
        assert_eq!(list["items"], json!([]), "{path}");
    }
    let narrowed = format!("/api/tenants/{own}/calls?phone_number_id={}", line.number);
    assert_eq!(stranger.get(&narrowed).await.expect(200)["items"], json!([]));
    let analytics = format!("/api/tenants/{own}/analytics?from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z");
    assert_eq!(stranger.get(&analytics).await.expect(200)["calls"], 0);
}
