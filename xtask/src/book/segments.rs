//! A source text cut into pieces of prose, each with the code that it speaks of.

/// A comment and the code after it.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// The comment as Markdown.
    pub prose: String,
    /// The code.
    pub code: String,
    /// The line of the file on which the code begins, from 1.
    pub line: usize,
}

/// Cuts at every comment that has lines of its own. Comments behind code stay with the code.
pub fn split(text: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut prose: Vec<&str> = Vec::new();
    let mut code: Vec<&str> = Vec::new();
    let mut line = 1;
    for (index, source) in text.lines().enumerate() {
        match source.trim_start().strip_prefix("//") {
            Some(comment) => {
                if !code.is_empty() {
                    push(&mut segments, &mut prose, &mut code, line);
                }
                prose.push(comment);
            }
            None => {
                if code.is_empty() {
                    line = index + 1;
                }
                code.push(source);
            }
        }
    }
    push(&mut segments, &mut prose, &mut code, line);
    segments
}

fn push(segments: &mut Vec<Segment>, prose: &mut Vec<&str>, code: &mut Vec<&str>, line: usize) {
    let blank = |line: &&str| line.trim().is_empty();
    let skipped = code.iter().take_while(|line| blank(line)).count();
    code.drain(..skipped);
    while code.last().is_some_and(blank) {
        code.pop();
    }
    if !(prose.is_empty() && code.is_empty()) {
        segments.push(Segment { prose: markdown(prose), code: code.join("\n"), line: line + skipped });
    }
    prose.clear();
    code.clear();
}

/// A comment's lines as Markdown: those set in by two columns more than the text, after an empty line, are formulas,
/// pictures and tables, which keep their shape. (Without the empty line they go on with an item of a list.)
fn markdown(lines: &[&str]) -> String {
    let mut out = String::new();
    let (mut within, mut after_empty) = (false, true);
    for line in lines {
        let text = line.strip_prefix(' ').unwrap_or(line);
        let empty = text.trim().is_empty();
        // An empty line between two shaped ones belongs to them; Markdown keeps it so by itself.
        if !empty {
            let shaped = text.starts_with("  ") && (within || after_empty);
            if shaped != within {
                out.push('\n');
                within = shaped;
            }
            if shaped {
                out.push_str("    ");
            }
        }
        out.push_str(text);
        out.push('\n');
        after_empty = empty;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_with_the_code_below_them() {
        let text = "// A norm.\n//\n//   y = x\n#include <m>\n\nint a; // here\n// Then:\nint b;\n";
        let segments = split(text);
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0].prose, "\nA norm.\n\n\n      y = x\n".trim_start_matches('\n'));
        assert_eq!(segments[0].code, "#include <m>\n\nint a; // here");
        assert_eq!((segments[0].line, segments[1].line), (4, 8));
        assert_eq!(segments[1].code, "int b;");
    }

    #[test]
    fn an_item_of_a_list_goes_on() {
        let segments = split("// 1. First\n//    and on.\n//\n//      a table\n");
        assert_eq!(segments[0].prose, "1. First\n   and on.\n\n\n         a table\n");
    }

    #[test]
    fn nothing_is_lost() {
        let text = "int a;\n\n// last words\n";
        let segments = split(text);
        assert_eq!(segments.len(), 2);
        assert_eq!((segments[0].prose.as_str(), segments[1].code.as_str()), ("", ""));
    }
}
