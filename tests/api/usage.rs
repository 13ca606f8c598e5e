//! Usage, statements and quotas over HTTP.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use vca::billing::{Billing, Prices};
use vca::store::{IssueRequest, NewNumber};
use vca::tenancy::{
    Actor, Call, CallId, CallStatus, CallTurn, Direction, EndedBy, EngineKind, EngineUse, Month,
    ProviderType, Role, TenantId, UsageUnit,
};

use super::api_server::{ApiServer, billing};
use super::on_both;

on_both!(
    a_month_is_told_with_its_cost_and_quota,
    days_are_told_by_the_price_list,
    a_statement_is_json_or_csv,
    a_call_tells_what_it_took,
    the_operator_sees_every_tenants_month,
    use_without_a_price_is_marked,
    held_statements_are_listed_with_their_reasons,
);

/// A call of a tenant's that rings.
pub async fn call_of(api: &ApiServer, tenant: Uuid) -> Call {
    let scope = api.store.scope(TenantId(tenant));
    let number = scope.numbers().await.expect("numbers").into_iter().next();
    let number = match number {
        Some(number) => number,
        None => {
            let did = format!("+4930{:08}", rand::random::<u32>() % 100_000_000).parse().expect("a DID");
            let new = NewNumber { did, provider_type: ProviderType::Generic };
            scope.create_number(&Actor::system(), new).await.expect("a number")
        }
    };
    let call = Call {
        id: CallId::new(),
        tenant_id: TenantId(tenant),
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
        routing_version: None,
        asterisk_channel_id: "1700000000.7".into(),
        direction: Direction::Inbound,
        caller_number: None,
        called_number: number.did,
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: None,
        started_at: at("2026-10-05T10:00:00Z"),
        answered_at: None,
        ended_at: None,
        codec: None,
        media: None,
        failure_reason: None,
        notice_heard_at: None,
        emergency_at: None,
        engine_failures: Vec::new(),
        fields: Default::default(),
        transfers: Vec::new(),
        analysis: None,
        pre_call: None,
        agent_changes: Vec::new(),
    };
    scope.begin_call(&call).await.expect("a call");
    call
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// A call that was answered at a moment and lasted so long, with one turn, and engines.
async fn talked(api: &ApiServer, tenant: Uuid, answered_at: &str, seconds: i64) -> Call {
    let ringing = call_of(api, tenant).await;
    let scope = api.store.scope(TenantId(tenant));
    let answered_at = at(answered_at);
    for (turn, caller_text) in [(0, ""), (1, "are you open")] {
        let turn = CallTurn {
            call_id: ringing.id,
            tenant_id: ringing.tenant_id,
            turn,
            caller_text: caller_text.into(),
            agent_text: "Hello.".into(),
            interrupted: false,
            spoken_by: Default::default(),
            target_text: None,
            pause_ms: None,
            transcript_ms: None,
            clause_ms: None,
            speech_ms: None,
            reply_ms: None,
            commit_ms: None,
            audio_ms: None,
            tools: Vec::new(),
            at: answered_at,
        };
        scope.add_turn(&turn).await.expect("a turn");
    }
    let ended = Call {
        status: CallStatus::Completed,
        ended_by: Some(EndedBy::Caller),
        started_at: answered_at,
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::seconds(seconds)),
        ..ringing
    };
    scope.end_call(&ended, &engines()).await.expect("its end");
    ended
}

fn engines() -> Vec<EngineUse> {
    let taken = |kind, model: &str, unit, quantity| EngineUse {
        kind,
        engine: "openai".into(),
        model: model.into(),
        unit,
        quantity,
    };
    vec![
        taken(EngineKind::Stt, "whisper-1", UsageUnit::Requests, 2),
        taken(EngineKind::Stt, "whisper-1", UsageUnit::AudioMs, 90_000),
        taken(EngineKind::Llm, "=gpt", UsageUnit::InputTokens, 1_000),
        taken(EngineKind::Llm, "=gpt", UsageUnit::OutputTokens, 50),
    ]
}

async fn a_month_is_told_with_its_cost_and_quota(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(id, Role::TenantViewer).await;
    talked(&api, id, "2026-10-05T10:00:00Z", 300).await;
    talked(&api, id, "2026-10-31T23:59:30Z", 60).await;
    talked(&api, id, "2026-10-06T10:00:00Z", 180).await;
    let path = format!("/api/tenants/{id}/usage");
    let october = viewer.get(&format!("{path}?month=2026-10")).await.expect(200);
    assert_eq!(
        (&october["calls"], &october["seconds"], &october["turns"]),
        (&json!(2), &json!(480), &json!(2))
    );
    assert_eq!((&october["from"], &october["to"]), (&json!("2026-10-01"), &json!("2026-10-31")));
    let quota = json!({
        "minutes_per_month": 10, "used_seconds": 480, "percent": 80, "is_reached": false, "at_limit": "refuse",
    });
    assert_eq!(october["quota"], quota);
    // 29 a month; 7 minutes at 0.03 beyond the one that is included; 3 minutes heard at 0.006; 2,000 and 100 tokens.
    let cost = 29_000_000 + 210_000 + 18_000 + 5_000 + 1_000;
    assert_eq!((&october["total_micros"], &october["currency"]), (&json!(cost), &json!("EUR")));

    let november = admin.get(&format!("{path}?month=2026-11")).await.expect(200);
    assert_eq!((&november["calls"], &november["seconds"]), (&json!(1), &json!(60)), "by the call's end");
    let present = admin.get(&path).await.expect(200);
    assert_eq!(present["is_final"], false);
    let month = Month::of(Utc::now());
    assert_eq!(present["from"], json!(month.first_day()));
    for query in ["month=2026-13", "month=11", "month=2026-11&from=2026-11-01&to=2026-11-02"] {
        admin.get(&format!("{path}?{query}")).await.problem(400);
    }
}

async fn days_are_told_by_the_price_list(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    for (answered, seconds) in
        [("2026-10-05T10:00:00Z", 61), ("2026-10-05T23:59:59.5Z", 2), ("2026-10-07T00:00:00Z", 5)]
    {
        talked(&api, id, answered, seconds).await;
    }
    call_of(&api, id).await;
    let path = format!("/api/tenants/{id}/usage");
    let days = async |from: &str, to: &str| {
        let report = admin.get(&format!("{path}?from={from}&to={to}")).await.expect(200);
        assert_eq!((&report["is_final"], &report["quota"]), (&json!(false), &Value::Null));
        (report["calls"].as_u64(), report["seconds"].as_u64(), report["total_micros"].as_u64())
    };
    let engines = 9_000 + 2_500 + 500;
    assert_eq!(days("2026-10-05", "2026-10-05").await, (Some(1), Some(61), Some(30_500 + engines)));
    assert_eq!(days("2026-10-06", "2026-10-06").await, (Some(1), Some(2), Some(1_000 + engines)));
    assert_eq!(days("2026-10-05", "2026-10-07").await, (Some(3), Some(68), Some(34_000 + 3 * engines)));
    assert_eq!(days("2026-09-01", "2026-09-30").await, (Some(0), Some(0), Some(0)));
    for query in
        ["from=2026-10-01", "from=2026-10-02&to=2026-10-01", "from=2026-01-01&to=2026-12-31", "from=x&to=y"]
    {
        admin.get(&format!("{path}?{query}")).await.problem(400);
    }
}

async fn a_statement_is_json_or_csv(api: ApiServer) {
    let (id, admin) = api.tenant("+Bakery, \"Sons\"").await;
    talked(&api, id, "2026-10-05T10:00:00Z", 90).await;
    let path = format!("/api/tenants/{id}/statements/2026-10");
    assert_eq!(admin.get(&path).await.expect(200)["is_final"], false, "a draft until it is issued");
    let begun = "UPDATE tenants SET created_at = '2026-10-01T00:00:00+00:00' WHERE id = ";
    api.raw(format!("{begun}{}", api.literal(id))).await;
    let dear =
        Billing { prices: Prices { call_minute: 9_000_000, ..Prices::default() }, ..Billing::default() };
    for (billing, issued) in [(billing(), 1), (dear, 0)] {
        let due = IssueRequest { month: None, tenant: None, accept_unpriced: false, dry_run: false };
        let now = at("2026-11-01T01:00:00Z");
        let outcome = api.store.issue_statements(&billing, &due, &Actor::system(), now).await;
        assert_eq!(outcome.expect("an answer").issued.len(), issued);
    }
    let statement = admin.get(&path).await.expect(200);
    let engine = |kind: &str, model: &str, unit: &str, quantity: u64, price: Value, per: u64, amount: u64| {
        json!({
            "item": "engine", "kind": kind, "engine": "openai", "model": model, "unit": unit,
            "quantity": quantity, "price_micros": price, "per": per, "amount_micros": amount, "unpriced": false,
        })
    };
    let plain = |item: &str, unit: &str, quantity: u64, price: u64, per: u64, amount: u64| {
        json!({
            "item": item, "unit": unit, "quantity": quantity, "price_micros": price, "per": per,
            "amount_micros": amount, "unpriced": false,
        })
    };
    let expected = json!({
        "tenant_id": id, "tenant_name": "+Bakery, \"Sons\"", "plan": "growth", "month": "2026-10",
        "is_final": true, "calls": 1, "seconds": 90, "turns": 1, "currency": "EUR",
        "lines": [
            plain("plan_fee", "months", 1, 29_000_000, 1, 29_000_000),
            plain("call_time", "seconds", 30, 30_000, 60, 15_000),
            engine("stt", "whisper-1", "requests", 2, Value::Null, 1, 0),
            engine("stt", "whisper-1", "audio_ms", 90_000, json!(6_000), 60_000, 9_000),
            engine("llm", "=gpt", "input_tokens", 1_000, json!(2_500_000), 1_000_000, 2_500),
            engine("llm", "=gpt", "output_tokens", 50, json!(10_000_000), 1_000_000, 500),
        ],
        "total_micros": 29_027_000,
        "quota": {
            "minutes_per_month": 10, "used_seconds": 90, "percent": 15, "is_reached": false, "at_limit": "refuse",
        },
    });
    assert_eq!(statement, expected, "{statement:#}");

    let name = "\"'+Bakery, \"\"Sons\"\"\"";
    let begin = format!("{id},{name},2026-10,true");
    let csv = format!(
        "tenant_id,tenant,month,is_final,item,kind,engine,model,unit,quantity,price,per,amount,currency,calls,unpriced\r\n\
         {begin},plan_fee,,,,months,1,29.000000,1,29.000000,EUR,,false\r\n\
         {begin},call_time,,,,seconds,30,0.030000,60,0.015000,EUR,,false\r\n\
         {begin},engine,stt,openai,whisper-1,requests,2,,1,0.000000,EUR,,false\r\n\
         {begin},engine,stt,openai,whisper-1,audio_ms,90000,0.006000,60000,0.009000,EUR,,false\r\n\
         {begin},engine,llm,openai,'=gpt,input_tokens,1000,2.500000,1000000,0.002500,EUR,,false\r\n\
         {begin},engine,llm,openai,'=gpt,output_tokens,50,10.000000,1000000,0.000500,EUR,,false\r\n\
         {begin},total,,,,,,,,29.027000,EUR,1,false\r\n"
    );
    let asked = admin.get(&format!("{path}?format=csv")).await;
    let kind = asked.headers["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("text/csv"), "{kind}");
    assert_eq!(asked.expect(200), Value::from(csv.clone()));
    let accepting = admin.accepting("text/csv, application/json;q=0.5").send(Method::GET, &path, None).await;
    assert_eq!(accepting.expect(200), Value::from(csv));
    let both = admin.accepting("text/csv").get(&format!("{path}?format=json")).await;
    assert_eq!(both.expect(200), expected);

    // The usage of an issued month is what its statement says, whatever prices and plans become.
    let report = admin.get(&format!("/api/tenants/{id}/usage?month=2026-10")).await.expect(200);
    assert_eq!((&report["is_final"], &report["total_micros"]), (&json!(true), &json!(29_027_000)));
    assert_eq!(report["lines"], expected["lines"]);
    let list = api.operator.get("/api/usage?month=2026-10").await.expect(200);
    assert_eq!((&list["items"], &list["unreadable"]), (&json!([report]), &json!([])));

    let present = format!("/api/tenants/{id}/statements/{}", Month::of(Utc::now()));
    assert_eq!(admin.get(&present).await.expect(200)["is_final"], false);
    assert_eq!(admin.get(&format!("/api/tenants/{id}/statements/never")).await.problem(400), "invalid_value");
}

async fn a_call_tells_what_it_took(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let call = talked(&api, id, "2026-10-05T10:00:00Z", 90).await;
    let path = format!("/api/tenants/{id}/calls/{}/usage", call.id);
    let usage = admin.get(&path).await.expect(200);
    assert_eq!((&usage["seconds"], &usage["turns"]), (&json!(90), &json!(1)));
    assert_eq!((&usage["lines"][0]["item"], &usage["total_micros"]), (&json!("call_time"), &json!(57_000)));
    let ringing = call_of(&api, id).await;
    let path = format!("/api/tenants/{id}/calls/{}/usage", ringing.id);
    assert_eq!(admin.get(&path).await.expect(200)["calls"], 0);
    let missing = format!("/api/tenants/{id}/calls/{}/usage", Uuid::now_v7());
    assert_eq!(admin.get(&missing).await.problem(404), "not_found");
}

async fn use_without_a_price_is_marked(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let ringing = call_of(&api, id).await;
    let ended = Call {
        status: CallStatus::Completed,
        answered_at: Some(ringing.started_at),
        ended_at: Some(ringing.started_at),
        ..ringing
    };
    let speech = EngineUse {
        kind: EngineKind::Tts,
        engine: "openai".into(),
        model: "tts-1-hd".into(),
        unit: UsageUnit::Characters,
        quantity: 5_000_000,
    };
    api.store.scope(TenantId(id)).end_call(&ended, &[speech]).await.expect("its end");
    for path in
        ["usage?month=2026-10".to_owned(), "statements/2026-10".into(), format!("calls/{}/usage", ended.id)]
    {
        let bill = admin.get(&format!("/api/tenants/{id}/{path}")).await.expect(200);
        let lines = bill["lines"].as_array().expect("lines");
        let unpriced: Vec<_> = lines.iter().filter(|line| line["unpriced"] == true).collect();
        assert_eq!(unpriced.len(), 1, "{path}: {bill:#}");
        assert_eq!((&unpriced[0]["model"], &unpriced[0]["price_micros"]), (&json!("tts-1-hd"), &Value::Null));
    }
}

async fn the_operator_sees_every_tenants_month(api: ApiServer) {
    let mut expected = Vec::new();
    for n in 1..=3 {
        let (id, admin) = api.tenant(&format!("Tenant {n}")).await;
        talked(&api, id, "2026-10-05T10:00:00Z", 30 * n).await;
        expected.push(admin.get(&format!("/api/tenants/{id}/usage?month=2026-10")).await.expect(200));
        assert_eq!(admin.get("/api/usage").await.problem(403), "operator_only");
    }
    let (mut seen, mut path) = (Vec::new(), "/api/usage?month=2026-10&limit=2".to_owned());
    loop {
        let page = api.operator.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().expect("items").clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/usage?month=2026-10&limit=2&cursor={cursor}");
    }
    assert_eq!(seen, expected);
    api.operator.get("/api/usage?month=x").await.problem(400);
}

async fn held_statements_are_listed_with_their_reasons(api: ApiServer) {
    let mut held = Vec::new();
    for n in 0..3 {
        let (tenant, admin) = api.tenant(&format!("Tenant {n}")).await;
        assert_eq!(admin.get("/api/held-statements").await.problem(403), "operator_only");
        for (month, reason) in [("2026-08", "unpriced"), ("2026-09", "unreadable")] {
            let tenant = api.literal(tenant);
            let values = format!("{tenant}, '{month}', '{reason}', 'gpt-9', '2026-10-01T01:00:00Z'");
            let columns = "tenant_id, month, reason, detail, since";
            api.raw(format!("INSERT INTO statement_holds ({columns}) VALUES ({values})")).await;
        }
        held.push(tenant.to_string());
    }
    let first = api.operator.get("/api/held-statements?limit=2").await.expect(200);
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let path = format!("/api/held-statements?limit=2&cursor={cursor}");
    let second = api.operator.get(&path).await.expect(200);
    assert_eq!(second["next_cursor"], Value::Null);
    let items: Vec<&Value> =
        [&first, &second].into_iter().flat_map(|page| page["items"].as_array().expect("items")).collect();
    let tenants: Vec<&str> = items.iter().filter_map(|item| item["tenant_id"].as_str()).collect();
    assert_eq!(tenants, held);
    assert_eq!(items[2]["tenant_name"], "Tenant 2");
    let month = |month, reason| json!({ "month": month, "reason": reason, "detail": "gpt-9", "since": "2026-10-01T01:00:00Z" });
    assert_eq!(items[2]["months"], json!([month("2026-08", "unpriced"), month("2026-09", "unreadable")]));
}
