// Q8_1 and Q8_K: what ggml quantises activations to. As weights they are rare, but a file may have them.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

struct FormatQ8_1 {   // d f16 · sum f16 · 32 i8; the sum serves dot products of integers only
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 32) * 36), matrix.scales, matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 36;
        const uint4 words = words_at(block + 4 + (group & 1) * 16) ^ 0x80808080u;
        const float scale = float(half_at(block));
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 128.0h));
    }
};

struct FormatQ8_K {   // d f32 · 256 i8 · 16 i16 sums
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 256) * 292), matrix.scales, matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 292;
        const uint4 words = words_at(block + 4 + (group & 15) * 16) ^ 0x80808080u;
        const float scale = *(device const float*)block;
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 128.0h));
    }
};
