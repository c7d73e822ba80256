// The steps of decode attention within one partition of the context: scores, softmax, values. common/attention_decode.h
// says what they are steps of, and draws which lane has what.
#pragma once
#include "common/attention.h"

// Simdgroups of a threadgroup.
constant constexpr ushort DECODE_SIMDGROUPS = 4;

// Loads of 16 bytes that a lane has in flight: on Apple GPUs more than four take registers from the sums.
constant constexpr ushort IN_FLIGHT = 4;

// G neighbouring numbers of threadgroup memory: 16 bytes at a time where G allows.
template <ushort G>
inline void load_heads(threadgroup const float* from, thread float* to)
{
    if (G % 4 == 0) {
        for (ushort i = 0; i < G; i += 4) {
            const float4 four = *(threadgroup const float4*)(from + i);
            for (ushort j = 0; j < 4; j++) to[(i + j) % G] = four[j];
        }
    } else {
        for (ushort i = 0; i < G; i++) to[i] = from[i];
    }
}

// Adds weights[g] · (8 halves) to each head's sums.
template <ushort G>
inline void add_eight(uint4 eight, thread const float* weights, thread float4* low, thread float4* high)
{
    const uint2 low_bits = eight.xy, high_bits = eight.zw;
    const float4 first = float4(as_type<half4>(low_bits)), second = float4(as_type<half4>(high_bits));
    for (ushort g = 0; g < G; g++) {
        low[g] += weights[g] * first;
        high[g] += weights[g] * second;
    }
}

// Step 1 for 4 pages of the partition, of which this simdgroup's first is `page`: scores[token][head].
template <ushort D, ushort G>
inline void decode_scores(
    device const half* pool, threadgroup const ulong* cells, threadgroup const float* queries,
    threadgroup float* scores, Partition partition, uint page, float softcap, ushort lane)
{
    constexpr ushort LOADS = D % (4 * IN_FLIGHT) == 0 ? IN_FLIGHT : D % 16 == 0 ? 4 : 2;
    const uint own_page = page + lane / 8;
    float4 low[G], high[G];
    for (ushort g = 0; g < G; g++) low[g] = high[g] = float4(0.0f);
    if (partition.has_page(own_page)) {
        device const uint4* keys = (device const uint4*)(pool + cells[own_page]) + lane % 8;
        threadgroup const float* query = queries + lane % 8 / 2 * G;
        for (ushort i = 0; i < D / 4; i += LOADS) {
            uint4 eight[LOADS];
            for (ushort j = 0; j < LOADS; j++) eight[j] = keys[(i + j) * 8];
            for (ushort j = 0; j < LOADS; j++) {
                float weights[G];
                load_heads<G>(query + (i + j) * 4 * G, weights);
                add_eight<G>(eight[j], weights, low, high);
            }
        }
    }
    // Lanes that differ in bits 1 and 2 have other dims of the same tokens.
    const bool upper_four = lane & 2, upper_two = lane & 4;
    const uint slot = lane % 2 * 8 + (upper_four ? 4 : 0) + (upper_two ? 2 : 0);
    const uint local_token = own_page * PAGE_TOKENS + slot;
    const uint token = partition.begin + local_token;
    for (ushort g = 0; g < G; g++) {
        const float4 four = (upper_four ? high[g] : low[g])
            + simd_shuffle_xor(upper_four ? low[g] : high[g], ushort(2));
        const float2 front = four.xy, back = four.zw;
        const float2 two = (upper_two ? back : front) + simd_shuffle_xor(upper_two ? front : back, ushort(4));
        scores[local_token * G + g] = partition.looks_at(token) ? softcapped(two.x, softcap) : NO_SCORE;
        scores[(local_token + 1) * G + g] = partition.looks_at(token + 1) ? softcapped(two.y, softcap) : NO_SCORE;
    }
}

// Step 2 for one head: scores become powers. Returns their greatest score and their sum.
template <ushort G>
inline float2 decode_softmax(threadgroup float* scores, Partition partition, ushort head, ushort lane)
{
    float score[PARTITION_TOKENS / 32];
    float most = NO_SCORE, sum = 0.0f;
    for (ushort i = 0; i < PARTITION_TOKENS / 32; i++) {
        score[i] = scores[(lane + 32 * i) * G + head];
        most = max(most, score[i]);
    }
    most = simd_max(most);
    for (ushort i = 0; i < PARTITION_TOKENS / 32; i++) {
        const uint token = lane + 32 * i;
        const float power = partition.looks_at(partition.begin + token) ? power_of(score[i], most) : 0.0f;
        scores[token * G + head] = power;
        sum += power;
    }
    return float2(most, simd_sum(sum));
}

// Step 3 for 4 pages: lanes below D/8 return the sums of 8 dims in low and high.
template <ushort D, ushort G>
inline void decode_values(
    device const half* pool, threadgroup const ulong* cells, threadgroup const float* powers,
    Partition partition, uint first_page, ushort lane, thread float4* low, thread float4* high)
{
    constexpr ushort LANES = D / 8;                                       // that read one token
    constexpr ushort TOKENS = 32 / LANES < 16 ? 32 / LANES : 16;          // that are read at once
    constexpr ushort ROUNDS = (PAGE_TOKENS + TOKENS - 1) / TOKENS;        // for a page
    constexpr ushort LOADS = ROUNDS <= IN_FLIGHT ? ROUNDS : ROUNDS % 4 == 0 ? 4 : ROUNDS % 3 == 0 ? 3 : ROUNDS % 2 == 0 ? 2 : 1;
    for (ushort g = 0; g < G; g++) low[g] = high[g] = float4(0.0f);
    for (uint page = first_page; page < first_page + PARTITION_PAGES / DECODE_SIMDGROUPS; page++) {
        if (!partition.has_page(page)) continue;
        device const uint4* values = (device const uint4*)(pool + cells[page] + D * PAGE_TOKENS) + lane;
        for (ushort i = 0; i < ROUNDS; i += LOADS) {
            uint4 eight[LOADS];
            bool wanted[LOADS];
            for (ushort j = 0; j < LOADS; j++) {
                const uint slot = (i + j) * TOKENS + lane / LANES;
                wanted[j] = lane < LANES * TOKENS && slot < PAGE_TOKENS
                    && partition.looks_at(partition.begin + page * PAGE_TOKENS + slot);
                eight[j] = uint4(0);
                if (wanted[j]) eight[j] = values[(i + j) * TOKENS * LANES];
            }
            for (ushort j = 0; j < LOADS; j++) {
                if (!wanted[j]) continue;
                float weights[G];
                load_heads<G>(powers + (page * PAGE_TOKENS + (i + j) * TOKENS + lane / LANES) * G, weights);
                add_eight<G>(eight[j], weights, low, high);
            }
        }
    }
    for (ushort g = 0; g < G; g++) {
        if (TOKENS == 3) {
            low[g] += simd_shuffle_down(low[g], LANES) + simd_shuffle_down(low[g], ushort(2 * LANES));
            high[g] += simd_shuffle_down(high[g], LANES) + simd_shuffle_down(high[g], ushort(2 * LANES));
        } else {
            for (ushort step = TOKENS / 2; step > 0; step /= 2) {
                low[g] += simd_shuffle_down(low[g], ushort(step * LANES));
                high[g] += simd_shuffle_down(high[g], ushort(step * LANES));
            }
        }
    }
}
