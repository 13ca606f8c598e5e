//! Parses the header of a WAV stream; its lengths may be unknown.
//!
//! RIFF (Multimedia Programming Interface and Data Specifications 1.0, 1991): chunks of an id, a length and a
//! body, which is padded to an even length. A server that streams cannot know the length of the samples and writes
//! 0 or a very large one.

use super::samples::Encoding;

/// The most bytes before the first sample that are read. Some encoders write a list of tags there.
const LONGEST_HEADER: usize = 64 * 1024;
/// Lengths from here on stand for an unknown length.
const UNKNOWN_LENGTH: u32 = 0x7fff_0000;

/// The samples of a WAV stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub encoding: Encoding,
    pub channels: u16,
    /// Samples a second.
    pub rate: u32,
    /// Bytes before the first sample.
    pub start: usize,
    /// Bytes of samples, where the header states them.
    pub length: Option<u64>,
}

/// Why a WAV stream cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    #[error("a WAV file without samples within its first {LONGEST_HEADER} bytes")]
    NoSamples,
    #[error("a WAV file of {bits}-bit samples in format {format}, {channels} channels at {rate} Hz")]
    Unsupported { format: u16, bits: u16, channels: u16, rate: u32 },
}

/// Reads the header at the beginning of a stream; `None` while it is incomplete.
///
/// # Errors
/// There are no samples within reach, or they are in an encoding that cannot be read.
pub fn header(begin: &[u8]) -> Result<Option<Header>, WavError> {
    let mut format = None;
    let mut at = 12;
    while at <= LONGEST_HEADER {
        let Some((id, length)) = chunk(begin, at) else { return Ok(None) };
        let body = at + 8;
        match &id {
            b"data" => {
                let (encoding, channels, rate) = format.ok_or(WavError::NoSamples)?;
                let length = (length != 0 && length < UNKNOWN_LENGTH).then_some(u64::from(length));
                return Ok(Some(Header { encoding, channels, rate, start: body, length }));
            }
            b"fmt " => match begin.get(body..body + (length as usize).clamp(16, 40)) {
                Some(fields) => format = Some(sample_format(fields)?),
                None => return Ok(None),
            },
            _ => {}
        }
        at = body.saturating_add(length as usize).saturating_add(length as usize % 2);
    }
    Err(WavError::NoSamples)
}

fn chunk(begin: &[u8], at: usize) -> Option<([u8; 4], u32)> {
    let head = begin.get(at..at + 8)?;
    let (id, length) = head.split_first_chunk::<4>()?;
    Some((*id, u32::from_le_bytes(*length.first_chunk()?)))
}

/// Encoding, channels and rate of a `fmt ` chunk of 16 bytes or more. 0xfffe is the extensible form (mmreg.h), in which the
/// first field of a GUID names the encoding.
fn sample_format(fields: &[u8]) -> Result<(Encoding, u16, u32), WavError> {
    let number = |at: usize| fields.get(at..at + 2).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
    let (channels, rate, bits) = (number(2), u32::from(number(4)) | u32::from(number(6)) << 16, number(14));
    let format = if number(0) == 0xfffe { number(24) } else { number(0) };
    let encoding = match (format, bits) {
        (1, 16) => Some(Encoding::Pcm16),
        (3, 32) => Some(Encoding::Float32),
        (6, 8) => Some(Encoding::Alaw),
        (7, 8) => Some(Encoding::Ulaw),
        _ => None,
    };
    let is_playable = (1..=8).contains(&channels) && (1_000..=192_000).contains(&rate);
    match encoding.filter(|_| is_playable) {
        Some(encoding) => Ok((encoding, channels, rate)),
        None => Err(WavError::Unsupported { format, bits, channels, rate }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::wav::encode;

    /// A file with a chunk before `fmt `, as long as `extra`.
    fn with_chunk(extra: &[u8], data: u32) -> Vec<u8> {
        let mut file = b"RIFF\xff\xff\xff\xffWAVELIST".to_vec();
        file.extend((extra.len() as u32).to_le_bytes());
        file.extend(extra);
        file.extend(vec![0; extra.len() % 2]);
        file.extend(&encode(22_050, &[])[12..40]);
        file.extend(data.to_le_bytes());
        file
    }

    #[test]
    fn a_plain_file_is_read() {
        let expected =
            Header { encoding: Encoding::Pcm16, channels: 1, rate: 22_050, start: 44, length: Some(4) };
        assert_eq!(header(&encode(22_050, &[1, 2])), Ok(Some(expected)));
    }

    #[test]
    fn unknown_lengths_and_further_chunks_are_read() {
        for (extra, data, length) in [
            (&b""[..], 0, None),
            (b"abc", u32::MAX, None),
            (b"abcd", 0x7fff_f000, None),
            (b"abc", 6, Some(6)),
        ] {
            let file = with_chunk(extra, data);
            let found = header(&file).expect("a header").expect("a whole one");
            assert_eq!((found.rate, found.start, found.length), (22_050, file.len(), length));
            for end in 0..file.len() {
                assert_eq!(header(&file[..end]), Ok(None), "the first {end} bytes");
            }
        }
    }

    #[test]
    fn other_encodings_are_named() {
        let mut file = encode(8_000, &[]);
        (file[20], file[34]) = (7, 8);
        assert_eq!(header(&file).map(|it| it.map(|it| it.encoding)), Ok(Some(Encoding::Ulaw)));
        (file[20], file[34]) = (1, 24);
        let error = header(&file).expect_err("24 bits").to_string();
        assert_eq!(error, "a WAV file of 24-bit samples in format 1, 1 channels at 8000 Hz");
    }

    #[test]
    fn samples_beyond_reach_are_an_error() {
        let mut file = with_chunk(&[], 0);
        file[16..20].copy_from_slice(&(LONGEST_HEADER as u32).to_le_bytes());
        assert_eq!(header(&file), Err(WavError::NoSamples));
        let without_format = [&encode(8_000, &[])[..12], b"data\0\0\0\0"].concat();
        assert_eq!(header(&without_format), Err(WavError::NoSamples));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(tail: Vec<u8>) {
            let _ = header(&[b"RIFF....WAVE", tail.as_slice()].concat());
        }

        #[test]
        fn damaged_headers_are_survived(at in 0usize..44, byte: u8) {
            let mut file = encode(16_000, &[1, 2, 3]);
            file[at] = byte;
            let _ = header(&file);
        }
    }
}
