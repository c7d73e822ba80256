//! Accesses of the wrong memory are found, under every schedule and with their line.

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

/// clang's sanitizer knows accesses of 1, 2, 4, 8 and 16 bytes: those of larger types must not slip through.
#[test]
fn values_of_every_size_are_seen() {
    for (kind, words, value) in [
        ("packed_float3", 3, "v.x"),
        ("float3", 4, "v.x"),
        ("half2x4", 4, "float(v[0].x)"),
        ("Odd", 5, "v.a[0]"),
        ("float4x4", 16, "v[0].x"),
    ] {
        for statement in ["{kind} v = p[0]; a[i] = {value};", "p[0] = local; a[i] = 1.0f;"] {
            let statement = statement.replace("{kind}", kind).replace("{value}", value);
            let text = format!(
                "struct Odd {{ float a[5]; }};
                kernel void k(device {kind}* p [[buffer(0)]], device float* a [[buffer(1)]],
                              uint i [[thread_position_in_grid]]) {{
                    {kind} local = p[1];
                    p += 2;
                    {statement} // here
                }}"
            );
            let library = emulator_support::library(msl::Mode::Checked, &text);
            // Room for two values: the third is outside.
            let case = Case::new("", 2 * words, 1).writing(32).initialised();
            let fault = case.run_in(&library, &msl::emulator::Mode::default()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::OutOfBoundsDevice, "{kind}: {statement} {fault}");
            assert_eq!(fault.location.as_ref().map(|at| at.line), Some(8), "{kind}: {statement} {fault}");
        }
    }
}
