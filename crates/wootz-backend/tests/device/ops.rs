//! Every vector kernel against its scalar twin, at odd sizes, on every instruction set.

use proptest::prelude::*;
use wootz_backend::cpu::elementwise::{Gate, Sum};
use wootz_backend::cpu::norm::{AddNorm, HeadNorm, NormWeight, RmsNorm};
use wootz_backend::cpu::rope::RopeTable;
use wootz_backend::cpu::simd::lanes::{Kernel, LANES, Lanes};
use wootz_backend::cpu::{Isa, reference};
use wootz_spec::{Activation, Norm, Rope, RopePairing, RopeScaling};

fn close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance * y.abs().max(1e-3), "element {index}: {x} is not {y}");
    }
}

/// A vector for each instruction set, of which all must be the same bits.
fn on_all(mut compute: impl FnMut(Isa) -> Vec<f32>) -> Vec<f32> {
    let results: Vec<_> = Isa::available().into_iter().map(|isa| (isa, compute(isa))).collect();
    for (isa, result) in &results {
        let same = result.iter().zip(&results[0].1).all(|(x, y)| x.to_bits() == y.to_bits());
        assert!(same, "{isa} gives other bits than {}", results[0].0);
    }
    results[0].1.clone()
}

fn values(len: usize) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-4.0_f32..4.0, len)
}

proptest! {
    #[test]
    fn norms((x, y, w) in (1_usize..200).prop_flat_map(|len| (values(len), values(len), values(len)))) {
        let norm = Norm { eps: 1e-5, weight_offset: 1.0 };
        let offset = NormWeight { weight: w.iter().map(|w| w + 1.0).collect(), eps: norm.eps };
        let mut expected = vec![0.0; x.len()];
        reference::rms_norm(&x, &w, norm, &mut expected);
        let found = on_all(|isa| {
            let mut out = vec![0.0; x.len()];
            isa.run(RmsNorm { input: &x, norm: &offset, out: &mut out });
            out
        });
        close(&found, &expected, 1e-5);

        let mut sum = x.clone();
        reference::add(&mut sum, &y);
        reference::rms_norm(&sum, &w, norm, &mut expected);
        let found = on_all(|isa| {
            let (mut residual, mut out) = (x.clone(), vec![0.0; x.len()]);
            isa.run(AddNorm { residual: &mut residual, input: &y, norm: &offset, out: &mut out });
            assert_eq!(residual, sum);
            out
        });
        close(&found, &expected, 1e-5);

        let mut expected = [x.clone(), y.clone()].concat();
        let heads = expected.clone();
        reference::head_norm(&mut expected, &w, norm);
        let found = on_all(|isa| {
            let mut heads = heads.clone();
            isa.run(HeadNorm { heads: &mut heads, norm: &offset });
            heads
        });
        close(&found, &expected, 1e-5);
    }

    #[test]
    fn gates_and_sums((gate, up) in (1_usize..100).prop_flat_map(|len| (values(len), values(len))), scale in 0.1_f32..40.0) {
        let gate: Vec<f32> = gate.iter().map(|x| x * scale).collect();
        let mut expected = vec![0.0; gate.len()];
        reference::gate_up(&gate, &up, Activation::Silu, &mut expected);
        let found = on_all(|isa| {
            let mut out = vec![0.0; gate.len()];
            isa.run(Gate { gate: &gate, up: &up, activation: Activation::Silu, out: &mut out });
            out
        });
        close(&found, &expected, 1e-5);

        let mut expected = gate.clone();
        reference::add(&mut expected, &up);
        let found = on_all(|isa| {
            let mut out = vec![0.0; gate.len()];
            isa.run(Sum { left: &gate, right: &up, out: &mut out });
            out
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn rotations(
        (pairs, rest) in (1_usize..40, 0_usize..9),
        position in 0_u32..100_000,
        interleaved in any::<bool>(),
        seed in 0_usize..1000,
    ) {
        let pairing = if interleaved { RopePairing::Interleaved } else { RopePairing::Halves };
        let rope = Rope { theta: 10_000.0, dims: 2 * pairs, pairing, scaling: RopeScaling::None };
        let dim = 2 * pairs + rest;
        let heads: Vec<f32> = (0..3 * dim).map(|index| ((index * 31 + seed) % 97) as f32 / 50.0 - 1.0).collect();
        let mut expected = heads.clone();
        reference::rope(&mut expected, dim, &[position], &rope, &[]);
        let table = RopeTable::new(&rope, &[]);
        let mut turns = vec![0.0; table.width()];
        table.fill(position, &mut turns);
        let found = on_all(|isa| {
            let mut heads = heads.clone();
            isa.run(table.rotate(&mut heads, dim, &turns));
            heads
        });
        prop_assert_eq!(found, expected);
    }
}

struct Exponentials<'a>(&'a mut [[f32; LANES]]);

impl Kernel for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for x in self.0 {
            let y = lanes.exp(lanes.load(x));
            lanes.store(x, y);
        }
    }
}

/// The bound that the documentation of `Lanes::exp` states, over its whole range.
#[test]
fn exponentials_are_within_one_unit_in_the_last_place() {
    let inputs: Vec<f32> = (0..2_000_000).map(|index| 88.0 - index as f32 * (175.0 / 2_000_000.0)).collect();
    let found = on_all(|isa| {
        let mut blocks = inputs.as_chunks().0.to_vec();
        isa.run(Exponentials(&mut blocks));
        blocks.into_flattened()
    });
    for (x, y) in inputs.iter().zip(&found) {
        let exact = f64::from(*x).exp();
        let unit = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
        assert!((f64::from(*y) - exact).abs() <= unit, "exp({x}) is {exact}, not {y}");
    }
    let edges = [f32::NEG_INFINITY, -1e30, -87.01, 0.0, f32::NAN];
    let mut blocks = [[0.0; LANES]];
    blocks[0][..5].copy_from_slice(&edges);
    Isa::detect().run(Exponentials(&mut blocks));
    assert_eq!(blocks[0][..4], [0.0, 0.0, 0.0, 1.0]);
    assert!(blocks[0][4].is_nan());
}
