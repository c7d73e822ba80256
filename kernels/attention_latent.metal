// Attention over a latent cache: multi-head latent attention (DeepSeek-AI 2024), absorbed.
//
//   score[h][t] = softcap(scale · query[h] · row[t])                  row[t] = (latent[t], rotated key[t])
//   out[h]      = Σ_t softmax(score[h])[t] · latent[t]
//
// The cache keeps one vector a token: KEY elements, of which the first VALUE are its value too. All heads look at the same
// ones, because the projections that would make keys and values of them are applied to the query and to the result
// instead. A cell is [KEY][16 tokens] f16, transposed like every K: values are read from the same cell, transposed back by
// the matrix unit's load. So a token costs 1,152 bytes a layer (576 elements), whatever the number of heads.
//
// Shapes: query [rows, heads, KEY] f32 (absorbed part, then rotated part), out [rows, heads, VALUE] f32.
// A threadgroup takes 16 heads of one row as the rows of a tile (common/attention_matrix.h), and one partition of 256 tokens:
// grid [partitions, heads / 16, decode rows]; attention_combine adds partitions up, and a row with one is finished here.
// Prompts go the same way, row by row: a tile of 16 heads uses what it reads as often as a tile of 16 rows would.
// (So there is no prefill kernel, and chunks never change a bit.)
//
// Bytes: 2 · KEY · tokens for 16 heads (the other heads of a row find them in the cache); sums 8 · VALUE a head and partition.
// FLOPs: 2 · (KEY + VALUE) · tokens a head: 30 a byte. Threadgroup memory: 32 · (KEY + 8) + 6.6 KiB: 25 KiB. Registers:
// VALUE / 8 floats of sums a lane.
// Numerics: as in prefill. Twin: wootz_gpu::twins::attention::attend on latent cells.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_matrix.h"

constant constexpr ushort TILE_HEADS = 16;

template <ushort KEY, ushort VALUE>
kernel void attention_latent(
    device const float* query          [[buffer(0)]],   // [rows, heads, KEY]
    device const half* pool            [[buffer(1)]],
    device const uint* pages           [[buffer(2)]],
    device const uint4* decode_rows    [[buffer(3)]],   // row, position, where in pages its page table begins
    device const float* sinks          [[buffer(4)]],   // [heads], where args.sinks is set
    device float* partial              [[buffer(5)]],   // [decode rows, heads, partitions, VALUE]
    device float2* stats               [[buffer(6)]],   // [decode rows, heads, partitions] greatest score, sum of powers
    device float* out                  [[buffer(7)]],   // [rows, heads, VALUE]
    constant AttentionArguments& args  [[buffer(8)]],
    uint3 group      [[threadgroup_position_in_grid]],   // partition, 16 heads, decode row
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    // Declared in fours, because they are also read so: 16 bytes that begin at a multiple of 16.
    threadgroup float4 query_fours[TILE_HEADS * (KEY + QUERY_PADDING) / 8];
    threadgroup float4 score_fours[TILE_HEADS * SCORE_STRIDE / 4];
    threadgroup float4 power_fours[TILE_HEADS * POWER_STRIDE / 8];
    threadgroup half* queries = (threadgroup half*)query_fours;
    threadgroup float* scores = (threadgroup float*)score_fours;
    threadgroup half* powers = (threadgroup half*)power_fours;
    threadgroup float fade[TILE_HEADS];

    const uint4 record = decode_rows[group.z];
    const uint row = record.x, position = record.y;
    const uint2 partitions = row_partitions(position, args.window);
    if (group.x >= partitions.y) return;
    const uint begin = (partitions.x + group.x) * PARTITION_TOKENS;
    const uint first_head = group.y * TILE_HEADS;
    const TileOfRows rows = {min(uint(TILE_HEADS), args.heads - first_head), position, 0, args.window};
    const Context context = {
        max(begin, first_token(position, args.window)), min(position, begin + PARTITION_TOKENS - 1),
        pages + record.z, pool + args.layer_offset, args.page_stride};

    const ulong head_row = ulong(row) * args.heads + first_head;
    matrix_queries<KEY, TILE_HEADS>(query + head_row * KEY, KEY, rows.count, args.scale, queries, thread_id);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ValueSums<VALUE, TILE_HEADS> sums;
    RowState state;
    matrix_attention<KEY, VALUE, TILE_HEADS, true>(
        context, rows, args.softcap, queries, scores, powers, fade, sums, state, thread_id, simdgroup, lane);

    const bool whole = partitions.y == 1;
    const ulong first = (ulong(group.z) * args.heads + first_head) * args.partitions + group.x;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    constexpr ushort SHARES = MATRIX_THREADS / TILE_HEADS;
    const uint own = thread_id / SHARES;
    if (thread_id % SHARES == 0 && own < rows.count) {
        const float sink = args.sinks ? sinks[first_head + own] : 0.0f;
        if (!whole) stats[first + own * args.partitions] = float2(state.most, state.sum);
        fade[own] = whole ? final_factor(state.most, state.sum, args.sinks, sink) : 1.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    matrix_fade<VALUE, TILE_HEADS>(sums, fade, lane);
    if (whole)
        matrix_store<VALUE, TILE_HEADS>(sums, out + head_row * VALUE, VALUE, rows.count, scores, simdgroup, lane);
    else
        matrix_store<VALUE, TILE_HEADS>(
            sums, partial + first * VALUE, ulong(args.partitions) * VALUE, rows.count, scores, simdgroup, lane);
}

// DeepSeek V2, V3 and R1, Kimi K2; MiniCPM3.
template [[host_name("attention_latent_576")]] kernel decltype(attention_latent<576, 512>) attention_latent<576, 512>;
template [[host_name("attention_latent_288")]] kernel decltype(attention_latent<288, 256>) attention_latent<288, 256>;
