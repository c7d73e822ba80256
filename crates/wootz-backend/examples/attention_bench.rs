//! Attention on the CPU device at the shapes of real models: `attention_bench [THREADS] [SHAPE] [CASE]`.
//!
//! A model is made whose heads and layers are those of a real one and whose matrices are next to nothing. A step's
//! time less that of the same rows without a context is what attention takes; beside it stand the two limits: the
//! keys and values that are read over the machine's bandwidth, and the multiplications over its f32 arithmetic. Other
//! memory is read between steps, as a real model reads its matrices: nothing of the context is left in a cache.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use wootz_backend::Model;
use wootz_backend::cpu::limits::{self, Limits};
use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_backend::step::{PAGE_TOKENS, SequenceSlice, Step};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// What attention depends on.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "qwen2.5-0.5b", layers: 24, heads: 14, kv_heads: 2, head_dim: 64 },
    Shape { name: "llama3.2-1b", layers: 16, heads: 32, kv_heads: 8, head_dim: 64 },
    Shape { name: "qwen3-0.6b", layers: 28, heads: 16, kv_heads: 8, head_dim: 128 },
    Shape { name: "stablelm-1.6b", layers: 24, heads: 32, kv_heads: 32, head_dim: 64 },
];

/// Everything that is no head is this wide.
const WIDTH: usize = 64;
/// Tokens of the longest context.
const CONTEXT: usize = 8192;
/// Words of the memory that is read between steps.
const OTHER: usize = (320 << 20) / size_of::<u64>();

/// A sequence's part of a step: so many rows after so many tokens.
type Part = (usize, usize);

/// Steps to measure, by what they are.
const CASES: [(&str, &[Part]); 8] = [
    ("1 row at 8000", &[(8000, 1)]),
    ("1 row at 500", &[(500, 1)]),
    ("2 rows at 8000", &[(8000, 2)]),
    ("4 rows at 8000", &[(8000, 4)]),
    ("4 answers at 200, 1 row at 8000", &[(200, 1), (200, 1), (200, 1), (200, 1), (7000, 1)]),
    ("12 answers at 200", &[(200, 1); 12]),
    ("512 rows of a prompt's start", &[(0, 512)]),
    ("128 rows at 4000", &[(4000, 128)]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let (shapes, cases) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let settings = CpuSettings { threads, pages: CONTEXT / PAGE_TOKENS, ..CpuSettings::default() };
    let machine = limits::measure(settings.isa, threads)?;
    let other: Vec<u64> = (0..OTHER as u64).collect();
    println!("{threads} threads: {:.0} GB/s, {:.0} GFLOP/s", machine.read / 1e9, machine.f32 / 1e9);
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&shapes)) {
        let folder = tempfile::tempdir()?;
        shape.write(folder.path())?;
        let checkpoint = Checkpoint::open(folder.path())?;
        let spec = ModelSpec::from_config(&checkpoint.config()?)?;
        let mut model = CpuModel::load(spec, &checkpoint, &settings, &mut |_| {})?;
        fill(&mut model)?;
        println!("{}:", shape.name);
        for (name, parts) in CASES.into_iter().filter(|(name, _)| name.contains(&cases)) {
            measure(&mut model, (*shape, &machine), &other, (name, parts))?;
        }
    }
    Ok(())
}

/// One line: the time of a step's attention, and the shares of the two limits.
fn measure(
    model: &mut CpuModel,
    (shape, machine): (Shape, &Limits),
    other: &[u64],
    (name, parts): (&str, &[Part]),
) -> Result<(), Box<dyn Error>> {
    let bare: Vec<Part> = parts.iter().map(|&(_, rows)| (0, rows)).collect();
    let (with, without) = (step(parts), step(&bare));
    let (mut times, mut bare_times) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while times.len() < 10 || begun.elapsed().as_millis() < 2000 {
        for (step, times) in [(&with, &mut times), (&without, &mut bare_times)] {
            std::hint::black_box(other.iter().fold(0, |all, word| all | word));
            let start = Instant::now();
            model.forward(step)?;
            times.push(start.elapsed().as_secs_f64());
        }
    }
    // A prompt's start is the only case without a context to leave out.
    let rest = if with == without { 0.0 } else { median(bare_times) };
    let time = median(times) - rest;
    let (bytes, operations) = shape.work(parts);
    let shares = [bytes / machine.read, operations / machine.f32].map(|least| least / time * 100.0);
    println!(
        "  {name:32} {:8.2} ms (the rest {:.2}); {:3.0}% of the bandwidth, {:3.0}% of the arithmetic",
        time * 1e3,
        rest * 1e3,
        shares[0],
        shares[1],
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The page that is the `index`th of the pool in an order without any: pages of a server that has run for a while.
fn scattered(index: usize) -> u32 {
    ((index * 211 + 17) % (CONTEXT / PAGE_TOKENS)) as u32
}

fn step(parts: &[Part]) -> Step {
    let mut step = Step::default();
    for &(start, rows) in parts {
        let (row, page) = (step.tokens.len(), step.page_table.len());
        let pages = (start + rows).div_ceil(PAGE_TOKENS);
        step.tokens.extend((0..rows).map(|index| (index % WIDTH) as u32));
        step.positions.extend((start..start + rows).map(|position| position as u32));
        step.sequences.push(SequenceSlice { rows: row..row + rows, pages: page..page + pages });
        step.page_table.extend((page..page + pages).map(scattered));
    }
    step.sample_rows.push(step.tokens.len() as u32 - 1);
    step
}

/// Every page of the pool gets keys and values.
fn fill(model: &mut CpuModel) -> Result<(), Box<dyn Error>> {
    let mut bytes = vec![0; model.cache().page_bytes()];
    for page in 0..model.limits().pages {
        for (index, element) in bytes.chunks_exact_mut(2).enumerate() {
            element.copy_from_slice(&half::f16::from_f32(noise(page * 7919 + index)).to_le_bytes());
        }
        model.write_page(page as u32, &bytes)?;
    }
    Ok(())
}

/// A number in -0.5 to 0.5.
fn noise(index: usize) -> f32 {
    ((index as u32).wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b) >> 8) as f32
        / 16_777_216.0
        - 0.5
}

impl Shape {
    /// Bytes that are read once at least, and operations, of a step's attention.
    fn work(&self, parts: &[Part]) -> (f64, f64) {
        let token = 2 * self.kv_heads * self.head_dim * size_of::<half::f16>() * self.layers;
        let bytes: usize = parts.iter().map(|&(start, rows)| (start + rows) * token).sum();
        let seen: usize = parts.iter().flat_map(|&(start, rows)| start + 1..=start + rows).sum();
        (bytes as f64, (seen * self.layers * self.heads * self.head_dim * 4) as f64)
    }

    /// A checkpoint of this shape.
    fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": WIDTH, "intermediate_size": WIDTH, "vocab_size": WIDTH, "head_dim": self.head_dim,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "num_hidden_layers": self.layers, "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        });
        std::fs::write(folder.join("config.json"), config.to_string())?;
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, shape) in self.tensors() {
            let start = data.len();
            let values = (0..shape.iter().product()).map(|index| noise(start + index));
            data.extend(values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()));
            let entry =
                serde_json::json!({ "dtype": "F16", "shape": shape, "data_offsets": [start, data.len()] });
            header.insert(name, entry);
        }
        let header = serde_json::Value::Object(header).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend(data);
        Ok(std::fs::write(folder.join("model.safetensors"), file)?)
    }

    /// The checkpoint's tensors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut tensors = vec![
            ("model.embed_tokens.weight".to_owned(), vec![WIDTH, WIDTH]),
            ("model.norm.weight".to_owned(), vec![WIDTH]),
        ];
        for layer in 0..self.layers {
            for (name, shape) in [
                ("self_attn.q_proj", vec![queries, WIDTH]),
                ("self_attn.k_proj", vec![keys, WIDTH]),
                ("self_attn.v_proj", vec![keys, WIDTH]),
                ("self_attn.o_proj", vec![WIDTH, queries]),
                ("mlp.gate_proj", vec![WIDTH, WIDTH]),
                ("mlp.up_proj", vec![WIDTH, WIDTH]),
                ("mlp.down_proj", vec![WIDTH, WIDTH]),
                ("input_layernorm", vec![WIDTH]),
                ("post_attention_layernorm", vec![WIDTH]),
            ] {
                tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
            }
        }
        tensors
    }
}
