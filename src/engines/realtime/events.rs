//! The events of a Realtime session in both directions, as JSON.
//!
//! <https://developers.openai.com/api/docs/guides/realtime-conversations>,
//! <https://developers.openai.com/api/reference/resources/realtime>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::usage::readable;

/// An event for the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// Changes the session's settings.
    Update(Value),
    /// Audio in the session's format.
    Append(Vec<u8>),
    /// Makes an item of the audio since the last commit.
    Commit,
    /// Adds an item behind another one; as the first one without `after`.
    CreateItem {
        id: String,
        after: Option<String>,
        item: Value,
    },
    DeleteItem {
        id: String,
    },
    /// Cuts the audio of an item after what was heard.
    Truncate {
        id: String,
        content_index: u32,
        audio_end_ms: u64,
    },
    /// Asks for a response to the items so far.
    Respond,
    /// Stops the response in progress.
    Cancel,
}

impl ClientEvent {
    /// The name in the event's id, by which an error refers to it.
    pub fn name(&self) -> &'static str {
        match self {
            ClientEvent::Update(_) => "update",
            ClientEvent::Append(_) => "append",
            ClientEvent::Commit => "commit",
            ClientEvent::CreateItem { .. } => "create",
            ClientEvent::DeleteItem { .. } => "delete",
            ClientEvent::Truncate { .. } => "truncate",
            ClientEvent::Respond => "respond",
            ClientEvent::Cancel => "cancel",
        }
    }

    /// The message, of which `number` makes the id unique in its session.
    pub fn message(&self, number: u64) -> String {
        let mut event = match self {
            ClientEvent::Update(session) => json!({ "type": "session.update", "session": session }),
            ClientEvent::Append(bytes) => {
                json!({ "type": "input_audio_buffer.append", "audio": BASE64_STANDARD.encode(bytes) })
            }
            ClientEvent::Commit => json!({ "type": "input_audio_buffer.commit" }),
            ClientEvent::CreateItem { id, after, item } => {
                let mut item = item.clone();
                item["id"] = json!(id);
                let after = after.as_deref().unwrap_or("root");
                json!({ "type": "conversation.item.create", "previous_item_id": after, "item": item })
            }
            ClientEvent::DeleteItem { id } => json!({ "type": "conversation.item.delete", "item_id": id }),
            ClientEvent::Truncate { id, content_index, audio_end_ms } => json!({
                "type": "conversation.item.truncate", "item_id": id, "content_index": content_index,
                "audio_end_ms": audio_end_ms,
            }),
            ClientEvent::Respond => json!({ "type": "response.create" }),
            ClientEvent::Cancel => json!({ "type": "response.cancel" }),
        };
        event["event_id"] = json!(format!("{}-{number}", self.name()));
        event.to_string()
    }
}

/// An event of the server. Those without a use here are `Other`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type")]
pub enum ServerEvent {
    #[serde(rename = "session.updated")]
    Updated,
    #[serde(rename = "input_audio_buffer.committed")]
    Committed { item_id: String },
    #[serde(rename = "conversation.item.input_audio_transcription.completed")]
    Transcript {
        item_id: String,
        #[serde(default)]
        transcript: String,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.failed")]
    TranscriptFailed {
        #[serde(default)]
        error: ServerError,
    },
    #[serde(rename = "response.created")]
    ResponseCreated { response: ResponseId },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { response_id: String, item: ResponseItem },
    #[serde(rename = "response.output_item.done")]
    ItemDone { response_id: String, item: ResponseItem },
    #[serde(rename = "response.output_audio.delta")]
    Audio {
        response_id: String,
        item_id: String,
        #[serde(default)]
        content_index: u32,
        /// Base64.
        delta: String,
    },
    #[serde(rename = "response.output_audio_transcript.delta")]
    Words {
        response_id: String,
        item_id: String,
        #[serde(default)]
        delta: String,
    },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { response_id: String },
    #[serde(rename = "response.done")]
    ResponseDone { response: FinishedResponse },
    #[serde(rename = "error")]
    Error {
        #[serde(default)]
        error: ServerError,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResponseId {
    pub id: String,
}

/// An item of a response.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResponseItem {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a function call.
    #[serde(default)]
    pub call_id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub arguments: Option<String>,
}

/// A response that is over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FinishedResponse {
    pub id: String,
    #[serde(default)]
    pub status: ResponseStatus,
    #[serde(default, deserialize_with = "or_default")]
    pub status_details: StatusDetails,
    #[serde(default, deserialize_with = "readable")]
    pub usage: Option<TokenUsage>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    Completed,
    Cancelled,
    /// It reached a limit, or was filtered.
    Incomplete,
    Failed,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatusDetails {
    #[serde(deserialize_with = "or_default")]
    pub error: ServerError,
}

/// The tokens of a response. All counts include those of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    #[serde(deserialize_with = "or_default")]
    pub input_token_details: InputTokens,
    #[serde(deserialize_with = "or_default")]
    pub output_token_details: TokenCounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InputTokens {
    pub text_tokens: u64,
    pub audio_tokens: u64,
    #[serde(deserialize_with = "or_default")]
    pub cached_tokens_details: TokenCounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenCounts {
    pub text_tokens: u64,
    pub audio_tokens: u64,
}

/// An error of the server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ServerError {
    /// The id of the event that failed, where one did.
    #[serde(default)]
    pub event_id: Option<String>,
    #[serde(flatten)]
    pub fields: serde_json::Map<String, Value>,
}

impl ServerError {
    /// Whether it concerns only a request without which the session goes on as it is: to stop or cut a response that is over,
    /// or to delete an item.
    pub fn is_harmless(&self) -> bool {
        let failed = self.event_id.as_deref().and_then(|id| id.split_once('-')).map(|(name, _)| name);
        matches!(failed, Some("cancel" | "truncate" | "delete"))
    }

    /// The error as JSON, as a response over HTTP would have it.
    pub fn body(&self) -> Value {
        json!({ "error": self.fields })
    }
}

fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads a message of the server.
///
/// # Errors
/// It is no event of the Realtime API.
pub fn read(text: &str) -> Result<ServerEvent, EngineError> {
    serde_json::from_str(text)
        .map_err(|error| EngineError::Temporary(format!("no message of the Realtime API: {error}")))
}

/// The bytes of an audio delta.
///
/// # Errors
/// It is no base64.
pub fn audio_bytes(delta: &str) -> Result<Vec<u8>, EngineError> {
    BASE64_STANDARD
        .decode(delta)
        .map_err(|error| EngineError::Temporary(format!("no audio of the Realtime API: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn client_events_are_written_as_the_protocol_has_them() {
        let message = |event: ClientEvent| serde_json::from_str::<Value>(&event.message(7)).expect("JSON");
        let item = json!({ "type": "message" });
        let create = ClientEvent::CreateItem { id: "i".into(), after: None, item };
        let expected = json!({ "type": "conversation.item.create", "previous_item_id": "root", "event_id": "create-7",
            "item": { "type": "message", "id": "i" } });
        assert_eq!(message(create), expected);
        let truncate = ClientEvent::Truncate { id: "i".into(), content_index: 0, audio_end_ms: 1_500 };
        let expected = json!({ "type": "conversation.item.truncate", "item_id": "i", "content_index": 0,
            "audio_end_ms": 1_500, "event_id": "truncate-7" });
        assert_eq!(message(truncate), expected);
        let expected =
            json!({ "type": "input_audio_buffer.append", "audio": "//8=", "event_id": "append-7" });
        assert_eq!(message(ClientEvent::Append(vec![255, 255])), expected);
    }

    #[test]
    fn usage_without_details_is_none() {
        let done = r#"{"type":"response.done","response":{"id":"r","status":"completed","usage":
            {"total_tokens":9,"input_token_details":null,"output_token_details":{"text_tokens":2,"audio_tokens":3}}}}"#;
        let Ok(ServerEvent::ResponseDone { response }) = read(done) else { panic!("another event") };
        let usage = response.usage.expect("usage");
        assert_eq!(usage.input_token_details, InputTokens::default());
        assert_eq!(usage.output_token_details, TokenCounts { text_tokens: 2, audio_tokens: 3 });
    }

    #[test]
    fn usage_that_cannot_be_read_is_none() {
        for count in ["-1", "1e40", "\"many\"", "0.5"] {
            let done = format!(
                r#"{{"type":"response.done","response":{{"id":"r","status":"completed","usage":
                {{"output_token_details":{{"text_tokens":{count},"audio_tokens":3}}}}}}}}"#
            );
            let Ok(ServerEvent::ResponseDone { response }) = read(&done) else {
                panic!("another event: {count}")
            };
            assert_eq!(response.usage, None, "{count}");
        }
    }

    #[test]
    fn errors_of_requests_that_change_nothing_are_harmless() {
        let is_harmless = |text: &str| match read(text) {
            Ok(ServerEvent::Error { error }) => error.is_harmless(),
            _ => panic!("no error"),
        };
        let error = |id: &str| format!(r#"{{"type":"error","error":{{"code":"x","event_id":{id}}}}}"#);
        assert!(is_harmless(&error("\"cancel-3\"")) && is_harmless(&error("\"truncate-4\"")));
        assert!(!is_harmless(&error("\"respond-3\"")) && !is_harmless(&error("null")));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = (read(&text), audio_bytes(&text));
        }
    }
}
