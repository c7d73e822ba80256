// Root-mean-square norm.
//
//   out[r] = input[r] · rsqrt(mean(input[r]²) + epsilon) · (weight + offset)
//
// One threadgroup a row; its threads stride over the row twice, first for the sum of squares, then for the result.
// Twin: wootz_backend::cpu::reference::rms_norm.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

kernel void rms_norm(
    device const float* input       [[buffer(0)]],   // [rows, width]
    device const float* weight      [[buffer(1)]],   // [width]
    device float* out               [[buffer(2)]],   // [rows, width]
    constant NormArguments& args    [[buffer(3)]],
    uint row       [[threadgroup_position_in_grid]],
    uint thread_id [[thread_index_in_threadgroup]],
    uint threads   [[threads_per_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane      [[thread_index_in_simdgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[32];
    device const float* x = input + ulong(row) * args.width;
    float sum = 0.0f;
    for (uint i = thread_id; i < args.width; i += threads) sum += x[i] * x[i];
    sum = simd_sum(sum);
    if (lane == 0) partial[simdgroup] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float mine = lane < simdgroups ? partial[lane] : 0.0f;
    const float scale = precise::rsqrt(simd_sum(mine) / float(args.width) + args.epsilon);
    device float* y = out + ulong(row) * args.width;
    for (uint i = thread_id; i < args.width; i += threads) y[i] = x[i] * scale * (weight[i] + args.offset);
}
