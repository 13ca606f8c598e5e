//! Speech on this machine by the espeak-ng program: many languages, robotic, first sound in some 30 ms.

use std::ffi::OsString;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::trial::{self, TRIAL};
use super::{Pieces, Tts, Voice, sound};
use crate::engines::core::EngineError;
use crate::engines::core::process::Program;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{LOCAL, Meter, Unit, characters};
use crate::names::Names;

/// The voices that settings and profiles may name. The program takes a path in place of a name.
pub fn voices() -> Names {
    Names::Espeak
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The voice of profiles that name neither voice nor language. Default `en-us`.
    pub voice: String,
    /// Words a minute, 80 to 450. 165 by default.
    pub speed: u16,
    /// The longest text of one process, in characters; a longer one is spoken in parts. 2000 by default.
    pub max_chars: usize,
    /// How many utterances may be made at once; others wait. 8 by default.
    pub max_processes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { voice: "en-us".into(), speed: 165, max_chars: 2_000, max_processes: 8 }
    }
}

pub struct Espeak {
    name: Arc<str>,
    program: Program,
    settings: Settings,
}

impl Espeak {
    pub fn new(name: Arc<str>, settings: Settings) -> Espeak {
        Espeak { name, program: Program::new("espeak-ng", "espeak-ng", settings.max_processes), settings }
    }

    async fn say(&self, words: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let name = match (voice.name, voice.language) {
            (Some(name), _) => name.to_string(),
            (None, Some(language)) => voice_for(&language),
            (None, None) => self.settings.voice.clone(),
        };
        voices().check(&name).map_err(|error| EngineError::name("voice", &error))?;
        let speed = self.settings.speed.clamp(80, 450).to_string();
        // -b 1: the text is UTF-8 in every locale.
        let args = ["--stdout", "--stdin", "-b", "1", "-s", &speed, "-v", &name].map(OsString::from);
        meter.charge(Kind::Tts, &self.name, LOCAL).set(Unit::Characters, characters(&words));
        let words = Bytes::copy_from_slice(words.as_bytes());
        sound::wav(Vec::new(), self.program.stream(&args, words).await?).await
    }

    async fn try_out(&self) -> Result<String, EngineError> {
        let version = self.program.run(&["--version".into()], Bytes::new()).await?;
        let version = String::from_utf8_lossy(&version);
        let version = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(format!(
            "espeak-ng {}, {}",
            version.unwrap_or("?"),
            trial::run(self, TRIAL, Voice::default()).await?
        ))
    }
}

impl Tts for Espeak {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

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
        self.try_out().boxed()
    }
}

/// espeak's voice for a language. Where a tag and espeak agree, which is most, it is the tag itself.
fn voice_for(tag: &str) -> String {
    let tag = tag.replace('_', "-").to_lowercase();
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let region = parts.find(|part| part.len() == 2 || part.len() == 3).unwrap_or_default();
    let voice = match (language, region) {
        ("en", "gb" | "uk" | "ie" | "au" | "nz" | "za" | "in") => "en-gb",
        ("en", _) => "en-us",
        ("fr", "be") => "fr-be",
        ("fr", "ch") => "fr-ch",
        ("fr", _) => "fr-fr",
        ("es", "" | "es") => "es",
        ("es", _) => "es-419",
        ("pt", "br") => "pt-br",
        ("zh", "hk") => "yue",
        ("zh", _) => "cmn",
        ("no" | "nn", _) => "nb",
        (language, _) => language,
    };
    voice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_voices() {
        let pairs = [
            ("en", "en-us"),
            ("en-GB", "en-gb"),
            ("de-DE", "de"),
            ("pt-BR", "pt-br"),
            ("pt-PT", "pt"),
            ("zh-Hans-CN", "cmn"),
            ("es-MX", "es-419"),
            ("fr_CH", "fr-ch"),
            ("nb-NO", "nb"),
        ];
        for (tag, voice) in pairs {
            assert_eq!(voice_for(tag), voice, "{tag}");
        }
    }
}
