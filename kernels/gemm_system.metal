// What surrounds a matrix product of the device's own library, which multiplies f16 and knows nothing of our formats.
//
//   half_rows      out[r] = f16(input[r] · scale[r]), inverse[r] = 1 / scale[r]
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
#include "common/half_rows.h"

// Grid: a threadgroup for each row.
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
    const Team team = {thread_id, threads, lane, simdgroup, simdgroups};
    const uint width = args.columns, quads = quads_of(width);
    device const float* from = input + ulong(row) * width;
    float most = 0.0f;
    for (uint quad = thread_id; quad < quads; quad += threads) most = max(most, greatest_of(load_quad(from, quad, width)));
    const float scale = half_scale(team_max(most, partial, team));
    if (thread_id == 0) inverse[row] = 1.0f / scale;
    for (uint quad = thread_id; quad < quads; quad += threads) {
        store_half_quad(out + ulong(row) * width, quad, width, load_quad(from, quad, width) * scale);
    }
}

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
