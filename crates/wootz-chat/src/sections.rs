//! Answers that are text with sections between markers: all layouts but gpt-oss's.

use std::collections::VecDeque;

use crate::calls::{CallReader, CallSink, Progress};
use crate::delta::Deltas;
use crate::format::ChatFormat;
use crate::markers::{Markers, Meaning};
use crate::parser::{ParserSettings, ReasoningOutput};
use crate::scanner::{Found, MarkerScanner};
use crate::syntax::{Bare, Piece, is_control};
use crate::tools::Tools;

#[derive(Debug)]
enum Section {
    Content,
    Reasoning,
    /// In a section of calls, between calls.
    Calls {
        any: bool,
    },
    Call(Box<CallReader>),
}

/// Reads an answer.
#[derive(Debug)]
pub(crate) struct SectionReader {
    output: ReasoningOutput,
    markers: Markers,
    tools: Tools,
    section: Section,
    scanner: MarkerScanner,
    /// Whether a section has just begun.
    entered: bool,
    /// What the last section's scanner held when the next one began.
    carried: String,
    meanings: Vec<(&'static str, Meaning)>,
    /// Whitespace that may stand next to a marker.
    space: String,
    /// Whether a marker was the last thing before the whitespace.
    after_marker: bool,
    /// Whether the answer has begun: anything but whitespace and frames.
    begun: bool,
    /// Text that becomes content if it turns out to be no call.
    unread: String,
    /// Whether a call has begun and not ended.
    call_open: bool,
}

impl SectionReader {
    pub(crate) fn new(format: &ChatFormat, settings: ParserSettings) -> SectionReader {
        let syntax = match settings.tools {
            Tools::None => None,
            Tools::Known(_) => Some(format.calls),
        };
        let mut reader = SectionReader {
            output: settings.reasoning,
            markers: Markers { reasoning: format.reasoning, frames: format.frames, syntax },
            tools: settings.tools,
            section: Section::Content,
            scanner: MarkerScanner::new(Vec::new()),
            entered: false,
            carried: String::new(),
            meanings: Vec::new(),
            space: String::new(),
            after_marker: settings.opened,
            begun: false,
            unread: String::new(),
            call_open: false,
        };
        let opened = settings.opened && format.reasoning.is_some();
        reader.enter(if opened { Section::Reasoning } else { Section::Content });
        reader.entered = false;
        reader
    }

    pub(crate) fn step(&mut self, character: char, deltas: &mut Deltas) {
        self.read(VecDeque::from([character]), deltas);
    }

    /// Reads the characters. Where another section begins, what the old one's scanner knew of is read anew.
    fn read(&mut self, mut waiting: VecDeque<char>, deltas: &mut Deltas) {
        while let Some(character) = waiting.pop_front() {
            if matches!(self.section, Section::Call(_)) {
                self.step_call(character, &mut waiting, deltas);
                self.entered = false;
                continue;
            }
            let mut found = VecDeque::new();
            self.scanner.push(character, &mut found);
            while let Some(next) = found.pop_front() {
                let mut again = String::new();
                match next {
                    Found::Text(read) if !self.text(read, deltas) => again.push(read),
                    Found::Text(_) => {}
                    Found::Marker(marker) => self.marker(marker, deltas),
                }
                if std::mem::take(&mut self.entered) {
                    for next in found.drain(..) {
                        match next {
                            Found::Text(character) => again.push(character),
                            Found::Marker(marker) => again.push_str(marker),
                        }
                    }
                    again.push_str(&std::mem::take(&mut self.carried));
                    again.chars().rev().for_each(|character| waiting.push_front(character));
                }
            }
        }
    }

    pub(crate) fn finish(&mut self, deltas: &mut Deltas) {
        let mut held = self.scanner.take_held();
        while !held.is_empty() && !matches!(self.section, Section::Call(_)) {
            // What was held as the beginning of a marker is text, whatever its rest turns out to be.
            let first = held.remove(0);
            if !self.text(first, deltas) {
                held.insert(0, first);
            }
            if std::mem::take(&mut self.entered) {
                self.read(held.drain(..).collect(), deltas);
                held = self.scanner.take_held();
            }
        }
        if let Section::Call(reader) = &mut self.section {
            let mut sink = CallSink { deltas, unread: &mut self.unread, open: &mut self.call_open };
            reader.finish(&mut sink);
        }
        let unread = std::mem::take(&mut self.unread);
        let is_list_end = matches!(self.section, Section::Call(_) | Section::Calls { any: true })
            && deltas.calls() > 0
            && unread
                .chars()
                .all(|character| character.is_whitespace() || matches!(character, '[' | ']' | ','));
        if !self.call_open && !is_list_end {
            self.emit_content(&unread, deltas);
        }
        if matches!(self.section, Section::Content) && !self.after_marker {
            let space = std::mem::take(&mut self.space);
            deltas.content(&space);
        }
    }

    fn enter(&mut self, section: Section) {
        self.meanings = match section {
            Section::Content => self.markers.in_content(),
            Section::Reasoning => self.markers.in_reasoning(),
            Section::Calls { .. } => self.markers.between_calls(),
            Section::Call(_) => Vec::new(),
        };
        self.carried.push_str(&self.scanner.take_held());
        self.scanner = MarkerScanner::new(self.meanings.iter().map(|(marker, _)| *marker).collect());
        self.section = section;
        self.entered = true;
    }

    /// Reads a character; `false`: another section began, which must read it.
    fn text(&mut self, read: char, deltas: &mut Deltas) -> bool {
        match self.section {
            Section::Content => {
                if !self.begun && read == '{' && self.begin_bare() {
                    return false;
                }
                self.content(read, deltas);
            }
            Section::Reasoning => self.reasoning(read, deltas),
            Section::Calls { .. } => return self.between_calls(read, deltas),
            Section::Call(_) => return false,
        }
        true
    }

    fn content(&mut self, read: char, deltas: &mut Deltas) {
        if read.is_whitespace() {
            self.space.push(read);
            return;
        }
        let space = std::mem::take(&mut self.space);
        if !std::mem::take(&mut self.after_marker) {
            deltas.content(&space);
        }
        self.begun = true;
        deltas.content(read.encode_utf8(&mut [0; 4]));
    }

    fn reasoning(&mut self, read: char, deltas: &mut Deltas) {
        if self.output == ReasoningOutput::InContent {
            deltas.content(read.encode_utf8(&mut [0; 4]));
            return;
        }
        if read.is_whitespace() {
            self.space.push(read);
            return;
        }
        let space = std::mem::take(&mut self.space);
        if !std::mem::take(&mut self.after_marker) {
            deltas.reasoning(&space);
        }
        deltas.reasoning(read.encode_utf8(&mut [0; 4]));
    }

    /// As [`Self::text`], between calls.
    fn between_calls(&mut self, read: char, deltas: &mut Deltas) -> bool {
        let Some(syntax) = self.markers.syntax else { return true };
        let ways = [syntax.call, syntax.other];
        if let Some(pieces) = ways.into_iter().find(|pieces| CallReader::begins(pieces, read)) {
            self.begin_call(pieces, 0);
            return false;
        }
        if read.is_whitespace() || matches!(read, ',' | ';' | '[' | ']') {
            self.unread.push(read);
            return true;
        }
        self.leave_calls(deltas);
        false
    }

    /// What comes now is no call: back to the content, and what was read without a call becomes content.
    fn leave_calls(&mut self, deltas: &mut Deltas) {
        let any = matches!(self.section, Section::Calls { any: true });
        let unread = std::mem::take(&mut self.unread);
        self.enter(Section::Content);
        self.after_marker = any;
        if !any {
            self.emit_content(&unread, deltas);
        }
    }

    fn emit_content(&mut self, text: &str, deltas: &mut Deltas) {
        text.chars().for_each(|character| self.content(character, deltas));
    }

    /// Begins a call without a marker, where the format has such calls.
    fn begin_bare(&mut self) -> bool {
        let Some(syntax) = self.markers.syntax.filter(|syntax| syntax.bare == Bare::Json) else {
            return false;
        };
        let space = std::mem::take(&mut self.space);
        self.unread = if std::mem::take(&mut self.after_marker) { String::new() } else { space };
        let reader = CallReader::new(syntax.call, 0, self.tools.clone(), true);
        self.enter(Section::Call(Box::new(reader)));
        true
    }

    fn begin_call(&mut self, pieces: &'static [Piece], at: usize) {
        let reader = CallReader::new(pieces, at, self.tools.clone(), false);
        self.enter(Section::Call(Box::new(reader)));
    }

    fn marker(&mut self, marker: &'static str, deltas: &mut Deltas) {
        let meaning = self.meanings.iter().find(|(known, _)| *known == marker).map(|(_, meaning)| *meaning);
        let Some(meaning) = meaning else { return };
        match meaning {
            Meaning::Frame => {
                self.space.clear();
                self.after_marker = true;
            }
            Meaning::BeginReasoning if !self.begun || is_control(marker) => {
                self.mark_reasoning(marker, deltas);
                self.enter(Section::Reasoning);
            }
            // The end of a reasoning that was empty, or begun in the prompt.
            Meaning::EndReasoning if matches!(self.section, Section::Reasoning) || !self.begun => {
                self.mark_reasoning(marker, deltas);
                self.enter(Section::Content);
            }
            Meaning::BeginReasoning | Meaning::EndReasoning => {
                marker.chars().for_each(|character| self.content(character, deltas));
            }
            Meaning::OpenCalls | Meaning::BeginCall => {
                if matches!(self.section, Section::Calls { any: true }) {
                    self.unread.clear();
                }
                let space = std::mem::take(&mut self.space);
                if !std::mem::take(&mut self.after_marker) {
                    self.unread.push_str(&space);
                }
                self.unread.push_str(marker);
                match self.markers.syntax {
                    Some(syntax) if meaning == Meaning::BeginCall => self.begin_call(syntax.call, 1),
                    _ => self.enter(Section::Calls { any: false }),
                }
            }
            Meaning::CloseCalls => {
                if matches!(self.section, Section::Calls { any: false }) {
                    self.unread.push_str(marker);
                }
                self.leave_calls(deltas);
                self.after_marker = true;
            }
        }
    }

    fn mark_reasoning(&mut self, marker: &str, deltas: &mut Deltas) {
        match self.output {
            ReasoningOutput::Separate => {
                self.space.clear();
                self.after_marker = true;
            }
            ReasoningOutput::InContent => {
                let space = std::mem::take(&mut self.space);
                deltas.content(&space);
                deltas.content(marker);
                self.after_marker = false;
            }
        }
    }

    fn step_call(&mut self, character: char, waiting: &mut VecDeque<char>, deltas: &mut Deltas) {
        let Section::Call(reader) = &mut self.section else { return };
        let (was_open, calls) = (self.call_open, deltas.calls());
        let mut sink = CallSink { deltas, unread: &mut self.unread, open: &mut self.call_open };
        let progress = reader.step(character, &mut sink);
        let is_of_call = was_open || deltas.calls() > calls;
        match progress {
            Progress::More | Progress::Done | Progress::DoneWithMarker => {
                self.begun = true;
                if !is_of_call && progress == Progress::More {
                    self.unread.push(character);
                }
                if progress != Progress::More {
                    self.unread.clear();
                    self.enter(Section::Calls { any: true });
                }
            }
            Progress::DoneBefore => {
                self.end_call();
                waiting.push_front(character);
            }
            Progress::Refused => {
                let held = reader.take_held();
                waiting.push_front(character);
                if self.call_open {
                    held.chars().rev().for_each(|held| waiting.push_front(held));
                    self.end_call();
                    return;
                }
                let unread = std::mem::take(&mut self.unread);
                self.enter(Section::Content);
                self.begun = true;
                self.after_marker = false;
                self.emit_content(&unread, deltas);
            }
        }
    }

    fn end_call(&mut self) {
        self.call_open = false;
        self.unread.clear();
        self.enter(Section::Calls { any: true });
    }
}
