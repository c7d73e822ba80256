//! Accesses that nothing orders are found, under every schedule and with their lines.

mod emulator_support;

use emulator_support::Case;
use msl::emulator::FaultKind;

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
    assert!(fault.message.contains("of threadgroup ("), "{fault}");
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
