//! The settings that the operator permits profiles: engines with their names, and ceilings.
//!
//! A profile may exceed them, because it was saved under other rules or imported. A call then uses the daemon's
//! default, or the ceiling, instead of that setting.

use serde::Deserialize;

use super::{
    AnalysisSettings, EngineCredential, EngineKind, ProfileSettings, TenantEngineRules, TenantKeys, agents,
};
use crate::conversation;
use crate::names::{self, EngineNames, Names};
use crate::violation::Violation;

/// Upper limits of a profile's settings. The daemon's own defaults are always permitted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ceilings {
    /// Turns of the caller in a call. Default 500.
    pub max_turns: u32,
    /// Duration of a call, in milliseconds. Default 3,600,000.
    pub max_duration_ms: u64,
    /// Length of a response, in tokens. Default 500.
    pub max_reply_tokens: u32,
    /// SIP headers of the INVITE that profiles may name as `{{sip.NAME}}`, because your trunk or proxy sets them. Default none.
    pub sip_headers: Vec<String>,
    /// The endpoints of `pjsip.conf` of which these headers are trusted; empty, the default: all.
    pub sip_header_trunks: Vec<String>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Ceilings {
            max_turns: 500,
            max_duration_ms: 3_600_000,
            max_reply_tokens: 500,
            sip_headers: Vec::new(),
            sip_header_trunks: Vec::new(),
        }
    }
}

/// The engines, names and limits that profiles may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permitted {
    /// The engines of each kind, the default one first.
    pub stt: Vec<EngineNames>,
    pub llm: Vec<EngineNames>,
    pub tts: Vec<EngineNames>,
    /// Speech to speech, without a default one.
    pub realtime: Vec<EngineNames>,
    /// The daemon's settings of the conversation. A profile's settings override them.
    pub turn_settings: conversation::Settings,
    /// The daemon's longest response, in tokens, for profiles that set none.
    pub reply_tokens: u32,
    pub ceilings: Ceilings,
    /// The names of engines at accounts of the operator, as opposed to programs of this machine.
    pub accounts: Vec<String>,
    /// The rules for engines of tenants' own accounts.
    pub tenant_engines: TenantEngineRules,
}

impl Permitted {
    /// The same for a tenant with these engine credentials.
    #[must_use]
    pub fn with_own<'a>(&self, credentials: impl IntoIterator<Item = &'a EngineCredential>) -> Permitted {
        let mut permitted = self.clone();
        for credential in credentials.into_iter().filter(|it| self.tenant_engines.allow(it)) {
            let engines = match credential.kind {
                EngineKind::Stt => &mut permitted.stt,
                EngineKind::Llm => &mut permitted.llm,
                EngineKind::Tts => &mut permitted.tts,
                EngineKind::Realtime => &mut permitted.realtime,
            };
            engines.push(credential.names());
        }
        permitted
    }

    /// Engines at the operator's accounts, where the operator requires tenants to use their own.
    pub fn account_violations(&self, settings: &ProfileSettings) -> Vec<Violation> {
        let chosen = [
            ("stt", &settings.stt, &self.stt),
            ("llm", &settings.llm, &self.llm),
            ("tts", &settings.tts, &self.tts),
        ];
        let realtime = settings.realtime.as_deref().and_then(|name| self.account_violation("realtime", name));
        let refused = chosen.into_iter().filter_map(|(kind, named, engines)| {
            let default = engines.first().map(|it| it.engine.as_str());
            self.account_violation(kind, named.as_deref().or(default)?)
        });
        refused.chain(realtime).collect()
    }

    /// The same for the language model that analyses calls: that of the analysis, or else of the conversation.
    pub fn analysis_account_violation(&self, settings: &ProfileSettings) -> Option<Violation> {
        let asked = settings.analysis.as_ref().and_then(|it| it.llm.as_deref());
        let default = self.llm.first().map(|it| it.engine.as_str());
        self.account_violation("analysis.llm", asked.or(settings.llm.as_deref()).or(default)?)
    }

    /// A violation of `field` where the operator requires an engine of the tenant's in place of `engine`.
    fn account_violation(&self, field: &str, engine: &str) -> Option<Violation> {
        let is_refused = self.tenant_engines.keys == TenantKeys::Required
            && self.accounts.iter().any(|account| account == engine);
        is_refused.then(|| {
            let problem = format!(
                "the operator requires an engine of your own in place of {engine}: create engine credentials, and write \
                 own: and their name"
            );
            Violation::new(field, problem)
        })
    }

    /// The settings that a call uses, and the replaced ones with the reasons.
    pub fn effective(&self, settings: &ProfileSettings) -> (ProfileSettings, Vec<Violation>) {
        let mut effective = settings.clone();
        let mut refused: Vec<Violation> = self.name_violations(settings);
        for violation in &refused {
            match violation.field.as_str() {
                "stt_model" => effective.stt_model = None,
                "llm_model" => effective.llm_model = None,
                "tts_model" => effective.tts_model = None,
                "realtime_model" => effective.realtime_model = None,
                "realtime_voice" => effective.realtime_voice = None,
                "voice" => effective.voice = None,
                "analysis.llm_model" => {
                    effective.analysis =
                        effective.analysis.map(|it| AnalysisSettings { llm_model: None, ..it })
                }
                "language" => effective.language = None,
                field => {
                    let language = field.strip_prefix("voices.").unwrap_or_default();
                    effective.voices.remove(language);
                }
            }
        }
        let unusable = agents::language_violations(&effective);
        if !unusable.is_empty() {
            effective.languages.clear();
            effective.voices.clear();
            effective.detect_language = None;
            refused.extend(unusable);
        }
        refused.extend(self.ceiling_violations(settings));
        let (turns, duration, tokens) = self.limits();
        let turn = &mut effective.turn;
        turn.max_turns = turn.max_turns.map(|wanted| wanted.min(turns));
        turn.max_duration_ms = turn.max_duration_ms.map(|wanted| wanted.min(duration));
        effective.max_reply_tokens = settings.max_reply_tokens.map(|wanted| wanted.clamp(1, tokens));
        (effective, refused)
    }

    /// Names of voices, models and languages that the chosen engines do not accept.
    pub(super) fn name_violations(&self, settings: &ProfileSettings) -> Vec<Violation> {
        let malformed = settings.language.as_deref().and_then(|tag| names::check_language(tag).err());
        let mut violations =
            Vec::from_iter(malformed.map(|error| Violation::new("language", error.to_string())));
        let rule = rule_of(&self.tts, settings.tts.as_deref(), |engine| &engine.voices);
        for (language, voice) in &settings.voices {
            let refusal = rule.check(voice).err();
            violations
                .extend(refusal.map(|error| Violation::new(format!("voices.{language}"), error.to_string())));
        }
        let models: fn(&EngineNames) -> &Names = |engine| &engine.models;
        let voices: fn(&EngineNames) -> &Names = |engine| &engine.voices;
        let analysis = settings.analysis.as_ref();
        let analysis_model = analysis.map_or(&None, |it| &it.llm_model);
        let analysis_llm = analysis.map_or(&None, |it| &it.llm);
        let analysis_llm = if analysis_llm.is_some() { analysis_llm } else { &settings.llm };
        let chosen = [
            ("stt_model", &settings.stt_model, &self.stt, &settings.stt, models),
            ("llm_model", &settings.llm_model, &self.llm, &settings.llm, models),
            ("tts_model", &settings.tts_model, &self.tts, &settings.tts, models),
            ("voice", &settings.voice, &self.tts, &settings.tts, voices),
            ("realtime_model", &settings.realtime_model, &self.realtime, &settings.realtime, models),
            ("realtime_voice", &settings.realtime_voice, &self.realtime, &settings.realtime, voices),
            ("analysis.llm_model", analysis_model, &self.llm, analysis_llm, models),
        ];
        for (field, name, engines, engine, rule) in chosen {
            let Some(name) = name else { continue };
            let refusal = rule_of(engines, engine.as_deref(), rule).check(name).err();
            violations.extend(refusal.map(|error| Violation::new(field, error.to_string())));
        }
        violations
    }

    /// Limits that are above the operator's.
    pub(super) fn ceiling_violations(&self, settings: &ProfileSettings) -> Vec<Violation> {
        let (turns, duration, tokens) = self.limits();
        let wanted = [
            ("turn.max_turns", "max_turns", settings.turn.max_turns.map(u64::from), turns.into()),
            ("turn.max_duration_ms", "max_duration_ms", settings.turn.max_duration_ms, duration),
            ("max_reply_tokens", "max_reply_tokens", settings.max_reply_tokens.map(u64::from), tokens.into()),
        ];
        let above = wanted.into_iter().filter_map(|(field, key, wanted, most)| {
            let wanted = wanted.filter(|wanted| *wanted > most)?;
            let problem =
                format!("{wanted} is above the operator's limit, profiles.{key}: set it to {most} or less");
            Some(Violation::new(field, problem))
        });
        above.collect()
    }

    /// Turns, milliseconds and tokens: the ceilings, or the daemon's defaults where those are higher.
    fn limits(&self) -> (u32, u64, u32) {
        let duration = u64::try_from(self.turn_settings.max_duration_ms.as_millis()).unwrap_or(u64::MAX);
        let Ceilings { max_turns, max_duration_ms, max_reply_tokens, .. } = self.ceilings;
        (
            max_turns.max(self.turn_settings.max_turns),
            max_duration_ms.max(duration),
            max_reply_tokens.max(self.reply_tokens).max(1),
        )
    }
}

/// The rule of the named engine. Without a name, the default engine's; if that has no such names, the rule of the
/// first engine that has.
fn rule_of<'a>(
    engines: &'a [EngineNames],
    named: Option<&str>,
    rule: fn(&EngineNames) -> &Names,
) -> &'a Names {
    let mut fitting = engines.iter().filter(|it| match named {
        Some(name) => it.engine == name,
        None => *rule(it) != Names::None,
    });
    fitting.next().map_or(&Names::None, rule)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::tenancy::{Draft, EngineApi, EngineCredentialId, EngineFallback, TenantId, check_profile};

    fn permitted() -> Permitted {
        let flite = EngineNames::new("flite", Names::None, Names::listed(&["slt", "kal"]));
        let cloud = EngineNames::new("openai", Names::listed(&["tts-1"]), Names::Token);
        let llm = EngineNames::new("openai", Names::listed(&["gpt-5.4-mini", "gpt-5.6-sol"]), Names::None);
        Permitted { llm: vec![llm], tts: vec![flite, cloud], reply_tokens: 150, ..Permitted::default() }
    }

    fn effective(settings: serde_json::Value) -> (ProfileSettings, Vec<String>) {
        let settings = serde_json::from_value(settings).expect("settings");
        let (effective, refused) = permitted().effective(&settings);
        (effective, refused.into_iter().map(|violation| violation.field).collect())
    }

    #[test]
    fn permitted_settings_stay() {
        let settings = serde_json::json!({
            "voice": "kal", "llm_model": "gpt-5.6-sol", "language": "de-DE", "max_reply_tokens": 500,
            "turn": { "max_turns": 100, "max_duration_ms": 3_600_000, "commit_ms": 700 },
        });
        let (kept, refused) = effective(settings.clone());
        assert_eq!(refused, [] as [&str; 0]);
        assert_eq!(kept, serde_json::from_value(settings).expect("settings"));
    }

    #[test]
    fn names_give_way_to_the_default_and_limits_to_the_ceiling() {
        let (kept, refused) = effective(serde_json::json!({
            "voice": "http://127.0.0.1/x", "llm_model": "gpt-5-pro", "tts": "openai", "tts_model": "x\n",
            "language": "../etc", "max_reply_tokens": 501,
            "turn": { "max_turns": 4_000_000_000u32, "max_duration_ms": 86_400_000 },
        }));
        assert_eq!((kept.voice, kept.llm_model, kept.tts_model, kept.language), (None, None, None, None));
        assert_eq!((kept.turn.max_turns, kept.turn.max_duration_ms), (Some(500), Some(3_600_000)));
        assert_eq!(kept.max_reply_tokens, Some(500));
        let expected = [
            "language",
            "llm_model",
            "tts_model",
            "voice",
            "turn.max_turns",
            "turn.max_duration_ms",
            "max_reply_tokens",
        ];
        assert_eq!(refused, expected);
    }

    fn own(kind: EngineKind, api: EngineApi) -> EngineCredential {
        EngineCredential {
            id: EngineCredentialId::new(),
            tenant_id: TenantId::new(),
            name: "acme".into(),
            kind,
            api,
            base_url: None,
            model: None,
            fallback: EngineFallback::None,
            key_hint: "…".into(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn fields(permitted: &Permitted, settings: serde_json::Value) -> Vec<String> {
        let settings = serde_json::from_value(settings).expect("settings");
        let draft = Draft { settings: Some(&settings), ..Draft::default() };
        check_profile(draft, permitted).into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_tenants_own_engine_has_any_model_where_the_operator_allows_it() {
        let own = [own(EngineKind::Llm, EngineApi::OpenAi), own(EngineKind::Tts, EngineApi::Deepgram)];
        let settings = serde_json::json!({ "llm": "own:acme", "llm_model": "any/model", "tts": "own:acme", "voice": "v1" });
        let mut permitted = permitted();
        assert_eq!(fields(&permitted.with_own(&own), settings.clone()).len(), 4, "forbidden by default");
        permitted.tenant_engines.keys = TenantKeys::Allowed;
        assert_eq!(fields(&permitted.with_own(&own), settings.clone()), [""; 0]);
        assert!(!fields(&permitted, settings.clone()).is_empty(), "another tenant has no such engine");
        permitted.tenant_engines.apis = vec![EngineApi::Deepgram];
        assert_eq!(fields(&permitted.with_own(&own), settings), ["settings.llm_model", "settings.llm"]);
        let no_models = serde_json::json!({ "tts": "own:acme", "tts_model": "m" });
        assert_eq!(fields(&permitted.with_own(&own), no_models), ["settings.tts_model"]);
    }

    #[test]
    fn own_engines_may_be_required_in_place_of_the_operators_accounts() {
        let mut permitted = permitted();
        permitted.accounts = vec!["openai".into()];
        permitted.tenant_engines.keys = TenantKeys::Required;
        let permitted = permitted.with_own(&[own(EngineKind::Llm, EngineApi::OpenAi)]);
        assert_eq!(fields(&permitted, serde_json::json!({})), ["settings.llm"], "the default is an account");
        let own = serde_json::json!({ "llm": "own:acme", "tts": "flite" });
        assert_eq!(fields(&permitted, own), [""; 0], "flite is a program of this machine");
        assert_eq!(
            fields(&permitted, serde_json::json!({ "llm": "own:acme", "tts": "openai" })),
            ["settings.tts"]
        );
        let analysed = |llm: &str| {
            let analysis = serde_json::json!({ "llm": llm, "summary": true });
            fields(&permitted, serde_json::json!({ "llm": "own:acme", "tts": "flite", "analysis": analysis }))
        };
        assert_eq!(analysed("openai"), ["settings.analysis.llm"]);
        assert_eq!(analysed("own:acme"), [""; 0]);
    }

    #[test]
    fn own_speech_to_speech_takes_the_place_of_the_operators() {
        let mut permitted = permitted();
        permitted.realtime = vec![EngineNames::new("voice", Names::ModelId, Names::Token)];
        permitted.accounts = vec!["voice".into()];
        permitted.tenant_engines.keys = TenantKeys::Required;
        let permitted = permitted.with_own(&[own(EngineKind::Realtime, EngineApi::Realtime)]);
        assert_eq!(fields(&permitted, serde_json::json!({ "realtime": "voice" })), ["settings.realtime"]);
        let own = serde_json::json!({ "realtime": "own:acme", "realtime_model": "m", "realtime_voice": "v" });
        assert_eq!(fields(&permitted, own), [""; 0]);
    }

    #[test]
    fn the_daemons_own_defaults_are_always_permitted() {
        let mut permitted = permitted();
        permitted.turn_settings.max_turns = 300;
        permitted.ceilings.max_turns = 5;
        let wanted =
            |turns: u32| serde_json::from_value(serde_json::json!({ "turn": { "max_turns": turns } }));
        let turns = |wanted| permitted.effective(&wanted).0.turn.max_turns;
        assert_eq!(turns(wanted(300).expect("settings")), Some(300));
        assert_eq!(turns(wanted(301).expect("settings")), Some(300));
    }

    proptest! {
        /// Settings of a call are accepted when they are checked again.
        #[test]
        fn effective_settings_have_no_violations(voice: String, model: String, tts in "flite|openai|other", turns: u32,
                                            ms: u64, tokens: u32, language: String) {
            let settings = serde_json::from_value(serde_json::json!({
                "voice": voice, "llm_model": model, "tts": tts, "language": language, "max_reply_tokens": tokens,
                "turn": { "max_turns": turns, "max_duration_ms": ms },
            })).expect("settings");
            let (effective, _) = permitted().effective(&settings);
            prop_assert_eq!(permitted().effective(&effective), (effective.clone(), Vec::new()));
        }
    }
}
