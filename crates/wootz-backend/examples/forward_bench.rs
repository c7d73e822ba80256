//! Prompt processing and generation of a model on the CPU device: `forward_bench MODEL [THREADS] [PROMPT] [GENERATED]`.

use std::time::{Duration, Instant};

use wootz_backend::Model;
use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

fn step(start: usize, len: usize) -> Step {
    let pages = (start + len).div_ceil(16);
    Step {
        tokens: (start..start + len).map(|index| (index * 7919 % 10_000) as u32).collect(),
        positions: (start..start + len).map(|position| position as u32).collect(),
        sequences: vec![SequenceSlice { rows: 0..len, pages: 0..pages }],
        page_table: (0..pages as u32).collect(),
        sample_rows: vec![len as u32 - 1],
        copies: Vec::new(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("forward_bench MODEL [THREADS] [PROMPT] [GENERATED] [DEPTH]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (threads, prompt, generated, depth) = (number(2)?, number(512)?, number(64)?, number(0)?);

    let begun = Instant::now();
    let checkpoint = Checkpoint::open(&path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let pages = (prompt.max(generated) + depth).div_ceil(16) + 1;
    let settings = CpuSettings { threads, pages, ..CpuSettings::default() };
    let mut model = CpuModel::load(spec, &checkpoint, &settings, &mut |_| {})?;
    println!("{model:?}: loaded in {:?}, {:?}", begun.elapsed(), model.memory());

    if prompt > 0 {
        let mut best = Duration::MAX;
        for _ in 0..4 {
            let begun = Instant::now();
            for start in (0..prompt).step_by(settings.rows) {
                model.forward(&step(start, (prompt - start).min(settings.rows)))?;
            }
            best = best.min(begun.elapsed());
        }
        println!("pp{prompt}: {:.1} tokens/s", prompt as f64 / best.as_secs_f64());
    }
    if generated > 0 {
        let mut times = Vec::new();
        for position in depth..depth + generated {
            let begun = Instant::now();
            model.forward(&step(position, 1))?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let (best, median) = (times[0].as_secs_f64(), times[times.len() / 2].as_secs_f64());
        let read = model.bytes_per_token() as f64 / 1e9;
        println!(
            "tg{generated}@{depth}: best {:.1}, median {:.1} tokens/s; {:.1} GB/s at best",
            1.0 / best,
            1.0 / median,
            read / best
        );
    }
    Ok(())
}
