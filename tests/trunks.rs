//! SIP callers: trunks are known by their address, and a name in the From header proves nothing.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use regex::Regex;
use vca::sim::Codec;

use crate::support::asterisk::{Asterisk, Options};
use crate::support::sipp::{Dial, SipCall};
use crate::support::{self, wait};

/// Ends in the dialplan of every trunk with 486.
const BUSY: &str = "9002";
const TRUNKS: [&str; 3] = ["vca-trunk", "twilio-trunk", "telnyx-trunk"];
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The final status of an INVITE.
fn status(asterisk: &Asterisk, from_address: Ipv4Addr, from: &str) -> Option<u16> {
    let media = (Ipv4Addr::LOCALHOST, 9).into();
    let (from, to) = (from.into(), BUSY.into());
    let (codec, keys, headers, holds_after) = (Codec::Ulaw, Vec::new(), Vec::new(), None);
    let dial = Dial { from_address, from, to, codec, media, keys, headers, holds_after, referral: None };
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

/// Without one the caller's trunk hears the cause of the last leg that Asterisk dialled.
#[test]
fn the_extensions_of_the_shipped_dialplan_hang_up_with_a_cause() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["asterisk/vca-extensions.conf", "docs/transfer.md"] {
        let text = fs::read_to_string(root.join(file)).expect("a text");
        assert!(!text.contains("Hangup()"), "{file}");
        let lines: Vec<&str> = text.lines().collect();
        let begins = |line: &str| line.contains(",1,Queue(") || line.contains(",1,VoiceMail(");
        let ends: Vec<_> = lines.windows(2).filter(|pair| begins(pair[0])).map(|pair| pair[1]).collect();
        assert!(
            !ends.is_empty() && ends.iter().all(|line| line.ends_with("n,Hangup(16)")),
            "{file}: {ends:?}"
        );
    }
}

/// Runs install.sh on a folder: whether it succeeded, and what it said on standard error.
fn install(folder: &Path, values: &str, options: &[&str]) -> (bool, String) {
    fs::write(folder.join("values.sed"), values).expect("a file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/install.sh");
    let mut command = Command::new(script);
    command.arg(folder.join("values.sed")).args(options).env("ASTERISK_DIR", folder);
    let output = command.output().expect("install.sh can be run");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn installing_beside_a_pbx_adds_lines_and_changes_none() {
    const VALUES: &str = "s|@@ARI_USERNAME@@|vca|g\ns|@@ARI_PASSWORD@@|secret|g\n";
    const DIALPLAN: &str = "[phones]\nexten => 100,1,Dial(PJSIP/100)\n";
    let folder = std::env::temp_dir().join(format!("vca-install-{:016x}", rand::random::<u64>()));
    fs::create_dir_all(&folder).expect("a folder");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    fs::write(folder.join("extensions.conf"), DIALPLAN).expect("a file");
    fs::write(folder.join("ari.conf"), "[general]\nenabled=yes\n").expect("a file");
    let (installed, said) = install(&folder, VALUES, &["--trunk"]);
    assert!(!installed && said.contains("vca-trunk.conf has placeholders without a value"), "{said}");
    assert_eq!(text("extensions.conf"), DIALPLAN, "nothing is written when something is missing");
    for _ in 0..2 {
        let (installed, said) = install(&folder, VALUES, &["--http"]);
        assert!(installed, "{said}");
        assert_eq!(text("extensions.conf"), format!("{DIALPLAN}\n#include vca-extensions.conf\n"));
        assert_eq!(text("ari.conf"), "[general]\nenabled=yes\n\n#include vca-ari.conf\n");
        assert_eq!(text("http.conf"), "\n[general]\n\n#include vca-http.conf\n");
        assert_eq!(text("extensions.conf.before-vca"), DIALPLAN);
    }
    assert!(text("vca-ari.conf").contains("[vca]") && text("vca-ari.conf").contains("password=secret"));
    assert!(!folder.join("pjsip.conf").exists(), "a trunk only where it is wanted");
    let mode = fs::metadata(folder.join("vca-ari.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn a_pbx_keeps_its_own_users_and_settings() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let users = asterisk.cli("ari show users");
    assert!(users.contains("panel") && users.contains("vca"), "{users}");
    let server = asterisk.cli("http show status");
    assert!(server.contains("Server: pbx") && server.contains("Enabled and Bound"), "{server}");
    let phones = asterisk.cli("pjsip show endpoints");
    assert!(phones.contains("phone") && phones.contains("vca-trunk"), "{phones}");
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
    for name in ["vca-trunk", forged] {
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
