// Tiles on NVIDIA's matrix unit. common/tile.h has the story.
//
//   lane     0  0 |  1  1 |  2  2 |  3  3      A block of a left factor or of sums: lane l holds columns 2 (l % 4) and the
//            4  4 |  5  5 |  6  6 |  7  7      next of row l / 4. A block of a right factor is held as if it lay transposed:
//            8  8 | ...                        rows 2 (l % 4) and the next of column l / 4.
//
// So two blocks above each other are the 16x8 sums of one mma.sync, two side by side below those its left factor of 16x16, and
// two right ones above each other its right factor of 16x8. The instruction numbers the 8 or 16 steps of the depth in its
// own way; as both factors are held alike, that only changes the order in which it adds.
#pragma once

// A lane's two elements.
template <typename T> struct TileBlock { vec<T, 2> elements; };
template <typename T> struct RightBlock { vec<T, 2> elements; };

// The depth of a product that the matrix unit takes at once.
constant constexpr short MATRIX_DEPTH = 16;

// The row, within its block, of this lane's elements.
inline ushort tile_row(ushort lane) { return lane >> 2; }

// The column, within its block, of this lane's first element; the second is beside it.
inline ushort tile_column(ushort lane) { return (lane & 3) << 1; }

// The lanes that hold the same row differ in these bits.
constant constexpr ushort ROW_LANE_FIRST = 1, ROW_LANE_SECOND = 2;

// This lane's elements of a block.
template <typename T>
inline T block_element(thread TileBlock<T>& block, short i) { return block.elements[i]; }
template <typename T>
inline void block_put(thread TileBlock<T>& block, short i, T value) { block.elements[i] = value; }

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

// Two neighbours: one access, where they lie at a multiple of their size, as all tiles' elements do.
template <typename T, typename Pointer>
inline vec<T, 2> pair_at(Pointer source) { return vec<T, 2>(source[0], source[1]); }

// Element [r][c] is source[r * stride + c].
template <typename T, short Rows, short Columns, typename Pointer>
inline void tile_load_from(thread Tile<T, Rows, Columns>& tile, Pointer source, uint stride) {
    const uint lane = msl_lane();
    source += tile_row(lane) * stride + tile_column(lane);
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            tile.block[i][j].elements = pair_at<T>(source + 8 * i * stride + 8 * j);
}
template <typename T, short Rows, short Columns>
inline void tile_load(thread Tile<T, Rows, Columns>& tile, const threadgroup T* source, uint stride) {
    tile_load_from(tile, source, stride);
}
template <typename T, short Rows, short Columns>
inline void tile_load(thread Tile<T, Rows, Columns>& tile, const device T* source, uint stride) {
    tile_load_from(tile, source, stride);
}
// Blocks of 16-bit elements in threadgroup memory: each lane names the beginning of a row of 8, and up to four blocks
// come at once.
template <short Rows, short Columns>
inline void tile_load(thread Tile<half, Rows, Columns>& tile, const threadgroup half* source, uint stride) {
    const uint lane = msl_lane();
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j += 2) {
            const uint block = j + 1 < Columns / 8 ? lane / 8 % 2 : 0;
            const uint2 words = msl_load_blocks2(source + (8 * i + lane % 8) * stride + 8 * (j + block));
            tile.block[i][j].elements = as_type<half2>(words.x);
            if (j + 1 < Columns / 8) tile.block[i][j + 1].elements = as_type<half2>(words.y);
        }
}

// Element [d][c] is source[d * stride + c].
template <typename T, short Depth, short Columns, typename Pointer>
inline void right_load_from(thread RightTile<T, Depth, Columns>& tile, Pointer source, uint stride) {
    const uint lane = msl_lane();
    source += tile_column(lane) * stride + tile_row(lane);
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            const Pointer at = source + 8 * i * stride + 8 * j;
            tile.block[i][j].elements = vec<T, 2>(at[0], at[stride]);
        }
}
template <typename T, short Depth, short Columns>
inline void tile_load(thread RightTile<T, Depth, Columns>& tile, const threadgroup T* source, uint stride) {
    right_load_from(tile, source, stride);
}
template <typename T, short Depth, short Columns>
inline void tile_load(thread RightTile<T, Depth, Columns>& tile, const device T* source, uint stride) {
    right_load_from(tile, source, stride);
}
// Rows are read in pairs, which is half the accesses, and transposed between the lanes.
template <short Depth, short Columns>
inline void tile_load(thread RightTile<half, Depth, Columns>& tile, const device half* source, uint stride) {
    const uint lane = msl_lane();
    source += tile_row(lane) * stride + tile_column(lane);
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            const uint word = *(const device uint*)(source + 8 * i * stride + 8 * j);
            tile.block[i][j].elements = as_type<half2>(msl_transpose_block(word));
        }
}

// Element [d][c] is source[c * stride + d]: a matrix that lies transposed, as weights [outputs, inputs] do.
template <typename T, short Depth, short Columns, typename Pointer>
inline void right_load_transposed_from(thread RightTile<T, Depth, Columns>& tile, Pointer source, uint stride) {
    const uint lane = msl_lane();
    source += tile_row(lane) * stride + tile_column(lane);
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            tile.block[i][j].elements = pair_at<T>(source + 8 * j * stride + 8 * i);
}
template <typename T, short Depth, short Columns>
inline void tile_load_transposed(thread RightTile<T, Depth, Columns>& tile, const threadgroup T* source, uint stride) {
    right_load_transposed_from(tile, source, stride);
}
template <typename T, short Depth, short Columns>
inline void tile_load_transposed(thread RightTile<T, Depth, Columns>& tile, const device T* source, uint stride) {
    right_load_transposed_from(tile, source, stride);
}

// target[r * stride + c] becomes element [r][c].
template <typename T, short Rows, short Columns, typename Pointer>
inline void tile_store_to(thread Tile<T, Rows, Columns>& tile, Pointer target, uint stride) {
    const uint lane = msl_lane();
    target += tile_row(lane) * stride + tile_column(lane);
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++) {
            const Pointer at = target + 8 * i * stride + 8 * j;
            at[0] = tile.block[i][j].elements.x;
            at[1] = tile.block[i][j].elements.y;
        }
}
template <typename T, short Rows, short Columns>
inline void tile_store(thread Tile<T, Rows, Columns>& tile, threadgroup T* target, uint stride) {
    tile_store_to(tile, target, stride);
}
template <typename T, short Rows, short Columns>
inline void tile_store(thread Tile<T, Rows, Columns>& tile, device T* target, uint stride) {
    tile_store_to(tile, target, stride);
}

// Element [r][c] is source[(c / 8 * slab_rows + r) * 8 + c % 8]: slabs of 8 columns, each [slab_rows, 8]. A block is 128
// neighbouring bytes.
template <short Rows, short Columns>
inline void tile_load_slabs(thread Tile<half, Rows, Columns>& tile, const threadgroup half* source, uint slab_rows) {
    const uint lane = msl_lane();
    if (Rows % 16 == 0) {
        // The four blocks of a left factor: two below each other, in two slabs.
        source += lane % 16 * 8 + lane / 16 * slab_rows * 8;
        for (short i = 0; i < Rows / 8; i += 2)
            for (short j = 0; j < Columns / 8; j += 2) {
                const uint4 words = msl_load_blocks4(source + (j * slab_rows + 8 * i) * 8);
                tile.block[i][j].elements = as_type<half2>(words.x);
                tile.block[i + 1][j].elements = as_type<half2>(words.y);
                tile.block[i][j + 1].elements = as_type<half2>(words.z);
                tile.block[i + 1][j + 1].elements = as_type<half2>(words.w);
            }
    } else {
        source += lane % 8 * 8 + lane / 8 % 2 * slab_rows * 8;
        for (short i = 0; i < Rows / 8; i++)
            for (short j = 0; j < Columns / 8; j += 2) {
                const uint2 words = msl_load_blocks2(source + (j * slab_rows + 8 * i) * 8);
                tile.block[i][j].elements = as_type<half2>(words.x);
                tile.block[i][j + 1].elements = as_type<half2>(words.y);
            }
    }
}
template <short Rows, short Columns>
inline void tile_load_slabs(thread Tile<float, Rows, Columns>& tile, const threadgroup float* source, uint slab_rows) {
    const uint lane = msl_lane();
    source += tile_row(lane) * 8 + tile_column(lane);
    for (short i = 0; i < Rows / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            tile.block[i][j].elements = pair_at<float>(source + (j * slab_rows + 8 * i) * 8);
}
// The same of a matrix that lies transposed: element [d][c] is source[(d / 8 * slab_rows + c) * 8 + d % 8].
template <short Depth, short Columns>
inline void tile_load_slabs_transposed(thread RightTile<half, Depth, Columns>& tile, const threadgroup half* source,
                                       uint slab_rows) {
    const uint lane = msl_lane();
    if (Columns % 16 == 0) {
        source += (lane & 7) * 8 + (lane / 8 & 1) * slab_rows * 8 + lane / 16 * 64;
        for (short i = 0; i < Depth / 8; i += 2)
            for (short j = 0; j < Columns / 8; j += 2) {
                const uint4 words = msl_load_blocks4(source + (i * slab_rows + 8 * j) * 8);
                tile.block[i][j].elements = as_type<half2>(words.x);
                tile.block[i + 1][j].elements = as_type<half2>(words.y);
                tile.block[i][j + 1].elements = as_type<half2>(words.z);
                tile.block[i + 1][j + 1].elements = as_type<half2>(words.w);
            }
    } else {
        source += (lane & 7) * 8 + (lane / 8 & 1) * slab_rows * 8;
        for (short i = 0; i < Depth / 8; i += 2)
            for (short j = 0; j < Columns / 8; j++) {
                const uint2 words = msl_load_blocks2(source + (i * slab_rows + 8 * j) * 8);
                tile.block[i][j].elements = as_type<half2>(words.x);
                tile.block[i + 1][j].elements = as_type<half2>(words.y);
            }
    }
}
template <short Depth, short Columns>
inline void tile_load_slabs_transposed(thread RightTile<float, Depth, Columns>& tile, const threadgroup float* source,
                                       uint slab_rows) {
    const uint lane = msl_lane();
    source += tile_row(lane) * 8 + tile_column(lane);
    for (short i = 0; i < Depth / 8; i++)
        for (short j = 0; j < Columns / 8; j++)
            tile.block[i][j].elements = pair_at<float>(source + (i * slab_rows + 8 * j) * 8);
}
