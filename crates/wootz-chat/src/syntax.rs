//! The vocabulary in which formats are described. Parser, grammar and renderer all read these descriptions.

/// How an answer is taken apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Layout {
    /// Text with sections between markers.
    Sections,
    /// Messages with headers, each on a channel: gpt-oss.
    Harmony,
}

/// How reasoning is marked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ReasoningSyntax {
    /// The text before it.
    pub begin: &'static str,
    /// The text after it.
    pub end: &'static str,
    /// What ends it when its budget is spent, and leads on to the answer.
    pub forced_end: &'static str,
}

/// What is written around the content of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ContentFrame {
    /// Before `begin`, where reasoning stands before it.
    pub lead: &'static str,
    /// Before the content.
    pub begin: &'static str,
    /// After the content; models may end without it.
    pub end: &'static str,
    /// Whether all answers have it.
    pub presence: Presence,
}

/// Whether something is always written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Always,
    Sometimes,
}

/// How calls are written: `lead opener before call (separator call)* after closer`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CallSyntax {
    /// Written before the first call where something stands before it.
    pub lead: &'static str,
    /// The marker that begins a section of calls; empty where a call begins with a marker of its own or with none.
    pub opener: &'static str,
    /// Written after the opener.
    pub before: &'static str,
    /// One call.
    pub call: &'static [Piece],
    /// Another way to write a call, which models were trained on too; it is read, never asked for.
    pub other: &'static [Piece],
    /// Written between calls, or between sections.
    pub separator: &'static str,
    /// Written before the closer.
    pub after: &'static str,
    /// The marker that ends the section; empty where there is none.
    pub closer: &'static str,
    /// Several calls.
    pub several: Several,
    /// Whether calls may come without the opener.
    pub bare: Bare,
}

impl CallSyntax {
    /// All fixed texts.
    pub(crate) fn texts(&self) -> Vec<&'static str> {
        let mut texts = vec![self.lead, self.opener, self.closer];
        for piece in self.call {
            match piece {
                Piece::Text(text) | Piece::MarkedId(text, _) => texts.push(text),
                Piece::Parameters(parameters) => {
                    texts.extend([
                        parameters.open,
                        parameters.key_end,
                        parameters.value_begin,
                        parameters.close,
                    ]);
                    if let Typing::StringFlag(end) | Typing::TypeName(end) = parameters.typing {
                        texts.push(end);
                    }
                }
                Piece::Literals(_) => texts.push(GEMMA_QUOTE),
                _ => {}
            }
        }
        texts
    }

    /// What begins calls: the opener of a section, and the text with which a call begins.
    pub(crate) fn markers(&self) -> impl Iterator<Item = &'static str> {
        let first = match self.call.first() {
            Some(Piece::Text(text)) => *text,
            _ => "",
        };
        [self.opener, first].into_iter().filter(|marker| !marker.is_empty())
    }
}

/// How several calls are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Several {
    /// In one section.
    InOneSection,
    /// In one section each.
    InSections,
    /// The format knows one call an answer.
    Never,
}

/// Calls without an opener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    /// Not read as calls.
    No,
    /// An answer that begins with `{` is a call if it names a known tool: Llama 3.
    Json,
}

/// A part of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Piece {
    /// Exactly this text; whitespace before it is skipped.
    Text(&'static str),
    /// Written whitespace; skipped when read.
    Space(&'static str),
    /// The name of the tool, up to the next piece.
    Name,
    /// `functions.name:0`, up to the next piece: the name, and all of it is the id.
    QualifiedName,
    /// The id of the call, up to the next piece.
    Id(IdRule),
    /// A marker and an id, which may be missing when read.
    MarkedId(&'static str, IdRule),
    /// A number that only counts, up to the next piece.
    Count,
    /// The arguments as a JSON object.
    Json,
    /// The whole call as a JSON object, or several in an array.
    JsonCall(JsonKeys),
    /// One marked text an argument.
    Parameters(ParameterSyntax),
    /// Keys and values in brackets, in a notation of its own.
    Literals(LiteralSyntax),
}

/// What an enforced id looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdRule {
    /// Nine letters and digits.
    Nine,
    /// Ten lower case letters and digits.
    TenLower,
}

/// The keys of a call as JSON. When read, any of the usual keys will do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum JsonKeys {
    /// `{"name": …, "arguments": …}`
    Keyed {
        /// Key of an id that is written first: a running number.
        id: Option<&'static str>,
        /// Key of the name.
        name: &'static str,
        /// Key of the arguments.
        arguments: &'static str,
    },
    /// `{"the name": {the arguments}}`
    NameIsKey,
}

/// How an argument is marked: `open key key_end [type type_end] value_begin padding value padding close after`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ParameterSyntax {
    /// Before the key.
    pub open: &'static str,
    /// After the key.
    pub key_end: &'static str,
    /// What says whether the value is text.
    pub typing: Typing,
    /// Before the value; whitespace before it is skipped.
    pub value_begin: &'static str,
    /// Whitespace that is written around the value: one of it at each end is not the value's.
    pub padding: &'static str,
    /// After the value.
    pub close: &'static str,
    /// Whitespace that is written between the key's end and the value's beginning.
    pub gap: &'static str,
    /// Whitespace that is written after an argument.
    pub after: &'static str,
}

/// What says whether an argument is text or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// The tool's schema.
    Schema,
    /// An attribute that is "true" for text; it ends with this.
    StringFlag(&'static str),
    /// An attribute with the JSON type; it ends with this.
    TypeName(&'static str),
}

/// A notation of keys and values that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiteralSyntax {
    /// `(key='text', other=3, third=True)`
    Python,
    /// `{key:<|"|>text<|"|>,other:3}`
    Gemma,
}

impl LiteralSyntax {
    /// The bracket that begins the arguments.
    pub(crate) fn open(self) -> &'static str {
        match self {
            LiteralSyntax::Python => "(",
            LiteralSyntax::Gemma => "{",
        }
    }
}

/// The mark around Gemma's strings.
pub(crate) const GEMMA_QUOTE: &str = "<|\"|>";

/// Whether a marker is a control token, by its look. Those never stand in prose: they mean what they mean wherever
/// they come, while a tag such as `<think>` in the middle of an answer is text.
pub(crate) fn is_control(marker: &str) -> bool {
    marker.starts_with('[') || marker.contains(['|', '｜'])
}
