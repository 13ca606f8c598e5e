use super::super::Engines;
use super::*;
use crate::egress::DestinationPolicy;
use crate::engines::core::vendor::{Step, Vendor, answer};

const SETTINGS: &str = "llm.fallback = \"near\"\nllm.retry = { retries = 0 }\n[engines.near]\nkind = \"llm\"\napi = \"openai\"\n\
     model = \"m\"\nkey = \"operators-key\"\nbase_url = ";

fn limits(allow_private: bool, capacity: usize) -> OwnLimits {
    let guard = Guard::new(DestinationPolicy { allow_private, allow_http: true });
    OwnLimits { guard, capacity, withheld: Vec::new() }
}

fn engines(operator: &str, limits: &OwnLimits) -> Engines {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = toml::from_str(&format!("{SETTINGS}\"{operator}\"")).expect("settings");
    Engines::build_with(&settings, limits).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn account(id: &str, base_url: String) -> OwnAccount {
    OwnAccount {
        id: id.into(),
        version: 1,
        name: "own:acme".into(),
        kind: Kind::Llm,
        api: "openai",
        base_url: Some(base_url),
        model: Some("their-model".into()),
        key: "tenants-key".to_owned().into(),
        has_fallback: false,
        tenant: uuid::Uuid::now_v7(),
        shares: None,
    }
}

fn reply(text: &str) -> Vec<Step> {
    let piece = serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": "stop" }] });
    answer("200 OK\r\nContent-Type: text/event-stream", format!("data: {piece}\n\ndata: [DONE]\n\n"))
}

#[tokio::test]
async fn an_account_is_asked_with_its_own_key_and_model() {
    let (theirs, operators) =
        (Vendor::start(vec![reply("Yes.")]).await, Vendor::start(vec![reply("No.")]).await);
    let engines = engines(&operators.address(), &limits(true, 2));
    engines.own().try_out(&account("a", theirs.address())).await.expect("it replies");
    let requests = theirs.requests();
    assert!(
        requests[0].contains("Bearer tenants-key") && requests[0].contains("their-model"),
        "{requests:?}"
    );
    assert!(operators.requests().is_empty());
    theirs.stop().await;
    operators.stop().await;
}

#[tokio::test]
async fn a_private_address_is_refused_before_a_connection() {
    let theirs = Vendor::start(vec![reply("Yes.")]).await;
    let engines = engines("http://127.0.0.1:1", &limits(false, 2));
    for kind in [Kind::Stt, Kind::Llm, Kind::Tts] {
        let account = OwnAccount { kind, ..account("a", theirs.address()) };
        let error = engines.own().try_out(&account).await.expect_err("it is on loopback").to_string();
        assert!(error.contains("not public: loopback"), "{error}");
    }
    // The URL passes, and its name leads to a private address.
    let named = theirs.address().replace("127.0.0.1", "localhost.");
    for (kind, api) in [(Kind::Stt, "deepgram"), (Kind::Realtime, "openai-realtime")] {
        let live = OwnAccount { kind, api, model: None, ..account("a", named.clone()) };
        assert!(engines.own().try_out(&live).await.is_err(), "{api}");
    }
    assert!(theirs.requests().is_empty());
    theirs.stop().await;
}

/// Asks an account's language model; the text of its reply.
async fn said(engines: &Engines, account: &OwnAccount) -> Result<String, String> {
    use futures_util::StreamExt;
    let engine = engines.own().llm(account).map_err(|violation| violation.to_string())?;
    let deltas = engine.reply(llm::Prompt::default(), Default::default()).await;
    let deltas: Vec<_> = deltas.map_err(|error| error.to_string())?.collect().await;
    let text = deltas.into_iter().filter_map(|delta| match delta {
        Ok(llm::Delta::Text(text)) => Some(text),
        _ => None,
    });
    Ok(text.collect())
}

#[tokio::test]
async fn the_operators_engines_follow_only_where_the_tenant_wants_it() {
    let operators = Vendor::start(vec![reply("From the operator.")]).await;
    let engines = engines(&operators.address(), &limits(true, 2));
    let alone = account("a", "http://127.0.0.1:1".to_owned());
    assert!(said(&engines, &alone).await.is_err());
    assert!(operators.requests().is_empty());
    let followed = OwnAccount { id: "b".into(), has_fallback: true, ..alone };
    assert_eq!(said(&engines, &followed).await.as_deref(), Ok("From the operator."));
    assert!(operators.requests()[0].contains("Bearer operators-key"));
    assert_eq!(engines.own().state(Kind::Llm, "b", 1).map(|state| state.health < 1.0), Some(true));
    operators.stop().await;
    let withheld = OwnLimits { withheld: vec!["near".into()], ..limits(true, 2) };
    let engines = super::tests::engines("http://127.0.0.1:1", &withheld);
    assert!(engines.own().fallbacks.llm.is_empty(), "neither the script nor what is withheld follows");
}

#[test]
fn a_changed_account_has_a_new_engine_and_the_oldest_makes_room() {
    let engines = engines("http://127.0.0.1:1", &limits(true, 2));
    let own = engines.own();
    let get = |id: &str, version| {
        let account = OwnAccount { version, ..account(id, "http://127.0.0.1:1".to_owned()) };
        own.llm(&account).expect("an engine")
    };
    let first = get("a", 1);
    assert!(Arc::ptr_eq(&first, &get("a", 1)), "connections stay open");
    let changed = get("a", 2);
    assert!(!Arc::ptr_eq(&first, &changed) && own.state(Kind::Llm, "a", 1).is_none());
    get("a", 1);
    assert!(
        Arc::ptr_eq(&changed, &get("a", 2)),
        "a call that began before the change does not bring it back"
    );
    get("b", 1);
    get("a", 2);
    get("c", 1);
    let kept = ["a", "b", "c"].map(|id| own.state(Kind::Llm, id, if id == "a" { 2 } else { 1 }).is_some());
    assert_eq!(kept, [true, false, true]);
}

#[test]
fn speeches_of_accounts_are_told_apart() {
    let engines = engines("http://127.0.0.1:1", &limits(true, 9));
    let voice = |id: &str, version| {
        let account = OwnAccount {
            version,
            kind: Kind::Tts,
            api: "elevenlabs",
            model: None,
            ..account(id, "http://127.0.0.1:1".to_owned())
        };
        engines.own().tts(&account).expect("a voice")
    };
    let (one, other, changed) = (voice("a", 1), voice("b", 1), voice("a", 2));
    assert_eq!((&**one.name(), one.name()), ("own:acme", other.name()));
    assert!(one.identity() != other.identity() && one.identity() != changed.identity());
}

#[test]
fn an_account_may_be_of_an_engine_that_hears_and_speaks() {
    let engines = engines("http://127.0.0.1:1", &limits(true, 9));
    let own = engines.own();
    let voice = |version| OwnAccount {
        version,
        kind: Kind::Realtime,
        api: "openai-realtime",
        ..account("a", "http://127.0.0.1:1".to_owned())
    };
    let first = own.realtime(&voice(1)).expect("an engine");
    assert_eq!(&**first.name(), "own:acme");
    assert!(Arc::ptr_eq(&first, &own.realtime(&voice(1)).expect("an engine")));
    assert!(own.state(Kind::Realtime, "a", 1).is_some() && own.state(Kind::Llm, "a", 1).is_none());
    assert!(!Arc::ptr_eq(&first, &own.realtime(&voice(2)).expect("an engine")));
    let other = OwnAccount { kind: Kind::Stt, ..voice(1) };
    assert!(own.realtime(&other).is_err());
}

#[test]
fn an_account_that_fits_no_engine_is_a_violation() {
    let own = engines("http://127.0.0.1:1", &limits(false, 2));
    let own = own.own();
    let account = account("a", "https://example.com/v1".to_owned());
    for (wrong, field) in [
        (OwnAccount { api: "espeak", kind: Kind::Tts, model: None, ..account.clone() }, "base_url"),
        (OwnAccount { api: "scripted", base_url: None, model: None, ..account.clone() }, "key"),
        (OwnAccount { api: "cartesia", ..account.clone() }, "api"),
        (OwnAccount { base_url: Some("http://10.0.0.1/".into()), ..account.clone() }, "base_url"),
    ] {
        let built = match wrong.kind {
            Kind::Tts => own.tts(&wrong).map(drop),
            _ => own.llm(&wrong).map(drop),
        };
        let violation = built.expect_err(field);
        assert!(violation.field.ends_with(field), "{violation}");
    }
}
