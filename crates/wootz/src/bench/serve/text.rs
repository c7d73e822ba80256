//! A report as tables.

use wootz_load::report::{LoadReport, Report, ServerLoad};
use wootz_load::statistics::Distribution;
use wootz_load::summary::Summary;

use crate::table::{Align, Table};

/// Everything.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    for server in &report.servers {
        text += &format!(
            "{}: {} ({}), model {}\n",
            server.name,
            server.address,
            server.kind.name(),
            server.model
        );
    }
    for load in &report.loads {
        text += &format!("\n{}\n\n{}\n{}", load.name, latencies(load), figures(load));
        for server in &load.servers {
            text += &notes(server);
        }
        if !load.comparisons.is_empty() {
            text += &format!("\n{}", comparisons(load));
        }
    }
    if report.interrupted {
        text += "\nEnded early: these are the requests until then.\n";
    }
    text
}

fn latencies(load: &LoadReport) -> Table {
    let names = ["ms", "server", "mean", "p50", "p95", "p99", "highest"];
    let mut table = Table::new(columns(&names, 2));
    type Latency = (&'static str, fn(&Summary) -> Option<Distribution>);
    let latencies: [Latency; 9] = [
        ("time to first token", |summary| summary.time_to_first_token),
        ("… first of its prefix", |summary| Some(summary.shared_prefix?.first)),
        ("… prefix seen before", |summary| summary.shared_prefix?.later),
        ("inter-token", |summary| summary.inter_token),
        ("… before the long prompt", |summary| summary.beside?.quiet),
        ("… beside the long prompt", |summary| summary.beside?.during),
        ("long prompt's first token", |summary| summary.beside?.time_to_first_token),
        ("time per output token", |summary| summary.per_output_token),
        ("end to end", |summary| summary.end_to_end),
    ];
    for (name, of) in latencies {
        for server in &load.servers {
            if let Some(latency) = of(&server.together) {
                let Distribution { mean, p50, p95, p99, highest, .. } = latency;
                let cells = [mean, p50, p95, p99, highest].map(|seconds| number(seconds * 1e3));
                table.row([name.to_string(), server.server.clone()].into_iter().chain(cells));
            }
        }
    }
    table
}

fn figures(load: &LoadReport) -> Table {
    let names: Vec<&str> =
        std::iter::once("").chain(load.servers.iter().map(|server| server.server.as_str())).collect();
    let mut table = Table::new(columns(&names, 1));
    type Figure = (&'static str, fn(&Summary) -> Option<String>);
    let figures: [Figure; 10] = [
        ("output tokens/s", |summary| Some(number(summary.output_tokens_per_second))),
        ("all tokens/s", |summary| summary.total_tokens_per_second.map(number)),
        ("requests/s", |summary| Some(number(summary.requests_per_second))),
        ("requests answered", |summary| Some(format!("{} of {}", summary.answered, summary.requests))),
        ("prompt tokens", |summary| summary.prompt_tokens.map(|tokens| tokens.to_string())),
        ("output tokens", |summary| Some(summary.output_tokens.to_string())),
        ("goodput, requests/s", |summary| {
            let goodput = summary.goodput?;
            Some(format!("{} ({:.0}%)", number(goodput.requests_per_second), 100.0 * goodput.share))
        }),
        ("queue time, mean ms", |summary| summary.queue_seconds.map(|seconds| number(seconds * 1e3))),
        ("cache hit rate", |summary| summary.cache_hit_rate.map(percent)),
        ("… by its own counters", |summary| summary.cache_hit_rate_of_server.map(percent)),
    ];
    for (name, of) in figures {
        let cells: Vec<Option<String>> = load.servers.iter().map(|server| of(&server.together)).collect();
        // An objective that was not asked for is no figure that a server withholds.
        if name.starts_with("goodput") && cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "not given".into()));
        table.row(std::iter::once(name.to_string()).chain(cells));
    }
    table
}

/// What else has to be said about a server's figures.
fn notes(server: &ServerLoad) -> String {
    let summary = &server.together;
    let mut text = String::new();
    for error in &summary.errors {
        text += &format!("\n{}: {} × {}: {}\n", server.server, error.count, error.kind, error.example);
    }
    if summary.interrupted > 0 {
        text += &format!("\n{}: {} requests were cut off\n", server.server, summary.interrupted);
    }
    if let Some(late) = summary.sent_late.filter(|late| late.p99 > 0.01) {
        let late = number(late.p99 * 1e3);
        text += &format!(
            "\n{}: requests were sent up to {late} ms late (p99), which counts as latency\n",
            server.server
        );
    }
    if let Some(shared) = summary.shared_prefix.and_then(|shared| shared.ratio) {
        text += &format!(
            "\n{}: a prefix seen before saves a factor of {shared:.1} to the first token\n",
            server.server
        );
    }
    if let Some(beside) = summary.beside {
        let ratio =
            |value: Option<f64>| value.map_or_else(|| "not known".into(), |ratio| format!("{ratio:.2}"));
        let (median, p95) = (ratio(beside.ratio_of_p50), ratio(beside.ratio_of_p95));
        text += &format!(
            "\n{}: inter-token latency beside the long prompt over before: median {median}, p95 {p95}\n",
            server.server
        );
    }
    text
}

fn comparisons(load: &LoadReport) -> Table {
    let names = ["medians of rounds", "server", "", "other", "", "ratio", "lowest", "highest"];
    let mut table =
        Table::new(names.iter().enumerate().map(|(index, name)| {
            (*name, if matches!(index, 0 | 1 | 3) { Align::Left } else { Align::Right })
        }));
    for comparison in &load.comparisons {
        let rate = comparison.figure.ends_with("/s");
        let value = |value: f64| if rate { number(value) } else { format!("{} ms", number(value * 1e3)) };
        table.row([
            comparison.figure.to_string(),
            comparison.first.clone(),
            value(comparison.median_of_first),
            comparison.other.clone(),
            value(comparison.median_of_other),
            format!("{:.2}", comparison.ratio),
            format!("{:.2}", comparison.lowest),
            format!("{:.2}", comparison.highest),
        ]);
    }
    table
}

fn columns<'a>(names: &'a [&'a str], left: usize) -> impl Iterator<Item = (&'a str, Align)> {
    let align = move |index| if index < left { Align::Left } else { Align::Right };
    names.iter().enumerate().map(move |(index, name)| (*name, align(index)))
}

/// Three digits, more before the point.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}
