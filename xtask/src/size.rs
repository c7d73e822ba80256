//! The size gate, the addresses of unsafe code, and words that must not be committed.

use std::path::Path;

use crate::failure::Failure;
use crate::repository::Repository;
use crate::rust_source::RustSource;

/// Lines a source file may have.
const FILE_LINES: usize = 400;
/// Lines a GPU kernel may have.
const KERNEL_LINES: usize = 250;
/// Lines of code from which a function is pointed out.
const FUNCTION_LINES_GOOD: usize = 60;
/// Lines of code that a function may have.
const FUNCTION_LINES: usize = 80;
/// A line with this text, among a file's first 20, says that the file is a table: it may be of any length.
const TABLE_MARK: &str = "size gate: a table";
/// The only places with unsafe code: vector instructions, the memory map, and the devices.
const UNSAFE_PATHS: [&str; 6] = [
    "crates/wootz-backend/src/cpu/simd",
    "crates/wootz-weights/src/mapped.rs",
    "crates/msl/src/emulator",
    "crates/wootz-gpu/src/cuda",
    "crates/wootz-gpu/src/metal",
    "crates/wootz-gpu/src/emulator",
];
/// Text that belongs to somebody's machine or to an unfinished change.
const FORBIDDEN: [&str; 5] = ["TODO", "FIXME", "XXX:", "/work/", "../shared/prototypes"];
/// The one file that has to spell the forbidden words out.
const SPELLS_THEM_OUT: &str = "xtask/src/size.rs";
const TEXT_EXTENSIONS: [&str; 11] =
    ["rs", "metal", "h", "py", "sh", "toml", "md", "yml", "yaml", "svg", "json"];

/// A rule that a file breaks, or comes close to breaking.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Must be mended.
    Broken(String),
    /// Worth a look.
    Close(String),
}

/// Checks every file of the repository.
pub fn run(repository: &Repository) -> Result<(), Failure> {
    let mut broken = 0;
    for file in repository.files()? {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if !TEXT_EXTENSIONS.contains(&extension) {
            continue;
        }
        for finding in findings(&file, &repository.read(&file)?) {
            match finding {
                Finding::Broken(text) => {
                    broken += 1;
                    eprintln!("{text}");
                }
                Finding::Close(text) => eprintln!("{text} (allowed)"),
            }
        }
    }
    if broken == 0 { Ok(()) } else { Err(Failure::Gate { gate: "lines", findings: broken }) }
}

fn findings(file: &Path, text: &str) -> Vec<Finding> {
    let name = file.to_string_lossy().replace('\\', "/");
    let mut findings = forbidden_words(&name, text);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => {
            findings.extend(too_long(&name, text, FILE_LINES));
            findings.extend(rust_findings(&name, text));
        }
        Some("metal" | "h") => findings.extend(too_long(&name, text, KERNEL_LINES)),
        Some("py" | "sh") => findings.extend(too_long(&name, text, FILE_LINES)),
        _ => {}
    }
    findings
}

fn forbidden_words(name: &str, text: &str) -> Vec<Finding> {
    // Data that others wrote may say anything.
    if name == SPELLS_THEM_OUT || name.contains("/fixtures/") && !name.ends_with(".py") {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    let hits = lines.flat_map(|(index, line)| {
        let words = FORBIDDEN.iter().filter(move |word| line.contains(**word));
        words
            .map(move |word| Finding::Broken(format!("{name}:{}: `{word}` must not be committed", index + 1)))
    });
    hits.collect()
}

fn is_table(text: &str) -> bool {
    text.lines().take(20).any(|line| line.contains(TABLE_MARK))
}

fn too_long(name: &str, text: &str, limit: usize) -> Option<Finding> {
    let lines = text.lines().count();
    let long = lines > limit && !is_table(text);
    long.then(|| {
        Finding::Broken(format!(
            "{name}: {lines} lines, {limit} allowed: split it by idea, or mark a table with `{TABLE_MARK}`"
        ))
    })
}

fn rust_findings(name: &str, text: &str) -> Vec<Finding> {
    let source = match RustSource::read(text) {
        Ok(source) => source,
        Err(reason) => return vec![Finding::Broken(format!("{name}: {reason}"))],
    };
    let mut findings = Vec::new();
    if !UNSAFE_PATHS.iter().any(|allowed| name.starts_with(allowed)) {
        let places = source.unsafe_code.iter();
        findings.extend(places.map(|place| {
            Finding::Broken(format!("{name}:{}: unsafe code outside {}", place.line, UNSAFE_PATHS.join(", ")))
        }));
    }
    findings.extend(source.unwritten.iter().map(|place| {
        Finding::Broken(format!("{name}:{}: `{}!` stands for code not written", place.line, place.name))
    }));
    let table = is_table(text);
    for function in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES_GOOD) {
        let (place, lines) = (&function.place, function.lines);
        let said = format!("{name}:{}: `{}` has {lines} lines of code", place.line, place.name);
        findings.push(if lines > FUNCTION_LINES && !table {
            Finding::Broken(format!("{said}, {FUNCTION_LINES} allowed"))
        } else {
            Finding::Close(said)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, text: &str) -> usize {
        let findings = findings(Path::new(name), text);
        findings.iter().filter(|finding| matches!(finding, Finding::Broken(_))).count()
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_a_table() {
        let rows = "const A: u8 = 1;\n".repeat(FILE_LINES + 1);
        assert_eq!(broken("crates/a/src/b.rs", &rows), 1);
        assert_eq!(broken("crates/a/src/b.rs", &format!("//! {TABLE_MARK}\n{rows}")), 0);
        assert_eq!(broken("kernels/a.metal", &"int a;\n".repeat(KERNEL_LINES + 1)), 1);
    }

    #[test]
    fn unsafe_code_has_few_addresses() {
        let code = "fn a() { unsafe { b() } }";
        assert_eq!(broken("crates/wootz-engine/src/a.rs", code), 1);
        assert_eq!(broken("crates/wootz-backend/src/cpu/simd/avx2.rs", code), 0);
    }

    #[test]
    fn long_functions_are_pointed_out_and_then_refused() {
        let function = |lines: usize| format!("fn a() {{\n{}}}\n", "b();\n".repeat(lines - 2));
        assert_eq!(findings(Path::new("a.rs"), &function(FUNCTION_LINES_GOOD)), []);
        assert_eq!(broken("a.rs", &function(FUNCTION_LINES)), 0);
        assert_eq!(broken("a.rs", &function(FUNCTION_LINES + 1)), 1);
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(broken("a.rs", "fn a() { todo!() }"), 1);
        assert_eq!(broken("docs/a.md", "TODO: write this"), 1);
    }
}
