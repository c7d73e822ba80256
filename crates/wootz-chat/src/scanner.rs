//! Finds markers in a stream of characters.

use std::collections::VecDeque;

/// What the scanner knows after another character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A character that belongs to no marker.
    Text(char),
    /// This marker.
    Marker(&'static str),
}

/// Holds back what may become a marker. No marker may be the beginning of another: the shorter one would win.
#[derive(Debug, Clone)]
pub(crate) struct MarkerScanner {
    markers: Vec<&'static str>,
    held: String,
}

impl MarkerScanner {
    /// A scanner for the markers; empty ones never match.
    pub(crate) fn new(markers: Vec<&'static str>) -> MarkerScanner {
        MarkerScanner { markers, held: String::new() }
    }

    /// Takes a character, gives what is certain now.
    pub(crate) fn push(&mut self, character: char, found: &mut VecDeque<Found>) {
        self.held.push(character);
        while !self.held.is_empty() {
            if let Some(marker) = self.markers.iter().find(|marker| **marker == self.held) {
                self.held.clear();
                found.push_back(Found::Marker(marker));
                return;
            }
            if self.markers.iter().any(|marker| marker.starts_with(self.held.as_str())) {
                return;
            }
            found.push_back(Found::Text(self.held.remove(0)));
        }
    }

    /// What is held back, when no more comes or another reader goes on.
    pub(crate) fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(markers: &[&'static str], text: &str) -> (Vec<Found>, String) {
        let (mut scanner, mut found) = (MarkerScanner::new(markers.to_vec()), VecDeque::new());
        text.chars().for_each(|character| scanner.push(character, &mut found));
        (found.into(), scanner.take_held())
    }

    #[test]
    fn markers_are_found_after_false_starts() {
        use Found::{Marker, Text};
        assert_eq!(
            scan(&["<ab>", ""], "<<ab>x<a"),
            (vec![Text('<'), Marker("<ab>"), Text('x')], "<a".to_owned())
        );
        assert_eq!(scan(&["aab", "b"], "aaab"), (vec![Text('a'), Marker("aab")], String::new()));
    }
}
