//! How many turns a second the ledger writes: one entry in a transaction, and as many as are waiting.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use vca::store::{Entry, Ledger, NewNumber, Store};
use vca::tenancy::{
    Actor, Call, CallId, CallStatus, CallTurn, Direction, EngineKind, EngineUse, ProviderType, TenantId,
    UsageUnit,
};

use super::api_server::ApiServer;

/// Turns of a call, and calls under way at once.
const TURNS: u32 = 8;
const AT_ONCE: usize = 100;
/// Batches are to be so many times as fast at least.
const TIMES: f64 = 7.0;

/// Prints both rates; false when batches are not as fast as they are to be.
pub async fn measure(api: &ApiServer) -> bool {
    let lines = lines(api).await;
    // The first writes warm up connections and statements.
    rate(&api.store, &lines, 2, 1).await;
    let single = rate(&api.store, &lines, 5, 1).await;
    let batched = rate(&api.store, &lines, 100, 500).await;
    let times = batched / single;
    println!(
        "ledger: {single:.0} turns/s one entry a transaction, {batched:.0} turns/s in batches, {times:.1} times"
    );
    times >= TIMES
}

/// Calls of several tenants.
async fn lines(api: &ApiServer) -> Vec<Call> {
    let mut lines = Vec::new();
    for n in 0..20 {
        let (tenant, _) = api.tenant(&format!("Ledger {n}")).await;
        let new = NewNumber {
            did: format!("+4989{n:06}").parse().expect("a number"),
            provider_type: ProviderType::Generic,
        };
        let scope = api.store.scope(TenantId(tenant));
        let number = scope.create_number(&Actor::system(), new).await.expect("a number");
        lines.push(ringing(&number));
    }
    lines
}

fn ringing(number: &vca::tenancy::PhoneNumber) -> Call {
    Call {
        id: CallId::new(),
        tenant_id: number.tenant_id,
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
        routing_version: None,
        asterisk_channel_id: "1700000000.42".into(),
        direction: Direction::Inbound,
        caller_number: Some("+4915550100".into()),
        called_number: number.did.clone(),
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: None,
        started_at: Utc::now(),
        answered_at: None,
        ended_at: None,
        codec: Some("ulaw".into()),
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
    }
}

/// Turns a second, with all that calls record beside them, `rounds` times [`AT_ONCE`] calls.
async fn rate(store: &Store, lines: &[Call], rounds: usize, batch: usize) -> f64 {
    let calls = if batch == 1 { rounds } else { rounds * AT_ONCE };
    let entries = entries(lines, calls);
    let ledger = Ledger::with_batches(store.clone(), entries.len() + 1, batch);
    let began = Instant::now();
    for entry in entries {
        ledger.record(entry);
    }
    while ledger.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let turns = calls as f64 * f64::from(TURNS);
    assert_eq!((ledger.dropped(), ledger.dead_letters()), (0, 0));
    turns / began.elapsed().as_secs_f64()
}

/// Of so many calls, a hundred at once.
fn entries(lines: &[Call], calls: usize) -> Vec<Entry> {
    let calls: Vec<Call> =
        lines.iter().cycle().take(calls).map(|line| Call { id: CallId::new(), ..line.clone() }).collect();
    let mut entries = Vec::new();
    for calls in calls.chunks(AT_ONCE) {
        let answered = |call: &Call| Call {
            status: CallStatus::Answered,
            answered_at: Some(call.started_at),
            ..call.clone()
        };
        entries.extend(calls.iter().cloned().map(Entry::Begin));
        entries.extend(calls.iter().map(|call| Entry::Update(answered(call))));
        for turn in 0..TURNS {
            for call in calls {
                entries.push(Entry::Taken(call.tenant_id, call.id, engines(turn + 1)));
                entries.push(Entry::Turn(said(call, turn)));
            }
        }
        entries.extend(calls.iter().map(|call| {
            let ended_at = Some(call.started_at + TimeDelta::seconds(60));
            Entry::End(Call { status: CallStatus::Completed, ended_at, ..answered(call) }, engines(TURNS))
        }));
    }
    entries
}

/// Seven units, as calls with vendors' engines take.
fn engines(turns: u32) -> Vec<EngineUse> {
    use EngineKind::{Llm, Stt, Tts};
    use UsageUnit::{AudioMs, Characters, InputTokens, OutputTokens, Requests};
    let units = [
        (Stt, Requests),
        (Stt, AudioMs),
        (Llm, Requests),
        (Llm, InputTokens),
        (Llm, OutputTokens),
        (Tts, Requests),
        (Tts, Characters),
    ];
    let taken = |(kind, unit)| EngineUse {
        kind,
        engine: "openai".into(),
        model: "a-model".into(),
        unit,
        quantity: u64::from(turns) * 100,
    };
    units.map(taken).to_vec()
}

fn said(call: &Call, turn: u32) -> CallTurn {
    CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn,
        caller_text: "When are you open on Saturdays?".into(),
        agent_text: "From nine to five. Shall I put you down for an appointment?".into(),
        target_text: None,
        interrupted: false,
        spoken_by: Default::default(),
        pause_ms: None,
        transcript_ms: Some(300 + turn),
        clause_ms: None,
        speech_ms: None,
        reply_ms: Some(500 + turn),
        commit_ms: Some(500),
        audio_ms: Some(700 + turn),
        at: call.started_at,
        tools: Vec::new(),
    }
}
