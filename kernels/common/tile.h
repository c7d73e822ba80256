// Tiles: small matrices that a simdgroup holds together, and the matrix unit behind them.
//
// A tile's elements are spread over the 32 lanes of a simdgroup, in blocks of 8x8. Kernels name what they do (fill,
// load, multiply, reduce rows, store) and never the matrix unit, so that another one can stand behind the same names:
//
//   Apple M1 to M4   a block is a simdgroup_matrix<T, 8, 8>
//   Apple M5         Metal 4 tensor operations work on the whole tile
//   NVIDIA           mma.sync: two blocks above each other are one 16x8 accumulator, whose lanes hold two neighbours
//                    of a row in each block, as here; only which lane holds which differs (tile_row, tile_column)
//
// This is why the right factor has a type of its own (NVIDIA spreads it differently), why rows of sums should be a
// multiple of 16 where a kernel can choose, and why nothing but this file may know where an element lies:
//
//   lane    0  1 | 8  9      Apple's 8x8 block: a lane holds two neighbours of a row,
//           2  3 |10 11      so the row is bits 1, 2 and 4 of the lane's number,
//           4  5 |12 13      the pair in the row bits 0 and 3.
//           6  7 |14 15      A row is held by four lanes: those that differ in bits 0 and 3.
//          16 17 |24 25
//           ...
//
// Every function here is collective: all 32 lanes of a simdgroup call it together.
#pragma once
#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

// A left factor, or sums: [Rows, Columns].
template <typename T, short Rows, short Columns>
struct Tile {
    simdgroup_matrix<T, 8, 8> block[Rows / 8][Columns / 8];
};

// A right factor: [Depth, Columns].
template <typename T, short Depth, short Columns>
struct RightTile {
    simdgroup_matrix<T, 8, 8> block[Depth / 8][Columns / 8];
};

// A number for each row of a tile: a lane holds those of the rows that it has elements of.
template <short Rows>
struct TileRows {
    float block[Rows / 8];
};

// The row, within its block, of this lane's elements.
inline ushort tile_row(ushort lane) { return ((lane >> 2) & 4) | ((lane >> 1) & 3); }

// The column, within its block, of this lane's first element; the second is beside it.
inline ushort tile_column(ushort lane) { return ((lane >> 1) & 4) | ((lane & 1) << 1); }

// ---- fill, load, store ------------------------------------------------------------------------------------------

template <typename T, short Rows, short Columns>
inline void tile_fill(thread Tile<T, Rows, Columns>& tile, T value) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) tile.block[i][j] = make_filled_simdgroup_matrix<T, 8, 8>(value);
}

// Element [r][c] is source[r * stride + c].
template <typename T, short Rows, short Columns>
inline void tile_load(thread Tile<T, Rows, Columns>& tile, const threadgroup T* source, uint stride) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * i * stride + 8 * j, stride);
}
template <typename T, short Rows, short Columns>
inline void tile_load(thread Tile<T, Rows, Columns>& tile, const device T* source, uint stride) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * i * stride + 8 * j, stride);
}

// Element [d][c] is source[d * stride + c].
template <typename T, short Depth, short Columns>
inline void tile_load(thread RightTile<T, Depth, Columns>& tile, const threadgroup T* source, uint stride) {
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * i * stride + 8 * j, stride);
}
template <typename T, short Depth, short Columns>
inline void tile_load(thread RightTile<T, Depth, Columns>& tile, const device T* source, uint stride) {
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * i * stride + 8 * j, stride);
}

// Element [d][c] is source[c * stride + d]: a matrix that lies transposed, as weights [outputs, inputs] do.
template <typename T, short Depth, short Columns>
inline void tile_load_transposed(thread RightTile<T, Depth, Columns>& tile, const threadgroup T* source, uint stride) {
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * j * stride + 8 * i, stride, ulong2(0, 0), true);
}
template <typename T, short Depth, short Columns>
inline void tile_load_transposed(thread RightTile<T, Depth, Columns>& tile, const device T* source, uint stride) {
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + 8 * j * stride + 8 * i, stride, ulong2(0, 0), true);
}

// target[r * stride + c] becomes element [r][c].
template <typename T, short Rows, short Columns>
inline void tile_store(thread Tile<T, Rows, Columns>& tile, threadgroup T* target, uint stride) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_store(tile.block[i][j], target + 8 * i * stride + 8 * j, stride);
}
template <typename T, short Rows, short Columns>
inline void tile_store(thread Tile<T, Rows, Columns>& tile, device T* target, uint stride) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_store(tile.block[i][j], target + 8 * i * stride + 8 * j, stride);
}

// The same elements in another type.
template <typename T, typename S, short Rows, short Columns>
inline void tile_convert(thread Tile<T, Rows, Columns>& to, thread Tile<S, Rows, Columns>& from) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            to.block[i][j].thread_elements()[0] = T(from.block[i][j].thread_elements()[0]);
            to.block[i][j].thread_elements()[1] = T(from.block[i][j].thread_elements()[1]);
        }
}

// ---- the matrix unit --------------------------------------------------------------------------------------------

// sums += left · right. Depth is added in blocks of 8, in ascending order, so that two kernels that walk the same depth
// in the same direction get the same bits whatever their tiles.
template <typename T, short Rows, short Depth, short Columns>
inline void tile_multiply_add(thread Tile<float, Rows, Columns>& sums,
                              thread Tile<T, Rows, Depth>& left,
                              thread RightTile<T, Depth, Columns>& right) {
    for (short k = 0; k < Depth / 8; k++)
        for (short i = 0; i < Rows / 8; i++)
            for (short j = 0; j < Columns / 8; j++)
                simdgroup_multiply_accumulate(sums.block[i][j], left.block[i][k], right.block[k][j], sums.block[i][j]);
}

// ---- rows -------------------------------------------------------------------------------------------------------

// The largest element of each row.
template <short Rows, short Columns>
inline void tile_row_max(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++) {
        float most = -INFINITY;
        for (short j = 0; j < Columns / 8; j++) {
            most = max(most, tile.block[i][j].thread_elements()[0]);
            most = max(most, tile.block[i][j].thread_elements()[1]);
        }
        most = max(most, simd_shuffle_xor(most, ushort(1)));
        rows.block[i] = max(most, simd_shuffle_xor(most, ushort(8)));
    }
}

// The sum of each row.
template <short Rows, short Columns>
inline void tile_row_sum(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++) {
        float sum = 0.0f;
        for (short j = 0; j < Columns / 8; j++)
            sum += tile.block[i][j].thread_elements()[0] + tile.block[i][j].thread_elements()[1];
        sum += simd_shuffle_xor(sum, ushort(1));
        rows.block[i] = sum + simd_shuffle_xor(sum, ushort(8));
    }
}

// Multiplies each row by its number.
template <short Rows, short Columns>
inline void tile_scale_rows(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            tile.block[i][j].thread_elements()[0] *= rows.block[i];
            tile.block[i][j].thread_elements()[1] *= rows.block[i];
        }
}

// Row r's number is source[r].
template <short Rows>
inline void tile_rows_load(thread TileRows<Rows>& rows, const threadgroup float* source, ushort lane) {
    for (short i = 0; i < Rows / 8; i++) rows.block[i] = source[8 * i + tile_row(lane)];
}

// Whether any row's number is another one; the same answer in every lane.
template <short Rows>
inline bool tile_rows_any_not(thread TileRows<Rows>& rows, float value) {
    bool found = false;
    for (short i = 0; i < Rows / 8; i++) found = found || rows.block[i] != value;
    return simd_any(found);
}
