// Attention of prompts over pages, on a matrix unit whose factors lie in registers as on NVIDIA's: what
// common/attention_prefill.h computes, as FlashAttention-2 (Dao 2023) goes about it.
//
// A simdgroup takes 16 rows of a tile and one head, and goes through the pages that they look at alone, in ascending order:
// no threadgroup memory, no barrier. The eight of a threadgroup have a tile's 32 rows of four neighbouring heads, which
// mostly share K and V and find them in the core's cache: grid [⌈heads / 4⌉, tiles]. The last tiles come first, as they look
// at the most pages.
//
//   scores [16 rows, 16 tokens] = query [16 rows, D] · K [D, 16 tokens]     sums [16 rows, D] += powers [16 rows, 16 tokens] · V
//
// The page is the *right* factor here; common/page_factors.h says who holds what of it. The two halves of its words make two
// products: scores of even and of odd tokens, sums of even and of odd dims. A lane's scores, of rows g and g + 8, are in the
// places where the left factor of the second product wants its powers, if the tokens of V are taken in the order 4 t,
// 4 t + 2, 4 t + 1, 4 t + 3: nothing is exchanged but a row's greatest score, between four lanes.
//
// The next page's keys are asked for when this one's have been used, and so are its values. Sums fade only where a maximum
// grew, which is rare after the first pages; the factor would be exactly 1.
//
// One answer: pages that are masked for a row multiply its sums by 1 and add 0, so that its bits follow from its position,
// window and keys alone, as in common/attention_matrix.h, which also says what is rounded.
//
// FLOPs: 4 · D · tokens a row and head; 32 products a page for D = 128, beside 48 loads and 64 moves of halves. Registers for
// D = 128: 64 of sums, 32 of queries, 32 of K, 32 of V.
// Twin: wootz_gpu::twins::attention::attend.
#pragma once
#include "common/page_factors.h"

// Heads of a threadgroup.
constant constexpr uint PROMPT_HEADS = 4;

// 16 rows of one head, as a lane holds them: rows g and g + 8, in .x and .y of what there is one of a row.
template <ushort D>
struct PromptRows {
    half2 query[D / 16][4];
    float4 low[D / 16], high[D / 16];   // dims dim_of(i, 2 t) and dim_of(i, 2 t + 1), and those behind them, of both rows
    float2 most, sum;                   // `sum` of the lane's own tokens

    // Rows behind `rows` are zeros.
    void begin(device const float* from, ulong stride, uint rows, float scale, uint g, uint t) thread {
        for (ushort half_row = 0; half_row < 2; half_row++) {
            const uint row = g + 8 * half_row;
            device const float* own = from + min(row, rows - 1) * stride + t;
            const float factor = row < rows ? scale : 0.0f;
            for (ushort i = 0; i < D / 16; i++) {
                query[i][half_row] = half2(half(own[16 * i] * factor), half(own[16 * i + 4] * factor));
                query[i][2 + half_row] = half2(half(own[16 * i + 8] * factor), half(own[16 * i + 12] * factor));
            }
        }
        for (ushort i = 0; i < D / 16; i++) low[i] = high[i] = float4(0.0f);
        most = float2(NO_SCORE);
        sum = float2(0.0f);
    }

    // Scores of tokens 4 t, 4 t + 2 (even) and 4 t + 1, 4 t + 3 (odd): .xy of row g, .zw of row g + 8.
    void multiply_keys(thread const PageKeys<D>& keys, thread float4& even, thread float4& odd) thread {
        even = odd = float4(0.0f);
        for (ushort i = 0; i < D / 16; i++) {
            const uint first = keys.word[i][0], second = keys.word[i][1], third = keys.word[i][2], fourth = keys.word[i][3];
            matrix_multiply_16x8x16(even, query[i][0], query[i][1], query[i][2], query[i][3],
                as_type<uint>(low_halves(first, second)), as_type<uint>(low_halves(third, fourth)));
            matrix_multiply_16x8x16(odd, query[i][0], query[i][1], query[i][2], query[i][3],
                as_type<uint>(high_halves(first, second)), as_type<uint>(high_halves(third, fourth)));
        }
    }

    // Scores become powers; the sums so far fade.
    void take(thread float4& even, thread float4& odd) thread {
        const float4 both = max(even, odd);
        float2 greatest = max(most, max(both.xz, both.yw));
        for (ushort step = 1; step < 4; step *= 2) greatest = max(greatest, simd_shuffle_xor(greatest, step));
        if (simd_any(greatest.x != most.x || greatest.y != most.y)) {
            const float4 fade = float4(most.x == greatest.x ? 1.0f : power_of(most.x, greatest.x),
                                       most.y == greatest.y ? 1.0f : power_of(most.y, greatest.y), 0.0f, 0.0f).xxyy;
            for (ushort i = 0; i < D / 16; i++) {
                low[i] = low[i] * fade;
                high[i] = high[i] * fade;
            }
            sum = sum * fade.xz;
            most = greatest;
        }
        for (ushort i = 0; i < 4; i++) {
            even[i] = power_of(even[i], most[i / 2]);
            odd[i] = power_of(odd[i], most[i / 2]);
        }
    }

    void store(device float* out, ulong at, bool halves, ulong stride, uint rows, bool has_sink, float sink, uint g, uint t) thread {
        for (ushort step = 1; step < 4; step *= 2) sum += simd_shuffle_xor(sum, step);
        for (ushort half_row = 0; half_row < 2; half_row++) {
            const uint row = g + 8 * half_row;
            if (row >= rows) continue;
            const float factor = final_factor(most[half_row], sum[half_row], has_sink, sink);
            for (ushort i = 0; i < D / 16; i++) {
                const float2 first = half_row ? low[i].zw : low[i].xy, second = half_row ? high[i].zw : high[i].xy;
                for (ushort j = 0; j < 2; j++) {
                    const float2 pair = float2(first[j], second[j]) * factor;
                    const ulong place = at + row * stride + PageValues<D>::dim_of(i, 2 * t + j);
                    if (halves) *(device half2*)((device half*)out + place) = half2(pair);
                    else *(device float2*)(out + place) = pair;
                }
            }
        }
    }
};

// sums of values += powers · V of a page, and sums of powers.
template <ushort D>
inline void add_values(thread PromptRows<D>& rows, thread const PageValues<D>& values, float4 even, float4 odd) {
    const half4 a = half4(even), b = half4(odd);
    const float4 rounded = float4(a) + float4(b);
    rows.sum += rounded.xz + rounded.yw;
    for (ushort i = 0; i < D / 16; i++) {
        const uint first = values.word[0][i], second = values.word[1][i], third = values.word[2][i], fourth = values.word[3][i];
        matrix_multiply_16x8x16(rows.low[i], a.xy, a.zw, b.xy, b.zw,
            as_type<uint>(low_halves(first, third)), as_type<uint>(low_halves(second, fourth)));
        matrix_multiply_16x8x16(rows.high[i], a.xy, a.zw, b.xy, b.zw,
            as_type<uint>(high_halves(first, third)), as_type<uint>(high_halves(second, fourth)));
    }
}

// A score as it counts: capped, or less than any where the row does not look at the token.
inline float seen_score(float score, uint token, uint position, uint window, float softcap) {
    return token <= position && token >= first_token(position, window) ? softcapped(score, softcap) : 2.0f * NO_SCORE;
}

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
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    ushort lane      [[thread_index_in_simdgroup]])
{
    const uint4 tile = tiles[groups.y - 1 - group.y];
    const uint head = group.x * PROMPT_HEADS + simdgroup / 2, first_row = simdgroup % 2 * 16;
    if (head >= args.heads || first_row >= tile.y) return;   // a whole simdgroup; there are no barriers
    const uint g = lane / 4, t = lane % 4, rows = min(16u, tile.y - first_row), position = tile.z + first_row;
    // What the rows look at, from the first one's first token to the last one's own.
    const Partition context = {0, first_token(position, args.window), position + rows - 1};
    const uint last_page = context.position / PAGE_TOKENS;
    device const half* layer = pool + args.layer_offset + head / args.group * 2 * D * PAGE_TOKENS;
    device const uint* numbers = pages + tile.w;
    const ulong stride = ulong(args.heads) * D, at = (ulong(tile.x + first_row) * args.heads + head) * D;

    uint page = context.first / PAGE_TOKENS, next = min(page + 1, last_page);
    uint number = numbers[page], next_number = numbers[next];
    PageKeys<D> keys;
    PageValues<D> values;
    keys.load(layer + ulong(number) * args.page_stride, g, t);
    values.load(layer + ulong(number) * args.page_stride + D * PAGE_TOKENS, context.seen(page), g, t);
    PromptRows<D> mine;
    mine.begin(query + at, stride, rows, args.scale, g, t);
    // Behind the last page it is loaded again, and not used.
    for (; page <= last_page; page++) {
        float4 even, odd;
        mine.multiply_keys(keys, even, odd);
        device const half* cell = layer + ulong(next_number) * args.page_stride;
        next = min(page + 1, last_page);
        next_number = numbers[min(page + 2, last_page)];
        keys.load(cell, g, t);
        const uint token = page * PAGE_TOKENS;
        const bool all_seen = token + PAGE_TOKENS - 1 <= position && token >= first_token(position + 15, args.window);
        if (!all_seen || args.softcap > 0.0f) {
            for (ushort i = 0; i < 4; i++) {
                const uint own = min(position + g + i / 2 * 8, context.position), first = token + 4 * t + i % 2 * 2;
                even[i] = seen_score(even[i], first, own, args.window, args.softcap);
                odd[i] = seen_score(odd[i], first + 1, own, args.window, args.softcap);
            }
        }
        mine.take(even, odd);
        add_values<D>(mine, values, even, odd);
        values.load(cell + D * PAGE_TOKENS, context.seen(next), g, t);
    }
    mine.store(out, at, args.halves, stride, rows, args.sinks, args.sinks ? sinks[head] : 0.0f, g, t);
}
