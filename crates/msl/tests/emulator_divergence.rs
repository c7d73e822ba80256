//! Threads that do not come where others wait for them are found, under every schedule and with their line.

mod emulator_support;

use emulator_support::Case;
use msl::emulator::FaultKind;

#[test]
fn a_barrier_that_not_all_threads_reach() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i < 40) threadgroup_barrier(mem_flags::mem_threadgroup); // here
            a[i] = 1.0f;
        }",
        64,
        64,
    )
    .finds(FaultKind::FinishedThreads);
}

#[test]
fn two_barriers_for_the_lanes_of_one_simdgroup() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i & 1) {
                a[i] = 1.0f;
                threadgroup_barrier(mem_flags::mem_threadgroup); // here
            } else {
                threadgroup_barrier(mem_flags::mem_threadgroup); // here
                a[i] = 2.0f;
            }
        }",
        64,
        64,
    )
    .finds(FaultKind::DivergentBarrier);
}

#[test]
fn two_barriers_for_two_simdgroups() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i < 32) {
                a[i] = 1.0f;
                threadgroup_barrier(mem_flags::mem_threadgroup); // here
            } else {
                threadgroup_barrier(mem_flags::mem_threadgroup); // here
                a[i] = 2.0f;
            }
        }",
        64,
        64,
    )
    .finds(FaultKind::DivergentBarrier);
}

#[test]
fn a_collective_without_some_lanes() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i >= 40) return;
            a[i] = simd_sum(1.0f); // here
        }",
        64,
        64,
    )
    .finds(FaultKind::FinishedThreads);
}

#[test]
fn two_collectives_at_once() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i & 1) a[i] = simd_sum(1.0f); // here
            else a[i] = simd_max(1.0f); // here
        }",
        64,
        64,
    )
    .finds(FaultKind::DivergentCollective);
}

#[test]
fn one_collective_from_two_places() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i & 1) {
                a[i] = simd_sum(1.0f) + 1.0f; // here
            } else {
                a[i] = simd_sum(2.0f) * 3.0f; // here
            }
        }",
        64,
        64,
    )
    .finds(FaultKind::DivergentCollective);
}

#[test]
fn a_collective_while_others_wait_at_a_barrier() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i & 1) a[i] = simd_sum(1.0f); // here
            else threadgroup_barrier(mem_flags::mem_none); // here
        }",
        64,
        64,
    )
    .finds_either(&[FaultKind::DivergentCollective, FaultKind::DivergentBarrier]);
    assert!(fault.message.contains("wait at"), "{fault}");
}

#[test]
fn a_shuffle_of_matrices_in_divergent_flow() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            simdgroup_float8x8 m = make_filled_simdgroup_matrix<float, 8, 8>(1.0f);
            if (i < 16) {
                simdgroup_store(m, a, 8); // here
            }
            a[i + 64] = 1.0f;
        }",
        128,
        32,
    )
    .finds(FaultKind::FinishedThreads);
}

#[test]
fn one_collective_in_a_function_that_is_called_from_two_places() {
    let fault = Case::new(
        "__attribute__((noinline)) float total(float v) {
            return simd_sum(v) + 1.0f; // here
        }
        kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i & 1) a[i] = total(1.0f);
            else a[i] = total(2.0f) * 3.0f;
        }",
        64,
        64,
    )
    .finds(FaultKind::DivergentCollective);
    assert_eq!(fault.callers.len(), 1, "{fault}");
    assert!([7, 8].contains(&fault.callers[0].line), "{fault}");
}

#[test]
fn a_thread_that_spins_until_another_acts() {
    let text = "kernel void k(device atomic_uint* a [[buffer(0)]], uint g [[threadgroup_position_in_grid]],
                                  uint n [[threadgroups_per_grid]]) {
            atomic_fetch_add_explicit(a, 1u, memory_order_relaxed);
            while (atomic_load_explicit(a, memory_order_relaxed) < n * 32) {} // here
        }";
    let library = emulator_support::library(msl::Mode::Fast, text);
    let case = Case::new(text, 1, 32).threadgroups(2).initialised();
    let fault = case.run_in(&library, &msl::emulator::Mode::default()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Livelock, "{fault}");
}
