//! SIP callers: trunks are known by their address, and a name in the From header proves nothing.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use vca::sim::Codec;

use crate::support::asterisk::{Asterisk, Options};
use crate::support::sipp::{Dial, SipCall};
use crate::support::{self, wait};

/// Ends in the dialplan of every trunk with 486.
const BUSY: &str = "9002";
const TRUNKS: [&str; 3] = ["tata-trunk", "twilio-trunk", "telnyx-trunk"];
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The final status of an INVITE.
fn status(asterisk: &Asterisk, from_address: Ipv4Addr, from: &str) -> Option<u16> {
    let media = (Ipv4Addr::LOCALHOST, 9).into();
    let dial = Dial { from_address, from: from.into(), to: BUSY.into(), codec: Codec::Ulaw, media };
    let call = SipCall::place(asterisk, &dial);
    call.wait_for_answer(Duration::from_secs(10))?.status.map(|status| status.0)
}

#[test]
fn a_trunk_is_its_address_and_not_a_name() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    for name in TRUNKS.into_iter().chain(["4930123456"]) {
        assert_eq!(status(&asterisk, STRANGER, name), Some(401), "a stranger named {name}");
    }
    let Options { trunk, twilio, telnyx, .. } = *asterisk.options();
    for (address, name) in [(trunk, TRUNKS[0]), (twilio, TRUNKS[1]), (telnyx, TRUNKS[2])] {
        assert_eq!(status(&asterisk, address, "4930123456"), Some(486), "a call over {name}");
        assert_eq!(status(&asterisk, address, "anonymous"), Some(486), "a call over {name}");
    }
    assert!(asterisk.channels().is_empty(), "{:?}", asterisk.channels());
}

/// The addresses that the filter finds in a log, in the order of its lines.
fn banned(log: &str) -> Vec<String> {
    // The regex crate has no lookahead: this one says that a line with two addresses is not used.
    const AMBIGUOUS: &str = "(?!.*RemoteAddress=.*RemoteAddress=)";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/fail2ban/filter.conf");
    let filter = fs::read_to_string(path).expect("the filter");
    let (_, rest) = filter.split_once("failregex =").expect("failregex");
    let rules: Vec<(Regex, bool)> = rest
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let pattern = line.replace(AMBIGUOUS, "").replace("<HOST>", "([0-9a-fA-F.:]+)");
            (Regex::new(&pattern).expect("a regular expression"), line.contains(AMBIGUOUS))
        })
        .collect();
    let found = log.lines().filter_map(|line| {
        // fail2ban takes the date out first.
        let (_, event) = line.split_once(']')?;
        let is_ambiguous = event.matches("RemoteAddress=").count() > 1;
        let mut fitting = rules.iter().filter(|(_, only_clear)| !(*only_clear && is_ambiguous));
        fitting.find_map(|(rule, _)| Some(rule.captures(event)?[1].to_owned()))
    });
    found.collect()
}

#[test]
fn fail2ban_finds_strangers_in_asterisks_security_log() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let Options { trunk, .. } = *asterisk.options();
    // A name that looks like another address to a careless filter.
    let forged = r"a%22,RemoteAddress=%22IPV4/UDP/192.0.2.10/5060%22,b=%22";
    for name in ["tata-trunk", forged] {
        assert_eq!(status(&asterisk, STRANGER, name), Some(401), "{name}");
    }
    assert_eq!(status(&asterisk, trunk, "4930123456"), Some(486));
    let stranger = STRANGER.to_string();
    let complete = || banned(&asterisk.security_log()).len() >= 2;
    assert!(wait::until_true(Duration::from_secs(5), complete), "{}", asterisk.security_log());
    assert_eq!(banned(&asterisk.security_log()), [stranger.clone(), stranger], "{}", asterisk.security_log());
}

#[test]
fn fail2ban_finds_wrong_passwords() {
    // As Asterisk 22.10.1 writes it.
    let line = r#"[2026-11-28 00:13:20.233] SECURITY[15842] res_security_log.c: SecurityEvent="ChallengeResponseFailed",EventTV="2026-11-28T00:13:20.233+0000",Severity="Error",Service="PJSIP",EventVersion="1",AccountID="phone",SessionID="1-15904@127.0.0.9",LocalAddress="IPV4/UDP/127.0.0.1/23456",RemoteAddress="IPV4/UDP/127.0.0.9/23991",Challenge="1795824800/d1bd60ed740d67d92547308908a17a23",Response="08024e9d59da66f2f1381c7a68870d88",ExpectedResponse="""#;
    assert_eq!(banned(line), ["127.0.0.9"]);
    let forged = line.replace("0802", "x\",RemoteAddress=\"IPV4/UDP/192.0.2.10/5060\",y=\"");
    assert_eq!(banned(&forged), [] as [&str; 0]);
    assert_eq!(banned(&line.replace("ChallengeResponseFailed", "ChallengeSent")), [] as [&str; 0]);
}
