//! Lists that a template changes: `items.append(item)`, as Python has it.
//!
//! The engine's lists never change. In templates that call such a method, `[]` is written as a call of a function that
//! makes a list that does.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::operators;

/// What makes a list.
const FUNCTION: &str = "python_list";
/// What changes lists.
const METHODS: [&str; 4] = [".append(", ".extend(", ".insert(", ".pop("];
/// How deep values in a list may be nested.
const MAX_DEPTH: usize = 100;

/// A list that changes. It holds no other: it might come to hold itself.
#[derive(Debug, Default)]
struct PythonList(Mutex<Vec<Value>>);

/// Puts the function into an environment.
pub(super) fn install(environment: &mut Environment) {
    environment.add_function(FUNCTION, || Value::from_object(PythonList::default()));
}

/// The source with `[]` in its tags replaced, where it changes lists.
pub(super) fn with_changing_lists(source: &str) -> Cow<'_, str> {
    if !METHODS.iter().any(|method| source.contains(method)) {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let close = match from.as_bytes().get(1) {
            Some(b'#') => "#}",
            Some(b'%') => "%}",
            Some(b'{') => "}}",
            _ => "{",
        };
        let end = from[1..].find(close).map_or(from.len(), |end| 1 + end + close.len());
        let end = if close == "{" { 1 } else { end };
        let tag = &from[..end];
        if close == "#}" || close == "{" {
            out.push_str(tag)
        } else {
            replace_lists(tag, &mut out)
        }
        rest = &from[end..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Copies a tag; empty lists become calls of the function.
fn replace_lists(tag: &str, out: &mut String) {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    // Whether a bracket here takes an item out of something and makes no list.
    let mut after_value = false;
    let mut skip_to = 0;
    for (at, character) in tag.char_indices() {
        if at < skip_to {
            continue;
        }
        if let Some(mark) = quote {
            out.push(character);
            quote = Some(mark).filter(|mark| escaped || character != *mark);
            escaped = !escaped && character == '\\';
            after_value = true;
            continue;
        }
        let inside =
            tag[at + 1..].trim_start().strip_prefix(']').filter(|_| character == '[' && !after_value);
        if let Some(after) = inside {
            out.push_str(FUNCTION);
            out.push_str("()");
            skip_to = tag.len() - after.len();
            after_value = true;
            continue;
        }
        quote = Some(character).filter(|character| matches!(character, '\'' | '"'));
        out.push(character);
        if !character.is_whitespace() {
            after_value = character.is_alphanumeric() || matches!(character, '_' | ')' | ']' | '}');
        }
    }
}

impl PythonList {
    fn items(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, index: i64, length: usize) -> usize {
        let index = if index < 0 { index.saturating_add_unsigned(length as u64) } else { index };
        usize::try_from(index).unwrap_or(0)
    }

    fn pop(&self, index: i64) -> Result<Value, Error> {
        let mut items = self.items();
        let place = self.place(index, items.len());
        if place >= items.len() || index < -(items.len() as i64) {
            return Err(Error::new(ErrorKind::InvalidOperation, "pop index out of range"));
        }
        Ok(items.remove(place))
    }
}

impl Object for PythonList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let items = self.items();
        let index = i64::try_from(key.clone()).ok()?;
        let below = index < -(items.len() as i64);
        items.get(self.place(index, items.len())).filter(|_| !below).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items().len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "append" => {
                let (item,): (Value,) = from_args(arguments)?;
                check_item(state, &item, 0)?;
                self.items().push(item);
            }
            "extend" => {
                let (more,): (Value,) = from_args(arguments)?;
                let more: Vec<Value> = more.try_iter()?.collect();
                more.iter().try_for_each(|item| check_item(state, item, 0))?;
                self.items().extend(more);
            }
            "insert" => {
                let (index, item): (i64, Value) = from_args(arguments)?;
                check_item(state, &item, 0)?;
                let mut items = self.items();
                let place = self.place(index, items.len()).min(items.len());
                items.insert(place, item);
            }
            "pop" => {
                let (index,): (Option<i64>,) = from_args(arguments)?;
                return self.pop(index.unwrap_or(-1));
            }
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        }
        Ok(Value::from(()))
    }
}

/// Counts what an item takes, and refuses what holds a list that changes.
fn check_item(state: &mut State, item: &Value, depth: usize) -> Result<(), Error> {
    operators::charge_items(state, 1)?;
    if item.downcast_object_ref::<PythonList>().is_some() || depth > MAX_DEPTH {
        let message = "a list that changes cannot hold another that does, nor values nested very deeply";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    match item.kind() {
        ValueKind::Seq => item.try_iter()?.try_for_each(|inner| check_item(state, &inner, depth + 1)),
        ValueKind::Map => {
            let keys: Vec<Value> = item.try_iter()?.collect();
            keys.iter().try_for_each(|key| check_item(state, &item.get_item(key)?, depth + 1))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_lists_in_tags_change() {
        assert_eq!(
            with_changing_lists("[] {{ a.append(1) }}{% set a = [ ] %}{{ a[0] + [1] + [] }}{# [] #}{ '[]' }"),
            "[] {{ a.append(1) }}{% set a = python_list() %}{{ a[0] + [1] + python_list() }}{# [] #}{ '[]' }"
        );
        assert_eq!(
            with_changing_lists("{% set n = f(ids=[], t='[]\\'[]') %}{{ x.pop(0) }}"),
            "{% set n = f(ids=python_list(), t='[]\\'[]') %}{{ x.pop(0) }}"
        );
        assert_eq!(with_changing_lists("{% set a = [] %}"), "{% set a = [] %}");
    }
}
