//! Text of several lines: between `"""`, or with a backslash at a line's end.

const QUOTES: &str = "\"\"\"";

/// Whether more lines belong to the text.
pub fn is_open(text: &str) -> bool {
    let quoted = text.trim_start().starts_with(QUOTES) || text.trim_start().starts_with("/system \"\"\"");
    if quoted { text.matches(QUOTES).count() % 2 == 1 } else { ends_open(text) }
}

/// Whether an odd number of backslashes ends it: two are one that is meant.
fn ends_open(text: &str) -> bool {
    text.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1
}

/// The text that is meant: without the quotes, or without the backslashes that joined its lines.
pub fn unwrap(text: &str) -> String {
    let trimmed = text.trim();
    if let Some(inner) = trimmed.strip_prefix(QUOTES) {
        let inner = inner.strip_suffix(QUOTES).unwrap_or(inner);
        return inner.trim_matches('\n').to_string();
    }
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(if ends_open(line) { &line[..line.len() - 1] } else { line });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_join_lines() {
        assert!(is_open("\"\"\"a") && is_open("\"\"\"") && is_open("a\\") && is_open("/system \"\"\"x"));
        assert!(
            !is_open("\"\"\"a\nb\"\"\"")
                && !is_open("a\\\\")
                && !is_open("say \"\"\" aloud")
                && !is_open("a")
        );
        assert_eq!(unwrap("\"\"\"\na\n b\n\"\"\""), "a\n b");
        assert_eq!(unwrap("a\\\nb"), "a\nb");
        assert_eq!(unwrap("plain \\\\ text"), "plain \\\\ text");
    }
}
