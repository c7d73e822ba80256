//! The engine's figures under the names that `/metrics` gives them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wootz_engine::{DiskStatistics, EngineMetrics, Histogram};

/// The figures of one moment.
#[derive(Debug)]
pub struct EngineFigures(EngineMetrics);

impl EngineFigures {
    /// Takes a snapshot in.
    pub fn new(metrics: EngineMetrics) -> Self {
        Self(metrics)
    }
}

/// A name, and what it counts.
type Named = (&'static str, &'static str);

impl Collector for EngineFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let EngineFigures(metrics) = self;
        counts(&mut encoder, metrics)?;
        gauges(&mut encoder, metrics)?;
        if let Some(statistics) = &metrics.disk {
            disk(&mut encoder, statistics)?;
        }
        for (named, histogram) in [
            (("wootz_step_seconds", "Time that steps took"), &metrics.steps),
            (
                ("wootz_time_to_first_token_seconds", "Time from a request to its first token"),
                &metrics.time_to_first_token,
            ),
            (("wootz_inter_token_seconds", "Time between two tokens of an answer"), &metrics.inter_token),
            (("wootz_queue_seconds", "Time that requests waited before their first step"), &metrics.queued),
        ] {
            times(&mut encoder, named, histogram)?;
        }
        Ok(())
    }
}

fn counts(encoder: &mut DescriptorEncoder<'_>, metrics: &EngineMetrics) -> fmt::Result {
    let requests = &metrics.requests;
    single(encoder, ("wootz_requests_received", "Requests to the engine"), requests.received)?;
    family(
        encoder,
        ("wootz_requests", "Requests to the engine that have ended, by how"),
        "outcome",
        &[
            ("stopped", requests.stopped),
            ("length", requests.length),
            ("cancelled", requests.cancelled),
            ("failed", requests.failed),
            ("refused", requests.refused),
        ],
    )?;
    let tokens = &metrics.tokens;
    family(
        encoder,
        ("wootz_prompt_tokens", "Tokens of prompts, by where their keys and values came from"),
        "source",
        &[
            ("computed", tokens.prompt_computed),
            ("memory", tokens.prompt_reused_from_memory),
            ("disk", tokens.prompt_reused_from_disk),
        ],
    )?;
    single(encoder, ("wootz_generated_tokens", "Tokens of answers, without end tokens"), tokens.generated)?;
    family(
        encoder,
        ("wootz_prefix_blocks", "Blocks of prompts that were looked up in the prefix cache"),
        "result",
        &[("hit", metrics.prefix.hits), ("miss", metrics.prefix.misses)],
    )?;
    single(
        encoder,
        ("wootz_preemptions", "Requests that gave their pages up to others for a while"),
        metrics.preemptions,
    )?;
    single(encoder, ("wootz_step_failures", "Steps that failed on the device"), metrics.step_failures)?;
    family(
        encoder,
        ("wootz_draft_tokens", "Tokens of predictions that were tried, by whether they were right"),
        "result",
        &[("accepted", tokens.drafts_accepted), ("rejected", tokens.drafts_rejected)],
    )?;
    for (name, help, seconds) in [
        (
            "wootz_scheduler_seconds",
            "Time spent planning steps and taking them in",
            metrics.scheduler_seconds,
        ),
        ("wootz_sampling_seconds", "Time spent drawing tokens off the device", metrics.sampling_seconds),
        ("wootz_page_seconds", "Time spent copying pages for the disk tier", metrics.page_seconds),
    ] {
        let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter);
        counter?.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
    }
    Ok(())
}

fn gauges(encoder: &mut DescriptorEncoder<'_>, metrics: &EngineMetrics) -> fmt::Result {
    let running = ("wootz_running", "Answers that are worked on");
    gauge(encoder, running, None, &[("", metrics.running)])?;
    gauge(encoder, ("wootz_waiting", "Requests that wait"), None, &[("", metrics.waiting)])?;
    let pages = &metrics.pages;
    gauge(
        encoder,
        ("wootz_pages", "Pages of keys and values"),
        Some("state"),
        &[("free", pages.free), ("cached", pages.cached), ("held", pages.held)],
    )
}

fn disk(encoder: &mut DescriptorEncoder<'_>, disk: &DiskStatistics) -> fmt::Result {
    family(
        encoder,
        ("wootz_disk_blocks_fetched", "Blocks that were asked of the disk, by whether they came"),
        "result",
        &[("hit", disk.hits), ("miss", disk.misses)],
    )?;
    family(
        encoder,
        ("wootz_disk_blocks", "Blocks, by what the disk tier did with them"),
        "action",
        &[
            ("stored", disk.stored),
            ("dropped", disk.dropped),
            ("evicted", disk.evicted),
            ("corrupt", disk.corrupt),
        ],
    )?;
    single(encoder, ("wootz_disk_errors", "Reads and writes that failed"), disk.errors)?;
    gauge(encoder, ("wootz_disk_bytes", "Bytes of all blocks on disk"), None, &[("", disk.bytes)])?;
    let queued = ("wootz_disk_queued_bytes", "Bytes that wait to be written");
    gauge(encoder, queued, None, &[("", disk.queued_bytes)])
}

fn single(encoder: &mut DescriptorEncoder<'_>, (name, help): Named, value: u64) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Named,
    label: &'static str,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        let labels = [(label, *value)];
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(count, None)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Named,
    label: Option<&'static str>,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value, count) in values {
        match label {
            None => metric.encode_gauge(count)?,
            Some(label) => {
                let labels = [(label, *value)];
                metric.encode_family(&labels)?.encode_gauge(count)?;
            }
        }
    }
    Ok(())
}

fn times(encoder: &mut DescriptorEncoder<'_>, (name, help): Named, histogram: &Histogram) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let bounds = histogram.bounds().iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts().iter().copied()).collect();
    metric.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), &buckets, None)
}
