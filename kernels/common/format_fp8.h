// Eight-bit floats with f32 scales, one a row or one for every square of 128x128.
//
// E5M2 is the upper half of an f16. An E4M3 byte s·eeee·mmm, its sign at bit 15 of an f16 and the rest at bits 7..14, is
// that f16 times 2⁸, exactly, subnormal ones included. Its two NaN (0x7f, 0xff), which no
// checkpoint means, read as ±480. The twin is wootz_gpu::formats::fp8.
#pragma once
#include "common/format.h"
#include "common/unpack.h"

// `pair` is bytes 0 and 2 of a word.
struct E4M3 {
    static half2 pair(uint word) {
        return as_type<half2>((word & 0x00800080u) << 8 | (word & 0x007f007fu) << 7) * 256.0h;
    }
};
struct E5M2 {
    static half2 pair(uint word) { return as_type<half2>((word & 0x00ff00ffu) << 8); }
};

// The four bytes of a word.
template <typename Float>
inline half4 fp8_to_half(uint word) {
    const half2 even = Float::pair(word), odd = Float::pair(word >> 8);
    return half4(even.x, odd.x, even.y, odd.y);
}

// Which scale belongs to an element.
struct ScaleOfRow {
    static device const uchar* row(Matrix matrix, uint index, uint columns) { return matrix.scales + ulong(index) * 4; }
    static float at(Row row, uint group) { return *(device const float*)row.scales; }
};
struct ScaleOfSquare {
    static device const uchar* row(Matrix matrix, uint index, uint columns) {
        return matrix.scales + ulong(index / 128) * ((columns + 127) / 128) * 4;
    }
    static float at(Row row, uint group) { return ((device const float*)row.scales)[group / 8]; }
};

template <typename Float, typename Scale>
struct FormatFp8 {
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * columns, Scale::row(matrix, index, columns), matrix.biases };
    }
    static void load16(Row row, uint group, thread float4* out) {
        const uint4 words = uint4(*(device const packed_uint4*)(row.data + ulong(group) * 16));
        const float scale = Scale::at(row, group);
        for (uint i = 0; i < 4; i++) {
            out[i] = scale * float4(fp8_to_half<Float>(words[i]));
        }
    }
};

typedef FormatFp8<E4M3, ScaleOfRow> FormatE4M3Row;
typedef FormatFp8<E4M3, ScaleOfSquare> FormatE4M3Square;
typedef FormatFp8<E5M2, ScaleOfRow> FormatE5M2Row;
typedef FormatFp8<E5M2, ScaleOfSquare> FormatE5M2Square;
