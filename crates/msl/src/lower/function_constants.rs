//! Function constants: `constant bool neox [[function_constant(0)]];`, given when a pipeline is made.
//!
//! Metal compiles a kernel again for each set of values. Here the value is read when it is used. A constant computed
//! from function constants must not be computed before they are given either, so both become functions, and each use
//! a call:
//!
//! ```text
//! extern "C" __global ulong msl_fc_0[2];
//! inline bool msl_constant_neox() { return *(const __global bool*)msl_fc_0; }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::MslError;

use super::attributes;
use super::tokens::{Edits, Tokens};

/// A value that is given when a pipeline is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionConstant {
    /// The variable's name.
    pub name: String,
    /// The number in `[[function_constant(n)]]`. The library exports its value as `msl_fc_<n>`, 16 bytes.
    pub index: u32,
    /// The type, such as `bool`.
    pub type_name: String,
}

/// A program-scope `constant` declaration.
struct Declaration {
    /// First token, `static` and `const` included.
    start: usize,
    /// The token after its `;`.
    end: usize,
    name: usize,
    type_name: String,
    /// Index of its `[[function_constant(n)]]`.
    function_constant: Option<u32>,
    /// The token after its `=`.
    value: Option<usize>,
}

/// Finds the function constants and rewrites them, what is computed from them, and their uses.
pub(crate) fn edits(tokens: &Tokens) -> Result<(Edits, Vec<FunctionConstant>), MslError> {
    let mut edits = Edits::default();
    let mut constants = Vec::new();
    // Names that have become functions; `Some` holds the index of a function constant.
    let mut functions: BTreeMap<String, Option<u32>> = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(declaration) = declaration(tokens, at)? {
            let name = tokens.text(declaration.name).to_owned();
            let lowered = if let Some(index) = declaration.function_constant {
                functions.insert(name.clone(), Some(index));
                let type_name = declaration.type_name.clone();
                constants.push(FunctionConstant { name: name.clone(), index, type_name });
                Some(format!("*(const __global {}*)msl_fc_{index}", declaration.type_name))
            } else {
                derived_value(tokens, &declaration, &functions)?
            };
            if let Some(value) = lowered {
                functions.entry(name.clone()).or_insert(None);
                let function =
                    format!("inline {} msl_constant_{name}() {{ return {value}; }}", declaration.type_name);
                edits.replace(declaration.start..declaration.end, function);
                at = declaration.end;
                continue;
            }
        }
        at = match lowered_use(tokens, at, &functions)? {
            Some((text, end)) => {
                edits.replace(at..end, text);
                end
            }
            // A parameter's own condition names the constant; the entry points read it.
            None if tokens.is_attribute(at) => tokens.step(at),
            None => at + 1,
        };
    }
    Ok((edits, constants))
}

/// Gives every constant of the program, but no pointer to one, a name of its own for `constant`.
pub(crate) fn mark_program_constants(tokens: &Tokens) -> Result<Edits, MslError> {
    let mut edits = Edits::default();
    for index in 0..tokens.len() {
        if declaration(tokens, index)?.is_some_and(|declaration| declaration.function_constant.is_none()) {
            edits.replace(index..index + 1, "msl_program_constant");
        }
    }
    Ok(edits)
}

/// Storage for the values, which the emulator fills in through the exported symbols.
pub(crate) fn storage(constants: &[FunctionConstant]) -> String {
    let indices: std::collections::BTreeSet<u32> = constants.iter().map(|constant| constant.index).collect();
    let line =
        |index| format!("extern \"C\" {{ MSL_EXPORT __global ulong msl_fc_{index}[2] = {{0, 0}}; }}\n");
    indices.into_iter().map(line).collect()
}

/// Reads a declaration whose `constant` stands at `index`.
fn declaration(tokens: &Tokens, index: usize) -> Result<Option<Declaration>, MslError> {
    if tokens.text(index) != "constant" {
        return Ok(None);
    }
    let (mut name, mut function_constant, mut at) = (None, None, index + 1);
    while tokens.is_word(at) || matches!(tokens.text(at), "::" | "<" | "[") {
        if tokens.is_attribute(at) {
            let list = attributes::read(tokens, at)?;
            let found = list.attributes.iter().find(|attribute| attribute.name == "function_constant");
            function_constant =
                found.map(|attribute| attribute.number(tokens)).transpose()?.or(function_constant);
        } else if tokens.is_word(at) {
            name = Some(at);
        }
        at = tokens.step_over_lists(at);
    }
    let Some(name) = name.filter(|_| matches!(tokens.text(at), "=" | ";")) else { return Ok(None) };
    let value = (tokens.text(at) == "=").then_some(at + 1);
    while !matches!(tokens.text(at), ";" | "") {
        at = tokens.step(at);
    }
    let mut start = index;
    while matches!(tokens.text_before(start), "static" | "const" | "constexpr") {
        start -= 1;
    }
    let type_words = (index + 1..name).filter(|word| !matches!(tokens.text(*word), "const" | "constexpr"));
    let type_name = type_words.map(|word| tokens.text(word)).collect::<Vec<_>>().join(" ");
    let end = (at + 1).min(tokens.len());
    Ok(Some(Declaration { start, end, name, type_name, function_constant, value }))
}

/// The lowered value of a constant, if it is computed from function constants.
fn derived_value(
    tokens: &Tokens,
    declaration: &Declaration,
    functions: &BTreeMap<String, Option<u32>>,
) -> Result<Option<String>, MslError> {
    let Some(mut at) = declaration.value else { return Ok(None) };
    let mut value = String::new();
    let mut derived = false;
    while at + 1 < declaration.end {
        let (text, end) = match lowered_use(tokens, at, functions)? {
            Some(lowered) => {
                derived = true;
                lowered
            }
            None => (tokens.text(at).to_owned(), at + 1),
        };
        value += " ";
        value += &text;
        at = end;
    }
    Ok(derived.then_some(value))
}

/// If a function constant, or `is_function_constant_defined`, is used at `index`: what it becomes, and what follows.
fn lowered_use(
    tokens: &Tokens,
    index: usize,
    functions: &BTreeMap<String, Option<u32>>,
) -> Result<Option<(String, usize)>, MslError> {
    let word = tokens.text(index);
    if !tokens.is_word(index) || matches!(tokens.text_before(index), "." | "->") {
        return Ok(None);
    }
    if word == "is_function_constant_defined" {
        return match functions.get(tokens.text(index + 2)) {
            Some(Some(number)) => {
                Ok(Some((format!("(msl_fc_isdef({number}) != 0)"), tokens.step(index + 1))))
            }
            _ => {
                Err(tokens.error(index, "is_function_constant_defined takes the name of a function constant"))
            }
        };
    }
    Ok(functions.contains_key(word).then(|| (format!("msl_constant_{word}()"), index + 1)))
}
