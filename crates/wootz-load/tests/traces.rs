//! Traces: both formats, wrong lines, and what they become.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use wootz_load::plan::{Arrivals, Pace, Prompts, ScaledTrace, TraceScale, Workload};
use wootz_load::trace::{TraceEntry, parse};
use wootz_load::words::Meter;

const HEAD: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
const AS_IT_IS: TraceScale =
    TraceScale { time: 1.0, tokens: 1.0, longest_prompt: u32::MAX, longest_output: u32::MAX };
/// A word is a token.
const WORDS: Meter = Meter::Server { fixed: 0.0, per_word: 1.0 };

fn workload(trace: ScaledTrace) -> Workload {
    let requests = trace.entries.len();
    Workload { prompts: Prompts::Traced(trace), requests, output_tokens: 0, beside: None, seed: 3 }
}

#[test]
fn azure_lines_are_read_with_times_from_the_first() {
    let text =
        format!("{HEAD}\r\n2023-11-16 23:59:59.5000000,374,44\r\n2023-11-17 00:00:01.2500000,396,109\r\n");
    let entry =
        |at, input, output| TraceEntry { at: Duration::from_millis(at), input, output, blocks: vec![] };
    assert_eq!(parse(&text, "t").unwrap(), [entry(0, 374, 44), entry(1750, 396, 109)]);
}

#[test]
fn mooncake_lines_are_read_in_order_of_time() {
    let text = r#"{"timestamp": 3052, "input_length": 513, "output_length": 5, "hash_ids": [0, 7]}
{"timestamp": 52, "input_length": 512, "output_length": 9, "hash_ids": [0]}"#;
    let entry =
        |at, input, output, blocks| TraceEntry { at: Duration::from_millis(at), input, output, blocks };
    assert_eq!(parse(text, "t").unwrap(), [entry(0, 512, 9, vec![0]), entry(3000, 513, 5, vec![0, 7])]);
}

#[test]
fn wrong_lines_are_named() {
    let error = |text: &str| parse(text, "some.csv").unwrap_err().to_string();
    let azure = |line: &str| error(&format!("{HEAD}\n2023-11-16 18:15:46,1,1\n\n{line}\n"));
    assert!(azure("2023-11-16 18:15:46,1").contains("some.csv, line 4: 2 fields"));
    assert!(azure("yesterday,1,1").contains("line 4: \"yesterday\" is no time"));
    assert!(azure("2023-11-16 18:15:46,-1,1").contains("no number of ContextTokens"));
    assert!(azure("2023-11-16 18:15:46,1,99999999999").contains("GeneratedTokens is 99999999999: at most"));
    assert!(azure("2023-11-16 18:15:46,1,1,1").contains("4 fields"));
    let mooncake =
        |line: &str| error(&format!("{{\"timestamp\":0,\"input_length\":1,\"output_length\":1}}\n{line}"));
    assert!(mooncake("{").contains("line 2: "));
    assert!(mooncake(r#"{"timestamp":0,"input_length":1}"#).contains("missing field `output_length`"));
    let blocks = r#"{"timestamp":0,"input_length":513,"output_length":1,"hash_ids":[1]}"#;
    assert!(mooncake(blocks).contains("1 hash_ids for 513 tokens, which are 2 blocks of 512"));
    assert!(mooncake(r#"{"timestamp":1e300,"input_length":1,"output_length":1}"#).contains("too far off"));
    assert!(error("hello\n").contains("line 1: \"hello\" begins no trace"));
    assert!(error("").contains("has no requests") && error(HEAD).contains("has no requests"));
}

#[test]
fn a_trace_is_scaled_and_cut_and_says_so() {
    let entry = |at, input, output| TraceEntry { at: Duration::from_secs(at), input, output, blocks: vec![] };
    let entries = [entry(0, 1000, 10), entry(10, 3000, 100), entry(20, 5, 1), entry(30, 9, 9)];
    let scale = TraceScale { time: 0.5, tokens: 0.1, longest_prompt: 200, longest_output: 5 };
    let scaled = ScaledTrace::new(&entries, 3, scale);
    assert_eq!(scaled.entries, [entry(0, 100, 1), entry(5, 200, 5), entry(10, 1, 1)]);
    assert_eq!((scaled.cut_prompts, scaled.cut_outputs, scaled.block), (1, 1, 51));
    let plan = workload(scaled).plan(Arrivals::AsTraced, 0, &WORDS);
    let lengths: Vec<usize> = plan.requests.iter().map(|r| r.turns[0].split(' ').count()).collect();
    assert_eq!(lengths, [100, 200, 1]);
    assert_eq!(plan.pace, Pace::Open([0, 5, 10].map(Duration::from_secs).to_vec()));
}

#[test]
fn equal_blocks_are_equal_text() {
    let entry = |input, blocks| TraceEntry { at: Duration::ZERO, input, output: 1, blocks };
    let entries = [entry(1500, vec![0, 4, 5]), entry(1100, vec![0, 4, 9]), entry(600, vec![0, 2])];
    let prompts = |run| -> Vec<Vec<String>> {
        let plan = workload(ScaledTrace::new(&entries, 9, AS_IT_IS)).plan(Arrivals::AtOnce, run, &WORDS);
        plan.requests.iter().map(|r| r.turns[0].split(' ').map(str::to_string).collect()).collect()
    };
    let all = prompts(0);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1500, 1100, 600]);
    assert_eq!(all[0][..1024], all[1][..1024]);
    assert_eq!(all[0][..512], all[2][..512]);
    assert_ne!(all[0][1024..1100], all[1][1024..1100]);
    assert_ne!(all[0][512..600], all[2][512..600]);
    // Another run shares nothing with it.
    assert_ne!(all[0][..512], prompts(1)[0][..512]);
}

#[test]
fn the_published_traces_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/traces");
    let files = [("AzureLLMInferenceTrace_conv.csv", 19366), ("mooncake_conversation_trace.jsonl", 12031)];
    for (file, count) in files {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            println!("skipped: {file} is not there");
            continue;
        };
        let entries = parse(&text, file).unwrap();
        assert_eq!(entries.len(), count);
        assert!(entries.is_sorted_by_key(|entry| entry.at));
        // Each block id stands at one place of a prompt: ids are of whole beginnings.
        let mut places: HashMap<u64, usize> = HashMap::new();
        for entry in &entries {
            for (place, &block) in entry.blocks.iter().enumerate() {
                assert_eq!(*places.entry(block).or_insert(place), place);
            }
        }
    }
}

proptest! {
    #[test]
    fn written_traces_are_read_back(entries in prop::collection::vec((0_u64..10_000_000, 1_u32..3000, 0_u32..3000), 1..20)) {
        let mut expected: Vec<_> = entries.clone();
        expected.sort_by_key(|entry| entry.0);
        let first = expected[0].0;
        let lines = entries.iter().map(|(ms, input, output)| {
            let ids: Vec<u32> = (0..input.div_ceil(512)).collect();
            format!("{{\"timestamp\":{ms},\"input_length\":{input},\"output_length\":{output},\"hash_ids\":{ids:?}}}\n")
        });
        let read = parse(&lines.collect::<String>(), "t").unwrap();
        let read: Vec<_> = read.iter().map(|entry| (entry.at.as_millis() as u64 + first, entry.input, entry.output)).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}", line in "[-0-9:., T+e]{0,40}", json in r#"[\[\]{}":,0-9a-z_]{0,60}"#) {
        let _ = parse(&text, "t");
        let _ = parse(&format!("{HEAD}\n{line}"), "t");
        let _ = parse(&format!("{{{json}"), "t");
        let _ = parse(&format!("{{\"timestamp\":0,\"input_length\":{json}"), "t");
    }
}
