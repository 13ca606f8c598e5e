//! The server's events: words, audio and calls of tools of the response that is wanted.

use tokio::time::Instant;

use super::{ActiveResponse, ResponseStage, VoiceEvent, VoiceSession};
use crate::engines::core::EngineError;
use crate::engines::llm::ToolCall;
use crate::engines::realtime::events::{FinishedResponse, ResponseItem, ResponseStatus, ServerEvent};
use crate::engines::realtime::response::{ResponseAudio, VoicePart, endless};
use crate::engines::stt::live::SessionTimeline;

/// The most characters of a response, many times those of the longest one.
const MOST_WRITTEN: u64 = 64 * 1024;

impl VoiceSession {
    pub(super) fn take(&mut self, event: ServerEvent) -> Result<(), EngineError> {
        match event {
            ServerEvent::Committed { item_id } => {
                self.history.committed(&item_id);
                self.items.committed(item_id).into_iter().for_each(|it| self.timeline.heard(it));
            }
            ServerEvent::Transcript { item_id, transcript } => {
                self.history.transcribed(&item_id, &transcript);
                self.items.completed(item_id, transcript).into_iter().for_each(|it| self.timeline.heard(it));
            }
            ServerEvent::ResponseCreated { response } => {
                if let Some(active) = self.active.as_mut().filter(|active| active.id.is_none()) {
                    active.id = Some(response.id);
                    active.usage.begun();
                }
            }
            ServerEvent::ItemAdded { response_id, item } => {
                if item.kind == "message" {
                    self.history.speaks(&item.id);
                }
                self.report(&response_id, VoicePart::Writing);
            }
            ServerEvent::ItemDone { response_id, item } => return self.item_done(&response_id, item),
            ServerEvent::Audio { response_id, item_id, content_index, delta } => {
                if let Some(audio) = self.current(&response_id) {
                    let samples = audio.take(&item_id, content_index, &delta)?;
                    let length_ms = audio.length_ms();
                    self.active.iter_mut().for_each(|active| active.usage.spoke(length_ms));
                    self.report(&response_id, VoicePart::Audio(samples));
                }
            }
            ServerEvent::Words { response_id, item_id, delta } => {
                self.history.words(&item_id, &delta);
                self.written(&response_id, &delta)?;
                self.report(&response_id, VoicePart::Words(delta));
            }
            ServerEvent::Arguments { response_id } => self.report(&response_id, VoicePart::Writing),
            ServerEvent::ResponseDone { response } => return self.response_done(&response),
            ServerEvent::Updated
            | ServerEvent::TranscriptFailed { .. }
            | ServerEvent::Error { .. }
            | ServerEvent::Other => {}
        }
        Ok(())
    }

    /// The audio of the response of this id, if it is wanted.
    fn current(&mut self, response_id: &str) -> Option<&mut ResponseAudio> {
        let key = self.wanted(response_id)?.key;
        self.spoken.iter_mut().find(|audio| audio.key == key)
    }

    fn wanted(&mut self, response_id: &str) -> Option<&mut ActiveResponse> {
        let active = self.active.as_mut()?;
        let is_it = active.stage == ResponseStage::Wanted && active.id.as_deref() == Some(response_id);
        is_it.then_some(active)
    }

    /// The response of this id, if it is wanted, has more text: words or arguments.
    ///
    /// # Errors
    /// It has more than any response.
    fn written(&mut self, response_id: &str, text: &str) -> Result<(), EngineError> {
        let Some(active) = self.wanted(response_id) else { return Ok(()) };
        if active.usage.wrote(text) > MOST_WRITTEN { Err(endless()) } else { Ok(()) }
    }

    /// Reports a part of the response of this id, if it is wanted.
    fn report(&mut self, response_id: &str, part: VoicePart) {
        let timeout = self.engine.response_timeout();
        let Some(active) = self.wanted(response_id) else { return };
        active.deadline = Instant::now() + timeout;
        let key = active.key;
        self.events.push_back(VoiceEvent::Response { key, part });
    }

    fn item_done(&mut self, response_id: &str, item: ResponseItem) -> Result<(), EngineError> {
        let (Some(call), Some(name)) = (item.call_id, item.name) else { return Ok(()) };
        self.history.calls(&item.id, &call);
        let arguments = item.arguments.filter(|it| !it.trim().is_empty()).unwrap_or_else(|| "{}".into());
        self.written(response_id, &arguments)?;
        let Some(active) = self.wanted(response_id) else { return Ok(()) };
        let Some(tool) = active.tools.iter().find(|tool| *tool.name == *name) else {
            tracing::warn!(engine = %self.engine.name(), "the model calls a tool that it was not offered");
            return Ok(());
        };
        let call = ToolCall { id: call.into(), name: tool.name.clone(), arguments: arguments.into() };
        self.report(response_id, VoicePart::ToolCall(call));
        Ok(())
    }

    fn response_done(&mut self, response: &FinishedResponse) -> Result<(), EngineError> {
        let is_it = |active: &mut ActiveResponse| active.id.as_ref().is_none_or(|id| *id == response.id);
        let Some(mut active) = self.active.take_if(is_it) else { return Ok(()) };
        if let Some(usage) = &response.usage {
            active.usage.report(usage);
        }
        self.usage.ended(&active.usage);
        if active.stage == ResponseStage::Wanted {
            if response.status == ResponseStatus::Cancelled {
                return Err(EngineError::Temporary("the server cancelled its response".into()));
            }
            self.engine.policy().session_works();
            let key = active.key;
            let audio = self.spoken.iter_mut().find(|audio| audio.key == key);
            let rest = audio.map(ResponseAudio::finish).filter(|rest| !rest.is_empty());
            let parts = rest.map(VoicePart::Audio).into_iter().chain([VoicePart::End]);
            self.events.extend(parts.map(|part| VoiceEvent::Response { key, part }));
        }
        self.advance();
        Ok(())
    }
}
