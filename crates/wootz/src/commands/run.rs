//! `wootz run`: one answer, or a chat.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use wootz_engine::{Engine, EngineSettings, Logprobs, Sampled};
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

use crate::answer::{Answer, AnswerSettings, Ending, Sink, Start, answer};
use crate::chat;
use crate::conversation::{Conversation, Prompter};
use crate::failure::Failure;
use crate::form::Form;
use crate::grammar_options::GrammarOptions;
use crate::interrupt;
use crate::loading::{CacheRoom, Loaded, MachineOptions, StepRoom, load};
use crate::model_path;
use crate::sampling_options::SamplingOptions;
use crate::terminal;

/// Arguments of `wootz run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz run \"Tell me a story about a boat\"       the model that comes with Wootz
  wootz run model.gguf \"Why is the sky blue?\"    a GGUF file
  wootz run ./Qwen3-0.6B \"Hello\"                 a Hugging Face folder
  wootz run model.gguf                           a chat; /help lists its commands
  wootz run model.gguf \"Summarise:\" < notes.txt  standard input follows the prompt
  wootz run --raw \"Once upon a time\"             continues the text, with no chat template
  wootz run --temperature 0 \"Hello\"              the same answer every time
  wootz run --json \"Hello\" | jq .                one JSON object a line: each token, then the figures
  wootz run --json-schema person.json \"A sailor\"  an answer that satisfies a JSON schema
  wootz run --regex \"yes|no\" \"Is the sea salty?\"  an answer that a regular expression matches

Standard output carries the answer and nothing else. The sampling options apply in the order
in which they are kept by llama.cpp: bias, penalties, top-k, typical-p, top-p, min-p,
temperature.")]
pub struct RunArguments {
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    #[arg(value_name = "MODEL")]
    first: Option<String>,
    /// What to answer; without it, standard input, or a chat when that is a terminal
    #[arg(value_name = "PROMPT")]
    second: Option<String>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt as it stands, with no chat template
    #[arg(long)]
    raw: bool,
    /// Stop after this many tokens
    #[arg(long, short = 'n', value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    /// Stop before this text (repeatable)
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Write one JSON object a line: tokens as they come, then the whole answer with its figures
    #[arg(long)]
    json: bool,
    /// With --json: each token's log probability, and those of the N most likely tokens
    #[arg(long, value_name = "N", requires = "json", value_parser = clap::value_parser!(u8).range(0..=100))]
    logprobs: Option<u8>,
    /// Print no figures after the answer
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    sampling: SamplingOptions,
    #[command(flatten)]
    structure: GrammarOptions,
    #[command(flatten)]
    machine: MachineOptions,
}

/// Room for a long prompt's chunks; one sequence is sampled at a time.
const ROOM: StepRoom = StepRoom { rows: 512, samples: 1, cache: CacheRoom::OneContext };

/// Runs the command.
pub fn run(arguments: RunArguments) -> Result<(), Failure> {
    let target = model_path::tell_apart(arguments.first, arguments.second);
    let path = model_path::find(target.model.as_deref())?;
    let interactive = target.prompt.is_none() && stdin().is_terminal();
    if interactive && (arguments.raw || arguments.json) {
        return Err(Failure::Usage(
            "--raw and --json need a prompt: as an argument, or on standard input".into(),
        ));
    }
    let prompt = if interactive { None } else { Some(whole_prompt(target.prompt)?) };
    let source = arguments.structure.source()?;
    if interactive && source.is_some() {
        return Err(Failure::Usage(
            "a schema, grammar or regular expression needs a prompt; a chat is free".into(),
        ));
    }
    interrupt::install()?;
    let seed = arguments.sampling.seed();
    let mut settings = AnswerSettings {
        sampling: arguments.sampling.settings(),
        max_tokens: arguments.max_tokens,
        stops: arguments.stop,
        logprobs: arguments.logprobs.map_or(Logprobs::None, |count| Logprobs::Top(count.into())),
        start: if arguments.raw { Start::Continuation } else { Start::OwnText },
        form: None,
    };
    let Loaded { checkpoint, model, tokenizer, .. } = load(&path, &arguments.machine, ROOM)?;
    let vocab = model.limits().vocab;
    wootz_engine::validate(&settings.sampling, vocab)?;
    let engine = Engine::start(model, EngineSettings { sequences: 1, ..EngineSettings::default() })?;
    let figures = if arguments.quiet { Figures::Silent } else { Figures::Shown };
    let Some(prompt) = prompt else {
        let prompter = Prompter::new(&checkpoint, &tokenizer)?;
        let conversation = Conversation::new(arguments.system.as_deref());
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        let session =
            chat::Session { engine, tokenizer, vocab, prompter, settings, seed, conversation, figures, name };
        return session.run();
    };
    let tokens = if arguments.raw {
        settings.form = source.map(|source| Form::of_text(&source, &tokenizer)).transpose()?;
        tokenizer.encode(&prompt, Special::Plain, AddBos::AsModel)?
    } else {
        let mut conversation = Conversation::new(arguments.system.as_deref());
        conversation.push("user", &prompt);
        let prompter = Prompter::new(&checkpoint, &tokenizer)?;
        mention(&prompter);
        let text = prompter.text(&conversation)?;
        let format = || (prompter.format(&tokenizer), text.as_str());
        settings.form = source.map(|source| Form::of_content(&source, &tokenizer, format())).transpose()?;
        Prompter::tokenize(&text, &tokenizer)?
    };
    let output = if arguments.json { Output::Json } else { Output::Text };
    one_shot(OneShot { engine, tokenizer, tokens, settings, output, figures, path })
}

/// Says what stands in for a chat template that the model lacks.
pub fn mention(prompter: &Prompter) {
    if prompter.origin() != wootz_weights::chat_template::TemplateOrigin::Model {
        terminal::note(&format!("prompts use {}; --raw completes plainly", prompter.origin()));
    }
}

/// Whether figures follow an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// On standard error.
    Shown,
    /// Not at all.
    Silent,
}

/// In which form the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Text,
    Json,
}

/// The prompt of the arguments, and what standard input adds to it if it is no terminal.
fn whole_prompt(argument: Option<String>) -> Result<String, Failure> {
    let mut piped = Vec::new();
    if !stdin().is_terminal() {
        let read = stdin().lock().read_to_end(&mut piped);
        read.map_err(|error| Failure::new(format!("cannot read the prompt from standard input: {error}")))?;
    }
    let piped = String::from_utf8(piped).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Failure::new(format!("standard input is not UTF-8 text: byte {place} is not part of a character"))
    })?;
    let prompt = match argument {
        Some(prompt) if piped.trim().is_empty() => prompt,
        Some(prompt) => format!("{prompt}\n\n{piped}"),
        None => piped,
    };
    if prompt.trim().is_empty() {
        return Err(Failure::Usage(
            "the prompt is empty: pass it as an argument or on standard input; `wootz run --help` has examples".into(),
        ));
    }
    Ok(prompt)
}

/// Everything for one answer.
struct OneShot {
    engine: Engine,
    tokenizer: Tokenizer,
    tokens: Vec<u32>,
    settings: AnswerSettings,
    output: Output,
    figures: Figures,
    path: PathBuf,
}

fn one_shot(shot: OneShot) -> Result<(), Failure> {
    let OneShot { engine, tokenizer, tokens, settings, output, figures, path } = shot;
    let ended = match output {
        Output::Text => {
            let ended = answer(&engine, &tokenizer, tokens, &settings, &mut TextSink)?;
            if !ended.text.ends_with('\n') {
                writeln!(stdout())?;
            }
            ended
        }
        Output::Json => {
            let mut sink = JsonSink { tokenizer: &tokenizer };
            let ended = answer(&engine, &tokenizer, tokens, &settings, &mut sink)?;
            json_line(&json_end(&ended, &settings, &path))?;
            ended
        }
    };
    // The process ends here: the system takes the memory back faster than the engine's thread would.
    std::mem::forget(engine);
    if figures == Figures::Shown {
        terminal::aside(&ended.summary());
    }
    if ended.ending == Ending::Interrupted { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Writes text to standard output as it comes.
pub struct TextSink;

impl Sink for TextSink {
    fn token(&mut self, _: &Sampled) -> Result<(), Failure> {
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// Writes a JSON object for each event.
struct JsonSink<'a> {
    tokenizer: &'a Tokenizer,
}

impl Sink for JsonSink<'_> {
    fn token(&mut self, sampled: &Sampled) -> Result<(), Failure> {
        let piece = |token: u32| {
            let bytes = self.tokenizer.token_bytes(token).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut line = json!({"type": "token", "id": sampled.token, "piece": piece(sampled.token)});
        if let Some(logprobs) = &sampled.logprobs {
            line["logprob"] = json!(logprobs.chosen);
            let top = logprobs.top.iter();
            let top: Vec<_> =
                top.map(|t| json!({"id": t.token, "piece": piece(t.token), "logprob": t.logprob})).collect();
            line["top"] = json!(top);
        }
        json_line(&line)
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        json_line(&json!({"type": "text", "text": text}))
    }
}

fn json_line(value: &serde_json::Value) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn json_end(ended: &Answer, settings: &AnswerSettings, path: &std::path::Path) -> serde_json::Value {
    json!({
        "type": "end",
        "model": path.display().to_string(),
        "text": ended.text,
        "finish_reason": ended.ending.name(),
        "seed": settings.sampling.seed,
        "usage": {
            "prompt_tokens": ended.usage.prompt,
            "reused_tokens": ended.usage.reused,
            "completion_tokens": ended.usage.generated,
        },
        "seconds": {
            "prompt": ended.prompt_time.as_secs_f64(),
            "generation": ended.generation_time.as_secs_f64(),
        },
        "tokens_per_second": {"prompt": ended.prompt_speed(), "generation": ended.generation_speed()},
    })
}
