//! What clang accepts and Metal's compiler refuses.
//!
//! Lowered text is C++ for OpenCL, which allows more than Metal does: pointers into any memory space, lambdas,
//! recursion. A kernel that uses them would pass every test on the emulator and fail on the first Mac. Rules that a
//! word or a few tokens show are in `words.rs`, those of declarations in `scopes.rs` and `pointers.rs`; `compiler.rs`
//! asks clang about the rest.

mod compiler;
mod pointers;
mod scopes;
mod words;

use crate::clang::Clang;
use crate::lower::preprocess;
use crate::lower::tokens::Tokens;
use crate::{Location, MslError, Source};

/// Something that Metal's compiler refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub location: Location,
    /// Which rule it breaks.
    pub rule: Rule,
    /// What was found and what to write instead, in a sentence.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.location, self.message)
    }
}

/// A rule of Metal that C++ for OpenCL does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A pointer or reference says which memory space it leads to.
    AddressSpace,
    /// `device` memory is not `constant` memory.
    DeviceToConstant,
    /// A member function says in which memory its object may lie.
    MemberSpace,
    /// There are no lambdas.
    Lambda,
    /// Variables outside of functions are `constant`.
    ProgramScope,
    /// Functions have no static variables that change.
    MutableStatic,
    /// Functions have no address.
    FunctionPointer,
    /// A function does not call itself, directly or through others.
    Recursion,
    /// Only Metal's own attributes exist.
    UnknownAttribute,
    /// There is no `double`.
    Double,
    /// There is no `goto`.
    Goto,
    /// There are no exceptions.
    Exception,
    /// There is no dynamic memory.
    DynamicMemory,
    /// There are no virtual functions and no run-time types.
    Virtual,
}

/// Checks a source against all rules. The findings are in the order of files and lines.
///
/// # Errors
///
/// If there is no clang, or the source can't be compiled at all.
pub fn lint(source: &Source) -> Result<Vec<Finding>, MslError> {
    let clang = Clang::find()?;
    let folder = tempfile::tempdir().map_err(MslError::io("cannot create", &std::env::temp_dir()))?;
    let preprocessed = preprocess::run(source, &clang, folder.path())?;
    let mut findings = lint_preprocessed(&preprocessed, &source.name)?;
    // What clang would refuse itself is found already, in Metal's terms.
    if findings.is_empty() {
        findings = compiler::findings(&preprocessed, &source.name, &clang, folder.path())?;
    }
    Ok(findings)
}

/// The rules that need no compiler.
pub(crate) fn lint_preprocessed(text: &str, name: &str) -> Result<Vec<Finding>, MslError> {
    let tokens = Tokens::read(text, name)?;
    let mut findings = words::findings(&tokens)?;
    findings.extend(scopes::findings(&tokens));
    findings.extend(pointers::findings(&tokens));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

impl Tokens {
    fn finding(&self, index: usize, rule: Rule, message: impl Into<String>) -> Finding {
        Finding { location: self.location(index), rule, message: message.into() }
    }
}
