//! Each detector of the emulator fires, under every schedule, and names the line.

mod emulator_support;

use emulator_support::Case;
use msl::emulator::FaultKind;

#[test]
fn a_write_beyond_a_buffer() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            a[i] = 1.0f; // here
        }",
        100,
        32,
    )
    .threadgroups(4)
    .finds(FaultKind::OutOfBoundsDevice);
    assert!(fault.message.contains("at byte 4") && fault.message.contains("buffer(0) `a`"), "{fault}");
    assert!(fault.message.contains("which has 400 bytes"), "{fault}");
}

#[test]
fn a_read_before_a_buffer() {
    let fault = Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            a[i] = x[int(i) - 1]; // here
        }",
        32,
        32,
    )
    .reading(vec![0.0; 32])
    .finds(FaultKind::OutOfBoundsDevice);
    assert!(fault.message.contains("4 bytes before the start of buffer(0) `x`"), "{fault}");
}

#[test]
fn a_vector_that_straddles_the_end() {
    Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            float4 v = ((device const float4*)x)[i]; // here
            a[i] = v.x + v.w;
        }",
        32,
        32,
    )
    .reading(vec![0.0; 126])
    .finds(FaultKind::OutOfBoundsDevice);
}

#[test]
fn a_pointer_that_is_nobodys() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            device float* p = a + 1000000000ul;
            p[i] = 1.0f; // here
        }",
        32,
        32,
    )
    .finds(FaultKind::WildAccess);
    assert!(fault.message.contains("belongs to no argument"), "{fault}");
}

#[test]
fn an_index_beyond_a_threadgroup_array() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[32];
            threadgroup float* p = s;
            p[i] = 1.0f; // here
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[i] = p[i ^ 1];
        }",
        64,
        64,
    )
    .finds(FaultKind::OutOfBoundsThreadgroup);
    assert!(fault.message.contains("`s`"), "{fault}");
}

#[test]
fn an_index_beyond_a_threadgroup_argument() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], threadgroup float* s [[threadgroup(0)]],
                       uint i [[thread_position_in_grid]]) {
            s[i] = 1.0f; // here
            a[i] = s[i];
        }",
        64,
        64,
    )
    .threadgroup_memory(128)
    .finds(FaultKind::OutOfBoundsThreadgroup);
}

#[test]
fn an_index_beyond_a_threads_own_array() {
    Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            float v[4] = {1, 2, 3, 4};
            uint n = uint(x[i]);
            v[n & 1] = x[0];
            a[i] = v[n]; // here
        }",
        32,
        32,
    )
    .reading(vec![4.0; 32])
    .finds(FaultKind::OutOfBoundsArray);
}

#[test]
fn a_division_by_zero() {
    Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            uint n = uint(x[i]);
            a[i] = float(i / n); // here
        }",
        32,
        32,
    )
    .reading(vec![0.0; 32])
    .finds(FaultKind::Division);
}

#[test]
fn a_write_to_what_is_bound_for_reading() {
    let fault = Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            ((device float*)x)[i] = 1.0f; // here
            a[i] = 1.0f;
        }",
        32,
        32,
    )
    .reading(vec![0.0; 32])
    .finds(FaultKind::ReadOnlyWrite);
    assert!(fault.message.contains("buffer(0) `x`"), "{fault}");
}

#[test]
fn an_uninitialised_threadgroup_read() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[64];
            if (i < 32) s[i] = 1.0f;
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[i] = s[i]; // here
        }",
        64,
        64,
    )
    .finds(FaultKind::UninitialisedThreadgroupRead);
}

#[test]
fn threadgroup_memory_does_not_outlive_its_threadgroup() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_threadgroup]],
                       uint g [[threadgroup_position_in_grid]]) {
            threadgroup float s[32];
            if (g == 0) s[i] = 1.0f;
            a[g * 32 + i] = s[i]; // here
        }",
        64,
        32,
    )
    .threadgroups(2)
    .finds(FaultKind::UninitialisedThreadgroupRead);
}

#[test]
fn an_uninitialised_output_that_is_read() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            a[i] += 1.0f; // here
        }",
        32,
        32,
    )
    .finds(FaultKind::UninitialisedDeviceRead);
}

#[test]
fn a_missing_threadgroup_barrier() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[64];
            s[i] = 1.0f; // write
            s[i] = 2.0f; // write
            threadgroup_barrier(mem_flags::mem_threadgroup);
            float v = s[63 - i]; // read
            s[i] = v; // write
            a[i] = v;
        }",
        64,
        64,
    )
    .finds_at(FaultKind::ThreadgroupRace, &["// read", "// write"]);
    assert!(fault.other_location.is_some(), "{fault}");
}

#[test]
fn an_exchange_within_a_simdgroup_without_a_barrier() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[32];
            s[i] = 1.0f; // here
            float v = simd_sum(1.0f);
            a[i] = s[i ^ 1] + v; // here
        }",
        32,
        32,
    )
    .finds(FaultKind::ThreadgroupRace);
}

#[test]
fn a_simdgroup_barrier_does_not_order_other_simdgroups() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[64];
            s[i] = 0.0f;
            threadgroup_barrier(mem_flags::mem_threadgroup);
            s[i] = 1.0f; // here
            simdgroup_barrier(mem_flags::mem_threadgroup);
            a[i] = s[63 - i]; // here
        }",
        64,
        64,
    )
    .finds_at(FaultKind::ThreadgroupRace, &["// here"]);
}

#[test]
fn a_barrier_orders_only_the_memory_that_it_names() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            a[i] = 1.0f; // here
            threadgroup_barrier(mem_flags::mem_threadgroup);
            b[i] = a[i ^ 1]; // here
        }",
        64,
        64,
    )
    .writing(64)
    .initialised()
    .finds(FaultKind::DeviceRace);
}

#[test]
fn a_read_that_a_later_write_overtakes() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            b[i] = a[0]; // here
            if (i == 40) a[0] = 2.0f; // here
        }",
        64,
        64,
    )
    .writing(64)
    .initialised()
    .finds(FaultKind::DeviceRace);
}

#[test]
fn two_threadgroups_write_one_place() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_threadgroup]]) {
            a[i] = 1.0f; // here
        }",
        32,
        32,
    )
    .threadgroups(2)
    .finds(FaultKind::CrossThreadgroupRace);
    assert!(fault.message.contains("threadgroup number"), "{fault}");
}

#[test]
fn one_threadgroup_reads_what_another_writes() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            a[i] = 1.0f; // here
            threadgroup_barrier(mem_flags::mem_device);
            b[i] = a[63 - i]; // here
        }",
        64,
        32,
    )
    .writing(64)
    .threadgroups(2)
    .initialised()
    .finds(FaultKind::CrossThreadgroupRace);
}

#[test]
fn half_of_a_word_is_a_place_of_its_own() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            device half* h = (device half*)a;
            h[i] = 1.0h; // here
            if (i == 5) h[6] = 2.0h; // here
        }",
        32,
        64,
    )
    .finds(FaultKind::DeviceRace);
}

#[test]
fn a_plain_access_races_with_an_atomic_one() {
    Case::new(
        "kernel void k(device atomic_uint* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            atomic_fetch_add_explicit(a, 1u, memory_order_relaxed); // here
            if (i == 40) b[i] = float(((device uint*)a)[0]); // here
        }",
        1,
        64,
    )
    .writing(64)
    .initialised()
    .finds(FaultKind::DeviceRace);
}

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
fn too_much_threadgroup_memory() {
    let fault = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[8000];
            threadgroup float t[193]; // here
            s[i] = 1.0f;
            t[i] = 2.0f;
            a[i] = s[i] + t[i];
        }",
        64,
        64,
    )
    .finds(FaultKind::ThreadgroupMemory);
    assert!(fault.message.contains("`t`") && fault.message.contains("32768"), "{fault}");
}

#[test]
fn parts_that_are_added_up_without_a_fence() {
    Case::new(LAST_ADDS_UP_WITHOUT_FENCE, 8, 64)
        .writing(1)
        .writing(1)
        .threadgroups(8)
        .initialised()
        .finds(FaultKind::CrossThreadgroupRace);
}

const LAST_ADDS_UP_WITHOUT_FENCE: &str = "
    kernel void k(device float* part [[buffer(0)]], device atomic_uint* count [[buffer(1)]],
                  device float* total [[buffer(2)]], uint g [[threadgroup_position_in_grid]],
                  uint n [[threadgroups_per_grid]], uint i [[thread_position_in_threadgroup]]) {
        if (i == 3) part[g] = float(g);
        threadgroup bool last;
        threadgroup_barrier(mem_flags::mem_device);
        if (i == 0) last = atomic_fetch_add_explicit(count, 1u, memory_order_relaxed) == n - 1;
        threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
        if (last && i == 0) {
            float sum = 0.0f;
            for (uint j = 0; j < n; j++) sum += part[j]; // here
            total[0] = sum;
        }
    }";
