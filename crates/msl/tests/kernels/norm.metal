// A reduction over a threadgroup: simd_sum, a threadgroup array, a barrier.
#include <metal_stdlib>
using namespace metal;

struct NormArguments {
    uint width;
    float epsilon;
};

kernel void norm(
    device const half4*      input  [[buffer(0)]],
    device const half4*      weight [[buffer(1)]],
    device half4*            output [[buffer(2)]],
    constant NormArguments&  args   [[buffer(3)]],
    uint   row        [[threadgroup_position_in_grid]],
    ushort thread_id  [[thread_position_in_threadgroup]],
    ushort threads    [[threads_per_threadgroup]],
    ushort simdgroup  [[simdgroup_index_in_threadgroup]],
    ushort lane       [[thread_index_in_simdgroup]],
    ushort simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup float partial[32];
    const uint quads = args.width / 4;
    device const half4* x = input + row * quads;
    float sum = 0.0f;
    for (uint i = thread_id; i < quads; i += threads) {
        const float4 v = float4(x[i]);
        sum += dot(v, v);
    }
    sum = simd_sum(sum);
    if (lane == 0) partial[simdgroup] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    sum = simd_sum(lane < simdgroups ? partial[lane] : 0.0f);
    const float scale = rsqrt(sum / float(args.width) + args.epsilon);
    for (uint i = thread_id; i < quads; i += threads)
        output[row * quads + i] = half4(float4(x[i]) * scale * float4(weight[i]));
}
