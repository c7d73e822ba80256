//! The device's sampler and the engine's: the same logits, settings, seeds and draws give the same tokens.

use std::path::Path;

use wootz_backend::sampling::{Logprobs as Asked, PenaltyWindow, SamplingSettings};
use wootz_engine::{EngineError, Place, Sampler};
use wootz_gpu::case::values;
use wootz_gpu::device::{Command, Device, Profile, Slice};
use wootz_gpu::emulator::{Checks, Emulator, EmulatorSettings};
use wootz_gpu::kernels::sample::{
    BROKEN_LOGIT, CHOSEN, Changes, Drawing, Logprobs, NO_TOKEN_LEFT, PartScratch, RowSettings, Sample,
    SampleRow,
};

/// How many batches of random requests are sampled.
const BATCHES: u64 = 60;
const ROWS: usize = 6;
const TOP: usize = 5;

/// Random choices in a fixed order.
struct Dice {
    rolls: Vec<f32>,
}

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice { rolls: values(1000, 77 + seed) }
    }

    /// From 0 to 1.
    fn share(&mut self) -> f32 {
        self.rolls.pop().unwrap() / 2.0 + 0.5
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.share() * limit as f32) as usize).min(limit - 1)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

struct Request {
    settings: SamplingSettings,
    logits: Vec<f32>,
    context: Vec<u32>,
    draw: u64,
}

fn request(dice: &mut Dice, vocab: usize, seed: u64) -> Request {
    let spread = dice.pick(&[0.5, 4.0, 12.0, 30.0]);
    let mut logits: Vec<f32> = values(vocab, seed).iter().map(|value| spread * value).collect();
    if dice.below(4) == 0 {
        // Few different logits: many ties.
        logits.iter_mut().for_each(|logit| *logit = (*logit * 2.0).round() / 2.0);
    }
    for _ in 0..dice.below(8) {
        let place = dice.below(vocab);
        logits[place] = f32::NEG_INFINITY;
    }
    if dice.below(20) == 0 {
        let place = dice.below(vocab);
        logits[place] = f32::NAN;
    }
    let settings = SamplingSettings {
        logit_bias: (0..dice.pick(&[0, 0, 3]))
            .map(|_| (dice.below(vocab) as u32, dice.pick(&[1.5, -2.25, f32::NEG_INFINITY])))
            .collect(),
        repetition_penalty: dice.pick(&[1.0, 1.0, 1.1, 0.7]),
        frequency_penalty: dice.pick(&[0.0, 0.0, 0.3]),
        presence_penalty: dice.pick(&[0.0, 0.0, -0.4]),
        penalty_window: dice.pick(&[PenaltyWindow::Whole, PenaltyWindow::Last(7), PenaltyWindow::Last(0)]),
        top_k: dice.pick(&[0, 0, 1, 40, vocab - 1, vocab + 5]),
        typical_p: 1.0,
        top_p: dice.pick(&[1.0, 1.0, 0.95, 0.5, 1e-6]),
        min_p: dice.pick(&[0.0, 0.0, 0.05, 1.0]),
        temperature: dice.pick(&[0.0, 0.8, 1.0, 1.7, 1e-30]),
        seed: seed << 30 | 12345,
    };
    let context = (0..dice.below(40)).map(|_| dice.below(vocab.min(30)) as u32).collect();
    Request { settings, logits, context, draw: dice.below(1 << 20) as u64 }
}

/// The requests' rows, laid out as the kernels want them.
#[derive(Default)]
struct Layout {
    rows: Vec<SampleRow>,
    bias_tokens: Vec<u32>,
    bias_values: Vec<f32>,
    history: Vec<u32>,
}

impl Layout {
    fn push(&mut self, request: &Request, vocab: usize) {
        let settings = &request.settings;
        let (bias_start, history_start) = (self.bias_tokens.len() as u32, self.history.len() as u32);
        let (tokens, biases): (Vec<u32>, Vec<f32>) = settings.logit_bias.iter().copied().unzip();
        self.bias_tokens.extend(tokens);
        self.bias_values.extend(biases);
        let length = request.context.len();
        self.history.extend(
            &request.context[match settings.penalty_window {
                PenaltyWindow::Whole => 0,
                PenaltyWindow::Last(count) => length.saturating_sub(count),
            }..],
        );
        let row = RowSettings {
            logit_bias: bias_start..self.bias_tokens.len() as u32,
            history: history_start..self.history.len() as u32,
            draw: request.draw,
            ..RowSettings::of(settings, Asked::Top(TOP))
        };
        self.rows.push(row.encode(vocab).unwrap());
    }
}

/// Memory with `values` in it.
fn filled<T: bytemuck::NoUninit>(device: &mut Emulator, values: &[T]) -> Slice {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let bytes = if bytes.is_empty() { &[0; 4] } else { bytes };
    let buffer = device.allocate(bytes.len(), "a test").unwrap();
    let slice = Slice { buffer, offset: 0, length: bytes.len() };
    device.write(slice, bytes).unwrap();
    slice
}

fn content<T: bytemuck::Pod>(device: &mut Emulator, slice: Slice) -> Vec<T> {
    let mut values = vec![T::zeroed(); slice.length / size_of::<T>()];
    device.read(slice, bytemuck::cast_slice_mut(&mut values)).unwrap();
    values
}

#[test]
fn tokens_are_those_of_the_engine() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let settings = EmulatorSettings { checks: Checks::Plain, cache, ..EmulatorSettings::default() };
    let mut device = Emulator::new(settings).unwrap_or_else(|error| panic!("{error}"));
    let (mut chosen, mut failed) = (0, 0);
    for batch in 0..BATCHES {
        let mut dice = Dice::new(batch);
        // One batch is wide enough for a whole threadgroup; it takes as long as all others.
        let vocab = if batch == 0 { 16_003 } else { dice.pick(&[40, 333, 1024, 2500]) };
        let requests: Vec<Request> =
            (0..ROWS).map(|row| request(&mut dice, vocab, batch * ROWS as u64 + row as u64)).collect();
        for (row, found) in sampled(&mut device, &requests, vocab).into_iter().enumerate() {
            let Request { settings, logits, context, draw } = &requests[row];
            let mut sampler = Sampler::new(settings.clone(), Asked::Top(TOP), vocab).unwrap();
            let what = format!("batch {batch}, row {row} of {vocab}, draw {draw}: {settings:?}");
            match sampler.sample(logits, Place { context, draw: *draw, allowed: None }) {
                Ok(expected) => {
                    let logprobs = expected.logprobs.unwrap();
                    assert_eq!((found.status, found.token), ([CHOSEN, 0], expected.token), "{what}");
                    near(found.chosen, logprobs.chosen, &what);
                    for (place, expected) in logprobs.top.iter().enumerate() {
                        assert_eq!(found.top_tokens[place], expected.token, "{what}");
                        near(found.top_logprobs[place], expected.logprob, &what);
                    }
                    chosen += 1;
                }
                Err(EngineError::NoTokenLeft) => {
                    assert_eq!(found.status[0], NO_TOKEN_LEFT, "{what}");
                    failed += 1;
                }
                Err(EngineError::BrokenLogit { token, .. }) => {
                    assert_eq!(found.status, [BROKEN_LOGIT, token], "{what}");
                    failed += 1;
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
    }
    assert!(chosen > 100 && failed > 0, "{chosen} rows had a token, {failed} had none");
}

/// The logarithm and the differences of logits of at most 30 round in f32.
fn near(found: f32, expected: f32, what: &str) {
    let same = found == expected || (found - expected).abs() <= 8e-6 + 1e-6 * expected.abs();
    assert!(same, "{what}: log probability {found} instead of {expected}");
}

struct Found {
    token: u32,
    status: [u32; 2],
    chosen: f32,
    top_tokens: Vec<u32>,
    top_logprobs: Vec<f32>,
}

fn sampled(device: &mut Emulator, requests: &[Request], vocab: usize) -> Vec<Found> {
    let mut layout = Layout::default();
    requests.iter().for_each(|request| layout.push(request, vocab));
    let logits: Vec<f32> = requests.iter().flat_map(|request| request.logits.iter().copied()).collect();
    let rows = requests.len();
    let changes = Changes {
        logits: filled(device, &vec![f32::NAN; rows * vocab]),
        counts: filled(device, &vec![0_u32; rows * vocab]),
        masks: filled(device, &[0_u32]),
        bias_tokens: filled(device, &layout.bias_tokens),
        bias_values: filled(device, &layout.bias_values),
        history: filled(device, &layout.history),
        previous: filled(device, &[0_u32]),
    };
    let logprobs = Logprobs {
        top: TOP,
        chosen: filled(device, &vec![f32::NAN; rows]),
        top_tokens: filled(device, &vec![0_u32; rows * TOP]),
        top_logprobs: filled(device, &vec![f32::NAN; rows * TOP]),
    };
    let [bests, masses, within, lists] =
        PartScratch::bytes(rows, vocab).map(|bytes| filled(device, &vec![0xff_u8; bytes]));
    let launch = Sample {
        rows,
        vocab,
        drawing: Drawing::of(&layout.rows),
        parts: PartScratch { bests, masses, within, lists },
        logits: filled(device, &logits),
        settings: filled(device, &layout.rows),
        changes: Some(changes),
        tokens: filled(device, &vec![u32::MAX; rows]),
        status: filled(device, &vec![u32::MAX; 2 * rows]),
        logprobs: Some(logprobs),
    };
    let commands: Vec<Command> = launch
        .dispatches()
        .into_iter()
        .flat_map(|dispatch| [Command::Dispatch(dispatch), Command::Barrier])
        .collect();
    let submission = device.submit(&commands, Profile::Whole).unwrap();
    device.wait(submission).unwrap();
    let (tokens, status): (Vec<u32>, Vec<u32>) =
        (content(device, launch.tokens), content(device, launch.status));
    let chosen: Vec<f32> = content(device, logprobs.chosen);
    let top_tokens: Vec<u32> = content(device, logprobs.top_tokens);
    let top_logprobs: Vec<f32> = content(device, logprobs.top_logprobs);
    (0..rows)
        .map(|row| Found {
            token: tokens[row],
            status: [status[2 * row], status[2 * row + 1]],
            chosen: chosen[row],
            top_tokens: top_tokens[row * TOP..][..TOP].to_vec(),
            top_logprobs: top_logprobs[row * TOP..][..TOP].to_vec(),
        })
        .collect()
}
