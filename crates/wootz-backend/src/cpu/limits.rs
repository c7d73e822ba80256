//! What this machine can do at most: the figures that measured speeds are shares of.

use std::time::{Duration, Instant};

use super::simd::{Isa, peak};

/// The limits of some threads together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// How many threads.
    pub threads: usize,
    /// Bytes read from memory a second.
    pub read: f64,
    /// Int8 operations a second: a multiplication and an addition are two.
    pub int8: f64,
    /// Operations on 16-bit integers a second.
    pub int16: f64,
    /// f32 operations a second.
    pub f32: f64,
}

/// Bytes that a bandwidth measurement reads: several times the largest caches.
const READ_BYTES: usize = 768 << 20;
/// Words that are timed at once while reading: a tenth of a millisecond or so.
const READ_WORDS: usize = (4 << 20) / size_of::<u64>();
/// How long an arithmetic measurement lasts, at least.
const ARITHMETIC_TIME: Duration = Duration::from_millis(40);

/// Measures with `threads` threads at once; takes about a second and 768 MiB of memory.
///
/// Each thread times many short pieces and counts their median, so that being interrupted now and then does not show.
///
/// # Errors
/// When there is no memory for it.
pub fn measure(isa: Isa, threads: usize) -> std::io::Result<Limits> {
    let threads = threads.max(1);
    let mut map = memmap2::MmapMut::map_anon(READ_BYTES)?;
    #[cfg(target_os = "linux")]
    // Only speed is at stake, so a refusal is no error.
    drop(map.advise(memmap2::Advice::HugePage));
    // Untouched pages would all be the same one.
    map.chunks_mut(4096).enumerate().for_each(|(page, bytes)| bytes[0] = page as u8);
    let words: &[u64] = bytemuck::cast_slice(&map);
    let share = words.len() / threads;
    let read = together(threads, |thread| {
        let pieces = words[thread * share..(thread + 1) * share].chunks(READ_WORDS);
        let rates = pieces.map(|piece| {
            let start = Instant::now();
            std::hint::black_box(peak::read(isa, piece));
            size_of_val(piece) as f64 / start.elapsed().as_secs_f64()
        });
        median(rates.collect())
    });
    let arithmetic = |kind: peak::Arithmetic| {
        together(threads, |_| {
            let (begin, mut rates) = (Instant::now(), Vec::new());
            while begin.elapsed() < ARITHMETIC_TIME {
                let start = Instant::now();
                let operations = peak::operations(isa, kind);
                rates.push(operations / start.elapsed().as_secs_f64());
            }
            median(rates)
        })
    };
    Ok(Limits {
        threads,
        read,
        int8: arithmetic(peak::Arithmetic::Int8),
        int16: arithmetic(peak::Arithmetic::Int16),
        f32: arithmetic(peak::Arithmetic::F32),
    })
}

/// The middle one of `rates`.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

/// The sum of what `threads` threads reach at the same time.
fn together(threads: usize, rate: impl Fn(usize) -> f64 + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(threads);
    let (rate, barrier) = (&rate, &barrier);
    std::thread::scope(|scope| {
        let start = |thread| {
            scope.spawn(move || {
                barrier.wait();
                rate(thread)
            })
        };
        let handles: Vec<_> = (0..threads).map(start).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or(0.0)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_positive_number() {
        for isa in Isa::available() {
            for kind in [peak::Arithmetic::Int8, peak::Arithmetic::Int16, peak::Arithmetic::F32] {
                assert!(peak::operations(isa, kind) > 0.0);
            }
            let words: Vec<u64> = (0..1003).collect();
            assert_eq!(peak::read(isa, &words), (0..1003).fold(0, |all, word| all | word));
        }
    }
}
