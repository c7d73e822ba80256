//! What a shared prefix saves: `shared_prefix MODEL [PREFIX TOKENS] [REQUESTS]`.
//!
//! Requests that begin with the same tokens come one after the other. Prints the time to the first token of the first,
//! which computes the prefix, and of the others, which find it.

mod common;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::{Failure, Loaded, first_token, load, quantile, tokens};
use wootz_engine::{EngineSettings, Request};

/// Tokens of each request's own, after the prefix.
const OWN: usize = 8;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("shared_prefix MODEL [PREFIX TOKENS] [REQUESTS]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (prefix, requests) = (number(1000)?, number(16)?);

    let loaded = load(&path, prefix + requests * 64, EngineSettings::default())?;
    // The threads wake up and the weights are read once before anything is measured.
    time_to_first_token(&loaded, tokens(7, 64, loaded.vocab))?;
    let before = loaded.engine.metrics().prefix;
    let shared = tokens(1, prefix, loaded.vocab);
    let mut times = Vec::new();
    for number in 0..requests {
        let own = tokens(100 + number as u64, OWN, loaded.vocab);
        times.push(time_to_first_token(&loaded, [shared.clone(), own].concat())?);
    }
    let (cold, warm) = times.split_at_mut(1);
    let usual = quantile(warm, 0.5);
    let ratio = cold[0].as_secs_f64() / usual.as_secs_f64();
    println!(
        "first token: cold {:.1?}, warm {usual:.1?} (at most {:.1?}), {ratio:.1}x",
        cold[0],
        quantile(warm, 1.0)
    );
    let prefix = loaded.engine.metrics().prefix;
    println!("blocks: {} found, {} not found", prefix.hits - before.hits, prefix.misses - before.misses);
    Ok(())
}

fn time_to_first_token(loaded: &Loaded, prompt: Vec<u32>) -> Result<Duration, Failure> {
    let request = Request { max_tokens: NonZeroUsize::new(1), ..Request::new(prompt, vec![]) };
    let begun = Instant::now();
    let stream = loaded.engine.submit(request)?;
    let first = first_token(&stream)?;
    while stream.next_event()?.is_some() {}
    Ok(first.duration_since(begun))
}
