//! The emulator does not cry wolf: kernels that do right run under every schedule, with and without checks, and
//! compute the same.

mod emulator_support;

use emulator_support::{Case, library};
use msl::emulator::{Binding, Buffer, ConstantValue, Counts, Dispatch, Mode};

fn numbers(count: usize, number: impl Fn(usize) -> f32) -> Vec<f32> {
    (0..count).map(number).collect()
}

#[test]
fn a_reduction_through_threadgroup_memory() {
    let case = Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device float* out [[buffer(1)]],
                       uint i [[thread_position_in_threadgroup]], uint g [[threadgroup_position_in_grid]],
                       uint size [[threads_per_threadgroup]]) {
            threadgroup float s[256];
            s[i] = x[g * size + i];
            threadgroup_barrier(mem_flags::mem_threadgroup);
            for (uint half_size = size / 2; half_size > 0; half_size /= 2) {
                if (i < half_size) s[i] += s[i + half_size];
                threadgroup_barrier(mem_flags::mem_threadgroup);
            }
            if (i == 0) out[g] = s[0];
        }",
        3,
        256,
    )
    .reading(numbers(768, |i| i as f32))
    .threadgroups(3);
    let sum = |g: usize| (256 * g * 256 + 255 * 128) as f32;
    let counts = case.is_clean(&[vec![sum(0), sum(1), sum(2)]]);
    let reads = 3 * (256 + 2 * (128 + 64 + 32 + 16 + 8 + 4 + 2 + 1) - 256 + 1) * 4;
    let expected = Counts {
        device_bytes_read: 768 * 4,
        device_bytes_written: 3 * 4,
        threadgroup_bytes_read: reads,
        threadgroup_bytes_written: 3 * (256 + 255) * 4,
        threadgroup_barriers: 3 * 9,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn lanes_exchange_after_a_simdgroup_barrier() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[64];
            for (int round = 0; round < 5; round++) {
                s[i] = float(i) + float(round);
                simdgroup_barrier(mem_flags::mem_threadgroup);
                a[i] = s[i ^ 1];
                simdgroup_barrier(mem_flags::mem_threadgroup);
            }
        }",
        64,
        64,
    )
    .is_clean(&[numbers(64, |i| (i ^ 1) as f32 + 4.0)]);
}

#[test]
fn collectives_agree_with_their_definition() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            float v = float(i);
            a[i] = simd_sum(v) + simd_max(v) * 1000.0f + simd_prefix_exclusive_sum(1.0f) * 10000.0f
                 + simd_broadcast(v, 3) * 1000000.0f + simd_shuffle_xor(v, 1);
        }",
        32,
        32,
    )
    .is_clean(&[numbers(32, |i| {
        let v = |i: usize| i as f32;
        v(496) + v(31) * 1000.0 + v(i) * 10000.0 + v(3) * 1_000_000.0 + v(i ^ 1)
    })]);
}

#[test]
fn a_threadgroup_need_not_be_whole_simdgroups() {
    let counts = Case::new(
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            threadgroup float s[40];
            s[i] = simd_sum(1.0f);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[i] = s[39 - i];
        }",
        40,
        40,
    )
    .is_clean(&[numbers(40, |i| if i < 8 { 8.0 } else { 32.0 })]);
    assert_eq!((counts.simd_collectives, counts.threadgroup_barriers), (2, 1));
}

#[test]
fn matrices_multiply_and_are_counted() {
    let counts = Case::new(
        "kernel void k(device const float* x [[buffer(0)]], device const float* y [[buffer(1)]],
                       device float* out [[buffer(2)]], uint g [[simdgroup_index_in_threadgroup]]) {
            simdgroup_float8x8 a, b, c = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
            for (uint step = 0; step < 3; step++) {
                simdgroup_load(a, x, 8);
                simdgroup_load(b, y + 64 * g, 8);
                simdgroup_multiply_accumulate(c, a, b, c);
            }
            simdgroup_store(c, out + 64 * g, 8);
        }",
        128,
        64,
    )
    .reading(numbers(64, |i| if i % 9 == 0 { 2.0 } else { 0.0 }))
    .reading(numbers(128, |i| i as f32))
    .is_clean(&[numbers(128, |i| 6.0 * i as f32)]);
    assert_eq!(
        counts,
        Counts {
            matrix_multiplies: 6,
            matrix_loads: 12,
            matrix_stores: 2,
            device_bytes_read: 2 * 3 * 2 * 256,
            device_bytes_written: 512,
            ..Counts::default()
        }
    );
}

#[test]
fn all_threads_count_on_one_atomic() {
    let case = Case::new(
        "kernel void k(device atomic_uint* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            threadgroup atomic_uint own;
            atomic_store_explicit(&own, 0u, memory_order_relaxed);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            atomic_fetch_add_explicit(a, 1u, memory_order_relaxed);
            atomic_fetch_add_explicit(&own, 2u, memory_order_relaxed);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            b[i] = float(atomic_load_explicit(&own, memory_order_relaxed));
        }",
        1,
        64,
    )
    .writing(256)
    .threadgroups(4)
    .initialised();
    case.is_clean(&[vec![f32::from_bits(256)], vec![128.0; 256]]);
}

#[test]
fn the_last_threadgroup_adds_up() {
    Case::new(
        "kernel void k(device float* part [[buffer(0)]], device atomic_uint* count [[buffer(1)]],
                       device float* total [[buffer(2)]], uint g [[threadgroup_position_in_grid]],
                       uint n [[threadgroups_per_grid]], uint i [[thread_position_in_threadgroup]]) {
            part[g * 64 + i] = float(g);
            threadgroup bool last;
            threadgroup_barrier(mem_flags::mem_device);
            if (i == 0) {
                atomic_thread_fence(mem_flags::mem_device, memory_order_seq_cst, thread_scope_device);
                last = atomic_fetch_add_explicit(count, 1u, memory_order_relaxed) == n - 1;
                atomic_thread_fence(mem_flags::mem_device, memory_order_seq_cst, thread_scope_device);
            }
            threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
            if (last) {
                float sum = 0.0f;
                for (uint j = 0; j < n; j++) sum += part[j * 64 + i];
                total[i] = sum;
            }
        }",
        8 * 64,
        64,
    )
    .writing(1)
    .writing(64)
    .threadgroups(8)
    .initialised()
    .is_clean(&[numbers(512, |i| (i / 64) as f32), vec![f32::from_bits(8)], vec![28.0; 64]]);
}

#[test]
fn device_memory_is_passed_on_over_a_device_barrier() {
    Case::new(
        "kernel void k(device float* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_threadgroup]], uint g [[threadgroup_position_in_grid]]) {
            device float* mine = a + g * 64;
            mine[i] = float(i);
            threadgroup_barrier(mem_flags::mem_device);
            b[g * 64 + i] = mine[63 - i];
        }",
        128,
        64,
    )
    .writing(128)
    .threadgroups(2)
    .is_clean(&[numbers(128, |i| (i % 64) as f32), numbers(128, |i| (63 - i % 64) as f32)]);
}

#[test]
fn many_may_read_what_nobody_writes() {
    Case::new(
        "constant float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
        kernel void k(device float* a [[buffer(0)]], device float* b [[buffer(1)]],
                       uint i [[thread_position_in_grid]]) {
            float3 v = float3(a[0], a[1], a[2]);
            float own[8];
            for (uint j = 0; j < 8; j++) own[j] = v.y + float(j);
            b[i] = own[i % 8] + table[i % 4];
        }",
        4,
        32,
    )
    .writing(128)
    .threadgroups(4)
    .initialised()
    .is_clean(&[vec![0.0; 4], numbers(128, |i| (i % 8) as f32 + (i % 4) as f32 + 1.0)]);
}

#[test]
fn unrolled_loops_call_collectives_from_one_place() {
    Case::new(
        "template <int N> float total(float v) {
            float sum = 0.0f;
            #pragma unroll
            for (int i = 0; i < N; i++) {
                sum += simd_sum(v + float(i));
                if (sum > 1e9f) sum = simd_max(sum);
            }
            return sum;
        }
        kernel void k(device const float* x [[buffer(0)]], device float* a [[buffer(1)]],
                      uint i [[thread_position_in_grid]]) {
            float s = 0.0f;
            for (uint j = 0; j < uint(x[0]); j++) {
                s += total<4>(1.0f);
                threadgroup_barrier(mem_flags::mem_none);
            }
            a[i] = s;
        }",
        64,
        64,
    )
    .reading(vec![3.0])
    .is_clean(&[vec![3.0 * 32.0 * 10.0; 64]]);
}

#[test]
fn values_with_padding_are_whole_when_they_are_written() {
    Case::new(
        "struct Mixed { char a; float b; half c; bool d; };
        kernel void k(device float* out [[buffer(0)]], device float3* v [[buffer(1)]],
                      uint i [[thread_position_in_grid]]) {
            threadgroup float3 s[32];
            threadgroup half3 h[32];
            threadgroup Mixed m[32];
            threadgroup bool flags[32];
            s[i] = float3(1.0f, 2.0f, float(i));
            h[i] = half3(1.0h);
            m[i] = Mixed{1, 2.0f, 3.0h, i % 2 == 0};
            flags[i] = true;
            v[i] = float3(4.0f);
            threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device);
            float3 a = s[31 - i];
            half3 b = h[31 - i];
            Mixed c = m[31 - i];
            float3 d = v[31 - i];
            out[i] = a.z + float(b.y) + float(c.a) + c.b + float(c.c) + float(c.d) + float(flags[31 - i]) + d.x;
        }",
        32,
        32,
    )
    .writing(128)
    .is_clean_in_first(&numbers(32, |i| {
        let last = 31 - i;
        last as f32 + 12.0 + if last % 2 == 0 { 1.0 } else { 0.0 }
    }));
}

#[test]
fn grids_have_three_axes_and_kernels_have_constants() {
    let text = "constant bool twice [[function_constant(0)]];
        constant int offset [[function_constant(1)]];
        struct Arguments { uint width; uint height; float scale; };
        kernel void k(device float* a [[buffer(0)]], constant Arguments& arguments [[buffer(1)]],
                      uint3 p [[thread_position_in_grid]], uint3 size [[threads_per_grid]]) {
            uint at = (p.z * arguments.height + p.y) * arguments.width + p.x;
            a[at] = float(at) * arguments.scale * (twice ? 2.0f : 1.0f) + float(offset) + float(size.z);
        }";
    for compiled in [msl::Mode::Fast, msl::Mode::Checked] {
        let library = library(compiled, text);
        for (twice, offset) in [(true, -3), (false, 5)] {
            let mut out = vec![0f32; 8 * 6 * 4];
            let mut arguments = Vec::new();
            arguments.extend(8u32.to_le_bytes());
            arguments.extend(6u32.to_le_bytes());
            arguments.extend(0.5f32.to_le_bytes());
            let dispatch = Dispatch {
                kernel: "k".to_owned(),
                arguments: vec![
                    (0, Binding::Buffer(Buffer::output(bytemuck::cast_slice_mut(&mut out)))),
                    (1, Binding::Bytes(arguments)),
                ],
                threadgroups: [2, 3, 2],
                threads: [4, 2, 2],
                constants: vec![
                    ("twice".to_owned(), ConstantValue::Bool(twice)),
                    ("offset".to_owned(), ConstantValue::Signed(offset)),
                ],
                ..Dispatch::default()
            };
            library.run(&dispatch, &Mode::random(3)).unwrap();
            drop(dispatch);
            let factor = if twice { 1.0 } else { 0.5 };
            assert_eq!(out, numbers(192, |i| i as f32 * factor + offset as f32 + 4.0));
        }
    }
}

#[test]
fn dispatches_that_do_not_fit_are_refused() {
    let text = "[[max_total_threads_per_threadgroup(64)]]
        kernel void k(device float4* a [[buffer(0)]], constant uint& n [[buffer(1)]],
                      threadgroup float* s [[threadgroup(0)]], uint i [[thread_position_in_grid]]) {
            s[i] = float(n);
            a[i] = float4(s[i]);
        }";
    let library = library(msl::Mode::Checked, text);
    let mut out = vec![0f32; 1024];
    let mut refused = |change: &dyn Fn(&mut Dispatch<'_>)| {
        let bytes = bytemuck::cast_slice_mut(&mut out);
        let mut dispatch = Dispatch {
            kernel: "k".to_owned(),
            arguments: vec![(0, Binding::Buffer(Buffer::output(bytes))), (1, Binding::Bytes(vec![0; 4]))],
            threadgroup_memory: vec![(0, 256)],
            threadgroups: [1, 1, 1],
            threads: [64, 1, 1],
            ..Dispatch::default()
        };
        change(&mut dispatch);
        library.run(&dispatch, &Mode::default()).map_err(|fault| fault.to_string()).err().unwrap_or_default()
    };
    assert_eq!(refused(&|_| ()), "");
    type Change = dyn Fn(&mut Dispatch<'_>);
    let cases: [(&Change, &str); 9] = [
        (&|dispatch| dispatch.kernel = "j".to_owned(), "the library has no kernel `j`; it has k"),
        (
            &|dispatch| dispatch.threads = [65, 1, 1],
            "65 x 1 x 1 threads in a threadgroup: 1 to 64 are possible",
        ),
        (&|dispatch| dispatch.threadgroups = [1, 0, 1], "at least one is needed"),
        (&|dispatch| drop(dispatch.arguments.pop()), "buffer(1) `n` is not bound"),
        (&|dispatch| dispatch.threadgroup_memory.clear(), "threadgroup(0) `s` has no length"),
        (&|dispatch| dispatch.threadgroup_memory[0].1 = 40_000, "32768 are possible"),
        (&|dispatch| dispatch.arguments[1].1 = Binding::Bytes(vec![0; 5000]), "4096 are possible"),
        (&|dispatch| dispatch.arguments[1].0 = 99, "buffer(99): indices below 32 are possible"),
        (
            &|dispatch| dispatch.constants.push(("c".to_owned(), ConstantValue::Float(1.0))),
            "no function constant `c`",
        ),
    ];
    for (change, expected) in cases {
        let said = refused(change);
        assert!(said.contains(expected), "{said}");
    }
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut out);
    let misaligned = Dispatch {
        kernel: "k".to_owned(),
        arguments: vec![
            (0, Binding::Buffer(Buffer::output(&mut bytes[8..]))),
            (1, Binding::Bytes(vec![0; 4])),
        ],
        threadgroup_memory: vec![(0, 256)],
        threadgroups: [1, 1, 1],
        threads: [64, 1, 1],
        ..Dispatch::default()
    };
    let said = library.run(&misaligned, &Mode::default()).unwrap_err().to_string();
    assert!(said.contains("past a multiple of 16"), "{said}");
}
