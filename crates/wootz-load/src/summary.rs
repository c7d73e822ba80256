//! What the records of a load say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::drive::Run;
use crate::metrics::ServerFigures;
use crate::record::{ErrorKind, Gap, Outcome, Part, Record, per_token};
use crate::slo::Objective;
use crate::statistics::Distribution;

/// One run, or several that are taken together. Seconds everywhere; `None` means that there is nothing to say, or that
/// the server did not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Requests that were sent, without the one beside them.
    pub requests: usize,
    /// Those that were answered to the end.
    pub answered: usize,
    /// Those that were cut off when the run was ended early.
    pub interrupted: usize,
    /// Those that were ended when the long prompt beside them had been answered.
    pub let_go: usize,
    /// Those that failed, by kind.
    pub errors: Vec<ErrorCount>,
    /// From the start to the last answer; of several runs, added up.
    pub seconds: f64,
    /// Tokens of prompts, as the server counted them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Tokens of answers a second.
    pub output_tokens_per_second: f64,
    /// Tokens of prompts and answers a second.
    pub total_tokens_per_second: Option<f64>,
    /// Answered requests a second.
    pub requests_per_second: f64,
    /// From when a request was due to its first token.
    pub time_to_first_token: Option<Distribution>,
    /// Between tokens; tokens that came together share the time since those before.
    pub inter_token: Option<Distribution>,
    /// Between moments at which tokens came: what a reader waits.
    pub pause: Option<Distribution>,
    /// Time per output token after the first, one value a request.
    pub per_output_token: Option<Distribution>,
    /// From when a request was due to its end.
    pub end_to_end: Option<Distribution>,
    /// How late the generator sent requests.
    pub sent_late: Option<Distribution>,
    /// Requests served within the objective; `None` without one.
    pub goodput: Option<Goodput>,
    /// Mean time that a request waited in the server's queue, as the server tells.
    pub queue_seconds: Option<f64>,
    /// The share of the prompts' tokens that the server did not compute again, from the usage of each request.
    pub cache_hit_rate: Option<f64>,
    /// The same, from the server's own counters.
    pub cache_hit_rate_of_server: Option<f64>,
    /// Where prefixes are shared: time to the first token with and without the prefix computed before.
    pub shared_prefix: Option<SharedPrefix>,
    /// Where a long prompt came beside the streams.
    pub beside: Option<Beside>,
}

/// Requests that failed in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// In what way.
    pub kind: String,
    /// How many.
    pub count: usize,
    /// What was said about the first of them.
    pub example: String,
}

/// Requests within an objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goodput {
    /// The objective.
    pub objective: Objective,
    /// Of all requests that failed or were answered to the end, the share that kept it.
    pub share: f64,
    /// Requests a second that kept it.
    pub requests_per_second: f64,
}

/// Time to the first token where prefixes are shared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SharedPrefix {
    /// Of the first request of each group.
    pub first: Distribution,
    /// Of the later ones.
    pub later: Option<Distribution>,
    /// The median of the first over the median of the later.
    pub ratio: Option<f64>,
}

/// Streams before and while a long prompt is processed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beside {
    /// Tokens of the long prompts, as the server counted them.
    pub prompt_tokens: Option<u64>,
    /// Time to their first token.
    pub time_to_first_token: Option<Distribution>,
    /// Inter-token latency of the streams while all of them flowed and the prompt had not come yet.
    pub quiet: Option<Distribution>,
    /// Inter-token latency of the streams while the prompt was processed.
    pub during: Option<Distribution>,
    /// The 95th percentile while the prompt was processed, over the quiet one.
    pub ratio_of_p95: Option<f64>,
    /// The median while the prompt was processed, over the quiet one.
    pub ratio_of_p50: Option<f64>,
}

impl Summary {
    /// Of some runs of the same load.
    pub fn of(runs: &[&Run], figures: ServerFigures, objective: Option<Objective>) -> Self {
        let plain = || runs.iter().flat_map(|run| plain(run));
        let seconds: f64 = runs.iter().map(|run| run.took.as_secs_f64()).sum();
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let all = || runs.iter().flat_map(|run| &run.records);
        let output_tokens: u64 = all().map(output_that_came).sum();
        let prompt_tokens: Option<u64> =
            all().filter(|record| record.succeeded()).map(|r| r.usage.prompt).sum();
        let prompt_tokens = prompt_tokens.filter(|&tokens| tokens > 0);
        let answered = plain().filter(|record| record.succeeded()).count();
        let interrupted = plain().filter(|record| record.outcome == Outcome::Interrupted).count();
        let let_go = plain().filter(|record| record.outcome == Outcome::LetGo).count();
        let values = |of: fn(&Record) -> Option<f64>| distribution(plain().filter_map(of));
        let gaps = || plain().flat_map(Record::gaps);
        Self {
            requests: plain().count(),
            answered,
            interrupted,
            let_go,
            errors: errors(all()),
            seconds,
            prompt_tokens,
            output_tokens,
            output_tokens_per_second: rate(output_tokens as f64),
            total_tokens_per_second: prompt_tokens.map(|prompt| rate((prompt + output_tokens) as f64)),
            requests_per_second: rate(answered as f64),
            time_to_first_token: values(Record::time_to_first_token),
            inter_token: distribution(gaps().flat_map(per_token)),
            pause: distribution(gaps().map(|gap| (gap.to - gap.from).as_secs_f64())),
            per_output_token: values(Record::time_per_output_token),
            end_to_end: values(Record::end_to_end),
            sent_late: values(|record| Some((record.sent - record.due).as_secs_f64())),
            goodput: objective.and_then(|objective| goodput(plain(), objective, seconds)),
            queue_seconds: figures.mean_queue_seconds(),
            cache_hit_rate: cache_hit_rate(all()),
            cache_hit_rate_of_server: figures.hit_rate(),
            shared_prefix: shared_prefix(plain()),
            beside: Beside::of(runs),
        }
    }

    /// How many requests failed.
    pub fn failed(&self) -> usize {
        self.errors.iter().map(|error| error.count).sum()
    }
}

fn distribution(values: impl Iterator<Item = f64>) -> Option<Distribution> {
    Distribution::of(&values.collect::<Vec<_>>())
}

/// The records of a run without that of the long prompt.
fn plain(run: &Run) -> impl Iterator<Item = &Record> {
    run.records.iter().filter(|record| record.part != Part::Beside)
}

/// Tokens of an answer that came: one that failed midway has no total of the server's.
fn output_that_came(record: &Record) -> u64 {
    match record.succeeded() {
        true => record.output_tokens(),
        false => record.arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum(),
    }
}

fn errors<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<ErrorCount> {
    let mut counts: BTreeMap<ErrorKind, (usize, &str)> = BTreeMap::new();
    for record in records {
        if let Outcome::Failed { kind, message } = &record.outcome {
            counts.entry(*kind).or_insert((0, message)).0 += 1;
        }
    }
    let count = |(kind, (count, example)): (ErrorKind, (usize, &str))| ErrorCount {
        kind: kind.to_string(),
        count,
        example: example.to_string(),
    };
    counts.into_iter().map(count).collect()
}

fn goodput<'a>(
    records: impl Iterator<Item = &'a Record>,
    objective: Objective,
    seconds: f64,
) -> Option<Goodput> {
    let is_judged = |record: &&Record| !matches!(record.outcome, Outcome::Interrupted | Outcome::LetGo);
    let judged: Vec<&Record> = records.filter(is_judged).collect();
    let kept = judged.iter().filter(|record| objective.is_kept_by(record)).count() as f64;
    (!judged.is_empty() && seconds > 0.0).then(|| Goodput {
        objective,
        share: kept / judged.len() as f64,
        requests_per_second: kept / seconds,
    })
}

/// Over the requests whose usage says how much was cached.
fn cache_hit_rate<'a>(records: impl Iterator<Item = &'a Record>) -> Option<f64> {
    let told = records.filter_map(|record| record.usage.cached.zip(record.usage.prompt));
    let (cached, prompt) = told.fold((0, 0), |sum, told| (sum.0 + told.0, sum.1 + told.1));
    (prompt > 0).then(|| cached as f64 / prompt as f64)
}

fn shared_prefix<'a>(records: impl Iterator<Item = &'a Record>) -> Option<SharedPrefix> {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for record in records {
        match record.part {
            Part::FirstOfGroup(_) => first.extend(record.time_to_first_token()),
            Part::LaterOfGroup(_) => later.extend(record.time_to_first_token()),
            Part::Plain | Part::Beside => {}
        }
    }
    let (first, later) = (Distribution::of(&first)?, Distribution::of(&later));
    Some(SharedPrefix { first, later, ratio: later.map(|later| first.p50 / later.p50) })
}

impl Beside {
    fn of(runs: &[&Run]) -> Option<Self> {
        let (mut quiet, mut during, mut first) = (Vec::new(), Vec::new(), Vec::new());
        let mut tokens = Vec::new();
        for run in runs {
            let Some(long) = run.records.iter().find(|record| record.part == Part::Beside) else { continue };
            first.extend(long.time_to_first_token());
            tokens.push(long.usage.prompt);
            let processed = long.sent..long.first().unwrap_or(long.ended);
            let before = quiet_time(run, long.sent);
            for gap in plain(run).flat_map(Record::gaps) {
                if before.as_ref().is_some_and(|before| before.start <= gap.from && gap.to <= before.end) {
                    quiet.extend(per_token(gap));
                } else if overlaps(gap, &processed) {
                    during.extend(per_token(gap));
                }
            }
        }
        if tokens.is_empty() {
            return None;
        }
        let (quiet, during) = (Distribution::of(&quiet), Distribution::of(&during));
        let ratio = |of: fn(&Distribution) -> f64| Some(of(&during?) / of(&quiet?));
        Some(Self {
            prompt_tokens: tokens.iter().copied().sum(),
            time_to_first_token: Distribution::of(&first),
            ratio_of_p95: ratio(|distribution| distribution.p95),
            ratio_of_p50: ratio(|distribution| distribution.p50),
            quiet,
            during,
        })
    }
}

fn overlaps(gap: Gap, time: &std::ops::Range<Duration>) -> bool {
    gap.from < time.end && gap.to > time.start
}

/// From the latest first token of the streams that ran when the prompt came, until then.
fn quiet_time(run: &Run, until: Duration) -> Option<std::ops::Range<Duration>> {
    let running = plain(run).filter(|record| record.sent < until && record.ended >= until);
    let begun = running.filter_map(Record::first).max()?;
    (begun < until).then_some(begun..until)
}
