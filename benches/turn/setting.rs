//! The daemon, its Asterisk, its engines, and the callers' voices.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use vca::audio::Clip;
use vca::sim::{Codec, Step};
use vca::tenancy::{Call as Record, CallTurn, TenantId};

use crate::support::labelled::server::{EngineServer, Pace};
use crate::support::labelled::track::{LabelledTrack, Speaker};
use crate::support::phone::{Call, Plan, Report};
use crate::support::test_env::TestEnv;
use crate::support::{self, clips};

const DID: &str = "+49305550100";
/// The number whose agent recognises speech live.
const LIVE_DID: &str = "+49305550101";
/// The number whose agent's recogniser judges the ends of turns.
const FLUX_DID: &str = "+49305550102";
/// The number whose agent speaks the first words of a reply before its first clause is complete.
const WORDS_DID: &str = "+49305550103";

/// Asks for a reply that lasts some 20 seconds.
pub const ASK_LONG: &str = "Please tell me about your services.";
pub const LONG_REPLY: &str = "We repair all common bicycles. Most repairs are finished on the day after you bring it. \
    We also sell new and used bicycles, for children and for adults, and we take an old one in part exchange. \
    For travellers we rent bicycles by the day and by the week, with a helmet, a lock and a pair of bags. \
    In winter we store your bicycle in a dry room, and we clean it before spring.";

/// Questions whose replies begin with a clause of six tokens.
pub const QUESTIONS: [&str; 6] = [
    "What are your opening hours?",
    "Where is your workshop located?",
    "How much does a new tyre cost?",
    "Can I bring my bicycle tomorrow?",
    "Do you have bicycles for children?",
    "Which payment methods do you accept?",
];

/// A word of the caller's message and the reply.
fn replies() -> Vec<(&'static str, String)> {
    let replies = [
        ("services", LONG_REPLY),
        ("opening", "We are open every weekday. We close at five."),
        ("located", "We are beside the station. The door is blue."),
        ("tyre", "A tyre costs thirty euros. The work is included."),
        ("tomorrow", "Tomorrow at nine is possible. Please be on time."),
        ("children", "We sell them for children. They begin at ninety euros."),
        ("payment", "We take cards and cash. A receipt is printed."),
        ("book", "Would you like a booking?"),
        ("yes", "Your booking is made now. Is that all right?"),
        ("no", "That is not a problem. Shall I ask again?"),
        ("", "I am listening to you. Please go on."),
    ];
    replies.into_iter().map(|(word, reply)| (word, reply.to_owned())).collect()
}

/// Engines that daemons have, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineAge {
    Old,
    LiveRecognition,
    PartialText,
}

pub struct Setting {
    pub env: TestEnv,
    pub engines: EngineServer,
    /// More repetitions.
    pub full: bool,
    tenant: TenantId,
    /// Sentences of callers and televisions, which the recogniser knows.
    clips: RefCell<HashMap<String, Clip>>,
    /// When the latest calls began to be placed.
    since: Cell<DateTime<Utc>>,
}

impl Setting {
    /// Starts everything with engines up to those that are needed, and an end-of-turn model or none. `None` without a sandbox.
    pub fn open(program: &Path, full: bool, needs: EngineAge, model: Option<&Path>) -> Option<Setting> {
        let engines = EngineServer::start(Pace::default(), replies());
        let mut env = TestEnv::build(&support::sandbox()?, program, None);
        let agent = |stt: &str, tts: &str| {
            json!({
                "greeting": "Hello, this is the workshop.", "language": "en", "stt": stt, "llm": "openai", "tts": tts,
            })
        };
        let tenant = env.seed.tenant("bench", DID, Some(200), agent("openai", "openai"));
        if needs >= EngineAge::LiveRecognition {
            env.seed.tenant("live", LIVE_DID, Some(200), agent("live", "openai"));
            env.set("VCA__ENGINES__LIVE__KIND", "stt");
            env.set("VCA__ENGINES__LIVE__API", "deepgram");
            env.set("VCA__ENGINES__LIVE__BASE_URL", &engines.live_base_url());
            env.set("VCA__ENGINES__LIVE__KEY", "unused");
            env.seed.tenant("flux", FLUX_DID, Some(200), agent("flux", "openai"));
            env.set("VCA__ENGINES__FLUX__KIND", "stt");
            env.set("VCA__ENGINES__FLUX__API", "deepgram-flux");
            env.set("VCA__ENGINES__FLUX__BASE_URL", &engines.flux_base_url());
            env.set("VCA__ENGINES__FLUX__KEY", "unused");
        }
        if needs >= EngineAge::PartialText {
            env.seed.tenant("words", WORDS_DID, Some(200), agent("live", "words"));
            env.set("VCA__ENGINES__WORDS__KIND", "tts");
            env.set("VCA__ENGINES__WORDS__API", "cartesia");
            env.set("VCA__ENGINES__WORDS__BASE_URL", &engines.words_base_url());
            env.set("VCA__ENGINES__WORDS__KEY", "unused");
            env.set("VCA__ENGINES__WORDS__TRANSPORT", "websocket");
            env.set("VCA__ENGINES__WORDS__PARTIAL_TEXT", "true");
        }
        if let Some(file) = model {
            env.set("VCA__END_OF_TURN__MODEL_FILE", &file.display().to_string());
            env.set("VCA__TURN__END_OF_TURN_MODEL", "true");
        }
        env.set("OPENAI_BASE_URL", &engines.base_url());
        env.set("OPENAI_API_KEY", "unused");
        // The replies are alike: each is to be synthesised.
        env.set("VCA__SENTENCE_CACHE__MAX_BYTES", "0");
        env.set("VCA__CALLS__MAX_CALLS_PER_TENANT", "200");
        env.set("VCA__PLANS__STARTER__MINUTES_PER_MONTH", "100000");
        env.open();
        let since = Cell::new(Utc::now());
        let setting = Setting { env, engines, full, tenant, clips: RefCell::default(), since };
        setting.warm_up();
        Some(setting)
    }

    /// Synthesises the sentences of all replies, so that the engines need not do so during a measurement, and opens the
    /// daemon's connections by a short call.
    fn warm_up(&self) {
        for (_, reply) in replies() {
            reply.split_inclusive(['.', '?']).for_each(|sentence| self.engines.prepare(sentence.trim()));
        }
        let script = vec![listen(), self.say(QUESTIONS[0]), listen(), Step::HangUp];
        let reports = self.run(vec![plan(0, script)]);
        assert_eq!(reports[0].status, Some(200), "{}\n{}", reports[0].log, self.env.log());
    }

    /// The caller says a sentence.
    pub fn say(&self, text: &str) -> Step {
        Step::Say(self.voice(text))
    }

    /// A sentence in the caller's voice.
    pub fn voice(&self, text: &str) -> Clip {
        self.known(Speaker::Caller, text, || clips::flite(text, "slt"))
    }

    /// A television, so many dB below the caller.
    pub fn television(&self, below: f64) -> Clip {
        let text = "Good evening and welcome to the news. Heavy rain is expected in the north of the country tonight. \
                    The minister has announced a new law about railways. In sport, the home team has lost again.";
        clips::at_level(&self.known(Speaker::Television, text, || clips::espeak(text, "en-gb")), -below)
    }

    /// A sentence that the recogniser knows from now on.
    fn known(&self, speaker: Speaker, text: &str, speak: impl FnOnce() -> Clip) -> Clip {
        if let Some(clip) = self.clips.borrow().get(text) {
            return clip.clone();
        }
        let clip = clips::at_level(&speak(), 0.0);
        self.engines.recogniser().learn(LabelledTrack::new(speaker, &clip, text));
        self.clips.borrow_mut().insert(text.to_owned(), clip.clone());
        clip
    }

    /// Places calls, a few each second, and sees all of them to their end.
    pub fn run(&self, plans: Vec<Plan>) -> Vec<Report> {
        self.run_with(plans, |_| {})
    }

    /// The same; `watch` is called often with the number of calls in progress.
    pub fn run_with(&self, plans: Vec<Plan>, mut watch: impl FnMut(usize)) -> Vec<Report> {
        self.since.set(Utc::now());
        let mut calls: Vec<(Call, bool)> = Vec::new();
        let mut plans = plans.into_iter();
        loop {
            if let Some(plan) = plans.next() {
                calls.push((Call::place(&self.env.asterisk, plan), false));
            }
            for (call, over) in calls.iter_mut().filter(|(_, over)| !over) {
                *over = call.step();
            }
            let running = calls.iter().filter(|(_, over)| !over).count();
            watch(running);
            if running == 0 && plans.len() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let reports = calls.into_iter().map(|(call, _)| call.finish()).collect();
        self.env.clears_away(Duration::from_secs(10));
        // The log is read, so that the daemon does not wait.
        self.env.log();
        reports
    }

    /// The record of the call from a number that `plan` made, among the latest calls, with its turns.
    pub fn record(&self, number: usize) -> Option<(Record, Vec<CallTurn>)> {
        let (from, since) = (from(number), self.since.get());
        let is_closed = |call: &Record| call.ended_at.is_some() && call.started_at >= since;
        let find = || {
            let calls = self.env.seed.calls(self.tenant);
            calls.into_iter().rev().find(|(call, _)| {
                call.caller_number.as_deref().is_some_and(|it| it.ends_with(&from)) && is_closed(call)
            })
        };
        support::wait::until(Duration::from_secs(5), find)
    }
}

/// How many turns have words of the caller and a response.
pub fn replies_of(turns: &[CallTurn]) -> usize {
    turns.iter().filter(|turn| !turn.caller_text.is_empty() && !turn.agent_text.is_empty()).count()
}

fn from(number: usize) -> String {
    format!("4930{:06}", 700_000 + number)
}

/// A call with a caller's number of its own.
pub fn plan(number: usize, script: Vec<Step>) -> Plan {
    Plan { from: from(number), at_most: Duration::from_secs(290), ..Plan::new(DID, Codec::Ulaw, script) }
}

/// A call to the number whose agent recognises speech live.
pub fn live_plan(number: usize, script: Vec<Step>) -> Plan {
    Plan { to: LIVE_DID.to_owned(), ..plan(number, script) }
}

/// A call to the number whose agent recognises speech live and speaks the first words of a reply.
pub fn words_plan(number: usize, script: Vec<Step>) -> Plan {
    Plan { to: WORDS_DID.to_owned(), ..plan(number, script) }
}

/// A call to the number whose agent's recogniser judges the ends of turns.
pub fn flux_plan(number: usize, script: Vec<Step>) -> Plan {
    Plan { to: FLUX_DID.to_owned(), ..plan(number, script) }
}

pub fn listen() -> Step {
    Step::Listen { silent: Duration::from_millis(700), at_most: Duration::from_secs(30) }
}
