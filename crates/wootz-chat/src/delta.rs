//! What a parser hands on, and the list that it collects in.

use crate::ids::IdStyle;

/// A piece of what the model said, in the order in which it said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Text of the answer.
    Content(String),
    /// Text of the reasoning.
    Reasoning(String),
    /// A tool is called. Its arguments follow.
    ToolCall {
        /// Which call of the answer: 0, 1, …
        index: usize,
        /// The model's own id of the call, or a new one.
        id: String,
        /// The name of the tool.
        name: String,
    },
    /// The next piece of the arguments of a call, JSON text.
    ToolArguments {
        /// Which call of the answer.
        index: usize,
        /// The text, to be appended.
        text: String,
    },
}

/// Collects deltas; neighbours of one kind become one.
#[derive(Debug)]
pub(crate) struct Deltas {
    list: Vec<Delta>,
    /// Calls begun so far.
    calls: usize,
    ids: IdStyle,
}

impl Deltas {
    pub(crate) fn new(ids: IdStyle) -> Deltas {
        Deltas { list: Vec::new(), calls: 0, ids }
    }

    pub(crate) fn take(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.list)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    pub(crate) fn content(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Content(last)) => last.push_str(text),
            _ => self.list.push(Delta::Content(text.to_owned())),
        }
    }

    pub(crate) fn reasoning(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Reasoning(last)) => last.push_str(text),
            _ => self.list.push(Delta::Reasoning(text.to_owned())),
        }
    }

    /// Begins a call: with the model's own id, or with a new one.
    pub(crate) fn call(&mut self, id: Option<String>, name: &str) {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| self.ids.make());
        self.list.push(Delta::ToolCall { index: self.calls, id, name: name.to_owned() });
        self.calls += 1;
    }

    /// Appends to the arguments of the last call.
    pub(crate) fn arguments(&mut self, piece: &str) {
        let current = self.calls.saturating_sub(1);
        match self.list.last_mut() {
            _ if piece.is_empty() => {}
            Some(Delta::ToolArguments { index, text }) if *index == current => text.push_str(piece),
            _ => self.list.push(Delta::ToolArguments { index: current, text: piece.to_owned() }),
        }
    }
}
