//! Rules that only a compiler can check: what a pointer leads to, and which function a call means.
//!
//! clang compiles the source once with `constant` in a memory space of its own, which makes a conversion from
//! `device` an error, and once to LLVM's text, which names the callee of each call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::clang::Clang;
use crate::diagnostics::for_authors;
use crate::lower::members::Kept;
use crate::lower::{Target, function_constants, lower_tokens, tokens::Tokens};
use crate::{Location, MslError, library, prelude};

use super::{Finding, Rule};

const DEVICE_TO_CONSTANT: &str =
    "`device` memory cannot be read as `constant`: give the parameter the space of its argument";
const MEMBER_SPACE: &str = "the member function is for objects in `thread` memory: write the object's space after its parameters too, or copy the object";
/// How clang speaks of the object that a member function is called for.
const OBJECT: [&str; 2] = ["object parameter", "'this' argument"];
/// How it speaks of memory that is not a thread's.
const SPACES: [&str; 3] = ["__global", "__local", "__constant"];

pub(super) fn findings(
    preprocessed: &str,
    name: &str,
    clang: &Clang,
    folder: &Path,
) -> Result<Vec<Finding>, MslError> {
    prelude::write_to(folder, Target::Emulator)?;
    let tokens = Tokens::read(preprocessed, name)?;
    let mut findings =
        recursion(&lower_tokens(tokens.clone(), Kept::Needed, Target::Emulator)?.text, clang, folder)?;
    findings.extend(memory_spaces(tokens, clang, folder)?);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Finds conversions from `device` to `constant`, and calls of members that are for objects of a thread.
fn memory_spaces(tokens: Tokens, clang: &Clang, folder: &Path) -> Result<Vec<Finding>, MslError> {
    // Constants of the program must stay in a space that clang allows there. Conversions from theirs are errors too
    // now, but not of the kind that is looked for.
    let edits = function_constants::mark_program_constants(&tokens)?;
    let text = format!(
        "#define MSL_STRICT\n{}",
        lower_tokens(tokens.apply(edits)?, Kept::All, Target::Emulator)?.text
    );
    let path = folder.join("strict.clcpp");
    std::fs::write(&path, text).map_err(MslError::io("cannot write", &path))?;
    let flags = "-fsyntax-only -ferror-limit=0 strict.clcpp";
    let arguments = [library::language_flags(), library::words(flags)].concat();
    let errors = match clang.run(folder, &arguments) {
        Ok(_) => return Ok(Vec::new()),
        Err(MslError::Compile(errors)) => errors,
        Err(error) => return Err(error),
    };
    let mut findings = Vec::new();
    let mut last_error = None;
    for line in errors.lines() {
        // A note about a function that does not fit belongs to the error above it.
        if line.contains(": error: ") {
            last_error = location(line);
        }
        let found = if line.contains("__global_device") && line.contains("__global_host") {
            Some((Rule::DeviceToConstant, DEVICE_TO_CONSTANT))
        } else if OBJECT.iter().any(|words| line.contains(words))
            && SPACES.iter().any(|space| line.contains(space))
        {
            Some((Rule::MemberSpace, MEMBER_SPACE))
        } else {
            None
        };
        let finding = |(rule, message): (Rule, &str)| {
            Some(Finding { location: last_error.clone()?, rule, message: message.to_owned() })
        };
        findings.extend(found.and_then(finding));
    }
    Ok(findings)
}

/// File and line at the beginning of one of clang's messages.
fn location(message: &str) -> Option<Location> {
    let mut parts = message.splitn(3, ':');
    let (file, line) = (parts.next()?, parts.next()?);
    let file = file.strip_prefix("./").unwrap_or(file);
    Some(Location { file: file.to_owned(), line: line.parse().ok()? })
}

/// Finds functions that come back to themselves.
fn recursion(text: &str, clang: &Clang, folder: &Path) -> Result<Vec<Finding>, MslError> {
    let path = folder.join("calls.clcpp");
    std::fs::write(&path, text).map_err(MslError::io("cannot write", &path))?;
    let flags = "-O0 -gline-tables-only -S -emit-llvm -Xclang -disable-llvm-passes -o - calls.clcpp";
    let arguments = [library::language_flags(), library::words(flags)].concat();
    let output = clang.run(folder, &arguments).map_err(for_authors)?;
    let module = String::from_utf8_lossy(&output);
    let calls = call_graph(&module);
    let recursive = calls.keys().filter(|function| reaches(&calls, function, function));
    Ok(recursive.filter_map(|function| described(&module, function)).collect())
}

/// Which functions each function calls, by their symbols.
fn call_graph(module: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut current = None;
    for line in module.lines() {
        if line.starts_with("define ") {
            current = symbol(line);
            calls.entry(current.unwrap_or("")).or_default();
        } else if line.contains("call ") {
            calls.entry(current.unwrap_or("")).or_default().extend(symbol(line));
        }
    }
    calls
}

/// The first `@symbol(` of a line of LLVM's text.
fn symbol(line: &str) -> Option<&str> {
    line.split('@').skip(1).find_map(|rest| rest.split_once('(').map(|(symbol, _)| symbol))
}

fn reaches(calls: &BTreeMap<&str, BTreeSet<&str>>, from: &str, wanted: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = calls.get(from).into_iter().flatten().copied().collect();
    while let Some(function) = open.pop() {
        if function == wanted {
            return true;
        }
        if seen.insert(function) {
            open.extend(calls.get(function).into_iter().flatten());
        }
    }
    false
}

/// The finding for a recursive function: its debug information says where it is written.
fn described(module: &str, function: &str) -> Option<Finding> {
    let definition =
        module.lines().find(|line| line.starts_with("define ") && symbol(line) == Some(function))?;
    let program = metadata(module, definition.split_once("!dbg ")?.1.split(' ').next()?)?;
    let field = |line: &str, name: &str| {
        let value = line.split_once(&format!("{name}: "))?.1;
        Some(value.split([',', ')']).next()?.trim_matches('"').to_owned())
    };
    let file = metadata(module, &field(program, "file")?)?;
    let (name, line) = (field(program, "name")?, field(program, "line")?.parse().ok()?);
    let location = Location { file: field(file, "filename")?, line };
    let message = format!("`{name}` calls itself, directly or through others, which Metal does not allow");
    Some(Finding { location, rule: Rule::Recursion, message })
}

/// The line that defines `!12`.
fn metadata<'a>(module: &'a str, reference: &str) -> Option<&'a str> {
    module.lines().find(|line| line.strip_prefix(reference).is_some_and(|rest| rest.starts_with(" = ")))
}
