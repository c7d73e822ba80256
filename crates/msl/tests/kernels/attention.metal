// Attention of one query over pages: two-dimensional threadgroup arrays, vectors, shuffles.
#include <metal_stdlib>
using namespace metal;

struct AttentionArguments {
    uint heads, shared_by, length, page_length, pages;
    float scale;
};
constant constexpr uint HEAD = 128;

kernel void attention(
    device const half* query [[buffer(0)]],    // [sequence, heads, HEAD]
    device const half* keys  [[buffer(1)]],    // [page, heads / shared_by, page_length, HEAD]
    device const half* values [[buffer(2)]],
    device const int* table  [[buffer(3)]],    // [sequence, pages]
    device float* output     [[buffer(4)]],
    constant AttentionArguments& args [[buffer(5)]],
    uint2  group      [[threadgroup_position_in_grid]],
    ushort simdgroups [[simdgroups_per_threadgroup]],
    ushort simdgroup  [[simdgroup_index_in_threadgroup]],
    ushort lane       [[thread_index_in_simdgroup]])
{
    threadgroup float highest[32], totals[32];
    threadgroup float4 sums[32][32];
    const uint head = group.x, place = group.y * args.heads + head;
    const float4 q = float4(((device const half4*)(query + place * HEAD))[lane]) * args.scale;
    float maximum = -INFINITY, total = 0.0f;
    float4 sum = 0.0f;
    for (uint position = simdgroup; position < args.length; position += simdgroups) {
        const uint page = table[group.y * args.pages + position / args.page_length];
        const uint first = page * (args.heads / args.shared_by) + head / args.shared_by;
        const uint offset = (first * args.page_length + position % args.page_length) * HEAD;
        const float score = simd_sum(dot(q, float4(((device const half4*)(keys + offset))[lane])));
        const float larger = max(maximum, score);
        const float keep = fast::exp(maximum - larger), weight = fast::exp(score - larger);
        sum = sum * keep + weight * float4(((device const half4*)(values + offset))[lane]);
        total = total * keep + weight;
        maximum = larger;
    }
    if (lane == 0) {
        highest[simdgroup] = maximum;
        totals[simdgroup] = total;
    }
    sums[simdgroup][lane] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simdgroup != 0) return;
    const float mine = lane < simdgroups ? highest[lane] : -INFINITY;
    const float weight = lane < simdgroups ? exp(mine - simd_max(mine)) : 0.0f;
    const float whole = simd_sum(lane < simdgroups ? weight * totals[lane] : 0.0f);
    sum = 0.0f;
    for (ushort i = 0; i < simdgroups; i++) sum += simd_broadcast(weight, i) * sums[i][lane];
    ((device float4*)(output + place * HEAD))[lane] = sum / whole;
}
