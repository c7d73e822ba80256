//! A template engine that behaves as the Jinja2 environment of Transformers' `apply_chat_template`.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{ValueKind, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use super::generation::without_generation_tags;
use super::json::tojson;
use super::strftime::Clock;

/// Instructions that one rendering may run: templates of real models need about a hundred a message.
const FUEL: u64 = 20_000_000;
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

/// An environment that holds the given templates, each by its name.
pub(super) fn environment(
    templates: &[(String, String)],
    clock: Clock,
) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_unknown_method_callback(python_method);
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    environment.add_function("strftime_now", move |format: &str| clock.strftime(format));
    // Python cannot iterate over None, and templates ask before they take a length; undefined iterates as empty.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    for (name, source) in templates {
        environment.add_template_owned(name.clone(), without_generation_tags(source).into_owned())?;
    }
    Ok(environment)
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
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
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
