use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::tenancy::{TargetId, TargetKind, TenantId};

fn rules() -> TransferRules {
    TransferRules {
        number_endpoint: "PJSIP/{number}@vca-trunk".into(),
        sip_endpoint: "PJSIP/vca-trunk/{uri}".into(),
        refer_uri: "sip:{digits}@carrier.example.com".into(),
        contexts: vec!["sales".into()],
        queue_context: "queues".into(),
        sip_hosts: vec!["pbx.example.com".into(), "192.0.2.10:5070".into()],
        prefixes: vec!["+49".into(), "+1".into()],
        blocked_prefixes: vec!["+49900".into()],
        ..TransferRules::default()
    }
}

fn target(kind: TargetKind, address: &str, method: TransferMethod) -> TransferTarget {
    TransferTarget {
        id: TargetId::new(),
        tenant_id: TenantId::new(),
        name: "shop".parse().unwrap(),
        description: "The shop.".into(),
        kind,
        address: address.into(),
        method,
        style: TransferStyle::Cold,
        after_bridge: AfterBridge::Leave,
        resolver: None,
        hours: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn dial(endpoint: &str) -> Result<TransferRoute, TargetRefusal> {
    Ok(TransferRoute::Dial { endpoint: endpoint.into() })
}

fn place(context: &str, extension: &str, endpoint: Option<&str>) -> Result<TransferRoute, TargetRefusal> {
    let endpoint = endpoint.map(str::to_owned);
    Ok(TransferRoute::Dialplan(DialplanRoute {
        context: context.into(),
        extension: extension.into(),
        endpoint,
    }))
}

#[test]
fn each_kind_has_its_places() {
    use TargetKind::{Extension, Number, Queue, Sip};
    use TransferMethod::{Dial, Dialplan, Refer};
    let number = "PJSIP/+493055500100@vca-trunk";
    let sip = "PJSIP/vca-trunk/sip:shop@pbx.example.com";
    let refer = |uri: &str| Ok(TransferRoute::Refer { uri: uri.into() });
    for (kind, address, method, expected) in [
        (Extension, "1001@sales", Dial, dial("Local/1001@sales/n")),
        (Extension, "1001@sales", Dialplan, place("sales", "1001", None)),
        (Number, "+493055500100", Dial, dial(number)),
        (Number, "+493055500100", Dialplan, place("vca-transfer", "s", Some(number))),
        (Number, "+493055500100", Refer, refer("sip:493055500100@carrier.example.com")),
        (Sip, "shop@pbx.example.com", Dial, dial(sip)),
        (Sip, "shop@PBX.example.com", Refer, refer("sip:shop@pbx.example.com")),
        (Sip, "shop@pbx.example.com", Dialplan, place("vca-transfer", "s", Some(sip))),
        (Queue, "reception", Dialplan, place("queues", "reception", None)),
    ] {
        assert_eq!(rules().route(&target(kind, address, method)), expected, "{kind} {address} {method}");
    }
    for (kind, address, method) in
        [(Queue, "reception", Dial), (Queue, "reception", Refer), (Extension, "1001@sales", Refer)]
    {
        let refused = rules().route(&target(kind, address, method));
        assert_eq!(refused, Err(TargetRefusal::Method { kind, method }));
    }
}

#[test]
fn the_operators_ceilings_are_above_a_tenants_list() {
    use TargetKind::{Extension, Number, Sip};
    let refused = |kind, address| rules().route(&target(kind, address, TransferMethod::Dial)).err();
    let number = |text: &str| Some(TargetRefusal::Prefix(text.parse().unwrap()));
    assert_eq!(refused(Extension, "1001@inside"), Some(TargetRefusal::Context("inside".into())));
    assert_eq!(
        refused(Sip, "shop@evil.example.com"),
        Some(TargetRefusal::SipHost("evil.example.com".into()))
    );
    assert_eq!(refused(Sip, "shop@192.0.2.10"), Some(TargetRefusal::SipHost("192.0.2.10".into())));
    assert_eq!(refused(Sip, "shop@192.0.2.10:5070"), None);
    assert_eq!(refused(Number, "+4990012345678"), number("+4990012345678"));
    assert_eq!(refused(Number, "+882123456789"), number("+882123456789"));
    assert_eq!(refused(Number, "+12025550100"), None);
}

#[test]
fn without_settings_no_target_can_be_reached() {
    for (kind, address) in [
        (TargetKind::Extension, "1001@sales"),
        (TargetKind::Number, "+493055500100"),
        (TargetKind::Sip, "shop@pbx.example.com"),
        (TargetKind::Queue, "reception"),
    ] {
        for method in TransferMethod::ALL {
            let route = TransferRules::default().route(&target(kind, address, *method));
            assert!(route.is_err(), "{kind} {method}: {route:?}");
        }
    }
}

#[test]
fn emergency_numbers_are_never_a_target() {
    for address in ["+49112", "+49110", "+1911", "+44999", "+112", "+911", "+3580112", "+49 (0) 110"] {
        let refused = rules().route(&target(TargetKind::Number, address, TransferMethod::Dial));
        assert_eq!(refused, Err(TargetRefusal::Emergency), "{address}");
    }
    for address in [
        "112@sales",
        "0112@sales",
        "9911@sales",
        "+112@sales",
        "110@sales",
        "1-1-2@sales",
        "*112@sales",
        "+49112@sales",
    ] {
        let refused = rules().route(&target(TargetKind::Extension, address, TransferMethod::Dialplan));
        assert_eq!(refused, Err(TargetRefusal::Emergency), "{address}");
    }
    for (kind, address) in [
        (TargetKind::Sip, "112@pbx.example.com"),
        (TargetKind::Sip, "+49112@pbx.example.com"),
        (TargetKind::Sip, "1.1.2@pbx.example.com"),
        (TargetKind::Queue, "112"),
    ] {
        let refused = rules().route(&target(kind, address, TransferMethod::Dialplan));
        assert_eq!(refused, Err(TargetRefusal::Emergency), "{address}");
    }
    for address in ["1120@sales", "desk-112@sales"] {
        assert!(
            rules().route(&target(TargetKind::Extension, address, TransferMethod::Dial)).is_ok(),
            "{address}"
        );
    }
}

proptest! {
    /// No text that a tenant writes adds anything to a dial string but characters without a meaning there.
    #[test]
    fn dial_strings_are_the_operators_templates(
        address in ".{0,40}|[a-z0-9+]{1,9}@(sales|pbx\\.example\\.com)[,/&;?]?|\\+49[0-9,&/@]{3,9}",
    ) {
        for kind in TargetKind::ALL {
            for method in TransferMethod::ALL {
                match rules().route(&target(*kind, &address, *method)) {
                    Ok(TransferRoute::Dial { endpoint }) => prop_assert!(is_expected(&endpoint), "{endpoint}"),
                    Ok(TransferRoute::Refer { uri }) => {
                        prop_assert!(uri.starts_with("sip:") && uri.matches(['@', ':']).count() <= 3, "{uri}");
                    }
                    Ok(TransferRoute::Dialplan(route)) => {
                        prop_assert!(["sales", "queues", "vca-transfer"].contains(&&*route.context));
                        prop_assert!(!route.extension.contains([',', '/', '&', '$', '@']), "{route:?}");
                        prop_assert!(route.endpoint.iter().all(|it| is_expected(it)), "{route:?}");
                    }
                    // An endpoint is not dialled: the target of its answer is checked by itself.
                    Ok(TransferRoute::Ask) => prop_assert_eq!(*kind, TargetKind::Http),
                    Err(_) => {}
                }
            }
        }
    }
}

/// One destination, with the operator's trunk or context around it.
fn is_expected(endpoint: &str) -> bool {
    let inert =
        |text: &str| !text.contains([',', '&', '|', '$', '(', ')', ';', '?', ' ', '\r', '\n', '/', '@']);
    let local = endpoint.strip_prefix("Local/").and_then(|rest| rest.strip_suffix("@sales/n"));
    let number = endpoint.strip_prefix("PJSIP/").and_then(|rest| rest.strip_suffix("@vca-trunk"));
    let sip = endpoint.strip_prefix("PJSIP/vca-trunk/sip:").and_then(|rest| rest.split_once('@'));
    local.or(number).is_some_and(inert)
        || sip
            .is_some_and(|(user, host)| inert(user) && ["pbx.example.com", "192.0.2.10:5070"].contains(&host))
}

#[test]
fn only_a_dialled_target_can_be_asked_to_accept() {
    use TransferMethod::{Dial, Dialplan, Refer};
    let asked = |method, style| {
        rules().route(&TransferTarget { style, ..target(TargetKind::Sip, "shop@pbx.example.com", method) })
    };
    for style in [TransferStyle::Confirmed, TransferStyle::Warm] {
        assert_eq!(asked(Dial, style), asked(Dial, TransferStyle::Cold));
        for method in [Refer, Dialplan] {
            assert_eq!(asked(method, style), Err(TargetRefusal::Style(method)));
        }
    }
}

#[test]
fn vca_stays_with_a_dialled_target_alone() {
    use TransferMethod::{Dial, Dialplan, Refer};
    let route = |method, after_bridge| {
        let sip = target(TargetKind::Sip, "shop@pbx.example.com", method);
        rules().route(&TransferTarget { after_bridge, ..sip })
    };
    assert_eq!(route(Dial, AfterBridge::Stay), route(Dial, AfterBridge::Leave));
    for method in [Refer, Dialplan] {
        assert_eq!(route(method, AfterBridge::Stay), Err(TargetRefusal::AfterBridge(method)));
    }
}
