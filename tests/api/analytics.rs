//! Analytics over HTTP.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::calls::Line;
use super::on_both;

on_both!(calls_are_reckoned, the_operator_sees_who_calls, periods_have_bounds);

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
