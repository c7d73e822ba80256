// Tiles on Apple's matrix unit. common/tile.h has the story.
//
//   lane    0  1 | 8  9      A block: a lane holds two neighbours of a row,
//           2  3 |10 11      so the row is bits 1, 2 and 4 of the lane's number,
//           4  5 |12 13      the pair in the row bits 0 and 3.
//           6  7 |14 15      A row is held by four lanes: those that differ in bits 0 and 3.
//          16 17 |24 25
//           ...
#pragma once
#include <metal_simdgroup_matrix>

template <typename T> using TileBlock = simdgroup_matrix<T, 8, 8>;
template <typename T> using RightBlock = simdgroup_matrix<T, 8, 8>;

// The depth of a product that the matrix unit takes at once.
constant constexpr short MATRIX_DEPTH = 8;

// The row, within its block, of this lane's elements.
inline ushort tile_row(ushort lane) { return ((lane >> 2) & 4) | ((lane >> 1) & 3); }

// The column, within its block, of this lane's first element; the second is beside it.
inline ushort tile_column(ushort lane) { return ((lane >> 1) & 4) | ((lane & 1) << 1); }

// The lanes that hold the same row differ in these bits.
constant constexpr ushort ROW_LANE_FIRST = 1, ROW_LANE_SECOND = 8;

// This lane's elements of a block.
template <typename T>
inline T block_element(thread TileBlock<T>& block, short i) { return block.thread_elements()[i]; }
template <typename T>
inline void block_put(thread TileBlock<T>& block, short i, T value) { block.thread_elements()[i] = value; }

// A left factor, or sums: [Rows, Columns].
template <typename T, short Rows, short Columns>
struct Tile {
    TileBlock<T> block[Rows / 8][Columns / 8];
};

// A right factor: [Depth, Columns].
template <typename T, short Depth, short Columns>
struct RightTile {
    RightBlock<T> block[Depth / 8][Columns / 8];
};

// ---- load, store ------------------------------------------------------------------------------------------------

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

// Element [r][c] is source[(c / 8 * slab_rows + r) * 8 + c % 8]: slabs of 8 columns, each [slab_rows, 8].
template <typename T, short Rows, short Columns>
inline void tile_load_slabs(thread Tile<T, Rows, Columns>& tile, const threadgroup T* source, uint slab_rows) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) simdgroup_load(tile.block[i][j], source + (j * slab_rows + 8 * i) * 8, 8);
}
// The same of a matrix that lies transposed: element [d][c] is source[(d / 8 * slab_rows + c) * 8 + d % 8].
template <typename T, short Depth, short Columns>
inline void tile_load_slabs_transposed(thread RightTile<T, Depth, Columns>& tile, const threadgroup T* source, uint slab_rows) {
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            simdgroup_load(tile.block[i][j], source + (i * slab_rows + 8 * j) * 8, 8, ulong2(0, 0), true);
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
