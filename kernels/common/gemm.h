// Matrix times many rows.
//
//   out[m, n] = input[m, :] · W[n, :] (+ bias[n])        input [rows, columns] f32, W [outputs, columns] in any format
//
// This header has the kernels, gemm_tile.h the tile that they are made of; gemm_plain.metal explains them,
// gemm_stages.metal has the simpler ones that come before. A .metal file instantiates them for its formats:
//
//   GEMM_INSTANTIATE("q4_k", FormatQ4_K)          all tiles (list the format in gemm::has_all_tiles too)
//   GEMM_INSTANTIATE_FEW("q2_k", FormatQ2_K)      64 and 16 rows, and experts
#pragma once
#include "common/gemm_tile.h"

// One threadgroup a tile of Rows x Outputs. Grid: x over tiles of rows, y over tiles of outputs, z over parts of the
// columns. Neighbours in x share their part of W, which so comes from memory once and then from the cache.
// With several parts (split-K), part z writes its sums to `out` + z · rows · outputs, and gemm_combine adds them up.
template <typename Format, typename T, short Rows, short Outputs, short Down, short Across>
kernel void gemm(
    device const float* input       [[buffer(0)]],   // [rows, columns]
    device const uchar* data        [[buffer(1)]],   // W: see common/format.h
    device const uchar* scales      [[buffer(2)]],
    device const uchar* biases      [[buffer(3)]],
    device const float* bias        [[buffer(4)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(5)]],   // [parts, rows, outputs]
    constant GemmArguments& args    [[buffer(6)]],
    uint3 place      [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    typedef GemmShape<T, Rows, Outputs, Down, Across> Shape;
    threadgroup float4 memory[Shape::memory];
    threadgroup float factors[2 * Rows];
    const uint column = place.z * args.part_columns;
    const GemmTask task = { place.x * Rows, args.rows, place.y * Outputs,
                            column, min(column + args.part_columns, args.columns), 0 };
    const Matrix matrix = { data, scales, biases };
    gemm_tile<Format, T, Shape>(input, matrix, bias, args.has_bias != 0,
                                out + ulong(place.z) * args.rows * args.outputs, args.outputs, args.columns, task,
                                memory, factors, thread_id, simdgroup, ushort(lane));
}

// The same for a mixture of experts: the rows of expert e are expert_offsets[e] .. expert_offsets[e + 1], its matrix is
// rows e · outputs .. (e + 1) · outputs of W, its bias the same part of `bias`. How many rows an expert got is known on
// the device only, so the grid has as many tiles in x as there can be at most (one for each expert that can have rows,
// and one for every further Rows rows), and each threadgroup counts tiles to find its own. Those that are left over end
// at once.
template <typename Format, typename T, short Rows, short Outputs, short Down, short Across>
kernel void gemm_grouped(
    device const float* input       [[buffer(0)]],   // [rows, columns], sorted by expert
    device const uchar* data        [[buffer(1)]],
    device const uchar* scales      [[buffer(2)]],
    device const uchar* biases      [[buffer(3)]],
    device const float* bias        [[buffer(4)]],   // [experts, outputs], where args.has_bias
    device float* out               [[buffer(5)]],   // [rows, outputs], sorted by expert
    constant GroupedGemmArguments& args    [[buffer(6)]],
    device const uint* expert_offsets      [[buffer(7)]],   // [experts + 1]
    uint3 place      [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    typedef GemmShape<T, Rows, Outputs, Down, Across> Shape;
    threadgroup float4 memory[Shape::memory];
    threadgroup float factors[2 * Rows];
    // 32 experts at a time: how many tiles are before mine, and whose is it?
    uint before = 0, expert = args.experts, row = 0, row_end = 0;
    for (uint first = 0; first < args.experts && expert == args.experts; first += 32) {
        const uint e = first + lane;
        const uint from = e < args.experts ? expert_offsets[e] : 0, to = e < args.experts ? expert_offsets[e + 1] : 0;
        const uint tiles = (to - from + Rows - 1) / Rows;
        const uint end = before + simd_prefix_inclusive_sum(tiles);
        const bool mine = end - tiles <= place.x && place.x < end;
        expert = simd_min(mine ? e : args.experts);
        row = simd_max(mine ? from + (place.x - (end - tiles)) * Rows : 0u);
        row_end = simd_max(mine ? to : 0u);
        before = simd_max(end);
    }
    if (expert == args.experts) return;
    const GemmTask task = { row, row_end, place.y * Outputs, 0, args.columns, expert * args.outputs };
    const Matrix matrix = { data, scales, biases };
    gemm_tile<Format, T, Shape>(input, matrix, bias, args.has_bias != 0, out, args.outputs, args.columns, task,
                                memory, factors, thread_id, simdgroup, ushort(lane));
}

#define GEMM_TILE(entry, kernel_name, Format, T, Rows, Outputs, Down, Across)                                           \
    template [[host_name(entry)]] kernel decltype(kernel_name<Format, T, Rows, Outputs, Down, Across>)                  \
        kernel_name<Format, T, Rows, Outputs, Down, Across>;

// All kernels of a format, with tiles of T: half, or float where weights need the whole of f32.
#define GEMM_INSTANTIATE_AS(name, Format, T)                                                                            \
    GEMM_TILE("gemm_" name, gemm, Format, T, 64, 64, 2, 2)                                                              \
    GEMM_TILE("gemm_rows8_" name, gemm, Format, T, 8, 64, 1, 4)                                                         \
    GEMM_TILE("gemm_rows16_" name, gemm, Format, T, 16, 64, 1, 4)                                                       \
    GEMM_TILE("gemm_rows32_" name, gemm, Format, T, 32, 64, 1, 4)                                                       \
    GEMM_TILE("gemm_head_" name, gemm, Format, T, 32, 128, 1, 4)                                                        \
    GEMM_TILE("gemm_grouped_" name, gemm_grouped, Format, T, 32, 64, 1, 4)                                              \
    GEMM_TILE("gemm_grouped8_" name, gemm_grouped, Format, T, 8, 64, 1, 4)

#define GEMM_INSTANTIATE(name, Format) GEMM_INSTANTIATE_AS(name, Format, half)

// Those that a format of rarer use can't do without.
#define GEMM_INSTANTIATE_FEW(name, Format)                                                                              \
    GEMM_TILE("gemm_" name, gemm, Format, half, 64, 64, 2, 2)                                                           \
    GEMM_TILE("gemm_rows16_" name, gemm, Format, half, 16, 64, 1, 4)                                                    \
    GEMM_TILE("gemm_grouped_" name, gemm_grouped, Format, half, 32, 64, 1, 4)
