// The tile of a matrix product that one threadgroup computes. kernels/common/gemm.h has the story, and the kernels.
//
//   out[m, n] = input[m, :] · W[n, :] (+ bias[n])
//
// Columns (the depth of the product) are walked in steps of 64 bytes of T: 32 columns of f16, 16 of f32. In threadgroup
// memory a step is slabs of 8 columns, each [rows, 8]: an 8x8 block of the matrix unit is 64 neighbouring elements, so
// blocks are read without bank conflicts and without padding, and a thread that has decoded 16 elements of a row stores
// them as two pieces of 8, each beside that of the next row.
//
//            slab 0      slab 1      slab 2      slab 3
//   row 0   k0 .. k7   | k8 .. k15 | k16..k23  | k24..k31      a thread decodes k0..k15 or k16..k31 of a row
//   row 1   k0 .. k7   | ...
#pragma once
#include "common/format.h"
#include "common/tile.h"

// What is computed: rows row .. row_end of the input (at most Rows of them), outputs from `output` on, summed over
// columns column .. column_end. Output n is row matrix_row + n of the matrix: experts lie one after another.
struct GemmTask {
    uint row, row_end;
    uint output;
    uint column, column_end;
    uint matrix_row;
};

// Sizes that follow from a tile of Rows x Outputs, whose sums are shared out to a grid of Down x Across simdgroups.
template <typename T, short Rows, short Outputs, short Down, short Across>
struct GemmShape {
    enum : uint {
        rows = Rows,
        outputs = Outputs,
        across = Across,
        rows_each = Rows / Down,                                       // of a simdgroup
        outputs_each = Outputs / Across,
        threads = 32 * Down * Across,
        depth = 64 / sizeof(T),
        groups = 4 / sizeof(T),                                        // of 16 columns: depth / 16
        input_pieces = (4 / sizeof(T) * Rows + 32 * Down * Across - 1) / (32 * Down * Across),   // of a thread
        weight_pieces = (4 / sizeof(T) * Outputs + 32 * Down * Across - 1) / (32 * Down * Across),
        input_elements = Rows * (64 / sizeof(T)),
        step_elements = (Rows + Outputs) * (64 / sizeof(T)),
        // In float4: two steps, of which one is read while the other is written; at the end, the sums.
        memory = 8 * (Rows + Outputs) > Rows * Outputs / 4 ? 8 * (Rows + Outputs) : Rows * Outputs / 4,
    };
};

// Sixteen elements of a row, from column 16 · group of the step on.
inline void store_piece(threadgroup half* step, uint rows, uint row, uint group, thread const float4* values) {
    threadgroup half* at = step + (2 * group * rows + row) * 8;
    for (ushort i = 0; i < 2; i++) {
        const half4 first = half4(values[2 * i]), second = half4(values[2 * i + 1]);
        *(threadgroup uint4*)(at + i * rows * 8) = uint4(as_type<uint2>(first), as_type<uint2>(second));
    }
}
inline void store_piece(threadgroup float* step, uint rows, uint row, uint group, thread const float4* values) {
    threadgroup float* at = step + (2 * group * rows + row) * 8;
    for (ushort i = 0; i < 4; i++) *(threadgroup float4*)(at + (i / 2) * rows * 8 + (i % 2) * 4) = values[i];
}

// ---- a row's own power of two -----------------------------------------------------------------------------------

// Activations are f32 and may exceed 65504, the largest f16. So each row of a tile has a power of two that it is
// multiplied with before it is rounded, found as the row is read: its first columns that are not all zero go to
// 2^8 .. 2^9, and when later ones would exceed 2^15 the power shrinks and the row's sums so far shrink with it.
// Powers of two round nothing, so this changes the range and not the result.
struct RowScale {
    float limit;     // the largest magnitude that `scale` is good for
    float scale;
    float inverse;
};

// Takes in columns of magnitude up to `most`; what the sums so far are to be multiplied with.
inline float adapt(thread RowScale& row, float most) {
    if (!(most > row.limit)) return 1.0f;
    const uint exponent = as_type<uint>(most) >> 23;
    const uint field = min(262u - exponent, 253u);
    const float scale = as_type<float>(field << 23);
    const float factor = scale * row.inverse;
    row.limit = as_type<float>(min(exponent + 7u, 255u) << 23);
    row.scale = scale;
    row.inverse = as_type<float>((254u - field) << 23);
    return factor;
}

inline float most_of(thread const float4* values) {
    const float4 most = max(max(abs(values[0]), abs(values[1])), max(abs(values[2]), abs(values[3])));
    return max(max(most.x, most.y), max(most.z, most.w));
}

// ---- one step of one thread -------------------------------------------------------------------------------------

// Reads this thread's pieces of the input's step at `column`; what lies outside is zero.
template <typename Shape>
inline void fetch_input(device const float* input, GemmTask task, uint columns, uint column, uint thread_id,
                        thread float4* values) {
    for (uint i = 0; i < Shape::input_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads;
        const uint row = task.row + piece / Shape::groups, first = column + piece % Shape::groups * 16;
        const bool inside = piece < Shape::rows * Shape::groups && row < task.row_end && first < task.column_end;
        const ulong place = inside ? ulong(row) * columns + first : 0;
        device const packed_float4* source = (device const packed_float4*)(input + place);
        for (ushort j = 0; j < 4; j++) values[4 * i + j] = inside ? float4(source[j]) : float4(0.0f);
    }
}

// Reads and decodes this thread's pieces of the matrix's step at `column`.
template <typename Format, typename Shape>
inline void fetch_weights(Matrix matrix, GemmTask task, uint outputs, uint columns, uint column, uint thread_id,
                          thread float4* values) {
    for (uint i = 0; i < Shape::weight_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads;
        const uint output = task.output + piece / Shape::groups, first = column + piece % Shape::groups * 16;
        const bool inside = piece < Shape::outputs * Shape::groups && output < outputs && first < task.column_end;
        for (ushort j = 0; j < 4; j++) values[4 * i + j] = float4(0.0f);
        if (inside) Format::load16(Format::row(matrix, task.matrix_row + output, columns), first / 16, values + 4 * i);
    }
}

// Stores the input's pieces, each row times its power of two (f16 only), and what sums so far are to be multiplied
// with.
template <typename T, typename Shape>
inline void put_input(threadgroup T* step, threadgroup float* factors, uint thread_id,
                      thread RowScale* scales,
                      thread float4* values) {
    for (uint i = 0; i < Shape::input_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads, row = piece / Shape::groups;
        if (sizeof(T) == 2) {
            float most = most_of(values + 4 * i);
            most = max(most, simd_shuffle_xor(most, ushort(1)));   // the other half of the row's 32 columns
            const float factor = adapt(scales[i], most);
            for (ushort j = 0; j < 4; j++) values[4 * i + j] *= scales[i].scale;
            if (piece < Shape::rows * Shape::groups && piece % 2 == 0) factors[row] = factor;
        }
        if (piece < Shape::rows * Shape::groups)
            store_piece(step, Shape::rows, row, piece % Shape::groups, values + 4 * i);
    }
}

template <typename T, typename Shape>
inline void put_weights(threadgroup T* step, uint thread_id, thread float4* values) {
    for (uint i = 0; i < Shape::weight_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads;
        if (piece < Shape::outputs * Shape::groups)
            store_piece(step, Shape::outputs, piece / Shape::groups, piece % Shape::groups, values + 4 * i);
    }
}

// ---- the tile ---------------------------------------------------------------------------------------------------

// `memory` has Shape::memory float4, `factors` two for each row. `out` is [.., outputs]; bias is added where there is
// one.
template <typename Format, typename T, typename Shape>
inline void gemm_tile(device const float* input, Matrix matrix, device const float* bias, bool has_bias,
                      device float* out, uint outputs, uint columns, GemmTask task,
                      threadgroup float4* memory, threadgroup float* factors,
                      uint thread_id, uint simdgroup, ushort lane) {
    threadgroup T* steps = (threadgroup T*)memory;
    const uint first_row = simdgroup / Shape::across * Shape::rows_each;
    const uint first_output = simdgroup % Shape::across * Shape::outputs_each;
    float4 inputs[4 * Shape::input_pieces], weights[4 * Shape::weight_pieces];
    RowScale scales[Shape::input_pieces];
    for (uint i = 0; i < Shape::input_pieces; i++) scales[i] = { 0.0f, 1.0f, 1.0f };
    Tile<float, Shape::rows_each, Shape::outputs_each> sums;
    tile_fill(sums, 0.0f);

    fetch_input<Shape>(input, task, columns, task.column, thread_id, inputs);
    fetch_weights<Format, Shape>(matrix, task, outputs, columns, task.column, thread_id, weights);
    uint now = 0;   // the buffer that is read
    put_input<T, Shape>(steps, factors, thread_id, scales, inputs);
    put_weights<T, Shape>(steps + Shape::input_elements, thread_id, weights);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint column = task.column; column < task.column_end; column += Shape::depth) {
        const uint next = column + Shape::depth;
        if (next < task.column_end) {
            fetch_input<Shape>(input, task, columns, next, thread_id, inputs);
            fetch_weights<Format, Shape>(matrix, task, outputs, columns, next, thread_id, weights);
        }
        threadgroup const T* left_step = steps + now * Shape::step_elements;
        threadgroup const T* right_step = left_step + Shape::input_elements;
        if (sizeof(T) == 2) {
            TileRows<Shape::rows_each> change;
            tile_rows_load(change, factors + now * Shape::rows + first_row, lane);
            if (tile_rows_any_not(change, 1.0f)) tile_scale_rows(sums, change);
        }
        for (uint slab = 0; slab < Shape::depth / 8; slab += MATRIX_DEPTH / 8) {
            Tile<T, Shape::rows_each, MATRIX_DEPTH> left;
            RightTile<T, MATRIX_DEPTH, Shape::outputs_each> right;
            tile_load_slabs(left, left_step + (slab * Shape::rows + first_row) * 8, Shape::rows);
            tile_load_slabs_transposed(right, right_step + (slab * Shape::outputs + first_output) * 8, Shape::outputs);
            tile_multiply_add(sums, left, right);
        }
        now ^= 1;
        if (next < task.column_end) {
            threadgroup T* step = steps + now * Shape::step_elements;
            put_input<T, Shape>(step, factors + now * Shape::rows, thread_id, scales, inputs);
            put_weights<T, Shape>(step + Shape::input_elements, thread_id, weights);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    // Out through threadgroup memory, so that rows are written whole and edges need no case of their own.
    threadgroup float* staged = (threadgroup float*)memory;
    tile_store(sums, staged + first_row * Shape::outputs + first_output, Shape::outputs);
    for (uint i = 0; i < Shape::input_pieces; i++) {
        const uint piece = thread_id + i * Shape::threads;
        if (piece < Shape::rows * Shape::groups && piece % Shape::groups == 0)
            factors[piece / Shape::groups] = scales[i].inverse;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_id; i < Shape::rows * Shape::outputs; i += Shape::threads) {
        const uint row = task.row + i / Shape::outputs, output = task.output + i % Shape::outputs;
        if (row < task.row_end && output < outputs) {
            const float sum = staged[i] * factors[i / Shape::outputs];
            out[ulong(row) * outputs + output] = has_bias ? sum + bias[task.matrix_row + output] : sum;
        }
    }
}
