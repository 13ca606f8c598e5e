//! Recognises a speech server's response: samples in a WAV file, bare samples, or content that cannot be played.
//!
//! Servers with OpenAI's API differ: LocalAI sends WAV in any case, speaches samples at the rate of the voice,
//! others MP3 or an error page under status 200. The bytes decide first, then `Content-Type`.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::Pieces;
use super::samples::{ByteStream, Encoding, SampleDecoder, clips};
use super::wav;
use crate::engines::core::EngineError;

/// The bytes that tell formats apart.
const SIGNATURE: usize = 12;
/// How much of a text is quoted, in characters.
const QUOTED: usize = 120;

/// A format that can be requested and played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechFormat {
    /// 16-bit little-endian samples without a header.
    #[default]
    Pcm,
    Wav,
    /// G.711 mu-law without a header.
    Mulaw,
}

impl SpeechFormat {
    /// The name in OpenAI's API (`response_format`).
    pub fn as_str(self) -> &'static str {
        match self {
            SpeechFormat::Pcm => "pcm",
            SpeechFormat::Wav => "wav",
            SpeechFormat::Mulaw => "mulaw",
        }
    }

    /// Samples a second where neither settings nor answer state them: OpenAI's PCM, and G.711.
    fn usual_rate(self) -> u32 {
        match self {
            SpeechFormat::Pcm | SpeechFormat::Wav => 24_000,
            SpeechFormat::Mulaw => 8_000,
        }
    }
}

/// A format without a header, for vendors that are asked for its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bare {
    /// 16-bit little-endian samples.
    #[default]
    Pcm,
    /// G.711 mu-law at 8 kHz, except for wideband calls.
    Mulaw,
}

impl Bare {
    /// The format of one speech: at the rate that the settings name, else at that of the call, else at 16 kHz.
    pub fn requested(self, set: Option<Rate>, call: Option<Rate>) -> BareSpeech {
        match self {
            Bare::Mulaw if call.is_none_or(|call| call == Rate::KHZ_8) => BareSpeech::Mulaw,
            Bare::Pcm | Bare::Mulaw => BareSpeech::Pcm(set.or(call).unwrap_or(Rate::KHZ_16)),
        }
    }
}

/// The format of one speech without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareSpeech {
    Pcm(Rate),
    /// At 8 kHz.
    Mulaw,
}

impl BareSpeech {
    /// Samples a second.
    pub fn rate(self) -> u32 {
        match self {
            BareSpeech::Pcm(rate) => rate.get(),
            BareSpeech::Mulaw => Rate::KHZ_8.get(),
        }
    }

    pub fn bytes_per_second(self) -> u64 {
        let bytes = match self {
            BareSpeech::Pcm(_) => 2,
            BareSpeech::Mulaw => 1,
        };
        bytes * u64::from(self.rate())
    }

    /// Clips of bytes in this format.
    pub fn clips(self, bytes: ByteStream) -> Pieces {
        let encoding = match self {
            BareSpeech::Pcm(_) => Encoding::Pcm16,
            BareSpeech::Mulaw => Encoding::Ulaw,
        };
        clips(self.rate(), SampleDecoder::new(encoding, 1, None), bytes)
    }
}

impl From<BareSpeech> for Requested {
    fn from(speech: BareSpeech) -> Requested {
        match speech {
            BareSpeech::Pcm(rate) => Requested { format: SpeechFormat::Pcm, rate: Some(rate) },
            BareSpeech::Mulaw => Requested { format: SpeechFormat::Mulaw, rate: None },
        }
    }
}

/// Samples a second, 1000 to 192000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "u32")]
pub struct Rate(u32);

impl Rate {
    pub const KHZ_8: Rate = Rate(8_000);
    pub const KHZ_16: Rate = Rate(16_000);

    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Rate {
    type Error = &'static str;

    fn try_from(rate: u32) -> Result<Rate, &'static str> {
        let is_rate = (1_000..=192_000).contains(&rate);
        if is_rate { Ok(Rate(rate)) } else { Err("a sample rate is 1000 to 192000 Hz") }
    }
}

/// The requested format.
#[derive(Debug, Clone, Copy)]
pub struct Requested {
    pub format: SpeechFormat,
    /// Samples a second of an answer without a header; `None` where the settings state none.
    pub rate: Option<Rate>,
}

/// Clips of an answer. Nothing at all is an empty stream.
///
/// # Errors
/// Permanent: the answer is in a format that cannot be played, or is no sound.
pub async fn recognise(
    content_type: Option<&str>,
    requested: Requested,
    mut bytes: ByteStream,
) -> Result<Pieces, EngineError> {
    let mut begin = Vec::new();
    while begin.len() < SIGNATURE {
        match bytes.next().await {
            Some(piece) => begin.extend_from_slice(&piece?),
            None => break,
        }
    }
    if is_wav(&begin) {
        return wav(begin, bytes).await;
    }
    let content_type = content_type.map(ContentType::new).unwrap_or_default();
    if let Some(found) = unplayable(&content_type, &begin) {
        return Err(refusal(found, &content_type, &begin));
    }
    let encoding = match requested.format {
        SpeechFormat::Pcm | SpeechFormat::Wav => Encoding::Pcm16,
        SpeechFormat::Mulaw => Encoding::Ulaw,
    };
    let rate = requested.rate.or(content_type.rate).map_or(requested.format.usual_rate(), Rate::get);
    let decoder = SampleDecoder::new(encoding, 1, None);
    Ok(clips(rate, decoder, stream::once(async { Ok(Bytes::from(begin)) }).chain(bytes).boxed()))
}

/// Clips of a WAV file, after its beginning was read. An empty input is an empty stream.
///
/// # Errors
/// A permanent error if it is another kind of file, or its samples cannot be read.
pub async fn wav(mut begin: Vec<u8>, mut bytes: ByteStream) -> Result<Pieces, EngineError> {
    let header = loop {
        if begin.len() >= SIGNATURE && !is_wav(&begin) {
            return Err(EngineError::Permanent("the sound is no WAV file".into()));
        }
        let found =
            wav::header(&begin).map_err(|error| EngineError::Permanent(format!("the sound is {error}")))?;
        if let Some(header) = found {
            break header;
        }
        match bytes.next().await {
            Some(piece) => begin.extend_from_slice(&piece?),
            None if begin.is_empty() => return Ok(stream::empty().boxed()),
            None => return Err(EngineError::Permanent("the sound ends within its WAV header".into())),
        }
    };
    let rest = Bytes::from(begin).slice(header.start..);
    let decoder = SampleDecoder::new(header.encoding, header.channels, header.length);
    Ok(clips(header.rate, decoder, stream::once(async { Ok(rest) }).chain(bytes).boxed()))
}

fn is_wav(begin: &[u8]) -> bool {
    begin.starts_with(b"RIFF") && begin.get(8..SIGNATURE) == Some(b"WAVE".as_slice())
}

/// The media type of an answer (RFC 9110, 8.3).
#[derive(Debug, Default)]
struct ContentType {
    /// In lower case, without parameters.
    media: String,
    /// The parameter `rate` of `audio/pcm` and `audio/basic`.
    rate: Option<Rate>,
}

impl ContentType {
    fn new(text: &str) -> ContentType {
        let mut parts = text.split(';').map(|part| part.trim().to_lowercase());
        let media = parts.next().unwrap_or_default();
        let rate = parts.find_map(|part| part.strip_prefix("rate=")?.trim_matches('"').parse::<u32>().ok());
        ContentType { media, rate: rate.and_then(|rate| Rate::try_from(rate).ok()) }
    }

    fn states_samples(&self) -> bool {
        matches!(
            self.media.as_str(),
            "audio/pcm" | "audio/x-pcm" | "audio/l16" | "audio/basic" | "audio/mulaw"
        )
    }
}

/// The name of a format that cannot be played.
fn unplayable(content_type: &ContentType, begin: &[u8]) -> Option<&'static str> {
    signature(begin, content_type.states_samples()).or_else(|| {
        let media = content_type.media.as_str();
        match media.strip_prefix("audio/").unwrap_or(media) {
            "mpeg" | "mp3" | "mpga" => Some("MP3"),
            "ogg" | "opus" | "application/ogg" => Some("Ogg"),
            "flac" | "x-flac" => Some("FLAC"),
            "aac" | "mp4" | "x-m4a" => Some("AAC"),
            "webm" => Some("WebM"),
            "application/json" | "application/problem+json" => Some("JSON"),
            "text/html" => Some("HTML"),
            "text/event-stream" => Some("an event stream"),
            other if other.starts_with("text/") => Some("text"),
            _ => None,
        }
    })
}

/// The format that the first bytes show. MPEG has no more than eleven bits of its own, which samples may equal, so they
/// count only where `Content-Type` does not state samples.
fn signature(begin: &[u8], states_samples: bool) -> Option<&'static str> {
    let is_text =
        !begin.is_empty() && begin.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    match begin {
        [b'I', b'D', b'3', ..] => Some("MP3"),
        [b'O', b'g', b'g', b'S', ..] => Some("Ogg"),
        [b'f', b'L', b'a', b'C', ..] => Some("FLAC"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("WebM"),
        [b'{' | b'[', ..] if is_text => Some("JSON"),
        [b'<', ..] if is_text => Some("HTML"),
        [0xff, second, ..] if !states_samples && second & 0xe6 == 0xe2 => Some("MP3"),
        _ => None,
    }
}

fn refusal(found: &str, content_type: &ContentType, begin: &[u8]) -> EngineError {
    let media = if content_type.media.is_empty() { "without Content-Type" } else { &content_type.media };
    let text = match found {
        "JSON" | "HTML" | "text" | "an event stream" => {
            let text = String::from_utf8_lossy(begin);
            format!(
                ": {}",
                text.split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .chars()
                    .take(QUOTED)
                    .collect::<String>()
            )
        }
        _ => String::new(),
    };
    EngineError::Permanent(format!(
        "the server answers with {found} ({media}) in place of samples{text}; set this engine's `format` to one that the \
         server offers: pcm, wav or mulaw"
    ))
}

#[cfg(test)]
mod tests;
