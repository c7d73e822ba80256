//! Traces of real traffic: when requests came, how long they were, what they shared.
//!
//! Two formats: Azure's LLM inference traces (CSV: `TIMESTAMP,ContextTokens,GeneratedTokens`) and Mooncake's (a JSON
//! object a line: `timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids`, one for each block of 512
//! tokens of the prompt; equal ids are equal blocks after equal beginnings).

use std::time::Duration;

use jiff::civil::DateTime;
use serde::Deserialize;

use crate::error::LoadError;

/// Tokens in a block of a trace that tells what prompts share.
pub const BLOCK: usize = 512;
/// The longest prompt or answer that a trace may have.
const LONGEST: u32 = 16 << 20;

/// One request of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEntry {
    /// When it came, after the first of the trace.
    pub at: Duration,
    /// Tokens of its prompt.
    pub input: u32,
    /// Tokens of its answer.
    pub output: u32,
    /// What its blocks are called; empty where the trace does not tell.
    pub blocks: Vec<u64>,
}

/// Reads a trace of either format; `name` stands in error messages. Entries come out in order of time.
pub fn parse(text: &str, name: &str) -> Result<Vec<TraceEntry>, LoadError> {
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let at_line = |line: usize, what: String| LoadError::Line { path: name.into(), line: line + 1, what };
    let Some((first, head)) = lines().next() else {
        return Err(LoadError::Empty { path: name.into(), what: "requests" });
    };
    let (read, skipped): (ReadLine, usize) = match head.trim() {
        head if head.starts_with('{') => (mooncake, 0),
        head if head.trim_start_matches('\u{feff}').eq_ignore_ascii_case(AZURE_HEAD) => (azure, 1),
        head => {
            let found: String = head.chars().take(80).collect();
            return Err(at_line(
                first,
                format!("{found:?} begins no trace: {AZURE_HEAD} or a JSON object does"),
            ));
        }
    };
    let raw = lines().skip(skipped).map(|(line, text)| read(text.trim()).map_err(|what| at_line(line, what)));
    let mut raw = raw.collect::<Result<Vec<_>, _>>()?;
    raw.sort_by_key(|entry| entry.microseconds);
    let Some(begun) = raw.first().map(|entry| entry.microseconds) else {
        return Err(LoadError::Empty { path: name.into(), what: "requests" });
    };
    let entry = |RawEntry { microseconds, input, output, blocks }| TraceEntry {
        at: Duration::from_micros(microseconds.saturating_sub(begun).unsigned_abs()),
        input,
        output,
        blocks,
    };
    Ok(raw.into_iter().map(entry).collect())
}

const AZURE_HEAD: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

type ReadLine = fn(&str) -> Result<RawEntry, String>;

struct RawEntry {
    microseconds: i64,
    input: u32,
    output: u32,
    blocks: Vec<u64>,
}

fn azure(line: &str) -> Result<RawEntry, String> {
    let fields: Vec<&str> = line.splitn(4, ',').map(str::trim).collect();
    let [time, input, output] = fields[..] else {
        return Err(format!("{} fields, not the three of {AZURE_HEAD}", line.split(',').count()));
    };
    let moment: DateTime =
        time.parse().map_err(|_| format!("{time:?} is no time: 2023-11-16 18:15:46.6805900 is one"))?;
    let since = moment.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    let microseconds = i64::try_from(since.as_micros()).map_err(|_| format!("{time:?} is too far off"))?;
    let length = |text: &str, what: &str| {
        let number = text.parse().map_err(|_| format!("{text:?} is no number of {what}"));
        number.and_then(|number| checked(number, what))
    };
    Ok(RawEntry {
        microseconds,
        input: length(input, "ContextTokens")?,
        output: length(output, "GeneratedTokens")?,
        blocks: Vec::new(),
    })
}

#[derive(Deserialize)]
struct MooncakeLine {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

fn mooncake(line: &str) -> Result<RawEntry, String> {
    let line: MooncakeLine = serde_json::from_str(line).map_err(|error| {
        format!("{error}; a line has timestamp (ms), input_length, output_length and maybe hash_ids")
    })?;
    let input = checked(line.input_length, "input_length")?;
    let blocks = (input as usize).div_ceil(BLOCK);
    if !line.hash_ids.is_empty() && line.hash_ids.len() != blocks {
        let found = line.hash_ids.len();
        return Err(format!("{found} hash_ids for {input} tokens, which are {blocks} blocks of {BLOCK}"));
    }
    let microseconds = line.timestamp * 1e3;
    if !(-1e15..1e15).contains(&microseconds) {
        return Err(format!("timestamp {} is too far off", line.timestamp));
    }
    Ok(RawEntry {
        microseconds: microseconds as i64,
        input,
        output: checked(line.output_length, "output_length")?,
        blocks: line.hash_ids,
    })
}

fn checked(length: u64, what: &str) -> Result<u32, String> {
    u32::try_from(length)
        .ok()
        .filter(|&length| length <= LONGEST)
        .ok_or_else(|| format!("{what} is {length}: at most {LONGEST} is possible"))
}
