// Blocks of quantised weights: packed structs, helper functions, a limit on threads.
#include <metal_stdlib>
#include "common/block.h"
using namespace metal;

struct GemvArguments { uint rows, columns; };
constant constexpr ushort ROWS = 4;

[[kernel, max_total_threads_per_threadgroup(64)]]
void gemv(
    device const Block*     weights [[buffer(0)]],
    device const float*     input   [[buffer(1)]],
    device float*           output  [[buffer(2)]],
    constant GemvArguments& args    [[buffer(3)]],
    uint   group      [[threadgroup_position_in_grid]],
    ushort simdgroups [[simdgroups_per_threadgroup]],
    ushort simdgroup  [[simdgroup_index_in_threadgroup]],
    ushort lane       [[thread_index_in_simdgroup]])
{
    const uint blocks = args.columns / 256;
    const uint first_row = (group * simdgroups + simdgroup) * ROWS;
    const ushort part = lane % 8;
    float sums[ROWS] = {0.0f};
    for (uint block = lane / 8; block < blocks; block += 4) {
        device const float4* x = (device const float4*)(input + block * 256 + part * 32);
        for (ushort r = 0; r < ROWS && first_row + r < args.rows; r++) {
            device const Block& w = weights[(first_row + r) * blocks + block];
            device const uchar4* quads = (device const uchar4*)(w.quants + (part / 2) * 32);
            float2 sum = 0.0f;   // of products, of inputs
            for (ushort i = 0; i < 8; i++) {
                const uchar4 q = (quads[i] >> uchar((part & 1) * 4)) & uchar(0x0f);
                sum += float2(dot(float4(q), x[i]), dot(float4(1.0f), x[i]));
            }
            const uchar2 scale = scale_and_minimum(part, w.scales);
            sums[r] += float(w.d) * scale.x * sum.x - float(w.minimum) * scale.y * sum.y;
        }
    }
    for (ushort r = 0; r < ROWS; r++) {
        const float total = simd_sum(sums[r]);
        if (lane == 0 && first_row + r < args.rows) output[first_row + r] = total;
    }
}
