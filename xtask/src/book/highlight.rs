//! Metal code with its words in colour.

/// Words that say what something is.
const TYPES: [&str; 22] = [
    "void", "bool", "char", "uchar", "short", "ushort", "int", "uint", "long", "ulong", "half", "bfloat",
    "float", "float2", "float4", "half2", "half4", "uchar4", "ushort4", "uint2", "uint4", "auto",
];
/// Words of the language.
const KEYWORDS: [&str; 27] = [
    "kernel",
    "device",
    "constant",
    "thread",
    "threadgroup",
    "const",
    "constexpr",
    "static",
    "inline",
    "struct",
    "template",
    "typename",
    "using",
    "namespace",
    "return",
    "if",
    "else",
    "for",
    "while",
    "do",
    "break",
    "continue",
    "switch",
    "case",
    "default",
    "true",
    "false",
];

/// The code as HTML: every word that has a class in a `span` of it.
pub fn html(code: &str) -> String {
    let mut out = String::with_capacity(2 * code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let (length, class) = token(rest, first);
        let (text, after) = rest.split_at(length);
        match class {
            None => escape(text, &mut out),
            Some(class) => {
                out.push_str(&format!("<span class=\"{class}\">"));
                escape(text, &mut out);
                out.push_str("</span>");
            }
        }
        rest = after;
    }
    out
}

/// The length of the token that the text begins with, and its class.
fn token(text: &str, first: char) -> (usize, Option<&'static str>) {
    let run = |accept: fn(char) -> bool| text.find(|c| !accept(c)).unwrap_or(text.len());
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), Some("comment"));
    }
    if text.starts_with("[[") {
        return (text.find("]]").map_or(2, |end| end + 2), Some("attribute"));
    }
    if first == '"' {
        return (text[1..].find('"').map_or(1, |end| end + 2), Some("text"));
    }
    if first == '#' {
        return (run(|c| c.is_alphanumeric() || c == '#'), Some("keyword"));
    }
    if first.is_ascii_digit() {
        return (run(|c| c.is_alphanumeric() || c == '.'), Some("number"));
    }
    if first.is_alphabetic() || first == '_' {
        let length = run(|c| c.is_alphanumeric() || c == '_');
        let word = &text[..length];
        let class = if TYPES.contains(&word) {
            Some("type")
        } else if KEYWORDS.contains(&word) {
            Some("keyword")
        } else if word.starts_with("simd") || word.ends_with("_barrier") {
            Some("collective")
        } else {
            None
        };
        return (length, class);
    }
    (first.len_utf8(), None)
}

/// Text with what HTML reads as markup written out.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_coloured_and_markup_is_escaped() {
        let code = "threadgroup float a[2]; // <b>";
        let expected = "<span class=\"keyword\">threadgroup</span> <span class=\"type\">float</span> a[\
                        <span class=\"number\">2</span>]; <span class=\"comment\">// &lt;b&gt;</span>";
        assert_eq!(html(code), expected);
    }

    #[test]
    fn unfinished_code_ends() {
        for code in ["[[", "\"", "//", "#", "é[[ü\"", "1e", "_"] {
            assert!(!html(code).is_empty());
        }
    }
}
