//! Random calls of tools, from the reply of the model to the place that Asterisk is asked to connect.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::agent::tests::profile;
use super::*;
use crate::conversation::{
    At, Conversation, GreetingMode, Input, Output, ResponseEvent, Settings, ToolOutcome, ToolRequest, TurnId,
};
use crate::engines::llm;
use crate::store::NewTarget;
use crate::tenancy::{DialplanRoute, ProfileSettings, TenantId, TransferRoute, TransferTarget};
use crate::tools::Reading;

/// The calls that are made, unless `VCA_TEST_TOOL_CALLS` says otherwise.
const USUAL_COUNT: usize = 200_000;

/// The calls of one reply of the model.
const AT_ONCE: usize = 8;

/// The characters that names have, and others.
const CHARACTERS: &[u8] = b"shopa1-+@/&,$ SP";

const NAMES: [&str; 7] = ["shop", "a-1", "po", "so", "sap", "hop", "ash"];

/// Four targets that the operator allows, and three that it does not.
fn targets() -> Vec<TransferTarget> {
    let target = |(name, kind, address): (&str, &str, &str)| {
        let new = json!({ "name": name, "description": "People.", "kind": kind, "address": address });
        let new: NewTarget = serde_json::from_value(new).expect("a target");
        new.of(TenantId::new())
    };
    let all = [
        ("shop", "extension", "shop@people"),
        ("a-1", "number", "+493055500199"),
        ("po", "queue", "reception"),
        ("so", "voicemail", "night"),
        ("sap", "extension", "sap@vault"),
        ("hop", "number", "+19005550100"),
        ("ash", "sip", "ash@evil.example.com"),
    ];
    all.map(target).into()
}

/// The places to which the names of the allowed ones lead.
fn places() -> [(&'static str, TransferRoute); 4] {
    let dial = |endpoint: &str| TransferRoute::Dial { endpoint: endpoint.to_owned() };
    let place = |context: &str, extension: &str| {
        let (context, extension) = (context.to_owned(), extension.to_owned());
        TransferRoute::Dialplan(DialplanRoute { context, extension, endpoint: None })
    };
    [
        ("shop", dial("Local/shop@people/n")),
        ("a-1", dial("PJSIP/+493055500199@trunk")),
        ("po", place("queues", "reception")),
        ("so", place("boxes", "night")),
    ]
}

fn rules() -> TransferRules {
    TransferRules {
        contexts: vec!["people".to_owned()],
        number_endpoint: "PJSIP/{number}@trunk".to_owned(),
        sip_endpoint: "PJSIP/trunk/{uri}".to_owned(),
        prefixes: vec!["+49".to_owned()],
        queue_context: "queues".to_owned(),
        voicemail_context: "boxes".to_owned(),
        ..TransferRules::default()
    }
}

/// A random call of a tool that leads to targets, or of another name.
fn random_call(random: &mut SmallRng) -> llm::ToolCall {
    let names = ["transfer", "transfer", "queue", "voicemail", "Transfer", "dial"];
    let length = random.random_range(0..6);
    let character = |_| char::from(CHARACTERS[random.random_range(0..CHARACTERS.len())]);
    let written: String = (0..length).map(character).collect();
    let target = match random.random_range(0..8) {
        0 => NAMES[random.random_range(0..NAMES.len())].to_owned(),
        _ => written,
    };
    let arguments = match random.random_range(0..8) {
        0 => format!(r#"{{"target":"{target}","summary":"{target}"}}"#),
        1 => format!(r#"{{"target":"{target}","number":"+19005550100"}}"#),
        2 => format!(r#"{{"target":["{target}"]}}"#),
        3 => format!(r#"{{"summary":"{target}"}}"#),
        4 => target,
        _ => format!(r#"{{"target":"{target}"}}"#),
    };
    let name = names[random.random_range(0..names.len())];
    llm::ToolCall {
        id: format!("{:08x}", random.random::<u32>()).into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

/// Has the agent's model make these calls in one reply, and the transfers fail one after the other. Returns the calls that led to a
/// transfer, with the name of its target.
fn transfers_of(agent: &Agent, calls: &[llm::ToolCall]) -> Vec<(usize, Arc<str>)> {
    let settings = Settings { greeting_mode: GreetingMode::Model, ..Settings::default() };
    let mut conversation = Conversation::new(settings);
    conversation.handle(At::default(), Input::Connected);
    let requests: Vec<ToolRequest> = calls
        .iter()
        .map(|call| match agent.toolbox.read(call.clone()) {
            Reading::Call(request) => request,
            Reading::EndCall => panic!("{call:?} ends the call"),
        })
        .collect();
    let events = requests.into_iter().map(ResponseEvent::ToolCall).chain([ResponseEvent::Finished]);
    for event in events {
        conversation.handle(At::default(), Input::Response { turn: TurnId(0), event });
    }
    let mut transfers = Vec::new();
    while let Some(output) = conversation.poll() {
        match output {
            Output::Transfer { tool, target, .. } => {
                transfers.push((tool.0 as usize, target));
                let (outcome, result) = (ToolOutcome::Failed, "busy".into());
                conversation.handle(At::default(), Input::Tool { tool, outcome, result });
            }
            Output::RunTool { call, .. } => panic!("{call:?} runs"),
            _ => {}
        }
    }
    transfers
}

#[test]
fn random_calls_of_tools_lead_to_the_tenants_allowed_places_alone() {
    let count = std::env::var("VCA_TEST_TOOL_CALLS").ok().and_then(|count| count.parse().ok());
    let settings = json!({ "tools": ["transfer", "queue", "voicemail"] });
    let agent = profile("front desk", "You answer.", settings.clone());
    let settings: ProfileSettings = serde_json::from_value(settings).expect("settings");
    let (rules, places) = (rules(), places());
    let agent = agent.with_targets(&settings, &targets().into(), &rules);
    let mut random = SmallRng::seed_from_u64(14);
    let mut reached = [0; 4];
    for _ in 0..count.unwrap_or(USUAL_COUNT).div_ceil(AT_ONCE) {
        let calls: Vec<_> = (0..AT_ONCE).map(|_| random_call(&mut random)).collect();
        for (at, name) in transfers_of(&agent, &calls) {
            let target = agent.targets.iter().find(|target| target.name.as_str() == &*name);
            let route = rules.route(target.expect("a target of the tenant's"));
            let place =
                places.iter().position(|(known, place)| **known == *name && route.as_ref() == Ok(place));
            let place = place.unwrap_or_else(|| panic!("{:?} leads to {route:?}", calls[at]));
            let arguments = &calls[at].arguments;
            let is_only = *calls[at].name != *"transfer" && !arguments.contains("target");
            assert!(
                arguments.contains(&format!(r#""target":"{name}""#)) || is_only,
                "{:?}: {name}",
                calls[at]
            );
            reached[place] += 1;
        }
    }
    assert!(reached.iter().all(|count| *count > 100), "{reached:?}");
}
