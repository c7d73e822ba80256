//! Literals: Metal has no `double`, so a literal without a suffix is a `float`.
//!
//! `1.5` becomes `1.5f`, and `1.5bf`, which clang does not know, `((bfloat)1.5f)`. `1.5h` means the same to both.

use super::tokens::{Edits, Kind, Tokens};

pub(crate) fn edits(tokens: &Tokens) -> Edits {
    let mut edits = Edits::default();
    for index in (0..tokens.len()).filter(|index| tokens.kind(*index) == Some(Kind::Number)) {
        let number = tokens.text(index);
        if let Some(value) = without_suffix(number, &["bf", "BF"]) {
            edits.replace(index..index + 1, format!("((bfloat){value}f)"));
        } else if is_fraction(number) {
            edits.replace(index..index + 1, format!("{number}f"));
        }
    }
    edits
}

fn without_suffix<'a>(number: &'a str, suffixes: &[&str]) -> Option<&'a str> {
    let hexadecimal = number.starts_with("0x") || number.starts_with("0X");
    let value = suffixes.iter().find_map(|suffix| number.strip_suffix(suffix))?;
    (!hexadecimal && is_fraction(value)).then_some(value)
}

/// Whether this is a decimal fraction without a suffix: `1.0`, `.5`, `1e-5`.
fn is_fraction(number: &str) -> bool {
    let plain = number.chars().all(|letter| letter.is_ascii_digit() || ".eE+-".contains(letter));
    plain && number.contains(['.', 'e', 'E'])
}
