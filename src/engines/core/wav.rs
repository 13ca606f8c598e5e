//! The 44-byte RIFF header of 16-bit mono PCM, both ways.
//!
//! Only the plain form that vendors take and local programs write; no other chunk is understood.

/// Bytes before the first sample.
pub const HEADER: usize = 44;

/// A WAV file of mono 16-bit samples.
pub fn encode(rate: u32, samples: &[i16]) -> Vec<u8> {
    let data = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(HEADER + samples.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    file.extend_from_slice(&2u16.to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data.to_le_bytes());
    file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    file
}

/// The rate that a header announces, if it is one of mono 16-bit PCM. Lengths are not looked at: a
/// program that writes to a pipe cannot know them.
pub fn rate(header: &[u8; HEADER]) -> Option<u32> {
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let plain = header.starts_with(b"RIFF") && &header[8..16] == b"WAVEfmt " && &header[36..40] == b"data";
    let rate = u32::from(number(24)) | u32::from(number(26)) << 16;
    let mono16 = number(20) == 1 && number(22) == 1 && number(34) == 16;
    (plain && mono16 && (1_000..=192_000).contains(&rate)).then_some(rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let file = encode(22_050, &[1, -2, 3]);
        let header = file.first_chunk().expect("44 bytes");
        assert_eq!((rate(header), file.len()), (Some(22_050), HEADER + 6));
        assert_eq!(file[HEADER..], [1, 0, 254, 255, 3, 0]);
    }

    #[test]
    fn a_library_agrees() {
        let file = encode(8_000, &[5, -6]);
        let mut reader = hound::WavReader::new(file.as_slice()).expect("a WAV file");
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (8_000, 1));
        assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().expect("samples"), [5, -6]);
    }

    proptest! {
        #[test]
        fn random_headers_do_no_harm(header in proptest::collection::vec(any::<u8>(), HEADER)) {
            let _ = rate(header.first_chunk().expect("44 bytes"));
        }

        #[test]
        fn damaged_headers_do_no_harm(at in 0..HEADER, byte: u8) {
            let mut file = encode(16_000, &[]);
            file[at] = byte;
            let _ = rate(file.first_chunk().expect("44 bytes"));
        }
    }
}
