//! `tojson` as chat templates know it: Python's `json.dumps`, not Jinja's HTML-safe variant.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// Deeper values than this are refused: Python refuses them too (its recursion limit), and the stack is finite.
const MAX_DEPTH: usize = 200;

/// The keyword arguments of `json.dumps` that Transformers lets templates set.
struct Style {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

impl Style {
    fn from_arguments(indent: Option<Value>, arguments: &Kwargs) -> Result<Style, Error> {
        let indent = match indent.or(arguments.get::<Option<Value>>("indent")?) {
            None => None,
            Some(value) if value.is_none() || value.is_undefined() => None,
            Some(value) => Some(match value.as_str() {
                Some(text) => text.to_owned(),
                None => " ".repeat(usize::try_from(value)?.min(64)),
            }),
        };
        let separators = match arguments.get::<Option<Value>>("separators")? {
            Some(pair) if !pair.is_none() => {
                let pair: Vec<String> = pair.try_iter()?.map(|part| part.to_string()).collect();
                let [item, key] = <[String; 2]>::try_from(pair).map_err(|_| {
                    Error::new(ErrorKind::InvalidOperation, "separators must be a pair of strings")
                })?;
                Some((item, key))
            }
            _ => None,
        };
        let (item_separator, key_separator) = separators
            .unwrap_or_else(|| (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()));
        Ok(Style {
            ensure_ascii: arguments.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
            sort_keys: arguments.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
            indent,
            item_separator,
            key_separator,
        })
    }
}

/// The `tojson` filter.
pub(super) fn tojson(value: &Value, indent: Option<Value>, arguments: Kwargs) -> Result<Value, Error> {
    let style = Style::from_arguments(indent, &arguments)?;
    arguments.assert_all_used()?;
    let mut out = String::new();
    write_value(&mut out, value, &style, 0)?;
    Ok(Value::from(out))
}

fn write_value(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, "a value is nested too deeply for tojson"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(out, value),
        ValueKind::String => write_string(out, value.as_str().unwrap_or_default(), style.ensure_ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_list(out, ('[', ']'), items.len(), style, depth, |out, index| {
                write_value(out, &items[index], style, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            write_list(out, ('{', '}'), keys.len(), style, depth, |out, index| {
                let key = &keys[index];
                match key.as_str() {
                    Some(text) => write_string(out, text, style.ensure_ascii),
                    None => {
                        let mut text = String::new();
                        write_value(&mut text, key, style, depth + 1)?;
                        write_string(out, &text, style.ensure_ascii);
                    }
                }
                out.push_str(&style.key_separator);
                write_value(out, &value.get_item(key)?, style, depth + 1)
            })?;
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("Object of type {kind} is not JSON serializable"),
            ));
        }
    }
    Ok(())
}

fn write_list(
    out: &mut String,
    (open, close): (char, char),
    length: usize,
    style: &Style,
    depth: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(open);
    for index in 0..length {
        if index > 0 {
            out.push_str(&style.item_separator);
        }
        new_line(out, style, depth + 1);
        item(out, index)?;
    }
    if length > 0 {
        new_line(out, style, depth);
    }
    out.push(close);
    Ok(())
}

fn new_line(out: &mut String, style: &Style, depth: usize) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

fn write_number(out: &mut String, value: &Value) {
    if value.is_integer() {
        out.push_str(&value.to_string());
        return;
    }
    match f64::try_from(value.clone()) {
        Ok(number) => out.push_str(&python_float(number)),
        Err(_) => out.push_str(&value.to_string()),
    }
}

/// `repr(float)` in Python: the shortest digits that read back, in scientific notation outside 1e-4 to 1e16.
pub(super) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

fn write_string(out: &mut String, text: &str, ensure_ascii: bool) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter
                if letter < ' '
                    || (ensure_ascii && !letter.is_ascii())
                    || (ensure_ascii && letter == '\u{7f}') =>
            {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_python_prints_them() {
        for (number, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
