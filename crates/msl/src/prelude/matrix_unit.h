// NVIDIA's matrix unit, for kernels that hold its factors in registers (kernels/common/matrix_unit.h): lanes lay their parts
// down for each other. Which lane holds what: "Matrix fragments for mma.m16n8k16" in the PTX manual.
#pragma once

namespace metal {
// A lane's part of two factors, as the other lanes see it.
struct msl_unit_factors { uint a[4], b[2]; };
// sums += a · b, computed in float: 16x16 times 16x8, of f16.
inline void msl_multiply_f16_16(thread float2& upper, thread float2& lower, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {
    const msl_unit_factors mine = {{a0, a1, a2, a3}, {b0, b1}};
    __private msl_exchange* exchange = msl_xchg(0x53, &mine, sizeof(mine));
    const uint row = msl_lane() / 4, column = msl_lane() % 4 * 2;
    float sums[4] = {upper.x, upper.y, lower.x, lower.y};
    for (uint k = 0; k < 16; k++) {
        const uint part = k / 8, holder = k % 8 / 2, shift = k % 2 * 16;
        const msl_unit_factors left = msl_brought<msl_unit_factors>(exchange, row * 4 + holder);
        const float above = (float)as_type<half>((ushort)(left.a[2 * part] >> shift));
        const float below = (float)as_type<half>((ushort)(left.a[2 * part + 1] >> shift));
        for (uint n = 0; n < 2; n++) {
            const msl_unit_factors right = msl_brought<msl_unit_factors>(exchange, (column + n) * 4 + holder);
            const float factor = (float)as_type<half>((ushort)(right.b[part] >> shift));
            sums[n] += above * factor;
            sums[2 + n] += below * factor;
        }
    }
    upper = float2(sums[0], sums[1]);
    lower = float2(sums[2], sums[3]);
}

// Four blocks of 8x8 from threadgroup memory, of which lane l names the beginning of row l % 8 of block l / 8, handed out
// transposed ("ldmatrix" in the PTX manual).
inline uint4 msl_load_blocks4_transposed(const threadgroup half* row) {
    const ulong mine = (ulong)row;
    if (mine % 16 != 0) msl_fail("a row of a block begins at no multiple of 16 bytes");
    __private msl_exchange* exchange = msl_xchg(0x56, &mine, sizeof(mine));
    const uint column = msl_lane() / 4, first = msl_lane() % 4 * 2;
    uint4 words;
    for (uint block = 0; block < 4; block++) {
        const threadgroup half* upper = (const threadgroup half*)msl_brought<ulong>(exchange, 8 * block + first);
        const threadgroup half* lower = (const threadgroup half*)msl_brought<ulong>(exchange, 8 * block + first + 1);
        words[block] = (uint)as_type<ushort>(upper[column]) | (uint)as_type<ushort>(lower[column]) << 16;
    }
    return words;
}
}
