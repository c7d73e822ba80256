//! `{% generation %}` … `{% endgeneration %}`: marks what the assistant said, for training. It renders as it stands.

use std::borrow::Cow;

/// Replaces the two tags by `{% with %}` and `{% endwith %}`: a scope of its own, as the tag gives in Python, keeping
/// the whitespace marks. Raw blocks and comments are left alone.
pub(super) fn without_generation_tags(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_raw = false;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let (taken, name) = if from.starts_with("{#") && !in_raw {
            (from.find("#}").map_or(from.len(), |end| end + 2), None)
        } else if from.starts_with("{%") {
            let end = from.find("%}").map_or(from.len(), |end| end + 2);
            (end, Some(from[2..end].trim_end_matches("%}").trim_matches(['-', '+', ' ', '\t', '\r', '\n'])))
        } else {
            (1, None)
        };
        let tag = &from[..taken];
        match name {
            Some("endraw") => in_raw = false,
            Some("raw") => in_raw = true,
            _ => {}
        }
        match name {
            Some("generation") if !in_raw => out.push_str(&tag.replacen("generation", "with", 1)),
            Some("endgeneration") if !in_raw => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = &from[taken..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_change() {
        assert_eq!(
            without_generation_tags("{{ generation }}{%- generation -%}a{% endgeneration +%}"),
            "{{ generation }}{%- with -%}a{% endwith +%}"
        );
        for same in [
            "{% raw %}{% generation %}{% endraw %}",
            "{# {% generation %} #}",
            "{% if generation %}{% endif",
            "{",
        ] {
            assert_eq!(without_generation_tags(same), same);
        }
    }
}
