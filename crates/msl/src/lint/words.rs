//! Rules that a word, or a few tokens in a row, show.

use crate::MslError;
use crate::lower::Builtin;
use crate::lower::attributes;
use crate::lower::tokens::Tokens;

use super::{Finding, Rule};

/// Words that Metal has no use for.
const WORDS: [(&str, Rule, &str); 14] = [
    ("double", Rule::Double, "Metal has no `double`: use `float`"),
    ("goto", Rule::Goto, "Metal has no `goto`"),
    ("try", Rule::Exception, "Metal has no exceptions"),
    ("catch", Rule::Exception, "Metal has no exceptions"),
    ("throw", Rule::Exception, "Metal has no exceptions"),
    ("new", Rule::DynamicMemory, "a kernel cannot allocate memory: declare an array, or take a buffer"),
    ("delete", Rule::DynamicMemory, "a kernel cannot allocate memory, so there is none to delete"),
    ("virtual", Rule::Virtual, "Metal has no virtual functions: use a template"),
    ("override", Rule::Virtual, "Metal has no virtual functions: use a template"),
    ("dynamic_cast", Rule::Virtual, "Metal has no run-time types"),
    ("typeid", Rule::Virtual, "Metal has no run-time types"),
    (
        "thread_local",
        Rule::MutableStatic,
        "Metal has no `thread_local`: a variable in a kernel is the thread's own",
    ),
    ("asm", Rule::UnknownAttribute, "Metal has no `asm`"),
    ("__attribute__", Rule::UnknownAttribute, "kernels are written without compiler attributes"),
];

/// Attributes of functions and parameters that are no [`Builtin`].
const ATTRIBUTES: [&str; 6] = [
    "kernel",
    "host_name",
    "max_total_threads_per_threadgroup",
    "buffer",
    "threadgroup",
    "function_constant",
];

pub(super) fn findings(tokens: &Tokens) -> Result<Vec<Finding>, MslError> {
    let mut findings = Vec::new();
    for index in 0..tokens.len() {
        let member = matches!(tokens.text_before(index), "." | "->");
        if tokens.is_word(index) && !member {
            let word = tokens.text(index);
            // `= delete` is about a function.
            let of_function = word == "delete" && tokens.text_before(index) == "=";
            let known = WORDS.iter().find(|(known, ..)| *known == word).filter(|_| !of_function);
            findings.extend(known.map(|(_, rule, message)| tokens.finding(index, *rule, *message)));
        }
        if tokens.is_attribute(index) {
            findings.extend(unknown_attributes(tokens, index)?);
        } else if is_lambda(tokens, index) {
            let message = "Metal has no lambdas: write a function, or a struct with operator()";
            findings.push(tokens.finding(index, Rule::Lambda, message));
        }
        if is_function_pointer(tokens, index) {
            let message = "functions have no address in Metal: pass a struct as a template argument instead";
            findings.push(tokens.finding(index, Rule::FunctionPointer, message));
        }
    }
    Ok(findings)
}

fn unknown_attributes(tokens: &Tokens, index: usize) -> Result<Vec<Finding>, MslError> {
    let list = attributes::read(tokens, index)?;
    let unknown = list.attributes.iter().filter(|attribute| {
        !ATTRIBUTES.contains(&attribute.name.as_str()) && Builtin::named(&attribute.name).is_none()
    });
    let finding = |attribute: &attributes::Attribute| {
        let message = format!("`{}` is not an attribute that kernels here may use", attribute.name);
        tokens.finding(attribute.at, Rule::UnknownAttribute, message)
    };
    Ok(unknown.map(finding).collect())
}

/// `[` where an expression begins: after an operand it would be an index, after a declared name an array's length.
fn is_lambda(tokens: &Tokens, index: usize) -> bool {
    let before = tokens.text_before(index);
    let begins =
        matches!(before, "=" | "(" | "," | "{" | "}" | ";" | "return" | "?" | ":" | "&&" | "||" | "!");
    let closing = tokens.partner(index).filter(|_| tokens.text(index) == "[" && begins);
    closing.is_some_and(|closing| matches!(tokens.text(closing + 1), "(" | "{" | "mutable"))
}

/// `(*name)(` or `(&name)(`, which declares or calls one.
fn is_function_pointer(tokens: &Tokens, index: usize) -> bool {
    if tokens.text(index) != "(" || !matches!(tokens.text(index + 1), "*" | "&") {
        return false;
    }
    let name = index + 2 + usize::from(tokens.text(index + 2) == "const");
    let closing = name + usize::from(tokens.is_word(name));
    // `(*array)[n]` is a pointer to an array, `a(*p)` an argument.
    tokens.text(closing) == ")" && tokens.text(closing + 1) == "("
}
