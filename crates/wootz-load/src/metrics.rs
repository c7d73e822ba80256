//! A server's own figures, in Prometheus' text format.

use std::collections::HashMap;

use crate::server::Kind;

/// Values by name, those of different labels added up; and by name and labels, as in `name{label="value"}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Reads a page. Lines that are no samples are left out.
    pub fn parse(text: &str) -> Self {
        let mut values = HashMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // The labels end at the last brace: a label's value may have spaces and braces.
            let (name, rest) = match (line.find('{'), line.rfind('}')) {
                (Some(open), Some(close)) if open < close => (&line[..open], &line[close + 1..]),
                _ => line.split_once(char::is_whitespace).unwrap_or((line, "")),
            };
            let value = rest.split_whitespace().next().and_then(|value| value.parse::<f64>().ok());
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            *values.entry(name.trim().to_string()).or_insert(0.0) += value;
            let series = line[..line.len() - rest.len()].trim();
            if series.contains('{') {
                *values.entry(series.to_string()).or_insert(0.0) += value;
            }
        }
        Self(values)
    }

    /// By how much a counter grew since; `None` if a page does not have it.
    fn growth(&self, before: &Self, name: &str) -> Option<f64> {
        Some(self.0.get(name)? - before.0.get(name)?)
    }

    /// The growth of several counters together; `None` if a page lacks one.
    fn growths(&self, before: &Self, names: &[&str]) -> Option<f64> {
        names.iter().map(|name| self.growth(before, name)).sum()
    }
}

/// What a server says about the requests between two pages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ServerFigures {
    /// Seconds that requests waited before their first step.
    pub queued_seconds: Option<f64>,
    /// Requests that waited.
    pub queued: Option<f64>,
    /// Tokens of prompts that were found in a cache.
    pub reused: Option<f64>,
    /// Tokens of prompts.
    pub prompt: Option<f64>,
}

/// The names that a kind of server has for its figures.
struct Names {
    queued_seconds: &'static str,
    queued: &'static str,
    reused: &'static [&'static str],
    prompt: &'static [&'static str],
}

fn names(kind: Kind) -> Option<Names> {
    match kind {
        Kind::Wootz => Some(Names {
            queued_seconds: "wootz_queue_seconds_sum",
            queued: "wootz_queue_seconds_count",
            reused: &[
                "wootz_prompt_tokens_total{source=\"memory\"}",
                "wootz_prompt_tokens_total{source=\"disk\"}",
            ],
            prompt: &["wootz_prompt_tokens_total"],
        }),
        Kind::Vllm => Some(Names {
            queued_seconds: "vllm:request_queue_time_seconds_sum",
            queued: "vllm:request_queue_time_seconds_count",
            reused: &["vllm:prefix_cache_hits_total"],
            prompt: &["vllm:prefix_cache_queries_total"],
        }),
        Kind::Sglang => Some(Names {
            queued_seconds: "sglang:queue_time_seconds_sum",
            queued: "sglang:queue_time_seconds_count",
            reused: &["sglang:cached_tokens_total"],
            prompt: &["sglang:prompt_tokens_total"],
        }),
        Kind::LlamaServer | Kind::Other => None,
    }
}

impl ServerFigures {
    /// What happened between two pages of a server.
    pub fn between(kind: Kind, before: &Metrics, after: &Metrics) -> Self {
        let Some(names) = names(kind) else { return Self::default() };
        Self {
            queued_seconds: after.growth(before, names.queued_seconds),
            queued: after.growth(before, names.queued),
            reused: after.growths(before, names.reused),
            prompt: after.growths(before, names.prompt),
        }
    }

    /// The figures of two runs together.
    pub fn and(self, other: Self) -> Self {
        let add = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            queued_seconds: add(self.queued_seconds, other.queued_seconds),
            queued: add(self.queued, other.queued),
            reused: add(self.reused, other.reused),
            prompt: add(self.prompt, other.prompt),
        }
    }

    /// Mean seconds that a request waited.
    pub fn mean_queue_seconds(&self) -> Option<f64> {
        ratio(self.queued_seconds?, self.queued?)
    }

    /// The share of the prompts' tokens that came out of a cache.
    pub fn hit_rate(&self) -> Option<f64> {
        ratio(self.reused?, self.prompt?)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then_some(part / whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_added_up_over_labels() {
        let page =
            "# HELP a b\n# TYPE a counter\na{x=\"1 } {\"} 2 1700000000\na{x=\"2\"} 3\nb 4.5\nc NaN\nd\n";
        let metrics = Metrics::parse(page);
        assert_eq!((metrics.0["a"], metrics.0["b"], metrics.0.len()), (5.0, 4.5, 4));
        assert_eq!(metrics.0["a{x=\"2\"}"], 3.0);
    }

    #[test]
    fn figures_are_what_grew() {
        let page = |waited: f64, requests: u32, hits: u32, queries: u32| {
            Metrics::parse(&format!(
                "vllm:request_queue_time_seconds_sum{{m=\"x\"}} {waited}\nvllm:request_queue_time_seconds_count {requests}\n\
                 vllm:prefix_cache_hits_total {hits}\nvllm:prefix_cache_queries_total {queries}\n"
            ))
        };
        let figures = ServerFigures::between(Kind::Vllm, &page(1.0, 2, 10, 100), &page(3.0, 6, 40, 160));
        assert_eq!((figures.mean_queue_seconds(), figures.hit_rate()), (Some(0.5), Some(0.5)));
        let twice = figures.and(figures);
        assert_eq!((twice.queued, twice.hit_rate()), (Some(8.0), Some(0.5)));
        // Nothing is made up where a server does not tell.
        assert_eq!(figures.and(ServerFigures::default()), ServerFigures::default());
        let silent = ServerFigures::between(Kind::LlamaServer, &page(1.0, 1, 1, 1), &page(2.0, 2, 2, 2));
        assert_eq!(silent.hit_rate(), None);
    }

    #[test]
    fn what_wootz_reused_is_told_by_its_source() {
        let page = |computed: u32, memory: u32, disk: u32| {
            let lines = [("computed", computed), ("memory", memory), ("disk", disk)];
            let lines = lines.map(|(source, tokens)| {
                format!("wootz_prompt_tokens_total{{source=\"{source}\"}} {tokens}\n")
            });
            Metrics::parse(&lines.concat())
        };
        let figures = ServerFigures::between(Kind::Wootz, &page(10, 0, 0), &page(40, 50, 20));
        assert_eq!((figures.hit_rate(), figures.mean_queue_seconds()), (Some(0.7), None));
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(page in "[a-z{}\" 0-9.\n#é]{0,80}") {
            let _ = Metrics::parse(&page);
        }
    }
}
