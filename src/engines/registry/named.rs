//! `[engines.NAME]`: engines that the operator names, each with its kind, its API, its server and the options of the API.

use figment::Error;
use figment::error::Kind as Fault;
use figment::value::{Dict, Value};
use serde::{Deserialize, Deserializer};

use crate::engines::core::retry::Kind;
use crate::engines::core::{retry, server};
use crate::engines::{llm, realtime, stt, tts};
use crate::names::check_engine_name;

/// The protocol or the program of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    OpenAi,
    #[serde(rename = "openai-responses")]
    Responses,
    Anthropic,
    /// OpenAI's Realtime API, for transcription or speech to speech.
    #[serde(rename = "openai-realtime")]
    Realtime,
    Cartesia,
    ElevenLabs,
    Deepgram,
    /// Deepgram's Flux, which judges the ends of turns.
    #[serde(rename = "deepgram-flux")]
    Flux,
    Pocketsphinx,
    Scripted,
    Espeak,
    Flite,
}

/// A vendor's engine: its server, and the options of its API.
#[derive(Debug, Clone)]
pub struct Remote<O> {
    pub server: server::Settings,
    pub options: O,
}

#[derive(Debug, Clone)]
pub enum SttSpec {
    OpenAi(Remote<stt::openai::Settings>),
    Realtime(Remote<stt::realtime::Settings>),
    Scribe(Remote<stt::scribe::Settings>),
    Deepgram(Remote<stt::deepgram::Settings>),
    Flux(Remote<stt::flux::Settings>),
    Pocketsphinx(stt::pocketsphinx::Settings),
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are few of them, which are built at the start")]
pub enum LlmSpec {
    OpenAi(Remote<llm::openai::Settings>),
    Responses(Remote<llm::responses::Settings>),
    Anthropic(Remote<llm::anthropic::Settings>),
    Scripted(llm::scripted::Settings),
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are few of them, which are built at the start")]
pub enum TtsSpec {
    OpenAi(Remote<tts::openai::Settings>),
    Cartesia(Remote<tts::cartesia::Settings>),
    ElevenLabs(Remote<tts::elevenlabs::Settings>),
    Deepgram(Remote<tts::deepgram::Settings>),
    Espeak(tts::espeak::Settings),
    Flite(tts::flite::Settings),
}

/// A speech-to-speech engine.
pub type RealtimeSpec = Remote<realtime::Settings>;

/// An engine of any kind.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are few of them, which are built at the start")]
pub enum Spec {
    Stt(SttSpec),
    Llm(LlmSpec),
    Tts(TtsSpec),
    Realtime(RealtimeSpec),
}

/// An engine that the operator names.
#[derive(Debug, Clone)]
pub struct Named {
    /// Default: the settings of its kind, such as `[llm.retry]`.
    pub retry: Option<retry::Settings>,
    pub spec: Spec,
}

impl Named {
    /// Reads the table of an engine. Which keys it may have depends on `kind` and `api`.
    ///
    /// # Errors
    /// A key is missing or unknown, or its value does not fit. The error's path leads to the key.
    pub fn read(mut table: Dict) -> Result<Named, Box<Error>> {
        let kind = required(&mut table, "kind")?;
        let api = required(&mut table, "api")?;
        let retry = optional(&mut table, "retry")?;
        let spec = match (kind, api) {
            (Kind::Stt, Api::OpenAi) => Spec::Stt(SttSpec::OpenAi(remote(table)?)),
            (Kind::Stt, Api::Realtime) => Spec::Stt(SttSpec::Realtime(remote(table)?)),
            (Kind::Stt, Api::ElevenLabs) => {
                Spec::Stt(SttSpec::Scribe(remote_at(stt::scribe::BASE_URL, table)?))
            }
            (Kind::Stt, Api::Deepgram) => {
                Spec::Stt(SttSpec::Deepgram(remote_at(stt::deepgram::BASE_URL, table)?))
            }
            (Kind::Stt, Api::Flux) => Spec::Stt(SttSpec::Flux(remote_at(stt::flux::BASE_URL, table)?)),
            (Kind::Stt, Api::Pocketsphinx) => Spec::Stt(SttSpec::Pocketsphinx(options(table)?)),
            (Kind::Llm, Api::OpenAi) => Spec::Llm(LlmSpec::OpenAi(remote(table)?)),
            (Kind::Llm, Api::Responses) => Spec::Llm(LlmSpec::Responses(remote(table)?)),
            (Kind::Llm, Api::Anthropic) => {
                Spec::Llm(LlmSpec::Anthropic(remote_at(llm::anthropic::BASE_URL, table)?))
            }
            (Kind::Llm, Api::Scripted) => Spec::Llm(LlmSpec::Scripted(options(table)?)),
            (Kind::Tts, Api::OpenAi) => Spec::Tts(TtsSpec::OpenAi(remote(table)?)),
            (Kind::Tts, Api::Cartesia) => {
                Spec::Tts(TtsSpec::Cartesia(remote_at(tts::cartesia::BASE_URL, table)?))
            }
            (Kind::Tts, Api::ElevenLabs) => {
                Spec::Tts(TtsSpec::ElevenLabs(remote_at(tts::elevenlabs::BASE_URL, table)?))
            }
            (Kind::Tts, Api::Deepgram) => {
                Spec::Tts(TtsSpec::Deepgram(remote_at(tts::deepgram::BASE_URL, table)?))
            }
            (Kind::Tts, Api::Espeak) => Spec::Tts(TtsSpec::Espeak(options(table)?)),
            (Kind::Tts, Api::Flite) => Spec::Tts(TtsSpec::Flite(options(table)?)),
            (Kind::Realtime, Api::Realtime) => Spec::Realtime(remote(table)?),
            (kind, _) => return Err(misfit(kind)),
        };
        Ok(Named { retry, spec })
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Named, D::Error> {
        Named::read(Dict::deserialize(from)?).map_err(|error| {
            let path = error.path.join(".");
            let separator = if path.is_empty() { "" } else { ": " };
            serde::de::Error::custom(format!("{path}{separator}{}", error.kind))
        })
    }
}

fn misfit(kind: Kind) -> Box<Error> {
    let apis = match kind {
        Kind::Stt => "openai, openai-realtime, elevenlabs, deepgram, deepgram-flux or pocketsphinx",
        Kind::Llm => "openai, openai-responses, anthropic or scripted",
        Kind::Tts => "openai, cartesia, elevenlabs, deepgram, espeak or flite",
        Kind::Realtime => "openai-realtime",
    };
    at(Box::new(Error::from(format!("it has no engines of kind {kind}: use {apis}"))), "api")
}

fn required<T: for<'de> Deserialize<'de>>(table: &mut Dict, key: &'static str) -> Result<T, Box<Error>> {
    optional(table, key)?.ok_or_else(|| Box::new(Error::from(Fault::MissingField(key.into()))))
}

fn optional<T: for<'de> Deserialize<'de>>(table: &mut Dict, key: &str) -> Result<Option<T>, Box<Error>> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    value.deserialize().map(Some).map_err(|error| at(Box::new(error), key))
}

fn at(mut error: Box<Error>, key: &str) -> Box<Error> {
    error.path.insert(0, key.to_owned());
    error
}

fn options<O: for<'de> Deserialize<'de>>(table: Dict) -> Result<O, Box<Error>> {
    Ok(Value::from(table).deserialize()?)
}

/// As [`remote`], for a vendor with this default address.
fn remote_at<O: for<'de> Deserialize<'de>>(base_url: &str, mut table: Dict) -> Result<Remote<O>, Box<Error>> {
    table.entry("base_url".into()).or_insert_with(|| base_url.into());
    remote(table)
}

/// Divides a table into the keys of the server and the options.
fn remote<O: for<'de> Deserialize<'de>>(table: Dict) -> Result<Remote<O>, Box<Error>> {
    let is_server = |(key, _): &(String, Value)| server::Settings::KEYS.contains(&key.as_str());
    let (server, rest): (Vec<_>, Vec<_>) = table.into_iter().partition(is_server);
    let server = Value::from(Dict::from_iter(server)).deserialize()?;
    Ok(Remote { server, options: options(Dict::from_iter(rest))? })
}

/// Checks the name of an engine.
///
/// # Errors
/// The name is malformed or that of a built-in engine; the text says what to do.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    const BUILT_IN: [&str; 5] = ["openai", "pocketsphinx", "scripted", "espeak", "flite"];
    if BUILT_IN.contains(&name) {
        return Err("this is the name of a built-in engine: choose another one");
    }
    check_engine_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Named, Box<Error>> {
        let value: toml::Table = toml::from_str(toml).expect("TOML");
        Named::read(Value::serialize(value).expect("values").into_dict().expect("a table"))
    }

    #[test]
    fn a_table_is_divided_into_server_and_options() {
        let named = read(
            "kind = \"llm\"\napi = \"openai\"\nbase_url = \"http://[::1]:1/v1\"\nkey = \"k\"\nmodel = \"m\"\n\
             retry = { retries = 0 }",
        );
        let Named { retry: Some(retry), spec: Spec::Llm(LlmSpec::OpenAi(remote)) } =
            named.expect("an engine")
        else {
            panic!("another engine")
        };
        assert_eq!((retry.retries, &*remote.server.base_url), (0, "http://[::1]:1/v1"));
        assert_eq!((remote.server.key.is_some(), &*remote.options.model), (true, "m"));
    }

    #[test]
    fn an_error_leads_to_its_key() {
        for (toml, path) in [
            ("api = \"openai\"", ""),
            ("kind = \"llm\"", ""),
            ("kind = \"asr\"\napi = \"openai\"", "kind"),
            ("kind = \"llm\"\napi = \"espeak\"", "api"),
            ("kind = \"stt\"\napi = \"anthropic\"", "api"),
            ("kind = \"llm\"\napi = \"openai-responses\"\nalternate = true", "alternate"),
            ("kind = \"llm\"\napi = \"openai\"\nvoice = \"alloy\"", "voice"),
            ("kind = \"tts\"\napi = \"espeak\"\nbase_url = \"http://x\"", "base_url"),
            ("kind = \"llm\"\napi = \"openai\"\nmax_tokens = \"many\"", "max_tokens"),
            ("kind = \"llm\"\napi = \"openai\"\nretry = { retries = true }", "retry.retries"),
        ] {
            assert_eq!(read(toml).expect_err(toml).path.join("."), path, "{toml}");
        }
    }

    #[test]
    fn names_have_a_form() {
        for name in ["groq", "llama-3", "b_2", "x"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "Groq", "1a", "a b", "a.b", "a__b", "-a", "openai", "espeak", "ä", &"a".repeat(33)]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
