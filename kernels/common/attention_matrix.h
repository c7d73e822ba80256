// Attention of several queries at once on the matrix unit: what the prefill and the latent kernels share.
//
// A threadgroup of 4 simdgroups holds ROWS queries that look at the same keys, and walks over the context in blocks of 64
// tokens (4 pages), which begin at multiples of 64 whatever the queries:
//
//            block of 64 tokens                      1. scores: simdgroup s multiplies all queries with page s of
//          page 0  page 1  page 2  page 3               the block. K lies transposed: it is the right factor as it is.
//        ┌───────┬───────┬───────┬───────┐           2. powers: 128 / ROWS threads share a row: running maximum, powers
//   rows │ sim 0 │ sim 1 │ sim 2 │ sim 3 │              as f16, running sum, and the factor by which the
//        └───────┴───────┴───────┴───────┘              sums so far fade because the maximum grew.
//          dims 0-7 8-15 16-23 24-31 32-39 …         3. values: simdgroup s owns dims 8s .. 8s + 8 of every 32. It fades
//        ┌────┬────┬────┬────┬────┬────┐                its sums and adds powers · V. A V cell is a right factor
//   rows │ s0 │ s1 │ s2 │ s3 │ s0 │ …  │                as it is (of a latent cell: transposed).
//        └────┴────┴────┴────┴────┴────┘
//
// So each byte of K and V is read once a threadgroup, from device memory straight into the matrix unit's registers, without
// being staged; two barriers a block. Sums stay in registers: ROWS · VALUE / 128 floats a lane.
//
// What is masked: tokens after the row (causal), before its window. Pages that no row of the tile looks at are skipped. A
// score of a masked token is never used, only replaced; its power is 0. Its value is multiplied with that 0, so it has
// to be a number: where the last page goes on behind the last row, its values are copied with zeros there.
//
// One answer: a block that is masked for a row multiplies its sums by 1 and adds 0, so the bits of a row follow from its
// position, window and keys alone: they don't depend on the tile's other rows, on where in the tile it is, or on how a
// prompt was cut into chunks. (The decode kernel adds in another order: the two differ in rounding.)
//
// Numerics: queries, scaled, and powers are rounded to f16 for the matrix unit; scores, maxima, sums are f32. The sum is that of
// the rounded powers, so that weights add up to 1.
#pragma once
#include "common/attention.h"
#include "common/tile.h"

constant constexpr ushort MATRIX_SIMDGROUPS = 4;
constant constexpr ushort MATRIX_THREADS = 32 * MATRIX_SIMDGROUPS;
constant constexpr ushort BLOCK_PAGES = MATRIX_SIMDGROUPS;
constant constexpr ushort BLOCK_TOKENS = BLOCK_PAGES * PAGE_TOKENS;
// Rows in threadgroup memory are a little longer than what is in them, so that they begin in different banks.
constant constexpr ushort SCORE_STRIDE = BLOCK_TOKENS + 4;
constant constexpr ushort POWER_STRIDE = BLOCK_TOKENS + 8;
constant constexpr ushort QUERY_PADDING = 8;

// The rows of a tile. Row r is at first_position + r · step.
struct TileOfRows {
    uint count;
    uint first_position;
    uint step;
    uint window;

    uint position(uint row) const { return first_position + row * step; }
};

// The tokens that a tile looks at, and where their pages are.
struct Context {
    uint first;               // the first token that any row looks at
    uint last;                // the last one
    device const uint* pages; // the sequence's page table
    device const half* pool;  // from the layer's first cell
    uint page_stride;

    device const half* cell(uint page) const { return pool + ulong(pages[page]) * page_stride; }
    bool has_page(uint page) const { return page >= first / PAGE_TOKENS && page <= last / PAGE_TOKENS; }
};

// What a thread knows of the row that it shares.
struct RowState {
    float most;
    float sum;
};

// Queries [count] at `stride`, scaled and rounded, the rows behind them 0.
template <ushort KEY, ushort ROWS>
inline void matrix_queries(
    device const float* from, ulong stride, uint count, float scale, threadgroup half* queries, ushort thread_id)
{
    for (uint i = thread_id; i < ROWS * KEY / 4; i += MATRIX_THREADS) {
        const uint row = i / (KEY / 4), four = i % (KEY / 4);
        float4 value = float4(0.0f);
        if (row < count) value = ((device const float4*)(from + row * stride))[four];
        ((threadgroup half4*)(queries + row * (KEY + QUERY_PADDING)))[four] = half4(value * scale);
    }
}

// Step 1: all rows · the 16 tokens of one page.
template <ushort KEY, ushort ROWS>
inline void matrix_scores(
    Context context, uint page, threadgroup const half* queries, threadgroup float* scores)
{
    constexpr ushort DEPTH = KEY % 16 == 0 ? 16 : 8;
    Tile<float, ROWS, PAGE_TOKENS> sums;
    tile_fill(sums, 0.0f);
    if (context.has_page(page)) {
        device const half* keys = context.cell(page);
        for (ushort dim = 0; dim < KEY; dim += DEPTH) {
            Tile<half, ROWS, DEPTH> left;
            RightTile<half, DEPTH, PAGE_TOKENS> right;
            tile_load(right, keys + dim * PAGE_TOKENS, PAGE_TOKENS);
            tile_load(left, queries + dim, KEY + QUERY_PADDING);
            tile_multiply_add(sums, left, right);
        }
    }
    tile_store(sums, scores, SCORE_STRIDE);
}

// Step 2: scores of the block become powers; fade[row] is what the row's sums so far have to be multiplied with.
template <ushort ROWS>
inline void matrix_powers(
    threadgroup const float* scores, threadgroup half* powers, threadgroup float* fade,
    TileOfRows rows, uint block, float softcap, ushort thread_id, thread RowState& state)
{
    constexpr ushort SHARES = MATRIX_THREADS / ROWS, FOURS = BLOCK_TOKENS / (4 * SHARES);
    const uint row = thread_id / SHARES, share = thread_id % SHARES;
    const uint position = rows.position(row), first = first_token(position, rows.window);
    float4 score[FOURS];
    float most = state.most;
    for (ushort i = 0; i < FOURS; i++) {
        const uint column = 4 * (share + SHARES * i);
        const float4 raw = *(threadgroup const float4*)(scores + row * SCORE_STRIDE + column);
        for (ushort j = 0; j < 4; j++) {
            const uint token = block * BLOCK_TOKENS + column + j;
            const bool seen = row < rows.count && token <= position && token >= first;
            score[i][j] = seen ? softcapped(raw[j], softcap) : 2.0f * NO_SCORE;
            most = max(most, score[i][j]);
        }
    }
    for (ushort step = 1; step < SHARES; step *= 2) most = max(most, simd_shuffle_xor(most, step));
    float sum = 0.0f;
    for (ushort i = 0; i < FOURS; i++) {
        half4 power;
        for (ushort j = 0; j < 4; j++) {
            power[j] = score[i][j] >= NO_SCORE ? half(power_of(score[i][j], most)) : half(0.0h);
            sum += float(power[j]);
        }
        *(threadgroup half4*)(powers + row * POWER_STRIDE + 4 * (share + SHARES * i)) = power;
    }
    for (ushort step = 1; step < SHARES; step *= 2) sum += simd_shuffle_xor(sum, step);
    // Exactly 1 where nothing changed, whatever the device's exp makes of 0.
    const float factor = most == state.most ? 1.0f : power_of(state.most, most);
    state.sum = state.sum * factor + sum;
    state.most = most;
    if (share == 0) fade[row] = factor;
}

// The values of a simdgroup's dims: columns 8 · (simdgroup + 4 · i).
template <ushort VALUE, ushort ROWS>
struct ValueSums {
    Tile<float, 16, 8> tile[ROWS / 16][(VALUE / 8 + MATRIX_SIMDGROUPS - 1) / MATRIX_SIMDGROUPS];
};

template <ushort VALUE, ushort ROWS>
inline void matrix_fade(thread ValueSums<VALUE, ROWS>& sums, threadgroup const float* fade, ushort lane)
{
    for (ushort i = 0; i < ROWS / 16; i++) {
        TileRows<16> factors;
        tile_rows_load(factors, fade + 16 * i, lane);
        for (ushort j = 0; j < (VALUE / 8 + MATRIX_SIMDGROUPS - 1) / MATRIX_SIMDGROUPS; j++)
            tile_scale_rows(sums.tile[i][j], factors);
    }
}

// Step 3 for one page: `values` are its [16][VALUE], or, of a latent cell, [VALUE][16].
template <ushort VALUE, ushort ROWS, bool LATENT, typename Pointer>
inline void matrix_values(
    thread ValueSums<VALUE, ROWS>& sums, Pointer values, threadgroup const half* powers, ushort simdgroup)
{
    for (ushort token = 0; token < PAGE_TOKENS; token += MATRIX_DEPTH) {
        Tile<half, 16, MATRIX_DEPTH> left[ROWS / 16];
        for (ushort i = 0; i < ROWS / 16; i++) tile_load(left[i], powers + 16 * i * POWER_STRIDE + token, POWER_STRIDE);
        for (ushort j = 0; simdgroup + MATRIX_SIMDGROUPS * j < VALUE / 8; j++) {
            const ushort dim = 8 * (simdgroup + MATRIX_SIMDGROUPS * j);
            RightTile<half, MATRIX_DEPTH, 8> right;
            if (LATENT) tile_load_transposed(right, values + dim * PAGE_TOKENS + token, PAGE_TOKENS);
            else tile_load(right, values + token * VALUE + dim, VALUE);
            for (ushort i = 0; i < ROWS / 16; i++) tile_multiply_add(sums.tile[i][j], left[i], right);
        }
    }
}

// Copies the values of a page, with 0 for tokens from `tokens` on.
template <ushort VALUE, bool LATENT>
inline void copy_values(device const half* values, threadgroup half* copy, uint tokens, ushort thread_id)
{
    for (uint i = thread_id; i < PAGE_TOKENS * VALUE; i += MATRIX_THREADS) {
        const uint token = LATENT ? i % PAGE_TOKENS : i / VALUE;
        copy[i] = token < tokens ? values[i] : half(0.0h);
    }
}

// All steps for all blocks of the context. `queries` is used up: the last page's values may take its place.
template <ushort KEY, ushort VALUE, ushort ROWS, bool LATENT>
inline void matrix_attention(
    Context context, TileOfRows rows, float softcap,
    threadgroup half* queries, threadgroup float* scores, threadgroup half* powers, threadgroup float* fade,
    thread ValueSums<VALUE, ROWS>& sums, thread RowState& state,
    ushort thread_id, ushort simdgroup, ushort lane)
{
    // Where in a cell values begin.
    constexpr uint VALUES = LATENT ? 0 : KEY * PAGE_TOKENS;
    const uint last_page = context.last / PAGE_TOKENS, last_tokens = context.last % PAGE_TOKENS + 1;
    state = RowState{NO_SCORE, 0.0f};
    for (ushort i = 0; i < ROWS / 16; i++)
        for (ushort j = 0; j < (VALUE / 8 + MATRIX_SIMDGROUPS - 1) / MATRIX_SIMDGROUPS; j++) tile_fill(sums.tile[i][j], 0.0f);

    for (uint block = context.first / BLOCK_TOKENS; block <= context.last / BLOCK_TOKENS; block++) {
        const uint first_page = block * BLOCK_PAGES;
        matrix_scores<KEY, ROWS>(context, first_page + simdgroup, queries, scores + simdgroup * PAGE_TOKENS);
        threadgroup_barrier(mem_flags::mem_threadgroup);

        const bool has_copy = last_tokens < PAGE_TOKENS && last_page < first_page + BLOCK_PAGES;
        if (has_copy) copy_values<VALUE, LATENT>(context.cell(last_page) + VALUES, queries, last_tokens, thread_id);
        matrix_powers<ROWS>(scores, powers, fade, rows, block, softcap, thread_id, state);
        threadgroup_barrier(mem_flags::mem_threadgroup);

        matrix_fade<VALUE, ROWS>(sums, fade, lane);
        for (uint page = first_page; page < first_page + BLOCK_PAGES; page++) {
            if (!context.has_page(page)) continue;
            threadgroup const half* weights = powers + (page - first_page) * PAGE_TOKENS;
            if (has_copy && page == last_page)
                matrix_values<VALUE, ROWS, LATENT, threadgroup const half*>(sums, queries, weights, simdgroup);
            else
                matrix_values<VALUE, ROWS, LATENT, device const half*>(
                    sums, context.cell(page) + VALUES, weights, simdgroup);
        }
    }
}

// Stores the sums of `count` rows at `stride`. `scores` is used up.
template <ushort VALUE, ushort ROWS>
inline void matrix_store(
    thread ValueSums<VALUE, ROWS>& sums, device float* out, ulong stride, uint count,
    threadgroup float* scores, ushort simdgroup, ushort lane)
{
    threadgroup float* stage = scores + simdgroup * 16 * 8;
    for (ushort i = 0; 16 * i < int(min(count, uint(ROWS))); i++) {
        for (ushort j = 0; simdgroup + MATRIX_SIMDGROUPS * j < VALUE / 8; j++) {
            device float* to = out + 16 * i * stride + 8 * (simdgroup + MATRIX_SIMDGROUPS * j);
            tile_store(sums.tile[i][j], stage, 8);
            simdgroup_barrier(mem_flags::mem_threadgroup);
            // 8 lanes a row: 32 bytes, one after another.
            for (ushort k = lane; k < 16 * 8; k += 32)
                if (16u * i + k / 8 < count) to[k / 8 * stride + k % 8] = stage[k];
            simdgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
}
