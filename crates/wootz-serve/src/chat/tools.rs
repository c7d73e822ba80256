//! The tools of a request, and which of them the model is to call.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use wootz_chat::{Parallel, Strictness, ToolChoice, ToolDefinition};

use super::message::FunctionKind;
use crate::json::Refusal;
use crate::structured::check_name;

/// Tools in one request: each is in the prompt and in the grammar of calls.
const TOOLS: usize = 128;

/// Something that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tool {
    /// A function.
    Function {
        /// Its name and arguments.
        function: FunctionDefinition,
    },
    /// A tool with arguments in a language of its own: refused.
    Custom {
        /// Its definition.
        #[schema(value_type = Object)]
        custom: Value,
    },
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct FunctionDefinition {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON schema of its arguments, an object. Absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Whether arguments must follow the schema. Where a call is required they always do; where the model decides
    /// whether to call, they do if this is true, and are as the model writes them otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// Whether and what the model is to call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected \"none\", \"auto\", \"required\", {\"type\": \"function\", \"function\": {\"name\": \"…\"}} or \
                 {\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\": \"auto\", \"tools\": […]}}"
)]
pub enum ToolChoiceJson {
    /// By a word.
    Word(ToolWord),
    /// A function, or some.
    Chosen(ChosenTools),
}

/// Whether the model is to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolWord {
    /// It does not call; the tools are not in its prompt.
    None,
    /// It decides.
    Auto,
    /// It calls at least one tool.
    Required,
}

/// A choice of tools.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChosenTools {
    /// This function is called.
    Function {
        /// Which.
        function: FunctionName,
    },
    /// Only some of the tools are there.
    AllowedTools {
        /// Which, and whether one must be called.
        allowed_tools: AllowedTools,
    },
}

/// The name of a function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct FunctionName {
    /// The name.
    pub name: String,
}

/// Some of the tools.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct AllowedTools {
    /// Whether one of them must be called.
    pub mode: AllowedMode,
    /// Which.
    pub tools: Vec<AllowedTool>,
}

/// Whether an allowed tool must be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllowedMode {
    /// The model decides.
    Auto,
    /// It calls at least one.
    Required,
}

/// One of the tools, by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct AllowedTool {
    /// Always `function`.
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// Which.
    pub function: FunctionName,
}

/// The tools that the model is shown, and what it is to do with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolPlan {
    /// As the template reads them. Empty: the model knows of no tools.
    pub shown: Vec<Value>,
    /// The same for the parser and the grammar.
    pub definitions: Vec<ToolDefinition>,
    /// Whether one is called.
    pub choice: ToolChoice,
    /// Whether several may be called.
    pub parallel: Parallel,
}

impl ToolPlan {
    /// What the parameters `tools`, `tool_choice` and `parallel_tool_calls` mean together.
    ///
    /// # Errors
    /// Tools that are none, a choice that names no tool, a choice without tools.
    pub fn new(
        tools: Option<&[Tool]>,
        choice: Option<&ToolChoiceJson>,
        parallel: Option<bool>,
    ) -> Result<Self, Refusal> {
        let functions = functions(tools.unwrap_or_default())?;
        let known = |name: &str| functions.iter().any(|function| function.name == name);
        let (choice, allowed) = match choice {
            None | Some(ToolChoiceJson::Word(ToolWord::Auto)) => (ToolChoice::Auto, None),
            Some(ToolChoiceJson::Word(ToolWord::None)) => return Ok(Self::default()),
            Some(ToolChoiceJson::Word(ToolWord::Required)) => (ToolChoice::Required, None),
            Some(ToolChoiceJson::Chosen(ChosenTools::Function { function })) => {
                if !known(&function.name) {
                    return Err(unknown_tool("tool_choice.function.name", &function.name));
                }
                (ToolChoice::Named(function.name.clone()), None)
            }
            Some(ToolChoiceJson::Chosen(ChosenTools::AllowedTools { allowed_tools })) => {
                let names: Vec<&str> =
                    allowed_tools.tools.iter().map(|tool| tool.function.name.as_str()).collect();
                if let Some(name) = names.iter().find(|name| !known(name)) {
                    return Err(unknown_tool("tool_choice.allowed_tools.tools", name));
                }
                let choice = match allowed_tools.mode {
                    AllowedMode::Auto => ToolChoice::Auto,
                    AllowedMode::Required => ToolChoice::Required,
                };
                (choice, Some(names))
            }
        };
        let used = functions
            .iter()
            .filter(|function| allowed.as_ref().is_none_or(|names| names.contains(&function.name.as_str())));
        let used: Vec<&FunctionDefinition> = used.copied().collect();
        if used.is_empty() && choice != ToolChoice::Auto {
            let message = "tool_choice asks for a call, but there are no tools: list them in tools";
            return Err(Refusal::of("tool_choice", message));
        }
        Ok(Self {
            shown: used.iter().map(|function| json!({"type": "function", "function": function})).collect(),
            definitions: used.iter().map(|function| function.definition()).collect(),
            choice,
            parallel: if parallel == Some(false) { Parallel::Single } else { Parallel::Many },
        })
    }
}

impl FunctionDefinition {
    fn definition(&self) -> ToolDefinition {
        // OpenAI's words: "Omitting `parameters` defines a function with an empty parameter list."
        let empty = || json!({"type": "object", "properties": {}, "additionalProperties": false});
        ToolDefinition {
            name: self.name.clone(),
            parameters: self.parameters.clone().unwrap_or_else(empty),
            strictness: if self.strict == Some(true) { Strictness::Schema } else { Strictness::Loose },
        }
    }
}

/// The functions among the tools, which all of them have to be.
fn functions(tools: &[Tool]) -> Result<Vec<&FunctionDefinition>, Refusal> {
    if tools.len() > TOOLS {
        let message = format!("tools has {} tools; at most {TOOLS} are possible", tools.len());
        return Err(Refusal::of("tools", message));
    }
    let mut functions: Vec<&FunctionDefinition> = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let Tool::Function { function } = tool else {
            let message = "a tool of type \"custom\" is not possible here: describe it as a function";
            return Err(Refusal::of(format!("tools[{index}].type"), message));
        };
        check_name(&format!("tools[{index}].function.name"), &function.name)?;
        if functions.iter().any(|other| other.name == function.name) {
            let message = format!("tools has two functions named {:?}", function.name);
            return Err(Refusal::of(format!("tools[{index}].function.name"), message));
        }
        if function.parameters.as_ref().is_some_and(|parameters| !parameters.is_object()) {
            let message = "parameters is the JSON schema of the arguments: an object";
            return Err(Refusal::of(format!("tools[{index}].function.parameters"), message));
        }
        functions.push(function);
    }
    Ok(functions)
}

fn unknown_tool(param: &str, name: &str) -> Refusal {
    Refusal::of(param, format!("{param} names {name:?}, which is not among the tools"))
}
