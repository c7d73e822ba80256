// The matrix unit of NVIDIA's GPUs, as kernels see it that hold its factors in registers themselves.
#pragma once

// sums += left · right: 16x16 times 16x8, in f32. Lane l = 4 g + t holds of the sums elements [g][2 t], [g][2 t + 1],
// [g + 8][2 t], [g + 8][2 t + 1]; of the left factor columns 2 t and the next (a0 of row g, a1 of row g + 8) and 2 t + 8 and
// the next (a2, a3); of the right factor the same rows of column g (b0, b1: two f16 each).
inline void matrix_multiply_16x8x16(thread float4& sums, half2 a0, half2 a1, half2 a2, half2 a3, uint b0, uint b1) {
    float2 upper = sums.xy, lower = sums.zw;
    msl_multiply_f16_16(upper, lower, as_type<uint>(a0), as_type<uint>(a1), as_type<uint>(a2), as_type<uint>(a3), b0, b1);
    sums = float4(upper, lower);
}

// Four blocks of 8x8 from threadgroup memory, transposed: lane l names the beginning of row l % 8 of block l / 8, a multiple
// of 16 bytes, and gets elements [2 t][g] and [2 t + 1][g] of each block. Two of them are a right factor.
inline uint4 load_blocks_transposed(threadgroup const half* row) { return msl_load_blocks4_transposed(row); }

// half4(values), two at a time.
inline half4 rounded_to_halves(float4 values) {
    const half2 first = msl_rounded_to_halves(values.x, values.y), second = msl_rounded_to_halves(values.z, values.w);
    return half4(first.x, first.y, second.x, second.y);
}
