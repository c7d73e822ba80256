// TQ1_0 and TQ2_0: every element is -1, 0 or 1 times one f16 scale; 256 elements a block. Their twin is
// wootz_weights::quant.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

struct FormatTQ1_0 {   // 48 bytes of five ternary digits · 4 bytes of four · d f16
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 256) * 54), matrix.scales, matrix.biases };
    }

    // A byte is the fraction byte / 256 in base three: the digit after the point of 3^n · fraction, for four bytes.
    static float4 digits(uint4 bytes, uint4 power) {
        return float4(((bytes * power) & 255u) * 3u >> 8u) - 1.0f;
    }

    // Digit n of bytes 0..32 are elements 32 n .., of bytes 32..48 elements 160 + 16 n .., of the last four bytes
    // elements 240 + 4 n ..: a group of 16 has one digit of 16 bytes, but the last group four digits of 4 bytes.
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 54;
        const float scale = float(half_at(block + 52));
        const uint g = group & 15;
        if (g == 15) {
            const uint4 bytes = unpacked(word_at(block + 48));
            out[0] = scale * digits(bytes, uint4(1));
            out[1] = scale * digits(bytes, uint4(3));
            out[2] = scale * digits(bytes, uint4(9));
            out[3] = scale * digits(bytes, uint4(27));
            return;
        }
        const uint digit = g < 10 ? g / 2 : g - 10;
        const uint power = digit < 2 ? 1 + 2 * digit : digit == 2 ? 9 : digit == 3 ? 27 : 81;
        const uint4 words = words_at(block + (g < 10 ? (g & 1) * 16 : 32));
        for (uint i = 0; i < 4; i++) out[i] = scale * digits(unpacked(words[i]), uint4(power));
    }

    static uint4 unpacked(uint word) {
        return uint4(word, word >> 8, word >> 16, word >> 24) & 255u;
    }
};

struct FormatTQ2_0 {   // 256 two-bit quants · d f16; 128 elements share 32 bytes, bits 0..2 are the first 32 of them
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 256) * 66), matrix.scales, matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 66;
        const uint g = group & 15;
        const float scale = float(half_at(block + 64));
        const uint4 words = words_at(block + (g / 8) * 32 + (g & 1) * 16) >> ((g & 7) / 2 * 2);
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i] & 0x03030303u, 1.0h));
    }
};
