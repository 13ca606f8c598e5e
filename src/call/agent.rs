//! Who answers a call: a profile's words and manners, and the engines that it speaks through.

use std::collections::HashMap;
use std::sync::Arc;

use super::phrases::{NAMES, Spoken, wording};
use crate::llm::Llm;
use crate::stt::{Hints, Stt};
use crate::tenancy::{AiProfile, ProfileId};
use crate::tts::{Tts, Voice};
use crate::turn::{self, Phrase};

/// The engines of one profile.
#[derive(Clone)]
pub struct Engines {
    pub stt: Arc<dyn Stt>,
    pub llm: Arc<dyn Llm>,
    pub tts: Arc<dyn Tts>,
}

pub struct Agent {
    pub profile: ProfileId,
    pub engines: Engines,
    pub hints: Hints,
    pub voice: Voice,
    pub system_prompt: Arc<str>,
    pub manners: turn::Settings,
    pub wording: HashMap<Phrase, Arc<str>>,
}

impl Agent {
    /// `manners` are the daemon's defaults.
    pub fn new(profile: &AiProfile, engines: Engines, manners: turn::Settings) -> Agent {
        let settings = &profile.settings;
        let language: Option<Arc<str>> = settings.language.as_deref().map(Arc::from);
        let mut wording = wording(language.as_deref(), &settings.phrases);
        if let Some(greeting) = &settings.greeting {
            wording.insert(Phrase::Greeting, greeting.as_str().into());
        }
        Agent {
            profile: profile.id,
            engines,
            hints: Hints { language: language.clone() },
            voice: Voice { name: settings.voice.as_deref().map(Arc::from), language },
            system_prompt: profile.system_prompt.as_str().into(),
            manners: manners.with(&settings.turn),
            wording,
        }
    }

    /// Speaks all phrases at the rates that calls use, the greeting first. What cannot be spoken now is
    /// logged, and spoken when it is needed.
    pub async fn rehearse(&self, spoken: &Spoken) {
        let tts = &*self.engines.tts;
        let phrases = NAMES.iter().filter_map(|(phrase, _)| Some((phrase, self.wording.get(phrase)?)));
        for (phrase, text) in phrases.filter(|(_, text)| !text.trim().is_empty()) {
            if let Err(error) = spoken.prepare(tts, &self.voice, text, &[8_000, 16_000]).await {
                tracing::warn!(profile = %self.profile, engine = tts.name(), ?phrase, %error, "a phrase could not be spoken ahead");
                // An engine that is away would make each of the others wait as long.
                if error.worth_retrying() {
                    return;
                }
            }
        }
    }
}
