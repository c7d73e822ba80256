//! Server-sent events, out of bytes that may be cut anywhere (WHATWG HTML, section 9.2.6).

/// Bytes that one event may have before it is refused.
pub const EVENT_LIMIT: usize = 16 << 20;

/// An event that is longer than [`EVENT_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {EVENT_LIMIT} bytes")]
pub struct EventTooLong;

/// Collects bytes, and gives the data of whole events.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The line that has begun.
    line: Vec<u8>,
    /// The data lines of the event that has begun; `None`: it has none yet.
    data: Option<Vec<u8>>,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
    /// Whether a line has ended yet: only the first may begin with a byte order mark.
    begun: bool,
}

impl EventReader {
    /// Takes bytes in, and gives the data of the events that they complete. Names, ids and comments are left out.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second_of_pair = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                _ if second_of_pair => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > EVENT_LIMIT {
                return Err(EventTooLong);
            }
        }
        Ok(events)
    }

    /// The data of an event, if this line ends one.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let line = match std::mem::replace(&mut self.begun, true) {
            false => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            true => &line,
        };
        if line.is_empty() {
            return self.data.take();
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[][..],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<String> {
        let mut reader = EventReader::default();
        let events = parts.iter().flat_map(|part| reader.push(part).unwrap());
        events.map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        // The examples of the standard: two lines of data, comments, a lone "data", no space, and an unfinished event.
        assert_eq!(read(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]), ["YHOO\n+2\n10"]);
        assert_eq!(read(&[b": test stream\n\ndata: first event\nid: 1\n\n"]), ["first event"]);
        assert_eq!(read(&[b"data\n\ndata\ndata\n\ndata:"]), ["", "\n"]);
        assert_eq!(read(&[b"data:test\n\ndata: test\n\n"]), ["test", "test"]);
        assert_eq!(read(&[b"\xef\xbb\xbfdata: x\r\n\r\ndatum: y\r\revent: z\n\n"]), ["x"]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = EventReader::default();
        let part = vec![b'x'; 1 << 20];
        let refused = (0..32).any(|_| reader.push(&part) == Err(EventTooLong));
        assert!(refused);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            events in prop::collection::vec("[a-z é€🚀\n]{0,12}", 0..6),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(1_usize..6, 1..8),
        ) {
            let mut text = String::from(": hello");
            text += end;
            for event in &events {
                for line in event.split('\n') {
                    text += &format!("data: {line}{end}");
                }
                text += &format!("event: other{end}{end}");
            }
            let mut parts = Vec::new();
            let (mut rest, mut cut) = (text.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                parts.push(part);
                rest = later;
            }
            prop_assert_eq!(read(&parts), events);
        }

        #[test]
        fn no_bytes_make_it_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8)) {
            let mut reader = EventReader::default();
            for part in parts {
                let _ = reader.push(&part);
            }
        }
    }
}
