//! Random numbers that depend on a seed and an index, and on nothing else.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The uniform number in `[0, 1)` of draw `index` under `seed`: ChaCha with the seed as its key and the draw as
/// its block counter. A request gets the same draws whatever else is in its batch, and however its
/// steps were cut or repeated.
pub(super) fn uniform(seed: u64, index: u64) -> f64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut generator = ChaCha12Rng::from_seed(key);
    generator.set_word_pos(u128::from(index) * 16);
    // The upper 53 bits fill an f64's significand exactly.
    (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_its_seed_and_index_only() {
        let forward: Vec<f64> = (0..100).map(|i| uniform(7, i)).collect();
        let backward: Vec<f64> = (0..100).rev().map(|i| uniform(7, i)).rev().collect();
        assert_eq!(forward, backward);
        assert!(forward.iter().all(|u| (0.0..1.0).contains(u)));
        assert!(forward.windows(2).all(|pair| pair[0] != pair[1]));
        assert_ne!(uniform(7, 0), uniform(8, 0));
    }
}
