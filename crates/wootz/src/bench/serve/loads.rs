//! Which loads the arguments of `wootz bench serve` mean.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use wootz_load::LoadError;
use wootz_load::plan::{Arrivals, Prompts, ScaledTrace, TraceScale, Workload};
use wootz_load::session::Load;
use wootz_load::{prompts, trace};

/// How requests arrive, and what they ask.
#[derive(Debug, Args)]
pub struct LoadArguments {
    /// Numbers of streams: in each, the next request is sent when one has ended [default: 1]
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', conflicts_with_all = ["rate", "at_once"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    streams: Vec<u32>,
    /// Requests a second, at random times (Poisson), whatever the server does
    #[arg(long, value_name = "R,…", value_delimiter = ',', conflicts_with = "at_once", value_parser = positive)]
    rate: Vec<f64>,
    /// All requests at the start
    #[arg(long)]
    at_once: bool,
    /// Lengths and, if nothing else is said, times out of a trace: Azure's CSV or Mooncake's JSON lines
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompts", "shared_prefix", "prompt_tokens", "output_tokens"])]
    trace: Option<PathBuf>,
    /// Multiply the trace's times by this: 0.1 is ten times as fast
    #[arg(long, value_name = "F", default_value = "1", requires = "trace", conflicts_with_all = ["streams", "rate", "at_once"], value_parser = positive)]
    trace_time: f64,
    /// Multiply the trace's lengths by this
    #[arg(long, value_name = "F", default_value = "1", requires = "trace", value_parser = positive)]
    trace_tokens: f64,
    /// Cut the trace's prompts to this many tokens
    #[arg(long, value_name = "N", requires = "trace", value_parser = clap::value_parser!(u32).range(1..))]
    longest_prompt: Option<u32>,
    /// Cut the trace's answers to this many tokens
    #[arg(long, value_name = "N", requires = "trace", value_parser = clap::value_parser!(u32).range(1..))]
    longest_output: Option<u32>,
    /// Requests of a run [default: 8 for each stream, 32 otherwise, all of a trace]
    #[arg(long, short = 'k', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: Option<u32>,
    /// Requests of a run for each stream
    #[arg(long, value_name = "N", conflicts_with = "requests", requires = "streams", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests_per_stream: Option<u32>,
    /// Prompts from a file: a line each, JSON lines (prompt, turns, messages) or ShareGPT's JSON. What users say in a
    /// conversation is sent turn by turn, after the server's own answers
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt_tokens", "shared_prefix"])]
    prompts: Option<PathBuf>,
    /// The most turns of a conversation that are sent [default: all]
    #[arg(long, value_name = "N", requires = "prompts", value_parser = clap::value_parser!(u32).range(1..))]
    turns: Option<u32>,
    /// Tokens of a made prompt; after a shared prefix, those that are its own
    #[arg(long, short, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    prompt_tokens: u32,
    /// Prompts of so many groups begin with the same tokens
    #[arg(long, value_name = "GROUPS:TOKENS")]
    shared_prefix: Option<SharedPrefix>,
    /// Once all streams flow, one more request with a prompt of so many tokens; the run ends with its answer
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    beside: Option<u32>,
    /// Tokens of an answer
    #[arg(long, short = 'n', value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    output_tokens: u32,
    /// Equal seeds give equal prompts and times
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// `GROUPS:TOKENS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SharedPrefix {
    groups: usize,
    tokens: usize,
}

impl FromStr for SharedPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(groups, tokens)| {
            let (groups, tokens): (usize, usize) = (groups.parse().ok()?, tokens.parse().ok()?);
            (groups > 0 && (1..=16_000_000).contains(&tokens)).then_some(Self { groups, tokens })
        });
        parts.ok_or_else(|| {
            "GROUPS:TOKENS are two numbers above zero: 1:1000 is one group that shares 1,000 tokens".into()
        })
    }
}

/// A finite number above zero.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above zero is possible".into())
}

impl LoadArguments {
    /// The seed of prompts and times, and of sampling.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The loads, in order.
    pub fn loads(&self) -> Result<Vec<Load>, LoadError> {
        let trace = self.trace.as_deref().map(|path| {
            let name = path.display().to_string();
            trace::parse(&prompts::read_file(path)?, &name)
        });
        let trace = trace.transpose()?;
        let listed = self
            .prompts
            .as_deref()
            .map(|path| prompts::parse(&prompts::read_file(path)?, &path.display().to_string()));
        let mut listed = listed.transpose()?;
        if let Some(most) = self.turns {
            let conversations = listed.iter_mut().flatten();
            conversations.for_each(|conversation| conversation.turns.truncate(most as usize));
        }
        let load = |arrivals: Arrivals| {
            let requests = self.requests_of(arrivals, trace.as_ref().map(Vec::len));
            let prompts = match (&trace, &listed, self.shared_prefix) {
                (Some(entries), _, _) => Prompts::Traced(ScaledTrace::new(entries, requests, self.scale())),
                (_, Some(texts), _) => Prompts::Listed(texts.clone()),
                (_, _, Some(SharedPrefix { groups, tokens })) => {
                    Prompts::SharedPrefix { groups, prefix: tokens, tokens: self.prompt_tokens as usize }
                }
                _ => Prompts::Synthetic { tokens: self.prompt_tokens as usize },
            };
            let workload = Workload {
                prompts,
                requests,
                output_tokens: self.output_tokens,
                beside: self.beside.map(|tokens| tokens as usize),
                seed: self.seed,
            };
            Load { name: self.name(arrivals, &workload), arrivals, workload }
        };
        Ok(self.arrivals().into_iter().map(load).collect())
    }

    fn arrivals(&self) -> Vec<Arrivals> {
        let streams = self.streams.iter().map(|&count| Arrivals::Streams(count as usize));
        let rates = self.rate.iter().map(|&rate| Arrivals::Poisson(rate));
        match (self.at_once, &self.trace) {
            (true, _) => vec![Arrivals::AtOnce],
            _ if !self.streams.is_empty() => streams.collect(),
            _ if !self.rate.is_empty() => rates.collect(),
            (_, Some(_)) => vec![Arrivals::AsTraced],
            (_, None) => vec![Arrivals::Streams(1)],
        }
    }

    fn requests_of(&self, arrivals: Arrivals, traced: Option<usize>) -> usize {
        match (self.requests, self.requests_per_stream, arrivals) {
            (Some(requests), _, _) => requests as usize,
            (_, Some(each), Arrivals::Streams(streams)) => (each as usize).saturating_mul(streams),
            (_, _, Arrivals::Streams(streams)) if traced.is_none() => streams.saturating_mul(8),
            _ => traced.unwrap_or(32),
        }
    }

    fn scale(&self) -> TraceScale {
        TraceScale {
            time: self.trace_time,
            tokens: self.trace_tokens,
            longest_prompt: self.longest_prompt.unwrap_or(u32::MAX),
            longest_output: self.longest_output.unwrap_or(u32::MAX),
        }
    }

    /// What a load is, in words.
    fn name(&self, arrivals: Arrivals, workload: &Workload) -> String {
        let arrive = match arrivals {
            Arrivals::Streams(1) => "1 stream".into(),
            Arrivals::Streams(count) => format!("{count} streams"),
            Arrivals::Poisson(rate) => format!("{rate} requests/s"),
            Arrivals::AtOnce => "all at once".into(),
            Arrivals::AsTraced => "as traced".into(),
        };
        let output = workload.output_tokens;
        let asked = match &workload.prompts {
            Prompts::Listed(all) => {
                let turns: usize = all.iter().map(|conversation| conversation.turns.len()).sum();
                match turns == all.len() {
                    true => format!("{turns} listed prompts, output {output}"),
                    false => format!("{} listed conversations of {turns} turns, output {output}", all.len()),
                }
            }
            Prompts::Synthetic { tokens } => format!("prompt {tokens}, output {output}"),
            Prompts::SharedPrefix { groups, prefix, tokens } => {
                format!("prompt {prefix} shared in {groups} groups + {tokens}, output {output}")
            }
            Prompts::Traced(trace) => self.name_of_trace(trace),
        };
        let beside =
            workload.beside.map_or_else(String::new, |tokens| format!(", beside a prompt of {tokens}"));
        format!("{arrive}, {asked}{beside}")
    }

    /// A trace that was fitted says so.
    fn name_of_trace(&self, trace: &ScaledTrace) -> String {
        let file = self.trace.as_ref().and_then(|path| path.file_name());
        let mut name = file.map_or_else(|| "trace".into(), |file| file.to_string_lossy().into_owned());
        for (scale, what) in [(self.trace_time, "times"), (self.trace_tokens, "lengths")] {
            if scale != 1.0 {
                name += &format!(", {what} × {scale}");
            }
        }
        let cuts = [
            (trace.cut_prompts, self.longest_prompt, "prompts"),
            (trace.cut_outputs, self.longest_output, "answers"),
        ];
        for (cut, limit, what) in cuts {
            if let Some(limit) = limit.filter(|_| cut > 0) {
                name += &format!(", {cut} of {} {what} cut to {limit}", trace.entries.len());
            }
        }
        name
    }
}
