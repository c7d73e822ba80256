//! What the scheduler itself costs: `scheduler_bench [SEQUENCES] [PROMPT TOKENS] [STEPS]`.
//!
//! Sequences with prompts of their own run side by side; the device's part is left out (it draws the same token each time).
//! Prints how long it takes to plan a step and to take its results in, while all of them generate.

use std::error::Error;
use std::time::{Duration, Instant};

use wootz_backend::sampling::Sampled;
use wootz_backend::step::{PAGE_TOKENS, StepLimits};
use wootz_engine::{Drawing, EngineSettings, Request, RequestId, Scheduler};

const VOCAB: usize = 150_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (sequences, prompt, steps) = (number(64)?, number(1000)?, number(1000)?);

    // Those that begin first go on until the last has begun.
    let positions = prompt + steps + sequences * prompt / 100 + PAGE_TOKENS;
    let pages = sequences * positions.div_ceil(PAGE_TOKENS) + 1;
    let limits = StepLimits { vocab: VOCAB, positions, rows: 512.max(sequences), samples: sequences, pages };
    let mut scheduler = Scheduler::new(limits, &EngineSettings { sequences, ..EngineSettings::default() });
    for id in 0..sequences {
        let tokens = (0..prompt).map(|place| ((place * 31 + id * 977) % VOCAB) as u32).collect();
        scheduler.add(RequestId(id as u64), Request::new(tokens, vec![]), Drawing::Device, Duration::ZERO)?;
    }
    let (mut planning, mut taking_in, mut both) = (Vec::new(), Vec::new(), Vec::new());
    while planning.len() < steps {
        let begun = Instant::now();
        let Some(step) = scheduler.plan(Duration::ZERO, Drawing::Device) else { break };
        let planned = begun.elapsed();
        let token = |row| Ok(Sampled { token: row as u32 % 1000, logprobs: None });
        let drawn: Vec<_> = (0..step.sample_rows.len()).map(token).collect();
        scheduler.took(Duration::from_millis(5));
        let begun = Instant::now();
        let events = scheduler.apply_drawn(&drawn);
        let taken_in = begun.elapsed();
        // Only the steps in which everybody generates.
        if step.rows() == sequences && events.len() == sequences {
            planning.push(planned);
            taking_in.push(taken_in);
            both.push(planned + taken_in);
        }
    }
    println!("{sequences} sequences, prompts of {prompt} tokens, {} steps", planning.len());
    report("plan", &mut planning);
    report("apply", &mut taking_in);
    report("both", &mut both);
    Ok(())
}

fn report(what: &str, durations: &mut [Duration]) {
    durations.sort_unstable();
    let at =
        |share: f64| durations.get((durations.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("{what:>6}: median {:.1?}, p99 {:.1?}", at(0.5), at(0.99));
}
