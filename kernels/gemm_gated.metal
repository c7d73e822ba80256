// Products of two packed matrices with few rows, the gate of a feed-forward block and what it lets through: one launch for both
// and the gate, with the result as f16 for the next product.
//
//   out[m, n] = power · silu(Σ_k input[m, k] · gate[n, k]) · Σ_k input[m, k] · up[n, k]        inverse[m] = 1 / power
//
// The matrices lie one after another (common/packed_units.h has how they multiply). A unit's tiles are 16 outputs of the one and
// the same of the other, so that whoever adds up the simdgroups' sums has both numbers.
//
// The power of two has to be known before any number of a row is: it follows from the matrices. |silu(x)| <= |x|. The input
// comes from a root-mean-square norm: before its weights w it is √columns long at most, and by Cauchy and Schwarz
// |Σ_k input[m, k] · gate[n, k]| <= √columns · |w ∘ gate[n]|. longest_row computes the greatest |w ∘ row|² of each matrix when a
// model is loaded; the host makes the power of both. (A row's own greatest number would give a power that is nearer to it, and
// cost a launch. Where the power would be so small that f16 lost bits, gates are not computed here: wootz_gpu::model::gating.)
//
// Twins: wootz_backend::cpu::reference::{linear, gate_up}.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/packed_results.h"

// Grid: as that of gemm_packed.
template <typename Packing, uint ROW_BLOCKS>
[[max_total_threads_per_threadgroup(512)]]
kernel void gemm_gated(
    device const half* input        [[buffer(0)]],   // [rows, columns]
    device const float* inverse     [[buffer(1)]],   // [rows]: sums are multiplied with it
    device const uchar* matrix      [[buffer(2)]],   // [2 · outputs / 16][packed_records(columns)] records
    device half* out                [[buffer(3)]],   // [rows, outputs]
    device float* out_inverse       [[buffer(4)]],   // [rows]
    constant GemmGatedArguments& args [[buffer(5)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint2 groups     [[threadgroups_per_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint TILES = 2, STAGES = 1;
    threadgroup float partial[UnitMemory<8 * ROW_BLOCKS, TILES>::FLOATS];
    threadgroup float factors[8 * ROW_BLOCKS];
    const PackedWalk<Packing> walk = gated_walk<Packing>(matrix, args.columns, args.outputs);
    const uint first_row = group.y * 8 * ROW_BLOCKS;
    HalfRowsInput<ROW_BLOCKS, 8 * ROW_BLOCKS> rows = { {}, inverse, first_row, args.rows };
    rows.set(input, args.columns, lane);
    const GatedResults results = { out, out_inverse, args.outputs, args.power };
    const PackedTeam team = { group.x, groups.x, simdgroup, simdgroups, lane };
    packed_units<Packing, ROW_BLOCKS, TILES, STAGES>(walk, rows, first_row, args.rows, partial, factors, results, team);
}

// Grid: x over groups of 16 rows of one matrix; one simdgroup.
template <typename Packing>
kernel void longest_row(
    device const uchar* matrix      [[buffer(0)]],   // [⌈rows / 16⌉][packed_records(columns)] records
    device const float* weight      [[buffer(1)]],   // [columns], of the norm
    device atomic_uint* longest     [[buffer(2)]],   // the greatest |w ∘ row|², the bits of an f32; at first 0
    constant LongestRowArguments& args [[buffer(3)]],
    uint group [[threadgroup_position_in_grid]],
    uint lane  [[thread_index_in_simdgroup]])
{
    const uint records = packed_records(args.columns), last = args.columns / PACKED_COLUMNS - 1;
    float2 squares = float2(0.0f);   // of outputs g and g + 8, of the lane's columns
    for (uint record = 0; record < records; record++) {
        typename Packing::Raw raw;
        Packing::fetch(matrix + (ulong(group) * records + record) * Packing::BYTES, lane, raw, true);
        for (uint m = 0; m < 4; m++) {
            half2 a[4];
            Packing::unpack(raw, m, a);
            // Of a record of zeros any columns will do.
            const uint column = min(record, last) * PACKED_COLUMNS + 32 * (m / 2) + 8 * (lane % 4) + 4 * (m % 2);
            for (uint j = 0; j < 4; j++) {
                device const float* w = weight + column + 2 * (j / 2);
                const float2 pair = float2(a[j]) * (float2(w[0], w[1]) + args.offset);
                squares[j % 2] += dot(pair, pair);
            }
        }
    }
    for (ushort step = 1; step < 4; step *= 2) squares += simd_shuffle_xor(squares, step);
    // Numbers that are not negative have the order of their bits.
    const float most = simd_max(max(squares.x, squares.y));
    if (lane == 0) atomic_fetch_max_explicit(longest, as_type<uint>(most), memory_order_relaxed);
}

#define GEMM_GATED(name, Packing)                                                                                       \
    ENTRY("gemm_gated8_" name, gemm_gated, Packing, 1)                                                                  \
    ENTRY("gemm_gated16_" name, gemm_gated, Packing, 2)                                                                 \
    ENTRY("longest_row_" name, longest_row, Packing)

GEMM_GATED("nibbles", PackedNibbles)
GEMM_GATED("five_bits", PackedFiveBits)
GEMM_GATED("six_bits", PackedSixBits)
GEMM_GATED("bytes", PackedBytes)
GEMM_GATED("halves", PackedHalves)
