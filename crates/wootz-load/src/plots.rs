//! The plots of a load: how latencies are distributed, what each request did, and the tokens over time.

use std::time::Duration;

use crate::html::COLOURS;
use crate::record::{Outcome, Record, per_token};
use crate::report::{LoadReport, ServerLoad};
use crate::statistics::{percentile, sorted};
use crate::svg::Plot;

/// Points of a line: more could not be seen.
const POINTS: usize = 200;
/// Requests of which a timeline shows each.
const ROWS: usize = 400;
/// Spans of time of which the tokens are counted.
const SPANS: usize = 60;

/// A plot.
#[derive(Debug)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// The SVG.
    pub plot: String,
    /// Whether every server has a line of its own colour in it.
    pub of_all_servers: bool,
}

/// Every plot of a load.
pub fn of(load: &LoadReport) -> Vec<Figure> {
    let first_tokens =
        |server: &ServerLoad| records(server).filter_map(Record::time_to_first_token).collect();
    let between = |server: &ServerLoad| records(server).flat_map(Record::gaps).flat_map(per_token).collect();
    let mut plots = Vec::new();
    plots.extend(cumulative(load, "Time to first token", first_tokens));
    plots.extend(cumulative(load, "Inter-token latency", between));
    plots.extend(throughput(load));
    let timelines = load.servers.iter().enumerate();
    plots.extend(timelines.filter_map(|(series, server)| timeline(series, server)));
    plots
}

fn records(server: &ServerLoad) -> impl Iterator<Item = &Record> {
    server.runs.iter().flat_map(|run| &run.records)
}

/// The share of values that are at most so great, for each server.
fn cumulative(load: &LoadReport, title: &str, values: impl Fn(&ServerLoad) -> Vec<f64>) -> Option<Figure> {
    let all: Vec<Vec<f64>> = load.servers.iter().map(|server| sorted(&values(server))).collect();
    // A few outliers would press everything else against the left; they are in the table.
    let greatest = all.iter().map(|values| percentile(values, 0.995)).fold(0.0, f64::max);
    if greatest <= 0.0 {
        return None;
    }
    let mut plot = Plot::new(260.0, greatest * 1e3, 1.0);
    plot.vertical_axis(|share| format!("{:.0}%", 100.0 * share));
    plot.horizontal_axis("ms", short);
    for (series, (server, values)) in load.servers.iter().zip(&all).enumerate() {
        if values.is_empty() {
            continue;
        }
        let points = (0..=POINTS).map(|point| {
            let share = point as f64 / POINTS as f64;
            ((percentile(values, share).min(greatest)) * 1e3, share)
        });
        let median = percentile(values, 0.5) * 1e3;
        plot.line(series % COLOURS, points, &format!("{}: median {median:.2} ms", server.server));
    }
    let description = format!("{title}: share of values up to so many milliseconds");
    Some(Figure {
        title: format!("{title}: share of all"),
        plot: plot.finish(&description),
        of_all_servers: true,
    })
}

/// Tokens a second over the time of the first round.
fn throughput(load: &LoadReport) -> Option<Figure> {
    let runs = || load.servers.iter().map(|server| server.runs.first());
    let longest = runs().flatten().map(|run| run.took).max()?.as_secs_f64();
    if longest <= 0.0 {
        return None;
    }
    let span = longest / SPANS as f64;
    let rates = |run: &crate::drive::Run| {
        let mut tokens = [0_u64; SPANS];
        for arrival in run.records.iter().flat_map(|record| &record.arrivals) {
            let place = (arrival.at.as_secs_f64() / span) as usize;
            tokens[place.min(SPANS - 1)] += u64::from(arrival.tokens);
        }
        tokens.map(|tokens| tokens as f64 / span)
    };
    let all: Vec<Option<[f64; SPANS]>> = runs().map(|run| run.map(rates)).collect();
    let highest = all.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let mut plot = Plot::new(260.0, longest, highest * 1.05);
    plot.vertical_axis(short);
    plot.horizontal_axis("s", short);
    for (series, (server, rates)) in load.servers.iter().zip(&all).enumerate() {
        let Some(rates) = rates else { continue };
        let points = rates.iter().enumerate().map(|(place, &rate)| ((place as f64 + 0.5) * span, rate));
        plot.line(series % COLOURS, points, &server.server);
    }
    Some(Figure {
        title: "Output tokens/s in the first round".into(),
        plot: plot.finish("Output tokens a second over time"),
        of_all_servers: true,
    })
}

/// A row for each request of the first round: pale until its first token, then full.
fn timeline(series: usize, server: &ServerLoad) -> Option<Figure> {
    let run = server.runs.first()?;
    let shown = run.records.len().min(ROWS);
    if shown == 0 {
        return None;
    }
    let longest = run.took.as_secs_f64();
    let height = (shown as f64 * 7.0).clamp(120.0, 520.0) + 50.0;
    let mut plot = Plot::new(height, longest, shown as f64);
    plot.horizontal_axis("s", short);
    for (row, record) in run.records.iter().take(shown).enumerate() {
        // The first request is the uppermost.
        let place = ((shown - 1 - row) as f64 + 0.15, 0.7);
        let seconds = |time: Duration| time.as_secs_f64();
        let (due, ended) = (seconds(record.due), seconds(record.ended));
        let first = record.first().map_or(ended, seconds);
        let colour = series % COLOURS;
        let title = said(record);
        plot.bar(&format!("wait s{colour}"), (due, first), place, &title);
        let class = match record.outcome {
            Outcome::Failed { .. } => "failed".to_string(),
            _ => format!("s{colour}"),
        };
        if record.first().is_some() || class == "failed" {
            plot.bar(&class, (first.min(ended), ended), place, &title);
        }
    }
    let some = if shown < run.records.len() { format!(" (the first {shown})") } else { String::new() };
    let title = format!("Requests of the first round on {}{some}: pale until the first token", server.server);
    let plot = plot.finish("When each request was due, had its first token, and ended");
    Some(Figure { title, plot, of_all_servers: false })
}

fn said(record: &Record) -> String {
    let ms = |seconds: Option<f64>| seconds.map_or_else(|| "none".into(), |s| format!("{:.1} ms", s * 1e3));
    let end = match &record.outcome {
        Outcome::Answered => "answered".to_string(),
        Outcome::Interrupted => "cut off".to_string(),
        Outcome::LetGo => "ended with the long prompt".to_string(),
        Outcome::Failed { kind, message } => format!("{kind}: {message}"),
    };
    format!(
        "request {}: first token {}, {} tokens, end to end {}, {end}",
        record.index + 1,
        ms(record.time_to_first_token()),
        record.output_tokens(),
        ms(record.end_to_end())
    )
}

/// A number on an axis.
fn short(value: f64) -> String {
    let digits = if value >= 10.0 || value == 0.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_string() }
}
