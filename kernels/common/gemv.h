// Matrix times few rows: the kernels, whatever the matrix is stored as.
//
//   out[m, n] = Σ_k input[m, k] · W[n, k] (+ bias[n])          input [batch, columns] f32, W [outputs, columns]
//
// The matrix is read once for all rows of the input, so a launch takes bytes(W) / bandwidth as long as its arithmetic,
// 2 · batch · outputs · columns operations and the unpacking, takes less: that is the case for up to about 4 rows of
// 4-bit weights and 8 rows of 16-bit weights on Apple GPUs (about 30 f32 operations for a byte of memory traffic).
// Bytes that lanes load of a block, counted by the emulator (tests/gemv.rs), beside the block's own. Quants are loaded
// by one lane each; lanes of a block share its header, which costs an access of the cache and not of memory:
//
//   F16 BF16     2 of 2          Q8_0   36 of 34     Q4_K   256 of 144     Q6_K   288 of 210
//   F32          4 of 4          Q4_0   18 of 18     Q5_K   384 of 176
//
// and of the input 4 · columns · batch for every ROWS outputs; no threadgroup memory, no barrier, one simd_sum for each
// output. Not tried yet on a GPU: the input by way of threadgroup memory (its lanes read 64 bytes apart here), columns
// parted among simdgroups for matrices of a few hundred rows, more rows a simdgroup for heads.
//
// One simdgroup computes ROWS rows of W for all rows of the input. Its 32 lanes go along the rows together:
//
//   lane          0        1        2            31       0
//   row of W   [packet 0][packet 1][packet 2]…[packet 31][packet 32]…     the same for each of ROWS rows
//   input      [· x of packet 0 ·][· x of packet 1 ·]…                    read once for ROWS rows, from the cache
//
// A *packet* is what one lane reads of a row at once: about 16 bytes of quants, and their scales. Neighbouring lanes
// read neighbouring packets, so a simdgroup's loads are whole cache lines; all loads of a round, ROWS packets a lane,
// are issued before the first is used. A packet is unpacked a part at a time, and each part is multiplied with all rows
// of the input, so a large batch costs sums (ROWS x BATCH registers) but no second unpacking.
//
// A packet is a struct with
//
//   ELEMENTS  elements of the row in a packet         PARTS     parts that it is unpacked in
//   VECTORS   float4 in a part                        TAIL      whether rows may end within a packet (plain formats)
//   Raw       what is loaded                          Weights   a part, unpacked: see the end of weights.h
//   row(matrix, index, columns)     → Row             fetch(row, packet) → Raw
//   column(packet, part)            → the part's first column
//   unpack(raw, packet, part)       → Weights
//   input4(row of the input, column) → float4         tail(row, column)  → one element
//
// Order of additions: lane l adds up packets l, l + 32, …, part by part, and then simd_sum adds the lanes. Nothing of
// it depends on ROWS or BATCH, and products that are added are written as fma: a row's result has the same bits in
// whatever batch it is computed, where the compiler keeps to the order that is written (Metal's math mode `safe`).
// Twin: wootz_backend::cpu::reference::linear on the decoded matrix.
#pragma once
#include "common/format.h"
#include "common/weights.h"

// sums[r][m] = the lane's share of rows[r] · input[m]. Rows of the input from `batch` on repeat the last.
template <typename Packet, uint ROWS, uint BATCH>
inline void gemv_lane_sums(
    thread const Row* rows, device const float* input, uint columns, uint batch, uint lane,
    thread float (&sums)[ROWS][BATCH])
{
    device const float* inputs[BATCH];
    for (uint m = 0; m < BATCH; m++) {
        inputs[m] = input + ulong(min(m, batch - 1)) * columns;
        for (uint r = 0; r < ROWS; r++) sums[r][m] = 0.0f;
    }
    for (uint packet = lane; packet < columns / Packet::ELEMENTS; packet += 32) {
        typename Packet::Raw raw[ROWS];
        for (uint r = 0; r < ROWS; r++) raw[r] = Packet::fetch(rows[r], packet);
        for (uint part = 0; part < Packet::PARTS; part++) {
            typename Packet::Weights weights[ROWS];
            for (uint r = 0; r < ROWS; r++) weights[r] = Packet::unpack(raw[r], packet, part);
            const uint column = Packet::column(packet, part);
            for (uint m = 0; m < BATCH; m++) {
                float4 x[Packet::VECTORS];
                float4 total = float4(0.0f);
                for (uint i = 0; i < Packet::VECTORS; i++) {
                    x[i] = Packet::input4(inputs[m], column + 4 * i);
                    total += x[i];
                }
                const float x_total = (total.x + total.y) + (total.z + total.w);
                for (uint r = 0; r < ROWS; r++) sums[r][m] = add_products(weights[r], x, x_total, sums[r][m]);
            }
        }
    }
    if (Packet::TAIL) {
        const uint column = columns / Packet::ELEMENTS * Packet::ELEMENTS + lane;
        if (column < columns) {
            for (uint r = 0; r < ROWS; r++) {
                const float weight = Packet::tail(rows[r], column);
                for (uint m = 0; m < BATCH; m++) sums[r][m] = fma(weight, inputs[m][column], sums[r][m]);
            }
        }
    }
}

// Adds up the lanes. Lane m · ROWS + r gets the sum of rows[r] and input m, so that one store writes them all.
template <uint ROWS, uint BATCH>
inline float gemv_own_sum(thread const float (&sums)[ROWS][BATCH], uint lane) {
    float own = 0.0f;
    for (uint m = 0; m < BATCH; m++) {
        for (uint r = 0; r < ROWS; r++) {
            const float sum = simd_sum(sums[r][m]);
            if (lane == m * ROWS + r) own = sum;
        }
    }
    return own;
}

// Grid: x over groups of (simdgroups of a threadgroup) · ROWS outputs.
template <typename Packet, uint ROWS, uint BATCH>
kernel void gemv(
    device const float* input       [[buffer(0)]],   // [batch, columns]
    device const uchar* data        [[buffer(1)]],   // W: see common/format.h
    device const uchar* scales      [[buffer(2)]],
    device const uchar* biases      [[buffer(3)]],
    device const float* bias        [[buffer(4)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(5)]],   // [batch, outputs]
    constant GemvArguments& args    [[buffer(6)]],
    uint group       [[threadgroup_position_in_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    const uint first = (group * simdgroups + simdgroup) * ROWS;
    if (first >= args.outputs) return;   // the whole simdgroup
    const Matrix matrix = { data, scales, biases };
    Row rows[ROWS];
    for (uint r = 0; r < ROWS; r++) rows[r] = Packet::row(matrix, min(first + r, args.outputs - 1), args.columns);
    float sums[ROWS][BATCH];
    gemv_lane_sums<Packet, ROWS, BATCH>(rows, input, args.columns, args.batch, lane, sums);
    const float own = gemv_own_sum<ROWS, BATCH>(sums, lane);
    const uint m = lane / ROWS, n = first + lane % ROWS;
    if (m < min(args.batch, BATCH) && n < args.outputs) {
        out[m * args.outputs + n] = args.has_bias != 0 ? own + bias[n] : own;
    }
}

#define GEMV_ENTRY(entry, kernel_name, Packet, ROWS, BATCH)                                                             \
    template [[host_name(entry)]] kernel decltype(kernel_name<Packet, ROWS, BATCH>) kernel_name<Packet, ROWS, BATCH>;

// For formats that models are made of: a kernel for up to 1, 2, 4 and 8 rows. From 4 on two rows of W a simdgroup, for
// else the sums and unpacked weights would take more than 128 registers.
#define GEMV_INSTANTIATE(name, Packet)                                                                                  \
    GEMV_ENTRY("gemv_" name, gemv, Packet, 4, 1)                                                                        \
    GEMV_ENTRY("gemv2_" name, gemv, Packet, 4, 2)                                                                       \
    GEMV_ENTRY("gemv4_" name, gemv, Packet, 2, 4)                                                                       \
    GEMV_ENTRY("gemv8_" name, gemv, Packet, 2, 8)

// For every other format: up to 1 and 8 rows.
#define GEMV_INSTANTIATE_RARE(name, Packet)                                                                             \
    GEMV_ENTRY("gemv_" name, gemv, Packet, 4, 1)                                                                        \
    GEMV_ENTRY("gemv8_" name, gemv, Packet, 2, 8)
