//! Which format a model writes, by what stands in its chat template.

use crate::format::ChatFormat;
use crate::formats;
use crate::ids::IdStyle;
use crate::prepare::TemplateTraits;
use crate::syntax::{CallSyntax, ContentFrame, Layout, ReasoningSyntax};
use crate::tokens::{ControlTokens, MarkerToken};

/// A format and the texts that its templates hold, all of them.
struct Signature {
    name: &'static str,
    texts: &'static [&'static str],
    calls: &'static CallSyntax,
    frames: &'static [&'static str],
    /// What may stand around the content: the first whose beginning stands in the template, else the first.
    content: &'static [ContentFrame],
    reasoning: Own,
}

/// What reasoning a signature brings.
enum Own {
    /// Always this.
    Always(ReasoningSyntax),
    /// What the template or the vocabulary shows.
    AsShown,
}

const fn signature(
    name: &'static str,
    texts: &'static [&'static str],
    calls: &'static CallSyntax,
) -> Signature {
    Signature { name, texts, calls, frames: &[], content: &[], reasoning: Own::AsShown }
}

/// In this order: the first whose texts all stand in the template.
const SIGNATURES: &[Signature] = &[
    Signature {
        content: formats::HARMONY_CONTENT,
        reasoning: Own::Always(formats::HARMONY_THINK),
        ..signature("harmony", &["<|channel|>", "<|message|>", "<|start|>"], &formats::HARMONY)
    },
    Signature {
        frames: formats::KIMI_FRAMES,
        content: formats::KIMI_CONTENT,
        reasoning: Own::Always(formats::KIMI_THINK),
        ..signature("kimi-k3", &["<|open|>", "<|close|>", "<|sep|>"], &formats::KIMI_K3)
    },
    Signature {
        frames: formats::SOLAR_FRAMES,
        content: formats::SOLAR_CONTENT,
        reasoning: Own::Always(formats::SOLAR_THINK),
        ..signature("solar", &["<|tool_call:begin|>", "<|tool_call:args|>"], &formats::SOLAR)
    },
    Signature {
        frames: formats::COHERE_FRAMES,
        content: formats::COHERE_CONTENT,
        reasoning: Own::Always(formats::COHERE_THINK),
        ..signature("cohere", &["<|START_ACTION|>"], &formats::COHERE)
    },
    Signature {
        reasoning: Own::Always(formats::GEMMA_THINK),
        ..signature("gemma", &["<|tool_call>call:"], &formats::GEMMA)
    },
    Signature {
        reasoning: Own::Always(formats::APERTUS_THINK),
        ..signature("apertus", &["<|tools_prefix|>"], &formats::APERTUS)
    },
    Signature {
        frames: formats::APRIEL_FRAMES,
        content: formats::APRIEL_CONTENT,
        reasoning: Own::Always(formats::APRIEL_THINK),
        ..signature("apriel", &["<tool_calls>[", "[BEGIN FINAL RESPONSE]"], &formats::APRIEL)
    },
    signature("deepseek-v4", &["｜DSML｜", "tool_calls>"], &formats::DEEPSEEK_V4),
    signature("deepseek-v3.2", &["｜DSML｜", "function_calls>"], &formats::DEEPSEEK_V32),
    signature("deepseek-r1", &["<｜tool▁call▁begin｜>", "```json"], &formats::DEEPSEEK_R1),
    signature("deepseek-v3.1", &["<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"], &formats::DEEPSEEK_V31),
    signature("kimi-k2", &["<|tool_call_begin|>"], &formats::KIMI_K2),
    signature("minimax-m2", &["<minimax:tool_call>"], &formats::MINIMAX),
    signature("mistral-id", &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"], &formats::MISTRAL_ID),
    signature("mistral", &["[TOOL_CALLS]", "[ARGS]"], &formats::MISTRAL),
    signature("mistral-list", &["[TOOL_CALLS]"], &formats::MISTRAL_LIST),
    signature("lfm", &["<|tool_call_start|>"], &formats::LFM),
    signature("gigachat", &["<|function_call|>"], &formats::GIGACHAT),
    signature("gigachat", &["function_call", "<|role_sep|>", "<|message_sep|>"], &formats::GIGACHAT),
    signature("glm-lines", &["<arg_key>", "<arg_value>", "</arg_key>\\n"], &formats::GLM_LINES),
    signature("glm", &["<arg_key>", "<arg_value>"], &formats::GLM),
    signature("qwen-coder", &["<function=", "<parameter="], &formats::QWEN_CODER),
    signature("functionary", &["<function=", "</function>"], &formats::FUNCTIONARY),
    signature("nemotron", &["<TOOLCALL>"], &formats::NEMOTRON),
    signature("firefunction", &["functools["], &formats::FIREFUNCTION),
    Signature {
        frames: formats::GRANITE_FRAMES,
        content: formats::GRANITE_CONTENT,
        ..signature("granite", &["<|tool_call|>"], &formats::GRANITE_LIST)
    },
    signature("hermes", &["<tool_call>"], &formats::HERMES),
    signature("llama", &["<|python_tag|>"], &formats::LLAMA),
    signature("llama", &["<|start_header_id|>", "\"parameters\": "], &formats::LLAMA),
];

impl ChatFormat {
    /// The format of a model, by the source of its chat template. `token` says whether the vocabulary has a token of
    /// exactly this text, and which: grammars name control tokens by id, and reasoning tags may be known from there alone.
    pub fn detect(template_source: &str, token: impl Fn(&str) -> MarkerToken) -> ChatFormat {
        let found = SIGNATURES
            .iter()
            .find(|signature| signature.texts.iter().all(|text| template_source.contains(text)));
        let ids = if template_source.contains("length != 9") || template_source.contains("|length == 9") {
            IdStyle::Nine
        } else {
            IdStyle::Call
        };
        let shown = || {
            [formats::THINK, formats::THINK_CONTROL, formats::SEED_THINK].into_iter().find(|reasoning| {
                template_source.contains(reasoning.end)
                    || [reasoning.begin, reasoning.end].iter().all(|tag| token(tag) != MarkerToken::Absent)
            })
        };
        let calls = found.map_or(&formats::HERMES, |signature| signature.calls);
        let frames = found.map_or(&[][..], |signature| signature.frames);
        let reasoning = match found.map(|signature| &signature.reasoning) {
            Some(Own::Always(reasoning)) => Some(*reasoning),
            _ => shown(),
        };
        let content = found.and_then(|signature| content_frame(signature.content, template_source));
        ChatFormat {
            tokens: ControlTokens::of(
                calls
                    .texts()
                    .into_iter()
                    .chain(frames.iter().copied())
                    .chain(reasoning.into_iter().flat_map(|reasoning| [reasoning.begin, reasoning.end]))
                    .chain(content.into_iter().flat_map(|frame| [frame.lead, frame.begin, frame.end])),
                &token,
            ),
            traits: TemplateTraits::of(template_source),
            calls,
            name: found.map_or("generic", |signature| signature.name),
            layout: match found {
                Some(signature) if signature.name == "harmony" => Layout::Harmony,
                _ => Layout::Sections,
            },
            reasoning,
            frames,
            content,
            ids,
        }
    }
}

fn content_frame(frames: &'static [ContentFrame], template_source: &str) -> Option<&'static ContentFrame> {
    let in_template = frames.iter().find(|frame| template_source.contains(frame.begin));
    in_template.or(frames.first())
}

/// The names of the formats and the texts that show them.
#[cfg(test)]
pub(crate) fn names_and_texts() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    SIGNATURES.iter().map(|signature| (signature.name, signature.texts))
}
