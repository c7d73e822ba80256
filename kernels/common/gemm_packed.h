// Packed matrices times few rows: common/packed.h says how they lie, common/packed_record.h how they multiply.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// gemv.h multiplies one by one: an unpacking and a multiplication for each element, and for each row of the input one more.
// Here 8 rows cost what one costs, about 90 instructions for 1,024 weights, so that reading W is the limit.
//
// A threadgroup takes every so manieth *unit* of 16 outputs, and each of its simdgroups every so manieth record of a unit;
// their sums are added at the end of the unit, in order. A simdgroup has asked for AHEAD records, and for what they are
// multiplied with, before it needs the first, across the ends of units and, where it can (common/earlier.h), before the
// launch before this has ended. The input is asked for as early as the weights because a core's loads come back in the order
// in which they were asked for: behind weights, even what is in the core's cache takes as long as memory.
//
// What a simdgroup adds up, and in which order, depends on the matrix and the device: a row of the input gets the same bits
// beside any others.
//
// W may be several matrices one after another, whose results go to places of their own: common/joint_rows.h.
//
// Numerics are those of gemm_plain.metal: f16 factors, exact products, sums in f32, and a power of two for each row.
// Bytes: W once for 8 or 16 rows; the input, from the caches, once for each unit.
// Twin: wootz_backend::cpu::reference::linear on decoded weights.
#pragma once
#include "common/packed_record.h"

// The records of a simdgroup, in its order.
struct PackedWalk {
    device const uchar* matrix;
    device const uchar* record;   // the one that comes next
    uint unit, units, units_apart;
    uint column, columns, first_column, columns_apart;
    uint step, steps;             // of a unit: for all simdgroups as many, some without a record
    uint record_bytes;

    void begin_unit() thread {
        step = 0;
        column = first_column;
        record = matrix + (ulong(unit) * (columns / PACKED_COLUMNS) + first_column / PACKED_COLUMNS) * record_bytes;
    }
    void next() thread {
        step++;
        column += columns_apart;
        record += columns_apart / PACKED_COLUMNS * record_bytes;
        if (step == steps) {
            unit += units_apart;
            begin_unit();
        }
    }
    bool has_record() const thread { return unit < units && column < columns; }
};

// A lane's columns of a record, of all rows.
template <uint ROW_BLOCKS>
struct HeldRows {
    uint4 held[ROW_BLOCKS][2];
    uint4 at(uint block, uint s) const thread { return held[block][s]; }
};
template <uint ROW_BLOCKS>
struct RowPointers {
    device const half* row[ROW_BLOCKS];
    HeldRows<ROW_BLOCKS> at(uint column) const thread {
        HeldRows<ROW_BLOCKS> rows;
        for (uint b = 0; b < ROW_BLOCKS; b++)
            for (uint s = 0; s < 2; s++) rows.held[b][s] = *(device const uint4*)(row[b] + column + 32 * s);
        return rows;
    }
};

// Grid: x over as many threadgroups as the cores hold, y over groups of 8 · ROW_BLOCKS rows; 4, 8 or 16 simdgroups.
template <typename Packing, uint ROW_BLOCKS, uint AHEAD>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_packed(
    device const half* input        [[buffer(0)]],   // [rows, columns]
    device const float* inverse     [[buffer(1)]],   // [rows]: results are multiplied with it
    device const uchar* matrix      [[buffer(2)]],   // [⌈outputs / 16⌉][columns / 64] records
    device const float* bias        [[buffer(3)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(4)]],   // [rows, outputs], of the first matrix where there are several
    device float* second            [[buffer(5)]],   // of the second
    device float* third             [[buffer(6)]],   // of the third
    constant GemmPackedArguments& args [[buffer(7)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint2 groups     [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint ROWS = 8 * ROW_BLOCKS, SETS = 2;
    // Four more numbers a row, so that what 32 lanes write of it lies in all banks.
    threadgroup float partial[16][ROWS][PACKED_OUTPUTS + 4];
    threadgroup float factors[ROWS];
    const uint first_row = group.y * ROWS, g = lane / 4, t = lane % 4;
    PackedWalk walk;
    walk.matrix = matrix;
    walk.unit = group.x;
    walk.units = (args.outputs + PACKED_OUTPUTS - 1) / PACKED_OUTPUTS;
    walk.units_apart = groups.x;
    walk.columns = args.columns;
    walk.first_column = simdgroup * PACKED_COLUMNS;
    walk.columns_apart = simdgroups * PACKED_COLUMNS;
    walk.steps = (args.columns + walk.columns_apart * AHEAD - 1) / (walk.columns_apart * AHEAD) * AHEAD;
    walk.record_bytes = Packing::BYTES;
    walk.begin_unit();
    PackedWalk multiplied = walk;
    RowPointers<ROW_BLOCKS> rows;
    for (uint b = 0; b < ROW_BLOCKS; b++)
        rows.row[b] = input + ulong(min(first_row + 8 * b + g, args.rows - 1)) * args.columns + 8 * t;

    typename Packing::Raw raw[AHEAD][1];
    HeldRows<ROW_BLOCKS> inputs[AHEAD];
    for (uint i = 0; i < AHEAD; i++) {   // all conditions hold for the whole simdgroup
        if (walk.has_record()) raw[i][0] = Packing::fetch(walk.record, lane);
        walk.next();
    }
    after_earlier_launches();
    for (uint i = 0; i < AHEAD; i++) {
        if (multiplied.has_record()) inputs[i] = rows.at(multiplied.column);
        multiplied.next();
    }
    if (simdgroup == 0 && lane < ROWS) factors[lane] = inverse[min(first_row + lane, args.rows - 1)];

    for (uint unit = group.x; unit < walk.units; unit += groups.x) {   // the whole threadgroup
        float4 sums[1][SETS][ROW_BLOCKS];
        clear_sums(sums);
        uint column = walk.first_column;
        for (uint step = 0; step < walk.steps; step += AHEAD) {
            for (uint i = 0; i < AHEAD; i++) {
                if (column < args.columns) packed_record<Packing>(raw[i], inputs[i], sums);
                column += walk.columns_apart;
                if (walk.has_record()) {
                    raw[i][0] = Packing::fetch(walk.record, lane);
                    inputs[i] = rows.at(walk.column);
                }
                walk.next();
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);   // the unit before is read
        for (uint b = 0; b < ROW_BLOCKS; b++) {
            const float4 sum = sums[0][0][b] + sums[0][1][b];
            partial[simdgroup][8 * b + 2 * t][g] = sum.x;
            partial[simdgroup][8 * b + 2 * t + 1][g] = sum.y;
            partial[simdgroup][8 * b + 2 * t][g + 8] = sum.z;
            partial[simdgroup][8 * b + 2 * t + 1][g + 8] = sum.w;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const JointPart part = joint_part({ out, second, third }, args, unit * PACKED_OUTPUTS);
        for (uint place = 32 * simdgroup + lane; place < ROWS * PACKED_OUTPUTS; place += 32 * simdgroups) {
            const uint row = place / PACKED_OUTPUTS, n = place % PACKED_OUTPUTS, m = first_row + row;
            const uint output = unit * PACKED_OUTPUTS + n;
            if (m < args.rows && output < args.outputs) {
                float total = 0.0f;
                for (uint s = 0; s < simdgroups; s += 4)
                    total += (partial[s][row][n] + partial[s + 1][row][n]) + (partial[s + 2][row][n] + partial[s + 3][row][n]);
                total *= factors[row];
                *part.at(m, output) = args.has_bias != 0 ? total + bias[output] : total;
            }
        }
    }
}
