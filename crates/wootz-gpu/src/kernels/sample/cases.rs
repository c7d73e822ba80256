//! The sampler beside its twin.

use super::{
    BROKEN_LOGIT, CHOSEN, Changes, Drawing, Logprobs, NO_TOKEN, NO_TOKEN_LEFT, PREVIOUS_ROW, PartScratch,
    RowSettings, Sample, SampleRow,
};
use crate::case::{Case, Check, Tolerance, values};
use crate::twins::sample::{self, Inputs};

/// f32 exponentials are good to 2e-7 of the mass, the logarithm and two differences of about 20 to 2e-6 each.
const LOGPROB_TOLERANCE: Tolerance = Tolerance { absolute: 6e-6, relative: 1e-6 };

/// A division and a sum that may be fused with a product: three roundings of numbers below 8.
const CHANGED_TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 3e-7 };

/// The tokens of the step before, in every case.
const PREVIOUS: [u32; 3] = [5, 2, 9];

/// Penalty windows of all cases: tokens twice, a token outside of every vocabulary, and rows of the step before.
const HISTORY: [u32; 8] = [2, 3, 2, PREVIOUS_ROW | 1, 7, u32::MAX >> 1, PREVIOUS_ROW | 2, 2];

/// Biases of all cases: a token twice, one outside, one forbidden.
const BIASES: [(u32, f32); 5] = [(4, 2.5), (1, -1.0), (4, 0.125), (1 << 30, 9.0), (0, f32::NEG_INFINITY)];

/// The buffer in which the history is counted.
const COUNTS: &str = "counts";

pub(super) fn cases() -> Vec<Case> {
    let plain = RowSettings { temperature: 1.0, ..RowSettings::default() };
    let mut cases = vec![rows("greedy", 1003, 9.0, vec![RowSettings::default(), RowSettings::default()])];
    cases.push(rows("one token", 1, 1.0, vec![RowSettings::default(), plain.clone()]));
    cases.push(rows("from all", 2085, 4.0, draws(&plain, 6)));
    cases.push(rows(
        "top-k",
        700,
        6.0,
        draws(&RowSettings { top_k: 40, temperature: 0.8, ..plain.clone() }, 8),
    ));
    cases.push(rows("top-p", 700, 6.0, draws(&RowSettings { top_p: 0.9, ..plain.clone() }, 8)));
    cases.push(rows(
        "min-p",
        700,
        6.0,
        draws(&RowSettings { min_p: 0.05, temperature: 1.5, ..plain.clone() }, 6),
    ));
    let usual = RowSettings { top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, ..plain.clone() };
    cases.push(rows("all filters", 333, 9.0, draws(&usual, 8)));
    // More tokens than the shortlist takes, and too many of them kept: searched in the vocabulary itself.
    cases.push(rows("a wide top-k", 2200, 0.4, draws(&RowSettings { top_k: 2100, ..plain.clone() }, 2)));
    cases.push(rows("a wide top-p", 2200, 0.4, draws(&RowSettings { top_p: 0.97, ..plain.clone() }, 2)));
    cases.push(rows("a low min-p", 2200, 0.4, draws(&RowSettings { min_p: 0.3, ..plain.clone() }, 2)));
    // Just so many tokens that a list holds all, and then sorts as many as it ever does.
    cases.push(rows("a long list", 2048, 0.4, draws(&RowSettings { top_p: 0.9, ..plain.clone() }, 2)));
    let penalised = RowSettings {
        logit_bias: 0..5,
        repetition_penalty: 1.3,
        frequency_penalty: 0.25,
        presence_penalty: -0.5,
        history: 0..8,
        logprobs: Some(7),
        ..usual.clone()
    };
    let greedily = RowSettings { temperature: 0.0, ..penalised.clone() };
    let masked = RowSettings { mask: Some(3), history: 2..5, logit_bias: 2..4, ..penalised.clone() };
    let changing = vec![penalised.clone(), greedily, plain.clone(), masked];
    cases.push(rows("changes", 37, 3.0, changing.clone()));
    cases.push(rows("changes", 96, 3.0, changing.clone()));
    let mut after_a_fault = rows("changes after a step that was broken off", 37, 3.0, changing);
    for buffer in after_a_fault.buffers.iter_mut().filter(|buffer| buffer.name == COUNTS) {
        buffer.bytes.fill(7);
        buffer.check = Check::Scratch;
    }
    cases.push(after_a_fault);
    // Equal logits: ties go to the lowest ids, in the filters and in the order of the draw.
    let tied = vec![
        RowSettings { top_k: 3, logprobs: Some(2), ..plain.clone() },
        RowSettings { top_p: 0.5, draw: 1, logprobs: Some(40), ..plain.clone() },
        RowSettings { logprobs: Some(0), ..RowSettings::default() },
        plain.clone(),
    ];
    cases.push(rows("ties", 33, 0.0, tied));
    cases.push(refusals());
    // More logits in a row than a threadgroup has, in rows that begin at any multiple of four bytes and of sixteen.
    cases.push(parts(9002));
    cases.push(parts(8192));
    cases.push(rows("many rows", 4100, 5.0, vec![RowSettings::default(); 40]));
    // All are as near as the nearest reach, and more than a list takes: top tokens are searched for.
    let near = [0, 3, 128].map(|count| RowSettings { logprobs: Some(count), ..RowSettings::default() });
    cases.push(rows("top tokens of a flat row", 2200, 0.4, near.to_vec()));
    cases.push(rows("top tokens among equals", 2200, 0.0, near.to_vec()));
    cases
}

/// Rows whose answer depends on all of their parts.
fn parts(vocab: usize) -> Case {
    let greedy = RowSettings { logprobs: Some(3), ..RowSettings::default() };
    let plain = RowSettings { temperature: 1.0, seed: 99, ..RowSettings::default() };
    let mut rows: Vec<(RowSettings, Vec<f32>)> = Vec::new();
    let mut row = |settings: &RowSettings, spread: f32, places: &[(usize, f32)]| {
        let mut logits: Vec<f32> = match spread.is_finite() {
            true => values(vocab, rows.len() as u64).iter().map(|value| spread * value).collect(),
            false => vec![spread; vocab],
        };
        places.iter().for_each(|&(place, logit)| logits[place] = logit);
        rows.push((settings.clone(), logits));
    };
    // The best: in the last place, in three parts, as both zeros, alone.
    row(&greedy, 4.0, &[(vocab - 1, 5.0)]);
    row(&greedy, 4.0, &[(8000, 5.0), (4096, 5.0), (4097, 5.0), (6000, 5.0)]);
    row(&greedy, 0.0, &[(4095, 5.0), (4096, 5.0)]);
    row(&RowSettings::default(), 0.0, &[(0, -0.0), (5000, 0.0)]);
    // Broken logits in one part or in several, before and behind the best.
    row(&greedy, 4.0, &[(3, 5.0), (vocab - 2, f32::NAN)]);
    row(&greedy, 4.0, &[(8100, f32::NAN), (4100, f32::INFINITY), (8101, f32::INFINITY)]);
    row(&plain, 4.0, &[(7000, -f32::NAN)]);
    // Nothing is possible, or one token only.
    row(&greedy, f32::NEG_INFINITY, &[]);
    row(&plain, f32::NEG_INFINITY, &[]);
    let filtered = RowSettings { top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, ..plain.clone() };
    for settings in [&greedy, &plain, &filtered] {
        row(settings, f32::NEG_INFINITY, &[(vocab - 3, -50.0)]);
    }
    // Draws that reach into all parts, and filters that keep something of all.
    let by_mass = RowSettings { top_p: 0.9, ..plain.clone() };
    let floored = RowSettings { min_p: 0.2, temperature: 2.0, ..plain.clone() };
    for (draw, settings) in [&plain, &plain, &plain, &filtered, &by_mass, &floored].into_iter().enumerate() {
        let drawn = RowSettings { draw: draw as u64, ..settings.clone() };
        row(&drawn, 3.0, &[]);
        row(&drawn, 14.0, &[]);
        row(&drawn, 0.0, &[(4095, 1.0), (4096, 1.0), (8191, 1.0)]);
    }
    let (settings, logits): (Vec<RowSettings>, Vec<Vec<f32>>) = rows.into_iter().unzip();
    sampled(&format!("sample rows of several parts of {vocab}"), vocab, logits.concat(), &settings)
}

/// The same settings at several draws.
fn draws(settings: &RowSettings, count: u64) -> Vec<RowSettings> {
    (0..count).map(|draw| RowSettings { seed: 0xfeed_0000_0000_0007, draw, ..settings.clone() }).collect()
}

/// Rows of random logits up to `spread`, one a setting.
fn rows(name: &str, vocab: usize, spread: f32, settings: Vec<RowSettings>) -> Case {
    let logits: Vec<f32> =
        values(vocab * settings.len(), vocab as u64).iter().map(|value| spread * value).collect();
    sampled(&format!("sample {name} of {vocab}"), vocab, logits, &settings)
}

/// Rows that have no token: broken logits, and none that is possible.
fn refusals() -> Case {
    let vocab = 70;
    let mut logits = values(5 * vocab, 3);
    logits[66] = f32::NAN;
    logits[vocab + 9] = f32::INFINITY;
    logits[vocab + 50] = f32::NAN;
    logits[2 * vocab..3 * vocab].fill(f32::NEG_INFINITY);
    // A mask does not hide what is broken; and it may leave nothing.
    logits[3 * vocab + 1] = f32::NAN;
    let masked = RowSettings { mask: Some(0), logprobs: Some(1), ..RowSettings::default() };
    let forbidden = RowSettings { mask: Some(8), ..RowSettings::default() };
    let settings = [RowSettings::default(), masked.clone(), masked.clone(), masked, forbidden];
    sampled("sample broken rows", vocab, logits, &settings)
}

/// What a row of the twin gives.
struct Expected {
    /// The logits that it was chosen from: NaN where none were written.
    changed: Vec<f32>,
    token: u32,
    status: [u32; 2],
    chosen: f32,
    /// The most likely tokens and their log probabilities.
    top: Vec<(u32, f32)>,
}

fn expected(logits: &[f32], settings: &RowSettings, inputs: &Inputs) -> Expected {
    let changed = sample::changed(logits, settings, inputs);
    let written = settings.encode(logits.len()).expect("the device samples it").changes_logits();
    let shown = if written { changed.clone() } else { vec![f32::NAN; logits.len()] };
    let nothing =
        |status| Expected { changed: shown.clone(), token: 0, status, chosen: f32::NAN, top: Vec::new() };
    if let Some(place) = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY) {
        return nothing([BROKEN_LOGIT, place as u32]);
    }
    if changed.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        return nothing([NO_TOKEN_LEFT, 0]);
    }
    let token = sample::choose(&changed, settings);
    let logprobs = sample::logprobs(logits);
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    // What is impossible is in no list.
    order.retain(|&token| logits[token as usize] > f32::NEG_INFINITY);
    // Minus zero equals zero.
    let rank = |token: u32| logits[token as usize] + 0.0;
    order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)).then(a.cmp(&b)));
    order.truncate(settings.logprobs.unwrap_or(0));
    let top = order.iter().map(|&token| (token, logprobs[token as usize])).collect();
    Expected { changed: shown, token, status: [CHOSEN, 0], chosen: logprobs[token as usize], top }
}

fn sampled(name: &str, vocab: usize, logits: Vec<f32>, settings: &[RowSettings]) -> Case {
    // Three words that allow every third token, then words that allow none.
    let masks: Vec<u32> = [[0x9249_2492; 3], [0x4924_9249; 3], [0; 3], [0; 3]].concat();
    let inputs = Inputs { masks: &masks, biases: &BIASES, history: &HISTORY, previous: &PREVIOUS };
    let encoded: Vec<SampleRow> =
        settings.iter().map(|row| row.encode(vocab).expect("the device samples it")).collect();
    let rows: Vec<Expected> = logits
        .chunks_exact(vocab)
        .zip(settings)
        .map(|(logits, settings)| expected(logits, settings, &inputs))
        .collect();
    let top = settings.iter().filter_map(|row| row.logprobs).max();

    let mut case = Case::new(name);
    let changes = encoded.iter().any(SampleRow::changes_logits).then(|| {
        let (tokens, values): (Vec<u32>, Vec<f32>) = BIASES.into_iter().unzip();
        let zeros = vec![0; 4 * logits.len()];
        Changes {
            logits: case.output_f32(
                "changed logits",
                rows.iter().flat_map(|row| row.changed.iter().copied()).collect(),
                CHANGED_TOLERANCE,
            ),
            counts: case.buffer(COUNTS, zeros, Check::Unchanged),
            masks: case.input("masks", &masks),
            bias_tokens: case.input("bias tokens", &tokens),
            bias_values: case.input("bias values", &values),
            history: case.input("history", &HISTORY),
            previous: case.input("previous tokens", &PREVIOUS),
        }
    });
    let [bests, masses, within, lists] = PartScratch::bytes(settings.len(), vocab);
    let parts = PartScratch {
        bests: case.scratch("bests", bests),
        masses: case.scratch("masses", masses),
        within: case.scratch("within", within),
        lists: case.scratch("lists", lists),
    };
    let launch = Sample {
        rows: settings.len(),
        vocab,
        drawing: Drawing::of(&encoded),
        parts,
        logits: case.input("logits", &logits),
        settings: case.input("settings", &encoded),
        changes,
        tokens: exactly(&mut case, "tokens", rows.iter().map(|row| row.token).collect()),
        status: exactly(&mut case, "status", rows.iter().flat_map(|row| row.status).collect()),
        logprobs: top.map(|top| logprob_outputs(&mut case, settings, &rows, top)),
    };
    case.dispatch(launch.dispatches());
    case
}

fn logprob_outputs(case: &mut Case, settings: &[RowSettings], rows: &[Expected], top: usize) -> Logprobs {
    let (mut chosen, mut tokens, mut logprobs) = (Vec::new(), Vec::new(), Vec::new());
    for (settings, row) in settings.iter().zip(rows) {
        let measured = settings.logprobs.is_some() && row.status[0] == CHOSEN;
        chosen.push(if measured { row.chosen } else { f32::NAN });
        // Rows without a request are not written, and neither are those that want no top tokens.
        let written = measured && settings.logprobs != Some(0);
        for place in 0..top {
            let entry = row.top.get(place).filter(|_| written);
            tokens.push(entry.map_or(NO_TOKEN, |entry| entry.0));
            logprobs.push(entry.map_or(f32::NAN, |entry| entry.1));
        }
    }
    // A slice has at least one element, also where no row wants top tokens.
    tokens.resize(tokens.len().max(1), NO_TOKEN);
    logprobs.resize(logprobs.len().max(1), f32::NAN);
    Logprobs {
        top,
        chosen: case.output_f32("chosen", chosen, LOGPROB_TOLERANCE),
        // What is not written is still poison: all bits set, which is NO_TOKEN.
        top_tokens: exactly(case, "top tokens", tokens),
        top_logprobs: case.output_f32("top logprobs", logprobs, LOGPROB_TOLERANCE),
    }
}

fn exactly(case: &mut Case, name: &'static str, expected: Vec<u32>) -> crate::device::Slice {
    let bytes: Vec<u8> = bytemuck::cast_slice(&expected).to_vec();
    case.buffer(name, vec![0xff; bytes.len()], Check::Bytes(bytes))
}
