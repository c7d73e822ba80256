//! Metal's standard library, as the prelude gives it: each function computes what Metal's specification says.
//!
//! A table of expressions becomes one kernel of 32 threads, `l` being the lane and `x` the lane as a float. What each
//! lane gets is compared with a closure.

use msl::emulator::{Binding, Buffer, Dispatch, Library, Mode};
use msl::{Options, Source, compile};

/// An expression, and its value in each lane.
type Case = (&'static str, fn(u32) -> f64);

/// Runs the expressions in both modes and compares; numbers may be off by `tolerance` of their size.
fn check(before: &str, cases: &[Case], tolerance: f64) {
    let mut text = format!(
        "#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\nusing namespace metal;\n{before}\n\
         kernel void k(device float* out [[buffer(0)]], uint l [[thread_index_in_simdgroup]]) {{\n\
         const float x = float(l);\n"
    );
    for (number, (expression, _)) in cases.iter().enumerate() {
        text += &format!("out[{number} * 32 + l] = float({expression});\n");
    }
    let source = Source::new("table.metal", text + "}\n");
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let compiled = compile(&source, &Options::new(mode)).unwrap_or_else(|error| panic!("{error}"));
        let library = Library::open(&compiled).expect("the library loads");
        let mut out = vec![0; cases.len() * 32 * 4];
        let dispatch = Dispatch {
            kernel: "k".to_owned(),
            arguments: vec![(0, Binding::Buffer(Buffer::output(&mut out)))],
            threadgroups: [1, 1, 1],
            threads: [32, 1, 1],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::default()).unwrap_or_else(|fault| panic!("{fault}"));
        drop(dispatch);
        let mut values =
            out.chunks(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        for (expression, expected) in cases {
            for lane in 0..32 {
                let (found, expected) = (f64::from(values.next().expect("a value")), expected(lane));
                let close = (found - expected).abs() <= tolerance * expected.abs() || found == expected;
                assert!(close, "{mode:?}: {expression} in lane {lane} is {found}, not {expected}");
            }
        }
    }
}

#[test]
fn lanes_of_a_simdgroup_exchange_values() {
    let cases: &[Case] = &[
        ("simd_sum(x)", |_| 496.0),
        ("simd_sum(float2(x, 1.0f)).y", |_| 32.0),
        ("simd_sum(half(1.0h))", |_| 32.0),
        ("simd_product(l < 3 ? 2.0f : 1.0f)", |_| 8.0),
        ("simd_max(int(l) - 40)", |_| -9.0),
        ("simd_min(uint(l) + 7)", |_| 7.0),
        ("simd_and(l | 64u)", |_| 64.0),
        ("simd_or(1u << (l & 7))", |_| 255.0),
        ("simd_xor(l)", |_| 0.0),
        ("simd_shuffle(x, ushort(31 - l))", |lane| f64::from(31 - lane)),
        ("simd_shuffle_xor(x, 5)", |lane| f64::from(lane ^ 5)),
        ("simd_shuffle_down(x, 4)", |lane| f64::from(if lane < 28 { lane + 4 } else { lane })),
        ("simd_shuffle_up(x, 3)", |lane| f64::from(if lane >= 3 { lane - 3 } else { lane })),
        ("simd_shuffle_rotate_down(x, 4)", |lane| f64::from((lane + 4) % 32)),
        ("simd_shuffle_rotate_up(x, 4)", |lane| f64::from((lane + 28) % 32)),
        ("simd_shuffle_and_fill_down(x, x + 100.0f, 4)", |lane| {
            f64::from(if lane < 28 { lane + 4 } else { lane - 28 + 100 })
        }),
        ("simd_shuffle_and_fill_up(x, x + 100.0f, 4)", |lane| {
            f64::from(if lane >= 4 { lane - 4 } else { lane + 28 + 100 })
        }),
        ("simd_broadcast(x, 9)", |_| 9.0),
        ("simd_broadcast_first(x + 2.0f)", |_| 2.0),
        ("simd_prefix_inclusive_sum(1)", |lane| f64::from(lane + 1)),
        ("simd_prefix_exclusive_sum(x)", |lane| f64::from(lane * lane.saturating_sub(1) / 2)),
        ("simd_prefix_inclusive_product(l == 3 ? 2u : 1u)", |lane| if lane >= 3 { 2.0 } else { 1.0 }),
        ("simd_prefix_exclusive_product(l == 3 ? 2u : 1u)", |lane| if lane > 3 { 2.0 } else { 1.0 }),
        ("popcount(uint(ulong(simd_ballot(l % 3 == 0))))", |_| 11.0),
        ("simd_all(l < 32)", |_| 1.0),
        ("simd_all(l < 31)", |_| 0.0),
        ("simd_any(l == 31)", |_| 1.0),
        ("simd_is_first()", |lane| f64::from(u8::from(lane == 0))),
        ("simd_active_threads_mask().all()", |_| 1.0),
        ("quad_sum(x)", |lane| f64::from(lane / 4 * 16 + 6)),
        ("quad_max(x)", |lane| f64::from(lane | 3)),
        ("quad_min(x)", |lane| f64::from(lane & !3)),
        ("quad_broadcast(x, 2)", |lane| f64::from((lane & !3) + 2)),
        ("quad_shuffle_xor(x, 1)", |lane| f64::from(lane ^ 1)),
        ("quad_shuffle_down(x, 1)", |lane| f64::from(if lane % 4 < 3 { lane + 1 } else { lane })),
        ("quad_shuffle_rotate_up(x, 1)", |lane| f64::from((lane & !3) + (lane + 3) % 4)),
        ("quad_any(l == 5)", |lane| f64::from(u8::from(lane / 4 == 1))),
    ];
    check("", cases, 0.0);
}

#[test]
fn vectors_work_by_component() {
    let before = "float pick2(uint l, float4 v) { const float4 w = l < 4 ? v : float4(2.0f); return l < 4 ? w.x : l < 8 ? 2.0f : w.y; }
        float pick(float4 v) { return dot(v.wzyx, float4(1000.0f, 0.0f, 0.0f, 0.0f)) + v.xy[1] * 100.0f + v.rgb[2] * 10.0f + v[0]; }
        float assign() { float4 v = float4(1.0f, 2.0f, 3.0f, 4.0f); v.xy = v.yx; v.zw *= 10.0f; return dot(v, float4(1.0f, 10.0f, 100.0f, 1000.0f)); }
        float packed() { packed_float3 p(1.0f, 2.0f, 3.0f); p.y += 5.0f; const float3 v = p; return v.y + float(sizeof(packed_float3)); }";
    let cases: &[Case] = &[
        ("pick(float4(1.0f, 2.0f, 3.0f, 4.0f))", |_| 4231.0),
        ("assign()", |_| 2.0 + 10.0 + 3000.0 + 40000.0),
        ("packed()", |_| 19.0),
        ("sizeof(float3) + alignof(half4)", |_| 24.0),
        ("float4(half4(1.5h)).w + float(uchar4(uint4(258u)).x)", |_| 3.5),
        ("(uchar4(0xab) >> uchar(4)).y + (ushort2(7) & ushort2(5)).x", |_| 15.0),
        ("all(float4(x) < 32.0f) && any(float2(x, 40.0f) > 39.0f)", |_| 1.0),
        ("select(float2(1.0f, 2.0f), float2(3.0f, 4.0f), bool2(true, false)).x", |_| 3.0),
        ("select(1.0f, 2.0f, l == 4)", |lane| if lane == 4 { 2.0 } else { 1.0 }),
        ("dot(float3(1.0f, 2.0f, 3.0f), float3(x))", |lane| 6.0 * f64::from(lane)),
        ("cross(float3(1.0f, 0.0f, 0.0f), float3(0.0f, 1.0f, 0.0f)).z", |_| 1.0),
        ("length(float2(3.0f, 4.0f)) + normalize(float2(0.0f, 5.0f)).y", |_| 6.0),
        ("(-float2(1.0f, 2.0f)).y + (!bool2(true, false)).y", |_| -1.0),
        ("max(float4(x), 5.0f).z + clamp(float2(x), 1.0f, 2.0f).x", |lane| {
            f64::from(lane.max(5) + lane.clamp(1, 2))
        }),
        ("(float2x2(float2(1.0f, 2.0f), float2(3.0f, 4.0f)) * float2(1.0f, 10.0f)).y", |_| 42.0),
        ("pick2(l, float4(x)) + (l < 4 ? float2(1.0f).yx : float2(2.0f)).x", |lane| {
            f64::from(if lane < 4 { lane + 1 } else { 4 })
        }),
        ("vec<int, 3>(1, vec<int, 2>(2, 3)).z + int4(1, 2, int2(3, 4)).w", |_| 7.0),
    ];
    check(before, cases, 1e-6);
}

#[test]
fn integers_are_taken_apart_into_bits() {
    let cases: &[Case] = &[
        ("popcount(uint(0xf0f0))", |_| 8.0),
        ("popcount(char(-1)) + popcount(uchar2(3, 1)).x", |_| 10.0),
        ("clz(uint(1)) + clz(ushort(1)) + clz(0u) + clz(short(-1))", |_| 31.0 + 15.0 + 32.0),
        ("ctz(uint(8)) + ctz(uchar(0))", |_| 11.0),
        ("reverse_bits(uchar(1)) + reverse_bits(1u)", |_| 128.0 + 2_147_483_648.0),
        ("extract_bits(0xabcdu, 4u, 8u)", |_| f64::from(0xbc)),
        ("extract_bits(int(0xf0), 4u, 4u) + extract_bits(int(0x70), 4u, 4u)", |_| -1.0 + 7.0),
        ("extract_bits(0xffffffffu, 0u, 32u) == 0xffffffffu", |_| 1.0),
        ("insert_bits(0xffu, 0u, 2u, 3u) + insert_bits(uchar(0), uchar(3), 6u, 2u)", |_| {
            f64::from(0xe3 + 0xc0)
        }),
        ("rotate(0x81u, 4u) + rotate(uchar(0x81), uchar(4))", |_| f64::from(0x810 + 0x18)),
        ("mulhi(0x80000000u, 4u) + mulhi(int(-1), 1) + mulhi(ulong(1) << 63, ulong(2))", |_| 2.0 - 1.0 + 1.0),
        ("mad24(3, 4, 5) + mul24(3u, 4u)", |_| 29.0),
        ("addsat(uchar(200), uchar(100)) + subsat(3u, 4u) + addsat(char(-100), char(-100))", |_| {
            255.0 - 128.0
        }),
        ("absdiff(3u, 7u) + hadd(uchar(255), uchar(253)) + rhadd(2u, 3u)", |_| 4.0 + 254.0 + 3.0),
        ("as_type<uint>(1.0f) == 0x3f800000u && as_type<ushort>(half(1.0h)) == 0x3c00", |_| 1.0),
        ("float(as_type<ushort>(bfloat(1.0f))) + float(as_type<half2>(0x3c004000u).x)", |_| {
            f64::from(0x3f80) + 2.0
        }),
        ("as_type<uchar4>(0x04030201u).w + as_type<uint>(uchar4(1, 2, 3, 4).wzyx)", |_| {
            4.0 + f64::from(0x0102_0304)
        }),
        ("min(int(l), 3) + max(l, 30u) + abs(-4) + clamp(int(l), 1, 2)", |lane| {
            f64::from(lane.min(3) + lane.max(30) + 4 + lane.clamp(1, 2))
        }),
        ("numeric_limits<uint>::max() == UINT_MAX && numeric_limits<char>::min() == -128", |_| 1.0),
    ];
    check("", cases, 1e-7);
}

#[test]
fn real_functions_are_those_of_mathematics() {
    let before = "float both(float x) { float c; const float s = sincos(x, c); return s + 10.0f * c; }
        float parts(float x) { int e; const float m = frexp(x, e); float w; return m * 8.0f + float(e) + modf(2.75f, w) + w; }";
    let cases: &[Case] = &[
        ("exp(x * 0.1f) + exp2(x * 0.1f)", |l| (f64::from(l) * 0.1).exp() + (f64::from(l) * 0.1).exp2()),
        ("log(x + 1.0f) + log2(x + 1.0f)", |l| f64::from(l + 1).ln() + f64::from(l + 1).log2()),
        ("sqrt(x) + rsqrt(x + 1.0f)", |l| f64::from(l).sqrt() + 1.0 / f64::from(l + 1).sqrt()),
        ("tanh(x * 0.1f) + precise::exp(-x)", |l| (f64::from(l) * 0.1).tanh() + (-f64::from(l)).exp()),
        ("both(x)", |l| f64::from(l).sin() + 10.0 * f64::from(l).cos()),
        ("parts(6.0f)", |_| 0.75 * 8.0 + 3.0 + 2.75),
        ("pow(x, 2) + powr(2.0f, x * 0.5f)", |l| f64::from(l * l) + 2_f64.powf(f64::from(l) * 0.5)),
        ("floor(-1.5f) + ceil(1.2f) + trunc(-1.7f) + rint(2.5f) + round(2.5f)", |_| {
            -2.0 + 2.0 - 1.0 + 2.0 + 3.0
        }),
        ("fract(2.75f) + fmod(7.5f, 2.0f) + copysign(3.0f, -1.0f)", |_| 0.75 + 1.5 - 3.0),
        ("fma(x, 2.0f, 1.0f) + mix(1.0f, 3.0f, 0.5f) + step(2.0f, x)", |l| {
            f64::from(2 * l + 3 + u32::from(l >= 2))
        }),
        ("saturate(x - 1.0f) + sign(-x) + smoothstep(0.0f, 2.0f, 1.0f)", |l| {
            f64::from(l.saturating_sub(1).min(1)) - f64::from(l.min(1)) + 0.5
        }),
        ("max(NAN, 3.0f) + min(2.0f, NAN) + fmax(1.0f, NAN)", |_| 6.0),
        ("isnan(NAN) + isinf(-INFINITY) + isfinite(1.0f) + isnan(half(1.0h))", |_| 3.0),
        ("max3(1.0f, 5.0f, 3.0f) + min3(4, 2, 3) + median3(1.0f, 9.0f, 5.0f)", |_| 12.0),
        ("fast::exp(1.0f) + fast::max(1.0f, 2.0f) + fast::divide(1.0f, 4.0f)", |_| 1_f64.exp() + 2.25),
        ("ldexp(1.5f, 3) + atan2(0.0f, -1.0f) + erf_like", |_| 12.0 + std::f64::consts::PI),
    ];
    let before = format!("{before}\nconstant float erf_like = 0.0f;");
    check(&before, cases, 3e-6);
}

#[test]
fn narrow_floats_round_once_an_operation() {
    let cases: &[Case] = &[
        ("half(2049.0f)", |_| 2048.0),
        ("half(0.1f) * 3.0h", |_| {
            f64::from(half::f16::from_f32(half::f16::from_f32(0.1).to_f32() * 3.0).to_f32())
        }),
        ("bfloat(257.0f)", |_| 256.0),
        ("bfloat(1.0f) + bfloat(0.00390625f)", |_| 1.0),
        ("bfloat(x) * bfloat(3.0f)", |l| f64::from(half::bf16::from_f32(l as f32 * 3.0).to_f32())),
        ("1.5bf", |_| 1.5),
        ("exp(1.0h)", |_| f64::from(half::f16::from_f32(1_f32.exp()).to_f32())),
        ("numeric_limits<half>::max() + float(numeric_limits<bfloat>::epsilon())", |_| 65504.0),
        ("half2(1.0h, 2.0h).y + float2(half2(0.5h)).x", |_| 2.5),
    ];
    check("", cases, 2e-7);
}

#[test]
fn matrices_lie_in_lanes_as_apple_lays_them() {
    let before = "
        float product(threadgroup float* a, uint l, bool transposed) {
            // a[r][c] = 8 r + c; b is the identity scaled by 2.
            threadgroup_barrier(mem_flags::mem_threadgroup);
            a[2 * l] = float(2 * l); a[2 * l + 1] = float(2 * l + 1);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            simdgroup_float8x8 m, d;
            simdgroup_load(m, a, 8, ulong2(0, 0), transposed);
            simdgroup_multiply_accumulate(d, m, simdgroup_float8x8(2.0f), make_filled_simdgroup_matrix<float, 8, 8>(1.0f));
            return d.thread_elements()[0] * 1000.0f + d.thread_elements()[1];
        }
        float stored(threadgroup float* a, uint l) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
            simdgroup_float8x8 m;
            m.thread_elements() = float2(float(l), float(l) + 0.5f);
            simdgroup_store(m, a, 8);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            return a[l];
        }
        #define TILE threadgroup float tile[64];";
    // Rows of four lanes: 0 1 8 9, then 2 3 10 11 and so on, 16 lanes lower from row 4.
    fn row(lane: u32) -> u32 {
        lane / 16 * 4 + lane / 2 % 4
    }
    fn column(lane: u32) -> u32 {
        lane / 8 % 2 * 4 + lane % 2 * 2
    }
    let kernel = "{ TILE out[l] = product(tile, l, false); out[32 + l] = product(tile, l, true); out[64 + l] = stored(tile, l); }";
    let text = format!(
        "#include <metal_stdlib>\nusing namespace metal;\n{before}\n\
         kernel void k(device float* out [[buffer(0)]], uint l [[thread_index_in_simdgroup]]) {kernel}"
    );
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let compiled = compile(&Source::new("matrix.metal", text.clone()), &Options::new(mode));
        let library =
            Library::open(&compiled.unwrap_or_else(|error| panic!("{error}"))).expect("the library loads");
        let mut out = vec![0; 3 * 32 * 4];
        let dispatch = Dispatch {
            kernel: "k".to_owned(),
            arguments: vec![(0, Binding::Buffer(Buffer::output(&mut out)))],
            threadgroups: [1, 1, 1],
            threads: [32, 1, 1],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::default()).unwrap_or_else(|fault| panic!("{fault}"));
        drop(dispatch);
        let out: Vec<f32> =
            out.chunks(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
        for lane in 0..32 {
            let (r, c, at) = (row(lane), column(lane), lane as usize);
            let value = |r: u32, c: u32| (2 * (8 * r + c) + 1) as f32;
            assert_eq!(out[at], value(r, c) * 1000.0 + value(r, c + 1), "lane {lane}");
            assert_eq!(out[32 + at], value(c, r) * 1000.0 + value(c + 1, r), "lane {lane}, transposed");
            let (r, c) = (lane / 8, lane % 8);
            let owner = (0..32).find(|lane| row(*lane) == r && column(*lane) == c & !1).expect("an owner");
            assert_eq!(out[64 + at], owner as f32 + 0.5 * (c % 2) as f32, "element {lane}");
        }
    }
}

#[test]
fn matrix_products_of_tensors_need_no_layout() {
    // 3 simdgroups hold sums[20][24] = left[20][16] · right[24][16]ᵀ, beginning with 1; the tensors end before the tile.
    let text = "#include <metal_stdlib>\n#include <metal_tensor>\n\
        #include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>\nusing namespace metal;\n\
        kernel void k(device float* out [[buffer(0)]], uint t [[thread_index_in_threadgroup]]) {\n\
        threadgroup half left[20 * 16], right[24 * 16];\n\
        for (uint i = t; i < 320; i += 96) left[i] = half(float(i % 7));\n\
        for (uint i = t; i < 384; i += 96) right[i] = half(float(i % 5));\n\
        threadgroup_barrier(mem_flags::mem_threadgroup);\n\
        constexpr auto descriptor = mpp::tensor_ops::matmul2d_descriptor(32, 24, 16, false, true, false,\n\
            mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate);\n\
        mpp::tensor_ops::matmul2d<descriptor, execution_simdgroups<3>> product;\n\
        auto a = tensor<threadgroup half, dextents<int32_t, 2>, tensor_inline>(left, dextents<int32_t, 2>(16, 20));\n\
        auto b = tensor<threadgroup half, dextents<int32_t, 2>, tensor_inline>(right, dextents<int32_t, 2>(16, 24));\n\
        auto sums = product.get_destination_cooperative_tensor<decltype(a), decltype(b), float>();\n\
        for (ushort i = 0; i < sums.get_capacity(); i++) if (sums.is_valid_element(i)) sums[i] = 1.0f;\n\
        product.run(a, b, sums);\n\
        auto c = tensor<device float, dextents<int32_t, 2>, tensor_inline>(out, dextents<int32_t, 2>(24, 20));\n\
        sums.store(c.slice(0, 0));\n}\n";
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let compiled = compile(&Source::new("tensor.metal", text), &Options::new(mode));
        let library =
            Library::open(&compiled.unwrap_or_else(|error| panic!("{error}"))).expect("the library loads");
        let mut out = vec![0; 20 * 24 * 4];
        let dispatch = Dispatch {
            kernel: "k".to_owned(),
            arguments: vec![(0, Binding::Buffer(Buffer::output(&mut out)))],
            threadgroups: [1, 1, 1],
            threads: [96, 1, 1],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::random(3)).unwrap_or_else(|fault| panic!("{fault}"));
        drop(dispatch);
        for (index, bytes) in out.chunks(4).enumerate() {
            let (row, column) = (index / 24, index % 24);
            let products = (0..16).map(|k| ((row * 16 + k) % 7) * ((column * 16 + k) % 5));
            let expected = 1 + products.sum::<usize>();
            assert_eq!(
                f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
                expected as f32,
                "{row} {column}"
            );
        }
    }
    let findings = msl::lint(&Source::new("tensor.metal", text)).expect("it compiles");
    assert_eq!(findings, []);
}
