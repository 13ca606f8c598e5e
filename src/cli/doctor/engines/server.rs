//! The servers of engines, and their lists of models.
//!
//! A list is a hint only. whisper.cpp has none, Ollama's is null or names `llama3.2:latest`, OpenRouter's has no models for
//! speech, Azure's has no deployments.

use std::fmt;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use crate::engines::core::openai::Endpoint;
use crate::engines::core::server::{Auth, OPENAI, Settings, SettingsError};
use crate::engines::core::{EngineError, FailureReason};
use crate::engines::registry::{Entry, LlmSpec, RealtimeSpec, Remote, SttSpec, TtsSpec};
use crate::engines::{llm, tts};

/// The most bytes of a list that are read: OpenRouter's has some hundred kilobytes.
const LONGEST_LIST: usize = 4 << 20;

/// A vendor's API, as far as its list of models goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListApi {
    OpenAi,
    Anthropic,
    ElevenLabs,
    Deepgram,
    /// As above, of models that transcribe.
    DeepgramStt,
    /// ElevenLabs has no list of models that transcribe.
    Scribe,
    /// Deepgram's second version has no list.
    Flux,
}

/// A server and the model that is asked for.
#[derive(Debug, Clone)]
pub struct EngineServer {
    settings: Settings,
    api: ListApi,
    /// The model; for Deepgram the voice, because its voices are models.
    model: String,
}

/// The model's state in a server's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    With {
        shutdown: Option<NaiveDate>,
    },
    Without,
    /// The server has no list.
    NoList,
}

impl EngineServer {
    pub fn of_stt(entry: &Entry<SttSpec>) -> Option<EngineServer> {
        let api = match &entry.spec {
            SttSpec::OpenAi(_) | SttSpec::Realtime(_) => ListApi::OpenAi,
            SttSpec::Scribe(_) => ListApi::Scribe,
            SttSpec::Deepgram(_) => ListApi::DeepgramStt,
            SttSpec::Flux(_) => ListApi::Flux,
            SttSpec::Pocketsphinx(_) => return None,
        };
        let model = entry.models()?.0.to_owned();
        Some(EngineServer { settings: entry.server()?.clone(), api, model })
    }

    pub fn of_llm(entry: &Entry<LlmSpec>) -> Option<EngineServer> {
        let server = EngineServer::openai(entry.server()?, entry.models()?.0)?;
        let api = if matches!(entry.spec, LlmSpec::Anthropic(_)) { ListApi::Anthropic } else { server.api };
        Some(EngineServer { api, ..server })
    }

    pub fn of_tts(entry: &Entry<TtsSpec>) -> Option<EngineServer> {
        match &entry.spec {
            TtsSpec::OpenAi(Remote { server, options }) => EngineServer::openai(server, &options.model),
            // It has no list of models.
            TtsSpec::Cartesia(Remote { server, options }) => EngineServer::openai(server, &options.model),
            TtsSpec::ElevenLabs(Remote { server, options }) => Some(EngineServer {
                settings: server.clone(),
                api: ListApi::ElevenLabs,
                model: options.model.clone(),
            }),
            TtsSpec::Deepgram(Remote { server, options }) => Some(EngineServer {
                settings: server.clone(),
                api: ListApi::Deepgram,
                model: options.voice.clone(),
            }),
            TtsSpec::Espeak(_) | TtsSpec::Flite(_) => None,
        }
    }

    pub fn of_realtime(entry: &Entry<RealtimeSpec>) -> EngineServer {
        let (settings, model) = (entry.server().clone(), entry.models().0.to_owned());
        EngineServer { settings, api: ListApi::OpenAi, model }
    }

    fn openai(settings: &Settings, model: &str) -> Option<EngineServer> {
        Some(EngineServer { settings: settings.clone(), api: ListApi::OpenAi, model: model.to_owned() })
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn is_openai(&self) -> bool {
        self.settings.base_url.trim_end_matches('/') == OPENAI
    }

    fn endpoint(&self) -> Result<Endpoint, SettingsError> {
        let auth = match self.api {
            ListApi::OpenAi => Auth::Scheme("Bearer"),
            ListApi::Anthropic => llm::anthropic::AUTH,
            ListApi::ElevenLabs | ListApi::Scribe => tts::elevenlabs::AUTH,
            ListApi::Deepgram | ListApi::DeepgramStt | ListApi::Flux => tts::deepgram::AUTH,
        };
        Endpoint::with_auth(&self.settings, auth)
    }

    /// Asks for the list, which costs nothing.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the key. A list that cannot be read is none.
    pub async fn list(&self) -> Result<Listing, EngineError> {
        let endpoint = self.endpoint().map_err(|error| EngineError::Permanent(error.to_string()))?;
        let (name, version) = llm::anthropic::VERSION;
        let request = match self.api {
            ListApi::Anthropic => endpoint.get("/models").query(&[("limit", "1000")]).header(name, version),
            _ => endpoint.get("/models"),
        };
        let mut response = match endpoint.send(request).await {
            Ok(response) => response,
            Err(error) if matches!(error.reason(), FailureReason::Refused | FailureReason::Model) => {
                return Ok(Listing::NoList);
            }
            Err(error) => return Err(error),
        };
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| endpoint.broken(error))? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_LIST {
                return Ok(Listing::NoList);
            }
        }
        Ok(listing(self.api, &self.model, &body))
    }
}

impl fmt::Display for EngineServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.settings.base_url.split('?').next().unwrap_or_default();
        write!(f, "{address}, {}", self.model)
    }
}

#[derive(Deserialize)]
struct ListedModel {
    #[serde(alias = "model_id", alias = "canonical_name")]
    id: String,
    #[serde(default)]
    shutdown_date: Option<NaiveDate>,
}

fn listing(api: ListApi, model: &str, body: &[u8]) -> Listing {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Listing::NoList };
    let list = match api {
        ListApi::OpenAi | ListApi::Anthropic => body.get("data").unwrap_or(&body),
        ListApi::ElevenLabs => &body,
        ListApi::Deepgram => body.get("tts").unwrap_or(&Value::Null),
        ListApi::DeepgramStt => body.get("stt").unwrap_or(&Value::Null),
        // ElevenLabs lists its models for speech only.
        ListApi::Scribe | ListApi::Flux => return Listing::NoList,
    };
    let items = match list {
        Value::Null => return Listing::Without,
        Value::Array(items) => items,
        _ => return Listing::NoList,
    };
    let mut models = items.iter().filter_map(|item| ListedModel::deserialize(item).ok());
    let found = models.find(|it| is_same(&it.id, model));
    found.map_or(Listing::Without, |it| Listing::With { shutdown: it.shutdown_date })
}

/// Ollama adds the tag `latest`, Gemini the prefix `models/`.
fn is_same(id: &str, model: &str) -> bool {
    let id = id.strip_prefix("models/").unwrap_or(id);
    // Anthropic's list has dated names; its requests take them without the date.
    let is_dated = id.strip_prefix(model).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_date);
    id == model || id.strip_suffix(":latest") == Some(model) || is_dated
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_servers_are_read() {
        let with = Listing::With { shutdown: None };
        let ends = Listing::With { shutdown: "2027-01-06".parse().ok() };
        for (api, body, expected) in [
            (ListApi::OpenAi, r#"{"data":[{"id":"m","object":"model"}]}"#, with),
            (ListApi::OpenAi, r#"{"data":[{"id":"m","shutdown_date":null}]}"#, with),
            (ListApi::OpenAi, r#"{"data":[{"id":"m","shutdown_date":"2027-01-06"}]}"#, ends),
            (ListApi::OpenAi, r#"{"data":[{"id":"m:latest"},{"name":"x"}]}"#, with),
            (ListApi::OpenAi, r#"{"data":[{"id":"models/m"}]}"#, with),
            (ListApi::Anthropic, r#"{"data":[{"id":"m-20251001"}]}"#, with),
            (ListApi::OpenAi, r#"{"data":[{"id":"m2"}]}"#, Listing::Without),
            (ListApi::OpenAi, r#"{"object":"list","data":null}"#, Listing::Without),
            (ListApi::OpenAi, "<html>", Listing::NoList),
            (ListApi::OpenAi, r#"{"detail":"?"}"#, Listing::NoList),
            (
                ListApi::Anthropic,
                r#"{"data":[{"type":"model","id":"m","display_name":"M"}],"has_more":false}"#,
                with,
            ),
            (ListApi::ElevenLabs, r#"[{"model_id":"m","name":"M"}]"#, with),
            (ListApi::Deepgram, r#"{"stt":[],"tts":[{"name":"n","canonical_name":"m"}]}"#, with),
            (ListApi::Deepgram, "{}", Listing::Without),
            (ListApi::DeepgramStt, r#"{"stt":[{"name":"n","canonical_name":"m"}],"tts":[]}"#, with),
            (ListApi::Scribe, r#"[{"model_id":"eleven_flash_v2_5"}]"#, Listing::NoList),
            (ListApi::Flux, r#"{"stt":[]}"#, Listing::NoList),
        ] {
            assert_eq!(listing(api, "m", body.as_bytes()), expected, "{body}");
        }
    }
}
