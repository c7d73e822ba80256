// Packed matrices times rows: common/packed.h says how they lie.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])     input [rows, columns] f16 and a factor a row, W [outputs, columns]
//
// gemv.h multiplies one by one: an unpacking and a multiplication for each element, and for each row of the input one more.
// Here the unpacked weights are the *left* factor, straight from registers, and 8 rows of the input the right one: 8 rows
// cost what one costs, about 2 instructions an element of W, so that reading W is the limit.
//
//              k: 32 columns of a group
//            +--------------------+
//  outputs   | 0..8               |    rows of the input        Lane 4 g + t has of the input columns 8 t .. 8 t + 8 of row
//  of a      +--------------------+    x [k, 8]                 g. Which column an instruction calls its i-th does not
//  record    | 8..16              |                             matter, as long as both factors agree.
//            +--------------------+
//
// gemm_packed: a threadgroup computes 16 outputs for 8 rows. Its simdgroups take every so manieth record each, for a matrix
// with few outputs has no other work to give them, and their sums are added at the end, in order. Which records a simdgroup
// takes depends on nothing but the matrix: a row of the input gets the same bits beside any others.
//
// gemm_staged: 9 to 64 rows. Now the input is as much to load as W, so that a threadgroup takes 128 outputs: its 8 simdgroups
// have 16 of them each and share the input, 256 columns at a time by way of threadgroup memory. Each simdgroup holds AHEAD
// records of its own, loads the next into a place as soon as that is used, and fetches its share of the next columns of the
// input while it multiplies. Columns may be cut in parts (grid y), which gemm_combine adds up.
//
// W may be several matrices one after another, whose results go to places of their own: common/joint_rows.h.
//
// Numerics are those of gemm_plain.metal: f16 factors, exact products, sums in f32, and a power of two for each row.
// Bytes: W once for all rows; the input, from the caches, once for each 16 or 128 outputs.
// Twin: wootz_backend::cpu::reference::linear on decoded weights.
#pragma once
#include "common/joint_rows.h"
#include "common/packed.h"

constant constexpr uint PACKED_OUTPUTS = 16;      // of a record
constant constexpr uint PACKED_COLUMNS = 64;      // of a record
constant constexpr uint PACKED_SIMDGROUPS = 16;   // of a threadgroup of gemm_packed at most

constant constexpr uint STAGED_SIMDGROUPS = 8, STAGED_COLUMNS = 256;
// In threadgroup memory every odd row has its groups of 32 columns in turned pairs, so that the 16 bytes that 8 lanes load,
// of two rows, lie in all banks.
inline uint staged_place(uint row, uint column) { return column ^ (row % 2 * 32); }

// A lane's columns of a group of rows in either memory.
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

// sums[·][b] += 16 outputs x 8 rows of the input, over one record. Each instruction waits for the one before it that adds to
// the same sums, so that there are two of them.
template <typename Packing, uint ROW_BLOCKS, typename Rows>
inline void packed_record(thread const typename Packing::Raw& raw, thread const Rows& inputs, uint column,
                          thread float4 (&sums)[2][ROW_BLOCKS]) {
    for (uint s = 0; s < 2; s++) {
        half2 a[2][4];
        Packing::unpack(raw, 2 * s, a[0]);
        Packing::unpack(raw, 2 * s + 1, a[1]);
        for (uint i = 0; i < ROW_BLOCKS; i++) {
            const uint4 x = inputs.at(i, column + 32 * s);
            matrix_multiply_16x8x16(sums[0][i], a[0][0], a[0][1], a[0][2], a[0][3], x.x, x.y);
            matrix_multiply_16x8x16(sums[1][i], a[1][0], a[1][1], a[1][2], a[1][3], x.z, x.w);
        }
    }
}

// Grid: x over groups of 16 outputs, y over groups of 8 rows. Waiting is hidden by other simdgroups, so that there have to be
// many on a core: 1,024 threads leave 64 registers for each.
template <typename Packing>
[[max_total_threads_per_threadgroup(1024)]]
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
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    constexpr uint AHEAD = 2;
    threadgroup float partial[PACKED_SIMDGROUPS][PACKED_OUTPUTS][8];
    const uint first = group.x * PACKED_OUTPUTS, first_row = group.y * 8, g = lane / 4, t = lane % 4;
    const uint records = args.columns / PACKED_COLUMNS, stride = simdgroups * Packing::BYTES;
    device const uchar* record = matrix + (ulong(group.x) * records + simdgroup) * Packing::BYTES;
    const DeviceRows inputs = { input + ulong(min(first_row + g, args.rows - 1)) * args.columns + 8 * t };
    float4 sums[2][1] = { { float4(0.0f) }, { float4(0.0f) } };
    for (uint first_record = simdgroup; first_record < records; first_record += AHEAD * simdgroups) {
        typename Packing::Raw raw[AHEAD];
        for (uint i = 0; i < AHEAD; i++) {   // all conditions hold for the whole simdgroup
            if (first_record + i * simdgroups < records) raw[i] = Packing::fetch(record + i * stride, lane);
        }
        for (uint i = 0; i < AHEAD; i++) {
            const uint at = first_record + i * simdgroups;
            if (at < records) packed_record<Packing, 1>(raw[i], inputs, at * PACKED_COLUMNS, sums);
        }
        record += AHEAD * stride;
    }
    const float4 sum = sums[0][0] + sums[1][0];
    partial[simdgroup][g][2 * t] = sum.x;
    partial[simdgroup][g][2 * t + 1] = sum.y;
    partial[simdgroup][g + 8][2 * t] = sum.z;
    partial[simdgroup][g + 8][2 * t + 1] = sum.w;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint place = simdgroup * 32 + lane, row = place / PACKED_OUTPUTS, n = place % PACKED_OUTPUTS, m = first_row + row;
    if (row < 8 && m < args.rows && first + n < args.outputs) {
        float total = 0.0f;
        for (uint s = 0; s < simdgroups; s++) total += partial[s][n][row];
        total *= inverse[m];
        const JointPart part = joint_part({ out, second, third }, args, first);
        *part.at(m, first + n) = args.has_bias != 0 ? total + bias[first + n] : total;
    }
}

// A thread's share of 256 columns of the input: 16 bytes of every 8th row.
template <uint ROW_BLOCKS>
inline void staged_fetch(device const half* input, uint rows, uint columns, uint column, uint end, uint simdgroup, uint lane,
                         thread uint4 (&share)[ROW_BLOCKS]) {
    const uint at = column + lane * 8;
    for (uint i = 0; i < ROW_BLOCKS; i++) {
        const uint row = min(8 * i + simdgroup, rows - 1);
        share[i] = at < end ? *(device const uint4*)(input + ulong(row) * columns + at) : uint4(0);
    }
}

template <typename Packing, uint ROW_BLOCKS>
inline void staged_product(
    device const half* input, device const float* inverse, device const uchar* matrix, device const float* bias,
    JointRows results, constant GemmPackedArguments& args, threadgroup half (&staged)[8 * ROW_BLOCKS][STAGED_COLUMNS],
    uint2 group, uint simdgroup, uint lane)
{
    constexpr uint AHEAD = Packing::AHEAD, RECORDS = STAGED_COLUMNS / PACKED_COLUMNS;
    const uint block = group.x * STAGED_SIMDGROUPS + simdgroup, blocks = (args.outputs + PACKED_OUTPUTS - 1) / PACKED_OUTPUTS;
    const uint g = lane / 4, t = lane % 4;
    const uint begin = group.y * args.part_columns, end = min(begin + args.part_columns, args.columns);
    float4 sums[2][ROW_BLOCKS];
    for (uint i = 0; i < ROW_BLOCKS; i++) sums[0][i] = sums[1][i] = float4(0.0f);

    const StagedRows inputs = { &staged[g][8 * t], g };
    // Simdgroups beyond the matrix compute its last outputs again.
    device const uchar* records = matrix + ulong(min(block, blocks - 1)) * (args.columns / PACKED_COLUMNS) * Packing::BYTES;
    const uint last = end / PACKED_COLUMNS;   // records end here
    typename Packing::Raw raw[AHEAD];
    for (uint i = 0; i < AHEAD; i++) {
        const uint record = begin / PACKED_COLUMNS + i;
        if (record < last) raw[i] = Packing::fetch(records + record * Packing::BYTES, lane);
    }
    uint4 share[ROW_BLOCKS];
    staged_fetch<ROW_BLOCKS>(input, args.rows, args.columns, begin, end, simdgroup, lane, share);
    for (uint column = begin; column < end; column += STAGED_COLUMNS) {   // the whole threadgroup
        for (uint i = 0; i < ROW_BLOCKS; i++)
            *(threadgroup uint4*)&staged[8 * i + simdgroup][staged_place(simdgroup, lane * 8)] = share[i];
        threadgroup_barrier(mem_flags::mem_threadgroup);
        staged_fetch<ROW_BLOCKS>(input, args.rows, args.columns, column + STAGED_COLUMNS, end, simdgroup, lane, share);
        for (uint r = 0; r < RECORDS; r++) {
            const uint place = r % AHEAD, record = column / PACKED_COLUMNS + r;
            if (record < last) {
                packed_record<Packing, ROW_BLOCKS>(raw[place], inputs, r * PACKED_COLUMNS, sums);
                if (record + AHEAD < last) raw[place] = Packing::fetch(records + (record + AHEAD) * Packing::BYTES, lane);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    JointPart part = joint_part(results, args, block * PACKED_OUTPUTS);
    part.rows += ulong(group.y) * args.rows * args.outputs;
    for (uint i = 0; i < ROW_BLOCKS; i++) {
        const float4 both = sums[0][i] + sums[1][i];
        for (uint element = 0; element < 4; element++) {
            const uint m = 8 * i + 2 * t + element % 2, n = block * PACKED_OUTPUTS + g + element / 2 * 8;
            if (m < args.rows && n < args.outputs) {
                const float sum = both[element] * inverse[m];
                *part.at(m, n) = args.has_bias != 0 ? sum + bias[n] : sum;
            }
        }
    }
}

// Grid: x over groups of 128 outputs, y over parts of the columns, each args.part_columns, a multiple of 256. The buffers are
// those of gemm_packed, but with several parts out is [parts, rows, outputs]. What 64 rows need of registers, fewer rows
// better leave to a second threadgroup.
#define STAGED_KERNEL(kernel_name, THREADS)                                                                             \
    template <typename Packing, uint ROW_BLOCKS>                                                                        \
    [[max_total_threads_per_threadgroup(THREADS)]]                                                                      \
    kernel void kernel_name(                                                                                            \
        device const half* input        [[buffer(0)]],                                                                  \
        device const float* inverse     [[buffer(1)]],                                                                  \
        device const uchar* matrix      [[buffer(2)]],                                                                  \
        device const float* bias        [[buffer(3)]],                                                                  \
        device float* out               [[buffer(4)]],                                                                  \
        device float* second            [[buffer(5)]],                                                                  \
        device float* third             [[buffer(6)]],                                                                  \
        constant GemmPackedArguments& args [[buffer(7)]],                                                               \
        uint2 group      [[threadgroup_position_in_grid]],                                                              \
        uint simdgroup   [[simdgroup_index_in_threadgroup]],                                                            \
        uint lane        [[thread_index_in_simdgroup]])                                                                 \
    {                                                                                                                   \
        threadgroup half staged[8 * ROW_BLOCKS][STAGED_COLUMNS];                                                        \
        const JointRows results = { out, second, third };                                                               \
        staged_product<Packing, ROW_BLOCKS>(input, inverse, matrix, bias, results, args, staged, group, simdgroup, lane); \
    }
STAGED_KERNEL(gemm_staged, 512)
STAGED_KERNEL(gemm_staged_tall, 256)

#define GEMM_PACKED_ENTRY(entry, kernel_name, ...)                                                                      \
    template [[host_name(entry)]] kernel decltype(kernel_name<__VA_ARGS__>) kernel_name<__VA_ARGS__>;

#define GEMM_PACKED(name, Packing)                                                                                      \
    GEMM_PACKED_ENTRY("gemm_packed_" name, gemm_packed, Packing)                                                        \
    GEMM_PACKED_ENTRY("gemm_staged16_" name, gemm_staged, Packing, 2)                                                   \
    GEMM_PACKED_ENTRY("gemm_staged32_" name, gemm_staged, Packing, 4)                                                   \
    GEMM_PACKED_ENTRY("gemm_staged64_" name, gemm_staged_tall, Packing, 8)
