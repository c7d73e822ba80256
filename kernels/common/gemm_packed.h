// Products of packed matrices with few rows: common/packed_units.h has how.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// W may be several matrices one after another, whose results go to places of their own: common/joint_rows.h.
//
// Twin: wootz_backend::cpu::reference::linear on decoded weights.
#pragma once
#include "common/packed_results.h"

// Grid: x over as many threadgroups as the cores hold, y over groups of MOST rows; 4, 8 or 16 simdgroups.
template <typename Packing, uint MOST, uint TILES, uint STAGES>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_packed(
    device const half* input        [[buffer(0)]],   // [rows, columns]
    device const float* inverse     [[buffer(1)]],   // [rows]: results are multiplied with it
    device const uchar* matrix      [[buffer(2)]],   // [⌈outputs / 16⌉][packed_records(columns)] records
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
    constexpr uint ROW_BLOCKS = (MOST + 7) / 8;
    threadgroup float partial[UnitMemory<MOST, TILES>::FLOATS];
    threadgroup float factors[8 * ROW_BLOCKS];
    const PackedWalk<Packing> walk = packed_walk<Packing, TILES>(matrix, args.columns, args.outputs);
    const uint first_row = group.y * MOST;
    HalfRowsInput<ROW_BLOCKS, MOST> rows = { {}, inverse, first_row, args.rows };
    rows.set(input, args.columns, lane);
    const PackedResults<TILES> results = { { out, second, third }, joint_shape(args), bias, args.has_bias != 0 };
    const PackedTeam team = { group.x, groups.x, simdgroup, simdgroups, lane };
    packed_units<Packing, ROW_BLOCKS, TILES, STAGES>(walk, rows, first_row, args.rows, partial, factors, results, team);
}
