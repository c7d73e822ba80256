//! JSON, one character after the other.

/// Appends a character of a string's value, escaped where JSON needs it.
pub(crate) fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
        other => out.push(other),
    }
}

/// A string as a JSON value.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|character| push_escaped(&mut out, character));
    out.push('"');
    out
}

/// What a character was to a [`StringDecoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringPart {
    /// Part of an escape.
    Nothing,
    /// A character of the value.
    Character(char),
    /// The closing quote.
    End,
}

/// Decodes the inside of a JSON string, from after the opening quote.
#[derive(Debug, Clone, Default)]
pub(crate) struct StringDecoder {
    escape: Escape,
    /// The first half of a surrogate pair.
    high: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Escape {
    #[default]
    None,
    Backslash,
    Unicode {
        digits: u8,
        value: u32,
    },
}

impl StringDecoder {
    pub(crate) fn push(&mut self, character: char) -> StringPart {
        match self.escape {
            Escape::None => match character {
                '"' => StringPart::End,
                '\\' => {
                    self.escape = Escape::Backslash;
                    StringPart::Nothing
                }
                other => StringPart::Character(other),
            },
            Escape::Backslash => {
                self.escape = Escape::None;
                StringPart::Character(match character {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        self.escape = Escape::Unicode { digits: 0, value: 0 };
                        return StringPart::Nothing;
                    }
                    other => other,
                })
            }
            Escape::Unicode { digits, value } => {
                let Some(digit) = character.to_digit(16) else {
                    self.escape = Escape::None;
                    return if character == '"' {
                        StringPart::End
                    } else {
                        StringPart::Character(char::REPLACEMENT_CHARACTER)
                    };
                };
                let value = value * 16 + digit;
                if digits < 3 {
                    self.escape = Escape::Unicode { digits: digits + 1, value };
                    return StringPart::Nothing;
                }
                self.escape = Escape::None;
                self.code_unit(value)
            }
        }
    }

    fn code_unit(&mut self, unit: u32) -> StringPart {
        match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                StringPart::Nothing
            }
            (Some(high), 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
                StringPart::Character(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            (_, unit) => StringPart::Character(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
}

/// Where a character stands in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValuePart {
    /// In the value.
    Inside,
    /// The last of the value.
    Last,
    /// After the value: a bare word ends where something else begins.
    After,
}

/// Finds the end of a JSON value. It counts brackets and knows strings, it does not check.
#[derive(Debug, Clone, Default)]
pub(crate) struct ValueScanner {
    depth: usize,
    string: bool,
    escaped: bool,
    begun: bool,
}

impl ValueScanner {
    /// Takes a character; whitespace before the value must not be given.
    pub(crate) fn push(&mut self, character: char) -> ValuePart {
        let first = !std::mem::replace(&mut self.begun, true);
        if self.string {
            match character {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => {
                    self.string = false;
                    return self.after_part();
                }
                _ => {}
            }
            return ValuePart::Inside;
        }
        match character {
            '"' => self.string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' if self.depth > 0 => {
                self.depth -= 1;
                return self.after_part();
            }
            '}' | ']' | ',' | ':' if self.depth == 0 => return ValuePart::After,
            other if self.depth == 0 && !first && other.is_whitespace() => return ValuePart::After,
            _ => {}
        }
        ValuePart::Inside
    }

    fn after_part(&self) -> ValuePart {
        if self.depth == 0 { ValuePart::Last } else { ValuePart::Inside }
    }

    /// Whether the next character is inside a string.
    pub(crate) fn in_string(&self) -> bool {
        self.string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded_as_serde_does() {
        for text in [r#""a\n\"\\\/\u00e9\ud83d\ude00z""#, r#""""#, r#""plain é""#] {
            let mut decoder = StringDecoder::default();
            let mut out = String::new();
            for character in text[1..].chars() {
                if let StringPart::Character(decoded) = decoder.push(character) {
                    out.push(decoded);
                }
            }
            assert_eq!(out, serde_json::from_str::<String>(text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&quoted(&out)).unwrap(), out);
        }
    }

    #[test]
    fn values_end_where_they_end() {
        let length = |text: &str| {
            let mut scanner = ValueScanner::default();
            for (at, character) in text.char_indices() {
                match scanner.push(character) {
                    ValuePart::Inside => {}
                    ValuePart::Last => return Some(at + character.len_utf8()),
                    ValuePart::After => return Some(at),
                }
            }
            None
        };
        assert_eq!(length(r#"{"a":"}\"","b":[{}]} x"#), Some(20));
        assert_eq!(length("12.5,"), Some(4));
        assert_eq!(length(r#""x" "#), Some(3));
        assert_eq!(length("true}"), Some(4));
        assert_eq!(length("[1, 2"), None);
        assert_eq!(length("}"), Some(0));
    }
}
