// Writing keys of a latent cache to pages. (Those of other caches are written by the kernel that rotates them: rope.metal.)
//
//   pool[cell of (page, layer)] · K[dim][slot] = half(row's dim)                         page, slot = slots[row]
//
// A cell of a latent cache (multi-head latent attention) is K alone, [latent + rope][16], f16: its values are its first
// elements. Dims 0 .. latent of a cell come from `latent`, the others from `rope`.
//
// One threadgroup of 128 threads moves 16 rows x 64 dims. It reads rows as they lie (32 bytes a thread, 8 threads one after
// another) and turns them around in threadgroup memory (common/kv_page.h).
//
//             dims 0-7   8-15  …  56-63                 threads 0-15: tokens 0-15 of dim 0
//   row 0     thread 0      1  …      7       barrier   threads 16-31: tokens 0-15 of dim 1
//   row 1            8      9  …     15         ──▶     …
//   row 15         120    121  …    127                 then dims 8-15, and so on
//
// Bytes: reads rows · (latent + rope) · 4, writes half of that. Rounding is to nearest even, as on every device.
// Rows are padded to 66 elements in threadgroup memory: with 64 all 16 rows of one dim would lie in one bank.
// Twin: wootz_gpu::twins::attention::Cells says which element goes where.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/kv_page.h"

constant constexpr uint THREADS = 128;
constant constexpr uint DIMS = 64;
constant constexpr uint PADDED = DIMS + 2;

// Puts 8 elements of a row into the tile, rounded.
inline void keep8(device const float* from, threadgroup half* to)
{
    const half4 low = half4(((device const float4*)from)[0]), high = half4(((device const float4*)from)[1]);
    for (uint i = 0; i < 4; i++) {
        to[i] = low[i];
        to[4 + i] = high[i];
    }
}

kernel void kv_write_latent(
    device const float* latent             [[buffer(0)]],   // [rows] of latent_dim at latent_stride
    device const float* rope               [[buffer(1)]],   // [rows] of rope_dim at rope_stride
    device const uint* slots               [[buffer(2)]],   // [rows]
    device half* pool                      [[buffer(3)]],
    constant LatentWriteArguments& args    [[buffer(4)]],
    uint2 group      [[threadgroup_position_in_grid]],   // 16 rows, 64 dims
    uint thread_id   [[thread_index_in_threadgroup]])
{
    threadgroup half tile[WRITTEN_ROWS * PADDED];
    const uint first = group.x * WRITTEN_ROWS, rows = min(WRITTEN_ROWS, args.rows - first);
    const uint first_dim = group.y * DIMS, all_dims = args.latent_dim + args.rope_dim;
    const uint dims = min(DIMS, all_dims - first_dim);
    TransposedRow keys;
    keys.find(pool, slots + first, rows, args.page_stride, args.layer_offset + first_dim * PAGE_TOKENS, thread_id, THREADS);
    const uint row = thread_id / 8, dim = thread_id % 8 * 8;
    if (row < rows && dim < dims) {
        const uint at = first_dim + dim;
        device const float* from = at < args.latent_dim
            ? latent + ulong(first + row) * args.latent_stride + at
            : rope + ulong(first + row) * args.rope_stride + (at - args.latent_dim);
        keep8(from, tile + row * PADDED + dim);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    keys.store(tile, PADDED, dims);
}
