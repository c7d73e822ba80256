// K-quants: blocks of 256 elements, whose groups of 16 or 32 have small integer scales under one f16 scale.
//
// Q4_K and Q5_K blocks are 144 and 176 bytes and a matrix of them begins at a multiple of 16, so that their parts are
// read 16 bytes at a time; Q2_K (84 bytes) is aligned to 4 and the others to 2. Their twin is wootz_weights::quant.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

template <uint BYTES>
inline Row row_of_256(Matrix matrix, uint index, uint columns) {
    return { matrix.data + ulong(index) * (ulong(columns / 256) * BYTES), matrix.scales, matrix.biases };
}

// Scales (x) and minima (y) of groups 2 · pair (low byte) and 2 · pair + 1 (second byte) of Q4_K and Q5_K, 6 bits
// each. `header` is the first 16 bytes of a block: two f16, then three words. Groups 0..4 have their scales in the
// first word and their minima in the second; groups 4..8 have their low nibbles in the third (scale low, minimum
// high) and their top two bits above the 6 bits of groups 0..4.
inline uint2 scales_and_minima(uint4 header, uint pair) {
    const uint shift = (pair & 1) * 16;
    const uint first = header.y >> shift, second = header.z >> shift, third = header.w >> shift;
    const uint2 low = uint2(first, second) & 0x3f3fu;
    const uint2 nibbles = uint2(third, third >> 4) & 0x0f0fu;
    const uint2 top = (uint2(first, second) & 0xc0c0u) >> 2;
    return pair < 2 ? low : nibbles | top;
}

struct FormatQ2_K {   // 16 scales (low nibble) and minima (high) · 256 two-bit quants · d f16 · dmin f16
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_256<84>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 84;
        const uint g = group & 15;
        const uchar packed_scale = block[g];
        const float scale = float(half_at(block + 80)) * float(packed_scale & 15);
        const float minimum = float(half_at(block + 82)) * float(packed_scale >> 4);
        const uint4 words = words_at(block + 16 + (g / 8) * 32 + (g & 1) * 16) >> ((g & 7) / 2 * 2);
        for (uint i = 0; i < 4; i++) {
            out[i] = scale * float4(bytes_to_half(words[i] & 0x03030303u, 0.0h)) - minimum;
        }
    }
};

struct FormatQ3_K {   // 256 third bits · 256 two-bit quants · 16 six-bit scales · d f16
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_256<110>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 110;
        const uint g = group & 15;
        device const uchar* scales = block + 96;
        const uint low = (uint(scales[g & 7]) >> (g / 8 * 4)) & 15;
        const uint top = (uint(scales[8 + (g & 3)]) >> (g / 4 * 2)) & 3;
        const float scale = float(half_at(block + 108)) * float(int(low | top << 4) - 32);
        const uint4 quants = words_at(block + 32 + (g / 8) * 32 + (g & 1) * 16) >> ((g & 7) / 2 * 2);
        const uint4 third = words_at(block + (g & 1) * 16) >> (g / 2);
        const uint4 words = (quants & 0x03030303u) | ((third & 0x01010101u) << 2u);
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 4.0h));
    }
};

struct FormatQ4_K {   // d f16 · dmin f16 · 12 bytes of scales and minima · 256 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_256<144>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uint4* block = (device const uint4*)(row.data + ulong(group / 16) * 144);
        const uint g = (group & 15) / 2;   // of 32 elements
        const uint4 header = block[0];
        const half2 d = as_type<half2>(header.x);
        const uint2 scales = (scales_and_minima(header, g / 2) >> (8 * (g & 1))) & 0xffu;
        const float scale = float(d.x) * float(scales.x), minimum = float(d.y) * float(scales.y);
        const uint4 words = (block[1 + g / 2 * 2 + (group & 1)] >> (4 * (g & 1))) & 0x0f0f0f0fu;
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 0.0h)) - minimum;
    }
};

struct FormatQ5_K {   // as Q4_K, with 256 fifth bits before the nibbles: bit g of byte i is element 32 g + i's
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_256<176>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uint4* block = (device const uint4*)(row.data + ulong(group / 16) * 176);
        const uint g = (group & 15) / 2;
        const uint4 header = block[0];
        const half2 d = as_type<half2>(header.x);
        const uint2 scales = (scales_and_minima(header, g / 2) >> (8 * (g & 1))) & 0xffu;
        const float scale = float(d.x) * float(scales.x), minimum = float(d.y) * float(scales.y);
        const uint4 fifth = (block[1 + (group & 1)] >> g) & 0x01010101u;
        const uint4 words = ((block[3 + g / 2 * 2 + (group & 1)] >> (4 * (g & 1))) & 0x0f0f0f0fu) | fifth << 4u;
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 0.0h)) - minimum;
    }
};

struct FormatQ6_K {   // 256 low nibbles · 256 top two bits · 16 i8 scales · d f16
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_256<210>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 210;
        const uint g = group & 15, run = g / 8, within = g & 7;   // a run is 128 elements: 64 bytes of nibbles, 32 of tops
        const float scale = float(half_at(block + 208)) * float(((device const char*)block)[192 + g]);
        const uint4 low = words_at(block + run * 64 + (within & 3) * 16) >> (within / 4 * 4);
        const uint4 top = words_at(block + 128 + run * 32 + (within & 1) * 16) >> (within / 2 * 2);
        const uint4 words = (low & 0x0f0f0f0fu) | ((top & 0x03030303u) << 4u);
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 32.0h));
    }
};
