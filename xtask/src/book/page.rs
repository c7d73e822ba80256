//! The pages themselves.

use pulldown_cmark::{Options, Parser, html};

use super::highlight;
use super::segments::Segment;

/// A kernel file.
pub struct Entry {
    /// Its path below `kernels/`.
    pub name: String,
    /// The place of its chapter.
    pub chapter: usize,
    /// Its chapter.
    pub title: &'static str,
    /// Its text.
    pub segments: Vec<Segment>,
}

impl Entry {
    /// The file of its page.
    pub fn page(&self) -> String {
        format!("{}.html", self.name.replace(['/', '.'], "_"))
    }

    /// The first sentence of its header.
    fn summary(&self) -> String {
        let prose = self.segments.first().map_or("", |segment| segment.prose.trim());
        let paragraph = prose.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first).to_owned()
    }
}

const STYLE: &str = include_str!("style.css");

/// A kernel's page: prose on the left, the code it speaks of on the right.
pub fn kernel(entry: &Entry, all: &[Entry]) -> String {
    let mut body = format!("<header><h1>{}</h1><p>{}</p></header>\n", entry.name, entry.title);
    for (index, Segment { prose, code, line }) in entry.segments.iter().enumerate() {
        // The header is long, and the code after it only includes: it has the page's whole width.
        body.push_str(if index == 0 { "<section class=\"lead\">" } else { "<section>" });
        body.push_str("<div class=\"prose\">");
        body.push_str(&markdown(prose));
        body.push_str("</div>");
        if !code.is_empty() {
            let code = highlight::html(code);
            body.push_str(&format!("<pre class=\"code\" data-line=\"{line}\"><code>{code}</code></pre>"));
        }
        body.push_str("</section>\n");
    }
    let place = all.iter().position(|other| other.name == entry.name).unwrap_or(0);
    let link = |other: Option<&Entry>, word: &str| match other {
        Some(other) => format!("<a href=\"{}\">{word}: {}</a>", other.page(), other.name),
        None => String::new(),
    };
    let before = link(place.checked_sub(1).and_then(|place| all.get(place)), "before");
    let after = link(all.get(place + 1), "after");
    body.push_str(&format!("<nav>{before}<a href=\"index.html\">all kernels</a>{after}</nav>\n"));
    document(&entry.name, &body)
}

/// The first page: the introduction, then every kernel by chapter.
pub fn index(introduction: &str, entries: &[Entry]) -> String {
    let mut body = format!("<main class=\"prose\">{}", markdown(introduction));
    let mut chapter = None;
    for entry in entries {
        if chapter != Some(entry.chapter) {
            if chapter.is_some() {
                body.push_str("</ul>\n");
            }
            body.push_str(&format!("<h2>{}</h2>\n<ul>\n", entry.title));
            chapter = Some(entry.chapter);
        }
        let mut summary = String::new();
        highlight::escape(&entry.summary(), &mut summary);
        body.push_str(&format!("<li><a href=\"{}\">{}</a> {summary}</li>\n", entry.page(), entry.name));
    }
    body.push_str("</ul></main>\n");
    document("Wootz: the kernels", &body)
}

fn markdown(text: &str) -> String {
    let mut out = String::new();
    html::push_html(&mut out, Parser::new_ext(text, Options::ENABLE_TABLES));
    out
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}
