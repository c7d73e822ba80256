// Blocks of 32 elements under one f16 scale, some with an f16 minimum: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
//
// Nibbles: the low ones of 16 bytes are elements 0..16, the high ones elements 16..32. Fifth bits: bit i of a 32-bit
// word belongs to element i. The order within the blocks is wootz_weights::quant's, which is their twin.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

template <uint BYTES>
inline Row row_of_32(Matrix matrix, uint index, uint columns) {
    return { matrix.data + ulong(index) * (ulong(columns / 32) * BYTES), matrix.scales, matrix.biases };
}

// The nibbles of one half of a block: bit 4 · (group % 2) of each byte on.
inline uint4 nibbles_of_half(device const uchar* nibbles, uint group) {
    return (words_at(nibbles) >> (4 * (group & 1))) & 0x0f0f0f0fu;
}

// The four lowest bits of `bits`, each in the place above a nibble of its byte.
inline uint fifth_bits(uint bits) {
    return ((bits & 1u) << 4) | ((bits & 2u) << 11) | ((bits & 4u) << 18) | ((bits & 8u) << 25);
}

// out = scale · q + minimum, for sixteen bytes q.
inline void scaled_bytes(uint4 words, half offset, float scale, float minimum, thread float4* out) {
    for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], offset)) + minimum;
}

struct FormatQ8_0 {   // d f16 · 32 i8
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_32<34>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 34;
        const uint4 words = words_at(block + 2 + (group & 1) * 16) ^ 0x80808080u;
        scaled_bytes(words, 128.0h, float(half_at(block)), 0.0f, out);
    }
};

struct FormatQ4_0 {   // d f16 · 32 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_32<18>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 18;
        scaled_bytes(nibbles_of_half(block + 2, group), 8.0h, float(half_at(block)), 0.0f, out);
    }
};

struct FormatQ4_1 {   // d f16 · m f16 · 32 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_32<20>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 20;
        scaled_bytes(nibbles_of_half(block + 4, group), 0.0h, float(half_at(block)), float(half_at(block + 2)), out);
    }
};

struct FormatQ5_0 {   // d f16 · 32 fifth bits · 32 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_32<22>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 22;
        const uint bits = word_at(block + 2) >> (16 * (group & 1));
        const uint4 fifth = uint4(fifth_bits(bits), fifth_bits(bits >> 4), fifth_bits(bits >> 8), fifth_bits(bits >> 12));
        scaled_bytes(nibbles_of_half(block + 6, group) | fifth, 16.0h, float(half_at(block)), 0.0f, out);
    }
};

struct FormatQ5_1 {   // d f16 · m f16 · 32 fifth bits · 32 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_32<24>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 24;
        const uint bits = word_at(block + 4) >> (16 * (group & 1));
        const uint4 fifth = uint4(fifth_bits(bits), fifth_bits(bits >> 4), fifth_bits(bits >> 8), fifth_bits(bits >> 12));
        scaled_bytes(nibbles_of_half(block + 8, group) | fifth, 0.0h, float(half_at(block)), float(half_at(block + 2)), out);
    }
};
