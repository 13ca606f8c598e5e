//! Questions while a television is heard without a pause, through Asterisk and a recogniser that hears both.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::audio::Clip;
use vca::sim::{Codec, LineConditions, Step};

use crate::support::labelled::server::{EngineServer, Pace};
use crate::support::labelled::track::{LabelledTrack, Speaker};
use crate::support::phone::{Call, Plan};
use crate::support::test_env::TestEnv;
use crate::support::{self, clips};

const NEWS: &str = "Good evening and welcome to the news. Heavy rain is expected in the north of the country tonight. \
                    The minister has announced a new law about railways. In sport, the home team has lost again.";
/// How much fainter the television is in dB, and the question.
const CALLS: [(f64, &str); 2] =
    [(12.0, "What are your opening hours?"), (18.0, "How much does a new tyre cost?")];
/// The end of the question to the answer: half a second shows that the caller has stopped, and engines take the rest.
const LATEST: Duration = Duration::from_millis(3_000);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Engines that know a sound at the level of callers.
fn learn(engines: &EngineServer, speaker: Speaker, clip: &Clip, text: &str) -> Clip {
    let clip = clips::at_level(clip, 0.0);
    engines.recogniser().learn(LabelledTrack::new(speaker, &clip, text));
    clip
}

#[test]
fn a_question_over_a_television_is_answered() {
    let Some(sandbox) = support::sandbox() else { return };
    let engines = EngineServer::start(Pace::default(), vec![("", "I see. Please go on.".to_owned())]);
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let agent = json!({
        "greeting": "Hello, this is the workshop.", "language": "en", "stt": "openai", "llm": "openai", "tts": "openai",
    });
    env.seed.tenant("main", "+49305550100", Some(10), agent);
    env.set("OPENAI_BASE_URL", &engines.base_url());
    env.set("OPENAI_API_KEY", "unused");
    env.open();
    let news = learn(&engines, Speaker::Television, &clips::espeak(NEWS, "en-gb"), NEWS);
    let calls = CALLS.map(|(below, question)| {
        let asked = learn(&engines, Speaker::Caller, &clips::flite(question, "slt"), question);
        let greeting = Step::Listen { silent: ms(500), at_most: ms(8_000) };
        let answer = Step::Listen { silent: ms(700), at_most: ms(20_000) };
        let script = vec![greeting, Step::Say(asked), answer, Step::HangUp];
        let background = Some(clips::at_level(&news, -below));
        let conditions = LineConditions { background, ..LineConditions::default() };
        Call::place(&env.asterisk, Plan { conditions, ..Plan::new("+49305550100", Codec::Ulaw, script) })
    });
    let mut calls = Vec::from(calls);
    while calls.iter_mut().map(Call::step).filter(|is_over| !is_over).count() > 0 {
        std::thread::sleep(ms(20));
    }
    let prompts: Vec<String> = engines.replies().into_iter().map(|request| request.question).collect();
    for (call, (below, question)) in calls.into_iter().zip(CALLS) {
        let report = call.finish();
        let latency = report.conversation.responses().first().and_then(|response| response.latency());
        println!("{below} dB below the caller: answered after {latency:?}; {prompts:?}");
        assert!(latency.is_some_and(|latency| latency <= LATEST), "{below} dB: {latency:?}\n{}", env.log());
        let is_whole = |prompt: &String| question.split_whitespace().all(|word| prompt.contains(word));
        assert!(prompts.iter().any(is_whole), "{below} dB: {prompts:?}");
    }
}
