//! Values to try the store with.

use chrono::{TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::json;

use crate::store::{EngineAccount, NewEngineCredential, NewProfile, kept};
use crate::tenancy::*;

pub fn did(n: u32) -> Did {
    format!("+4930{n:06}").parse().expect("digits")
}

pub fn profile(name: &str, is_default: bool) -> NewProfile {
    NewProfile {
        name: name.to_owned(),
        role: AgentRole::Receptionist,
        system_prompt: "You answer the phone.".to_owned(),
        is_default,
        settings: ProfileSettings { language: Some("de-DE".to_owned()), ..ProfileSettings::default() },
    }
}

/// A route that is in no database.
pub fn route() -> Route {
    let tenant_id = TenantId::new();
    let created_at = kept(Utc::now());
    let number = PhoneNumber {
        id: NumberId::new(),
        tenant_id,
        did: did(0),
        provider_type: ProviderType::Generic,
        is_active: true,
        provider_state: ProviderState::Registered,
        provider_detail: None,
        provider_reference: None,
        call_delivery: CallDelivery::Delivered,
        failover: FailoverRoutes::default(),
        uses_tenant_webhook: true,
        routing_version: 1,
        created_at,
    };
    let tenant = Tenant {
        id: tenant_id,
        name: "Nobody".to_owned(),
        status: TenantStatus::Active,
        plan: Plan::Starter,
        max_concurrent_calls: None,
        created_at,
    };
    Route {
        number,
        tenant,
        profile: None,
        number_profiles: NumberProfiles::default(),
        usage: unused(),
        targets: vec![],
        pre_call: None,
        engines: vec![],
    }
}

/// A month of which nothing is used.
pub fn unused() -> MonthUse {
    MonthUse { month: Month::of(Utc::now()), seconds: 0 }
}

/// A call that is in no database.
pub fn call() -> Call {
    call_to(&route())
}

/// A call along a route, ringing.
pub fn call_to(route: &Route) -> Call {
    Call {
        id: CallId::new(),
        tenant_id: route.tenant.id,
        phone_number_id: route.number.id,
        ai_profile_id: route.profile.as_ref().map(|profile| profile.id),
        ai_profile_version: route.profile.as_ref().map(|profile| profile.version),
        routing_version: Some(route.number.routing_version),
        asterisk_channel_id: "1700000000.42".to_owned(),
        direction: Direction::Inbound,
        caller_number: Some("+49301234".to_owned()),
        called_number: route.number.did.clone(),
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: None,
        started_at: kept(Utc::now()),
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
    }
}

/// A transfer of a call that the target declined, with the agent's summary.
pub fn transfer(call: &Call, summary: &str) -> CallTransfer {
    CallTransfer {
        target: "shop".parse().expect("a label"),
        method: TransferMethod::Dial,
        style: TransferStyle::Warm,
        outcome: TransferOutcome::Declined,
        resolved_to: None,
        summary: Some(summary.to_owned()),
        started_at: call.started_at,
        answered_at: Some(call.started_at),
        accepted_at: None,
        ended_at: Some(call.started_at + TimeDelta::seconds(9)),
        ended_by: None,
    }
}

/// The same call at its end.
pub fn completed(call: &Call) -> Call {
    Call {
        status: CallStatus::Completed,
        ended_by: Some(EndedBy::Caller),
        disposition: Some("caller_left".to_owned()),
        hangup_cause: Some(16),
        sip_status: Some(200),
        provider_call_id: Some("a84b4c76e66710@trunk.example".to_owned()),
        answered_at: Some(call.started_at),
        ended_at: Some(call.started_at + TimeDelta::seconds(60)),
        codec: Some("ulaw".to_owned()),
        media: Some(json!({"loss": 0.25, "mos": 4.4})),
        failure_reason: Some("no_media: other_address".to_owned()),
        notice_heard_at: Some(call.started_at),
        emergency_at: Some(call.started_at),
        engine_failures: vec![EngineFailure {
            kind: EngineKind::Llm,
            engine: "openai".to_owned(),
            reason: "timeout".to_owned(),
            count: 2,
            first_at: call.started_at,
            covered: true,
            served_by: Some("near".to_owned()),
        }],
        fields: [("order".to_owned(), "two loaves".to_owned())].into(),
        pre_call: Some(PreCallRecord {
            outcome: PreCallOutcome::TimedOut,
            problem: Some("no complete response within 2000 ms".to_owned()),
            duration_ms: 2_001,
        }),
        ..call.clone()
    }
}

pub fn turn(call: &Call, n: u32) -> CallTurn {
    CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: n,
        caller_text: format!("question {n}"),
        agent_text: format!("answer {n}"),
        interrupted: n.is_multiple_of(2),
        spoken_by: Default::default(),
        target_text: None,
        pause_ms: Some(60 + n),
        transcript_ms: Some(100 + n),
        clause_ms: Some(300),
        speech_ms: Some(u32::MAX),
        reply_ms: Some(200),
        commit_ms: None,
        audio_ms: Some(u32::MAX),
        tools: vec![ToolRun {
            name: "stock".to_owned(),
            turn: n,
            arguments: r#"{"bread":"rye"}"#.to_owned(),
            outcome: ToolRunOutcome::Succeeded,
            result: r#"{"left":3}"#.to_owned(),
            started_at: call.started_at,
            duration_ms: 120,
        }],
        at: call.started_at + TimeDelta::seconds(n.into()),
    }
}

/// New credentials of a language model.
pub fn engine_credential(name: &str) -> NewEngineCredential {
    let key = SecretString::from("sk-0123456789abcdef");
    let account = EngineAccount { key, base_url: None, model: None, fallback: EngineFallback::None };
    NewEngineCredential { name: name.into(), kind: EngineKind::Llm, api: EngineApi::OpenAi, account }
}
