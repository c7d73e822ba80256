//! How fast matrices of each format are multiplied, as shares of what this machine can do.
//!
//! `cargo run --release -p wootz-backend --example matmul_bench -- [--threads N] [--columns K] [--rows N] [--megabytes N] [TYPE…]`
//!
//! For one input row and for few: bytes of weights read a second, from matrices that together are larger than the
//! caches (`--megabytes`, 600 unless told). For many: operations a second.

use std::io::Write as _;
use std::time::Instant;

use wootz_backend::cpu::limits;
use wootz_backend::cpu::matmul::{Input, InputKind, PackedMatrix, Scratch};
use wootz_backend::cpu::simd::{Isa, SharedOut};
use wootz_weights::MappedFile;
use wootz_weights::tensor::{Tensor, TensorType};

/// Input rows of the batch measurement.
const BATCH: usize = 512;

struct Options {
    threads: usize,
    rows: usize,
    columns: usize,
    megabytes: usize,
    kinds: Vec<TensorType>,
}

fn options() -> Result<Options, String> {
    use TensorType::*;
    let mut options = Options { threads: 1, rows: 2048, columns: 2048, megabytes: 600, kinds: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse().map_err(|_| format!("{argument} needs a number, found {text:?}"))
        };
        match argument.as_str() {
            "--threads" => options.threads = number()?,
            "--rows" => options.rows = number()?,
            "--megabytes" => options.megabytes = number()?,
            "--columns" => options.columns = number()?,
            name => {
                let kind = TensorType::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
                options.kinds.push(kind.ok_or(format!("{name} is no option and no tensor type"))?);
            }
        }
    }
    if options.kinds.is_empty() {
        options.kinds = vec![Q8_0, Q4_0, Q5_0, Q4_K, Q5_K, Q6_K, F16, F32];
    }
    Ok(options)
}

/// A tensor whose bytes look random but whose scales are small numbers.
fn tensor(kind: TensorType, rows: usize, columns: usize) -> Result<Tensor, Box<dyn std::error::Error>> {
    let bytes = rows * kind.row_bytes(columns).ok_or("rows of whole blocks")?;
    let path = std::env::temp_dir().join(format!("matmul_bench.{}", std::process::id()));
    let mut state = 1_u64;
    let content: Vec<u8> = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // No exponent of all ones in any f16: no infinity, no NaN.
            (state >> 33) as u8 & 0xbb
        })
        .collect();
    let content = if kind == TensorType::F32 {
        content.chunks_exact(4).flat_map(|bytes| (f32::from(bytes[0]) - 90.0).to_le_bytes()).collect()
    } else {
        content
    };
    std::fs::File::create(&path)?.write_all(&content)?;
    let file = MappedFile::open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(Tensor { name: kind.to_string(), kind, shape: vec![rows, columns], file, bytes: 0..bytes })
}

/// Multiplies each of `matrices` with `rows` input rows on `threads` threads, `passes` times; gives the seconds that
/// a pass takes if every piece takes the median time. Pieces are short, so that being interrupted does not show.
fn seconds(matrices: &[PackedMatrix], rows: usize, threads: usize, passes: usize) -> std::io::Result<f64> {
    let (outs, columns) = (matrices[0].rows(), matrices[0].columns());
    let input = Input::new(Isa::detect(), matrices[0].input_kind(), rows, columns)?;
    let values: Vec<f32> = (0..columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    (0..rows).for_each(|row| input.write_row(row, &values));
    let mut out = vec![0.0; rows * outs];
    let shared = SharedOut::new(&mut out, outs);
    let group = matrices[0].panel_group() * if rows > 8 { 1 } else { 8 };
    let panels = matrices[0].panels();
    let share = panels.div_ceil(threads).next_multiple_of(group);
    let work = &|thread: usize| -> std::io::Result<f64> {
        let mut scratch = Scratch::new(rows)?;
        let mut times = Vec::new();
        for matrix in std::iter::repeat_n(matrices, passes).flatten() {
            for start in ((thread * share).min(panels)..((thread + 1) * share).min(panels)).step_by(group) {
                let begin = Instant::now();
                matrix.multiply(start..panels.min(start + group), &input, rows, None, &shared, &mut scratch);
                times.push(begin.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    };
    let pieces = (share / group * matrices.len()) as f64;
    let slowest = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("a worker that does not panic"))
            .try_fold(0.0, |slowest, time| time.map(|time| f64::max(slowest, time)))
    })?;
    Ok(slowest * pieces)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    let limits = limits::measure(Isa::detect(), options.threads)?;
    println!(
        "{} on {} threads: read {:.1} GB/s, int8 {:.0}, int16 {:.0}, f32 {:.0} Gop/s; matrices {}x{}",
        Isa::detect(),
        limits.threads,
        limits.read / 1e9,
        limits.int8 / 1e9,
        limits.int16 / 1e9,
        limits.f32 / 1e9,
        options.rows,
        options.columns,
    );
    for kind in options.kinds {
        let source = tensor(kind, options.rows, options.columns)?;
        let start = Instant::now();
        let first = PackedMatrix::pack(&source, Isa::detect(), 1)?;
        let packing = source.data().len() as f64 / start.elapsed().as_secs_f64();
        let mut matrices = vec![first];
        while matrices.iter().map(PackedMatrix::bytes).sum::<usize>() < options.megabytes << 20 {
            matrices.push(PackedMatrix::pack(&source, Isa::detect(), 1)?);
        }
        let bytes = matrices.iter().map(PackedMatrix::bytes).sum::<usize>() as f64;
        print!("{kind:5} pack {:4.1} GB/s; rows:", packing / 1e9);
        for rows in [1, 2, 4, 8] {
            let rate = bytes / seconds(&matrices, rows, options.threads, 1)?;
            print!(" {rows} {:5.1} GB/s {:3.0}%,", rate / 1e9, 100.0 * rate / limits.read);
        }
        let peak = match matrices[0].input_kind() {
            InputKind::Int8Block32 | InputKind::Int8Block256 => limits.int8,
            InputKind::Int16 => limits.int16,
            InputKind::F32 => limits.f32,
        };
        for rows in [16, 64, BATCH] {
            let time = seconds(&matrices[..1], rows, options.threads, 20)?;
            let rate = 2.0 * (rows * options.rows * options.columns) as f64 / time;
            print!(" {rows} {:4.0} Gop/s {:3.0}%,", rate / 1e9, 100.0 * rate / peak);
        }
        println!();
    }
    Ok(())
}
