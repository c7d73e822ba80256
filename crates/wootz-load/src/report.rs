//! What a session measured, and servers beside each other.

use serde::Serialize;

use crate::drive::Run;
use crate::metrics::ServerFigures;
use crate::server::Kind;
use crate::slo::Objective;
use crate::statistics::median;
use crate::summary::Summary;

/// Everything that a session measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The servers, in the order in which they were named.
    pub servers: Vec<ServerInfo>,
    /// Whether it was ended before all was measured.
    pub interrupted: bool,
    /// The loads.
    pub loads: Vec<LoadReport>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// What it is.
    pub kind: Kind,
    /// The model that was asked.
    pub model: String,
}

/// One load on every server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// What it is.
    pub name: String,
    /// What each server made of it.
    pub servers: Vec<ServerLoad>,
    /// The first server beside each of the others.
    pub comparisons: Vec<Comparison>,
}

/// One load on one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerLoad {
    /// The server's name.
    pub server: String,
    /// All rounds together.
    pub together: Summary,
    /// Each round.
    pub rounds: Vec<Summary>,
    /// What happened in each round.
    #[serde(skip)]
    pub runs: Vec<Run>,
}

/// One figure of two servers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The figure.
    pub figure: &'static str,
    /// The first server's name.
    pub first: String,
    /// The other's.
    pub other: String,
    /// The median of the first server's rounds.
    pub median_of_first: f64,
    /// The median of the other's.
    pub median_of_other: f64,
    /// The first median over the other.
    pub ratio: f64,
    /// The lowest ratio of a round.
    pub lowest: f64,
    /// The highest ratio of a round.
    pub highest: f64,
}

/// A figure of a summary; `None` where there is nothing to say.
type Figure = fn(&Summary) -> Option<f64>;

/// The figures that are compared. More tokens are better; of all others, less is.
const FIGURES: [(&str, Figure); 9] = [
    ("output tokens/s", |summary| Some(summary.output_tokens_per_second)),
    ("time to first token, median", |summary| Some(summary.time_to_first_token?.p50)),
    ("time to first token, p95", |summary| Some(summary.time_to_first_token?.p95)),
    ("inter-token, median", |summary| Some(summary.inter_token?.p50)),
    ("inter-token, p95", |summary| Some(summary.inter_token?.p95)),
    ("inter-token, p99", |summary| Some(summary.inter_token?.p99)),
    ("time per output token, median", |summary| Some(summary.per_output_token?.p50)),
    ("end to end, median", |summary| Some(summary.end_to_end?.p50)),
    ("end to end, p95", |summary| Some(summary.end_to_end?.p95)),
];

impl ServerLoad {
    /// Of the rounds of a server, each with what the server says about it.
    pub fn new(server: String, rounds: Vec<(Run, ServerFigures)>, objective: Option<Objective>) -> Self {
        let summaries =
            rounds.iter().map(|(run, figures)| Summary::of(&[run], *figures, objective)).collect();
        let figures = rounds.iter().map(|(_, figures)| *figures).reduce(ServerFigures::and);
        let runs: Vec<&Run> = rounds.iter().map(|(run, _)| run).collect();
        let together = Summary::of(&runs, figures.unwrap_or_default(), objective);
        Self { server, together, rounds: summaries, runs: rounds.into_iter().map(|(run, _)| run).collect() }
    }
}

/// Compares the first server with each of the others.
pub fn compare(servers: &[ServerLoad]) -> Vec<Comparison> {
    let Some((first, others)) = servers.split_first() else { return Vec::new() };
    let pairs = others.iter().flat_map(|other| FIGURES.map(|figure| (other, figure)));
    pairs.filter_map(|(other, (name, figure))| comparison(name, figure, first, other)).collect()
}

fn comparison(
    name: &'static str,
    figure: Figure,
    first: &ServerLoad,
    other: &ServerLoad,
) -> Option<Comparison> {
    // A round counts if both servers have the figure in it.
    let rounds = first.rounds.iter().zip(&other.rounds);
    let pairs: Vec<(f64, f64)> = rounds.filter_map(|(a, b)| figure(a).zip(figure(b))).collect();
    let pairs: Vec<(f64, f64)> = pairs.into_iter().filter(|pair| pair.1 > 0.0).collect();
    let of = |values: fn(&(f64, f64)) -> f64| pairs.iter().map(values).collect::<Vec<_>>();
    let (median_of_first, median_of_other) = (median(&of(|pair| pair.0))?, median(&of(|pair| pair.1))?);
    let ratios = of(|pair| pair.0 / pair.1);
    Some(Comparison {
        figure: name,
        first: first.server.clone(),
        other: other.server.clone(),
        median_of_first,
        median_of_other,
        ratio: median_of_first / median_of_other,
        lowest: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        highest: ratios.iter().copied().fold(0.0, f64::max),
    })
}
