// Writing keys and values to pages.
//
//   pool[cell of (page, layer, head)] · K[dim][slot] = half(key[row][head][dim])
//   pool[cell of (page, layer, head)] · V[slot][dim] = half(value[row][head][dim])       page, slot = slots[row]
//
// A cell holds the 16 tokens of a page for one head: K transposed [head_dim][16], then V [16][head_dim], f16. The cell
// of a latent cache (multi-head latent attention) is K alone, [latent + rope][16]: its values are its first elements.
//
// One threadgroup of 128 threads moves 16 rows x 64 dims of one head. It reads rows as they lie (32 bytes a thread,
// 8 threads one after another), stores V the same way (16 bytes a thread), and turns K around in threadgroup memory, so
// that neighbouring threads store neighbouring tokens: the 16 rows of a prompt become whole 32-byte lines. A
// single decoded row has nothing to gather: its K goes out 2 bytes at a time, whatever one does.
//
//             dims 0-7   8-15  …  56-63                 threads 0-15: tokens 0-15 of dim 0
//   row 0     thread 0      1  …      7       barrier   threads 16-31: tokens 0-15 of dim 1
//   row 1            8      9  …     15         ──▶     …
//   row 15         120    121  …    127                 then dims 8-15, and so on
//
// Bytes: reads rows · kv_heads · head_dim · 8, writes half of that. Rounding is to nearest even, as on every device.
// Rows are padded to 66 elements in threadgroup memory: with 64 all 16 rows of one dim would lie in one bank.
// Twin: wootz_gpu::twins::attention::write_page.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

constant constexpr uint ROWS = 16;
constant constexpr uint DIMS = 64;
constant constexpr uint PADDED = DIMS + 2;
constant constexpr uint PAGE_TOKENS = 16;

// Puts 8 elements of a row into the tile, rounded.
inline void keep8(device const float* from, threadgroup half* to)
{
    const half4 low = half4(((device const float4*)from)[0]), high = half4(((device const float4*)from)[1]);
    for (uint i = 0; i < 4; i++) {
        to[i] = low[i];
        to[4 + i] = high[i];
    }
}

// Stores the tile's dims 0 .. dims of `rows` rows into a transposed key that begins at `offset` of each row's page.
inline void store_transposed(
    threadgroup const half* tile, device half* pool, device const uint* slots,
    uint rows, uint dims, uint page_stride, uint offset, uint thread_id)
{
    const uint row = thread_id % ROWS;
    if (row >= rows) return;
    const uint slot = slots[row];
    device half* key = pool + ulong(slot / PAGE_TOKENS) * page_stride + offset + slot % PAGE_TOKENS;
    for (uint dim = thread_id / ROWS; dim < dims; dim += 128 / ROWS)
        key[dim * PAGE_TOKENS] = tile[row * PADDED + dim];
}

kernel void kv_write(
    device const float* key          [[buffer(0)]],   // [rows, kv_heads, head_dim]
    device const float* value        [[buffer(1)]],   // [rows, kv_heads, head_dim]
    device const uint* slots         [[buffer(2)]],   // [rows]
    device half* pool                [[buffer(3)]],
    constant KvWriteArguments& args  [[buffer(4)]],
    uint3 group      [[threadgroup_position_in_grid]],   // 16 rows, kv head, 64 dims
    uint thread_id   [[thread_index_in_threadgroup]])
{
    threadgroup half tile[ROWS * PADDED];
    const uint first = group.x * ROWS, rows = min(ROWS, args.rows - first);
    const uint first_dim = group.z * DIMS, dims = min(DIMS, args.head_dim - first_dim);
    const uint cell = args.layer_offset + group.y * 2 * PAGE_TOKENS * args.head_dim;
    const uint row = thread_id / 8, dim = thread_id % 8 * 8;
    if (row < rows && dim < dims) {
        const ulong at = (ulong(first + row) * args.kv_heads + group.y) * args.head_dim + first_dim + dim;
        keep8(key + at, tile + row * PADDED + dim);
        const uint slot = slots[first + row];
        device half* to = pool + ulong(slot / PAGE_TOKENS) * args.page_stride + cell
            + (PAGE_TOKENS + slot % PAGE_TOKENS) * args.head_dim + first_dim + dim;
        device const float4* from = (device const float4*)(value + at);
        ((device half4*)to)[0] = half4(from[0]);
        ((device half4*)to)[1] = half4(from[1]);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    store_transposed(tile, pool, slots + first, rows, dims, args.page_stride,
        cell + first_dim * PAGE_TOKENS, thread_id);
}

// The same for a latent cache: dims 0 .. latent of a cell come from `latent`, the others from `rope`.
kernel void kv_write_latent(
    device const float* latent             [[buffer(0)]],   // [rows] of latent_dim at latent_stride
    device const float* rope               [[buffer(1)]],   // [rows] of rope_dim at rope_stride
    device const uint* slots               [[buffer(2)]],   // [rows]
    device half* pool                      [[buffer(3)]],
    constant LatentWriteArguments& args    [[buffer(4)]],
    uint3 group      [[threadgroup_position_in_grid]],   // 16 rows, 1, 64 dims
    uint thread_id   [[thread_index_in_threadgroup]])
{
    threadgroup half tile[ROWS * PADDED];
    const uint first = group.x * ROWS, rows = min(ROWS, args.rows - first);
    const uint first_dim = group.z * DIMS, all_dims = args.latent_dim + args.rope_dim;
    const uint dims = min(DIMS, all_dims - first_dim);
    const uint row = thread_id / 8, dim = thread_id % 8 * 8;
    if (row < rows && dim < dims) {
        const uint at = first_dim + dim;
        device const float* from = at < args.latent_dim
            ? latent + ulong(first + row) * args.latent_stride + at
            : rope + ulong(first + row) * args.rope_stride + (at - args.latent_dim);
        keep8(from, tile + row * PADDED + dim);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    store_transposed(tile, pool, slots + first, rows, dims, args.page_stride,
        args.layer_offset + first_dim * PAGE_TOKENS, thread_id);
}
