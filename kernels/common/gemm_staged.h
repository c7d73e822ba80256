// Packed matrices times 17 to 64 rows: common/packed.h says how they lie, common/packed_record.h how they multiply.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// With so many rows the input is as much to load as W, so that a threadgroup takes 256 outputs: each of its 8 simdgroups has
// 32 of them, two records beside each other, which share what is read of the input. Columns of the input come by way of
// threadgroup memory, 8,192 numbers at a time, in two places that take turns: while one is multiplied with, each thread holds
// its share of what goes to the other, asked for while the columns before were multiplied: a core's loads come back in order,
// and these are behind weights. A simdgroup holds AHEAD records of each of its two, and loads the next into a place as
// soon as that is used. Columns may be cut in parts (grid y), which gemm_combine adds up.
//
// Bytes: W once; the input, from the caches, once for each 256 outputs. Numerics: packed_units.h. Several matrices and twin: gemm_packed.h.
#pragma once
#include "common/earlier.h"
#include "common/packed_store.h"

constant constexpr uint STAGED_SIMDGROUPS = 8, STAGED_TILES = 2, STAGED_ELEMENTS = 8192;
constant constexpr uint STAGED_THREADS = 32 * STAGED_SIMDGROUPS, STAGED_SHARES = STAGED_ELEMENTS / 8 / STAGED_THREADS;

// In threadgroup memory every odd row has its groups of 32 columns in turned pairs, so that the 16 bytes that 8 lanes load,
// of two rows, lie in all banks.
inline uint staged_place(uint row, uint column) { return column ^ (row % 2 * 32); }

// A lane's columns of a record of the rows that lie in threadgroup memory.
template <uint COLUMNS>
struct StagedRows {
    threadgroup const half* rows;   // row g, from column 8 t on
    uint g, column;
    uint4 at(uint block, uint s) const thread {
        return *(threadgroup const uint4*)(rows + 8 * block * COLUMNS + staged_place(g, column + 32 * s));
    }
};

// A thread's share of the next columns of the input, 16 bytes at a time.
template <uint COLUMNS>
struct StagedShare {
    uint4 held[STAGED_SHARES];
    uint thread_id;

    uint row(uint i) const thread { return (i * STAGED_THREADS + thread_id) * 8 / COLUMNS; }
    uint column(uint i) const thread { return (i * STAGED_THREADS + thread_id) * 8 % COLUMNS; }
    void fetch(device const half* input, uint rows, uint columns, uint begin, uint end) thread {
        for (uint i = 0; i < STAGED_SHARES; i++) {
            const uint at = begin + column(i);
            held[i] = uint4(0);
            if (at < end) held[i] = *(device const uint4*)(input + ulong(min(row(i), rows - 1)) * columns + at);
        }
    }
    void store(threadgroup half* staged) const thread {
        for (uint i = 0; i < STAGED_SHARES; i++)
            *(threadgroup uint4*)(staged + row(i) * COLUMNS + staged_place(row(i), column(i))) = held[i];
    }
};

// Grid: x over groups of 256 outputs, y over parts of the columns, each args.part_columns, a multiple of 64. The buffers are
// those of gemm_packed, but with several parts out is [parts, rows, outputs].
template <typename Packing, uint ROW_BLOCKS>
[[max_total_threads_per_threadgroup(256)]]
kernel void gemm_staged(
    device const half* input        [[buffer(0)]],
    device const float* inverse     [[buffer(1)]],
    device const uchar* matrix      [[buffer(2)]],
    device const float* bias        [[buffer(3)]],
    device float* out               [[buffer(4)]],
    device float* second            [[buffer(5)]],
    device float* third             [[buffer(6)]],
    constant GemmPackedArguments& args [[buffer(7)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint TILES = STAGED_TILES, AHEAD = 2;
    constexpr uint COLUMNS = STAGED_ELEMENTS / (8 * ROW_BLOCKS), RECORDS = COLUMNS / PACKED_COLUMNS;
    threadgroup half staged[2][STAGED_ELEMENTS];
    const uint blocks = (args.outputs + PACKED_OUTPUTS - 1) / PACKED_OUTPUTS, records = packed_records(args.columns);
    const uint first_block = (group.x * STAGED_SIMDGROUPS + simdgroup) * TILES, g = lane / 4, t = lane % 4;
    const uint begin = group.y * args.part_columns, end = min(begin + args.part_columns, args.columns);
    const uint first = begin / PACKED_COLUMNS, last = end / PACKED_COLUMNS;   // records

    device const uchar* tiles[TILES];   // beyond the matrix, its last outputs again
    for (uint tile = 0; tile < TILES; tile++)
        tiles[tile] = matrix + ulong(min(first_block + tile, blocks - 1)) * records * Packing::BYTES;
    typename Packing::Raw raw[AHEAD][TILES];
    for (uint i = 0; i < AHEAD; i++)
        for (uint tile = 0; tile < TILES; tile++)
            Packing::fetch(tiles[tile] + packed_place(first + i, args.columns) * Packing::BYTES, lane, raw[i][tile], first + i < last);
    after_earlier_launches();

    float4 sums[TILES][ROW_BLOCKS];
    clear_sums(sums);
    StagedShare<COLUMNS> share;
    share.thread_id = 32 * simdgroup + lane;
    share.fetch(input, args.rows, args.columns, begin, end);
    share.store(staged[0]);
    share.fetch(input, args.rows, args.columns, begin + COLUMNS, end);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint turn = 0;
    for (uint column = begin; column < end; column += COLUMNS) {   // the whole threadgroup
        share.store(staged[1 - turn]);
        share.fetch(input, args.rows, args.columns, column + 2 * COLUMNS, end);
        for (uint r = 0; r < RECORDS; r++) {
            const uint record = column / PACKED_COLUMNS + r;
            if (record >= last) continue;
            const StagedRows<COLUMNS> inputs = { staged[turn] + g * COLUMNS + 8 * t, g, r * PACKED_COLUMNS };
            packed_record<Packing>(raw[r % AHEAD], inputs, sums);
            const uint later = record + AHEAD, place = packed_place(later, args.columns);
            for (uint tile = 0; tile < TILES; tile++)
                Packing::fetch(tiles[tile] + place * Packing::BYTES, lane, raw[r % AHEAD][tile], later < last);
        }
        turn = 1 - turn;
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint tile = 0; tile < TILES; tile++)
        store_sums(sums[tile], { out, second, third }, inverse, bias, args, (first_block + tile) * PACKED_OUTPUTS, group.y, lane);
}
