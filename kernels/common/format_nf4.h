// bitsandbytes' NF4: a nibble chooses one of sixteen values, times the f32 maximum of its 64 elements.
//
// Of two elements in a byte the first is the high nibble. The twin is wootz_gpu::formats::nf4.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

// Quantiles of the normal distribution, scaled to -1 to 1 (QLoRA, Dettmers et al. 2023, appendix E).
constant float NF4_VALUES[16] = {
    -1.0f,          -0.6961928f,    -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.091050036f, 0.0f,
    0.0795803f,     0.1609302f,     0.2461123f,   0.33791524f, 0.44070983f,  0.562617f,    0.72295684f,   1.0f,
};

struct FormatNF4 {
    static Row row(Matrix matrix, uint index, uint columns) {
        return {
            matrix.data + ulong(index) * (columns / 2), matrix.scales + ulong(index) * (columns / 64) * 4, matrix.biases
        };
    }
    static float4 four(uint bits) {   // two bytes
        return float4(
            NF4_VALUES[bits >> 4 & 15], NF4_VALUES[bits & 15], NF4_VALUES[bits >> 12 & 15], NF4_VALUES[bits >> 8 & 15]);
    }
    static void load16(Row row, uint group, thread float4* out) {
        const uint2 words = uint2(*(device const packed_uint2*)(row.data + ulong(group) * 8));
        const float scale = ((device const float*)row.scales)[group / 4];
        out[0] = scale * four(words.x);
        out[1] = scale * four(words.x >> 16);
        out[2] = scale * four(words.y);
        out[3] = scale * four(words.y >> 16);
    }
};
