// Attention of prompts over pages, on a matrix unit whose factors lie in registers as on NVIDIA's: what
// common/attention_prefill.h computes, as FlashAttention-2 (Dao 2023) goes about it.
//
// A simdgroup takes 16 rows of a tile and one head. The eight of a threadgroup share a kv head, and go through its pages
// together, from threadgroup memory (common/page_stage.h): 32 rows of four heads, or 64 rows of two, or 128 rows of one, so
// that of those that share a kv head few are left over; a tile has up to so many rows. Grid [kv_heads · ⌈group / heads⌉,
// tiles]; the last tiles come first, as they look at the most pages.
//
//   scores [16 rows, 32 tokens] = query [16 rows, D] · K [D, 32 tokens]     sums [16 rows, D] += powers [16 rows, 32 tokens] · V
//
//   stage            i        i + 1      i + 2        Two places of threadgroup memory take turns. While a stage is multiplied
//   threadgroup    ┌─────────┐                        from one, the next lies in the other, and the one after that comes
//   memory         │multiply │┌─────────┐             from the cache to registers: one barrier a stage.
//                  └─────────┘│ store   │┌────────┐
//   registers                 └─────────┘│ fetch  │
//
// Scores of rows g and g + 8 and of tokens 2 t, 2 t + 1 lie in a lane just where the left factor of the second product wants
// its powers: nothing is exchanged but a row's greatest score, between four lanes. Sums fade only where a maximum grew, which
// is rare after the first stages; the factor would be exactly 1.
//
// One answer: stages begin at multiples of 32 tokens, and one that is masked for a row would multiply its sums by 1 and add 0
// (it is left out where it is masked for all 16), so that its bits follow from its position, window and keys alone, as in
// common/attention_matrix.h, which also says what is rounded.
//
// FLOPs: 4 · D · tokens a row and head; for D = 128 a stage has 64 products a simdgroup, beside 32 loads of blocks, 4 of 16
// bytes a thread, and 16 powers a lane. Bytes: a tile's pages once for each 8 simdgroups, from the cache; from threadgroup memory
// once for each simdgroup, so D / 4 for a token, row and head: at 128 bytes a clock that is the limit, for D = 128 1,150 clocks
// for the 2.1 MFLOP of a threadgroup's stage. Registers for D = 128: 64 of sums, 32 of queries, 16 of scores, 16 under way.
// Threadgroup memory: 33 KiB. What was tried: every simdgroup its own loads from the cache, without threadgroup memory or
// barriers (103 TFLOP/s on an H200, where 8 KiB a page and 16 rows made 6.4 TB/s).
// Twin: wootz_gpu::twins::attention::attend.
#pragma once
#include "common/page_stage.h"

constant constexpr uint PROMPT_SIMDGROUPS = STAGE_THREADS / 32;

// Scores of 16 rows, and then their powers, as a lane holds them: of tokens 16 page + 8 upper + 2 t and the next, .xy of row g
// and .zw of row g + 8.
struct StageScores {
    float4 of[STAGE_PAGES][2];
};

// 16 rows of one head, as a lane holds them: rows g and g + 8, in .x and .y of what there is one of a row.
template <ushort D>
struct PromptRows {
    half2 query[D / 16][4];
    float4 value[D / 8];    // dims 2 t and 2 t + 1 of eight, of both rows
    float2 most, sum;       // `sum` of the lane's own tokens

    // Rows behind `rows` are zeros.
    void begin(device const float* from, ulong stride, uint rows, float scale, uint g, uint t) thread {
        for (ushort half_row = 0; half_row < 2; half_row++) {
            const uint row = g + 8 * half_row;
            device const float2* own = (device const float2*)(from + min(row, rows - 1) * stride) + t;
            const float factor = row < rows ? scale : 0.0f;
            for (ushort i = 0; i < D / 8; i++) query[i / 2][i % 2 * 2 + half_row] = half2(own[4 * i] * factor);
        }
        for (ushort i = 0; i < D / 8; i++) value[i] = float4(0.0f);
        most = float2(NO_SCORE);
        sum = float2(0.0f);
    }

    void multiply_keys(threadgroup const uint4* stage, thread StageScores& scores, ushort lane) const thread {
        for (ushort page = 0; page < STAGE_PAGES; page++) scores.of[page][0] = scores.of[page][1] = float4(0.0f);
        for (ushort i = 0; i < D / 16; i++) {
            for (ushort page = 0; page < STAGE_PAGES; page++) {
                const uint4 right = staged_keys<D>(stage, page, 16 * i, lane);
                matrix_multiply_16x8x16(scores.of[page][0], query[i][0], query[i][1], query[i][2], query[i][3], right.x, right.y);
                matrix_multiply_16x8x16(scores.of[page][1], query[i][0], query[i][1], query[i][2], query[i][3], right.z, right.w);
            }
        }
    }

    // Scores become powers; the sums so far fade.
    void take(thread StageScores& scores) thread {
        float4 both = max(scores.of[0][0], scores.of[0][1]);
        for (ushort page = 1; page < STAGE_PAGES; page++) both = max(both, max(scores.of[page][0], scores.of[page][1]));
        float2 greatest = max(most, max(both.xz, both.yw));
        for (ushort step = 1; step < 4; step *= 2) greatest = max(greatest, simd_shuffle_xor(greatest, step));
        if (simd_any(greatest.x != most.x || greatest.y != most.y)) {
            const float4 fade = float4(most.x == greatest.x ? 1.0f : power_of(most.x, greatest.x),
                                       most.y == greatest.y ? 1.0f : power_of(most.y, greatest.y), 0.0f, 0.0f).xxyy;
            for (ushort i = 0; i < D / 8; i++) value[i] = value[i] * fade;
            sum = sum * fade.xz;
            most = greatest;
        }
        for (ushort page = 0; page < STAGE_PAGES; page++)
            for (ushort upper = 0; upper < 2; upper++)
                for (ushort i = 0; i < 4; i++) scores.of[page][upper][i] = power_of(scores.of[page][upper][i], most[i / 2]);
    }

    void store(device float* out, ulong at, bool halves, ulong stride, uint rows, bool has_sink, float sink, uint g, uint t) thread {
        for (ushort step = 1; step < 4; step *= 2) sum += simd_shuffle_xor(sum, step);
        for (ushort half_row = 0; half_row < 2; half_row++) {
            const uint row = g + 8 * half_row;
            if (row >= rows) continue;
            const float factor = final_factor(most[half_row], sum[half_row], has_sink, sink);
            for (ushort i = 0; i < D / 8; i++) {
                const float2 pair = (half_row ? value[i].zw : value[i].xy) * factor;
                const ulong place = at + row * stride + 8 * i + 2 * t;
                if (halves) *(device half2*)((device half*)out + place) = half2(pair);
                else *(device float2*)(out + place) = pair;
            }
        }
    }
};

// Sums of values += powers · V of a stage, and sums of powers.
template <ushort D>
inline void add_values(thread PromptRows<D>& rows, threadgroup const uint4* stage, StageScores powers, ushort lane) {
    for (ushort page = 0; page < STAGE_PAGES; page++) {
        const half4 a = rounded_to_halves(powers.of[page][0]), b = rounded_to_halves(powers.of[page][1]);
        const float4 rounded = float4(a) + float4(b);
        rows.sum += rounded.xz + rounded.yw;
        for (ushort i = 0; i < D / 8; i += 2) {
            const uint4 right = staged_values<D>(stage, page, i, lane);
            matrix_multiply_16x8x16(rows.value[i], a.xy, a.zw, b.xy, b.zw, right.x, right.y);
            matrix_multiply_16x8x16(rows.value[i + 1], a.xy, a.zw, b.xy, b.zw, right.z, right.w);
        }
    }
}

// What a simdgroup's rows look at: `rows` of them from `position` on.
struct PromptMask {
    uint position, rows, window;
    float softcap;

    bool sees_any(uint token) const {
        return token <= position + rows - 1 && token + STAGE_TOKENS > first_token(position, window);
    }
    bool sees_all(uint token) const {
        return token + STAGE_TOKENS - 1 <= position && token >= first_token(position + rows - 1, window);
    }
    // Scores of tokens `first` and the next as they count: capped, or less than any where the row does not look at the token.
    float4 seen(float4 score, uint first, uint g) const {
        float4 counts = score;
        if (softcap > 0.0f) counts = softcap * precise::tanh(score / softcap);
        for (ushort i = 0; i < 4; i++) {
            const uint own = position + min(g + i / 2 * 8, rows - 1), token = first + i % 2;
            if (token > own || token < first_token(own, window)) counts[i] = 2.0f * NO_SCORE;
        }
        return counts;
    }
    void apply(thread StageScores& scores, uint token, uint g, uint t) const {
        for (ushort page = 0; page < STAGE_PAGES; page++) {
            const uint first = token + page * PAGE_TOKENS + 2 * t;
            scores.of[page][0] = seen(scores.of[page][0], first, g);
            scores.of[page][1] = seen(scores.of[page][1], first + 8, g);
        }
    }
};

template <ushort D>
[[max_total_threads_per_threadgroup(256)]]
kernel void attention_prefill_registers(
    device const float* query          [[buffer(0)]],   // [rows, heads, D]
    device const half* pool            [[buffer(1)]],
    device const uint* pages           [[buffer(2)]],
    device const uint4* tiles          [[buffer(3)]],
    device const float* sinks          [[buffer(4)]],   // [heads], where args.sinks is set
    device float* out                  [[buffer(5)]],   // [rows, heads, D], where args.halves is set of f16
    constant AttentionArguments& args  [[buffer(6)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint2 groups     [[threadgroups_per_grid]],
    ushort thread_id [[thread_index_in_threadgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    threadgroup uint4 stages[2][StagePlaces<D>::ALL];
    // The grid says how many threadgroups share a kv head's heads.
    const uint blocks = groups.x / (args.heads / args.group), heads = (args.group + blocks - 1) / blocks;
    const uint slices = PROMPT_SIMDGROUPS / heads, kv_head = group.x / blocks;
    const uint head_in_group = group.x % blocks * heads + simdgroup / slices, head = kv_head * args.group + head_in_group;
    const uint4 tile = tiles[groups.y - 1 - group.y];
    const uint first_row = simdgroup % slices * 16, g = lane / 4, t = lane % 4;
    // Others only bring pages.
    const bool computes = head_in_group < args.group && first_row < tile.y;
    const PromptMask mask = {tile.z + first_row, computes ? min(16u, tile.y - first_row) : 1, args.window, args.softcap};
    // What all rows look at, from the first one's first token to the last one's own.
    const StagedContext context = {pool + args.layer_offset + kv_head * 2 * D * PAGE_TOKENS, pages + tile.w, args.page_stride,
        {0, first_token(tile.z, args.window), tile.z + tile.y - 1}};
    const ulong stride = ulong(args.heads) * D, at = (ulong(tile.x + first_row) * args.heads + head) * D;

    const uint first = context.first_stage(), last = context.last_stage();
    StageShare<D> share;
    share.number_pages(context, first);
    share.fetch(context, first, thread_id);
    PromptRows<D> mine;
    if (computes) mine.begin(query + at, stride, mask.rows, args.scale, g, t);
    share.store(stages[0], context, first, thread_id);
    if (first < last) share.fetch(context, first + 1, thread_id);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint stage = first; stage <= last; stage++) {   // the whole threadgroup
        const uint turn = (stage - first) % 2, token = stage * STAGE_TOKENS;
        if (stage < last) share.store(stages[1 - turn], context, stage + 1, thread_id);
        if (stage + 1 < last) share.fetch(context, stage + 2, thread_id);
        if (computes && mask.sees_any(token)) {          // a whole simdgroup
            StageScores scores;
            mine.multiply_keys(stages[turn], scores, lane);
            if (!mask.sees_all(token) || args.softcap > 0.0f) mask.apply(scores, token, g, t);
            mine.take(scores);
            add_values<D>(mine, stages[turn], scores, lane);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    if (computes) mine.store(out, at, args.halves, stride, mask.rows, args.sinks, args.sinks ? sinks[head] : 0.0f, g, t);
}
