//! `vca ledger`.

use std::time::Duration;

use super::*;
use crate::store::{Entry, Ledger};

/// A turn without its call, which the database refuses.
async fn refused(vca: &CommandLine, call: &Call) {
    let turn = CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: 1,
        caller_text: "Hello".into(),
        agent_text: String::new(),
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
        at: call.started_at,
    };
    let ledger = Ledger::new(vca.store.clone(), 10);
    ledger.record(Entry::Turn(turn));
    assert_eq!(ledger.close(Duration::from_secs(20)).await, 0, "it is set aside");
}

#[tokio::test]
async fn refused_records_are_listed_written_again_and_discarded() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let number = vca.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    assert_eq!(vca.json(&["ledger", "list"]).await, serde_json::json!([]));
    let (first, second) = (completed(&number, Utc::now()), completed(&number, Utc::now()));
    refused(&vca, &first).await;
    refused(&vca, &second).await;
    let listed = vca.json(&["ledger", "list", "--tenant", "Acme"]).await;
    let id = |at: usize| listed[at]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (listed.as_array().map(Vec::len), &listed[0]["kind"]),
        (Some(2), &"turn".into()),
        "{listed:#}"
    );
    assert!(!vca.text(&["ledger", "list"]).await.contains("Hello"), "words are not shown");
    assert_eq!(vca.code(&["ledger", "retry"]).await, 1, "their calls are still not there");

    vca.store.scope(first.tenant_id).end_call(&first, &[]).await.expect("its call");
    let trial = vca.text(&["ledger", "retry", &id(0), "--dry-run"]).await;
    assert!(trial.starts_with("would write again:"), "{trial}");
    vca.text(&["ledger", "retry", &id(0)]).await;
    let turns = vca.json(&["call", "show", &first.id.to_string()]).await;
    assert_eq!(turns["turns"][0]["caller_text"], "Hello");

    let discard = ["ledger", "discard", &id(1)];
    let trial = vca.text(&[&discard[..], &["--dry-run"]].concat()).await;
    assert!(trial.starts_with("would delete:"), "{trial}");
    assert_eq!(vca.text(&discard).await.trim(), "deleted 1 records");
    assert_eq!(vca.json(&["ledger", "list"]).await, serde_json::json!([]));
    assert_eq!(vca.code(&discard).await, 66);
}
