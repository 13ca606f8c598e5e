//! Settings of engines that the registry would take, but that cannot work. The registry reports itself what engines cannot
//! be built from.

use super::{orders, zeros};
use crate::config::Config;
use crate::engines::core::{retry, shares};
use crate::engines::llm::{anthropic, openai, responses};
use crate::engines::registry::{Entry, LlmSpec, Remote, Settings, SttSpec, TtsSpec};
use crate::names::{ANY, Names};
use crate::violation::Violation;

/// The longest wait for a tenant's share of an engine.
const LONGEST_WAIT_MS: u64 = 5_000;

pub(super) fn faults(config: &Config) -> Vec<Violation> {
    let settings = config.engines();
    let mut found = Vec::new();
    let retries = [
        ("stt.retry", &settings.stt.retry),
        ("llm.retry", &settings.llm.retry),
        ("tts.retry", &settings.tts.retry),
    ];
    found.extend(retries.into_iter().flat_map(|(section, retry)| self::retry(section, retry)));
    for (name, named) in &settings.engines {
        found.extend(named.retry.iter().flat_map(|it| retry(&format!("engines.{name}.retry"), it)));
    }
    found.extend(zero_values(&settings));
    found.extend(shares(&config.engine_shares));
    found.extend(models(&settings));
    found.extend(settings.llm_entries().iter().flat_map(llm));
    found.extend(settings.stt_entries().iter().flat_map(ranges));
    found.extend(voices(&settings));
    found.sort_by(|one, other| one.field.cmp(&other.field));
    found.dedup();
    found
}

/// Options of Deepgram Flux that its server refuses.
fn ranges(entry: &Entry<SttSpec>) -> Vec<Violation> {
    let SttSpec::Flux(Remote { options, .. }) = &entry.spec else { return Vec::new() };
    let found = options.out_of_range().into_iter();
    let violation = |(key, range)| {
        let field = format!("{}.{key}", entry.section);
        Violation::with_remedy(field, "the value is out of range", format!("set it to {range}"))
    };
    found.map(violation).collect()
}

/// A caller waits for the requests of its call.
fn shares(settings: &shares::Settings) -> Option<Violation> {
    let problem = format!("{} ms is too long: use 0 to {LONGEST_WAIT_MS}", settings.wait_ms);
    (settings.wait_ms > LONGEST_WAIT_MS).then(|| Violation::new("engine_shares.wait_ms", problem))
}

fn retry(section: &str, retry: &retry::Settings) -> Vec<Violation> {
    let key = |key: &str| format!("{section}.{key}");
    let mut found =
        zeros(&[(&key("timeout_ms"), retry.timeout_ms == 0), (&key("breaker_ms"), retry.breaker_ms == 0)]);
    let (low, high) = (key("backoff_ms"), key("max_backoff_ms"));
    found.extend(orders(&[(&low, retry.backoff_ms.into(), &high, retry.max_backoff_ms.into())]));
    found
}

/// Options of a language model that its requests cannot carry.
fn llm(entry: &Entry<LlmSpec>) -> Vec<Violation> {
    let section = &entry.section;
    let (extra, reserved, temperature, hottest) = match &entry.spec {
        LlmSpec::OpenAi(Remote { options: it, .. }) => {
            (&it.extra, &openai::RESERVED[..], it.temperature, 2.0)
        }
        LlmSpec::Responses(Remote { options: it, .. }) => {
            (&it.extra, &responses::RESERVED[..], it.temperature, 2.0)
        }
        LlmSpec::Anthropic(Remote { options: it, .. }) => {
            (&it.extra, &anthropic::RESERVED[..], it.temperature, 1.0)
        }
        LlmSpec::Scripted(_) => return Vec::new(),
    };
    let reserved = extra.names().filter(|name| reserved.contains(name));
    let mut found: Vec<Violation> = reserved
        .map(|name| {
            let problem = format!("every request has {name} already");
            Violation::with_remedy(format!("{section}.extra.{name}"), problem, "remove it")
        })
        .collect();
    if temperature.is_some_and(|it| !(0.0..=hottest).contains(&it)) {
        let (problem, remedy) =
            ("the temperature is out of range", format!("set it from 0.0 to {hottest:.1}, or leave it out"));
        found.push(Violation::with_remedy(format!("{section}.temperature"), problem, remedy));
    }
    found
}

/// Options that must not be 0, each as its key and whether it is.
fn zero_values(settings: &Settings) -> Vec<Violation> {
    let mut values: Vec<(String, bool)> = Vec::new();
    for entry in settings.stt_entries() {
        let server = entry
            .server()
            .map(|it| (entry.server_section(), "connect_timeout_ms", it.connect_timeout_ms == 0));
        values.extend(server.map(keyed));
        if let Some(final_timeout_ms) = entry.final_timeout_ms() {
            values.push(keyed((&entry.section, "final_timeout_ms", final_timeout_ms == 0)));
        }
        if let SttSpec::Pocketsphinx(it) = &entry.spec {
            values.push(keyed((&entry.section, "max_processes", it.max_processes == 0)));
        }
    }
    for entry in settings.llm_entries() {
        let server = entry
            .server()
            .map(|it| (entry.server_section(), "connect_timeout_ms", it.connect_timeout_ms == 0));
        values.extend(server.map(keyed));
        values.extend(entry.max_tokens().map(|it| keyed((&entry.section, "max_tokens", it == 0))));
    }
    for entry in settings.tts_entries() {
        let server = entry
            .server()
            .map(|it| (entry.server_section(), "connect_timeout_ms", it.connect_timeout_ms == 0));
        values.extend(server.map(keyed));
        let (max_chars, max_processes) = match &entry.spec {
            TtsSpec::OpenAi(it) => (it.options.max_chars, None),
            TtsSpec::Cartesia(it) => (it.options.max_chars, None),
            TtsSpec::ElevenLabs(it) => (it.options.max_chars, None),
            TtsSpec::Deepgram(it) => (it.options.max_chars, None),
            TtsSpec::Espeak(it) => (it.max_chars, Some(it.max_processes)),
            TtsSpec::Flite(it) => (it.max_chars, Some(it.max_processes)),
        };
        values.push(keyed((&entry.section, "max_chars", max_chars == 0)));
        values.extend(max_processes.map(|it| keyed((&entry.section, "max_processes", it == 0))));
    }
    let values: Vec<(&str, bool)> = values.iter().map(|(key, is_zero)| (key.as_str(), *is_zero)).collect();
    zeros(&values)
}

fn keyed((section, key, is_zero): (&str, &str, bool)) -> (String, bool) {
    (format!("{section}.{key}"), is_zero)
}

/// Models that their engines would refuse.
fn models(settings: &Settings) -> Vec<Violation> {
    let (stt, llm, tts) = (settings.stt_entries(), settings.llm_entries(), settings.tts_entries());
    let stt = stt.iter().filter_map(|it| Some((&it.section, it.models()?)));
    let llm = llm.iter().filter_map(|it| Some((&it.section, it.models()?)));
    let tts = tts.iter().filter_map(|it| Some((&it.section, it.models()?)));
    let names = stt.chain(llm).chain(tts).flat_map(|(section, (model, more))| {
        let more = more.iter().filter(|model| *model != ANY).map(move |model| ("models", model.as_str()));
        std::iter::once(("model", model))
            .chain(more)
            .map(move |(key, model)| (format!("{section}.{key}"), model))
    });
    names.filter_map(|(key, model)| refusal(key, model, &Names::ModelId)).collect()
}

/// Voices that their engines would refuse.
fn voices(settings: &Settings) -> Vec<Violation> {
    let entries = settings.tts_entries();
    let voice = |entry: &Entry<TtsSpec>| {
        let (voice, rule) = entry.voice();
        refusal(format!("{}.voice", entry.section), voice, &rule)
    };
    entries.iter().filter_map(voice).collect()
}

fn refusal(key: String, name: &str, rule: &Names) -> Option<Violation> {
    let error = rule.check(name).err()?;
    Some(Violation::with_remedy(key, error.to_string(), rule.to_string()))
}
