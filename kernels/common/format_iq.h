// IQ formats: elements are entries of small tables. IQ4 has a table of sixteen values; the others take four or eight
// elements together from a grid (grids.h), with signs of their own. Blocks of 256 elements (IQ4_NL: 32) under one f16.
// Their twin is wootz_weights::quant.
#pragma once
#include "common/format.h"
#include "common/grids.h"
#include "common/spread.h"
#include "common/unpack.h"

// Finer near zero.
constant half IQ4_VALUES[16] = {
    -127.0h, -104.0h, -83.0h, -65.0h, -49.0h, -35.0h, -22.0h, -10.0h, 1.0h, 13.0h, 25.0h, 38.0h, 53.0h, 69.0h, 89.0h, 113.0h,
};

template <uint BYTES>
inline Row row_of_iq(Matrix matrix, uint index, uint columns) {
    return { matrix.data + ulong(index) * (ulong(columns / 256) * BYTES), matrix.scales, matrix.biases };
}

// A half of a block of 32: its nibbles are the low ones (half 0) or the high ones of 16 bytes.
inline void iq4_half(device const uchar* nibbles, uint high, float scale, thread float4* out) {
    const uint4 words = words_at(nibbles) >> (4 * high);
    for (uint i = 0; i < 4; i++) {
        const uint word = words[i];
        out[i] = scale * float4(half4(
            IQ4_VALUES[word & 15], IQ4_VALUES[word >> 8 & 15], IQ4_VALUES[word >> 16 & 15], IQ4_VALUES[word >> 24 & 15]));
    }
}

struct FormatIQ4_NL {   // d f16 · 32 nibbles
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns / 32) * 18), matrix.scales, matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 2) * 18;
        iq4_half(block + 2, group & 1, float(half_at(block)), out);
    }
};

struct FormatIQ4_XS {   // d f16 · top two bits of 8 scales · their low nibbles · 256 nibbles
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<136>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 136;
        const uint g = (group & 15) / 2;
        const uint low = uint(block[4 + g / 2]) >> (4 * (g & 1)) & 15;
        const uint top = uint(*(device const ushort*)(block + 2)) >> (2 * g) & 3;
        const float scale = float(half_at(block)) * float(int(low | top << 4) - 32);
        iq4_half(block + 8 + g * 16, group & 1, scale, out);
    }
};

// The magnitudes that the fields of grid entries choose, four bytes of them. IQ2: 8, 25 or 43; IQ3_XXS: 4, 12, 20 and so
// on, but 62 for the last; IQ3_S: odd numbers up to 15.
inline uint iq2_magnitudes(uint bits) {
    const uint q = spread_2(bits);
    return 0x08080808u + q * 17u + (q >> 1 & 0x01010101u);
}
inline uint iq3_xxs_magnitudes(uint bits) {
    const uint q = spread_4(bits);
    return 0x04040404u + q * 8u + ((q + 0x01010101u) >> 2 & 0x02020202u);
}
inline uint iq3_s_magnitudes(uint bits) {
    return spread_4(bits) * 2u + 0x01010101u;
}

// Signs of eight elements by a 7-bit index: the eighth makes their number even.
inline uint even_signs(uint index) {
    return index | (popcount(index) & 1) << 7;
}

// Four bytes times `scale`, with a minus where bits 0..4 of `signs` are set.
inline float4 signed_four(uint bytes, uint signs, float scale) {
    const float4 values = scale * float4(bytes_to_half(bytes, 0.0h));
    const uint4 flips = (uint4(signs << 31, signs << 30, signs << 29, signs << 28)) & 0x80000000u;
    return as_type<float4>(as_type<uint4>(values) ^ flips);
}

// An entry of a grid of eight, two bits an element.
inline void signed_eight(uint entry, uint signs, float scale, thread float4* out) {
    out[0] = signed_four(iq2_magnitudes(entry & 255), signs, scale);
    out[1] = signed_four(iq2_magnitudes(entry >> 8), signs >> 4, scale);
}

struct FormatIQ2_XXS {   // d f16 · for each 32: four u8 indices, u32 of four sign indices and a scale
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<66>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 66;
        device const uchar* part = block + 2 + (group & 15) / 2 * 8;
        const uint word = word_at(part + 4);
        const float scale = float(half_at(block)) * (0.5f + float(word >> 28)) * 0.25f;
        for (uint i = 0; i < 2; i++) {
            const uint eight = (group & 1) * 2 + i;
            signed_eight(GRID_IQ2_XXS[part[eight]], even_signs(word >> (7 * eight) & 127), scale, out + 2 * i);
        }
    }
};

struct FormatIQ2_XS {   // d f16 · 32 u16 of a 9-bit index and a 7-bit sign index · 16 scales of 4 bits
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<74>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 74;
        const uint g = group & 15;
        const uint nibble = uint(block[66 + g / 2]) >> (4 * (g & 1)) & 15;
        const float scale = float(half_at(block)) * (0.5f + float(nibble)) * 0.25f;
        const uint pair = word_at(block + 2 + g * 4);
        signed_eight(GRID_IQ2_XS[pair & 511], even_signs(pair >> 9 & 127), scale, out);
        signed_eight(GRID_IQ2_XS[pair >> 16 & 511], even_signs(pair >> 25), scale, out + 2);
    }
};

struct FormatIQ2_S {   // d f16 · 32 low bytes of indices · 32 sign masks · 32 times two high bits · 16 scales of 4 bits
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<82>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 82;
        const uint g = group & 15;
        const uint nibble = uint(block[74 + g / 2]) >> (4 * (g & 1)) & 15;
        const float scale = float(half_at(block)) * (0.5f + float(nibble)) * 0.25f;
        const uint high = uint(block[66 + g / 2]) >> (4 * (g & 1));
        for (uint i = 0; i < 2; i++) {
            const uint index = uint(block[2 + 2 * g + i]) | (high >> (2 * i) & 3) << 8;
            signed_eight(GRID_IQ2_S[index], block[34 + 2 * g + i], scale, out + 2 * i);
        }
    }
};

struct FormatIQ3_XXS {   // d f16 · 64 u8 indices · for each 32 a u32 of four sign indices and a scale
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<98>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 98;
        const uint g = group & 15;
        const uint word = word_at(block + 66 + g / 2 * 4);
        const float scale = float(half_at(block)) * (0.5f + float(word >> 28)) * 0.5f;
        for (uint i = 0; i < 4; i++) {
            const uint signs = even_signs(word >> (7 * ((g & 1) * 2 + i / 2)) & 127);
            const uint magnitudes = iq3_xxs_magnitudes(GRID_IQ3_XXS[block[2 + 4 * g + i]]);
            out[i] = signed_four(magnitudes, signs >> (4 * (i & 1)), scale);
        }
    }
};

struct FormatIQ3_S {   // d f16 · 64 low bytes of indices · their 64 high bits · 32 sign masks · 8 scales of 4 bits
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<110>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 110;
        const uint g = group & 15;
        const uint nibble = uint(block[106 + g / 4]) >> (4 * (g / 2 & 1)) & 15;
        const float scale = float(half_at(block)) * float(1 + 2 * nibble);
        const uint high = uint(block[66 + g / 2]) >> (4 * (g & 1));
        const uint signs = *(device const ushort*)(block + 74 + 2 * g);
        for (uint i = 0; i < 4; i++) {
            const uint index = uint(block[2 + 4 * g + i]) | (high >> i & 1) << 8;
            out[i] = signed_four(iq3_s_magnitudes(GRID_IQ3_S[index]), signs >> (4 * i), scale);
        }
    }
};

// An entry of the ternary grid, an eighth more or less: scale · (-1, 0 or 1 ± ⅛).
inline void shifted_eight(uint entry, bool minus, float scale, thread float4* out) {
    const float shift = minus ? -0.125f : 0.125f;
    out[0] = scale * (float4(bytes_to_half(spread_2(entry & 255), 1.0h)) + shift);
    out[1] = scale * (float4(bytes_to_half(spread_2(entry >> 8), 1.0h)) + shift);
}

struct FormatIQ1_S {   // d f16 · 32 low bytes · for each 32 a u16: four times three high bits, a 3-bit scale, the sign of ⅛
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<50>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 50;
        const uint g = group & 15;
        const uint word = *(device const ushort*)(block + 34 + g / 2 * 2);
        const float scale = float(half_at(block)) * float(2 * (word >> 12 & 7) + 1);
        for (uint i = 0; i < 2; i++) {
            const uint index = uint(block[2 + 2 * g + i]) | (word >> (3 * ((g & 1) * 2 + i)) & 7) << 8;
            shifted_eight(GRID_IQ1[index], (word & 0x8000) != 0, scale, out + 2 * i);
        }
    }
};

struct FormatIQ1_M {   // 32 low bytes · 32 nibbles: three high bits, the sign of ⅛ · four u16: four 3-bit scales, d's nibble
    static Row row(Matrix matrix, uint index, uint columns) { return row_of_iq<56>(matrix, index, columns); }
    static void load16(Row row, uint group, thread float4* out) {
        device const uchar* block = row.data + ulong(group / 16) * 56;
        const uint g = group & 15;
        const ushort4 words = *(device const ushort4*)(block + 48);
        const ushort4 top = words >> 12;
        const half d = as_type<half>(ushort(top.x | top.y << 4 | top.z << 8 | top.w << 12));
        const float scale = float(d) * float(2 * (uint(words[g / 4]) >> (3 * (g & 3)) & 7) + 1);
        const uint high = block[32 + g];
        for (uint i = 0; i < 2; i++) {
            const uint nibble = high >> (4 * i);
            const uint index = uint(block[2 * g + i]) | (nibble & 7) << 8;
            shifted_eight(GRID_IQ1[index], (nibble & 8) != 0, scale, out + 2 * i);
        }
    }
};
