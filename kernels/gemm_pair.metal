// Two packed matrices of one input, packed differently, in one launch: where most of a checkpoint's q, k and v are quantised to
// four bits and some v to six. By itself such a v is a few megabytes, whose launch takes longer to begin and to end than to read
// them, and launches beside each other do not begin while the one before them runs.
//
//   gemm_pair          as gemm_packed.metal, 8 or 16 rows at a time
//   gemm_normed_pair   as gemm_normed.metal, for a row before its norm
//
// The first threadgroups take the units of the first matrix, the others those of the second: so many of each that they are done
// together. Either may be several one after another (common/joint_rows.h). Its sums are those of a launch by itself with as
// many simdgroups.
//
// Bytes: those of both. Twins: wootz_backend::cpu::reference::{rms_norm, add, linear}.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/packed_normed.h"

// What is multiplied with, and where results go, of both.
struct Pair {
    device const uchar* matrix[2];
    device const float* bias[2];
    JointRows out[2];
};

// Multiplies the units of one of them that a threadgroup takes, with rows first_row .. of the input.
template <uint WHICH, typename Packing, uint ROW_BLOCKS, uint TILES, uint STAGES, typename Input>
inline void units_of(
    Pair pair, Input input, constant GemmPairArguments& args, uint first_row, uint row_count, threadgroup float* partial,
    threadgroup float (&factors)[8 * ROW_BLOCKS], PackedTeam team)
{
    const JointShape shape = { args.second[WHICH], args.third[WHICH], args.outputs[WHICH] };
    const PackedResults<TILES> results = { pair.out[WHICH], shape, pair.bias[WHICH], args.has_bias[WHICH] != 0 };
    packed_units<Packing, ROW_BLOCKS, TILES, STAGES>(packed_walk<Packing, TILES>(pair.matrix[WHICH], args.columns, shape.outputs),
        input, first_row, row_count, partial, factors, results, team);
}

template <typename First, typename Second, uint ROW_BLOCKS, uint TILES, uint STAGES, typename Input>
inline void pair_units(
    Pair pair, Input input, constant GemmPairArguments& args, uint first_row, uint row_count, threadgroup float* partial,
    threadgroup float (&factors)[8 * ROW_BLOCKS], PackedTeam team)
{
    const uint of_first = args.threadgroups;
    if (team.group < of_first) {
        team.groups = of_first;
        units_of<0, First, ROW_BLOCKS, TILES, STAGES>(pair, input, args, first_row, row_count, partial, factors, team);
    } else {
        team.group -= of_first;
        team.groups -= of_first;
        units_of<1, Second, ROW_BLOCKS, TILES, STAGES>(pair, input, args, first_row, row_count, partial, factors, team);
    }
}

// Grid: x over as many threadgroups as the cores hold, y over groups of 8 · ROW_BLOCKS rows; 4, 8 or 16 simdgroups.
template <typename First, typename Second, uint ROW_BLOCKS, uint TILES, uint STAGES>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_pair(
    device const half* input        [[buffer(0)]],   // [rows, columns]
    device const float* inverse     [[buffer(1)]],   // [rows]: results are multiplied with it
    device const uchar* matrix      [[buffer(2)]],   // [⌈outputs[0] / 16⌉][packed_records(columns)] records
    device const float* bias        [[buffer(3)]],   // [outputs[0]], where args.has_bias[0]
    device float* out               [[buffer(4)]],   // [rows, outputs[0]], of the first of the first where that is several
    device float* second            [[buffer(5)]],   // of the second of the first
    device float* third             [[buffer(6)]],   // of the third of the first
    device const uchar* other       [[buffer(7)]],   // the same of the second matrix
    device const float* other_bias  [[buffer(8)]],
    device float* other_out         [[buffer(9)]],
    device float* other_second      [[buffer(10)]],
    device float* other_third       [[buffer(11)]],
    constant GemmPairArguments& args [[buffer(12)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint2 groups     [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    threadgroup float partial[UnitMemory<8 * ROW_BLOCKS, TILES>::FLOATS];
    threadgroup float factors[8 * ROW_BLOCKS];
    const uint first_row = group.y * 8 * ROW_BLOCKS;
    HalfRowsInput<ROW_BLOCKS, 8 * ROW_BLOCKS> rows = { {}, inverse, first_row, args.rows };
    rows.set(input, args.columns, lane);
    const Pair pair = { { matrix, other }, { bias, other_bias }, { { out, second, third }, { other_out, other_second, other_third } } };
    const PackedTeam team = { group.x, groups.x, simdgroup, simdgroups, lane };
    pair_units<First, Second, ROW_BLOCKS, TILES, STAGES>(pair, rows, args, first_row, args.rows, partial, factors, team);
}

// Grid: as above, of one row.
template <typename First, typename Second>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_normed_pair(
    device const float* residual    [[buffer(0)]],   // [columns]
    device const float* added       [[buffer(1)]],   // [columns], where args.adds is not 0
    device const float* weight      [[buffer(2)]],   // [columns], of the norm
    device float* sum               [[buffer(3)]],   // [columns], where args.adds is 2
    device const uchar* matrix      [[buffer(4)]],   // as above
    device const float* bias        [[buffer(5)]],
    device float* out               [[buffer(6)]],
    device float* second            [[buffer(7)]],
    device float* third             [[buffer(8)]],
    device const uchar* other       [[buffer(9)]],
    device const float* other_bias  [[buffer(10)]],
    device float* other_out         [[buffer(11)]],
    device float* other_second      [[buffer(12)]],
    device float* other_third       [[buffer(13)]],
    constant GemmPairArguments& args [[buffer(14)]],
    uint group       [[threadgroup_position_in_grid]],
    uint groups      [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    threadgroup float partial[UnitMemory<1, 1>::FLOATS];
    threadgroup float factors[8], sums[64];
    threadgroup half4 quads[NORMED_COLUMNS / 4];
    const NormedInput input = { residual, added, weight, sum, args.columns, args.adds, args.epsilon, args.offset, group == 0,
        (threadgroup half*)quads, sums, lane % 4 * 8 };
    const Pair pair = { { matrix, other }, { bias, other_bias }, { { out, second, third }, { other_out, other_second, other_third } } };
    const PackedTeam team = { group, groups, simdgroup, simdgroups, lane };
    pair_units<First, Second, 1, 1, 2>(pair, input, args, 0, 1, partial, factors, team);
}

#define GEMM_PAIR(name, First, Second)                                                                                  \
    ENTRY("gemm_pair8_" name, gemm_pair, First, Second, 1, 1, 2)                                                        \
    ENTRY("gemm_pair16_" name, gemm_pair, First, Second, 2, 2, 1)                                                       \
    ENTRY("gemm_normed_pair_" name, gemm_normed_pair, First, Second)

GEMM_PAIR("nibbles_five_bits", PackedNibbles, PackedFiveBits)
GEMM_PAIR("nibbles_six_bits", PackedNibbles, PackedSixBits)
GEMM_PAIR("five_bits_six_bits", PackedFiveBits, PackedSixBits)
