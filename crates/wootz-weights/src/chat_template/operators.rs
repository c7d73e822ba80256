//! Python's operators in templates, and a bound on what one rendering makes.
//!
//! The engine's `+`, `~` and `*` are its own and bounded by nothing: thirty doublings of a string fill any memory, and a
//! string marked as safe forgets the mark when it is added to. The instructions of a compiled template are replaced one
//! for one by calls of the functions here.

use minijinja::machinery::{CompiledTemplate, Instruction};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// What all strings and lists that a rendering makes may take together, in bytes.
const BUDGET: u64 = 1 << 28;
/// Under this name a rendering's state holds what it has made so far.
const MADE: &str = "bytes made";
/// What a value that is no string counts for.
const VALUE_BYTES: u64 = 32;

const ADD: &str = "python-add";
const CONCATENATE: &str = "python-concatenate";
const MULTIPLY: &str = "python-multiply";
/// The engine looks a filter up each time, instead of in a table of 50 places per template.
const NOT_CACHED: u8 = !0;

/// What the message of an exhausted budget contains.
pub(super) const TOO_MUCH: &str = "more than 256 MiB of text in between";

/// Puts the functions for operators, and bounded filters, into an environment.
pub(super) fn install(environment: &mut Environment) {
    environment.add_filter(ADD, add);
    environment.add_filter(CONCATENATE, concatenate);
    environment.add_filter(MULTIPLY, multiply);
    environment.add_filter("replace", |state: &mut State, text: &Value, from: &Value, to: &Value| {
        charge_replace(state, text, from, to)?;
        let (text, from, to) = (text.to_string(), from.to_string(), to.to_string());
        Ok::<_, Error>(Value::from(text.replace(&from, &to)))
    });
    environment.add_filter(
        "join",
        |state: &mut State, items: &Value, joiner: Option<&str>, attribute: Option<&str>, more: Kwargs| {
            charge_join(state, joiner.unwrap_or_default(), items)?;
            let joiner = joiner.map(Value::from).unwrap_or_default();
            let mut arguments = vec![items.clone(), joiner];
            arguments.extend(attribute.map(Value::from));
            if let Some(attribute) = more.get::<Option<&str>>("attribute")? {
                arguments.push(Value::from(attribute));
            }
            more.assert_all_used()?;
            join(&arguments)
        },
    );
    environment.set_formatter(|out, state, value| {
        charge(state, bytes_of(value))?;
        minijinja::escape_formatter(out, state, value)
    });
}

/// Replaces the operators of a template.
pub(super) fn replace_operators(template: &mut CompiledTemplate) {
    for instructions in std::iter::once(&mut template.instructions).chain(template.blocks.values_mut()) {
        let mut place = 0;
        while let Some(instruction) = instructions.get_mut(place) {
            let name = match instruction {
                Instruction::Add => Some(ADD),
                Instruction::StringConcat => Some(CONCATENATE),
                Instruction::Mul => Some(MULTIPLY),
                _ => None,
            };
            if let Some(name) = name {
                *instruction = Instruction::ApplyFilter(name, Some(2), NOT_CACHED);
            }
            place += 1;
        }
    }
}

/// The bytes of the longest literal text in a template.
pub(super) fn longest_literal(template: &CompiledTemplate) -> usize {
    let mut longest = 0;
    for instructions in std::iter::once(&template.instructions).chain(template.blocks.values()) {
        let all = (0..).map_while(|place| instructions.get(place));
        longest = all.fold(longest, |longest, instruction| match instruction {
            Instruction::EmitRaw(text) => longest.max(text.len()),
            _ => longest,
        });
    }
    longest
}

/// Counts what is about to be made.
fn charge(state: &mut State, bytes: u64) -> Result<(), Error> {
    let made = state.get_temp(MADE).and_then(|made| u64::try_from(made).ok()).unwrap_or(0);
    let made = made.saturating_add(bytes);
    if made > BUDGET {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("it made {TOO_MUCH}")));
    }
    state.set_temp(MADE, Value::from(made));
    Ok(())
}

/// Items that are put into a list.
pub(super) fn charge_items(state: &mut State, items: u64) -> Result<(), Error> {
    charge(state, items * VALUE_BYTES)
}

fn bytes_of(value: &Value) -> u64 {
    match value.as_str() {
        Some(text) => text.len() as u64,
        None => value.len().unwrap_or(1) as u64 * VALUE_BYTES,
    }
}

/// `str.replace`, before it happens.
pub(super) fn charge_replace(state: &mut State, text: &Value, from: &Value, to: &Value) -> Result<(), Error> {
    let (Some(text), Some(from), Some(to)) = (text.as_str(), from.as_str(), to.as_str()) else {
        return Ok(());
    };
    let matches = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
    // The exact count only where the bound is near.
    let bound = matches as u64 * to.len() as u64;
    let more = if bound > 1 << 20 { text.matches(from).count() as u64 * to.len() as u64 } else { bound };
    charge(state, text.len() as u64 + more)
}

/// `str.join`, before it happens.
pub(super) fn charge_join(state: &mut State, joiner: &str, items: &Value) -> Result<(), Error> {
    if items.as_str().is_none()
        && let Ok(items) = items.try_iter()
    {
        let bytes: u64 = items.map(|item| bytes_of(&item).saturating_add(joiner.len() as u64)).sum();
        charge(state, bytes)?;
    }
    Ok(())
}

/// Jinja's `join`: items, joiner, and the attribute to take of each item.
fn join(arguments: &[Value]) -> Result<Value, Error> {
    let joiner = arguments.get(1).and_then(Value::as_str).unwrap_or_default();
    let attribute = arguments.get(2).and_then(Value::as_str);
    let mut out = String::new();
    for (index, item) in arguments[0].try_iter()?.enumerate() {
        if index > 0 {
            out.push_str(joiner);
        }
        let item = match attribute {
            Some(name) => item.get_attr(name)?,
            None => item,
        };
        out.push_str(&item.to_string());
    }
    Ok(Value::from(out))
}

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    let message = format!("unsupported operand types for {operator}: {} and {}", left.kind(), right.kind());
    Error::new(ErrorKind::InvalidOperation, message)
}

/// `+`: numbers, strings, lists; nothing else. A string that `safe` marked escapes what is added to it, as Python's
/// `Markup` does.
fn add(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(first), Some(second)) = (left.as_str(), right.as_str()) {
        charge(state, bytes_of(left) + bytes_of(right))?;
        if !left.is_safe() && !right.is_safe() {
            return Ok(Value::from([first, second].concat()));
        }
        let part = |text: &str, safe: bool| if safe { text.to_owned() } else { escape(text) };
        let text = part(first, left.is_safe()) + &part(second, right.is_safe());
        charge(state, text.len() as u64)?;
        return Ok(Value::from_safe_string(text));
    }
    if let Some((first, second)) = numbers(left, right) {
        return Ok(match (first, second) {
            (Number::Integer(first), Number::Integer(second)) => {
                integer(first.checked_add(second)).ok_or_else(|| unsupported("+", left, right))?
            }
            (first, second) => Value::from(first.float() + second.float()),
        });
    }
    if left.kind() == ValueKind::Seq && right.kind() == ValueKind::Seq {
        charge(state, bytes_of(left) + bytes_of(right))?;
        return Ok(left.try_iter()?.chain(right.try_iter()?).collect());
    }
    Err(unsupported("+", left, right))
}

/// `~`: both as text.
fn concatenate(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    charge(state, bytes_of(left) + bytes_of(right))?;
    let text = format!("{left}{right}");
    Ok(Value::from(text))
}

/// `*`: numbers, and repetition of strings and lists.
fn multiply(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some((first, second)) = numbers(left, right) {
        return Ok(match (first, second) {
            (Number::Integer(first), Number::Integer(second)) => {
                integer(first.checked_mul(second)).ok_or_else(|| unsupported("*", left, right))?
            }
            (first, second) => Value::from(first.float() * second.float()),
        });
    }
    let (repeated, Some(Number::Integer(times))) = (match Number::of(left) {
        Some(times) => (right, Some(times)),
        None => (left, Number::of(right)),
    }) else {
        return Err(unsupported("*", left, right));
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    charge(state, bytes_of(repeated).saturating_mul(times as u64))?;
    match (repeated.as_str(), repeated.kind()) {
        (Some(text), _) => Ok(Value::from(text.repeat(times))),
        (None, ValueKind::Seq) => {
            let items: Vec<Value> = repeated.try_iter()?.collect();
            if items.is_empty() {
                return Ok(Value::from(items));
            }
            Ok(std::iter::repeat_n(&items, times).flatten().cloned().collect())
        }
        _ => Err(unsupported("*", left, right)),
    }
}

/// A number as Python sees it: booleans are integers.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Integer(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Number::Integer)
            }
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

fn numbers(left: &Value, right: &Value) -> Option<(Number, Number)> {
    Some((Number::of(left)?, Number::of(right)?))
}

/// The narrowest value that holds an integer, so that it indexes and compares as others do.
fn integer(value: Option<i128>) -> Option<Value> {
    let value = value?;
    Some(i64::try_from(value).map_or_else(|_| Value::from(value), Value::from))
}

/// `markupsafe.escape`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            letter => out.push(letter),
        }
    }
    out
}
