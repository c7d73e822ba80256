// Products of packed matrices with one row, which is normed on its way in (common/packed_normed.h has how and why): those that
// follow the norms of a layer.
//
//   gemm_normed   out[n] = Σ_k input[k] · W[n, k] (+ bias[n])      of one matrix or several: common/joint_rows.h
//   gemm_normed_gated   as gemm_gated.metal
//
// Twins: wootz_backend::cpu::reference::{rms_norm, add, linear, gate_up}.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/packed_normed.h"

#define NORMED_INPUT(args)                                                                                              \
    { residual, added, weight, sum, args.columns, args.adds, args.epsilon, args.offset, group == 0, row, sums, \
      lane % 4 * 8 }

// Grid: as that of gemm_packed, of one row.
template <typename Packing>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_normed(
    device const float* residual    [[buffer(0)]],   // [columns]
    device const float* added       [[buffer(1)]],   // [columns], where args.adds is not 0
    device const float* weight      [[buffer(2)]],   // [columns], of the norm
    device float* sum               [[buffer(3)]],   // [columns], where args.adds is 2
    device const uchar* matrix      [[buffer(4)]],   // [⌈outputs / 16⌉][packed_records(columns)] records
    device const float* bias        [[buffer(5)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(6)]],   // [outputs], of the first matrix where there are several
    device float* second            [[buffer(7)]],   // of the second
    device float* third             [[buffer(8)]],   // of the third
    constant GemmNormedArguments& args [[buffer(9)]],
    uint group       [[threadgroup_position_in_grid]],
    uint groups      [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint TILES = 1, STAGES = 2;
    threadgroup float partial[UnitMemory<1, TILES>::FLOATS];
    threadgroup float factors[8], sums[64];
    threadgroup half4 quads[NORMED_COLUMNS / 4];
    threadgroup half* row = (threadgroup half*)quads;
    const NormedInput input = NORMED_INPUT(args);
    const PackedResults<TILES> results = { { out, second, third }, joint_shape(args), bias, args.has_bias != 0 };
    const PackedTeam team = { group, groups, simdgroup, simdgroups, lane };
    packed_units<Packing, 1, TILES, STAGES>(
        packed_walk<Packing, TILES>(matrix, args.columns, args.outputs), input, 0, 1, partial, factors, results, team);
}

template <typename Packing, uint STAGES>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_normed_gated(
    device const float* residual    [[buffer(0)]],   // as above
    device const float* added       [[buffer(1)]],
    device const float* weight      [[buffer(2)]],
    device float* sum               [[buffer(3)]],
    device const uchar* matrix      [[buffer(4)]],   // [2 · outputs / 16][packed_records(columns)] records
    device half* out                [[buffer(5)]],   // [outputs]
    device float* out_inverse       [[buffer(6)]],   // one
    constant GemmNormedGatedArguments& args [[buffer(7)]],
    uint group       [[threadgroup_position_in_grid]],
    uint groups      [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint TILES = 2;
    threadgroup float partial[UnitMemory<1, TILES>::FLOATS];
    threadgroup float factors[8], sums[64];
    threadgroup half4 quads[NORMED_COLUMNS / 4];
    threadgroup half* row = (threadgroup half*)quads;
    const NormedInput input = NORMED_INPUT(args);
    const GatedResults results = { out, out_inverse, args.outputs, args.power };
    const PackedTeam team = { group, groups, simdgroup, simdgroups, lane };
    packed_units<Packing, 1, TILES, STAGES>(
        gated_walk<Packing>(matrix, args.columns, args.outputs), input, 0, 1, partial, factors, results, team);
}

// Stages of gated ones: what the registers hold.
#define GEMM_NORMED(name, Packing, stages)                                                                              \
    ENTRY("gemm_normed_" name, gemm_normed, Packing)                                                                    \
    ENTRY("gemm_normed_gated_" name, gemm_normed_gated, Packing, stages)

GEMM_NORMED("nibbles", PackedNibbles, 2)
GEMM_NORMED("five_bits", PackedFiveBits, 1)
GEMM_NORMED("six_bits", PackedSixBits, 2)
GEMM_NORMED("bytes", PackedBytes, 1)
GEMM_NORMED("halves", PackedHalves, 1)
