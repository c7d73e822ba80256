//! What an answer has to follow: a JSON schema, a grammar, a regular expression.

use std::path::{Path, PathBuf};

use clap::Args;
use wootz_grammar::{Grammar, GrammarCompiler, GrammarError, GrammarSource, TokenText, Vocabulary};
use wootz_weights::tokenizer::{TokenKind, Tokenizer};

use crate::failure::Failure;

/// What an answer has to follow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Structured output")]
#[group(multiple = false)]
pub struct GrammarOptions {
    /// Answer with JSON that satisfies this schema: a file, or the schema itself
    #[arg(long, value_name = "FILE|JSON")]
    json_schema: Option<String>,
    /// Answer with a JSON object
    #[arg(long)]
    json_object: bool,
    /// Answer with a text of this grammar: a file in llama.cpp's GBNF (*.gbnf) or in Lark (*.lark)
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
    /// Answer with a text that this regular expression matches as a whole
    #[arg(long, value_name = "REGEX")]
    regex: Option<String>,
}

impl GrammarOptions {
    /// What was asked for, if anything; its text is read, and not yet compiled.
    pub fn source(&self) -> Result<Option<GrammarSource>, Failure> {
        if let Some(schema) = &self.json_schema {
            return schema_source(schema).map(Some);
        }
        if let Some(path) = &self.grammar {
            return grammar_source(path).map(Some);
        }
        if let Some(regex) = &self.regex {
            return Ok(Some(GrammarSource::Regex(regex.clone())));
        }
        Ok(self.json_object.then_some(GrammarSource::JsonObject))
    }
}

/// A schema, written out or in a file.
fn schema_source(schema: &str) -> Result<GrammarSource, Failure> {
    let inline = schema.trim_start().starts_with('{');
    let text = if inline { schema.to_owned() } else { read(Path::new(schema))? };
    let place = if inline { "--json-schema" } else { schema };
    let value = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("the schema in {place} is no JSON: {error}")))?;
    Ok(GrammarSource::JsonSchema(value))
}

/// A grammar in a file, in the language that its name says.
fn grammar_source(path: &Path) -> Result<GrammarSource, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gbnf") => Ok(GrammarSource::Gbnf(read(path)?)),
        Some("lark") => Ok(GrammarSource::Lark(read(path)?)),
        _ => Err(Failure::Usage(format!(
            "the name of the grammar {} should end in .gbnf or .lark, which says how it is to be read",
            path.display()
        ))),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))
}

/// Compiles what was asked for, for the tokens of a model.
pub fn compile(source: &GrammarSource, tokenizer: &Tokenizer) -> Result<Grammar, Failure> {
    let tokens = (0..tokenizer.vocab_size() as u32).map(|id| {
        let unused = tokenizer.token_kind(id) == Some(TokenKind::Unused);
        let bytes = if unused { None } else { tokenizer.token_bytes(id) };
        TokenText { bytes: bytes.unwrap_or_default(), special: tokenizer.is_special(id) }
    });
    let usage = |error: GrammarError| Failure::Usage(error.to_string());
    let vocabulary = Vocabulary::new(tokens, tokenizer.eos_ids()).map_err(usage)?;
    GrammarCompiler::new(vocabulary).and_then(|compiler| compiler.compile(source)).map_err(usage)
}
