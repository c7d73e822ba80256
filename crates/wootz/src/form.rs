//! What an answer is held to, inside what the model's format writes around it.

use wootz_chat::{
    AnswerForm, AnswerPlace, ChatFormat, Delta, OutputParser, Parallel, ParserSettings, ToolChoice,
};
use wootz_engine::{Guide, ReasoningGuide};
use wootz_grammar::{Grammar, GrammarSource};
use wootz_serve::chat::{FormAfter, ReasoningBounds, reasoning_guide};
use wootz_weights::tokenizer::{SpecialText, Tokenizer};

use crate::failure::Failure;
use crate::grammar_options::compile;

/// What an answer is held to, and how it is read.
#[derive(Debug, Clone)]
pub struct Form {
    grammar: Grammar,
    turn: Option<Turn>,
}

/// A turn of a conversation: content may have reasoning before it and headers around it, which are no part of it.
#[derive(Debug, Clone)]
struct Turn {
    format: ChatFormat,
    place: AnswerPlace,
    reasoning: Option<ReasoningGuide>,
}

impl Form {
    /// The whole answer, from its first character on.
    pub fn of_text(source: &GrammarSource, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        Ok(Self { grammar: compile(source, tokenizer)?, turn: None })
    }

    /// The content of a turn that a format writes after `prompt`.
    pub fn of_content(
        source: &GrammarSource,
        tokenizer: &Tokenizer,
        (format, prompt): (ChatFormat, &str),
    ) -> Result<Self, Failure> {
        let place = format.place(prompt);
        let form = AnswerForm {
            tools: &[],
            choice: &ToolChoice::None,
            parallel: Parallel::default(),
            content: Some(source),
            place,
        };
        // Only calls can be refused, and there are none.
        let framed = format.answer_grammar(&form).ok().flatten();
        let grammar = compile(framed.as_ref().unwrap_or(source), tokenizer)?;
        let bounds = ReasoningBounds { place, budget: None, form: FormAfter::Grammar };
        let reasoning =
            reasoning_guide(&format, tokenizer, bounds).map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self { grammar, turn: Some(Turn { format, place, reasoning }) })
    }

    /// What steers the answer.
    pub fn guide(&self) -> Guide {
        let reasoning = self.turn.as_ref().and_then(|turn| turn.reasoning.clone());
        Guide { reasoning, grammar: Some(self.grammar.clone()) }
    }

    /// Whether special tokens are part of what is read.
    pub fn special(&self) -> SpecialText {
        match &self.turn {
            Some(turn) if turn.format.needs_special_tokens() => SpecialText::Show,
            _ => SpecialText::Hide,
        }
    }

    /// What finds the content in an answer.
    pub fn reader(&self) -> ContentReader {
        ContentReader(self.turn.as_ref().map(|turn| {
            let opened = turn.place == AnswerPlace::Reasoning;
            turn.format.parser(ParserSettings { opened, ..ParserSettings::default() })
        }))
    }
}

/// Finds the content in an answer as it comes; without a format, all is content.
#[derive(Debug, Default)]
pub struct ContentReader(Option<OutputParser>);

impl ContentReader {
    /// The content of what was known of so far.
    pub fn push(&mut self, text: &str) -> String {
        self.0.as_mut().map_or_else(|| text.to_owned(), |parser| content(parser.push(text)))
    }

    /// The content of what was held back.
    pub fn finish(&mut self) -> String {
        self.0.as_mut().map_or_else(String::new, |parser| content(parser.finish()))
    }
}

fn content(deltas: Vec<Delta>) -> String {
    let texts = deltas.into_iter().filter_map(|delta| match delta {
        Delta::Content(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};
    use wootz_backend::cpu::{CpuModel, CpuSettings};
    use wootz_engine::{Engine, EngineSettings, Logprobs, Sampled, SamplingSettings};
    use wootz_serve::chat::chat_format;
    use wootz_spec::ModelSpec;
    use wootz_weights::Checkpoint;
    use wootz_weights::tokenizer::{AddBos, Special};

    use super::*;
    use crate::answer::{Answer, AnswerSettings, Sink, Start, answer};

    /// Every token, and the text that was passed on.
    #[derive(Default)]
    struct Written {
        tokens: Vec<u32>,
        text: String,
    }

    impl Sink for Written {
        fn token(&mut self, sampled: &Sampled) -> Result<(), Failure> {
            self.tokens.push(sampled.token);
            Ok(())
        }

        fn text(&mut self, text: &str) -> Result<(), Failure> {
            self.text.push_str(text);
            Ok(())
        }
    }

    struct Shipped {
        engine: Engine,
        tokenizer: Tokenizer,
    }

    impl Shipped {
        fn load() -> Self {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales-7m.Q8_0.gguf");
            let checkpoint = Checkpoint::open(path).unwrap();
            let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
            let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
            let settings = CpuSettings { threads: 1, ..CpuSettings::default() };
            let model = CpuModel::load(spec, &checkpoint, &settings, &mut |_| {}).unwrap();
            Self { engine: Engine::start(Box::new(model), EngineSettings::default()).unwrap(), tokenizer }
        }

        /// What a model writes of a form after a prompt, and all of it as text.
        fn write(&self, form: Form, prompt: &str) -> (Answer, String) {
            let settings = AnswerSettings {
                sampling: SamplingSettings { temperature: 0.0, ..SamplingSettings::default() },
                max_tokens: None,
                stops: Vec::new(),
                logprobs: Logprobs::None,
                start: Start::OwnText,
                form: Some(form),
            };
            let tokens = self.tokenizer.encode(prompt, Special::Parse, AddBos::IfMissing).unwrap();
            let mut written = Written::default();
            let answer = answer(&self.engine, &self.tokenizer, tokens, &settings, &mut written).unwrap();
            assert_eq!(answer.text, written.text);
            let mut stream = self.tokenizer.decode_stream_with(SpecialText::Show);
            let all: String = written.tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
            (answer, all + &stream.finish())
        }
    }

    fn salty() -> GrammarSource {
        GrammarSource::JsonSchema(json!({"type": "object", "properties": {"salty": {"type": "boolean"}},
            "required": ["salty"], "additionalProperties": false}))
    }

    #[test]
    fn content_is_framed_for_the_model_and_bare_for_the_reader() {
        let shipped = Shipped::load();
        for (template, prompt, header) in [
            ("<|start|><|channel|><|message|>", "<|start|>assistant", "<|channel|>final<|message|>"),
            ("<|open|><|sep|><|close|>", "A boat.", "<|open|>response<|sep|>"),
            ("<|tool_call:begin|><|tool_call:args|>", "<|begin|>assistant", "<|content|>"),
            ("<|START_ACTION|><|START_RESPONSE|>", "A boat.", "<|START_RESPONSE|>"),
            ("a template without channels", "A boat.", ""),
        ] {
            let format = chat_format(template, &shipped.tokenizer);
            let form = Form::of_content(&salty(), &shipped.tokenizer, (format, prompt)).unwrap();
            let (answer, all) = shipped.write(form, prompt);
            assert!(
                all.contains(header) && all.trim_start().len() >= answer.text.len(),
                "{template}: {all:?}"
            );
            let value: Value = serde_json::from_str(&answer.text)
                .unwrap_or_else(|error| panic!("{template}: {error}: {:?} of {all:?}", answer.text));
            assert!(value["salty"].is_boolean(), "{template}: {value}");
        }
    }

    #[test]
    fn a_continued_text_has_no_frame() {
        let shipped = Shipped::load();
        let form = Form::of_text(&GrammarSource::Regex("yes|no".into()), &shipped.tokenizer).unwrap();
        let (answer, all) = shipped.write(form, "Is the sea salty? ");
        assert!(["yes", "no"].contains(&answer.text.trim()), "{all:?}");
    }
}
