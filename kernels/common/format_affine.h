// MLX's affine formats: scale · q + bias, with q an unsigned integer of BITS bits, and a scale and a bias for every GROUP
// columns, f16 or bf16, in arrays of their own.
//
// Integers are packed from the lowest bit on, without gaps: MLX fills 32-bit words with 2, 4 and 8 bits, and runs of 3,
// 5 or 3 bytes with 3, 5 and 6 bits, which in memory is one order for all. Sixteen elements are 2 · BITS bytes:
//
//   BITS      2        3         4        5         6        8
//   bytes     4        6         8        10        12       16
//   loads     a word   a word,   2 words  2 words,  3 words  4 words
//                      a half             a half
//
// Rows are whole groups of at least 32 columns, so with `data` at a multiple of 4 every such run begins at a multiple of 2,
// and of 4 where BITS is even. The twin is wootz_gpu::formats::affine.
#pragma once
#include "common/format.h"
#include "common/spread.h"
#include "common/unpack.h"

// How scales and biases are stored.
struct ScaleF16 {
    static float at(device const uchar* scales, uint index) { return float(((device const half*)scales)[index]); }
};
struct ScaleBF16 {
    static float at(device const uchar* scales, uint index) {
        return as_type<float>(uint(((device const ushort*)scales)[index]) << 16);
    }
};

// Sixteen integers of BITS bits, four to a word, one a byte.
template <uint BITS>
struct Packed16;

template <>
struct Packed16<2> {
    static uint4 at(device const uchar* bytes) {
        const uint word = *(device const uint*)bytes;
        return uint4(spread_2(word & 255), spread_2(word >> 8 & 255), spread_2(word >> 16 & 255), spread_2(word >> 24));
    }
};

template <>
struct Packed16<3> {
    static uint4 at(device const uchar* bytes) {
        const uint low = word_at(bytes);
        const uint high = *(device const ushort*)(bytes + 4);
        return uint4(spread_3(low), spread_3(low >> 12), spread_3(low >> 24 | high << 8), spread_3(high >> 4));
    }
};

template <>
struct Packed16<4> {
    static uint4 at(device const uchar* bytes) {
        const uint2 words = uint2(*(device const packed_uint2*)bytes);
        return uint4(
            spread_4(words.x & 0xffff), spread_4(words.x >> 16), spread_4(words.y & 0xffff), spread_4(words.y >> 16));
    }
};

template <>
struct Packed16<5> {
    static uint4 at(device const uchar* bytes) {
        const uint a = word_at(bytes), b = word_at(bytes + 4);
        const uint c = *(device const ushort*)(bytes + 8);
        return uint4(spread_5(a), spread_5(a >> 20 | b << 12), spread_5(b >> 8), spread_5(b >> 28 | c << 4));
    }
};

template <>
struct Packed16<6> {
    static uint4 at(device const uchar* bytes) {
        const uint3 words = uint3(*(device const packed_uint3*)bytes);
        return uint4(
            spread_6(words.x), spread_6(words.x >> 24 | words.y << 8), spread_6(words.y >> 16 | words.z << 16),
            spread_6(words.z >> 8));
    }
};

template <>
struct Packed16<8> {
    static uint4 at(device const uchar* bytes) {
        return uint4(*(device const packed_uint4*)bytes);
    }
};

template <uint BITS, uint GROUP, typename Scale>
struct FormatAffine {
    static Row row(Matrix matrix, uint index, uint columns) {
        const ulong groups = ulong(index) * (columns / GROUP) * 2;
        return { matrix.data + ulong(index) * (columns / 8 * BITS), matrix.scales + groups, matrix.biases + groups };
    }
    static void load16(Row row, uint group, thread float4* out) {
        const uint4 words = Packed16<BITS>::at(row.data + ulong(group) * (2 * BITS));
        const float scale = Scale::at(row.scales, group / (GROUP / 16));
        const float bias = Scale::at(row.biases, group / (GROUP / 16));
        for (uint i = 0; i < 4; i++) out[i] = scale * float4(bytes_to_half(words[i], 0.0h)) + bias;
    }
};

// INSTANTIATE(name, a type) for every format of so many bits: AFFINE_FORMATS(ROWS_KERNELS, FormatAffine, 4).
#define AFFINE_FORMAT(INSTANTIATE, Type, bits, group, name, Scale)                              \
    typedef Type<bits, group, Scale> Type##bits##_##group##_##Scale;                            \
    INSTANTIATE("affine" #bits "_" #group "_" name, Type##bits##_##group##_##Scale)
#define AFFINE_FORMATS(INSTANTIATE, Type, bits)                                                 \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 32, "f16", ScaleF16)                                 \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 64, "f16", ScaleF16)                                 \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 128, "f16", ScaleF16)                                \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 32, "bf16", ScaleBF16)                               \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 64, "bf16", ScaleBF16)                               \
    AFFINE_FORMAT(INSTANTIATE, Type, bits, 128, "bf16", ScaleBF16)
