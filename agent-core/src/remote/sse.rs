//! Server-sent events, as far as completions use them: the data of each event.
//!
//! Source: WHATWG HTML, 9.2 "Server-sent events".

/// Cuts a stream of bytes into events. What is held is bounded by whoever feeds it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    data: Vec<String>,
    /// A line that ended with CR may have its LF in the next piece.
    after_cr: bool,
}

impl Reader {
    /// The data of the events that a piece completes.
    pub(super) fn read(&mut self, piece: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in piece {
            let was_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => self.end_line(&mut events),
                byte => self.line.push(*byte),
            }
        }
        events
    }

    fn end_line(&mut self, events: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if !self.data.is_empty() {
                events.push(std::mem::take(&mut self.data).join("\n"));
            }
            return;
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            self.data.push(String::from_utf8_lossy(data).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let stream =
            "data: {\"a\": 1}\r\n\r\n: a comment\nevent: x\ndata:é\ndata: two\n\ndata: [DONE]\n\n";
        let expected = ["{\"a\": 1}", "é\ntwo", "[DONE]"];
        for size in 1..=stream.len() {
            let mut reader = Reader::default();
            let pieces = stream.as_bytes().chunks(size);
            let events: Vec<_> = pieces.flat_map(|piece| reader.read(piece)).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }
}
