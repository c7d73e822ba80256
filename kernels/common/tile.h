// Tiles: small matrices that a simdgroup holds together, and the matrix unit behind them.
//
// A tile's elements are spread over the 32 lanes of a simdgroup, in blocks of 8x8, of which a lane holds two neighbours of
// a row. Kernels name what they do (fill, load, multiply, reduce rows, store) and never the matrix unit, so that another one
// can stand behind the same names:
//
//   Apple    tile_simdgroup.h   a block is a simdgroup_matrix<T, 8, 8>
//   NVIDIA   tile_mma.h         two blocks above each other are the 16x8 sums of an mma.sync
//
// (Apple's M5 has Metal 4's tensor operations, which work on whole tiles of another kind: gemm_tensor.h.)
//
// Which lane holds which element differs, and only those two files know it. This is why the right factor has a type of
// its own (NVIDIA spreads it differently), and why rows of sums should be a multiple of 16 where a kernel can choose.
//
// Every function here is collective: all 32 lanes of a simdgroup call it together.
#pragma once
#include <metal_stdlib>
using namespace metal;
#ifdef MSL_PTX
#include "common/tile_mma_multiply.h"
#else
#include "common/tile_simdgroup.h"
#endif

// A number for each row of a tile: a lane holds those of the rows that it has elements of.
template <short Rows>
struct TileRows {
    float block[Rows / 8];
};

// ---- elements ---------------------------------------------------------------------------------------------------

template <typename T, short Rows, short Columns>
inline void tile_fill(thread Tile<T, Rows, Columns>& tile, T value) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            for (short k = 0; k < 2; k++) block_put(tile.block[i][j], k, value);
}

// The same elements in another type.
template <typename T, typename S, short Rows, short Columns>
inline void tile_convert(thread Tile<T, Rows, Columns>& to, thread Tile<S, Rows, Columns>& from) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            for (short k = 0; k < 2; k++) block_put(to.block[i][j], k, T(block_element(from.block[i][j], k)));
}

// ---- rows -------------------------------------------------------------------------------------------------------

// The largest element of each row.
template <short Rows, short Columns>
inline void tile_row_max(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++) {
        float most = -INFINITY;
        for (short j = 0; j < Columns / 8; j++) {
            most = max(most, block_element(tile.block[i][j], 0));
            most = max(most, block_element(tile.block[i][j], 1));
        }
        most = max(most, simd_shuffle_xor(most, ROW_LANE_FIRST));
        rows.block[i] = max(most, simd_shuffle_xor(most, ROW_LANE_SECOND));
    }
}

// The sum of each row.
template <short Rows, short Columns>
inline void tile_row_sum(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++) {
        float sum = 0.0f;
        for (short j = 0; j < Columns / 8; j++)
            sum += block_element(tile.block[i][j], 0) + block_element(tile.block[i][j], 1);
        sum += simd_shuffle_xor(sum, ROW_LANE_FIRST);
        rows.block[i] = sum + simd_shuffle_xor(sum, ROW_LANE_SECOND);
    }
}

// Multiplies each row by its number.
template <short Rows, short Columns>
inline void tile_scale_rows(thread Tile<float, Rows, Columns>& tile, thread TileRows<Rows>& rows) {
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            for (short k = 0; k < 2; k++)
                block_put(tile.block[i][j], k, block_element(tile.block[i][j], k) * rows.block[i]);
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
