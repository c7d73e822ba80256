// A record of packed weights (common/packed.h) times rows of the input: the step that products of packed matrices are made of.
//
// The unpacked weights are the *left* factor of the matrix unit, straight from registers, and 8 rows of the input the right
// one: 8 rows cost what one costs.
//
//              k: 32 columns of a group
//            +--------------------+
//  outputs   | 0..8               |    rows of the input        Lane 4 g + t has of the input columns 8 t .. 8 t + 8 of row
//  of a      +--------------------+    x [k, 8]                 g. Which column an instruction calls its i-th does not
//  record    | 8..16              |                             matter, as long as both factors agree.
//            +--------------------+
#pragma once
#include "common/packed.h"

// A kernel for some packing, by its name on the host.
#define ENTRY(entry, kernel_name, ...)                                                                                  \
    template [[host_name(entry)]] kernel decltype(kernel_name<__VA_ARGS__>) kernel_name<__VA_ARGS__>;

// sums[tile][b] += 16 outputs x 8 rows, over one record of each tile. An instruction waits for the one before it that adds
// to the same sums: between them are those of other tiles and rows, and other simdgroups.
// `inputs.at(b, s)` are a lane's 8 columns of group s of the rows 8 b .. 8 b + 8.
template <typename Packing, uint TILES, uint ROW_BLOCKS, typename Inputs>
inline void packed_record(thread const typename Packing::Raw (&raw)[TILES], thread const Inputs& inputs,
                          thread float4 (&sums)[TILES][ROW_BLOCKS]) {
    constexpr uint TOGETHER = ROW_BLOCKS % 2 == 0 ? 2 : 1;
    for (uint s = 0; s < 2; s++) {
        half2 weights[TILES][2][4];
        for (uint tile = 0; tile < TILES; tile++)
            for (uint h = 0; h < 2; h++) Packing::unpack(raw[tile], 2 * s + h, weights[tile][h]);
        for (uint b = 0; b < ROW_BLOCKS; b += TOGETHER) {
            uint4 x[TOGETHER];
            for (uint j = 0; j < TOGETHER; j++) x[j] = inputs.at(b + j, s);
            for (uint h = 0; h < 2; h++) {
                for (uint j = 0; j < TOGETHER; j++) {
                    for (uint tile = 0; tile < TILES; tile++) {
                        thread half2(&a)[4] = weights[tile][h];
                        matrix_multiply_16x8x16(sums[tile][b + j], a[0], a[1], a[2], a[3], x[j][2 * h], x[j][2 * h + 1]);
                    }
                }
            }
        }
    }
}

template <uint TILES, uint ROW_BLOCKS>
inline void clear_sums(thread float4 (&sums)[TILES][ROW_BLOCKS]) {
    for (uint tile = 0; tile < TILES; tile++)
        for (uint b = 0; b < ROW_BLOCKS; b++) sums[tile][b] = float4(0.0f);
}
