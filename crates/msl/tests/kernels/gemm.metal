// Matrices of a simdgroup, and threadgroup memory that the dispatch gives.
#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

struct GemmArguments { uint rows, columns, depth; };
constant constexpr ushort TILE = 32, DEPTH = 32;

// output[rows, columns] = a[rows, depth] · b[columns, depth]ᵀ; four simdgroups, each a quarter of a 32x32 tile.
kernel void gemm(
    device const half* a             [[buffer(0)]],
    device const half* b             [[buffer(1)]],
    device float* output             [[buffer(2)]],
    constant GemmArguments& args     [[buffer(3)]],
    threadgroup half* shared         [[threadgroup(0)]],
    uint2  tile      [[threadgroup_position_in_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]])
{
    threadgroup half* left = shared;
    threadgroup half* right = shared + TILE * DEPTH;
    const ushort row = simdgroup / 2 * 16, column = simdgroup % 2 * 16;
    simdgroup_float8x8 sums[2][2];
    for (ushort i = 0; i < 4; i++) sums[i / 2][i % 2] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint k = 0; k < args.depth; k += DEPTH) {
        for (ushort i = thread_id; i < TILE * DEPTH; i += 128) {
            const uint r = tile.y * TILE + i / DEPTH, c = tile.x * TILE + i / DEPTH, d = k + i % DEPTH;
            left[i] = r < args.rows && d < args.depth ? a[r * args.depth + d] : 0.0h;
            right[i] = c < args.columns && d < args.depth ? b[c * args.depth + d] : 0.0h;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (ushort d = 0; d < DEPTH; d += 8) {
            simdgroup_half8x8 x[2], y[2];
            for (ushort i = 0; i < 2; i++) {
                simdgroup_load(x[i], left + (row + i * 8) * DEPTH + d, DEPTH);
                simdgroup_load(y[i], right, DEPTH, ulong2(d, column + i * 8), true);
            }
            for (ushort i = 0; i < 4; i++)
                simdgroup_multiply_accumulate(sums[i / 2][i % 2], x[i / 2], y[i % 2], sums[i / 2][i % 2]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    threadgroup float* results = (threadgroup float*)shared;
    for (ushort i = 0; i < 4; i++)
        simdgroup_store(sums[i / 2][i % 2], results, TILE, ulong2(column + i % 2 * 8, row + i / 2 * 8));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (ushort i = thread_id; i < TILE * TILE; i += 128) {
        const uint r = tile.y * TILE + i / TILE, c = tile.x * TILE + i % TILE;
        if (r < args.rows && c < args.columns) output[r * args.columns + c] = results[i];
    }
}
