//! From the text of a grammar to a parser for one vocabulary.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::panic_utils::catch_unwind;

use crate::error::plain;
use crate::source::bounded;
use crate::{Grammar, GrammarError, GrammarLimits, GrammarSource, Vocabulary, gbnf, schema, source};

/// Stack for one compilation: the parser recurses along chains of rules, whose number is bounded.
const STACK: usize = 256 << 20;

/// Compiles grammars for one vocabulary. Cheap to clone; usable from many threads.
#[derive(Clone)]
pub struct GrammarCompiler {
    factory: Arc<ParserFactory>,
    vocabulary: Vocabulary,
    limits: GrammarLimits,
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("GrammarCompiler")
            .field("vocabulary", &self.vocabulary)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl GrammarCompiler {
    /// A compiler with the default limits. Walks the whole vocabulary once.
    ///
    /// # Errors
    /// A vocabulary that cannot be prepared.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, GrammarError> {
        Self::with_limits(vocabulary, GrammarLimits::default())
    }

    /// A compiler with other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(vocabulary: Vocabulary, limits: GrammarLimits) -> Result<Self, GrammarError> {
        let build = || ParserFactory::new_simple(vocabulary.environment());
        let mut factory = catch_unwind(std::panic::AssertUnwindSafe(build))
            .map_err(|error| GrammarError::Vocabulary(plain(&error.to_string())))?;
        factory.quiet();
        let parser = factory.limits_mut();
        parser.initial_lexer_fuel = limits.compile_work;
        parser.step_lexer_fuel = limits.mask_work;
        parser.step_max_items = limits.mask_items;
        parser.max_lexer_states = limits.states;
        parser.max_grammar_size = limits.symbols;
        parser.verbose_errors = false;
        Ok(Self { factory: Arc::new(factory), vocabulary, limits })
    }

    /// The vocabulary that it compiles for.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Compiles a grammar; the result stands at its beginning.
    ///
    /// # Errors
    /// What in the source cannot be used and where, or which limit it exceeds.
    pub fn compile(&self, source: &GrammarSource) -> Result<Grammar, GrammarError> {
        let work = || self.compile_here(source);
        // A thread of its own has a stack of known size, whoever calls.
        let result = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("wootz-grammar".into()).stack_size(STACK);
            builder.spawn_scoped(scope, work).map(|thread| thread.join())
        });
        match result {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err(GrammarError::Failed("the compiler panicked".to_owned())),
            Err(error) => Err(GrammarError::Failed(format!("no thread for the compiler: {error}"))),
        }
    }

    fn compile_here(&self, source: &GrammarSource) -> Result<Grammar, GrammarError> {
        let mut grammars = Vec::new();
        self.collect(source, None, &mut grammars)?;
        let grammar = TopLevelGrammar { grammars, max_tokens: None };
        let parser = self.factory.create_parser(grammar).map_err(|error| {
            let message = plain(&format!("{error:#}"));
            match source {
                GrammarSource::JsonSchema(value) => schema::explain(value, &message),
                other => GrammarError::source(other.kind(), message),
            }
        })?;
        let grammar = Grammar::new(parser, self.vocabulary.clone());
        // What no text can follow shows where the first token is asked for.
        match grammar.clone().check_beginning() {
            Ok(()) => Ok(grammar),
            Err(GrammarError::Failed(_)) => {
                Err(GrammarError::source(source.kind(), "it allows no text at all"))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a source as the parser takes it, and its parts after it: the first of all is where an answer begins.
    fn collect(
        &self,
        source: &GrammarSource,
        name: Option<&str>,
        grammars: &mut Vec<GrammarWithLexer>,
    ) -> Result<(), GrammarError> {
        let mut grammar = match source {
            GrammarSource::JsonSchema(value) => {
                GrammarWithLexer::from_json_schema(schema::prepare(value, &self.limits)?)
            }
            GrammarSource::JsonObject => GrammarWithLexer::from_json_schema(schema::any_object()),
            GrammarSource::Regex(text) => source::regex(text, &self.limits)?,
            GrammarSource::Lark(text) | GrammarSource::Composed { lark: text, .. } => {
                source::lark(text, &self.limits)?
            }
            GrammarSource::Gbnf(text) => {
                GrammarWithLexer::from_lark(gbnf::to_lark(text, &self.vocabulary, &self.limits)?)
            }
            GrammarSource::Choice(choices) => source::choice(choices, &self.limits)?,
        };
        grammar.name = name.map(str::to_owned);
        grammars.push(grammar);
        if let GrammarSource::Composed { parts, .. } = source {
            bounded("grammar of the answer", "parts", grammars.len() + parts.len(), self.limits.members)?;
            for (name, part) in parts {
                self.collect(part, Some(name), grammars)?;
            }
        }
        Ok(())
    }
}
