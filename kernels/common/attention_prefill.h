// Attention of prompts over pages: the prefill kernel.
//
//   out[r] = Σ_t softmax(softcap(scale · query[r] · key[t])) · value[t]      for t in the window of r, up to r itself
//
// Shapes: query and out [rows, heads, D] f32; pool f16, K transposed [D][16] and V [16][D] in each cell. The step's prompts, of
// any lengths and with any number of tokens before them, are cut into tiles of up to 32 rows of one sequence: [first row,
// rows, first position, where its page table begins]. Grid: [heads, tiles]: the heads that share K and V run side by side and
// find them in the cache. common/attention_matrix.h says what a threadgroup does, and why a row's bits don't depend on
// the rows around it.
//
// Bytes: K and V once a tile and kv head, 4 · D · tokens (from the cache for all but one head of a group). FLOPs: 4 · D ·
// tokens a row and head: 32 a byte of K and V. Threadgroup memory: 2 · 32 · (D + 8) + 13.3 KiB: 30 KiB for D = 256.
// Registers: D/4 floats of sums a lane.
//
// Tried: for a page, 32 rows and D = 128 there are 256 products of 8x8 blocks. They take 160 loads of blocks (counted by the
// emulator), 64 of them of K and V from device memory. The usual way, 8 rows a simdgroup with all of K and V for each,
// would take 328 (by arithmetic), of which 256 are of K and V: every byte four times. Staging K and V in threadgroup
// memory would cost a copy and its barriers to save nothing, as each simdgroup reads other pages or dims than its
// neighbours.
// Twin: wootz_gpu::twins::attention::attend.
#pragma once
#include "common/attention_matrix.h"

constant constexpr ushort TILE_ROWS = 32;

template <ushort D>
kernel void attention_prefill(
    device const float* query          [[buffer(0)]],   // [rows, heads, D]
    device const half* pool            [[buffer(1)]],
    device const uint* pages           [[buffer(2)]],
    device const uint4* tiles          [[buffer(3)]],
    device const float* sinks          [[buffer(4)]],   // [heads], where args.sinks is set
    device float* out                  [[buffer(5)]],   // [rows, heads, D]
    constant AttentionArguments& args  [[buffer(6)]],
    uint2 group      [[threadgroup_position_in_grid]],   // head, tile
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    // Declared in fours, because they are also read so: 16 bytes that begin at a multiple of 16.
    threadgroup float4 query_fours[TILE_ROWS * (D + QUERY_PADDING) / 8];
    threadgroup float4 score_fours[TILE_ROWS * SCORE_STRIDE / 4];
    threadgroup float4 power_fours[TILE_ROWS * POWER_STRIDE / 8];
    threadgroup half* queries = (threadgroup half*)query_fours;
    threadgroup float* scores = (threadgroup float*)score_fours;
    threadgroup half* powers = (threadgroup half*)power_fours;
    threadgroup float fade[TILE_ROWS];

    const uint4 tile = tiles[group.y];
    const TileOfRows rows = {tile.y, tile.z, 1, args.window};
    const uint head = group.x;
    const ulong stride = ulong(args.heads) * D, first = (ulong(tile.x) * args.heads + head) * D;
    const Context context = {
        first_token(tile.z, args.window), tile.z + tile.y - 1, pages + tile.w,
        pool + args.layer_offset + head / args.group * 2 * D * PAGE_TOKENS, args.page_stride};

    matrix_queries<D, TILE_ROWS>(query + first, stride, rows.count, args.scale, queries, thread_id);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ValueSums<D, TILE_ROWS> sums;
    RowState state;
    matrix_attention<D, D, TILE_ROWS, false>(
        context, rows, args.softcap, queries, scores, powers, fade, sums, state, thread_id, simdgroup, lane);

    threadgroup_barrier(mem_flags::mem_threadgroup);
    constexpr ushort SHARES = MATRIX_THREADS / TILE_ROWS;
    if (thread_id % SHARES == 0) {
        const float sink = args.sinks ? sinks[head] : 0.0f;
        const bool used = thread_id / SHARES < rows.count;
        fade[thread_id / SHARES] = used ? final_factor(state.most, state.sum, args.sinks, sink) : 0.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    matrix_fade<D, TILE_ROWS>(sums, fade, lane);
    matrix_store<D, TILE_ROWS>(sums, out + first, stride, rows.count, scores, simdgroup, lane);
}
