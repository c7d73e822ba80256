//! How much a model reasons before it answers, and whether its reasoning is shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::request::ChatOptions;
use crate::json::Refusal;

/// How much a model is to reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// At most 512 tokens.
    Minimal,
    /// At most 1,024 tokens.
    Low,
    /// At most 8,192 tokens.
    Medium,
    /// At most 24,576 tokens.
    High,
    /// As long as it likes.
    Xhigh,
    /// As long as it likes.
    Max,
}

/// Reasoning as OpenRouter's API asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasoningOptions {
    /// How much.
    pub effort: Option<Effort>,
    /// The most tokens of it.
    pub max_tokens: Option<u64>,
    /// Whether the answer leaves it out.
    pub exclude: Option<bool>,
    /// Whether the model reasons.
    pub enabled: Option<bool>,
}

/// Whether the client sees the reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It does.
    Yes,
    /// It is left out of the answer.
    No,
}

/// What a request says about reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasoningPlan {
    /// How much; `None`: as the model likes.
    pub effort: Option<Effort>,
    /// A limit of tokens that was given in numbers.
    pub limit: Option<usize>,
    /// Whether it is shown.
    pub shown: Shown,
}

impl Effort {
    /// The most tokens of reasoning that it stands for; `None`: no limit.
    pub fn tokens(self) -> Option<usize> {
        match self {
            Effort::None => Some(0),
            Effort::Minimal => Some(512),
            Effort::Low => Some(1024),
            Effort::Medium => Some(8192),
            Effort::High => Some(24_576),
            Effort::Xhigh | Effort::Max => None,
        }
    }

    /// The nearest of the three words that templates know.
    fn word(self) -> &'static str {
        match self {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::Xhigh | Effort::Max => "high",
        }
    }
}

impl ReasoningPlan {
    /// What the parameters mean together.
    ///
    /// # Errors
    /// Two different wishes at once.
    pub fn new(options: &ChatOptions) -> Result<Self, Refusal> {
        let other = options.reasoning.clone().unwrap_or_default();
        let mut effort = one("reasoning.effort", "reasoning_effort", other.effort, options.reasoning_effort)?;
        let limit =
            one("reasoning.max_tokens", "thinking_budget", other.max_tokens, options.thinking_budget)?;
        match (other.enabled, effort) {
            (Some(false), Some(wanted)) if wanted != Effort::None => {
                let message = "reasoning.enabled is false, but an effort was asked for: choose one";
                return Err(Refusal::of("reasoning.enabled", message));
            }
            (Some(false), _) => effort = Some(Effort::None),
            _ => {}
        }
        let hidden = other.exclude == Some(true) || options.include_reasoning == Some(false);
        Ok(Self {
            effort,
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            shown: if hidden { Shown::No } else { Shown::Yes },
        })
    }

    /// The most tokens of reasoning with a template of this source. A template that tells the model about effort leaves
    /// the rest to the model, but for a limit in numbers and for no reasoning at all.
    pub fn budget(&self, template: &str) -> Option<usize> {
        let told = template.contains("reasoning_effort");
        let by_effort = self.effort.filter(|effort| !told || *effort == Effort::None);
        self.limit.or(by_effort.and_then(Effort::tokens))
    }

    /// Sets the template's variables for it, unless the request sets them itself.
    pub fn set_variables(&self, template: &str, variables: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Value| {
            if template.contains(name) {
                variables.entry(name).or_insert(value);
            }
        };
        if let Some(effort) = self.effort {
            set("reasoning_effort", json!(effort.word()));
        }
        let thinks = match (self.effort, self.limit) {
            (Some(Effort::None), _) | (_, Some(0)) => Some(false),
            (Some(_), _) | (_, Some(_)) => Some(true),
            (None, None) => None,
        };
        if let Some(thinks) = thinks {
            set("enable_thinking", json!(thinks));
            set("thinking", json!(thinks));
        }
    }
}

/// One value of two names.
fn one<T: PartialEq>(
    first: &str,
    second: &str,
    one: Option<T>,
    other: Option<T>,
) -> Result<Option<T>, Refusal> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            let message = format!("{first} and {second} are the same option, and were given two values");
            Err(Refusal::of(first, message))
        }
        (one, other) => Ok(one.or(other)),
    }
}
