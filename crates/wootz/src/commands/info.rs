//! `wootz info`.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use wootz_backend::cache::pages_for;
use wootz_backend::ops::{Program, Rows};
use wootz_backend::program::program;
use wootz_backend::step::PAGE_TOKENS;
use wootz_spec::{Ffn, Head, Mixer, ModelSpec, RopeScaling, Span};
use wootz_weights::chat_template::ChatTemplate;
use wootz_weights::tokenizer::Tokenizer;
use wootz_weights::{Checkpoint, CheckpointFormat};

use crate::failure::Failure;
use crate::loading::{self, ContextOption};
use crate::model_path;
use crate::table::{Align, Table, bytes, count};

/// Arguments of `wootz info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz info model.gguf
  wootz info model.gguf --context 4096      what a context of that length takes
  wootz info ./Qwen3-0.6B --tensors         every tensor: its type and shape")]
pub struct InfoArguments {
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    model: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
    #[command(flatten)]
    context: ContextOption,
}

/// Rows of a prompt's chunk, as `run` has them.
const ROWS: usize = 512;

/// Prints what is known of the model.
pub fn run(arguments: &InfoArguments) -> Result<(), Failure> {
    let path = model_path::find(arguments.model.as_deref())?;
    let checkpoint = Checkpoint::open(&path)?;
    let mut out = stdout().lock();
    let format = match checkpoint.format() {
        CheckpointFormat::Gguf => "GGUF",
        CheckpointFormat::HuggingFace => "Hugging Face folder",
    };
    line(&mut out, "model", &format!("{} ({format})", path.display()))?;
    match loading::spec(&checkpoint) {
        Ok(spec) => {
            architecture(&mut out, &spec)?;
            contents(&mut out, &checkpoint)?;
            if checkpoint.tensors().len() > 0 {
                memory(&mut out, &spec, &checkpoint, arguments.context)?;
            }
            text(&mut out, &checkpoint)?;
        }
        // What the file holds is worth showing, though it cannot be run.
        Err(failure) => {
            contents(&mut out, &checkpoint)?;
            text(&mut out, &checkpoint)?;
            if arguments.tensors {
                tensors(&mut out, &checkpoint)?;
            }
            return Err(failure);
        }
    }
    if arguments.tensors {
        tensors(&mut out, &checkpoint)?;
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, value: &str) -> Result<(), Failure> {
    Ok(writeln!(out, "{name:<14}{value}")?)
}

fn architecture(out: &mut impl Write, spec: &ModelSpec) -> Result<(), Failure> {
    line(out, "architecture", &spec.architecture)?;
    let head = match spec.head {
        Head::Tied => "head tied to the embedding",
        Head::Separate => "head of its own",
    };
    line(
        out,
        "shape",
        &format!("{} layers of width {}, vocabulary {}, {head}", spec.layers.len(), spec.dim, spec.vocab),
    )?;
    if let Some(layer) = spec.layers.first() {
        let Mixer::Attention(attention) = &layer.mixer;
        let Ffn::Dense { hidden, .. } = &layer.ffn;
        let (heads, kv_heads, dim) = (attention.heads, attention.kv_heads, attention.head_dim);
        line(
            out,
            "attention",
            &format!("{heads} heads, {kv_heads} key/value heads of {dim}{}", spans(spec)),
        )?;
        line(out, "feed-forward", &format!("width {hidden}"))?;
        let scaling = match &attention.rope.scaling {
            RopeScaling::None => String::new(),
            RopeScaling::Linear(factor) => format!(", linear scaling by {factor}"),
            RopeScaling::Llama3 { factor, .. } => format!(", Llama 3 scaling by {factor}"),
            RopeScaling::Yarn { factor, .. } => format!(", YaRN scaling by {factor}"),
            RopeScaling::Factors => ", scaled by the file's own factors".into(),
        };
        line(out, "positions", &format!("rotary, base {}{scaling}", attention.rope.theta))?;
    }
    line(out, "context", &format!("made for {} tokens", spec.context))
}

/// Which layers look back only so far.
fn spans(spec: &ModelSpec) -> String {
    let windows: Vec<usize> = spec
        .layers
        .iter()
        .filter_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => match attention.span {
                Span::Window(width) => Some(width),
                Span::Full => None,
            },
        })
        .collect();
    match windows.first() {
        None => String::new(),
        Some(width) => {
            format!(", {} of {} layers look back {width} tokens", windows.len(), spec.layers.len())
        }
    }
}

/// Parameters and bytes by type of storage.
fn contents(out: &mut impl Write, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let mut kinds: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let entry = kinds.entry(tensor.kind.name()).or_default();
        entry.0 += 1;
        entry.1 += tensor.shape.iter().map(|&n| n as u64).product::<u64>();
        entry.2 += tensor.bytes.len() as u64;
    }
    if kinds.is_empty() {
        return line(out, "parameters", "none: there are no tensors here, only what surrounds them");
    }
    let total = kinds.values().fold((0, 0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1, sum.2 + kind.2));
    let (tensors, elements, size) = total;
    let bits = 8.0 * size as f64 / (elements as f64).max(1.0);
    line(
        out,
        "parameters",
        &format!("{} in {tensors} tensors, {}, {bits:.2} bits each", count(elements), bytes(size)),
    )?;
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (_, _, size))| std::cmp::Reverse(*size));
    for (index, (name, (tensors, elements, size))) in kinds.iter().enumerate() {
        let label = if index == 0 { "stored as" } else { "" };
        line(
            out,
            label,
            &format!("{name}: {tensors} tensors, {} parameters, {}", count(*elements), bytes(*size)),
        )?;
    }
    Ok(())
}

fn memory(
    out: &mut impl Write,
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    context: ContextOption,
) -> Result<(), Failure> {
    let context = context.tokens(spec)?;
    let program = program(spec);
    let weights: u64 = checkpoint.tensors().map(|tensor| tensor.bytes.len() as u64).sum();
    let cache = (pages_for(context) as u64).saturating_mul(program.cache.page_bytes() as u64);
    let activations = activation_bytes(&program);
    let of_token = program.cache.page_bytes() / PAGE_TOKENS;
    let total = weights.saturating_add(cache).saturating_add(activations);
    line(out, "memory", &format!("about {} at a context of {context} tokens:", bytes(total)))?;
    line(out, "", &format!("weights {}", bytes(weights)))?;
    line(out, "", &format!("keys and values {} ({} a token)", bytes(cache), bytes(of_token as u64)))?;
    line(out, "", &format!("activations {} ({ROWS} rows a step)", bytes(activations)))
}

/// Bytes of the program's buffers, with one row of logits.
fn activation_bytes(program: &Program) -> u64 {
    let rows = |rows: Rows| match rows {
        Rows::Tokens => ROWS,
        Rows::Samples => 1,
    };
    program.buffers.iter().map(|buffer| (rows(buffer.rows) * buffer.width * size_of::<f32>()) as u64).sum()
}

fn text(out: &mut impl Write, checkpoint: &Checkpoint) -> Result<(), Failure> {
    match Tokenizer::from_checkpoint(checkpoint) {
        Ok(tokenizer) => {
            let ends: Vec<String> = tokenizer
                .eos_ids()
                .iter()
                .map(|&id| format!("{} {:?}", id, tokenizer.token_text(id).unwrap_or_default()))
                .collect();
            line(
                out,
                "tokenizer",
                &format!("{}, {} tokens", tokenizer_kind(checkpoint), tokenizer.vocab_size()),
            )?;
            if !ends.is_empty() {
                line(out, "", &format!("answers end with {}", ends.join(", ")))?;
            }
        }
        Err(error) => line(out, "tokenizer", &format!("none that can be used: {error}"))?,
    }
    let template = match ChatTemplate::from_checkpoint(checkpoint) {
        Ok(Some(template)) => match template.names().count() {
            1 => "yes".to_string(),
            _ => format!("yes: {}", template.names().collect::<Vec<_>>().join(", ")),
        },
        Ok(None) => "none".to_string(),
        Err(error) => format!("none that can be used: {error}"),
    };
    line(out, "chat template", &template)
}

fn tensors(out: &mut impl Write, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let columns =
        [("tensor", Align::Left), ("type", Align::Left), ("shape", Align::Right), ("size", Align::Right)];
    let mut table = Table::new(columns);
    for tensor in checkpoint.tensors() {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        let size = bytes(tensor.bytes.len() as u64);
        table.row([tensor.name.clone(), tensor.kind.name().to_string(), shape.join(" × "), size]);
    }
    Ok(write!(out, "\n{table}")?)
}

/// What the file calls its tokenizer.
fn tokenizer_kind(checkpoint: &Checkpoint) -> String {
    let Some(metadata) = checkpoint.gguf_metadata() else { return "tokenizer.json".into() };
    let text = |key: &str| metadata.optional_str(key).ok().flatten();
    let model = text("tokenizer.ggml.model").unwrap_or("unnamed").to_string();
    match text("tokenizer.ggml.pre") {
        Some(split) => format!("{model}, split as {split}"),
        None => model,
    }
}
