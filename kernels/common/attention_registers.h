// Attention of single rows over pages, on a matrix unit whose factors lie in registers as on NVIDIA's: what
// common/attention_decode.h computes, where memory is further away and has more to give.
//
// One threadgroup of 8 simdgroups takes one partition of 256 tokens (16 pages), one kv head and one row, for up to 8 query
// heads of that kv head at once: grid [partitions, kv_heads · blocks of 8 heads, decode rows]. A simdgroup has pages s and
// s + 8 of the partition, and goes through them alone: running maximum, sums of powers, sums of values, until the
// simdgroups are added up at the end.
//
// With one row of a short context time is how often memory is waited for, one after another: the row's record, its page
// numbers with its query, K with V of the first page. The barrier for the query lies behind the loads of K and V. With long
// contexts it is how many bytes are under way: 8 KiB a simdgroup for D = 128, 128 KiB a core.
//
// Both products take the page as the *left* factor and the heads as the right one: 8 columns, however many heads there are.
//
//   scores [16 tokens, 8 heads] += Kᵀ [16 tokens, 16 dims] · queryᵀ [16 dims, 8 heads]            D / 16 times
//   sums   [16 dims, 8 heads]   += Vᵀ [16 dims, 16 tokens] · powersᵀ [16 tokens, 8 heads]         D / 16 times
//
// The lanes' parts of a page are those of common/page_factors.h: rows g and g + 8 of a left factor are the two of a word.
// Scores come out with tokens 2 g, 2 g + 1 of heads 2 t, 2 t + 1 in a lane. As the right factor of values it needs tokens
// 4 t .. 4 t + 4 of head g: four shuffles. Sums have heads 2 t, 2 t + 1 again, so a lane fades its own.
//
// Where a page goes on behind the row, or begins before its window, a token within both is read in place of the other as a
// value: its power is 0, and it is a number. As keys such tokens are read, and their scores replaced.
//
// One answer: which tokens a sum takes, and in which order, follows from the row's position and window alone.
// Bytes: as attention_decode. Threadgroup memory: 16 D + 16 KiB or less. Registers for D = 128: 32 of K, 32 of V, 32 of sums.
// Numerics: those of prefill (common/attention_matrix.h): queries, scaled, and powers are rounded to f16; the rest is f32.
// Twin: wootz_gpu::twins::attention::attend.
#pragma once
#include "common/earlier.h"
#include "common/page_factors.h"

constant constexpr ushort REGISTER_SIMDGROUPS = 8;
constant constexpr ushort REGISTER_THREADS = 32 * REGISTER_SIMDGROUPS;
// Columns of a product: query heads of a threadgroup.
constant constexpr ushort REGISTER_HEADS = 8;

// sums += Lᵀ · right, where a lane's words are of the columns 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of Lᵀ.
inline void multiply_words(thread float4& sums, uint first, uint second, uint third, uint fourth, uint2 right) {
    matrix_multiply_16x8x16(sums, low_halves(first, second), high_halves(first, second), low_halves(third, fourth),
        high_halves(third, fourth), right.x, right.y);
}

// What a lane knows of its two heads, and its share of their sums.
template <ushort D>
struct HeadSums {
    float2 most, sum;        // `sum` of the lane's own tokens
    float4 value[D / 16];    // dims dim_of(i), dim_of(i) + 1 of both heads

    // Takes the scores of a page from token `first` on; leaves the powers of head g as a right factor.
    uint2 take(float4 scores, Partition partition, uint first, float softcap, uint g, uint t) thread {
        float4 score;
        for (ushort i = 0; i < 4; i++)
            score[i] = partition.looks_at(first + 2 * g + i / 2) ? softcapped(scores[i], softcap) : 2.0f * NO_SCORE;
        float2 greatest = max(most, max(score.xy, score.zw));
        for (ushort step = 4; step < 32; step *= 2) greatest = max(greatest, simd_shuffle_xor(greatest, step));
        // Exactly 1 where nothing changed, whatever the device's exp makes of 0.
        const float2 fade = float2(most.x == greatest.x ? 1.0f : power_of(most.x, greatest.x),
                                   most.y == greatest.y ? 1.0f : power_of(most.y, greatest.y));
        half4 power;
        for (ushort i = 0; i < 4; i++)
            power[i] = score[i] >= NO_SCORE ? half(power_of(score[i], greatest[i % 2])) : half(0.0h);
        most = greatest;
        sum = sum * fade + float2(power.xy) + float2(power.zw);
        for (ushort i = 0; i < D / 16; i++) value[i] = value[i] * fade.xyxy;

        const uint even = as_type<uint>(half2(power.x, power.z)), odd = as_type<uint>(half2(power.y, power.w));
        const ushort from = 8 * t + g / 2;
        const uint2 of_even = uint2(simd_shuffle(even, from), simd_shuffle(even, ushort(from + 4)));
        const uint2 of_odd = uint2(simd_shuffle(odd, from), simd_shuffle(odd, ushort(from + 4)));
        return select(of_even, of_odd, bool2(g % 2 == 1));
    }
};

// Queries [heads][D] from `from`, scaled and rounded, as right factors: [slab][head][t] dims t, t + 4, t + 8, t + 12 of each
// slab. A thread holds its share of them until it may be waited for.
template <ushort D>
struct StagedQueries {
    enum : uint { FOURS = (REGISTER_HEADS * D / 4 + REGISTER_THREADS - 1) / REGISTER_THREADS };
    float4 four[FOURS];

    void load(device const float* from, uint heads, ushort thread_id) thread {
        for (ushort i = 0; i < FOURS; i++) {
            const uint at = min(uint(thread_id) + i * REGISTER_THREADS, heads * D / 4 - 1);
            four[i] = ((device const float4*)from)[at];
        }
    }
    void store(threadgroup half* to, uint heads, float scale, ushort thread_id) thread {
        for (ushort i = 0; i < FOURS; i++) {
            const uint at = uint(thread_id) + i * REGISTER_THREADS, head = at / (D / 4), slab = at % (D / 4) / 4;
            if (REGISTER_HEADS * D / 4 % REGISTER_THREADS != 0 && head >= REGISTER_HEADS) continue;
            const half4 rounded = half4(select(float4(0.0f), four[i] * scale, bool4(head < heads)));
            for (ushort t = 0; t < 4; t++) to[((slab * REGISTER_HEADS + head) * 4 + t) * 4 + at % 4] = rounded[t];
        }
    }
};

template <ushort D>
[[max_total_threads_per_threadgroup(256)]]
kernel void attention_registers(
    device const float* query         [[buffer(0)]],   // [rows, heads, D]
    device const half* pool           [[buffer(1)]],
    device const uint* pages          [[buffer(2)]],
    device const uint4* decode_rows   [[buffer(3)]],   // row, position, where in pages its page table begins, the step's first position of its sequence
    device const float* sinks         [[buffer(4)]],   // [heads], where args.sinks is set
    device float* partial             [[buffer(5)]],   // [decode rows, heads, partitions, D]
    device float2* stats              [[buffer(6)]],   // [decode rows, heads, partitions] greatest score, sum of powers
    device float* out                 [[buffer(7)]],   // [rows, heads, D], where args.halves is set of f16
    constant AttentionArguments& args [[buffer(8)]],
    uint3 group      [[threadgroup_position_in_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    constexpr ushort SLABS = D / 16, ROUNDS = PARTITION_PAGES / REGISTER_SIMDGROUPS;
    // Heads whose sums are joined at once, and one's sums in threadgroup memory: the padding spreads heads over the banks.
    constexpr ushort JOINED = D <= 64 ? 8 : D <= 128 ? 4 : 2, PADDED = D + 4;
    threadgroup uint2 queries[SLABS * 32];
    threadgroup float4 sum_fours[REGISTER_SIMDGROUPS * JOINED * PADDED / 4];
    threadgroup float* sums = (threadgroup float*)sum_fours;
    threadgroup float2 simdgroup_stats[REGISTER_SIMDGROUPS * REGISTER_HEADS];

    const uint4 own = decode_rows[group.z];
    const uint row = own.x, position = own.y, g = lane / 4, t = lane % 4;
    const uint2 partitions = row_partitions(position, args.window);
    if (group.x >= partitions.y) return;
    const Partition partition = {
        (partitions.x + group.x) * PARTITION_TOKENS, first_token(position, args.window), position};
    const uint blocks = (args.group + REGISTER_HEADS - 1) / REGISTER_HEADS, kv_head = group.y / blocks;
    const uint block_head = group.y % blocks * REGISTER_HEADS, first_head = kv_head * args.group + block_head;
    const uint heads = min(uint(REGISTER_HEADS), args.group - block_head);

    device const uint* own_pages = pages + own.z + partition.begin / PAGE_TOKENS;
    uint numbers[ROUNDS];
    bool has[ROUNDS];
    for (ushort r = 0; r < ROUNDS; r++) {
        has[r] = partition.has_page(simdgroup + r * REGISTER_SIMDGROUPS);
        numbers[r] = has[r] ? own_pages[simdgroup + r * REGISTER_SIMDGROUPS] : 0;
    }
    device const half* layer = pool + args.layer_offset + kv_head * 2 * D * PAGE_TOKENS;
    device const half* first_cell = layer + ulong(numbers[0]) * args.page_stride;
    PageKeys<D> keys;
    PageValues<D> values;
    // A page of tokens before this step was written long ago. (All such conditions hold for a whole simdgroup.)
    const bool old = has[0] && partition.begin + (simdgroup + 1) * PAGE_TOKENS <= own.w;
    if (old) {
        keys.load(first_cell, g, t);
        values.load(first_cell + D * PAGE_TOKENS, partition.seen(simdgroup), g, t);
    }
    after_earlier_launches();
    StagedQueries<D> staged;
    staged.load(query + (ulong(row) * args.heads + first_head) * D, heads, thread_id);
    if (has[0] && !old) {
        keys.load(first_cell, g, t);
        values.load(first_cell + D * PAGE_TOKENS, partition.seen(simdgroup), g, t);
    }
    staged.store((threadgroup half*)queries, heads, args.scale, thread_id);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    HeadSums<D> mine;
    mine.most = float2(NO_SCORE);
    mine.sum = float2(0.0f);
    for (ushort i = 0; i < SLABS; i++) mine.value[i] = float4(0.0f);
    for (ushort r = 0; r < ROUNDS; r++) {
        const uint page = simdgroup + r * REGISTER_SIMDGROUPS, next_page = page + REGISTER_SIMDGROUPS;
        const bool next = r + 1 < ROUNDS && has[(r + 1) % ROUNDS];
        device const half* cell = layer + ulong(numbers[(r + 1) % ROUNDS]) * args.page_stride;
        // Two sums, since a product waits for the one before it that adds to the same.
        float4 scores[2] = {float4(0.0f), float4(0.0f)};
        if (has[r]) {
            for (ushort i = 0; i < SLABS; i++)
                multiply_words(scores[i % 2], keys.word[i][0], keys.word[i][1], keys.word[i][2], keys.word[i][3],
                    queries[i * 32 + lane]);
        }
        if (next) keys.load(cell, g, t);
        if (has[r]) {
            const uint2 powers = mine.take(scores[0] + scores[1], partition, partition.begin + page * PAGE_TOKENS, args.softcap, g, t);
            for (ushort i = 0; i < SLABS; i++)
                multiply_words(mine.value[i], values.word[0][i], values.word[1][i], values.word[2][i], values.word[3][i], powers);
        }
        if (next) values.load(cell + D * PAGE_TOKENS, partition.seen(next_page), g, t);
    }

    for (ushort step = 4; step < 32; step *= 2) mine.sum += simd_shuffle_xor(mine.sum, step);
    if (lane < 4) {
        simdgroup_stats[simdgroup * REGISTER_HEADS + 2 * t] = float2(mine.most.x, mine.sum.x);
        simdgroup_stats[simdgroup * REGISTER_HEADS + 2 * t + 1] = float2(mine.most.y, mine.sum.y);
    }
    for (uint first = 0; first < heads; first += JOINED) {
        if (2 * t / JOINED * JOINED == first) {
            threadgroup float* to = sums + (simdgroup * JOINED + 2 * t % JOINED) * PADDED;
            for (ushort i = 0; i < SLABS; i++) {
                const uint dim = PageValues<D>::dim_of(i, g);
                *(threadgroup float2*)(to + dim) = mine.value[i].xz;
                *(threadgroup float2*)(to + PADDED + dim) = mine.value[i].yw;
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = thread_id; i < min(uint(JOINED), heads - first) * D; i += REGISTER_THREADS) {
            const uint head = first + i / D, dim = i % D;
            float2 own_stats = float2(NO_SCORE, 0.0f);
            for (ushort s = 0; s < REGISTER_SIMDGROUPS; s++)
                own_stats.x = max(own_stats.x, simdgroup_stats[s * REGISTER_HEADS + head].x);
            float total = 0.0f;
            for (ushort s = 0; s < REGISTER_SIMDGROUPS; s++) {
                const float2 of = simdgroup_stats[s * REGISTER_HEADS + head];
                const float weight = power_of(of.x, own_stats.x);
                own_stats.y += weight * of.y;
                total += weight * sums[(s * JOINED + i / D) * PADDED + dim];
            }
            const uint out_head = first_head + head;
            if (partitions.y == 1) {
                const float sink = args.sinks ? sinks[out_head] : 0.0f;
                store_result(out, (ulong(row) * args.heads + out_head) * D + dim, args.halves,
                             total * final_factor(own_stats.x, own_stats.y, args.sinks, sink));
            } else {
                const ulong at = (ulong(group.z) * args.heads + out_head) * args.partitions + group.x;
                partial[at * D + dim] = total;
                if (dim == 0) stats[at] = own_stats;
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
}
