use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tenancy::{AfterBridge, TargetId, TransferMethod, TransferRoute, TransferRules, TransferStyle};

fn rules() -> TransferRules {
    TransferRules {
        number_endpoint: "PJSIP/{number}@vca-trunk".into(),
        sip_endpoint: "PJSIP/vca-trunk/{uri}".into(),
        contexts: vec!["sales".into(), "inside".into()],
        queue_context: "queues".into(),
        voicemail_context: "mailboxes".into(),
        sip_hosts: vec!["pbx.example.com".into(), "other.example.com".into()],
        prefixes: vec!["+49".into(), "+1".into()],
        ..TransferRules::default()
    }
}

fn target(name: &str, kind: TargetKind, address: &str) -> TransferTarget {
    TransferTarget {
        id: TargetId::new(),
        tenant_id: TenantId::new(),
        name: name.parse().expect("a label"),
        description: "People.".into(),
        kind,
        address: address.into(),
        method: TransferMethod::Dial,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Leave,
        resolver: None,
        hours: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn asked() -> TransferTarget {
    let allow = ["+4930", "@sales", "@PBX.example.com"].map(str::to_owned).to_vec();
    let resolver = Some(TargetResolver { allow, ..TargetResolver::default() });
    TransferTarget { resolver, ..target("on-call", TargetKind::Http, "https://example.com/target") }
}

fn targets() -> Vec<TransferTarget> {
    vec![asked(), target("shop", TargetKind::Extension, "1001@inside")]
}

/// The route that a response leads to.
fn route(response: &Value) -> Result<TransferRoute, String> {
    let resolved = ResolvedTarget::read(response.to_string().as_bytes())?;
    let target = resolved.find(&asked(), &targets())?;
    rules().route(&target).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_response_names_a_target_or_an_allowed_place() {
    for (response, endpoint) in [
        (json!({ "target": "shop" }), "Local/1001@inside/n"),
        (json!({ "kind": "number", "address": "+493055500100" }), "PJSIP/+493055500100@vca-trunk"),
        (json!({ "kind": "extension", "address": "1002@sales", "note": "x" }), "Local/1002@sales/n"),
        (
            json!({ "kind": "sip", "address": "ito@pbx.example.com" }),
            "PJSIP/vca-trunk/sip:ito@pbx.example.com",
        ),
    ] {
        assert_eq!(route(&response), Ok(TransferRoute::Dial { endpoint: endpoint.into() }), "{response}");
    }
}

#[test]
fn other_responses_are_refused() {
    for response in [
        json!(null),
        json!("shop"),
        json!({}),
        json!({ "target": "vault" }),
        json!({ "target": "on-call" }),
        json!({ "target": "shop", "kind": "number", "address": "+493055500100" }),
        json!({ "kind": "number" }),
        json!({ "kind": "number", "address": "+494055500100" }),
        json!({ "kind": "number", "address": "+4930110" }),
        json!({ "kind": "number", "address": "+49112" }),
        json!({ "kind": "extension", "address": "1001@inside" }),
        json!({ "kind": "extension", "address": "112@sales" }),
        json!({ "kind": "extension", "address": "1001@sales,1" }),
        json!({ "kind": "sip", "address": "shop@other.example.com" }),
        json!({ "kind": "sip", "address": "shop@pbx.example.com;maddr=evil" }),
        json!({ "kind": "queue", "address": "reception" }),
        json!({ "kind": "voicemail", "address": "shop" }),
        json!({ "kind": "http", "address": "https://example.com/other" }),
    ] {
        assert!(route(&response).is_err(), "{response}");
    }
    assert!(ResolvedTarget::read(b"\xff\x00").is_err());
}

#[test]
fn a_place_is_bounded_and_masked_in_logs() {
    let read = |address: &str| {
        ResolvedTarget::read(json!({ "kind": "sip", "address": address }).to_string().as_bytes())
    };
    let longest = format!("{}@pbx.example.com", "x".repeat(48));
    assert_eq!(read(&longest).expect("64 bytes").place(), longest);
    assert!(read(&format!("x{longest}")).is_err());
    let person = read("ito@pbx.example.com").expect("a place");
    assert_eq!(person.masked_place(), format!("{}om", "·".repeat(17)));
    let named = ResolvedTarget::read(br#"{"target": "shop"}"#).expect("a target");
    assert_eq!((named.place(), named.masked_place()), ("shop", "shop".to_owned()));
}

#[test]
fn the_tenants_allowance_does_not_exceed_the_operators() {
    let place = ResolvedTarget::Place { kind: TargetKind::Number, address: "+4930555001".into() };
    let found = place.find(&asked(), &[]).expect("allowed by the tenant");
    let narrow = TransferRules { prefixes: vec!["+1".into()], ..rules() };
    assert!(narrow.route(&found).is_err());
}

#[test]
fn a_resolver_that_cannot_work_is_named() {
    let fields = |resolver: Value| {
        let resolver = Some(serde_json::from_value(resolver).expect("a resolver"));
        let violations = check_resolver(&TransferTarget { resolver, ..asked() });
        violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    let headers = json!({ "headers": { "x-shop": "7" }, "secret_headers": { "authorization": "shop" } });
    assert_eq!(fields(headers), [""; 0]);
    for (resolver, field) in [
        (json!({ "headers": { "host": "x" } }), "resolver.headers"),
        (json!({ "timeout_ms": 10_001 }), "resolver.timeout_ms"),
        (json!({ "allow": ["*"] }), "resolver.allow"),
        (json!({ "allow": ["+"] }), "resolver.allow"),
        (json!({ "allow": ["@"] }), "resolver.allow"),
        (json!({ "allow": ["4930"] }), "resolver.allow"),
        (json!({ "allow": vec!["@sales"; 51] }), "resolver.allow"),
    ] {
        assert_eq!(fields(resolver.clone()), [field], "{resolver}");
    }
    let other = TransferTarget { resolver: asked().resolver, ..target("shop", TargetKind::Queue, "shop") };
    assert_eq!(check_resolver(&other)[0].field, "resolver");
}

/// Addresses with separators of dial strings, of the kinds that a response may name and of others.
fn response() -> impl Strategy<Value = Value> {
    let kind =
        prop::sample::select(vec!["number", "extension", "sip", "queue", "voicemail", "http", "trunk"]);
    let address = "\\+(49|4930|1|112)[0-9]{0,9}|[a-z0-9+*]{1,5}[@,/&$;]{1,2}(sales|inside|pbx\\.example\\.com|evil)[,;&/@]?[a-z0-9]{0,3}|\\PC{0,20}";
    let place = (kind, address).prop_map(|(kind, address)| json!({ "kind": kind, "address": address }));
    let named = "(shop|on-call|[a-z-]{1,6}|\\PC{0,8})".prop_map(|name: String| json!({ "target": name }));
    prop_oneof![3 => place, 1 => named]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Nothing but the tenant's targets, and places that tenant and operator both allow, is dialled.
    #[test]
    fn hostile_responses_reach_nothing_else(response in response()) {
        let Ok(route) = route(&response) else { return Ok(()) };
        let TransferRoute::Dial { endpoint } = route else { panic!("{route:?}") };
        let address = response["address"].as_str().unwrap_or_default();
        let digits = |number: &str| number.starts_with("+4930") && number[1..].bytes().all(|b| b.is_ascii_digit());
        let is_user = |user: &str| !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-*+.".contains(&b));
        let is_allowed = match response["kind"].as_str() {
            None => response["target"] == "shop" && endpoint == "Local/1001@inside/n",
            Some("number") => endpoint.strip_prefix("PJSIP/").and_then(|it| it.strip_suffix("@vca-trunk")).is_some_and(digits),
            Some("extension") => endpoint.strip_prefix("Local/").and_then(|it| it.strip_suffix("@sales/n")).is_some_and(is_user),
            Some("sip") => endpoint
                .strip_prefix("PJSIP/vca-trunk/sip:")
                .and_then(|it| it.strip_suffix("@pbx.example.com"))
                .is_some_and(is_user),
            Some(_) => false,
        };
        prop_assert!(is_allowed, "{address} leads to {endpoint}");
    }

    #[test]
    fn no_response_panics(body: Vec<u8>) {
        let _ = ResolvedTarget::read(&body).map(|resolved| resolved.find(&asked(), &targets()));
    }
}
