//! The parser of an answer, whatever its layout.

use crate::delta::{Delta, Deltas};
use crate::format::ChatFormat;
use crate::harmony::HarmonyReader;
use crate::sections::SectionReader;
use crate::syntax::Layout;
use crate::tools::Tools;

/// Where reasoning goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReasoningOutput {
    /// It is handed on as [`Delta::Reasoning`], without its markers.
    #[default]
    Separate,
    /// It stays in the content, with its markers, as the model wrote it.
    InContent,
}

/// What a parser must know of the request.
#[derive(Debug, Clone, Default)]
pub struct ParserSettings {
    /// The tools that may be called.
    pub tools: Tools,
    /// Whether the prompt ended inside the reasoning ([`ChatFormat::opened_by`]).
    pub opened: bool,
    /// Where reasoning goes.
    pub reasoning: ReasoningOutput,
}

/// Takes the text of an answer apart as it comes.
#[derive(Debug)]
pub struct OutputParser {
    deltas: Deltas,
    layout: LayoutReader,
}

#[derive(Debug)]
enum LayoutReader {
    Sections(SectionReader),
    Harmony(HarmonyReader),
}

impl OutputParser {
    pub(crate) fn new(format: &ChatFormat, settings: ParserSettings) -> OutputParser {
        let deltas = Deltas::new(format.ids);
        let layout = match format.layout {
            Layout::Sections => LayoutReader::Sections(SectionReader::new(format, settings)),
            Layout::Harmony => LayoutReader::Harmony(HarmonyReader::new(settings)),
        };
        OutputParser { deltas, layout }
    }

    /// Reads the next piece of text, and gives what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<Delta> {
        for character in text.chars() {
            match &mut self.layout {
                LayoutReader::Sections(reader) => reader.step(character, &mut self.deltas),
                LayoutReader::Harmony(reader) => reader.step(character, &mut self.deltas),
            }
        }
        self.deltas.take()
    }

    /// The answer ends: what was held back. A call that is not complete keeps the arguments that came.
    pub fn finish(&mut self) -> Vec<Delta> {
        match &mut self.layout {
            LayoutReader::Sections(reader) => reader.finish(&mut self.deltas),
            LayoutReader::Harmony(reader) => reader.finish(&mut self.deltas),
        }
        self.deltas.take()
    }

    /// How many calls have begun so far.
    pub fn calls(&self) -> usize {
        self.deltas.calls()
    }
}
