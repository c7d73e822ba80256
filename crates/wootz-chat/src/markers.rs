//! The markers that are looked for in each section of an answer.

use crate::syntax::{CallSyntax, ReasoningSyntax, is_control};

/// What a marker means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    BeginReasoning,
    EndReasoning,
    /// Belongs to no text.
    Frame,
    /// A section of calls begins.
    OpenCalls,
    /// A call begins.
    BeginCall,
    CloseCalls,
}

/// A marker and what it means.
type Marker = (&'static str, Meaning);

/// All markers of a format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Markers {
    pub(crate) reasoning: Option<ReasoningSyntax>,
    pub(crate) frames: &'static [&'static str],
    /// The syntax of calls, where calls are looked for.
    pub(crate) syntax: Option<&'static CallSyntax>,
}

impl Markers {
    pub(crate) fn in_content(&self) -> Vec<Marker> {
        let mut markers: Vec<_> = self.frames.iter().map(|frame| (*frame, Meaning::Frame)).collect();
        if let Some(reasoning) = self.reasoning {
            markers.push((reasoning.begin, Meaning::BeginReasoning));
            markers.push((reasoning.end, Meaning::EndReasoning));
        }
        markers.extend(self.calls());
        markers
    }

    pub(crate) fn in_reasoning(&self) -> Vec<Marker> {
        let mut markers: Vec<_> =
            self.reasoning.iter().map(|reasoning| (reasoning.end, Meaning::EndReasoning)).collect();
        // Some models call out of their reasoning. A tag may be what they think about, a control token may not.
        markers.extend(self.calls().into_iter().filter(|(marker, _)| is_control(marker)));
        markers
    }

    pub(crate) fn between_calls(&self) -> Vec<Marker> {
        let mut markers = self.calls();
        let closer = self.syntax.map_or("", |syntax| syntax.closer);
        if !closer.is_empty() {
            markers.push((closer, Meaning::CloseCalls));
        }
        markers
    }

    fn calls(&self) -> Vec<Marker> {
        let Some(syntax) = self.syntax else { return Vec::new() };
        let meaning = |marker: &str| {
            if marker == syntax.opener { Meaning::OpenCalls } else { Meaning::BeginCall }
        };
        syntax.markers().map(|marker| (marker, meaning(marker))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChatFormat;
    use crate::detect::names_and_texts;

    #[test]
    fn no_marker_begins_another() {
        for (name, texts) in names_and_texts() {
            let format = ChatFormat::detect(&texts.join(" "), |_| crate::MarkerToken::Text);
            assert_eq!(format.name(), name);
            let markers =
                Markers { reasoning: format.reasoning, frames: format.frames, syntax: Some(format.calls) };
            for list in [markers.in_content(), markers.in_reasoning(), markers.between_calls()] {
                for (index, (marker, _)) in list.iter().enumerate() {
                    let begun = list.iter().skip(index + 1).any(|(other, _)| {
                        other != marker && (other.starts_with(marker) || marker.starts_with(other))
                    });
                    assert!(!begun, "{name}: {marker}");
                }
            }
        }
    }
}
