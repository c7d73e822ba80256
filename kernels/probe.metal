// Questions to a device: does it do what the other kernels take for granted?
//
// Each kernel writes what it sees; the answers are known, so a device that gives another one is found before a model
// runs on it. `wootz doctor` asks them first.
//
//   probe_simdgroup       lanes of a SIMD group, and what passes between them
//   probe_matrix_layout   which lane holds which element of an 8x8 matrix (masks in attention rely on it)
//   probe_threadgroup     32 KiB of threadgroup memory, and a barrier that orders it
//   probe_atomics         counters that many threads add to
//   probe_numbers         rounding to f16 and bf16, infinities, NaN, fused multiply-add
#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

// One SIMD group. out[lane] of each block of 32: its index, the width, the neighbour's index by xor 1, the value of
// lane 5, the sum of the lanes before it, the sum of all.
kernel void probe_simdgroup(
    device uint* out [[buffer(0)]],   // [6, 32]
    uint lane  [[thread_index_in_simdgroup]],
    uint width [[threads_per_simdgroup]])
{
    out[lane] = lane;
    out[32 + lane] = width;
    out[64 + lane] = simd_shuffle_xor(lane, ushort(1));
    out[96 + lane] = simd_broadcast(lane * 3, ushort(5));
    out[128 + lane] = simd_prefix_exclusive_sum(lane);
    out[160 + lane] = simd_sum(lane);
}

// One SIMD group. The matrix holds 0 to 63 by rows; out[lane] are the lane's two elements.
kernel void probe_matrix_layout(
    device float2* out [[buffer(0)]],   // [32]
    uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float numbers[64];
    numbers[lane] = float(lane);
    numbers[lane + 32] = float(lane + 32);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_float8x8 matrix;
    simdgroup_load(matrix, numbers, 8);
    out[lane] = float2(matrix.thread_elements()[0], matrix.thread_elements()[1]);
}

// One threadgroup of 1,024 threads, which fill 32 KiB and read what others wrote.
[[max_total_threads_per_threadgroup(1024)]]
kernel void probe_threadgroup(
    device uint* out [[buffer(0)]],   // [1024]
    uint thread_id [[thread_index_in_threadgroup]])
{
    threadgroup uint words[8192];
    for (uint i = thread_id; i < 8192; i += 1024) words[i] = i * 2654435761u;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint sum = 0;
    for (uint i = 0; i < 8; i++) sum ^= words[(thread_id * 8 + i * 1021) & 8191];
    out[thread_id] = sum;
}

// Four threadgroups of 256 threads. counts: { all threads, sum of their numbers, the greatest number }; they begin at 0.
kernel void probe_atomics(
    device atomic_uint* counts [[buffer(0)]],   // [3]
    uint number [[thread_position_in_grid]])
{
    atomic_fetch_add_explicit(&counts[0], 1u, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts[1], number, memory_order_relaxed);
    atomic_fetch_max_explicit(&counts[2], number, memory_order_relaxed);
}

// 32 threads, one number each: its f16 bits, its bf16 bits, and as bits of f32 number·number - 1 in one rounding,
// exp(-infinity) + number, and whether NaN is seen as one.
kernel void probe_numbers(
    device const float* numbers [[buffer(0)]],   // [32]
    device uint* out            [[buffer(1)]],   // [5, 32]
    uint i [[thread_position_in_grid]])
{
    const float number = numbers[i];
    out[i] = uint(as_type<ushort>(half(number)));
    out[32 + i] = uint(as_type<ushort>(bfloat(number)));
    out[64 + i] = as_type<uint>(fma(number, number, -1.0f));
    out[96 + i] = as_type<uint>(exp(number - INFINITY) + number);
    const float nothing = (INFINITY - INFINITY) + number;
    out[128 + i] = isnan(nothing) ? 1u : 0u;
}
