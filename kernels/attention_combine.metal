// Joins the partitions of rows whose context was split.
//
//   out = Σ_p e^(most[p] - most) · partial[p] / (Σ_p e^(most[p] - most) · sum[p] + e^(sink - most))
//
// partial [decode rows, heads, partitions, D] and stats (most, sum) are what the split kernels leave. Rows that have one
// partition were finished there, and are skipped here, so a row's bits don't depend on its neighbours.
//
// One threadgroup of 128 threads takes 128 dims of one head of one row: grid [heads, decode rows, D / 128]. Each
// simdgroup finds the maximum and the sum by itself: cheaper than a barrier. Then 32 weights at a time, one a lane,
// are handed round while each lane adds up its own dim over the partitions in ascending order, TOGETHER loads at a time.
//
// Bytes: reads 4 · D a head and partition, writes 4 · D a head. Twin: wootz_gpu::twins::attention::attend, over all.
#include <metal_stdlib>
#include "arguments.h"
#include "common/attention.h"
using namespace metal;

// Partitions whose sums are under way to a lane at once.
constant constexpr uint TOGETHER = 16;

kernel void attention_combine(
    device const float* partial       [[buffer(0)]],
    device const float2* stats        [[buffer(1)]],
    device const uint4* decode_rows   [[buffer(2)]],   // row, position, where its page table begins
    device const float* sinks         [[buffer(3)]],   // [heads], where args.sinks is set
    device float* out                 [[buffer(4)]],   // [rows, heads, D]
    constant CombineArguments& args   [[buffer(5)]],
    uint3 group      [[threadgroup_position_in_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    const uint4 own = decode_rows[group.y];
    const uint row = own.x, head = group.x, dim = group.z * 128 + thread_id;
    const uint count = row_partitions(own.y, args.window).y;
    if (count == 1) return;
    const ulong first = (ulong(group.y) * args.heads + head) * args.partitions;

    float most = NO_SCORE, sum = 0.0f;
    for (uint p = lane; p < count; p += 32) most = max(most, stats[first + p].x);
    most = simd_max(most);
    for (uint p = lane; p < count; p += 32) sum += stats[first + p].y * power_of(stats[first + p].x, most);
    sum = simd_sum(sum);

    float total = 0.0f;
    const uint own_dim = min(dim, args.dims - 1);
    for (uint p = 0; p < count; p += 32) {
        const float weight = p + lane < count ? power_of(stats[first + p + lane].x, most) : 0.0f;
        const uint ready = min(count - p, 32u);
        for (uint i = 0; i < ready; i += TOGETHER) {
            // Behind the last partition the last is read again, with a weight of 0.
            float sums[TOGETHER];
            for (uint j = 0; j < TOGETHER; j++) sums[j] = partial[(first + p + min(i + j, ready - 1)) * args.dims + own_dim];
            for (uint j = 0; j < TOGETHER; j++) total += simd_shuffle(weight, ushort(i + j)) * sums[j];
        }
    }
    const float sink = args.sinks ? sinks[head] : 0.0f;
    if (dim < args.dims)
        store_result(out, (ulong(row) * args.heads + head) * args.dims + dim, args.halves,
                     total * final_factor(most, sum, args.sinks, sink));
}
