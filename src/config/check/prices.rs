//! Models that would be used and have no price: their use would be billed with nothing, so that statements are held back.

use super::Complaint;
use crate::config::Config;
use crate::tenancy::{EngineKind, ProfileSettings};

pub(super) fn warnings(config: &Config) -> Vec<Complaint> {
    let unpriced = config.unpriced(&ProfileSettings::default());
    let complaint = |model: String| {
        Complaint::new(
            "prices.engines",
            format!("{model} has no price: statements with its use are held back"),
            "add a price (0 where it is free), and see `vca usage issue --dry-run`",
        )
    };
    unpriced.into_iter().map(complaint).collect()
}

impl Config {
    /// The models of the engine `openai` that calls with a profile would use, as their first choice or as the fallback,
    /// and for which the price list has no price; each with the units that lack one.
    pub fn unpriced(&self, profile: &ProfileSettings) -> Vec<String> {
        let is_cloud = self.openai.key.is_some();
        let asks = |names: [&Option<String>; 2], fallback: &Option<String>| {
            let chosen = names.into_iter().flatten().next().map(String::as_str);
            chosen.map_or(is_cloud, |name| name == "openai") || fallback.as_deref() == Some("openai")
        };
        let (stt, llm, tts) = (&self.stt, &self.llm, &self.tts);
        let models = [
            (
                EngineKind::Stt,
                asks([&profile.stt, &stt.default], &stt.fallback),
                &profile.stt_model,
                &stt.openai.model,
            ),
            (
                EngineKind::Llm,
                asks([&profile.llm, &llm.default], &llm.fallback),
                &profile.llm_model,
                &llm.openai.model,
            ),
            (
                EngineKind::Tts,
                asks([&profile.tts, &tts.default], &tts.fallback),
                &profile.tts_model,
                &tts.openai.model,
            ),
        ];
        let asked = models.into_iter().filter(|(_, is_asked, ..)| *is_asked);
        asked
            .filter_map(|(kind, _, own, model)| self.unpriced_model(kind, own.as_ref().unwrap_or(model)))
            .collect()
    }

    fn unpriced_model(&self, kind: EngineKind, model: &str) -> Option<String> {
        let missing = self.prices.missing(kind, "openai", model);
        let units: Vec<&str> = missing.iter().map(|unit| unit.as_str()).collect();
        (!units.is_empty()).then(|| format!("{kind} openai {model} ({})", units.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::billing::Price;
    use crate::tenancy::UsageUnit;

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
        config.llm.fallback = Some("openai".into());
        assert_eq!(config.unpriced(&own).len(), 1);
    }
}
