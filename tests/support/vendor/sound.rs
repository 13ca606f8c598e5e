//! Speech as tones.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::pitch;

/// Half a second and 30 ms for each character of a tone.
pub fn tone(text: &str, rate: u32) -> Vec<i16> {
    let step = f64::from(pitch(text)) * std::f64::consts::TAU / f64::from(rate);
    let length = rate as usize / 2 + rate as usize * 3 / 100 * text.len();
    (0..length).map(|n| ((step * n as f64).sin() * 8_000.0) as i16).collect()
}

pub fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub fn mulaw(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|sample| audio_codec_algorithms::encode_ulaw(*sample)).collect()
}

/// A file as servers stream it: its lengths are not known when its header is written.
pub fn wav(samples: &[i16], rate: u32) -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data\xff\xff\xff\xff");
    file.extend(pcm(samples));
    file
}

/// The beginning of an MP3 file.
pub fn mp3() -> Vec<u8> {
    [b"ID3\x04\0\0\0\0\0\0".as_slice(), &[0xff, 0xfb, 0x90, 0x00].repeat(40)].concat()
}

/// A streamed response, in pieces that part samples.
pub fn response(content_type: &'static str, bytes: &[u8]) -> Response {
    let pieces: Vec<_> = bytes.chunks(4_801).map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
    ([("content-type", content_type)], Body::from_stream(stream::iter(pieces))).into_response()
}
