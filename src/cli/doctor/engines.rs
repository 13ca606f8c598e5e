//! The engines: does each one that somebody asks prove itself?

use std::collections::BTreeSet;

use super::keeping::Patient;
use super::{Finding, patiently};
use crate::engines::core::EngineError;
use crate::engines::registry::{Engines, Settings};
use crate::tenancy::ProfileSettings;

pub async fn examine(settings: &Settings, patients: &[Patient]) -> Vec<Finding> {
    let engines = match Engines::build(settings) {
        Ok(engines) => engines,
        Err(faults) => {
            let fail =
                |fault| Finding::fail("engines", fault, "correct the configuration: `vca config check`");
            return faults.into_iter().map(fail).collect();
        }
    };
    let mut findings = Vec::new();
    for name in asked("stt", engines.stt_names(), &settings.stt.fallback, patients, |it| &it.stt) {
        findings.push(match engines.stt(Some(&name.engine)) {
            Some(engine) => name.proven(patiently(engine.probe()).await),
            None => name.missing(),
        });
    }
    for name in asked("llm", engines.llm_names(), &settings.llm.fallback, patients, |it| &it.llm) {
        findings.push(match engines.llm(Some(&name.engine)) {
            Some(engine) => name.proven(patiently(engine.probe()).await),
            None => name.missing(),
        });
    }
    for name in asked("tts", engines.tts_names(), &settings.tts.fallback, patients, |it| &it.tts) {
        findings.push(match engines.tts(Some(&name.engine)) {
            Some(engine) => name.proven(patiently(engine.probe()).await),
            None => name.missing(),
        });
    }
    findings
}

/// An engine that is asked, and by whom.
struct Asked {
    kind: &'static str,
    engine: String,
    is_default: bool,
}

/// The default engine first, then its fallback and those that profiles name.
fn asked(
    kind: &'static str,
    known: Vec<&str>,
    fallback: &Option<String>,
    patients: &[Patient],
    wish: impl Fn(&ProfileSettings) -> &Option<String>,
) -> Vec<Asked> {
    let default = known.first().copied().unwrap_or_default();
    let profiles = patients.iter().filter_map(|patient| patient.profile.as_ref());
    let wishes = profiles.filter_map(|profile| wish(&profile.settings).as_deref());
    let others: BTreeSet<&str> = wishes.chain(fallback.as_deref()).filter(|name| *name != default).collect();
    let all = std::iter::once((default, true)).chain(others.into_iter().map(|name| (name, false)));
    all.map(|(engine, is_default)| Asked { kind, engine: engine.to_owned(), is_default }).collect()
}

impl Asked {
    fn check(&self) -> String {
        let role = if self.is_default { " (default)" } else { "" };
        format!("{} {}{role}", self.kind, self.engine)
    }

    fn proven(&self, probe: Result<Result<String, EngineError>, String>) -> Finding {
        match probe {
            Ok(Ok(seen)) => Finding::ok(self.check(), seen),
            Ok(Err(error)) => Finding::fail(self.check(), error, self.remedy()),
            Err(slow) => Finding::fail(self.check(), slow, self.remedy()),
        }
    }

    /// A profile asks for an engine that there is not.
    fn missing(&self) -> Finding {
        let problem = "a default profile asks for it, but there is no such engine: its calls are refused";
        let remedy = format!("vca profile update NAME --{} ENGINE; openai needs a key", self.kind);
        Finding::fail(self.check(), problem, remedy)
    }

    fn remedy(&self) -> String {
        let kind = self.kind;
        match self.engine.as_str() {
            "openai" => format!("see openai.key, openai.base_url and {kind}.openai.model"),
            engine => {
                format!("install what {engine} needs (see [{kind}.{engine}]), or choose another engine")
            }
        }
    }
}
