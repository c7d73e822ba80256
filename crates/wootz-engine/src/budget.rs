//! How many prompt rows a step may have while answers stream.
//!
//! A step gives every running answer its next token, and has room for rows of prompts besides. More of them make the
//! step longer, and all answers wait for it. So a step may take at most [`SLOWDOWN`] times as long as it would without
//! prompts. Within that it aims at the target, but leaves prompts room ([`LEAST_SLOWDOWN`]) where a step without any takes
//! nearly as long as the target or longer: prompts that starve keep the batch half empty, which costs everybody more. What
//! that means in rows is learned from the steps that were run.

mod cost;

use std::time::Duration;

use cost::{Shape, StepCost};

/// How many times as long as without prompts a step may take while answers stream.
const SLOWDOWN: f64 = 2.0;

/// How many times as long it may take whatever the target is, while few prompts wait beside many answers. Where as many
/// wait as there are answers it is [`SLOWDOWN`], and beyond that more: protecting a few from waiting would make more wait,
/// and for longer.
const LEAST_SLOWDOWN: f64 = 1.5;

/// How many times as long it may take where [`CROWD`] times as many prompts wait as there are answers.
const CROWDED_SLOWDOWN: f64 = 3.0;

/// See [`CROWDED_SLOWDOWN`].
const CROWD: f64 = 1.5;

/// A step is aimed to end a little before its limit: the estimate is a mean, and limits are for nearly all steps.
const HEADROOM: f64 = 0.86;

/// The fewest prompt rows in a step, whatever they cost: a prompt always progresses. After thousands of positions each
/// row attends to all of them, and on a CPU four would take longer than a quiet step of a small model.
pub const LEAST_ROWS: usize = 2;

/// The prompt rows of the first step with streaming answers, before any such step was measured.
const FIRST_ROWS: usize = 16;

/// Until the first step that took too long, the ceiling doubles.
const EARLY_GROWTH: f64 = 2.0;
/// After it, the ceiling grows by this much more with every step that was in time: hardly at first, soon faster. With
/// [`RETREAT`] about three steps in a hundred take too long.
const LATER_GROWTH: f64 = 0.0002;
/// The most that the ceiling grows by then.
const GREATEST_LATER_GROWTH: f64 = 0.1;
/// How far below what would just have fitted the ceiling goes after a step that took too long.
const RETREAT: f64 = 0.9;
/// The most that one step lowers the ceiling.
const GREATEST_FALL: f64 = 0.8;
/// A single step that takes more than so many times its limit is a hiccup of the machine, and no measure for rows.
const HICCUP: f64 = 1.5;

/// So many steps with prompts in them tell what a step without would take, if none was measured.
const ENOUGH_MIXED: u32 = 6;

/// What a step has to compute before prompts are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepLoad {
    /// Rows of streaming answers.
    pub decode_rows: usize,
    /// The positions that these rows attend to, in all.
    pub decode_attended: usize,
    /// The position of the first prompt row that could be added.
    pub prompt_at: usize,
    /// Prompts that are not computed yet, or not to their end.
    pub prompts: usize,
}

/// What a step computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepShape {
    /// Rows of streaming answers.
    pub decode_rows: usize,
    /// The positions that these rows attend to, in all.
    pub decode_attended: usize,
    /// Rows of prompts.
    pub prompt_rows: usize,
    /// The positions that these rows attend to, in all: each its own and all before it.
    pub prompt_attended: usize,
    /// [`StepLoad::prompts`] when the step was planned.
    pub prompts: usize,
}

/// Learns what steps cost, and says how many prompt rows fit. No clock: durations come in as arguments.
#[derive(Debug, Clone)]
pub struct StepBudget {
    /// Seconds.
    target: f64,
    cost: StepCost,
    /// The most prompt rows of a step with streaming answers. The estimate is trusted only near what was measured, and
    /// real costs are no straight lines: the ceiling moves with what steps really took.
    ceiling: f64,
    /// How many steps since the last one that took too long; `None` before the first such.
    in_time: Option<u32>,
    /// Whether the step before took too long.
    late_before: bool,
}

impl StepBudget {
    /// A budget that has seen nothing, for steps that should take no longer than `target`.
    pub fn new(target: Duration) -> Self {
        let cost = StepCost::default();
        Self {
            target: target.as_secs_f64(),
            cost,
            ceiling: FIRST_ROWS as f64,
            in_time: None,
            late_before: false,
        }
    }

    /// The prompt rows that the next step may have: with nothing streaming, any number; else at least
    /// [`LEAST_ROWS`].
    pub fn prompt_rows(&self, load: StepLoad) -> usize {
        if load.decode_rows == 0 {
            return usize::MAX;
        }
        let most = (self.ceiling as usize).max(LEAST_ROWS);
        let (decode_rows, decode_attended) = (load.decode_rows as f64, load.decode_attended as f64);
        let limit = self.limit(load.prompts, decode_rows, decode_attended) * HEADROOM;
        // The cost grows with the rows: the largest number that fits is found by halving.
        let (mut fits, mut too_many) = (0, most + 1);
        while too_many - fits > 1 {
            let rows = fits + (too_many - fits) / 2;
            match self.cost.seconds(with_prompt(load, rows)) <= limit {
                true => fits = rows,
                false => too_many = rows,
            }
        }
        fits.max(LEAST_ROWS)
    }

    /// Takes in how long a step took, from its start on the device until its results were there.
    pub fn observe(&mut self, shape: StepShape, took: Duration) {
        if shape.decode_rows + shape.prompt_rows == 0 || took.is_zero() {
            return;
        }
        let seconds = took.as_secs_f64();
        if shape.decode_rows > 0 && shape.prompt_rows > 0 {
            self.move_ceiling(shape, seconds);
        }
        self.cost.observe(cost_shape(shape), seconds);
    }

    /// What a step of this shape is expected to take; `None` before anything was measured.
    pub fn expected(&self, shape: StepShape) -> Option<Duration> {
        let known = self.cost.quiet_seen() + self.cost.mixed_seen() > 0;
        known.then(|| Duration::from_secs_f64(self.cost.seconds(cost_shape(shape)).min(1e6)))
    }

    fn move_ceiling(&mut self, shape: StepShape, seconds: f64) {
        let limit = self.limit(shape.prompts, shape.decode_rows as f64, shape.decode_attended as f64);
        let rows = shape.prompt_rows as f64;
        let late = seconds > limit;
        let hiccup = seconds > HICCUP * limit && !self.late_before;
        self.late_before = late;
        if late && !hiccup {
            let fall = (limit / seconds * RETREAT).max(GREATEST_FALL);
            self.ceiling = self.ceiling.min(rows * fall).max(LEAST_ROWS as f64);
            self.in_time = Some(0);
        } else if rows + LEAST_ROWS as f64 > self.ceiling {
            // Only a step that used the ceiling says that it could be higher.
            self.in_time = self.in_time.map(|count| count.saturating_add(1));
            let later = |count| 1.0 + (LATER_GROWTH * f64::from(count)).min(GREATEST_LATER_GROWTH);
            self.ceiling *= self.in_time.map_or(EARLY_GROWTH, later);
        }
    }

    /// Seconds that a step with these rows of answers should not exceed.
    fn limit(&self, prompts: usize, decode_rows: f64, decode_attended: f64) -> f64 {
        // The target is for 95 of 100 steps.
        let target = self.target / (1.0 + self.cost.spread());
        if self.cost.quiet_seen() == 0 && self.cost.mixed_seen() < ENOUGH_MIXED {
            return target;
        }
        let quiet = Shape { decode_rows, prompt_rows: 0.0, attended: decode_attended };
        let quiet = self.cost.seconds(quiet);
        let least = least_slowdown(prompts as f64 / decode_rows);
        target.clamp(least * quiet, least.max(SLOWDOWN) * quiet)
    }
}

/// How many times as long as without prompts a step may take whatever the target is, with so many prompts for each answer.
fn least_slowdown(crowd: f64) -> f64 {
    match crowd {
        ..1.0 => LEAST_SLOWDOWN + (SLOWDOWN - LEAST_SLOWDOWN) * crowd,
        _ => SLOWDOWN + (CROWDED_SLOWDOWN - SLOWDOWN) * ((crowd - 1.0) / (CROWD - 1.0)).min(1.0),
    }
}

/// A load together with so many rows of a prompt, each of which attends to all positions up to its own.
fn with_prompt(load: StepLoad, rows: usize) -> Shape {
    let (at, count) = (load.prompt_at as f64, rows as f64);
    Shape {
        decode_rows: load.decode_rows as f64,
        prompt_rows: count,
        attended: load.decode_attended as f64 + count * at + count * (count + 1.0) / 2.0,
    }
}

fn cost_shape(shape: StepShape) -> Shape {
    Shape {
        decode_rows: shape.decode_rows as f64,
        prompt_rows: shape.prompt_rows as f64,
        attended: shape.decode_attended as f64 + shape.prompt_attended as f64,
    }
}
