//! The analysis of calls over HTTP: settings, results, filters, another run.

use axum::routing::post;
use axum::{Json, Router};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::billing::Prices;
use vca::store::{AnalysisAttempt, AnalysisOutcome};
use vca::tenancy::{AnalysisResult, Call, EngineKind, EngineUse, Role, UsageUnit};

use super::api_server::{ApiServer, Client};
use super::calls::Line;
use super::on_both;

on_both!(
    questions_are_checked_with_the_profile,
    a_result_is_shown_found_and_renewed,
    an_analysis_is_tried_on_a_past_call,
    repeated_requests_give_no_words_of_an_erased_call,
);

pub fn questions() -> Value {
    json!({ "enabled": true, "summary": true, "outcome": ["order placed", "other"], "success": "They ordered.",
        "fields": [{ "name": "loaves", "type": "number", "description": "How many." }] })
}

async fn questions_are_checked_with_the_profile(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let path = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    let profile = admin.patch(&path, json!({ "settings": { "analysis": questions() } })).await.expect(200);
    assert_eq!(profile["settings"]["analysis"]["outcome"], json!(["order placed", "other"]));
    for (analysis, field) in [
        (
            json!({ "fields": [{ "name": "B", "type": "text", "description": "d" }] }),
            "settings.analysis.fields.0.name",
        ),
        (
            json!({ "fields": [{ "name": "b", "type": "enum", "description": "d" }] }),
            "settings.analysis.fields.0.values",
        ),
        (json!({ "llm": "crystal-ball" }), "settings.analysis.llm"),
        (json!({ "llm_model": "no-such-model" }), "settings.analysis.llm_model"),
    ] {
        let refused = admin.patch(&path, json!({ "settings": { "analysis": analysis } })).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{refused:#}");
    }
    admin.patch(&path, json!({ "settings": { "analysis": { "mood": true } } })).await.problem(400);
    let reset = admin.patch(&path, json!({ "settings": { "analysis": null } })).await.expect(200);
    assert_eq!(reset["settings"].get("analysis"), None);
}

/// A call in which the caller spoke, with its version of the profile.
pub async fn spoken(line: &Line, version: u32) -> Call {
    let mut recent = line.lasted(Utc::now(), 60);
    recent["ai_profile_version"] = version.into();
    let call = line.call(recent.clone());
    let unfinished = json!({
        "id": call.id, "status": "answered", "ended_at": null, "ended_by": null, "disposition": null, "hangup_cause": null,
    });
    for (key, value) in unfinished.as_object().expect("fields") {
        recent[key] = value.clone();
    }
    line.record(recent).await;
    line.turn(&call, 1, json!({ "caller_text": "Two loaves, please." })).await;
    line.scope.end_call(&call, &[]).await.expect("its end");
    call
}

/// Carries out the analysis that is due.
pub async fn carry_out(line: &Line, outcome: AnalysisOutcome) {
    let at = Utc::now() + TimeDelta::seconds(1);
    let claimed = line.scope.claim_analysis(at, at + TimeDelta::seconds(60)).await.expect("an answer");
    let tokens = EngineUse {
        kind: EngineKind::Llm,
        engine: "openai".into(),
        model: "m".into(),
        unit: UsageUnit::InputTokens,
        quantity: 700,
    };
    let attempt = AnalysisAttempt { at, usage: vec![tokens], outcome };
    assert!(
        line.scope
            .settle_analysis(&claimed.expect("it is due"), attempt, &Prices::default())
            .await
            .expect("an answer")
    );
}

async fn found(admin: &Client, tenant: Uuid, filter: &str) -> usize {
    let list = admin.get(&format!("/api/tenants/{tenant}/calls?{filter}")).await.expect(200);
    list["items"].as_array().expect("items").len()
}

async fn a_result_is_shown_found_and_renewed(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let path = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    let profile = admin.patch(&path, json!({ "settings": { "analysis": questions() } })).await.expect(200);
    let version = profile["version"].as_u64().and_then(|it| u32::try_from(it).ok()).expect("a version");
    let hook = json!({ "url": "https://example.com/", "events": ["call.analyzed"] });
    let hook = admin.post(&format!("/api/tenants/{tenant}/webhooks"), hook).await.expect(201);
    let call = spoken(&line, version).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    assert_eq!(admin.get(&path).await.expect(200)["analysis"]["status"], "pending");
    let result = AnalysisResult {
        outcome: Some("order placed".into()),
        success: Some(true),
        fields: [("loaves".to_owned(), json!(2))].into(),
        ..AnalysisResult::default()
    };
    carry_out(&line, AnalysisOutcome::Done(result)).await;

    let shown = admin.get(&path).await.expect(200)["analysis"].clone();
    assert_eq!((&shown["status"], &shown["outcome"]), (&json!("done"), &json!("order placed")));
    assert_eq!((&shown["fields"]["loaves"], &shown["usage"][0]["quantity"]), (&json!(2), &json!(700)));
    let usage = admin.get(&format!("{path}/usage")).await.expect(200);
    assert!(!usage["lines"].to_string().contains("input_tokens"), "{usage:#}");
    assert!(usage["analysis"]["lines"].to_string().contains("700"), "{usage:#}");
    for (filter, count) in [
        ("outcome=order%20placed", 1),
        ("outcome=other", 0),
        ("success=true&field=loaves:2", 1),
        ("field=loaves:3", 0),
        ("sentiment=positive", 0),
    ] {
        assert_eq!(found(&admin, tenant, filter).await, count, "{filter}");
    }
    for filter in ["field=loaves", "field=:2", "success=maybe", "sentiment=angry"] {
        admin.get(&format!("/api/tenants/{tenant}/calls?{filter}")).await.problem(400);
    }
    let deliveries =
        format!("/api/tenants/{tenant}/webhooks/{}/deliveries", hook["id"].as_str().expect("an id"));
    let sent = admin.get(&deliveries).await.expect(200);
    assert_eq!(sent["items"][0]["event_type"], "call.analyzed");

    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.post(&format!("{path}/analysis"), json!({})).await.problem(403), "read_only_key");
    let again = admin.post(&format!("{path}/analysis"), json!({})).await.expect(202);
    assert_eq!((&again["status"], &again["run"]), (&json!("pending"), &json!(2)));
    carry_out(&line, AnalysisOutcome::Failed("openai: auth".into())).await;
    let failed = admin.get(&path).await.expect(200)["analysis"].clone();
    assert_eq!((&failed["status"], &failed["problem"]), (&json!("failed"), &json!("openai: auth")));
    assert_eq!(failed["outcome"], "order placed", "the former result stays");
    assert_eq!(admin.get(&deliveries).await.expect(200)["items"].as_array().map(Vec::len), Some(2));

    let erased = format!("/api/tenants/{tenant}/erasures");
    let erased = admin.post(&erased, json!({ "call_id": call.id, "dry_run": false })).await.expect(200);
    assert_eq!(erased["analyses"], 1);
    assert_eq!(admin.get(&path).await.expect(200)["analysis"], Value::Null);
    assert_eq!(admin.post(&format!("{path}/analysis"), json!({})).await.problem(409), "no_words");
}

/// A server with OpenAI's chat completions that replies with this object; its address.
async fn model_that_says(reply: Value) -> String {
    let events = move |Json(body): Json<Value>| {
        let reply = reply.to_string();
        async move {
            assert!(body.to_string().contains("Two loaves, please."), "it reads the transcript: {body:#}");
            let piece = json!({ "choices": [{ "index": 0, "delta": { "content": reply }, "finish_reason": "stop" }],
                "usage": { "prompt_tokens": 700, "completion_tokens": 40 } });
            ([("content-type", "text/event-stream")], format!("data: {piece}\n\ndata: [DONE]\n\n"))
        }
    };
    let router = Router::new().route("/v1/chat/completions", post(events));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

async fn an_analysis_is_tried_on_a_past_call(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = spoken(&line, 1).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    let attempt = format!("{path}/analysis/try");
    assert_eq!(admin.post(&attempt, json!({})).await.problem(409), "analysis_off");
    let refused = admin.post(&attempt, json!({ "analysis": { "llm": "crystal-ball" } })).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "analysis.llm", "{refused:#}");
    let scripted = admin.post(&attempt, json!({ "analysis": { "summary": true } })).await.expect(200);
    assert_eq!(scripted["status"], "unavailable", "the profile replies by a script: {scripted:#}");

    let url = model_that_says(json!({ "summary": "Two loaves.", "success": true })).await;
    let engine = json!({ "name": "acme", "kind": "llm", "api": "openai", "key": "k", "base_url": url });
    admin.post(&format!("/api/tenants/{tenant}/engine-credentials"), engine).await.expect(201);
    let questions = json!({ "summary": true, "success": "They ordered.", "llm": "own:acme" });
    let trial = admin.post(&attempt, json!({ "analysis": questions })).await.expect(200);
    assert_eq!(
        (&trial["status"], &trial["summary"], &trial["success"]),
        (&json!("done"), &json!("Two loaves."), &json!(true))
    );
    assert!(trial["usage"].to_string().contains("700"), "{trial:#}");
    assert_eq!(admin.get(&path).await.expect(200)["analysis"], Value::Null, "the record is as it was");
    assert_eq!(found(&admin, tenant, "success=true").await, 0);
    let used = line.scope.usage_of_analyses(call.id).await.expect("usage");
    assert!(used.iter().any(|it| it.quantity == 700), "{used:?}");

    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.post(&attempt, json!({})).await.problem(403), "read_only_key");
    let (_, stranger) = api.tenant("Stranger").await;
    assert_eq!(stranger.post(&attempt, json!({})).await.problem(404), "not_found");
    let audit = admin.get(&format!("/api/tenants/{tenant}/audit?action=try_analysis")).await.expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(2), "{audit:#}");
}

/// A trial's response is not stored, and that of a request for an analysis is erased with the call.
async fn repeated_requests_give_no_words_of_an_erased_call(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let url = model_that_says(json!({ "summary": "Two loaves." })).await;
    let engine = json!({ "name": "acme", "kind": "llm", "api": "openai", "key": "k", "base_url": url });
    admin.post(&format!("/api/tenants/{tenant}/engine-credentials"), engine).await.expect(201);
    let questions = json!({ "enabled": true, "summary": true, "llm": "own:acme" });
    let path = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    let profile = admin.patch(&path, json!({ "settings": { "analysis": questions } })).await.expect(200);
    let version = profile["version"].as_u64().and_then(|it| u32::try_from(it).ok()).expect("a version");
    let call = spoken(&line, version).await;
    let summary = AnalysisResult { summary: Some("Two loaves.".into()), ..AnalysisResult::default() };
    carry_out(&line, AnalysisOutcome::Done(summary)).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);

    let attempt = format!("{path}/analysis/try");
    let tried = admin.post_once("try", &attempt, json!({})).await.expect(200);
    assert_eq!(tried["summary"], "Two loaves.");
    let again = admin.post_once("try", &attempt, json!({})).await;
    assert_eq!(again.body["resource_id"], json!(call.id));
    assert_eq!(again.problem(409), "already_applied");

    let analysis = format!("{path}/analysis");
    for key in ["due", "due-again"] {
        let due = admin.post_once(key, &analysis, json!({})).await.expect(202);
        assert_eq!(due["summary"], "Two loaves.", "the former result: {due:#}");
    }
    let erasures = format!("/api/tenants/{tenant}/erasures");
    admin.post(&erasures, json!({ "call_id": call.id })).await.expect(200);
    for key in ["due", "due-again"] {
        let again = admin.post_once(key, &analysis, json!({})).await;
        assert!(!again.body.to_string().contains("loaves"), "{:#}", again.body);
        assert_eq!(again.problem(409), "already_applied");
    }
}
