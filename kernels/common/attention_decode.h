// Attention of single rows over pages: the decode kernel.
//
//   score[t]  = softcap(scale · query · key[t])                  for the tokens t that the row looks at
//   out       = Σ e^(score[t] - most) · value[t] / (Σ e^(score[t] - most) + e^(sink - most))
//
// Shapes: query and out [rows, heads, D] f32; pool f16, K transposed [D][16] and V [16][D] in each cell.
// One threadgroup of 4 simdgroups takes one partition of 256 tokens (16 pages), one kv head and one row, for up to G query
// heads of that kv head at once, so that K and V are read once for all of them. (G is 1, 2, 4 or 8; a larger group of
// query heads is split, and shares what the cache keeps.) Grid: [partitions, kv_heads · blocks of G, decode rows].
//
// 1. Scores. A simdgroup takes 4 pages at a time, 8 lanes each. A lane reads 16 bytes: 8 tokens of one dim.
//
//        page      tokens 0-7   tokens 8-15            8 lanes read 128 bytes, one after another: 4 dims of a page.
//        dim 0       lane 0       lane 1               A lane adds up its 8 tokens over dims 0, 4, 8, …; then the four
//        dim 1       lane 2       lane 3     next:     lanes that have the same tokens add, each keeping two of
//        dim 2       lane 4       lane 5     dims 4-7  the eight: 6·G shuffles for 4 pages. (With 32 lanes on one
//        dim 3       lane 6       lane 7               page there would be 15 lanes to add up with, for each page.)
//
// 2. Softmax of the partition: a simdgroup takes a head, a lane 8 tokens of it. No running maximum: a partition has one.
// 3. Values. A simdgroup takes 4 pages; a lane reads 16 bytes: 8 dims of one token; D/8 lanes read a token, the others
//    the next tokens. The lanes that have the same dims add by shuffles, the simdgroups one after another in memory.
// 4. A row whose context lies in one partition is finished here. Others leave sums, maxima and sums of powers to
//    attention_combine, which adds the partitions in ascending order.
//
// One answer: which tokens a sum takes, and in which order, follows from the row's position and window alone.
// Neither the batch, nor the grid, nor other rows change a bit.
//
// Bytes: K and V once, 4 · D · tokens a kv head; query and out 8 · D a head; sums 8 · D a head and partition over 1 (1.6%
// of K and V at most). FLOPs: 4 · D · heads · tokens: with 8 heads a kv head 8 a byte, still below what any GPU has for
// a byte. In registers: 8·G sums, 16 of loads in flight (4 of 16 bytes); in threadgroup memory D·G + 256·G floats: 16 KiB
// at most. D is a multiple of 8, up to 256.
//
// Tried, counted by the emulator for a row of 8 query heads over one kv head of 128 dims at 600 tokens, whose K and V
// are 307,200 bytes:
//
//   query heads at once     bytes read    barriers            G = 8 reads 6% more than K, V and queries: the 8 tokens
//   G = 1                    2,513,280         168            that a last page has no use for, and page tables.
//   G = 2                    1,262,784          84            It needs the most registers, so a smaller group of
//   G = 4                      637,536          42            heads takes a smaller G.
//   G = 8                      324,912          21
//
// Scores with 32 lanes on one page: 8·G shuffles a page instead of 1.5·G. With a lane for each page half and no
// shuffles at all, neighbouring lanes would read 16 pages at once, 32 bytes of each.
//
// Tokens outside the window or behind the row are not read as values; as keys they are read where their page is,
// and their score is replaced: what lies there, NaN too, goes nowhere.
// Numerics: f32 throughout; K and V are what the cache rounded. Twin: wootz_gpu::twins::attention::attend.
#pragma once
#include "common/attention_partition.h"

template <ushort D, ushort G>
kernel void attention_decode(
    device const float* query         [[buffer(0)]],   // [rows, heads, D]
    device const half* pool           [[buffer(1)]],
    device const uint* pages          [[buffer(2)]],
    device const uint4* decode_rows   [[buffer(3)]],   // row, position, where in pages its page table begins
    device const float* sinks         [[buffer(4)]],   // [heads], where args.sinks is set
    device float* partial             [[buffer(5)]],   // [decode rows, heads, partitions, D]
    device float2* stats              [[buffer(6)]],   // [decode rows, heads, partitions] greatest score, sum of powers
    device float* out                 [[buffer(7)]],   // [rows, heads, D]
    constant AttentionArguments& args [[buffer(8)]],
    uint3 group      [[threadgroup_position_in_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    // Declared in fours, because they are also read so: 16 bytes that begin at a multiple of 16.
    threadgroup float4 query_fours[D * G / 4];
    threadgroup float4 score_fours[PARTITION_TOKENS * G / 4];
    threadgroup float* queries = (threadgroup float*)query_fours;    // [dim][head], scaled; after step 1 sums [head][dim]
    threadgroup float* scores = (threadgroup float*)score_fours;     // [token][head]; after step 2 powers
    threadgroup float2 head_stats[G];
    threadgroup ulong cells[PARTITION_PAGES];
    constexpr ushort THREADS = 32 * DECODE_SIMDGROUPS;

    const uint4 own = decode_rows[group.z];
    const uint row = own.x, position = own.y;
    const uint2 partitions = row_partitions(position, args.window);
    if (group.x >= partitions.y) return;
    const Partition partition = {
        (partitions.x + group.x) * PARTITION_TOKENS, first_token(position, args.window), position};

    const uint blocks = (args.group + G - 1) / G, kv_head = group.y / blocks;
    const uint first_head = kv_head * args.group + group.y % blocks * G;
    const uint heads = min(uint(G), args.group - group.y % blocks * G);
    device const float* own_query = query + (ulong(row) * args.heads + first_head) * D;
    for (uint i = thread_id; i < D * G; i += THREADS)
        queries[i % D * G + i / D] = i / D < heads ? own_query[i] * args.scale : 0.0f;
    if (thread_id < PARTITION_PAGES) {
        const uint page = partition.begin / PAGE_TOKENS + thread_id;
        ulong cell = 0;
        if (partition.has_page(thread_id))
            cell = ulong(pages[own.z + page]) * args.page_stride + args.layer_offset
                + kv_head * 2 * D * PAGE_TOKENS;
        cells[thread_id] = cell;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint first_page = simdgroup * (PARTITION_PAGES / DECODE_SIMDGROUPS);
    decode_scores<D, G>(pool, cells, queries, scores, partition, first_page, args.softcap, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    for (ushort head = simdgroup; head < G; head += DECODE_SIMDGROUPS) {
        const float2 own = decode_softmax<G>(scores, partition, head, lane);
        if (lane == 0) head_stats[head] = own;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float4 low[G], high[G];
    decode_values<D, G>(pool, cells, scores, partition, first_page, lane, low, high);
    for (ushort turn = 0; turn < DECODE_SIMDGROUPS; turn++) {
        if (simdgroup == turn && lane < D / 8) {
            for (ushort g = 0; g < G; g++) {
                threadgroup float4* sums = (threadgroup float4*)(queries + g * D + lane * 8);
                if (turn > 0) {
                    low[g] += sums[0];
                    high[g] += sums[1];
                }
                sums[0] = low[g];
                sums[1] = high[g];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    for (uint i = thread_id; i < D * heads; i += THREADS) {
        const uint head = first_head + i / D;
        const float2 own = head_stats[i / D];
        if (partitions.y == 1) {
            const float sink = args.sinks ? sinks[head] : 0.0f;
            out[(ulong(row) * args.heads + head) * D + i % D] =
                queries[i] * final_factor(own.x, own.y, args.sinks, sink);
        } else {
            const ulong at = (ulong(group.z) * args.heads + head) * args.partitions + group.x;
            partial[at * D + i % D] = queries[i];
            if (i % D == 0) stats[at] = own;
        }
    }
}
