//! Analytics over HTTP.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use vca::billing::Prices;
use vca::store::{AnalysisAttempt, AnalysisOutcome, NewFeedback};
use vca::tenancy::{Actor, AnalysisResult, Sentiment};

use super::api_server::ApiServer;
use super::calls::Line;
use super::on_both;

on_both!(
    calls_are_reckoned,
    the_operator_sees_who_calls,
    periods_have_bounds,
    results_are_counted_by_day_number_and_version,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// A hundred answered calls of 1 to 100 seconds, an hour apart from Monday 2 March 2026, with a turn each that was
/// answered in as many milliseconds, and some that went otherwise.
async fn fill(line: &Line) {
    for n in 1..=100u32 {
        let began = at("2026-03-02T00:00:00Z") + TimeDelta::hours(i64::from(n) - 1);
        let call = line.record(line.lasted(began, n.into())).await;
        line.turn(&call, 0, json!({ "audio_ms": 9_999 })).await;
        let latencies = json!({ "caller_text": "hm?", "transcript_ms": 10 * n, "audio_ms": n, "interrupted": n % 10 == 0 });
        line.turn(&call, 1, latencies).await;
    }
    let early = json!({ "started_at": "2026-03-02T09:30:00Z", "answered_at": null });
    for (status, disposition) in
        [("failed", "failed_setup"), ("refused", "refused_full"), ("refused", "refused_full")]
    {
        let mut call = early.clone();
        call["status"] = json!(status);
        call["disposition"] = json!(disposition);
        call["ended_by"] = json!("system");
        line.record(call).await;
    }
    line.record(json!({ "started_at": "2026-02-01T00:00:00Z" })).await;
}

async fn calls_are_reckoned(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    fill(&line).await;
    let path = format!("/api/tenants/{tenant}/analytics?from=2026-03-02T00:00:00Z&to=2026-03-09T00:00:00Z");
    let report = admin.get(&path).await.expect(200);
    let expected = json!({ "calls": 103, "answered": 100, "refused": 2, "failed": 1, "failure_rate": 0.0097,
        "duration": { "total_s": 5050.0, "average_s": 50.5, "p50_s": 50, "p95_s": 95 },
        "dispositions": { "caller_hung_up": 100, "failed_setup": 1, "refused_full": 2 },
        "ended_by": { "caller": 100, "agent": 0, "system": 3 },
        "turns": 100, "turns_per_call": 1.0, "interruptions": 10,
        "latency": {
            "transcript": { "turns": 100, "p50_ms": 500, "p95_ms": 950, "p99_ms": 990 },
            "reply": { "turns": 0, "p50_ms": null, "p95_ms": null, "p99_ms": null },
            "audio": { "turns": 100, "p50_ms": 50, "p95_ms": 95, "p99_ms": 99 },
        },
        "weekdays": [27, 24, 24, 24, 4, 0, 0], "timezone": "UTC", "interval": "day" });
    for (key, value) in expected.as_object().expect("fields") {
        assert_eq!(&report[key], value, "{key}");
    }
    assert_eq!(
        (&report["hours"][9], &report["hours"][3], &report["hours"][4]),
        (&json!(7), &json!(5), &json!(4))
    );
    assert_eq!(report["busiest"][0], json!({ "weekday": 0, "hour": 9, "calls": 4 }));
    let days: Vec<&Value> =
        report["series"].as_array().expect("a series").iter().map(|day| &day["calls"]).collect();
    assert_eq!(days, [27, 24, 24, 24, 4, 0, 0]);

    let kolkata = admin.get(&format!("{path}&timezone=Asia/Kolkata&interval=hour")).await.expect(200);
    assert_eq!(kolkata["hours"][15], 7, "half past nine in UTC is three in the afternoon there");
    // Half an hour of the first and of the last hour are in the period.
    assert_eq!(kolkata["series"].as_array().map(Vec::len), Some(7 * 24 + 1));
    let nobody = admin.get(&format!("{path}&ai_profile_id={}", uuid::Uuid::now_v7())).await.expect(200);
    assert_eq!(
        (&nobody["calls"], &nobody["failure_rate"], &nobody["duration"]["p50_s"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
    let number = admin.get(&format!("{path}&phone_number_id={}", line.number)).await.expect(200);
    assert_eq!(number["latency"], report["latency"]);
}

async fn the_operator_sees_who_calls(api: ApiServer) {
    let ((busy, _), (quiet, admin)) = (api.tenant("Busy").await, api.tenant("Quiet").await);
    let (busy, quiet) = (Line::of(&api, busy).await, Line::of(&api, quiet).await);
    for _ in 0..3 {
        busy.record(json!({})).await;
    }
    quiet.record(json!({ "status": "failed" })).await;
    let path = "/api/analytics?from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z";
    let overview = api.operator.get(path).await.expect(200);
    assert_eq!(
        (&overview["calls"], &overview["active_tenants"], &overview["failure_rate"]),
        (&json!(4), &json!(2), &json!(0.25))
    );
    assert_eq!(
        (&overview["tenants"][0]["name"], &overview["tenants"][0]["duration_s"]),
        (&json!("Busy"), &json!(180.0))
    );
    let top = api.operator.get(&format!("{path}&top=1")).await.expect(200);
    assert_eq!((top["tenants"].as_array().map(Vec::len), &top["calls"]), (Some(1), &json!(4)));
    api.operator.get(&format!("{path}&top=0")).await.problem(400);
    assert_eq!(admin.get(path).await.problem(403), "operator_only");
}

async fn periods_have_bounds(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}/analytics");
    let usual = admin.get(&path).await.expect(200);
    assert!(matches!(usual["series"].as_array().map(Vec::len), Some(30 | 31)), "{usual:#}");
    for (query, field) in [
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("from=2026-01-01T00:00:00Z&to=2026-04-01T00:00:00Z&interval=hour", "to"),
        ("timezone=Mars/Olympus", "timezone"),
    ] {
        let refused = admin.get(&format!("{path}?{query}")).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{query}: {refused:#}");
    }
    for query in ["from=x", "interval=week", "phone_number_id=1"] {
        admin.get(&format!("{path}?{query}")).await.problem(400);
    }
}

/// A call of a day with an analysis and a rating; the profile that asks for the analysis has this version.
async fn judged(line: &Line, version: u32, day: &str, result: AnalysisResult, rating: Option<u8>) {
    let began = at(&format!("2026-03-{day}T12:00:00Z"));
    let mut recent = line.lasted(began, 60);
    recent["ai_profile_version"] = version.into();
    let ended = line.call(recent.clone());
    recent["id"] = json!(ended.id);
    for (key, value) in [
        ("status", json!("answered")),
        ("ended_at", Value::Null),
        ("ended_by", Value::Null),
        ("disposition", Value::Null),
        ("hangup_cause", Value::Null),
    ] {
        recent[key] = value;
    }
    line.record(recent).await;
    line.turn(&ended, 1, json!({ "caller_text": "Two loaves." })).await;
    line.scope.end_call(&ended, &[]).await.expect("its end");
    let due = Utc::now() + TimeDelta::seconds(1);
    let claimed = line.scope.claim_analysis(due, due + TimeDelta::seconds(60)).await.expect("an answer");
    let attempt = AnalysisAttempt { at: due, usage: Vec::new(), outcome: AnalysisOutcome::Done(result) };
    line.scope
        .settle_analysis(&claimed.expect("it is due"), attempt, &Prices::default())
        .await
        .expect("an answer");
    if let Some(rating) = rating {
        let new = NewFeedback { rating, comment: None, source: "caller".into() };
        line.scope.create_feedback(&Actor::system(), ended.id, new).await.expect("feedback");
    }
}

async fn results_are_counted_by_day_number_and_version(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let profile = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    let analysis =
        json!({ "enabled": true, "success": "Sold.", "sentiment": true, "outcome": ["sold", "other"] });
    let settings = json!({ "settings": { "analysis": analysis } });
    let first = admin.patch(&profile, settings).await.expect(200)["version"].as_u64().expect("a version");
    let second = admin.patch(&profile, json!({ "name": "Other" })).await.expect(200)["version"].as_u64();
    let version = |it: u64| u32::try_from(it).expect("a version");
    let (first, second) = (version(first), version(second.expect("a version")));
    let result = |success, outcome: &str, sentiment| AnalysisResult {
        success: Some(success),
        outcome: Some(outcome.to_owned()),
        sentiment: Some(sentiment),
        ..AnalysisResult::default()
    };
    judged(&line, first, "02", result(true, "sold", Sentiment::Positive), Some(5)).await;
    judged(&line, first, "02", result(false, "other", Sentiment::Negative), Some(2)).await;
    judged(&line, second, "03", result(true, "sold", Sentiment::Neutral), None).await;
    line.record(line.lasted(at("2026-03-04T12:00:00Z"), 5)).await;
    let path =
        format!("/api/tenants/{tenant}/analytics/results?from=2026-03-02T00:00:00Z&to=2026-03-05T00:00:00Z");
    let report = admin.get(&path).await.expect(200);
    let expected = json!({ "answered": 4, "successes": 2, "failures": 1, "success_rate": 0.6667,
        "outcomes": { "sold": 2, "other": 1 }, "sentiments": { "positive": 1, "neutral": 1, "negative": 1 },
        "ratings": 2, "average_rating": 3.5 });
    for (key, value) in expected.as_object().expect("fields") {
        assert_eq!(&report[key], value, "{key}");
        assert_eq!(&report["numbers"][0][key], value, "one number: {key}");
    }
    let days: Vec<(&Value, &Value)> = report["series"]
        .as_array()
        .expect("days")
        .iter()
        .map(|it| (&it["answered"], &it["success_rate"]))
        .collect();
    assert_eq!(days, [(&json!(2), &json!(0.5)), (&json!(1), &json!(1.0)), (&json!(1), &Value::Null)]);
    let versions: Vec<(&Value, &Value, &Value)> = report["profiles"]
        .as_array()
        .expect("profiles")
        .iter()
        .map(|it| (&it["ai_profile_version"], &it["success_rate"], &it["share"]))
        .collect();
    assert_eq!(
        versions,
        [(&json!(first), &json!(0.5), &json!(0.5)), (&json!(second), &json!(1.0), &json!(0.25))]
    );

    let routing = format!("/api/tenants/{tenant}/phone-numbers/{}/routing", line.number);
    let shares =
        json!({ "profiles": [{ "ai_profile_id": line.profile, "weight": 70 }], "closed_profile_id": null });
    admin.put(&routing, shares).await.expect(200);
    let weighed = admin.get(&format!("{path}&phone_number_id={}", line.number)).await.expect(200);
    assert_eq!(
        (&weighed["profiles"][0]["weight"], &report["profiles"][0]["weight"]),
        (&json!(70), &Value::Null)
    );
    let (_, stranger) = api.tenant("Stranger").await;
    assert_eq!(stranger.get(&path).await.problem(404), "not_found");
}
