// Strips of Q4_K, Q5_K and Q6_K: a block of 256 columns. common/gemm_skinny.h says what a packet is.
#pragma once
#include "common/format_k.h"
#include "common/gemm_skinny.h"

// Scales and minima of the eight groups of a Q4_K or Q5_K block: a byte for each group.
struct ScalesAndMinima {
    uint scales[2], minima[2];
    half2 unit, unit_1024;          // of the scales, and -1024 times that
    half2 lowest, lowest_1024;      // minus that of the minima, and -1024 times that
};
inline ScalesAndMinima unpack_scales(uint4 header) {
    ScalesAndMinima all;
    all.scales[0] = header.y & 0x3f3f3f3fu;
    all.minima[0] = header.z & 0x3f3f3f3fu;
    all.scales[1] = (header.w & 0x0f0f0f0fu) | ((header.y >> 2) & 0x30303030u);
    all.minima[1] = ((header.w >> 4) & 0x0f0f0f0fu) | ((header.z >> 2) & 0x30303030u);
    const half2 d = as_type<half2>(header.x);
    all.unit = half2(d.x);
    all.lowest = half2(-d.y);
    all.unit_1024 = product(all.unit, half2(-1024.0h));
    all.lowest_1024 = product(all.lowest, half2(-1024.0h));
    return all;
}
// Byte i of a word, 1024 added, twice.
inline half2 byte_twice(uint word, uint i) {
    return as_type<half2>(permute_bytes(word, 0x64646464u, 0x4040u | i | i << 8));
}
// A group's scale, twice: (1024 + n) · unit - 1024 · unit, which is n · unit, rounded once.
inline half2 scale_of(ScalesAndMinima all, uint group) {
    return fma(byte_twice(all.scales[group / 4], group % 4), all.unit, all.unit_1024);
}
// Minus its minimum, twice.
inline half2 rest_of(ScalesAndMinima all, uint group) {
    return fma(byte_twice(all.minima[group / 4], group % 4), all.lowest, all.lowest_1024);
}

// An f16 whose bits are 0x4c00 | n << 6 is 16 + n for n < 16: a nibble becomes a weight with one and-or and one
// fma(16 + n, scale, -16 · scale - minimum). The last is rounded to f16, at most 2⁻⁷ of a step: about what rounding the
// weight costs.
struct SkinnyQ4_K {
    enum : uint { COLUMNS = 256, AHEAD = 1 };
    struct Raw { uint4 header; uint2 words[4]; };
    typedef ScalesAndMinima Block;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint strip, uint t) {
        device const uchar* block = row.data + ulong(strip) * 144;
        Raw raw;
        raw.header = *(device const uint4*)block;
        for (uint run = 0; run < 4; run++) raw.words[run] = ((device const uint2*)(block + 16))[4 * run + t];
        return raw;
    }
    static Block prepare(Raw raw) { return unpack_scales(raw.header); }
    static void unpack(Raw raw, Block block, uint group, thread half2 (&weights)[4]) {
        const half2 scale = scale_of(block, group), rest = fma(scale, half2(-16.0h), rest_of(block, group));
        for (uint i = 0; i < 2; i++) {
            const uint even = raw.words[group / 2][i], odd = even >> 8, shift = group % 2 == 0 ? 64 : 4;
            weights[2 * i] = fma(as_type<half2>(and_or(even * shift, 0x03c003c0u, 0x4c004c00u)), scale, rest);
            weights[2 * i + 1] = fma(as_type<half2>(and_or(odd * shift, 0x03c003c0u, 0x4c004c00u)), scale, rest);
        }
    }
};

struct SkinnyQ5_K {
    enum : uint { COLUMNS = 256, AHEAD = 1 };
    struct Raw { uint4 header; uint2 fifth; uint2 words[4]; };
    typedef ScalesAndMinima Block;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ5_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint strip, uint t) {
        device const uchar* block = row.data + ulong(strip) * 176;
        Raw raw;
        raw.header = *(device const uint4*)block;
        raw.fifth = ((device const uint2*)(block + 16))[t];
        for (uint run = 0; run < 4; run++) raw.words[run] = ((device const uint2*)(block + 48))[4 * run + t];
        return raw;
    }
    static Block prepare(Raw raw) { return unpack_scales(raw.header); }
    static void unpack(Raw raw, Block block, uint group, thread half2 (&weights)[4]) {
        const half2 scale = scale_of(block, group), rest = rest_of(block, group);
        for (uint i = 0; i < 2; i++) {
            const uint fifth = group < 4 ? raw.fifth[i] << (4 - group) : raw.fifth[i] >> (group - 4);
            const uint word = ((raw.words[group / 2][i] >> (4 * (group % 2))) & 0x0f0f0f0fu) | (fifth & 0x10101010u);
            half2 even, odd;
            bytes_to_pairs(word, 0.0h, even, odd);
            weights[2 * i] = fma(even, scale, rest);
            weights[2 * i + 1] = fma(odd, scale, rest);
        }
    }
};

// Blocks of 210 bytes begin at multiples of 2: two_words_at.
struct SkinnyQ6_K {
    enum : uint { COLUMNS = 256, AHEAD = 1 };
    struct Raw { uint2 low[4]; uint2 top[2]; uint2 scales; half scale; };   // by halves of 128: low 0..32, 32..64; top
    struct Block { half2 scales[8]; };                                      // a group's, for this lane's columns
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ6_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint strip, uint t) {
        device const uchar* block = row.data + ulong(strip) * 210;
        Raw raw;
        for (uint i = 0; i < 4; i++) raw.low[i] = two_words_at(block + 32 * i + 8 * t);
        for (uint i = 0; i < 2; i++) raw.top[i] = two_words_at(block + 128 + 32 * i + 8 * t);
        // Of 16 columns each: a group has two, and this lane's columns are in the first or the second.
        device const uchar* scales = block + 192 + t / 2;
        raw.scales = uint2(scales[0] | scales[2] << 8 | scales[4] << 16 | scales[6] << 24,
                           scales[8] | scales[10] << 8 | scales[12] << 16 | scales[14] << 24);
        raw.scale = half_at(block + 208);
        return raw;
    }
    static Block prepare(Raw raw) {
        Block block;
        for (uint i = 0; i < 2; i++) {
            half2 even, odd;
            bytes_to_pairs(raw.scales[i] ^ 0x80808080u, 128.0h, even, odd);
            even = product(even, half2(raw.scale));
            odd = product(odd, half2(raw.scale));
            block.scales[4 * i] = half2(even.x);
            block.scales[4 * i + 1] = half2(odd.x);
            block.scales[4 * i + 2] = half2(even.y);
            block.scales[4 * i + 3] = half2(odd.y);
        }
        return block;
    }
    static void unpack(Raw raw, Block block, uint group, thread half2 (&weights)[4]) {
        const uint run = group / 4, s = group % 4;
        for (uint i = 0; i < 2; i++) {
            const uint low = (raw.low[2 * run + s % 2][i] >> (4 * (s / 2))) & 0x0f0f0f0fu;
            const uint top = s < 3 ? raw.top[run][i] << (4 - 2 * s) : raw.top[run][i] >> 2;
            half2 even, odd;
            bytes_to_pairs(low | (top & 0x30303030u), 32.0h, even, odd);
            weights[2 * i] = product(even, block.scales[group]);
            weights[2 * i + 1] = product(odd, block.scales[group]);
        }
    }
};
