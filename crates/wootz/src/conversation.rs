//! A conversation, and the prompt that it makes.

use serde_json::Value;
use wootz_chat::ChatFormat;
use wootz_serve::chat::chat_format;
use wootz_weights::Checkpoint;
use wootz_weights::chat_template::{ChatInput, ChatTemplate, TemplateOrigin, message};
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

use crate::failure::Failure;

/// How prompts are made for a model.
pub struct Prompter {
    template: ChatTemplate,
    origin: TemplateOrigin,
    bos: String,
    eos: String,
}

impl Prompter {
    /// The model's chat template, or what stands in for it.
    pub fn new(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let (template, origin) = match ChatTemplate::from_checkpoint(checkpoint)? {
            Some(template) => (template, TemplateOrigin::Model),
            None => match TemplateOrigin::without_template(|text| tokenizer.token_id(text).is_some()) {
                TemplateOrigin::ChatMl => (ChatTemplate::chatml()?, TemplateOrigin::ChatMl),
                _ => (ChatTemplate::transcript()?, TemplateOrigin::Transcript),
            },
        };
        let text = |token: Option<u32>| token.and_then(|id| tokenizer.token_text(id)).unwrap_or_default();
        Ok(Self { template, origin, bos: text(tokenizer.bos()), eos: text(tokenizer.eos()) })
    }

    /// Where the template is from.
    pub fn origin(&self) -> TemplateOrigin {
        self.origin
    }

    /// The tokens of a conversation, up to where the model's turn begins.
    pub fn tokens(&self, conversation: &Conversation, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
        Self::tokenize(&self.text(conversation)?, tokenizer)
    }

    /// The text of a conversation, up to where the model's turn begins.
    pub fn text(&self, conversation: &Conversation) -> Result<String, Failure> {
        let input = ChatInput {
            messages: &conversation.messages,
            bos_token: &self.bos,
            eos_token: &self.eos,
            ..ChatInput::default()
        };
        Ok(self.template.render(&input)?)
    }

    /// How the model writes its turns.
    pub fn format(&self, tokenizer: &Tokenizer) -> ChatFormat {
        chat_format(self.template.source(), tokenizer)
    }

    /// The tokens of such a text.
    pub fn tokenize(text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
        // Most templates write the beginning token themselves; the others leave it to the tokenizer.
        Ok(tokenizer.encode(text, Special::Parse, AddBos::IfMissing)?)
    }
}

/// Messages so far, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    messages: Vec<Value>,
}

impl Conversation {
    /// A conversation that begins with a system message, if there is one.
    pub fn new(system: Option<&str>) -> Self {
        let mut conversation = Self::default();
        conversation.set_system(system);
        conversation
    }

    /// Sets, replaces or (`None`) removes the system message at the beginning.
    pub fn set_system(&mut self, system: Option<&str>) {
        if self.messages.first().is_some_and(|first| first["role"] == "system") {
            self.messages.remove(0);
        }
        if let Some(text) = system {
            self.messages.insert(0, message("system", text));
        }
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        self.messages
            .first()
            .filter(|first| first["role"] == "system")
            .and_then(|first| first["content"].as_str())
    }

    /// Adds a message.
    pub fn push(&mut self, role: &str, content: &str) {
        self.messages.push(message(role, content));
    }

    /// Takes the last message back.
    pub fn pop(&mut self) {
        self.messages.pop();
    }

    /// Forgets everything but the system message.
    pub fn clear(&mut self) {
        let system = self.system().map(str::to_owned);
        *self = Self::new(system.as_deref());
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The messages as JSON, in the form of the OpenAI chat API.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.messages).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Messages from such JSON.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let messages: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let is_text = |message: &Value, key: &str| message[key].is_string();
        match messages.iter().position(|message| !is_text(message, "role") || !is_text(message, "content")) {
            None => Ok(Self { messages }),
            Some(index) => Err(format!("message {index} has no text in \"role\" or in \"content\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_message_stays_first_and_survives_clearing() {
        let mut conversation = Conversation::new(Some("Be kind."));
        conversation.push("user", "Hi");
        conversation.set_system(Some("Be brief."));
        assert_eq!((conversation.system(), conversation.len()), (Some("Be brief."), 2));
        assert_eq!(Conversation::from_json(&conversation.to_json()).unwrap(), conversation);
        conversation.clear();
        assert_eq!((conversation.system(), conversation.len()), (Some("Be brief."), 1));
        conversation.set_system(None);
        assert_eq!(conversation, Conversation::default());
    }

    #[test]
    fn a_file_that_holds_no_conversation_is_explained() {
        assert!(Conversation::from_json("[{\"role\": \"user\"}]").unwrap_err().contains("message 0"));
        assert!(Conversation::from_json("{}").is_err());
    }
}
