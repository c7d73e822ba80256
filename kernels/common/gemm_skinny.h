// Matrix times 1 to 64 rows on a matrix unit that multiplies 16x16 with 16x8, as NVIDIA's does.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// gemv.h multiplies one by one: an unpacking and a multiplication for each element, and for each row of the input one more.
// Here the unpacked weights are the *left* factor, straight from registers, and the rows of the input the right one: 8 rows
// cost what one costs, about 2 instructions an element of W, so that reading W stays the limit.
//
//              k: 32 columns of a group                       Lane l = 4 g + t has, of a group, columns 8 t .. 8 t + 8 of
//            +--------------------+                           outputs g and g + 8: 16 weights, in two instructions of
//  outputs   | 0..8 : lanes' g    |    rows of the input      depth 16 each. Of the input it has the same columns of row
//  of a      +--------------------+  x [k, 8]                 g. Which column an instruction calls its i-th does not
//  threadgr. | 8..16              |                           matter, as long as both factors agree.
//            +--------------------+
//
// A *strip* is what one lane loads of a row at once: the columns of a block. A threadgroup computes 16 outputs; its
// simdgroups take every 8th or 16th strip each, for a matrix with few outputs has no other work to give them, and their sums are
// added at the end, in order. Which strips a simdgroup takes depends on nothing but the columns: a row of the input gets the
// same bits beside any others.
//
// A packet is a struct with
//
//   COLUMNS  of a strip: a multiple of 32      AHEAD   strips that are loaded before the first is used
//   Raw      what is loaded                    row(matrix, index, columns) → Row     fetch(row, strip, t) → Raw
//   Block    what its groups share             prepare(raw) → Block
//   unpack(raw, block, group, weights)         columns 8 t .. 8 t + 8 of the group, in pairs (0,2) (1,3) (4,6) (5,7)
//
// Words come apart into columns 0, 2 and 1, 3 with one shift and one `and`, so that is the order of the input too, within
// each four (half_rows_interleaved of gemm_system.metal).
//
// Numerics are those of gemm_plain.metal: f16 factors, exact products, sums in f32, and a power of two for each row.
// Bytes: W once for all rows; the input, from the caches, once for each 16 outputs.
// Twin: wootz_backend::cpu::reference::linear on decoded weights.
#pragma once
#include "common/format.h"
#include "common/matrix_unit.h"
#include "common/unpack.h"

constant constexpr uint STAGED_SIMDGROUPS = 8, STAGED_COLUMNS = 256;
// In threadgroup memory every odd row has its groups of 32 columns in turned pairs, so that the 16 bytes that 8 lanes load,
// of two rows, lie in all banks.
inline uint staged_place(uint row, uint column) { return column ^ (row % 2 * 32); }

constant constexpr uint SKINNY_OUTPUTS = 16;      // of a threadgroup
constant constexpr uint SKINNY_SIMDGROUPS = 16;   // of a threadgroup at most

// The input's columns of a group, of rows that lie where these pointers say.
struct DeviceRows {
    device const half* row;
    uint4 at(uint block, uint column) const thread { return *(device const uint4*)(row + column); }
};
struct StagedRows {
    threadgroup const half* rows;   // row g, from column 8 t on
    uint g;
    uint4 at(uint block, uint column) const thread {
        return *(threadgroup const uint4*)(rows + 8 * block * STAGED_COLUMNS + staged_place(g, column));
    }
};

// sums[·][b] += 16 outputs x 8 rows of the input, over one strip. Each instruction waits for the one before it that adds to
// the same sums, so that there are two of them.
template <typename Packet, uint ROW_BLOCKS, typename Rows>
inline void skinny_strip(thread const typename Packet::Raw& upper, thread const typename Packet::Raw& lower,
                         thread const Rows& inputs, uint column, thread float4 (&sums)[2][ROW_BLOCKS]) {
    const typename Packet::Block upper_block = Packet::prepare(upper), lower_block = Packet::prepare(lower);
    for (uint group = 0; group < Packet::COLUMNS / 32; group++) {
        half2 a[4], b[4];
        Packet::unpack(upper, upper_block, group, a);
        Packet::unpack(lower, lower_block, group, b);
        for (uint i = 0; i < ROW_BLOCKS; i++) {
            const uint4 x = inputs.at(i, column + 32 * group);
            matrix_multiply_16x8x16(sums[0][i], a[0], b[0], a[1], b[1], x.x, x.y);
            matrix_multiply_16x8x16(sums[1][i], a[2], b[2], a[3], b[3], x.z, x.w);
        }
    }
}

// Grid: x over groups of 16 outputs. Waiting is hidden by other simdgroups, so that there have to be many on a core: 768
// threads leave 80 registers for each.
template <typename Packet>
[[max_total_threads_per_threadgroup(768)]]
kernel void gemm_skinny(
    device const half* input        [[buffer(0)]],   // [rows, columns], each four in the order 0 2 1 3; up to 8 rows
    device const float* inverse     [[buffer(1)]],   // [rows]: results are multiplied with it
    device const uchar* data        [[buffer(2)]],   // W: see common/format.h
    device const uchar* scales      [[buffer(3)]],
    device const uchar* biases      [[buffer(4)]],
    device const float* bias        [[buffer(5)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(6)]],   // [rows, outputs]
    constant GemmSkinnyArguments& args [[buffer(7)]],
    uint group       [[threadgroup_position_in_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint AHEAD = Packet::AHEAD;
    threadgroup float partial[SKINNY_SIMDGROUPS][SKINNY_OUTPUTS][8];
    const uint first = group * SKINNY_OUTPUTS, g = lane / 4, t = lane % 4;
    const Matrix matrix = { data, scales, biases };
    const Row upper = Packet::row(matrix, min(first + g, args.outputs - 1), args.columns);
    const Row lower = Packet::row(matrix, min(first + g + 8, args.outputs - 1), args.columns);
    const DeviceRows inputs = { input + ulong(min(g, args.rows - 1)) * args.columns + 8 * t };
    float4 sums[2][1] = { { float4(0.0f) }, { float4(0.0f) } };
    const uint strips = args.columns / Packet::COLUMNS;
    for (uint strip = simdgroup; strip < strips; strip += AHEAD * simdgroups) {
        typename Packet::Raw raw[AHEAD][2];
        for (uint i = 0; i < AHEAD; i++) {
            const uint at = strip + i * simdgroups;
            if (at < strips) {   // the whole simdgroup
                raw[i][0] = Packet::fetch(upper, at, t);
                raw[i][1] = Packet::fetch(lower, at, t);
            }
        }
        for (uint i = 0; i < AHEAD; i++) {
            const uint at = strip + i * simdgroups;
            if (at < strips) skinny_strip<Packet, 1>(raw[i][0], raw[i][1], inputs, at * Packet::COLUMNS, sums);
        }
    }
    const float4 sum = sums[0][0] + sums[1][0];
    partial[simdgroup][g][2 * t] = sum.x;
    partial[simdgroup][g][2 * t + 1] = sum.y;
    partial[simdgroup][g + 8][2 * t] = sum.z;
    partial[simdgroup][g + 8][2 * t + 1] = sum.w;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = simdgroup * 32 + lane; i < SKINNY_OUTPUTS * 8; i += 32 * simdgroups) {
        const uint m = i / SKINNY_OUTPUTS, n = i % SKINNY_OUTPUTS;
        if (m < args.rows && first + n < args.outputs) {
            float total = 0.0f;
            for (uint s = 0; s < simdgroups; s++) total += partial[s][n][m];
            total *= inverse[m];
            out[m * args.outputs + first + n] = args.has_bias != 0 ? total + bias[first + n] : total;
        }
    }
}

// ---- 9 to 64 rows -------------------------------------------------------------------------------------------------
//
// Now the input is as much to load as W, so that a threadgroup takes 128 outputs: its 8 simdgroups have 16 of them each and
// share the input, 256 columns at a time by way of threadgroup memory. Each simdgroup holds AHEAD strips of its own, loads
// the next into a place as soon as that is used, and fetches its share of the next columns of the input while it
// multiplies. Columns may be cut in parts (grid y), which gemm_combine adds up.

// A thread's share of 256 columns of the input: 16 bytes of every 8th row.
template <uint ROW_BLOCKS>
inline void staged_fetch(device const half* input, uint rows, uint columns, uint column, uint end, uint thread_id,
                         thread uint4 (&share)[ROW_BLOCKS]) {
    const uint at = column + thread_id % 32 * 8;
    for (uint i = 0; i < ROW_BLOCKS; i++) {
        const uint row = min(8 * i + thread_id / 32, rows - 1);
        share[i] = at < end ? *(device const uint4*)(input + ulong(row) * columns + at) : uint4(0);
    }
}

template <typename Packet, uint ROW_BLOCKS>
inline void staged_product(
    device const half* input, device const float* inverse, Matrix matrix, device const float* bias, device float* out,
    constant GemmSkinnyArguments& args, threadgroup half (&staged)[8 * ROW_BLOCKS][STAGED_COLUMNS], uint2 group,
    uint simdgroup, uint lane)
{
    constexpr uint AHEAD = Packet::AHEAD, STRIPS = STAGED_COLUMNS / Packet::COLUMNS;
    const uint first = (group.x * STAGED_SIMDGROUPS + simdgroup) * 16, g = lane / 4, t = lane % 4;
    const uint thread_id = simdgroup * 32 + lane;
    const uint begin = group.y * args.part_columns, end = min(begin + args.part_columns, args.columns);
    const Row upper = Packet::row(matrix, min(first + g, args.outputs - 1), args.columns);
    const Row lower = Packet::row(matrix, min(first + g + 8, args.outputs - 1), args.columns);
    float4 sums[2][ROW_BLOCKS];
    for (uint i = 0; i < ROW_BLOCKS; i++) sums[0][i] = sums[1][i] = float4(0.0f);

    const StagedRows inputs = { &staged[g][8 * t], g };
    const uint last = end / Packet::COLUMNS;   // strips end here
    typename Packet::Raw raw[AHEAD][2];
    for (uint i = 0; i < AHEAD; i++) {
        const uint strip = begin / Packet::COLUMNS + i;
        if (strip < last) {
            raw[i][0] = Packet::fetch(upper, strip, t);
            raw[i][1] = Packet::fetch(lower, strip, t);
        }
    }
    uint4 share[ROW_BLOCKS];
    staged_fetch<ROW_BLOCKS>(input, args.rows, args.columns, begin, end, thread_id, share);
    for (uint two = begin; two < end; two += 2 * STAGED_COLUMNS) {
        for (uint which = 0; which < 2; which++) {
            const uint column = two + which * STAGED_COLUMNS;
            if (column < end) {   // the whole threadgroup
                for (uint i = 0; i < ROW_BLOCKS; i++)
                    *(threadgroup uint4*)&staged[8 * i + simdgroup][staged_place(simdgroup, lane * 8)] = share[i];
                threadgroup_barrier(mem_flags::mem_threadgroup);
                staged_fetch<ROW_BLOCKS>(input, args.rows, args.columns, column + STAGED_COLUMNS, end, thread_id, share);
                for (uint s = 0; s < STRIPS; s++) {
                    const uint place = (which * STRIPS + s) % AHEAD, strip = column / Packet::COLUMNS + s;
                    if (strip < last) {
                        skinny_strip<Packet, ROW_BLOCKS>(raw[place][0], raw[place][1], inputs, s * Packet::COLUMNS, sums);
                        if (strip + AHEAD < last) {
                            raw[place][0] = Packet::fetch(upper, strip + AHEAD, t);
                            raw[place][1] = Packet::fetch(lower, strip + AHEAD, t);
                        }
                    }
                }
                threadgroup_barrier(mem_flags::mem_threadgroup);
            }
        }
    }
    device float* part = out + ulong(group.y) * args.rows * args.outputs;
    for (uint i = 0; i < ROW_BLOCKS; i++) {
        const float4 both = sums[0][i] + sums[1][i];
        for (uint element = 0; element < 4; element++) {
            const uint m = 8 * i + 2 * t + element % 2, n = first + g + element / 2 * 8;
            if (m < args.rows && n < args.outputs) {
                const float sum = both[element] * inverse[m];
                part[ulong(m) * args.outputs + n] = args.has_bias != 0 ? sum + bias[n] : sum;
            }
        }
    }
}

// Grid: x over groups of 128 outputs, y over parts of the columns, each args.part_columns, a multiple of 256. The buffers are
// those of gemm_skinny, but out is [parts, rows, outputs]. What 64 rows need of registers, 16 rows better leave to a second
// threadgroup.
#define STAGED_KERNEL(kernel_name, THREADS)                                                                             \
    template <typename Packet, uint ROW_BLOCKS>                                                                         \
    [[max_total_threads_per_threadgroup(THREADS)]]                                                                      \
    kernel void kernel_name(                                                                                            \
        device const half* input        [[buffer(0)]],                                                                  \
        device const float* inverse     [[buffer(1)]],                                                                  \
        device const uchar* data        [[buffer(2)]],                                                                  \
        device const uchar* scales      [[buffer(3)]],                                                                  \
        device const uchar* biases      [[buffer(4)]],                                                                  \
        device const float* bias        [[buffer(5)]],                                                                  \
        device float* out               [[buffer(6)]],                                                                  \
        constant GemmSkinnyArguments& args [[buffer(7)]],                                                               \
        uint2 group      [[threadgroup_position_in_grid]],                                                              \
        uint simdgroup   [[simdgroup_index_in_threadgroup]],                                                            \
        uint lane        [[thread_index_in_simdgroup]])                                                                 \
    {                                                                                                                   \
        threadgroup half staged[8 * ROW_BLOCKS][STAGED_COLUMNS];                                                        \
        const Matrix matrix = { data, scales, biases };                                                                 \
        staged_product<Packet, ROW_BLOCKS>(input, inverse, matrix, bias, out, args, staged, group, simdgroup, lane);    \
    }
STAGED_KERNEL(gemm_staged, 512)
STAGED_KERNEL(gemm_staged_tall, 256)

#define GEMM_SKINNY_ENTRY(entry, kernel_name, ...)                                                                      \
    template [[host_name(entry)]] kernel decltype(kernel_name<__VA_ARGS__>) kernel_name<__VA_ARGS__>;

#define GEMM_SKINNY(name, Packet)                                                                                       \
    GEMM_SKINNY_ENTRY("gemm_skinny_" name, gemm_skinny, Packet)                                                         \
    GEMM_SKINNY_ENTRY("gemm_staged16_" name, gemm_staged, Packet, 2)                                                    \
    GEMM_SKINNY_ENTRY("gemm_staged32_" name, gemm_staged, Packet, 4)                                                    \
    GEMM_SKINNY_ENTRY("gemm_staged64_" name, gemm_staged_tall, Packet, 8)
