//! What a step costs, learned while steps run.
//!
//! seconds = speed · (a + b · decode rows + c · prompt rows + d · attended positions), nothing negative.
//!
//! The four coefficients are a least-squares fit that forgets slowly. Steps with prompt rows and steps without are
//! summed apart, so that an hour of quiet steps does not make it forget what prompts cost. Residuals are relative,
//! so that long steps don't drown short ones, and large ones count less (Huber's weights), so that a hiccup of the
//! machine changes little. `speed` follows the clock of the machine within some tens of steps, whichever kind of step
//! is measured.

/// How much of the past is left after one more step of the same kind: about the last 60 steps without prompts, and the
/// last 25 with.
const QUIET_MEMORY: f64 = 1.0 - 1.0 / 60.0;
/// See [`QUIET_MEMORY`].
const MIXED_MEMORY: f64 = 1.0 - 1.0 / 25.0;

/// Residuals beyond so many times the usual one are outliers.
const OUTLIER: f64 = 3.0;

/// The usual residual is never taken to be smaller than this: clocks and caches are not that steady.
const LEAST_SPREAD: f64 = 0.02;

/// How much of a residual the speed follows at once.
const QUIET_GAIN: f64 = 0.2;
/// Less of one of a step with prompt rows: such steps may as well differ because their rows cost something else now,
/// and that must not change what quiet steps are thought to take.
const MIXED_GAIN: f64 = 0.03;

/// Steps of a kind before its residuals say something about the speed, and about the spread.
const FAMILIAR: u32 = 8;

/// Coefficients.
const TERMS: usize = 4;

/// What a step computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) decode_rows: f64,
    pub(super) prompt_rows: f64,
    pub(super) attended: f64,
}

impl Shape {
    /// The terms, all of about the same size, so that the fit is well conditioned.
    fn terms(self) -> [f64; TERMS] {
        [1.0, self.decode_rows / 8.0, self.prompt_rows / 64.0, self.attended / 16_384.0]
    }
}

/// The model of a step's cost.
#[derive(Debug, Clone)]
pub(super) struct StepCost {
    coefficients: [f64; TERMS],
    speed: f64,
    quiet: Kind,
    mixed: Kind,
}

/// What is known of steps with prompt rows, or of steps without.
#[derive(Debug, Clone, Default)]
struct Kind {
    /// Σ w · x xᵀ and Σ w · x y, the sums that a least-squares fit needs.
    gram: [[f64; TERMS]; TERMS],
    rhs: [f64; TERMS],
    /// How far a step usually is from its estimate, as a part of it.
    spread: f64,
    seen: u32,
}

impl Default for StepCost {
    fn default() -> Self {
        Self { coefficients: [0.0; TERMS], speed: 1.0, quiet: Kind::default(), mixed: Kind::default() }
    }
}

impl StepCost {
    /// Steps without prompt rows that were measured.
    pub(super) fn quiet_seen(&self) -> u32 {
        self.quiet.seen
    }

    /// Steps with prompt rows that were measured.
    pub(super) fn mixed_seen(&self) -> u32 {
        self.mixed.seen
    }

    /// The part of its estimate by which a step may be longer, 95 times of 100.
    pub(super) fn spread(&self) -> f64 {
        // For a normal distribution that is 1.65 standard deviations, which are 2.06 mean absolute deviations.
        (2.06 * self.mixed.spread.max(self.quiet.spread)).min(0.5)
    }

    /// The estimate for a step.
    pub(super) fn seconds(&self, shape: Shape) -> f64 {
        self.speed * self.fit(shape.terms())
    }

    fn fit(&self, terms: [f64; TERMS]) -> f64 {
        terms.iter().zip(self.coefficients).map(|(term, coefficient)| term * coefficient).sum()
    }

    /// Takes in a measured step.
    pub(super) fn observe(&mut self, shape: Shape, seconds: f64) {
        let terms = shape.terms();
        let estimate = self.speed * self.fit(terms);
        let quiet = shape.prompt_rows == 0.0;
        let (kind, memory, gain) = match quiet {
            true => (&mut self.quiet, QUIET_MEMORY, QUIET_GAIN),
            false => (&mut self.mixed, MIXED_MEMORY, MIXED_GAIN),
        };
        kind.seen = kind.seen.saturating_add(1);
        let mut weight = 1.0;
        if estimate > 0.0 {
            // Symmetric in being twice as slow and twice as fast.
            let residual = (seconds / estimate).ln();
            let usual = kind.spread.max(LEAST_SPREAD);
            weight = (OUTLIER * usual / residual.abs()).min(1.0);
            if kind.seen > FAMILIAR {
                let clipped = residual.clamp(-OUTLIER * usual, OUTLIER * usual);
                self.speed *= (gain * clipped).exp();
            }
            // A residual that stays large is no outlier: the usual one grows towards it, by a third a step.
            let bounded = residual.abs().min((OUTLIER + 1.0) * usual);
            kind.spread += 0.1 * (bounded - kind.spread);
        }
        kind.add(terms, seconds / self.speed, weight, memory);
        self.coefficients = solve(&self.quiet, &self.mixed);
    }
}

impl Kind {
    /// Adds a step to the sums. A relative error counts, so each is divided by what it took.
    fn add(&mut self, terms: [f64; TERMS], seconds: f64, weight: f64, memory: f64) {
        let weight = weight / (seconds * seconds);
        for (i, term) in terms.iter().enumerate() {
            for (sum, other) in self.gram[i].iter_mut().zip(terms) {
                *sum = *sum * memory + weight * term * other;
            }
            self.rhs[i] = self.rhs[i] * memory + weight * term * seconds;
        }
    }
}

/// The coefficients that fit both kinds best, none negative.
fn solve(quiet: &Kind, mixed: &Kind) -> [f64; TERMS] {
    let sum = |i: usize, j: usize| quiet.gram[i][j] + mixed.gram[i][j];
    // A little towards zero: what cannot be told apart is shared, and nothing is divided by zero.
    let damped =
        |i: usize, j: usize| if i == j { sum(i, j) * (1.0 + 1e-4) + f64::MIN_POSITIVE } else { sum(i, j) };
    let gram = std::array::from_fn(|i| std::array::from_fn(|j| damped(i, j)));
    let rhs = std::array::from_fn(|i| quiet.rhs[i] + mixed.rhs[i]);
    // A term that comes out negative does not pay for anything: the fit is made again without it.
    let mut used = [true; TERMS];
    loop {
        let found = eliminate(gram, rhs, used);
        let least = (0..TERMS).filter(|&i| used[i]).min_by(|&i, &j| found[i].total_cmp(&found[j]));
        match least {
            Some(term) if found[term] < 0.0 => used[term] = false,
            _ => return found,
        }
    }
}

/// Solves the positive definite system of the terms in use; the others are zero.
fn eliminate(mut gram: [[f64; TERMS]; TERMS], mut rhs: [f64; TERMS], used: [bool; TERMS]) -> [f64; TERMS] {
    for i in 0..TERMS {
        if !used[i] {
            gram[i] = [0.0; TERMS];
            gram.iter_mut().for_each(|row| row[i] = 0.0);
            (gram[i][i], rhs[i]) = (1.0, 0.0);
        }
    }
    for pivot in 0..TERMS {
        for row in pivot + 1..TERMS {
            let factor = gram[row][pivot] / gram[pivot][pivot];
            let above = gram[pivot];
            gram[row].iter_mut().zip(above).for_each(|(value, above)| *value -= factor * above);
            rhs[row] -= factor * rhs[pivot];
        }
    }
    let mut found = [0.0; TERMS];
    for row in (0..TERMS).rev() {
        let known: f64 = (row + 1..TERMS).map(|column| gram[row][column] * found[column]).sum();
        found[row] = (rhs[row] - known) / gram[row][row];
    }
    found
}
