//! Calls that change to another agent or another language, through Asterisk.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::AgentChangeCause;

use crate::support::phone::Call;
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};
use crate::support::{self, clips, wait};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(8_000) }
}

fn question() -> Step {
    Step::Say(clips::flite("what are your opening hours", "slt"))
}

/// The vendor's model chooses the last agent or language that a tool offers.
fn test_env() -> Option<(TestEnv, Vendor)> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("VCA__TURN__FILLER_MS", "0");
    Some((env, vendor))
}

/// The system prompts of the requests to the model, in order.
fn system_prompts(vendor: &Vendor) -> Vec<String> {
    let system = |request: Value| request["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    vendor.requests(Kind::Llm).iter().map(|request| system(request.json())).collect()
}

/// The voice of a speech and of its predecessor's: those of the requests for a text.
fn voices_of(vendor: &Vendor, text: &str) -> Vec<String> {
    let requests = vendor.requests(Kind::Tts);
    let requests = requests.iter().map(|request| request.json());
    let of_text = requests.filter(|request| request["input"].as_str().is_some_and(|it| it.contains(text)));
    of_text.map(|request| request["voice"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Calls the numbers at once; each caller asks the question twice, the first time after this step.
fn ask_twice(env: &mut TestEnv, numbers: &[(&str, Step)]) {
    env.open();
    let script = |first: &Step| vec![first.clone(), question(), listen(), question(), listen(), Step::HangUp];
    let mut calls: Vec<Call> = numbers.iter().map(|(did, first)| env.place(did, script(first))).collect();
    let over = wait::until_true(ms(60_000), || {
        calls.iter_mut().for_each(|call| {
            call.step();
        });
        calls.iter().all(|call| call.progress().is_over())
    });
    assert!(over, "a call does not end\n{}", env.log());
    drop(calls);
    env.clears_away(ms(10_000));
}

#[test]
fn another_agent_and_another_language_go_on_with_the_call() {
    let Some((mut env, vendor)) = test_env() else { return };
    let (switching, speaking) = ("+49305550401", "+49305550402");
    let settings =
        json!({ "greeting": "Welcome.", "tools": ["switch_agent"], "switch_to": ["vault", "sales"] });
    let tenant = env.seed.tenant("Roth", switching, None, settings);
    let sales = env.seed.other_profile(tenant, "sales", "You sell bread.", json!({ "voice": "sage" }));
    let settings = json!({
        "greeting": "Good day.", "tools": ["set_language"], "languages": ["en", "hi"], "voices": { "hi": "coral" },
    });
    let other = env.seed.tenant("Huber", speaking, None, settings);
    // The first tenant names this profile, which is not its own.
    env.seed.other_profile(other, "vault", "You guard the secrets.", json!({}));
    ask_twice(&mut env, &[(switching, listen()), (speaking, listen())]);

    let (call, turns) = env.last_call(tenant);
    let [change] = &call.agent_changes[..] else { panic!("{:?}\n{}", call.agent_changes, env.log()) };
    assert_eq!((change.cause, change.ai_profile_id), (AgentChangeCause::SwitchAgent, sales));
    assert_eq!(change.ai_profile_version, 1);
    assert_ne!(call.ai_profile_id, Some(sales), "the first one");
    assert!(turns.iter().any(|turn| turn.tools.iter().any(|tool| tool.name == "switch_agent")), "{turns:?}");
    let prompts = system_prompts(&vendor);
    let of_sales = prompts.iter().filter(|prompt| prompt.contains("You sell bread."));
    let knows = |prompt: &&String| prompt.contains("took over this call from the agent \"front desk\"");
    assert!(of_sales.clone().all(|prompt| knows(&prompt)) && of_sales.count() >= 2, "{prompts:?}");
    assert!(!prompts.iter().any(|prompt| prompt.contains("secrets")), "another tenant's profile");

    let (call, _) = env.last_call(other);
    let first = &call.agent_changes[0];
    assert_eq!((first.cause, first.language.as_deref()), (AgentChangeCause::SetLanguage, Some("hi")));
    assert!(prompts.iter().any(|prompt| prompt.contains("Speak Hindi.")), "{prompts:?}");
    let heard = vendor.requests(Kind::Stt);
    let in_hindi = heard.iter().filter(|request| request.contains("name=\"language\"\r\n\r\nhi"));
    assert!(in_hindi.count() >= 1, "the recogniser gets the language");
    let voices = voices_of(&vendor, "nine");
    for voice in ["sage", "coral"] {
        assert!(voices.iter().any(|used| used == voice), "{voices:?}");
    }
}

/// One agent begins in German, and its caller speaks English; the model greets the caller of another; a third one waits.
#[test]
fn the_callers_language_is_spoken_and_the_greeting_is_as_the_profile_has_it() {
    let Some((mut env, vendor)) = test_env() else { return };
    let (speaking, greeted, waiting) = ("+49305550411", "+49305550412", "+49305550413");
    let settings = json!({
        "languages": ["de", "en"], "detect_language": true, "voices": { "de": "sage", "en": "coral" },
    });
    let english = env.seed.tenant("Roth", speaking, None, settings);
    let greeting = env.seed.tenant("Huber", greeted, None, json!({ "turn": { "greeting_mode": "model" } }));
    let silent = env.seed.tenant("Klein", waiting, None, json!({ "turn": { "greeting_mode": "wait" } }));
    ask_twice(&mut env, &[(speaking, listen()), (greeted, listen()), (waiting, Step::Wait(ms(1_500)))]);

    let (call, _) = env.last_call(english);
    let [change] = &call.agent_changes[..] else { panic!("{:?}\n{}", call.agent_changes, env.log()) };
    assert_eq!((change.cause, change.language.as_deref()), (AgentChangeCause::LanguageDetected, Some("en")));
    let prompts = system_prompts(&vendor);
    assert!(!prompts.iter().any(|prompt| prompt.contains("Speak German.")), "the first response is English");
    let voices = voices_of(&vendor, "nine");
    assert!(voices.contains(&"coral".to_owned()) && !voices.contains(&"sage".to_owned()), "{voices:?}");

    let (_, turns) = env.last_call(greeting);
    assert_eq!((turns[0].turn, turns[0].agent_text.as_str()), (0, "We are open from nine to five."));
    let asked = vendor.requests(Kind::Llm);
    assert!(
        asked.iter().any(|request| request.contains("(The call has been answered.")),
        "the model was asked"
    );
    let (_, turns) = env.last_call(silent);
    assert!(turns.iter().all(|turn| !turn.caller_text.is_empty()), "{turns:?}");
}
