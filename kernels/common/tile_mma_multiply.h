// Products of tiles on NVIDIA's matrix unit. common/tile_mma.h says which lane holds what.
//
// f16 and bf16 have instructions of their own. f32 is split into two parts of 11 bits that the matrix unit takes (tf32): of
// the four products three are added, and what is left out is at most 2^-22 of a product.
#pragma once
#include "common/tile_mma.h"

// One instruction: sums of 16x8, of which `lower` is the second block. Depth 16, or 8.
inline void multiply_16(thread float2& upper, thread float2& lower, half2 a0, half2 a1, half2 a2, half2 a3, half2 b0,
                        half2 b1) {
    msl_multiply_f16_16(upper, lower, as_type<uint>(a0), as_type<uint>(a1), as_type<uint>(a2), as_type<uint>(a3),
                        as_type<uint>(b0), as_type<uint>(b1));
}
inline void multiply_16(thread float2& upper, thread float2& lower, vec<bfloat, 2> a0, vec<bfloat, 2> a1, vec<bfloat, 2> a2,
                        vec<bfloat, 2> a3, vec<bfloat, 2> b0, vec<bfloat, 2> b1) {
    msl_multiply_bf16_16(upper, lower, as_type<uint>(a0), as_type<uint>(a1), as_type<uint>(a2), as_type<uint>(a3),
                         as_type<uint>(b0), as_type<uint>(b1));
}
inline void multiply_8(thread float2& upper, thread float2& lower, half2 a0, half2 a1, half2 b0) {
    msl_multiply_f16_8(upper, lower, as_type<uint>(a0), as_type<uint>(a1), as_type<uint>(b0));
}
inline void multiply_8(thread float2& upper, thread float2& lower, vec<bfloat, 2> a0, vec<bfloat, 2> a1, vec<bfloat, 2> b0) {
    msl_multiply_bf16_8(upper, lower, as_type<uint>(a0), as_type<uint>(a1), as_type<uint>(b0));
}

// f32 as what tf32 can hold, and the rest of it.
inline float2 upper_part(float2 value) { return as_type<float2>(as_type<uint2>(value) & 0xffffe000u); }
inline void multiply_8(thread float2& upper, thread float2& lower, float2 a0, float2 a1, float2 b0) {
    const float2 a0_most = upper_part(a0), a1_most = upper_part(a1), b0_most = upper_part(b0);
    msl_multiply_tf32_8(upper, lower, a0 - a0_most, a1 - a1_most, b0_most);
    msl_multiply_tf32_8(upper, lower, a0_most, a1_most, b0 - b0_most);
    msl_multiply_tf32_8(upper, lower, a0_most, a1_most, b0_most);
}
inline void multiply_16(thread float2& upper, thread float2& lower, float2 a0, float2 a1, float2 a2, float2 a3, float2 b0,
                        float2 b1) {
    multiply_8(upper, lower, a0, a1, b0);
    multiply_8(upper, lower, a2, a3, b1);
}

// sums += left · right. Depth is added in blocks of 16 (of 8 where it ends so), in ascending order, so that two kernels that
// walk the same depth in the same direction get the same bits whatever their tiles.
template <typename T, short Rows, short Depth, short Columns>
inline void tile_multiply_add(thread Tile<float, Rows, Columns>& sums,
                              thread Tile<T, Rows, Depth>& left,
                              thread RightTile<T, Depth, Columns>& right) {
    constexpr short K = Depth / 8, R = Rows / 8;
    const vec<T, 2> zero = vec<T, 2>(T(0.0f));
    for (short k = 0; k < K; k += 2)
        for (short i = 0; i < R; i += 2)
            for (short j = 0; j < Columns / 8; j++) {
                const bool has_lower = i + 1 < R;
                const short lower = has_lower ? i + 1 : i;
                float2 second = has_lower ? sums.block[lower][j].elements : float2(0.0f);
                const vec<T, 2> a0 = left.block[i][k].elements;
                const vec<T, 2> a1 = has_lower ? left.block[lower][k].elements : zero;
                const vec<T, 2> b0 = right.block[k][j].elements;
                if (k + 1 < K) {
                    const short next = k + 1 < K ? k + 1 : k;
                    const vec<T, 2> a2 = left.block[i][next].elements;
                    const vec<T, 2> a3 = has_lower ? left.block[lower][next].elements : zero;
                    multiply_16(sums.block[i][j].elements, second, a0, a1, a2, a3, b0, right.block[next][j].elements);
                } else {
                    multiply_8(sums.block[i][j].elements, second, a0, a1, b0);
                }
                if (has_lower) sums.block[lower][j].elements = second;
            }
}
