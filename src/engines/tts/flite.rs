//! Speech on this machine by the flite program: English only, a little more human than espeak.
//!
//! flite seeks back in its output to correct the length, for each sentence. On a pipe it then waits for itself
//! forever, so it writes to a file in memory, and the speech arrives in one piece.

use std::ffi::OsString;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;

use super::trial::{self, TRIAL};
use super::{Pieces, Tts, Voice, sound};
use crate::engines::core::EngineError;
use crate::engines::core::process::Program;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{LOCAL, Meter, Unit, characters};
use crate::names::Names;

/// The voices that are built into the program. It would take the path or URL of a voice file as well, read or fetch it,
/// and run it through a parser that trusts it.
const VOICES: [&str; 5] = ["slt", "rms", "awb", "kal16", "kal"];

/// The voices that settings and profiles may name.
pub fn voices() -> Names {
    Names::listed(&VOICES)
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The voice of profiles that name none: `slt`, `rms`, `awb`, `kal16` or `kal` (8 kHz). Default `slt`.
    pub voice: String,
    /// The longest text of one process, in characters; a longer one is spoken in parts. 2000 by default.
    pub max_chars: usize,
    /// How many utterances may be made at once; others wait. 8 by default.
    pub max_processes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { voice: "slt".into(), max_chars: 2_000, max_processes: 8 }
    }
}

pub struct Flite {
    name: Arc<str>,
    program: Program,
    settings: Settings,
    voices: Names,
}

impl Flite {
    pub fn new(name: Arc<str>, settings: Settings) -> Flite {
        let program = Program::new("flite", "flite", settings.max_processes);
        Flite { name, program, settings, voices: voices() }
    }

    async fn say(&self, words: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let name = voice.name.as_deref().unwrap_or(&self.settings.voice);
        self.voices.check(name).map_err(|error| EngineError::name("voice", &error))?;
        let args = ["-voice", name, "/dev/stdin", "/dev/stdout"].map(OsString::from);
        meter.charge(Kind::Tts, &self.name, LOCAL).set(Unit::Characters, characters(&words));
        let words = Bytes::copy_from_slice(words.as_bytes());
        let file = self.program.run_to_file(&args, words).await?;
        sound::wav(file, stream::empty().boxed()).await
    }
}

impl Tts for Flite {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The language is always English.
    fn speak(
        &self,
        words: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.say(words, voice, meter).boxed()
    }

    fn max_chars(&self) -> usize {
        self.settings.max_chars
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok(format!("flite, {}", trial::run(self, TRIAL, Voice::default()).await?)) }.boxed()
    }
}
