//! `vca usage`.

use super::*;

#[tokio::test]
async fn usage_is_shown_with_a_bar_and_a_statement_is_made_out() {
    let mut vca = CommandLine::new().await;
    vca.acme().await;
    vca.config.plans.starter.minutes_per_month = Some(5);
    vca.config.prices.call_minute = 20_000;
    let number = vca.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    let answered_at: chrono::DateTime<Utc> = "2026-10-05T10:00:00Z".parse().expect("a moment");
    let call = Call {
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::seconds(213)),
        ..completed(&number, answered_at)
    };
    let engine = EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: 40,
    };
    vca.store.scope(call.tenant_id).end_call(&call, &[engine]).await.expect("a record");

    let shown = vca.text(&["usage", "show", "Acme", "--month", "2026-10"]).await;
    for part in [
        "talked  3:33 min\n",
        "quota   [#######---] 71 % of 5 min\n",
        "cost    0.071000 EUR\n",
        "tts espeak local  40 ",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let list = vca.text(&["usage", "list", "--month", "2026-10"]).await;
    assert!(list.contains("Acme    starter  1      3:33 min  0      [#######---] 71 % of 5 min"), "{list}");
    let statement = ["usage", "statement", "Acme", "--month", "2026-10"];
    let text = vca.text(&statement).await;
    assert!(text.starts_with("Acme, 2026-10 (draft)\n") && text.contains("total  0.071000 EUR"), "{text}");
    let json = vca.json(&statement).await;
    assert_eq!((&json["total_micros"], &json["is_final"]), (&71_000.into(), &false.into()));
    let csv = vca.text(&[&statement[..], &["--csv"]].concat()).await;
    assert!(
        csv.starts_with("tenant_id,tenant,month,") && csv.contains(",call_time,,,,seconds,213,"),
        "{csv}"
    );
    let days = ["usage", "show", "Acme", "--from", "2026-10-05", "--to", "2026-10-06"];
    let shown = vca.text(&days).await;
    assert!(shown.contains("2026-10-05 to 2026-10-06") && shown.contains("talked  3:33 min\n"), "{shown}");
    let id = call.id.to_string();
    let shown = vca.text(&["usage", "call", &id]).await;
    assert!(shown.contains("talked  3:33 min") && shown.contains("tts espeak local  40 "), "{shown}");
    let now = vca.text(&["usage", "show", "Acme"]).await;
    assert!(now.contains("(so far)") && now.contains("[----------] 0 % of 5 min"), "{now}");
    assert_eq!(vca.code(&["usage", "show", "Nobody"]).await, 66);
}

#[tokio::test]
async fn statements_without_prices_are_shown_and_issued_on_request() {
    let mut vca = CommandLine::new().await;
    vca.acme().await;
    let tenant = vca.store.tenants().await.expect("tenants").remove(0);
    let scope = vca.store.scope(tenant.id);
    let number = scope.numbers().await.expect("numbers").remove(0);
    let ended_at = Utc::now();
    let call = Call { answered_at: Some(ended_at), ended_at: Some(ended_at), ..completed(&number, ended_at) };
    let speech = EngineUse {
        kind: EngineKind::Llm,
        engine: "openai".into(),
        model: "gpt-5-pro".into(),
        unit: UsageUnit::InputTokens,
        quantity: 5_000_000,
    };
    scope.end_call(&call, &[speech]).await.expect("its end");
    vca.config.prices.engines = vec![crate::billing::Price {
        kind: EngineKind::Llm,
        engine: "openai".into(),
        model: "gpt-5.4-mini".into(),
        unit: UsageUnit::InputTokens,
        price: 1,
        per: 1,
    }];
    let shown = vca.text(&["usage", "show", "Acme"]).await;
    assert!(shown.contains("without llm openai gpt-5-pro (no price)"), "{shown}");
    let this_month = Month::of(ended_at).to_string();
    let refused = ["usage", "issue", "--month", &this_month, "--accept-unpriced"];
    let failure = vca.run(&refused).await.expect_err("the month is not over");
    assert!(failure.code == 65 && failure.text.contains("not over"), "{failure:?}");
    let nothing = vca.json(&["usage", "issue", "--dry-run"]).await;
    assert_eq!((&nothing["held"], &nothing["issued"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}
