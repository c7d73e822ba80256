//! Time of one draw from a large vocabulary, under usual settings: `cargo run --release -p wootz-engine --example
//! sampler_bench`.

use std::time::Instant;

use wootz_engine::{Logprobs, Place, Sampler, SamplingSettings};

const VOCAB: usize = 151_936;
const DRAWS: u64 = 200;

fn main() {
    let logits: Vec<f32> = (0..VOCAB as u32)
        .map(|token| {
            // Heavy-tailed, as logits are: most tokens far below a few likely ones.
            let uniform = (token.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
            -2.5 * (uniform + 1e-6).ln() - 3.0
        })
        .collect();
    let context: Vec<u32> = (0..1000).map(|i| i * 37 % 5000).collect();
    let plain = SamplingSettings::plain(0.8);
    let cases = [
        ("greedy", SamplingSettings::greedy(), Logprobs::None),
        ("temperature", plain.clone(), Logprobs::None),
        ("default (top-k 40, top-p, min-p)", SamplingSettings::default(), Logprobs::None),
        ("top-p 0.95", SamplingSettings { top_p: 0.95, ..plain.clone() }, Logprobs::None),
        ("min-p 0.05", SamplingSettings { min_p: 0.05, ..plain.clone() }, Logprobs::None),
        ("typical-p 0.9", SamplingSettings { typical_p: 0.9, ..plain }, Logprobs::None),
        (
            "default, repetition penalty",
            SamplingSettings { repetition_penalty: 1.1, ..SamplingSettings::default() },
            Logprobs::None,
        ),
        ("default, 5 log probabilities", SamplingSettings::default(), Logprobs::Top(5)),
    ];
    println!("{VOCAB} tokens, fastest of {DRAWS} draws");
    for (name, settings, logprobs) in cases {
        let mut sampler = Sampler::new(settings, logprobs, VOCAB).expect("the settings are valid");
        let mut best = f64::INFINITY;
        for draw in 0..DRAWS {
            let begun = Instant::now();
            let sampled = sampler
                .sample(&logits, Place { context: &context, draw, allowed: None })
                .expect("the logits are numbers");
            std::hint::black_box(sampled);
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("{name:<34} {:>8.1} µs", best * 1e6);
    }
}
