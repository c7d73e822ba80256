// Joins the partitions of rows whose context was split.
//
//   out = Σ_p e^(most[p] - most) · partial[p] / (Σ_p e^(most[p] - most) · sum[p] + e^(sink - most))
//
// partial [decode rows, heads, partitions, D] and stats (most, sum) are what the split kernels leave. Rows that have one
// partition were finished there, and are skipped here, so a row's bits don't depend on its neighbours.
//
// One threadgroup of 256 threads takes 128 dims of one head of one row: grid [heads, decode rows, D / 128]. Each of its 8
// simdgroups has every eighth partition, a lane four dims of it:
//
//   partition | 0 | 1 | ... | 7 | 8 | ...
//   simdgroup   0   1         7   0
//
// and asks for the sums of 8 partitions before it needs the first of them, together with what all partitions' weights follow
// from. So the sums of up to 64 partitions come while each simdgroup finds the maximum and the sum by itself: cheaper than a
// barrier. In the end the simdgroups' totals are added up in ascending order.
//
// Bytes: reads 4 · D a head and partition, writes 4 · D a head, 2 · D as f16.
//
// Numerics: f32. In which order partitions are added follows from their number alone.
//
// Twin: wootz_gpu::twins::attention::attend, over all.
#include <metal_stdlib>
#include "arguments.h"
#include "common/attention.h"
#include "common/earlier.h"
#include "common/order.h"
using namespace metal;

constant constexpr ushort SIMDGROUPS = 8;
// Partitions whose sums are under way to a lane at once, and to a threadgroup.
constant constexpr ushort HELD = 8;
constant constexpr uint BLOCK = SIMDGROUPS * HELD;

// What a lane holds of BLOCK partitions: the stats of those whose place in the block is `lane` or 32 + lane, and its own four
// dims of its simdgroup's.
struct Held {
    float2 stats[BLOCK / 32];
    float4 sums[HELD];

    // The block's partitions are `count`, or more; `quads` are the lane's of them, `stride` apart.
    void load(device const float2* stat, device const float4* quads, uint stride, uint count, uint simdgroup, uint lane) thread {
        for (uint k = 0; k < BLOCK / 32; k++) {
            const float2 loaded = stat[min(32 * k + lane, count - 1)];
            stats[k] = 32 * k + lane < count ? loaded : float2(NO_SCORE, 0.0f);
        }
        for (uint j = 0; j < HELD; j++) {
            sums[j] = float4(0.0f);
            if (SIMDGROUPS * j + simdgroup < count) sums[j] = quads[(SIMDGROUPS * j + simdgroup) * stride];
        }
    }
};

inline float greatest_score(float score) { return number_of(simd_max(key_of(score))); }

[[max_total_threads_per_threadgroup(256)]]
kernel void attention_combine(
    device const float* partial       [[buffer(0)]],
    device const float2* stats        [[buffer(1)]],
    device const uint4* decode_rows   [[buffer(2)]],   // row, position, where its page table begins
    device const float* sinks         [[buffer(3)]],   // [heads], where args.sinks is set
    device float* out                 [[buffer(4)]],   // [rows, heads, D]
    constant CombineArguments& args   [[buffer(5)]],
    uint3 group      [[threadgroup_position_in_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    threadgroup float4 totals[SIMDGROUPS * 32];
    const uint4 own = decode_rows[group.y];
    const uint row = own.x, head = group.x;
    const float sink = args.sinks ? sinks[head] : 0.0f;
    const uint count = row_partitions(own.y, args.window).y;
    const ulong first = (ulong(group.y) * args.heads + head) * args.partitions;
    const uint stride = args.dims / 4, own_quad = min(group.z * 32 + lane, stride - 1);
    device const float2* stat = stats + first;
    device const float4* quads = (device const float4*)(partial + first * args.dims) + own_quad;
    after_earlier_launches();
    if (count == 1) return;

    Held held;
    held.load(stat, quads, stride, count, simdgroup, lane);
    float most = max(held.stats[0].x, held.stats[1].x), sum = 0.0f;
    for (uint p = BLOCK + lane; p < count; p += 32) most = max(most, stat[p].x);
    most = greatest_score(most);
    for (uint k = 0; k < BLOCK / 32; k++) sum += held.stats[k].y * power_of(held.stats[k].x, most);
    for (uint p = BLOCK + lane; p < count; p += 32) sum += stat[p].y * power_of(stat[p].x, most);
    sum = simd_sum(sum);

    float4 total = float4(0.0f);
    for (uint block = 0; block < count; block += BLOCK) {
        if (block > 0) held.load(stat + block, quads + ulong(block) * stride, stride, count - block, simdgroup, lane);
        float weights[BLOCK / 32];
        for (uint k = 0; k < BLOCK / 32; k++) weights[k] = power_of(held.stats[k].x, most);
        for (uint j = 0; j < HELD; j++) {
            const uint place = SIMDGROUPS * j + simdgroup;
            total += simd_shuffle(weights[SIMDGROUPS * j / 32], ushort(place % 32)) * held.sums[j];
        }
    }
    totals[simdgroup * 32 + lane] = total;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint dim = group.z * 128 + thread_id;
    if (thread_id >= 128 || dim >= args.dims) return;
    float result = 0.0f;
    for (uint s = 0; s < SIMDGROUPS; s++) result += ((threadgroup const float*)totals)[128 * s + thread_id];
    store_result(out, (ulong(row) * args.heads + head) * args.dims + dim, args.halves,
                 result * final_factor(most, sum, args.sinks, sink));
}
