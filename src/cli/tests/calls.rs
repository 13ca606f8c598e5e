//! `vca call`, `vca analytics` and `vca retention`.

use super::*;

#[tokio::test]
async fn a_call_is_shown_with_its_transcript() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let number = vca.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    let started_at = Utc::now();
    let call = Call {
        sip_status: Some(200),
        provider_call_id: Some("a84b4c76e66710@pbx".into()),
        ..completed(&number, started_at)
    };
    let turn = CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: 1,
        caller_text: "are you\x1b[2J open".into(),
        agent_text: "We are".into(),
        interrupted: true,
        spoken_by: Default::default(),
        target_text: None,
        pause_ms: None,
        transcript_ms: Some(210),
        clause_ms: None,
        speech_ms: None,
        reply_ms: None,
        commit_ms: Some(500),
        audio_ms: Some(640),
        tools: Vec::new(),
        at: started_at,
    };
    let scope = vca.store.scope(call.tenant_id);
    scope.end_call(&call, &[]).await.expect("a record");
    scope.add_turn(&turn).await.expect("a turn");

    let id = call.id.to_string();
    let text = vca.text(&["call", "show", &id]).await;
    for part in [
        "from           +15550123\n",
        "length         1:15\n",
        "SIP status     200\n",
        "provider call  a84b4c76e66710@pbx\n",
        "#1  words 210 ms  commit 500 ms  audio 640 ms\n",
        "  first packet                                       ########### 640 ms\n  caller: are you [2J open\n  agent:  We are [interrupted]",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let told = vca.json(&["call", "show", &id, "--tenant", "Acme"]).await;
    assert_eq!(told["turns"][0]["audio_ms"], 640);
    let list = vca.text(&["call", "list", "--limit", "1"]).await;
    assert!(list.contains("+15550123  +15550100  completed  completed  caller    1:15"), "{list}");
    assert_eq!(vca.json(&["call", "list", "--before", &id]).await, serde_json::json!([]));

    for (filter, expected) in [
        (["--status", "completed"], 1),
        (["--status", "failed"], 0),
        (["--caller", "15550123"], 1),
        (["--number", "+15550100"], 1),
        (["--min-duration", "76"], 0),
        (["--to", "2020-01-01T00:00:00Z"], 0),
        (["--from", "7d"], 1),
        (["--to", "2020-01-01"], 0),
        (["--disposition", "completed"], 1),
        (["--profile", "0199a1b2-c3d4-7e5f-8a6b-0123456789ab"], 0),
        (["--max-duration", "75"], 1),
    ] {
        let found = vca.json(&[&["call", "list"], &filter[..]].concat()).await;
        assert_eq!(found.as_array().map(Vec::len), Some(expected), "{filter:?}");
    }
    assert_eq!(vca.code(&["call", "list", "--number", "+15550999"]).await, 66);
    let misspelt = vca.run(&["call", "list", "--disposition", "complete"]).await.expect_err("misspelt");
    assert!(misspelt.code == 66 && misspelt.text.ends_with("those on record are completed"), "{misspelt:?}");
    for name in ["last", &id[..8], &id[..13].to_uppercase()] {
        assert_eq!(vca.json(&["call", "show", name]).await["id"], id.as_str(), "{name}");
    }
    assert_eq!(vca.code(&["call", "show", "ffffffff"]).await, 66);
    let words = vca.text(&["call", "transcript", &id]).await;
    assert!(words.contains("Caller: are you [2J open\nAgent:  We are [interrupted]"), "{words}");
    vca.text(&["call", "feedback", "add", &id, "--rating", "4", "--comment", "quick"]).await;
    assert_eq!(vca.json(&["call", "feedback", "list", "--call", &id]).await[0]["source"], "review");
    let feedback = vca.text(&["call", "feedback", "list", "--tenant", "Acme"]).await;
    assert!(feedback.contains("4       review  quick"), "{feedback}");
    assert_eq!(vca.code(&["call", "feedback", "add", &CallId::new().to_string(), "--rating", "4"]).await, 66);

    let to = (started_at + TimeDelta::hours(1)).to_rfc3339();
    let report = vca.text(&["analytics", "--tenant", "Acme", "--to", &to, "--timezone", "Asia/Tokyo"]).await;
    for part in [
        "1: 1 answered, 0 refused, 0 failed",
        "p50, p95     75 s, 75 s",
        "Calls by hour (Asia/Tokyo)",
        "####",
    ] {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
    let overview = vca.json(&["analytics", "--to", &to]).await;
    assert_eq!((&overview["tenants"][0]["name"], &overview["calls"]), (&"Acme".into(), &1.into()));
    assert_eq!(vca.code(&["analytics", "--from", &to, "--to", "2020-01-01T00:00:00Z"]).await, 65);
}

#[tokio::test]
async fn retention_is_shown_and_set() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    assert!(vca.text(&["retention", "show", "--tenant", "Acme"]).await.contains("transcripts  for ever"));
    let set =
        ["retention", "set", "--tenant", "Acme", "--calls", "90", "--transcripts", "30", "--recordings", "7"];
    vca.text(&set).await;
    let changed = vca.json(&["retention", "set", "--tenant", "Acme", "--transcripts", "60"]).await;
    assert_eq!((&changed["call_days"], &changed["transcript_days"]), (&90.into(), &60.into()));
    let longer = ["retention", "set", "--tenant", "Acme", "--transcripts", "forever"];
    assert_eq!(vca.code(&longer).await, 65, "they would outlive their calls");
    assert_eq!(vca.json(&["retention", "show", "--tenant", "Acme"]).await, changed);
}

#[tokio::test]
async fn nothing_expires_without_a_retention_and_nobody_is_erased_twice() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    for args in [&["retention", "run", "--dry-run"][..], &["retention", "run", "--tenant", "Acme"]] {
        assert_eq!(vca.text(args).await.trim(), "Nothing has expired.");
    }
    Cli::try_parse_from(["vca", "call", "erase", "--yes"]).expect_err("--call or --caller is needed");
    Cli::try_parse_from(["vca", "call", "erase", "--caller", "+15550123"]).expect_err("--dry-run or --yes");
    let nothing = vca.text(&["call", "erase", "--caller", "+15550123", "--dry-run"]).await;
    assert_eq!(nothing.trim(), "No calls: nothing to erase.");
    assert_eq!(vca.code(&["call", "erase", "--caller", "Ada", "--yes"]).await, 65);
    assert_eq!(vca.code(&["call", "erase", "--call", &Uuid::now_v7().to_string(), "--yes"]).await, 66);
}

#[tokio::test]
async fn a_trial_of_an_analysis_loads_no_model_of_speech() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut vca = CommandLine::new().await;
    vca.config.end_of_turn.model_file = Some("/nonexistent.onnx".into());
    vca.acme().await;
    let number = vca.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    let profile = vca.json(&PROFILE).await;
    let profile: AiProfile = serde_json::from_value(profile).expect("a profile");
    let call = Call {
        ai_profile_id: Some(profile.id),
        ai_profile_version: Some(profile.version),
        ..completed(&number, Utc::now())
    };
    let scope = vca.store.scope(call.tenant_id);
    scope.begin_call(&call).await.expect("a call");
    scope.add_turn(&crate::store::tests::values::turn(&call, 1)).await.expect("a turn");
    let refused = vca.run(&["call", "try-analysis", "last"]).await.expect_err("no questions");
    assert!(refused.text.contains("there are no questions"), "{refused:?}");
}
