//! Parsing and building of RTP packets (RFC 3550, section 5.1).

/// Bytes of a header without contributing sources and extension.
pub const HEADER: usize = 12;

/// A packet as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    /// In ticks of the payload's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    pub payload: &'a [u8],
}

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("shorter than its header says")]
    Truncated,
    #[error("not version 2")]
    Version,
    #[error("more padding than payload")]
    Padding,
}

impl<'a> Packet<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Truncated)?;
        if header[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let sources = 4 * usize::from(header[0] & 0x0F);
        let rest = rest.get(sources..).ok_or(Malformed::Truncated)?;
        let rest = if header[0] & 0x10 != 0 { skip_extension(rest)? } else { rest };
        let payload = if header[0] & 0x20 != 0 { strip_padding(rest)? } else { rest };
        Ok(Packet {
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7F,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }
}

/// Section 5.3.1: a profile word, a length in words of four bytes, and as many of them.
fn skip_extension(rest: &[u8]) -> Result<&[u8], Malformed> {
    let (head, rest) = rest.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
    let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    rest.get(len..).ok_or(Malformed::Truncated)
}

/// The last byte counts the padding, itself included.
fn strip_padding(rest: &[u8]) -> Result<&[u8], Malformed> {
    let padding = usize::from(*rest.last().ok_or(Malformed::Padding)?);
    if padding == 0 || padding > rest.len() {
        return Err(Malformed::Padding);
    }
    Ok(&rest[..rest.len() - padding])
}

/// Writes a header without contributing sources or extension.
pub fn write_header(out: &mut [u8; HEADER], packet: &Packet<'_>) {
    out[0] = 0x80;
    out[1] = u8::from(packet.marker) << 7 | packet.payload_type & 0x7F;
    out[2..4].copy_from_slice(&packet.sequence.to_be_bytes());
    out[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&packet.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() <= bytes.len() - HEADER);
            }
        }

        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &payload };
            let mut header = [0; HEADER];
            write_header(&mut header, &packet);
            let bytes = [&header[..], &payload].concat();
            prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
        }
    }

    #[test]
    fn sources_extension_and_padding_are_not_payload() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 8]); // Two contributing sources.
        bytes.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]); // An extension of one word.
        bytes.extend([7, 7, 7, 0, 2]); // Three bytes of payload, two of padding.
        assert_eq!(Packet::parse(&bytes).unwrap().payload, [7, 7, 7]);
    }

    #[test]
    fn padding_beyond_the_payload_is_malformed() {
        let mut bytes = vec![0xA0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Padding));
        bytes.push(2);
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Padding));
    }
}
