// A few rows times the matrices of their experts, whatever they are stored as.
//
//   out[p, n] = Σ_k input[p / pairs_per_row, k] · W[experts[p]][n, k] (+ bias[experts[p]][n])
//
// W is [experts, outputs, columns], one matrix of experts · outputs rows; a pair p is a row and one of its experts. In
// decode each expert has a row or two, so every pair reads its expert's matrix by itself, as gemv would: no sorting, no
// waiting for other pairs. From about 8 pairs an expert on, sorting and the grouped gemm read less.
//
// Thread map: as in common/gemv.h. A simdgroup computes ROWS outputs of one pair; its lanes go along the rows in packets
// of about 16 bytes, all loads of a round in flight together. x counts groups of outputs, y pairs.
//
// Bytes: pairs · bytes(W) / experts, the pairs' inputs and outputs. FLOPs: 2 · pairs · outputs · columns.
// Numerics: lane l adds up packets l, l + 32, … with fma, then simd_sum adds the lanes: a pair's result does not depend
// on the other pairs. Twin: wootz_gpu::twins::moe::expert_products.
#pragma once
#include "common/format.h"
#include "common/weights.h"

template <typename Packet, uint ROWS>
kernel void moe_gemv(
    device const float* input         [[buffer(0)]],   // [pairs / pairs_per_row, columns]
    device const uchar* data          [[buffer(1)]],   // W: see common/format.h
    device const uchar* scales        [[buffer(2)]],
    device const uchar* biases        [[buffer(3)]],
    device const float* bias          [[buffer(4)]],   // [experts, outputs], read if args.has_bias
    device const uint* experts        [[buffer(5)]],   // [pairs]
    device float* out                 [[buffer(6)]],   // [pairs, outputs]
    constant MoeGemvArguments& args   [[buffer(7)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    const uint first = (group.x * simdgroups + simdgroup) * ROWS;
    if (first >= args.outputs) return;   // the whole simdgroup
    const uint pair = group.y;
    const uint start = experts[pair] * args.outputs;
    const Matrix matrix = { data, scales, biases };
    device const float* x = input + ulong(pair / args.pairs_per_row) * args.columns;
    Row rows[ROWS];
    float sums[ROWS];
    for (uint r = 0; r < ROWS; r++) {
        rows[r] = Packet::row(matrix, start + min(first + r, args.outputs - 1), args.columns);
        sums[r] = 0.0f;
    }
    for (uint packet = lane; packet < args.columns / Packet::ELEMENTS; packet += 32) {
        typename Packet::Raw raw[ROWS];
        for (uint r = 0; r < ROWS; r++) raw[r] = Packet::fetch(rows[r], packet);
        for (uint part = 0; part < Packet::PARTS; part++) {
            const uint column = Packet::column(packet, part);
            float4 values[Packet::VECTORS];
            float4 total = float4(0.0f);
            for (uint i = 0; i < Packet::VECTORS; i++) {
                values[i] = Packet::input4(x, column + 4 * i);
                total += values[i];
            }
            const float sum = (total.x + total.y) + (total.z + total.w);
            for (uint r = 0; r < ROWS; r++) {
                const typename Packet::Weights weights = Packet::unpack(raw[r], packet, part);
                sums[r] = add_products(weights, values, sum, sums[r]);
            }
        }
    }
    if (Packet::TAIL) {
        const uint column = args.columns / Packet::ELEMENTS * Packet::ELEMENTS + lane;
        if (column < args.columns) {
            for (uint r = 0; r < ROWS; r++) sums[r] = fma(Packet::tail(rows[r], column), x[column], sums[r]);
        }
    }
    float own = 0.0f;
    for (uint r = 0; r < ROWS; r++) {
        const float sum = simd_sum(sums[r]);
        if (lane == r) own = sum;
    }
    const uint output = first + lane;
    if (lane < ROWS && output < args.outputs) {
        if (args.has_bias != 0) own += bias[start + output];
        out[ulong(pair) * args.outputs + output] = own;
    }
}

#define MOE_GEMV(name, Packet)                                                                                         \
    template [[host_name("moe_gemv_" name)]] kernel decltype(moe_gemv<Packet, 4>) moe_gemv<Packet, 4>;
