//! What the gates need to know of a Rust file, read from its tokens: text in comments and strings does not count.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A place in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// What stands there: a function's name, a macro's name, `unsafe`.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
}

/// A function and its length.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name and first line.
    pub place: Place,
    /// Lines from its signature to its closing brace that hold code: no blank lines, no whole-line comments.
    pub lines: usize,
}

/// What was found in a Rust file.
#[derive(Debug, Default)]
pub struct RustSource {
    /// Its functions, those inside others too.
    pub functions: Vec<Function>,
    /// Every `unsafe`.
    pub unsafe_code: Vec<Place>,
    /// Every macro that stands for code not written.
    pub unwritten: Vec<Place>,
}

/// Macros that stand for code not written.
const UNWRITTEN: [&str; 2] = ["todo", "unimplemented"];

impl RustSource {
    /// Reads a file's text; the error says where it is not Rust.
    pub fn read(text: &str) -> Result<RustSource, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("not Rust tokens: {error}"))?;
        let mut source = RustSource::default();
        source.walk(tokens, &code_lines(text));
        Ok(source)
    }

    fn walk(&mut self, tokens: TokenStream, is_code: &[bool]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.walk(group.stream(), is_code),
                TokenTree::Ident(word) => {
                    let next = tokens.get(index + 1);
                    let place = || Place { name: word.to_string(), line: word.span().start().line };
                    match word.to_string().as_str() {
                        "unsafe" => self.unsafe_code.push(place()),
                        "fn" => self.functions.extend(function(&tokens[index..], is_code)),
                        name if UNWRITTEN.contains(&name) && is_exclamation(next) => {
                            self.unwritten.push(place());
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// The function whose `fn` comes first in `tokens`, unless it has no name (a pointer type) or no body.
fn function(tokens: &[TokenTree], is_code: &[bool]) -> Option<Function> {
    let [TokenTree::Ident(keyword), TokenTree::Ident(name), rest @ ..] = tokens else { return None };
    let body = rest.iter().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
        TokenTree::Punct(mark) if mark.as_char() == ';' => Some(None),
        _ => None,
    })??;
    let first = keyword.span().start().line;
    let last = last_line(body);
    let lines = is_code.get(first - 1..last).unwrap_or(&[]).iter().filter(|code| **code).count();
    Some(Function { place: Place { name: name.to_string(), line: first }, lines })
}

fn last_line(group: &Group) -> usize {
    group.span_close().end().line
}

fn is_exclamation(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
}

fn code_lines(text: &str) -> Vec<bool> {
    let code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    text.lines().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_do_not_count() {
        let source =
            RustSource::read("// unsafe todo!()\nconst A: &str = \"unsafe { todo!() }\";\n").unwrap();
        assert!(source.unsafe_code.is_empty() && source.unwritten.is_empty());
    }

    #[test]
    fn the_attribute_is_not_the_keyword() {
        let source = RustSource::read("#![forbid(unsafe_code)]\nfn a() { unsafe { b() } }").unwrap();
        assert_eq!(source.unsafe_code, [Place { name: "unsafe".to_owned(), line: 2 }]);
    }

    #[test]
    fn a_function_is_as_long_as_its_code() {
        let text = "impl A {\n  /// Says.\n  fn long(\n    a: u8,\n  ) -> [u8; 2] {\n    // why\n\n    todo!()\n  }\n}\n";
        let source = RustSource::read(text).unwrap();
        let expected = Function { place: Place { name: "long".to_owned(), line: 3 }, lines: 5 };
        assert_eq!(source.functions, [expected]);
        assert_eq!(source.unwritten.len(), 1);
    }

    #[test]
    fn pointers_and_declarations_are_not_functions() {
        let source =
            RustSource::read("type F = fn(u8) -> u8;\ntrait T { fn a(); }\nstruct S { f: fn() }").unwrap();
        assert!(source.functions.is_empty());
    }
}
