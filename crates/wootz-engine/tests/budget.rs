//! The step budget on simulated machines: noisy ones, ones that change their speed, ones whose cost is no straight line.

use std::time::Duration;

use proptest::prelude::*;
use wootz_engine::{LEAST_ROWS, StepBudget, StepLoad, StepShape};

/// Numbers that look random.
struct Noise(u64);

impl Noise {
    /// Evenly in 0..1.
    fn even(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal with deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }
}

/// A machine, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// To read the weights once.
    step: f64,
    decode_row: f64,
    prompt_row: f64,
    /// A thousand attended positions.
    attended: f64,
    /// A thousand positions before a piece of a prompt, whatever rows it has: their keys and values are read once.
    before: f64,
    /// Rows whose arithmetic hides behind reading the weights.
    hidden_rows: f64,
    /// Deviation of a step's time, relative.
    noise: f64,
    /// How many in a thousand steps take five times as long.
    hiccups: f64,
}

const PLAIN: Machine = Machine {
    step: 10.0,
    decode_row: 1.0,
    prompt_row: 0.4,
    attended: 0.1,
    before: 0.0,
    hidden_rows: 0.0,
    noise: 0.03,
    hiccups: 0.0,
};

impl Machine {
    /// Milliseconds without noise.
    fn mean(&self, shape: StepShape) -> f64 {
        let arithmetic =
            self.decode_row * shape.decode_rows as f64 + self.prompt_row * shape.prompt_rows as f64;
        let hidden = self.hidden_rows * self.prompt_row;
        self.step
            + (arithmetic - hidden).max(0.0)
            + self.attended * (shape.decode_attended + shape.prompt_attended) as f64 / 1000.0
            + self.before * (shape.prompt_attended / shape.prompt_rows.max(1)) as f64 / 1000.0
    }

    fn milliseconds(&self, shape: StepShape, noise: &mut Noise) -> f64 {
        let hiccup = if noise.even() * 1000.0 < self.hiccups { 5.0 } else { 1.0 };
        self.mean(shape) * (1.0 + self.noise * noise.normal()).max(0.3) * hiccup
    }
}

/// Streaming answers on a machine, with its budget.
struct Simulation {
    machine: Machine,
    budget: StepBudget,
    noise: Noise,
    answers: usize,
    /// Positions of each answer.
    length: usize,
}

impl Simulation {
    fn new(machine: Machine, target_ms: u64, answers: usize, seed: u64) -> Self {
        let budget = StepBudget::new(Duration::from_millis(target_ms));
        Self { machine, budget, noise: Noise(seed | 1), answers, length: 100 }
    }

    fn load(&self, prompt_at: usize) -> StepLoad {
        StepLoad {
            decode_rows: self.answers,
            decode_attended: self.answers * self.length,
            prompt_at,
            prompts: 1,
        }
    }

    /// One step with up to `wanted` prompt rows: the rows it had and its milliseconds.
    fn step(&mut self, prompt_at: usize, wanted: usize) -> (usize, f64) {
        let rows = self.budget.prompt_rows(self.load(prompt_at)).min(wanted);
        let shape = self.shape(prompt_at, rows);
        let took = self.machine.milliseconds(shape, &mut self.noise);
        self.budget.observe(shape, Duration::from_secs_f64(took / 1000.0));
        self.length += 1;
        (rows, took)
    }

    fn shape(&self, prompt_at: usize, rows: usize) -> StepShape {
        StepShape {
            decode_rows: self.answers,
            decode_attended: self.answers * self.length,
            prompt_rows: rows,
            prompt_attended: rows * prompt_at + rows * (rows + 1) / 2,
            prompts: 1,
        }
    }

    fn quiet(&mut self, steps: usize) -> Vec<f64> {
        (0..steps).map(|_| self.step(0, 0).1).collect()
    }

    /// Runs a whole prompt beside the answers: the rows and the milliseconds of each step.
    fn prompt(&mut self, tokens: usize) -> Vec<(usize, f64)> {
        let (mut at, mut steps) = (0, Vec::new());
        while at < tokens {
            let (rows, took) = self.step(at, tokens - at);
            assert!(rows > 0, "a prompt always progresses");
            at += rows;
            steps.push((rows, took));
        }
        steps
    }
}

fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

fn milliseconds(steps: &[(usize, f64)]) -> impl Iterator<Item = f64> {
    steps.iter().map(|&(_, took)| took)
}

#[test]
fn with_nothing_streaming_a_prompt_takes_all_rows() {
    let mut simulation = Simulation::new(PLAIN, 50, 0, 1);
    assert_eq!(simulation.budget.prompt_rows(simulation.load(0)), usize::MAX);
    simulation.step(0, 512);
    assert_eq!(simulation.budget.prompt_rows(simulation.load(512)), usize::MAX);
}

#[test]
fn before_anything_was_measured_it_begins_with_few_rows_and_soon_has_all_that_fits() {
    let mut simulation = Simulation::new(PLAIN, 50, 2, 1);
    let steps = simulation.prompt(4096);
    assert_eq!(steps[0].0, 16);
    // 12 ms without prompts: about 30 rows would double that.
    let best = (12.0 * 2.0 - 12.0) / PLAIN.prompt_row;
    let usual = quantile(steps.iter().map(|&(rows, _)| rows as f64), 0.5);
    assert!(usual <= best && usual >= LEAST_ROWS as f64, "{usual} rows of {best}");
    let generous = Machine { step: 20.0, prompt_row: 0.02, attended: 0.002, ..PLAIN };
    let mut simulation = Simulation::new(generous, 50, 2, 1);
    simulation.quiet(3);
    let steps = simulation.prompt(8192);
    assert!(steps.iter().take(8).any(|&(rows, _)| rows >= 512), "{:?}", &steps[..8]);
}

#[test]
fn a_target_that_cannot_be_met_does_not_stop_prompts() {
    let mut simulation = Simulation::new(Machine { noise: 0.0, step: 100.0, ..PLAIN }, 50, 4, 1);
    simulation.quiet(20);
    let steps = simulation.prompt(4096);
    let usual = quantile(milliseconds(&steps), 0.5);
    assert!((120.0..=156.0).contains(&usual), "{usual}");
}

#[test]
fn a_hiccup_changes_little() {
    let mut simulation = Simulation::new(Machine { noise: 0.0, ..PLAIN }, 50, 4, 1);
    simulation.quiet(50);
    simulation.prompt(2048);
    let load = simulation.load(100);
    let before = simulation.budget.expected(simulation.shape(100, 32)).expect("it has learned");
    simulation.budget.observe(simulation.shape(100, 32), Duration::from_secs(3));
    let after = simulation.budget.expected(simulation.shape(100, 32)).expect("it has learned");
    let ratio = after.as_secs_f64() / before.as_secs_f64();
    assert!((0.9..1.15).contains(&ratio), "{before:?} became {after:?}");
    assert!(simulation.budget.prompt_rows(load) >= LEAST_ROWS);
}

#[test]
fn an_hour_of_quiet_does_not_make_it_forget_what_prompts_cost() {
    let machine = Machine { step: 30.0, prompt_row: 0.1, ..PLAIN };
    let mut simulation = Simulation::new(machine, 100, 4, 1);
    simulation.quiet(20);
    let learned = quantile(simulation.prompt(4096).iter().map(|&(rows, _)| rows as f64), 0.9);
    simulation.length = 100;
    for _ in 0..100 {
        simulation.quiet(1000);
        simulation.length = 100;
    }
    let (rows, took) = simulation.step(0, 512);
    assert!(rows as f64 >= learned / 2.5, "{rows} rows after {learned}");
    assert!(took <= 2.2 * machine.mean(simulation.shape(0, 0)), "{took}");
}

/// Both rules at once: twice the quiet time, and the target, for 95 of 100 steps.
fn check_limits(mut simulation: Simulation, target: f64, slack: f64) -> Result<(), TestCaseError> {
    simulation.quiet(30);
    simulation.prompt(2048);
    let quiet = quantile(simulation.quiet(300), 0.95);
    let (length, mut steps) = (simulation.length, Vec::new());
    // Enough of them that 95 of 100 says something.
    while steps.len() < 150 {
        simulation.length = length;
        steps.extend(simulation.prompt(8192));
    }
    let disturbed = quantile(milliseconds(&steps), 0.95);
    // The answers have become longer meanwhile.
    let quiet = quiet.max(quantile(simulation.quiet(100), 0.95));
    // The fewest rows are computed even where they break the limits.
    let fewest = simulation.machine.mean(simulation.shape(8192, LEAST_ROWS));
    let noise = 1.0 + 2.0 * simulation.machine.noise;
    // A target that even quiet steps miss, or nearly, leaves half of a quiet step; all of one beside a single answer.
    let least = 1.5 + 0.5 / simulation.answers as f64;
    let target = if least * quiet > 0.9 * target { target.max(least * quiet) } else { target };
    let limit = (2.0 * quiet).min(target).max(fewest * noise);
    prop_assert!(
        disturbed <= limit * slack,
        "{disturbed:.1} ms, the limit is {limit:.1}, quiet {quiet:.1}, {} steps",
        steps.len()
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nearly_all_gaps_stay_below_both_limits(
        step in 2.0f64..30.0, decode_row in 0.05f64..2.0, prompt_row in 0.01f64..1.0, attended in 0.0f64..0.05,
        noise in 0.0f64..0.1, answers in 1usize..32, target in 20u64..200, seed: u64,
    ) {
        // Where a row costs half of a step, one is too few and two are too many.
        let machine = Machine { step, decode_row, prompt_row: prompt_row.min(step / 4.0), attended, noise, ..PLAIN };
        // 95 of 100 steps are less than 1.65 deviations longer than they should be.
        check_limits(Simulation::new(machine, target, answers, seed), target as f64, 1.15 + 1.65 * noise)?;
    }

    #[test]
    fn a_cost_that_is_no_straight_line_is_met_too(
        step in 5.0f64..30.0, prompt_row in 0.05f64..1.0, hidden_rows in 4.0f64..64.0,
        answers in 1usize..16, seed: u64,
    ) {
        let machine = Machine { step, prompt_row, hidden_rows, attended: 0.01, ..PLAIN };
        // Beyond the hidden rows each costs at once what many did together before.
        check_limits(Simulation::new(machine, 500, answers, seed), 500.0, 1.4)?;
    }

    /// Late pieces of a long prompt attend to all of it, and cost several times what the first ones do.
    #[test]
    fn late_pieces_of_a_long_prompt_keep_to_it_too(
        step in 20.0f64..120.0, decode_row in 0.0f64..0.02, prompt_row in 0.005f64..0.08, attended in 0.002f64..0.025,
        before in 0.0f64..0.02, answers in 1usize..8, target in 20u64..200, seed: u64,
    ) {
        let [decode_row, prompt_row, attended, before] = [decode_row, prompt_row, attended, before].map(|cost| cost * step);
        let machine = Machine { step, decode_row, prompt_row, attended, before, ..PLAIN };
        let mut simulation = Simulation::new(machine, target, answers, seed);
        simulation.quiet(64);
        let quiet = quantile(simulation.quiet(64), 0.5);
        let (mut at, mut quarters) = (0, [const { Vec::new() }; 4]);
        while at < 8000 {
            let (rows, took) = simulation.step(at, 8000 - at);
            quarters[at / 2000].push(took);
            at += rows;
        }
        // The answers have become longer meanwhile.
        let quiet = quiet.max(quantile(simulation.quiet(64), 0.5));
        for (quarter, took) in quarters.into_iter().enumerate() {
            let [usual, late] = [0.5, 0.95].map(|share| quantile(took.iter().copied(), share));
            prop_assert!(
                usual <= 2.0 * quiet && late <= 2.15 * quiet,
                "quarter {quarter}: {usual:.1} and {late:.1} ms, quiet {quiet:.1}"
            );
        }
    }

    #[test]
    fn hiccups_do_not_ruin_it(step in 5.0f64..30.0, prompt_row in 0.05f64..0.5, hiccups in 1.0f64..30.0, seed: u64) {
        let machine = Machine { step, prompt_row, hiccups, attended: 0.01, ..PLAIN };
        let mut simulation = Simulation::new(machine, 500, 4, seed);
        simulation.quiet(100);
        let steps = simulation.prompt(16_384);
        let quiet = simulation.machine.mean(simulation.shape(0, 0));
        let usual = quantile(milliseconds(&steps), 0.5);
        let least = machine.mean(simulation.shape(16_384, LEAST_ROWS));
        prop_assert!(usual <= (2.05 * quiet).max(least * 1.05), "{usual} of {quiet}");
        // Nor do they make it timid.
        let rows = 16_384.0 / steps.len() as f64;
        let fit = (1..4096).rev().find(|&rows| machine.mean(simulation.shape(8192, rows)) <= 1.5 * quiet);
        prop_assert!(1.5 * rows + 16.0 >= fit.unwrap_or(LEAST_ROWS) as f64, "{rows} rows of {fit:?}");
    }

    #[test]
    fn it_follows_a_machine_that_becomes_slower_or_faster(factor in 0.3f64..4.0, answers in 1usize..16, seed: u64) {
        let machine = Machine { prompt_row: 0.1, attended: 0.01, ..PLAIN };
        let mut simulation = Simulation::new(machine, 1000, answers, seed);
        simulation.quiet(50);
        simulation.prompt(4096);
        let Machine { step, decode_row, prompt_row, attended, .. } = machine;
        simulation.machine = Machine {
            step: step * factor, decode_row: decode_row * factor, prompt_row: prompt_row * factor,
            attended: attended * factor, ..machine
        };
        // It notices in quiet steps, and holds for prompts.
        simulation.length = 100;
        let quiet = quantile(simulation.quiet(60).into_iter().skip(40), 0.95);
        let steps = simulation.prompt(8192);
        let least = simulation.machine.mean(simulation.shape(8192, LEAST_ROWS)) * 1.06;
        let disturbed = quantile(milliseconds(&steps), 0.95);
        prop_assert!(disturbed <= (2.0 * quiet * 1.1).max(least), "{disturbed} of {quiet}");
        let rows = 8192.0 / steps.len() as f64;
        prop_assert!(rows >= 32.0, "it stays quick: {rows:.1} rows a step");
    }

    #[test]
    fn whatever_is_measured_a_prompt_progresses(
        seen in prop::collection::vec((0usize..100, 0usize..5000, 0usize..1_000_000, 0u64..10_000_000_000), 0..60),
        decode_rows in 1usize..64, attended in 0usize..1_000_000, prompt_at in 0usize..1_000_000,
    ) {
        let mut budget = StepBudget::new(Duration::from_millis(50));
        for (decode_rows, prompt_rows, attended, nanoseconds) in seen {
            let shape = StepShape { decode_rows, prompt_rows, decode_attended: attended, prompt_attended: attended, prompts: 1 };
            budget.observe(shape, Duration::from_nanos(nanoseconds));
            let rows = budget.prompt_rows(StepLoad { decode_rows: 1, decode_attended: attended, prompt_at, prompts: 1 });
            prop_assert!((LEAST_ROWS..1_000_000).contains(&rows), "{rows}");
        }
        let load = StepLoad { decode_rows, decode_attended: attended, prompt_at, prompts: 1 };
        prop_assert!(budget.prompt_rows(load) >= LEAST_ROWS);
    }
}
