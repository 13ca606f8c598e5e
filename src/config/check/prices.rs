//! Models that would be used and have no price: their use would be billed with nothing, so that statements are held back.

use crate::config::Config;
use crate::tenancy::{EngineKind, EngineUse, ProfileSettings, UsageUnit};
use crate::violation::Violation;

pub(super) fn warnings(config: &Config) -> Vec<Violation> {
    let unpriced = config.unpriced(&ProfileSettings::default());
    let invalid_value = |model: String| {
        Violation::with_remedy(
            "prices.engines",
            format!("{model} has no price: statements with its use are held back"),
            "add a price (0 where it is free), and see `vca usage issue --dry-run`",
        )
    };
    unpriced.into_iter().map(invalid_value).collect()
}

impl Config {
    /// The models of vendors' engines that calls with a profile would use, as their first choice or as the fallback, and
    /// for which the price list has no price; each with the units that lack one.
    pub fn unpriced(&self, profile: &ProfileSettings) -> Vec<String> {
        let settings = self.engines();
        let defaults = settings.defaults();
        let (stt, llm, tts) = (settings.stt_entries(), settings.llm_entries(), settings.tts_entries());
        let stt: Vec<_> = stt.iter().filter_map(|it| Some((&*it.name, it.models()?.0))).collect();
        let llm: Vec<_> = llm.iter().filter_map(|it| Some((&*it.name, it.models()?.0))).collect();
        let tts: Vec<_> = tts.iter().filter_map(|it| Some((&*it.name, it.models()?.0))).collect();
        let choice = |engine: &Option<String>, default: &str, model: &Option<String>| {
            (engine.clone().unwrap_or_else(|| default.to_owned()), model.clone())
        };
        let kinds = [
            (
                EngineKind::Stt,
                stt,
                choice(&profile.stt, &defaults.stt, &profile.stt_model),
                &self.stt.fallback,
            ),
            (
                EngineKind::Llm,
                llm,
                choice(&profile.llm, &defaults.llm, &profile.llm_model),
                &self.llm.fallback,
            ),
            (
                EngineKind::Tts,
                tts,
                choice(&profile.tts, &defaults.tts, &profile.tts_model),
                &self.tts.fallback,
            ),
        ];
        let used = kinds.into_iter().flat_map(|(kind, engines, (chosen, own), fallback)| {
            let is_used = |name: &str| name == chosen || fallback.contains(name);
            let used: Vec<_> = engines.into_iter().filter(|(name, _)| is_used(name)).collect();
            // The fallback has its own model: a model's name means nothing to another engine.
            let model = move |name: &str, model: &str| match &own {
                Some(own) if name == chosen => own.clone(),
                _ => model.to_owned(),
            };
            used.into_iter().map(move |(name, default)| (kind, name.to_owned(), model(name, default)))
        });
        let used = used.filter_map(|(kind, name, model)| self.unpriced_model(kind, &name, &model));
        used.chain(self.unpriced_realtime(profile)).collect()
    }

    /// The same for the speech-to-speech engine of a profile, and the model by which it transcribes.
    fn unpriced_realtime(&self, profile: &ProfileSettings) -> Vec<String> {
        let entries = self.engines().realtime_entries();
        let chosen = entries.iter().find(|it| profile.realtime.as_deref() == Some(&*it.name));
        let Some(entry) = chosen else { return Vec::new() };
        let (name, model) = (&*entry.name, profile.realtime_model.as_deref().unwrap_or(entry.models().0));
        let transcription = &*entry.spec.options.transcription_model;
        let audio = EngineUse {
            kind: EngineKind::Realtime,
            engine: name.to_owned(),
            model: transcription.to_owned(),
            unit: UsageUnit::AudioMs,
            quantity: 1,
        };
        let unpriced = self.unpriced_model(EngineKind::Realtime, name, model);
        let untranscribed =
            (!self.prices.covers(&audio)).then(|| format!("realtime {name} {transcription} (audio_ms)"));
        unpriced.into_iter().chain(untranscribed).collect()
    }

    fn unpriced_model(&self, kind: EngineKind, engine: &str, model: &str) -> Option<String> {
        let missing = self.prices.missing(kind, engine, model);
        let units: Vec<&str> = missing.iter().map(|unit| unit.as_str()).collect();
        (!units.is_empty()).then(|| format!("{kind} {engine} {model} ({})", units.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::billing::Price;

    fn price(kind: EngineKind, model: &str, unit: UsageUnit) -> Price {
        Price { kind, engine: "openai".into(), model: model.into(), unit, price: 1, per: 1 }
    }

    #[test]
    fn configured_models_without_a_price_are_named() {
        let mut config = Config::default();
        config.openai.key = Some(SecretString::from("k"));
        assert_eq!(warnings(&config), [], "engines are not billed at all");
        config.prices.engines = vec![
            price(EngineKind::Stt, "*", UsageUnit::AudioMs),
            price(EngineKind::Llm, &config.llm.openai.model, UsageUnit::InputTokens),
            price(EngineKind::Tts, "*", UsageUnit::Characters),
        ];
        let model = config.llm.openai.model.clone();
        assert_eq!(
            config.unpriced(&ProfileSettings::default()),
            [format!("llm openai {model} (output_tokens)")]
        );
        assert_eq!(warnings(&config).len(), 1);
        let own = ProfileSettings { llm_model: Some("gpt-5-pro".into()), ..ProfileSettings::default() };
        assert_eq!(config.unpriced(&own), ["llm openai gpt-5-pro (input_tokens, output_tokens)"]);
        config.llm.default = Some("scripted".into());
        assert_eq!(config.unpriced(&own), Vec::<String>::new(), "it is not asked");
        config.llm.fallback = ["openai"].into();
        assert_eq!(config.unpriced(&own).len(), 1);
    }
}
