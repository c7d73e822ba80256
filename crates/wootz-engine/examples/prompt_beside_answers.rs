//! What a long prompt costs those whose answers stream: `prompt_beside_answers MODEL [PROMPT TOKENS] [ANSWERS]`.
//!
//! A few answers stream; then a long prompt comes. Prints the time between two tokens before and meanwhile, and how long
//! the prompt took to its first token.

mod common;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Failure, first_token, load, quantile, tokens};
use wootz_engine::{Engine, EngineSettings, EventKind, Request};

/// How long answers stream before the prompt comes.
const QUIET: Duration = Duration::from_secs(6);

type Times = Arc<Mutex<Vec<Instant>>>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("prompt_beside_answers MODEL [PROMPT TOKENS] [ANSWERS]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (prompt, answers) = (number(8192)?, number(4)?);

    let settings = EngineSettings { target: Duration::from_secs(1), ..EngineSettings::default() };
    let loaded = load(&path, prompt + answers * 4096, settings)?;
    let engine = Arc::new(loaded.engine);
    let answers = (0..answers)
        .map(|number| stream(&engine, tokens(number as u64 + 1, 64, loaded.vocab)))
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(QUIET);

    let request = Request {
        max_tokens: NonZeroUsize::new(1),
        ..Request::new(tokens(99, prompt, loaded.vocab), vec![])
    };
    let came = Instant::now();
    let first = first_token(&engine.submit(request)?)?;
    let took = first.duration_since(came);
    let mut quiet = gaps(&answers, came - QUIET * 2 / 3, came);
    let mut disturbed = gaps(&answers, came, first);
    println!(
        "prompt of {prompt} tokens: first token after {took:.2?}, {:.0} tokens/s",
        prompt as f64 / took.as_secs_f64()
    );
    for share in [0.5, 0.95, 0.99] {
        let (quiet, disturbed) = (quantile(&mut quiet, share), quantile(&mut disturbed, share));
        let ratio = disturbed.as_secs_f64() / quiet.as_secs_f64();
        println!(
            "between tokens, p{:.0}: quiet {quiet:.1?}, beside the prompt {disturbed:.1?}, {ratio:.2}x",
            share * 100.0
        );
    }
    let metrics = engine.metrics();
    let share = metrics.scheduler_seconds / metrics.steps.sum();
    println!("{} steps; the scheduler took {:.2}% of their time", metrics.steps.count(), share * 100.0);
    Ok(())
}

/// Begins an answer whose tokens' times are noted until the program ends.
fn stream(engine: &Arc<Engine>, prompt: Vec<u32>) -> Result<Times, Failure> {
    let stream = engine.submit(Request::new(prompt, vec![]))?;
    let times = Times::default();
    let noted = Arc::clone(&times);
    std::thread::spawn(move || {
        while let Ok(Some(event)) = stream.next_event() {
            if let EventKind::Token(_) = event.kind {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
        }
    });
    Ok(times)
}

/// The gaps between two tokens of the same answer that end within a time.
fn gaps(answers: &[Times], from: Instant, until: Instant) -> Vec<Duration> {
    let mut gaps = Vec::new();
    for times in answers {
        let times = times.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = times.windows(2).filter(|pair| pair[0] >= from && pair[1] <= until);
        gaps.extend(pairs.map(|pair| pair[1].duration_since(pair[0])));
    }
    gaps
}
