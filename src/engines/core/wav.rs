//! Writes WAV files of 16-bit mono PCM, with the plain header of 44 bytes that vendors accept.

use crate::audio::linear16;

/// Bytes before the first sample.
const HEADER: usize = 44;

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
    file.extend(linear16(samples));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_agrees() {
        let file = encode(22_050, &[5, -6]);
        let mut reader = hound::WavReader::new(file.as_slice()).expect("a WAV file");
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (22_050, 1));
        assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().expect("samples"), [5, -6]);
        assert_eq!(file[HEADER..], [5, 0, 250, 255]);
    }
}
