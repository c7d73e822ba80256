//! Entry points: kernels, and the instances of kernel templates that have a host name.
//!
//! `kernel` and the attributes say nothing to clang, so they go; what they said becomes a table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Location, MslError};

use super::arguments::{self, Argument};
use super::attributes::{self, AttributeList};
use super::tokens::{Edits, Tokens};

/// A kernel that can be dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// The name that the host knows: the function's own, or its `[[host_name("…")]]`.
    pub name: String,
    /// The symbol of the compiled function that starts one thread of it.
    pub symbol: String,
    /// Its parameters, in order.
    pub arguments: Vec<Argument>,
    /// The number in `[[max_total_threads_per_threadgroup(n)]]`.
    pub max_threads: Option<u32>,
    /// Where the kernel, or its explicit instantiation, is written.
    pub location: Location,
    /// The C++ expression that names the function, such as `gemv<half, 4>`.
    pub(crate) expression: String,
}

/// Everything before the `{` or `;` of a kernel.
struct Header {
    attributes: Vec<AttributeList>,
    /// The word `kernel`.
    keyword: Option<usize>,
    template: Template,
    name: usize,
    /// Name and template arguments.
    expression: Range<usize>,
    /// The tokens between the parentheses. `f<T>` in `template decltype(f<T>) f<T>;` has none.
    parameters: Option<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Template {
    /// A function.
    No,
    /// `template <typename T> …`
    Definition,
    /// `template [[host_name("…")]] … f<float>(…);`
    Instantiation,
}

/// Attributes that a function may have.
const FUNCTION_ATTRIBUTES: [&str; 3] = ["kernel", "host_name", "max_total_threads_per_threadgroup"];

/// Finds the entry points, and rewrites them so that clang can read them.
pub(crate) fn edits(tokens: &Tokens) -> Result<(Edits, Vec<EntryPoint>), MslError> {
    let mut edits = Edits::default();
    let mut signatures: BTreeMap<String, (Vec<Argument>, Option<u32>)> = BTreeMap::new();
    let mut entry_points = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins_declaration = matches!(tokens.text_before(at), "" | ";" | "{" | "}");
        let Some(header) = (if begins_declaration { header(tokens, at)? } else { None }) else {
            if tokens.is_attribute(at) {
                let list = attributes::read(tokens, at)?;
                check_attributes(tokens, &list)?;
                edits.remove(list.range.clone());
                at = list.range.end;
            } else {
                at += 1;
            }
            continue;
        };
        for list in &header.attributes {
            check_attributes(tokens, list)?;
            edits.remove(list.range.clone());
        }
        if let Some(keyword) = header.keyword {
            edits.remove(keyword..keyword + 1);
        }
        let found = entry_point(tokens, &header, &mut signatures)?;
        entry_points.extend(found);
        at = header.expression.end;
        if let Some(parameters) = header.parameters {
            remove_attributes(tokens, parameters.clone(), &mut edits)?;
            at = parameters.end;
        }
    }
    check_names(&entry_points)?;
    Ok((edits, entry_points))
}

/// Reads the declaration that begins at `start`, if it is a kernel's.
fn header(tokens: &Tokens, start: usize) -> Result<Option<Header>, MslError> {
    let mut at = start;
    let mut template = Template::No;
    if tokens.text(at) == "template" {
        template = Template::Instantiation;
        at += 1;
        if tokens.text(at) == "<" {
            template = Template::Definition;
            let Some(end) = tokens.angle_partner(at) else { return Ok(None) };
            at = end + 1;
        }
    }
    let (mut attributes, mut keyword, mut name) = (Vec::new(), None, None);
    let mut expression_end = at;
    loop {
        match tokens.text(at) {
            "[" if tokens.is_attribute(at) => {
                let list = attributes::read(tokens, at)?;
                at = list.range.end;
                attributes.push(list);
                continue;
            }
            "kernel" => keyword = Some(at),
            "decltype" => at += 1,
            "<" => {
                let Some(end) = tokens.angle_partner(at) else { return Ok(None) };
                expression_end = end + 1;
            }
            "::" | "*" | "&" => {}
            _ if tokens.is_word(at) => {
                name = Some(at);
                expression_end = at + 1;
            }
            _ => break,
        }
        at = tokens.step_over_lists(at);
    }
    let has = |wanted| attributes.iter().any(|list| list.attributes.iter().any(|found| found.name == wanted));
    let Some(name) = name.filter(|_| keyword.is_some() || has("kernel") || has("host_name")) else {
        return Ok(None);
    };
    let parameters = match (tokens.text(at), tokens.partner(at)) {
        ("(", Some(closing)) => Some(at + 1..closing),
        _ if template == Template::Instantiation => None,
        (other, _) => {
            let message = format!(
                "`{other}` follows `{}`, where a kernel's parameters were expected",
                tokens.text(name)
            );
            return Err(tokens.error(at, message));
        }
    };
    Ok(Some(Header { attributes, keyword, template, name, expression: name..expression_end, parameters }))
}

fn entry_point(
    tokens: &Tokens,
    header: &Header,
    signatures: &mut BTreeMap<String, (Vec<Argument>, Option<u32>)>,
) -> Result<Option<EntryPoint>, MslError> {
    let function = tokens.text(header.name).to_owned();
    let find = |wanted: &str| {
        let all = header.attributes.iter().flat_map(|list| &list.attributes);
        all.into_iter().find(|attribute| attribute.name == wanted)
    };
    let host_name = find("host_name").map(|attribute| attribute.string(tokens)).transpose()?;
    let limit = find("max_total_threads_per_threadgroup");
    let limit = limit.map(|attribute| attribute.number(tokens)).transpose()?;
    if header.template != Template::Instantiation {
        let parameters = header.parameters.clone().unwrap_or(header.name..header.name);
        let signature = (read_arguments(tokens, parameters)?, limit);
        signatures.insert(function.clone(), signature);
    }
    let name = match (header.template, host_name) {
        (Template::Definition, _) => return Ok(None),
        (Template::No, host_name) => host_name.unwrap_or_else(|| function.clone()),
        (Template::Instantiation, Some(host_name)) => host_name,
        (Template::Instantiation, None) => {
            let message = format!("an instantiation of kernel `{function}` needs a [[host_name(\"…\")]]");
            return Err(tokens.error(header.name, message));
        }
    };
    let Some((arguments, declared_limit)) = signatures.get(&function).cloned() else {
        let message =
            format!("`{function}` is instantiated, but no kernel template of this name comes before");
        return Err(tokens.error(header.name, message));
    };
    Ok(Some(EntryPoint {
        name,
        symbol: String::new(),
        arguments,
        max_threads: limit.or(declared_limit),
        location: tokens.location(header.name),
        expression: tokens.join(header.expression.clone()),
    }))
}

fn read_arguments(tokens: &Tokens, parameters: Range<usize>) -> Result<Vec<Argument>, MslError> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut start = parameters.start;
    let mut at = parameters.start;
    let mut used = BTreeSet::new();
    while start < parameters.end {
        if at < parameters.end && tokens.text(at) != "," {
            at = tokens.step_over_lists(at);
            continue;
        }
        let argument = arguments::read(tokens, start..at.min(parameters.end))?;
        let place = match &argument {
            Argument::Buffer { index, .. } => ("buffer", *index),
            Argument::Threadgroup { index, .. } => ("threadgroup", *index),
            Argument::Builtin { builtin, .. } => (builtin.name(), 0),
        };
        if !used.insert(place) && !matches!(argument, Argument::Builtin { .. }) {
            let message = format!("two parameters have the attribute `{}({})`", place.0, place.1);
            return Err(tokens.error(start, message));
        }
        arguments.push(argument);
        at += 1;
        start = at;
    }
    Ok(arguments)
}

fn remove_attributes(tokens: &Tokens, range: Range<usize>, edits: &mut Edits) -> Result<(), MslError> {
    let mut at = range.start;
    while at < range.end {
        let next = tokens.step(at);
        if tokens.is_attribute(at) {
            edits.remove(attributes::read(tokens, at)?.range);
        }
        at = next;
    }
    Ok(())
}

fn check_attributes(tokens: &Tokens, list: &AttributeList) -> Result<(), MslError> {
    let unknown =
        list.attributes.iter().find(|attribute| !FUNCTION_ATTRIBUTES.contains(&attribute.name.as_str()));
    unknown.map_or(Ok(()), |attribute| {
        let message =
            format!("attribute `{}` is not one of {}", attribute.name, FUNCTION_ATTRIBUTES.join(", "));
        Err(tokens.error(attribute.at, message))
    })
}

fn check_names(entry_points: &[EntryPoint]) -> Result<(), MslError> {
    let mut names: BTreeMap<&str, &Location> = BTreeMap::new();
    for entry_point in entry_points {
        if let Some(first) = names.insert(&entry_point.name, &entry_point.location) {
            let message =
                format!("a second kernel is called `{}`; the first is at {first}", entry_point.name);
            return Err(MslError::Syntax { location: entry_point.location.clone(), message });
        }
    }
    Ok(())
}
