//! A server's end of a session, for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::events::read;
use super::link::{ConnectionEvent, LinkEnds, SessionLink, Transport};
use super::{ClientEvent, Settings, VoiceEngine};
use crate::engines::core::EngineError;
use crate::engines::core::retry::{self, Policy};

/// Hands the server's ends of connections to the test.
#[derive(Default)]
pub struct TestTransport {
    opened: Mutex<Vec<TestServer>>,
}

impl Transport for TestTransport {
    fn open(&self, _: Policy, model: &str, settings: Value) -> SessionLink {
        let (link, ends) = SessionLink::pair();
        self.opened.lock().expect("no panic").push(TestServer { ends, model: model.to_owned(), settings });
        link
    }
}

impl TestTransport {
    /// The server's end of the latest connection.
    pub fn server(&self) -> TestServer {
        self.opened.lock().expect("no panic").pop().expect("a connection")
    }
}

/// An engine, and the way to its servers' ends.
pub fn engine() -> (Arc<VoiceEngine>, Arc<TestTransport>) {
    let transport = Arc::<TestTransport>::default();
    let limits = retry::Settings::default();
    let engine = VoiceEngine::new("voice".into(), transport.clone(), limits, Settings::default());
    (Arc::new(engine), transport)
}

pub struct TestServer {
    ends: LinkEnds,
    pub model: String,
    pub settings: Value,
}

impl TestServer {
    pub fn connect(&self) {
        self.ends.events.try_send(ConnectionEvent::Connected).expect("room");
    }

    /// Sends an event.
    pub fn send(&self, kind: &str, mut fields: Value) {
        fields["type"] = json!(kind);
        let event = read(&fields.to_string()).expect("an event");
        self.ends.events.try_send(ConnectionEvent::Server(event)).expect("room");
    }

    pub fn lose(&self) {
        let error = EngineError::Temporary("lost".into());
        self.ends.events.try_send(ConnectionEvent::Lost(error)).expect("room");
    }

    /// The events of the client so far, without audio.
    pub async fn received(&mut self) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        while let Ok(Some(event)) = timeout(Duration::from_millis(1), self.ends.outgoing.recv()).await {
            if !matches!(event, ClientEvent::Append(_)) {
                events.push(event);
            }
        }
        events
    }

    /// The server confirms an item of audio, with its words.
    pub fn hears(&self, item: &str, text: &str) {
        self.send("input_audio_buffer.committed", json!({ "item_id": item }));
        let completed = "conversation.item.input_audio_transcription.completed";
        self.send(completed, json!({ "item_id": item, "transcript": text }));
    }

    /// The beginning of a response with these words and half a second of sound.
    pub fn speaks(&self, response: &str, item: &str, words: &str) {
        self.send("response.created", json!({ "response": { "id": response } }));
        let added = json!({ "response_id": response, "item": { "id": item, "type": "message" } });
        self.send("response.output_item.added", added);
        let of = |delta: &str| json!({ "response_id": response, "item_id": item, "content_index": 0, "delta": delta });
        self.send("response.output_audio_transcript.delta", of(words));
        self.send("response.output_audio.delta", of(&sound()));
    }

    pub fn done(&self, response: &str, status: &str) {
        let usage = json!({ "input_token_details": { "text_tokens": 10, "audio_tokens": 20,
            "cached_tokens_details": { "text_tokens": 4, "audio_tokens": 5 } },
            "output_token_details": { "text_tokens": 3, "audio_tokens": 30 } });
        let response = json!({ "id": response, "status": status, "usage": usage });
        self.send("response.done", json!({ "response": response }));
    }
}

/// Half a second of sound in G.711 mu-law.
fn sound() -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode([0x10; 4_000])
}
