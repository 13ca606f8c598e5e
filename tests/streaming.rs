//! Questions to agents that recognise speech as it is spoken, through Asterisk: by Deepgram's Nova, and by Flux, which judges
//! the ends of turns.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::conversation::percentile;
use vca::sim::{Codec, MeasuredResponse, Step};

use crate::support::labelled::server::{EngineServer, Pace};
use crate::support::labelled::track::{LabelledTrack, Speaker};
use crate::support::phone::Plan;
use crate::support::test_env::TestEnv;
use crate::support::{self, clips, phone};

/// The last two have pauses of 120 to 140 ms.
const QUESTIONS: [&str; 4] = [
    "What are your opening hours?",
    "How much does a new tyre cost?",
    "Where is your workshop located?",
    "Do you have bicycles for children?",
];
/// The most that a median reply takes on a busy machine.
const LATEST: Duration = Duration::from_millis(1_500);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn questions_are_answered_soon_and_cost_two_requests_at_most() {
    let Some(sandbox) = support::sandbox() else { return };
    let engines =
        EngineServer::start(Pace::default(), vec![("", "I see that well. Please go on.".to_owned())]);
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let lines = [
        ("nova", "deepgram", "+49305550100", engines.live_base_url()),
        ("flux", "deepgram-flux", "+49305550101", engines.flux_base_url()),
    ];
    for (name, api, number, url) in &lines {
        let agent = json!({
            "greeting": "Hello, this is the workshop.", "language": "en", "stt": name, "llm": "openai", "tts": "openai",
        });
        env.seed.tenant(name, number, Some(10), agent);
        let upper = name.to_uppercase();
        for (key, value) in [("KIND", "stt"), ("API", *api), ("BASE_URL", url.as_str()), ("KEY", "unused")] {
            env.set(&format!("VCA__ENGINES__{upper}__{key}"), value);
        }
    }
    env.set("OPENAI_BASE_URL", &engines.base_url());
    env.set("OPENAI_API_KEY", "unused");
    env.open();
    for sentence in ["I see that well.", "Please go on."] {
        engines.prepare(sentence);
    }
    let listen = |silent| Step::Listen { silent: ms(silent), at_most: ms(10_000) };
    let ask = |question: &str| {
        let clip = clips::at_level(&clips::flite(question, "slt"), 0.0);
        engines.recogniser().learn(LabelledTrack::new(Speaker::Caller, &clip, question));
        [Step::Say(clip), listen(700)]
    };
    let asked: Vec<Step> = QUESTIONS.into_iter().flat_map(ask).collect();
    for (name, _, number, _) in &lines {
        engines.clear();
        let script = [listen(500)].into_iter().chain(asked.clone()).chain([Step::HangUp]).collect();
        let report = phone::call(&env.asterisk, Plan::new(number, Codec::Ulaw, script));
        let responses = report.conversation.responses();
        let times: Vec<Duration> = responses.iter().filter_map(MeasuredResponse::latency).collect();
        let prompts: Vec<String> = engines.replies().into_iter().map(|request| request.question).collect();
        println!("{name}: {times:?}, deviating by {:?}; {prompts:?}", report.conversation.pacing_error(0.5));
        assert_eq!(times.len(), QUESTIONS.len(), "{name}: {prompts:?}\n{}", env.log());
        assert!(percentile(&times, 0.5) <= LATEST, "{name}: {times:?}\n{}", env.log());
        for question in QUESTIONS {
            let last = question.split(' ').next_back().unwrap_or_default();
            let whole = prompts.iter().filter(|prompt| prompt.contains(last)).count();
            assert!((1..=2).contains(&whole), "{name}: {question}: {prompts:?}");
        }
        assert!(prompts.len() <= 2 * QUESTIONS.len(), "{name}: {prompts:?}");
    }
}
