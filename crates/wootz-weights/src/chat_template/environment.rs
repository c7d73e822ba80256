//! A template engine that behaves as the Jinja2 environment of Transformers' `apply_chat_template`.

use std::fmt;
use std::sync::Arc;

use minijinja::machinery::{CompiledTemplate, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{ValueKind, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat;

use super::json::tojson;
use super::lists;
use super::operators;
use super::strftime::Clock;

/// Instructions that one rendering may run: templates of real models need about a hundred a message.
const MAX_FUEL: u64 = 5_000_000;
/// The bytes of literal text that a rendering may write; writing a literal takes at least two instructions in a loop.
const MAX_LITERAL_BYTES: u64 = 1 << 30;
/// Nested macros, loops and expressions.
const RECURSION_LIMIT: usize = 200;

/// What `raise_exception(message)` leaves in the chain of errors, so that the caller sees the template's own words.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// An environment that holds no template, for templates whose literal texts have at most this many bytes.
pub(super) fn environment(clock: Clock, longest_literal: usize) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some((2 * MAX_LITERAL_BYTES / longest_literal.max(1) as u64).min(MAX_FUEL)));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_unknown_method_callback(python_method);
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    set_clock(&mut environment, clock);
    // Python cannot iterate over None, and templates ask before they take a length; undefined iterates as empty.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    operators::install(&mut environment);
    lists::install(&mut environment);
    environment
}

/// Puts `strftime_now` on a clock.
pub(super) fn set_clock(environment: &mut Environment, clock: Clock) {
    environment.add_function("strftime_now", move |format: &str| clock.strftime(format));
}

/// The syntax of `trim_blocks` and `lstrip_blocks`.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

/// A template that is ready to be evaluated.
pub(super) fn compile<'source>(
    name: &'source str,
    source: &'source str,
) -> Result<CompiledTemplate<'source>, Error> {
    let config =
        TemplateConfig { syntax_config: syntax()?, default_auto_escape: Arc::new(|_| AutoEscape::None) };
    let mut template = CompiledTemplate::new(name, source, &config)?;
    operators::replace_operators(&mut template);
    Ok(template)
}

/// The methods of Python's strings, lists and dictionaries that templates call and `minijinja-contrib` lacks.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.kind(), method) {
        (ValueKind::String, "removeprefix") => {
            affix(value, arguments, |text, affix| text.strip_prefix(affix))
        }
        (ValueKind::String, "removesuffix") => {
            affix(value, arguments, |text, affix| text.strip_suffix(affix))
        }
        (ValueKind::Map, "copy") => {
            let () = from_args(arguments)?;
            Ok(value.clone())
        }
        (ValueKind::String, "replace") => {
            if let [from, to, ..] = arguments {
                operators::charge_replace(state, value, from, to)?;
            }
            pycompat::unknown_method_callback(state, value, method, arguments)
        }
        (ValueKind::String, "join") => {
            if let [items] = arguments {
                operators::charge_join(state, value.as_str().unwrap_or_default(), items)?;
            }
            pycompat::unknown_method_callback(state, value, method, arguments)
        }
        _ => pycompat::unknown_method_callback(state, value, method, arguments),
    }
}

fn affix(
    value: &Value,
    arguments: &[Value],
    strip: impl for<'text> Fn(&'text str, &str) -> Option<&'text str>,
) -> Result<Value, Error> {
    let (affix,): (&str,) = from_args(arguments)?;
    let text = value.as_str().unwrap_or_default();
    Ok(Value::from(strip(text, affix).unwrap_or(text)))
}
