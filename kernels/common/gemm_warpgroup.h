// Packed matrices times 17 to 64 rows on Hopper: gemm_staged.h, where the matrix unit reads the input from threadgroup memory.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// A threadgroup takes 256 outputs: each of its 16 simdgroups has 16 of them, and four together multiply 64 outputs with all
// rows in one instruction. Unpacked weights go to it straight from registers; while it multiplies one record, the next is
// unpacked. The input lies in three places that take turns, each of 8,192 numbers: one is multiplied with, one may still be
// (a product is waited for when the next one has begun), and one is stored to. What is stored was asked for while the columns
// before it were multiplied: a core's loads come back in order, and these are behind weights.
//
// gemm_staged.h loads the input to registers once for 32 outputs, and has half as many simdgroups to hide its waits.
//
// Bytes: W once; the input, from the caches, once for each 256 outputs. Numerics: packed_units.h. Several matrices and twin: gemm_packed.h.
#pragma once
#include "common/earlier.h"
#include "common/packed_store.h"
#include "common/warpgroup.h"

constant constexpr uint WARPGROUP_THREADS = 512, WARPGROUP_ELEMENTS = 8192, WARPGROUP_PLACES = 3;
constant constexpr uint WARPGROUP_SHARES = WARPGROUP_ELEMENTS / 8 / WARPGROUP_THREADS;

// A thread's share of the next columns of the input, 16 bytes at a time: 8 threads have 64 columns of a row.
template <uint ROWS>
struct WarpgroupShare {
    uint4 held[WARPGROUP_SHARES];
    uint thread_id;

    uint place(uint i) const thread { return i * WARPGROUP_THREADS + thread_id; }
    uint record(uint i) const thread { return place(i) / (8 * ROWS); }
    uint row(uint i) const thread { return place(i) / 8 % ROWS; }
    void fetch(device const half* input, uint rows, uint columns, uint begin, uint end) thread {
        for (uint i = 0; i < WARPGROUP_SHARES; i++) {
            const uint at = begin + record(i) * WARPGROUP_COLUMNS + thread_id % 8 * 8;
            held[i] = uint4(0);
            if (at < end) held[i] = *(device const uint4*)(input + ulong(min(row(i), rows - 1)) * columns + at);
        }
    }
    void store(threadgroup half* staged) const thread {
        for (uint i = 0; i < WARPGROUP_SHARES; i++)
            warpgroup_store(staged + record(i) * ROWS * WARPGROUP_COLUMNS, row(i), thread_id % 8 / 4, thread_id % 4, held[i]);
        warpgroup_publish();
    }
};

// Grid: x over groups of 256 outputs, y over parts of the columns, each args.part_columns, a multiple of 64. The buffers are
// those of gemm_packed, but with several parts out is [parts, rows, outputs].
template <typename Packing>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_warpgroup(
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
    constexpr uint ROW_BLOCKS = 8, ROWS = 8 * ROW_BLOCKS, RECORDS = WARPGROUP_ELEMENTS / ROWS / PACKED_COLUMNS, AHEAD = 2;
    constexpr uint COLUMNS = RECORDS * PACKED_COLUMNS;
    threadgroup half staged[WARPGROUP_PLACES][WARPGROUP_ELEMENTS];
    const uint blocks = (args.outputs + PACKED_OUTPUTS - 1) / PACKED_OUTPUTS, block = group.x * 16 + simdgroup;
    const uint begin = group.y * args.part_columns, end = min(begin + args.part_columns, args.columns);
    const uint first = begin / PACKED_COLUMNS, last = end / PACKED_COLUMNS;   // records

    // Beyond the matrix, its last outputs again.
    device const uchar* records = matrix + ulong(min(block, blocks - 1)) * packed_records(args.columns) * Packing::BYTES;
    typename Packing::Raw raw[AHEAD];
    for (uint i = 0; i < AHEAD; i++) {
        Packing::fetch(records + packed_place(first + i, args.columns) * Packing::BYTES, lane, raw[i], first + i < last);
    }
    after_earlier_launches();

    float4 sums[ROW_BLOCKS];
    for (uint b = 0; b < ROW_BLOCKS; b++) sums[b] = float4(0.0f);
    WarpgroupShare<ROWS> share;
    share.thread_id = 32 * simdgroup + lane;
    share.fetch(input, args.rows, args.columns, begin, end);
    share.store(staged[0]);
    share.fetch(input, args.rows, args.columns, begin + COLUMNS, end);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint turn = 0;
    for (uint column = begin; column < end; column += COLUMNS) {   // the whole threadgroup
        const uint next = turn == WARPGROUP_PLACES - 1 ? 0 : turn + 1;
        share.store(staged[next]);
        share.fetch(input, args.rows, args.columns, column + 2 * COLUMNS, end);
        for (uint r = 0; r < RECORDS; r++) {
            const uint record = column / PACKED_COLUMNS + r, place = r % AHEAD;
            if (record < last) {
                half2 weights[4][4];
                for (uint m = 0; m < 4; m++) Packing::unpack(raw[place], m, weights[m]);
                warpgroup_multiply(sums, weights, staged[turn] + r * ROWS * WARPGROUP_COLUMNS);
                warpgroup_wait_all_but_last();
                // Weights that are no more than loaded are still read from where they were loaded to.
                const uint later = record + AHEAD - Packing::AS_LOADED, free = (place + AHEAD - Packing::AS_LOADED) % AHEAD;
                Packing::fetch(records + packed_place(later, args.columns) * Packing::BYTES, lane, raw[free],
                               later < last && later >= first + AHEAD);
            }
        }
        turn = next;
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    warpgroup_wait();
    store_sums(sums, { out, second, third }, inverse, bias, args, block * PACKED_OUTPUTS, group.y, lane);
}
