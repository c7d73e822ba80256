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
pub const SLOWDOWN: f64 = 2.0;

/// How many times as long it may take whatever the target is, while few prompts wait beside many answers. Where as many
/// wait as there are answers it is [`SLOWDOWN`], and beyond that more: protecting a few from waiting would make more wait,
/// and for longer.
pub const LEAST_SLOWDOWN: f64 = 1.5;

/// How many times as long it may take where [`CROWD`] times as many prompts wait as there are answers.
pub const CROWDED_SLOWDOWN: f64 = 3.0;

/// See [`CROWDED_SLOWDOWN`].
const CROWD: f64 = 1.5;

/// A step is aimed to end a little before its limit: the estimate is a mean, and limits are for nearly all steps.
const HEADROOM: f64 = 0.9;

/// The fewest prompt rows in a step, whatever they cost: a prompt always progresses. Late in a long prompt a row attends to
/// all of it, and on a CPU two would take longer than a quiet step of a small model.
pub const LEAST_ROWS: usize = 1;

/// The prompt rows of the first step with streaming answers, before any such step was measured.
const FIRST_ROWS: usize = 16;

/// Until the first step that took too long, the ceiling doubles.
const EARLY_GROWTH: f64 = 2.0;
/// After it, the ceiling grows by this much more with every step that was in time: hardly at first, soon faster. With
/// [`RETREAT`] about three steps in a hundred take too long.
const LATER_GROWTH: f64 = 0.0002;
/// The most that the ceiling grows by then.
const GREATEST_LATER_GROWTH: f64 = 0.1;
/// By so much it grows also after a step that took less than this part of its limit: the ceiling is from other times.
const ROOMY: f64 = 0.75;
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
    ceiling: Ceiling,
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
            ceiling: Ceiling { rows: FIRST_ROWS as f64, room: None },
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
        let (decode_rows, decode_attended) = (load.decode_rows as f64, load.decode_attended as f64);
        let limit = self.limit(load.prompts, decode_rows, decode_attended);
        let most = (self.ceiling.rows_in(limit.room) as usize).max(LEAST_ROWS);
        let limit = limit.seconds * HEADROOM;
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
        let (rows, ceiling) = (shape.prompt_rows as f64, self.ceiling.rows_in(limit.room));
        let late = seconds > limit.seconds;
        let hiccup = seconds > HICCUP * limit.seconds && !self.late_before;
        self.late_before = late;
        let moved = if late && !hiccup {
            let fall = (limit.seconds / seconds * RETREAT).max(GREATEST_FALL);
            self.in_time = Some(0);
            ceiling.min(rows * fall).max(LEAST_ROWS as f64)
        } else if rows + LEAST_ROWS as f64 > ceiling {
            // Only a step that used the ceiling says that it could be higher.
            self.in_time = self.in_time.map(|count| count.saturating_add(1));
            let later = |count| match seconds < ROOMY * limit.seconds {
                true => 1.0 + GREATEST_LATER_GROWTH,
                false => 1.0 + (LATER_GROWTH * f64::from(count)).min(GREATEST_LATER_GROWTH),
            };
            ceiling * self.in_time.map_or(EARLY_GROWTH, later)
        } else {
            return;
        };
        self.ceiling = Ceiling { rows: moved, room: Some(limit.room) };
    }

    /// How long a step with these rows of answers should take at most.
    fn limit(&self, prompts: usize, decode_rows: f64, decode_attended: f64) -> Limit {
        // The target is for 95 of 100 steps.
        let target = self.target / (1.0 + self.cost.spread());
        if self.cost.quiet_seen() == 0 && self.cost.mixed_seen() < ENOUGH_MIXED {
            return Limit { seconds: target, room: target };
        }
        let quiet = Shape { decode_rows, prompt_rows: 0.0, attended: decode_attended };
        let quiet = self.cost.seconds(quiet);
        let crowd = prompts as f64 / decode_rows;
        let least = LEAST_SLOWDOWN + (SLOWDOWN - LEAST_SLOWDOWN) * crowd.min(1.0);
        let least = least + (CROWDED_SLOWDOWN - SLOWDOWN) * ((crowd - 1.0) / (CROWD - 1.0)).clamp(0.0, 1.0);
        let seconds = target.clamp(least * quiet, least.max(SLOWDOWN) * quiet);
        Limit { seconds, room: seconds - quiet }
    }
}

/// How long a step should take at most.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// In all.
    seconds: f64,
    /// Of these, what its answers leave.
    room: f64,
}

/// The most prompt rows of a step with streaming answers.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    rows: f64,
    /// The room that steps had when the ceiling was moved last; `None` before it was moved.
    room: Option<f64>,
}

impl Ceiling {
    /// The rows for steps with another room: in proportion, but no further than a few times from what was tried.
    fn rows_in(self, room: f64) -> f64 {
        let share = self.room.map_or(1.0, |before| room / before);
        self.rows * if share.is_finite() { share.clamp(0.25, 4.0) } else { 1.0 }
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
