//! Swizzles: which of the 672 names like `.xy` and `.wzyx` a source uses.
//!
//! Each swizzle is a member of the prelude's vector types. Declaring them all would cost more compile time than the
//! kernels, so the prelude declares those that it is given here.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::tokens::Tokens;

/// `#define`s with the swizzles of two, three and four components.
pub(crate) fn definitions(tokens: &Tokens) -> String {
    let after_point = |index: usize| matches!(tokens.text_before(index), "." | "->");
    let used: BTreeSet<&str> = (0..tokens.len())
        .filter(|index| tokens.is_word(*index) && after_point(*index))
        .map(|index| tokens.text(index))
        .filter(|name| components(name).is_some())
        .collect();
    let mut text = String::new();
    for length in 2..=4 {
        let _ = write!(text, "#define MSL_SWIZZLES_{length}(X)");
        for name in used.iter().filter(|name| name.len() == length) {
            let components = components(name).unwrap_or_default();
            let highest = components.iter().max().unwrap_or(&0);
            let list: Vec<String> = components.iter().map(usize::to_string).collect();
            let _ = write!(text, " X({name}, {highest}, {})", list.join(", "));
        }
        text.push('\n');
    }
    text
}

/// The component numbers of a swizzle of two to four components.
fn components(name: &str) -> Option<Vec<usize>> {
    if !(2..=4).contains(&name.len()) {
        return None;
    }
    ["xyzw", "rgba"].iter().find_map(|letters| name.chars().map(|letter| letters.find(letter)).collect())
}
