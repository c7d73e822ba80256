//! A report as one page that needs nothing else: tables, and plots as inline SVG. It is XML as well as HTML.

use std::fmt::Write;

use crate::plots;
use crate::report::{LoadReport, Report};
use crate::statistics::Distribution;
use crate::summary::Summary;
use crate::svg::escaped;

/// Colours of the series, told apart by people who see few colours; light and dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ground: #fdfdfc; --text: #1d1f21; --soft: #6b7075; --rule: #e3e4e6;
  --s0: #0f6fc5; --s1: #c8521b; --s2: #16816b; --s3: #9a4c9e; --s4: #8a6d00; --s5: #b3365b; --s6: #4a5bb8; --s7: #5f6a72; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --text: #e6e7e9; --soft: #979da4; --rule: #2c3036;
  --s0: #5fb0f5; --s1: #f2915a; --s2: #4fc7ab; --s3: #d08ad4; --s4: #d3b54a; --s5: #f0799c; --s6: #97a4f5; --s7: #a9b3bb; } }
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 88rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem;
  border-top: 1px solid var(--rule); padding-top: 1.5rem; } h3 { font-size: .95rem; margin: 0 0 .25rem; }
p, caption { color: var(--soft); margin: .25rem 0; text-align: left; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .75rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--rule); text-align: right; font-weight: normal; white-space: nowrap; }
thead th { color: var(--soft); } th:first-child, td:first-child, td.name, th.name { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1.5rem; margin-top: 1rem; }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); stroke-width: 1; } .tick { fill: var(--soft); font: 11px system-ui, sans-serif; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .4em 0 .8em; }
.wait { opacity: .35; } .failed { opacity: 1; }
";

/// Series that have a colour of their own; more begin again.
pub(crate) const COLOURS: usize = 8;

/// The page.
pub fn page(report: &Report) -> String {
    let mut body = String::from("<h1>Load on ");
    let names: Vec<String> = report.servers.iter().map(|server| escaped(&server.name)).collect();
    let _ = write!(body, "{}</h1>", names.join(", "));
    for server in &report.servers {
        let (address, model) = (escaped(&server.address), escaped(&server.model));
        let _ = write!(
            body,
            "<p>{}: {address} ({}), model {model}</p>",
            escaped(&server.name),
            server.kind.name()
        );
    }
    if report.interrupted {
        body.push_str("<p>Ended early: these are the requests until then.</p>");
    }
    body.push_str(
        "<p>Latency counts from when a request was due. Tokens are those that the server counted.</p>",
    );
    for load in &report.loads {
        body.push_str(&section(load));
    }
    let mut colours = String::new();
    for series in 0..COLOURS {
        let _ = writeln!(
            colours,
            ".line.s{series}{{stroke:var(--s{series})}} rect.s{series}{{fill:var(--s{series})}} \
             .key.s{series}{{background:var(--s{series})}}"
        );
    }
    format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>Load on {}</title>\
         <style>{STYLE}{colours}.failed{{fill:#d11a2a}}</style></head>\n<body>{body}</body></html>\n",
        names.join(", ")
    )
}

fn section(load: &LoadReport) -> String {
    let mut text = format!("\n<section><h2>{}</h2>", escaped(&load.name));
    text.push_str(&latencies(load));
    text.push_str(&figures(load));
    text.push_str(&comparisons(load));
    text.push_str("<div class=\"plots\">");
    let keys = load.servers.iter().enumerate().fold(String::new(), |mut keys, (series, server)| {
        let (colour, name) = (series % COLOURS, escaped(&server.server));
        let _ = write!(keys, "<span class=\"key s{colour}\"></span>{name}");
        keys
    });
    for figure in plots::of(load) {
        let keys = if figure.of_all_servers { keys.as_str() } else { "" };
        let _ = write!(text, "<figure><h3>{}{keys}</h3>{}</figure>", escaped(&figure.title), figure.plot);
    }
    text.push_str("</div></section>");
    text
}

/// A table of rows; the first two cells of each are names.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().enumerate().fold(String::new(), |mut text, (index, cell)| {
            let class = if index < 2 { " class=\"name\"" } else { "" };
            let _ = write!(text, "<{tag}{class}>{}</{tag}>", escaped(cell));
            text
        })
    };
    let head: Vec<String> = head.iter().map(|name| name.to_string()).collect();
    let rows = rows.iter().map(|row| format!("<tr>{}</tr>", cells("td", row))).collect::<String>();
    format!(
        "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>{rows}</tbody></table></div>",
        cells("th", &head)
    )
}

fn latencies(load: &LoadReport) -> String {
    type Latency = (&'static str, fn(&Summary) -> Option<Distribution>);
    let latencies: [Latency; 4] = [
        ("time to first token", |summary| summary.time_to_first_token),
        ("inter-token latency", |summary| summary.inter_token),
        ("time per output token", |summary| summary.per_output_token),
        ("end to end", |summary| summary.end_to_end),
    ];
    let rows = latencies.iter().flat_map(|(name, of)| {
        load.servers.iter().filter_map(move |server| {
            let Distribution { mean, p50, p95, p99, lowest, highest, count } = of(&server.together)?;
            let times = [mean, p50, p95, p99, lowest, highest].map(milliseconds);
            let names = [name.to_string(), server.server.clone()];
            Some(names.into_iter().chain(times).chain([count.to_string()]).collect::<Vec<_>>())
        })
    });
    let head = ["ms", "server", "mean", "p50", "p95", "p99", "lowest", "highest", "values"];
    table(&head, &rows.collect::<Vec<_>>())
}

fn figures(load: &LoadReport) -> String {
    let rows = load.servers.iter().map(|server| {
        let Summary { requests, answered, output_tokens, .. } = server.together;
        let summary = &server.together;
        let share =
            |share: Option<f64>| share.map_or_else(not_given, |share| format!("{:.1}%", 100.0 * share));
        let rate = |rate: f64| format!("{rate:.2}");
        vec![
            format!("{} round{}", server.rounds.len(), if server.rounds.len() == 1 { "" } else { "s" }),
            server.server.clone(),
            rate(summary.output_tokens_per_second),
            summary.total_tokens_per_second.map_or_else(not_given, rate),
            rate(summary.requests_per_second),
            format!("{answered} of {requests}"),
            summary.prompt_tokens.map_or_else(not_given, |tokens| tokens.to_string()),
            output_tokens.to_string(),
            share(summary.goodput.map(|goodput| goodput.share)),
            summary.queue_seconds.map_or_else(not_given, milliseconds),
            share(summary.cache_hit_rate),
        ]
    });
    let head = [
        "",
        "server",
        "output tokens/s",
        "all tokens/s",
        "requests/s",
        "answered",
        "prompt tokens",
        "output tokens",
        "within the objective",
        "queue, mean ms",
        "cache hits",
    ];
    table(&head, &rows.collect::<Vec<_>>())
}

fn comparisons(load: &LoadReport) -> String {
    let rows = load.comparisons.iter().map(|comparison| {
        let rate = comparison.figure.ends_with("/s");
        let value = |value: f64| if rate { format!("{value:.2}") } else { milliseconds(value) };
        let ratio = |ratio: f64| format!("{ratio:.2}");
        vec![
            comparison.figure.to_string(),
            format!("{} / {}", comparison.first, comparison.other),
            value(comparison.median_of_first),
            value(comparison.median_of_other),
            ratio(comparison.ratio),
            ratio(comparison.lowest),
            ratio(comparison.highest),
        ]
    });
    let head = ["medians of rounds, ms", "servers", "first", "other", "ratio", "lowest", "highest"];
    table(&head, &rows.collect::<Vec<_>>())
}

fn not_given() -> String {
    "not given".into()
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}
