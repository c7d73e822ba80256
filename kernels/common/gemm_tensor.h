// Matrix times many rows, the products by Metal 4's tensor operations. kernels/gemm_tensor.metal has the story.
#pragma once
#include "common/gemm_tile.h"

// An element of a step whose rows lie one after another, [rows, 32], as tensors want them. A type of its own, so that
// put_input and put_weights of gemm_tile.h, for which it is a half, store pieces so.
struct RowElement { half value; };

inline void store_piece(threadgroup RowElement* step, uint rows, uint row, uint group, thread const float4* values) {
    threadgroup uint4* at = (threadgroup uint4*)(step + row * 32 + group * 16);
    for (ushort i = 0; i < 2; i++) {
        const half4 first = half4(values[2 * i]), second = half4(values[2 * i + 1]);
        at[i] = uint4(as_type<uint2>(first), as_type<uint2>(second));
    }
}

// The tile of a threadgroup: 64 rows, 32 outputs, 4 simdgroups.
typedef GemmShape<RowElement, 64, 32, 2, 2> TensorShape;

// Tensors name columns first.
typedef dextents<int32_t, 2> TensorSizes;
typedef tensor<threadgroup half, TensorSizes, tensor_inline> StepTensor;
typedef tensor<threadgroup float, TensorSizes, tensor_inline> SumsTensor;

// Grid: x over tiles of rows, y over tiles of outputs.
template <typename Format>
kernel void gemm_tensor(
    device const float* input       [[buffer(0)]],   // [rows, columns]
    device const uchar* data        [[buffer(1)]],   // W: see common/format.h
    device const uchar* scales      [[buffer(2)]],
    device const uchar* biases      [[buffer(3)]],
    device const float* bias        [[buffer(4)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(5)]],   // [rows, outputs]
    constant GemmArguments& args    [[buffer(6)]],
    uint3 place      [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]])
{
    typedef TensorShape Shape;
    threadgroup float4 memory[Shape::memory];   // two steps, at the end the sums
    threadgroup float factors[2 * Shape::rows];
    threadgroup RowElement* steps = (threadgroup RowElement*)memory;
    const Matrix matrix = { data, scales, biases };
    const GemmTask task = { place.x * Shape::rows, args.rows, place.y * Shape::outputs, 0, args.columns, 0 };
    float4 inputs[4 * Shape::input_pieces], weights[4 * Shape::weight_pieces];
    RowScale powers[Shape::input_pieces];
    for (uint i = 0; i < Shape::input_pieces; i++) powers[i] = { 0.0f, 1.0f, 1.0f };

    // sums [64, 32] += input [64, 32] · W [32, 32] transposed
    constexpr auto descriptor = mpp::tensor_ops::matmul2d_descriptor(64, 32, 32, false, true, false,
        mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate);
    mpp::tensor_ops::matmul2d<descriptor, execution_simdgroups<4>> product;
    auto sums = product.get_destination_cooperative_tensor<StepTensor, StepTensor, float>();
    for (ushort i = 0; i < sums.get_capacity(); i++) {
        if (sums.is_valid_element(i)) sums[i] = 0.0f;
    }

    fetch_input<Shape>(input, task, args.columns, 0, thread_id, inputs);
    fetch_weights<Format, Shape>(matrix, task, args.outputs, args.columns, 0, thread_id, weights);
    uint now = 0;   // the buffer that is read
    put_input<RowElement, Shape>(steps, factors, thread_id, powers, inputs);
    put_weights<RowElement, Shape>(steps + Shape::input_elements, thread_id, weights);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint column = 0; column < args.columns; column += Shape::depth) {
        const uint next = column + Shape::depth;
        if (next < args.columns) {
            fetch_input<Shape>(input, task, args.columns, next, thread_id, inputs);
            fetch_weights<Format, Shape>(matrix, task, args.outputs, args.columns, next, thread_id, weights);
        }
        // A tensor's index is column, then row.
        threadgroup const float* change = factors + now * Shape::rows;
        if (simd_any(change[lane] != 1.0f || change[lane + 32] != 1.0f)) {
            for (ushort i = 0; i < sums.get_capacity(); i++) {
                if (sums.is_valid_element(i)) sums[i] *= change[sums.get_multidimensional_index(i)[1]];
            }
        }
        threadgroup half* step = (threadgroup half*)(steps + now * Shape::step_elements);
        auto left = StepTensor(step, TensorSizes(Shape::depth, Shape::rows));
        auto right = StepTensor(step + Shape::input_elements, TensorSizes(Shape::depth, Shape::outputs));
        product.run(left, right, sums);
        now ^= 1;
        if (next < args.columns) {
            threadgroup RowElement* other = steps + now * Shape::step_elements;
            put_input<RowElement, Shape>(other, factors + now * Shape::rows, thread_id, powers, inputs);
            put_weights<RowElement, Shape>(other + Shape::input_elements, thread_id, weights);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    // Out through threadgroup memory, so that edges need no tensor of their own.
    threadgroup float* staged = (threadgroup float*)memory;
    auto stage = SumsTensor(staged, TensorSizes(Shape::outputs, Shape::rows));
    sums.store(stage);
    for (uint i = 0; i < Shape::input_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads;
        if (piece % Shape::groups == 0) factors[piece / Shape::groups] = powers[i].inverse;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_id; i < Shape::rows * Shape::outputs; i += Shape::threads) {
        const uint row = task.row + i / Shape::outputs, output = task.output + i % Shape::outputs;
        if (row < args.rows && output < args.outputs) {
            const float sum = staged[i] * factors[i / Shape::outputs];
            out[ulong(row) * args.outputs + output] = args.has_bias != 0 ? sum + bias[output] : sum;
        }
    }
}

#define GEMM_TENSOR(name, Format)                                                                                       \
    template [[host_name("gemm_tensor_" name)]] kernel decltype(gemm_tensor<Format>) gemm_tensor<Format>;
