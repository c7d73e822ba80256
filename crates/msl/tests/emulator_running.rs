//! How dispatches run: at the same time, again, and after a fault.

mod emulator_support;

use emulator_support::{Case, library};
use msl::emulator::{FaultKind, Mode, Schedule};

const SUM: &str = "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_threadgroup]], uint g [[threadgroup_position_in_grid]]) {
            threadgroup float s[2];
            float v = simd_sum(x[g * 64 + i]);
            s[i / 32] = v;
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[g * 64 + i] = s[0] + s[1];
        }";

#[test]
fn dispatches_run_side_by_side() {
    // Lanes of one simdgroup write one value to one place: without checks that does no harm.
    let library = library(msl::Mode::Fast, SUM);
    let case = Case::new(SUM, 64 * 100, 64).reading(vec![0.5; 64 * 100]).threadgroups(100);
    std::thread::scope(|scope| {
        for workers in 1..=4 {
            let (library, case) = (&library, &case);
            scope.spawn(move || {
                for seed in 0..50 {
                    let mode = Mode { schedule: Schedule::Random(seed), workers };
                    assert_eq!(case.run_in(library, &mode).unwrap().0, [vec![32.0; 64 * 100]]);
                }
            });
        }
    });
}

#[test]
fn a_seed_repeats_a_run() {
    let library = library(msl::Mode::Checked, SUM);
    let case = Case::new(SUM, 64 * 8, 64).reading(vec![0.5; 64 * 8]).threadgroups(8);
    let mut messages = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let fault = || case.run_in(&library, &Mode::random(seed)).unwrap_err();
        let (first, second) = (fault(), fault());
        assert_eq!(first, second);
        assert_eq!((first.kind, first.seed), (FaultKind::ThreadgroupRace, Some(seed)));
        messages.insert((first.threadgroup, first.thread));
    }
    assert!(messages.len() > 5, "schedules differ: {messages:?}");
}

#[test]
fn a_fault_leaves_the_library_and_the_process_healthy() {
    let text = "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                              uint i [[thread_position_in_grid]]) {
            threadgroup float s[64];
            s[i % 64] = simd_sum(1.0f);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[i] = x[i];
        }";
    let library = library(msl::Mode::Checked, text);
    let good = Case::new(text, 64, 64).reading(vec![1.0; 64]);
    let bad = Case::new(text, 64, 64).reading(vec![1.0; 63]);
    for _ in 0..100 {
        assert_eq!(bad.run_in(&library, &Mode::default()).unwrap_err().kind, FaultKind::OutOfBoundsDevice);
        assert_eq!(good.run_in(&library, &Mode::default()).unwrap().0, [vec![1.0; 64]]);
    }
}
