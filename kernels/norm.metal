// Norms: root-mean-square and layer norm, alone or with the addition to the residual stream before them. (Those of attention
// heads are taken where the heads are rotated: rope.metal.)
//
//   rms_norm        out = x · rsqrt(mean(x²) + epsilon) · (weight + offset)              x = input
//   add_rms_norm    residual += input, then the same                                      x = residual
//   layer_norm      out = (x - mean(x)) · rsqrt(mean((x - mean(x))²) + epsilon) · (weight + offset) + bias
//   add_layer_norm  residual += input, then the same
//   rms_norm_half, add_rms_norm_half  with the result as f16 for the matrix unit, with a power of two (common/half_rows.h),
//                   and as f32 only where somebody reads that
//
// Rows are f32 [rows, width]; weight and bias are f32 [width].
//
// Thread map: one threadgroup a row, as many threads as let each hold four quads (four neighbours, one 16-byte load):
//
//   row      | quad 0 | quad 1 | ... | quad T-1 | quad T | ...
//   thread       0        1             T-1         0
//
// A row is read once. Its quads stay in registers (up to KEPT a thread, 8,192 elements a row), so that after the sum
// over the threadgroup (simd_sum, up to 16 partial sums, simd_sum) the result is computed without going back to memory.
// Longer rows work too: what does not fit is read again.
//
// Bytes: 4·width·rows read and written (twice that with the residual), 2·width·rows written as f16, and the weight once. A
// norm is bound by memory in prefill. In decode a row is one core's, and what takes time is what comes one after another: the
// row's way from memory, one reduction, the result's way back. So the weight is asked for before the launches before have
// ended; the sum of squares and the greatest |x · (weight + offset)|, from which the power of two follows, are reduced
// together; and a thread has four quads rather than two, which makes half as many simdgroups to reduce over.
//
// Numerics: all in f32. How a row is summed depends on its width alone, never on its neighbours in the batch.
// The variance is the mean square of the differences, not E[x²] - E[x]²: that difference cancels where the mean is large.
// The power of two is that of a number a few roundings from the greatest result. Weights of 1e19 and more may make it 1.
//
// Tried: going back to memory for the row instead of keeping it: 48 KiB are read for 4,096 elements instead of 32 KiB.
//
// Twins: wootz_backend::cpu::reference::{rms_norm, add}, wootz_gpu::twins::norm::layer_norm.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/rms_norm.h"

// What the differences of a row from its mean become.
struct LayerFactors {
    float scale;
    device const float* weight;
    device const float* bias;

    void store(float4 difference, device float* out, uint quad, constant NormArguments& args) const thread {
        float4 value = difference * scale * (load_quad(weight, quad, args.width) + args.offset);
        if (args.has_bias != 0) value += load_quad(bias, quad, args.width);
        store_quad(out, quad, args.width, value);
    }
};

template <bool ADD>
inline void layer_norm_row(
    device const float* input, device float* residual, device const float* weight, device const float* bias,
    device float* out, constant NormArguments& args, uint row, threadgroup float* partial, Team team)
{
    const uint width = args.width;
    const uint quads = quads_of(width);
    const ulong start = ulong(row) * width;
    input += start;
    residual += start;
    out += start;
    device const float* summed = input;
    if (ADD) summed = residual;

    float4 kept[KEPT];
    float4 sums = float4(0.0f);
    for (uint k = 0; k < KEPT; k++) {
        const uint quad = k * team.count + team.index;
        kept[k] = float4(0.0f);
        if (quad < quads) kept[k] = take<ADD>(input, residual, quad, width);
        sums += kept[k];
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        sums += take<ADD>(input, residual, quad, width);
    }
    const float mean = team_sum(sums.x + sums.y + sums.z + sums.w, partial, team) / float(width);

    float squares = 0.0f;
    for (uint k = 0; k < KEPT; k++) {
        kept[k] = within_row(kept[k] - mean, k * team.count + team.index, width);
        squares += dot(kept[k], kept[k]);
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        const float4 difference = within_row(load_quad(summed, quad, width) - mean, quad, width);
        squares += dot(difference, difference);
    }
    // The second half of `partial`: other threads may still read the first.
    const float scale = precise::rsqrt(team_sum(squares, partial + 32, team) / float(width) + args.epsilon);
    const LayerFactors factors = {scale, weight, bias};
    for (uint k = 0; k < KEPT; k++) {
        const uint quad = k * team.count + team.index;
        if (quad < quads) factors.store(kept[k], out, quad, args);
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count)
        factors.store(load_quad(summed, quad, width) - mean, out, quad, args);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void rms_norm(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device const float* weight      [[buffer(1)]],   // [width]
    device float* out               [[buffer(2)]],   // [rows, width]
    constant NormArguments& args    [[buffer(3)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[32];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const ulong start = ulong(row) * args.width;
    rms_norm_row<false, false>({input + start, out + start, weight, out + start, true, {}, {}}, args, partial, team);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void rms_norm_half(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device const float* weight      [[buffer(1)]],   // [width]
    device float* out               [[buffer(2)]],   // [rows, width], written where args.has_out
    device half* halves             [[buffer(3)]],   // [rows, width]
    device float* inverse           [[buffer(4)]],   // [rows]
    constant NormArguments& args    [[buffer(5)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[64];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const ulong start = ulong(row) * args.width;
    const NormedRow all = {input + start, out + start, weight, out + start, args.has_out != 0, halves + start, inverse + row};
    rms_norm_row<false, true>(all, args, partial, team);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void add_rms_norm(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device float* residual          [[buffer(1)]],   // [rows, width], updated
    device const float* weight      [[buffer(2)]],   // [width]
    device float* out               [[buffer(3)]],   // [rows, width]
    constant NormArguments& args    [[buffer(4)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[32];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const ulong start = ulong(row) * args.width;
    rms_norm_row<true, false>({input + start, residual + start, weight, out + start, true, {}, {}}, args, partial, team);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void add_rms_norm_half(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device float* residual          [[buffer(1)]],   // [rows, width], updated
    device const float* weight      [[buffer(2)]],   // [width]
    device float* out               [[buffer(3)]],   // [rows, width], written where args.has_out
    device half* halves             [[buffer(4)]],   // [rows, width]
    device float* inverse           [[buffer(5)]],   // [rows]
    constant NormArguments& args    [[buffer(6)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[64];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const ulong start = ulong(row) * args.width;
    const NormedRow all = {input + start, residual + start, weight, out + start, args.has_out != 0, halves + start, inverse + row};
    rms_norm_row<true, true>(all, args, partial, team);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void layer_norm(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device const float* weight      [[buffer(1)]],   // [width]
    device const float* bias        [[buffer(2)]],   // [width], read if args.has_bias
    device float* out               [[buffer(3)]],   // [rows, width]
    constant NormArguments& args    [[buffer(4)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[64];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    layer_norm_row<false>(input, out, weight, bias, out, args, row, partial, team);
}

[[max_total_threads_per_threadgroup(512)]]
kernel void add_layer_norm(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device float* residual          [[buffer(1)]],   // [rows, width], updated
    device const float* weight      [[buffer(2)]],   // [width]
    device const float* bias        [[buffer(3)]],   // [width], read if args.has_bias
    device float* out               [[buffer(4)]],   // [rows, width]
    constant NormArguments& args    [[buffer(5)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[64];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    layer_norm_row<true>(input, residual, weight, bias, out, args, row, partial, team);
}
