// What surrounds a matrix product of the device's own library, which multiplies f16 and knows nothing of our formats.
//
//   half_rows      out[r] = f16(input[r] · scale[r]), inverse[r] = 1 / scale[r]; half_rows_interleaved has elements 0 2 1 3 of
//                  each four of a row (common/gemm_skinny.h)
//   finish_rows    out[r, n] = out[r, n] · inverse[r] (+ bias[n])
//
// Activations are f32 and may exceed 65504, the largest f16, or lie where f16 has few bits. A row whose greatest magnitude is
// not between 2^-4 and 2^15 is multiplied with the power of two that takes it to 2^14; that rounds nothing. Nearly always
// all scales are 1: then, and without a bias, finish_rows reads one number a threadgroup and ends.
//
// Bytes: half_rows reads a row twice, the second time from the cache, and writes half of it; finish_rows reads and writes
// `out` where it has to. Twins: half::f16, and the formulas above.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

constant constexpr float LEAST = 0.0625f, GREATEST = 32768.0f;

// Grid: a threadgroup for each row.
template <bool INTERLEAVED>
kernel void half_rows(
    device const float* input         [[buffer(0)]],   // [rows, columns]
    device half* out                  [[buffer(1)]],   // [rows, columns]
    device float* inverse             [[buffer(2)]],   // [rows]
    constant HalfRowsArguments& args  [[buffer(3)]],
    uint row         [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint threads     [[threads_per_threadgroup]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    threadgroup float partial[32];
    device const float* from = input + ulong(row) * args.columns;
    device half* to = out + ulong(row) * args.columns;
    const uint fours = args.columns / 4;
    float most = 0.0f;
    for (uint i = thread_id; i < fours; i += threads) {
        const float4 x = abs(float4(((device const packed_float4*)from)[i]));
        most = max(most, max(max(x.x, x.y), max(x.z, x.w)));
    }
    for (uint i = 4 * fours + thread_id; i < args.columns; i += threads) most = max(most, abs(from[i]));
    most = simd_max(most);
    if (lane == 0) partial[simdgroup] = most;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    most = simd_max(lane < simdgroups ? partial[lane] : 0.0f);

    // 2^14 / 2^(exponent of the greatest), so that it comes to lie between 2^14 and 2^15. An infinity stays one.
    const uint exponent = as_type<uint>(most) >> 23;
    const bool fits = (most >= LEAST && most <= GREATEST) || most == 0.0f || exponent == 255u;
    // Below 2^-112 the power itself would be too large: 2^127 it is.
    const float scale = fits ? 1.0f : as_type<float>(min(127u + 14u + 127u - exponent, 254u) << 23);
    if (thread_id == 0) inverse[row] = 1.0f / scale;
    for (uint i = thread_id; i < fours; i += threads) {
        const float4 x = float4(((device const packed_float4*)from)[i]) * scale;
        ((device packed_half4*)to)[i] = packed_half4(half4(INTERLEAVED ? x.xzyw : x));
    }
    for (uint i = 4 * fours + thread_id; i < args.columns; i += threads) to[i] = half(from[i] * scale);
}
template [[host_name("half_rows")]] kernel decltype(half_rows<false>) half_rows<false>;
template [[host_name("half_rows_interleaved")]] kernel decltype(half_rows<true>) half_rows<true>;

// Grid: a threadgroup for each row.
kernel void finish_rows(
    device float* out                  [[buffer(0)]],   // [rows, outputs]
    device const float* inverse        [[buffer(1)]],   // [rows]
    device const float* bias           [[buffer(2)]],   // [outputs], where args.has_bias
    constant FinishRowsArguments& args [[buffer(3)]],
    uint row         [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint threads     [[threads_per_threadgroup]])
{
    const float factor = inverse[row];
    if (factor == 1.0f && args.has_bias == 0) return;
    device float* own = out + ulong(row) * args.outputs;
    for (uint n = thread_id; n < args.outputs; n += threads)
        own[n] = args.has_bias != 0 ? fma(own[n], factor, bias[n]) : own[n] * factor;
}
