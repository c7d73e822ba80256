//! A chat in the terminal.

mod command;
mod editor;
mod multiline;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use wootz_engine::Engine;
use wootz_weights::tokenizer::Tokenizer;

use crate::answer::{AnswerSettings, answer};
use crate::commands::run::{Figures, TextSink, mention};
use crate::conversation::{Conversation, Prompter};
use crate::failure::Failure;
use crate::sampling_options;
use crate::terminal;

use command::{ChatCommand, HELP};
use editor::{Line, LineEditor};

/// A chat: the model, how it answers, and what was said.
pub struct Session {
    /// The engine that answers.
    pub engine: Engine,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Tokens that the model knows.
    pub vocab: usize,
    /// Messages to prompt.
    pub prompter: Prompter,
    /// How answers are made.
    pub settings: AnswerSettings,
    /// The seed of every answer; `None`: a new one for each.
    pub seed: Option<u64>,
    /// What was said.
    pub conversation: Conversation,
    /// Whether figures follow answers.
    pub figures: Figures,
    /// The model's file name, for the greeting.
    pub name: String,
}

/// Whether the chat goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Listen,
    Leave,
}

impl Session {
    /// Chats until the user leaves.
    pub fn run(mut self) -> Result<(), Failure> {
        terminal::say(&format!(
            "{}: /help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves",
            self.name
        ));
        mention(&self.prompter);
        let mut editor = LineEditor::new()?;
        loop {
            match editor.read()? {
                Line::End => return Ok(()),
                Line::Cancelled => terminal::aside("(Ctrl-D or /exit leaves)"),
                Line::Text(text) => {
                    if self.take(&text)? == Next::Leave {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A line: a command, or something said.
    fn take(&mut self, text: &str) -> Result<Next, Failure> {
        match ChatCommand::parse(text) {
            None => {
                let message = multiline::unwrap(text);
                if !message.trim().is_empty() {
                    self.say(&message)?;
                }
            }
            Some(Err(what)) => terminal::error(&what),
            Some(Ok(ChatCommand::Exit)) => return Ok(Next::Leave),
            Some(Ok(command)) => match self.obey(command) {
                Ok(()) => {}
                Err(failure @ (Failure::OutputClosed | Failure::Interrupted)) => return Err(failure),
                // The chat goes on after a command that failed.
                Err(failure) => drop(failure.report()),
            },
        }
        Ok(Next::Listen)
    }

    /// Sends what the user said, and shows the answer.
    fn say(&mut self, message: &str) -> Result<(), Failure> {
        self.conversation.push("user", message);
        self.settings.sampling.seed = self.seed.unwrap_or_else(sampling_options::fresh_seed);
        let prompt = self.prompter.tokens(&self.conversation, &self.tokenizer);
        let answered = prompt
            .and_then(|prompt| answer(&self.engine, &self.tokenizer, prompt, &self.settings, &mut TextSink));
        match answered {
            Ok(ended) => {
                if !ended.text.ends_with('\n') {
                    writeln!(stdout())?;
                }
                if self.figures == Figures::Shown {
                    terminal::aside(&ended.summary());
                }
                if ended.text.is_empty() {
                    // A turn without an answer would be a riddle to the model.
                    self.conversation.pop();
                } else {
                    self.conversation.push("assistant", &ended.text);
                }
            }
            Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
            Err(failure) => {
                self.conversation.pop();
                failure.report();
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: ChatCommand) -> Result<(), Failure> {
        match command {
            ChatCommand::Help => write!(stdout(), "{HELP}")?,
            ChatCommand::ShowSettings => write!(stdout(), "{}", self.listing())?,
            ChatCommand::Set { name, value } => {
                self.set(&name, &value)?;
                terminal::aside(&format!("{name} = {}", self.shown(&name)));
            }
            ChatCommand::ShowSystem => match self.conversation.system() {
                Some(text) => writeln!(stdout(), "{text}")?,
                None => terminal::aside("there is no system message; /system TEXT sets one"),
            },
            ChatCommand::System(text) => {
                self.conversation.set_system((text != "none").then_some(text.as_str()));
                terminal::aside("the system message holds from the next answer on");
            }
            ChatCommand::Clear => {
                self.conversation.clear();
                terminal::aside("the conversation begins anew");
            }
            ChatCommand::Save(path) => {
                std::fs::write(&path, self.conversation.to_json())
                    .map_err(|error| Failure::file("write", Path::new(&path), &error))?;
                terminal::aside(&format!("{} messages are in {path}", self.conversation.len()));
            }
            ChatCommand::Load(path) => {
                let path = PathBuf::from(path);
                let text =
                    std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
                self.conversation = Conversation::from_json(&text).map_err(|why| {
                    Failure::new(format!("{} holds no conversation: {why}", path.display()))
                })?;
                terminal::aside(&format!("{} messages were read", self.conversation.len()));
            }
            ChatCommand::Exit => {}
        }
        Ok(())
    }

    /// Changes a setting: one of sampling, or what a chat has besides.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "seed" if value == "new" => self.seed = None,
            "seed" => {
                let seed = value
                    .parse()
                    .map_err(|_| Failure::new(format!("{value:?} is no seed: 0 or more, or new")))?;
                self.seed = Some(seed);
            }
            "max-tokens" if value == "none" => self.settings.max_tokens = None,
            "max-tokens" => {
                let count =
                    value.parse().map_err(|_| Failure::new(format!("{value:?} is no count above 0")))?;
                self.settings.max_tokens = Some(count);
            }
            "stop" if value == "none" => self.settings.stops.clear(),
            "stop" => self.settings.stops.push(value.to_string()),
            _ => {
                sampling_options::set(&mut self.settings.sampling, self.vocab, name, value)
                    .map_err(Failure::new)?;
            }
        }
        Ok(())
    }

    fn shown(&self, name: &str) -> String {
        match name {
            "seed" => self.seed.map_or_else(|| "new for each answer".into(), |seed| seed.to_string()),
            "max-tokens" => self.settings.max_tokens.map_or_else(|| "none".into(), |count| count.to_string()),
            "stop" if self.settings.stops.is_empty() => "none".into(),
            "stop" => {
                self.settings.stops.iter().map(|stop| format!("{stop:?}")).collect::<Vec<_>>().join(" ")
            }
            _ => sampling_options::show(&self.settings.sampling, name),
        }
    }

    fn listing(&self) -> String {
        let names = sampling_options::NAMES.iter().chain(&sampling_options::CHAT_NAMES);
        names.map(|name| format!("  {name:<20} {}\n", self.shown(name))).collect()
    }
}
