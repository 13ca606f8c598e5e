//! Which profile answers a call, and the variables of its SIP headers, over real calls.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::{Codec, Step};
use vca::tenancy::{NumberRouting, ProfileShare};

use crate::support::phone::{self, Plan};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};
use crate::support::{self, wait};

const DID: &str = "+49305551001";
const CALLS: usize = 8;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Voices are the vendor's, which keeps the texts.
fn test_env() -> Option<(TestEnv, Vendor)> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    Some((env, vendor))
}

/// The choice by the call's id is the one that `NumberProfiles::choose` makes, of which other tests show the shares.
#[test]
fn calls_are_shared_by_weight_and_records_name_the_profile() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let tenant = env.seed.tenant("bakery", DID, None, json!({ "greeting": "Unused." }));
    let profiles = ["First.", "Second."]
        .map(|greeting| env.seed.profile(tenant, greeting, json!({ "greeting": greeting })));
    let shares = profiles.into_iter().zip([60, 40]);
    let shares = shares.map(|(ai_profile_id, weight)| ProfileShare { ai_profile_id, weight }).collect();
    env.seed.routing(tenant, &NumberRouting { profiles: shares, closed_profile_id: None });
    env.open();
    let mut calls = [(); CALLS].map(|()| env.place(DID, vec![Step::Wait(ms(500)), Step::HangUp]));
    let over = wait::until_true(ms(20_000), || {
        calls.iter_mut().map(|call| call.step()).filter(|is_over| !is_over).count() == 0
    });
    assert!(over, "a call does not end\n{}", env.log());
    env.last_call(tenant);
    let records = env.seed.calls(tenant);
    assert_eq!(records.len(), CALLS, "{}", env.log());
    for (record, _) in records {
        assert!(record.answered_at.is_some(), "{record:?}\n{}", env.log());
        let chosen = env.seed.chosen_profile(DID, record.id);
        assert_eq!((record.ai_profile_id, record.ai_profile_version), (Some(chosen), Some(1)), "{record:?}");
    }
}

#[test]
fn trusted_sip_headers_of_trusted_trunks_are_variables() {
    let Some((mut env, vendor)) = test_env() else { return };
    env.set("VCA__PROFILES__SIP_HEADERS", r#"["X-Customer"]"#);
    env.set("VCA__PROFILES__SIP_HEADER_TRUNKS", r#"["vca-trunk"]"#);
    let greeting = "Welcome {{sip.X-Customer}}, {{sip.X-Order}}.";
    env.seed.tenant("bakery", DID, None, json!({ "greeting": greeting }));
    env.open();
    let other_trunk = env.asterisk.options().wideband_trunk;
    for (trunk, is_trusted) in [(None, true), (Some(other_trunk), false)] {
        let before = vendor.requests(Kind::Tts).len();
        let headers = vec!["X-Customer: Ann".to_owned(), "X-Order: Bea".to_owned()];
        let plan = Plan::new(DID, Codec::Ulaw, vec![Step::Wait(ms(500)), Step::HangUp]);
        let report = phone::call(&env.asterisk, Plan { trunk, headers, ..plan });
        assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
        let requests = vendor.requests(Kind::Tts);
        let spoken = |word: &str| requests[before..].iter().any(|request| request.contains(word));
        assert!(spoken("Welcome") && !spoken("Bea"), "the operator does not trust the other header");
        assert_eq!(spoken("Ann"), is_trusted, "{trunk:?}\n{}", env.log());
    }
}
