//! Answers that are free until they call: the call follows the schema.
//!
//! A call begins with a marker. Where that is a control token, text is any other token; where it is text, the text before
//! it is a word of the lexer that ends with the marker, and text without a call is one that holds no marker.

use super::AnswerForm;
use super::writer::{Writer, regex};
use crate::format::{AnswerPlace, ChatFormat};
use crate::syntax::{Bare, Layout, Piece};
use crate::tools::{Parallel, ToolDefinition};

/// The marks of channels.
const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const END: &str = "<|end|>";

/// The grammar; `None` where nothing marks the beginning of a call.
pub(super) fn strict_calls(
    format: &ChatFormat,
    tools: &[ToolDefinition],
    form: &AnswerForm,
) -> Option<String> {
    if format.layout == Layout::Harmony {
        return channels(format, tools, form);
    }
    let marker = format.calls.markers().next().filter(|_| format.calls.bare != Bare::Json)?;
    let mut writer = Writer::new(&format.tokens);
    let is_token = |marker: &str| format.tokens.first(marker).is_some();
    let start = if format.calls.markers().all(is_token) {
        after_tokens(&mut writer, format, tools, form.parallel)
    } else if is_token(marker) {
        let section = writer.section(format.calls, tools, form.parallel, marker);
        let text = plain_text(&mut writer, format);
        repeated(&text, &section, form.parallel)
    } else {
        let section = writer.section(format.calls, tools, form.parallel, "");
        let text = plain_text(&mut writer, format);
        let opened = format!("OPENED: {} {}\n", without_markers(format), writer.literal(marker));
        writer.rules.push_str(&opened);
        match form.parallel {
            Parallel::Many => format!("(OPENED {section})* {text}?"),
            Parallel::Single => format!("{text} | OPENED {section} | \"\""),
        }
    };
    Some(writer.grammar(&start))
}

/// Text and sections by turns; of these one only, at the end, where several are not wanted.
fn repeated(text: &str, section: &str, parallel: Parallel) -> String {
    match parallel {
        Parallel::Many => format!("({text}? {section})* {text}?"),
        Parallel::Single => format!("{text}? ({section})?"),
    }
}

/// A regular expression of the texts that hold none of the markers.
fn without_markers(format: &ChatFormat) -> String {
    without(&format.calls.markers().collect::<Vec<_>>())
}

fn without(markers: &[&str]) -> String {
    let markers: Vec<String> = markers.iter().map(|marker| regex(marker)).collect();
    format!("(/(?s:.)*/ & ~/(?s:.)*({})(?s:.)*/)", markers.join("|"))
}

fn plain_text(writer: &mut Writer, format: &ChatFormat) -> String {
    let rule = format!("TEXT: {} & /(?s:.)+/\n", without_markers(format));
    writer.rules.push_str(&rule);
    "TEXT".to_owned()
}

/// Any tokens but those that begin a call, and sections.
fn after_tokens(
    writer: &mut Writer,
    format: &ChatFormat,
    tools: &[ToolDefinition],
    parallel: Parallel,
) -> String {
    let tokens: Vec<u32> =
        format.calls.markers().filter_map(|marker| format.tokens.first(marker)).map(|(_, id)| id).collect();
    let marker = format.calls.markers().next().unwrap_or_default();
    let from = format.tokens.first(marker).map_or(0, |(at, _)| at);
    let section = writer.section(format.calls, tools, parallel, &marker[from..]);
    // The same token may begin what is no call.
    let others = format.frames.iter().copied().chain(format.reasoning.map(|reasoning| reasoning.begin));
    let others = others
        .filter(|text| format.tokens.first(text).is_some_and(|(at, id)| at == 0 && tokens.contains(&id)));
    let mut free = vec![any_but(&tokens)];
    free.extend(others.map(|text| writer.literal(text)));
    let free = writer.rule("free", &free.join(" | "));
    match parallel {
        Parallel::Many => format!("({free} | {section})*"),
        Parallel::Single => format!("{free}* ({section})?"),
    }
}

fn any_but(tokens: &[u32]) -> String {
    let ids: Vec<String> = tokens.iter().map(u32::to_string).collect();
    format!("<[^{}]>", ids.join(","))
}

/// Messages on channels, of which the last may be a call. Their marks are all control tokens, or all text: a client has
/// to see them, so most vocabularies say that they are text.
fn channels(format: &ChatFormat, tools: &[ToolDefinition], form: &AnswerForm) -> Option<String> {
    let mut writer = Writer::new(&format.tokens);
    let Some(Piece::Text(marker)) = format.calls.call.first() else { return None };
    let call = writer.section(format.calls, tools, form.parallel, marker.strip_prefix(CHANNEL)?);
    let next = format!("{START}assistant{CHANNEL}");
    let message = match [START, CHANNEL, END].map(|mark| format.tokens.id(mark)) {
        [Some(start), Some(channel), Some(end)] => {
            let text = any_but(&[start, channel, end]);
            format!("({text})* (<[{end}]>? {} channel)?", writer.literal(&next))
        }
        [None, None, None] => {
            let plain = without(&[START, CHANNEL, END]);
            let (end, next) = (writer.literal(END), writer.literal(&next));
            writer.rules.push_str(&format!("TEXT: {plain} & /(?s:.)+/\nNEXT: {plain} ({end})? {next}\n"));
            "(TEXT | NEXT channel)?".to_owned()
        }
        _ => return None,
    };
    let header = writer.literal(MESSAGE);
    let rules = format!(
        "channel: {call} | (\"analysis\" | \"final\" | \"commentary\") {header} message\nmessage: {message}\n"
    );
    writer.rules.push_str(&rules);
    let lead = writer.literal(&format!("{START}assistant"));
    Some(match form.place {
        AnswerPlace::Content => writer.grammar("message"),
        AnswerPlace::Turn | AnswerPlace::Reasoning => {
            writer.grammar(&format!("({lead})? {} channel", writer.literal(CHANNEL)))
        }
    })
}
