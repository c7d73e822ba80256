//! The formats: data that the parser, the grammar and the renderer read.
// size gate: a table

use crate::syntax::{
    Bare, CallSyntax, ContentFrame, IdRule, JsonKeys, LiteralSyntax, ParameterSyntax, Piece, Presence,
    ReasoningSyntax, Several, Typing,
};

/// What most fields of a [`CallSyntax`] are.
const PLAIN: CallSyntax = CallSyntax {
    lead: "",
    opener: "",
    before: "",
    call: &[],
    other: &[],
    separator: "",
    after: "",
    closer: "",
    several: Several::InOneSection,
    bare: Bare::No,
};

/// The keys of the most common JSON call.
const NAME_ARGUMENTS: JsonKeys = JsonKeys::Keyed { id: None, name: "name", arguments: "arguments" };

/// `<think>` … `</think>`.
pub(crate) const THINK: ReasoningSyntax =
    ReasoningSyntax { begin: "<think>", end: "</think>", forced_end: "\n</think>\n\n" };
/// Mistral's control tokens.
pub(crate) const THINK_CONTROL: ReasoningSyntax =
    ReasoningSyntax { begin: "[THINK]", end: "[/THINK]", forced_end: "[/THINK]" };
/// Seed-OSS.
pub(crate) const SEED_THINK: ReasoningSyntax =
    ReasoningSyntax { begin: "<seed:think>", end: "</seed:think>", forced_end: "</seed:think>" };
/// Command R7B and its successors.
pub(crate) const COHERE_THINK: ReasoningSyntax =
    ReasoningSyntax { begin: "<|START_THINKING|>", end: "<|END_THINKING|>", forced_end: "<|END_THINKING|>" };
/// Gemma 4.
pub(crate) const GEMMA_THINK: ReasoningSyntax =
    ReasoningSyntax { begin: "<|channel>thought\n", end: "<channel|>", forced_end: "<channel|>" };
/// Apertus.
pub(crate) const APERTUS_THINK: ReasoningSyntax =
    ReasoningSyntax { begin: "<|inner_prefix|>", end: "<|inner_suffix|>", forced_end: "<|inner_suffix|>" };
/// Kimi K3.
pub(crate) const KIMI_THINK: ReasoningSyntax = ReasoningSyntax {
    begin: "<|open|>think<|sep|>",
    end: "<|close|>think<|sep|>",
    forced_end: "<|close|>think<|sep|><|open|>response<|sep|>",
};
/// Solar Open.
pub(crate) const SOLAR_THINK: ReasoningSyntax = ReasoningSyntax {
    begin: "<|think|>",
    end: "<|end|>",
    forced_end: "<|end|><|begin|>assistant<|content|>",
};
/// Apriel: everything before the final response.
pub(crate) const APRIEL_THINK: ReasoningSyntax = ReasoningSyntax {
    begin: "Here are my reasoning steps:\n",
    end: "[BEGIN FINAL RESPONSE]",
    forced_end: "\n[BEGIN FINAL RESPONSE]\n",
};
/// gpt-oss: the analysis channel.
pub(crate) const HARMONY_THINK: ReasoningSyntax = ReasoningSyntax {
    begin: "<|channel|>analysis<|message|>",
    end: "<|end|>",
    forced_end: "<|end|><|start|>assistant<|channel|>final<|message|>",
};

/// Markers around answers that are no part of them.
pub(crate) const COHERE_FRAMES: &[&str] =
    &["<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>", "<|END_OF_TURN_TOKEN|>"];
/// Kimi K3.
pub(crate) const KIMI_FRAMES: &[&str] =
    &["<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>", "<|end_of_msg|>"];
/// Solar Open.
pub(crate) const SOLAR_FRAMES: &[&str] = &["<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>"];
/// Granite 3.
pub(crate) const GRANITE_FRAMES: &[&str] = &["<response>", "</response>"];
/// Apriel.
pub(crate) const APRIEL_FRAMES: &[&str] = &["[END FINAL RESPONSE]"];

/// Command R7B and its successors: the first for the former, the second for the latter.
pub(crate) const COHERE_CONTENT: &[ContentFrame] = &[
    ContentFrame {
        lead: "",
        begin: "<|START_RESPONSE|>",
        end: "<|END_RESPONSE|>",
        presence: Presence::Always,
    },
    ContentFrame { lead: "", begin: "<|START_TEXT|>", end: "<|END_TEXT|>", presence: Presence::Always },
];
/// Kimi K3.
pub(crate) const KIMI_CONTENT: &[ContentFrame] = &[ContentFrame {
    lead: "",
    begin: "<|open|>response<|sep|>",
    end: "<|close|>response<|sep|>",
    presence: Presence::Always,
}];
/// Solar Open. The prompt ends after the first `<|begin|>assistant`.
pub(crate) const SOLAR_CONTENT: &[ContentFrame] = &[ContentFrame {
    lead: "<|begin|>assistant",
    begin: "<|content|>",
    end: "<|end|>",
    presence: Presence::Always,
}];
/// Granite 3, where it reasons.
pub(crate) const GRANITE_CONTENT: &[ContentFrame] =
    &[ContentFrame { lead: "", begin: "<response>", end: "</response>", presence: Presence::Sometimes }];
/// Apriel. What ends the reasoning begins the content.
pub(crate) const APRIEL_CONTENT: &[ContentFrame] =
    &[ContentFrame { lead: "", begin: "", end: "[END FINAL RESPONSE]", presence: Presence::Sometimes }];
/// gpt-oss: the final channel. The prompt ends after the first `<|start|>assistant`.
pub(crate) const HARMONY_CONTENT: &[ContentFrame] = &[ContentFrame {
    lead: "<|start|>assistant",
    begin: "<|channel|>final<|message|>",
    end: "",
    presence: Presence::Always,
}];

/// Hermes, Qwen, Granite 4, MiMo, Bielik, and the models whose template knows no tools.
pub(crate) const HERMES: CallSyntax = CallSyntax {
    lead: "\n",
    opener: "<tool_call>",
    before: "\n",
    call: &[Piece::JsonCall(NAME_ARGUMENTS)],
    separator: "\n",
    after: "\n",
    closer: "</tool_call>",
    several: Several::InSections,
    ..PLAIN
};

/// Qwen3-Coder, Nemotron 3, Step 3.5.
pub(crate) const QWEN_CODER: CallSyntax = CallSyntax {
    lead: "\n\n",
    opener: "<tool_call>",
    before: "\n",
    call: &[
        Piece::Text("<function="),
        Piece::Name,
        Piece::Text(">"),
        Piece::Space("\n"),
        Piece::Parameters(ParameterSyntax {
            open: "<parameter=",
            key_end: ">",
            typing: Typing::Schema,
            gap: "",
            value_begin: "",
            padding: "\n",
            close: "</parameter>",
            after: "\n",
        }),
        Piece::Text("</function>"),
    ],
    separator: "\n",
    after: "\n",
    closer: "</tool_call>",
    several: Several::InSections,
    ..PLAIN
};

/// Llama 3: a bare object, or after the tag of the interpreter, there with calls in Python's way too.
pub(crate) const LLAMA: CallSyntax = CallSyntax {
    opener: "<|python_tag|>",
    call: &[Piece::JsonCall(JsonKeys::Keyed { id: None, name: "name", arguments: "parameters" })],
    other: &[Piece::Name, Piece::Text(".call"), Piece::Literals(LiteralSyntax::Python)],
    several: Several::Never,
    bare: Bare::Json,
    ..PLAIN
};

/// Mistral, up to tokenizer version 7.
pub(crate) const MISTRAL_LIST: CallSyntax = CallSyntax {
    opener: "[TOOL_CALLS]",
    before: "[",
    call: &[Piece::JsonCall(NAME_ARGUMENTS)],
    separator: ", ",
    after: "]",
    ..PLAIN
};

/// Mistral Small 3.2: name, id and arguments.
pub(crate) const MISTRAL_ID: CallSyntax = CallSyntax {
    call: &[
        Piece::Text("[TOOL_CALLS]"),
        Piece::Name,
        Piece::MarkedId("[CALL_ID]", IdRule::Nine),
        Piece::Text("[ARGS]"),
        Piece::Json,
    ],
    ..PLAIN
};

/// Mistral since: name and arguments.
pub(crate) const MISTRAL: CallSyntax = CallSyntax {
    call: &[Piece::Text("[TOOL_CALLS]"), Piece::Name, Piece::Text("[ARGS]"), Piece::Json],
    ..PLAIN
};

/// DeepSeek R1 and V3: a type, a name, arguments in a code block.
pub(crate) const DEEPSEEK_R1: CallSyntax = CallSyntax {
    opener: "<｜tool▁calls▁begin｜>",
    call: &[
        Piece::Text("<｜tool▁call▁begin｜>"),
        Piece::Text("function"),
        Piece::Text("<｜tool▁sep｜>"),
        Piece::Name,
        Piece::Space("\n"),
        Piece::Text("```json"),
        Piece::Space("\n"),
        Piece::Json,
        Piece::Space("\n"),
        Piece::Text("```"),
        Piece::Text("<｜tool▁call▁end｜>"),
    ],
    separator: "\n",
    closer: "<｜tool▁calls▁end｜>",
    ..PLAIN
};

/// DeepSeek V3.1.
pub(crate) const DEEPSEEK_V31: CallSyntax = CallSyntax {
    opener: "<｜tool▁calls▁begin｜>",
    call: &[
        Piece::Text("<｜tool▁call▁begin｜>"),
        Piece::Name,
        Piece::Text("<｜tool▁sep｜>"),
        Piece::Json,
        Piece::Text("<｜tool▁call▁end｜>"),
    ],
    closer: "<｜tool▁calls▁end｜>",
    ..PLAIN
};

/// DeepSeek V4 (and V3.2, whose section has another name: see [`DEEPSEEK_V32`]).
pub(crate) const DEEPSEEK_V4: CallSyntax = CallSyntax {
    lead: "\n\n",
    opener: "<｜DSML｜tool_calls>",
    before: "\n",
    call: DSML_CALL,
    separator: "\n",
    after: "\n",
    closer: "</｜DSML｜tool_calls>",
    ..PLAIN
};

/// DeepSeek V3.2.
pub(crate) const DEEPSEEK_V32: CallSyntax =
    CallSyntax { opener: "<｜DSML｜function_calls>", closer: "</｜DSML｜function_calls>", ..DEEPSEEK_V4 };

const DSML_CALL: &[Piece] = &[
    Piece::Text("<｜DSML｜invoke name=\""),
    Piece::Name,
    Piece::Text("\">"),
    Piece::Space("\n"),
    Piece::Parameters(ParameterSyntax {
        open: "<｜DSML｜parameter name=\"",
        key_end: "\" string=\"",
        typing: Typing::StringFlag("\">"),
        gap: "",
        value_begin: "",
        padding: "",
        close: "</｜DSML｜parameter>",
        after: "\n",
    }),
    Piece::Text("</｜DSML｜invoke>"),
];

/// MiniMax M2.
pub(crate) const MINIMAX: CallSyntax = CallSyntax {
    lead: "\n",
    opener: "<minimax:tool_call>",
    before: "\n",
    call: &[
        Piece::Text("<invoke name=\""),
        Piece::Name,
        Piece::Text("\">"),
        Piece::Space("\n"),
        Piece::Parameters(ParameterSyntax {
            open: "<parameter name=\"",
            key_end: "\">",
            typing: Typing::Schema,
            gap: "",
            value_begin: "",
            padding: "",
            close: "</parameter>",
            after: "\n",
        }),
        Piece::Text("</invoke>"),
    ],
    separator: "\n",
    after: "\n",
    closer: "</minimax:tool_call>",
    ..PLAIN
};

const GLM_PARAMETERS: ParameterSyntax = ParameterSyntax {
    open: "<arg_key>",
    key_end: "</arg_key>",
    typing: Typing::Schema,
    gap: "",
    value_begin: "<arg_value>",
    padding: "",
    close: "</arg_value>",
    after: "",
};

/// GLM 4.7, Laguna S, Spark.
pub(crate) const GLM: CallSyntax = CallSyntax {
    call: &[
        Piece::Text("<tool_call>"),
        Piece::Name,
        Piece::Parameters(GLM_PARAMETERS),
        Piece::Text("</tool_call>"),
    ],
    ..PLAIN
};

/// GLM 4.5 and 4.6, Laguna XS: the same on lines of their own.
pub(crate) const GLM_LINES: CallSyntax = CallSyntax {
    lead: "\n",
    call: &[
        Piece::Text("<tool_call>"),
        Piece::Name,
        Piece::Space("\n"),
        Piece::Parameters(ParameterSyntax { gap: "\n", after: "\n", ..GLM_PARAMETERS }),
        Piece::Text("</tool_call>"),
    ],
    separator: "\n",
    ..PLAIN
};

/// Kimi K2.
pub(crate) const KIMI_K2: CallSyntax = CallSyntax {
    opener: "<|tool_calls_section_begin|>",
    call: &[
        Piece::Text("<|tool_call_begin|>"),
        Piece::QualifiedName,
        Piece::Text("<|tool_call_argument_begin|>"),
        Piece::Json,
        Piece::Text("<|tool_call_end|>"),
    ],
    closer: "<|tool_calls_section_end|>",
    ..PLAIN
};

/// Kimi K3.
pub(crate) const KIMI_K3: CallSyntax = CallSyntax {
    lead: "<|open|>response<|sep|><|close|>response<|sep|>",
    opener: "<|open|>tools<|sep|>",
    call: &[
        Piece::Text("<|open|>call tool=\""),
        Piece::Name,
        Piece::Text("\" index=\""),
        Piece::Count,
        Piece::Text("\"<|sep|>"),
        Piece::Parameters(ParameterSyntax {
            open: "<|open|>argument key=\"",
            key_end: "\" type=\"",
            typing: Typing::TypeName("\"<|sep|>"),
            gap: "",
            value_begin: "",
            padding: "",
            close: "<|close|>argument<|sep|>",
            after: "",
        }),
        Piece::Text("<|close|>call<|sep|>"),
    ],
    closer: "<|close|>tools<|sep|>",
    ..PLAIN
};

/// Gemma 4.
pub(crate) const GEMMA: CallSyntax = CallSyntax {
    call: &[
        Piece::Text("<|tool_call>"),
        Piece::Text("call:"),
        Piece::Name,
        Piece::Literals(LiteralSyntax::Gemma),
        Piece::Text("<tool_call|>"),
    ],
    ..PLAIN
};

/// LFM 2.
pub(crate) const LFM: CallSyntax = CallSyntax {
    opener: "<|tool_call_start|>",
    before: "[",
    call: &[Piece::Name, Piece::Literals(LiteralSyntax::Python)],
    separator: ", ",
    after: "]",
    closer: "<|tool_call_end|>",
    ..PLAIN
};

/// Command R7B and its successors.
pub(crate) const COHERE: CallSyntax = CallSyntax {
    opener: "<|START_ACTION|>",
    before: "[\n    ",
    call: &[Piece::JsonCall(JsonKeys::Keyed {
        id: Some("tool_call_id"),
        name: "tool_name",
        arguments: "parameters",
    })],
    separator: ",\n    ",
    after: "\n]",
    closer: "<|END_ACTION|>",
    ..PLAIN
};

/// Granite 3.
pub(crate) const GRANITE_LIST: CallSyntax = CallSyntax { opener: "<|tool_call|>", ..MISTRAL_LIST };

/// Nemotron Nano v2.
pub(crate) const NEMOTRON: CallSyntax =
    CallSyntax { lead: "\n", opener: "<TOOLCALL>", closer: "</TOOLCALL>", ..MISTRAL_LIST };

/// Apriel.
pub(crate) const APRIEL: CallSyntax =
    CallSyntax { lead: "\n", opener: "<tool_calls>", closer: "</tool_calls>", ..MISTRAL_LIST };

/// Firefunction.
pub(crate) const FIREFUNCTION: CallSyntax =
    CallSyntax { lead: " ", opener: "functools[", before: "", ..MISTRAL_LIST };

/// Apertus.
pub(crate) const APERTUS: CallSyntax = CallSyntax {
    opener: "<|tools_prefix|>",
    call: &[Piece::JsonCall(JsonKeys::NameIsKey)],
    closer: "<|tools_suffix|>",
    ..MISTRAL_LIST
};

/// GigaChat.
pub(crate) const GIGACHAT: CallSyntax = CallSyntax {
    opener: "<|function_call|>",
    call: &[Piece::JsonCall(NAME_ARGUMENTS)],
    several: Several::Never,
    ..PLAIN
};

/// Functionary 3.1.
pub(crate) const FUNCTIONARY: CallSyntax = CallSyntax {
    call: &[
        Piece::Text("<function="),
        Piece::Name,
        Piece::Text(">"),
        Piece::Json,
        Piece::Text("</function>"),
    ],
    ..PLAIN
};

/// Solar Open.
pub(crate) const SOLAR: CallSyntax = CallSyntax {
    lead: "<|begin|>assistant",
    opener: "<|tool_calls|>",
    call: &[
        Piece::Text("<|tool_call:begin|>"),
        Piece::Id(IdRule::TenLower),
        Piece::Text("<|tool_call:name|>"),
        Piece::Name,
        Piece::Text("<|tool_call:args|>"),
        Piece::Json,
        Piece::Text("<|tool_call:end|>"),
    ],
    closer: "<|calls|>",
    ..PLAIN
};

/// gpt-oss. The turn's end token follows the arguments.
pub(crate) const HARMONY: CallSyntax = CallSyntax {
    lead: "<|start|>assistant",
    call: &[
        Piece::Text("<|channel|>commentary to=functions."),
        Piece::Name,
        Piece::Text(" <|constrain|>json<|message|>"),
        Piece::Json,
    ],
    several: Several::Never,
    ..PLAIN
};
