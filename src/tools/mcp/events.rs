//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), as far as MCP uses them: their data.

/// Reads events from pieces of a stream. It looks at each byte once, however small the pieces are.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    data: Vec<String>,
    /// A line feed that follows belongs to the line that just ended.
    after_carriage_return: bool,
}

impl EventReader {
    /// The data of the events that this piece completes.
    pub fn read(&mut self, piece: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for &byte in piece {
            let is_second_half = byte == b'\n' && std::mem::take(&mut self.after_carriage_return);
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => complete.extend(self.end_line()),
                byte => self.line.push(byte),
            }
            self.after_carriage_return = byte == b'\r';
        }
        complete
    }

    /// An empty line ends an event.
    fn end_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_end_at_empty_lines() {
        let mut reader = EventReader::default();
        let stream = ": ping\r\n\r\nid: 1\ndata: {\"a\":\ndata:1}\n\nevent: x\n\ndata: two\r\rdata: cut";
        assert_eq!(reader.read(stream.as_bytes()), ["{\"a\":\n1}", "two"]);
        assert_eq!(reader.read(b"\r\n\r\n"), ["cut"]);
    }

    proptest! {
        #[test]
        fn the_size_of_pieces_does_not_matter(bytes in "(data: ?|[a:\r\n])*", size in 1_usize..9) {
            let whole = EventReader::default().read(bytes.as_bytes());
            let mut reader = EventReader::default();
            let pieces: Vec<String> = bytes.as_bytes().chunks(size).flat_map(|piece| reader.read(piece)).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}
