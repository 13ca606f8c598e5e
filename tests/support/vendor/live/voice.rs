//! OpenAI's Realtime API for speech to speech: `GET /v1/realtime?model=…`.
//!
//! <https://developers.openai.com/api/docs/guides/realtime-conversations>
//!
//! It hears words as the transcribing sessions do, and speaks tones. A caller's item is answered by [`VOICE_REPLY`], or by a call of
//! the first tool, where the session has tools and the conversation has no result of one.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::super::VOICE_REPLY;
use super::{End, Hearing, LiveFault, Session, linear16, mulaw};

/// The length of the audio of one event.
const PIECE_MS: usize = 200;
/// The length of a response, which is sent ten times as fast as it plays.
const REPLY_MS: usize = 4_000;

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let fits = |(name, value): &(String, String)| name == "model" && value.starts_with("gpt-realtime");
    (!query.iter().all(fits)).then(|| "Use model=gpt-realtime-… without intent for a voice session.".into())
}

/// An item of the conversation.
struct Item {
    id: String,
    /// Milliseconds of the agent's audio.
    audio_ms: usize,
    is_result: bool,
}

struct State {
    hearing: Option<Hearing>,
    is_mulaw: bool,
    uncommitted: usize,
    tools: Vec<String>,
    items: Vec<Item>,
    number: usize,
    response: Option<Response>,
}

/// A response that is being sent.
struct Response {
    id: String,
    item: String,
    sent_ms: usize,
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let created = json!({ "type": "session.created", "event_id": "e-0", "session": { "type": "realtime" } });
    session.send(created).await?;
    let mut state = State {
        hearing: None,
        is_mulaw: true,
        uncommitted: 0,
        tools: Vec::new(),
        items: Vec::new(),
        number: 0,
        response: None,
    };
    loop {
        let message = match session.socket.next().now_or_never() {
            Some(message) => message,
            None if state.response.is_some() => {
                speak(session, &mut state).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            None => session.socket.next().await,
        };
        let text = match message.ok_or(End::Closed)?? {
            Message::Text(text) => text,
            Message::Close(_) => return Err(End::Closed),
            _ => continue,
        };
        let event: Value = serde_json::from_str(&text).unwrap_or_default();
        session.note(&event);
        handle(session, &mut state, &event).await?;
    }
}

async fn handle(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let item_id = event["item_id"].as_str().unwrap_or_default();
    match event["type"].as_str() {
        Some("session.update") => update(session, state, event).await,
        Some("input_audio_buffer.append") => append(session, state, event).await,
        Some("input_audio_buffer.commit") => commit(session, state, event).await,
        Some("conversation.item.create") => create(session, state, event).await,
        Some("conversation.item.delete") => {
            let Some(place) = state.items.iter().position(|item| item.id == item_id) else {
                return refuse(session, event, "item_delete_invalid_item_id", "No such item").await;
            };
            state.items.remove(place);
            session
                .send(json!({ "type": "conversation.item.deleted", "event_id": "e", "item_id": item_id }))
                .await
        }
        Some("conversation.item.truncate") => {
            let end = event["audio_end_ms"].as_u64().unwrap_or(u64::MAX);
            let item = state.items.iter().find(|item| item.id == item_id);
            let fits = item.is_some_and(|item| end <= item.audio_ms as u64);
            if !fits {
                return refuse(session, event, "invalid_value", "Audio content is shorter").await;
            }
            let truncated = json!({ "type": "conversation.item.truncated", "event_id": "e", "item_id": item_id,
                "content_index": 0, "audio_end_ms": end });
            session.send(truncated).await
        }
        Some("response.create") => respond(session, state, event).await,
        Some("response.cancel") => match state.response.take() {
            Some(response) => done(session, &response.id, "cancelled", response.sent_ms).await,
            None => refuse(session, event, "response_cancel_not_active", "No active response").await,
        },
        _ => refuse(session, event, "invalid_value", "No such event").await,
    }
}

async fn update(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let wanted = &event["session"];
    if wanted["type"] != "realtime" {
        return refuse(session, event, "invalid_value", "session.type has to be realtime").await;
    }
    let input = &wanted["audio"]["input"];
    if !input.is_null() {
        let rate = match input["format"]["type"].as_str() {
            Some("audio/pcmu") => 8_000,
            Some("audio/pcm") if input["format"]["rate"] == 24_000 => 24_000,
            _ => return refuse(session, event, "invalid_value", "No such format").await,
        };
        (state.hearing, state.is_mulaw) = (Some(Hearing::at(rate)), rate == 8_000);
    }
    if let Some(tools) = wanted["tools"].as_array() {
        state.tools = tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect();
    }
    session.send(json!({ "type": "session.updated", "event_id": "e", "session": wanted })).await
}

async fn append(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let bytes = event["audio"].as_str().and_then(|audio| BASE64_STANDARD.decode(audio).ok());
    let (Some(hearing), Some(bytes)) = (&mut state.hearing, bytes) else {
        return refuse(session, event, "invalid_value", "Audio has to be base64").await;
    };
    let samples = if state.is_mulaw { mulaw(&bytes) } else { linear16(&bytes) };
    state.uncommitted += samples.len();
    hearing.push(&samples);
    session.check_fault(hearing)
}

async fn commit(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let Some(hearing) = state.hearing.as_mut().filter(|it| it.ms(state.uncommitted) >= 100) else {
        return refuse(session, event, "input_audio_buffer_commit_empty", "buffer too small").await;
    };
    let words = hearing.commit();
    state.uncommitted = 0;
    let previous = state.items.last().map(|item| item.id.clone());
    let id = state.add("item", 0, false);
    let committed = json!({ "type": "input_audio_buffer.committed", "event_id": "e", "item_id": id,
        "previous_item_id": previous });
    session.send(committed).await?;
    let item = json!({ "id": id, "type": "message", "role": "user", "status": "completed",
        "content": [{ "type": "input_audio", "transcript": null }] });
    session.send(json!({ "type": "conversation.item.added", "event_id": "e", "previous_item_id": previous, "item": item })).await?;
    let completed = json!({ "type": "conversation.item.input_audio_transcription.completed", "event_id": "e",
        "item_id": id, "content_index": 0, "transcript": words, "usage": { "type": "duration", "seconds": 1 } });
    session.send(completed).await
}

async fn create(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let item = &event["item"];
    let after = event["previous_item_id"].as_str();
    let place = match after {
        None => Some(state.items.len()),
        Some("root") => Some(0),
        Some(id) => state.items.iter().position(|item| item.id == id).map(|place| place + 1),
    };
    let content = item["content"][0]["type"].as_str();
    let fits = match (item["type"].as_str(), item["role"].as_str()) {
        (Some("message"), Some("user")) => content == Some("input_text"),
        (Some("message"), Some("assistant")) => content == Some("output_text"),
        (Some("function_call"), _) => item["call_id"].is_string() && item["name"].is_string(),
        (Some("function_call_output"), _) => item["call_id"].is_string() && item["output"].is_string(),
        _ => false,
    };
    let (Some(place), true) = (place, fits) else {
        return refuse(session, event, "invalid_value", "No such item").await;
    };
    let id = item["id"].as_str().map_or_else(|| state.name("item"), str::to_owned);
    let is_result = item["type"] == "function_call_output";
    state.items.insert(place, Item { id: id.clone(), audio_ms: 0, is_result });
    let mut added = item.clone();
    added["id"] = json!(id);
    session.send(json!({ "type": "conversation.item.added", "event_id": "e", "previous_item_id": after, "item": added })).await
}

async fn respond(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    if state.response.is_some() {
        let message = "Conversation already has an active response in progress";
        return refuse(session, event, "conversation_already_has_active_response", message).await;
    }
    let id = state.name("resp");
    let created = json!({ "type": "response.created", "event_id": "e",
        "response": { "id": id, "status": "in_progress", "output": [] } });
    session.send(created).await?;
    if session.fault == Some(LiveFault::StallsInResponse) {
        session.fault = Some(LiveFault::Mute);
        return Ok(());
    }
    let calls = state.tools.first().filter(|_| !state.items.iter().any(|item| item.is_result)).cloned();
    if let Some(name) = calls {
        let item_id = state.add("item", 0, false);
        let item = json!({ "id": item_id, "type": "function_call", "status": "completed", "name": name,
            "call_id": format!("call_{item_id}"), "arguments": "{}" });
        let of = |kind: &str| json!({ "type": kind, "event_id": "e", "response_id": id, "output_index": 0, "item": item });
        session.send(of("response.output_item.added")).await?;
        session.send(of("response.output_item.done")).await?;
        return done(session, &id, "completed", 0).await;
    }
    let item = state.add("item", 0, false);
    let added =
        json!({ "id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": [] });
    session
        .send(json!({ "type": "response.output_item.added", "event_id": "e", "response_id": id, "output_index": 0, "item": added }))
        .await?;
    let words = json!({ "type": "response.output_audio_transcript.delta", "event_id": "e", "response_id": id,
        "item_id": item, "output_index": 0, "content_index": 0, "delta": VOICE_REPLY });
    session.send(words).await?;
    state.response = Some(Response { id, item, sent_ms: 0 });
    Ok(())
}

/// Sends the next audio of the response.
async fn speak(session: &mut Session, state: &mut State) -> Result<(), End> {
    let rate = state.hearing.as_ref().map_or(8_000, |hearing| hearing.rate);
    let Some(response) = &mut state.response else { return Ok(()) };
    if response.sent_ms >= REPLY_MS {
        let (id, sent) = (response.id.clone(), response.sent_ms);
        state.response = None;
        return done(session, &id, "completed", sent).await;
    }
    let samples = tone(rate, response.sent_ms);
    let bytes: Vec<u8> = match state.is_mulaw {
        true => ulaw(&samples),
        false => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    };
    response.sent_ms += PIECE_MS;
    let delta = json!({ "type": "response.output_audio.delta", "event_id": "e", "response_id": response.id,
        "item_id": response.item, "output_index": 0, "content_index": 0, "delta": BASE64_STANDARD.encode(bytes) });
    if let Some(item) = state.items.iter_mut().find(|item| item.id == response.item) {
        item.audio_ms = response.sent_ms;
    }
    let closes = session.fault == Some(LiveFault::ClosesInResponse) && response.sent_ms >= 1_000;
    session.send(delta).await?;
    if closes { Err(End::Close(1011, "internal error")) } else { Ok(()) }
}

/// A tone of 500 Hz from a moment on.
fn tone(rate: usize, from_ms: usize) -> Vec<i16> {
    let first = rate * from_ms / 1_000;
    let sample =
        |n: usize| ((first + n) as f64 * 500.0 * std::f64::consts::TAU / rate as f64).sin() * 8_000.0;
    (0..rate * PIECE_MS / 1_000).map(|n| sample(n) as i16).collect()
}

fn ulaw(samples: &[i16]) -> Vec<u8> {
    use vca::audio::codec::{Encoder, Format, MAX_PAYLOAD};
    let (mut encoder, mut payload, mut bytes) = (Encoder::new(Format::Ulaw), [0; MAX_PAYLOAD], Vec::new());
    for frame in samples.chunks(Format::Ulaw.frame_len()) {
        let length = encoder.encode(frame, &mut payload);
        bytes.extend_from_slice(&payload[..length]);
    }
    bytes
}

async fn done(session: &mut Session, id: &str, status: &str, audio_ms: usize) -> Result<(), End> {
    let usage = json!({ "total_tokens": 100, "input_tokens": 60, "output_tokens": 40,
        "input_token_details": { "text_tokens": 40, "audio_tokens": 20, "cached_tokens": 8,
            "cached_tokens_details": { "text_tokens": 8, "audio_tokens": 0 } },
        "output_token_details": { "text_tokens": 10, "audio_tokens": audio_ms / 50 } });
    let response =
        json!({ "id": id, "status": status, "status_details": null, "output": [], "usage": usage });
    session.send(json!({ "type": "response.done", "event_id": "e", "response": response })).await
}

impl State {
    fn name(&mut self, prefix: &str) -> String {
        self.number += 1;
        format!("{prefix}_{}", self.number)
    }

    fn add(&mut self, prefix: &str, audio_ms: usize, is_result: bool) -> String {
        let id = self.name(prefix);
        self.items.push(Item { id: id.clone(), audio_ms, is_result });
        id
    }
}

async fn refuse(session: &mut Session, event: &Value, code: &str, message: &str) -> Result<(), End> {
    let error = json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null,
        "event_id": event["event_id"] });
    session.send(json!({ "type": "error", "event_id": "e", "error": error })).await
}
