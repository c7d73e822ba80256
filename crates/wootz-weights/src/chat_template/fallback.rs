//! What stands in for the chat template of a model that has none.

use std::fmt;

use super::{ChatTemplate, TemplateError};

/// ChatML: what most models with the tokens `<|im_start|>` and `<|im_end|>` were trained on.
const CHATML: &str = "\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}";

/// A transcript that any language model can continue.
const TRANSCRIPT: &str = "\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{{ message['content'] + '\n\n' }}
{%- else -%}{{ message['role'] | capitalize + ': ' + message['content'] + '\n' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}";

/// Where a template came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateOrigin {
    /// The model brings it.
    Model,
    /// The model has none, but its vocabulary has ChatML's tokens.
    ChatMl,
    /// The model has none: `User: …`, `Assistant:`, one turn a line, the system message first.
    Transcript,
}

impl fmt::Display for TemplateOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TemplateOrigin::Model => "the model's own chat template",
            TemplateOrigin::ChatMl => {
                "ChatML (the model has no chat template; its vocabulary has <|im_start|>)"
            }
            TemplateOrigin::Transcript => "a plain transcript (the model has no chat template)",
        })
    }
}

impl TemplateOrigin {
    /// What fits a model without a template. `knows` says whether the vocabulary has a token of exactly this text.
    pub fn without_template(knows: impl Fn(&str) -> bool) -> TemplateOrigin {
        if knows("<|im_start|>") && knows("<|im_end|>") {
            TemplateOrigin::ChatMl
        } else {
            TemplateOrigin::Transcript
        }
    }
}

impl ChatTemplate {
    /// The ChatML template.
    pub fn chatml() -> Result<ChatTemplate, TemplateError> {
        ChatTemplate::new(CHATML)
    }

    /// The plain transcript.
    pub fn transcript() -> Result<ChatTemplate, TemplateError> {
        ChatTemplate::new(TRANSCRIPT)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatInput, message};
    use super::*;

    #[test]
    fn stand_ins_render() {
        let messages = [message("system", "Be brief."), message("user", "Hi"), message("assistant", "Yes?")];
        let input = ChatInput { messages: &messages, ..ChatInput::default() };
        let render = |template: Result<ChatTemplate, _>| template.unwrap().render(&input).unwrap();
        assert_eq!(
            render(ChatTemplate::chatml()),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
             <|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(render(ChatTemplate::transcript()), "Be brief.\n\nUser: Hi\nAssistant: Yes?\nAssistant:");
        assert_eq!(TemplateOrigin::without_template(|text| text.contains("im_")), TemplateOrigin::ChatMl);
        assert_eq!(TemplateOrigin::without_template(|_| false), TemplateOrigin::Transcript);
    }
}
