// Four-bit floats: MXFP4 (in ggml's blocks, and in two arrays) and NVFP4.
//
// An E2M1 nibble s·ee·m is a float with a bias of 1. With its low three bits at bits 9..12 of an f16 and its sign at bit
// 15, that f16 is the value times 2⁻¹⁴, subnormal ones included (the two have the same rule for them, and GPUs keep
// subnormal halves). So a nibble becomes a number by masks, a shift and an exact product. An E4M3 byte becomes an f16
// times 2⁻⁸ in the same way. The twins are wootz_weights::quant and wootz_gpu::formats.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

// Bits 0..4 and 16..20 of a word as two floats.
inline half2 e2m1_pair(uint word) {
    return as_type<half2>((word & 0x00070007u) << 9 | (word & 0x00080008u) << 12) * 16384.0h;
}

// The low nibbles of the four bytes of a word.
inline half4 e2m1_low(uint word) {
    const half2 even = e2m1_pair(word), odd = e2m1_pair(word >> 8);
    return half4(even.x, odd.x, even.y, odd.y);
}

// The eight nibbles of a word, the low one of a byte first.
inline void e2m1_eight(uint word, thread half4& first, thread half4& second) {
    const half2 a = e2m1_pair(word), b = e2m1_pair(word >> 4), c = e2m1_pair(word >> 8), d = e2m1_pair(word >> 12);
    first = half4(a.x, b.x, c.x, d.x);
    second = half4(a.y, b.y, c.y, d.y);
}

// 2^(e - 127), of 1 ..= 254; 0 gives zero instead of the subnormal 2⁻¹²⁷, which GPUs don't have.
inline float e8m0(uchar exponent) {
    return as_type<float>(uint(exponent) << 23);
}

// Four bytes at any address.
inline uint unaligned_word(device const uchar* bytes) {
    return as_type<uint>(uchar4(*(device const packed_uchar4*)bytes));
}

struct FormatMXFP4 {   // exponent u8 · 32 nibbles: low ones are elements 0..16. A block has 17 bytes: any alignment.
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 32) * 17), matrix.scales, matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 17;
        const float scale = e8m0(block[0]);
        for (uint i = 0; i < 4; i++) {
            const half4 values = e2m1_low(unaligned_word(block + 1 + 4 * i) >> (4 * (group & 1)));
            out[i] = float4(values) * scale;
        }
    }
};

struct FormatMXFP4Split {   // nibbles in `data`, the low one first · an exponent u8 for 32 elements in `scales`
    static Row row(Matrix matrix, uint index, uint columns) {
        return {
            matrix.data + ulong(index) * (columns / 2), matrix.scales + ulong(index) * (columns / 32), matrix.biases
        };
    }
    static void load16(Row row, uint group, thread float4* out) {
        const uint2 words = uint2(*(device const packed_uint2*)(row.data + ulong(group) * 8));
        const float scale = e8m0(row.scales[group / 2]);
        for (uint i = 0; i < 2; i++) {
            half4 first, second;
            e2m1_eight(words[i], first, second);
            out[2 * i] = float4(first) * scale;
            out[2 * i + 1] = float4(second) * scale;
        }
    }
};

struct FormatNVFP4 {   // 4 scales E4M3 · for each 16 elements 8 bytes of nibbles: low ones are the first eight
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 64) * 36), matrix.scales, matrix.biases };
    }

    // A scale has no sign (its top bit says nothing), and 0x7f counts as zero.
    static float scale_of(uchar byte) {
        const float value = float(as_type<half>(ushort((byte & 0x7f) << 7)) * 256.0h);
        return byte == 0x7f ? 0.0f : value;
    }

    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 4) * 36;
        const float scale = scale_of(block[group & 3]);
        device const uchar* nibbles = block + 4 + (group & 3) * 8;
        for (uint i = 0; i < 2; i++) {
            const uint word = word_at(nibbles + 4 * i);
            out[i] = scale * float4(e2m1_low(word));
            out[2 + i] = scale * float4(e2m1_low(word >> 4));
        }
    }
};
