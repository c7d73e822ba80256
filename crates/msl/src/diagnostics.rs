//! clang's messages in Metal's words.

use crate::MslError;

/// What clang calls things, and what Metal does. Longer names come first.
const WORDS: [(&str, &str); 9] = [
    ("const __global_host ", "constant "),
    ("__global_device ", "device "),
    ("const __global ", "constant "),
    ("__global ", "constant "),
    ("__local ", "threadgroup "),
    ("__private ", "thread "),
    ("*__private", "*"),
    ("&__private", "&"),
    ("__bf16", "bfloat"),
];
/// Messages shown at most: those after the first few are mostly their consequences.
const SHOWN: usize = 12;

/// The error, with clang's messages in Metal's words.
pub(crate) fn for_authors(error: MslError) -> MslError {
    match error {
        MslError::Compile(output) => MslError::Compile(in_metal_words(&output)),
        error => error,
    }
}

/// The messages of clang's output, one a line, without those about the text that the lowering adds.
fn in_metal_words(output: &str) -> String {
    let is_message =
        |line: &&str| [": error: ", ": fatal error: ", ": note: "].iter().any(|kind| line.contains(kind));
    let own = |line: &&str| !line.starts_with("msl/") && !line.starts_with("./msl/");
    let messages: Vec<&str> = output.lines().filter(is_message).collect();
    let mut shown: Vec<&str> = messages.iter().copied().filter(own).collect();
    if !shown.iter().any(|line| line.contains("error: ")) {
        shown = messages;
    }
    if shown.is_empty() {
        return output.to_owned();
    }
    let left_out = shown.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> = shown.into_iter().take(SHOWN).map(translated).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more messages"));
    }
    lines.join("\n")
}

fn translated(line: &str) -> String {
    let line = line.strip_prefix("./").unwrap_or(line);
    WORDS.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_spaces_have_metals_names() {
        let clang = "In file included from lowered.clcpp:4:\n./gemv.metal:7:3: error: cannot initialize a variable of \
                     type '__global_device float *__private' with an lvalue of type '__local float *__private'\n";
        let metal = "gemv.metal:7:3: error: cannot initialize a variable of type 'device float *' with an lvalue of \
                     type 'threadgroup float *'";
        assert_eq!(in_metal_words(clang), metal);
    }

    #[test]
    fn only_the_kernels_own_errors_are_shown() {
        let clang =
            "a.metal:1:1: error: no type\nmsl/thunks.h:3:1: error: no signature\n2 errors generated.\n";
        assert_eq!(in_metal_words(clang), "a.metal:1:1: error: no type");
        assert_eq!(in_metal_words("msl/thunks.h:3:1: error: x\n"), "msl/thunks.h:3:1: error: x");
        assert_eq!(in_metal_words("clang: broken"), "clang: broken");
    }
}
