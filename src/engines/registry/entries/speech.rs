//! Engines for text to speech with a choice of transports, and the identity of each.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Entry;
use crate::engines::core::server::{self, Auth};
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::registry::{Remote, TtsSpec};
use crate::engines::tts::contexts::SpeechTransport;
use crate::engines::tts::{cartesia, deepgram, elevenlabs};
use crate::violation::Violation;

impl Entry<TtsSpec> {
    /// The identity of the engine, for caches of its speech: after a reload of the configuration it is another one if the engine's
    /// settings are, and the same otherwise.
    pub fn identity(&self) -> String {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.spec).hash(&mut hasher);
        format!("{}#{:016x}", self.name, hasher.finish())
    }

    pub(super) fn cartesia(
        &self,
        Remote { server, options }: &Remote<cartesia::Settings>,
    ) -> Result<cartesia::Cartesia, Violation> {
        let (own, auth) = (cartesia::BASE_URL, cartesia::AUTH);
        let endpoint = self.vendor(server, own, auth)?;
        let engine = cartesia::Cartesia::new(self.name.clone(), endpoint, options.clone());
        let socket = self.transport((options.transport, options.partial_text), server, own, auth)?;
        Ok(match socket {
            Some(socket) => engine.over(socket),
            None => engine,
        })
    }

    pub(super) fn deepgram(
        &self,
        Remote { server, options }: &Remote<deepgram::Settings>,
    ) -> Result<deepgram::Deepgram, Violation> {
        let (own, auth) = (deepgram::BASE_URL, deepgram::AUTH);
        let endpoint = self.vendor(server, own, auth)?;
        let engine = deepgram::Deepgram::new(self.name.clone(), endpoint, options.clone());
        let socket = self.transport((options.transport, options.partial_text), server, own, auth)?;
        Ok(match socket {
            Some(socket) => engine.over(socket),
            None => engine,
        })
    }

    pub(super) fn elevenlabs(
        &self,
        Remote { server, options }: &Remote<elevenlabs::Settings>,
    ) -> Result<elevenlabs::ElevenLabs, Violation> {
        let (own, auth) = (elevenlabs::BASE_URL, elevenlabs::AUTH);
        let endpoint = self.vendor(server, own, auth)?;
        let engine = elevenlabs::ElevenLabs::new(self.name.clone(), endpoint, options.clone());
        let socket = self.transport((options.transport, options.partial_text), server, own, auth)?;
        Ok(match socket {
            Some(socket) => engine.over(socket),
            None => engine,
        })
    }

    /// The WebSockets, where they are the transport.
    fn transport(
        &self,
        (transport, partial_text): (SpeechTransport, bool),
        server: &server::Settings,
        own: &str,
        auth: Auth,
    ) -> Result<Option<SocketEndpoint>, Violation> {
        match transport {
            SpeechTransport::Http if partial_text => {
                let key = format!("{}.partial_text", self.section);
                Err(Violation::new(key, "needs transport = \"websocket\""))
            }
            SpeechTransport::Http => Ok(None),
            SpeechTransport::WebSocket => self.socket(server, own, auth).map(Some),
        }
    }
}
