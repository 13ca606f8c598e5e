//! Events as Asterisk 22.10.1 sent them, and the same with changed bytes.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const START: &str = r#"{"type":"StasisStart","timestamp":"2026-01-22T13:35:38.615+0000","args":["a","b"],"channel":{"id":"1795354538.0","name":"PJSIP/sipp-00000000","state":"Ring","protocol_id":"1-25656@127.0.0.1","caller":{"name":"sipp","number":"15550100"},"connected":{"name":"","number":""},"accountcode":"","dialplan":{"context":"from-trunk","exten":"15551234","priority":1,"app_name":"Stasis","app_data":"vca"},"creationtime":"2026-01-22T13:35:38.614+0000","language":"en"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const MEDIA_START: &str = r#"{"type":"StasisStart","timestamp":"2026-01-22T13:35:38.619+0000","args":[],"channel":{"id":"vca-media-1","name":"UnicastRTP/127.0.0.1:29000-0x7f9574005490","state":"Up","protocol_id":"","caller":{"name":"","number":""},"connected":{"name":"","number":""},"accountcode":"","dialplan":{"context":"default","exten":"s","priority":1,"app_name":"Stasis","app_data":"vca"},"creationtime":"2026-01-22T13:35:38.618+0000","language":"en"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const CALLER_HANGUP: &str = r#"{"type":"ChannelHangupRequest","timestamp":"2026-01-22T13:35:40.430+0000","channel":{"id":"1795354538.0","name":"PJSIP/sipp-00000000","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const OUR_HANGUP: &str = r#"{"cause":32,"soft":true,"type":"ChannelHangupRequest","timestamp":"2026-01-22T13:35:40.937+0000","channel":{"id":"vca-media-1","name":"UnicastRTP/127.0.0.1:29000-0x7f9574005490","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const END: &str = r#"{"type":"StasisEnd","timestamp":"2026-01-22T13:35:40.432+0000","channel":{"id":"1795354538.0","name":"PJSIP/sipp-00000000","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const DESTROYED: &str = r#"{"type":"ChannelDestroyed","timestamp":"2026-01-22T13:35:40.938+0000","cause":16,"cause_txt":"Normal Clearing","channel":{"id":"vca-media-1","name":"UnicastRTP/127.0.0.1:29000-0x7f9574005490","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const BRIDGE: &str = r#"{"type":"BridgeDestroyed","timestamp":"2026-01-22T13:35:40.937+0000","bridge":{"id":"vca-bridge-1","technology":"simple_bridge","bridge_type":"mixing","bridge_class":"stasis","creator":"Stasis","name":"","channels":[],"creationtime":"2026-01-22T13:35:38.620+0000","video_mode":"talker"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const VARSET: &str = r#"{"variable":"STASISSTATUS","value":"","type":"ChannelVarset","timestamp":"2026-01-22T13:35:38.619+0000","channel":{"id":"vca-media-1"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const DTMF: &str = r##"{"type":"ChannelDtmfReceived","timestamp":"2026-01-22T13:35:39.100+0000","digit":"#","duration_ms":120,"channel":{"id":"1795354538.0","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"##;
const TRANSFERRED: &str = r#"{"type":"StasisStart","timestamp":"2026-01-22T13:36:02.200+0000","args":[],"channel":{"id":"1795354560.7","name":"Local/_attended@transfer-00000001;1","state":"Up"},"replace_channel":{"id":"1795354538.0","name":"PJSIP/sipp-00000000","state":"Up","caller":{"name":"sipp","number":"15550100"}},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const HOLD: &str = r#"{"musicclass":"default","type":"ChannelHold","timestamp":"2026-01-22T13:35:45.100+0000","channel":{"id":"1795354538.0","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const UNHOLD: &str = r#"{"type":"ChannelUnhold","timestamp":"2026-01-22T13:35:55.100+0000","channel":{"id":"1795354538.0","state":"Up"},"asterisk_id":"02:fc:00:00:00:01","application":"vca"}"#;
const REPLACED: &str =
    r#"{"type":"ApplicationReplaced","timestamp":"2026-01-22T13:35:39.100+0000","application":"vca"}"#;
const REAL: [&str; 13] = [
    START,
    MEDIA_START,
    CALLER_HANGUP,
    OUR_HANGUP,
    END,
    DESTROYED,
    BRIDGE,
    VARSET,
    DTMF,
    REPLACED,
    TRANSFERRED,
    HOLD,
    UNHOLD,
];

#[test]
fn a_call_comes_in() {
    let Ok(Event::StasisStart { channel, args, replaces }) = Event::decode(START) else { panic!("{START}") };
    assert_eq!(channel.id.as_str(), "1795354538.0");
    assert_eq!(channel.state, ChannelState::Ring);
    assert_eq!(channel.caller.number, "15550100");
    assert_eq!(
        (channel.dialplan.context.as_str(), channel.dialplan.exten.as_str()),
        ("from-trunk", "15551234")
    );
    assert_eq!((channel.language.as_str(), channel.protocol_id.as_str()), ("en", "1-25656@127.0.0.1"));
    let id = |arg: &str| channel.provider_call_id(&["vip".to_owned(), arg.to_owned()]);
    assert_eq!(id("provider_call_id=CA42").as_deref(), Some("CA42"));
    for arg in [
        "provider_call_id=",
        "provider_call_id= ",
        "provider_call_id=a\u{1b}b",
        &"provider_call_id=".repeat(20),
    ] {
        assert_eq!(id(arg).as_deref(), Some("1-25656@127.0.0.1"), "the Call-ID");
    }
    assert!(!channel.is_external_media());
    assert_eq!(args, ["a", "b"]);
    assert_eq!(replaces, None);
}

#[test]
fn a_channel_takes_anothers_place() {
    let event = Event::decode(TRANSFERRED).unwrap();
    assert_eq!(event.channel_id().map(ChannelId::as_str), Some("1795354560.7"));
    assert!(
        matches!(&event, Event::StasisStart { replaces: Some(old), .. } if old.as_str() == "1795354538.0"),
        "{event:?}"
    );
    let unnamed = r#"{"type":"StasisStart","channel":{"id":"7"},"replace_channel":{}}"#;
    assert!(matches!(Event::decode(unnamed).unwrap(), Event::StasisStart { replaces: None, .. }));
}

#[test]
fn a_call_is_put_on_hold_and_taken_back() {
    for (text, kind) in [(HOLD, "ChannelHold"), (UNHOLD, "ChannelUnhold")] {
        let event = Event::decode(text).unwrap();
        assert_eq!((event.kind(), event.channel_id().unwrap().as_str()), (kind, "1795354538.0"));
        assert!(Event::KINDS.contains(&kind), "Asterisk is asked for it");
    }
}

#[test]
fn a_sound_begins_on_a_channel() {
    let started = |target: &str| {
        let playback = format!(
            r#"{{"id":"1","media_uri":"sound:silence/1","target_uri":"{target}","state":"playing"}}"#
        );
        Event::decode(&format!(r#"{{"type":"PlaybackStarted","playback":{playback}}}"#)).unwrap()
    };
    let event = started("channel:1795354538.0");
    assert_eq!((event.kind(), event.channel_id().unwrap().as_str()), ("PlaybackStarted", "1795354538.0"));
    assert!(Event::KINDS.contains(&event.kind()), "Asterisk is asked for it");
    for other in ["bridge:vca-bridge-1", "channel:", ""] {
        assert_eq!(started(other), Event::Unknown { kind: "PlaybackStarted".into() });
    }
}

#[test]
fn external_media_is_no_caller() {
    assert!(Event::decode(MEDIA_START).unwrap().channel().unwrap().is_external_media());
}

#[test]
fn each_kind_is_distinguished() {
    let seen: Vec<_> = REAL.iter().map(|text| Event::decode(text).unwrap()).collect();
    let kinds: Vec<_> = seen.iter().map(Event::kind).collect();
    assert_eq!(
        kinds,
        [
            "StasisStart",
            "StasisStart",
            "ChannelHangupRequest",
            "ChannelHangupRequest",
            "StasisEnd",
            "ChannelDestroyed",
            "BridgeDestroyed",
            "unknown",
            "ChannelDtmfReceived",
            "ApplicationReplaced",
            "StasisStart",
            "ChannelHold",
            "ChannelUnhold"
        ]
    );
    assert!(matches!(seen[2], Event::ChannelHangupRequest { cause: None, soft: false, .. }));
    assert!(matches!(seen[3], Event::ChannelHangupRequest { cause: Some(32), soft: true, .. }));
    assert!(
        matches!(&seen[5], Event::ChannelDestroyed { cause: 16, cause_txt, .. } if cause_txt == "Normal Clearing")
    );
    assert_eq!(seen[6], Event::BridgeDestroyed { bridge: BridgeId::new("vca-bridge-1") });
    assert_eq!(seen[7], Event::Unknown { kind: "ChannelVarset".into() });
    let Event::ChannelDtmfReceived { digit, duration_ms, .. } = &seen[8] else { panic!("{:?}", seen[8]) };
    assert_eq!((digit.as_char(), *duration_ms), ('#', 120));
    assert!(!format!("{:?}", seen[8]).contains('#'), "a key is not logged");
}

#[test]
fn what_is_left_out_is_empty() {
    let event = Event::decode(r#"{"type":"StasisStart","channel":{"id":"7","state":"Pre-ring"}}"#).unwrap();
    let expected = Box::new(Channel::with_id("7"));
    assert_eq!(event, Event::StasisStart { channel: expected, args: vec![], replaces: None });
}

#[test]
fn an_event_without_its_channel_is_refused() {
    let missing = DecodeError::Missing { kind: "StasisStart", field: "channel" };
    assert_eq!(Event::decode(r#"{"type":"StasisStart"}"#), Err(missing));
    for text in [r#"{"type":"StasisStart","channel":{}}"#, r#"{"type":"StasisStart","channel":{"id":""}}"#] {
        let refused = Event::decode(text);
        assert!(matches!(refused, Err(DecodeError::Json { .. })), "{text}: {refused:?}");
    }
}

#[test]
fn neither_errors_nor_debug_show_a_number() {
    let error = Event::decode(r#"{"type":"StasisStart","channel":"15550100"}"#).unwrap_err();
    assert!(!error.to_string().contains("15550100"), "{error}");
    let shown = format!("{:?}", Event::decode(START).unwrap());
    assert!(!shown.contains("15550100") && !shown.contains("15551234"), "{shown}");
}

proptest! {
    #[test]
    fn a_key_that_no_keypad_has_is_refused(text in prop_oneof![any::<String>(), "[0-9A-Da-d*#EFX]"]) {
        let event = json!({ "type": "ChannelDtmfReceived", "digit": text, "channel": { "id": "7" } });
        let malformed = DecodeError::Malformed { kind: "ChannelDtmfReceived", field: "digit" };
        match Event::decode(&event.to_string()) {
            Ok(Event::ChannelDtmfReceived { digit, .. }) => {
                prop_assert_eq!(digit.as_char().to_string(), text.to_ascii_uppercase());
            }
            other => {
                prop_assert_eq!(other, Err(malformed));
                prop_assert!(Digit::parse(&text).is_none());
            }
        }
    }

    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        let _ = Event::decode(&text);
    }

    #[test]
    fn a_mutated_event_never_panics(
        which in 0..REAL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = REAL[which].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(event) = Event::decode(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(event.channel_id().is_none_or(|id| !id.as_str().is_empty()));
        }
    }
}

#[test]
fn the_called_number_is_an_argument_before_it_is_the_extension() {
    let channel = |exten: &str| Channel {
        dialplan: Dialplan { exten: exten.into(), ..Dialplan::default() },
        ..Channel::with_id("7")
    };
    let called = |exten: &str, args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let CalledNumber { text, source } = channel(exten).called_number(&args);
        (text, source)
    };
    let argument = |text: &str| (text.to_owned(), NumberSource::StasisArgument);
    let extension = |text: &str| (text.to_owned(), NumberSource::Extension);
    assert_eq!(called("+15550100", &[]), extension("+15550100"));
    assert_eq!(called("s", &["+15550100"]), argument("+15550100"));
    assert_eq!(called("s", &["provider_call_id=CA1", " 15550100 "]), argument("15550100"));
    assert_eq!(called("s", &["other", "did=+15550100"]), argument("+15550100"));
    assert_eq!(called("+15550100", &["provider_call_id=CA1"]), extension("+15550100"));
    assert_eq!(called("+15550100", &[""]), extension("+15550100"), "a variable that is unset");
    let entered = Channel {
        dialplan: Dialplan { app_data: "vca,+15550100,provider_call_id=CA1".into(), ..Dialplan::default() },
        ..Channel::with_id("7")
    };
    assert_eq!(entered.stasis_arguments(), ["+15550100", "provider_call_id=CA1"]);
    assert_eq!(Channel::with_id("7").stasis_arguments(), [""; 0]);
}

#[test]
fn the_endpoint_of_a_sip_call_is_its_trunk() {
    let endpoint = |name: &str| {
        let channel = Channel { name: name.into(), ..Channel::with_id("1.1") };
        channel.sip_endpoint().map(str::to_owned)
    };
    assert_eq!(endpoint("PJSIP/vca-trunk-0000002a").as_deref(), Some("vca-trunk"));
    assert_eq!(endpoint("PJSIP/desk").as_deref(), Some("desk"));
    assert_eq!(endpoint("Local/s@people-00000001;1"), None);
}
