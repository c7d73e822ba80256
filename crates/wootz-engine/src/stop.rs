//! Stop strings in a stream of text, wherever its pieces are cut.

/// Lets text through until a stop string appears; holds back what may still become one.
///
/// The text before the stop string that is complete first is let through; of several that are complete at the same
/// character, before the one that began first. This does not depend on how the text was cut into pieces.
#[derive(Debug, Clone)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// Text that no stop string can claim any more; may be empty.
    Text(String),
    /// The last text before a stop string.
    Stopped {
        /// What came before it.
        text: String,
        /// Its place in the list of stop strings.
        stop: usize,
    },
}

impl StopFilter {
    /// A filter for some stop strings; empty ones are left out.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Takes the next piece of text. After `Stopped` the filter is empty again.
    pub fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        let first = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start, index))
        });
        if let Some((_, start, stop)) = first.min() {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(start);
            return Passed::Stopped { text, stop };
        }
        let safe = self.held.len() - self.stops.iter().map(|stop| begun(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(safe);
        Passed::Text(std::mem::replace(&mut self.held, rest))
    }

    /// The text is over: what was held back is no stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that `stop` begins with, and is longer than.
fn begun(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|&length| {
            text.is_char_boundary(text.len() - length)
                && stop.as_bytes().starts_with(&text.as_bytes()[text.len() - length..])
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, over the whole text.
    fn naive(text: &str, stops: &[String]) -> (String, bool) {
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        for end in ends {
            let start =
                stops.iter().filter(|stop| text[..end].ends_with(stop.as_str())).map(|s| end - s.len()).min();
            if let Some(start) = start {
                return (text[..start].to_string(), true);
            }
        }
        (text.to_string(), false)
    }

    fn stream(pieces: &[String], stops: &[String]) -> (String, bool) {
        let mut filter = StopFilter::new(stops.to_vec());
        let mut out = String::new();
        for piece in pieces {
            match filter.push(piece) {
                Passed::Text(text) => out.push_str(&text),
                Passed::Stopped { text, .. } => return (out + &text, true),
            }
        }
        (out + &filter.finish(), false)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_stream_is_cut_where_the_whole_text_would_be(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{1,5}", 0..4),
        ) {
            prop_assert_eq!(stream(&pieces, &stops), naive(&pieces.concat(), &stops));
        }

        #[test]
        fn text_that_may_still_be_a_stop_string_is_held_back(
            pieces in prop::collection::vec("[ab]{0,3}", 1..8),
            stop in "[ab]{2,4}",
        ) {
            let mut filter = StopFilter::new([stop.clone()]);
            let mut out = String::new();
            for piece in &pieces {
                match filter.push(piece) {
                    Passed::Text(text) => out.push_str(&text),
                    Passed::Stopped { .. } => return Ok(()),
                }
                // Whatever came out already is no part of a stop string completed by any later text.
                let seen = format!("{out}{}", filter.held);
                for cut in 1..=stop.len() {
                    if seen.ends_with(&stop[..cut]) && cut < stop.len() {
                        prop_assert!(filter.held.len() >= cut);
                    }
                }
            }
        }
    }

    #[test]
    fn an_overlapping_start_is_found() {
        assert_eq!(stream(&["aa".into(), "aab".into()], &["aab".into()]), ("aa".into(), true));
        assert_eq!(stream(&["ab".into(), "c".into()], &["abcd".into(), "bc".into()]), ("a".into(), true));
    }
}
